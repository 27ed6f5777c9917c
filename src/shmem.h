/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The extension's shared memory: what all of it has in common, and the
 *	  parts that subjects have of their own.
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
	TimestampTz started_at;		/* constant: when this memory was made */
	bool		unclean;		/* constant: after anything but a shutdown */

	pg_atomic_uint64 roles_generation;	/* from 1; roles were renamed or
										 * dropped */
	FtLauncher	launcher;
	uint64		last_worker_id; /* the id given to a worker last */
	uint64		suspect_worker; /* that of the one that runs suspects, if it
								 * is still there */
	int			max_databases;	/* constant: length of databases */
	int			max_executors;	/* constant: length of executors */
	FtDatabaseSlot *databases;	/* constant: the array itself is not */
	FtExecutorSlot *executors;	/* constant: the array itself is not */
	int			max_prepared;	/* constant: length of prepared */
	FtTwoPhase *prepared;		/* constant: the array itself is not */
} FtShared;

/* NULL unless the library was preloaded */
extern PGDLLIMPORT FtShared *ft_shared;

/*
 * A part of shared memory, which one subject has for itself.
 *
 * size() is asked when the server starts, after its settings are known, and
 * has to answer the same each time.  create() finds the memory zeroed, and as
 * many locks as were asked for, next to one another; it runs again after each
 * crash of a backend.  What address points to is set in every process, before
 * create() is called; it stays NULL where the library was not preloaded.
 */
typedef struct FtShmemPart
{
	const char *name;			/* as in pg_shmem_allocations, behind the
								 * extension's */
	Size		(*size) (void);
	int			locks;
	void		(*create) (void *memory, LWLockPadded *locks);
	void	  **address;
} FtShmemPart;

/* To be called from _PG_init() only, while the library is being preloaded. */
extern void ft_shmem_register(const FtShmemPart *part);

extern void ft_shmem_init(void);

#endif							/* FT_SHMEM_H */
