/*-------------------------------------------------------------------------
 *
 * history_log.c
 *	  ft.flush_history(): the history, kept for longer than shared memory can.
 *
 * What was not written yet begins after the newest entry.  A run that goes on
 * is written as far as it has come, and its rest by the next flush.
 *
 * Locking: the table is locked against other flushes, so that nothing is
 * written twice; readers do not wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "engine.h"
#include "errors.h"

PG_FUNCTION_INFO_V1(ft_flush_history);

FT_STATEMENT_NOARGS(lock_log,
					"LOCK TABLE ft.session_history_log IN SHARE ROW EXCLUSIVE MODE");
FT_STATEMENT_NOARGS(write_log,
					"INSERT INTO ft.session_history_log (first_seen, last_seen, samples,"
					" pid, datname, usename, application_name, backend_type, state, wait_event_type,"
					" wait_event, query_id, query_start, xact_start, query, traceparent, blocker_pid,"
					" prepared_gid, block_kind, locktype, lock_object, waited_mode, held_mode, wait_start,"
					" in_cycle, backend_start, state_change, leader_pid, backend_xid, datid, usesysid)"
					" SELECT first_seen, last_seen, samples,"
					" pid, datname, usename, application_name, backend_type, state, wait_event_type,"
					" wait_event, query_id, query_start, xact_start, query, traceparent, blocker_pid,"
					" prepared_gid, block_kind, locktype, lock_object, waited_mode, held_mode, wait_start,"
					" in_cycle, backend_start, state_change, leader_pid, backend_xid, datid, usesysid"
					"   FROM ft.session_history_runs("
					"        (SELECT max(last_seen) + interval '1 microsecond' FROM ft.session_history_log), NULL)"
					"  ORDER BY first_seen, pid");
FT_STATEMENT(forget_log,
			 "DELETE FROM ft.session_history_log WHERE last_seen < $1",
			 TIMESTAMPTZOID);

static void
check_retention(const Interval *retention)
{
	Interval	none = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(retention),
										 IntervalPGetDatum(&none))))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("retention must not be negative"),
				 errhint("NULL keeps everything.")));
}

/*
 * ft.flush_history(retention interval)
 */
Datum
ft_flush_history(PG_FUNCTION_ARGS)
{
	Interval   *retention = PG_ARGISNULL(0) ? NULL : PG_GETARG_INTERVAL_P(0);
	FtEngine	engine;
	uint64		written;

	ft_require_preload("ft.flush_history()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ft.flush_history() needs isolation level read committed"),
				 errdetail("It has to see what another flush wrote just now, or would write it twice."),
				 errhint("BEGIN ISOLATION LEVEL READ COMMITTED, or call it by itself.")));
	if (retention != NULL)
		check_retention(retention);

	ft_engine_enter(&engine);
	(void) ft_run(&lock_log, NULL);
	written = ft_run(&write_log, NULL);
	if (retention != NULL)
	{
		Datum		oldest = DirectFunctionCall2(timestamptz_mi_interval,
												 TimestampTzGetDatum(GetCurrentTimestamp()),
												 IntervalPGetDatum(retention));

		(void) ft_run(&forget_log, FT_ARGS(FT_TIME(DatumGetTimestampTz(oldest))));
	}
	ft_engine_leave(&engine);
	PG_RETURN_INT64((int64) written);
}
