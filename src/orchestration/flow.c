/*-------------------------------------------------------------------------
 *
 * flow.c
 *	  Steps that have more to them than their command.
 *
 * A step with a signal is started when the signal is there, or when it has
 * waited for it too long.
 *
 * A step with for_each is run twice.  The first time it makes a child of each
 * row, a task of its own, and waits until none of them is left: as many unmet
 * things as there are children.  The second time it gathers their results.
 * The same executor that has ended the last child goes on with it.
 *
 * A step with an orchestration starts an execution of it, waits until that is
 * over, and takes its state for the result; see child.c.
 *
 * A step that is repeated is given back after each run but the last; what it
 * has done commits with that.
 *
 * Locking: the execution's row first, then rows of its tasks, until the commit
 * that follows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "engine.h"
#include "errors.h"
#include "orchestration/child.h"
#include "orchestration/command.h"
#include "orchestration/flow.h"
#include "orchestration/ready.h"
#include "orchestration/start.h"
#include "transaction.h"
#include "uuid.h"

/* How many executions one may stand above another. */
#define NESTING_LIMIT	50

FT_STATEMENT(read_flow,
			 "SELECT signal, timeout::text, for_each, children IS NOT NULL, repeat_while,"
			 "       coalesce(max_iterations, 1), iteration,"
			 "       orchestration, orchestration_input, child_execution_id, priority::integer,"
			 "       compensation IS NOT NULL AND orchestration IS NULL"
			 "  FROM ft.orchestration_tasks WHERE task_id = $1",
			 UUIDOID);

/* An execution whose step goes on later goes on, with so many tasks more. */
FT_STATEMENT(hold_execution,
			 "UPDATE ft.orchestration_executions"
			 "   SET status = CASE WHEN status = 'FAILED' THEN status ELSE $2 END,"
			 "       tasks_left = tasks_left + $3, completions = completions + $6,"
			 "       state = CASE WHEN $4 IS NULL THEN state ELSE state || $4 END,"
			 "       started_at = coalesce(started_at, $5), updated_at = $5"
			 " WHERE execution_id = $1 AND status IN ('PENDING', 'RUNNING', 'FAILED')"
			 " RETURNING status <> 'FAILED' AND paused_at IS NULL AND parked_reason IS NULL, owner_oid",
			 UUIDOID, TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID, INT8OID);

#define GIVEN_BACK \
	"status = $3, failures = 0, worker_pid = NULL, worker_epoch = NULL, worker_id = NULL"
#define THIS_ATTEMPT \
	" WHERE task_id = $1 AND attempt = $2 AND status = 'RUNNING'"

FT_STATEMENT(hold_parent,
			 "UPDATE ft.orchestration_tasks"
			 "   SET " GIVEN_BACK ", children = $4, unmet = $4"
			 THIS_ATTEMPT,
			 UUIDOID, INT4OID, TEXTOID, INT4OID);
FT_STATEMENT(insert_children,
			 "INSERT INTO ft.orchestration_tasks"
			 " (task_id, execution_id, task_name, command, compensation, depends_on, owner_oid,"
			 "  queue, priority, short, timeout, max_attempts, backoff, repeat_while, max_iterations,"
			 "  orchestration, orchestration_input, parent_task_id, item, item_number, has_successors, due_at, created_at)"
			 " SELECT ft.uuid_v7(), execution_id, format('%s[%s]', task_name, n - 1), command,"
			 "        item_compensation, depends_on, owner_oid, queue, priority, short, timeout,"
			 "        max_attempts, backoff, repeat_while, max_iterations,"
			 "        orchestration, orchestration_input, task_id, rows.item, n - 1, true,"
			 "        CASE WHEN $3 THEN $4 END, $4"
			 "   FROM ft.orchestration_tasks, unnest($2) WITH ORDINALITY AS rows (item, n)"
			 "  WHERE task_id = $1"
			 "  ORDER BY n",
			 UUIDOID, JSONBARRAYOID, BOOLOID, TIMESTAMPTZOID);
FT_STATEMENT(results_of_children,
			 "SELECT coalesce(jsonb_agg(coalesce(result, 'null') ORDER BY item_number), '[]')"
			 "  FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND parent_task_id = $2",
			 UUIDOID, UUIDOID);
FT_STATEMENT(hold_repeated,
			 "UPDATE ft.orchestration_tasks"
			 "   SET " GIVEN_BACK ", iteration = iteration + 1, child_execution_id = NULL, not_before = $5 + sleep,"
			 "       due_at = CASE WHEN $4 THEN $5 + coalesce(sleep, '0') END,"
			 "       completion_order = CASE WHEN $6 THEN"
			 "           (SELECT completions FROM ft.orchestration_executions AS execution"
			 "             WHERE execution.execution_id = orchestration_tasks.execution_id) END"
			 THIS_ATTEMPT
			 " RETURNING coalesce(due_at <= $5, false), coalesce(due_at > $5, false)",
			 UUIDOID, INT4OID, TEXTOID, BOOLOID, TIMESTAMPTZOID, BOOLOID);
FT_STATEMENT(hold_starter,
			 "UPDATE ft.orchestration_tasks"
			 "   SET " GIVEN_BACK ", child_execution_id = $4, unmet = 1"
			 THIS_ATTEMPT,
			 UUIDOID, INT4OID, TEXTOID, UUIDOID);
FT_STATEMENT(count_starters,
			 "WITH RECURSIVE starter AS ("
			 " SELECT execution_id FROM ft.orchestration_tasks WHERE task_id = $1"
			 " UNION ALL"
			 " SELECT task.execution_id"
			 "   FROM starter"
			 "   JOIN ft.orchestration_executions AS execution USING (execution_id)"
			 "   JOIN ft.orchestration_tasks AS task ON task.task_id = execution.parent_task_id) "
			 "SELECT count(*)::integer FROM starter",
			 UUIDOID);
FT_STATEMENT(read_child,
			 "SELECT status, state,"
			 "       (SELECT failure_message FROM ft.orchestration_failures AS failure"
			 "         WHERE failure.execution_id = child.execution_id"
			 "         ORDER BY failure_timestamp DESC LIMIT 1)"
			 "  FROM ft.orchestration_executions AS child WHERE execution_id = $1",
			 UUIDOID);
FT_STATEMENT(wait_again,
			 "UPDATE ft.orchestration_executions SET parent_told = false"
			 " WHERE execution_id = $1 AND status NOT IN " FT_OVER,
			 UUIDOID);
FT_STATEMENT(forget_started,
			 "UPDATE ft.orchestration_tasks SET child_execution_id = NULL"
			 " WHERE execution_id = $1 AND status = 'PENDING' AND child_execution_id IS NOT NULL",
			 UUIDOID);
FT_STATEMENT(remove_children,
			 "WITH renewed AS"
			 " (UPDATE ft.orchestration_tasks AS task SET children = NULL"
			 "   WHERE execution_id = $1 AND children IS NOT NULL AND status = 'PENDING'"
			 "     AND NOT EXISTS (SELECT FROM ft.orchestration_tasks AS child"
			 "                      WHERE child.execution_id = $1 AND child.parent_task_id = task.task_id"
			 "                        AND child.status <> 'PENDING')"
			 "  RETURNING task_id),"
			 " removed AS"
			 " (DELETE FROM ft.orchestration_tasks AS child"
			 "   USING renewed WHERE child.execution_id = $1 AND child.parent_task_id = renewed.task_id"
			 "  RETURNING child.task_id, child.task_name, child.parent_task_id),"
 /* which child it was that failed is all that is left of it */
			 " told AS"
			 " (UPDATE ft.orchestration_failures AS failure"
			 "     SET task_id = removed.parent_task_id,"
			 "         failure_message = removed.task_name || ': ' || failure_message"
			 "    FROM removed WHERE failure.execution_id = $1 AND failure.task_id = removed.task_id) "
			 "SELECT FROM removed",
			 UUIDOID);
FT_STATEMENT(begin_iterations,
			 "UPDATE ft.orchestration_tasks SET iteration = 0"
			 " WHERE execution_id = $1 AND status = 'PENDING' AND iteration > 0",
			 UUIDOID);

/* What a step is, besides its command. */
typedef struct Flow
{
	char	   *signal;			/* NULL: it waits for none */
	char	   *timeout;
	char	   *for_each;		/* NULL: it does not fan out */
	bool		has_children;
	char	   *repeat_while;	/* NULL: it is not repeated */
	int			max_iterations;
	int			iteration;		/* from 0 */
	char	   *orchestration;	/* NULL: it starts none */
	char	   *input;			/* or NULL */
	bool		has_started;
	pg_uuid_t	started;
	int			priority;
	bool		counts;			/* each of its runs may have to be undone */
} Flow;

static void
read_step(const FtStepClaim *claim, Flow *flow)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext caller;
	FtEngine	engine;

	ft_engine_enter(&engine);
	if (ft_run(&read_flow, FT_ARGS(FT_UUID(&claim->task_id))) == 0)
		elog(ERROR, "the running step does not exist");
	caller = MemoryContextSwitchTo(context);
	flow->signal = ft_column_text(0, 1);
	flow->timeout = ft_column_text(0, 2);
	flow->for_each = ft_column_text(0, 3);
	flow->has_children = ft_column_bool(0, 4);
	flow->repeat_while = ft_column_text(0, 5);
	flow->max_iterations = ft_column_int32(0, 6);
	flow->iteration = ft_column_int32(0, 7);
	flow->orchestration = ft_column_text(0, 8);
	flow->input = ft_column_text(0, 9);
	flow->has_started = !ft_column_is_null(0, 10);
	if (flow->has_started)
		flow->started = ft_column_uuid(0, 10);
	flow->priority = ft_column_int32(0, 11);
	flow->counts = ft_column_bool(0, 12);
	MemoryContextSwitchTo(caller);
	ft_engine_leave(&engine);
}

/* A step that is started without its signal has waited for as long as it may. */
static void
require_signal(const FtStepClaim *claim, const Flow *flow, FtStepData *data)
{
	if (ft_step_item(data) == (Datum) 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WAIT_TIMEOUT),
				 errmsg("task \"%s\" has waited too long for signal \"%s\"",
						claim->name, flow->signal),
				 errdetail("Its timeout is %s.", flow->timeout),
				 errhint("Where it is tried again, it waits as long once more; a signal that is sent meanwhile is kept.")));
}

static const char *
waiting_status(const FtStepClaim *claim)
{
	return ft_task_status_name(ft_task_require_transition(FT_TASK_RUNNING, FT_TASK_WAIT, claim->name));
}

/*
 * In the engine: lock the execution of a step that goes on later, and write
 * what the step has set.  Returns whether further steps may be started now.
 */
static bool
hold(const FtStepClaim *claim, FtStepData *data, int more_tasks, int completions, TimestampTz now,
	 Oid *owner)
{
	const char *running = ft_execution_status_name(ft_execution_require_transition(FT_EXECUTION_RUNNING,
																				   FT_EXECUTION_START_TASK, ""));

	if (ft_run(&hold_execution,
			   FT_ARGS(FT_UUID(&claim->execution_id), FT_TEXT(running),
					   FT_VALUE(Int64GetDatum(more_tasks)),
					   data->patch == (Datum) 0 ? FT_NULL : FT_VALUE(data->patch),
					   FT_TIME(now), FT_VALUE(Int64GetDatum(completions)))) == 0)
		ft_step_report_taken_over(claim);
	*owner = ft_column_oid(0, 2);
	return ft_column_bool(0, 1);
}

/* Make a child of each row, and wait for them. */
static void
fan_out(const FtStepClaim *claim, FtStepData *data, Datum items, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		goes_on;
	Oid			owner;
	FtEngine	engine;

	ft_engine_enter(&engine);
	goes_on = hold(claim, data, count, 0, now, &owner);
	if (ft_run(&hold_parent,
			   FT_ARGS(FT_UUID(&claim->task_id), FT_VALUE(Int32GetDatum(claim->attempt)),
					   FT_TEXT(waiting_status(claim)), FT_VALUE(Int32GetDatum(count)))) == 0)
		ft_step_report_taken_over(claim);
	ft_run(&insert_children,
		   FT_ARGS(FT_UUID(&claim->task_id), FT_VALUE(items),
				   FT_VALUE(BoolGetDatum(goes_on)), FT_TIME(now)));
	if (goes_on)
		ft_wake_executor_at_commit(owner, count);
	ft_engine_leave(&engine);
}

/* The results of all children, in the order of their rows. */
static Datum
join_children(const FtStepClaim *claim)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext caller;
	bool		isnull;
	Datum		results;
	FtEngine	engine;

	ft_engine_enter(&engine);
	ft_run(&results_of_children, FT_ARGS(FT_UUID(&claim->execution_id), FT_UUID(&claim->task_id)));
	results = ft_column(0, 1, &isnull);
	caller = MemoryContextSwitchTo(context);
	results = PointerGetDatum(PG_DETOAST_DATUM_COPY(results));
	MemoryContextSwitchTo(caller);
	ft_engine_leave(&engine);
	return ft_command_result(results);
}

static FtFlowEnd
run_for_each(const FtStepClaim *claim, const Flow *flow, FtStepData *data, Datum *result)
{
	Datum		items;
	int			count;

	if (flow->has_children)
	{
		*result = join_children(claim);
		return FT_FLOW_DONE;
	}
	items = ft_command_rows(flow->for_each, data, &count);
	if (count > 0)
	{
		fan_out(claim, data, items, count);
		return FT_FLOW_WAITS;
	}
	*result = DirectFunctionCall1(jsonb_in, CStringGetDatum("[]"));
	return FT_FLOW_DONE;
}

static void
wait_for(const FtStepClaim *claim, const pg_uuid_t *started)
{
	if (ft_run(&hold_starter,
			   FT_ARGS(FT_UUID(&claim->task_id), FT_VALUE(Int32GetDatum(claim->attempt)),
					   FT_TEXT(waiting_status(claim)), FT_UUID(started))) == 0)
		ft_step_report_taken_over(claim);
}

/* Start an execution, and wait for it. */
static void
start_orchestration(const FtStepClaim *claim, const Flow *flow, FtStepData *data, Datum input)
{
	Oid			owner;
	pg_uuid_t	started;
	FtEngine	engine;

	ft_engine_enter(&engine);
	ft_run(&count_starters, FT_ARGS(FT_UUID(&claim->task_id)));
	if (ft_column_int32(0, 1) > NESTING_LIMIT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("orchestrations are nested too deep"),
				 errdetail("Execution %s would be the %dth that one started out of another.",
						   ft_uuid_string(&claim->execution_id), NESTING_LIMIT + 1),
				 errhint("Look for an orchestration that starts itself without end.")));
	(void) hold(claim, data, 0, 0, GetCurrentTimestamp(), &owner);
	started = ft_start_child(flow->orchestration, input, engine.caller, flow->priority,
							 &claim->task_id);
	wait_for(claim, &started);
	ft_engine_leave(&engine);
}

/*
 * What it has started is over: its state is the result, unless it has failed.
 * What goes on again, resumed by hand, is waited for once more.
 */
static FtFlowEnd
end_orchestration(const FtStepClaim *claim, const Flow *flow, FtStepData *data, Datum *result)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext caller;
	char	   *status;
	bool		isnull;
	FtFlowEnd	end = FT_FLOW_DONE;
	FtEngine	engine;

	ft_engine_enter(&engine);
	status = ft_run(&read_child, FT_ARGS(FT_UUID(&flow->started))) == 0 ? NULL : ft_column_text(0, 1);
	if (status != NULL && ft_execution_status_of(status) == FT_EXECUTION_COMPLETED)
	{
		*result = ft_column(0, 2, &isnull);
		caller = MemoryContextSwitchTo(context);
		*result = PointerGetDatum(PG_DETOAST_DATUM_COPY(*result));
		MemoryContextSwitchTo(caller);
	}
	else if (status == NULL || ft_execution_is_over(ft_execution_status_of(status)))
	{
		char	   *failure = status == NULL ? NULL : ft_column_text(0, 3);

		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("orchestration \"%s\" has failed: %s", flow->orchestration,
						failure != NULL ? failure : "no failure is recorded"),
				 errdetail("The status of execution %s is %s.", ft_uuid_string(&flow->started),
						   status != NULL ? status : "unknown")));
	}
	else
	{
		Oid			owner;

		(void) hold(claim, data, 0, 0, GetCurrentTimestamp(), &owner);
		if (ft_run(&wait_again, FT_ARGS(FT_UUID(&flow->started))) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("execution %s has ended meanwhile", ft_uuid_string(&flow->started))));
		wait_for(claim, &flow->started);
		end = FT_FLOW_WAITS;
	}
	ft_engine_leave(&engine);
	return end;
}

static FtFlowEnd
run_orchestration(const FtStepClaim *claim, const Flow *flow, FtStepData *data, Datum *result)
{
	Datum		input = (Datum) 0;

	if (flow->has_started)
		return end_orchestration(claim, flow, data, result);
	if (flow->input != NULL)
		input = ft_command_run(flow->input, data);
	if (input == (Datum) 0)
		input = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	start_orchestration(claim, flow, data, input);
	return FT_FLOW_WAITS;
}

/*
 * Give it back, to be run once more.  What it has done has its place among
 * what is to be undone, though it has not completed.
 */
static void
run_again(const FtStepClaim *claim, const Flow *flow, FtStepData *data)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		goes_on;
	Oid			owner;
	uint64		n;
	FtEngine	engine;

	ft_engine_enter(&engine);
	goes_on = hold(claim, data, 0, flow->counts ? 1 : 0, now, &owner);
	n = ft_run(&hold_repeated,
			   FT_ARGS(FT_UUID(&claim->task_id), FT_VALUE(Int32GetDatum(claim->attempt)),
					   FT_TEXT(waiting_status(claim)),
					   FT_VALUE(BoolGetDatum(goes_on)), FT_TIME(now),
					   FT_VALUE(BoolGetDatum(flow->counts))));
	if (n == 0)
		ft_step_report_taken_over(claim);
	ft_ready_wake(n, 1, owner);
	ft_engine_leave(&engine);
}

FtFlowEnd
ft_flow_run(const FtStepClaim *claim, FtStepData *data, Datum *result)
{
	Flow		flow = {0};

	read_step(claim, &flow);
	if (flow.signal != NULL)
		require_signal(claim, &flow, data);
	if (claim->condition != NULL && !flow.has_children && !flow.has_started && flow.iteration == 0 &&
		!ft_command_is_true(claim->condition, data))
		return FT_FLOW_SKIPPED;
	if (flow.for_each != NULL)
		return run_for_each(claim, &flow, data, result);

	if (flow.orchestration != NULL)
	{
		if (run_orchestration(claim, &flow, data, result) == FT_FLOW_WAITS)
			return FT_FLOW_WAITS;
	}
	else if (claim->command != NULL)
		*result = ft_command_run(claim->command, data);
	else
		*result = ft_step_item(data);
	if (flow.repeat_while != NULL && flow.iteration + 1 < flow.max_iterations &&
		ft_command_is_true(flow.repeat_while, data))
	{
		run_again(claim, &flow, data);
		return FT_FLOW_WAITS;
	}
	return FT_FLOW_DONE;
}

void
ft_flow_renew(const pg_uuid_t *execution_id)
{
	uint64		changed = ft_run(&remove_children, FT_ARGS(FT_UUID(execution_id)));

	changed += ft_run(&forget_started, FT_ARGS(FT_UUID(execution_id)));
	changed += ft_run(&begin_iterations, FT_ARGS(FT_UUID(execution_id)));
	if (changed > 0)
		ft_ready_recount(execution_id, GetCurrentTimestamp());
}
