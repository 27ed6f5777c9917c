/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Waking background workers for work that has become due, or may be done
 *	  from now on.
 *
 * Locking: ft_shared->lock, with two exceptions.  A slot's pending flag may be
 * set under a shared lock, so that commits which make work due do not queue
 * for one another.  And a latch may be set after the lock was released: it
 * lies in the PGPROC array, so that the worst that can happen is that a
 * process is woken for nothing.
 *
 * A worker says that work is pending, and then sets the latch; a scheduler
 * resets its latch, takes the flag, and then looks.  A scheduler that leaves
 * checks the flag and gives up its latch under one exclusive lock, so that
 * who comes later finds no latch there and wakes the launcher instead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "shmem.h"
#include "wake.h"

/*
 * Work was made due in a database that has the extension.  Called right after
 * a commit, where nothing may fail.
 */
void
ft_wake_database(Oid dboid)
{
	FtDatabaseSlot *slot;
	Latch	   *latch;
	bool		known;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	known = (slot != NULL && slot->extension == FT_EXTENSION_PRESENT && slot->verified);
	if (!known)
	{
		LWLockRelease(ft_shared->lock);
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		slot = ft_slot_find_or_create(dboid);

		/* It may be a template, in which no worker is to be. */
		if (slot == NULL || !slot->verified)
			ft_shared->launcher.rescan = true;
		if (slot != NULL)
		{
			slot->extension = FT_EXTENSION_PRESENT;
			slot->only_quiesced = false;
		}
		else
			ft_shared->launcher.look_again = true;
	}
	if (slot != NULL)
		pg_atomic_write_u32(&slot->pending, 1);
	latch = (slot != NULL && slot->scheduler.latch != NULL) ?
		slot->scheduler.latch : ft_shared->launcher.process.latch;
	LWLockRelease(ft_shared->lock);

	if (latch != NULL)
		SetLatch(latch);
}

/* As above, where what is due for one owner may be done from now on. */
void
ft_wake_owner(Oid dboid, Oid owner)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	if (slot != NULL)
		ft_owner_wake(slot, owner);
	LWLockRelease(ft_shared->lock);
	ft_wake_database(dboid);
}

/*
 * An executor of this owner that waits for work; NULL if there is none.  From
 * now on it counts as at work, so that the next step wakes another.  The
 * caller holds the lock.
 */
static Latch *
take_waiting_executor(Oid dboid, Oid owner)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];

		if (executor->dboid == dboid && executor->owner == owner &&
			executor->process.state == FT_WORKER_SLEEPING)
		{
			executor->process.state = FT_WORKER_RUNNING;
			return executor->process.latch;
		}
	}
	return NULL;
}

/* Wake an executor of this owner that waits for work; false if none does. */
bool
ft_wake_waiting_executor(Oid dboid, Oid owner)
{
	Latch	   *latch;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	latch = take_waiting_executor(dboid, owner);
	LWLockRelease(ft_shared->lock);

	if (latch != NULL)
		SetLatch(latch);
	return latch != NULL;
}

/* So long after a tick steps that become due need no further one, in ms. */
static int
look_interval(const FtDatabaseSlot *slot)
{
	return Max(slot->look_interval, FT_LOOK_INTERVAL_MS);
}

/* When what came right after the last look is looked at; DT_NOEND: nothing did. */
TimestampTz
ft_look_at(const FtDatabaseSlot *slot, TimestampTz now)
{
	if (!slot->look)
		return DT_NOEND;
	/* or now, where the clock was set back */
	return slot->last_tick > now ? now :
		TimestampTzPlusMilliseconds(slot->last_tick, look_interval(slot));
}

/*
 * Have the scheduler look for what is due and nobody is at: at once, unless it
 * has looked just now; then a moment later.
 */
static void
look_soon(Oid dboid)
{
	FtDatabaseSlot *slot;
	Latch	   *latch = NULL;
	bool		known = false;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	if (slot != NULL && slot->scheduler.latch != NULL)
	{
		known = true;
		if (!slot->look)
			latch = slot->scheduler.latch;
		slot->look = true;
	}
	LWLockRelease(ft_shared->lock);

	if (latch != NULL)
		SetLatch(latch);
	else if (!known)
		ft_wake_database(dboid);
}

/*
 * Wake up to so many executors of an owner that wait for work; returns how many
 * were.  *any is whether he has one at all, *room whether he might have one
 * more: in a place that is free, or of somebody who has nothing to do.
 */
static int64
wake_waiting_executors(Oid dboid, Oid owner, int64 wanted, bool *any, bool *room)
{
	int64		woken = 0;

	*any = *room = false;
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	while (woken < wanted)
	{
		Latch	   *latch = take_waiting_executor(dboid, owner);

		if (latch == NULL)
			break;
		SetLatch(latch);
		woken++;
	}
	for (int i = 0; i < ft_shared->max_executors && woken < wanted; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];

		if (!OidIsValid(executor->dboid))
			*room = true;
		else if (executor->dboid == dboid && executor->owner == owner)
			*any = true;
		else if (executor->process.state == FT_WORKER_SLEEPING)
			*room = true;
	}
	LWLockRelease(ft_shared->lock);
	return woken;
}

/*
 * Steps of an owner have become due.  Executors of his that wait for work are
 * woken.  Those that are busy look for more by themselves before they wait;
 * the scheduler comes only into it where there is none at all, or where there
 * may be room for one more.
 */
void
ft_wake_executor(Oid dboid, Oid owner, int64 steps)
{
	bool		any;
	bool		room;

	if (wake_waiting_executors(dboid, owner, steps, &any, &room) >= steps)
		return;
	if (!any)
		ft_wake_owner(dboid, owner);
	else if (room)
		look_soon(dboid);
}

/*
 * Somebody has found a queue full, and is about to look once more: who leaves a
 * place in one from now on has the scheduler look.
 */
void
ft_place_await(Oid dboid)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	if (slot != NULL)
		(void) pg_atomic_exchange_u32(&slot->place_awaited, 1);
	LWLockRelease(ft_shared->lock);
}

/*
 * A place in a queue was left, by what has just been committed for this owner.
 * It may be for him, or for others.
 */
void
ft_place_left(Oid dboid, Oid owner)
{
	FtDatabaseSlot *slot;
	bool		awaited;
	bool		any;
	bool		room;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	awaited = slot != NULL && pg_atomic_exchange_u32(&slot->place_awaited, 0) != 0;
	LWLockRelease(ft_shared->lock);
	if (!awaited)
		return;
	(void) wake_waiting_executors(dboid, owner, 1, &any, &room);
	look_soon(dboid);
}

/* Is it known that the scheduler looks for work between now and then? */
bool
ft_scheduler_looks_by(Oid dboid, TimestampTz look_at, TimestampTz now)
{
	FtDatabaseSlot *slot;
	bool		result;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	result = slot != NULL && slot->next_due > now && slot->next_due <= look_at;
	LWLockRelease(ft_shared->lock);
	return result;
}

void
ft_wake_launcher(bool rescan)
{
	Latch	   *latch;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (rescan)
		ft_shared->launcher.rescan = true;
	latch = ft_shared->launcher.process.latch;
	LWLockRelease(ft_shared->lock);

	if (latch != NULL)
		SetLatch(latch);
}

/*
 * Have the workers of one database, or of all with InvalidOid, leave and come
 * back: they read the settings of their database and role only at their start.
 */
void
ft_restart_schedulers(Oid dboid)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];

		if (!OidIsValid(slot->dboid) ||
			(OidIsValid(dboid) && slot->dboid != dboid))
			continue;
		pg_atomic_write_u32(&slot->pending, 1);
		if (slot->scheduler.state != FT_WORKER_NONE)
			slot->leave = true;
		if (slot->scheduler.latch != NULL)
			SetLatch(slot->scheduler.latch);
	}
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];

		if (!OidIsValid(executor->dboid) ||
			(OidIsValid(dboid) && executor->dboid != dboid))
			continue;
		executor->leave = true;
		if (executor->process.latch != NULL)
			SetLatch(executor->process.latch);
	}
	LWLockRelease(ft_shared->lock);
	ft_wake_launcher(false);
}

/*
 * Roles were renamed or dropped: before anything more is claimed for them,
 * the schedulers see whose executions that concerns.  A database without a
 * scheduler has one before it has an executor.
 */
void
ft_roles_changed(void)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	pg_atomic_fetch_add_u64(&ft_shared->roles_generation, 1);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];

		if (!OidIsValid(slot->dboid) || slot->scheduler.latch == NULL)
			continue;
		pg_atomic_write_u32(&slot->pending, 1);
		SetLatch(slot->scheduler.latch);
	}
	LWLockRelease(ft_shared->lock);
}

/* The present generation, and whether owners here were held against it. */
uint64
ft_roles_generation(bool *checked)
{
	FtDatabaseSlot *slot;
	uint64		generation;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	generation = pg_atomic_read_u64(&ft_shared->roles_generation);
	slot = ft_slot_find(MyDatabaseId);
	*checked = slot != NULL && slot->roles_checked == generation;
	LWLockRelease(ft_shared->lock);
	return generation;
}

/* The same, for executors, which ask often; others look for themselves. */
bool
ft_owners_settled(void)
{
	static uint64 known = 0;
	bool		checked;
	uint64		generation;

	if (ft_my_worker_id == 0 || pg_atomic_read_u64(&ft_shared->roles_generation) == known)
		return true;
	generation = ft_roles_generation(&checked);
	if (checked)
		known = generation;
	return checked;
}

/* A place for an executor is free again. */
void
ft_wake_schedulers_waiting_for_executor(void)
{
	bool		launcher = false;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];

		if (!slot->waits_for_executor)
			continue;
		pg_atomic_write_u32(&slot->pending, 1);
		if (slot->scheduler.latch != NULL)
			SetLatch(slot->scheduler.latch);
		else
			launcher = true;
	}
	LWLockRelease(ft_shared->lock);
	if (launcher)
		ft_wake_launcher(false);
}
