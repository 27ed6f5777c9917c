/*-------------------------------------------------------------------------
 *
 * step_claim.h
 *	  Claiming steps: what all ways to do so share.
 *
 * An executor claims what is first in a lane (step_lane.c), what is suspect, or
 * is sought by hand (step_across.c), and what its own step has made due
 * (step_successor.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_CLAIM_H
#define FT_STEP_CLAIM_H

#include "orchestration/queue.h"
#include "orchestration/step.h"

/* How many steps are claimed at a time where they have been quick. */
#define FT_STEP_BATCH	20

/* What a claim writes into a task, and what it reads of it. */
#define FT_SET_CLAIMED(now_, status_, pid_, epoch_, worker_) \
	"   SET status = " status_ ", attempt = task.attempt + 1, due_at = NULL," \
	"       next_attempt_at = NULL, error_sqlstate = NULL, error_message = NULL," \
	"       started_at = " now_ ", worker_pid = " pid_ ", worker_epoch = " epoch_ "," \
	"       worker_id = " worker_

#define FT_CLAIMED \
	" RETURNING task.task_id, task.execution_id, task.attempt, task.task_name, task.command," \
	"           task.condition, task.execution_mode = 'transactional'," \
	"           " FT_IS_SHORT("task") "," \
	"           coalesce(ceil(extract(epoch FROM task.timeout) * 1000), 0)::bigint," \
	"           " FT_HAS_FLOW("task") ", task.has_successors, task.suspicion"

/* The claim in a row that FT_CLAIMED has returned. */
extern FtStepClaim *ft_step_read_claim(uint64 row, TimestampTz now, MemoryContext context);

/* Which start of the server, and which worker, this is; null for a session. */
extern FtArg ft_step_epoch_argument(void);
extern FtArg ft_step_worker_argument(void);

/* The status of a step that was claimed. */
extern const char *ft_step_running_status(void);

/*
 * Executions whose first step has been claimed begin.  One that is likely to be
 * over before anybody could have looked says so with its end, or when it turns
 * out to take long, see step_release.c.
 */
extern void ft_step_begin_claimed(List *claims, bool quick, TimestampTz now);

/*
 * Enter a queue, where it has limits, for so many steps at a time.  Returns how
 * many may be claimed, and the room that there is.
 */
extern int	ft_step_enter_queue(FtQueue *queue, Oid owner, TimestampTz *now, int several, int *room);

#endif							/* FT_STEP_CLAIM_H */
