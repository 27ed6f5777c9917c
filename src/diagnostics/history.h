/*-------------------------------------------------------------------------
 *
 * history.h
 *	  What sessions did and who blocked whom, as it was sampled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_HISTORY_H
#define FT_HISTORY_H

#include "datatype/timestamp.h"
#include "portability/instr_time.h"
#include "storage/lock.h"

#include "diagnostics/lock_snapshot.h"
#include "traceparent.h"

/* Flags of a session. */
#define FT_HISTORY_IN_CHAIN	0x01	/* it waits for a lock, or is waited for */
#define FT_HISTORY_WAITS	0x02	/* it waits for a lock: tag and the like */
#define FT_HISTORY_BLOCKED	0x04	/* what it waits for is known: blocker */
#define FT_HISTORY_HARD		0x08	/* the blocker holds the lock */
#define FT_HISTORY_ROOT		0x10	/* head of its chain */
#define FT_HISTORY_CYCLE	0x20	/* in a deadlock */
#define FT_HISTORY_ROW		0x40	/* row is filled in */

/*
 * What a session does.  Compared byte by byte, so all of it is zeroed first;
 * a prepared transaction has pid 0 and its xid.
 */
typedef struct FtHistoryState
{
	TimestampTz backend_start;
	TimestampTz xact_start;
	TimestampTz query_start;
	TimestampTz state_change;
	TimestampTz wait_start;
	int64		query_id;
	uint64		texts_at;		/* where its texts are; 0: none */
	int			pid;
	int			leader_pid;		/* 0 if there is none */
	Oid			role;
	Oid			database;
	TransactionId xid;
	uint32		wait_event_info;
	LOCKTAG		tag;
	LOCKTAG		row;
	int			blocker_pid;
	TransactionId blocker_xid;	/* of a prepared one */
	uint8		backend_type;
	uint8		state;
	uint8		waited_mode;
	uint8		held_mode;		/* of the blocker */
	uint8		flags;
	uint8		unused[3];
} FtHistoryState;

/* The same, for as many samples in a row as nothing of it changed. */
typedef struct FtHistoryRun
{
	uint64		first_sample;
	uint64		last_sample;
	FtHistoryState state;
} FtHistoryRun;

typedef struct FtHistorySample
{
	TimestampTz at;
	int32		duration;		/* microseconds it took */
	int32		sessions;
	int32		waiting;		/* for a lock */
	FtLockSource source;
} FtHistorySample;

/* Texts of a session; for a prepared transaction its gid stands as query. */
typedef struct FtHistoryTexts
{
	const char *application;
	const char *backend_type;	/* of a background worker, else empty */
	const char *traceparent;	/* or empty */
	const char *query;
	int			query_length;
} FtHistoryTexts;

/* What a sample says of one session, before it is kept. */
typedef struct FtHistoryDraft
{
	int			procno;
	FtHistoryState state;
	FtHistoryTexts texts;		/* not looked at if state.text is set */
} FtHistoryDraft;

typedef struct FtHistoryDraftList
{
	FtHistoryDraft *items;
	int			count;
	int			capacity;
} FtHistoryDraftList;

/* A copy of what was kept, for some time. */
typedef struct FtHistory
{
	uint64		first_sample;	/* 0 if there is none in that time */
	uint64		last_sample;
	FtHistorySample *samples;	/* from first_sample on */
	FtHistoryRun *runs;			/* oldest first, not cut to the time */
	int			run_count;
} FtHistory;

#define ft_history_at(history, sample) \
	((history)->samples[(sample) - (history)->first_sample].at)

/* What there is room for, and what is used. */
typedef struct FtHistoryStatus
{
	int64		samples_taken;
	int64		samples;
	int64		samples_limit;
	int64		runs;
	int64		runs_limit;
	int64		text_bytes;
	int64		text_bytes_limit;
	int64		inferred;		/* samples without the lock table */
	int64		longest;		/* microseconds */
	FtHistorySample newest;
	TimestampTz oldest_at;
} FtHistoryStatus;

/* history_store.c */
extern void ft_history_init(void);
extern bool ft_history_there(void);
extern int	ft_history_slots(void);
extern uint64 ft_history_known_text(int procno, const FtHistoryState *state);
extern void ft_history_append(FtHistorySample *sample, FtHistoryDraftList *drafts,
							  instr_time started);
extern FtHistory *ft_history_read(TimestampTz from, TimestampTz to, uint8 flags);
extern bool ft_history_texts(uint64 texts_at, FtHistoryTexts *texts);
extern void ft_history_status_read(FtHistoryStatus *status);

/* history_sample.c: the sampler's task */
extern void ft_history_sample(TimestampTz now);

/* history_row.c: rows of the SQL functions */
typedef enum FtHistoryColumn
{
	FT_HISTORY_PID,
	FT_HISTORY_DATNAME,
	FT_HISTORY_USENAME,
	FT_HISTORY_APPLICATION_NAME,
	FT_HISTORY_BACKEND_TYPE,
	FT_HISTORY_STATE,
	FT_HISTORY_WAIT_EVENT_TYPE,
	FT_HISTORY_WAIT_EVENT,
	FT_HISTORY_QUERY_ID,
	FT_HISTORY_QUERY_START,
	FT_HISTORY_XACT_START,
	FT_HISTORY_QUERY,
	FT_HISTORY_TRACEPARENT,
	FT_HISTORY_BLOCKER_PID,
	FT_HISTORY_PREPARED_GID,
	FT_HISTORY_BLOCK_KIND,
	FT_HISTORY_LOCKTYPE,
	FT_HISTORY_LOCK_OBJECT,
	FT_HISTORY_WAITED_MODE,
	FT_HISTORY_HELD_MODE,
	FT_HISTORY_WAIT_START,
	FT_HISTORY_IN_CYCLE,
	FT_HISTORY_BACKEND_START,
	FT_HISTORY_STATE_CHANGE,
	FT_HISTORY_LEADER_PID,
	FT_HISTORY_BACKEND_XID,
	FT_HISTORY_DATID,
	FT_HISTORY_USESYSID
} FtHistoryColumn;

#define FT_HISTORY_COLUMNS	(FT_HISTORY_USESYSID + 1)

typedef struct FtHistoryViewer FtHistoryViewer;

/*
 * To be used between ft_names_begin() and ft_names_end().  Values are
 * allocated in the current memory context.
 */
extern FtHistoryViewer *ft_history_viewer(const FtHistory *history);
extern void ft_history_row(FtHistoryViewer *viewer, const FtHistoryState *state,
						   Datum *values, bool *nulls);

#endif							/* FT_HISTORY_H */
