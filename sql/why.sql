-- Why an execution does not go on: every reason there is.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
SET fault_tolerance.recovery_backoff = '4h';
SET fault_tolerance.recovery_backoff_limit = '4h';
SET fault_tolerance.recovery_jitter = 0;

-- Keys and times are not the same twice.
CREATE FUNCTION why(execution uuid, whole boolean DEFAULT false)
RETURNS TABLE (waits_for text, task_name text, since boolean, until interval, detail text, what_to_do text)
LANGUAGE sql AS $$
    SELECT waits_for, task_name, since BETWEEN now() - interval '5 min' AND clock_timestamp(),
           date_trunc('hour', until - now() + interval '1 min'),
           regexp_replace(detail, '[0-9a-f]{8}-[-0-9a-f]*', 'KEY'), regexp_replace(what_to_do, '[0-9a-f]{8}-[-0-9a-f]*', 'KEY')
      FROM ft.why_waiting(execution) WHERE whole OR waits_for <> 'workers'
$$;

-- What is not there, and what is over.
SELECT * FROM why(ft.uuid_v7());
SELECT ft.submit('SELECT 1') AS execution \gset
\x on
-- nobody runs steps of this server
SELECT * FROM why(:'execution', true);
\x off
SELECT ft.run_steps(:'execution');
SELECT * FROM why(:'execution', true);

-- Times, signals, children, workers outside: the first of what has to happen.
SELECT ft.define_orchestration('inner', '[{"name": "never", "signal": "never"}]') IS NOT NULL AS defined;
SELECT ft.define_orchestration('all', $$[
    {"name": "nap", "sleep": "2 hours"},
    {"name": "later", "depends_on": ["nap"], "command": "SELECT 1"},
    {"name": "early", "command": "SELECT 1"},
    {"name": "asked", "depends_on": ["early"], "signal": "it's"},
    {"name": "asked soon", "signal": "soon", "timeout": "3 hours"},
    {"name": "sent", "execution_mode": "external", "queue": "mail"},
    {"name": "each", "for_each": "SELECT 1", "command": "SELECT 1"},
    {"name": "other", "orchestration": "inner"},
    {"name": "flaky", "command": "DO $do$ BEGIN RAISE SQLSTATE '40001' USING MESSAGE = 'conflict'; END $do$"}]$$) IS NOT NULL AS defined;
SELECT ft.start('all') AS execution \gset
SELECT ft.run_steps(:'execution');
\x on
SELECT * FROM why(:'execution', true);
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM why(:'execution');
\x off
SELECT count(*) FROM ft.claim_task('mail', 'postman''s', '1 hour');
SELECT waits_for, since, until, detail FROM why(:'execution') WHERE task_name = 'sent';
SELECT w.waits_for, w.task_name FROM ft.orchestration_executions AS e, why(e.execution_id) AS w WHERE e.parent_task_id IS NOT NULL;

-- Which they are: found by name, by key, by status.
SELECT ft.submit('SELECT 1', idempotency_key => 'by key', run_at => now() + interval '1 day') IS NOT NULL AS submitted;
SELECT name, version, status, held, age < '1 hour' AS age, unchanged < '1 hour' AS unchanged, tasks_left, idempotency_key, owner = current_user AS mine
  FROM ft.executions ORDER BY execution_id;
SELECT status FROM ft.executions WHERE idempotency_key = 'by key';

-- Held up by hand, or by its owner.
SELECT ft.pause(:'execution');
SELECT name, held FROM ft.executions WHERE held IS NOT NULL ORDER BY execution_id;
SELECT waits_for, since, detail, what_to_do FROM why(:'execution') WHERE task_name IS NULL;
UPDATE ft.orchestration_executions SET parked_reason = 'its owner is away' WHERE execution_id = :'execution';
SELECT waits_for, since, detail FROM why(:'execution') WHERE task_name IS NULL;
UPDATE ft.orchestration_executions SET parked_reason = NULL WHERE execution_id = :'execution';
SELECT ft.cancel(:'execution');
SELECT waits_for, detail FROM why(:'execution', true);
SELECT ft.submit('SELECT 1', run_at => now() + interval '2 hours') AS execution \gset
SELECT * FROM why(:'execution');
DELETE FROM ft.orchestration_executions;

-- Stopped: it waits for somebody.
SELECT ft.submit('SELECT 1 / 0') AS execution \gset
SELECT ft.run_steps(:'execution');
\x on
SELECT * FROM why(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM why(:'execution');
\x off
SELECT ft.redrive(:'execution');
SELECT ft.run_steps(:'execution');
UPDATE ft.orchestration_failures SET given_up_at = now(), recovery_error = 'too often' WHERE NOT recovered;
SELECT waits_for, task_name, detail FROM why(:'execution');
SELECT ft.create_execution() AS outside \gset
SELECT ft.add_task(:'outside', 'step') AS task \gset
SELECT waits_for, task_name, since, detail, what_to_do FROM why(:'outside', true);
SELECT ft.start_task(:'task');
SELECT waits_for, task_name, since, detail, what_to_do FROM why(:'outside', true);
SELECT ft.rollback_to_checkpoint(checkpoint_id, NULL) FROM ft.orchestration_checkpoints WHERE execution_id = :'outside' \g /dev/null
SELECT waits_for, task_name, since, detail, what_to_do FROM why(:'outside', true);

-- Being undone.
SELECT ft.define_orchestration('undo', $$[
    {"name": "done", "command": "SELECT 1", "compensation": "SELECT 1 / 0"},
    {"name": "open", "depends_on": ["done"], "sleep": "1 day"}]$$) IS NOT NULL AS defined;
SELECT ft.start('undo') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT ft.cancel(:'execution');
SELECT waits_for, task_name, until, detail FROM why(:'execution');
SET fault_tolerance.recovery_max_attempts = 2;
SELECT ft.run_compensations(:'execution');
\x on
SELECT * FROM why(:'execution');
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL WHERE execution_id = :'execution';
SELECT ft.run_compensations(:'execution');
SELECT * FROM why(:'execution', true);
\x off

-- Kept back by the limits of a queue.
SELECT ft.submit('SELECT 1', queue => 'narrow') AS first \gset
SELECT ft.submit('SELECT 1', queue => 'narrow', execution_mode => 'external') AS second \gset
SELECT ft.pause_queue('narrow');
SELECT waits_for, until, detail, what_to_do FROM why(:'first', true);
SELECT waits_for, detail FROM why(:'second', true);
SELECT ft.resume_queue('narrow');
SELECT ft.set_queue('narrow', max_running => 1);
SELECT waits_for FROM why(:'first', true);
SELECT task_name IS NOT NULL AS claimed FROM ft.claim_task('narrow', 'a program');
SELECT waits_for, until, detail, what_to_do FROM why(:'first', true);
SELECT ft.set_queue('narrow', max_running_per_owner => 1);
SELECT waits_for, detail FROM why(:'first', true);
SELECT ft.set_queue('narrow', rate_limit => 1, rate_period => '1 hour');
SELECT ft.submit('SELECT 1', queue => 'narrow', execution_mode => 'external') IS NOT NULL AS third;
SELECT task_name IS NOT NULL AS claimed FROM ft.claim_task('narrow', 'a program');
SELECT waits_for, until, detail FROM why(:'first', true);
SELECT ft.reset_queue('narrow');
SELECT waits_for FROM why(:'first', true);

-- Everybody sees his own.
CREATE ROLE regress_ft_curious;
GRANT USAGE ON SCHEMA ft TO regress_ft_curious;
SET ROLE regress_ft_curious;
SELECT * FROM ft.why_waiting(:'execution');
SELECT ft.submit('SELECT 1', run_at => now() + interval '2 hours') AS own \gset
SELECT waits_for, detail FROM ft.why_waiting(:'own');
RESET ROLE;

DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('all'), ft.drop_orchestration('inner'), ft.drop_orchestration('undo');
DROP FUNCTION why;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_curious;
DROP ROLE regress_ft_curious;
