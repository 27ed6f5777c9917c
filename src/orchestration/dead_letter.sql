-- Executions that have stopped, and making them go on: dead_letter.c

CREATE VIEW ft.dead_letters WITH (security_invoker = true) AS
SELECT execution.updated_at AS stopped_at, execution.execution_id,
       coalesce(orchestration.orchestration_name, task.task_name) AS name,
       execution.status,
       CASE WHEN execution.parked_reason IS NOT NULL THEN 'parked'
            WHEN execution.status = 'FAILED' THEN 'recovery was given up'
            WHEN execution.status = 'ROLLED_BACK' THEN 'rolled back'
            ELSE 'a compensation failed' END AS why,
       task.task_name, task.task_id,
       CASE WHEN execution.status = 'COMPENSATION_FAILED' THEN task.compensation_error_sqlstate
            ELSE coalesce(failure.sqlstate, task.error_sqlstate) END AS sqlstate,
       coalesce(execution.parked_reason,
                CASE WHEN execution.status = 'COMPENSATION_FAILED' THEN task.compensation_error_message
                     ELSE coalesce(failure.failure_message, task.error_message) END) AS message,
       failure.recovery_error, execution.owner
  FROM ft.orchestration_executions AS execution
  LEFT JOIN ft.orchestrations AS orchestration USING (orchestration_id)
  LEFT JOIN LATERAL (
       SELECT failure.* FROM ft.orchestration_failures AS failure
        WHERE failure.execution_id = execution.execution_id
        ORDER BY failure.recovered, failure.failure_timestamp DESC LIMIT 1) AS failure ON true
  LEFT JOIN LATERAL (
       SELECT task.* FROM ft.orchestration_tasks AS task
        WHERE task.execution_id = execution.execution_id
          AND CASE WHEN execution.status = 'COMPENSATION_FAILED' THEN task.status = 'COMPENSATION_FAILED'
                   ELSE task.task_id = failure.task_id END
        ORDER BY task.completion_order DESC LIMIT 1) AS task ON true
 WHERE (execution.status IN ('FAILED', 'ROLLED_BACK', 'COMPENSATION_FAILED')
        OR execution.parked_reason IS NOT NULL)
   AND CASE WHEN execution.parked_reason IS NOT NULL THEN true
            WHEN execution.status = 'FAILED'
                 THEN NOT EXISTS (SELECT FROM ft.orchestration_failures AS due
                                   WHERE due.execution_id = execution.execution_id
                                     AND NOT due.recovered AND due.given_up_at IS NULL)
            WHEN execution.status = 'ROLLED_BACK' THEN failure.recovery_action = 'ROLLBACK'
            ELSE true END;

CREATE FUNCTION ft.redrive(execution_id uuid)
RETURNS text
AS 'MODULE_PATHNAME', 'ft_redrive'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.correct_task(
    task_id uuid, command text DEFAULT NULL, compensation text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_correct_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON VIEW ft.dead_letters IS
'executions that do not go on by themselves: rolled back after a failure, given up, with a compensation that failed, or parked';
COMMENT ON FUNCTION ft.redrive(uuid) IS
'make an execution that has stopped go on where it stopped, with the attempts so far forgiven; returns its status then';
COMMENT ON FUNCTION ft.correct_task(uuid, text, text) IS
'give a task of an execution another command or compensation, from its next attempt on; null leaves it as it is';

GRANT SELECT ON ft.dead_letters TO PUBLIC;

