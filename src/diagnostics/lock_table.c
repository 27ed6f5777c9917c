/*-------------------------------------------------------------------------
 *
 * lock_table.c
 *	  How full the lock table is.
 *
 * When it is full, "out of shared memory" hits whoever asks for the next lock.
 * Its entries are counted by the table itself; pg_locks would have to copy all
 * of it, and does not count locks but holders.
 *
 * The two hash tables are private to the lock manager.  We attach to them by
 * their names in shared memory, as a process of a server that was compiled with
 * EXEC_BACKEND does, and read their counts, nothing else.
 *
 * Locking: ShmemIndexLock when attaching, once in a session; the counts are
 * read without a lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(ft_lock_table_counts);

/* The same as in the server's lock.c. */
static long
sized_for(void)
{
	return (long) max_locks_per_xact * (MaxBackends + max_prepared_xacts);
}

static HTAB *
attach_locks(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(LOCKTAG);
	info.entrysize = sizeof(LOCK);
	info.num_partitions = NUM_LOCK_PARTITIONS;
	return ShmemInitHash("LOCK hash", sized_for() / 2, sized_for(), &info,
						 HASH_ELEM | HASH_BLOBS | HASH_PARTITION);
}

/* Never called: entries are counted, not looked for. */
static uint32
no_hash(const void *key, Size size)
{
	elog(ERROR, "the lock table is not to be searched here");
}

static HTAB *
attach_holders(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(PROCLOCKTAG);
	info.entrysize = sizeof(PROCLOCK);
	info.hash = no_hash;
	info.num_partitions = NUM_LOCK_PARTITIONS;
	return ShmemInitHash("PROCLOCK hash", sized_for(), 2 * sized_for(), &info,
						 HASH_ELEM | HASH_FUNCTION | HASH_PARTITION);
}

/*
 * ft.lock_table_counts()
 */
Datum
ft_lock_table_counts(PG_FUNCTION_ARGS)
{
	static HTAB *locks = NULL;
	static HTAB *holders = NULL;
	TupleDesc	descriptor;
	Datum		values[4];
	bool		nulls[4] = {0};

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (locks == NULL)
		locks = attach_locks();
	if (holders == NULL)
		holders = attach_holders();

	values[0] = Int64GetDatum(hash_get_num_entries(locks));
	values[1] = Int64GetDatum(sized_for());
	values[2] = Int64GetDatum(hash_get_num_entries(holders));
	values[3] = Int64GetDatum(2 * sized_for());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}
