-- What sessions did and who blocked whom, as it was sampled.

CREATE FUNCTION ft.session_history(
    "from" timestamptz DEFAULT clock_timestamp() - interval '10 min',
    "to" timestamptz DEFAULT NULL,
    OUT sample_time timestamptz,
    OUT pid int,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT backend_type text,
    OUT state text,
    OUT wait_event_type text,
    OUT wait_event text,
    OUT query_id bigint,
    OUT query_start timestamptz,
    OUT xact_start timestamptz,
    OUT query text,
    OUT traceparent text,
    OUT blocker_pid int,
    OUT prepared_gid text,
    OUT block_kind text,
    OUT locktype text,
    OUT lock_object text,
    OUT waited_mode text,
    OUT held_mode text,
    OUT wait_start timestamptz,
    OUT in_cycle boolean,
    OUT backend_start timestamptz,
    OUT state_change timestamptz,
    OUT leader_pid int,
    OUT backend_xid xid,
    OUT datid oid,
    OUT usesysid oid,
    OUT source text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_session_history';

CREATE FUNCTION ft.session_history_runs(
    "from" timestamptz DEFAULT clock_timestamp() - interval '10 min',
    "to" timestamptz DEFAULT NULL,
    OUT first_seen timestamptz,
    OUT last_seen timestamptz,
    OUT samples int,
    OUT pid int,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT backend_type text,
    OUT state text,
    OUT wait_event_type text,
    OUT wait_event text,
    OUT query_id bigint,
    OUT query_start timestamptz,
    OUT xact_start timestamptz,
    OUT query text,
    OUT traceparent text,
    OUT blocker_pid int,
    OUT prepared_gid text,
    OUT block_kind text,
    OUT locktype text,
    OUT lock_object text,
    OUT waited_mode text,
    OUT held_mode text,
    OUT wait_start timestamptz,
    OUT in_cycle boolean,
    OUT backend_start timestamptz,
    OUT state_change timestamptz,
    OUT leader_pid int,
    OUT backend_xid xid,
    OUT datid oid,
    OUT usesysid oid)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_session_history_runs';

CREATE FUNCTION ft.blocking_history(
    "from" timestamptz DEFAULT clock_timestamp() - interval '10 min',
    "to" timestamptz DEFAULT NULL,
    OUT episode int,
    OUT first_seen timestamptz,
    OUT last_seen timestamptz,
    OUT duration interval,
    OUT samples int,
    OUT root_pid int,
    OUT level int,
    OUT path int[],
    OUT severity text,
    OUT victims int,
    OUT longest_wait interval,
    OUT pid int,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT backend_type text,
    OUT state text,
    OUT wait_event_type text,
    OUT wait_event text,
    OUT query_id bigint,
    OUT query_start timestamptz,
    OUT xact_start timestamptz,
    OUT query text,
    OUT traceparent text,
    OUT blocker_pid int,
    OUT prepared_gid text,
    OUT block_kind text,
    OUT locktype text,
    OUT lock_object text,
    OUT waited_mode text,
    OUT held_mode text,
    OUT wait_start timestamptz,
    OUT in_cycle boolean,
    OUT backend_start timestamptz,
    OUT state_change timestamptz,
    OUT leader_pid int,
    OUT backend_xid xid,
    OUT datid oid,
    OUT usesysid oid)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_blocking_history';

CREATE FUNCTION ft.history_status(
    OUT every interval,
    OUT oldest timestamptz,
    OUT newest timestamptz,
    OUT samples bigint,
    OUT samples_limit bigint,
    OUT runs bigint,
    OUT runs_limit bigint,
    OUT text_bytes bigint,
    OUT text_bytes_limit bigint,
    OUT samples_taken bigint,
    OUT without_lock_table bigint,
    OUT last_sessions int,
    OUT last_waiting int,
    OUT last_duration interval,
    OUT longest_duration interval)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'ft_history_status';

-- A session that computes waits for nothing that the server knows of.
CREATE VIEW ft.wait_history_summary AS
SELECT coalesce(h.wait_event_type, 'CPU') AS wait_event_type,
       coalesce(h.wait_event, 'CPU') AS wait_event,
       count(*) AS samples,
       round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS "%",
       count(DISTINCT h.pid) AS sessions,
       left(mode() WITHIN GROUP (ORDER BY regexp_replace(h.query, '[[:space:]]+', ' ', 'g')), 50) AS "most often in"
  FROM ft.session_history() AS h
 WHERE h.pid <> 0 AND coalesce(h.state NOT LIKE 'idle%', true)
 GROUP BY 1, 2
 ORDER BY samples DESC, 1, 2;

-- Rows come in tree order, which a plain scan of the function keeps.
CREATE VIEW ft.blocking_history_summary AS
SELECT h.episode,
       to_char(h.first_seen, 'HH24:MI:SS') AS seen,
       date_trunc('second', h.duration) AS lasted,
       repeat('  ', LEAST(h.level, 8)) ||
       CASE WHEN h.pid <> 0 THEN h.pid::text
            ELSE 'prepared ' || left(quote_literal(h.prepared_gid), 20) END AS session,
       left(h.usename::text, 12) AS usename,
       CASE WHEN h.level = 0 THEN h.state
            ELSE left(COALESCE(substring(h.lock_object FROM '^transaction [0-9]+ on (row .*)'),
                               replace(h.waited_mode, 'Lock', '') || ' on ' || h.lock_object), 40) END AS what,
       NULLIF(h.victims, 0) AS victims,
       date_trunc('second', h.longest_wait) AS wait,
       left(regexp_replace(h.query, '[[:space:]]+', ' ', 'g'), 30) AS query
  FROM ft.blocking_history() AS h;

COMMENT ON FUNCTION ft.session_history(timestamptz, timestamptz) IS
'what each session that was not idle did in each sample of a time; NULL for an open end';
COMMENT ON FUNCTION ft.session_history_runs(timestamptz, timestamptz) IS
'ft.session_history() with one row for as many samples in a row as a session did the same';
COMMENT ON FUNCTION ft.blocking_history(timestamptz, timestamptz) IS
'who blocked whom in a time, in episodes: the root first, under it each statement that waited for it';
COMMENT ON FUNCTION ft.history_status() IS
'how far back the samples go, what room they have, and what they cost';
COMMENT ON VIEW ft.wait_history_summary IS
'what sessions waited for in the last ten minutes, most often first';
COMMENT ON VIEW ft.blocking_history_summary IS
'ft.blocking_history() of the last ten minutes, for reading in psql';

REVOKE ALL ON FUNCTION ft.session_history(timestamptz, timestamptz),
    ft.session_history_runs(timestamptz, timestamptz),
    ft.blocking_history(timestamptz, timestamptz), ft.history_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.session_history(timestamptz, timestamptz),
    ft.session_history_runs(timestamptz, timestamptz),
    ft.blocking_history(timestamptz, timestamptz), ft.history_status() TO pg_monitor;
GRANT SELECT ON ft.wait_history_summary, ft.blocking_history_summary TO pg_monitor;

