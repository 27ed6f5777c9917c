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

#endif							/* FT_COMPAT_H */
