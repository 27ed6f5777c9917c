/*-------------------------------------------------------------------------
 *
 * step_due.c
 *	  Whose steps are due, and when the next will be.
 *
 * For the scheduler, which starts and wakes executors: it looks at the head of
 * each lane, and at suspects, of which there are few.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "orchestration/queue.h"
#include "orchestration/step.h"
#include "orchestration/step_lane.h"
#include "orchestration/suspect.h"
#include "shmem.h"

FT_STATEMENT_NOARGS(all_lanes,
					FT_LANES("", "owner_oid, queue, " FT_LANE_RANK, "lane.owner_oid, lane.queue, lane.rank")
					"SELECT owner_oid, due_at, queue FROM lane");
FT_STATEMENT_NOARGS(due_suspects,
					"SELECT owner_oid, due_at, queue FROM ft.orchestration_tasks"
					" WHERE " FT_DUE " AND suspicion IS NOT NULL ORDER BY due_at, task_id");
FT_STATEMENT(server_suspects,
			 "SELECT owner_oid, due_at, queue FROM ft.orchestration_tasks"
			 " WHERE " FT_DUE " AND suspicion IS NOT NULL AND suspicion = 'server' AND due_at <= $1"
			 " ORDER BY due_at, task_id",
			 TIMESTAMPTZOID);

/* The head of a lane, or a suspect. */
typedef struct Due
{
	Oid			owner;
	TimestampTz due_at;
	char	   *queue;
} Due;

/* Sort an owner with something due in; later, note when it will be. */
static List *
add_owner(List *owners, Oid owner, TimestampTz due_at, TimestampTz now, TimestampTz *next_due)
{
	if (due_at <= now)
		return list_append_unique_oid(owners, owner);
	*next_due = Min(*next_due, due_at);
	return owners;
}

/* The last result: owner_oid, due_at and queue of each row. */
static List *
found(uint64 n)
{
	List	   *lanes = NIL;

	for (uint64 row = 0; row < n; row++)
	{
		Due		   *lane = palloc(sizeof(Due));

		lane->owner = ft_column_oid(row, 1);
		lane->due_at = ft_column_time(row, 2);
		lane->queue = ft_column_text(row, 3);
		lanes = lappend(lanes, lane);
	}
	return lanes;
}

/* When the head of a lane can be started: not before its queue lets it. */
static TimestampTz
can_start_at(const Due *lane, List *queues, TimestampTz now)
{
	FtQueue    *queue = ft_queue_find(queues, lane->queue);

	if (queue == NULL || lane->due_at > now)
		return lane->due_at;
	return ft_queue_opens_at(queue, lane->owner, now);
}

List *
ft_step_owners_due(TimestampTz now, bool compensations_wait, TimestampTz *next_due)
{
	List	   *owners = NIL;
	bool		settled = !compensations_wait;
	List	   *queues = ft_queues_read();
	List	   *lanes = found(ft_run_by_index(&all_lanes, NULL));
	ListCell   *cell;

	*next_due = DT_NOEND;
	foreach(cell, lanes)
	{
		Due		   *lane = lfirst(cell);

		owners = add_owner(owners, lane->owner, can_start_at(lane, queues, now), now, next_due);
		if (ft_shared != NULL && lane->due_at <= ft_shared->started_at)
			settled = false;
	}
	if (settled && ft_shared != NULL && ft_suspect_claims_must_last())
		ft_suspect_settled();

	lanes = found(ft_run_by_index(&due_suspects, NULL));
	foreach(cell, lanes)
	{
		Due		   *lane = lfirst(cell);

		owners = add_owner(owners, lane->owner, can_start_at(lane, queues, now), now, next_due);
	}
	return owners;
}

Oid
ft_step_suspect_owner(TimestampTz now)
{
	FtEngine	engine;
	Oid			owner = InvalidOid;
	List	   *queues;
	List	   *suspects;
	ListCell   *cell;

	ft_engine_enter(&engine);
	queues = ft_queues_read();
	suspects = found(ft_run_by_index(&server_suspects, FT_ARGS(FT_TIME(now))));
	foreach(cell, suspects)
	{
		Due		   *suspect = lfirst(cell);

		if (can_start_at(suspect, queues, now) > now)
			continue;
		owner = suspect->owner;
		break;
	}
	ft_engine_leave(&engine);
	return owner;
}
