/*-------------------------------------------------------------------------
 *
 * relation_size.c
 *	  Size of a relation on disk, without a lock on it.
 *
 * pg_total_relation_size() locks the relation, its TOAST table and all of
 * their indexes, so it waits behind an ALTER TABLE or a REINDEX, which is
 * when a diagnostic is wanted most.  Here the catalogs are read without any
 * lock on the relation and the files are looked at by name.
 *
 * Locking: AccessShareLock on pg_class and pg_index only, never on the
 * relation.  A relation that is rewritten meanwhile gets new files and its old
 * ones are truncated once the rewrite commits; so after the look at the files
 * the catalogs are read again, and if a file was replaced everything is done
 * once more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_tablespace.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/relmapper.h"
#include "utils/syscache.h"

#include "compat.h"
#include "relation_size.h"

#define MAX_TRIES 3

/* Where the files of a relation are. */
typedef struct Location
{
	Oid			relid;
	char		relkind;
	char		relpersistence;
	Oid			toast_relid;
	Oid			database;
	Oid			tablespace;
	RelFileNumber number;
	ProcNumber	owner;			/* of a temporary relation */
} Location;

/*
 * Where the files of a relation are, by its row of pg_class.  False if it has
 * none.  Follows RelationInitPhysicalAddr().
 */
static bool
locate_form(Form_pg_class form, Location *location)
{
	memset(location, 0, sizeof(Location));
	location->relid = form->oid;
	location->relkind = form->relkind;
	location->relpersistence = form->relpersistence;
	location->toast_relid = form->reltoastrelid;
	location->tablespace = OidIsValid(form->reltablespace) ?
		form->reltablespace : MyDatabaseTableSpace;
	location->database = location->tablespace == GLOBALTABLESPACE_OID ?
		InvalidOid : MyDatabaseId;
	location->owner = INVALID_PROC_NUMBER;
	if (form->relpersistence == RELPERSISTENCE_TEMP)
		location->owner = isTempOrTempToastNamespace(form->relnamespace) ?
			ProcNumberForTempRelations() :
			GetTempNamespaceProcNumber(form->relnamespace);

	if (!RELKIND_HAS_STORAGE(form->relkind))
		return false;
	location->number = form->relfilenode ? form->relfilenode :
		RelationMapOidToFilenumber(form->oid, form->relisshared);
	return OidIsValid(location->number);
}

/* Look that up.  False if the relation does not exist or has no files. */
static bool
locate(Oid relid, Location *location)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		found;

	if (!HeapTupleIsValid(tuple))
		return false;
	found = locate_form((Form_pg_class) GETSTRUCT(tuple), location);
	ReleaseSysCache(tuple);
	return found;
}

/*
 * Append the locations of a relation and of its indexes.  The indexes are
 * those that RelationGetIndexList() would name.
 */
static List *
add_with_indexes(List *locations, Oid relid, Oid *toast_relid)
{
	Location	location;
	Relation	pg_index;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	*toast_relid = InvalidOid;
	if (!locate(relid, &location))
		return locations;
	*toast_relid = location.toast_relid;
	locations = lappend(locations, memcpy(palloc(sizeof(Location)), &location,
										  sizeof(Location)));

	pg_index = table_open(IndexRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_index, IndexIndrelidIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		if (form->indislive && locate(form->indexrelid, &location))
			locations = lappend(locations,
								memcpy(palloc(sizeof(Location)), &location,
									   sizeof(Location)));
	}
	systable_endscan(scan);
	table_close(pg_index, AccessShareLock);
	return locations;
}

/*
 * Add up the segments of one fork.  Returns an errno, ENOENT if not even the
 * first segment is there.
 */
static int
add_fork(const Location *location, ForkNumber fork, int64 *size)
{
	char		path[MAXPGPATH];
	char		segment_path[MAXPGPATH + 16];

	ft_copy_relation_path(path, sizeof(path), location->database,
						  location->tablespace, location->number,
						  location->owner, fork);
	for (unsigned int segment = 0;; segment++)
	{
		struct stat status;

		CHECK_FOR_INTERRUPTS();

		if (segment == 0)
			strlcpy(segment_path, path, sizeof(segment_path));
		else
			snprintf(segment_path, sizeof(segment_path), "%s.%u", path, segment);
		if (stat(segment_path, &status) < 0)
			return errno == ENOENT && segment > 0 ? 0 : errno;
		*size += status.st_size;
	}
}

/*
 * Add up the files of one relation.  Returns 0 or an errno; only the main
 * fork has to be there.  Forks that a kind of relation never has are not
 * looked for: with many relations to report, the calls are what costs.
 */
static int
add_relation(const Location *location, int64 *size)
{
	bool		is_index = location->relkind == RELKIND_INDEX;
	int			error = add_fork(location, MAIN_FORKNUM, size);

	if (error != 0)
		return error;
	error = add_fork(location, FSM_FORKNUM, size);
	if (error != 0 && error != ENOENT)
		return error;
	if (!is_index)
	{
		error = add_fork(location, VISIBILITYMAP_FORKNUM, size);
		if (error != 0 && error != ENOENT)
			return error;
	}
	if (location->relpersistence == RELPERSISTENCE_UNLOGGED)
	{
		error = add_fork(location, INIT_FORKNUM, size);
		if (error != 0 && error != ENOENT)
			return error;
	}
	return 0;
}

int64
ft_relation_main_size(Form_pg_class form)
{
	Location	location;
	int64		size = 0;

	if (!locate_form(form, &location) ||
		add_fork(&location, MAIN_FORKNUM, &size) != 0)
		return -1;
	return size;
}

/* Are the files still the relation's? */
static bool
still_there(const Location *location)
{
	Location	now;

	return locate(location->relid, &now) &&
		now.number == location->number &&
		now.tablespace == location->tablespace &&
		now.toast_relid == location->toast_relid;
}

const char *
ft_relation_total_size(Oid relid, int64 *size)
{
	for (int attempt = 0; attempt < MAX_TRIES; attempt++)
	{
		List	   *locations;
		ListCell   *cell;
		Oid			toast_relid;
		Oid			ignored;
		int			error = 0;
		bool		changed = false;

		locations = add_with_indexes(NIL, relid, &toast_relid);
		if (OidIsValid(toast_relid))
			locations = add_with_indexes(locations, toast_relid, &ignored);
		if (locations == NIL)
		{
			*size = -1;
			return "the relation is gone";
		}

		*size = 0;
		foreach(cell, locations)
		{
			error = add_relation((Location *) lfirst(cell), size);
			if (error != 0)
				break;
		}

		/* No lock was taken that would have let in what others committed. */
		AcceptInvalidationMessages();
		foreach(cell, locations)
			changed = changed || !still_there((Location *) lfirst(cell));
		list_free_deep(locations);

		if (changed)
			continue;
		if (error == 0)
			return NULL;
		*size = -1;
		return psprintf("could not look at a file: %s", strerror(error));
	}

	*size = -1;
	return "files are being replaced";
}
