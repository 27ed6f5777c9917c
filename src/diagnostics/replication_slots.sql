/*
 * Replication slots, with what each keeps and how to end it, and conflicts of
 * queries with replay on a standby.  What versions added to the server's views
 * is reached through a row's jsonb.  See replication_slots.c.
 */

CREATE FUNCTION ft.slot_inactive_since(slot_name name) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ft_slot_inactive_since'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.slot_inactive_since(name) IS
'when the sampler first found the slot without a consumer';

CREATE FUNCTION ft.replication_slots()
RETURNS TABLE (
    slot_name name,
    slot_type text,
    datname name,
    state text,
    active boolean,
    active_pid integer,
    retained_bytes bigint,
    safe_wal_size bigint,
    wal_status text,
    inactive_since timestamptz,
    inactive_duration interval,
    invalidation_cause text,
    conflicting boolean,
    xmin_age integer,
    catalog_xmin_age integer,
    severity text,
    sql text,
    hint text,
    restart_lsn pg_lsn,
    confirmed_flush_lsn pg_lsn,
    xmin xid,
    catalog_xmin xid,
    plugin name,
    temporary boolean,
    synced boolean)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    WITH node AS MATERIALIZED (
        SELECT n.wal_end, clock_timestamp() AS now FROM ft.node_state() AS n
    ), slot AS (
        SELECT s.slot_name, s.slot_type, s.database, s.active, s.active_pid,
               s.safe_wal_size, s.wal_status, s.restart_lsn, s.confirmed_flush_lsn,
               s.xmin, s.catalog_xmin, s.plugin, s.temporary,
               n.now,
               (greatest(n.wal_end, s.restart_lsn) - s.restart_lsn)::bigint AS retained_bytes,
               CASE WHEN NOT s.active
                    THEN coalesce((s.row ->> 'inactive_since')::timestamptz,
                                  ft.slot_inactive_since(s.slot_name))
               END AS inactive_since,
               (s.row ->> 'conflicting')::boolean AS conflicting,
               coalesce((s.row ->> 'synced')::boolean, false) AS synced,
               coalesce(s.row ->> 'invalidation_reason',
                        CASE
                            WHEN (s.row ->> 'conflicting')::boolean THEN 'conflict with replay'
                            WHEN s.wal_status = 'lost' THEN 'wal_removed'
                        END) AS cause
          FROM (SELECT p.*, to_jsonb(p) AS row FROM pg_replication_slots AS p) AS s,
               node AS n
    ), judged AS (
        -- A slot that is synchronised from a primary has no consumer here, and
        -- one that was never used keeps nothing.
        SELECT l.*,
               CASE
                   WHEN l.cause IS NOT NULL THEN 'lost'
                   WHEN l.active THEN 'active'
                   WHEN l.restart_lsn IS NULL THEN 'unused'
                   WHEN l.synced THEN 'synced'
                   ELSE 'inactive'
               END AS state
          FROM slot AS l
    )
    SELECT j.slot_name, j.slot_type, j.database, j.state, j.active, j.active_pid,
           j.retained_bytes, j.safe_wal_size, j.wal_status,
           j.inactive_since, j.now - j.inactive_since,
           j.cause, j.conflicting, age(j.xmin), age(j.catalog_xmin),
           CASE
               WHEN j.state = 'lost' THEN 'CRITICAL'
               WHEN j.state = 'unused' THEN 'OK'
               ELSE ft.worst_severity(
                        ft.severity('slot_retained', j.retained_bytes),
                        CASE WHEN j.state = 'inactive'
                             THEN ft.severity('slot_inactive', extract(epoch FROM j.now - j.inactive_since)::double precision)
                        END,
                        CASE WHEN j.wal_status = 'unreserved' THEN 'CRITICAL' END)
           END,
           CASE
               WHEN j.active THEN
                   format('SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots WHERE slot_name = %L AND active_pid = %s /* its consumer connects again by itself; as a superuser, or as a member of its role */',
                          j.slot_name, j.active_pid)
               ELSE
                   format('SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = %L AND NOT active%s /* its consumer must be rebuilt afterwards; as a superuser, or a role with REPLICATION */',
                          j.slot_name, CASE WHEN j.restart_lsn IS NULL THEN ' AND restart_lsn IS NULL'
                               ELSE format(' AND restart_lsn = %L', j.restart_lsn)
                          END)
           END,
           CASE
               WHEN j.state = 'lost' THEN 'What its consumer needs is gone: drop the slot and rebuild the consumer.'
               WHEN j.wal_status = 'unreserved' THEN 'The next checkpoint removes what it needs: bring its consumer back now, or raise max_slot_wal_keep_size.'
               WHEN j.state = 'inactive' THEN 'Bring its consumer back, or drop the slot; max_slot_wal_keep_size bounds what it can keep.'
               WHEN j.state = 'active' AND ft.severity('slot_retained', j.retained_bytes) <> 'OK' THEN
                   'Its consumer is connected but behind: see SELECT * FROM ft.replication_lag().'
           END,
           j.restart_lsn, j.confirmed_flush_lsn, j.xmin, j.catalog_xmin,
           j.plugin, j.temporary, j.synced
      FROM judged AS j
     ORDER BY (j.state = 'lost') DESC, j.retained_bytes DESC NULLS LAST, j.slot_name;
END;

COMMENT ON FUNCTION ft.replication_slots() IS
'each replication slot: its consumer, the WAL and the transactions it keeps, why it was invalidated, and the SQL that ends it';

CREATE VIEW ft.replication_slots_summary AS
SELECT s.severity,
       s.slot_name AS slot,
       s.slot_type AS type,
       s.state,
       s.active_pid AS pid,
       pg_size_pretty(s.retained_bytes) AS retained,
       pg_size_pretty(s.safe_wal_size) AS safe,
       date_trunc('second', s.inactive_duration) AS "inactive for",
       s.invalidation_cause AS cause,
       greatest(s.xmin_age, s.catalog_xmin_age) AS xids
  FROM ft.replication_slots() AS s;

COMMENT ON VIEW ft.replication_slots_summary IS
'ft.replication_slots() for reading in psql';

CREATE FUNCTION ft.standby_conflicts()
RETURNS TABLE (
    datname name,
    cause text,
    conflicts bigint,
    hint text,
    stats_reset timestamptz)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    SELECT c.datname, k.cause, k.conflicts,
           CASE k.cause
               WHEN 'snapshot' THEN
                   'The primary removed rows that a query here still saw: hot_standby_feedback = on, or a longer max_standby_streaming_delay.'
               WHEN 'lock' THEN
                   'The primary took an ACCESS EXCLUSIVE lock (TRUNCATE, most of ALTER TABLE, the end of a vacuum) on a table read here: a longer max_standby_streaming_delay; for vacuum, vacuum_truncate = off on that table.'
               WHEN 'tablespace' THEN
                   'The primary dropped a tablespace that held temporary files here: name another in temp_tablespaces.'
               WHEN 'bufferpin' THEN
                   'Replay waited for a page that a query here had in use; a longer max_standby_streaming_delay.'
               WHEN 'deadlock' THEN
                   'Replay and a query here waited for each other; the query was ended.'
               WHEN 'active_logicalslot' THEN
                   'Rows that a logical slot here needs were removed on the primary, or its wal_level was lowered: see SELECT * FROM ft.replication_slots().'
           END,
           pg_stat_get_db_stat_reset_time(c.datid)
      FROM pg_stat_database_conflicts AS c,
           LATERAL (SELECT substr(j.key, length('confl_') + 1) AS cause,
                           j.value::bigint AS conflicts
                      FROM jsonb_each_text(to_jsonb(c)) AS j
                     WHERE starts_with(j.key, 'confl_')) AS k
     WHERE k.conflicts > 0 OR pg_is_in_recovery()
     ORDER BY k.conflicts DESC, c.datname, k.cause;
END;

COMMENT ON FUNCTION ft.standby_conflicts() IS
'queries of this standby that were cancelled because of replay, by database and cause, with what to set; on a primary, what was counted before its promotion';

CREATE VIEW ft.standby_conflicts_summary AS
SELECT c.conflicts, c.datname, c.cause, left(c.hint, 80) AS hint
  FROM ft.standby_conflicts() AS c
 WHERE c.conflicts > 0;

COMMENT ON VIEW ft.standby_conflicts_summary IS
'ft.standby_conflicts() for reading in psql: what was counted';

REVOKE ALL ON FUNCTION ft.slot_inactive_since(name), ft.replication_slots(),
    ft.standby_conflicts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.slot_inactive_since(name), ft.replication_slots(),
    ft.standby_conflicts() TO pg_monitor;
GRANT SELECT ON ft.replication_slots_summary, ft.standby_conflicts_summary TO pg_monitor;

