-- ft.xmin_horizon(): this session and prepared transactions as holders.  What
-- takes other sessions, slots and standbys is in test/tap/100_xmin_horizon.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
SELECT ft.sampler_tick('xid clock');

-- Autovacuum may analyze something meanwhile, and use up ids.
CREATE VIEW horizon AS
SELECT * FROM ft.xmin_horizon() WHERE backend_type IS DISTINCT FROM 'autovacuum worker';

-- The statement that asks is none.
SELECT count(*) FROM horizon;

-- A transaction of this session with an id of its own is one.
BEGIN;
SELECT pg_current_xact_id() IS NOT NULL AS assigned;
SELECT horizon, kind, holds, xmin = pg_current_xact_id()::xid AS own_id,
       xid_age > 0 AS aged, next_xid_age, age BETWEEN '0' AND '10 min' AS age, severity,
       pid = pg_backend_pid() AS this_session, datname, state, action, sql, reason,
       cause, inherited_from, backend_type, query LIKE 'SELECT horizon%' AS query,
       backend_xid = xmin AS backend_xid
  FROM horizon;
ROLLBACK;

-- So is a snapshot that lasts, of a repeatable read or of a cursor, once
-- something happens after it.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT horizon, holds, cause, action FROM horizon;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT 1;
SELECT count(*) FROM horizon;
SELECT pg_current_xact_id() IS NOT NULL AS assigned;
SELECT horizon, holds, cause FROM horizon;
COMMIT;

-- A prepared transaction, with the SQL to end it.
CREATE TABLE held (id integer);
BEGIN;
INSERT INTO held VALUES (1);
SELECT pg_current_xact_id()::xid AS held_xid \gset
PREPARE TRANSACTION 'it''s held';
SELECT pg_current_xact_id() IS NOT NULL AS assigned;
SELECT pg_current_xact_id() IS NOT NULL AS assigned;
SELECT horizon, kind, holds, xmin = :'held_xid'::xid AS its_id, xid_age >= 3 AS aged, next_xid_age, age IS NOT NULL AS age,
       severity, pid, datname, usename = current_user AS own, gid,
       action, replace(sql, current_user, 'me') AS sql, reason, cause, since <= now() AS since, query
  FROM horizon;
SELECT horizon, severity, holder, kind, transactions >= 3 AS transactions, age < '10 min' AS age, action
  FROM ft.xmin_horizon_summary;

-- Behind it this session is none the less; what its snapshot inherited is
-- said.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT kind, holds, next_xid_age >= 3 AS next_xid_age, cause, inherited_from
  FROM horizon WHERE horizon = 'data';
SELECT pg_current_xact_id() IS NOT NULL AS assigned;
SELECT kind, holds, next_xid_age >= 3 AS next_xid_age, cause, inherited_from
  FROM horizon WHERE horizon = 'data';
COMMIT;

-- It says what VACUUM says.
CREATE TABLE dying (id integer) WITH (autovacuum_enabled = off);
INSERT INTO dying SELECT generate_series(1, 10);
DELETE FROM dying;
VACUUM dying;
SELECT pg_relation_size('dying') > 0 AS kept;

-- The SQL ends it, and then nothing is held.
SELECT split_part(sql, ' /*', 1) FROM horizon WHERE horizon = 'data' \gexec
SELECT count(*) FROM horizon;
VACUUM dying;
SELECT pg_relation_size('dying') > 0 AS kept;

-- Severity by the threshold, which users change.
BEGIN;
SELECT pg_current_xact_id() IS NOT NULL AS assigned;
SELECT ft.set_threshold('xmin_horizon', 0, 86400);
SELECT DISTINCT severity FROM horizon;
SELECT ft.set_threshold('xmin_horizon', 0, 0);
SELECT DISTINCT severity FROM horizon;
ROLLBACK;

-- In a transaction that failed there is no answer, as to any query.
BEGIN;
SELECT 1 / 0;
SELECT count(*) FROM horizon;
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM horizon;
ROLLBACK;

-- For pg_monitor, and not for everybody.
CREATE ROLE xmin_horizon_nobody;
CREATE ROLE xmin_horizon_monitor;
GRANT pg_monitor TO xmin_horizon_monitor;
GRANT USAGE ON SCHEMA ft TO xmin_horizon_nobody;
SET ROLE xmin_horizon_nobody;
SELECT count(*) FROM ft.xmin_horizon();
SELECT count(*) FROM ft.xmin_horizon_summary;
SET ROLE xmin_horizon_monitor;
SELECT count(*) >= 0 AS allowed FROM ft.xmin_horizon();
SELECT count(*) >= 0 AS allowed FROM ft.xmin_horizon_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM xmin_horizon_nobody;
DROP ROLE xmin_horizon_nobody, xmin_horizon_monitor;
DROP TABLE held, dying;
DROP VIEW horizon;
