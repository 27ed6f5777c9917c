/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  Errors that reached the server's log: how many of which kind, how many
 *	  a second, and the last ones with their statements.
 *
 * Locking: names are looked up without waiting for a lock, see
 * catalog_names.c; the counts need none.  ft.reset_errors() holds a lock
 * against others that reset.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "diagnostics/catalog_names.h"
#include "diagnostics/error_log.h"
#include "diagnostics/visibility.h"
#include "errors.h"
#include "guc.h"
#include "recode.h"
#include "failure_rule.h"
#include "sqlstate.h"

PG_FUNCTION_INFO_V1(ft_errors);
PG_FUNCTION_INFO_V1(ft_recent_errors);
PG_FUNCTION_INFO_V1(ft_error_counts);
PG_FUNCTION_INFO_V1(ft_reset_errors);

/* In the order of their declaration. */
#define ERRORS_COLUMNS	14
#define RECENT_COLUMNS	19
#define COUNTS_COLUMNS	9

static const char *const level_names[] = {
	[FT_ERROR_WARNING] = "WARNING",
	[FT_ERROR_ERROR] = "ERROR",
	[FT_ERROR_FATAL] = "FATAL",
	[FT_ERROR_PANIC] = "PANIC",
};

/* A row that is being put together, column by column. */
typedef struct Row
{
	int			length;
	Datum		values[RECENT_COLUMNS];
	bool		nulls[RECENT_COLUMNS];
} Row;

static void
add(Row *row, Datum value)
{
	row->values[row->length] = value;
	row->nulls[row->length++] = false;
}

static void
add_null(Row *row)
{
	row->values[row->length] = (Datum) 0;
	row->nulls[row->length++] = true;
}

/* Another database's text; NULL for an empty one, or one not to be seen. */
static void
add_text(Row *row, const char *string, int encoding, bool visible)
{
	if (string == NULL || string[0] == '\0' || !visible)
		add_null(row);
	else
		add(row, CStringGetTextDatum(ft_recode(string, encoding)));
}

static void
add_time(Row *row, TimestampTz time)
{
	if (time == 0)
		add_null(row);
	else
		add(row, TimestampTzGetDatum(time));
}

static void
add_oid(Row *row, Oid oid)
{
	if (OidIsValid(oid))
		add(row, ObjectIdGetDatum(oid));
	else
		add_null(row);
}

/* A name that is known, or what a client called it that could not log in. */
static void
add_name(Row *row, const NameData *name, const char *called)
{
	if (name == NULL && called[0] == '\0')
		add_null(row);
	else
		add(row, DirectFunctionCall1(namein, CStringGetDatum(name != NULL ? NameStr(*name) :
															 ft_recode(called, PG_SQL_ASCII))));
}

static void
add_names(Row *row, const FtErrorKey *key)
{
	const FtDatabaseName *database = ft_database_name(key->database);
	const FtRoleName *role = ft_role_name(key->role);

	add_name(row, database == NULL ? NULL : &database->name, key->datname);
	add_name(row, role == NULL ? NULL : &role->name, key->usename);
	add_text(row, key->application, PG_SQL_ASCII, true);
}

static int
compare_counts(const void *a, const void *b)
{
	uint64		one = ((const FtErrorCount *) a)->count;
	uint64		other = ((const FtErrorCount *) b)->count;

	return one < other ? 1 : one > other ? -1 : 0;
}

static void
put_count(ReturnSetInfo *result, const FtErrorCount *count, bool windowed)
{
	const char *sqlstate = unpack_sql_state(count->key.sqlstate);
	const char *name = ft_sqlstate_name(sqlstate);
	bool		visible = ft_may_see(count->key.role);
	Row			row = {0};

	if (count->other)
	{
		add_null(&row);
		add(&row, CStringGetTextDatum("other"));
	}
	else
	{
		add(&row, CStringGetTextDatum(sqlstate));
		add_text(&row, name, PG_SQL_ASCII, true);
	}
	add(&row, CStringGetTextDatum(level_names[count->key.level]));
	add_names(&row, &count->key);
	add(&row, Int64GetDatum((int64) count->count));
	add_time(&row, count->first_seen);
	add_time(&row, count->last_seen);
	if (count->other)
		add_null(&row);
	else
		add(&row, BoolGetDatum(ft_sqlstate_is_transient(sqlstate)));
	add_text(&row, visible ? count->message : FT_NOT_VISIBLE, count->encoding, true);
	if (windowed)
		add(&row, Int64GetDatum((int64) count->window_count));
	else
		add_null(&row);
	add_oid(&row, count->key.database);
	add_oid(&row, count->key.role);
	Assert(row.length == ERRORS_COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

/*
 * Seconds of a window that was passed, whole ones, rounded up; an error if it
 * is none that errors are counted for.
 */
static int
window_argument(const Interval *window)
{
	double		seconds = (double) window->time / USECS_PER_SEC +
		(double) window->day * SECS_PER_DAY +
		(double) window->month * DAYS_PER_MONTH * SECS_PER_DAY;

	if (!(seconds >= 1 && seconds <= FT_ERROR_SECONDS))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("the window must be between 1 second and 1 hour"),
				 errdetail("Errors are counted by the second for the last hour."),
				 errhint("For a longer time subtract error_count of ft.errors() from what it was before.")));
	return (int) ceil(seconds);
}

/*
 * ft.errors("window" interval)
 */
Datum
ft_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		windowed = !PG_ARGISNULL(0);
	int			window = windowed ? window_argument(PG_GETARG_INTERVAL_P(0)) : 1;
	MemoryContext row_context;
	MemoryContext old_context;
	FtErrorCount *counts;
	int			length;

	ft_require_preload("ft.errors()");
	InitMaterializedSRF(fcinfo, 0);

	counts = ft_error_table_read(ft_errors_shared->table, window, GetCurrentTimestamp(), &length);
	qsort(counts, length, sizeof(FtErrorCount), compare_counts);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "errors row", ALLOCSET_DEFAULT_SIZES);
	ft_names_begin();
	for (int i = 0; i < length; i++)
	{
		CHECK_FOR_INTERRUPTS();
		old_context = MemoryContextSwitchTo(row_context);
		put_count(result, &counts[i], windowed);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	ft_names_end();
	return (Datum) 0;
}

static void
put_recent(ReturnSetInfo *result, const FtErrorRecord *record)
{
	const char *sqlstate = unpack_sql_state(record->key.sqlstate);
	const char *name = ft_sqlstate_name(sqlstate);
	int			encoding = record->encoding;
	bool		visible = ft_may_see(record->key.role);
	bool		detail_visible = record->detail_for_log ? ft_may_see_all() : visible;
	Row			row = {0};

	add_time(&row, record->time);
	add(&row, Int32GetDatum(record->pid));
	add(&row, CStringGetTextDatum(level_names[record->key.level]));
	add(&row, CStringGetTextDatum(sqlstate));
	add_names(&row, &record->key);
	add_text(&row, visible ? record->message : FT_NOT_VISIBLE, encoding, true);
	add_text(&row, record->detail, encoding, detail_visible);
	add_text(&row, record->hint, encoding, visible);
	add_text(&row, record->context, encoding, visible);
	add_text(&row, visible || record->query[0] == '\0' ? record->query : FT_NOT_VISIBLE, encoding, true);
	add_text(&row, record->traceparent, encoding, visible);
	add_text(&row, name, PG_SQL_ASCII, true);
	add(&row, BoolGetDatum(ft_sqlstate_is_transient(sqlstate)));
	add(&row, CStringGetTextDatum(GetBackendTypeDesc(record->backend_type)));
	if (record->query_id != 0 && visible)
		add(&row, Int64GetDatum((int64) record->query_id));
	else
		add_null(&row);
	add_oid(&row, record->key.database);
	add_oid(&row, record->key.role);
	Assert(row.length == RECENT_COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

/*
 * ft.recent_errors(); the newest first.
 */
Datum
ft_recent_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FtErrorRecord *record = palloc(sizeof(FtErrorRecord));
	MemoryContext row_context;
	MemoryContext old_context;
	uint64		oldest;

	ft_require_preload("ft.recent_errors()");
	InitMaterializedSRF(fcinfo, 0);

	row_context = AllocSetContextCreate(CurrentMemoryContext, "recent errors row",
										ALLOCSET_DEFAULT_SIZES);
	ft_names_begin();
	oldest = ft_ring_oldest(ft_errors_shared->ring);
	for (uint64 number = ft_ring_newest(ft_errors_shared->ring); number >= oldest; number--)
	{
		CHECK_FOR_INTERRUPTS();
		if (!ft_ring_read(ft_errors_shared->ring, number, record))
			continue;
		old_context = MemoryContextSwitchTo(row_context);
		put_recent(result, record);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	ft_names_end();
	return (Datum) 0;
}

/*
 * Put the sums of one level of detail into a row: how many were counted, and
 * where they are not counted by their kind.
 */
static void
add_totals(Row *row, const FtErrorCount *counts, int length)
{
	uint64		errors = 0;
	uint64		warnings = 0;
	uint64		others = 0;
	int			kinds = 0;

	for (int i = 0; i < length; i++)
	{
		if (counts[i].key.level >= FT_ERROR_ERROR)
			errors += counts[i].count;
		else
			warnings += counts[i].count;
		if (counts[i].other)
			others += counts[i].count;
		else
			kinds++;
	}
	add(row, Int64GetDatum((int64) errors));
	add(row, Int64GetDatum((int64) warnings));
	add(row, Int64GetDatum((int64) others));
	add(row, Int32GetDatum(kinds));
}

/*
 * ft.error_counts("window" interval): one row of what was counted in all, and
 * in the last seconds.
 */
Datum
ft_error_counts(PG_FUNCTION_ARGS)
{
	int			window = window_argument(PG_GETARG_INTERVAL_P(0));
	TimestampTz now = GetCurrentTimestamp();
	FtErrorCount *counts;
	TupleDesc	descriptor;
	int			length;
	Row			row = {0};

	ft_require_preload("ft.error_counts()");
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	counts = ft_error_table_read(ft_errors_shared->table, window, now, &length);
	add_time(&row, ft_error_table_since(ft_errors_shared->table));
	add_totals(&row, counts, length);
	add(&row, Int32GetDatum(ft_max_error_kinds));
	add(&row, Int64GetDatum((int64) ft_error_table_in_window(ft_errors_shared->table, window, now)));
	add(&row, Int64GetDatum((int64) (ft_ring_newest(ft_errors_shared->ring) + 1 -
									 ft_ring_oldest(ft_errors_shared->ring))));
	add(&row, Int64GetDatum((int64) pg_atomic_read_u64(&ft_errors_shared->ring->skipped)));
	Assert(row.length == COUNTS_COLUMNS);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  row.values, row.nulls)));
}

/*
 * ft.reset_errors()
 */
Datum
ft_reset_errors(PG_FUNCTION_ARGS)
{
	ft_require_preload("ft.reset_errors()");
	LWLockAcquire(ft_errors_shared->reset_lock, LW_EXCLUSIVE);
	ft_error_table_reset(ft_errors_shared->table, GetCurrentTimestamp());
	ft_ring_forget(ft_errors_shared->ring);
	LWLockRelease(ft_errors_shared->reset_lock);
	PG_RETURN_VOID();
}
