-- Pausing, resuming and cancelling executions: control.c

CREATE FUNCTION ft.pause(execution_id uuid)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ft_pause'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.resume(execution_id uuid)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ft_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.cancel(execution_id uuid, compensate boolean DEFAULT true)
RETURNS text
AS 'MODULE_PATHNAME', 'ft_cancel'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.pause(uuid) IS
'start nothing further of an execution, neither steps nor compensations, until it is resumed; what runs goes on to its end; returns false if it was paused already';
COMMENT ON FUNCTION ft.resume(uuid) IS
'let an execution that is paused, or was rolled back, go on; returns false if it was neither';
COMMENT ON FUNCTION ft.cancel(uuid, boolean) IS
'end an execution: what runs is cancelled, nothing further is started, and what has completed is compensated, or stays as it is; returns its status then';

