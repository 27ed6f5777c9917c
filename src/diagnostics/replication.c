/*-------------------------------------------------------------------------
 *
 * replication.c
 *	  What a node is, and how old the WAL is that a standby has yet to get.
 *
 * The views on this are plain SQL; here is what they cannot do.
 *
 * Time: the lag times of pg_stat_replication are those of the last round
 * trip.  They can stand still, small, while a standby is stuck, and say nothing
 * of one that is away.  now() - pg_last_xact_replay_timestamp() grows on an
 * idle primary and jumps when it wakes.  So the time is taken from where it
 * stands: the WAL itself.  A position lags by the age of the first commit
 * after it, and by nothing if none follows.
 *
 * Locking: spinlocks of the WAL and its receiver, each for a few fields.
 * WAL is read from its files, only as far as it was flushed, never past
 * WAL_READ_LIMIT, and a file that is gone is an unknown age, not an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/timeline.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogrecovery.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "guc.h"

PG_FUNCTION_INFO_V1(ft_node_state);
PG_FUNCTION_INFO_V1(ft_wal_age);

/* How far a commit is looked for; a bulk load writes more than this without. */
#define WAL_READ_LIMIT (4 * 1024 * 1024)

/* Where WAL is read, and why reading ended. */
typedef struct WalRead
{
	TimeLineID	timeline;
	List	   *history;		/* NIL until needed */
	XLogRecPtr	end;			/* flushed up to here */
	int			file;			/* -1 if none is open */
	XLogSegNo	segment;		/* of file */
	pg_time_t	written;		/* when the first file was last written */
	bool		at_end;			/* ended because there is no more */
} WalRead;

/*
 * The end of the WAL that this node has on disk and can pass on, and its
 * timeline.
 */
static XLogRecPtr
flushed_end(TimeLineID *timeline)
{
	XLogRecPtr	replayed;
	XLogRecPtr	received;
	TimeLineID	receive_timeline;

	if (!RecoveryInProgress())
		return GetFlushRecPtr(timeline);

	replayed = GetXLogReplayRecPtr(timeline);
	received = GetWalRcvFlushRecPtr(NULL, &receive_timeline);
	if (receive_timeline == *timeline && received > replayed)
		return received;
	return replayed;
}

static const char *
role_name(int role)
{
	switch (role)
	{
		case FT_ROLE_PRIMARY:
			return "primary";
		case FT_ROLE_STANDBY:
			return "standby";
		default:
			return "any";
	}
}

static const char *
pause_state_name(RecoveryPauseState state)
{
	switch (state)
	{
		case RECOVERY_PAUSE_REQUESTED:
			return "pause requested";
		case RECOVERY_PAUSED:
			return "paused";
		default:
			return "not paused";
	}
}

/*
 * One row on this node.  In one function, so that a promotion in the middle
 * of a query does not show half of each.
 */
Datum
ft_node_state(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[9] = {0};
	bool		nulls[9] = {0};
	bool		in_recovery = RecoveryInProgress();
	TimeLineID	timeline;
	XLogRecPtr	end;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	end = flushed_end(&timeline);
	if (!in_recovery)
		end = GetXLogWriteRecPtr();

	values[0] = CStringGetTextDatum(role_name(ft_expected_role));
	values[1] = BoolGetDatum(in_recovery);
	values[2] = Int32GetDatum((int32) timeline);
	values[3] = LSNGetDatum(end);
	if (in_recovery)
	{
		XLogRecPtr	received = GetWalRcvFlushRecPtr(NULL, NULL);
		XLogRecPtr	replayed = GetXLogReplayRecPtr(NULL);
		TimestampTz last_replayed = GetLatestXTime();

		nulls[4] = XLogRecPtrIsInvalid(received);
		values[4] = LSNGetDatum(received);
		nulls[5] = XLogRecPtrIsInvalid(replayed);
		values[5] = LSNGetDatum(replayed);
		nulls[6] = last_replayed == 0;
		values[6] = TimestampTzGetDatum(last_replayed);
		values[7] = CStringGetTextDatum(pause_state_name(GetRecoveryPauseState()));
		values[8] = BoolGetDatum(PrimaryConnInfo != NULL &&
								 PrimaryConnInfo[0] != '\0');
	}
	else
		nulls[4] = nulls[5] = nulls[6] = nulls[7] = nulls[8] = true;

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}

/*
 * Open a WAL segment, on this node's timeline or on the newest it came from
 * that has the file.  -1 if none has.
 */
static int
open_segment(WalRead *wal, XLogSegNo segment)
{
	char		path[MAXPGPATH];
	ListCell   *cell;
	int			file;

	XLogFilePath(path, wal->timeline, segment, wal_segment_size);
	file = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (file >= 0)
		return file;

	if (wal->history == NIL)
		wal->history = readTimeLineHistory(wal->timeline);
	foreach(cell, wal->history)
	{
		TimeLineHistoryEntry *entry = (TimeLineHistoryEntry *) lfirst(cell);

		if (entry->tli == wal->timeline ||
			entry->begin / wal_segment_size > segment)
			continue;
		XLogFilePath(path, entry->tli, segment, wal_segment_size);
		file = OpenTransientFile(path, O_RDONLY | PG_BINARY);
		if (file >= 0)
			return file;
	}
	return -1;
}

static void
close_segment(WalRead *wal)
{
	if (wal->file >= 0)
		CloseTransientFile(wal->file);
	wal->file = -1;
}

/* XLogReader's callback: read a page as far as it was flushed. */
static int
read_page(XLogReaderState *reader, XLogRecPtr page, int wanted,
		  XLogRecPtr target pg_attribute_unused(), char *buffer)
{
	WalRead    *wal = (WalRead *) reader->private_data;
	XLogSegNo	segment = page / wal_segment_size;
	int			available = page >= wal->end ? 0 :
		(int) Min(wal->end - page, XLOG_BLCKSZ);

	CHECK_FOR_INTERRUPTS();

	if (available < wanted || available == 0)
	{
		wal->at_end = true;
		return -1;
	}

	if (wal->file < 0 || wal->segment != segment)
	{
		struct stat status;

		close_segment(wal);
		wal->file = open_segment(wal, segment);
		if (wal->file < 0)
			return -1;
		wal->segment = segment;
		if (wal->written == 0 && fstat(wal->file, &status) == 0)
			wal->written = (pg_time_t) status.st_mtime;
	}

	if (pg_pread(wal->file, buffer, XLOG_BLCKSZ,
				 (off_t) (page % wal_segment_size)) < available)
		return -1;
	return available;
}

/* When the transaction of a record ended; false if the record ends none. */
static bool
transaction_end(XLogReaderState *reader, TimestampTz *time)
{
	if (XLogRecGetRmid(reader) != RM_XACT_ID)
		return false;

	switch (XLogRecGetInfo(reader) & XLOG_XACT_OPMASK)
	{
		case XLOG_XACT_COMMIT:
		case XLOG_XACT_COMMIT_PREPARED:
			*time = ((xl_xact_commit *) XLogRecGetData(reader))->xact_time;
			return true;
		case XLOG_XACT_ABORT:
		case XLOG_XACT_ABORT_PREPARED:
			*time = ((xl_xact_abort *) XLogRecGetData(reader))->xact_time;
			return true;
		default:
			return false;
	}
}

/*
 * When the first transaction ended that stands in the WAL after a position.
 * False if that cannot be told; *time is 0 if there is none.  If none was
 * found in the stretch that is read, *time is when the first file of it was
 * last written, which is not before the position was.
 */
static bool
first_transaction_end(XLogRecPtr position, WalRead *wal, TimestampTz *time)
{
	XLogReaderState *reader;
	bool		known = false;

	reader = XLogReaderAllocate(wal_segment_size, NULL,
								XL_ROUTINE(.page_read = &read_page), wal);
	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reading processor.")));

	if (!XLogRecPtrIsInvalid(XLogFindNextRecord(reader, position)))
	{
		char	   *message;

		while (XLogReadRecord(reader, &message) != NULL)
		{
			if (transaction_end(reader, time))
			{
				known = true;
				break;
			}
			if (reader->EndRecPtr - position > WAL_READ_LIMIT)
			{
				*time = time_t_to_timestamptz(wal->written);
				known = wal->written != 0;
				break;
			}
		}
	}
	if (wal->at_end)
	{
		*time = 0;
		known = true;
	}

	XLogReaderFree(reader);
	close_segment(wal);
	return known;
}

Datum
ft_wal_age(PG_FUNCTION_ARGS)
{
	XLogRecPtr	position = PG_GETARG_LSN(0);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz time = 0;
	WalRead		wal = {.file = -1};

	if (XLogRecPtrIsInvalid(position))
		PG_RETURN_NULL();

	wal.end = flushed_end(&wal.timeline);
	if (position < wal.end && !first_transaction_end(position, &wal, &time))
		PG_RETURN_NULL();

	/* Clocks differ, and the first transaction may have ended just now. */
	if (time == 0 || time > now)
		time = now;
	return DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(now),
							   TimestampTzGetDatum(time));
}
