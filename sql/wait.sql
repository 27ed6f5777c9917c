-- ft.wait(): what it returns of an execution that has ended, stopped, or not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT ft.submit('SELECT 1') AS execution \gset
SELECT ft.wait(:'execution', '0 s') AS not_begun;
SELECT ft.wait(:'execution', '10 ms') AS not_begun;
SELECT ft.run_steps(:'execution');
SELECT ft.wait(:'execution') AS ended;
DELETE FROM ft.orchestration_executions;

-- One that has stopped is not waited for either.
SELECT ft.submit('SELECT 1 / 0') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.wait(:'execution') AS stopped;
DELETE FROM ft.orchestration_executions;

-- The same by a procedure, which ends its transaction: what was started before
-- it has begun, and it holds no snapshot.
SELECT ft.submit('SELECT 1') AS execution \gset
CALL ft.await(:'execution', '10 ms');
SELECT ft.run_steps(:'execution');
CALL ft.await(:'execution', NULL, NULL);
DELETE FROM ft.orchestration_executions;
DO $$
DECLARE
    execution uuid := ft.submit('SELECT 1');
    status text;
BEGIN
    CALL ft.await(execution, '0', status);
    RAISE NOTICE '%, and there are %', status, (SELECT count(*) FROM ft.orchestration_executions);
    ROLLBACK;
    RAISE NOTICE 'there are still %', (SELECT count(*) FROM ft.orchestration_executions);
END $$;
DELETE FROM ft.orchestration_executions;
\set VERBOSITY terse
CALL ft.await(NULL);
CALL ft.await('00000000-0000-0000-0000-000000000000');
BEGIN;
CALL ft.await('00000000-0000-0000-0000-000000000000');
ROLLBACK;
\set VERBOSITY default

-- What cannot be waited for.
\set VERBOSITY terse
SELECT ft.wait(NULL);
SELECT ft.wait('00000000-0000-0000-0000-000000000000');
BEGIN;
SELECT ft.submit('SELECT 1') AS execution \gset
\set VERBOSITY sqlstate
SELECT ft.wait(:'execution', '1 s');
ROLLBACK;
