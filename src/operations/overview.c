/*-------------------------------------------------------------------------
 *
 * overview.c
 *	  The first thing to look at in an outage: what is worst, in a few rows.
 *
 * Each subject is asked in a subtransaction of its own, so that one that
 * cannot answer costs a row that says so and not the whole.  A cancel and a
 * timeout of the user's are passed on.
 *
 * Locking: none of its own.  Locks on the tables that are read are waited for
 * LOCK_TIMEOUT at most.  They go when the subtransaction is rolled back, which
 * each is, so that few are held at a time: past 16 a session has to take a
 * partition of the lock table, which hangs where a thousand sessions wait.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "overview.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_overview_rows);

#define MAX_ROWS 12
#define LOCK_TIMEOUT "100ms"

enum
{
	COLUMN_SEVERITY,
	COLUMN_WHAT,
	COLUMN_SUMMARY,
	COLUMN_NEXT,
	COLUMNS
};

typedef struct OverviewRow
{
	int			rank;
	int			position;		/* among rows of the same rank */
	char	   *columns[COLUMNS];
} OverviewRow;

static int
severity_rank(const char *severity)
{
	static const char *const severities[] = {
		"CRITICAL", "WARNING", "UNKNOWN", "INFO", "OK"
	};

	for (int i = 0; i < (int) lengthof(severities); i++)
	{
		if (strcmp(severity, severities[i]) == 0)
			return i;
	}
	return (int) lengthof(severities);
}

static int
compare_rows(const ListCell *a, const ListCell *b)
{
	const OverviewRow *left = (const OverviewRow *) lfirst(a);
	const OverviewRow *right = (const OverviewRow *) lfirst(b);

	if (left->rank != right->rank)
		return left->rank - right->rank;
	return left->position - right->position;
}

static List *
add_row(List *rows, const char *severity, const char *what,
		const char *summary, const char *next)
{
	OverviewRow *row = palloc(sizeof(OverviewRow));

	row->rank = severity_rank(severity);
	row->position = list_length(rows);
	row->columns[COLUMN_SEVERITY] = pstrdup(severity);
	row->columns[COLUMN_WHAT] = pstrdup(what);
	row->columns[COLUMN_SUMMARY] = pstrdup(summary);
	row->columns[COLUMN_NEXT] = pstrdup(next);
	return lappend(rows, row);
}

/* Add what the query of a subject answers: severity, summary, next. */
static List *
add_answer(List *rows, const FtOverviewSubject *subject)
{
	MemoryContext context = CurrentMemoryContext;
	int			result = SPI_execute(subject->query, true, MAX_ROWS);

	if (result != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of a query of ft.overview: %s",
			 SPI_result_code_string(result));

	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *columns[3];

		for (int j = 0; j < 3; j++)
		{
			columns[j] = SPI_getvalue(SPI_tuptable->vals[i],
									  SPI_tuptable->tupdesc, j + 1);
			if (columns[j] == NULL)
				columns[j] = "";
		}
		rows = add_row(rows, columns[0], subject->what, columns[1], columns[2]);
	}
	SPI_freetuptable(SPI_tuptable);
	return rows;
}

/*
 * Ask one subject, and make a row of an error.
 */
static List *
ask(List *rows, const FtOverviewSubject *subject)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List	   *volatile all = rows;
	int			already = list_length(rows);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		all = add_answer(rows, subject);
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;

		/* A cancel and a timeout are of this class. */
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);

		all = add_row(list_truncate(all, already), "UNKNOWN", subject->what,
					  psprintf("cannot be told: %s", error->message),
					  subject->next);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return all;
}

/* Until the nest level that was opened is closed. */
static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

Datum
ft_overview_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		in_recovery = RecoveryInProgress();
	List	   *rows = NIL;
	ListCell   *cell;
	MemoryContext context;
	int			nest_level;
	int			count = 0;

	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	context = MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext,
														  "overview",
														  ALLOCSET_DEFAULT_SIZES));

	nest_level = NewGUCNestLevel();
	set_for_now("search_path", "pg_catalog, pg_temp");
	set_for_now("lock_timeout", LOCK_TIMEOUT);
	set_for_now("IntervalStyle", "postgres");

	for (const FtOverviewSubject *subject = ft_overview_subjects;
		 subject->what != NULL; subject++)
	{
		if (in_recovery && subject->primary_only)
			continue;
		if (ft_shared == NULL && subject->not_preloaded != NULL)
			rows = add_row(rows, "WARNING", subject->what,
						   subject->not_preloaded,
						   "shared_preload_libraries = 'fault_tolerance', and restart");
		else
			rows = ask(rows, subject);
	}

	AtEOXact_GUC(false, nest_level);

	list_sort(rows, compare_rows);
	foreach(cell, rows)
	{
		OverviewRow *row = (OverviewRow *) lfirst(cell);
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {0};

		if (count++ == MAX_ROWS)
			break;
		for (int i = 0; i < COLUMNS; i++)
			values[i] = CStringGetTextDatum(row->columns[i]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}

	MemoryContextSwitchTo(context);
	SPI_finish();
	return (Datum) 0;
}
