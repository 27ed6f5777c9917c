-- Signals that executions wait for: signal.c

CREATE TABLE ft.orchestration_signals (
    execution_id uuid NOT NULL,
    signal_name text NOT NULL,
    payload jsonb NOT NULL,
    sender name NOT NULL,
    sent_at timestamptz NOT NULL,
    CONSTRAINT orchestration_signals_pkey PRIMARY KEY (execution_id, signal_name),
    CONSTRAINT orchestration_signals_execution FOREIGN KEY (execution_id)
        REFERENCES ft.orchestration_executions ON DELETE CASCADE
);

-- as for tasks
ALTER TABLE ft.orchestration_signals DISABLE TRIGGER ALL;

ALTER TABLE ft.orchestration_signals ENABLE ROW LEVEL SECURITY;
CREATE POLICY signals_of_visible_executions ON ft.orchestration_signals FOR SELECT
    USING (EXISTS (SELECT FROM ft.orchestration_executions AS execution
                    WHERE execution.execution_id = orchestration_signals.execution_id));

CREATE FUNCTION ft.signal(execution_id uuid, name text, payload jsonb DEFAULT 'null')
RETURNS boolean
AS 'MODULE_PATHNAME', 'ft_signal'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON TABLE ft.orchestration_signals IS
'signals that were sent to executions, each once';
COMMENT ON COLUMN ft.orchestration_signals.payload IS
'what was sent with it: the item, and without a command the result, of the tasks that wait for it';
COMMENT ON COLUMN ft.orchestration_signals.sender IS
'role that sent it';
COMMENT ON FUNCTION ft.signal(uuid, text, jsonb) IS
'send a signal to an execution when the current transaction commits; false if it has been sent before, and nothing changes';

GRANT SELECT ON ft.orchestration_signals TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.orchestration_signals', '');

