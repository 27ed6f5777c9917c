/*
 * What clients left behind that are gone: sessions that work for nobody,
 * transactions that failed and were left open, prepared transactions without
 * anybody to finish them.  See vanished_clients.c.
 */

CREATE FUNCTION ft.client_connections(
    OUT pid integer,
    OUT backend_start timestamptz,
    OUT socket_state text,
    OUT retransmits integer,
    OUT probes integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_client_connections'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.client_connections() IS
'the state of the TCP connection of each session as the kernel has it: "gone" if it has none any more; how often it sent and probed without an answer';

CREATE FUNCTION ft.vanished_clients()
RETURNS TABLE (
    kind text,
    pid integer,
    prepared_gid text,
    certain boolean,
    evidence text,
    datname name,
    usename name,
    application_name text,
    client_addr inet,
    state text,
    state_duration interval,
    transaction_duration interval,
    query text,
    severity text,
    sql text,
    hint text,
    socket_state text,
    retransmits integer,
    probes integer,
    backend_start timestamptz,
    xact_start timestamptz,
    wait_event_type text,
    wait_event text,
    traceparent text)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    WITH clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
    ), connection AS MATERIALIZED (
        SELECT * FROM ft.client_connections()
    ), session AS MATERIALIZED (
        SELECT a.pid, a.datname, a.usename, a.application_name, a.client_addr, a.state,
               a.query, a.backend_start, a.xact_start, a.state_change,
               a.wait_event_type, a.wait_event, a.backend_type,
               clock.now - a.state_change AS state_duration,
               clock.now - a.xact_start AS transaction_duration,
               c.socket_state, c.retransmits, c.probes
          FROM clock, pg_stat_activity AS a
          LEFT JOIN connection AS c ON c.pid = a.pid AND c.backend_start = a.backend_start
         WHERE a.backend_type IN ('client backend', 'walsender')
    ), found AS (
        -- Who waits for the client's next statement hears of its end at once,
        -- so what is seen there is a session about to end.
        SELECT CASE
                   WHEN s.socket_state IN ('gone', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK', 'CLOSING')
                        AND s.wait_event IS DISTINCT FROM 'ClientRead' THEN 'client gone'
                   WHEN s.retransmits >= 3 OR s.probes >= 2 THEN 'client silent'
                   WHEN s.state = 'idle in transaction (aborted)' THEN 'failed and left open'
               END AS kind,
               s.*
          FROM session AS s
    ), orphan AS (
        SELECT p.gid, p.owner, p.database, p.prepared, clock.now - p.prepared AS age
          FROM clock, pg_prepared_xacts AS p
         WHERE NOT EXISTS (SELECT FROM session AS s
                            WHERE s.usename = p.owner AND s.datname = p.database)
    )
    SELECT f.kind, f.pid, NULL::text, f.kind = 'client gone',
           CASE f.kind
               WHEN 'client gone' THEN
                   CASE f.socket_state
                       WHEN 'CLOSE_WAIT' THEN 'the client closed the connection'
                       ELSE 'the kernel has given up the connection'
                   END
               WHEN 'client silent' THEN
                   format('%s repeats and %s probes are without an answer', f.retransmits, f.probes)
               ELSE 'its transaction failed, and the client sent nothing since'
           END,
           f.datname, f.usename, f.application_name, f.client_addr, f.state,
           f.state_duration, f.transaction_duration, f.query,
           CASE WHEN f.kind = 'failed and left open' THEN v.severity
                WHEN v.severity = 'CRITICAL' THEN 'CRITICAL'
                ELSE 'WARNING'
           END,
           ft.terminate_sql(f.pid, f.backend_start, f.xact_start, f.state_change),
           CASE f.kind
               WHEN 'client gone' THEN 'client_connection_check_interval lets a session notice by itself.'
               WHEN 'client silent' THEN 'tcp_keepalives_idle, tcp_keepalives_count and tcp_user_timeout say how long a session waits for a client that is silent.'
               ELSE 'idle_in_transaction_session_timeout ends such sessions.'
           END,
           f.socket_state, f.retransmits, f.probes, f.backend_start, f.xact_start,
           f.wait_event_type, f.wait_event,
           ft.traceparent(f.query, f.application_name)
      FROM found AS f,
           LATERAL (SELECT ft.severity('idle_in_transaction', extract(epoch FROM f.state_duration)::double precision) AS severity) AS v
     WHERE f.kind IN ('client gone', 'client silent')
        OR (f.kind = 'failed and left open' AND v.severity <> 'OK')
    UNION ALL
    SELECT 'orphaned prepared transaction', NULL, o.gid, false,
           format('prepared and not finished, and %s has no session in %s', o.owner, o.database),
           o.database, o.owner, NULL, NULL, 'prepared', o.age, o.age, NULL,
           v.severity,
           'ROLLBACK PREPARED ' || quote_literal(o.gid)
               || ' /* in the database that column datname names, outside a transaction block, as a superuser or its owner; COMMIT PREPARED instead if its coordinator decided so */',
           'Ask its coordinator what it decided, then commit it or roll it back.',
           NULL, NULL, NULL, NULL, o.prepared, NULL, NULL, NULL
      FROM orphan AS o,
           LATERAL (SELECT ft.severity('prepared_transaction', extract(epoch FROM o.age)::double precision) AS severity) AS v
     WHERE v.severity <> 'OK'
     ORDER BY 4 DESC, 11 DESC NULLS LAST, 2;
END;

COMMENT ON FUNCTION ft.vanished_clients() IS
'what clients left behind that are gone: sessions that work for nobody, failed transactions left open, orphaned prepared transactions, with the SQL that ends each';

CREATE VIEW ft.vanished_clients_summary AS
SELECT v.severity,
       v.kind,
       coalesce(v.pid::text, left(quote_literal(v.prepared_gid), 20)) AS who,
       left(v.usename::text, 12) AS usename,
       left(v.application_name, 16) AS application,
       date_trunc('second', v.state_duration) AS "for",
       v.evidence
  FROM ft.vanished_clients() AS v;

COMMENT ON VIEW ft.vanished_clients_summary IS
'ft.vanished_clients() for reading in psql; its column sql has what ends them';

REVOKE ALL ON FUNCTION ft.client_connections(), ft.vanished_clients() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.client_connections(), ft.vanished_clients() TO pg_monitor;
GRANT SELECT ON ft.vanished_clients_summary TO pg_monitor;

