/*-------------------------------------------------------------------------
 *
 * compensation.c
 *	  Compensations: undoing completed tasks, one transaction each, in reverse
 *	  order of completion.
 *
 * The compensation's own SQL and the record that it has run commit together,
 * so it takes effect exactly once.  Whoever runs it has claimed it before, see
 * compensation_claim.c, re-checks the attempt in the transaction that does the
 * work, and rolls that back if another session has taken over.
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
#include "utils/builtins.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/command.h"
#include "orchestration/compensation.h"
#include "orchestration/compensation_claim.h"
#include "orchestration/flow.h"
#include "orchestration/recovery_plan.h"
#include "transaction.h"
#include "uuid.h"

FT_STATEMENT(lock_claimed_task,
			 "SELECT task_name, status, compensation_attempt, compensation_failures"
			 "  FROM ft.orchestration_tasks"
			 " WHERE task_id = $1 FOR NO KEY UPDATE",
			 UUIDOID);
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

bool
ft_compensation_in_progress(const FtExecution *execution)
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

void
ft_compensation_blame(FtExecution *execution, const pg_uuid_t *task_id, const char *task_name,
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
		ft_column_int32(0, 3) == claim->attempt && ft_compensation_in_progress(execution);
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
		ft_compensation_blame(&execution, &claim->task_id, task_name, failures + 1,
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
		ft_compensation_give_back(&claim->task_id);
	ft_engine_leave(&engine);
}
