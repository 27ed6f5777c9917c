/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  What the extension does when the current transaction ends.
 *
 * Everything here is noted in the backend's own memory and done when the
 * transaction ends.  A subtransaction that rolls back does not take its notes
 * with it: a worker is then woken, or started anew, for nothing, which is
 * harmless and cheaper than to keep account.
 *
 * A transaction that is prepared forgets its notes, since its fate is decided
 * later and elsewhere, except that it made work due: see two_phase.c.
 *
 * Locking: the functions called at the end take ft_shared->lock for a moment,
 * and nothing else; the transaction is over for everybody else by then, so
 * what the woken worker is to see is visible.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "replication/logicalworker.h"
#include "utils/memutils.h"

#include "quiesce.h"
#include "shmem.h"
#include "transaction.h"
#include "two_phase.h"
#include "wake.h"

static bool wake_worker = false;
static Oid	wake_owner = InvalidOid;
static List *wake_executors = NIL;	/* of owners' Oid, in TopMemoryContext */
static int64 steps_due = 0;		/* for all of these */
static bool place_left = false;
static bool rescan = false;
static bool roles_changed = false;
static bool restart_all = false;
static List *restart = NIL;		/* of Oid, in TopMemoryContext */
static List *quiesced = NIL;	/* of Oid, in TopMemoryContext */
static Oid	forget = InvalidOid;
static uint64 name_key = 0;

static List *
remember(List *list, Oid dboid)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	list = list_append_unique_oid(list, dboid);
	MemoryContextSwitchTo(caller);
	return list;
}

void
ft_wake_worker_at_commit(void)
{
	if (ft_shared != NULL)
		wake_worker = true;
}

void
ft_wake_executor_at_commit(Oid owner, int64 steps)
{
	if (ft_shared == NULL)
		return;
	wake_executors = remember(wake_executors, owner);
	steps_due += steps;
}

void
ft_wake_worker_at_end(Oid owner)
{
	if (ft_shared != NULL)
		wake_owner = owner;
}

void
ft_place_left_at_commit(void)
{
	if (ft_shared != NULL)
		place_left = true;
}

void
ft_roles_changed_at_commit(void)
{
	if (ft_shared != NULL)
		roles_changed = true;
}

void
ft_rescan_at_commit(void)
{
	if (ft_shared != NULL)
		rescan = true;
}

void
ft_restart_schedulers_at_commit(Oid dboid)
{
	if (ft_shared == NULL)
		return;
	if (OidIsValid(dboid))
		restart = remember(restart, dboid);
	else
		restart_all = true;
}

void
ft_quiesce_until_end(Oid dboid)
{
	if (ft_shared == NULL || !OidIsValid(dboid))
		return;

	/*
	 * Remember first, so that running out of memory leaves nothing behind.
	 * Whether this transaction already keeps workers out is known by the
	 * list.
	 */
	if (!list_member_oid(quiesced, dboid))
	{
		quiesced = remember(quiesced, dboid);
		if (!ft_quiesce_begin(dboid))
		{
			quiesced = list_delete_oid(quiesced, dboid);
			return;
		}
	}
	ft_quiesce_wait(dboid);
}

void
ft_forget_database_at_commit(Oid dboid)
{
	if (ft_shared != NULL)
		forget = dboid;
}

void
ft_transaction_name(const char *gid)
{
	if (ft_shared != NULL)
		name_key = ft_two_phase_key(gid);
}

/* Is this how a logical replication worker commits what was prepared? */
static bool
ends_prepared(void)
{
	return ft_shared != NULL && IsLogicalWorker() &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		ft_two_phase_unknown(MyDatabaseId);
}

static void
end_of_transaction(bool committed)
{
	ListCell   *cell;

	foreach(cell, quiesced)
	{
		Oid			dboid = lfirst_oid(cell);

		ft_quiesce_end(dboid, committed && dboid == forget);
	}

	if (OidIsValid(wake_owner))
		ft_wake_owner(MyDatabaseId, wake_owner);
	if (committed)
	{
		wake_worker = wake_worker || ends_prepared();
		if (wake_worker)
			ft_wake_database(MyDatabaseId);
		foreach(cell, wake_executors)
			ft_wake_executor(MyDatabaseId, lfirst_oid(cell), steps_due);
		if (place_left)
			ft_place_left(MyDatabaseId, GetSessionUserId());
		if (roles_changed)
			ft_roles_changed();
		if (rescan)
			ft_wake_launcher(true);
		if (restart_all)
			ft_restart_schedulers(InvalidOid);
		foreach(cell, restart)
			ft_restart_schedulers(lfirst_oid(cell));
	}

	wake_worker = false;
	wake_owner = InvalidOid;
	place_left = false;
	steps_due = 0;
	rescan = false;
	roles_changed = false;
	restart_all = false;
	forget = InvalidOid;
	name_key = 0;
	list_free(wake_executors);
	wake_executors = NIL;
	list_free(restart);
	restart = NIL;
	list_free(quiesced);
	quiesced = NIL;
}

static void
transaction_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			end_of_transaction(true);
			break;

		case XACT_EVENT_PREPARE:
			if (wake_worker || OidIsValid(wake_owner) || wake_executors != NIL || place_left || roles_changed)
				ft_two_phase_note(MyDatabaseId, name_key,
								  wake_worker || OidIsValid(wake_owner) || wake_executors != NIL || place_left,
								  roles_changed);
			wake_owner = InvalidOid;
			end_of_transaction(false);
			break;

		case XACT_EVENT_ABORT:
			end_of_transaction(false);
			break;

		default:
			break;
	}
}

bool
ft_is_called_by_itself(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic && !IsSubTransaction();
}

void
ft_transaction_init(void)
{
	RegisterXactCallback(transaction_callback, NULL);
}
