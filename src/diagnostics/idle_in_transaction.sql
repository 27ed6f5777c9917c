/*
 * Sessions that are idle inside a transaction, and what they hold meanwhile.
 * See idle_in_transaction.c.
 */

CREATE FUNCTION ft.held_locks(pid integer, OUT locks bigint, OUT strongest_mode text)
AS 'MODULE_PATHNAME', 'ft_held_locks'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.held_locks(integer) IS
'how many locks a session holds but for those on its own transaction, and the strongest on a relation; NULL if that cannot be told in time';

CREATE FUNCTION ft.idle_in_transaction(min_duration interval DEFAULT '0 s')
RETURNS TABLE (
    pid integer,
    usename name,
    application_name text,
    state text,
    idle_duration interval,
    transaction_duration interval,
    locks bigint,
    strongest_mode text,
    holds_snapshot boolean,
    has_written boolean,
    blocked_sessions bigint,
    query text,
    severity text,
    sql text,
    xid_age integer,
    xmin_age integer,
    backend_xid xid,
    backend_xmin xid,
    datname name,
    client_addr inet,
    backend_start timestamptz,
    xact_start timestamptz,
    state_change timestamptz,
    traceparent text)
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
    ), idle AS MATERIALIZED (
        SELECT a.pid, a.usename, a.application_name, a.state, a.query,
               a.backend_xid, a.backend_xmin, a.datname, a.client_addr,
               a.backend_start, a.xact_start, a.state_change,
               clock.now - a.state_change AS idle_duration,
               clock.now - a.xact_start AS transaction_duration
          FROM clock, pg_stat_activity AS a
         WHERE a.state IN ('idle in transaction', 'idle in transaction (aborted)')
           AND clock.now - a.state_change >= min_duration
    ), blocked AS (
        -- Not asked for where nobody is idle.
        SELECT e.blocker_pid, count(DISTINCT e.pid) AS sessions
          FROM ft.blocking_edges() AS e
         WHERE EXISTS (SELECT FROM idle)
         GROUP BY e.blocker_pid
    )
    SELECT i.pid, i.usename, i.application_name, i.state,
           i.idle_duration, i.transaction_duration,
           h.locks, h.strongest_mode,
           i.backend_xmin IS NOT NULL, i.backend_xid IS NOT NULL,
           coalesce(b.sessions, 0),
           i.query,
           ft.severity('idle_in_transaction', extract(epoch FROM i.idle_duration)::double precision),
           ft.terminate_sql(i.pid, i.backend_start, i.xact_start, i.state_change),
           age(i.backend_xid), age(i.backend_xmin),
           i.backend_xid, i.backend_xmin, i.datname, i.client_addr,
           i.backend_start, i.xact_start, i.state_change,
           ft.traceparent(i.query, i.application_name)
      FROM idle AS i
      LEFT JOIN blocked AS b ON b.blocker_pid = i.pid,
           LATERAL ft.held_locks(i.pid) AS h
     ORDER BY i.idle_duration DESC NULLS LAST, i.pid;
END;

COMMENT ON FUNCTION ft.idle_in_transaction(interval) IS
'sessions that have been idle inside a transaction for so long, what they hold, whom they block, and the SQL that ends them';

CREATE VIEW ft.idle_in_transaction_summary AS
SELECT i.severity,
       i.pid,
       left(i.usename::text, 12) AS usename,
       left(i.application_name, 16) AS application,
       CASE WHEN i.state LIKE '%aborted%' THEN 'aborted' ELSE 'idle' END AS state,
       date_trunc('second', i.idle_duration) AS "idle for",
       i.locks,
       i.blocked_sessions AS blocks,
       greatest(i.xid_age, i.xmin_age) AS xids,
       left(regexp_replace(i.query, '[[:space:]]+', ' ', 'g'), 36) AS "last query"
  FROM ft.idle_in_transaction() AS i;

COMMENT ON VIEW ft.idle_in_transaction_summary IS
'ft.idle_in_transaction() for reading in psql';

REVOKE ALL ON FUNCTION ft.held_locks(integer), ft.idle_in_transaction(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.held_locks(integer), ft.idle_in_transaction(interval) TO pg_monitor;
GRANT SELECT ON ft.idle_in_transaction_summary TO pg_monitor;

