-- ft.index_advice() and ft.scan_advice(): what is found, and what is not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE SCHEMA "Advice schema";
SET search_path = "Advice schema";
CREATE TABLE parent (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY, a integer REFERENCES parent, b integer, c text COLLATE "C", d text, e integer);

-- Alike, in all that can differ.
CREATE INDEX b_1 ON t (b);
CREATE INDEX b_2 ON t (b);
CREATE INDEX b_desc ON t (b DESC);
CREATE INDEX b_partial ON t (b) WHERE a > 0;
CREATE INDEX b_partial_2 ON t (b) WHERE    a > 0;
CREATE INDEX b_partial_other ON t (b) WHERE a > 1;
CREATE INDEX b_including ON t (b) INCLUDE (e);
CREATE INDEX b_hash ON t USING hash (b);
CREATE INDEX c_1 ON t (c);
CREATE INDEX c_pattern ON t (c text_pattern_ops);
CREATE INDEX c_collation ON t (c COLLATE "POSIX");
CREATE INDEX expression_1 ON t (lower(d));
CREATE INDEX expression_2 ON t (  lower(d));
CREATE INDEX expression_other ON t (upper(d));
CREATE INDEX id_like_key ON t (id);
CREATE UNIQUE INDEX e_unique ON t (e);
CREATE INDEX e_not_unique ON t (e);
-- The first columns of another.
CREATE INDEX d_b_e ON t (d, b, e);
CREATE INDEX d_b ON t (d, b);
CREATE UNIQUE INDEX d_unique ON t (d);
CREATE INDEX b_e ON t (b, e);
-- Unused, needed and used.
CREATE INDEX a_1 ON t (a);
CREATE INDEX used ON t (a, c, d);
CREATE TABLE identity (id integer NOT NULL);
CREATE UNIQUE INDEX identity_index ON identity (id);
ALTER TABLE identity REPLICA IDENTITY USING INDEX identity_index;
CREATE TABLE excluded (r int4range, EXCLUDE USING gist (r WITH &&));
CREATE TABLE parted (id integer, v integer) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE INDEX parted_unused ON parted (v);
CREATE INDEX parted_used ON parted (id, v);
CREATE INDEX parted_incomplete ON ONLY parted (v, id);
INSERT INTO parent VALUES (1);
INSERT INTO t SELECT i, 1, i, i, i, i FROM generate_series(1, 100) AS i;
INSERT INTO parted SELECT i, i FROM generate_series(1, 19) AS i;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM t WHERE a = 1 AND c = '1' AND d = '1';
SELECT v FROM parted WHERE id = 12;
RESET enable_seqscan;
RESET enable_bitmapscan;
-- Invalid.
CREATE TABLE doubles (id integer, v integer);
INSERT INTO doubles VALUES (1, 1), (1, 1);
CREATE UNIQUE INDEX CONCURRENTLY doubles_id ON doubles (id);
CREATE UNIQUE INDEX CONCURRENTLY doubles_id_ccnew ON doubles (id);
SELECT pg_stat_force_next_flush();

SELECT kind, relname, indexrelname, covered_by, idx_scan, caveat
  FROM ft.index_advice() WHERE schemaname = 'Advice schema'
 ORDER BY kind, relname, indexrelname;
-- One that would do the work of a duplicate that is used is not unused.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
CREATE TABLE two (v integer);
CREATE INDEX two_1 ON two (v);
SELECT count(*) FROM two WHERE v = 1;
CREATE INDEX two_2 ON two (v) INCLUDE (v);
SELECT pg_stat_force_next_flush();
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT kind, indexrelname, covered_by, idx_scan FROM ft.index_advice() WHERE relname = 'two';
SELECT kind, regexp_replace(sql, 'database \S+', 'database x') AS sql, reason
  FROM ft.index_advice()
 WHERE indexrelname IN ('doubles_id', 'doubles_id_ccnew', 'b_2', 'a_1', 'parted_unused', 'parted_incomplete', 'd_b')
   AND schemaname = 'Advice schema'
 ORDER BY indexrelname;
SELECT bool_and(index_size = pg_relation_size(indexrelid)) AS right_size,
       bool_and(stats_since IS NOT DISTINCT FROM (SELECT stats_reset FROM pg_stat_database
                                                   WHERE datname = current_database())) AS right_since
  FROM ft.index_advice() WHERE relname = 't';
SELECT index_size = (SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits
                      WHERE inhparent = 'parted_unused'::regclass) AS of_all_partitions
  FROM ft.index_advice() WHERE indexrelname = 'parted_unused';

-- What it proposes mends it: nothing is invalid, duplicate or redundant afterwards.
DELETE FROM doubles;
SELECT sql FROM ft.index_advice() WHERE kind <> 'unused' AND schemaname = 'Advice schema' AND sql IS NOT NULL \g /dev/null
\set ECHO none
SELECT sql FROM ft.index_advice() WHERE kind <> 'unused' AND schemaname = 'Advice schema' AND sql IS NOT NULL \gexec
\set ECHO all
SELECT kind, indexrelname, covered_by FROM ft.index_advice()
 WHERE kind <> 'unused' AND schemaname = 'Advice schema';

-- Large tables that are read from end to end.
CREATE TABLE large (id integer PRIMARY KEY, v integer, filler text);
INSERT INTO large SELECT i, i, repeat('x', 500) FROM generate_series(1, 30000) AS i;
SELECT pg_stat_force_next_flush();
ANALYZE large;
SELECT count(*) FROM ft.scan_advice() WHERE relname = 'large';
SELECT filler = '' AS empty FROM large WHERE v = 77;
SELECT filler = '' AS empty FROM large WHERE v = 78;
SELECT v FROM large WHERE id = 79;
SELECT pg_stat_force_next_flush();
SELECT kind, schemaname, relname, table_size = pg_total_relation_size('large') AS right_size,
       seq_scan >= 2 AS scanned, rows_per_scan >= 10000 AS many, idx_scan, query, reason
  FROM ft.scan_advice() WHERE relname = 'large';
SELECT count(*) FROM ft.scan_advice(100000000) WHERE relname = 'large';
SELECT kind, "table", scans >= 2 AS scanned, rows >= 10000 AS many FROM ft.scan_advice_summary WHERE "table" LIKE '%large';
SELECT ft.set_threshold('scanned_rows', 40000, NULL);
SELECT count(*) FROM ft.scan_advice() WHERE relname = 'large';
SELECT ft.reset_threshold('scanned_rows');
SELECT * FROM ft.scan_advice(-1);

-- While others hold a table locked: nothing waits.
BEGIN;
LOCK TABLE large, t IN ACCESS EXCLUSIVE MODE;
SELECT count(*) > 0 AS answers FROM ft.index_advice();
SELECT count(*) > 0 AS answers FROM ft.scan_advice();
ROLLBACK;

-- In a query that could have parallel workers.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(*) > 0 AS rows, (SELECT count(*) > 0 FROM ft.scan_advice()) AS answers FROM pg_class;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- Who may.
CREATE ROLE advice_watcher;
GRANT pg_monitor TO advice_watcher;
CREATE ROLE advice_nobody;
GRANT USAGE ON SCHEMA ft TO advice_nobody;
SET ROLE advice_watcher;
SELECT count(*) > 0 AS readable FROM ft.index_advice_summary;
SELECT count(*) AS readable FROM ft.scan_advice_summary WHERE "table" LIKE '%large';
SET ROLE advice_nobody;
SELECT count(*) FROM ft.index_advice();
SELECT count(*) FROM ft.scan_advice();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM advice_nobody;
DROP ROLE advice_watcher, advice_nobody;
SET client_min_messages = warning;
DROP SCHEMA "Advice schema" CASCADE;
