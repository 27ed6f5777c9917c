-- ft.check_fault_tolerance_alerts(): no row if nothing is wrong, what is lost
-- or left behind otherwise.  Lag and roles are in test/tap/020_replication.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

SELECT count(*) FROM ft.check_fault_tolerance_alerts();

-- A slot whose consumer is away.  One that was never used keeps nothing.
SELECT slot_name FROM pg_create_physical_replication_slot('ft_away', true);
SELECT slot_name FROM pg_create_physical_replication_slot('ft_unused');
SELECT alert_level, regexp_replace(message, '\d+ (bytes|kB|MB)', 'N') AS message,
       alert_name, object, value > 0 AS value, threshold, hint
  FROM ft.check_fault_tolerance_alerts() WHERE alert_name = 'replication_disconnected';
SELECT pg_drop_replication_slot('ft_away'), pg_drop_replication_slot('ft_unused');
SELECT count(*) FROM ft.check_fault_tolerance_alerts();

CREATE ROLE alerts_nobody;
CREATE ROLE alerts_monitor;
GRANT pg_monitor TO alerts_monitor;
GRANT USAGE ON SCHEMA ft TO alerts_nobody;
SET ROLE alerts_nobody;
SELECT * FROM ft.check_fault_tolerance_alerts();
SET ROLE alerts_monitor;
SELECT * FROM ft.check_fault_tolerance_alerts();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM alerts_nobody;
DROP ROLE alerts_nobody, alerts_monitor;
