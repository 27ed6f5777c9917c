/*-------------------------------------------------------------------------
 *
 * xid_clock.c
 *	  When a transaction id was given out, and how fast they are used up.
 *
 * The server keeps no time of ids (track_commit_timestamp does, for each
 * commit, and is off as a rule).  So the sampler notes from time to time which
 * id is next, in rings of growing coarseness: all of its notes for about two
 * hours, one a minute for a day, one in ten minutes for four weeks, one in two
 * hours for a year.  Between two notes the time is interpolated.  With the
 * server's memory the notes are lost at a restart.
 *
 * Locking: shared->lock, exclusive for the sampler's note, shared for a look,
 * each for a few assignments or a binary search.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/multixact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/xid_clock.h"
#include "errors.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_xid_rate);

#define NOTES			720
#define HOUR			(60 * INT64CONST(60) * USECS_PER_SEC)
#define DAY				(24 * HOUR)

/* A rate over less than this says nothing of the time to come. */
#define LEAST_WINDOW	(30 * USECS_PER_SEC)

typedef struct Note
{
	TimestampTz time;
	uint64		next_xid;
	MultiXactId next_multixact;
} Note;

typedef struct Ring
{
	int			first;			/* place of the oldest note */
	int			count;
	Note		notes[FLEXIBLE_ARRAY_MEMBER];
} Ring;

/* From fine to coarse; the next ring holds a superset in time. */
static const struct
{
	int64		spacing;		/* microseconds between notes, at least */
	int			size;
}			tiers[] =

{
	{0, NOTES},
	{60 * USECS_PER_SEC, 1440},
	{600 * USECS_PER_SEC, 4032},
	{2 * HOUR, 4380},
};

#define TIERS ((int) lengthof(tiers))

typedef struct XidClock
{
	LWLock	   *lock;			/* constant; protects all rings */
	Size		offsets[TIERS]; /* constant: of each ring */
} XidClock;

static XidClock *shared = NULL;

static Size
ring_size(int tier)
{
	return MAXALIGN(offsetof(Ring, notes) + tiers[tier].size * sizeof(Note));
}

static Size
clock_size(void)
{
	Size		size = MAXALIGN(sizeof(XidClock));

	for (int i = 0; i < TIERS; i++)
		size = add_size(size, ring_size(i));
	return size;
}

static void
clock_create(void *memory, LWLockPadded *locks)
{
	Size		offset = MAXALIGN(sizeof(XidClock));

	shared->lock = &locks[0].lock;
	for (int i = 0; i < TIERS; i++)
	{
		shared->offsets[i] = offset;
		offset += ring_size(i);
	}
}

static const FtShmemPart clock_part = {
	.name = "xid clock",
	.size = clock_size,
	.locks = 1,
	.create = clock_create,
	.address = (void **) &shared,
};

void
ft_xid_clock_init(void)
{
	ft_shmem_register(&clock_part);
}

static Ring *
ring_of(int tier)
{
	return (Ring *) ((char *) shared + shared->offsets[tier]);
}

static Note *
note_at(Ring *ring, int tier, int i)
{
	return &ring->notes[(ring->first + i) % tiers[tier].size];
}

/*
 * Add a note where the last one is old enough.  Notes that are not before it
 * go: the clock of the machine was set back, and times have to rise.
 */
static void
add_note(int tier, const Note *note)
{
	Ring	   *ring = ring_of(tier);

	while (ring->count > 0 && note_at(ring, tier, ring->count - 1)->time >= note->time)
		ring->count--;
	if (ring->count > 0 &&
		note->time - note_at(ring, tier, ring->count - 1)->time < tiers[tier].spacing)
		return;
	if (ring->count == tiers[tier].size)
	{
		ring->first = (ring->first + 1) % tiers[tier].size;
		ring->count--;
	}
	ring->count++;
	*note_at(ring, tier, ring->count - 1) = *note;
}

static Note
note_now(TimestampTz now)
{
	Note		note;

	note.time = now;
	note.next_xid = U64FromFullTransactionId(ReadNextFullTransactionId());
	note.next_multixact = ReadNextMultiXactId();
	return note;
}

void
ft_xid_clock_tick(TimestampTz now)
{
	Note		note = note_now(now);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < TIERS; i++)
		add_note(i, &note);
	LWLockRelease(shared->lock);
}

/* The last note with a next id not past xid; -1 if there is none. */
static int
search_xid(Ring *ring, int tier, uint64 xid)
{
	int			low = 0;
	int			high = ring->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (note_at(ring, tier, middle)->next_xid <= xid)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

/* The last note not after a time; -1 if there is none. */
static int
search_time(Ring *ring, int tier, TimestampTz time)
{
	int			low = 0;
	int			high = ring->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (note_at(ring, tier, middle)->time <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

/*
 * The notes on both sides of an id, in the finest ring that reaches back to
 * it.  *after stays as it is where there is none.  False if none reaches back;
 * *before is then the oldest of all, its time 0 if there is none at all.
 */
static bool
notes_around(uint64 xid, Note *before, Note *after)
{
	bool		found = false;

	memset(before, 0, sizeof(Note));
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int tier = 0; tier < TIERS && !found; tier++)
	{
		Ring	   *ring = ring_of(tier);
		int			i;

		if (ring->count == 0)
			continue;
		i = search_xid(ring, tier, xid);
		if (i >= 0)
		{
			*before = *note_at(ring, tier, i);
			if (i + 1 < ring->count)
				*after = *note_at(ring, tier, i + 1);
			found = true;
		}
		else if (before->time == 0 || note_at(ring, tier, 0)->time < before->time)
			*before = *note_at(ring, tier, 0);
	}
	LWLockRelease(shared->lock);
	return found;
}

bool
ft_xid_clock_time(TransactionId xid, FullTransactionId next, TimestampTz now,
				  TimestampTz *since)
{
	uint64		next_xid = U64FromFullTransactionId(next);
	int64		age = (int32) (XidFromFullTransactionId(next) - xid);
	uint64		full;
	Note		before;
	Note		after;

	*since = 0;
	if (shared == NULL || !TransactionIdIsNormal(xid) || age > (int64) next_xid)
		return false;
	if (age <= 0)
	{
		*since = now;
		return true;
	}
	full = next_xid - age;
	after.time = now;
	after.next_xid = next_xid;
	if (!notes_around(full, &before, &after))
	{
		*since = before.time;
		return false;
	}
	*since = before.time;
	if (after.next_xid > before.next_xid && after.time > before.time)
		*since += (TimestampTz) ((double) (full - before.next_xid) /
								 (double) (after.next_xid - before.next_xid) *
								 (double) (after.time - before.time));
	return true;
}

/* The note that a look back over a window starts from. */
static bool
note_before(TimestampTz time, Note *note)
{
	bool		found = false;

	memset(note, 0, sizeof(Note));
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int tier = 0; tier < TIERS && !found; tier++)
	{
		Ring	   *ring = ring_of(tier);
		int			i;

		if (ring->count == 0)
			continue;
		i = search_time(ring, tier, time);
		found = i >= 0;
		if (found || note->time == 0 || note_at(ring, tier, 0)->time < note->time)
			*note = *note_at(ring, tier, Max(i, 0));
	}
	LWLockRelease(shared->lock);
	return note->time != 0;
}

bool
ft_xid_clock_rate(int64 window, TimestampTz now, FtXidRate *rate)
{
	Note		then;
	Note		current = note_now(now);
	double		seconds;

	if (shared == NULL || !note_before(now - window, &then) || then.time >= now ||
		then.next_xid > current.next_xid)
		return false;
	seconds = (double) (now - then.time) / USECS_PER_SEC;
	rate->from = then.time;
	rate->until = now;
	rate->xids = (int64) (current.next_xid - then.next_xid);
	rate->multixacts = (uint32) (current.next_multixact - then.next_multixact);
	rate->xids_per_second = (double) rate->xids / seconds;
	rate->multixacts_per_second = (double) rate->multixacts / seconds;
	return true;
}

double
ft_xid_clock_seconds(int64 xids, bool multixacts, TimestampTz now)
{
	static const int64 windows[] = {HOUR, DAY};
	double		most = 0;
	bool		known = false;

	for (int i = 0; i < (int) lengthof(windows); i++)
	{
		FtXidRate	rate;

		if (!ft_xid_clock_rate(windows[i], now, &rate) ||
			rate.until - rate.from < LEAST_WINDOW)
			continue;
		known = true;
		most = Max(most, multixacts ? rate.multixacts_per_second : rate.xids_per_second);
	}
	return known && most > 0 ? Max(xids, 0) / most : -1;
}

/* Microseconds of an interval, its months taken as 30 days. */
static int64
interval_length(const Interval *interval)
{
	double		length = (double) interval->time +
		((double) interval->day + 30.0 * interval->month) * USECS_PER_DAY;

	if (length <= 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("\"window\" must be longer than nothing"),
				 errhint("Give a stretch of time up to now, as '1 hour'.")));
	return (int64) Min(length, 1000.0 * 365 * USECS_PER_DAY);
}

/*
 * ft.xid_rate("window" interval)
 *
 * One row; without anything but what is next if there is no note before now.
 */
Datum
ft_xid_rate(PG_FUNCTION_ARGS)
{
	int64		window = interval_length(PG_GETARG_INTERVAL_P(0));
	TimestampTz now = GetCurrentTimestamp();
	TupleDesc	descriptor;
	Datum		values[7] = {0};
	bool		nulls[7] = {true, true, true, true, true, false, false};
	FtXidRate	rate;
	Note		current;

	ft_require_preload("ft.xid_rate()");
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (ft_xid_clock_rate(window, now, &rate))
	{
		memset(nulls, false, sizeof(nulls));
		values[0] = Float8GetDatum(rate.xids_per_second);
		values[1] = Float8GetDatum(rate.multixacts_per_second);
		values[2] = Int64GetDatum(rate.xids);
		values[3] = Int64GetDatum(rate.multixacts);
		values[4] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(rate.until),
										TimestampTzGetDatum(rate.from));
	}
	current = note_now(now);
	values[5] = UInt64GetDatum(current.next_xid);
	values[6] = TransactionIdGetDatum(current.next_multixact);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}
