/*-------------------------------------------------------------------------
 *
 * horizon.c
 *	  Who keeps vacuum from removing dead rows, from the server's memory.
 *
 * The rules are those of ComputeXidHorizons(), but with the names of who is
 * behind each number.  A transaction's own id holds as its snapshot does.  A
 * running VACUUM holds nothing, and a walsender that decodes holds by its slot
 * only.  Members of a parallel query hold what their leader holds.
 *
 * Horizons of temporary tables are left out: nobody else holds them.
 *
 * The list of the processes that the server looks through is its own, so all
 * entries there are for processes are looked at.  Those of ended processes hold
 * nothing, except that of a walsender, which may have been left as it was; so
 * these are asked for.
 *
 * Locking: ProcArrayLock shared, while the processes are copied into memory
 * that was allocated before; then ReplicationSlotControlLock shared, and in it
 * each slot's spinlock.  No two of them at a time.  Who comes to hold a
 * horizon between the two is missed only if it holds nothing older.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "diagnostics/horizon.h"

/* Read once: it changes meanwhile. */
#define read_once(xid) (*(volatile TransactionId *) &(xid))

static TransactionId
older(TransactionId a, TransactionId b)
{
	if (!TransactionIdIsValid(a))
		return b;
	if (!TransactionIdIsValid(b))
		return a;
	return TransactionIdPrecedes(a, b) ? a : b;
}

static FtHolder *
add_holder(FtHolders *list, FtHolderKind kind, TransactionId xid, TransactionId xmin)
{
	FtHolder   *holder = &list->items[list->count++];

	memset(holder, 0, sizeof(FtHolder));
	holder->kind = kind;
	holder->xid = xid;
	holder->xmin = xmin;
	return holder;
}

/*
 * What this session holds itself: not the snapshot of the statement that
 * asks, which nobody has asked for and which goes with it.
 */
static TransactionId
own_xmin(TransactionId xmin)
{
	if (!TransactionIdIsValid(xmin) || !ActiveSnapshotSet() || IsolationUsesXactSnapshot())
		return xmin;
	return TransactionIdPrecedes(xmin, GetActiveSnapshot()->xmin) ? xmin : InvalidTransactionId;
}

/* To be called with ProcArrayLock held. */
static void
add_processes(FtHolders *list, TransactionId my_xmin)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		TransactionId xid = read_once(proc->xid);
		TransactionId xmin = read_once(proc->xmin);
		FtHolder   *holder;

		if (proc == MyProc)
			xmin = my_xmin;
		if ((!TransactionIdIsValid(xid) && !TransactionIdIsValid(xmin)) ||
			proc->pid == 0 ||
			(proc->statusFlags & (PROC_IN_VACUUM | PROC_IN_LOGICAL_DECODING)) ||
			(proc->lockGroupLeader != NULL && proc->lockGroupLeader != proc))
			continue;

		holder = add_holder(list,
							proc->statusFlags & PROC_AFFECTS_ALL_HORIZONS ?
							FT_HOLDER_FEEDBACK : FT_HOLDER_BACKEND, xid, xmin);
		holder->database = proc->databaseId;
		holder->procno = i;
		holder->pid = proc->pid;
	}
}

/*
 * To be called with ProcArrayLock held.  An entry is in use if its transaction
 * is in the array; one that is not keeps the id it had.
 */
static void
add_prepared(FtHolders *list)
{
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		PGPROC	   *proc = &PreparedXactProcs[i];

		if (TransactionIdIsValid(proc->xid) && proc->pgxactoff >= 0 &&
			ProcGlobal->xids[proc->pgxactoff] == proc->xid)
			add_holder(list, FT_HOLDER_PREPARED, proc->xid,
					   InvalidTransactionId)->database = proc->databaseId;
	}
}

static void
add_slots(FtHolders *list)
{
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		FtHolder   *holder;
		bool		invalidated;

		if (!slot->in_use)
			continue;
		holder = add_holder(list, FT_HOLDER_SLOT, InvalidTransactionId, InvalidTransactionId);

		SpinLockAcquire(&slot->mutex);
		holder->xmin = slot->effective_xmin;
		holder->catalog_xmin = slot->effective_catalog_xmin;
		holder->shown_xmin = slot->data.xmin;
		holder->shown_catalog_xmin = slot->data.catalog_xmin;
		holder->pid = slot->active_pid;
		holder->slot = slot->data.name;
		holder->database = slot->data.database;
		holder->inactive_since = ft_slot_inactive_since(slot);
		invalidated = ft_slot_invalidated(slot);
		SpinLockRelease(&slot->mutex);

		holder->logical = OidIsValid(holder->database);
		if (invalidated ||
			(!TransactionIdIsValid(holder->xmin) && !TransactionIdIsValid(holder->catalog_xmin)))
			list->count--;
	}
	LWLockRelease(ReplicationSlotControlLock);
}

/*
 * On a standby: the oldest transaction of the primary that is known to run.
 * The server's array of them is private; a snapshot has a copy of it, in
 * which what has ended since is passed over.
 */
static void
add_primary(FtHolders *list)
{
	Snapshot	snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : NULL;
	TransactionId oldest = InvalidTransactionId;

	if (snapshot == NULL)
		return;
	for (int i = 0; i < snapshot->subxcnt; i++)
	{
		TransactionId xid = snapshot->subxip[i];

		if ((!TransactionIdIsValid(oldest) || TransactionIdPrecedes(xid, oldest)) &&
			TransactionIdIsInProgress(xid))
			oldest = xid;
	}
	if (TransactionIdIsValid(oldest))
		add_holder(list, FT_HOLDER_PRIMARY, oldest, InvalidTransactionId);
}

/*
 * Before 16 the setting vacuum_defer_cleanup_age moves the horizon back from
 * where processes and prepared transactions hold it, or from the newest
 * transaction, which is where it is shown to hold.
 */
static void
add_setting(FtHolders *list, int defer)
{
	uint64		next = U64FromFullTransactionId(list->next);

	if (defer > 0 && next > (uint64) defer + FirstNormalTransactionId)
		add_holder(list, FT_HOLDER_SETTING, InvalidTransactionId,
				   (TransactionId) (next - defer));
}

FtHolders *
ft_holders(void)
{
	FtHolders  *list = palloc0(sizeof(FtHolders));
	Size		capacity = MaxBackends + max_prepared_xacts + max_replication_slots + 2;
	TransactionId my_xmin;
	int			kept = 0;

	/* touched now, so that no page fault is waited for with a lock held */
	list->items = palloc0(capacity * sizeof(FtHolder));
	my_xmin = own_xmin(MyProc->xmin);

	LWLockAcquire(ProcArrayLock, LW_SHARED);
	add_processes(list, my_xmin);
	add_prepared(list);
	LWLockRelease(ProcArrayLock);

	/* after the fact, so that nothing that holds is ahead of it */
	list->next = ReadNextFullTransactionId();

	for (int i = 0; i < list->count; i++)
	{
		FtHolder   *holder = &list->items[i];

		if (holder->kind == FT_HOLDER_FEEDBACK &&
			BackendPidGetProc(holder->pid) != &ProcGlobal->allProcs[holder->procno])
			continue;
		list->items[kept++] = *holder;
	}
	list->count = kept;

	add_slots(list);
	if (RecoveryInProgress())
		add_primary(list);
	else
		add_setting(list, ft_vacuum_defer_cleanup_age);
	return list;
}

/*
 * As ComputeXidHorizons(): transactions of other databases count for shared
 * catalogs only, except on a standby, which cannot tell them apart.
 */
TransactionId
ft_holder_xmin(const FtHolder *holder, FtHorizonKind kind, Oid database)
{
	switch (holder->kind)
	{
		case FT_HOLDER_SLOT:
			return kind == FT_HORIZON_DATA ? holder->xmin :
				older(holder->xmin, holder->catalog_xmin);

		case FT_HOLDER_BACKEND:
		case FT_HOLDER_PREPARED:
			if (kind != FT_HORIZON_SHARED && holder->database != database &&
				!RecoveryInProgress())
				return InvalidTransactionId;
			return older(holder->xid, holder->xmin);

		default:
			return older(holder->xid, holder->xmin);
	}
}

TransactionId
ft_horizon(const FtHolders *holders, FtHorizonKind kind, Oid database)
{
	TransactionId horizon = InvalidTransactionId;

	for (int i = 0; i < holders->count; i++)
		horizon = older(horizon, ft_holder_xmin(&holders->items[i], kind, database));
	return horizon;
}

const char *
ft_horizon_name(FtHorizonKind kind)
{
	static const char *const names[] = {"data", "catalog", "shared"};

	return names[kind];
}

int64
ft_xid_age(FullTransactionId next, TransactionId xid)
{
	if (!TransactionIdIsNormal(xid))
		return 0;
	return Max((int32) (XidFromFullTransactionId(next) - xid), 0);
}
