-- Replication on a single primary: this node's row, slots, the age of WAL.
-- Standbys are in test/tap/020_replication.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- There is always the row of this node.
SELECT node_type, status, last_receive_lsn, last_replay_lsn, replication_lag,
       node_name, state, as_expected, timeline
  FROM ft.fault_tolerance_monitoring;
SELECT node_type, in_recovery, timeline, wal_end BETWEEN '0/1' AND pg_current_wal_lsn() AS sane,
       receive_lsn, replay_lsn, last_replayed_at, replay_pause_state, streams
  FROM ft.node_state();
SELECT count(*) FROM ft.replication_lag();

-- A slot that nobody reads lags from the first commit after what it keeps.
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away', true);
SELECT slot_name FROM pg_create_physical_replication_slot('ft_unused');
CREATE TABLE replication_commit (id integer);
SELECT pg_sleep(0.05);
SELECT kind, name, state, flush_lag_bytes > 0 AS behind, replay_lag_bytes,
       flush_lag > '50 ms' AND flush_lag < '1 min' AS aged, replay_lag,
       lag = flush_lag AS lag, lag_bytes = flush_lag_bytes AS lag_bytes,
       retained_bytes > 0 AS retains, note, wal_status
  FROM ft.replication_lag() ORDER BY name;
SELECT node_type, status, node_name, state, replication_lag > '50 ms' AS lags
  FROM ft.fault_tolerance_monitoring ORDER BY status, node_name;

-- The age of the WAL: of the first commit after a position, not of a later.
SELECT pg_current_wal_insert_lsn() AS early \gset
CREATE TABLE replication_first (id integer);
SELECT clock_timestamp() AS first \gset
SELECT pg_sleep(0.05);
SELECT pg_current_wal_insert_lsn() AS late \gset
CREATE TABLE replication_second (id integer);
SELECT clock_timestamp() - :'first'::timestamptz <= ft.wal_age(:'early') AS of_first,
       ft.wal_age(:'late') < ft.wal_age(:'early') - interval '50 ms' AS of_second;
-- In the middle of a record, too.
SELECT ft.wal_age(:'early'::pg_lsn + 5) >= interval '50 ms' AS of_first;
-- Nothing follows the end, and what is not there is not known.
SELECT ft.wal_age('FFFFFFFF/0'), ft.wal_age('0/0'), ft.wal_age('0/28'), ft.wal_age(NULL);
-- WAL without a commit is no lag.
SELECT pg_current_wal_insert_lsn() AS early \gset
BEGIN;
CREATE TABLE replication_never (id integer);
SELECT ft.wal_age(:'early');
ROLLBACK;

SELECT pg_drop_replication_slot(slot_name)
  FROM pg_replication_slots WHERE slot_name LIKE 'ft\_%' ORDER BY slot_name;

CREATE ROLE replication_nobody;
CREATE ROLE replication_monitor;
GRANT pg_monitor TO replication_monitor;
GRANT USAGE ON SCHEMA ft TO replication_nobody;
SET ROLE replication_nobody;
SELECT * FROM ft.replication_lag();
SELECT * FROM ft.wal_age('0/1');
SELECT * FROM ft.node_state();
SELECT * FROM ft.fault_tolerance_monitoring;
SET ROLE replication_monitor;
SELECT status FROM ft.fault_tolerance_monitoring;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM replication_nobody;
DROP ROLE replication_nobody, replication_monitor;
DROP TABLE replication_commit, replication_first, replication_second;
