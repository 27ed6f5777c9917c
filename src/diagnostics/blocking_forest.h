/*-------------------------------------------------------------------------
 *
 * blocking_forest.h
 *	  Who has to go first: blocked sessions under their nearest blocker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_BLOCKING_FOREST_H
#define FT_BLOCKING_FOREST_H

#include "diagnostics/lock_snapshot.h"

/*
 * A lock group, which is a session with its parallel workers, or a prepared
 * transaction.  Other nodes are named by their index, -1 for none.
 */
typedef struct FtBlockingNode
{
	int			procno;			/* of its leader */
	int			waiter;			/* procno of the process whose wait is shown,
								 * -1 if none waits */

	int			blocker;		/* the nearest one that must go first */
	bool		hard;			/* the blocker holds the lock; else it queues
								 * ahead for it */
	LOCKMODE	held_mode;		/* of the blocker, if hard */

	int			parent;			/* the blocker; -1 for a root */
	int			root;
	int			level;			/* 0 for a root */
	int			victims_direct;
	int			victims_total;
	bool		in_cycle;

	/* children, in the order of their queues */
	int			first_child;
	int			last_child;
	int			next_sibling;

	int			size;			/* nodes of its subtree, itself included */
	int			position;		/* of it in a tree order, its subtree follows */
} FtBlockingNode;

typedef struct FtBlockingForest
{
	const FtLockSnapshot *snapshot;
	FtBlockingNode *nodes;
	int			node_count;
	int		   *node_of;		/* by procno of a leader; -1 if it has none */
	int		   *order;			/* nodes in tree order, roots with most
								 * victims first */
} FtBlockingForest;

extern FtBlockingForest *ft_blocking_forest(const FtLockSnapshot *snapshot);

/* blocking_victims.c */
extern void ft_blocking_count_victims(FtBlockingForest *forest);

/* blocking_cycle.c */
extern void ft_blocking_mark_cycles(FtBlockingForest *forest);

extern LOCKMASK ft_group_holds(const FtLockSnapshot *snapshot,
							   const FtContendedLock *lock, int index);

/* The strongest of some modes. */
extern LOCKMODE ft_strongest_mode(LOCKMASK modes);

#endif							/* FT_BLOCKING_FOREST_H */
