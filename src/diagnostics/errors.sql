/* Errors that reached the server's log.  See errors.c and error_log.c. */

CREATE FUNCTION ft.errors(
    "window" interval DEFAULT NULL,
    OUT sqlstate text,
    OUT condition_name text,
    OUT error_severity text,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT error_count bigint,
    OUT first_seen timestamptz,
    OUT last_seen timestamptz,
    OUT retryable boolean,
    OUT last_message text,
    OUT window_count bigint,
    OUT datid oid,
    OUT usesysid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_errors'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;

CREATE FUNCTION ft.recent_errors(
    OUT error_time timestamptz,
    OUT pid integer,
    OUT error_severity text,
    OUT sqlstate text,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT message text,
    OUT detail text,
    OUT hint text,
    OUT context text,
    OUT query text,
    OUT traceparent text,
    OUT condition_name text,
    OUT retryable boolean,
    OUT backend_type text,
    OUT query_id bigint,
    OUT datid oid,
    OUT usesysid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_recent_errors'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 500;

CREATE FUNCTION ft.error_counts(
    "window" interval DEFAULT '1 min',
    OUT counted_since timestamptz,
    OUT error_count bigint,
    OUT warning_count bigint,
    OUT other_count bigint,
    OUT kinds integer,
    OUT max_kinds integer,
    OUT window_count bigint,
    OUT recent_kept bigint,
    OUT recent_skipped bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'ft_error_counts'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

CREATE FUNCTION ft.error_rate(
    "window" interval DEFAULT '1 min',
    OUT error_count bigint,
    OUT errors_per_second double precision,
    OUT severity text,
    OUT top_sqlstate text,
    OUT top_application_name text,
    OUT top_datname name,
    OUT covered interval,
    OUT top_condition_name text)
RETURNS SETOF record
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
    WITH total AS MATERIALIZED (
        SELECT c.window_count,
               LEAST("window", clock_timestamp() - c.counted_since) AS covered
          FROM ft.error_counts("window") AS c
    ), rate AS MATERIALIZED (
        -- a server that has just started is not judged by its first second
        SELECT t.window_count, t.covered,
               round((t.window_count
                      / extract(epoch FROM GREATEST(t.covered, LEAST("window", '1 min'))))::numeric,
                     3)::double precision AS per_second
          FROM total AS t
    ), kind AS MATERIALIZED (
        SELECT coalesce(e.sqlstate, e.condition_name) AS sqlstate, e.condition_name,
               e.application_name, e.datname, e.window_count
          FROM ft.errors("window") AS e
         WHERE e.window_count > 0 AND e.error_severity <> 'WARNING'
    ), top_kind AS (
        SELECT k.sqlstate, min(k.condition_name) AS condition_name
          FROM kind AS k
         GROUP BY k.sqlstate
         ORDER BY sum(k.window_count) DESC, k.sqlstate LIMIT 1
    )
    SELECT r.window_count, r.per_second, ft.severity('error_rate', r.per_second),
           top_kind.sqlstate,
           (SELECT k.application_name FROM kind AS k
             GROUP BY k.application_name
             ORDER BY sum(k.window_count) DESC, k.application_name LIMIT 1),
           (SELECT k.datname FROM kind AS k
             GROUP BY k.datname
             ORDER BY sum(k.window_count) DESC, k.datname LIMIT 1),
           r.covered, top_kind.condition_name
      FROM rate AS r LEFT JOIN top_kind ON r.window_count > 0;
END;

CREATE FUNCTION ft.is_retryable(sqlstate text) RETURNS boolean
AS 'MODULE_PATHNAME', 'ft_is_retryable'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

CREATE FUNCTION ft.condition_name(sqlstate text) RETURNS text
AS 'MODULE_PATHNAME', 'ft_condition_name'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION ft.reset_errors() RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_errors'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE VIEW ft.error_summary AS
SELECT e.error_count AS errors,
       to_char(e.last_seen, 'MM-DD HH24:MI:SS') AS last,
       CASE e.error_severity WHEN 'ERROR' THEN '' ELSE e.error_severity || ' ' END
           || coalesce(e.sqlstate, e.condition_name) AS error,
       CASE WHEN e.retryable THEN 'yes' ELSE '' END AS retry,
       left(e.datname, 12) AS datname,
       left(e.usename, 10) AS usename,
       left(e.application_name, 14) AS application,
       left(regexp_replace(e.last_message, '[[:space:]]+', ' ', 'g'), 36) AS message
  FROM ft.errors() AS e;

COMMENT ON FUNCTION ft.errors(interval) IS
'errors that reached the log, counted by SQLSTATE, level, database, role and application, most frequent first; window_count is of the minutes that the window touches';
COMMENT ON FUNCTION ft.recent_errors() IS
'the last errors that reached the log, each with its statement, newest first';
COMMENT ON FUNCTION ft.error_counts(interval) IS
'how many errors were counted in all and in the window, and how full the table of kinds is';
COMMENT ON FUNCTION ft.error_rate(interval) IS
'errors a second over the last time, and where most of them come from';
COMMENT ON FUNCTION ft.is_retryable(text) IS
'whether an error of this SQLSTATE may go away when the transaction is tried again, by ft.failure_rules()';
COMMENT ON FUNCTION ft.condition_name(text) IS
'the name that PL/pgSQL has for this SQLSTATE; NULL if it has none';
COMMENT ON FUNCTION ft.reset_errors() IS
'forget all counts and recent errors';
COMMENT ON VIEW ft.error_summary IS
'ft.errors() for reading in psql';

REVOKE ALL ON FUNCTION ft.errors(interval), ft.recent_errors(), ft.error_counts(interval),
    ft.error_rate(interval), ft.reset_errors() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.errors(interval), ft.recent_errors(), ft.error_counts(interval),
    ft.error_rate(interval) TO pg_monitor;
GRANT SELECT ON ft.error_summary TO pg_monitor;

