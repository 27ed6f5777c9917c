-- Failures of executions and what kind they are: failure.c

CREATE TABLE ft.orchestration_failures (
    failure_id uuid NOT NULL,
    execution_id uuid NOT NULL,
    failure_type text NOT NULL,
    failure_message text NOT NULL,
    failure_timestamp timestamptz NOT NULL,
    recovery_strategy text,
    recovered boolean NOT NULL DEFAULT false,
    recovery_error text,
    recovery_attempts integer NOT NULL DEFAULT 0,
    recovered_at timestamptz,
    task_id uuid,
    attempt integer,
    sqlstate text,
    recovery_action text,
    checkpoint_id uuid,
    next_attempt_at timestamptz NOT NULL,
    recovery_started_at timestamptz,
    given_up_at timestamptz,
    attempt_started_at timestamptz,
    CONSTRAINT orchestration_failures_pkey PRIMARY KEY (failure_id),
    CONSTRAINT orchestration_failures_execution FOREIGN KEY (execution_id)
        REFERENCES ft.orchestration_executions ON DELETE CASCADE,
    CONSTRAINT orchestration_failures_type
        CHECK (failure_type IN ('TRANSIENT', 'PERMANENT', 'PARTIAL')),
    CONSTRAINT orchestration_failures_strategy
        CHECK (recovery_strategy IN ('AUTO', 'MANUAL', 'FAILED')),
    CONSTRAINT orchestration_failures_action
        CHECK (recovery_action IN ('RETRY', 'ROLLBACK', 'COMPENSATE'))
);

CREATE INDEX idx_failures_exec
    ON ft.orchestration_failures (execution_id, failure_timestamp);
CREATE INDEX idx_failures_due ON ft.orchestration_failures (next_attempt_at)
    WHERE NOT recovered AND given_up_at IS NULL AND recovery_started_at IS NULL;

-- as for tasks
ALTER TABLE ft.orchestration_failures DISABLE TRIGGER ALL;

ALTER TABLE ft.orchestration_failures ENABLE ROW LEVEL SECURITY;
CREATE POLICY failures_of_visible_executions ON ft.orchestration_failures FOR SELECT
    USING (EXISTS (SELECT FROM ft.orchestration_executions AS execution
                    WHERE execution.execution_id = orchestration_failures.execution_id));

CREATE FUNCTION ft.record_failure(
    execution_id uuid, message text, sqlstate text DEFAULT NULL,
    failure_type text DEFAULT NULL)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_record_failure'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.fail_task(
    task_id uuid, message text, sqlstate text DEFAULT NULL,
    attempt integer DEFAULT NULL)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_fail_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE VIEW ft.unrecovered_failures WITH (security_invoker = true) AS
SELECT failure_timestamp, execution_id, failure_id, failure_type, sqlstate,
       CASE WHEN given_up_at IS NOT NULL THEN 'given up'
            WHEN recovery_started_at IS NOT NULL THEN 'being recovered'
            WHEN recovery_attempts > 0 THEN 'to be tried again'
            ELSE 'due' END AS recovery,
       recovery_attempts, next_attempt_at, given_up_at,
       failure_message, recovery_error
  FROM ft.orchestration_failures
 WHERE NOT recovered
 ORDER BY failure_timestamp;

COMMENT ON TABLE ft.orchestration_failures IS
'what went wrong in executions, and what was done about it';
COMMENT ON COLUMN ft.orchestration_failures.recovery_strategy IS
'AUTO: by the worker or auto_recover_failures; MANUAL: by hand; FAILED: the last try failed, see recovery_error';
COMMENT ON COLUMN ft.orchestration_failures.recovery_action IS
'what recovery did: RETRY, ROLLBACK or COMPENSATE';
COMMENT ON COLUMN ft.orchestration_failures.attempt_started_at IS
'when the attempt had begun that failed';
COMMENT ON COLUMN ft.orchestration_failures.recovery_started_at IS
'recovery is under way since then; it ends when the last compensation has run';
COMMENT ON COLUMN ft.orchestration_failures.given_up_at IS
'automatic recovery left it at this time: too old, or tried too often';
COMMENT ON FUNCTION ft.record_failure(uuid, text, text, text) IS
'record a failure of an execution; its type follows from the SQLSTATE unless it is given';
COMMENT ON FUNCTION ft.fail_task(uuid, text, text, integer) IS
'report that a running task has failed; returns the failure recorded for it';
COMMENT ON VIEW ft.unrecovered_failures IS
'failures that are still due, under way, or given up';

GRANT SELECT ON ft.orchestration_failures, ft.unrecovered_failures TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.orchestration_failures', '');

