/*-------------------------------------------------------------------------
 *
 * lock_snapshot.c
 *	  A copy of every lock that somebody waits for.
 *
 * Locking: all partitions of the lock table, shared, in their order, so that
 * the copy is of one moment, as GetBlockerStatusData() has it.  They are taken
 * conditionally within fault_tolerance.lock_partition_timeout.  A plain
 * acquire is not bearable in an outage: when hundreds of sessions queue for
 * one row, each holds all partitions exclusively for its deadlock check, one
 * after the other, and whoever asks in turn waits for all of them.
 *
 * Under the locks nothing is allocated, no memory is touched for the first
 * time, and only locks with a queue are looked at: each once, from the
 * process at the head of its queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/s_lock.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/lock_snapshot.h"
#include "guc.h"

/*
 * A partition behind the first is held exclusively only for moments by
 * others that hold no partition before it; that long we wait spinning.
 */
#define SPINS_BEHIND_FIRST	1000

/*
 * In between two tries we look that many times whether the first partition
 * has come free, and then sleep.  A deadlock check that ends leaves it free
 * only until the next waiter has been woken, so looking often is what gets
 * us in.
 */
#define SPINS_FOR_FIRST		5000
#define SLEEP_BETWEEN_US	20

/* How many locks of a waiter are looked at to find the row it is about. */
#define MAX_LOCKS_SEARCHED_FOR_ROW	64

/* Members that the last copy had room for: the first guess of the next one. */
static int	member_capacity = 0;

const char *
ft_lock_source_name(FtLockSource source)
{
	return source == FT_SOURCE_LOCK_MANAGER ? "lock manager" : "wait events";
}

static void
release_partitions(int count)
{
	while (--count >= 0)
		LWLockRelease(LockHashPartitionLockByIndex(count));
}

/*
 * One try at all partitions; releases what it got if it does not get all.
 * Returns how many it got.
 */
static int
try_partitions(void)
{
	if (!LWLockConditionalAcquire(LockHashPartitionLockByIndex(0), LW_SHARED))
		return 0;

	for (int i = 1; i < NUM_LOCK_PARTITIONS; i++)
	{
		int			spins = 0;

		while (!LWLockConditionalAcquire(LockHashPartitionLockByIndex(i), LW_SHARED))
		{
			if (++spins > SPINS_BEHIND_FIRST)
			{
				release_partitions(i);
				return i;
			}
			SPIN_DELAY();
		}
	}
	return NUM_LOCK_PARTITIONS;
}

/*
 * All partitions, or none when the time is over.
 */
static bool
acquire_partitions(instr_time start, int timeout)
{
	for (;;)
	{
		instr_time	now;

		for (int i = 0; i < SPINS_FOR_FIRST; i++)
		{
			int			got = try_partitions();

			if (got == NUM_LOCK_PARTITIONS)
				return true;
			if (timeout == 0)
				return false;
			if (got > 0)
				break;
			SPIN_DELAY();
		}

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if (INSTR_TIME_GET_MILLISEC(now) >= timeout)
			return false;

		CHECK_FOR_INTERRUPTS();
		pg_usleep(SLEEP_BETWEEN_US);
	}
}

/* Note a process the first time that it is met. */
static FtLockProcess *
note_process(FtLockSnapshot *snapshot, PGPROC *proc)
{
	int			procno = proc - ProcGlobal->allProcs;
	FtLockProcess *process = &snapshot->processes[procno];

	if (!process->known)
	{
		PGPROC	   *leader = proc->lockGroupLeader;

		process->known = true;
		process->pid = proc->pid;
		process->group = (leader != NULL ? leader : proc) - ProcGlobal->allProcs;
		process->parallel = leader != NULL;
		process->lock = -1;
		process->xid = proc->xid;
		process->wait_start = (TimestampTz) pg_atomic_read_u64(&proc->waitStart);
		process->status_flags = proc->statusFlags;

		if (leader != NULL && leader != proc)
			(void) note_process(snapshot, leader);
	}
	return process;
}

/*
 * A session that waits for another's transaction mostly holds the lock of
 * the row it wants meanwhile.
 */
static void
note_row(FtLockProcess *process, PGPROC *proc)
{
	int			searched = 0;

	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
		PROCLOCK   *proclock = NULL;

		while ((proclock = ft_next_of_process(proc, i, proclock)) != NULL)
		{
			if (proclock->tag.myLock->tag.locktag_type == LOCKTAG_TUPLE &&
				proclock->holdMask != 0)
			{
				process->row = proclock->tag.myLock->tag;
				process->has_row = true;
				return;
			}
			if (++searched >= MAX_LOCKS_SEARCHED_FOR_ROW)
				return;
		}
	}
}

/*
 * Copy one lock.  Returns the number of its members, of which those past the
 * capacity are counted only.
 */
static int
copy_lock(FtLockSnapshot *snapshot, LOCK *source)
{
	int			index = snapshot->lock_count++;
	FtContendedLock *lock = &snapshot->locks[index];
	PROCLOCK   *proclock = NULL;
	int			count = 0;
	int			place = 0;

	lock->tag = source->tag;
	lock->first_member = snapshot->member_count;
	lock->first_in_queue = snapshot->queue_count;

	while ((proclock = ft_next_of_lock(source, proclock)) != NULL)
	{
		PGPROC	   *proc = proclock->tag.myProc;
		FtLockMember *member;
		FtLockProcess *process;

		count++;
		if (snapshot->member_count >= member_capacity)
			continue;

		process = note_process(snapshot, proc);
		member = &snapshot->members[snapshot->member_count];
		member->procno = proc - ProcGlobal->allProcs;
		member->group = proclock->groupLeader - ProcGlobal->allProcs;
		member->held = proclock->holdMask;
		member->waited = NoLock;
		member->place = -1;
		if (proc->waitLock == source)
		{
			member->waited = proc->waitLockMode;
			process->lock = index;
			process->member = snapshot->member_count;
			if (source->tag.locktag_type == LOCKTAG_TRANSACTION)
				note_row(process, proc);
		}
		snapshot->member_count++;
	}
	lock->member_count = snapshot->member_count - lock->first_member;

	for (PGPROC *proc = ft_first_in_queue(source); proc != NULL;
		 proc = ft_next_in_queue(source, proc))
	{
		FtLockProcess *process = &snapshot->processes[proc - ProcGlobal->allProcs];

		/* not copied, for want of room */
		if (!process->known || process->lock != index)
			continue;
		snapshot->members[process->member].place = place++;
		snapshot->queue[snapshot->queue_count++] = process->member;
	}
	lock->queue_length = place;

	return count;
}

/* Copy all locks with a queue; returns how many members there are. */
static int
copy_locks(FtLockSnapshot *snapshot)
{
	int			count = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		LOCK	   *lock = proc->waitLock;

		if (lock != NULL && ft_first_in_queue(lock) == proc)
			count += copy_lock(snapshot, lock);
	}
	return count;
}

static void
reset_snapshot(FtLockSnapshot *snapshot)
{
	memset(snapshot->processes, 0, sizeof(FtLockProcess) * snapshot->process_count);
	snapshot->lock_count = 0;
	snapshot->member_count = 0;
	snapshot->queue_count = 0;
}

/*
 * Take the copy, in the current memory context.
 */
FtLockSnapshot *
ft_lock_snapshot_take_within(int timeout)
{
	FtLockSnapshot *snapshot = palloc0(sizeof(FtLockSnapshot));
	int			waiter_capacity = ProcGlobal->allProcCount;
	instr_time	start;

	/* prepared transactions stand behind those that allProcCount counts */
	snapshot->process_count = waiter_capacity + max_prepared_xacts;
	if (member_capacity == 0)
		member_capacity = 2 * snapshot->process_count;

	/* palloc0 also touches the memory, so that no page fault comes later */
	snapshot->processes = palloc0(sizeof(FtLockProcess) * snapshot->process_count);
	snapshot->locks = palloc0(sizeof(FtContendedLock) * waiter_capacity);
	snapshot->queue = palloc0(sizeof(int) * waiter_capacity);

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		int			needed;

		snapshot->members =
			MemoryContextAllocExtended(CurrentMemoryContext,
									   sizeof(FtLockMember) * member_capacity,
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		if (!acquire_partitions(start, timeout))
		{
			snapshot->source = FT_SOURCE_WAIT_EVENTS;
			snapshot->taken_at = GetCurrentTimestamp();
			reset_snapshot(snapshot);
			ft_lock_snapshot_infer(snapshot);
			return snapshot;
		}
		needed = copy_locks(snapshot);
		release_partitions(NUM_LOCK_PARTITIONS);

		if (needed <= member_capacity)
			break;

		/* more holders than there was room for: once more with enough */
		pfree(snapshot->members);
		member_capacity = needed + needed / 4;
		reset_snapshot(snapshot);
	}

	snapshot->source = FT_SOURCE_LOCK_MANAGER;
	snapshot->taken_at = GetCurrentTimestamp();
	return snapshot;
}

FtLockSnapshot *
ft_lock_snapshot_take(void)
{
	return ft_lock_snapshot_take_within(ft_lock_partition_timeout);
}
