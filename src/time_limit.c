/*-------------------------------------------------------------------------
 *
 * time_limit.c
 *	  A limit of time for a part of a statement.
 *
 * A timer cancels what runs as a user would.  A user who cancels at the same
 * moment must not be taken for it: SIGINT, which brings every other cancel and
 * every timeout of the server's, is therefore noted on its way to the server's
 * handler, and then the cancel is the user's whatever our timer says.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

#include "time_limit.h"

static volatile sig_atomic_t time_is_up = false;
static volatile sig_atomic_t somebody_cancelled = false;
static int	depth = 0;			/* begun and not ended */
static int	limited_at = 0;		/* the depth that the limit is of; 0 if none */
static bool watched = false;
static struct sigaction server_action;

static void
note_cancel(SIGNAL_ARGS)
{
	somebody_cancelled = true;
	server_action.sa_handler(postgres_signal_arg);
}

/*
 * Not where SIGINT is not handled by a plain function; then every cancel is
 * taken for the user's.
 */
static void
watch_cancels(void)
{
	struct sigaction action;

	if (sigaction(SIGINT, NULL, &server_action) != 0 ||
		(server_action.sa_flags & SA_SIGINFO) != 0 ||
		server_action.sa_handler == SIG_IGN || server_action.sa_handler == SIG_DFL)
		return;
	action = server_action;
	action.sa_handler = note_cancel;
	watched = sigaction(SIGINT, &action, NULL) == 0;
}

static void
cancel_query(void)
{
	time_is_up = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static TimeoutId
own_timeout(void)
{
	static TimeoutId id = MAX_TIMEOUTS;

	if (id == MAX_TIMEOUTS)
		id = RegisterTimeout(USER_TIMEOUT, cancel_query);
	return id;
}

void
ft_time_limit_begin(int timeout)
{
	depth++;

	/* a cancel from before is not about what comes now */
	CHECK_FOR_INTERRUPTS();

	/* what is limited already, is by that alone */
	if (limited_at != 0)
		return;

	time_is_up = false;
	somebody_cancelled = false;
	if (timeout <= 0)
		return;

	limited_at = depth;
	watch_cancels();

	/* one that came between the look and the watch */
	if (QueryCancelPending)
		somebody_cancelled = true;
	enable_timeout_after(own_timeout(), timeout);
}

void
ft_time_limit_end(void)
{
	if (limited_at != depth--)
		return;

	limited_at = 0;
	disable_timeout(own_timeout(), false);

	/* A cancel by our timer that came too late is not to hit what comes next. */
	if (time_is_up)
	{
		QueryCancelPending = false;
		if (somebody_cancelled)
		{
			InterruptPending = true;
			QueryCancelPending = true;
		}
	}

	if (watched)
		(void) sigaction(SIGINT, &server_action, NULL);
	if (!watched)
		somebody_cancelled = true;
	watched = false;
}

bool
ft_time_limit_cancelled(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED && limited_at == 0 &&
		time_is_up && !somebody_cancelled;
}
