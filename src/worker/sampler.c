/*-------------------------------------------------------------------------
 *
 * sampler.c
 *	  The background worker that looks at the server at regular intervals.
 *
 * What a diagnostic needs of the past, and what it must not wait for itself
 * (a file system that hangs), is gathered by tasks, each at an interval of its
 * own.  The tasks stand in one table here; what they gather, they keep in
 * their own parts of shared memory.
 *
 * The worker starts as soon as the server is consistent and runs on standbys.
 * It is connected to no database and has no transaction, so it holds nothing
 * back.  With all tasks off it only sleeps.
 *
 * Its own errors end the process with status 1, and the postmaster starts it
 * again; an error of a task is noted, and the task is tried again when it is
 * due.
 *
 * Locking: shared->runner is who runs a task, so that the worker and
 * ft.sampler_tick() do not run tasks at the same time.  It is no lock of the
 * server's: a task reads from the kernel, allocates and writes to the log, and
 * both it and who waits for it can be cancelled.  Nobody waits for it while
 * holding a lock.  shared->lock protects the states of the tasks,
 * ft_shared->lock the process; both are held for a few assignments, with no
 * other lock taken under them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "diagnostics/deadlock.h"
#include "diagnostics/disk.h"
#include "diagnostics/history.h"
#include "diagnostics/horizon_watch.h"
#include "diagnostics/memory.h"
#include "diagnostics/replication_slots.h"
#include "diagnostics/session_outcomes.h"
#include "diagnostics/wal_rate.h"
#include "diagnostics/xid_clock.h"
#include "errors.h"
#include "fault_tolerance.h"
#include "guc.h"
#include "recode.h"
#include "shmem.h"
#include "worker/sampler.h"
#include "worker/worker.h"

PG_FUNCTION_INFO_V1(ft_sampler_tick);
PG_FUNCTION_INFO_V1(ft_sampler_tasks);

#define RESTART_INTERVAL_S	5
#define MAX_TASKS			16
#define COLUMNS				9

/* only to know where the server's counts stood when it started */
static const int deadlock_interval = 60 * 1000;

static const FtSamplerTask tasks[] = {
	{"wal", &ft_rate_interval, ft_wal_rate_sample},
	{"outcomes", &ft_rate_interval, ft_session_outcomes_sample},
	{"slots", &ft_rate_interval, ft_replication_slots_sample},
	{"history", &ft_sample_interval, ft_history_sample},
	{"memory", &ft_memory_sample_interval, ft_memory_sample},
	{"disk", &ft_disk_sample_interval, ft_disk_sample},
	{"xid clock", &ft_xid_clock_interval, ft_xid_clock_tick},
	{"deadlock counts", &deadlock_interval, ft_deadlock_sample},
	{"horizon", &ft_xid_clock_interval, ft_horizon_watch_tick},
	{NULL}
};

typedef struct SamplerShared
{
	pg_atomic_uint32 runner;	/* process that runs a task, or 0 */
	ConditionVariable run_ended;
	LWLock	   *lock;			/* constant; protects tasks */
	FtProcess	process;		/* protected by ft_shared->lock, as next_due */
	TimestampTz next_due;
	FtSamplerTaskState tasks[MAX_TASKS];
} SamplerShared;

static SamplerShared *shared = NULL;

static Size
sampler_size(void)
{
	return sizeof(SamplerShared);
}

static void
sampler_create(void *memory, LWLockPadded *locks)
{
	StaticAssertStmt(lengthof(tasks) - 1 <= MAX_TASKS, "too many sampler tasks");

	pg_atomic_init_u32(&shared->runner, 0);
	ConditionVariableInit(&shared->run_ended);
	shared->lock = &locks[0].lock;
	shared->next_due = DT_NOEND;
}

static const FtShmemPart sampler_part = {
	.name = "sampler",
	.size = sampler_size,
	.locks = 1,
	.create = sampler_create,
	.address = (void **) &shared,
};

void
ft_sampler_init(void)
{
	BackgroundWorker worker;

	ft_shmem_register(&sampler_part);
	if (!ft_workers)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = RESTART_INTERVAL_S;
	strlcpy(worker.bgw_library_name, FT_EXTENSION_NAME, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "ft_sampler_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, FT_EXTENSION_NAME " sampler", BGW_MAXLEN);
	strlcpy(worker.bgw_type, FT_EXTENSION_NAME " sampler", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

bool
ft_sampler_process(FtProcess *process, TimestampTz *next_due)
{
	if (shared == NULL)
		return false;
	LWLockAcquire(ft_shared->lock, LW_SHARED);
	*process = shared->process;
	*next_due = shared->next_due;
	LWLockRelease(ft_shared->lock);
	return true;
}

static int
find_task(const char *name)
{
	for (int i = 0; tasks[i].name != NULL; i++)
	{
		if (strcmp(tasks[i].name, name) == 0)
			return i;
	}
	return -1;
}

TimestampTz
ft_sampler_last_run(const char *task)
{
	int			i = find_task(task);
	TimestampTz last_run;

	if (i < 0)
		elog(ERROR, "there is no sampler task \"%s\"", task);
	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	last_run = shared->tasks[i].last_run;
	LWLockRelease(shared->lock);
	return last_run;
}

/*
 * Be the one who runs a task, as soon as no other process does.  What has set
 * our latch meanwhile, a reload say, is for the worker's loop to look for: it
 * must not sleep before that.
 */
static void
begin_run(void)
{
	uint32		nobody = 0;
	bool		waited = false;

	ConditionVariablePrepareToSleep(&shared->run_ended);
	while (!pg_atomic_compare_exchange_u32(&shared->runner, &nobody, (uint32) MyProcPid))
	{
		nobody = 0;
		waited = true;
		ConditionVariableSleep(&shared->run_ended, ft_wait_event("FaultToleranceSamplerTask"));
	}
	ConditionVariableCancelSleep();
	if (waited)
		SetLatch(MyLatch);
}

/* Also called when the task fails, and when the process ends out of it. */
static void
end_run(int code, Datum argument)
{
	pg_atomic_write_u32(&shared->runner, 0);
	ConditionVariableBroadcast(&shared->run_ended);
}

/*
 * Run one task and note how long it took.  The run counts from its begin, so
 * that one that fails is not tried again before it is due.
 */
static void
run_alone(int i)
{
	FtSamplerTaskState *state = &shared->tasks[i];
	TimestampTz now = GetCurrentTimestamp();
	instr_time	start;
	instr_time	spent;
	int64		duration;

	INSTR_TIME_SET_CURRENT(start);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	state->last_run = now;
	LWLockRelease(shared->lock);

	tasks[i].run(now);

	INSTR_TIME_SET_CURRENT(spent);
	INSTR_TIME_SUBTRACT(spent, start);
	duration = (int64) INSTR_TIME_GET_MICROSEC(spent);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	state->last_duration = duration;
	state->longest_duration = Max(state->longest_duration, duration);
	state->runs++;
	LWLockRelease(shared->lock);
}

static void
run_task(int i)
{
	begin_run();
	PG_ENSURE_ERROR_CLEANUP(end_run, (Datum) 0);
	{
		run_alone(i);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_run, (Datum) 0);
	end_run(0, (Datum) 0);
}

static void
note_error(int i, const ErrorData *error)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	ft_last_error_set(&shared->tasks[i].error, error->sqlerrcode, error->message);
	LWLockRelease(shared->lock);
}

/* When a task is to run next; DT_NOEND if it is off. */
static TimestampTz
task_due(int i, TimestampTz now)
{
	TimestampTz last_run;

	if (*tasks[i].interval <= 0)
		return DT_NOEND;
	LWLockAcquire(shared->lock, LW_SHARED);
	last_run = shared->tasks[i].last_run;
	LWLockRelease(shared->lock);

	/* The clock may have been set back. */
	if (last_run == 0 || last_run > now)
		return now;
	return TimestampTzPlusMilliseconds(last_run, *tasks[i].interval);
}

/* Not inlined: compilers mistake the variables of PG_TRY() in a loop. */
static pg_noinline void
try_task(int i, MemoryContext context)
{
	PG_TRY();
	{
		run_task(i);
	}
	PG_CATCH();
	{
		note_error(i, ft_worker_recover_from_error(context));
	}
	PG_END_TRY();
	MemoryContextReset(context);
}

static void
run_due_tasks(MemoryContext context)
{
	for (int i = 0; tasks[i].name != NULL; i++)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (task_due(i, now) <= now)
			try_task(i, context);
	}
}

static TimestampTz
next_due(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;

	for (int i = 0; tasks[i].name != NULL; i++)
		next = Min(next, task_due(i, now));
	return next;
}

static void
sampler_exit(int code, Datum arg)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	ft_process_clear(&shared->process);
	LWLockRelease(ft_shared->lock);
}

static void
set_process_state(FtWorkerState state, TimestampTz next)
{
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	shared->process.state = state;
	shared->next_due = next;
	LWLockRelease(ft_shared->lock);
}

void
ft_sampler_main(Datum main_arg)
{
	MemoryContext context;

	ft_worker_signals();
	ft_worker_at_exit(sampler_exit, (Datum) 0);
	LWLockAcquire(ft_shared->lock, LW_EXCLUSIVE);
	ft_worker_assign(&shared->process);
	ft_worker_attach(&shared->process, FT_WORKER_CONNECTING);
	LWLockRelease(ft_shared->lock);

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	ft_worker_pin_settings();

	context = AllocSetContextCreate(TopMemoryContext, "fault_tolerance sampler",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	for (;;)
	{
		TimestampTz next;

		ft_worker_next_round(NULL);
		set_process_state(FT_WORKER_RUNNING, DT_NOBEGIN);
		run_due_tasks(context);
		next = next_due();
		set_process_state(FT_WORKER_SLEEPING, next);
		ft_worker_sleep(next, "FaultToleranceSampler");
	}
}

pg_noreturn static void report_unknown_task(const char *name);

static void
report_unknown_task(const char *name)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("the sampler has no task named \"%s\"", name),
			 errhint("SELECT task FROM ft.sampler_tasks() lists them.")));
}

/*
 * ft.sampler_tick(task text)
 *
 * Run one task here and now, whether it is due or not.
 */
Datum
ft_sampler_tick(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			i;

	ft_require_preload("ft.sampler_tick()");
	i = find_task(name);
	if (i < 0)
		report_unknown_task(name);
	run_task(i);
	PG_RETURN_VOID();
}

static Datum
duration_datum(int64 microseconds)
{
	Interval   *duration = palloc0(sizeof(Interval));

	duration->time = microseconds;
	return IntervalPGetDatum(duration);
}

static void
put_task(ReturnSetInfo *result, int i, const FtSamplerTaskState *state)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {0};

	values[0] = CStringGetTextDatum(tasks[i].name);
	values[1] = duration_datum((int64) *tasks[i].interval * 1000);
	nulls[1] = *tasks[i].interval <= 0;
	values[2] = Int64GetDatum(state->runs);
	values[3] = TimestampTzGetDatum(state->last_run);
	nulls[3] = state->last_run == 0;
	values[4] = duration_datum(state->last_duration);
	values[5] = duration_datum(state->longest_duration);
	nulls[4] = nulls[5] = state->runs == 0;
	if (state->error.at == 0)
		nulls[6] = nulls[7] = nulls[8] = true;
	else
	{
		values[6] = TimestampTzGetDatum(state->error.at);
		values[7] = CStringGetTextDatum(unpack_sql_state(state->error.sqlstate));
		values[8] = CStringGetTextDatum(ft_recode(state->error.message, state->error.encoding));
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ft.sampler_tasks()
 */
Datum
ft_sampler_tasks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FtSamplerTaskState states[MAX_TASKS];

	ft_require_preload("ft.sampler_tasks()");
	InitMaterializedSRF(fcinfo, 0);

	LWLockAcquire(shared->lock, LW_SHARED);
	memcpy(states, shared->tasks, sizeof(states));
	LWLockRelease(shared->lock);

	for (int i = 0; tasks[i].name != NULL; i++)
		put_task(result, i, &states[i]);
	return (Datum) 0;
}
