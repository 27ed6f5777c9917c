/* All that is known of one trace of an application.  See tracing.c. */

CREATE FUNCTION ft.trace_id(traceparent text) RETURNS text
AS 'MODULE_PATHNAME', 'ft_trace_id'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION ft.trace(trace_id text)
RETURNS TABLE (
    event_time timestamptz,
    event text,
    pid integer,
    datname name,
    usename name,
    application_name text,
    sqlstate text,
    duration interval,
    what text,
    query text,
    traceparent text)
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 20
BEGIN ATOMIC
    WITH wanted AS MATERIALIZED (
        SELECT ft.trace_id(trace_id) AS id
    ), event AS (
        SELECT coalesce(a.query_start, a.backend_start) AS event_time, 'session' AS event,
               a.pid, a.datname, a.usename, a.application_name, NULL::text AS sqlstate,
               CASE WHEN a.state = 'active' THEN clock_timestamp() - a.query_start END AS duration,
               concat_ws(', ', a.state, a.wait_event_type || ': ' || a.wait_event) AS what,
               a.query, ft.traceparent(a.query, a.application_name) AS traceparent
          FROM pg_stat_activity AS a
        UNION ALL
        SELECT e.error_time, 'error', e.pid, e.datname, e.usename, e.application_name,
               e.sqlstate, NULL, e.message, e.query, e.traceparent
          FROM ft.recent_errors() AS e
        UNION ALL
        SELECT s.query_start, 'slow statement', s.pid, s.datname, s.usename, s.application_name,
               s.sqlstate, s.duration, s.rows || ' rows', s.query, s.traceparent
          FROM ft.slow_statements() AS s
        UNION ALL
        SELECT d.deadlock_time, 'deadlock', d.pid, d.datname, d.usename, d.application_name,
               CASE WHEN d.victim THEN '40P01' END, NULL,
               d.waited_mode || ' on ' || d.lock_object || ', blocked by ' || d.blocked_by,
               d.query, d.traceparent
          FROM ft.deadlocks() AS d
        UNION ALL
        SELECT h.first_seen, 'sampled', h.pid, h.datname, h.usename, h.application_name,
               NULL, h.last_seen - h.first_seen,
               concat_ws(', ', h.state, h.wait_event_type || ': ' || h.wait_event,
                         'blocked by ' || h.blocker_pid),
               h.query, h.traceparent
          FROM ft.session_history_runs('-infinity') AS h
    )
    SELECT e.event_time, e.event, e.pid, e.datname, e.usename, e.application_name, e.sqlstate,
           e.duration, e.what, e.query, e.traceparent
      FROM event AS e, wanted AS w
     WHERE substring(e.traceparent FROM 4 FOR 32) = w.id
     ORDER BY e.event_time, e.event, e.pid;
END;

COMMENT ON FUNCTION ft.trace_id(text) IS
'the trace-id of a traceparent: 32 hexadecimal digits, which may be passed by themselves as well';
COMMENT ON FUNCTION ft.trace(text) IS
'sessions, errors, slow statements, deadlocks and samples that belong to a trace, given by its id or a traceparent, oldest first';

REVOKE ALL ON FUNCTION ft.trace_id(text), ft.trace(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.trace_id(text), ft.trace(text) TO pg_monitor;

