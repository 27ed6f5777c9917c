/*
 * Tables whose statistics, by which queries are planned, are out of date.
 * See stale_statistics.c.
 */

CREATE FUNCTION ft.changed_tables(
    min_changes bigint,
    OUT relid oid,
    OUT schemaname name,
    OUT relname name,
    OUT n_live_tup bigint,
    OUT n_mod_since_analyze bigint,
    OUT last_analyze timestamptz,
    OUT last_autoanalyze timestamptz,
    OUT reltuples real)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_changed_tables'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.changed_tables(bigint) IS
'tables of this database of which at least so many rows were changed since they were analyzed';

CREATE FUNCTION ft.stale_statistics(min_changes bigint DEFAULT 10000)
RETURNS TABLE (
    schemaname name,
    relname name,
    n_live_tup bigint,
    n_mod_since_analyze bigint,
    changed_percent double precision,
    last_analyze timestamptz,
    never_analyzed boolean,
    severity text,
    sql text,
    relid oid)
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 100
BEGIN ATOMIC
    SELECT c.schemaname, c.relname, c.n_live_tup, c.n_mod_since_analyze, p.percent,
           p.analyzed, p.analyzed IS NULL,
           ft.severity('stale_statistics', p.percent),
           format('ANALYZE %I.%I', c.schemaname, c.relname),
           c.relid
      FROM ft.changed_tables(min_changes) AS c,
           LATERAL (SELECT greatest(c.last_analyze, c.last_autoanalyze) AS analyzed,
                           CASE
                               WHEN c.n_mod_since_analyze = 0 THEN 0
                               ELSE 100.0 * c.n_mod_since_analyze / greatest(c.n_live_tup, 1)
                           END::double precision AS percent) AS p
     ORDER BY p.percent DESC, c.n_mod_since_analyze DESC, c.schemaname, c.relname;
END;

COMMENT ON FUNCTION ft.stale_statistics(bigint) IS
'tables of this database that changed much since they were analyzed, or never were, with the SQL that mends it';

REVOKE ALL ON FUNCTION ft.changed_tables(bigint), ft.stale_statistics(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.changed_tables(bigint), ft.stale_statistics(bigint) TO pg_monitor;

