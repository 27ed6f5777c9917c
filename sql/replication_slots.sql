-- ft.replication_slots(): what a slot keeps, since when nobody reads it, and
-- the SQL that ends it.  Consumers, invalidation and conflicts on a standby are
-- in test/tap/110_replication_health.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT count(*) FROM ft.replication_slots();
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away', true);
SELECT slot_name FROM pg_create_physical_replication_slot('ft_unused');
SELECT slot_name FROM pg_create_physical_replication_slot('ft_temporary', true, true);

-- The sampler notes it, where the server does not tell.
SELECT ft.sampler_tick('slots');
SELECT pg_sleep(0.02);
SELECT slot_name, slot_type, datname, state, active, active_pid = pg_backend_pid() AS mine,
       retained_bytes >= 0 AS retains, safe_wal_size, wal_status,
       inactive_duration > '10 ms' AS inactive, invalidation_cause, xmin_age, severity, temporary, synced
  FROM ft.replication_slots() ORDER BY slot_name;
SELECT ft.slot_inactive_since('ft_away') IS NOT NULL AS noted,
       ft.slot_inactive_since('ft_temporary') AS in_use,
       ft.slot_inactive_since('no such slot') AS unknown;
-- The first time counts, not the last.
SELECT ft.slot_inactive_since('ft_away') AS first \gset
SELECT ft.sampler_tick('slots');
SELECT ft.slot_inactive_since('ft_away') = :'first' AS kept;

-- Thresholds: as shipped silent, then by inactivity, then by WAL.
SELECT ft.set_threshold('slot_inactive', 0.001, 1000);
SELECT slot_name, severity, hint FROM ft.replication_slots() ORDER BY slot_name;
SELECT ft.reset_threshold('slot_inactive');
CREATE TABLE slots_wal (id integer);
INSERT INTO slots_wal SELECT generate_series(1, 1000);
SELECT ft.set_threshold('slot_retained', 1, 1000);
SELECT slot_name, severity FROM ft.replication_slots() ORDER BY slot_name;
SELECT ft.reset_threshold('slot_retained');
DROP TABLE slots_wal;

-- The SQL drops the one it was written for, and does nothing once its slot is
-- another one or has a consumer.
SELECT sql FROM ft.replication_slots() WHERE slot_name = 'ft_unused';
SELECT regexp_replace(sql, '/\*.*\*/', '') AS drop_it FROM ft.replication_slots() WHERE slot_name = 'ft_away' \gset
SELECT pg_drop_replication_slot('ft_away');
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away');
:drop_it;
SELECT slot_name, state FROM ft.replication_slots() WHERE slot_name = 'ft_away';
SELECT sql FROM ft.replication_slots() WHERE slot_name IN ('ft_away', 'ft_unused') ORDER BY slot_name \gexec
SELECT slot_name, state, regexp_replace(sql, '\d+', 'PID') AS sql FROM ft.replication_slots();
SELECT pg_drop_replication_slot('ft_temporary');

-- A slot of the same name made anew has not been inactive for longer.
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away', true);
SELECT ft.sampler_tick('slots');
SELECT ft.slot_inactive_since('ft_away') AS first \gset
SELECT pg_drop_replication_slot('ft_away');
SELECT ft.sampler_tick('slots');
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away', true);
SELECT ft.sampler_tick('slots');
SELECT ft.slot_inactive_since('ft_away') > :'first' AS anew;
SELECT slot, type, state FROM ft.replication_slots_summary;
SELECT pg_drop_replication_slot('ft_away');

-- Nothing conflicts on a primary.
SELECT * FROM ft.standby_conflicts();
SELECT * FROM ft.standby_conflicts_summary;

CREATE ROLE slots_nobody;
CREATE ROLE slots_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO slots_nobody;
SET ROLE slots_nobody;
SELECT * FROM ft.replication_slots();
SELECT * FROM ft.standby_conflicts();
SELECT * FROM ft.slot_inactive_since('x');
SELECT * FROM ft.replication_slots_summary;
SET ROLE slots_monitor;
SELECT count(*) FROM ft.replication_slots_summary;
SELECT count(*) FROM ft.standby_conflicts_summary;
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM slots_nobody;
DROP ROLE slots_nobody, slots_monitor;
