/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *	  What is wrong, why, and what mends it.
 *
 * Gather: each rule is asked for candidates, by itself, so that one that
 * cannot answer does not cost the others.  Decide: candidates that explain one
 * another are linked; one that is well counts only if it explains one that is
 * not.  Act: those that nothing explains are roots, and told; what they explain
 * is told as their evidence.
 *
 * Nothing is changed, and no SQL that is proposed is run.
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
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "diagnosis.h"
#include "inquiry.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_diagnose);
PG_FUNCTION_INFO_V1(ft_diagnosis_rule_list);

/* Of one rule: more of a kind than that is told by their number elsewhere. */
#define MAX_CANDIDATES 2000

/* Sessions and objects that are named in one finding. */
#define MAX_AFFECTED 100

/* The worst first. */
typedef enum Severity
{
	RANK_CRITICAL,
	RANK_WARNING,
	RANK_UNKNOWN,
	RANK_OK
} Severity;

static const char *const severity_names[] = {"CRITICAL", "WARNING", "UNKNOWN", "OK"};

typedef struct Candidate
{
	const FtDiagnosisRule *rule;	/* NULL: something cannot be told */
	char	   *key;
	List	   *explained_by;	/* keys */
	Severity	severity;
	char	   *symptom;
	char	   *cause;
	char	   *evidence;
	List	   *affected;
	char	   *impact;
	char	   *fix_sql;
	char	   *query_id;

	/* decided */
	List	   *causes;
	List	   *effects;
	bool		counts;
	Severity	worst;			/* of itself and all that it explains */
	bool		seen;			/* while its effects are collected */
} Candidate;

typedef struct Gathering
{
	const FtDiagnosisRule *rule;	/* that is being asked */
	List	   *candidates;
} Gathering;

/* --- gather --------------------------------------------------------------- */

static Severity
severity_of(const char *name)
{
	if (name != NULL)
	{
		for (int i = 0; i < (int) lengthof(severity_names); i++)
		{
			if (strcmp(name, severity_names[i]) == 0)
				return (Severity) i;
		}
	}
	return RANK_OK;
}

/* The elements of a text[] as a list of strings; a null is none. */
static List *
text_array(HeapTuple tuple, TupleDesc desc, int column)
{
	List	   *list = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	bool		isnull;
	Datum		array = heap_getattr(tuple, column, desc, &isnull);

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			list = lappend(list, TextDatumGetCString(elements[i]));
	}
	return list;
}

/*
 * Take a row.  A severity that is not known makes no finding by itself, but
 * may explain one.
 */
static void
add_candidate(void *argument, HeapTuple tuple, TupleDesc desc)
{
	Gathering  *gathering = (Gathering *) argument;
	Candidate  *candidate = palloc0(sizeof(Candidate));

	candidate->rule = gathering->rule;
	candidate->key = ft_answer_text(tuple, desc, 1);
	candidate->explained_by = text_array(tuple, desc, 2);
	candidate->severity = severity_of(ft_answer_text(tuple, desc, 3));
	if (candidate->severity == RANK_UNKNOWN)
		candidate->severity = RANK_OK;
	candidate->symptom = ft_answer_text(tuple, desc, 4);
	candidate->cause = ft_answer_text(tuple, desc, 5);
	candidate->evidence = ft_answer_text(tuple, desc, 6);
	candidate->affected = text_array(tuple, desc, 7);
	candidate->impact = ft_answer_text(tuple, desc, 8);
	candidate->fix_sql = ft_answer_text(tuple, desc, 9);
	candidate->query_id = ft_answer_text(tuple, desc, 10);
	gathering->candidates = lappend(gathering->candidates, candidate);
}

static void
add_cannot_tell(Gathering *gathering, List *findings, const char *symptom,
				const char *cause)
{
	Candidate  *candidate = palloc0(sizeof(Candidate));

	candidate->key = pstrdup("");
	candidate->severity = RANK_UNKNOWN;
	candidate->symptom = pstrdup(symptom);
	candidate->cause = pstrdup(cause);
	candidate->affected = findings;
	candidate->impact = pstrdup("findings of these kinds are missing here, not necessarily in the server");
	gathering->candidates = lappend(gathering->candidates, candidate);
}

static void
ask(Gathering *gathering, const FtDiagnosisRule *rule)
{
	int			already = list_length(gathering->candidates);
	ErrorData  *error;

	gathering->rule = rule;
	error = ft_inquiry_ask(rule->query, MAX_CANDIDATES, add_candidate, gathering);
	if (error == NULL)
		return;
	gathering->candidates = list_truncate(gathering->candidates, already);
	add_cannot_tell(gathering, list_make1(pstrdup(rule->finding)),
					psprintf("cannot tell: %s", rule->finding), error->message);
}

static List *
gather(void)
{
	bool		in_recovery = RecoveryInProgress();
	Gathering	gathering = {0};
	List	   *not_preloaded = NIL;

	for (const FtDiagnosisRule *rule = ft_diagnosis_rules;
		 rule->finding != NULL; rule++)
	{
		if (in_recovery && rule->primary_only)
			continue;
		if (ft_shared == NULL && rule->needs_preload)
			not_preloaded = lappend(not_preloaded, pstrdup(rule->finding));
		else
			ask(&gathering, rule);
	}
	if (not_preloaded != NIL)
		add_cannot_tell(&gathering, not_preloaded,
						"cannot tell: fault_tolerance is not preloaded",
						"shared_preload_libraries lacks fault_tolerance; adding it takes a restart");
	return gathering.candidates;
}

/* --- decide --------------------------------------------------------------- */

static bool
contains(const List *strings, const char *string)
{
	const ListCell *cell;

	foreach(cell, strings)
	{
		if (strcmp((const char *) lfirst(cell), string) == 0)
			return true;
	}
	return false;
}

static bool
leads_to(const FtDiagnosisRule *rule, const char *finding)
{
	for (int i = 0; i < FT_MAX_EFFECTS && rule->leads_to[i] != NULL; i++)
	{
		if (strcmp(rule->leads_to[i], finding) == 0)
			return true;
	}
	return false;
}

static void
link_causes(List *candidates, Candidate *effect)
{
	ListCell   *cell;

	foreach(cell, candidates)
	{
		Candidate  *cause = (Candidate *) lfirst(cell);

		if (cause->rule != NULL && cause != effect &&
			contains(effect->explained_by, cause->key) &&
			leads_to(cause->rule, effect->rule->finding))
		{
			effect->causes = lappend(effect->causes, cause);
			cause->effects = lappend(cause->effects, effect);
		}
	}
}

/*
 * That a candidate is not well makes whatever explains it count.  What leads
 * to what has no cycles.
 */
static void
blame(Candidate *candidate, Severity severity)
{
	ListCell   *cell;

	if (candidate->counts && candidate->worst <= severity)
		return;
	candidate->worst = candidate->counts ? Min(candidate->worst, severity) : severity;
	candidate->counts = true;
	foreach(cell, candidate->causes)
		blame((Candidate *) lfirst(cell), severity);
}

static void
decide(List *candidates)
{
	ListCell   *cell;

	foreach(cell, candidates)
	{
		Candidate  *candidate = (Candidate *) lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (candidate->explained_by != NIL)
			link_causes(candidates, candidate);
	}
	foreach(cell, candidates)
	{
		Candidate  *candidate = (Candidate *) lfirst(cell);

		if (candidate->severity != RANK_OK)
			blame(candidate, candidate->severity);
	}
}

/* What a candidate explains, directly and further on, the nearest first. */
static List *
collect_effects(List *all, Candidate *candidate)
{
	ListCell   *cell;

	foreach(cell, candidate->effects)
	{
		Candidate  *effect = (Candidate *) lfirst(cell);

		if (!effect->counts || effect->seen)
			continue;
		effect->seen = true;
		all = lappend(all, effect);
		all = collect_effects(all, effect);
	}
	return all;
}

static List *
effects_of(Candidate *candidate)
{
	List	   *effects = collect_effects(NIL, candidate);
	ListCell   *cell;

	foreach(cell, effects)
		((Candidate *) lfirst(cell))->seen = false;
	return effects;
}

static int
compare_candidates(const ListCell *a, const ListCell *b)
{
	const Candidate *left = (const Candidate *) lfirst(a);
	const Candidate *right = (const Candidate *) lfirst(b);

	if (left->worst != right->worst)
		return (int) left->worst - (int) right->worst;
	if (list_length(left->effects) != list_length(right->effects))
		return list_length(right->effects) - list_length(left->effects);
	if (left->rule != right->rule)
		return left->rule < right->rule ? -1 : 1;
	return strcmp(left->key, right->key);
}

/* --- act ------------------------------------------------------------------ */

static const char *
finding_of(const Candidate *candidate)
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
		const Candidate *candidate = (const Candidate *) lfirst(cell);

		if (candidate->counts && !contains(findings, finding_of(candidate)))
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
append_effect(StringInfo json, const Candidate *effect)
{
	appendStringInfoString(json, "{\"finding\": ");
	escape_json(json, finding_of(effect));
	append_string(json, "severity", severity_names[effect->severity]);
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

/*
 * What the statement at fault usually takes, if pg_stat_statements is there.
 * It may be in any schema.
 */
static char *
usual_figures(const char *query_id)
{
	char	   *schema = NULL;
	char	   *figures = NULL;
	StringInfoData json;
	ErrorData  *error;

	(void) ft_inquiry_ask("SELECT extnamespace::regnamespace FROM pg_extension"
						  " WHERE extname = 'pg_stat_statements'",
						  1, take_text, &schema);
	if (schema == NULL)
		return NULL;
	error = ft_inquiry_ask(psprintf("SELECT jsonb_build_object('calls', sum(calls),"
									" 'mean_seconds', sum(total_exec_time) / nullif(sum(calls), 0) / 1000,"
									" 'max_seconds', max(max_exec_time) / 1000, 'rows', sum(rows))"
									" FROM %s.pg_stat_statements(false) WHERE queryid = %s",
									schema, query_id),
						   1, take_text, &figures);
	if (error == NULL)
		return figures;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"cannot_tell\": ");
	escape_json(&json, error->message);
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* The figures of a finding, and what it explains. */
static Datum
evidence_of(const Candidate *candidate, const List *effects)
{
	StringInfoData json;
	const ListCell *cell;
	char	   *usual = candidate->query_id ? usual_figures(candidate->query_id) : NULL;
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
			append_effect(&json, (const Candidate *) lfirst(cell));
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
all_affected(const Candidate *candidate, const List *effects)
{
	List	   *all = list_copy(candidate->affected);
	const ListCell *cell;

	foreach(cell, effects)
	{
		const ListCell *of_effect;

		foreach(of_effect, ((const Candidate *) lfirst(cell))->affected)
		{
			if (list_length(all) < MAX_AFFECTED && !contains(all, lfirst(of_effect)))
				all = lappend(all, lfirst(of_effect));
		}
	}
	return all;
}

static char *
whole_impact(const Candidate *candidate, const List *effects)
{
	StringInfoData text;
	List	   *told = list_make1(candidate->impact ? candidate->impact : pstrdup(""));
	const ListCell *cell;

	initStringInfo(&text);
	appendStringInfoString(&text, (char *) linitial(told));
	foreach(cell, effects)
	{
		char	   *impact = ((const Candidate *) lfirst(cell))->impact;

		if (impact == NULL || contains(told, impact))
			continue;
		told = lappend(told, impact);
		appendStringInfo(&text, "%s%s", text.len > 0 ? "; " : "", impact);
	}
	return text.data;
}

static void
put_finding(ReturnSetInfo *result, Candidate *candidate, bool alone)
{
	List	   *effects = alone ? NIL : effects_of(candidate);
	Datum		values[10] = {0};
	bool		nulls[10] = {0};

	values[0] = CStringGetTextDatum(severity_names[alone ? candidate->severity : candidate->worst]);
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
	values[7] = evidence_of(candidate, effects);
	values[8] = array_of(findings_of(candidate->causes));
	values[9] = array_of(findings_of(alone ? candidate->effects : effects));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ft.diagnose(symptoms boolean)
 */
Datum
ft_diagnose(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		symptoms = PG_GETARG_BOOL(0);
	FtInquiry	inquiry;
	List	   *candidates;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);

	ft_inquiry_begin(&inquiry);
	candidates = gather();
	decide(candidates);

	list_sort(candidates, compare_candidates);
	foreach(cell, candidates)
	{
		Candidate  *candidate = (Candidate *) lfirst(cell);

		if (candidate->counts && (symptoms || candidate->causes == NIL))
			put_finding(result, candidate, symptoms);
	}
	ft_inquiry_end(&inquiry);
	return (Datum) 0;
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
