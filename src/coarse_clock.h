/*-------------------------------------------------------------------------
 *
 * coarse_clock.h
 *	  The time of day for next to nothing, if it need not be exact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COARSE_CLOCK_H
#define FT_COARSE_CLOCK_H

#include <time.h>

#include "utils/timestamp.h"

/*
 * The coarse clock may be late by so much, in microseconds: a tick of 100 Hz,
 * and as much again.
 */
#define FT_COARSE_ERROR (20 * INT64CONST(1000))

/* Now, or a moment earlier.  Where there is no such clock, the usual one. */
static inline TimestampTz
ft_coarse_now(void)
{
#ifdef CLOCK_REALTIME_COARSE
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0)
		return ((TimestampTz) now.tv_sec -
				(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) * USECS_PER_SEC +
			now.tv_nsec / 1000;
#endif
	return GetCurrentTimestamp();
}

#endif							/* FT_COARSE_CLOCK_H */
