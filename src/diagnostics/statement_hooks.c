/*-------------------------------------------------------------------------
 *
 * statement_hooks.c
 *	  Where the diagnostics of statements are called from.
 *
 * The hooks of the executor, of utility commands, and of the ends of
 * transactions stand here once, for slow_statement.c and lock_order.c.  All
 * that they do for themselves is to know how deep statements are nested.
 *
 * A statement is at the top if it runs for itself and in a portal that a
 * client opened: what triggers run at commit, and functions while a query is
 * being planned or started, is nested in something that has no hook.  A
 * background worker has no portals; whatever it runs for itself is at the top.
 *
 * Subtransactions are those of savepoints, which a statement that fails takes
 * with it, or those in which functions catch errors; these begin inside of a
 * statement, or where there is no hook.
 *
 * Parallel workers are left alone: their leader counts for them.
 *
 * Locking: none here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/portal.h"

#include "compat.h"
#include "diagnostics/lock_order.h"
#include "diagnostics/slow_statement.h"
#include "diagnostics/statement_hooks.h"

static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static ExecutorStart_hook_type previous_executor_start = NULL;
static ExecutorRun_hook_type previous_executor_run = NULL;
static ExecutorFinish_hook_type previous_executor_finish = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;

static int	nesting = 0;

/* In it a statement is being planned or started: what runs now is not that. */
static Portal preparing = NULL;

/* The command that ended last makes a savepoint when its transaction goes on. */
static bool savepoint_follows = false;

/* Level of the outermost subtransaction that is no savepoint; 0 if none. */
static int	caught_level = 0;

static bool
is_client(void)
{
	return MyBackendType == B_BACKEND || MyBackendType == B_WAL_SENDER;
}

static bool
at_top(void)
{
	return nesting == 0 &&
		(!is_client() || (ActivePortal != NULL && ActivePortal != preparing));
}

static void
post_parse_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);

	if (nesting == 0 && is_client() && !IsParallelWorker())
		ft_slow_statement_parsed(pstate->p_sourcetext);
}

static void
executor_start(QueryDesc *queryDesc, int eflags)
{
	bool		top = at_top();
	Portal		prepared_before = preparing;

	/* after an error, the end of the transaction sees to it */
	if (top)
		preparing = ActivePortal;
	if (previous_executor_start)
		previous_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
	preparing = prepared_before;

	if (IsParallelWorker())
		return;
	if (top)
		ft_slow_statement_started(queryDesc);
	else if (nesting == 0)
		ft_slow_statement_deferred();
	ft_lock_order_executor(queryDesc, eflags);
}

/*
 * Does a statement end with ExecutorRun()?  If it changes something, triggers
 * come after it, and ExecutorFinish() follows at once.  The portal of another
 * one may stay open for long.
 */
static bool
ends_with_run(const QueryDesc *queryDesc)
{
	return queryDesc->operation == CMD_SELECT && !queryDesc->plannedstmt->hasModifyingCTE;
}

static void
executor_run(FT_EXECUTOR_RUN_PARAMETERS)
{
	volatile bool top = at_top() && !IsParallelWorker();
	FtNestedStatement nested;
	bool		time_nested = !top && !IsParallelWorker() &&
		ft_slow_statement_begin_nested(&nested);

	if (top)
		ft_slow_statement_begin(queryDesc);

	nesting++;
	PG_TRY();
	{
		if (previous_executor_run)
			previous_executor_run(FT_EXECUTOR_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(FT_EXECUTOR_RUN_ARGUMENTS);
	}
	PG_CATCH();
	{
		nesting--;
		if (top)
			ft_slow_statement_failed();
		PG_RE_THROW();
	}
	PG_END_TRY();
	nesting--;

	if (top && ends_with_run(queryDesc))
		ft_slow_statement_end(queryDesc);
	else if (time_nested)
		ft_slow_statement_end_nested(&nested, queryDesc);
}

static void
call_executor_finish(QueryDesc *queryDesc)
{
	if (previous_executor_finish)
		previous_executor_finish(queryDesc);
	else
		standard_ExecutorFinish(queryDesc);
}

static void
executor_finish(QueryDesc *queryDesc)
{
	volatile bool top;

	/* no trigger comes after what only reads, so nothing is nested in it */
	if (ends_with_run(queryDesc))
	{
		call_executor_finish(queryDesc);
		return;
	}

	top = at_top() && !IsParallelWorker();
	nesting++;
	PG_TRY();
	{
		call_executor_finish(queryDesc);
	}
	PG_CATCH();
	{
		nesting--;
		if (top)
			ft_slow_statement_failed();
		PG_RE_THROW();
	}
	PG_END_TRY();
	nesting--;

	if (top)
		ft_slow_statement_end(queryDesc);
}

/*
 * EXECUTE runs a statement that is worth more than its own text, and PREPARE
 * and DEALLOCATE do next to nothing: the statements in them count as at the
 * top.
 */
static bool
is_transparent(const Node *stmt)
{
	return IsA(stmt, ExecuteStmt) || IsA(stmt, PrepareStmt);
}

static bool
makes_savepoint(const Node *stmt)
{
	TransactionStmtKind kind;

	if (!IsA(stmt, TransactionStmt))
		return false;
	kind = ((const TransactionStmt *) stmt)->kind;
	return kind == TRANS_STMT_SAVEPOINT || kind == TRANS_STMT_ROLLBACK_TO;
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString,
				bool readOnlyTree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	/* pstmt may be gone when the command was a ROLLBACK. */
	Node	   *stmt = pstmt->utilityStmt;
	bool		transparent = is_transparent(stmt);
	volatile bool top = at_top() && !transparent && !IsParallelWorker();
	volatile bool savepoint = makes_savepoint(stmt);
	Portal		prepared_before = preparing;
	FtLockCommand lock_command = ft_lock_order_command(stmt);

	if (top)
		ft_slow_statement_begin_utility(pstmt, queryString);

	if (transparent)
		preparing = ActivePortal;
	else
		nesting++;
	PG_TRY();
	{
		if (previous_process_utility)
			previous_process_utility(pstmt, queryString, readOnlyTree, context,
									 params, queryEnv, dest, qc);
		else
			standard_ProcessUtility(pstmt, queryString, readOnlyTree, context,
									params, queryEnv, dest, qc);
	}
	PG_CATCH();
	{
		preparing = prepared_before;
		if (!transparent)
			nesting--;
		if (top)
			ft_slow_statement_failed();
		PG_RE_THROW();
	}
	PG_END_TRY();
	preparing = prepared_before;
	if (!transparent)
		nesting--;

	savepoint_follows = savepoint;
	if (lock_command != FT_LOCKS_NOTHING && !IsParallelWorker())
		ft_lock_order_utility(stmt, lock_command, queryString);
	if (top)
		ft_slow_statement_end_utility(qc);
}

/* What an error may have left behind goes, too. */
static void
forget_subtransactions(void)
{
	savepoint_follows = false;
	caught_level = 0;
	if (nesting == 0)
		preparing = NULL;
}

static void
transaction_callback(XactEvent event, void *arg)
{
	/*
	 * Procedures and some commands end transactions while they run.  A
	 * session that is ended comes here out of the middle of a statement.
	 */
	bool		top = nesting == 0 || proc_exit_inprogress;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (top)
				ft_slow_statement_commit_begins();
			break;

		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			ft_lock_order_end();
			forget_subtransactions();
			if (top)
				ft_slow_statement_committed();
			break;

		case XACT_EVENT_ABORT:
			ft_lock_order_end();
			forget_subtransactions();
			if (top)
				ft_slow_statement_aborted(nesting > 0);
			break;

		default:
			break;
	}
}

/*
 * A subtransaction begins.  Those inside of statements are not looked at.
 */
static void
subtransaction_begins(void)
{
	if (!savepoint_follows && nesting == 0 && is_client() && caught_level == 0)
		caught_level = GetCurrentTransactionNestLevel();
	savepoint_follows = false;
}

/* Is a subtransaction that ends one in which a function catches errors? */
static bool
is_caught(void)
{
	int			level = GetCurrentTransactionNestLevel();
	bool		result = caught_level != 0 && level >= caught_level;

	if (level <= caught_level)
		caught_level = 0;
	return result;
}

static void
subtransaction_callback(SubXactEvent event, SubTransactionId mySubid,
						SubTransactionId parentSubid, void *arg)
{
	if (IsParallelWorker())
		return;
	switch (event)
	{
		case SUBXACT_EVENT_START_SUB:
			subtransaction_begins();
			break;

		case SUBXACT_EVENT_COMMIT_SUB:
			ft_lock_order_end_sub(false);
			(void) is_caught();
			break;

		case SUBXACT_EVENT_ABORT_SUB:
			ft_lock_order_end_sub(true);
			if (is_caught() || nesting > 0)
				break;
			preparing = NULL;
			ft_slow_statement_aborted(false);
			break;

		default:
			break;
	}
}

void
ft_statement_hooks_init(void)
{
	ft_slow_statement_init();
	ft_lock_order_init();

	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = post_parse_analyze;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	previous_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	RegisterXactCallback(transaction_callback, NULL);
	RegisterSubXactCallback(subtransaction_callback, NULL);
}
