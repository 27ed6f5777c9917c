/*-------------------------------------------------------------------------
 *
 * why.c
 *	  What keeps all steps of a database from being run, for ft.why_waiting().
 *
 * What holds up a single execution stands in the engine's tables, and is read
 * from there by who may see it; this is about what is not in them.
 *
 * Locking: shared memory is looked at under its lock, shared.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "guc.h"
#include "orchestration/installation.h"
#include "shmem.h"

PG_FUNCTION_INFO_V1(ft_engine_obstacle);

typedef enum Column
{
	COLUMN_OBSTACLE,
	COLUMN_WHAT_TO_DO,
	COLUMN_EXECUTORS,
	COLUMN_MAX_EXECUTORS,
	N_COLUMNS
} Column;

/* An obstacle, and what helps; NULL where there is none. */
typedef struct Obstacle
{
	const char *what;
	const char *what_to_do;
} Obstacle;

#define ASK_WORKERS		"pg_monitor sees more: SELECT * FROM ft.worker_status();"

/* What the scheduler of this database has said of it. */
static Obstacle
obstacle_of_slot(void)
{
	Obstacle	obstacle = {NULL, ASK_WORKERS};
	FtDatabaseSlot *slot;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	slot = ft_slot_find(MyDatabaseId);
	if (slot == NULL && ft_shared->launcher.databases_without_slot > 0)
		obstacle.what = "more databases have the extension than fault_tolerance.max_databases";
	else if (slot == NULL)
		obstacle.what = "no background worker has looked into this database yet";
	else if (slot->quiesced > 0)
		obstacle.what = "a command that is running keeps background workers out of this database";
	else if (slot->paused_reason[0] != '\0')
	{
		obstacle.what = pstrdup(slot->paused_reason);
		obstacle.what_to_do = "A superuser: ALTER SYSTEM or ALTER DATABASE SET fault_tolerance.auto_recovery = on, and a reload.";
	}
	else if (slot->failures > 0)
		obstacle.what = "the background worker of this database fails, and is tried again";
	else if (slot->executor_failures > 0)
		obstacle.what = "executors of this database cannot be started, or fail, and are tried again";
	else if (slot->suspects_first)
	{
		obstacle.what = "steps that may have taken the server down are run first, one at a time";
		obstacle.what_to_do = "They are: SELECT * FROM ft.orchestration_tasks WHERE suspicion IS NOT NULL;";
	}
	LWLockRelease(ft_shared->lock);
	return obstacle;
}

static Obstacle
find_obstacle(void)
{
	const char *paused = ft_installation_paused_reason();

	if (paused != NULL)
		return (Obstacle)
	{
		paused, "A superuser, when they are to go on here: SELECT ft.adopt();"
	};
	if (RecoveryInProgress())
		return (Obstacle)
	{
		"this server is a standby", "Steps are run by the primary."
	};
	if (ft_shared == NULL)
		return (Obstacle)
	{
		"the library is not preloaded, so there are no background workers",
			"Preload it and restart the server; or the owner runs what is due: SELECT ft.run_steps();"
	};
	if (!ft_workers)
		return (Obstacle)
	{
		"fault_tolerance.workers is off",
			"Set it to on and restart the server; or the owner runs what is due: SELECT ft.run_steps();"
	};
	return obstacle_of_slot();
}

static int
count_executors(void)
{
	int			n = 0;

	LWLockAcquire(ft_shared->lock, LW_SHARED);
	for (int i = 0; i < ft_shared->max_executors; i++)
	{
		if (OidIsValid(ft_shared->executors[i].dboid))
			n++;
	}
	LWLockRelease(ft_shared->lock);
	return n;
}

/*
 * ft.engine_obstacle(OUT obstacle text, OUT what_to_do text,
 * OUT executors integer, OUT max_executors integer)
 */
Datum
ft_engine_obstacle(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[N_COLUMNS] = {0};
	bool		nulls[N_COLUMNS];
	Obstacle	obstacle = find_obstacle();

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(nulls, true, sizeof(nulls));
	if (obstacle.what != NULL)
	{
		values[COLUMN_OBSTACLE] = CStringGetTextDatum(obstacle.what);
		values[COLUMN_WHAT_TO_DO] = CStringGetTextDatum(obstacle.what_to_do);
		nulls[COLUMN_OBSTACLE] = nulls[COLUMN_WHAT_TO_DO] = false;
	}
	if (ft_shared != NULL)
	{
		values[COLUMN_EXECUTORS] = Int32GetDatum(count_executors());
		values[COLUMN_MAX_EXECUTORS] = Int32GetDatum(ft_shared->max_executors);
		nulls[COLUMN_EXECUTORS] = nulls[COLUMN_MAX_EXECUTORS] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
