/*-------------------------------------------------------------------------
 *
 * transaction.h
 *	  What the extension does when the current transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TRANSACTION_H
#define FT_TRANSACTION_H

#include "fmgr.h"

/*
 * Note that the current transaction made work due in this database: when it
 * commits, and only then, the worker of the database is woken.  Does nothing
 * where the library is not preloaded.
 */
extern void ft_wake_worker_at_commit(void);

/*
 * The same for so many steps of one owner: as many executors are woken that
 * wait for work, and, where there are fewer, the worker of the database.
 */
extern void ft_wake_executor_at_commit(Oid owner, int64 steps);

/*
 * Note that the current transaction may leave a place in a queue: when it
 * commits, and somebody waits for that, the worker of the database is woken.
 */
extern void ft_place_left_at_commit(void);

/*
 * What is due for this owner is kept from the worker by the current
 * transaction: when it ends, however that happens, the worker is woken.
 */
extern void ft_wake_worker_at_end(Oid owner);

/* Roles are renamed or dropped, if the current transaction commits. */
extern void ft_roles_changed_at_commit(void);

/* The list of databases, or what may be done in one, changes at commit. */
extern void ft_rescan_at_commit(void);

/*
 * Settings that the scheduler of a database reads only at its start change at
 * commit; InvalidOid stands for all databases.
 */
extern void ft_restart_schedulers_at_commit(Oid dboid);

/*
 * Keep workers out of a database until the current transaction ends, however
 * that happens, and wait, bounded, until those that are there have left.
 */
extern void ft_quiesce_until_end(Oid dboid);

/* The database goes away if the current transaction commits. */
extern void ft_forget_database_at_commit(Oid dboid);

/* The current transaction is about to be prepared under this name. */
extern void ft_transaction_name(const char *gid);

/* Whether a procedure may end its caller's transaction, and begin others. */
extern bool ft_is_called_by_itself(FunctionCallInfo fcinfo);

extern void ft_transaction_init(void);

#endif							/* FT_TRANSACTION_H */
