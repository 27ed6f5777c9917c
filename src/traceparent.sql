/* The trace that a statement belongs to.  See traceparent.c. */

CREATE FUNCTION ft.traceparent(query text, application_name text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'ft_traceparent'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION ft.traceparent(text, text) IS
'the W3C traceparent in a comment of the query, else in the application name; NULL if there is none';

REVOKE ALL ON FUNCTION ft.traceparent(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.traceparent(text, text) TO pg_monitor;

