-- What users were promised of slow statements, lock orders and advice: names,
-- parameters with their defaults, columns in their order, errors.
BEGIN;
SELECT plan(28);

-- D7
SELECT has_function('ft', 'slow_statements', ARRAY[]::name[]);
SELECT is(tap.first_columns('ft.slow_statements()'::regprocedure, 11),
          'query_start timestamp with time zone, duration interval, pid integer, datname name, usename name, '
          'application_name text, query text, query_id bigint, rows bigint, failed boolean, sqlstate text',
          'slow_statements: columns');
SELECT has_function('ft', 'slow_statement_waits', ARRAY[]::name[]);
SELECT has_function('ft', 'reset_slow_statements', ARRAY[]::name[]);
SELECT has_view('ft', 'slow_statement_summary', 'slow_statement_summary');
SELECT is(current_setting('fault_tolerance.slow_statement_threshold'), '1s', 'from 1 s on');
SELECT is(current_setting('fault_tolerance.slow_statement_parameters'), 'off', 'parameters are not kept unasked');
SELECT is(current_setting('fault_tolerance.slow_statement_plan'), 'off', 'nor are plans');

-- D3
SELECT is(pg_get_function_arguments('ft.lock_in_order(bigint[],boolean,interval)'::regprocedure),
          'keys bigint[], shared boolean DEFAULT false, timeout interval DEFAULT NULL::interval', 'lock_in_order: keys');
SELECT is(pg_get_function_arguments('ft.lock_in_order(regclass[],text,interval)'::regprocedure),
          'relations regclass[], mode text, timeout interval DEFAULT NULL::interval', 'lock_in_order: tables');
SELECT is(pg_get_function_arguments('ft.lock_in_order(regclass,name,anyarray,interval,text)'::regprocedure),
          'relation regclass, key_column name, keys anyarray, timeout interval DEFAULT NULL::interval, '
          'strength text DEFAULT ''UPDATE''::text', 'lock_in_order: rows');
CREATE TABLE contract_table (id integer PRIMARY KEY, other integer);
CREATE VIEW contract_view AS SELECT * FROM contract_table;
INSERT INTO contract_table VALUES (1), (2);
SELECT is(ft.lock_in_order(ARRAY[2, 1, 2]), 2, 'different keys are counted');
SELECT is(ft.lock_in_order(ARRAY['contract_table'], 'EXCLUSIVE'), 1, 'tables are');
SELECT is(ft.lock_in_order('contract_table', 'id', ARRAY[2, 1, 3]), 2::bigint, 'and rows that there are');
SELECT throws_ok('SELECT ft.lock_in_order(ARRAY[1, NULL])', '22004', NULL, 'a null is refused');
SELECT throws_ok($$SELECT ft.lock_in_order(ARRAY['contract_table'], 'no mode')$$, '22023', NULL, 'and an unknown mode');
SELECT throws_ok($$SELECT ft.lock_in_order(ARRAY['contract_view'], 'SHARE')$$, '42809', NULL, 'and a view');
SELECT throws_ok($$SELECT ft.lock_in_order('contract_table', 'nothing', ARRAY[1])$$, '42703', NULL, 'and no column');
SELECT throws_ok($$SELECT ft.lock_in_order('contract_table', 'id', ARRAY[1.5])$$, '42804', NULL, 'and another type');
SELECT throws_ok($$SELECT ft.lock_in_order(ARRAY[1], timeout => '-1 s')$$, '22023', NULL, 'and less than no time');
SELECT is(tap.first_columns('ft.lock_order_conflicts()'::regprocedure, 9),
          'kind text, first_relation text, second_relation text, first_then_second bigint, second_then_first bigint, '
          'first_then_second_modes text, second_then_first_modes text, '
          'first_then_second_statement text, second_then_first_statement text', 'lock_order_conflicts: columns');
SELECT has_function('ft', 'reset_lock_order', ARRAY[]::name[]);

-- D16
SELECT is(tap.first_columns('ft.index_advice()'::regprocedure, 11),
          'kind text, schemaname name, relname name, indexrelname name, index_size bigint, idx_scan bigint, '
          'stats_since timestamp with time zone, covered_by name, reason text, caveat text, sql text',
          'index_advice: columns');
SELECT is(tap.first_columns('ft.scan_advice(bigint)'::regprocedure, 13),
          'kind text, schemaname name, relname name, table_size bigint, seq_scan bigint, rows_per_scan bigint, '
          'idx_scan bigint, stats_since timestamp with time zone, query text, query_id bigint, calls bigint, '
          'rows_per_call bigint, blocks_per_call bigint', 'scan_advice: columns');
SELECT throws_ok('SELECT * FROM ft.scan_advice(-1)', '22023', NULL, 'scan_advice: refuses less than nothing');

-- Who may.
CREATE ROLE contract_nobody;
SELECT is((SELECT count(*) FROM (VALUES ('ft.slow_statements()'), ('ft.slow_statement_waits()'), ('ft.lock_order_conflicts()'),
                                        ('ft.lock_order_state()'), ('ft.index_advice()'), ('ft.scan_advice(bigint)')) AS f(name)
            WHERE has_function_privilege('pg_monitor', name, 'EXECUTE')
              AND NOT has_function_privilege('contract_nobody', name, 'EXECUTE')), 6::bigint,
          'diagnostics are for pg_monitor');
SELECT is((SELECT count(*) FROM (VALUES ('ft.reset_slow_statements()'), ('ft.reset_lock_order()')) AS f(name)
            WHERE has_function_privilege('pg_monitor', name, 'EXECUTE')), 0::bigint,
          'but not to forget what they show');
SELECT is((SELECT count(*) FROM pg_proc WHERE proname = 'lock_in_order' AND pronamespace = 'ft'::regnamespace
              AND has_function_privilege('contract_nobody', oid, 'EXECUTE')), 3::bigint, 'locking in order is for all');

SELECT * FROM finish();
ROLLBACK;
