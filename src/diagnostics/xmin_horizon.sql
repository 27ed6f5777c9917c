/* Who keeps vacuum from removing dead rows.  See xmin_horizon.c. */

CREATE FUNCTION ft.xmin_horizon(
    OUT horizon text,
    OUT kind text,
    OUT holds boolean,
    OUT xmin xid,
    OUT xid_age bigint,
    OUT age interval,
    OUT severity text,
    OUT next_xid_age bigint,
    OUT pid integer,
    OUT datname name,
    OUT usename name,
    OUT application_name text,
    OUT state text,
    OUT gid text,
    OUT slot_name name,
    OUT standby text,
    OUT action text,
    OUT sql text,
    OUT reason text,
    OUT cause text,
    OUT inherited_from integer,
    OUT since timestamptz,
    OUT backend_type text,
    OUT client_addr inet,
    OUT backend_start timestamptz,
    OUT xact_start timestamptz,
    OUT state_change timestamptz,
    OUT wait_event_type text,
    OUT wait_event text,
    OUT query text,
    OUT traceparent text,
    OUT datid oid,
    OUT backend_xid xid)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_xmin_horizon'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION ft.xmin_horizon() IS
'who keeps vacuum from removing dead rows of this database, its catalogs and the shared catalogs: each holder of each horizon, oldest first, with what to do about it';

-- Rows come oldest first in each horizon, which a plain scan keeps.
CREATE VIEW ft.xmin_horizon_summary AS
SELECT h.horizon,
       h.severity,
       coalesce(h.slot_name::text, 'gid ' || quote_literal(h.gid), h.pid::text, h.kind) AS holder,
       CASE WHEN h.kind = 'backend' THEN coalesce(h.state, h.backend_type, h.kind)
            ELSE h.kind
       END AS kind,
       left(coalesce(h.standby, h.application_name, h.usename::text), 16) AS "of",
       h.xid_age AS transactions,
       date_trunc('second', h.age) AS age,
       h.action
  FROM ft.xmin_horizon() AS h
 WHERE h.holds AND (h.inherited_from IS NULL OR h.state = 'idle in transaction');

COMMENT ON VIEW ft.xmin_horizon_summary IS
'the oldest holders of ft.xmin_horizon() for reading in psql; its column sql has what ends them';

REVOKE ALL ON FUNCTION ft.xmin_horizon() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.xmin_horizon() TO pg_monitor;
GRANT SELECT ON ft.xmin_horizon_summary TO pg_monitor;

