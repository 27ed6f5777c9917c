/*-------------------------------------------------------------------------
 *
 * sqlstate.c
 *	  What an SQLSTATE means: its name, and whether it may go away by itself.
 *
 * Errors are judged by their SQLSTATE alone.  Message texts are translated,
 * and are never looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "condition_names.h"
#include "errors.h"
#include "sqlstate.h"

PG_FUNCTION_INFO_V1(ft_failure_rules);
PG_FUNCTION_INFO_V1(ft_is_retryable);
PG_FUNCTION_INFO_V1(ft_condition_name);

typedef struct FailureRule
{
	const char *prefix;			/* of the SQLSTATE */
	const char *fault;			/* node, network, data or resource */
	bool		transient;
	const char *meaning;
} FailureRule;

/* The longest prefix that matches decides. */
static const FailureRule failure_rules[] = {
	{"08", "network", true, "connection exception"},
	{"25006", "node", true, "read-only transaction: the node is a standby for now"},
	{"40", "data", true, "transaction rollback: serialization failure, deadlock"},
	{"40002", "data", false, "transaction rollback by an integrity constraint: comes again"},
	{"53", "resource", true, "insufficient resources: disk, memory, connections"},
	{"55P03", "data", true, "lock not available"},
	{"57P01", "node", true, "administrator shutdown"},
	{"57P02", "node", true, "crash shutdown"},
	{"57P03", "node", true, "cannot connect now: the node is starting or stopping"},
	{"58030", "node", true, "input/output error"},
	{"", "data", false, "everything else comes again however often it is tried"},
};

bool
ft_sqlstate_is_transient(const char *sqlstate)
{
	const FailureRule *best = NULL;

	for (int i = 0; i < lengthof(failure_rules); i++)
	{
		const FailureRule *rule = &failure_rules[i];

		if (strncmp(sqlstate, rule->prefix, strlen(rule->prefix)) == 0 &&
			(best == NULL || strlen(rule->prefix) > strlen(best->prefix)))
			best = rule;
	}
	/* the last rule has no prefix: it matches whatever there is */
	Assert(best != NULL);
	return best->transient;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const FtConditionName *) a)->sqlstate,
				  ((const FtConditionName *) b)->sqlstate);
}

const char *
ft_sqlstate_name(const char *sqlstate)
{
	FtConditionName key = {{0}, NULL};
	const FtConditionName *found;

	strlcpy(key.sqlstate, sqlstate, sizeof(key.sqlstate));
	found = bsearch(&key, condition_names, lengthof(condition_names),
					sizeof(FtConditionName), compare_names);
	return found == NULL ? NULL : found->name;
}

char *
ft_sqlstate_argument(struct varlena *argument)
{
	char	   *sqlstate;

	if (argument == NULL)
		return NULL;
	sqlstate = text_to_cstring(argument);
	if (strlen(sqlstate) != 5 ||
		strspn(sqlstate, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("invalid SQLSTATE \"%s\"", sqlstate),
				 errdetail("A SQLSTATE has five characters, digits and capital letters."),
				 errhint("Pass the code of the error as the client library reports it, or null.")));
	return sqlstate;
}

/*
 * ft.failure_rules() returns table (sqlstate_prefix text, fault text,
 * failure_type text, meaning text)
 */
Datum
ft_failure_rules(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(failure_rules); i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		values[0] = CStringGetTextDatum(failure_rules[i].prefix);
		values[1] = CStringGetTextDatum(failure_rules[i].fault);
		values[2] = CStringGetTextDatum(failure_rules[i].transient ?
										"TRANSIENT" : "PERMANENT or PARTIAL");
		values[3] = CStringGetTextDatum(failure_rules[i].meaning);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ft.is_retryable(sqlstate text) returns boolean */
Datum
ft_is_retryable(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ft_sqlstate_is_transient(ft_sqlstate_argument(PG_GETARG_TEXT_PP(0))));
}

/* ft.condition_name(sqlstate text) returns text */
Datum
ft_condition_name(PG_FUNCTION_ARGS)
{
	const char *name = ft_sqlstate_name(ft_sqlstate_argument(PG_GETARG_TEXT_PP(0)));

	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}
