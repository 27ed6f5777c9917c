/*-------------------------------------------------------------------------
 *
 * dead_letter.c
 *	  Executions that have stopped: correcting what stopped them, and making
 *	  them go on.
 *
 * Locking: the execution's row, then its tasks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/checkpoint.h"
#include "orchestration/definition.h"
#include "orchestration/recovery.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_redrive);
PG_FUNCTION_INFO_V1(ft_correct_task);

FT_STATEMENT(forgive,
			 "UPDATE ft.orchestration_tasks SET failures = 0, losses = 0"
			 " WHERE execution_id = $1 AND (failures > 0 OR losses > 0)",
			 UUIDOID);

/*
 * Whether it was a rollback that a compensation has ended, and to where: what
 * is compensated for good has no task that is pending.
 */
FT_STATEMENT(interrupted,
			 "SELECT EXISTS (SELECT FROM ft.orchestration_tasks"
			 "                WHERE execution_id = $1 AND status = 'PENDING')"
			 "       OR 'ROLLBACK' = (SELECT recovery_action FROM ft.orchestration_failures"
			 "                         WHERE execution_id = $1 AND NOT recovered"
			 "                         ORDER BY failure_timestamp DESC LIMIT 1),"
			 "       (SELECT checkpoint_id FROM ft.orchestration_checkpoints AS checkpoint"
			 "         WHERE checkpoint.checkpoint_id = execution.checkpoint_id)"
			 "  FROM ft.orchestration_executions AS execution WHERE execution_id = $1",
			 UUIDOID);
FT_STATEMENT(is_parked,
			 "SELECT parked_reason IS NOT NULL FROM ft.orchestration_executions"
			 " WHERE execution_id = $1",
			 UUIDOID);
FT_STATEMENT(task_mode,
			 "SELECT execution_mode FROM ft.orchestration_tasks WHERE task_id = $1",
			 UUIDOID);
/*
 * A task that fans out is run and undone by its children: those that are there
 * are corrected as far as that is looked at, those to come have it from it.
 */
FT_STATEMENT(correct,
			 "UPDATE ft.orchestration_tasks"
			 "   SET command = CASE WHEN status IN ('PENDING', 'RUNNING', 'FAILED') THEN coalesce($3, command)"
			 "                      ELSE command END,"
			 "       compensation = CASE WHEN for_each IS NULL AND status <> 'COMPENSATED'"
			 "                           THEN coalesce($4, compensation) ELSE compensation END,"
			 "       item_compensation = CASE WHEN for_each IS NULL THEN item_compensation"
			 "                                ELSE coalesce($4, item_compensation) END"
			 " WHERE execution_id = $1 AND (task_id = $2 OR parent_task_id = $2)",
			 UUIDOID, UUIDOID, TEXTOID, TEXTOID);

/* Go on with the compensations that were left. */
static void
compensate_again(FtExecution *execution, const FtRecoveryContext *context)
{
	FtRecoveryAction action = FT_RECOVERY_COMPENSATE;
	pg_uuid_t	checkpoint_id = ft_checkpoint_newest(&execution->execution_id);
	bool		isnull;

	ft_run(&interrupted, FT_ARGS(FT_UUID(&execution->execution_id)));
	if (DatumGetBool(ft_column(0, 1, &isnull)) && !isnull)
	{
		action = FT_RECOVERY_ROLLBACK;
		if (!ft_column_is_null(0, 2))
			checkpoint_id = ft_column_uuid(0, 2);
	}
	ft_recover_execution(execution, action, &checkpoint_id, NULL, context);
}

/* What has failed, or was taken back, is tried again. */
static void
try_again(FtExecution *execution, const FtRecoveryContext *context)
{
	pg_uuid_t	checkpoint_id = ft_checkpoint_newest(&execution->execution_id);

	ft_run(&forgive, FT_ARGS(FT_UUID(&execution->execution_id)));
	ft_recover_execution(execution, FT_RECOVERY_RETRY, &checkpoint_id, NULL, context);
}

static void
report_not_stopped(const FtExecution *execution)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_WRONG_STATUS),
			 errmsg("execution %s has not stopped", ft_uuid_string(&execution->execution_id)),
			 errdetail(ft_execution_is_finished(execution->status) ?
					   "Its status is %s: it has ended." : "Its status is %s: it goes on by itself.",
					   ft_execution_status_name(execution->status)),
			 errhint("Those that have: SELECT * FROM ft.dead_letters;")));
}

/* ft.redrive(execution_id uuid) returns text */
Datum
ft_redrive(PG_FUNCTION_ARGS)
{
	FtRecoveryContext context = {.now = GetCurrentTimestamp(),.by_hand = true};
	FtEngine	engine;
	FtExecution execution;
	const char *status;
	bool		parked;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	ft_run(&is_parked, FT_ARGS(FT_UUID(&execution.execution_id)));
	parked = ft_column_bool(0, 1);
	/* of what executors run it is known whether it runs */
	context.running_is_lost = !execution.managed;

	switch (execution.status)
	{
		case FT_EXECUTION_FAILED:
		case FT_EXECUTION_ROLLED_BACK:
			try_again(&execution, &context);
			break;
		case FT_EXECUTION_COMPENSATION_FAILED:
			compensate_again(&execution, &context);
			break;
		default:
			if (!parked)
				report_not_stopped(&execution);
			break;
	}
	/* what is parked is looked at again */
	if (parked)
		ft_wake_worker_at_commit();
	ft_execution_read(&execution, PG_GETARG_UUID_P(0), InvalidOid);
	status = ft_execution_status_name(execution.status);
	ft_engine_leave(&engine);

	PG_RETURN_TEXT_P(cstring_to_text(status));
}

/* An error where a correction would never be looked at. */
static void
check_correctable(const FtExecution *execution, const FtTask *task, bool command, bool compensation)
{
	bool		has_run = task->status != FT_TASK_PENDING && task->status != FT_TASK_RUNNING &&
		task->status != FT_TASK_FAILED;

	if (!ft_execution_is_finished(execution->status) && !(command && has_run) &&
		!(compensation && task->status == FT_TASK_COMPENSATED))
		return;
	ereport(ERROR,
			(errcode(FT_ERRCODE_WRONG_STATUS),
			 errmsg("task \"%s\" cannot be corrected", task->name),
			 errdetail("Its status is %s, in an execution that is %s: it would not be run again.",
					   ft_task_status_name(task->status), ft_execution_status_name(execution->status)),
			 errhint("A rollback to a checkpoint before it makes it due again: ft.recover_from_checkpoint().")));
}

/* ft.correct_task(task_id uuid, command text, compensation text) */
Datum
ft_correct_task(PG_FUNCTION_ARGS)
{
	FtEngine	engine;
	FtExecution execution;
	FtTask		task;
	bool		alone;

	ft_require_argument(PG_ARGISNULL(0), "task_id");
	if (PG_ARGISNULL(1) && PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("there is nothing to correct"),
				 errdetail("Both command and compensation are null."),
				 errhint("Pass the new text of one of them, or of both.")));

	ft_engine_enter(&engine);
	ft_task_lock(PG_GETARG_UUID_P(0), engine.caller, &execution, &task);
	check_correctable(&execution, &task, !PG_ARGISNULL(1), !PG_ARGISNULL(2));
	ft_run(&task_mode, FT_ARGS(FT_UUID(&task.task_id)));
	alone = strcmp(ft_column_text(0, 1), "non_transactional") == 0;
	/* what workers outside run may be anything */
	if (!PG_ARGISNULL(1) && execution.managed && strcmp(ft_column_text(0, 1), "external") != 0)
		ft_definition_check_command(text_to_cstring(PG_GETARG_TEXT_PP(1)), "command", alone, !alone);
	if (!PG_ARGISNULL(2))
		ft_definition_check_command(text_to_cstring(PG_GETARG_TEXT_PP(2)), "compensation", false, true);

	ft_run(&correct,
		   FT_ARGS(FT_UUID(&execution.execution_id), FT_UUID(&task.task_id),
				   PG_ARGISNULL(1) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(1)),
				   PG_ARGISNULL(2) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(2))));
	ft_execution_touch(&execution);
	ft_engine_leave(&engine);

	PG_RETURN_VOID();
}
