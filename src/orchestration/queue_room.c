/*-------------------------------------------------------------------------
 *
 * queue_room.c
 *	  How many steps of a queue with limits may be started, and who is told
 *	  when there is room again.
 *
 * What runs is counted each time, by a small index of what runs: so a limit
 * cannot drift, and what a lost executor was at is free again when it has been
 * given back.  Who counts holds the lock of the queue until what he starts is
 * committed; steps that end meanwhile need no lock, since they only make room.
 *
 * The rate is that of a sliding window: within any period no more steps are
 * started than the limit says.  Starts are counted by parts of the period,
 * each with the time of its last start, so that a window never holds more, and
 * what is kept does not grow with the limit.  A part has its place in a ring,
 * which is longer than the period: when a place comes up again, what was there
 * is over.
 *
 * Where there is not room for all, owners take turns, by the clock: so no
 * state is kept for it, and an owner who cannot make use of his turn keeps the
 * others waiting no longer than that.
 *
 * Who finds a queue full says so in the slot of the database, and counts once
 * more.  Who leaves a place looks there after his commit, and has the scheduler
 * find out who can go on; unless he takes the place again himself.
 *
 * Locking: the lock of the queue, then its rows of ft.queue_starts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "engine.h"
#include "guc.h"
#include "orchestration/queue.h"
#include "shmem.h"
#include "transaction.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(ft_limited_queues);

#define COLUMNS	9

/* Parts of a period, and places for them. */
#define PARTS			50
#define PLACES			64
#define PLACE_REBASED	(-1)

/* How long an owner's turn is, and with how much room there is enough for all. */
#define TURN_US			INT64CONST(1000000)
#define ENOUGH_ROOM		64

/* Steps that are claimed together begin within about so long. */
#define TOGETHER_US		INT64CONST(10000)

#define UNLIMITED		PG_INT32_MAX

FT_STATEMENT(count_running,
			 "SELECT count(*), count(*) FILTER (WHERE owner_oid = $2)"
			 "  FROM (SELECT owner_oid FROM ft.orchestration_tasks"
			 "         WHERE status = 'RUNNING' AND worker_id IS NOT NULL AND queue = $1"
			 "        UNION ALL"
			 "        SELECT owner_oid FROM ft.orchestration_tasks"
			 "         WHERE status = 'RUNNING' AND leased_until IS NOT NULL AND queue = $1) AS running",
			 TEXTOID, OIDOID);
FT_STATEMENT(read_starts,
			 "SELECT started_at, starts FROM ft.queue_starts"
			 " WHERE queue = $1 AND started_at > $2 AND started_at <= $3"
			 " ORDER BY started_at",
			 TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(add_starts,
			 "INSERT INTO ft.queue_starts AS part (queue, place, started_at, starts)"
			 " VALUES ($1, $2, $3, $4)"
			 " ON CONFLICT (queue, place) DO UPDATE"
			 "    SET starts = excluded.starts"
			 "               + CASE WHEN part.started_at > $5 AND part.started_at <= $6"
			 "                      THEN part.starts ELSE 0 END,"
			 "        started_at = excluded.started_at",
			 TEXTOID, INT4OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID);
FT_STATEMENT(remove_starts,
			 "DELETE FROM ft.queue_starts WHERE queue = $1",
			 TEXTOID);

#define DUE "due_at IS NOT NULL AND execution_mode <> 'external' AND suspicion IS NULL"
#define RANK	"(- priority::integer)"

/* Owners with something due in a queue; see step_lane.c for lanes. */
FT_STATEMENT(waiting_owners,
			 "WITH RECURSIVE owner AS ("
			 " (SELECT owner_oid FROM ft.orchestration_tasks WHERE " DUE
			 "   ORDER BY owner_oid LIMIT 1)"
			 " UNION ALL"
			 " SELECT next.owner_oid FROM owner, LATERAL"
			 "        (SELECT owner_oid FROM ft.orchestration_tasks"
			 "          WHERE " DUE " AND owner_oid > owner.owner_oid"
			 "          ORDER BY owner_oid LIMIT 1) AS next),"
			 " lane AS ("
			 " SELECT owner.owner_oid, head.rank, head.due_at FROM owner, LATERAL"
			 "        (SELECT " RANK " AS rank, due_at FROM ft.orchestration_tasks"
			 "          WHERE " DUE " AND owner_oid = owner.owner_oid AND queue = $1"
			 "          ORDER BY " RANK ", due_at LIMIT 1) AS head"
			 " UNION ALL"
			 " SELECT lane.owner_oid, next.rank, next.due_at FROM lane, LATERAL"
			 "        (SELECT " RANK " AS rank, due_at FROM ft.orchestration_tasks"
			 "          WHERE " DUE " AND owner_oid = lane.owner_oid AND queue = $1"
			 "            AND " RANK " > lane.rank"
			 "          ORDER BY " RANK ", due_at LIMIT 1) AS next) "
			 "SELECT owner_oid FROM lane WHERE due_at <= $2",
			 TEXTOID, TIMESTAMPTZOID);

/* What a queue has room for, and if that is nothing, from when on. */
typedef struct Room
{
	int			places;
	TimestampTz opens_at;
} Room;

/* The queue that this process holds places in, by its hash; 0: none. */
static uint32 held_queue = 0;

static const Room closed = {0, DT_NOEND};

static Room
least(Room a, Room b)
{
	if (a.places == 0 && b.places == 0)
		return a.opens_at > b.opens_at ? a : b;
	return a.places <= b.places ? a : b;
}

static Room
count_free(const FtQueue *queue, Oid owner)
{
	Room		room = {UNLIMITED, DT_NOBEGIN};
	int64		running;
	int64		of_owner;

	ft_run_latest_by_index(&count_running,
						   FT_ARGS(FT_TEXT(queue->name), FT_VALUE(ObjectIdGetDatum(owner))));
	running = ft_column_int64(0, 1);
	of_owner = ft_column_int64(0, 2);
	if (queue->max_running > 0)
		room.places = Min(room.places, Max(queue->max_running - running, 0));
	if (queue->max_running_per_owner > 0)
		room.places = Min(room.places, Max(queue->max_running_per_owner - of_owner, 0));
	return room.places > 0 ? room : closed;
}

/*
 * The same, where who finds no place is to be woken: he says so first, lest a
 * place be left in between.
 */
static Room
places_free(const FtQueue *queue, Oid owner, bool in_server)
{
	Room		room = {UNLIMITED, DT_NOBEGIN};

	if (queue->max_running == 0 && queue->max_running_per_owner == 0)
		return room;
	room = count_free(queue, owner);
	if (room.places == 0 && in_server && ft_shared != NULL)
	{
		ft_place_await(MyDatabaseId);
		room = count_free(queue, owner);
	}
	return room;
}

/*
 * What was started within the period that ends now.  What lies in the future
 * was written before the clock was set back: that it was long ago cannot be
 * known, so it counts for a period.
 */
static uint64
starts_since(const FtQueue *queue, int64 period, TimestampTz now)
{
	return ft_run_latest(&read_starts,
						 FT_ARGS(FT_TEXT(queue->name), FT_TIME(now - period), FT_TIME(now + period)));
}

static Room
rate_free(const FtQueue *queue, TimestampTz now, int64 *started)
{
	uint64		n;
	int64		over;
	Room		room = {UNLIMITED, DT_NOBEGIN};

	*started = 0;
	if (queue->rate_limit == 0)
		return room;
	n = starts_since(queue, queue->rate_period, now);
	for (uint64 row = 0; row < n; row++)
		*started += ft_column_int64(row, 2);

	over = *started - queue->rate_limit;
	room.places = over < 0 ? (int) -over : 0;
	/* there is room when so many of the first are out of the period */
	for (uint64 row = 0; row < n && over >= 0; row++)
	{
		over -= ft_column_int64(row, 2);
		room.opens_at = ft_column_time(row, 1) + queue->rate_period;
	}
	return room;
}

/*
 * How much of it is for this owner: all if it is his turn, or nobody else
 * waits; else what is left when each of the others has one.
 */
static Room
share(Room room, const FtQueue *queue, Oid owner, TimestampTz now)
{
	uint64		n = ft_run_by_index(&waiting_owners, FT_ARGS(FT_TEXT(queue->name), FT_TIME(now)));
	int64		turn = now / TURN_US;
	List	   *owners = NIL;
	int			others;

	for (uint64 row = 0; row < n; row++)
		owners = list_append_unique_oid(owners, ft_column_oid(row, 1));
	others = list_length(owners) - (list_member_oid(owners, owner) ? 1 : 0);
	if (others > 0 && list_nth_oid(owners, turn % list_length(owners)) != owner)
	{
		room.places -= Min(others, room.places);
		room.opens_at = (turn + 1) * TURN_US;
	}
	return room;
}

static Room
room_in(const FtQueue *queue, Oid owner, bool in_server, TimestampTz now)
{
	Room		room;
	int64		started;

	if (queue->paused)
		return closed;
	room = least(places_free(queue, owner, in_server), rate_free(queue, now, &started));
	if (in_server && room.places > 0 && room.places < ENOUGH_ROOM)
		room = share(room, queue, owner, now);
	return room;
}

TimestampTz
ft_queue_opens_at(const FtQueue *queue, Oid owner, TimestampTz now)
{
	Room		room = room_in(queue, owner, true, now);

	return room.places > 0 ? now : room.opens_at;
}

int
ft_queue_enter(FtQueue *queue, Oid owner, bool in_server,
			   TimestampTz *now, TimestampTz *look_at)
{
	FtQueue    *latest;
	FtQueue		unlimited = {.name = queue->name};
	Room		room;

	*look_at = DT_NOBEGIN;
	if (!ft_queue_try_lock(queue))
		return 0;

	/* what was said of it while the lock was waited for */
	latest = ft_queue_read(queue->name);
	*queue = latest != NULL ? *latest : unlimited;
	*now = GetCurrentTimestamp();
	room = room_in(queue, owner, in_server, *now);
	*look_at = room.opens_at;
	if (room.places == 0)
		ft_queue_unlock(queue);
	return room.places;
}

void
ft_queue_leave(const FtQueue *queue, int started, int room, TimestampTz now)
{
	int64		part = queue->rate_period / PARTS;
	int64		in_period;
	Room		rate;

	if (started == 0)
	{
		ft_queue_unlock(queue);
		return;
	}
	if (queue->rate_limit == 0)
		return;
	/* a start that a crash makes forgotten may be known outside */
	ForceSyncCommit();
	ft_run(&add_starts,
		   FT_ARGS(FT_TEXT(queue->name), FT_VALUE(Int32GetDatum((int) (now / part % PLACES))),
				   FT_TIME(now), FT_VALUE(Int64GetDatum(started)),
				   FT_TIME(now - queue->rate_period), FT_TIME(now + queue->rate_period)));
	if (started < room)
		return;
	/* who comes next may be another one */
	rate = rate_free(queue, now, &in_period);
	if (rate.places == 0)
		ft_queue_look_at(rate.opens_at, now);
}

bool
ft_queue_is_wide(const FtQueue *queue, int room, int several)
{
	return room / ft_max_executors >= several &&
		(queue->rate_limit == 0 ||
		 queue->rate_limit * TOGETHER_US >= several * queue->rate_period);
}

void
ft_queue_rebase_starts(const FtQueue *queue, int64 period)
{
	TimestampTz now = GetCurrentTimestamp();
	uint64		n = starts_since(queue, period, now);
	TimestampTz last = now;
	int64		starts = 0;

	for (uint64 row = 0; row < n; row++)
	{
		last = ft_column_time(row, 1);
		starts += ft_column_int64(row, 2);
	}
	ft_run(&remove_starts, FT_ARGS(FT_TEXT(queue->name)));
	if (starts > 0)
		ft_run(&add_starts,
			   FT_ARGS(FT_TEXT(queue->name), FT_VALUE(Int32GetDatum(PLACE_REBASED)),
					   FT_TIME(last), FT_VALUE(Int64GetDatum(starts)), FT_TIME(last), FT_TIME(last)));
}

void
ft_queue_moved_on(const FtQueue *queue)
{
	uint32		next = 0;

	/* 0 stands for none */
	if (queue != NULL)
		next = string_hash(queue->name, strlen(queue->name) + 1) | 1;
	if (held_queue != next)
		ft_queue_moves_on();
	held_queue = next;
}

void
ft_queue_moves_on(void)
{
	if (held_queue != 0)
		ft_place_left_at_commit();
}

void
ft_queue_look_at(TimestampTz look_at, TimestampTz now)
{
	if (TIMESTAMP_NOT_FINITE(look_at) || ft_shared == NULL)
		return;
	if (!ft_scheduler_looks_by(MyDatabaseId, look_at, now))
		ft_wake_worker_at_commit();
}

static void
put_limit(Datum *value, bool *isnull, int limit)
{
	*isnull = limit == 0;
	*value = Int32GetDatum(limit);
}

static void
put_queue(ReturnSetInfo *rsinfo, const FtQueue *queue, TimestampTz now)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};
	Interval	period = {.time = queue->rate_period};
	int64		started;
	Room		rate = rate_free(queue, now, &started);

	values[0] = CStringGetTextDatum(queue->name);
	values[1] = BoolGetDatum(queue->paused);
	put_limit(&values[2], &nulls[2], queue->max_running);
	put_limit(&values[3], &nulls[3], queue->max_running_per_owner);
	put_limit(&values[4], &nulls[4], queue->rate_limit);
	values[5] = IntervalPGetDatum(&period);
	values[7] = Int64GetDatum(started);
	values[8] = TimestampTzGetDatum(rate.opens_at);
	nulls[5] = nulls[7] = nulls[4];
	nulls[8] = nulls[4] || rate.places > 0;
	ft_run_latest_by_index(&count_running,
						   FT_ARGS(FT_TEXT(queue->name), FT_VALUE(ObjectIdGetDatum(InvalidOid))));
	values[6] = Int64GetDatum(ft_column_int64(0, 1));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ft.limited_queues() returns setof record */
Datum
ft_limited_queues(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;
	FtEngine	engine;

	InitMaterializedSRF(fcinfo, 0);
	ft_engine_enter(&engine);
	foreach(cell, ft_queues_read())
		put_queue(rsinfo, lfirst(cell), GetCurrentTimestamp());
	ft_engine_leave(&engine);
	return (Datum) 0;
}
