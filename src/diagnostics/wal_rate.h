/*-------------------------------------------------------------------------
 *
 * wal_rate.h
 *	  How fast WAL is written, archived and checkpointed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_WAL_RATE_H
#define FT_WAL_RATE_H

#include "datatype/timestamp.h"

/* The sampler's task "wal". */
extern void ft_wal_rate_sample(TimestampTz now);

extern void ft_wal_rate_init(void);

#endif							/* FT_WAL_RATE_H */
