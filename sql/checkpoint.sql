-- Checkpoints: what is in them, what is refused, how many are kept.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

SELECT ft.create_execution(state => '{"a": 1}') AS e \gset
SELECT ft.create_execution() AS other \gset
SELECT ft.add_task(:'e', 'one') AS one \gset
SELECT ft.add_task(:'e', 'two') AS two \gset
SELECT ft.add_task(:'other', 'theirs') AS theirs \gset
SELECT ft.start_task(:'two'), ft.complete_task(:'two');
SELECT ft.set_execution_state(:'e', '{"a": 2}');
SELECT ft.create_checkpoint(:'e', :'two') AS c1 \gset
SELECT ft.create_checkpoint(:'e', NULL) AS c2 \gset
SELECT checkpoint_number, checkpoint_id = :'c1' AS c1, checkpoint_id = :'c2' AS c2,
       state_data -> 'completed_tasks' = to_jsonb(ARRAY[:'two']) AS completed,
       state_data -> 'pending_tasks' = to_jsonb(ARRAY[:'one']) AS pending,
       state_data -> 'execution_state' AS execution_state,
       state_data -> 'task_id' = to_jsonb(:'two'::text) AS of_two, task_progress ->> 'task_id' = :'two' AS progress_of_two
  FROM ft.orchestration_checkpoints WHERE execution_id = :'e' ORDER BY checkpoint_number;

-- refused, and no checkpoint is made
SELECT pg_temp.outcome('SELECT ft.create_checkpoint(gen_random_uuid(), NULL)');
SELECT pg_temp.outcome(format('SELECT ft.create_checkpoint(%L, gen_random_uuid())', :'e'));
SELECT pg_temp.outcome(format('SELECT ft.create_checkpoint(%L, %L)', :'e', :'theirs'));
SELECT pg_temp.outcome(format('SELECT ft.create_checkpoint(NULL, %L)', :'one'));
SELECT count(*) FROM ft.orchestration_checkpoints;

-- the trigger is the one of the table of tasks
CREATE TEMP TABLE orchestration_tasks (task_id uuid, execution_id uuid, status text);
CREATE TRIGGER t AFTER UPDATE ON pg_temp.orchestration_tasks
    FOR EACH ROW EXECUTE FUNCTION ft.trigger_checkpoint();
INSERT INTO pg_temp.orchestration_tasks VALUES (:'one', :'e', 'x');
SELECT pg_temp.outcome('UPDATE pg_temp.orchestration_tasks SET status = ''y''');
SELECT pg_temp.outcome('SELECT ft.trigger_checkpoint()');
DROP TABLE pg_temp.orchestration_tasks;
SELECT has_function_privilege('public', 'ft.trigger_checkpoint()', 'EXECUTE') AS public_may;

-- the first and the newest are kept, whatever the setting
SET fault_tolerance.checkpoint_retention = 2;
SELECT count(ft.create_checkpoint(:'e', NULL)) FROM generate_series(1, 5);
SELECT checkpoint_number FROM ft.orchestration_checkpoints WHERE execution_id = :'e' ORDER BY 1;
SET fault_tolerance.checkpoint_retention = 0;
SELECT count(ft.create_checkpoint(:'e', NULL)) FROM generate_series(1, 2);
SELECT checkpoint_number FROM ft.orchestration_checkpoints WHERE execution_id = :'e' ORDER BY 1;
SET fault_tolerance.checkpoint_retention = -1;
SELECT count(ft.create_checkpoint(:'e', NULL)) FROM generate_series(1, 3);
SELECT checkpoint_number FROM ft.orchestration_checkpoints WHERE execution_id = :'e' ORDER BY 1;
RESET fault_tolerance.checkpoint_retention;
-- of the other execution all are kept
SELECT checkpoint_number FROM ft.orchestration_checkpoints WHERE execution_id = :'other' ORDER BY 1;
SELECT * FROM ft.validate_execution(:'e');
DELETE FROM ft.orchestration_executions;

-- without triggers of others as well
SET session_replication_role = replica;
SELECT ft.create_execution() AS e \gset
SELECT ft.add_task(:'e', 'one', critical => true) AS one \gset
SELECT ft.complete_task(:'one', NULL, ft.start_task(:'one'));
SELECT checkpoint_number, task_progress ->> 'task_id' = :'one' AS of_task FROM ft.orchestration_checkpoints ORDER BY 1;
SHOW session_replication_role;
RESET session_replication_role;
DELETE FROM ft.orchestration_executions;
SELECT count(*) FROM ft.orchestration_checkpoints;
