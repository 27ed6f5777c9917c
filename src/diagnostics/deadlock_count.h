/*-------------------------------------------------------------------------
 *
 * deadlock_count.h
 *	  How many deadlocks were reported in each database, beside the server's
 *	  own count.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_DEADLOCK_COUNT_H
#define FT_DEADLOCK_COUNT_H

/* Count one that was reported in this database.  For the log hook. */
extern void ft_deadlock_count(Oid database);

extern void ft_deadlock_count_init(void);

#endif							/* FT_DEADLOCK_COUNT_H */
