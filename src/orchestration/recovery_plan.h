/*-------------------------------------------------------------------------
 *
 * recovery_plan.h
 *	  What a recovery would do to an execution: gathered and decided here,
 *	  carried out in recovery.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RECOVERY_PLAN_H
#define FT_RECOVERY_PLAN_H

#include "orchestration/checkpoint.h"
#include "orchestration/execution.h"
#include "orchestration/failure.h"

typedef enum FtRecoveryAction
{
	FT_RECOVERY_RETRY,
	FT_RECOVERY_ROLLBACK,
	FT_RECOVERY_COMPENSATE
} FtRecoveryAction;

/* A task, and what the recovery makes of it. */
typedef struct FtPlannedTask
{
	pg_uuid_t	task_id;
	char	   *name;
	FtTaskStatus from;
	FtTaskStatus to;
	char	   *compensation;	/* or NULL */
	int64		completion_order;	/* 0 where it has not completed */
	int			failures;
	int			attempt;
	bool		done_in_part;	/* a loop, some runs of which are over */
	int64		backoff;		/* its first delay, ms; 0: the setting's */
	bool		changes;		/* not left alone */
	bool		afresh;			/* forgets its result and its failures */
	TimestampTz next_attempt_at;	/* of a retry; DT_NOBEGIN: at once */
} FtPlannedTask;

typedef struct FtRecoveryPlan
{
	FtRecoveryAction action;
	FtExecution execution;
	FtExecutionStatus to;
	FtCheckpoint checkpoint;
	int			ntasks;
	FtPlannedTask *tasks;		/* by task_id */
	int			ncompensations;
} FtRecoveryPlan;

/* What a plan is made for, apart from what is in the tables. */
typedef struct FtRecoveryContext
{
	TimestampTz now;
	bool		running_is_lost;	/* running tasks have no worker any more */
	bool		by_hand;		/* failures so far are forgiven */
} FtRecoveryContext;

extern const char *ft_recovery_action_name(FtRecoveryAction action);
extern FtRecoveryAction ft_recovery_action_of(FtFailureType type);

/*
 * When to try again after a number of failures, with jitter.  The first delay
 * is in milliseconds; 0 is that of the setting.
 */
extern TimestampTz ft_backoff(TimestampTz now, int failures, int64 first);

/*
 * Gather the tasks (locked, if for_update) and decide.  plan->execution and
 * plan->checkpoint are given; an error if the action is not possible.
 */
extern void ft_recovery_plan(FtRecoveryPlan *plan, FtRecoveryAction action,
							 const FtRecoveryContext *context, bool for_update);

/* The planned tasks in the order in which they are worked on. */
extern FtPlannedTask **ft_recovery_plan_order(const FtRecoveryPlan *plan);

#endif							/* FT_RECOVERY_PLAN_H */
