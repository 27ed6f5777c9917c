/*-------------------------------------------------------------------------
 *
 * step_records.h
 *	  The records of steps that were run together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_RECORDS_H
#define FT_STEP_RECORDS_H

#include "orchestration/step.h"

/* A step that has been run. */
typedef struct FtStepRecord
{
	FtStepClaim *claim;
	FtStepOutcome outcome;
	int			turn;			/* in which it was run */
	int			execution;		/* index of what is counted */
	int			place;			/* among those of its execution that completed */
	bool		has_successors; /* a child, its parent */
	int			successors;		/* how many depend on it by name */
} FtStepRecord;

/* What such steps add to one execution, and how it stands then. */
typedef struct FtExecutionRecord
{
	pg_uuid_t	execution_id;
	int			completed;
	int			ended;
	Datum		patch;			/* (Datum) 0: none */
	TimestampTz claimed_at;		/* the first of its steps */
	FtStepCounted counted;
} FtExecutionRecord;

/*
 * In the engine: write down that these steps have ended, none of them more than
 * once.  Room for as many executions is given; returns how many there are.  The
 * steps are put into the order of their keys.
 */
extern int	ft_step_records_write(FtStepRecord *steps, int n, FtExecutionRecord *executions,
								  TimestampTz now);

#endif							/* FT_STEP_RECORDS_H */
