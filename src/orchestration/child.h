/*-------------------------------------------------------------------------
 *
 * child.h
 *	  Executions that a task of another one has started and waits for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_CHILD_H
#define FT_CHILD_H

#include "engine.h"

/* Which statuses these are is decided by ft_execution_is_over(). */
#define FT_OVER \
	"('COMPLETED', 'COMPENSATED', 'CANCELLED', 'ROLLED_BACK', 'COMPENSATION_FAILED')"

/*
 * In the engine, with the execution locked: it may be over, and a task waits
 * for that.  The task is told now or, if others are at its execution, soon.
 */
extern void ft_child_over(const pg_uuid_t *execution_id, const pg_uuid_t *parent_task_id);

/* Tell those that could not be told; are there any? */
extern void ft_child_settle(void);
extern bool ft_child_unsettled(void);

/*
 * In the engine, with the execution locked: its tasks do not wait any longer
 * for what they have started.  That is compensated, unless its task is to be
 * compensated itself and sees to it in its turn.
 */
extern void ft_child_abandon(const pg_uuid_t *execution_id, TimestampTz now);

#endif							/* FT_CHILD_H */
