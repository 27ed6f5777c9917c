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

#include "access/table.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pgstat_internal.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/autovacuum.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/horizon.h"
#include "diagnostics/horizon_watch.h"
#include "diagnostics/running_vacuum.h"
#include "errors.h"
#include "relation_size.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_dead_tuples);

#define COLUMNS 24

/* What is copied out of the shared statistics of a table. */
typedef struct TableStatistics
{
	Oid			dboid;			/* invalid for shared catalogs */
	Oid			relid;
	int64		live;
	int64		dead;
	int64		replaced;		/* or deleted, since statistics were reset */
	int64		inserts;		/* since the last vacuum */
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

/* What all rows are made from. */
typedef struct Context
{
	ReturnSetInfo *result;
	TupleDesc	pg_class_desc;
	const FtThreshold *count;
	const FtThreshold *percent;
	FtRunningVacuums *vacuums;
	TransactionId horizons[FT_HORIZONS];
	TimestampTz vacuums_since;	/* see horizon_watch.h */
	int			multixact_freeze_max_age;
} Context;

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
	table->dboid = key->dboid;
	table->relid = ft_stat_key_object(*key);
	table->live = ft_stat_live_tuples(entry);
	table->dead = ft_stat_dead_tuples(entry);
	table->replaced = entry->tuples_updated + entry->tuples_deleted;
	table->inserts = ft_stat_inserts_since_vacuum(entry);
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
	if (left->dboid != right->dboid)
		return left->dboid < right->dboid ? -1 : 1;
	return left->relid < right->relid ? -1 : left->relid > right->relid;
}

/*
 * Collect the relations of this database, or of all, and the shared ones, with
 * at least min_dead dead tuples.
 */
static void
collect_tables(int64 min_dead, bool all_databases, TableList *list)
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
			(!all_databases && entry->key.dboid != MyDatabaseId &&
			 OidIsValid(entry->key.dboid)))
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
 * A warning from so many dead tuples; of a table with that many, their share
 * counts as well.
 */
static const char *
severity_of(const Context *context, const TableStatistics *table, double percent)
{
	FtSeverity	severity = ft_severity_of(context->count, table->dead);

	if (severity != FT_SEVERITY_OK)
		severity = Max(severity, ft_severity_of(context->percent, percent));
	return ft_severity_name(severity);
}

/*
 * Is all that was deleted or replaced in a table too new to be removed?  So
 * it is if no transaction in it is older than the horizon, or if the table was
 * vacuumed since the horizon is where it is.
 *
 * What a rollback left can always be removed.  Of that no more is known than
 * that there is some, where clearly more is dead than was ever deleted or
 * replaced: ANALYZE estimates what is dead.
 */
static bool
horizon_keeps(const Context *context, const TableStatistics *table, Form_pg_class form,
			  const FtAutovacuum *autovacuum)
{
	FtHorizonKind kind = form->relisshared ? FT_HORIZON_SHARED :
		IsCatalogRelationOid(form->oid) || autovacuum->catalog_to_users ?
		FT_HORIZON_CATALOG : FT_HORIZON_DATA;
	TransactionId horizon = context->horizons[kind];

	if (table->dead == 0 || !TransactionIdIsValid(horizon) ||
		table->dead - table->dead / 10 > table->replaced ||
		form->relpersistence == RELPERSISTENCE_TEMP)
		return false;
	if (TransactionIdIsNormal(form->relfrozenxid) &&
		TransactionIdFollowsOrEquals(form->relfrozenxid, horizon))
		return true;
	return kind == FT_HORIZON_DATA && context->vacuums_since != 0 &&
		Max(table->last_vacuum, table->last_autovacuum) > context->vacuums_since;
}

typedef struct Row
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
	int			next;
} Row;

static void
put(Row *row, Datum value)
{
	row->values[row->next++] = value;
}

static void
put_unless(Row *row, bool isnull, Datum value)
{
	row->nulls[row->next] = isnull;
	put(row, value);
}

static void
put_text(Row *row, const char *value)
{
	put_unless(row, value == NULL, value == NULL ? (Datum) 0 : CStringGetTextDatum(value));
}

/*
 * Add a row.  No tuple is given for a table of another database, of which no
 * more is known here than its statistics.
 */
static void
put_row(const Context *context, const TableStatistics *table, HeapTuple tuple,
		const NameData *schema, HeapTuple owner)
{
	Form_pg_class form = HeapTupleIsValid(tuple) ? (Form_pg_class) GETSTRUCT(tuple) : NULL;
	const FtDatabaseName *database = ft_database_name(table->dboid);
	FtAutovacuum autovacuum = {0};
	const char *size_note = "in another database";
	int64		size = -1;
	double		all = (double) table->live + (double) table->dead;
	double		percent = all > 0 ? rint(10000.0 * table->dead / all) / 100 : 0;
	int			pid = ft_vacuum_pid(context->vacuums, table->dboid, table->relid);
	Row			row = {0};

	if (form != NULL)
	{
		ft_autovacuum_of(tuple, owner, context->pg_class_desc,
						 context->multixact_freeze_max_age, &autovacuum);
		size_note = ft_relation_total_size(table->relid, &size);
	}

	put_unless(&row, form == NULL, NameGetDatum(schema));
	put_unless(&row, form == NULL, form == NULL ? (Datum) 0 : NameGetDatum(&form->relname));
	put(&row, Int64GetDatum(table->live));
	put(&row, Int64GetDatum(table->dead));
	put(&row, Float8GetDatum(percent));
	put_unless(&row, size < 0, Int64GetDatum(size));
	put_unless(&row, table->last_vacuum == 0, TimestampTzGetDatum(table->last_vacuum));
	put_unless(&row, table->last_autovacuum == 0, TimestampTzGetDatum(table->last_autovacuum));
	put_unless(&row, form == NULL, Int64GetDatum((int64) autovacuum.threshold));
	put_unless(&row, form == NULL || autovacuum.threshold <= 0,
			   Float8GetDatum(autovacuum.threshold > 0 ?
							  rint(10000.0 * table->dead / autovacuum.threshold) / 100 : 0));
	put_text(&row, severity_of(context, table, percent));
	put_text(&row, size_note);
	put_unless(&row, database == NULL, database == NULL ? (Datum) 0 : NameGetDatum(&database->name));
	put(&row, ObjectIdGetDatum(table->relid));
	put_unless(&row, form == NULL, form == NULL ? (Datum) 0 : CharGetDatum(form->relkind));
	put_unless(&row, !HeapTupleIsValid(owner), HeapTupleIsValid(owner) ?
			   ObjectIdGetDatum(((Form_pg_class) GETSTRUCT(owner))->oid) : (Datum) 0);
	put_unless(&row, form == NULL, BoolGetDatum(autovacuum.enabled));
	put(&row, Int64GetDatum(table->vacuum_count));
	put(&row, Int64GetDatum(table->autovacuum_count));
	put_unless(&row, !OidIsValid(table->dboid), ObjectIdGetDatum(table->dboid));
	put_unless(&row, form == NULL || autovacuum.insert_threshold < 0,
			   Int64GetDatum((int64) autovacuum.insert_threshold));
	put(&row, Int64GetDatum(table->inserts));
	put_text(&row, form != NULL && horizon_keeps(context, table, form, &autovacuum) ?
			 "yes" : "unknown");
	put_unless(&row, pid == 0, Int32GetDatum(pid));
	Assert(row.next == context->result->setDesc->natts);

	tuplestore_putvalues(context->result->setResult, context->result->setDesc,
						 row.values, row.nulls);
}

/* Add the row of one table, unless it was dropped meanwhile. */
static void
put_table(const Context *context, const TableStatistics *table)
{
	HeapTuple	tuple;
	HeapTuple	owner = NULL;
	Form_pg_class form;
	NameData	schema;
	char	   *schema_name;

	if (OidIsValid(table->dboid) && table->dboid != MyDatabaseId)
	{
		put_row(context, table, NULL, NULL, NULL);
		return;
	}

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table->relid));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	schema_name = get_namespace_name(form->relnamespace);
	if (schema_name != NULL &&
		(form->relkind == RELKIND_RELATION ||
		 form->relkind == RELKIND_MATVIEW ||
		 form->relkind == RELKIND_TOASTVALUE))
	{
		namestrcpy(&schema, schema_name);
		if (form->relkind == RELKIND_TOASTVALUE)
			owner = ft_toast_owner(form);
		put_row(context, table, tuple, &schema, owner);
		if (HeapTupleIsValid(owner))
			ReleaseSysCache(owner);
	}
	ReleaseSysCache(tuple);
}

static void
prepare(Context *context, ReturnSetInfo *result, Relation pg_class)
{
	FtThresholds *thresholds = ft_thresholds_read();
	FtHolders  *holders = ft_holders();

	context->result = result;
	context->pg_class_desc = RelationGetDescr(pg_class);
	context->count = ft_threshold(thresholds, "dead_tuples");
	context->percent = ft_threshold(thresholds, "dead_tuple_percent");
	context->vacuums = ft_running_vacuums();
	for (int kind = 0; kind < FT_HORIZONS; kind++)
		context->horizons[kind] = ft_horizon(holders, (FtHorizonKind) kind, MyDatabaseId);
	context->vacuums_since = ft_horizon_watch_vacuums(MyDatabaseId,
													  context->horizons[FT_HORIZON_DATA]);
	context->multixact_freeze_max_age = ft_multixact_freeze_max_age();
}

/*
 * ft.dead_tuples(min_dead bigint, all_databases boolean)
 */
Datum
ft_dead_tuples(PG_FUNCTION_ARGS)
{
	int64		min_dead = PG_GETARG_INT64(0);
	bool		all_databases = PG_GETARG_BOOL(1);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TableList	list;
	Context		context;
	Relation	pg_class;
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

	collect_tables(min_dead, all_databases, &list);

	/* Names and sizes are to be those of now, though no lock brings them. */
	AcceptInvalidationMessages();

	row_context = AllocSetContextCreate(CurrentMemoryContext,
										"dead tuples row", ALLOCSET_DEFAULT_SIZES);
	pg_class = table_open(RelationRelationId, AccessShareLock);
	prepare(&context, result, pg_class);
	ft_names_begin();
	for (Size i = 0; i < list.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		old_context = MemoryContextSwitchTo(row_context);
		put_table(&context, &list.tables[i]);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(row_context);
	}
	ft_names_end();
	table_close(pg_class, AccessShareLock);

	return (Datum) 0;
}
