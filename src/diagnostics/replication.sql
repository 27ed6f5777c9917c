/*
 * Replication: what this node is, and how far each consumer of its WAL is
 * behind.  See replication.c for where the times come from.
 *
 * The server's views are read only in columns that no version changed; what
 * 17 added to pg_replication_slots is reached through a row's jsonb.
 */

CREATE FUNCTION ft.node_state(
    OUT node_type text,
    OUT in_recovery boolean,
    OUT timeline integer,
    OUT wal_end pg_lsn,
    OUT receive_lsn pg_lsn,
    OUT replay_lsn pg_lsn,
    OUT last_replayed_at timestamptz,
    OUT replay_pause_state text,
    OUT streams boolean)
AS 'MODULE_PATHNAME', 'ft_node_state'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.node_state() IS
'what this node is expected to be and what it is, and its WAL positions';

CREATE FUNCTION ft.wal_age(lsn pg_lsn) RETURNS interval
AS 'MODULE_PATHNAME', 'ft_wal_age'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.wal_age(pg_lsn) IS
'age of the first commit or rollback in the WAL after a position: 0 if none follows, NULL if it cannot be told';

CREATE FUNCTION ft.replication_lag()
RETURNS TABLE (
    kind text,
    name text,
    state text,
    sync_state text,
    sent_lag_bytes bigint,
    write_lag_bytes bigint,
    flush_lag_bytes bigint,
    replay_lag_bytes bigint,
    sent_lag interval,
    write_lag interval,
    flush_lag interval,
    replay_lag interval,
    retained_bytes bigint,
    lag_bytes bigint,
    lag interval,
    note text,
    pid integer,
    usename name,
    client_addr inet,
    sent_lsn pg_lsn,
    write_lsn pg_lsn,
    flush_lsn pg_lsn,
    replay_lsn pg_lsn,
    wal_end pg_lsn,
    backend_start timestamptz,
    reply_time timestamptz,
    slot_name name,
    wal_status text,
    safe_wal_size bigint,
    inactive_since timestamptz)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    WITH node AS MATERIALIZED (
        SELECT s.*, clock_timestamp() AS now FROM ft.node_state() AS s
    ), consumer AS (
        -- A sender with its slot, a sender without, and a slot without.
        SELECT coalesce(s.slot_type, 'physical') AS kind,
               coalesce(r.application_name, s.slot_name::text) AS name,
               CASE
                   WHEN r.pid IS NOT NULL THEN r.state
                   WHEN s.wal_status = 'lost' THEN 'lost'
                   WHEN s.active THEN 'active'
                   WHEN s.restart_lsn IS NULL THEN 'unused'
                   WHEN (to_jsonb(s) ->> 'synced')::boolean THEN 'synced'
                   ELSE 'disconnected'
               END AS state,
               r.sync_state,
               r.pid AS sender_pid,
               coalesce(r.pid, s.active_pid) AS pid,
               r.usename, r.client_addr,
               r.sent_lsn, r.write_lsn,
               CASE WHEN r.pid IS NULL
                    THEN coalesce(s.confirmed_flush_lsn, s.restart_lsn)
                    ELSE r.flush_lsn
               END AS flush_lsn,
               r.replay_lsn,
               s.restart_lsn,
               r.write_lag, r.flush_lag, r.replay_lag,
               r.backend_start, r.reply_time,
               s.slot_name, s.wal_status, s.safe_wal_size,
               (to_jsonb(s) ->> 'inactive_since')::timestamptz AS inactive_since
          FROM pg_stat_replication AS r
          FULL JOIN pg_replication_slots AS s ON s.active_pid = r.pid
    ), consumer_lag AS (
        SELECT c.*, n.wal_end,
               greatest(n.wal_end, c.sent_lsn) - c.sent_lsn AS sent_bytes,
               greatest(n.wal_end, c.write_lsn) - c.write_lsn AS write_bytes,
               greatest(n.wal_end, c.flush_lsn) - c.flush_lsn AS flush_bytes,
               greatest(n.wal_end, c.replay_lsn) - c.replay_lsn AS replay_bytes,
               greatest(n.wal_end, c.restart_lsn) - c.restart_lsn AS retained_bytes,
               ft.wal_age(c.sent_lsn) AS sent_age,
               coalesce(ft.wal_age(c.write_lsn), c.write_lag) AS write_age,
               coalesce(ft.wal_age(c.flush_lsn), c.flush_lag) AS flush_age,
               coalesce(ft.wal_age(c.replay_lsn), c.replay_lag) AS replay_age,
               c.sender_pid IS NULL AND c.state = 'disconnected' AS away
          FROM consumer AS c, node AS n
    ), receiver AS (
        -- This node as a standby.  Without a receiver nothing is known of
        -- what the sender has, and having replayed all is no comfort.
        SELECT n.*, w.pid AS receiver_pid, w.status, w.sender_host,
               w.written_lsn, w.latest_end_lsn, w.last_msg_receipt_time,
               w.slot_name,
               coalesce(w.status = 'streaming', w.pid IS NOT NULL) AS connected,
               greatest(w.latest_end_lsn, w.written_lsn, n.wal_end) AS sender_end
          FROM node AS n
          LEFT JOIN pg_stat_wal_receiver AS w ON true
         WHERE n.in_recovery
    ), lag AS (
        SELECT 'node' AS kind,
               coalesce(nullif(current_setting('cluster_name'), ''), 'this node') AS name,
               CASE
                   WHEN r.replay_pause_state <> 'not paused' THEN 'replay ' || r.replay_pause_state
                   WHEN r.connected THEN r.status
                   WHEN r.streams THEN coalesce(r.status, 'disconnected')
                   ELSE 'archive recovery'
               END AS state,
               NULL AS sync_state,
               NULL::numeric AS sent_bytes,
               CASE WHEN r.connected THEN r.sender_end - r.written_lsn END AS write_bytes,
               CASE WHEN r.connected THEN r.sender_end - r.receive_lsn END AS flush_bytes,
               CASE WHEN r.connected THEN r.sender_end - r.replay_lsn
                    ELSE nullif(r.sender_end - r.replay_lsn, 0)
               END AS replay_bytes,
               NULL::interval AS sent_age,
               NULL::interval AS write_age,
               NULL::interval AS flush_age,
               CASE WHEN r.connected THEN ft.wal_age(r.replay_lsn)
                    ELSE r.now - r.last_replayed_at
               END AS replay_age,
               NULL::numeric AS retained_bytes,
               CASE
                   WHEN NOT r.connected THEN
                       'receives no WAL: the lag is the age of the last transaction replayed'
                   WHEN r.replay_pause_state <> 'not paused' THEN
                       'replay is paused: SELECT pg_wal_replay_resume()'
               END AS note,
               r.receiver_pid AS pid, NULL::name AS usename, NULL::inet AS client_addr,
               NULL::pg_lsn AS sent_lsn, r.written_lsn AS write_lsn,
               r.receive_lsn AS flush_lsn, r.replay_lsn,
               r.sender_end AS wal_end,
               NULL::timestamptz AS backend_start,
               r.last_msg_receipt_time AS reply_time,
               r.slot_name::name AS slot_name, NULL AS wal_status,
               NULL::bigint AS safe_wal_size, NULL::timestamptz AS inactive_since
          FROM receiver AS r
        UNION ALL
        SELECT c.kind, c.name, c.state, c.sync_state,
               c.sent_bytes, c.write_bytes,
               CASE WHEN c.away THEN nullif(c.flush_bytes, 0) ELSE c.flush_bytes END,
               c.replay_bytes,
               c.sent_age, c.write_age,
               CASE WHEN c.away THEN nullif(c.flush_age, interval '0') ELSE c.flush_age END,
               c.replay_age,
               c.retained_bytes,
               CASE
                   WHEN c.away THEN 'not connected: the lag is the least it can be'
                   WHEN c.state = 'lost' THEN
                       'the slot lost WAL it needed: the consumer must be rebuilt'
                   WHEN c.state = 'unused' THEN 'the slot was never used'
               END,
               c.pid, c.usename, c.client_addr,
               c.sent_lsn, c.write_lsn, c.flush_lsn, c.replay_lsn, c.wal_end,
               c.backend_start, c.reply_time,
               c.slot_name, c.wal_status, c.safe_wal_size, c.inactive_since
          FROM consumer_lag AS c
    )
    SELECT l.kind, l.name, l.state, l.sync_state,
           l.sent_bytes::bigint,
           l.write_bytes::bigint,
           l.flush_bytes::bigint,
           l.replay_bytes::bigint,
           l.sent_age, l.write_age, l.flush_age, l.replay_age,
           l.retained_bytes::bigint,
           greatest(l.sent_bytes, l.write_bytes, l.flush_bytes, l.replay_bytes)::bigint,
           greatest(l.sent_age, l.write_age, l.flush_age, l.replay_age),
           l.note, l.pid, l.usename, l.client_addr,
           l.sent_lsn, l.write_lsn, l.flush_lsn, l.replay_lsn, l.wal_end,
           l.backend_start, l.reply_time,
           l.slot_name, l.wal_status, l.safe_wal_size, l.inactive_since
      FROM lag AS l
     ORDER BY (l.kind = 'node') DESC, 15 DESC NULLS LAST, 14 DESC NULLS LAST, l.name;
END;

COMMENT ON FUNCTION ft.replication_lag() IS
'lag in bytes and time of each standby and slot fed by this node, and of this node where it is a standby';

CREATE VIEW ft.fault_tolerance_monitoring AS
SELECT n.node_type,
       CASE WHEN n.in_recovery THEN 'STANDBY' ELSE 'PRIMARY' END AS status,
       n.receive_lsn AS last_receive_lsn,
       n.replay_lsn AS last_replay_lsn,
       l.lag AS replication_lag,
       coalesce(nullif(current_setting('cluster_name'), ''), 'this node') AS node_name,
       coalesce(l.state, 'running') AS state,
       l.lag_bytes AS replication_lag_bytes,
       n.node_type = 'any'
           OR n.node_type = CASE WHEN n.in_recovery THEN 'standby' ELSE 'primary' END
           AS as_expected,
       n.timeline,
       n.wal_end
  FROM ft.node_state() AS n
  LEFT JOIN ft.replication_lag() AS l ON l.kind = 'node'
UNION ALL
SELECT 'standby', 'STANDBY', l.flush_lsn, l.replay_lsn, l.lag,
       l.name, l.state, l.lag_bytes, true, NULL, l.wal_end
  FROM ft.replication_lag() AS l
 WHERE l.kind = 'physical' AND l.state NOT IN ('backup', 'unused');

COMMENT ON VIEW ft.fault_tolerance_monitoring IS
'this node and the standbys it feeds: what each is expected to be, what it is, and its lag';

REVOKE ALL ON FUNCTION ft.node_state(), ft.wal_age(pg_lsn), ft.replication_lag()
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.node_state(), ft.wal_age(pg_lsn), ft.replication_lag()
    TO pg_monitor;
GRANT SELECT ON ft.fault_tolerance_monitoring TO pg_monitor;

