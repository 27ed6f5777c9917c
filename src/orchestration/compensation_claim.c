/*-------------------------------------------------------------------------
 *
 * compensation_claim.c
 *	  Taking compensations that are due, and giving them back.
 *
 * Of an execution the next compensation is that of the task that completed
 * last, and there is no other until that has run.
 *
 * A claim is a small commit of its own and only counts: whoever completes the
 * compensation looks again whether it is still his.  Whether somebody is still
 * at it is known, not guessed from the time.
 *
 * Locking: the execution's row, which is not waited for, then the task's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "orchestration/compensation.h"
#include "orchestration/compensation_claim.h"
#include "orchestration/suspect.h"
#include "quiesce.h"
#include "shmem.h"

#define FIRST_CANDIDATES 10

#define DUE_EXECUTIONS \
	"SELECT execution.execution_id" \
	FT_NEXT_COMPENSATION \
	"   AND execution.owner_oid = $1" \
	"   AND pg_get_userbyid(execution.owner_oid) = execution.owner" \
	"   AND ($3 IS NULL OR execution.execution_id = $3)" \
	"   AND ($4 IS NULL OR $4 = (next.suspicion IS NOT DISTINCT FROM 'server'))" \
	"   AND (next.next_attempt_at IS NULL OR next.next_attempt_at <= $2)" \
	" ORDER BY execution.execution_id LIMIT "

/*
 * Mostly one of the first can be claimed.  The limit is no parameter: the plan
 * is to know it.
 */
FT_STATEMENT(first_due_executions, DUE_EXECUTIONS CppAsString2(FIRST_CANDIDATES),
			 OIDOID, TIMESTAMPTZOID, UUIDOID, BOOLOID);
FT_STATEMENT(due_executions, DUE_EXECUTIONS "1000",
			 OIDOID, TIMESTAMPTZOID, UUIDOID, BOOLOID);
FT_STATEMENT(lock_next_task,
			 "SELECT task_id, task_name, compensation, compensation_losses, compensation_failures,"
			 "       suspicion, compensation_pid, compensation_epoch, compensation_worker"
			 "  FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND status = 'COMPENSATING'"
			 " ORDER BY completion_order DESC LIMIT 1"
			 "   FOR NO KEY UPDATE",
			 UUIDOID);
FT_STATEMENT(set_claimed,
			 "UPDATE ft.orchestration_tasks"
			 "   SET compensation_attempt = compensation_attempt + 1,"
			 "       compensation_losses = $2,"
			 "       compensation_pid = $3, compensation_epoch = $4,"
			 "       compensation_worker = $5"
			 " WHERE task_id = $1"
			 " RETURNING compensation_attempt",
			 UUIDOID, INT4OID, INT4OID, INT8OID, INT8OID);

/*
 * The number of the attempt stays, and the next claim has another one: by it
 * those who run the compensation, or think so, are told from one another.  What
 * counts its failures is compensation_failures.
 */
FT_STATEMENT(forget_claim,
			 "UPDATE ft.orchestration_tasks"
			 "   SET compensation_pid = NULL, compensation_epoch = NULL, compensation_worker = NULL"
			 " WHERE task_id = $1 AND status = 'COMPENSATING'",
			 UUIDOID);

/*
 * Whether the session that claimed a compensation is still at it.  That is
 * known, not guessed from the time: a claim of another start of the server is
 * dead, and so is one whose process has gone.  Another process can have its
 * pid by now, but no other worker ever has its id; a session that is no worker
 * commits no claim before it is done with it.
 */
bool
ft_compensation_claim_alive(uint64 row, int pid_column)
{
	int			epoch_column = pid_column + 1;
	int			worker_column = pid_column + 2;
	PGPROC	   *proc;

	if (ft_shared == NULL || ft_column_is_null(row, pid_column) ||
		ft_column_is_null(row, epoch_column))
		return false;
	if ((uint64) ft_column_int64(row, epoch_column) != ft_shared->boot_epoch)
		return false;
	if (!ft_column_is_null(row, worker_column))
	{
		uint64		worker = (uint64) ft_column_int64(row, worker_column);

		/* one of ours is none that we are at any more */
		return worker != ft_my_worker_id && ft_executor_alive(worker);
	}
	if (ft_column_int32(row, pid_column) == MyProcPid)
		return false;			/* ours, and we are not at it any more */
	proc = BackendPidGetProc(ft_column_int32(row, pid_column));
	return proc != NULL && proc->databaseId == MyDatabaseId;
}

/*
 * Does a claim that is dead count as a loss?  Not one that was ended by a
 * shutdown, or by a command that had all workers leave the database.  The
 * columns are as with ft_compensation_claim_alive().
 */
static bool
claim_was_lost(uint64 row, int pid_column)
{
	if (ft_column_is_null(row, pid_column))
		return false;
	if (ft_shared == NULL || ft_column_is_null(row, pid_column + 1))
		return true;
	if ((uint64) ft_column_int64(row, pid_column + 1) != ft_shared->boot_epoch)
		return ft_shared->unclean;
	return ft_column_is_null(row, pid_column + 2) ||
		!ft_worker_was_dismissed((uint64) ft_column_int64(row, pid_column + 2));
}

bool
ft_compensation_lock_next(const pg_uuid_t *execution_id, FtNextCompensation *next)
{
	if (ft_run(&lock_next_task, FT_ARGS(FT_UUID(execution_id))) == 0)
		return false;
	next->task_id = ft_column_uuid(0, 1);
	next->task_name = ft_column_text(0, 2);
	next->command = ft_column_text(0, 3);
	next->losses = ft_column_int32(0, 4);
	next->failures = ft_column_int32(0, 5);
	next->suspicion = ft_column_is_null(0, 6) ? NULL : ft_column_text(0, 6);
	next->alive = ft_compensation_claim_alive(0, 7);
	next->lost = claim_was_lost(0, 7);
	next->of_this_start = ft_shared != NULL && !ft_column_is_null(0, 8) &&
		(uint64) ft_column_int64(0, 8) == ft_shared->boot_epoch;
	next->by_worker = !ft_column_is_null(0, 9);
	return true;
}

void
ft_compensation_give_back(const pg_uuid_t *task_id)
{
	ft_run(&forget_claim, FT_ARGS(FT_UUID(task_id)));
}

/*
 * May this session take it?  Those suspected of having taken the server down
 * are for an executor that runs nothing else; what a worker was lost with is
 * first for the scheduler to judge, see ft_compensation_recover().  Who calls
 * by hand takes either.
 */
static bool
may_claim(const FtNextCompensation *next, FtCompensationsSought sought)
{
	bool		suspect = next->suspicion != NULL &&
		strcmp(next->suspicion, FT_SUSPICION_SERVER) == 0;

	if (next->alive)
		return false;
	if (sought == FT_COMPENSATIONS_ALL)
		return true;
	return !next->by_worker && suspect == (sought == FT_COMPENSATIONS_SUSPECT);
}

/*
 * Claim the next compensation of one execution, unless somebody is at it.
 */
static bool
claim_of_execution(const pg_uuid_t *execution_id, Oid owner, FtCompensationsSought sought,
				   FtCompensationClaim *claim, MemoryContext result_context)
{
	FtExecution execution;
	FtNextCompensation next;

	if (!ft_execution_try_lock(&execution, execution_id) ||
		execution.owner_oid != owner || execution.paused ||
		!ft_compensation_in_progress(&execution))
		return false;
	if (!ft_compensation_lock_next(execution_id, &next) || !may_claim(&next, sought))
		return false;

	claim->execution_id = *execution_id;
	claim->task_id = next.task_id;
	claim->command = MemoryContextStrdup(result_context, next.command);

	ft_run(&set_claimed,
		   FT_ARGS(FT_UUID(&claim->task_id),
				   FT_VALUE(Int32GetDatum(next.losses + (next.lost ? 1 : 0))),
				   FT_VALUE(Int32GetDatum(MyProcPid)),
				   ft_shared ? FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch)) : FT_NULL,
				   ft_my_worker_id != 0 ? FT_VALUE(Int64GetDatum((int64) ft_my_worker_id)) : FT_NULL));
	claim->attempt = ft_column_int32(0, 1);
	return true;
}

/* Claim one of the executions that a statement finds. */
static bool
claim_one_of(FtStatement *statement, const FtArg *args, Oid owner,
			 FtCompensationsSought sought, FtCompensationClaim *claim,
			 MemoryContext result_context, uint64 *found)
{
	uint64		n = ft_run(statement, args);
	pg_uuid_t  *candidates = palloc(sizeof(pg_uuid_t) * Max(n, 1));

	*found = n;
	for (uint64 row = 0; row < n; row++)
		candidates[row] = ft_column_uuid(row, 1);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (claim_of_execution(&candidates[i], owner, sought, claim, result_context))
			return true;
	}
	return false;
}

bool
ft_compensation_claim_any(Oid owner, TimestampTz now, const pg_uuid_t *execution_id,
						  FtCompensationsSought sought, FtCompensationClaim *claim,
						  MemoryContext result_context)
{
	FtArg	   *args = FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner)),
							   FT_TIME(now),
							   execution_id ? FT_UUID(execution_id) : FT_NULL,
							   sought == FT_COMPENSATIONS_ALL ? FT_NULL :
							   FT_VALUE(BoolGetDatum(sought == FT_COMPENSATIONS_SUSPECT)));
	uint64		n;

	if (claim_one_of(&first_due_executions, args, owner, sought, claim, result_context, &n))
		return true;
	return n == FIRST_CANDIDATES &&
		claim_one_of(&due_executions, args, owner, sought, claim, result_context, &n);
}

bool
ft_compensation_claim_of(const pg_uuid_t *execution_id, Oid owner,
						 FtCompensationClaim *claim, MemoryContext result_context)
{
	return claim_of_execution(execution_id, owner, FT_COMPENSATIONS_ALL, claim, result_context);
}

bool
ft_compensation_claim(TimestampTz now, FtCompensationsSought sought, FtCompensationClaim *claim)
{
	MemoryContext result_context = CurrentMemoryContext;
	FtEngine	engine;
	bool		found;

	ft_engine_enter(&engine);
	found = ft_compensation_claim_any(engine.caller, now, NULL, sought, claim, result_context);
	ft_engine_leave(&engine);
	return found;
}
