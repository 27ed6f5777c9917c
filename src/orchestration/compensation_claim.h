/*-------------------------------------------------------------------------
 *
 * compensation_claim.h
 *	  What claiming, running and recovering compensations share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COMPENSATION_CLAIM_H
#define FT_COMPENSATION_CLAIM_H

#include "orchestration/compensation.h"

/*
 * The next compensation of each execution: of what is still to be
 * compensated, the task that completed last.
 */
#define FT_FIRST_COMPENSATION \
	"  FROM ft.orchestration_executions AS execution," \
	"       LATERAL (SELECT task_id, compensation_next_attempt_at AS next_attempt_at," \
	"                       compensation_pid AS pid, compensation_epoch AS epoch," \
	"                       compensation_worker AS worker, suspicion" \
	"                  FROM ft.orchestration_tasks" \
	"                 WHERE execution_id = execution.execution_id" \
	"                   AND status = 'COMPENSATING'" \
	"                 ORDER BY completion_order DESC LIMIT 1) AS next" \
	" WHERE execution.status IN ('COMPENSATING', 'ROLLING_BACK')"
#define FT_NEXT_COMPENSATION FT_FIRST_COMPENSATION \
	"   AND execution.paused_at IS NULL"

/* The next compensation of an execution, locked. */
typedef struct FtNextCompensation
{
	pg_uuid_t	task_id;
	char	   *task_name;
	char	   *command;
	int			losses;
	int			failures;
	char	   *suspicion;		/* or NULL */
	bool		alive;			/* who has claimed it is at it */
	bool		lost;			/* who has claimed it was lost */
	bool		by_worker;		/* it was a worker that has claimed it */
	bool		of_this_start;	/* of the server: in which it was claimed */
} FtNextCompensation;

/* All of what follows is called inside the engine. */

/* Is an execution at its compensations? */
extern bool ft_compensation_in_progress(const FtExecution *execution);

/*
 * Of the last statement's row: is who has claimed a compensation still at it?
 * The columns are pid, epoch and worker, next to one another.
 */
extern bool ft_compensation_claim_alive(uint64 row, int pid_column);

/* With the execution locked: false if no compensation is left. */
extern bool ft_compensation_lock_next(const pg_uuid_t *execution_id, FtNextCompensation *next);

/* Claim a due compensation of owner, of one execution or of any. */
extern bool ft_compensation_claim_any(Oid owner, TimestampTz now,
									  const pg_uuid_t *execution_id,
									  FtCompensationsSought sought,
									  FtCompensationClaim *claim,
									  MemoryContext result_context);

/* With the execution locked: nobody is at it any more, and that is no loss. */
extern void ft_compensation_give_back(const pg_uuid_t *task_id);

/*
 * With the execution locked: a compensation has failed, so often with this
 * time.  It is tried again after a delay, or given up.
 */
extern void ft_compensation_blame(FtExecution *execution, const pg_uuid_t *task_id,
								  const char *task_name, int failures,
								  const char *sqlstate, const char *message);

#endif							/* FT_COMPENSATION_CLAIM_H */
