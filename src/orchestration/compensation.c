/*-------------------------------------------------------------------------
 *
 * compensation.c
 *	  Compensations: undoing completed tasks, one transaction each, in reverse
 *	  order of completion.
 *
 * The compensation's own SQL and the record that it has run commit together,
 * so it takes effect exactly once.  The claim before it is a small commit of
 * its own and only counts: whoever runs a compensation re-checks its attempt
 * in the transaction that does the work, and rolls that back if another
 * session has taken over.
 *
 * Compensations run in a session that has logged in as the owner of the
 * execution.  They never run in a session that only took that role for a
 * while: their SQL could take it off again.  What a compensation sets, its
 * role included, ends with it, or the next one would run under it.
 *
 * Locking: the execution's row first, then the task's, then the failures'.
 * None of them is held while a compensation's SQL runs in a worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/command.h"
#include "orchestration/compensation.h"
#include "orchestration/flow.h"
#include "orchestration/installation.h"
#include "orchestration/owner.h"
#include "orchestration/recovery_plan.h"
#include "orchestration/suspect.h"
#include "quiesce.h"
#include "shmem.h"
#include "subtransaction.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_run_compensations);

/*
 * The next compensation of each execution: of what is still to be
 * compensated, the task that completed last.
 */
#define FIRST_COMPENSATION \
	"  FROM ft.orchestration_executions AS execution," \
	"       LATERAL (SELECT task_id, compensation_next_attempt_at AS next_attempt_at," \
	"                       compensation_pid AS pid, compensation_epoch AS epoch," \
	"                       compensation_worker AS worker, suspicion" \
	"                  FROM ft.orchestration_tasks" \
	"                 WHERE execution_id = execution.execution_id" \
	"                   AND status = 'COMPENSATING'" \
	"                 ORDER BY completion_order DESC LIMIT 1) AS next" \
	" WHERE execution.status IN ('COMPENSATING', 'ROLLING_BACK')"
#define NEXT_COMPENSATION FIRST_COMPENSATION \
	"   AND execution.paused_at IS NULL"
#define DUE_BY(time_) \
	"   AND (next.next_attempt_at IS NULL OR next.next_attempt_at <= " time_ ")"
#define OF_A_ROLE \
	"   AND pg_get_userbyid(execution.owner_oid) = execution.owner"

#define FIRST_CANDIDATES 10

#define DUE_EXECUTIONS \
	"SELECT execution.execution_id" \
	NEXT_COMPENSATION \
	"   AND execution.owner_oid = $1" OF_A_ROLE \
	"   AND ($3 IS NULL OR execution.execution_id = $3)" \
	"   AND ($4 IS NULL OR $4 = (next.suspicion IS NOT DISTINCT FROM 'server'))" \
	DUE_BY("$2") \
	" ORDER BY execution.execution_id LIMIT "

/*
 * Mostly one of the first can be claimed.  The limit is no parameter: the plan
 * is to know it.
 */
FT_STATEMENT(first_due_executions, DUE_EXECUTIONS CppAsString2(FIRST_CANDIDATES),
			 OIDOID, TIMESTAMPTZOID, UUIDOID, BOOLOID);
FT_STATEMENT(due_executions, DUE_EXECUTIONS "1000",
			 OIDOID, TIMESTAMPTZOID, UUIDOID, BOOLOID);
FT_STATEMENT(due_owners,
			 "SELECT DISTINCT execution.owner_oid, execution.owner::text, next.pid, next.epoch,"
			 "       next.worker"
			 NEXT_COMPENSATION DUE_BY("$1")
			 " ORDER BY 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(first_suspect_owner,
			 "SELECT execution.owner_oid"
			 NEXT_COMPENSATION OF_A_ROLE DUE_BY("$1")
			 "   AND next.suspicion = 'server' AND next.pid IS NULL"
			 "   AND execution.parked_reason IS NULL"
			 " ORDER BY execution.execution_id LIMIT 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(waiting_since,
			 "SELECT 1"
			 NEXT_COMPENSATION DUE_BY("$1")
			 "   AND execution.updated_at <= $1 AND next.pid IS NULL"
			 "   AND execution.parked_reason IS NULL"
			 " LIMIT 1",
			 TIMESTAMPTZOID);

/* In no order, and to be run by its index, as what finds lost steps. */
FT_STATEMENT_NOARGS(claimed_by_workers,
					"SELECT execution.execution_id, next.pid, next.epoch, next.worker"
					FIRST_COMPENSATION
					"   AND next.pid IS NOT NULL AND next.worker IS NOT NULL");
FT_STATEMENT(next_due,
			 "SELECT min(CASE WHEN execution.parked_reason IS NOT NULL OR next.pid IS NOT NULL"
			 "                THEN $2"
			 "                ELSE coalesce(next.next_attempt_at, $1) END)"
			 NEXT_COMPENSATION,
			 TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(lock_next_task,
			 "SELECT task_id, compensation, compensation_attempt, compensation_losses,"
			 "       compensation_pid, compensation_epoch, compensation_worker, task_name,"
			 "       suspicion, compensation_failures"
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
FT_STATEMENT(lock_claimed_task,
			 "SELECT task_name, status, compensation_attempt, compensation_failures"
			 "  FROM ft.orchestration_tasks"
			 " WHERE task_id = $1 FOR NO KEY UPDATE",
			 UUIDOID);
FT_STATEMENT(set_lost,
			 "UPDATE ft.orchestration_tasks"
			 "   SET compensation_losses = compensation_losses + 1, suspicion = $2,"
			 "       compensation_pid = NULL, compensation_epoch = NULL,"
			 "       compensation_worker = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID);
FT_STATEMENT(set_compensated,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, compensated_at = $3, suspicion = NULL,"
			 "       compensation_pid = NULL, compensation_epoch = NULL,"
			 "       compensation_worker = NULL,"
			 "       compensation_error_sqlstate = NULL, compensation_error_message = NULL,"
			 "       result = CASE WHEN $2 = 'PENDING' THEN NULL ELSE result END,"
			 "       completed_at = CASE WHEN $2 = 'PENDING' THEN NULL ELSE completed_at END,"
			 "       completion_order = CASE WHEN $2 = 'PENDING' THEN NULL ELSE completion_order END"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID, TIMESTAMPTZOID);
FT_STATEMENT(set_compensation_failed,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, compensation_failures = $3,"
			 "       compensation_next_attempt_at = $4,"
			 "       compensation_pid = NULL, compensation_epoch = NULL,"
			 "       compensation_worker = NULL,"
			 "       compensation_error_sqlstate = $5, compensation_error_message = $6"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID);
FT_STATEMENT_NOARGS(claimed_tasks,
					"SELECT execution_id, task_id, compensation_pid, compensation_epoch, compensation_worker"
					"  FROM ft.orchestration_tasks"
					" WHERE status = 'COMPENSATING' AND compensation_pid IS NOT NULL"
					" ORDER BY execution_id, task_id");

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
FT_STATEMENT(task_left,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND status = 'COMPENSATING' LIMIT 1",
			 UUIDOID);
FT_STATEMENT(finish_recovery,
			 "UPDATE ft.orchestration_failures"
			 "   SET recovered = true, recovered_at = $2"
			 " WHERE execution_id = $1 AND NOT recovered AND recovery_started_at IS NOT NULL",
			 UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT(give_up_recovery,
			 "UPDATE ft.orchestration_failures"
			 "   SET recovery_strategy = 'FAILED', recovery_error = $2, given_up_at = $3,"
			 "       recovery_started_at = NULL"
			 " WHERE execution_id = $1 AND NOT recovered AND recovery_started_at IS NOT NULL",
			 UUIDOID, TEXTOID, TIMESTAMPTZOID);
/*
 * Whether the session that claimed a compensation is still at it.  That is
 * known, not guessed from the time: a claim of another start of the server is
 * dead, and so is one whose process has gone.  Another process can have its
 * pid by now, but no other worker ever has its id; a session that is no worker
 * commits no claim before it is done with it.
 *
 * The columns are pid, epoch and worker, next to one another.
 */
static bool
claim_is_alive(uint64 row, int pid_column)
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
 * columns are as above.
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

static bool
compensates(const FtExecution *execution)
{
	return execution->status == FT_EXECUTION_COMPENSATING ||
		execution->status == FT_EXECUTION_ROLLING_BACK;
}

void
ft_compensation_finish(FtExecution *execution)
{
	FtExecutionEvent event = execution->status == FT_EXECUTION_ROLLING_BACK ?
		FT_EXECUTION_FINISH_ROLLBACK : FT_EXECUTION_FINISH_COMPENSATION;

	if (ft_run(&task_left, FT_ARGS(FT_UUID(&execution->execution_id))) > 0)
		return;
	if (event == FT_EXECUTION_FINISH_ROLLBACK)
		ft_flow_renew(&execution->execution_id);
	ft_execution_set_status(execution,
							ft_execution_require_transition(execution->status, event,
															ft_uuid_string(&execution->execution_id)));
	ft_run(&finish_recovery,
		   FT_ARGS(FT_UUID(&execution->execution_id),
				   FT_TIME(GetCurrentTimestamp())));
}

/* A compensation that failed too often ends its execution's recovery. */
static void
give_up(FtExecution *execution, const pg_uuid_t *task_id, const char *task_name,
		int failures, const char *sqlstate, const char *message)
{
	FtTaskStatus failed =
		ft_task_require_transition(FT_TASK_COMPENSATING, FT_TASK_FAIL_COMPENSATION,
								   task_name);

	ft_run(&set_compensation_failed,
		   FT_ARGS(FT_UUID(task_id),
				   FT_TEXT(ft_task_status_name(failed)),
				   FT_VALUE(Int32GetDatum(failures)),
				   FT_NULL,
				   FT_TEXT(sqlstate),
				   FT_TEXT(message)));
	ft_execution_set_status(execution,
							ft_execution_require_transition(execution->status,
															FT_EXECUTION_FAIL_COMPENSATION,
															ft_uuid_string(&execution->execution_id)));
	ft_run(&give_up_recovery,
		   FT_ARGS(FT_UUID(&execution->execution_id),
				   FT_TEXT(psprintf("compensation of task \"%s\": %s", task_name, message)),
				   FT_TIME(GetCurrentTimestamp())));
}

/*
 * A compensation has failed: it is tried again after a delay, or given up.
 */
static void
blame(FtExecution *execution, const pg_uuid_t *task_id, const char *task_name,
	  int failures, const char *sqlstate, const char *message)
{
	if (failures >= ft_recovery_max_attempts)
		give_up(execution, task_id, task_name, failures, sqlstate, message);
	else
		ft_run(&set_compensation_failed,
			   FT_ARGS(FT_UUID(task_id),
					   FT_TEXT(ft_task_status_name(FT_TASK_COMPENSATING)),
					   FT_VALUE(Int32GetDatum(failures)),
					   FT_TIME(ft_backoff(GetCurrentTimestamp(), failures, 0)),
					   FT_TEXT(sqlstate),
					   FT_TEXT(message)));
}

/*
 * May this session take the compensation that lock_next_task has found?  Those
 * suspected of having taken the server down are for an executor that runs
 * nothing else; what a worker was lost with is first for the scheduler to
 * judge, see ft_compensation_recover().  Who calls by hand takes either.
 */
static bool
may_claim(FtCompensationsSought sought)
{
	bool		suspect = !ft_column_is_null(0, 9) &&
		strcmp(ft_column_text(0, 9), FT_SUSPICION_SERVER) == 0;

	if (claim_is_alive(0, 5))
		return false;
	if (sought == FT_COMPENSATIONS_ALL)
		return true;
	return ft_column_is_null(0, 7) && suspect == (sought == FT_COMPENSATIONS_SUSPECT);
}

/*
 * Claim the next compensation of one execution, unless somebody is at it.
 */
static bool
claim_of_execution(const pg_uuid_t *execution_id, Oid owner, FtCompensationsSought sought,
				   FtCompensationClaim *claim, MemoryContext result_context)
{
	FtExecution execution;
	int			losses;

	if (!ft_execution_try_lock(&execution, execution_id) ||
		execution.owner_oid != owner || execution.paused || !compensates(&execution))
		return false;
	if (ft_run(&lock_next_task, FT_ARGS(FT_UUID(execution_id))) == 0 || !may_claim(sought))
		return false;

	claim->execution_id = *execution_id;
	claim->task_id = ft_column_uuid(0, 1);
	claim->command = MemoryContextStrdup(result_context, ft_column_text(0, 2));
	losses = ft_column_int32(0, 4) + (claim_was_lost(0, 5) ? 1 : 0);

	ft_run(&set_claimed,
		   FT_ARGS(FT_UUID(&claim->task_id),
				   FT_VALUE(Int32GetDatum(losses)),
				   FT_VALUE(Int32GetDatum(MyProcPid)),
				   ft_shared ? FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch)) : FT_NULL,
				   ft_my_worker_id != 0 ? FT_VALUE(Int64GetDatum((int64) ft_my_worker_id)) : FT_NULL));
	claim->attempt = ft_column_int32(0, 1);
	return true;
}

void
ft_compensation_take_back(void)
{
	uint64		n = ft_run(&claimed_tasks, NULL);
	pg_uuid_t  *executions = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	pg_uuid_t  *tasks = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	int			count = 0;

	for (uint64 row = 0; row < n; row++)
	{
		if (claim_is_alive(row, 3))
			continue;
		executions[count] = ft_column_uuid(row, 1);
		tasks[count++] = ft_column_uuid(row, 2);
	}
	for (int i = 0; i < count; i++)
	{
		FtExecution execution;

		CHECK_FOR_INTERRUPTS();
		ft_execution_lock(&execution, &executions[i], InvalidOid);
		ft_run(&forget_claim, FT_ARGS(FT_UUID(&tasks[i])));
	}
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

/* Claim a due compensation of owner, of one execution or of any. */
static bool
claim_any(Oid owner, TimestampTz now, const pg_uuid_t *execution_id,
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
	found = claim_any(engine.caller, now, NULL, sought, claim, result_context);
	ft_engine_leave(&engine);
	return found;
}

/* Lock what was claimed; false if it is not this claim's any more. */
static bool
lock_claimed(const FtCompensationClaim *claim, FtExecution *execution,
			 char **task_name, int *failures)
{
	ft_execution_lock(execution, &claim->execution_id, InvalidOid);
	if (ft_run(&lock_claimed_task, FT_ARGS(FT_UUID(&claim->task_id))) == 0)
		return false;
	*task_name = ft_column_text(0, 1);
	*failures = ft_column_int32(0, 4);
	return ft_task_status_of(ft_column_text(0, 2)) == FT_TASK_COMPENSATING &&
		ft_column_int32(0, 3) == claim->attempt && compensates(execution);
}

void
ft_compensation_run(const FtCompensationClaim *claim)
{
	FtEngine	engine;
	FtExecution execution;
	FtTaskEvent event;
	FtStepData	data;
	char	   *task_name;
	int			failures;

	ft_step_data_init(&data, &claim->execution_id, &claim->task_id, claim->attempt);
	(void) ft_command_run(claim->command, &data);

	ft_engine_enter(&engine);
	if (!lock_claimed(claim, &execution, &task_name, &failures))
		ereport(ERROR,
				(errcode(FT_ERRCODE_STALE_ATTEMPT),
				 errmsg("compensation of task %s was taken over by another session",
						ft_uuid_string(&claim->task_id)),
				 errdetail("Attempt %d is not the current one. What it did is rolled back.",
						   claim->attempt)));
	event = execution.status == FT_EXECUTION_ROLLING_BACK ?
		FT_TASK_UNDO : FT_TASK_FINISH_COMPENSATION;
	ft_run(&set_compensated,
		   FT_ARGS(FT_UUID(&claim->task_id),
				   FT_TEXT(ft_task_status_name(ft_task_require_transition(FT_TASK_COMPENSATING,
																		  event, task_name))),
				   FT_TIME(GetCurrentTimestamp())));
	ft_compensation_finish(&execution);
	ft_engine_leave(&engine);
}

void
ft_compensation_failed(const FtCompensationClaim *claim, const ErrorData *error)
{
	FtEngine	engine;
	FtExecution execution;
	char	   *task_name;
	int			failures;

	ft_engine_enter(&engine);
	if (lock_claimed(claim, &execution, &task_name, &failures))
		blame(&execution, &claim->task_id, task_name, failures + 1,
			  pstrdup(unpack_sql_state(error->sqlerrcode)),
			  error->message ? error->message : "missing error text");
	ft_engine_leave(&engine);
}

void
ft_compensation_release(const FtCompensationClaim *claim)
{
	FtEngine	engine;
	FtExecution execution;
	char	   *task_name;
	int			failures;

	ft_engine_enter(&engine);
	if (lock_claimed(claim, &execution, &task_name, &failures))
		ft_run(&forget_claim, FT_ARGS(FT_UUID(&claim->task_id)));
	ft_engine_leave(&engine);
}

/* Owners with a compensation that may run now, unless somebody is at it. */
List *
ft_compensation_owners(TimestampTz now)
{
	List	   *owners = NIL;
	uint64		n = ft_run(&due_owners, FT_ARGS(FT_TIME(now)));

	for (uint64 row = 0; row < n; row++)
	{
		if (!claim_is_alive(row, 3))
			owners = lappend(owners, ft_owner_make(ft_column_oid(row, 1), ft_column_text(row, 2)));
	}
	return owners;
}

TimestampTz
ft_compensation_next_due(TimestampTz now)
{
	/* what is claimed or parked is looked at again with the next poll */
	TimestampTz poll = TimestampTzPlusMilliseconds(now, ft_recovery_interval);

	ft_run(&next_due, FT_ARGS(FT_TIME(now), FT_TIME(poll)));
	return ft_column_is_null(0, 1) ? DT_NOEND : ft_column_time(0, 1);
}

Oid
ft_compensation_suspect_owner(TimestampTz now)
{
	FtEngine	engine;
	Oid			owner = InvalidOid;

	ft_engine_enter(&engine);
	if (ft_run(&first_suspect_owner, FT_ARGS(FT_TIME(now))) > 0)
		owner = ft_column_oid(0, 1);
	ft_engine_leave(&engine);
	return owner;
}

bool
ft_compensation_waiting_since(TimestampTz time)
{
	return ft_run(&waiting_since, FT_ARGS(FT_TIME(time))) > 0;
}

/* Give back the compensation that a lost worker was at, or have it pay. */
static void
recover_lost(const pg_uuid_t *execution_id)
{
	FtExecution execution;
	FtLoss		loss;
	pg_uuid_t	task_id;
	char	   *task_name;
	int			failures;

	if (!ft_execution_try_lock(&execution, execution_id) || !compensates(&execution) ||
		ft_run(&lock_next_task, FT_ARGS(FT_UUID(execution_id))) == 0 ||
		ft_column_is_null(0, 7) || claim_is_alive(0, 5))
		return;
	task_id = ft_column_uuid(0, 1);
	task_name = ft_column_text(0, 8);
	failures = ft_column_int32(0, 10);
	if (!claim_was_lost(0, 5))
	{
		ft_run(&forget_claim, FT_ARGS(FT_UUID(&task_id)));
		return;
	}
	loss = ft_suspect_judge("compensation", ft_column_is_null(0, 9) ? NULL : ft_column_text(0, 9),
							(uint64) ft_column_int64(0, 6) != ft_shared->boot_epoch);
	ft_run(&set_lost, FT_ARGS(FT_UUID(&task_id), FT_TEXT(loss.suspicion)));
	if (loss.guilty)
		blame(&execution, &task_id, task_name, failures + 1, loss.sqlstate, loss.message);
}

void
ft_compensation_recover(void)
{
	FtEngine	engine;
	uint64		n;
	pg_uuid_t  *lost;
	int			count = 0;

	if (ft_shared == NULL)
		return;
	ft_engine_enter(&engine);
	n = ft_run_by_index(&claimed_by_workers, NULL);
	lost = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
	{
		if (!claim_is_alive(row, 2))
			lost[count++] = ft_column_uuid(row, 1);
	}
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		recover_lost(&lost[i]);
	}
	ft_engine_leave(&engine);
}

static void
run_claim(void *claim)
{
	ft_compensation_run((const FtCompensationClaim *) claim);
}

/* ft.run_compensations(execution_id uuid) returns bigint */
Datum
ft_run_compensations(PG_FUNCTION_ARGS)
{
	int64		ran = 0;
	FtEngine	engine;
	FtCompensationClaim claim;
	bool		found;

	ft_command_require_own_session("ft.run_compensations()");

	do
	{
		CHECK_FOR_INTERRUPTS();
		ft_engine_enter(&engine);
		ft_installation_require_own();
		if (!PG_ARGISNULL(0))
		{
			FtExecution execution;

			ft_execution_read(&execution, PG_GETARG_UUID_P(0), engine.caller);
		}
		found = claim_any(engine.caller, GetCurrentTimestamp(),
						  PG_ARGISNULL(0) ? NULL : PG_GETARG_UUID_P(0),
						  FT_COMPENSATIONS_ALL, &claim, fcinfo->flinfo->fn_mcxt);
		ft_engine_leave(&engine);
		if (found)
		{
			ErrorData  *error;

			/* what is locked here, an executor has to leave alone */
			ft_wake_worker_at_end(GetUserId());
			error = ft_try(run_claim, &claim);

			if (error)
				ft_compensation_failed(&claim, error);
			else
				ran++;
		}
	} while (found);

	PG_RETURN_INT64(ran);
}
