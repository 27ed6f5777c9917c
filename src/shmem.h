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

typedef struct FtShared
{
	LWLock	   *lock;			/* protects all below that is not constant */
	uint64		boot_epoch;		/* constant: random, new at each start */
} FtShared;

/* NULL unless the library was preloaded */
extern PGDLLIMPORT FtShared *ft_shared;

extern void ft_shmem_init(void);

#endif							/* FT_SHMEM_H */
