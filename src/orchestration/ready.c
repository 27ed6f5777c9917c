/*-------------------------------------------------------------------------
 *
 * ready.c
 *	  Which tasks of an execution may be started: kept up to date whenever
 *	  something changes that decides it.
 *
 * A task of a managed execution has due_at set if, and only if, an executor may
 * start it at that time: it is pending, all it depends on has ended, and its
 * execution goes on and is not paused.  Whoever looks for something to do
 * looks at nothing else.
 *
 * Locking: the execution's row is locked by the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "orchestration/ready.h"
#include "transaction.h"
#include "uuid.h"

FT_STATEMENT(release_successors,
			 "UPDATE ft.orchestration_tasks"
			 "   SET unmet = unmet - 1,"
			 "       due_at = CASE WHEN unmet = 1 AND $3 THEN $4 END"
			 " WHERE execution_id = $1 AND status = 'PENDING' AND $2 = ANY (depends_on)"
			 " RETURNING task_id, due_at IS NOT NULL AND execution_mode <> 'external'",
			 UUIDOID, TEXTOID, BOOLOID, TIMESTAMPTZOID);
FT_STATEMENT(recount_execution,
			 "UPDATE ft.orchestration_executions"
			 "   SET tasks_left = (SELECT count(*) FROM ft.orchestration_tasks"
			 "                      WHERE execution_id = $1 AND status NOT IN ('COMPLETED', 'SKIPPED'))"
			 " WHERE execution_id = $1"
			 " RETURNING managed AND paused_at IS NULL AND parked_reason IS NULL AND status IN ('PENDING', 'RUNNING'), run_at, owner_oid",
			 UUIDOID);
FT_STATEMENT(recount_tasks,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET unmet = now.unmet,"
			 "       due_at = CASE WHEN $2 AND task.status = 'PENDING' AND now.unmet = 0"
			 "                     THEN coalesce(greatest(task.next_attempt_at, $4), $3) END"
			 "  FROM (SELECT waiting.task_id,"
			 "               (SELECT count(*) FROM ft.orchestration_tasks AS needed"
			 "                 WHERE needed.execution_id = waiting.execution_id"
			 "                   AND needed.task_name = ANY (waiting.depends_on)"
			 "                   AND needed.status NOT IN ('COMPLETED', 'SKIPPED')) AS unmet"
			 "          FROM ft.orchestration_tasks AS waiting"
			 "         WHERE waiting.execution_id = $1) AS now"
			 " WHERE task.task_id = now.task_id"
			 "   AND (task.unmet <> now.unmet"
			 "        OR (task.due_at IS NULL) = ($2 AND task.status = 'PENDING' AND now.unmet = 0)"
			 "        OR task.due_at < task.next_attempt_at)",
			 UUIDOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(set_lost,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, losses = losses + 1, worker_pid = NULL, worker_epoch = NULL,"
			 "       worker_id = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID);

int
ft_ready_successors(const pg_uuid_t *execution_id, const char *task_name,
					bool goes_on, TimestampTz now, pg_uuid_t *first)
{
	int			due = 0;
	uint64		n = ft_run(&release_successors,
						   FT_ARGS(FT_UUID(execution_id), FT_TEXT(task_name),
								   FT_VALUE(BoolGetDatum(goes_on)), FT_TIME(now)));

	for (uint64 row = 0; row < n; row++)
	{
		if (!ft_column_bool(row, 2))
			continue;
		if (due++ == 0)
			*first = ft_column_uuid(row, 1);
	}
	return due;
}

void
ft_ready_recount(const pg_uuid_t *execution_id, TimestampTz now)
{
	bool		goes_on;
	FtArg		run_at;
	Oid			owner;

	ft_run(&recount_execution, FT_ARGS(FT_UUID(execution_id)));
	goes_on = ft_column_bool(0, 1);
	run_at = ft_column_is_null(0, 2) ? FT_NULL : FT_TIME(ft_column_time(0, 2));
	owner = ft_column_oid(0, 3);
	if (ft_run(&recount_tasks,
			   FT_ARGS(FT_UUID(execution_id), FT_VALUE(BoolGetDatum(goes_on)),
					   FT_TIME(now), run_at)) > 0 && goes_on)
		ft_wake_executor_at_commit(owner);
}

void
ft_ready_lost(const FtExecution *execution, const FtTask *task, TimestampTz now)
{
	ft_run(&set_lost,
		   FT_ARGS(FT_UUID(&task->task_id),
				   FT_TEXT(ft_task_status_name(ft_task_require_transition(task->status, FT_TASK_RELEASE,
																		  task->name)))));
	ft_ready_recount(&execution->execution_id, now);
}
