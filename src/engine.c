/*-------------------------------------------------------------------------
 *
 * engine.c
 *	  The engine's own SQL: run as the owner of its tables, with a pinned
 *	  search_path, from plans that are kept.
 *
 * Users have no right to write the engine's tables.  Functions that write
 * them for a user check first what that user may do, and then switch, for
 * the engine's statements and nothing else, to the owner of the tables; the
 * table owner is not subject to row-level security either.  An error needs no
 * clean-up here: the end of the (sub)transaction puts the user, the settings
 * and SPI back.
 *
 * No user SQL runs between ft_engine_enter and ft_engine_leave, except
 * triggers and constraints of the engine's own tables, which are the
 * engine's.
 *
 * Locking: rows are locked by the statements that are passed in; their order
 * is executions, tasks, checkpoints, failures, each by its key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "engine.h"
#include "fault_tolerance.h"

/*
 * Owner of the engine's tables.  They are members of the extension, so this
 * is the extension's owner as long as nobody has changed one of the two.
 */
static Oid
engine_owner(void)
{
	Oid			namespace = get_namespace_oid(FT_SCHEMA_NAME, true);
	Oid			relation = InvalidOid;
	HeapTuple	tuple;
	Oid			owner;

	if (OidIsValid(namespace))
		relation = get_relname_relid("orchestration_executions", namespace);
	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table ft.orchestration_executions does not exist"),
				 errdetail("The extension is not installed in this database, or not completely."),
				 errhint("CREATE EXTENSION fault_tolerance;")));

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relation);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Become the owner of the engine's tables, with SPI connected and nothing but
 * pg_catalog in the search path.
 */
void
ft_engine_enter(FtEngine *engine)
{
	Oid			owner = engine_owner();

	GetUserIdAndSecContext(&engine->caller, &engine->caller_security_context);
	SetUserIdAndSecContext(owner,
						   engine->caller_security_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	engine->guc_nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);

	/*
	 * The triggers of our tables are a part of what we do.  They are not
	 * enabled always, because they must not fire where a subscription applies
	 * what they have done elsewhere.
	 */
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_ORIGIN)
		(void) set_config_option("session_replication_role", "origin",
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
ft_engine_pin_interval_style(void)
{
	(void) set_config_option("IntervalStyle", "postgres",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/* Put the caller back.  Results of ft_run are gone after this. */
void
ft_engine_leave(FtEngine *engine)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	AtEOXact_GUC(true, engine->guc_nest_level);
	SetUserIdAndSecContext(engine->caller, engine->caller_security_context);
}

FtArg
ft_text_arg(const char *cstring)
{
	if (cstring == NULL)
		return FT_NULL;
	return FT_VALUE(CStringGetTextDatum(cstring));
}

FtArg
ft_array_arg(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return FT_VALUE(PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type,
													   length, by_value, align)));
}

/*
 * What the planner is told: the settings' own variables, since the settings of
 * the session are its user's, and to set them costs more than a statement.
 */
typedef struct PlannerSettings
{
	bool		seqscan;
	bool		bitmapscan;
	bool		indexscan;
	bool		nestloop;
	bool		hashjoin;
	bool		mergejoin;
	bool		sort;
	bool		jit;
	int			cache_mode;
} PlannerSettings;

static PlannerSettings
planner_settings(void)
{
	return (PlannerSettings)
	{
		enable_seqscan, enable_bitmapscan, enable_indexscan, enable_nestloop,
			enable_hashjoin, enable_mergejoin, enable_sort, jit_enabled, plan_cache_mode
	};
}

static void
set_planner(PlannerSettings settings)
{
	enable_seqscan = settings.seqscan;
	enable_bitmapscan = settings.bitmapscan;
	enable_indexscan = settings.indexscan;
	enable_nestloop = settings.nestloop;
	enable_hashjoin = settings.hashjoin;
	enable_mergejoin = settings.mergejoin;
	enable_sort = settings.sort;
	jit_enabled = settings.jit;
	plan_cache_mode = settings.cache_mode;
}

/*
 * Execute a plan that has been made for any arguments: to make a new one for
 * each costs several times what most statements take.  It is kept for as long
 * as statistics are not collected anew, while a table may grow from nothing to
 * millions of rows: so it is made as if they were there, without what reads a
 * table, or an index, from end to end.  Where that cannot be avoided, its cost
 * would have the plan compiled.
 */
typedef enum Reading
{
	READ_BY_INDEX,
	READ_IN_INDEX_ORDER,		/* and by nothing else */
	READ_WHOLE					/* many rows, each with all others */
} Reading;

static int
execute(SPIPlanPtr plan, Datum *values, const char *nulls, Reading reading,
		bool read_only)
{
	PlannerSettings caller = planner_settings();
	PlannerSettings ours = caller;
	int			result = 0;

	ours.seqscan = ours.hashjoin = ours.mergejoin = ours.jit = false;
	ours.indexscan = ours.nestloop = true;
	ours.cache_mode = PLAN_CACHE_MODE_AUTO;
	if (reading == READ_IN_INDEX_ORDER)
		ours.bitmapscan = ours.sort = false;
	if (reading == READ_WHOLE)
	{
		ours.hashjoin = true;
		ours.nestloop = false;
	}

	set_planner(ours);
	PG_TRY();
	{
		result = SPI_execute_plan(plan, values, nulls, read_only, 0);
	}
	PG_FINALLY();
	{
		set_planner(caller);
	}
	PG_END_TRY();
	return result;
}

/*
 * Run one statement of the engine, with each statement seeing what the ones
 * before it did and what others have committed.  Returns the number of rows.
 */
static uint64
run(FtStatement *statement, const FtArg *args, Reading reading, bool read_only)
{
	Datum		values[FT_STATEMENT_MAX_ARGS];
	char		nulls[FT_STATEMENT_MAX_ARGS];
	int			result;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(statement->sql, statement->nargs,
											  statement->argtypes, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
				 SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}

	for (int i = 0; i < statement->nargs; i++)
	{
		values[i] = args[i].value;
		nulls[i] = args[i].isnull ? 'n' : ' ';
	}

	result = execute(statement->plan, values, nulls, reading, read_only);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql,
			 SPI_result_code_string(result));
	return SPI_processed;
}

uint64
ft_run(FtStatement *statement, const FtArg *args)
{
	return run(statement, args, READ_BY_INDEX, false);
}

/*
 * What others have committed until now.  No new snapshot may be taken while a
 * parallel query runs; nothing is written then either, so nothing is decided
 * by what is read, and what that query sees will do.
 */
static void
push_latest_snapshot(void)
{
	PushActiveSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
}

uint64
ft_run_latest(FtStatement *statement, const FtArg *args)
{
	uint64		n;

	push_latest_snapshot();
	n = run(statement, args, READ_BY_INDEX, true);
	PopActiveSnapshot();
	return n;
}

uint64
ft_run_latest_by_index(FtStatement *statement, const FtArg *args)
{
	uint64		n;

	push_latest_snapshot();
	n = run(statement, args, READ_IN_INDEX_ORDER, true);
	PopActiveSnapshot();
	return n;
}

uint64
ft_run_by_index(FtStatement *statement, const FtArg *args)
{
	return run(statement, args, READ_IN_INDEX_ORDER, false);
}

uint64
ft_run_whole(FtStatement *statement, const FtArg *args)
{
	return run(statement, args, READ_WHOLE, false);
}

Datum
ft_column(uint64 row, int column, bool *isnull)
{
	Assert(row < SPI_processed);
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

bool
ft_column_is_null(uint64 row, int column)
{
	bool		isnull;

	(void) ft_column(row, column, &isnull);
	return isnull;
}

/* A column that is never null; what is null here means a damaged table. */
static Datum
required_column(uint64 row, int column)
{
	bool		isnull;
	Datum		value = ft_column(row, column, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column %d of an engine statement", column);
	return value;
}

pg_uuid_t
ft_column_uuid(uint64 row, int column)
{
	return *DatumGetUUIDP(required_column(row, column));
}

/* NULL where the column is null; else a copy in the current context. */
char *
ft_column_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = ft_column(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

int32
ft_column_int32(uint64 row, int column)
{
	return DatumGetInt32(required_column(row, column));
}

int64
ft_column_int64(uint64 row, int column)
{
	return DatumGetInt64(required_column(row, column));
}

bool
ft_column_bool(uint64 row, int column)
{
	return DatumGetBool(required_column(row, column));
}

Oid
ft_column_oid(uint64 row, int column)
{
	return DatumGetObjectId(required_column(row, column));
}

TimestampTz
ft_column_time(uint64 row, int column)
{
	return DatumGetTimestampTz(required_column(row, column));
}
