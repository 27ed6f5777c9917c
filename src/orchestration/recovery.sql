-- Recovery of executions: recovery.c, recovery_plan.c, auto_recovery.c

CREATE FUNCTION ft.recover_from_failure(execution_id uuid, failure_type varchar)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_recover_from_failure'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.retry_from_checkpoint(
    checkpoint_id uuid, state_data jsonb DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_retry_from_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.rollback_to_checkpoint(
    checkpoint_id uuid, state_data jsonb DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_rollback_to_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.compensate_from_checkpoint(
    checkpoint_id uuid, state_data jsonb DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_compensate_from_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.recover_from_checkpoint(workflow_id uuid, checkpoint_id uuid)
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_recover_from_checkpoint'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.plan_recovery(
    execution_id uuid, failure_type varchar,
    OUT step integer, OUT action text, OUT object text, OUT name text,
    OUT from_status text, OUT to_status text, OUT command text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_plan_recovery'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 20;

CREATE FUNCTION ft.auto_recover_failures(OUT recovered_count bigint)
RETURNS SETOF bigint
AS 'MODULE_PATHNAME', 'ft_auto_recover_failures'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;

CREATE FUNCTION ft.validate_execution(
    execution_id uuid,
    OUT object text, OUT name text, OUT problem text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_validate_execution'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;

COMMENT ON FUNCTION ft.recover_from_failure(uuid, varchar) IS
'recover an execution from its newest checkpoint: TRANSIENT retries, PERMANENT rolls back, PARTIAL compensates; returns the checkpoint';
COMMENT ON FUNCTION ft.retry_from_checkpoint(uuid, jsonb) IS
'make failed and lost tasks of the checkpoint''s execution due again; completed ones stay';
COMMENT ON FUNCTION ft.rollback_to_checkpoint(uuid, jsonb) IS
'bring the state and the tasks of an execution back to a checkpoint, undoing by compensation what was completed since; it stops there and can be resumed';
COMMENT ON FUNCTION ft.compensate_from_checkpoint(uuid, jsonb) IS
'compensate the completed tasks of the checkpoint''s execution, in reverse order of completion';
COMMENT ON FUNCTION ft.recover_from_checkpoint(uuid, uuid) IS
'roll an execution (workflow_id) back to one of its checkpoints and make it resumable; returns the checkpoint';
COMMENT ON FUNCTION ft.plan_recovery(uuid, varchar) IS
'what ft.recover_from_failure would do, without doing it';
COMMENT ON FUNCTION ft.auto_recover_failures() IS
'recover the failures that are due, oldest first: all of them for a superuser, else those of the caller''s own executions';
COMMENT ON FUNCTION ft.validate_execution(uuid) IS
'contradictions in what is stored of an execution; no row means it is valid';

