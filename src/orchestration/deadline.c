/*-------------------------------------------------------------------------
 *
 * deadline.c
 *	  Executions that have not ended by their deadline.
 *
 * A deadline is met or missed once: when it has passed it is taken off the
 * execution, and the failure that is recorded says when it was.  Recovery does
 * the rest, as for any failure of an execution as a whole that is not
 * transient; the steps that still run are taken away from their executors
 * with it.  One that passes while the execution is being undone, or has been,
 * has nothing more to say.
 *
 * Locking: candidates are read without a lock; each execution is then locked,
 * skipping those that others are at, and read again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "orchestration/deadline.h"
#include "orchestration/failure.h"
#include "subtransaction.h"
#include "uuid.h"

FT_STATEMENT(passed,
			 "SELECT execution_id FROM ft.orchestration_executions AS execution"
			 " WHERE deadline <= $2 AND finished_at IS NULL"
			 "   AND ($1 IS NULL OR pg_has_role($1, owner_oid, 'USAGE')"
			 "        AND pg_get_userbyid(owner_oid) = owner)"
			 " ORDER BY deadline LIMIT 1000",
			 OIDOID, TIMESTAMPTZOID);
FT_STATEMENT(take_deadline,
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET deadline = NULL"
			 "  FROM (SELECT deadline FROM ft.orchestration_executions WHERE execution_id = $1) AS old"
			 " WHERE execution_id = $1 AND execution.deadline <= $2 AND finished_at IS NULL"
			 " RETURNING old.deadline",
			 UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT_NOARGS(next_deadline,
					"SELECT min(deadline) FROM ft.orchestration_executions"
					" WHERE deadline IS NOT NULL AND finished_at IS NULL");

typedef struct Candidate
{
	pg_uuid_t	execution_id;
	TimestampTz now;
} Candidate;

static void
miss_deadline(void *argument)
{
	Candidate  *candidate = argument;
	FtExecution execution;

	if (!ft_execution_try_lock(&execution, &candidate->execution_id) ||
		ft_run(&take_deadline,
			   FT_ARGS(FT_UUID(&candidate->execution_id), FT_TIME(candidate->now))) == 0)
		return;
	if (execution.status == FT_EXECUTION_PENDING || execution.status == FT_EXECUTION_RUNNING ||
		execution.status == FT_EXECUTION_FAILED)
		(void) ft_failure_of_execution(&execution,
									   psprintf("it has not ended by its deadline, %s",
												timestamptz_to_str(ft_column_time(0, 1))));
}

void
ft_deadline_pass(Oid role, TimestampTz now)
{
	uint64		n = ft_run_by_index(&passed,
									FT_ARGS(OidIsValid(role) ? FT_VALUE(ObjectIdGetDatum(role)) : FT_NULL,
											FT_TIME(now)));
	Candidate  *candidates = palloc0(sizeof(Candidate) * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
	{
		candidates[row].execution_id = ft_column_uuid(row, 1);
		candidates[row].now = now;
	}
	for (uint64 i = 0; i < n; i++)
	{
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		error = ft_try(miss_deadline, &candidates[i]);
		if (error != NULL)
			ereport(WARNING,
					(errcode(error->sqlerrcode),
					 errmsg("the missed deadline of execution %s could not be recorded: %s",
							ft_uuid_string(&candidates[i].execution_id),
							error->message ? error->message : "missing error text")));
	}
}

TimestampTz
ft_deadline_next(void)
{
	ft_run_by_index(&next_deadline, NULL);
	return ft_column_is_null(0, 1) ? DT_NOEND : ft_column_time(0, 1);
}
