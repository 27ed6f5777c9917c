-- ft.overview: every subject answers, the worst first, and what it says to
-- type next works.  Locks are in test/isolation/specs/overview_locks.spec, the
-- library not preloaded and a standby in test/tap/050_overview.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT DISTINCT what FROM ft.overview ORDER BY what;
SELECT count(*) BETWEEN 7 AND 12 AS few,
       bool_and(severity IN ('CRITICAL', 'WARNING', 'INFO', 'OK')) AS all_told,
       bool_and(summary <> '' AND next <> '') AS complete,
       max(length(severity || what || summary || next)) < 150 AS narrow
  FROM ft.overview;
SELECT severity, summary, next FROM ft.overview WHERE what = 'worker';
SELECT severity, summary, next FROM ft.overview WHERE what = 'blocking';

-- What to type next: every line of it runs.
SELECT DISTINCT format('SELECT count(*) >= 0 AS works FROM (%s) AS next', next)
  FROM ft.overview WHERE next ~ '^(TABLE|SELECT)' ORDER BY 1 \gexec

-- The worst first.
CREATE TEMPORARY TABLE overview_seen AS
SELECT row_number() OVER () AS place, array_position('{CRITICAL,WARNING,UNKNOWN,INFO,OK}', severity) AS rank
  FROM ft.overview;
SELECT count(*) AS out_of_order
  FROM overview_seen AS a JOIN overview_seen AS b ON a.place < b.place AND a.rank > b.rank;

-- A failure is there at once, whoever's execution it is; texts are cut.
CREATE ROLE overview_owner;
CREATE ROLE overview_monitor;
CREATE ROLE overview_nobody;
GRANT USAGE ON SCHEMA ft TO overview_owner, overview_nobody;
GRANT pg_monitor TO overview_monitor;
SELECT count(*) AS before FROM ft.unrecovered_failures \gset
SET ROLE overview_owner;
SELECT ft.create_execution() AS execution \gset
SELECT ft.record_failure(:'execution', E'the\nnetwork ' || repeat('went away ', 20), '08006') IS NOT NULL AS recorded;
SET ROLE overview_monitor;
SELECT severity IN ('WARNING', 'CRITICAL') AS urgent,
       split_part(summary, ' ', 1)::integer - :before AS unrecovered, length(summary) <= 72 AS cut, next
  FROM ft.overview WHERE what = 'failures';
SET ROLE overview_nobody;
SELECT * FROM ft.overview;
SELECT * FROM ft.overview_rows();
RESET ROLE;
UPDATE ft.orchestration_failures SET given_up_at = now() WHERE execution_id = :'execution';
SELECT severity FROM ft.overview WHERE what = 'failures';
DELETE FROM ft.orchestration_executions WHERE execution_id = :'execution';

-- A prepared transaction and a dead table.
BEGIN;
CREATE TABLE overview_prepared (id integer);
PREPARE TRANSACTION 'overview';
SELECT regexp_replace(summary, '\(.*\)', '(owner)') AS summary, severity
  FROM ft.overview WHERE what = 'transaction' AND summary LIKE 'prepared%';
ROLLBACK PREPARED 'overview';
CREATE TABLE "Overview dead" (id integer) WITH (autovacuum_enabled = off);
INSERT INTO "Overview dead" SELECT generate_series(1, 40000);
DELETE FROM "Overview dead" WHERE id <= 30000;
SELECT pg_stat_force_next_flush();
SELECT severity, summary, next FROM ft.overview WHERE what = 'dead tuples';
INSERT INTO "Overview dead" SELECT generate_series(1, 900000);
SELECT pg_stat_force_next_flush();
SELECT severity, summary FROM ft.overview WHERE what = 'dead tuples';
DROP TABLE "Overview dead";

-- A subject that cannot answer is a row that says so, not the end.
BEGIN;
ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order;
SELECT severity, what, summary, next FROM ft.overview WHERE severity = 'UNKNOWN';
SELECT count(*) > 5 AS the_rest FROM ft.overview WHERE severity <> 'UNKNOWN';
ROLLBACK;

-- One that does not end costs its time and no more.
BEGIN;
ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order;
CREATE VIEW ft.unrecovered_failures AS
SELECT now() AS given_up_at, now() AS failure_timestamp, pg_sleep(1000)::text AS failure_message;
SET LOCAL fault_tolerance.check_timeout = '300ms';
SELECT severity, summary FROM ft.overview WHERE what = 'failures';
SELECT value FROM ft.metrics WHERE name = 'fault_tolerance_subject_up' AND labels ->> 'subject' = 'failure';
ROLLBACK;

-- No lock on what was read stays behind, though the transaction goes on.
BEGIN;
SELECT count(*) > 5 AS read FROM ft.overview;
SELECT count(*) AS locks_left FROM pg_locks
 WHERE pid = pg_backend_pid()
   AND relation IN ('ft.orchestration_failures'::regclass, 'ft.orchestration_executions'::regclass,
                    'ft.unrecovered_failures'::regclass, 'pg_authid'::regclass,
                    'pg_stat_replication'::regclass);
COMMIT;

-- Somebody's own operators do not get in the way, nor are settings changed.
CREATE SCHEMA overview_trap;
CREATE FUNCTION overview_trap.equals(text, text) RETURNS boolean
LANGUAGE sql AS 'SELECT 1 / 0 = 1';
CREATE OPERATOR overview_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = overview_trap.equals);
SET search_path = overview_trap, pg_catalog;
SELECT count(*) > 5 AS unharmed FROM ft.overview_rows()
 WHERE severity OPERATOR(pg_catalog.<>) 'UNKNOWN'::text;
SHOW search_path;
SHOW lock_timeout;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA overview_trap CASCADE;
RESET client_min_messages;

BEGIN READ ONLY;
SELECT count(*) > 5 AS in_a_read_only_transaction FROM ft.overview;
COMMIT;

REVOKE ALL ON SCHEMA ft FROM overview_owner, overview_nobody;
DROP ROLE overview_owner, overview_monitor, overview_nobody;
