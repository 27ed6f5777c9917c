/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  One statement, tried again while its error is one that may go away.
 *
 * Each attempt is a transaction of its own, so this is a procedure, called
 * where it may end transactions.  An attempt runs in a subtransaction, because
 * only the end of one cleans up after an error; then the whole transaction is
 * rolled back, which gives up what a subtransaction keeps: the snapshot of a
 * serializable transaction, and locks.
 *
 * Errors of the commit count as well: a serialization failure, or a deferred
 * constraint, is often found only there.
 *
 * Locking: none of ours.  Between two attempts neither a lock nor a snapshot is
 * held.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"
#include "failure_rule.h"
#include "orchestration/execution.h"
#include "subtransaction.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(ft_retry);

#define DELAY_LIMIT_MS	(24.0 * 60 * 60 * 1000)

typedef struct Retry
{
	char	   *statement;
	int			max_attempts;
	double		first_delay;	/* milliseconds */
	double		max_delay;
	double		jitter;			/* share of the delay that is left to chance */
} Retry;

static void
require_own_transactions(FunctionCallInfo fcinfo)
{
	if (ft_is_called_by_itself(fcinfo))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("ft.retry() cannot be called inside a transaction block"),
			 errdetail("Each attempt is a transaction of its own: what was done before in this one could neither be kept nor be tried again."),
			 errhint("CALL it by itself, outside of BEGIN, functions, and blocks with EXCEPTION.")));
}

static double
delay_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	const Interval *delay;
	double		length;

	ft_require_argument(PG_ARGISNULL(n), name);
	delay = PG_GETARG_INTERVAL_P(n);
	/* the fields of an infinite one would overflow an integer */
	length = ((double) delay->time + (double) delay->day * USECS_PER_DAY +
			  (double) delay->month * DAYS_PER_MONTH * USECS_PER_DAY) / 1000.0;
	if (!(length >= 0 && length <= DELAY_LIMIT_MS))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must be between nothing and one day", name),
				 errdetail("The session waits for that long between two attempts."),
				 errhint("For later attempts submit the statement: SELECT ft.submit('...');")));
	return length;
}

/* A syntax error is shown in the statement, not in the caller's. */
static void
statement_error(void *statement)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(statement);
	}
}

static List *
parse(char *statement)
{
	ErrorContextCallback callback = {error_context_stack, statement_error, statement};
	List	   *statements;

	error_context_stack = &callback;
	statements = pg_parse_query(statement);
	error_context_stack = callback.previous;
	return statements;
}

static void
read_arguments(FunctionCallInfo fcinfo, Retry *retry)
{
	List	   *statements;

	ft_require_argument(PG_ARGISNULL(0), "statement");
	ft_require_argument(PG_ARGISNULL(1), "max_attempts");
	ft_require_argument(PG_ARGISNULL(4), "jitter");
	retry->statement = text_to_cstring(PG_GETARG_TEXT_PP(0));
	retry->max_attempts = PG_GETARG_INT32(1);
	retry->first_delay = delay_argument(fcinfo, 2, "first_delay");
	retry->max_delay = delay_argument(fcinfo, 3, "max_delay");
	retry->jitter = PG_GETARG_FLOAT8(4);
	if (retry->max_attempts < 1)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("max_attempts must be at least 1"),
				 errdetail("%d attempts would never run it.", retry->max_attempts),
				 errhint("Pass a larger number.")));
	if (!(retry->jitter >= 0 && retry->jitter <= 1))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("jitter must be between 0 and 1"),
				 errdetail("It is the share of each delay that is left to chance."),
				 errhint("Pass 0.5, say, or 0 for delays that are always the same.")));

	statements = parse(retry->statement);
	if (list_length(statements) != 1 ||
		IsA(linitial_node(RawStmt, statements)->stmt, TransactionStmt))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("statement must be one SQL statement that is not about transactions"),
				 errdetail("An attempt is one statement, in a transaction of its own."),
				 errhint("Put several into a function, or submit them: SELECT ft.submit('...');")));
}

static void
run_statement(void *argument)
{
	Retry	   *retry = argument;
	SPIExecuteOptions options = {.dest = None_Receiver};
	int			result = SPI_execute_extended(retry->statement, &options);

	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ft.retry() cannot run this command: %s", SPI_result_code_string(result)),
				 errhint("Use an SQL statement that a function could run.")));
}

/* As SPI_commit, which has begun a new transaction also where it fails. */
static ErrorData *
commit(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		SPI_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return error;
}

/* One attempt: NULL when it has committed, else why it has not. */
static ErrorData *
attempt(Retry *retry, bool *again)
{
	ErrorData  *error;

	EnsurePortalSnapshotExists();
	error = ft_try(run_statement, retry);
	if (error == NULL)
		error = commit();
	if (error == NULL)
		return NULL;

	/* looking at the rules takes a snapshot, so it comes before the rollback */
	*again = ft_sqlstate_is_transient(unpack_sql_state(error->sqlerrcode));
	SPI_rollback();
	return error;
}

static void
sleep_before(const Retry *retry, int next)
{
	double		delay = Min(ldexp(retry->first_delay, Min(next - 2, 40)), retry->max_delay);
	TimestampTz until;

	delay -= delay * retry->jitter * pg_prng_double(&pg_global_prng_state);
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) delay);

	Assert(!ActiveSnapshotSet());
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();

		CHECK_FOR_INTERRUPTS();
		if (now >= until)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TimestampDifferenceMilliseconds(now, until),
						 ft_wait_event("FaultToleranceRetry"));
		ResetLatch(MyLatch);
	}
}

static void
give_up(ErrorData *error, int attempts, const Retry *retry, bool again)
{
	char	   *why = psprintf(again ? "This was attempt %d of %d." :
							   "This was attempt %d of %d; by ft.failure_rules() another would end the same.",
							   attempts, retry->max_attempts);

	error->detail = error->detail == NULL ? why : psprintf("%s\n%s", error->detail, why);
	ReThrowError(error);
}

/*
 * ft.retry(statement text, max_attempts integer, first_delay interval,
 * max_delay interval, jitter double precision, INOUT attempts integer)
 */
Datum
ft_retry(PG_FUNCTION_ARGS)
{
	Retry		retry;
	TupleDesc	descriptor;
	Datum		value;
	bool		isnull = false;
	int			attempts = 0;

	require_own_transactions(fcinfo);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	read_arguments(fcinfo, &retry);

	/* what the caller has done before is no part of the first attempt */
	SPI_commit();
	for (;;)
	{
		bool		again = false;
		ErrorData  *error = attempt(&retry, &again);

		attempts++;
		if (error == NULL)
			break;
		if (!again || attempts >= retry.max_attempts)
			give_up(error, attempts, &retry, again);
		FreeErrorData(error);
		sleep_before(&retry, attempts + 1);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	value = Int32GetDatum(attempts);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), &value, &isnull)));
}
