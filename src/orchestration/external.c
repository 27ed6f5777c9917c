/*-------------------------------------------------------------------------
 *
 * external.c
 *	  Steps that workers outside of the server run, under a lease.
 *
 * Whether a worker somewhere in the network is alive cannot be known here, so
 * it has to say so: a claim holds until a time, which heartbeats move on.
 * What is not heard of by then is given back by the scheduler, or by the next
 * worker that finds nothing else to do, after a delay as any failed attempt;
 * and as such it counts, or a step that kills its workers would do so for
 * ever.
 *
 * Due steps stand in lanes: one for each owner and priority of a queue, in the
 * order in which they became due.  Only lanes of owners that the caller is a
 * member of are looked into, so that others' backlog costs nothing.
 *
 * Locking: a claim takes the lock of a queue that has limits, for which it waits
 * no longer than others hold it, rows of tasks and then of executions, skipping
 * those that are locked, and waits for none.  A heartbeat locks the task's row only.
 * The rest locks the execution's row first, then the task's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errors.h"
#include "guc.h"
#include "orchestration/external.h"
#include "orchestration/failure.h"
#include "orchestration/installation.h"
#include "orchestration/queue.h"
#include "orchestration/ready.h"
#include "orchestration/recovery_plan.h"
#include "transaction.h"
#include "uuid.h"

PG_FUNCTION_INFO_V1(ft_claim_task);
PG_FUNCTION_INFO_V1(ft_heartbeat);
PG_FUNCTION_INFO_V1(ft_release_task);

#define CLAIM_COLUMNS	10
#define LEASE_LIMIT		USECS_PER_DAY

/* A connection that went away: what a lease that ran out looks like from here. */
#define LEASE_SQLSTATE	"08006"

#define RANK	"(- priority::integer)"
#define DUE		"due_at IS NOT NULL AND execution_mode = 'external' AND queue = $1"
#define EXPIRED	"status = 'RUNNING' AND leased_until <= $1"

/* The name of an owner must still be the one that its OID stands for. */
#define OWNER_AGREES \
	"(SELECT execution.owner = pg_get_userbyid(execution.owner_oid)" \
	"   FROM ft.orchestration_executions AS execution" \
	"  WHERE execution.execution_id = task.execution_id)"

/* However long the lease: an attempt has no more than the time of its task. */
#define LEASE_END(lease_, began_, now_) \
	"least(" now_ " + " lease_ ", " began_ " + timeout)"

FT_STATEMENT(lanes,
			 "WITH RECURSIVE lane AS ("
			 " (SELECT owner_oid, " RANK " AS rank, due_at"
			 "    FROM ft.orchestration_tasks"
			 "   WHERE " DUE
			 "   ORDER BY owner_oid, " RANK ", due_at LIMIT 1)"
			 " UNION ALL"
			 " SELECT next.owner_oid, next.rank, next.due_at"
			 "   FROM lane, LATERAL"
			 "        (SELECT owner_oid, " RANK " AS rank, due_at"
			 "           FROM ft.orchestration_tasks"
			 "          WHERE " DUE " AND (owner_oid, " RANK ") > (lane.owner_oid, lane.rank)"
			 "          ORDER BY owner_oid, " RANK ", due_at LIMIT 1) AS next) "
			 "SELECT owner_oid, rank FROM lane"
			 " WHERE due_at <= $2 AND pg_has_role($3, owner_oid, 'USAGE')"
			 " ORDER BY rank, due_at",
			 TEXTOID, TIMESTAMPTZOID, OIDOID);
FT_STATEMENT(claim,
			 "WITH candidate AS MATERIALIZED"
			 " (SELECT task.task_id FROM ft.orchestration_tasks AS task"
			 "   WHERE " DUE " AND owner_oid = $2 AND " RANK " = $3 AND due_at <= $4"
			 "     AND " OWNER_AGREES
			 "   ORDER BY due_at, task_id LIMIT 1"
			 "     FOR NO KEY UPDATE OF task SKIP LOCKED) "
			 "UPDATE ft.orchestration_tasks AS task"
			 "   SET status = $5, attempt = attempt + 1, due_at = NULL, next_attempt_at = NULL,"
			 "       error_sqlstate = NULL, error_message = NULL, started_at = $4,"
			 "       leased_by = $6, leased_until = " LEASE_END("$7", "$4", "$4")
			 "  FROM candidate WHERE task.task_id = candidate.task_id"
			 " RETURNING task.task_id, task.execution_id, leased_until",
			 TEXTOID, OIDOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INTERVALOID);
FT_STATEMENT(begin_execution,
			 "UPDATE ft.orchestration_executions AS execution"
			 "   SET status = $2, started_at = coalesce(started_at, $3), updated_at = $3"
			 "  FROM (SELECT execution_id FROM ft.orchestration_executions"
			 "         WHERE execution_id = $1 AND status = 'PENDING'"
			 "           FOR NO KEY UPDATE SKIP LOCKED) AS begun"
			 " WHERE execution.execution_id = begun.execution_id",
			 UUIDOID, TEXTOID, TIMESTAMPTZOID);
FT_STATEMENT(read_claimed,
			 "SELECT task.task_id, task.execution_id, task.task_name, task.attempt, task.command,"
			 "       execution.input, execution.state,"
			 "       (SELECT coalesce(jsonb_object_agg(name,"
			 "                   (SELECT needed.result FROM ft.orchestration_tasks AS needed"
			 "                     WHERE needed.execution_id = task.execution_id"
			 "                       AND needed.task_name = name)), '{}')"
			 "          FROM unnest(task.depends_on) AS name),"
			 "       task.leased_until, task.timeout"
			 "  FROM ft.orchestration_tasks AS task, ft.orchestration_executions AS execution"
			 " WHERE task.task_id = $1 AND execution.execution_id = task.execution_id",
			 UUIDOID);

/* Does somebody look at the leases before this one ends anyhow? */
FT_STATEMENT(earlier_lease,
			 "SELECT 1 FROM ft.orchestration_tasks"
			 " WHERE " EXPIRED " AND leased_until > $2 AND task_id <> $3 LIMIT 1",
			 TIMESTAMPTZOID, TIMESTAMPTZOID, UUIDOID);
FT_STATEMENT(read_lease_owner,
			 "SELECT execution_id, leased_until FROM ft.orchestration_tasks WHERE task_id = $1",
			 UUIDOID);
FT_STATEMENT(extend,
			 "UPDATE ft.orchestration_tasks"
			 "   SET leased_until = " LEASE_END("$3", "started_at", "$4")
			 " WHERE task_id = $1 AND attempt = $2 AND status = 'RUNNING'"
			 "   AND leased_until IS NOT NULL AND coalesce(started_at + timeout > $4, true)"
			 " RETURNING leased_until",
			 UUIDOID, INT4OID, INTERVALOID, TIMESTAMPTZOID);
FT_STATEMENT(why_not_extended,
			 "SELECT task_name, status, attempt, leased_until IS NOT NULL AND status = 'RUNNING'"
			 "  FROM ft.orchestration_tasks WHERE task_id = $1",
			 UUIDOID);
FT_STATEMENT(expired,
			 "SELECT task_id, execution_id FROM ft.orchestration_tasks"
			 " WHERE " EXPIRED " ORDER BY leased_until LIMIT 1000",
			 TIMESTAMPTZOID);
FT_STATEMENT(all_expired,
			 "SELECT task_id FROM ft.orchestration_tasks"
			 " WHERE " EXPIRED " AND leased_until IS NOT NULL ORDER BY execution_id, task_id",
			 TIMESTAMPTZOID);
FT_STATEMENT(expired_lease,
			 "SELECT coalesce(leased_by, ''), coalesce(max_attempts, $3),"
			 "       coalesce(ceil(extract(epoch FROM backoff) * 1000), 0)::bigint"
			 "  FROM ft.orchestration_tasks WHERE task_id = $2 AND " EXPIRED
			 "   FOR NO KEY UPDATE SKIP LOCKED",
			 TIMESTAMPTZOID, UUIDOID, INT4OID);
FT_STATEMENT(give_back,
			 "UPDATE ft.orchestration_tasks"
			 "   SET status = $2, losses = losses + $3, failures = failures + $3,"
			 "       next_attempt_at = $4, error_sqlstate = $5, error_message = $6,"
			 "       leased_until = NULL"
			 " WHERE task_id = $1",
			 UUIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID);
FT_STATEMENT(count_loss,
			 "UPDATE ft.orchestration_tasks SET losses = losses + 1 WHERE task_id = $1",
			 UUIDOID);
FT_STATEMENT(record_loss,
			 "INSERT INTO ft.orchestration_failures"
			 " (failure_id, execution_id, failure_type, failure_message, failure_timestamp,"
			 "  task_id, attempt, sqlstate, next_attempt_at, recovery_strategy, recovery_action,"
			 "  recovery_attempts, recovered, recovered_at, attempt_started_at)"
			 " SELECT $1, $2, $3, $4, $5, $6, $7, '" LEASE_SQLSTATE "', $8, 'AUTO', 'RETRY', 1, true, $5,"
			 "        started_at FROM ft.orchestration_tasks WHERE task_id = $6",
			 UUIDOID, UUIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, UUIDOID, INT4OID, TIMESTAMPTZOID);
FT_STATEMENT_NOARGS(next_expiry,
					"SELECT leased_until FROM ft.orchestration_tasks"
					" WHERE status = 'RUNNING' AND leased_until IS NOT NULL"
					" ORDER BY leased_until LIMIT 1");

/* An error unless the lease is one that can end, and has not ended already. */
static void
check_lease(const Interval *lease)
{
	/* the fields of an infinite one would overflow an integer */
	double		length = (double) lease->time + (double) lease->day * USECS_PER_DAY +
		(double) lease->month * DAYS_PER_MONTH * USECS_PER_DAY;

	if (length > 0 && length <= LEASE_LIMIT)
		return;
	ereport(ERROR,
			(errcode(FT_ERRCODE_BAD_ARGUMENT),
			 errmsg("lease must be more than nothing and at most one day"),
			 errdetail("A step whose worker is lost waits for the end of the lease."),
			 errhint("Pass a short one, and extend it by ft.heartbeat() while the work goes on.")));
}

/* Claim the first step of one lane that nobody else is at. */
static bool
claim_from_lane(FunctionCallInfo fcinfo, Oid owner, int rank, TimestampTz now, pg_uuid_t *task_id)
{
	FtTaskStatus running = ft_task_require_transition(FT_TASK_PENDING, FT_TASK_START, "");
	FtExecutionStatus begun = ft_execution_require_transition(FT_EXECUTION_PENDING,
															  FT_EXECUTION_START_TASK, "");
	pg_uuid_t	execution_id;
	TimestampTz until;

	if (ft_run_by_index(&claim,
						FT_ARGS(FT_VALUE(PG_GETARG_DATUM(0)), FT_VALUE(ObjectIdGetDatum(owner)),
								FT_VALUE(Int32GetDatum(rank)), FT_TIME(now),
								FT_TEXT(ft_task_status_name(running)),
								FT_VALUE(PG_GETARG_DATUM(1)), FT_VALUE(PG_GETARG_DATUM(2)))) == 0)
		return false;
	*task_id = ft_column_uuid(0, 1);
	execution_id = ft_column_uuid(0, 2);
	until = ft_column_time(0, 3);
	ft_run_by_index(&begin_execution,
					FT_ARGS(FT_UUID(&execution_id), FT_TEXT(ft_execution_status_name(begun)), FT_TIME(now)));

	/* The scheduler has to know of this lease only if it ends first. */
	if (ft_run_by_index(&earlier_lease,
						FT_ARGS(FT_TIME(until), FT_TIME(now), FT_UUID(task_id))) == 0)
		ft_wake_worker_at_commit();
	return true;
}

typedef struct Lane
{
	Oid			owner;
	int			rank;
} Lane;

static bool
claim_next(FunctionCallInfo fcinfo, Oid caller, TimestampTz now, pg_uuid_t *task_id)
{
	uint64		n = ft_run_by_index(&lanes,
									FT_ARGS(FT_VALUE(PG_GETARG_DATUM(0)), FT_TIME(now),
											FT_VALUE(ObjectIdGetDatum(caller))));
	Lane	   *found = palloc(sizeof(Lane) * Max(n, 1));
	FtQueue    *queue;

	for (uint64 row = 0; row < n; row++)
	{
		found[row].owner = ft_column_oid(row, 1);
		found[row].rank = ft_column_int32(row, 2);
	}
	queue = ft_queue_read(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	for (uint64 i = 0; i < n; i++)
	{
		TimestampTz look_at;
		int			room = 0;
		bool		claimed;

		if (queue != NULL &&
			(room = ft_queue_enter(queue, found[i].owner, false, &now, &look_at)) == 0)
			continue;
		claimed = claim_from_lane(fcinfo, found[i].owner, found[i].rank, now, task_id);
		if (queue != NULL)
			ft_queue_leave(queue, claimed ? 1 : 0, room, now);
		if (claimed)
			return true;
	}
	return false;
}

static void
put_claimed(ReturnSetInfo *rsinfo, const pg_uuid_t *task_id)
{
	Datum		values[CLAIM_COLUMNS];
	bool		nulls[CLAIM_COLUMNS];

	ft_run_by_index(&read_claimed, FT_ARGS(FT_UUID(task_id)));
	for (int i = 0; i < CLAIM_COLUMNS; i++)
		values[i] = ft_column(0, i + 1, &nulls[i]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ft.claim_task(queue text, worker text, lease interval) returns setof record */
Datum
ft_claim_task(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();
	pg_uuid_t	task_id;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "queue");
	ft_require_argument(PG_ARGISNULL(1), "worker");
	ft_require_argument(PG_ARGISNULL(2), "lease");
	ft_require_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), "queue");
	ft_require_name(text_to_cstring(PG_GETARG_TEXT_PP(1)), "worker");
	check_lease(PG_GETARG_INTERVAL_P(2));

	InitMaterializedSRF(fcinfo, 0);
	ft_engine_enter(&engine);
	ft_installation_require_own();
	/* where no scheduler does it, who looks for work gives back what was lost */
	if (claim_next(fcinfo, engine.caller, now, &task_id) ||
		(ft_external_recover(now) > 0 && claim_next(fcinfo, engine.caller, now, &task_id)))
		put_claimed(rsinfo, &task_id);
	ft_engine_leave(&engine);
	return (Datum) 0;
}

static void
report_lost(const pg_uuid_t *task_id, int attempt)
{
	char	   *name;
	char	   *status;

	ft_run(&why_not_extended, FT_ARGS(FT_UUID(task_id)));
	name = ft_column_text(0, 1);
	status = ft_column_text(0, 2);
	if (strcmp(status, "RUNNING") != 0)
		ereport(ERROR,
				(errcode(FT_ERRCODE_STALE_ATTEMPT),
				 errmsg("attempt %d of task \"%s\" is over", attempt, name),
				 errdetail("The lease ran out, or somebody took the task back; it is %s now.", status),
				 errhint("Drop this work, and claim another task.")));
	if (ft_column_int32(0, 3) != attempt)
		ereport(ERROR,
				(errcode(FT_ERRCODE_STALE_ATTEMPT),
				 errmsg("attempt %d of task \"%s\" is not the current one", attempt, name),
				 errdetail("The task is at attempt %d.", ft_column_int32(0, 3)),
				 errhint("Drop this work; the current attempt reports for the task.")));
	if (!ft_column_bool(0, 4))
		ereport(ERROR,
				(errcode(FT_ERRCODE_WRONG_STATUS),
				 errmsg("task \"%s\" has no lease", name),
				 errdetail("It was started by ft.start_task(), or by the server, and not claimed."),
				 errhint("Take tasks by ft.claim_task() to have them given to others when a worker is lost.")));
	ereport(ERROR,
			(errcode(FT_ERRCODE_STALE_ATTEMPT),
			 errmsg("attempt %d of task \"%s\" is over its timeout", attempt, name),
			 errdetail("A lease cannot be extended beyond the timeout that the task was defined with."),
			 errhint("Give the task a longer timeout, or do less in one.")));
}

/* ft.heartbeat(task_id uuid, attempt integer, lease interval) returns timestamptz */
Datum
ft_heartbeat(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *task_id;
	FtExecution execution;
	FtTask		task;
	TimestampTz before = DT_NOEND;
	TimestampTz until;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "task_id");
	ft_require_argument(PG_ARGISNULL(1), "attempt");
	ft_require_argument(PG_ARGISNULL(2), "lease");
	check_lease(PG_GETARG_INTERVAL_P(2));
	task_id = PG_GETARG_UUID_P(0);

	ft_engine_enter(&engine);
	if (ft_run_by_index(&read_lease_owner, FT_ARGS(FT_UUID(task_id))) == 0)
		ft_task_lock(task_id, engine.caller, &execution, &task);	/* the error */
	else
	{
		pg_uuid_t	execution_id = ft_column_uuid(0, 1);

		if (!ft_column_is_null(0, 2))
			before = ft_column_time(0, 2);
		ft_execution_read(&execution, &execution_id, engine.caller);
	}
	if (ft_run_by_index(&extend,
						FT_ARGS(FT_UUID(task_id), FT_VALUE(PG_GETARG_DATUM(1)), FT_VALUE(PG_GETARG_DATUM(2)),
								FT_TIME(GetCurrentTimestamp()))) == 0)
		report_lost(task_id, PG_GETARG_INT32(1));
	until = ft_column_time(0, 1);
	ft_engine_leave(&engine);

	/* one that ends sooner than it would have is not known of */
	if (until < before)
		ft_wake_worker_at_commit();
	PG_RETURN_TIMESTAMPTZ(until);
}

/* The worker has not failed, and the step is due again at once. */
static void
give_back_unharmed(FtExecution *execution, FtTask *task, TimestampTz now)
{
	FtTaskStatus released = ft_task_require_transition(task->status, FT_TASK_RELEASE, task->name);

	ft_run_by_index(&give_back,
					FT_ARGS(FT_UUID(&task->task_id), FT_TEXT(ft_task_status_name(released)),
							FT_VALUE(Int32GetDatum(0)), FT_NULL, FT_NULL, FT_NULL));
	ft_ready_recount(&execution->execution_id, now);
}

/* ft.release_task(task_id uuid, attempt integer) returns void */
Datum
ft_release_task(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	FtExecution execution;
	FtTask		task;
	FtEngine	engine;

	ft_require_argument(PG_ARGISNULL(0), "task_id");
	ft_require_argument(PG_ARGISNULL(1), "attempt");

	ft_engine_enter(&engine);
	ft_task_lock(PG_GETARG_UUID_P(0), engine.caller, &execution, &task);
	ft_task_require_attempt(&task, PG_GETARG_INT32(1));
	give_back_unharmed(&execution, &task, now);
	ft_engine_leave(&engine);

	PG_RETURN_VOID();
}

void
ft_external_take_back(TimestampTz now)
{
	uint64		n = ft_run_by_index(&all_expired, FT_ARGS(FT_TIME(now)));
	pg_uuid_t  *tasks = palloc(sizeof(pg_uuid_t) * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
		tasks[row] = ft_column_uuid(row, 1);
	for (uint64 i = 0; i < n; i++)
	{
		FtExecution execution;
		FtTask		task;

		CHECK_FOR_INTERRUPTS();
		ft_task_lock(&tasks[i], InvalidOid, &execution, &task);
		if (task.status == FT_TASK_RUNNING)
			give_back_unharmed(&execution, &task, now);
	}
}

/* The worker is lost, and its attempt with it: the next one after a delay. */
static void
retry_lost(FtExecution *execution, FtTask *task, const char *message, int64 backoff, TimestampTz now)
{
	FtTaskStatus pending = ft_task_require_transition(task->status, FT_TASK_RETRY, task->name);
	TimestampTz next = ft_backoff(now, task->failures + 1, backoff);
	pg_uuid_t	failure_id;

	ft_run_by_index(&give_back,
					FT_ARGS(FT_UUID(&task->task_id), FT_TEXT(ft_task_status_name(pending)),
							FT_VALUE(Int32GetDatum(1)),
							FT_TIME(next), FT_TEXT(LEASE_SQLSTATE), FT_TEXT(message)));
	ft_uuid_generate(&failure_id);
	ft_run_by_index(&record_loss,
					FT_ARGS(FT_UUID(&failure_id), FT_UUID(&execution->execution_id),
							FT_TEXT(ft_failure_type_name(FT_FAILURE_TRANSIENT)), FT_TEXT(message),
							FT_TIME(GetCurrentTimestamp()), FT_UUID(&task->task_id),
							FT_VALUE(Int32GetDatum(task->attempt)),
							FT_TIME(next)));
	ft_ready_recount(&execution->execution_id, now);
}

/* See to one lease, if it still has run out and nobody else is at it. */
static bool
recover_lease(const pg_uuid_t *task_id, const pg_uuid_t *execution_id, TimestampTz now)
{
	FtExecution execution;
	FtTask		task;
	char	   *message;
	int			max_attempts;
	int64		backoff;

	/* a heartbeat may be under way, in a transaction that takes its time */
	if (!ft_execution_try_lock(&execution, execution_id) ||
		ft_run_by_index(&expired_lease,
						FT_ARGS(FT_TIME(now), FT_UUID(task_id),
								FT_VALUE(Int32GetDatum(ft_recovery_max_attempts)))) == 0)
		return false;
	message = psprintf("the lease of worker \"%s\" has run out", ft_column_text(0, 1));
	max_attempts = ft_column_int32(0, 2);
	backoff = ft_column_int64(0, 3);
	if (!ft_task_try_lock(task_id, &execution, &task))
		return false;

	if (task.failures + 1 < max_attempts)
		retry_lost(&execution, &task, message, backoff, now);
	else
	{
		ft_run(&count_loss, FT_ARGS(FT_UUID(task_id)));
		(void) ft_failure_of_task(&execution, &task, message, LEASE_SQLSTATE, false);
	}
	return true;
}

int64
ft_external_recover(TimestampTz now)
{
	int64		recovered = 0;
	pg_uuid_t  *lost;
	pg_uuid_t  *executions;
	uint64		n;
	FtEngine	engine;

	ft_engine_enter(&engine);
	n = ft_run_by_index(&expired, FT_ARGS(FT_TIME(now)));
	lost = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	executions = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	for (uint64 row = 0; row < n; row++)
	{
		lost[row] = ft_column_uuid(row, 1);
		executions[row] = ft_column_uuid(row, 2);
	}
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (recover_lease(&lost[i], &executions[i], now))
			recovered++;
	}
	ft_engine_leave(&engine);
	return recovered;
}

TimestampTz
ft_external_next_due(void)
{
	TimestampTz next = DT_NOEND;
	FtEngine	engine;

	ft_engine_enter(&engine);
	if (ft_run_by_index(&next_expiry, NULL) > 0)
		next = ft_column_time(0, 1);
	ft_engine_leave(&engine);
	return next;
}
