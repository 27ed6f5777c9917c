-- Orchestrations that steps start: their ends, their failures, and what undoes them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Steps that start an orchestration and wait for it.
CREATE TABLE child_ledger (entry serial, step text);
CREATE VIEW child_progress AS
SELECT CASE WHEN e.parent_task_id IS NULL THEN 'parent' ELSE 'child' END AS execution,
       e.status AS execution_status, t.task_name, t.status, t.unmet, t.due_at IS NOT NULL AS due, t.result
  FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t ON t.execution_id = e.execution_id
 ORDER BY e.execution_id, t.task_id;
CREATE FUNCTION child_invalid() RETURNS SETOF text LANGUAGE sql AS
$$ SELECT v::text FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v $$;
CREATE FUNCTION child_fail_if(bad boolean) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN IF bad THEN RAISE division_by_zero; END IF; END $$;
CREATE FUNCTION child_forget() RETURNS void LANGUAGE sql AS
$$ DELETE FROM ft.orchestration_executions; TRUNCATE child_ledger RESTART IDENTITY $$;

SELECT ft.define_orchestration('pay', $$[
    {"name": "debit", "command": "INSERT INTO child_ledger (step) VALUES ('debit ' || ($1 ->> 'amount'))",
     "compensation": "INSERT INTO child_ledger (step) VALUES ('credit ' || ($1 ->> 'amount'))"},
    {"name": "book", "depends_on": ["debit"],
     "command": "SELECT child_fail_if(($1 ->> 'amount')::int > 100); INSERT INTO child_ledger (step) VALUES ('book'); SELECT ft.set_state(jsonb_build_object('paid', $1 -> 'amount'))",
     "compensation": "INSERT INTO child_ledger (step) VALUES ('unbook ' || ($1 ->> 'amount'))"}]$$) IS NOT NULL AS defined;
SELECT ft.define_orchestration('order', $$[
    {"name": "price", "command": "INSERT INTO child_ledger (step) VALUES ('price'); SELECT $1 -> 'price'",
     "compensation": "INSERT INTO child_ledger (step) VALUES ('unprice')"},
    {"name": "payment", "depends_on": ["price"], "orchestration": "pay", "priority": 4,
     "input": "SELECT jsonb_build_object('amount', $3 -> 'price')"},
    {"name": "ship", "depends_on": ["payment"],
     "command": "SELECT child_fail_if($1 ? 'lost'); INSERT INTO child_ledger (step) VALUES ('ship for ' || ($3 #>> '{payment,paid}'))"}]$$) IS NOT NULL AS defined;

-- The state of what was started is the result.
SELECT ft.start('order', '{"price": 7}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM child_progress;
SELECT e.parent_task_id = t.task_id AS knows_parent, e.input, e.priority, e.owner = current_user AS same_owner, e.parent_told
  FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t ON t.child_execution_id = e.execution_id;
SELECT * FROM child_invalid();
SELECT ft.run_steps();
SELECT * FROM child_progress;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();

-- What was started is kept as long as what has started it.
UPDATE ft.orchestration_executions SET finished_at = now() - interval '90 days' WHERE parent_task_id IS NOT NULL;
SELECT next_due > now() AS later FROM ft.scheduler_tick();
SELECT count(*) FROM ft.orchestration_executions;
UPDATE ft.orchestration_executions SET finished_at = now() - interval '90 days';
SELECT 1 AS ticked FROM ft.scheduler_tick();
SELECT 1 AS ticked FROM ft.scheduler_tick();
SELECT count(*) FROM ft.orchestration_executions;
SELECT child_forget();

-- It fails: it is recovered as any execution, and then the step fails.
SELECT ft.start('order', '{"price": 700}') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM child_progress;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT * FROM child_progress;
SELECT * FROM child_invalid();
SELECT ft.run_steps();
SELECT failure_type, sqlstate, failure_message FROM ft.orchestration_failures ORDER BY failure_timestamp;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT * FROM child_progress;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
SELECT child_forget();

-- What comes later fails: what had completed is undone in its turn, as a whole.
SELECT ft.start('order', '{"price": 8, "lost": true}') AS execution \gset
SELECT ft.run_steps();
SELECT name, command FROM ft.plan_recovery(:'execution', 'PARTIAL') WHERE object = 'task';
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM child_invalid();
SELECT ft.run_compensations(:'execution');
SELECT * FROM child_progress;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
SELECT child_forget();

-- Where one of its compensations fails, all of it fails, and is tried again.
SELECT ft.start('order', '{"price": 9, "lost": true}') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM ft.auto_recover_failures();
ALTER TABLE child_ledger ADD CHECK (step NOT LIKE 'credit%');
SELECT ft.run_compensations();
SELECT task_name, status, compensation_failures, compensation_error_sqlstate FROM ft.orchestration_tasks WHERE compensation_failures > 0;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
ALTER TABLE child_ledger DROP CONSTRAINT child_ledger_step_check;
UPDATE ft.orchestration_tasks SET compensation_next_attempt_at = NULL;
SELECT ft.run_compensations();
SELECT execution, execution_status, task_name, status FROM child_progress;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
SELECT child_forget();

-- It is compensated while what it has started is still under way.
SELECT ft.define_orchestration('pay', $$[
    {"name": "debit", "command": "INSERT INTO child_ledger (step) VALUES ('debit ' || ($1 ->> 'amount'))",
     "compensation": "INSERT INTO child_ledger (step) VALUES ('credit ' || ($1 ->> 'amount'))"},
    {"name": "confirmed", "depends_on": ["debit"], "signal": "confirm"}]$$) IS NOT NULL AS defined;
SELECT ft.start('order', '{"price": 10}') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM child_progress;
SELECT ft.recover_from_failure(:'execution', 'PARTIAL') IS NOT NULL AS compensated;
SELECT execution, execution_status, task_name, status FROM child_progress;
SELECT * FROM child_invalid();
SELECT ft.run_compensations();
SELECT execution, execution_status, task_name, status FROM child_progress;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
SELECT child_forget();

-- Rolled back, it starts another when it goes on.
SELECT ft.start('order', '{"price": 11}') AS execution \gset
SELECT ft.run_steps();
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT ft.run_compensations();
SELECT execution, execution_status, task_name, status, unmet FROM child_progress;
SELECT * FROM child_invalid();
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS resumed;
SELECT ft.run_steps();
SELECT ft.signal(child_execution_id, 'confirm', '{"ok": true}') FROM ft.orchestration_tasks WHERE child_execution_id IS NOT NULL;
SELECT ft.run_steps();
SELECT execution, execution_status, task_name, status FROM child_progress;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
SELECT child_forget();

-- Tried again after a failure, too.
SELECT ft.start('order', '{"price": 12}') AS execution \gset
SELECT ft.run_steps();
SELECT ft.record_failure(child_execution_id, 'lost its way') IS NOT NULL AS failed FROM ft.orchestration_tasks WHERE child_execution_id IS NOT NULL;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT ft.run_steps();
SELECT execution, execution_status, task_name, status, unmet FROM child_progress;
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS retried;
UPDATE ft.orchestration_tasks SET due_at = now(), next_attempt_at = NULL WHERE due_at IS NOT NULL;
SELECT ft.run_steps();
SELECT ft.signal(child_execution_id, 'confirm') FROM ft.orchestration_tasks WHERE child_execution_id IS NOT NULL;
SELECT ft.run_steps();
SELECT execution, execution_status, task_name, status, unmet FROM child_progress;
SELECT * FROM child_invalid();
SELECT child_forget();

-- One for each row; again and again; none within itself without end.
SELECT ft.define_orchestration('one', $$[{"name": "do", "command": "SELECT ft.set_state(jsonb_build_object('did', $1))"}]$$) IS NOT NULL AS defined;
SELECT ft.define_orchestration('many', $$[
    {"name": "each", "for_each": "VALUES ('a'), ('b')", "orchestration": "one", "input": "SELECT $4 AS what"}]$$) IS NOT NULL AS defined;
SELECT ft.define_orchestration('again', $$[
    {"name": "twice", "orchestration": "one", "repeat_while": "SELECT true", "max_iterations": 2}]$$) IS NOT NULL AS defined;
SELECT ft.define_orchestration('endless', $$[{"name": "self", "orchestration": "endless"}]$$) IS NOT NULL AS defined;
SELECT ft.start(name) IS NOT NULL AS started FROM unnest('{many,again}'::text[]) AS name;
SELECT ft.run_steps();
SELECT * FROM child_progress;
SELECT * FROM child_invalid();
SELECT child_forget();
-- what was started again and again is undone as often
SELECT ft.define_orchestration('one', $$[{"name": "do", "command": "INSERT INTO child_ledger (step) VALUES ('do') RETURNING entry",
    "compensation": "INSERT INTO child_ledger (step) VALUES ('undo ' || (ft.result('do') #>> '{}'))"}]$$) IS NOT NULL AS defined;
SELECT ft.start('again') AS execution \gset
SELECT ft.run_steps();
\set VERBOSITY sqlstate
SELECT ft.recover_from_failure(:'execution', 'PARTIAL');
\set VERBOSITY default
SELECT ft.define_orchestration('again and fail', $$[
    {"name": "twice", "orchestration": "one", "repeat_while": "SELECT true", "max_iterations": 2},
    {"name": "fail", "depends_on": ["twice"], "command": "SELECT child_fail_if(true)"}]$$) IS NOT NULL AS defined;
SELECT ft.start('again and fail') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT execution_status, task_name, status FROM child_progress OFFSET 2;
SELECT step FROM child_ledger ORDER BY entry;
SELECT * FROM child_invalid();
SELECT child_forget();
SELECT ft.start('endless') IS NOT NULL AS started;
SELECT ft.run_steps();
SELECT count(*) FROM ft.orchestration_executions;
SELECT sqlstate FROM ft.orchestration_failures;
SELECT * FROM child_invalid();
SELECT child_forget();

-- What is not there, or somebody else's, is not started.
SELECT ft.define_orchestration('wrong', $$[{"name": "a", "orchestration": "nowhere"}]$$) IS NOT NULL AS defined;
SELECT ft.start('wrong') IS NOT NULL AS started;
SELECT ft.run_steps();
SELECT sqlstate, failure_message FROM ft.orchestration_failures;
SELECT child_forget();
\set VERBOSITY terse
SELECT ft.compensate_child();
SELECT ft.define_orchestration('bad', '[{"name": "a", "orchestration": "x", "command": "SELECT 1"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "orchestration": "x", "compensation": "SELECT 1"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "input": "SELECT 1", "command": "SELECT 1"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "orchestration": "x", "execution_mode": "external"}]');
\set VERBOSITY default

SELECT ft.drop_orchestration(name) FROM unnest('{pay,order,one,many,again,again and fail,endless,wrong}'::text[]) AS name;
DROP FUNCTION child_invalid(), child_forget(), child_fail_if(boolean);
DROP VIEW child_progress;
DROP TABLE child_ledger;
