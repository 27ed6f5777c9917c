/*-------------------------------------------------------------------------
 *
 * auto_recovery.c
 *	  Recovery of executions by itself: one pass over the failures that are
 *	  due, and when the next pass is.
 *
 * Locking: candidates are read without any lock; each execution is then
 * locked, skipping those that others are at, and its failures are read again
 * under that lock.  Each execution is recovered in a subtransaction of its
 * own, so that one that cannot be recovered does not keep the others from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/deadline.h"
#include "orchestration/installation.h"
#include "orchestration/recovery.h"
#include "subtransaction.h"

PG_FUNCTION_INFO_V1(ft_auto_recover_failures);

#define PASS_LIMIT_SQL	"1000"

#define DUE \
	"NOT failure.recovered AND failure.given_up_at IS NULL" \
	" AND failure.recovery_started_at IS NULL"

/*
 * The same of one execution, in words that do not match the index of what is
 * due.  When much has become due since the last ANALYZE, the planner takes
 * that index for almost empty, and would read all of it for each execution.
 */
#define DUE_OF_EXECUTION \
	"NOT failure.recovered" \
	" AND coalesce(failure.given_up_at, failure.recovery_started_at) IS NULL"

/*
 * $1 is the role whose executions are looked at, by membership in their
 * owner, or null for all.
 */
#define OWNED \
	"($1 IS NULL OR pg_has_role($1, execution.owner_oid, 'USAGE')" \
	" AND pg_get_userbyid(execution.owner_oid) = execution.owner)"

FT_STATEMENT(give_up_old,
			 "WITH stale AS MATERIALIZED"
			 " (SELECT execution.execution_id"
			 "    FROM ft.orchestration_executions AS execution"
			 "   WHERE execution.execution_id IN"
			 "         (SELECT failure.execution_id"
			 "            FROM ft.orchestration_failures AS failure"
			 "           WHERE " DUE " AND failure.failure_timestamp < $3)"
			 "     AND " OWNED
			 "   ORDER BY execution.execution_id LIMIT " PASS_LIMIT_SQL
			 "     FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_failures AS failure"
			 "   SET given_up_at = $2, recovery_strategy = 'FAILED',"
			 "       recovery_error = coalesce(recovery_error, 'older than fault_tolerance.recovery_window')"
			 "  FROM stale"
			 " WHERE failure.execution_id = stale.execution_id"
			 "   AND " DUE_OF_EXECUTION " AND failure.failure_timestamp < $3",
			 OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(due_executions,
			 "SELECT failure.execution_id"
			 "  FROM ft.orchestration_failures AS failure,"
			 "       ft.orchestration_executions AS execution"
			 " WHERE execution.execution_id = failure.execution_id"
			 "   AND " OWNED
			 "   AND " DUE
			 "   AND failure.next_attempt_at <= $2"
			 "   AND failure.failure_timestamp >= $3"
			 " GROUP BY failure.execution_id"
			 " ORDER BY min(failure.failure_timestamp), failure.execution_id"
			 " LIMIT " PASS_LIMIT_SQL,
			 OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID);

/* The gravest type decides for all that is due of one execution. */
FT_STATEMENT(due_failures,
			 "SELECT CASE WHEN bool_or(failure_type = 'PARTIAL') THEN 'PARTIAL'"
			 "            WHEN bool_or(failure_type = 'PERMANENT') THEN 'PERMANENT'"
			 "            WHEN count(*) > 0 THEN 'TRANSIENT' END,"
			 "       coalesce(bool_or(task_id IS NULL), false)"
			 "  FROM ft.orchestration_failures AS failure"
			 " WHERE execution_id = $1 AND " DUE_OF_EXECUTION,
			 UUIDOID);
FT_STATEMENT(task_exhausted,
			 "SELECT bool_or(status = 'COMPLETED' AND compensation IS NOT NULL)"
			 "  FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1"
			 " HAVING bool_or(status = 'FAILED' AND failures >= coalesce(max_attempts, $2)"
			 "                OR status = 'RUNNING' AND $3 AND failures + 1 >= coalesce(max_attempts, $2))",
			 UUIDOID, INT4OID, BOOLOID);
FT_STATEMENT(recovery_attempts,
			 "SELECT coalesce(max(recovery_attempts), 0)"
			 "  FROM ft.orchestration_failures AS failure"
			 " WHERE execution_id = $1 AND " DUE_OF_EXECUTION,
			 UUIDOID);
FT_STATEMENT(postpone,
			 "UPDATE ft.orchestration_failures AS failure"
			 "   SET recovery_strategy = 'FAILED', recovery_error = $2,"
			 "       recovery_attempts = recovery_attempts + 1,"
			 "       next_attempt_at = $3,"
			 "       given_up_at = CASE WHEN recovery_attempts + 1 >= $4 THEN $5 END"
			 " WHERE execution_id = $1 AND " DUE_OF_EXECUTION
			 " RETURNING given_up_at IS NOT NULL",
			 UUIDOID, TEXTOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID);
FT_STATEMENT(next_due_failure,
			 "SELECT min(failure.next_attempt_at)"
			 "  FROM ft.orchestration_failures AS failure WHERE " DUE);
/*
 * What to do about the failures of a locked execution.  A transient failure
 * whose task has used up its attempts, the lost one included, is not
 * transient any more.
 */
static FtRecoveryAction
decide_action(const pg_uuid_t *execution_id, FtFailureType type, bool running_is_lost)
{
	if (type != FT_FAILURE_TRANSIENT)
		return ft_recovery_action_of(type);
	if (ft_run(&task_exhausted,
			   FT_ARGS(FT_UUID(execution_id),
					   FT_VALUE(Int32GetDatum(ft_recovery_max_attempts)),
					   FT_VALUE(BoolGetDatum(running_is_lost)))) == 0)
		return FT_RECOVERY_RETRY;
	return ft_column_bool(0, 1) ?
		FT_RECOVERY_COMPENSATE : FT_RECOVERY_ROLLBACK;
}

typedef struct Candidate
{
	pg_uuid_t	execution_id;
	TimestampTz now;
	bool		recovered;
} Candidate;

/* Recover one execution, if it still needs it and nobody else is at it. */
static void
recover_candidate(void *argument)
{
	Candidate  *candidate = argument;
	const pg_uuid_t *execution_id = &candidate->execution_id;
	FtRecoveryContext context = {.now = candidate->now};
	FtExecution execution;
	FtFailureType type;
	pg_uuid_t	checkpoint_id;

	if (!ft_execution_try_lock(&execution, execution_id))
		return;
	ft_run(&due_failures, FT_ARGS(FT_UUID(execution_id)));
	if (ft_column_is_null(0, 1))
		return;
	type = ft_failure_type_of(ft_column_text(0, 1));

	/*
	 * A failure of a task was reported by that task's worker, so the other
	 * workers are still there.  One of the execution as a whole, by whoever
	 * noticed that it does not go on, means that its workers are not.
	 */
	context.running_is_lost = ft_column_bool(0, 2);

	checkpoint_id = ft_checkpoint_newest(execution_id);
	ft_recover_execution(&execution,
						 decide_action(execution_id, type, context.running_is_lost),
						 &checkpoint_id, NULL, &context);
	candidate->recovered = true;
}

static int
attempts_so_far(const pg_uuid_t *execution_id)
{
	ft_run(&recovery_attempts, FT_ARGS(FT_UUID(execution_id)));
	return ft_column_int32(0, 1);
}

/* Note that recovery failed, and when it is tried again, if it is. */
static void
record_failed_recovery(const pg_uuid_t *execution_id, TimestampTz now,
					   const ErrorData *error, FtRecoveryPass *pass)
{
	FtExecution execution;
	const char *message = error->message ? error->message : "missing error text";
	uint64		n;

	if (!ft_execution_try_lock(&execution, execution_id))
		return;
	n = ft_run(&postpone,
			   FT_ARGS(FT_UUID(execution_id),
					   FT_TEXT(message),
					   FT_TIME(ft_backoff(now, attempts_so_far(execution_id) + 1, 0)),
					   FT_VALUE(Int32GetDatum(ft_recovery_max_attempts)),
					   FT_TIME(now)));
	for (uint64 row = 0; row < n; row++)
		if (ft_column_bool(row, 1))
			pass->given_up++;
	pass->failed++;
}

/* One pass over what is due of a role, or of all for InvalidOid. */
static void
pass_for_role(Oid role, TimestampTz now, FtRecoveryPass *pass)
{
	FtArg		role_arg = OidIsValid(role) ? FT_VALUE(ObjectIdGetDatum(role)) : FT_NULL;
	TimestampTz oldest = TimestampTzPlusMilliseconds(now, -(int64) ft_recovery_window * 1000);
	Candidate  *candidates;
	uint64		n;

	memset(pass, 0, sizeof(*pass));
	pass->given_up = (int64) ft_run(&give_up_old,
									FT_ARGS(role_arg, FT_TIME(now), FT_TIME(oldest)));

	n = ft_run(&due_executions, FT_ARGS(role_arg, FT_TIME(now), FT_TIME(oldest)));
	pass->candidates = (int64) n;
	candidates = palloc0(sizeof(Candidate) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
	{
		candidates[row].execution_id = ft_column_uuid(row, 1);
		candidates[row].now = now;
	}
	for (uint64 i = 0; i < n; i++)
	{
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		error = ft_try(recover_candidate, &candidates[i]);
		if (error)
			record_failed_recovery(&candidates[i].execution_id, now, error, pass);
		else if (candidates[i].recovered)
			pass->recovered++;
	}
}

void
ft_recovery_pass(TimestampTz now, FtRecoveryPass *pass)
{
	FtEngine	engine;

	ft_engine_enter(&engine);
	ft_deadline_pass(InvalidOid, now);
	pass_for_role(InvalidOid, now, pass);
	ft_engine_leave(&engine);
}

TimestampTz
ft_recovery_next_due(void)
{
	FtEngine	engine;
	TimestampTz next = DT_NOEND;

	ft_engine_enter(&engine);
	ft_run(&next_due_failure, NULL);
	if (!ft_column_is_null(0, 1))
		next = ft_column_time(0, 1);
	next = ft_earlier(next, ft_deadline_next());
	next = ft_earlier(next, ft_retention_next());
	ft_engine_leave(&engine);
	return next;
}

/* ft.auto_recover_failures() returns table (recovered_count bigint) */
Datum
ft_auto_recover_failures(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtRecoveryPass pass;
	FtEngine	engine;
	Oid			role;
	Datum		value;
	bool		isnull = false;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	ft_engine_enter(&engine);
	ft_installation_require_own();
	role = superuser_arg(engine.caller) ? InvalidOid : engine.caller;
	ft_deadline_pass(role, GetCurrentTimestamp());
	pass_for_role(role, GetCurrentTimestamp(), &pass);
	ft_engine_leave(&engine);

	value = Int64GetDatum(pass.recovered);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	return (Datum) 0;
}
