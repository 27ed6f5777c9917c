/*-------------------------------------------------------------------------
 *
 * step_records.c
 *	  The records of steps that were run together: two statements for all of
 *	  them, each in the order of its keys.
 *
 * Locking: the executions' rows by key, then the tasks'.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "errors.h"
#include "orchestration/step_records.h"
#include "uuid.h"

/* Keys are in order, so that each finds its place among them by halves. */
#define PLACE		"width_bucket(execution_id, $1)"
#define TASK_PLACE	"width_bucket(task_id, $1)"

FT_STATEMENT(count_steps,
			 "UPDATE ft.orchestration_executions"
			 "   SET completions = completions + ($2)[" PLACE "],"
			 "       tasks_left = tasks_left - ($3)[" PLACE "],"
			 "       state = CASE WHEN $4 IS NULL THEN state"
			 "                    ELSE coalesce((state || ($4)[" PLACE "])::ft.execution_state, state) END,"
			 "       status = CASE WHEN tasks_left = ($3)[" PLACE "] THEN $5 ELSE $6 END,"
			 "       started_at = coalesce(started_at, ($8)[" PLACE "]), updated_at = $7,"
			 "       finished_at = CASE WHEN tasks_left = ($3)[" PLACE "] THEN $7 END"
			 " WHERE execution_id = ANY ($1) AND status IN ('PENDING', 'RUNNING')"
			 " RETURNING " PLACE ", completions, tasks_left,"
			 "           paused_at IS NULL AND parked_reason IS NULL, parent_task_id",
			 UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, JSONBARRAYOID, TEXTOID, TEXTOID,
			 TIMESTAMPTZOID, TIMESTAMPTZARRAYOID);
FT_STATEMENT(end_tasks,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = ($3)[" TASK_PLACE "], result = ($4)[" TASK_PLACE "], completed_at = $5,"
			 "       completion_order = ($6)[" TASK_PLACE "], failures = 0"
			 " WHERE task_id = ANY ($1) AND attempt = ($2)[" TASK_PLACE "] AND status = 'RUNNING'"
			 " RETURNING " TASK_PLACE ", has_successors, cardinality(successors)",
			 UUIDARRAYOID, INT4ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZOID, INT8ARRAYOID);

/* By execution, and those of one in the order in which they were run. */
static int
compare_executions(const void *a, const void *b)
{
	const FtStepRecord *first = a;
	const FtStepRecord *second = b;
	int			result = memcmp(&first->claim->execution_id, &second->claim->execution_id, UUID_LEN);

	return result != 0 ? result : first->turn - second->turn;
}

static int
compare_tasks(const void *a, const void *b)
{
	return memcmp(&((const FtStepRecord *) a)->claim->task_id,
				  &((const FtStepRecord *) b)->claim->task_id, UUID_LEN);
}

/* Of two steps that set the same, the later one wins. */
static Datum
merge(Datum patch, Datum further)
{
	if (patch == (Datum) 0 || further == (Datum) 0)
		return patch == (Datum) 0 ? further : patch;
	return OidFunctionCall2(F_JSONB_CONCAT, patch, further);
}

/* Add up what there is to count, by execution; returns how many there are. */
static int
add_up(FtStepRecord *members, int n, FtExecutionRecord *counts)
{
	int			executions = 0;

	qsort(members, n, sizeof(FtStepRecord), compare_executions);
	for (int i = 0; i < n; i++)
	{
		FtStepRecord *member = &members[i];
		FtExecutionRecord *count = &counts[executions - 1];

		if (i == 0 || memcmp(&count->execution_id, &member->claim->execution_id, UUID_LEN) != 0)
		{
			count = &counts[executions++];
			memset(count, 0, sizeof(FtExecutionRecord));
			count->execution_id = member->claim->execution_id;
			count->claimed_at = member->claim->claimed_at;
		}
		count->claimed_at = Min(count->claimed_at, member->claim->claimed_at);
		count->ended++;
		if (!member->outcome.skipped)
			count->completed++;
		count->patch = merge(count->patch, member->outcome.patch);
		member->execution = executions - 1;
		member->place = count->completed;
	}
	return executions;
}

/* Who has lost a claim, or an execution that goes on, is found by itself. */
static void
report_group_ended(void)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_STALE_ATTEMPT),
			 errmsg("a step of a group was taken over, or its execution has ended"),
			 errdetail("What the group did is rolled back; each of its steps runs again, by itself.")));
}

static void
count_executions(FtExecutionRecord *counts, int n, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);
	Datum	   *completed = palloc(sizeof(Datum) * n);
	Datum	   *ended = palloc(sizeof(Datum) * n);
	Datum	   *patches = palloc(sizeof(Datum) * n);
	bool	   *no_patch = palloc(sizeof(bool) * n);
	Datum	   *claimed = palloc(sizeof(Datum) * n);
	bool		patched = false;

	for (int i = 0; i < n; i++)
	{
		ids[i] = UUIDPGetDatum(&counts[i].execution_id);
		completed[i] = Int32GetDatum(counts[i].completed);
		ended[i] = Int32GetDatum(counts[i].ended);
		patches[i] = counts[i].patch;
		no_patch[i] = counts[i].patch == (Datum) 0;
		patched = patched || !no_patch[i];
		claimed[i] = TimestampTzGetDatum(counts[i].claimed_at);
	}
	if (ft_run_by_index(&count_steps,
						FT_ARGS(FT_ARRAY(ids, NULL, n, UUIDOID),
								FT_ARRAY(completed, NULL, n, INT4OID),
								FT_ARRAY(ended, NULL, n, INT4OID),
								patched ? FT_ARRAY(patches, no_patch, n, JSONBOID) : FT_NULL,
								FT_TEXT(ft_step_status_after(FT_EXECUTION_COMPLETE)),
								FT_TEXT(ft_step_status_after(FT_EXECUTION_START_TASK)),
								FT_TIME(now),
								FT_ARRAY(claimed, NULL, n, TIMESTAMPTZOID))) != n)
		report_group_ended();
	for (int row = 0; row < n; row++)
		ft_step_read_counted(row, 2, &counts[ft_column_int32(row, 1) - 1].counted);
}

static void
write_tasks(FtStepRecord *members, int n, const FtExecutionRecord *counts, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);
	Datum	   *attempts = palloc(sizeof(Datum) * n);
	Datum	   *statuses = palloc(sizeof(Datum) * n);
	Datum	   *results = palloc(sizeof(Datum) * n);
	bool	   *no_result = palloc(sizeof(bool) * n);
	Datum	   *orders = palloc(sizeof(Datum) * n);
	bool	   *no_order = palloc(sizeof(bool) * n);

	qsort(members, n, sizeof(FtStepRecord), compare_tasks);
	for (int i = 0; i < n; i++)
	{
		const FtStepRecord *member = &members[i];
		const FtExecutionRecord *count = &counts[member->execution];

		ids[i] = UUIDPGetDatum(&member->claim->task_id);
		attempts[i] = Int32GetDatum(member->claim->attempt);
		statuses[i] = CStringGetTextDatum(ft_step_ended_status(member->claim, member->outcome.skipped));
		results[i] = member->outcome.result;
		no_result[i] = member->outcome.result == (Datum) 0;
		orders[i] = Int64GetDatum(count->counted.completions - count->completed + member->place);
		no_order[i] = member->outcome.skipped;
	}
	if (ft_run_by_index(&end_tasks,
						FT_ARGS(FT_ARRAY(ids, NULL, n, UUIDOID),
								FT_ARRAY(attempts, NULL, n, INT4OID),
								FT_ARRAY(statuses, NULL, n, TEXTOID),
								FT_ARRAY(results, no_result, n, JSONBOID),
								FT_TIME(now),
								FT_ARRAY(orders, no_order, n, INT8OID))) != n)
		report_group_ended();
	for (int row = 0; row < n; row++)
	{
		FtStepRecord *member = &members[ft_column_int32(row, 1) - 1];

		member->has_successors = ft_column_bool(row, 2);
		member->successors = ft_column_int32(row, 3);
	}
}

int
ft_step_records_write(FtStepRecord *steps, int n, FtExecutionRecord *executions, TimestampTz now)
{
	int			counted = add_up(steps, n, executions);

	count_executions(executions, counted, now);
	write_tasks(steps, n, executions, now);
	return counted;
}
