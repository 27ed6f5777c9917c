-- Why an execution does not go on: why.c

CREATE FUNCTION ft.engine_obstacle(
    OUT obstacle text, OUT what_to_do text, OUT executors integer,
    OUT max_executors integer)
RETURNS record
AS 'MODULE_PATHNAME', 'ft_engine_obstacle'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- Of what has to happen in turn only the first is told: not tasks that wait
-- for other tasks.  What holds up the execution comes before its tasks.
CREATE FUNCTION ft.why_waiting(
    execution_id uuid,
    OUT waits_for text, OUT task_name text, OUT since timestamptz,
    OUT until timestamptz, OUT detail text, OUT what_to_do text, OUT task_id uuid)
RETURNS SETOF record
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 5
-- to compile it would take longer than to run it
SET jit = off
BEGIN ATOMIC
    WITH execution AS MATERIALIZED (
        SELECT e.*, clock_timestamp() AS now,
               e.status IN ('PENDING', 'RUNNING', 'FAILED') AS is_open,
               e.status IN ('COMPENSATING', 'ROLLING_BACK') AS is_undone,
               greatest(e.created_at, e.run_at) AS begun
          FROM ft.orchestration_executions AS e
         WHERE e.execution_id = why_waiting.execution_id
    ), failure AS MATERIALIZED (
        SELECT f.*,
               concat_ws(' ', f.sqlstate, f.failure_message) AS message
          FROM ft.orchestration_failures AS f
         WHERE f.execution_id = why_waiting.execution_id
         ORDER BY f.recovered OR f.given_up_at IS NOT NULL, f.failure_timestamp DESC LIMIT 1
    ), undoing AS MATERIALIZED (
        SELECT t.* FROM execution AS e, LATERAL (
               SELECT * FROM ft.orchestration_tasks AS undone
                WHERE undone.execution_id = e.execution_id
                  AND undone.status IN ('COMPENSATING', 'COMPENSATION_FAILED')
                ORDER BY undone.status DESC, undone.completion_order DESC LIMIT 1) AS t
         WHERE e.is_undone OR e.status = 'COMPENSATION_FAILED'
    ), waiting AS MATERIALIZED (
        SELECT t.*, e.now, e.managed, e.begun,
               t.signal IS NOT NULL AND NOT EXISTS (
                   SELECT FROM ft.orchestration_signals AS s
                    WHERE s.execution_id = t.execution_id AND s.signal_name = t.signal) AS no_signal
          FROM execution AS e, ft.orchestration_tasks AS t
         WHERE t.execution_id = why_waiting.execution_id AND e.is_open
           AND (t.status = 'RUNNING'
                OR t.status = 'PENDING' AND e.status <> 'FAILED'
                   AND NOT EXISTS (
                       -- each looked up by its name, however many tasks there are
                       SELECT FROM unnest(t.depends_on) AS name, LATERAL (
                              SELECT FROM ft.orchestration_tasks AS needed
                               WHERE needed.execution_id = t.execution_id AND needed.task_name = name
                                 AND needed.status NOT IN ('COMPLETED', 'SKIPPED') LIMIT 1) AS missing))
    ), kept_back AS MATERIALIZED (
        -- due tasks that the limits of their queues keep back
        SELECT t.task_id, q.queue, q.paused,
               CASE WHEN NOT q.paused AND q.next_start > t.now THEN q.next_start END AS until,
               CASE WHEN q.paused THEN format('queue %L is paused', q.queue)
                    WHEN q.running >= q.max_running THEN
                         format('max_running of queue %L is %s, and that many run', q.queue, q.max_running)
                    WHEN q.next_start > t.now THEN
                         format('rate_limit of queue %L is %s in %s, and that many were started', q.queue, q.rate_limit, q.rate_period)
                    ELSE format('max_running_per_owner of queue %L is %s, and that many run', q.queue, q.max_running_per_owner)
               END AS detail
          FROM waiting AS t
          JOIN ft.limited_queues() AS q ON q.queue = t.queue
         WHERE t.status = 'PENDING' AND t.due_at <= t.now
           AND (q.paused OR q.running >= q.max_running OR q.next_start > t.now
                OR q.max_running_per_owner <= (
                       SELECT count(*) FROM ft.orchestration_tasks AS r
                        WHERE r.status = 'RUNNING' AND r.queue = q.queue AND r.owner_oid = t.owner_oid
                          AND (r.worker_id IS NOT NULL OR r.leased_until IS NOT NULL)))
    ), reason AS (
        -- the execution as a whole
        SELECT 1 AS rank, 'nothing' AS waits_for, NULL AS task_name, e.finished_at AS since,
               NULL::timestamptz AS until, 'it has ended: ' || e.status AS detail,
               NULL AS what_to_do, NULL::uuid AS task_id
          FROM execution AS e WHERE e.finished_at IS NOT NULL
        UNION ALL
        SELECT 2, 'workers', NULL, NULL, NULL, o.obstacle, o.what_to_do, NULL
          FROM execution AS e, ft.engine_obstacle() AS o
         WHERE o.obstacle IS NOT NULL AND e.finished_at IS NULL
           AND (e.managed AND e.status IN ('PENDING', 'RUNNING') OR e.is_undone)
        UNION ALL
        SELECT 3, 'owner', NULL, NULL, NULL, e.parked_reason,
               'It goes on by itself when that has changed; see ft.dead_letters.', NULL
          FROM execution AS e WHERE e.parked_reason IS NOT NULL AND e.finished_at IS NULL
        UNION ALL
        SELECT 4, 'resume', NULL, e.paused_at, NULL, 'it is paused',
               format('SELECT ft.resume(%L);', e.execution_id), NULL
          FROM execution AS e WHERE e.paused_at IS NOT NULL AND e.finished_at IS NULL
        UNION ALL
        SELECT 5, 'operator', t.task_name, e.updated_at, NULL,
               CASE e.status
                    WHEN 'COMPENSATION_FAILED' THEN
                         concat_ws(' ', 'a compensation failed:', u.compensation_error_sqlstate, u.compensation_error_message)
                    WHEN 'ROLLED_BACK' THEN coalesce('it was rolled back: ' || f.message, 'it was rolled back')
                    ELSE concat('recovery was given up: ', coalesce(f.recovery_error, f.message)) END,
               CASE WHEN e.managed OR e.status <> 'ROLLED_BACK'
                    THEN format('Mend the cause, or the task by ft.correct_task(), and: SELECT ft.redrive(%L);', e.execution_id)
                    ELSE 'Its worker outside starts the next task: ft.start_task().' END,
               t.task_id
          FROM execution AS e
          LEFT JOIN failure AS f ON true
          LEFT JOIN undoing AS u ON e.status = 'COMPENSATION_FAILED'
          LEFT JOIN ft.orchestration_tasks AS t ON t.task_id = coalesce(u.task_id, f.task_id)
         WHERE e.status IN ('ROLLED_BACK', 'COMPENSATION_FAILED')
            OR e.status = 'FAILED' AND f.given_up_at IS NOT NULL
        UNION ALL
        SELECT 6, 'recovery', t.task_name, f.failure_timestamp,
               CASE WHEN f.next_attempt_at > e.now THEN f.next_attempt_at END,
               concat('a failure is to be recovered: ', f.message,
                      '; tried before, and failed: ' || f.recovery_error),
               'By itself where background workers run; by hand: SELECT * FROM ft.auto_recover_failures();', f.task_id
          FROM execution AS e, failure AS f
          LEFT JOIN ft.orchestration_tasks AS t ON t.task_id = f.task_id
         WHERE e.status = 'FAILED' AND f.given_up_at IS NULL
        UNION ALL
        SELECT 7, 'compensation', u.task_name, NULL,
               CASE WHEN u.compensation_next_attempt_at > e.now THEN u.compensation_next_attempt_at END,
               CASE WHEN u.compensation_pid IS NOT NULL THEN
                         concat('process ', u.compensation_pid, ' runs it', doing.wait)
                    WHEN u.compensation_error_sqlstate IS NOT NULL THEN
                         concat_ws(' ', 'it has failed, and is tried again:', u.compensation_error_sqlstate, u.compensation_error_message)
                    ELSE 'it is to be run' END,
               CASE WHEN u.compensation_pid IS NULL AND u.compensation_error_sqlstate IS NOT NULL
                    THEN format('Mend the cause, or: SELECT ft.correct_task(%L, compensation => ...);', u.task_id) END,
               u.task_id
          FROM execution AS e, undoing AS u
          LEFT JOIN LATERAL (SELECT format(', and waits for %s: %s', a.wait_event_type, a.wait_event) AS wait
                               FROM pg_stat_activity AS a
                              WHERE a.pid = u.compensation_pid AND a.wait_event IS NOT NULL) AS doing ON true
         WHERE e.is_undone
        UNION ALL
        -- tasks that have begun
        SELECT 8, CASE WHEN t.leased_until IS NULL AND t.managed THEN 'step' ELSE 'worker' END,
               t.task_name, t.started_at,
               coalesce(t.leased_until, t.started_at + t.timeout),
               CASE WHEN t.leased_until IS NOT NULL THEN format('worker %L has claimed it', t.leased_by)
                    WHEN NOT t.managed THEN 'its worker outside has not reported yet'
                    ELSE concat('process ', t.worker_pid, ' runs it', doing.wait) END,
               CASE WHEN doing.is_lock THEN format('Who is before it: SELECT pg_blocking_pids(%s);', t.worker_pid) END,
               t.task_id
          FROM waiting AS t
          LEFT JOIN LATERAL (SELECT format(', and waits for %s: %s', a.wait_event_type, a.wait_event) AS wait,
                                    a.wait_event_type = 'Lock' AS is_lock
                               FROM pg_stat_activity AS a
                              WHERE a.pid = t.worker_pid AND a.wait_event IS NOT NULL) AS doing ON true
         WHERE t.status = 'RUNNING'
        UNION ALL
        -- tasks that are due, now or later
        SELECT 9,
               CASE WHEN t.due_at > t.now THEN
                         CASE WHEN t.no_signal THEN 'signal'
                              WHEN t.next_attempt_at >= t.due_at THEN 'retry'
                              WHEN t.not_before >= t.due_at THEN 'sleep' ELSE 'run_at' END
                    WHEN k.task_id IS NOT NULL THEN 'queue'
                    WHEN t.execution_mode = 'external' THEN 'worker' ELSE 'executor' END,
               t.task_name,
               CASE WHEN t.due_at <= t.now THEN t.due_at
                    WHEN t.no_signal THEN t.due_at - t.timeout
                    WHEN t.next_attempt_at >= t.due_at THEN t.started_at
                    WHEN t.not_before >= t.due_at THEN t.not_before - t.sleep ELSE t.created_at END,
               CASE WHEN t.due_at > t.now THEN t.due_at ELSE k.until END,
               CASE WHEN t.due_at > t.now THEN
                         CASE WHEN t.no_signal THEN format('signal %L has not been sent', t.signal)
                              WHEN t.next_attempt_at >= t.due_at THEN
                                   concat('it has failed, and is tried again: ', t.error_sqlstate, ' ', t.error_message)
                              WHEN t.not_before >= t.due_at THEN concat('it sleeps ', t.sleep)
                              ELSE 'it is not to begin before' END
                    WHEN k.task_id IS NOT NULL THEN k.detail
                    WHEN t.execution_mode = 'external' THEN format('no program has claimed it from queue %L', t.queue)
                    WHEN t.suspicion = 'server' THEN 'it was running when the server went down, and runs by itself, after others like it'
                    WHEN t.suspicion = 'executor' THEN 'its executor was lost, and it runs by itself'
                    ELSE format('it is due in queue %L; executors that there are: %s of %s', t.queue, o.executors, o.max_executors) END,
               CASE WHEN t.due_at > t.now AND t.no_signal THEN format('SELECT ft.signal(%L, %L, ...);', t.execution_id, t.signal)
                    WHEN t.due_at > t.now THEN NULL
                    WHEN k.paused THEN format('SELECT ft.resume_queue(%L);', k.queue)
                    WHEN k.task_id IS NOT NULL THEN 'What it is at: SELECT * FROM ft.queues; ft.set_queue() changes its limits.'
                    WHEN t.execution_mode = 'external' THEN format('Start a worker that calls: SELECT * FROM ft.claim_task(%L, ...);', t.queue)
                    ELSE 'What else is due: SELECT * FROM ft.orchestration_metrics;' END,
               t.task_id
          FROM waiting AS t
          LEFT JOIN kept_back AS k ON k.task_id = t.task_id
         CROSS JOIN ft.engine_obstacle() AS o
         WHERE t.status = 'PENDING' AND t.due_at IS NOT NULL
           AND (t.due_at > t.now OR t.execution_mode = 'external' OR k.task_id IS NOT NULL
                OR t.suspicion IS NOT NULL OR o.obstacle IS NULL)
        UNION ALL
        -- tasks that wait for something that has no time
        SELECT 10,
               CASE WHEN t.no_signal THEN 'signal' WHEN t.child_execution_id IS NOT NULL THEN 'orchestration'
                    WHEN t.managed THEN 'children' ELSE 'worker' END,
               t.task_name,
               coalesce((SELECT max(needed.completed_at) FROM ft.orchestration_tasks AS needed
                          WHERE needed.execution_id = t.execution_id
                            AND needed.task_name = ANY (t.depends_on)), t.started_at, t.begun),
               CASE WHEN NOT t.managed AND t.next_attempt_at > t.now THEN t.next_attempt_at END,
               CASE WHEN t.no_signal THEN format('signal %L has not been sent', t.signal)
                    WHEN t.child_execution_id IS NOT NULL THEN
                         coalesce(format('execution %s of %L is %s', child.execution_id, t.orchestration, child.status),
                                  'what it has started is not to be seen')
                    WHEN t.managed THEN format('%s of %s children have not ended', t.unmet, t.children)
                    ELSE 'a worker outside is to start it' END,
               CASE WHEN t.no_signal THEN format('SELECT ft.signal(%L, %L, ...);', t.execution_id, t.signal)
                    WHEN t.child_execution_id IS NOT NULL THEN format('SELECT * FROM ft.why_waiting(%L);', t.child_execution_id)
                    WHEN NOT t.managed THEN format('SELECT ft.start_task(%L);', t.task_id) END,
               t.task_id
          FROM waiting AS t
          LEFT JOIN ft.orchestration_executions AS child ON child.execution_id = t.child_execution_id
         WHERE t.status = 'PENDING' AND t.due_at IS NULL
           AND (t.no_signal OR t.unmet > 0 OR NOT t.managed)
    )
    SELECT r.waits_for, r.task_name, r.since, r.until, r.detail, r.what_to_do, r.task_id
      FROM reason AS r
     ORDER BY r.rank, r.task_id
     LIMIT 100;
END;

COMMENT ON FUNCTION ft.engine_obstacle() IS
'what keeps the steps of this database from being run by background workers, or null, and how many executors there are, in all databases; for ft.why_waiting()';
COMMENT ON FUNCTION ft.why_waiting(uuid) IS
'what an execution waits for: a row for each thing, with what to do about it; no row if it does not exist, or is not yours';
