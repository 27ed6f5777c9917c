-- Tasks: adding, starting, completing, and what is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

SELECT ft.create_execution(state => '{"a": 1}') AS e \gset
SELECT ft.add_task(:'e', 'reserve', 'SELECT 1', 'SELECT -1') AS reserve \gset
SELECT ft.add_task(:'e', 'charge', depends_on => '{reserve}', critical => true) AS charge \gset
SELECT ft.add_task(:'e', 'ship', depends_on => '{reserve, charge}') AS ship \gset
SELECT task_name, status, command, compensation, critical, depends_on, attempt
  FROM ft.orchestration_tasks ORDER BY task_id;

-- refused, and nothing changes
CREATE TEMP TABLE before AS
    SELECT (SELECT jsonb_agg(e) FROM ft.orchestration_executions AS e) AS e,
           (SELECT jsonb_agg(t ORDER BY task_id) FROM ft.orchestration_tasks AS t) AS t;
SELECT pg_temp.outcome('SELECT ft.add_task(gen_random_uuid(), ''x'')');
SELECT pg_temp.outcome('SELECT ft.add_task(NULL, ''x'')');
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, NULL)', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, '''')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, ''reserve'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, ''x'', depends_on => ''{y}'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, ''x'', depends_on => ''{x}'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, ''x'', depends_on => ''{NULL}'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, ''x'', depends_on => NULL)', :'e'));
SELECT pg_temp.outcome('SELECT ft.start_task(gen_random_uuid())');
SELECT pg_temp.outcome('SELECT ft.start_task(NULL)');
SELECT pg_temp.outcome(format('SELECT ft.start_task(%L)', :'charge'));
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L)', :'reserve'));
SELECT pg_temp.outcome('SELECT ft.complete_task(gen_random_uuid())');
SELECT pg_temp.outcome(format('SELECT ft.fail_task(%L, ''no'')', :'reserve'));
SELECT (SELECT jsonb_agg(e) FROM ft.orchestration_executions AS e) = e AS executions_unchanged,
       (SELECT jsonb_agg(t ORDER BY task_id) FROM ft.orchestration_tasks AS t) = t AS tasks_unchanged
  FROM before;

-- a task runs, once
SELECT ft.start_task(:'reserve');
SELECT status, started_at IS NOT NULL AS started FROM ft.orchestration_executions;
SELECT pg_temp.outcome(format('SELECT ft.start_task(%L)', :'reserve'));
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, attempt => 2)', :'reserve'));
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, attempt => 0)', :'reserve'));
SELECT ft.complete_task(:'reserve', '{"seat": "4A"}', 1);
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, attempt => 1)', :'reserve'));
SELECT task_name, status, attempt, result, completion_order, completed_at IS NOT NULL AS completed
  FROM ft.orchestration_tasks ORDER BY task_id;
SELECT pg_temp.outcome(format('SELECT ft.start_task(%L)', :'ship'));
SELECT ft.start_task(:'charge');
-- no attempt given: whoever reports
SELECT ft.complete_task(:'charge');
-- a critical task makes a checkpoint (O3)
SELECT checkpoint_number, state_data -> 'state' AS state, task_progress ->> 'status' AS progress,
       state_data -> 'completed_tasks' = to_jsonb(ARRAY[:'reserve', :'charge']::uuid[]) AS completed,
       state_data -> 'pending_tasks' = to_jsonb(ARRAY[:'ship']::uuid[]) AS pending,
       task_progress ->> 'task_id' = :'charge' AS of_charge
  FROM ft.orchestration_checkpoints WHERE checkpoint_number > 0;
SELECT * FROM ft.validate_execution(:'e');
-- the last task completes the execution
SELECT ft.start_task(:'ship');
SELECT ft.complete_task(:'ship');
SELECT status, completions, finished_at IS NOT NULL AS finished FROM ft.orchestration_executions;
SELECT pg_temp.outcome(format('SELECT ft.set_execution_state(%L, ''{}'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''late'')', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, %L)', :'e', t))
  FROM unnest('{TRANSIENT, PERMANENT, PARTIAL}'::text[]) AS t;
SELECT * FROM ft.validate_execution(:'e');
-- a further task opens it again
SELECT ft.add_task(:'e', 'late') AS late \gset
SELECT status, finished_at FROM ft.orchestration_executions;
SELECT * FROM ft.validate_execution(:'e');
SELECT ft.start_task(:'late'), ft.complete_task(:'late');
SELECT status, completions, finished_at IS NOT NULL AS finished FROM ft.orchestration_executions;
SELECT * FROM ft.validate_execution(:'e');

DELETE FROM ft.orchestration_executions;
SELECT count(*) AS tasks_left FROM ft.orchestration_tasks;
