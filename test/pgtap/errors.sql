-- What users were promised of errors, deadlocks and traces (D2, D10, D12):
-- names, parameters with their defaults, and columns in their order.  Columns
-- may be added at the end only.
BEGIN;
SELECT plan(20);

-- D10
SELECT is(tap.first_columns('ft.errors(interval)'::regprocedure, 11),
          'sqlstate text, condition_name text, error_severity text, datname name, usename name, '
          'application_name text, error_count bigint, first_seen timestamp with time zone, '
          'last_seen timestamp with time zone, retryable boolean, last_message text',
          'errors: columns');
SELECT is(tap.first_columns('ft.recent_errors()'::regprocedure, 13),
          'error_time timestamp with time zone, pid integer, error_severity text, sqlstate text, '
          'datname name, usename name, application_name text, message text, detail text, hint text, '
          'context text, query text, traceparent text',
          'recent_errors: columns');
SELECT is(pg_get_function_arguments('ft.error_rate(interval)'::regprocedure)
              LIKE '"window" interval DEFAULT ''00:01:00''::interval,%', true, 'error_rate: parameter and default');
SELECT is(tap.first_columns('ft.error_rate(interval)'::regprocedure, 7),
          'error_count bigint, errors_per_second double precision, severity text, top_sqlstate text, '
          'top_application_name text, top_datname name, covered interval',
          'error_rate: columns');
SELECT is((SELECT count(*) FROM ft.error_rate()), 1::bigint, 'error_rate: one row');
SELECT throws_ok('SELECT * FROM ft.error_rate(''0'')', '22023', NULL, 'error_rate: refuses no time');
SELECT is((SELECT string_agg(s, ' ' ORDER BY s) FROM unnest('{08006,23505,25006,40001,40002,40P01,53300,55P03,57014,57P01,58030}'::text[]) AS s
            WHERE ft.is_retryable(s)), '08006 25006 40001 40P01 53300 55P03 57P01 58030', 'is_retryable: what may go away');
SELECT throws_ok('SELECT ft.is_retryable(''nonsense'')', '22023', NULL, 'is_retryable: refuses what is no SQLSTATE');
SELECT lives_ok('SELECT ft.reset_errors()', 'reset_errors: forgets');
SELECT is_empty('SELECT * FROM ft.errors()', 'and there is nothing left');
SELECT has_view('ft', 'error_summary', 'error_summary');

-- D2
SELECT is(tap.first_columns('ft.deadlocks()'::regprocedure, 15),
          'deadlock_id bigint, deadlock_time timestamp with time zone, datname name, participant integer, '
          'participants integer, pid integer, victim boolean, usename name, application_name text, '
          'waited_mode text, locktype text, lock_object text, blocked_by integer, query text, traceparent text',
          'deadlocks: columns');
SELECT is(tap.first_columns('ft.deadlock_counts()'::regprocedure, 5),
          'datname name, reported bigint, counted bigint, not_reported bigint, compared_since timestamp with time zone',
          'deadlock_counts: columns');
SELECT has_view('ft', 'deadlock_summary', 'deadlock_summary');

-- D12
SELECT is(tap.first_columns('ft.trace(text)'::regprocedure, 4),
          'event_time timestamp with time zone, event text, pid integer, datname name', 'trace: columns');
SELECT throws_ok('SELECT * FROM ft.trace(''nonsense'')', '22023', NULL, 'trace: refuses what is no trace');
SELECT is(tap.first_columns('ft.blocked_statements'::regclass, 7),
          'blocked_pid integer, blocking_pid integer, blocked_user name, blocking_user name, '
          'blocked_statement text, blocking_statement text',
          'blocked_statements: exactly its columns');

-- Who may.
CREATE ROLE contract_nobody;
SELECT is((SELECT string_agg(name, ' ') FROM unnest('{ft.errors(interval),ft.recent_errors(),ft.error_rate(interval),ft.error_counts(interval),
                                                     ft.deadlocks(),ft.deadlock_counts(),ft.trace(text)}'::text[]) AS name
            WHERE NOT has_function_privilege('pg_monitor', name, 'EXECUTE')), NULL, 'pg_monitor may ask');
SELECT is((SELECT string_agg(name, ' ') FROM unnest('{ft.errors(interval),ft.recent_errors(),ft.error_rate(interval),ft.error_counts(interval),
                                                     ft.deadlocks(),ft.deadlock_counts(),ft.trace(text),ft.reset_errors()}'::text[]) AS name
            WHERE has_function_privilege('contract_nobody', name, 'EXECUTE')), NULL, 'nobody else may');
SELECT is(has_function_privilege('pg_monitor', 'ft.reset_errors()', 'EXECUTE'), false, 'nor may pg_monitor forget');

SELECT * FROM finish();
ROLLBACK;
