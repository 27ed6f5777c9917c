/*-------------------------------------------------------------------------
 *
 * executor_run.c
 *	  Running what an executor has claimed, and resetting its session.
 *
 * The command and the record of its completion share a transaction.  Where that
 * fails, another one says so.
 *
 * Locking: rows, by what is called.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "orchestration/owner.h"
#include "orchestration/step_alone.h"
#include "orchestration/step_group.h"
#include "step_limit.h"
#include "worker/executor_work.h"
#include "worker/worker.h"

/*
 * Drop the session's temporary relations, in a transaction, since that deletes
 * from catalogs.  Where it never had any there is nothing to begin one for.
 */
static void
drop_temporary_relations(void)
{
	Oid			namespace;
	Oid			toast_namespace;

	GetTempNamespaceState(&namespace, &toast_namespace);
	if (!OidIsValid(namespace))
		return;
	StartTransactionCommand();

	/* as in RemoveTempRelationsCallback */
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Between two executions: nothing of the session's state may reach from one
 * to the next.  This is what DISCARD ALL does, except that plans are kept, and
 * that most of it is done outside of a transaction, to spare each step one:
 *
 * - What the last transaction has left of portals was made to outlive it, with
 *   all rows in hand and neither snapshot nor resources: to close it runs no
 *   code of the owner.
 * - Settings go back to values that were checked when they became what RESET
 *   goes back to.  No catalog is read for that; "none" is no role's name.
 * - LISTEN is refused to a background worker by the server.
 */
void
ft_executor_reset_session(void)
{
	MemoryContext caller = CurrentMemoryContext;

	Assert(!IsTransactionState());

	PortalHashTableDeleteAll();
	(void) set_config_option("session_authorization", NULL, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SET, true, 0, false);
	ft_worker_pin("role", "none");
	ResetAllOptions();
	DropAllPreparedStatements();
	LockReleaseAll(USER_LOCKMETHOD, true);
	drop_temporary_relations();
	ResetSequenceCaches();
	MemoryContextSwitchTo(caller);
}

/*
 * Run something in a transaction of its own, with deferred triggers as a part
 * of it.  Returns the error that ended it, or NULL.  A negative timeout leaves
 * limits to the body.
 */
static ErrorData *
run_in_transaction(FtExecutor *self, const char *activity, int64 timeout,
				   void (*body) (FtExecutor *self, void *claim), void *claim)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		ft_worker_begin(activity);
		if (timeout >= 0)
			ft_step_limit_begin(ft_step_limit_of(timeout));
		MemoryContextSwitchTo(self->run_context);
		body(self, claim);
		ft_worker_commit();
		ft_step_limit_end();
	}
	PG_CATCH();
	{
		error = ft_worker_recover_from_error(self->run_context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(self->context);

	/* A limit or cancel that came just too late is nobody's any more. */
	QueryCancelPending = false;

	/* The command may have left the session such that recording would fail. */
	if (error != NULL)
		ft_executor_reset_session();
	return error;
}

/*
 * Is the owner still one that a process could connect as?  If not, he has lost
 * what he needs for his steps, too, or is about to: that one of them has failed
 * says nothing about it.  It is given back, and parked with the others.
 */
static bool
owner_is_there(void)
{
	return ft_owner_can_connect(GetSessionUserId());
}

static void
compensation_body(FtExecutor *self, void *claim)
{
	ft_compensation_run(claim);
}

void
ft_executor_run_compensation(FtExecutor *self)
{
	ErrorData  *error = run_in_transaction(self, self->compensation.command, 0,
										   compensation_body, &self->compensation);

	if (error != NULL)
	{
		ft_worker_begin("recording a failure");
		if (owner_is_there())
			ft_compensation_failed(&self->compensation, error);
		else
			ft_compensation_release(&self->compensation);
		ft_worker_commit();
		MemoryContextSwitchTo(self->context);
	}
}

/*
 * What a step is about to go on with counts only when it has committed.  After
 * one that may not share a transaction it may be what spoilt that.
 */
static FtStepClaim *successor;

static void
step_body(FtExecutor *self, void *claim)
{
	successor = ft_step_run(claim, !self->alone);
}

static bool has_command;

static void
alone_prepare_body(FtExecutor *self, void *alone)
{
	has_command = ft_step_alone_prepare(alone);
}

static void
alone_command_body(FtExecutor *self, void *alone)
{
	ft_step_alone_command(alone);
}

static void
alone_complete_body(FtExecutor *self, void *alone)
{
	successor = ft_step_alone_complete(alone, true);
}

/* Run a step whose command is no part of a transaction, see step_alone.c. */
static ErrorData *
run_alone(FtExecutor *self, FtStepClaim *claim)
{
	FtStepAlone *alone;
	ErrorData  *error;

	/* it outlives the transactions that it takes */
	MemoryContextSwitchTo(self->run_context);
	alone = ft_step_alone(claim);
	error = run_in_transaction(self, claim->name, claim->timeout, alone_prepare_body, alone);
	if (error == NULL && has_command)
	{
		error = run_in_transaction(self, claim->command, claim->timeout,
								   alone_command_body, alone);
		if (error == NULL)
			ft_executor_reset_session();
		MemoryContextSwitchTo(self->context);
	}
	if (error == NULL)
		error = run_in_transaction(self, claim->name, 0, alone_complete_body, alone);
	return error;
}

void
ft_executor_run_step(FtExecutor *self, FtStepClaim *claim)
{
	ErrorData  *error;

	self->steps = list_delete_first(self->steps);
	successor = NULL;
	if (claim->in_transaction)
		error = run_in_transaction(self, claim->command ? claim->command : claim->name,
								   claim->timeout, step_body, claim);
	else
		error = run_alone(self, claim);
	if (error != NULL)
	{
		ft_worker_begin("recording a failure");
		if (owner_is_there())
			ft_step_failed(claim, error);
		else
			(void) ft_step_release(claim);
		ft_worker_commit();
		MemoryContextSwitchTo(self->context);
	}
	else if (successor != NULL)
	{
		successor->alone = claim->alone;
		self->steps = lcons(successor, self->steps);
	}
	ft_step_claim_free(claim);
}

/*
 * Do the steps that are next share a transaction?  One that others depend on
 * may share its own with these.
 */
bool
ft_executor_group_is_next(const FtExecutor *self)
{
	const FtStepClaim *first = self->steps == NIL ? NULL : linitial(self->steps);

	if (first == NULL || !ft_step_may_group(first))
		return false;
	return first->has_successors ||
		(list_length(self->steps) > 1 && ft_step_may_group(lsecond(self->steps)));
}

/* The same for what a group has done. */
static List *group_done;
static List *group_successors;

static void
group_body(FtExecutor *self, void *claims)
{
	MemoryContextSwitchTo(self->context);
	group_done = ft_step_run_group(claims, self->run_context, &group_successors);
}

/*
 * Run steps that share a transaction.  Where that fails none of them is to
 * blame, and each runs alone.
 */
void
ft_executor_run_group(FtExecutor *self)
{
	ListCell   *cell;

	group_done = group_successors = NIL;
	if (run_in_transaction(self, "short steps", -1, group_body, self->steps) != NULL)
	{
		foreach(cell, self->steps)
			((FtStepClaim *) lfirst(cell))->alone = true;
		return;
	}

	/*
	 * the first is counted as what it all began with; some were not in the
	 * list
	 */
	self->executed += Max(list_length(group_done), 1) - 1;
	foreach(cell, group_done)
	{
		self->steps = list_delete_ptr(self->steps, lfirst(cell));
		ft_step_claim_free(lfirst(cell));
	}
	self->steps = list_concat(group_successors, self->steps);
}
