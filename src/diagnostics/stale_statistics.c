/*-------------------------------------------------------------------------
 *
 * stale_statistics.c
 *	  Tables that changed much since they were analyzed, or never were.
 *
 * As dead_tuples.c does it, the shared statistics are walked once instead of
 * being looked up for each table.
 *
 * Locking: as in dead_tuples.c.  No lock on a reported table is taken.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/pgstat_internal.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"

PG_FUNCTION_INFO_V1(ft_changed_tables);

#define COLUMNS 8

typedef struct ChangedTable
{
	Oid			relid;
	int64		live;
	int64		changes;
	TimestampTz analyzed;
	TimestampTz autoanalyzed;
} ChangedTable;

typedef struct ChangedTables
{
	ChangedTable *tables;
	Size		count;
	Size		size;
} ChangedTables;

static void
add_table(ChangedTables *list, Oid relid, const PgStat_StatTabEntry *entry)
{
	ChangedTable *table;

	if (list->count == list->size)
	{
		list->size *= 2;
		list->tables = repalloc_huge(list->tables, list->size * sizeof(ChangedTable));
	}
	table = &list->tables[list->count++];
	table->relid = relid;
	table->live = ft_stat_live_tuples(entry);
	table->changes = ft_stat_changes(entry);
	table->analyzed = ft_stat_last_analyze(entry);
	table->autoanalyzed = ft_stat_last_autoanalyze(entry);
}

static void
collect_tables(int64 min_changes, ChangedTables *list)
{
	dshash_seq_status status;
	PgStatShared_HashEntry *entry;

	list->count = 0;
	list->size = 256;
	list->tables = palloc(list->size * sizeof(ChangedTable));

	dshash_seq_init(&status, pgStatLocal.shared_hash, false);
	while ((entry = dshash_seq_next(&status)) != NULL)
	{
		PgStatShared_Relation *shared;

		if (entry->key.kind != PGSTAT_KIND_RELATION || entry->dropped ||
			entry->key.dboid != MyDatabaseId)
			continue;

		shared = (PgStatShared_Relation *) dsa_get_address(pgStatLocal.dsa, entry->body);

		/* Almost all end here; a torn or stale look costs nothing. */
		if (ft_stat_changes(&shared->stats) < min_changes)
			continue;

		LWLockAcquire(&shared->header.lock, LW_SHARED);
		if (ft_stat_changes(&shared->stats) >= min_changes)
			add_table(list, ft_stat_key_object(entry->key), &shared->stats);
		LWLockRelease(&shared->header.lock);
	}
	dshash_seq_term(&status);
}

/*
 * TOAST tables and the statistics themselves are never analyzed, temporary
 * tables not by autovacuum.
 */
static void
put_table(ReturnSetInfo *result, const ChangedTable *table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table->relid));
	Form_pg_class form;
	char	   *schema_name;
	NameData	schema;
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	schema_name = get_namespace_name(form->relnamespace);
	if (schema_name != NULL && form->oid != StatisticRelationId &&
		form->relpersistence != RELPERSISTENCE_TEMP &&
		(form->relkind == RELKIND_RELATION || form->relkind == RELKIND_MATVIEW))
	{
		namestrcpy(&schema, schema_name);
		values[0] = ObjectIdGetDatum(table->relid);
		values[1] = NameGetDatum(&schema);
		values[2] = NameGetDatum(&form->relname);
		values[3] = Int64GetDatum(table->live);
		values[4] = Int64GetDatum(table->changes);
		nulls[5] = table->analyzed == 0;
		values[5] = TimestampTzGetDatum(table->analyzed);
		nulls[6] = table->autoanalyzed == 0;
		values[6] = TimestampTzGetDatum(table->autoanalyzed);
		values[7] = Float4GetDatum(form->reltuples);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ReleaseSysCache(tuple);
}

/*
 * ft.changed_tables(min_changes bigint)
 */
Datum
ft_changed_tables(PG_FUNCTION_ARGS)
{
	int64		min_changes = PG_GETARG_INT64(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ChangedTables list;

	if (min_changes < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("min_changes must not be negative"),
				 errhint("Use 0 to see every table that statistics are kept of.")));

	InitMaterializedSRF(fcinfo, 0);
	collect_tables(min_changes, &list);
	AcceptInvalidationMessages();
	for (Size i = 0; i < list.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_table(result, &list.tables[i]);
	}
	return (Datum) 0;
}
