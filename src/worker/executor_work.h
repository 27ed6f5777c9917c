/*-------------------------------------------------------------------------
 *
 * executor_work.h
 *	  What an executor claims and runs; shared by executor.c and its parts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_EXECUTOR_WORK_H
#define FT_EXECUTOR_WORK_H

#include "nodes/pg_list.h"

#include "orchestration/compensation.h"
#include "orchestration/step.h"
#include "slot.h"

/* What this process is at, and what it does next. */
typedef struct FtExecutor
{
	FtExecutorSlot *slot;
	MemoryContext context;		/* reset when there is nothing to go on with */
	MemoryContext run_context;	/* reset before each run */
	TimestampTz started_at;
	List	   *steps;			/* of FtStepClaim, to be run one after another */
	FtCompensationClaim compensation;
	bool		has_compensation;
	int			rounds;
	int64		executed;
	bool		alone;			/* run suspects and nothing else, see pool.c */
	bool		batch;			/* the last steps were quick: claim several */
	bool		worked;			/* it has run something */
	bool		used;			/* and the session was not reset since */
	bool		waiting;		/* others may take it for idle */
	bool		role_changed;	/* what let this process connect, perhaps */
	TimestampTz idle_since;
} FtExecutor;

/* executor_claim.c: claim what is next; give back what will not be run here. */
extern bool ft_executor_claim(FtExecutor *self);
extern void ft_executor_release(FtExecutor *self);

/* executor_run.c: run what is claimed, and record what has failed. */
extern void ft_executor_run_compensation(FtExecutor *self);
extern void ft_executor_run_step(FtExecutor *self, FtStepClaim *claim);
extern void ft_executor_run_group(FtExecutor *self);

/* Do the steps that are next share a transaction? */
extern bool ft_executor_group_is_next(const FtExecutor *self);
extern void ft_executor_reset_session(void);

#endif							/* FT_EXECUTOR_WORK_H */
