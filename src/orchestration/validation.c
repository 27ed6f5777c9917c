/*-------------------------------------------------------------------------
 *
 * validation.c
 *	  Contradictions in what is stored of an execution.
 *
 * Which statuses go together is decided by the table of status.c; what else
 * must hold is in the statement below, one line each.
 *
 * Locking: none.  Everything is read in one snapshot, so that an execution
 * that moves on meanwhile does not look contradictory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "errors.h"
#include "orchestration/execution.h"
#include "orchestration/ready.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_validate_execution);

/* What due_at of a task depends on; see ready.c. */
#define DUE_CONDITION \
	"task.status = 'PENDING' AND (task.unmet = 0 OR task.wait_until IS NOT NULL) AND execution.managed" \
	" AND execution.paused_at IS NULL AND execution.parked_reason IS NULL AND execution.status IN ('PENDING', 'RUNNING')"

#define INVARIANTS \
	"SELECT 'execution', execution_id::text, 'it has no checkpoint to recover from'" \
	"  FROM execution WHERE NOT EXISTS (SELECT FROM checkpoint)" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'its status is ' || status || ', and it has no task'" \
	"  FROM execution WHERE status = 'COMPLETED' AND NOT EXISTS (SELECT FROM task)" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'it is finished, and finished_at is null'" \
	"  FROM execution WHERE status IN ('COMPLETED', 'COMPENSATED', 'CANCELLED') AND finished_at IS NULL" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'it is not finished, and finished_at is set'" \
	"  FROM execution WHERE status NOT IN ('COMPLETED', 'COMPENSATED', 'CANCELLED') AND finished_at IS NOT NULL" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'all its tasks have completed, and it has not'" \
	"  FROM execution WHERE status = 'RUNNING'" \
	"   AND (SELECT count(*) > 0 AND bool_and(task.status IN ('COMPLETED', 'SKIPPED')) FROM task)" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'it has failed, and no failure of it is left to recover'" \
	"  FROM execution WHERE status = 'FAILED'" \
	"   AND NOT EXISTS (SELECT FROM failure WHERE NOT recovered)" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'it goes on, and a failure of it is not recovered'" \
	"  FROM execution WHERE status IN ('PENDING', 'RUNNING', 'COMPLETED', 'ROLLED_BACK', 'COMPENSATED')" \
	"   AND EXISTS (SELECT FROM failure WHERE NOT recovered)" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'it is to be compensated, and no task of it is left to be'" \
	"  FROM execution WHERE status IN ('COMPENSATING', 'ROLLING_BACK')" \
	"   AND NOT EXISTS (SELECT FROM task WHERE status = 'COMPENSATING')" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it has completed, and has no place in the order of completion'" \
	"  FROM task WHERE status IN ('COMPLETED', 'COMPENSATING', 'COMPENSATED', 'COMPENSATION_FAILED')" \
	"   AND completion_order IS NULL" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it has not completed, and has a place in the order of completion'" \
	"  FROM task WHERE status IN ('PENDING', 'RUNNING', 'FAILED') AND completion_order IS NOT NULL AND iteration = 0" \
	" UNION ALL " \
	"SELECT 'task', min(task_name), 'it shares its place in the order of completion'" \
	"  FROM task WHERE completion_order IS NOT NULL GROUP BY completion_order HAVING count(*) > 1" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'its place in the order of completion is beyond the last'" \
	"  FROM task, execution WHERE completion_order > completions" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it is to be compensated, and has no compensation'" \
	"  FROM task WHERE status IN ('COMPENSATING', 'COMPENSATED', 'COMPENSATION_FAILED')" \
	"   AND compensation IS NULL" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it was started, and its attempt is 0'" \
	"  FROM task WHERE status NOT IN ('PENDING', 'CANCELLED') AND attempt = 0" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'it was compensated before \"' || later.task_name || '\", which completed after it'" \
	"  FROM task, task AS later" \
	" WHERE task.status = 'COMPENSATED' AND later.status IN ('COMPENSATING', 'COMPENSATION_FAILED')" \
	"   AND later.completion_order > task.completion_order" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it depends on \"' || name || '\", which does not exist'" \
	"  FROM task, unnest(depends_on) AS name" \
	" WHERE NOT EXISTS (SELECT FROM task AS needed WHERE needed.task_name = name)" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'it runs, and depends on \"' || needed.task_name || '\", which is ' || needed.status" \
	"  FROM task, task AS needed" \
	" WHERE task.status = 'RUNNING' AND needed.task_name = ANY (task.depends_on)" \
	"   AND needed.status NOT IN ('COMPLETED', 'SKIPPED')" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'tasks_left is ' || tasks_left || ', and '" \
	"       || (SELECT count(*) FROM task WHERE status NOT IN ('COMPLETED', 'SKIPPED')) || ' are'" \
	"  FROM execution" \
	" WHERE tasks_left <> (SELECT count(*) FROM task WHERE status NOT IN ('COMPLETED', 'SKIPPED'))" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'unmet is ' || task.unmet || ', and ' || counted.unmet || ' are'" \
	"  FROM task, LATERAL (SELECT " FT_UNMET("task") " AS unmet OFFSET 0) AS counted" \
	" WHERE task.status = 'PENDING' AND task.unmet <> counted.unmet" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'it waits for its signal until ' || task.wait_until || ', and must not'" \
	"  FROM task WHERE task.status = 'PENDING' AND task.wait_until IS NOT NULL" \
	"   AND NOT (task.unmet = 1 AND " FT_SIGNAL_AWAITED("task") ")" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'it should have ' || coalesce(task.children, 0) || ' children, and has ' || count(child.task_id)" \
	"  FROM task LEFT JOIN task AS child ON child.parent_task_id = task.task_id" \
	" GROUP BY task.task_name, task.children HAVING coalesce(task.children, 0) <> count(child.task_id)" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it is a child of a task that does not exist'" \
	"  FROM task WHERE parent_task_id IS NOT NULL" \
	"   AND parent_task_id NOT IN (SELECT task_id FROM task)" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'it has completed, and its child \"' || child.task_name || '\" is ' || child.status" \
	"  FROM task, task AS child WHERE child.parent_task_id = task.task_id" \
	"   AND task.status IN ('COMPLETED', 'SKIPPED') AND child.status IN ('PENDING', 'RUNNING', 'FAILED')" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'the execution it has started is not its own'" \
	"  FROM task WHERE child_execution_id IS NOT NULL" \
	"   AND NOT EXISTS (SELECT FROM ft.orchestration_executions AS started" \
	"                    WHERE started.execution_id = task.child_execution_id" \
	"                      AND started.parent_task_id = task.task_id)" \
	" UNION ALL " \
	"SELECT 'execution', execution_id::text, 'its parent takes it for ended'" \
	"  FROM execution WHERE parent_told AND status = 'PENDING'" \
	" UNION ALL " \
	"SELECT 'task', task_name, 'it has run ' || iteration + 1 || ' times, and may ' || coalesce(max_iterations, 1)" \
	"  FROM task WHERE iteration >= coalesce(max_iterations, 1)" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'an executor may start it before its sleep is over'" \
	"  FROM task WHERE task.due_at < task.not_before" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'an executor may start it, and must not'" \
	"  FROM task, execution WHERE task.due_at IS NOT NULL" \
	"   AND NOT (" DUE_CONDITION ")" \
	" UNION ALL " \
	"SELECT 'task', task.task_name, 'an executor must not start it, and should'" \
	"  FROM task, execution WHERE task.due_at IS NULL AND " DUE_CONDITION \
	" UNION ALL " \
	"SELECT 'checkpoint', checkpoint_id::text, 'its state_data speaks of another execution'" \
	"  FROM checkpoint WHERE state_data ->> 'execution_id' IS DISTINCT FROM execution_id::text" \
	" UNION ALL " \
	"SELECT 'checkpoint', checkpoint_id::text, 'its state_data is incomplete'" \
	"  FROM checkpoint WHERE jsonb_typeof(state_data -> 'execution_state') IS DISTINCT FROM 'object'" \
	"   OR jsonb_typeof(state_data -> 'completed_tasks') IS DISTINCT FROM 'array'" \
	"   OR jsonb_typeof(state_data -> 'pending_tasks') IS DISTINCT FROM 'array'" \
	" UNION ALL " \
	"SELECT 'failure', failure_id::text, 'it is recovered, and recovered_at is null'" \
	"  FROM failure WHERE recovered AND recovered_at IS NULL"

FT_STATEMENT(broken_invariants,
			 "WITH execution AS (SELECT * FROM ft.orchestration_executions WHERE execution_id = $1),"
			 "     task AS (SELECT * FROM ft.orchestration_tasks WHERE execution_id = $1),"
			 "     checkpoint AS (SELECT * FROM ft.orchestration_checkpoints WHERE execution_id = $1),"
			 "     failure AS (SELECT * FROM ft.orchestration_failures WHERE execution_id = $1) "
			 INVARIANTS
			 " UNION ALL "
			 "SELECT NULL, task.task_name, execution.status || ' ' || task.status"
			 "  FROM execution, task",
			 UUIDOID);

static void
put_problem(ReturnSetInfo *rsinfo, const char *object, const char *name,
			const char *problem)
{
	Datum		values[3];
	bool		nulls[3] = {false};

	values[0] = CStringGetTextDatum(object);
	values[1] = CStringGetTextDatum(name);
	values[2] = CStringGetTextDatum(problem);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Hold the statuses of an execution and of one task against the table. */
static void
check_statuses(ReturnSetInfo *rsinfo, const char *task_name, char *statuses)
{
	char	   *task_status = strchr(statuses, ' ');

	*task_status++ = '\0';
	if (!ft_statuses_agree(ft_execution_status_of(statuses), ft_task_status_of(task_status)))
		put_problem(rsinfo, "task", task_name,
					psprintf("its status is %s, which is not possible in an execution that is %s",
							 task_status, statuses));
}

/* ft.validate_execution(execution_id uuid) returns table */
Datum
ft_validate_execution(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtExecution execution;
	FtEngine	engine;
	uint64		n;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");

	InitMaterializedSRF(fcinfo, 0);
	ft_engine_enter(&engine);
	ft_execution_read(&execution, PG_GETARG_UUID_P(0), engine.caller);
	n = ft_run_whole(&broken_invariants, FT_ARGS(FT_UUID(PG_GETARG_UUID_P(0))));
	for (uint64 row = 0; row < n; row++)
	{
		char	   *object = ft_column_text(row, 1);

		if (object == NULL)
			check_statuses(rsinfo, ft_column_text(row, 2), ft_column_text(row, 3));
		else
			put_problem(rsinfo, object, ft_column_text(row, 2), ft_column_text(row, 3));
	}
	ft_engine_leave(&engine);
	return (Datum) 0;
}
