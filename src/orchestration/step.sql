-- Steps run by hand: step_by_hand.c

CREATE FUNCTION ft.run_steps(execution_id uuid DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_run_steps'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.run_steps(uuid) IS
'run the due steps of the caller''s own executions in this session and transaction, where no background worker does it; returns how many completed or were skipped';

