/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *	  What is wrong, why, and what mends it.
 *
 * Gather: each rule is asked for candidates, by itself and within a time of its
 * own, so that one that cannot answer does not cost the others.  Decide: candidates that explain one
 * another are linked; one that is well counts only if it explains one that is
 * not.  Act: those that nothing explains are roots, and told; what they explain
 * is told as their evidence (diagnosis_report.c).
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
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "diagnosis.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_diagnose);

/* Of one rule: more of a kind than that is told by their number elsewhere. */
#define MAX_CANDIDATES 2000

typedef struct Gathering
{
	const FtInquiry *inquiry;
	const FtDiagnosisRule *rule;	/* that is being asked */
	List	   *candidates;
} Gathering;

/* --- gather --------------------------------------------------------------- */

static FtDiagnosisRank
severity_of(const char *name)
{
	for (FtDiagnosisRank rank = FT_RANK_CRITICAL; name != NULL && rank < FT_RANK_OK; rank++)
	{
		if (strcmp(name, ft_diagnosis_severity(rank)) == 0)
			return rank;
	}
	return FT_RANK_OK;
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

static char *
text_or_empty(HeapTuple tuple, TupleDesc desc, int column)
{
	char	   *answer = ft_answer_text(tuple, desc, column);

	return answer != NULL ? answer : pstrdup("");
}

/*
 * Take a row.  A severity that is not known makes no finding by itself, but
 * may explain one.
 */
static void
add_candidate(void *argument, HeapTuple tuple, TupleDesc desc)
{
	Gathering  *gathering = (Gathering *) argument;
	FtCandidate *candidate = palloc0(sizeof(FtCandidate));

	candidate->rule = gathering->rule;
	candidate->key = text_or_empty(tuple, desc, 1);
	candidate->explained_by = text_array(tuple, desc, 2);
	candidate->severity = severity_of(ft_answer_text(tuple, desc, 3));
	if (candidate->severity == FT_RANK_UNKNOWN)
		candidate->severity = FT_RANK_OK;
	candidate->symptom = text_or_empty(tuple, desc, 4);
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
	FtCandidate *candidate = palloc0(sizeof(FtCandidate));

	candidate->key = pstrdup("");
	candidate->severity = FT_RANK_UNKNOWN;
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
	int			timeout = ft_inquiry_time(gathering->inquiry);
	ErrorData  *error = NULL;

	gathering->rule = rule;
	if (timeout >= 0)
		error = ft_inquiry_ask_within(timeout, rule->query, MAX_CANDIDATES,
									  add_candidate, gathering);
	if (timeout >= 0 && error == NULL)
		return;
	gathering->candidates = list_truncate(gathering->candidates, already);
	add_cannot_tell(gathering, list_make1(pstrdup(rule->finding)),
					psprintf("cannot tell: %s", rule->finding),
					error != NULL ? error->message : FT_INQUIRY_TIME_OVER);
}

static List *
gather(const FtInquiry *inquiry)
{
	bool		in_recovery = RecoveryInProgress();
	Gathering	gathering = {.inquiry = inquiry};
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
link_causes(List *candidates, FtCandidate *effect)
{
	ListCell   *cell;

	foreach(cell, candidates)
	{
		FtCandidate *cause = (FtCandidate *) lfirst(cell);

		if (cause->rule != NULL && cause != effect &&
			ft_diagnosis_contains(effect->explained_by, cause->key) &&
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
blame(FtCandidate *candidate, FtDiagnosisRank severity)
{
	ListCell   *cell;

	if (candidate->counts && candidate->worst <= severity)
		return;
	candidate->worst = candidate->counts ? Min(candidate->worst, severity) : severity;
	candidate->counts = true;
	foreach(cell, candidate->causes)
		blame((FtCandidate *) lfirst(cell), severity);
}

static void
decide(List *candidates)
{
	ListCell   *cell;

	foreach(cell, candidates)
	{
		FtCandidate *candidate = (FtCandidate *) lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		if (candidate->explained_by != NIL)
			link_causes(candidates, candidate);
	}
	foreach(cell, candidates)
	{
		FtCandidate *candidate = (FtCandidate *) lfirst(cell);

		if (candidate->severity != FT_RANK_OK)
			blame(candidate, candidate->severity);
	}
}

static int
compare_candidates(const ListCell *a, const ListCell *b)
{
	const FtCandidate *left = (const FtCandidate *) lfirst(a);
	const FtCandidate *right = (const FtCandidate *) lfirst(b);

	if (left->worst != right->worst)
		return (int) left->worst - (int) right->worst;
	if (list_length(left->effects) != list_length(right->effects))
		return list_length(right->effects) - list_length(left->effects);
	if (left->rule != right->rule)
		return left->rule < right->rule ? -1 : 1;
	return strcmp(left->key, right->key);
}

/* --- act ------------------------------------------------------------------ */

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
	candidates = gather(&inquiry);
	decide(candidates);

	list_sort(candidates, compare_candidates);
	foreach(cell, candidates)
	{
		FtCandidate *candidate = (FtCandidate *) lfirst(cell);

		if (candidate->counts && (symptoms || candidate->causes == NIL))
			ft_diagnosis_put(result, &inquiry, candidate, symptoms);
	}
	ft_inquiry_end(&inquiry);
	return (Datum) 0;
}
