/*-------------------------------------------------------------------------
 *
 * wal_rate.c
 *	  How fast WAL is written, archived and checkpointed, and how much of it
 *	  lies in pg_wal.
 *
 * The sampler's task "wal" notes the counters now and then; a rate is the
 * difference between what they are now and what they were then.  They are read
 * from the shared statistics as they are, not through the snapshot that a
 * transaction has of them, and before what a reset takes off: so they only
 * grow.
 *
 * Locking: shared->lock, for the time of copying a sample.  The statistics are
 * read by the protocol of their changecount, and pg_wal as a folder.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/pgstat_internal.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "diagnostics/counter_ring.h"
#include "diagnostics/wal_rate.h"
#include "errors.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_wal_activity);
PG_FUNCTION_INFO_V1(ft_wal_folder);

enum
{
	LSN,
	ARCHIVED,
	ARCHIVE_FAILED,
	CHECKPOINTS_TIMED,
	CHECKPOINTS_REQUESTED,
	COUNTERS
};

typedef struct WalShared
{
	LWLock	   *lock;			/* constant; protects the ring */
	FtCounterRing ring;
} WalShared;

static WalShared *shared = NULL;

static Size
shared_size(void)
{
	return sizeof(WalShared);
}

static void
create_shared(void *memory, LWLockPadded *locks)
{
	((WalShared *) memory)->lock = &locks[0].lock;
}

static const FtShmemPart part = {
	.name = "wal",
	.size = shared_size,
	.locks = 1,
	.create = create_shared,
	.address = (void **) &shared,
};

void
ft_wal_rate_init(void)
{
	ft_shmem_register(&part);
}

/* The end of the WAL that was written here, or received from elsewhere. */
static XLogRecPtr
wal_end(void)
{
	XLogRecPtr	received;
	XLogRecPtr	replayed;

	if (!RecoveryInProgress())
		return GetXLogInsertRecPtr();
	received = GetWalRcvFlushRecPtr(NULL, NULL);
	replayed = GetXLogReplayRecPtr(NULL);
	return Max(received, replayed);
}

static void
read_counters(FtCounters *counters, TimestampTz now)
{
	PgStatShared_Archiver *archiver = &pgStatLocal.shmem->archiver;
	PgStatShared_Checkpointer *checkpointer = &pgStatLocal.shmem->checkpointer;
	PgStat_ArchiverStats archived;
	PgStat_CheckpointerStats checkpoints;

	pgstat_copy_changecounted_stats(&archived, &archiver->stats,
									sizeof(archived), &archiver->changecount);
	pgstat_copy_changecounted_stats(&checkpoints, &checkpointer->stats,
									sizeof(checkpoints), &checkpointer->changecount);

	memset(counters, 0, sizeof(*counters));
	counters->time = now;
	counters->values[LSN] = wal_end();
	counters->values[ARCHIVED] = archived.archived_count;
	counters->values[ARCHIVE_FAILED] = archived.failed_count;
	counters->values[CHECKPOINTS_TIMED] = ft_stat_checkpoints_timed(&checkpoints);
	counters->values[CHECKPOINTS_REQUESTED] = ft_stat_checkpoints_requested(&checkpoints);
}

/*
 * The sampler's task.
 */
void
ft_wal_rate_sample(TimestampTz now)
{
	FtCounters	counters;

	read_counters(&counters, now);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	ft_counter_ring_add(&shared->ring, &counters);
	LWLockRelease(shared->lock);
}

/*
 * What happened since the sample that is nearest to the begin of a window.
 * All NULL while none was taken, and where nothing is sampled.
 *
 * ft.wal_activity("window" interval)
 */
Datum
ft_wal_activity(PG_FUNCTION_ARGS)
{
	Interval   *window = PG_GETARG_INTERVAL_P(0);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since;
	TupleDesc	descriptor;
	Datum		values[COUNTERS + 2] = {0};
	bool		nulls[COUNTERS + 2];
	FtCounters	then;
	FtCounters	current;
	bool		known = false;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	since = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
													TimestampTzGetDatum(now),
													IntervalPGetDatum(window)));
	if (since >= now)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("the window must be longer than nothing"),
				 errhint("Give an interval such as '1 min'.")));

	if (shared != NULL)
	{
		LWLockAcquire(shared->lock, LW_SHARED);
		known = ft_counter_ring_since(&shared->ring, since, &then);
		LWLockRelease(shared->lock);
	}

	memset(nulls, true, sizeof(nulls));
	read_counters(&current, now);
	if (known && then.time < now)
	{
		values[0] = TimestampTzGetDatum(then.time);
		values[1] = DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(now),
										TimestampTzGetDatum(then.time));
		nulls[0] = nulls[1] = false;
		for (int i = 0; i < COUNTERS; i++)
		{
			/* a standby that was promoted may have fallen back a little */
			if (current.values[i] < then.values[i])
				continue;
			values[i + 2] = Int64GetDatum((int64) (current.values[i] - then.values[i]));
			nulls[i + 2] = false;
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}

/*
 * The WAL files in pg_wal, those recycled for later use included, what they
 * take and what they may take.
 *
 * ft.wal_folder()
 */
Datum
ft_wal_folder(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[4];
	bool		nulls[4] = {0};
	DIR		   *folder;
	struct dirent *entry;
	int64		files = 0;

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	folder = AllocateDir(XLOGDIR);
	while ((entry = ReadDir(folder, XLOGDIR)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (IsXLogFileName(entry->d_name) || IsPartialXLogFileName(entry->d_name))
			files++;
	}
	FreeDir(folder);

	values[0] = Int64GetDatum(files);
	values[1] = Int64GetDatum(files * wal_segment_size);
	values[2] = Int64GetDatum((int64) max_wal_size_mb * 1024 * 1024);
	values[3] = LSNGetDatum(wal_end());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor),
													  values, nulls)));
}
