/*-------------------------------------------------------------------------
 *
 * xmin_horizon.c
 *	  ft.xmin_horizon(): who keeps vacuum from removing dead rows.
 *
 * One row for each holder and each horizon that it holds; what is gathered by
 * whom stands in horizon.c, activity.c, prepared.c and xid_clock.c.
 *
 * A snapshot is as old as the oldest transaction that ran when it was taken.
 * So behind one old transaction all statements hold as much as it does, and
 * will for as long as they last: they are marked as inherited from it.
 *
 * Locking: as the above; catalogs are read without waiting.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/activity.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/horizon.h"
#include "diagnostics/horizon_advice.h"
#include "diagnostics/prepared.h"
#include "diagnostics/xid_clock.h"
#include "threshold.h"
#include "traceparent.h"

PG_FUNCTION_INFO_V1(ft_xmin_horizon);

typedef enum Column
{
	HORIZON,
	KIND,
	HOLDS,
	XMIN,
	XID_AGE,
	AGE,
	SEVERITY,
	NEXT_XID_AGE,
	PID,
	DATNAME,
	USENAME,
	APPLICATION_NAME,
	STATE,
	GID,
	SLOT_NAME,
	STANDBY,
	ACTION,
	SQL,
	REASON,
	CAUSE,
	INHERITED_FROM,
	SINCE,
	BACKEND_TYPE,
	CLIENT_ADDR,
	BACKEND_START,
	XACT_START,
	STATE_CHANGE,
	WAIT_EVENT_TYPE,
	WAIT_EVENT,
	QUERY,
	TRACEPARENT,
	DATID,
	BACKEND_XID,
	COLUMNS
} Column;

/* A holder, and what of its row is the same for all horizons. */
typedef struct Row
{
	const FtHolder *holder;
	const struct Row *root;		/* whose transaction its snapshot is behind */
	bool		idles;			/* in its transaction: its snapshot stays */
	TransactionId xmin;			/* in the horizon at hand */
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
} Row;

typedef struct Report
{
	FtHolders  *holders;
	FtPreparedList *prepared;
	FtThresholds *thresholds;
	FtActivityReader *reader;
	TimestampTz now;
	Row		   *rows;
} Report;

static void
set(Row *row, Column column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
set_text(Row *row, Column column, const char *value)
{
	if (value != NULL)
		set(row, column, CStringGetTextDatum(value));
}

static void
set_activity(Row *row, Column column, const FtActivity *activity, FtActivityColumn from)
{
	if (!activity->nulls[from])
		set(row, column, activity->values[from]);
}

static void
set_database(Row *row, Oid database)
{
	const FtDatabaseName *name = ft_database_name(database);

	if (OidIsValid(database))
		set(row, DATID, ObjectIdGetDatum(database));
	if (name != NULL)
		set(row, DATNAME, NameGetDatum(&name->name));
}

static const char *
kind_name(FtHolderKind kind)
{
	switch (kind)
	{
		case FT_HOLDER_BACKEND:
			return "backend";
		case FT_HOLDER_FEEDBACK:
			return "standby feedback";
		case FT_HOLDER_PREPARED:
			return "prepared transaction";
		case FT_HOLDER_SLOT:
			return "replication slot";
		case FT_HOLDER_PRIMARY:
			return "transaction of the primary";
		default:
			return "setting";
	}
}

/* What pg_stat_activity has of the process behind a holder, if any. */
static void
set_process(Report *report, Row *row, FtActivity *activity)
{
	const FtHolder *holder = row->holder;
	int			procno = holder->procno;
	char		trace[FT_TRACEPARENT_SIZE];

	memset(activity, 0, sizeof(FtActivity));
	if (holder->pid == 0)
		return;
	if (holder->kind == FT_HOLDER_SLOT)
	{
		PGPROC	   *proc = BackendPidGetProc(holder->pid);

		if (proc == NULL)
			return;
		procno = proc - ProcGlobal->allProcs;
	}

	ft_activity_read(report->reader, procno, holder->pid, activity);
	set(row, PID, Int32GetDatum(holder->pid));
	set_activity(row, USENAME, activity, FT_ACTIVITY_USENAME);
	set_activity(row, APPLICATION_NAME, activity, FT_ACTIVITY_APPLICATION_NAME);
	set_activity(row, STATE, activity, FT_ACTIVITY_STATE);
	set_activity(row, BACKEND_TYPE, activity, FT_ACTIVITY_BACKEND_TYPE);
	set_activity(row, CLIENT_ADDR, activity, FT_ACTIVITY_CLIENT_ADDR);
	set_activity(row, BACKEND_START, activity, FT_ACTIVITY_BACKEND_START);
	set_activity(row, XACT_START, activity, FT_ACTIVITY_XACT_START);
	set_activity(row, STATE_CHANGE, activity, FT_ACTIVITY_STATE_CHANGE);
	set_activity(row, WAIT_EVENT_TYPE, activity, FT_ACTIVITY_WAIT_EVENT_TYPE);
	set_activity(row, WAIT_EVENT, activity, FT_ACTIVITY_WAIT_EVENT);
	set_activity(row, QUERY, activity, FT_ACTIVITY_QUERY);
	if (activity->visible &&
		ft_traceparent_find(row->nulls[QUERY] ? NULL : TextDatumGetCString(row->values[QUERY]),
							row->nulls[APPLICATION_NAME] ? NULL :
							TextDatumGetCString(row->values[APPLICATION_NAME]), trace))
		set_text(row, TRACEPARENT, trace);
	if (holder->kind == FT_HOLDER_FEEDBACK ||
		(holder->kind == FT_HOLDER_SLOT && !holder->logical))
		set_activity(row, STANDBY, activity, FT_ACTIVITY_APPLICATION_NAME);
}

/*
 * Since when it cannot but hold, by what is known without the clock: a session
 * that idles got its snapshot before, a prepared transaction its id, and a slot
 * that is not in use does not move.
 */
static TimestampTz
held_since(const FtHolder *holder, const FtActivity *activity, const FtPrepared *prepared)
{
	if (prepared != NULL)
		return prepared->prepared_at;
	if (holder->kind == FT_HOLDER_SLOT)
		return holder->pid == 0 ? holder->inactive_since : 0;
	if (activity->visible && activity->state == STATE_IDLEINTRANSACTION)
		return activity->state_change;
	return 0;
}

/* False if the holder is gone meanwhile. */
static bool
fill_row(Report *report, Row *row)
{
	const FtHolder *holder = row->holder;
	const FtPrepared *prepared = NULL;
	FtActivity	activity;
	FtHorizonAdvice advice;
	TimestampTz since;

	memset(row->nulls, true, sizeof(row->nulls));
	if (holder->kind == FT_HOLDER_PREPARED)
	{
		prepared = ft_prepared_find(report->prepared, holder->xid);
		if (prepared == NULL)
			return false;
		set_text(row, GID, prepared->gid);
		if (ft_role_name(prepared->owner) != NULL)
			set(row, USENAME, NameGetDatum(&ft_role_name(prepared->owner)->name));
	}
	set_process(report, row, &activity);
	row->idles = activity.state == STATE_IDLEINTRANSACTION;
	set_database(row, holder->database);
	set_text(row, KIND, kind_name(holder->kind));
	if (holder->kind == FT_HOLDER_SLOT)
		set(row, SLOT_NAME, NameGetDatum(&holder->slot));
	if (TransactionIdIsValid(holder->xid))
		set(row, BACKEND_XID, TransactionIdGetDatum(holder->xid));

	advice = ft_horizon_advice(holder, &activity, prepared);
	set_text(row, ACTION, advice.action);
	set_text(row, SQL, advice.sql);
	set_text(row, REASON, advice.reason);

	since = held_since(holder, &activity, prepared);
	if (since != 0)
		set(row, SINCE, TimestampTzGetDatum(since));
	return true;
}

/*
 * Find, for each holder with a snapshot behind a transaction of another one,
 * that other one.
 */
static void
find_roots(Row *rows, int count)
{
	/* next to one another, because every snapshot is looked for in them */
	TransactionId *xids = palloc_array(TransactionId, Max(count, 1));

	for (int i = 0; i < count; i++)
		xids[i] = rows[i].holder->xid;

	for (int i = 0; i < count; i++)
	{
		const FtHolder *holder = rows[i].holder;

		CHECK_FOR_INTERRUPTS();
		if (!TransactionIdIsValid(holder->xmin) || holder->xmin == holder->xid ||
			(holder->kind != FT_HOLDER_BACKEND && holder->kind != FT_HOLDER_FEEDBACK))
			continue;
		for (int j = 0; j < count; j++)
		{
			if (xids[j] == holder->xmin)
			{
				rows[i].root = &rows[j];
				break;
			}
		}
	}
	pfree(xids);
}

/* Is it its snapshot that holds, and that only as behind another's? */
static bool
inherits(const Row *row)
{
	return row->root != NULL && row->xmin == row->holder->xmin;
}

/* And will that go with the statement that runs? */
static bool
passes(const Row *row)
{
	return inherits(row) && !row->idles;
}

static int
compare_rows(const void *a, const void *b)
{
	const Row  *left = *(Row *const *) a;
	const Row  *right = *(Row *const *) b;

	if (left->xmin != right->xmin)
		return TransactionIdPrecedes(left->xmin, right->xmin) ? -1 : 1;
	if (passes(left) != passes(right))
		return passes(left) ? 1 : -1;
	if (left->holder->kind != right->holder->kind)
		return left->holder->kind < right->holder->kind ? -1 : 1;
	return left->holder->pid - right->holder->pid;
}

/*
 * Severity by the age in time; where only the least it can be is known, UNKNOWN
 * unless that is bad enough.
 */
static void
set_age(Report *report, Row *row)
{
	const FtThreshold *threshold = ft_threshold(report->thresholds, "xmin_horizon");
	TimestampTz since;
	bool		known = ft_xid_clock_time(row->xmin, report->holders->next,
										  report->now, &since);
	FtSeverity	severity;

	if (known)
		set(row, AGE, DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(report->now),
										  TimestampTzGetDatum(since)));
	else
	{
		row->nulls[AGE] = true;
		if (!row->nulls[SINCE] &&
			(since == 0 || DatumGetTimestampTz(row->values[SINCE]) < since))
			since = DatumGetTimestampTz(row->values[SINCE]);
	}

	severity = since == 0 ? FT_SEVERITY_OK :
		ft_severity_of(threshold, (double) (report->now - since) / USECS_PER_SEC);
	set_text(row, SEVERITY,
			 known || severity != FT_SEVERITY_OK ? ft_severity_name(severity) : "UNKNOWN");
}

/*
 * The age of the horizon without a holder, and without the statements that
 * only hold because of it.
 */
static int64
age_without(const Report *report, Row *const *sorted, int count, const Row *row)
{
	for (int i = 0; i < count; i++)
	{
		if (sorted[i] != row && !(passes(sorted[i]) && sorted[i]->root == row))
			return ft_xid_age(report->holders->next, sorted[i]->xmin);
	}
	return 0;
}

static const char *
cause_of(const Row *row)
{
	switch (row->holder->kind)
	{
		case FT_HOLDER_SLOT:
			return row->xmin == row->holder->xmin ? "xmin" : "catalog_xmin";
		case FT_HOLDER_SETTING:
			return "vacuum_defer_cleanup_age";
		default:
			return row->xmin == row->holder->xid ? "transaction" : "snapshot";
	}
}

static void
put_horizon(ReturnSetInfo *result, Report *report, FtHorizonKind kind, Row **sorted)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "horizon row", ALLOCSET_SMALL_SIZES);
	int			count = 0;

	for (int i = 0; i < report->holders->count; i++)
	{
		Row		   *row = &report->rows[i];

		row->xmin = ft_holder_xmin(row->holder, kind, MyDatabaseId);
		if (TransactionIdIsValid(row->xmin))
			sorted[count++] = row;
	}
	qsort(sorted, count, sizeof(Row *), compare_rows);

	for (int i = 0; i < count; i++)
	{
		Row		   *row = sorted[i];
		MemoryContext old_context;

		CHECK_FOR_INTERRUPTS();
		old_context = MemoryContextSwitchTo(row_context);
		set_text(row, HORIZON, ft_horizon_name(kind));
		set(row, HOLDS, BoolGetDatum(row->xmin == sorted[0]->xmin));
		set(row, XMIN, TransactionIdGetDatum(row->xmin));
		set(row, XID_AGE, Int64GetDatum(ft_xid_age(report->holders->next, row->xmin)));
		set_age(report, row);
		set(row, NEXT_XID_AGE, Int64GetDatum(age_without(report, sorted, count, row)));
		set_text(row, CAUSE, cause_of(row));
		row->nulls[INHERITED_FROM] = true;
		if (inherits(row))
			set(row, INHERITED_FROM, Int32GetDatum(row->root->holder->pid));
		tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	MemoryContextDelete(row_context);
}

/* Fill in the rows of all holders; those that are gone hold nothing. */
static void
gather(Report *report)
{
	int			count = report->holders->count;

	report->rows = palloc_extended(Max(count, 1) * sizeof(Row), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		report->rows[i].holder = &report->holders->items[i];
		if (!fill_row(report, &report->rows[i]))
		{
			report->holders->items[i].xid = InvalidTransactionId;
			report->holders->items[i].xmin = InvalidTransactionId;
		}
	}
	find_roots(report->rows, count);
}

Datum
ft_xmin_horizon(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Report		report;
	Row		  **sorted;

	InitMaterializedSRF(fcinfo, 0);
	Assert(result->setDesc->natts == COLUMNS);

	report.thresholds = ft_thresholds_read();
	report.holders = ft_holders();
	report.prepared = ft_prepared_list();
	report.now = GetCurrentTimestamp();

	ft_names_begin();
	report.reader = ft_activity_reader();
	gather(&report);
	ft_names_end();

	sorted = palloc_array(Row *, Max(report.holders->count, 1));
	for (int kind = 0; kind < FT_HORIZONS; kind++)
		put_horizon(result, &report, (FtHorizonKind) kind, sorted);
	return (Datum) 0;
}
