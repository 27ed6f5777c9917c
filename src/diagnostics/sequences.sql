/*
 * Sequences that come to their end.  The end is that of the sequence, or that
 * of the column it fills, whichever comes first.  See sequences.c.
 */

CREATE FUNCTION ft.sequence_values(
    OUT relid oid,
    OUT last_value bigint,
    OUT start_value bigint,
    OUT min_value bigint,
    OUT max_value bigint,
    OUT increment_by bigint,
    OUT cycle boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_sequence_values'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 1000;

COMMENT ON FUNCTION ft.sequence_values() IS
'the last value and the bounds of each sequence of this database; no value if none was given out or if that cannot be told without waiting';

CREATE FUNCTION ft.sequences(min_percent double precision DEFAULT 0)
RETURNS TABLE (
    schemaname name,
    sequencename name,
    used_percent double precision,
    last_value bigint,
    end_value bigint,
    values_left numeric,
    severity text,
    cycle boolean,
    column_name text,
    column_type text,
    increment_by bigint,
    relid oid)
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED ROWS 100
BEGIN ATOMIC
    WITH owned AS (
        -- by serial, by identity, or by ALTER SEQUENCE ... OWNED BY
        SELECT d.objid AS relid, d.refobjid, a.attname, a.atttypid
          FROM pg_depend AS d
          JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
         WHERE d.classid = 'pg_catalog.pg_class'::regclass
           AND d.refclassid = 'pg_catalog.pg_class'::regclass
           AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    ), bound AS (
        SELECT v.*, o.refobjid, o.attname, o.atttypid,
               CASE o.atttypid
                   WHEN 'pg_catalog.int2'::regtype THEN 32767
                   WHEN 'pg_catalog.int4'::regtype THEN 2147483647
                   ELSE 9223372036854775807
               END::numeric AS type_end
          FROM ft.sequence_values() AS v
          LEFT JOIN owned AS o ON o.relid = v.relid
         WHERE v.last_value IS NOT NULL
    ), measured AS (
        SELECT b.*, e.end_value,
               100 * abs(b.last_value - e.first_value)
                   / nullif(abs(e.end_value - e.first_value), 0) AS percent,
               floor(abs(e.end_value - b.last_value) / abs(b.increment_by::numeric)) AS values_left
          FROM bound AS b,
               LATERAL (SELECT CASE WHEN b.increment_by > 0 THEN b.min_value ELSE b.max_value END::numeric AS first_value,
                               CASE WHEN b.increment_by > 0 THEN least(b.max_value, b.type_end)
                                    ELSE greatest(b.min_value, -b.type_end - 1)
                               END::numeric AS end_value) AS e
    )
    SELECT n.nspname, c.relname, round(coalesce(m.percent, 100), 2)::double precision,
           m.last_value, m.end_value::bigint, m.values_left,
           CASE WHEN m.cycle AND m.end_value IN (m.max_value, m.min_value) THEN 'OK'
                ELSE ft.severity('sequence', coalesce(m.percent, 100)::double precision)
           END,
           m.cycle,
           m.refobjid::regclass::text || '.' || quote_ident(m.attname),
           m.atttypid::regtype::text,
           m.increment_by, m.relid
      FROM measured AS m
      JOIN pg_class AS c ON c.oid = m.relid
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE coalesce(m.percent, 100) >= min_percent
     ORDER BY coalesce(m.percent, 100) DESC, n.nspname, c.relname;
END;

COMMENT ON FUNCTION ft.sequences(double precision) IS
'sequences of this database by how much of their values is used, the fullest first';

REVOKE ALL ON FUNCTION ft.sequence_values(), ft.sequences(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.sequence_values(), ft.sequences(double precision) TO pg_monitor;

