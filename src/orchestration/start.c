/*-------------------------------------------------------------------------
 *
 * start.c
 *	  Starting executions whose steps the server runs.
 *
 * An execution and all its tasks are written by the caller's own transaction:
 * its commit starts them, and a rollback leaves nothing.
 *
 * Locking: none but of the rows that are made; an idempotency key waits for a
 * transaction that has used it and not ended yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "orchestration/checkpoint.h"
#include "orchestration/definition.h"
#include "orchestration/execution.h"
#include "orchestration/installation.h"
#include "orchestration/ready.h"
#include "orchestration/start.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_start);
PG_FUNCTION_INFO_V1(ft_submit);

FT_STATEMENT(find_definition,
			 "SELECT orchestration_id, owner::text, owner_oid, jsonb_array_length(tasks), version"
			 "  FROM ft.orchestrations"
			 " WHERE orchestration_name = $1 AND version = coalesce($2, version)"
			 " ORDER BY version DESC LIMIT 1",
			 TEXTOID, INT4OID);
FT_STATEMENT(insert_execution,
			 "INSERT INTO ft.orchestration_executions"
			 " (execution_id, orchestration_id, owner, owner_oid, created_at, updated_at,"
			 "  managed, input, priority, run_at, deadline, idempotency_key, tasks_left)"
			 " VALUES ($1, $2, pg_get_userbyid($3), $3, $4, $4, true, $5, $6, $7, $4 + $8, $9, $10)"
			 " ON CONFLICT (owner, idempotency_key) WHERE idempotency_key IS NOT NULL"
			 " DO NOTHING",
			 UUIDOID, UUIDOID, OIDOID, TIMESTAMPTZOID, JSONBOID, INT2OID, TIMESTAMPTZOID,
			 INTERVALOID, TEXTOID, INT8OID);
FT_STATEMENT(find_started,
			 "SELECT execution_id,"
			 "       orchestration_id IS NOT DISTINCT FROM $3 OR NOT $4 AND EXISTS"
			 "           (SELECT FROM ft.orchestrations AS begun, ft.orchestrations AS asked"
			 "             WHERE begun.orchestration_id = execution.orchestration_id"
			 "               AND asked.orchestration_id = $3"
			 "               AND begun.orchestration_name = asked.orchestration_name),"
			 "       owner_oid = $1, owner::text"
			 "  FROM ft.orchestration_executions AS execution"
			 " WHERE owner = pg_get_userbyid($1) AND idempotency_key = $2",
			 OIDOID, TEXTOID, UUIDOID, BOOLOID);
/* Who depends on whom is gathered once, not looked for anew for each task. */
FT_STATEMENT(insert_tasks,
			 "WITH successor AS MATERIALIZED"
			 " (SELECT coalesce(jsonb_object_agg(needed, names), '{}') AS of"
			 "    FROM (SELECT needed, jsonb_agg(task.name) AS names"
			 "            FROM ft.orchestrations AS definition,"
			 "                 jsonb_to_recordset(definition.tasks) AS task (name text, depends_on text[]),"
			 "                 unnest(task.depends_on) AS needed"
			 "           WHERE definition.orchestration_id = $1"
			 "           GROUP BY needed) AS needs) "
			 "INSERT INTO ft.orchestration_tasks"
			 " (task_id, execution_id, task_name, command, compensation, critical, depends_on,"
			 "  owner_oid, queue, priority, execution_mode, short, condition, timeout,"
			 "  max_attempts, backoff, sleep, signal, for_each, item_compensation,"
			 "  repeat_while, max_iterations, orchestration, orchestration_input,"
			 "  unmet, has_successors, successors,"
			 "  not_before, wait_until, due_at, created_at)"
			 " SELECT ft.uuid_v7(), $2, task.name, task.command,"
			 "        CASE WHEN task.for_each IS NULL THEN undo END,"
			 "        coalesce(task.critical, false), coalesce(task.depends_on, '{}'),"
			 "        $3, coalesce(task.queue, 'default'), coalesce(task.priority::smallint, $4),"
			 "        coalesce(task.execution_mode, 'transactional'), coalesce(task.short, false),"
			 "        task.condition, task.timeout, task.max_attempts::integer, task.backoff,"
			 "        task.sleep, task.signal, task.for_each,"
			 "        CASE WHEN task.for_each IS NOT NULL THEN undo END,"
			 "        task.repeat_while, task.max_iterations::integer, task.orchestration, task.input,"
			 "        dependencies + signals,"
			 "        (SELECT of FROM successor) ? task.name,"
			 "        ARRAY(SELECT jsonb_array_elements_text((SELECT of FROM successor) -> task.name)),"
			 "        CASE WHEN dependencies + signals = 0 THEN begin + task.sleep END,"
			 "        CASE WHEN dependencies = 0 AND signals > 0 THEN begin + task.timeout END,"
			 "        CASE WHEN dependencies + signals = 0 THEN begin + coalesce(task.sleep, '0')"
			 "             WHEN dependencies = 0 THEN begin + task.timeout END,"
			 "        $6"
			 "   FROM ft.orchestrations AS definition,"
			 "        jsonb_to_recordset(definition.tasks) AS task ("
			 "            name text, command text, compensation text, critical boolean,"
			 "            depends_on text[], queue text, priority numeric,"
			 "            execution_mode text, short boolean, condition text,"
			 "            timeout interval, max_attempts numeric, backoff interval,"
			 "            sleep interval, signal text, for_each text, repeat_while text,"
			 "            max_iterations numeric, orchestration text, input text),"
			 "        LATERAL (SELECT coalesce(cardinality(task.depends_on), 0) AS dependencies,"
			 "                        num_nonnulls(task.signal) AS signals,"
			 "                        CASE WHEN task.orchestration IS NULL THEN task.compensation"
			 "                             ELSE 'SELECT ft.compensate_child()' END AS undo,"
			 "                        coalesce($5, $6) AS begin) AS waits"
			 "  WHERE definition.orchestration_id = $1"
			 " RETURNING coalesce(due_at <= $6, false), coalesce(due_at > $6, false)",
			 UUIDOID, UUIDOID, OIDOID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(set_parent,
			 "UPDATE ft.orchestration_executions SET parent_task_id = $2 WHERE execution_id = $1",
			 UUIDOID, UUIDOID);
FT_STATEMENT(insert_single_task,
			 "INSERT INTO ft.orchestration_tasks"
			 " (task_id, execution_id, task_name, command, compensation, owner_oid, queue,"
			 "  priority, execution_mode, short, timeout, max_attempts, due_at, created_at)"
			 " SELECT ft.uuid_v7(), execution_id, 'command', $2, $3, owner_oid, $4,"
			 "        priority, $5, $6, $7, $8, coalesce(run_at, created_at), created_at"
			 "   FROM ft.orchestration_executions WHERE execution_id = $1"
			 " RETURNING due_at <= created_at, due_at > created_at",
			 UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, INTERVALOID, INT4OID);

/* What is said of an execution when it is started. */
typedef struct Start
{
	pg_uuid_t  *execution_id;
	pg_uuid_t  *orchestration_id;	/* NULL for a single command */
	bool		exact_version;	/* else any version will do */
	Oid			owner;
	Datum		input;
	FtArg		idempotency_key;
	int			priority;
	FtArg		run_at;
	FtArg		deadline;
	int64		tasks;
	TimestampTz now;
} Start;

static FtArg
argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(n));
}

/* A deadline that was over before the call can only be a mistake; others must be times. */
static void
check_deadline(const Start *start)
{
	Interval	nothing = {0};
	Interval	most = {.month = FT_DURATION_LIMIT_YEARS * MONTHS_PER_YEAR};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, start->deadline.value, IntervalPGetDatum(&nothing))))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("deadline must not be negative"),
				 errdetail("It counts from now on."),
				 errhint("Pass how long the execution may take, or null for no deadline.")));
	if (DatumGetBool(DirectFunctionCall2(interval_gt, start->deadline.value, IntervalPGetDatum(&most))))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("deadline must not be more than %d years", FT_DURATION_LIMIT_YEARS),
				 errdetail("It counts from now on."),
				 errhint("Pass how long the execution may take, or null for no deadline.")));
}

/* The arguments that ft.start and ft.submit have in common, from the second. */
static void
read_start(FunctionCallInfo fcinfo, Start *start)
{
	ft_require_argument(PG_ARGISNULL(1), "input");
	ft_require_argument(PG_ARGISNULL(3), "priority");
	start->execution_id = palloc(sizeof(pg_uuid_t));
	ft_uuid_generate(start->execution_id);
	start->input = PG_GETARG_DATUM(1);
	start->idempotency_key = argument(fcinfo, 2);
	start->priority = PG_GETARG_INT32(3);
	start->run_at = argument(fcinfo, 4);
	start->deadline = argument(fcinfo, 5);
	start->now = GetCurrentTimestamp();
	if (!start->idempotency_key.isnull)
		ft_require_name(text_to_cstring(PG_GETARG_TEXT_PP(2)), "idempotency_key");
	if (start->priority < PG_INT16_MIN || start->priority > PG_INT16_MAX)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("priority %d is out of range", start->priority),
				 errdetail("A priority is between %d and %d; those of higher priority start first.",
						   PG_INT16_MIN, PG_INT16_MAX),
				 errhint("Pass a smaller number.")));
	if (!start->run_at.isnull && TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(4)))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("run_at must not be infinite"),
				 errdetail("The execution would never begin, or would always have been late."),
				 errhint("Pass a time, or null to begin at once.")));
	if (!start->deadline.isnull)
		check_deadline(start);
}

/*
 * Write the execution; false if there is one with its idempotency key, which
 * is then the one that is meant.
 */
static bool
insert(Start *start)
{
	FtArg		orchestration = start->orchestration_id ? FT_UUID(start->orchestration_id) : FT_NULL;

	ft_installation_settle_in();
	if (ft_run(&insert_execution,
			   FT_ARGS(FT_UUID(start->execution_id), orchestration,
					   FT_VALUE(ObjectIdGetDatum(start->owner)),
					   FT_TIME(start->now), FT_VALUE(start->input),
					   FT_VALUE(Int16GetDatum((int16) start->priority)),
					   start->run_at, start->deadline, start->idempotency_key,
					   FT_VALUE(Int64GetDatum(start->tasks)))) > 0)
		return true;

	if (ft_run(&find_started,
			   FT_ARGS(FT_VALUE(ObjectIdGetDatum(start->owner)), start->idempotency_key,
					   orchestration, FT_VALUE(BoolGetDatum(start->exact_version)))) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the execution with this idempotency_key is not visible"),
				 errdetail("It was started, or removed, while this transaction was running."),
				 errhint("Try again.")));
	*start->execution_id = ft_column_uuid(0, 1);
	if (!ft_column_bool(0, 3))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("idempotency_key \"%s\" is that of an execution whose owner is not settled",
						TextDatumGetCString(start->idempotency_key.value)),
				 errdetail("It belongs to a role \"%s\" of another cluster, or to one that was dropped here.",
						   ft_column_text(0, 4)),
				 errhint("When it is to be this role's, a superuser calls: SELECT ft.adopt();")));
	if (!ft_column_bool(0, 2))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("idempotency_key \"%s\" is that of another execution",
						TextDatumGetCString(start->idempotency_key.value)),
				 errdetail(start->exact_version ?
						   "Execution %s has it, and is not one of this version of this orchestration." :
						   "Execution %s has it, and is not one of this orchestration.",
						   ft_uuid_string(start->execution_id)),
				 errhint("Use a key that names the orchestration too.")));
	return false;
}

/* Its tasks are written; n of them were returned. */
static void
begin(const Start *start, uint64 n)
{
	ft_ready_wake(n, 1, start->owner);
	/* recovery always has where to go */
	(void) ft_checkpoint_create(start->execution_id, NULL);
	/* an executor that waits does not look at the clock */
	if (!start->deadline.isnull || !start->run_at.isnull)
		ft_wake_worker_at_commit();
}

pg_noreturn static void report_unknown_version(const char *name, int version, int newest);

static void
report_unknown_version(const char *name, int version, int newest)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("orchestration \"%s\" has no version %d", name, version),
			 errdetail("Its newest version is %d.", newest),
			 errhint("Leave the version out to start the newest one.")));
}

/* Start an execution of a version, or of the newest, of a definition. */
static void
start_defined(Start *start, const char *name, FtArg version)
{
	pg_uuid_t	orchestration_id;

	if (ft_run(&find_definition, FT_ARGS(FT_TEXT(name), version)) == 0)
	{
		if (version.isnull || ft_run(&find_definition, FT_ARGS(FT_TEXT(name), FT_NULL)) == 0)
			ft_definition_report_unknown(name);
		ft_definition_require_member(name, ft_column_text(0, 2), ft_column_oid(0, 3), start->owner);
		report_unknown_version(name, DatumGetInt32(version.value), ft_column_int32(0, 5));
	}
	start->exact_version = !version.isnull;
	orchestration_id = ft_column_uuid(0, 1);
	start->orchestration_id = &orchestration_id;
	start->tasks = ft_column_int32(0, 4);
	ft_definition_require_member(name, ft_column_text(0, 2), ft_column_oid(0, 3), start->owner);
	/* the definition has its durations as text */
	ft_engine_pin_interval_style();
	if (insert(start))
		begin(start,
			  ft_run(&insert_tasks,
					 FT_ARGS(FT_UUID(&orchestration_id), FT_UUID(start->execution_id),
							 FT_VALUE(ObjectIdGetDatum(start->owner)),
							 FT_VALUE(Int16GetDatum((int16) start->priority)),
							 start->run_at, FT_TIME(start->now))));
	start->orchestration_id = NULL;
}

pg_uuid_t
ft_start_child(const char *name, Datum input, Oid owner, int priority,
			   const pg_uuid_t *parent_task_id)
{
	pg_uuid_t	execution_id;
	Start		start = {
		.execution_id = &execution_id,
		.owner = owner,
		.input = input,
		.idempotency_key = FT_NULL,
		.priority = priority,
		.run_at = FT_NULL,
		.deadline = FT_NULL,
		.now = GetCurrentTimestamp()
	};

	ft_uuid_generate(&execution_id);
	start_defined(&start, name, FT_NULL);
	ft_run(&set_parent, FT_ARGS(FT_UUID(&execution_id), FT_UUID(parent_task_id)));
	return execution_id;
}

/*
 * ft.start(name text, input jsonb, idempotency_key text, priority integer,
 * run_at timestamptz, deadline interval, version integer) returns uuid
 */
Datum
ft_start(PG_FUNCTION_ARGS)
{
	Start		start = {0};
	char	   *name;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	read_start(fcinfo, &start);

	ft_engine_enter(&engine);
	start.owner = engine.caller;
	start_defined(&start, name, argument(fcinfo, 6));
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(start.execution_id);
}

/*
 * ft.submit(command text, input jsonb, idempotency_key text,
 * priority integer, run_at timestamptz, deadline interval,
 * compensation text, queue text, execution_mode text, short boolean,
 * max_attempts integer, timeout interval) returns uuid
 */
Datum
ft_submit(PG_FUNCTION_ARGS)
{
	Start		start = {.tasks = 1};
	char	   *mode;
	bool		alone;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "command");
	ft_require_argument(PG_ARGISNULL(7), "queue");
	ft_require_argument(PG_ARGISNULL(8), "execution_mode");
	ft_require_argument(PG_ARGISNULL(9), "short");
	read_start(fcinfo, &start);
	ft_require_name(text_to_cstring(PG_GETARG_TEXT_PP(7)), "queue");
	mode = text_to_cstring(PG_GETARG_TEXT_PP(8));
	ft_definition_check_mode(mode, "execution_mode");
	alone = strcmp(mode, "non_transactional") == 0;
	if (strcmp(mode, "external") != 0)
		ft_definition_check_command(text_to_cstring(PG_GETARG_TEXT_PP(0)), "command", alone, !alone);
	if (!PG_ARGISNULL(6))
		ft_definition_check_command(text_to_cstring(PG_GETARG_TEXT_PP(6)), "compensation", false, true);
	if (!PG_ARGISNULL(10) && PG_GETARG_INT32(10) < 1)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("max_attempts must be at least 1"),
				 errdetail("%d attempts would never run it.", PG_GETARG_INT32(10)),
				 errhint("Pass null for fault_tolerance.recovery_max_attempts.")));
	if (!PG_ARGISNULL(11))
		ft_definition_check_duration(PG_GETARG_INTERVAL_P(11), "timeout");

	ft_engine_enter(&engine);
	start.owner = engine.caller;
	if (insert(&start))
	{
		begin(&start,
			  ft_run(&insert_single_task,
					 FT_ARGS(FT_UUID(start.execution_id), argument(fcinfo, 0), argument(fcinfo, 6),
							 argument(fcinfo, 7), argument(fcinfo, 8), argument(fcinfo, 9),
							 argument(fcinfo, 11), argument(fcinfo, 10))));
	}
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(start.execution_id);
}
