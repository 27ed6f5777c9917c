/*-------------------------------------------------------------------------
 *
 * slow_statement_entry.c
 *	  What is kept of a slow statement: its text, whose it is, what it used.
 *
 * Nothing is allocated but for the plan and the parameters, and no error can
 * occur without them: a statement that failed is told of as well.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "storage/proc.h"
#include "utils/guc.h"

#include "compat.h"
#include "diagnostics/slow_statement.h"
#include "guc.h"
#include "recode.h"
#include "redact.h"

/* What is the same for all; the caller adds the rest.  Allocates nothing. */
void
ft_slow_fill(FtSlowStatement *slow, TimestampTz start, int64 duration)
{
	memset(slow, 0, offsetof(FtSlowStatement, application_name));
	slow->query_start = start;
	slow->duration = duration;
	slow->pid = MyProcPid;
	slow->backend_start = MyStartTimestamp;
	slow->database = MyDatabaseId;
	slow->role = MyProc->roleId;
	slow->encoding = GetDatabaseEncoding();
	strlcpy(slow->application_name, application_name ? application_name : "",
			sizeof(slow->application_name));
	slow->traceparent[0] = '\0';
	slow->query[0] = '\0';
	slow->parameters[0] = '\0';
	slow->plan[0] = '\0';
}

/* The part of a source text that is the statement, without passwords. */
void
ft_slow_set_query(FtSlowStatement *slow, const char *source, int location, int length)
{
	const char *text;

	if (source == NULL)
		source = "";
	text = CleanQuerytext(source, &location, &length);

	ft_copy_clipped_len(slow->query, sizeof(slow->query), text, length);
	ft_redact_passwords(slow->query, sizeof(slow->query));
	ft_traceparent_find(source, application_name, slow->traceparent);
}

/* What this process has used since it had used that. */
void
ft_slow_set_usage(FtSlowStatement *slow, const BufferUsage *buffers, const WalUsage *wal)
{
	slow->shared_blks_hit = pgBufferUsage.shared_blks_hit - buffers->shared_blks_hit;
	slow->shared_blks_read = pgBufferUsage.shared_blks_read - buffers->shared_blks_read;
	slow->shared_blks_dirtied = pgBufferUsage.shared_blks_dirtied - buffers->shared_blks_dirtied;
	slow->shared_blks_written = pgBufferUsage.shared_blks_written - buffers->shared_blks_written;
	slow->temp_blks_read = pgBufferUsage.temp_blks_read - buffers->temp_blks_read;
	slow->temp_blks_written = pgBufferUsage.temp_blks_written - buffers->temp_blks_written;
	slow->wal_bytes = (int64) (pgWalUsage.wal_bytes - wal->wal_bytes);
}

/*
 * The plan and the parameters, as far as they are wanted.  Done as by
 * auto_explain, in the memory of the query.
 */
void
ft_slow_add_details(FtSlowStatement *slow, QueryDesc *query)
{
	MemoryContext caller;

	if (!ft_slow_statement_plan && !ft_slow_statement_parameters)
		return;
	caller = MemoryContextSwitchTo(query->estate->es_query_cxt);
	if (ft_slow_statement_plan && query->planstate != NULL)
	{
		ExplainState *es = NewExplainState();

		ExplainBeginOutput(es);
		ExplainPrintPlan(es, query);
		ExplainEndOutput(es);
		while (es->str->len > 0 && es->str->data[es->str->len - 1] == '\n')
			es->str->data[--es->str->len] = '\0';
		ft_copy_clipped_len(slow->plan, sizeof(slow->plan), es->str->data, es->str->len);
		ft_redact_passwords(slow->plan, sizeof(slow->plan));
	}
	if (ft_slow_statement_parameters && query->params != NULL && query->params->numParams > 0)
	{
		char	   *values = BuildParamLogString(query->params, NULL, -1);

		if (values != NULL)
			ft_copy_clipped(slow->parameters, sizeof(slow->parameters), values);
	}
	MemoryContextSwitchTo(caller);
}
