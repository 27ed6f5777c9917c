-- The engine's statements go by indexes whatever the statistics say, and claims
-- read no more than they take: by the server's own counts of what was read.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE VIEW plan_reads AS
SELECT sum(pg_stat_get_numscans(relid))::bigint AS scans,
       sum((SELECT sum(pg_stat_get_tuples_returned(i.indexrelid))
              FROM pg_index AS i WHERE i.indrelid = relid))::bigint AS entries,
       pg_stat_get_blocks_fetched('ft.idx_tasks_due'::regclass) AS due_blocks
  FROM unnest('{ft.orchestration_executions,ft.orchestration_tasks}'::regclass[]) AS relid;
CREATE TABLE plan_reads_before AS SELECT * FROM plan_reads WITH NO DATA;
-- since the numbers were noted
CREATE VIEW plan_reads_since AS
SELECT now.scans - b.scans AS sequential_scans, now.entries - b.entries AS entries, now.due_blocks - b.due_blocks AS due_blocks
  FROM plan_reads AS now, plan_reads_before AS b;

-- Tasks that are due at some time, written past the functions to be quick.
CREATE PROCEDURE plan_insert_many(due_at timestamptz) LANGUAGE sql AS $$
    WITH execution AS (
        INSERT INTO ft.orchestration_executions
               (execution_id, owner, owner_oid, managed, tasks_left, created_at, updated_at)
        SELECT ft.uuid_v7(), current_user, current_user::regrole, true, 1, now(), now() FROM generate_series(1, 5000)
        RETURNING execution_id)
    INSERT INTO ft.orchestration_tasks (task_id, execution_id, task_name, command, owner_oid, created_at, due_at)
    SELECT ft.uuid_v7(), execution_id, 'many', 'SELECT 1', current_user::regrole, now(), plan_insert_many.due_at FROM execution;
$$;

-- Plans are made while the statistics say that there is nothing.
VACUUM ANALYZE ft.orchestration_executions, ft.orchestration_tasks;
SELECT ft.submit('SELECT 1') IS NOT NULL AS submitted;
SELECT ft.run_steps();

-- As such they go by the index also in a session that would rather not.
SET enable_indexscan = off;
SET enable_nestloop = off;
SET plan_cache_mode = force_custom_plan;

-- Many behind what is due.
CALL plan_insert_many(now() + interval '1 day');
SELECT count(ft.submit('SELECT 1')) FROM generate_series(1, 100);
SELECT pg_stat_force_next_flush();
INSERT INTO plan_reads_before SELECT * FROM plan_reads;
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT sequential_scans, entries BETWEEN 100 AND 100000 AS few_entries, due_blocks BETWEEN 100 AND 3000 AS few_blocks FROM plan_reads_since;

-- The same in a session that has no plans yet.
\c -
DELETE FROM plan_reads_before;
SELECT count(ft.submit('SELECT 1', short => true)) FROM generate_series(1, 100);
SELECT pg_stat_force_next_flush();
INSERT INTO plan_reads_before SELECT * FROM plan_reads;
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT sequential_scans, entries BETWEEN 100 AND 100000 AS few_entries, due_blocks BETWEEN 100 AND 3000 AS few_blocks FROM plan_reads_since;

-- In one whose plans are made while nothing is known of the tables.
SET client_min_messages = warning;
TRUNCATE ft.orchestration_executions CASCADE;
\c -
SELECT ft.submit('SELECT 1') IS NOT NULL AS submitted;
SELECT ft.run_steps();
CALL plan_insert_many(now() + interval '1 day');
DELETE FROM plan_reads_before;
SELECT count(ft.submit('SELECT 1')) FROM generate_series(1, 100);
SELECT pg_stat_force_next_flush();
INSERT INTO plan_reads_before SELECT * FROM plan_reads;
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT sequential_scans, entries BETWEEN 100 AND 100000 AS few_entries, due_blocks BETWEEN 100 AND 3000 AS few_blocks FROM plan_reads_since;

-- To look for lanes does not read what waits in them: as many lanes as there are
-- priorities, each with many that are due later.
CALL plan_insert_many(now() + interval '1 day');
UPDATE ft.orchestration_tasks SET priority = 1 WHERE task_name = 'many';
CALL plan_insert_many(now() + interval '1 day');
DELETE FROM plan_reads_before;
SELECT count(ft.submit('SELECT 1', priority => i % 2)) FROM generate_series(1, 100) AS i;
SELECT pg_stat_force_next_flush();
INSERT INTO plan_reads_before SELECT * FROM plan_reads;
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT sequential_scans, entries BETWEEN 100 AND 100000 AS few_entries, due_blocks BETWEEN 100 AND 3000 AS few_blocks FROM plan_reads_since;

-- Nor does the tick read more than it needs.
CALL plan_insert_many(now() + interval '1 day');
DELETE FROM plan_reads_before;
SELECT pg_stat_force_next_flush();
INSERT INTO plan_reads_before SELECT * FROM plan_reads;
SELECT paused_reason IS NULL AS working FROM ft.scheduler_tick(now());
SELECT pg_stat_force_next_flush();
SELECT entries BETWEEN 1 AND 2000 AS few_entries, due_blocks BETWEEN 1 AND 100 AS few_blocks FROM plan_reads_since;

-- Many in front that are gone, and the statistics say that they are there.
CALL plan_insert_many(now() - interval '1 day');
ANALYZE ft.orchestration_executions, ft.orchestration_tasks;
DELETE FROM ft.orchestration_executions WHERE execution_id IN (SELECT execution_id FROM ft.orchestration_tasks WHERE task_name = 'many');
DELETE FROM plan_reads_before;
SELECT count(ft.submit('SELECT 1')) FROM generate_series(1, 100);
SELECT pg_stat_force_next_flush();
INSERT INTO plan_reads_before SELECT * FROM plan_reads;
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT sequential_scans, entries BETWEEN 100 AND 100000 AS few_entries FROM plan_reads_since;

-- Nor does a step read the whole of its execution, to find what depends on it.
DELETE FROM ft.orchestration_executions;
SELECT ft.define_orchestration('plan_chain', (
    SELECT jsonb_agg(jsonb_build_object('name', 't' || i, 'command', 'SELECT 1',
               'depends_on', CASE i WHEN 1 THEN '[]' ELSE jsonb_build_array('t' || i - 1) END))
      FROM generate_series(1, 200) AS i)) IS NOT NULL AS defined;
SELECT ft.start('plan_chain') IS NOT NULL AS started;
SELECT pg_stat_force_next_flush();
SELECT pg_stat_get_tuples_returned('ft.orchestration_tasks_name'::regclass) AS before \gset
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT pg_stat_get_tuples_returned('ft.orchestration_tasks_name'::regclass) - :before BETWEEN 200 AND 2000 AS few_entries;
SELECT ft.drop_orchestration('plan_chain');

-- The same where two depend on each, and each on two.
SELECT ft.define_orchestration('plan_ladder', (
    SELECT jsonb_agg(jsonb_build_object('name', side || i, 'command', 'SELECT 1',
               'depends_on', CASE i WHEN 1 THEN '[]' ELSE jsonb_build_array('l' || i - 1, 'r' || i - 1) END))
      FROM generate_series(1, 100) AS i, unnest('{l,r}'::text[]) AS side)) IS NOT NULL AS defined;
SELECT ft.start('plan_ladder') IS NOT NULL AS started;
SELECT pg_stat_force_next_flush();
SELECT pg_stat_get_tuples_returned('ft.orchestration_tasks_name'::regclass) AS before \gset
SELECT ft.run_steps();
SELECT pg_stat_force_next_flush();
SELECT pg_stat_get_tuples_returned('ft.orchestration_tasks_name'::regclass) - :before BETWEEN 400 AND 2000 AS few_entries;
SELECT ft.drop_orchestration('plan_ladder');

DELETE FROM ft.orchestration_executions;
DROP VIEW plan_reads_since, plan_reads;
DROP TABLE plan_reads_before;
DROP PROCEDURE plan_insert_many;
