/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  ft.backend_memory() and ft.proportional_memory(): memory of the server's
 *	  processes, and how it grows.
 *
 * What a process uses is asked of the kernel at each call.  The resident size
 * alone misleads: it counts each page of shared buffers that the process ever
 * touched.  What a session that leaks takes from the host is its private
 * memory: pages that no other process has, whether resident or swapped out.
 *
 * The sampler looks at all processes from time to time and keeps of each, in
 * shared memory, what it was at first, at most, and five to ten minutes ago,
 * which tells a session that goes on growing from one that grew once, when it
 * filled its caches.
 *
 * Locking: shared->lock protects the baselines.  The kernel is asked without
 * it; it is held for the update or the copy of one baseline.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "diagnostics/activity.h"
#include "diagnostics/backend_entry.h"
#include "diagnostics/catalog_names.h"
#include "diagnostics/kernel_file.h"
#include "diagnostics/memory.h"
#include "errors.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_backend_memory);
PG_FUNCTION_INFO_V1(ft_proportional_memory);

/* The rate of growth is that since a moment one to two of these ago. */
#define RATE_WINDOW_MS	(5 * 60 * 1000)

typedef struct Point
{
	TimestampTz at;
	int64		private;
} Point;

/* What is kept of one process. */
typedef struct Baseline
{
	int			pid;			/* 0: none was sampled here yet */
	TimestampTz backend_start;	/* tells it from another of the same pid */
	Point		first;
	Point		last;
	Point		rate;			/* what the rate is reckoned from */
	Point		next_rate;		/* what it will be reckoned from */
	int64		first_resident;
	int64		max_private;
} Baseline;

typedef struct MemoryShared
{
	LWLock	   *lock;
	int			count;			/* constant: length of baselines */
	Baseline	baselines[FLEXIBLE_ARRAY_MEMBER];	/* by procno */
} MemoryShared;

static MemoryShared *shared = NULL;

/* Columns of ft.backend_memory(). */
enum
{
	MEMORY_PID,
	MEMORY_USENAME,
	MEMORY_APPLICATION_NAME,
	MEMORY_STATE,
	MEMORY_RESIDENT_BYTES,
	MEMORY_PRIVATE_BYTES,
	MEMORY_FIRST_PRIVATE_BYTES,
	MEMORY_GROWTH_BYTES,
	MEMORY_GROWTH_PER_MINUTE,
	MEMORY_SAMPLED_AT,
	MEMORY_BACKEND_START,
	MEMORY_QUERY,
	MEMORY_FIRST_RESIDENT_BYTES,
	MEMORY_MAX_PRIVATE_BYTES,
	MEMORY_SWAPPED_BYTES,
	MEMORY_FIRST_SAMPLED_AT,
	MEMORY_SAMPLE_AGE,
	MEMORY_DATNAME,
	MEMORY_BACKEND_TYPE,
	MEMORY_XACT_START,
	MEMORY_QUERY_START,
	MEMORY_COLUMNS
};

/* Columns of ft.proportional_memory(). */
enum
{
	PROPORTIONAL_PID,
	PROPORTIONAL_BYTES,
	PROPORTIONAL_RESIDENT,
	PROPORTIONAL_PRIVATE,
	PROPORTIONAL_SHARED,
	PROPORTIONAL_ANONYMOUS,
	PROPORTIONAL_SHARED_MEMORY,
	PROPORTIONAL_SWAPPED,
	PROPORTIONAL_COLUMNS
};

/* How many processes there can be, prepared transactions not counted. */
static int
process_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

static Size
memory_size(void)
{
	return add_size(offsetof(MemoryShared, baselines),
					mul_size(sizeof(Baseline), process_count()));
}

static void
memory_create(void *memory, LWLockPadded *locks)
{
	shared->lock = &locks[0].lock;
	shared->count = process_count();
}

static const FtShmemPart part = {
	.name = "memory",
	.size = memory_size,
	.locks = 1,
	.create = memory_create,
	.address = (void **) &shared,
};

void
ft_memory_init(void)
{
	ft_shmem_register(&part);
}

bool
ft_process_memory(int pid, FtProcessMemory *memory)
{
	char		path[64];
	char		contents[FT_KERNEL_FILE_SIZE];
	int64		anonymous;

	memory->resident = memory->swapped = memory->private = FT_UNKNOWN;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (!ft_kernel_file(path, contents, sizeof(contents)))
		return false;
	memory->resident = ft_kernel_value(contents, "VmRSS:", 1024);
	memory->swapped = ft_kernel_value(contents, "VmSwap:", 1024);
	anonymous = ft_kernel_value(contents, "RssAnon:", 1024);
	if (anonymous != FT_UNKNOWN)
		memory->private = anonymous + Max(memory->swapped, 0);
	return memory->resident != FT_UNKNOWN;
}

/* Enter what was found of one process. */
static void
note_memory(Baseline *baseline, int pid, TimestampTz backend_start,
			const FtProcessMemory *memory, TimestampTz now)
{
	Point		point = {now, memory->private};

	if (baseline->pid != pid || baseline->backend_start != backend_start)
	{
		baseline->pid = pid;
		baseline->backend_start = backend_start;
		baseline->first = baseline->rate = baseline->next_rate = point;
		baseline->first_resident = memory->resident;
		baseline->max_private = memory->private;
	}

	/* the clock may have been set back */
	if (baseline->next_rate.at > now)
		baseline->rate = baseline->next_rate = point;
	else if (TimestampDifferenceExceeds(baseline->next_rate.at, now, RATE_WINDOW_MS))
	{
		baseline->rate = baseline->next_rate;
		baseline->next_rate = point;
	}
	baseline->last = point;
	baseline->max_private = Max(baseline->max_private, memory->private);
}

/*
 * Task of the sampler: note the memory of all processes.
 */
void
ft_memory_sample(TimestampTz now)
{
	FtBackendReader *reader;

	if (shared == NULL)
		return;
	reader = ft_backend_reader();
	for (int i = 0; i < shared->count; i++)
	{
		int			pid = ProcGlobal->allProcs[i].pid;
		FtBackendEntry entry;
		FtProcessMemory memory;

		CHECK_FOR_INTERRUPTS();
		if (pid == 0 || !ft_process_memory(pid, &memory) ||
			!ft_backend_entry(reader, i, pid, &entry))
			continue;
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		note_memory(&shared->baselines[i], pid, entry.status.st_proc_start_timestamp,
					&memory, now);
		LWLockRelease(shared->lock);
	}
	pfree(reader->query);
	pfree(reader);
}

/* What the sampler has kept of a process; false if nothing. */
static bool
find_baseline(int procno, int pid, Baseline *baseline)
{
	if (shared == NULL || procno >= shared->count)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	*baseline = shared->baselines[procno];
	LWLockRelease(shared->lock);
	return baseline->pid == pid;
}

static void
put_time(Datum *values, bool *nulls, int column, TimestampTz value)
{
	values[column] = TimestampTzGetDatum(value);
	nulls[column] = value == 0;
}

/*
 * How it has grown since the sampler saw it first.  The start of a session is
 * hidden from those who may not see what it does, so a baseline is checked by
 * what can be seen of it.
 */
static void
put_growth(Datum *values, bool *nulls, const Baseline *baseline, int64 private,
		   TimestampTz now)
{
	double		minutes = (now - baseline->rate.at) / (double) (60 * USECS_PER_SEC);

	ft_put_int64(values, nulls, MEMORY_FIRST_PRIVATE_BYTES, baseline->first.private);
	ft_put_int64(values, nulls, MEMORY_FIRST_RESIDENT_BYTES, baseline->first_resident);
	ft_put_int64(values, nulls, MEMORY_MAX_PRIVATE_BYTES, Max(baseline->max_private, private));
	put_time(values, nulls, MEMORY_FIRST_SAMPLED_AT, baseline->first.at);
	values[MEMORY_SAMPLE_AGE] =
		DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(now),
							TimestampTzGetDatum(baseline->last.at));
	nulls[MEMORY_SAMPLE_AGE] = false;
	if (private == FT_UNKNOWN || baseline->first.private == FT_UNKNOWN)
		return;
	values[MEMORY_GROWTH_BYTES] = Int64GetDatum(private - baseline->first.private);
	nulls[MEMORY_GROWTH_BYTES] = false;
	if (minutes > 0)
		ft_put_float8(values, nulls, MEMORY_GROWTH_PER_MINUTE,
					  rint((private - baseline->rate.private) / minutes));
}

static void
put_process(ReturnSetInfo *rsinfo, int procno, const FtActivity *activity)
{
	static const struct
	{
		int			column;
		FtActivityColumn from;
	}			copied[] = {
		{MEMORY_USENAME, FT_ACTIVITY_USENAME},
		{MEMORY_APPLICATION_NAME, FT_ACTIVITY_APPLICATION_NAME},
		{MEMORY_STATE, FT_ACTIVITY_STATE},
		{MEMORY_BACKEND_START, FT_ACTIVITY_BACKEND_START},
		{MEMORY_QUERY, FT_ACTIVITY_QUERY},
		{MEMORY_DATNAME, FT_ACTIVITY_DATNAME},
		{MEMORY_BACKEND_TYPE, FT_ACTIVITY_BACKEND_TYPE},
		{MEMORY_XACT_START, FT_ACTIVITY_XACT_START},
		{MEMORY_QUERY_START, FT_ACTIVITY_QUERY_START},
	};
	Datum		values[MEMORY_COLUMNS] = {0};
	bool		nulls[MEMORY_COLUMNS];
	TimestampTz now = GetCurrentTimestamp();
	FtProcessMemory memory;
	Baseline	baseline;

	(void) ft_process_memory(activity->pid, &memory);
	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < (int) lengthof(copied); i++)
	{
		values[copied[i].column] = activity->values[copied[i].from];
		nulls[copied[i].column] = activity->nulls[copied[i].from];
	}
	values[MEMORY_PID] = Int32GetDatum(activity->pid);
	nulls[MEMORY_PID] = false;
	ft_put_int64(values, nulls, MEMORY_RESIDENT_BYTES, memory.resident);
	ft_put_int64(values, nulls, MEMORY_PRIVATE_BYTES, memory.private);
	ft_put_int64(values, nulls, MEMORY_SWAPPED_BYTES, memory.swapped);
	put_time(values, nulls, MEMORY_SAMPLED_AT, now);
	if (find_baseline(procno, activity->pid, &baseline) &&
		(!activity->visible || baseline.backend_start == activity->backend_start))
		put_growth(values, nulls, &baseline, memory.private, now);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
ft_backend_memory(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtActivityReader *reader;

	InitMaterializedSRF(fcinfo, 0);
	ft_names_begin();
	reader = ft_activity_reader();
	for (int i = 0; i < (int) ProcGlobal->allProcCount; i++)
	{
		int			pid = ProcGlobal->allProcs[i].pid;
		FtActivity	activity;

		CHECK_FOR_INTERRUPTS();
		if (pid == 0)
			continue;
		ft_activity_read(reader, i, pid, &activity);
		if (activity.found)
			put_process(rsinfo, i, &activity);
	}
	ft_names_end();
	return (Datum) 0;
}

/* Is it a process of this server? */
static bool
is_server_process(int pid)
{
	return pid > 0 && (pid == PostmasterPid || BackendPidGetProc(pid) != NULL ||
					   AuxiliaryPidGetProc(pid) != NULL);
}

static int64
sum(const char *contents, const char *key, const char *other)
{
	int64		a = ft_kernel_value(contents, key, 1024);
	int64		b = ft_kernel_value(contents, other, 1024);

	return a == FT_UNKNOWN || b == FT_UNKNOWN ? FT_UNKNOWN : a + b;
}

/*
 * ft.proportional_memory(pid int)
 *
 * The kernel walks all pages of the process for it, and keeps it from mapping
 * memory meanwhile: to be asked of one process at a time.
 */
Datum
ft_proportional_memory(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			pid = PG_GETARG_INT32(0);
	Datum		values[PROPORTIONAL_COLUMNS] = {0};
	bool		nulls[PROPORTIONAL_COLUMNS] = {0};
	char		path[64];
	char		contents[FT_KERNEL_FILE_SIZE];

	InitMaterializedSRF(fcinfo, 0);
	if (!is_server_process(pid))
	{
		/* as pg_log_backend_memory_contexts(): it may have ended just now */
		ereport(WARNING,
				(errmsg("PID %d is not a PostgreSQL server process", pid)));
		return (Datum) 0;
	}
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	if (!ft_kernel_file(path, contents, sizeof(contents)))
	{
		ereport(WARNING,
				(errmsg("the kernel does not show the memory of process %d", pid),
				 errdetail("%s cannot be read: %m", path),
				 errhint("It needs Linux 4.14 or newer.")));
		return (Datum) 0;
	}
	values[PROPORTIONAL_PID] = Int32GetDatum(pid);
	ft_put_int64(values, nulls, PROPORTIONAL_BYTES, ft_kernel_value(contents, "Pss:", 1024));
	ft_put_int64(values, nulls, PROPORTIONAL_RESIDENT, ft_kernel_value(contents, "Rss:", 1024));
	ft_put_int64(values, nulls, PROPORTIONAL_PRIVATE, sum(contents, "Private_Clean:", "Private_Dirty:"));
	ft_put_int64(values, nulls, PROPORTIONAL_SHARED, sum(contents, "Shared_Clean:", "Shared_Dirty:"));
	ft_put_int64(values, nulls, PROPORTIONAL_ANONYMOUS, ft_kernel_value(contents, "Pss_Anon:", 1024));
	ft_put_int64(values, nulls, PROPORTIONAL_SHARED_MEMORY, ft_kernel_value(contents, "Pss_Shmem:", 1024));
	ft_put_int64(values, nulls, PROPORTIONAL_SWAPPED, ft_kernel_value(contents, "SwapPss:", 1024));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
