-- The scheduler's tick, called by hand: it takes the time as a parameter, so
-- delays and retention are tested without waiting for them.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SET fault_tolerance.recovery_backoff = '1h';
SET fault_tolerance.recovery_backoff_limit = '3h';
SET fault_tolerance.recovery_jitter = 0;

-- nothing to do: nothing is due, ever
SELECT * FROM ft.scheduler_tick();

-- a failure is recovered, and the next thing due is nothing
SELECT ft.create_execution() AS e \gset
SELECT ft.add_task(:'e', 'one', compensation => 'SELECT 1') AS one \gset
SELECT ft.add_task(:'e', 'two') AS two \gset
SELECT ft.start_task(:'one'), ft.complete_task(:'one'), ft.start_task(:'two');
SELECT ft.fail_task(:'two', 'no', '40001') IS NOT NULL AS failed;
SELECT candidates, recovered, failed, given_up, owners_due, next_due FROM ft.scheduler_tick();
SELECT status FROM ft.orchestration_executions;

-- one that is recorded before the time of the tick, and outside of the window then
SELECT ft.record_failure(:'e', 'old by then', '40001') IS NOT NULL AS failed;
SELECT candidates, recovered, failed, given_up FROM ft.scheduler_tick(clock_timestamp() + interval '61 min');
SELECT recovery FROM ft.unrecovered_failures;
SELECT ft.recover_from_failure(:'e', 'TRANSIENT') IS NOT NULL AS recovered;

-- a recovery that fails is due again after its delay, not before
SELECT jsonb_agg(c) AS kept FROM ft.orchestration_checkpoints AS c \gset
DELETE FROM ft.orchestration_checkpoints;
SELECT ft.record_failure(:'e', 'no checkpoint', '40001') IS NOT NULL AS failed;
SELECT candidates, recovered, failed, given_up,
       next_due - clock_timestamp() BETWEEN '59 min' AND '61 min' AS in_an_hour FROM ft.scheduler_tick();
SELECT candidates, failed FROM ft.scheduler_tick(clock_timestamp() + interval '50 min');
INSERT INTO ft.orchestration_checkpoints SELECT * FROM jsonb_populate_recordset(NULL::ft.orchestration_checkpoints, :'kept');
SET fault_tolerance.recovery_window = '2h';
SELECT candidates, recovered, failed FROM ft.scheduler_tick(clock_timestamp() + interval '61 min');
RESET fault_tolerance.recovery_window;

-- compensations: whose are due; their retries when their time has come
SELECT ft.recover_from_failure(:'e', 'PARTIAL') IS NOT NULL AS recovered;
SELECT owners_due = ARRAY[current_user::regrole] AS mine_are_due, next_due <= clock_timestamp() AS now FROM ft.scheduler_tick();
UPDATE ft.orchestration_tasks SET compensation = 'SELECT 1 / 0';
SELECT ft.run_compensations();
SELECT owners_due, next_due - clock_timestamp() BETWEEN '59 min' AND '61 min' AS in_an_hour FROM ft.scheduler_tick();
SELECT owners_due = ARRAY[current_user::regrole] AS mine_are_due FROM ft.scheduler_tick(clock_timestamp() + interval '61 min');
-- of a role that cannot log in: parked, and said why; then not any more
CREATE ROLE regress_ft_nologin LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_nologin;
SET ROLE regress_ft_nologin;
SELECT ft.create_execution() AS parked \gset
SELECT ft.add_task(:'parked', 'one', compensation => 'SELECT 1') AS one \gset
SELECT ft.start_task(:'one'), ft.complete_task(:'one'), ft.add_task(:'parked', 'two') IS NOT NULL AS two;
SELECT ft.recover_from_failure(:'parked', 'PARTIAL') IS NOT NULL AS recovered;
RESET ROLE;
SELECT owners_due FROM ft.scheduler_tick();
ALTER ROLE regress_ft_nologin NOLOGIN;
SELECT owners_due FROM ft.scheduler_tick();
SELECT parked_reason FROM ft.orchestration_executions WHERE execution_id = :'parked';
ALTER ROLE regress_ft_nologin LOGIN;
SELECT owners_due FROM ft.scheduler_tick();
SELECT parked_reason FROM ft.orchestration_executions WHERE execution_id = :'parked';
-- of a role that was renamed: what it has made since may run, what it made
-- before is parked
ALTER ROLE regress_ft_nologin RENAME TO regress_ft_renamed;
SET ROLE regress_ft_renamed;
SELECT ft.create_execution() AS since \gset
SELECT ft.add_task(:'since', 'one', compensation => 'SELECT 1') AS one \gset
SELECT ft.start_task(:'one'), ft.complete_task(:'one'), ft.add_task(:'since', 'two') IS NOT NULL AS two;
SELECT ft.recover_from_failure(:'since', 'PARTIAL') IS NOT NULL AS recovered;
RESET ROLE;
SELECT owners_due FROM ft.scheduler_tick();
SELECT owner, parked_reason FROM ft.orchestration_executions
 WHERE execution_id IN (:'parked', :'since') ORDER BY execution_id;
DELETE FROM ft.orchestration_executions WHERE execution_id = :'since';
ALTER ROLE regress_ft_renamed RENAME TO regress_ft_nologin;
SELECT owners_due FROM ft.scheduler_tick();
SELECT parked_reason FROM ft.orchestration_executions WHERE execution_id = :'parked';

-- retention: finished executions, and nothing else
UPDATE ft.orchestration_tasks SET compensation = 'SELECT 1', compensation_next_attempt_at = NULL;
SELECT ft.run_compensations();
SELECT status, finished_at IS NOT NULL AS finished FROM ft.orchestration_executions ORDER BY execution_id;
SELECT candidates FROM ft.scheduler_tick(clock_timestamp() + interval '29 days');
SELECT count(*) FROM ft.orchestration_executions;
SELECT candidates FROM ft.scheduler_tick(clock_timestamp() + interval '31 days');
SELECT status FROM ft.orchestration_executions;
SELECT (SELECT count(*) FROM ft.orchestration_tasks) AS tasks, (SELECT count(*) FROM ft.orchestration_failures) AS failures;

-- one with very many tasks goes in portions, and what is older before it
SELECT ft.create_execution() AS small \gset
SELECT ft.create_execution() AS large \gset
INSERT INTO ft.orchestration_tasks (task_id, execution_id, task_name, status, attempt, completion_order, owner_oid, created_at)
SELECT ft.uuid_v7(), :'large', i::text, 'COMPLETED', 1, i, current_user::regrole, now() FROM generate_series(1, 15000) AS i;
UPDATE ft.orchestration_executions SET status = 'COMPLETED', finished_at = now() - interval '1 h' WHERE execution_id = :'small';
UPDATE ft.orchestration_executions SET status = 'COMPLETED', finished_at = now() WHERE execution_id = :'large';
SELECT candidates FROM ft.scheduler_tick(clock_timestamp() + interval '31 days');
SELECT execution_id = :'large' AS is_large, (SELECT count(*) FROM ft.orchestration_tasks AS t WHERE t.execution_id = e.execution_id) AS tasks
  FROM ft.orchestration_executions AS e WHERE finished_at IS NOT NULL;
SELECT candidates FROM ft.scheduler_tick(clock_timestamp() + interval '31 days');
SELECT count(*) AS left, (SELECT count(*) FROM ft.orchestration_tasks WHERE execution_id = :'large') AS tasks
  FROM ft.orchestration_executions WHERE finished_at IS NOT NULL;
SELECT candidates FROM ft.scheduler_tick(clock_timestamp() + interval '31 days');
SELECT count(*) AS left FROM ft.orchestration_executions WHERE execution_id = :'large';

-- superusers only, and only with the preload's privileges for others
SET ROLE regress_ft_nologin;
SELECT pg_temp.outcome('SELECT ft.scheduler_tick()');
SELECT pg_temp.outcome('SELECT ft.wake_worker()');
SELECT pg_temp.outcome('SELECT * FROM ft.recovery_passes');
RESET ROLE;
DELETE FROM ft.orchestration_executions;
REVOKE ALL ON SCHEMA ft FROM regress_ft_nologin;
DROP ROLE regress_ft_nologin;
