/*-------------------------------------------------------------------------
 *
 * tick.h
 *	  One tick of the scheduler: what there is to do in a database, and when
 *	  there will be more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TICK_H
#define FT_TICK_H

#include "nodes/pg_list.h"
#include "orchestration/recovery.h"
#include "slot.h"

/* What a tick found and did. */
typedef struct FtTick
{
	TimestampTz now;			/* the time the tick is for */

	bool		installed;
	char		sql_version[32];
	char		paused_reason[FT_SLOT_TEXT];	/* empty if not paused */
	FtRecoveryPass pass;		/* zeros where paused */
	List	   *owners;			/* Oids, with something due */
	Oid			suspect_owner;	/* whose suspect runs first, by itself; or
								 * none */
	TimestampTz next_due;		/* DT_NOEND if nothing will be */
	uint64		roles_generation;	/* that owners were held against; 0: none */
} FtTick;

/* What the scheduler knows when it decides what to do with itself. */
typedef struct FtSituation
{
	TimestampTz now;
	TimestampTz tick_now;		/* the time of the newest tick */
	TimestampTz next_due;		/* as of that tick */
	TimestampTz executor_retry_at;	/* DT_NOEND if nothing waits for one */
	TimestampTz idle_since;		/* when there was something to do last */
	int			executors;		/* running in this database */
	int			stuck;			/* ticks in a row that left due work undone */
	bool		place_wanted;	/* another database wants the place */
	int			recovery_interval;	/* ms */
	int			idle_timeout;	/* ms */
} FtSituation;

typedef struct FtDecision
{
	bool		leave;
	TimestampTz wake_at;		/* if it stays */
	TimestampTz tick_at;		/* if it stays: the next tick */
	TimestampTz return_at;		/* if it leaves */
} FtDecision;

extern void ft_tick_recover(FtTick *tick);
extern void ft_tick_plan(FtTick *tick);
extern FtDecision ft_decide(const FtSituation *situation);
extern void ft_record_pass(TimestampTz started_at, int64 duration,
						   const char *reason, const FtRecoveryPass *pass);
extern bool ft_two_phase_here(void);

#endif							/* FT_TICK_H */
