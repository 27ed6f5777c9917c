/*-------------------------------------------------------------------------
 *
 * step_alone.h
 *	  Steps whose command runs by itself, outside of any transaction block.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_ALONE_H
#define FT_STEP_ALONE_H

#include "orchestration/step.h"

typedef struct FtStepAlone FtStepAlone;

/* The run of a claimed step; it lives in the current context. */
extern FtStepAlone *ft_step_alone(const FtStepClaim *claim);

/*
 * Its three transactions, one after the other.  The first makes the claim safe
 * and says whether there is a command to run; the second, which must be begun
 * without a snapshot, runs it, and may be another one when it returns; the
 * third completes the step.
 */
extern bool ft_step_alone_prepare(FtStepAlone *alone);
extern void ft_step_alone_command(FtStepAlone *alone);
extern FtStepClaim *ft_step_alone_complete(FtStepAlone *alone, bool may_continue);

#endif							/* FT_STEP_ALONE_H */
