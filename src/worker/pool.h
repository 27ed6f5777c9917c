/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  The executors that a scheduler starts, within the limits of all
 *	  databases.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_POOL_H
#define FT_POOL_H

#include "nodes/pg_list.h"
#include "slot.h"

/* An executor hands its place to others that wait after so long. */
#define FT_PLACE_KEPT_MS	1000

extern void ft_pool_init(void);
extern TimestampTz ft_pool_start(FtDatabaseSlot *slot, List *owners, TimestampTz now);
extern bool ft_pool_start_alone(FtDatabaseSlot *slot, Oid owner, TimestampTz now,
								TimestampTz *retry_at);
extern void ft_pool_tidy(TimestampTz now);

#endif							/* FT_POOL_H */
