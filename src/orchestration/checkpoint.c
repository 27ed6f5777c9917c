/*-------------------------------------------------------------------------
 *
 * checkpoint.c
 *	  Checkpoints: states that an execution can be brought back to.
 *
 * Locking: the execution's row is locked by the caller, which makes the
 * number of a new checkpoint the next one, and the newest the newest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "engine.h"
#include "errors.h"
#include "fault_tolerance.h"
#include "guc.h"
#include "orchestration/checkpoint.h"
#include "orchestration/execution.h"
#include "orchestration/task.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_create_checkpoint);
PG_FUNCTION_INFO_V1(ft_trigger_checkpoint);

FT_STATEMENT(insert_checkpoint,
			 "INSERT INTO ft.orchestration_checkpoints"
			 " (checkpoint_id, orchestration_id, execution_id, checkpoint_time,"
			 "  state_data, task_progress, created_at, checkpoint_number)"
			 " SELECT $2, execution.orchestration_id, execution.execution_id, $4,"
			 "        jsonb_build_object("
			 "            'execution_id', execution.execution_id,"
			 "            'task_id', $3,"
			 "            'completed_tasks', task.completed,"
			 "            'pending_tasks', task.pending,"
			 "            'state', 'CHECKPOINT',"
			 "            'execution_state', execution.state),"
			 "        jsonb_build_object('task_id', $3, 'status', 'CHECKPOINT'),"
			 "        $4,"
			 "        coalesce((SELECT max(checkpoint_number) + 1"
			 "                    FROM ft.orchestration_checkpoints"
			 "                   WHERE execution_id = $1), 0)"
			 "   FROM ft.orchestration_executions AS execution,"
			 "        (SELECT coalesce(jsonb_agg(task_id ORDER BY completion_order)"
			 "                             FILTER (WHERE status IN ('COMPLETED', 'SKIPPED')), '[]') AS completed,"
			 "                coalesce(jsonb_agg(task_id ORDER BY task_id)"
			 "                             FILTER (WHERE status NOT IN ('COMPLETED', 'SKIPPED')), '[]') AS pending"
			 "           FROM ft.orchestration_tasks"
			 "          WHERE execution_id = $1) AS task"
			 "  WHERE execution.execution_id = $1"
			 " RETURNING checkpoint_number",
			 UUIDOID, UUIDOID, UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT(trim_checkpoints,
			 "DELETE FROM ft.orchestration_checkpoints"
			 " WHERE execution_id = $1 AND checkpoint_number BETWEEN 1 AND $2",
			 UUIDOID, INT8OID);
FT_STATEMENT(newest_checkpoint,
			 "SELECT checkpoint_id FROM ft.orchestration_checkpoints"
			 " WHERE execution_id = $1"
			 " ORDER BY checkpoint_number DESC LIMIT 1",
			 UUIDOID);
FT_STATEMENT(checkpoint_execution,
			 "SELECT execution_id FROM ft.orchestration_checkpoints"
			 " WHERE checkpoint_id = $1",
			 UUIDOID);
FT_STATEMENT(load_checkpoint,
			 "SELECT execution_id,"
			 "       data ->> 'execution_id' IS NOT DISTINCT FROM execution_id::text,"
			 "       jsonb_typeof(data -> 'execution_state') IS NOT DISTINCT FROM 'object'"
			 "           AND jsonb_typeof(data -> 'completed_tasks') IS NOT DISTINCT FROM 'array',"
			 "       data -> 'execution_state',"
			 "       data -> 'completed_tasks'"
			 "  FROM (SELECT execution_id, coalesce($2, state_data) AS data"
			 "          FROM ft.orchestration_checkpoints"
			 "         WHERE checkpoint_id = $1) AS checkpoint",
			 UUIDOID, JSONBOID);
/* Within CASE the list is hashed; it would else be read anew for each task. */
FT_STATEMENT(completed_tasks,
			 "SELECT task_id FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1"
			 "   AND CASE WHEN task_id::text IN (SELECT jsonb_array_elements_text($2)) THEN true END"
			 " ORDER BY task_id",
			 UUIDOID, JSONBOID);

/* Keep the configured number of checkpoints besides the first. */
static void
trim(const pg_uuid_t *execution_id, int64 newest_number)
{
	if (ft_checkpoint_retention < 0)
		return;
	if (newest_number <= Max(ft_checkpoint_retention, 1))
		return;
	ft_run(&trim_checkpoints,
		   FT_ARGS(FT_UUID(execution_id),
				   FT_VALUE(Int64GetDatum(newest_number - Max(ft_checkpoint_retention, 1)))));
}

pg_uuid_t
ft_checkpoint_create(const pg_uuid_t *execution_id, const pg_uuid_t *task_id)
{
	pg_uuid_t	checkpoint_id;

	ft_uuid_generate(&checkpoint_id);
	if (ft_run(&insert_checkpoint,
			   FT_ARGS(FT_UUID(execution_id),
					   FT_UUID(&checkpoint_id),
					   task_id ? FT_UUID(task_id) : FT_NULL,
					   FT_TIME(GetCurrentTimestamp()))) != 1)
		elog(ERROR, "execution %s vanished while locked", ft_uuid_string(execution_id));
	trim(execution_id, ft_column_int64(0, 1));
	return checkpoint_id;
}

static void
report_unknown_checkpoint(const pg_uuid_t *checkpoint_id)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("checkpoint %s does not exist", ft_uuid_string(checkpoint_id)),
			 errdetail("No row of ft.orchestration_checkpoints has this checkpoint_id. It may have been removed by fault_tolerance.checkpoint_retention."),
			 errhint("See those of an execution: SELECT checkpoint_id, checkpoint_time FROM ft.orchestration_checkpoints WHERE execution_id = '...';")));
}

pg_uuid_t
ft_checkpoint_execution(const pg_uuid_t *checkpoint_id)
{
	if (ft_run(&checkpoint_execution, FT_ARGS(FT_UUID(checkpoint_id))) == 0)
		report_unknown_checkpoint(checkpoint_id);
	return ft_column_uuid(0, 1);
}

pg_uuid_t
ft_checkpoint_newest(const pg_uuid_t *execution_id)
{
	if (ft_run(&newest_checkpoint, FT_ARGS(FT_UUID(execution_id))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_NO_CHECKPOINT),
				 errmsg("execution %s has no checkpoint", ft_uuid_string(execution_id)),
				 errdetail("Recovery starts from a checkpoint, and none is stored for this execution."),
				 errhint("Make one with ft.create_checkpoint('%s', NULL).", ft_uuid_string(execution_id))));
	return ft_column_uuid(0, 1);
}

void
ft_checkpoint_load(FtCheckpoint *checkpoint, const pg_uuid_t *checkpoint_id,
				   Jsonb *state_data)
{
	bool		own_execution;
	bool		complete;
	bool		isnull;
	Datum		completed;
	uint64		n;

	if (ft_run(&load_checkpoint,
			   FT_ARGS(FT_UUID(checkpoint_id),
					   state_data ? FT_VALUE(JsonbPGetDatum(state_data)) : FT_NULL)) == 0)
		report_unknown_checkpoint(checkpoint_id);

	checkpoint->checkpoint_id = *checkpoint_id;
	checkpoint->execution_id = ft_column_uuid(0, 1);
	own_execution = ft_column_bool(0, 2);
	complete = ft_column_bool(0, 3);
	if (!own_execution)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("state_data does not belong to the execution of checkpoint %s",
						ft_uuid_string(checkpoint_id)),
				 errdetail("Its \"execution_id\" is not that of execution %s.",
						   ft_uuid_string(&checkpoint->execution_id)),
				 errhint("Pass the checkpoint's own state_data, or null for it.")));
	if (!complete)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("state_data of checkpoint %s is incomplete", ft_uuid_string(checkpoint_id)),
				 errdetail("It needs \"execution_state\", an object, and \"completed_tasks\", an array."),
				 errhint("Pass the checkpoint's own state_data, or null for it.")));
	checkpoint->state = ft_column(0, 4, &isnull);
	completed = ft_column(0, 5, &isnull);

	checkpoint->completed_tasks = NIL;
	n = ft_run(&completed_tasks,
			   FT_ARGS(FT_UUID(&checkpoint->execution_id), FT_VALUE(completed)));
	for (uint64 row = 0; row < n; row++)
	{
		pg_uuid_t  *task_id = palloc(sizeof(pg_uuid_t));

		*task_id = ft_column_uuid(row, 1);
		checkpoint->completed_tasks = lappend(checkpoint->completed_tasks, task_id);
	}
}

/* ft.create_checkpoint(execution_id uuid, task_id uuid) returns uuid */
Datum
ft_create_checkpoint(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *checkpoint_id = palloc(sizeof(pg_uuid_t));
	pg_uuid_t  *task_id = PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1);
	FtEngine	engine;
	FtExecution execution;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	if (task_id)
		ft_task_require_execution(task_id, &execution.execution_id);
	ft_execution_touch(&execution);
	*checkpoint_id = ft_checkpoint_create(&execution.execution_id, task_id);
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(checkpoint_id);
}

/* Does the update turn the task's status into COMPLETED? */
static bool
completes(const TriggerData *trigger)
{
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	int			column = SPI_fnumber(descriptor, "status");
	char	   *before = SPI_getvalue(trigger->tg_trigtuple, descriptor, column);
	char	   *after = SPI_getvalue(trigger->tg_newtuple, descriptor, column);
	const char *completed = ft_task_status_name(FT_TASK_COMPLETED);

	return strcmp(after, completed) == 0 && strcmp(before, completed) != 0;
}

/*
 * ft.trigger_checkpoint() returns trigger
 *
 * The trigger's WHEN clause says that the task is critical.  The rest of the
 * condition is here: a clause is read anew with every update of a task.
 * Whoever updated the task holds the lock of its execution.
 */
Datum
ft_trigger_checkpoint(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	FtEngine	engine;
	pg_uuid_t	execution_id;
	pg_uuid_t	task_id;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		RelationGetNamespace(trigger->tg_relation) != get_namespace_oid(FT_SCHEMA_NAME, true) ||
		strcmp(RelationGetRelationName(trigger->tg_relation), "orchestration_tasks") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("ft.trigger_checkpoint() is the trigger of ft.orchestration_tasks"),
				 errdetail("It makes a checkpoint after an update that completes a critical task, and can do nothing else."),
				 errhint("Use ft.create_checkpoint() to make a checkpoint by hand.")));

	if (!completes(trigger))
		return PointerGetDatum(trigger->tg_newtuple);

	execution_id = *DatumGetUUIDP(SPI_getbinval(trigger->tg_newtuple,
												RelationGetDescr(trigger->tg_relation),
												SPI_fnumber(RelationGetDescr(trigger->tg_relation),
															"execution_id"),
												&isnull));
	task_id = *DatumGetUUIDP(SPI_getbinval(trigger->tg_newtuple,
										   RelationGetDescr(trigger->tg_relation),
										   SPI_fnumber(RelationGetDescr(trigger->tg_relation),
													   "task_id"),
										   &isnull));

	ft_engine_enter(&engine);
	(void) ft_checkpoint_create(&execution_id, &task_id);
	ft_engine_leave(&engine);

	return PointerGetDatum(trigger->tg_newtuple);
}
