-- Executions: execution.c, validation.c

CREATE TABLE ft.orchestration_executions (
    -- what stays: an update that leaves the beginning of a row writes it to no WAL
    execution_id uuid NOT NULL,
    orchestration_id uuid,
    owner name NOT NULL,
    owner_oid oid NOT NULL,
    managed boolean NOT NULL DEFAULT false,
    priority smallint NOT NULL DEFAULT 0,
    run_at timestamptz,
    idempotency_key text,
    parent_task_id uuid,
    created_at timestamptz NOT NULL,
    input jsonb NOT NULL DEFAULT '{}',
    -- what changes at times
    state ft.execution_state NOT NULL DEFAULT '{}',
    checkpoint_id uuid,
    parked_reason text,
    deadline timestamptz,
    paused_at timestamptz,
    parent_told boolean NOT NULL DEFAULT false,
    -- what changes with each step
    status ft.execution_status NOT NULL DEFAULT 'PENDING',
    completions bigint NOT NULL DEFAULT 0,
    tasks_left bigint NOT NULL DEFAULT 0,
    started_at timestamptz,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT orchestration_executions_pkey PRIMARY KEY (execution_id)
)
-- as fast as rows come and go, whatever is kept of them
WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- compensations to run, by owner
CREATE INDEX idx_executions_compensating ON ft.orchestration_executions (owner_oid)
    WHERE status IN ('COMPENSATING', 'ROLLING_BACK');
-- one execution for each key of an owner, by the name that a restore keeps
CREATE UNIQUE INDEX idx_executions_idempotency
    ON ft.orchestration_executions (owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
-- what waits for its owner to be able to connect
CREATE INDEX idx_executions_parked ON ft.orchestration_executions (owner_oid)
    WHERE parked_reason IS NOT NULL;
-- what a task has started
CREATE INDEX idx_executions_parent ON ft.orchestration_executions (parent_task_id)
    WHERE parent_task_id IS NOT NULL;
-- those that have ended, and whose parent does not know
CREATE INDEX idx_executions_untold ON ft.orchestration_executions (execution_id)
    WHERE parent_task_id IS NOT NULL AND NOT parent_told AND status IN
        ('COMPLETED', 'COMPENSATED', 'CANCELLED', 'ROLLED_BACK', 'COMPENSATION_FAILED');
-- those that are late, or will be
CREATE INDEX idx_executions_deadline ON ft.orchestration_executions (deadline)
    WHERE deadline IS NOT NULL AND finished_at IS NULL;
-- dead letters
CREATE INDEX idx_executions_stopped ON ft.orchestration_executions (status)
    WHERE status IN ('FAILED', 'ROLLED_BACK', 'COMPENSATION_FAILED');
-- retention
CREATE INDEX idx_executions_finished ON ft.orchestration_executions (finished_at)
    WHERE finished_at IS NOT NULL;

ALTER TABLE ft.orchestration_executions ENABLE ROW LEVEL SECURITY;

-- Both the name and the OID must agree: after a dump and restore, or a clone,
-- an OID may be another role's, and after DROP ROLE a name may be.
CREATE POLICY own_executions ON ft.orchestration_executions FOR SELECT
    USING (pg_has_role(owner_oid, 'USAGE') AND pg_get_userbyid(owner_oid) = owner);
CREATE POLICY monitor_executions ON ft.orchestration_executions FOR SELECT
    TO pg_monitor USING (true);

CREATE FUNCTION ft.create_execution(
    orchestration_id uuid DEFAULT NULL, state jsonb DEFAULT '{}')
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_create_execution'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.set_execution_state(execution_id uuid, state jsonb)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_set_execution_state'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON TABLE ft.orchestration_executions IS
'one row for each run of an orchestration';
COMMENT ON COLUMN ft.orchestration_executions.owner IS
'role that created the execution; its compensations run as this role';
COMMENT ON COLUMN ft.orchestration_executions.owner_oid IS
'OID of the owner in this cluster; must agree with its name';
COMMENT ON COLUMN ft.orchestration_executions.completions IS
'how many tasks have completed so far; numbers their order';
COMMENT ON COLUMN ft.orchestration_executions.checkpoint_id IS
'checkpoint that the execution was last brought back to';
COMMENT ON COLUMN ft.orchestration_executions.parked_reason IS
'why its steps or compensations cannot run for now, else null';
COMMENT ON COLUMN ft.orchestration_executions.managed IS
'whether the server runs its steps; else workers outside report of them';
COMMENT ON COLUMN ft.orchestration_executions.priority IS
'of steps that are due at the same time, those of higher priority start first';
COMMENT ON COLUMN ft.orchestration_executions.run_at IS
'not to begin before this time';
COMMENT ON COLUMN ft.orchestration_executions.deadline IS
'fails if it has not ended by this time; null when it has passed';
COMMENT ON COLUMN ft.orchestration_executions.paused_at IS
'since when no further step is started, else null';
COMMENT ON COLUMN ft.orchestration_executions.idempotency_key IS
'starting again with the same key starts nothing';
COMMENT ON COLUMN ft.orchestration_executions.tasks_left IS
'how many of its tasks have neither completed nor been skipped';
COMMENT ON COLUMN ft.orchestration_executions.parent_task_id IS
'task of another execution that waits for this one';
COMMENT ON COLUMN ft.orchestration_executions.parent_told IS
'whether that task knows that it has ended';
COMMENT ON FUNCTION ft.create_execution(uuid, jsonb) IS
'make an execution owned by the current role, with its first checkpoint';
COMMENT ON FUNCTION ft.set_execution_state(uuid, jsonb) IS
'replace the state of an execution';

GRANT SELECT ON ft.orchestration_executions TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.orchestration_executions', '');

