/*-------------------------------------------------------------------------
 *
 * status.h
 *	  Statuses of executions and tasks, the events that change them, and which
 *	  of them go together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STATUS_H
#define FT_STATUS_H

typedef enum FtExecutionStatus
{
	FT_EXECUTION_PENDING,
	FT_EXECUTION_RUNNING,
	FT_EXECUTION_COMPLETED,
	FT_EXECUTION_FAILED,
	FT_EXECUTION_ROLLING_BACK,
	FT_EXECUTION_ROLLED_BACK,
	FT_EXECUTION_COMPENSATING,
	FT_EXECUTION_COMPENSATED,
	FT_EXECUTION_COMPENSATION_FAILED,
	FT_EXECUTION_CANCELLED
} FtExecutionStatus;

#define FT_EXECUTION_STATUSES	(FT_EXECUTION_CANCELLED + 1)

typedef enum FtExecutionEvent
{
	FT_EXECUTION_ADD_TASK,
	FT_EXECUTION_START_TASK,
	FT_EXECUTION_COMPLETE,
	FT_EXECUTION_FAIL,
	FT_EXECUTION_RETRY,
	FT_EXECUTION_ROLL_BACK,
	FT_EXECUTION_FINISH_ROLLBACK,
	FT_EXECUTION_COMPENSATE,
	FT_EXECUTION_FINISH_COMPENSATION,
	FT_EXECUTION_FAIL_COMPENSATION,
	FT_EXECUTION_REOPEN,
	FT_EXECUTION_CANCEL
} FtExecutionEvent;

typedef enum FtTaskStatus
{
	FT_TASK_PENDING,
	FT_TASK_RUNNING,
	FT_TASK_COMPLETED,
	FT_TASK_SKIPPED,
	FT_TASK_FAILED,
	FT_TASK_CANCELLED,
	FT_TASK_COMPENSATING,
	FT_TASK_COMPENSATED,
	FT_TASK_COMPENSATION_FAILED
} FtTaskStatus;

#define FT_TASK_STATUSES	(FT_TASK_COMPENSATION_FAILED + 1)

typedef enum FtTaskEvent
{
	FT_TASK_START,
	FT_TASK_COMPLETE,
	FT_TASK_SKIP,
	FT_TASK_RELEASE,
	FT_TASK_WAIT,
	FT_TASK_FAIL,
	FT_TASK_RETRY,
	FT_TASK_RESET,
	FT_TASK_CANCEL,
	FT_TASK_COMPENSATE,
	FT_TASK_FINISH_COMPENSATION,
	FT_TASK_UNDO,
	FT_TASK_FAIL_COMPENSATION
} FtTaskEvent;

extern const char *ft_execution_status_name(FtExecutionStatus status);
extern const char *ft_task_status_name(FtTaskStatus status);
extern FtExecutionStatus ft_execution_status_of(const char *name);
extern FtTaskStatus ft_task_status_of(const char *name);

/* The status an event leads to; false if the event cannot happen there. */
extern bool ft_execution_transition(FtExecutionStatus from, FtExecutionEvent event,
									FtExecutionStatus *to);
extern bool ft_task_transition(FtTaskStatus from, FtTaskEvent event,
							   FtTaskStatus *to);

/* The same, with an error that names the execution or the task. */
extern FtExecutionStatus ft_execution_require_transition(FtExecutionStatus from,
														 FtExecutionEvent event,
														 const char *execution);
extern FtTaskStatus ft_task_require_transition(FtTaskStatus from, FtTaskEvent event,
											   const char *task);

/* Whether an execution has ended: nothing is left to do or to decide. */
extern bool ft_execution_is_finished(FtExecutionStatus status);

/* It has ended, or stopped, whichever way. */
extern bool ft_execution_is_over(FtExecutionStatus status);

/* Whether it has, or does not go on by itself. */
extern bool ft_execution_has_stopped(FtExecutionStatus status);

/* Whether a task of an execution may have this status. */
extern bool ft_statuses_agree(FtExecutionStatus execution, FtTaskStatus task);

#endif							/* FT_STATUS_H */
