-- Deadlines: what happens when one passes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Deadlines, at times that the ticks are given.
CREATE TABLE deadline_ledger (entry serial, what text);
SELECT ft.define_orchestration('errand', $$[
    {"name": "go", "command": "INSERT INTO deadline_ledger (what) VALUES ('go')",
     "compensation": "INSERT INTO deadline_ledger (what) VALUES ('go back')"},
    {"name": "buy", "depends_on": ["go"], "command": "INSERT INTO deadline_ledger (what) VALUES ('buy')"}]$$)
    IS NOT NULL AS defined;
CREATE VIEW deadline_progress AS
SELECT task_name, e.status AS execution, t.status, due_at IS NOT NULL AS due, deadline IS NOT NULL AS deadline
  FROM ft.orchestration_tasks AS t JOIN ft.orchestration_executions AS e USING (execution_id) ORDER BY task_id;

-- The next tick is for the deadline, where nothing is due before it.
SELECT ft.start('errand', run_at => now() + interval '1 day', deadline => '2 days') AS errand \gset
UPDATE ft.orchestration_executions SET deadline = now() + interval '10 min';
SELECT next_due = (SELECT deadline FROM ft.orchestration_executions) AS at_the_deadline FROM ft.scheduler_tick();
SELECT * FROM deadline_progress;

-- It passes before anything was done: nothing is left to undo.
SELECT candidates, recovered FROM ft.scheduler_tick(now() + interval '20 min');
SELECT * FROM deadline_progress;
SELECT failure_type, sqlstate, task_id, regexp_replace(failure_message, ', .*', ', ...'), recovery_action, recovered
  FROM ft.orchestration_failures;
SELECT next_due FROM ft.scheduler_tick(now() + interval '20 min');
SELECT * FROM ft.validate_execution(:'errand');
-- Resumed, it has no deadline any more.
SELECT ft.resume(:'errand');
SELECT candidates FROM ft.scheduler_tick(now() + interval '20 min');
SELECT * FROM deadline_progress;
DELETE FROM ft.orchestration_executions;

-- It passes in the middle: what was done is undone.
SELECT ft.start('errand', deadline => '10 min') AS errand \gset
UPDATE ft.orchestration_tasks SET condition = 'SELECT ft.pause(''' || :'errand' || ''')' WHERE task_name = 'go';
SELECT ft.run_steps(:'errand');
SELECT candidates, recovered FROM ft.scheduler_tick(now() + interval '9 min');
SELECT candidates, recovered FROM ft.scheduler_tick(now() + interval '11 min');
SELECT ft.resume(:'errand');
SELECT ft.run_compensations();
SELECT * FROM deadline_progress;
SELECT failure_type, recovery_action, recovered FROM ft.orchestration_failures;
SELECT what FROM deadline_ledger ORDER BY entry;
SELECT * FROM ft.validate_execution(:'errand');
DELETE FROM ft.orchestration_executions;
TRUNCATE deadline_ledger RESTART IDENTITY;

-- It was met; and it passes when it has nothing more to say.
SELECT ft.start('errand', deadline => '10 min') AS met \gset
SELECT ft.run_steps(:'met');
SELECT ft.start('errand', deadline => '10 min') AS back \gset
SELECT ft.recover_from_failure(:'back', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT candidates FROM ft.scheduler_tick(now() + interval '20 min');
SELECT status, deadline IS NOT NULL AS deadline FROM ft.orchestration_executions ORDER BY execution_id;
SELECT count(*) FROM ft.orchestration_failures;
DELETE FROM ft.orchestration_executions;
TRUNCATE deadline_ledger RESTART IDENTITY;

-- Without a background worker, by the function for pg_cron, of one's own.
CREATE ROLE regress_ft_late;
GRANT USAGE ON SCHEMA ft TO regress_ft_late;
SELECT ft.start('errand', deadline => '0') IS NOT NULL AS started;
SET ROLE regress_ft_late;
SELECT ft.submit('SELECT 1', deadline => '0') IS NOT NULL AS submitted;
SELECT * FROM ft.auto_recover_failures();
RESET ROLE;
SELECT owner = current_user AS mine, status FROM ft.orchestration_executions ORDER BY execution_id;
SELECT * FROM ft.auto_recover_failures();
SELECT owner = current_user AS mine, status FROM ft.orchestration_executions ORDER BY execution_id;
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('errand');
DROP VIEW deadline_progress;
DROP TABLE deadline_ledger;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_late;
DROP ROLE regress_ft_late;
