/* Health: every threshold as a check, and one verdict.  See health.c. */

CREATE FUNCTION ft.health_check(
    checks text[] DEFAULT NULL,
    OUT check_name text,
    OUT status text,
    OUT object text,
    OUT value double precision,
    OUT unit text,
    OUT warning double precision,
    OUT critical double precision,
    OUT message text,
    OUT hint text,
    OUT duration interval,
    OUT checked_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_health_check'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 60;

COMMENT ON FUNCTION ft.health_check(text[]) IS
'each check with what was found, its thresholds and what to do; all of them, or those that are named';

CREATE VIEW ft.health_check_summary AS
SELECT c.status,
       c.check_name,
       left(c.message, 90) AS message
  FROM ft.health_check() WITH ORDINALITY AS c
 ORDER BY array_position('{CRITICAL,WARNING,UNKNOWN,OK}', c.status), c.ordinality;

COMMENT ON VIEW ft.health_check_summary IS
'ft.health_check() for reading in psql, the worst first';

CREATE FUNCTION ft.health(checks text[] DEFAULT NULL)
RETURNS TABLE (
    status text,
    ok boolean,
    node text,
    accepts_writes boolean,
    critical bigint,
    warning bigint,
    "unknown" bigint,
    worst_check text,
    worst_object text,
    worst_message text,
    checked bigint,
    checked_at timestamptz,
    duration interval)
LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 1
BEGIN ATOMIC
    WITH node AS MATERIALIZED (
        SELECT pg_is_in_recovery() AS in_recovery, clock_timestamp() AS started
    ), result AS MATERIALIZED (
        SELECT c.*, row_number() OVER (ORDER BY array_position('{CRITICAL,WARNING,UNKNOWN,OK}', c.status), c.ordinality) AS place
          FROM node AS n, LATERAL ft.health_check(checks) WITH ORDINALITY AS c
    ), verdict AS (
        SELECT count(*) FILTER (WHERE r.status = 'CRITICAL') AS critical,
               count(*) FILTER (WHERE r.status = 'WARNING') AS warning,
               count(*) FILTER (WHERE r.status = 'UNKNOWN') AS "unknown",
               count(DISTINCT r.check_name) AS checked
          FROM result AS r
    )
    SELECT CASE
               WHEN v.critical > 0 THEN 'CRITICAL'
               WHEN v.warning > 0 THEN 'WARNING'
               WHEN v."unknown" > 0 THEN 'UNKNOWN'
               ELSE 'OK'
           END,
           v.critical = 0,
           CASE WHEN n.in_recovery THEN 'standby' ELSE 'primary' END,
           -- What is set for a monitoring role alone says nothing of others.
           NOT n.in_recovery AND NOT EXISTS (
               SELECT FROM pg_settings AS s
                WHERE s.name = 'default_transaction_read_only' AND s.setting = 'on'
                  AND s.source NOT IN ('user', 'database user', 'client', 'session')),
           v.critical, v.warning, v."unknown",
           w.check_name, w.object, w.message,
           v.checked, n.started, clock_timestamp() - n.started
      FROM node AS n, verdict AS v
      LEFT JOIN result AS w ON w.place = 1 AND w.status <> 'OK';
END;

COMMENT ON FUNCTION ft.health(text[]) IS
'one row on this node: ok unless a check is critical, how many checks are not well, and the worst';

REVOKE ALL ON FUNCTION ft.health_check(text[]), ft.health(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.health_check(text[]), ft.health(text[]) TO pg_monitor;
GRANT SELECT ON ft.health_check_summary TO pg_monitor;

