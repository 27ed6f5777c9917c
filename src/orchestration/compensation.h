/*-------------------------------------------------------------------------
 *
 * compensation.h
 *	  Compensations: undoing completed tasks, one transaction each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COMPENSATION_H
#define FT_COMPENSATION_H

#include "nodes/pg_list.h"
#include "orchestration/execution.h"
#include "orchestration/owner.h"

/* A compensation that this session has taken upon itself. */
typedef struct FtCompensationClaim
{
	pg_uuid_t	execution_id;
	pg_uuid_t	task_id;
	int			attempt;
	char	   *command;
} FtCompensationClaim;

/* Which compensations a session looks for. */
typedef enum FtCompensationsSought
{
	FT_COMPENSATIONS_ALL,		/* by hand */
	FT_COMPENSATIONS_UNSUSPECTED,	/* an executor among others */
	FT_COMPENSATIONS_SUSPECT,	/* one that runs alone */
} FtCompensationsSought;

/* What one owner has to compensate. */
typedef struct FtCompensationsDue
{
	FtOwner		owner;
	bool		due;			/* something is, unless somebody is at it */
	bool		suspect;		/* it may have taken the server down */
	bool		since_start;	/* has been due since the server started */
	TimestampTz next_due;		/* of all; what is claimed is, at the next
								 * poll */
} FtCompensationsDue;

/*
 * The worker's interface: each runs in a transaction that the caller has
 * opened, with an active snapshot.
 *
 * Claim, run and fail are called by a session of the owner: claim in a small
 * transaction of its own; run in another, which the compensation's effects
 * share with the record of it; failed in a third, where that one was rolled
 * back, or released where that was not the compensation's fault.
 */
extern bool ft_compensation_claim(TimestampTz now, FtCompensationsSought sought,
								  FtCompensationClaim *claim);
extern void ft_compensation_run(const FtCompensationClaim *claim);
extern void ft_compensation_failed(const FtCompensationClaim *claim,
								   const ErrorData *error);
extern void ft_compensation_release(const FtCompensationClaim *claim);

/*
 * Inside the engine: claim the next compensation of one execution; false if
 * none is left.
 */
extern bool ft_compensation_claim_of(const pg_uuid_t *execution_id, Oid owner,
									 FtCompensationClaim *claim, MemoryContext result_context);

/*
 * Inside the engine, with the execution locked: end ROLLING_BACK or
 * COMPENSATING if nothing is left to compensate.
 */
extern void ft_compensation_finish(FtExecution *execution);

/*
 * In the engine, in a database that was carried here: compensations that were
 * being run where it comes from are not, and nobody was lost over them.
 */
extern void ft_compensation_take_back(void);

/*
 * In the engine: what each owner has to compensate, as a list of
 * FtCompensationsDue in the order of their OIDs.
 */
extern List *ft_compensations_due(TimestampTz now);

/* Give back what lost workers were at. */
extern void ft_compensation_recover(void);

#endif							/* FT_COMPENSATION_H */
