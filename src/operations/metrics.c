/*-------------------------------------------------------------------------
 *
 * metrics.c
 *	  Figures about everything that is watched, for a monitoring system.
 *
 * By the conventions of Prometheus: names in snake_case with a prefix, base
 * units, counters that end in _total.  A series is a name with its labels;
 * that each is there once is seen to here, because one that is there twice
 * costs a whole scrape.
 *
 * Each subject is asked by itself and within a time of its own: one that cannot
 * answer loses its own series and is told by subject_up.
 *
 * Locking: none of its own; see inquiry.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "inquiry.h"
#include "metrics.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_metric_rows);

#define COLUMNS 5

/* Of one subject: more is a report, and a load on who stores it. */
#define MAX_SERIES 1000

typedef struct Series
{
	const FtMetric *metric;
	int			subject;		/* its number in ft_metric_subjects */
	char	   *labels;
	double		value;
} Series;

typedef struct Gathering
{
	const FtInquiry *inquiry;
	List	   *series;
	int			subject;		/* that is being asked */
	int			already;		/* series of those before it */
} Gathering;

static const FtMetric *
find_metric(const char *name)
{
	for (const FtMetric *metric = ft_metrics; metric->name != NULL; metric++)
	{
		if (strcmp(metric->name, name) == 0)
			return metric;
	}
	elog(ERROR, "there is no metric \"%s\"", name);
	return NULL;				/* silence the compiler */
}

static bool
is_counter(const FtMetric *metric)
{
	static const char suffix[] = "_total";
	size_t		length = strlen(metric->name);

	return length >= strlen(suffix) &&
		strcmp(metric->name + length - strlen(suffix), suffix) == 0;
}

static void
add_series(Gathering *gathering, const char *name, const char *labels, double value)
{
	Series	   *series = palloc(sizeof(Series));

	series->metric = find_metric(name);
	series->subject = gathering->subject;
	series->labels = pstrdup(labels);
	series->value = value;
	gathering->series = lappend(gathering->series, series);
}

/* Take a row of an answer.  What is not known has no series. */
static void
add_answer(void *argument, HeapTuple tuple, TupleDesc desc)
{
	Gathering  *gathering = (Gathering *) argument;
	char	   *name = ft_answer_text(tuple, desc, 1);
	char	   *labels = ft_answer_text(tuple, desc, 2);
	bool		isnull;
	Datum		value = heap_getattr(tuple, 3, desc, &isnull);

	Assert(TupleDescAttr(desc, 2)->atttypid == FLOAT8OID);
	if (isnull)
		return;
	if (list_length(gathering->series) - gathering->already == MAX_SERIES)
		elog(ERROR, "there are more than %d series", MAX_SERIES);
	add_series(gathering, name, labels ? labels : "{}", DatumGetFloat8(value));
}

static int
compare_series(const ListCell *a, const ListCell *b)
{
	const Series *left = (const Series *) lfirst(a);
	const Series *right = (const Series *) lfirst(b);
	int			order = (left->metric > right->metric) - (left->metric < right->metric);

	return order != 0 ? order : strcmp(left->labels, right->labels);
}

/* Sort, and drop what is there twice: its subject is in disorder. */
static List *
sort_out_doubles(List *all, bool *up)
{
	List	   *single = NIL;
	const Series *last = NULL;
	ListCell   *cell;

	list_sort(all, compare_series);
	foreach(cell, all)
	{
		Series	   *series = (Series *) lfirst(cell);

		if (last != NULL && last->metric == series->metric &&
			strcmp(last->labels, series->labels) == 0)
		{
			up[series->subject] = false;
			continue;
		}
		single = lappend(single, series);
		last = series;
	}
	return single;
}

static int
count_subjects(void)
{
	int			count = 0;

	while (ft_metric_subjects[count].name != NULL)
		count++;
	return count;
}

static const char *
subject_label(const FtMetricSubject *subject)
{
	return psprintf("{\"subject\": \"%s\"}", subject->name);
}

/*
 * Ask one subject; returns whether it answered.  How long it took is told in
 * either case, but where no time is left to ask it.
 */
static bool
ask(Gathering *gathering, const FtMetricSubject *subject)
{
	instr_time	start;
	instr_time	duration;
	int			timeout = subject->own_time ? 0 : ft_inquiry_time(gathering->inquiry);
	ErrorData  *error;

	if (timeout < 0)
		return false;
	gathering->already = list_length(gathering->series);
	INSTR_TIME_SET_CURRENT(start);
	error = ft_inquiry_ask_within(timeout, subject->query, 0, add_answer, gathering);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);

	if (error != NULL)
		gathering->series = list_truncate(gathering->series, gathering->already);
	add_series(gathering, "subject_duration_seconds", subject_label(subject),
			   INSTR_TIME_GET_DOUBLE(duration));
	return error == NULL;
}

static void
put_series(ReturnSetInfo *result, const FtMetric *metric, const char *labels,
		   double value)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {0};

	values[0] = CStringGetTextDatum(psprintf(FT_METRIC_PREFIX "%s", metric->name));
	values[1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(labels));
	values[2] = Float8GetDatum(value);
	values[3] = CStringGetTextDatum(is_counter(metric) ? "counter" : "gauge");
	values[4] = CStringGetTextDatum(metric->help);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ft.metric_rows()
 */
Datum
ft_metric_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		in_recovery = RecoveryInProgress();
	Gathering	gathering = {0};
	FtInquiry	inquiry;
	int			subjects = count_subjects();
	bool	   *asked;
	bool	   *up;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);

	ft_inquiry_begin(&inquiry);
	gathering.inquiry = &inquiry;
	asked = palloc0_array(bool, subjects);
	up = palloc0_array(bool, subjects);
	for (int i = 0; i < subjects; i++)
	{
		const FtMetricSubject *subject = &ft_metric_subjects[i];

		if ((in_recovery && subject->primary_only) ||
			(ft_shared == NULL && subject->needs_preload))
			continue;
		gathering.subject = i;
		asked[i] = true;
		up[i] = ask(&gathering, subject);
	}

	foreach(cell, sort_out_doubles(gathering.series, up))
	{
		const Series *series = (const Series *) lfirst(cell);

		put_series(result, series->metric, series->labels, series->value);
	}
	for (int i = 0; i < subjects; i++)
	{
		if (asked[i])
			put_series(result, find_metric("subject_up"),
					   subject_label(&ft_metric_subjects[i]), up[i] ? 1 : 0);
	}
	ft_inquiry_end(&inquiry);
	return (Datum) 0;
}
