/*-------------------------------------------------------------------------
 *
 * xid_clock.h
 *	  When a transaction id was given out, and how fast they are used up.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_XID_CLOCK_H
#define FT_XID_CLOCK_H

#include "access/transam.h"
#include "datatype/timestamp.h"

typedef struct FtXidRate
{
	double		xids_per_second;
	double		multixacts_per_second;
	int64		xids;
	int64		multixacts;
	TimestampTz from;			/* what the rates are of */
	TimestampTz until;
} FtXidRate;

/* The sampler's task. */
extern void ft_xid_clock_tick(TimestampTz now);

/*
 * When an id was given out, by what the sampler has noted; now, if it is still
 * to be.  False if that was before its first note, or if nothing is noted;
 * *since is then the time of that note, so the id is at least so old, or 0.
 */
extern bool ft_xid_clock_time(TransactionId xid, FullTransactionId next,
							  TimestampTz now, TimestampTz *since);

/*
 * What is used up a second, over so many microseconds up to now or, if the
 * clock does not reach as far, over what it has.  False if it has nothing.
 */
extern bool ft_xid_clock_rate(int64 window, TimestampTz now, FtXidRate *rate);

/*
 * Seconds until so many are used up, at the greatest rate of the last hour and
 * the last day.  Negative if no rate is known.
 */
extern double ft_xid_clock_seconds(int64 xids, bool multixacts, TimestampTz now);

extern void ft_xid_clock_init(void);

#endif							/* FT_XID_CLOCK_H */
