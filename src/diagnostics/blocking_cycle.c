/*-------------------------------------------------------------------------
 *
 * blocking_cycle.c
 *	  Sessions that wait for one another, before the server finds out.
 *
 * Works on a copy of the lock table only: no locks, no catalogs.
 *
 * A waiter needs all of its blockers to go, so any circle among them is a
 * deadlock, whether or not it runs through the nearest ones.  Looking at all
 * blockers of all waiters would take the square of their number.  So first
 * everybody is let go who can: those who do not wait, then those whom nobody
 * left blocks, and so on, with counts by lock and mode, which is linear.
 * Mostly nobody is left then.  Only among those who are, the circles are
 * looked for edge by edge.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnostics/blocking_forest.h"

typedef struct LockState
{
	int			holders[MAX_LOCKMODES]; /* members left that hold it */
	bool		pending;		/* is in the work list */
} LockState;

typedef struct Sweep
{
	FtBlockingForest *forest;
	const FtLockSnapshot *snapshot;
	int		   *first_of_node;	/* members of a node, a list ... */
	int		   *next_of_node;	/* ... by member */
	int		   *lock_of;		/* by member */
	int		   *waits;			/* by node: its processes that still wait */
	bool	   *cleared;		/* by member: nobody left blocks this wait */
	LockState  *locks;
	int		   *work;			/* locks to look at again */
	int			work_count;
	int			left;			/* nodes that still wait */
} Sweep;

static void
sweep_init(Sweep *sweep, FtBlockingForest *forest)
{
	const FtLockSnapshot *snapshot = forest->snapshot;

	sweep->forest = forest;
	sweep->snapshot = snapshot;
	sweep->first_of_node = palloc(sizeof(int) * (forest->node_count + 1));
	sweep->next_of_node = palloc(sizeof(int) * (snapshot->member_count + 1));
	sweep->lock_of = palloc(sizeof(int) * (snapshot->member_count + 1));
	sweep->waits = palloc0(sizeof(int) * (forest->node_count + 1));
	sweep->cleared = palloc0(sizeof(bool) * (snapshot->member_count + 1));
	sweep->locks = palloc0(sizeof(LockState) * (snapshot->lock_count + 1));
	sweep->work = palloc(sizeof(int) * (snapshot->lock_count + 1));
	sweep->work_count = 0;
	sweep->left = 0;

	for (int i = 0; i < forest->node_count; i++)
		sweep->first_of_node[i] = -1;

	for (int i = 0; i < snapshot->lock_count; i++)
	{
		const FtContendedLock *lock = &snapshot->locks[i];

		for (int j = lock->first_member; j < lock->first_member + lock->member_count; j++)
		{
			int			node = forest->node_of[snapshot->members[j].group];

			sweep->lock_of[j] = i;
			sweep->next_of_node[j] = -1;
			if (node < 0)
				continue;
			sweep->next_of_node[j] = sweep->first_of_node[node];
			sweep->first_of_node[node] = j;
			if (snapshot->members[j].place >= 0 && sweep->waits[node]++ == 0)
				sweep->left++;
		}
	}

	for (int i = 0; i < snapshot->member_count; i++)
	{
		const FtLockMember *member = &snapshot->members[i];
		int			node = forest->node_of[member->group];

		if (node < 0 || sweep->waits[node] == 0)
			continue;
		for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
		{
			if (member->held & LOCKBIT_ON(mode))
				sweep->locks[sweep->lock_of[i]].holders[mode]++;
		}
	}
}

static void
look_again(Sweep *sweep, int lock)
{
	if (sweep->locks[lock].pending)
		return;
	sweep->locks[lock].pending = true;
	sweep->work[sweep->work_count++] = lock;
}

/*
 * A node waits no longer: what it held is free.  A lock is worth another look
 * only when some mode has nobody left to hold it, or one who may be the
 * waiter itself; of a group of several processes more than one may be.
 */
static void
let_go(Sweep *sweep, int node)
{
	sweep->left--;
	for (int i = sweep->first_of_node[node]; i >= 0; i = sweep->next_of_node[i])
	{
		const FtLockMember *member = &sweep->snapshot->members[i];
		LockState  *lock = &sweep->locks[sweep->lock_of[i]];

		for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
		{
			if ((member->held & LOCKBIT_ON(mode)) == 0)
				continue;
			lock->holders[mode]--;
			if (lock->holders[mode] <= 1)
				look_again(sweep, sweep->lock_of[i]);
		}
		if (sweep->snapshot->processes[member->procno].parallel)
			look_again(sweep, sweep->lock_of[i]);
	}
}

/* Is a waiter blocked by anyone who still waits? */
static bool
still_blocked(Sweep *sweep, const FtContendedLock *lock, const LockState *state,
			  const FtLockMember *waiter, const int *ahead)
{
	LOCKMASK	conflicts = ft_lock_conflicts(lock, waiter->waited);
	int			own_holders[MAX_LOCKMODES] = {0};
	int			own_ahead[MAX_LOCKMODES] = {0};
	int			first = waiter - sweep->snapshot->members;
	int			last = first;

	/* what is its own does not block it */
	if (sweep->snapshot->processes[waiter->procno].parallel)
	{
		first = lock->first_member;
		last = first + lock->member_count - 1;
	}
	for (int i = first; i <= last; i++)
	{
		const FtLockMember *member = &sweep->snapshot->members[i];

		if (member->group != waiter->group)
			continue;
		for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
		{
			if (member->held & LOCKBIT_ON(mode))
				own_holders[mode]++;
		}
		if (member->place >= 0 && member->place < waiter->place)
			own_ahead[member->waited]++;
	}

	for (LOCKMODE mode = 1; mode < MAX_LOCKMODES; mode++)
	{
		if ((conflicts & LOCKBIT_ON(mode)) &&
			(state->holders[mode] > own_holders[mode] || ahead[mode] > own_ahead[mode]))
			return true;
	}
	return false;
}

/* Let go all waiters of a lock, from the head of its queue, who can. */
static void
sweep_lock(Sweep *sweep, int index)
{
	const FtContendedLock *lock = &sweep->snapshot->locks[index];
	int			ahead[MAX_LOCKMODES] = {0};

	for (int i = 0; i < lock->queue_length; i++)
	{
		int			member = sweep->snapshot->queue[lock->first_in_queue + i];
		const FtLockMember *waiter = &sweep->snapshot->members[member];
		int			node = sweep->forest->node_of[waiter->group];

		if (!sweep->cleared[member] &&
			!still_blocked(sweep, lock, &sweep->locks[index], waiter, ahead))
		{
			sweep->cleared[member] = true;
			if (--sweep->waits[node] == 0)
				let_go(sweep, node);
		}
		if (sweep->waits[node] > 0)
			ahead[waiter->waited]++;
	}
}

/* Where the search for circles stands at one node. */
typedef struct Visit
{
	int			node;
	int			wait;			/* member that waits */
	int			blocker;		/* next member of its lock to look at */
} Visit;

/* The next waiting member of a node, from one of its members on. */
static int
next_wait(const Sweep *sweep, int member)
{
	while (member >= 0 &&
		   (sweep->snapshot->members[member].place < 0 || sweep->cleared[member]))
		member = sweep->next_of_node[member];
	return member;
}

/* The next node left that blocks the one visited; -1 after the last. */
static int
next_blocker(const Sweep *sweep, Visit *visit)
{
	const FtLockSnapshot *snapshot = sweep->snapshot;

	while (visit->wait >= 0)
	{
		const FtLockMember *waiter = &snapshot->members[visit->wait];
		const FtContendedLock *lock = &snapshot->locks[sweep->lock_of[visit->wait]];
		LOCKMASK	conflicts = ft_lock_conflicts(lock, waiter->waited);

		while (visit->blocker < lock->member_count)
		{
			const FtLockMember *other = &snapshot->members[lock->first_member + visit->blocker++];
			int			node = sweep->forest->node_of[other->group];

			if (node >= 0 && sweep->waits[node] > 0 && other->group != waiter->group &&
				((conflicts & other->held) ||
				 (other->place >= 0 && other->place < waiter->place &&
				  (conflicts & LOCKBIT_ON(other->waited)))))
				return node;
		}
		visit->wait = next_wait(sweep, sweep->next_of_node[visit->wait]);
		visit->blocker = 0;
	}
	return -1;
}

/*
 * Tarjan's strongly connected components, without recursion, from one node.
 */
typedef struct Search
{
	const Sweep *sweep;
	int		   *found;			/* by node: when, from 1; 0 for not yet */
	int		   *lowest;			/* by node: earliest that it leads back to */
	bool	   *open;			/* by node: its component is not complete */
	int		   *stack;			/* open nodes */
	int			stack_count;
	Visit	   *path;
	int			clock;
} Search;

static void
enter(Search *search, int depth, int node)
{
	search->found[node] = search->lowest[node] = ++search->clock;
	search->open[node] = true;
	search->stack[search->stack_count++] = node;
	search->path[depth].node = node;
	search->path[depth].wait = next_wait(search->sweep, search->sweep->first_of_node[node]);
	search->path[depth].blocker = 0;
}

static void
search_from(Search *search, FtBlockingForest *forest, int start)
{
	int			depth = 0;

	enter(search, 0, start);
	while (depth >= 0)
	{
		int			node = search->path[depth].node;
		int			next = next_blocker(search->sweep, &search->path[depth]);

		if (next >= 0)
		{
			if (search->found[next] == 0)
				enter(search, ++depth, next);
			else if (search->open[next])
				search->lowest[node] = Min(search->lowest[node], search->found[next]);
			continue;
		}

		if (search->lowest[node] == search->found[node])
		{
			bool		several = search->stack[search->stack_count - 1] != node;
			int			member;

			do
			{
				member = search->stack[--search->stack_count];
				search->open[member] = false;
				forest->nodes[member].in_cycle = several;
			} while (member != node);
		}
		if (--depth >= 0)
			search->lowest[search->path[depth].node] =
				Min(search->lowest[search->path[depth].node], search->lowest[node]);
	}
}

static void
search_cycles(const Sweep *sweep, FtBlockingForest *forest)
{
	Search		search = {0};
	int			room = forest->node_count + 1;

	search.sweep = sweep;
	search.found = palloc0(sizeof(int) * room);
	search.lowest = palloc0(sizeof(int) * room);
	search.open = palloc0(sizeof(bool) * room);
	search.stack = palloc(sizeof(int) * room);
	search.path = palloc(sizeof(Visit) * room);

	for (int i = 0; i < forest->node_count; i++)
	{
		if (sweep->waits[i] > 0 && search.found[i] == 0)
			search_from(&search, forest, i);
	}
}

/*
 * Set in_cycle of the nodes that wait for one another.
 */
void
ft_blocking_mark_cycles(FtBlockingForest *forest)
{
	Sweep		sweep;

	sweep_init(&sweep, forest);
	for (int i = forest->snapshot->lock_count - 1; i >= 0; i--)
		look_again(&sweep, i);
	while (sweep.work_count > 0)
	{
		int			lock = sweep.work[--sweep.work_count];

		/* before the sweep, which may find reason to come back */
		sweep.locks[lock].pending = false;
		sweep_lock(&sweep, lock);
	}
	if (sweep.left > 0)
		search_cycles(&sweep, forest);
}
