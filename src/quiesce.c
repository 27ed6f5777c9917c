/*-------------------------------------------------------------------------
 *
 * quiesce.c
 *	  Keeping the background workers out of a database, for commands that need
 *	  it for themselves.
 *
 * Locking: ft_shared->lock.  A process is signalled only with it held: workers
 * take themselves out of their slot under it before they end, so the pid in a
 * slot is theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "compat.h"
#include "quiesce.h"
#include "shmem.h"
#include "wake.h"

/* A command waits so long for workers to leave a database, in ms. */
#define QUIESCE_ASK_FOR		200
#define QUIESCE_WAIT_FOR	5000
#define QUIESCE_POLL		10

/*
 * A worker of this database that is gone: was it perhaps a command that had
 * all of them leave, rather than what it was at?
 */
bool
ft_worker_was_dismissed(uint64 worker_id)
{
	FtDatabaseSlot *slot;
	bool		dismissed;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(MyDatabaseId);
	dismissed = slot != NULL && worker_id <= slot->dismissed_below;
	LWLockRelease(ft_shared->lock);
	return dismissed;
}

/*
 * From now on no worker is started in the database, and those that are there
 * are asked to leave.  False if nothing had to be done because all slots are
 * taken by others, in which case the database has no worker either.
 */
bool
ft_quiesce_begin(Oid dboid)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	if (slot == NULL && (slot = ft_slot_find_or_create(dboid)) != NULL)
		slot->only_quiesced = true;
	if (slot != NULL)
		slot->quiesced++;
	LWLockRelease(ft_shared->lock);
	return slot != NULL;
}

/*
 * Ask, or with terminate tell, the workers of a database to leave it.  Returns
 * how many there are.  Workers that were registered but are not there yet need
 * no waiting for: they see that they are not wanted before they connect.
 */
static int
quiesce_workers(Oid dboid, bool terminate)
{
	FtDatabaseSlot *slot;
	int			n = 0;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(dboid);
	for (int i = -1; i < ft_shared->max_executors; i++)
	{
		FtProcess  *process;

		if (i < 0)
			process = slot ? &slot->scheduler : NULL;
		else
			process = ft_shared->executors[i].dboid == dboid ?
				&ft_shared->executors[i].process : NULL;
		if (process == NULL || process->pid == 0 || process->pid == MyProcPid)
			continue;
		n++;
		if (terminate)
			kill(process->pid, SIGTERM);
		else
			SetLatch(process->latch);
	}
	LWLockRelease(ft_shared->lock);
	return n;
}

/*
 * Wait, bounded, until the workers of a database have left it.  They are told
 * by SIGTERM if asking does not help, which rolls back what they do.
 */
void
ft_quiesce_wait(Oid dboid)
{
	int			n = quiesce_workers(dboid, false);

	for (int waited = 0; n > 0 && waited < QUIESCE_WAIT_FOR; waited += QUIESCE_POLL)
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 QUIESCE_POLL, ft_wait_event("FaultToleranceQuiesce"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		/* Signal once in a while only: each one is logged. */
		n = quiesce_workers(dboid, waited % 1000 == QUIESCE_ASK_FOR);
	}
}

/*
 * Let workers into the database again; or forget it, because it is gone.
 * Called at the end of a transaction, where nothing may fail.
 */
void
ft_quiesce_end(Oid dboid, bool forget)
{
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(dboid);
	if (slot != NULL)
	{
		slot->quiesced--;
		slot->dismissed_below = ft_shared->last_worker_id;
		if (slot->quiesced <= 0 && slot->scheduler.state == FT_WORKER_NONE &&
			(forget || slot->only_quiesced))
			ft_slot_free(slot);
		else
		{
			/* a scheduler is to see what the command has changed */
			pg_atomic_write_u32(&slot->pending, 1);
		}
	}
	LWLockRelease(ft_shared->lock);
	ft_wake_launcher(forget);
}
