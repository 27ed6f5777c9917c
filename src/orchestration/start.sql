-- Starting executions: start.c

CREATE FUNCTION ft.start(
    name text, input jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL,
    priority integer DEFAULT 0, run_at timestamptz DEFAULT NULL,
    deadline interval DEFAULT NULL, version integer DEFAULT NULL)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_start'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.submit(
    command text, input jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL,
    priority integer DEFAULT 0, run_at timestamptz DEFAULT NULL,
    deadline interval DEFAULT NULL, compensation text DEFAULT NULL,
    queue text DEFAULT 'default', execution_mode text DEFAULT 'transactional',
    short boolean DEFAULT false, max_attempts integer DEFAULT NULL,
    timeout interval DEFAULT NULL)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_submit'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.start(text, jsonb, text, integer, timestamptz, interval, integer) IS
'start an execution of a defined orchestration when the current transaction commits; returns its key';
COMMENT ON FUNCTION ft.submit(text, jsonb, text, integer, timestamptz, interval, text, text, text, boolean, integer, interval) IS
'run one command as an execution of its own when the current transaction has committed; returns its key';

