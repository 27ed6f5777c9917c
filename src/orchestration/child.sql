-- Executions that a task of another one has started: child.c

CREATE FUNCTION ft.compensate_child()
RETURNS void
AS 'MODULE_PATHNAME', 'ft_compensate_child'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.compensate_child() IS
'the compensation of a task that has started an orchestration: compensates what it has started, all of it in this transaction';

