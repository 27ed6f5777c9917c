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
 * The records of all steps are written by two statements, in the order of
 * their keys.
 *
 * Locking: the executions' rows by key, then the tasks', then those of the
 * tasks that depend on them.
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
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"

#include "errors.h"
#include "orchestration/command.h"
#include "orchestration/step.h"
#include "orchestration/step_group.h"
#include "step_limit.h"
#include "subtransaction.h"
#include "uuid.h"

/* A step that takes longer runs alone; no further one begins after so long. */
#define GROUP_STEP_MS	50
#define GROUP_MS		100

/* Past so many subtransaction ids a snapshot of all sessions gets slow. */
#define GROUP_SUBXIDS	(PGPROC_MAX_CACHED_SUBXIDS / 2)

#define PLACE		"array_position($1, execution_id)"
#define TASK_PLACE	"array_position($1, task_id)"

FT_STATEMENT(count_steps,
			 "UPDATE ft.orchestration_executions"
			 "   SET completions = completions + ($2)[" PLACE "],"
			 "       tasks_left = tasks_left - ($3)[" PLACE "],"
			 "       state = coalesce((state || ($4)[" PLACE "])::ft.execution_state, state),"
			 "       status = CASE WHEN tasks_left = ($3)[" PLACE "] THEN $5 ELSE $6 END,"
			 "       started_at = coalesce(started_at, $7), updated_at = $7,"
			 "       finished_at = CASE WHEN tasks_left = ($3)[" PLACE "] THEN $7 END"
			 " WHERE execution_id = ANY ($1) AND status IN ('PENDING', 'RUNNING')"
			 " RETURNING " PLACE ", completions, tasks_left,"
			 "           paused_at IS NULL AND parked_reason IS NULL, parent_task_id",
			 UUIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, JSONBARRAYOID, TEXTOID, TEXTOID,
			 TIMESTAMPTZOID);
FT_STATEMENT(end_tasks,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = ($3)[" TASK_PLACE "], result = ($4)[" TASK_PLACE "], completed_at = $5,"
			 "       completion_order = ($6)[" TASK_PLACE "], failures = 0"
			 " WHERE task_id = ANY ($1) AND attempt = ($2)[" TASK_PLACE "] AND status = 'RUNNING'"
			 " RETURNING " TASK_PLACE ", has_successors",
			 UUIDARRAYOID, INT4ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, TIMESTAMPTZOID, INT8ARRAYOID);

/* A step of the group that has been run. */
typedef struct Member
{
	FtStepClaim *claim;
	FtStepOutcome outcome;
	int			turn;			/* in which it was run */
	int			execution;		/* index of what is counted */
	int			place;			/* among those of its execution that completed */
	bool		has_successors;
} Member;

/* What the group adds to one execution. */
typedef struct Count
{
	pg_uuid_t	execution_id;
	int			completed;
	int			ended;
	Datum		patch;			/* (Datum) 0: none */
	FtStepCounted counted;
} Count;

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
	Member	   *member = argument;

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
static int64
commit_limit(const Member *members, int n)
{
	int64		least = 0;

	for (int i = 0; i < n; i++)
	{
		int64		limit = ft_step_limit_of(members[i].claim->timeout);

		if (limit > 0 && (least == 0 || limit < least))
			least = limit;
	}
	return least;
}

/*
 * False if the step is to run alone; what it did is rolled back then.  The
 * end of its time comes as a cancel, after its subtransaction.
 */
static bool
try_member(Member *member)
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

static bool
room_for_more(TimestampTz began_at)
{
	return !MyProc->subxidStatus.overflowed && MyProc->subxidStatus.count < GROUP_SUBXIDS &&
		!TimestampDifferenceExceeds(began_at, GetCurrentTimestamp(), GROUP_MS);
}

/*
 * Run those steps at the head of the list that may share a transaction.  Who
 * did not get its turn stays as it is; who is to run alone is marked.
 */
static int
run_members(List *claims, Member *members)
{
	TimestampTz began_at = GetCurrentTimestamp();
	int			n = 0;
	ListCell   *cell;

	foreach(cell, claims)
	{
		FtStepClaim *claim = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (!ft_step_may_group(claim) || !room_for_more(began_at))
			break;
		members[n].claim = claim;
		members[n].turn = n;
		if (try_member(&members[n]))
			n++;
		else
			claim->alone = true;
	}
	return n;
}

/* By execution, and those of one in the order in which they were run. */
static int
compare_executions(const void *a, const void *b)
{
	const Member *first = a;
	const Member *second = b;
	int			result = memcmp(&first->claim->execution_id, &second->claim->execution_id, UUID_LEN);

	return result != 0 ? result : first->turn - second->turn;
}

static int
compare_tasks(const void *a, const void *b)
{
	return memcmp(&((const Member *) a)->claim->task_id,
				  &((const Member *) b)->claim->task_id, UUID_LEN);
}

/* Of two steps that set the same, the later one wins. */
static Datum
merge(Datum patch, Datum further)
{
	if (patch == (Datum) 0 || further == (Datum) 0)
		return patch == (Datum) 0 ? further : patch;
	return OidFunctionCall2(F_JSONB_CONCAT, patch, further);
}

/* Add up what there is to count, by execution; returns how many there are. */
static int
add_up(Member *members, int n, Count *counts)
{
	int			executions = 0;

	qsort(members, n, sizeof(Member), compare_executions);
	for (int i = 0; i < n; i++)
	{
		Member	   *member = &members[i];
		Count	   *count = &counts[executions - 1];

		if (i == 0 || memcmp(&count->execution_id, &member->claim->execution_id, UUID_LEN) != 0)
		{
			count = &counts[executions++];
			memset(count, 0, sizeof(Count));
			count->execution_id = member->claim->execution_id;
		}
		count->ended++;
		if (!member->outcome.skipped)
			count->completed++;
		count->patch = merge(count->patch, member->outcome.patch);
		member->execution = executions - 1;
		member->place = count->completed;
	}
	return executions;
}

static Datum
array_of(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type,
											  length, by_value, align));
}

/* Who has lost a claim, or an execution that goes on, is found by itself. */
static void
report_group_ended(void)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_STALE_ATTEMPT),
			 errmsg("a step of a group was taken over, or its execution has ended"),
			 errdetail("What the group did is rolled back; each of its steps runs again, by itself.")));
}

static void
count_executions(Count *counts, int n, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);
	Datum	   *completed = palloc(sizeof(Datum) * n);
	Datum	   *ended = palloc(sizeof(Datum) * n);
	Datum	   *patches = palloc(sizeof(Datum) * n);
	bool	   *no_patch = palloc(sizeof(bool) * n);

	for (int i = 0; i < n; i++)
	{
		ids[i] = UUIDPGetDatum(&counts[i].execution_id);
		completed[i] = Int32GetDatum(counts[i].completed);
		ended[i] = Int32GetDatum(counts[i].ended);
		patches[i] = counts[i].patch;
		no_patch[i] = counts[i].patch == (Datum) 0;
	}
	if (ft_run_by_index(&count_steps,
						FT_ARGS(FT_VALUE(array_of(ids, NULL, n, UUIDOID)),
								FT_VALUE(array_of(completed, NULL, n, INT4OID)),
								FT_VALUE(array_of(ended, NULL, n, INT4OID)),
								FT_VALUE(array_of(patches, no_patch, n, JSONBOID)),
								FT_TEXT(ft_step_status_after(FT_EXECUTION_COMPLETE)),
								FT_TEXT(ft_step_status_after(FT_EXECUTION_START_TASK)),
								FT_TIME(now))) != n)
		report_group_ended();
	for (int row = 0; row < n; row++)
		ft_step_read_counted(row, 2, &counts[ft_column_int32(row, 1) - 1].counted);
}

static void
write_tasks(Member *members, int n, const Count *counts, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);
	Datum	   *attempts = palloc(sizeof(Datum) * n);
	Datum	   *statuses = palloc(sizeof(Datum) * n);
	Datum	   *results = palloc(sizeof(Datum) * n);
	bool	   *no_result = palloc(sizeof(bool) * n);
	Datum	   *orders = palloc(sizeof(Datum) * n);
	bool	   *no_order = palloc(sizeof(bool) * n);

	qsort(members, n, sizeof(Member), compare_tasks);
	for (int i = 0; i < n; i++)
	{
		const Member *member = &members[i];
		const Count *count = &counts[member->execution];

		ids[i] = UUIDPGetDatum(&member->claim->task_id);
		attempts[i] = Int32GetDatum(member->claim->attempt);
		statuses[i] = CStringGetTextDatum(ft_step_ended_status(member->claim, member->outcome.skipped));
		results[i] = member->outcome.result;
		no_result[i] = member->outcome.result == (Datum) 0;
		orders[i] = Int64GetDatum(count->counted.completions - count->completed + member->place);
		no_order[i] = member->outcome.skipped;
	}
	if (ft_run_by_index(&end_tasks,
						FT_ARGS(FT_VALUE(array_of(ids, NULL, n, UUIDOID)),
								FT_VALUE(array_of(attempts, NULL, n, INT4OID)),
								FT_VALUE(array_of(statuses, NULL, n, TEXTOID)),
								FT_VALUE(array_of(results, no_result, n, JSONBOID)),
								FT_TIME(now),
								FT_VALUE(array_of(orders, no_order, n, INT8OID)))) != n)
		report_group_ended();
	for (int row = 0; row < n; row++)
		members[ft_column_int32(row, 1) - 1].has_successors = ft_column_bool(row, 2);
}

List *
ft_step_run_group(List *claims, MemoryContext run_context, List **successors)
{
	MemoryContext context = MemoryContextSwitchTo(run_context);
	Member	   *members = palloc0(sizeof(Member) * list_length(claims));
	Count	   *counts = palloc(sizeof(Count) * list_length(claims));
	int			n = run_members(claims, members);
	List	   *done = NIL;
	TimestampTz now = GetCurrentTimestamp();
	FtEngine	engine;

	*successors = NIL;
	if (n == 0)
	{
		MemoryContextSwitchTo(context);
		return NIL;
	}
	ft_step_limit_begin(commit_limit(members, n));
	ft_engine_enter(&engine);
	count_executions(counts, add_up(members, n, counts), now);
	write_tasks(members, n, counts, now);
	for (int i = 0; i < n; i++)
	{
		FtStepClaim *claim = members[i].claim;
		FtStepClaim *successor = ft_step_go_on(claim, &counts[members[i].execution].counted, now,
											   members[i].has_successors, true);
		MemoryContext caller = MemoryContextSwitchTo(context);

		done = lappend(done, claim);
		if (successor != NULL)
			*successors = lappend(*successors, successor);
		MemoryContextSwitchTo(caller);
	}
	ft_engine_leave(&engine);
	MemoryContextSwitchTo(context);
	return done;
}
