/*-------------------------------------------------------------------------
 *
 * command.c
 *	  Running the SQL that users gave for a step or a compensation.
 *
 * Values come to it as parameters, which are fetched only if the command
 * speaks of them: $1 is the input of the execution, $2 its state, $3 an object
 * with the results of the tasks that this one depends on, $4 its item.
 *
 * Of what a command returns only one row is kept, however many there are; of a
 * query that is asked for its rows, all of them, up to a limit.
 *
 * Locking: none of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/params.h"
#include "parser/parse_param.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/command.h"
#include "orchestration/portal_command.h"
#include "running.h"

/* Keeps the first row of each result; the last result stays. */
typedef struct FirstRow
{
	DestReceiver dest;
	MemoryContext context;
	TupleDesc	descriptor;		/* NULL as long as nothing was returned */
	HeapTuple	row;			/* NULL without a row */
} FirstRow;

/* Keeps the rows of a query, as jsonb. */
typedef struct AllRows
{
	DestReceiver dest;
	MemoryContext context;		/* reset with each row */
	ArrayBuildState *rows;
} AllRows;

static int	running = 0;

bool
ft_command_is_running(void)
{
	return running > 0;
}

void
ft_command_require_own_session(const char *function)
{
	if (GetAuthenticatedUserId() != GetUserId() || GetSessionUserId() != GetUserId())
		ereport(ERROR,
				(errcode(FT_ERRCODE_NOT_OWNER),
				 errmsg("steps and compensations run only in a session of their owner"),
				 errdetail("The session has logged in as role \"%s\" and acts as \"%s\": their SQL could take that role off.",
						   GetUserNameFromId(GetAuthenticatedUserId(), false),
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("Connect as the owner of the executions.")));
	if (ft_command_is_running())
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("a step or compensation cannot call %s", function),
				 errdetail("The one that is running would be run again, by itself."),
				 errhint("Remove the call from it; the next one runs when it has ended.")));
}

static void
first_row_startup(DestReceiver *self, int operation, TupleDesc descriptor)
{
	FirstRow   *first = (FirstRow *) self;
	MemoryContext caller = MemoryContextSwitchTo(first->context);

	first->descriptor = CreateTupleDescCopy(descriptor);
	first->row = NULL;
	MemoryContextSwitchTo(caller);
}

static bool
first_row_receive(TupleTableSlot *slot, DestReceiver *self)
{
	FirstRow   *first = (FirstRow *) self;

	if (first->row == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(first->context);

		first->row = ExecCopySlotHeapTuple(slot);
		MemoryContextSwitchTo(caller);
	}
	return true;
}

static void
first_row_nothing(DestReceiver *self)
{
}

/* A value of any type as jsonb, as to_jsonb() makes it. */
static Datum
value_as_jsonb(Datum value, Oid type)
{
	FmgrInfo	function;
	Const	   *constant = makeNullConst(type, -1, InvalidOid);

	fmgr_info(F_TO_JSONB, &function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(constant),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &function);
	return FunctionCall1(&function, value);
}

/* A single column is its value, several are an object; (Datum) 0 is null. */
static Datum
row_as_jsonb(HeapTuple row, TupleDesc descriptor)
{
	Datum		value;
	bool		isnull;

	if (descriptor->natts != 1)
		return value_as_jsonb(heap_copy_tuple_as_datum(row, BlessTupleDesc(descriptor)), RECORDOID);
	value = heap_getattr(row, 1, descriptor, &isnull);
	if (isnull || TupleDescAttr(descriptor, 0)->atttypid == VOIDOID)
		return (Datum) 0;
	return value_as_jsonb(value, TupleDescAttr(descriptor, 0)->atttypid);
}

static void
all_rows_startup(DestReceiver *self, int operation, TupleDesc descriptor)
{
}

static bool
all_rows_receive(TupleTableSlot *slot, DestReceiver *self)
{
	AllRows    *all = (AllRows *) self;
	MemoryContext caller = MemoryContextSwitchTo(all->context);
	Datum		item;

	if (all->rows->nelems >= ft_max_children)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("for_each has too many rows"),
				 errdetail("fault_tolerance.max_children allows %d: each row becomes a step.", ft_max_children),
				 errhint("Let each step handle several rows, or raise the setting.")));
	item = row_as_jsonb(ExecCopySlotHeapTuple(slot), slot->tts_tupleDescriptor);
	/* a row is an item, whatever is in it */
	if (item == (Datum) 0)
		item = DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	(void) accumArrayResult(all->rows, item, false, JSONBOID, CurrentMemoryContext);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(all->context);
	return true;
}

static void
check_size(Datum result)
{
	if (VARSIZE_ANY_EXHDR(DatumGetPointer(result)) > (Size) ft_max_result_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of the step is too large"),
				 errdetail("It has %zu bytes; fault_tolerance.max_result_size allows %d kB.",
						   (Size) VARSIZE_ANY_EXHDR(DatumGetPointer(result)), ft_max_result_size),
				 errhint("Keep large results in a table, and return its key.")));
}

Datum
ft_command_result(Datum result)
{
	if (result != (Datum) 0)
		check_size(result);
	return result;
}

static void
report_transaction_control(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("a step or compensation must not begin or end a transaction"),
			 errdetail("Its effects commit together with the record that it has run."),
			 errhint("Remove BEGIN, COMMIT, ROLLBACK and SAVEPOINT from it.")));
}

static const Oid parameter_types[FT_STEP_PARAMETERS] = {JSONBOID, JSONBOID, JSONBOID, JSONBOID};

static void
parameters_setup(ParseState *state, void *argument)
{
	setup_parse_fixed_parameters(state, parameter_types, FT_STEP_PARAMETERS);
}

/* Fetch a parameter when it is needed for the first time. */
static ParamExternData *
parameter_fetch(ParamListInfo parameters, int number, bool speculative,
				ParamExternData *workspace)
{
	ParamExternData *parameter = &parameters->params[number - 1];

	if (!OidIsValid(parameter->ptype))
	{
		parameter->value = ft_step_parameter(parameters->paramFetchArg, number);
		parameter->isnull = parameter->value == (Datum) 0;
		parameter->pflags = PARAM_FLAG_CONST;
		parameter->ptype = JSONBOID;
	}
	return parameter;
}

static ParamListInfo
make_parameters(FtStepData *data)
{
	ParamListInfo parameters = makeParamList(FT_STEP_PARAMETERS);

	parameters->paramFetch = parameter_fetch;
	parameters->paramFetchArg = data;
	parameters->parserSetup = parameters_setup;
	for (int i = 0; i < FT_STEP_PARAMETERS; i++)
		parameters->params[i].ptype = InvalidOid;
	return parameters;
}

static void
run(const char *command, FtStepData *data, DestReceiver *receiver)
{
	SPIExecuteOptions options = {0};
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	options.params = make_parameters(data);
	options.dest = receiver;
	result = SPI_execute_extended(command, &options);
	if (result == SPI_ERROR_TRANSACTION)
		report_transaction_control();
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a step or compensation cannot run this command: %s", SPI_result_code_string(result)),
				 errhint("Use SQL statements that a function could run.")));
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

static void
report_cancelled(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("canceling the command because it was taken away from this session"),
			 errdetail("Its execution was cancelled or recovered. What this attempt did is rolled back.")));
}

/* Run it as the step, and take off what it has set. */
static void
run_as_step(const char *command, FtStepData *data, DestReceiver *receiver)
{
	int			guc_nest_level = NewGUCNestLevel();
	MemoryContext caller = CurrentMemoryContext;
	bool		cancelled = false;

	running++;
	ft_step_enter(data);
	ft_running_begin(&data->task_id, data->attempt);
	PG_TRY();
	{
		run(command, data, receiver);
	}
	PG_FINALLY();
	{
		cancelled = ft_running_end();
		ft_step_leave(data);
		running--;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);

	/* one that has come too late, or that the command has caught */
	if (cancelled)
		report_cancelled();

	/* as if it had failed: a plain SET, of ROLE too, would outlive it */
	AtEOXact_GUC(false, guc_nest_level);
}

Datum
ft_command_run(const char *command, FtStepData *data)
{
	FirstRow	first = {{first_row_receive, first_row_startup, first_row_nothing,
	first_row_nothing, DestNone}, CurrentMemoryContext, NULL, NULL};

	run_as_step(command, data, &first.dest);
	if (first.row == NULL)
		return (Datum) 0;
	return ft_command_result(row_as_jsonb(first.row, first.descriptor));
}

Datum
ft_command_rows(const char *query, FtStepData *data, int *count)
{
	AllRows		all = {{all_rows_receive, all_rows_startup, first_row_nothing,
	first_row_nothing, DestNone}, NULL, NULL};

	all.context = AllocSetContextCreate(CurrentMemoryContext, "fault_tolerance row",
										ALLOCSET_DEFAULT_SIZES);
	all.rows = initArrayResult(JSONBOID, CurrentMemoryContext, false);
	run_as_step(query, data, &all.dest);
	MemoryContextDelete(all.context);
	*count = all.rows->nelems;
	return makeArrayResult(all.rows, CurrentMemoryContext);
}

void
ft_command_run_alone(const char *command, FtStepData *data, ParamListInfo parameters)
{
	bool		cancelled = false;

	data->alone = true;
	running++;
	ft_step_enter(data);
	ft_running_begin(&data->task_id, data->attempt);
	PG_TRY();
	{
		ft_portal_command(command, parameters);
	}
	PG_FINALLY();
	{
		cancelled = ft_running_end();
		ft_step_leave(data);
		running--;
	}
	PG_END_TRY();
	if (cancelled)
		report_cancelled();
}

bool
ft_command_is_true(const char *query, FtStepData *data)
{
	Datum		value = ft_command_run(query, data);
	JsonbValue	scalar;

	return DatumGetPointer(value) != NULL &&
		JsonbExtractScalar(&DatumGetJsonbP(value)->root, &scalar) &&
		scalar.type == jbvBool && scalar.val.boolean;
}
