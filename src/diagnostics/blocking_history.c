/*-------------------------------------------------------------------------
 *
 * blocking_history.c
 *	  ft.blocking_history(): who blocked whom, some time ago.
 *
 * Samples are folded.  An episode is the time in which one root, a session or
 * a prepared transaction, had others waiting for it without a pause of more
 * than a few samples.  Each statement that waited in it has one row, with when
 * it was first and last seen to wait, where it last stood in the chain, and
 * what was the worst; the root has one for all that it did meanwhile.
 *
 * Between two samples in which nothing of any chain changed there is nothing
 * to do: so time is cut where some run begins or ends, and each piece is
 * looked at once.
 *
 * Locking: see history_store.c; the rest is worked out from the copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "diagnostics/catalog_names.h"
#include "diagnostics/history.h"
#include "errors.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_blocking_history);

/* An episode goes on over so many samples without it. */
#define MAX_PAUSE			5

/* A path longer than this is given by its root and its last steps. */
#define MAX_PATH_LENGTH		100

/* Who waits for less is not counted for the severity, as live. */
#define COUNTED_WAIT_US		USECS_PER_SEC

/* Levels that are not known yet. */
#define LEVEL_UNKNOWN		(-1)
#define LEVEL_ON_WAY		(-2)

/* Columns of ft.blocking_history(), before and after those of a session. */
enum
{
	COLUMN_EPISODE,
	COLUMN_FIRST_SEEN,
	COLUMN_LAST_SEEN,
	COLUMN_DURATION,
	COLUMN_SAMPLES,
	COLUMN_ROOT_PID,
	COLUMN_LEVEL,
	COLUMN_PATH,
	COLUMN_SEVERITY,
	COLUMN_VICTIMS,
	COLUMN_LONGEST_WAIT,
	COLUMN_SESSION,				/* and what else is known of it */
	COLUMNS = COLUMN_SESSION + FT_HISTORY_COLUMNS
};

/* A session in one piece of time. */
typedef struct Place
{
	int			run;			/* index into history->runs */
	int			parent;			/* index of its blocker, -1 for a root */
	int			root;
	int			level;
	int			victims;		/* all below it */
	int			counted;		/* of these, who waited long enough */
} Place;

typedef struct NodeKey
{
	int			pid;
	TransactionId xid;			/* of a prepared transaction */
} NodeKey;

typedef struct NodeEntry
{
	NodeKey		key;
	int			node;
} NodeEntry;

/* The episodes of one root. */
typedef struct RootKey
{
	TimestampTz backend_start;
	int			pid;
	TransactionId xid;
} RootKey;

typedef struct RootEntry
{
	RootKey		key;
	int			episode;		/* the newest */
	uint64		last_sample;
} RootEntry;

typedef struct WaitKey
{
	TimestampTz backend_start;
	TimestampTz query_start;	/* 0 for the root */
	int			episode;
	int			pid;
	TransactionId xid;
	int			unused;
} WaitKey;

/* One row of the result. */
typedef struct Wait
{
	WaitKey		key;
	uint64		first_sample;
	uint64		last_sample;
	int			samples;
	int			run;			/* the newest */
	int			root_pid;
	int			level;
	int			blocker_pid;
	int			victims;		/* most at a time */
	int			counted;
	int64		longest_wait;	/* microseconds */
	int		   *path;
	int			path_length;
	bool		is_root;
} Wait;

typedef struct Folding
{
	const FtHistory *history;
	Place	   *nodes;			/* of the piece that is looked at */
	int			node_count;
	int		   *by_level;		/* nodes, roots first */
	HTAB	   *roots;			/* RootEntry */
	HTAB	   *waits;			/* Wait */
	int			episodes;
} Folding;

static HTAB *
create_table(const char *name, Size key_size, Size entry_size)
{
	HASHCTL		control = {0};

	control.keysize = key_size;
	control.entrysize = entry_size;
	control.hcxt = CurrentMemoryContext;
	return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static const FtHistoryState *
node_state(const Folding *folding, int node)
{
	return &folding->history->runs[folding->nodes[node].run].state;
}

/* Who waits for whom. */
static void
find_parents(Folding *folding)
{
	HTAB	   *table = create_table("sessions", sizeof(NodeKey), sizeof(NodeEntry));

	for (int i = 0; i < folding->node_count; i++)
	{
		const FtHistoryState *state = node_state(folding, i);
		NodeKey		key = {state->pid, state->pid == 0 ? state->xid : 0};
		NodeEntry  *entry = hash_search(table, &key, HASH_ENTER, NULL);

		entry->node = i;
	}
	for (int i = 0; i < folding->node_count; i++)
	{
		const FtHistoryState *state = node_state(folding, i);
		NodeKey		key = {state->blocker_pid, state->blocker_xid};
		NodeEntry  *entry = NULL;

		if ((state->flags & FT_HISTORY_BLOCKED) && !(state->flags & FT_HISTORY_ROOT))
			entry = hash_search(table, &key, HASH_FIND, NULL);
		folding->nodes[i].parent = entry == NULL || entry->node == i ? -1 : entry->node;
		folding->nodes[i].level = LEVEL_UNKNOWN;
	}
	hash_destroy(table);
}

/*
 * Level and root of each node.  Cycles were cut when they were sampled; one
 * that turns up all the same, because two samples are folded, is cut again.
 */
static void
find_levels(Folding *folding)
{
	Place	   *nodes = folding->nodes;
	int		   *way = palloc(sizeof(int) * (folding->node_count + 1));

	for (int i = 0; i < folding->node_count; i++)
	{
		int			length = 0;
		int			node = i;

		while (nodes[node].level == LEVEL_UNKNOWN)
		{
			int			parent = nodes[node].parent;

			way[length++] = node;
			nodes[node].level = LEVEL_ON_WAY;
			if (parent < 0)
				break;
			if (nodes[parent].level == LEVEL_ON_WAY)
			{
				nodes[node].parent = -1;
				break;
			}
			node = parent;
		}
		while (length > 0)
		{
			Place	   *at = &nodes[way[--length]];

			at->level = at->parent < 0 ? 0 : nodes[at->parent].level + 1;
			at->root = at->parent < 0 ? way[length] : nodes[at->parent].root;
		}
	}
	pfree(way);
}

/* Put nodes in the order of their levels, by counting them. */
static void
order_by_level(Folding *folding)
{
	int		   *next = palloc0(sizeof(int) * (folding->node_count + 2));

	for (int i = 0; i < folding->node_count; i++)
		next[folding->nodes[i].level + 1]++;
	for (int i = 1; i <= folding->node_count; i++)
		next[i] += next[i - 1];
	for (int i = 0; i < folding->node_count; i++)
		folding->by_level[next[folding->nodes[i].level]++] = i;
	pfree(next);
}

static int64
wait_until(const FtHistoryState *state, TimestampTz until)
{
	if ((state->flags & FT_HISTORY_WAITS) == 0 || state->wait_start == 0 ||
		state->wait_start > until)
		return 0;
	return until - state->wait_start;
}

/* Add up what waits below each node. */
static void
count_victims(Folding *folding, TimestampTz until)
{
	for (int i = folding->node_count - 1; i >= 0; i--)
	{
		int			node = folding->by_level[i];
		Place	   *at = &folding->nodes[node];
		Place	   *parent;

		if (at->parent < 0)
			continue;
		parent = &folding->nodes[at->parent];
		parent->victims += at->victims + 1;
		parent->counted += at->counted +
			(wait_until(node_state(folding, node), until) >= COUNTED_WAIT_US);
	}
}

/* The episode of a root that goes on, or a new one. */
static int
find_episode(Folding *folding, const FtHistoryState *root, uint64 first, uint64 last)
{
	RootKey		key = {0};
	RootEntry  *entry;
	bool		found;

	key.pid = root->pid;
	key.backend_start = root->backend_start;
	key.xid = root->pid == 0 ? root->xid : 0;
	entry = hash_search(folding->roots, &key, HASH_ENTER, &found);
	if (!found || first > entry->last_sample + MAX_PAUSE + 1)
		entry->episode = folding->episodes++;
	entry->last_sample = last;
	return entry->episode;
}

/* From the root to a node, as pids; of a long one the root and the last steps. */
static void
set_path(const Folding *folding, int node, Wait *wait)
{
	int			length = Min(folding->nodes[node].level + 1, MAX_PATH_LENGTH);

	if (wait->path == NULL || wait->path_length < length)
		wait->path = palloc(sizeof(int) * length);
	wait->path_length = length;
	for (int i = length - 1; i > 0; i--)
	{
		wait->path[i] = node_state(folding, node)->pid;
		node = folding->nodes[node].parent;
	}
	wait->path[0] = node_state(folding, folding->nodes[node].root)->pid;
}

/* Enter one node of one piece of time. */
static void
fold_node(Folding *folding, int index, int episode, uint64 first, uint64 last)
{
	const Place *node = &folding->nodes[index];
	const FtHistoryState *state = node_state(folding, index);
	bool		is_root = node->parent < 0;
	int			root_pid = node_state(folding, node->root)->pid;
	WaitKey		key = {0};
	Wait	   *wait;
	bool		found;

	key.episode = episode;
	key.pid = state->pid;
	key.backend_start = state->backend_start;
	key.xid = state->pid == 0 ? state->xid : 0;
	key.query_start = is_root ? 0 : state->query_start;
	wait = hash_search(folding->waits, &key, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) wait + sizeof(WaitKey), 0, sizeof(Wait) - sizeof(WaitKey));
		wait->first_sample = first;
		wait->is_root = is_root;
	}
	if (!found || wait->level != node->level || wait->blocker_pid != state->blocker_pid)
	{
		wait->root_pid = root_pid;
		wait->level = node->level;
		wait->blocker_pid = state->blocker_pid;
		set_path(folding, index, wait);
	}
	wait->last_sample = last;
	wait->samples += (int) (last - first + 1);
	wait->run = node->run;
	wait->victims = Max(wait->victims, node->victims);
	wait->counted = Max(wait->counted, node->counted);
	wait->longest_wait = Max(wait->longest_wait,
							 wait_until(state, ft_history_at(folding->history, last)));
}

/* One piece of time, in which nothing of any chain changed. */
static void
fold_piece(Folding *folding, uint64 first, uint64 last)
{
	int		   *episodes;

	for (int i = 0; i < folding->node_count; i++)
		folding->nodes[i].victims = folding->nodes[i].counted = 0;
	find_parents(folding);
	find_levels(folding);
	order_by_level(folding);
	count_victims(folding, ft_history_at(folding->history, last));

	/* roots come first; who waits alone, for nobody that is known, is none */
	episodes = palloc(sizeof(int) * folding->node_count);
	for (int i = 0; i < folding->node_count; i++)
	{
		int			index = folding->by_level[i];
		const Place *node = &folding->nodes[index];

		if (node->parent < 0)
			episodes[index] = find_episode(folding, node_state(folding, index), first, last);
		fold_node(folding, index, episodes[node->root], first, last);
	}
	pfree(episodes);
}

static int
compare_samples(const void *left, const void *right)
{
	uint64		a = *(const uint64 *) left;
	uint64		b = *(const uint64 *) right;

	return a < b ? -1 : a > b;
}

/* Where some run begins, or the one after its end; sorted, each once. */
static uint64 *
find_cuts(const FtHistory *history, int *count)
{
	uint64	   *cuts = MemoryContextAllocHuge(CurrentMemoryContext,
											  sizeof(uint64) * (2 * (Size) history->run_count + 2));
	int			total = 0;
	int			distinct = 0;

	for (int i = 0; i < history->run_count; i++)
	{
		cuts[total++] = Max(history->runs[i].first_sample, history->first_sample);
		cuts[total++] = Min(history->runs[i].last_sample, history->last_sample) + 1;
	}
	qsort(cuts, total, sizeof(uint64), compare_samples);
	for (int i = 0; i < total; i++)
	{
		if (distinct == 0 || cuts[distinct - 1] != cuts[i])
			cuts[distinct++] = cuts[i];
	}
	*count = distinct;
	return cuts;
}

/*
 * Go through time, piece by piece, with the runs that are there in each.
 */
static void
fold(Folding *folding)
{
	const FtHistory *history = folding->history;
	int			count;
	uint64	   *cuts = find_cuts(history, &count);
	int			next = 0;

	folding->nodes = MemoryContextAllocHuge(CurrentMemoryContext,
											sizeof(Place) * ((Size) history->run_count + 1));
	folding->by_level = MemoryContextAllocHuge(CurrentMemoryContext,
											   sizeof(int) * ((Size) history->run_count + 1));
	for (int i = 0; i + 1 < count; i++)
	{
		int			kept = 0;

		CHECK_FOR_INTERRUPTS();
		for (int j = 0; j < folding->node_count; j++)
		{
			if (history->runs[folding->nodes[j].run].last_sample >= cuts[i])
				folding->nodes[kept++].run = folding->nodes[j].run;
		}
		while (next < history->run_count && history->runs[next].first_sample <= cuts[i])
		{
			if (history->runs[next].last_sample >= cuts[i])
				folding->nodes[kept++].run = next;
			next++;
		}
		folding->node_count = kept;
		if (kept > 0)
			fold_piece(folding, cuts[i], cuts[i + 1] - 1);
	}
}

/* Episodes as they began, in each the tree. */
static int
compare_waits(const void *left, const void *right)
{
	const Wait *a = *(const Wait *const *) left;
	const Wait *b = *(const Wait *const *) right;

	if (a->key.episode != b->key.episode)
		return a->key.episode < b->key.episode ? -1 : 1;
	for (int i = 0; i < a->path_length && i < b->path_length; i++)
	{
		if (a->path[i] != b->path[i])
			return a->path[i] < b->path[i] ? -1 : 1;
	}
	if (a->path_length != b->path_length)
		return a->path_length < b->path_length ? -1 : 1;
	if (a->first_sample != b->first_sample)
		return a->first_sample < b->first_sample ? -1 : 1;
	return a->key.query_start < b->key.query_start ? -1 :
		a->key.query_start > b->key.query_start;
}

/* The worst wait below each root counts for the root as well. */
static void
raise_roots(Wait **waits, int count)
{
	Wait	   *root = NULL;

	for (int i = 0; i < count; i++)
	{
		if (root == NULL || root->key.episode != waits[i]->key.episode)
			root = waits[i];
		root->longest_wait = Max(root->longest_wait, waits[i]->longest_wait);
	}
}

static Datum
duration_datum(int64 microseconds)
{
	Interval   *duration = palloc0(sizeof(Interval));

	duration->time = microseconds;
	return IntervalPGetDatum(duration);
}

static void
put_wait(ReturnSetInfo *rsinfo, const Folding *folding, const Wait *wait,
		 FtHistoryViewer *viewer, const FtThresholds *thresholds)
{
	const FtHistory *history = folding->history;
	TimestampTz first = ft_history_at(history, wait->first_sample);
	TimestampTz last = ft_history_at(history, wait->last_sample);
	FtSeverity	severity = ft_severity_of(ft_threshold(thresholds, "lock_wait"),
										  (double) wait->longest_wait / USECS_PER_SEC);
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {0};
	Datum	   *path = palloc(sizeof(Datum) * wait->path_length);

	if (wait->is_root)
		severity = Max(severity, ft_severity_of(ft_threshold(thresholds, "blocked_sessions"),
												wait->counted));
	for (int i = 0; i < wait->path_length; i++)
		path[i] = Int32GetDatum(wait->path[i]);

	values[COLUMN_EPISODE] = Int32GetDatum(wait->key.episode + 1);
	values[COLUMN_FIRST_SEEN] = TimestampTzGetDatum(first);
	values[COLUMN_LAST_SEEN] = TimestampTzGetDatum(last);
	values[COLUMN_DURATION] = duration_datum(last - first);
	values[COLUMN_SAMPLES] = Int32GetDatum(wait->samples);
	values[COLUMN_ROOT_PID] = Int32GetDatum(wait->root_pid);
	values[COLUMN_LEVEL] = Int32GetDatum(wait->level);
	values[COLUMN_PATH] =
		PointerGetDatum(construct_array(path, wait->path_length, INT4OID, sizeof(int32), true,
										TYPALIGN_INT));
	values[COLUMN_SEVERITY] = CStringGetTextDatum(ft_severity_name(severity));
	values[COLUMN_VICTIMS] = Int32GetDatum(wait->victims);
	values[COLUMN_LONGEST_WAIT] = duration_datum(wait->longest_wait);
	nulls[COLUMN_LONGEST_WAIT] = wait->longest_wait == 0;
	ft_history_row(viewer, &history->runs[wait->run].state,
				   &values[COLUMN_SESSION], &nulls[COLUMN_SESSION]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static Wait **
sort_waits(const Folding *folding, int *count)
{
	HASH_SEQ_STATUS scan;
	Wait	   *wait;
	Wait	  **waits;

	*count = 0;
	waits = MemoryContextAllocHuge(CurrentMemoryContext,
								   sizeof(Wait *) * (hash_get_num_entries(folding->waits) + 1));
	hash_seq_init(&scan, folding->waits);
	while ((wait = hash_seq_search(&scan)) != NULL)
		waits[(*count)++] = wait;
	qsort(waits, *count, sizeof(Wait *), compare_waits);
	return waits;
}

/*
 * ft.blocking_history("from" timestamptz, "to" timestamptz)
 */
Datum
ft_blocking_history(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz from = PG_ARGISNULL(0) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz to = PG_ARGISNULL(1) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(1);
	Folding		folding = {0};
	FtHistoryViewer *viewer;
	FtThresholds *thresholds;
	Wait	  **waits;
	int			count;
	MemoryContext work;
	MemoryContext caller;

	ft_require_preload("ft.blocking_history()");
	InitMaterializedSRF(fcinfo, 0);
	folding.history = ft_history_read(from, to, FT_HISTORY_IN_CHAIN);
	if (folding.history->run_count == 0)
		return (Datum) 0;
	folding.roots = create_table("roots", sizeof(RootKey), sizeof(RootEntry));
	folding.waits = create_table("waits", sizeof(WaitKey), sizeof(Wait));
	fold(&folding);
	waits = sort_waits(&folding, &count);
	raise_roots(waits, count);

	thresholds = ft_thresholds_read();
	ft_names_begin();
	viewer = ft_history_viewer(folding.history);
	work = AllocSetContextCreate(CurrentMemoryContext, "fault_tolerance rows",
								 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(work);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_wait(rsinfo, &folding, waits[i], viewer, thresholds);
		MemoryContextReset(work);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	ft_names_end();
	return (Datum) 0;
}
