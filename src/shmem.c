/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  The extension's shared memory: one struct, one lock tranche.
 *
 * Locking: ft_shared->lock protects everything that is not marked constant.
 * It is held for a few assignments at a time: never while waiting, never
 * while reading a table, and no other lock is taken under it.  slot.c says
 * what of its part may be touched without it, and why.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "errors.h"
#include "fault_tolerance.h"
#include "shmem.h"

FtShared   *ft_shared = NULL;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static Size
shared_size(void)
{
	Size		size = MAXALIGN(sizeof(FtShared));

	size = add_size(size, ft_slots_size());
	size = add_size(size, ft_two_phase_size());
	return size;
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request_hook)
		previous_shmem_request_hook();

	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(FT_EXTENSION_NAME, 1);
}

/*
 * Create or attach.  The memory is made anew after a crash of a backend as
 * well, so that a new boot epoch tells all earlier claims apart.
 */
static void
start_shared_memory(void)
{
	bool		found;
	char	   *memory;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	ft_shared = ShmemInitStruct(FT_EXTENSION_NAME, shared_size(), &found);
	if (!found)
	{
		memset(ft_shared, 0, shared_size());
		ft_shared->lock = &(GetNamedLWLockTranche(FT_EXTENSION_NAME))->lock;
		memory = (char *) ft_shared + MAXALIGN(sizeof(FtShared));
		ft_slots_create(ft_shared, memory);
		memory += ft_slots_size();
		ft_two_phase_create(ft_shared, memory);
		if (!pg_strong_random(&ft_shared->boot_epoch, sizeof(ft_shared->boot_epoch)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate the boot epoch of fault_tolerance")));
	}
	LWLockRelease(AddinShmemInitLock);
}

void
ft_shmem_init(void)
{
	previous_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

void
ft_require_preload(const char *what)
{
	if (ft_shared != NULL)
		return;
	ereport(ERROR,
			(errcode(FT_ERRCODE_NOT_PRELOADED),
			 errmsg("%s needs fault_tolerance to be preloaded", what),
			 errdetail("It reads shared memory that is set up when the server starts."),
			 errhint("Add to postgresql.conf: shared_preload_libraries = 'fault_tolerance' (after any library already named there), and restart the server.")));
}
