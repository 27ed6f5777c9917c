/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the supported versions of the server.
 *
 * This is the only file that tests PG_VERSION_NUM.  Each entry says what
 * changed and in which version, so that it can go when that version goes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_COMPAT_H
#define FT_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "fault_tolerance needs PostgreSQL 15 or newer"
#endif

/* 16: the check of each catalog became one of all */
#if PG_VERSION_NUM < 160000
#define ft_database_aclcheck(database, role, mode) \
	pg_database_aclcheck(database, role, mode)
#else
#include "catalog/pg_database.h"
#define ft_database_aclcheck(database, role, mode) \
	object_aclcheck(DatabaseRelationId, database, role, mode)
#endif

/*
 * 16 renamed the relation file node to locator and number, 17 the backend id
 * to a process number, and 18 returns a path by value.
 */
#if PG_VERSION_NUM < 160000
typedef Oid RelFileNumber;
#define RelationMapOidToFilenumber RelationMapOidToFilenode
#endif
#if PG_VERSION_NUM < 170000
typedef int ProcNumber;
#define INVALID_PROC_NUMBER (-1)
#define GetTempNamespaceProcNumber GetTempNamespaceBackendId
#define ProcNumberForTempRelations BackendIdForTempRelations
#endif
#if PG_VERSION_NUM >= 180000
#define ft_copy_relation_path(buffer, size, db, spc, number, backend, fork) \
	strlcpy((buffer), GetRelationPath((db), (spc), (number), (backend), (fork)).str, (size))
#else
#define ft_copy_relation_path(buffer, size, db, spc, number, backend, fork) \
	do { \
		char	   *path_ = GetRelationPath((db), (spc), (number), (backend), (fork)); \
		strlcpy((buffer), path_, (size)); \
		pfree(path_); \
	} while (0)
#endif

/* 16 renamed the fields of a table's statistics, 18 the key's object. */
#if PG_VERSION_NUM < 160000
#define ft_stat_live_tuples(entry) ((entry)->n_live_tuples)
#define ft_stat_dead_tuples(entry) ((entry)->n_dead_tuples)
#define ft_stat_last_vacuum(entry) ((entry)->vacuum_timestamp)
#define ft_stat_last_autovacuum(entry) ((entry)->autovac_vacuum_timestamp)
#define ft_stat_autovacuum_count(entry) ((entry)->autovac_vacuum_count)
#else
#define ft_stat_live_tuples(entry) ((entry)->live_tuples)
#define ft_stat_dead_tuples(entry) ((entry)->dead_tuples)
#define ft_stat_last_vacuum(entry) ((entry)->last_vacuum_time)
#define ft_stat_last_autovacuum(entry) ((entry)->last_autovacuum_time)
#define ft_stat_autovacuum_count(entry) ((entry)->autovacuum_count)
#endif
#if PG_VERSION_NUM < 180000
#define ft_stat_key_object(key) ((key).objoid)
#else
#define ft_stat_key_object(key) ((Oid) (key).objid)
#endif

/* 18 caps the threshold of autovacuum. */
#if PG_VERSION_NUM >= 180000
#define ft_autovacuum_max_threshold(options) \
	((options) != NULL && (options)->vacuum_max_threshold >= -1 ? \
	 (options)->vacuum_max_threshold : autovacuum_vac_max_thresh)
#else
#define ft_autovacuum_max_threshold(options) (-1)
#endif

#endif							/* FT_COMPAT_H */
