/*-------------------------------------------------------------------------
 *
 * running.h
 *	  What each executor is running, and ending it when the transaction that
 *	  has taken it away commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RUNNING_H
#define FT_RUNNING_H

#include "utils/uuid.h"

/*
 * This process, if it is an executor, begins a command of a step or of a
 * compensation; and it has ended.  ft_running_end() is true if somebody wanted
 * it to be ended: its cancel has then arrived, and is over.
 */
extern void ft_running_begin(const pg_uuid_t *task_id, int attempt);
extern bool ft_running_end(void);

/*
 * When the current transaction commits, and not before, cancel the command of
 * this attempt of a task, if an executor is running it then.
 */
extern void ft_running_cancel_at_commit(const pg_uuid_t *task_id, int attempt);

extern void ft_running_init(void);

#endif							/* FT_RUNNING_H */
