/*-------------------------------------------------------------------------
 *
 * horizon_advice.h
 *	  What to do about one who keeps vacuum from removing dead rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HORIZON_ADVICE_H
#define FT_HORIZON_ADVICE_H

#include "diagnostics/activity.h"
#include "diagnostics/horizon.h"
#include "diagnostics/prepared.h"

typedef struct FtHorizonAdvice
{
	const char *action;
	char	   *sql;			/* NULL where there is nothing to run here */
	const char *reason;
} FtHorizonAdvice;

/*
 * activity: of the process, or of the one that uses the slot; prepared: of a
 * prepared transaction, NULL if it is gone.  To be called between
 * ft_names_begin() and ft_names_end().
 */
extern FtHorizonAdvice ft_horizon_advice(const FtHolder *holder,
										 const FtActivity *activity,
										 const FtPrepared *prepared);

#endif							/* FT_HORIZON_ADVICE_H */
