/*-------------------------------------------------------------------------
 *
 * health_probes_data.c
 *	  What ft.health_check() asks of tables, vacuum and what is on disk.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "operations/health.h"
#include "operations/health_sql.h"

/* From what size on objects are looked at; users may set any number, or none. */
#define LOOKED_AT_FROM(threshold) \
	"(SELECT greatest(least(coalesce(warning, critical, 0), 1e18), 0)::bigint" \
	"   FROM ft.thresholds WHERE check_name = '" threshold "')"

#define DEAD_TUPLES_QUERY \
	"SELECT 'dead_tuple_percent', format('%I.%I', schemaname, relname), dead_tuple_percent," \
	"       format('%I.%I has %s dead tuples, %s %%', schemaname, relname, n_dead_tup, round(dead_tuple_percent))," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.dead_tuples(" LOOKED_AT_FROM("dead_tuples") ")" \
	" ORDER BY dead_tuple_percent DESC LIMIT 20"

#define BLOAT_QUERY \
	"SELECT 'bloat', format('%I.%I', schemaname, relname), bloat_percent," \
	"       format('%s %I.%I: about %s of %s hold no data', kind, schemaname, relname, pg_size_pretty(bloat_bytes)," \
	"              pg_size_pretty(relation_size))," \
	"       severity, " NO_HINT \
	"  FROM ft.bloat_estimate(" LOOKED_AT_FROM("bloat_size") ")" \
	" WHERE severity IN ('WARNING', 'CRITICAL') ORDER BY bloat_bytes DESC LIMIT 20"

/* For each horizon its oldest holder; the age in time is not always known. */
#define HORIZON_QUERY \
	"SELECT 'xmin_horizon', coalesce(slot_name::text, gid, pid::text, kind), " IN_SECONDS("age") "," \
	"       format('%s %s keeps vacuum from what %s transactions left%s', kind," \
	"              coalesce(slot_name::text, quote_literal(gid), pid::text), xid_age," \
	"              coalesce(', for ' || " WHOLE_SECONDS("age") ", ''))," \
	"       CASE WHEN age IS NULL AND xid_age < 1000000 THEN 'OK' END, sql" \
	"  FROM ft.xmin_horizon() WHERE holds AND horizon = 'data' AND pid IS DISTINCT FROM pg_backend_pid()" \
	" ORDER BY age DESC NULLS LAST LIMIT 20"

/*
 * How far each database is on the way to where the server stops to take
 * writes, and to where autovacuum freezes by force.
 */
#define AGES_QUERY \
	"WITH d AS MATERIALIZED (SELECT * FROM ft.freeze_age())" \
	"(SELECT 'xid_age', datname::text, stop_percent," \
	"        format('database %I is %s transactions old%s', datname, xid_age," \
	"               coalesce(', the limit comes in ' || " WHOLE_SECONDS("time_left") ", '')), " NO_STATUS ", " NO_HINT \
	"   FROM d ORDER BY stop_percent DESC LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'multixact_age', datname::text, multixact_stop_percent," \
	"        format('database %I is %s multixacts old%s', datname, multixact_age," \
	"               coalesce(', the limit comes in ' || " WHOLE_SECONDS("multixact_time_left") ", '')), NULL, NULL" \
	"   FROM d ORDER BY multixact_stop_percent DESC LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'freeze_age', datname::text, greatest(freeze_percent, multixact_freeze_percent)," \
	"        format('database %I is at %s %% of %s, oldest: %s', datname," \
	"               round(greatest(freeze_percent, multixact_freeze_percent)::numeric)," \
	"               CASE WHEN multixact_freeze_percent > freeze_percent THEN 'autovacuum_multixact_freeze_max_age'" \
	"                    ELSE 'autovacuum_freeze_max_age' END," \
	"               coalesce(CASE WHEN multixact_freeze_percent > freeze_percent THEN oldest_multixact_relation" \
	"                             ELSE oldest_relation END, 'not known from here')), NULL, NULL" \
	"   FROM d ORDER BY 3 DESC LIMIT 20)"

/* All workers busy, since the one that began last. */
#define AUTOVACUUM_QUERY \
	"WITH w AS (" \
	"    SELECT count(*) AS workers, clock_timestamp() - max(backend_start) AS busy," \
	"           current_setting('autovacuum_max_workers')::int AS all_workers" \
	"      FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')" \
	"SELECT 'autovacuum_busy', " NO_OBJECT ", CASE WHEN workers < all_workers THEN 0 ELSE " IN_SECONDS("busy") " END," \
	"       format('%s of %s workers are busy%s', workers, all_workers," \
	"              CASE WHEN workers >= all_workers THEN ', all of them for ' || " WHOLE_SECONDS("busy") " END)," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM w" \
	" UNION ALL " \
	"SELECT 'autovacuum', name, NULL, name || ' is off: nothing is vacuumed but against wraparound', 'CRITICAL', NULL" \
	"  FROM unnest('{autovacuum,track_counts}'::text[]) AS name" \
	" WHERE current_setting(name) = 'off'"

#define STATISTICS_QUERY \
	"SELECT 'stale_statistics', format('%I.%I', schemaname, relname), changed_percent," \
	"       CASE WHEN never_analyzed THEN format('%I.%I was never analyzed', schemaname, relname)" \
	"            ELSE format('%s rows of %I.%I changed since it was analyzed', n_mod_since_analyze, schemaname, relname) END," \
	"       " NO_STATUS ", sql" \
	"  FROM ft.stale_statistics() LIMIT 20"

#define SEQUENCES_QUERY \
	"SELECT 'sequence', format('%I.%I', schemaname, sequencename), used_percent," \
	"       format('%I.%I has given out %s %% of its values%s', schemaname, sequencename, round(used_percent::numeric, 1)," \
	"              coalesce(' for ' || column_name || ' (' || column_type || ')', ''))," \
	"       severity, " NO_HINT \
	"  FROM ft.sequences() LIMIT 20"

/*
 * An index that is being built is invalid meanwhile.  Which are, the server
 * shows for each running build, and its own locks tell for one that waits.
 */
#define INDEXES_QUERY \
	"WITH invalid AS MATERIALIZED (" \
	"    SELECT c.relname, n.nspname, t.relname AS table_name" \
	"      FROM pg_index AS i" \
	"      JOIN pg_class AS c ON c.oid = i.indexrelid" \
	"      JOIN pg_class AS t ON t.oid = i.indrelid" \
	"      JOIN pg_namespace AS n ON n.oid = c.relnamespace" \
	"     WHERE NOT i.indisvalid AND c.relkind = 'i'" \
	"       AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p" \
	"                        WHERE p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())" \
	"                          AND p.relid = i.indrelid))" \
	"SELECT 'invalid_indexes', min(format('%I.%I', nspname, relname)), count(*)," \
	"       CASE WHEN count(*) = 0 THEN 'every index is valid'" \
	"            ELSE left(string_agg(format('%I.%I on %I', nspname, relname, table_name), ', ' ORDER BY nspname, relname), 300) END," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM invalid"

/* The shared relations have the database 0. */
#define CHECKSUMS_QUERY \
	"WITH failure AS (" \
	"    SELECT datname, pg_stat_get_db_checksum_failures(oid) AS failures," \
	"           pg_stat_get_db_checksum_last_failure(oid) AS last_failure" \
	"      FROM (SELECT oid, datname FROM pg_database UNION ALL SELECT 0, 'shared relations') AS d)" \
	"SELECT 'checksum_failures', CASE WHEN failures > 0 THEN datname::text END, failures," \
	"       CASE WHEN failures > 0 THEN format('%s pages of %s failed their checksum, the last at %s', failures, datname, last_failure)" \
	"            WHEN failures = 0 THEN 'no page failed its checksum'" \
	"            ELSE 'data checksums are off' END," \
	"       CASE WHEN failures IS NULL THEN 'OK' END, " NO_HINT \
	"  FROM failure ORDER BY failures DESC NULLS LAST LIMIT 20"

const FtHealthProbe ft_health_probes_data[] = {
	{
		.checks = "dead_tuple_percent",
		.query = DEAD_TUPLES_QUERY,
		.primary_only = true,
	},
	{
		.checks = "bloat",
		.query = BLOAT_QUERY,
	},
	{
		.checks = "xmin_horizon",
		.query = HORIZON_QUERY,
		.primary_only = true,
	},
	{
		.checks = "xid_age multixact_age freeze_age",
		.query = AGES_QUERY,
	},
	{
		.checks = "autovacuum autovacuum_busy",
		.query = AUTOVACUUM_QUERY,
		.primary_only = true,
	},
	{
		.checks = "stale_statistics",
		.query = STATISTICS_QUERY,
		.primary_only = true,
	},
	{
		.checks = "sequence",
		.query = SEQUENCES_QUERY,
	},
	{
		.checks = "invalid_indexes",
		.query = INDEXES_QUERY,
	},
	{
		.checks = "checksum_failures",
		.query = CHECKSUMS_QUERY,
	},
	{NULL}
};
