/*-------------------------------------------------------------------------
 *
 * counter_ring.h
 *	  Counters sampled now and then, so that a rate can be told.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COUNTER_RING_H
#define FT_COUNTER_RING_H

#include "datatype/timestamp.h"

#define FT_RING_COUNTERS	8
#define FT_RING_SAMPLES		361 /* an hour, at one in 10 s */

typedef struct FtCounters
{
	TimestampTz time;
	uint64		values[FT_RING_COUNTERS];
} FtCounters;

/* In shared memory; its owner says which lock protects it. */
typedef struct FtCounterRing
{
	int			next;			/* where the next sample goes */
	int			used;			/* how many there are */
	FtCounters	samples[FT_RING_SAMPLES];
} FtCounterRing;

extern void ft_counter_ring_add(FtCounterRing *ring, const FtCounters *counters);
extern bool ft_counter_ring_since(const FtCounterRing *ring, TimestampTz since,
								  FtCounters *counters);

#endif							/* FT_COUNTER_RING_H */
