/* Bloat of all tables and b-trees, from statistics.  See bloat_estimate.c. */

CREATE FUNCTION ft.bloat_estimate(
    min_size bigint DEFAULT 1048576,
    OUT kind text,
    OUT schemaname name,
    OUT relname name,
    OUT table_name text,
    OUT severity text,
    OUT relation_size bigint,
    OUT estimated_size bigint,
    OUT bloat_bytes bigint,
    OUT bloat_percent double precision,
    OUT n_tuples bigint,
    OUT fillfactor integer,
    OUT note text,
    OUT relid oid,
    OUT table_relid oid,
    OUT relkind "char",
    OUT relpersistence "char",
    OUT is_shared boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_bloat_estimate'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.bloat_estimate(bigint) IS
'tables, TOAST tables and b-tree indexes of this database of at least a size, with what their rows would take written anew, reckoned from statistics; most to be gained first';

CREATE VIEW ft.bloat_summary AS
SELECT e.severity,
       format('%I.%I', e.schemaname, e.relname)
           || CASE WHEN e.kind = 'table' THEN ''
                   ELSE coalesce(format(' (%s of %s)', e.kind, e.table_name), '') END AS relation,
       pg_size_pretty(e.relation_size) AS size,
       pg_size_pretty(e.bloat_bytes) AS bloat,
       e.bloat_percent AS "bloat %",
       e.note
  FROM ft.bloat_estimate() AS e;

COMMENT ON VIEW ft.bloat_summary IS
'ft.bloat_estimate() for reading in psql; ft.table_bloat() looks at one table exactly';

REVOKE ALL ON FUNCTION ft.bloat_estimate(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.bloat_estimate(bigint) TO pg_monitor;
GRANT SELECT ON ft.bloat_summary TO pg_monitor;

