/*-------------------------------------------------------------------------
 *
 * diagnosis_storage.c
 *	  What ft.diagnose() asks about disks, WAL, replication and vacuum.
 *
 * The columns that each query answers are in diagnosis.h.  They run with the
 * search_path of pg_catalog, as the user who asks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "diagnosis.h"
#include "diagnosis_sql.h"

/*
 * A file system once, however many folders of the server are on it.  Explained
 * by pg_wal where that is on it and larger than it should be.
 */
const char	ft_ask_disk_full[] =
"WITH d AS MATERIALIZED ("
"    SELECT coalesce(device, path) AS device, array_agg(name ORDER BY name) AS names, bool_or(name = 'pg_wal') AS has_wal,"
"           max(used_percent) AS used_percent, min(free_bytes) AS free_bytes, max(total_bytes) AS total_bytes,"
"           max(inodes_used_percent) AS inodes_used_percent, max(sampled_at) AS sampled_at, ft.worst_severity(VARIADIC array_agg(severity)) AS severity"
"      FROM ft.disk_space() WHERE total_bytes IS NOT NULL GROUP BY 1)"
"SELECT 'disk',"
"       CASE WHEN d.has_wal AND (SELECT severity FROM ft.wal_rate()) IN ('WARNING', 'CRITICAL') THEN '{pg_wal}'::text[] END,"
"       d.severity,"
"       format('%s %% of the file system of %s is used, %s are free',"
"              round(greatest(d.used_percent, d.inodes_used_percent)), array_to_string(d.names, ', '), pg_size_pretty(d.free_bytes)),"
"       CASE WHEN d.inodes_used_percent > d.used_percent THEN 'it is short of inodes: there are too many files'"
"            ELSE 'data, WAL, logs, temporary files or files of others have grown' END,"
"       to_jsonb(d), d.names,"
"       CASE WHEN d.has_wal THEN 'the server stops when it cannot write WAL' ELSE 'statements that write there fail with 53100' END,"
"       NULL, NULL::bigint"
"  FROM d WHERE d.severity IN ('WARNING', 'CRITICAL')";

/* Explained by what keeps at least half of it. */
const char	ft_ask_retained_wal[] =
"WITH w AS MATERIALIZED (SELECT * FROM ft.wal_rate())"
"SELECT 'pg_wal',"
"       ARRAY(SELECT 'slot:' || s.slot_name FROM ft.replication_slots() AS s WHERE s.retained_bytes * 2 >= w.wal_size)"
"       || ARRAY(SELECT 'archiver' FROM ft.archiver() AS a"
"                 WHERE a.files_waiting * 2 >= w.wal_files"
"                    OR (a.failing AND NOT a.files_waiting_complete)),"
"       w.severity,"
"       format('pg_wal takes %s, %s %% of max_wal_size', pg_size_pretty(w.wal_size), round(w.wal_size_percent)),"
"       'WAL is kept by something, or written faster than checkpoints end',"
"       to_jsonb(w), '{pg_wal}'::text[], 'the server stops when the file system of pg_wal is full',"
"       NULL, NULL::bigint"
"  FROM w WHERE w.severity IN ('WARNING', 'CRITICAL')";

const char	ft_ask_failing_archiver[] =
"SELECT 'archiver', NULL::text[], a.severity,"
"       CASE WHEN a.failing THEN format('WAL file %s cannot be archived', a.last_failed_wal)"
"            ELSE format('%s WAL files wait for the archive', a.files_waiting) END,"
"       CASE WHEN a.archives_by IS NULL THEN 'archive_mode is on, but nothing is set to archive by'"
"            WHEN a.failing THEN a.archives_by || ' fails; the reason is in the server log'"
"            ELSE 'the archive is slower than WAL is written' END,"
"       jsonb_build_object('state', a.state, 'files_waiting', a.files_waiting, 'failures_since_success', a.failures_since_success,"
"                          'last_failed_wal', a.last_failed_wal, 'last_failed_time', a.last_failed_time,"
"                          'last_archived_wal', a.last_archived_wal, 'last_archived_time', a.last_archived_time,"
"                          'archives_by', a.archives_by, 'hint', a.hint),"
"       '{archive}'::text[],"
"       'WAL is kept until it is archived, and what is not archived is on this machine only',"
"       NULL, NULL::bigint"
"  FROM ft.archiver() AS a WHERE a.state NOT IN ('off', 'left to the primary')";

#define SLOT_EVIDENCE \
	"jsonb_build_object('slot_name', s.slot_name, 'slot_type', s.slot_type, 'datname', s.datname, 'state', s.state," \
	"                   'retained_bytes', s.retained_bytes, 'safe_wal_size', s.safe_wal_size, 'wal_status', s.wal_status," \
	"                   'inactive_since', s.inactive_since, 'invalidation_cause', s.invalidation_cause," \
	"                   'xmin_age', s.xmin_age, 'catalog_xmin_age', s.catalog_xmin_age, 'hint', s.hint)"

const char	ft_ask_abandoned_slot[] =
"SELECT 'slot:' || s.slot_name, NULL::text[], s.severity,"
"       CASE WHEN s.state = 'lost' THEN format('slot %I has lost what its consumer needs', s.slot_name)"
"            ELSE format('nobody has used slot %I%s, it keeps %s of WAL', s.slot_name,"
"                        coalesce(' for ' || " SECONDS("s.inactive_duration") ", ''), pg_size_pretty(s.retained_bytes)) END,"
"       CASE WHEN s.state = 'lost' THEN concat('WAL that it needed was removed: ', s.invalidation_cause)"
"            ELSE 'its consumer is gone, and nobody dropped the slot' END,"
"       " SLOT_EVIDENCE ", ARRAY[format('slot %I', s.slot_name)],"
"       concat_ws('; ', CASE WHEN s.state <> 'lost' THEN 'pg_wal grows until the disk is full' ELSE 'its consumer cannot go on' END,"
"                 CASE WHEN s.xmin_age IS NOT NULL OR s.catalog_xmin_age IS NOT NULL"
"                      THEN 'vacuum cannot remove rows that died since' END),"
"       s.sql, NULL::bigint"
"  FROM ft.replication_slots() AS s WHERE s.state IN ('inactive', 'lost')";

const char	ft_ask_slow_consumer[] =
"SELECT 'slot:' || s.slot_name, ARRAY['lag:' || s.slot_name], ft.severity('slot_retained', s.retained_bytes),"
"       format('the consumer of slot %I is connected, but %s behind', s.slot_name, pg_size_pretty(s.retained_bytes)),"
"       'it applies WAL more slowly than WAL is written, or waits for something on its side',"
"       " SLOT_EVIDENCE ", ARRAY[format('slot %I', s.slot_name)], 'pg_wal grows', NULL, NULL::bigint"
"  FROM ft.replication_slots() AS s WHERE s.state = 'active'";

/*
 * Disconnected consumers with a slot are told by their slot.  A standby that is
 * told to stay behind is late only past that.
 */
const char	ft_ask_replication_lag[] =
"WITH delay AS MATERIALIZED (SELECT current_setting('recovery_min_apply_delay')::interval AS delay)"
"SELECT 'lag:' || coalesce(l.slot_name, l.name), NULL::text[],"
"       CASE WHEN l.kind = 'node' AND l.state = 'disconnected' THEN 'CRITICAL'"
"            ELSE ft.worst_severity(ft.severity('replication_lag', " EPOCH("l.lag - CASE l.kind WHEN 'node' THEN d.delay ELSE '0' END") "),"
"                                   ft.severity('replication_lag_bytes', CASE WHEN l.kind = 'node' AND d.delay > '0' THEN l.flush_lag_bytes"
"                                                                             ELSE l.lag_bytes END)) END,"
"       format('%s is %s behind%s', CASE l.kind WHEN 'node' THEN 'this standby' ELSE quote_ident(l.name) END,"
"              coalesce(" SECONDS("l.lag") "::text, 'an unknown time'), coalesce(', ' || pg_size_pretty(l.lag_bytes), '')),"
"       CASE WHEN l.state LIKE 'replay pause%' THEN 'replay is paused'"
"            WHEN l.state = 'disconnected' THEN 'it receives no WAL'"
"            WHEN l.replay_lag_bytes > 0 AND coalesce(l.flush_lag_bytes, 0) * 2 < l.replay_lag_bytes"
"                 THEN 'it has the WAL but has not replayed it: a query there is in the way, or its disk or processor is slow'"
"            ELSE 'the network, or its disk, is slower than WAL is written' END,"
"       jsonb_build_object('kind', l.kind, 'name', l.name, 'state', l.state, 'lag_seconds', " EPOCH("l.lag") ", 'lag_bytes', l.lag_bytes,"
"                          'sent_lag_bytes', l.sent_lag_bytes, 'flush_lag_bytes', l.flush_lag_bytes,"
"                          'replay_lag_bytes', l.replay_lag_bytes, 'client_addr', l.client_addr, 'note', l.note),"
"       ARRAY[format('consumer %s', l.name)], 'reads there are of the past, and a failover would lose or wait for it',"
"       CASE WHEN l.kind = 'node' AND l.state LIKE 'replay pause%'"
"            THEN 'SELECT pg_catalog.pg_wal_replay_resume() WHERE pg_catalog.pg_is_in_recovery() /* as a superuser */' END,"
"       NULL::bigint"
"  FROM delay AS d, ft.replication_lag() AS l WHERE l.state NOT IN ('backup', 'unused', 'lost', 'catchup')"
"   AND (l.kind = 'node' OR l.state <> 'disconnected')";

/*
 * Explained by a horizon only where vacuum cannot freeze much beyond it: of
 * tables of this database by any, of others by that of shared tables, of which
 * all have a part.  On a busy server somebody always holds each.
 */
#define BY_MULTIXACT "f.multixact_stop_percent > f.stop_percent"
#define FREEZE_BY_MULTIXACT "f.multixact_freeze_percent > f.freeze_percent"
#define OLDEST "CASE WHEN " FREEZE_BY_MULTIXACT " THEN f.oldest_multixact_relation ELSE f.oldest_relation END"

const char	ft_ask_wraparound[] =
"WITH f AS MATERIALIZED (SELECT * FROM ft.freeze_age() WHERE severity IN ('WARNING', 'CRITICAL'))"
", h AS MATERIALIZED ("
"    SELECT CASE horizon WHEN 'data' THEN 'horizon' ELSE 'horizon:' || horizon END AS key, max(xid_age) AS xid_age"
"      FROM ft.xmin_horizon() WHERE holds AND EXISTS (SELECT FROM f) GROUP BY horizon)"
"SELECT 'freeze:' || f.datname,"
"       ARRAY(SELECT h.key FROM h WHERE h.xid_age * 2 >= f.xid_age"
"                AND (f.datname = current_database() OR h.key = 'horizon:shared')),"
"       f.severity,"
"       CASE WHEN ft.worst_severity(ft.severity('xid_age', f.stop_percent), ft.severity('multixact_age', f.multixact_stop_percent)) = 'OK'"
"            THEN format('database %I is at %s %% of %s', f.datname, round(greatest(f.freeze_percent, f.multixact_freeze_percent)::numeric),"
"                        CASE WHEN " FREEZE_BY_MULTIXACT " THEN 'autovacuum_multixact_freeze_max_age'"
"                             ELSE 'autovacuum_freeze_max_age' END)"
"            ELSE format('database %I has used %s %% of its %s before the server stops to take writes', f.datname,"
"                        round(greatest(f.stop_percent, f.multixact_stop_percent)::numeric, 1),"
"                        CASE WHEN " BY_MULTIXACT " THEN 'multixacts' ELSE 'transactions' END) END,"
"       format('its oldest rows are not frozen: autovacuum does not keep up%s', coalesce('; the oldest is in ' || " OLDEST ", '')),"
"       to_jsonb(f), ARRAY[format('database %I', f.datname)],"
"       concat('the server stops to take writes', ' in ' || " SECONDS("least(f.time_left, f.multixact_time_left)") "),"
"       CASE WHEN f.datname = current_database() AND NOT pg_is_in_recovery()"
"            THEN format('VACUUM (FREEZE%s)%s /* in database %s, outside a transaction block, as its owner or a superuser */',"
"                        CASE WHEN " OLDEST " IS NULL THEN '' ELSE ', VERBOSE' END,"
"                        coalesce(' ' || " OLDEST ", ''),"
"                        CASE WHEN f.datname ~ '[*]/|/[*]' THEN 'this' ELSE quote_ident(f.datname) END) END,"
"       NULL::bigint"
"  FROM f";

/*
 * The oldest holder of each horizon.  Where a snapshot is as old as a
 * transaction that was then running, that one is the cause.
 */
const char	ft_ask_xmin_horizon[] =
"WITH h AS MATERIALIZED ("
"    SELECT x.*, row_number() OVER (PARTITION BY x.horizon ORDER BY x.ordinality) AS place"
"      FROM ft.xmin_horizon() WITH ORDINALITY AS x"
"     WHERE x.holds AND x.pid IS DISTINCT FROM pg_backend_pid())"
"SELECT CASE h.horizon WHEN 'data' THEN 'horizon' ELSE 'horizon:' || h.horizon END,"
"       ARRAY[CASE WHEN h.gid IS NOT NULL THEN 'prepared:' || h.gid"
"                  WHEN h.slot_name IS NOT NULL THEN 'slot:' || h.slot_name"
"                  WHEN h.kind = 'backend' THEN 'session:' || coalesce(h.inherited_from, h.pid) END],"
"       h.severity,"
"       format('vacuum keeps rows that died in the last %s transactions%s', h.xid_age,"
"              coalesce(', of ' || " SECONDS("h.age") ", '')),"
"       format('%s %s is as old as that', h.kind,"
"              coalesce(h.standby, h.slot_name, quote_literal(h.gid), " SESSION("h") ")),"
"       jsonb_build_object('horizon', h.horizon, 'kind', h.kind, 'pid', h.pid, 'gid', h.gid, 'slot_name', h.slot_name,"
"                          'standby', h.standby, 'xid_age', h.xid_age, 'age_seconds', " EPOCH("h.age") ","
"                          'next_xid_age', h.next_xid_age, 'action', h.action, 'reason', h.reason),"
"       ARRAY[format('%s horizon', h.horizon)], 'dead rows stay, tables and indexes grow, queries read more for the same',"
"       h.sql, NULL::bigint"
"  FROM h WHERE h.place = 1";

/*
 * The tables that are worst, in this database: by their share, because a large
 * table has many dead rows when all is well, and not while autovacuum has yet
 * to be due and nothing else is wrong.  Catalogs have a horizon of their own;
 * what initdb made pinned is one, or its TOAST table.
 */
const char	ft_ask_dead_tuples[] =
"SELECT 'table:' || d.relid,"
"       CASE WHEN d.horizon_keeps <> 'yes' THEN NULL"
"            WHEN d.datid IS NULL THEN '{horizon:shared}'"
"            WHEN d.relid < 12000 THEN '{horizon:catalog}'"
"            ELSE '{horizon}' END::text[], d.severity,"
"       format('%I.%I has %s dead rows, %s %% of all', d.schemaname, d.relname, d.n_dead_tup, round(d.dead_tuple_percent)),"
"       CASE WHEN d.horizon_keeps = 'yes' THEN 'vacuum has to keep them'"
"            WHEN NOT d.autovacuum_enabled OR current_setting('autovacuum') = 'off' THEN 'autovacuum is off for it'"
"            WHEN d.vacuum_pid IS NOT NULL THEN 'a vacuum is at work, and has not come to them'"
"            WHEN d.autovacuum_percent < 100 THEN 'autovacuum does not come before ' || d.autovacuum_threshold || ' dead rows'"
"            ELSE 'autovacuum is due but has not come: its workers are busy elsewhere, or wait for a lock' END,"
"       to_jsonb(d) - '{relid,relkind,datid,toast_of}'::text[],"
"       ARRAY[format('table %I.%I', d.schemaname, d.relname)], 'scans read dead rows, and the table grows',"
"       CASE WHEN d.toast_of IS NULL OR d.toast_of = 0"
"            THEN format('VACUUM (VERBOSE) %I.%I /* in database %s, outside a transaction block, as its owner or a superuser */',"
"                        d.schemaname, d.relname,"
"                        CASE WHEN current_database() ~ '[*]/|/[*]' THEN 'this' ELSE quote_ident(current_database()) END) END,"
"       NULL::bigint"
"  FROM ft.dead_tuples() AS d"
" WHERE d.severity = 'CRITICAL'"
"    OR (d.severity = 'WARNING' AND ft.severity('dead_tuple_percent', d.dead_tuple_percent) <> 'OK'"
"        AND (d.horizon_keeps = 'yes' OR NOT d.autovacuum_enabled OR current_setting('autovacuum') = 'off'"
"             OR coalesce(d.autovacuum_percent, 100) >= 100))"
" ORDER BY d.n_dead_tup DESC LIMIT 20";
