/*-------------------------------------------------------------------------
 *
 * execution.c
 *	  Executions: one run of an orchestration.
 *
 * Locking: every function that changes an execution or anything below it
 * locks the execution's row first (FOR NO KEY UPDATE, which inserts below it
 * do not conflict with) and reads it again under that lock.  Tasks,
 * checkpoints and failures come after it.  What changes nothing in that row
 * touches it all the same, so that a transaction with an older snapshot
 * (REPEATABLE READ) fails to lock it instead of deciding without the change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "errors.h"
#include "orchestration/checkpoint.h"
#include "orchestration/child.h"
#include "orchestration/execution.h"
#include "orchestration/installation.h"
#include "orchestration/wait.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_create_execution);
PG_FUNCTION_INFO_V1(ft_set_execution_state);

#define EXECUTION_COLUMNS \
	"SELECT execution_id, status, owner::text, owner_oid, managed, paused_at IS NOT NULL" \
	"  FROM ft.orchestration_executions" \
	" WHERE execution_id = $1"

FT_STATEMENT(insert_execution,
			 "INSERT INTO ft.orchestration_executions"
			 " (execution_id, orchestration_id, state, owner, owner_oid, created_at, updated_at)"
			 " VALUES ($1, $2, $3, pg_get_userbyid($4), $4, $5, $5)",
			 UUIDOID, UUIDOID, JSONBOID, OIDOID, TIMESTAMPTZOID);
FT_STATEMENT(look_up_execution, EXECUTION_COLUMNS, UUIDOID);
FT_STATEMENT(lock_execution,
			 EXECUTION_COLUMNS " FOR NO KEY UPDATE",
			 UUIDOID);
FT_STATEMENT(try_lock_execution,
			 EXECUTION_COLUMNS " FOR NO KEY UPDATE SKIP LOCKED",
			 UUIDOID);
FT_STATEMENT(update_status,
			 "UPDATE ft.orchestration_executions"
			 "   SET status = $2, updated_at = $3,"
			 "       started_at = CASE WHEN $2 = 'RUNNING' THEN coalesce(started_at, $3) ELSE started_at END,"
			 "       finished_at = CASE WHEN $4 THEN $3 END,"
			 "       parked_reason = CASE WHEN NOT $4 THEN parked_reason END"
			 " WHERE execution_id = $1"
			 " RETURNING parent_task_id",
			 UUIDOID, TEXTOID, TIMESTAMPTZOID, BOOLOID);
FT_STATEMENT(touch_execution,
			 "UPDATE ft.orchestration_executions SET updated_at = $2"
			 " WHERE execution_id = $1",
			 UUIDOID, TIMESTAMPTZOID);
FT_STATEMENT(update_state,
			 "UPDATE ft.orchestration_executions"
			 "   SET state = $2, updated_at = $3"
			 " WHERE execution_id = $1",
			 UUIDOID, JSONBOID, TIMESTAMPTZOID);
FT_STATEMENT(all_tasks_completed,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1"
			 " HAVING count(*) > 0 AND bool_and(status IN ('COMPLETED', 'SKIPPED'))",
			 UUIDOID);

static void
read_execution(FtExecution *execution)
{
	char	   *status = ft_column_text(0, 2);

	execution->execution_id = ft_column_uuid(0, 1);
	execution->status = ft_execution_status_of(status);
	execution->owner = ft_column_text(0, 3);
	execution->owner_oid = ft_column_oid(0, 4);
	execution->managed = ft_column_bool(0, 5);
	execution->paused = ft_column_bool(0, 6);
}

/*
 * Whether a role may act on an execution: by membership in its owner, as for
 * other objects.  Name and OID of the owner must agree; where they do not,
 * the row comes from another cluster, or the role was renamed or dropped, and
 * nobody but a superuser may act until ft.adopt() has settled whose it is.
 */
bool
ft_execution_is_owned_by(const FtExecution *execution, Oid role)
{
	char	   *name;

	if (superuser_arg(role))
		return true;
	name = GetUserNameFromId(execution->owner_oid, true);
	return name != NULL && strcmp(name, execution->owner) == 0 &&
		has_privs_of_role(role, execution->owner_oid);
}

static void
fetch(FtStatement *statement, FtExecution *execution, const pg_uuid_t *execution_id,
	  Oid caller)
{
	if (ft_run(statement, FT_ARGS(FT_UUID(execution_id))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
				 errmsg("execution %s does not exist", ft_uuid_string(execution_id)),
				 errdetail("No row of ft.orchestration_executions has this execution_id."),
				 errhint("See yours: SELECT execution_id, name, status FROM ft.executions;")));
	read_execution(execution);

	if (OidIsValid(caller) && !ft_execution_is_owned_by(execution, caller))
		ereport(ERROR,
				(errcode(FT_ERRCODE_NOT_OWNER),
				 errmsg("permission denied for execution %s", ft_uuid_string(execution_id)),
				 errdetail("It belongs to role \"%s\".", execution->owner),
				 errhint("Act as a member of that role. Where the role was renamed, or the database restored or cloned, a superuser calls ft.adopt() first.")));
}

void
ft_execution_read(FtExecution *execution, const pg_uuid_t *execution_id, Oid caller)
{
	fetch(&look_up_execution, execution, execution_id, caller);
}

void
ft_execution_lock(FtExecution *execution, const pg_uuid_t *execution_id, Oid caller)
{
	fetch(&lock_execution, execution, execution_id, caller);
}

bool
ft_execution_try_lock(FtExecution *execution, const pg_uuid_t *execution_id)
{
	if (ft_run(&try_lock_execution, FT_ARGS(FT_UUID(execution_id))) == 0)
		return false;
	read_execution(execution);
	return true;
}

void
ft_execution_touch(const FtExecution *execution)
{
	ft_run(&touch_execution,
		   FT_ARGS(FT_UUID(&execution->execution_id),
				   FT_TIME(GetCurrentTimestamp())));
}

void
ft_execution_set_status(FtExecution *execution, FtExecutionStatus status)
{
	execution->status = status;
	if (ft_execution_has_stopped(status))
		ft_wait_wake_at_commit(&execution->execution_id);
	ft_run(&update_status,
		   FT_ARGS(FT_UUID(&execution->execution_id),
				   FT_TEXT(ft_execution_status_name(status)),
				   FT_TIME(GetCurrentTimestamp()),
				   FT_VALUE(BoolGetDatum(ft_execution_is_finished(status)))));
	if (ft_execution_is_over(status) && !ft_column_is_null(0, 1))
	{
		pg_uuid_t	parent = ft_column_uuid(0, 1);

		ft_child_over(&execution->execution_id, &parent);
	}
}

void
ft_execution_complete_if_done(FtExecution *execution)
{
	FtExecutionStatus completed;

	if (!ft_execution_transition(execution->status, FT_EXECUTION_COMPLETE, &completed))
		return;
	if (ft_run(&all_tasks_completed, FT_ARGS(FT_UUID(&execution->execution_id))) > 0)
		ft_execution_set_status(execution, completed);
}

void
ft_require_argument(bool isnull, const char *name)
{
	if (isnull)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must not be null", name),
				 errdetail("The call was given a null where a value is needed."),
				 errhint("Pass a value for %s.", name)));
}

void
ft_require_name(const char *name, const char *argument)
{
	if (name[0] == '\0' || strlen(name) > FT_NAME_LIMIT)
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must have between 1 and %d bytes", argument, FT_NAME_LIMIT),
				 errdetail("Names stand in indexes, plans and timelines."),
				 errhint("Choose another name.")));
}

void
ft_require_json_object(Jsonb *value, const char *name)
{
	if (!JB_ROOT_IS_OBJECT(value))
		ereport(ERROR,
				(errcode(FT_ERRCODE_BAD_ARGUMENT),
				 errmsg("%s must be a JSON object", name),
				 errdetail("Arrays, scalars and the JSON null cannot be a state."),
				 errhint("Pass an object such as '{\"order\": 42}'.")));
}

/* ft.create_execution(orchestration_id uuid, state jsonb) returns uuid */
Datum
ft_create_execution(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *execution_id = palloc(sizeof(pg_uuid_t));
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(1), "state");
	ft_require_json_object(PG_GETARG_JSONB_P(1), "state");
	ft_uuid_generate(execution_id);

	ft_engine_enter(&engine);
	ft_installation_settle_in();
	ft_run(&insert_execution,
		   FT_ARGS(FT_UUID(execution_id),
				   PG_ARGISNULL(0) ? FT_NULL : FT_UUID(PG_GETARG_UUID_P(0)),
				   FT_VALUE(PG_GETARG_DATUM(1)),
				   FT_VALUE(ObjectIdGetDatum(engine.caller)),
				   FT_TIME(GetCurrentTimestamp())));
	/* recovery always has where to go */
	(void) ft_checkpoint_create(execution_id, NULL);
	ft_engine_leave(&engine);

	PG_RETURN_UUID_P(execution_id);
}

/* ft.set_execution_state(execution_id uuid, state jsonb) returns void */
Datum
ft_set_execution_state(PG_FUNCTION_ARGS)
{
	FtEngine	engine;
	FtExecution execution;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "state");
	ft_require_json_object(PG_GETARG_JSONB_P(1), "state");

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	if (ft_execution_is_finished(execution.status))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("execution %s is finished", ft_uuid_string(&execution.execution_id)),
				 errdetail("Its status is %s, and its state is kept as it ended.",
						   ft_execution_status_name(execution.status)),
				 errhint("Make a new execution with ft.create_execution().")));
	ft_run(&update_state,
		   FT_ARGS(FT_UUID(&execution.execution_id),
				   FT_VALUE(PG_GETARG_DATUM(1)),
				   FT_TIME(GetCurrentTimestamp())));
	ft_engine_leave(&engine);
	PG_RETURN_VOID();
}
