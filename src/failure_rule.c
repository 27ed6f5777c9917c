/*-------------------------------------------------------------------------
 *
 * failure_rule.c
 *	  Whether an error may go away by itself, and what else follows from its
 *	  SQLSTATE: rules that users change.
 *
 * Errors are judged by their SQLSTATE alone.  Message texts are translated,
 * and are never looked at.  The rules that are shipped stand here; what users
 * change stands in ft.changed_failure_rules, which is dumped with the
 * database.  The longest prefix that matches decides, and of two that are the
 * same the one that was changed.
 *
 * The table is read directly, not by SPI, because diagnostics ask for it in
 * any state of the transaction that runs queries.  As long as nothing was
 * changed it has no page.
 *
 * Locking: the table is locked conditionally.  Where somebody holds it locked
 * against readers, the shipped rules hold.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "engine.h"
#include "errors.h"
#include "failure_rule.h"
#include "fault_tolerance.h"
#include "sqlstate.h"

PG_FUNCTION_INFO_V1(ft_failure_rules);
PG_FUNCTION_INFO_V1(ft_is_retryable);
PG_FUNCTION_INFO_V1(ft_set_failure_rule);
PG_FUNCTION_INFO_V1(ft_reset_failure_rule);

#define COLUMNS 5

static const FtFailureRule shipped[] = {
	{"08", "network", FT_RULE_TRANSIENT, "connection exception", false},
	{"25006", "node", FT_RULE_TRANSIENT, "read-only transaction: the node is a standby for now", false},
	{"40", "data", FT_RULE_TRANSIENT, "transaction rollback: serialization failure, deadlock", false},
	{"40002", "data", FT_RULE_BY_WORK, "transaction rollback by an integrity constraint: comes again", false},
	{"53", "resource", FT_RULE_TRANSIENT, "insufficient resources: disk, memory, connections", false},
	{"55P03", "data", FT_RULE_TRANSIENT, "lock not available", false},
	{"57P01", "node", FT_RULE_TRANSIENT, "administrator shutdown", false},
	{"57P02", "node", FT_RULE_TRANSIENT, "crash shutdown", false},
	{"57P03", "node", FT_RULE_TRANSIENT, "cannot connect now: the node is starting or stopping", false},
	{"58030", "node", FT_RULE_TRANSIENT, "input/output error", false},
	{"", "data", FT_RULE_BY_WORK, "everything else comes again however often it is tried", false},
};

static const char *const type_names[] = {
	[FT_RULE_TRANSIENT] = "TRANSIENT",
	[FT_RULE_PERMANENT] = "PERMANENT",
	[FT_RULE_PARTIAL] = "PARTIAL",
	[FT_RULE_BY_WORK] = "PERMANENT or PARTIAL",
};

static const char *const faults[] = {"node", "network", "data", "resource"};

static int
find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* The rule of just this prefix, or NULL. */
static FtFailureRule *
find_rule(const FtFailureRules *rules, const char *prefix)
{
	for (int i = 0; i < rules->n; i++)
		if (strcmp(rules->all[i].prefix, prefix) == 0)
			return &rules->all[i];
	return NULL;
}

static char *
column(HeapTuple tuple, int attribute, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attribute, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* Apply one row of ft.changed_failure_rules. */
static void
apply(FtFailureRules *rules, HeapTuple tuple, TupleDesc desc)
{
	char	   *prefix = column(tuple, 1, desc);
	int			type = find_name(type_names, lengthof(type_names), column(tuple, 2, desc));
	FtFailureRule *rule = find_rule(rules, prefix);

	if (type < 0)
		return;					/* of a later version */
	if (rule == NULL)
	{
		rules->all = repalloc(rules->all, sizeof(FtFailureRule) * (rules->n + 1));
		rule = &rules->all[rules->n++];
		rule->prefix = prefix;
	}
	rule->type = (FtRuleType) type;
	rule->fault = column(tuple, 3, desc);
	rule->meaning = column(tuple, 4, desc);
	rule->changed = true;
}

FtFailureRules *
ft_failure_rules_read(void)
{
	FtFailureRules *rules = palloc(sizeof(FtFailureRules));
	Oid			namespace = get_namespace_oid(FT_SCHEMA_NAME, true);
	Oid			relid = InvalidOid;
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	tuple;

	rules->n = lengthof(shipped);
	rules->all = palloc(sizeof(shipped));
	memcpy(rules->all, shipped, sizeof(shipped));

	if (OidIsValid(namespace))
		relid = get_relname_relid("changed_failure_rules", namespace);
	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		return rules;
	relation = try_table_open(relid, NoLock);
	if (relation == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return rules;
	}

	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		apply(rules, tuple, RelationGetDescr(relation));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return rules;
}

const FtFailureRule *
ft_failure_rule(const FtFailureRules *rules, const char *sqlstate)
{
	const FtFailureRule *best = NULL;

	for (int i = 0; i < rules->n; i++)
	{
		const FtFailureRule *rule = &rules->all[i];
		size_t		length = strlen(rule->prefix);

		if (strncmp(sqlstate, rule->prefix, length) == 0 &&
			(best == NULL || length > strlen(best->prefix)))
			best = rule;
	}
	/* one shipped rule has no prefix: it matches whatever there is */
	Assert(best != NULL);
	return best;
}

bool
ft_sqlstate_is_transient(const char *sqlstate)
{
	return ft_failure_rule(ft_failure_rules_read(), sqlstate)->type == FT_RULE_TRANSIENT;
}

/*
 * ft.failure_rules() returns table (sqlstate_prefix text, fault text,
 * failure_type text, meaning text, changed boolean)
 */
Datum
ft_failure_rules(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtFailureRules *rules;

	InitMaterializedSRF(fcinfo, 0);
	rules = ft_failure_rules_read();
	for (int i = 0; i < rules->n; i++)
	{
		const FtFailureRule *rule = &rules->all[i];
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {false};

		values[0] = CStringGetTextDatum(rule->prefix);
		values[1] = CStringGetTextDatum(rule->fault);
		values[2] = CStringGetTextDatum(type_names[rule->type]);
		nulls[3] = rule->meaning == NULL;
		if (rule->meaning != NULL)
			values[3] = CStringGetTextDatum(rule->meaning);
		values[4] = BoolGetDatum(rule->changed);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* ft.is_retryable(sqlstate text) returns boolean; the rules are read once for each use */
Datum
ft_is_retryable(PG_FUNCTION_ARGS)
{
	FtFailureRules *rules = fcinfo->flinfo->fn_extra;
	char	   *sqlstate = ft_sqlstate_argument(PG_GETARG_TEXT_PP(0));

	if (rules == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		rules = ft_failure_rules_read();
		fcinfo->flinfo->fn_extra = rules;
		MemoryContextSwitchTo(caller);
	}
	PG_RETURN_BOOL(ft_failure_rule(rules, sqlstate)->type == FT_RULE_TRANSIENT);
}

FT_STATEMENT(set_rule,
			 "INSERT INTO ft.changed_failure_rules (sqlstate_prefix, failure_type, fault, meaning)"
			 " VALUES ($1, $2, $3, $4)"
			 " ON CONFLICT (sqlstate_prefix) DO UPDATE"
			 "    SET failure_type = excluded.failure_type, fault = excluded.fault,"
			 "        meaning = excluded.meaning,"
			 "        changed_by = excluded.changed_by, changed_at = excluded.changed_at",
			 TEXTOID, TEXTOID, TEXTOID, TEXTOID);
FT_STATEMENT(reset_rule,
			 "DELETE FROM ft.changed_failure_rules WHERE sqlstate_prefix = $1",
			 TEXTOID);

static char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must not be null", name),
				 errdetail("The call was given a null where a value is needed."),
				 errhint("Pass a value for %s.", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static char *
prefix_argument(FunctionCallInfo fcinfo)
{
	char	   *prefix = text_argument(fcinfo, 0, "sqlstate_prefix");

	if (strlen(prefix) > 5 ||
		strspn(prefix, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(prefix))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("invalid beginning of an SQLSTATE \"%s\"", prefix),
				 errdetail("A SQLSTATE has five characters, digits and capital letters; a rule names the first of them, or all."),
				 errhint("Pass a class, such as '53', a code, such as '53100', or '' for everything that no other rule matches.")));
	return prefix;
}

/*
 * ft.set_failure_rule(sqlstate_prefix text, failure_type text, fault text,
 * meaning text) returns void
 */
Datum
ft_set_failure_rule(PG_FUNCTION_ARGS)
{
	char	   *prefix = prefix_argument(fcinfo);
	char	   *type = text_argument(fcinfo, 1, "failure_type");
	const FtFailureRule *before;
	const char *fault;
	FtArg		meaning;
	FtEngine	engine;

	if (find_name(type_names, lengthof(type_names), type) < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("unknown failure type \"%s\"", type),
				 errdetail("A failure is TRANSIENT (it is retried), PERMANENT (rolled back), PARTIAL (compensated), or \"PERMANENT or PARTIAL\" by what was done before it."),
				 errhint("Use one of these, in capital letters.")));

	/* what is not said stays as it was, or as it is for the like */
	before = ft_failure_rule(ft_failure_rules_read(), prefix);
	fault = PG_ARGISNULL(2) ? before->fault : text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (find_name(faults, lengthof(faults), fault) < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("unknown fault \"%s\"", fault),
				 errdetail("A fault is one of a node, the network, the data, or a resource that is used up."),
				 errhint("Use node, network, data or resource.")));
	if (!PG_ARGISNULL(3))
		meaning = FT_VALUE(PG_GETARG_DATUM(3));
	else
		meaning = strcmp(before->prefix, prefix) == 0 ? FT_TEXT(before->meaning) : FT_NULL;

	ft_engine_enter(&engine);
	ft_run(&set_rule, FT_ARGS(FT_TEXT(prefix), FT_TEXT(type), FT_TEXT(fault), meaning));
	ft_engine_leave(&engine);
	PG_RETURN_VOID();
}

/* ft.reset_failure_rule(sqlstate_prefix text) returns void */
Datum
ft_reset_failure_rule(PG_FUNCTION_ARGS)
{
	char	   *prefix = prefix_argument(fcinfo);
	FtEngine	engine;
	uint64		n;

	ft_engine_enter(&engine);
	n = ft_run(&reset_rule, FT_ARGS(FT_TEXT(prefix)));
	ft_engine_leave(&engine);
	if (n == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
				 errmsg("no failure rule for \"%s\" was changed", prefix),
				 errdetail("Only rules that ft.set_failure_rule() has made or changed can be taken back."),
				 errhint("See them: SELECT * FROM ft.failure_rules() WHERE changed;")));
	PG_RETURN_VOID();
}
