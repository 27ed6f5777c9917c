/*-------------------------------------------------------------------------
 *
 * memory.h
 *	  Memory of the server's processes, and how it grows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_MEMORY_H
#define FT_MEMORY_H

#include "datatype/timestamp.h"

/* What the kernel says of one process, in bytes; FT_UNKNOWN where it does not. */
typedef struct FtProcessMemory
{
	int64		resident;		/* in memory, shared memory it touched
								 * included */
	int64		swapped;
	int64		private;		/* its own, in memory or swapped out */
} FtProcessMemory;

/* False if the process is gone, or the kernel shows no such figures. */
extern bool ft_process_memory(int pid, FtProcessMemory *memory);

extern void ft_memory_init(void);
extern void ft_memory_sample(TimestampTz now);

#endif							/* FT_MEMORY_H */
