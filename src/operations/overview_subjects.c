/*-------------------------------------------------------------------------
 *
 * overview_subjects.c
 *	  What ft.overview asks, subject by subject.
 *
 * Each query answers severity, summary and what to type next, and at least
 * one row where its subject is well: that it was looked at is an answer too.
 * They run with the search_path of pg_catalog, as the user who asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "overview.h"

/* A query text on one line, cut. */
#define ONE_LINE(text, length) \
	"left(regexp_replace(" text ", '\\s+', ' ', 'g'), " length ")"

/* An interval in whole seconds. */
#define SECONDS(interval) "date_trunc('second', " interval ")"

#define NODE_QUERY \
	"SELECT CASE WHEN as_expected THEN 'OK' ELSE 'CRITICAL' END," \
	"       CASE WHEN as_expected THEN format('%s, timeline %s, up %s', lower(status), timeline," \
	"                                         " SECONDS("clock_timestamp() - pg_postmaster_start_time()") ")" \
	"            ELSE format('expected to be %s, but is %s', node_type, lower(status)) END," \
	"       CASE WHEN as_expected THEN 'TABLE ft.fault_tolerance_monitoring'" \
	"            ELSE 'SELECT * FROM ft.check_fault_tolerance_alerts()' END" \
	"  FROM (SELECT *, CASE WHEN in_recovery THEN 'STANDBY' ELSE 'PRIMARY' END AS status," \
	"               node_type = 'any' OR (node_type = 'standby') = in_recovery AS as_expected" \
	"          FROM ft.node_state()) AS n"

/*
 * A tree's rows stand together, behind their root.  On a busy server somebody
 * waits at any time: judged are those who have for a second, and the longest.
 * How long is not known while the lock table is not to be had.
 */
#define BLOCKING_QUERY \
	"WITH chain AS MATERIALIZED (" \
	"    SELECT c.*, count(*) FILTER (WHERE c.level = 0) OVER (ORDER BY c.place) AS tree" \
	"      FROM (SELECT *, row_number() OVER () AS place FROM ft.blocking_chains()) AS c)" \
	", root AS (" \
	"    SELECT r.pid, r.prepared_gid, r.usename, r.state, r.victims_total, w.longest," \
	"           CASE WHEN w.longest IS NULL THEN 'WARNING'" \
	"                ELSE ft.worst_severity(ft.severity('blocked_sessions', w.waiting)," \
	"                                       ft.severity('lock_wait', extract(epoch FROM w.longest)::float8)) END AS severity" \
	"      FROM chain AS r" \
	"      JOIN (SELECT tree, max(wait_duration) AS longest," \
	"                   count(DISTINCT pid) FILTER (WHERE wait_duration >= '1 s') AS waiting" \
	"              FROM chain GROUP BY tree) AS w USING (tree)" \
	"     WHERE r.level = 0)" \
	"(SELECT severity," \
	"        format('%s%s blocks %s, longest %s'," \
	"               CASE WHEN prepared_gid IS NULL THEN pid::text" \
	"                    ELSE 'prepared ' || quote_literal(left(prepared_gid, 20)) END," \
	"               coalesce(' (' || nullif(concat_ws(', ', usename, state), '') || ')', '')," \
	"               victims_total, " SECONDS("longest") ")," \
	"        'TABLE ft.lock_tree'" \
	"   FROM root ORDER BY array_position('{CRITICAL,WARNING,OK}', severity)," \
	"                      victims_total DESC, longest DESC LIMIT 3)" \
	" UNION ALL " \
	"SELECT 'OK', 'nobody waits for a lock', 'TABLE ft.lock_tree'" \
	" WHERE NOT EXISTS (SELECT FROM root)"

/* A vacuum of a large table takes its time, and holds nobody back. */
#define TRANSACTION_QUERY \
	"WITH oldest AS (" \
	"    SELECT * FROM ft.long_transactions('0 s')" \
	"     WHERE pid IS DISTINCT FROM pg_backend_pid()" \
	"       AND coalesce(backend_type, '') NOT IN ('autovacuum worker', 'walsender') LIMIT 1)" \
	"SELECT CASE WHEN severity = 'INFO' AND transaction_duration < '60 s' THEN 'OK' ELSE severity END," \
	"       format('%s (%s) open for %s%s'," \
	"              coalesce(pid::text, 'prepared ' || quote_literal(left(prepared_gid, 20)))," \
	"              concat_ws(', ', usename, CASE WHEN pid IS NOT NULL THEN state END)," \
	"              coalesce(" SECONDS("transaction_duration") "::text, 'an unknown time')," \
	"              coalesce(': ' || " ONE_LINE("query", "30") ", ''))," \
	"       'TABLE ft.long_transactions_summary'" \
	"  FROM oldest" \
	" UNION ALL " \
	"SELECT 'OK', 'no other is open', 'TABLE ft.long_transactions_summary'" \
	" WHERE NOT EXISTS (SELECT FROM oldest)"

/*
 * Those that need a look first, then by lag.  A standby that is told to stay
 * behind is late only past that.
 */
#define REPLICATION_QUERY \
	"WITH late AS MATERIALIZED (" \
	"    SELECT l.*, ft.severity('replication_lag', extract(epoch FROM" \
	"               l.lag - CASE WHEN l.kind = 'node' THEN current_setting('recovery_min_apply_delay')::interval" \
	"                            ELSE '0' END)::float8) AS by_lag" \
	"      FROM ft.replication_lag() AS l WHERE l.state <> 'unused')" \
	", lag AS (" \
	"    SELECT *, CASE WHEN state = 'lost' OR by_lag = 'CRITICAL' THEN 'CRITICAL'" \
	"                   WHEN state = 'disconnected' OR by_lag = 'WARNING' THEN 'WARNING'" \
	"                   ELSE 'OK' END AS severity" \
	"      FROM late)" \
	"(SELECT severity," \
	"        format('%s %s: %s behind%s'," \
	"               CASE kind WHEN 'node' THEN 'this standby' ELSE name END, state," \
	"               coalesce(" SECONDS("lag") "::text, 'unknown time')," \
	"               coalesce(', ' || pg_size_pretty(lag_bytes), ''))," \
	"        'TABLE ft.fault_tolerance_monitoring'" \
	"   FROM lag ORDER BY array_position('{CRITICAL,WARNING,OK}', severity)," \
	"                     lag DESC NULLS LAST, lag_bytes DESC NULLS LAST LIMIT 2)" \
	" UNION ALL " \
	"SELECT 'OK', 'nobody is fed by this node', 'TABLE ft.fault_tolerance_monitoring'" \
	" WHERE NOT EXISTS (SELECT FROM lag)"

#define FAILURE_QUERY \
	"WITH failure AS (" \
	"    SELECT count(*) AS number, count(given_up_at) AS given_up," \
	"           clock_timestamp() - min(failure_timestamp) AS age," \
	"           (array_agg(failure_message ORDER BY given_up_at IS NULL, failure_timestamp))[1] AS message" \
	"      FROM ft.unrecovered_failures)" \
	"SELECT CASE WHEN number = 0 THEN 'OK' WHEN given_up > 0 THEN 'CRITICAL' ELSE 'WARNING' END," \
	"       CASE WHEN number = 0 THEN 'none is unrecovered'" \
	"            ELSE format('%s unrecovered, %s given up, oldest %s: %s', number, given_up," \
	"                        " SECONDS("age") ", " ONE_LINE("message", "40") ") END," \
	"       'TABLE ft.unrecovered_failures'" \
	"  FROM failure"

/*
 * What is set for a role or a session is not what the worker has; and where
 * there is a worker, it says itself why it does nothing.
 */
#define WORKER_QUERY \
	"WITH worker AS MATERIALIZED (" \
	"    SELECT * FROM ft.worker_status()" \
	"     WHERE worker = 'launcher' OR datname = current_database())" \
	", problem AS (" \
	"    SELECT 'WARNING' AS severity, 'fault_tolerance.workers is off' AS summary," \
	"           'fault_tolerance.workers = on, and restart' AS next" \
	"     WHERE current_setting('fault_tolerance.workers') = 'off'" \
	"    UNION ALL" \
	"    SELECT 'CRITICAL', 'the launcher is not running', 'SELECT * FROM ft.worker_status()'" \
	"     WHERE NOT pg_is_in_recovery() AND current_setting('fault_tolerance.workers') = 'on'" \
	"       AND NOT EXISTS (SELECT FROM worker WHERE worker = 'launcher' AND pid IS NOT NULL)" \
	"    UNION ALL" \
	"    SELECT 'WARNING', 'fault_tolerance.auto_recovery is off here'," \
	"           'SHOW fault_tolerance.auto_recovery'" \
	"      FROM pg_settings" \
	"     WHERE name = 'fault_tolerance.auto_recovery' AND setting = 'off'" \
	"       AND source NOT IN ('user', 'database user', 'client', 'session')" \
	"       AND NOT EXISTS (SELECT FROM worker WHERE paused_reason <> '')" \
	"    UNION ALL" \
	"    SELECT 'WARNING', format('%s paused: %s', worker, " ONE_LINE("paused_reason", "60") ")," \
	"           'SELECT * FROM ft.worker_status()'" \
	"      FROM worker WHERE paused_reason <> ''" \
	"    UNION ALL" \
	"    SELECT 'WARNING', format('%s: %s', worker, " ONE_LINE("last_error", "60") ")," \
	"           'SELECT * FROM ft.worker_status()'" \
	"      FROM worker WHERE last_error <> '' AND last_error_at > clock_timestamp() - interval '1 h')" \
	"(SELECT severity, summary, next FROM problem LIMIT 2)" \
	" UNION ALL " \
	"SELECT 'OK', CASE WHEN pg_is_in_recovery() THEN 'waits for the promotion of this standby'" \
	"                  ELSE format('alive, last at work %s ago'," \
	"                              coalesce((SELECT " SECONDS("clock_timestamp() - max(last_tick)") "::text" \
	"                                          FROM worker), 'not yet')) END," \
	"       'SELECT * FROM ft.worker_status()'" \
	" WHERE NOT EXISTS (SELECT FROM problem)"

/* A large table has many when all is well: judged is their share too. */
#define DEAD_TUPLES_QUERY \
	"WITH dead AS MATERIALIZED (" \
	"    SELECT *, severity <> 'OK' AS many," \
	"           severity = 'CRITICAL'" \
	"               OR (severity <> 'OK' AND ft.severity('dead_tuple_percent', dead_tuple_percent) <> 'OK') AS bad" \
	"      FROM ft.dead_tuples())" \
	", worst AS (" \
	"    SELECT *, count(*) FILTER (WHERE many) OVER () AS warnings" \
	"      FROM dead ORDER BY bad DESC, n_dead_tup DESC LIMIT 1)" \
	"SELECT CASE WHEN bad THEN 'WARNING' ELSE 'OK' END," \
	"       format('%I.%I has %s (%s %%); %s past %s', schemaname, relname," \
	"              n_dead_tup, round(dead_tuple_percent), coalesce(nullif(warnings, 0)::text, 'none')," \
	"              (SELECT coalesce(to_char(warning, 'FM999,999,999,999,999'), 'no threshold')" \
	"                 FROM ft.thresholds WHERE check_name = 'dead_tuples'))," \
	"       'TABLE ft.dead_tuples_summary'" \
	"  FROM worst" \
	" UNION ALL " \
	"SELECT 'OK', 'no table has 1,000', 'TABLE ft.dead_tuples_summary'" \
	" WHERE NOT EXISTS (SELECT FROM worst)"

/* The checks that no other subject here has rows of. */
#define HEALTH_QUERY \
	"SELECT status," \
	"       CASE WHEN status = 'OK' THEN format('%s further checks are well', checked)" \
	"            ELSE format('%s: %s%s', worst_check, worst_message," \
	"                        coalesce('; ' || nullif(critical + warning + unknown - 1, 0) || ' more', '')) END," \
	"       'TABLE ft.health_check_summary'" \
	"  FROM ft.health('{connections,lock_table,error_rate,deadlocks,vanished_clients,pg_wal_size," \
	"                   archive_waiting,archiver_failing,xid_age,multixact_age,checksum_failures,disk,memory}')"

const FtOverviewSubject ft_overview_subjects[] = {
	{
		.what = "node",
		.query = NODE_QUERY,
		.next = "SELECT * FROM ft.node_state()",
	},
	{
		.what = "blocking",
		.query = BLOCKING_QUERY,
		.next = "TABLE ft.lock_tree",
	},
	{
		.what = "transaction",
		.query = TRANSACTION_QUERY,
		.next = "SELECT * FROM ft.long_transactions()",
	},
	{
		.what = "replication",
		.query = REPLICATION_QUERY,
		.next = "SELECT * FROM ft.replication_lag()",
	},
	{
		.what = "failures",
		.query = FAILURE_QUERY,
		.next = "TABLE ft.unrecovered_failures",
	},
	{
		.what = "worker",
		.query = WORKER_QUERY,
		.next = "SELECT * FROM ft.worker_status()",
		.not_preloaded = "fault_tolerance is not preloaded: nothing is recovered unasked",
	},
	{
		.what = "dead tuples",
		.query = DEAD_TUPLES_QUERY,
		.next = "SELECT * FROM ft.dead_tuples()",
		.primary_only = true,
	},
	{
		.what = "health",
		.query = HEALTH_QUERY,
		.next = "SELECT * FROM ft.health_check()",
		.own_time = true,
	},
	{NULL}
};
