/*-------------------------------------------------------------------------
 *
 * blocking.c
 *	  ft.blocking_edges() and ft.blocking_chains(): who blocks whom.
 *
 * Gather: a copy of the contended locks, and of the sessions in them.
 * Decide: edges or a forest, and advice on roots, from the copies alone.
 * Act: rows.
 *
 * The server's pg_blocking_pids() answers for one session at a time; what is
 * said here of each agrees with it.  Sessions that block only a serializable
 * one that waits for a safe snapshot are no part of it, as there.
 *
 * Locking: see lock_snapshot.c and catalog_names.c; none is waited for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "diagnostics/activity.h"
#include "diagnostics/blocking_advice.h"
#include "diagnostics/blocking_forest.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/lock_object.h"
#include "diagnostics/lock_snapshot.h"
#include "diagnostics/prepared.h"
#include "guc.h"
#include "traceparent.h"

PG_FUNCTION_INFO_V1(ft_blocking_edges);
PG_FUNCTION_INFO_V1(ft_blocking_chains);

/*
 * A path longer than this is given by its root and its last steps: or a chain
 * of n sessions would have n * n / 2 of them.
 */
#define MAX_PATH_LENGTH	100

/* How many modes there can be: names are shared between rows. */
typedef struct ModeNames
{
	Datum		names[MAX_LOCKMODES];
} ModeNames;

/* What many rows say of one lock. */
typedef struct LockTexts
{
	Datum		type;
	Datum		object;
} LockTexts;

/* Columns of ft.blocking_edges(). */
enum
{
	EDGE_PID,
	EDGE_BLOCKER_PID,
	EDGE_BLOCK_KIND,
	EDGE_LOCKTYPE,
	EDGE_WAITED_MODE,
	EDGE_HELD_MODE,
	EDGE_PREPARED_GID,
	EDGE_BLOCKER_WAITED_MODE,
	EDGE_LEADER_PID,
	EDGE_LOCK_OBJECT,
	EDGE_WAIT_START,
	EDGE_SOURCE,
	EDGE_COLUMNS
};

/* Columns of ft.blocking_chains(). */
enum
{
	CHAIN_ROOT_PID,
	CHAIN_LEVEL,
	CHAIN_PATH,
	CHAIN_PID,
	CHAIN_BLOCKER_PID,
	CHAIN_BLOCK_KIND,
	CHAIN_LOCKTYPE,
	CHAIN_LOCK_OBJECT,
	CHAIN_WAITED_MODE,
	CHAIN_WAIT_START,
	CHAIN_WAIT_DURATION,
	CHAIN_VICTIMS_DIRECT,
	CHAIN_VICTIMS_TOTAL,
	CHAIN_IN_CYCLE,
	CHAIN_PREPARED_GID,
	CHAIN_BLOCKER_USER,
	CHAIN_BLOCKER_STATEMENT,
	CHAIN_ACTIVITY,				/* and what follows it in pg_stat_activity */
	CHAIN_RECOMMENDED_ACTION = CHAIN_ACTIVITY + FT_ACTIVITY_COLUMNS,
	CHAIN_RECOMMENDED_SQL,
	CHAIN_RECOMMENDED_REASON,
	CHAIN_HELD_MODE,
	CHAIN_WAITING_PID,
	CHAIN_SOURCE,
	CHAIN_TRACEPARENT,
	CHAIN_COLUMNS
};

static Datum
mode_name(ModeNames *modes, const FtContendedLock *lock, LOCKMODE mode)
{
	if (modes->names[mode] == (Datum) 0)
		modes->names[mode] =
			CStringGetTextDatum(GetLockmodeName(lock->tag.locktag_lockmethodid, mode));
	return modes->names[mode];
}

/*
 * Say what an answer without the lock table lacks.
 */
static void
report_source(const FtLockSnapshot *snapshot)
{
	if (snapshot->source == FT_SOURCE_LOCK_MANAGER)
		return;
	ereport(NOTICE,
			(errmsg("the lock table was not to be had within %d ms, the answer is made from wait events",
					ft_lock_partition_timeout),
			 errdetail("Who holds a lock is known only of locks on transactions. Waiters are ordered by the start of their wait, and those who began to wait just now are missing."),
			 errhint("Sessions that check for deadlocks keep the lock table locked. Ask again, or raise fault_tolerance.lock_partition_timeout.")));
}

static bool
has_prepared(const FtLockSnapshot *snapshot)
{
	for (int i = 0; i < snapshot->member_count; i++)
	{
		if (snapshot->processes[snapshot->members[i].group].pid == 0)
			return true;
	}
	return false;
}

static FtPreparedList *
list_prepared(const FtLockSnapshot *snapshot)
{
	if (has_prepared(snapshot))
		return ft_prepared_list();
	return palloc0(sizeof(FtPreparedList));
}

/*
 * One edge, if a waiter is blocked by another member of its lock.
 */
static bool
is_blocked_by(const FtLockSnapshot *snapshot, const FtContendedLock *lock,
			  const FtLockMember *waiter, int index, LOCKMASK *held)
{
	const FtLockMember *other = &snapshot->members[index];
	LOCKMASK	conflicts = ft_lock_conflicts(lock, waiter->waited);
	bool		soft;

	*held = 0;
	if (other->group == waiter->group)
		return false;

	soft = other->place >= 0 && other->place < waiter->place &&
		(conflicts & LOCKBIT_ON(other->waited));
	if (!snapshot->processes[other->procno].parallel)
	{
		*held = other->held & conflicts;
		return *held != 0 || soft;
	}

	/* a group of several processes is told of once, and hard if any is */
	for (int i = lock->first_member; i < lock->first_member + lock->member_count; i++)
	{
		const FtLockMember *member = &snapshot->members[i];

		if (member->group != other->group)
			continue;
		*held |= member->held & conflicts;
		if (member->held & conflicts ||
			(member->place >= 0 && member->place < waiter->place &&
			 (conflicts & LOCKBIT_ON(member->waited))))
		{
			if (i < index)
				return false;
			soft |= i == index;
		}
	}
	return (other->held & conflicts) || soft;
}

static void
put_edges_of_lock(const FtLockSnapshot *snapshot, int index, int only_group,
				  const FtPreparedList *prepared, ModeNames *modes,
				  Datum kinds[2], Datum source, ReturnSetInfo *rsinfo)
{
	const FtContendedLock *lock = &snapshot->locks[index];
	LockTexts	texts = {0};

	for (int i = 0; i < lock->queue_length; i++)
	{
		const FtLockMember *waiter = &snapshot->members[snapshot->queue[lock->first_in_queue + i]];
		const FtLockProcess *process = &snapshot->processes[waiter->procno];

		if (only_group >= 0 && waiter->group != only_group)
			continue;
		CHECK_FOR_INTERRUPTS();

		if (texts.type == (Datum) 0)
		{
			texts.type = CStringGetTextDatum(ft_lock_type(&lock->tag));
			texts.object = CStringGetTextDatum(ft_lock_object(&lock->tag, NULL));
		}

		for (int j = lock->first_member; j < lock->first_member + lock->member_count; j++)
		{
			const FtLockMember *other = &snapshot->members[j];
			const FtLockProcess *blocker = &snapshot->processes[other->group];
			Datum		values[EDGE_COLUMNS] = {0};
			bool		nulls[EDGE_COLUMNS] = {0};
			LOCKMASK	held;

			if (!is_blocked_by(snapshot, lock, waiter, j, &held))
				continue;

			values[EDGE_PID] = Int32GetDatum(process->pid);
			values[EDGE_BLOCKER_PID] = Int32GetDatum(blocker->pid);
			values[EDGE_BLOCK_KIND] = kinds[held != 0];
			values[EDGE_LOCKTYPE] = texts.type;
			values[EDGE_WAITED_MODE] = mode_name(modes, lock, waiter->waited);
			if (held != 0)
				values[EDGE_HELD_MODE] = mode_name(modes, lock, ft_strongest_mode(held));
			else
				nulls[EDGE_HELD_MODE] = true;
			nulls[EDGE_PREPARED_GID] = true;
			if (blocker->pid == 0)
			{
				const FtPrepared *transaction = ft_prepared_find(prepared, blocker->xid);

				if (transaction != NULL)
				{
					values[EDGE_PREPARED_GID] = CStringGetTextDatum(transaction->gid);
					nulls[EDGE_PREPARED_GID] = false;
				}
			}
			if (other->waited != NoLock)
				values[EDGE_BLOCKER_WAITED_MODE] = mode_name(modes, lock, other->waited);
			else
				nulls[EDGE_BLOCKER_WAITED_MODE] = true;
			values[EDGE_LEADER_PID] = Int32GetDatum(snapshot->processes[waiter->group].pid);
			values[EDGE_LOCK_OBJECT] = texts.object;
			if (process->wait_start != 0)
				values[EDGE_WAIT_START] = TimestampTzGetDatum(process->wait_start);
			else
				nulls[EDGE_WAIT_START] = true;
			values[EDGE_SOURCE] = source;
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
}

/* The lock group of a process; -1 if it has to do with no contended lock. */
static int
group_of_pid(const FtLockSnapshot *snapshot, int pid)
{
	for (int i = 0; i < snapshot->process_count; i++)
	{
		if (snapshot->processes[i].known && pid != 0 && snapshot->processes[i].pid == pid)
			return snapshot->processes[i].group;
	}
	return -1;
}

Datum
ft_blocking_edges(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtLockSnapshot *snapshot;
	FtPreparedList *prepared;
	ModeNames	modes = {0};
	Datum		kinds[2];
	Datum		source;
	int			only_group = -1;

	InitMaterializedSRF(fcinfo, 0);
	snapshot = ft_lock_snapshot_take();
	report_source(snapshot);
	if (!PG_ARGISNULL(0))
	{
		only_group = group_of_pid(snapshot, PG_GETARG_INT32(0));
		if (only_group < 0)
			return (Datum) 0;
	}

	prepared = list_prepared(snapshot);
	kinds[false] = CStringGetTextDatum("soft");
	kinds[true] = CStringGetTextDatum("hard");
	source = CStringGetTextDatum(ft_lock_source_name(snapshot->source));

	ft_names_begin();
	for (int i = 0; i < snapshot->lock_count; i++)
		put_edges_of_lock(snapshot, i, only_group, prepared, &modes, kinds, source, rsinfo);
	ft_names_end();
	return (Datum) 0;
}

/* All that rows of ft.blocking_chains() are made from. */
typedef struct Chains
{
	const FtLockSnapshot *snapshot;
	const FtBlockingForest *forest;
	const FtPreparedList *prepared;
	FtActivity *activities;		/* by node */
	LockTexts  *locks;			/* by lock, made when first needed */
	ModeNames	modes;
	Datum		hard;
	Datum		soft;
	Datum		source;
} Chains;

/* A prepared transaction has no session: what is known of it stands there. */
static void
describe_prepared(const FtPrepared *prepared, FtActivity *activity)
{
	const FtDatabaseName *database = ft_database_name(prepared->database);
	const FtRoleName *owner = ft_role_name(prepared->owner);
	Datum	   *values = activity->values;
	bool	   *nulls = activity->nulls;

	values[FT_ACTIVITY_DATID] = ObjectIdGetDatum(prepared->database);
	nulls[FT_ACTIVITY_DATID] = false;
	if (database != NULL)
	{
		values[FT_ACTIVITY_DATNAME] = NameGetDatum(&database->name);
		nulls[FT_ACTIVITY_DATNAME] = false;
	}
	values[FT_ACTIVITY_USESYSID] = ObjectIdGetDatum(prepared->owner);
	nulls[FT_ACTIVITY_USESYSID] = false;
	if (owner != NULL)
	{
		values[FT_ACTIVITY_USENAME] = NameGetDatum(&owner->name);
		nulls[FT_ACTIVITY_USENAME] = false;
	}
	values[FT_ACTIVITY_STATE_CHANGE] = TimestampTzGetDatum(prepared->prepared_at);
	nulls[FT_ACTIVITY_STATE_CHANGE] = false;
	values[FT_ACTIVITY_BACKEND_XID] = TransactionIdGetDatum(prepared->xid);
	nulls[FT_ACTIVITY_BACKEND_XID] = false;
}

static void
read_activities(Chains *chains)
{
	FtActivityReader *reader = ft_activity_reader();

	chains->activities = MemoryContextAllocHuge(CurrentMemoryContext,
												sizeof(FtActivity) * (chains->forest->node_count + 1));
	for (int i = 0; i < chains->forest->node_count; i++)
	{
		int			procno = chains->forest->nodes[i].procno;
		const FtLockProcess *process = &chains->snapshot->processes[procno];

		ft_activity_read(reader, procno, process->pid, &chains->activities[i]);
		if (process->pid == 0)
		{
			const FtPrepared *prepared = ft_prepared_find(chains->prepared, process->xid);

			if (prepared != NULL)
				describe_prepared(prepared, &chains->activities[i]);
		}
	}
}

/* From the root to a node; see MAX_PATH_LENGTH. */
static Datum
make_path(const Chains *chains, int node)
{
	const FtBlockingForest *forest = chains->forest;
	int			length = Min(forest->nodes[node].level + 1, MAX_PATH_LENGTH);
	ArrayType  *path = palloc0(ARR_OVERHEAD_NONULLS(1) + sizeof(int32) * length);
	int32	   *pids;

	SET_VARSIZE(path, ARR_OVERHEAD_NONULLS(1) + sizeof(int32) * length);
	path->ndim = 1;
	path->dataoffset = 0;
	path->elemtype = INT4OID;
	ARR_DIMS(path)[0] = length;
	ARR_LBOUND(path)[0] = 1;
	pids = (int32 *) ARR_DATA_PTR(path);

	for (int i = length - 1; i > 0; i--)
	{
		pids[i] = chains->snapshot->processes[forest->nodes[node].procno].pid;
		node = forest->nodes[node].parent;
	}
	pids[0] = chains->snapshot->processes[forest->nodes[forest->nodes[node].root].procno].pid;
	return PointerGetDatum(path);
}

static void
set(Datum *values, bool *nulls, int column, Datum value)
{
	values[column] = value;
	nulls[column] = false;
}

/* What a session waits for. */
static void
put_wait(Chains *chains, const FtBlockingNode *node, Datum *values, bool *nulls)
{
	const FtLockSnapshot *snapshot = chains->snapshot;
	const FtLockProcess *waiter = &snapshot->processes[node->waiter];
	const FtContendedLock *lock = &snapshot->locks[waiter->lock];
	LockTexts  *texts = &chains->locks[waiter->lock];

	if (texts->type == (Datum) 0)
		texts->type = CStringGetTextDatum(ft_lock_type(&lock->tag));
	if (!waiter->has_row && texts->object == (Datum) 0)
		texts->object = CStringGetTextDatum(ft_lock_object(&lock->tag, NULL));
	set(values, nulls, CHAIN_LOCKTYPE, texts->type);
	set(values, nulls, CHAIN_LOCK_OBJECT,
		waiter->has_row ? CStringGetTextDatum(ft_lock_object(&lock->tag, &waiter->row)) :
		texts->object);
	set(values, nulls, CHAIN_WAITED_MODE,
		mode_name(&chains->modes, lock, snapshot->members[waiter->member].waited));
	set(values, nulls, CHAIN_WAITING_PID, Int32GetDatum(waiter->pid));
	if (waiter->wait_start != 0)
	{
		set(values, nulls, CHAIN_WAIT_START, TimestampTzGetDatum(waiter->wait_start));
		set(values, nulls, CHAIN_WAIT_DURATION,
			DirectFunctionCall2(timestamp_mi,
								TimestampTzGetDatum(Max(snapshot->taken_at, waiter->wait_start)),
								TimestampTzGetDatum(waiter->wait_start)));
	}
	if (node->hard)
		set(values, nulls, CHAIN_HELD_MODE, mode_name(&chains->modes, lock, node->held_mode));
}

/* Whom it waits for. */
static void
put_blocker(Chains *chains, const FtBlockingNode *node, Datum *values, bool *nulls)
{
	const FtBlockingNode *blocker = &chains->forest->nodes[node->blocker];
	const FtActivity *activity = &chains->activities[node->blocker];

	set(values, nulls, CHAIN_BLOCKER_PID,
		Int32GetDatum(chains->snapshot->processes[blocker->procno].pid));
	set(values, nulls, CHAIN_BLOCK_KIND, node->hard ? chains->hard : chains->soft);
	if (!activity->nulls[FT_ACTIVITY_USENAME])
		set(values, nulls, CHAIN_BLOCKER_USER, activity->values[FT_ACTIVITY_USENAME]);
	if (!activity->nulls[FT_ACTIVITY_QUERY])
		set(values, nulls, CHAIN_BLOCKER_STATEMENT, activity->values[FT_ACTIVITY_QUERY]);
}

/* What to do about a root. */
static void
put_advice(Chains *chains, int index, const FtPrepared *prepared, Datum *values, bool *nulls)
{
	const FtBlockingNode *node = &chains->forest->nodes[index];
	const FtLockProcess *process = &chains->snapshot->processes[node->procno];
	FtBlockingRoot root = {0};
	FtBlockingAdvice advice;

	root.is_prepared = process->pid == 0;
	root.prepared = prepared;
	root.activity = &chains->activities[index];
	root.in_cycle = node->in_cycle;
	root.waits = node->waiter >= 0;
	root.status_flags = process->status_flags;
	advice = ft_blocking_advice(&root);

	set(values, nulls, CHAIN_RECOMMENDED_ACTION, CStringGetTextDatum(advice.action));
	set(values, nulls, CHAIN_RECOMMENDED_REASON, CStringGetTextDatum(advice.reason));
	if (advice.sql != NULL)
		set(values, nulls, CHAIN_RECOMMENDED_SQL, CStringGetTextDatum(advice.sql));
}

/* The trace of what a session is doing. */
static void
put_trace(const FtActivity *activity, Datum *values, bool *nulls)
{
	char	   *query = NULL;
	char	   *application = NULL;
	char		trace[FT_TRACEPARENT_SIZE];

	if (activity->visible && !activity->nulls[FT_ACTIVITY_QUERY])
		query = TextDatumGetCString(activity->values[FT_ACTIVITY_QUERY]);
	if (!activity->nulls[FT_ACTIVITY_APPLICATION_NAME])
		application = TextDatumGetCString(activity->values[FT_ACTIVITY_APPLICATION_NAME]);
	if (ft_traceparent_find(query, application, trace))
		set(values, nulls, CHAIN_TRACEPARENT, CStringGetTextDatum(trace));
	if (query != NULL)
		pfree(query);
	if (application != NULL)
		pfree(application);
}

static void
put_node(Chains *chains, int index, ReturnSetInfo *rsinfo)
{
	const FtLockSnapshot *snapshot = chains->snapshot;
	const FtBlockingForest *forest = chains->forest;
	const FtBlockingNode *node = &forest->nodes[index];
	const FtLockProcess *process = &snapshot->processes[node->procno];
	const FtActivity *activity = &chains->activities[index];
	const FtLockProcess *held_by = process;
	const FtPrepared *prepared = NULL;
	Datum		values[CHAIN_COLUMNS];
	bool		nulls[CHAIN_COLUMNS];

	memset(nulls, true, sizeof(nulls));
	set(values, nulls, CHAIN_ROOT_PID,
		Int32GetDatum(snapshot->processes[forest->nodes[node->root].procno].pid));
	set(values, nulls, CHAIN_LEVEL, Int32GetDatum(node->level));
	set(values, nulls, CHAIN_PATH, make_path(chains, index));
	set(values, nulls, CHAIN_PID, Int32GetDatum(process->pid));
	set(values, nulls, CHAIN_VICTIMS_DIRECT, Int32GetDatum(node->victims_direct));
	set(values, nulls, CHAIN_VICTIMS_TOTAL, Int32GetDatum(node->victims_total));
	set(values, nulls, CHAIN_IN_CYCLE, BoolGetDatum(node->in_cycle));
	set(values, nulls, CHAIN_SOURCE, chains->source);

	if (node->waiter >= 0)
		put_wait(chains, node, values, nulls);
	if (node->blocker >= 0)
	{
		put_blocker(chains, node, values, nulls);
		held_by = &snapshot->processes[forest->nodes[node->blocker].procno];
	}

	/* of the row itself, or of its blocker: a waiter is never prepared */
	if (held_by->pid == 0)
		prepared = ft_prepared_find(chains->prepared, held_by->xid);
	if (prepared != NULL)
		set(values, nulls, CHAIN_PREPARED_GID, CStringGetTextDatum(prepared->gid));

	memcpy(&values[CHAIN_ACTIVITY], activity->values, sizeof(activity->values));
	memcpy(&nulls[CHAIN_ACTIVITY], activity->nulls, sizeof(activity->nulls));

	put_trace(activity, values, nulls);

	if (node->level == 0)
		put_advice(chains, index, prepared, values, nulls);

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
ft_blocking_chains(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtLockSnapshot *snapshot;
	Chains		chains = {0};

	InitMaterializedSRF(fcinfo, 0);
	snapshot = ft_lock_snapshot_take();
	report_source(snapshot);
	if (snapshot->lock_count == 0)
		return (Datum) 0;

	chains.snapshot = snapshot;
	chains.forest = ft_blocking_forest(snapshot);
	chains.prepared = list_prepared(snapshot);
	chains.locks = palloc0(sizeof(LockTexts) * snapshot->lock_count);
	chains.hard = CStringGetTextDatum("hard");
	chains.soft = CStringGetTextDatum("soft");
	chains.source = CStringGetTextDatum(ft_lock_source_name(snapshot->source));

	ft_names_begin();
	read_activities(&chains);
	for (int i = 0; i < chains.forest->node_count; i++)
		put_node(&chains, chains.forest->order[i], rsinfo);
	ft_names_end();
	return (Datum) 0;
}
