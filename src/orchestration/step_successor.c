/*-------------------------------------------------------------------------
 *
 * step_successor.c
 *	  Claiming what a step that has just ended makes due.
 *
 * Whoever has ended a step goes on with what depends on it, in the same
 * transaction, unless the queue of that has limits: then it is claimed as any
 * other.  Limits are looked at by name only.
 *
 * Locking: rows of tasks, of an execution that the caller has locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "orchestration/ready.h"
#include "orchestration/step_claim.h"
#include "shmem.h"
#include "wake.h"

#define CLAIM_BY_ID(ids_) \
	"UPDATE ft.orchestration_tasks AS task" FT_SET_CLAIMED("$2", "$3", "$4", "$5", "$6") \
	" WHERE task.task_id = " ids_ " AND task.due_at <= $2 AND task.suspicion IS NULL" \
	"   AND ($7 IS NULL OR task.queue <> ALL ($7))" FT_CLAIMED

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
			 "UPDATE ft.orchestration_tasks AS task" FT_SET_CLAIMED("$3", "$4", "$5", "$6", "$7") ","
			 "       unmet = 0, not_before = NULL, wait_until = NULL"
			 " WHERE task.execution_id = $1 AND task.task_name = $2 AND task.status = 'PENDING'"
			 "   AND task.unmet = 1 AND task.sleep IS NULL"
			 "   AND task.execution_mode <> 'external' AND task.suspicion IS NULL"
			 "   AND ($8 IS NULL OR task.queue <> ALL ($8))" FT_CLAIMED,
			 UUIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID, TEXTARRAYOID);

/* What became due could be started at once: one update does for both. */
FT_STATEMENT(start_successors,
			 "UPDATE ft.orchestration_tasks AS task" FT_SET_CLAIMED("$3", "$4", "$5", "$6", "$7") ","
			 "       unmet = 0, not_before = NULL, wait_until = NULL"
			 "  FROM " FT_WHAT_DEPENDED(" ORDER BY 1 LIMIT " CppAsString2(FT_STEP_BATCH))
			 " WHERE task.task_id = ended.successor_id AND ended.goes_on"
			 "   AND task.status = 'PENDING' AND task.unmet = ended.met AND task.sleep IS NULL"
			 "   AND task.suspicion IS NULL AND task.execution_mode = 'transactional'"
			 "   AND " FT_IS_SHORT("task")
			 "   AND ($8 IS NULL OR task.queue <> ALL ($8))" FT_CLAIMED ", ended.met",
			 UUIDARRAYOID, BOOLARRAYOID, TIMESTAMPTZOID, TEXTOID, INT4OID, INT8OID, INT8OID,
			 TEXTARRAYOID);
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
			   FT_ARGS(FT_UUID(task_id), FT_TIME(now), FT_TEXT(ft_step_running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   ft_step_epoch_argument(), ft_step_worker_argument(), limited_argument())) == 0)
		return NULL;
	ft_queue_moves_on();
	return ft_step_read_claim(0, now, context);
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
		FtStepClaim *claim = ft_step_read_claim(row, now, context);
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
			   FT_ARGS(FT_UUID(execution_id), FT_TEXT(name), FT_TIME(now), FT_TEXT(ft_step_running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   ft_step_epoch_argument(), ft_step_worker_argument(), limited_argument())) == 0)
		return NULL;
	ft_queue_moves_on();
	return ft_step_read_claim(0, now, context);
}

List *
ft_step_claim_tasks(Datum *task_ids, int n, TimestampTz now, MemoryContext context)
{
	if (n == 0 || !ft_owners_settled())
		return NIL;
	return read_claims(ft_run(&claim_tasks,
							  FT_ARGS(FT_ARRAY(task_ids, NULL, n, UUIDOID), FT_TIME(now),
									  FT_TEXT(ft_step_running_status()),
									  FT_VALUE(Int32GetDatum(MyProcPid)),
									  ft_step_epoch_argument(), ft_step_worker_argument(), limited_argument())),
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
			   FT_ARGS(task_ids, go_on, FT_TIME(now), FT_TEXT(ft_step_running_status()),
					   FT_VALUE(Int32GetDatum(MyProcPid)),
					   ft_step_epoch_argument(), ft_step_worker_argument(), limited_argument()));
	for (uint64 row = 0; row < n; row++)
		*met += ft_column_int32(row, 13);
	return read_claims(n, now, context);
}
