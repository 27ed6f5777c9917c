/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Slots in shared memory: what is known of each database that may have
 *	  work, and of each background worker.
 *
 * Locking: all of it is under ft_shared->lock; wake.c tells of the exceptions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "recode.h"
#include "shmem.h"

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
