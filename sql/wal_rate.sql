-- ft.wal_rate(): unknown until sampled, then what was written since the sample
-- nearest to the begin of the window; and what lies in pg_wal.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- pg_wal is there anyway.
SELECT wal_files > 0 AS files,
       wal_size = wal_files * pg_size_bytes(current_setting('wal_segment_size')) AS size,
       wal_files = (SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$') AS as_the_server_says,
       max_wal_size = pg_size_bytes(current_setting('max_wal_size')) AS max_wal_size,
       wal_size_percent = 100.0 * wal_size / (max_wal_size + pg_size_bytes(current_setting('wal_keep_size'))) AS percent,
       severity, wal_end >= pg_current_wal_lsn() AS wal_end
  FROM ft.wal_rate();
SELECT ft.set_threshold('pg_wal_size', 1, 100000);
SELECT severity FROM ft.wal_rate();
SELECT ft.reset_threshold('pg_wal_size');

SELECT ft.sampler_tick('wal');
SELECT pg_current_wal_insert_lsn() AS before \gset
CREATE TABLE wal_rate (id integer);
INSERT INTO wal_rate SELECT generate_series(1, 10000);
SELECT wal_bytes >= pg_current_wal_insert_lsn() - :'before'::pg_lsn AS at_least,
       covered > '0' AS covered, sampled_at < clock_timestamp() AS sampled,
       archived, archive_failed
  FROM ft.wal_activity('1 min');
SELECT wal_bytes_per_second > 0 AS rate, wal_bytes_per_second::bigint
       BETWEEN a.wal_bytes / extract(epoch FROM a.covered) / 2 AND a.wal_bytes / extract(epoch FROM a.covered) * 2 AS same
  FROM ft.wal_rate(), ft.wal_activity('1 min') AS a;

-- A short window takes the newest sample, a long one the oldest.
SELECT pg_sleep(0.1);
SELECT ft.sampler_tick('wal');
SELECT a.covered < '100 ms' AS the_newest, b.covered >= '100 ms' AS an_older
  FROM ft.wal_activity('1 ms') AS a, ft.wal_activity('1 h') AS b;

-- A checkpoint that is asked for is counted.
CHECKPOINT;
DO $$
BEGIN
    FOR i IN 1 .. 1000 LOOP
        EXIT WHEN (SELECT checkpoints_requested > 0 FROM ft.wal_activity('1 h'));
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT checkpoints_requested > 0 AS requested FROM ft.wal_activity('1 h');
DROP TABLE wal_rate;

-- Windows that make no sense.
SELECT ft.wal_activity('0');
SELECT ft.wal_activity('-1 s');
SELECT wal_files > 0 AS default_window FROM ft.wal_rate(NULL);
SELECT a IS NULL AS none FROM ft.wal_activity(NULL) AS a;
SELECT wal_files > 0 AS long FROM ft.wal_rate('100 years');

SELECT severity, files > 0 AS files FROM ft.wal_rate_summary;

CREATE ROLE wal_nobody;
CREATE ROLE wal_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO wal_nobody;
SET ROLE wal_nobody;
SELECT * FROM ft.wal_rate();
SELECT * FROM ft.wal_folder();
SELECT * FROM ft.wal_activity('1 min');
SET ROLE wal_monitor;
SELECT count(*) FROM ft.wal_rate_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM wal_nobody;
DROP ROLE wal_nobody, wal_monitor;
