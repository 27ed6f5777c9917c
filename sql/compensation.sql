-- Compensations run by hand, and what happens to those that fail.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SET fault_tolerance.recovery_backoff = '1h';
SET fault_tolerance.recovery_backoff_limit = '3h';
SET fault_tolerance.recovery_max_attempts = 3;

CREATE TABLE undone (n int GENERATED ALWAYS AS IDENTITY, what text, by_whom name DEFAULT current_user);
CREATE TABLE broken (still boolean);
CREATE FUNCTION pg_temp.make(compensation text, OUT execution uuid)
LANGUAGE plpgsql AS $$
DECLARE task uuid;
BEGIN
    execution := ft.create_execution();
    FOR i IN 1..3 LOOP
        task := ft.add_task(execution, 't' || i,
            compensation => CASE i WHEN 2 THEN compensation
                            ELSE format('INSERT INTO undone (what) VALUES (%L)', 't' || i) END);
        PERFORM ft.start_task(task), ft.complete_task(task);
    END LOOP;
    PERFORM ft.add_task(execution, 'rest');
    PERFORM ft.record_failure(execution, 'broken', '23505');
    PERFORM ft.auto_recover_failures();
END $$;
CREATE FUNCTION pg_temp.tasks(execution uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(task_name || ' ' || status, ', ' ORDER BY task_id)
      FROM ft.orchestration_tasks WHERE execution_id = execution $$;

-- the first runs; the second fails after having done something, which is undone
SELECT pg_temp.make($$INSERT INTO undone (what) VALUES ('half');
    INSERT INTO undone (what) SELECT 't2' WHERE 1 / (SELECT (NOT EXISTS (SELECT FROM broken WHERE still))::int) = 1$$) AS e \gset
INSERT INTO broken VALUES (true);
SELECT ft.run_compensations(:'e');
SELECT what FROM undone ORDER BY n;
SELECT pg_temp.tasks(:'e');
SELECT task_name, compensation_attempt, compensation_failures, compensation_error_sqlstate, compensation_error_message,
       compensation_next_attempt_at > now() + interval '50 min' AS later
  FROM ft.orchestration_tasks WHERE compensation_attempt > 0 ORDER BY task_id;
SELECT * FROM ft.validate_execution(:'e');
-- it keeps its place: nothing overtakes it
SELECT ft.run_compensations(:'e');
SELECT pg_temp.tasks(:'e');
-- after the last try it is given up, visibly
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL;
SELECT ft.run_compensations(:'e');
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL;
SELECT ft.run_compensations(:'e');
SELECT status FROM ft.orchestration_executions;
SELECT pg_temp.tasks(:'e');
SELECT recovered, recovery_strategy, recovery_error FROM ft.orchestration_failures;
SELECT recovery FROM ft.unrecovered_failures;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations(:'e');
SELECT * FROM ft.validate_execution(:'e');
-- and can be tried again when what stood in its way is gone
DELETE FROM broken;
SELECT ft.recover_from_failure(:'e', 'PARTIAL') IS NOT NULL AS recovered;
SELECT pg_temp.tasks(:'e');
SELECT ft.run_compensations();
SELECT what FROM undone ORDER BY n;
SELECT status, finished_at IS NOT NULL AS finished FROM ft.orchestration_executions;
SELECT recovered, recovery_strategy, recovery_error, given_up_at FROM ft.orchestration_failures;
SELECT * FROM ft.validate_execution(:'e');
DELETE FROM ft.orchestration_executions;
TRUNCATE undone;

-- or rolled back instead
SELECT pg_temp.make('SELECT 1 / 0') AS e \gset
SET fault_tolerance.recovery_max_attempts = 1;
SELECT ft.run_compensations(:'e');
SELECT status FROM ft.orchestration_executions;
UPDATE ft.orchestration_tasks SET compensation = 'INSERT INTO undone (what) VALUES (''t2'')' WHERE task_name = 't2';
SELECT ft.recover_from_failure(:'e', 'PERMANENT') IS NOT NULL AS recovered;
SELECT pg_temp.tasks(:'e');
SELECT ft.run_compensations(:'e');
SELECT what FROM undone ORDER BY n;
SELECT status FROM ft.orchestration_executions;
SELECT pg_temp.tasks(:'e');
SELECT * FROM ft.validate_execution(:'e');
DELETE FROM ft.orchestration_executions;
TRUNCATE undone;
RESET fault_tolerance.recovery_max_attempts;

-- what a compensation must not do
CREATE FUNCTION pg_temp.error_of(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE e uuid; error text;
BEGIN
    e := pg_temp.make(command);
    PERFORM ft.run_compensations(e);
    SELECT compensation_error_sqlstate || ': ' || compensation_error_message INTO error
      FROM ft.orchestration_tasks WHERE execution_id = e AND task_name = 't2';
    RETURN error;
END $$;
SELECT pg_temp.error_of('COMMIT');
SELECT pg_temp.error_of('ROLLBACK');
SELECT pg_temp.error_of('SAVEPOINT s');
SELECT pg_temp.error_of('VACUUM undone');
SELECT pg_temp.error_of('COPY undone TO STDOUT');
SELECT pg_temp.error_of('SELEKT');
SELECT pg_temp.error_of('');
SELECT what FROM undone ORDER BY n;
DELETE FROM ft.orchestration_executions;
TRUNCATE undone;

-- what a worker was lost with: taken over by hand
SELECT pg_temp.make('INSERT INTO undone (what) SELECT compensation_epoch FROM ft.orchestration_tasks WHERE task_name = ''t2''') AS e \gset
UPDATE ft.orchestration_tasks SET compensation_pid = 1, compensation_epoch = NULL, compensation_losses = 3
 WHERE task_name = 't3';
SELECT ft.run_compensations(:'e');
SELECT compensation_failures, compensation_losses FROM ft.orchestration_tasks WHERE task_name = 't3';
SELECT what AS epoch FROM undone WHERE what NOT LIKE 't%' \gset
TRUNCATE undone;
DELETE FROM ft.orchestration_executions;
-- the scheduler has it pay for losing one again, and in the end gives it up
SELECT pg_temp.make('INSERT INTO undone (what) VALUES (''t2'')') AS e \gset
UPDATE ft.orchestration_tasks SET compensation_pid = 1, compensation_epoch = :epoch, compensation_worker = 99999999,
       compensation_failures = 3
 WHERE task_name = 't3';
SELECT owners_due = ARRAY[current_user::regrole] AS mine_are_due FROM ft.scheduler_tick();
SELECT compensation_pid, compensation_failures, compensation_losses, suspicion FROM ft.orchestration_tasks WHERE task_name = 't3';
UPDATE ft.orchestration_tasks SET compensation_pid = 1, compensation_epoch = :epoch, compensation_worker = 99999999
 WHERE task_name = 't3';
SELECT owners_due FROM ft.scheduler_tick();
SELECT compensation_pid, compensation_failures, compensation_losses, suspicion, compensation_next_attempt_at > now() AS later
  FROM ft.orchestration_tasks WHERE task_name = 't3';
UPDATE ft.orchestration_tasks SET compensation_pid = 1, compensation_epoch = :epoch, compensation_worker = 99999999
 WHERE task_name = 't3';
SELECT owners_due FROM ft.scheduler_tick();
SELECT status FROM ft.orchestration_executions;
SELECT pg_temp.tasks(:'e');
SELECT recovery_error FROM ft.orchestration_failures;
SELECT count(*) FROM undone;
SELECT * FROM ft.validate_execution(:'e');
-- by hand it gets all its tries again; and where it ends, nothing is parked
SELECT compensation_failures, compensation_losses FROM ft.orchestration_tasks WHERE task_name = 't3';
SELECT ft.recover_from_failure(:'e', 'PARTIAL') IS NOT NULL AS recovered;
SELECT compensation_failures, compensation_losses FROM ft.orchestration_tasks WHERE task_name = 't3';
UPDATE ft.orchestration_executions SET parked_reason = 'nobody could log in';
SELECT ft.run_compensations(:'e');
SELECT status, parked_reason FROM ft.orchestration_executions;
TRUNCATE undone;
DELETE FROM ft.orchestration_executions;

-- as the owner, and only in a session of the owner
SELECT current_user AS superuser \gset
CREATE ROLE regress_ft_alice LOGIN;
CREATE ROLE regress_ft_bob LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_alice, regress_ft_bob;
GRANT INSERT, SELECT ON undone, broken TO regress_ft_alice, regress_ft_bob;
SET ROLE regress_ft_alice;
SELECT pg_temp.make('INSERT INTO undone (what) VALUES (''t2'')') AS e \gset
SELECT pg_temp.outcome('SELECT ft.run_compensations()');
RESET ROLE;
-- a superuser does not run what is somebody else's, whoever he poses as
SELECT ft.run_compensations();
SELECT ft.run_compensations(:'e');
SET SESSION AUTHORIZATION regress_ft_alice;
SELECT pg_temp.outcome('SELECT ft.run_compensations()');
RESET SESSION AUTHORIZATION;
-- nor does the owner while the role goes by another name than the rows
ALTER ROLE regress_ft_alice RENAME TO regress_ft_carol;
\c - regress_ft_carol
SELECT ft.run_compensations();
\c - :superuser
ALTER ROLE regress_ft_carol RENAME TO regress_ft_alice;
\c - regress_ft_alice
SELECT ft.run_compensations(:'e');
\c - :superuser
\i :outcome
SELECT what, by_whom FROM undone ORDER BY n;
SELECT pg_temp.outcome('SELECT ft.run_compensations(gen_random_uuid())');
DELETE FROM ft.orchestration_executions;
TRUNCATE undone;

-- what one compensation sets does not reach the next, nor the session: with
-- the role it could run what is that role's, who could take it off again
CREATE FUNCTION make(VARIADIC compensations text[], OUT execution uuid)
LANGUAGE plpgsql AS $$
DECLARE task uuid;
BEGIN
    execution := ft.create_execution();
    FOR i IN REVERSE cardinality(compensations)..1 LOOP
        task := ft.add_task(execution, 't' || i, compensation => compensations[i]);
        PERFORM ft.start_task(task), ft.complete_task(task);
    END LOOP;
    PERFORM ft.add_task(execution, 'rest'), ft.recover_from_failure(execution, 'PARTIAL');
END $$;
GRANT regress_ft_bob TO regress_ft_alice;
\c - regress_ft_alice
SELECT make('SET ROLE regress_ft_bob; SET work_mem = ''77MB''; SET search_path = pg_temp; SET LOCAL lock_timeout = 77',
            'INSERT INTO undone (what) SELECT concat_ws('', '', current_user, current_setting(''work_mem'') = ''77MB'')') AS e \gset
\c - regress_ft_bob
SELECT make('RESET ROLE; INSERT INTO undone (what) VALUES (''bob was here'')') IS NOT NULL AS made;
\c - regress_ft_alice
BEGIN;
SELECT ft.run_compensations();
SELECT current_user = session_user AS oneself, current_setting('work_mem') = '77MB' AS memory,
       current_setting('search_path') AS path, current_setting('lock_timeout') AS timeout;
COMMIT;
\c - :superuser
SELECT what, by_whom FROM undone ORDER BY n;
SELECT owner, status FROM ft.orchestration_executions ORDER BY owner;
DELETE FROM ft.orchestration_executions;

-- a compensation does not run compensations: the next would be itself
SELECT make('SELECT ft.run_compensations()') AS e \gset
SELECT ft.run_compensations();
SELECT status, compensation_attempt, compensation_failures, compensation_error_sqlstate, compensation_error_message
  FROM ft.orchestration_tasks WHERE task_name = 't1';
-- and what it does to its own execution is undone where the two do not agree
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL,
       compensation = 'DELETE FROM ft.orchestration_executions' WHERE task_name = 't1';
SELECT ft.run_compensations();
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL,
       compensation = 'DROP EXTENSION fault_tolerance' WHERE task_name = 't1';
SELECT ft.run_compensations();
SELECT status, compensation_attempt, compensation_failures, compensation_error_sqlstate
  FROM ft.orchestration_tasks WHERE task_name = 't1';
-- nor does it count where another session has taken over meanwhile
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL, compensation =
       'INSERT INTO undone (what) VALUES (''late''); UPDATE ft.orchestration_tasks SET compensation_attempt = 99'
 WHERE task_name = 't1';
SET fault_tolerance.recovery_max_attempts = 10;
SELECT ft.run_compensations();
SELECT status, compensation_attempt, compensation_error_sqlstate,
       regexp_replace(compensation_error_message, '[0-9a-f]{8}-[0-9a-f-]{27}', 'UUID') AS message
  FROM ft.orchestration_tasks WHERE task_name = 't1';
SELECT count(*) FROM undone WHERE what = 'late';
-- a timeout is about the statement: all of it is undone, and the session goes on
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL, compensation = 'SELECT pg_sleep(100)'
 WHERE task_name = 't1';
SET statement_timeout = '100ms';
SELECT ft.run_compensations();
RESET statement_timeout;
SELECT status, compensation_attempt, compensation_failures, compensation_pid
  FROM ft.orchestration_tasks WHERE task_name = 't1';
SELECT * FROM ft.validate_execution(:'e');

DELETE FROM ft.orchestration_executions;
DROP FUNCTION make(text[]);
DROP TABLE undone, broken;
REVOKE ALL ON SCHEMA ft FROM regress_ft_alice, regress_ft_bob;
DROP ROLE regress_ft_alice, regress_ft_bob;
