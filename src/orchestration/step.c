/*-------------------------------------------------------------------------
 *
 * step.c
 *	  Steps that the server runs: completed, failed, lost.
 *
 * A step's own SQL, its result, its checkpoint and what it makes due commit
 * together: a crash leaves all of it or nothing.  The claim before it only
 * says who is at it; the attempt is looked at again here, in the transaction
 * that does the work, and an executor that has lost its claim rolls the work
 * back.
 *
 * The row of the execution is what parallel steps of it meet at.  It is locked
 * only after a step's own SQL has run, until the commit that follows, and
 * counts what is left: two steps that end together count one after the other,
 * so that the one that ends last finds nothing left.
 *
 * Locking: the execution's row, then the task's, then those of the tasks that
 * depend on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/child.h"
#include "orchestration/command.h"
#include "orchestration/failure.h"
#include "orchestration/flow.h"
#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "orchestration/suspect.h"
#include "orchestration/task.h"
#include "orchestration/wait.h"
#include "quiesce.h"
#include "shmem.h"
#include "transaction.h"
#include "uuid.h"

/*
 * Count a step that has ended.  An execution that goes on as it did is done in
 * this one statement; the statuses are those that the transitions lead to.
 * While another step of it has failed its status stays: that one may be taken
 * up again at any moment, so the two cannot be told apart before.
 */
#define COUNT_STEP(state_) \
	"UPDATE ft.orchestration_executions" \
	"   SET completions = completions + $2, tasks_left = tasks_left - 1," state_ \
	"       status = CASE WHEN status = 'FAILED' THEN status" \
	"                     WHEN tasks_left = 1 THEN $3 ELSE $4 END," \
	"       started_at = coalesce(started_at, $6), updated_at = $5," \
	"       finished_at = CASE WHEN tasks_left = 1 AND status <> 'FAILED' THEN $5 END" \
	" WHERE execution_id = $1 AND status IN ('PENDING', 'RUNNING', 'FAILED')" \
	" RETURNING completions, tasks_left," \
	"           status <> 'FAILED' AND paused_at IS NULL AND parked_reason IS NULL," \
	"           parent_task_id"
#define COUNT_STEP_ARGUMENTS \
	UUIDOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID

FT_STATEMENT(count_step, COUNT_STEP(""), COUNT_STEP_ARGUMENTS);
FT_STATEMENT(count_step_and_patch,
			 COUNT_STEP(" state = (state || $7)::ft.execution_state,"),
			 COUNT_STEP_ARGUMENTS, JSONBOID);
FT_STATEMENT(end_task,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $3, result = $4, completed_at = $5, completion_order = $6,"
			 "       failures = 0, suspicion = NULL"
			 " WHERE task_id = $1 AND attempt = $2 AND status = 'RUNNING'"
			 " RETURNING has_successors, successors",
			 UUIDOID, INT4OID, TEXTOID, JSONBOID, TIMESTAMPTZOID, INT8OID);

/*
 * In no order, since nothing found here is waited for.  To be run by its index:
 * each step has been in that once, and only a plain scan remembers which entries
 * are dead.  A bitmap would have those of all steps since the last vacuum in it.
 */
FT_STATEMENT_NOARGS(lost_tasks,
					"SELECT task_id, worker_epoch, worker_id FROM ft.orchestration_tasks"
					" WHERE status = 'RUNNING' AND worker_id IS NOT NULL");

/*
 * An attempt that was given back has not been one, so its number comes again:
 * whose it is, the worker tells.
 */
FT_STATEMENT(claimed_here,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE task_id = $1 AND status = 'RUNNING' AND attempt = $2"
			 "   AND worker_id IS NOT DISTINCT FROM $3",
			 UUIDOID, INT4OID, INT8OID);
FT_STATEMENT(still_lost,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE task_id = $1 AND worker_epoch = $2 AND worker_id = $3 AND status = 'RUNNING'",
			 UUIDOID, INT8OID, INT8OID);

void
ft_step_report_taken_over(const FtStepClaim *claim)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_STALE_ATTEMPT),
			 errmsg("attempt %d of task \"%s\" is not the current one", claim->attempt, claim->name),
			 errdetail("The task was cancelled, or started again elsewhere. What this attempt did is rolled back.")));
}

/* Where an execution that one of its steps ends in goes. */
const char *
ft_step_status_after(FtExecutionEvent event)
{
	return ft_execution_status_name(ft_execution_require_transition(FT_EXECUTION_RUNNING, event, ""));
}

/*
 * Count the step in its execution; false if the execution does not wait for
 * any step now.
 */
static bool
count(const FtStepClaim *claim, bool skipped, Datum patch, TimestampTz now)
{
	FtArg		completed = FT_VALUE(Int32GetDatum(skipped ? 0 : 1));

	/*
	 * most steps leave the state alone, and what checks it is made ready for
	 * each
	 */
	return ft_run(patch == (Datum) 0 ? &count_step : &count_step_and_patch,
				  FT_ARGS(FT_UUID(&claim->execution_id), completed,
						  FT_TEXT(ft_step_status_after(FT_EXECUTION_COMPLETE)),
						  FT_TEXT(ft_step_status_after(FT_EXECUTION_START_TASK)),
						  FT_TIME(now), FT_TIME(claim->claimed_at), FT_VALUE(patch))) > 0;
}

const char *
ft_step_ended_status(const FtStepClaim *claim, bool skipped)
{
	return ft_task_status_name(ft_task_require_transition(FT_TASK_RUNNING,
														  skipped ? FT_TASK_SKIP : FT_TASK_COMPLETE,
														  claim->name));
}

void
ft_step_read_counted(uint64 row, int column, FtStepCounted *counted)
{
	counted->completions = ft_column_int64(row, column);
	counted->tasks_left = ft_column_int64(row, column + 1);
	counted->goes_on = ft_column_bool(row, column + 2);
	counted->has_parent = !ft_column_is_null(row, column + 3);
	if (counted->has_parent)
		counted->parent = ft_column_uuid(row, column + 3);
}

FtStepClaim *
ft_step_go_on(const FtStepClaim *claim, const FtStepCounted *counted, TimestampTz now,
			  bool has_successors, bool may_continue)
{
	FtStepClaim *successor = NULL;
	pg_uuid_t	next;
	int			due;

	if (counted->tasks_left == 0)
		ft_wait_wake_at_commit(&claim->execution_id);
	if (counted->tasks_left == 0 && counted->has_parent)
		ft_child_over(&claim->execution_id, &counted->parent);
	if (!has_successors)
		return NULL;
	due = ft_ready_successors(&claim->execution_id, claim->name, counted->goes_on, now, &next);
	if (due > 0 && claim->suspicion != NULL && claim->is_short)
		ft_suspect_successors(&claim->task_id, claim->suspicion, now);
	if (due > 0 && may_continue)
	{
		successor = ft_step_claim_task(&next, now, GetMemoryChunkContext(unconstify(FtStepClaim *, claim)));
		if (successor != NULL)
			due--;
	}
	if (due > 0)
		ft_wake_executor_at_commit(GetSessionUserId(), due);
	return successor;
}

/* Of the current row of end_task: the name of the only step that depends on it, or NULL. */
static char *
only_successor(void)
{
	bool		isnull;
	ArrayType  *successors = DatumGetArrayTypeP(ft_column(0, 2, &isnull));
	Datum	   *names;
	bool	   *nulls;
	int			n;

	if (ArrayGetNItems(ARR_NDIM(successors), ARR_DIMS(successors)) != 1)
		return NULL;
	deconstruct_array(successors, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &n);
	return TextDatumGetCString(names[0]);
}

/*
 * Claim the only step that depends on the one that has ended, where that is all
 * it waits for.  That is one version of its row, and one statement, where to
 * make it due and to claim it are two.
 */
static FtStepClaim *
claim_only_successor(const FtStepClaim *claim, const FtStepCounted *counted, TimestampTz now)
{
	char	   *name;

	/* what a suspect makes due may be suspect in its turn */
	if (!counted->goes_on || (claim->suspicion != NULL && claim->is_short))
		return NULL;
	name = only_successor();
	if (name == NULL)
		return NULL;
	return ft_step_claim_successor(&claim->execution_id, name, now,
								   GetMemoryChunkContext(unconstify(FtStepClaim *, claim)));
}

/*
 * Write down that a step has ended, and what that makes due.  Returns the
 * successor that this session goes on with, or NULL.
 */
static FtStepClaim *
end_step(const FtStepClaim *claim, const FtStepOutcome *outcome, bool may_continue)
{
	TimestampTz now = GetCurrentTimestamp();
	FtStepCounted counted;
	FtStepClaim *successor = NULL;
	bool		has_successors;

	if (!count(claim, outcome->skipped, outcome->patch, now))
		ft_step_report_taken_over(claim);
	ft_step_read_counted(0, 1, &counted);
	if (ft_run(&end_task,
			   FT_ARGS(FT_UUID(&claim->task_id), FT_VALUE(Int32GetDatum(claim->attempt)),
					   FT_TEXT(ft_step_ended_status(claim, outcome->skipped)),
					   outcome->result == (Datum) 0 ? FT_NULL : FT_VALUE(outcome->result),
					   FT_TIME(now),
					   outcome->skipped ? FT_NULL : FT_VALUE(Int64GetDatum(counted.completions)))) == 0)
		ft_step_report_taken_over(claim);
	/* it may have got one since it was claimed */
	has_successors = ft_column_bool(0, 1);
	if (has_successors && may_continue)
		successor = claim_only_successor(claim, &counted, now);
	if (successor != NULL)
		return successor;
	return ft_step_go_on(claim, &counted, now, has_successors, may_continue);
}

void
ft_step_execute(const FtStepClaim *claim, FtStepOutcome *outcome)
{
	FtStepData	data;
	FtFlowEnd	end = FT_FLOW_DONE;

	memset(outcome, 0, sizeof(FtStepOutcome));
	ft_step_data_init(&data, &claim->execution_id, &claim->task_id, claim->attempt);
	if (claim->has_flow)
		end = ft_flow_run(claim, &data, &outcome->result);
	else if (claim->condition != NULL && !ft_command_is_true(claim->condition, &data))
		end = FT_FLOW_SKIPPED;
	else if (claim->command != NULL)
		outcome->result = ft_command_run(claim->command, &data);
	outcome->skipped = end == FT_FLOW_SKIPPED;
	outcome->waits = end == FT_FLOW_WAITS;
	outcome->patch = data.patch;
}

FtStepClaim *
ft_step_end(const FtStepClaim *claim, const FtStepOutcome *outcome, bool may_continue)
{
	FtStepClaim *successor;
	FtEngine	engine;

	ft_engine_enter(&engine);
	successor = end_step(claim, outcome, may_continue);
	ft_engine_leave(&engine);
	return successor;
}

FtStepClaim *
ft_step_run(const FtStepClaim *claim, bool may_continue)
{
	FtStepOutcome outcome;

	ft_step_execute(claim, &outcome);
	if (outcome.waits)
		return NULL;
	return ft_step_end(claim, &outcome, may_continue);
}

void
ft_step_failed(const FtStepClaim *claim, const ErrorData *error)
{
	FtEngine	engine;
	FtExecution execution;
	FtTask		task;

	ft_engine_enter(&engine);
	/* somebody may have removed it while it ran */
	if (!ft_task_exists(&claim->task_id))
	{
		ft_engine_leave(&engine);
		return;
	}
	ft_task_lock(&claim->task_id, InvalidOid, &execution, &task);
	if (ft_run(&claimed_here,
			   FT_ARGS(FT_UUID(&claim->task_id), FT_VALUE(Int32GetDatum(claim->attempt)),
					   ft_my_worker_id == 0 ? FT_NULL :
					   FT_VALUE(Int64GetDatum((int64) ft_my_worker_id)))) > 0)
		ft_failure_of_task(&execution, &task,
						   error->message ? error->message : "missing error text",
						   unpack_sql_state(error->sqlerrcode),
						   ft_failure_is_timeout(error));
	ft_engine_leave(&engine);
}

/* A step, and the executor that was lost with it. */
typedef struct Lost
{
	pg_uuid_t	task_id;
	int64		epoch;
	int64		worker_id;
} Lost;

/*
 * Give back what a lost executor was at, or have it pay; see suspect.c.  Before
 * it was locked it may have become somebody else's, who is not lost.
 */
static bool
recover_lost(const Lost *lost, TimestampTz now)
{
	FtExecution execution;
	FtTask		task;
	FtLoss		loss = {0};
	bool		server_lost = (uint64) lost->epoch != ft_shared->boot_epoch;

	if (!ft_task_try_lock(&lost->task_id, &execution, &task) ||
		ft_run(&still_lost,
			   FT_ARGS(FT_UUID(&lost->task_id), FT_VALUE(Int64GetDatum(lost->epoch)),
					   FT_VALUE(Int64GetDatum(lost->worker_id)))) == 0)
		return false;

	/* who was sent away is to blame for nothing */
	if (!server_lost && ft_worker_was_dismissed((uint64) lost->worker_id))
		loss.suspicion = task.suspicion;
	else
		loss = ft_suspect_judge("step", task.suspicion, server_lost);
	if (loss.guilty)
	{
		ft_suspect_note(&lost->task_id, loss.suspicion);
		ft_failure_of_task(&execution, &task, loss.message, loss.sqlstate, false);
	}
	else
		ft_ready_lost(&execution, &task, loss.suspicion, now);
	return true;
}

/* Of the current row of lost_tasks: is the executor that runs it there? */
static bool
runs_here(uint64 row)
{
	return ft_shared != NULL &&
		(uint64) ft_column_int64(row, 2) == ft_shared->boot_epoch &&
		ft_executor_alive((uint64) ft_column_int64(row, 3));
}

void
ft_step_take_back(TimestampTz now)
{
	uint64		n = ft_run_by_index(&lost_tasks, NULL);
	pg_uuid_t  *foreign = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	int			count = 0;

	for (uint64 row = 0; row < n; row++)
		if (!runs_here(row))
			foreign[count++] = ft_column_uuid(row, 1);
	for (int i = 0; i < count; i++)
	{
		FtExecution execution;
		FtTask		task;

		CHECK_FOR_INTERRUPTS();
		ft_task_lock(&foreign[i], InvalidOid, &execution, &task);
		if (task.status == FT_TASK_RUNNING)
			ft_ready_lost(&execution, &task, task.suspicion, now);
	}
}

int64
ft_step_recover(TimestampTz now)
{
	uint64		n;
	Lost	   *lost;
	int			count = 0;
	int64		recovered = 0;
	FtEngine	engine;

	if (ft_shared == NULL)
		return 0;
	ft_engine_enter(&engine);
	ft_step_release_overdue();
	n = ft_run_by_index(&lost_tasks, NULL);
	lost = palloc(sizeof(Lost) * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
	{
		if (runs_here(row))
			continue;
		lost[count].task_id = ft_column_uuid(row, 1);
		lost[count].epoch = ft_column_int64(row, 2);
		lost[count++].worker_id = ft_column_int64(row, 3);
	}
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (recover_lost(&lost[i], now))
			recovered++;
	}
	ft_engine_leave(&engine);
	return recovered;
}
