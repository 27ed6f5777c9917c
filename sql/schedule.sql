-- Automatic recovery by pg_cron, where pg_cron is not: clear errors.
-- What it does where pg_cron is, is tested in test/tap.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SELECT proname, pg_get_function_arguments(oid) AS arguments, pg_get_function_result(oid) AS result
  FROM pg_proc WHERE pronamespace = 'ft'::regnamespace AND proname LIKE '%schedule_auto%' ORDER BY 1;
SELECT pg_temp.outcome('SELECT ft.schedule_auto_recovery()');
SELECT pg_temp.outcome('SELECT ft.schedule_auto_recovery(NULL)');
SELECT pg_temp.outcome('SELECT ft.unschedule_auto_recovery()');
-- a setting of pg_cron does not mean that it is there
SET cron.database_name = 'else where';
SELECT pg_temp.outcome('SELECT ft.schedule_auto_recovery()');
SELECT pg_temp.outcome('SELECT ft.unschedule_auto_recovery()');
RESET cron.database_name;
