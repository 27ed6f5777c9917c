/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Slots in shared memory: what is known of each database that may have
 *	  work, and of each background worker; waking workers and keeping them
 *	  out of a database.
 *
 * Locking: all of it is under ft_shared->lock, with two exceptions.  A slot's
 * pending flag may be set under a shared lock, so that commits which make
 * work due do not queue for one another.  And a latch may be set after the
 * lock was released: it lies in the PGPROC array, so that the worst that can
 * happen is that a process is woken for nothing.
 *
 * A worker says that work is pending, and then sets the latch; a scheduler
 * resets its latch, takes the flag, and then looks.  A scheduler that leaves
 * checks the flag and gives up its latch under one exclusive lock, so that
 * who comes later finds no latch there and wakes the launcher instead.
 *
 * A process is signalled only with the lock held: workers take themselves out
 * of their slot under it before they end, so the pid in a slot is theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "recode.h"
#include "shmem.h"

/* A command waits so long for workers to leave a database, in ms. */
#define QUIESCE_ASK_FOR		200
#define QUIESCE_WAIT_FOR	5000
#define QUIESCE_POLL		10

/* How long an owner rests for whom nothing was to be done. */
#define REST_MS				100
#define REST_LIMIT_MS		5000

uint64		ft_my_worker_id = 0;

static Size
databases_size(void)
{
	return MAXALIGN(mul_size(ft_max_databases, sizeof(FtDatabaseSlot)));
}

Size
ft_slots_size(void)
{
	return add_size(databases_size(),
					MAXALIGN(mul_size(ft_max_executors, sizeof(FtExecutorSlot))));
}

/* Lay the slots out in memory that was zeroed. */
void
ft_slots_create(FtShared *shared, char *memory)
{
	shared->max_databases = ft_max_databases;
	shared->max_executors = ft_max_executors;
	shared->databases = (FtDatabaseSlot *) memory;
	shared->executors = (FtExecutorSlot *) (memory + databases_size());

	shared->launcher.rescan = true;
	pg_atomic_init_u64(&shared->roles_generation, 1);
	for (int i = 0; i < shared->max_databases; i++)
	{
		pg_atomic_init_u32(&shared->databases[i].pending, 0);
		pg_atomic_init_u32(&shared->databases[i].place_awaited, 0);
	}
}

FtDatabaseSlot *
ft_slot_find(Oid dboid)
{
	Assert(LWLockHeldByMe(ft_shared->lock));

	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		if (ft_shared->databases[i].dboid == dboid)
			return &ft_shared->databases[i];
	}
	return NULL;
}

/* As above, but takes a free slot if there is none; NULL if all are taken. */
FtDatabaseSlot *
ft_slot_find_or_create(Oid dboid)
{
	FtDatabaseSlot *slot = ft_slot_find(dboid);

	Assert(LWLockHeldByMeInMode(ft_shared->lock, LW_EXCLUSIVE));

	if (slot == NULL && (slot = ft_slot_find(InvalidOid)) != NULL)
	{
		ft_slot_free(slot);
		slot->dboid = dboid;
	}
	return slot;
}

/*
 * Forget a database.  Its scheduler, if there is one, notices that the slot
 * is no longer its own.
 */
void
ft_slot_free(FtDatabaseSlot *slot)
{
	Assert(LWLockHeldByMeInMode(ft_shared->lock, LW_EXCLUSIVE));

	memset(slot, 0, sizeof(FtDatabaseSlot));
	pg_atomic_init_u32(&slot->pending, 0);
	pg_atomic_init_u32(&slot->place_awaited, 0);
	slot->next_due = DT_NOEND;
	slot->prepared_unknown = true;
}

int
ft_slot_executors(Oid dboid)
{
	int			n = 0;

	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (ft_shared->executors[i].dboid == dboid)
			n++;
	}
	return n;
}

/* How many places for dynamic workers the extension has taken. */
int
ft_dynamic_workers(int *schedulers)
{
	int			executors = 0;

	*schedulers = 0;
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		if (ft_shared->databases[i].scheduler.state != FT_WORKER_NONE)
			(*schedulers)++;
	}
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (ft_shared->executors[i].process.state != FT_WORKER_NONE)
			executors++;
	}
	return *schedulers + executors;
}

/*
 * Was a worker registered that never appeared?  Whoever registered it finds
 * out earlier; this is for the case that this process is gone as well.
 */
bool
ft_process_lost(const FtProcess *process, TimestampTz now)
{
	return process->state == FT_WORKER_STARTING &&
		TimestampDifferenceExceeds(process->started_at, now,
								   FT_WORKER_START_TIMEOUT_MS);
}

void
ft_process_clear(FtProcess *process)
{
	memset(process, 0, sizeof(FtProcess));
}

/* An owner's entry, or NULL. */
static FtRestingOwner *
find_rest(FtDatabaseSlot *slot, Oid owner)
{
	for (int i = 0; i < FT_RESTING_OWNERS; i++)
	{
		if (slot->resting[i].owner == owner)
			return &slot->resting[i];
	}
	return NULL;
}

/*
 * An executor of this owner found nothing to do.  Where there is no entry left
 * the owner who has rested most gives his.
 */
void
ft_owner_rest(FtDatabaseSlot *slot, Oid owner, TimestampTz now)
{
	FtRestingOwner *rest = find_rest(slot, owner);

	if (rest == NULL && (rest = find_rest(slot, InvalidOid)) == NULL)
	{
		rest = &slot->resting[0];
		for (int i = 1; i < FT_RESTING_OWNERS; i++)
		{
			if (slot->resting[i].until < rest->until)
				rest = &slot->resting[i];
		}
	}
	if (rest->owner != owner ||
		TimestampDifferenceExceeds(rest->until, now, REST_LIMIT_MS))
		rest->times = 0;
	rest->owner = owner;
	rest->times++;
	rest->until = TimestampTzPlusMilliseconds(now, ft_backoff_ms(rest->times, REST_MS,
																 REST_LIMIT_MS));
}

void
ft_owner_wake(FtDatabaseSlot *slot, Oid owner)
{
	FtRestingOwner *rest = find_rest(slot, owner);

	if (rest != NULL)
		memset(rest, 0, sizeof(FtRestingOwner));
}

/* 0 if he does not rest, nor may, because the clock was set back. */
TimestampTz
ft_owner_rests_until(FtDatabaseSlot *slot, Oid owner, TimestampTz now)
{
	FtRestingOwner *rest = find_rest(slot, owner);

	if (rest == NULL || rest->until <= now ||
		TimestampDifferenceExceeds(now, rest->until, REST_LIMIT_MS + 1))
		return 0;
	return rest->until;
}

void
ft_last_error_set(FtLastError *error, int sqlstate, const char *message)
{
	error->at = GetCurrentTimestamp();
	error->sqlstate = sqlstate;
	error->encoding = GetDatabaseEncoding();
	(void) ft_copy_clipped(error->message, sizeof(error->message), message);
}

/* Delay after so many failures in a row: doubles from first up to limit. */
int64
ft_backoff_ms(int failures, int64 first, int64 limit)
{
	int64		delay = first;

	for (int i = 1; i < failures && delay < limit; i++)
		delay *= 2;
	return Min(delay, limit);
}

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
 * more.
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

bool
ft_executor_alive(uint64 worker_id)
{
	bool		alive = false;

	if (ft_shared == NULL || worker_id == 0)
		return false;
	LWLockAcquire(ft_shared->lock, LW_SHARED);
	for (int i = 0; i < ft_shared->max_executors && !alive; i++)
		alive = (ft_shared->executors[i].process.worker_id == worker_id &&
				 ft_shared->executors[i].dboid == MyDatabaseId);
	LWLockRelease(ft_shared->lock);
	return alive;
}

/*
 * A worker of this database that is gone: was it perhaps a command that had
 * all of them leave, rather than what it was at?
 */
bool
ft_worker_was_dismissed(uint64 worker_id)
{
	FtDatabaseSlot *slot;
	bool		dismissed;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(MyDatabaseId);
	dismissed = slot != NULL && worker_id <= slot->dismissed_below;
	LWLockRelease(ft_shared->lock);
	return dismissed;
}

/*
 * From now on no worker is started in the database, and those that are there
 * are asked to leave.  False if nothing had to be done because all slots are
 * taken by others, in which case the database has no worker either.
 */
bool
ft_quiesce_begin(Oid dboid)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	if (slot == NULL && (slot = ft_slot_find_or_create(dboid)) != NULL)
		slot->only_quiesced = true;
	if (slot != NULL)
		slot->quiesced++;
	LWLockRelease(ft_shared->lock);
	return slot != NULL;
}

/*
 * Ask, or with terminate tell, the workers of a database to leave it.  Returns
 * how many there are.  Workers that were registered but are not there yet need
 * no waiting for: they see that they are not wanted before they connect.
 */
static int
quiesce_workers(Oid dboid, bool terminate)
{
	FtDatabaseSlot *slot;
	int			n = 0;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	for (int i = -1; i < ft_shared->max_executors; i++)
	{
		FtProcess  *process;

		if (i < 0)
			process = slot ? &slot->scheduler : NULL;
		else
			process = ft_shared->executors[i].dboid == dboid ?
				&ft_shared->executors[i].process : NULL;
		if (process == NULL || process->pid == 0 || process->pid == MyProcPid)
			continue;
		n++;
		if (terminate)
			kill(process->pid, SIGTERM);
		else
			SetLatch(process->latch);
	}
	LWLockRelease(ft_shared->lock);
	return n;
}

/*
 * Wait, bounded, until the workers of a database have left it.  They are told
 * by SIGTERM if asking does not help, which rolls back what they do.
 */
void
ft_quiesce_wait(Oid dboid)
{
	int			n = quiesce_workers(dboid, false);

	for (int waited = 0; n > 0 && waited < QUIESCE_WAIT_FOR; waited += QUIESCE_POLL)
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 QUIESCE_POLL, ft_wait_event("FaultToleranceQuiesce"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		/* Signal once in a while only: each one is logged. */
		n = quiesce_workers(dboid, waited % 1000 == QUIESCE_ASK_FOR);
	}
}

/*
 * Let workers into the database again; or forget it, because it is gone.
 * Called at the end of a transaction, where nothing may fail.
 */
void
ft_quiesce_end(Oid dboid, bool forget)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	if (slot != NULL)
	{
		slot->quiesced--;
		slot->dismissed_below = ft_shared->last_worker_id;
		if (slot->quiesced <= 0 && slot->scheduler.state == FT_WORKER_NONE &&
			(forget || slot->only_quiesced))
			ft_slot_free(slot);
		else
		{
			/* a scheduler is to see what the command has changed */
			pg_atomic_write_u32(&slot->pending, 1);
		}
	}
	LWLockRelease(ft_shared->lock);
	ft_wake_launcher(forget);
}
