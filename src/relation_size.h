/*-------------------------------------------------------------------------
 *
 * relation_size.h
 *	  Size of a relation on disk, without a lock on it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_RELATION_SIZE_H
#define FT_RELATION_SIZE_H

/*
 * Put into *size the bytes that a relation, its TOAST table and the indexes
 * of both take on disk, as pg_total_relation_size() counts them.  If that
 * cannot be had, *size is -1 and the reason is returned (palloc'd or a
 * constant); else NULL is returned.
 */
extern const char *ft_relation_total_size(Oid relid, int64 *size);

#endif							/* FT_RELATION_SIZE_H */
