/*-------------------------------------------------------------------------
 *
 * visibility.h
 *	  Whose statements the caller may see.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_VISIBILITY_H
#define FT_VISIBILITY_H

/* What stands for a text that the caller may not see, as in pg_stat_activity. */
#define FT_NOT_VISIBLE "<insufficient privilege>"

/* Everybody's: the caller has the privileges of pg_read_all_stats. */
extern bool ft_may_see_all(void);

/* This role's; nobody else may see what has no role. */
extern bool ft_may_see(Oid role);

#endif							/* FT_VISIBILITY_H */
