-- Waiting for the end of an execution: wait.c

CREATE FUNCTION ft.wait(execution_id uuid, timeout interval DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'ft_wait'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE PROCEDURE ft.await(
    execution_id uuid, timeout interval DEFAULT NULL, INOUT status text DEFAULT NULL)
AS 'MODULE_PATHNAME', 'ft_await'
LANGUAGE C;

COMMENT ON FUNCTION ft.wait(uuid, interval) IS
'wait until an execution has ended, or does not go on by itself, and return its status; when the timeout is over, the status that it has then';

COMMENT ON PROCEDURE ft.await(uuid, interval, text) IS
'the same without a transaction, so that the wait holds no snapshot: called by itself';
