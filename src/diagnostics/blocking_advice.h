/*-------------------------------------------------------------------------
 *
 * blocking_advice.h
 *	  What to do about a session or prepared transaction that blocks others.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_BLOCKING_ADVICE_H
#define FT_BLOCKING_ADVICE_H

#include "diagnostics/activity.h"
#include "diagnostics/prepared.h"

/* What the advice is made from. */
typedef struct FtBlockingRoot
{
	bool		is_prepared;
	const FtPrepared *prepared; /* NULL if it is gone meanwhile */
	const FtActivity *activity;
	bool		in_cycle;
	bool		waits;			/* it waits itself, for nobody known */
	uint8		status_flags;
} FtBlockingRoot;

typedef struct FtBlockingAdvice
{
	const char *action;
	char	   *sql;			/* NULL where there is nothing to run */
	const char *reason;
} FtBlockingAdvice;

/* To be called between ft_names_begin() and ft_names_end(). */
extern FtBlockingAdvice ft_blocking_advice(const FtBlockingRoot *root);

/*
 * SQL that is safe to paste late; to be called likewise.  The first calls
 * pg_cancel_backend or pg_terminate_backend for a session that is visible.
 */
extern char *ft_signal_sql(const char *function, const FtActivity *activity);
extern char *ft_rollback_prepared_sql(const FtPrepared *prepared);

#endif							/* FT_BLOCKING_ADVICE_H */
