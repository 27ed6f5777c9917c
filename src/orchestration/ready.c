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
#include "orchestration/step.h"
#include "transaction.h"
#include "uuid.h"

/*
 * A task that waits for its signal, and for nothing else, is due when it will
 * have waited too long: it is then started to find that out.
 */
#define WAITS_UNTIL \
	"CASE WHEN unmet = 2 AND timeout IS NOT NULL AND " FT_SIGNAL_AWAITED("task") \
	" THEN $4 + timeout END"

/*
 * Each is found by its name: to find those that name the one that has ended
 * would read the whole execution with each step.
 */
FT_STATEMENT(release_successors,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET unmet = unmet - 1,"
			 "       not_before = CASE WHEN unmet = 1 THEN $4 + sleep END,"
			 "       wait_until = " WAITS_UNTIL ","
			 "       due_at = CASE WHEN NOT $3 THEN NULL"
			 "                     WHEN unmet = 1 THEN $4 + coalesce(sleep, '0')"
			 "                     ELSE " WAITS_UNTIL " END"
			 " WHERE status = 'PENDING' AND task_id = ANY (ARRAY("
			 "       SELECT (SELECT task_id FROM ft.orchestration_tasks"
			 "                WHERE execution_id = $1 AND task_name = successor)"
			 "         FROM unnest((SELECT successors FROM ft.orchestration_tasks"
			 "                       WHERE execution_id = $1 AND task_name = $2)) AS successor))"
			 " RETURNING task_id, coalesce(due_at <= $4 AND execution_mode <> 'external', false),"
			 "           coalesce(due_at > $4, false)",
			 UUIDOID, TEXTOID, BOOLOID, TIMESTAMPTZOID);

/*
 * The same for several tasks that have ended, of executions that go on or not,
 * each by its place among them.  One may depend on several of them.
 */
#define WAITS_UNTIL_NOW \
	"CASE WHEN task.unmet - ended.met = 1 AND task.timeout IS NOT NULL AND " FT_SIGNAL_AWAITED("task") \
	" THEN $3 + task.timeout END"

FT_STATEMENT(release_successors_of,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET unmet = task.unmet - ended.met,"
			 "       not_before = CASE WHEN task.unmet = ended.met THEN $3 + task.sleep END,"
			 "       wait_until = " WAITS_UNTIL_NOW ","
			 "       due_at = CASE WHEN NOT ended.goes_on THEN NULL"
			 "                     WHEN task.unmet = ended.met THEN $3 + coalesce(task.sleep, '0')"
			 "                     ELSE " WAITS_UNTIL_NOW " END"
			 "  FROM " FT_WHAT_DEPENDED("")
			 " WHERE task.task_id = ended.successor_id AND task.status = 'PENDING'"
			 " RETURNING task.task_id, coalesce(task.due_at <= $3 AND task.execution_mode <> 'external', false),"
			 "           coalesce(task.due_at > $3, false), task.execution_id, " FT_IS_SHORT("task"),
			 UUIDARRAYOID, BOOLARRAYOID, TIMESTAMPTZOID);

/*
 * A child that has ended counts at its parent: nobody looks at its siblings.
 * The parent is due with the last of them.
 */
FT_STATEMENT(release_parent,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET unmet = task.unmet - 1,"
			 "       due_at = CASE WHEN $3 AND task.unmet = 1 THEN $4 END"
			 "  FROM ft.orchestration_tasks AS child"
			 " WHERE child.execution_id = $1 AND child.task_name = $2"
			 "   AND task.task_id = child.parent_task_id AND task.status = 'PENDING'"
			 " RETURNING task.task_id, task.due_at IS NOT NULL, false",
			 UUIDOID, TEXTOID, BOOLOID, TIMESTAMPTZOID);

#define GOES_ON \
	"managed AND paused_at IS NULL AND parked_reason IS NULL AND status IN ('PENDING', 'RUNNING')"

FT_STATEMENT(read_execution,
			 "SELECT " GOES_ON ", run_at, owner_oid FROM ft.orchestration_executions"
			 " WHERE execution_id = $1",
			 UUIDOID);
FT_STATEMENT(release_signalled,
			 "UPDATE ft.orchestration_tasks"
			 "   SET unmet = unmet - 1, wait_until = NULL,"
			 "       not_before = CASE WHEN unmet = 1 THEN $5 + sleep END,"
			 "       due_at = CASE WHEN $3 AND unmet = 1 AND status = 'PENDING'"
			 "                     THEN greatest($5 + coalesce(sleep, '0'), next_attempt_at) END"
			 " WHERE execution_id = $1 AND signal = $2 AND status IN ('PENDING', 'RUNNING')"
			 " RETURNING coalesce(due_at <= $4, false), coalesce(due_at > $4, false)",
			 UUIDOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(release_starter,
			 "UPDATE ft.orchestration_tasks"
			 "   SET unmet = 0, due_at = CASE WHEN $3 THEN $4 END"
			 " WHERE task_id = $1 AND status = 'PENDING' AND child_execution_id = $2"
			 " RETURNING coalesce(due_at <= $4, false), false",
			 UUIDOID, UUIDOID, BOOLOID, TIMESTAMPTZOID);

/* A task that is tried again after what it had started has failed starts anew. */
FT_STATEMENT(forget_failed_children,
			 "UPDATE ft.orchestration_tasks AS task SET child_execution_id = NULL"
			 "  FROM ft.orchestration_executions AS child"
			 " WHERE task.execution_id = $1 AND task.status = 'PENDING'"
			 "   AND task.next_attempt_at IS NOT NULL"
			 "   AND child.execution_id = task.child_execution_id"
			 "   AND child.status IN ('COMPENSATED', 'CANCELLED', 'ROLLED_BACK', 'COMPENSATION_FAILED')",
			 UUIDOID);
FT_STATEMENT(recount_execution,
			 "UPDATE ft.orchestration_executions"
			 "   SET tasks_left = (SELECT count(*) FROM ft.orchestration_tasks"
			 "                      WHERE execution_id = $1 AND status NOT IN ('COMPLETED', 'SKIPPED'))"
			 " WHERE execution_id = $1"
			 " RETURNING " GOES_ON ", run_at, owner_oid",
			 UUIDOID);

/*
 * What has waited too long and is tried again waits once more.  OFFSET has what
 * is counted be counted once for each task, and not at each place that uses it.
 */
FT_STATEMENT(recount_tasks,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET unmet = now.unmet, not_before = now.not_before, wait_until = now.wait_until,"
			 "       due_at = CASE WHEN NOT $2 OR task.status <> 'PENDING' THEN NULL"
			 "                     WHEN now.unmet = 0"
			 "                     THEN coalesce(greatest(task.next_attempt_at, $4, now.not_before), $3)"
			 "                     ELSE now.wait_until END"
			 "  FROM (SELECT waiting.task_id, counted.unmet,"
			 "               CASE WHEN waiting.unmet > 0 AND counted.unmet = 0"
			 "                         AND waiting.children IS NULL AND waiting.child_execution_id IS NULL"
			 "                    THEN greatest($3, $4) + waiting.sleep"
			 "                    ELSE waiting.not_before END AS not_before,"
			 "               CASE WHEN waiting.status = 'PENDING' AND counted.unmet = 1"
			 "                         AND waiting.timeout IS NOT NULL"
			 "                         AND " FT_SIGNAL_AWAITED("waiting")
			 "                    THEN greatest(coalesce(waiting.wait_until,"
			 "                                           greatest($3, $4) + waiting.timeout),"
			 "                                  waiting.next_attempt_at + waiting.timeout)"
			 "                    END AS wait_until"
			 "          FROM ft.orchestration_tasks AS waiting,"
			 "               LATERAL (SELECT " FT_UNMET("waiting") " AS unmet OFFSET 0) AS counted"
			 "         WHERE waiting.execution_id = $1) AS now"
			 " WHERE task.task_id = now.task_id"
			 "   AND (task.unmet <> now.unmet"
			 "        OR task.wait_until IS DISTINCT FROM now.wait_until"
			 "        OR (task.due_at IS NULL) = ($2 AND task.status = 'PENDING'"
			 "                                    AND (now.unmet = 0 OR now.wait_until IS NOT NULL))"
			 "        OR task.due_at < task.next_attempt_at)"
			 " RETURNING coalesce(task.due_at <= $3, false), coalesce(task.due_at > $3, false)",
			 UUIDOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(set_lost,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, losses = losses + 1, suspicion = $3, worker_pid = NULL,"
			 "       worker_epoch = NULL, worker_id = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID, TEXTOID);

void
ft_ready_wake(uint64 n, int due_column, Oid owner)
{
	int64		due = 0;
	bool		due_later = false;

	for (uint64 row = 0; row < n; row++)
	{
		if (ft_column_bool(row, due_column))
			due++;
		due_later = due_later || ft_column_bool(row, due_column + 1);
	}
	if (due > 0)
		ft_wake_executor_at_commit(owner, due);
	/* who sleeps until the next is due has to know of this one */
	if (due_later)
		ft_wake_worker_at_commit();
}

bool
ft_ready_may_be_child(const char *task_name)
{
	return task_name[0] != '\0' && task_name[strlen(task_name) - 1] == ']';
}

int
ft_ready_successors(const pg_uuid_t *execution_id, const char *task_name,
					bool goes_on, TimestampTz now, pg_uuid_t *first)
{
	int			due = 0;
	bool		due_later = false;
	FtArg	   *args = FT_ARGS(FT_UUID(execution_id), FT_TEXT(task_name),
							   FT_VALUE(BoolGetDatum(goes_on)), FT_TIME(now));
	uint64		n = 0;

	if (ft_ready_may_be_child(task_name))
		n = ft_run(&release_parent, args);
	if (n == 0)
		n = ft_run(&release_successors, args);

	for (uint64 row = 0; row < n; row++)
	{
		due_later = due_later || ft_column_bool(row, 3);
		if (!ft_column_bool(row, 2))
			continue;
		if (due++ == 0)
			*first = ft_column_uuid(row, 1);
	}
	if (due_later)
		ft_wake_worker_at_commit();
	return due;
}

uint64
ft_ready_successors_of(FtArg task_ids, FtArg go_on, TimestampTz now)
{
	uint64		n = ft_run(&release_successors_of, FT_ARGS(task_ids, go_on, FT_TIME(now)));

	for (uint64 row = 0; row < n; row++)
	{
		if (ft_column_bool(row, 3))
		{
			ft_wake_worker_at_commit();
			break;
		}
	}
	return n;
}

/* The last result's row: does it go on, not before when, and whose is it? */
static void
read_result(bool *goes_on, FtArg *run_at, Oid *owner)
{
	*goes_on = ft_column_bool(0, 1);
	*run_at = ft_column_is_null(0, 2) ? FT_NULL : FT_TIME(ft_column_time(0, 2));
	*owner = ft_column_oid(0, 3);
}

void
ft_ready_child_over(const pg_uuid_t *execution_id, const pg_uuid_t *task_id,
					const pg_uuid_t *child_execution_id, TimestampTz now)
{
	bool		goes_on;
	FtArg		run_at;
	Oid			owner;
	uint64		n;

	ft_run(&read_execution, FT_ARGS(FT_UUID(execution_id)));
	read_result(&goes_on, &run_at, &owner);
	n = ft_run(&release_starter,
			   FT_ARGS(FT_UUID(task_id), FT_UUID(child_execution_id),
					   FT_VALUE(BoolGetDatum(goes_on)), FT_TIME(now)));
	ft_ready_wake(n, 1, owner);
}

void
ft_ready_signalled(const pg_uuid_t *execution_id, const char *signal, TimestampTz now)
{
	bool		goes_on;
	FtArg		run_at;
	TimestampTz from;
	Oid			owner;
	uint64		n;

	ft_run(&read_execution, FT_ARGS(FT_UUID(execution_id)));
	read_result(&goes_on, &run_at, &owner);
	from = run_at.isnull ? now : Max(now, DatumGetTimestampTz(run_at.value));
	n = ft_run(&release_signalled,
			   FT_ARGS(FT_UUID(execution_id), FT_TEXT(signal),
					   FT_VALUE(BoolGetDatum(goes_on)), FT_TIME(now), FT_TIME(from)));
	ft_ready_wake(n, 1, owner);
}

void
ft_ready_recount(const pg_uuid_t *execution_id, TimestampTz now)
{
	bool		goes_on;
	FtArg		run_at;
	Oid			owner;
	uint64		n;

	/* what has ended otherwise than by its completion may have held one */
	ft_place_left_at_commit();
	ft_run(&forget_failed_children, FT_ARGS(FT_UUID(execution_id)));
	ft_run(&recount_execution, FT_ARGS(FT_UUID(execution_id)));
	read_result(&goes_on, &run_at, &owner);
	n = ft_run(&recount_tasks,
			   FT_ARGS(FT_UUID(execution_id), FT_VALUE(BoolGetDatum(goes_on)),
					   FT_TIME(now), run_at));
	ft_ready_wake(n, 1, owner);
}

void
ft_ready_lost(const FtExecution *execution, const FtTask *task, const char *suspicion,
			  TimestampTz now)
{
	ft_run(&set_lost,
		   FT_ARGS(FT_UUID(&task->task_id),
				   FT_TEXT(ft_task_status_name(ft_task_require_transition(task->status, FT_TASK_RELEASE,
																		  task->name))),
				   FT_TEXT(suspicion)));
	ft_ready_recount(&execution->execution_id, now);
}
