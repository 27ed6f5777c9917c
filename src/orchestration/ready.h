/*-------------------------------------------------------------------------
 *
 * ready.h
 *	  Which tasks of an execution may be started: kept up to date whenever
 *	  something changes that decides it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_READY_H
#define FT_READY_H

#include "orchestration/task.h"

/*
 * A task has ended: tell those that depend on it.  Returns how many may be
 * started now, and the first of them.
 */
extern int	ft_ready_successors(const pg_uuid_t *execution_id, const char *task_name,
								bool goes_on, TimestampTz now, pg_uuid_t *first);

/*
 * Work out anew what is left of a locked execution and which of its tasks may
 * be started, after a change that is more than the end of one task.
 */
extern void ft_ready_recount(const pg_uuid_t *execution_id, TimestampTz now);

/* A running task whose executor was lost may be started again. */
extern void ft_ready_lost(const FtExecution *execution, const FtTask *task, TimestampTz now);

#endif							/* FT_READY_H */
