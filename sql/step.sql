-- Steps run in this session: their order, what a failure leaves, whose they are.
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

-- A task that is started by hand is not for executors any more; those beside
-- it are, also where that resumes an execution that was rolled back.
SELECT ft.define_orchestration('beside', '[{"name": "one", "command": "SELECT 1"}, {"name": "two", "command": "SELECT 2"}]') IS NOT NULL AS defined;
SELECT ft.start('beside') AS execution \gset
SELECT task_id AS one FROM ft.orchestration_tasks WHERE task_name = 'one' \gset
SELECT ft.start_task(:'one');
SELECT task_name, status, due_at IS NOT NULL AS due FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM ft.validate_execution(:'execution');
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS recovered;
SELECT ft.start_task(:'one');
SELECT status FROM ft.orchestration_executions;
SELECT task_name, status, due_at IS NOT NULL AS due FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM ft.validate_execution(:'execution');
SELECT ft.run_steps(:'execution'), ft.complete_task(:'one');
SELECT status FROM ft.orchestration_executions;
DELETE FROM ft.orchestration_executions;

-- What is forgiven by hand includes executors that were lost.
SELECT ft.start('beside') AS execution \gset
SELECT task_id AS one FROM ft.orchestration_tasks WHERE task_name = 'one' \gset
SELECT ft.start_task(:'one');
UPDATE ft.orchestration_tasks SET losses = 2, failures = 1;
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS recovered;
SELECT task_name, status, failures, losses FROM ft.orchestration_tasks ORDER BY task_id;
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS recovered;
SELECT task_name, status, failures, losses FROM ft.orchestration_tasks ORDER BY task_id;
DELETE FROM ft.orchestration_executions;

-- Nobody runs, or sees, what is somebody else's.
CREATE ROLE regress_ft_stepper;
GRANT USAGE ON SCHEMA ft TO regress_ft_stepper;
SELECT ft.submit('SELECT 1') AS execution \gset
\set VERBOSITY terse
SET SESSION AUTHORIZATION regress_ft_stepper;
SELECT ft.run_steps();
RESET SESSION AUTHORIZATION;
SET ROLE regress_ft_stepper;
SELECT ft.run_steps(:'execution');
SELECT ft.start('order');
\set VERBOSITY default
SELECT count(*) FROM ft.orchestration_tasks;
RESET ROLE;
SELECT ft.drop_orchestration(name) FROM unnest('{order,failing,flaky,beside}'::text[]) AS name;
DELETE FROM ft.orchestration_executions;
DROP VIEW step_progress;
DROP TABLE step_ledger;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_stepper;
DROP ROLE regress_ft_stepper;
