/*-------------------------------------------------------------------------
 *
 * two_phase.c
 *	  Prepared transactions that made work due for a worker, or changed roles.
 *
 * COMMIT PREPARED calls no transaction callback for the transaction that it
 * commits, so the utility hook has to wake the worker.  It does so only for
 * transactions that made work due, or where two-phase commit is the daily
 * business of a database its scheduler would never rest.  Their names are
 * kept as hashes: two names with one hash cost a look for nothing.
 *
 * What is not in this table is covered by a flag of the database's slot,
 * which makes every COMMIT PREPARED wake: transactions prepared before the
 * server started, and those without a name that we know: a logical replication
 * worker prepares them and ends them without a command.  It does the latter in
 * a transaction that writes nothing itself, by which we tell it.  The scheduler
 * takes the flag back when it sees that nothing is prepared.
 *
 * Locking: ft_shared->lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "common/hashfn.h"

#include "two_phase.h"
#include "shmem.h"

Size
ft_two_phase_size(void)
{
	return MAXALIGN(mul_size(max_prepared_xacts, sizeof(FtTwoPhase)));
}

/* Lay the table out in memory that was zeroed. */
void
ft_two_phase_create(FtShared *shared, char *memory)
{
	shared->max_prepared = max_prepared_xacts;
	shared->prepared = (FtTwoPhase *) memory;
}

uint64
ft_two_phase_key(const char *gid)
{
	return hash_bytes_extended((const unsigned char *) gid, strlen(gid), 0) | 1;
}

/*
 * A transaction that made work due, or changed roles, was prepared.  Nothing
 * may fail here.
 */
void
ft_two_phase_note(Oid dboid, uint64 key, bool work, bool roles)
{
	FtDatabaseSlot *slot;
	bool		noted = false;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ft_shared->max_prepared && key != 0 && !noted; i++)
	{
		FtTwoPhase *prepared = &ft_shared->prepared[i];

		if (prepared->key == 0)
		{
			prepared->dboid = dboid;
			prepared->key = key;
			prepared->work = work;
			prepared->roles = roles;
			noted = true;
		}
	}
	/* roles are changed in databases without the extension too */
	slot = work ? ft_slot_find_or_create(dboid) : NULL;
	if (slot != NULL)
	{
		slot->extension = FT_EXTENSION_PRESENT;
		slot->only_quiesced = false;
		if (!noted)
			slot->prepared_unknown = true;
	}
	LWLockRelease(ft_shared->lock);
}

/*
 * A prepared transaction of this name is at its end: may it have made work
 * due, and may it have changed roles?
 */
bool
ft_two_phase_take(Oid dboid, uint64 key, bool *roles)
{
	FtDatabaseSlot *slot;
	bool		result;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	result = slot != NULL && slot->extension == FT_EXTENSION_PRESENT &&
		slot->prepared_unknown;
	*roles = result;
	for (int i = 0; i < ft_shared->max_prepared; i++)
	{
		FtTwoPhase *prepared = &ft_shared->prepared[i];

		if (prepared->key == key && prepared->dboid == dboid)
		{
			prepared->key = 0;
			result = result || prepared->work;
			*roles = *roles || prepared->roles;
			break;
		}
	}
	LWLockRelease(ft_shared->lock);
	return result;
}

/* May a prepared transaction that is in no table here have made work due? */
bool
ft_two_phase_unknown(Oid dboid)
{
	FtDatabaseSlot *slot;
	bool		result;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	result = slot != NULL && slot->extension == FT_EXTENSION_PRESENT &&
		slot->prepared_unknown;
	LWLockRelease(ft_shared->lock);
	return result;
}
