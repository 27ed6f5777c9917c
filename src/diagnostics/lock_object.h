/*-------------------------------------------------------------------------
 *
 * lock_object.h
 *	  What a lock is on, in words.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_LOCK_OBJECT_H
#define FT_LOCK_OBJECT_H

#include "storage/lock.h"

/*
 * To be called between ft_names_begin() and ft_names_end().  A row, if given,
 * is the one that a session wants which waits for a transaction.
 */
extern char *ft_lock_object(const LOCKTAG *tag, const LOCKTAG *row);

/* As pg_locks has it. */
extern const char *ft_lock_type(const LOCKTAG *tag);

#endif							/* FT_LOCK_OBJECT_H */
