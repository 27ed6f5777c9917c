/* What to type when.  See help.c; the entries are in help_entries.c. */

CREATE FUNCTION ft.help(
    question text DEFAULT NULL,
    OUT question text,
    OUT type text,
    OUT explanation text,
    OUT page text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_help'
LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 40;

COMMENT ON FUNCTION ft.help(text) IS
'what to type for a question, as in ft.help(''who is blocked''); the whole index if nothing fits';

REVOKE ALL ON FUNCTION ft.help(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.help(text) TO pg_monitor;

