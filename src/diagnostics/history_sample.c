/*-------------------------------------------------------------------------
 *
 * history_sample.c
 *	  The sampler's look at what all sessions do and who blocks whom.
 *
 * Kept is who is busy: sessions with a statement or inside a transaction,
 * other processes while they wait for something that is not more work; and
 * everybody, idle and prepared ones included, who blocks somebody.  What a
 * process waits for in its main loop is no wait.
 *
 * Gather: a copy of the contended locks, if any session waits for one, and the
 * entry of each process.  Decide: what to keep.  Act: append it.
 *
 * Locking: the lock table is tried for a few milliseconds; see
 * lock_snapshot.c for the rest of it and what is known without.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "diagnostics/backend_entry.h"
#include "diagnostics/blocking_forest.h"
#include "diagnostics/blocking_log.h"
#include "diagnostics/history.h"
#include "diagnostics/prepared.h"
#include "guc.h"
#include "redact.h"

/* How long the lock table is tried for. */
#define LOCK_TABLE_TIMEOUT_MS	5

#define WAIT_CLASS(info_)	((info_) & 0xFF000000)

typedef struct Gathering
{
	FtBackendReader *reader;
	const FtLockSnapshot *snapshot; /* NULL if nobody waits */
	const FtBlockingForest *forest;
	FtHistoryDraftList drafts;
	int			waiting;
} Gathering;

static bool
somebody_waits(void)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		if (*(LOCK *volatile *) &ProcGlobal->allProcs[i].waitLock != NULL)
			return true;
	}
	return false;
}

static FtHistoryDraft *
add_draft(Gathering *gathering, int procno)
{
	FtHistoryDraftList *drafts = &gathering->drafts;
	FtHistoryDraft *draft;

	if (drafts->count == drafts->capacity)
	{
		drafts->capacity *= 2;
		drafts->items = repalloc_huge(drafts->items, sizeof(FtHistoryDraft) * drafts->capacity);
	}
	draft = &drafts->items[drafts->count++];
	memset(draft, 0, sizeof(FtHistoryDraft));
	draft->procno = procno;
	return draft;
}

static const FtBlockingNode *
find_node(const Gathering *gathering, int procno)
{
	int			node;

	if (gathering->forest == NULL)
		return NULL;
	node = gathering->forest->node_of[procno];
	return node < 0 ? NULL : &gathering->forest->nodes[node];
}

/* What a process waits for, and who has to go first. */
static void
note_blocking(const Gathering *gathering, const FtBlockingNode *node, FtHistoryState *state)
{
	const FtLockSnapshot *snapshot = gathering->snapshot;

	state->flags |= FT_HISTORY_IN_CHAIN;
	if (node->parent < 0)
		state->flags |= FT_HISTORY_ROOT;
	if (node->in_cycle)
		state->flags |= FT_HISTORY_CYCLE;
	if (node->waiter >= 0)
	{
		const FtLockProcess *waiter = &snapshot->processes[node->waiter];

		state->flags |= FT_HISTORY_WAITS;
		state->tag = snapshot->locks[waiter->lock].tag;
		state->waited_mode = snapshot->members[waiter->member].waited;
		state->wait_start = waiter->wait_start;
		if (waiter->has_row)
		{
			state->flags |= FT_HISTORY_ROW;
			state->row = waiter->row;
		}
	}
	if (node->blocker >= 0)
	{
		const FtBlockingNode *blocker = &gathering->forest->nodes[node->blocker];
		const FtLockProcess *process = &snapshot->processes[blocker->procno];

		state->flags |= FT_HISTORY_BLOCKED;
		state->blocker_pid = process->pid;
		if (process->pid == 0)
			state->blocker_xid = process->xid;
		if (node->hard)
		{
			state->flags |= FT_HISTORY_HARD;
			state->held_mode = node->held_mode;
		}
	}
}

/* Is it busy, or something that is worth knowing all the same? */
static bool
is_busy(const FtBackendEntry *entry, uint32 wait_event_info, const PGPROC *proc)
{
	uint32		class = WAIT_CLASS(wait_event_info);

	if (class == PG_WAIT_ACTIVITY)
		return false;
	switch (entry->status.st_state)
	{
		case STATE_RUNNING:
		case STATE_FASTPATH:
		case STATE_IDLEINTRANSACTION:
		case STATE_IDLEINTRANSACTION_ABORTED:
			return true;
		case STATE_DISABLED:
			return TransactionIdIsValid(proc->xid) || TransactionIdIsValid(proc->xmin);
		case STATE_UNDEFINED:
			return class != 0 && class != PG_WAIT_CLIENT && class != PG_WAIT_TIMEOUT &&
				class != PG_WAIT_EXTENSION;
		default:
			return false;
	}
}

/* Its texts, unless they were stored at an earlier sample. */
static void
note_texts(FtHistoryDraft *draft, const FtBackendEntry *entry)
{
	char	   *traceparent;
	char	   *query;
	const char *type;

	draft->state.texts_at = ft_history_known_text(draft->procno, &draft->state);
	if (draft->state.texts_at != 0)
		return;

	traceparent = palloc(FT_TRACEPARENT_SIZE);
	(void) ft_traceparent_find(entry->query, entry->application, traceparent);
	draft->texts.traceparent = traceparent;
	draft->texts.application = pstrdup(entry->application);
	draft->texts.query_length = Min(entry->query_length, ft_history_query_size);
	query = palloc(draft->texts.query_length + 1);
	memcpy(query, entry->query, draft->texts.query_length);
	query[draft->texts.query_length] = '\0';
	if (ft_redact_passwords(query, draft->texts.query_length + 1))
		draft->texts.query_length = strlen(query);
	draft->texts.query = query;

	type = entry->status.st_backendType == B_BG_WORKER ?
		GetBackgroundWorkerTypeByPid(entry->status.st_procpid) : NULL;
	draft->texts.backend_type = type != NULL ? pstrdup(type) : "";
}

static void
gather_process(Gathering *gathering, int procno)
{
	const PGPROC *proc = &ProcGlobal->allProcs[procno];
	const FtBlockingNode *node = find_node(gathering, procno);
	int			pid = *(const volatile int *) &proc->pid;
	uint32		wait_event_info = *(const volatile uint32 *) &proc->wait_event_info;
	FtBackendEntry entry;
	FtHistoryDraft *draft;
	FtHistoryState *state;
	PGPROC	   *leader;

	/* the look at itself is not what happened */
	if (pid == 0 || pid == MyProcPid)
		return;
	if (!ft_backend_entry(gathering->reader, procno, pid, &entry))
		return;
	if (node != NULL && gathering->snapshot->processes[procno].pid != pid)
		node = NULL;			/* it has gone since */
	if (node == NULL && !is_busy(&entry, wait_event_info, proc))
		return;

	draft = add_draft(gathering, procno);
	state = &draft->state;
	leader = proc->lockGroupLeader;
	state->pid = pid;
	state->leader_pid = leader != NULL && leader != proc ? leader->pid : 0;
	state->role = entry.status.st_userid;
	state->database = entry.status.st_databaseid;
	state->xid = proc->xid;
	state->wait_event_info = wait_event_info;
	state->backend_start = entry.status.st_proc_start_timestamp;
	state->query_start = entry.status.st_activity_start_timestamp;
	state->state_change = entry.status.st_state_start_timestamp;
	state->backend_type = entry.status.st_backendType;
	state->state = entry.status.st_state;
	state->query_id = (int64) entry.status.st_query_id;
	if (entry.status.st_backendType != B_WAL_SENDER)
		state->xact_start = entry.status.st_xact_start_timestamp;
	if (node != NULL)
		note_blocking(gathering, node, state);
	gathering->waiting += (state->flags & FT_HISTORY_WAITS) != 0;
	note_texts(draft, &entry);
}

/* A prepared transaction that blocks: its gid stands as its query. */
static void
gather_prepared(Gathering *gathering, const FtBlockingNode *node)
{
	const FtLockProcess *process = &gathering->snapshot->processes[node->procno];
	const PGPROC *proc = &ProcGlobal->allProcs[node->procno];
	FtHistoryDraft *draft = add_draft(gathering, node->procno);
	char	   *gid = palloc(GIDSIZE);
	FtPrepared	prepared;

	draft->state.xid = process->xid;
	draft->state.role = proc->roleId;
	draft->state.database = proc->databaseId;
	draft->texts.application = draft->texts.backend_type = "";
	draft->texts.traceparent = draft->texts.query = "";
	if (ft_prepared_lookup(process->xid, &prepared, gid))
	{
		draft->state.state_change = prepared.prepared_at;
		draft->texts.query = prepared.gid;
		draft->texts.query_length = strlen(prepared.gid);
	}
	note_blocking(gathering, node, &draft->state);
	draft->state.texts_at = ft_history_known_text(node->procno, &draft->state);
}

static void
gather(Gathering *gathering)
{
	memset(gathering, 0, sizeof(*gathering));
	gathering->reader = ft_backend_reader();
	gathering->drafts.capacity = 64;
	gathering->drafts.items = palloc(sizeof(FtHistoryDraft) * gathering->drafts.capacity);

	if (somebody_waits())
	{
		gathering->snapshot = ft_lock_snapshot_take_within(LOCK_TABLE_TIMEOUT_MS);
		gathering->forest = ft_blocking_forest(gathering->snapshot);
	}
	for (int i = 0; i < (int) ProcGlobal->allProcCount; i++)
		gather_process(gathering, i);
	if (gathering->forest == NULL)
		return;
	for (int i = 0; i < gathering->forest->node_count; i++)
	{
		const FtBlockingNode *node = &gathering->forest->nodes[i];

		if (node->procno >= (int) ProcGlobal->allProcCount)
			gather_prepared(gathering, node);
	}
}

/*
 * Task of the sampler: one sample.
 */
void
ft_history_sample(TimestampTz now)
{
	Gathering	gathering;
	FtHistorySample sample = {.at = now,.source = FT_SOURCE_LOCK_MANAGER};
	instr_time	start;

	if (!ft_history_there())
		return;
	INSTR_TIME_SET_CURRENT(start);
	gather(&gathering);
	if (gathering.snapshot != NULL)
		sample.source = gathering.snapshot->source;
	sample.sessions = gathering.drafts.count;
	sample.waiting = gathering.waiting;
	ft_history_append(&sample, &gathering.drafts, start);
	ft_blocking_log(gathering.snapshot, gathering.forest, now);
}
