/* The worker that looks at the server at regular intervals.  See sampler.c. */

CREATE FUNCTION ft.sampler_tasks(
    OUT task text,
    OUT every interval,
    OUT runs bigint,
    OUT last_run timestamptz,
    OUT last_duration interval,
    OUT longest_duration interval,
    OUT last_error_at timestamptz,
    OUT last_error_sqlstate text,
    OUT last_error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_sampler_tasks'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 8;

COMMENT ON FUNCTION ft.sampler_tasks() IS
'what the sampler gathers, how often, when it last did, and how long that took';

CREATE FUNCTION ft.sampler_tick(task text) RETURNS void
AS 'MODULE_PATHNAME', 'ft_sampler_tick'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.sampler_tick(text) IS
'run a task of the sampler here and now';

REVOKE ALL ON FUNCTION ft.sampler_tasks(), ft.sampler_tick(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.sampler_tasks() TO pg_monitor;

