/*-------------------------------------------------------------------------
 *
 * table_freeze_age.c
 *	  ft.table_freeze_age(): which tables keep a database from being frozen.
 *
 * Locking: ACCESS SHARE on pg_class; none on a table, so none is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "diagnostics/autovacuum.h"
#include "diagnostics/freeze_age.h"
#include "diagnostics/horizon.h"
#include "diagnostics/running_vacuum.h"
#include "errors.h"
#include "relation_size.h"

PG_FUNCTION_INFO_V1(ft_table_freeze_age);

#define COLUMNS 20

typedef struct TableAge
{
	Oid			relid;
	int64		xid_age;
	int64		multixact_age;
	int			freeze_max_age;
	int			multixact_freeze_max_age;
	double		xid_percent;	/* of what autovacuum waits for */
	double		multixact_percent;
	bool		autovacuum_enabled;
} TableAge;

typedef struct TableAges
{
	TableAge   *items;
	Size		count;
	Size		capacity;
} TableAges;

typedef struct Context
{
	FtFreezeLimits limits;
	FtHolders  *holders;
	FtRunningVacuums *vacuums;
} Context;

/* What autovacuum has to come for first, first. */
static int
compare_tables(const void *a, const void *b)
{
	const TableAge *left = (const TableAge *) a;
	const TableAge *right = (const TableAge *) b;
	double		left_way = Max(left->xid_percent, left->multixact_percent);
	double		right_way = Max(right->xid_percent, right->multixact_percent);

	if (left_way != right_way)
		return left_way > right_way ? -1 : 1;
	if (left->xid_age != right->xid_age)
		return left->xid_age > right->xid_age ? -1 : 1;
	return left->relid < right->relid ? -1 : left->relid > right->relid;
}

static void
add_table(TableAges *list, HeapTuple tuple, TupleDesc pg_class_desc,
		  const FtFreezeLimits *limits, int multixact_max_age)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	HeapTuple	owner = NULL;
	FtAutovacuum autovacuum;
	TableAge   *table;

	/* not even a look at storage parameters for most */
	if (form->relkind == RELKIND_TOASTVALUE)
		owner = ft_toast_owner(form);
	ft_autovacuum_of(tuple, owner, pg_class_desc, multixact_max_age, &autovacuum);
	if (HeapTupleIsValid(owner))
		ReleaseSysCache(owner);

	if (list->count == list->capacity)
	{
		list->capacity *= 2;
		list->items = repalloc_huge(list->items, list->capacity * sizeof(TableAge));
	}
	table = &list->items[list->count++];
	table->relid = form->oid;
	table->xid_age = ft_xid_age(limits->next_xid, form->relfrozenxid);
	table->multixact_age = ft_multixact_age(limits, form->relminmxid);
	table->freeze_max_age = autovacuum.freeze_max_age;
	table->multixact_freeze_max_age = autovacuum.multixact_freeze_max_age;
	table->xid_percent = ft_percent(table->xid_age, table->freeze_max_age);
	table->multixact_percent = ft_percent(table->multixact_age,
										  table->multixact_freeze_max_age);
	table->autovacuum_enabled = autovacuum.enabled;
}

static void
collect_tables(int64 min_age, const FtFreezeLimits *limits, TableAges *list)
{
	Relation	relation = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	int			multixact_max_age = ft_multixact_freeze_max_age();
	HeapTuple	tuple;

	list->count = 0;
	list->capacity = 256;
	list->items = palloc(list->capacity * sizeof(TableAge));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		if (TransactionIdIsNormal(form->relfrozenxid) &&
			(ft_xid_age(limits->next_xid, form->relfrozenxid) >= min_age ||
			 ft_multixact_age(limits, form->relminmxid) >= min_age))
			add_table(list, tuple, RelationGetDescr(relation), limits, multixact_max_age);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	qsort(list->items, list->count, sizeof(TableAge), compare_tables);
}

/*
 * Does a holder of the horizon keep even the oldest id of a table from being
 * frozen?
 */
static bool
horizon_keeps(const Context *context, Form_pg_class form)
{
	FtHorizonKind kind = form->relisshared ? FT_HORIZON_SHARED :
		IsCatalogRelationOid(form->oid) ? FT_HORIZON_CATALOG : FT_HORIZON_DATA;
	TransactionId horizon = ft_horizon(context->holders, kind, MyDatabaseId);

	return TransactionIdIsValid(horizon) && form->relpersistence != RELPERSISTENCE_TEMP &&
		TransactionIdPrecedesOrEquals(horizon, form->relfrozenxid);
}

static void
put_table(ReturnSetInfo *result, const TableAge *table, const Context *context)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table->relid));
	HeapTuple	owner = NULL;
	Form_pg_class form;
	FtSeverity	severity;
	NameData	schema;
	char	   *schema_name;
	const char *size_note;
	int64		size;
	int			pid;
	int			i = 0;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	schema_name = get_namespace_name(form->relnamespace);
	if (schema_name == NULL)
	{
		ReleaseSysCache(tuple);
		return;
	}
	namestrcpy(&schema, schema_name);
	if (form->relkind == RELKIND_TOASTVALUE)
		owner = ft_toast_owner(form);
	severity = ft_freeze_severity(&context->limits, table->xid_age, table->multixact_age,
								  table->freeze_max_age, table->multixact_freeze_max_age);
	size_note = ft_relation_total_size(table->relid, &size);
	pid = ft_vacuum_pid(context->vacuums, form->relisshared ? InvalidOid : MyDatabaseId,
						table->relid);

	values[i++] = NameGetDatum(&schema);
	values[i++] = NameGetDatum(&form->relname);
	values[i++] = CStringGetTextDatum(ft_severity_name(severity));
	values[i++] = Int64GetDatum(table->xid_age);
	values[i++] = Int64GetDatum(table->multixact_age);
	values[i++] = CStringGetTextDatum(table->multixact_percent > table->xid_percent ?
									  "relminmxid" : "relfrozenxid");
	values[i++] = Float8GetDatum(table->xid_percent);
	values[i++] = Float8GetDatum(table->multixact_percent);
	values[i++] = BoolGetDatum(horizon_keeps(context, form));
	nulls[i] = pid == 0;
	values[i++] = Int32GetDatum(pid);
	nulls[i] = size < 0;
	values[i++] = Int64GetDatum(size);
	nulls[i] = size_note == NULL;
	values[i++] = size_note == NULL ? (Datum) 0 : CStringGetTextDatum(size_note);
	values[i++] = Int32GetDatum(table->freeze_max_age);
	values[i++] = Int32GetDatum(table->multixact_freeze_max_age);
	values[i++] = BoolGetDatum(table->autovacuum_enabled);
	values[i++] = ObjectIdGetDatum(table->relid);
	values[i++] = CharGetDatum(form->relkind);
	values[i++] = CharGetDatum(form->relpersistence);
	nulls[i] = !HeapTupleIsValid(owner);
	values[i++] = HeapTupleIsValid(owner) ?
		ObjectIdGetDatum(((Form_pg_class) GETSTRUCT(owner))->oid) : (Datum) 0;
	values[i++] = BoolGetDatum(form->relisshared);
	Assert(i == COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);

	if (HeapTupleIsValid(owner))
		ReleaseSysCache(owner);
	ReleaseSysCache(tuple);
}

static void
check_argument(int64 value, const char *name, const char *hint)
{
	if (value < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must not be negative", name),
				 errhint("%s", hint)));
}

/*
 * ft.table_freeze_age(min_age bigint, max_rows integer)
 */
Datum
ft_table_freeze_age(PG_FUNCTION_ARGS)
{
	int64		min_age = PG_GETARG_INT64(0);
	int32		max_rows = PG_GETARG_INT32(1);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	Context		context;
	TableAges	list;

	check_argument(min_age, "min_age", "Use 0 to see tables of any age.");
	check_argument(max_rows, "max_rows", "Give the number of tables to see.");
	InitMaterializedSRF(fcinfo, 0);

	ft_freeze_limits(&context.limits);
	context.holders = ft_holders();
	context.vacuums = ft_running_vacuums();
	collect_tables(min_age, &context.limits, &list);

	/* Names and sizes are to be those of now, though no lock brings them. */
	AcceptInvalidationMessages();
	row_context = AllocSetContextCreate(CurrentMemoryContext,
										"freeze age row", ALLOCSET_DEFAULT_SIZES);
	for (Size i = 0; i < list.count && i < (Size) max_rows; i++)
	{
		MemoryContext old_context;

		CHECK_FOR_INTERRUPTS();
		old_context = MemoryContextSwitchTo(row_context);
		put_table(result, &list.items[i], &context);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	return (Datum) 0;
}
