-- Statements that took longer than they should.  See slow_statement.c.

CREATE FUNCTION ft.slow_statements(
    OUT query_start timestamptz,
    OUT duration interval,
    OUT pid int,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT query text,
    OUT query_id bigint,
    OUT rows bigint,
    OUT failed boolean,
    OUT sqlstate text,
    OUT commit_duration interval,
    OUT shared_blks_hit bigint,
    OUT shared_blks_read bigint,
    OUT shared_blks_dirtied bigint,
    OUT shared_blks_written bigint,
    OUT temp_blks_read bigint,
    OUT temp_blks_written bigint,
    OUT wal_bytes bigint,
    OUT plan text,
    OUT parameters text,
    OUT traceparent text,
    OUT nested boolean,
    OUT number bigint,
    OUT backend_start timestamptz,
    OUT datid oid,
    OUT usesysid oid,
    OUT query_end timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_slow_statements'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.slow_statements() IS
'statements of all databases that took longer than fault_tolerance.slow_statement_threshold, newest first';

CREATE FUNCTION ft.reset_slow_statements() RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_slow_statements'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.reset_slow_statements() IS
'forget the slow statements that were kept';

-- A sample has a row for each blocker; it counts once.
CREATE FUNCTION ft.slow_statement_waits(
    OUT number bigint,
    OUT query_start timestamptz,
    OUT duration interval,
    OUT pid int,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT query text,
    OUT samples bigint,
    OUT waits text,
    OUT blocker_pids int[])
RETURNS SETOF record
LANGUAGE SQL VOLATILE PARALLEL RESTRICTED ROWS 100
BEGIN ATOMIC
    WITH slow AS MATERIALIZED (
        SELECT * FROM ft.slow_statements()
    ), sample AS MATERIALIZED (
        SELECT DISTINCT h.pid, h.backend_start, h.sample_time,
               coalesce(h.wait_event_type || ':' || h.wait_event, 'running') AS wait, h.blocker_pid
          FROM (SELECT min(slow.query_start) AS "from", max(slow.query_end) AS "to" FROM slow) AS span,
               ft.session_history(span."from", span."to") AS h
    ), waited AS (
        SELECT s.number, a.wait, count(DISTINCT a.sample_time) AS samples
          FROM slow AS s
          JOIN sample AS a ON a.pid = s.pid AND a.backend_start = s.backend_start
                          AND a.sample_time BETWEEN s.query_start AND s.query_end
         GROUP BY s.number, a.wait
    )
    SELECT s.number, s.query_start, s.duration, s.pid, s.datname, s.usename, s.application_name, s.query,
           (SELECT sum(w.samples)::bigint FROM waited AS w WHERE w.number = s.number),
           (SELECT string_agg(w.wait || ' ' || w.samples, ', ' ORDER BY w.samples DESC, w.wait)
              FROM waited AS w WHERE w.number = s.number),
           (SELECT array_agg(DISTINCT a.blocker_pid) FROM sample AS a
             WHERE a.pid = s.pid AND a.backend_start = s.backend_start AND a.blocker_pid IS NOT NULL
               AND a.sample_time BETWEEN s.query_start AND s.query_end)
      FROM slow AS s
     ORDER BY s.number DESC;
END;

COMMENT ON FUNCTION ft.slow_statement_waits() IS
'ft.slow_statements() with what the sampler saw each wait for: samples by wait event, and who blocked it';

CREATE VIEW ft.slow_statement_summary AS
SELECT date_trunc('second', s.query_end) AS ended,
       CASE WHEN s.duration < interval '1 min' THEN round(extract(epoch FROM s.duration), 2) || ' s'
            ELSE date_trunc('second', s.duration)::text END AS duration,
       left(s.datname, 12) AS datname,
       left(s.usename, 12) AS usename,
       left(s.application_name, 16) AS application_name,
       s.rows,
       CASE WHEN s.failed THEN coalesce(s.sqlstate, 'failed') END AS error,
       left(regexp_replace(s.query, '[[:space:]]+', ' ', 'g'), 44) AS query
  FROM ft.slow_statements() AS s;

COMMENT ON VIEW ft.slow_statement_summary IS
'ft.slow_statements() for reading in psql';

REVOKE ALL ON FUNCTION ft.slow_statements() FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.slow_statement_waits() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.slow_statement_waits() TO pg_monitor;
REVOKE ALL ON FUNCTION ft.reset_slow_statements() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.slow_statements() TO pg_monitor;
GRANT SELECT ON ft.slow_statement_summary TO pg_monitor;
