/*
 * How transactions and sessions end, by application.  See session_outcomes.c.
 *
 * Where the library is not preloaded, by database, as the server counts; its
 * functions are used because they did not change while the view on them did.
 */

CREATE FUNCTION ft.session_outcome_counts(
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT commits bigint,
    OUT rollbacks bigint,
    OUT sessions bigint,
    OUT abandoned bigint,
    OUT fatal bigint,
    OUT killed bigint,
    OUT is_other boolean,
    OUT counted_since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_session_outcome_counts'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.session_outcome_counts() IS
'commits, rollbacks and broken sessions by database, role and application; no row where the library is not preloaded';

CREATE FUNCTION ft.recent_outcomes(
    "window" interval,
    OUT covered interval,
    OUT commits bigint,
    OUT rollbacks bigint,
    OUT sessions bigint,
    OUT abandoned bigint,
    OUT fatal bigint,
    OUT killed bigint)
AS 'MODULE_PATHNAME', 'ft_recent_outcomes'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.recent_outcomes(interval) IS
'commits, rollbacks and broken sessions of all since the sample nearest to the begin of the window; NULL until one was taken';

CREATE FUNCTION ft.reset_session_outcomes() RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_session_outcomes'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.reset_session_outcomes() IS
'count commits, rollbacks and broken sessions from zero';

CREATE FUNCTION ft.session_outcomes()
RETURNS TABLE (
    datname name,
    usename name,
    application_name text,
    commits bigint,
    rollbacks bigint,
    rollback_percent double precision,
    sessions bigint,
    broken_sessions bigint,
    abandoned bigint,
    fatal bigint,
    killed bigint,
    severity text,
    counted_since timestamptz,
    counted_by text)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 100
BEGIN ATOMIC
    WITH own AS MATERIALIZED (
        SELECT * FROM ft.session_outcome_counts()
    ), outcome AS (
        SELECT o.datname, o.usename, o.application_name, o.commits, o.rollbacks,
               o.sessions, o.abandoned, o.fatal, o.killed, o.counted_since,
               CASE WHEN o.is_other THEN 'other' ELSE 'application' END AS counted_by
          FROM own AS o
        UNION ALL
        SELECT d.datname, NULL, NULL,
               pg_stat_get_db_xact_commit(d.oid), pg_stat_get_db_xact_rollback(d.oid),
               pg_stat_get_db_sessions(d.oid), pg_stat_get_db_sessions_abandoned(d.oid),
               pg_stat_get_db_sessions_fatal(d.oid), pg_stat_get_db_sessions_killed(d.oid),
               pg_stat_get_db_stat_reset_time(d.oid), 'database'
          FROM pg_database AS d
         WHERE d.datallowconn AND NOT EXISTS (SELECT FROM own)
    )
    -- A few transactions make no ratio.
    SELECT o.datname, o.usename, o.application_name, o.commits, o.rollbacks,
           r.percent, o.sessions, o.abandoned + o.fatal + o.killed,
           o.abandoned, o.fatal, o.killed,
           CASE WHEN o.commits + o.rollbacks < 100 AND o.rollbacks > 0 THEN 'UNKNOWN'
                ELSE ft.severity('rollbacks', coalesce(r.percent, 0))
           END,
           o.counted_since, o.counted_by
      FROM outcome AS o,
           LATERAL (SELECT 100.0::double precision * o.rollbacks
                           / nullif(o.commits + o.rollbacks, 0) AS percent) AS r
     ORDER BY o.rollbacks DESC, o.commits DESC, o.datname, o.usename, o.application_name;
END;

COMMENT ON FUNCTION ft.session_outcomes() IS
'commits, rollbacks and broken sessions by database, role and application; by database where the library is not preloaded';

CREATE VIEW ft.session_outcomes_summary AS
SELECT o.severity,
       left(o.datname::text, 16) AS datname,
       left(o.usename::text, 16) AS usename,
       left(o.application_name, 20) AS application,
       o.commits,
       o.rollbacks,
       round(o.rollback_percent::numeric, 1) AS "%",
       o.sessions,
       o.abandoned, o.fatal, o.killed
  FROM ft.session_outcomes() AS o;

COMMENT ON VIEW ft.session_outcomes_summary IS
'ft.session_outcomes() for reading in psql';

REVOKE ALL ON FUNCTION ft.session_outcome_counts(), ft.recent_outcomes(interval),
    ft.reset_session_outcomes(), ft.session_outcomes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.session_outcome_counts(), ft.recent_outcomes(interval),
    ft.session_outcomes() TO pg_monitor;
GRANT SELECT ON ft.session_outcomes_summary TO pg_monitor;

