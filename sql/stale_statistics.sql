-- ft.stale_statistics(): tables that changed much since they were analyzed.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TABLE "Stale one" (id integer) WITH (autovacuum_enabled = off);
CREATE TABLE stale_two (id integer) WITH (autovacuum_enabled = off);
CREATE TEMPORARY TABLE stale_temporary (id integer);
INSERT INTO "Stale one" SELECT generate_series(1, 1000);
INSERT INTO stale_two SELECT generate_series(1, 1000);
INSERT INTO stale_temporary SELECT generate_series(1, 1000);
SELECT pg_stat_force_next_flush();
CREATE VIEW stale AS
SELECT relname, n_live_tup, n_mod_since_analyze, changed_percent, never_analyzed, severity, sql
  FROM ft.stale_statistics(1) WHERE relname ~* '^stale';
TABLE stale ORDER BY relname;

-- The SQL mends it, and only what is analyzed counts as such.
SELECT sql FROM stale ORDER BY relname LIMIT 1 \gexec
TABLE stale ORDER BY relname;
VACUUM stale_two;
SELECT n_mod_since_analyze, never_analyzed FROM stale;
ANALYZE stale_two;
TABLE stale;
UPDATE stale_two SET id = -id WHERE id <= 400;
SELECT pg_stat_force_next_flush();
SELECT relname, n_mod_since_analyze, changed_percent, never_analyzed, severity FROM stale;
UPDATE stale_two SET id = -id WHERE id < 0 OR id > 900;
SELECT pg_stat_force_next_flush();
SELECT relname, n_mod_since_analyze, changed_percent, severity FROM stale;
-- As the server has it.
SELECT c.n_mod_since_analyze = s.n_mod_since_analyze AS the_same, c.n_live_tup = s.n_live_tup AS live
  FROM ft.changed_tables(1) AS c JOIN pg_stat_all_tables AS s USING (relid) WHERE c.relname = 'stale_two';

SELECT count(*) FROM ft.stale_statistics() WHERE relname ~* '^stale';
SELECT count(*) FROM ft.stale_statistics(NULL);
SELECT * FROM ft.stale_statistics(-1);
-- Unchanged ones are not stale, whenever that was.
SELECT severity, changed_percent FROM ft.stale_statistics(0) WHERE relname = 'Stale one';
DROP VIEW stale;
DROP TABLE "Stale one", stale_two;

CREATE ROLE stale_nobody;
CREATE ROLE stale_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO stale_nobody;
SET ROLE stale_nobody;
SELECT * FROM ft.stale_statistics();
SELECT * FROM ft.changed_tables(1);
SET ROLE stale_monitor;
SELECT count(*) >= 0 AS readable FROM ft.stale_statistics();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM stale_nobody;
DROP ROLE stale_nobody, stale_monitor;
