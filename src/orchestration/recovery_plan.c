/*-------------------------------------------------------------------------
 *
 * recovery_plan.c
 *	  What a recovery would do to an execution: gathered and decided here,
 *	  carried out in recovery.c.
 *
 * Deciding is pure: it looks at the gathered tasks, the checkpoint, the time
 * and the settings, and writes only into the plan.
 *
 * Locking: the execution's row is locked by the caller where the plan is to
 * be carried out; the tasks' rows are then locked here, by task_id.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/recovery_plan.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_plan_recovery);

#define TASK_COLUMNS \
	"SELECT task_id, task_name, status, compensation, completion_order, failures," \
	"       coalesce(ceil(extract(epoch FROM backoff) * 1000), 0)::bigint, attempt," \
	"       iteration > 0 AND compensation IS NOT NULL AND orchestration IS NULL" \
	"  FROM ft.orchestration_tasks" \
	" WHERE execution_id = $1" \
	" ORDER BY task_id"

FT_STATEMENT(read_tasks, TASK_COLUMNS, UUIDOID);
FT_STATEMENT(lock_tasks, TASK_COLUMNS " FOR NO KEY UPDATE", UUIDOID);

/* What answers each type of failure, and what it does to the execution. */
static const struct
{
	const char *name;
	FtFailureType answers;
	FtExecutionEvent event;
}			actions[] =

{
	[FT_RECOVERY_RETRY] = {"RETRY", FT_FAILURE_TRANSIENT, FT_EXECUTION_RETRY},
	[FT_RECOVERY_ROLLBACK] = {"ROLLBACK", FT_FAILURE_PERMANENT, FT_EXECUTION_ROLL_BACK},
	[FT_RECOVERY_COMPENSATE] = {"COMPENSATE", FT_FAILURE_PARTIAL, FT_EXECUTION_COMPENSATE},
};

const char *
ft_recovery_action_name(FtRecoveryAction action)
{
	return actions[action].name;
}

FtRecoveryAction
ft_recovery_action_of(FtFailureType type)
{
	for (int i = 0; i < lengthof(actions); i++)
		if (actions[i].answers == type)
			return (FtRecoveryAction) i;
	elog(ERROR, "unrecognized failure type: %d", (int) type);
}

TimestampTz
ft_backoff(TimestampTz now, int failures, int64 first)
{
	double		delay = ldexp((double) (first > 0 ? first : ft_recovery_backoff),
							  Min(Max(failures - 1, 0), 40));
	double		jitter;

	delay = Min(delay, (double) Max(ft_recovery_backoff_limit, first));
	jitter = delay * ft_recovery_jitter * pg_prng_double(&pg_global_prng_state);
	return TimestampTzPlusMilliseconds(now, (int64) (delay - jitter));
}

static void
gather_tasks(FtRecoveryPlan *plan, bool for_update)
{
	uint64		n = ft_run(for_update ? &lock_tasks : &read_tasks,
						   FT_ARGS(FT_UUID(&plan->execution.execution_id)));

	plan->ntasks = (int) n;
	plan->tasks = palloc0(sizeof(FtPlannedTask) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
	{
		FtPlannedTask *task = &plan->tasks[row];

		task->task_id = ft_column_uuid(row, 1);
		task->name = ft_column_text(row, 2);
		task->from = task->to = ft_task_status_of(ft_column_text(row, 3));
		task->compensation = ft_column_text(row, 4);
		task->completion_order = ft_column_is_null(row, 5) ? 0 : ft_column_int64(row, 5);
		task->failures = ft_column_int32(row, 6);
		task->next_attempt_at = DT_NOBEGIN;
		task->backoff = ft_column_int64(row, 7);
		task->attempt = ft_column_int32(row, 8);
		task->done_in_part = ft_column_bool(row, 9);
	}
}

static bool
completed_at_checkpoint(const FtRecoveryPlan *plan, const FtPlannedTask *task)
{
	int			low = 0;
	int			high = list_length(plan->checkpoint.completed_tasks);

	/* they are in the order of their keys */
	while (low < high)
	{
		int			middle = (low + high) / 2;
		const pg_uuid_t *completed = list_nth(plan->checkpoint.completed_tasks, middle);
		int			order = memcmp(completed, &task->task_id, UUID_LEN);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void
apply(FtPlannedTask *task, FtTaskEvent event)
{
	task->to = ft_task_require_transition(task->from, event, task->name);
	task->changes = true;
	task->afresh = (event == FT_TASK_RESET);
}

/* Completed tasks stay; failed and lost ones become due after a delay. */
static void
decide_retry(FtPlannedTask *task, const FtRecoveryContext *context)
{
	if (task->from == FT_TASK_FAILED ||
		(task->from == FT_TASK_RUNNING && context->running_is_lost))
	{
		apply(task, FT_TASK_RETRY);
		/* a lost attempt counts, or a task that kills its worker never ends */
		if (task->from == FT_TASK_RUNNING)
			task->failures++;
		task->next_attempt_at = ft_backoff(context->now, task->failures, task->backoff);
		if (context->by_hand)
			task->failures = 0;
	}
}

/*
 * Tasks return to where they were at the checkpoint.  What has completed
 * since is undone by its compensation where it has one.
 */
static void
decide_rollback(FtRecoveryPlan *plan, FtPlannedTask *task)
{
	switch (task->from)
	{
		case FT_TASK_COMPLETED:
		case FT_TASK_SKIPPED:
			if (completed_at_checkpoint(plan, task))
				break;
			apply(task, task->from == FT_TASK_COMPLETED && task->compensation ? FT_TASK_COMPENSATE : FT_TASK_RESET);
			break;
		case FT_TASK_COMPENSATING:
		case FT_TASK_COMPENSATION_FAILED:
			apply(task, FT_TASK_COMPENSATE);
			break;
		case FT_TASK_PENDING:
		case FT_TASK_RUNNING:
		case FT_TASK_FAILED:
			apply(task, task->done_in_part ? FT_TASK_COMPENSATE : FT_TASK_RESET);
			break;
		case FT_TASK_CANCELLED:
		case FT_TASK_COMPENSATED:
			apply(task, FT_TASK_RESET);
			break;
	}
}

/* Everything that has completed and can be compensated will be. */
static void
decide_compensation(FtPlannedTask *task)
{
	switch (task->from)
	{
		case FT_TASK_COMPLETED:
			if (task->compensation)
				apply(task, FT_TASK_COMPENSATE);
			break;
		case FT_TASK_COMPENSATING:
		case FT_TASK_COMPENSATION_FAILED:
			apply(task, FT_TASK_COMPENSATE);
			break;
		case FT_TASK_PENDING:
		case FT_TASK_RUNNING:
			apply(task, task->done_in_part ? FT_TASK_COMPENSATE : FT_TASK_CANCEL);
			break;
		case FT_TASK_FAILED:
			if (task->done_in_part)
				apply(task, FT_TASK_COMPENSATE);
			break;
		case FT_TASK_SKIPPED:
		case FT_TASK_CANCELLED:
		case FT_TASK_COMPENSATED:
			break;
	}
}

static void
decide(FtRecoveryPlan *plan, const FtRecoveryContext *context)
{
	plan->to = ft_execution_require_transition(plan->execution.status,
											   actions[plan->action].event,
											   ft_uuid_string(&plan->execution.execution_id));
	plan->ncompensations = 0;
	for (int i = 0; i < plan->ntasks; i++)
	{
		FtPlannedTask *task = &plan->tasks[i];

		switch (plan->action)
		{
			case FT_RECOVERY_RETRY:
				decide_retry(task, context);
				break;
			case FT_RECOVERY_ROLLBACK:
				decide_rollback(plan, task);
				break;
			case FT_RECOVERY_COMPENSATE:
				decide_compensation(task);
				break;
		}
		if (task->changes && task->to == FT_TASK_COMPENSATING)
			plan->ncompensations++;
	}
}

void
ft_recovery_plan(FtRecoveryPlan *plan, FtRecoveryAction action,
				 const FtRecoveryContext *context, bool for_update)
{
	plan->action = action;
	gather_tasks(plan, for_update);
	decide(plan, context);
}

/* Compensations in reverse order of completion, then the rest by age. */
static int
compare_planned_tasks(const void *a, const void *b)
{
	const FtPlannedTask *left = *(FtPlannedTask *const *) a;
	const FtPlannedTask *right = *(FtPlannedTask *const *) b;
	bool		left_compensates = (left->to == FT_TASK_COMPENSATING);
	bool		right_compensates = (right->to == FT_TASK_COMPENSATING);

	if (left_compensates != right_compensates)
		return left_compensates ? -1 : 1;
	if (left_compensates && left->completion_order != right->completion_order)
		return left->completion_order > right->completion_order ? -1 : 1;
	return memcmp(left->task_id.data, right->task_id.data, UUID_LEN);
}

FtPlannedTask **
ft_recovery_plan_order(const FtRecoveryPlan *plan)
{
	FtPlannedTask **ordered = palloc(sizeof(FtPlannedTask *) * Max(plan->ntasks, 1));

	for (int i = 0; i < plan->ntasks; i++)
		ordered[i] = &plan->tasks[i];
	qsort(ordered, plan->ntasks, sizeof(FtPlannedTask *), compare_planned_tasks);
	return ordered;
}

static void
put_step(ReturnSetInfo *rsinfo, int step, FtRecoveryAction action,
		 const char *object, const char *name, const char *from, const char *to,
		 const char *command)
{
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = Int32GetDatum(step);
	values[1] = CStringGetTextDatum(actions[action].name);
	values[2] = CStringGetTextDatum(object);
	values[3] = CStringGetTextDatum(name);
	values[4] = CStringGetTextDatum(from);
	values[5] = CStringGetTextDatum(to);
	if (command)
		values[6] = CStringGetTextDatum(command);
	nulls[6] = (command == NULL);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The plan as rows: the execution, its tasks in order, the execution again. */
static void
put_plan(ReturnSetInfo *rsinfo, const FtRecoveryPlan *plan)
{
	FtPlannedTask **ordered = ft_recovery_plan_order(plan);
	char	   *execution = ft_uuid_string(&plan->execution.execution_id);
	FtExecutionEvent finish = plan->action == FT_RECOVERY_ROLLBACK ?
		FT_EXECUTION_FINISH_ROLLBACK : FT_EXECUTION_FINISH_COMPENSATION;
	FtExecutionStatus finished;
	int			step = 0;

	put_step(rsinfo, ++step, plan->action, "execution", execution,
			 ft_execution_status_name(plan->execution.status),
			 ft_execution_status_name(plan->to), NULL);
	for (int i = 0; i < plan->ntasks; i++)
	{
		FtPlannedTask *task = ordered[i];

		if (task->changes && (task->to != task->from || task->to == FT_TASK_COMPENSATING))
			put_step(rsinfo, ++step, plan->action, "task", task->name,
					 ft_task_status_name(task->from), ft_task_status_name(task->to),
					 task->to == FT_TASK_COMPENSATING ? task->compensation : NULL);
	}
	if (ft_execution_transition(plan->to, finish, &finished))
		put_step(rsinfo, ++step, plan->action, "execution", execution,
				 ft_execution_status_name(plan->to),
				 ft_execution_status_name(finished), NULL);
}

/* ft.plan_recovery(execution_id uuid, failure_type varchar) returns table */
Datum
ft_plan_recovery(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtRecoveryContext context = {
		.now = GetCurrentTimestamp(),
		.running_is_lost = true,
		.by_hand = true
	};
	FtRecoveryPlan plan = {0};
	FtRecoveryAction action;
	pg_uuid_t	checkpoint_id;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "failure_type");
	action = ft_recovery_action_of(ft_failure_type_of(text_to_cstring(PG_GETARG_TEXT_PP(1))));

	InitMaterializedSRF(fcinfo, 0);
	ft_engine_enter(&engine);
	ft_execution_read(&plan.execution, PG_GETARG_UUID_P(0), engine.caller);
	checkpoint_id = ft_checkpoint_newest(&plan.execution.execution_id);
	ft_checkpoint_load(&plan.checkpoint, &checkpoint_id, NULL);
	ft_recovery_plan(&plan, action, &context, false);
	put_plan(rsinfo, &plan);
	ft_engine_leave(&engine);
	return (Datum) 0;
}
