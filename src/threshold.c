/*-------------------------------------------------------------------------
 *
 * threshold.c
 *	  From which value on something is a warning, and from which critical.
 *
 * The figures that are shipped stand here, in one table; what users change
 * stands in ft.changed_thresholds, which is dumped with the database.  Higher
 * is always worse.
 *
 * The table is read directly, not by SPI, because diagnostics ask for it in
 * any state of the transaction that runs queries, and for many rows.
 *
 * Locking: the table is locked conditionally.  Where somebody holds it locked
 * against readers, the shipped figures hold.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "engine.h"
#include "errors.h"
#include "fault_tolerance.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_threshold_list);
PG_FUNCTION_INFO_V1(ft_severity);
PG_FUNCTION_INFO_V1(ft_set_threshold);
PG_FUNCTION_INFO_V1(ft_reset_threshold);

#define COLUMNS 7

#define NO_LEVEL	NAN
#define KB			1024.0
#define MB			(1024.0 * KB)
#define GB			(1024.0 * MB)

static const FtThreshold shipped[] = {
	{"connections", 80, 90, "%",
		"check_postgres and most monitoring templates: 80 and 90 % of what can be had",
	"client connections, of max_connections less the reserved ones", false},
	{"idle_in_transaction", 300, 900, "s",
		"longer than any think time of a person at a form; 5 min is the usual idle_in_transaction_session_timeout",
	"time a session has been idle inside a transaction", false},
	{"active_query", 300, 1800, "s",
		"statements of applications end within minutes; reports want a threshold of their own",
	"time a statement has been running", false},
	{"transaction", 600, 3600, "s",
		"an hour of changes of all tables is kept from vacuum by then",
	"age of an open transaction", false},
	{"lock_wait", 60, 300, "s",
		"60 times deadlock_timeout; clients time out after 30 to 60 s",
	"time a session has been waiting for a lock", false},
	{"blocked_sessions", 1, 5, "sessions",
		"one is worth a look, five are a queue that grows",
	"sessions that wait for another one for longer than a second", false},
	{"lock_table", 20, 50, "%",
		"the table is sized for max_locks_per_transaction of all sessions at once: half is far from ordinary",
	"entries of the lock table in use, of those it is sized for", false},
	{"deadlocks", 1, 6, "per minute",
		"each deadlock ends a transaction of an application; more than 5 a minute is a fault in it",
	"deadlocks found by the server", false},
	{"error_rate", 1, 10, "per second",
		"one a second is more than users mistype; ten a second is an application that fails",
	"errors that reached the server log, over a minute", false},
	{"dead_tuples", 10000, NO_LEVEL, "tuples",
		"below that a table is too small for its dead tuples to matter",
	"dead tuples of one table", false},
	{"dead_tuple_percent", 10, 20, "%",
		"autovacuum_vacuum_scale_factor is 20 % as shipped",
	"dead tuples of one table of dead_tuples and more, of all its tuples", false},
	{"bloat", 50, 80, "%",
		"after an ordinary vacuum a table reuses up to half of its space",
	"space of a table or an index with bloat_size and more that holds no live data", false},
	{"bloat_size", 10 * MB, NO_LEVEL, "bytes",
		"below that a table or an index is too small for its bloat to matter",
	"space of a table or an index that holds no live data", false},
	{"xid_age", 50, 75, "%",
		"half of the way is 1,000,000,000 transactions, five times autovacuum_freeze_max_age",
	"transactions used of those up to the limit where the server stops to take writes", false},
	{"multixact_age", 50, 75, "%",
		"as for transactions",
	"multixacts used of those up to the limit where the server stops to take writes", false},
	{"freeze_age", 110, 125, "%",
		"past 100 % autovacuum freezes by force; it is not keeping up if that goes on",
	"age of a table's or database's oldest transaction, of autovacuum_freeze_max_age", false},
	{"xmin_horizon", 3600, 86400, "s",
		"dead tuples of an hour, and of a day, cannot be removed",
	"age of the oldest snapshot that vacuum has to respect", false},
	{"prepared_transaction", 30, 300, "s",
		"a transaction manager decides within seconds",
	"age of a prepared transaction", false},
	{"replication_lag", 10, 300, "s",
		"a reader of a standby notices what is missing for 10 s",
	"age of the oldest commit that a standby has not replayed", false},
	{"replication_lag_bytes", 100 * MB, 1 * GB, "bytes",
		"six WAL files, and 64",
	"WAL that a standby has not replayed", false},
	{"slot_retained", 1 * GB, 10 * GB, "bytes",
		"max_wal_size is 1 GB as shipped",
	"WAL that a replication slot keeps", false},
	{"slot_inactive", 300, 1800, "s",
		"a consumer that restarts is back within minutes",
	"time a replication slot has had no consumer", false},
	{"pg_wal_size", 200, 500, "%",
		"max_wal_size is a soft limit; something keeps WAL at more than twice of it",
	"size of pg_wal, of max_wal_size", false},
	{"archive_waiting", 10, 100, "files",
		"10 files are 160 MB that are on this machine only",
	"WAL files that wait for the archiver", false},
	{"archiver_failing", 1, NO_LEVEL, "failures",
		"each is a WAL file that was not archived",
	"failures of the archiver since it last succeeded", false},
	{"sequence", 75, 90, "%",
		"a change of type takes weeks to prepare on a large table",
	"values used of a sequence that does not cycle", false},
	{"disk", 85, 95, "%",
		"file systems slow down past 85 %, and the server panics where pg_wal is full",
	"space used of a file system the server writes to", false},
	{"memory", 85, 95, "%",
		"past that the kernel reclaims the page cache, then kills",
	"memory of the host or its control group that is not available", false},
	{"backend_growth", 512 * MB, 2 * GB, "bytes",
		"caches and the work_mem of a few nodes stay below; a few sessions past it fill a host",
	"private memory that a process has grown by since it was first sampled", false},
	{"rollbacks", 10, 25, "%",
		"applications roll back a few in a hundred transactions",
	"transactions rolled back, of all of an application", false},
	{"vanished_clients", 1, 5, "sessions",
		"one client that died is worth a look, five are a network or a host that went away",
	"sessions and prepared transactions left behind by clients that are gone", false},
	{"autovacuum_busy", 600, NO_LEVEL, "s",
		"tables that are due wait for a worker that long",
	"time for which all autovacuum workers have been busy", false},
	{"requested_checkpoints", 5, 20, "in 10 min",
		"two are due by time in 10 min as shipped; 20 are one each checkpoint_warning of 30 s",
	"checkpoints that WAL or a command asked for", false},
	{"stale_statistics", 50, NO_LEVEL, "%",
		"five times autovacuum_analyze_scale_factor as shipped",
	"rows of one table changed since it was analyzed, of all its rows, for tables with 10,000 changes and more", false},
	{"checksum_failures", NO_LEVEL, 1, "pages",
		"each is a page that is not what was written",
	"pages that failed their checksum", false},
	{"invalid_indexes", 1, NO_LEVEL, "indexes",
		"one costs every write and serves no query",
	"indexes that are invalid and not being built", false},
	{"load", 2, 5, "per CPU",
		"twice as many processes want a CPU as there are; past five users wait for seconds",
	"processes that ran or waited for a CPU or a disk, over 5 minutes, for each CPU", false},
	{"slow_query", 20, NO_LEVEL, "per minute",
		"every server has reports, dumps and index builds; one in three seconds is more than these, and users notice",
	"statements that took slow_query_duration, over 10 minutes", false},
	{"slow_query_duration", 1, NO_LEVEL, "s",
		"fault_tolerance.slow_statement_threshold as shipped; only what is over that is kept",
	"time from which on a statement counts for slow_query", false},
	{"scanned_rows", 10000, NO_LEVEL, "rows",
		"below that a table is read in about a millisecond",
	"rows that a sequential scan of a table reads on average", false},
	{"returned_rows", 10000, NO_LEVEL, "rows",
		"nobody reads so many; an application that wants them all wants a cursor",
	"rows that a statement without LIMIT returns on average", false},
};

struct FtThresholds
{
	FtThreshold all[lengthof(shipped)];
};

static FtThreshold *
find(FtThreshold *thresholds, const char *check_name)
{
	for (int i = 0; i < (int) lengthof(shipped); i++)
	{
		if (strcmp(thresholds[i].check_name, check_name) == 0)
			return &thresholds[i];
	}
	return NULL;
}

const FtThreshold *
ft_threshold_shipped(const char *check_name)
{
	const FtThreshold *threshold = find(unconstify(FtThreshold *, &shipped[0]), check_name);

	if (threshold == NULL)
		elog(ERROR, "there is no threshold \"%s\"", check_name);
	return threshold;
}

static double
level(HeapTuple tuple, int attribute, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attribute, desc, &isnull);

	return isnull ? NO_LEVEL : DatumGetFloat8(value);
}

/* Apply one row of ft.changed_thresholds; unknown ones are of a later version. */
static void
apply(FtThresholds *thresholds, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		name = heap_getattr(tuple, 1, desc, &isnull);
	FtThreshold *threshold = find(thresholds->all, TextDatumGetCString(name));

	if (threshold == NULL)
		return;
	threshold->warning = level(tuple, 2, desc);
	threshold->critical = level(tuple, 3, desc);
	threshold->changed = true;
}

FtThresholds *
ft_thresholds_read(void)
{
	FtThresholds *thresholds = palloc(sizeof(FtThresholds));
	Oid			namespace = get_namespace_oid(FT_SCHEMA_NAME, true);
	Oid			relid = InvalidOid;
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;

	memcpy(thresholds->all, shipped, sizeof(shipped));

	if (OidIsValid(namespace))
		relid = get_relname_relid("changed_thresholds", namespace);
	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		return thresholds;
	relation = try_table_open(relid, NoLock);
	if (relation == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return thresholds;
	}

	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		apply(thresholds, tuple, RelationGetDescr(relation));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return thresholds;
}

const FtThreshold *
ft_threshold(const FtThresholds *thresholds, const char *check_name)
{
	const FtThreshold *threshold =
		find(unconstify(FtThreshold *, &thresholds->all[0]), check_name);

	if (threshold == NULL)
		elog(ERROR, "there is no threshold \"%s\"", check_name);
	return threshold;
}

/* A level that is not a number is never reached. */
FtSeverity
ft_severity_of(const FtThreshold *threshold, double value)
{
	if (value >= threshold->critical)
		return FT_SEVERITY_CRITICAL;
	if (value >= threshold->warning)
		return FT_SEVERITY_WARNING;
	return FT_SEVERITY_OK;
}

const char *
ft_severity_name(FtSeverity severity)
{
	static const char *const names[] = {"OK", "WARNING", "CRITICAL"};

	return names[severity];
}

static void
report_unknown(const char *check_name)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("there is no threshold named \"%s\"", check_name),
			 errhint("SELECT check_name FROM ft.thresholds lists them.")));
}

/*
 * ft.threshold_list()
 */
Datum
ft_threshold_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FtThresholds *thresholds;

	InitMaterializedSRF(fcinfo, 0);
	thresholds = ft_thresholds_read();
	for (int i = 0; i < (int) lengthof(shipped); i++)
	{
		const FtThreshold *threshold = &thresholds->all[i];
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {0};

		values[0] = CStringGetTextDatum(threshold->check_name);
		values[1] = Float8GetDatum(threshold->warning);
		nulls[1] = isnan(threshold->warning);
		values[2] = Float8GetDatum(threshold->critical);
		nulls[2] = isnan(threshold->critical);
		values[3] = CStringGetTextDatum(threshold->unit);
		values[4] = BoolGetDatum(threshold->changed);
		values[5] = CStringGetTextDatum(threshold->source);
		values[6] = CStringGetTextDatum(threshold->description);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * ft.severity(check_name text, value double precision)
 *
 * The thresholds are read once for each use in a statement.
 */
Datum
ft_severity(PG_FUNCTION_ARGS)
{
	FtThresholds *thresholds = (FtThresholds *) fcinfo->flinfo->fn_extra;
	char	   *check_name;
	const FtThreshold *threshold;
	double		value;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (thresholds == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		thresholds = ft_thresholds_read();
		fcinfo->flinfo->fn_extra = thresholds;
		MemoryContextSwitchTo(caller);
	}

	check_name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	threshold = find(thresholds->all, check_name);
	if (threshold == NULL)
		report_unknown(check_name);
	value = PG_ARGISNULL(1) ? NAN : PG_GETARG_FLOAT8(1);
	if (isnan(value))
		PG_RETURN_TEXT_P(cstring_to_text("UNKNOWN"));
	PG_RETURN_TEXT_P(cstring_to_text(ft_severity_name(ft_severity_of(threshold, value))));
}

FT_STATEMENT(set_threshold,
			 "INSERT INTO ft.changed_thresholds (check_name, warning, critical)"
			 " VALUES ($1, $2, $3)"
			 " ON CONFLICT (check_name) DO UPDATE"
			 "    SET warning = excluded.warning, critical = excluded.critical,"
			 "        changed_by = excluded.changed_by, changed_at = excluded.changed_at",
			 TEXTOID, FLOAT8OID, FLOAT8OID);
FT_STATEMENT(reset_threshold,
			 "DELETE FROM ft.changed_thresholds WHERE check_name = $1",
			 TEXTOID);

static FtArg
level_arg(FunctionCallInfo fcinfo, int i)
{
	FtArg		arg = FT_NULL;

	if (PG_ARGISNULL(i))
		return arg;
	if (isnan(PG_GETARG_FLOAT8(i)))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("a threshold cannot be NaN"),
				 errhint("NULL means that there is no such level.")));
	arg.value = PG_GETARG_DATUM(i);
	arg.isnull = false;
	return arg;
}

static char *
known_name(FunctionCallInfo fcinfo)
{
	char	   *check_name;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("check_name must not be null"),
				 errhint("SELECT check_name FROM ft.thresholds lists the names.")));
	check_name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (find(unconstify(FtThreshold *, &shipped[0]), check_name) == NULL)
		report_unknown(check_name);
	return check_name;
}

/*
 * ft.set_threshold(check_name text, warning double precision,
 *					critical double precision)
 */
Datum
ft_set_threshold(PG_FUNCTION_ARGS)
{
	char	   *check_name = known_name(fcinfo);
	FtArg		warning = level_arg(fcinfo, 1);
	FtArg		critical = level_arg(fcinfo, 2);
	FtEngine	engine;

	if (!warning.isnull && !critical.isnull &&
		DatumGetFloat8(warning.value) > DatumGetFloat8(critical.value))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("threshold \"%s\" would be critical before it is a warning", check_name),
				 errdetail("Higher is worse: the value for critical must not be below that for warning."),
				 errhint("Exchange the two, or give NULL for a level that is not wanted.")));

	ft_engine_enter(&engine);
	(void) ft_run(&set_threshold, FT_ARGS(FT_TEXT(check_name), warning, critical));
	ft_engine_leave(&engine);
	PG_RETURN_VOID();
}

/*
 * ft.reset_threshold(check_name text)
 */
Datum
ft_reset_threshold(PG_FUNCTION_ARGS)
{
	char	   *check_name = known_name(fcinfo);
	FtEngine	engine;

	ft_engine_enter(&engine);
	(void) ft_run(&reset_threshold, FT_ARGS(FT_TEXT(check_name)));
	ft_engine_leave(&engine);
	PG_RETURN_VOID();
}
