/*-------------------------------------------------------------------------
 *
 * step_across.c
 *	  Claiming a step by something else than its lane.
 *
 * A suspect, or a step of one execution, may be of any queue; where queues have
 * limits they are tried one after the other.
 *
 * Locking: the lock of a queue that has limits; for a step of one execution the
 * execution's row, which the caller's transaction needs before the task; rows of
 * tasks, skipping those that are locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "orchestration/step_claim.h"
#include "orchestration/step_lane.h"
#include "orchestration/suspect.h"

FT_STATEMENT(claim_of_execution,
			 "WITH candidate AS MATERIALIZED"
			 " (SELECT task_id FROM ft.orchestration_tasks"
			 "   WHERE " FT_DUE " AND owner_oid = $1 AND execution_id = $2 AND due_at <= $3"
			 "     AND ($6 IS NULL OR queue = $6)"
			 "   ORDER BY " FT_LANE_RANK ", due_at, task_id LIMIT 1"
			 "     FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_tasks AS task" FT_SET_CLAIMED("$3", "$4", "$5", "NULL", "NULL")
			 "  FROM candidate WHERE task.task_id = candidate.task_id" FT_CLAIMED,
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
			 "UPDATE ft.orchestration_tasks AS task" FT_SET_CLAIMED("$2", "$4", "$5", "$6", "$7")
			 "  FROM candidate WHERE task.task_id = candidate.task_id" FT_CLAIMED,
			 OIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTOID);
FT_STATEMENT(queues_of_suspects,
			 "SELECT queue FROM ft.orchestration_tasks"
			 " WHERE " FT_DUE " AND suspicion IS NOT NULL AND suspicion = $3 AND owner_oid = $1 AND due_at <= $2"
			 " GROUP BY queue ORDER BY min(due_at), queue",
			 OIDOID, TIMESTAMPTZOID, TEXTOID);
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

		if (ft_step_enter_queue(queue, owner, &now, 1, &room) == 0)
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
								FT_TEXT(sought->suspicion), FT_TEXT(ft_step_running_status()),
								FT_VALUE(Int32GetDatum(MyProcPid)),
								ft_step_epoch_argument(), ft_step_worker_argument(), FT_TEXT(queue))) == 0)
		return NULL;
	return ft_step_read_claim(0, now, context);
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
		ft_step_begin_claimed(list_make1(claim), false, now);
	ft_engine_leave(&engine);
	return claim;
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
					   FT_TIME(now), FT_TEXT(ft_step_running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)), FT_TEXT(queue))) == 0)
		return NULL;
	return ft_step_read_claim(0, now, context);
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
		ft_step_begin_claimed(list_make1(claim), false, now);
	ft_engine_leave(&engine);
	return claim;
}
