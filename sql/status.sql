-- Statuses and transitions.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT * FROM ft.transitions();

-- an event leads to one place only
SELECT object, from_status, event
  FROM ft.transitions()
 GROUP BY 1, 2, 3 HAVING count(*) > 1;

-- the statuses that the tables accept are those of the transitions
SELECT object, status
  FROM (SELECT object, from_status AS status FROM ft.transitions()
        UNION SELECT object, to_status FROM ft.transitions()) AS s
 WHERE NOT ft.is_status(object, status);
SELECT ft.is_status('execution', 'SKIPPED') AS of_a_task, ft.is_status('task', 'ROLLED_BACK') AS of_an_execution,
       ft.is_status('task', 'pending') AS small, ft.is_status('task', '') AS empty, ft.is_status('other', 'PENDING') AS other;
SELECT attrelid::regclass, attname, atttypid::regtype, conname, pg_get_constraintdef(c.oid)
  FROM pg_attribute AS a JOIN pg_constraint AS c ON c.contypid = a.atttypid
 WHERE attrelid IN ('ft.orchestration_executions'::regclass, 'ft.orchestration_tasks'::regclass) ORDER BY 1, 2;

-- keys are of version 7 and grow
SELECT substr(a::text, 15, 1) AS version, substr(a::text, 20, 1) IN ('8', '9', 'a', 'b') AS variant, a < b AS grows
  FROM (SELECT ft.uuid_v7() AS a) AS one, LATERAL (SELECT ft.uuid_v7() AS b OFFSET 0) AS two;
SELECT count(*), count(DISTINCT k), bool_and(k > previous) AS all_grow
  FROM (SELECT k, lag(k) OVER (ORDER BY n) AS previous
          FROM (SELECT n, ft.uuid_v7() AS k FROM generate_series(1, 10000) AS n) AS keys) AS pairs;
-- its time is the clock's
SELECT abs(extract(epoch FROM clock_timestamp()) * 1000
           - ('x' || lpad(replace(left(ft.uuid_v7()::text, 13), '-', ''), 16, '0'))::bit(64)::bigint) < 10000 AS near;
