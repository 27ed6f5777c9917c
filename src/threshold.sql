/*
 * Thresholds: from which value on something is a warning, and from which
 * critical.  See threshold.c, where the shipped ones stand.
 */

CREATE TABLE ft.changed_thresholds (
    check_name text PRIMARY KEY,
    warning double precision,
    critical double precision,
    changed_by name NOT NULL DEFAULT session_user,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp());

COMMENT ON TABLE ft.changed_thresholds IS
'thresholds that differ from the shipped ones; see ft.set_threshold() and ft.thresholds';

SELECT pg_catalog.pg_extension_config_dump('ft.changed_thresholds', '');

REVOKE ALL ON TABLE ft.changed_thresholds FROM PUBLIC;
GRANT SELECT ON TABLE ft.changed_thresholds TO pg_monitor;

CREATE FUNCTION ft.threshold_list(
    OUT check_name text,
    OUT warning double precision,
    OUT critical double precision,
    OUT unit text,
    OUT changed boolean,
    OUT source text,
    OUT description text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_threshold_list'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 40;

COMMENT ON FUNCTION ft.threshold_list() IS
'what ft.thresholds shows';

CREATE FUNCTION ft.severity(check_name text, value double precision) RETURNS text
AS 'MODULE_PATHNAME', 'ft_severity'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.severity(text, double precision) IS
'OK, WARNING or CRITICAL by the threshold of that name; UNKNOWN for a value that is not known';

CREATE FUNCTION ft.worst_severity(VARIADIC severities text[]) RETURNS text
LANGUAGE sql VOLATILE STRICT PARALLEL RESTRICTED
BEGIN ATOMIC
    SELECT CASE
               WHEN 'CRITICAL' = ANY (severities) THEN 'CRITICAL'
               WHEN 'WARNING' = ANY (severities) THEN 'WARNING'
               WHEN 'OK' = ANY (severities) THEN 'OK'
               ELSE 'UNKNOWN'
           END;
END;

COMMENT ON FUNCTION ft.worst_severity(text[]) IS
'the worst of several severities; UNKNOWN only if nothing is known';

CREATE FUNCTION ft.set_threshold(check_name text, warning double precision, critical double precision)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_set_threshold'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.set_threshold(text, double precision, double precision) IS
'change a threshold in this database; NULL for a level that is not wanted';

CREATE FUNCTION ft.reset_threshold(check_name text) RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_threshold'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION ft.reset_threshold(text) IS
'take the shipped threshold again';

CREATE VIEW ft.thresholds AS
SELECT t.check_name, t.warning, t.critical, t.unit, t.changed, t.description, t.source
  FROM ft.threshold_list() AS t;

COMMENT ON VIEW ft.thresholds IS
'from which value on something is a warning and from which critical, and why; change it by ft.set_threshold()';

REVOKE ALL ON FUNCTION ft.threshold_list(), ft.severity(text, double precision),
    ft.worst_severity(text[]),
    ft.set_threshold(text, double precision, double precision), ft.reset_threshold(text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.threshold_list(), ft.severity(text, double precision),
    ft.worst_severity(text[])
    TO pg_monitor;
GRANT SELECT ON ft.thresholds TO pg_monitor;

