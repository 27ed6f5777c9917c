/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  What the background workers have in common: how they are registered,
 *	  take their slot, hold their settings, survive an error, and sleep.
 *
 * A worker is assigned to a slot, under the lock, before it is registered,
 * with an id that is never used again.  It takes the slot only if the id is
 * still there, so one that comes too late finds out and leaves.
 *
 * Locking: ft_shared->lock, held by the callers where it says so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "replication/slot.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fault_tolerance.h"
#include "shmem.h"
#include "worker/worker.h"

/*
 * How many dynamic workers the extension runs at a time, in all databases.
 * At most half of the server's, and the launcher counts: the other half is
 * for parallel queries, replication and other extensions.
 */
static int
dynamic_workers_limit(void)
{
	return Max(2, max_worker_processes / 2 - 1);
}

/*
 * Is there a place for one more worker?  Schedulers leave one place to
 * executors, or many databases with work would do none of it.  The caller
 * holds the lock.
 */
bool
ft_worker_place_free(bool scheduler)
{
	int			schedulers;
	int			workers = ft_dynamic_workers(&schedulers);

	if (workers >= dynamic_workers_limit())
		return false;
	return !scheduler || schedulers < dynamic_workers_limit() - 1;
}

/* Note in a slot that a worker is about to be registered for it. */
void
ft_worker_assign(FtProcess *process)
{
	Assert(LWLockHeldByMeInMode(ft_shared->lock, LW_EXCLUSIVE));

	ft_process_clear(process);
	process->state = FT_WORKER_STARTING;
	process->worker_id = ++ft_shared->last_worker_id;
	process->started_at = GetCurrentTimestamp();
}

/*
 * Register a dynamic worker.  It is never restarted by the postmaster: after
 * a crash that would double the ones that the launcher starts.
 */
bool
ft_worker_register(const char *kind, const char *function,
				   const FtWorkerOrder *order, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	StaticAssertStmt(sizeof(FtWorkerOrder) <= BGW_EXTRALEN,
					 "order of a worker does not fit");

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, FT_EXTENSION_NAME, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_type, BGW_MAXLEN, "%s %s", FT_EXTENSION_NAME, kind);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s %s for database %u",
			 FT_EXTENSION_NAME, kind, order->dboid);
	memcpy(worker.bgw_extra, order, sizeof(FtWorkerOrder));

	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Let others see this process.  The caller holds the lock. */
void
ft_worker_attach(FtProcess *process, FtWorkerState state)
{
	Assert(LWLockHeldByMeInMode(ft_shared->lock, LW_EXCLUSIVE));

	process->state = state;
	process->pid = MyProcPid;
	process->latch = MyLatch;
	ft_my_worker_id = process->worker_id;
}

/*
 * Have something done when this process ends, however it does.  Called before
 * the process connects to a database, so that by then it is in no list of
 * processes any more: who is woken by it finds it gone.
 */
void
ft_worker_at_exit(void (*callback) (int code, Datum arg), Datum arg)
{
	Assert(!OidIsValid(MyDatabaseId));
	on_shmem_exit(callback, arg);
}

void
ft_worker_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/*
 * Fix a setting for this process.  The value is also what RESET goes back to,
 * so nothing that is run here can undo it for good.
 */
void
ft_worker_pin(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Settings that defaults of a database or a role could turn against any
 * worker: what would end the session, make each transaction fail, or damage
 * data in silence.
 */
void
ft_worker_pin_settings(void)
{
	ft_worker_pin("application_name", MyBgworkerEntry->bgw_type);
	ft_worker_pin("role", "none");
	ft_worker_pin("zero_damaged_pages", "false");
	ft_worker_pin("exit_on_error", "false");
	ft_worker_pin("statement_timeout", "0");
	ft_worker_pin("lock_timeout", "0");
	ft_worker_pin("idle_in_transaction_session_timeout", "0");
#ifdef FT_HAVE_TRANSACTION_TIMEOUT
	ft_worker_pin("transaction_timeout", "0");
#endif
	ft_worker_pin("default_transaction_isolation", "read committed");
	ft_worker_pin("default_transaction_read_only", "false");
	ft_worker_pin("default_transaction_deferrable", "false");
}

/*
 * Between two rounds of a worker's loop: see to signals.  The latch is reset
 * first, so that what comes after is not slept through.
 */
void
ft_worker_next_round(bool *reloaded)
{
	ResetLatch(MyLatch);

	/* A worker that is busy might else outlive the server that started it. */
	if (!PostmasterIsAlive())
		proc_exit(1);

	/* There is nothing to cancel between two rounds. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();

	if (!ConfigReloadPending)
		return;

	/* Cleared first: a signal that comes while reading asks for more. */
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (reloaded != NULL)
		*reloaded = true;
}

/*
 * To be called in PG_CATCH: report the error, end its transaction and go on
 * in the given context, as the top level of a backend does.  Returns a copy of
 * the error in that context.
 */
ErrorData *
ft_worker_recover_from_error(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false; /* second, to avoid a race */

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	error_context_stack = NULL;
	EmitErrorReport();

	AbortCurrentTransaction();

	/* What is not the transaction's, and must not outlive an error either. */
	PortalErrorCleanup();
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	jit_reset_after_error();

	/* In case there was no transaction that would have released them. */
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();

	MemoryContextSwitchTo(context);
	FlushErrorState();
	RESUME_INTERRUPTS();

	debug_query_string = NULL;
	pgstat_report_activity(STATE_IDLE, NULL);
	return error;
}

/* Begin a transaction with a snapshot. */
void
ft_worker_begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	debug_query_string = activity;
	pgstat_report_activity(STATE_RUNNING, activity);
}

void
ft_worker_commit(void)
{
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	CommitTransactionCommand();
	debug_query_string = NULL;
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Sleep until the latch is set or the time has come.  No transaction and no
 * snapshot is held here.  The caller resets the latch, before it looks for
 * what may have set it.
 */
void
ft_worker_sleep(TimestampTz until, const char *wait_event)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long		timeout = -1;

	Assert(!IsTransactionState());

	pgstat_report_stat(true);
	if (until != DT_NOEND)
	{
		TimestampTz now = GetCurrentTimestamp();

		events |= WL_TIMEOUT;
		timeout = until <= now ? 0 : TimestampDifferenceMilliseconds(now, until);
	}
	(void) WaitLatch(MyLatch, events, Min(timeout, PG_INT32_MAX),
					 ft_wait_event(wait_event));
}
