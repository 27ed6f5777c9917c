/* Tables with dead tuples.  See dead_tuples.c. */

CREATE FUNCTION ft.dead_tuples(
    min_dead bigint DEFAULT 1000,
    all_databases boolean DEFAULT false,
    OUT schemaname name,
    OUT relname name,
    OUT n_live_tup bigint,
    OUT n_dead_tup bigint,
    OUT dead_tuple_percent double precision,
    OUT total_size bigint,
    OUT last_vacuum timestamptz,
    OUT last_autovacuum timestamptz,
    OUT autovacuum_threshold bigint,
    OUT autovacuum_percent double precision,
    OUT severity text,
    OUT size_note text,
    OUT datname name,
    OUT relid oid,
    OUT relkind "char",
    OUT toast_of oid,
    OUT autovacuum_enabled boolean,
    OUT vacuum_count bigint,
    OUT autovacuum_count bigint,
    OUT datid oid,
    OUT autovacuum_insert_threshold bigint,
    OUT n_ins_since_vacuum bigint,
    OUT horizon_keeps text,
    OUT vacuum_pid integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_dead_tuples'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.dead_tuples(bigint, boolean) IS
'tables, materialized views and TOAST tables of this database, or of all, with at least so many dead tuples, most first';

CREATE VIEW ft.dead_tuples_summary AS
SELECT d.severity,
       format('%I.%I', d.schemaname, d.relname)
           || coalesce(' (TOAST of ' || d.toast_of::regclass || ')', '') AS "table",
       d.n_live_tup AS live,
       d.n_dead_tup AS dead,
       d.dead_tuple_percent AS "dead %",
       coalesce(pg_size_pretty(d.total_size), 'unknown: ' || d.size_note) AS size,
       date_trunc('second', greatest(d.last_vacuum, d.last_autovacuum)) AS vacuumed,
       CASE WHEN d.vacuum_pid IS NOT NULL THEN 'runs: ' || d.vacuum_pid
            WHEN d.horizon_keeps = 'yes' THEN 'kept by the horizon'
            WHEN d.autovacuum_enabled
            THEN coalesce(floor(d.autovacuum_percent)::text || ' %', 'due')
            ELSE 'off'
       END AS autovacuum
  FROM ft.dead_tuples() AS d;

COMMENT ON VIEW ft.dead_tuples_summary IS
'ft.dead_tuples() for reading in psql: pretty sizes, and how far each table is on its way to autovacuum';

REVOKE ALL ON FUNCTION ft.dead_tuples(bigint, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.dead_tuples(bigint, boolean) TO pg_monitor;
GRANT SELECT ON ft.dead_tuples_summary TO pg_monitor;

