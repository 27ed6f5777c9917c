-- ft.freeze_age() and ft.table_freeze_age(): agree with age() and mxid_age(),
-- say how far it is, why, and what stands in the way.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- All databases, with the ages that the server tells; autovacuum may use up an
-- id or two while they are looked at.
SELECT count(*) = (SELECT count(*) FROM pg_database) AS all_databases,
       count(*) FILTER (WHERE abs(f.xid_age - age(d.datfrozenxid)) > 5
                           OR f.multixact_age <> mxid_age(d.datminmxid)
                           OR f.datname <> d.datname OR f.datallowconn <> d.datallowconn) AS wrong
  FROM ft.freeze_age() AS f JOIN pg_database AS d ON d.oid = f.datid;

-- The limits, and the way to them.
SELECT DISTINCT freeze_max_age, multixact_freeze_max_age, stop_age, multixact_stop_age,
       xids_left = stop_age - xid_age AS left,
       multixacts_left = multixact_stop_age - multixact_age AS multixacts_left,
       freeze_percent = round(100.0 * xid_age / freeze_max_age, 2) AS freeze_percent,
       stop_percent = round(100.0 * xid_age / stop_age, 2) AS stop_percent,
       severity
  FROM ft.freeze_age();
-- The cluster's oldest, and what is oldest in this one.
SELECT bool_or(is_oldest) AS there_is_one,
       bool_and(is_oldest = (xid_age = (SELECT max(age(datfrozenxid)) FROM pg_database))) AS right_one
  FROM ft.freeze_age();
SELECT age(relfrozenxid) = (SELECT max(age(relfrozenxid)) FROM pg_class WHERE relfrozenxid::text::bigint >= 3) AS oldest,
       mxid_age(m.relminmxid) = (SELECT max(mxid_age(relminmxid)) FROM pg_class WHERE relminmxid::text::bigint >= 1) AS oldest_multixact
  FROM ft.freeze_age() AS f
  JOIN pg_class AS c ON c.oid = f.oldest_relation::regclass
  JOIN LATERAL (SELECT relminmxid FROM pg_class WHERE oid = f.oldest_multixact_relation::regclass) AS m ON true
 WHERE f.datname = current_database();
SELECT count(*) FROM ft.freeze_age() WHERE oldest_relation IS NOT NULL AND datname <> current_database();

-- When that would be, once the rate is known over half a minute.
SELECT ft.sampler_tick('xid clock');
SELECT bool_and((time_left IS NULL) = (covered < '30 s')) AS once_known FROM ft.freeze_age(), ft.xid_rate();

-- Tables: all that have an age, as the server tells it.
CREATE TABLE freeze_old (id integer) WITH (autovacuum_freeze_max_age = 150000);
CREATE TABLE freeze_toast (t text) WITH (autovacuum_enabled = off);
CREATE TABLE freeze_view_of (id integer);
CREATE MATERIALIZED VIEW freeze_matview AS TABLE freeze_view_of;
CREATE TEMPORARY TABLE freeze_temporary (id integer);
SELECT count(*) = (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'm', 't')) AS all_tables,
       count(*) FILTER (WHERE abs(f.xid_age - age(c.relfrozenxid)) > 5
                           OR f.multixact_age <> mxid_age(c.relminmxid)
                           OR f.total_size <> pg_total_relation_size(c.oid)
                           OR f.relkind <> c.relkind OR f.relpersistence <> c.relpersistence
                           OR f.is_shared <> c.relisshared) AS wrong
  FROM ft.table_freeze_age(0, 100000) AS f JOIN pg_class AS c ON c.oid = f.relid;
SELECT bool_and(greatest(freeze_percent, multixact_freeze_percent) >= next OR next IS NULL) AS nearest_first
  FROM (SELECT *, lead(greatest(freeze_percent, multixact_freeze_percent)) OVER () AS next
          FROM ft.table_freeze_age(0, 100000)) AS t;
SELECT relname, severity, why, freeze_max_age, multixact_freeze_max_age,
       autovacuum_enabled, relkind, relpersistence, vacuum_pid, size_note
  FROM ft.table_freeze_age(0, 100000) WHERE relname LIKE 'freeze\_%' ORDER BY relname;
-- A TOAST table goes by the parameters of its table.
SELECT toast_of::regclass, autovacuum_enabled
  FROM ft.table_freeze_age(0, 100000) WHERE toast_of IN ('freeze_toast'::regclass, 'freeze_matview'::regclass);

-- Its age limits are the thresholds' measure.
BEGIN;
SELECT ft.set_threshold('freeze_age', 0, 125);
SELECT severity FROM ft.table_freeze_age(0, 100000) WHERE relname = 'freeze_old';
SELECT DISTINCT severity FROM ft.freeze_age();
ROLLBACK;

-- What holds the horizon keeps a new table from being frozen any further; a
-- temporary table is nobody else's.
BEGIN;
CREATE TABLE freeze_held (id integer);
SELECT relname, horizon_keeps FROM ft.table_freeze_age(0, 100000)
 WHERE relname IN ('freeze_held', 'freeze_temporary') ORDER BY relname;
ROLLBACK;
SELECT relname, horizon_keeps FROM ft.table_freeze_age(0, 100000) WHERE relname = 'freeze_old';

-- Only so old, only so many.
SELECT count(*) FROM ft.table_freeze_age(2147483647, 100);
SELECT count(*) FROM ft.table_freeze_age();
SELECT count(*) FROM ft.table_freeze_age(0, 3);
SELECT count(*) FROM ft.table_freeze_age(0, 0);
SELECT count(*) FROM ft.table_freeze_age(-1);
SELECT count(*) FROM ft.table_freeze_age(0, -1);
SELECT count(*) FROM ft.table_freeze_age(NULL);

SELECT count(*) = (SELECT count(*) FROM pg_database) AS all_databases FROM ft.freeze_age_summary;

-- For pg_monitor, and not for everybody.
CREATE ROLE freeze_age_nobody;
CREATE ROLE freeze_age_monitor;
GRANT pg_monitor TO freeze_age_monitor;
GRANT USAGE ON SCHEMA ft TO freeze_age_nobody;
SET ROLE freeze_age_nobody;
SELECT count(*) FROM ft.freeze_age();
SELECT count(*) FROM ft.table_freeze_age();
SELECT count(*) FROM ft.freeze_age_summary;
SET ROLE freeze_age_monitor;
SELECT count(*) > 0 AS allowed FROM ft.freeze_age();
SELECT count(*) > 0 AS allowed FROM ft.table_freeze_age();
SELECT count(*) > 0 AS allowed FROM ft.freeze_age_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM freeze_age_nobody;
DROP ROLE freeze_age_nobody, freeze_age_monitor;
DROP MATERIALIZED VIEW freeze_matview;
DROP TABLE freeze_old, freeze_toast, freeze_view_of;
