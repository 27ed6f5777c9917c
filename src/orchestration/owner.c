/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Owners of executions: who has something due, and can it be run as them?
 *
 * A worker connects as the owner.  Whether it will be able to is found out
 * before it is started: a role that was dropped, may not log in or may not
 * connect would else have one started after the other.
 *
 * Locking: rows of executions, skipping those that are locked, and then of
 * their tasks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "compat.h"
#include "engine.h"
#include "guc.h"
#include "orchestration/compensation.h"
#include "orchestration/owner.h"
#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "shmem.h"
#include "uuid.h"
#include "wake.h"

/* Executions that are parked, or not any more, at a time. */
#define PARK_LIMIT		"1000"

FT_STATEMENT(park_compensations,
			 "WITH stale AS MATERIALIZED"
			 " (SELECT execution_id FROM ft.orchestration_executions"
			 "   WHERE owner_oid = $1 AND owner = $2::name"
			 "     AND status IN ('COMPENSATING', 'ROLLING_BACK')"
			 "     AND parked_reason IS DISTINCT FROM $3"
			 "   ORDER BY execution_id FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET parked_reason = $3"
			 "  FROM stale WHERE stale.execution_id = execution.execution_id",
			 OIDOID, TEXTOID, TEXTOID);
/* what is said of an owner who is not there, here and in a statement */
#define GONE			"its owner, role \"%s\", does not exist any more"

FT_STATEMENT(park_steps,
			 "WITH stale AS MATERIALIZED"
			 " (SELECT execution_id FROM ft.orchestration_executions"
			 "   WHERE execution_id IN (SELECT execution_id FROM ft.orchestration_tasks"
			 "                           WHERE due_at IS NOT NULL AND execution_mode <> 'external'"
			 "                             AND owner_oid = $1 LIMIT " PARK_LIMIT ")"
			 "   ORDER BY execution_id FOR NO KEY UPDATE SKIP LOCKED),"
			 " task AS"
			 " (UPDATE ft.orchestration_tasks AS task SET due_at = NULL"
			 "    FROM stale WHERE task.execution_id = stale.execution_id AND task.due_at IS NOT NULL) "
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET parked_reason = coalesce($2, format('" GONE "', execution.owner))"
			 "  FROM stale WHERE stale.execution_id = execution.execution_id",
			 OIDOID, TEXTOID);
FT_STATEMENT_NOARGS(parked_owners,
					"SELECT DISTINCT owner_oid, owner::text FROM ft.orchestration_executions"
					" WHERE parked_reason IS NOT NULL"
					"   AND status NOT IN ('COMPENSATING', 'ROLLING_BACK')");
FT_STATEMENT(unpark,
			 "WITH parked AS MATERIALIZED"
			 " (SELECT execution_id FROM ft.orchestration_executions"
			 "   WHERE parked_reason IS NOT NULL AND owner_oid = $1 AND owner = $2::name"
			 "     AND status NOT IN ('COMPENSATING', 'ROLLING_BACK')"
			 "   ORDER BY execution_id LIMIT " PARK_LIMIT " FOR NO KEY UPDATE SKIP LOCKED) "
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET parked_reason = NULL"
			 "  FROM parked WHERE parked.execution_id = execution.execution_id"
			 " RETURNING execution.execution_id",
			 OIDOID, TEXTOID);

/*
 * Owners that are not who they were.  Not from the cache of the catalogs: who
 * has renamed a role wakes us before the caches are told.
 */
FT_STATEMENT_NOARGS(misnamed_owners,
					"SELECT owned.owner_oid, owned.owner::text, role.rolname::text"
					"  FROM (SELECT DISTINCT owner_oid, owner FROM ft.orchestration_executions"
					"         WHERE finished_at IS NULL AND parked_reason IS NULL"
					"           AND status NOT IN ('COMPENSATING', 'ROLLING_BACK')) AS owned"
					"  LEFT JOIN pg_roles AS role ON role.oid = owned.owner_oid"
					" WHERE role.rolname IS DISTINCT FROM owned.owner");
FT_STATEMENT(park_misnamed,
			 "WITH stale AS MATERIALIZED"
			 " (SELECT execution_id FROM ft.orchestration_executions"
			 "   WHERE owner_oid = $1 AND owner = $2::name"
			 "     AND finished_at IS NULL AND parked_reason IS NULL"
			 "     AND status NOT IN ('COMPENSATING', 'ROLLING_BACK')"
			 "   ORDER BY execution_id FOR NO KEY UPDATE SKIP LOCKED),"
			 " task AS"
			 " (UPDATE ft.orchestration_tasks AS task SET due_at = NULL"
			 "    FROM stale WHERE task.execution_id = stale.execution_id AND task.due_at IS NOT NULL) "
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET parked_reason = $3"
			 "  FROM stale WHERE stale.execution_id = execution.execution_id",
			 OIDOID, TEXTOID, TEXTOID);

/* Some were locked, and are left for the next tick. */
static bool names_left = false;

/* Whatever was parked in this tick stays so until the next. */
static bool parked_by_name = false;

FtOwner *
ft_owner_make(Oid oid, char *name)
{
	FtOwner    *owner = palloc(sizeof(FtOwner));

	owner->oid = oid;
	owner->name = name;
	return owner;
}

static char *
gone(const char *name)
{
	return psprintf(GONE, name);
}

static char *
renamed(const char *name, const char *new_name)
{
	return psprintf("its owner, role \"%s\", is now named \"%s\"; a superuser calls ft.adopt() to settle whose it is",
					name, new_name);
}

/* Why no worker can log in as a role; NULL if one can. */
static char *
obstacle_of(const FtOwner *owner)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner->oid));
	Form_pg_authid role;
	char	   *obstacle = NULL;

	if (!HeapTupleIsValid(tuple))
		return gone(owner->name);
	role = (Form_pg_authid) GETSTRUCT(tuple);
	if (strcmp(NameStr(role->rolname), owner->name) != 0)
		obstacle = renamed(owner->name, NameStr(role->rolname));
	else if (!role->rolcanlogin)
		obstacle = psprintf("its owner, role \"%s\", is not permitted to log in", owner->name);
	else if (ft_database_aclcheck(MyDatabaseId, owner->oid, ACL_CONNECT) != ACLCHECK_OK)
		obstacle = psprintf("its owner, role \"%s\", has no CONNECT privilege on this database", owner->name);
	ReleaseSysCache(tuple);
	return obstacle;
}

bool
ft_owner_can_connect(Oid oid)
{
	char	   *name = GetUserNameFromId(oid, true);

	return name != NULL && obstacle_of(ft_owner_make(oid, name)) == NULL;
}

/*
 * Owners whose compensations may run; what may not is parked.  Returns whether
 * one of them has been waiting since the server started.
 */
static bool
compensation_owners(TimestampTz now, FtOwnersDue *due)
{
	/* what is parked is looked at again with the next poll */
	TimestampTz poll = TimestampTzPlusMilliseconds(now, ft_recovery_interval);
	bool		since_start = false;
	ListCell   *cell;

	foreach(cell, ft_compensations_due(now))
	{
		FtCompensationsDue *of_owner = lfirst(cell);
		FtOwner    *owner = &of_owner->owner;
		char	   *obstacle = NULL;

		if (of_owner->due)
		{
			obstacle = obstacle_of(owner);
			ft_run(&park_compensations,
				   FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner->oid)), FT_TEXT(owner->name),
						   FT_TEXT(obstacle)));
		}
		due->next_due = Min(due->next_due, obstacle != NULL ? poll : of_owner->next_due);
		if (!of_owner->due || obstacle != NULL)
			continue;
		due->owners = list_append_unique_oid(due->owners, owner->oid);
		if (of_owner->suspect && !OidIsValid(due->suspect_owner))
			due->suspect_owner = owner->oid;
		since_start |= of_owner->since_start;
	}
	return since_start;
}

/*
 * The same for steps.  Of an owner who is not there only the executions know
 * the name.
 */
static void
step_owners(TimestampTz now, bool since_start, FtOwnersDue *due)
{
	TimestampTz next_step;
	ListCell   *cell;

	foreach(cell, ft_step_owners_due(now, since_start, &next_step))
	{
		Oid			oid = lfirst_oid(cell);
		char	   *name = GetUserNameFromId(oid, true);
		char	   *obstacle = name == NULL ? NULL : obstacle_of(ft_owner_make(oid, name));

		if (name != NULL && obstacle == NULL)
			due->owners = list_append_unique_oid(due->owners, oid);
		else
			ft_run_by_index(&park_steps, FT_ARGS(FT_VALUE(ObjectIdGetDatum(oid)), FT_TEXT(obstacle)));
	}
	due->next_due = Min(due->next_due, next_step);
}

/* Steps whose owner can connect again go on; true if others are left. */
static bool
unpark_steps(TimestampTz now)
{
	List	   *owners = NIL;
	ListCell   *cell;
	uint64		n = ft_run_by_index(&parked_owners, NULL);

	for (uint64 row = 0; row < n; row++)
		owners = lappend(owners, ft_owner_make(ft_column_oid(row, 1), ft_column_text(row, 2)));
	foreach(cell, owners)
	{
		FtOwner    *owner = lfirst(cell);
		pg_uuid_t  *executions;
		uint64		freed;

		if (obstacle_of(owner) != NULL)
			continue;
		freed = ft_run_by_index(&unpark, FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner->oid)),
												 FT_TEXT(owner->name)));
		executions = palloc(sizeof(pg_uuid_t) * Max(freed, 1));
		for (uint64 row = 0; row < freed; row++)
			executions[row] = ft_column_uuid(row, 1);
		for (uint64 i = 0; i < freed; i++)
			ft_ready_recount(&executions[i], now);
	}
	return owners != NIL;
}

bool
ft_owner_has_its_name(const FtOwner *owner)
{
	char	   *name = GetUserNameFromId(owner->oid, true);

	return name != NULL && strcmp(name, owner->name) == 0;
}

void
ft_owner_park_by_name(const FtOwner *owner)
{
	char	   *name = GetUserNameFromId(owner->oid, true);

	ft_run(&park_misnamed,
		   FT_ARGS(FT_VALUE(ObjectIdGetDatum(owner->oid)), FT_TEXT(owner->name),
				   FT_TEXT(name != NULL ? renamed(owner->name, name) : gone(owner->name))));
}

/* Park what belongs to roles of other names. */
static void
park_by_name(void)
{
	uint64		n = ft_run(&misnamed_owners, NULL);
	FtOwner    *owners = palloc(sizeof(FtOwner) * Max(n, 1));
	char	  **reasons = palloc(sizeof(char *) * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
	{
		owners[row].oid = ft_column_oid(row, 1);
		owners[row].name = ft_column_text(row, 2);
		reasons[row] = ft_column_is_null(row, 3) ? gone(owners[row].name) :
			renamed(owners[row].name, ft_column_text(row, 3));
	}
	for (uint64 i = 0; i < n; i++)
		ft_run(&park_misnamed,
			   FT_ARGS(FT_VALUE(ObjectIdGetDatum(owners[i].oid)), FT_TEXT(owners[i].name),
					   FT_TEXT(reasons[i])));
	parked_by_name = n > 0;
	names_left = n > 0 && ft_run(&misnamed_owners, NULL) > 0;
}

uint64
ft_owners_check_names(void)
{
	bool		checked = false;
	uint64		generation = ft_shared != NULL ? ft_roles_generation(&checked) : 0;
	FtEngine	engine;

	parked_by_name = false;
	if (!checked || names_left)
	{
		ft_engine_enter(&engine);
		park_by_name();
		ft_engine_leave(&engine);
	}
	return generation;
}

void
ft_owners_due(TimestampTz now, FtOwnersDue *due)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext caller;
	bool		since_start;
	bool		parked;
	FtEngine	engine;

	due->owners = NIL;
	due->suspect_owner = InvalidOid;
	due->next_due = DT_NOEND;
	ft_engine_enter(&engine);
	since_start = compensation_owners(now, due);
	parked = parked_by_name || unpark_steps(now);
	step_owners(now, since_start, due);
	if (parked)
		due->next_due = Min(due->next_due, TimestampTzPlusMilliseconds(now, ft_recovery_interval));
	caller = MemoryContextSwitchTo(result_context);
	due->owners = list_copy(due->owners);
	MemoryContextSwitchTo(caller);
	ft_engine_leave(&engine);
}
