/*-------------------------------------------------------------------------
 *
 * step_release.c
 *	  Claims that are given back, because nothing was done under them, and
 *	  steps that turn out to take long.
 *
 * An executor claims several steps at a time where they have been quick.  If
 * one of them turns out to take long, it has the scheduler look, which gives
 * the others back for it.  It finds that out before it begins the next; should
 * it have begun one all the same, it has lost the claim, and what it did is
 * rolled back.
 *
 * Executions of steps that are claimed so do not say that they have begun: most
 * have ended before anybody could have looked.  That is made up for then.
 *
 * Locking: the execution's row, then the task's, neither of them waited for;
 * ft_shared->lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "shmem.h"
#include "uuid.h"

/*
 * The number of the attempt stays, and the next claim has another one: by it
 * those who hold the step, or think so, are told from one another.
 */
FT_STATEMENT(release_claim,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $3, started_at = NULL,"
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

/* What an executor is at that takes it long. */
typedef struct Overdue
{
	uint64		worker_id;
	pg_uuid_t	task_id;
	bool		waiting;		/* it has claimed others, which are to be
								 * taken from it */
	bool		unbegun;
	TimestampTz claimed_at;
} Overdue;

/*
 * If an executor is for long at one step, note what is to be done about that,
 * once; false if there is nothing.
 */
static bool
take_overdue(FtExecutorSlot *executor, Overdue *overdue)
{
	bool		result;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	overdue->waiting = executor->waiting_steps > 0;
	overdue->unbegun = executor->unbegun;
	result = executor->dboid == MyDatabaseId && (overdue->waiting || overdue->unbegun) &&
		TimestampDifferenceExceeds(executor->last_tick, GetCurrentTimestamp(), FT_STEP_OVERDUE_MS);
	if (result)
	{
		overdue->worker_id = executor->process.worker_id;
		overdue->task_id = executor->task_id;
		overdue->claimed_at = executor->claimed_at;
		executor->waiting_steps = 0;
		executor->unbegun = false;
		if (overdue->waiting)
			executor->revoked = true;
	}
	LWLockRelease(ft_shared->lock);
	return result;
}

/*
 * The step may have ended meanwhile, and its execution have been rolled back
 * say, which is not to begin again for that.  False if the execution is locked.
 */
static bool
begin_execution(const Overdue *overdue)
{
	FtExecution execution;
	FtTask		task;

	if (!ft_task_try_lock(&overdue->task_id, &execution, &task))
		return false;
	if (task.status == FT_TASK_RUNNING && execution.status == FT_EXECUTION_PENDING)
		ft_step_begin_execution(&execution.execution_id, overdue->claimed_at);
	return true;
}

/* Returns how many have to stay for now. */
static int
release_waiting(const Overdue *overdue)
{
	int			left = 0;
	uint64		n = ft_run(&claims_of_worker,
						   FT_ARGS(FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch)),
								   FT_VALUE(Int64GetDatum((int64) overdue->worker_id)),
								   FT_UUID(&overdue->task_id)));
	Claim	   *claims = palloc(sizeof(Claim) * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
	{
		claims[row].task_id = ft_column_uuid(row, 1);
		claims[row].attempt = ft_column_int32(row, 2);
	}
	for (uint64 claim = 0; claim < n; claim++)
	{
		if (!release(&claims[claim].task_id, claims[claim].attempt, overdue->worker_id))
			left++;
	}
	return left;
}

/*
 * Somebody has their executions locked just now: the executor goes on to have
 * them waiting, and is looked at again soon.
 */
static void
leave_claims(FtExecutorSlot *executor, uint64 worker_id, int claims)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (executor->process.worker_id == worker_id && executor->revoked)
		executor->waiting_steps = claims;
	slot = ft_slot_find(MyDatabaseId);
	if (slot != NULL)
		slot->look = true;
	LWLockRelease(ft_shared->lock);
	SetLatch(MyLatch);			/* it is the scheduler that is here */
}

/*
 * The same for the execution of what it is at.  Nobody waits for that, and it
 * may be the step itself that has it locked: the next tick will do.
 */
static void
leave_unbegun(FtExecutorSlot *executor, const Overdue *overdue)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (executor->process.worker_id == overdue->worker_id &&
		memcmp(&executor->task_id, &overdue->task_id, UUID_LEN) == 0)
		executor->unbegun = true;
	LWLockRelease(ft_shared->lock);
}

void
ft_step_release_overdue(void)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		Overdue		overdue;
		int			left;

		if (!take_overdue(&ft_shared->executors[i], &overdue))
			continue;
		if (overdue.unbegun && !begin_execution(&overdue))
			leave_unbegun(&ft_shared->executors[i], &overdue);
		left = overdue.waiting ? release_waiting(&overdue) : 0;
		if (left > 0)
			leave_claims(&ft_shared->executors[i], overdue.worker_id, left);
	}
}
