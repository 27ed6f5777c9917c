-- The timeline of an execution: every attempt, failure, checkpoint and recovery.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
SET fault_tolerance.recovery_backoff = 0;

CREATE SEQUENCE timeline_tries;
CREATE FUNCTION timeline_flaky() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.timeline_tries') <= 2 THEN
        RAISE SQLSTATE '40001' USING MESSAGE = 'conflict';
    END IF;
    RETURN 7;
END $$;
SELECT ft.define_orchestration('story', $$[
    {"name": "first", "critical": true, "command": "SELECT 1", "compensation": "SELECT 2"},
    {"name": "never", "depends_on": ["first"], "condition": "SELECT false", "command": "SELECT 1"},
    {"name": "flaky", "depends_on": ["first", "never"], "command": "SELECT timeline_flaky()"},
    {"name": "outside", "depends_on": ["flaky"], "execution_mode": "external", "queue": "out"},
    {"name": "last", "depends_on": ["outside"], "command": "SELECT 1 / 0"}]$$) IS NOT NULL AS defined;
CREATE FUNCTION timeline_of(execution uuid)
RETURNS TABLE (event text, task_name text, attempt int, lasted boolean, sqlstate text, detail text)
LANGUAGE sql AS
    'SELECT event, task_name, attempt, duration >= interval ''0'', sqlstate, detail
       FROM ft.orchestration_timeline(execution)';

-- Everything that can happen, in order.
SELECT ft.start('story') AS execution \gset
SELECT * FROM timeline_of(:'execution');
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_steps(:'execution');
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_steps(:'execution');
SELECT count(*) FROM ft.claim_task('out', 'lost');
UPDATE ft.orchestration_tasks SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL;
SELECT attempt FROM ft.claim_task('out', 'finder');
SELECT * FROM timeline_of(:'execution');
SELECT ft.complete_task(task_id, NULL, 2) FROM ft.orchestration_tasks WHERE task_name = 'outside';
SELECT ft.run_steps(:'execution');
SELECT * FROM timeline_of(:'execution') OFFSET 13;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.run_compensations();
SELECT * FROM timeline_of(:'execution');
-- in the order of their times, and each with the keys of what it is about
SELECT bool_and(in_order) AS in_order, count(failure_id) AS failures, count(checkpoint_id) AS checkpoints, count(task_id) AS tasks
  FROM (SELECT *, event_time >= lag(event_time) OVER () AS in_order
          FROM ft.orchestration_timeline(:'execution') WHERE event_time IS NOT NULL) AS t;
-- how long an attempt took is what lies between its claim and its end
SELECT count(*) FROM ft.orchestration_failures WHERE attempt_started_at > failure_timestamp;
DELETE FROM ft.orchestration_executions;

-- An attempt that its executor left.
SELECT ft.submit('SELECT 1') AS execution \gset
UPDATE ft.orchestration_tasks SET attempt = 2, losses = 2;
SELECT ft.run_steps(:'execution');
SELECT * FROM timeline_of(:'execution');
DELETE FROM ft.orchestration_executions;

-- What a task is made to wait for, and a loop, need several attempts; nothing was lost or reset.
SELECT ft.define_orchestration('part', '[{"name": "only", "command": "SELECT 1"}]') IS NOT NULL AS defined;
SELECT ft.define_orchestration('parts', '[
    {"name": "loop", "command": "SELECT ft.iteration()", "repeat_while": "SELECT ft.iteration() < 3", "max_iterations": 5},
    {"name": "fan", "depends_on": ["loop"], "for_each": "VALUES (1), (2)", "command": "SELECT ft.item()"},
    {"name": "child", "depends_on": ["fan"], "orchestration": "part"},
    {"name": "end", "depends_on": ["child"], "command": "SELECT 1"}]') IS NOT NULL AS defined;
SELECT ft.start('parts') AS execution \gset
SELECT ft.run_steps();
SELECT event, task_name, attempt, regexp_replace(detail, '[0-9a-f]{8}-.*', 'KEY') AS detail, event_time IS NOT NULL AS time
  FROM ft.orchestration_timeline(:'execution');
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('parts'), ft.drop_orchestration('part');

-- One that a rollback has reset, one that was cancelled.
SELECT ft.create_execution() AS execution \gset
SELECT ft.add_task(:'execution', 'done') AS task_id \gset
SELECT ft.start_task(:'task_id');
SELECT ft.complete_task(:'task_id');
SELECT ft.add_task(:'execution', 'at it') AS task_id \gset
SELECT ft.start_task(:'task_id');
SELECT ft.recover_from_failure(:'execution', 'PERMANENT') IS NOT NULL AS recovered;
SELECT * FROM timeline_of(:'execution');
SELECT ft.start_task(:'task_id');
SELECT ft.recover_from_failure(:'execution', 'PARTIAL') IS NOT NULL AS recovered;
SELECT * FROM timeline_of(:'execution');
DELETE FROM ft.orchestration_executions;

-- What there is to do.
SELECT ft.submit('SELECT 1') IS NOT NULL AS submitted;
SELECT ft.submit('SELECT 1', run_at => now() + interval '1 hour', queue => 'mail') IS NOT NULL AS submitted;
SELECT ft.submit('any', execution_mode => 'external', queue => 'mail') IS NOT NULL AS submitted FROM generate_series(1, 3);
SELECT count(*) FROM ft.claim_task('mail', 'w');
SELECT queue, execution_mode, due, oldest_due >= '0' AS oldest_due, later, running, longest_running > '0' AS longest_running
  FROM ft.orchestration_metrics;
SELECT status, executions, paused, parked, oldest > '0' AS oldest, last_change > '0' AS last_change FROM ft.orchestration_summary;
SELECT name, labels, value FROM ft.metrics WHERE name ~ '_steps_' ORDER BY labels::text, name;

-- Of others nothing is seen; a monitor sees all.
SELECT execution_id AS execution FROM ft.orchestration_executions ORDER BY execution_id LIMIT 1 \gset
CREATE ROLE regress_timeline;
GRANT USAGE ON SCHEMA ft TO regress_timeline;
SET ROLE regress_timeline;
SELECT count(*) FROM ft.orchestration_timeline(:'execution');
SELECT count(*) FROM ft.orchestration_metrics;
SELECT count(*) FROM ft.orchestration_summary;
RESET ROLE;
GRANT pg_monitor TO regress_timeline;
SET ROLE regress_timeline;
SELECT count(*) FROM ft.orchestration_timeline(:'execution');
SELECT sum(due) FROM ft.orchestration_metrics;
RESET ROLE;
SELECT count(*) FROM ft.orchestration_timeline(NULL);
SELECT count(*) FROM ft.orchestration_timeline('00000000-0000-0000-0000-000000000000');

DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('story');
DROP FUNCTION timeline_of(uuid), timeline_flaky();
DROP SEQUENCE timeline_tries;
REVOKE USAGE ON SCHEMA ft FROM regress_timeline;
DROP ROLE regress_timeline;
