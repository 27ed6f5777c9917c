/*-------------------------------------------------------------------------
 *
 * deadlock_count.c
 *	  How many deadlocks were reported in each database, beside the server's
 *	  own count.
 *
 * The server counts every deadlock, also one that a function catches, which
 * never reaches the log; but it has counted since its statistics were reset
 * last, over many starts.  So what it has counted is noted when the server has
 * started, and both counts are compared from then on.  When its statistics are
 * found to have been reset, the comparison begins anew.
 *
 * The place of a database that was dropped is given to another one, which has
 * none, when both counts are compared; not before, as without the lock two
 * processes might take two places for one database.
 *
 * Locking: a database takes its place by a compare-and-swap, and the log hook
 * counts there without a lock.  shared->lock protects what is noted of the
 * server's counts, and who gives a place up or gets such a one.  The shared
 * statistics are walked before, with the locks that dead_tuples.c tells of, and
 * none of them is held with ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/dshash.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/pgstat_internal.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/deadlock.h"
#include "diagnostics/deadlock_count.h"
#include "errors.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_deadlock_counts);

#define MAX_DATABASES	1000	/* counted apart */
#define COLUMNS			7

/*
 * Where a place was given up; it is not free for who has no lock.  No database
 * has this OID.
 */
#define GIVEN_UP		((Oid) 2)

typedef struct DatabaseCount
{
	pg_atomic_uint32 database;	/* InvalidOid where the place is free, or
								 * GIVEN_UP */
	pg_atomic_uint64 reported;

	/* protected by the lock */
	TimestampTz since;			/* of the comparison; 0 if there is none */
	TimestampTz stats_reset;
	int64		server_base;	/* the server's count at that time */
	int64		reported_base;	/* ours */
} DatabaseCount;

typedef struct DeadlockCounts
{
	LWLock	   *lock;			/* constant */
	TimestampTz first_look;		/* at the server's counts; protected by lock */
	pg_atomic_uint64 elsewhere; /* reported in databases without a place */
	DatabaseCount databases[MAX_DATABASES];
} DeadlockCounts;

/* What the server says of a database. */
typedef struct ServerCount
{
	Oid			database;
	int64		deadlocks;
	TimestampTz stats_reset;
} ServerCount;

static DeadlockCounts *shared = NULL;

static Size
counts_size(void)
{
	return sizeof(DeadlockCounts);
}

static void
counts_create(void *memory, LWLockPadded *locks)
{
	shared->lock = &locks[0].lock;
	pg_atomic_init_u64(&shared->elsewhere, 0);
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		pg_atomic_init_u32(&shared->databases[i].database, InvalidOid);
		pg_atomic_init_u64(&shared->databases[i].reported, 0);
	}
}

static const FtShmemPart part = {
	.name = "deadlock counts",
	.size = counts_size,
	.locks = 1,
	.create = counts_create,
	.address = (void **) &shared,
};

void
ft_deadlock_count_init(void)
{
	ft_shmem_register(&part);
}

/* The place of a database; NULL if all are taken. */
static DatabaseCount *
place_of(Oid database)
{
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseCount *count = &shared->databases[i];
		uint32		here = pg_atomic_read_u32(&count->database);

		if (here == InvalidOid &&
			pg_atomic_compare_exchange_u32(&count->database, &here, database))
			return count;
		if (here == database)
			return count;
	}
	return NULL;
}

void
ft_deadlock_count(Oid database)
{
	DatabaseCount *count = OidIsValid(database) ? place_of(database) : NULL;

	pg_atomic_fetch_add_u64(count != NULL ? &count->reported : &shared->elsewhere, 1);
}

static ServerCount *
read_server_counts(int *length)
{
	int			size = 64;
	ServerCount *counts = palloc(size * sizeof(ServerCount));
	dshash_seq_status status;
	PgStatShared_HashEntry *entry;

	*length = 0;
	dshash_seq_init(&status, pgStatLocal.shared_hash, false);
	while ((entry = dshash_seq_next(&status)) != NULL)
	{
		PgStatShared_Database *statistics;

		if (entry->key.kind != PGSTAT_KIND_DATABASE || entry->dropped ||
			!OidIsValid(entry->key.dboid))
			continue;
		if (*length == size)
		{
			size *= 2;
			counts = repalloc(counts, size * sizeof(ServerCount));
		}
		statistics = (PgStatShared_Database *) dsa_get_address(pgStatLocal.dsa, entry->body);
		LWLockAcquire(&statistics->header.lock, LW_SHARED);
		counts[*length].database = entry->key.dboid;
		counts[*length].deadlocks = ft_stat_deadlocks(&statistics->stats);
		counts[*length].stats_reset = statistics->stats.stat_reset_timestamp;
		LWLockRelease(&statistics->header.lock);
		(*length)++;
	}
	dshash_seq_term(&status);
	return counts;
}

/* Does the server have statistics of a database? */
static bool
is_counted(Oid database, const ServerCount *servers, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (servers[i].database == database)
			return true;
	}
	return false;
}

/* Is a process connected to it?  It may be about to count there. */
static bool
is_in_use(Oid database)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const volatile PGPROC *proc = &ProcGlobal->allProcs[i];

		if (proc->pid != 0 && proc->databaseId == database)
			return true;
	}
	return false;
}

/*
 * Give up the places of databases that were dropped: with a database go its
 * statistics.  Only when none is free any more, as until then none is missing.
 */
static void
give_up_places(const ServerCount *servers, int length)
{
	if (pg_atomic_read_u32(&shared->databases[MAX_DATABASES - 1].database) == InvalidOid)
		return;
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseCount *count = &shared->databases[i];
		Oid			database = pg_atomic_read_u32(&count->database);

		if (database != GIVEN_UP && !is_counted(database, servers, length) &&
			!is_in_use(database))
			pg_atomic_write_u32(&count->database, GIVEN_UP);
	}
}

/* A place that was given up, for a database that has none; NULL if none is. */
static DatabaseCount *
reuse_place(Oid database)
{
	for (int i = 0; i < MAX_DATABASES; i++)
	{
		DatabaseCount *count = &shared->databases[i];

		if (pg_atomic_read_u32(&count->database) != GIVEN_UP)
			continue;
		pg_atomic_write_u64(&count->reported, 0);
		pg_write_barrier();
		pg_atomic_write_u32(&count->database, database);
		return count;
	}
	return NULL;
}

/* Begin to compare, or begin anew. */
static void
compare_from(DatabaseCount *count, const ServerCount *server, TimestampTz now)
{
	count->since = now;
	count->stats_reset = server->stats_reset;
	count->server_base = server->deadlocks;
	count->reported_base = (int64) pg_atomic_read_u64(&count->reported);
}

/*
 * See to it that each database is compared with the server.  One that was not
 * there when we looked first has had all its deadlocks since then; but if it
 * had no place until now, some were counted elsewhere.
 */
static void
compare(const ServerCount *servers, int length, TimestampTz now)
{
	bool		first = shared->first_look == 0;

	Assert(LWLockHeldByMeInMode(shared->lock, LW_EXCLUSIVE));
	if (first)
		shared->first_look = now;
	give_up_places(servers, length);
	for (int i = 0; i < length; i++)
	{
		const ServerCount *server = &servers[i];
		DatabaseCount *count = place_of(server->database);
		bool		reused = count == NULL;

		if (reused)
			count = reuse_place(server->database);
		if (count == NULL)
			continue;
		if (reused)
			compare_from(count, server, now);
		else if (count->since == 0 && !first)
		{
			count->since = shared->first_look;
			count->stats_reset = server->stats_reset;
		}
		else if (first || count->stats_reset != server->stats_reset ||
				 server->deadlocks < count->server_base)
			compare_from(count, server, now);
	}
}

void
ft_deadlock_sample(TimestampTz now)
{
	int			length;
	ServerCount *servers = read_server_counts(&length);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	compare(servers, length, now);
	LWLockRelease(shared->lock);
}

static void
put_count(ReturnSetInfo *result, const ServerCount *server, const DatabaseCount *count)
{
	const FtDatabaseName *database = ft_database_name(server->database);
	int64		reported = (int64) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &count->reported)) -
		count->reported_base;
	int64		counted = server->deadlocks - count->server_base;
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};

	nulls[0] = database == NULL;
	if (database != NULL)
		values[0] = NameGetDatum(&database->name);
	values[1] = Int64GetDatum(reported);
	values[2] = Int64GetDatum(counted);
	values[3] = Int64GetDatum(counted - reported);
	values[4] = TimestampTzGetDatum(count->since);
	values[5] = Int64GetDatum(server->deadlocks);
	values[6] = ObjectIdGetDatum(server->database);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ft.deadlock_counts()
 */
Datum
ft_deadlock_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseCount *counts;
	ServerCount *servers;
	int			length;

	ft_require_preload("ft.deadlock_counts()");
	InitMaterializedSRF(fcinfo, 0);
	Assert(result->setDesc->natts == COLUMNS);

	servers = read_server_counts(&length);
	counts = palloc(sizeof(shared->databases));
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	compare(servers, length, GetCurrentTimestamp());
	memcpy(counts, shared->databases, sizeof(shared->databases));
	LWLockRelease(shared->lock);

	ft_names_begin();
	for (int i = 0; i < length; i++)
	{
		for (int j = 0; j < MAX_DATABASES; j++)
		{
			if (pg_atomic_read_u32(&counts[j].database) == servers[i].database)
			{
				put_count(result, &servers[i], &counts[j]);
				break;
			}
		}
	}
	ft_names_end();
	return (Datum) 0;
}
