/*-------------------------------------------------------------------------
 *
 * step_limit.c
 *	  Limits of time that a step cannot take off.
 *
 * A cancel can be caught, and gone on after.  Who does so is ended with the
 * whole session some time later, where the session is one of ours.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

#include "guc.h"
#include "step_limit.h"

/* A step that has caught the cancel at its time limit has so long to end. */
#define OVERRUN_MS		3000

static TimeoutId overrun_timeout = MAX_TIMEOUTS;	/* that: there is none */
static volatile sig_atomic_t overrun = false;

/* As die() does: that cannot be caught. */
static void
overrun_handler(void)
{
	overrun = true;
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

void
ft_step_limit_init(void)
{
	overrun_timeout = RegisterTimeout(USER_TIMEOUT, overrun_handler);
}

int64
ft_step_limit_of(int64 timeout)
{
	if (timeout == 0 || (ft_step_timeout > 0 && ft_step_timeout < timeout))
		return ft_step_timeout;
	return timeout;
}

void
ft_step_limit_begin(int64 limit)
{
	if (limit == 0)
		return;
	limit = Min(limit, PG_INT32_MAX - OVERRUN_MS);
	enable_timeout_after(STATEMENT_TIMEOUT, (int) limit);
	if (overrun_timeout != MAX_TIMEOUTS)
		enable_timeout_after(overrun_timeout, (int) limit + OVERRUN_MS);
}

void
ft_step_limit_end(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (overrun_timeout != MAX_TIMEOUTS)
		disable_timeout(overrun_timeout, false);
}

bool
ft_step_limit_overrun(void)
{
	return overrun;
}
