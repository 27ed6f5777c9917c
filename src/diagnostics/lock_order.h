/*-------------------------------------------------------------------------
 *
 * lock_order.h
 *	  In which order transactions lock relations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_LOCK_ORDER_H
#define FT_LOCK_ORDER_H

#include "executor/execdesc.h"
#include "nodes/nodes.h"
#include "storage/lock.h"

/* How many locks of one transaction are kept. */
#define FT_LOCK_ORDER_STEPS 32

/* How much of a statement is kept. */
#define FT_LOCK_ORDER_TEXT	160

/* What a utility command may lock. */
typedef enum FtLockCommand
{
	FT_LOCKS_NOTHING,			/* or what other hooks see */
	FT_LOCKS_LISTED,			/* relations in the order of its list */
	FT_LOCKS_COPIED,			/* the relation of a COPY */
	FT_LOCKS_SOMETHING			/* to be found in the lock table */
} FtLockCommand;

/*
 * One lock that a transaction took, in the order of taking.  In a fixed form
 * without padding: sequences of these are compared bytewise.
 */
typedef struct FtLockStep
{
	Oid			relid;
	uint8		mode;
	uint8		write;			/* rows of it are changed or locked */
	uint8		ordered;		/* among those of its own statement as well */
	uint8		statement;		/* number within the transaction */
} FtLockStep;

/* lock_order.c: what transactions do, called by hooks */
extern void ft_lock_order_executor(const QueryDesc *query, int eflags);
extern FtLockCommand ft_lock_order_command(const Node *stmt);
extern void ft_lock_order_utility(const Node *stmt, FtLockCommand command, const char *query);
extern void ft_lock_order_locked(Oid relid, LOCKMODE mode);
extern void ft_lock_order_end(void);
extern void ft_lock_order_end_sub(bool aborted);
extern void ft_lock_order_flush(void);
extern void ft_lock_order_init(void);

/* lock_order_pairs.c: what is known of all of them */
extern void ft_lock_pairs_init(void);
extern bool ft_lock_pairs_there(void);
extern uint32 ft_lock_pairs_generation(void);
extern void ft_lock_pairs_add(const FtLockStep *steps, int count, int64 transactions,
							  const uint32 *orders, char (*texts)[FT_LOCK_ORDER_TEXT],
							  bool truncated);

#endif							/* FT_LOCK_ORDER_H */
