/*-------------------------------------------------------------------------
 *
 * relation_size.h
 *	  Size of a relation on disk, without a lock on it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RELATION_SIZE_H
#define FT_RELATION_SIZE_H

#include "catalog/pg_class.h"

/*
 * Put into *size the bytes that a relation, its TOAST table and the indexes
 * of both take on disk, as pg_total_relation_size() counts them.  If that
 * cannot be had, *size is -1 and the reason is returned (palloc'd or a
 * constant); else NULL is returned.
 */
extern const char *ft_relation_total_size(Oid relid, int64 *size);

/*
 * Bytes of the main fork of a relation, by its row of pg_class; -1 if there is
 * none or it cannot be looked at.
 */
extern int64 ft_relation_main_size(Form_pg_class form);

#endif							/* FT_RELATION_SIZE_H */
