-- Starting executions: once, in order of priority, under the version begun with.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TABLE start_ledger (entry serial, step text);
SELECT ft.define_orchestration('order', $$[
    {"name": "reserve", "critical": true,
     "command": "INSERT INTO start_ledger (step) VALUES ('reserve ' || ($1 ->> 'order')) RETURNING step",
     "compensation": "INSERT INTO start_ledger (step) VALUES ('give back ' || ($1 ->> 'order'))"},
    {"name": "charge", "depends_on": ["reserve"],
     "command": "INSERT INTO start_ledger (step) VALUES ('charge after ' || (ft.result('reserve') #>> '{}')); SELECT ft.set_state('{\"charged\": 5}')"},
    {"name": "gift", "depends_on": ["reserve"], "condition": "SELECT ft.input() ? 'gift'",
     "command": "INSERT INTO start_ledger (step) VALUES ('gift') RETURNING step, 7 AS size"},
    {"name": "ship", "depends_on": ["charge", "gift"],
     "command": "INSERT INTO start_ledger (step) VALUES ('ship ' || ($2 ->> 'charged') || ' ' || $3::text)"}]$$)
    IS NOT NULL AS defined;

-- A rollback of the caller's transaction leaves nothing, a commit starts it.
BEGIN;
SELECT ft.start('order', '{"order": 3}') IS NOT NULL AS started;
ROLLBACK;
SELECT count(*) FROM ft.orchestration_executions;

-- The same key starts the same thing once, and never another.
SELECT ft.start('order', '{"order": 4}', idempotency_key => 'order 4') AS execution \gset
SELECT ft.start('order', '{"order": 4}', idempotency_key => 'order 4') = :'execution' AS same;
SELECT count(*) FROM ft.orchestration_executions;
\set VERBOSITY terse
SELECT ft.submit('SELECT 1', idempotency_key => 'order 4');
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;

-- What cannot be started.
\set VERBOSITY terse
SELECT ft.start('nothing');
SELECT ft.start(NULL);
SELECT ft.start('order', NULL);
SELECT ft.start('order', version => 9);
SELECT ft.start('order', priority => 100000);
SELECT ft.start('order', run_at => 'infinity');
SELECT ft.start('order', idempotency_key => '');
SELECT ft.submit('');
SELECT ft.submit('SELECT 1', execution_mode => 'other');
SELECT ft.submit('SELECT 1', max_attempts => 0);
SELECT ft.submit('SELECT 1', queue => '');
SELECT ft.submit('SELECT 1; SELECT 2', execution_mode => 'non_transactional');
SELECT ft.submit('ROLLBACK');
SELECT ft.submit('SELECT 1', compensation => 'SELEKT');
SELECT ft.submit('SELECT 1', timeout => '-1 s');
SELECT ft.submit('SELECT 1', timeout => '2000 years');
SELECT ft.submit('SELECT 1', deadline => '-1 s');
SELECT ft.submit('SELECT 1', deadline => '178000000 years');
\set VERBOSITY default
SELECT count(*) FROM ft.orchestration_executions;

-- Priority first, then age; what is for later waits.
SELECT ft.submit('INSERT INTO start_ledger (step) VALUES (''last'')', run_at => now() + interval '1 hour') IS NOT NULL AS submitted;
SELECT ft.submit(format('INSERT INTO start_ledger (step) VALUES (%L)', name), priority => priority) IS NOT NULL AS submitted
  FROM (VALUES ('third', 0), ('first', 5), ('fourth', -5), ('second', 5)) AS job (name, priority);
SELECT ft.run_steps();
SELECT step FROM start_ledger ORDER BY entry;
SELECT status, count(*) FROM ft.orchestration_executions GROUP BY 1 ORDER BY 1;
DELETE FROM ft.orchestration_executions;
TRUNCATE start_ledger RESTART IDENTITY;

-- A version that was begun is kept.
SELECT ft.start('order', '{"order": 5}') AS execution \gset
SELECT ft.define_orchestration('order', '[{"name": "other", "command": "SELECT 1"}]') IS NOT NULL AS defined;
SELECT ft.run_steps(:'execution');
SELECT ft.start('order', version => 1) IS NOT NULL AS old, ft.start('order') IS NOT NULL AS new;
SELECT count(*) FROM ft.orchestration_tasks GROUP BY execution_id ORDER BY 1;
DELETE FROM ft.orchestration_executions;

-- Whoever asks again after a new version was made means what was begun, unless
-- he asks for a version.
SELECT ft.start('order', idempotency_key => 'order 6') AS execution \gset
SELECT ft.define_orchestration('order', '[
    {"name": "other", "command": "SELECT 1", "priority": 2.0, "max_attempts": 3.0, "repeat_while": "SELECT false", "max_iterations": 2.0},
    {"name": "more", "command": "SELECT 2", "depends_on": ["other"]},
    {"name": "alone", "depends_on": null}]') IS NOT NULL AS defined;
SELECT ft.start('order', idempotency_key => 'order 6') = :'execution' AS same;
SELECT ft.start('order', idempotency_key => 'order 6', version => 2) = :'execution' AS same;
\set VERBOSITY terse
SELECT ft.start('order', idempotency_key => 'order 6', version => 3);
\set VERBOSITY default
-- Whole numbers may be written with a point; what others depend on is known.
SELECT ft.start('order') AS execution \gset
SELECT task_name, priority, max_attempts, max_iterations, has_successors
  FROM ft.orchestration_tasks WHERE execution_id = :'execution' ORDER BY task_id;
DELETE FROM ft.orchestration_executions;
TRUNCATE start_ledger RESTART IDENTITY;

-- As many tasks as there may be: nothing holds each against all others.
SELECT ft.define_orchestration('order', (SELECT jsonb_agg(jsonb_build_object('name', 't' || i, 'depends_on',
                               CASE WHEN i > 1 THEN jsonb_build_array('t' || i - 1) ELSE '[]' END))
                               FROM generate_series(1, 10000) AS i)) IS NOT NULL AS defined;
SET statement_timeout = '20s';
SELECT ft.start('order') AS execution \gset
SELECT count(*), count(*) FILTER (WHERE has_successors) AS with_successors FROM ft.orchestration_tasks WHERE execution_id = :'execution';
SELECT count(*) FROM ft.validate_execution(:'execution');
SELECT waits_for, task_name FROM ft.why_waiting(:'execution');
SELECT ft.pause(:'execution');
SELECT ft.resume(:'execution');
SELECT ft.cancel(:'execution');
RESET statement_timeout;
DELETE FROM ft.orchestration_executions;
SELECT pg_stat_force_next_flush() \g /dev/null
VACUUM ft.orchestration_tasks;

SELECT ft.drop_orchestration('order');
DROP TABLE start_ledger;
