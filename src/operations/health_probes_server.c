/*-------------------------------------------------------------------------
 *
 * health_probes_server.c
 *	  What ft.health_check() asks of the node, its settings, the extension's
 *	  own workers and the machine.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fault_tolerance.h"
#include "operations/health.h"
#include "operations/health_sql.h"

#define NODE_QUERY \
	"SELECT 'unexpected_role', node_type, NULL::float8," \
	"       CASE WHEN node_type = 'primary' AND in_recovery" \
	"            THEN 'this node is expected to be a primary but is a standby'" \
	"            WHEN node_type = 'standby' AND NOT in_recovery" \
	"            THEN 'this node is expected to be a standby but is a primary: two nodes may be taking writes'" \
	"            ELSE format('%s, timeline %s', CASE WHEN in_recovery THEN 'standby' ELSE 'primary' END, timeline) END," \
	"       CASE WHEN node_type <> 'any' AND (node_type = 'standby') <> in_recovery THEN 'CRITICAL' ELSE 'OK' END," \
	"       CASE WHEN in_recovery" \
	"            THEN 'if the cluster failed over, set fault_tolerance.expected_role to standby here and to primary on the new primary; else SELECT pg_promote()'" \
	"            ELSE 'if it was promoted on purpose, set fault_tolerance.expected_role to primary; else stop it before clients write to it' END" \
	"  FROM ft.node_state()"

#define SETTINGS_QUERY \
	"SELECT 'unsafe_settings', name, NULL::float8, name || ' is off: a crash can destroy data', 'CRITICAL', " NO_HINT \
	"  FROM unnest('{fsync,full_page_writes}'::text[]) AS name" \
	" WHERE current_setting(name) = 'off'" \
	" UNION ALL " \
	"SELECT 'unsafe_settings', 'zero_damaged_pages', NULL, 'zero_damaged_pages is on: what cannot be read is destroyed', 'CRITICAL'," \
	"       'switch it off'" \
	" WHERE current_setting('zero_damaged_pages') = 'on'"

#define RESTART_QUERY \
	"SELECT 'pending_restart', min(name), count(*)," \
	"       CASE WHEN count(*) = 0 THEN NULL ELSE 'changed, but not before a restart: ' || left(string_agg(name, ', ' ORDER BY name), 300) END," \
	"       CASE WHEN count(*) = 0 THEN 'OK' ELSE 'WARNING' END, " NO_HINT \
	"  FROM pg_settings WHERE pending_restart"

#define VERSION_QUERY \
	"SELECT 'extension_version', e.extversion, NULL::float8," \
	"       format('the SQL is of version %s, the library of %s', e.extversion, '" FT_VERSION "')," \
	"       CASE WHEN e.extversion = '" FT_VERSION "' THEN 'OK' ELSE 'WARNING' END, " NO_HINT \
	"  FROM pg_extension AS e WHERE e.extname = '" FT_EXTENSION_NAME "'"

/*
 * What is set for a role or a session is not what the worker has.  On a
 * standby only the sampler runs.
 */
#define WORKER_QUERY \
	"WITH worker AS MATERIALIZED (" \
	"    SELECT * FROM ft.worker_status() WHERE datname = current_database() OR datname IS NULL)" \
	", task AS MATERIALIZED (" \
	"    SELECT task, every, last_run, last_error, last_error_at," \
	"           clock_timestamp() - coalesce(last_run, pg_postmaster_start_time()) AS since" \
	"      FROM ft.sampler_tasks() WHERE every IS NOT NULL)" \
	"SELECT 'worker', 'workers', NULL::float8, 'fault_tolerance.workers is off: nothing is recovered unasked, nothing sampled'," \
	"       'WARNING', 'fault_tolerance.workers = on, and restart'" \
	" WHERE current_setting('fault_tolerance.workers') = 'off'" \
	" UNION ALL " \
	"SELECT 'worker', 'launcher', NULL, 'the launcher is not running', 'CRITICAL', NULL" \
	" WHERE NOT pg_is_in_recovery() AND current_setting('fault_tolerance.workers') = 'on'" \
	"   AND NOT EXISTS (SELECT FROM worker WHERE worker = 'launcher' AND pid IS NOT NULL)" \
	" UNION ALL " \
	"SELECT 'worker', worker, NULL, format('%s: %s', worker, last_error), 'WARNING', NULL" \
	"  FROM worker WHERE last_error <> '' AND last_error_at > clock_timestamp() - interval '1 h'" \
	" UNION ALL " \
	"(SELECT 'sampler', task, " IN_SECONDS("since") "," \
	"        format('task %s last ran %s ago, though due every %s', task, " WHOLE_SECONDS("since") ", every)," \
	"        'WARNING', NULL" \
	"   FROM task WHERE since > 3 * every + interval '10 s'" \
	"    AND current_setting('fault_tolerance.workers') = 'on' ORDER BY since DESC LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'sampler', task, NULL, format('task %s: %s', task, last_error), 'WARNING', NULL" \
	"   FROM task WHERE last_error_at > greatest(last_run, clock_timestamp() - interval '1 h') LIMIT 20)" \
	" UNION ALL " \
	"SELECT 'sampler', NULL, NULL, 'fault_tolerance.workers is off: nothing is sampled', 'UNKNOWN'," \
	"       'fault_tolerance.workers = on, and restart'" \
	" WHERE current_setting('fault_tolerance.workers') = 'off'"

#define PAUSED_QUERY \
	"SELECT 'orchestration_paused', current_database()::text, NULL::float8, reason, 'WARNING', " NO_HINT \
	"  FROM ft.paused_reason() AS reason WHERE reason IS NOT NULL"

#define FAILURES_QUERY \
	"SELECT 'orchestration_failures', " NO_OBJECT ", count(*)," \
	"       CASE WHEN count(*) = 0 THEN NULL" \
	"            ELSE format('%s unrecovered, %s given up, the oldest for %s', count(*), count(given_up_at)," \
	"                        " WHOLE_SECONDS("clock_timestamp() - min(failure_timestamp)") ") END," \
	"       CASE WHEN count(*) = 0 THEN 'OK' WHEN count(given_up_at) > 0 THEN 'CRITICAL' ELSE 'WARNING' END, " NO_HINT \
	"  FROM ft.unrecovered_failures"

#define DISK_QUERY \
	"SELECT 'disk', name, greatest(used_percent, inodes_used_percent)," \
	"       format('%s: %s of %s free%s', name, pg_size_pretty(free_bytes), pg_size_pretty(total_bytes)," \
	"              CASE WHEN inodes_used_percent > used_percent THEN format(', %s %% of the inodes used', round(inodes_used_percent)) END)" \
	"           || coalesce(' (' || note || ')', '')," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.disk_space() ORDER BY 3 DESC NULLS FIRST LIMIT 20"

#define MEMORY_QUERY \
	"SELECT 'memory', CASE WHEN cgroup_used_percent > used_percent THEN 'control group' ELSE 'host' END," \
	"       greatest(used_percent, cgroup_used_percent)," \
	"       format('%s %% of %s used%s', round(greatest(used_percent, cgroup_used_percent))," \
	"              pg_size_pretty(CASE WHEN cgroup_used_percent > used_percent THEN cgroup_limit_bytes ELSE total_bytes END)," \
	"              coalesce('; ' || reason, ''))," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.host_memory()"

/* By what it has grown since the sampler saw it first. */
#define GROWTH_QUERY \
	"WITH grown AS MATERIALIZED (SELECT * FROM ft.backend_memory() WHERE growth_bytes IS NOT NULL)" \
	"(SELECT 'backend_growth', g.pid::text, g.growth_bytes::float8," \
	"        format('%s (%s) has grown by %s to %s', g.pid," \
	"               coalesce(nullif(concat_ws(', ', g.usename, nullif(g.application_name, '')), ''), g.backend_type)," \
	"               pg_size_pretty(g.growth_bytes), pg_size_pretty(g.private_bytes))," \
	"        " NO_STATUS ", " NO_HINT \
	"   FROM grown AS g ORDER BY g.growth_bytes DESC LIMIT 20)" \
	" UNION ALL " \
	"SELECT 'backend_growth', NULL, NULL, 'not sampled yet', 'UNKNOWN', NULL" \
	" WHERE NOT EXISTS (SELECT FROM grown)"

#define LOAD_QUERY \
	"SELECT 'load', " NO_OBJECT ", load5 / greatest(least(cpus, coalesce(cpu_quota, cpus)), 0.01)," \
	"       format('load %s, %s, %s on %s CPUs', round(load1::numeric, 2), round(load5::numeric, 2), round(load15::numeric, 2), cpus), " NO_STATUS ", " NO_HINT \
	"  FROM ft.host_load()"

const FtHealthProbe ft_health_probes_server[] = {
	{
		.checks = "unexpected_role",
		.query = NODE_QUERY,
	},
	{
		.checks = "unsafe_settings",
		.query = SETTINGS_QUERY,
	},
	{
		.checks = "pending_restart",
		.query = RESTART_QUERY,
	},
	{
		.checks = "extension_version",
		.query = VERSION_QUERY,
	},
	{
		.checks = "worker sampler",
		.query = WORKER_QUERY,
		.needs_preload = true,
	},
	{
		.checks = "orchestration_paused",
		.query = PAUSED_QUERY,
		.primary_only = true,
	},
	{
		.checks = "orchestration_failures",
		.query = FAILURES_QUERY,
	},
	{
		.checks = "disk",
		.query = DISK_QUERY,
		.needs_preload = true,
	},
	{
		.checks = "memory",
		.query = MEMORY_QUERY,
	},
	{
		.checks = "backend_growth",
		.query = GROWTH_QUERY,
		.needs_preload = true,
	},
	{
		.checks = "load",
		.query = LOAD_QUERY,
	},
	{NULL}
};
