-- ft.diagnose(): the rules, what leads to what, who may ask.  Each finding,
-- with the fault made for real, is in test/tap/116_diagnose.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

-- The rules: each finding once, and none leads to itself, however far.
SELECT * FROM ft.diagnosis_rules();
SELECT DISTINCT e AS unknown_effect FROM ft.diagnosis_rules(), unnest(leads_to) AS e
 WHERE e NOT IN (SELECT finding FROM ft.diagnosis_rules());
WITH RECURSIVE effect AS (
    SELECT finding AS root, unnest(leads_to) AS finding FROM ft.diagnosis_rules()
    UNION
    SELECT e.root, unnest(r.leads_to) FROM effect AS e JOIN ft.diagnosis_rules() AS r USING (finding))
SELECT root AS leads_to_itself FROM effect WHERE root = finding;
-- Every rule answers: there is none that cannot be told.
SELECT cause AS broken FROM ft.diagnose() WHERE finding = 'cannot_tell';

-- A prepared transaction.  Of others that other tests may have left nothing is said.
SELECT ft.set_threshold('prepared_transaction', 0, 3600);
BEGIN;
CREATE TABLE diagnosed (id integer);
PREPARE TRANSACTION 'it''s lost';
SELECT severity, finding, cause, affected, fix_sql ~ $$^ROLLBACK PREPARED 'it''s lost' /\* in database $$ AS fix,
       evidence ->> 'gid' AS gid, evidence -> 'symptoms' IS NULL AS no_symptoms, caused_by, leads_to
  FROM ft.diagnose() WHERE finding = 'prepared_transaction';
SELECT severity, symptom ~ $$^transaction 'it''s lost' of $$ AS symptom FROM ft.diagnosis WHERE finding = 'prepared_transaction';
-- It is not gone by being proposed; then it is.
SELECT fix_sql FROM ft.diagnose() WHERE finding = 'prepared_transaction' \g /dev/null
SELECT count(*) AS still_there FROM pg_prepared_xacts WHERE gid = 'it''s lost';
ROLLBACK PREPARED 'it''s lost';
SELECT count(*) AS gone FROM ft.diagnose() WHERE finding = 'prepared_transaction';
SELECT ft.reset_threshold('prepared_transaction');

-- A rule that cannot answer is a row that says so, not the end.
BEGIN;
ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order;
SELECT severity, finding, symptom, cause, affected, fix_sql FROM ft.diagnose() WHERE finding = 'cannot_tell';
ROLLBACK;

-- One that does not end costs its time and no more.
BEGIN;
ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order;
CREATE VIEW ft.unrecovered_failures AS
SELECT NULL::text AS execution_id, NULL::text AS failure_type, now() AS given_up_at,
       now() AS failure_timestamp, pg_sleep(1000)::text AS failure_message;
SET LOCAL fault_tolerance.check_timeout = '300ms';
SELECT severity, symptom, cause FROM ft.diagnose() WHERE affected = '{failed_executions}';
SET LOCAL fault_tolerance.check_timeout = 0;
SET LOCAL fault_tolerance.health_timeout = '2s';
SELECT severity, symptom, cause ~ '^(no answer within|was not looked at)' AS limited FROM ft.diagnose() WHERE affected = '{failed_executions}';
ROLLBACK;

-- Who may ask, and where.
CREATE ROLE diagnose_monitor;
CREATE ROLE diagnose_nobody;
GRANT pg_monitor TO diagnose_monitor;
GRANT USAGE ON SCHEMA ft TO diagnose_nobody;
SET ROLE diagnose_monitor;
SELECT count(*) AS cannot_tell FROM ft.diagnose() WHERE finding = 'cannot_tell';
SET ROLE diagnose_nobody;
SELECT * FROM ft.diagnose();
SELECT * FROM ft.diagnosis;
SELECT * FROM ft.diagnosis_rules();
RESET ROLE;
SELECT * FROM ft.diagnose(NULL);
BEGIN READ ONLY;
SELECT count(*) AS cannot_tell_in_a_read_only_transaction FROM ft.diagnose() WHERE finding = 'cannot_tell';
COMMIT;

-- Somebody's own operators do not get in the way, nor does a timeout pass.
CREATE SCHEMA diagnose_trap;
CREATE FUNCTION diagnose_trap.equals(text, text) RETURNS boolean
LANGUAGE sql AS 'SELECT 1 / 0 = 1';
CREATE OPERATOR diagnose_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = diagnose_trap.equals);
SET search_path = diagnose_trap, pg_catalog;
SET DateStyle = 'SQL, DMY';
SELECT count(*) AS harmed FROM ft.diagnose() WHERE finding OPERATOR(pg_catalog.=) 'cannot_tell'::text;
SHOW search_path;
RESET DateStyle;
RESET search_path;
-- Nor do settings that change what a text means.
BEGIN;
ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order;
CREATE VIEW ft.unrecovered_failures AS
SELECT NULL::text AS execution_id, NULL::text AS failure_type, now() AS given_up_at,
       now() AS failure_timestamp, E'a session\nis lost' AS failure_message;
SET LOCAL escape_string_warning = off;
SET LOCAL standard_conforming_strings = off;
SELECT cause FROM ft.diagnose() WHERE finding = 'failed_executions';
ROLLBACK;
SET client_min_messages = warning;
DROP SCHEMA diagnose_trap CASCADE;
RESET client_min_messages;
REVOKE ALL ON SCHEMA ft FROM diagnose_nobody;
DROP ROLE diagnose_monitor, diagnose_nobody;
