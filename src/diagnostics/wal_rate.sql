/*
 * How fast WAL is written, archived and checkpointed, and how much of it lies
 * in pg_wal.  See wal_rate.c.
 */

CREATE FUNCTION ft.wal_activity(
    "window" interval,
    OUT sampled_at timestamptz,
    OUT covered interval,
    OUT wal_bytes bigint,
    OUT archived bigint,
    OUT archive_failed bigint,
    OUT checkpoints_timed bigint,
    OUT checkpoints_requested bigint)
AS 'MODULE_PATHNAME', 'ft_wal_activity'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.wal_activity(interval) IS
'what was written, archived and checkpointed since the sample nearest to the begin of the window; NULL until one was taken';

CREATE FUNCTION ft.wal_folder(
    OUT wal_files bigint,
    OUT wal_size bigint,
    OUT max_wal_size bigint,
    OUT wal_end pg_lsn)
AS 'MODULE_PATHNAME', 'ft_wal_folder'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.wal_folder() IS
'the WAL files in pg_wal, what they take and what they may take, in bytes';

CREATE FUNCTION ft.wal_rate("window" interval DEFAULT '1 min')
RETURNS TABLE (
    wal_bytes_per_second double precision,
    covered interval,
    sampled_at timestamptz,
    wal_files bigint,
    wal_size bigint,
    max_wal_size bigint,
    wal_size_percent double precision,
    severity text,
    checkpoints_timed bigint,
    checkpoints_requested bigint,
    wal_end pg_lsn)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
    SELECT a.wal_bytes / extract(epoch FROM a.covered)::double precision,
           a.covered, a.sampled_at,
           f.wal_files, f.wal_size, f.max_wal_size, p.percent,
           ft.severity('pg_wal_size', p.percent),
           a.checkpoints_timed, a.checkpoints_requested, f.wal_end
      FROM ft.wal_folder() AS f,
           -- What wal_keep_size keeps is kept on purpose.
           LATERAL (SELECT 100.0::double precision * f.wal_size
                           / (f.max_wal_size + pg_size_bytes(current_setting('wal_keep_size'))) AS percent) AS p,
           ft.wal_activity(coalesce("window", interval '1 min')) AS a;
END;

COMMENT ON FUNCTION ft.wal_rate(interval) IS
'WAL written per second over a window, and what lies in pg_wal against max_wal_size; the rate is NULL until it is known';

CREATE VIEW ft.wal_rate_summary AS
SELECT r.severity,
       pg_size_pretty(r.wal_bytes_per_second::bigint) || '/s' AS rate,
       date_trunc('second', r.covered) AS over,
       r.wal_files AS files,
       pg_size_pretty(r.wal_size) AS size,
       pg_size_pretty(r.max_wal_size) AS max_wal_size,
       round(r.wal_size_percent) AS "%",
       r.checkpoints_requested AS "requested checkpoints"
  FROM ft.wal_rate() AS r;

COMMENT ON VIEW ft.wal_rate_summary IS
'ft.wal_rate() for reading in psql';

REVOKE ALL ON FUNCTION ft.wal_activity(interval), ft.wal_folder(), ft.wal_rate(interval)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.wal_activity(interval), ft.wal_folder(), ft.wal_rate(interval)
    TO pg_monitor;
GRANT SELECT ON ft.wal_rate_summary TO pg_monitor;

