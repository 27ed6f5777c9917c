-- Rules of which failure is of which type: changing them, and what they decide.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- The rules as they are shipped, and nobody's changes.
SELECT * FROM ft.failure_rules() ORDER BY sqlstate_prefix COLLATE "C";
SELECT * FROM ft.changed_failure_rules;

CREATE FUNCTION pg_temp.type_of(code text, compensable boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    execution uuid := ft.create_execution();
    task uuid := ft.add_task(execution, 'done', compensation => CASE WHEN compensable THEN 'SELECT 1' END);
    failed uuid := ft.add_task(execution, 'failed');
    answer text;
BEGIN
    PERFORM ft.start_task(task), ft.complete_task(task), ft.start_task(failed), ft.fail_task(failed, 'a test', code);
    SELECT failure_type INTO answer FROM ft.orchestration_failures WHERE execution_id = execution;
    DELETE FROM ft.orchestration_executions WHERE execution_id = execution;
    RETURN answer;
END $$;
CREATE VIEW classified AS
SELECT code, pg_temp.type_of(code, true) AS with_compensation, pg_temp.type_of(code, false) AS without,
       ft.is_retryable(code)
  FROM unnest('{22012,23505,40001,40002,53100,57014,P0001}'::text[]) AS code;
SELECT * FROM classified;

-- A class, a code, and the rest.
SELECT ft.set_failure_rule('22', 'PERMANENT', meaning => 'our data is never mended');
SELECT ft.set_failure_rule('22012', 'PARTIAL');
SELECT ft.set_failure_rule('53', 'PERMANENT or PARTIAL');
SELECT ft.set_failure_rule('P0001', 'TRANSIENT', 'network', 'raised by our client library');
SELECT * FROM ft.failure_rules() WHERE changed ORDER BY sqlstate_prefix COLLATE "C";
SELECT * FROM classified;
SELECT ft.is_retryable(s), s FROM unnest('{22012,22000,P0001,P0002,53100,40001}'::text[]) AS s;
-- once more: what is null stays
SELECT ft.set_failure_rule('P0001', 'PERMANENT');
SELECT * FROM ft.failure_rules() WHERE sqlstate_prefix = 'P0001';
-- everything that no other rule matches
SELECT ft.set_failure_rule('', 'TRANSIENT');
SELECT ft.is_retryable('42P01'), ft.is_retryable('40002'), ft.is_retryable('22012');
SELECT sqlstate_prefix, failure_type, fault, changed_by = session_user AS mine
  FROM ft.changed_failure_rules ORDER BY 1;

-- Back.
SELECT ft.reset_failure_rule(sqlstate_prefix) FROM ft.changed_failure_rules;
SELECT count(*), count(*) FILTER (WHERE changed) AS changed FROM ft.failure_rules();
SELECT * FROM classified;

-- What is refused, and changes nothing.
SELECT ft.set_failure_rule(NULL, 'TRANSIENT');
SELECT ft.set_failure_rule('22', NULL);
SELECT ft.set_failure_rule('220121', 'TRANSIENT');
SELECT ft.set_failure_rule('2 ', 'TRANSIENT');
SELECT ft.set_failure_rule('22', 'transient');
SELECT ft.set_failure_rule('22', 'TRANSIENT', 'weather');
SELECT ft.reset_failure_rule('22');
SELECT ft.reset_failure_rule(NULL);
SELECT count(*) FROM ft.changed_failure_rules;

-- For whom: read by everybody, changed by none but those who are let.
CREATE ROLE regress_failure_rule;
GRANT USAGE ON SCHEMA ft TO regress_failure_rule;
SET ROLE regress_failure_rule;
SELECT count(*) > 5 AS rules FROM ft.failure_rules();
SELECT ft.set_failure_rule('22', 'TRANSIENT');
SELECT ft.reset_failure_rule('22');
SELECT count(*) FROM ft.changed_failure_rules;
RESET ROLE;
GRANT EXECUTE ON FUNCTION ft.set_failure_rule(text, text, text, text) TO regress_failure_rule;
SET ROLE regress_failure_rule;
SELECT ft.set_failure_rule('22', 'TRANSIENT');
SELECT ft.is_retryable('22012');
RESET ROLE;
SELECT ft.reset_failure_rule('22');
REVOKE EXECUTE ON FUNCTION ft.set_failure_rule(text, text, text, text) FROM regress_failure_rule;
REVOKE USAGE ON SCHEMA ft FROM regress_failure_rule;
DROP ROLE regress_failure_rule;

DROP VIEW classified;
