/*-------------------------------------------------------------------------
 *
 * control.c
 *	  Pausing, resuming and cancelling executions.
 *
 * A step that is running when its execution is cancelled has lost its claim:
 * its executor is told when the cancel commits, and what the step has done is
 * rolled back, in any case at the latest when it would have been recorded.  It
 * has failed at nothing, so nothing is recorded of it.  So it is with a
 * compensation that runs when its execution is given up, but that nobody tells
 * it before its end.
 *
 * Locking: the execution's row, then its tasks by task_id, then its failures.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/checkpoint.h"
#include "orchestration/ready.h"
#include "orchestration/recovery.h"
#include "orchestration/step_data.h"
#include "running.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_pause);
PG_FUNCTION_INFO_V1(ft_resume);
PG_FUNCTION_INFO_V1(ft_cancel);

FT_STATEMENT(set_paused,
			 "UPDATE ft.orchestration_executions"
			 "   SET paused_at = CASE WHEN $2 THEN $3 END, updated_at = $3"
			 " WHERE execution_id = $1",
			 UUIDOID, BOOLOID, TIMESTAMPTZOID);
FT_STATEMENT(lock_open_tasks,
			 "SELECT task_id, status, attempt, task_name FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND status IN ('PENDING', 'RUNNING')"
			 " ORDER BY task_id FOR NO KEY UPDATE",
			 UUIDOID);
FT_STATEMENT(cancel_tasks,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, due_at = NULL, next_attempt_at = NULL"
			 " WHERE execution_id = $1 AND status IN ('PENDING', 'RUNNING')",
			 UUIDOID, TEXTOID);
FT_STATEMENT(leave_done,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, compensation_next_attempt_at = NULL, compensation_pid = NULL,"
			 "       compensation_epoch = NULL, compensation_worker = NULL"
			 " WHERE execution_id = $1 AND status = 'COMPENSATING'",
			 UUIDOID, TEXTOID);
FT_STATEMENT(settle_failures,
			 "UPDATE ft.orchestration_failures"
			 "   SET recovered = true, recovered_at = $2, recovery_strategy = 'MANUAL'"
			 " WHERE execution_id = $1 AND NOT recovered",
			 UUIDOID, TIMESTAMPTZOID);

FT_STATEMENT(children,
			 "SELECT execution_id FROM ft.orchestration_executions"
			 " WHERE parent_task_id IN (SELECT task_id FROM ft.orchestration_tasks WHERE execution_id = $1)"
			 "   AND finished_at IS NULL"
			 " ORDER BY execution_id",
			 UUIDOID);

/*
 * Do the same to the executions that the tasks of an execution have started,
 * each locked after it.
 */
static void
for_children(const FtExecution *execution, void (*action) (FtExecution *child, TimestampTz now),
			 TimestampTz now)
{
	uint64		n = ft_run(&children, FT_ARGS(FT_UUID(&execution->execution_id)));
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(n, 1));

	check_stack_depth();
	for (uint64 row = 0; row < n; row++)
		ids[row] = ft_column_uuid(row, 1);
	for (uint64 i = 0; i < n; i++)
	{
		FtExecution child;

		ft_execution_lock(&child, &ids[i], InvalidOid);
		if (!ft_execution_is_finished(child.status))
			action(&child, now);
	}
}

static void
require_unfinished(const FtExecution *execution, const char *what)
{
	if (ft_execution_is_finished(execution->status))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("execution %s cannot be %s", ft_uuid_string(&execution->execution_id), what),
				 errdetail("Its status is %s: it has ended.", ft_execution_status_name(execution->status)),
				 errhint("See how: SELECT task_name, status FROM ft.orchestration_tasks WHERE execution_id = '%s';",
						 ft_uuid_string(&execution->execution_id))));
}

static void
write_paused(FtExecution *execution, bool paused, TimestampTz now)
{
	execution->paused = paused;
	ft_run(&set_paused,
		   FT_ARGS(FT_UUID(&execution->execution_id), FT_VALUE(BoolGetDatum(paused)), FT_TIME(now)));
	ft_ready_recount(&execution->execution_id, now);
}

static void
pause_it(FtExecution *execution, TimestampTz now)
{
	if (!execution->paused)
		write_paused(execution, true, now);
	for_children(execution, pause_it, now);
}

static void
unpause_it(FtExecution *execution, TimestampTz now)
{
	if (execution->paused)
		write_paused(execution, false, now);
	for_children(execution, unpause_it, now);
}

/* ft.pause(execution_id uuid) returns boolean */
Datum
ft_pause(PG_FUNCTION_ARGS)
{
	FtEngine	engine;
	FtExecution execution;
	bool		pauses;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	require_unfinished(&execution, "paused");
	pauses = !execution.paused;
	if (pauses)
		pause_it(&execution, GetCurrentTimestamp());
	ft_engine_leave(&engine);

	PG_RETURN_BOOL(pauses);
}

/* One that was rolled back goes on from its checkpoint. */
static void
go_on(FtExecution *execution, TimestampTz now)
{
	FtRecoveryContext context = {.now = now,.by_hand = true};
	pg_uuid_t	checkpoint_id = ft_checkpoint_newest(&execution->execution_id);

	ft_recover_execution(execution, FT_RECOVERY_RETRY, &checkpoint_id, NULL, &context);
}

/* ft.resume(execution_id uuid) returns boolean */
Datum
ft_resume(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	FtEngine	engine;
	FtExecution execution;
	bool		was_paused;
	bool		rolled_back;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	require_unfinished(&execution, "resumed");
	was_paused = execution.paused;
	/* else it is its own workers that start the next task of it */
	rolled_back = execution.managed && execution.status == FT_EXECUTION_ROLLED_BACK;

	if (was_paused)
		unpause_it(&execution, now);
	if (rolled_back)
		go_on(&execution, now);
	if (was_paused)
		ft_wake_worker_at_commit(); /* there may be compensations */
	ft_engine_leave(&engine);

	PG_RETURN_BOOL(was_paused || rolled_back);
}

/* Cancel the tasks that have not ended. */
static void
cancel_open_tasks(const pg_uuid_t *execution_id)
{
	FtTaskStatus cancelled = FT_TASK_CANCELLED;
	uint64		n = ft_run(&lock_open_tasks, FT_ARGS(FT_UUID(execution_id)));

	for (uint64 row = 0; row < n; row++)
	{
		FtTaskStatus from = ft_task_status_of(ft_column_text(row, 2));
		pg_uuid_t	task_id = ft_column_uuid(row, 1);

		cancelled = ft_task_require_transition(from, FT_TASK_CANCEL, ft_column_text(row, 4));
		if (from == FT_TASK_RUNNING)
			ft_running_cancel_at_commit(&task_id, ft_column_int32(row, 3));
	}
	ft_run(&cancel_tasks,
		   FT_ARGS(FT_UUID(execution_id), FT_TEXT(ft_task_status_name(cancelled))));
}

static void give_up_child(FtExecution *child, TimestampTz now);

/* End it as it is: what has completed stays done. */
static void
give_up(FtExecution *execution, TimestampTz now)
{
	FtExecutionStatus cancelled =
		ft_execution_require_transition(execution->status, FT_EXECUTION_CANCEL,
										ft_uuid_string(&execution->execution_id));

	ft_execution_set_status(execution, cancelled);
	cancel_open_tasks(&execution->execution_id);
	ft_run(&leave_done,
		   FT_ARGS(FT_UUID(&execution->execution_id),
				   FT_TEXT(ft_task_status_name(ft_task_require_transition(FT_TASK_COMPENSATING,
																		  FT_TASK_CANCEL, "")))));
	ft_run(&settle_failures, FT_ARGS(FT_UUID(&execution->execution_id), FT_TIME(now)));
	ft_ready_recount(&execution->execution_id, now);
	for_children(execution, give_up_child, now);
}

/* One that is being undone already goes on with that, or waits for somebody. */
static void
give_up_child(FtExecution *child, TimestampTz now)
{
	if (child->status != FT_EXECUTION_COMPENSATING && child->status != FT_EXECUTION_ROLLING_BACK &&
		child->status != FT_EXECUTION_COMPENSATION_FAILED)
		give_up(child, now);
}

/* Undo what has completed. */
static void
abandon(FtExecution *execution, TimestampTz now)
{
	FtRecoveryContext context = {.now = now,.running_is_lost = true,.by_hand = true};
	pg_uuid_t	checkpoint_id = ft_checkpoint_newest(&execution->execution_id);

	ft_recover_execution(execution, FT_RECOVERY_COMPENSATE, &checkpoint_id, NULL, &context);
}

/* It would take its own claim away, and be rolled back together with the cancel. */
static void
require_other_than_own(const FtExecution *execution)
{
	if (ft_step_is_of(&execution->execution_id))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("a step cannot cancel its own execution"),
				 errdetail("Without its claim it would be rolled back, with all that it has done and the cancel."),
				 errhint("Raise an error to have the execution undone, or set in ft.set_state() what conditions of later tasks look at.")));
}

/* ft.cancel(execution_id uuid, compensate boolean) returns text */
Datum
ft_cancel(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	FtEngine	engine;
	FtExecution execution;
	const char *status;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "compensate");

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	require_unfinished(&execution, "cancelled");
	require_other_than_own(&execution);
	if (!PG_GETARG_BOOL(1))
		give_up(&execution, now);
	else if (execution.status != FT_EXECUTION_COMPENSATING) /* else it is at it */
		abandon(&execution, now);
	ft_execution_read(&execution, PG_GETARG_UUID_P(0), InvalidOid);
	status = ft_execution_status_name(execution.status);
	ft_engine_leave(&engine);

	PG_RETURN_TEXT_P(cstring_to_text(status));
}
