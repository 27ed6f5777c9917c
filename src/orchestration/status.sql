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

-- Types of columns, where tables could have constraints: those are asked
-- whenever a row changes, and made ready anew by each statement.
CREATE DOMAIN ft.execution_status AS text
    CONSTRAINT execution_status CHECK (ft.is_status('execution', VALUE));
CREATE DOMAIN ft.task_status AS text
    CONSTRAINT task_status CHECK (ft.is_status('task', VALUE));
CREATE DOMAIN ft.execution_state AS jsonb
    CONSTRAINT execution_state CHECK (jsonb_typeof(VALUE) = 'object');
CREATE DOMAIN ft.execution_mode AS text
    CONSTRAINT execution_mode CHECK (VALUE IN ('transactional', 'non_transactional', 'external'));
CREATE DOMAIN ft.suspicion AS text
    CONSTRAINT suspicion CHECK (VALUE IN ('executor', 'server'));

COMMENT ON FUNCTION ft.uuid_v7() IS
'a time-ordered key (UUID version 7)';
COMMENT ON FUNCTION ft.transitions() IS
'every status of executions and tasks, the events possible in it, and where they lead';
COMMENT ON FUNCTION ft.is_status(text, text) IS
'whether a status is one of those that an ''execution'' or a ''task'' can have';
COMMENT ON DOMAIN ft.execution_status IS
'what an execution is at, see ft.transitions()';
COMMENT ON DOMAIN ft.task_status IS
'what a task is at, see ft.transitions()';
COMMENT ON DOMAIN ft.execution_state IS
'what the steps of an execution keep for one another';
COMMENT ON DOMAIN ft.execution_mode IS
'how a task is run';
COMMENT ON DOMAIN ft.suspicion IS
'what a task was seen at the loss of';
