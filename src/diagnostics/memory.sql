-- Memory of the server's processes, and how it grows.

CREATE FUNCTION ft.backend_memory(
    OUT pid int,
    OUT usename name,
    OUT application_name text,
    OUT state text,
    OUT resident_bytes bigint,
    OUT private_bytes bigint,
    OUT first_private_bytes bigint,
    OUT growth_bytes bigint,
    OUT growth_per_minute double precision,
    OUT sampled_at timestamptz,
    OUT backend_start timestamptz,
    OUT query text,
    OUT first_resident_bytes bigint,
    OUT max_private_bytes bigint,
    OUT swapped_bytes bigint,
    OUT first_sampled_at timestamptz,
    OUT sample_age interval,
    OUT datname name,
    OUT backend_type text,
    OUT xact_start timestamptz,
    OUT query_start timestamptz)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_backend_memory';

CREATE FUNCTION ft.proportional_memory(
    pid int,
    OUT pid int,
    OUT proportional_bytes bigint,
    OUT resident_bytes bigint,
    OUT private_bytes bigint,
    OUT shared_bytes bigint,
    OUT proportional_anonymous_bytes bigint,
    OUT proportional_shared_memory_bytes bigint,
    OUT proportional_swapped_bytes bigint)
RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'ft_proportional_memory';

CREATE FUNCTION ft.memory_contexts(
    OUT level int,
    OUT path text[],
    OUT name text,
    OUT ident text,
    OUT total_bytes bigint,
    OUT used_bytes bigint,
    OUT free_bytes bigint,
    OUT tree_bytes bigint,
    OUT blocks bigint,
    OUT children int)
RETURNS SETOF record
LANGUAGE C VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_memory_contexts';

CREATE FUNCTION ft.log_memory_contexts(pid int) RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'ft_log_memory_contexts';

CREATE VIEW ft.backend_memory_summary AS
SELECT m.pid,
       left(m.usename::text, 12) AS usename,
       left(m.application_name, 16) AS application_name,
       COALESCE(m.state, left(m.backend_type, 20)) AS state,
       pg_catalog.pg_size_pretty(m.private_bytes) AS private,
       pg_catalog.pg_size_pretty(m.growth_bytes) AS growth,
       pg_catalog.pg_size_pretty(m.growth_per_minute::bigint) AS "per minute",
       pg_catalog.pg_size_pretty(m.resident_bytes) AS resident,
       left(regexp_replace(m.query, '[[:space:]]+', ' ', 'g'), 30) AS query
  FROM ft.backend_memory() AS m
 ORDER BY m.private_bytes DESC NULLS LAST, m.pid;

COMMENT ON FUNCTION ft.backend_memory() IS
'memory of each process of the server as the kernel has it, and how it has grown since the sampler saw it first';
COMMENT ON FUNCTION ft.proportional_memory(int) IS
'memory of one process with its share of what it shares with others; the kernel walks all its pages for it';
COMMENT ON FUNCTION ft.memory_contexts() IS
'memory contexts of this session, each with what it has itself and with all below it';
COMMENT ON FUNCTION ft.log_memory_contexts(int) IS
'have a process write its memory contexts to the server log, as pg_log_backend_memory_contexts() does and for those who may execute that';
COMMENT ON VIEW ft.backend_memory_summary IS
'ft.backend_memory() for reading in psql, largest first';

REVOKE ALL ON FUNCTION ft.backend_memory(), ft.proportional_memory(int),
    ft.memory_contexts(), ft.log_memory_contexts(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.backend_memory(), ft.proportional_memory(int),
    ft.memory_contexts(), ft.log_memory_contexts(int) TO pg_monitor;
GRANT SELECT ON ft.backend_memory_summary TO pg_monitor;

