/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  The executor: runs the commands of one owner, as that owner.
 *
 * The session is the owner's own, not a superuser's that pretends to be it:
 * whatever the command does, there is nothing above the owner to go back to.
 *
 * This is the process; what it claims is in executor_claim.c, how it runs that
 * in executor_run.c.  Between two executions the session is reset.
 *
 * The owner's search_path and planner settings hold for the command: it is
 * the owner's.  Settings that would keep the engine from doing its work are
 * pinned.
 *
 * Locking: ft_shared->lock for the slot; rows, by what is called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "orchestration/step.h"
#include "shmem.h"
#include "step_limit.h"
#include "wake.h"
#include "worker/executor.h"
#include "worker/executor_work.h"
#include "worker/pool.h"
#include "worker/worker.h"

#define START_BACKOFF_MS		1000
#define START_BACKOFF_LIMIT_MS	(60 * 1000)

/* After steps that took less several are claimed at a time. */
#define QUICK_STEP_MS			5

static bool leaving = false;
static bool fruitless = false;	/* there was nothing to claim, ever */

/* Says that steps wait that were claimed, in a slot that has to be told of it. */
static TimeoutId overdue_timeout;
static FtDatabaseSlot *overdue_database;

/*
 * An executor was lost.  If it never got as far as to work the next one may
 * not either, and is started after a delay that grows; one that did says that
 * executors can start, whoever ended it.
 */
static void
note_lost(FtDatabaseSlot *slot, bool failed_start)
{
	TimestampTz now = GetCurrentTimestamp();

	slot->executor_lost_at = now;
	slot->executor_failures = failed_start ? slot->executor_failures + 1 : 0;
	slot->executor_retry_at = !failed_start ? 0 :
		TimestampTzPlusMilliseconds(now, ft_backoff_ms(slot->executor_failures, START_BACKOFF_MS,
													   START_BACKOFF_LIMIT_MS));
}

/*
 * Free the slot and have the scheduler look: for the next owner, for what has
 * become due since, and for what this process may have left behind.  For that
 * it must find this process gone, see ft_worker_at_exit().
 */
static void
executor_exit(int code, Datum arg)
{
	FtExecutorSlot *executor = (FtExecutorSlot *) DatumGetPointer(arg);
	FtDatabaseSlot *slot = NULL;
	Oid			dboid = InvalidOid;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (executor->process.worker_id == ft_my_worker_id && ft_my_worker_id != 0)
	{
		dboid = executor->dboid;
		slot = ft_slot_find(dboid);
		if (slot != NULL && leaving)
		{
			slot->executor_failures = 0;
			slot->executor_retry_at = 0;
			/* who was woken on its way out leaves something to do */
			if (executor->executed > 0 || executor->process.state == FT_WORKER_RUNNING)
				ft_owner_wake(slot, executor->owner);
			else if (fruitless)
				ft_owner_rest(slot, executor->owner, GetCurrentTimestamp());
		}
		else if (slot != NULL && slot->quiesced == 0)
		{
			note_lost(slot, executor->process.state == FT_WORKER_CONNECTING);
			ft_last_error_set(&slot->error, ERRCODE_ADMIN_SHUTDOWN,
							  ft_step_limit_overrun() ?
							  "an executor was ended, because what it ran went on after its time limit" :
							  executor->process.state == FT_WORKER_CONNECTING ?
							  "an executor could not connect as its owner; the server log says why" :
							  "an executor was terminated");
		}
		memset(executor, 0, sizeof(FtExecutorSlot));
	}
	LWLockRelease(ft_shared->lock);

	if (OidIsValid(dboid))
	{
		/* A database that is no longer known needs no scheduler. */
		if (slot != NULL)
			ft_wake_database(dboid);
		ft_wake_schedulers_waiting_for_executor();
	}
}

static bool
attach(const FtWorkerOrder *order, FtExecutorSlot *executor)
{
	FtDatabaseSlot *slot;
	bool		wanted;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	wanted = executor->dboid == order->dboid &&
		executor->process.worker_id == order->worker_id;
	slot = ft_slot_find(order->dboid);
	if (wanted && (slot == NULL || slot->unwanted || slot->quiesced > 0))
	{
		memset(executor, 0, sizeof(FtExecutorSlot));
		wanted = false;
	}
	if (wanted)
		ft_worker_attach(&executor->process, FT_WORKER_CONNECTING);
	overdue_database = slot;
	LWLockRelease(ft_shared->lock);
	return wanted;
}

/* Is this process to make place, or room? */
static bool
told_to_leave(FtExecutorSlot *executor, TimestampTz started_at)
{
	FtDatabaseSlot *slot;
	bool		result;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(executor->dboid);
	result = slot == NULL || slot->unwanted || slot->quiesced > 0 ||
		slot->paused_reason[0] != '\0' || executor->leave ||
		(slot->suspects_first && !executor->alone);
	if (!result && TimestampDifferenceExceeds(started_at, GetCurrentTimestamp(),
											  FT_PLACE_KEPT_MS))
	{
		for (int i = 0; i < ft_shared->max_databases && !result; i++)
			result = ft_shared->databases[i].waits_for_executor;
	}
	LWLockRelease(ft_shared->lock);
	return result;
}

/*
 * A role or a membership has changed, or the database's privileges, by what
 * was committed before the present transaction began: whether this process
 * could connect now is for the scheduler to find out, and for another process
 * to try.
 */
static void
role_callback(Datum arg, int cache, uint32 hash)
{
	((FtExecutor *) DatumGetPointer(arg))->role_changed = true;
}

/* Who waits for a place may get this one, see pool.c. */
static void
publish_idle(FtExecutor *self)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	self->slot->process.state = FT_WORKER_SLEEPING;
	self->slot->idle_since = self->idle_since;
	LWLockRelease(ft_shared->lock);
	ft_wake_schedulers_waiting_for_executor();
}

/*
 * Say what this process is about to do.  False if the scheduler has given back
 * meanwhile what was claimed.
 */
static bool
publish_work(FtExecutor *self)
{
	FtExecutorSlot *slot = self->slot;
	bool		revoked;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	revoked = slot->revoked;
	slot->revoked = false;
	slot->waiting_steps = 0;
	slot->unbegun = false;
	if (!revoked)
	{
		slot->process.state = FT_WORKER_RUNNING;
		slot->last_tick = GetCurrentTimestamp();
		slot->executed = self->executed + 1;
		if (self->steps != NIL && !self->has_compensation && !ft_executor_group_is_next(self))
		{
			const FtStepClaim *claim = linitial(self->steps);

			slot->task_id = claim->task_id;
			slot->claimed_at = claim->claimed_at;
			slot->waiting_steps = list_length(self->steps) - 1;
			slot->unbegun = !claim->begun;
		}
	}
	LWLockRelease(ft_shared->lock);
	return !revoked;
}

/*
 * One step takes long, and others that were claimed wait for it, or nothing
 * says that its execution has begun: have the scheduler look.  This runs in a
 * signal handler, so no lock is taken; what is woken for nothing does no harm.
 */
static void
steps_are_overdue(void)
{
	Latch	   *scheduler = overdue_database->scheduler.latch;
	Latch	   *launcher = ft_shared->launcher.process.latch;

	pg_atomic_write_u32(&overdue_database->pending, 1);
	if (scheduler != NULL)
		SetLatch(scheduler);
	else if (launcher != NULL)
		SetLatch(launcher);
}

/* Run what has been claimed, in a session as good as new. */
static void
work(FtExecutor *self)
{
	int64		executed = self->executed;
	TimestampTz began_at;

	if (!publish_work(self))
	{
		ft_executor_release(self);
		return;
	}
	self->waiting = false;
	self->idle_since = 0;
	if (self->used)
		ft_executor_reset_session();
	self->worked = self->used = true;
	MemoryContextReset(self->run_context);
	began_at = GetCurrentTimestamp();
	self->executed++;
	if (self->has_compensation)
	{
		self->has_compensation = false;
		ft_executor_run_compensation(self);
	}
	else if (ft_executor_group_is_next(self))
		ft_executor_run_group(self);
	else
	{
		FtStepClaim *claim = linitial(self->steps);
		bool		watched = list_length(self->steps) > 1 || !claim->begun;

		if (watched)
			enable_timeout_after(overdue_timeout, FT_STEP_OVERDUE_MS + 1);
		ft_executor_run_step(self, claim);
		if (watched)
			disable_timeout(overdue_timeout, false);
	}
	self->batch = !TimestampDifferenceExceeds(began_at, GetCurrentTimestamp(),
											  QUICK_STEP_MS * (int) (self->executed - executed));
	pgstat_report_stat(false);
}

/*
 * There was nothing to claim.  Who says that this process is idle looks once
 * more: what became due before that was said has woken nobody.  False if it
 * has been idle for long enough.
 */
static bool
rest(FtExecutor *self)
{
	TimestampTz until;

	if (!self->waiting)
	{
		self->waiting = true;
		if (self->idle_since == 0)
			self->idle_since = GetCurrentTimestamp();
		/* what the last one has left locked is in the way of others */
		if (self->used)
			ft_executor_reset_session();
		self->used = false;
		publish_idle(self);
		return true;
	}
	until = TimestampTzPlusMilliseconds(self->idle_since, ft_executor_idle_timeout);
	if (!self->worked || GetCurrentTimestamp() >= until)
		return false;
	ft_worker_sleep(until, "FaultToleranceExecutor");
	if (GetCurrentTimestamp() < until)
		self->waiting = false;
	return true;
}

void
ft_executor_main(Datum main_arg)
{
	FtWorkerOrder order;
	FtExecutor	self = {0};

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	self.slot = &ft_shared->executors[order.slot];
	self.started_at = GetCurrentTimestamp();
	self.alone = order.alone;

	ft_worker_at_exit(executor_exit, PointerGetDatum(self.slot));
	if (!attach(&order, self.slot))
		proc_exit(0);

	ft_worker_signals();
	BackgroundWorkerInitializeConnectionByOid(order.dboid, order.owner, 0);
	ft_worker_pin_settings();
	ft_step_limit_init();
	CacheRegisterSyscacheCallback(AUTHOID, role_callback, PointerGetDatum(&self));
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_callback, PointerGetDatum(&self));
	CacheRegisterSyscacheCallback(DATABASEOID, role_callback, PointerGetDatum(&self));

	self.context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance executor",
										 ALLOCSET_DEFAULT_SIZES);
	self.run_context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance step",
											 ALLOCSET_DEFAULT_SIZES);
	overdue_timeout = RegisterTimeout(USER_TIMEOUT, steps_are_overdue);
	for (;;)
	{
		MemoryContextSwitchTo(self.context);
		ft_worker_next_round(NULL);

		if (self.role_changed || told_to_leave(self.slot, self.started_at))
			break;
		if (self.steps == NIL)
		{
			MemoryContextReset(self.context);
			if (!ft_executor_claim(&self))
			{
				if (!self.role_changed && !self.alone && rest(&self))
					continue;
				break;
			}
		}
		work(&self);
	}

	ft_executor_release(&self);
	fruitless = !self.worked && !self.role_changed && !ft_step_kept_back();
	leaving = true;
	proc_exit(0);
}
