/*-------------------------------------------------------------------------
 *
 * task.c
 *	  Tasks: the steps of an execution, and what outside workers report of
 *	  them.
 *
 * A worker starts a task and gets the number of the attempt.  Whoever passes
 * it back with the report is refused when the task has been started again
 * meanwhile, so a worker that was thought lost cannot overwrite the work of
 * the one that took over.
 *
 * Locking: the execution's row first, then the task's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/ready.h"
#include "orchestration/task.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_add_task);
PG_FUNCTION_INFO_V1(ft_start_task);
PG_FUNCTION_INFO_V1(ft_complete_task);

FT_STATEMENT(insert_task,
			 "INSERT INTO ft.orchestration_tasks"
			 " (task_id, execution_id, task_name, command, compensation, critical, depends_on,"
			 "  created_at, owner_oid)"
			 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
			 " ON CONFLICT (execution_id, task_name) DO NOTHING",
			 UUIDOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTARRAYOID, TIMESTAMPTZOID, OIDOID);
FT_STATEMENT(unknown_dependency,
			 "SELECT name FROM unnest($2) AS name"
			 " WHERE NOT EXISTS (SELECT FROM ft.orchestration_tasks"
			 "                    WHERE execution_id = $1 AND task_name = name)"
			 " LIMIT 1",
			 UUIDOID, TEXTARRAYOID);
FT_STATEMENT(add_successor,
			 "UPDATE ft.orchestration_tasks"
			 "   SET has_successors = true, successors = successors || $3"
			 " WHERE execution_id = $1 AND task_name = ANY ($2)",
			 UUIDOID, TEXTARRAYOID, TEXTOID);
FT_STATEMENT(task_execution,
			 "SELECT execution_id FROM ft.orchestration_tasks WHERE task_id = $1",
			 UUIDOID);
FT_STATEMENT(lock_task,
			 "SELECT task_name, status, attempt, failures, next_attempt_at, losses, suspicion"
			 "  FROM ft.orchestration_tasks"
			 " WHERE task_id = $1 FOR NO KEY UPDATE",
			 UUIDOID);
FT_STATEMENT(unmet_dependency,
			 "SELECT needed.task_name, needed.status"
			 "  FROM ft.orchestration_tasks AS task,"
			 "       ft.orchestration_tasks AS needed"
			 " WHERE task.task_id = $1"
			 "   AND needed.execution_id = task.execution_id"
			 "   AND needed.task_name = ANY (task.depends_on)"
			 "   AND needed.status NOT IN ('COMPLETED', 'SKIPPED')"
			 " ORDER BY needed.task_id LIMIT 1",
			 UUIDOID);
FT_STATEMENT(set_started,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, attempt = attempt + 1, started_at = $3,"
			 "       next_attempt_at = NULL, error_sqlstate = NULL, error_message = NULL,"
			 "       leased_until = NULL, due_at = NULL"
			 " WHERE task_id = $1"
			 " RETURNING attempt",
			 UUIDOID, TEXTOID, TIMESTAMPTZOID);
FT_STATEMENT(count_completion,
			 "UPDATE ft.orchestration_executions"
			 "   SET completions = completions + 1, updated_at = $2"
			 " WHERE execution_id = $1"
			 " RETURNING completions",
			 UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT(set_completed,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, result = $3, completed_at = $4, completion_order = $5,"
			 "       failures = 0, leased_until = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, INT8OID);

static void
report_unknown_task(const pg_uuid_t *task_id)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("task %s does not exist", ft_uuid_string(task_id)),
			 errdetail("No row of ft.orchestration_tasks has this task_id."),
			 errhint("See those of an execution: SELECT task_id, task_name, status FROM ft.orchestration_tasks WHERE execution_id = '...';")));
}

static pg_uuid_t
execution_of_task(const pg_uuid_t *task_id)
{
	if (ft_run(&task_execution, FT_ARGS(FT_UUID(task_id))) == 0)
		report_unknown_task(task_id);
	return ft_column_uuid(0, 1);
}

bool
ft_task_exists(const pg_uuid_t *task_id)
{
	return ft_run(&task_execution, FT_ARGS(FT_UUID(task_id))) > 0;
}

void
ft_task_require_execution(const pg_uuid_t *task_id, const pg_uuid_t *execution_id)
{
	pg_uuid_t	actual = execution_of_task(task_id);

	if (!ft_uuid_equal(&actual, execution_id))
		ereport(ERROR,
				(errcode(FT_ERRCODE_FOREIGN_TASK),
				 errmsg("task %s does not belong to execution %s",
						ft_uuid_string(task_id), ft_uuid_string(execution_id)),
				 errdetail("A checkpoint can name only a task of its own execution."),
				 errhint("See its tasks: SELECT task_id, task_name FROM ft.orchestration_tasks WHERE execution_id = '%s';",
						 ft_uuid_string(execution_id))));
}

static bool
read_task(const pg_uuid_t *task_id, FtTask *task)
{
	if (ft_run(&lock_task, FT_ARGS(FT_UUID(task_id))) == 0)
		return false;

	task->task_id = *task_id;
	task->name = ft_column_text(0, 1);
	task->status = ft_task_status_of(ft_column_text(0, 2));
	task->attempt = ft_column_int32(0, 3);
	task->failures = ft_column_int32(0, 4);
	task->next_attempt_at = ft_column_is_null(0, 5) ? DT_NOBEGIN : ft_column_time(0, 5);
	task->losses = ft_column_int32(0, 6);
	task->suspicion = ft_column_text(0, 7);
	return true;
}

void
ft_task_lock(const pg_uuid_t *task_id, Oid caller, FtExecution *execution, FtTask *task)
{
	pg_uuid_t	execution_id = execution_of_task(task_id);

	ft_execution_lock(execution, &execution_id, caller);
	if (!read_task(task_id, task))
		report_unknown_task(task_id);
}

bool
ft_task_try_lock(const pg_uuid_t *task_id, FtExecution *execution, FtTask *task)
{
	pg_uuid_t	execution_id;

	if (ft_run(&task_execution, FT_ARGS(FT_UUID(task_id))) == 0)
		return false;
	execution_id = ft_column_uuid(0, 1);
	return ft_execution_try_lock(execution, &execution_id) && read_task(task_id, task);
}

void
ft_task_require_attempt(const FtTask *task, int attempt)
{
	/* pending again, it has been given up; somebody else's turn comes */
	if (attempt == task->attempt && attempt > 0 && task->status == FT_TASK_PENDING)
		ereport(ERROR,
				(errcode(FT_ERRCODE_STALE_ATTEMPT),
				 errmsg("attempt %d of task \"%s\" is over", attempt, task->name),
				 errdetail("Its lease ran out, or it was taken for lost, and the task waits to be started again. What it did outside of this database may be done twice."),
				 errhint("Drop this work, and claim another task.")));
	if (attempt == task->attempt)
		return;
	ereport(ERROR,
			(errcode(FT_ERRCODE_STALE_ATTEMPT),
			 errmsg("attempt %d of task \"%s\" is not the current one", attempt, task->name),
			 errdetail("The task is at attempt %d. What attempt %d did outside of this database may have been done twice.",
					   task->attempt, attempt),
			 errhint("Drop this work; the current attempt reports for the task.")));
}

/* Check what depends_on of a new task says. */
static void
check_dependencies(const pg_uuid_t *execution_id, Datum depends_on)
{
	if (array_contains_nulls(DatumGetArrayTypeP(depends_on)))
		ft_require_argument(true, "each element of depends_on");
	if (ft_run(&unknown_dependency,
			   FT_ARGS(FT_UUID(execution_id), FT_VALUE(depends_on))) > 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
				 errmsg("task \"%s\" of depends_on does not exist in the execution", ft_column_text(0, 1)),
				 errdetail("A task can depend only on tasks that were added before it, so that there is no cycle."),
				 errhint("Add that task first, or correct the name.")));
}

/*
 * ft.add_task(execution_id uuid, task_name text, command text,
 * compensation text, critical boolean, depends_on text[]) returns uuid
 */
Datum
ft_add_task(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *task_id = palloc(sizeof(pg_uuid_t));
	FtEngine	engine;
	FtExecution execution;
	FtExecutionStatus status;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "task_name");
	ft_require_argument(PG_ARGISNULL(4), "critical");
	ft_require_argument(PG_ARGISNULL(5), "depends_on");
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(1)) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("task_name must not be empty"),
				 errdetail("A task is named in dependencies, plans and timelines."),
				 errhint("Pass a name that is unique within the execution.")));
	ft_uuid_generate(task_id);

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	status = ft_execution_require_transition(execution.status, FT_EXECUTION_ADD_TASK,
											 ft_uuid_string(&execution.execution_id));
	if (status != execution.status)
		ft_execution_set_status(&execution, status);
	else
		ft_execution_touch(&execution);
	check_dependencies(&execution.execution_id, PG_GETARG_DATUM(5));
	if (ft_run(&insert_task,
			   FT_ARGS(FT_UUID(task_id),
					   FT_UUID(&execution.execution_id),
					   FT_VALUE(PG_GETARG_DATUM(1)),
					   PG_ARGISNULL(2) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(2)),
					   PG_ARGISNULL(3) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(3)),
					   FT_VALUE(PG_GETARG_DATUM(4)),
					   FT_VALUE(PG_GETARG_DATUM(5)),
					   FT_TIME(GetCurrentTimestamp()),
					   FT_VALUE(ObjectIdGetDatum(execution.owner_oid)))) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("task \"%s\" already exists in the execution",
						text_to_cstring(PG_GETARG_TEXT_PP(1))),
				 errdetail("Tasks of one execution are told apart by their names."),
				 errhint("Choose another name.")));
	ft_run(&add_successor,
		   FT_ARGS(FT_UUID(&execution.execution_id), FT_VALUE(PG_GETARG_DATUM(5)),
				   FT_VALUE(PG_GETARG_DATUM(1))));
	ft_ready_recount(&execution.execution_id, GetCurrentTimestamp());
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(task_id);
}

/* An error if the task may not be started yet. */
static void
check_startable(const FtExecution *execution, const FtTask *task)
{
	if (execution->paused)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("execution %s is paused", ft_uuid_string(&execution->execution_id)),
				 errdetail("No task of it is started until it is resumed."),
				 errhint("SELECT ft.resume('%s');", ft_uuid_string(&execution->execution_id))));
	if (task->next_attempt_at > GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("task \"%s\" is not due before %s", task->name,
						timestamptz_to_str(task->next_attempt_at)),
				 errdetail("It has failed and is retried after a delay that grows with each failure."),
				 errhint("Start it after that time.")));
	if (ft_run(&unmet_dependency, FT_ARGS(FT_UUID(&task->task_id))) > 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("task \"%s\" depends on task \"%s\", which is %s", task->name,
						ft_column_text(0, 1), ft_column_text(0, 2)),
				 errdetail("A task starts when all that it depends on have completed."),
				 errhint("Complete that task first.")));
}

/* ft.start_task(task_id uuid) returns integer */
Datum
ft_start_task(PG_FUNCTION_ARGS)
{
	FtEngine	engine;
	FtExecution execution;
	FtTask		task;
	FtExecutionStatus execution_status;
	FtTaskStatus task_status;
	bool		resumed;
	int			attempt;

	ft_require_argument(PG_ARGISNULL(0), "task_id");

	ft_engine_enter(&engine);
	ft_task_lock(PG_GETARG_UUID_P(0), engine.caller, &execution, &task);
	execution_status =
		ft_execution_require_transition(execution.status, FT_EXECUTION_START_TASK,
										ft_uuid_string(&execution.execution_id));
	task_status = ft_task_require_transition(task.status, FT_TASK_START, task.name);
	check_startable(&execution, &task);

	resumed = execution.status == FT_EXECUTION_ROLLED_BACK;
	if (execution_status != execution.status)
		ft_execution_set_status(&execution, execution_status);
	ft_run(&set_started,
		   FT_ARGS(FT_UUID(&task.task_id),
				   FT_TEXT(ft_task_status_name(task_status)),
				   FT_TIME(GetCurrentTimestamp())));
	attempt = ft_column_int32(0, 1);
	if (resumed)
		ft_ready_recount(&execution.execution_id, GetCurrentTimestamp());
	ft_engine_leave(&engine);

	PG_RETURN_INT32(attempt);
}

/* ft.complete_task(task_id uuid, result jsonb, attempt integer) returns void */
Datum
ft_complete_task(PG_FUNCTION_ARGS)
{
	FtEngine	engine;
	FtExecution execution;
	FtTask		task;
	FtTaskStatus completed;
	TimestampTz now = GetCurrentTimestamp();

	ft_require_argument(PG_ARGISNULL(0), "task_id");

	ft_engine_enter(&engine);
	ft_task_lock(PG_GETARG_UUID_P(0), engine.caller, &execution, &task);
	if (!PG_ARGISNULL(2))
		ft_task_require_attempt(&task, PG_GETARG_INT32(2));
	completed = ft_task_require_transition(task.status, FT_TASK_COMPLETE, task.name);

	/* what was claimed while the execution was locked has not begun it */
	if (execution.status == FT_EXECUTION_PENDING)
		ft_execution_set_status(&execution,
								ft_execution_require_transition(execution.status, FT_EXECUTION_START_TASK,
																ft_uuid_string(&execution.execution_id)));
	ft_run(&count_completion,
		   FT_ARGS(FT_UUID(&execution.execution_id), FT_TIME(now)));
	ft_run(&set_completed,
		   FT_ARGS(FT_UUID(&task.task_id),
				   FT_TEXT(ft_task_status_name(completed)),
				   PG_ARGISNULL(1) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(1)),
				   FT_TIME(now),
				   FT_VALUE(Int64GetDatum(ft_column_int64(0, 1)))));
	ft_execution_complete_if_done(&execution);
	ft_ready_recount(&execution.execution_id, now);
	ft_engine_leave(&engine);

	PG_RETURN_VOID();
}
