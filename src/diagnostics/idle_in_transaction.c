/*-------------------------------------------------------------------------
 *
 * idle_in_transaction.c
 *	  How many locks a session holds.
 *
 * pg_locks would tell, but it copies the whole lock table, and hangs where
 * deadlock checks of a thousand waiters keep it locked.  Here only the locks of
 * the one session are walked.
 *
 * Locking: the session's fast-path lock, shared, then those partitions of the
 * lock table in which it holds locks, shared and one after the other.  All are
 * taken conditionally within fault_tolerance.lock_partition_timeout; past it
 * the number is not known.  Nothing is allocated under them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

#include "compat.h"
#include "guc.h"

PG_FUNCTION_INFO_V1(ft_held_locks);

#define SLEEP_BETWEEN_US	20

typedef struct HeldLocks
{
	int64		count;
	LOCKMODE	strongest;		/* on a relation */
} HeldLocks;

static bool
acquire_in_time(LWLock *lock, instr_time start)
{
	while (!LWLockConditionalAcquire(lock, LW_SHARED))
	{
		instr_time	now;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if (INSTR_TIME_GET_MILLISEC(now) >= ft_lock_partition_timeout)
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(SLEEP_BETWEEN_US);
	}
	return true;
}

static void
note_modes(HeldLocks *held, LOCKMASK mask, bool of_relation)
{
	for (LOCKMODE mode = 1; mode <= MaxLockMode; mode++)
	{
		if ((mask & LOCKBIT_ON(mode)) == 0)
			continue;
		held->count++;
		if (of_relation && mode > held->strongest)
			held->strongest = mode;
	}
}

/* Weak locks on relations; each slot holds up to three modes of one. */
static bool
count_fast_path(PGPROC *proc, HeldLocks *held, instr_time start)
{
	if (!acquire_in_time(&proc->fpInfoLock, start))
		return false;
	for (int i = 0; i < ft_fast_path_slots(); i++)
		note_modes(held, ft_fast_path_bits(proc, i) << AccessShareLock, true);
	LWLockRelease(&proc->fpInfoLock);
	return true;
}

/*
 * A lock on its own transaction says no more than that it has one.
 */
static bool
count_partition(PGPROC *proc, int partition, HeldLocks *held, instr_time start)
{
	LWLock	   *lock = LockHashPartitionLockByIndex(partition);
	PROCLOCK   *proclock = NULL;

	/* none there, as far as can be seen without it */
	if (ft_next_of_process(proc, partition, NULL) == NULL)
		return true;
	if (!acquire_in_time(lock, start))
		return false;
	while ((proclock = ft_next_of_process(proc, partition, proclock)) != NULL)
	{
		uint8		type = proclock->tag.myLock->tag.locktag_type;

		if (type != LOCKTAG_TRANSACTION && type != LOCKTAG_VIRTUALTRANSACTION)
			note_modes(held, proclock->holdMask, type == LOCKTAG_RELATION);
	}
	LWLockRelease(lock);
	return true;
}

/*
 * NULL for what is not a session, or if it cannot be told in time.
 *
 * ft.held_locks(pid integer)
 */
Datum
ft_held_locks(PG_FUNCTION_ARGS)
{
	int			pid = PG_GETARG_INT32(0);
	PGPROC	   *proc = pid > 0 ? BackendPidGetProc(pid) : NULL;
	TupleDesc	descriptor;
	Datum		values[2] = {0};
	bool		nulls[2] = {true, true};
	HeldLocks	held = {0, NoLock};
	instr_time	start;
	bool		known;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	INSTR_TIME_SET_CURRENT(start);
	known = proc != NULL && count_fast_path(proc, &held, start);
	for (int i = 0; known && i < NUM_LOCK_PARTITIONS; i++)
		known = count_partition(proc, i, &held, start);

	/* its place may belong to another by now */
	if (known && proc->pid == pid)
	{
		nulls[0] = false;
		values[0] = Int64GetDatum(held.count);
		nulls[1] = held.strongest == NoLock;
		if (!nulls[1])
			values[1] = CStringGetTextDatum(GetLockmodeName(DEFAULT_LOCKMETHOD, held.strongest));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}
