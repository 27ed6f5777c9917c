-- Failures: their types by rule, and what is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

SELECT * FROM ft.failure_rules() ORDER BY sqlstate_prefix COLLATE "C";

-- every code by itself, before anything was completed
SELECT ft.create_execution() AS e \gset
SELECT ft.add_task(:'e', 'one', compensation => 'SELECT 1') AS one \gset
SELECT ft.add_task(:'e', 'two') AS two \gset
CREATE TEMP TABLE codes (code text COLLATE "C");
INSERT INTO codes VALUES ('08006'), ('08P01'), ('23505'), ('25006'), ('25001'), ('40001'),
    ('40002'), ('40P01'), ('42601'), ('53100'), ('53300'), ('55P03'), ('55000'), ('57014'),
    ('57P01'), ('57P02'), ('57P03'), ('57P04'), ('58030'), ('58P01'), ('XX000'), (NULL);
SELECT count(ft.record_failure(:'e', 'as it is', code)) FROM codes;
SELECT sqlstate, failure_type FROM ft.orchestration_failures ORDER BY sqlstate COLLATE "C";
SELECT status FROM ft.orchestration_executions;
SELECT failure_message, recovered, recovery_strategy, recovery_attempts, given_up_at, recovered_at,
       next_attempt_at = failure_timestamp AS at_once
  FROM ft.orchestration_failures LIMIT 1;
SELECT recovery, count(*) FROM ft.unrecovered_failures GROUP BY 1;
SELECT ft.recover_from_failure(:'e', 'TRANSIENT') IS NOT NULL AS recovered;

-- with something done that can be compensated, what is not transient is partial
SELECT ft.start_task(:'one'), ft.complete_task(:'one'), ft.start_task(:'two');
DELETE FROM ft.orchestration_failures;
SELECT ft.fail_task(:'two', 'no such customer', '23503', 1) AS failure \gset
SELECT failure_type, failure_message, sqlstate, attempt, task_id = :'two' AS of_two
  FROM ft.orchestration_failures WHERE failure_id = :'failure';
SELECT task_name, status, failures, error_sqlstate, error_message
  FROM ft.orchestration_tasks ORDER BY task_id;
SELECT count(ft.record_failure(:'e', 'as it is', code)) FROM codes;
SELECT failure_type, string_agg(sqlstate, ' ' ORDER BY sqlstate COLLATE "C"), count(*)
  FROM ft.orchestration_failures WHERE failure_message = 'as it is' GROUP BY 1 ORDER BY 1;
-- a type that is given wins
SELECT ft.record_failure(:'e', 'they say so', '40001', 'PERMANENT') AS failure \gset
SELECT failure_type FROM ft.orchestration_failures WHERE failure_id = :'failure';

-- refused, and nothing changes
CREATE TEMP TABLE before AS SELECT count(*) AS n FROM ft.orchestration_failures;
SELECT pg_temp.outcome('SELECT ft.record_failure(gen_random_uuid(), ''m'')');
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, NULL)', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''m'', ''4000'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''m'', ''4000a'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''m'', '''')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''m'', NULL, ''transient'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''m'', NULL, ''FATAL'')', :'e'));
SELECT pg_temp.outcome('SELECT ft.fail_task(gen_random_uuid(), ''m'')');
SELECT pg_temp.outcome(format('SELECT ft.fail_task(%L, NULL)', :'two'));
SELECT pg_temp.outcome(format('SELECT ft.fail_task(%L, ''m'')', :'two'));
SELECT pg_temp.outcome(format('SELECT ft.fail_task(%L, ''m'', NULL, 7)', :'two'));
SELECT pg_temp.outcome(format('SELECT ft.start_task(%L)', :'two'));
SELECT (SELECT count(*) FROM ft.orchestration_failures) = n AS unchanged FROM before;
SELECT * FROM ft.validate_execution(:'e');
DELETE FROM ft.orchestration_executions;
SELECT count(*) FROM ft.orchestration_failures;
