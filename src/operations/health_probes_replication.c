/*-------------------------------------------------------------------------
 *
 * health_probes_replication.c
 *	  What ft.health_check() asks of replication, WAL and the archiver.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "operations/health.h"
#include "operations/health_sql.h"

/*
 * The lag is looked for once for all that depends on it.  A standby that is
 * told to stay behind is late only past that, and in bytes by what it lacks.
 */
#define LAG_QUERY \
	"WITH lag AS MATERIALIZED (" \
	"    SELECT l.*," \
	"           CASE l.kind WHEN 'node' THEN 'this standby'" \
	"                       WHEN 'logical' THEN 'logical consumer ' || quote_ident(l.name)" \
	"                       ELSE 'standby ' || quote_ident(l.name) END AS who," \
	"           l.lag - CASE WHEN l.kind = 'node' THEN current_setting('recovery_min_apply_delay')::interval" \
	"                        ELSE interval '0' END AS late," \
	"           CASE WHEN l.kind = 'node' AND current_setting('recovery_min_apply_delay')::interval > '0'" \
	"                THEN l.flush_lag_bytes ELSE l.lag_bytes END AS late_bytes" \
	"      FROM ft.replication_lag() AS l WHERE l.state <> 'unused')" \
	"(SELECT 'replication_lag', name, " IN_SECONDS("late") "," \
	"        format('replication lag of %s is %s', who, coalesce(round(extract(epoch FROM lag), 1) || ' s', 'not known'))," \
	"        CASE WHEN late IS NULL THEN 'OK' END, note" \
	"   FROM lag ORDER BY late DESC NULLS LAST LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'replication_lag_bytes', name, late_bytes," \
	"        format('%s is %s behind', who, coalesce(pg_size_pretty(lag_bytes), 'by an unknown amount'))," \
	"        CASE WHEN late_bytes IS NULL THEN 'OK' END, note" \
	"   FROM lag ORDER BY late_bytes DESC NULLS LAST LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'replication_disconnected', name, retained_bytes," \
	"        CASE WHEN kind = 'node' THEN 'this standby receives no WAL'" \
	"             WHEN state = 'lost' THEN format('slot %I lost WAL that its consumer needs', name)" \
	"             ELSE format('nobody is connected to slot %I, which keeps %s of WAL', name, pg_size_pretty(retained_bytes)) END," \
	"        'WARNING'," \
	"        CASE WHEN kind = 'node' THEN 'look for the reason in the server log; see primary_conninfo'" \
	"             WHEN state = 'lost' THEN 'rebuild the consumer, then drop the slot'" \
	"             ELSE 'bring the consumer back, or drop the slot before it fills the disk' END" \
	"   FROM lag WHERE state IN ('disconnected', 'lost') ORDER BY retained_bytes DESC NULLS LAST LIMIT 20)" \
	" UNION ALL " \
	"SELECT 'replay_paused', name, " IN_SECONDS("lag") ", 'replay is paused on this standby', 'WARNING', note" \
	"  FROM lag WHERE kind = 'node' AND state LIKE 'replay pause%'"

#define SLOTS_QUERY \
	"WITH slot AS MATERIALIZED (SELECT * FROM ft.replication_slots() WHERE state <> 'unused')" \
	"(SELECT 'slot_retained', slot_name::text, retained_bytes::float8," \
	"        format('slot %I (%s) keeps %s of WAL', slot_name, state, coalesce(pg_size_pretty(retained_bytes), 'nothing'))," \
	"        CASE WHEN wal_status = 'unreserved' THEN 'CRITICAL' WHEN retained_bytes IS NULL THEN 'OK' END," \
	"        CASE WHEN wal_status = 'unreserved' THEN hint END" \
	"   FROM slot ORDER BY wal_status = 'unreserved' DESC NULLS LAST, retained_bytes DESC NULLS LAST LIMIT 20)" \
	" UNION ALL " \
	"(SELECT 'slot_inactive', slot_name::text, " IN_SECONDS("inactive_duration") "," \
	"        CASE WHEN inactive_duration IS NULL THEN format('slot %I has no consumer; since when is not known yet', slot_name)" \
	"             ELSE format('slot %I has had no consumer for %s', slot_name, " WHOLE_SECONDS("inactive_duration") ") END," \
	"        NULL, NULL" \
	"   FROM slot WHERE state = 'inactive' ORDER BY inactive_duration DESC NULLS LAST LIMIT 20)" \
	" UNION ALL " \
	"SELECT 'slot_lost', slot_name::text, NULL, format('slot %I was invalidated: %s', slot_name, invalidation_cause), 'CRITICAL', NULL" \
	"  FROM slot WHERE state = 'lost'"

#define WAL_QUERY \
	"SELECT 'pg_wal_size', " NO_OBJECT ", wal_size_percent," \
	"       format('%s in %s files, max_wal_size is %s', pg_size_pretty(wal_size), wal_files, pg_size_pretty(max_wal_size))," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.wal_rate()"

#define CHECKPOINTS_QUERY \
	"SELECT 'requested_checkpoints', " NO_OBJECT ", checkpoints_requested," \
	"       CASE WHEN covered IS NULL THEN 'not sampled yet'" \
	"            ELSE format('%s requested, %s by time, in %s', checkpoints_requested, checkpoints_timed," \
	"                        " WHOLE_SECONDS("covered") ") END," \
	"       " NO_STATUS ", " NO_HINT \
	"  FROM ft.wal_activity('10 min')"

#define ARCHIVER_QUERY \
	"WITH archiver AS MATERIALIZED (" \
	"    SELECT * FROM ft.archiver() WHERE state NOT IN ('off', 'left to the primary'))" \
	"SELECT 'archive_waiting', oldest_waiting, files_waiting::float8," \
	"       format('%s%s WAL files wait for the archiver%s', CASE WHEN files_waiting_complete THEN '' ELSE 'at least ' END," \
	"              files_waiting, coalesce(', the oldest for ' || " WHOLE_SECONDS("clock_timestamp() - waiting_since") ", ''))," \
	"       CASE WHEN state = 'not configured' THEN 'WARNING' END, hint" \
	"  FROM archiver" \
	" UNION ALL " \
	"SELECT 'archiver_failing', last_failed_wal, failures_since_success," \
	"       CASE WHEN failing THEN format('the archiver fails: %s could not be archived, last tried %s ago', last_failed_wal," \
	"                                     " WHOLE_SECONDS("clock_timestamp() - last_failed_time") ")" \
	"            ELSE format('%s archived, the last %s ago', archived_count," \
	"                        coalesce(" WHOLE_SECONDS("clock_timestamp() - last_archived_time") "::text, 'not yet')) END," \
	"       NULL, hint" \
	"  FROM archiver"

const FtHealthProbe ft_health_probes_replication[] = {
	{
		.checks = "replication_lag replication_lag_bytes replication_disconnected replay_paused",
		.query = LAG_QUERY,
	},
	{
		.checks = "slot_retained slot_inactive slot_lost",
		.query = SLOTS_QUERY,
	},
	{
		.checks = "pg_wal_size",
		.query = WAL_QUERY,
	},
	{
		.checks = "archive_waiting archiver_failing",
		.query = ARCHIVER_QUERY,
	},
	{
		.checks = "requested_checkpoints",
		.query = CHECKPOINTS_QUERY,
		.needs_preload = true,
	},
	{NULL}
};
