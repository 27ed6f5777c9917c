/*-------------------------------------------------------------------------
 *
 * external.h
 *	  Steps that workers outside of the server run, under a lease.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_EXTERNAL_H
#define FT_EXTERNAL_H

#include "datatype/timestamp.h"

/* Give back, or fail, the steps whose lease has run out; returns how many. */
extern int64 ft_external_recover(TimestampTz now);

/*
 * In the engine, in a database that was carried here: leases that have run out
 * meanwhile, when nobody could extend them, count as given back.
 */
extern void ft_external_take_back(TimestampTz now);

/* When the next lease runs out (DT_NOEND: none). */
extern TimestampTz ft_external_next_due(void);

#endif							/* FT_EXTERNAL_H */
