/*-------------------------------------------------------------------------
 *
 * step_group.c
 *	  Group commit: steps that are declared short share a transaction, and
 *	  with it the wait for the disk.
 *
 * Each is a subtransaction with settings of its own, and the session is put
 * in order after it.  What takes longer than a short step may, or fails, is
 * rolled back and runs alone later; whether it has failed is found out there.
 * Nor does a transaction that fails as a whole say which of its steps is to
 * blame: all of them run alone then.
 *
 * What all steps of a group have in common is now(), and that row locks,
 * advisory locks of the transaction and deferred constraints last until the
 * commit.
 *
 * The records of all steps are written together, see step_records.c.  Short
 * steps that this makes due are claimed, and run in the same transaction, and so
 * on as long as there is room: so a chain of short steps may be one commit.  By
 * then the transaction has the rows of their executions, which others may want:
 * a branch of them that ends elsewhere, or somebody who cancels one.  As soon as
 * anybody waits for it, nothing more is begun.  Who has what such a step wants,
 * and waits himself for the group, waits no longer than a short step may take.
 *
 * Locking: the executions' rows by key, then the tasks', then those of the
 * tasks that depend on them.  What is run later is of the same executions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/portal.h"

#include "orchestration/child.h"
#include "orchestration/command.h"
#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "orchestration/step_group.h"
#include "orchestration/step_records.h"
#include "orchestration/wait.h"
#include "step_limit.h"
#include "subtransaction.h"
#include "transaction.h"

/*
 * A step that takes longer runs alone; no further one begins after so long, and
 * no longer does the group wait for the row of an execution.
 */
#define GROUP_STEP_MS	50
#define GROUP_MS		100

/* So many steps share a transaction, and are claimed at a time to do so. */
#define GROUP_STEPS		100
#define GROUP_CLAIMS	20

/* Past so many subtransaction ids a snapshot of all sessions gets slow. */
#define GROUP_SUBXIDS	(PGPROC_MAX_CACHED_SUBXIDS / 2)

/* Steps that share the present transaction. */
typedef struct StepGroup
{
	MemoryContext context;		/* of what lives longer than the transaction */
	TimestampTz began_at;
	int			steps;			/* that have been run */
	int64		limit;			/* least of their limits of time; 0: none */
	List	   *done;
	List	   *claimed;		/* by it, and not done */
} StepGroup;

bool
ft_step_may_group(const FtStepClaim *claim)
{
	return claim->is_short && claim->in_transaction && !claim->alone && !claim->has_flow;
}

/* What a rollback leaves behind. */
static void
forget_session_state(void)
{
	DropAllPreparedStatements();
	LockReleaseSession(USER_LOCKMETHOD);
	ResetSequenceCaches();
}

/*
 * Run a step, and leave a session as good as new to the next one: settings are
 * back already.
 */
static void
run_member(void *argument)
{
	FtStepRecord *member = argument;

	ft_step_execute(member->claim, &member->outcome);
	PortalHashTableDeleteAll();
	Async_UnlistenAll();
	ResetTempTableNamespace();
	forget_session_state();
}

static int64
time_limit(const FtStepClaim *claim)
{
	int64		limit = ft_step_limit_of(claim->timeout);

	return limit > 0 ? Min(limit, GROUP_STEP_MS) : GROUP_STEP_MS;
}

/*
 * How long writing the records and the commit, with what was put off to it,
 * may take: no longer than each of the steps may take alone; 0: as they like.
 */
static void
lower_limit(StepGroup *group, const FtStepClaim *claim)
{
	int64		limit = ft_step_limit_of(claim->timeout);

	if (limit > 0 && (group->limit == 0 || limit < group->limit))
		group->limit = limit;
}

/*
 * False if the step is to run alone; what it did is rolled back then.  The
 * end of its time comes as a cancel, after its subtransaction.
 */
static bool
try_member(FtStepRecord *member)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool succeeded = false;

	debug_query_string = member->claim->command ? member->claim->command : member->claim->name;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	PG_TRY();
	{
		ft_step_limit_begin(time_limit(member->claim));
		succeeded = ft_try(run_member, member) == NULL;
		ft_step_limit_end();
	}
	PG_CATCH();
	{
		ft_step_limit_end();
		if (geterrcode() != ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	QueryCancelPending = false;
	if (!succeeded)
		forget_session_state();
	return succeeded;
}

/* Does anybody wait for this transaction? */
static bool
is_waited_for(void)
{
	TransactionId xid = GetTopTransactionIdIfAny();
	LOCKTAG		tag;

	if (!TransactionIdIsValid(xid))
		return false;
	SET_LOCKTAG_TRANSACTION(tag, xid);
	return LockHasWaiters(&tag, ExclusiveLock, false);
}

static bool
room_for_more(const StepGroup *group)
{
	return group->steps < GROUP_STEPS &&
		!MyProc->subxidStatus.overflowed && MyProc->subxidStatus.count < GROUP_SUBXIDS &&
		!TimestampDifferenceExceeds(group->began_at, GetCurrentTimestamp(), GROUP_MS) &&
		(group->done == NIL || !is_waited_for());
}

/*
 * Run those steps at the head of the list that may share a transaction.  Who
 * did not get its turn stays as it is; who is to run alone is marked.
 */
static int
run_members(StepGroup *group, List *claims, FtStepRecord *members)
{
	int			n = 0;
	ListCell   *cell;

	foreach(cell, claims)
	{
		FtStepClaim *claim = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (!ft_step_may_group(claim) || !room_for_more(group))
			break;
		members[n].claim = claim;
		members[n].turn = n;
		group->steps++;
		if (!try_member(&members[n]))
		{
			claim->alone = true;
			continue;
		}
		lower_limit(group, claim);
		n++;
	}
	return n;
}

/* Tell who waits for those executions that have ended. */
static void
tell_of_ends(const FtExecutionRecord *counts, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (counts[i].counted.tasks_left > 0)
			continue;
		ft_wait_wake_at_commit(&counts[i].execution_id);
		if (counts[i].counted.has_parent)
			ft_child_over(&counts[i].execution_id, &counts[i].counted.parent);
	}
}

static void
remember(const StepGroup *group, List **list, FtStepClaim *claim)
{
	MemoryContext caller = MemoryContextSwitchTo(group->context);

	*list = lappend(*list, claim);
	MemoryContextSwitchTo(caller);
}

static void
remember_all(StepGroup *group, List *claims)
{
	ListCell   *cell;

	foreach(cell, claims)
		remember(group, &group->claimed, lfirst(cell));
}

/*
 * Tell what depends on those members that are no children: start short ones
 * that wait for nothing else, and release the others; returns how many of these
 * there are, which are the last result.
 */
static uint64
release_successors(StepGroup *group, const FtStepRecord *members, int n,
				   const FtExecutionRecord *counts, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);
	Datum	   *go_on = palloc(sizeof(Datum) * n);
	FtArg		ended;
	FtArg		ended_go_on;
	int			needed = 0;
	int			successors = 0;
	int			met;

	for (int i = 0; i < n; i++)
	{
		if (!members[i].has_successors || ft_ready_may_be_child(members[i].claim->name))
			continue;
		ids[needed] = UUIDPGetDatum(&members[i].claim->task_id);
		go_on[needed++] = BoolGetDatum(counts[members[i].execution].counted.goes_on);
		successors += members[i].successors;
	}
	if (needed == 0)
		return 0;
	ended = FT_ARRAY(ids, NULL, needed, UUIDOID);
	ended_go_on = FT_ARRAY(go_on, NULL, needed, BOOLOID);
	remember_all(group, ft_step_start_successors(ended, ended_go_on, now, group->context, &met));
	return met == successors ? 0 : ft_ready_successors_of(ended, ended_go_on, now);
}

/*
 * Which of the released tasks to go on with: further short ones, up to a limit,
 * and of each execution one of another kind.  Returns how many; *due is how many
 * there are.
 */
static int
choose_successors(uint64 released, Datum *ids, int *due)
{
	pg_uuid_t  *executions = palloc(sizeof(pg_uuid_t) * GROUP_CLAIMS);
	int			others = 0;
	int			chosen = 0;

	*due = 0;
	for (uint64 row = 0; row < released; row++)
	{
		pg_uuid_t	execution_id = ft_column_uuid(row, 4);
		bool		wanted = ft_column_bool(row, 5);

		if (!ft_column_bool(row, 2))
			continue;
		(*due)++;
		if (chosen == GROUP_CLAIMS)
			continue;
		if (!wanted)
		{
			wanted = true;
			for (int i = 0; i < others && wanted; i++)
				wanted = memcmp(&executions[i], &execution_id, UUID_LEN) != 0;
			if (wanted)
				executions[others++] = execution_id;
		}
		if (wanted)
		{
			pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

			*id = ft_column_uuid(row, 1);
			ids[chosen++] = UUIDPGetDatum(id);
		}
	}
	return chosen;
}

/* Children tell their parent, and that whoever depends on it, one by one. */
static void
release_parents(StepGroup *group, const FtStepRecord *members, int n,
				const FtExecutionRecord *counts, TimestampTz now)
{
	for (int i = 0; i < n; i++)
	{
		const FtStepClaim *claim = members[i].claim;
		FtStepClaim *successor;

		if (!members[i].has_successors || !ft_ready_may_be_child(claim->name))
			continue;
		successor = ft_step_go_on(claim, &counts[members[i].execution].counted, now, true, true);
		if (successor != NULL)
			remember(group, &group->claimed, successor);
	}
}

/* Make due what waited for members, and claim what to go on with. */
static void
go_on(StepGroup *group, const FtStepRecord *members, int n, const FtExecutionRecord *counts,
	  TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * GROUP_CLAIMS);
	uint64		released;
	List	   *claimed;
	int			chosen;
	int			due;

	release_parents(group, members, n, counts, now);
	released = release_successors(group, members, n, counts, now);
	chosen = choose_successors(released, ids, &due);
	claimed = ft_step_claim_tasks(ids, chosen, now, group->context);
	remember_all(group, claimed);
	due -= list_length(claimed);
	if (due > 0)
		ft_wake_executor_at_commit(GetSessionUserId(), due);
}

/* Write down that members have ended, and what that makes due. */
static void
end_members(StepGroup *group, FtStepRecord *members, int n)
{
	FtExecutionRecord *counts = palloc(sizeof(FtExecutionRecord) * n);
	TimestampTz now = GetCurrentTimestamp();
	int			executions;
	FtEngine	engine;

	ft_engine_enter(&engine);
	/* whoever has one of the executions locked for longer holds up only that */
	(void) set_config_option("lock_timeout", CppAsString2(GROUP_MS), PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	executions = ft_step_records_write(members, n, counts, now);
	tell_of_ends(counts, executions);
	go_on(group, members, n, counts, now);
	ft_engine_leave(&engine);
}

/* Run what may share a transaction of these; false if there was nothing. */
static bool
run_together(StepGroup *group, List *claims)
{
	FtStepRecord *members = palloc0(sizeof(FtStepRecord) * list_length(claims));
	int			n = run_members(group, claims, members);

	/* also where all that is left is the commit: who was tried took it off */
	ft_step_limit_begin(group->limit);
	if (n == 0)
		return false;
	end_members(group, members, n);
	for (int i = 0; i < n; i++)
	{
		remember(group, &group->done, members[i].claim);
		group->claimed = list_delete_ptr(group->claimed, members[i].claim);
	}
	return true;
}

/* What the group has claimed and may go on with itself. */
static List *
next_of(const StepGroup *group)
{
	List	   *next = NIL;
	ListCell   *cell;

	foreach(cell, group->claimed)
	{
		if (ft_step_may_group(lfirst(cell)))
			next = lappend(next, lfirst(cell));
	}
	return next;
}

List *
ft_step_run_group(List *claims, MemoryContext run_context, List **successors)
{
	StepGroup	group = {.began_at = GetCurrentTimestamp()};

	group.context = MemoryContextSwitchTo(run_context);
	while (claims != NIL && run_together(&group, claims))
		claims = next_of(&group);
	MemoryContextSwitchTo(group.context);
	*successors = group.claimed;
	return group.done;
}
