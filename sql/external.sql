-- Steps that workers outside claim: leases, heartbeats, results, and what is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
SET fault_tolerance.recovery_jitter = 0;

-- Steps that workers outside run.
CREATE TABLE external_ledger (entry serial, step text);
SELECT ft.define_orchestration('mailing', $$[
    {"name": "write", "command": "SELECT ft.input() ->> 'to' AS letter_to",
     "compensation": "INSERT INTO external_ledger (step) VALUES ('unwritten')"},
    {"name": "send", "depends_on": ["write"], "execution_mode": "external", "queue": "mail",
     "command": "send: no SQL at all", "max_attempts": 2, "backoff": "1 hour"},
    {"name": "note", "depends_on": ["send"],
     "command": "INSERT INTO external_ledger (step) VALUES ('sent ' || ($3 #>> '{send,id}'))"}]$$)
    IS NOT NULL AS defined;
CREATE VIEW external_progress AS
SELECT task_name, t.status, attempt, failures, losses, due_at IS NOT NULL AS due, leased_by,
       leased_until > clock_timestamp() AS leased, e.status AS execution
  FROM ft.orchestration_tasks AS t JOIN ft.orchestration_executions AS e USING (execution_id)
 ORDER BY task_id;

-- From claim to completion; what depends on it goes on in the server.
SELECT ft.start('mailing', '{"to": "Ada"}') AS execution \gset
SELECT * FROM ft.claim_task('mail', 'worker 1');
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.claim_task('other', 'worker 1');
SELECT task_name, attempt, command, input, state, results, lease_until > now() + interval '50 s' AS leased, timeout
  FROM ft.claim_task('mail', 'worker 1') \gx
SELECT task_id FROM ft.orchestration_tasks WHERE task_name = 'send' \gset
SELECT * FROM external_progress;
SELECT * FROM ft.claim_task('mail', 'worker 2');
SELECT ft.heartbeat(:'task_id', 1, '5 min') > now() + interval '4 min' AS extended;
SELECT ft.complete_task(:'task_id', '{"id": 7}', 1);
SELECT ft.run_steps(:'execution');
SELECT * FROM external_progress;
SELECT step FROM external_ledger;
SELECT * FROM ft.validate_execution(:'execution');
\set VERBOSITY terse
SELECT ft.heartbeat(:'task_id', 1);
SELECT ft.complete_task(:'task_id', '{"id": 7}', 1);
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;
TRUNCATE external_ledger RESTART IDENTITY;

-- A lease that has run out: the tick gives the task back after its delay, and
-- the worker that had it is refused.
SELECT ft.start('mailing', '{"to": "Bob"}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT task_id FROM ft.claim_task('mail', 'lost') \gset
SELECT ft.heartbeat(:'task_id', 1, '1 hour') AS until \gset
SELECT next_due = :'until' AS next_due FROM ft.scheduler_tick(now());
SELECT next_due FROM ft.scheduler_tick(:'until');
SELECT * FROM external_progress;
SELECT failure_type, failure_message, attempt, sqlstate, recovered, recovery_action FROM ft.orchestration_failures;
SELECT * FROM ft.validate_execution(:'execution');
SELECT ft.heartbeat(:'task_id', 1);
SELECT ft.complete_task(:'task_id', NULL, 1);
SELECT ft.fail_task(:'task_id', 'late', NULL, 1);
SELECT * FROM ft.claim_task('mail', 'too early');
-- once more is its last attempt: it fails, and what was done is undone
UPDATE ft.orchestration_tasks SET due_at = now() WHERE task_id = :'task_id';
SELECT attempt FROM ft.claim_task('mail', 'lost again', '1 s');
SELECT ft.heartbeat(:'task_id', 1);
SELECT candidates, recovered FROM ft.scheduler_tick(now() + interval '1 min');
SELECT * FROM external_progress;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT status FROM ft.orchestration_executions;
SELECT step FROM external_ledger;
SELECT failure_message, attempt, recovery_action FROM ft.orchestration_failures ORDER BY failure_timestamp;
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;
TRUNCATE external_ledger RESTART IDENTITY;

-- Failing, and giving back.
SELECT ft.submit('one', execution_mode => 'external', queue => 'mail', max_attempts => 3) AS execution \gset
SELECT task_id, attempt FROM ft.claim_task('mail', 'worker 1') \gset
SELECT ft.release_task(:'task_id', :attempt);
SELECT * FROM external_progress;
\set VERBOSITY terse
SELECT ft.release_task(:'task_id', :attempt);
SELECT ft.complete_task(:'task_id', NULL, :attempt);
\set VERBOSITY default
SELECT task_id, attempt FROM ft.claim_task('mail', 'worker 1') \gset
SELECT ft.fail_task(:'task_id', 'server busy', '53000', :attempt) IS NOT NULL AS failed;
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM external_progress;
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;

-- A timeout bounds the lease, however often it is extended.
SELECT ft.submit('one', execution_mode => 'external', timeout => '10 s') AS execution \gset
SELECT task_id, lease_until FROM ft.claim_task('default', 'slow', '1 hour') \gset
SELECT :'lease_until' - started_at AS lease FROM ft.orchestration_tasks;
SELECT ft.heartbeat(:'task_id', 1, '1 hour') - started_at AS lease FROM ft.orchestration_tasks;
UPDATE ft.orchestration_tasks SET started_at = started_at - interval '1 min';
SELECT ft.heartbeat(:'task_id', 1, '1 hour');
DELETE FROM ft.orchestration_executions;

-- Without a scheduler, who looks for work finds what others have lost.
SET fault_tolerance.recovery_backoff = 0;
SELECT ft.submit('one', execution_mode => 'external') AS execution \gset
SELECT attempt FROM ft.claim_task('default', 'lost');
UPDATE ft.orchestration_tasks SET leased_until = now() - interval '1 s';
SELECT attempt FROM ft.claim_task('default', 'finder');
SELECT attempt FROM ft.claim_task('default', 'finder');
SELECT * FROM external_progress;
RESET fault_tolerance.recovery_backoff;
DELETE FROM ft.orchestration_executions;

-- Higher priority first, then age.
SELECT ft.submit(name, execution_mode => 'external', priority => priority) IS NOT NULL AS submitted
  FROM (VALUES ('third', 0), ('first', 5), ('fourth', -5), ('second', 5)) AS job (name, priority);
SELECT ft.submit('later', execution_mode => 'external', run_at => now() + interval '1 hour') IS NOT NULL AS submitted;
SELECT command FROM ft.claim_task('default', 'w');
SELECT command FROM ft.claim_task('default', 'w');
SELECT command FROM ft.claim_task('default', 'w');
SELECT command FROM ft.claim_task('default', 'w');
SELECT command FROM ft.claim_task('default', 'w');
DELETE FROM ft.orchestration_executions;

-- Of whom: owners that the caller is a member of, whose name is still theirs.
CREATE ROLE regress_external_owner;
CREATE ROLE regress_external_other;
CREATE ROLE regress_external_worker IN ROLE regress_external_owner;
GRANT USAGE ON SCHEMA ft TO regress_external_owner, regress_external_other, regress_external_worker;
SET ROLE regress_external_owner;
SELECT ft.submit('owner''s', execution_mode => 'external') AS execution \gset
SET ROLE regress_external_other;
SELECT ft.submit('other''s', execution_mode => 'external', priority => 5) IS NOT NULL AS submitted;
SET ROLE regress_external_worker;
SELECT task_id, command FROM ft.claim_task('default', 'w') \gset
SELECT :'command' AS command;
SELECT command FROM ft.claim_task('default', 'w');
SET ROLE regress_external_other;
\set VERBOSITY sqlstate
SELECT ft.heartbeat(:'task_id', 1);
SELECT ft.release_task(:'task_id', 1);
SELECT ft.complete_task(:'task_id', NULL, 1);
\set VERBOSITY terse
RESET ROLE;
ALTER ROLE regress_external_other RENAME TO regress_external_renamed;
SELECT command FROM ft.claim_task('default', 'w');
ALTER ROLE regress_external_renamed RENAME TO regress_external_other;
SELECT command FROM ft.claim_task('default', 'w');

-- What is refused.
SELECT ft.claim_task(NULL, 'w');
SELECT ft.claim_task('default', NULL);
SELECT ft.claim_task('default', '');
SELECT ft.claim_task('default', 'w', NULL);
SELECT ft.claim_task('default', 'w', '0');
SELECT ft.claim_task('default', 'w', '-1 s');
SELECT ft.claim_task('default', 'w', '2 days');
SELECT ft.heartbeat(NULL, 1);
SELECT ft.heartbeat(:'task_id', NULL);
SELECT ft.heartbeat(:'task_id', 2);
SELECT ft.heartbeat('00000000-0000-0000-0000-000000000000', 1);
SELECT ft.release_task('00000000-0000-0000-0000-000000000000', 1);
SELECT ft.create_execution() AS execution \gset
SELECT ft.add_task(:'execution', 'by hand') AS task_id \gset
SELECT ft.start_task(:'task_id');
SELECT ft.heartbeat(:'task_id', 1);
SELECT ft.define_orchestration('unlikely', '[{"name": "a", "execution_mode": "external", "condition": "SELECT true"}]');
\set VERBOSITY default

DELETE FROM ft.orchestration_executions;
DROP VIEW external_progress;
DROP TABLE external_ledger;
SELECT ft.drop_orchestration('mailing');
REVOKE USAGE ON SCHEMA ft FROM regress_external_owner, regress_external_other, regress_external_worker;
DROP ROLE regress_external_worker, regress_external_owner, regress_external_other;
