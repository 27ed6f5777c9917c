/*-------------------------------------------------------------------------
 *
 * compensation_due.c
 *	  Whose compensations are due, and when the next will be.
 *
 * For the scheduler, which starts and wakes executors: of each execution it
 * looks at the compensation that is next.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/compensation_claim.h"
#include "orchestration/owner.h"

FT_STATEMENT(due_owners,
			 "SELECT DISTINCT execution.owner_oid, execution.owner::text, next.pid, next.epoch,"
			 "       next.worker"
			 FT_NEXT_COMPENSATION FT_COMPENSATION_DUE_BY("$1")
			 " ORDER BY 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(first_suspect_owner,
			 "SELECT execution.owner_oid"
			 FT_NEXT_COMPENSATION FT_OWNER_IS_A_ROLE FT_COMPENSATION_DUE_BY("$1")
			 "   AND next.suspicion = 'server' AND next.pid IS NULL"
			 "   AND execution.parked_reason IS NULL"
			 " ORDER BY execution.execution_id LIMIT 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(waiting_since,
			 "SELECT 1"
			 FT_NEXT_COMPENSATION FT_COMPENSATION_DUE_BY("$1")
			 "   AND execution.updated_at <= $1 AND next.pid IS NULL"
			 "   AND execution.parked_reason IS NULL"
			 " LIMIT 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(next_due,
			 "SELECT min(CASE WHEN execution.parked_reason IS NOT NULL OR next.pid IS NOT NULL"
			 "                THEN $2"
			 "                ELSE coalesce(next.next_attempt_at, $1) END)"
			 FT_NEXT_COMPENSATION,
			 TIMESTAMPTZOID, TIMESTAMPTZOID);

/* Owners with a compensation that may run now, unless somebody is at it. */
List *
ft_compensation_owners(TimestampTz now)
{
	List	   *owners = NIL;
	uint64		n = ft_run(&due_owners, FT_ARGS(FT_TIME(now)));

	for (uint64 row = 0; row < n; row++)
	{
		if (!ft_compensation_claim_alive(row, 3))
			owners = lappend(owners, ft_owner_make(ft_column_oid(row, 1), ft_column_text(row, 2)));
	}
	return owners;
}

TimestampTz
ft_compensation_next_due(TimestampTz now)
{
	/* what is claimed or parked is looked at again with the next poll */
	TimestampTz poll = TimestampTzPlusMilliseconds(now, ft_recovery_interval);

	ft_run(&next_due, FT_ARGS(FT_TIME(now), FT_TIME(poll)));
	return ft_column_is_null(0, 1) ? DT_NOEND : ft_column_time(0, 1);
}

Oid
ft_compensation_suspect_owner(TimestampTz now)
{
	FtEngine	engine;
	Oid			owner = InvalidOid;

	ft_engine_enter(&engine);
	if (ft_run(&first_suspect_owner, FT_ARGS(FT_TIME(now))) > 0)
		owner = ft_column_oid(0, 1);
	ft_engine_leave(&engine);
	return owner;
}

bool
ft_compensation_waiting_since(TimestampTz time)
{
	return ft_run(&waiting_since, FT_ARGS(FT_TIME(time))) > 0;
}
