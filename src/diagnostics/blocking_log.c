/*-------------------------------------------------------------------------
 *
 * blocking_log.c
 *	  A line in the server log when blocking turns critical.
 *
 * When so many sessions wait that nobody can connect any more, the log is all
 * that is left to read: so the sampler writes there who is at the root of it.
 *
 * A root is told of when enough sessions have waited behind it for ten
 * seconds, or one for long enough, and once: not again before nobody has
 * waited for it in a sample.  Roots that were told of are kept in shared
 * memory, so that a sampler that starts anew does not tell of them again.  The
 * line names sessions by number, role, database and application; statements
 * are for the log's own settings.
 *
 * Locking: none of its own: only a task of the sampler comes here, and one
 * runs at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/backend_entry.h"
#include "diagnostics/blocking_log.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/prepared.h"
#include "guc.h"
#include "shmem.h"
#include "threshold.h"

/* Sessions that wait for less are not counted: a busy row always has some. */
#define COUNTED_WAIT_MS		(10 * 1000)

/* The same in pg_authid and in pg_database. */
#define OID_COLUMN	1
#define NAME_COLUMN	2

/* Roots that can be critical at a time; the log has enough to tell by then. */
#define MAX_TOLD	32

typedef struct Told
{
	int			pid;			/* 0 for a prepared transaction */
	TransactionId xid;			/* of a prepared transaction; 0: free place */
	TimestampTz backend_start;
	bool		used;
	bool		seen;			/* in this sample */
} Told;

typedef struct BlockingLogShared
{
	Told		told[MAX_TOLD];
} BlockingLogShared;

static BlockingLogShared *shared = NULL;

/* What waits behind one root. */
typedef struct Behind
{
	int			waiting;
	int			counted;		/* for long enough */
	int64		longest;		/* microseconds */
} Behind;

static Size
blocking_log_size(void)
{
	return sizeof(BlockingLogShared);
}

static void
blocking_log_create(void *memory, LWLockPadded *locks)
{
}

static const FtShmemPart part = {
	.name = "blocking_log",
	.size = blocking_log_size,
	.create = blocking_log_create,
	.address = (void **) &shared,
};

void
ft_blocking_log_init(void)
{
	ft_shmem_register(&part);
}

/* What is behind each root, by node. */
static Behind *
count_behind(const FtLockSnapshot *snapshot, const FtBlockingForest *forest, TimestampTz now)
{
	Behind	   *behind = palloc0(sizeof(Behind) * (forest->node_count + 1));

	for (int i = 0; i < forest->node_count; i++)
	{
		const FtBlockingNode *node = &forest->nodes[i];
		Behind	   *root = &behind[node->root];
		TimestampTz start;

		if (node->waiter < 0 || node->root == i)
			continue;
		root->waiting++;
		start = snapshot->processes[node->waiter].wait_start;
		if (start == 0 || start > now)
			continue;
		root->longest = Max(root->longest, now - start);
		root->counted += now - start >= COUNTED_WAIT_MS * INT64CONST(1000);
	}
	return behind;
}

static bool
is_critical(const Behind *behind)
{
	int			sessions = ft_log_blocking_sessions;
	int64		wait = ft_log_blocking_wait * INT64CONST(1000);

	if (sessions < 0)
		sessions = (int) ft_threshold_shipped("blocked_sessions")->critical;
	if (wait < 0)
		wait = (int64) (ft_threshold_shipped("lock_wait")->critical * USECS_PER_SEC);
	return (sessions > 0 && behind->counted >= sessions) ||
		(wait > 0 && behind->longest >= wait);
}

/* The note on a root; if there is none, a free place for one, or NULL. */
static Told *
find_told(int pid, TransactionId xid, TimestampTz backend_start)
{
	Told	   *place = NULL;

	for (int i = 0; i < MAX_TOLD; i++)
	{
		Told	   *told = &shared->told[i];

		if (!told->used)
			place = place == NULL ? told : place;
		else if (told->pid == pid && told->xid == xid && told->backend_start == backend_start)
			return told;
	}
	return place;
}

static void
append_duration(StringInfo text, TimestampTz since, TimestampTz now)
{
	if (since != 0 && since <= now)
		appendStringInfo(text, " for " INT64_FORMAT " s", (now - since) / USECS_PER_SEC);
}

/*
 * Append the name of a role or a database, or its number where the name cannot
 * be had at once.
 *
 * The catalog is read from its beginning: a process that is connected to no
 * database has no caches to look in, nor always the indexes of shared catalogs.
 */
static void
append_name(StringInfo text, Oid catalog, Oid oid)
{
	Relation	relation;
	TableScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		isnull;

	if (ft_partition_waiters() > FT_MAX_PARTITION_WAITERS ||
		!ConditionalLockRelationOid(catalog, AccessShareLock))
	{
		appendStringInfo(text, "%u", oid);
		return;
	}
	relation = table_open(catalog, NoLock);
	ScanKeyInit(&key, OID_COLUMN, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(oid));
	scan = table_beginscan_catalog(relation, 1, &key);
	tuple = heap_getnext(scan, ForwardScanDirection);
	if (HeapTupleIsValid(tuple))
		appendStringInfo(text, "\"%s\"",
						 NameStr(*DatumGetName(heap_getattr(tuple, NAME_COLUMN,
															RelationGetDescr(relation), &isnull))));
	else
		appendStringInfo(text, "%u", oid);
	table_endscan(scan);
	table_close(relation, AccessShareLock);
}

static void
append_identity(StringInfo text, Oid role, Oid database)
{
	appendStringInfoString(text, "user ");
	append_name(text, AuthIdRelationId, role);
	if (!OidIsValid(database))
		return;
	appendStringInfoString(text, ", database ");
	append_name(text, DatabaseRelationId, database);
}

StaticAssertDecl(Anum_pg_authid_oid == OID_COLUMN && Anum_pg_database_oid == OID_COLUMN &&
				 Anum_pg_authid_rolname == NAME_COLUMN && Anum_pg_database_datname == NAME_COLUMN,
				 "catalogs have other columns");

static void
describe_session(StringInfo text, const FtBackendEntry *entry, TimestampTz now)
{
	const PgBackendStatus *status = &entry->status;
	const char *state = ft_backend_state_name(status->st_state);

	append_identity(text, status->st_userid, status->st_databaseid);
	if (entry->application[0] != '\0')
		appendStringInfo(text, ", application \"%s\"", entry->application);
	if (state != NULL)
	{
		appendStringInfo(text, ", %s", state);
		append_duration(text, status->st_state_start_timestamp, now);
	}
	if (status->st_xact_start_timestamp != 0)
	{
		appendStringInfoString(text, ", transaction open");
		append_duration(text, status->st_xact_start_timestamp, now);
	}
}

static void
tell_of_session(const FtBackendEntry *entry, const Behind *behind, TimestampTz now)
{
	StringInfoData text;

	initStringInfo(&text);
	describe_session(&text, entry, now);
	ereport(LOG,
			(errmsg("blocking is critical: process %d blocks %d sessions, one of them for " INT64_FORMAT " s",
					entry->status.st_procpid, behind->waiting, behind->longest / USECS_PER_SEC),
			 errdetail("It is %s.", text.data),
			 errhint("SELECT * FROM ft.lock_tree shows all of them. Where nobody can connect any more, \"pg_ctl kill TERM %d\" on the server's machine ends this session.",
					 entry->status.st_procpid),
			 errhidestmt(true), errhidecontext(true)));
	pfree(text.data);
}

static void
tell_of_prepared(const FtLockProcess *process, const PGPROC *proc, const Behind *behind,
				 TimestampTz now)
{
	FtPrepared	prepared;
	char		gid[GIDSIZE];
	StringInfoData name;
	StringInfoData text;

	initStringInfo(&name);
	initStringInfo(&text);
	append_identity(&text, proc->roleId, proc->databaseId);
	if (ft_prepared_lookup(process->xid, &prepared, gid))
	{
		appendStringInfo(&name, "\"%s\"", prepared.gid);
		appendStringInfoString(&text, ", prepared");
		append_duration(&text, prepared.prepared_at, now);
	}
	else
		appendStringInfo(&name, "%u", process->xid);
	ereport(LOG,
			(errmsg("blocking is critical: prepared transaction %s blocks %d sessions, one of them for " INT64_FORMAT " s",
					name.data, behind->waiting, behind->longest / USECS_PER_SEC),
			 errdetail("It is of %s.", text.data),
			 errhint("COMMIT PREPARED or ROLLBACK PREPARED in that database, as its coordinator has decided; pg_prepared_xacts lists them."),
			 errhidestmt(true), errhidecontext(true)));
	pfree(name.data);
	pfree(text.data);
}

/*
 * Tell of one root, if that is not done yet.  Names are read inside a
 * transaction, which the sampler else has none of; where they cannot be had at
 * once, numbers stand for them.
 */
static void
tell(const FtLockSnapshot *snapshot, const FtBlockingNode *node, const Behind *behind,
	 bool critical, TimestampTz now)
{
	const FtLockProcess *process = &snapshot->processes[node->procno];
	FtBackendReader *reader = ft_backend_reader();
	FtBackendEntry entry;
	TimestampTz start = 0;
	Told	   *told;
	MemoryContext context = CurrentMemoryContext;
	bool		own = !IsTransactionState();

	if (process->pid != 0)
	{
		if (!ft_backend_entry(reader, node->procno, process->pid, &entry))
			return;
		start = entry.status.st_proc_start_timestamp;
	}
	told = find_told(process->pid, process->pid == 0 ? process->xid : 0, start);
	if (told == NULL)
		return;
	if (told->used || !critical)
	{
		told->seen = true;
		return;
	}

	told->pid = process->pid;
	told->xid = process->pid == 0 ? process->xid : 0;
	told->backend_start = start;
	told->used = told->seen = true;

	if (own)
		StartTransactionCommand();
	MemoryContextSwitchTo(context);
	(void) GetTransactionSnapshot();
	if (process->pid != 0)
		tell_of_session(&entry, behind, now);
	else
		tell_of_prepared(process, &ProcGlobal->allProcs[node->procno], behind, now);
	if (own)
		CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

static bool
something_told(void)
{
	for (int i = 0; i < MAX_TOLD; i++)
	{
		if (shared->told[i].used)
			return true;
	}
	return false;
}

void
ft_blocking_log(const FtLockSnapshot *snapshot, const FtBlockingForest *forest,
				TimestampTz now)
{
	bool		told = something_told();
	Behind	   *behind;

	if (forest == NULL && !told)
		return;
	for (int i = 0; i < MAX_TOLD; i++)
		shared->told[i].seen = false;

	if (forest != NULL)
	{
		behind = count_behind(snapshot, forest, now);
		for (int i = 0; i < forest->node_count; i++)
		{
			bool		critical = is_critical(&behind[i]);

			/* one that waits itself is no root: its blocker is not known */
			if (snapshot->source != FT_SOURCE_LOCK_MANAGER && forest->nodes[i].waiter >= 0)
				continue;
			if (behind[i].waiting > 0 && (critical || told))
				tell(snapshot, &forest->nodes[i], &behind[i], critical, now);
		}

		/* without the lock table holders may be unknown: nothing has ended */
		if (snapshot->source != FT_SOURCE_LOCK_MANAGER)
			return;
	}
	for (int i = 0; i < MAX_TOLD; i++)
	{
		if (shared->told[i].used && !shared->told[i].seen)
			shared->told[i].used = false;
	}
}
