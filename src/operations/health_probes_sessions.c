/*-------------------------------------------------------------------------
 *
 * health_probes_sessions.c
 *	  What ft.health_check() asks of sessions, transactions and locks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "operations/health.h"
#include "operations/health_sql.h"

#define WHO \
	"format('%s (%s)', a.pid, concat_ws(', ', a.usename, nullif(a.application_name, '')))"

/*
 * One look at all sessions.  A session that only superusers may have is free
 * for nobody else; those of 16 and later that pg_use_reserved_connections has
 * are counted as reserved too.
 */
#define SESSIONS_QUERY \
	"WITH a AS MATERIALIZED (" \
	"    SELECT pid, usename, application_name, backend_type, state, wait_event_type," \
	"           clock_timestamp() - state_change AS in_state," \
	"           clock_timestamp() - query_start AS in_query," \
	"           clock_timestamp() - xact_start AS in_transaction" \
	"      FROM pg_stat_activity WHERE pid <> pg_backend_pid())" \
	", used AS (" \
	"    SELECT count(*) FILTER (WHERE backend_type = 'client backend') + 1 AS sessions," \
	"           current_setting('max_connections')::int AS all_slots," \
	"           current_setting('superuser_reserved_connections')::int AS for_superusers," \
	"           coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved" \
	"      FROM a)" \
	"SELECT 'connections', " NO_OBJECT "," \
	"       100.0 * u.sessions / (u.all_slots - u.for_superusers - u.reserved)," \
	"       format('%s of %s', u.sessions, u.all_slots - u.for_superusers - u.reserved)," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM used AS u" \
	" UNION ALL " \
	"SELECT 'superuser_reserved', NULL, u.all_slots - u.sessions," \
	"       CASE WHEN u.for_superusers = 0 THEN 'no connection is reserved for superusers'" \
	"            ELSE format('%s free, of which %s are for superusers', u.all_slots - u.sessions, u.for_superusers) END," \
	"       CASE WHEN u.for_superusers = 0 THEN 'WARNING'" \
	"            WHEN u.all_slots - u.sessions <= u.for_superusers THEN 'CRITICAL' ELSE 'OK' END, NULL" \
	"  FROM used AS u" \
	" UNION ALL " \
	"(SELECT 'idle_in_transaction', a.pid::text, " IN_SECONDS("a.in_state") "," \
	"        " WHO " || ' has been idle in a transaction for ' || " WHOLE_SECONDS("a.in_state") ", NULL, NULL" \
	"   FROM a WHERE a.state LIKE 'idle in transaction%' ORDER BY a.in_state DESC LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'active_query', a.pid::text, " IN_SECONDS("a.in_query") "," \
	"        " WHO " || ' has been running a statement for ' || " WHOLE_SECONDS("a.in_query") ", NULL, NULL" \
	"   FROM a WHERE a.state = 'active' AND a.backend_type = 'client backend'" \
	"  ORDER BY a.in_query DESC LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'transaction', a.pid::text, " IN_SECONDS("a.in_transaction") "," \
	"        " WHO " || ' has had a transaction open for ' || " WHOLE_SECONDS("a.in_transaction") ", NULL, NULL" \
	"   FROM a WHERE a.in_transaction IS NOT NULL" \
	"    AND a.backend_type NOT IN ('autovacuum worker', 'parallel worker', 'walsender')" \
	"  ORDER BY a.in_transaction DESC LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'prepared_transaction', p.gid, " IN_SECONDS("clock_timestamp() - p.prepared") "," \
	"        format('%L of %s in %s was prepared %s ago', p.gid, p.owner, p.database," \
	"               " WHOLE_SECONDS("clock_timestamp() - p.prepared") "), NULL," \
	"        format('in database %I: ROLLBACK PREPARED %L, or COMMIT PREPARED if its coordinator decided so', p.database, p.gid)" \
	"   FROM pg_prepared_xacts AS p ORDER BY p.prepared LIMIT 20)"

#define LOCKS_QUERY \
	"WITH waiter AS MATERIALIZED (" \
	"    SELECT pid, clock_timestamp() - min(wait_start) AS waited," \
	"           string_agg(DISTINCT coalesce(nullif(blocker_pid, 0)::text, 'prepared ' || prepared_gid), ', ') AS blockers," \
	"           min(lock_object) AS lock_object" \
	"      FROM ft.blocking_edges() GROUP BY pid)" \
	"(SELECT 'lock_wait', pid::text, " IN_SECONDS("waited") "," \
	"        format('%s has been waiting for %s for %s', pid, left(blockers, 40), " WHOLE_SECONDS("waited") ")," \
	"        " NO_STATUS ", " NO_HINT \
	"   FROM waiter WHERE waited IS NOT NULL ORDER BY waited DESC LIMIT 20)" \
	" UNION ALL " \
	"SELECT 'blocked_sessions', NULL, count(*), format('%s wait for others for longer than a second', count(*)), NULL, NULL" \
	"  FROM waiter WHERE waited >= '1 s'"

#define LOCK_TABLE_QUERY \
	"SELECT 'lock_table', " NO_OBJECT ", used_percent," \
	"       format('%s locks of %s, %s holders of %s', locks, lock_capacity, holders, holder_capacity)," \
	"       " NO_STATUS ", hint" \
	"  FROM ft.lock_table()"

/*
 * Of the last 10 minutes, all applications together; the message names the one
 * that rolled back most since counting began.  A few transactions make no ratio.
 */
#define ROLLBACKS_QUERY \
	"SELECT 'rollbacks', " NO_OBJECT "," \
	"       CASE WHEN r.commits + r.rollbacks >= 100 THEN 100.0 * r.rollbacks / (r.commits + r.rollbacks) END," \
	"       CASE WHEN r.covered IS NULL THEN 'not sampled yet'" \
	"            ELSE format('%s of %s transactions in %s', r.rollbacks, r.commits + r.rollbacks," \
	"                        " WHOLE_SECONDS("r.covered") ") || coalesce(', most by ' || w.application_name, '') END," \
	"       CASE WHEN r.covered IS NOT NULL AND r.commits + r.rollbacks < 100 THEN 'OK' END, " NO_HINT \
	"  FROM ft.recent_outcomes('10 min') AS r" \
	"  LEFT JOIN (SELECT nullif(application_name, '') AS application_name FROM ft.session_outcome_counts()" \
	"              WHERE rollbacks > 0 ORDER BY rollbacks DESC LIMIT 1) AS w ON true"

#define VANISHED_QUERY \
	"SELECT 'vanished_clients', (array_agg(coalesce(pid::text, prepared_gid)))[1], count(*)," \
	"       CASE WHEN count(*) = 0 THEN 'no client left anything behind'" \
	"            ELSE left(string_agg(DISTINCT coalesce(pid::text, quote_literal(prepared_gid)) || ': ' || evidence, '; '), 300) END," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.vanished_clients()"

#define ERRORS_QUERY \
	"SELECT 'error_rate', top_sqlstate, errors_per_second," \
	"       CASE WHEN error_count = 0 THEN 'no error in ' || " WHOLE_SECONDS("covered") \
	"            ELSE format('%s errors in %s, most %s (%s), most by %s', error_count, " WHOLE_SECONDS("covered") "," \
	"                        top_sqlstate, top_condition_name, coalesce(nullif(top_application_name, ''), 'an application without a name')) END," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.error_rate()"

#define DEADLOCKS_QUERY \
	"SELECT 'deadlocks', " NO_OBJECT ", count(DISTINCT deadlock_id)," \
	"       CASE WHEN count(*) = 0 THEN 'none in the last minute'" \
	"            ELSE format('%s in the last minute, the last at %s', count(DISTINCT deadlock_id), max(deadlock_time)) END," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.deadlocks() WHERE deadlock_time > clock_timestamp() - interval '1 min'"

/*
 * How many there are in a minute, of the last 10 minutes; where so many are not
 * kept, of the time that is.  Some are slow on every server.
 */
#define SLOW_QUERY \
	"WITH kept AS MATERIALIZED (SELECT * FROM ft.slow_statements())," \
	"     covered AS (" \
	"    SELECT CASE WHEN count(*) > 0.9 * current_setting('fault_tolerance.slow_statement_entries')::int" \
	"                THEN greatest(least(clock_timestamp() - min(query_end), '10 min'), '1 s')" \
	"                ELSE interval '10 min' END AS time" \
	"      FROM kept)," \
	"     slow AS (" \
	"    SELECT count(*) AS statements, max(duration) AS longest," \
	"           mode() WITHIN GROUP (ORDER BY application_name) AS application" \
	"      FROM kept" \
	"     WHERE NOT nested AND query_end > clock_timestamp() - interval '10 min'" \
	"       AND " IN_SECONDS("duration") " >=" \
	"           (SELECT warning FROM ft.thresholds WHERE check_name = 'slow_query_duration'))" \
	"SELECT 'slow_query', nullif(application, ''), round(60 * statements / " IN_SECONDS("time") ", 1)," \
	"       CASE WHEN statements = 0 THEN 'none in the last 10 minutes'" \
	"            ELSE format('%s in %s, the slowest took %s, most by %s', statements, " WHOLE_SECONDS("time") ", " WHOLE_SECONDS("longest") "," \
	"                        coalesce(nullif(application, ''), 'an application without a name')) END," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM slow, covered"

const FtHealthProbe ft_health_probes_sessions[] = {
	{
		.checks = "connections superuser_reserved idle_in_transaction active_query transaction prepared_transaction",
		.query = SESSIONS_QUERY,
	},
	{
		.checks = "lock_wait blocked_sessions",
		.query = LOCKS_QUERY,
	},
	{
		.checks = "lock_table",
		.query = LOCK_TABLE_QUERY,
	},
	{
		.checks = "rollbacks",
		.query = ROLLBACKS_QUERY,
		.needs_preload = true,
	},
	{
		.checks = "vanished_clients",
		.query = VANISHED_QUERY,
	},
	{
		.checks = "error_rate",
		.query = ERRORS_QUERY,
		.needs_preload = true,
	},
	{
		.checks = "deadlocks",
		.query = DEADLOCKS_QUERY,
		.needs_preload = true,
	},
	{
		.checks = "slow_query",
		.query = SLOW_QUERY,
		.needs_preload = true,
	},
	{NULL}
};
