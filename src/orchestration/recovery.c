/*-------------------------------------------------------------------------
 *
 * recovery.c
 *	  Recovery of executions: carrying out what recovery_plan.c decided, and
 *	  the functions to do it by hand.
 *
 * Locking: the execution's row first, then its tasks by task_id, then its
 * failures.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/child.h"
#include "orchestration/compensation.h"
#include "orchestration/ready.h"
#include "orchestration/recovery.h"
#include "running.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_recover_from_failure);
PG_FUNCTION_INFO_V1(ft_retry_from_checkpoint);
PG_FUNCTION_INFO_V1(ft_rollback_to_checkpoint);
PG_FUNCTION_INFO_V1(ft_compensate_from_checkpoint);
PG_FUNCTION_INFO_V1(ft_recover_from_checkpoint);

/*
 * A task that starts afresh forgets what it did; one that is retried keeps
 * its count of failures, unless they are forgiven, and then its losses are too;
 * one that is to be compensated gets all its tries.
 */
FT_STATEMENT(update_tasks,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET status = change.status,"
			 "       failures = change.failures,"
			 "       next_attempt_at = nullif(change.next_attempt_at, '-infinity'),"
			 "       leased_until = NULL,"
 /* the run that is not over is not to be undone */
			 "       iteration = CASE WHEN change.status = 'COMPENSATING'"
			 "                             AND task.status IN ('PENDING', 'RUNNING', 'FAILED')"
			 "                        THEN task.iteration - 1 ELSE task.iteration END,"
			 "       result = CASE WHEN change.afresh THEN NULL ELSE task.result END,"
			 "       completed_at = CASE WHEN change.afresh THEN NULL ELSE task.completed_at END,"
			 "       completion_order = CASE WHEN change.afresh THEN NULL ELSE task.completion_order END,"
			 "       compensated_at = CASE WHEN change.afresh THEN NULL ELSE task.compensated_at END,"
			 "       losses = CASE WHEN change.failures = 0 THEN 0 ELSE task.losses END,"
			 "       compensation_failures = 0,"
			 "       compensation_losses = 0,"
			 "       compensation_next_attempt_at = NULL,"
			 "       compensation_error_sqlstate = NULL,"
			 "       compensation_error_message = NULL"
			 "  FROM unnest($1, $2, $3, $4, $5)"
			 "           AS change (task_id, status, failures, next_attempt_at, afresh)"
			 " WHERE task.task_id = change.task_id",
			 UUIDARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID);
FT_STATEMENT(restore_state,
			 "UPDATE ft.orchestration_executions"
			 "   SET state = $2, checkpoint_id = $3, updated_at = $4"
			 " WHERE execution_id = $1",
			 UUIDOID, JSONBOID, UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT(begin_recovery,
			 "UPDATE ft.orchestration_failures"
			 "   SET recovery_strategy = $2, recovery_action = $3, checkpoint_id = $4,"
			 "       recovery_attempts = recovery_attempts + 1, recovery_error = NULL,"
			 "       recovery_started_at = $5, given_up_at = NULL,"
			 "       recovered = $6, recovered_at = CASE WHEN $6 THEN clock_timestamp() END"
			 " WHERE execution_id = $1 AND NOT recovered",
			 UUIDOID, TEXTOID, TEXTOID, UUIDOID, TIMESTAMPTZOID, BOOLOID);

static Datum
make_array(Datum *elements, int n, Oid type, int length, bool by_value, char align)
{
	return PointerGetDatum(construct_array(elements, n, type, length, by_value, align));
}

/* Write what the plan makes of the tasks, in one statement. */
static void
update_planned_tasks(const FtRecoveryPlan *plan)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(plan->ntasks, 1));
	Datum	   *statuses = palloc(sizeof(Datum) * Max(plan->ntasks, 1));
	Datum	   *failures = palloc(sizeof(Datum) * Max(plan->ntasks, 1));
	Datum	   *times = palloc(sizeof(Datum) * Max(plan->ntasks, 1));
	Datum	   *afresh = palloc(sizeof(Datum) * Max(plan->ntasks, 1));
	int			n = 0;

	for (int i = 0; i < plan->ntasks; i++)
	{
		FtPlannedTask *task = &plan->tasks[i];

		if (!task->changes)
			continue;
		if (task->from == FT_TASK_RUNNING)
			ft_running_cancel_at_commit(&task->task_id, task->attempt);
		ids[n] = UUIDPGetDatum(&task->task_id);
		statuses[n] = CStringGetTextDatum(ft_task_status_name(task->to));
		failures[n] = Int32GetDatum(task->afresh ? 0 : task->failures);
		times[n] = TimestampTzGetDatum(task->next_attempt_at);
		afresh[n] = BoolGetDatum(task->afresh);
		n++;
	}
	if (n == 0)
		return;
	ft_run(&update_tasks,
		   FT_ARGS(FT_VALUE(make_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
				   FT_VALUE(make_array(statuses, n, TEXTOID, -1, false, TYPALIGN_INT)),
				   FT_VALUE(make_array(failures, n, INT4OID, sizeof(int32), true, TYPALIGN_INT)),
				   FT_VALUE(make_array(times, n, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
				   FT_VALUE(make_array(afresh, n, BOOLOID, sizeof(bool), true, TYPALIGN_CHAR))));
}

/*
 * Carry out a plan.  Where compensations are to run, the execution waits in
 * ROLLING_BACK or COMPENSATING until the last of them has, and its failures
 * count as recovered only then.
 */
static void
act(FtRecoveryPlan *plan, const FtRecoveryContext *context)
{
	FtExecution *execution = &plan->execution;

	ft_execution_set_status(execution, plan->to);
	update_planned_tasks(plan);
	if (plan->action != FT_RECOVERY_RETRY)
		ft_child_abandon(&execution->execution_id, context->now);
	if (plan->action == FT_RECOVERY_ROLLBACK)
		ft_run(&restore_state,
			   FT_ARGS(FT_UUID(&execution->execution_id),
					   FT_VALUE(plan->checkpoint.state),
					   FT_UUID(&plan->checkpoint.checkpoint_id),
					   FT_TIME(context->now)));

	ft_run(&begin_recovery,
		   FT_ARGS(FT_UUID(&execution->execution_id),
				   FT_TEXT(context->by_hand ? "MANUAL" : "AUTO"),
				   FT_TEXT(ft_recovery_action_name(plan->action)),
				   FT_UUID(&plan->checkpoint.checkpoint_id),
				   FT_TIME(context->now),
				   FT_VALUE(BoolGetDatum(plan->action == FT_RECOVERY_RETRY))));

	ft_ready_recount(&execution->execution_id, context->now);
	if (plan->action == FT_RECOVERY_RETRY)
		ft_execution_complete_if_done(execution);
	else if (plan->ncompensations == 0)
		ft_compensation_finish(execution);
	else
		ft_wake_worker_at_commit();
}

void
ft_recover_execution(const FtExecution *execution, FtRecoveryAction action,
					 const pg_uuid_t *checkpoint_id, Jsonb *state_data,
					 const FtRecoveryContext *context)
{
	FtRecoveryPlan plan = {0};

	plan.execution = *execution;
	ft_checkpoint_load(&plan.checkpoint, checkpoint_id, state_data);
	ft_recovery_plan(&plan, action, context, true);
	act(&plan, context);
}

/* What an operator orders: whatever runs is lost, what failed is forgiven. */
static FtRecoveryContext
context_by_hand(void)
{
	FtRecoveryContext context = {
		.now = GetCurrentTimestamp(),
		.running_is_lost = true,
		.by_hand = true
	};

	return context;
}

/* ft.recover_from_failure(execution_id uuid, failure_type varchar) returns uuid */
Datum
ft_recover_from_failure(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *checkpoint_id = palloc(sizeof(pg_uuid_t));
	FtRecoveryContext context = context_by_hand();
	FtRecoveryAction action;
	FtEngine	engine;
	FtExecution execution;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "failure_type");
	action = ft_recovery_action_of(ft_failure_type_of(text_to_cstring(PG_GETARG_TEXT_PP(1))));

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	*checkpoint_id = ft_checkpoint_newest(&execution.execution_id);
	ft_recover_execution(&execution, action, checkpoint_id, NULL, &context);
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(checkpoint_id);
}

/* One strategy by hand, from a checkpoint whose execution follows from it. */
static Datum
recover_by_hand(FunctionCallInfo fcinfo, FtRecoveryAction action)
{
	FtRecoveryContext context = context_by_hand();
	pg_uuid_t  *checkpoint_id;
	pg_uuid_t	execution_id;
	FtEngine	engine;
	FtExecution execution;

	ft_require_argument(PG_ARGISNULL(0), "checkpoint_id");
	checkpoint_id = PG_GETARG_UUID_P(0);

	ft_engine_enter(&engine);
	execution_id = ft_checkpoint_execution(checkpoint_id);
	ft_execution_lock(&execution, &execution_id, engine.caller);
	ft_recover_execution(&execution, action, checkpoint_id,
						 PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1),
						 &context);
	ft_engine_leave(&engine);

	PG_RETURN_VOID();
}

/* ft.retry_from_checkpoint(checkpoint_id uuid, state_data jsonb) */
Datum
ft_retry_from_checkpoint(PG_FUNCTION_ARGS)
{
	return recover_by_hand(fcinfo, FT_RECOVERY_RETRY);
}

/* ft.rollback_to_checkpoint(checkpoint_id uuid, state_data jsonb) */
Datum
ft_rollback_to_checkpoint(PG_FUNCTION_ARGS)
{
	return recover_by_hand(fcinfo, FT_RECOVERY_ROLLBACK);
}

/* ft.compensate_from_checkpoint(checkpoint_id uuid, state_data jsonb) */
Datum
ft_compensate_from_checkpoint(PG_FUNCTION_ARGS)
{
	return recover_by_hand(fcinfo, FT_RECOVERY_COMPENSATE);
}

/* ft.recover_from_checkpoint(workflow_id uuid, checkpoint_id uuid) returns uuid */
Datum
ft_recover_from_checkpoint(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *result = palloc(sizeof(pg_uuid_t));
	FtRecoveryContext context = context_by_hand();
	pg_uuid_t  *checkpoint_id;
	pg_uuid_t	execution_id;
	FtEngine	engine;
	FtExecution execution;

	ft_require_argument(PG_ARGISNULL(0), "workflow_id");
	ft_require_argument(PG_ARGISNULL(1), "checkpoint_id");
	checkpoint_id = PG_GETARG_UUID_P(1);

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	execution_id = ft_checkpoint_execution(checkpoint_id);
	if (!ft_uuid_equal(&execution_id, &execution.execution_id))
		ereport(ERROR,
				(errcode(FT_ERRCODE_FOREIGN_TASK),
				 errmsg("checkpoint %s does not belong to execution %s",
						ft_uuid_string(checkpoint_id),
						ft_uuid_string(&execution.execution_id)),
				 errdetail("An execution can return only to a checkpoint of its own."),
				 errhint("See them: SELECT checkpoint_id, checkpoint_time FROM ft.orchestration_checkpoints WHERE execution_id = '%s' ORDER BY checkpoint_number;",
						 ft_uuid_string(&execution.execution_id))));
	ft_recover_execution(&execution, FT_RECOVERY_ROLLBACK, checkpoint_id, NULL, &context);
	ft_engine_leave(&engine);

	*result = *checkpoint_id;
	PG_RETURN_UUID_P(result);
}
