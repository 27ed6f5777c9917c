/*-------------------------------------------------------------------------
 *
 * ring.c
 *	  A ring of records in shared memory that needs no lock.
 *
 * Records are numbered; record n has place n modulo the number of places, and
 * takes it from the one that was there before.  Each place has a counter of
 * changes, which is odd while a record is being written, as st_changecount in
 * backend_status.h; unlike there, writers may be many, so it is made odd by a
 * compare-and-swap, and who finds it odd leaves its record out.  That takes a
 * writer that stands still while the others go once round the whole ring.
 *
 * Locking: none.  Writing does not allocate, wait or report errors, so it can
 * be done from a hook that runs in any context; a signal handler that finds
 * its own process writing leaves its record out by the same rule.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/s_lock.h"
#include "storage/shmem.h"

#include "ring.h"

/* A record that is being written for so many looks is left out. */
#define MAX_LOOKS 1000

static FtRingPlace *
place_of(FtRing *ring, uint64 number)
{
	char	   *places = (char *) ring + MAXALIGN(sizeof(FtRing));

	return (FtRingPlace *) (places + (number % ring->places) * ring->place_size);
}

static void *
record_of(FtRingPlace *place)
{
	return (char *) place + MAXALIGN(sizeof(FtRingPlace));
}

Size
ft_ring_size(int places, Size record_size)
{
	Size		place_size = MAXALIGN(sizeof(FtRingPlace)) + MAXALIGN(record_size);

	return add_size(MAXALIGN(sizeof(FtRing)), mul_size(places, place_size));
}

/* The memory is zeroed. */
void
ft_ring_create(FtRing *ring, int places, Size record_size)
{
	ring->places = places;
	ring->record_size = record_size;
	ring->place_size = MAXALIGN(sizeof(FtRingPlace)) + MAXALIGN(record_size);
	pg_atomic_init_u64(&ring->last, 0);
	pg_atomic_init_u64(&ring->forgotten, 0);
	pg_atomic_init_u64(&ring->skipped, 0);
	for (int i = 0; i < places; i++)
		pg_atomic_init_u64(&place_of(ring, i)->changes, 0);
}

void *
ft_ring_begin(FtRing *ring, uint64 *number)
{
	FtRingPlace *place;
	uint64		changes;

	*number = pg_atomic_fetch_add_u64(&ring->last, 1) + 1;
	if (ring->places == 0)
		return NULL;

	place = place_of(ring, *number);
	changes = pg_atomic_read_u64(&place->changes);
	if (changes % 2 != 0 ||
		!pg_atomic_compare_exchange_u64(&place->changes, &changes, changes + 1))
	{
		pg_atomic_fetch_add_u64(&ring->skipped, 1);
		return NULL;
	}

	/* We were so slow that a newer record is here already. */
	if (place->number > *number)
	{
		pg_atomic_fetch_add_u64(&place->changes, 1);
		pg_atomic_fetch_add_u64(&ring->skipped, 1);
		return NULL;
	}
	place->number = 0;
	return record_of(place);
}

void
ft_ring_end(FtRing *ring, void *record, uint64 number)
{
	FtRingPlace *place = place_of(ring, number);

	Assert(record == record_of(place));
	place->number = number;

	/* a full barrier, as the one in ft_ring_begin() is */
	pg_atomic_fetch_add_u64(&place->changes, 1);
}

uint64
ft_ring_newest(FtRing *ring)
{
	return pg_atomic_read_u64(&ring->last);
}

/* Greater than the newest if there is none. */
uint64
ft_ring_oldest(FtRing *ring)
{
	uint64		last = pg_atomic_read_u64(&ring->last);
	uint64		forgotten = pg_atomic_read_u64(&ring->forgotten);
	uint64		places = (uint64) ring->places;

	return Max(forgotten, last > places ? last - places : 0) + 1;
}

/* False if the record is not there, or not yet, or not any more. */
bool
ft_ring_read(FtRing *ring, uint64 number, void *record)
{
	FtRingPlace *place;

	if (ring->places == 0 || number <= pg_atomic_read_u64(&ring->forgotten))
		return false;
	place = place_of(ring, number);

	for (int looks = 0; looks < MAX_LOOKS; looks++)
	{
		uint64		before = pg_atomic_read_u64(&place->changes);
		bool		found;

		if (before % 2 == 0)
		{
			pg_read_barrier();
			found = place->number == number;
			if (found)
				memcpy(record, record_of(place), ring->record_size);
			pg_read_barrier();
			if (pg_atomic_read_u64(&place->changes) == before)
				return found;
		}
		SPIN_DELAY();
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

void
ft_ring_forget(FtRing *ring)
{
	pg_atomic_write_u64(&ring->forgotten, pg_atomic_read_u64(&ring->last));
}
