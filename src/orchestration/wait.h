/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  Waiting for the end of an execution.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_WAIT_H
#define FT_WAIT_H

#include "utils/uuid.h"

/* When the current transaction commits, whoever waits for it looks again. */
extern void ft_wait_wake_at_commit(const pg_uuid_t *execution_id);

extern void ft_wait_init(void);

#endif							/* FT_WAIT_H */
