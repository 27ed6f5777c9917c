-- Indexes that cost more than they give, and statements that read too much.
-- See access_advice.c.

CREATE FUNCTION ft.size_on_disk(relid oid) RETURNS bigint
AS 'MODULE_PATHNAME', 'ft_size_on_disk'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.size_on_disk(oid) IS
'bytes that a table with its indexes, or an index, takes on disk, told without a lock on it; NULL if that is not possible now';

-- One row for each index, with what there is to compare.  Nothing here locks
-- a table: that rules out all functions that deparse.
CREATE FUNCTION ft.index_facts(
    OUT indexrelid oid,
    OUT relid oid,
    OUT schemaname name,
    OUT relname name,
    OUT indexrelname name,
    OUT relkind "char",
    OUT is_valid boolean,
    OUT is_unique boolean,
    OUT is_needed boolean,
    OUT is_partition boolean,
    OUT method oid,
    OUT keys text[],
    OUT included int2[],
    OUT expressions text,
    OUT predicate text,
    OUT idx_scan bigint)
RETURNS SETOF record
LANGUAGE SQL VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT i.indexrelid, i.indrelid, n.nspname, t.relname, c.relname, c.relkind,
           i.indisvalid AND i.indisready AND i.indislive,
           i.indisunique,
           i.indisprimary OR i.indisexclusion OR i.indisreplident
               OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
               OR EXISTS (SELECT FROM pg_depend AS e
                           WHERE e.classid = 'pg_class'::regclass AND e.objid = i.indrelid AND e.deptype = 'e'),
           c.relispartition,
           c.relam,
           ARRAY(SELECT concat_ws(' ', (i.indkey::int2[])[k], (i.indclass::oid[])[k],
                                  (i.indcollation::oid[])[k], (i.indoption::int2[])[k])
                   FROM generate_series(0, i.indnkeyatts - 1) AS k ORDER BY k),
           ARRAY(SELECT (i.indkey::int2[])[k] FROM generate_series(i.indnkeyatts::int, i.indnatts - 1) AS k ORDER BY 1),
           regexp_replace(i.indexprs::text, ':location -?[0-9]+', '', 'g'),
           regexp_replace(i.indpred::text, ':location -?[0-9]+', '', 'g'),
           CASE WHEN c.relkind = 'I'
                THEN (WITH RECURSIVE tree AS (
                          SELECT i.indexrelid AS oid
                           UNION ALL
                          SELECT h.inhrelid FROM pg_inherits AS h JOIN tree ON h.inhparent = tree.oid)
                      SELECT sum(pg_stat_get_numscans(tree.oid))::bigint FROM tree)
                ELSE pg_stat_get_numscans(i.indexrelid)
           END
      FROM pg_index AS i
      JOIN pg_class AS c ON c.oid = i.indexrelid
      JOIN pg_class AS t ON t.oid = i.indrelid
      JOIN pg_namespace AS n ON n.oid = t.relnamespace
     WHERE t.relpersistence <> 't'
       AND n.nspname NOT IN ('pg_catalog', 'information_schema');
END;

COMMENT ON FUNCTION ft.index_facts() IS
'indexes of this database, with what ft.index_advice() compares';

-- Each index once, for the most urgent reason.
CREATE FUNCTION ft.index_advice(
    OUT kind text,
    OUT schemaname name,
    OUT relname name,
    OUT indexrelname name,
    OUT index_size bigint,
    OUT idx_scan bigint,
    OUT stats_since timestamptz,
    OUT covered_by name,
    OUT reason text,
    OUT caveat text,
    OUT sql text,
    OUT indexrelid oid,
    OUT relid oid)
RETURNS SETOF record
LANGUAGE SQL VOLATILE PARALLEL RESTRICTED ROWS 50
BEGIN ATOMIC
    WITH fact AS MATERIALIZED (
        SELECT * FROM ft.index_facts()
    ), building AS MATERIALIZED (
        SELECT p.param7 AS indexrelid FROM pg_stat_get_progress_info('CREATE INDEX') AS p
    ), superfluous AS MATERIALIZED (
        -- Of two alike the one goes that is less: which a constraint does not
        -- need, which is not unique, which includes less, which is newer.
        SELECT 2 AS urgency, 'duplicate' AS kind, f.indexrelid, o.indexrelid AS other, f.idx_scan
          FROM fact AS f
          JOIN fact AS o
               ON (o.relid, o.method, o.keys) = (f.relid, f.method, f.keys)
              AND o.indexrelid <> f.indexrelid
              AND o.expressions IS NOT DISTINCT FROM f.expressions
              AND o.predicate IS NOT DISTINCT FROM f.predicate
              AND o.included @> f.included
              AND (o.is_unique OR NOT f.is_unique)
         WHERE f.is_valid AND o.is_valid AND NOT f.is_needed AND NOT f.is_partition
           AND (o.is_needed, o.is_unique, cardinality(o.included), -o.indexrelid::bigint)
               > (f.is_needed, f.is_unique, cardinality(f.included), -f.indexrelid::bigint)
        UNION ALL
        SELECT 3, 'redundant', f.indexrelid, o.indexrelid, f.idx_scan
          FROM fact AS f
          JOIN fact AS o
               ON o.relid = f.relid AND o.method = f.method
              AND cardinality(o.keys) > cardinality(f.keys)
              AND o.keys[1:cardinality(f.keys)] = f.keys
              AND o.predicate IS NOT DISTINCT FROM f.predicate
         WHERE f.is_valid AND o.is_valid AND NOT f.is_needed AND NOT f.is_partition AND NOT f.is_unique
           AND f.method = 403 AND f.expressions IS NULL AND f.included = '{}'
    ), found AS (
        SELECT 1 AS urgency, 'invalid' AS kind, f.indexrelid, NULL::oid AS other
          FROM fact AS f
         WHERE NOT f.is_valid AND f.indexrelid NOT IN (SELECT b.indexrelid FROM building AS b WHERE b.indexrelid IS NOT NULL)
        UNION ALL
        SELECT s.urgency, s.kind, s.indexrelid, s.other FROM superfluous AS s
        UNION ALL
        -- Not one that is to do the work of another that is used.
        SELECT 4, 'unused', f.indexrelid, NULL
          FROM fact AS f
         WHERE f.is_valid AND NOT f.is_needed AND NOT f.is_partition AND NOT f.is_unique
           AND f.idx_scan = 0 AND f.schemaname <> 'pg_toast'
           AND NOT EXISTS (SELECT FROM superfluous AS s
                            WHERE s.other = f.indexrelid AND s.idx_scan > 0)
    ), chosen AS (
        SELECT DISTINCT ON (c.indexrelid) c.*
          FROM found AS c ORDER BY c.indexrelid, c.urgency, c.other
    )
    SELECT c.kind, f.schemaname, f.relname, f.indexrelname, s.size, f.idx_scan,
           pg_stat_get_db_stat_reset_time((SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())),
           o.indexrelname,
           CASE c.kind
               WHEN 'invalid' THEN 'queries do not use it, yet every write maintains it: its CREATE INDEX or REINDEX CONCURRENTLY failed'
               WHEN 'duplicate' THEN format('%I has the same columns and does all that this one does', o.indexrelname)
               WHEN 'redundant' THEN format('%I begins with the same columns', o.indexrelname)
               ELSE 'no scan has used it since statistics began, yet every write maintains it'
           END,
           nullif(concat_ws('; ',
               CASE WHEN c.kind = 'invalid' AND f.relkind = 'I' THEN 'not all partitions have an index attached to it' END,
               CASE WHEN c.kind = 'redundant' THEN 'a wider index takes more pages to read' END,
               CASE WHEN c.kind <> 'invalid' AND EXISTS (
                         SELECT FROM pg_constraint AS k
                          WHERE k.contype = 'f' AND k.conrelid = f.relid AND c.kind = 'unused'
                            AND k.conkey[1] = split_part(f.keys[1], ' ', 1)::int2)
                    THEN 'it serves a foreign key: without it, deleting what is referred to reads the whole table' END,
               CASE WHEN c.kind = 'unused' AND pg_is_in_recovery()
                    THEN 'this standby counts its own scans only, not those of the primary' END,
               CASE WHEN c.kind = 'unused' AND NOT pg_is_in_recovery()
                         AND EXISTS (SELECT FROM pg_stat_get_wal_senders())
                    THEN 'standbys count their own scans: ask them as well' END), ''),
           '/* database ' || replace(quote_ident(current_database()), '*/', '* /') || ' */ ' ||
           CASE WHEN c.kind = 'invalid' AND f.relkind = 'I' THEN NULL
                WHEN c.kind = 'invalid' AND f.indexrelname !~ '_cc(new|old)[0-9]*$'
                THEN format('REINDEX INDEX CONCURRENTLY %I.%I;', f.schemaname, f.indexrelname)
                WHEN f.relkind = 'I' THEN format('DROP INDEX %I.%I;', f.schemaname, f.indexrelname)
                ELSE format('DROP INDEX CONCURRENTLY %I.%I;', f.schemaname, f.indexrelname)
           END,
           f.indexrelid, f.relid
      FROM chosen AS c
      JOIN fact AS f ON f.indexrelid = c.indexrelid
      LEFT JOIN fact AS o ON o.indexrelid = c.other
     CROSS JOIN LATERAL (SELECT CASE WHEN f.relkind = 'I' THEN
                                    (WITH RECURSIVE tree AS (
                                         SELECT f.indexrelid AS oid
                                          UNION ALL
                                         SELECT h.inhrelid FROM pg_inherits AS h JOIN tree ON h.inhparent = tree.oid)
                                     SELECT sum(ft.size_on_disk(tree.oid))::bigint FROM tree)
                                ELSE ft.size_on_disk(f.indexrelid) END AS size) AS s
     ORDER BY c.urgency, s.size DESC NULLS LAST, f.schemaname, f.indexrelname;
END;

COMMENT ON FUNCTION ft.index_advice() IS
'indexes of this database that are invalid, duplicate, redundant or unused, with the SQL that would mend it';

CREATE FUNCTION ft.scan_advice(
    min_size bigint DEFAULT 10485760,
    OUT kind text,
    OUT schemaname name,
    OUT relname name,
    OUT table_size bigint,
    OUT seq_scan bigint,
    OUT rows_per_scan bigint,
    OUT idx_scan bigint,
    OUT stats_since timestamptz,
    OUT query text,
    OUT query_id bigint,
    OUT calls bigint,
    OUT rows_per_call bigint,
    OUT blocks_per_call bigint,
    OUT mean_duration interval,
    OUT reason text,
    OUT relid oid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_scan_advice'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 50;

COMMENT ON FUNCTION ft.scan_advice(bigint) IS
'tables of at least so many bytes that are read from end to end, and statements that return very many rows, as far as pg_stat_statements is there';

CREATE VIEW ft.index_advice_summary AS
SELECT a.kind,
       left(format('%I.%I', a.schemaname, a.indexrelname), 40) AS index,
       coalesce(pg_size_pretty(a.index_size), 'unknown') AS size,
       a.idx_scan AS scans,
       date_trunc('second', a.stats_since) AS since,
       left(a.covered_by, 24) AS covered_by
  FROM ft.index_advice() AS a;

COMMENT ON VIEW ft.index_advice_summary IS
'ft.index_advice() for reading in psql';

CREATE VIEW ft.scan_advice_summary AS
SELECT a.kind,
       CASE WHEN a.relid IS NOT NULL
            THEN left(format('%I.%I', a.schemaname, a.relname), 30) END AS "table",
       pg_size_pretty(a.table_size) AS size,
       a.seq_scan AS scans,
       coalesce(a.rows_per_call, a.rows_per_scan) AS rows,
       a.calls,
       left(regexp_replace(a.query, '[[:space:]]+', ' ', 'g'), 44) AS query
  FROM ft.scan_advice() AS a;

COMMENT ON VIEW ft.scan_advice_summary IS
'ft.scan_advice() for reading in psql: rows of a call, or of a scan where no statement is known';

REVOKE ALL ON FUNCTION ft.size_on_disk(oid) FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.index_facts() FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.index_advice() FROM PUBLIC;
REVOKE ALL ON FUNCTION ft.scan_advice(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.size_on_disk(oid) TO pg_monitor;
GRANT EXECUTE ON FUNCTION ft.index_facts() TO pg_monitor;
GRANT EXECUTE ON FUNCTION ft.index_advice() TO pg_monitor;
GRANT EXECUTE ON FUNCTION ft.scan_advice(bigint) TO pg_monitor;
GRANT SELECT ON ft.index_advice_summary, ft.scan_advice_summary TO pg_monitor;
