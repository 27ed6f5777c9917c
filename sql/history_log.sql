-- The history in a table: nothing twice, nothing left out, and no longer than
-- wanted.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
CREATE EXTENSION dblink;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SELECT format('host=%s port=%s dbname=%L user=%L application_name=regress_session', split_part(current_setting('unix_socket_directories'), ',', 1),
              current_setting('port'), current_database(), session_user) AS connection \gset
SELECT dblink_connect('session', :'connection');
SELECT dblink_exec('session', 'BEGIN');
SELECT ft.flush_history() IS NOT NULL AS start_from_here;

-- A run is written as far as it has come, the next flush goes on from there.
SELECT count(ft.sampler_tick('history')::text) FROM generate_series(1, 3);
SELECT ft.flush_history() > 0 AS written;
SELECT ft.flush_history() AS nothing_new;
SELECT count(ft.sampler_tick('history')::text) FROM generate_series(1, 2);
SELECT ft.flush_history() > 0 AS written;
SELECT sum(samples) AS samples, bool_and(first_seen <= last_seen) AS times, state, query, application_name
  FROM ft.session_history_log WHERE application_name = 'regress_session' GROUP BY state, query, application_name;
SELECT count(*) AS overlaps FROM ft.session_history_log AS a JOIN ft.session_history_log AS b
    ON a.pid = b.pid AND a.backend_start = b.backend_start AND a.entry_id < b.entry_id
   AND b.first_seen <= a.last_seen AND a.first_seen <= b.last_seen;

-- Retention.
SELECT pg_temp.outcome($$SELECT ft.flush_history('-1 s')$$);
SELECT pg_temp.outcome($$SELECT ft.flush_history(NULL)$$);
SELECT count(*) > 0 AS kept FROM ft.session_history_log;
SELECT ft.flush_history('0 s');
SELECT count(*) AS left_over FROM ft.session_history_log;

-- Only where another flush can be seen, and only by whom it was granted to.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.outcome('SELECT ft.flush_history()');
ROLLBACK;
BEGIN READ ONLY;
SELECT pg_temp.outcome('SELECT ft.flush_history()');
ROLLBACK;
CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
SET ROLE regress_ft_watch;
SELECT pg_temp.outcome('SELECT ft.flush_history()');
SELECT pg_temp.outcome('SELECT * FROM ft.session_history_log');
SELECT pg_temp.outcome('DELETE FROM ft.session_history_log');
RESET ROLE;
GRANT EXECUTE ON FUNCTION ft.flush_history(interval) TO regress_ft_watch;
SELECT ft.sampler_tick('history');
SET ROLE regress_ft_watch;
SELECT pg_temp.outcome('SELECT ft.flush_history()');
SELECT DISTINCT query FROM ft.session_history_log WHERE application_name = 'regress_session';
RESET ROLE;
REVOKE EXECUTE ON FUNCTION ft.flush_history(interval) FROM regress_ft_watch;
DROP ROLE regress_ft_watch;
SELECT dblink_disconnect('session');
DROP EXTENSION dblink;
