/*
 * Long transactions.
 *
 * Plain SQL: what is asked for stands in two views that no server version
 * changed.  Neither takes a lock that could be waited for.
 */

-- Safe to paste late: it ends this transaction of this session or nothing.  A
-- transaction that has failed has no start; then it is when the state changed.
-- Times are written so that every DateStyle reads them alike.
CREATE FUNCTION ft.terminate_sql(
    pid integer,
    backend_start timestamptz,
    xact_start timestamptz,
    state_change timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    WITH literal AS (
        SELECT quote_literal(to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00') AS backend_start,
               quote_literal(to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00') AS xact_start,
               quote_literal(to_char(state_change AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00') AS state_change
    )
    SELECT 'SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE pid = '
           || pid || ' AND backend_start = ' || l.backend_start
           || coalesce(' AND xact_start = ' || l.xact_start, ' AND state_change = ' || l.state_change, '')
           || ' /* in any database, as a superuser or a member of its role, or one of both pg_signal_backend and pg_read_all_stats if it is not a superuser''s */'
      FROM literal AS l;
END;

COMMENT ON FUNCTION ft.terminate_sql(integer, timestamptz, timestamptz, timestamptz) IS
'SQL that ends a session while it is in this transaction, and does nothing afterwards';

CREATE FUNCTION ft.long_transactions(min_duration interval DEFAULT '60 s')
RETURNS TABLE (
    pid integer,
    usename name,
    application_name text,
    state text,
    transaction_duration interval,
    query_duration interval,
    query text,
    severity text,
    state_duration interval,
    datname name,
    client_addr inet,
    backend_type text,
    backend_start timestamptz,
    xact_start timestamptz,
    query_start timestamptz,
    state_change timestamptz,
    wait_event_type text,
    wait_event text,
    backend_xid xid,
    backend_xmin xid,
    xid_age integer,
    xmin_age integer,
    prepared_gid text,
    traceparent text)
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
    ), open_transaction AS (
        -- A parallel worker is part of its leader's transaction.  A session
        -- with track_activities off tells no times, but still holds its xid
        -- and its xmin.  The server forgets when a transaction that has failed
        -- began.
        SELECT a.pid, a.usename, a.application_name, a.state,
               clock.now - a.xact_start AS transaction_duration,
               CASE WHEN a.state LIKE 'idle%' THEN a.state_change - a.query_start
                    ELSE clock.now - a.query_start
               END AS query_duration,
               a.query,
               clock.now - a.state_change AS state_duration,
               a.datname, a.client_addr, a.backend_type, a.backend_start,
               a.xact_start, a.query_start, a.state_change,
               a.wait_event_type, a.wait_event, a.backend_xid, a.backend_xmin,
               age(a.backend_xid) AS xid_age,
               age(a.backend_xmin) AS xmin_age,
               NULL::text AS prepared_gid
          FROM clock, pg_stat_activity AS a
         WHERE (a.xact_start IS NOT NULL
                OR a.state = 'idle in transaction (aborted)'
                OR (a.state = 'disabled'
                    AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)))
           AND a.backend_type IS DISTINCT FROM 'parallel worker'
        UNION ALL
        SELECT NULL, p.owner, NULL, 'prepared',
               clock.now - p.prepared, NULL, NULL, clock.now - p.prepared,
               p.database, NULL, NULL, NULL,
               p.prepared, NULL, p.prepared,
               NULL, NULL, p.transaction, NULL,
               age(p.transaction), NULL,
               p.gid
          FROM clock, pg_prepared_xacts AS p
    )
    SELECT t.pid, t.usename, t.application_name, t.state,
           t.transaction_duration, t.query_duration, t.query,
           CASE s.severity WHEN 'OK' THEN 'INFO' WHEN 'UNKNOWN' THEN 'INFO' ELSE s.severity END,
           t.state_duration, t.datname, t.client_addr, t.backend_type,
           t.backend_start, t.xact_start, t.query_start, t.state_change,
           t.wait_event_type, t.wait_event, t.backend_xid, t.backend_xmin,
           t.xid_age, t.xmin_age, t.prepared_gid,
           ft.traceparent(t.query, t.application_name)
      FROM open_transaction AS t,
           LATERAL (SELECT ft.worst_severity(
                               ft.severity('transaction', extract(epoch FROM t.transaction_duration)::double precision),
                               CASE
                                   WHEN t.state LIKE 'idle in transaction%'
                                   THEN ft.severity('idle_in_transaction', extract(epoch FROM t.state_duration)::double precision)
                                   WHEN t.state = 'prepared'
                                   THEN ft.severity('prepared_transaction', extract(epoch FROM t.state_duration)::double precision)
                               END) AS severity) AS s
     WHERE coalesce(t.transaction_duration,
                    CASE WHEN t.state LIKE 'idle in transaction%' THEN t.state_duration END)
               >= min_duration IS NOT FALSE
     ORDER BY t.transaction_duration DESC NULLS LAST, t.pid;
END;

COMMENT ON FUNCTION ft.long_transactions(interval) IS
'open transactions of all databases that are at least so old, active, idle or prepared, oldest first';

CREATE VIEW ft.long_transactions_summary AS
SELECT t.severity,
       coalesce(t.pid::text, 'prepared ' || quote_literal(t.prepared_gid)) AS who,
       t.usename,
       t.state,
       date_trunc('second', t.transaction_duration) AS transaction,
       date_trunc('second', t.state_duration) AS "in state",
       left(regexp_replace(t.query, '[[:space:]]+', ' ', 'g'), 50) AS query
  FROM ft.long_transactions() AS t;

COMMENT ON VIEW ft.long_transactions_summary IS
'ft.long_transactions() for reading in psql';

REVOKE ALL ON FUNCTION ft.terminate_sql(integer, timestamptz, timestamptz, timestamptz),
    ft.long_transactions(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.terminate_sql(integer, timestamptz, timestamptz, timestamptz),
    ft.long_transactions(interval) TO pg_monitor;
GRANT SELECT ON ft.long_transactions_summary TO pg_monitor;

