-- Statuses and transitions: status.c

CREATE FUNCTION ft.uuid_v7()
RETURNS uuid
AS 'MODULE_PATHNAME', 'ft_uuid_v7'
LANGUAGE C VOLATILE PARALLEL SAFE;

CREATE FUNCTION ft.transitions(
    OUT object text, OUT from_status text, OUT event text, OUT to_status text,
    OUT meaning text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_transitions'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 50;

CREATE FUNCTION ft.is_status(object text, status text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'ft_is_status'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION ft.uuid_v7() IS
'a time-ordered key (UUID version 7)';
COMMENT ON FUNCTION ft.transitions() IS
'every status of executions and tasks, the events possible in it, and where they lead';
COMMENT ON FUNCTION ft.is_status(text, text) IS
'whether a status is one of those that an ''execution'' or a ''task'' can have';

