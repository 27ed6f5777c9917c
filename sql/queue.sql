-- Limits of queues: setting them, and what they keep back.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE ROLE queue_app LOGIN;
GRANT USAGE ON SCHEMA ft TO queue_app;
CREATE ROLE queue_other LOGIN;
GRANT USAGE ON SCHEMA ft TO queue_other;

-- What is said of a queue holds as a whole; what limits nothing is not kept.
SELECT ft.set_queue('mail', max_running => 2);
SELECT ft.set_queue('api', rate_limit => 3, rate_period => '1 hour');
SELECT ft.set_queue('disk', 4, 2);
SELECT queue, max_running, max_running_per_owner, rate_limit, rate_period, paused, changed_by = session_user AS mine
  FROM ft.queue_limits ORDER BY 1;
SELECT ft.set_queue('mail', max_running => 3, rate_limit => 10, rate_period => '1 min');
SELECT ft.set_queue('disk');
SELECT ft.pause_queue('mail');
SELECT ft.pause_queue('reports');
SELECT * FROM ft.limited_queues() ORDER BY 1;
-- to set limits does not resume it
SELECT ft.set_queue('mail', 3);
SELECT ft.resume_queue('reports');
SELECT * FROM ft.limited_queues() ORDER BY 1;
SELECT ft.resume_queue('mail');
SELECT ft.reset_queue(queue) FROM ft.queue_limits;
SELECT * FROM ft.queue_limits;

-- What is refused, and changes nothing.
SELECT ft.set_queue(NULL, 1);
SELECT ft.set_queue('', 1);
SELECT ft.set_queue(repeat('q', 201), 1);
SELECT ft.set_queue('q', 0);
SELECT ft.set_queue('q', 1, -1);
SELECT ft.set_queue('q', rate_limit => 0);
SELECT ft.set_queue('q', rate_limit => 1, rate_period => NULL);
SELECT ft.set_queue('q', rate_limit => 1, rate_period => '0');
SELECT ft.set_queue('q', rate_limit => 1, rate_period => '-1 day');
SELECT ft.set_queue('q', rate_limit => 1, rate_period => '2 years');
SELECT ft.pause_queue(NULL);
SELECT ft.resume_queue('q');
SELECT ft.resume_queue(NULL);
SELECT ft.reset_queue('q');
SELECT ft.reset_queue(NULL);
SELECT * FROM ft.queue_limits;

-- A queue is shared by all owners: limits are set by who was granted that.
SET SESSION AUTHORIZATION queue_app;
SELECT ft.set_queue('q', 1);
SELECT ft.pause_queue('q');
SELECT ft.resume_queue('q');
SELECT ft.reset_queue('q');
SELECT * FROM ft.queue_limits;
SELECT * FROM ft.limited_queues();
RESET SESSION AUTHORIZATION;

-- By hand: what is paused is not started, other queues are.
SELECT ft.pause_queue('a');
SELECT count(ft.submit('SELECT 1', queue => q)) FROM unnest('{a,a,b}'::text[]) AS q;
SELECT ft.run_steps();
SELECT queue, paused, running, due, later, waits_for FROM ft.queues;
-- which is to be seen beside a parallel query too
CREATE TABLE regress_large AS SELECT generate_series(1, 1000) AS n;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT count(*) FROM regress_large;
SELECT count(*), (SELECT count(*) FILTER (WHERE paused) FROM ft.limited_queues()) AS paused FROM regress_large;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP TABLE regress_large;
-- nor one that is named
SELECT execution_id FROM ft.orchestration_tasks WHERE queue = 'a' LIMIT 1 \gset
SELECT ft.run_steps(:'execution_id');
SELECT owners_due FROM ft.scheduler_tick();
SELECT ft.resume_queue('a');
SELECT owners_due = ARRAY[current_user::regrole] AS due FROM ft.scheduler_tick();
SELECT ft.run_steps(:'execution_id');
SELECT ft.run_steps();

-- One is claimed outside, and there is room for no more, until it ends.
SELECT ft.set_queue('out', 1);
SELECT count(ft.submit('work', queue => 'out', execution_mode => 'external')) FROM generate_series(1, 3);
SELECT task_id, attempt FROM ft.claim_task('out', 'one') \gset
SELECT task_name FROM ft.claim_task('out', 'two');
SELECT queue, max_running, running, due, waits_for FROM ft.queues;
SELECT ft.complete_task(:'task_id', attempt => :attempt);
SELECT task_id, attempt FROM ft.claim_task('out', 'two') \gset
SELECT task_name FROM ft.claim_task('out', 'three');
-- a higher limit holds at once
SELECT ft.set_queue('out', 2);
SELECT attempt FROM ft.claim_task('out', 'three');
SELECT attempt FROM ft.claim_task('out', 'four');
-- a lower one ends nothing
SELECT ft.set_queue('out', 1);
SELECT running FROM ft.queues WHERE queue = 'out';
SELECT ft.release_task(:'task_id', :attempt);
SELECT attempt FROM ft.claim_task('out', 'one');
SELECT ft.reset_queue('out');
SELECT attempt FROM ft.claim_task('out', 'one');
SET client_min_messages = warning;
TRUNCATE ft.orchestration_executions CASCADE;
RESET client_min_messages;

-- For each owner: what others have counts for them.
SELECT ft.set_queue('each', max_running => 3, max_running_per_owner => 2);
SELECT count(ft.submit('work', queue => 'each', execution_mode => 'external')) FROM generate_series(1, 5);
SET SESSION AUTHORIZATION queue_app;
SELECT count(ft.submit('work', queue => 'each', execution_mode => 'external')) FROM generate_series(1, 5);
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM generate_series(1, 4) AS i, ft.claim_task('each', 'worker ' || i);
SELECT owner_oid::regrole <> current_user::regrole AS of_other, count(*)
  FROM ft.orchestration_tasks WHERE status = 'RUNNING' GROUP BY 1 ORDER BY 2;
SET client_min_messages = warning;
TRUNCATE ft.orchestration_executions CASCADE;
RESET client_min_messages;
SELECT ft.reset_queue('each');

-- A rate: retries count as well, what is given back does too.
SELECT ft.set_queue('rate', rate_limit => 3, rate_period => '1 hour');
SELECT count(ft.submit('SELECT 1', queue => 'rate')) FROM generate_series(1, 5);
SELECT ft.run_steps();
SELECT queue, rate_limit, started, next_start BETWEEN now() + '59 min' AND now() + '1 hour 1 min' AS next_start FROM ft.limited_queues();
SELECT queue, due, waits_for FROM ft.queues;
SELECT owners_due, next_due BETWEEN now() + '59 min' AND now() + '1 hour 1 min' AS next_due FROM ft.scheduler_tick();
-- a higher one holds at once
SELECT ft.set_queue('rate', rate_limit => 4, rate_period => '1 hour');
SELECT ft.run_steps();
-- another period goes on from what is known
SELECT ft.set_queue('rate', rate_limit => 5, rate_period => '2 hours');
SELECT started FROM ft.limited_queues();
SELECT place, starts FROM ft.queue_starts;
SELECT ft.run_steps();
SELECT count(ft.submit('SELECT 1', queue => 'rate')) FROM generate_series(1, 5);
SELECT ft.run_steps();
-- when the period is over, there is room again
UPDATE ft.queue_starts SET started_at = started_at - interval '2 hours';
SELECT ft.run_steps();
SELECT started FROM ft.limited_queues();
-- what lies in the future, because the clock was set back, is not waited for
UPDATE ft.queue_starts SET started_at = started_at + interval '1 day';
SELECT count(ft.submit('SELECT 1', queue => 'rate')) FROM generate_series(1, 2);
SELECT ft.run_steps();
SELECT ft.reset_queue('rate');
SELECT * FROM ft.queue_starts;

-- It does not depend on what the transaction has seen.
SELECT ft.set_queue('old', 1);
SELECT count(ft.submit('work', queue => 'old', execution_mode => 'external')) FROM generate_series(1, 2);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT attempt FROM ft.claim_task('old', 'one');
SELECT attempt FROM ft.claim_task('old', 'one');
ROLLBACK;
SELECT ft.reset_queue('old');

SET client_min_messages = warning;
TRUNCATE ft.orchestration_executions CASCADE;
DROP OWNED BY queue_app, queue_other;
DROP ROLE queue_app, queue_other;
