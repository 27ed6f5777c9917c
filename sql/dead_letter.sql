-- Dead letters: what has stopped and why, and bringing it back.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- What has stopped is listed, corrected, and goes on.
SET fault_tolerance.recovery_backoff = 0;
SET fault_tolerance.recovery_max_attempts = 2;
CREATE TABLE letter_ledger (entry serial, what text);
SELECT ft.define_orchestration('letter', $$[
    {"name": "write", "command": "INSERT INTO letter_ledger (what) VALUES ('write')"},
    {"name": "send", "depends_on": ["write"], "command": "SELECT 1 / 0"},
    {"name": "file", "depends_on": ["send"], "command": "INSERT INTO letter_ledger (what) VALUES ('file')"}]$$)
    IS NOT NULL AS defined;
CREATE VIEW letters AS
SELECT name, status, why, task_name, sqlstate, message, recovery_error FROM ft.dead_letters ORDER BY stopped_at;

-- Rolled back after a failure.
SELECT ft.start('letter') AS letter \gset
SELECT ft.run_steps();
SELECT * FROM letters;
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM letters;
SELECT task_id AS send FROM ft.dead_letters \gset
\set VERBOSITY terse
SELECT ft.correct_task(:'send');
SELECT ft.correct_task(:'send', 'SELEKT');
SELECT ft.correct_task(:'send', 'COMMIT');
SELECT ft.correct_task(:'send', compensation => '');
SELECT ft.correct_task(NULL, 'SELECT 1');
SELECT ft.correct_task('00000000-0000-0000-0000-000000000000', 'SELECT 1');
\set VERBOSITY default
SELECT ft.correct_task(:'send', 'INSERT INTO letter_ledger (what) VALUES (''send'')',
                       'INSERT INTO letter_ledger (what) VALUES (''call back'')');
SELECT ft.redrive(:'letter');
SELECT * FROM letters;
SELECT task_name, status, failures, due_at IS NOT NULL AS due FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM ft.validate_execution(:'letter');
SELECT ft.run_steps();
SELECT status FROM ft.orchestration_executions;
SELECT what FROM letter_ledger ORDER BY entry;
\set VERBOSITY sqlstate
SELECT ft.correct_task(:'send', 'SELECT 1');
SELECT ft.redrive(:'letter');
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;
TRUNCATE letter_ledger RESTART IDENTITY;

-- One that was rolled back by hand is none.
SELECT ft.start('letter') AS letter \gset
SELECT ft.recover_from_failure(:'letter', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT * FROM letters;
SELECT ft.redrive(:'letter');
\set VERBOSITY sqlstate
SELECT ft.redrive(:'letter');
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;

-- Recovery that was given up.
SELECT ft.start('letter') AS letter \gset
SELECT ft.run_steps();
UPDATE ft.orchestration_failures SET failure_timestamp = now() - interval '2 hours';
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM letters;
SELECT ft.wait(:'letter');
SELECT ft.correct_task(task_id, 'SELECT 1') FROM ft.dead_letters;
SELECT ft.redrive(:'letter');
SELECT * FROM letters;
SELECT status, failures, attempt FROM ft.orchestration_tasks WHERE task_name = 'send';
SELECT * FROM ft.validate_execution(:'letter');
SELECT ft.run_steps();
SELECT ft.wait(:'letter');
DELETE FROM ft.orchestration_executions;
TRUNCATE letter_ledger RESTART IDENTITY;

-- A compensation that failed, of a compensation and of a rollback.
SELECT ft.define_orchestration('letter', $$[
    {"name": "write", "command": "INSERT INTO letter_ledger (what) VALUES ('write')",
     "compensation": "INSERT INTO letter_ledger (what) VALUES ('tear')"},
    {"name": "stamp", "depends_on": ["write"], "command": "INSERT INTO letter_ledger (what) VALUES ('stamp')",
     "compensation": "SELECT 1 / 0"},
    {"name": "send", "depends_on": ["stamp"], "command": "SELECT 2 / 0"}]$$) IS NOT NULL AS defined;
SELECT ft.start('letter') AS letter \gset
SELECT ft.run_steps();
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT * FROM letters;
SELECT ft.correct_task(task_id, compensation => 'INSERT INTO letter_ledger (what) VALUES (''peel'')') FROM ft.dead_letters;
SELECT ft.redrive(:'letter');
SELECT ft.run_compensations();
SELECT ft.wait(:'letter');
SELECT what FROM letter_ledger ORDER BY entry;
SELECT recovered, recovery_action FROM ft.orchestration_failures;
SELECT * FROM ft.validate_execution(:'letter');
DELETE FROM ft.orchestration_executions;
TRUNCATE letter_ledger RESTART IDENTITY;

SELECT ft.start('letter') AS letter \gset
SELECT ft.run_steps();
SELECT ft.recover_from_failure(:'letter', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT ft.run_compensations();
SELECT name, status, why, task_name FROM ft.dead_letters;
SELECT task_name, status FROM ft.orchestration_tasks ORDER BY task_id;
SELECT ft.correct_task(task_id, compensation => 'INSERT INTO letter_ledger (what) VALUES (''peel'')') FROM ft.dead_letters;
SELECT ft.redrive(:'letter');
SELECT ft.run_compensations();
SELECT ft.wait(:'letter');
SELECT task_name, status FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM ft.validate_execution(:'letter');
DELETE FROM ft.orchestration_executions;
TRUNCATE letter_ledger RESTART IDENTITY;

-- Parked: its owner cannot log in.
CREATE ROLE regress_ft_sender LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_sender;
SET ROLE regress_ft_sender;
SELECT ft.submit('SELECT 1') AS letter \gset
RESET ROLE;
ALTER ROLE regress_ft_sender NOLOGIN;
SELECT owners_due FROM ft.scheduler_tick();
SELECT * FROM letters;
SELECT ft.redrive(:'letter');
ALTER ROLE regress_ft_sender LOGIN;
SELECT owners_due FROM ft.scheduler_tick();
SELECT * FROM letters;

-- Parked: its owner goes by another name, by hand and in a tick; it is again
-- who it was, or a superuser says who it is.
ALTER ROLE regress_ft_sender RENAME TO regress_ft_writer;
SELECT current_user AS me \gset
\c - regress_ft_writer
SELECT ft.run_steps();
\c - :me
SELECT status, message FROM letters;
SELECT * FROM ft.validate_execution(:'letter');
ALTER ROLE regress_ft_writer RENAME TO regress_ft_sender;
SELECT owners_due FROM ft.scheduler_tick();
SELECT count(*) FROM letters;
SELECT * FROM ft.validate_execution(:'letter');
SELECT ft.record_failure(:'letter', 'a test', '40001') IS NOT NULL AS failed;
ALTER ROLE regress_ft_sender RENAME TO regress_ft_writer;
SELECT owners_due FROM ft.scheduler_tick();
SELECT * FROM ft.auto_recover_failures();
SELECT owners_due FROM ft.scheduler_tick();
SELECT status, message FROM letters;
SELECT * FROM ft.validate_execution(:'letter');
SELECT ft.adopt();
SELECT count(*) FROM letters;
SELECT owners_due FROM ft.scheduler_tick();
SELECT * FROM ft.validate_execution(:'letter');
ALTER ROLE regress_ft_writer RENAME TO regress_ft_sender;
SELECT ft.adopt();

-- Others see and touch nothing of it.
UPDATE ft.orchestration_executions SET status = 'ROLLED_BACK';
UPDATE ft.orchestration_executions SET parked_reason = 'a test';
CREATE ROLE regress_ft_reader;
GRANT USAGE ON SCHEMA ft TO regress_ft_reader;
SELECT task_id AS task FROM ft.orchestration_tasks \gset
SET ROLE regress_ft_reader;
SELECT count(*) FROM ft.dead_letters;
\set VERBOSITY sqlstate
SELECT ft.redrive(:'letter');
SELECT ft.correct_task(:'task', 'SELECT 1');
\set VERBOSITY default
SET ROLE regress_ft_sender;
SELECT count(*) FROM ft.dead_letters;
RESET ROLE;
DELETE FROM ft.orchestration_executions;

-- Kept, or removed after a time.
SELECT ft.define_orchestration('letter', '[{"name": "send", "command": "SELECT 1 / 0"}]') IS NOT NULL AS defined;
SELECT ft.start('letter') IS NOT NULL AS started;
SELECT ft.run_steps();
SELECT * FROM ft.auto_recover_failures();
SELECT candidates, next_due FROM ft.scheduler_tick(now() + interval '10 years');
SELECT count(*) FROM ft.dead_letters;
SET fault_tolerance.dead_letter_retention = '1d';
SELECT next_due - now() BETWEEN '23 h' AND '24 h' AS in_a_day FROM ft.scheduler_tick();
SELECT count(*) FROM ft.dead_letters;
SELECT next_due FROM ft.scheduler_tick(now() + interval '25 h');
SELECT count(*) FROM ft.orchestration_executions;
RESET fault_tolerance.dead_letter_retention;

SELECT ft.drop_orchestration('letter');
DROP VIEW letters;
DROP TABLE letter_ledger;
RESET fault_tolerance.recovery_backoff;
RESET fault_tolerance.recovery_max_attempts;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_sender, regress_ft_reader;
DROP ROLE regress_ft_sender, regress_ft_reader;
