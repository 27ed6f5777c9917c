-- pg_temp.outcome(statement): 'done', or how it was refused, with keys and
-- the presence of detail and hint instead of what differs from run to run.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN format('%s: %s [%s%s]', state,
                  regexp_replace(message, '[0-9a-f]{8}-[0-9a-f-]{27}', 'UUID', 'g'),
                  CASE WHEN detail <> '' THEN 'detail' END,
                  CASE WHEN hint <> '' THEN ' hint' END);
END $$;
