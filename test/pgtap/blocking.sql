-- What users were promised of blocking (D1): names, parameters, columns.
BEGIN;
SELECT plan(10);

SELECT has_function('ft', 'blocking_edges', ARRAY['integer']);
SELECT is(pg_get_function_arguments('ft.blocking_edges(integer)'::regprocedure) LIKE 'pid integer DEFAULT NULL%',
          true, 'blocking_edges: parameter and default');
SELECT is(tap.first_columns('ft.blocking_edges(integer)'::regprocedure, 7),
          'pid integer, blocker_pid integer, block_kind text, locktype text, '
          'waited_mode text, held_mode text, prepared_gid text', 'blocking_edges: columns');
SELECT has_function('ft', 'blocking_chains', ARRAY[]::name[]);
SELECT is(tap.first_columns('ft.blocking_chains()'::regprocedure, 15),
          'root_pid integer, level integer, path integer[], pid integer, blocker_pid integer, '
          'block_kind text, locktype text, lock_object text, waited_mode text, '
          'wait_start timestamp with time zone, wait_duration interval, '
          'victims_direct integer, victims_total integer, in_cycle boolean, prepared_gid text',
          'blocking_chains: columns');
SELECT has_view('ft', 'lock_tree', 'lock_tree');
SELECT has_view('ft', 'blocked_statements', 'blocked_statements');
SELECT is((SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = 'ft.blocked_statements'::regclass AND attnum > 0),
          'blocked_pid, blocking_pid, blocked_user, blocking_user, blocked_statement, blocking_statement',
          'blocked_statements: exactly these columns');
SELECT is_empty('SELECT * FROM ft.blocking_edges()', 'nobody waits here');
SELECT is_empty('SELECT * FROM ft.lock_tree', 'so there is no tree');

SELECT * FROM finish();
ROLLBACK;
