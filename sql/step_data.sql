-- What a step returns, what it reads and sets, and where it must not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Results: nothing, one value, a row; of many rows the first.
SELECT ft.submit(command) IS NOT NULL AS submitted
  FROM (VALUES ('CREATE TEMP TABLE nothing ()'), ('SELECT 5'), ('SELECT 1 AS a, NULL AS b'),
               ('SELECT generate_series(3, 9)'), ('SELECT WHERE false'), ('SELECT NULL'),
               ('SELECT ''{"x": 1}''::json'), ('SELECT 1; SELECT 2; DROP TABLE nothing')) AS t (command);
SELECT ft.run_steps();
SELECT command, result FROM ft.orchestration_tasks ORDER BY task_id;
DELETE FROM ft.orchestration_executions;
SET fault_tolerance.max_result_size = '1kB';
SELECT ft.submit('SELECT repeat(''x'', 2000)') IS NOT NULL AS submitted;
SELECT ft.submit('SELECT ft.set_state(jsonb_build_object(''x'', repeat(''x'', 2000)))') IS NOT NULL AS submitted;
SELECT ft.run_steps();
SELECT error_sqlstate, error_message FROM ft.orchestration_tasks ORDER BY task_id;
RESET fault_tolerance.max_result_size;
DELETE FROM ft.orchestration_executions;

-- What a step sets ends with it.
SELECT ft.submit('SET work_mem = ''123kB''') IS NOT NULL AS submitted;
SELECT ft.run_steps();
SHOW work_mem;
DELETE FROM ft.orchestration_executions;

-- Only inside a step.
\set VERBOSITY terse
SELECT ft.input();
SELECT ft.state();
SELECT ft.set_state('{}');
SELECT ft.result('a');
\set VERBOSITY default
SELECT * FROM ft.current_step();
SELECT ft.submit(command) IS NOT NULL AS submitted
  FROM (VALUES ('SELECT ft.result(''nobody'')'), ('SELECT ft.run_steps()'), ('SELECT ft.set_state(NULL)'),
               ('SELECT ft.set_state(''[]'')'), ('SELECT (ft.current_step()).attempt'), ('SELECT $5')) AS t (command);
SELECT ft.run_steps();
SELECT command, result, error_sqlstate, error_message FROM ft.orchestration_tasks ORDER BY task_id;
DELETE FROM ft.orchestration_executions;

