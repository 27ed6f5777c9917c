/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  The executor: runs the commands of one owner, as that owner.
 *
 * The session is the owner's own, not a superuser's that pretends to be it:
 * whatever the command does, there is nothing above the owner to go back to.
 *
 * Each execution is a claim, which is a small transaction of its own that
 * need not reach the disk, and then the command and the record of its
 * completion in one transaction.  Where that fails, a third transaction says
 * so.  Between two executions the session is reset.
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

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/owner.h"
#include "orchestration/queue.h"
#include "orchestration/step.h"
#include "orchestration/step_alone.h"
#include "orchestration/step_group.h"
#include "orchestration/suspect.h"
#include "shmem.h"
#include "step_limit.h"
#include "transaction.h"
#include "worker/executor.h"
#include "worker/worker.h"

#define START_BACKOFF_MS		1000
#define START_BACKOFF_LIMIT_MS	(60 * 1000)

/* An executor hands its place to others that wait after so long. */
#define PLACE_KEPT_MS			1000

/* How often compensations are looked for first. */
#define COMPENSATION_TURN		16

/* After steps that took less several are claimed at a time. */
#define QUICK_STEP_MS			5

static bool leaving = false;
static bool role_changed = false;	/* what let this process connect, perhaps */
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
											  PLACE_KEPT_MS))
	{
		for (int i = 0; i < ft_shared->max_databases && !result; i++)
			result = ft_shared->databases[i].waits_for_executor;
	}
	LWLockRelease(ft_shared->lock);
	return result;
}

/*
 * Between two executions: nothing of the session's state may reach from one
 * to the next.  This is what DISCARD ALL does, except that plans are kept.
 */
static void
reset_session(void)
{
	MemoryContext caller = CurrentMemoryContext;

	StartTransactionCommand();

	/* Closing portals may run the owner's code, so it comes first. */
	PortalHashTableDeleteAll();
	SetPGVariable("session_authorization", NIL, false);
	ft_worker_pin("role", "none");
	ResetAllOptions();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);

	/*
	 * deleting from catalogs takes a snapshot, as in
	 * RemoveTempRelationsCallback
	 */
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	ResetSequenceCaches();

	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}

/* What this process is at, and what it does next. */
typedef struct Executor
{
	FtExecutorSlot *slot;
	MemoryContext context;		/* reset when there is nothing to go on with */
	MemoryContext run_context;	/* reset before each run */
	TimestampTz started_at;
	List	   *steps;			/* of FtStepClaim, to be run one after another */
	FtCompensationClaim compensation;
	bool		has_compensation;
	int			rounds;
	int64		executed;
	bool		alone;			/* run suspects and nothing else, see pool.c */
	bool		batch;			/* the last steps were quick: claim several */
	bool		worked;			/* it has run something */
	bool		used;			/* and the session was not reset since */
	bool		waiting;		/* others may take it for idle */
	TimestampTz idle_since;
} Executor;

/*
 * A role or a membership has changed, or the database's privileges, by what
 * was committed before the present transaction began: whether this process
 * could connect now is for the scheduler to find out, and for another process
 * to try.
 */
static void
role_callback(Datum arg, int cache, uint32 hash)
{
	role_changed = true;
}

/*
 * A claim need not wait for the disk: if it is lost in a crash, so is
 * everything that was done under it.  Only who is sought for a crash has to be
 * found by his claim.
 */
static void
begin_claiming(const Executor *self)
{
	bool		must_last = self->alone || ft_suspect_claims_must_last();

	ft_worker_begin("claiming");
	(void) set_config_option("synchronous_commit", must_last ? "local" : "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static bool
claim_compensation(Executor *self)
{
	begin_claiming(self);
	MemoryContextSwitchTo(self->context);
	self->has_compensation = !role_changed &&
		ft_compensation_claim(GetCurrentTimestamp(),
							  self->alone ? FT_COMPENSATIONS_SUSPECT : FT_COMPENSATIONS_UNSUSPECTED,
							  &self->compensation);
	if (self->has_compensation)
		ft_queue_moved_on(NULL);
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	return self->has_compensation;
}

static bool
claim_steps(Executor *self)
{
	begin_claiming(self);
	MemoryContextSwitchTo(self->context);
	self->steps = role_changed ? NIL : ft_step_claim(GetCurrentTimestamp(), self->batch);
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	return self->steps != NIL;
}

static bool
claim_suspect(Executor *self)
{
	FtStepClaim *claim = NULL;

	begin_claiming(self);
	MemoryContextSwitchTo(self->context);
	if (!role_changed)
		claim = ft_step_claim_suspect(GetCurrentTimestamp(),
									  self->alone ? FT_SUSPICION_SERVER : FT_SUSPICION_EXECUTOR);
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	if (claim != NULL)
		self->steps = list_make1(claim);
	return claim != NULL;
}

/*
 * Claim what is next.  Steps and compensations take turns in being looked for
 * first, with more turns for steps: of them there are more.
 */
static bool
claim_next(Executor *self)
{
	if (self->alone)
		return claim_suspect(self) || claim_compensation(self);
	if (self->rounds++ % COMPENSATION_TURN == 0)
		return claim_compensation(self) || claim_suspect(self) || claim_steps(self);
	return claim_steps(self) || claim_compensation(self) || claim_suspect(self);
}

/*
 * Run something in a transaction of its own, with deferred triggers as a part
 * of it.  Returns the error that ended it, or NULL.  A negative timeout leaves
 * limits to the body.
 */
static ErrorData *
run_in_transaction(Executor *self, const char *activity, int64 timeout,
				   void (*body) (Executor *self, void *claim), void *claim)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		ft_worker_begin(activity);
		if (timeout >= 0)
			ft_step_limit_begin(ft_step_limit_of(timeout));
		MemoryContextSwitchTo(self->run_context);
		body(self, claim);
		ft_worker_commit();
		ft_step_limit_end();
	}
	PG_CATCH();
	{
		error = ft_worker_recover_from_error(self->run_context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(self->context);

	/* A limit or cancel that came just too late is nobody's any more. */
	QueryCancelPending = false;

	/* The command may have left the session such that recording would fail. */
	if (error != NULL)
		reset_session();
	return error;
}

/*
 * Is the owner still one that a process could connect as?  If not, he has lost
 * what he needs for his steps, too, or is about to: that one of them has failed
 * says nothing about it.  It is given back, and parked with the others.
 */
static bool
owner_is_there(void)
{
	return ft_owner_can_connect(GetSessionUserId());
}

static void
compensation_body(Executor *self, void *claim)
{
	ft_compensation_run(claim);
}

static void
run_compensation(Executor *self)
{
	ErrorData  *error = run_in_transaction(self, self->compensation.command, 0,
										   compensation_body, &self->compensation);

	if (error != NULL)
	{
		ft_worker_begin("recording a failure");
		if (owner_is_there())
			ft_compensation_failed(&self->compensation, error);
		else
			ft_compensation_release(&self->compensation);
		ft_worker_commit();
		MemoryContextSwitchTo(self->context);
	}
}

/* What a step is about to go on with counts only when it has committed. */
static FtStepClaim *successor;

static void
step_body(Executor *self, void *claim)
{
	successor = ft_step_run(claim, !self->alone);
}

static bool has_command;

static void
alone_prepare_body(Executor *self, void *alone)
{
	has_command = ft_step_alone_prepare(alone);
}

static void
alone_command_body(Executor *self, void *alone)
{
	ft_step_alone_command(alone);
}

static void
alone_complete_body(Executor *self, void *alone)
{
	successor = ft_step_alone_complete(alone, true);
}

/* Run a step whose command is no part of a transaction, see step_alone.c. */
static ErrorData *
run_alone(Executor *self, FtStepClaim *claim)
{
	FtStepAlone *alone;
	ErrorData  *error;

	/* it outlives the transactions that it takes */
	MemoryContextSwitchTo(self->run_context);
	alone = ft_step_alone(claim);
	error = run_in_transaction(self, claim->name, claim->timeout, alone_prepare_body, alone);
	if (error == NULL && has_command)
	{
		error = run_in_transaction(self, claim->command, claim->timeout,
								   alone_command_body, alone);
		if (error == NULL)
			reset_session();
		MemoryContextSwitchTo(self->context);
	}
	if (error == NULL)
		error = run_in_transaction(self, claim->name, 0, alone_complete_body, alone);
	return error;
}

static void
run_step(Executor *self, FtStepClaim *claim)
{
	ErrorData  *error;

	self->steps = list_delete_first(self->steps);
	successor = NULL;
	if (claim->in_transaction)
		error = run_in_transaction(self, claim->command ? claim->command : claim->name,
								   claim->timeout, step_body, claim);
	else
		error = run_alone(self, claim);
	if (error != NULL)
	{
		ft_worker_begin("recording a failure");
		if (owner_is_there())
			ft_step_failed(claim, error);
		else
			(void) ft_step_release(claim);
		ft_worker_commit();
		MemoryContextSwitchTo(self->context);
	}
	else if (successor != NULL)
		self->steps = lcons(successor, self->steps);
	ft_step_claim_free(claim);
}

/* Do the steps that are next share a transaction? */
static bool
group_is_next(const Executor *self)
{
	return list_length(self->steps) > 1 &&
		ft_step_may_group(linitial(self->steps)) && ft_step_may_group(lsecond(self->steps));
}

/* The same for what a group has done. */
static List *group_done;
static List *group_successors;

static void
group_body(Executor *self, void *claims)
{
	MemoryContextSwitchTo(self->context);
	group_done = ft_step_run_group(claims, self->run_context, &group_successors);
}

/*
 * Run steps that share a transaction.  Where that fails none of them is to
 * blame, and each runs alone.
 */
static void
run_group(Executor *self)
{
	ListCell   *cell;

	group_done = group_successors = NIL;
	if (run_in_transaction(self, "short steps", -1, group_body, self->steps) != NULL)
	{
		foreach(cell, self->steps)
			((FtStepClaim *) lfirst(cell))->alone = true;
		return;
	}
	/* the first is counted as what it all began with */
	self->executed += Max(list_length(group_done), 1) - 1;
	foreach(cell, group_done)
	{
		self->steps = list_delete_ptr(self->steps, lfirst(cell));
		ft_step_claim_free(lfirst(cell));
	}
	self->steps = list_concat(group_successors, self->steps);
}

/*
 * What was claimed and will not be run here is for others.  Where that cannot
 * be said, because somebody has the execution locked, the step stays.
 */
static void
release_steps(Executor *self)
{
	List	   *kept = NIL;
	ListCell   *cell;

	if (self->steps == NIL)
		return;
	ft_worker_begin("releasing");
	MemoryContextSwitchTo(self->context);
	foreach(cell, self->steps)
	{
		if (!ft_step_release(lfirst(cell)))
			kept = lappend(kept, lfirst(cell));
	}
	ft_worker_commit();
	MemoryContextSwitchTo(self->context);
	self->steps = kept;
}

static void
publish_idle(Executor *self)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	self->slot->process.state = FT_WORKER_SLEEPING;
	LWLockRelease(ft_shared->lock);
}

/*
 * Say what this process is about to do.  False if the scheduler has given back
 * meanwhile what was claimed.
 */
static bool
publish_work(Executor *self)
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
		if (self->steps != NIL && !self->has_compensation && !group_is_next(self))
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
work(Executor *self)
{
	int			steps = list_length(self->steps);
	TimestampTz began_at;

	if (!publish_work(self))
	{
		release_steps(self);
		return;
	}
	self->waiting = false;
	self->idle_since = 0;
	if (self->used)
		reset_session();
	self->worked = self->used = true;
	MemoryContextReset(self->run_context);
	began_at = GetCurrentTimestamp();
	self->executed++;
	if (self->has_compensation)
	{
		self->has_compensation = false;
		run_compensation(self);
	}
	else if (group_is_next(self))
		run_group(self);
	else
	{
		FtStepClaim *claim = linitial(self->steps);
		bool		watched = steps > 1 || !claim->begun;

		if (watched)
			enable_timeout_after(overdue_timeout, FT_STEP_OVERDUE_MS + 1);
		run_step(self, claim);
		if (watched)
			disable_timeout(overdue_timeout, false);
	}
	self->batch = !TimestampDifferenceExceeds(began_at, GetCurrentTimestamp(),
											  QUICK_STEP_MS * Max(1, steps - list_length(self->steps)));
	pgstat_report_stat(false);
}

/*
 * There was nothing to claim.  Who says that this process is idle looks once
 * more: what became due before that was said has woken nobody.  False if it
 * has been idle for long enough.
 */
static bool
rest(Executor *self)
{
	TimestampTz until;

	if (!self->waiting)
	{
		self->waiting = true;
		if (self->idle_since == 0)
			self->idle_since = GetCurrentTimestamp();
		/* what the last one has left locked is in the way of others */
		if (self->used)
			reset_session();
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
	Executor	self = {0};

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
	CacheRegisterSyscacheCallback(AUTHOID, role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, role_callback, (Datum) 0);

	self.context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance executor",
										 ALLOCSET_DEFAULT_SIZES);
	self.run_context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance step",
											 ALLOCSET_DEFAULT_SIZES);
	overdue_timeout = RegisterTimeout(USER_TIMEOUT, steps_are_overdue);
	for (;;)
	{
		MemoryContextSwitchTo(self.context);
		ft_worker_next_round(NULL);

		if (role_changed || told_to_leave(self.slot, self.started_at))
			break;
		if (self.steps == NIL)
		{
			MemoryContextReset(self.context);
			if (!claim_next(&self))
			{
				if (!role_changed && !self.alone && rest(&self))
					continue;
				break;
			}
		}
		work(&self);
	}

	release_steps(&self);
	fruitless = !self.worked && !role_changed && !ft_step_kept_back();
	leaving = true;
	proc_exit(0);
}
