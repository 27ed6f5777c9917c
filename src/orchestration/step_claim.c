/*-------------------------------------------------------------------------
 *
 * step_claim.c
 *	  Taking steps that are due.
 *
 * Due steps stand in lanes, see step_lane.h.
 *
 * What has been claimed stays in the index of lanes until vacuum removes it, which it
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
 * A queue with limits is entered before one of its steps is claimed, and left
 * by who finds no room; see queue_room.c.  A step that has just become due is
 * gone on with only if its queue has none: else it is claimed as any other.
 *
 * Locking: the lock of a queue that has limits, for which no claim waits longer
 * than others take; rows of tasks, skipping those that are locked; then rows of
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
#include "orchestration/queue.h"
#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "orchestration/step_lane.h"
#include "orchestration/suspect.h"
#include "shmem.h"
#include "uuid.h"
#include "wake.h"

/* Heads of lanes are looked for for one in so many parts of the time. */
#define LOOK_SHARE		20
#define LOOK_LIMIT_MS	5000

/* How many steps are claimed at a time where they have been quick. */
#define BATCH	20

FT_STATEMENT(own_lanes,
			 FT_LANES(" AND owner_oid = $1", "queue, " FT_LANE_RANK, "lane.queue, lane.rank")
			 "SELECT queue, rank, due_at FROM lane WHERE due_at <= $2",
			 OIDOID, TIMESTAMPTZOID);

#define CLAIM(from_, limit_, locks_) \
	"WITH candidate AS MATERIALIZED" \
	" (SELECT task_id, due_at FROM ft.orchestration_tasks AS task" from_ \
	"   WHERE " FT_UNSUSPECTED " AND owner_oid = $1 AND queue = $2 AND " FT_LANE_RANK " = $3 AND due_at <= $4" \
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

#define CLAIMED \
	" RETURNING task.task_id, task.execution_id, task.attempt, task.task_name, task.command," \
	"           task.condition, task.execution_mode = 'transactional'," \
	"           " FT_IS_SHORT("task") "," \
	"           coalesce(ceil(extract(epoch FROM task.timeout) * 1000), 0)::bigint," \
	"           " FT_HAS_FLOW("task") ", task.has_successors, task.suspicion"

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
FT_STATEMENT(claim_batch, CLAIM("", CppAsString2(BATCH), ""), CLAIM_ARGUMENTS);
FT_STATEMENT(claim_by_hand, CLAIM(EXECUTION, "1", LOCK_EXECUTION), CLAIM_ARGUMENTS);

#define CLAIM_BY_ID(ids_) \
	"UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$2", "$3", "$4", "$5", "$6") \
	" WHERE task.task_id = " ids_ " AND task.due_at <= $2 AND task.suspicion IS NULL" \
	"   AND ($7 IS NULL OR task.queue <> ALL ($7))" CLAIMED

FT_STATEMENT(claim_task, CLAIM_BY_ID("$1"),
			 UUIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTARRAYOID);
FT_STATEMENT(claim_tasks, CLAIM_BY_ID("ANY ($1)"),
			 UUIDARRAYOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTARRAYOID);

/*
 * What has waited for one task, which has just ended, and for nothing else: it
 * need not be written down as due first.  One that sleeps, or that others have
 * to run, is left to ready.c.
 */
FT_STATEMENT(claim_successor,
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$3", "$4", "$5", "$6", "$7") ","
			 "       unmet = 0, not_before = NULL, wait_until = NULL"
			 " WHERE task.execution_id = $1 AND task.task_name = $2 AND task.status = 'PENDING'"
			 "   AND task.unmet = 1 AND task.sleep IS NULL"
			 "   AND task.execution_mode <> 'external' AND task.suspicion IS NULL"
			 "   AND ($8 IS NULL OR task.queue <> ALL ($8))" CLAIMED,
			 UUIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTARRAYOID);

/* What became due could be started at once: one update does for both. */
FT_STATEMENT(start_successors,
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$3", "$4", "$5", "$6", "$7") ","
			 "       unmet = 0, not_before = NULL, wait_until = NULL"
			 "  FROM " FT_WHAT_DEPENDED(" ORDER BY 1 LIMIT " CppAsString2(BATCH))
			 " WHERE task.task_id = ended.successor_id AND ended.goes_on"
			 "   AND task.status = 'PENDING' AND task.unmet = ended.met AND task.sleep IS NULL"
			 "   AND task.suspicion IS NULL AND task.execution_mode = 'transactional'"
			 "   AND " FT_IS_SHORT("task")
			 "   AND ($8 IS NULL OR task.queue <> ALL ($8))" CLAIMED ", ended.met",
			 UUIDARRAYOID, BOOLARRAYOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID,
			 TEXTARRAYOID);
FT_STATEMENT(claim_of_execution,
			 "WITH candidate AS MATERIALIZED"
			 " (SELECT task_id FROM ft.orchestration_tasks"
			 "   WHERE " FT_DUE " AND owner_oid = $1 AND execution_id = $2 AND due_at <= $3"
			 "     AND ($6 IS NULL OR queue = $6)"
			 "   ORDER BY " FT_LANE_RANK ", due_at, task_id LIMIT 1"
			 "     FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$3", "$4", "$5", "NULL", "NULL")
			 "  FROM candidate WHERE task.task_id = candidate.task_id" CLAIMED,
			 OIDOID, UUIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID, TEXTOID);
FT_STATEMENT(queues_of_execution,
			 "SELECT queue FROM ft.orchestration_tasks"
			 " WHERE " FT_DUE " AND owner_oid = $1 AND execution_id = $2 AND due_at <= $3"
			 " GROUP BY queue ORDER BY min(" FT_LANE_RANK "), min(due_at), queue",
			 OIDOID, UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT(claim_suspect,
			 "WITH candidate AS MATERIALIZED"
			 " (SELECT task_id FROM ft.orchestration_tasks"
			 "   WHERE " FT_DUE " AND suspicion IS NOT NULL AND suspicion = $3 AND owner_oid = $1 AND due_at <= $2"
			 "     AND ($8 IS NULL OR queue = $8)"
			 "   ORDER BY due_at, task_id LIMIT 1"
			 "     FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_tasks AS task" SET_CLAIMED("$2", "$4", "$5", "$6", "$7")
			 "  FROM candidate WHERE task.task_id = candidate.task_id" CLAIMED,
			 OIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTOID);
FT_STATEMENT(queues_of_suspects,
			 "SELECT queue FROM ft.orchestration_tasks"
			 " WHERE " FT_DUE " AND suspicion IS NOT NULL AND suspicion = $3 AND owner_oid = $1 AND due_at <= $2"
			 " GROUP BY queue ORDER BY min(due_at), queue",
			 OIDOID, TIMESTAMPTZOID, TEXTOID);
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
	claim->has_flow = ft_column_bool(row, 10);
	claim->has_successors = ft_column_bool(row, 11);
	claim->suspicion = ft_column_text(row, 12);
	/* so that it is clear whom it takes down */
	claim->alone = claim->suspicion != NULL;
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
	if (claim->suspicion != NULL)
		pfree(claim->suspicion);
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

/* A lane of one owner, and the first step in it that may be claimed. */
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

/* The queue that this process has claimed from last. */
static char last_queue[FT_NAME_LIMIT + 1] = "";

/*
 * The highest priority first; of the same, queues come one after the other, so
 * that none waits for all that stands in another.
 */
static int
compare_lanes(const ListCell *a, const ListCell *b)
{
	const Lane *one = lfirst(a);
	const Lane *other = lfirst(b);
	bool		one_had_its_turn = strcmp(one->queue, last_queue) <= 0;
	bool		other_had_its_turn = strcmp(other->queue, last_queue) <= 0;

	if (one->rank != other->rank)
		return one->rank < other->rank ? -1 : 1;
	if (one_had_its_turn != other_had_its_turn)
		return other_had_its_turn ? -1 : 1;
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

/* The last ft_step_claim() found nothing but what limits keep back. */
static bool kept_back = false;

/*
 * Enter a queue, where it has limits, for so many steps at a time.  Returns how
 * many may be claimed, and the room that there is.
 */
static int
enter_queue(FtQueue *queue, Oid owner, TimestampTz *now, int several, int *room)
{
	TimestampTz look_at;

	if (queue == NULL)
		return several;
	if (queue->closed)
		return 0;
	*room = ft_queue_enter(queue, owner, true, now, &look_at);
	if (*room > 0)
		return ft_queue_is_wide(queue, *room, several) ? several : 1;
	queue->closed = true;
	if (look_at != DT_NOBEGIN)
		kept_back = true;
	ft_queue_look_at(look_at, *now);
	return 0;
}

/* Claim the first steps of a lane; those claimed are in the given context. */
static List *
claim_from_lane(Lane *lane, Oid owner, FtQueue *queue, TimestampTz now, bool batch,
				MemoryContext context)
{
	List	   *claims = NIL;
	int			room = 0;
	int			several = enter_queue(queue, owner, &now, batch ? BATCH : 1, &room);
	uint64		n;

	if (several == 0)
		return NIL;
	n = ft_run_by_index(ft_my_worker_id == 0 ? &claim_by_hand :
						several > 1 ? &claim_batch : &claim_one,
						FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner)), FT_TEXT(lane->queue),
								FT_VALUE(Int32GetDatum(lane->rank)), FT_TIME(now),
								FT_TEXT(running_status()),
								FT_VALUE(Int32GetDatum(MyProcPid)),
								epoch_argument(), worker_argument(),
								FT_TIME(lane->due_at), FT_UUID(&lane->task_id)));
	for (uint64 row = 0; row < n; row++)
	{
		FtStepClaim *claim = read_claim(row, now, context);
		TimestampTz due_at = ft_column_time(row, 13);
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
	if (queue != NULL)
		ft_queue_leave(queue, n, room, now);
	return claims;
}

/* The same of the first lane that has something, in their order. */
static List *
claim_from_lanes(Oid owner, List *queues, FtQueue **queue, TimestampTz now, bool batch,
				 MemoryContext context)
{
	List	   *claims = NIL;
	ListCell   *cell;

	list_sort(known_lanes, compare_lanes);
	foreach(cell, known_lanes)
	{
		Lane	   *lane = lfirst(cell);

		*queue = ft_queue_find(queues, lane->queue);
		claims = claim_from_lane(lane, owner, *queue, now, batch, context);
		if (claims == NIL)
			continue;
		strlcpy(last_queue, lane->queue, sizeof(last_queue));
		break;
	}
	return claims;
}

List *
ft_step_claim(TimestampTz now, bool batch)
{
	MemoryContext result_context = CurrentMemoryContext;
	List	   *claims = NIL;
	List	   *queues;
	FtQueue    *queue = NULL;
	FtEngine	engine;

	/* somebody was renamed, and the scheduler has not looked yet */
	if (!ft_owners_settled())
		return NIL;
	kept_back = false;
	ft_engine_enter(&engine);
	queues = ft_queues_read();
	if (ft_my_worker_id != 0 && lanes_owner == engine.caller && now < lanes_known_until &&
		lanes_known_until - now <= LOOK_LIMIT_MS * INT64CONST(1000))
		claims = claim_from_lanes(engine.caller, queues, &queue, now, batch, result_context);
	if (claims == NIL)
	{
		look_for_lanes(engine.caller, now);
		claims = claim_from_lanes(engine.caller, queues, &queue, now, batch, result_context);
	}
	if (claims != NIL)
		begin_claimed(claims, batch, now);
	ft_queue_moved_on(claims != NIL ? queue : NULL);
	ft_engine_leave(&engine);
	return claims;
}

bool
ft_step_kept_back(void)
{
	return kept_back;
}

/* The last result: the first column of each row. */
static List *
names_found(uint64 n)
{
	List	   *names = NIL;

	for (uint64 row = 0; row < n; row++)
		names = lappend(names, ft_column_text(row, 1));
	return names;
}

/* Claim a step of one queue, or of any with NULL. */
typedef FtStepClaim *(*ClaimOfQueue) (const char *queue, TimestampTz now, void *what,
									  MemoryContext context);

/*
 * Claim a step by something else than its lane: the queues are those that it
 * may be of, the best first; NIL where none has limits.
 */
static FtStepClaim *
claim_across(List *queues, List *names, Oid owner, TimestampTz now, ClaimOfQueue claim_of_queue,
			 void *what, MemoryContext context)
{
	ListCell   *cell;

	if (queues == NIL)
	{
		FtStepClaim *claim = claim_of_queue(NULL, now, what, context);

		if (claim != NULL)
			ft_queue_moved_on(NULL);
		return claim;
	}
	foreach(cell, names)
	{
		FtQueue    *queue = ft_queue_find(queues, lfirst(cell));
		int			room = 0;
		FtStepClaim *claim;

		if (enter_queue(queue, owner, &now, 1, &room) == 0)
			continue;
		claim = claim_of_queue(lfirst(cell), now, what, context);
		if (queue != NULL)
			ft_queue_leave(queue, claim != NULL ? 1 : 0, room, now);
		if (claim == NULL)
			continue;
		ft_queue_moved_on(queue);
		return claim;
	}
	return NULL;
}

typedef struct SuspectSought
{
	Oid			owner;
	const char *suspicion;
} SuspectSought;

static FtStepClaim *
claim_suspect_of_queue(const char *queue, TimestampTz now, void *what, MemoryContext context)
{
	SuspectSought *sought = what;

	if (ft_run_by_index(&claim_suspect,
						FT_ARGS(FT_VALUE(ObjectIdGetDatum(sought->owner)), FT_TIME(now),
								FT_TEXT(sought->suspicion), FT_TEXT(running_status()),
								FT_VALUE(Int32GetDatum(MyProcPid)),
								epoch_argument(), worker_argument(), FT_TEXT(queue))) == 0)
		return NULL;
	return read_claim(0, now, context);
}

/*
 * Claim a suspect: nothing else is in the hands of who claims it, so that it
 * is clear whom it takes down.
 */
FtStepClaim *
ft_step_claim_suspect(TimestampTz now, const char *suspicion)
{
	MemoryContext result_context = CurrentMemoryContext;
	FtStepClaim *claim;
	List	   *queues;
	List	   *names = NIL;
	SuspectSought sought;
	FtEngine	engine;

	ft_engine_enter(&engine);
	queues = ft_queues_read();
	sought.owner = engine.caller;
	sought.suspicion = suspicion;
	if (queues != NIL)
		names = names_found(ft_run(&queues_of_suspects,
								   FT_ARGS(FT_VALUE(ObjectIdGetDatum(sought.owner)), FT_TIME(now),
										   FT_TEXT(suspicion))));
	claim = claim_across(queues, names, sought.owner, now, claim_suspect_of_queue, &sought,
						 result_context);
	if (claim != NULL)
		begin_claimed(list_make1(claim), false, now);
	ft_engine_leave(&engine);
	return claim;
}

/* The names of queues that have limits; null if none has. */
static FtArg
limited_argument(void)
{
	List	   *queues = ft_queues_read();
	Datum	   *names;
	int			n = 0;
	ListCell   *cell;

	if (queues == NIL)
		return FT_NULL;
	names = palloc(sizeof(Datum) * list_length(queues));
	foreach(cell, queues)
		names[n++] = CStringGetTextDatum(((FtQueue *) lfirst(cell))->name);
	return FT_VALUE(PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT)));
}

FtStepClaim *
ft_step_claim_task(const pg_uuid_t *task_id, TimestampTz now, MemoryContext context)
{
	if (!ft_owners_settled() ||
		ft_run(&claim_task,
			   FT_ARGS(FT_UUID(task_id), FT_TIME(now), FT_TEXT(running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   epoch_argument(), worker_argument(), limited_argument())) == 0)
		return NULL;
	ft_queue_moves_on();
	return read_claim(0, now, context);
}

/* The last result: claims of what has just become due. */
static List *
read_claims(uint64 n, TimestampTz now, MemoryContext context)
{
	List	   *claims = NIL;

	if (n > 0)
		ft_queue_moves_on();
	for (uint64 row = 0; row < n; row++)
	{
		FtStepClaim *claim = read_claim(row, now, context);
		MemoryContext caller = MemoryContextSwitchTo(context);

		claims = lappend(claims, claim);
		MemoryContextSwitchTo(caller);
	}
	return claims;
}

FtStepClaim *
ft_step_claim_successor(const pg_uuid_t *execution_id, const char *name, TimestampTz now,
						MemoryContext context)
{
	if (!ft_owners_settled() ||
		ft_run(&claim_successor,
			   FT_ARGS(FT_UUID(execution_id), FT_TEXT(name), FT_TIME(now), FT_TEXT(running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   epoch_argument(), worker_argument(), limited_argument())) == 0)
		return NULL;
	ft_queue_moves_on();
	return read_claim(0, now, context);
}

List *
ft_step_claim_tasks(Datum *task_ids, int n, TimestampTz now, MemoryContext context)
{
	if (n == 0 || !ft_owners_settled())
		return NIL;
	return read_claims(ft_run(&claim_tasks,
							  FT_ARGS(FT_ARRAY(task_ids, NULL, n, UUIDOID), FT_TIME(now),
									  FT_TEXT(running_status()),
									  FT_VALUE(Int32GetDatum(MyProcPid)),
									  epoch_argument(), worker_argument(), limited_argument())),
					   now, context);
}

List *
ft_step_start_successors(FtArg task_ids, FtArg go_on, TimestampTz now, MemoryContext context,
						 int *met)
{
	uint64		n;

	*met = 0;
	if (!ft_owners_settled())
		return NIL;
	n = ft_run(&start_successors,
			   FT_ARGS(task_ids, go_on, FT_TIME(now), FT_TEXT(running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   epoch_argument(), worker_argument(), limited_argument()));
	for (uint64 row = 0; row < n; row++)
		*met += ft_column_int32(row, 13);
	return read_claims(n, now, context);
}

typedef struct ExecutionSought
{
	Oid			owner;
	const pg_uuid_t *execution_id;
} ExecutionSought;

static FtStepClaim *
claim_of_execution_of_queue(const char *queue, TimestampTz now, void *what, MemoryContext context)
{
	ExecutionSought *sought = what;

	if (ft_run(&claim_of_execution,
			   FT_ARGS(FT_VALUE(ObjectIdGetDatum(sought->owner)), FT_UUID(sought->execution_id),
					   FT_TIME(now), FT_TEXT(running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)), FT_TEXT(queue))) == 0)
		return NULL;
	return read_claim(0, now, context);
}

FtStepClaim *
ft_step_claim_of_execution(const pg_uuid_t *execution_id, TimestampTz now)
{
	MemoryContext result_context = CurrentMemoryContext;
	FtStepClaim *claim;
	List	   *queues;
	List	   *names = NIL;
	ExecutionSought sought;
	FtExecution execution;
	FtEngine	engine;

	ft_engine_enter(&engine);

	/*
	 * The caller's transaction goes on to run what is claimed, so it has to
	 * have the execution before the task, as all others do.
	 */
	ft_execution_lock(&execution, execution_id, engine.caller);
	queues = ft_queues_read();
	sought.owner = engine.caller;
	sought.execution_id = execution_id;
	if (queues != NIL)
		names = names_found(ft_run(&queues_of_execution,
								   FT_ARGS(FT_VALUE(ObjectIdGetDatum(sought.owner)),
										   FT_UUID(execution_id), FT_TIME(now))));
	claim = claim_across(queues, names, sought.owner, now, claim_of_execution_of_queue, &sought,
						 result_context);
	if (claim != NULL)
		begin_claimed(list_make1(claim), false, now);
	ft_engine_leave(&engine);
	return claim;
}
