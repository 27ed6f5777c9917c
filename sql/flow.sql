-- Steps that sleep, fan out over rows, and are repeated.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Steps that fan out, and steps that are repeated.
CREATE TABLE flow_ledger (entry serial, step text);
CREATE VIEW flow_progress AS
SELECT task_name, status, attempt AS att, unmet, due_at IS NOT NULL AS due, children, iteration AS iter,
       completion_order AS place, item, result
  FROM ft.orchestration_tasks ORDER BY task_id;
CREATE FUNCTION flow_invalid() RETURNS SETOF text LANGUAGE sql AS
$$ SELECT v::text FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v $$;

CREATE FUNCTION flow_fail_if(bad boolean) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN IF bad THEN RAISE division_by_zero; END IF; END $$;

-- A child for each row, in parallel, joined again.
SELECT ft.define_orchestration('fan', $$[
    {"name": "list", "command": "SELECT 3"},
    {"name": "each", "depends_on": ["list"],
     "for_each": "SELECT n, n * 10 AS amount FROM generate_series(1, ($3 ->> 'list')::int + ($1 ->> 'more')::int) AS n",
     "command": "INSERT INTO flow_ledger (step) VALUES (format('%s pays %s of %s', $4 ->> 'n', ft.item() ->> 'amount', $3 ->> 'list')) RETURNING entry",
     "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo ' || ($4 ->> 'n'))"},
    {"name": "sum", "depends_on": ["each"], "command": "SELECT sum(n::int) FROM jsonb_array_elements($3 -> 'each') AS n"}]$$) IS NOT NULL AS defined;
SELECT ft.start('fan', '{"more": 0}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT status, tasks_left, completions FROM ft.orchestration_executions;
SELECT * FROM flow_progress;
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- No row: it completes at once.
SELECT ft.start('fan', '{"more": -3}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM flow_progress;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;

-- Too many.
SET fault_tolerance.max_children = 4;
SELECT ft.start('fan', '{"more": 2}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT task_name, status, error_sqlstate, error_message FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
RESET fault_tolerance.max_children;

-- What it looks like while it is under way: one child at a time.
SELECT ft.define_orchestration('slow fan', $$[
    {"name": "each", "for_each": "VALUES (1), (2), (NULL)",
     "command": "SELECT flow_fail_if($4 = 'null' AND $1 ->> 'ok' = '0' AND NOT ft.state() ? 'stop'); SELECT ft.set_state(jsonb_build_object('last', $4))",
     "compensation": "INSERT INTO flow_ledger (step) VALUES (format('undo %s', ft.item()))"},
    {"name": "after", "depends_on": ["each"], "command": "INSERT INTO flow_ledger (step) VALUES ('after')"}]$$) IS NOT NULL AS defined;
SELECT ft.start('slow fan', '{"ok": 1}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM flow_progress;
SELECT state FROM ft.orchestration_executions;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- A child that fails is a failure of the execution; those that have completed
-- are compensated, latest first.
SELECT ft.start('slow fan', '{"ok": 0}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT * FROM flow_progress;
SELECT failure_type, sqlstate, failure_message FROM ft.orchestration_failures;
SELECT * FROM flow_invalid();
SELECT object, from_status, to_status, name, command FROM ft.plan_recovery(:'execution', 'PARTIAL') WHERE object = 'task';
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM flow_invalid();
SELECT ft.run_compensations();
SELECT e.status, task_name, t.status FROM ft.orchestration_executions AS e, ft.orchestration_tasks AS t ORDER BY task_id;
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- The same rolled back: nothing of the fan-out is left standing, so it is done
-- anew when the execution goes on, from rows that are asked for again.
SELECT ft.start('slow fan', '{"ok": 0}') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT ft.run_compensations();
SELECT * FROM flow_progress;
SELECT status, tasks_left FROM ft.orchestration_executions;
-- which child it was that failed is told, of the task that can be corrected
SELECT task_name, failure_message FROM ft.orchestration_failures JOIN ft.orchestration_tasks USING (task_id);
SELECT task_name, message FROM ft.dead_letters;
SELECT * FROM flow_invalid();
SELECT ft.set_execution_state(:'execution', '{"stop": false}');
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS resumed;
SELECT ft.run_steps(:'execution');
SELECT * FROM flow_progress;
SELECT status, state FROM ft.orchestration_executions;
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- A correction of a task that fans out is one of its children, whether they are
-- there already or not.
SELECT ft.define_orchestration('mended', $$[
    {"name": "each", "for_each": "VALUES (1), (2)", "command": "SELECT 1",
     "compensation": "INSERT INTO flow_ledger (step) VALUES ('wrong')"},
    {"name": "fails", "depends_on": ["each"], "command": "SELECT 1 / 0"}]$$) IS NOT NULL AS defined;
CREATE FUNCTION flow_mend(execution uuid) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT ft.correct_task(task_id, 'INSERT INTO flow_ledger (step) SELECT ''do '' || ($4 #>> ''{}'')',
                           'INSERT INTO flow_ledger (step) SELECT ''undo '' || ($4 #>> ''{}'')')
      FROM ft.orchestration_tasks WHERE execution_id = execution AND task_name = 'each';
    SELECT concat_ws(': ', task_name, compensation LIKE '%undo%', item_compensation LIKE '%undo%')
      FROM ft.orchestration_tasks WHERE execution_id = execution ORDER BY task_id $$;
SELECT ft.start('mended') AS execution \gset
SELECT flow_mend(:'execution');
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT step FROM flow_ledger ORDER BY entry;
TRUNCATE flow_ledger RESTART IDENTITY;
SELECT ft.start('mended') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT ft.rollback_to_checkpoint(ft.create_checkpoint(:'execution', NULL), NULL);
UPDATE ft.orchestration_tasks SET status = 'FAILED', completion_order = NULL, completed_at = NULL WHERE execution_id = :'execution' AND task_name = 'each[1]';
UPDATE ft.orchestration_tasks SET status = 'PENDING', completion_order = NULL, completed_at = NULL WHERE execution_id = :'execution' AND task_name = 'each';
SELECT flow_mend(:'execution');
SELECT task_name, command LIKE '%do%' AS mended FROM ft.orchestration_tasks WHERE execution_id = :'execution' AND task_name LIKE 'each%' ORDER BY task_id;
DELETE FROM ft.orchestration_executions;
DROP FUNCTION flow_mend;

-- A checkpoint in the middle: what had completed by then stays, and the rest is
-- of the same rows.
SELECT ft.define_orchestration('middle', $$[
    {"name": "each", "for_each": "SELECT * FROM generate_series(1, 3)", "command": "SELECT flow_fail_if($4 = '3' AND NOT ft.state() ? 'go'); INSERT INTO flow_ledger (step) VALUES ('do ' || ($4 #>> '{}'))",
     "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo ' || ($4 #>> '{}'))"}]$$) IS NOT NULL AS defined;
SELECT ft.start('middle') AS execution \gset
SELECT ft.run_steps(:'execution');
UPDATE ft.orchestration_tasks SET status = 'PENDING', completion_order = NULL, completed_at = NULL WHERE task_name = 'each[1]';
SELECT ft.create_checkpoint(:'execution', NULL) IS NOT NULL AS kept;
UPDATE ft.orchestration_tasks SET status = 'COMPLETED', completion_order = 2, completed_at = now() WHERE task_name = 'each[1]';
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT ft.run_compensations();
SELECT * FROM flow_progress;
SELECT * FROM flow_invalid();
SELECT ft.set_execution_state(:'execution', '{"go": true}');
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS resumed;
SELECT ft.run_steps(:'execution');
SELECT * FROM flow_progress;
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- Retried, it goes on with the child that had failed.
SELECT ft.start('middle') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT ft.set_execution_state(:'execution', '{"go": true}');
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT') IS NOT NULL AS retried;
UPDATE ft.orchestration_tasks SET due_at = now(), next_attempt_at = NULL WHERE due_at IS NOT NULL;
SELECT * FROM flow_invalid();
SELECT ft.run_steps(:'execution');
SELECT task_name, status, attempt FROM ft.orchestration_tasks ORDER BY task_id;
SELECT step FROM flow_ledger ORDER BY entry;
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- The results of all children are held against the limit of results.
SET fault_tolerance.max_result_size = '1kB';
SELECT ft.define_orchestration('wide', $$[
    {"name": "each", "for_each": "SELECT * FROM generate_series(1, 100)", "command": "SELECT repeat('x', 20)"}]$$) IS NOT NULL AS defined;
SELECT ft.start('wide') AS execution \gset
SELECT ft.run_steps(:'execution');
SELECT task_name, error_sqlstate, error_message FROM ft.orchestration_tasks WHERE error_sqlstate IS NOT NULL;
RESET fault_tolerance.max_result_size;
DELETE FROM ft.orchestration_executions;

-- Loops: as long as the query is true, and as often as they may.
SELECT ft.define_orchestration('loop', $$[
    {"name": "count", "repeat_while": "SELECT (ft.state() ->> 'n')::int < ($1 ->> 'to')::int", "max_iterations": 5,
     "command": "INSERT INTO flow_ledger (step) VALUES ('round ' || ft.iteration()); SELECT ft.set_state(jsonb_build_object('n', ft.iteration()))",
     "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo ' || ft.iteration())"},
    {"name": "after", "depends_on": ["count"], "command": "SELECT ft.iteration(), 1 / ($1 ->> 'ok')::int AS ok"}]$$) IS NOT NULL AS defined;
SELECT ft.start('loop', jsonb_build_object('to', n, 'ok', n - 3)) IS NOT NULL AS started FROM unnest('{1,3,9}'::int[]) AS n;
SELECT ft.run_steps();
SELECT * FROM flow_progress;
SELECT status, state FROM ft.orchestration_executions ORDER BY execution_id;
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
-- the one that failed: its loop is undone once
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT step FROM flow_ledger WHERE step LIKE 'undo%' ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- A loop that fails midway is undone as far as it has come, with what was
-- done after its last run undone before it; then it begins anew.
SELECT ft.define_orchestration('midway', $$[
    {"name": "before", "command": "SELECT 1", "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo before')"},
    {"name": "count", "depends_on": ["before"], "repeat_while": "SELECT true", "max_iterations": 4,
     "command": "SELECT flow_fail_if(ft.iteration() > ($1 ->> 'good')::int); INSERT INTO flow_ledger (step) VALUES ('round ' || ft.iteration())",
     "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo up to ' || ft.iteration())"},
    {"name": "beside", "command": "SELECT 1", "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo beside')"}]$$) IS NOT NULL AS defined;
SELECT ft.start('midway', '{"good": 2}') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM flow_progress;
SELECT failure_type FROM ft.orchestration_failures;
SELECT step, action, name, from_status, to_status FROM ft.plan_recovery(:'execution', 'PARTIAL') WHERE object = 'task';
SELECT * FROM flow_invalid();
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM flow_invalid();
SELECT ft.run_compensations();
SELECT * FROM flow_progress;
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;
-- nothing to undo yet
SELECT ft.start('midway', '{"good": 0}') AS execution \gset
SELECT ft.run_steps();
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT step FROM flow_ledger ORDER BY entry;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;
-- taken back while it sleeps between its runs, and begun anew
SELECT ft.define_orchestration('midway', $$[
    {"name": "count", "sleep": "1 hour", "repeat_while": "SELECT true", "max_iterations": 3,
     "command": "INSERT INTO flow_ledger (step) VALUES ('round ' || ft.iteration())",
     "compensation": "INSERT INTO flow_ledger (step) VALUES ('undo up to ' || ft.iteration())"}]$$) IS NOT NULL AS defined;
SELECT ft.start('midway') AS execution \gset
UPDATE ft.orchestration_tasks SET due_at = now(), not_before = now();
SELECT ft.run_steps();
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT * FROM flow_invalid();
SELECT ft.run_compensations();
SELECT status, iteration, completion_order FROM ft.orchestration_tasks;
SELECT * FROM flow_invalid();
SELECT ft.resume(:'execution');
UPDATE ft.orchestration_tasks SET due_at = now(), not_before = now();
SELECT ft.run_steps();
UPDATE ft.orchestration_tasks SET due_at = now(), not_before = now();
SELECT ft.run_steps();
SELECT ft.cancel(:'execution');
SELECT ft.run_compensations();
SELECT step FROM flow_ledger ORDER BY entry;
SELECT status FROM ft.orchestration_executions;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- A loop that sleeps looks again after a while.
SELECT ft.define_orchestration('poll', $$[
    {"name": "look", "sleep": "5 min", "max_iterations": 3, "repeat_while": "SELECT true",
     "command": "INSERT INTO flow_ledger (step) VALUES ('look ' || ft.iteration())"}]$$) IS NOT NULL AS defined;
SELECT ft.start('poll') AS execution \gset
SELECT ft.run_steps();
UPDATE ft.orchestration_tasks SET due_at = now(), not_before = now();
SELECT ft.run_steps();
SELECT iteration, status, unmet, round(extract(epoch FROM due_at - now()) / 60) AS minutes FROM ft.orchestration_tasks;
SELECT * FROM flow_invalid();
-- rolled back, it begins anew
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT iteration, status FROM ft.orchestration_tasks;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- Each child of a fan-out may be repeated; a signal may start the fan-out.
SELECT ft.define_orchestration('mixed', $$[
    {"name": "each", "signal": "go", "for_each": "SELECT * FROM jsonb_array_elements($4)",
     "condition": "SELECT jsonb_array_length($4) > 1",
     "command": "INSERT INTO flow_ledger (step) VALUES (format('%s %s', ft.item(), ft.iteration()))",
     "repeat_while": "SELECT ft.iteration() < ft.item()::int", "max_iterations": 10}]$$) IS NOT NULL AS defined;
SELECT ft.start('mixed') AS execution \gset
SELECT ft.signal(:'execution', 'go', '[1, 2, 3]');
SELECT ft.run_steps();
SELECT * FROM flow_progress;
SELECT step FROM flow_ledger ORDER BY step;
SELECT * FROM flow_invalid();
DELETE FROM ft.orchestration_executions;
TRUNCATE flow_ledger RESTART IDENTITY;

-- What cannot be defined.
\set VERBOSITY terse
SELECT ft.define_orchestration('bad', '[{"name": "a", "for_each": "SELECT 1"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "for_each": "SELECT 1; SELECT 2", "command": "SELECT 1"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "for_each": "SELECT 1", "command": "SELECT 1", "execution_mode": "external"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "command": "SELECT 1", "repeat_while": "SELECT true"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "command": "SELECT 1", "max_iterations": 3}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "command": "SELECT 1", "repeat_while": "SELECT true", "max_iterations": 0}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "for_each": "SELECT 1", "command": "SELECT 1"}, {"name": "a[0]"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "signal": "s", "command": "SELECT 1", "execution_mode": "external"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "sleep": "-1 s"}]');
SELECT ft.define_orchestration('bad', '[{"name": "a", "signal": ""}]');
\set VERBOSITY default

SELECT ft.drop_orchestration(name) FROM unnest('{fan,slow fan,mended,middle,wide,loop,midway,poll,mixed}'::text[]) AS name;
DROP FUNCTION flow_invalid(), flow_fail_if(boolean);
DROP VIEW flow_progress;
DROP TABLE flow_ledger;
