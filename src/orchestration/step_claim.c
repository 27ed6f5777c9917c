/*-------------------------------------------------------------------------
 *
 * step_claim.c
 *	  Which steps are due, and taking them.
 *
 * Due steps stand in lanes: one for each queue and priority of an owner, in
 * the order in which they became due.  The head of each lane is found by the
 * index of lanes, so that looking costs as much as there are lanes, however
 * many steps wait in them.
 *
 * What has been claimed stays in that index until vacuum removes it, which it
 * cannot while anybody has an older snapshot; and whoever looks for the head of
 * a lane reads all that has died before it.  So an executor goes on in a lane
 * where it last claimed something, and looks for heads again after many times
 * as long as looking took, or when it finds nothing.  What becomes due further
 * to the front meanwhile, or with a higher priority, waits for that.
 *
 * A claim is a small transaction of its own that need not reach the disk: what
 * it says is who runs the step now, and whoever completes the step looks again
 * whether that is still so.  A worker that is lost is known to be lost, by its
 * id and by the start of the server that it belonged to; nothing waits for a
 * lease.
 *
 * Locking: rows of tasks, skipping those that are locked; then rows of
 * executions that are to begin, skipping the same way.  So no claim waits for
 * a lock.  By hand both are locked at once, whether the execution is to begin
 * or not.  Giving one back locks the execution's row, and then the task's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "orchestration/suspect.h"
#include "shmem.h"
#include "uuid.h"

/* Heads of lanes are looked for for one in so many parts of the time. */
#define LOOK_SHARE		20
#define LOOK_LIMIT_MS	5000

#define DUE		"due_at IS NOT NULL AND execution_mode <> 'external'"
#define UNSUSPECTED DUE " AND suspicion IS NULL"
#define RANK	"(- priority::integer)"

/*
 * The head of each lane, of one owner or of all; a lane comes after another by
 * key_ and after_.  What is said to be equal must not be part of these: an
 * index scan that finds where to begin by an equal column reads all of it.
 */
#define LANES(of_owner_, key_, after_) \
	"WITH RECURSIVE lane AS (" \
	" (SELECT owner_oid, queue, " RANK " AS rank, due_at" \
	"    FROM ft.orchestration_tasks" \
	"   WHERE " UNSUSPECTED of_owner_ \
	"   ORDER BY owner_oid, queue, " RANK ", due_at LIMIT 1)" \
	" UNION ALL" \
	" SELECT next.owner_oid, next.queue, next.rank, next.due_at" \
	"   FROM lane, LATERAL" \
	"        (SELECT owner_oid, queue, " RANK " AS rank, due_at" \
	"           FROM ft.orchestration_tasks" \
	"          WHERE " UNSUSPECTED of_owner_ \
	"            AND (" key_ ") > (" after_ ")" \
	"          ORDER BY owner_oid, queue, " RANK ", due_at LIMIT 1) AS next) "

FT_STATEMENT_NOARGS(all_lanes,
					LANES("", "owner_oid, queue, " RANK, "lane.owner_oid, lane.queue, lane.rank")
					"SELECT owner_oid, due_at FROM lane");
FT_STATEMENT(own_lanes,
			 LANES(" AND owner_oid = $1", "queue, " RANK, "lane.queue, lane.rank")
			 "SELECT queue, rank, due_at FROM lane WHERE due_at <= $2",
			 OIDOID, TIMESTAMPTZOID);

#define CLAIM(from_, limit_, locks_) \
	"WITH candidate AS MATERIALIZED" \
	" (SELECT task_id, due_at FROM ft.orchestration_tasks AS task" from_ \
	"   WHERE " UNSUSPECTED " AND owner_oid = $1 AND queue = $2 AND " RANK " = $3 AND due_at <= $4" \
	"     AND (due_at, task_id) >= ($9, $10)" \
	"   ORDER BY due_at, task_id LIMIT " limit_ locks_ \
	"     FOR NO KEY UPDATE OF task SKIP LOCKED) " \
	"UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$4", "$5", "$6", "$7", "$8") \
	"  FROM candidate WHERE task.task_id = candidate.task_id" CLAIMED ", candidate.due_at"

#define SET_CLAIMED(now_, status_, pid_, epoch_, worker_) \
	"   SET status = " status_ ", attempt = task.attempt + 1, due_at = NULL," \
	"       next_attempt_at = NULL, error_sqlstate = NULL, error_message = NULL," \
	"       started_at = " now_ ", worker_pid = " pid_ ", worker_epoch = " epoch_ "," \
	"       worker_id = " worker_

/* More than a command: see flow.c. */
#define HAS_FLOW \
	"num_nonnulls(task.signal, task.for_each, task.repeat_while, task.orchestration) > 0"

#define CLAIMED \
	" RETURNING task.task_id, task.execution_id, task.attempt, task.task_name, task.command," \
	"           task.condition, task.execution_mode = 'transactional'," \
	"           task.short AND NOT (" HAS_FLOW ")," \
	"           coalesce(ceil(extract(epoch FROM task.timeout) * 1000), 0)::bigint," \
	"           " HAS_FLOW

#define CLAIM_ARGUMENTS \
	OIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID, \
	TIMESTAMPTZOID, UUIDOID

/*
 * A transaction that goes on to run what it has claimed has to have the
 * execution as well, which others lock before its tasks.
 */
#define EXECUTION \
	" JOIN (SELECT execution_id FROM ft.orchestration_executions) AS execution USING (execution_id)"
#define LOCK_EXECUTION "     FOR NO KEY UPDATE OF execution SKIP LOCKED"

FT_STATEMENT(claim_one, CLAIM("", "1", ""), CLAIM_ARGUMENTS);
FT_STATEMENT(claim_batch, CLAIM("", "20", ""), CLAIM_ARGUMENTS);
FT_STATEMENT(claim_by_hand, CLAIM(EXECUTION, "1", LOCK_EXECUTION), CLAIM_ARGUMENTS);
FT_STATEMENT(claim_task,
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$2", "$3", "$4", "$5", "$6")
			 " WHERE task.task_id = $1 AND task.due_at <= $2 AND task.suspicion IS NULL" CLAIMED,
			 UUIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID);
FT_STATEMENT(claim_of_execution,
			 "WITH candidate AS MATERIALIZED"
			 " (SELECT task_id FROM ft.orchestration_tasks"
			 "   WHERE " DUE " AND owner_oid = $1 AND execution_id = $2 AND due_at <= $3"
			 "   ORDER BY " RANK ", due_at, task_id LIMIT 1"
			 "     FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$3", "$4", "$5", "NULL", "NULL")
			 "  FROM candidate WHERE task.task_id = candidate.task_id" CLAIMED,
			 OIDOID, UUIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID);
FT_STATEMENT(claim_suspect,
			 "WITH candidate AS MATERIALIZED"
			 " (SELECT task_id FROM ft.orchestration_tasks"
			 "   WHERE " DUE " AND suspicion IS NOT NULL AND suspicion = $3 AND owner_oid = $1 AND due_at <= $2"
			 "   ORDER BY due_at, task_id LIMIT 1"
			 "     FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$2", "$4", "$5", "$6", "$7")
			 "  FROM candidate WHERE task.task_id = candidate.task_id" CLAIMED,
			 OIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, INT8OID, INT8OID);
FT_STATEMENT_NOARGS(due_suspects,
					"SELECT owner_oid, due_at FROM ft.orchestration_tasks"
					" WHERE " DUE " AND suspicion IS NOT NULL ORDER BY due_at, task_id");
FT_STATEMENT(first_server_suspect,
			 "SELECT owner_oid FROM ft.orchestration_tasks"
			 " WHERE " DUE " AND suspicion IS NOT NULL AND suspicion = 'server' AND due_at <= $1"
			 " ORDER BY due_at, task_id LIMIT 1",
			 TIMESTAMPTZOID);
FT_STATEMENT(begin_executions,
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET status = $2, started_at = coalesce(started_at, $3),"
			 "       updated_at = greatest(updated_at, $3)"
			 "  FROM (SELECT execution_id FROM ft.orchestration_executions"
			 "         WHERE execution_id = ANY ($1) AND status IN ('PENDING', 'ROLLED_BACK')"
			 "         ORDER BY execution_id FOR NO KEY UPDATE SKIP LOCKED) AS begun"
			 " WHERE execution.execution_id = begun.execution_id",
			 UUIDARRAYOID, TEXTOID, TIMESTAMPTZOID);

static FtStepClaim *
read_claim(uint64 row, TimestampTz now, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);
	FtStepClaim *claim = palloc(sizeof(FtStepClaim));

	claim->task_id = ft_column_uuid(row, 1);
	claim->execution_id = ft_column_uuid(row, 2);
	claim->attempt = ft_column_int32(row, 3);
	claim->name = ft_column_text(row, 4);
	claim->command = ft_column_text(row, 5);
	claim->condition = ft_column_text(row, 6);
	claim->in_transaction = ft_column_bool(row, 7);
	claim->is_short = ft_column_bool(row, 8);
	claim->timeout = ft_column_int64(row, 9);
	claim->claimed_at = now;
	claim->begun = true;
	claim->alone = false;
	claim->has_flow = ft_column_bool(row, 10);
	MemoryContextSwitchTo(caller);
	return claim;
}

void
ft_step_claim_free(FtStepClaim *claim)
{
	pfree(claim->name);
	if (claim->command != NULL)
		pfree(claim->command);
	if (claim->condition != NULL)
		pfree(claim->condition);
	pfree(claim);
}

/* Which start of the server, and which worker, this is; null for a session. */
static FtArg
epoch_argument(void)
{
	return ft_my_worker_id == 0 ? FT_NULL :
		FT_VALUE(Int64GetDatum((int64) ft_shared->boot_epoch));
}

static FtArg
worker_argument(void)
{
	return ft_my_worker_id == 0 ? FT_NULL : FT_VALUE(Int64GetDatum((int64) ft_my_worker_id));
}

static const char *
running_status(void)
{
	return ft_task_status_name(ft_task_require_transition(FT_TASK_PENDING, FT_TASK_START, ""));
}

static void
begin(Datum *execution_ids, int n, TimestampTz claimed_at)
{
	ft_run(&begin_executions,
		   FT_ARGS(FT_VALUE(PointerGetDatum(construct_array(execution_ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR))),
				   FT_TEXT(ft_execution_status_name(ft_execution_require_transition(FT_EXECUTION_PENDING,
																					FT_EXECUTION_START_TASK, ""))),
				   FT_TIME(claimed_at)));
}

void
ft_step_begin_execution(const pg_uuid_t *execution_id, TimestampTz claimed_at)
{
	Datum		id = UUIDPGetDatum(execution_id);

	begin(&id, 1, claimed_at);
}

/*
 * Executions whose first step has been claimed begin.  One that is likely to be
 * over before anybody could have looked says so with its end, or when it turns
 * out to take long, see step_release.c.
 */
static void
begin_claimed(List *claims, bool quick, TimestampTz now)
{
	Datum	   *ids = palloc(sizeof(Datum) * list_length(claims));
	int			n = 0;
	ListCell   *cell;

	foreach(cell, claims)
	{
		FtStepClaim *claim = lfirst(cell);

		if (claim->is_short || (quick && claim->in_transaction && !claim->has_flow))
			claim->begun = false;
		else
			ids[n++] = UUIDPGetDatum(&claim->execution_id);
	}
	if (n > 0)
		begin(ids, n, now);
}

/* A lane, and where in it the first step stands that may be claimed. */
typedef struct Lane
{
	char	   *queue;
	int			rank;
	TimestampTz due_at;
	pg_uuid_t	task_id;
} Lane;

/* What this process knows of the lanes of one owner, and until when. */
static List *known_lanes = NIL;
static MemoryContext lanes_context = NULL;
static Oid	lanes_owner = InvalidOid;
static TimestampTz lanes_known_until = 0;

static int
compare_lanes(const ListCell *a, const ListCell *b)
{
	const Lane *one = lfirst(a);
	const Lane *other = lfirst(b);

	if (one->rank != other->rank)
		return one->rank < other->rank ? -1 : 1;
	if (one->due_at != other->due_at)
		return one->due_at < other->due_at ? -1 : 1;
	return strcmp(one->queue, other->queue);
}

/* Find the heads of all lanes. */
static void
look_for_lanes(Oid owner, TimestampTz now)
{
	TimestampTz began_at = GetCurrentTimestamp();
	MemoryContext caller;
	uint64		n;
	int64		took;

	if (lanes_context == NULL)
		lanes_context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance lanes",
											  ALLOCSET_SMALL_SIZES);
	known_lanes = NIL;
	MemoryContextReset(lanes_context);
	lanes_known_until = 0;

	n = ft_run_by_index(&own_lanes, FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner)), FT_TIME(now)));
	caller = MemoryContextSwitchTo(lanes_context);
	for (uint64 row = 0; row < n; row++)
	{
		Lane	   *lane = palloc0(sizeof(Lane));

		lane->queue = ft_column_text(row, 1);
		lane->rank = ft_column_int32(row, 2);
		lane->due_at = ft_column_time(row, 3);
		known_lanes = lappend(known_lanes, lane);
	}
	MemoryContextSwitchTo(caller);

	lanes_owner = owner;
	took = GetCurrentTimestamp() - began_at;
	lanes_known_until = TimestampTzPlusMilliseconds(now, Min(took * LOOK_SHARE / 1000, LOOK_LIMIT_MS));
}

/* Claim the first steps of a lane; those claimed are in the given context. */
static List *
claim_from_lane(Lane *lane, Oid owner, TimestampTz now, bool batch, MemoryContext context)
{
	List	   *claims = NIL;
	uint64		n = ft_run_by_index(ft_my_worker_id == 0 ? &claim_by_hand :
									batch ? &claim_batch : &claim_one,
									FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner)), FT_TEXT(lane->queue),
											FT_VALUE(Int32GetDatum(lane->rank)), FT_TIME(now),
											FT_TEXT(running_status()),
											FT_VALUE(Int32GetDatum(MyProcPid)),
											epoch_argument(), worker_argument(),
											FT_TIME(lane->due_at), FT_UUID(&lane->task_id)));

	for (uint64 row = 0; row < n; row++)
	{
		FtStepClaim *claim = read_claim(row, now, context);
		TimestampTz due_at = ft_column_time(row, 11);
		MemoryContext caller = MemoryContextSwitchTo(context);

		claims = lappend(claims, claim);
		MemoryContextSwitchTo(caller);
		if (due_at > lane->due_at ||
			(due_at == lane->due_at &&
			 memcmp(&claim->task_id, &lane->task_id, UUID_LEN) > 0))
		{
			lane->due_at = due_at;
			lane->task_id = claim->task_id;
		}
	}
	return claims;
}

/* The same of the first lane that has something, in their order. */
static List *
claim_from_lanes(Oid owner, TimestampTz now, bool batch, MemoryContext context)
{
	List	   *claims = NIL;
	ListCell   *cell;

	list_sort(known_lanes, compare_lanes);
	foreach(cell, known_lanes)
	{
		claims = claim_from_lane(lfirst(cell), owner, now, batch, context);
		if (claims != NIL)
			break;
	}
	return claims;
}

List *
ft_step_claim(TimestampTz now, bool batch)
{
	MemoryContext result_context = CurrentMemoryContext;
	List	   *claims = NIL;
	FtEngine	engine;

	/* somebody was renamed, and the scheduler has not looked yet */
	if (!ft_owners_settled())
		return NIL;
	ft_engine_enter(&engine);
	if (ft_my_worker_id != 0 && lanes_owner == engine.caller && now < lanes_known_until &&
		lanes_known_until - now <= LOOK_LIMIT_MS * INT64CONST(1000))
		claims = claim_from_lanes(engine.caller, now, batch, result_context);
	if (claims == NIL)
	{
		look_for_lanes(engine.caller, now);
		claims = claim_from_lanes(engine.caller, now, batch, result_context);
	}
	if (claims != NIL)
		begin_claimed(claims, batch, now);
	ft_engine_leave(&engine);
	return claims;
}

/*
 * Claim a suspect: nothing else is in the hands of who claims it, so that it
 * is clear whom it takes down.
 */
FtStepClaim *
ft_step_claim_suspect(TimestampTz now, const char *suspicion)
{
	MemoryContext result_context = CurrentMemoryContext;
	FtStepClaim *claim = NULL;
	FtEngine	engine;

	ft_engine_enter(&engine);
	if (ft_run_by_index(&claim_suspect,
						FT_ARGS(FT_VALUE(ObjectIdGetDatum(engine.caller)), FT_TIME(now),
								FT_TEXT(suspicion), FT_TEXT(running_status()),
								FT_VALUE(Int32GetDatum(MyProcPid)),
								epoch_argument(), worker_argument())) > 0)
	{
		claim = read_claim(0, now, result_context);
		begin_claimed(list_make1(claim), false, now);
	}
	ft_engine_leave(&engine);
	return claim;
}

FtStepClaim *
ft_step_claim_task(const pg_uuid_t *task_id, TimestampTz now, MemoryContext context)
{
	if (!ft_owners_settled() ||
		ft_run(&claim_task,
			   FT_ARGS(FT_UUID(task_id), FT_TIME(now), FT_TEXT(running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   epoch_argument(), worker_argument())) == 0)
		return NULL;
	return read_claim(0, now, context);
}

FtStepClaim *
ft_step_claim_of_execution(const pg_uuid_t *execution_id, TimestampTz now)
{
	MemoryContext result_context = CurrentMemoryContext;
	FtStepClaim *claim = NULL;
	FtExecution execution;
	FtEngine	engine;

	ft_engine_enter(&engine);

	/*
	 * The caller's transaction goes on to run what is claimed, so it has to
	 * have the execution before the task, as all others do.
	 */
	ft_execution_lock(&execution, execution_id, engine.caller);
	if (ft_run(&claim_of_execution,
			   FT_ARGS(FT_VALUE(ObjectIdGetDatum(engine.caller)), FT_UUID(execution_id), FT_TIME(now),
					   FT_TEXT(running_status()), FT_VALUE(Int32GetDatum(MyProcPid)))) > 0)
	{
		claim = read_claim(0, now, result_context);
		begin_claimed(list_make1(claim), false, now);
	}
	ft_engine_leave(&engine);
	return claim;
}

/* Sort an owner with something due in; later, note when it will be. */
static List *
add_owner(List *owners, Oid owner, TimestampTz due_at, TimestampTz now, TimestampTz *next_due)
{
	if (due_at <= now)
		return list_append_unique_oid(owners, owner);
	*next_due = Min(*next_due, due_at);
	return owners;
}

List *
ft_step_owners_due(TimestampTz now, TimestampTz *next_due)
{
	List	   *owners = NIL;
	bool		settled = true;
	uint64		n = ft_run_by_index(&all_lanes, NULL);

	*next_due = DT_NOEND;
	for (uint64 row = 0; row < n; row++)
	{
		TimestampTz due_at = ft_column_time(row, 2);

		owners = add_owner(owners, ft_column_oid(row, 1), due_at, now, next_due);
		if (ft_shared != NULL && due_at <= ft_shared->started_at)
			settled = false;
	}
	if (settled && ft_shared != NULL && ft_suspect_claims_must_last() &&
		!ft_compensation_waiting_since(ft_shared->started_at))
		ft_suspect_settled();

	n = ft_run_by_index(&due_suspects, NULL);
	for (uint64 row = 0; row < n; row++)
		owners = add_owner(owners, ft_column_oid(row, 1), ft_column_time(row, 2), now, next_due);
	return owners;
}

Oid
ft_step_suspect_owner(TimestampTz now)
{
	FtEngine	engine;
	Oid			owner = InvalidOid;

	ft_engine_enter(&engine);
	if (ft_run_by_index(&first_server_suspect, FT_ARGS(FT_TIME(now))) > 0)
		owner = ft_column_oid(0, 1);
	ft_engine_leave(&engine);
	return owner;
}
