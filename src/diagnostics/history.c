/*-------------------------------------------------------------------------
 *
 * history.c
 *	  ft.session_history(), ft.session_history_runs() and
 *	  ft.history_status(): what sessions did, as it was sampled.
 *
 * Rows come session by session, not sample by sample: what a session did is
 * put into words once for all samples in which it did the same.
 *
 * Locking: see history_store.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "diagnostics/catalog_names.h"
#include "diagnostics/history.h"
#include "diagnostics/kernel_file.h"
#include "errors.h"
#include "guc.h"

PG_FUNCTION_INFO_V1(ft_session_history);
PG_FUNCTION_INFO_V1(ft_session_history_runs);
PG_FUNCTION_INFO_V1(ft_history_status);

#define MAX_HEAD	4

/* Columns of ft.history_status(). */
enum
{
	STATUS_EVERY,
	STATUS_OLDEST,
	STATUS_NEWEST,
	STATUS_SAMPLES,
	STATUS_SAMPLES_LIMIT,
	STATUS_RUNS,
	STATUS_RUNS_LIMIT,
	STATUS_TEXT_BYTES,
	STATUS_TEXT_BYTES_LIMIT,
	STATUS_SAMPLES_TAKEN,
	STATUS_WITHOUT_LOCK_TABLE,
	STATUS_LAST_SESSIONS,
	STATUS_LAST_WAITING,
	STATUS_LAST_DURATION,
	STATUS_LONGEST_DURATION,
	STATUS_COLUMNS
};

/* The time asked for; NULLs are open ends. */
static void
get_time(FunctionCallInfo fcinfo, TimestampTz *from, TimestampTz *to)
{
	*from = PG_ARGISNULL(0) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(0);
	*to = PG_ARGISNULL(1) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(1);
}

/* Rows of one run: one for each sample of it, or one for all of them. */
static void
put_run(ReturnSetInfo *rsinfo, const FtHistory *history, const FtHistoryRun *run,
		FtHistoryViewer *viewer, bool folded)
{
	uint64		first = Max(run->first_sample, history->first_sample);
	uint64		last = Min(run->last_sample, history->last_sample);
	Datum		values[MAX_HEAD + FT_HISTORY_COLUMNS];
	bool		nulls[MAX_HEAD + FT_HISTORY_COLUMNS] = {0};

	if (folded)
	{
		values[0] = TimestampTzGetDatum(ft_history_at(history, first));
		values[1] = TimestampTzGetDatum(ft_history_at(history, last));
		values[2] = Int32GetDatum((int32) (last - first + 1));
		ft_history_row(viewer, &run->state, &values[3], &nulls[3]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		return;
	}
	ft_history_row(viewer, &run->state, &values[1], &nulls[1]);
	for (uint64 i = first; i <= last; i++)
	{
		const FtHistorySample *sample = &history->samples[i - history->first_sample];

		values[0] = TimestampTzGetDatum(sample->at);
		values[1 + FT_HISTORY_COLUMNS] =
			CStringGetTextDatum(ft_lock_source_name(sample->source));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

static void
put_history(FunctionCallInfo fcinfo, const char *function, bool folded)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtHistoryViewer *viewer;
	FtHistory  *history;
	MemoryContext work;
	MemoryContext caller;
	TimestampTz from;
	TimestampTz to;

	ft_require_preload(function);
	InitMaterializedSRF(fcinfo, 0);
	get_time(fcinfo, &from, &to);
	history = ft_history_read(from, to, 0);

	ft_names_begin();
	viewer = ft_history_viewer(history);
	work = AllocSetContextCreate(CurrentMemoryContext, "fault_tolerance rows",
								 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(work);
	for (int i = 0; i < history->run_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_run(rsinfo, history, &history->runs[i], viewer, folded);
		MemoryContextReset(work);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	ft_names_end();
}

/*
 * ft.session_history("from" timestamptz, "to" timestamptz)
 */
Datum
ft_session_history(PG_FUNCTION_ARGS)
{
	put_history(fcinfo, "ft.session_history()", false);
	return (Datum) 0;
}

/*
 * ft.session_history_runs("from" timestamptz, "to" timestamptz)
 */
Datum
ft_session_history_runs(PG_FUNCTION_ARGS)
{
	put_history(fcinfo, "ft.session_history_runs()", true);
	return (Datum) 0;
}

static void
put_duration(Datum *values, bool *nulls, int column, int64 microseconds, bool known)
{
	Interval   *duration = palloc0(sizeof(Interval));

	duration->time = microseconds;
	values[column] = IntervalPGetDatum(duration);
	nulls[column] = !known;
}

/*
 * ft.history_status()
 */
Datum
ft_history_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS] = {0};
	FtHistoryStatus status;
	bool		any;

	ft_require_preload("ft.history_status()");
	InitMaterializedSRF(fcinfo, 0);
	ft_history_status_read(&status);
	any = status.samples > 0;

	put_duration(values, nulls, STATUS_EVERY, ft_sample_interval * INT64CONST(1000),
				 ft_sample_interval > 0);
	values[STATUS_OLDEST] = TimestampTzGetDatum(status.oldest_at);
	values[STATUS_NEWEST] = TimestampTzGetDatum(status.newest.at);
	nulls[STATUS_OLDEST] = nulls[STATUS_NEWEST] = !any;
	ft_put_int64(values, nulls, STATUS_SAMPLES, status.samples);
	ft_put_int64(values, nulls, STATUS_SAMPLES_LIMIT, status.samples_limit);
	ft_put_int64(values, nulls, STATUS_RUNS, status.runs);
	ft_put_int64(values, nulls, STATUS_RUNS_LIMIT, status.runs_limit);
	ft_put_int64(values, nulls, STATUS_TEXT_BYTES, status.text_bytes);
	ft_put_int64(values, nulls, STATUS_TEXT_BYTES_LIMIT, status.text_bytes_limit);
	ft_put_int64(values, nulls, STATUS_SAMPLES_TAKEN, status.samples_taken);
	ft_put_int64(values, nulls, STATUS_WITHOUT_LOCK_TABLE, status.inferred);
	values[STATUS_LAST_SESSIONS] = Int32GetDatum(status.newest.sessions);
	values[STATUS_LAST_WAITING] = Int32GetDatum(status.newest.waiting);
	nulls[STATUS_LAST_SESSIONS] = nulls[STATUS_LAST_WAITING] = !any;
	put_duration(values, nulls, STATUS_LAST_DURATION, status.newest.duration, any);
	put_duration(values, nulls, STATUS_LONGEST_DURATION, status.longest, any);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
