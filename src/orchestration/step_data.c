/*-------------------------------------------------------------------------
 *
 * step_data.c
 *	  What the SQL of a step can read of its execution, and write to it.
 *
 * Nothing is read before it is asked for.  What a step sets in the state is
 * kept here until the step ends, and written together with its completion:
 * parallel steps would else wait for one another's row of the execution.  Where
 * a subtransaction of the step rolls back, an EXCEPTION block say, what was set
 * in it is forgotten with the rest of what it did.
 *
 * Locking: none; the rows read are those of the transaction's snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "engine.h"
#include "errors.h"
#include "guc.h"
#include "orchestration/execution.h"
#include "orchestration/step_data.h"

PG_FUNCTION_INFO_V1(ft_input);
PG_FUNCTION_INFO_V1(ft_state);
PG_FUNCTION_INFO_V1(ft_set_state);
PG_FUNCTION_INFO_V1(ft_result);
PG_FUNCTION_INFO_V1(ft_item);
PG_FUNCTION_INFO_V1(ft_iteration);
PG_FUNCTION_INFO_V1(ft_current_step);

FT_STATEMENT(read_input,
			 "SELECT input, state FROM ft.orchestration_executions WHERE execution_id = $1",
			 UUIDOID);
FT_STATEMENT(read_results,
			 "SELECT (SELECT coalesce(jsonb_object_agg(name,"
			 "                   (SELECT needed.result FROM ft.orchestration_tasks AS needed"
			 "                     WHERE needed.execution_id = task.execution_id"
			 "                       AND needed.task_name = name)), '{}')"
			 "          FROM unnest(task.depends_on) AS name)"
			 "  FROM ft.orchestration_tasks AS task WHERE task.task_id = $1",
			 UUIDOID);
FT_STATEMENT(read_result,
			 "SELECT status, result FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND task_name = $2",
			 UUIDOID, TEXTOID);

FT_STATEMENT(read_item,
			 "SELECT coalesce(task.item, sent.payload), task.iteration"
			 "  FROM ft.orchestration_tasks AS task"
			 "  LEFT JOIN ft.orchestration_signals AS sent"
			 "    ON sent.execution_id = task.execution_id AND sent.signal_name = task.signal"
			 " WHERE task.task_id = $1",
			 UUIDOID);

/* What a step had set when a subtransaction at this level first set more. */
typedef struct Saved
{
	int			level;
	Datum		patch;
	Datum		state;
} Saved;

static FtStepData *current = NULL;

void
ft_step_data_init(FtStepData *data, const pg_uuid_t *execution_id,
				  const pg_uuid_t *task_id, int attempt)
{
	memset(data, 0, sizeof(FtStepData));
	data->execution_id = *execution_id;
	data->task_id = *task_id;
	data->attempt = attempt;
	data->context = CurrentMemoryContext;
}

/* A copy of a column of the last result that outlives it. */
static Datum
keep_column(FtStepData *data, uint64 row, int column)
{
	bool		isnull;
	Datum		value = ft_column(row, column, &isnull);
	MemoryContext caller = MemoryContextSwitchTo(data->context);

	if (!isnull)
		value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	MemoryContextSwitchTo(caller);
	return isnull ? (Datum) 0 : value;
}

static Datum
merge(FtStepData *data, Datum state, Datum patch)
{
	MemoryContext caller = MemoryContextSwitchTo(data->context);
	Datum		merged = OidFunctionCall2(F_JSONB_CONCAT, state, patch);

	MemoryContextSwitchTo(caller);
	return merged;
}

/* Before the step sets something: keep what it had set, once for each level. */
static void
save(FtStepData *data)
{
	int			level = GetCurrentTransactionNestLevel();
	Saved	   *newest = data->saved == NIL ? NULL : llast(data->saved);
	MemoryContext caller;

	if (newest != NULL && newest->level >= level)
		return;
	caller = MemoryContextSwitchTo(data->context);
	newest = palloc(sizeof(Saved));
	newest->level = level;
	newest->patch = data->patch;
	newest->state = data->state;
	data->saved = lappend(data->saved, newest);
	MemoryContextSwitchTo(caller);
}

/*
 * The subtransaction at this level is over.  What it had saved is put back, or
 * is what its parent would put back, unless that has saved something earlier.
 */
static void
end_level(FtStepData *data, int level, bool committed)
{
	Saved	   *newest = data->saved == NIL ? NULL : llast(data->saved);
	Saved	   *before;

	if (newest == NULL || newest->level < level)
		return;
	if (!committed)
	{
		data->patch = newest->patch;
		data->state = newest->state;
	}
	before = list_length(data->saved) < 2 ? NULL :
		list_nth(data->saved, list_length(data->saved) - 2);
	if (committed && (before == NULL || before->level < level - 1))
		newest->level = level - 1;
	else
		data->saved = list_delete_last(data->saved);
}

static void
subtransaction_callback(SubXactEvent event, SubTransactionId subid,
						SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (FtStepData *data = current; data != NULL; data = data->outer)
		end_level(data, level, event == SUBXACT_EVENT_COMMIT_SUB);
}

void
ft_step_enter(FtStepData *data)
{
	static bool registered = false;

	if (!registered)
		RegisterSubXactCallback(subtransaction_callback, NULL);
	registered = true;
	data->outer = current;
	current = data;
}

void
ft_step_leave(FtStepData *data)
{
	current = data->outer;
}

static void
load_execution(FtStepData *data)
{
	FtEngine	engine;

	if (data->input != (Datum) 0)
		return;
	ft_engine_enter(&engine);
	if (ft_run(&read_input, FT_ARGS(FT_UUID(&data->execution_id))) == 0)
		elog(ERROR, "the execution of the running step does not exist");
	data->input = keep_column(data, 0, 1);
	data->state = keep_column(data, 0, 2);
	ft_engine_leave(&engine);
}

static void
load_results(FtStepData *data)
{
	FtEngine	engine;

	if (data->results != (Datum) 0)
		return;
	ft_engine_enter(&engine);
	ft_run(&read_results, FT_ARGS(FT_UUID(&data->task_id)));
	data->results = keep_column(data, 0, 1);
	ft_engine_leave(&engine);
}

Datum
ft_step_item(FtStepData *data)
{
	FtEngine	engine;

	if (data->item_loaded)
		return data->item;
	ft_engine_enter(&engine);
	if (ft_run(&read_item, FT_ARGS(FT_UUID(&data->task_id))) > 0)
	{
		data->item = keep_column(data, 0, 1);
		data->iteration = ft_column_int32(0, 2);
	}
	data->item_loaded = true;
	ft_engine_leave(&engine);
	return data->item;
}

Datum
ft_step_parameter(FtStepData *data, int number)
{
	switch (number)
	{
		case 1:
			load_execution(data);
			return data->input;
		case 2:
			load_execution(data);
			return data->state;
		case 3:
			load_results(data);
			return data->results;
		case 4:
			return ft_step_item(data);
	}
	elog(ERROR, "there is no parameter $%d", number);
}

FtStepData *
ft_step_require(const char *function)
{
	if (current == NULL)
		ereport(ERROR,
				(errcode(FT_ERRCODE_NOT_PRELOADED),
				 errmsg("%s can be called only inside a step", function),
				 errdetail("This session does not run a step of an orchestration."),
				 errhint("From outside, read ft.orchestration_executions and ft.orchestration_tasks.")));
	return current;
}

bool
ft_step_is_of(const pg_uuid_t *execution_id)
{
	for (FtStepData *data = current; data != NULL; data = data->outer)
		if (!data->alone && memcmp(&data->execution_id, execution_id, sizeof(pg_uuid_t)) == 0)
			return true;
	return false;
}

/* ft.input() returns jsonb */
Datum
ft_input(PG_FUNCTION_ARGS)
{
	FtStepData *data = ft_step_require("ft.input()");

	load_execution(data);
	PG_RETURN_DATUM(data->input);
}

/* ft.state() returns jsonb */
Datum
ft_state(PG_FUNCTION_ARGS)
{
	FtStepData *data = ft_step_require("ft.state()");

	load_execution(data);
	PG_RETURN_DATUM(data->state);
}

/* ft.set_state(patch jsonb) returns jsonb */
Datum
ft_set_state(PG_FUNCTION_ARGS)
{
	FtStepData *data = ft_step_require("ft.set_state()");
	Datum		patch;
	MemoryContext caller;

	ft_require_argument(PG_ARGISNULL(0), "patch");
	ft_require_json_object(PG_GETARG_JSONB_P(0), "patch");
	load_execution(data);
	save(data);

	/* A merge with nothing is not a copy, so this must last as well. */
	caller = MemoryContextSwitchTo(data->context);
	patch = PointerGetDatum(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
	MemoryContextSwitchTo(caller);
	data->patch = data->patch != (Datum) 0 ? merge(data, data->patch, patch) : patch;
	data->state = merge(data, data->state, patch);
	if (VARSIZE_ANY_EXHDR(DatumGetPointer(data->state)) > (Size) ft_max_result_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("state of the execution is too large"),
				 errdetail("It would have %zu bytes; fault_tolerance.max_result_size allows %d kB.",
						   (Size) VARSIZE_ANY_EXHDR(DatumGetPointer(data->state)), ft_max_result_size),
				 errhint("Keep large data in a table, and its key in the state.")));
	PG_RETURN_DATUM(data->state);
}

/* ft.result(task_name text) returns jsonb */
Datum
ft_result(PG_FUNCTION_ARGS)
{
	FtStepData *data = ft_step_require("ft.result()");
	FtTaskStatus status;
	Datum		result;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "task_name");
	ft_engine_enter(&engine);
	if (ft_run(&read_result, FT_ARGS(FT_UUID(&data->execution_id),
									 FT_VALUE(PG_GETARG_DATUM(0)))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
				 errmsg("task \"%s\" does not exist in this execution",
						text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errhint("Correct the name.")));
	status = ft_task_status_of(ft_column_text(0, 1));
	result = keep_column(data, 0, 2);
	ft_engine_leave(&engine);

	switch (status)
	{
		case FT_TASK_COMPLETED:
		case FT_TASK_SKIPPED:
		case FT_TASK_COMPENSATING:
			break;
		default:
			ereport(ERROR,
					(errcode(FT_ERRCODE_WRONG_STATUS),
					 errmsg("task \"%s\" has no result yet", text_to_cstring(PG_GETARG_TEXT_PP(0))),
					 errdetail("Its status is %s.", ft_task_status_name(status)),
					 errhint("Name it in depends_on of this task.")));
	}
	if (result == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

/* ft.item() returns jsonb */
Datum
ft_item(PG_FUNCTION_ARGS)
{
	Datum		item = ft_step_item(ft_step_require("ft.item()"));

	if (item == (Datum) 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(item);
}

/* ft.iteration() returns integer */
Datum
ft_iteration(PG_FUNCTION_ARGS)
{
	FtStepData *data = ft_step_require("ft.iteration()");

	(void) ft_step_item(data);
	PG_RETURN_INT32(data->iteration + 1);
}

/* ft.current_step() returns record */
Datum
ft_current_step(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[3] = {0};
	bool		nulls[3] = {true, true, true};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (current != NULL)
	{
		values[0] = UUIDPGetDatum(&current->execution_id);
		values[1] = UUIDPGetDatum(&current->task_id);
		values[2] = Int32GetDatum(current->attempt);
		memset(nulls, 0, sizeof(nulls));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
