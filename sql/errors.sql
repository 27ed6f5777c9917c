-- Errors that reached the log: counts, recent ones, rate, names, reset.
-- Storms, standbys and a full table are in test/tap/090_errors.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SET application_name = 'errors test';
SELECT ft.reset_errors();

-- Nothing has happened since.
SELECT * FROM ft.errors();
SELECT * FROM ft.recent_errors();
SELECT error_count, warning_count, other_count, kinds, max_kinds, window_count, recent_kept, recent_skipped,
       counted_since <= clock_timestamp() AS since
  FROM ft.error_counts();
SELECT error_count, errors_per_second, severity, top_sqlstate, top_application_name, top_datname,
       covered < '1 min' AS covered, top_condition_name
  FROM ft.error_rate();

-- Errors of three kinds.
SELECT 1 / 0;
SELECT 2 / 0;
/* traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' */ SELECT 'x'::int;
DO $$BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = '40001', DETAIL = 'of this', HINT = 'try again'; END$$;
-- One that is caught does not reach the log.
DO $$BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END$$;
-- Nor does one that the log is not to have.
SET log_min_messages = fatal;
SELECT 3 / 0;
RESET log_min_messages;

SELECT sqlstate, condition_name, error_severity, datname = current_database() AS here,
       usename = current_user AS mine, application_name, error_count, first_seen <= last_seen AS ordered,
       retryable, last_message, window_count,
       datid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
       usesysid::regrole = current_user::regrole AS role
  FROM ft.errors() ORDER BY sqlstate;
SELECT sqlstate, window_count FROM ft.errors('1 min') ORDER BY sqlstate;
SELECT pid = pg_backend_pid() AS mine, error_severity, sqlstate, application_name, message, detail,
       hint, context, query, traceparent, condition_name, retryable, backend_type
  FROM ft.recent_errors();
SELECT error_count, kinds, window_count, recent_kept FROM ft.error_counts();
SELECT error_count, errors_per_second, severity, top_sqlstate, top_application_name,
       top_datname = current_database() AS here, top_condition_name
  FROM ft.error_rate();
SELECT errors, error, retry, application, message FROM ft.error_summary ORDER BY error;

-- No passwords, in the statement or in the context.
ALTER ROLE errors_nobody PASSWORD 'hidden';
DO $$BEGIN EXECUTE 'ALTER ROLE errors_nobody PASSWORD ''hidden'''; END$$;
SELECT message, context, query FROM ft.recent_errors() LIMIT 2;

-- The threshold is one that users change.
BEGIN;
SELECT ft.set_threshold('error_rate', 0.01, 0.05);
SELECT severity FROM ft.error_rate();
ROLLBACK;

-- Warnings, where they are wanted; nothing, where nothing is.
ROLLBACK;
SELECT count(*) FROM ft.errors() WHERE error_severity = 'WARNING';
SET fault_tolerance.track_errors = warning;
ROLLBACK;
SET fault_tolerance.track_errors = off;
SELECT 4 / 0;
RESET fault_tolerance.track_errors;
SELECT sqlstate, condition_name, error_count, last_message FROM ft.errors() WHERE error_severity = 'WARNING';
SELECT error_count, warning_count FROM ft.error_counts();
SELECT error_count FROM ft.error_rate();

-- Works in a transaction that only reads.
BEGIN READ ONLY;
SELECT sum(error_count) FROM ft.errors();
ROLLBACK;

-- Bad windows.
SELECT * FROM ft.errors('0');
SELECT * FROM ft.errors('1 hour 1 second');
SELECT * FROM ft.error_rate('-1 min');
SELECT * FROM ft.error_rate('1 month');
SELECT * FROM ft.error_rate(NULL);
SELECT count(*) FROM ft.error_rate('1 s') AS a, ft.error_rate('1 hour') AS b;

-- Whose errors one sees: as in pg_stat_activity.
CREATE ROLE errors_app;
CREATE ROLE errors_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO errors_app, errors_monitor;
GRANT EXECUTE ON FUNCTION ft.errors(interval), ft.recent_errors() TO errors_app;
SELECT ft.reset_errors();
SELECT 'secret'::int;
SET ROLE errors_app;
SELECT sqlstate, error_count, last_message FROM ft.errors();
SELECT sqlstate, message, detail, context, query FROM ft.recent_errors();
SELECT ft.reset_errors();
SELECT ft.error_counts();
RESET ROLE;
SET ROLE errors_monitor;
SELECT sqlstate, error_count, last_message FROM ft.errors() WHERE sqlstate = '22P02';
SELECT error_count > 0 AS shown FROM ft.error_rate();
SELECT count(*) > 0 AS shown FROM ft.error_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM errors_app, errors_monitor;
DROP ROLE errors_monitor;
REVOKE ALL ON FUNCTION ft.errors(interval), ft.recent_errors() FROM errors_app;
DROP ROLE errors_app;

-- Which errors are worth trying again.
SELECT s AS sqlstate, ft.is_retryable(s), ft.condition_name(s)
  FROM unnest('{08006,40001,40002,40P01,53300,55P03,57P01,57P03,57014,25006,58030,23505,42601,00000,ZZZZZ}'::text[]) AS s;
SELECT ft.is_retryable('nope');
SELECT ft.is_retryable(NULL), ft.condition_name(NULL);
SELECT ft.condition_name('2200');

-- The names are those of the server's own list.
CREATE TEMPORARY TABLE errcodes AS
SELECT line[1] AS sqlstate, line[2] AS name
  FROM (SELECT setting || '/errcodes.txt' AS file FROM pg_config WHERE name = 'SHAREDIR') AS f,
       regexp_matches(pg_read_file(f.file), '^([0-9A-Z]{5})\s+[EWS]\s+\w+\s+(\w+)$', 'gn') AS line;
SELECT count(*) > 200 AS read FROM errcodes;
SELECT sqlstate, name, ft.condition_name(sqlstate) FROM errcodes
 WHERE ft.condition_name(sqlstate) IS DISTINCT FROM name;
