/*
 * The archiver: what it did, what waits for it, and whether it fails now.
 * pg_stat_archiver is the same in all versions.  See archiver.c.
 */

CREATE FUNCTION ft.archive_queue(
    OUT archive_mode text,
    OUT archiving boolean,
    OUT archives_by text,
    OUT files_waiting bigint,
    OUT files_waiting_complete boolean,
    OUT oldest_waiting text,
    OUT waiting_since timestamptz)
AS 'MODULE_PATHNAME', 'ft_archive_queue'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.archive_queue() IS
'whether this node archives, by what, and the WAL files that wait for it';

CREATE FUNCTION ft.archiver()
RETURNS TABLE (
    archive_mode text,
    state text,
    archived_count bigint,
    last_archived_wal text,
    last_archived_time timestamptz,
    failed_count bigint,
    last_failed_wal text,
    last_failed_time timestamptz,
    failing boolean,
    failures_since_success bigint,
    files_waiting bigint,
    files_waiting_complete boolean,
    oldest_waiting text,
    waiting_since timestamptz,
    archived_per_minute double precision,
    covered interval,
    severity text,
    hint text,
    archives_by text,
    stats_reset timestamptz)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 1
BEGIN ATOMIC
    WITH archiver AS MATERIALIZED (
        SELECT q.*, s.archived_count, s.last_archived_wal, s.last_archived_time,
               s.failed_count, s.last_failed_wal, s.last_failed_time, s.stats_reset,
               q.archiving AND q.files_waiting > 0
                   AND coalesce(s.last_failed_time > s.last_archived_time,
                                s.last_failed_time IS NOT NULL) AS failing
          FROM ft.archive_queue() AS q, pg_stat_archiver AS s
    ), judged AS (
        -- How often it failed in a row is not counted by the server: at least
        -- once, and as often as was seen since nothing was archived.
        SELECT r.*, a.covered,
               a.archived * 60 / extract(epoch FROM a.covered)::double precision AS archived_per_minute,
               CASE
                   WHEN NOT r.failing THEN 0
                   WHEN a.archived = 0 THEN greatest(a.archive_failed, 1)
                   ELSE 1
               END AS failures,
               CASE WHEN r.archiving
                    THEN ft.severity('archive_waiting', r.files_waiting)
               END AS waiting_severity
          FROM archiver AS r, ft.wal_activity('10 min') AS a
    )
    SELECT j.archive_mode,
           CASE
               WHEN j.archive_mode = 'off' THEN 'off'
               WHEN NOT j.archiving THEN 'left to the primary'
               WHEN j.archives_by IS NULL THEN 'not configured'
               WHEN j.failing THEN 'failing'
               WHEN j.files_waiting > 0 THEN 'archiving'
               ELSE 'idle'
           END,
           j.archived_count, j.last_archived_wal, j.last_archived_time,
           j.failed_count, j.last_failed_wal, j.last_failed_time,
           j.failing, j.failures,
           j.files_waiting, j.files_waiting_complete, j.oldest_waiting, j.waiting_since,
           j.archived_per_minute, j.covered,
           ft.worst_severity(ft.severity('archiver_failing', j.failures), j.waiting_severity),
           CASE
               WHEN j.archiving AND j.archives_by IS NULL THEN
                   'Set archive_command or archive_library, and reload: until then every WAL file is kept.'
               WHEN j.failing THEN
                   format('The reason why %s was not archived is in the server log; run archive_command for it by hand as the server''s user.',
                          j.last_failed_wal)
               WHEN j.waiting_severity <> 'OK' THEN
                   'The archive is slower than WAL is written: compare SELECT * FROM ft.wal_rate().'
           END,
           j.archives_by, j.stats_reset
      FROM judged AS j;
END;

COMMENT ON FUNCTION ft.archiver() IS
'what the archiver did, what waits for it, and whether it fails now';

CREATE VIEW ft.archiver_summary AS
SELECT a.severity,
       a.state,
       a.archived_count AS archived,
       a.failed_count AS failed,
       a.files_waiting AS waiting,
       date_trunc('second', clock_timestamp() - a.waiting_since) AS "waiting for",
       coalesce(a.last_failed_wal, a.last_archived_wal) AS "last failed, else archived",
       round(a.archived_per_minute) AS "per minute"
  FROM ft.archiver() AS a;

COMMENT ON VIEW ft.archiver_summary IS
'ft.archiver() for reading in psql';

REVOKE ALL ON FUNCTION ft.archive_queue(), ft.archiver() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.archive_queue(), ft.archiver() TO pg_monitor;
GRANT SELECT ON ft.archiver_summary TO pg_monitor;

