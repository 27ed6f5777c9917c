/*-------------------------------------------------------------------------
 *
 * overview.c
 *	  The first thing to look at in an outage: what is worst, in a few rows.
 *
 * Each subject is asked by itself and within a time of its own, so that one that
 * cannot answer costs a row that says so and not the whole.
 *
 * Locking: none of its own; see inquiry.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "inquiry.h"
#include "overview.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_overview_rows);

#define MAX_ROWS 12

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

typedef struct Answers
{
	const FtInquiry *inquiry;
	List	   *rows;
	const FtOverviewSubject *subject;	/* that is being asked */
} Answers;

static void
add_row(Answers *answers, const char *severity, const char *summary,
		const char *next)
{
	OverviewRow *row = palloc(sizeof(OverviewRow));

	row->rank = severity_rank(severity);
	row->position = list_length(answers->rows);
	row->columns[COLUMN_SEVERITY] = pstrdup(severity);
	row->columns[COLUMN_WHAT] = pstrdup(answers->subject->what);
	row->columns[COLUMN_SUMMARY] = pstrdup(summary);
	row->columns[COLUMN_NEXT] = pstrdup(next);
	answers->rows = lappend(answers->rows, row);
}

/* Add what the query of a subject answers: severity, summary, next. */
static void
add_answer(void *argument, HeapTuple tuple, TupleDesc desc)
{
	char	   *columns[3];

	for (int i = 0; i < 3; i++)
	{
		columns[i] = ft_answer_text(tuple, desc, i + 1);
		if (columns[i] == NULL)
			columns[i] = "";
	}
	add_row((Answers *) argument, columns[0], columns[1], columns[2]);
}

/* Ask one subject, and make a row of an error. */
static void
ask(Answers *answers)
{
	int			already = list_length(answers->rows);
	int			timeout = answers->subject->own_time ? 0 : ft_inquiry_time(answers->inquiry);
	ErrorData  *error;

	if (timeout < 0)
	{
		add_row(answers, "UNKNOWN", FT_INQUIRY_TIME_OVER, answers->subject->next);
		return;
	}
	error = ft_inquiry_ask_within(timeout, answers->subject->query, MAX_ROWS,
								  add_answer, answers);
	if (error == NULL)
		return;
	answers->rows = list_truncate(answers->rows, already);
	add_row(answers, "UNKNOWN", psprintf("cannot be told: %s", error->message),
			answers->subject->next);
}

Datum
ft_overview_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		in_recovery = RecoveryInProgress();
	Answers		answers = {0};
	FtInquiry	inquiry;
	ListCell   *cell;
	int			count = 0;

	InitMaterializedSRF(fcinfo, 0);

	ft_inquiry_begin(&inquiry);
	answers.inquiry = &inquiry;
	for (const FtOverviewSubject *subject = ft_overview_subjects;
		 subject->what != NULL; subject++)
	{
		if (in_recovery && subject->primary_only)
			continue;
		answers.subject = subject;
		if (ft_shared == NULL && subject->not_preloaded != NULL)
			add_row(&answers, "WARNING", subject->not_preloaded,
					"shared_preload_libraries = 'fault_tolerance', and restart");
		else
			ask(&answers);
	}

	list_sort(answers.rows, compare_rows);
	foreach(cell, answers.rows)
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
	ft_inquiry_end(&inquiry);
	return (Datum) 0;
}
