/*-------------------------------------------------------------------------
 *
 * lock_patience.h
 *	  How long a function of ours waits for locks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_LOCK_PATIENCE_H
#define FT_LOCK_PATIENCE_H

#include "datatype/timestamp.h"

/* The time that somebody gives us for several locks together. */
typedef struct FtLockPatience
{
	bool		limited;		/* else lock_timeout is the session's */
	bool		no_wait;		/* limited to nothing */
	int64		limit;			/* microseconds */
	TimestampTz deadline;
	int			guc_level;
	int			timeout_set;	/* milliseconds, 0 if not yet */
} FtLockPatience;

/* Begin with an argument; an error if it is no sensible time. */
extern void ft_patience_begin(FtLockPatience *patience, const Interval *timeout);

/* To be called before each wait: lock_timeout becomes the time that is left. */
extern void ft_patience_left(FtLockPatience *patience);

/* Put lock_timeout back; after an error the end of the transaction does. */
extern void ft_patience_end(FtLockPatience *patience);

/*
 * To be called in PG_CATCH(): if a lock was not to be had in time, raise an
 * error that names it, in place of the one that was caught; else go on with
 * that one.  what is what was to be locked.
 */
pg_noreturn extern void ft_patience_failed(const FtLockPatience *patience,
										   MemoryContext context, const char *what,
										   int64 taken);

/* As above, where a lock was asked for without waiting. */
pg_noreturn extern void ft_patience_refused(const char *what, int64 taken);

#endif							/* FT_LOCK_PATIENCE_H */
