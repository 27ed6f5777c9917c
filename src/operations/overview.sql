/* The first thing to type in an outage.  See overview.c. */

CREATE FUNCTION ft.overview_rows(
    OUT severity text,
    OUT what text,
    OUT summary text,
    OUT next text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_overview_rows'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 12;

COMMENT ON FUNCTION ft.overview_rows() IS
'what ft.overview shows; the texts are not cut';

CREATE VIEW ft.overview AS
SELECT o.severity, o.what, left(o.summary, 72) AS summary, left(o.next, 72) AS next
  FROM ft.overview_rows() AS o;

COMMENT ON VIEW ft.overview IS
'what is worst now, in at most 12 rows, the most urgent first, each with what to type next';

REVOKE ALL ON FUNCTION ft.overview_rows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.overview_rows() TO pg_monitor;
GRANT SELECT ON ft.overview TO pg_monitor;

