-- ft.health_check(): every check answers, silent where all is well, and fires
-- where the fault is made.  What takes other sessions, time, standbys or damage
-- is in test/tap/113_health.pl and 114_checksums.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT count(ft.sampler_tick(task)) > 0 AS sampled FROM ft.sampler_tasks();

-- This server runs without fsync and without workers, and its machine is busy.
CREATE VIEW finding AS
SELECT check_name, status, object, value, message FROM ft.health_check()
 WHERE check_name NOT IN ('load', 'disk', 'memory', 'requested_checkpoints', 'rollbacks', 'slow_query', 'deadlocks', 'error_rate');
SELECT check_name, status, object, message FROM finding WHERE status <> 'OK';
SELECT count(*) > 30 AS many, count(*) FILTER (WHERE message IS NULL) AS mute,
       count(*) FILTER (WHERE status NOT IN ('OK', 'WARNING', 'CRITICAL', 'UNKNOWN')) AS strange,
       count(*) FILTER (WHERE status <> 'OK' AND hint IS NULL) AS without_hint,
       count(*) FILTER (WHERE duration IS NULL OR checked_at IS NULL) AS untimed
  FROM ft.health_check();
-- Every threshold has its check; what the others are for.
SELECT t.check_name AS threshold_without_check
  FROM ft.thresholds AS t WHERE t.check_name NOT IN (SELECT check_name FROM ft.health_check()) ORDER BY 1;
SELECT DISTINCT check_name AS check_without_threshold
  FROM ft.health_check() WHERE check_name NOT IN (SELECT check_name FROM ft.thresholds) ORDER BY 1;
SELECT c.check_name, c.unit, t.unit, c.warning, t.warning, c.critical, t.critical
  FROM ft.health_check() AS c JOIN ft.thresholds AS t USING (check_name)
 WHERE (c.unit, c.warning, c.critical) IS DISTINCT FROM (t.unit, t.warning, t.critical);

-- One by one: only what is asked for.
SELECT check_name FROM ft.health_check('{lock_table,connections}');
SELECT count(*) FROM ft.health_check('{}') AS all_of_them WHERE check_name = 'sequence';
SELECT check_name FROM ft.health_check('{NULL,sequence}');
SELECT * FROM ft.health_check('{no_such_check}');

-- Faults, made for real.
BEGIN;
CREATE TABLE health_prepared (id integer);
PREPARE TRANSACTION 'health''s';
SELECT ft.set_threshold('prepared_transaction', 0, 1000);
SELECT check_name, status, object, regexp_replace(message, 'of \S+ in (\S+) was .*', 'of OWNER in \1') AS message
  FROM finding WHERE check_name = 'prepared_transaction';
SELECT hint FROM ft.health_check('{prepared_transaction}');
SELECT ft.reset_threshold('prepared_transaction');
SELECT status FROM finding WHERE check_name = 'prepared_transaction';
ROLLBACK PREPARED 'health''s';
SELECT status, message FROM finding WHERE check_name = 'prepared_transaction';

CREATE TABLE health_rows (id smallserial, n integer) WITH (autovacuum_enabled = off);
INSERT INTO health_rows (n) SELECT generate_series(1, 20000);
SELECT pg_stat_force_next_flush();
SELECT check_name, status, object, message FROM finding WHERE check_name IN ('stale_statistics', 'sequence');
SELECT hint AS mend FROM ft.health_check('{stale_statistics}') \gset
:mend;
SELECT status FROM finding WHERE check_name = 'stale_statistics';
DELETE FROM health_rows WHERE n <= 15000;
SELECT pg_stat_force_next_flush();
SELECT check_name, status, object, message FROM finding WHERE check_name = 'dead_tuple_percent';
-- Whatever number of them is set to matter.
SELECT ft.set_threshold('dead_tuples', NULL, NULL);
SELECT count(*) > 0 AS found FROM ft.health_check('{dead_tuple_percent}') WHERE status <> 'OK';
SELECT ft.set_threshold('dead_tuples', 'infinity', NULL);
SELECT status FROM ft.health_check('{dead_tuple_percent}');
SELECT ft.reset_threshold('dead_tuples');
VACUUM ANALYZE health_rows;
SELECT status FROM finding WHERE check_name = 'dead_tuple_percent';
SELECT status FROM ft.health_check('{bloat}');
SELECT ft.set_threshold('bloat_size', 100000, NULL);
SELECT status, object FROM ft.health_check('{bloat}') WHERE object = 'public.health_rows';
SELECT ft.reset_threshold('bloat_size');
SELECT setval('health_rows_id_seq', 26000);
SELECT status, object, round(value::numeric, 1) AS value, message FROM finding WHERE check_name = 'sequence';
-- However few digits this session wants to see.
SET extra_float_digits = -15;
SELECT round(value::numeric, 1) AS value FROM finding WHERE check_name = 'sequence';
RESET extra_float_digits;
SELECT setval('health_rows_id_seq', 32767);
SELECT status, object, value FROM finding WHERE check_name = 'sequence';

-- An index that failed to build; unique is not what these rows are.
INSERT INTO health_rows (id, n) VALUES (1, 15001);
CREATE UNIQUE INDEX CONCURRENTLY health_invalid ON health_rows (n);
SELECT status, object, value, message FROM finding WHERE check_name = 'invalid_indexes';
DROP INDEX health_invalid;
SELECT status, object, value FROM finding WHERE check_name = 'invalid_indexes';
DROP TABLE health_rows;

SELECT slot_name FROM pg_create_physical_replication_slot('ft_health', true);
SELECT ft.sampler_tick('slots');
SELECT ft.set_threshold('slot_inactive', 0, 1000), ft.set_threshold('slot_retained', 0, 0);
-- its lag in time is that of the last checkpoint, however long that is ago
SELECT check_name, status, object FROM finding
 WHERE object = 'ft_health' AND check_name <> 'replication_lag';
SELECT ft.reset_threshold('slot_inactive'), ft.reset_threshold('slot_retained');
SELECT pg_drop_replication_slot('ft_health');
SELECT status, message FROM finding WHERE check_name LIKE 'slot%';

-- A session that grows.
SELECT ft.sampler_tick('memory');
SELECT ft.set_threshold('backend_growth', 40e6, 1e15);
SELECT length(set_config('health.grown', repeat('x', 60000000), false)) AS grown;
SELECT status, object = pg_backend_pid()::text AS mine, value >= 40e6 AS value, unit,
       regexp_replace(message, '^\d+ \(.*\) has grown by \d+ MB to \d+ MB$', 'PID (WHO) has grown by SIZE to SIZE') AS message
  FROM ft.health_check('{backend_growth}');
SELECT set_config('health.grown', '', false);
SELECT ft.reset_threshold('backend_growth');
SELECT status FROM ft.health_check('{backend_growth}');

-- Locks of 2,000 objects: advisory ones have no fast path.
BEGIN;
SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, 2000) AS n;
SELECT status, value > 20 AS value FROM ft.health_check('{lock_table}');
SELECT locks >= 2000 AS locks, holders >= 2000 AS holders, severity FROM ft.lock_table();
COMMIT;
SELECT status FROM ft.health_check('{lock_table}');

DO $$ BEGIN FOR i IN 1 .. 100 LOOP COMMIT; ROLLBACK; END LOOP; END $$;
SELECT status, value > 10 AS value FROM ft.health_check('{rollbacks}');
SELECT ft.reset_session_outcomes();

-- An error, and a slow statement.
SELECT ft.reset_errors();
SELECT status, value, message LIKE 'no error in%' AS none FROM ft.health_check('{error_rate}');
SELECT ft.set_threshold('error_rate', 0.01, 100);
DO $$ BEGIN RAISE EXCEPTION 'health' USING ERRCODE = 'XX123'; END $$;
SELECT status, object, value > 0 AS value FROM ft.health_check('{error_rate}');
SELECT ft.reset_threshold('error_rate');
SELECT ft.reset_slow_statements();
SELECT status, message FROM ft.health_check('{slow_query}');
-- One that is slow is no alert; many of them are.
SET application_name = 'slow one';
SET fault_tolerance.slow_statement_threshold = '200ms';
SELECT pg_sleep(1.01);
SELECT pg_sleep(0.25);
SELECT pg_sleep(0.25);
SET fault_tolerance.slow_statement_threshold = -1;
SELECT status, value, regexp_replace(message, 'took [0-9:]+', 'took N') AS message, object, unit, warning FROM ft.health_check('{slow_query}');
SELECT ft.set_threshold('slow_query', 0.3, NULL);
SELECT status, value FROM ft.health_check('{slow_query}');
SELECT ft.set_threshold('slow_query_duration', 0.2, NULL);
SELECT status, value, object FROM ft.health_check('{slow_query}');
SELECT ft.set_threshold('slow_query_duration', NULL, NULL);
SELECT status, value, message FROM ft.health_check('{slow_query}');
SELECT ft.reset_threshold('slow_query'), ft.reset_threshold('slow_query_duration');

-- Where more end than are kept, the time is shorter that they are counted in.
SET fault_tolerance.slow_statement_threshold = 0;
SELECT ft.set_threshold('slow_query_duration', 0, NULL);
\set ECHO none
\o /dev/null
SELECT format('SELECT %s', i) FROM generate_series(1, current_setting('fault_tolerance.slow_statement_entries')::int) AS i \gexec
\o
\set ECHO all
SET fault_tolerance.slow_statement_threshold = -1;
SELECT status, value > 100 AS many FROM ft.health_check('{slow_query}');
SELECT ft.reset_threshold('slow_query_duration');
RESET application_name;
SELECT ft.reset_slow_statements();
RESET fault_tolerance.slow_statement_threshold;

SELECT ft.create_execution() AS execution \gset
SELECT ft.record_failure(:'execution', 'broken', '08006') IS NOT NULL AS recorded;
SELECT status, value > 0 AS some FROM finding WHERE check_name = 'orchestration_failures';
DELETE FROM ft.orchestration_executions WHERE execution_id = :'execution';

UPDATE pg_extension SET extversion = '0.0' WHERE extname = 'fault_tolerance';
SELECT status, message FROM finding WHERE check_name = 'extension_version';
UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'fault_tolerance';

-- A check that cannot answer is UNKNOWN, the others are there all the same.
BEGIN;
ALTER FUNCTION ft.sequences(double precision) RENAME TO out_of_order;
SELECT check_name, status, message FROM finding WHERE status = 'UNKNOWN' AND check_name <> 'sampler';
SELECT count(*) > 30 AS the_rest FROM finding WHERE status = 'OK';
ROLLBACK;
BEGIN;
CREATE OR REPLACE FUNCTION ft.sequences(min_percent double precision DEFAULT 0)
RETURNS TABLE (schemaname name, sequencename name, used_percent double precision, last_value bigint,
    end_value bigint, values_left numeric, severity text, cycle boolean, column_name text,
    column_type text, increment_by bigint, relid oid)
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 100
AS $$ SELECT NULL, NULL, NULL::double precision, NULL::bigint, NULL::bigint, NULL::numeric, pg_sleep(1000)::text,
             NULL::boolean, NULL, NULL, NULL::bigint, NULL::oid $$;
SET LOCAL fault_tolerance.check_timeout = '50ms';
SELECT check_name, status, message FROM ft.health_check('{sequence,lock_table}') WHERE check_name = 'sequence';
-- A check inside of a check: the limit is that of the outer one, and goes by.
CREATE OR REPLACE FUNCTION ft.paused_reason() RETURNS text
LANGUAGE sql AS $$ SELECT status FROM ft.health_check('{sequence}') $$;
SELECT check_name, status, message FROM ft.health_check('{orchestration_paused,lock_table}') WHERE status <> 'OK';
SET LOCAL fault_tolerance.check_timeout = 0;
SET LOCAL fault_tolerance.health_timeout = '50ms';
SELECT check_name, status, message LIKE 'cannot be told: no answer within%' AS limited
  FROM ft.health_check('{sequence,invalid_indexes}');
-- What the user limits ends the whole, though the check's own time is shorter
-- than what is left of it.
SET LOCAL statement_timeout = '100ms';
SET LOCAL fault_tolerance.health_timeout = 0;
\set VERBOSITY terse
SELECT check_name FROM ft.health_check('{sequence}');
\set VERBOSITY default
ROLLBACK;
-- The time that is over cancels nothing afterwards.
SELECT pg_sleep(0.1);

-- In a transaction that only reads.
BEGIN READ ONLY;
SELECT count(*) > 30 AS checks FROM ft.health_check();
COMMIT;
SELECT count(*) > 30 AS checks FROM ft.health_check_summary;

-- The verdict.
SELECT status, ok, node, accepts_writes, critical > 0 AS critical, worst_check, worst_object, worst_message, checked > 30 AS checked
  FROM ft.health();
SELECT status, ok, critical, warning, "unknown", worst_check, checked FROM ft.health('{lock_table,sequence}');
SELECT status, ok, warning, worst_check FROM ft.health('{lock_table,worker}');
SELECT status, ok, "unknown", worst_check FROM ft.health('{lock_table,sampler}');
-- Read-only is what is set for all, not for who asks.
SET default_transaction_read_only = on;
SELECT accepts_writes FROM ft.health('{lock_table}');
RESET default_transaction_read_only;
SELECT current_database() AS db \gset
ALTER DATABASE :"db" SET default_transaction_read_only = on;
\c :"db"
SELECT accepts_writes FROM ft.health('{lock_table}');
SET default_transaction_read_only = off;
ALTER DATABASE :"db" RESET default_transaction_read_only;
\c :"db"
SELECT accepts_writes FROM ft.health('{lock_table}');

DROP VIEW finding;
CREATE ROLE health_nobody;
CREATE ROLE health_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO health_nobody;
SET ROLE health_nobody;
SELECT * FROM ft.health_check();
SELECT * FROM ft.health();
SELECT * FROM ft.health_check_summary;
SET ROLE health_monitor;
SELECT check_name, message FROM ft.health_check()
 WHERE status = 'UNKNOWN' AND check_name NOT IN ('sampler', 'rollbacks');
SELECT count(*) > 30 AS checks FROM ft.health_check() WHERE status = 'OK';
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM health_nobody;
DROP ROLE health_nobody, health_monitor;
