-- ft.trace(): all that is known of one trace.  Several sessions are in the
-- isolation specs tracing and deadlock.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- The id may be passed by itself, as a traceparent, and in capital letters.
SELECT ft.trace_id('5bd66ef5095369c7b0d1f8f4bd33716a');
SELECT ft.trace_id('00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01');
SELECT ft.trace_id('5BD66EF5095369C7B0D1F8F4BD33716A');
SELECT ft.trace_id(NULL);
SELECT ft.trace_id('');
SELECT ft.trace_id('5bd66ef5095369c7b0d1f8f4bd33716');
SELECT ft.trace_id('00000000000000000000000000000000');
SELECT ft.trace_id('no trace, but of just that length');
SELECT ft.trace_id('xbd66ef5095369c7b0d1f8f4bd33716a');
SELECT count(*) FROM ft.trace(NULL);
SELECT count(*) FROM ft.trace('nothing');
SELECT count(*) FROM ft.trace('5bd66ef5095369c7b0d1f8f4bd33716a');

-- An error, and a statement that was slow, or is taken to be.
SET application_name = 'tracing test';
SELECT 'x'::int /*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/;
SET fault_tolerance.slow_statement_threshold = 0;
SELECT 17 /*action='pay',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-00f067aa0ba902b7-01'*/;
RESET fault_tolerance.slow_statement_threshold;
SELECT event, pid = pg_backend_pid() AS mine, application_name, sqlstate, duration >= '0' AS timed, what, traceparent
  FROM ft.trace('5bd66ef5095369c7b0d1f8f4bd33716a') WHERE event <> 'sampled' ORDER BY event_time;

-- The session itself, by the name of its application.
SET application_name = 'web 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
SELECT event, pid = pg_backend_pid() AS mine, what FROM ft.trace('4bf92f3577b34da6a3ce929d0e0e4736');
