/*-------------------------------------------------------------------------
 *
 * step.h
 *	  Steps that the server runs: claimed, run, completed or failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_H
#define FT_STEP_H

#include "compat.h"
#include "engine.h"
#include "nodes/pg_list.h"
#include "orchestration/execution.h"
#include "orchestration/step_data.h"

/*
 * Conditions on tasks: there is more to it than its command, see flow.c; it may
 * share a transaction, see step_group.c.
 */
#define FT_HAS_FLOW(task_) \
	"num_nonnulls(" task_ ".signal, " task_ ".for_each, " task_ ".repeat_while, " \
	task_ ".orchestration) > 0"
#define FT_IS_SHORT(task_) \
	task_ ".short AND NOT (" FT_HAS_FLOW(task_) ")"

/* A step that this session has taken upon itself. */
typedef struct FtStepClaim
{
	pg_uuid_t	task_id;
	pg_uuid_t	execution_id;
	int			attempt;
	char	   *name;
	char	   *command;		/* NULL: there is nothing to run */
	char	   *condition;		/* or NULL */
	bool		in_transaction; /* else its command runs by itself */
	bool		is_short;
	bool		has_flow;		/* there is more to it than its command:
								 * flow.c */
	bool		has_successors; /* when it was claimed */
	char	   *suspicion;		/* it may be what took an executor or the
								 * server down, see suspect.c; or NULL */
	int64		timeout;		/* milliseconds; 0: none of its own */
	TimestampTz claimed_at;
	bool		begun;			/* its execution was told that it has begun */
	bool		alone;			/* it must not share a transaction any more */
} FtStepClaim;

/* What came of running a step's own SQL. */
typedef struct FtStepOutcome
{
	bool		skipped;
	bool		waits;			/* it has not ended, and waits for others */
	Datum		result;			/* (Datum) 0: none */
	Datum		patch;			/* of the state; (Datum) 0: none */
} FtStepOutcome;

/* An execution after its steps have been counted. */
typedef struct FtStepCounted
{
	int64		completions;
	int64		tasks_left;
	bool		goes_on;		/* its next steps may be started */
	bool		has_parent;		/* a step of another execution waits for it */
	pg_uuid_t	parent;			/* that step */
} FtStepCounted;

/*
 * Claim due steps of the current role, up to a limit, in the current
 * transaction; returns a list of FtStepClaim in the current context.
 */
extern List *ft_step_claim(TimestampTz now, bool batch);

/* Did limits of queues keep back all that the last ft_step_claim() found? */
extern bool ft_step_kept_back(void);

/* Claim one due suspect of the current role; NULL: there is none. See suspect.c. */
extern FtStepClaim *ft_step_claim_suspect(TimestampTz now, const char *suspicion);

/* Claim one due step of one execution of the current role; NULL: there is none. */
extern FtStepClaim *ft_step_claim_of_execution(const pg_uuid_t *execution_id, TimestampTz now);

/*
 * Run a claimed step in the current transaction, and complete it.  Where a
 * successor has become due and continuing is wanted, it is claimed with it and
 * returned, in the memory context of the claim.
 */
extern FtStepClaim *ft_step_run(const FtStepClaim *claim, bool may_continue);

extern void ft_step_claim_free(FtStepClaim *claim);

/*
 * The parts of that, for who runs several steps in one transaction: a step's
 * own SQL; what an event of a step makes of its execution, and of the step;
 * columns from the given one on of an execution that was counted; and what a
 * step that was counted makes due, in the engine.
 */
extern void ft_step_execute(const FtStepClaim *claim, FtStepOutcome *outcome);
extern const char *ft_step_status_after(FtExecutionEvent event);
extern const char *ft_step_ended_status(const FtStepClaim *claim, bool skipped);
extern void ft_step_read_counted(uint64 row, int column, FtStepCounted *counted);
extern FtStepClaim *ft_step_go_on(const FtStepClaim *claim, const FtStepCounted *counted,
								  TimestampTz now, bool has_successors, bool may_continue);

/* Complete a step that has run by itself, or was skipped; as ft_step_run(). */
extern FtStepClaim *ft_step_end(const FtStepClaim *claim, const FtStepOutcome *outcome,
								bool may_continue);

/*
 * In the engine: claim one step that has just become due; NULL if it is not,
 * or if its queue has limits.
 */
extern FtStepClaim *ft_step_claim_task(const pg_uuid_t *task_id, TimestampTz now,
									   MemoryContext context);

/* The same for several; returns a list of those that were claimed. */
extern List *ft_step_claim_tasks(Datum *task_ids, int n, TimestampTz now,
								 MemoryContext context);

/*
 * In the engine: claim the one step that depends on what has just ended, if it
 * waits for nothing else; NULL if it is not to be run at once, and not by
 * whoever asks.
 */
extern FtStepClaim *ft_step_claim_successor(const pg_uuid_t *execution_id, const char *name,
											TimestampTz now, MemoryContext context);

/*
 * The same for short ones that depend on tasks that have just ended, while they
 * wait for nothing else: arguments as of ft_ready_successors_of(), which is for
 * the others and comes after.  *met is how much of what they waited for that is.
 */
extern List *ft_step_start_successors(FtArg task_ids, FtArg go_on, TimestampTz now,
									  MemoryContext context, int *met);

/* The error of a step that is not this session's any more. */
pg_noreturn extern void ft_step_report_taken_over(const FtStepClaim *claim);

/* Record that a claimed step has failed; after its transaction was ended. */
extern void ft_step_failed(const FtStepClaim *claim, const ErrorData *error);

/*
 * Give back a claim that nothing was done under; false if its execution is
 * locked just now.
 */
extern bool ft_step_release(const FtStepClaim *claim);

/* In the engine: have the execution of a claimed step say that it has begun. */
extern void ft_step_begin_execution(const pg_uuid_t *execution_id, TimestampTz claimed_at);

/*
 * In the engine: where a step takes an executor of this database long, have
 * its execution say that it has begun, and give back what the executor has
 * claimed and cannot come to.
 */
extern void ft_step_release_overdue(void);

/*
 * In the engine: owners with a step that is due, and when the next will be
 * that is not yet (DT_NOEND: none).  Whether compensations have been waiting
 * since the server started has to be known.
 */
extern List *ft_step_owners_due(TimestampTz now, bool compensations_wait, TimestampTz *next_due);

/* Whose due suspect of having taken the server down comes first; or InvalidOid. */
extern Oid	ft_step_suspect_owner(TimestampTz now);

/*
 * In the engine, in a database that was carried here: what executors of the
 * original were at is due here, and is held against nobody.
 */
extern void ft_step_take_back(TimestampTz now);

/* Give back what lost executors were at; returns how many steps that were. */
extern int64 ft_step_recover(TimestampTz now);

#endif							/* FT_STEP_H */
