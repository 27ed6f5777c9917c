/*-------------------------------------------------------------------------
 *
 * child.c
 *	  Executions that a task of another one has started and waits for.
 *
 * The task waits for one unmet thing, as for a signal: that it has been told.
 * Whoever ends the child tells it in the same transaction, unless somebody is
 * at the parent at that moment.  The scheduler does it then, by an index of
 * children whose parent does not know yet.
 *
 * Where the parent is compensated, a child that has completed is undone in its
 * task's turn, in one transaction; a child that still runs is compensated by
 * itself.
 *
 * Locking: a parent was started before its child, so its row is locked first.
 * Whoever has the child's already does not wait for the parent's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/child.h"
#include "orchestration/compensation.h"
#include "orchestration/ready.h"
#include "orchestration/recovery.h"
#include "orchestration/step_data.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_compensate_child);

#define SETTLE_LIMIT	"1000"

FT_STATEMENT(task_execution,
			 "SELECT execution_id FROM ft.orchestration_tasks WHERE task_id = $1",
			 UUIDOID);
FT_STATEMENT(set_told,
			 "UPDATE ft.orchestration_executions SET parent_told = true"
			 " WHERE execution_id = $1 AND NOT parent_told AND status IN " FT_OVER,
			 UUIDOID);
FT_STATEMENT_NOARGS(untold,
					"SELECT execution_id, parent_task_id FROM ft.orchestration_executions"
					" WHERE parent_task_id IS NOT NULL AND NOT parent_told AND status IN " FT_OVER
					" ORDER BY execution_id LIMIT " SETTLE_LIMIT);
FT_STATEMENT(abandoned,
			 "SELECT child.execution_id"
			 "  FROM ft.orchestration_tasks AS task, ft.orchestration_executions AS child"
			 " WHERE task.execution_id = $1 AND task.orchestration IS NOT NULL"
			 "   AND child.parent_task_id = task.task_id"
			 "   AND task.status IN ('PENDING', 'CANCELLED', 'FAILED')"
			 "   AND child.status IN ('PENDING', 'RUNNING', 'FAILED', 'COMPLETED')"
			 " ORDER BY child.execution_id",
			 UUIDOID);
FT_STATEMENT(task_to_compensate,
			 "SELECT execution_id FROM ft.orchestration_tasks"
			 " WHERE task_id = $1 AND status = 'COMPENSATING' AND orchestration IS NOT NULL",
			 UUIDOID);

/* A task that was repeated has started several. */
FT_STATEMENT(lock_children,
			 "SELECT execution_id FROM ft.orchestration_executions"
			 " WHERE parent_task_id = $1 AND status NOT IN ('COMPENSATED', 'ROLLED_BACK', 'CANCELLED')"
			 " ORDER BY execution_id FOR NO KEY UPDATE",
			 UUIDOID);

/* Tell a task that what it has started is over; false if others are at it. */
static bool
tell(const pg_uuid_t *execution_id, const pg_uuid_t *parent_task_id)
{
	FtExecution parent;
	pg_uuid_t	parent_id;

	if (ft_run(&task_execution, FT_ARGS(FT_UUID(parent_task_id))) == 0)
	{
		/* the parent is gone */
		ft_run(&set_told, FT_ARGS(FT_UUID(execution_id)));
		return true;
	}
	parent_id = ft_column_uuid(0, 1);
	if (!ft_execution_try_lock(&parent, &parent_id))
		return false;
	if (ft_run(&set_told, FT_ARGS(FT_UUID(execution_id))) > 0)
		ft_ready_child_over(&parent_id, parent_task_id, execution_id, GetCurrentTimestamp());
	return true;
}

void
ft_child_over(const pg_uuid_t *execution_id, const pg_uuid_t *parent_task_id)
{
	if (!tell(execution_id, parent_task_id))
		ft_wake_worker_at_commit();
}

void
ft_child_settle(void)
{
	FtEngine	engine;
	uint64		n;
	pg_uuid_t  *children;
	pg_uuid_t  *parents;

	ft_engine_enter(&engine);
	n = ft_run_by_index(&untold, NULL);
	children = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	parents = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
	{
		children[row] = ft_column_uuid(row, 1);
		parents[row] = ft_column_uuid(row, 2);
	}
	for (uint64 i = 0; i < n; i++)
	{
		FtExecution child;

		CHECK_FOR_INTERRUPTS();
		if (ft_execution_try_lock(&child, &children[i]))
			(void) tell(&children[i], &parents[i]);
	}
	ft_engine_leave(&engine);
}

bool
ft_child_unsettled(void)
{
	FtEngine	engine;
	bool		result;

	ft_engine_enter(&engine);
	result = ft_run_by_index(&untold, NULL) > 0;
	ft_engine_leave(&engine);
	return result;
}

/* Have a locked execution compensated, whether it has completed or not. */
static void
compensate(FtExecution *child, TimestampTz now)
{
	FtRecoveryContext context = {.now = now,.running_is_lost = true};
	pg_uuid_t	checkpoint_id;

	if (child->status == FT_EXECUTION_COMPLETED)
		ft_execution_set_status(child,
								ft_execution_require_transition(child->status, FT_EXECUTION_REOPEN,
																ft_uuid_string(&child->execution_id)));
	checkpoint_id = ft_checkpoint_newest(&child->execution_id);
	ft_recover_execution(child, FT_RECOVERY_COMPENSATE, &checkpoint_id, NULL, &context);
}

void
ft_child_abandon(const pg_uuid_t *execution_id, TimestampTz now)
{
	uint64		n = ft_run(&abandoned, FT_ARGS(FT_UUID(execution_id)));
	pg_uuid_t  *children = palloc(sizeof(pg_uuid_t) * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
		children[row] = ft_column_uuid(row, 1);
	for (uint64 i = 0; i < n; i++)
	{
		FtExecution child;

		CHECK_FOR_INTERRUPTS();
		ft_execution_lock(&child, &children[i], InvalidOid);
		/* it may have ended since */
		if (child.status == FT_EXECUTION_COMPLETED || !ft_execution_is_over(child.status))
			compensate(&child, now);
	}
}

/*
 * Run the compensations of a child, in the transaction of its parent's: they
 * all take effect, or none does.  The engine is left while one runs, so what
 * is claimed needs a context that outlives that.
 */
static void
run_compensations(const pg_uuid_t *execution_id, FtEngine *engine, MemoryContext context)
{
	FtCompensationClaim claim;

	while (ft_compensation_claim_of(execution_id, engine->caller, &claim, context))
	{
		CHECK_FOR_INTERRUPTS();
		ft_engine_leave(engine);
		ft_compensation_run(&claim);
		ft_engine_enter(engine);
	}
}

/* Compensate one that is locked, or fail. */
static void
compensate_now(const pg_uuid_t *execution_id, FtEngine *engine, MemoryContext context)
{
	FtExecution child;

	ft_execution_read(&child, execution_id, InvalidOid);
	if (child.status != FT_EXECUTION_COMPENSATING)
		compensate(&child, GetCurrentTimestamp());
	run_compensations(execution_id, engine, context);
	ft_execution_read(&child, execution_id, InvalidOid);
	if (child.status != FT_EXECUTION_COMPENSATED)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("execution %s could not be compensated", ft_uuid_string(execution_id)),
				 errdetail("Its status is %s.", ft_execution_status_name(child.status))));
}

/* ft.compensate_child() returns void */
Datum
ft_compensate_child(PG_FUNCTION_ARGS)
{
	FtStepData *data = ft_step_require("ft.compensate_child()");
	FtExecution parent;
	pg_uuid_t	parent_id;
	pg_uuid_t  *children;
	uint64		n;
	FtEngine	engine;

	ft_engine_enter(&engine);
	if (ft_run(&task_to_compensate, FT_ARGS(FT_UUID(&data->task_id))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("this is not the compensation of a task that has started an orchestration"),
				 errdetail("ft.compensate_child() is called by the engine, as the compensation of such a task."),
				 errhint("Remove the call.")));
	parent_id = ft_column_uuid(0, 1);
	ft_execution_lock(&parent, &parent_id, InvalidOid);

	n = ft_run(&lock_children, FT_ARGS(FT_UUID(&data->task_id)));
	children = MemoryContextAlloc(data->context, sizeof(pg_uuid_t) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
		children[row] = ft_column_uuid(row, 1);
	/* the latest first */
	for (uint64 i = n; i > 0; i--)
		compensate_now(&children[i - 1], &engine, data->context);
	ft_engine_leave(&engine);

	PG_RETURN_VOID();
}
