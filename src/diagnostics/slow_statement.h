/*-------------------------------------------------------------------------
 *
 * slow_statement.h
 *	  Statements that took longer than they should.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_SLOW_STATEMENT_H
#define FT_SLOW_STATEMENT_H

#include "executor/execdesc.h"
#include "executor/instrument.h"
#include "nodes/plannodes.h"
#include "tcop/cmdtag.h"

#include "traceparent.h"

#define FT_SLOW_QUERY_SIZE		2048
#define FT_SLOW_PARAMETERS_SIZE 512
#define FT_SLOW_PLAN_SIZE		8192

typedef struct FtSlowStatement
{
	uint64		number;			/* from 1 since the server started */
	TimestampTz query_start;
	int64		duration;		/* microseconds, commit included */
	int64		commit_duration;	/* the part of it after the statement's
									 * end */
	int			pid;
	TimestampTz backend_start;
	Oid			database;
	Oid			role;
	bool		nested;
	bool		failed;
	int			sqlstate;		/* if failed; 0 if unknown */
	int64		query_id;		/* 0 if not computed */
	int64		rows;
	int64		shared_blks_hit;
	int64		shared_blks_read;
	int64		shared_blks_dirtied;
	int64		shared_blks_written;
	int64		temp_blks_read;
	int64		temp_blks_written;
	int64		wal_bytes;
	int			encoding;		/* of the texts */

	/* each ends in a zero byte; empty if there is none */
	char		application_name[NAMEDATALEN];
	char		traceparent[FT_TRACEPARENT_SIZE];
	char		query[FT_SLOW_QUERY_SIZE];
	char		parameters[FT_SLOW_PARAMETERS_SIZE];
	char		plan[FT_SLOW_PLAN_SIZE];
} FtSlowStatement;

/* A statement inside of another one, on the stack of its hook. */
typedef struct FtNestedStatement
{
	TimestampTz start;
	BufferUsage buffers;
	WalUsage	wal;
} FtNestedStatement;

/* The hooks of a statement at the top, in the order in which they come. */
extern void ft_slow_statement_parsed(const char *query);
extern void ft_slow_statement_started(const QueryDesc *query);
extern void ft_slow_statement_begin(const QueryDesc *query);
extern void ft_slow_statement_begin_utility(const PlannedStmt *pstmt, const char *query);
extern void ft_slow_statement_failed(void);
extern void ft_slow_statement_end(QueryDesc *query);
extern void ft_slow_statement_end_utility(const QueryCompletion *qc);
extern void ft_slow_statement_deferred(void);
extern void ft_slow_statement_commit_begins(void);
extern void ft_slow_statement_committed(void);
extern void ft_slow_statement_aborted(bool in_statement);

/* Of a nested one; false if those are not wanted. */
extern bool ft_slow_statement_begin_nested(FtNestedStatement *nested);
extern void ft_slow_statement_end_nested(const FtNestedStatement *nested, QueryDesc *query);

extern void ft_slow_statement_init(void);

/* slow_statement_entry.c */
extern void ft_slow_fill(FtSlowStatement *slow, TimestampTz start, int64 duration);
extern void ft_slow_set_query(FtSlowStatement *slow, const char *source,
							  int location, int length);
extern void ft_slow_set_usage(FtSlowStatement *slow, const BufferUsage *buffers,
							  const WalUsage *wal);
extern void ft_slow_add_details(FtSlowStatement *slow, QueryDesc *query);

/* slow_statement_ring.c */
extern void ft_slow_ring_init(void);
extern uint64 ft_slow_ring_add(FtSlowStatement *statement);
extern void ft_slow_ring_amend(uint64 number, int64 duration, int64 commit_duration,
							   bool failed, int sqlstate);

#endif							/* FT_SLOW_STATEMENT_H */
