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

extern void ft_pool_init(void);
extern TimestampTz ft_pool_start(FtDatabaseSlot *slot, List *owners, TimestampTz now);
extern bool ft_pool_start_alone(FtDatabaseSlot *slot, Oid owner, TimestampTz now,
								TimestampTz *retry_at);
extern void ft_pool_tidy(TimestampTz now);

#endif							/* FT_POOL_H */
