/*-------------------------------------------------------------------------
 *
 * slow_statement.c
 *	  Statements that took longer than they should: what their hooks note.
 *
 * The duration is what the client waited for, not only what the executor took:
 * a statement that waits for a lock does so while it is parsed or planned, and
 * one that waits for a synchronous standby does so at commit.  So it begins
 * when the message with it arrived, which the server has noted already, or
 * when the statement before it in the same message ended.  In the extended
 * protocol the time of Parse and Bind is added to that of Execute, and the
 * time in between, which is the client's, is not.  The statement at the end of
 * a transaction gets the time of the commit as well: the whole of it from the
 * first deferred trigger on.
 *
 * A statement that fails is seen by the hook that it leaves; one that fails in
 * the parser, in the planner or at commit is seen by the end of its
 * transaction.  Then its text is what pg_stat_activity shows.
 *
 * Most statements are fast, so the clock that is read first is a coarse one,
 * which costs next to nothing; only who may be over the threshold is asked the
 * precise one.
 *
 * Nothing is allocated except for a plan and for parameters, which only
 * statements that succeed have; see slow_statement_entry.c.  What a failed
 * statement leaves is gathered in memory of this process when it fails and
 * added to the ring when its transaction has released its locks.
 *
 * Locking: none here; ft_slow_ring_add() takes the ring's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

#include "coarse_clock.h"
#include "compat.h"
#include "diagnostics/slow_statement.h"
#include "guc.h"

/* Less than this of an earlier message of a statement is not worth noting. */
#define WORTH_NOTING	(10 * INT64CONST(1000))

/* A statement at the top: the one that runs, or else the last one. */
typedef struct Current
{
	bool		running;
	bool		ended;			/* without error, its transaction has not yet */
	bool		rolls_back;		/* the command to do so */
	const QueryDesc *query;		/* NULL for a utility command; while running */
	const char *text;			/* while running */
	bool		in_message;		/* it is part of what the client sent */
	int			location;
	int			length;
	int64		query_id;
	TimestampTz message;		/* when the message it runs in arrived */
	TimestampTz start;
	int64		before;			/* microseconds in earlier messages */
	int64		duration;		/* at its end, with before */
	int64		rows;
	uint64		number;			/* in the ring, 0 if it is not there */
	TimestampTz commit_begin;	/* 0 if it has not begun */
} Current;

static Current current;

/* When the last statement ended, and what this process had used by then. */
static TimestampTz last_end = 0;
static BufferUsage last_buffers;
static WalUsage last_wal;

/* What Parse and Bind took, each for a statement that Execute is to run. */
static TimestampTz parse_message = 0;	/* 0 if there is nothing to remember */
static uint32 parse_hash = 0;	/* of its text */
static int64 parse_spent = 0;
static const QueryDesc *bound_query = NULL; /* NULL as above */
static TimestampTz bound_message = 0;
static int64 bound_spent = 0;
static int64 bound_parse_spent = 0;

/* What a statement that failed leaves for the end of its transaction. */
static FtSlowStatement scratch;
static TimestampTz aborted_message = 0; /* in which something was rolled back */
static bool failure_noted = false;	/* the hook has seen it fail */
static bool failure_is_slow = false;	/* and scratch tells of it */
static int	logged_sqlstate = 0;	/* of the last error, 0 if none */

static emit_log_hook_type previous_emit_log_hook = NULL;

static inline bool
enabled(void)
{
	return ft_slow_statement_threshold >= 0 && ft_slow_statement_entries > 0;
}

static inline int64
threshold(void)
{
	return ft_slow_statement_threshold * INT64CONST(1000);
}

/* Now: precisely if this long may matter, else coarsely. */
static inline TimestampTz
now_after(TimestampTz start, int64 before)
{
	TimestampTz now = ft_coarse_now();

	return now - start + before + FT_COARSE_ERROR < threshold() ? now : GetCurrentTimestamp();
}

static void
count_from_here(TimestampTz now)
{
	last_end = now;
	last_buffers = pgBufferUsage;
	last_wal = pgWalUsage;
}

/* Remember what to call an error that only the end of a transaction sees. */
static void
note_logged_error(ErrorData *edata)
{
	if (edata->elevel >= ERROR)
		logged_sqlstate = edata->sqlerrcode;
	if (previous_emit_log_hook)
		previous_emit_log_hook(edata);
}

/* ---- What is kept of the current one ---- */

/* What the server shows of us; NULL if it shows nothing. */
static const char *
shown_activity(void)
{
	if (MyBEEntry == NULL || MyBEEntry->st_state != STATE_RUNNING)
		return NULL;
	return (const char *) MyBEEntry->st_activity_raw;
}

/*
 * The text of the current statement when its own may be gone: its part of the
 * message that is being worked at, if it is of that.  What was prepared, or is
 * a cursor's, has its place in another text.
 */
static void
set_query_of_message(FtSlowStatement *slow)
{
	if (debug_query_string == NULL)
		ft_slow_set_query(slow, shown_activity(), -1, 0);
	else if (current.in_message && current.message == GetCurrentStatementStartTimestamp())
		ft_slow_set_query(slow, debug_query_string, current.location, current.length);
	else
		ft_slow_set_query(slow, debug_query_string, -1, 0);
}

static void
fill_current(FtSlowStatement *slow, int64 duration)
{
	ft_slow_fill(slow, current.start - current.before, duration);
	slow->query_id = current.query_id != 0 ? current.query_id :
		(int64) pgstat_get_my_query_id();
	slow->rows = current.rows;
	ft_slow_set_usage(slow, &last_buffers, &last_wal);
}

/* ---- A statement at the top ---- */

/* The Parse message is at its end, or a simple query goes on. */
void
ft_slow_statement_parsed(const char *query)
{
	TimestampTz message = GetCurrentStatementStartTimestamp();
	TimestampTz start = Max(message, last_end);

	parse_message = 0;
	aborted_message = 0;
	if (!enabled() || ft_coarse_now() - start < WORTH_NOTING)
		return;
	parse_message = message;
	parse_hash = hash_bytes((const unsigned char *) query, strlen(query));
	parse_spent = GetCurrentTimestamp() - start;
}

/*
 * The Bind message is at its end, or a simple query goes on.  What Parse took
 * counts for the first execution.
 */
void
ft_slow_statement_started(const QueryDesc *query)
{
	TimestampTz message;
	TimestampTz start;

	bound_query = NULL;
	if (!enabled())
		return;
	message = GetCurrentStatementStartTimestamp();
	start = Max(message, last_end);
	bound_spent = ft_coarse_now() - start < WORTH_NOTING ? 0 : GetCurrentTimestamp() - start;
	bound_parse_spent = 0;
	if (parse_message != 0 && parse_message != message &&
		parse_hash == hash_bytes((const unsigned char *) query->sourceText,
								 strlen(query->sourceText)))
	{
		bound_parse_spent = parse_spent;
		parse_message = 0;
	}
	if (bound_spent + bound_parse_spent > 0)
	{
		bound_query = query;
		bound_message = message;
	}
}

static void
begin(const QueryDesc *query, const char *text, const PlannedStmt *pstmt)
{
	memset(&current, 0, sizeof(current));
	failure_noted = false;
	logged_sqlstate = 0;
	if (!enabled())
		return;

	current.running = true;
	current.query = query;
	current.text = text;
	current.in_message = text == debug_query_string;

	current.location = pstmt->stmt_location;
	current.length = pstmt->stmt_len;
	current.query_id = (int64) pstmt->queryId;

	/* Nobody notes when a background worker begins with something. */
	current.message = MyBackendType == B_BG_WORKER ? GetCurrentTimestamp() :
		GetCurrentStatementStartTimestamp();
	current.start = Max(current.message, last_end);
}

void
ft_slow_statement_begin(const QueryDesc *query)
{
	begin(query, query->sourceText, query->plannedstmt);
	if (query == bound_query && current.running)
	{
		current.before = bound_parse_spent;
		if (bound_message != current.message)
			current.before += bound_spent;
	}
	bound_query = NULL;
}

void
ft_slow_statement_begin_utility(const PlannedStmt *pstmt, const char *query)
{
	begin(NULL, query, pstmt);
	if (IsA(pstmt->utilityStmt, TransactionStmt))
	{
		TransactionStmtKind kind = ((TransactionStmt *) pstmt->utilityStmt)->kind;

		current.rolls_back = kind == TRANS_STMT_ROLLBACK || kind == TRANS_STMT_ROLLBACK_TO;
	}
}

/* It succeeded; query is NULL for a utility command. */
static void
end(QueryDesc *query)
{
	TimestampTz now;

	if (!current.running)
		return;
	now = now_after(current.start, current.before);
	current.duration = now - current.start + current.before;
	current.running = false;
	current.ended = true;
	if (enabled() && current.duration >= threshold())
	{
		fill_current(&scratch, current.duration);
		ft_slow_set_query(&scratch, current.text, current.location, current.length);
		if (query != NULL)
			ft_slow_add_details(&scratch, query);
		current.number = ft_slow_ring_add(&scratch);
	}
	count_from_here(now);
}

void
ft_slow_statement_end(QueryDesc *query)
{
	current.rows = query->estate->es_processed;
	end(query);
}

void
ft_slow_statement_end_utility(const QueryCompletion *qc)
{
	if (qc != NULL &&
		(qc->commandTag == CMDTAG_COPY || qc->commandTag == CMDTAG_FETCH ||
		 qc->commandTag == CMDTAG_SELECT || qc->commandTag == CMDTAG_REFRESH_MATERIALIZED_VIEW))
		current.rows = qc->nprocessed;
	end(NULL);
}

/*
 * The statement at the top is being left by an error.  Its own memory is
 * still there, but nothing is to be allocated nor locked.
 */
void
ft_slow_statement_failed(void)
{
	TimestampTz now;
	int64		duration;

	failure_noted = true;
	failure_is_slow = false;
	if (!current.running)
		return;
	now = now_after(current.start, current.before);
	duration = now - current.start + current.before;
	current.running = false;
	if (enabled() && duration >= threshold())
	{
		fill_current(&scratch, duration);
		ft_slow_set_query(&scratch, current.text, current.location, current.length);
		scratch.failed = true;
		scratch.sqlstate = geterrcode();
		failure_is_slow = true;
	}
}

/* ---- The end of the transaction ---- */

/*
 * A statement runs that no client sent.  If it is a trigger's at commit, the
 * commit has begun; if it is part of planning the next one, that has another
 * message, or forgets this when it begins.
 */
void
ft_slow_statement_deferred(void)
{
	if (current.ended && current.commit_begin == 0 &&
		current.message == GetCurrentStatementStartTimestamp())
		ft_slow_statement_commit_begins();
}

void
ft_slow_statement_commit_begins(void)
{
	if (current.ended && current.commit_begin == 0)
		current.commit_begin = threshold() < FT_COARSE_ERROR ? GetCurrentTimestamp() : ft_coarse_now();
}

/*
 * The statement that ended last is the one that the client has been waiting
 * for until now, if commit has begun: keep it if it is slow only now, or add
 * the time of the commit to it.
 */
static void
end_with_commit(TimestampTz now, bool failed)
{
	int64		commit_duration = now - current.commit_begin;
	int64		duration = Min(current.duration + commit_duration,
							   now - current.start + current.before);

	/* the coarse clock */
	duration = Max(duration, current.duration);

	if (current.number != 0)
	{
		ft_slow_ring_amend(current.number, duration, duration - current.duration,
						   failed, logged_sqlstate);
		return;
	}
	if (!enabled() || duration < threshold())
		return;
	fill_current(&scratch, duration);
	scratch.commit_duration = duration - current.duration;
	scratch.failed = failed;
	scratch.sqlstate = failed ? logged_sqlstate : 0;
	set_query_of_message(&scratch);
	ft_slow_ring_add(&scratch);
}

void
ft_slow_statement_committed(void)
{
	TimestampTz now;

	if (!current.ended)
		return;
	current.ended = false;
	if (current.commit_begin == 0)
		return;
	now = now_after(current.commit_begin, current.duration);
	end_with_commit(now, false);
	count_from_here(now);
}

/*
 * A statement failed where no hook saw it: in the parser or the planner, or
 * because the session was ended while it ran.
 */
static void
failed_unseen(bool in_statement)
{
	TimestampTz message = GetCurrentStatementStartTimestamp();
	const char *activity = shown_activity();
	TimestampTz start;
	int64		before = 0;
	TimestampTz now;

	/* An idle session may have been ended, or a worker of some kind clean up. */
	in_statement = in_statement && current.running;
	if (activity == NULL || (!in_statement && MyBackendType != B_BACKEND))
		return;
	start = Max(message, last_end);
	if (in_statement)
	{
		start = current.start;
		before = current.before;
	}
	now = now_after(start, before);
	if (now - start + before < threshold())
		return;
	ft_slow_fill(&scratch, start - before, now - start + before);
	scratch.query_id = (int64) pgstat_get_my_query_id();
	ft_slow_set_usage(&scratch, &last_buffers, &last_wal);
	if (in_statement)
		set_query_of_message(&scratch);
	else
		ft_slow_set_query(&scratch, activity, -1, 0);
	scratch.failed = true;
	scratch.sqlstate = logged_sqlstate;
	ft_slow_ring_add(&scratch);
}

/*
 * A transaction or a subtransaction was rolled back, with no statement at the
 * top, or with one out of which the session is being ended (in_statement).
 */
void
ft_slow_statement_aborted(bool in_statement)
{
	bool		ended = current.ended;

	if (failure_noted)
	{
		failure_noted = false;
		if (failure_is_slow)
			ft_slow_ring_add(&scratch);
	}
	else if (!enabled())
		;
	else if (ended && current.rolls_back &&
			 current.message == GetCurrentStatementStartTimestamp())
		;
	else if (ended && current.commit_begin != 0)
		end_with_commit(now_after(current.commit_begin, current.duration), true);
	else if (in_statement || aborted_message != GetCurrentStatementStartTimestamp())
		failed_unseen(in_statement);

	/* with one subtransaction those around it may go, for the same reason */
	aborted_message = GetCurrentStatementStartTimestamp();
	failure_is_slow = false;
	logged_sqlstate = 0;
	current.running = false;
	current.ended = false;
	count_from_here(ft_coarse_now());
}

/* ---- A nested one ---- */

bool
ft_slow_statement_begin_nested(FtNestedStatement *nested)
{
	if (!ft_slow_statement_nested || !enabled())
		return false;
	nested->start = GetCurrentTimestamp();
	nested->buffers = pgBufferUsage;
	nested->wal = pgWalUsage;
	return true;
}

void
ft_slow_statement_end_nested(const FtNestedStatement *nested, QueryDesc *query)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!enabled() || now - nested->start < threshold())
		return;
	ft_slow_fill(&scratch, nested->start, now - nested->start);
	scratch.nested = true;
	scratch.query_id = (int64) query->plannedstmt->queryId;
	scratch.rows = query->estate->es_processed;
	ft_slow_set_usage(&scratch, &nested->buffers, &nested->wal);
	ft_slow_set_query(&scratch, query->sourceText, query->plannedstmt->stmt_location,
					  query->plannedstmt->stmt_len);
	ft_slow_add_details(&scratch, query);
	ft_slow_ring_add(&scratch);
}

void
ft_slow_statement_init(void)
{
	ft_slow_ring_init();
	previous_emit_log_hook = emit_log_hook;
	emit_log_hook = note_logged_error;
}
