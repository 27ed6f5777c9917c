/*-------------------------------------------------------------------------
 *
 * lock_patience.c
 *	  How long a function of ours waits for locks.
 *
 * lock_timeout is set for each wait to what is left of the time, so that all
 * of them together take no longer.  Only the wait for one row may take up to
 * twice as long: in a queue, the server waits once for the row and once for
 * the transaction that holds it.
 *
 * Locking: none here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/lock_patience.h"
#include "errors.h"

void
ft_patience_begin(FtLockPatience *patience, const Interval *timeout)
{
	double		limit;

	memset(patience, 0, sizeof(FtLockPatience));
	if (timeout == NULL)
		return;

	/* in floating point, because an infinite one overflows all else */
	limit = (double) timeout->time +
		((double) timeout->day + (double) timeout->month * DAYS_PER_MONTH) * USECS_PER_DAY;
	if (limit < 0 || limit > INT_MAX * 1000.0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("timeout must be between 0 and 24 days"),
				 errhint("Use NULL to wait as long as lock_timeout allows.")));

	patience->limited = true;
	patience->no_wait = limit == 0;
	patience->limit = (int64) limit;
	patience->deadline = GetCurrentTimestamp() + patience->limit;
	patience->guc_level = NewGUCNestLevel();
}

void
ft_patience_left(FtLockPatience *patience)
{
	char		value[32];
	int64		left;

	if (!patience->limited || patience->no_wait)
		return;

	/* 0 would be no limit at all */
	left = Max((patience->deadline - GetCurrentTimestamp() + 999) / 1000, 1);
	if (left == patience->timeout_set)
		return;
	snprintf(value, sizeof(value), INT64_FORMAT, left);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	patience->timeout_set = (int) left;
}

void
ft_patience_end(FtLockPatience *patience)
{
	if (patience->limited)
		AtEOXact_GUC(true, patience->guc_level);
}

static int
taken_detail(int64 taken)
{
	return errdetail_plural("%lld lock had been taken before it, and is given back by rolling back.",
							"%lld locks had been taken before it, and are given back by rolling back.",
							(unsigned long) taken, (long long) taken);
}

void
ft_patience_refused(const char *what, int64 taken)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock %s without waiting", what),
			 taken_detail(taken),
			 errhint("ft.lock_tree shows who holds it while somebody waits for it.")));
}

void
ft_patience_failed(const FtLockPatience *patience, MemoryContext context, const char *what,
				   int64 taken)
{
	ErrorData  *error;

	if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
		PG_RE_THROW();

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (patience->no_wait)
		ft_patience_refused(what, taken);
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 patience->limited ?
			 errmsg("could not lock %s within %lld ms", what, (long long) (patience->limit / 1000)) :
			 errmsg("could not lock %s before lock_timeout", what),
			 taken_detail(taken),
			 errhint("ft.lock_tree shows who holds it while somebody waits for it."),
			 error->context ? errcontext("%s", error->context) : 0));
	pg_unreachable();
}
