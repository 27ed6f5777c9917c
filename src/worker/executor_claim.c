/*-------------------------------------------------------------------------
 *
 * executor_claim.c
 *	  What an executor runs next, and giving back what it will not run.
 *
 * Each claim is a small transaction of its own that need not reach the disk.
 *
 * Locking: rows, by what is called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "orchestration/queue.h"
#include "orchestration/suspect.h"
#include "worker/executor_work.h"
#include "worker/worker.h"

/* How often compensations are looked for first. */
#define COMPENSATION_TURN		16

/*
 * A claim need not wait for the disk: if it is lost in a crash, so is
 * everything that was done under it.  Only who is sought for a crash has to be
 * found by his claim.
 */
static void
begin_claiming(const FtExecutor *self)
{
	bool		must_last = self->alone || ft_suspect_claims_must_last();

	ft_worker_begin("claiming");
	(void) set_config_option("synchronous_commit", must_last ? "local" : "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static bool
claim_compensation(FtExecutor *self)
{
	begin_claiming(self);
	MemoryContextSwitchTo(self->context);
	self->has_compensation = !self->role_changed &&
		ft_compensation_claim(GetCurrentTimestamp(),
							  self->alone ? FT_COMPENSATIONS_SUSPECT : FT_COMPENSATIONS_UNSUSPECTED,
							  &self->compensation);
	if (self->has_compensation)
		ft_queue_moved_on(NULL);
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	return self->has_compensation;
}

static bool
claim_steps(FtExecutor *self)
{
	begin_claiming(self);
	MemoryContextSwitchTo(self->context);
	self->steps = self->role_changed ? NIL : ft_step_claim(GetCurrentTimestamp(), self->batch);
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	return self->steps != NIL;
}

static bool
claim_suspect(FtExecutor *self)
{
	FtStepClaim *claim = NULL;

	begin_claiming(self);
	MemoryContextSwitchTo(self->context);
	if (!self->role_changed)
		claim = ft_step_claim_suspect(GetCurrentTimestamp(),
									  self->alone ? FT_SUSPICION_SERVER : FT_SUSPICION_EXECUTOR);
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	if (claim != NULL)
		self->steps = list_make1(claim);
	return claim != NULL;
}

/*
 * Claim what is next.  Steps and compensations take turns in being looked for
 * first, with more turns for steps: of them there are more.
 */
bool
ft_executor_claim(FtExecutor *self)
{
	if (self->alone)
		return claim_suspect(self) || claim_compensation(self);
	if (self->rounds++ % COMPENSATION_TURN == 0)
		return claim_compensation(self) || claim_suspect(self) || claim_steps(self);
	return claim_steps(self) || claim_compensation(self) || claim_suspect(self);
}

/*
 * What was claimed and will not be run here is for others.  Where that cannot
 * be said, because somebody has the execution locked, the step stays.
 */
void
ft_executor_release(FtExecutor *self)
{
	List	   *kept = NIL;
	ListCell   *cell;

	if (self->steps == NIL)
		return;
	ft_worker_begin("releasing");
	MemoryContextSwitchTo(self->context);
	foreach(cell, self->steps)
	{
		if (!ft_step_release(lfirst(cell)))
			kept = lappend(kept, lfirst(cell));
	}
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	self->steps = kept;
}
