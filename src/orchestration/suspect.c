/*-------------------------------------------------------------------------
 *
 * suspect.c
 *	  Steps that were running when an executor or the server was lost: which
 *	  of them brought that about.
 *
 * Of the steps that were being run at a crash of the server, one may have
 * caused it, and the others have done nothing wrong.  So the first loss is
 * counted for none of them.  It makes all of them suspects, and suspects run by
 * themselves: nothing else of their database beside them, one suspect at a
 * time in all databases.  A suspect that the server goes down with once more
 * has failed, as it would have by an error; that makes one attempt of those
 * that it has.  One that completes is no suspect any more.
 *
 * Where only an executor was lost, by whatever ended that process and nothing
 * else, all that it had claimed is suspect, and it is enough that one is
 * claimed at a time.
 *
 * A short step may have taken others with it that depend on it, which ran in its
 * transaction: nothing says that they were claimed.  So they are suspect as
 * soon as it has completed.
 *
 * Compensations are judged like steps.  A task has completed before it is
 * compensated, and is no suspect then, so that one column does for both.
 *
 * That the server was shut down says nothing about anybody.
 *
 * A claim that did not reach the disk is not there after a crash, and nobody
 * is suspect.  So after a crash claims do reach it, until everything that was
 * due then has been claimed.
 *
 * Locking: ft_shared->lock for the slot of the database; rows, by the callers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "engine.h"
#include "orchestration/step.h"
#include "orchestration/suspect.h"
#include "shmem.h"

FT_STATEMENT(note_loss,
			 "UPDATE ft.orchestration_tasks SET losses = losses + 1, suspicion = $2"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID);

FT_STATEMENT(suspect_successors,
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET losses = task.losses + 1, suspicion = $3"
			 "  FROM ft.orchestration_tasks AS ended"
			 " WHERE ended.task_id = $1 AND task.execution_id = ended.execution_id"
			 "   AND task.task_name = ANY (ended.successors)"
			 "   AND task.status = 'PENDING' AND task.due_at <= $2 AND " FT_IS_SHORT("task"),
			 UUIDOID, TIMESTAMPTZOID, TEXTOID);

FtLoss
ft_suspect_judge(const char *what, const char *suspicion, bool server_lost)
{
	FtLoss		loss = {.suspicion = suspicion};

	if (server_lost && !ft_shared->unclean)
		return loss;			/* shut down */
	if (server_lost)
	{
		loss.guilty = suspicion != NULL && strcmp(suspicion, FT_SUSPICION_SERVER) == 0;
		loss.suspicion = FT_SUSPICION_SERVER;
		loss.message = psprintf("the server went down while this %s, and nothing else of its database, was running", what);
		loss.sqlstate = "57P02";
	}
	else
	{
		loss.guilty = suspicion != NULL;
		if (suspicion == NULL)
			loss.suspicion = FT_SUSPICION_EXECUTOR;
		loss.message = psprintf("the executor that ran this %s, and nothing else, was lost again", what);
		loss.sqlstate = "57P01";
	}
	return loss;
}

void
ft_suspect_note(const pg_uuid_t *task_id, const char *suspicion)
{
	ft_run(&note_loss, FT_ARGS(FT_UUID(task_id), FT_TEXT(suspicion)));
}

void
ft_suspect_successors(const pg_uuid_t *task_id, const char *suspicion, TimestampTz now)
{
	ft_run(&suspect_successors, FT_ARGS(FT_UUID(task_id), FT_TIME(now), FT_TEXT(suspicion)));
}

void
ft_suspect_settled(void)
{
	FtDatabaseSlot *slot;

	if (ft_shared == NULL || !ft_shared->unclean)
		return;
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	slot = ft_slot_find(MyDatabaseId);
	if (slot != NULL)
		slot->settled = true;
	LWLockRelease(ft_shared->lock);
}

bool
ft_suspect_claims_must_last(void)
{
	FtDatabaseSlot *slot;
	bool		settled;

	if (!ft_shared->unclean)
		return false;
	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(MyDatabaseId);
	settled = slot != NULL && slot->settled;
	LWLockRelease(ft_shared->lock);
	return !settled;
}
