/*
 * Alerts: what somebody has to look at now.
 *
 * Plain SQL on what the diagnostics say.  Nothing wrong is no row.
 */

CREATE FUNCTION ft.check_fault_tolerance_alerts()
RETURNS TABLE (
    alert_level text,
    message text,
    alert_name text,
    object text,
    value double precision,
    threshold double precision,
    hint text)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED ROWS 10
BEGIN ATOMIC
    WITH node AS MATERIALIZED (
        SELECT * FROM ft.node_state()
    ), lag AS MATERIALIZED (
        -- A standby that is told to stay behind is late only past that.
        SELECT l.*,
               interval '10 s'
                   + CASE WHEN l.kind = 'node'
                          THEN current_setting('recovery_min_apply_delay')::interval
                          ELSE interval '0'
                     END AS allowed
          FROM ft.replication_lag() AS l
    ), alert AS (
        SELECT 'CRITICAL' AS alert_level,
               'this node is expected to be a primary but is a standby' AS message,
               'unexpected_role' AS alert_name,
               n.node_type AS object,
               NULL::double precision AS value,
               NULL::double precision AS threshold,
               'If the cluster failed over, set fault_tolerance.expected_role to standby here and to primary on the new primary; else SELECT pg_promote().' AS hint
          FROM node AS n
         WHERE n.node_type = 'primary' AND n.in_recovery
        UNION ALL
        SELECT 'CRITICAL',
               'this node is expected to be a standby but is a primary: two nodes may be taking writes',
               'unexpected_role', n.node_type, NULL, NULL,
               'If it was promoted on purpose, set fault_tolerance.expected_role to primary; else stop it before clients write to it.'
          FROM node AS n
         WHERE n.node_type = 'standby' AND NOT n.in_recovery
        UNION ALL
        SELECT 'WARNING',
               format('replication lag of %s is %s s, more than %s s',
                      CASE l.kind WHEN 'node' THEN 'this standby'
                                  WHEN 'logical' THEN 'logical consumer ' || quote_ident(l.name)
                                  ELSE 'standby ' || quote_ident(l.name)
                      END,
                      round(extract(epoch FROM l.lag), 1),
                      round(extract(epoch FROM l.allowed))),
               'replication_lag', l.name,
               extract(epoch FROM l.lag), extract(epoch FROM l.allowed),
               coalesce(l.note, 'See SELECT * FROM ft.replication_lag().')
          FROM lag AS l
         WHERE l.lag > l.allowed
        UNION ALL
        SELECT 'WARNING',
               CASE WHEN l.kind = 'node' THEN 'this standby receives no WAL'
                    WHEN l.state = 'lost' THEN format('slot %I lost WAL that its consumer needs', l.name)
                    ELSE format('nobody is connected to slot %I, which keeps %s of WAL',
                                l.name, pg_size_pretty(l.retained_bytes))
               END,
               'replication_disconnected', l.name, l.retained_bytes, NULL,
               CASE WHEN l.kind = 'node' THEN 'Look for the reason in the server log; see primary_conninfo.'
                    WHEN l.state = 'lost' THEN 'Rebuild the consumer, then drop the slot.'
                    ELSE 'Bring the consumer back, or drop the slot before it fills the disk.'
               END
          FROM lag AS l
         WHERE l.state IN ('disconnected', 'lost')
    )
    SELECT a.alert_level, a.message, a.alert_name, a.object, a.value,
           a.threshold, a.hint
      FROM alert AS a
     ORDER BY (a.alert_level = 'CRITICAL') DESC, a.alert_name, a.object;
END;

COMMENT ON FUNCTION ft.check_fault_tolerance_alerts() IS
'what has to be looked at now, worst first; no row if nothing';

REVOKE ALL ON FUNCTION ft.check_fault_tolerance_alerts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.check_fault_tolerance_alerts() TO pg_monitor;

