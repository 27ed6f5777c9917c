/*-------------------------------------------------------------------------
 *
 * blocking_log.h
 *	  A line in the server log when blocking turns critical.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_BLOCKING_LOG_H
#define FT_BLOCKING_LOG_H

#include "diagnostics/blocking_forest.h"

extern void ft_blocking_log_init(void);

/* Look at one sample; both are NULL where nobody waits. */
extern void ft_blocking_log(const FtLockSnapshot *snapshot,
							const FtBlockingForest *forest, TimestampTz now);

#endif							/* FT_BLOCKING_LOG_H */
