/*-------------------------------------------------------------------------
 *
 * compensation_by_hand.c
 *	  Compensations run in the session of their owner, where no background
 *	  worker does it.
 *
 * All that is run here shares the caller's transaction; each compensation is a
 * subtransaction, which a failure ends.
 *
 * Locking: as in compensation.c, and until the caller's transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "orchestration/command.h"
#include "orchestration/compensation.h"
#include "orchestration/compensation_claim.h"
#include "orchestration/installation.h"
#include "subtransaction.h"
#include "transaction.h"
#include "wake.h"

PG_FUNCTION_INFO_V1(ft_run_compensations);

static void
run_claim(void *claim)
{
	ft_compensation_run((const FtCompensationClaim *) claim);
}

/* ft.run_compensations(execution_id uuid) returns bigint */
Datum
ft_run_compensations(PG_FUNCTION_ARGS)
{
	int64		ran = 0;
	FtEngine	engine;
	FtCompensationClaim claim;
	bool		found;

	ft_command_require_own_session("ft.run_compensations()");

	do
	{
		CHECK_FOR_INTERRUPTS();
		ft_engine_enter(&engine);
		ft_installation_require_own();
		if (!PG_ARGISNULL(0))
		{
			FtExecution execution;

			ft_execution_read(&execution, PG_GETARG_UUID_P(0), engine.caller);
		}
		found = ft_compensation_claim_any(engine.caller, GetCurrentTimestamp(),
										  PG_ARGISNULL(0) ? NULL : PG_GETARG_UUID_P(0),
										  FT_COMPENSATIONS_ALL, &claim,
										  fcinfo->flinfo->fn_mcxt);
		ft_engine_leave(&engine);
		if (found)
		{
			ErrorData  *error;

			/* what is locked here, an executor has to leave alone */
			ft_wake_worker_at_end(GetUserId());
			error = ft_try(run_claim, &claim);

			if (error)
				ft_compensation_failed(&claim, error);
			else
				ran++;
		}
	} while (found);

	PG_RETURN_INT64(ran);
}
