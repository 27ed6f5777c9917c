/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  Waiting for the end of an execution.
 *
 * Who waits looks with a snapshot of its own each time, whatever the isolation
 * level of its transaction is, and sleeps in between.  Where the library is
 * preloaded it leaves its latch in shared memory, and the commit that ends the
 * execution sets it.  It looks now and then all the same: a prepared
 * transaction wakes nobody, nor does one on another server that this is a
 * standby of; and there may be more who wait than there are entries.
 *
 * A waiter enters itself, and then looks; whoever ends an execution commits,
 * and then looks for waiters.  So one of the two sees the other.
 *
 * A function is a part of its caller's statement, and that statement's snapshot
 * keeps vacuum from what dies meanwhile.  ft.await() is a procedure, which ends
 * its transaction before it sleeps, and holds nothing at all.
 *
 * Locking: the lock of this part, shared by who wakes.  Entries belong to the
 * process that took them.  Nothing is held while asleep, except what the
 * caller's own statement holds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "errors.h"
#include "orchestration/command.h"
#include "orchestration/execution.h"
#include "orchestration/wait.h"
#include "shmem.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_wait);
PG_FUNCTION_INFO_V1(ft_await);

#define MAX_WAITERS			256 /* with an entry, at a time */
#define MAX_ENDED			32	/* kept apart, of one transaction */
#define FIRST_SLEEP_MS		1
#define SLEEP_LIMIT_MS		100 /* where nobody wakes us */
#define LONG_SLEEP_LIMIT_MS	1000

typedef struct Waiter
{
	Latch	   *latch;			/* NULL where the entry is free */
	Oid			dboid;
	pg_uuid_t	execution_id;
} Waiter;

typedef struct WaitShared
{
	LWLock	   *lock;			/* constant */
	pg_atomic_uint32 waiting;	/* changed under the lock */
	Waiter		waiters[MAX_WAITERS];
} WaitShared;

static WaitShared *wait_shared = NULL;

/* The entry of this process, if it waits. */
static Waiter *my_entry = NULL;

/* Executions that the current transaction ends. */
static pg_uuid_t ended[MAX_ENDED];
static int	ended_count = 0;	/* beyond MAX_ENDED: all */

/* The status, who wrote it, and whether its recovery was given up. */
FT_STATEMENT(look,
			 "SELECT status, xmin,"
			 "       status = 'FAILED' AND NOT EXISTS"
			 "           (SELECT FROM ft.orchestration_failures AS failure"
			 "             WHERE failure.execution_id = $1"
			 "               AND NOT failure.recovered AND failure.given_up_at IS NULL)"
			 "  FROM ft.orchestration_executions WHERE execution_id = $1",
			 UUIDOID);

static Size
wait_size(void)
{
	return sizeof(WaitShared);
}

static void
wait_create(void *memory, LWLockPadded *locks)
{
	WaitShared *shared = memory;

	shared->lock = &locks[0].lock;
	pg_atomic_init_u32(&shared->waiting, 0);
}

static const FtShmemPart part = {
	.name = "wait",
	.size = wait_size,
	.locks = 1,
	.create = wait_create,
	.address = (void **) &wait_shared,
};

void
ft_wait_wake_at_commit(const pg_uuid_t *execution_id)
{
	if (wait_shared == NULL)
		return;
	if (ended_count < MAX_ENDED)
		ended[ended_count] = *execution_id;
	ended_count++;
}

static bool
has_ended(const pg_uuid_t *execution_id)
{
	if (ended_count > MAX_ENDED)
		return true;
	for (int i = 0; i < ended_count; i++)
	{
		if (ft_uuid_equal(&ended[i], execution_id))
			return true;
	}
	return false;
}

static void
wake_waiters(void)
{
	/* what was committed is to be visible before this is read */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&wait_shared->waiting) == 0)
		return;
	LWLockAcquire(wait_shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_WAITERS; i++)
	{
		Waiter	   *waiter = &wait_shared->waiters[i];

		if (waiter->latch != NULL && waiter->dboid == MyDatabaseId &&
			has_ended(&waiter->execution_id))
			SetLatch(waiter->latch);
	}
	LWLockRelease(wait_shared->lock);
}

static void
transaction_callback(XactEvent event, void *arg)
{
	if (ended_count == 0)
		return;
	if (event == XACT_EVENT_COMMIT)
		wake_waiters();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		ended_count = 0;
}

void
ft_wait_init(void)
{
	ft_shmem_register(&part);
	RegisterXactCallback(transaction_callback, NULL);
}

static void
leave(void)
{
	if (my_entry == NULL)
		return;
	LWLockAcquire(wait_shared->lock, LW_EXCLUSIVE);
	memset(my_entry, 0, sizeof(Waiter));
	pg_atomic_fetch_sub_u32(&wait_shared->waiting, 1);
	LWLockRelease(wait_shared->lock);
	my_entry = NULL;
}

static void
leave_at_exit(int code, Datum argument)
{
	leave();
}

/*
 * Take an entry, if there is one.  What is done while waiting may register
 * callbacks of its own, so that ours stays registered.
 */
static void
enter(const pg_uuid_t *execution_id)
{
	static bool registered = false;
	Waiter	   *entry = NULL;

	if (wait_shared == NULL)
		return;
	if (!registered)
		before_shmem_exit(leave_at_exit, (Datum) 0);
	registered = true;
	LWLockAcquire(wait_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_WAITERS && entry == NULL; i++)
	{
		if (wait_shared->waiters[i].latch == NULL)
			entry = &wait_shared->waiters[i];
	}
	if (entry != NULL)
	{
		entry->latch = MyLatch;
		entry->dboid = MyDatabaseId;
		entry->execution_id = *execution_id;
		pg_atomic_fetch_add_u32(&wait_shared->waiting, 1);
	}
	LWLockRelease(wait_shared->lock);
	my_entry = entry;
}

static void
report_gone(const pg_uuid_t *execution_id)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("execution %s does not exist any more", ft_uuid_string(execution_id)),
			 errdetail("It was removed while its end was waited for.")));
}

static void
report_own(const pg_uuid_t *execution_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("execution %s cannot end before this transaction does", ft_uuid_string(execution_id)),
			 errdetail("This transaction has started or changed it, and has not committed: it would wait for itself."),
			 errhint("Call ft.wait() after COMMIT.")));
}

/* Look once.  True if there is nothing to be waited for any more. */
static bool
look_once(const pg_uuid_t *execution_id, char **status, MemoryContext context)
{
	FtEngine	engine;
	bool		done;
	bool		isnull;

	ft_engine_enter(&engine);
	if (ft_run_latest(&look, FT_ARGS(FT_UUID(execution_id))) == 0)
		report_gone(execution_id);
	*status = MemoryContextStrdup(context, ft_column_text(0, 1));
	done = ft_execution_has_stopped(ft_execution_status_of(*status)) || ft_column_bool(0, 3);
	if (!done &&
		TransactionIdIsCurrentTransactionId(DatumGetTransactionId(ft_column(0, 2, &isnull))))
		report_own(execution_id);
	ft_engine_leave(&engine);
	return done;
}

/* Sleep until woken, and in any case not for longer than this. */
static void
sleep_for(long milliseconds)
{
	/* a snapshot of the catalogs would keep rows from being removed */
	InvalidateCatalogSnapshot();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 milliseconds, ft_wait_event("FaultToleranceWait"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Status in the end, in this context; whether transactions may be ended. */
static char *
wait_for_end(const pg_uuid_t *execution_id, TimestampTz until, MemoryContext context, bool by_itself)
{
	bool		has_entry = my_entry != NULL;
	long		limit = has_entry ? LONG_SLEEP_LIMIT_MS : SLEEP_LIMIT_MS;
	long		nap = has_entry ? SLEEP_LIMIT_MS : FIRST_SLEEP_MS;
	char	   *status;

	while (!look_once(execution_id, &status, context))
	{
		TimestampTz now = GetCurrentTimestamp();

		if (now >= until)
			break;
		pfree(status);
		if (by_itself)
			SPI_commit();
		sleep_for(until == DT_NOEND ? nap :
				  Min(nap, Max(TimestampDifferenceMilliseconds(now, until), 1)));
		nap = Min(nap * 2, limit);
		if (by_itself)
			EnsurePortalSnapshotExists();
	}
	return status;
}

/* When a wait that begins now is over. */
static TimestampTz
end_of_wait(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	Datum		until;

	if (PG_ARGISNULL(1))
		return DT_NOEND;
	until = DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
								PG_GETARG_DATUM(1));
	if (DatumGetTimestampTz(until) < now)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("timeout must not be negative"),
				 errdetail("The wait would have been over before it began."),
				 errhint("Pass null to wait without a limit, or 0 to look only once.")));
	return DatumGetTimestampTz(until);
}

/* Wait for an execution of the caller's. */
static char *
wait_for(FunctionCallInfo fcinfo, const char *function, MemoryContext context, bool by_itself)
{
	pg_uuid_t  *execution_id;
	TimestampTz until;
	FtExecution execution;
	FtEngine	engine;
	char	   *volatile status = NULL;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	execution_id = PG_GETARG_UUID_P(0);
	until = end_of_wait(fcinfo);
	if (ft_command_is_running())
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("a step or compensation cannot call %s", function),
				 errdetail("It would keep its executor from the steps that it waits for."),
				 errhint("Let the next task depend on what is to be waited for.")));

	ft_engine_enter(&engine);
	ft_execution_read(&execution, execution_id, engine.caller);
	ft_engine_leave(&engine);

	enter(execution_id);
	PG_TRY();
	{
		status = wait_for_end(execution_id, until, context, by_itself);
	}
	PG_FINALLY();
	{
		leave();
	}
	PG_END_TRY();
	return status;
}

/* ft.wait(execution_id uuid, timeout interval) returns text */
Datum
ft_wait(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wait_for(fcinfo, "ft.wait()", CurrentMemoryContext, false)));
}

/* ft.await(execution_id uuid, timeout interval, INOUT status text) */
Datum
ft_await(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	TupleDesc	descriptor;
	Datum		value;
	bool		isnull = false;
	char	   *status;

	if (!ft_is_called_by_itself(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("ft.await() cannot be called inside a transaction block"),
				 errdetail("It ends its transaction, so that it holds no snapshot while it waits."),
				 errhint("CALL it by itself, outside of BEGIN, functions, and blocks with EXCEPTION; elsewhere there is ft.wait().")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* what the caller has started before is to begin */
	SPI_commit();
	EnsurePortalSnapshotExists();
	status = wait_for(fcinfo, "ft.await()", context, true);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	value = CStringGetTextDatum(status);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), &value, &isnull)));
}
