/*-------------------------------------------------------------------------
 *
 * signal.c
 *	  Signals that tasks of an execution wait for.
 *
 * A signal is a row: sent before anything waits for it, it is there when
 * something does, and sent again it is there already.  A task that waits for
 * it has one more unmet thing that it waits for, and nothing else: no worker,
 * no transaction, no lock.
 *
 * Locking: the execution's row first, as whoever ends a task has it too: a
 * task that becomes ready for a signal at the moment when it is sent either
 * finds it, or is found by it.  Then rows of tasks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/execution.h"
#include "orchestration/ready.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_signal);

FT_STATEMENT(awaiting_task,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE execution_id = $1 AND signal = $2 LIMIT 1",
			 UUIDOID, TEXTOID);
FT_STATEMENT(insert_signal,
			 "INSERT INTO ft.orchestration_signals (execution_id, signal_name, payload, sender, sent_at)"
			 " VALUES ($1, $2, $3, pg_get_userbyid($4), $5)"
			 " ON CONFLICT (execution_id, signal_name) DO NOTHING",
			 UUIDOID, TEXTOID, JSONBOID, OIDOID, TIMESTAMPTZOID);

static void
check_payload(Datum payload)
{
	Size		size = VARSIZE_ANY_EXHDR(DatumGetPointer(payload));

	if (size > (Size) ft_max_result_size * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload of the signal is too large"),
				 errdetail("It has %zu bytes; fault_tolerance.max_result_size allows %d kB.",
						   size, ft_max_result_size),
				 errhint("Keep large data in a table, and send its key.")));
}

/* An error for a signal that nothing would ever come of. */
static void
check_awaited(const FtExecution *execution, const char *name)
{
	if (ft_execution_is_finished(execution->status))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("execution %s is finished", ft_uuid_string(&execution->execution_id)),
				 errdetail("Its status is %s: nothing waits for a signal any more.",
						   ft_execution_status_name(execution->status)),
				 errhint("Look for another one: SELECT * FROM ft.executions WHERE status NOT IN ('COMPLETED', 'COMPENSATED', 'CANCELLED');")));
	if (ft_run(&awaiting_task, FT_ARGS(FT_UUID(&execution->execution_id), FT_TEXT(name))) == 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_UNKNOWN_OBJECT),
				 errmsg("no task of execution %s waits for a signal \"%s\"",
						ft_uuid_string(&execution->execution_id), name),
				 errdetail("A signal is for the tasks whose definition names it as \"signal\"."),
				 errhint("See them: SELECT task_name, signal FROM ft.orchestration_tasks WHERE execution_id = '%s' AND signal IS NOT NULL;",
						 ft_uuid_string(&execution->execution_id))));
}

/* ft.signal(execution_id uuid, name text, payload jsonb) returns boolean */
Datum
ft_signal(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	char	   *name;
	Datum		payload;
	FtEngine	engine;
	FtExecution execution;
	bool		sent;

	ft_require_argument(PG_ARGISNULL(0), "execution_id");
	ft_require_argument(PG_ARGISNULL(1), "name");
	ft_require_argument(PG_ARGISNULL(2), "payload");
	name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	ft_require_name(name, "name");
	payload = JsonbPGetDatum(PG_GETARG_JSONB_P(2));
	check_payload(payload);

	ft_engine_enter(&engine);
	ft_execution_lock(&execution, PG_GETARG_UUID_P(0), engine.caller);
	check_awaited(&execution, name);
	sent = ft_run(&insert_signal,
				  FT_ARGS(FT_UUID(&execution.execution_id), FT_TEXT(name), FT_VALUE(payload),
						  FT_VALUE(ObjectIdGetDatum(engine.caller)), FT_TIME(now))) > 0;
	if (sent)
	{
		ft_execution_touch(&execution);
		ft_ready_signalled(&execution.execution_id, name, now);
	}
	ft_engine_leave(&engine);

	PG_RETURN_BOOL(sent);
}
