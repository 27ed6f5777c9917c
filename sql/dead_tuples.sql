-- ft.dead_tuples(): agrees with the server's own views and functions, with
-- any name, for all kinds of tables, and refuses bad input.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TABLE "Weird ""Table" (id integer, t text) WITH (autovacuum_enabled = off);
CREATE TABLE parted (id integer, t text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100000)
    WITH (autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.5);
CREATE TABLE toasted (id integer, t text) WITH (autovacuum_enabled = off);
ALTER TABLE toasted ALTER t SET STORAGE EXTERNAL;
CREATE UNLOGGED TABLE few (id integer PRIMARY KEY);
CREATE TEMPORARY TABLE temporary_table (id integer);

INSERT INTO "Weird ""Table" SELECT i, 'x' FROM generate_series(1, 30000) AS i;
INSERT INTO parted SELECT i, 'x' FROM generate_series(1, 2000) AS i;
INSERT INTO toasted SELECT i, repeat('x', 4000) FROM generate_series(1, 600) AS i;
INSERT INTO few SELECT generate_series(1, 500);
INSERT INTO temporary_table SELECT generate_series(1, 1500);
-- Reported first, or ANALYZE and the report would both count them.
SELECT pg_stat_force_next_flush();
ANALYZE "Weird ""Table", parted_1, few, temporary_table;
CREATE INDEX ON "Weird ""Table" (id);
DELETE FROM "Weird ""Table" WHERE id <= 10000;
DELETE FROM parted WHERE id <= 1000;
DELETE FROM toasted;
DELETE FROM few WHERE id <= 100;
DELETE FROM temporary_table;
SELECT pg_stat_force_next_flush();

-- The defaults: 1,000 to be shown, 10,000 for a warning.  By itself neither
-- autovacuum nor anything else touches what is shown here.
SELECT schemaname, regexp_replace(relname, '\d{5,}', 'N') AS relname,
       n_live_tup, n_dead_tup, dead_tuple_percent, severity, datname, relkind,
       toast_of::regclass, autovacuum_enabled
  FROM ft.dead_tuples()
 WHERE schemaname IN ('public', 'pg_toast')
 ORDER BY n_dead_tup DESC, relname;

-- A temporary table counts as well, but autovacuum never comes.
SELECT relname, n_dead_tup, autovacuum_enabled
  FROM ft.dead_tuples() WHERE relname = 'temporary_table';

-- The threshold by its own parameters: 100 + 0.5 * 2000, and by the settings:
-- 50 + 0.2 * 30000; that of inserted tuples is 1000 + 0.2 of them.
SELECT relname, autovacuum_threshold, autovacuum_percent, autovacuum_insert_threshold, n_ins_since_vacuum
  FROM ft.dead_tuples() WHERE relname IN ('parted_1', 'Weird "Table')
 ORDER BY relname;

-- Inserted tuples can be left out of it.
ALTER TABLE parted_1 SET (autovacuum_vacuum_insert_threshold = -1);
SELECT autovacuum_insert_threshold FROM ft.dead_tuples() WHERE relname = 'parted_1';
ALTER TABLE parted_1 RESET (autovacuum_vacuum_insert_threshold);

-- From 18 on there is a cap on it.
SELECT current_setting('server_version_num')::integer >= 180000 AS capped \gset
\if :capped
ALTER TABLE parted_1 SET (autovacuum_vacuum_max_threshold = 500);
\endif
SELECT autovacuum_threshold = CASE WHEN :'capped' THEN 500 ELSE 1100 END AS as_this_version_does
  FROM ft.dead_tuples() WHERE relname = 'parted_1';
\if :capped
ALTER TABLE parted_1 RESET (autovacuum_vacuum_max_threshold);
\endif

-- What is below the threshold is there on demand.
SELECT relname, n_dead_tup, dead_tuple_percent, severity
  FROM ft.dead_tuples(100) WHERE relname = 'few';
SELECT count(*) FROM ft.dead_tuples(101) WHERE relname = 'few';

-- Everything the server's view has, and with the same figures.
SELECT count(*) AS differing
  FROM (SELECT relid, n_live_tup, n_dead_tup, last_vacuum, last_autovacuum,
               vacuum_count, autovacuum_count, n_ins_since_vacuum
          FROM pg_stat_all_tables
         WHERE n_dead_tup > 0 AND relid >= 16384
        EXCEPT
        SELECT relid, n_live_tup, n_dead_tup, last_vacuum, last_autovacuum,
               vacuum_count, autovacuum_count, n_ins_since_vacuum
          FROM ft.dead_tuples(1)) AS d;
SELECT count(*) AS strangers
  FROM ft.dead_tuples(0) AS d
 WHERE NOT EXISTS (SELECT FROM pg_stat_all_tables AS s
                    WHERE (s.relid, s.schemaname, s.relname)
                          = (d.relid, d.schemaname, d.relname));

-- The size is that of pg_total_relation_size(), for every table there is.
SELECT count(*) > 10 AS many,
       count(*) FILTER (WHERE total_size IS DISTINCT FROM pg_total_relation_size(relid)
                           OR size_note IS NOT NULL) AS wrong
  FROM ft.dead_tuples(0);

-- A vacuum clears it.
VACUUM "Weird ""Table";
SELECT n_dead_tup, last_vacuum IS NOT NULL AS vacuumed, vacuum_count
  FROM ft.dead_tuples(0) WHERE relname = 'Weird "Table';

-- The level of a warning is that of the threshold; from there on the share of
-- dead tuples counts.
BEGIN;
SELECT ft.set_threshold('dead_tuples', 500, NULL);
SELECT relname, n_dead_tup, dead_tuple_percent, severity FROM ft.dead_tuples(500)
 WHERE schemaname = 'public' ORDER BY n_dead_tup DESC;
SELECT ft.set_threshold('dead_tuple_percent', 60, 70);
SELECT relname, n_dead_tup, dead_tuple_percent, severity FROM ft.dead_tuples(500)
 WHERE schemaname = 'public' ORDER BY n_dead_tup DESC;
SELECT ft.set_threshold('dead_tuples', NULL, NULL);
SELECT DISTINCT severity FROM ft.dead_tuples(500);
ROLLBACK;

-- Does the horizon keep them?  Of a table that has nothing older than who holds
-- it, it does; else that is known only after a vacuum that began after the
-- horizon had come to where it is.  What was rolled back can go at once.  The
-- ticks are the sampler's.
CREATE TABLE kept_old (id integer) WITH (autovacuum_enabled = off);
INSERT INTO kept_old SELECT generate_series(1, 2000);
BEGIN;
CREATE TABLE kept_holder ();
PREPARE TRANSACTION 'dead tuples';
CREATE TABLE kept_new (id integer) WITH (autovacuum_enabled = off);
INSERT INTO kept_new SELECT generate_series(1, 2000);
CREATE TABLE kept_rollback (id integer) WITH (autovacuum_enabled = off);
BEGIN;
INSERT INTO kept_rollback SELECT generate_series(1, 2000);
ROLLBACK;
DELETE FROM kept_old WHERE id > 1;
DELETE FROM kept_new;
SELECT pg_stat_force_next_flush();
CREATE VIEW kept AS
SELECT relname, n_dead_tup, vacuum_count, horizon_keeps, vacuum_pid
  FROM ft.dead_tuples() WHERE relname LIKE 'kept%' ORDER BY relname;
TABLE kept;
VACUUM kept_old, kept_new, kept_rollback;
TABLE kept;
SELECT ft.sampler_tick('horizon');
SELECT ft.sampler_tick('horizon');
TABLE kept;
VACUUM kept_old;
TABLE kept;
SELECT "table", dead, autovacuum FROM ft.dead_tuples_summary WHERE "table" LIKE 'public.kept%' ORDER BY 1;
ROLLBACK PREPARED 'dead tuples';
TABLE kept;
VACUUM kept_old, kept_new;
TABLE kept;

-- A new horizon has to be seen anew, even of one who holds it just so.
BEGIN;
CREATE TABLE kept_holder ();
PREPARE TRANSACTION 'dead tuples';
INSERT INTO kept_old SELECT generate_series(1, 2000);
DELETE FROM kept_old WHERE id > 1;
SELECT pg_stat_force_next_flush();
VACUUM kept_old;
SELECT ft.sampler_tick('horizon');
TABLE kept;
SELECT ft.sampler_tick('horizon');
VACUUM kept_old;
TABLE kept;
ROLLBACK PREPARED 'dead tuples';
DROP VIEW kept;
DROP TABLE kept_old, kept_new, kept_rollback;

-- All databases from this one: of another one there are no names.
SELECT current_database() AS here \gset
CREATE DATABASE dead_tuples_elsewhere;
\c dead_tuples_elsewhere
SET client_min_messages = warning;
CREATE TABLE far (id integer) WITH (autovacuum_enabled = off);
INSERT INTO far SELECT generate_series(1, 3000);
DELETE FROM far WHERE id <= 2500;
SELECT pg_stat_force_next_flush();
SELECT 'far'::regclass::oid AS far \gset
\c :here
SELECT schemaname, relname, n_live_tup, n_dead_tup, dead_tuple_percent, total_size, last_vacuum, autovacuum_threshold,
       autovacuum_percent, severity, size_note, datname, relkind, toast_of, autovacuum_enabled, vacuum_count,
       autovacuum_insert_threshold, n_ins_since_vacuum, horizon_keeps, vacuum_pid
  FROM ft.dead_tuples(2000, true) WHERE datname = 'dead_tuples_elsewhere' \gx
SELECT count(*) FROM ft.dead_tuples(2000) WHERE datname = 'dead_tuples_elsewhere';
SELECT relid = :far AS same_table, datid = (SELECT oid FROM pg_database WHERE datname = 'dead_tuples_elsewhere') AS same_database
  FROM ft.dead_tuples(2000, true) WHERE datname = 'dead_tuples_elsewhere';
-- All that is here is there too, in the same order.
SELECT count(*) FILTER (WHERE e.relid IS NULL) AS missing
  FROM ft.dead_tuples(0) AS h LEFT JOIN ft.dead_tuples(0, true) AS e
       ON h.relid = e.relid AND h.datid IS NOT DISTINCT FROM e.datid;
SELECT bool_and(n_dead_tup >= next OR next IS NULL) AS most_first
  FROM (SELECT n_dead_tup, lead(n_dead_tup) OVER () AS next FROM ft.dead_tuples(0, true)) AS t;
DROP DATABASE dead_tuples_elsewhere;
SELECT count(*) FROM ft.dead_tuples(0, true) WHERE datname = 'dead_tuples_elsewhere';

-- To be read in psql.
SELECT severity, "table", live, dead, "dead %", autovacuum
  FROM ft.dead_tuples_summary WHERE "table" LIKE 'public%' ORDER BY dead DESC;

SELECT * FROM ft.dead_tuples(-1);
SELECT count(*) FROM ft.dead_tuples(NULL);

-- Not for everybody.
CREATE ROLE dead_tuples_nobody;
CREATE ROLE dead_tuples_monitor;
GRANT pg_monitor TO dead_tuples_monitor;
GRANT USAGE ON SCHEMA ft TO dead_tuples_nobody;
SET ROLE dead_tuples_nobody;
SELECT count(*) FROM ft.dead_tuples();
SELECT count(*) FROM ft.dead_tuples_summary;
SET ROLE dead_tuples_monitor;
SELECT relname, total_size > 0 AS sized FROM ft.dead_tuples() WHERE relname = 'parted_1';
SELECT count(*) > 0 AS readable FROM ft.dead_tuples_summary;
RESET ROLE;

REVOKE ALL ON SCHEMA ft FROM dead_tuples_nobody;
DROP ROLE dead_tuples_nobody, dead_tuples_monitor;
DROP TABLE "Weird ""Table", parted, toasted, few;
