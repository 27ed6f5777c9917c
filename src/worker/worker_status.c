/*-------------------------------------------------------------------------
 *
 * worker_status.c
 *	  What the background workers are doing: ft.worker_status(); and a wake-up
 *	  call for them: ft.wake_worker().
 *
 * Locking: the slots are copied under ft_shared->lock, shared, into memory
 * that was allocated before; names are looked up after it was released.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "fault_tolerance.h"
#include "guc.h"
#include "recode.h"
#include "shmem.h"
#include "transaction.h"
#include "worker/sampler.h"

PG_FUNCTION_INFO_V1(ft_worker_status);
PG_FUNCTION_INFO_V1(ft_wake_worker);

enum
{
	COLUMN_WORKER,
	COLUMN_PID,
	COLUMN_DATNAME,
	COLUMN_STATE,
	COLUMN_OWNER,
	COLUMN_STARTED_AT,
	COLUMN_LAST_TICK,
	COLUMN_NEXT_DUE,
	COLUMN_LAST_ERROR,
	COLUMN_LAST_ERROR_SQLSTATE,
	COLUMN_LAST_ERROR_AT,
	COLUMN_PAUSED_REASON,
	COLUMN_NOTE,
	COLUMN_PASS_STARTED_AT,
	COLUMN_PASS_DURATION,
	COLUMN_PASS_RECOVERED,
	COLUMN_LIBRARY_VERSION,
	COLUMN_SQL_VERSION,
	N_COLUMNS
};

/* One row to be; everything that is not set is null. */
typedef struct Row
{
	Datum		values[N_COLUMNS];
	bool		nulls[N_COLUMNS];
} Row;

static void
set(Row *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
set_text(Row *row, int column, const char *value)
{
	if (value != NULL && value[0] != '\0')
		set(row, column, CStringGetTextDatum(value));
}

static void
set_name(Row *row, int column, char *value)
{
	if (value != NULL)
		set(row, column, DirectFunctionCall1(namein, CStringGetDatum(value)));
}

/* Neither "never" nor "not before it is woken" is a time to show. */
static void
set_time(Row *row, int column, TimestampTz value)
{
	if (value != 0 && !TIMESTAMP_NOT_FINITE(value))
		set(row, column, TimestampTzGetDatum(value));
}

static void
set_error(Row *row, const FtLastError *error)
{
	if (error->at == 0)
		return;
	set_text(row, COLUMN_LAST_ERROR, ft_recode(error->message, error->encoding));
	set_text(row, COLUMN_LAST_ERROR_SQLSTATE, unpack_sql_state(error->sqlstate));
	set_time(row, COLUMN_LAST_ERROR_AT, error->at);
}

static void
begin_row(Row *row, const char *worker, const FtProcess *process,
		  const char *state)
{
	memset(row->values, 0, sizeof(row->values));
	memset(row->nulls, true, sizeof(row->nulls));
	set_text(row, COLUMN_WORKER, worker);
	set_text(row, COLUMN_STATE, state);
	if (process->pid != 0)
		set(row, COLUMN_PID, Int32GetDatum(process->pid));
	if (process->state != FT_WORKER_NONE)
		set_time(row, COLUMN_STARTED_AT, process->started_at);
	set_text(row, COLUMN_LIBRARY_VERSION, FT_VERSION);
}

static const char *
process_state(const FtProcess *process)
{
	switch (process->state)
	{
		case FT_WORKER_STARTING:
			return "starting";
		case FT_WORKER_CONNECTING:
			return "connecting";
		case FT_WORKER_RUNNING:
			return "running";
		case FT_WORKER_SLEEPING:
			return "sleeping";
		case FT_WORKER_NONE:
			break;
	}
	return NULL;
}

static void
show_launcher(ReturnSetInfo *rsinfo, const FtLauncher *launcher)
{
	Row			row;
	const char *state = process_state(&launcher->process);

	if (state == NULL)
		state = !ft_workers ? "off" :
			RecoveryInProgress() ? "waiting for promotion" : "not running";
	begin_row(&row, "launcher", &launcher->process, state);
	set_time(&row, COLUMN_LAST_TICK, launcher->last_tick);
	if (launcher->process.pid != 0)
		set_time(&row, COLUMN_NEXT_DUE, launcher->next_due);
	set_error(&row, &launcher->error);
	if (launcher->databases_without_slot > 0)
		set_text(&row, COLUMN_NOTE,
				 psprintf("%d databases are not looked at; increase fault_tolerance.max_databases",
						  launcher->databases_without_slot));
	else if (launcher->schedulers_wanted > 0)
		set_text(&row, COLUMN_NOTE,
				 psprintf("%d databases wait for a background worker",
						  launcher->schedulers_wanted));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
}

static void
show_sampler(ReturnSetInfo *rsinfo)
{
	Row			row;
	FtProcess	process;
	TimestampTz next_due;
	const char *state;

	if (!ft_sampler_process(&process, &next_due))
		return;
	state = process_state(&process);
	begin_row(&row, "sampler", &process,
			  state != NULL ? state : ft_workers ? "not running" : "off");
	if (process.pid != 0)
		set_time(&row, COLUMN_NEXT_DUE, next_due);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
}

/* Why a database that is known has no scheduler. */
static const char *
absence(const FtDatabaseSlot *slot, TimestampTz now)
{
	if (slot->quiesced > 0)
		return "kept out";
	if (slot->extension == FT_EXTENSION_UNKNOWN)
		return "not looked at";
	if (pg_atomic_read_u32(unconstify(pg_atomic_uint32 *, &slot->pending)) == 0)
		return "resting";
	return slot->retry_at > now ? "backing off" : "wanted";
}

static void
show_scheduler(ReturnSetInfo *rsinfo, const FtDatabaseSlot *slot)
{
	Row			row;
	const char *state = process_state(&slot->scheduler);

	if (state == NULL)
		state = absence(slot, GetCurrentTimestamp());
	else if (slot->paused_reason[0] != '\0' && slot->scheduler.state == FT_WORKER_SLEEPING)
		state = "paused";
	begin_row(&row, "scheduler", &slot->scheduler, state);
	set_name(&row, COLUMN_DATNAME, get_database_name(slot->dboid));
	set_time(&row, COLUMN_LAST_TICK, slot->last_tick);
	set_time(&row, COLUMN_NEXT_DUE, slot->next_due);
	set_error(&row, &slot->error);
	set_text(&row, COLUMN_PAUSED_REASON, slot->paused_reason);
	if (slot->waits_for_executor)
		set_text(&row, COLUMN_NOTE, "due work waits for an executor");
	if (slot->pass.started_at != 0)
	{
		Interval   *duration = palloc0(sizeof(Interval));

		duration->time = slot->pass.duration;
		set_time(&row, COLUMN_PASS_STARTED_AT, slot->pass.started_at);
		set(&row, COLUMN_PASS_DURATION, IntervalPGetDatum(duration));
		set(&row, COLUMN_PASS_RECOVERED, Int64GetDatum(slot->pass.recovered));
	}
	set_text(&row, COLUMN_SQL_VERSION, slot->sql_version);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
}

static void
show_executor(ReturnSetInfo *rsinfo, const FtExecutorSlot *executor)
{
	Row			row;

	begin_row(&row, "executor", &executor->process,
			  process_state(&executor->process));
	set_name(&row, COLUMN_DATNAME, get_database_name(executor->dboid));
	set_name(&row, COLUMN_OWNER, GetUserNameFromId(executor->owner, true));
	set_time(&row, COLUMN_LAST_TICK, executor->last_tick);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
}

/*
 * ft.worker_status()
 *
 * One row for the launcher, for the sampler, for each database known to have the extension,
 * and for each executor.
 */
Datum
ft_worker_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FtLauncher	launcher;
	FtDatabaseSlot *databases;
	FtExecutorSlot *executors;

	ft_require_preload("ft.worker_status()");
	InitMaterializedSRF(fcinfo, 0);

	databases = palloc(mul_size(sizeof(FtDatabaseSlot), ft_shared->max_databases));
	executors = palloc(mul_size(sizeof(FtExecutorSlot), ft_shared->max_executors));

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	launcher = ft_shared->launcher;
	memcpy(databases, ft_shared->databases,
		   sizeof(FtDatabaseSlot) * ft_shared->max_databases);
	memcpy(executors, ft_shared->executors,
		   sizeof(FtExecutorSlot) * ft_shared->max_executors);
	LWLockRelease(ft_shared->lock);

	show_launcher(rsinfo, &launcher);
	show_sampler(rsinfo);
	for (int i = 0; i < ft_shared->max_databases; i++)
	{
		if (OidIsValid(databases[i].dboid) && !databases[i].only_quiesced &&
			databases[i].extension != FT_EXTENSION_ABSENT)
			show_scheduler(rsinfo, &databases[i]);
	}
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (OidIsValid(executors[i].dboid))
			show_executor(rsinfo, &executors[i]);
	}
	return (Datum) 0;
}

/*
 * ft.wake_worker()
 *
 * Have the worker of this database look for work when the transaction
 * commits.  The install script calls it, which is how the workers learn of
 * the database.
 */
Datum
ft_wake_worker(PG_FUNCTION_ARGS)
{
	ft_wake_worker_at_commit();
	PG_RETURN_VOID();
}
