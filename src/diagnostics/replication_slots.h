/*-------------------------------------------------------------------------
 *
 * replication_slots.h
 *	  Since when a replication slot has been without a consumer.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_REPLICATION_SLOTS_H
#define FT_REPLICATION_SLOTS_H

#include "datatype/timestamp.h"

/* The sampler's task "slots". */
extern void ft_replication_slots_sample(TimestampTz now);

extern void ft_replication_slots_init(void);

#endif							/* FT_REPLICATION_SLOTS_H */
