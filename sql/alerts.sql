-- ft.check_fault_tolerance_alerts(): what ft.health_check() finds over a
-- threshold, and nothing else.  Lag and roles are in
-- test/tap/020_replication.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- This server runs without fsync and without workers, and its machine is busy.
CREATE VIEW alert AS
SELECT * FROM ft.check_fault_tolerance_alerts()
 WHERE alert_name NOT IN ('unsafe_settings', 'worker', 'load', 'disk', 'memory', 'requested_checkpoints',
                          'error_rate', 'deadlocks', 'slow_query', 'rollbacks', 'replication_lag');
SELECT alert_level, message, object FROM ft.check_fault_tolerance_alerts() WHERE alert_name = 'unsafe_settings';
SELECT count(*) FROM alert;

-- A slot whose consumer is away.  One that was never used keeps nothing.
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away', true);
SELECT slot_name FROM pg_create_physical_replication_slot('ft_unused');
SELECT alert_level, regexp_replace(message, '\d+ (bytes|kB|MB)', 'N') AS message,
       alert_name, object, value > 0 AS value, threshold, hint, unit
  FROM alert;

-- The threshold is that of the level.
SELECT ft.set_threshold('slot_retained', 1, 1e15);
SELECT alert_level, object, threshold FROM alert WHERE alert_name = 'slot_retained';
SELECT ft.set_threshold('slot_retained', 0.5, 1);
SELECT alert_level, object, threshold FROM alert WHERE alert_name = 'slot_retained';
SELECT ft.reset_threshold('slot_retained');
SELECT pg_drop_replication_slot('ft_away'), pg_drop_replication_slot('ft_unused');
SELECT count(*) FROM alert;
DROP VIEW alert;

CREATE ROLE alerts_nobody;
CREATE ROLE alerts_monitor;
GRANT pg_monitor TO alerts_monitor;
GRANT USAGE ON SCHEMA ft TO alerts_nobody;
SET ROLE alerts_nobody;
SELECT * FROM ft.check_fault_tolerance_alerts();
SET ROLE alerts_monitor;
SELECT count(*) > 0 AS alerts FROM ft.check_fault_tolerance_alerts();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM alerts_nobody;
DROP ROLE alerts_nobody, alerts_monitor;
