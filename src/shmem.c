/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  The extension's shared memory: parts of one subject each, and one
 *	  tranche of locks for all of them.
 *
 * The first part is FtShared, which is common to workers and orchestration.
 *
 * Locking: ft_shared->lock protects everything in FtShared that is not marked
 * constant.  It is held for a few assignments at a time: never while waiting,
 * never while reading a table, and no other lock is taken under it.  slot.c
 * says what of its part may be touched without it, and why.  How the other
 * parts are protected is said where they are; no lock of one part is taken
 * while that of another is held.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "port.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "fault_tolerance.h"
#include "shmem.h"

#define MAX_PARTS 32

FtShared   *ft_shared = NULL;

static const FtShmemPart *parts[MAX_PARTS];
static int	part_count = 0;

static shmem_request_hook_type previous_shmem_request_hook = NULL;
static shmem_startup_hook_type previous_shmem_startup_hook = NULL;

static Size
common_size(void)
{
	Size		size = MAXALIGN(sizeof(FtShared));

	size = add_size(size, ft_slots_size());
	size = add_size(size, ft_two_phase_size());
	return size;
}

/*
 * Was the server ended by anything but a shutdown?  The control file says so,
 * until start-up has got further than this.  A standby was never shut down as
 * what it is to become.
 */
static bool
stopped_uncleanly(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		result = !crc_ok || control->state != DB_SHUTDOWNED;

	pfree(control);
	return result;
}

/*
 * The memory is made anew after a crash of a backend as well, so that a new
 * boot epoch tells all earlier claims apart.
 */
static void
common_create(void *memory, LWLockPadded *locks)
{
	char	   *rest = (char *) memory + MAXALIGN(sizeof(FtShared));

	ft_shared->lock = &locks[0].lock;
	ft_slots_create(ft_shared, rest);
	rest += ft_slots_size();
	ft_two_phase_create(ft_shared, rest);
	ft_shared->started_at = GetCurrentTimestamp();
	ft_shared->unclean = stopped_uncleanly();
	if (!pg_strong_random(&ft_shared->boot_epoch, sizeof(ft_shared->boot_epoch)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate the boot epoch of fault_tolerance")));
}

static const FtShmemPart common = {
	.name = "common",
	.size = common_size,
	.locks = 1,
	.create = common_create,
	.address = (void **) &ft_shared,
};

void
ft_shmem_register(const FtShmemPart *part)
{
	if (part_count == MAX_PARTS)
		elog(ERROR, "too many parts of shared memory");
	parts[part_count++] = part;
}

static void
request_shared_memory(void)
{
	int			locks = 0;

	if (previous_shmem_request_hook)
		previous_shmem_request_hook();

	for (int i = 0; i < part_count; i++)
	{
		RequestAddinShmemSpace(CACHELINEALIGN(parts[i]->size()));
		locks += parts[i]->locks;
	}
	RequestNamedLWLockTranche(FT_EXTENSION_NAME, locks);
}

/*
 * Create or attach.  A child that was not forked attaches, and does not know
 * what locks were requested: that is asked for only by who creates.
 */
static void
start_shared_memory(void)
{
	int			first_lock = 0;

	if (previous_shmem_startup_hook)
		previous_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < part_count; i++)
	{
		Size		size = parts[i]->size();
		char		name[NAMEDATALEN];
		bool		found;

		snprintf(name, sizeof(name), "%s %s", FT_EXTENSION_NAME, parts[i]->name);
		*parts[i]->address = ShmemInitStruct(name, size, &found);
		if (!found)
		{
			memset(*parts[i]->address, 0, size);
			parts[i]->create(*parts[i]->address,
							 GetNamedLWLockTranche(FT_EXTENSION_NAME) + first_lock);
		}
		first_lock += parts[i]->locks;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* To be called before any subject registers its part. */
void
ft_shmem_init(void)
{
	ft_shmem_register(&common);

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
