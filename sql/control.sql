-- Pause, resume, cancel and wait: what each does in every status, and who may.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Pausing, resuming, cancelling and waiting, with steps run by hand.
CREATE TABLE control_ledger (entry serial, what text);
SELECT ft.define_orchestration('trip', $$[
    {"name": "hotel", "critical": true, "command": "INSERT INTO control_ledger (what) VALUES ('hotel')",
     "compensation": "INSERT INTO control_ledger (what) VALUES ('no hotel')"},
    {"name": "flight", "depends_on": ["hotel"], "command": "INSERT INTO control_ledger (what) VALUES ('flight')",
     "compensation": "INSERT INTO control_ledger (what) VALUES ('no flight')"},
    {"name": "car", "depends_on": ["flight"], "priority": 1, "command": "INSERT INTO control_ledger (what) VALUES ('car')"}]$$)
    IS NOT NULL AS defined;
CREATE VIEW control_progress AS
SELECT task_name, e.status AS execution, t.status, attempt, failures, due_at IS NOT NULL AS due, e.paused_at IS NOT NULL AS paused
  FROM ft.orchestration_tasks AS t JOIN ft.orchestration_executions AS e USING (execution_id) ORDER BY task_id;
-- A pause keeps what is due from being started; nothing is lost by it.
SELECT ft.start('trip') AS trip \gset
SELECT ft.pause(:'trip');
SELECT ft.pause(:'trip');
SELECT * FROM control_progress;
SELECT ft.run_steps(:'trip');
SELECT * FROM ft.validate_execution(:'trip');
SELECT ft.wait(:'trip', '0');
SELECT ft.resume(:'trip');
SELECT ft.resume(:'trip');
SELECT * FROM control_progress;
SELECT ft.run_steps(:'trip');
SELECT ft.wait(:'trip');
SELECT * FROM ft.validate_execution(:'trip');
\set VERBOSITY sqlstate
SELECT ft.pause(:'trip');
SELECT ft.resume(:'trip');
SELECT ft.cancel(:'trip');
SELECT ft.cancel(:'trip', false);
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;
TRUNCATE control_ledger RESTART IDENTITY;

-- A pause in the middle: what depends on the step that ran stays where it is,
-- and compensations wait too.
SELECT ft.start('trip') AS trip \gset
UPDATE ft.orchestration_tasks SET command = 'SELECT 1 / 0' WHERE task_name = 'car';
SELECT ft.run_steps(:'trip');
SELECT ft.pause(:'trip');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT * FROM control_progress;
SELECT owners_due = '{}' AS nobody FROM ft.scheduler_tick();
SELECT * FROM ft.validate_execution(:'trip');
SELECT ft.resume(:'trip');
SELECT ft.run_compensations();
SELECT what FROM control_ledger ORDER BY entry;
SELECT * FROM control_progress;
SELECT * FROM ft.validate_execution(:'trip');
DELETE FROM ft.orchestration_executions;
TRUNCATE control_ledger RESTART IDENTITY;

-- Cancelled before it has begun, with nothing to compensate.
SELECT ft.start('trip') AS trip \gset
SELECT ft.cancel(:'trip', compensate => false);
SELECT * FROM control_progress;
SELECT * FROM ft.validate_execution(:'trip');
SELECT ft.wait(:'trip');
DELETE FROM ft.orchestration_executions;
SELECT ft.start('trip') AS trip \gset
SELECT ft.cancel(:'trip');
SELECT * FROM control_progress;
SELECT * FROM ft.validate_execution(:'trip');
DELETE FROM ft.orchestration_executions;

-- Cancelled in the middle, with what has completed undone, or left.
SELECT ft.start('trip') AS trip \gset
UPDATE ft.orchestration_tasks SET condition = 'SELECT ft.pause(''' || :'trip' || ''')' WHERE task_name = 'flight';
SELECT ft.run_steps(:'trip');
SELECT * FROM control_progress;
SELECT ft.cancel(:'trip', false);
SELECT * FROM control_progress;
SELECT * FROM ft.validate_execution(:'trip');
SELECT what FROM control_ledger ORDER BY entry;
SELECT ft.run_compensations();
DELETE FROM ft.orchestration_executions;
TRUNCATE control_ledger RESTART IDENTITY;

SELECT ft.start('trip') AS trip \gset
UPDATE ft.orchestration_tasks SET condition = 'SELECT 1 / 0' WHERE task_name = 'car';
SELECT ft.run_steps(:'trip');
SELECT task_name, status FROM ft.orchestration_tasks ORDER BY task_id;
SELECT ft.cancel(:'trip');
SELECT ft.cancel(:'trip');
SELECT task_name, status FROM ft.orchestration_tasks ORDER BY task_id;
SELECT recovered, recovery_strategy, recovery_action FROM ft.orchestration_failures;
SELECT ft.run_compensations();
SELECT ft.wait(:'trip');
SELECT what FROM control_ledger ORDER BY entry;
SELECT * FROM ft.validate_execution(:'trip');
SELECT recovered, recovery_strategy, recovery_action FROM ft.orchestration_failures;
DELETE FROM ft.orchestration_executions;
TRUNCATE control_ledger RESTART IDENTITY;

-- Cancelled with a failure that is not recovered: nothing is left to recover.
SELECT ft.start('trip') AS trip \gset
SELECT ft.record_failure(:'trip', 'a test') IS NOT NULL AS failed;
SELECT ft.cancel(:'trip', false);
SELECT recovered, recovery_strategy, recovery_action FROM ft.orchestration_failures;
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM ft.unrecovered_failures;
SELECT * FROM ft.validate_execution(:'trip');
DELETE FROM ft.orchestration_executions;

-- One that was rolled back is resumed where it stopped.
SELECT ft.start('trip') AS trip \gset
UPDATE ft.orchestration_tasks SET compensation = NULL;
UPDATE ft.orchestration_tasks SET command = 'SELECT 1 / 0' WHERE task_name = 'car';
SELECT ft.run_steps(:'trip');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.wait(:'trip');
SELECT * FROM control_progress;
UPDATE ft.orchestration_tasks SET command = 'INSERT INTO control_ledger (what) VALUES (''bus'')' WHERE task_name = 'car';
SELECT ft.resume(:'trip');
SELECT * FROM control_progress;
SELECT * FROM ft.validate_execution(:'trip');
SELECT ft.run_steps(:'trip');
SELECT ft.wait(:'trip');
SELECT what FROM control_ledger ORDER BY entry;
DELETE FROM ft.orchestration_executions;
TRUNCATE control_ledger RESTART IDENTITY;

-- One whose tasks are run by workers outside.
SELECT ft.create_execution() AS outside \gset
SELECT ft.add_task(:'outside', 'task') AS task \gset
SELECT ft.add_task(:'outside', 'other') AS other \gset
SELECT ft.start_task(:'task');
SELECT ft.pause(:'outside');
\set VERBOSITY sqlstate
SELECT ft.start_task(:'other');
\set VERBOSITY default
SELECT ft.complete_task(:'task');
SELECT ft.resume(:'outside');
SELECT ft.start_task(:'other');
SELECT ft.cancel(:'outside');
\set VERBOSITY terse
SELECT ft.complete_task(:'other');
\set VERBOSITY default
SELECT * FROM ft.validate_execution(:'outside');
DELETE FROM ft.orchestration_executions;

-- What its tasks have started is paused, resumed and given up with it.
SELECT ft.start('trip') AS trip \gset
SELECT ft.submit('SELECT 1') AS child \gset
SELECT ft.submit('SELECT 1') IS NOT NULL AS other;
UPDATE ft.orchestration_executions SET parent_task_id = (SELECT task_id FROM ft.orchestration_tasks WHERE task_name = 'hotel')
 WHERE execution_id = :'child';
SELECT ft.pause(:'trip');
SELECT execution_id = :'child' AS child, status, paused_at IS NOT NULL AS paused FROM ft.orchestration_executions ORDER BY execution_id;
SELECT ft.resume(:'trip');
SELECT execution_id = :'child' AS child, status, paused_at IS NOT NULL AS paused FROM ft.orchestration_executions ORDER BY execution_id;
SELECT ft.cancel(:'trip', false);
SELECT execution_id = :'child' AS child, status, paused_at IS NOT NULL AS paused FROM ft.orchestration_executions ORDER BY execution_id;
SELECT * FROM ft.validate_execution(:'child');
DELETE FROM ft.orchestration_executions;

-- What is being undone, or could not be, is left as it is when it is given up.
SELECT ft.define_orchestration('undo', $$[
    {"name": "first", "command": "SELECT 1", "compensation": "INSERT INTO control_ledger (what) VALUES ('first undone')"},
    {"name": "second", "depends_on": ["first"], "command": "SELECT 2", "compensation": "SELECT 1 / 0"},
    {"name": "third", "depends_on": ["second"], "command": "SELECT 3", "compensation": "SELECT 3"},
    {"name": "fourth", "depends_on": ["third"], "signal": "never"}]$$) IS NOT NULL AS defined;
SELECT ft.start('undo') AS failing, ft.start('undo') AS undoing, ft.start('undo') AS rolling \gset
SELECT ft.run_steps();
SELECT ft.cancel(:'failing');
SET fault_tolerance.recovery_max_attempts = 1;
SELECT ft.run_compensations(:'failing');
RESET fault_tolerance.recovery_max_attempts;
SELECT why, task_name FROM ft.dead_letters;
SELECT ft.cancel(:'failing', compensate => false);
SELECT ft.cancel(:'undoing');
SELECT ft.cancel(:'undoing', compensate => false);
SELECT ft.rollback_to_checkpoint(checkpoint_id, NULL) FROM ft.orchestration_checkpoints WHERE execution_id = :'rolling' \g /dev/null
SELECT ft.cancel(:'rolling', compensate => false);
SELECT ft.run_compensations(), (SELECT count(*) FROM ft.dead_letters) AS dead_letters;
SELECT name, e.status, string_agg(t.task_name || ' ' || t.status, ', ' ORDER BY t.task_id) AS tasks,
       (SELECT count(*) FROM ft.validate_execution(execution_id)) AS problems
  FROM (VALUES ('failing', :'failing'::uuid), ('undoing', :'undoing'), ('rolling', :'rolling')) AS x (name, execution_id)
  JOIN ft.orchestration_executions AS e USING (execution_id) JOIN ft.orchestration_tasks AS t USING (execution_id)
 GROUP BY 1, 2, execution_id ORDER BY 1;
SELECT count(*) FROM control_ledger WHERE what = 'first undone';
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('undo');

-- Waiting: for nothing, for itself, in a step, not for ever.
\set VERBOSITY terse
SELECT ft.wait(NULL);
SELECT ft.wait('00000000-0000-0000-0000-000000000000');
SELECT ft.pause(NULL);
SELECT ft.pause('00000000-0000-0000-0000-000000000000');
SELECT ft.resume(NULL);
SELECT ft.cancel(NULL);
SELECT ft.start('trip') AS trip \gset
SELECT ft.cancel(:'trip', NULL);
SELECT ft.wait(:'trip', '-1 s');
BEGIN;
SELECT ft.submit('SELECT 1') AS own \gset
DO $$
DECLARE message text;
BEGIN
    PERFORM ft.wait(execution_id) FROM ft.orchestration_executions ORDER BY created_at DESC LIMIT 1;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS message = PG_EXCEPTION_DETAIL;
    RAISE NOTICE '%', message;
END $$;
SELECT ft.run_steps(:'own');
SELECT ft.wait(:'own');
ROLLBACK;
SELECT ft.wait(:'trip', '50 ms');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT ft.wait(:'trip', '0');
COMMIT;
SET statement_timeout = '100ms';
SELECT ft.wait(:'trip');
RESET statement_timeout;
SELECT ft.submit('SELECT ft.wait(''' || :'trip' || ''')') AS waits \gset
SELECT ft.run_steps(:'waits');
SELECT error_sqlstate, error_message FROM ft.orchestration_tasks WHERE execution_id = :'waits';
-- A step cannot take itself away; it can cancel others.
SELECT ft.submit('SELECT ft.cancel((ft.current_step()).execution_id)') AS own \gset
SELECT ft.run_steps(:'own');
SELECT error_sqlstate, error_message FROM ft.orchestration_tasks WHERE execution_id = :'own';
SELECT ft.submit('SELECT ft.cancel(''' || :'own' || ''')') AS other \gset
SELECT ft.run_steps(:'other');
SELECT result FROM ft.orchestration_tasks WHERE execution_id = :'other';
\set VERBOSITY default

-- Nobody controls what is somebody else's.
CREATE ROLE regress_ft_controller;
GRANT USAGE ON SCHEMA ft TO regress_ft_controller;
SELECT set_config('control.trip', :'trip', false) IS NOT NULL AS set;
SET ROLE regress_ft_controller;
\set SHOW_CONTEXT never
DO $$
DECLARE call text;
BEGIN
    FOREACH call IN ARRAY '{pause,resume,cancel,wait}'::text[] LOOP
        BEGIN
            EXECUTE format('SELECT ft.%I(%L)', call, current_setting('control.trip'));
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE '%: %', call, SQLSTATE;
        END;
    END LOOP;
END $$;
RESET ROLE;
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('trip');
DROP VIEW control_progress;
DROP TABLE control_ledger;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_controller;
DROP ROLE regress_ft_controller;
