/*-------------------------------------------------------------------------
 *
 * lock_in_order.c
 *	  Take several advisory locks, or locks on tables, in one order.
 *
 * Two transactions that lock the same things in opposite orders can deadlock;
 * if all take them in one order, none can.  The order is that of the key, or
 * of the relation's OID.  All locks belong to the caller's transaction and end
 * with it.
 *
 * Tables are locked as LOCK TABLE does it, with the same privileges needed and
 * with their partitions and children, except that these take their place in
 * the order: LOCK TABLE on a parent and on one of its children in two
 * sessions deadlock.  Privileges are looked at before the first lock is asked
 * for, and once more when it is there.
 *
 * Locking: what it is for.  Nothing else is locked.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/lock_order.h"
#include "diagnostics/lock_patience.h"
#include "errors.h"

PG_FUNCTION_INFO_V1(ft_lock_keys_in_order);
PG_FUNCTION_INFO_V1(ft_lock_relations_in_order);

/* Tables that are made partitions while we lock are looked for so often. */
#define MAX_ROUNDS 10

/* An array argument without nulls, or an error. */
static ArrayType *
array_argument(FunctionCallInfo fcinfo, int i, const char *name)
{
	ArrayType  *array = PG_ARGISNULL(i) ? NULL : PG_GETARG_ARRAYTYPE_P(i);

	if (array == NULL || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg(array == NULL ? "%s must not be null" : "%s must not contain nulls", name),
				 errdetail("Nothing was locked."),
				 errhint("Use an empty array to lock nothing.")));
	return array;
}

static const Interval *
timeout_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : PG_GETARG_INTERVAL_P(i);
}

/* ---- Advisory locks ---- */

static int
compare_keys(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

/* As pg_advisory_xact_lock(). */
static void
lock_key(FtLockPatience *patience, int64 key, LOCKMODE mode, int taken)
{
	MemoryContext context = CurrentMemoryContext;
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, 1);
	ft_patience_left(patience);
	PG_TRY();
	{
		if (LockAcquire(&tag, mode, false, patience->no_wait) == LOCKACQUIRE_NOT_AVAIL)
			ft_patience_refused(psprintf("advisory key %lld", (long long) key), taken);
	}
	PG_CATCH();
	{
		/* that of the error is reset before the text is used */
		MemoryContextSwitchTo(context);
		ft_patience_failed(patience, context, psprintf("advisory key %lld", (long long) key), taken);
	}
	PG_END_TRY();
}

Datum
ft_lock_keys_in_order(PG_FUNCTION_ARGS)
{
	ArrayType  *array = array_argument(fcinfo, 0, "keys");
	LOCKMODE	mode = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1) ? ShareLock : ExclusiveLock;
	FtLockPatience patience;
	Datum	   *elements;
	int64	   *keys;
	int			count;
	int			taken = 0;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &elements, NULL, &count);
	keys = palloc(Max(count, 1) * sizeof(int64));
	for (int i = 0; i < count; i++)
		keys[i] = DatumGetInt64(elements[i]);
	qsort(keys, count, sizeof(int64), compare_keys);

	ft_patience_begin(&patience, timeout_argument(fcinfo, 2));
	for (int i = 0; i < count; i++)
	{
		if (i > 0 && keys[i] == keys[i - 1])
			continue;
		CHECK_FOR_INTERRUPTS();
		lock_key(&patience, keys[i], mode, taken);
		taken++;
	}
	ft_patience_end(&patience);
	PG_RETURN_INT32(taken);
}

/* ---- Tables ---- */

static LOCKMODE
mode_argument(FunctionCallInfo fcinfo, int i)
{
	static const char *const names[] = {
		[AccessShareLock] = "ACCESS SHARE",
		[RowShareLock] = "ROW SHARE",
		[RowExclusiveLock] = "ROW EXCLUSIVE",
		[ShareUpdateExclusiveLock] = "SHARE UPDATE EXCLUSIVE",
		[ShareLock] = "SHARE",
		[ShareRowExclusiveLock] = "SHARE ROW EXCLUSIVE",
		[ExclusiveLock] = "EXCLUSIVE",
		[AccessExclusiveLock] = "ACCESS EXCLUSIVE",
	};
	char	   *name = PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));

	for (LOCKMODE mode = AccessShareLock; name != NULL && mode <= AccessExclusiveLock; mode++)
	{
		if (pg_strcasecmp(name, names[mode]) == 0 ||
			pg_strcasecmp(name, GetLockmodeName(DEFAULT_LOCKMETHOD, mode)) == 0)
			return mode;
	}
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("mode must not be null"),
				 errhint("Use a lock mode as in LOCK TABLE, such as 'SHARE ROW EXCLUSIVE'.")));
	ereport(ERROR,
			(errcode(FT_ERRCODE_BAD_ARGUMENT),
			 errmsg("unknown lock mode \"%s\"", name),
			 errhint("Use a lock mode as in LOCK TABLE, such as 'SHARE ROW EXCLUSIVE'.")));
}

/* An error unless there is a table that the caller may lock so. */
static void
check_table(Oid relid, LOCKMODE mode)
{
	char		relkind = get_rel_relkind(relid);
	AclResult	result;

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
				 errhint(relkind == RELKIND_VIEW ? "Name the tables that the view reads." :
						 "Only tables can be locked.")));
	result = pg_class_aclcheck(relid, GetUserId(), ft_lock_table_privileges(mode));
	if (result != ACLCHECK_OK)
		aclcheck_error(result, relkind == RELKIND_PARTITIONED_TABLE ? OBJECT_TABLE :
					   get_relkind_objtype(relkind), get_rel_name(relid));
}

/*
 * The tables with all their partitions and children, in order.  Nothing is
 * locked for that, so it may be wrong a moment later.
 */
static List *
expand(List *tables)
{
	List	   *all = NIL;
	ListCell   *cell;

	foreach(cell, tables)
	{
		/* an error if it is gone */
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
			all = list_concat_unique_oid(all, find_all_inheritors(lfirst_oid(cell), NoLock, NULL));
	}
	list_sort(all, list_oid_cmp);
	return all;
}

static char *
table_description(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		return psprintf("the relation with OID %u", relid);
	return psprintf("table %s",
					quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name));
}

/* Lock a table; false if it is gone by then. */
static bool
lock_table(FtLockPatience *patience, Oid relid, LOCKMODE mode, int taken)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *what = table_description(relid);

	ft_patience_left(patience);
	PG_TRY();
	{
		if (!patience->no_wait)
			LockRelationOid(relid, mode);
		else if (!ConditionalLockRelationOid(relid, mode))
			ft_patience_refused(what, taken);
	}
	PG_CATCH();
	{
		ft_patience_failed(patience, context, what, taken);
	}
	PG_END_TRY();

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
	{
		UnlockRelationOid(relid, mode);
		return false;
	}
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		MyXactFlags |= XACT_FLAGS_ACCESSEDTEMPNAMESPACE;
	ft_lock_order_locked(relid, mode);
	return true;
}

/*
 * Lock the tables, and go on until nothing was added to them meanwhile.  What
 * was is locked late, out of order; only those who change partitions at this
 * moment could notice.
 */
static int
lock_tables(FtLockPatience *patience, List *tables, LOCKMODE mode)
{
	List	   *seen = NIL;
	int			taken = 0;

	for (int round = 0; round < MAX_ROUNDS; round++)
	{
		List	   *missing = list_difference_oid(expand(tables), seen);
		ListCell   *cell;

		if (missing == NIL)
			break;
		foreach(cell, missing)
		{
			Oid			relid = lfirst_oid(cell);

			CHECK_FOR_INTERRUPTS();
			if (lock_table(patience, relid, mode, taken))
				taken++;
			if (list_member_oid(tables, relid))
				check_table(relid, mode);
		}
		seen = list_concat(seen, missing);
	}
	return taken;
}

Datum
ft_lock_relations_in_order(PG_FUNCTION_ARGS)
{
	ArrayType  *array = array_argument(fcinfo, 0, "relations");
	LOCKMODE	mode = mode_argument(fcinfo, 1);
	FtLockPatience patience;
	Datum	   *elements;
	List	   *tables = NIL;
	int			count;
	int			taken;

	deconstruct_array(array, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT,
					  &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		check_table(DatumGetObjectId(elements[i]), mode);
		tables = list_append_unique_oid(tables, DatumGetObjectId(elements[i]));
	}

	ft_patience_begin(&patience, timeout_argument(fcinfo, 2));
	taken = lock_tables(&patience, tables, mode);
	ft_patience_end(&patience);
	PG_RETURN_INT32(taken);
}
