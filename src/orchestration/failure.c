/*-------------------------------------------------------------------------
 *
 * failure.c
 *	  Failures of executions, and of which type each is.
 *
 * A failure is judged by its SQLSTATE alone, by the rules in failure_rule.c.
 *
 * Locking: the execution's row first, then the task's; a failure's row is new
 * here and needs none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "errors.h"
#include "failure_rule.h"
#include "orchestration/failure.h"
#include "orchestration/ready.h"
#include "sqlstate.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_record_failure);
PG_FUNCTION_INFO_V1(ft_fail_task);

static const char *const failure_type_names[] = {
	[FT_FAILURE_TRANSIENT] = "TRANSIENT",
	[FT_FAILURE_PERMANENT] = "PERMANENT",
	[FT_FAILURE_PARTIAL] = "PARTIAL",
};

FT_STATEMENT(compensable_task,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND compensation IS NOT NULL"
			 "   AND (status = 'COMPLETED' OR iteration > 0 AND orchestration IS NULL)"
			 " LIMIT 1",
			 UUIDOID);
FT_STATEMENT(insert_failure,
			 "INSERT INTO ft.orchestration_failures"
			 " (failure_id, execution_id, failure_type, failure_message,"
			 "  failure_timestamp, task_id, attempt, sqlstate, next_attempt_at, attempt_started_at)"
			 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $5,"
			 "         (SELECT started_at FROM ft.orchestration_tasks WHERE task_id = $6))",
			 UUIDOID, UUIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, UUIDOID, INT4OID, TEXTOID);
FT_STATEMENT(set_failed,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, failures = failures + 1,"
			 "       error_sqlstate = $3, error_message = $4, leased_until = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID, TEXTOID, TEXTOID);

const char *
ft_failure_type_name(FtFailureType type)
{
	return failure_type_names[type];
}

FtFailureType
ft_failure_type_of(const char *name)
{
	for (int i = 0; i < lengthof(failure_type_names); i++)
		if (strcmp(name, failure_type_names[i]) == 0)
			return (FtFailureType) i;
	ereport(ERROR,
			(errcode(FT_ERRCODE_BAD_ARGUMENT),
			 errmsg("unknown failure type \"%s\"", name),
			 errdetail("A failure is TRANSIENT (it is retried), PERMANENT (rolled back) or PARTIAL (compensated)."),
			 errhint("Use one of the three, in capital letters.")));
}

/*
 * By the rule for its SQLSTATE.  Where that leaves it open, partial where
 * something that can be compensated has been done already, and permanent where
 * nothing has.  A time limit may be long enough the next time; only a rule
 * that somebody has made for its class or code says otherwise.
 */
static FtFailureType
classify(const pg_uuid_t *execution_id, const char *sqlstate, bool is_timeout)
{
	const FtFailureRule *rule = ft_failure_rule(ft_failure_rules_read(), sqlstate ? sqlstate : "");

	if (is_timeout && !(rule->changed && rule->prefix[0] != '\0'))
		return FT_FAILURE_TRANSIENT;
	switch (rule->type)
	{
		case FT_RULE_TRANSIENT:
			return FT_FAILURE_TRANSIENT;
		case FT_RULE_PERMANENT:
			return FT_FAILURE_PERMANENT;
		case FT_RULE_PARTIAL:
			return FT_FAILURE_PARTIAL;
		case FT_RULE_BY_WORK:
			break;
	}
	if (ft_run(&compensable_task, FT_ARGS(FT_UUID(execution_id))) > 0)
		return FT_FAILURE_PARTIAL;
	return FT_FAILURE_PERMANENT;
}

/*
 * Write a failure of a locked execution, whose status changes with it, and
 * have the worker look at it as soon as this transaction commits.
 */
static void
record(FtExecution *execution, pg_uuid_t *failure_id, FtFailureType type,
	   const char *message, const char *sqlstate, const FtTask *task)
{
	FtExecutionStatus failed =
		ft_execution_require_transition(execution->status, FT_EXECUTION_FAIL,
										ft_uuid_string(&execution->execution_id));

	ft_uuid_generate(failure_id);
	ft_run(&insert_failure,
		   FT_ARGS(FT_UUID(failure_id),
				   FT_UUID(&execution->execution_id),
				   FT_TEXT(failure_type_names[type]),
				   FT_TEXT(message),
				   FT_TIME(GetCurrentTimestamp()),
				   task ? FT_UUID(&task->task_id) : FT_NULL,
				   task ? FT_VALUE(Int32GetDatum(task->attempt)) : FT_NULL,
				   FT_TEXT(sqlstate)));
	ft_execution_set_status(execution, failed);
	ft_ready_recount(&execution->execution_id, GetCurrentTimestamp());
	ft_wake_worker_at_commit();
}

pg_uuid_t
ft_failure_of_task(FtExecution *execution, FtTask *task, const char *message,
				   const char *sqlstate, bool is_timeout)
{
	pg_uuid_t	failure_id;
	FtTaskStatus failed = ft_task_require_transition(task->status, FT_TASK_FAIL, task->name);

	ft_run(&set_failed,
		   FT_ARGS(FT_UUID(&task->task_id),
				   FT_TEXT(ft_task_status_name(failed)),
				   FT_TEXT(sqlstate),
				   FT_TEXT(message)));
	record(execution, &failure_id,
		   classify(&execution->execution_id, sqlstate, is_timeout),
		   message, sqlstate, task);
	return failure_id;
}

pg_uuid_t
ft_failure_of_execution(FtExecution *execution, const char *message)
{
	pg_uuid_t	failure_id;

	record(execution, &failure_id, classify(&execution->execution_id, NULL, false), message, NULL, NULL);
	return failure_id;
}

/* The text that is looked at is the one that is not translated. */
bool
ft_failure_is_timeout(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->message_id != NULL &&
		strcmp(error->message_id, "canceling statement due to statement timeout") == 0;
}

/*
 * ft.record_failure(execution_id uuid, message text, sqlstate text,
 * failure_type text) returns uuid
 */
Datum
ft_record_failure(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *failure_id = palloc(sizeof(pg_uuid_t));
	char	   *sqlstate;
	FtEngine	engine;
	FtExecution execution;
	FtFailureType type;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "message");
	sqlstate = ft_sqlstate_argument(PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	if (!PG_ARGISNULL(3))
		(void) ft_failure_type_of(text_to_cstring(PG_GETARG_TEXT_PP(3)));

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	if (PG_ARGISNULL(3))
		type = classify(&execution.execution_id, sqlstate, false);
	else
		type = ft_failure_type_of(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	record(&execution, failure_id, type, text_to_cstring(PG_GETARG_TEXT_PP(1)),
		   sqlstate, NULL);
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(failure_id);
}

/*
 * ft.fail_task(task_id uuid, message text, sqlstate text, attempt integer)
 * returns uuid
 */
Datum
ft_fail_task(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *failure_id = palloc(sizeof(pg_uuid_t));
	char	   *message;
	char	   *sqlstate;
	FtEngine	engine;
	FtExecution execution;
	FtTask		task;

	ft_require_argument(PG_ARGISNULL(0), "task_id");
	ft_require_argument(PG_ARGISNULL(1), "message");
	message = text_to_cstring(PG_GETARG_TEXT_PP(1));
	sqlstate = ft_sqlstate_argument(PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));

	ft_engine_enter(&engine);
	ft_task_lock(PG_GETARG_UUID_P(0), engine.caller, &execution, &task);
	if (!PG_ARGISNULL(3))
		ft_task_require_attempt(&task, PG_GETARG_INT32(3));
	*failure_id = ft_failure_of_task(&execution, &task, message, sqlstate, false);
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(failure_id);
}
