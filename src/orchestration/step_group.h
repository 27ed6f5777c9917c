/*-------------------------------------------------------------------------
 *
 * step_group.h
 *	  Group commit: steps that are declared short share a transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_GROUP_H
#define FT_STEP_GROUP_H

#include "orchestration/step.h"

/* May this step share a transaction with others? */
extern bool ft_step_may_group(const FtStepClaim *claim);

/*
 * Run those claimed steps at the head of the list that may share one, in the
 * current transaction and with memory in run_context, and complete them; then
 * the short ones that this makes due, as long as there is room.  Returns which,
 * also of these; a step that is to run alone is marked so.  Successors that
 * have been claimed and not run are put into a list.
 */
extern List *ft_step_run_group(List *claims, MemoryContext run_context, List **successors);

#endif							/* FT_STEP_GROUP_H */
