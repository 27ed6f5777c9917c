/* Figures for a monitoring system.  See metrics.c. */

CREATE FUNCTION ft.metric_rows(
    OUT name text,
    OUT labels jsonb,
    OUT value double precision,
    OUT type text,
    OUT help text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_metric_rows'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 200;

COMMENT ON FUNCTION ft.metric_rows() IS
'what ft.metrics shows';

CREATE VIEW ft.metrics AS
SELECT m.name, m.labels, m.value, m.type, m.help
  FROM ft.metric_rows() AS m;

COMMENT ON VIEW ft.metrics IS
'figures of everything that is watched, by the conventions of Prometheus';

REVOKE ALL ON FUNCTION ft.metric_rows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.metric_rows() TO pg_monitor;
GRANT SELECT ON ft.metrics TO pg_monitor;

