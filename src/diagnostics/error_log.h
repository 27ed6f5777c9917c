/*-------------------------------------------------------------------------
 *
 * error_log.h
 *	  The hook that sees what is written to the server's log, and what it
 *	  keeps of errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_ERROR_LOG_H
#define FT_ERROR_LOG_H

#include "diagnostics/error_table.h"
#include "ring.h"
#include "storage/lwlock.h"
#include "traceparent.h"

#define FT_ERROR_MESSAGE	512 /* longest text kept of each kind, with its
								 * end */
#define FT_ERROR_DETAIL		1024
#define FT_ERROR_HINT		256
#define FT_ERROR_CONTEXT	512
#define FT_ERROR_QUERY		1024

/* One error, as it is kept in the ring of recent ones. */
typedef struct FtErrorRecord
{
	TimestampTz time;
	FtErrorKey	key;
	int			pid;
	int			encoding;		/* of all texts */
	int			backend_type;
	bool		detail_for_log; /* the client was not told the detail */
	uint64		query_id;
	char		traceparent[FT_TRACEPARENT_SIZE];
	char		message[FT_ERROR_MESSAGE];
	char		detail[FT_ERROR_DETAIL];
	char		hint[FT_ERROR_HINT];
	char		context[FT_ERROR_CONTEXT];
	char		query[FT_ERROR_QUERY];
} FtErrorRecord;

typedef struct FtErrorsShared
{
	LWLock	   *reset_lock;		/* who forgets all errors holds it */
	FtErrorTable *table;		/* constant */
	FtRing	   *ring;			/* constant */
} FtErrorsShared;

/* NULL unless the library was preloaded. */
extern PGDLLIMPORT FtErrorsShared *ft_errors_shared;

extern void ft_error_log_init(void);

#endif							/* FT_ERROR_LOG_H */
