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
 * A database is at home where its row is the only one.  That row is written by
 * the first execution or definition that is made with nothing unfinished beside
 * it, and not when the extension is created: so a restore in progress is away from home
 * from its first row on, in whatever order it loads its tables, and whatever
 * the clocks of the two servers say.
 *
 * An owner is a name and an OID, and where they do not go together ft.adopt()
 * settles which of them counts.  In the cluster where the rows were made it is
 * the OID: a role may have been renamed, and its name be another's by now.  The
 * OIDs of another cluster say nothing here, whoever has them, and it is the
 * name; of an owner who is not here the OID is forgotten, or it would be taken
 * for one of ours later.  Rows of another cluster that nobody need adopt, since
 * nothing of them is unfinished, lose the OIDs that are not their owners' here
 * before the first row is made beside them: so what is made here goes by OID,
 * whatever it is made beside.
 *
 * Locking: ft.adopt() locks the executions that it gives an owner, or takes
 * running steps of back, then the definitions.
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
#include "orchestration/compensation.h"
#include "orchestration/external.h"
#include "orchestration/installation.h"
#include "orchestration/ready.h"
#include "orchestration/step.h"
#include "transaction.h"

PG_FUNCTION_INFO_V1(ft_adopt);
PG_FUNCTION_INFO_V1(ft_paused_reason);

#define HERE		"(system_identifier, database_oid) = ($1, $2)"
#define ELSEWHERE	"(system_identifier, database_oid) <> ($1, $2)"
#define NOT_AT_HOME \
	"(NOT EXISTS (SELECT FROM ft.installations WHERE " HERE ")" \
	" OR EXISTS (SELECT FROM ft.installations WHERE " ELSEWHERE "))"

/* Tasks may have been restored before the executions that they belong to. */
#define UNFINISHED \
	"(EXISTS (SELECT FROM ft.orchestration_executions WHERE finished_at IS NULL)" \
	" OR EXISTS (SELECT FROM ft.orchestration_tasks WHERE due_at IS NOT NULL OR status = 'RUNNING'))"

FT_STATEMENT(foreign_executions,
			 "SELECT (SELECT count(*) FROM ft.orchestration_executions WHERE finished_at IS NULL)"
			 " WHERE " NOT_AT_HOME " AND " UNFINISHED,
			 INT8OID, OIDOID);

/* Who does the same at the same time is not waited for. */
FT_STATEMENT(settle_in,
			 "WITH settled AS MATERIALIZED"
			 " (SELECT 1 WHERE " NOT_AT_HOME
			 "     AND NOT " UNFINISHED "),"
			 " left_behind AS"
			 " (DELETE FROM ft.installations"
			 "   WHERE ctid = ANY (ARRAY(SELECT ctid FROM ft.installations"
			 "                            WHERE " ELSEWHERE " AND EXISTS (SELECT FROM settled)"
			 "                              FOR UPDATE SKIP LOCKED))"
			 "  RETURNING system_identifier),"
			 " made AS"
			 " (INSERT INTO ft.installations (system_identifier, database_oid, adopted_at)"
			 "  SELECT $1, $2, $3 FROM settled"
			 "   WHERE NOT EXISTS (SELECT FROM ft.installations WHERE " HERE ")"
			 "  ON CONFLICT DO NOTHING) "
			 "SELECT FROM left_behind WHERE system_identifier <> $1",
			 INT8OID, OIDOID, TIMESTAMPTZOID);
FT_STATEMENT(delete_installations, "DELETE FROM ft.installations WHERE $1", BOOLOID);
FT_STATEMENT(insert_installation,
			 "INSERT INTO ft.installations (system_identifier, database_oid, adopted_at)"
			 " VALUES ($1, $2, $3)",
			 INT8OID, OIDOID, TIMESTAMPTZOID);

/* Were all rows made in this cluster? */
FT_STATEMENT(all_of_this_cluster,
			 "SELECT coalesce(bool_and(system_identifier = $1), false)"
			 "  FROM ft.installations",
			 INT8OID);

/*
 * By OID, if the rows were made in this cluster, and else by name.  Where a
 * role that was renamed has used an idempotency key under its new name as well,
 * the later execution has it.
 */
FT_STATEMENT(settle_owners,
			 "WITH owned AS MATERIALIZED"
			 " (SELECT execution_id, owner, owner_oid, idempotency_key, parked_reason"
			 "    FROM ft.orchestration_executions ORDER BY execution_id FOR NO KEY UPDATE),"
			 " role AS"
			 " (SELECT execution_id, idempotency_key, owned.parked_reason IS NOT NULL AS was_parked,"
			 "         owned.owner, owned.owner_oid,"
			 "         coalesce(by_oid.oid, by_name.oid) AS oid,"
			 "         coalesce(by_oid.rolname, by_name.rolname) AS rolname"
			 "    FROM owned"
			 "    LEFT JOIN pg_authid AS by_name ON by_name.rolname = owned.owner"
			 "    LEFT JOIN pg_authid AS by_oid ON by_oid.oid = owned.owner_oid AND $1),"
			 " settled AS"
			 " (SELECT *, lead(execution_id) OVER (PARTITION BY rolname, idempotency_key"
			 "                                     ORDER BY owner = rolname, execution_id) IS NULL AS is_last"
			 "    FROM role WHERE oid IS NOT NULL) "
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET owner = settled.rolname, owner_oid = settled.oid, parked_reason = NULL,"
			 "       idempotency_key = CASE WHEN is_last THEN settled.idempotency_key END"
			 "  FROM settled"
			 " WHERE settled.execution_id = execution.execution_id"
			 "   AND (settled.owner, settled.owner_oid) <> (settled.rolname, settled.oid)"
			 " RETURNING execution.execution_id, settled.was_parked",
			 BOOLOID);
FT_STATEMENT(settle_definitions,
			 "UPDATE ft.orchestrations AS orchestration"
			 "   SET owner = role.rolname, owner_oid = role.oid"
			 "  FROM (SELECT orchestration_id,"
			 "               coalesce(by_oid.oid, by_name.oid) AS oid,"
			 "               coalesce(by_oid.rolname, by_name.rolname) AS rolname"
			 "          FROM ft.orchestrations AS owned"
			 "          LEFT JOIN pg_authid AS by_name ON by_name.rolname = owned.owner"
			 "          LEFT JOIN pg_authid AS by_oid ON by_oid.oid = owned.owner_oid AND $1"
			 "         ORDER BY orchestration_id"
			 "           FOR NO KEY UPDATE OF owned) AS role"
			 " WHERE role.orchestration_id = orchestration.orchestration_id"
			 "   AND role.oid IS NOT NULL"
			 "   AND (orchestration.owner, orchestration.owner_oid) <> (role.rolname, role.oid)",
			 BOOLOID);

/* OIDs of another cluster, which are not those of their owners here. */
#define FORGET_OIDS(table_) \
	"UPDATE " table_ " SET owner_oid = 0" \
	" WHERE owner_oid <> 0 AND pg_get_userbyid(owner_oid) <> owner"
FT_STATEMENT_NOARGS(forget_oids_of_executions, FORGET_OIDS("ft.orchestration_executions"));
FT_STATEMENT_NOARGS(forget_oids_of_definitions, FORGET_OIDS("ft.orchestrations"));
FT_STATEMENT_NOARGS(settle_tasks,
					"UPDATE ft.orchestration_tasks AS task"
					"   SET owner_oid = execution.owner_oid"
					"  FROM ft.orchestration_executions AS execution"
					" WHERE execution.execution_id = task.execution_id"
					"   AND task.owner_oid <> execution.owner_oid");

/*
 * Is there something unfinished that was made elsewhere; and how many
 * executions, with those that were made here beside them?
 */
static bool
away_from_home(int64 *executions)
{
	if (ft_run(&foreign_executions,
			   FT_ARGS(FT_VALUE(Int64GetDatum((int64) GetSystemIdentifier())),
					   FT_VALUE(ObjectIdGetDatum(MyDatabaseId)))) == 0)
		return false;
	*executions = ft_column_int64(0, 1);
	return true;
}

char *
ft_installation_paused_reason(void)
{
	FtEngine	engine;
	int64		n;
	bool		away;

	ft_engine_enter(&engine);
	away = away_from_home(&n);
	ft_engine_leave(&engine);
	if (!away)
		return NULL;
	return psprintf("unfinished executions made in another cluster or database: " INT64_FORMAT "; a superuser calls ft.adopt() when they are to go on here",
					n);
}

static void
forget_oids(void)
{
	ft_run(&forget_oids_of_executions, NULL);
	ft_run(&settle_tasks, NULL);
	ft_run(&forget_oids_of_definitions, NULL);
}

/*
 * A database without anything unfinished is at home here, as a new one, and
 * one made from a template with the extension in it: nothing of it can be
 * worked in two places.
 */
void
ft_installation_settle_in(void)
{
	if (ft_run(&settle_in,
			   FT_ARGS(FT_VALUE(Int64GetDatum((int64) GetSystemIdentifier())),
					   FT_VALUE(ObjectIdGetDatum(MyDatabaseId)),
					   FT_TIME(GetCurrentTimestamp()))) > 0)
		forget_oids();
}

void
ft_installation_require_own(void)
{
	int64		n;

	if (away_from_home(&n))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the executions of this database are not worked here"),
				 errdetail("Unfinished executions made in another cluster or database, and perhaps still worked there: " INT64_FORMAT ".", n),
				 errhint("When they are to go on here, a superuser calls: SELECT ft.adopt();")));
}

void
ft_installation_still_own(void)
{
	FtEngine	engine;

	ft_engine_enter(&engine);
	ft_installation_require_own();
	ft_engine_leave(&engine);
}

static bool
oids_count(void)
{
	ft_run(&all_of_this_cluster,
		   FT_ARGS(FT_VALUE(Int64GetDatum((int64) GetSystemIdentifier()))));
	return ft_column_bool(0, 1);
}

/*
 * Give each execution a role of this cluster, and each definition; returns how
 * many executions had another.
 */
static int64
settle_owners_and_steps(void)
{
	bool		by_oid = oids_count();
	uint64		n = ft_run(&settle_owners, FT_ARGS(FT_VALUE(BoolGetDatum(by_oid))));
	pg_uuid_t  *parked = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	int			nparked = 0;

	for (uint64 row = 0; row < n; row++)
	{
		if (ft_column_bool(row, 2))
			parked[nparked++] = ft_column_uuid(row, 1);
	}
	ft_run(&settle_tasks, NULL);
	ft_run(&settle_definitions, FT_ARGS(FT_VALUE(BoolGetDatum(by_oid))));
	if (!by_oid)
		forget_oids();
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
	int64		executions;

	ft_engine_enter(&engine);
	made_here = !away_from_home(&executions);
	settled = settle_owners_and_steps();
	if (!made_here)
	{
		ft_step_take_back(GetCurrentTimestamp());
		ft_external_take_back(GetCurrentTimestamp());
		ft_compensation_take_back();
	}
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
