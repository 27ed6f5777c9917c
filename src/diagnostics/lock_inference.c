/*-------------------------------------------------------------------------
 *
 * lock_inference.c
 *	  Who waits for what, from what can be read without any lock.
 *
 * Used when the partitions of the lock table are not to be had in time.  What
 * a process waits for, in which mode and since when, stands in its PGPROC.
 * Who holds the lock can be told where the lock itself names its holder: the
 * lock of a transaction or of a virtual transaction.  The holders of other
 * locks stay unknown, and the order of a queue is taken from the times at
 * which the waits began.
 *
 * Locking: none.  A lock that a process waits for cannot go away, so its tag
 * is right if the process waited for it, since the same moment, both before
 * and after the tag was read.  Shared memory is never unmapped, so reading it
 * in the other case gives a tag that is then thrown away, nothing worse.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "common/hashfn.h"
#include "port/atomics.h"
#include "storage/proc.h"
#include "utils/hsearch.h"

#include "compat.h"
#include "diagnostics/lock_snapshot.h"

typedef struct Wait
{
	LOCKTAG		tag;
	LOCKMODE	mode;
	int			procno;
	TimestampTz start;
} Wait;

/* Transactions by number: which process runs them. */
typedef struct XidEntry
{
	TransactionId xid;
	int			procno;
} XidEntry;

/*
 * What a process waits for.  False if it does not, or if it moved on while
 * it was looked at.
 */
static bool
read_wait(PGPROC *proc, Wait *wait)
{
	LOCK	   *lock = *(LOCK *volatile *) &proc->waitLock;
	int			pid = proc->pid;

	if (lock == NULL || pid == 0)
		return false;

	wait->start = (TimestampTz) pg_atomic_read_u64(&proc->waitStart);
	pg_read_barrier();
	wait->tag = lock->tag;
	wait->mode = proc->waitLockMode;
	pg_read_barrier();

	/*
	 * Without a start, which is noted a moment after the wait began, it
	 * cannot be told whether it is still the same wait.
	 */
	return wait->start != 0 &&
		*(LOCK *volatile *) &proc->waitLock == lock &&
		(TimestampTz) pg_atomic_read_u64(&proc->waitStart) == wait->start &&
		*(volatile int *) &proc->pid == pid &&
		(wait->tag.locktag_lockmethodid == DEFAULT_LOCKMETHOD ||
		 wait->tag.locktag_lockmethodid == USER_LOCKMETHOD) &&
		wait->mode > NoLock && wait->mode < MAX_LOCKMODES;
}

/* By lock, and within a lock by the time at which the wait began. */
static int
compare_waits(const void *left, const void *right)
{
	const Wait *a = left;
	const Wait *b = right;
	int			order = memcmp(&a->tag, &b->tag, sizeof(LOCKTAG));

	if (order != 0)
		return order;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->procno < b->procno ? -1 : a->procno > b->procno;
}

static void
note_process(FtLockSnapshot *snapshot, int procno)
{
	FtLockProcess *process = &snapshot->processes[procno];
	PGPROC	   *proc = &ProcGlobal->allProcs[procno];
	PGPROC	   *leader = proc->lockGroupLeader;

	if (process->known)
		return;
	process->known = true;
	process->pid = proc->pid;
	process->group = (leader != NULL ? leader : proc) - ProcGlobal->allProcs;
	process->parallel = leader != NULL;
	process->lock = -1;
	process->xid = proc->xid;
	process->wait_start = 0;
	process->status_flags = proc->statusFlags;
	if (process->group != procno)
		note_process(snapshot, process->group);
}

static void
add_xid(HTAB *xids, TransactionId xid, int procno)
{
	XidEntry   *entry;
	bool		found;

	if (!TransactionIdIsNormal(xid))
		return;
	entry = hash_search(xids, &xid, HASH_ENTER, &found);
	entry->procno = procno;
}

/* Which process, or prepared transaction, runs which transaction. */
static HTAB *
collect_xids(int process_count)
{
	HASHCTL		control = {0};
	HTAB	   *xids;

	control.keysize = sizeof(TransactionId);
	control.entrysize = sizeof(XidEntry);
	control.hcxt = CurrentMemoryContext;
	xids = hash_create("running transactions", process_count, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (int i = 0; i < process_count; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		int			subxids = Min(proc->subxidStatus.count, PGPROC_MAX_CACHED_SUBXIDS);

		add_xid(xids, proc->xid, i);
		if (TransactionIdIsNormal(proc->xid))
			for (int j = 0; j < subxids; j++)
				add_xid(xids, proc->subxids.xids[j], i);
	}
	return xids;
}

/* The process that holds a lock, where the lock says so; else -1. */
static int
named_holder(const LOCKTAG *tag, HTAB *xids)
{
	switch ((LockTagType) tag->locktag_type)
	{
		case LOCKTAG_TRANSACTION:
		case LOCKTAG_SPECULATIVE_TOKEN:
			{
				XidEntry   *entry = hash_search(xids, &tag->locktag_field1, HASH_FIND, NULL);

				return entry == NULL ? -1 : entry->procno;
			}

		case LOCKTAG_VIRTUALTRANSACTION:
			for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
			{
				PGPROC	   *proc = &ProcGlobal->allProcs[i];

				if (proc->pid != 0 &&
					ft_virtual_transaction_owner(proc) == (int) tag->locktag_field1 &&
					ft_virtual_transaction_local_id(proc) == tag->locktag_field2)
					return i;
			}
			return -1;

		default:
			return -1;
	}
}

static FtLockMember *
add_member(FtLockSnapshot *snapshot, FtContendedLock *lock, int procno)
{
	FtLockMember *member = &snapshot->members[snapshot->member_count++];

	note_process(snapshot, procno);
	member->procno = procno;
	member->group = snapshot->processes[procno].group;
	member->held = 0;
	member->waited = NoLock;
	member->place = -1;
	lock->member_count++;
	return member;
}

/*
 * Fill an emptied snapshot.
 */
void
ft_lock_snapshot_infer(FtLockSnapshot *snapshot)
{
	int			wait_count = 0;
	Wait	   *waits = palloc0(sizeof(Wait) * ProcGlobal->allProcCount);
	HTAB	   *xids = collect_xids(snapshot->process_count);
	FtContendedLock *lock = NULL;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		if (read_wait(&ProcGlobal->allProcs[i], &waits[wait_count]))
			waits[wait_count++].procno = i;
	}
	qsort(waits, wait_count, sizeof(Wait), compare_waits);

	/* a process waits for one lock, and a lock has one named holder at most */
	snapshot->members = repalloc_huge(snapshot->members,
									  sizeof(FtLockMember) * (2 * wait_count + 1));

	for (int i = 0; i < wait_count; i++)
	{
		Wait	   *wait = &waits[i];
		FtLockMember *member;
		FtLockProcess *process;

		if (lock == NULL || memcmp(&lock->tag, &wait->tag, sizeof(LOCKTAG)) != 0)
		{
			int			holder = named_holder(&wait->tag, xids);

			lock = &snapshot->locks[snapshot->lock_count++];
			lock->tag = wait->tag;
			lock->first_member = snapshot->member_count;
			lock->member_count = 0;
			lock->first_in_queue = snapshot->queue_count;
			lock->queue_length = 0;
			if (holder >= 0)
				add_member(snapshot, lock, holder)->held = LOCKBIT_ON(ExclusiveLock);
		}

		/* it can have been noted above as the holder of another lock */
		member = add_member(snapshot, lock, wait->procno);
		member->waited = wait->mode;
		member->place = lock->queue_length++;
		process = &snapshot->processes[wait->procno];
		process->lock = snapshot->lock_count - 1;
		process->member = snapshot->member_count - 1;
		process->wait_start = wait->start;
		snapshot->queue[snapshot->queue_count++] = process->member;
	}

	hash_destroy(xids);
	pfree(waits);
}
