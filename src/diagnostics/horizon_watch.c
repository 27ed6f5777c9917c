/*-------------------------------------------------------------------------
 *
 * horizon_watch.c
 *	  Since when a horizon stands where it does.
 *
 * That a table has dead rows after a vacuum does not tell whether the next one
 * could remove them: the server keeps no record of what a vacuum had to leave.
 * But it follows if the horizon has stood where it is since before that vacuum
 * began: then all that could go went, and what is dead now died after.
 *
 * So the sampler notes where the data horizon of each database is, and since
 * when.  Statistics tell when a vacuum of a table ended, not when it began; so
 * it is also noted when those that ran as the horizon came to its place have
 * ended: one that ends later has begun later.  A horizon does not move back,
 * but for feedback of a standby that comes between two looks and goes again.
 *
 * A database where nobody holds anything has the horizon of slots and standbys,
 * which stands under no database.  One that has an entry of its own keeps it
 * as long as it says something else.  When there are more than have place,
 * nothing is known of the rest, until a look finds place for all of them: then
 * what has no entry is observed anew, as somebody may have held something there
 * meanwhile.
 *
 * Locking: shared->lock, exclusive for the sampler's task, shared for a look.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "diagnostics/horizon.h"
#include "diagnostics/horizon_watch.h"
#include "diagnostics/running_vacuum.h"
#include "shmem.h"

#define MAX_STANDS 256

typedef struct Stand
{
	Oid			database;
	TransactionId horizon;
	TimestampTz since;			/* it has been there at least since then */
	TimestampTz vacuums_since;	/* see horizon_watch.h; 0 if not yet known */
} Stand;

typedef struct HorizonWatch
{
	LWLock	   *lock;			/* constant; protects all of it */
	bool		overflowed;		/* at the last look: nothing is known of a
								 * database without entry */
	int			count;			/* the first is that of no database */
	Stand		stands[MAX_STANDS];
} HorizonWatch;

static HorizonWatch *shared = NULL;

static Size
watch_size(void)
{
	return sizeof(HorizonWatch);
}

static void
watch_create(void *memory, LWLockPadded *locks)
{
	shared->lock = &locks[0].lock;
	shared->count = 1;
}

static const FtShmemPart watch_part = {
	.name = "horizon watch",
	.size = watch_size,
	.locks = 1,
	.create = watch_create,
	.address = (void **) &shared,
};

void
ft_horizon_watch_init(void)
{
	ft_shmem_register(&watch_part);
}

static Stand *
find_stand(Oid database)
{
	for (int i = 0; i < shared->count; i++)
	{
		if (shared->stands[i].database == database)
			return &shared->stands[i];
	}
	return NULL;
}

/*
 * Entries of databases that somebody holds something in; false if one of them
 * has no place.
 */
static bool
add_stands(const FtHolders *holders)
{
	for (int i = 0; i < holders->count; i++)
	{
		const FtHolder *holder = &holders->items[i];
		Stand	   *stand;

		if ((holder->kind != FT_HOLDER_BACKEND && holder->kind != FT_HOLDER_PREPARED) ||
			find_stand(holder->database) != NULL)
			continue;
		if (shared->count == MAX_STANDS)
			return false;

		/* until now it had the horizon of no database */
		stand = &shared->stands[shared->count++];
		*stand = shared->stands[0];
		if (shared->overflowed)
			stand->horizon = InvalidTransactionId;
		stand->database = holder->database;
	}
	return true;
}

static bool
all_began_after(const FtRunningVacuums *vacuums, TimestampTz time)
{
	for (int i = 0; i < vacuums->count; i++)
	{
		if (vacuums->items[i].started <= time)
			return false;
	}
	return true;
}

static void
update_stand(Stand *stand, const FtHolders *holders, const FtRunningVacuums *vacuums,
			 TimestampTz now)
{
	TransactionId horizon = ft_horizon(holders, FT_HORIZON_DATA, stand->database);

	/* the clock may have been set back */
	if (stand->horizon != horizon || stand->since > now || stand->vacuums_since > now)
	{
		stand->horizon = horizon;
		stand->since = now;
		stand->vacuums_since = 0;
	}
	else if (stand->vacuums_since == 0 && all_began_after(vacuums, stand->since))
		stand->vacuums_since = now;
}

/*
 * Note whether all have place.  What stands under no database tells of each
 * that has no entry, and does so again from the first look on that has all.
 */
static void
set_overflowed(bool overflowed, TimestampTz now)
{
	if (shared->overflowed && !overflowed)
	{
		shared->stands[0].since = now;
		shared->stands[0].vacuums_since = 0;
	}
	shared->overflowed = overflowed;
}

/* Does the entry say no more than that of no database? */
static bool
is_superfluous(const Stand *stand)
{
	const Stand *none = &shared->stands[0];

	return stand->horizon == none->horizon && stand->since <= none->since;
}

void
ft_horizon_watch_tick(TimestampTz now)
{
	FtHolders  *holders = ft_holders();
	FtRunningVacuums *vacuums = ft_running_vacuums();
	int			kept = 1;
	bool		all_there;

	/* after both looks: a vacuum may have ended between them */
	now = GetCurrentTimestamp();

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	all_there = add_stands(holders);
	for (int i = 0; i < shared->count; i++)
		update_stand(&shared->stands[i], holders, vacuums, now);
	set_overflowed(!all_there, now);

	for (int i = 1; i < shared->count; i++)
	{
		if (!is_superfluous(&shared->stands[i]))
			shared->stands[kept++] = shared->stands[i];
	}
	shared->count = kept;
	LWLockRelease(shared->lock);
}

TimestampTz
ft_horizon_watch_vacuums(Oid database, TransactionId horizon)
{
	TimestampTz result = 0;
	const Stand *stand;

	if (shared == NULL || !TransactionIdIsValid(horizon))
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	stand = find_stand(database);
	if (stand == NULL && !shared->overflowed)
		stand = &shared->stands[0];
	if (stand != NULL && stand->horizon == horizon)
		result = stand->vacuums_since;
	LWLockRelease(shared->lock);
	return result;
}
