/*-------------------------------------------------------------------------
 *
 * table_bloat.c
 *	  ft.table_bloat(): what is on the pages of one table and its indexes.
 *
 * All pages are read, so the figures are exact, but for rows that come and go
 * meanwhile.  They are read in portions, through a small ring of buffers, and
 * no faster from disk than a setting allows.
 *
 * Locking: ACCESS SHARE on one relation at a time, conditionally, for the time
 * of a portion.  Between portions nothing is held, so that whoever wants to
 * alter or drop the relation does not wait for more than a portion, with
 * everybody else behind him; if he came, the rest is not read, and that is said.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "executor/instrument.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "compat.h"
#include "diagnostics/bloat.h"
#include "errors.h"
#include "guc.h"

PG_FUNCTION_INFO_V1(ft_table_bloat);

#define COLUMNS			28
#define PORTION_PAGES	1024

/* One of the relations to look at. */
typedef struct Target
{
	Oid			relid;
	const char *kind;
	NameData	schema;
	NameData	name;
	RelFileNumber file;			/* as it was when its first page was read */
	int			fillfactor;
	bool		sized;
	BlockNumber pages;			/* at that time, or fewer now */
	BlockNumber next;			/* to be read */
	bool		is_btree;
	FtPages		found;
	const char *note;			/* why not all was read */
} Target;

/* For how long to wait so that the disk is read no faster than allowed. */
typedef struct Throttle
{
	instr_time	start;
	int64		reads;			/* pages read before */
} Throttle;

/*
 * Open a relation unless that needs to be waited for.  NULL, with a reason, if
 * it cannot be had.
 */
static Relation
open_if_free(Oid relid, const char **why)
{
	Relation	relation;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		*why = "locked by somebody: TABLE ft.lock_tree may tell by whom";
		return NULL;
	}
	relation = try_relation_open(relid, NoLock);
	if (relation == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		*why = "dropped meanwhile";
	}
	return relation;
}

/* Why there are no pages of a relation to read; NULL if there are. */
static const char *
why_without_pages(Relation relation)
{
	Form_pg_class form = relation->rd_rel;

	if (!RELKIND_HAS_STORAGE(form->relkind))
		return "has no pages of its own";
	if (RELATION_IS_OTHER_TEMP(relation))
		return "a temporary table of another session";
	if (form->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
		return "unlogged: its pages are not on a standby";
	return NULL;
}

/* Why pages that are there tell nothing; NULL if they do. */
static const char *
why_unreadable(Relation relation)
{
	Form_pg_class form = relation->rd_rel;

	if (form->relkind == RELKIND_INDEX)
	{
		if (form->relam != BTREE_AM_OID)
			return "not a b-tree: only its size is known";
		if (!relation->rd_index->indisvalid)
			return "an invalid index: drop it or build it anew";
		return NULL;
	}
	if (form->relkind == RELKIND_SEQUENCE || form->relam != HEAP_TABLE_AM_OID)
		return "not a heap: only its size is known";
	return NULL;
}

static void
describe(Target *target, Relation relation)
{
	target->name = relation->rd_rel->relname;
	target->file = ft_relation_file(relation);
	target->is_btree = relation->rd_rel->relkind == RELKIND_INDEX &&
		relation->rd_rel->relam == BTREE_AM_OID;
	if (target->is_btree)
		target->fillfactor = BTGetFillFactor(relation);
	else if (relation->rd_rel->relkind != RELKIND_INDEX)
		target->fillfactor = RelationGetFillFactor(relation, HEAP_DEFAULT_FILLFACTOR);
}

static void
read_portion(Target *target, Relation relation, BufferAccessStrategy strategy)
{
	TransactionId oldest_xmin = InvalidTransactionId;
	BlockNumber end;

	/* only tables have a horizon */
	if (!target->is_btree)
		oldest_xmin = GetOldestNonRemovableTransactionId(relation);

	/* a vacuum may have cut off its end meanwhile; what is new is left out */
	target->pages = Min(target->pages, RelationGetNumberOfBlocks(relation));
	end = Min(target->pages, target->next + PORTION_PAGES);

	for (; target->next < end; target->next++)
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(relation, MAIN_FORKNUM, target->next, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if (target->is_btree)
			ft_bloat_btree_page(&target->found, buffer);
		else
			ft_bloat_heap_page(&target->found, relation, buffer, oldest_xmin);
		UnlockReleaseBuffer(buffer);
	}
}

static void
wait_a_little(const Throttle *throttle)
{
	for (;;)
	{
		double		bytes = (double) (pgBufferUsage.shared_blks_read - throttle->reads) * BLCKSZ;
		int64		wanted = ft_bloat_read_rate > 0 ?
			(int64) (bytes / 1024 / ft_bloat_read_rate * USECS_PER_SEC) : 0;
		instr_time	spent;
		int64		ahead;

		INSTR_TIME_SET_CURRENT(spent);
		INSTR_TIME_SUBTRACT(spent, throttle->start);
		ahead = wanted - (int64) INSTR_TIME_GET_MICROSEC(spent);

		CHECK_FOR_INTERRUPTS();
		if (ahead < 1000)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) Min(ahead / 1000, 1000), WAIT_EVENT_VACUUM_DELAY);
		ResetLatch(MyLatch);
	}
}

static void
read_target(Target *target, BufferAccessStrategy strategy, const Throttle *throttle)
{
	bool		first = true;

	while (first || target->next < target->pages)
	{
		const char *why = NULL;
		Relation	relation = open_if_free(target->relid, &why);

		if (relation == NULL)
		{
			target->note = why;
			return;
		}
		if (first)
		{
			describe(target, relation);
			why = why_without_pages(relation);
			if (why == NULL)
			{
				target->pages = RelationGetNumberOfBlocks(relation);
				target->sized = true;
				why = why_unreadable(relation);
			}
		}
		else if (ft_relation_file(relation) != target->file)
			why = "written anew meanwhile: ask again";
		if (why == NULL)
			read_portion(target, relation, strategy);
		relation_close(relation, AccessShareLock);
		if (why != NULL)
		{
			target->note = why;
			return;
		}
		first = false;
		if (target->next < target->pages)
			wait_a_little(throttle);
	}
}

static Target *
make_target(Oid relid, const char *kind)
{
	Target	   *target = palloc0(sizeof(Target));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	target->relid = relid;
	target->kind = kind;
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		char	   *schema = get_namespace_name(form->relnamespace);

		target->name = form->relname;
		if (schema != NULL)
			namestrcpy(&target->schema, schema);
		ReleaseSysCache(tuple);
	}
	return target;
}

static List *
add_with_indexes(List *targets, Oid relid, const char *kind, Oid *toast)
{
	const char *why;
	Relation	relation;
	ListCell   *cell;
	List	   *indexes;

	*toast = InvalidOid;
	targets = lappend(targets, make_target(relid, kind));
	relation = open_if_free(relid, &why);
	if (relation == NULL)
		return targets;
	*toast = relation->rd_rel->reltoastrelid;
	indexes = RelationGetIndexList(relation);
	relation_close(relation, AccessShareLock);
	foreach(cell, indexes)
		targets = lappend(targets, make_target(lfirst_oid(cell), "index"));
	return targets;
}

/* The table, its TOAST table, and the indexes of both; or the index asked for. */
static List *
list_targets(Oid relid, char relkind)
{
	List	   *targets;
	Oid			toast;
	Oid			none;

	if (relkind == RELKIND_INDEX)
		return list_make1(make_target(relid, "index"));
	targets = add_with_indexes(NIL, relid,
							   relkind == RELKIND_TOASTVALUE ? "toast" : "table", &toast);
	if (OidIsValid(toast))
		targets = add_with_indexes(targets, toast, "toast", &none);
	return targets;
}

/* Pages that what is live would take, written anew. */
static double
pages_needed(const Target *target)
{
	const FtPages *found = &target->found;
	double		tuples = found->live_tuples;

	if (target->is_btree)
		return ft_btree_pages(found->live_space,
							  tuples > 0 ? Min(found->live_space / tuples, BLCKSZ / 4) : 1,
							  target->fillfactor);
	return ft_heap_pages(tuples, tuples > 0 ? found->live_space / tuples : 0,
						 MAXALIGN(found->least_length) == MAXALIGN(found->most_length),
						 target->fillfactor);
}

static double
percent(double part, double all)
{
	return all > 0 ? rint(10000.0 * part / all) / 100 : 0;
}

static void
put_target(ReturnSetInfo *result, const Target *target, const FtBloatLimits *limits)
{
	const FtPages *found = &target->found;
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};
	bool		complete = target->note == NULL;
	double		size = (double) target->pages * BLCKSZ;
	double		bloat = complete ? Max(size - pages_needed(target) * BLCKSZ, 0) : 0;
	int			i = 0;

	values[i++] = CStringGetTextDatum(target->kind);
	values[i++] = NameGetDatum(&target->schema);
	values[i++] = NameGetDatum(&target->name);
	values[i++] = CStringGetTextDatum(complete ?
									  ft_severity_name(ft_bloat_severity(limits, bloat, percent(bloat, size))) :
									  "UNKNOWN");
	nulls[i] = !target->sized;
	values[i++] = Int64GetDatum((int64) size);
	values[i++] = Int64GetDatum((int64) bloat);
	values[i++] = Float8GetDatum(percent(bloat, size));
	values[i++] = Int64GetDatum(found->live_tuples);
	values[i++] = Int64GetDatum(found->live_bytes);
	values[i++] = Float8GetDatum(percent(found->live_bytes, size));
	values[i++] = Int64GetDatum(found->dead_tuples);
	values[i++] = Int64GetDatum(found->dead_bytes);
	values[i++] = Float8GetDatum(percent(found->dead_bytes, size));
	values[i++] = Int64GetDatum(found->kept_tuples);
	values[i++] = Int64GetDatum(found->kept_bytes);
	values[i++] = Float8GetDatum(percent(found->kept_bytes, size));
	values[i++] = Int64GetDatum(found->free_bytes);
	values[i++] = Float8GetDatum(percent(found->free_bytes, size));
	values[i++] = Int64GetDatum(found->dead_items);
	values[i++] = Int64GetDatum(found->empty_pages);

	/* of what was not read to the end nothing is said but how far */
	for (int j = 5; !complete && j < i; j++)
		nulls[j] = true;

	nulls[i] = !target->sized;
	values[i++] = Int64GetDatum(target->pages);
	nulls[i] = !target->sized;
	values[i++] = Int64GetDatum(Min(target->next, target->pages));
	nulls[i] = !complete || !target->is_btree;
	values[i++] = Int64GetDatum(found->leaf_pages);
	nulls[i] = !complete || !target->is_btree;
	values[i++] = Float8GetDatum(percent(found->fragments, found->leaf_pages));
	nulls[i] = target->fillfactor == 0;
	values[i++] = Int32GetDatum(target->fillfactor);
	nulls[i] = complete;
	values[i++] = complete ? (Datum) 0 : CStringGetTextDatum(target->note);
	values[i++] = ObjectIdGetDatum(target->relid);
	values[i++] = BoolGetDatum(complete);
	Assert(i == COLUMNS);

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
refuse(Oid relid, char relkind)
{
	switch (relkind)
	{
		case '\0':
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("there is no relation with OID %u", relid),
					 errhint("It may have been dropped meanwhile.")));
			break;
		case RELKIND_RELATION:
		case RELKIND_MATVIEW:
		case RELKIND_TOASTVALUE:
		case RELKIND_INDEX:
			return;
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_PARTITIONED_INDEX:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is partitioned", get_rel_name(relid)),
					 errdetail("It has no pages of its own."),
					 errhint("SELECT b.* FROM pg_partition_tree(%s) AS p, ft.table_bloat(p.relid) AS b WHERE p.isleaf",
							 quote_literal_cstr(quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
																		   get_rel_name(relid))))));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is no table, materialized view or index", get_rel_name(relid)),
					 errdetail("Only these have pages that rows come and go on."),
					 errhint("Give one of them.")));
	}
}

/*
 * ft.table_bloat(relation regclass)
 */
Datum
ft_table_bloat(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char		relkind = get_rel_relkind(relid);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	Throttle	throttle;
	FtBloatLimits limits;
	List	   *targets;
	ListCell   *cell;

	refuse(relid, relkind);
	InitMaterializedSRF(fcinfo, 0);
	ft_bloat_limits(&limits);
	INSTR_TIME_SET_CURRENT(throttle.start);
	throttle.reads = pgBufferUsage.shared_blks_read;

	targets = list_targets(relid, relkind);
	foreach(cell, targets)
	{
		Target	   *target = (Target *) lfirst(cell);

		read_target(target, strategy, &throttle);
		put_target(result, target, &limits);
	}
	FreeAccessStrategy(strategy);
	return (Datum) 0;
}
