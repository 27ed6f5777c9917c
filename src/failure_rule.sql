-- Which SQLSTATEs make a failure of which type: failure_rule.c, where the
-- shipped rules stand.

CREATE TABLE ft.changed_failure_rules (
    sqlstate_prefix text COLLATE "C" PRIMARY KEY,
    failure_type text NOT NULL,
    fault text NOT NULL,
    meaning text,
    changed_by name NOT NULL DEFAULT session_user,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT changed_failure_rules_prefix CHECK (sqlstate_prefix ~ '^[0-9A-Z]{0,5}$'),
    CONSTRAINT changed_failure_rules_type CHECK (failure_type IN (
        'TRANSIENT', 'PERMANENT', 'PARTIAL', 'PERMANENT or PARTIAL')),
    CONSTRAINT changed_failure_rules_fault CHECK (fault IN ('node', 'network', 'data', 'resource'))
);

CREATE FUNCTION ft.failure_rules(
    OUT sqlstate_prefix text, OUT fault text, OUT failure_type text,
    OUT meaning text, OUT changed boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_failure_rules'
LANGUAGE C STABLE PARALLEL SAFE ROWS 20;

CREATE FUNCTION ft.set_failure_rule(
    sqlstate_prefix text, failure_type text, fault text DEFAULT NULL,
    meaning text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_set_failure_rule'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION ft.reset_failure_rule(sqlstate_prefix text)
RETURNS void
AS 'MODULE_PATHNAME', 'ft_reset_failure_rule'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON TABLE ft.changed_failure_rules IS
'rules that differ from the shipped ones; see ft.set_failure_rule() and ft.failure_rules()';
COMMENT ON FUNCTION ft.failure_rules() IS
'which SQLSTATEs make a failure of which type; the longest matching prefix decides';
COMMENT ON FUNCTION ft.set_failure_rule(text, text, text, text) IS
'change, in this database, of which type failures are whose SQLSTATE begins so; what is null stays as it is';
COMMENT ON FUNCTION ft.reset_failure_rule(text) IS
'take the shipped rule again, or none';

REVOKE ALL ON TABLE ft.changed_failure_rules FROM PUBLIC;
GRANT SELECT ON TABLE ft.changed_failure_rules TO pg_monitor;
REVOKE ALL ON FUNCTION ft.set_failure_rule(text, text, text, text),
    ft.reset_failure_rule(text) FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('ft.changed_failure_rules', '');

