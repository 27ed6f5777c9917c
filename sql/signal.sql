-- Signals: early, late, twice, too late, and to nobody.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Steps that wait: for a time, for a signal, for both.
CREATE TABLE signal_ledger (entry serial, step text);
CREATE VIEW signal_progress AS
SELECT task_name, status, unmet, due_at IS NOT NULL AS due,
       round(extract(epoch FROM not_before - created_at) / 60) AS sleeps,
       round(extract(epoch FROM wait_until - created_at) / 60) AS waits, result
  FROM ft.orchestration_tasks ORDER BY task_id;
CREATE FUNCTION signal_invalid() RETURNS SETOF text LANGUAGE sql AS
$$ SELECT v::text FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v $$;

-- A step sleeps from when what it depends on has ended.
SELECT ft.define_orchestration('sleeper', $$[
    {"name": "first", "command": "INSERT INTO signal_ledger (step) VALUES ('first')"},
    {"name": "pause", "depends_on": ["first"], "sleep": "10 minutes"},
    {"name": "last", "depends_on": ["pause"], "command": "INSERT INTO signal_ledger (step) VALUES ('last')"}]$$) IS NOT NULL AS defined;
SELECT ft.start('sleeper') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
-- The time is known to whoever sleeps until then.
SELECT round(extract(epoch FROM next_due - now()) / 60) AS minutes, owners_due FROM ft.scheduler_tick();
SELECT owners_due = ARRAY[current_user::regrole] AS due FROM ft.scheduler_tick(now() + interval '11 min');
UPDATE ft.orchestration_tasks SET due_at = now(), not_before = now() WHERE due_at IS NOT NULL;
SELECT ft.run_steps(:'execution');
SELECT status FROM ft.orchestration_executions;
SELECT step FROM signal_ledger ORDER BY entry;
SELECT * FROM signal_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE signal_ledger RESTART IDENTITY;

-- One that begins with a sleep, after the time at which the execution begins.
SELECT ft.define_orchestration('late', $$[
    {"name": "b", "sleep": "10 min", "command": "INSERT INTO signal_ledger (step) VALUES ('b')"},
    {"name": "a", "priority": 3, "command": "INSERT INTO signal_ledger (step) VALUES ('a')"},
    {"name": "c", "priority": -3, "command": "INSERT INTO signal_ledger (step) VALUES ('c')"}]$$) IS NOT NULL AS defined;
SELECT ft.start('late', run_at => now() + interval '1 hour') AS execution \gset
SELECT task_name, round(extract(epoch FROM due_at - created_at) / 60) AS minutes FROM ft.orchestration_tasks ORDER BY task_id;
SELECT ft.run_steps();
SELECT * FROM signal_invalid();
UPDATE ft.orchestration_tasks SET due_at = now() - interval '1 s', not_before = now() - interval '1 s';
SELECT ft.run_steps();
SELECT step FROM signal_ledger ORDER BY entry;
DELETE FROM ft.orchestration_executions;
TRUNCATE signal_ledger RESTART IDENTITY;

-- A signal: the payload is the result; with a command it is $4 and ft.item().
SELECT ft.define_orchestration('approval', $$[
    {"name": "ask", "command": "INSERT INTO signal_ledger (step) VALUES ('ask')"},
    {"name": "approved", "depends_on": ["ask"], "signal": "approve", "timeout": "1 day"},
    {"name": "note", "signal": "approve",
     "command": "INSERT INTO signal_ledger (step) VALUES (format('%s by %s', ft.item() ->> 'answer', $4 ->> 'by')) RETURNING step"},
    {"name": "act", "depends_on": ["approved", "note"], "condition": "SELECT ($3 #>> '{approved,answer}') = 'yes'",
     "command": "INSERT INTO signal_ledger (step) VALUES ('act')"}]$$) IS NOT NULL AS defined;
SELECT ft.start('approval') AS execution \gset
SELECT * FROM signal_progress;
SELECT ft.run_steps(:'execution');
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
SELECT ft.signal(:'execution', 'approve', '{"answer": "yes", "by": "Ada"}');
-- twice counts once
SELECT ft.signal(:'execution', 'approve', '{"answer": "no", "by": "Bob"}');
SELECT signal_name, payload, sender = current_user AS own FROM ft.orchestration_signals;
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
SELECT ft.run_steps(:'execution');
SELECT status, tasks_left FROM ft.orchestration_executions;
SELECT * FROM signal_progress;
SELECT step FROM signal_ledger ORDER BY entry;
SELECT * FROM signal_invalid();
-- it is finished
\set VERBOSITY sqlstate
SELECT ft.signal(:'execution', 'approve');
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;
SELECT count(*) FROM ft.orchestration_signals;
TRUNCATE signal_ledger RESTART IDENTITY;

-- Sent early it is kept; without a payload it is null.
SELECT ft.start('approval') AS execution \gset
SELECT ft.signal(:'execution', 'approve');
SELECT * FROM signal_progress;
SELECT ft.run_steps(:'execution');
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE signal_ledger RESTART IDENTITY;

-- What cannot be sent.
SELECT ft.start('approval') AS execution \gset
\set VERBOSITY sqlstate
SELECT ft.signal(:'execution', 'aprove');
\set VERBOSITY terse
SELECT ft.signal(NULL, 'approve');
SELECT ft.signal(:'execution', NULL);
SELECT ft.signal(:'execution', '');
SELECT ft.signal(:'execution', 'approve', NULL);
SELECT ft.signal('00000000-0000-0000-0000-000000000000', 'approve');
SET fault_tolerance.max_result_size = '1kB';
SELECT ft.signal(:'execution', 'approve', to_jsonb(repeat('x', 2000)));
RESET fault_tolerance.max_result_size;
-- A rollback sends nothing.
BEGIN;
SELECT ft.signal(:'execution', 'approve');
ROLLBACK;
SELECT count(*) FROM ft.orchestration_signals;
-- Others send it by way of a function of the owner, if at all.
CREATE ROLE regress_ft_sender;
GRANT USAGE ON SCHEMA ft TO regress_ft_sender;
CREATE FUNCTION approve(execution_id uuid) RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT ft.signal(execution_id, 'approve', jsonb_build_object('by', session_user)) $$;
SET ROLE regress_ft_sender;
\set VERBOSITY sqlstate
SELECT ft.signal(:'execution', 'approve');
SELECT count(*) FROM ft.orchestration_signals;
SELECT approve(:'execution');
SELECT count(*) FROM ft.orchestration_signals;
RESET ROLE;
SELECT payload ->> 'by' = current_user AS by_owner FROM ft.orchestration_signals;
\set VERBOSITY default
DELETE FROM ft.orchestration_executions;

-- It waits too long: a failure that is not transient.  Tried again by hand it
-- waits as long once more.
SELECT ft.define_orchestration('impatient', $$[
    {"name": "paid", "signal": "payment", "timeout": "30 min"},
    {"name": "ship", "depends_on": ["paid"], "command": "SELECT 1"}]$$) IS NOT NULL AS defined;
SELECT ft.start('impatient') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
UPDATE ft.orchestration_tasks SET due_at = now() - interval '1 s', wait_until = now() - interval '1 s' WHERE wait_until IS NOT NULL;
SELECT ft.run_steps();
SELECT failure_type, sqlstate, failure_message FROM ft.orchestration_failures;
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS recovered;
SELECT * FROM signal_progress;
SELECT ft.run_steps();
SELECT * FROM signal_invalid();
SELECT ft.signal(:'execution', 'payment', '5');
SELECT task_name, status, unmet, wait_until FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM signal_invalid();
UPDATE ft.orchestration_tasks SET due_at = now(), next_attempt_at = NULL WHERE due_at IS NOT NULL;
SELECT ft.run_steps();
SELECT status FROM ft.orchestration_executions;
DELETE FROM ft.orchestration_executions;

-- A signal and then a sleep.  While the execution is held up the signal is
-- kept, and the sleep counts from it.
SELECT ft.define_orchestration('both', $$[
    {"name": "wait", "signal": "go", "sleep": "10 min"},
    {"name": "other"}]$$) IS NOT NULL AS defined;
SELECT ft.start('both') AS execution \gset
SELECT ft.record_failure(:'execution', 'held up', '40001') IS NOT NULL AS failed;
SELECT ft.signal(:'execution', 'go');
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM signal_progress;
SELECT * FROM signal_invalid();
-- A rollback keeps the signal.
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT e.status, p.* FROM ft.orchestration_executions AS e, signal_progress AS p;
SELECT * FROM signal_invalid();
DELETE FROM ft.orchestration_executions;

-- ft.set_state() in what is rolled back is forgotten with it.
CREATE FUNCTION set_and_fail(depth integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ft.set_state(jsonb_build_object('deep', depth));
    IF depth > 0 THEN
        BEGIN
            PERFORM ft.set_state(jsonb_build_object('at', depth));
            PERFORM set_and_fail(depth - 1);
            IF depth = 2 THEN
                RAISE EXCEPTION 'rolled back';
            END IF;
        EXCEPTION WHEN raise_exception THEN
            PERFORM ft.set_state(jsonb_build_object('caught', ft.state()));
        END;
    END IF;
END $$;
SELECT ft.submit('SELECT ft.set_state(''{"kept": 1}''); SELECT set_and_fail(3)') AS execution \gset
SELECT ft.run_steps();
SELECT status, state FROM ft.orchestration_executions;
DELETE FROM ft.orchestration_executions;
SELECT ft.submit('DO $do$ BEGIN BEGIN PERFORM ft.set_state(''{"a": 1}''); RAISE EXCEPTION ''x''; EXCEPTION WHEN OTHERS THEN END; END $do$; SELECT ft.state()') AS execution \gset
SELECT ft.run_steps();
SELECT state, result FROM ft.orchestration_executions JOIN ft.orchestration_tasks USING (execution_id);
DELETE FROM ft.orchestration_executions;

SELECT ft.drop_orchestration(name) FROM unnest('{sleeper,late,approval,impatient,both}'::text[]) AS name;
DROP FUNCTION set_and_fail(integer), approve(uuid), signal_invalid();
DROP VIEW signal_progress;
DROP TABLE signal_ledger;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_sender;
DROP ROLE regress_ft_sender;
