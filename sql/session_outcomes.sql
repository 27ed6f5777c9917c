-- ft.session_outcomes(): commits, rollbacks and sessions that broke off, by
-- application.  Sessions that break off and a full table are in
-- test/tap/112_session_outcomes.pl.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE VIEW outcome AS
SELECT usename = session_user AS mine, application_name, commits, rollbacks, rollback_percent, severity, counted_by
  FROM ft.session_outcomes()
 WHERE datname = current_database() AND application_name LIKE 'outcome %';

-- One transaction each; the one that asks is not over yet.
SET application_name = 'outcome one';
SELECT 1;
BEGIN; SELECT 1; COMMIT;
BEGIN; SELECT 1; ROLLBACK;
SELECT 1 / 0;
TABLE outcome;
-- A subtransaction is none.
BEGIN; SAVEPOINT s; SELECT 1 / 0; ROLLBACK TO s; COMMIT;
DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END $$;
TABLE outcome;

-- Another name is another group, from the transaction on that takes it.
SET application_name = 'outcome two';
SELECT 1;
TABLE outcome;
-- So is another role.
CREATE ROLE outcome_role;
SET SESSION AUTHORIZATION outcome_role;
SET application_name = 'outcome two';
RESET SESSION AUTHORIZATION;
SELECT mine, application_name, commits > 0 AS commits FROM outcome WHERE application_name = 'outcome two' ORDER BY mine;

-- A hundred transactions are enough to judge.
SET application_name = 'outcome bad';
DO $$
BEGIN
    FOR i IN 1 .. 80 LOOP COMMIT; END LOOP;
    FOR i IN 1 .. 30 LOOP ROLLBACK; END LOOP;
END $$;
SELECT commits >= 80 AS commits, rollbacks, severity FROM outcome WHERE application_name = 'outcome bad';
SELECT ft.set_threshold('rollbacks', 30, 60);
SELECT severity FROM outcome WHERE application_name = 'outcome bad';
SELECT ft.reset_threshold('rollbacks');

-- Recent ones, from samples.
SELECT ft.sampler_tick('outcomes');
BEGIN; ROLLBACK;
BEGIN; ROLLBACK;
SELECT commits > 0 AS commits, rollbacks >= 2 AS rollbacks, covered > '0' AS covered, killed
  FROM ft.recent_outcomes('1 min');
SELECT ft.recent_outcomes('0');

-- Anew.
SELECT ft.reset_session_outcomes();
TABLE outcome;
SELECT counted_since > now() - interval '1 min' AS lately, datname = current_database() AS here, sessions
  FROM ft.session_outcomes() WHERE application_name = 'outcome bad';
SELECT covered FROM ft.recent_outcomes('1 min');

RESET application_name;
SELECT count(*) > 0 AS rows FROM ft.session_outcomes_summary;
DROP VIEW outcome;
CREATE ROLE outcome_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA ft TO outcome_role;
SET ROLE outcome_role;
SELECT * FROM ft.session_outcomes();
SELECT * FROM ft.recent_outcomes('1 min');
SELECT * FROM ft.session_outcome_counts();
SET ROLE outcome_monitor;
SELECT count(*) > 0 AS rows FROM ft.session_outcomes_summary;
SELECT ft.reset_session_outcomes();
RESET ROLE;
REVOKE ALL ON SCHEMA ft FROM outcome_role;
DROP ROLE outcome_role, outcome_monitor;
