/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  Removing executions that have ended, with all that belongs to them.
 *
 * It is done in batches, each a transaction of its own, when there is nothing
 * more urgent.  How much a batch removes depends on the tasks, of which one
 * execution may have very many: of such a one the tasks are removed in portions
 * first, and the execution with the last of them.
 *
 * What has only stopped is kept by a setting of its own, for ever as shipped:
 * somebody has to look at it.
 *
 * Locking: rows of executions, skipping those that are locked; then what is
 * below them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

#include "engine.h"
#include "guc.h"
#include "orchestration/recovery.h"

/* Executions, and tasks, of one batch. */
#define BATCH_EXECUTIONS	1000
#define BATCH_TASKS			10000

/*
 * What another execution has started is kept as long as that is.  Written so
 * that it stays a filter of the scan by index, and becomes no join.
 */
#define NOBODYS \
	"(execution.parent_task_id IS NULL" \
	" OR NOT EXISTS (SELECT FROM ft.orchestration_tasks AS parent" \
	"                 WHERE parent.task_id = execution.parent_task_id))"

/* Those that have stopped, and whose recovery is not under way. */
#define STOPPED \
	"status IN ('FAILED', 'ROLLED_BACK', 'COMPENSATION_FAILED')" \
	" AND NOT EXISTS (SELECT FROM ft.orchestration_failures AS failure" \
	"                  WHERE failure.execution_id = execution.execution_id AND NOT failure.recovered" \
	"                    AND coalesce(failure.given_up_at, failure.recovery_started_at) IS NULL)"

FT_STATEMENT_NOARGS(next_finished,
					"SELECT min(finished_at) FROM ft.orchestration_executions AS execution"
					" WHERE finished_at IS NOT NULL AND " NOBODYS);
FT_STATEMENT_NOARGS(next_stopped,
					"SELECT min(updated_at) FROM ft.orchestration_executions AS execution WHERE " STOPPED);

/* The limits are no parameters: the plan is to know them. */
#define OLD(condition_, order_) \
	"WITH old AS MATERIALIZED" \
	" (SELECT execution_id, " order_ " AS place FROM ft.orchestration_executions AS execution" \
	"   WHERE " condition_ \
	"   ORDER BY " order_ " LIMIT " CppAsString2(BATCH_EXECUTIONS) \
	"     FOR UPDATE SKIP LOCKED) " \
	"SELECT execution_id, place," \
	"       (SELECT count(*) FROM (SELECT FROM ft.orchestration_tasks AS task" \
	"                               WHERE task.execution_id = old.execution_id" \
	"                               LIMIT " CppAsString2(BATCH_TASKS) " + 1) AS counted)" \
	"  FROM old ORDER BY place"

/*
 * What has been removed stays in the index until vacuum has been there: the
 * next batch begins where the one before it ended.
 */
FT_STATEMENT(old_finished,
			 OLD("finished_at < $1 AND finished_at >= $2 AND " NOBODYS, "finished_at"),
			 TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(old_stopped,
			 OLD("updated_at < $1 AND updated_at >= $2 AND " STOPPED, "updated_at"),
			 TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(delete_executions,
			 "DELETE FROM ft.orchestration_executions WHERE execution_id = ANY ($1)",
			 UUIDARRAYOID);
FT_STATEMENT(delete_tasks,
			 "DELETE FROM ft.orchestration_tasks"
			 " WHERE task_id = ANY (ARRAY(SELECT task_id FROM ft.orchestration_tasks"
			 "                             WHERE execution_id = $1 LIMIT " CppAsString2(BATCH_TASKS) "))",
			 UUIDOID);

/* When the first of a kind may go, where its retention is in minutes. */
static TimestampTz
next_of(FtStatement *statement, int retention)
{
	if (retention < 0)
		return DT_NOEND;
	ft_run(statement, NULL);
	if (ft_column_is_null(0, 1))
		return DT_NOEND;
	return TimestampTzPlusMilliseconds(ft_column_time(0, 1), (int64) retention * 60 * 1000);
}

TimestampTz
ft_retention_next(void)
{
	return ft_earlier(next_of(&next_stopped, ft_dead_letter_retention),
					  next_of(&next_finished, ft_execution_retention));
}

/*
 * Remove a batch of a kind, from the given time on, which is then where the
 * next batch begins; true if there is more of it.
 */
static bool
remove_batch(FtStatement *old, int retention, TimestampTz now, TimestampTz *from)
{
	TimestampTz begin = *from;
	Datum	   *executions;
	pg_uuid_t	first;
	uint64		n;
	int			count = 0;
	int64		tasks = 0;

	*from = DT_NOBEGIN;
	if (retention < 0)
		return false;
	n = ft_run(old,
			   FT_ARGS(FT_TIME(TimestampTzPlusMilliseconds(now, -(int64) retention * 60 * 1000)),
					   FT_TIME(begin)));
	if (n == 0)
		return false;
	first = ft_column_uuid(0, 1);
	executions = palloc(sizeof(Datum) * n);
	for (uint64 row = 0; row < n; row++)
	{
		pg_uuid_t  *execution = palloc(sizeof(pg_uuid_t));

		tasks += ft_column_int64(row, 3);
		*from = ft_column_time(row, 2);
		if (tasks > BATCH_TASKS)
			break;
		*execution = ft_column_uuid(row, 1);
		executions[count++] = UUIDPGetDatum(execution);
	}
	if (count == 0)
		ft_run(&delete_tasks, FT_ARGS(FT_UUID(&first)));
	else
		ft_run(&delete_executions,
			   FT_ARGS(FT_VALUE(PointerGetDatum(construct_array(executions, count, UUIDOID, UUID_LEN,
																false, TYPALIGN_CHAR)))));
	if (n == BATCH_EXECUTIONS || count < n)
		return true;
	*from = DT_NOBEGIN;
	return false;
}

bool
ft_retention_batch(TimestampTz now)
{
	static TimestampTz finished_from = DT_NOBEGIN;
	static TimestampTz stopped_from = DT_NOBEGIN;
	FtEngine	engine;
	bool		more;

	ft_engine_enter(&engine);
	more = remove_batch(&old_finished, ft_execution_retention, now, &finished_from);
	more = remove_batch(&old_stopped, ft_dead_letter_retention, now, &stopped_from) || more;
	ft_engine_leave(&engine);
	return more;
}
