/*-------------------------------------------------------------------------
 *
 * blocking_victims.c
 *	  How many sessions hang on each blocker.
 *
 * Works on a copy of the lock table only: no locks, no catalogs.
 *
 * One that waits itself has for victims those that stand under it in the
 * forest.  A root that does not wait holds up everybody who wants what it
 * holds, also those that stand under another holder of the same lock, and all
 * that stand under them.  Trees are intervals of the tree order, so these are
 * unions of intervals; holders of a lock in the same modes have the same one,
 * which is worked out once.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnostics/blocking_forest.h"

/* How many different sets of held modes are remembered of one lock. */
#define REMEMBERED_SETS	8

typedef struct Victims
{
	int			direct;
	int			total;
} Victims;

/* A session that waits for a lock, and its tree as an interval. */
typedef struct Waiter
{
	int			position;
	int			size;
	LOCKMODE	waited;
} Waiter;

/* A lock that a root holds. */
typedef struct Hold
{
	int			lock;
	LOCKMASK	held;
	int			next;			/* of the same root, -1 at the end */
} Hold;

static int
compare_waiters(const void *left, const void *right)
{
	const Waiter *a = left;
	const Waiter *b = right;

	return a->position < b->position ? -1 : a->position > b->position;
}

/* Mostly they stand in the order of the queue, which is the tree order. */
static void
sort_waiters(Waiter *waiters, int count)
{
	for (int i = 1; i < count; i++)
	{
		if (waiters[i].position < waiters[i - 1].position)
		{
			qsort(waiters, count, sizeof(Waiter), compare_waiters);
			return;
		}
	}
}

/* The waiters of a lock that stand in the forest for their sessions. */
static int
collect_waiters(const FtBlockingForest *forest, const FtContendedLock *lock, Waiter *waiters)
{
	const FtLockSnapshot *snapshot = forest->snapshot;
	int			count = 0;

	for (int i = 0; i < lock->queue_length; i++)
	{
		const FtLockMember *member = &snapshot->members[snapshot->queue[lock->first_in_queue + i]];
		const FtBlockingNode *node = &forest->nodes[forest->node_of[member->group]];

		if (node->waiter != member->procno)
			continue;
		waiters[count].position = node->position;
		waiters[count].size = node->size;
		waiters[count].waited = member->waited;
		count++;
	}
	return count;
}

/* Those of sorted waiters that are held up, and all that stand under them. */
static Victims
count_held_up(const FtContendedLock *lock, LOCKMASK held, const Waiter *waiters, int count)
{
	Victims		victims = {0, 0};
	int			end = 0;

	for (int i = 0; i < count; i++)
	{
		const Waiter *waiter = &waiters[i];

		if (lock != NULL && (ft_lock_conflicts(lock, waiter->waited) & held) == 0)
			continue;
		victims.direct++;
		if (waiter->position < end)
			continue;
		victims.total += waiter->size;
		end = waiter->position + waiter->size;
	}
	return victims;
}

/* A root that holds more than one lock that others wait for. */
static Victims
count_of_several(const FtBlockingForest *forest, const Hold *holds, int hold, Waiter *waiters)
{
	int			count = 0;

	for (; hold >= 0; hold = holds[hold].next)
	{
		const FtContendedLock *lock = &forest->snapshot->locks[holds[hold].lock];
		int			end = count + collect_waiters(forest, lock, &waiters[count]);

		for (int i = count; i < end; i++)
		{
			if (ft_lock_conflicts(lock, waiters[i].waited) & holds[hold].held)
				waiters[count++] = waiters[i];
		}
	}
	sort_waiters(waiters, count);
	return count_held_up(NULL, 0, waiters, count);
}

/* Roots that hold this lock, and no other that is waited for. */
static void
count_of_lock(FtBlockingForest *forest, int index, const Hold *holds, const int *first_hold,
			  Waiter *waiters)
{
	const FtLockSnapshot *snapshot = forest->snapshot;
	const FtContendedLock *lock = &snapshot->locks[index];
	LOCKMASK	sets[REMEMBERED_SETS];
	Victims		remembered[REMEMBERED_SETS];
	int			set_count = 0;
	int			count = -1;

	for (int i = lock->first_member; i < lock->first_member + lock->member_count; i++)
	{
		int			node = forest->node_of[snapshot->members[i].group];
		const Hold *hold;
		int			set = 0;

		if (node < 0 || first_hold[node] < 0)
			continue;
		hold = &holds[first_hold[node]];
		if (hold->lock != index || hold->next >= 0)
			continue;

		while (set < set_count && sets[set] != hold->held)
			set++;
		if (set == set_count)
		{
			if (count < 0)
			{
				count = collect_waiters(forest, lock, waiters);
				sort_waiters(waiters, count);
			}
			set = Min(set, REMEMBERED_SETS - 1);
			set_count = set + 1;
			sets[set] = hold->held;
			remembered[set] = count_held_up(lock, hold->held, waiters, count);
		}
		forest->nodes[node].victims_direct = remembered[set].direct;
		forest->nodes[node].victims_total = remembered[set].total;
	}
}

/*
 * Needs the tree order, and in victims_direct how many children each has.
 */
void
ft_blocking_count_victims(FtBlockingForest *forest)
{
	const FtLockSnapshot *snapshot = forest->snapshot;
	Hold	   *holds = palloc(sizeof(Hold) * (snapshot->member_count + 1));
	int		   *first_hold = palloc(sizeof(int) * (forest->node_count + 1));
	Waiter	   *waiters = palloc(sizeof(Waiter) * (snapshot->queue_count + 1));
	int			hold_count = 0;

	for (int i = 0; i < forest->node_count; i++)
	{
		first_hold[i] = -1;
		forest->nodes[i].victims_total = forest->nodes[i].size - 1;
	}

	for (int i = 0; i < snapshot->lock_count; i++)
	{
		const FtContendedLock *lock = &snapshot->locks[i];

		for (int j = lock->first_member; j < lock->first_member + lock->member_count; j++)
		{
			int			node = forest->node_of[snapshot->members[j].group];
			LOCKMASK	held;

			if (node < 0 || forest->nodes[node].waiter >= 0)
				continue;
			held = ft_group_holds(snapshot, lock, j);
			if (held == 0)
				continue;
			holds[hold_count].lock = i;
			holds[hold_count].held = held;
			holds[hold_count].next = first_hold[node];
			first_hold[node] = hold_count++;
		}
	}

	for (int i = 0; i < snapshot->lock_count; i++)
		count_of_lock(forest, i, holds, first_hold, waiters);
	for (int i = 0; i < forest->node_count; i++)
	{
		Victims		victims;

		if (first_hold[i] < 0 || holds[first_hold[i]].next < 0)
			continue;
		victims = count_of_several(forest, holds, first_hold[i], waiters);
		forest->nodes[i].victims_direct = victims.direct;
		forest->nodes[i].victims_total = victims.total;
	}
	pfree(holds);
	pfree(first_hold);
	pfree(waiters);
}
