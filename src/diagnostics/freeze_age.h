/*-------------------------------------------------------------------------
 *
 * freeze_age.h
 *	  How far databases and tables are on their way to wraparound.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_FREEZE_AGE_H
#define FT_FREEZE_AGE_H

#include "access/multixact.h"
#include "access/transam.h"
#include "datatype/timestamp.h"
#include "threshold.h"

/*
 * The age at which the server stops to give out ids: 3,000,000 before half of
 * the space of 32 bits; see SetTransactionIdLimit() and SetMultiXactIdLimit(),
 * which have done so since 14.
 */
#define FT_XID_STOP_AGE			((int64) (MaxTransactionId >> 1) - 3000000)
#define FT_MULTIXACT_STOP_AGE	((int64) (MaxMultiXactId >> 1) - 3000000)

/* What ages are measured against. */
typedef struct FtFreezeLimits
{
	TimestampTz now;
	FullTransactionId next_xid;
	MultiXactId next_multixact;
	const FtThreshold *freeze_age;
	const FtThreshold *xid_age;
	const FtThreshold *multixact_age;
} FtFreezeLimits;

extern void ft_freeze_limits(FtFreezeLimits *limits);

extern int64 ft_multixact_age(const FtFreezeLimits *limits, MultiXactId multixact);

/* Per cent with two digits; infinite past a limit of 0. */
extern double ft_percent(double part, double all);

/*
 * The worst of how far both ages are to the limits of the server and to those
 * past which autovacuum freezes by force.
 */
extern FtSeverity ft_freeze_severity(const FtFreezeLimits *limits, int64 xid_age,
									 int64 multixact_age, int freeze_max_age,
									 int multixact_freeze_max_age);

#endif							/* FT_FREEZE_AGE_H */
