/*-------------------------------------------------------------------------
 *
 * diagnosis_report.c
 *	  How ft.diagnose() shows a finding: its figures, and what it explains.
 *
 * Locking: none of its own; see inquiry.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "diagnosis.h"

PG_FUNCTION_INFO_V1(ft_diagnosis_rule_list);

/* Sessions and objects that are named in one finding. */
#define MAX_AFFECTED 100

const char *
ft_diagnosis_severity(FtDiagnosisRank rank)
{
	static const char *const names[] = {"CRITICAL", "WARNING", "UNKNOWN", "OK"};

	return names[rank];
}

bool
ft_diagnosis_contains(const List *strings, const char *string)
{
	const ListCell *cell;

	foreach(cell, strings)
	{
		if (strcmp((const char *) lfirst(cell), string) == 0)
			return true;
	}
	return false;
}

static const char *
finding_of(const FtCandidate *candidate)
{
	return candidate->rule != NULL ? candidate->rule->finding : "cannot_tell";
}

/* The different findings among candidates. */
static List *
findings_of(const List *candidates)
{
	List	   *findings = NIL;
	const ListCell *cell;

	foreach(cell, candidates)
	{
		const FtCandidate *candidate = (const FtCandidate *) lfirst(cell);

		if (candidate->counts && !ft_diagnosis_contains(findings, finding_of(candidate)))
			findings = lappend(findings, unconstify(char *, finding_of(candidate)));
	}
	return findings;
}

static Datum
array_of(const List *strings)
{
	Datum	   *elements = palloc(sizeof(Datum) * (list_length(strings) + 1));
	int			count = 0;
	const ListCell *cell;

	foreach(cell, strings)
		elements[count++] = CStringGetTextDatum((const char *) lfirst(cell));
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
append_string(StringInfo json, const char *key, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(json, ", \"%s\": ", key);
	escape_json(json, value);
}

static void
append_list(StringInfo json, const char *key, const List *strings)
{
	const ListCell *cell;

	appendStringInfo(json, ", \"%s\": [", key);
	foreach(cell, strings)
	{
		if (cell != list_head(strings))
			appendStringInfoString(json, ", ");
		escape_json(json, (const char *) lfirst(cell));
	}
	appendStringInfoChar(json, ']');
}

static void
append_effect(StringInfo json, const FtCandidate *effect)
{
	appendStringInfoString(json, "{\"finding\": ");
	escape_json(json, finding_of(effect));
	append_string(json, "severity", ft_diagnosis_severity(effect->severity));
	append_string(json, "symptom", effect->symptom);
	append_string(json, "cause", effect->cause);
	append_list(json, "caused_by", findings_of(effect->causes));
	append_list(json, "affected", effect->affected);
	append_string(json, "fix_sql", effect->fix_sql);
	if (effect->evidence != NULL)
		appendStringInfo(json, ", \"evidence\": %s", effect->evidence);
	appendStringInfoChar(json, '}');
}

static void
take_text(void *argument, HeapTuple tuple, TupleDesc desc)
{
	*(char **) argument = ft_answer_text(tuple, desc, 1);
}

static char *
cannot_tell(const char *why)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"cannot_tell\": ");
	escape_json(&json, why);
	appendStringInfoChar(&json, '}');
	return json.data;
}

/*
 * What the statement at fault usually takes, if pg_stat_statements is there.
 * It may be in any schema.
 */
static char *
usual_figures(const FtInquiry *inquiry, const char *query_id)
{
	char	   *schema = NULL;
	char	   *figures = NULL;
	int			timeout = ft_inquiry_time(inquiry);
	ErrorData  *error;

	if (timeout < 0)
		return cannot_tell(FT_INQUIRY_TIME_OVER);
	(void) ft_inquiry_ask_within(timeout, "SELECT extnamespace::regnamespace FROM pg_extension"
								 " WHERE extname = 'pg_stat_statements'",
								 1, take_text, &schema);
	if (schema == NULL)
		return NULL;
	error = ft_inquiry_ask_within(timeout, psprintf("SELECT jsonb_build_object('calls', sum(calls),"
													" 'mean_seconds', sum(total_exec_time) / nullif(sum(calls), 0) / 1000,"
													" 'max_seconds', max(max_exec_time) / 1000, 'rows', sum(rows))"
													" FROM %s.pg_stat_statements(false) WHERE queryid = %s",
													schema, query_id),
								  1, take_text, &figures);
	return error == NULL ? figures : cannot_tell(error->message);
}

/* The figures of a finding, and what it explains. */
static Datum
evidence_of(const FtInquiry *inquiry, const FtCandidate *candidate, const List *effects)
{
	StringInfoData json;
	const ListCell *cell;
	char	   *usual = candidate->query_id ? usual_figures(inquiry, candidate->query_id) : NULL;
	const char *separator = "";

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	if (usual != NULL)
	{
		appendStringInfo(&json, "\"pg_stat_statements\": %s", usual);
		separator = ", ";
	}
	if (effects != NIL)
	{
		appendStringInfo(&json, "%s\"symptoms\": [", separator);
		foreach(cell, effects)
		{
			if (cell != list_head(effects))
				appendStringInfoString(&json, ", ");
			append_effect(&json, (const FtCandidate *) lfirst(cell));
		}
		appendStringInfoChar(&json, ']');
	}
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall2(jsonb_concat,
							   DirectFunctionCall1(jsonb_in, CStringGetDatum(candidate->evidence ? candidate->evidence : "{}")),
							   DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

/* Who is affected by a finding and by what it explains, each once. */
static List *
all_affected(const FtCandidate *candidate, const List *effects)
{
	List	   *all = list_copy(candidate->affected);
	const ListCell *cell;

	foreach(cell, effects)
	{
		const ListCell *of_effect;

		foreach(of_effect, ((const FtCandidate *) lfirst(cell))->affected)
		{
			if (list_length(all) < MAX_AFFECTED && !ft_diagnosis_contains(all, lfirst(of_effect)))
				all = lappend(all, lfirst(of_effect));
		}
	}
	return all;
}

static char *
whole_impact(const FtCandidate *candidate, const List *effects)
{
	StringInfoData text;
	List	   *told = list_make1(candidate->impact ? candidate->impact : pstrdup(""));
	const ListCell *cell;

	initStringInfo(&text);
	appendStringInfoString(&text, (char *) linitial(told));
	foreach(cell, effects)
	{
		char	   *impact = ((const FtCandidate *) lfirst(cell))->impact;

		if (impact == NULL || ft_diagnosis_contains(told, impact))
			continue;
		told = lappend(told, impact);
		appendStringInfo(&text, "%s%s", text.len > 0 ? "; " : "", impact);
	}
	return text.data;
}

/* What a candidate explains, directly and further on, the nearest first. */
static List *
collect_effects(List *all, FtCandidate *candidate)
{
	ListCell   *cell;

	foreach(cell, candidate->effects)
	{
		FtCandidate *effect = (FtCandidate *) lfirst(cell);

		if (!effect->counts || effect->seen)
			continue;
		effect->seen = true;
		all = lappend(all, effect);
		all = collect_effects(all, effect);
	}
	return all;
}

static List *
effects_of(FtCandidate *candidate)
{
	List	   *effects = collect_effects(NIL, candidate);
	ListCell   *cell;

	foreach(cell, effects)
		((FtCandidate *) lfirst(cell))->seen = false;
	return effects;
}

void
ft_diagnosis_put(ReturnSetInfo *result, const FtInquiry *inquiry,
				 FtCandidate *candidate, bool alone)
{
	List	   *effects = alone ? NIL : effects_of(candidate);
	Datum		values[10] = {0};
	bool		nulls[10] = {0};

	values[0] = CStringGetTextDatum(ft_diagnosis_severity(alone ? candidate->severity : candidate->worst));
	values[1] = CStringGetTextDatum(finding_of(candidate));
	values[2] = CStringGetTextDatum(candidate->symptom);
	nulls[3] = candidate->cause == NULL;
	if (!nulls[3])
		values[3] = CStringGetTextDatum(candidate->cause);
	values[4] = array_of(all_affected(candidate, effects));
	values[5] = CStringGetTextDatum(whole_impact(candidate, effects));
	nulls[6] = candidate->fix_sql == NULL;
	if (!nulls[6])
		values[6] = CStringGetTextDatum(candidate->fix_sql);
	values[7] = evidence_of(inquiry, candidate, effects);
	values[8] = array_of(findings_of(candidate->causes));
	values[9] = array_of(findings_of(alone ? candidate->effects : effects));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ft.diagnosis_rules()
 */
Datum
ft_diagnosis_rule_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (const FtDiagnosisRule *rule = ft_diagnosis_rules;
		 rule->finding != NULL; rule++)
	{
		List	   *effects = NIL;
		Datum		values[4];
		bool		nulls[4] = {0};

		for (int i = 0; i < FT_MAX_EFFECTS && rule->leads_to[i] != NULL; i++)
			effects = lappend(effects, unconstify(char *, rule->leads_to[i]));
		values[0] = CStringGetTextDatum(rule->finding);
		values[1] = array_of(effects);
		values[2] = BoolGetDatum(rule->needs_preload);
		values[3] = BoolGetDatum(rule->primary_only);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
