-- ft.bloat_estimate() against ft.table_bloat() on tables and indexes of many
-- kinds, fresh and bloated: what is reckoned from statistics is near to what is
-- on the pages.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE SCHEMA estimate;
SET search_path = estimate, public;
CREATE TABLE narrow (id integer) WITH (autovacuum_enabled = off);
CREATE TABLE wide (id bigint, b boolean, c char(3), n numeric, t text, at timestamptz, j jsonb, u uuid)
    WITH (autovacuum_enabled = off);
CREATE TABLE nulls (id integer, a integer, b integer, c text, d bigint, e text, f date, g text, h text)
    WITH (autovacuum_enabled = off);
CREATE TABLE loose (id integer, t text) WITH (fillfactor = 60, autovacuum_enabled = off);
CREATE TABLE big_rows (id integer, t text) WITH (autovacuum_enabled = off);
CREATE TABLE toasted (id integer, t text) WITH (autovacuum_enabled = off);
CREATE TABLE changed (id integer, gone text, t text) WITH (autovacuum_enabled = off);
ALTER TABLE toasted ALTER t SET STORAGE EXTERNAL;
ALTER TABLE big_rows ALTER t SET STORAGE PLAIN;
SELECT setseed(0.5);
INSERT INTO narrow SELECT generate_series(1, 100000);
INSERT INTO wide
SELECT i, i % 2 = 0, 'ab', i / 7.0, repeat('x', i % 60), now() + i * interval '1 s',
       jsonb_build_object('key', i, 'name', 'n' || i % 10), gen_random_uuid()
  FROM generate_series(1, 40000) AS i;
INSERT INTO nulls
SELECT i, CASE WHEN i % 2 = 0 THEN i END, NULL, CASE WHEN i % 3 = 0 THEN 'some text' END, i, NULL,
       CASE WHEN i % 10 = 0 THEN current_date END, CASE WHEN i % 4 > 0 THEN repeat('y', 30) END, 'h'
  FROM generate_series(1, 50000) AS i;
INSERT INTO loose SELECT i, repeat('z', 20 + (random() * 20)::integer) FROM generate_series(1, 40000) AS i;
INSERT INTO big_rows SELECT i, repeat('w', 2200) FROM generate_series(1, 3000) AS i;
INSERT INTO toasted SELECT i, repeat('v', 9900) FROM generate_series(1, 800) AS i;
INSERT INTO changed SELECT i, repeat('a', 10), repeat('b', 10) FROM generate_series(1, 30000) AS i;
ALTER TABLE changed DROP COLUMN gone;
VACUUM FULL changed;

CREATE UNIQUE INDEX narrow_id ON narrow (id);
CREATE INDEX narrow_few ON narrow ((id % 100));
CREATE INDEX narrow_loose ON narrow (id) WITH (fillfactor = 50);
CREATE INDEX narrow_part ON narrow (id) WHERE id <= 50000;
CREATE INDEX wide_text ON wide (t, at);
CREATE INDEX wide_numeric ON wide (n) INCLUDE (id);
CREATE INDEX wide_uuid ON wide (u);
CREATE INDEX wide_boolean ON wide (b);
CREATE INDEX wide_plain ON wide (b) WITH (deduplicate_items = off);
CREATE INDEX nulls_a ON nulls (a);
CREATE INDEX nulls_b ON nulls (b);
CREATE INDEX nulls_ca ON nulls (c, a);
CREATE INDEX wide_hash ON wide USING hash (id);
-- Reported first, or ANALYZE and the report would both count them.
SELECT pg_stat_force_next_flush();
VACUUM ANALYZE;

-- Of each, the estimate and the exact, in per cent of its size.
CREATE VIEW compared AS
SELECT e.kind, CASE WHEN e.schemaname = 'pg_toast' THEN e.table_name || ' ' || e.kind ELSE e.relname END AS relation,
       e.note, e.bloat_percent AS estimate, x.bloat_percent AS exact,
       abs(e.bloat_percent - x.bloat_percent) AS difference
  FROM ft.bloat_estimate(100000) AS e, ft.table_bloat(e.relid) AS x
 WHERE x.relid = e.relid
   AND (e.schemaname = 'estimate' OR e.table_name LIKE 'estimate.%');
SELECT kind, relation, note, difference < 6 AS near FROM compared ORDER BY kind DESC, relation;
SELECT kind, relation, estimate, exact FROM compared WHERE difference >= 6;
SELECT count(*) FILTER (WHERE exact > 12) AS bloated FROM compared;

-- Three quarters deleted: until the next ANALYZE the widths are those of before
-- (those of nulls are others after it), but the counts of rows are not.
DELETE FROM narrow WHERE id % 4 > 0;
DELETE FROM wide WHERE id % 4 > 0;
DELETE FROM nulls WHERE id % 4 > 0;
DELETE FROM loose WHERE id % 4 > 0;
DELETE FROM big_rows WHERE id % 4 > 0;
DELETE FROM toasted WHERE id % 4 > 0;
DELETE FROM changed WHERE id % 4 > 0;
SELECT pg_stat_force_next_flush();
SELECT kind, relation, note, difference < 6 AS near FROM compared WHERE kind = 'table' AND relation <> 'nulls' ORDER BY kind DESC, relation;
VACUUM (TRUNCATE off);
ANALYZE;
SELECT kind, relation, note, difference < 6 AS near FROM compared ORDER BY kind DESC, relation;
SELECT kind, relation, estimate, exact FROM compared WHERE difference >= 6;
SELECT count(*) FILTER (WHERE exact < 50) AS not_bloated FROM compared WHERE relation NOT IN ('nulls_ca', 'nulls_a', 'nulls_b');

-- The columns, and severity by the thresholds.
SELECT kind, schemaname, relname, table_name, severity, relation_size = pg_relation_size(relid) AS size,
       bloat_bytes = relation_size - estimated_size AS bloat,
       bloat_percent = round(100.0 * bloat_bytes / relation_size, 2) AS percent,
       n_tuples, fillfactor, note, relid = relname::regclass AS relid,
       table_relid::regclass, relkind, relpersistence, is_shared
  FROM ft.bloat_estimate() WHERE relname IN ('narrow', 'narrow_loose') ORDER BY relname;
BEGIN;
SELECT ft.set_threshold('bloat_size', 100000, NULL);
SELECT relname, severity FROM ft.bloat_estimate() WHERE relname IN ('narrow', 'narrow_loose') ORDER BY relname;
SELECT ft.set_threshold('bloat', 10, 20);
SELECT relname, severity FROM ft.bloat_estimate() WHERE relname IN ('narrow', 'narrow_loose') ORDER BY relname;
ROLLBACK;
SELECT bool_and(bloat_bytes >= next OR next IS NULL) AS most_first
  FROM (SELECT bloat_bytes, lead(bloat_bytes) OVER () AS next FROM ft.bloat_estimate(0)) AS t;

-- What is not known is not reckoned with; what is guessed is no alarm.
CREATE TABLE unknown (id integer PRIMARY KEY, t text) WITH (autovacuum_enabled = off);
INSERT INTO unknown SELECT i, 'x' FROM generate_series(1, 1000) AS i;
SELECT pg_stat_force_next_flush();
SELECT kind, relname, severity, estimated_size, bloat_bytes, bloat_percent, n_tuples, note
  FROM ft.bloat_estimate(0) WHERE schemaname = 'estimate' AND relname LIKE 'unknown%' ORDER BY relname;
VACUUM unknown;
SELECT kind, relname, severity, bloat_bytes IS NOT NULL AS reckoned, n_tuples, note
  FROM ft.bloat_estimate(0) WHERE schemaname = 'estimate' AND relname LIKE 'unknown%' ORDER BY relname;
ANALYZE unknown;
SELECT kind, relname, severity, bloat_bytes IS NOT NULL AS reckoned, n_tuples, note
  FROM ft.bloat_estimate(0) WHERE schemaname = 'estimate' AND relname LIKE 'unknown%' ORDER BY relname;

-- All there is, catalogs and TOAST tables too.
SELECT count(*) = (SELECT count(*) FROM pg_class AS c LEFT JOIN pg_am AS a ON a.oid = c.relam
                    WHERE c.relkind IN ('r', 'm', 't') OR (c.relkind = 'i' AND a.amname = 'btree')) AS all_there_is
  FROM ft.bloat_estimate(0);
SELECT count(*) FROM ft.bloat_estimate(1000000000000);
SELECT count(*) FROM ft.bloat_estimate(-1);
SELECT count(*) FROM ft.bloat_estimate(NULL);
SELECT count(*) > 0 AS readable FROM ft.bloat_summary;

-- For pg_monitor, who may read no row and no statistics of them, and not for
-- everybody.
CREATE ROLE estimate_nobody;
CREATE ROLE estimate_monitor;
GRANT pg_monitor TO estimate_monitor;
GRANT USAGE ON SCHEMA ft TO estimate_nobody;
SET ROLE estimate_nobody;
SELECT count(*) FROM ft.bloat_estimate();
SELECT count(*) FROM ft.bloat_summary;
SET ROLE estimate_monitor;
SELECT count(*) FROM pg_stats WHERE schemaname = 'estimate';
SELECT relname, bloat_percent > 50 AS bloated FROM ft.bloat_estimate() WHERE relname = 'narrow';
SELECT count(*) > 0 AS readable FROM ft.bloat_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM estimate_nobody;
DROP ROLE estimate_nobody, estimate_monitor;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA estimate CASCADE;
