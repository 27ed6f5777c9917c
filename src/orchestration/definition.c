/*-------------------------------------------------------------------------
 *
 * definition.c
 *	  Definitions of orchestrations: each change makes a new version, and
 *	  executions keep the one that they were started under.
 *
 * A name belongs to the role that defined it first, and to its members.
 *
 * Locking: the row of the newest version, so that two who define the same name
 * at a time make two versions, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "engine.h"
#include "errors.h"
#include "orchestration/definition.h"
#include "orchestration/execution.h"
#include "orchestration/installation.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_define_orchestration);
PG_FUNCTION_INFO_V1(ft_drop_orchestration);

FT_STATEMENT(newest_version,
			 "SELECT orchestration_id, version, owner::text, owner_oid,"
			 "       tasks = $2 AND description IS NOT DISTINCT FROM $3"
			 "  FROM ft.orchestrations"
			 " WHERE orchestration_name = $1"
			 " ORDER BY version DESC LIMIT 1"
			 "   FOR NO KEY UPDATE",
			 TEXTOID, JSONBOID, TEXTOID);
FT_STATEMENT(insert_version,
			 "INSERT INTO ft.orchestrations"
			 " (orchestration_id, orchestration_name, version, tasks, description,"
			 "  owner, owner_oid, created_at)"
			 " VALUES ($1, $2, $3, $4, $5, pg_get_userbyid($6), $6, $7)"
			 " ON CONFLICT (orchestration_name, version) DO NOTHING",
			 UUIDOID, TEXTOID, INT4OID, JSONBOID, TEXTOID, OIDOID, TIMESTAMPTZOID);
FT_STATEMENT(delete_versions,
			 "DELETE FROM ft.orchestrations WHERE orchestration_name = $1",
			 TEXTOID);

/* An error unless the role may change, or start, what another has defined. */
void
ft_definition_require_member(const char *name, const char *owner, Oid owner_oid, Oid caller)
{
	char	   *present;

	if (superuser_arg(caller))
		return;
	present = GetUserNameFromId(owner_oid, true);
	if (present != NULL && strcmp(present, owner) == 0 && has_privs_of_role(caller, owner_oid))
		return;
	ereport(ERROR,
			(errcode(FT_ERRCODE_NOT_OWNER),
			 errmsg("permission denied for orchestration \"%s\"", name),
			 errdetail("It belongs to role \"%s\".", owner),
			 errhint("Act as a member of that role, or define one of your own under another name.")));
}

/*
 * Write a version, unless the newest says the same.  Who defines the same name
 * for the first time at the same moment is told to try again.
 */
static pg_uuid_t
add_version(Oid caller, const char *name, Datum tasks, FtArg description)
{
	pg_uuid_t	orchestration_id;
	int			version = 1;

	if (ft_run(&newest_version, FT_ARGS(FT_TEXT(name), FT_VALUE(tasks), description)) > 0)
	{
		ft_definition_require_member(name, ft_column_text(0, 3), ft_column_oid(0, 4), caller);
		orchestration_id = ft_column_uuid(0, 1);
		if (ft_column_bool(0, 5))
			return orchestration_id;
		version = ft_column_int32(0, 2) + 1;
	}
	ft_uuid_generate(&orchestration_id);
	if (ft_run(&insert_version,
			   FT_ARGS(FT_UUID(&orchestration_id), FT_TEXT(name),
					   FT_VALUE(Int32GetDatum(version)), FT_VALUE(tasks), description,
					   FT_VALUE(ObjectIdGetDatum(caller)),
					   FT_TIME(GetCurrentTimestamp()))) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("orchestration \"%s\" is being defined by another session", name),
				 errdetail("Version %d has been made meanwhile.", version),
				 errhint("Try again.")));
	return orchestration_id;
}

/*
 * ft.define_orchestration(name text, tasks jsonb, description text)
 * returns uuid
 */
Datum
ft_define_orchestration(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *orchestration_id = palloc(sizeof(pg_uuid_t));
	char	   *name;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "name");
	ft_require_argument(PG_ARGISNULL(1), "tasks");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ft_require_name(name, "name");
	(void) ft_definition_check(PG_GETARG_JSONB_P(1));

	ft_engine_enter(&engine);
	ft_installation_settle_in();
	*orchestration_id = add_version(engine.caller, name, PG_GETARG_DATUM(1),
									PG_ARGISNULL(2) ? FT_NULL : FT_VALUE(PG_GETARG_DATUM(2)));
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(orchestration_id);
}

/* ft.drop_orchestration(name text) returns bigint */
Datum
ft_drop_orchestration(PG_FUNCTION_ARGS)
{
	char	   *name;
	FtEngine	engine;
	int64		versions;

	ft_require_argument(PG_ARGISNULL(0), "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	ft_engine_enter(&engine);
	if (ft_run(&newest_version, FT_ARGS(FT_TEXT(name), FT_NULL, FT_NULL)) == 0)
		ft_definition_report_unknown(name);
	ft_definition_require_member(name, ft_column_text(0, 3), ft_column_oid(0, 4), engine.caller);
	versions = (int64) ft_run(&delete_versions, FT_ARGS(FT_TEXT(name)));
	ft_engine_leave(&engine);

	PG_RETURN_INT64(versions);
}

void
ft_definition_report_unknown(const char *name)
{
	ereport(ERROR,
			(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
			 errmsg("orchestration \"%s\" does not exist", name),
			 errdetail("No row of ft.orchestrations has this name."),
			 errhint("Define it with ft.define_orchestration(), or see yours: SELECT orchestration_name, version FROM ft.orchestrations;")));
}
