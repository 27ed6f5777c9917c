-- The sampler's tasks, run by hand: the workers are off here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

SELECT worker, pid, state FROM ft.worker_status() WHERE worker = 'sampler';
CREATE TEMPORARY TABLE before AS SELECT * FROM ft.sampler_tasks();
SELECT count(ft.sampler_tick(task)::text) = count(*) AS all_ran FROM before;
SELECT pg_temp.outcome('SELECT ft.sampler_tick(''none such'')');
SELECT ft.sampler_tick(NULL) IS NULL AS nothing;
SELECT bool_and(a.runs = b.runs + 1) AS each_once, bool_and(a.last_run > b.last_run OR b.last_run IS NULL) AS later,
       bool_and(a.last_duration <= a.longest_duration) AS timed, max(a.last_error) AS error
  FROM before AS b JOIN ft.sampler_tasks() AS a USING (task);

CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
SET ROLE regress_ft_watch;
SELECT pg_temp.outcome('SELECT * FROM ft.sampler_tasks()');
SELECT pg_temp.outcome('SELECT ft.sampler_tick(''history'')');
RESET ROLE;
DROP ROLE regress_ft_watch;
