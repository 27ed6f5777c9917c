-- ft.lock_table(): how full the lock table is, by the table's own counts.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- Sized by the settings.
SELECT lock_capacity % current_setting('max_locks_per_transaction')::int AS rest,
       lock_capacity >= current_setting('max_locks_per_transaction')::int
           * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) AS at_least,
       holder_capacity = 2 * lock_capacity AS two_holders_each, severity, hint
  FROM ft.lock_table();

-- As many more as are taken, and as many less afterwards: advisory locks have no
-- fast path.
SELECT locks AS locks_before, holders AS holders_before FROM ft.lock_table_counts() \gset
BEGIN;
SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, 1000) AS n;
SELECT locks - :locks_before BETWEEN 1000 AND 1100 AS locks,
       holders - :holders_before BETWEEN 1000 AND 1100 AS holders
  FROM ft.lock_table_counts();
-- A strong lock on a relation has none either.
CREATE TABLE lock_table_strong (id integer);
SELECT locks > :locks_before + 1000 AS strong FROM ft.lock_table_counts();
SELECT used_percent = 100.0 * greatest(locks::float8 / lock_capacity, holders::float8 / holder_capacity) AS percent
  FROM ft.lock_table();
SAVEPOINT s;
SELECT ft.set_threshold('lock_table', 0.001, 0.002);
SELECT severity, hint IS NOT NULL AS hint FROM ft.lock_table();
ROLLBACK;
SELECT locks - :locks_before < 100 AS given_back FROM ft.lock_table_counts();

CREATE ROLE lock_table_nobody;
CREATE ROLE lock_table_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO lock_table_nobody;
SET ROLE lock_table_nobody;
SELECT * FROM ft.lock_table();
SELECT * FROM ft.lock_table_counts();
SET ROLE lock_table_monitor;
SELECT count(*) FROM ft.lock_table();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM lock_table_nobody;
DROP ROLE lock_table_nobody, lock_table_monitor;
