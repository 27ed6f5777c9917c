
-- Who blocks whom, from the lock manager itself.

CREATE FUNCTION ft.blocking_edges(
    pid int DEFAULT NULL,
    OUT pid int,
    OUT blocker_pid int,
    OUT block_kind text,
    OUT locktype text,
    OUT waited_mode text,
    OUT held_mode text,
    OUT prepared_gid text,
    OUT blocker_waited_mode text,
    OUT leader_pid int,
    OUT lock_object text,
    OUT wait_start timestamptz,
    OUT source text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_blocking_edges';

CREATE FUNCTION ft.blocking_chains(
    OUT root_pid int,
    OUT level int,
    OUT path int[],
    OUT pid int,
    OUT blocker_pid int,
    OUT block_kind text,
    OUT locktype text,
    OUT lock_object text,
    OUT waited_mode text,
    OUT wait_start timestamptz,
    OUT wait_duration interval,
    OUT victims_direct int,
    OUT victims_total int,
    OUT in_cycle boolean,
    OUT prepared_gid text,
    OUT blocker_user name,
    OUT blocker_statement text,
    OUT datid oid,
    OUT datname name,
    OUT leader_pid int,
    OUT usesysid oid,
    OUT usename name,
    OUT application_name text,
    OUT client_addr inet,
    OUT client_hostname text,
    OUT client_port int,
    OUT backend_start timestamptz,
    OUT xact_start timestamptz,
    OUT query_start timestamptz,
    OUT state_change timestamptz,
    OUT wait_event_type text,
    OUT wait_event text,
    OUT state text,
    OUT backend_xid xid,
    OUT backend_xmin xid,
    OUT query_id bigint,
    OUT query text,
    OUT backend_type text,
    OUT recommended_action text,
    OUT recommended_sql text,
    OUT recommended_reason text,
    OUT held_mode text,
    OUT waiting_pid int,
    OUT source text,
    OUT traceparent text)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_blocking_chains';

-- Rows come in tree order, which a plain scan of the function keeps.
CREATE VIEW ft.lock_tree AS
SELECT repeat('  ', LEAST(c.level, 8)) ||
       CASE WHEN c.pid <> 0 THEN c.pid::text
            ELSE 'prepared ' || left(quote_literal(c.prepared_gid), 20) END AS session,
       left(c.usename::text, 12) AS usename,
       CASE WHEN c.waiting_pid IS NULL
            THEN COALESCE(c.state || ': ', '') || c.recommended_action
            ELSE left(CASE c.block_kind WHEN 'soft' THEN 'queues for ' ELSE 'wants ' END ||
                      COALESCE(substring(c.lock_object FROM '^transaction [0-9]+ on (row .*)'),
                               replace(c.waited_mode, 'Lock', '') || ' on ' || c.lock_object), 52) ||
                 CASE WHEN c.in_cycle THEN ' (deadlock)' ELSE '' END END AS what,
       date_trunc('second', COALESCE(c.wait_duration,
                                     clock_timestamp() - COALESCE(c.xact_start, c.state_change))) AS since,
       NULLIF(c.victims_total, 0) AS victims,
       left(regexp_replace(c.query, '[[:space:]]+', ' ', 'g'), 30) AS query
  FROM ft.blocking_chains() c;

CREATE VIEW ft.blocked_statements AS
SELECT c.pid AS blocked_pid,
       c.blocker_pid AS blocking_pid,
       c.usename AS blocked_user,
       c.blocker_user AS blocking_user,
       c.query AS blocked_statement,
       COALESCE(c.blocker_statement,
                'PREPARE TRANSACTION ' || quote_literal(c.prepared_gid)) AS blocking_statement
  FROM ft.blocking_chains() c
 WHERE c.waiting_pid IS NOT NULL;

COMMENT ON FUNCTION ft.blocking_edges(int) IS
'every pair of a waiting process and one that it waits for: by holding the lock (hard) or by queueing ahead for it (soft); as pg_blocking_pids(), with 0 for a prepared transaction';
COMMENT ON FUNCTION ft.blocking_chains() IS
'the blocking sessions and under each the sessions that wait for it, in tree order, with what to do about the roots';
COMMENT ON VIEW ft.lock_tree IS
'who blocks whom, indented; all columns are in ft.blocking_chains()';
COMMENT ON VIEW ft.blocked_statements IS
'each waiting session with the nearest one that has to go first, and the statements of both';

REVOKE ALL ON FUNCTION ft.blocking_edges(int) FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.blocking_chains() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.blocking_edges(int) TO pg_monitor;
GRANT EXECUTE ON FUNCTION ft.blocking_chains() TO pg_monitor;
GRANT SELECT ON ft.lock_tree, ft.blocked_statements TO pg_monitor;
