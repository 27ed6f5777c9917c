/*-------------------------------------------------------------------------
 *
 * activity.h
 *	  What pg_stat_activity says of single sessions, read one by one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_ACTIVITY_H
#define FT_ACTIVITY_H

#include "fmgr.h"
#include "utils/backend_status.h"

/* Columns of pg_stat_activity, in its order, less pid. */
typedef enum FtActivityColumn
{
	FT_ACTIVITY_DATID,
	FT_ACTIVITY_DATNAME,
	FT_ACTIVITY_LEADER_PID,
	FT_ACTIVITY_USESYSID,
	FT_ACTIVITY_USENAME,
	FT_ACTIVITY_APPLICATION_NAME,
	FT_ACTIVITY_CLIENT_ADDR,
	FT_ACTIVITY_CLIENT_HOSTNAME,
	FT_ACTIVITY_CLIENT_PORT,
	FT_ACTIVITY_BACKEND_START,
	FT_ACTIVITY_XACT_START,
	FT_ACTIVITY_QUERY_START,
	FT_ACTIVITY_STATE_CHANGE,
	FT_ACTIVITY_WAIT_EVENT_TYPE,
	FT_ACTIVITY_WAIT_EVENT,
	FT_ACTIVITY_STATE,
	FT_ACTIVITY_BACKEND_XID,
	FT_ACTIVITY_BACKEND_XMIN,
	FT_ACTIVITY_QUERY_ID,
	FT_ACTIVITY_QUERY,
	FT_ACTIVITY_BACKEND_TYPE
} FtActivityColumn;

#define FT_ACTIVITY_COLUMNS	(FT_ACTIVITY_BACKEND_TYPE + 1)

typedef struct FtActivity
{
	bool		found;			/* the session is there */
	bool		visible;		/* and the caller may see what it does */
	int			pid;
	Oid			role;
	Oid			database;
	BackendType backend_type;
	BackendState state;
	uint32		wait_event_info;
	TimestampTz backend_start;
	TimestampTz xact_start;
	TimestampTz state_change;
	Datum		values[FT_ACTIVITY_COLUMNS];
	bool		nulls[FT_ACTIVITY_COLUMNS];
} FtActivity;

typedef struct FtActivityReader FtActivityReader;

/*
 * Both to be called between ft_names_begin() and ft_names_end().  Values are
 * allocated in the current memory context, and may share memory.
 */
extern FtActivityReader *ft_activity_reader(void);
extern void ft_activity_read(FtActivityReader *reader, int procno, int pid,
							 FtActivity *activity);

#endif							/* FT_ACTIVITY_H */
