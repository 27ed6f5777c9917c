/* Deadlocks that the server reported.  See deadlock.c and deadlock_count.c. */

CREATE FUNCTION ft.deadlocks(
    OUT deadlock_id bigint,
    OUT deadlock_time timestamptz,
    OUT datname name,
    OUT participant integer,
    OUT participants integer,
    OUT pid integer,
    OUT victim boolean,
    OUT usename name,
    OUT application_name text,
    OUT waited_mode text,
    OUT locktype text,
    OUT lock_object text,
    OUT blocked_by integer,
    OUT query text,
    OUT traceparent text,
    OUT context text,
    OUT report text,
    OUT note text,
    OUT datid oid,
    OUT usesysid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_deadlocks'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 50;

CREATE FUNCTION ft.deadlock_counts(
    OUT datname name,
    OUT reported bigint,
    OUT counted bigint,
    OUT not_reported bigint,
    OUT compared_since timestamptz,
    OUT deadlocks bigint,
    OUT datid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_deadlock_counts'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;

-- Rows come in the order of the function, which a plain scan keeps.
CREATE VIEW ft.deadlock_summary AS
SELECT CASE WHEN d.participant > 1 THEN '' ELSE to_char(d.deadlock_time, 'MM-DD HH24:MI:SS') END AS "time",
       left(d.datname, 10) AS datname,
       d.pid::text || CASE WHEN d.victim THEN ' (victim)' ELSE '' END AS process,
       left(d.application_name, 12) AS application,
       coalesce(replace(d.waited_mode, 'Lock', '') || ' on ' || left(d.lock_object, 26)
                || ' of ' || d.blocked_by,
                d.note) AS "waits for",
       left(regexp_replace(d.query, '[[:space:]]+', ' ', 'g'), 30) AS query
  FROM ft.deadlocks() AS d;

COMMENT ON FUNCTION ft.deadlocks() IS
'the last deadlocks that the server reported: a row for each process that took part, with the lock it waited for and who held it';
COMMENT ON FUNCTION ft.deadlock_counts() IS
'deadlocks of each database that were reported, beside what the server counted; the difference was caught inside of functions';
COMMENT ON VIEW ft.deadlock_summary IS
'ft.deadlocks() for reading in psql';

REVOKE ALL ON FUNCTION ft.deadlocks(), ft.deadlock_counts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.deadlocks(), ft.deadlock_counts() TO pg_monitor;
GRANT SELECT ON ft.deadlock_summary TO pg_monitor;

