-- The background workers' status, with the workers off.  What it shows with
-- them on is tested in test/tap.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SELECT worker, pid, state, note, library_version FROM ft.worker_status() ORDER BY worker;
SELECT ft.wake_worker();
CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
CREATE ROLE regress_ft_nobody;
SET ROLE regress_ft_watch;
SELECT pg_temp.outcome('SELECT * FROM ft.worker_status()');
SELECT pg_temp.outcome('SELECT * FROM ft.recovery_passes');
SELECT pg_temp.outcome('SELECT ft.wake_worker()');
SET ROLE regress_ft_nobody;
SELECT pg_temp.outcome('SELECT * FROM ft.worker_status()');
RESET ROLE;
DROP ROLE regress_ft_watch, regress_ft_nobody;
