SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Steps, run by hand one execution at a time: data flow, order, skipping.
CREATE TABLE step_ledger (entry serial, step text);
SELECT ft.define_orchestration('order', $$[
    {"name": "reserve", "critical": true,
     "command": "INSERT INTO step_ledger (step) VALUES ('reserve ' || ($1 ->> 'order')) RETURNING step",
     "compensation": "INSERT INTO step_ledger (step) VALUES ('give back ' || ($1 ->> 'order'))"},
    {"name": "charge", "depends_on": ["reserve"],
     "command": "INSERT INTO step_ledger (step) VALUES ('charge after ' || (ft.result('reserve') #>> '{}')); SELECT ft.set_state('{\"charged\": 5}')"},
    {"name": "gift", "depends_on": ["reserve"], "condition": "SELECT ft.input() ? 'gift'",
     "command": "INSERT INTO step_ledger (step) VALUES ('gift') RETURNING step, 7 AS size"},
    {"name": "ship", "depends_on": ["charge", "gift"],
     "command": "INSERT INTO step_ledger (step) VALUES ('ship ' || ($2 ->> 'charged') || ' ' || $3::text)"}]$$)
    IS NOT NULL AS defined;

CREATE VIEW step_progress AS
SELECT task_name, status, result, attempt, unmet, due_at IS NOT NULL AS due, completion_order
  FROM ft.orchestration_tasks ORDER BY task_id;

SELECT ft.start('order', '{"order": 1}') AS execution \gset
SELECT status, managed, input, tasks_left FROM ft.orchestration_executions;
SELECT * FROM step_progress;
SELECT ft.run_steps(:'execution');
SELECT status, state, tasks_left, completions, finished_at IS NOT NULL AS finished FROM ft.orchestration_executions;
SELECT * FROM step_progress;
SELECT step FROM step_ledger ORDER BY entry;
SELECT count(*) AS checkpoints FROM ft.orchestration_checkpoints;
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;
TRUNCATE step_ledger RESTART IDENTITY;

-- With the gift, whose result is an object.
SELECT ft.start('order', '{"order": 2, "gift": true}') AS execution \gset
SELECT ft.run_steps();
SELECT task_name, status, result FROM ft.orchestration_tasks ORDER BY task_id;
SELECT step FROM step_ledger ORDER BY entry;
DELETE FROM ft.orchestration_executions;
TRUNCATE step_ledger RESTART IDENTITY;

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
\set VERBOSITY default
SELECT count(*) FROM ft.orchestration_executions;

-- Priority first, then age; what is for later waits.
SELECT ft.submit('INSERT INTO step_ledger (step) VALUES (''last'')', run_at => now() + interval '1 hour') IS NOT NULL AS submitted;
SELECT ft.submit(format('INSERT INTO step_ledger (step) VALUES (%L)', name), priority => priority) IS NOT NULL AS submitted
  FROM (VALUES ('third', 0), ('first', 5), ('fourth', -5), ('second', 5)) AS job (name, priority);
SELECT ft.run_steps();
SELECT step FROM step_ledger ORDER BY entry;
SELECT status, count(*) FROM ft.orchestration_executions GROUP BY 1 ORDER BY 1;
DELETE FROM ft.orchestration_executions;
TRUNCATE step_ledger RESTART IDENTITY;

-- A version that was begun is kept.
SELECT ft.start('order', '{"order": 5}') AS execution \gset
SELECT ft.define_orchestration('order', '[{"name": "other", "command": "SELECT 1"}]') IS NOT NULL AS defined;
SELECT ft.run_steps(:'execution');
SELECT ft.start('order', version => 1) IS NOT NULL AS old, ft.start('order') IS NOT NULL AS new;
SELECT count(*) FROM ft.orchestration_tasks GROUP BY execution_id ORDER BY 1;
DELETE FROM ft.orchestration_executions;
TRUNCATE step_ledger RESTART IDENTITY;

-- A step that fails leaves nothing of what it did; the failure is recorded,
-- recovered, and what was completed before it is undone.
SELECT ft.define_orchestration('failing', $$[
    {"name": "first", "command": "INSERT INTO step_ledger (step) VALUES ('first')",
     "compensation": "INSERT INTO step_ledger (step) VALUES ('undo ' || ($1 ->> 'what'))"},
    {"name": "second", "depends_on": ["first"],
     "command": "INSERT INTO step_ledger (step) VALUES ('second'); SELECT 1 / 0"},
    {"name": "third", "depends_on": ["second"], "command": "INSERT INTO step_ledger (step) VALUES ('third')"}]$$)
    IS NOT NULL AS defined;
SELECT ft.start('failing', '{"what": "it all"}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT task_name, status, attempt, error_sqlstate, error_message FROM ft.orchestration_tasks ORDER BY task_id;
SELECT failure_type, failure_message, recovered FROM ft.orchestration_failures;
SELECT * FROM ft.validate_execution(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT status FROM ft.orchestration_executions;
SELECT step FROM step_ledger ORDER BY entry;
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;
TRUNCATE step_ledger RESTART IDENTITY;

-- What is transient is tried again, after a delay, until it has used up its
-- own number of attempts.
SET fault_tolerance.recovery_jitter = 0;
SELECT ft.define_orchestration('flaky', $$[
    {"name": "try", "max_attempts": 2, "backoff": "1 hour",
     "command": "DO 'BEGIN RAISE SQLSTATE ''40001''; END'"}]$$) IS NOT NULL AS defined;
SELECT ft.start('flaky') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT status, attempt, failures, due_at - now() > interval '59 min' AS later FROM ft.orchestration_tasks;
SELECT * FROM ft.validate_execution(:'execution');
UPDATE ft.orchestration_tasks SET due_at = now();
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT e.status, t.status AS task, t.attempt FROM ft.orchestration_executions AS e, ft.orchestration_tasks AS t;
SELECT recovery_action FROM ft.orchestration_failures ORDER BY failure_timestamp;
DELETE FROM ft.orchestration_executions;
RESET fault_tolerance.recovery_jitter;

-- Results: nothing, one value, a row; of many rows the first.
SELECT ft.submit(command) IS NOT NULL AS submitted
  FROM (VALUES ('CREATE TEMP TABLE nothing ()'), ('SELECT 5'), ('SELECT 1 AS a, NULL AS b'),
               ('SELECT generate_series(3, 9)'), ('SELECT WHERE false'), ('SELECT NULL'),
               ('SELECT ''{"x": 1}''::json'), ('SELECT 1; SELECT 2; DROP TABLE nothing')) AS t (command);
SELECT ft.run_steps();
SELECT command, result FROM ft.orchestration_tasks ORDER BY task_id;
DELETE FROM ft.orchestration_executions;
SET fault_tolerance.max_result_size = '1kB';
SELECT ft.submit('SELECT repeat(''x'', 2000)') IS NOT NULL AS submitted;
SELECT ft.submit('SELECT ft.set_state(jsonb_build_object(''x'', repeat(''x'', 2000)))') IS NOT NULL AS submitted;
SELECT ft.run_steps();
SELECT error_sqlstate, error_message FROM ft.orchestration_tasks ORDER BY task_id;
RESET fault_tolerance.max_result_size;
DELETE FROM ft.orchestration_executions;

-- What a step sets ends with it.
SELECT ft.submit('SET work_mem = ''123kB''') IS NOT NULL AS submitted;
SELECT ft.run_steps();
SHOW work_mem;
DELETE FROM ft.orchestration_executions;

-- Only inside a step.
\set VERBOSITY terse
SELECT ft.input();
SELECT ft.state();
SELECT ft.set_state('{}');
SELECT ft.result('a');
\set VERBOSITY default
SELECT * FROM ft.current_step();
SELECT ft.submit(command) IS NOT NULL AS submitted
  FROM (VALUES ('SELECT ft.result(''nobody'')'), ('SELECT ft.run_steps()'), ('SELECT ft.set_state(NULL)'),
               ('SELECT ft.set_state(''[]'')'), ('SELECT (ft.current_step()).attempt'), ('SELECT $4')) AS t (command);
SELECT ft.run_steps();
SELECT command, result, error_sqlstate, error_message FROM ft.orchestration_tasks ORDER BY task_id;
DELETE FROM ft.orchestration_executions;

-- Nobody runs, or sees, what is somebody else's.
CREATE ROLE regress_ft_stepper;
GRANT USAGE ON SCHEMA ft TO regress_ft_stepper;
SELECT ft.submit('SELECT 1') AS execution \gset
SET SESSION AUTHORIZATION regress_ft_stepper;
SELECT ft.run_steps();
RESET SESSION AUTHORIZATION;
SET ROLE regress_ft_stepper;
\set VERBOSITY terse
SELECT ft.run_steps(:'execution');
SELECT ft.start('order');
\set VERBOSITY default
SELECT count(*) FROM ft.orchestration_tasks;
RESET ROLE;
SELECT ft.drop_orchestration(name) FROM unnest('{order,failing,flaky}'::text[]) AS name;
DELETE FROM ft.orchestration_executions;
DROP VIEW step_progress;
DROP TABLE step_ledger;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_stepper;
DROP ROLE regress_ft_stepper;
