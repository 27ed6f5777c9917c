-- What a step can read of its execution, and write to it: step_data.c

CREATE FUNCTION ft.input()
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ft_input'
LANGUAGE C STABLE PARALLEL RESTRICTED;

CREATE FUNCTION ft.state()
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ft_state'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

CREATE FUNCTION ft.set_state(patch jsonb)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ft_set_state'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.result(task_name text)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ft_result'
LANGUAGE C STABLE PARALLEL RESTRICTED;

CREATE FUNCTION ft.item()
RETURNS jsonb
AS 'MODULE_PATHNAME', 'ft_item'
LANGUAGE C STABLE PARALLEL RESTRICTED;

CREATE FUNCTION ft.iteration()
RETURNS integer
AS 'MODULE_PATHNAME', 'ft_iteration'
LANGUAGE C STABLE PARALLEL RESTRICTED;

CREATE FUNCTION ft.current_step(
    OUT execution_id uuid, OUT task_id uuid, OUT attempt integer)
RETURNS record
AS 'MODULE_PATHNAME', 'ft_current_step'
LANGUAGE C STABLE PARALLEL RESTRICTED;

COMMENT ON FUNCTION ft.input() IS
'inside a step: the input of its execution';
COMMENT ON FUNCTION ft.state() IS
'inside a step: the state of its execution, with what this step has set so far';
COMMENT ON FUNCTION ft.set_state(jsonb) IS
'inside a step: set the keys of this object in the state of its execution, when the step ends; returns the state as the step sees it';
COMMENT ON FUNCTION ft.result(text) IS
'inside a step: the result of a task of its execution that has completed, null if it had none';
COMMENT ON FUNCTION ft.item() IS
'inside a step: the row of for_each that it is for, or the payload of the signal that it has waited for, else null';
COMMENT ON FUNCTION ft.iteration() IS
'inside a step: which run of its command this is, from 1; more only where it has repeat_while';
COMMENT ON FUNCTION ft.current_step() IS
'the step that this session runs, or nulls';

