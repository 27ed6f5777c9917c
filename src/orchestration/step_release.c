/*-------------------------------------------------------------------------
 *
 * step_release.c
 *	  Claims that are given back: nothing was done under them.
 *
 * An executor claims several steps at a time where they have been quick.  If
 * one of them turns out to take long, it has the scheduler look, which gives
 * the others back for it.  It finds that out before it begins the next; should
 * it have begun one all the same, it has lost the claim, and what it did is
 * rolled back.
 *
 * Locking: the execution's row, then the task's, neither of them waited for;
 * ft_shared->lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "shmem.h"
#include "uuid.h"

FT_STATEMENT(release_claim,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $3, attempt = attempt - 1, started_at = NULL,"
			 "       worker_pid = NULL, worker_epoch = NULL, worker_id = NULL"
			 " WHERE task_id = $1 AND attempt = $2 AND status = 'RUNNING'"
			 "   AND worker_id IS NOT DISTINCT FROM $4"
			 " RETURNING created_at",
			 UUIDOID, INT4OID, TEXTOID, INT8OID);
FT_STATEMENT(claims_of_worker,
			 "SELECT task_id, attempt FROM ft.orchestration_tasks"
			 " WHERE status = 'RUNNING' AND worker_id IS NOT NULL"
			 "   AND worker_epoch = $1 AND worker_id = $2 AND task_id <> $3"
			 " ORDER BY execution_id, task_id",
			 INT8OID, INT8OID, UUIDOID);

/* A claim, by what tells it from others. */
typedef struct Claim
{
	pg_uuid_t	task_id;
	int			attempt;
} Claim;

/*
 * False if the execution is locked, and the claim stays.  One that was given
 * back before may be another worker's by now, with the same number.
 */
static bool
release(const pg_uuid_t *task_id, int attempt, uint64 worker_id)
{
	FtExecution execution;
	FtTask		task;
	const char *released;

	if (!ft_task_try_lock(task_id, &execution, &task))
		return false;
	if (task.status != FT_TASK_RUNNING || task.attempt != attempt)
		return true;
	released = ft_task_status_name(ft_task_require_transition(task.status, FT_TASK_RELEASE, task.name));
	if (ft_run(&release_claim,
			   FT_ARGS(FT_UUID(task_id), FT_VALUE(Int32GetDatum(attempt)), FT_TEXT(released),
					   worker_id == 0 ? FT_NULL : FT_VALUE(Int64GetDatum((int64) worker_id)))) == 0)
		return true;

	/* it was the first of its lane, and is to be among the first again */
	ft_ready_recount(&execution.execution_id, ft_column_time(0, 1));
	return true;
}

bool
ft_step_release(const FtStepClaim *claim)
{
	FtEngine	engine;
	bool		released;

	ft_engine_enter(&engine);
	released = release(&claim->task_id, claim->attempt, ft_my_worker_id);
	ft_engine_leave(&engine);
	return released;
}

/*
 * Take what an executor cannot come to from it, if it is for so long at one
 * step that it is to be taken; false if there is nothing.
 */
static bool
revoke_claims(FtExecutorSlot *executor, uint64 *worker_id, pg_uuid_t *task_id)
{
	bool		overdue;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	overdue = executor->dboid == MyDatabaseId && executor->waiting_steps > 0 &&
		TimestampDifferenceExceeds(executor->last_tick, GetCurrentTimestamp(), FT_STEP_OVERDUE_MS);
	if (overdue)
	{
		executor->waiting_steps = 0;
		executor->revoked = true;
		*worker_id = executor->process.worker_id;
		*task_id = executor->task_id;
	}
	LWLockRelease(ft_shared->lock);
	return overdue;
}

void
ft_step_release_overdue(void)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		uint64		worker_id;
		pg_uuid_t	task_id;
		uint64		n;
		Claim	   *claims;

		if (!revoke_claims(&ft_shared->executors[i], &worker_id, &task_id))
			continue;
		n = ft_run(&claims_of_worker,
				   FT_ARGS(FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch)),
						   FT_VALUE(Int64GetDatum((int64) worker_id)),
						   FT_UUID(&task_id)));
		claims = palloc(sizeof(Claim) * Max(n, 1));
		for (uint64 row = 0; row < n; row++)
		{
			claims[row].task_id = ft_column_uuid(row, 1);
			claims[row].attempt = ft_column_int32(row, 2);
		}
		for (uint64 claim = 0; claim < n; claim++)
			(void) release(&claims[claim].task_id, claims[claim].attempt, worker_id);
	}
}
