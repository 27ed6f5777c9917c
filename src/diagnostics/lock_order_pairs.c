/*-------------------------------------------------------------------------
 *
 * lock_order_pairs.c
 *	  In which order transactions lock relations: what is known of them all,
 *	  and which of it can deadlock.
 *
 * Kept is, for two relations, that transactions held a lock on the first in
 * some mode when they asked for one on the second in some mode, how many did,
 * and an example.  Two transactions can deadlock if each holds what the other
 * one asks for: their orders are opposite, and the modes conflict on both
 * relations, or on one, and both write to the other, where they may meet at a
 * row.  If both write to both, rows are all it takes.  And two of the same
 * kind can deadlock on a single relation, if each has a lock already that the
 * stronger one of the other has to wait for.
 *
 * The table is of fixed size.  What finds no place in it is counted.
 *
 * Locking: pairs->lock protects everything that is not constant or atomic.
 * Under it nothing is allocated, no error can occur and no other lock is
 * taken, so it may be taken at the end of a transaction.  Readers copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "diagnostics/catalog_names.h"
#include "diagnostics/lock_order.h"
#include "errors.h"
#include "guc.h"
#include "redact.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_lock_order_conflicts);
PG_FUNCTION_INFO_V1(ft_lock_order_state);
PG_FUNCTION_INFO_V1(ft_reset_lock_order);

#define CONFLICT_COLUMNS	13
#define STATE_COLUMNS		6

/* What transactions did; without padding, to be hashed. */
typedef struct PairKey
{
	Oid			database;
	Oid			held_relid;
	Oid			wanted_relid;
	uint8		held_mode;
	uint8		wanted_mode;
	uint8		held_write;		/* rows of it are changed or locked */
	uint8		wanted_write;
} PairKey;

typedef struct Pair
{
	PairKey		key;
	int64		transactions;
	TimestampTz last_seen;
	char		statement[FT_LOCK_ORDER_TEXT];	/* that wanted the second */
} Pair;

typedef struct LockPairs
{
	LWLock	   *lock;			/* constant */
	int			size;			/* constant: length of pairs */
	int			buckets;		/* constant: length of index, a power of 2 */
	pg_atomic_uint32 generation;	/* grows with each reset */
	TimestampTz since;
	int			used;			/* pairs */
	int64		unrecorded;		/* times that a pair found no place */
	int64		truncated;		/* transactions with too many locks */
	int		   *index;			/* constant pointer: number of pair + 1, or 0 */
	Pair		pairs[FLEXIBLE_ARRAY_MEMBER];
} LockPairs;

static LockPairs *shared = NULL;

static int
bucket_count(void)
{
	int			buckets = 16;

	while (buckets < 2 * ft_lock_order_pairs)
		buckets *= 2;
	return buckets;
}

static Size
pairs_size(void)
{
	Size		size = offsetof(LockPairs, pairs);

	size = add_size(size, mul_size(ft_lock_order_pairs, sizeof(Pair)));
	return add_size(size, mul_size(bucket_count(), sizeof(int)));
}

static void
pairs_create(void *memory, LWLockPadded *locks)
{
	shared->lock = &locks[0].lock;
	shared->size = ft_lock_order_pairs;
	shared->buckets = bucket_count();
	shared->index = (int *) &shared->pairs[shared->size];
	shared->since = GetCurrentTimestamp();
	pg_atomic_init_u32(&shared->generation, 1);
}

static const FtShmemPart pairs_part = {
	.name = "lock order",
	.size = pairs_size,
	.locks = 1,
	.create = pairs_create,
	.address = (void **) &shared,
};

void
ft_lock_pairs_init(void)
{
	ft_shmem_register(&pairs_part);
}

bool
ft_lock_pairs_there(void)
{
	return shared != NULL && shared->size > 0;
}

uint32
ft_lock_pairs_generation(void)
{
	return pg_atomic_read_u32(&shared->generation);
}

/* ---- Adding ---- */

/* Find or make a pair; NULL if there is no place for it. */
static Pair *
find_or_make(const PairKey *key)
{
	uint32		bucket = hash_bytes((const unsigned char *) key, sizeof(PairKey));

	for (;; bucket++)
	{
		int		   *place = &shared->index[bucket & (shared->buckets - 1)];

		if (*place == 0)
		{
			if (shared->used == shared->size)
				return NULL;
			*place = ++shared->used;
			memset(&shared->pairs[*place - 1], 0, sizeof(Pair));
			shared->pairs[*place - 1].key = *key;
		}
		if (memcmp(&shared->pairs[*place - 1].key, key, sizeof(PairKey)) == 0)
			return &shared->pairs[*place - 1];
	}
}

static void
add_pair(const FtLockStep *held, const FtLockStep *wanted, int64 transactions,
		 const char *text, TimestampTz now)
{
	PairKey		key = {0};
	Pair	   *pair;

	key.database = MyDatabaseId;
	key.held_relid = held->relid;
	key.wanted_relid = wanted->relid;
	key.held_mode = held->mode;
	key.wanted_mode = wanted->mode;
	key.held_write = held->write;
	key.wanted_write = wanted->write;

	pair = find_or_make(&key);
	if (pair == NULL)
	{
		shared->unrecorded += transactions;
		return;
	}
	pair->transactions += transactions;
	pair->last_seen = now;
	if (text !=NULL && pair->statement[0] == '\0')
		strlcpy(pair->statement, text, sizeof(pair->statement));
}

/*
 * So many transactions of this process took these locks.  Locks of one
 * statement count as in no order, unless it is known.  Where not all orders are
 * to be counted, there is a bit in orders of each lock for each that was held.
 */
void
ft_lock_pairs_add(const FtLockStep *steps, int count, int64 transactions,
				  const uint32 *orders, char (*texts)[FT_LOCK_ORDER_TEXT],
				  bool truncated)
{
	TimestampTz now = GetCurrentTimestamp();

	StaticAssertStmt(FT_LOCK_ORDER_STEPS <= 32, "orders have a bit for each lock");

	if (texts != NULL && count > 0)
	{
		for (int i = 0; i <= steps[count - 1].statement; i++)
		{
			ft_redact_passwords(texts[i], FT_LOCK_ORDER_TEXT);
		}
	}

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int wanted = 1; wanted < count; wanted++)
	{
		for (int held = 0; held < wanted; held++)
		{
			if (steps[held].statement == steps[wanted].statement && !steps[wanted].ordered)
				continue;
			if (orders != NULL && (orders[wanted] & ((uint32) 1 << held)) == 0)
				continue;
			add_pair(&steps[held], &steps[wanted], transactions,
					 texts ? texts[steps[wanted].statement] : NULL, now);
		}
	}
	if (truncated)
		shared->truncated += transactions;
	LWLockRelease(shared->lock);
}

/* ---- Showing ---- */

static Oid
low_relid(const Pair *pair)
{
	return Min(pair->key.held_relid, pair->key.wanted_relid);
}

static Oid
high_relid(const Pair *pair)
{
	return Max(pair->key.held_relid, pair->key.wanted_relid);
}

/* By both relations, whichever came first; then by order and modes. */
static int
compare_pairs(const void *a, const void *b)
{
	const Pair *left = (const Pair *) a;
	const Pair *right = (const Pair *) b;

	if (low_relid(left) != low_relid(right))
		return low_relid(left) < low_relid(right) ? -1 : 1;
	if (high_relid(left) != high_relid(right))
		return high_relid(left) < high_relid(right) ? -1 : 1;
	return memcmp(&left->key, &right->key, sizeof(PairKey));
}

static int
copy_pairs(Pair **copy)
{
	int			count = 0;
	Pair	   *pairs = MemoryContextAllocHuge(CurrentMemoryContext,
											   mul_size(Max(shared->size, 1), sizeof(Pair)));

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < shared->used; i++)
	{
		if (shared->pairs[i].key.database == MyDatabaseId)
			pairs[count++] = shared->pairs[i];
	}
	LWLockRelease(shared->lock);
	qsort(pairs, count, sizeof(Pair), compare_pairs);
	*copy = pairs;
	return count;
}

/*
 * Can two transactions, each of which did one of these, deadlock?  Each must
 * have what the other one wants: the locks on both relations conflict, or, if
 * rows is true, rows may be the same.
 */
static bool
can_deadlock(const Pair *a, const Pair *b, bool rows)
{
	bool		table_of_a;		/* a wants a lock that b's excludes */
	bool		table_of_b;

	if (a->key.held_relid != b->key.wanted_relid || a->key.wanted_relid != b->key.held_relid)
		return false;
	table_of_a = DoLockModesConflict(a->key.wanted_mode, b->key.held_mode);
	table_of_b = DoLockModesConflict(b->key.wanted_mode, a->key.held_mode);
	if (a->key.held_relid == a->key.wanted_relid)
		return !rows && table_of_a && table_of_b &&
			!DoLockModesConflict(a->key.held_mode, b->key.held_mode);
	if (rows == (table_of_a || table_of_b))
		return false;
	return (table_of_a || (a->key.wanted_write && b->key.held_write)) &&
		(table_of_b || (b->key.wanted_write && a->key.held_write));
}

static Datum
modes_datum(const Pair *pair)
{
	return CStringGetTextDatum(psprintf("%s, %s",
										GetLockmodeName(DEFAULT_LOCKMETHOD, pair->key.held_mode),
										GetLockmodeName(DEFAULT_LOCKMETHOD, pair->key.wanted_mode)));
}

static Datum
statement_datum(const Pair *pair, bool read_all)
{
	return CStringGetTextDatum(read_all ? pair->statement : "<insufficient privilege>");
}

/* One row: two orders that can deadlock.  The lower relation comes first. */
static void
put_conflict(ReturnSetInfo *result, const char *kind, const Pair *a, const Pair *b, bool read_all)
{
	Datum		values[CONFLICT_COLUMNS] = {0};
	bool		nulls[CONFLICT_COLUMNS] = {0};
	char	   *first = ft_relation_name(a->key.held_relid);
	char	   *second = ft_relation_name(a->key.wanted_relid);
	int			i = 0;

	values[i++] = CStringGetTextDatum(kind);
	nulls[i] = first == NULL;
	values[i++] = first ? CStringGetTextDatum(first) : (Datum) 0;
	nulls[i] = second == NULL;
	values[i++] = second ? CStringGetTextDatum(second) : (Datum) 0;
	values[i++] = Int64GetDatum(a->transactions);
	values[i++] = Int64GetDatum(b->transactions);
	values[i++] = modes_datum(a);
	values[i++] = modes_datum(b);
	values[i++] = statement_datum(a, read_all);
	values[i++] = statement_datum(b, read_all);
	values[i++] = TimestampTzGetDatum(a->last_seen);
	values[i++] = TimestampTzGetDatum(b->last_seen);
	values[i++] = ObjectIdGetDatum(a->key.held_relid);
	values[i++] = ObjectIdGetDatum(a->key.wanted_relid);
	Assert(i == CONFLICT_COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Show what can deadlock among pairs of the same two relations: of each kind
 * the two that were seen most.
 */
static void
put_group(ReturnSetInfo *result, const Pair *pairs, int count, bool read_all)
{
	for (int rows = 0; rows <= 1; rows++)
	{
		const Pair *best_a = NULL;
		const Pair *best_b = NULL;

		for (int a = 0; a < count; a++)
		{
			/* each two once, the one that takes the lower first in front */
			if (pairs[a].key.held_relid > pairs[a].key.wanted_relid)
				continue;
			for (int b = 0; b < count; b++)
			{
				if (!can_deadlock(&pairs[a], &pairs[b], rows))
					continue;
				if (best_a == NULL ||
					Min(pairs[a].transactions, pairs[b].transactions) >
					Min(best_a->transactions, best_b->transactions))
				{
					best_a = &pairs[a];
					best_b = &pairs[b];
				}
			}
		}
		if (best_a == NULL)
			continue;
		put_conflict(result,
					 best_a->key.held_relid == best_a->key.wanted_relid ? "lock upgrade" :
					 rows ? "write" : "table lock", best_a, best_b, read_all);
	}
}

Datum
ft_lock_order_conflicts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		read_all = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	Pair	   *pairs;
	int			count;

	ft_require_preload("ft.lock_order_conflicts()");
	InitMaterializedSRF(fcinfo, 0);
	ft_lock_order_flush();

	count = copy_pairs(&pairs);
	ft_names_begin();
	for (int first = 0, next; first < count; first = next)
	{
		CHECK_FOR_INTERRUPTS();
		for (next = first + 1; next < count &&
			 low_relid(&pairs[next]) == low_relid(&pairs[first]) &&
			 high_relid(&pairs[next]) == high_relid(&pairs[first]); next++)
			;
		put_group(result, &pairs[first], next - first, read_all);
	}
	ft_names_end();
	pfree(pairs);
	return (Datum) 0;
}

/* How much is kept, and what is not. */
Datum
ft_lock_order_state(PG_FUNCTION_ARGS)
{
	Datum		values[STATE_COLUMNS] = {0};
	bool		nulls[STATE_COLUMNS] = {0};
	TupleDesc	desc;
	int			i = 0;

	ft_require_preload("ft.lock_order_state()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[i++] = BoolGetDatum(ft_track_lock_order && shared->size > 0);
	LWLockAcquire(shared->lock, LW_SHARED);
	values[i++] = TimestampTzGetDatum(shared->since);
	values[i++] = Int32GetDatum(shared->used);
	values[i++] = Int32GetDatum(shared->size);
	values[i++] = Int64GetDatum(shared->unrecorded);
	values[i++] = Int64GetDatum(shared->truncated);
	LWLockRelease(shared->lock);
	Assert(i == STATE_COLUMNS);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
ft_reset_lock_order(PG_FUNCTION_ARGS)
{
	ft_require_preload("ft.reset_lock_order()");
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->used = 0;
	shared->unrecorded = 0;
	shared->truncated = 0;
	shared->since = GetCurrentTimestamp();
	memset(shared->index, 0, shared->buckets * sizeof(int));
	pg_atomic_fetch_add_u32(&shared->generation, 1);
	LWLockRelease(shared->lock);
	PG_RETURN_VOID();
}
