/*-------------------------------------------------------------------------
 *
 * slow_statement_ring.c
 *	  Slow statements, as they are kept in shared memory and shown.
 *
 * The newest ones are kept, fault_tolerance.slow_statement_entries of them.
 * Each has a number, so that it shows if some were overwritten unread.
 *
 * Locking: ring->lock protects everything that is not constant.  It is taken
 * exclusively by who adds a statement, for the time it takes to copy one, and
 * shared by readers, for one statement at a time.  Under it nothing is
 * allocated, no error can occur and no other lock is taken, so it may be taken
 * at the end of a transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "diagnostics/catalog_names.h"
#include "diagnostics/slow_statement.h"
#include "errors.h"
#include "guc.h"
#include "recode.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_slow_statements);
PG_FUNCTION_INFO_V1(ft_reset_slow_statements);

#define COLUMNS 28

typedef struct SlowRing
{
	LWLock	   *lock;			/* constant */
	int			size;			/* constant */
	uint64		last;			/* the number given last */
	uint64		hidden;			/* up to here they were reset */
	FtSlowStatement entries[FLEXIBLE_ARRAY_MEMBER];
} SlowRing;

static SlowRing *ring = NULL;

static Size
ring_size(void)
{
	return add_size(offsetof(SlowRing, entries),
					mul_size(ft_slow_statement_entries, sizeof(FtSlowStatement)));
}

static void
ring_create(void *memory, LWLockPadded *locks)
{
	ring->lock = &locks[0].lock;
	ring->size = ft_slow_statement_entries;
}

static const FtShmemPart ring_part = {
	.name = "slow statements",
	.size = ring_size,
	.locks = 1,
	.create = ring_create,
	.address = (void **) &ring,
};

void
ft_slow_ring_init(void)
{
	ft_shmem_register(&ring_part);
}

static FtSlowStatement *
entry_of(uint64 number)
{
	return &ring->entries[(number - 1) % ring->size];
}

/* Copy a statement: of its texts only as much as there is. */
static void
copy_statement(FtSlowStatement *to, const FtSlowStatement *from)
{
	memcpy(to, from, offsetof(FtSlowStatement, query));
	memcpy(to->query, from->query, strlen(from->query) + 1);
	memcpy(to->parameters, from->parameters, strlen(from->parameters) + 1);
	memcpy(to->plan, from->plan, strlen(from->plan) + 1);
}

/* Returns its number, 0 if none are kept. */
uint64
ft_slow_ring_add(FtSlowStatement *statement)
{
	uint64		number;

	if (ring == NULL || ring->size == 0)
		return 0;
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	number = ++ring->last;
	statement->number = number;
	copy_statement(entry_of(number), statement);
	LWLockRelease(ring->lock);
	return number;
}

/* What came after the end of a statement that was added before. */
void
ft_slow_ring_amend(uint64 number, int64 duration, int64 commit_duration,
				   bool failed, int sqlstate)
{
	FtSlowStatement *entry = entry_of(number);

	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	if (entry->number == number)
	{
		entry->duration = duration;
		entry->commit_duration = commit_duration;
		if (failed)
		{
			entry->failed = true;
			entry->sqlstate = sqlstate;
		}
	}
	LWLockRelease(ring->lock);
}

/* Copy statements, newest first; returns how many. */
static int
copy_ring(FtSlowStatement *copies)
{
	int			count = 0;
	uint64		number;

	LWLockAcquire(ring->lock, LW_SHARED);
	number = ring->last;
	LWLockRelease(ring->lock);

	for (; number > 0 && count < ring->size; number--)
	{
		bool		found;

		LWLockAcquire(ring->lock, LW_SHARED);
		found = number > ring->hidden && entry_of(number)->number == number;
		if (found)
			copy_statement(&copies[count], entry_of(number));
		LWLockRelease(ring->lock);
		if (!found)
			break;				/* reset or overwritten, as all before it */
		count++;
		CHECK_FOR_INTERRUPTS();
	}
	return count;
}

static Datum
interval_datum(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

/* A text that may be of another database. */
static Datum
text_datum(const char *string, int encoding)
{
	return CStringGetTextDatum(ft_recode(string, encoding));
}

static void
put_statement(ReturnSetInfo *result, const FtSlowStatement *slow, bool read_all)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	const FtDatabaseName *database = ft_database_name(slow->database);
	const FtRoleName *role = ft_role_name(slow->role);
	bool		visible = read_all || has_privs_of_role(GetUserId(), slow->role);
	int			i = 0;

	values[i++] = TimestampTzGetDatum(slow->query_start);
	values[i++] = interval_datum(slow->duration);
	values[i++] = Int32GetDatum(slow->pid);
	nulls[i] = database == NULL;
	values[i++] = database ? NameGetDatum(&database->name) : (Datum) 0;
	nulls[i] = role == NULL;
	values[i++] = role ? NameGetDatum(&role->name) : (Datum) 0;
	values[i++] = text_datum(slow->application_name, slow->encoding);
	values[i++] = visible ? text_datum(slow->query, slow->encoding) :
		CStringGetTextDatum("<insufficient privilege>");
	nulls[i] = slow->query_id == 0 || !visible;
	values[i++] = Int64GetDatum(slow->query_id);
	values[i++] = Int64GetDatum(slow->rows);
	values[i++] = BoolGetDatum(slow->failed);
	nulls[i] = !slow->failed || slow->sqlstate == 0;
	values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(unpack_sql_state(slow->sqlstate));
	i++;
	values[i++] = interval_datum(slow->commit_duration);
	values[i++] = Int64GetDatum(slow->shared_blks_hit);
	values[i++] = Int64GetDatum(slow->shared_blks_read);
	values[i++] = Int64GetDatum(slow->shared_blks_dirtied);
	values[i++] = Int64GetDatum(slow->shared_blks_written);
	values[i++] = Int64GetDatum(slow->temp_blks_read);
	values[i++] = Int64GetDatum(slow->temp_blks_written);
	values[i++] = Int64GetDatum(slow->wal_bytes);
	nulls[i] = slow->plan[0] == '\0' || !visible;
	values[i] = nulls[i] ? (Datum) 0 : text_datum(slow->plan, slow->encoding);
	i++;
	nulls[i] = slow->parameters[0] == '\0' || !visible;
	values[i] = nulls[i] ? (Datum) 0 : text_datum(slow->parameters, slow->encoding);
	i++;
	nulls[i] = slow->traceparent[0] == '\0' || !visible;
	values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(slow->traceparent);
	i++;
	values[i++] = BoolGetDatum(slow->nested);
	values[i++] = Int64GetDatum((int64) slow->number);
	values[i++] = TimestampTzGetDatum(slow->backend_start);
	nulls[i] = !OidIsValid(slow->database);
	values[i++] = ObjectIdGetDatum(slow->database);
	nulls[i] = !OidIsValid(slow->role);
	values[i++] = ObjectIdGetDatum(slow->role);
	values[i++] = TimestampTzGetDatum(slow->query_start + slow->duration);
	Assert(i == COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
ft_slow_statements(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		read_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	FtSlowStatement *copies;
	int			count;
	MemoryContext row_context;
	MemoryContext caller;

	ft_require_preload("ft.slow_statements()");
	InitMaterializedSRF(fcinfo, 0);

	copies = MemoryContextAllocHuge(CurrentMemoryContext,
									mul_size(Max(ring->size, 1), sizeof(FtSlowStatement)));
	count = copy_ring(copies);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "slow statements row",
										ALLOCSET_DEFAULT_SIZES);
	ft_names_begin();
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		caller = MemoryContextSwitchTo(row_context);
		put_statement(result, &copies[i], read_all);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(row_context);
	}
	ft_names_end();
	pfree(copies);
	return (Datum) 0;
}

/* Forget all of them; what runs now is kept when it ends. */
Datum
ft_reset_slow_statements(PG_FUNCTION_ARGS)
{
	ft_require_preload("ft.reset_slow_statements()");
	LWLockAcquire(ring->lock, LW_EXCLUSIVE);
	ring->hidden = ring->last;
	LWLockRelease(ring->lock);
	PG_RETURN_VOID();
}
