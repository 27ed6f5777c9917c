-- Thresholds: the shipped ones, changed ones, and what is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

SELECT count(*) > 20 AS shipped, bool_or(changed) AS changed,
       bool_and(warning < critical OR critical IS NULL) AS in_order,
       bool_and(source <> '' AND description <> '' AND unit <> '') AS explained,
       count(DISTINCT check_name) = count(*) AS distinct_names
  FROM ft.thresholds;

-- Reached is enough; a value that is not known is no OK.
SELECT value, ft.severity('lock_wait', value)
  FROM unnest('{-Infinity,0,59.9,60,299,300,Infinity,NaN,NULL}'::double precision[]) AS value;
SELECT ft.severity('dead_tuples', 1e15) AS without_critical, ft.severity(NULL, 1) IS NULL AS no_name;
SELECT pg_temp.outcome('SELECT ft.severity(''lock_weight'', 1)');

SELECT ft.set_threshold('lock_wait', 5, 6);
SELECT check_name, warning, critical, unit, changed FROM ft.thresholds WHERE changed;
SELECT check_name, changed_by = session_user AS by_me FROM ft.changed_thresholds;
SELECT ft.severity('lock_wait', 4), ft.severity('lock_wait', 5), ft.severity('lock_wait', 6);
SELECT ft.set_threshold('lock_wait', NULL, 7);
SELECT ft.severity('lock_wait', 6), ft.severity('lock_wait', 7);
SELECT ft.set_threshold('lock_wait', NULL, NULL);
SELECT ft.severity('lock_wait', 1000);
SELECT ft.reset_threshold('lock_wait');
SELECT ft.severity('lock_wait', 60), count(*) FILTER (WHERE changed) AS changed FROM ft.thresholds;
SELECT ft.reset_threshold('lock_wait');

-- Refused, and nothing changed.
SELECT pg_temp.outcome('SELECT ft.set_threshold(''lock_weight'', 1, 2)');
SELECT pg_temp.outcome('SELECT ft.set_threshold(NULL, 1, 2)');
SELECT pg_temp.outcome('SELECT ft.set_threshold(''lock_wait'', 3, 2)');
SELECT pg_temp.outcome('SELECT ft.set_threshold(''lock_wait'', ''NaN'', 2)');
SELECT pg_temp.outcome('SELECT ft.reset_threshold(''lock_weight'')');
SELECT count(*) FROM ft.changed_thresholds;

-- Somebody holds the table: the shipped ones, without waiting.  (A lock of
-- one's own is in nobody's way: the other session is in the isolation spec.)
BEGIN READ ONLY;
SELECT ft.severity('lock_wait', 60);
SELECT pg_temp.outcome('SELECT ft.set_threshold(''lock_wait'', 1, 2)');
ROLLBACK;

-- Who may what.
CREATE ROLE regress_ft_watch IN ROLE pg_monitor;
CREATE ROLE regress_ft_nobody;
CREATE ROLE regress_ft_operator;
GRANT USAGE ON SCHEMA ft TO regress_ft_operator;
GRANT EXECUTE ON FUNCTION ft.set_threshold(text, double precision, double precision) TO regress_ft_operator;
SET ROLE regress_ft_watch;
SELECT pg_temp.outcome('SELECT * FROM ft.thresholds');
SELECT pg_temp.outcome('SELECT ft.severity(''lock_wait'', 1)');
SELECT pg_temp.outcome('SELECT ft.set_threshold(''lock_wait'', 1, 2)');
SELECT pg_temp.outcome('DELETE FROM ft.changed_thresholds');
SET ROLE regress_ft_nobody;
SELECT pg_temp.outcome('SELECT * FROM ft.thresholds');
SET ROLE regress_ft_operator;
SELECT pg_temp.outcome('SELECT ft.set_threshold(''lock_wait'', 1, 2)');
SELECT pg_temp.outcome('DELETE FROM ft.changed_thresholds');
RESET ROLE;
SELECT warning, critical FROM ft.thresholds WHERE check_name = 'lock_wait';
SELECT ft.reset_threshold('lock_wait');
REVOKE ALL ON FUNCTION ft.set_threshold(text, double precision, double precision) FROM regress_ft_operator;
REVOKE ALL ON SCHEMA ft FROM regress_ft_operator;
DROP ROLE regress_ft_watch, regress_ft_nobody, regress_ft_operator;
