/*-------------------------------------------------------------------------
 *
 * installation.c
 *	  Where the rows of this database were made: which cluster, which
 *	  database.
 *
 * A dump, a clone by CREATE DATABASE ... TEMPLATE and pg_upgrade all carry
 * executions that were in flight somewhere else, where they may be in flight
 * still.  Their steps must not run here until somebody says that this is the
 * place now: ft.adopt().
 *
 * Executions made here after the restore are not affected, unless the
 * database is a clone that does not know when it became one.
 *
 * Locking: ft.adopt() locks the executions that it gives an owner, then the
 * definitions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "engine.h"
#include "errors.h"
#include "orchestration/installation.h"
#include "orchestration/ready.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(ft_adopt);
PG_FUNCTION_INFO_V1(ft_paused_reason);

FT_STATEMENT(foreign_executions,
			 "SELECT count(*)"
			 "  FROM ft.orchestration_executions"
			 " WHERE finished_at IS NULL"
			 "   AND created_at <= coalesce((SELECT max(adopted_at) FROM ft.installations"
			 "                                WHERE system_identifier = $1 AND database_oid = $2),"
			 "                              'infinity')"
			 "   AND EXISTS (SELECT FROM ft.installations"
			 "                WHERE (system_identifier, database_oid) <> ($1, $2))"
			 " HAVING count(*) > 0",
			 INT8OID, OIDOID);
FT_STATEMENT(settle_in,
			 "INSERT INTO ft.installations (system_identifier, database_oid, adopted_at)"
			 " SELECT $1, $2, $3"
			 "  WHERE NOT EXISTS (SELECT FROM ft.installations"
			 "                     WHERE system_identifier = $1 AND database_oid = $2)"
			 "    AND NOT EXISTS (SELECT FROM ft.orchestration_executions"
			 "                     WHERE finished_at IS NULL)",
			 INT8OID, OIDOID, TIMESTAMPTZOID);
FT_STATEMENT(delete_installations, "DELETE FROM ft.installations WHERE $1", BOOLOID);
FT_STATEMENT(insert_installation,
			 "INSERT INTO ft.installations (system_identifier, database_oid, adopted_at)"
			 " VALUES ($1, $2, $3)",
			 INT8OID, OIDOID, TIMESTAMPTZOID);

/*
 * By name where a role of that name is here; else by OID, if the rows were
 * made here, which means that the role was renamed.
 */
FT_STATEMENT(settle_owners,
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET owner = role.rolname, owner_oid = role.oid, parked_reason = NULL"
			 "  FROM (SELECT execution_id,"
			 "               coalesce(by_name.oid, by_oid.oid) AS oid,"
			 "               coalesce(by_name.rolname, by_oid.rolname) AS rolname,"
			 "               owned.parked_reason IS NOT NULL AS was_parked"
			 "          FROM ft.orchestration_executions AS owned"
			 "          LEFT JOIN pg_authid AS by_name ON by_name.rolname = owned.owner"
			 "          LEFT JOIN pg_authid AS by_oid ON by_oid.oid = owned.owner_oid AND $1"
			 "         ORDER BY execution_id"
			 "           FOR NO KEY UPDATE OF owned) AS role"
			 " WHERE role.execution_id = execution.execution_id"
			 "   AND role.oid IS NOT NULL"
			 "   AND (execution.owner, execution.owner_oid) <> (role.rolname, role.oid)"
			 " RETURNING execution.execution_id, role.was_parked",
			 BOOLOID);

FT_STATEMENT(settle_definitions,
			 "UPDATE ft.orchestrations AS orchestration"
			 "   SET owner = role.rolname, owner_oid = role.oid"
			 "  FROM (SELECT orchestration_id,"
			 "               coalesce(by_name.oid, by_oid.oid) AS oid,"
			 "               coalesce(by_name.rolname, by_oid.rolname) AS rolname"
			 "          FROM ft.orchestrations AS owned"
			 "          LEFT JOIN pg_authid AS by_name ON by_name.rolname = owned.owner"
			 "          LEFT JOIN pg_authid AS by_oid ON by_oid.oid = owned.owner_oid AND $1"
			 "         ORDER BY orchestration_id"
			 "           FOR NO KEY UPDATE OF owned) AS role"
			 " WHERE role.orchestration_id = orchestration.orchestration_id"
			 "   AND role.oid IS NOT NULL"
			 "   AND (orchestration.owner, orchestration.owner_oid) <> (role.rolname, role.oid)",
			 BOOLOID);
FT_STATEMENT_NOARGS(settle_tasks,
					"UPDATE ft.orchestration_tasks AS task"
					"   SET owner_oid = execution.owner_oid"
					"  FROM ft.orchestration_executions AS execution"
					" WHERE execution.execution_id = task.execution_id"
					"   AND task.owner_oid <> execution.owner_oid");

/* How many unfinished executions were made elsewhere. */
static int64
count_foreign_executions(void)
{
	if (ft_run(&foreign_executions,
			   FT_ARGS(FT_VALUE(Int64GetDatum((int64) GetSystemIdentifier())),
					   FT_VALUE(ObjectIdGetDatum(MyDatabaseId)))) == 0)
		return 0;
	return ft_column_int64(0, 1);
}

char *
ft_installation_paused_reason(void)
{
	FtEngine	engine;
	int64		n;

	ft_engine_enter(&engine);
	n = count_foreign_executions();
	ft_engine_leave(&engine);
	if (n == 0)
		return NULL;
	return psprintf("unfinished executions made in another cluster or database: " INT64_FORMAT "; a superuser calls ft.adopt() when they are to go on here",
					n);
}

/*
 * A database that has come from elsewhere without anything unfinished, as one
 * made from a template with the extension in it, is at home here: nothing of
 * it can be worked in two places.
 */
void
ft_installation_settle_in(void)
{
	ft_run(&settle_in,
		   FT_ARGS(FT_VALUE(Int64GetDatum((int64) GetSystemIdentifier())),
				   FT_VALUE(ObjectIdGetDatum(MyDatabaseId)),
				   FT_TIME(GetCurrentTimestamp())));
}

void
ft_installation_require_own(void)
{
	int64		n = count_foreign_executions();

	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the executions of this database are not worked here"),
				 errdetail("Unfinished executions made in another cluster or database, and perhaps still worked there: " INT64_FORMAT ".", n),
				 errhint("When they are to go on here, a superuser calls: SELECT ft.adopt();")));
}

/*
 * Give each execution a role of this cluster, and each definition; returns how
 * many executions had another.
 */
static int64
settle_owners_and_steps(bool made_here)
{
	uint64		n = ft_run(&settle_owners, FT_ARGS(FT_VALUE(BoolGetDatum(made_here))));
	pg_uuid_t  *parked = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	int			nparked = 0;

	for (uint64 row = 0; row < n; row++)
	{
		if (ft_column_bool(row, 2))
			parked[nparked++] = ft_column_uuid(row, 1);
	}
	ft_run(&settle_tasks, NULL);
	ft_run(&settle_definitions, FT_ARGS(FT_VALUE(BoolGetDatum(made_here))));
	/* the steps of what was parked are due again */
	for (int i = 0; i < nparked; i++)
		ft_ready_recount(&parked[i], GetCurrentTimestamp());
	return (int64) n;
}

/* ft.adopt() returns bigint */
Datum
ft_adopt(PG_FUNCTION_ARGS)
{
	FtEngine	engine;
	bool		made_here;
	int64		settled;

	ft_engine_enter(&engine);
	made_here = (count_foreign_executions() == 0);
	settled = settle_owners_and_steps(made_here);
	ft_run(&delete_installations, FT_ARGS(FT_VALUE(BoolGetDatum(true))));
	ft_run(&insert_installation,
		   FT_ARGS(FT_VALUE(Int64GetDatum((int64) GetSystemIdentifier())),
				   FT_VALUE(ObjectIdGetDatum(MyDatabaseId)),
				   FT_TIME(GetCurrentTimestamp())));
	ft_engine_leave(&engine);
	ft_wake_worker_at_commit();

	PG_RETURN_INT64(settled);
}

/* ft.paused_reason() returns text */
Datum
ft_paused_reason(PG_FUNCTION_ARGS)
{
	char	   *reason = ft_installation_paused_reason();

	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
