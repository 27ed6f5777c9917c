-- Compensations run by hand: compensation_by_hand.c

CREATE FUNCTION ft.run_compensations(execution_id uuid DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_run_compensations'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.run_compensations(uuid) IS
'run the due compensations of the caller''s own executions in this session, where no background worker does it; returns how many ran';

