/*-------------------------------------------------------------------------
 *
 * blocking_forest.c
 *	  Who has to go first: blocked sessions under their nearest blocker.
 *
 * Works on a copy of the lock table only: no locks, no catalogs.
 *
 * All blockers of all waiters can be as many as the square of the sessions:
 * in a queue for one row each waiter is behind all that came before.  Under
 * its nearest blocker each stands once, and finding that one takes a look at
 * each mode instead of at each session: of the holders of a mode only the
 * first two groups matter, since at most one of them is the waiter's own, and
 * of the waiters ahead only the last two.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnostics/blocking_forest.h"

/* Two members of different groups, or -1. */
typedef struct Pair
{
	int			first;
	int			second;
} Pair;

LOCKMODE
ft_strongest_mode(LOCKMASK modes)
{
	LOCKMODE	strongest = NoLock;

	for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
	{
		if (modes & LOCKBIT_ON(mode))
			strongest = mode;
	}
	return strongest;
}

/*
 * What the group of a member holds of a lock: all of it if the member is the
 * first of its group among the holders of the lock, else nothing, so that a
 * group is looked at once.
 */
LOCKMASK
ft_group_holds(const FtLockSnapshot *snapshot, const FtContendedLock *lock, int index)
{
	const FtLockMember *member = &snapshot->members[index];
	LOCKMASK	held = 0;

	if (!snapshot->processes[member->procno].parallel)
		return member->held;

	for (int i = lock->first_member; i < lock->first_member + lock->member_count; i++)
	{
		if (snapshot->members[i].group != member->group || snapshot->members[i].held == 0)
			continue;
		if (i < index)
			return 0;
		held |= snapshot->members[i].held;
	}
	return held;
}

static void
pair_clear(Pair *pairs)
{
	for (int i = 0; i < MAX_LOCKMODES; i++)
		pairs[i].first = pairs[i].second = -1;
}

/* The member that is not of the group given. */
static int
pair_other(const FtLockSnapshot *snapshot, const Pair *pair, int group)
{
	if (pair->first >= 0 && snapshot->members[pair->first].group != group)
		return pair->first;
	return pair->second;
}

/* Keep the first two groups. */
static void
pair_add_first(const FtLockSnapshot *snapshot, Pair *pair, int member)
{
	if (pair->first < 0)
		pair->first = member;
	else if (pair->second < 0 &&
			 snapshot->members[pair->first].group != snapshot->members[member].group)
		pair->second = member;
}

/* Keep the last two groups. */
static void
pair_add_last(const FtLockSnapshot *snapshot, Pair *pair, int member)
{
	if (pair->first >= 0 &&
		snapshot->members[pair->first].group != snapshot->members[member].group)
		pair->second = pair->first;
	pair->first = member;
}

static int
add_node(FtBlockingForest *forest, int procno)
{
	FtBlockingNode *node;

	if (forest->node_of[procno] >= 0)
		return forest->node_of[procno];

	node = &forest->nodes[forest->node_count];
	memset(node, 0, sizeof(*node));
	node->procno = procno;
	node->waiter = -1;
	node->blocker = -1;
	node->parent = -1;
	node->root = -1;
	node->first_child = -1;
	node->last_child = -1;
	node->next_sibling = -1;
	return forest->node_of[procno] = forest->node_count++;
}

/*
 * Of the processes of a group that wait, the one that has waited longest
 * stands for the group.
 */
static bool
waits_longer(const FtLockSnapshot *snapshot, int procno, int other)
{
	const FtLockProcess *a = &snapshot->processes[procno];
	const FtLockProcess *b = &snapshot->processes[other];

	if (a->wait_start != b->wait_start)
		return a->wait_start != 0 && (b->wait_start == 0 || a->wait_start < b->wait_start);
	return procno < other;
}

/*
 * Nodes for all that wait, and for all that hold what another waits for.
 */
static void
add_nodes_of_lock(FtBlockingForest *forest, const FtContendedLock *lock)
{
	const FtLockSnapshot *snapshot = forest->snapshot;
	Pair		waiting[MAX_LOCKMODES];

	pair_clear(waiting);
	for (int i = 0; i < lock->queue_length; i++)
	{
		int			index = snapshot->queue[lock->first_in_queue + i];
		const FtLockMember *member = &snapshot->members[index];
		FtBlockingNode *node = &forest->nodes[add_node(forest, member->group)];

		if (node->waiter < 0 || waits_longer(snapshot, member->procno, node->waiter))
			node->waiter = member->procno;
		pair_add_first(snapshot, &waiting[member->waited], index);
	}

	for (int i = 0; i < lock->member_count; i++)
	{
		const FtLockMember *member = &snapshot->members[lock->first_member + i];

		if (member->held == 0)
			continue;
		for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
		{
			if (pair_other(snapshot, &waiting[mode], member->group) >= 0 &&
				(ft_lock_conflicts(lock, mode) & member->held))
			{
				add_node(forest, member->group);
				break;
			}
		}
	}
}

/*
 * The nearest blocker of each waiter of one lock: the holder that was there
 * first, else the nearest waiter ahead.  Where the order of the queue is only
 * inferred, its head is named instead of the nearest: that it came first is
 * sure, and the holder that all of them wait for is not known.
 */
static void
find_blockers_in_lock(FtBlockingForest *forest, const FtContendedLock *lock)
{
	const FtLockSnapshot *snapshot = forest->snapshot;
	bool		inferred = snapshot->source != FT_SOURCE_LOCK_MANAGER;
	Pair		holders[MAX_LOCKMODES];
	Pair		ahead[MAX_LOCKMODES];

	pair_clear(holders);
	pair_clear(ahead);
	for (int i = 0; i < lock->member_count; i++)
	{
		int			index = lock->first_member + i;
		LOCKMASK	held = snapshot->members[index].held;

		for (LOCKMODE mode = 1; held != 0 && mode < MAX_LOCKMODES; mode++)
		{
			if (held & LOCKBIT_ON(mode))
				pair_add_first(snapshot, &holders[mode], index);
		}
	}

	for (int i = 0; i < lock->queue_length; i++)
	{
		int			index = snapshot->queue[lock->first_in_queue + i];
		const FtLockMember *waiter = &snapshot->members[index];
		FtBlockingNode *node = &forest->nodes[forest->node_of[waiter->group]];
		LOCKMASK	conflicts = ft_lock_conflicts(lock, waiter->waited);
		int			holder = -1;
		int			queued = -1;

		for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
		{
			int			other;

			if ((conflicts & LOCKBIT_ON(mode)) == 0)
				continue;
			other = pair_other(snapshot, &holders[mode], waiter->group);
			if (other >= 0 && (holder < 0 || other < holder))
				holder = other;
			other = pair_other(snapshot, &ahead[mode], waiter->group);
			if (other >= 0 &&
				(queued < 0 ||
				 (snapshot->members[other].place > snapshot->members[queued].place) != inferred))
				queued = other;
		}

		if (inferred)
			pair_add_first(snapshot, &ahead[waiter->waited], index);
		else
			pair_add_last(snapshot, &ahead[waiter->waited], index);

		/* another process of the group waits longer, for another lock maybe */
		if (node->waiter != waiter->procno)
			continue;

		if (holder >= 0)
		{
			node->blocker = forest->node_of[snapshot->members[holder].group];
			node->hard = true;
			node->held_mode = ft_strongest_mode(snapshot->members[holder].held & conflicts);
		}
		else if (queued >= 0)
			node->blocker = forest->node_of[snapshot->members[queued].group];
	}
}

/*
 * Blockers that go round have no root of their own: the one with the lowest
 * pid is made it.
 */
static void
cut_cycles(FtBlockingForest *forest)
{
	int		   *visited_by = palloc0(sizeof(int) * forest->node_count);

	for (int i = 0; i < forest->node_count; i++)
		forest->nodes[i].parent = forest->nodes[i].blocker;

	for (int i = 0; i < forest->node_count; i++)
	{
		int			node = i;
		int			lowest;

		while (node >= 0 && visited_by[node] == 0)
		{
			visited_by[node] = i + 1;
			node = forest->nodes[node].parent;
		}
		if (node < 0 || visited_by[node] != i + 1)
			continue;

		/* back where this walk has been: once round, for the lowest pid */
		lowest = node;
		for (int j = forest->nodes[node].parent; j != node; j = forest->nodes[j].parent)
		{
			if (forest->snapshot->processes[forest->nodes[j].procno].pid <
				forest->snapshot->processes[forest->nodes[lowest].procno].pid)
				lowest = j;
		}
		forest->nodes[lowest].parent = -1;
	}
	pfree(visited_by);
}

/*
 * Children in the order in which they queue: locks in the order of the
 * snapshot, and each lock from the head of its queue.
 */
static void
link_children(FtBlockingForest *forest)
{
	const FtLockSnapshot *snapshot = forest->snapshot;

	for (int i = 0; i < snapshot->queue_count; i++)
	{
		const FtLockMember *member = &snapshot->members[snapshot->queue[i]];
		int			index = forest->node_of[member->group];
		FtBlockingNode *node = &forest->nodes[index];
		FtBlockingNode *parent;

		if (node->parent < 0 || node->waiter != member->procno)
			continue;
		parent = &forest->nodes[node->parent];
		if (parent->last_child < 0)
			parent->first_child = index;
		else
			forest->nodes[parent->last_child].next_sibling = index;
		parent->last_child = index;
	}
}

/* The node after another in the tree of a root, in tree order; -1 at its end. */
static int
next_in_tree(const FtBlockingForest *forest, int root, int node)
{
	if (forest->nodes[node].first_child >= 0)
		return forest->nodes[node].first_child;
	while (node != root)
	{
		if (forest->nodes[node].next_sibling >= 0)
			return forest->nodes[node].next_sibling;
		node = forest->nodes[node].parent;
	}
	return -1;
}

typedef struct Root
{
	int			node;
	int			victims;
	int			pid;
	int			procno;
} Root;

/* Most victims first. */
static int
compare_roots(const void *left, const void *right)
{
	const Root *a = left;
	const Root *b = right;

	if (a->victims != b->victims)
		return a->victims > b->victims ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return a->procno < b->procno ? -1 : a->procno > b->procno;
}

/* Write the tree of a root, in tree order.  Returns how many nodes it has. */
static int
write_tree(const FtBlockingForest *forest, int root, int *order)
{
	int			count = 0;

	for (int node = root; node >= 0; node = next_in_tree(forest, root, node))
		order[count++] = node;
	return count;
}

/*
 * Put the nodes in tree order, and count victims on the way, by which the
 * roots are sorted.
 */
static void
order_forest(FtBlockingForest *forest)
{
	Root	   *roots = palloc(sizeof(Root) * (forest->node_count + 1));
	int			root_count = 0;
	int			count = 0;

	forest->order = palloc(sizeof(int) * (forest->node_count + 1));
	for (int i = 0; i < forest->node_count; i++)
	{
		if (forest->nodes[i].parent >= 0)
			continue;
		roots[root_count++].node = i;
		count += write_tree(forest, i, &forest->order[count]);
	}
	Assert(count == forest->node_count);

	/* a parent stands before its children */
	for (int i = 0; i < count; i++)
	{
		FtBlockingNode *node = &forest->nodes[forest->order[i]];

		node->size = 1;
		node->position = i;
		node->level = node->parent < 0 ? 0 : forest->nodes[node->parent].level + 1;
		node->root = node->parent < 0 ? forest->order[i] : forest->nodes[node->parent].root;
	}
	for (int i = count - 1; i >= 0; i--)
	{
		FtBlockingNode *node = &forest->nodes[forest->order[i]];

		if (node->parent < 0)
			continue;
		forest->nodes[node->parent].size += node->size;
		forest->nodes[node->parent].victims_direct++;
	}
	ft_blocking_count_victims(forest);

	for (int i = 0; i < root_count; i++)
	{
		FtBlockingNode *node = &forest->nodes[roots[i].node];

		roots[i].victims = node->victims_total;
		roots[i].pid = forest->snapshot->processes[node->procno].pid;
		roots[i].procno = node->procno;
	}
	qsort(roots, root_count, sizeof(Root), compare_roots);

	count = 0;
	for (int i = 0; i < root_count; i++)
		count += write_tree(forest, roots[i].node, &forest->order[count]);
	pfree(roots);
}

FtBlockingForest *
ft_blocking_forest(const FtLockSnapshot *snapshot)
{
	FtBlockingForest *forest = palloc0(sizeof(FtBlockingForest));

	forest->snapshot = snapshot;
	forest->nodes = palloc(sizeof(FtBlockingNode) * (snapshot->process_count + 1));
	forest->node_of = palloc(sizeof(int) * snapshot->process_count);
	for (int i = 0; i < snapshot->process_count; i++)
		forest->node_of[i] = -1;

	for (int i = 0; i < snapshot->lock_count; i++)
		add_nodes_of_lock(forest, &snapshot->locks[i]);
	for (int i = 0; i < snapshot->lock_count; i++)
		find_blockers_in_lock(forest, &snapshot->locks[i]);

	cut_cycles(forest);
	ft_blocking_mark_cycles(forest);
	link_children(forest);
	order_forest(forest);
	return forest;
}
