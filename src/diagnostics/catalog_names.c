/*-------------------------------------------------------------------------
 *
 * catalog_names.c
 *	  Names of roles, databases, tablespaces and relations, without waiting
 *	  for a lock.
 *
 * A lookup in the system caches that misses opens the catalog and its index,
 * and so can wait for whoever has locked them: exactly in the outage that is
 * being looked into.  So both are locked here first, conditionally; what the
 * lookup then locks it has already.
 *
 * The shared catalogs have no fast path: their locks need a partition of the
 * lock table even conditionally, and that waits in a storm of deadlock checks.
 * So names from them are kept between calls, until the server says that some
 * changed, and in a storm only those are used.
 *
 * Locking: ACCESS SHARE on catalogs and their indexes, conditionally, given
 * back by ft_names_end() or, after an error, by the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_tablespace.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"

#include "diagnostics/catalog_names.h"

typedef enum CatalogState
{
	CATALOG_UNTRIED,
	CATALOG_LOCKED,
	CATALOG_REFUSED
} CatalogState;

typedef struct Catalog
{
	Oid			relation;
	Oid			index;
	bool		shared;
	CatalogState state;
} Catalog;

static Catalog roles = {AuthIdRelationId, AuthIdOidIndexId, true, CATALOG_UNTRIED};
static Catalog databases = {DatabaseRelationId, DatabaseOidIndexId, true, CATALOG_UNTRIED};
static Catalog tablespaces = {TableSpaceRelationId, TablespaceOidIndexId, true, CATALOG_UNTRIED};
static Catalog relations = {RelationRelationId, ClassOidIndexId, false, CATALOG_UNTRIED};
static Catalog namespaces = {NamespaceRelationId, NamespaceOidIndexId, false, CATALOG_UNTRIED};

static Catalog *const catalogs[] = {&roles, &databases, &tablespaces, &relations, &namespaces};

/* Names of shared catalogs, kept between calls. */
static HTAB *role_names = NULL;
static HTAB *database_names = NULL;
static HTAB *tablespace_names = NULL;
static bool names_changed = false;

/* The last name of a relation, within one call: many rows are of one table. */
static Oid	last_relation = InvalidOid;
static char *last_relation_name;
static MemoryContext last_relation_context; /* where the name lives */

static void
note_change(Datum arg, int cacheid, uint32 hashvalue)
{
	names_changed = true;
}

static HTAB *
create_cache(const char *name, Size entry_size)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = entry_size;
	control.hcxt = CacheMemoryContext;
	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
ft_names_begin(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(AUTHOID, note_change, (Datum) 0);
		CacheRegisterSyscacheCallback(DATABASEOID, note_change, (Datum) 0);
		CacheRegisterSyscacheCallback(TABLESPACEOID, note_change, (Datum) 0);
		registered = true;
	}

	last_relation = InvalidOid;
	last_relation_context = CurrentMemoryContext;

	/* after an error locks went with the transaction */
	for (int i = 0; i < lengthof(catalogs); i++)
		catalogs[i]->state = CATALOG_UNTRIED;

	if (names_changed && role_names != NULL)
	{
		hash_destroy(role_names);
		hash_destroy(database_names);
		hash_destroy(tablespace_names);
		role_names = NULL;
	}
	names_changed = false;
	if (role_names == NULL)
	{
		role_names = create_cache("fault_tolerance role names", sizeof(FtRoleName));
		database_names = create_cache("fault_tolerance database names", sizeof(FtDatabaseName));
		tablespace_names = create_cache("fault_tolerance tablespace names", sizeof(FtTablespaceName));
	}
}

bool
ft_names_end(void)
{
	bool		complete = true;

	for (int i = 0; i < lengthof(catalogs); i++)
	{
		Catalog    *catalog = catalogs[i];

		if (catalog->state == CATALOG_LOCKED)
		{
			UnlockRelationOid(catalog->index, AccessShareLock);
			UnlockRelationOid(catalog->relation, AccessShareLock);
		}
		else if (catalog->state == CATALOG_REFUSED)
			complete = false;
		catalog->state = CATALOG_UNTRIED;
	}
	return complete;
}

int
ft_partition_waiters(void)
{
	int			count = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		volatile PGPROC *proc = &ProcGlobal->allProcs[i];

		if (proc->wait_event_info == (PG_WAIT_LWLOCK | LWTRANCHE_LOCK_MANAGER))
			count++;
	}
	return count;
}

/* Can a catalog be read without waiting? */
static bool
catalog_readable(Catalog *catalog)
{
	if (catalog->state != CATALOG_UNTRIED)
		return catalog->state == CATALOG_LOCKED;

	catalog->state = CATALOG_REFUSED;
	if (catalog->shared && ft_partition_waiters() > FT_MAX_PARTITION_WAITERS)
		return false;
	if (!ConditionalLockRelationOid(catalog->relation, AccessShareLock))
		return false;
	if (!ConditionalLockRelationOid(catalog->index, AccessShareLock))
	{
		UnlockRelationOid(catalog->relation, AccessShareLock);
		return false;
	}
	catalog->state = CATALOG_LOCKED;
	return true;
}

const FtRoleName *
ft_role_name(Oid role)
{
	FtRoleName *entry;
	HeapTuple	tuple;

	if (!OidIsValid(role))
		return NULL;
	entry = hash_search(role_names, &role, HASH_FIND, NULL);
	if (entry != NULL || !catalog_readable(&roles))
		return entry;

	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	entry = hash_search(role_names, &role, HASH_ENTER, NULL);
	entry->name = ((Form_pg_authid) GETSTRUCT(tuple))->rolname;
	entry->superuser = ((Form_pg_authid) GETSTRUCT(tuple))->rolsuper;
	ReleaseSysCache(tuple);
	return entry;
}

const FtDatabaseName *
ft_database_name(Oid database)
{
	FtDatabaseName *entry;
	HeapTuple	tuple;

	if (!OidIsValid(database))
		return NULL;
	entry = hash_search(database_names, &database, HASH_FIND, NULL);
	if (entry != NULL || !catalog_readable(&databases))
		return entry;

	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	entry = hash_search(database_names, &database, HASH_ENTER, NULL);
	entry->name = ((Form_pg_database) GETSTRUCT(tuple))->datname;
	entry->encoding = ((Form_pg_database) GETSTRUCT(tuple))->encoding;
	ReleaseSysCache(tuple);
	return entry;
}

const FtTablespaceName *
ft_tablespace_name(Oid tablespace)
{
	FtTablespaceName *entry;
	HeapTuple	tuple;

	entry = hash_search(tablespace_names, &tablespace, HASH_FIND, NULL);
	if (entry != NULL || !catalog_readable(&tablespaces))
		return entry;

	tuple = SearchSysCache1(TABLESPACEOID, ObjectIdGetDatum(tablespace));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	entry = hash_search(tablespace_names, &tablespace, HASH_ENTER, NULL);
	entry->name = ((Form_pg_tablespace) GETSTRUCT(tuple))->spcname;
	ReleaseSysCache(tuple);
	return entry;
}

char *
ft_namespace_name(Oid namespace)
{
	HeapTuple	tuple;
	char	   *name;

	if (!catalog_readable(&namespaces))
		return NULL;
	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	name = pstrdup(quote_identifier(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname)));
	ReleaseSysCache(tuple);
	return name;
}

char *
ft_relation_name(Oid relation)
{
	HeapTuple	tuple;
	char	   *schema;
	char	   *name = NULL;

	if (relation == last_relation)
		return last_relation_name;
	if (!catalog_readable(&relations))
		return NULL;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	schema = ft_namespace_name(((Form_pg_class) GETSTRUCT(tuple))->relnamespace);
	if (schema != NULL)
		name = psprintf("%s.%s", schema,
						quote_identifier(NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname)));
	ReleaseSysCache(tuple);
	last_relation = relation;
	last_relation_name = name == NULL ? NULL : MemoryContextStrdup(last_relation_context, name);
	return name;
}
