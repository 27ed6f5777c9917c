/*-------------------------------------------------------------------------
 *
 * health.c
 *	  ft.health_check(): every threshold as a check.
 *
 * First all probes are asked, each by itself and within a time of its own;
 * then it is decided, from what they answered and the thresholds, what the
 * status of each check is.  A probe that cannot answer makes its checks
 * UNKNOWN, and no other.
 *
 * Of a check that is well there is one row, with the worst that was found; of
 * one that is not, a row for each object, up to MAX_OBJECTS.
 *
 * Locking: see inquiry.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "inquiry.h"
#include "operations/health.h"
#include "shmem.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_health_check);

#define COLUMNS 11
#define MAX_OBJECTS 5			/* rows of one check */
#define MAX_ANSWERS 200			/* of one probe */

enum
{
	ANSWER_CHECK = 1,
	ANSWER_OBJECT,
	ANSWER_VALUE,
	ANSWER_MESSAGE,
	ANSWER_STATUS,
	ANSWER_HINT
};

static const FtHealthProbe *const probe_lists[] = {
	ft_health_probes_server,
	ft_health_probes_sessions,
	ft_health_probes_replication,
	ft_health_probes_data,
};

/* How long a probe took, in microseconds. */
typedef struct ProbeTime
{
	const FtHealthProbe *probe;
	int64		duration;
} ProbeTime;

/* One row of the answer of a probe. */
typedef struct Answer
{
	const char *check_name;
	const char *object;
	const char *message;
	const char *status;
	const char *hint;
	double		value;			/* NaN if not known */
} Answer;

typedef struct Gathering
{
	List	   *answers;		/* of Answer */
	List	   *times;			/* of ProbeTime */
	List	   *wanted;			/* names of checks, NIL for all */
	bool		in_recovery;	/* when asked, not when decided */
	FtInquiry	inquiry;
} Gathering;

static bool
is_wanted(const Gathering *gathering, const char *check_name)
{
	ListCell   *cell;

	if (gathering->wanted == NIL)
		return true;
	foreach(cell, gathering->wanted)
	{
		if (strcmp((const char *) lfirst(cell), check_name) == 0)
			return true;
	}
	return false;
}

/* The next name of a list separated by blanks; NULL at its end. */
static char *
next_name(const char **names)
{
	size_t		length = strcspn(*names, " ");
	char	   *name;

	if (length == 0)
		return NULL;
	name = pnstrdup(*names, length);
	*names += length;
	*names += strspn(*names, " ");
	return name;
}

static bool
any_wanted(const Gathering *gathering, const FtHealthProbe *probe)
{
	const char *names = probe->checks;
	char	   *name;

	while ((name = next_name(&names)) != NULL)
	{
		if (is_wanted(gathering, name))
			return true;
	}
	return false;
}

static Answer *
new_answer(const char *check_name)
{
	Answer	   *answer = palloc0(sizeof(Answer));

	answer->check_name = check_name;
	answer->value = get_float8_nan();
	return answer;
}

static void
add_answer(void *argument, HeapTuple tuple, TupleDesc desc)
{
	Gathering  *gathering = (Gathering *) argument;
	Answer	   *answer = new_answer(ft_answer_text(tuple, desc, ANSWER_CHECK));
	char	   *value = ft_answer_text(tuple, desc, ANSWER_VALUE);

	if (value != NULL)
		answer->value = DatumGetFloat8(DirectFunctionCall1(float8in, CStringGetDatum(value)));
	answer->object = ft_answer_text(tuple, desc, ANSWER_OBJECT);
	answer->message = ft_answer_text(tuple, desc, ANSWER_MESSAGE);
	answer->status = ft_answer_text(tuple, desc, ANSWER_STATUS);
	answer->hint = ft_answer_text(tuple, desc, ANSWER_HINT);
	gathering->answers = lappend(gathering->answers, answer);
}

/* Make an answer for each check of a probe that gave none. */
static void
add_unknown(Gathering *gathering, const FtHealthProbe *probe, const char *message)
{
	const char *names = probe->checks;
	char	   *name;

	while ((name = next_name(&names)) != NULL)
	{
		Answer	   *answer = new_answer(name);

		answer->message = message;
		answer->status = "UNKNOWN";
		gathering->answers = lappend(gathering->answers, answer);
	}
}

static void
gather_probe(Gathering *gathering, const FtHealthProbe *probe)
{
	int			already = list_length(gathering->answers);
	TimestampTz start = GetCurrentTimestamp();
	ErrorData  *error;
	ProbeTime  *time;
	int			timeout;

	if (probe->needs_preload && ft_shared == NULL)
	{
		add_unknown(gathering, probe,
					"cannot be told: fault_tolerance is not in shared_preload_libraries");
		return;
	}
	timeout = ft_inquiry_time(&gathering->inquiry);
	if (timeout < 0)
	{
		add_unknown(gathering, probe, FT_INQUIRY_TIME_OVER);
		return;
	}

	error = ft_inquiry_ask_within(timeout, probe->query, MAX_ANSWERS, add_answer, gathering);
	if (error != NULL)
	{
		gathering->answers = list_truncate(gathering->answers, already);
		add_unknown(gathering, probe, psprintf("cannot be told: %s", error->message));
	}

	time = palloc(sizeof(ProbeTime));
	time->probe = probe;
	time->duration = GetCurrentTimestamp() - start;
	gathering->times = lappend(gathering->times, time);
}

static void
gather(Gathering *gathering)
{
	for (int i = 0; i < (int) lengthof(probe_lists); i++)
	{
		for (const FtHealthProbe *probe = probe_lists[i]; probe->query != NULL; probe++)
		{
			if ((gathering->in_recovery && probe->primary_only) || !any_wanted(gathering, probe))
				continue;
			gather_probe(gathering, probe);
		}
	}
}

static const FtHealthProbe *
probe_of(const FtHealthCheck *check)
{
	for (int i = 0; i < (int) lengthof(probe_lists); i++)
	{
		for (const FtHealthProbe *probe = probe_lists[i]; probe->query != NULL; probe++)
		{
			const char *names = probe->checks;
			char	   *name;

			while ((name = next_name(&names)) != NULL)
			{
				if (strcmp(name, check->check_name) == 0)
					return probe;
			}
		}
	}
	elog(ERROR, "no probe answers check \"%s\"", check->check_name);
}

static Interval *
time_of(const Gathering *gathering, const FtHealthProbe *probe)
{
	Interval   *duration = palloc0(sizeof(Interval));
	ListCell   *cell;

	foreach(cell, gathering->times)
	{
		const ProbeTime *time = (const ProbeTime *) lfirst(cell);

		if (time->probe == probe)
			duration->time = time->duration;
	}
	return duration;
}

static const char *
status_of(const Answer *answer, const FtThreshold *threshold)
{
	if (answer->status != NULL)
		return answer->status;
	if (threshold == NULL || isnan(answer->value))
		return "UNKNOWN";
	return ft_severity_name(ft_severity_of(threshold, answer->value));
}

static void
put_text(Datum *values, bool *nulls, int i, const char *text)
{
	nulls[i] = text == NULL;
	values[i] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
put_number(Datum *values, bool *nulls, int i, double number)
{
	nulls[i] = isnan(number);
	values[i] = Float8GetDatum(number);
}

static void
put_row(ReturnSetInfo *result, const FtHealthCheck *check, const FtThreshold *threshold,
		const Answer *answer, const char *status, const Interval *duration)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	bool		is_well = strcmp(status, "OK") == 0;

	put_text(values, nulls, 0, check->check_name);
	put_text(values, nulls, 1, status);
	put_text(values, nulls, 2, answer->object);
	put_number(values, nulls, 3, answer->value);
	put_text(values, nulls, 4, check->unit != NULL || threshold == NULL ? check->unit : threshold->unit);
	put_number(values, nulls, 5, threshold != NULL ? threshold->warning : get_float8_nan());
	put_number(values, nulls, 6, threshold != NULL ? threshold->critical : get_float8_nan());
	put_text(values, nulls, 7, answer->message != NULL ? answer->message : check->well);
	put_text(values, nulls, 8,
			 is_well ? NULL : answer->hint != NULL ? answer->hint : check->hint);
	values[9] = IntervalPGetDatum(duration);
	values[10] = TimestampTzGetDatum(GetCurrentTimestamp());
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Put the rows of one check. */
static void
decide(ReturnSetInfo *result, const Gathering *gathering, const FtHealthCheck *check,
	   const FtThresholds *thresholds)
{
	const FtThreshold *threshold = check->threshold == NULL ? NULL :
		ft_threshold(thresholds, check->threshold);
	const FtHealthProbe *probe = probe_of(check);
	const Interval *duration = time_of(gathering, probe);
	const Answer *first = NULL;
	ListCell   *cell;
	int			rows = 0;

	if (gathering->in_recovery && probe->primary_only)
		return;

	foreach(cell, gathering->answers)
	{
		const Answer *answer = (const Answer *) lfirst(cell);
		const char *status;

		if (strcmp(answer->check_name, check->check_name) != 0)
			continue;
		if (first == NULL)
			first = answer;
		status = status_of(answer, threshold);
		if (strcmp(status, "OK") == 0)
			continue;
		if (rows++ < MAX_OBJECTS)
			put_row(result, check, threshold, answer, status, duration);
	}
	if (rows == 0)
		put_row(result, check, threshold,
				first != NULL ? first : new_answer(check->check_name), "OK", duration);
}

/* The names that were asked for; an unknown one is an error. */
static List *
wanted_checks(ArrayType *array)
{
	List	   *wanted = NIL;
	Datum	   *names;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const FtHealthCheck *check = ft_health_checks;
		char	   *name;

		if (nulls[i])
			continue;
		name = TextDatumGetCString(names[i]);
		while (check->check_name != NULL && strcmp(check->check_name, name) != 0)
			check++;
		if (check->check_name == NULL)
			ereport(ERROR,
					(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
					 errmsg("there is no check named \"%s\"", name),
					 errhint("SELECT DISTINCT check_name FROM ft.health_check() lists them.")));
		wanted = lappend(wanted, name);
	}
	return wanted;
}

/*
 * ft.health_check(checks text[])
 */
Datum
ft_health_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Gathering	gathering = {0};
	FtThresholds *thresholds;

	InitMaterializedSRF(fcinfo, 0);

	gathering.wanted = PG_ARGISNULL(0) ? NIL : wanted_checks(PG_GETARG_ARRAYTYPE_P(0));
	gathering.in_recovery = RecoveryInProgress();

	ft_inquiry_begin(&gathering.inquiry);
	gather(&gathering);

	thresholds = ft_thresholds_read();
	for (const FtHealthCheck *check = ft_health_checks; check->check_name != NULL; check++)
	{
		if (is_wanted(&gathering, check->check_name))
			decide(result, &gathering, check, thresholds);
	}
	ft_inquiry_end(&gathering.inquiry);
	return (Datum) 0;
}
