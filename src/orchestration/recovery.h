/*-------------------------------------------------------------------------
 *
 * recovery.h
 *	  Recovery of executions: by hand, and by itself.
 *
 * The functions of the second part are the worker's interface: each runs in
 * a transaction that the caller has opened, with an active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RECOVERY_H
#define FT_RECOVERY_H

#include "orchestration/recovery_plan.h"

/*
 * Carry out an action on a locked execution, from a checkpoint (state_data
 * NULL for what is stored in it).  Inside the engine.
 */
extern void ft_recover_execution(const FtExecution *execution, FtRecoveryAction action,
								 const pg_uuid_t *checkpoint_id, Jsonb *state_data,
								 const FtRecoveryContext *context);

/* What one pass of automatic recovery did, in executions. */
typedef struct FtRecoveryPass
{
	int64		candidates;		/* had a failure that was due */
	int64		recovered;		/* recovered, or recovery under way */
	int64		failed;			/* recovery failed, to be tried again */
	int64		given_up;		/* failures given up: too old, too often */
} FtRecoveryPass;

extern void ft_recovery_pass(TimestampTz now, FtRecoveryPass *pass);

/*
 * When the next failure is to be recovered, deadline passes, or execution has
 * been kept for long enough; DT_NOEND if none.
 */
extern TimestampTz ft_recovery_next_due(void);

/* Remove a bounded number of finished executions; true if there may be more. */
extern bool ft_retention_batch(TimestampTz now);

/* In the engine: when the next execution has been kept for long enough. */
extern TimestampTz ft_retention_next(void);

#endif							/* FT_RECOVERY_H */
