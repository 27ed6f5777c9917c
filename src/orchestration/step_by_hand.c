/*-------------------------------------------------------------------------
 *
 * step_by_hand.c
 *	  Steps run in the session of their owner, where no background worker does
 *	  it: the library is not preloaded, or a test wants to see each step.
 *
 * All that is run here shares the caller's transaction, so that it commits as
 * a whole; each step is a subtransaction, which a failure ends.
 *
 * Locking: as in step.c, and until the caller's transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "orchestration/command.h"
#include "orchestration/installation.h"
#include "orchestration/owner.h"
#include "orchestration/step.h"
#include "subtransaction.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(ft_run_steps);

static void
run_claim(void *claim)
{
	(void) ft_step_run(claim, false);
}

/* True if the caller goes by another name now: it is not run, and parked. */
static bool
give_back_if_misnamed(const FtStepClaim *claim)
{
	FtExecution execution;
	FtOwner    *owner;
	FtEngine	engine;
	bool		misnamed;

	ft_engine_enter(&engine);
	ft_execution_read(&execution, &claim->execution_id, InvalidOid);
	owner = ft_owner_make(execution.owner_oid, execution.owner);
	misnamed = !ft_owner_has_its_name(owner);
	if (misnamed)
	{
		ft_step_release(claim);
		ft_owner_park_by_name(owner);
	}
	ft_engine_leave(&engine);
	return misnamed;
}

static FtStepClaim *
claim_next(const pg_uuid_t *execution_id)
{
	TimestampTz now = GetCurrentTimestamp();
	List	   *claims;

	if (execution_id != NULL)
		return ft_step_claim_of_execution(execution_id, now);
	while ((claims = ft_step_claim(now, false)) != NIL)
	{
		if (!give_back_if_misnamed(linitial(claims)))
			return linitial(claims);
	}
	return NULL;
}

/* ft.run_steps(execution_id uuid) returns bigint */
Datum
ft_run_steps(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *execution_id = PG_ARGISNULL(0) ? NULL : PG_GETARG_UUID_P(0);
	MemoryContext context;
	FtStepClaim *claim;
	FtEngine	engine;
	int64		completed = 0;

	ft_command_require_own_session("ft.run_steps()");
	ft_engine_enter(&engine);
	ft_installation_require_own();
	ft_engine_leave(&engine);

	context = AllocSetContextCreate(CurrentMemoryContext, "fault_tolerance step",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	while ((claim = claim_next(execution_id)) != NULL)
	{
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		error = ft_try(run_claim, claim);
		if (error != NULL)
			ft_step_failed(claim, error);
		else
			completed++;
		/* what is locked here, an executor has to leave alone */
		ft_wake_worker_at_end(GetUserId());
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	MemoryContextDelete(context);

	PG_RETURN_INT64(completed);
}
