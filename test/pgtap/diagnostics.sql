-- What users were promised of the diagnostics: names, parameters with their
-- defaults, and columns in their order.  Columns may be added at the end only.
BEGIN;
SELECT plan(30);

SELECT has_schema('ft');
SELECT has_extension('fault_tolerance');

-- D4
SELECT has_function('ft', 'dead_tuples', ARRAY['bigint', 'boolean']);
SELECT is(pg_get_function_arguments('ft.dead_tuples(bigint, boolean)'::regprocedure)
              LIKE 'min_dead bigint DEFAULT 1000,%', true, 'dead_tuples: parameter and default');
SELECT is(tap.first_columns('ft.dead_tuples(bigint, boolean)'::regprocedure, 8),
          'schemaname name, relname name, n_live_tup bigint, n_dead_tup bigint, '
          'dead_tuple_percent double precision, total_size bigint, '
          'last_vacuum timestamp with time zone, last_autovacuum timestamp with time zone',
          'dead_tuples: columns');
SELECT has_view('ft', 'dead_tuples_summary', 'dead_tuples_summary');
SELECT is_empty('SELECT * FROM ft.dead_tuples(1000) WHERE n_dead_tup < 1000',
                'dead_tuples: nothing below the threshold');
SELECT throws_ok('SELECT * FROM ft.dead_tuples(-1)', '22023', NULL, 'dead_tuples: refuses less than nothing');

-- D6
SELECT has_function('ft', 'long_transactions', ARRAY['interval']);
SELECT is(pg_get_function_arguments('ft.long_transactions(interval)'::regprocedure),
          'min_duration interval DEFAULT ''00:01:00''::interval', 'long_transactions: parameter and default');
SELECT is(tap.first_columns('ft.long_transactions(interval)'::regprocedure, 7),
          'pid integer, usename name, application_name text, state text, '
          'transaction_duration interval, query_duration interval, query text',
          'long_transactions: columns');
SELECT is((SELECT count(*) FROM ft.long_transactions('0 s') WHERE pid = pg_backend_pid()), 1::bigint,
          'long_transactions: the transaction of this test');

-- D9
SELECT has_function('ft', 'replication_lag', ARRAY[]::name[]);
SELECT is(tap.first_columns('ft.replication_lag()'::regprocedure, 13),
          'kind text, name text, state text, sync_state text, '
          'sent_lag_bytes bigint, write_lag_bytes bigint, flush_lag_bytes bigint, replay_lag_bytes bigint, '
          'sent_lag interval, write_lag interval, flush_lag interval, replay_lag interval, '
          'retained_bytes bigint',
          'replication_lag: columns');
SELECT is_empty('SELECT * FROM ft.replication_lag()', 'replication_lag: nobody is fed');

-- N5
SELECT has_view('ft', 'fault_tolerance_monitoring', 'fault_tolerance_monitoring');
SELECT is(tap.first_columns('ft.fault_tolerance_monitoring'::regclass, 5),
          'node_type text, status text, last_receive_lsn pg_lsn, last_replay_lsn pg_lsn, '
          'replication_lag interval',
          'fault_tolerance_monitoring: columns');
SELECT results_eq('SELECT node_type, status FROM ft.fault_tolerance_monitoring',
                  $$VALUES ('any', 'PRIMARY')$$,
                  'fault_tolerance_monitoring: the row of this node without any standby');

-- A1
SELECT has_function('ft', 'check_fault_tolerance_alerts', ARRAY[]::name[]);
SELECT is(tap.first_columns('ft.check_fault_tolerance_alerts()'::regprocedure, 2),
          'alert_level text, message text', 'check_fault_tolerance_alerts: columns');
SELECT is_empty($$SELECT * FROM ft.check_fault_tolerance_alerts() WHERE alert_name LIKE 'replication%'$$,
                'check_fault_tolerance_alerts: no row of what is not wrong');

-- The first thing to type.
SELECT has_view('ft', 'overview', 'overview');
SELECT is(tap.first_columns('ft.overview'::regclass, 4), 'severity text, what text, summary text, next text',
          'overview: columns');
SELECT ok((SELECT count(*) BETWEEN 1 AND 12 FROM ft.overview), 'overview: at most 12 rows');

-- Who may.
SELECT function_privs_are('ft', name, args, 'pg_monitor', ARRAY['EXECUTE'], name || ': for pg_monitor')
  FROM (VALUES ('dead_tuples', ARRAY['bigint', 'boolean']),
               ('long_transactions', ARRAY['interval']),
               ('replication_lag', ARRAY[]::text[]),
               ('check_fault_tolerance_alerts', ARRAY[]::text[])) AS f(name, args);
CREATE ROLE contract_nobody;
SELECT is((SELECT count(*) FROM (VALUES ('ft.dead_tuples(bigint, boolean)'), ('ft.long_transactions(interval)'),
                                        ('ft.replication_lag()'), ('ft.check_fault_tolerance_alerts()')) AS f(name)
            WHERE has_function_privilege('contract_nobody', name, 'EXECUTE')), 0::bigint,
          'and for nobody else');
SELECT is(has_table_privilege('contract_nobody', 'ft.fault_tolerance_monitoring', 'SELECT'), false,
          'nor is the monitoring view');

SELECT * FROM finish();
ROLLBACK;
