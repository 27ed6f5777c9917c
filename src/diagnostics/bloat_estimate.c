/*-------------------------------------------------------------------------
 *
 * bloat_estimate.c
 *	  ft.bloat_estimate(): bloat of all tables and b-trees, from statistics.
 *
 * Nothing is read but catalogs, statistics and the size of files: what a
 * relation would take is reckoned from how many rows there are and how wide
 * ANALYZE found them, see row_width.c.
 *
 * Locking: ACCESS SHARE on pg_class; none on a relation, so none is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "fmgr.h"
#include "funcapi.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "diagnostics/bloat.h"
#include "diagnostics/row_width.h"
#include "errors.h"
#include "relation_size.h"

PG_FUNCTION_INFO_V1(ft_bloat_estimate);

#define COLUMNS		17

/*
 * An entry for many rows of one key is no longer than this when an index is
 * built; see _bt_load().
 */
#define POSTING_SIZE (MAXALIGN_DOWN((BLCKSZ * 10 / 100)) - sizeof(ItemIdData))

typedef struct Estimate
{
	Oid			relid;
	Oid			table;			/* of an index or a TOAST table, or invalid */
	const char *kind;
	int64		size;
	double		tuples;
	double		pages;			/* negative if not known */
	int			fillfactor;
	bool		guessed;		/* too little is known to be sure */
	char	   *note;
} Estimate;

typedef struct EstimateList
{
	Estimate   *items;
	Size		count;
	Size		capacity;
} EstimateList;

/*
 * Rows of a table: as counted since, if statistics have started from a vacuum
 * or an ANALYZE, else as these found.  Negative if not known.
 */
static double
count_rows(Form_pg_class form)
{
	PgStat_StatTabEntry *entry = pgstat_fetch_stat_tabentry_ext(form->relisshared, form->oid);

	if (entry != NULL &&
		(ft_stat_last_vacuum(entry) != 0 || ft_stat_last_autovacuum(entry) != 0 ||
		 ft_stat_last_analyze(entry) != 0 || ft_stat_last_autoanalyze(entry) != 0))
		return Max(ft_stat_live_tuples(entry), 0);
	return form->reltuples;
}

/*
 * Chunks of a TOAST table are taken as full, which only the last of a value is
 * not.
 */
static void
estimate_toast(Estimate *estimate)
{
	double		space = MAXALIGN(SizeofHeapTupleHeader) +
		MAXALIGN(sizeof(Oid) + sizeof(int32) + VARHDRSZ + TOAST_MAX_CHUNK_SIZE) +
		sizeof(ItemIdData);

	estimate->pages = ft_heap_pages(estimate->tuples, space, true, estimate->fillfactor);
	estimate->note = "at least: chunks are taken as full";
}

static void
note_guess(Estimate *estimate, char *column)
{
	if (column == NULL)
		return;
	estimate->guessed = true;
	estimate->note = psprintf("a guess: no statistics of column %s", quote_identifier(column));
}

static void
estimate_table(Estimate *estimate, HeapTuple tuple, TupleDesc pg_class_desc)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	bytea	   *options = extractRelOptions(tuple, pg_class_desc, NULL);
	FtRowWidth	width;

	if (form->relkind == RELKIND_TOASTVALUE)
	{
		Oid			owner;

		estimate->kind = "toast";
		if (sscanf(NameStr(form->relname), "pg_toast_%u", &owner) == 1)
			estimate->table = owner;
	}
	estimate->fillfactor = options != NULL && form->relkind != RELKIND_TOASTVALUE ?
		((StdRdOptions *) options)->fillfactor : HEAP_DEFAULT_FILLFACTOR;
	estimate->tuples = count_rows(form);
	if (form->relam != HEAP_TABLE_AM_OID)
		estimate->note = "not a heap";
	else if (estimate->tuples < 0)
		estimate->note = "never vacuumed or analyzed";
	else if (form->relkind == RELKIND_TOASTVALUE)
		estimate_toast(estimate);
	else
	{
		ft_row_width(form, &width);
		estimate->pages = ft_heap_pages(estimate->tuples, width.space, width.same_length,
										estimate->fillfactor);
		note_guess(estimate, width.guessed);
	}
}

/*
 * Can an entry of an index stand for many rows?  As _bt_allequalimage(),
 * without opening the index.
 */
static bool
can_deduplicate(Form_pg_index form, HeapTuple tuple)
{
	Datum		value;
	bool		isnull;
	oidvector  *classes;
	oidvector  *collations;

	if (form->indisunique || form->indnatts != form->indnkeyatts)
		return false;
	value = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indclass, &isnull);
	classes = (oidvector *) DatumGetPointer(value);
	value = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indcollation, &isnull);
	collations = (oidvector *) DatumGetPointer(value);

	for (int i = 0; i < form->indnkeyatts; i++)
	{
		Oid			family = get_opclass_family(classes->values[i]);
		Oid			type = get_opclass_input_type(classes->values[i]);
		Oid			proc = get_opfamily_proc(family, type, type, BTEQUALIMAGE_PROC);

		if (!OidIsValid(proc) ||
			!DatumGetBool(OidFunctionCall1Coll(proc, collations->values[i],
											   ObjectIdGetDatum(type))))
			return false;
	}
	return true;
}

/* Bytes of the entries for so many rows of each of so many keys. */
static double
posting_space(const FtEntryWidth *width, double keys, double rows)
{
	double		per_entry = Max(floor((POSTING_SIZE - width->key) / sizeof(ItemPointerData)), 1);
	double		entries = floor(rows / per_entry);
	double		rest = rows - entries * per_entry;
	double		space = entries * (MAXALIGN((Size) (width->key + per_entry * sizeof(ItemPointerData))) +
								   sizeof(ItemIdData));

	if (rest > 1)
		space += width->key + MAXALIGN((Size) (rest * sizeof(ItemPointerData))) + sizeof(ItemIdData);
	else if (rest > 0)
		space += width->space;
	return keys * space;
}

static double
leaf_space(const FtEntryWidth *width, double tuples, bool deduplicate)
{
	double		not_null = tuples - width->null_rows;

	if (!deduplicate)
		return tuples * width->space;
	return posting_space(width, width->distinct, not_null / width->distinct) +
		(width->null_rows > 0 ? posting_space(width, 1, width->null_rows) : 0);
}

static void
estimate_index(Estimate *estimate, HeapTuple tuple, TupleDesc pg_class_desc)
{
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	HeapTuple	index_tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(form->oid));
	BTOptions  *options;
	Form_pg_index index;
	HeapTuple	table;
	FtEntryWidth width;
	bool		deduplicate;

	estimate->kind = "index";
	if (!HeapTupleIsValid(index_tuple))
		return;
	index = (Form_pg_index) GETSTRUCT(index_tuple);
	estimate->table = index->indrelid;
	options = (BTOptions *) extractRelOptions(tuple, pg_class_desc, btoptions);
	estimate->fillfactor = options != NULL ? options->fillfactor : BTREE_DEFAULT_FILLFACTOR;
	deduplicate = (options == NULL || options->deduplicate_items) &&
		can_deduplicate(index, index_tuple);

	table = SearchSysCache1(RELOID, ObjectIdGetDatum(index->indrelid));
	if (HeapTupleIsValid(table))
	{
		Form_pg_class table_form = (Form_pg_class) GETSTRUCT(table);

		estimate->tuples = count_rows(table_form);

		/* a partial one has its part of the rows that there are now */
		if (!heap_attisnull(index_tuple, Anum_pg_index_indpred, NULL))
			estimate->tuples = form->reltuples < 0 || estimate->tuples < 0 ? -1 :
				table_form->reltuples > 0 ?
				form->reltuples * estimate->tuples / table_form->reltuples : form->reltuples;
		ReleaseSysCache(table);
	}

	if (!index->indisvalid)
		estimate->note = "an invalid index: drop it or build it anew";
	else if (estimate->tuples < 0)
		estimate->note = "its table was never vacuumed or analyzed";
	else
	{
		ft_entry_width(index, estimate->tuples, &width);
		estimate->pages = ft_btree_pages(leaf_space(&width, estimate->tuples, deduplicate),
										 Min(width.space, BLCKSZ / 4), estimate->fillfactor);
		note_guess(estimate, width.guessed);
	}
	ReleaseSysCache(index_tuple);
}

static bool
is_wanted(Form_pg_class form)
{
	switch (form->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
		case RELKIND_TOASTVALUE:
			return true;
		case RELKIND_INDEX:
			return form->relam == BTREE_AM_OID;
		default:
			return false;
	}
}

static double
bloat_bytes(const Estimate *estimate)
{
	if (estimate->pages < 0)
		return -1;
	return Max(estimate->size - estimate->pages * BLCKSZ, 0);
}

/* Most to be gained first; what is not known last, by size. */
static int
compare_estimates(const void *a, const void *b)
{
	const Estimate *left = (const Estimate *) a;
	const Estimate *right = (const Estimate *) b;
	double		left_bytes = bloat_bytes(left);
	double		right_bytes = bloat_bytes(right);

	if (left_bytes != right_bytes)
		return left_bytes > right_bytes ? -1 : 1;
	if (left->size != right->size)
		return left->size > right->size ? -1 : 1;
	return left->relid < right->relid ? -1 : left->relid > right->relid;
}

/* Relations of at least a size, with nothing reckoned yet. */
static void
collect(Relation pg_class, int64 min_size, EstimateList *list)
{
	SysScanDesc scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	list->count = 0;
	list->capacity = 256;
	list->items = palloc(list->capacity * sizeof(Estimate));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		int64		size;

		CHECK_FOR_INTERRUPTS();
		if (!is_wanted(form) || (size = ft_relation_main_size(form)) < Max(min_size, 0))
			continue;
		if (list->count == list->capacity)
		{
			list->capacity *= 2;
			list->items = repalloc_huge(list->items, list->capacity * sizeof(Estimate));
		}
		memset(&list->items[list->count], 0, sizeof(Estimate));
		list->items[list->count].relid = form->oid;
		list->items[list->count].size = size;
		list->items[list->count].pages = -1;
		list->count++;
	}
	systable_endscan(scan);
}

/* Reckon; the note is copied into the caller's memory. */
static void
estimate_one(Estimate *estimate, TupleDesc pg_class_desc, MemoryContext work)
{
	MemoryContext caller = MemoryContextSwitchTo(work);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(estimate->relid));

	if (HeapTupleIsValid(tuple))
	{
		estimate->kind = "table";
		estimate->tuples = -1;
		if (((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_INDEX)
			estimate_index(estimate, tuple, pg_class_desc);
		else
			estimate_table(estimate, tuple, pg_class_desc);
		ReleaseSysCache(tuple);
	}
	MemoryContextSwitchTo(caller);
	if (estimate->note != NULL)
		estimate->note = pstrdup(estimate->note);
	MemoryContextReset(work);
}

/* Quoted; NULL if there is none. */
static char *
table_name(Oid relid)
{
	char	   *name = OidIsValid(relid) ? get_rel_name(relid) : NULL;
	char	   *schema = name != NULL ? get_namespace_name(get_rel_namespace(relid)) : NULL;

	return schema != NULL ? quote_qualified_identifier(schema, name) : NULL;
}

static void
put_estimate(ReturnSetInfo *result, const Estimate *estimate, const FtBloatLimits *limits)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(estimate->relid));
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	bool		known = estimate->pages >= 0;
	double		bloat = bloat_bytes(estimate);
	double		percent = estimate->size > 0 ? rint(10000.0 * bloat / estimate->size) / 100 : 0;
	char	   *table = table_name(estimate->table);
	char	   *schema;
	NameData	schema_name;
	Form_pg_class form;
	int			i = 0;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	schema = get_namespace_name(form->relnamespace);
	namestrcpy(&schema_name, schema != NULL ? schema : "");

	values[i++] = CStringGetTextDatum(estimate->kind);
	values[i++] = NameGetDatum(&schema_name);
	values[i++] = NameGetDatum(&form->relname);
	nulls[i] = table == NULL;
	values[i++] = table == NULL ? (Datum) 0 : CStringGetTextDatum(table);
	values[i++] = CStringGetTextDatum(known && !estimate->guessed ?
									  ft_severity_name(ft_bloat_severity(limits, bloat, percent)) :
									  "UNKNOWN");
	values[i++] = Int64GetDatum(estimate->size);
	nulls[i] = !known;
	values[i++] = Int64GetDatum((int64) (estimate->pages * BLCKSZ));
	nulls[i] = !known;
	values[i++] = Int64GetDatum((int64) bloat);
	nulls[i] = !known;
	values[i++] = Float8GetDatum(percent);
	nulls[i] = estimate->tuples < 0;
	values[i++] = Int64GetDatum((int64) estimate->tuples);
	nulls[i] = estimate->fillfactor == 0;
	values[i++] = Int32GetDatum(estimate->fillfactor);
	nulls[i] = estimate->note == NULL;
	values[i++] = estimate->note == NULL ? (Datum) 0 : CStringGetTextDatum(estimate->note);
	values[i++] = ObjectIdGetDatum(estimate->relid);
	nulls[i] = !OidIsValid(estimate->table);
	values[i++] = ObjectIdGetDatum(estimate->table);
	values[i++] = CharGetDatum(form->relkind);
	values[i++] = CharGetDatum(form->relpersistence);
	values[i++] = BoolGetDatum(form->relisshared);
	Assert(i == COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	ReleaseSysCache(tuple);
}

/*
 * ft.bloat_estimate(min_size bigint)
 */
Datum
ft_bloat_estimate(PG_FUNCTION_ARGS)
{
	int64		min_size = PG_GETARG_INT64(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext work;
	FtBloatLimits limits;
	EstimateList list;
	Relation	pg_class;

	if (min_size < 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("min_size must not be negative"),
				 errhint("Use 0 to see every table and index.")));
	InitMaterializedSRF(fcinfo, 0);
	ft_bloat_limits(&limits);

	/* Sizes are to be those of now, though no lock brings them. */
	AcceptInvalidationMessages();
	work = AllocSetContextCreate(CurrentMemoryContext, "bloat estimate", ALLOCSET_DEFAULT_SIZES);
	pg_class = table_open(RelationRelationId, AccessShareLock);
	collect(pg_class, min_size, &list);
	for (Size i = 0; i < list.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		estimate_one(&list.items[i], RelationGetDescr(pg_class), work);
	}
	table_close(pg_class, AccessShareLock);
	qsort(list.items, list.count, sizeof(Estimate), compare_estimates);

	for (Size i = 0; i < list.count; i++)
	{
		MemoryContext caller = MemoryContextSwitchTo(work);

		put_estimate(result, &list.items[i], &limits);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(work);
	}
	return (Datum) 0;
}
