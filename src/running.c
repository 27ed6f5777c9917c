/*-------------------------------------------------------------------------
 *
 * running.c
 *	  What each executor is running, and ending it when the transaction that
 *	  has taken it away commits.
 *
 * Who takes a running step away from its executor, by cancelling it say, first
 * writes that down.  The executor could not record its result any more; the
 * signal sent after the commit only spares it the rest of the work.  So nothing
 * depends on the signal's arriving, and one that comes a little too late meets
 * an executor whose transaction is to fail anyway.
 *
 * A part of the transaction that is rolled back takes its notes with it: a
 * signal for nothing would be a failure of an innocent step.
 *
 * Locking: ft_shared->lock, under which an executor says what it runs, and
 * under which it is signalled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "running.h"
#include "shmem.h"
#include "uuid.h"

/* How long a signal that was sent is waited for, in steps of 10 us. */
#define SIGNAL_WAIT_ROUNDS	100

typedef struct Unwanted
{
	pg_uuid_t	task_id;
	int			attempt;
	int			level;			/* nesting of the subtransaction that noted it */
} Unwanted;

static List *unwanted = NIL;	/* in TopMemoryContext */

/* This process's slot, if it is an executor. */
static FtExecutorSlot *
my_slot(void)
{
	static FtExecutorSlot *slot = NULL;

	if (slot == NULL && ft_shared != NULL && ft_my_worker_id != 0)
	{
		for (int i = 0; i < ft_shared->max_executors; i++)
		{
			if (ft_shared->executors[i].process.worker_id == ft_my_worker_id)
				slot = &ft_shared->executors[i];
		}
	}
	return slot;
}

void
ft_running_begin(const pg_uuid_t *task_id, int attempt)
{
	FtExecutorSlot *slot = my_slot();

	if (slot == NULL)
		return;
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot->running.is_set = true;
	slot->running.cancelled = false;
	slot->running.task_id = *task_id;
	slot->running.attempt = attempt;
	LWLockRelease(ft_shared->lock);
}

bool
ft_running_end(void)
{
	FtExecutorSlot *slot = my_slot();
	bool		cancelled;

	if (slot == NULL)
		return false;
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	cancelled = slot->running.cancelled;
	slot->running.is_set = slot->running.cancelled = false;
	LWLockRelease(ft_shared->lock);

	/* What was sent arrives here, and not in what this process runs next. */
	for (int i = 0; cancelled && !QueryCancelPending && i < SIGNAL_WAIT_ROUNDS; i++)
		pg_usleep(10);
	if (cancelled)
		QueryCancelPending = false;
	return cancelled;
}

void
ft_running_cancel_at_commit(const pg_uuid_t *task_id, int attempt)
{
	MemoryContext caller;
	Unwanted   *note;

	if (ft_shared == NULL)
		return;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	note = palloc(sizeof(Unwanted));
	note->task_id = *task_id;
	note->attempt = attempt;
	note->level = GetCurrentTransactionNestLevel();
	unwanted = lappend(unwanted, note);
	MemoryContextSwitchTo(caller);
}

static bool
is_unwanted(const FtRunning *running)
{
	ListCell   *cell;

	foreach(cell, unwanted)
	{
		const Unwanted *note = lfirst(cell);

		if (note->attempt == running->attempt &&
			ft_uuid_equal(&note->task_id, &running->task_id))
			return true;
	}
	return false;
}

static void
cancel_unwanted(void)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		FtExecutorSlot *slot = &ft_shared->executors[i];

		if (slot->dboid != MyDatabaseId || slot->process.pid == 0 ||
			!slot->running.is_set || !is_unwanted(&slot->running))
			continue;
		slot->running.cancelled = true;
		kill(slot->process.pid, SIGINT);
	}
	LWLockRelease(ft_shared->lock);
}

static void
transaction_callback(XactEvent event, void *arg)
{
	if (unwanted == NIL)
		return;
	if (event == XACT_EVENT_COMMIT)
		cancel_unwanted();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		list_free_deep(unwanted);
		unwanted = NIL;
	}
}

static void
subtransaction_callback(SubXactEvent event, SubTransactionId mine,
						SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *cell;

	if (unwanted == NIL ||
		(event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	foreach(cell, unwanted)
	{
		Unwanted   *note = lfirst(cell);

		if (note->level < level)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			note->level = level - 1;
		else
		{
			unwanted = foreach_delete_current(unwanted, cell);
			pfree(note);
		}
	}
}

void
ft_running_init(void)
{
	RegisterXactCallback(transaction_callback, NULL);
	RegisterSubXactCallback(subtransaction_callback, NULL);
}
