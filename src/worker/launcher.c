/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The launcher: starts a scheduler for each database that has work.
 *
 * The launcher is connected to no database.  It reads pg_database and keeps
 * the slots in step with it; whether a database has the extension only a
 * scheduler can tell, so each database is given one at first sight, one
 * database at a time.  Databases found without the extension are remembered
 * here and hold no slot; CREATE EXTENSION makes one itself when it commits.
 * Where there is none for it, all that is remembered is forgotten: each of
 * these databases waits for a slot, and is looked at again.
 *
 * Then it starts a scheduler wherever work is pending or due, and sleeps
 * until the next is.  Schedulers leave when they have nothing to do and put
 * the time of their next work into their slot.
 *
 * Its own errors end the process with status 1, and the postmaster starts it
 * again; all that matters is in shared memory.
 *
 * Locking: ft_shared->lock.  pg_database is read without it, and what was
 * read is then compared with the slots; a database that comes or goes in
 * between sets the rescan flag.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "fault_tolerance.h"
#include "guc.h"
#include "shmem.h"
#include "worker/launcher.h"
#include "worker/scheduler.h"
#include "worker/worker.h"

#define RESTART_INTERVAL_S		5
#define RESCAN_INTERVAL_MS		(60 * 1000)
#define NO_PLACE_RETRY_MS		1000
#define START_BACKOFF_MS		1000
#define START_BACKOFF_LIMIT_MS	(60 * 1000)

static HTAB *absent = NULL;		/* Oids of databases without the extension */
static BackgroundWorkerHandle **handles = NULL; /* one for each slot */
static TimestampTz last_rescan = 0;

void
ft_launcher_init(void)
{
	BackgroundWorker worker;

	if (!ft_workers)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_INTERVAL_S;
	strlcpy(worker.bgw_library_name, FT_EXTENSION_NAME, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ft_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, FT_EXTENSION_NAME " launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, FT_EXTENSION_NAME " launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
launcher_exit(int code, Datum arg)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	ft_process_clear(&ft_shared->launcher.process);
	LWLockRelease(ft_shared->lock);
}

/* Databases that a worker may connect to, as a list of Oid in the context. */
static List *
read_databases(MemoryContext context)
{
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();

	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext caller;

		/* A limit below -1 marks a database whose DROP was interrupted. */
		if (database->datistemplate || !database->datallowconn ||
			database->datconnlimit < -1)
			continue;
		caller = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(caller);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);

	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* Forget what is gone among the databases known to lack the extension. */
static void
prune_absent(List *databases)
{
	HASH_SEQ_STATUS status;
	Oid		   *dboid;

	hash_seq_init(&status, absent);
	while ((dboid = hash_seq_search(&status)) != NULL)
	{
		if (!list_member_oid(databases, *dboid))
			hash_search(absent, dboid, HASH_REMOVE, NULL);
	}
}

static void
forget_absent(void)
{
	HASH_SEQ_STATUS status;
	Oid		   *dboid;

	hash_seq_init(&status, absent);
	while ((dboid = hash_seq_search(&status)) != NULL)
		hash_search(absent, dboid, HASH_REMOVE, NULL);
}

/*
 * Bring the slots in step with pg_database.  Returns how many databases found
 * no slot.
 */
static int
match_slots(List *databases)
{
	ListCell   *cell;
	int			without_slot = 0;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];

		if (!OidIsValid(slot->dboid) || slot->quiesced > 0 ||
			list_member_oid(databases, slot->dboid))
			continue;

		/* Dropped, or no place for workers any more. */
		slot->unwanted = true;
		if (slot->scheduler.latch != NULL)
			SetLatch(slot->scheduler.latch);
	}
	foreach(cell, databases)
	{
		Oid			dboid = lfirst_oid(cell);
		bool		lacks_it = hash_search(absent, &dboid, HASH_FIND, NULL) != NULL;
		FtDatabaseSlot *slot;

		/* One known to lack the extension has a slot if it no longer does. */
		slot = lacks_it ? ft_slot_find(dboid) : ft_slot_find_or_create(dboid);
		if (slot != NULL)
		{
			if (!lacks_it)
				slot->only_quiesced = false;
			slot->verified = true;
			slot->unwanted = false;
		}
		else if (!lacks_it)
			without_slot++;
	}
	LWLockRelease(ft_shared->lock);
	return without_slot;
}

/* Read the list of databases where it may have changed, or once a minute. */
static void
rescan_if_due(TimestampTz now, MemoryContext context)
{
	bool		asked;
	bool		look_again;
	int			without_slot;
	int			without_slot_before;
	List	   *databases;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	asked = ft_shared->launcher.rescan;
	ft_shared->launcher.rescan = false;
	look_again = ft_shared->launcher.look_again;
	ft_shared->launcher.look_again = false;
	without_slot_before = ft_shared->launcher.databases_without_slot;
	LWLockRelease(ft_shared->lock);

	if (!asked && !TimestampDifferenceExceeds(last_rescan, now, RESCAN_INTERVAL_MS))
		return;
	last_rescan = now;

	databases = read_databases(context);
	if (look_again)
		forget_absent();
	prune_absent(databases);
	without_slot = match_slots(databases);

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	ft_shared->launcher.databases_without_slot = without_slot;
	LWLockRelease(ft_shared->lock);

	if (without_slot > 0 && without_slot_before == 0)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("fault_tolerance has no room for all databases"),
				 errdetail_plural("%d database is not looked at.",
								  "%d databases are not looked at.",
								  without_slot, without_slot),
				 errhint("Increase \"%s\" and restart the server.",
						 "fault_tolerance.max_databases")));
}

/* A worker that was registered never appeared: try again, a bit later. */
static void
give_up_lost_scheduler(int index, TimestampTz now)
{
	FtDatabaseSlot *slot = &ft_shared->databases[index];
	pid_t		pid;
	bool		stopped;

	/*
	 * Only this process registers schedulers, so the handle is that of the
	 * slot's worker.  One that was there and left has taken itself out.
	 */
	stopped = handles[index] != NULL &&
		GetBackgroundWorkerPid(handles[index], &pid) == BGWH_STOPPED;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot->scheduler.state == FT_WORKER_STARTING &&
		(stopped || ft_process_lost(&slot->scheduler, now)))
	{
		ft_process_clear(&slot->scheduler);
		slot->failures++;
		slot->retry_at =
			TimestampTzPlusMilliseconds(now, ft_backoff_ms(slot->failures,
														   START_BACKOFF_MS,
														   START_BACKOFF_LIMIT_MS));
	}
	LWLockRelease(ft_shared->lock);
}

/*
 * Free the slot of a database that turned out to lack the extension, or that
 * is not to have a worker.
 */
static void
free_useless_slot(int index)
{
	FtDatabaseSlot *slot = &ft_shared->databases[index];
	Oid			dboid = slot->dboid;
	bool		freed = false;
	bool		remember = false;

	/* Memory is allocated before the lock is taken. */
	hash_search(absent, &dboid, HASH_ENTER, NULL);

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (slot->dboid == dboid && slot->scheduler.state == FT_WORKER_NONE &&
		slot->quiesced == 0 &&
		(slot->unwanted || slot->extension == FT_EXTENSION_ABSENT))
	{
		freed = true;
		remember = !slot->unwanted;
		ft_slot_free(slot);
		if (ft_shared->launcher.databases_without_slot > 0)
			ft_shared->launcher.rescan = true;
	}
	LWLockRelease(ft_shared->lock);

	if (!freed || !remember)
		hash_search(absent, &dboid, HASH_REMOVE, NULL);
}

static void
tidy_slots(TimestampTz now)
{
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];

		/* Looked at without the lock: what matters is looked at again. */
		if (slot->scheduler.state == FT_WORKER_STARTING)
			give_up_lost_scheduler(i, now);
		if (slot->unwanted || slot->extension == FT_EXTENSION_ABSENT)
			free_useless_slot(i);
	}
}

/* When a scheduler is to be started for this slot; DT_NOEND if none is. */
static TimestampTz
start_time(FtDatabaseSlot *slot)
{
	TimestampTz at = slot->next_due;

	if (!OidIsValid(slot->dboid) || slot->quiesced > 0 ||
		slot->scheduler.state != FT_WORKER_NONE ||
		!slot->verified || slot->unwanted || slot->extension == FT_EXTENSION_ABSENT)
		return DT_NOEND;
	if (pg_atomic_read_u32(&slot->pending) != 0 ||
		slot->extension == FT_EXTENSION_UNKNOWN)
		at = DT_NOBEGIN;
	return Max(at, slot->retry_at);
}

/*
 * Ask schedulers that wait for something to leave, so that another database
 * can have their place.  They come back when it is time.
 */
static void
ask_for_places(int wanted)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	ft_shared->launcher.schedulers_wanted = wanted;
	for (int i = 0; i < ft_shared->max_databases && wanted > 0; i++)
	{
		FtProcess  *scheduler = &ft_shared->databases[i].scheduler;

		if (scheduler->state == FT_WORKER_SLEEPING)
			SetLatch(scheduler->latch);
	}
	LWLockRelease(ft_shared->lock);
}

/* Start the scheduler of one slot.  False if there was no worker for it. */
static bool
start_scheduler(int index, TimestampTz now)
{
	FtDatabaseSlot *slot = &ft_shared->databases[index];
	FtWorkerOrder order;
	MemoryContext caller;
	bool		registered;

	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	if (start_time(slot) > now || !ft_worker_place_free(true))
	{
		LWLockRelease(ft_shared->lock);
		return false;
	}
	ft_worker_assign(&slot->scheduler);
	memset(&order, 0, sizeof(order));
	order.slot = index;
	order.dboid = slot->dboid;
	order.worker_id = slot->scheduler.worker_id;
	LWLockRelease(ft_shared->lock);

	if (handles[index] != NULL)
		pfree(handles[index]);
	handles[index] = NULL;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	registered = ft_worker_register("scheduler", "ft_scheduler_main", &order,
									&handles[index]);
	MemoryContextSwitchTo(caller);

	if (!registered)
	{
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		if (slot->scheduler.worker_id == order.worker_id)
			ft_process_clear(&slot->scheduler);
		ft_last_error_set(&ft_shared->launcher.error,
						  ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						  "no background worker slot was free; increase \"max_worker_processes\"");
		LWLockRelease(ft_shared->lock);
	}
	return registered;
}

/*
 * Which scheduler to start next: index of its slot, or -1.  Of those with
 * known work, the one that had none for longest; then, one at a time, one to
 * look at a database for the first time.  Also tells how many are to be
 * started in all, and when to look again if none is.
 */
static int
choose_slot(TimestampTz now, int *wanted, TimestampTz *next)
{
	int			chosen = -1;
	int			unknown = -1;
	bool		looking = false;

	*wanted = 0;
	*next = DT_NOEND;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];
		TimestampTz at = start_time(slot);

		if (!OidIsValid(slot->dboid))
			continue;
		if (slot->extension == FT_EXTENSION_UNKNOWN &&
			slot->scheduler.state != FT_WORKER_NONE)
			looking = true;
		if (at > now)
		{
			*next = Min(*next, at);
			continue;
		}
		if (slot->extension == FT_EXTENSION_UNKNOWN)
		{
			if (unknown < 0)
				unknown = i;
			continue;
		}
		(*wanted)++;
		if (chosen < 0 || slot->last_tick < ft_shared->databases[chosen].last_tick)
			chosen = i;
	}
	LWLockRelease(ft_shared->lock);

	if (chosen < 0 && !looking && unknown >= 0)
	{
		chosen = unknown;
		*wanted = 1;
	}
	return chosen;
}

/* Start what is to be started; returns when to look again. */
static TimestampTz
start_schedulers(TimestampTz now)
{
	TimestampTz next;
	int			wanted;
	int			index;

	while ((index = choose_slot(now, &wanted, &next)) >= 0)
	{
		if (!start_scheduler(index, now))
		{
			next = Min(next, TimestampTzPlusMilliseconds(now, NO_PLACE_RETRY_MS));
			break;
		}
	}
	ask_for_places(wanted);
	return next;
}

/*
 * The configuration file was read again.  Schedulers that are there read it
 * themselves.  Databases that rest are to look whether they may be worked, if
 * that may have changed.
 */
static void
wake_after_reload(bool auto_recovery_before)
{
	LWLockAcquire(ft_shared->lock, LW_SHARED);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		FtDatabaseSlot *slot = &ft_shared->databases[i];

		if (OidIsValid(slot->dboid) &&
			(ft_auto_recovery != auto_recovery_before || slot->paused_reason[0] != '\0'))
			pg_atomic_write_u32(&slot->pending, 1);
	}
	LWLockRelease(ft_shared->lock);
}

void
ft_launcher_main(Datum main_arg)
{
	MemoryContext context;
	HASHCTL		info;

	ft_worker_signals();
	ft_worker_at_exit(launcher_exit, (Datum) 0);
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	ft_worker_assign(&ft_shared->launcher.process);
	ft_worker_attach(&ft_shared->launcher.process, FT_WORKER_CONNECTING);
	ft_shared->launcher.rescan = true;
	LWLockRelease(ft_shared->lock);

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	ft_worker_pin_settings();
	ft_worker_pin("search_path", "");

	handles = MemoryContextAllocZero(TopMemoryContext,
									 sizeof(*handles) * ft_shared->max_databases);
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(Oid);
	info.entrysize = sizeof(Oid);
	info.hcxt = TopMemoryContext;
	absent = hash_create("fault_tolerance databases without extension", 64,
						 &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance launcher",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	for (;;)
	{
		TimestampTz now;
		TimestampTz next;
		bool		reloaded = false;
		bool		auto_recovery = ft_auto_recovery;

		ft_worker_next_round(&reloaded);
		if (reloaded)
			wake_after_reload(auto_recovery);

		now = GetCurrentTimestamp();
		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		ft_shared->launcher.process.state = FT_WORKER_RUNNING;
		ft_shared->launcher.last_tick = now;
		LWLockRelease(ft_shared->lock);

		/* what the scan finds to be unwanted is tidied away at once */
		rescan_if_due(now, context);
		tidy_slots(now);
		next = start_schedulers(now);
		next = Min(next, TimestampTzPlusMilliseconds(last_rescan, RESCAN_INTERVAL_MS));

		LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
		ft_shared->launcher.process.state = FT_WORKER_SLEEPING;
		ft_shared->launcher.next_due = next;
		if (ft_shared->launcher.rescan)
			next = now;
		LWLockRelease(ft_shared->lock);

		MemoryContextReset(context);
		ft_worker_sleep(next, "FaultToleranceLauncher");
	}
}
