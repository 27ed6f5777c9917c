/*-------------------------------------------------------------------------
 *
 * autovacuum.h
 *	  When autovacuum comes to a table, by its own rules.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_AUTOVACUUM_H
#define FT_AUTOVACUUM_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "catalog/pg_class.h"

typedef struct FtAutovacuum
{
	bool		enabled;
	bool		catalog_to_users;	/* storage parameter user_catalog_table */
	double		threshold;		/* dead tuples */
	double		insert_threshold;	/* inserted ones; negative: never */
	int			freeze_max_age;
	int			multixact_freeze_max_age;
} FtAutovacuum;

/*
 * owner: the table that a TOAST table belongs to, or NULL.
 * multixact_freeze_max_age: what holds for all tables, as the next tells it.
 */
extern void ft_autovacuum_of(HeapTuple tuple, HeapTuple owner, TupleDesc pg_class_desc,
							 int multixact_freeze_max_age, FtAutovacuum *result);

/* The setting, or less when members of multixacts run out. */
extern int	ft_multixact_freeze_max_age(void);

/* The table of a TOAST table, to be released; NULL if it is gone. */
extern HeapTuple ft_toast_owner(Form_pg_class toast);

#endif							/* FT_AUTOVACUUM_H */
