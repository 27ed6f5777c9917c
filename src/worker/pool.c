/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The executors that a scheduler starts, within the limits of all
 *	  databases.
 *
 * One owner of one database has one executor, which works off all that is due
 * for that owner, and gets further ones, one at a time, only while those it has
 * are busy and something is due: an idle one is woken instead.  A scheduler
 * that finds no place says so in its slot and is woken when an executor leaves.
 *
 * Who has no work makes place: for an owner without an executor at once, if it
 * has had its place for a while, and else after a moment; for one that could
 * use a further one after a longer one.  Who has work makes place for the former
 * only.
 *
 * What is due for an owner may not be there to be done: somebody has the
 * execution's row locked, for as long as he likes.  An executor that found
 * nothing makes its owner rest for a while, or one would be started after the
 * other.  Those that are there are woken all the same.
 *
 * Locking: ft_shared->lock.  A slot belongs to whoever assigned it until the
 * worker has attached to it, and to the worker from then on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shmem.h"
#include "wake.h"
#include "worker/pool.h"
#include "worker/worker.h"

/* Executors that leave wake those that wait for a place; this is the net. */
#define NO_PLACE_RETRY_MS	5000

/*
 * Whoever has been without work for so long is not waited with for more when
 * the executors of others are too few: starting one anew costs more than a
 * short wait.
 */
#define IDLE_KEPT_MS		1000

/*
 * The same for one that has not had its place for FT_PLACE_KEPT_MS, where an
 * owner has none at all: else owners whose steps come one by one would have a
 * process started for each of them.
 */
#define IDLE_MOMENT_MS		200

/* A step that has taken so long may take much longer. */
#define LONG_STEP_MS		2000

/* This scheduler's, one for each executor slot. */
static BackgroundWorkerHandle **handles = NULL;

/* Whom an executor was started for last. */
static Oid	last_owner = InvalidOid;

void
ft_pool_init(void)
{
	handles = MemoryContextAllocZero(TopMemoryContext,
									 sizeof(*handles) * ft_shared->max_executors);
}

static void
free_executor(FtExecutorSlot *executor)
{
	memset(executor, 0, sizeof(FtExecutorSlot));
}

/*
 * Assign a free slot to an owner; -1 if there is none, or no place for a
 * worker.  The caller holds the lock.
 */
static int
assign_executor(Oid dboid, Oid owner, FtWorkerOrder *order)
{
	int			index = -1;

	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (!OidIsValid(ft_shared->executors[i].dboid))
		{
			index = i;
			break;
		}
	}
	if (index < 0 || !ft_worker_place_free(false))
		return -1;

	free_executor(&ft_shared->executors[index]);
	ft_shared->executors[index].dboid = dboid;
	ft_shared->executors[index].owner = owner;
	ft_worker_assign(&ft_shared->executors[index].process);

	memset(order, 0, sizeof(FtWorkerOrder));
	order->slot = index;
	order->dboid = dboid;
	order->owner = owner;
	order->worker_id = ft_shared->executors[index].process.worker_id;
	return index;
}

/*
 * How many executors an owner has; *busy is whether all of them are at
 * something.  The caller holds the lock.
 */
static int
executors_of(Oid dboid, Oid owner, bool *busy)
{
	int			n = 0;

	*busy = true;
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];

		if (executor->dboid != dboid || executor->owner != owner)
			continue;
		n++;
		if (executor->process.state != FT_WORKER_RUNNING)
			*busy = false;
	}
	return n;
}

/*
 * Have executors of a database that wait for work look whether they are to
 * leave.  The caller holds the lock.
 */
static void
rouse_executors(Oid dboid)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];

		if (executor->dboid == dboid &&
			executor->process.state == FT_WORKER_SLEEPING)
			SetLatch(executor->process.latch);
	}
}

/* From when on an executor without work is to leave for another owner's. */
static TimestampTz
dismissed_at(const FtExecutorSlot *executor, bool further)
{
	TimestampTz started_at = executor->process.started_at;

	if (further)
		return TimestampTzPlusMilliseconds(executor->idle_since, IDLE_KEPT_MS);
	return Min(TimestampTzPlusMilliseconds(started_at, FT_PLACE_KEPT_MS),
			   TimestampTzPlusMilliseconds(executor->idle_since, IDLE_MOMENT_MS));
}

/*
 * There is no place for somebody's executor, or for a further one of his: have
 * one without work leave, of those that may the one that has been so for
 * longest, and one at a time.  Returns when the next one may, or DT_NOEND.  The
 * caller holds the lock.
 */
static TimestampTz
dismiss_idle(bool further)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	FtExecutorSlot *longest = NULL;

	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];
		TimestampTz at;

		if (executor->process.state != FT_WORKER_SLEEPING)
			continue;
		if (executor->leave)
			return DT_NOEND;	/* who waits is woken when it has left */
		at = dismissed_at(executor, further);
		if (at > now)
			next = Min(next, at);
		else if (longest == NULL || executor->idle_since < longest->idle_since)
			longest = executor;
	}
	if (longest == NULL)
		return next;
	longest->leave = true;
	SetLatch(longest->process.latch);
	return DT_NOEND;
}

/* Start the process for a slot that was assigned. */
static bool
launch_executor(FtDatabaseSlot *slot, const FtWorkerOrder *order)
{
	int			index = order->slot;
	MemoryContext caller;
	bool		registered;

	if (handles[index] != NULL)
		pfree(handles[index]);
	handles[index] = NULL;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	registered = ft_worker_register("executor", "ft_executor_main", order,
									&handles[index]);
	MemoryContextSwitchTo(caller);

	if (!registered)
	{
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		if (ft_shared->executors[index].process.worker_id == order->worker_id)
			free_executor(&ft_shared->executors[index]);
		ft_last_error_set(&slot->error, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						  "no background worker slot was free for an executor; increase \"max_worker_processes\"");
		LWLockRelease(ft_shared->lock);
	}
	else
		last_owner = order->owner;
	return registered;
}

/*
 * Start an executor for one owner, if it has none, or also if those it has
 * are busy.  False if there was no place for it; *retry_at is when to look
 * again, if not before.
 */
static bool
start_executor(FtDatabaseSlot *slot, Oid owner, bool further, TimestampTz *retry_at)
{
	FtWorkerOrder order;
	TimestampTz dismissal;
	int			index;
	int			n;
	bool		busy;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	n = executors_of(slot->dboid, owner, &busy);
	if (n > 0 && !(further && busy))
	{
		LWLockRelease(ft_shared->lock);
		return true;
	}
	index = assign_executor(slot->dboid, owner, &order);
	if (index < 0)
	{
		/* said before the lock is released: who becomes idle then wakes us */
		slot->waits_for_executor |= n == 0;
		dismissal = dismiss_idle(n > 0);
		*retry_at = Min(*retry_at, dismissal);
	}
	LWLockRelease(ft_shared->lock);
	return index >= 0 && launch_executor(slot, &order);
}

/*
 * Have what may have taken the server down run first, by itself: as long as
 * anything of it is due or runs, executors of this database leave, and none but
 * the one that runs it is started.  Who is at something that takes long is not
 * waited for: then the rest goes on for now, as it does while another database
 * has its turn.  Returns whether suspects go first.
 */
bool
ft_pool_start_alone(FtDatabaseSlot *slot, Oid owner, TimestampTz now, TimestampTz *retry_at)
{
	FtWorkerOrder order;
	int			index = -1;
	bool		turn;
	bool		others = false;
	bool		at_it = false;

	*retry_at = DT_NOEND;
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	turn = OidIsValid(owner) && slot->executor_retry_at <= now &&
		ft_owner_rests_until(slot, owner, now) == 0;
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];
		bool		here = executor->dboid == slot->dboid;

		if (!OidIsValid(executor->dboid))
			continue;
		if (executor->process.worker_id == ft_shared->suspect_worker)
		{
			at_it = here;
			turn = turn && here;
		}
		else if (here)
		{
			others = true;
			if (executor->process.state == FT_WORKER_RUNNING &&
				TimestampDifferenceExceeds(executor->last_tick, now, LONG_STEP_MS))
				turn = false;
		}
	}
	turn = turn || at_it;
	slot->suspects_first = turn;
	if (turn && others)
		rouse_executors(slot->dboid);
	else if (turn && !at_it)
	{
		index = assign_executor(slot->dboid, owner, &order);
		if (index >= 0)
		{
			order.alone = ft_shared->executors[index].alone = true;
			ft_shared->suspect_worker = order.worker_id;
		}
		else
			*retry_at = dismiss_idle(false);
		slot->waits_for_executor = index < 0;
	}
	LWLockRelease(ft_shared->lock);

	if (index >= 0)
		(void) launch_executor(slot, &order);
	*retry_at = Min(*retry_at,
					TimestampTzPlusMilliseconds(now, others ? FT_LOOK_INTERVAL_MS : NO_PLACE_RETRY_MS));
	return turn;
}

/*
 * The owners in the order in which they are served: round and round, from the
 * one after the last that was.
 */
static List *
in_turn(List *owners)
{
	List	   *before = NIL;
	List	   *after = NIL;
	ListCell   *cell;

	foreach(cell, owners)
	{
		if (lfirst_oid(cell) > last_owner)
			after = lappend_oid(after, lfirst_oid(cell));
		else
			before = lappend_oid(before, lfirst_oid(cell));
	}
	return list_concat(after, before);
}

/*
 * Wake the executors of these owners that wait for work, and return the owners
 * who have none such and do not rest: they need one more.  *look_at is when to
 * look again.
 */
static List *
unserved(FtDatabaseSlot *slot, List *owners, TimestampTz now, TimestampTz *look_at)
{
	List	   *result = NIL;
	ListCell   *cell;

	*look_at = DT_NOEND;
	foreach(cell, owners)
	{
		Oid			owner = lfirst_oid(cell);
		bool		woken = ft_wake_waiting_executor(slot->dboid, owner);
		TimestampTz rests_until;

		LWLockAcquire(ft_shared->lock, LW_SHARED);
		rests_until = ft_owner_rests_until(slot, owner, now);
		LWLockRelease(ft_shared->lock);
		if (rests_until == 0 && !woken)
			result = lappend_oid(result, owner);
		*look_at = Min(*look_at, rests_until != 0 ? rests_until :
					   TimestampTzPlusMilliseconds(now, FT_LOOK_INTERVAL_MS));
	}
	return result;
}

/*
 * Start executors for owners with something due that nobody is at.  Returns
 * when to look again if not all of them could be served, else DT_NOEND.
 */
TimestampTz
ft_pool_start(FtDatabaseSlot *slot, List *owners, TimestampTz now)
{
	ListCell   *cell;
	TimestampTz retry_at;
	bool		waits = false;

	owners = unserved(slot, owners, now, &retry_at);
	if (owners != NIL && slot->executor_retry_at > now)
		retry_at = slot->executor_retry_at;
	else if (owners != NIL)
	{
		owners = in_turn(owners);

		/* One for each comes first. */
		foreach(cell, owners)
		{
			TimestampTz dismissal = DT_NOEND;

			if (!start_executor(slot, lfirst_oid(cell), false, &dismissal))
			{
				waits = true;
				retry_at = Min(dismissal, TimestampTzPlusMilliseconds(now, NO_PLACE_RETRY_MS));
				break;
			}
		}

		/*
		 * What all executors of its owner are too busy for gets a further
		 * one.
		 */
		foreach(cell, owners)
		{
			if (waits)
				break;
			(void) start_executor(slot, lfirst_oid(cell), true, &retry_at);
		}
	}

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot->waits_for_executor = waits;
	LWLockRelease(ft_shared->lock);
	return retry_at;
}

/* Give up executors that were registered and never appeared. */
void
ft_pool_tidy(TimestampTz now)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];
		uint64		worker_id = executor->process.worker_id;
		pid_t		pid;
		bool		stopped;

		/* Looked at without the lock: what matters is looked at again. */
		if (executor->process.state != FT_WORKER_STARTING)
			continue;
		stopped = executor->dboid == MyDatabaseId && handles[i] != NULL &&
			GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED;

		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		if (executor->process.state == FT_WORKER_STARTING &&
			executor->process.worker_id == worker_id &&
			(stopped || ft_process_lost(&executor->process, now)))
			free_executor(executor);
		LWLockRelease(ft_shared->lock);
	}
}
