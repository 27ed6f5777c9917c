/*-------------------------------------------------------------------------
 *
 * host.c
 *	  ft.host_memory() and ft.host_load(): what the machine has left.
 *
 * All is asked of the kernel at each call; none of it waits for a disk.
 * Other systems than Linux show their load, and the rest is NULL.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>
#include <unistd.h>

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "diagnostics/cgroup.h"
#include "diagnostics/kernel_file.h"
#include "threshold.h"

PG_FUNCTION_INFO_V1(ft_host_memory);
PG_FUNCTION_INFO_V1(ft_host_load);

/* Columns of ft.host_memory(). */
enum
{
	HOST_TOTAL,
	HOST_AVAILABLE,
	HOST_USED_PERCENT,
	HOST_SWAP_TOTAL,
	HOST_SWAP_FREE,
	HOST_CGROUP_LIMIT,
	HOST_CGROUP_USED,
	HOST_CGROUP_USED_PERCENT,
	HOST_OVERCOMMIT,
	HOST_COMMIT_LIMIT,
	HOST_COMMITTED,
	HOST_COMMITTED_PERCENT,
	HOST_POSTMASTER_OOM,
	HOST_BACKEND_OOM,
	HOST_OOM_KILLS,
	HOST_HUGE_TOTAL,
	HOST_HUGE_FREE,
	HOST_HUGE_SIZE,
	HOST_SEVERITY,
	HOST_REASON,
	HOST_SAMPLED_AT,
	HOST_COLUMNS
};

/* Columns of ft.host_load(). */
enum
{
	LOAD_1,
	LOAD_5,
	LOAD_15,
	LOAD_CPUS,
	LOAD_CPU_QUOTA,
	LOAD_PER_CPU,
	LOAD_CPU_SOME_10,
	LOAD_CPU_SOME_60,
	LOAD_MEMORY_SOME_10,
	LOAD_MEMORY_SOME_60,
	LOAD_MEMORY_FULL_10,
	LOAD_MEMORY_FULL_60,
	LOAD_IO_SOME_10,
	LOAD_IO_SOME_60,
	LOAD_IO_FULL_10,
	LOAD_IO_FULL_60,
	LOAD_UPTIME,
	LOAD_SAMPLED_AT,
	LOAD_COLUMNS
};

#define OVERCOMMIT_NEVER	2

typedef struct HostMemory
{
	int64		total;
	int64		available;
	int64		swap_total;
	int64		swap_free;
	int64		commit_limit;
	int64		committed;
	int64		huge_total;
	int64		huge_free;
	int64		huge_size;
	int64		overcommit;		/* vm.overcommit_memory */
	int64		postmaster_oom_score_adj;
	int64		backend_oom_score_adj;
	FtCgroup	group;
} HostMemory;

static int64
oom_score_adj(int pid)
{
	char		path[64];
	char		contents[64];

	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	if (!ft_kernel_file(path, contents, sizeof(contents)))
		return PG_INT64_MIN;
	return strtoll(contents, NULL, 10);
}

static void
read_host_memory(HostMemory *memory)
{
	char		contents[FT_KERNEL_FILE_SIZE];

	(void) ft_kernel_file("/proc/meminfo", contents, sizeof(contents));
	memory->total = ft_kernel_value(contents, "MemTotal:", 1024);
	memory->available = ft_kernel_value(contents, "MemAvailable:", 1024);
	memory->swap_total = ft_kernel_value(contents, "SwapTotal:", 1024);
	memory->swap_free = ft_kernel_value(contents, "SwapFree:", 1024);
	memory->commit_limit = ft_kernel_value(contents, "CommitLimit:", 1024);
	memory->committed = ft_kernel_value(contents, "Committed_AS:", 1024);
	memory->huge_total = ft_kernel_value(contents, "HugePages_Total:", 1);
	memory->huge_free = ft_kernel_value(contents, "HugePages_Free:", 1);
	memory->huge_size = ft_kernel_value(contents, "Hugepagesize:", 1024);
	memory->overcommit = ft_kernel_number("/proc/sys/vm/overcommit_memory");
	memory->postmaster_oom_score_adj = oom_score_adj(PostmasterPid);
	memory->backend_oom_score_adj = oom_score_adj(MyProcPid);
	ft_cgroup_read(&memory->group);
}

/* NaN unless both are known. */
static double
percent(int64 used, int64 total)
{
	if (used == FT_UNKNOWN || total == FT_UNKNOWN || total == 0)
		return NAN;
	return 100.0 * used / total;
}

static double
host_used_percent(const HostMemory *memory)
{
	if (memory->available == FT_UNKNOWN || memory->total == FT_UNKNOWN)
		return NAN;
	return percent(memory->total - memory->available, memory->total);
}

/*
 * What comes when the memory is used up.  With the strict mode of overcommit
 * allocations fail instead of processes being killed, except by the limit of
 * a control group, which that mode does not know of.
 */
static void
append_consequence(StringInfo reason, const HostMemory *memory)
{
	if (memory->postmaster_oom_score_adj == -1000 && memory->backend_oom_score_adj > -1000)
		appendStringInfoString(reason,
							   "when it is used up the kernel kills a session, and the server restarts all of them; the postmaster is spared (oom_score_adj -1000)");
	else
		appendStringInfoString(reason,
							   "when it is used up the kernel kills a process, which can be the postmaster: the server is down then");
}

/*
 * How near the kernel is to killing, and why.  Worst first: the group's limit
 * is looked at before the host's, because it is the one that is reached first.
 */
static FtSeverity
judge_memory(const HostMemory *memory, const FtThreshold *threshold, StringInfo reason)
{
	double		group = percent(memory->group.memory_used, memory->group.memory_limit);
	double		host = host_used_percent(memory);
	double		committed = percent(memory->committed, memory->commit_limit);
	FtSeverity	severity = FT_SEVERITY_OK;

	if (ft_severity_of(threshold, group) > severity)
	{
		severity = ft_severity_of(threshold, group);
		appendStringInfo(reason, "%.1f %% of the memory of the control group is used; ", group);
		append_consequence(reason, memory);
	}
	if (ft_severity_of(threshold, host) > severity)
	{
		severity = ft_severity_of(threshold, host);
		resetStringInfo(reason);
		appendStringInfo(reason, "%.1f %% of the memory of the host is used; ", host);
		append_consequence(reason, memory);
	}
	if (memory->overcommit == OVERCOMMIT_NEVER &&
		ft_severity_of(threshold, committed) > severity)
	{
		severity = ft_severity_of(threshold, committed);
		resetStringInfo(reason);
		appendStringInfo(reason,
						 "%.1f %% of what the kernel grants is granted; past that statements fail with out of memory (vm.overcommit_memory = 2)",
						 committed);
	}
	return severity;
}

static void
append_kills(StringInfo reason, const HostMemory *memory)
{
	if (memory->group.oom_kills <= 0)
		return;
	appendStringInfo(reason, "%sthe kernel has killed %lld processes of this control group for want of memory so far",
					 reason->len > 0 ? "; " : "", (long long) memory->group.oom_kills);
}

static void
put_score(Datum *values, bool *nulls, int column, int64 score)
{
	nulls[column] = score == PG_INT64_MIN;
	values[column] = Int32GetDatum((int32) score);
}

static void
put_judgement(Datum *values, bool *nulls, const HostMemory *memory)
{
	const FtThreshold *threshold = ft_threshold(ft_thresholds_read(), "memory");
	StringInfoData reason;

	if (memory->total == FT_UNKNOWN)
	{
		ft_put_text(values, nulls, HOST_SEVERITY, "UNKNOWN");
		ft_put_text(values, nulls, HOST_REASON, "this kernel does not show the memory of the host in /proc/meminfo");
		return;
	}
	initStringInfo(&reason);
	ft_put_text(values, nulls, HOST_SEVERITY,
				ft_severity_name(judge_memory(memory, threshold, &reason)));
	append_kills(&reason, memory);
	ft_put_text(values, nulls, HOST_REASON, reason.len > 0 ? reason.data : NULL);
}

/*
 * ft.host_memory()
 */
Datum
ft_host_memory(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[HOST_COLUMNS] = {0};
	bool		nulls[HOST_COLUMNS] = {0};
	HostMemory	memory;

	InitMaterializedSRF(fcinfo, 0);
	read_host_memory(&memory);
	ft_put_int64(values, nulls, HOST_TOTAL, memory.total);
	ft_put_int64(values, nulls, HOST_AVAILABLE, memory.available);
	ft_put_percent(values, nulls, HOST_USED_PERCENT, host_used_percent(&memory));
	ft_put_int64(values, nulls, HOST_SWAP_TOTAL, memory.swap_total);
	ft_put_int64(values, nulls, HOST_SWAP_FREE, memory.swap_free);
	ft_put_int64(values, nulls, HOST_CGROUP_LIMIT, memory.group.memory_limit);
	ft_put_int64(values, nulls, HOST_CGROUP_USED, memory.group.memory_used);
	ft_put_percent(values, nulls, HOST_CGROUP_USED_PERCENT,
				   percent(memory.group.memory_used, memory.group.memory_limit));
	nulls[HOST_OVERCOMMIT] = memory.overcommit == FT_UNKNOWN;
	values[HOST_OVERCOMMIT] = Int32GetDatum((int32) memory.overcommit);
	ft_put_int64(values, nulls, HOST_COMMIT_LIMIT, memory.commit_limit);
	ft_put_int64(values, nulls, HOST_COMMITTED, memory.committed);
	ft_put_percent(values, nulls, HOST_COMMITTED_PERCENT,
				   percent(memory.committed, memory.commit_limit));
	put_score(values, nulls, HOST_POSTMASTER_OOM, memory.postmaster_oom_score_adj);
	put_score(values, nulls, HOST_BACKEND_OOM, memory.backend_oom_score_adj);
	ft_put_int64(values, nulls, HOST_OOM_KILLS, memory.group.oom_kills);
	ft_put_int64(values, nulls, HOST_HUGE_TOTAL, memory.huge_total);
	ft_put_int64(values, nulls, HOST_HUGE_FREE, memory.huge_free);
	ft_put_int64(values, nulls, HOST_HUGE_SIZE, memory.huge_size);
	put_judgement(values, nulls, &memory);
	values[HOST_SAMPLED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* The share of time that something waited for a resource, in percent. */
static double
pressure(const char *contents, const char *who, const char *key)
{
	const char *line = strstr(contents, who);
	const char *found = line == NULL ? NULL : strstr(line, key);
	const char *end = line == NULL ? NULL : strchr(line, '\n');

	if (found == NULL || (end != NULL && found > end))
		return NAN;
	return strtod(found + strlen(key), NULL);
}

static void
put_pressure(Datum *values, bool *nulls, const char *path, int some, int full)
{
	char		contents[1024];

	(void) ft_kernel_file(path, contents, sizeof(contents));
	ft_put_float8(values, nulls, some, pressure(contents, "some ", "avg10="));
	ft_put_float8(values, nulls, some + 1, pressure(contents, "some ", "avg60="));
	if (full < 0)
		return;
	ft_put_float8(values, nulls, full, pressure(contents, "full ", "avg10="));
	ft_put_float8(values, nulls, full + 1, pressure(contents, "full ", "avg60="));
}

static void
put_uptime(Datum *values, bool *nulls)
{
	char		contents[64];
	Interval   *uptime;

	nulls[LOAD_UPTIME] = !ft_kernel_file("/proc/uptime", contents, sizeof(contents));
	if (nulls[LOAD_UPTIME])
		return;
	uptime = palloc0(sizeof(Interval));
	uptime->time = (TimeOffset) (strtod(contents, NULL) * USECS_PER_SEC);
	values[LOAD_UPTIME] = IntervalPGetDatum(uptime);
}

/*
 * ft.host_load()
 */
Datum
ft_host_load(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[LOAD_COLUMNS] = {0};
	bool		nulls[LOAD_COLUMNS] = {0};
	double		load[3] = {NAN, NAN, NAN};
	long		cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double		usable;
	FtCgroup	group;

	InitMaterializedSRF(fcinfo, 0);
	if (getloadavg(load, 3) != 3)
		load[0] = load[1] = load[2] = NAN;
	ft_cgroup_read(&group);
	usable = cpus > 0 ? cpus : NAN;
	if (group.cpu_quota < usable)
		usable = group.cpu_quota;

	for (int i = 0; i < 3; i++)
		ft_put_float8(values, nulls, LOAD_1 + i, rint(100 * load[i]) / 100);
	nulls[LOAD_CPUS] = cpus <= 0;
	values[LOAD_CPUS] = Int32GetDatum((int32) cpus);
	ft_put_float8(values, nulls, LOAD_CPU_QUOTA, group.cpu_quota);
	ft_put_float8(values, nulls, LOAD_PER_CPU, rint(100 * load[0] / usable) / 100);
	put_pressure(values, nulls, "/proc/pressure/cpu", LOAD_CPU_SOME_10, -1);
	put_pressure(values, nulls, "/proc/pressure/memory", LOAD_MEMORY_SOME_10, LOAD_MEMORY_FULL_10);
	put_pressure(values, nulls, "/proc/pressure/io", LOAD_IO_SOME_10, LOAD_IO_FULL_10);
	put_uptime(values, nulls);
	values[LOAD_SAMPLED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
