/*
 * Alerts: what somebody has to look at now.
 *
 * The checks of ft.health_check() that are over a threshold.  Nothing wrong is
 * no row.
 */

CREATE FUNCTION ft.check_fault_tolerance_alerts()
RETURNS TABLE (
    alert_level text,
    message text,
    alert_name text,
    object text,
    value double precision,
    threshold double precision,
    hint text,
    unit text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 10
BEGIN ATOMIC
    SELECT c.status, c.message, c.check_name, c.object, c.value,
           CASE c.status WHEN 'CRITICAL' THEN c.critical ELSE c.warning END,
           c.hint, c.unit
      FROM ft.health_check() WITH ORDINALITY AS c
     WHERE c.status IN ('CRITICAL', 'WARNING')
     ORDER BY c.status = 'CRITICAL' DESC, c.ordinality;
END;

COMMENT ON FUNCTION ft.check_fault_tolerance_alerts() IS
'what has to be looked at now, worst first; no row if nothing';

REVOKE ALL ON FUNCTION ft.check_fault_tolerance_alerts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.check_fault_tolerance_alerts() TO pg_monitor;

