/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  What the extension does when the current transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TRANSACTION_H
#define FT_TRANSACTION_H

/*
 * Note that the current transaction made work due in this database: when it
 * commits, and only then, the worker of the database is woken.  Does nothing
 * where the library is not preloaded.
 */
extern void ft_wake_worker_at_commit(void);

extern void ft_transaction_init(void);

#endif							/* FT_TRANSACTION_H */
