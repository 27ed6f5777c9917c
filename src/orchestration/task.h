/*-------------------------------------------------------------------------
 *
 * task.h
 *	  Tasks: the steps of an execution.
 *
 * All functions here run between ft_engine_enter and ft_engine_leave.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TASK_H
#define FT_TASK_H

#include "orchestration/execution.h"

typedef struct FtTask
{
	pg_uuid_t	task_id;
	char	   *name;
	FtTaskStatus status;
	int			attempt;
	int			failures;
	int			losses;
	char	   *suspicion;		/* NULL: none */
	TimestampTz next_attempt_at;	/* DT_NOBEGIN: no delay */
} FtTask;

/* An error unless the task exists and belongs to the execution. */
extern bool ft_task_exists(const pg_uuid_t *task_id);

extern void ft_task_require_execution(const pg_uuid_t *task_id,
									  const pg_uuid_t *execution_id);

/* Lock the execution of a task, then the task, and read both. */
extern void ft_task_lock(const pg_uuid_t *task_id, Oid caller,
						 FtExecution *execution, FtTask *task);

/* The same without waiting: false if the execution is locked, or gone. */
extern bool ft_task_try_lock(const pg_uuid_t *task_id, FtExecution *execution,
							 FtTask *task);

/* An error unless the attempt is still the current one. */
extern void ft_task_require_attempt(const FtTask *task, int attempt);

#endif							/* FT_TASK_H */
