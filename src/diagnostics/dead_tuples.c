/*-------------------------------------------------------------------------
 *
 * dead_tuples.c
 *	  Tables with dead tuples, and how near each is to being vacuumed.
 *
 * The figures are those behind pg_stat_all_tables, but the shared statistics
 * are walked once instead of being looked up for each table of pg_class, so
 * the cost of tables with nothing to report is small.  They are read as they
 * are now, whatever stats_fetch_consistency says, and this session's own
 * changes are in them only once they were reported, as in the views.
 *
 * Locking: as pgstat_build_snapshot() does it, the partitions of the
 * statistics are taken shared one after the other, and under that the lock of
 * an entry for as long as it takes to copy a few numbers.  After that only
 * catalogs are read.  No lock on a reported table is taken, so none is ever
 * waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/autovacuum.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "errors.h"
#include "relation_size.h"

PG_FUNCTION_INFO_V1(ft_dead_tuples);

#define WARNING_DEAD_TUPLES 10000
#define COLUMNS 19

/* What is copied out of the shared statistics of a table. */
typedef struct TableStatistics
{
	Oid			relid;
	bool		shared;
	int64		live;
	int64		dead;
	TimestampTz last_vacuum;
	TimestampTz last_autovacuum;
	int64		vacuum_count;
	int64		autovacuum_count;
} TableStatistics;

typedef struct TableList
{
	TableStatistics *tables;
	Size		count;
	Size		size;
} TableList;

/* What autovacuum thinks of a table. */
typedef struct AutovacuumView
{
	bool		enabled;
	double		threshold;
} AutovacuumView;

static void
add_table(TableList *list, const PgStat_HashKey *key,
		  const PgStat_StatTabEntry *entry)
{
	TableStatistics *table;

	if (list->count == list->size)
	{
		list->size *= 2;
		list->tables = repalloc_huge(list->tables,
									 list->size * sizeof(TableStatistics));
	}
	table = &list->tables[list->count++];
	table->relid = ft_stat_key_object(*key);
	table->shared = !OidIsValid(key->dboid);
	table->live = ft_stat_live_tuples(entry);
	table->dead = ft_stat_dead_tuples(entry);
	table->last_vacuum = ft_stat_last_vacuum(entry);
	table->last_autovacuum = ft_stat_last_autovacuum(entry);
	table->vacuum_count = entry->vacuum_count;
	table->autovacuum_count = ft_stat_autovacuum_count(entry);
}

/* Most dead tuples first. */
static int
compare_tables(const void *a, const void *b)
{
	const TableStatistics *left = (const TableStatistics *) a;
	const TableStatistics *right = (const TableStatistics *) b;

	if (left->dead != right->dead)
		return left->dead > right->dead ? -1 : 1;
	return left->relid < right->relid ? -1 : left->relid > right->relid;
}

/*
 * Collect this database's relations, and the shared ones, with at least
 * min_dead dead tuples.
 */
static void
collect_tables(int64 min_dead, TableList *list)
{
	dshash_seq_status status;
	PgStatShared_HashEntry *entry;

	list->count = 0;
	list->size = 256;
	list->tables = palloc(list->size * sizeof(TableStatistics));

	dshash_seq_init(&status, pgStatLocal.shared_hash, false);
	while ((entry = dshash_seq_next(&status)) != NULL)
	{
		PgStatShared_Relation *shared;

		if (entry->key.kind != PGSTAT_KIND_RELATION || entry->dropped ||
			(entry->key.dboid != MyDatabaseId && OidIsValid(entry->key.dboid)))
			continue;

		shared = (PgStatShared_Relation *) dsa_get_address(pgStatLocal.dsa,
														   entry->body);

		/* Almost all end here; a torn or stale look costs nothing. */
		if (ft_stat_dead_tuples(&shared->stats) < min_dead)
			continue;

		LWLockAcquire(&shared->header.lock, LW_SHARED);
		if (ft_stat_dead_tuples(&shared->stats) >= min_dead)
			add_table(list, &entry->key, &shared->stats);
		LWLockRelease(&shared->header.lock);
	}
	dshash_seq_term(&status);

	qsort(list->tables, list->count, sizeof(TableStatistics), compare_tables);
}

/*
 * The table that a TOAST table belongs to, which its name tells.  NULL if
 * that table is gone.
 */
static HeapTuple
toast_owner(Form_pg_class toast)
{
	Oid			relid;
	HeapTuple	tuple;

	if (sscanf(NameStr(toast->relname), "pg_toast_%u", &relid) != 1)
		return NULL;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (HeapTupleIsValid(tuple) &&
		((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid != toast->oid)
	{
		ReleaseSysCache(tuple);
		return NULL;
	}
	return tuple;
}

/*
 * The threshold of dead tuples past which autovacuum vacuums a table, by the
 * formula of relation_needs_vacanalyze().  A TOAST table without storage
 * parameters of its own takes those of its table.
 */
static void
autovacuum_view(HeapTuple tuple, HeapTuple owner, TupleDesc pg_class_desc,
				AutovacuumView *view)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	bytea	   *options = extractRelOptions(tuple, pg_class_desc, NULL);
	AutoVacOpts *vacuum = NULL;
	double		scale;
	int			base;

	if (options == NULL && HeapTupleIsValid(owner))
		options = extractRelOptions(owner, pg_class_desc, NULL);
	if (options != NULL)
		vacuum = &((StdRdOptions *) options)->autovacuum;

	scale = vacuum != NULL && vacuum->vacuum_scale_factor >= 0 ?
		vacuum->vacuum_scale_factor : autovacuum_vac_scale;
	base = vacuum != NULL && vacuum->vacuum_threshold >= 0 ?
		vacuum->vacuum_threshold : autovacuum_vac_thresh;

	view->enabled = AutoVacuumingActive() &&
		(vacuum == NULL || vacuum->enabled) &&
		form->relpersistence != RELPERSISTENCE_TEMP;
	view->threshold = base + scale * Max(form->reltuples, 0);
	view->threshold = ft_capped_threshold(view->threshold, vacuum);

	if (options != NULL)
		pfree(options);
}

/* Add the row of one table, unless it was dropped meanwhile. */
static void
put_table(ReturnSetInfo *result, const TableStatistics *table,
		  TupleDesc pg_class_desc, Datum datname)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table->relid));
	HeapTuple	owner = NULL;
	Form_pg_class form;
	AutovacuumView view;
	NameData	schema;
	char	   *schema_name;
	const char *size_note;
	int64		size;
	double		all = (double) table->live + (double) table->dead;
	int			i = 0;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	schema_name = get_namespace_name(form->relnamespace);
	if (schema_name == NULL ||
		(form->relkind != RELKIND_RELATION &&
		 form->relkind != RELKIND_MATVIEW &&
		 form->relkind != RELKIND_TOASTVALUE))
	{
		ReleaseSysCache(tuple);
		return;
	}
	namestrcpy(&schema, schema_name);
	if (form->relkind == RELKIND_TOASTVALUE)
		owner = toast_owner(form);
	autovacuum_view(tuple, owner, pg_class_desc, &view);
	size_note = ft_relation_total_size(table->relid, &size);

	values[i++] = NameGetDatum(&schema);
	values[i++] = NameGetDatum(&form->relname);
	values[i++] = Int64GetDatum(table->live);
	values[i++] = Int64GetDatum(table->dead);
	values[i++] = Float8GetDatum(all > 0 ?
								 rint(10000.0 * table->dead / all) / 100 : 0);
	nulls[i] = size < 0;
	values[i++] = Int64GetDatum(size);
	nulls[i] = table->last_vacuum == 0;
	values[i++] = TimestampTzGetDatum(table->last_vacuum);
	nulls[i] = table->last_autovacuum == 0;
	values[i++] = TimestampTzGetDatum(table->last_autovacuum);
	values[i++] = Int64GetDatum((int64) view.threshold);
	nulls[i] = view.threshold <= 0;
	values[i++] = Float8GetDatum(view.threshold > 0 ?
								 rint(10000.0 * table->dead / view.threshold) / 100 : 0);
	values[i++] = CStringGetTextDatum(table->dead >= WARNING_DEAD_TUPLES ?
									  "WARNING" : "INFO");
	nulls[i] = size_note == NULL;
	values[i++] = size_note == NULL ? (Datum) 0 : CStringGetTextDatum(size_note);
	nulls[i] = table->shared;
	values[i++] = datname;
	values[i++] = ObjectIdGetDatum(table->relid);
	values[i++] = CharGetDatum(form->relkind);
	nulls[i] = !HeapTupleIsValid(owner);
	values[i++] = HeapTupleIsValid(owner) ?
		ObjectIdGetDatum(((Form_pg_class) GETSTRUCT(owner))->oid) : (Datum) 0;
	values[i++] = BoolGetDatum(view.enabled);
	values[i++] = Int64GetDatum(table->vacuum_count);
	values[i++] = Int64GetDatum(table->autovacuum_count);
	Assert(i == result->setDesc->natts);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);

	if (HeapTupleIsValid(owner))
		ReleaseSysCache(owner);
	ReleaseSysCache(tuple);
}

Datum
ft_dead_tuples(PG_FUNCTION_ARGS)
{
	int64		min_dead = PG_GETARG_INT64(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TableList	list;
	Relation	pg_class;
	Datum		datname;
	MemoryContext row_context;
	MemoryContext old_context;

	if (min_dead < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("min_dead must not be negative"),
				 errhint("Use 0 to see every table that statistics are kept of.")));

	InitMaterializedSRF(fcinfo, 0);

	if (RecoveryInProgress())
		ereport(NOTICE,
				(errmsg("a standby does not count dead tuples"),
				 errhint("Ask the primary.")));

	collect_tables(min_dead, &list);

	/* Names and sizes are to be those of now, though no lock brings them. */
	AcceptInvalidationMessages();

	datname = DirectFunctionCall1(namein,
								  CStringGetDatum(get_database_name(MyDatabaseId)));
	row_context = AllocSetContextCreate(CurrentMemoryContext,
										"dead tuples row", ALLOCSET_DEFAULT_SIZES);
	pg_class = table_open(RelationRelationId, AccessShareLock);
	for (Size i = 0; i < list.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		old_context = MemoryContextSwitchTo(row_context);
		put_table(result, &list.tables[i], RelationGetDescr(pg_class), datname);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	table_close(pg_class, AccessShareLock);

	return (Datum) 0;
}
