/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The extension's shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SHMEM_H
#define FT_SHMEM_H

#include "storage/lwlock.h"

#include "slot.h"
#include "two_phase.h"

typedef struct FtShared
{
	LWLock	   *lock;			/* protects all below that is not constant */
	uint64		boot_epoch;		/* constant: random, new at each start */

	FtLauncher	launcher;
	uint64		last_worker_id; /* the id given to a worker last */
	int			max_databases;	/* constant: length of databases */
	int			max_executors;	/* constant: length of executors */
	FtDatabaseSlot *databases;	/* constant: the array itself is not */
	FtExecutorSlot *executors;	/* constant: the array itself is not */
	int			max_prepared;	/* constant: length of prepared */
	FtTwoPhase *prepared;		/* constant: the array itself is not */
} FtShared;

/* NULL unless the library was preloaded */
extern PGDLLIMPORT FtShared *ft_shared;

extern void ft_shmem_init(void);

#endif							/* FT_SHMEM_H */
