/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  Queues whose steps are limited, or paused: what users say of them.
 *
 * A queue is shared by all owners who name it.  Its limits are for what it
 * stands for, a service or a disk that all of them use, so they are set for
 * all at once, and by who was granted that; no owner can hold up another.  A
 * queue that nobody has said anything of has no limits.
 *
 * The table is read directly, not by SPI, by every claim.  As long as nothing
 * is limited it has no page.  It is read by a snapshot of its own, so that a
 * change is known as soon as it is committed, in whatever isolation level the
 * reader is.
 *
 * Locking: the lock of the queue, which is an object lock of the table; then
 * its row.  Who claims takes that lock first as well, and no row before it,
 * and waits for no longer than a claim takes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "engine.h"
#include "errors.h"
#include "fault_tolerance.h"
#include "orchestration/execution.h"
#include "orchestration/queue.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(ft_set_queue);
PG_FUNCTION_INFO_V1(ft_pause_queue);
PG_FUNCTION_INFO_V1(ft_resume_queue);
PG_FUNCTION_INFO_V1(ft_reset_queue);

#define QUEUE_LIMITS	"queue_limits"

/* How long a claim waits for another one of the same queue. */
#define LOCK_TRIES		50
#define LOCK_TRY_US		1000

/* Bounds of a period, in microseconds. */
#define PERIOD_MIN		(10 * INT64CONST(1000))
#define PERIOD_MAX		(366 * USECS_PER_DAY)

#define CHANGED \
	"changed_by = excluded.changed_by, changed_at = excluded.changed_at"

FT_STATEMENT(set_limits,
			 "INSERT INTO ft.queue_limits"
			 " (queue, max_running, max_running_per_owner, rate_limit, rate_period)"
			 " VALUES ($1, $2, $3, $4, $5)"
			 " ON CONFLICT (queue) DO UPDATE"
			 "    SET max_running = excluded.max_running,"
			 "        max_running_per_owner = excluded.max_running_per_owner,"
			 "        rate_limit = excluded.rate_limit, rate_period = excluded.rate_period, " CHANGED,
			 TEXTOID, INT4OID, INT4OID, INT4OID, INTERVALOID);
FT_STATEMENT(set_paused,
			 "INSERT INTO ft.queue_limits (queue, paused) VALUES ($1, true)"
			 " ON CONFLICT (queue) DO UPDATE SET paused = true, " CHANGED,
			 TEXTOID);
FT_STATEMENT(set_resumed,
			 "UPDATE ft.queue_limits SET paused = false, changed_by = session_user,"
			 "       changed_at = clock_timestamp()"
			 " WHERE queue = $1 AND paused",
			 TEXTOID);

/* What limits nothing need not stand there. */
FT_STATEMENT(remove_unlimited,
			 "DELETE FROM ft.queue_limits"
			 " WHERE queue = $1 AND NOT paused"
			 "   AND num_nonnulls(max_running, max_running_per_owner, rate_limit) = 0",
			 TEXTOID);
FT_STATEMENT(remove_limits,
			 "DELETE FROM ft.queue_limits WHERE queue = $1",
			 TEXTOID);
FT_STATEMENT(remove_starts,
			 "DELETE FROM ft.queue_starts WHERE queue = $1",
			 TEXTOID);

static Oid
limits_relation(void)
{
	Oid			namespace = get_namespace_oid(FT_SCHEMA_NAME, true);

	return OidIsValid(namespace) ? get_relname_relid(QUEUE_LIMITS, namespace) : InvalidOid;
}

/* Months have 30 days here. */
static int64
microseconds(const Interval *interval)
{
	double		length = (double) interval->time + (double) interval->day * USECS_PER_DAY +
		(double) interval->month * DAYS_PER_MONTH * USECS_PER_DAY;

	/* the fields of an infinite one would overflow */
	return (int64) Max(Min(length, 2.0 * PERIOD_MAX), 0.0);
}

static int
integer_column(HeapTuple tuple, int attribute, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attribute, desc, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static FtQueue *
read_queue(HeapTuple tuple, TupleDesc desc)
{
	FtQueue    *queue = palloc0(sizeof(FtQueue));
	bool		isnull;

	queue->name = TextDatumGetCString(heap_getattr(tuple, 1, desc, &isnull));
	queue->max_running = integer_column(tuple, 2, desc);
	queue->max_running_per_owner = integer_column(tuple, 3, desc);
	queue->rate_limit = integer_column(tuple, 4, desc);
	queue->rate_period = microseconds(DatumGetIntervalP(heap_getattr(tuple, 5, desc, &isnull)));
	queue->paused = DatumGetBool(heap_getattr(tuple, 6, desc, &isnull));
	return queue;
}

List *
ft_queues_read(void)
{
	Oid			relid = limits_relation();
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *queues = NIL;

	if (!OidIsValid(relid))
		return NIL;				/* the objects are those of an older version */
	relation = table_open(relid, AccessShareLock);
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		queues = lappend(queues, read_queue(tuple, RelationGetDescr(relation)));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return queues;
}

FtQueue *
ft_queue_find(List *queues, const char *name)
{
	ListCell   *cell;

	foreach(cell, queues)
	{
		FtQueue    *queue = lfirst(cell);

		if (strcmp(queue->name, name) == 0)
			return queue;
	}
	return NULL;
}

FtQueue *
ft_queue_read(const char *name)
{
	return ft_queue_find(ft_queues_read(), name);
}

/* Of two queues that have the same hash, one waits for the other for nothing. */
static void
set_lock_tag(LOCKTAG *tag, const char *name)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, limits_relation(),
					   string_hash(name, strlen(name) + 1), 0);
}

bool
ft_queue_try_lock(const FtQueue *queue)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, queue->name);
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_TRY_US);
	}
	return false;
}

void
ft_queue_unlock(const FtQueue *queue)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, queue->name);
	(void) LockRelease(&tag, ExclusiveLock, false);
}

/*
 * Begin a change: who claims does so before it or after it.  Returns what was
 * said of the queue before, or NULL.
 */
static FtQueue *
begin_change(const char *name)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, name);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	return ft_queue_read(name);
}

static char *
name_argument(FunctionCallInfo fcinfo)
{
	char	   *name;

	ft_require_argument(PG_ARGISNULL(0), "queue");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ft_require_name(name, "queue");
	return name;
}

static FtArg
limit_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		return FT_NULL;
	if (PG_GETARG_INT32(n) < 1)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must be at least 1", name),
				 errdetail("With %d no step of the queue could ever be started.", PG_GETARG_INT32(n)),
				 errhint("Pass null for no limit; to start nothing for a while, call ft.pause_queue().")));
	return FT_VALUE(PG_GETARG_DATUM(n));
}

static int64
period_argument(FunctionCallInfo fcinfo, int n)
{
	int64		period;

	ft_require_argument(PG_ARGISNULL(n), "rate_period");
	period = microseconds(PG_GETARG_INTERVAL_P(n));
	if (period < PERIOD_MIN || period > PERIOD_MAX)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("rate_period must be between 10 milliseconds and 366 days"),
				 errdetail("Within any period of this length no more than rate_limit steps are started."),
				 errhint("Pass, say, '1 second', '1 minute' or '1 day'.")));
	return period;
}

/*
 * ft.set_queue(queue text, max_running integer, max_running_per_owner integer,
 * rate_limit integer, rate_period interval) returns void
 */
Datum
ft_set_queue(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	FtArg		max_running = limit_argument(fcinfo, 1, "max_running");
	FtArg		per_owner = limit_argument(fcinfo, 2, "max_running_per_owner");
	FtArg		rate_limit = limit_argument(fcinfo, 3, "rate_limit");
	int64		period = period_argument(fcinfo, 4);
	FtQueue    *before;
	FtEngine	engine;

	ft_engine_enter(&engine);
	before = begin_change(name);
	ft_run(&set_limits,
		   FT_ARGS(FT_TEXT(name), max_running, per_owner, rate_limit, FT_VALUE(PG_GETARG_DATUM(4))));
	if (rate_limit.isnull)
		ft_run(&remove_starts, FT_ARGS(FT_TEXT(name)));
	else if (before != NULL && before->rate_limit > 0 && before->rate_period != period)
		ft_queue_rebase_starts(before, period);
	ft_run(&remove_unlimited, FT_ARGS(FT_TEXT(name)));
	ft_engine_leave(&engine);
	ft_wake_worker_at_commit();
	PG_RETURN_VOID();
}

/* ft.pause_queue(queue text) returns void */
Datum
ft_pause_queue(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	FtEngine	engine;

	ft_engine_enter(&engine);
	(void) begin_change(name);
	ft_run(&set_paused, FT_ARGS(FT_TEXT(name)));
	ft_engine_leave(&engine);
	PG_RETURN_VOID();
}

/* ft.resume_queue(queue text) returns void */
Datum
ft_resume_queue(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	FtEngine	engine;

	ft_engine_enter(&engine);
	(void) begin_change(name);
	if (ft_run(&set_resumed, FT_ARGS(FT_TEXT(name))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("queue \"%s\" is not paused", name),
				 errdetail("Its steps are started, within its limits if it has any."),
				 errhint("See all: SELECT * FROM ft.queues;")));
	ft_run(&remove_unlimited, FT_ARGS(FT_TEXT(name)));
	ft_engine_leave(&engine);
	ft_wake_worker_at_commit();
	PG_RETURN_VOID();
}

/* ft.reset_queue(queue text) returns void */
Datum
ft_reset_queue(PG_FUNCTION_ARGS)
{
	char	   *name = name_argument(fcinfo);
	FtEngine	engine;

	ft_engine_enter(&engine);
	(void) begin_change(name);
	ft_run(&remove_starts, FT_ARGS(FT_TEXT(name)));
	if (ft_run(&remove_limits, FT_ARGS(FT_TEXT(name))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
				 errmsg("queue \"%s\" has no limits", name),
				 errdetail("Only what ft.set_queue() or ft.pause_queue() has said of a queue can be taken back."),
				 errhint("See them: SELECT * FROM ft.limited_queues();")));
	ft_engine_leave(&engine);
	ft_wake_worker_at_commit();
	PG_RETURN_VOID();
}
