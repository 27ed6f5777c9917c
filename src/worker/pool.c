/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The executors that a scheduler starts, within the limits of all
 *	  databases.
 *
 * One owner of one database has one executor at a time, which works off all
 * that is due for that owner.  A scheduler that finds no place says so in its
 * slot and is woken when an executor leaves.
 *
 * Locking: ft_shared->lock.  A slot belongs to whoever assigned it until the
 * worker has attached to it, and to the worker from then on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shmem.h"
#include "worker/pool.h"
#include "worker/worker.h"

/* Executors that leave wake those that wait for a place; this is the net. */
#define NO_PLACE_RETRY_MS	5000

/* This scheduler's, one for each executor slot. */
static BackgroundWorkerHandle **handles = NULL;

void
ft_pool_init(void)
{
	handles = MemoryContextAllocZero(TopMemoryContext,
									 sizeof(*handles) * ft_shared->max_executors);
}

static void
free_executor(FtExecutorSlot *executor)
{
	memset(executor, 0, sizeof(FtExecutorSlot));
}

/*
 * Assign a free slot to an owner; -1 if there is none, or no place for a
 * worker.  The caller holds the lock.
 */
static int
assign_executor(Oid dboid, Oid owner, FtWorkerOrder *order)
{
	int			index = -1;

	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (!OidIsValid(ft_shared->executors[i].dboid))
		{
			index = i;
			break;
		}
	}
	if (index < 0 || !ft_worker_place_free(false))
		return -1;

	free_executor(&ft_shared->executors[index]);
	ft_shared->executors[index].dboid = dboid;
	ft_shared->executors[index].owner = owner;
	ft_worker_assign(&ft_shared->executors[index].process);

	memset(order, 0, sizeof(FtWorkerOrder));
	order->slot = index;
	order->dboid = dboid;
	order->owner = owner;
	order->worker_id = ft_shared->executors[index].process.worker_id;
	return index;
}

static bool
has_executor(Oid dboid, Oid owner)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (ft_shared->executors[i].dboid == dboid &&
			ft_shared->executors[i].owner == owner)
			return true;
	}
	return false;
}

/* Start an executor for one owner.  False if there was no place for it. */
static bool
start_executor(FtDatabaseSlot *slot, Oid owner)
{
	FtWorkerOrder order;
	MemoryContext caller;
	int			index;
	bool		registered;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (has_executor(slot->dboid, owner))
	{
		LWLockRelease(ft_shared->lock);
		return true;
	}
	index = assign_executor(slot->dboid, owner, &order);
	LWLockRelease(ft_shared->lock);
	if (index < 0)
		return false;

	if (handles[index] != NULL)
		pfree(handles[index]);
	handles[index] = NULL;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	registered = ft_worker_register("executor", "ft_executor_main", &order,
									&handles[index]);
	MemoryContextSwitchTo(caller);

	if (!registered)
	{
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		if (ft_shared->executors[index].process.worker_id == order.worker_id)
			free_executor(&ft_shared->executors[index]);
		ft_last_error_set(&slot->error, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						  "no background worker slot was free for an executor; increase \"max_worker_processes\"");
		LWLockRelease(ft_shared->lock);
	}
	return registered;
}

/*
 * Start executors for owners that have none.  Returns when to try again if
 * not all of them could be served, else DT_NOEND.
 */
TimestampTz
ft_pool_start(FtDatabaseSlot *slot, List *owners, TimestampTz now)
{
	ListCell   *cell;
	TimestampTz retry_at = DT_NOEND;
	bool		waits = false;

	if (owners != NIL && slot->executor_retry_at > now)
		retry_at = slot->executor_retry_at;
	else
	{
		foreach(cell, owners)
		{
			if (!start_executor(slot, lfirst_oid(cell)))
			{
				waits = true;
				retry_at = TimestampTzPlusMilliseconds(now, NO_PLACE_RETRY_MS);
				break;
			}
		}
	}

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot->waits_for_executor = waits;
	LWLockRelease(ft_shared->lock);
	return retry_at;
}

/* Give up executors that were registered and never appeared. */
void
ft_pool_tidy(TimestampTz now)
{
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *executor = &ft_shared->executors[i];
		uint64		worker_id = executor->process.worker_id;
		pid_t		pid;
		bool		stopped;

		/* Looked at without the lock: what matters is looked at again. */
		if (executor->process.state != FT_WORKER_STARTING)
			continue;
		stopped = executor->dboid == MyDatabaseId && handles[i] != NULL &&
			GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED;

		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		if (executor->process.state == FT_WORKER_STARTING &&
			executor->process.worker_id == worker_id &&
			(stopped || ft_process_lost(&executor->process, now)))
			free_executor(executor);
		LWLockRelease(ft_shared->lock);
	}
}
