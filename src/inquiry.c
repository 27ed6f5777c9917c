/*-------------------------------------------------------------------------
 *
 * inquiry.c
 *	  Ask several subjects in one statement, so that one that cannot answer
 *	  does not cost the answers of the others.
 *
 * Each is asked in a subtransaction of its own.
 *
 * Locking: none of its own.  Locks on what is read are waited for
 * FT_INQUIRY_LOCK_TIMEOUT at most.  They go when the subtransaction is rolled
 * back, which each is, so that few are held at a time: past 16 a session has
 * to take a partition of the lock table, which hangs where a thousand sessions
 * wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "inquiry.h"
#include "time_limit.h"

/* Until the nest level that was opened is closed. */
static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
ft_inquiry_begin(FtInquiry *inquiry)
{
	SPI_connect();
	inquiry->context = AllocSetContextCreate(CurrentMemoryContext, "inquiry",
											 ALLOCSET_DEFAULT_SIZES);
	inquiry->caller = MemoryContextSwitchTo(inquiry->context);

	inquiry->nest_level = NewGUCNestLevel();
	set_for_now("search_path", "pg_catalog, pg_temp");
	set_for_now("lock_timeout", FT_INQUIRY_LOCK_TIMEOUT);
	set_for_now("IntervalStyle", "postgres");
	set_for_now("standard_conforming_strings", "on");
	set_for_now("extra_float_digits", "1");

	/* Sessions as they are now, not as at the first look of the transaction. */
	pgstat_clear_backend_activity_snapshot();

	inquiry->deadline = ft_health_timeout == 0 ? DT_NOEND :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ft_health_timeout);
}

int
ft_inquiry_time(const FtInquiry *inquiry)
{
	long		left;

	if (inquiry->deadline == DT_NOEND)
		return ft_check_timeout;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), inquiry->deadline);
	if (left <= 0)
		return -1;
	return ft_check_timeout == 0 ? (int) left : (int) Min(left, ft_check_timeout);
}

void
ft_inquiry_end(FtInquiry *inquiry)
{
	AtEOXact_GUC(false, inquiry->nest_level);
	MemoryContextSwitchTo(inquiry->caller);
	SPI_finish();
}

/* Run the query and hand over its rows. */
static void
run(const char *query, long max_rows, FtAnswerRow row, void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	int			result = SPI_execute(query, true, max_rows);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of an inquiry: %s",
			 SPI_result_code_string(result));

	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		row(argument, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	SPI_freetuptable(SPI_tuptable);
}

ErrorData *
ft_inquiry_ask(const char *query, long max_rows, FtAnswerRow row, void *argument)
{
	return ft_inquiry_ask_within(0, query, max_rows, row, argument);
}

ErrorData *
ft_inquiry_ask_within(int timeout, const char *query, long max_rows,
					  FtAnswerRow row, void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		ft_time_limit_begin(timeout);
		run(query, max_rows, row, argument);
		ft_time_limit_end();
	}
	PG_CATCH();
	{
		ft_time_limit_end();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (error != NULL && ft_time_limit_cancelled(error))
	{
		error->message = psprintf("no answer within %d ms", timeout);
		return error;
	}

	/* A cancel and a timeout are of this class. */
	if (error != NULL &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error;
}

char *
ft_answer_text(HeapTuple tuple, TupleDesc desc, int column)
{
	return SPI_getvalue(tuple, desc, column);
}
