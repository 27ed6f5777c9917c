/*-------------------------------------------------------------------------
 *
 * compensation_recover.c
 *	  Compensations that somebody was at who is not there any more.
 *
 * A worker that was lost gives back what it was at.  Where the compensation
 * may have been what it was lost with, it is a suspect, see suspect.c, and has
 * to pay for being lost with again.
 *
 * Locking: the execution's row, then the task's.  A tick leaves those alone
 * that are locked, and looks at them again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "orchestration/compensation.h"
#include "orchestration/compensation_claim.h"
#include "orchestration/suspect.h"
#include "shmem.h"

/* In no order, and to be run by its index, as what finds lost steps. */
FT_STATEMENT_NOARGS(claimed_by_workers,
					"SELECT execution.execution_id, next.pid, next.epoch, next.worker"
					FT_FIRST_COMPENSATION
					"   AND next.pid IS NOT NULL AND next.worker IS NOT NULL");
FT_STATEMENT(set_lost,
			 "UPDATE ft.orchestration_tasks"
			 "   SET compensation_losses = compensation_losses + 1, suspicion = $2,"
			 "       compensation_pid = NULL, compensation_epoch = NULL,"
			 "       compensation_worker = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID);
FT_STATEMENT_NOARGS(claimed_tasks,
					"SELECT execution_id, task_id, compensation_pid, compensation_epoch, compensation_worker"
					"  FROM ft.orchestration_tasks"
					" WHERE status = 'COMPENSATING' AND compensation_pid IS NOT NULL"
					" ORDER BY execution_id, task_id");

void
ft_compensation_take_back(void)
{
	uint64		n = ft_run(&claimed_tasks, NULL);
	pg_uuid_t  *executions = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	pg_uuid_t  *tasks = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	int			count = 0;

	for (uint64 row = 0; row < n; row++)
	{
		if (ft_compensation_claim_alive(row, 3))
			continue;
		executions[count] = ft_column_uuid(row, 1);
		tasks[count++] = ft_column_uuid(row, 2);
	}
	for (int i = 0; i < count; i++)
	{
		FtExecution execution;

		CHECK_FOR_INTERRUPTS();
		ft_execution_lock(&execution, &executions[i], InvalidOid);
		ft_compensation_give_back(&tasks[i]);
	}
}

/* Give back the compensation that a lost worker was at, or have it pay. */
static void
recover_lost(const pg_uuid_t *execution_id)
{
	FtExecution execution;
	FtNextCompensation next;
	FtLoss		loss;

	if (!ft_execution_try_lock(&execution, execution_id) ||
		!ft_compensation_in_progress(&execution) ||
		!ft_compensation_lock_next(execution_id, &next) || !next.by_worker || next.alive)
		return;
	if (!next.lost)
	{
		ft_compensation_give_back(&next.task_id);
		return;
	}
	loss = ft_suspect_judge("compensation", next.suspicion, !next.of_this_start);
	ft_run(&set_lost, FT_ARGS(FT_UUID(&next.task_id), FT_TEXT(loss.suspicion)));
	if (loss.guilty)
		ft_compensation_blame(&execution, &next.task_id, next.task_name, next.failures + 1,
							  loss.sqlstate, loss.message);
}

void
ft_compensation_recover(void)
{
	FtEngine	engine;
	uint64		n;
	pg_uuid_t  *lost;
	int			count = 0;

	if (ft_shared == NULL)
		return;
	ft_engine_enter(&engine);
	n = ft_run_by_index(&claimed_by_workers, NULL);
	lost = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
	{
		if (!ft_compensation_claim_alive(row, 2))
			lost[count++] = ft_column_uuid(row, 1);
	}
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		recover_lost(&lost[i]);
	}
	ft_engine_leave(&engine);
}
