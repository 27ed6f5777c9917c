/*-------------------------------------------------------------------------
 *
 * tick.c
 *	  One tick of the scheduler: what there is to do in a database, and when
 *	  there will be more.
 *
 * Time is a parameter, and nothing here sleeps or starts a process: tests
 * call the same tick through SQL, at whatever time they like, where the
 * scheduler calls it at the time it is.
 *
 * Locking: rows, by what the tick calls; nothing of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "engine.h"
#include "fault_tolerance.h"
#include "guc.h"
#include "orchestration/external.h"
#include "orchestration/child.h"
#include "orchestration/compensation.h"
#include "orchestration/owner.h"
#include "orchestration/installation.h"
#include "orchestration/recovery.h"
#include "orchestration/step.h"
#include "shmem.h"
#include "worker/tick.h"

#define STUCK_BACKOFF_MS		100
#define STUCK_BACKOFF_LIMIT_MS	(10 * 1000)
#define PLACE_KEPT_MS			100
#define SLOW_POLL_MS			(60 * 60 * 1000)
#define PASSES_KEPT				1000

PG_FUNCTION_INFO_V1(ft_scheduler_tick);

FT_STATEMENT(record_pass,
			 "INSERT INTO ft.recovery_passes"
			 " (started_at, duration, reason, boot_epoch, candidates, recovered, failed, given_up)"
			 " VALUES ($1, pg_catalog.make_interval(secs => $2), $3, $4, $5, $6, $7, $8)",
			 TIMESTAMPTZOID, FLOAT8OID, TEXTOID, INT8OID,
			 INT8OID, INT8OID, INT8OID, INT8OID);

FT_STATEMENT(forget_passes,
			 "DELETE FROM ft.recovery_passes"
			 " WHERE pass_id <= (SELECT max(pass_id) FROM ft.recovery_passes) - $1",
			 INT8OID);

FT_STATEMENT_NOARGS(any_prepared,
					"SELECT 1 FROM pg_catalog.pg_prepared_xacts"
					" WHERE database = pg_catalog.current_database() LIMIT 1");

/* Is the extension in this database, and at which version? */
static bool
read_extension(char *version, Size size)
{
	Relation	relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	relation = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(FT_EXTENSION_NAME));
	scan = systable_beginscan(relation, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(relation), &isnull);

		strlcpy(version, isnull ? "" : TextDatumGetCString(value), size);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

/*
 * Gather what the database is like, and make a recovery pass if it may be
 * worked.
 */
void
ft_tick_recover(FtTick *tick)
{
	char	   *reason;

	tick->paused_reason[0] = '\0';
	tick->owners = NIL;
	tick->suspect_owner = InvalidOid;
	tick->next_due = DT_NOEND;
	memset(&tick->pass, 0, sizeof(tick->pass));

	tick->installed = read_extension(tick->sql_version, sizeof(tick->sql_version));
	if (!tick->installed)
		return;

	if (!ft_auto_recovery)
	{
		strlcpy(tick->paused_reason, "fault_tolerance.auto_recovery is off",
				sizeof(tick->paused_reason));
		return;
	}
	reason = ft_installation_paused_reason();
	if (reason != NULL)
	{
		strlcpy(tick->paused_reason, reason, sizeof(tick->paused_reason));
		return;
	}

	ft_recovery_pass(tick->now, &tick->pass);
	ft_step_recover(tick->now);
	ft_compensation_recover();
	ft_external_recover(tick->now);
	ft_child_settle();
	ft_installation_still_own();
}

/* After the pass: what is left, for whom, and when. */
void
ft_tick_plan(FtTick *tick)
{
	FtOwnersDue due;

	if (!tick->installed || tick->paused_reason[0] != '\0')
		return;

	tick->roles_generation = ft_owners_check_names();
	ft_owners_due(tick->now, &due);
	tick->owners = due.owners;
	tick->suspect_owner = ft_step_suspect_owner(tick->now);
	if (!OidIsValid(tick->suspect_owner))
		tick->suspect_owner = due.suspect_owner;
	tick->next_due = ft_earlier(due.next_due, ft_recovery_next_due());
	tick->next_due = ft_earlier(tick->next_due, ft_external_next_due());
	if (ft_child_unsettled())
		tick->next_due = Min(tick->next_due, tick->now);
	ft_installation_still_own();
}

/*
 * What the scheduler does with itself after a tick, as a function of what it
 * knows.
 *
 * It sleeps until the next work is due, but looks once in a while as long as
 * there is unfinished work; what is far off, like the end of a retention, does
 * not count as such.  Work that was due and could not be done, say
 * because somebody holds a lock, is tried again soon; where executors are at
 * it, they wake when they are done.
 *
 * It leaves after a time without work, unless work is due within that time,
 * or at once when another database wants its place.
 */
FtDecision
ft_decide(const FtSituation *s)
{
	FtDecision	decision;
	TimestampTz poll = TimestampTzPlusMilliseconds(s->tick_now, s->recovery_interval);
	TimestampTz idle_until = TimestampTzPlusMilliseconds(s->idle_since, s->idle_timeout);
	TimestampTz tick_at;

	if (s->next_due > TimestampTzPlusMilliseconds(s->tick_now, SLOW_POLL_MS))
		tick_at = s->next_due;
	else if (s->next_due > s->tick_now)
		tick_at = Min(s->next_due, poll);
	else if (s->executors > 0 || s->executor_retry_at != DT_NOEND)
		tick_at = poll;
	else
		tick_at = TimestampTzPlusMilliseconds(s->tick_now,
											  ft_backoff_ms(s->stuck, STUCK_BACKOFF_MS,
															STUCK_BACKOFF_LIMIT_MS));
	tick_at = Min(tick_at, s->executor_retry_at);

	decision.tick_at = tick_at;
	decision.return_at = s->next_due > s->tick_now ?
		Min(s->next_due, s->executor_retry_at) : tick_at;
	decision.return_at = Min(decision.return_at,
							 TimestampTzPlusMilliseconds(s->now, SLOW_POLL_MS));

	if (s->place_wanted)
		decision.leave =
			decision.return_at > TimestampTzPlusMilliseconds(s->now, PLACE_KEPT_MS);
	else
		decision.leave = s->executors == 0 && s->now >= idle_until &&
			decision.return_at > TimestampTzPlusMilliseconds(s->now, s->idle_timeout);

	decision.wake_at = s->now >= idle_until ? tick_at : Min(tick_at, idle_until);
	return decision;
}

/* Write down what a recovery pass did and how long it took. */
void
ft_record_pass(TimestampTz started_at, int64 duration, const char *reason,
			   const FtRecoveryPass *pass)
{
	FtEngine	engine;

	ft_engine_enter(&engine);
	ft_run(&record_pass,
		   FT_ARGS(FT_TIME(started_at),
				   FT_VALUE(Float8GetDatum(duration / 1000000.0)),
				   FT_TEXT(reason),
				   FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch)),
				   FT_VALUE(Int64GetDatum(pass->candidates)),
				   FT_VALUE(Int64GetDatum(pass->recovered)),
				   FT_VALUE(Int64GetDatum(pass->failed)),
				   FT_VALUE(Int64GetDatum(pass->given_up))));
	ft_run(&forget_passes, FT_ARGS(FT_VALUE(Int64GetDatum(PASSES_KEPT))));
	ft_engine_leave(&engine);
}

/* Is any transaction prepared in this database? */
bool
ft_two_phase_here(void)
{
	FtEngine	engine;
	bool		result;

	ft_engine_enter(&engine);
	result = ft_run(&any_prepared, NULL) > 0;
	ft_engine_leave(&engine);
	return result;
}

/*
 * ft.scheduler_tick(now timestamptz)
 *
 * The tick of the background worker, as of the given time and in the caller's
 * transaction, with a batch of retention and without starting executors.
 */
Datum
ft_scheduler_tick(PG_FUNCTION_ARGS)
{
	FtTick		tick;
	TupleDesc	tupdesc;
	Datum		values[7];
	bool		nulls[7] = {0};
	Datum	   *owners;
	int			n = 0;
	ListCell   *cell;

	memset(&tick, 0, sizeof(tick));
	tick.now = PG_GETARG_TIMESTAMPTZ(0);
	ft_tick_recover(&tick);
	if (tick.paused_reason[0] == '\0')
		(void) ft_retention_batch(tick.now);
	ft_tick_plan(&tick);

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	owners = palloc(sizeof(Datum) * Max(1, list_length(tick.owners)));
	foreach(cell, tick.owners)
		owners[n++] = ObjectIdGetDatum(lfirst_oid(cell));

	if (tick.paused_reason[0] == '\0')
		nulls[0] = true;
	else
		values[0] = CStringGetTextDatum(tick.paused_reason);
	values[1] = Int64GetDatum(tick.pass.candidates);
	values[2] = Int64GetDatum(tick.pass.recovered);
	values[3] = Int64GetDatum(tick.pass.failed);
	values[4] = Int64GetDatum(tick.pass.given_up);
	values[5] = PointerGetDatum(construct_array(owners, n, REGROLEOID,
												sizeof(Oid), true, TYPALIGN_INT));
	values[6] = TimestampTzGetDatum(tick.next_due);
	nulls[6] = tick.next_due == DT_NOEND;

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}
