/* What the background workers are doing, and a wake-up call for them. */

CREATE FUNCTION ft.worker_status(
    OUT worker text,
    OUT pid int,
    OUT datname name,
    OUT state text,
    OUT owner name,
    OUT started_at timestamptz,
    OUT last_tick timestamptz,
    OUT next_due timestamptz,
    OUT last_error text,
    OUT last_error_sqlstate text,
    OUT last_error_at timestamptz,
    OUT paused_reason text,
    OUT note text,
    OUT recovery_pass_started_at timestamptz,
    OUT recovery_pass_duration interval,
    OUT recovery_pass_recovered bigint,
    OUT library_version text,
    OUT sql_version text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_worker_status'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.worker_status() IS
'what the background workers of the extension are doing, in all databases';

REVOKE ALL ON FUNCTION ft.worker_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.worker_status() TO pg_monitor;

CREATE FUNCTION ft.wake_worker() RETURNS void
AS 'MODULE_PATHNAME', 'ft_wake_worker'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.wake_worker() IS
'have the background worker of this database look for work when the transaction commits';

REVOKE ALL ON FUNCTION ft.wake_worker() FROM PUBLIC;

