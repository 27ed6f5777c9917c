-- ft.table_bloat(): what is on the pages is what was put there, and what it
-- says would be gained is what a rewrite gains.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TABLE bloat_t (id integer, n bigint, t text) WITH (autovacuum_enabled = off);
ALTER TABLE bloat_t ALTER t SET STORAGE EXTERNAL;
INSERT INTO bloat_t SELECT i, i % 7, repeat('x', 100) FROM generate_series(1, 20000) AS i;
INSERT INTO bloat_t SELECT 0, i, repeat('y', 5000) FROM generate_series(1, 300) AS i;
ALTER TABLE bloat_t ADD CONSTRAINT bloat_pk UNIQUE (id, n);
CREATE INDEX bloat_few ON bloat_t (n);
CREATE INDEX bloat_hash ON bloat_t USING hash (id);
CREATE VIEW bloat AS
SELECT kind, regexp_replace(relname, '\d{4,}', 'N') AS relname, severity, bloat_percent AS bloat,
       live_tuples AS live, dead_tuples AS dead, kept_tuples AS kept, dead_items AS items,
       free_percent AS free, pages = pages_read AS all_read, fillfactor, note
  FROM ft.table_bloat('bloat_t');

-- Fresh: all is live, hardly anything is free, little would be gained.
SELECT kind, relname, severity, bloat < 8 AS compact, live, dead, kept, items, free < 15 AS full, all_read, fillfactor, note
  FROM bloat;
-- The figures are of one another.
SELECT bool_and(relation_size = pg_relation_size(relid)
                AND pages = relation_size / current_setting('block_size')::integer
                AND bloat_bytes <= relation_size
                AND live_bytes + dead_bytes + kept_bytes + free_bytes <= relation_size
                AND bloat_percent = round(100.0 * bloat_bytes / relation_size, 2)
                AND live_percent = round(100.0 * live_bytes / relation_size, 2)
                AND complete) AS consistent
  FROM ft.table_bloat('bloat_t') WHERE note IS NULL;

-- Deleted, while somebody holds the horizon: dead, but kept.
BEGIN;
CREATE TABLE bloat_holder ();
PREPARE TRANSACTION 'bloat';
DELETE FROM bloat_t WHERE id > 4000 OR (id = 0 AND n > 60);
SELECT kind, relname, bloat > 60 AS bloated, live, dead, kept FROM bloat WHERE kind <> 'index';
VACUUM bloat_t;
SELECT kind, relname, bloat > 60 AS bloated, live, dead, kept FROM bloat WHERE kind <> 'index';
ROLLBACK PREPARED 'bloat';
-- Now a vacuum could remove it, and does.
SELECT kind, relname, live, dead, kept FROM bloat WHERE kind <> 'index';
VACUUM (INDEX_CLEANUP off, TRUNCATE off) bloat_t;
SELECT kind, relname, live, dead, kept, items FROM bloat WHERE kind = 'table';
VACUUM (INDEX_CLEANUP on, TRUNCATE off) bloat_t;
SELECT kind, relname, severity, bloat > 60 AS bloated, live, dead, kept, items, free > 60 AS free
  FROM bloat WHERE note IS NULL;

-- What it says would be gained is what is gained, to a tenth of the size.
CREATE TEMPORARY TABLE before AS SELECT * FROM ft.table_bloat('bloat_t');
VACUUM FULL bloat_t;
SELECT b.kind, regexp_replace(b.relname, '\d{4,}', 'N') AS relname,
       abs(b.bloat_bytes - (b.relation_size - a.relation_size)) < 0.1 * b.relation_size AS as_said
  FROM before AS b JOIN ft.table_bloat('bloat_t') AS a USING (kind, relname) WHERE b.note IS NULL;
SELECT relname, bloat < 8 AS compact FROM bloat WHERE note IS NULL AND live > 1000;

-- A fillfactor is none.
CREATE TABLE bloat_loose (id integer) WITH (fillfactor = 30, autovacuum_enabled = off);
INSERT INTO bloat_loose SELECT generate_series(1, 10000);
CREATE INDEX ON bloat_loose (id) WITH (fillfactor = 50);
SELECT relname, fillfactor, bloat_percent < 3 AS compact, free_percent BETWEEN 40 AND 75 AS free
  FROM ft.table_bloat('bloat_loose');

-- Severity goes by the share from a size on.
DELETE FROM bloat_t WHERE id > 100;
BEGIN;
SELECT severity FROM ft.table_bloat('bloat_t') WHERE kind = 'table';
SELECT ft.set_threshold('bloat_size', 100000, NULL);
SELECT severity FROM ft.table_bloat('bloat_t') WHERE kind = 'table';
SELECT ft.set_threshold('bloat', 10, 100);
SELECT severity FROM ft.table_bloat('bloat_t') WHERE kind = 'table';
ROLLBACK;

-- An index by itself, a materialized view, a temporary table, an empty one, a
-- catalog.
SELECT kind, relname, live_tuples FROM ft.table_bloat('bloat_few');
CREATE MATERIALIZED VIEW bloat_m AS SELECT generate_series(1, 500) AS i;
SELECT kind, relname, live_tuples FROM ft.table_bloat('bloat_m');
CREATE TEMPORARY TABLE bloat_temporary AS SELECT generate_series(1, 500) AS i;
DELETE FROM bloat_temporary WHERE i > 200;
SELECT kind, relname, live_tuples, dead_tuples + kept_tuples AS gone FROM ft.table_bloat('bloat_temporary');
CREATE TABLE bloat_empty (id integer PRIMARY KEY);
SELECT kind, relname, severity, relation_size > 0 AS pages, bloat_percent, live_tuples FROM ft.table_bloat('bloat_empty');
SELECT kind, relname, live_tuples >= (SELECT count(*) FROM pg_class) AS rows, note
  FROM ft.table_bloat('pg_class') ORDER BY kind DESC, relname;

-- No faster from disk than allowed; what is cached is not held up.
SET fault_tolerance.bloat_read_rate = '1 kB';
SET statement_timeout = '20 s';
SELECT count(*) FROM ft.table_bloat('bloat_loose');
RESET statement_timeout;
RESET fault_tolerance.bloat_read_rate;

-- What has no pages is refused.
CREATE TABLE bloat_parted (id integer) PARTITION BY RANGE (id);
CREATE TABLE "bloat Part" PARTITION OF bloat_parted FOR VALUES FROM (0) TO (10);
CREATE SEQUENCE bloat_sequence;
SELECT * FROM ft.table_bloat('bloat_parted');
SELECT b.relname, b.live_tuples FROM pg_partition_tree('public.bloat_parted') AS p, ft.table_bloat(p.relid) AS b WHERE p.isleaf;
SELECT * FROM ft.table_bloat('bloat');
SELECT * FROM ft.table_bloat('bloat_sequence');
SELECT * FROM ft.table_bloat(1);
SELECT count(*) FROM ft.table_bloat(NULL);

-- For pg_monitor, who may read no row of it, and not for everybody.
CREATE ROLE bloat_nobody;
CREATE ROLE bloat_monitor;
GRANT pg_monitor TO bloat_monitor;
GRANT USAGE ON SCHEMA ft TO bloat_nobody;
SET ROLE bloat_nobody;
SELECT count(*) FROM ft.table_bloat('bloat_t');
SET ROLE bloat_monitor;
SELECT count(*) FROM bloat_t;
SELECT count(*) FROM ft.table_bloat('bloat_t');
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM bloat_nobody;
DROP ROLE bloat_nobody, bloat_monitor;
DROP VIEW bloat;
DROP MATERIALIZED VIEW bloat_m;
DROP SEQUENCE bloat_sequence;
DROP TABLE bloat_t, bloat_loose, bloat_empty, bloat_parted;
