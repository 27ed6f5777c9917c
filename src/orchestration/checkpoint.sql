-- Checkpoints of executions: checkpoint.c

CREATE TABLE ft.orchestration_checkpoints (
    checkpoint_id uuid NOT NULL,
    orchestration_id uuid,
    execution_id uuid NOT NULL,
    checkpoint_time timestamptz NOT NULL,
    state_data jsonb NOT NULL,
    task_progress jsonb,
    created_at timestamptz NOT NULL,
    checkpoint_number bigint NOT NULL,
    CONSTRAINT orchestration_checkpoints_pkey PRIMARY KEY (checkpoint_id),
    CONSTRAINT orchestration_checkpoints_execution FOREIGN KEY (execution_id)
        REFERENCES ft.orchestration_executions ON DELETE CASCADE
)
-- as for executions
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE UNIQUE INDEX idx_checkpoints_exec
    ON ft.orchestration_checkpoints (execution_id, checkpoint_number);

-- as for tasks
ALTER TABLE ft.orchestration_checkpoints DISABLE TRIGGER ALL;

ALTER TABLE ft.orchestration_checkpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY checkpoints_of_visible_executions ON ft.orchestration_checkpoints FOR SELECT
    USING (EXISTS (SELECT FROM ft.orchestration_executions AS execution
                    WHERE execution.execution_id = orchestration_checkpoints.execution_id));

CREATE FUNCTION ft.create_checkpoint(execution_id uuid, task_id uuid)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_create_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.trigger_checkpoint()
RETURNS trigger
AS 'MODULE_PATHNAME', 'ft_trigger_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE TRIGGER checkpoint_of_critical_task
    AFTER UPDATE OF status ON ft.orchestration_tasks
    FOR EACH ROW
    WHEN (NEW.critical)
    EXECUTE FUNCTION ft.trigger_checkpoint();

COMMENT ON TABLE ft.orchestration_checkpoints IS
'states that an execution can be brought back to';
COMMENT ON COLUMN ft.orchestration_checkpoints.checkpoint_number IS
'its place in the order of the checkpoints of the execution; the first is 0';
COMMENT ON FUNCTION ft.create_checkpoint(uuid, uuid) IS
'keep the present state and progress of an execution; task_id is the task that has got there, or null';
COMMENT ON FUNCTION ft.trigger_checkpoint() IS
'trigger of ft.orchestration_tasks: a critical task that has completed makes a checkpoint';
COMMENT ON TRIGGER checkpoint_of_critical_task ON ft.orchestration_tasks IS
'makes a checkpoint when a critical task completes';

GRANT SELECT ON ft.orchestration_checkpoints TO PUBLIC;
-- nobody else has a table that this could be the trigger of
REVOKE ALL ON FUNCTION ft.trigger_checkpoint() FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.orchestration_checkpoints', '');

