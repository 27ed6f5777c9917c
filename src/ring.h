/*-------------------------------------------------------------------------
 *
 * ring.h
 *	  A ring of records in shared memory that needs no lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RING_H
#define FT_RING_H

#include "port/atomics.h"

/* Head of a place in the ring; the record follows, MAXALIGNed. */
typedef struct FtRingPlace
{
	pg_atomic_uint64 changes;	/* odd while the record is being written */
	uint64		number;			/* of the record that is here; 0 for none */
} FtRingPlace;

typedef struct FtRing
{
	int			places;			/* constant; 0 for a ring that keeps nothing */
	Size		place_size;		/* constant */
	Size		record_size;	/* constant */
	pg_atomic_uint64 last;		/* number given to a record last; from 1 on */
	pg_atomic_uint64 forgotten; /* records up to this number are not shown */
	pg_atomic_uint64 skipped;	/* records that found their place being
								 * written */
} FtRing;

extern Size ft_ring_size(int places, Size record_size);
extern void ft_ring_create(FtRing *ring, int places, Size record_size);

/*
 * Writing: may be done anywhere where shared memory is there.  The number of
 * the record is given in any case; NULL says that it cannot be kept.
 */
extern void *ft_ring_begin(FtRing *ring, uint64 *number);
extern void ft_ring_end(FtRing *ring, void *record, uint64 number);

/* Reading: records from oldest to newest, if still there. */
extern uint64 ft_ring_oldest(FtRing *ring);
extern uint64 ft_ring_newest(FtRing *ring);
extern bool ft_ring_read(FtRing *ring, uint64 number, void *record);

/* Show no record any more that is there now. */
extern void ft_ring_forget(FtRing *ring);

#endif							/* FT_RING_H */
