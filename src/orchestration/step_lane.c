/*-------------------------------------------------------------------------
 *
 * step_lane.c
 *	  Claiming what is first in a lane.
 *
 * Due steps stand in lanes, see step_lane.h.
 *
 * What has been claimed stays in the index of lanes until vacuum removes it,
 * which it cannot while anybody has an older snapshot; and whoever looks for the
 * head of a lane reads all that has died before it.  So an executor goes on in a
 * lane where it last claimed something, and looks for heads again after many
 * times as long as looking took, or when it finds nothing.  What becomes due
 * further to the front meanwhile, or with a higher priority, waits for that.
 *
 * A queue with limits is entered before one of its steps is claimed, and left
 * by who finds no room; see queue_room.c.
 *
 * Locking: the lock of a queue that has limits, for which no claim waits longer
 * than others take; rows of tasks, skipping those that are locked; then rows of
 * executions that are to begin, skipping the same way.  So no claim waits for
 * a lock.  By hand both are locked at once, whether the execution is to begin
 * or not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "orchestration/step_claim.h"
#include "orchestration/step_lane.h"
#include "shmem.h"
#include "uuid.h"
#include "wake.h"

/* Heads of lanes are looked for for one in so many parts of the time. */
#define LOOK_SHARE		20
#define LOOK_LIMIT_MS	5000

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
	"UPDATE ft.orchestration_tasks AS task" FT_SET_CLAIMED("$4", "$5", "$6", "$7", "$8") \
	"  FROM candidate WHERE task.task_id = candidate.task_id" FT_CLAIMED ", candidate.due_at"

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
FT_STATEMENT(claim_batch, CLAIM("", CppAsString2(FT_STEP_BATCH), ""), CLAIM_ARGUMENTS);
FT_STATEMENT(claim_by_hand, CLAIM(EXECUTION, "1", LOCK_EXECUTION), CLAIM_ARGUMENTS);

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

int
ft_step_enter_queue(FtQueue *queue, Oid owner, TimestampTz *now, int several, int *room)
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
	int			several = ft_step_enter_queue(queue, owner, &now, batch ? FT_STEP_BATCH : 1, &room);
	uint64		n;

	if (several == 0)
		return NIL;
	n = ft_run_by_index(ft_my_worker_id == 0 ? &claim_by_hand :
						several > 1 ? &claim_batch : &claim_one,
						FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner)), FT_TEXT(lane->queue),
								FT_VALUE(Int32GetDatum(lane->rank)), FT_TIME(now),
								FT_TEXT(ft_step_running_status()),
								FT_VALUE(Int32GetDatum(MyProcPid)),
								ft_step_epoch_argument(), ft_step_worker_argument(),
								FT_TIME(lane->due_at), FT_UUID(&lane->task_id)));
	for (uint64 row = 0; row < n; row++)
	{
		FtStepClaim *claim = ft_step_read_claim(row, now, context);
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
		ft_step_begin_claimed(claims, batch, now);
	ft_queue_moved_on(claims != NIL ? queue : NULL);
	ft_engine_leave(&engine);
	return claims;
}

bool
ft_step_kept_back(void)
{
	return kept_back;
}
