/*-------------------------------------------------------------------------
 *
 * lock_order.c
 *	  In which order transactions lock relations: what each of them does.
 *
 * The executor and the utility commands tell which relations are locked in
 * which mode, and in which order.  A lock is a step; one that the transaction
 * has already, or a stronger one, is none.  Only relations that others can
 * lock count: no catalogs, no temporary relations, none that this transaction
 * made; and a partition that is reached through its parent counts as the
 * parent.
 *
 * Nearly all transactions of a session do what others before them did.  So
 * the steps of a transaction are looked up, when it ends, among those known
 * in this process, and if they are there only a counter goes up; it is added
 * to shared memory once a second at most.  Only new ones are taken there at
 * once, with the texts of their statements.  With one relation locked once
 * there is nothing to look up.
 *
 * Where a subtransaction is rolled back its locks are gone, but they were
 * asked for while others were held: that is counted then, and remembered until
 * the end, so that a loop of errors that are caught counts as the one
 * transaction that it is.
 *
 * Locking: after some utility commands, the partitions of the lock table,
 * shared and conditionally, one at a time, to see our own locks.  Relations
 * that are looked at are locked by the transaction itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "coarse_clock.h"
#include "compat.h"
#include "diagnostics/lock_order.h"
#include "guc.h"
#include "recode.h"

#define KNOWN_SEQUENCES		32
#define FLUSH_INTERVAL		USECS_PER_SEC
#define COUNTED_ORDERS		64

/* Steps of one or more transactions of this process. */
typedef struct Sequence
{
	FtLockStep	steps[FT_LOCK_ORDER_STEPS];
	int			count;
	int64		transactions;	/* not yet in shared memory */
	TimestampTz flushed;
} Sequence;

/* The current transaction. */
static FtLockStep steps[FT_LOCK_ORDER_STEPS];
static int	levels[FT_LOCK_ORDER_STEPS];	/* of subtransactions */
static char texts[FT_LOCK_ORDER_STEPS][FT_LOCK_ORDER_TEXT]; /* of their statements */
static int	step_count = 0;
static int	statement_count = 0;	/* that have a step */
static bool statement_has_step = false;
static bool statement_has_text = false;
static bool first_is_checked = false;
static bool truncated = false;

/* What it was counted for already, as subtransactions were rolled back. */
typedef struct CountedOrder
{
	FtLockStep	held;
	FtLockStep	wanted;
} CountedOrder;

static CountedOrder counted[COUNTED_ORDERS];
static int	counted_count = 0;

static Sequence known[KNOWN_SEQUENCES];
static uint32 known_generation = 0;
static bool flush_at_exit = false;

/* covers[held][wanted]: whatever conflicts with wanted does so with held */
static bool covers[MAX_LOCKMODES][MAX_LOCKMODES];

static inline bool
enabled(void)
{
	return ft_track_lock_order && ft_lock_pairs_there();
}

static void
forget(void)
{
	step_count = 0;
	statement_count = 0;
	first_is_checked = false;
	truncated = false;
	counted_count = 0;
}

/*
 * Can another transaction have to do with this relation?  It is one that we
 * have locked.
 */
static bool
is_tracked(Oid relid)
{
	Relation	relation = RelationIdGetRelation(relid);
	bool		result;

	if (!RelationIsValid(relation))
		return false;
	switch (relation->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			result = relation->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
				relation->rd_createSubid == InvalidSubTransactionId;
			break;
		default:
			result = false;
			break;
	}
	RelationClose(relation);
	return result;
}

static void
begin_statement(void)
{
	statement_has_step = false;
	statement_has_text = false;
}

/* The text is kept from the first lock on that some other one came before. */
static void
keep_text(char *text, const char *query, int location, int length)
{
	if (statement_has_text)
		return;
	statement_has_text = true;
	query = CleanQuerytext(query, &location, &length);
	ft_copy_clipped_len(text, FT_LOCK_ORDER_TEXT, query, length);
}

/*
 * Note a lock.  Where it is the first one there is nothing more to do: a
 * transaction with a single lock has no order.
 */
static void
note(Oid relid, LOCKMODE mode, bool write, bool ordered,
	 const char *query, int location, int length)
{
	bool		covered = false;
	FtLockStep *step;

	for (int i = 0; i < step_count; i++)
	{
		if (steps[i].relid != relid)
			continue;
		covered = covered || covers[steps[i].mode][mode];

		/* once is enough; and whoever keeps all writers out meets none */
		if (steps[i].write || DoLockModesConflict(steps[i].mode, RowExclusiveLock))
			write = false;
	}
	if (covered && !write)
		return;

	if (step_count == 1 && !first_is_checked)
	{
		if (is_tracked(steps[0].relid))
			first_is_checked = true;
		else
		{
			/* it may be of this very statement */
			step_count = statement_count = 0;
			begin_statement();
		}
	}
	if (step_count > 0 && !is_tracked(relid))
		return;
	if (step_count == FT_LOCK_ORDER_STEPS)
	{
		truncated = true;
		return;
	}

	if (!statement_has_step)
	{
		texts[statement_count++][0] = '\0';
		statement_has_step = true;
	}
	if (step_count > 0)
		keep_text(texts[statement_count - 1], query, location, length);
	step = &steps[step_count];
	step->relid = relid;
	step->mode = mode;
	step->write = write;
	step->ordered = ordered;
	step->statement = statement_count - 1;
	levels[step_count] = GetCurrentTransactionNestLevel();
	step_count++;
}

/* ---- What the executor locks ---- */

/* Is a relation of a query one whose rows are locked, more than by a key? */
static bool
locks_rows(const PlannedStmt *plan, Index index)
{
	ListCell   *cell;

	foreach(cell, plan->rowMarks)
	{
		PlanRowMark *mark = lfirst_node(PlanRowMark, cell);

		if (mark->rti == index)
			return RowMarkRequiresRowShareLock(mark->markType) &&
				mark->strength >= LCS_FORSHARE;
	}
	return false;
}

/*
 * Which entries of the range table are reached through a parent: one flag for
 * each, or NULL if there are none.
 */
static bool *
children(const QueryDesc *query)
{
	const PlannedStmt *plan = query->plannedstmt;
	bool	   *flags;
	ListCell   *cell;

	if (plan->appendRelations == NIL)
		return NULL;
	flags = MemoryContextAllocZero(query->estate->es_query_cxt,
								   list_length(plan->rtable) + 1);
	foreach(cell, plan->appendRelations)
	{
		AppendRelInfo *child = lfirst_node(AppendRelInfo, cell);

		if (rt_fetch(child->parent_relid, plan->rtable)->rtekind == RTE_RELATION)
			flags[child->child_relid] = true;
	}
	return flags;
}

void
ft_lock_order_executor(const QueryDesc *query, int eflags)
{
	const PlannedStmt *plan = query->plannedstmt;
	bool	   *is_child;
	ListCell   *cell;
	Index		index = 0;

	if (!enabled() || plan->rtable == NIL)
		return;
	begin_statement();
	is_child = children(query);
	foreach(cell, plan->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
		bool		write;

		index++;
		if (entry->rtekind != RTE_RELATION || entry->relid < FirstNormalObjectId ||
			entry->relkind == RELKIND_VIEW || entry->rellockmode == NoLock ||
			(is_child != NULL && is_child[index]))
			continue;
		write = (eflags & EXEC_FLAG_EXPLAIN_ONLY) == 0 &&
			(entry->rellockmode == RowExclusiveLock ||
			 (entry->rellockmode == RowShareLock && locks_rows(plan, index)));
		note(entry->relid, entry->rellockmode, write, true,
			 query->sourceText, plan->stmt_location, plan->stmt_len);
	}
	if (is_child != NULL)
		pfree(is_child);
}

/* ---- What utility commands lock ---- */

FtLockCommand
ft_lock_order_command(const Node *stmt)
{
	if (!enabled())
		return FT_LOCKS_NOTHING;
	switch (nodeTag(stmt))
	{
		case T_LockStmt:
		case T_TruncateStmt:
			return FT_LOCKS_LISTED;

		case T_CopyStmt:
			return ((const CopyStmt *) stmt)->relation != NULL ?
				FT_LOCKS_COPIED : FT_LOCKS_NOTHING;

			/* the executor's hooks see what these lock, or it is over */
		case T_TransactionStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_DiscardStmt:
		case T_ListenStmt:
		case T_NotifyStmt:
		case T_UnlistenStmt:
		case T_ExplainStmt:
		case T_DoStmt:
		case T_CallStmt:
		case T_CreateTableAsStmt:
		case T_ConstraintsSetStmt:
		case T_CheckPointStmt:
		case T_LoadStmt:
		case T_VacuumStmt:
		case T_CreatedbStmt:
		case T_DropdbStmt:
			return FT_LOCKS_NOTHING;

		default:
			return FT_LOCKS_SOMETHING;
	}
}

static void
note_listed(const List *relations, LOCKMODE mode, const char *query)
{
	ListCell   *cell;

	foreach(cell, relations)
	{
		Oid			relid = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);

		if (relid >= FirstNormalObjectId)
			note(relid, mode, false, true, query, -1, 0);
	}
}

/* A lock on a relation that we hold. */
typedef struct HeldLock
{
	Oid			relid;
	LOCKMODE	mode;
} HeldLock;

/* Copy what one lock of ours is held in. */
static int
copy_held(const PROCLOCK *proclock, HeldLock *found, int count, int size)
{
	const LOCKTAG *tag = &proclock->tag.myLock->tag;

	if (tag->locktag_type != LOCKTAG_RELATION || tag->locktag_field1 != MyDatabaseId ||
		tag->locktag_field2 < FirstNormalObjectId)
		return count;
	for (LOCKMODE mode = AccessShareLock; mode <= MaxLockMode; mode++)
	{
		if ((proclock->holdMask & LOCKBIT_ON(mode)) == 0)
			continue;
		if (count == size)
		{
			truncated = true;
			break;
		}
		found[count].relid = tag->locktag_field2;
		found[count].mode = mode;
		count++;
	}
	return count;
}

/*
 * Note what else this transaction holds.  In which order it came by that is
 * not known.  The lock table tells, except of weak locks, which are not there
 * but with the process; those are what the executor takes, not commands.
 * Where a partition of it is not to be had at once, it is left out.
 */
static void
note_held(const char *query)
{
	HeldLock	found[8 * FT_LOCK_ORDER_STEPS];
	int			count = 0;

	for (int partition = 0; partition < NUM_LOCK_PARTITIONS; partition++)
	{
		LWLock	   *lock = LockHashPartitionLockByIndex(partition);
		PROCLOCK   *proclock = NULL;

		if (!LWLockConditionalAcquire(lock, LW_SHARED))
		{
			truncated = true;
			continue;
		}
		while ((proclock = ft_next_of_process(MyProc, partition, proclock)) != NULL)
			count = copy_held(proclock, found, count, lengthof(found));
		LWLockRelease(lock);
	}
	for (int i = 0; i < count; i++)
	{
		/* most are indexes, TOAST tables and what was just made */
		if (step_count > 0 || is_tracked(found[i].relid))
			note(found[i].relid, found[i].mode, false, false, query, -1, 0);
	}
}

void
ft_lock_order_utility(const Node *stmt, FtLockCommand command, const char *query)
{
	begin_statement();
	switch (command)
	{
		case FT_LOCKS_LISTED:
			if (IsA(stmt, LockStmt))
				note_listed(((const LockStmt *) stmt)->relations,
							((const LockStmt *) stmt)->mode, query);
			else
				note_listed(((const TruncateStmt *) stmt)->relations,
							AccessExclusiveLock, query);
			break;

		case FT_LOCKS_COPIED:
			{
				const CopyStmt *copy = (const CopyStmt *) stmt;
				Oid			relid = RangeVarGetRelid(copy->relation, NoLock, true);

				if (relid >= FirstNormalObjectId)
					note(relid, copy->is_from ? RowExclusiveLock : AccessShareLock,
						 copy->is_from, true, query, -1, 0);
				break;
			}

		case FT_LOCKS_SOMETHING:
			note_held(query);
			break;

		case FT_LOCKS_NOTHING:
			break;
	}
}

/* A function of ours has locked a relation. */
void
ft_lock_order_locked(Oid relid, LOCKMODE mode)
{
	if (!enabled() || relid < FirstNormalObjectId)
		return;
	begin_statement();
	note(relid, mode, false, true, debug_query_string ? debug_query_string : "", -1, 0);
}

/* ---- The end ---- */

static void
flush(Sequence *sequence)
{
	if (sequence->transactions > 0)
		ft_lock_pairs_add(sequence->steps, sequence->count, sequence->transactions,
						  NULL, NULL, false);
	sequence->transactions = 0;
}

/* What was counted before a reset is not to come back. */
static void
notice_reset(void)
{
	uint32		generation = ft_lock_pairs_generation();

	if (generation == known_generation)
		return;
	memset(known, 0, sizeof(known));
	known_generation = generation;
}

/* Add to shared memory what this process has not yet. */
void
ft_lock_order_flush(void)
{
	notice_reset();
	for (int i = 0; i < KNOWN_SEQUENCES; i++)
		flush(&known[i]);
}

static void
flush_before_exit(int code, Datum arg)
{
	ft_lock_order_flush();
}

/* Count the steps of this transaction, which are more than one. */
static void
count_steps(void)
{
	Size		size = step_count * sizeof(FtLockStep);
	TimestampTz now = ft_coarse_now();
	Sequence   *sequence;

	notice_reset();
	if (!flush_at_exit)
	{
		before_shmem_exit(flush_before_exit, (Datum) 0);
		flush_at_exit = true;
	}

	sequence = &known[hash_bytes((const unsigned char *) steps, size) % KNOWN_SEQUENCES];
	if (sequence->count == step_count && memcmp(sequence->steps, steps, size) == 0)
	{
		sequence->transactions++;
		if (now - sequence->flushed < FLUSH_INTERVAL && now >= sequence->flushed)
			return;
		flush(sequence);
	}
	else
	{
		flush(sequence);
		memcpy(sequence->steps, steps, size);
		sequence->count = step_count;
		ft_lock_pairs_add(steps, step_count, 1, NULL, texts, truncated);
	}
	sequence->flushed = now;
}

static bool
is_same_lock(const FtLockStep *a, const FtLockStep *b)
{
	return a->relid == b->relid && a->mode == b->mode && a->write == b->write;
}

/*
 * Has this transaction been counted for this order?  From now on it has, as
 * long as there is a place to remember it.
 */
static bool
note_counted(const FtLockStep *held, const FtLockStep *wanted)
{
	for (int i = 0; i < counted_count; i++)
	{
		if (is_same_lock(&counted[i].held, held) && is_same_lock(&counted[i].wanted, wanted))
			return true;
	}
	if (counted_count < COUNTED_ORDERS)
	{
		counted[counted_count].held = *held;
		counted[counted_count++].wanted = *wanted;
	}
	return false;
}

/* Count what was asked for from a step on, and was not counted yet. */
static void
count_rest(int first, bool with_truncated)
{
	uint32		orders[FT_LOCK_ORDER_STEPS] = {0};
	bool		any = with_truncated;

	for (int wanted = first; wanted < step_count; wanted++)
	{
		for (int held = 0; held < wanted; held++)
		{
			/* within a statement it may be unknown, and is not counted then */
			if (steps[held].statement == steps[wanted].statement && !steps[wanted].ordered)
				continue;
			if (note_counted(&steps[held], &steps[wanted]))
				continue;
			orders[wanted] |= (uint32) 1 << held;
			any = true;
		}
	}
	if (any)
		ft_lock_pairs_add(steps, step_count, 1, orders, texts, with_truncated);
}

/* The transaction has ended, however it did. */
void
ft_lock_order_end(void)
{
	if (enabled())
	{
		if (counted_count > 0)
			count_rest(0, truncated);
		else if (step_count > 1)
			count_steps();
	}
	forget();
}

/*
 * A subtransaction has ended.  If it was rolled back, its locks are gone, but
 * they were taken: what it asked for is counted.
 */
void
ft_lock_order_end_sub(bool aborted)
{
	int			level = GetCurrentTransactionNestLevel();
	int			first = step_count;

	while (first > 0 && levels[first - 1] >= level)
		first--;
	if (first == step_count)
		return;
	if (!aborted)
	{
		for (int i = first; i < step_count; i++)
			levels[i] = level - 1;
		return;
	}
	if (step_count > 1 && enabled())
		count_rest(first, false);
	step_count = first;
	statement_count = first > 0 ? steps[first - 1].statement + 1 : 0;
	statement_has_step = false;
	first_is_checked = first_is_checked && first > 0;
}

void
ft_lock_order_init(void)
{
	for (LOCKMODE held = AccessShareLock; held <= MaxLockMode; held++)
	{
		for (LOCKMODE wanted = AccessShareLock; wanted <= MaxLockMode; wanted++)
		{
			covers[held][wanted] = true;
			for (LOCKMODE other = AccessShareLock; other <= MaxLockMode; other++)
			{
				if (DoLockModesConflict(wanted, other) && !DoLockModesConflict(held, other))
					covers[held][wanted] = false;
			}
		}
	}
	ft_lock_pairs_init();
}
