/*-------------------------------------------------------------------------
 *
 * counter_ring.c
 *	  Counters sampled now and then, so that a rate can be told.
 *
 * A counter says how often something happened since some time that nobody
 * remembers.  What happened in the last minute is the difference to what the
 * counter was a minute ago, and that is what the ring keeps.
 *
 * Locking: the caller's, which owns the ring; nothing here waits or allocates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnostics/counter_ring.h"

static FtCounters *
newest(FtCounterRing *ring)
{
	return &ring->samples[(ring->next - 1 + FT_RING_SAMPLES) % FT_RING_SAMPLES];
}

/*
 * The oldest sample makes room.  Where the clock was set back all go: times have
 * to rise.
 */
void
ft_counter_ring_add(FtCounterRing *ring, const FtCounters *counters)
{
	if (ring->used > 0 && newest(ring)->time > counters->time)
		ring->used = 0;
	ring->samples[ring->next] = *counters;
	ring->next = (ring->next + 1) % FT_RING_SAMPLES;
	if (ring->used < FT_RING_SAMPLES)
		ring->used++;
}

/*
 * The oldest sample that is not older than a time; if only older ones are
 * there, the newest of these, so that a sampler slower than the window still
 * gives an answer, about the longer time that the sample says.  False if there
 * is none at all.
 */
bool
ft_counter_ring_since(const FtCounterRing *ring, TimestampTz since,
					  FtCounters *counters)
{
	const FtCounters *found = NULL;

	for (int i = 1; i <= ring->used; i++)
	{
		int			place = (ring->next - i + FT_RING_SAMPLES) % FT_RING_SAMPLES;
		const FtCounters *sample = &ring->samples[place];

		if (found != NULL && sample->time < since)
			break;
		found = sample;
	}
	if (found == NULL)
		return false;
	*counters = *found;
	return true;
}
