/*-------------------------------------------------------------------------
 *
 * horizon_watch.h
 *	  Since when a horizon stands where it does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HORIZON_WATCH_H
#define FT_HORIZON_WATCH_H

#include "datatype/timestamp.h"

/* The sampler's task. */
extern void ft_horizon_watch_tick(TimestampTz now);

/*
 * The time after which each vacuum that ended in this database had removed all
 * that the data horizon, which is at this id, lets go.  0 if that is not known.
 */
extern TimestampTz ft_horizon_watch_vacuums(Oid database, TransactionId horizon);

extern void ft_horizon_watch_init(void);

#endif							/* FT_HORIZON_WATCH_H */
