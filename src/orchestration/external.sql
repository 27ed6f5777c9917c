-- Steps that workers outside of the server run: external.c

CREATE FUNCTION ft.claim_task(
    queue text, worker text, lease interval DEFAULT '1 min',
    OUT task_id uuid, OUT execution_id uuid, OUT task_name text,
    OUT attempt integer, OUT command text, OUT input jsonb, OUT state jsonb,
    OUT results jsonb, OUT lease_until timestamptz, OUT timeout interval)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_claim_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;

CREATE FUNCTION ft.heartbeat(
    task_id uuid, attempt integer, lease interval DEFAULT '1 min')
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'ft_heartbeat'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.release_task(task_id uuid, attempt integer)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_release_task'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.claim_task(text, text, interval) IS
'take one due external task of a queue, of an owner that the caller is a member of, until the lease ends; no row if there is none';
COMMENT ON FUNCTION ft.heartbeat(uuid, integer, interval) IS
'extend the lease of a claimed task from now on; returns its new end, and is refused where the attempt is over';
COMMENT ON FUNCTION ft.release_task(uuid, integer) IS
'give a claimed task back unharmed: it is due again at once';
