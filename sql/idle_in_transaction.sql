-- ft.idle_in_transaction() and ft.held_locks() by a single session.  Sessions
-- that are idle are in test/isolation/specs/idle_in_transaction.spec.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT count(*) FROM ft.idle_in_transaction();
SELECT count(*) FROM ft.idle_in_transaction(NULL);
SELECT count(*) FROM ft.idle_in_transaction('-1 day');

-- This session's own locks, as pg_locks counts them: weak ones on relations,
-- strong ones, and others.
CREATE TABLE held (id integer);
CREATE TABLE held_too (id integer);
BEGIN;
CREATE FUNCTION pg_temp.difference() RETURNS bigint LANGUAGE sql AS
$$ SELECT h.locks - (SELECT count(*) FROM pg_locks
                      WHERE pid = pg_backend_pid() AND granted
                        AND locktype NOT IN ('virtualxid', 'transactionid'))
     FROM ft.held_locks(pg_backend_pid()) AS h $$;
SELECT pg_temp.difference();
LOCK TABLE held IN ACCESS EXCLUSIVE MODE;
SELECT strongest_mode, pg_temp.difference() FROM ft.held_locks(pg_backend_pid());
SELECT count(*) FROM held_too;
SELECT locks AS before FROM ft.held_locks(pg_backend_pid()) \gset
SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock(2);
SELECT locks - :before AS advisory FROM ft.held_locks(pg_backend_pid());
SELECT pg_temp.difference();
ROLLBACK;
BEGIN;
SELECT count(*) FROM held_too;
SELECT strongest_mode FROM ft.held_locks(pg_backend_pid());
COMMIT;
DROP TABLE held, held_too;

-- What is not a session.
SELECT pid, h.* FROM (VALUES (0), (-1), (2147483647), (NULL)) AS p(pid), LATERAL ft.held_locks(pid) AS h;

-- The SQL that ends a session.
SET datestyle = 'German';
SET timezone = 'Asia/Tokyo';
SELECT regexp_replace(ft.terminate_sql(42, '2026-01-02 03:04:05.678901+00', '2026-01-02 03:04:06+00'), ' /\*.*', '');
SELECT regexp_replace(ft.terminate_sql(42, '2026-01-02 03:04:05.678901+00', NULL), ' /\*.*', '');
RESET datestyle;
RESET timezone;
SELECT ft.terminate_sql(NULL, now(), now()), ft.terminate_sql(42, NULL, NULL);
SELECT regexp_replace(ft.terminate_sql(42, '2026-01-02 03:04:05+00', NULL, '2026-01-02 03:04:06+00'), ' /\*.*', '');

SELECT count(*) FROM ft.idle_in_transaction_summary;

CREATE ROLE idle_nobody;
CREATE ROLE idle_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO idle_nobody;
SET ROLE idle_nobody;
SELECT * FROM ft.idle_in_transaction();
SELECT * FROM ft.held_locks(1);
SELECT ft.terminate_sql(1, now(), now());
SET ROLE idle_monitor;
SELECT count(*) FROM ft.idle_in_transaction_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM idle_nobody;
DROP ROLE idle_nobody, idle_monitor;
