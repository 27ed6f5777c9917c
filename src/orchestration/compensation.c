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

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "errors.h"
#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/installation.h"
#include "orchestration/recovery_plan.h"
#include "shmem.h"
#include "subtransaction.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_run_compensations);

/*
 * The next compensation of each execution: of what is still to be
 * compensated, the task that completed last.
 */
#define NEXT_COMPENSATION \
	"  FROM ft.orchestration_executions AS execution," \
	"       LATERAL (SELECT task_id, compensation_next_attempt_at AS next_attempt_at," \
	"                       compensation_pid AS pid, compensation_epoch AS epoch," \
	"                       compensation_worker AS worker" \
	"                  FROM ft.orchestration_tasks" \
	"                 WHERE execution_id = execution.execution_id" \
	"                   AND status = 'COMPENSATING'" \
	"                 ORDER BY completion_order DESC LIMIT 1) AS next" \
	" WHERE execution.status IN ('COMPENSATING', 'ROLLING_BACK')"

#define FIRST_CANDIDATES 10

#define DUE_EXECUTIONS \
	"SELECT execution.execution_id" \
	NEXT_COMPENSATION \
	"   AND execution.owner_oid = $1" \
	"   AND pg_get_userbyid(execution.owner_oid) = execution.owner" \
	"   AND ($3 IS NULL OR execution.execution_id = $3)" \
	"   AND (next.next_attempt_at IS NULL OR next.next_attempt_at <= $2)" \
	" ORDER BY execution.execution_id LIMIT "

/*
 * Mostly one of the first can be claimed.  The limit is no parameter: the plan
 * is to know it.
 */
FT_STATEMENT(first_due_executions, DUE_EXECUTIONS CppAsString2(FIRST_CANDIDATES),
			 OIDOID, TIMESTAMPTZOID, UUIDOID);
FT_STATEMENT(due_executions, DUE_EXECUTIONS "1000",
			 OIDOID, TIMESTAMPTZOID, UUIDOID);
FT_STATEMENT(due_owners,
			 "SELECT DISTINCT execution.owner_oid, execution.owner::text, next.pid, next.epoch,"
			 "       next.worker"
			 NEXT_COMPENSATION
			 "   AND (next.next_attempt_at IS NULL OR next.next_attempt_at <= $1)"
			 " ORDER BY 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(next_due,
			 "SELECT min(CASE WHEN execution.parked_reason IS NOT NULL OR next.pid IS NOT NULL"
			 "                THEN $2"
			 "                ELSE coalesce(next.next_attempt_at, $1) END)"
			 NEXT_COMPENSATION,
			 TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(lock_next_task,
			 "SELECT task_id, compensation, compensation_attempt, compensation_losses,"
			 "       compensation_pid, compensation_epoch, compensation_worker, task_name"
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
FT_STATEMENT(set_compensated,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, compensated_at = $3,"
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
FT_STATEMENT(set_parked,
			 "WITH stale AS MATERIALIZED"
			 " (SELECT execution_id FROM ft.orchestration_executions"
			 "   WHERE owner_oid = $1 AND owner = $2::name"
			 "     AND status IN ('COMPENSATING', 'ROLLING_BACK')"
			 "     AND parked_reason IS DISTINCT FROM $3"
			 "   ORDER BY execution_id FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET parked_reason = $3"
			 "  FROM stale WHERE stale.execution_id = execution.execution_id",
			 OIDOID, TEXTOID, TEXTOID);

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

void
ft_compensation_finish(FtExecution *execution)
{
	FtExecutionEvent event = execution->status == FT_EXECUTION_ROLLING_BACK ?
		FT_EXECUTION_FINISH_ROLLBACK : FT_EXECUTION_FINISH_COMPENSATION;

	if (ft_run(&task_left, FT_ARGS(FT_UUID(&execution->execution_id))) > 0)
		return;
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
 * Claim the next compensation of one execution, unless somebody is at it, or
 * it has taken too many workers down with it.
 */
static bool
claim_of_execution(const pg_uuid_t *execution_id, Oid owner,
				   FtCompensationClaim *claim, MemoryContext result_context)
{
	FtExecution execution;
	char	   *task_name;
	int			losses;

	if (!ft_execution_try_lock(&execution, execution_id) ||
		execution.owner_oid != owner ||
		(execution.status != FT_EXECUTION_COMPENSATING &&
		 execution.status != FT_EXECUTION_ROLLING_BACK))
		return false;
	if (ft_run(&lock_next_task, FT_ARGS(FT_UUID(execution_id))) == 0)
		return false;
	if (claim_is_alive(0, 5))
		return false;

	claim->execution_id = *execution_id;
	claim->task_id = ft_column_uuid(0, 1);
	claim->command = MemoryContextStrdup(result_context, ft_column_text(0, 2));
	losses = ft_column_int32(0, 4) + (ft_column_is_null(0, 5) ? 0 : 1);
	task_name = ft_column_text(0, 8);
	if (losses >= ft_recovery_max_attempts)
	{
		give_up(&execution, &claim->task_id, task_name, losses, NULL,
				psprintf("the worker that ran it was lost %d times", losses));
		return false;
	}

	ft_run(&set_claimed,
		   FT_ARGS(FT_UUID(&claim->task_id),
				   FT_VALUE(Int32GetDatum(losses)),
				   FT_VALUE(Int32GetDatum(MyProcPid)),
				   ft_shared ? FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch)) : FT_NULL,
				   ft_my_worker_id != 0 ? FT_VALUE(Int64GetDatum((int64) ft_my_worker_id)) : FT_NULL));
	claim->attempt = ft_column_int32(0, 1);
	return true;
}

/* Claim one of the executions that a statement finds. */
static bool
claim_one_of(FtStatement *statement, const FtArg *args, Oid owner,
			 FtCompensationClaim *claim, MemoryContext result_context, uint64 *found)
{
	uint64		n = ft_run(statement, args);
	pg_uuid_t  *candidates = palloc(sizeof(pg_uuid_t) * Max(n, 1));

	*found = n;
	for (uint64 row = 0; row < n; row++)
		candidates[row] = ft_column_uuid(row, 1);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (claim_of_execution(&candidates[i], owner, claim, result_context))
			return true;
	}
	return false;
}

/* Claim a due compensation of owner, of one execution or of any. */
static bool
claim_any(Oid owner, TimestampTz now, const pg_uuid_t *execution_id,
		  FtCompensationClaim *claim, MemoryContext result_context)
{
	FtArg	   *args = FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner)),
							   FT_TIME(now),
							   execution_id ? FT_UUID(execution_id) : FT_NULL);
	uint64		n;

	if (claim_one_of(&first_due_executions, args, owner, claim, result_context, &n))
		return true;
	return n == FIRST_CANDIDATES &&
		claim_one_of(&due_executions, args, owner, claim, result_context, &n);
}

bool
ft_compensation_claim(TimestampTz now, FtCompensationClaim *claim)
{
	MemoryContext result_context = CurrentMemoryContext;
	FtEngine	engine;
	bool		found;

	ft_engine_enter(&engine);
	found = claim_any(engine.caller, now, NULL, claim, result_context);
	ft_engine_leave(&engine);
	return found;
}

/* Is a compensation's SQL running in this session? */
static bool executing = false;

/* The compensation's own SQL, with the rights and settings of the session. */
static void
execute_command(const char *command)
{
	int			guc_nest_level = NewGUCNestLevel();
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	executing = true;
	PG_TRY();
	{
		result = SPI_execute(command, false, 0);
	}
	PG_FINALLY();
	{
		executing = false;
	}
	PG_END_TRY();
	if (result == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("a compensation must not begin or end a transaction"),
				 errdetail("Its effects commit together with the record that it has run."),
				 errhint("Remove BEGIN, COMMIT, ROLLBACK and SAVEPOINT from it.")));
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a compensation cannot run this command: %s",
						SPI_result_code_string(result)),
				 errhint("Use SQL statements that a function could run.")));
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");

	/* as if it had failed: a plain SET, of ROLE too, would outlive it */
	AtEOXact_GUC(false, guc_nest_level);
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
		ft_column_int32(0, 3) == claim->attempt &&
		(execution->status == FT_EXECUTION_COMPENSATING ||
		 execution->status == FT_EXECUTION_ROLLING_BACK);
}

void
ft_compensation_run(const FtCompensationClaim *claim)
{
	FtEngine	engine;
	FtExecution execution;
	FtTaskEvent event;
	char	   *task_name;
	int			failures;

	execute_command(claim->command);

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
	{
		TimestampTz now = GetCurrentTimestamp();
		char	   *sqlstate = pstrdup(unpack_sql_state(error->sqlerrcode));
		const char *message = error->message ? error->message : "missing error text";

		failures++;
		if (failures >= ft_recovery_max_attempts)
			give_up(&execution, &claim->task_id, task_name, failures, sqlstate, message);
		else
			ft_run(&set_compensation_failed,
				   FT_ARGS(FT_UUID(&claim->task_id),
						   FT_TEXT(ft_task_status_name(FT_TASK_COMPENSATING)),
						   FT_VALUE(Int32GetDatum(failures)),
						   FT_TIME(ft_backoff(now, failures)),
						   FT_TEXT(sqlstate),
						   FT_TEXT(message)));
	}
	ft_engine_leave(&engine);
}

/* Why a role cannot have a worker log in as it; NULL if it can. */
static char *
owner_obstacle(Oid owner, const char *name)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	Form_pg_authid role;
	char	   *obstacle = NULL;

	if (!HeapTupleIsValid(tuple))
		return psprintf("its owner, role \"%s\", does not exist any more", name);
	role = (Form_pg_authid) GETSTRUCT(tuple);
	if (strcmp(NameStr(role->rolname), name) != 0)
		obstacle = psprintf("its owner, role \"%s\", is now named \"%s\"; a superuser calls ft.adopt() to settle whose it is",
							name, NameStr(role->rolname));
	else if (!role->rolcanlogin)
		obstacle = psprintf("its owner, role \"%s\", is not permitted to log in", name);
	else if (ft_database_aclcheck(MyDatabaseId, owner, ACL_CONNECT) != ACLCHECK_OK)
		obstacle = psprintf("its owner, role \"%s\", has no CONNECT privilege on this database", name);
	ReleaseSysCache(tuple);
	return obstacle;
}

/*
 * Owners with a compensation that may run now, each once.  Executions of an
 * owner that no worker could connect as are parked, with the reason.  A role
 * that was renamed owns some by its present name, which may run, and some by
 * its former one, which may not.
 */
List *
ft_compensation_owners_due(TimestampTz now)
{
	MemoryContext result_context = CurrentMemoryContext;
	List	   *owners = NIL;
	List	   *names = NIL;
	List	   *due = NIL;
	ListCell   *owner;
	ListCell   *name;
	FtEngine	engine;
	uint64		n;

	ft_engine_enter(&engine);
	n = ft_run(&due_owners, FT_ARGS(FT_TIME(now)));
	for (uint64 row = 0; row < n; row++)
	{
		if (claim_is_alive(row, 3))
			continue;
		owners = lappend_oid(owners, ft_column_oid(row, 1));
		names = lappend(names, ft_column_text(row, 2));
	}
	forboth(owner, owners, name, names)
	{
		char	   *obstacle = owner_obstacle(lfirst_oid(owner), lfirst(name));

		ft_run(&set_parked,
			   FT_ARGS(FT_VALUE(ObjectIdGetDatum(lfirst_oid(owner))),
					   FT_TEXT(lfirst(name)),
					   FT_TEXT(obstacle)));
		if (obstacle == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(result_context);

			due = list_append_unique_oid(due, lfirst_oid(owner));
			MemoryContextSwitchTo(old);
		}
	}
	ft_engine_leave(&engine);
	return due;
}

TimestampTz
ft_compensation_next_due(TimestampTz now)
{
	/* what is claimed or parked is looked at again with the next poll */
	TimestampTz poll = TimestampTzPlusMilliseconds(now, ft_recovery_interval);

	ft_run(&next_due, FT_ARGS(FT_TIME(now), FT_TIME(poll)));
	return ft_column_is_null(0, 1) ? DT_NOEND : ft_column_time(0, 1);
}

static void
run_claim(void *claim)
{
	ft_compensation_run((const FtCompensationClaim *) claim);
}

/*
 * An error unless this session may run compensations: it has logged in as the
 * current role, and is not at one already.
 */
static void
require_own_session(void)
{
	if (GetAuthenticatedUserId() != GetUserId() || GetSessionUserId() != GetUserId())
		ereport(ERROR,
				(errcode(FT_ERRCODE_NOT_OWNER),
				 errmsg("compensations run only in a session of their owner"),
				 errdetail("The session has logged in as role \"%s\" and acts as \"%s\": the SQL of a compensation could take that role off.",
						   GetUserNameFromId(GetAuthenticatedUserId(), false),
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("Connect as the owner of the executions.")));
	if (executing)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("a compensation cannot run compensations"),
				 errdetail("The one that is running would be run again, by itself."),
				 errhint("Remove the call of ft.run_compensations() from it; the next one runs when it has ended.")));
}

/* ft.run_compensations(execution_id uuid) returns bigint */
Datum
ft_run_compensations(PG_FUNCTION_ARGS)
{
	int64		ran = 0;
	FtEngine	engine;
	FtCompensationClaim claim;
	bool		found;

	require_own_session();

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
						  &claim, fcinfo->flinfo->fn_mcxt);
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
