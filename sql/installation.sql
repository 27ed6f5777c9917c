-- Rows made elsewhere are not worked here until they are adopted.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome

-- the first execution says where it is made
BEGIN;
DELETE FROM ft.installations;
SELECT ft.paused_reason() IS NULL AS not_paused;
SELECT ft.create_execution() IS NOT NULL AS made;
SELECT count(*), bool_and(system_identifier = (SELECT system_identifier FROM pg_control_system())) AS this_cluster,
       bool_and(database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())) AS this_database
  FROM ft.installations;
SELECT ft.paused_reason() IS NULL AS not_paused;
ROLLBACK;
BEGIN;
SELECT ft.submit('SELECT 1') IS NOT NULL AS made;
SELECT ft.paused_reason() IS NULL AS not_paused, count(*) FROM ft.installations;
ROLLBACK;

-- tasks that are restored before their executions are not worked either
BEGIN;
DELETE FROM ft.installations;
INSERT INTO ft.orchestration_tasks (task_id, execution_id, task_name, owner_oid, due_at, created_at)
VALUES (ft.uuid_v7(), ft.uuid_v7(), 'early', current_user::regrole, now(), now());
SELECT ft.paused_reason() IS NOT NULL AS paused, (ft.scheduler_tick()).owners_due;
ROLLBACK;

-- as a restore leaves it: executions from before the extension was made here
SELECT ft.create_execution(state => '{"made": "elsewhere"}') AS e \gset
SELECT ft.record_failure(:'e', 'x', '40001') IS NOT NULL AS failed;
INSERT INTO ft.installations VALUES (42, 42, now() - interval '1 year');
UPDATE ft.orchestration_executions SET created_at = now() - interval '1 hour', owner_oid = 4242;
SELECT ft.paused_reason();
SELECT pg_temp.outcome('SELECT * FROM ft.auto_recover_failures()');
-- what is made here is not affected by itself, but waits with the rest
SELECT ft.create_execution(state => '{"made": "here"}') IS NOT NULL AS made;
SELECT ft.paused_reason();
-- a clone does not know since when it is one
CREATE TEMP TABLE kept AS SELECT * FROM ft.installations WHERE system_identifier <> 42;
DELETE FROM ft.installations WHERE system_identifier <> 42;
SELECT ft.paused_reason();
INSERT INTO ft.installations SELECT * FROM kept;
-- finished executions are no reason
BEGIN;
UPDATE ft.orchestration_executions SET finished_at = now(), status = 'COMPLETED';
SELECT ft.paused_reason() IS NULL AS not_paused;
ROLLBACK;

-- whose OID is another role's, or nobody's, here
SELECT owner = current_user AS name_is_mine, owner_oid FROM ft.orchestration_executions WHERE execution_id = :'e';
SELECT ft.adopt();
SELECT owner = current_user AS name_is_mine, owner_oid = current_user::regrole AS oid_is_mine
  FROM ft.orchestration_executions WHERE execution_id = :'e';
SELECT ft.paused_reason() IS NULL AS not_paused;
SELECT count(*) FROM ft.installations;
SELECT * FROM ft.auto_recover_failures();
SELECT ft.adopt();
DELETE FROM ft.orchestration_executions;

-- a database made from a template with the extension in it, and nothing
-- unfinished, is at home with its first execution
BEGIN;
UPDATE ft.installations SET database_oid = 1;
SELECT ft.submit('SELECT 1') IS NOT NULL AS made;
SELECT ft.paused_reason() IS NULL AS not_paused, count(*) FROM ft.installations;
-- with something unfinished from there it is not
DELETE FROM ft.installations WHERE database_oid <> 1;
SELECT ft.create_execution() IS NOT NULL AS made;
SELECT ft.paused_reason();
ROLLBACK;

-- a role that was renamed here keeps what is its own
CREATE ROLE regress_ft_alice LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_alice;
SET ROLE regress_ft_alice;
SELECT ft.create_execution() AS e \gset
RESET ROLE;
ALTER ROLE regress_ft_alice RENAME TO regress_ft_carol;
SELECT ft.adopt();
SELECT owner, owner_oid = 'regress_ft_carol'::regrole AS oid FROM ft.orchestration_executions;
SET ROLE regress_ft_carol;
SELECT count(*) FROM ft.orchestration_executions;
SELECT pg_temp.outcome('SELECT ft.adopt()');
SELECT pg_temp.outcome('SELECT ft.paused_reason()');
RESET ROLE;
DELETE FROM ft.orchestration_executions;
REVOKE ALL ON SCHEMA ft FROM regress_ft_carol;
DROP ROLE regress_ft_carol;

-- a key is found under the name of its owner; where he was renamed, has used
-- the key again, and then all is settled, the later one has it
CREATE ROLE regress_ft_alice LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_alice;
SET ROLE regress_ft_alice;
SELECT ft.submit('SELECT 1', idempotency_key => 'k') AS first \gset
SELECT ft.submit('SELECT 1', idempotency_key => 'k') = :'first' AS same;
RESET ROLE;
-- as after a restore: the name is the same, the OID is not
UPDATE ft.orchestration_executions SET owner_oid = 4242;
SET ROLE regress_ft_alice;
SELECT pg_temp.outcome('SELECT ft.submit(''SELECT 1'', idempotency_key => ''k'')');
RESET ROLE;
SELECT ft.adopt();
SET ROLE regress_ft_alice;
SELECT ft.submit('SELECT 1', idempotency_key => 'k') = :'first' AS same;
RESET ROLE;
ALTER ROLE regress_ft_alice RENAME TO regress_ft_carol;
SET ROLE regress_ft_carol;
SELECT ft.submit('SELECT 1', idempotency_key => 'k') AS second \gset
RESET ROLE;
SELECT ft.adopt();
SELECT execution_id = :'first' AS is_first, owner, idempotency_key FROM ft.orchestration_executions ORDER BY execution_id;
DELETE FROM ft.orchestration_executions;

-- definitions are settled with the executions
SET ROLE regress_ft_carol;
SELECT ft.define_orchestration('settled', '[{"name": "a"}]') IS NOT NULL AS defined;
RESET ROLE;
UPDATE ft.orchestrations SET owner_oid = 4242;
SELECT ft.adopt();
SET ROLE regress_ft_carol;
SELECT ft.start('settled') IS NOT NULL AS started, ft.drop_orchestration('settled');
RESET ROLE;
DELETE FROM ft.orchestration_executions;
REVOKE ALL ON SCHEMA ft FROM regress_ft_carol;
DROP ROLE regress_ft_carol;

-- where the name of an owner is one role's and the OID another's
CREATE ROLE regress_ft_alice LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_alice;
CREATE VIEW pg_temp.owned AS
SELECT 'execution' AS what, owner, pg_get_userbyid(owner_oid) AS role_of_oid FROM ft.orchestration_executions
UNION ALL
SELECT 'task', NULL, pg_get_userbyid(owner_oid) FROM ft.orchestration_tasks
UNION ALL
SELECT 'definition', owner, pg_get_userbyid(owner_oid) FROM ft.orchestrations;
-- what is made here is at home, a definition by itself as well
DELETE FROM ft.installations;
SET ROLE regress_ft_alice;
SELECT ft.define_orchestration('owned', '[{"name": "a"}]') IS NOT NULL AS defined;
RESET ROLE;
SELECT count(*) FROM ft.installations;
SET ROLE regress_ft_alice;
SELECT ft.start('owned') IS NOT NULL AS started;
RESET ROLE;
-- made in this cluster: the role was renamed, and its name is another's by now
ALTER ROLE regress_ft_alice RENAME TO regress_ft_carol;
CREATE ROLE regress_ft_alice LOGIN;
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
-- as in a clone of another database of it
ALTER ROLE regress_ft_carol RENAME TO regress_ft_bob;
ALTER ROLE regress_ft_alice RENAME TO regress_ft_carol;
UPDATE ft.installations SET database_oid = 1;
SELECT ft.paused_reason();
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
-- from another cluster: the OID is another role's here
UPDATE ft.installations SET system_identifier = 42;
UPDATE ft.orchestration_executions SET owner = 'regress_ft_carol';
UPDATE ft.orchestrations SET owner = 'regress_ft_carol';
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
-- whose role is not here: nobody's, also when that is settled once more
UPDATE ft.installations SET system_identifier = 42;
UPDATE ft.orchestration_executions SET owner = 'regress_ft_dave';
UPDATE ft.orchestrations SET owner = 'regress_ft_dave';
SELECT ft.adopt();
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
SELECT parked_reason, (ft.scheduler_tick()).owners_due FROM ft.orchestration_executions;
SELECT parked_reason FROM ft.orchestration_executions;
-- until the role is made
CREATE ROLE regress_ft_dave LOGIN;
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
-- what another cluster has ended nobody need adopt; but its OIDs are none of ours
UPDATE ft.orchestration_executions SET status = 'CANCELLED', finished_at = now(), owner_oid = 'regress_ft_bob'::regrole;
UPDATE ft.orchestration_tasks SET due_at = NULL, owner_oid = 'regress_ft_bob'::regrole;
UPDATE ft.orchestrations SET owner_oid = 'regress_ft_bob'::regrole;
UPDATE ft.installations SET system_identifier = 42;
SELECT ft.paused_reason() IS NULL AS not_paused;
BEGIN;
SELECT ft.submit('SELECT 1') AS e \gset
SELECT count(*) FROM ft.installations;
DELETE FROM ft.orchestration_executions WHERE execution_id = :'e';
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
SELECT count(*) FROM ft.installations;
ROLLBACK;
-- the same beside what is at home already
INSERT INTO ft.installations SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()), now()
  FROM pg_control_system();
SELECT ft.submit('SELECT 1') AS e \gset
SELECT count(*) FROM ft.installations;
DELETE FROM ft.orchestration_executions WHERE execution_id = :'e';
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('owned');
-- what is made here beside what another cluster has ended, as after pg_upgrade, goes by OID
SET ROLE regress_ft_bob;
SELECT ft.define_orchestration('owned', '[{"name": "a"}]') IS NOT NULL AS defined;
RESET ROLE;
UPDATE ft.installations SET system_identifier = 42;
SET ROLE regress_ft_bob;
SELECT ft.start('owned') IS NOT NULL AS started;
RESET ROLE;
ALTER ROLE regress_ft_bob RENAME TO regress_ft_alice;
SELECT ft.adopt();
SELECT * FROM pg_temp.owned;
ALTER ROLE regress_ft_alice RENAME TO regress_ft_bob;
DELETE FROM ft.orchestration_executions;
SELECT ft.drop_orchestration('owned');
DROP VIEW pg_temp.owned;
REVOKE ALL ON SCHEMA ft FROM regress_ft_bob;
DROP ROLE regress_ft_bob, regress_ft_carol, regress_ft_dave;
