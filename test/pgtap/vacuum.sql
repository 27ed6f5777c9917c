-- What users were promised of the diagnostics of vacuum: names, parameters with
-- their defaults, and columns in their order.  Columns may be added at the end.
BEGIN;
SELECT plan(20);

SELECT is(pg_get_function_arguments('ft.dead_tuples(bigint, boolean)'::regprocedure)
              LIKE 'min_dead bigint DEFAULT 1000, all_databases boolean DEFAULT false,%', true,
          'dead_tuples: parameters and defaults');
SELECT is(tap.first_columns('ft.xmin_horizon()'::regprocedure, 8),
          'horizon text, kind text, holds boolean, xmin xid, xid_age bigint, age interval, severity text, '
          'next_xid_age bigint', 'xmin_horizon: columns');
SELECT is(tap.first_columns('ft.freeze_age()'::regprocedure, 4),
          'datname name, severity text, xid_age bigint, multixact_age bigint', 'freeze_age: columns');
SELECT is(pg_get_function_arguments('ft.table_freeze_age(bigint, integer)'::regprocedure)
              LIKE 'min_age bigint DEFAULT 0, max_rows integer DEFAULT 100,%', true,
          'table_freeze_age: parameters and defaults');
SELECT is(tap.first_columns('ft.table_freeze_age(bigint, integer)'::regprocedure, 6),
          'schemaname name, relname name, severity text, xid_age bigint, multixact_age bigint, why text',
          'table_freeze_age: columns');
SELECT has_function('ft', 'table_bloat', ARRAY['regclass']);
SELECT is(tap.first_columns('ft.table_bloat(regclass)'::regprocedure, 7),
          'kind text, schemaname name, relname name, severity text, relation_size bigint, bloat_bytes bigint, '
          'bloat_percent double precision', 'table_bloat: columns');
SELECT is(pg_get_function_arguments('ft.bloat_estimate(bigint)'::regprocedure)
              LIKE 'min_size bigint DEFAULT 1048576,%', true, 'bloat_estimate: parameter and default');
SELECT is(pg_get_function_arguments('ft.xid_rate(interval)'::regprocedure)
              LIKE '"window" interval DEFAULT%', true, 'xid_rate: parameter and default');
SELECT has_view('ft', name, name || ': a view')
  FROM unnest(ARRAY['dead_tuples_summary', 'xmin_horizon_summary', 'freeze_age_summary', 'bloat_summary']) AS name;
SELECT function_privs_are('ft', name, args, 'pg_monitor', ARRAY['EXECUTE'], name || ': for pg_monitor')
  FROM (VALUES ('dead_tuples', ARRAY['bigint', 'boolean']),
               ('xmin_horizon', ARRAY[]::text[]),
               ('freeze_age', ARRAY[]::text[]),
               ('table_freeze_age', ARRAY['bigint', 'integer']),
               ('table_bloat', ARRAY['regclass']),
               ('bloat_estimate', ARRAY['bigint']),
               ('xid_rate', ARRAY['interval'])) AS f(name, args);

SELECT * FROM finish();
ROLLBACK;
