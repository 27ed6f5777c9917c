/*-------------------------------------------------------------------------
 *
 * step_claim.c
 *	  Claims of steps: what one says, and how an execution begins with it.
 *
 * A claim is a small transaction of its own that need not reach the disk: what
 * it says is who runs the step now, and whoever completes the step looks again
 * whether that is still so.  A worker that is lost is known to be lost, by its
 * id and by the start of the server that it belonged to; nothing waits for a
 * lease.
 *
 * Locking: rows of executions that are to begin, skipping those that are locked:
 * so no claim waits for a lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "orchestration/step_claim.h"
#include "shmem.h"
#include "uuid.h"

FT_STATEMENT(begin_executions,
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET status = $2, started_at = coalesce(started_at, $3),"
			 "       updated_at = greatest(updated_at, $3)"
			 "  FROM (SELECT execution_id FROM ft.orchestration_executions"
			 "         WHERE execution_id = ANY ($1) AND status IN ('PENDING', 'ROLLED_BACK')"
			 "         ORDER BY execution_id FOR NO KEY UPDATE SKIP LOCKED) AS begun"
			 " WHERE execution.execution_id = begun.execution_id",
			 UUIDARRAYOID, TEXTOID, TIMESTAMPTZOID);

FtStepClaim *
ft_step_read_claim(uint64 row, TimestampTz now, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	FtStepClaim *claim = palloc(sizeof(FtStepClaim));

	claim->task_id = ft_column_uuid(row, 1);
	claim->execution_id = ft_column_uuid(row, 2);
	claim->attempt = ft_column_int32(row, 3);
	claim->name = ft_column_text(row, 4);
	claim->command = ft_column_text(row, 5);
	claim->condition = ft_column_text(row, 6);
	claim->in_transaction = ft_column_bool(row, 7);
	claim->is_short = ft_column_bool(row, 8);
	claim->timeout = ft_column_int64(row, 9);
	claim->claimed_at = now;
	claim->begun = true;
	claim->has_flow = ft_column_bool(row, 10);
	claim->has_successors = ft_column_bool(row, 11);
	claim->suspicion = ft_column_text(row, 12);
	/* so that it is clear whom it takes down */
	claim->alone = claim->suspicion != NULL;
	MemoryContextSwitchTo(caller);
	return claim;
}

void
ft_step_claim_free(FtStepClaim *claim)
{
	pfree(claim->name);
	if (claim->command != NULL)
		pfree(claim->command);
	if (claim->condition != NULL)
		pfree(claim->condition);
	if (claim->suspicion != NULL)
		pfree(claim->suspicion);
	pfree(claim);
}

FtArg
ft_step_epoch_argument(void)
{
	return ft_my_worker_id == 0 ? FT_NULL :
		FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch));
}

FtArg
ft_step_worker_argument(void)
{
	return ft_my_worker_id == 0 ? FT_NULL : FT_VALUE(Int64GetDatum((int64) ft_my_worker_id));
}

const char *
ft_step_running_status(void)
{
	return ft_task_status_name(ft_task_require_transition(FT_TASK_PENDING, FT_TASK_START, ""));
}

static void
begin(Datum *execution_ids, int n, TimestampTz claimed_at)
{
	ft_run(&begin_executions,
		   FT_ARGS(FT_VALUE(PointerGetDatum(construct_array(execution_ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR))),
				   FT_TEXT(ft_execution_status_name(ft_execution_require_transition(FT_EXECUTION_PENDING,
																					FT_EXECUTION_START_TASK, ""))),
				   FT_TIME(claimed_at)));
}

void
ft_step_begin_execution(const pg_uuid_t *execution_id, TimestampTz claimed_at)
{
	Datum		id = UUIDPGetDatum(execution_id);

	begin(&id, 1, claimed_at);
}

void
ft_step_begin_claimed(List *claims, bool quick, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * list_length(claims));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, claims)
	{
		FtStepClaim *claim = lfirst(cell);

		if (claim->is_short || (quick && claim->in_transaction && !claim->has_flow))
			claim->begun = false;
		else
			ids[n++] = UUIDPGetDatum(&claim->execution_id);
	}
	if (n > 0)
		begin(ids, n, now);
}
