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
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "orchestration/compensation.h"
#include "shmem.h"
#include "worker/executor.h"
#include "worker/worker.h"

#define START_BACKOFF_MS		1000
#define START_BACKOFF_LIMIT_MS	(60 * 1000)

/* An executor hands its place to others that wait after so long. */
#define PLACE_KEPT_MS			1000

static bool leaving = false;
static bool fruitless = false;	/* there was nothing to claim, ever */

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
			if (fruitless)
				ft_owner_rest(slot, executor->owner, GetCurrentTimestamp());
			else if (executor->executed > 0)
				ft_owner_wake(slot, executor->owner);
		}
		else if (slot != NULL && slot->quiesced == 0)
		{
			slot->executor_failures++;
			slot->executor_retry_at =
				TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											ft_backoff_ms(slot->executor_failures,
														  START_BACKOFF_MS,
														  START_BACKOFF_LIMIT_MS));
			ft_last_error_set(&slot->error, ERRCODE_ADMIN_SHUTDOWN,
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
		slot->paused_reason[0] != '\0';
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
	StartTransactionCommand();

	/* Closing portals may run the owner's code, so it comes first. */
	PortalHashTableDeleteAll();
	SetPGVariable("session_authorization", NIL, false);
	ft_worker_pin("role", "none");
	ResetAllOptions();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetTempTableNamespace();
	ResetSequenceCaches();

	CommitTransactionCommand();
}

/*
 * Claim the next execution.  The claim need not wait for the disk: if it is
 * lost in a crash, so is everything that was done under it.
 */
static bool
claim_next(FtCompensationClaim *claim, MemoryContext context)
{
	bool		claimed;

	ft_worker_begin("claiming");
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	MemoryContextSwitchTo(context);
	claimed = ft_compensation_claim(GetCurrentTimestamp(), claim);
	ft_worker_commit();
	MemoryContextSwitchTo(context);
	return claimed;
}

/* Run what was claimed; after an error, record it. */
static void
run_claimed(const FtCompensationClaim *claim, MemoryContext context)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		ft_worker_begin(claim->command);
		if (ft_step_timeout > 0)
			enable_timeout_after(STATEMENT_TIMEOUT, ft_step_timeout);
		ft_compensation_run(claim);

		/* Deferred triggers are part of it, so the limit holds for them. */
		ft_worker_commit();
		disable_timeout(STATEMENT_TIMEOUT, false);
	}
	PG_CATCH();
	{
		error = ft_worker_recover_from_error(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);

	/* A limit or cancel that came just too late is nobody's any more. */
	QueryCancelPending = false;

	if (error != NULL)
	{
		/* The command may have left the session such that this would fail. */
		reset_session();
		ft_worker_begin("recording a failure");
		ft_compensation_failed(claim, error);
		ft_worker_commit();
		MemoryContextSwitchTo(context);
	}
}

void
ft_executor_main(Datum main_arg)
{
	FtWorkerOrder order;
	FtExecutorSlot *executor;
	MemoryContext context;
	TimestampTz started_at = GetCurrentTimestamp();
	bool		reset = false;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	executor = &ft_shared->executors[order.slot];

	ft_worker_at_exit(executor_exit, PointerGetDatum(executor));
	if (!attach(&order, executor))
		proc_exit(0);

	ft_worker_signals();
	BackgroundWorkerInitializeConnectionByOid(order.dboid, order.owner, 0);
	ft_worker_pin_settings();

	context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance executor",
									ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		FtCompensationClaim claim;

		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		ft_worker_next_round(NULL);

		if (told_to_leave(executor, started_at))
			break;
		if (reset)
			reset_session();
		if (!claim_next(&claim, context))
		{
			fruitless = !reset;
			break;
		}

		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		executor->process.state = FT_WORKER_RUNNING;
		executor->last_tick = GetCurrentTimestamp();
		executor->executed++;
		LWLockRelease(ft_shared->lock);

		run_claimed(&claim, context);
		reset = true;
		pgstat_report_stat(false);
	}

	leaving = true;
	proc_exit(0);
}
