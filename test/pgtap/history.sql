-- What users were promised of history (D13) and memory (D8): names, parameters,
-- columns.
BEGIN;
SELECT plan(19);

SELECT has_function('ft', 'session_history', ARRAY['timestamp with time zone', 'timestamp with time zone']);
SELECT is(pg_get_function_arguments('ft.session_history(timestamptz, timestamptz)'::regprocedure)
              LIKE '"from" timestamp with time zone DEFAULT (clock_timestamp() - ''00:10:00''::interval), "to" timestamp with time zone DEFAULT NULL%',
          true, 'session_history: the last ten minutes unless asked for others');
SELECT is(tap.first_columns('ft.session_history(timestamptz, timestamptz)'::regprocedure, 14),
          'sample_time timestamp with time zone, pid integer, datname name, usename name, application_name text, '
          'backend_type text, state text, wait_event_type text, wait_event text, query_id bigint, '
          'query_start timestamp with time zone, xact_start timestamp with time zone, query text, traceparent text',
          'session_history: columns');
SELECT has_function('ft', 'blocking_history', ARRAY['timestamp with time zone', 'timestamp with time zone']);
SELECT is(tap.first_columns('ft.blocking_history(timestamptz, timestamptz)'::regprocedure, 11),
          'episode integer, first_seen timestamp with time zone, last_seen timestamp with time zone, duration interval, '
          'samples integer, root_pid integer, level integer, path integer[], severity text, victims integer, longest_wait interval',
          'blocking_history: columns');
SELECT has_view('ft', 'blocking_history_summary', 'blocking_history_summary');
SELECT has_view('ft', 'wait_history_summary', 'wait_history_summary');
SELECT has_table('ft', 'session_history_log', 'session_history_log');
SELECT has_function('ft', 'flush_history', ARRAY['interval']);

SELECT has_function('ft', 'backend_memory', ARRAY[]::name[]);
SELECT is(tap.first_columns('ft.backend_memory()'::regprocedure, 12),
          'pid integer, usename name, application_name text, state text, resident_bytes bigint, private_bytes bigint, '
          'first_private_bytes bigint, growth_bytes bigint, growth_per_minute double precision, '
          'sampled_at timestamp with time zone, backend_start timestamp with time zone, query text',
          'backend_memory: columns');
SELECT has_function('ft', 'memory_contexts', ARRAY[]::name[]);
SELECT has_function('ft', 'log_memory_contexts', ARRAY['integer']);
SELECT has_function('ft', 'proportional_memory', ARRAY['integer']);
SELECT has_function('ft', 'host_memory', ARRAY[]::name[]);
SELECT has_function('ft', 'host_load', ARRAY[]::name[]);
SELECT is(tap.first_columns('ft.disk_space()'::regprocedure, 7),
          'name text, path text, total_bytes bigint, free_bytes bigint, used_bytes bigint, used_percent double precision, severity text',
          'disk_space: columns');
SELECT is((SELECT count(*) FROM ft.host_memory()), 1::bigint, 'host_memory: one row');
SELECT is((SELECT count(*) FROM ft.disk_space() WHERE kind IN ('data directory', 'pg_wal')), 2::bigint,
          'disk_space: data directory and pg_wal always');

SELECT * FROM finish();
ROLLBACK;
