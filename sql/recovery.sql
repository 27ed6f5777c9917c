-- Recovery: the three strategies, by hand and by itself.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SET fault_tolerance.recovery_backoff = '1h';
SET fault_tolerance.recovery_backoff_limit = '3h';

CREATE FUNCTION pg_temp.tasks(execution uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(task_name || ' ' || status, ', ' ORDER BY task_id)
      FROM ft.orchestration_tasks WHERE execution_id = execution $$;
CREATE FUNCTION pg_temp.run(task uuid) RETURNS int LANGUAGE plpgsql AS $$
DECLARE attempt int;
BEGIN
    attempt := ft.start_task(task);
    PERFORM ft.complete_task(task, '{"done": true}', attempt);
    RETURN attempt;
END $$;
-- a: done before the checkpoint; b: done after it, can be undone; c: done after it, cannot;
-- d: fails; e: waits
CREATE FUNCTION pg_temp.make(OUT execution uuid, OUT a uuid, OUT b uuid, OUT c uuid, OUT d uuid, OUT e uuid)
LANGUAGE plpgsql AS $$
BEGIN
    execution := ft.create_execution(state => '{"at": "start"}');
    a := ft.add_task(execution, 'a', compensation => 'SELECT ''undo a''', critical => true);
    b := ft.add_task(execution, 'b', compensation => 'SELECT ''undo b''');
    c := ft.add_task(execution, 'c');
    d := ft.add_task(execution, 'd');
    e := ft.add_task(execution, 'e', depends_on => '{d}');
    PERFORM ft.set_execution_state(execution, '{"at": "checkpoint"}');
    PERFORM pg_temp.run(a);
    PERFORM ft.set_execution_state(execution, '{"at": "failure"}');
    PERFORM pg_temp.run(b);
    PERFORM pg_temp.run(c);
    PERFORM ft.start_task(d);
END $$;

-- TRANSIENT: completed tasks stay, the failed one is due after its delay
SELECT * FROM pg_temp.make() \gset
SELECT ft.fail_task(:'d', 'serialize', '40001', 1) IS NOT NULL AS failed;
SELECT pg_temp.tasks(:'execution');
SELECT step, action, object, CASE object WHEN 'task' THEN name END AS name, from_status, to_status, command
  FROM ft.plan_recovery(:'execution', 'TRANSIENT');
SELECT step, action, object, CASE object WHEN 'task' THEN name END AS name, from_status, to_status, command
  FROM ft.plan_recovery(:'execution', 'PERMANENT');
SELECT step, action, object, CASE object WHEN 'task' THEN name END AS name, from_status, to_status, command
  FROM ft.plan_recovery(:'execution', 'PARTIAL');
SELECT pg_temp.tasks(:'execution') AS after_planning;
SELECT * FROM ft.auto_recover_failures();
SELECT status, state FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT recovered, recovery_strategy, recovery_action, recovery_attempts, recovery_error,
       recovered_at >= failure_timestamp AS recovered_at
  FROM ft.orchestration_failures WHERE execution_id = :'execution';
SELECT failures, next_attempt_at - now() BETWEEN '53 min' AND '61 min' AS after_an_hour
  FROM ft.orchestration_tasks WHERE task_id = :'d';
SELECT regexp_replace(pg_temp.outcome(format('SELECT ft.start_task(%L)', :'d')), '20..-.* \[', 'TIME [');
SELECT * FROM ft.auto_recover_failures();
SELECT * FROM ft.validate_execution(:'execution');
-- by hand: what failed before is forgiven
SELECT ft.recover_from_failure(:'execution', 'TRANSIENT')
       = (SELECT checkpoint_id FROM ft.orchestration_checkpoints
           WHERE execution_id = :'execution' ORDER BY checkpoint_number DESC LIMIT 1) AS newest;
SELECT status FROM ft.orchestration_tasks WHERE task_id = :'d';
UPDATE ft.orchestration_tasks SET next_attempt_at = NULL WHERE task_id = :'d';
SELECT ft.start_task(:'d');
SELECT ft.retry_from_checkpoint(checkpoint_id) FROM ft.orchestration_checkpoints
 WHERE execution_id = :'execution' AND checkpoint_number = 0;
SELECT status, failures FROM ft.orchestration_tasks WHERE task_id = :'d';
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, NULL, 2)', :'d'));
UPDATE ft.orchestration_tasks SET next_attempt_at = NULL WHERE task_id = :'d';
-- every further failure doubles the delay, up to the limit; with the last
-- attempt it is not transient any more
CREATE FUNCTION pg_temp.fail(task uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE attempt int; r record;
BEGIN
    SET LOCAL fault_tolerance.recovery_jitter = 0;
    attempt := ft.start_task(task);
    PERFORM ft.fail_task(task, 'again', '40001', attempt);
    PERFORM ft.auto_recover_failures();
    SELECT e.status AS execution, t.status AS task, t.failures,
           round(extract(epoch FROM t.next_attempt_at - clock_timestamp()) / 3600) AS hours INTO r
      FROM ft.orchestration_tasks AS t JOIN ft.orchestration_executions AS e USING (execution_id)
     WHERE t.task_id = task;
    UPDATE ft.orchestration_tasks SET next_attempt_at = NULL WHERE task_id = task;
    RETURN format('attempt %s: execution %s, task %s, failures %s, due in %s hours',
                  attempt, r.execution, r.task, r.failures, coalesce(r.hours::text, '-'));
END $$;
SELECT pg_temp.fail(:'d');
SELECT pg_temp.fail(:'d');
SELECT pg_temp.fail(:'d');
SELECT pg_temp.fail(:'d');
SELECT pg_temp.fail(:'d');
SELECT pg_temp.tasks(:'execution');
SELECT recovered, recovery_strategy, recovery_action FROM ft.orchestration_failures
 WHERE execution_id = :'execution' ORDER BY failure_id;
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;

-- PERMANENT: back to the checkpoint; what has completed since is undone
SELECT * FROM pg_temp.make() \gset
SELECT ft.record_failure(:'execution', 'broken', '23505', 'PERMANENT') IS NOT NULL AS failed;
SELECT * FROM ft.auto_recover_failures();
SELECT status, state FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT recovered, recovery_strategy, recovery_action, recovery_started_at IS NOT NULL AS started
  FROM ft.orchestration_failures WHERE execution_id = :'execution';
SELECT recovery FROM ft.unrecovered_failures;
SELECT * FROM ft.validate_execution(:'execution');
-- nothing else happens to it until the compensation has run
SELECT pg_temp.outcome(format('SELECT ft.start_task(%L)', :'c'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''m'')', :'execution'));
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, ''TRANSIENT'')', :'execution'));
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, NULL, 1)', :'d'));
SELECT ft.run_compensations();
SELECT status, state, checkpoint_id = (SELECT checkpoint_id FROM ft.orchestration_checkpoints AS c
                                        WHERE c.execution_id = :'execution' AND checkpoint_number = 1) AS at_checkpoint
  FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT task_name, result, completion_order FROM ft.orchestration_tasks WHERE execution_id = :'execution' ORDER BY task_id;
SELECT recovered, recovery_strategy, recovered_at IS NOT NULL AS at FROM ft.orchestration_failures;
SELECT * FROM ft.validate_execution(:'execution');
-- and is resumed
SELECT pg_temp.run(:'b'), pg_temp.run(:'c'), pg_temp.run(:'d'), pg_temp.run(:'e');
SELECT status, completions FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;

-- PARTIAL: everything is compensated, in reverse order of completion
SELECT * FROM pg_temp.make() \gset
CREATE TABLE undone (n int GENERATED ALWAYS AS IDENTITY, what text);
UPDATE ft.orchestration_tasks SET compensation = format('INSERT INTO undone (what) VALUES (%L)', task_name)
 WHERE compensation IS NOT NULL;
SELECT ft.fail_task(:'d', 'no', '23503', 1) IS NOT NULL AS failed;
SELECT failure_type FROM ft.orchestration_failures;
SELECT * FROM ft.auto_recover_failures();
SELECT status FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT * FROM ft.validate_execution(:'execution');
SELECT ft.run_compensations();
SELECT ft.run_compensations();
SELECT * FROM undone ORDER BY n;
SELECT status, finished_at IS NOT NULL AS finished FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT recovered, recovery_strategy, recovery_action FROM ft.orchestration_failures;
SELECT * FROM ft.validate_execution(:'execution');
-- that is final
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, ''PERMANENT'')', :'execution'));
SELECT pg_temp.outcome(format('SELECT ft.start_task(%L)', :'e'));
DELETE FROM ft.orchestration_executions;
DROP TABLE undone;

-- O6: back to one named checkpoint
SELECT * FROM pg_temp.make() \gset
SELECT checkpoint_id AS first FROM ft.orchestration_checkpoints
 WHERE execution_id = :'execution' AND checkpoint_number = 0 \gset
SELECT ft.recover_from_checkpoint(:'execution', :'first') = :'first' AS returns_it;
SELECT status, state FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT ft.run_compensations(:'execution');
SELECT status, state FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT * FROM ft.validate_execution(:'execution');
SELECT pg_temp.run(:'a');
-- an edited state_data is what it returns to
SELECT ft.rollback_to_checkpoint(checkpoint_id, jsonb_set(state_data, '{execution_state}', '{"edited": true}'))
  FROM ft.orchestration_checkpoints WHERE checkpoint_id = :'first';
SELECT ft.run_compensations(:'execution');
SELECT status, state FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT ft.compensate_from_checkpoint(:'first', NULL);
SELECT status FROM ft.orchestration_executions WHERE execution_id = :'execution';
SELECT pg_temp.tasks(:'execution');
SELECT * FROM ft.validate_execution(:'execution');

-- refused, and nothing changes
SELECT ft.create_execution() AS other \gset
CREATE TEMP TABLE before AS
    SELECT jsonb_agg(x ORDER BY execution_id) AS e FROM ft.orchestration_executions AS x;
SELECT pg_temp.outcome('SELECT ft.recover_from_failure(gen_random_uuid(), ''TRANSIENT'')');
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, ''RETRY'')', :'other'));
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, NULL)', :'other'));
SELECT pg_temp.outcome('SELECT ft.recover_from_failure(NULL, ''TRANSIENT'')');
SELECT pg_temp.outcome(format('SELECT ft.recover_from_checkpoint(%L, %L)', :'other', :'first'));
SELECT pg_temp.outcome(format('SELECT ft.recover_from_checkpoint(%L, gen_random_uuid())', :'other'));
SELECT pg_temp.outcome('SELECT ft.retry_from_checkpoint(gen_random_uuid(), NULL)');
SELECT pg_temp.outcome(format('SELECT ft.rollback_to_checkpoint(checkpoint_id, ''{"execution_id": "x"}'')'
                              ' FROM ft.orchestration_checkpoints WHERE execution_id = %L', :'other'));
SELECT pg_temp.outcome(format('SELECT ft.rollback_to_checkpoint(checkpoint_id, state_data - ''execution_state'')'
                              ' FROM ft.orchestration_checkpoints WHERE execution_id = %L', :'other'));
SELECT pg_temp.outcome(format('SELECT * FROM ft.plan_recovery(%L, ''x'')', :'other'));
SELECT pg_temp.outcome('SELECT * FROM ft.plan_recovery(gen_random_uuid(), ''PARTIAL'')');
SELECT (SELECT jsonb_agg(x ORDER BY execution_id) FROM ft.orchestration_executions AS x) = e AS unchanged FROM before;
DELETE FROM ft.orchestration_checkpoints WHERE execution_id = :'other';
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, ''TRANSIENT'')', :'other'));
SELECT object, problem FROM ft.validate_execution(:'other');
-- recovery that fails is tried again with a delay, and given up in the end
SELECT ft.record_failure(:'other', 'm', '40001') AS failure \gset
SELECT * FROM ft.auto_recover_failures();
SELECT recovered, recovery_strategy, regexp_replace(recovery_error, '[0-9a-f]{8}-[0-9a-f-]{27}', 'UUID') AS recovery_error,
       recovery_attempts, next_attempt_at > now() + '30 min' AS later FROM ft.orchestration_failures WHERE failure_id = :'failure';
SELECT recovery FROM ft.unrecovered_failures;
SELECT * FROM ft.auto_recover_failures();
SELECT recovery_attempts FROM ft.orchestration_failures WHERE failure_id = :'failure';
UPDATE ft.orchestration_failures SET next_attempt_at = now() WHERE failure_id = :'failure';
SELECT * FROM ft.auto_recover_failures();
SELECT recovery_attempts, next_attempt_at > now() + '100 min' AS still_later FROM ft.orchestration_failures WHERE failure_id = :'failure';
UPDATE ft.orchestration_failures SET next_attempt_at = now(), recovery_attempts = 4 WHERE failure_id = :'failure';
SELECT * FROM ft.auto_recover_failures();
SELECT recovery, recovery_attempts FROM ft.unrecovered_failures;
UPDATE ft.orchestration_failures SET next_attempt_at = now() WHERE failure_id = :'failure';
SELECT * FROM ft.auto_recover_failures();
SELECT recovery_attempts FROM ft.orchestration_failures WHERE failure_id = :'failure';
-- what was given up can still be recovered by hand
SELECT ft.create_checkpoint(:'other', NULL) IS NOT NULL AS checkpoint;
SELECT ft.recover_from_failure(:'other', 'TRANSIENT') IS NOT NULL AS recovered;
SELECT recovered, recovery_strategy, given_up_at FROM ft.orchestration_failures WHERE failure_id = :'failure';
DELETE FROM ft.orchestration_executions;

-- failures older than the window are given up, and said to be
SELECT ft.create_execution() AS e \gset
SELECT ft.record_failure(:'e', 'long ago', '40001') AS failure \gset
UPDATE ft.orchestration_failures SET failure_timestamp = now() - interval '61 min';
SELECT * FROM ft.auto_recover_failures();
SELECT recovery, recovery_error FROM ft.unrecovered_failures;
UPDATE ft.orchestration_failures SET failure_timestamp = now() - interval '59 min', given_up_at = NULL;
SELECT * FROM ft.auto_recover_failures();
DELETE FROM ft.orchestration_executions;

-- the oldest failure comes first, whatever the age of its execution
SELECT ft.create_execution() AS e1, ft.create_execution() AS e2, ft.create_execution() AS e3 \gset
SELECT count(ft.record_failure(e, m, '40001'))
  FROM (VALUES (1, :'e3'::uuid, 'first'), (2, :'e1', 'second'), (3, :'e2', 'third')) AS v (n, e, m);
UPDATE ft.orchestration_failures SET failure_timestamp = now() - (CASE failure_message
       WHEN 'first' THEN '3 min' WHEN 'second' THEN '2 min' ELSE '1 min' END)::interval;
SELECT * FROM ft.auto_recover_failures();
SELECT failure_message FROM ft.orchestration_failures ORDER BY recovered_at;
DELETE FROM ft.orchestration_executions;

-- more than one pass takes: those that the pass left are not taken for young
ANALYZE ft.orchestration_failures;
BEGIN;
SELECT count(ft.record_failure(ft.create_execution(), 'm', '40001')) FROM generate_series(1, 1001);
UPDATE ft.orchestration_failures SET failure_timestamp = now() - interval '61 min';
SELECT * FROM ft.auto_recover_failures();
SELECT recovery, count(*) FROM ft.unrecovered_failures GROUP BY 1 ORDER BY 1;
SELECT * FROM ft.auto_recover_failures();
SELECT recovery, count(*) FROM ft.unrecovered_failures GROUP BY 1 ORDER BY 1;
-- nor does a pass read for each execution all that has become due since the
-- last ANALYZE
UPDATE ft.orchestration_failures SET failure_timestamp = now(), given_up_at = NULL;
SELECT * FROM ft.auto_recover_failures();
SELECT pg_stat_get_xact_tuples_returned('ft.idx_failures_due'::regclass) < 100000 AS read_a_few_times;
ROLLBACK;

-- a failure of the whole execution: its workers are lost, and their reports refused
SET fault_tolerance.recovery_backoff = 0;
SELECT * FROM pg_temp.make() \gset
SELECT ft.record_failure(:'execution', 'the node is gone', '57P02') IS NOT NULL AS failed;
SELECT * FROM ft.auto_recover_failures();
SELECT pg_temp.tasks(:'execution');
SELECT ft.start_task(:'d') AS attempt;
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, NULL, 1)', :'d'));
SELECT pg_temp.outcome(format('SELECT ft.complete_task(%L, NULL, 2)', :'d'));
DELETE FROM ft.orchestration_executions;

-- a delay ends with the start, the count of failures with success
SELECT ft.create_execution() AS e \gset
SELECT ft.add_task(:'e', 'a') AS a, ft.add_task(:'e', 'b') AS b \gset
SELECT ft.start_task(:'a'), ft.fail_task(:'a', 'x', '40001') IS NOT NULL AS failed;
SELECT * FROM ft.auto_recover_failures();
SELECT failures, next_attempt_at IS NOT NULL AS delayed FROM ft.orchestration_tasks WHERE task_id = :'a';
SELECT ft.start_task(:'a');
SELECT failures, next_attempt_at IS NOT NULL AS delayed FROM ft.orchestration_tasks WHERE task_id = :'a';
SELECT ft.complete_task(:'a');
SELECT failures FROM ft.orchestration_tasks WHERE task_id = :'a';
-- what is resumed has started when it started first
SELECT started_at FROM ft.orchestration_executions \gset
SELECT ft.recover_from_failure(:'e', 'PERMANENT') IS NOT NULL AS rolled_back;
SELECT ft.start_task(:'b');
SELECT status, started_at = :'started_at' AS as_at_first FROM ft.orchestration_executions;
DELETE FROM ft.orchestration_executions;

-- a task that loses its worker each time is tried that often and no more, while
-- one that is at its last attempt and not lost stays where it is
CREATE FUNCTION pg_temp.lose(execution uuid, task uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE started int := ft.start_task(task);
BEGIN
    PERFORM ft.record_failure(execution, 'lost', '57P02');
    PERFORM ft.auto_recover_failures();
    RETURN (SELECT format('attempt %s: execution %s, task %s, failures %s', started, e.status, t.status, t.failures)
              FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)
             WHERE t.task_id = task);
END $$;
SET fault_tolerance.recovery_max_attempts = 3;
SELECT ft.create_execution() AS e \gset
SELECT ft.add_task(:'e', 'kills') AS kills, ft.add_task(:'e', 'other') AS other \gset
SELECT pg_temp.lose(:'e', :'kills');
SELECT pg_temp.lose(:'e', :'kills');
SELECT ft.start_task(:'kills'), ft.start_task(:'other');
SELECT ft.fail_task(:'other', 'x', '40001') IS NOT NULL AS failed;
SELECT task_name, failures FROM ft.orchestration_tasks ORDER BY task_id;
SELECT * FROM ft.auto_recover_failures();
SELECT pg_temp.tasks(:'e');
SELECT ft.retry_from_checkpoint(checkpoint_id) FROM ft.orchestration_checkpoints WHERE execution_id = :'e';
UPDATE ft.orchestration_tasks SET failures = 0;
SELECT pg_temp.lose(:'e', :'kills');
SELECT pg_temp.lose(:'e', :'kills');
SELECT pg_temp.lose(:'e', :'kills');
SELECT recovery_action FROM ft.orchestration_failures ORDER BY failure_id;
RESET fault_tolerance.recovery_max_attempts;
DELETE FROM ft.orchestration_executions;

-- rolled back to where all was done already: nothing is left to start, and it
-- can be brought to its end all the same
SELECT ft.create_execution() AS e \gset
SELECT ft.add_task(:'e', 'a') AS a, ft.add_task(:'e', 'b', critical => true) AS b \gset
SELECT ft.start_task(:'a'), ft.start_task(:'b'), ft.complete_task(:'a');
SELECT ft.record_failure(:'e', 'broken', '23505') IS NOT NULL AS failed;
SELECT ft.complete_task(:'b');
SELECT * FROM ft.auto_recover_failures();
SELECT status FROM ft.orchestration_executions;
SELECT pg_temp.tasks(:'e');
SELECT * FROM ft.validate_execution(:'e');
SELECT ft.recover_from_failure(:'e', 'TRANSIENT') IS NOT NULL AS resumed;
SELECT status FROM ft.orchestration_executions;
SELECT * FROM ft.validate_execution(:'e');
DELETE FROM ft.orchestration_executions;

-- several failures of one execution: the gravest decides
SELECT * FROM pg_temp.make() \gset
SELECT ft.fail_task(:'d', 'x', '40001') IS NOT NULL AS failed;
SELECT ft.record_failure(:'execution', 'y', NULL, 'PERMANENT') IS NOT NULL AS failed;
SELECT * FROM ft.auto_recover_failures();
SELECT failure_type, recovery_action FROM ft.orchestration_failures ORDER BY failure_id;
DELETE FROM ft.orchestration_executions;

-- a user recovers what is his
CREATE ROLE regress_ft_alice LOGIN;
CREATE ROLE regress_ft_bob LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_alice, regress_ft_bob;
SET ROLE regress_ft_alice;
SELECT ft.create_execution() AS hers \gset
SELECT ft.record_failure(:'hers', 'x', '40001') IS NOT NULL AS failed;
SET ROLE regress_ft_bob;
SELECT * FROM ft.auto_recover_failures();
SELECT pg_temp.outcome(format('SELECT ft.recover_from_failure(%L, ''TRANSIENT'')', :'hers'));
SELECT pg_temp.outcome(format('SELECT * FROM ft.plan_recovery(%L, ''TRANSIENT'')', :'hers'));
SELECT pg_temp.outcome(format('SELECT ft.create_checkpoint(%L, NULL)', :'hers'));
SELECT pg_temp.outcome(format('SELECT ft.add_task(%L, ''x'')', :'hers'));
SELECT pg_temp.outcome(format('SELECT ft.record_failure(%L, ''x'')', :'hers'));
-- what carries the role's former name is not his until ft.adopt() has said so
RESET ROLE;
ALTER ROLE regress_ft_alice RENAME TO regress_ft_carol;
SET ROLE regress_ft_carol;
SELECT * FROM ft.auto_recover_failures();
RESET ROLE;
ALTER ROLE regress_ft_carol RENAME TO regress_ft_alice;
SET ROLE regress_ft_alice;
SELECT * FROM ft.auto_recover_failures();
RESET ROLE;
DELETE FROM ft.orchestration_executions;
REVOKE ALL ON SCHEMA ft FROM regress_ft_alice, regress_ft_bob;
DROP ROLE regress_ft_alice, regress_ft_bob;

-- contradictions are found: each of these is one
SELECT * FROM pg_temp.make() \gset
CREATE FUNCTION pg_temp.broken(execution uuid, damage text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE damage;
    RETURN QUERY SELECT format('%s %s: %s', v.object, CASE v.object WHEN 'task' THEN v.name END, v.problem)
                   FROM ft.validate_execution(execution) AS v ORDER BY 1;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'TS001';
EXCEPTION WHEN SQLSTATE 'TS001' THEN
    RETURN;
END $$;
SELECT damage, broken FROM (VALUES
    ('UPDATE ft.orchestration_executions SET status = ''COMPLETED'''),
    ('UPDATE ft.orchestration_executions SET status = ''PENDING'''),
    ('UPDATE ft.orchestration_executions SET status = ''FAILED'''),
    ('UPDATE ft.orchestration_executions SET status = ''COMPENSATING'''),
    ('UPDATE ft.orchestration_executions SET finished_at = now()'),
    ('UPDATE ft.orchestration_executions SET completions = 1'),
    ('UPDATE ft.orchestration_tasks SET status = ''COMPLETED'' WHERE task_name = ''e'''),
    ('UPDATE ft.orchestration_tasks SET completion_order = NULL WHERE task_name = ''b'''),
    ('UPDATE ft.orchestration_tasks SET completion_order = 1 WHERE task_name = ''b'''),
    ('UPDATE ft.orchestration_tasks SET status = ''COMPENSATING'', compensation = NULL WHERE task_name = ''b'''),
    ('UPDATE ft.orchestration_tasks SET depends_on = ''{nobody}'' WHERE task_name = ''e'''),
    ('UPDATE ft.orchestration_tasks SET status = ''RUNNING'', attempt = 1 WHERE task_name = ''e'''),
    ('UPDATE ft.orchestration_checkpoints SET state_data = state_data - ''execution_id'' WHERE checkpoint_number = 0'),
    ('DELETE FROM ft.orchestration_checkpoints')) AS d (damage),
    LATERAL pg_temp.broken(:'execution', damage);
SELECT * FROM ft.validate_execution(:'execution');
DELETE FROM ft.orchestration_executions;
