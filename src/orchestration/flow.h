/*-------------------------------------------------------------------------
 *
 * flow.h
 *	  Steps that have more to them than their command.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_FLOW_H
#define FT_FLOW_H

#include "orchestration/step.h"
#include "orchestration/step_data.h"

/* How a run of a step has ended, unless in an error. */
typedef enum FtFlowEnd
{
	FT_FLOW_DONE,
	FT_FLOW_SKIPPED,			/* its condition is not true */
	FT_FLOW_WAITS				/* it will be started again */
} FtFlowEnd;

/*
 * Run a claimed step of this kind in the current transaction, short of
 * recording that it has ended.  The result of one that is done is put where
 * result points, in the current context.
 */
extern FtFlowEnd ft_flow_run(const FtStepClaim *claim, FtStepData *data, Datum *result);

/*
 * In the engine: a rollback of a locked execution has finished.  What is to
 * run again of steps of this kind begins anew: iterations, and fan-outs of
 * which nothing is left standing.
 */
extern void ft_flow_renew(const pg_uuid_t *execution_id);

#endif							/* FT_FLOW_H */
