-- ft.metrics: the conventions that its names, labels and values keep, figures
-- of faults that are made here, and a subject that fails.  Scraped for real in
-- test/tap/115_prometheus.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- A task of the sampler that never ran has no figures.
SELECT count(ft.sampler_tick(task)::text) > 0 AS sampled FROM ft.sampler_tasks();

SELECT labels, value FROM ft.metrics WHERE name = 'fault_tolerance_subject_up' ORDER BY 1;

-- Every metric, and its type: what a dashboard can be built on.
SELECT DISTINCT name, type FROM ft.metrics ORDER BY name;

-- Each series once; names, units, help and labels by the conventions.
SELECT name, labels AS there_twice FROM ft.metrics GROUP BY name, labels HAVING count(*) > 1;
SELECT DISTINCT name AS unconventional FROM ft.metrics
 WHERE name !~ '^fault_tolerance_[a-z]+(_[a-z]+)*$'
    OR name ~ '(percent|minutes|hours|milliseconds|_ms|_mb|_kb)'
    OR (type = 'counter') <> (name ~ '_total$') OR type NOT IN ('counter', 'gauge')
    OR name ~ '(total|seconds|bytes)_' AND name !~ '_(seconds|bytes)_total$'
    OR value IS NULL OR value = 'NaN' OR help !~ '^[A-Z0-9].*\.$';
SELECT DISTINCT key AS label FROM ft.metrics, jsonb_each(labels) ORDER BY 1;
SELECT name, labels AS unbounded FROM ft.metrics, jsonb_each_text(labels) AS l
 WHERE l.value ~* 'select|backend_pid' OR length(l.value) > 63;
SELECT name, help FROM ft.metrics GROUP BY name, help, type
HAVING count(DISTINCT help) > 1;

-- Figures of what is here.
SELECT labels ->> 'state' AS state, value >= 1 AS there
  FROM ft.metrics WHERE name = 'fault_tolerance_sessions' AND labels ->> 'state' = 'active';
SELECT abs(value - extract(epoch FROM clock_timestamp())) < 60 AS now
  FROM ft.metrics WHERE name = 'fault_tolerance_timestamp_seconds';
SELECT labels ? 'server_version' AND labels ->> 'extension_version' = extversion AS versions
  FROM ft.metrics, pg_extension WHERE name = 'fault_tolerance_info' AND extname = 'fault_tolerance';
SELECT value AS before FROM ft.metrics WHERE name = 'fault_tolerance_transactions' AND labels ->> 'state' = 'prepared' \gset
BEGIN;
CREATE TABLE metrics_prepared (id integer);
PREPARE TRANSACTION 'metrics';
SELECT value - :before AS prepared FROM ft.metrics
 WHERE name = 'fault_tolerance_transactions' AND labels ->> 'state' = 'prepared';
ROLLBACK PREPARED 'metrics';

-- What is the same subject's comes from the same place.
SELECT m.value = count(f.*) AS same FROM ft.metrics AS m LEFT JOIN ft.unrecovered_failures AS f ON true
 WHERE m.name = 'fault_tolerance_failures_unrecovered' GROUP BY m.value;

-- One subject that cannot answer: its own series are missing, the others not.
BEGIN;
SELECT count(DISTINCT name) AS names FROM ft.metrics \gset
ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order;
SELECT labels ->> 'subject' AS down FROM ft.metrics WHERE name = 'fault_tolerance_subject_up' AND value = 0;
SELECT :names - count(DISTINCT name) AS missing FROM ft.metrics;
SELECT count(*) AS left_over FROM ft.metrics WHERE name LIKE 'fault_tolerance_failure%';
ROLLBACK;

-- One that tells a series twice has it once, and is said to be in disorder.
BEGIN;
SET LOCAL check_function_bodies = off;
ALTER FUNCTION ft.sampler_tasks() RENAME TO out_of_order;
CREATE FUNCTION ft.sampler_tasks() RETURNS TABLE (
    task text, runs bigint, last_run timestamptz, last_duration interval, last_error_at timestamptz)
LANGUAGE sql AS $$ SELECT 'twice', n, now(), interval '1 s', now() FROM generate_series(1, 2) AS n $$;
SELECT labels ->> 'subject' AS down FROM ft.metrics WHERE name = 'fault_tolerance_subject_up' AND value = 0;
SELECT name, labels FROM ft.metrics WHERE labels ->> 'task' = 'twice' ORDER BY name;
ROLLBACK;

-- Who may ask, and where.
CREATE ROLE metrics_monitor;
CREATE ROLE metrics_nobody;
GRANT pg_monitor TO metrics_monitor;
GRANT USAGE ON SCHEMA ft TO metrics_nobody;
SET ROLE metrics_monitor;
SELECT count(*) FILTER (WHERE value = 0) AS down, count(*) > 5 AS asked
  FROM ft.metrics WHERE name = 'fault_tolerance_subject_up';
SET ROLE metrics_nobody;
SELECT * FROM ft.metrics;
SELECT * FROM ft.metric_rows();
RESET ROLE;
BEGIN READ ONLY;
SELECT count(*) > 20 AS in_a_read_only_transaction FROM ft.metrics;
COMMIT;
REVOKE ALL ON SCHEMA ft FROM metrics_nobody;
DROP ROLE metrics_monitor, metrics_nobody;
