-- What happened to executions, and what there is to do: views and functions
-- over the tables of the engine, within their row-level security.

CREATE FUNCTION ft.orchestration_timeline(
    execution_id uuid,
    OUT event_time timestamptz, OUT event text, OUT task_name text,
    OUT attempt integer, OUT duration interval, OUT sqlstate text,
    OUT detail text, OUT checkpoint_id uuid, OUT failure_id uuid,
    OUT task_id uuid)
RETURNS SETOF record
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 50
BEGIN ATOMIC
    WITH execution AS MATERIALIZED (
        SELECT * FROM ft.orchestration_executions AS e
         WHERE e.execution_id = orchestration_timeline.execution_id
    ), task AS MATERIALIZED (
        SELECT * FROM ft.orchestration_tasks AS t
         WHERE t.execution_id = orchestration_timeline.execution_id
    ), failure AS MATERIALIZED (
        SELECT f.*, t.task_name
          FROM ft.orchestration_failures AS f LEFT JOIN task AS t ON t.task_id = f.task_id
         WHERE f.execution_id = orchestration_timeline.execution_id
    ), made AS (
        -- what a task is made to wait for, by an attempt that ends with that
        SELECT c.parent_task_id AS task_id, min(c.created_at) AS made_at,
               format(CASE count(*) WHEN 1 THEN '%s child' ELSE '%s children' END, count(*)) AS what
          FROM task AS c WHERE c.parent_task_id IS NOT NULL
         GROUP BY c.parent_task_id
        UNION ALL
        SELECT t.task_id, e.created_at, 'execution ' || e.execution_id
          FROM task AS t JOIN ft.orchestration_executions AS e ON e.execution_id = t.child_execution_id
    ), ended AS (
        -- an attempt that neither completed nor failed, nor is the current one;
        -- back: how many of the task's are not older
        SELECT t.task_id, n AS attempt, row_number() OVER (PARTITION BY t.task_id ORDER BY n DESC) AS back
          FROM task AS t, generate_series(1, t.attempt) AS n
         WHERE NOT EXISTS (SELECT FROM failure AS f WHERE f.task_id = t.task_id AND f.attempt = n)
           AND (n < t.attempt OR t.status IN ('PENDING', 'CANCELLED'))
    ), lost AS (
        SELECT t.task_id, t.task_name, l.attempt,
               CASE WHEN m.task_id IS NOT NULL THEN 'spawned'
                    WHEN t.status = 'CANCELLED' AND l.attempt = t.attempt THEN 'cancelled'
                    WHEN l.back <= t.iteration * (1 + num_nonnulls(t.orchestration)) THEN 'repeated'
                    WHEN t.losses > 0 THEN 'lost' ELSE 'reset' END AS event,
               m.what, m.made_at,
               coalesce(m.made_at,
                        (SELECT min(coalesce(f.attempt_started_at, f.failure_timestamp))
                           FROM failure AS f WHERE f.task_id = t.task_id AND f.attempt > l.attempt),
                        t.started_at) AS before
          FROM ended AS l JOIN task AS t ON t.task_id = l.task_id
          LEFT JOIN made AS m ON m.task_id = l.task_id AND l.back = 1
    ), happened AS (
        SELECT e.created_at AS event_time, 'created' AS event, NULL AS task_name,
               NULL::integer AS attempt, NULL::interval AS duration, NULL AS sqlstate,
               NULL AS detail, NULL::uuid AS checkpoint_id, NULL::uuid AS failure_id,
               NULL::uuid AS task_id, e.created_at AS place, 0 AS rank
          FROM execution AS e
        UNION ALL
        SELECT e.started_at, 'started', NULL, NULL, e.started_at - greatest(e.created_at, e.run_at),
               NULL, NULL, NULL, NULL, NULL, e.started_at, 2
          FROM execution AS e WHERE e.started_at IS NOT NULL
        UNION ALL
        SELECT e.paused_at, 'paused', NULL, NULL, clock_timestamp() - e.paused_at,
               NULL, NULL, NULL, NULL, NULL, e.paused_at, 9
          FROM execution AS e WHERE e.paused_at IS NOT NULL
        UNION ALL
        SELECT e.finished_at, 'finished', NULL, NULL, e.finished_at - coalesce(e.started_at, e.created_at),
               NULL, e.status, NULL, NULL, NULL, e.finished_at, 9
          FROM execution AS e WHERE e.finished_at IS NOT NULL
        UNION ALL
        SELECT CASE WHEN t.status <> 'RUNNING' THEN t.completed_at END,
               CASE t.status WHEN 'RUNNING' THEN 'running' WHEN 'SKIPPED' THEN 'skipped' ELSE 'completed' END,
               t.task_name, t.attempt,
               CASE WHEN t.status = 'RUNNING' THEN clock_timestamp() ELSE t.completed_at END - t.started_at,
               NULL,
               CASE WHEN t.status = 'RUNNING' THEN coalesce('by ' || t.leased_by, 'by process ' || t.worker_pid) END,
               NULL, NULL, t.task_id,
               CASE WHEN t.status = 'RUNNING' THEN clock_timestamp() ELSE t.completed_at END, 4
          FROM task AS t WHERE t.status = 'RUNNING' OR t.completed_at IS NOT NULL
        UNION ALL
        SELECT l.made_at, l.event, l.task_name, l.attempt, NULL, NULL,
               CASE l.event WHEN 'spawned' THEN l.what
                            WHEN 'repeated' THEN 'a run of its loop'
                            WHEN 'lost' THEN 'its executor was lost, or left it'
                            WHEN 'reset' THEN 'given back, or reset by a rollback' END,
               NULL, NULL, l.task_id, l.before, 3
          FROM lost AS l
        UNION ALL
        SELECT f.failure_timestamp, 'failed', f.task_name, f.attempt,
               f.failure_timestamp - f.attempt_started_at, f.sqlstate, f.failure_message,
               NULL, f.failure_id, f.task_id, f.failure_timestamp, 4
          FROM failure AS f
        UNION ALL
        SELECT f.recovered_at, 'recovered', f.task_name, f.attempt, f.recovered_at - f.failure_timestamp,
               NULL, concat_ws(' ', f.recovery_action, f.recovery_strategy), f.checkpoint_id,
               f.failure_id, f.task_id, f.recovered_at, 6
          FROM failure AS f WHERE f.recovered
        UNION ALL
        SELECT f.recovery_started_at, 'recovering', f.task_name, f.attempt,
               clock_timestamp() - f.recovery_started_at,
               NULL, concat_ws(' ', f.recovery_action, f.recovery_strategy), f.checkpoint_id,
               f.failure_id, f.task_id, f.recovery_started_at, 6
          FROM failure AS f WHERE f.recovery_started_at IS NOT NULL AND NOT f.recovered
        UNION ALL
        SELECT f.given_up_at, 'given up', f.task_name, f.attempt, f.given_up_at - f.failure_timestamp,
               NULL, f.recovery_error, NULL, f.failure_id, f.task_id, f.given_up_at, 7
          FROM failure AS f WHERE f.given_up_at IS NOT NULL
        UNION ALL
        SELECT c.checkpoint_time, 'checkpoint', t.task_name, NULL, NULL, NULL,
               'number ' || c.checkpoint_number, c.checkpoint_id, NULL, t.task_id, c.checkpoint_time,
               CASE c.checkpoint_number WHEN 0 THEN 1 ELSE 5 END
          FROM ft.orchestration_checkpoints AS c
          LEFT JOIN task AS t ON t.task_id::text = c.task_progress ->> 'task_id'
         WHERE c.execution_id = orchestration_timeline.execution_id
        UNION ALL
        SELECT t.compensated_at, 'compensated', t.task_name, t.compensation_attempt, NULL, NULL, NULL,
               NULL, NULL, t.task_id, t.compensated_at, 5
          FROM task AS t WHERE t.compensated_at IS NOT NULL
        UNION ALL
        SELECT NULL, 'compensation failed', t.task_name, t.compensation_attempt, NULL,
               t.compensation_error_sqlstate, t.compensation_error_message,
               NULL, NULL, t.task_id, 'infinity', 5
          FROM task AS t WHERE t.compensation_error_sqlstate IS NOT NULL
    )
    SELECT h.event_time, h.event, h.task_name, h.attempt, h.duration, h.sqlstate, h.detail,
           h.checkpoint_id, h.failure_id, h.task_id
      FROM happened AS h
     ORDER BY h.place, h.rank, h.task_id, h.attempt;
END;

-- What there is to do, by the small indexes of what is due and what runs.
CREATE VIEW ft.orchestration_metrics WITH (security_invoker = true) AS
SELECT step.queue, step.execution_mode,
       count(*) FILTER (WHERE step.due_at <= clock_timestamp()) AS due,
       greatest(clock_timestamp() - min(step.due_at), '0') AS oldest_due,
       count(*) FILTER (WHERE step.due_at > clock_timestamp()) AS later,
       count(step.started_at) AS running,
       clock_timestamp() - min(step.started_at) AS longest_running
  FROM (SELECT t.queue, t.execution_mode, t.due_at, NULL::timestamptz AS started_at
          FROM ft.orchestration_tasks AS t
         WHERE t.due_at IS NOT NULL AND t.execution_mode <> 'external'
        UNION ALL
        SELECT t.queue, t.execution_mode, t.due_at, NULL
          FROM ft.orchestration_tasks AS t
         WHERE t.due_at IS NOT NULL AND t.execution_mode = 'external'
        UNION ALL
        SELECT t.queue, t.execution_mode, NULL, t.started_at
          FROM ft.orchestration_tasks AS t
         WHERE t.status = 'RUNNING' AND t.worker_id IS NOT NULL
        UNION ALL
        SELECT t.queue, t.execution_mode, NULL, t.started_at
          FROM ft.orchestration_tasks AS t
         WHERE t.status = 'RUNNING' AND t.leased_until IS NOT NULL) AS step
 GROUP BY step.queue, step.execution_mode
 ORDER BY step.queue, step.execution_mode;

-- The same by queue, with what limits it.
CREATE VIEW ft.queues WITH (security_invoker = true) AS
SELECT queue, coalesce(l.paused, false) AS paused, l.max_running, l.max_running_per_owner,
       l.rate_limit, l.rate_period,
       coalesce(l.running, s.running, 0) AS running, l.started,
       coalesce(s.due, 0) AS due, s.oldest_due, coalesce(s.later, 0) AS later,
       CASE WHEN s.due IS NULL OR s.due = 0 THEN NULL
            WHEN l.paused THEN 'paused'
            WHEN l.running >= l.max_running THEN 'max_running'
            WHEN l.next_start > clock_timestamp() THEN 'rate_limit'
            WHEN s.running >= l.max_running_per_owner THEN 'max_running_per_owner'
            ELSE 'worker'
       END AS waits_for
  FROM ft.limited_queues() AS l
  FULL JOIN (SELECT m.queue, sum(m.due)::bigint AS due, max(m.oldest_due) AS oldest_due,
                    sum(m.later)::bigint AS later, sum(m.running)::bigint AS running
               FROM ft.orchestration_metrics AS m GROUP BY m.queue) AS s USING (queue)
 ORDER BY queue;

CREATE VIEW ft.orchestration_summary WITH (security_invoker = true) AS
SELECT e.status, count(*) AS executions,
       count(e.paused_at) AS paused, count(e.parked_reason) AS parked,
       clock_timestamp() - min(e.created_at) AS oldest,
       clock_timestamp() - max(e.updated_at) AS last_change
  FROM ft.orchestration_executions AS e
 GROUP BY e.status
 ORDER BY e.status;

-- What one looks for an execution by, in a line.
CREATE VIEW ft.executions WITH (security_invoker = true) AS
SELECT e.execution_id, o.orchestration_name AS name, o.version, e.status,
       CASE WHEN e.parked_reason IS NOT NULL THEN 'parked'
            WHEN e.paused_at IS NOT NULL AND e.finished_at IS NULL THEN 'paused' END AS held,
       date_trunc('second', coalesce(e.finished_at, clock_timestamp()) - e.created_at) AS age,
       date_trunc('second', clock_timestamp() - e.updated_at) AS unchanged,
       e.tasks_left, e.idempotency_key, e.owner
  FROM ft.orchestration_executions AS e
  LEFT JOIN ft.orchestrations AS o ON o.orchestration_id = e.orchestration_id;

COMMENT ON FUNCTION ft.orchestration_timeline(uuid) IS
'what happened to an execution, in order: attempts, failures, checkpoints, recoveries, compensations, with how long each took';
COMMENT ON VIEW ft.orchestration_metrics IS
'steps that are due, will be, and run, by queue; of the executions that one may see';
COMMENT ON VIEW ft.queues IS
'queues that have limits or something to do: their limits, what runs, what is due, and what that waits for';
COMMENT ON VIEW ft.orchestration_summary IS
'how many executions are in which status; reads all of them that one may see';

COMMENT ON VIEW ft.executions IS
'executions with the names of their orchestrations, their age and what holds them up, to look for one';

GRANT SELECT ON ft.executions, ft.orchestration_metrics, ft.queues, ft.orchestration_summary TO PUBLIC;

