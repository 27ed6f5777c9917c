/*-------------------------------------------------------------------------
 *
 * metrics_subjects.c
 *	  Which metrics there are, and what each subject is asked for them.
 *
 * Each query answers name, labels and value; a value that is NULL is not known
 * and gives no series.  Labels take few values: no query text, no process, no
 * table.  The keys of labels are known to the shipped configuration of the
 * exporter, share/prometheus/fault_tolerance_sql_exporter.yml, and the names below to the
 * rules for alerts beside it.  The queries run with the search_path of
 * pg_catalog, as the user who asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "metrics.h"

#define NO_LABELS "'{}'::jsonb"

#define EPOCH(time) "extract(epoch FROM " time ")::float8"

#define NODE_QUERY \
	"SELECT v.* FROM ft.node_state() AS n, LATERAL (VALUES" \
	"    ('info', jsonb_build_object('server_version', current_setting('server_version')," \
	"                                'extension_version', (SELECT extversion FROM pg_extension" \
	"                                                       WHERE extname = 'fault_tolerance')), 1::float8)," \
	"    ('timestamp_seconds', " NO_LABELS ", " EPOCH("clock_timestamp()") ")," \
	"    ('start_timestamp_seconds', " NO_LABELS ", " EPOCH("pg_postmaster_start_time()") ")," \
	"    ('node_in_recovery', " NO_LABELS ", n.in_recovery::int::float8)," \
	"    ('node_as_expected', " NO_LABELS "," \
	"     (n.node_type = 'any' OR (n.node_type = 'standby') = n.in_recovery)::int::float8)," \
	"    ('node_timeline', " NO_LABELS ", n.timeline::float8)," \
	"    ('wal_bytes_total', " NO_LABELS ", (n.wal_end - '0/0'::pg_lsn)::float8)" \
	") AS v"

/* Sessions that have no state hide it from us or are no clients. */
#define SESSION_QUERY \
	"WITH session AS MATERIALIZED (" \
	"    SELECT coalesce(state, 'unknown') AS state FROM pg_stat_activity" \
	"     WHERE backend_type = 'client backend')" \
	"SELECT 'sessions', jsonb_build_object('state', s.state), count(a.state)::float8" \
	"  FROM (SELECT unnest('{active,idle,idle in transaction,idle in transaction (aborted)}'::text[])" \
	"        UNION SELECT state FROM session) AS s (state)" \
	"  LEFT JOIN session AS a USING (state) GROUP BY s.state" \
	" UNION ALL " \
	"SELECT 'sessions_limit', " NO_LABELS "," \
	"       current_setting('max_connections')::float8" \
	"       - current_setting('superuser_reserved_connections')::float8" \
	"       - coalesce(current_setting('reserved_connections', true), '0')::float8"

/* Of clients, and of those that have gone and left it prepared. */
#define TRANSACTION_QUERY \
	"WITH t AS MATERIALIZED (" \
	"    SELECT state, " EPOCH("transaction_duration") " AS age FROM ft.long_transactions('0 s')" \
	"     WHERE pid IS DISTINCT FROM pg_backend_pid()" \
	"       AND (backend_type = 'client backend' OR prepared_gid IS NOT NULL))" \
	", counted AS (" \
	"    SELECT s.state, count(t.state)::float8 AS number, coalesce(max(t.age), 0) AS oldest" \
	"      FROM (SELECT unnest('{active,idle in transaction,idle in transaction (aborted),prepared}'::text[])" \
	"            UNION SELECT state FROM t) AS s (state)" \
	"      LEFT JOIN t USING (state) GROUP BY s.state)" \
	"SELECT v.name, jsonb_build_object('state', c.state), v.value" \
	"  FROM counted AS c, LATERAL (VALUES" \
	"    ('transactions', c.number), ('transaction_oldest_seconds', c.oldest)) AS v (name, value)"

#define BLOCKING_QUERY \
	"WITH c AS MATERIALIZED (SELECT * FROM ft.blocking_chains())" \
	"SELECT v.name, " NO_LABELS ", v.value" \
	"  FROM (SELECT count(DISTINCT pid) FILTER (WHERE waiting_pid IS NOT NULL)::float8 AS blocked," \
	"               count(DISTINCT (pid, prepared_gid)) FILTER (WHERE level = 0)::float8 AS roots," \
	"               count(DISTINCT pid) FILTER (WHERE in_cycle)::float8 AS in_cycle," \
	"               coalesce(" EPOCH("max(wait_duration)") ", 0) AS longest FROM c) AS a," \
	"       LATERAL (VALUES ('blocked_sessions', a.blocked), ('blocking_roots', a.roots)," \
	"                       ('deadlocked_sessions', a.in_cycle)," \
	"                       ('blocked_longest_seconds', a.longest)) AS v (name, value)"

/*
 * Consumers of one name are told together, by the worst of them.  Those that
 * copy something once are left out: each has a name of its own.
 */
#define REPLICATION_QUERY \
	"WITH l AS (" \
	"    SELECT kind, name," \
	"           bool_and(state NOT IN ('disconnected', 'lost'))::int::float8 AS connected," \
	"           " EPOCH("max(lag)") " AS lag," \
	"           max(lag_bytes)::float8 AS lag_bytes, max(retained_bytes)::float8 AS retained_bytes" \
	"      FROM ft.replication_lag()" \
	"     WHERE state NOT IN ('backup', 'unused') AND name !~ '^pg_\\d+_sync_\\d+_\\d+$'" \
	"     GROUP BY kind, name)" \
	"SELECT v.name, jsonb_build_object('kind', l.kind, 'consumer', l.name), v.value" \
	"  FROM l, LATERAL (VALUES" \
	"    ('replication_connected', l.connected), ('replication_lag_seconds', l.lag)," \
	"    ('replication_lag_bytes', l.lag_bytes)," \
	"    ('replication_retained_bytes', l.retained_bytes)) AS v (name, value)"

#define FAILURE_QUERY \
	"SELECT v.name, " NO_LABELS ", v.value" \
	"  FROM (SELECT count(*)::float8 AS number, count(given_up_at)::float8 AS given_up," \
	"               coalesce(" EPOCH("clock_timestamp() - min(failure_timestamp)") ", 0) AS oldest" \
	"          FROM ft.unrecovered_failures) AS f," \
	"       LATERAL (VALUES ('failures_unrecovered', f.number), ('failures_given_up', f.given_up)," \
	"                       ('failure_oldest_seconds', f.oldest)) AS v (name, value)"

#define STEP_QUERY \
	"SELECT v.name, jsonb_build_object('queue', m.queue, 'mode', m.execution_mode), v.value" \
	"  FROM ft.orchestration_metrics AS m, LATERAL (VALUES" \
	"    ('steps_due', m.due::float8), ('steps_later', m.later::float8)," \
	"    ('steps_running', m.running::float8)," \
	"    ('step_oldest_due_seconds', coalesce(" EPOCH("m.oldest_due") ", 0))," \
	"    ('step_longest_running_seconds', coalesce(" EPOCH("m.longest_running") ", 0))) AS v (name, value)" \
	" UNION ALL " \
	"SELECT v.name, jsonb_build_object('queue', q.queue), v.value" \
	"  FROM ft.limited_queues() AS q, LATERAL (VALUES" \
	"    ('queue_paused', q.paused::int::float8), ('queue_max_running', q.max_running::float8)," \
	"    ('queue_rate_limit', q.rate_limit::float8)," \
	"    ('queue_started', q.started::float8)) AS v (name, value)" \
	" WHERE v.value IS NOT NULL"

#define WORKER_QUERY \
	"WITH w AS MATERIALIZED (" \
	"    SELECT worker, coalesce(datname::text, '') AS datname, count(pid)::float8 AS running," \
	"           " EPOCH("max(last_tick)") " AS last_tick, " EPOCH("max(last_error_at)") " AS last_error," \
	"           bool_or(paused_reason <> '')::int::float8 AS paused" \
	"      FROM ft.worker_status() GROUP BY worker, datname)" \
	"SELECT v.name, jsonb_build_object('worker', w.worker, 'datname', w.datname), v.value" \
	"  FROM w, LATERAL (VALUES" \
	"    ('workers', w.running), ('worker_paused', w.paused)," \
	"    ('worker_last_tick_timestamp_seconds', w.last_tick)," \
	"    ('worker_last_error_timestamp_seconds', w.last_error)) AS v (name, value)" \
	" UNION ALL " \
	"SELECT v.name, jsonb_build_object('task', t.task), v.value" \
	"  FROM ft.sampler_tasks() AS t, LATERAL (VALUES" \
	"    ('sampler_runs_total', t.runs::float8)," \
	"    ('sampler_last_run_timestamp_seconds', " EPOCH("t.last_run") ")," \
	"    ('sampler_last_duration_seconds', " EPOCH("t.last_duration") ")," \
	"    ('sampler_last_error_timestamp_seconds', " EPOCH("t.last_error_at") ")) AS v (name, value)"

/* Of the database that is asked. */
#define DEAD_TUPLES_QUERY \
	"SELECT v.name, " NO_LABELS ", v.value" \
	"  FROM (SELECT coalesce(sum(n_dead_tup), 0)::float8 AS tuples, count(*)::float8 AS tables," \
	"               count(*) FILTER (WHERE severity IN ('WARNING', 'CRITICAL'))::float8 AS bad" \
	"          FROM ft.dead_tuples()) AS d," \
	"       LATERAL (VALUES ('dead_tuples', d.tuples), ('dead_tuple_tables', d.tables)," \
	"                       ('dead_tuple_tables_over_threshold', d.bad)) AS v (name, value)"

/* The worst object of each check; unknown only where none is known. */
#define HEALTH_QUERY \
	"WITH c AS (" \
	"    SELECT check_name, max(value) AS value," \
	"           coalesce(max(CASE status WHEN 'OK' THEN 0 WHEN 'WARNING' THEN 1 WHEN 'CRITICAL' THEN 2 END), 3)::float8 AS status" \
	"      FROM ft.health_check() GROUP BY check_name)" \
	"SELECT v.name, jsonb_build_object('check_name', c.check_name), v.value" \
	"  FROM c, LATERAL (VALUES ('check_status', c.status), ('check_value', c.value)) AS v (name, value)"

#define ERROR_QUERY \
	"SELECT v.name, " NO_LABELS ", v.value" \
	"  FROM ft.error_counts() AS e, LATERAL (VALUES" \
	"    ('errors_total', e.error_count::float8), ('warnings_total', e.warning_count::float8)) AS v (name, value)"

/* In the order in which they are shown; a counter ends in _total. */
const FtMetric ft_metrics[] = {
	{"subject_up", "Whether a subject could be asked: 1, or 0 where its other series are missing."},
	{"subject_duration_seconds", "How long it took to ask a subject."},
	{"info", "Always 1; the labels tell the versions."},
	{"timestamp_seconds", "The clock of the server when these figures were gathered."},
	{"start_timestamp_seconds", "When the server was started."},
	{"node_in_recovery", "Whether this node is a standby."},
	{"node_as_expected", "Whether this node is what fault_tolerance.expected_role says."},
	{"node_timeline", "Timeline of this node."},
	{"wal_bytes_total", "End of the WAL that this node has written, or received."},
	{"sessions", "Client sessions by state."},
	{"sessions_limit", "Client sessions that can be had without a reserved connection."},
	{"transactions", "Open transactions of clients by state, prepared ones included."},
	{"transaction_oldest_seconds", "Age of the oldest open transaction in this state; 0 if there is none."},
	{"blocked_sessions", "Sessions that wait for a lock."},
	{"blocking_roots", "Sessions and prepared transactions that others wait for and that wait for nobody."},
	{"blocked_longest_seconds", "Longest wait for a lock; 0 if nobody waits."},
	{"deadlocked_sessions", "Sessions in a cycle of waits."},
	{"replication_connected", "Whether a consumer of the WAL of this node is connected, or, for kind node, its sender."},
	{"replication_lag_seconds", "Lag of a consumer in time, by what it has not yet applied."},
	{"replication_lag_bytes", "Lag of a consumer in bytes of WAL."},
	{"replication_retained_bytes", "WAL that a replication slot keeps."},
	{"failures_unrecovered", "Failures of orchestrations that are not recovered."},
	{"failures_given_up", "Failures of orchestrations that are not recovered and not tried any more."},
	{"failure_oldest_seconds", "Age of the oldest failure that is not recovered; 0 if there is none."},
	{"queue_paused", "Whether a queue is paused."},
	{"queue_max_running", "How many steps of a queue may run at a time."},
	{"queue_rate_limit", "How many steps of a queue may be started within its period."},
	{"queue_started", "Steps of a queue started within its period."},
	{"steps_due", "Steps of orchestrations that could run now and wait for an executor or a worker."},
	{"steps_later", "Steps of orchestrations that will be due at a later time."},
	{"steps_running", "Steps of orchestrations that run."},
	{"step_oldest_due_seconds", "How long a step has been due; 0 if none is."},
	{"step_longest_running_seconds", "How long a step has been running; 0 if none is."},
	{"workers", "Background workers of the extension that are running."},
	{"worker_paused", "Whether a background worker is paused."},
	{"worker_last_tick_timestamp_seconds", "When a background worker was last at work."},
	{"worker_last_error_timestamp_seconds", "When a background worker last had an error."},
	{"sampler_runs_total", "Runs of a task of the sampler."},
	{"sampler_last_run_timestamp_seconds", "When a task of the sampler last ran."},
	{"sampler_last_duration_seconds", "How long that run took."},
	{"sampler_last_error_timestamp_seconds", "When a task of the sampler last had an error."},
	{"errors_total", "Errors that reached the server log."},
	{"warnings_total", "Warnings that reached the server log."},
	{"check_status", "A check of ft.health_check(), by its worst object: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."},
	{"check_value", "The highest value of a check, in the unit that ft.health_check() shows."},
	{"dead_tuples", "Dead tuples of the tables with at least 1,000 of them, in the database that is asked."},
	{"dead_tuple_tables", "Tables with at least 1,000 dead tuples."},
	{"dead_tuple_tables_over_threshold", "Tables whose dead tuples are past the thresholds."},
	{NULL}
};

const FtMetricSubject ft_metric_subjects[] = {
	{
		.name = "node",
		.query = NODE_QUERY,
	},
	{
		.name = "session",
		.query = SESSION_QUERY,
	},
	{
		.name = "transaction",
		.query = TRANSACTION_QUERY,
	},
	{
		.name = "blocking",
		.query = BLOCKING_QUERY,
	},
	{
		.name = "replication",
		.query = REPLICATION_QUERY,
	},
	{
		.name = "failure",
		.query = FAILURE_QUERY,
	},
	{
		.name = "step",
		.query = STEP_QUERY,
	},
	{
		.name = "worker",
		.query = WORKER_QUERY,
		.needs_preload = true,
	},
	{
		.name = "error",
		.query = ERROR_QUERY,
		.needs_preload = true,
	},
	{
		.name = "health",
		.query = HEALTH_QUERY,
		.own_time = true,
	},
	{
		.name = "dead_tuples",
		.query = DEAD_TUPLES_QUERY,
		.primary_only = true,
	},
	{NULL}
};
