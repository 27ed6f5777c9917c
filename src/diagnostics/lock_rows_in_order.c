/*-------------------------------------------------------------------------
 *
 * lock_rows_in_order.c
 *	  Lock several rows of a table in one order.
 *
 * Does what SELECT ... WHERE key = ANY (keys) ORDER BY key FOR UPDATE does,
 * with the caller's privileges and policies.  The order has to be one for all
 * sessions: where the key column is not unique by itself, the primary key
 * decides between rows of one key, and a table without one is refused.
 *
 * Locking: what it is for, and ROW SHARE on the table, which the statement
 * takes as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "diagnostics/lock_patience.h"
#include "errors.h"

PG_FUNCTION_INFO_V1(ft_lock_rows_in_order);

/* Counts rows, each of which was locked. */
typedef struct RowCounter
{
	DestReceiver pub;
	FtLockPatience *patience;
	int64		count;
} RowCounter;

static void
require(bool present, const char *name)
{
	if (!present)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errdetail("Nothing was locked."),
				 errhint("Pass the table, its column, and the values of the rows that are to be locked.")));
}

static const char *
strength_argument(FunctionCallInfo fcinfo, int i)
{
	static const char *const names[] = {"UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"};
	char	   *name;

	require(!PG_ARGISNULL(i), "strength");
	name = text_to_cstring(PG_GETARG_TEXT_PP(i));
	for (int n = 0; n < lengthof(names); n++)
	{
		if (pg_strcasecmp(name, names[n]) == 0)
			return names[n];
	}
	ereport(ERROR,
			(errcode(FT_ERRCODE_BAD_ARGUMENT),
			 errmsg("unknown strength of a row lock \"%s\"", name),
			 errhint("Use UPDATE, NO KEY UPDATE, SHARE or KEY SHARE.")));
}

/* Does a valid unique index stand on this column alone? */
static bool
is_unique_on(HeapTuple index, AttrNumber column)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(index);

	return form->indisunique && form->indisvalid && form->indimmediate &&
		form->indnkeyatts == 1 && form->indkey.values[0] == column &&
		heap_attisnull(index, Anum_pg_index_indpred, NULL);
}

/*
 * The columns that put rows of this key into one order: nothing if the key
 * does, else those of the primary key, each behind a comma.
 */
static char *
tie_breakers(Relation relation, AttrNumber column)
{
	StringInfoData columns;
	bool		unique = false;
	bool		primary = false;
	ListCell   *cell;

	initStringInfo(&columns);
	foreach(cell, RelationGetIndexList(relation))
	{
		HeapTuple	index = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index form;

		if (!HeapTupleIsValid(index))
			continue;
		form = (Form_pg_index) GETSTRUCT(index);
		unique = unique || is_unique_on(index, column);
		if (form->indisprimary && form->indisvalid)
		{
			primary = true;
			for (int i = 0; i < form->indnkeyatts; i++)
				appendStringInfo(&columns, ", k.%s",
								 quote_identifier(get_attname(RelationGetRelid(relation),
															  form->indkey.values[i], false)));
		}
		ReleaseSysCache(index);
	}
	if (unique)
		resetStringInfo(&columns);
	else if (!primary)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("rows of \"%s\" have no order by column \"%s\"",
						RelationGetRelationName(relation),
						get_attname(RelationGetRelid(relation), column, false)),
				 errdetail("The column is not unique, and the table has no primary key to decide between rows of one key."),
				 errhint("Use a column with a unique index, or add a primary key.")));

	/* A key is unique in each table of an inheritance tree only. */
	if (relation->rd_rel->relhassubclass &&
		relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		appendStringInfoString(&columns, ", k.tableoid");
	return columns.data;
}

/*
 * How the parameter becomes an array of the column's type: as it is, by an
 * implicit cast, or, from text, by reading it.
 */
static char *
key_expression(Oid column_type, Oid key_type)
{
	Oid			array_type = get_array_type(column_type);
	char		category;
	bool		preferred;

	if (!OidIsValid(array_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("there is no array of type %s", format_type_be(column_type)),
				 errhint("Use another column.")));
	get_type_category_preferred(key_type, &category, &preferred);
	if (key_type != column_type && category != TYPCATEGORY_STRING &&
		!can_coerce_type(1, &key_type, &column_type, COERCION_IMPLICIT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("keys are of type %s, the column of type %s",
						format_type_be(key_type), format_type_be(column_type)),
				 errdetail("Nothing was locked."),
				 errhint("Cast the keys to %s[].", format_type_be(column_type))));
	return psprintf("$1::%s", format_type_extended(array_type, -1,
												   FORMAT_TYPE_TYPEMOD_GIVEN |
												   FORMAT_TYPE_FORCE_QUALIFY));
}

static char *
operator_namespace(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Oid			namespace;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	namespace = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace;
	ReleaseSysCache(tuple);
	return get_namespace_name(namespace);
}

/* The statement; names in it are quoted, and its operator qualified. */
static char *
make_statement(Relation relation, const char *column_name, Oid key_type,
			   const char *strength, bool no_wait)
{
	Oid			relid = RelationGetRelid(relation);
	AttrNumber	column = get_attnum(relid, column_name);
	const char *column_identifier = quote_identifier(column_name);
	Oid			column_type;
	TypeCacheEntry *type;

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of \"%s\" does not exist",
						column_name, RelationGetRelationName(relation)),
				 errdetail("Nothing was locked."),
				 errhint("Name the column that has the keys, as a rule that of the primary key.")));
	column_type = getBaseType(get_atttype(relid, column));
	type = lookup_type_cache(column_type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->lt_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of type %s have no order", format_type_be(column_type)),
				 errhint("Use another column.")));

	return psprintf("SELECT FROM %s AS k WHERE k.%s OPERATOR(%s.%s) ANY (%s) ORDER BY k.%s%s FOR %s%s",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
											   RelationGetRelationName(relation)),
					column_identifier,
					quote_identifier(operator_namespace(type->eq_opr)),
					get_opname(type->eq_opr),
					key_expression(column_type, key_type),
					column_identifier, tie_breakers(relation, column), strength,
					no_wait ? " NOWAIT" : "");
}

static bool
count_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowCounter *counter = (RowCounter *) self;

	counter->count++;
	ft_patience_left(counter->patience);
	return true;
}

static void
count_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
count_end(DestReceiver *self)
{
}

/*
 * Open the table, locked as the statement will lock it.  Whether the caller
 * may lock rows of it is for the statement to say.
 */
static Relation
open_table(Oid relid, bool no_wait)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid),
				 errdetail("It may have been dropped since it was named."),
				 errhint("Look up the table again, by its name.")));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relid)),
				 errhint(relkind == RELKIND_VIEW ? "Name the table that the view reads." :
						 "Only rows of tables can be locked.")));
	if (no_wait && !ConditionalLockRelationOid(relid, RowShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock the table")));
	return table_open(relid, RowShareLock);
}

/* Run the statement; counter tells how far it came if it fails. */
static void
lock_rows(Oid relid, const char *column_name, ArrayType *keys, const char *strength,
		  RowCounter *counter)
{
	SPIExecuteOptions options = {0};
	ParamListInfo params = makeParamList(1);
	Relation	relation = open_table(relid, counter->patience->no_wait);
	char	   *statement;
	int			result;

	statement = make_statement(relation, column_name, ARR_ELEMTYPE(keys), strength,
							   counter->patience->no_wait);
	table_close(relation, NoLock);

	params->params[0].value = PointerGetDatum(keys);
	params->params[0].isnull = false;
	params->params[0].pflags = 0;
	params->params[0].ptype = get_array_type(ARR_ELEMTYPE(keys));
	options.params = params;
	options.dest = &counter->pub;

	SPI_connect();
	result = SPI_execute_extended(statement, &options);
	if (result < 0)
		elog(ERROR, "could not lock rows: %s", SPI_result_code_string(result));
	SPI_finish();
}

Datum
ft_lock_rows_in_order(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	FtLockPatience patience;
	RowCounter	counter;
	const char *strength = strength_argument(fcinfo, 4);
	Oid			relid;
	char	   *column_name;
	ArrayType  *keys;
	char	   *what;

	require(!PG_ARGISNULL(0), "relation");
	require(!PG_ARGISNULL(1), "key_column");
	require(!PG_ARGISNULL(2), "keys");
	relid = PG_GETARG_OID(0);
	column_name = NameStr(*PG_GETARG_NAME(1));
	keys = PG_GETARG_ARRAYTYPE_P(2);
	if (array_contains_nulls(keys))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("keys must not contain nulls"),
				 errdetail("Nothing was locked."),
				 errhint("Leave the nulls out: no row has such a key.")));

	memset(&counter, 0, sizeof(counter));
	counter.pub.receiveSlot = count_row;
	counter.pub.rStartup = count_startup;
	counter.pub.rShutdown = count_end;
	counter.pub.rDestroy = count_end;
	counter.pub.mydest = DestNone;
	counter.patience = &patience;
	what = psprintf("a row of %s", get_rel_name(relid) ? get_rel_name(relid) : "a dropped table");

	ft_patience_begin(&patience, PG_ARGISNULL(3) ? NULL : PG_GETARG_INTERVAL_P(3));
	ft_patience_left(&patience);
	PG_TRY();
	{
		lock_rows(relid, column_name, keys, strength, &counter);
	}
	PG_CATCH();
	{
		ft_patience_failed(&patience, context, what, counter.count);
	}
	PG_END_TRY();
	ft_patience_end(&patience);
	PG_RETURN_INT64(counter.count);
}
