/* What is on the pages of one table.  See table_bloat.c. */

CREATE FUNCTION ft.table_bloat(
    relation regclass,
    OUT kind text,
    OUT schemaname name,
    OUT relname name,
    OUT severity text,
    OUT relation_size bigint,
    OUT bloat_bytes bigint,
    OUT bloat_percent double precision,
    OUT live_tuples bigint,
    OUT live_bytes bigint,
    OUT live_percent double precision,
    OUT dead_tuples bigint,
    OUT dead_bytes bigint,
    OUT dead_percent double precision,
    OUT kept_tuples bigint,
    OUT kept_bytes bigint,
    OUT kept_percent double precision,
    OUT free_bytes bigint,
    OUT free_percent double precision,
    OUT dead_items bigint,
    OUT empty_pages bigint,
    OUT pages bigint,
    OUT pages_read bigint,
    OUT leaf_pages bigint,
    OUT fragmented_percent double precision,
    OUT fillfactor integer,
    OUT note text,
    OUT relid oid,
    OUT complete boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_table_bloat'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 5;

COMMENT ON FUNCTION ft.table_bloat(regclass) IS
'what is on the pages of a table, its TOAST table and their b-tree indexes: live, dead, dead but kept by the horizon, free; reads all of them, in portions, and waits for no lock';

REVOKE ALL ON FUNCTION ft.table_bloat(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.table_bloat(regclass) TO pg_monitor;

