-- What there is to call in schema ft, read from the catalog, so that what is
-- added later is found: one row for each function and view and way to call it.
--
--   kind     diagnostic: pg_monitor may, PUBLIC may not; public; superuser
--   object   name, with the types of its parameters
--   variant  default: what has a default is left out; typical; null, small,
--            large, empty, hostile: every argument is of that sort
--   call     for FROM
--
-- Of arguments that come out the same the first variant is kept.
WITH argument_sort (variant, rank) AS (
    VALUES ('default', 1), ('typical', 2), ('null', 3), ('small', 4), ('large', 5), ('empty', 6), ('hostile', 7)
), argument (type, variant, name, value) AS (
    -- name: a parameter of this name has this value rather than that of its type
    VALUES ('integer', 'typical', NULL, '10'),
           ('integer', 'typical', 'pid', 'pg_catalog.pg_backend_pid()'),
           ('integer', 'small', NULL, '-2147483648'),
           ('integer', 'large', NULL, '2147483647'),
           ('integer', 'empty', NULL, '0'),
           ('bigint', 'typical', NULL, '1000'),
           ('bigint', 'small', NULL, '-9223372036854775808'),
           ('bigint', 'large', NULL, '9223372036854775807'),
           ('bigint', 'empty', NULL, '0'),
           ('smallint', 'typical', NULL, '10'),
           ('smallint', 'small', NULL, '-32768'),
           ('smallint', 'large', NULL, '32767'),
           ('smallint', 'empty', NULL, '0'),
           ('oid', 'typical', NULL, '1259'),
           ('oid', 'small', NULL, '1'),
           ('oid', 'large', NULL, '4294967295'),
           ('oid', 'empty', NULL, '0'),
           ('regclass', 'typical', NULL, 'pg_catalog.pg_class'),
           ('regclass', 'small', NULL, '1'),
           ('regclass', 'large', NULL, '4294967295'),
           ('regclass', 'empty', NULL, '0'),
           ('regclass', 'hostile', NULL, '"; DROP TABLE soak.victim; --"."quo""te''s $$ \ ; DROP TABLE soak.victim; --"'),
           ('regrole', 'typical', NULL, 'pg_monitor'),
           ('regrole', 'large', NULL, '4294967295'),
           ('double precision', 'typical', NULL, '10'),
           ('double precision', 'small', NULL, '-Infinity'),
           ('double precision', 'large', NULL, 'Infinity'),
           ('double precision', 'empty', NULL, 'NaN'),
           ('numeric', 'typical', NULL, '10'),
           ('numeric', 'small', NULL, '-Infinity'),
           ('numeric', 'large', NULL, 'Infinity'),
           ('numeric', 'empty', NULL, 'NaN'),
           ('boolean', 'typical', NULL, 'true'),
           ('boolean', 'small', NULL, 'false'),
           ('interval', 'typical', NULL, '1 min'),
           ('interval', 'small', NULL, '-178000000 years'),
           ('interval', 'large', NULL, '178000000 years'),
           ('interval', 'empty', NULL, '0'),
           ('timestamp with time zone', 'typical', NULL, 'now'),
           ('timestamp with time zone', 'typical', 'from', 'yesterday'),
           ('timestamp with time zone', 'small', NULL, '-infinity'),
           ('timestamp with time zone', 'large', NULL, 'infinity'),
           ('timestamp with time zone', 'empty', NULL, 'epoch'),
           ('pg_lsn', 'typical', NULL, '0/1000028'),
           ('pg_lsn', 'small', NULL, '0/0'),
           ('pg_lsn', 'large', NULL, 'FFFFFFFF/FFFFFFFF'),
           ('uuid', 'typical', NULL, '01890a5d-ac96-774b-bcce-b302099a8057'),
           ('uuid', 'empty', NULL, '00000000-0000-0000-0000-000000000000'),
           ('jsonb', 'typical', NULL, '{"state": "RUNNING"}'),
           ('jsonb', 'empty', NULL, '{}'),
           ('jsonb', 'hostile', NULL, '[null, {"": "''; DROP TABLE soak.victim; --"}]'),
           ('text', 'typical', NULL, 'blocked'),
           ('text', 'typical', 'sqlstate', '40001'),
           ('text', 'typical', 'check_name', 'connections'),
           ('text', 'typical', 'query', 'SELECT 1'),
           ('text', 'empty', NULL, ''),
           ('text', 'small', NULL, '%n%s\000 -- /* $1 */'),
           ('text', 'hostile', NULL, '''; DROP TABLE soak.victim; -- "; $$ \''$(touch /dev/null)'),
           ('name', 'typical', NULL, 'pg_class'),
           ('name', 'empty', NULL, ''),
           ('name', 'typical', 'key_column', 'oid'),
           ('name', 'hostile', NULL, '''; DROP TABLE soak.victim; --'),
           ('character varying', 'typical', NULL, 'TRANSIENT'),
           ('character varying', 'empty', NULL, ''),
           ('text[]', 'typical', NULL, '{one,two}'),
           ('text[]', 'empty', NULL, '{}'),
           ('text[]', 'small', NULL, '{NULL,NULL}'),
           ('text[]', 'hostile', NULL, '[-2:-1][0:0]={{"''; DROP TABLE soak.victim; --"},{NULL}}'),
           ('bigint[]', 'typical', NULL, '{3,1,2,1}'),
           ('bigint[]', 'empty', NULL, '{}'),
           ('bigint[]', 'small', NULL, '{NULL}'),
           ('bigint[]', 'large', NULL, '[-2:-1][0:0]={{9223372036854775807},{-9223372036854775808}}'),
           ('bigint[]', 'hostile', NULL, '{4,2,4}'),
           ('integer[]', 'typical', NULL, '{3,1,2,1}'),
           ('integer[]', 'empty', NULL, '{}'),
           ('integer[]', 'small', NULL, '{NULL}'),
           ('regclass[]', 'typical', NULL, '{pg_catalog.pg_class,pg_catalog.pg_proc}'),
           ('regclass[]', 'empty', NULL, '{}'),
           ('regclass[]', 'small', NULL, '{NULL,0}'),
           ('regclass[]', 'large', NULL, '{4294967295}')
), function AS (
    SELECT p.oid, p.oid::regprocedure::text AS object, p.pronargs, p.pronargdefaults,
           p.proargtypes, p.proargnames, p.provariadic <> 0 AS is_variadic,
           CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'public'
                WHEN has_function_privilege('pg_monitor', p.oid, 'EXECUTE') THEN 'diagnostic'
                ELSE 'superuser'
           END AS kind
      FROM pg_proc AS p
     WHERE p.pronamespace = 'ft'::regnamespace AND p.prokind = 'f'
       AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
), called AS (
    SELECT f.kind, f.object, v.variant, v.rank,
           format('%s(%s)', f.oid::regproc, (
               SELECT string_agg(
                          format('%s%I => %s::%s',
                                 CASE WHEN f.is_variadic AND i = f.pronargs THEN 'VARIADIC ' END,
                                 f.proargnames[i],
                                 coalesce(CASE WHEN a.value LIKE '%()' THEN a.value
                                               -- what is not there cannot be named
                                               WHEN t.name = 'regclass' AND v.variant = 'hostile' THEN format('pg_catalog.to_regclass(%L)', a.value)
                                               ELSE quote_literal(a.value)
                                          END, 'NULL'),
                                 t.name),
                          ', ' ORDER BY i)
                 FROM generate_series(1, f.pronargs - CASE WHEN v.variant = 'default' THEN f.pronargdefaults ELSE 0 END) AS i,
                      LATERAL (SELECT CASE format_type(f.proargtypes[i - 1], NULL)
                                      WHEN 'anyarray' THEN 'bigint[]' WHEN 'anyelement' THEN 'bigint'
                                      ELSE format_type(f.proargtypes[i - 1], NULL)
                                  END AS name) AS t
                 LEFT JOIN LATERAL (
                      SELECT a.value FROM argument AS a
                       WHERE a.type = t.name
                         AND a.variant = CASE WHEN v.variant = 'default' THEN 'typical' ELSE v.variant END
                         AND coalesce(a.name = f.proargnames[i], true)
                       ORDER BY a.name NULLS LAST LIMIT 1) AS a ON true)) AS call
      FROM function AS f, argument_sort AS v
    UNION ALL
    SELECT CASE WHEN has_table_privilege('pg_monitor', c.oid, 'SELECT') THEN 'diagnostic' ELSE 'superuser' END,
           c.oid::regclass::text, 'default', 1, c.oid::regclass::text
      FROM pg_class AS c
     WHERE c.relnamespace = 'ft'::regnamespace AND c.relkind IN ('r', 'v', 'm')
)
SELECT DISTINCT ON (kind, object, call) kind, object, variant, call
  FROM called
 ORDER BY kind, object, call, rank;
