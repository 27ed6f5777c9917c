-- Executions: making them, whose they are, what is refused.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
CREATE ROLE regress_ft_alice LOGIN;
CREATE ROLE regress_ft_bob LOGIN;
CREATE ROLE regress_ft_watch LOGIN IN ROLE pg_monitor;
-- the schema is the one gate
SET ROLE regress_ft_alice;
\set VERBOSITY terse
SELECT ft.create_execution();
RESET ROLE;
GRANT USAGE ON SCHEMA ft TO regress_ft_alice, regress_ft_bob;

SET ROLE regress_ft_alice;
SELECT ft.create_execution() AS plain \gset
SELECT ft.create_execution('11111111-1111-7111-8111-111111111111', '{"order": 42}') AS named \gset
SELECT status, orchestration_id, state, owner, owner_oid = 'regress_ft_alice'::regrole AS oid_agrees,
       completions, started_at, finished_at
  FROM ft.orchestration_executions ORDER BY execution_id;
-- every execution gets a checkpoint at its start
SELECT checkpoint_number, orchestration_id,
       execution_id = (state_data ->> 'execution_id')::uuid AS own,
       state_data - 'execution_id' AS state_data, task_progress,
       checkpoint_time = created_at AS same_time
  FROM ft.orchestration_checkpoints ORDER BY checkpoint_id;
SELECT * FROM ft.validate_execution(:'plain');

SELECT ft.set_execution_state(:'plain', '{"step": 1}');
SELECT state FROM ft.orchestration_executions WHERE execution_id = :'plain';

-- refused, each with its own SQLSTATE, and nothing changes
\getenv srcdir PG_ABS_SRCDIR
\set outcome :srcdir '/test/sql/outcome.sql'
\i :outcome
SELECT pg_temp.outcome('SELECT ft.create_execution(state => ''[]'')');
SELECT pg_temp.outcome('SELECT ft.create_execution(state => NULL)');
SELECT pg_temp.outcome('SELECT ft.set_execution_state(gen_random_uuid(), ''{}'')');
SELECT pg_temp.outcome('SELECT ft.set_execution_state(NULL, ''{}'')');
SELECT pg_temp.outcome(format('SELECT ft.set_execution_state(%L, ''3'')', :'plain'));
SELECT pg_temp.outcome('INSERT INTO ft.orchestration_executions DEFAULT VALUES');
SELECT pg_temp.outcome('UPDATE ft.orchestration_executions SET owner = ''postgres''');
SELECT pg_temp.outcome('DELETE FROM ft.orchestration_executions');
SELECT pg_temp.outcome('DELETE FROM ft.orchestration_tasks');
SELECT pg_temp.outcome('DELETE FROM ft.orchestration_checkpoints');
SELECT pg_temp.outcome('DELETE FROM ft.orchestration_failures');
RESET ROLE;

-- others do not see it, and cannot touch it
SET ROLE regress_ft_bob;
SELECT count(*) FROM ft.orchestration_executions;
SELECT count(*) FROM ft.orchestration_checkpoints;
CREATE FUNCTION pg_temp.sqlstate_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT pg_temp.sqlstate_of(format('SELECT ft.set_execution_state(%L, ''{}'')', :'plain'));
SELECT pg_temp.sqlstate_of(format('SELECT * FROM ft.validate_execution(%L)', :'plain'));
RESET ROLE;
-- a member of the owner may
GRANT regress_ft_alice TO regress_ft_bob;
SET ROLE regress_ft_bob;
SELECT count(*) FROM ft.orchestration_executions;
SELECT pg_temp.sqlstate_of(format('SELECT ft.set_execution_state(%L, ''{"by": "bob"}'')', :'plain'));
RESET ROLE;
REVOKE regress_ft_alice FROM regress_ft_bob;
-- pg_monitor sees all and changes none
SET ROLE regress_ft_watch;
SELECT count(*) FROM ft.orchestration_executions;
SELECT count(*) FROM ft.orchestration_checkpoints;
SELECT pg_temp.sqlstate_of(format('SELECT ft.set_execution_state(%L, ''{}'')', :'plain'));
RESET ROLE;
SELECT state FROM ft.orchestration_executions WHERE execution_id = :'plain';

-- a security definer function makes executions for its owner
CREATE FUNCTION public.make_for_alice() RETURNS uuid LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'SELECT ft.create_execution()';
ALTER FUNCTION public.make_for_alice() OWNER TO regress_ft_alice;
SET ROLE regress_ft_bob;
SELECT public.make_for_alice() AS made \gset
RESET ROLE;
SELECT owner FROM ft.orchestration_executions WHERE execution_id = :'made';

-- a search_path with traps in it does not reach the engine
SET ROLE regress_ft_alice;
CREATE TEMP TABLE orchestration_executions (execution_id uuid);
CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'trapped as %', current_user; END$$;
SET search_path = pg_temp, pg_catalog;
SELECT ft.create_execution() IS NOT NULL AS made;
SHOW search_path;
RESET search_path;
RESET ROLE;

-- in a subtransaction that is rolled back nothing stays, and nobody else's rights either
SET ROLE regress_ft_alice;
BEGIN;
SAVEPOINT s;
SELECT ft.create_execution(state => '{"lost": true}') IS NOT NULL AS made;
ROLLBACK TO s;
SELECT current_user, count(*) FROM ft.orchestration_executions WHERE state ? 'lost';
COMMIT;
SELECT ft.set_execution_state('00000000-0000-0000-0000-000000000000', '{}');
SELECT current_user, current_setting('search_path');
RESET ROLE;

-- a role that is gone, and a name that another role has taken, own nothing
CREATE ROLE regress_ft_gone LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_gone;
SET ROLE regress_ft_gone;
SELECT ft.create_execution(state => '{"whose": "gone"}') AS orphan \gset
RESET ROLE;
REVOKE USAGE ON SCHEMA ft FROM regress_ft_gone;
ALTER ROLE regress_ft_gone RENAME TO regress_ft_renamed;
CREATE ROLE regress_ft_gone LOGIN;
GRANT USAGE ON SCHEMA ft TO regress_ft_gone, regress_ft_renamed;
SET ROLE regress_ft_gone;
SELECT count(*) FROM ft.orchestration_executions;
SELECT pg_temp.sqlstate_of(format('SELECT ft.set_execution_state(%L, ''{}'')', :'orphan'));
RESET ROLE;
SET ROLE regress_ft_renamed;
SELECT count(*) FROM ft.orchestration_executions;
SELECT pg_temp.sqlstate_of(format('SELECT ft.set_execution_state(%L, ''{}'')', :'orphan'));
RESET ROLE;

DROP FUNCTION public.make_for_alice();
DELETE FROM ft.orchestration_executions;
REVOKE ALL ON SCHEMA ft FROM regress_ft_gone, regress_ft_renamed, regress_ft_alice, regress_ft_bob;
DROP OWNED BY regress_ft_alice, regress_ft_bob;
DROP ROLE regress_ft_alice, regress_ft_bob, regress_ft_watch, regress_ft_gone, regress_ft_renamed;

-- whatever the caller's search_path finds first, the engine does not
\c -
CREATE FUNCTION public.pg_get_userbyid(oid) RETURNS name LANGUAGE sql AS $$ SELECT 'somebody else'::name $$;
CREATE FUNCTION public.differs(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR public.= (FUNCTION = public.differs, LEFTARG = uuid, RIGHTARG = uuid);
SET search_path = public, pg_catalog;
SELECT pg_get_userbyid(0), ft.uuid_v7() = ft.uuid_v7() AS equal;
SELECT ft.create_execution() AS e \gset
SELECT ft.create_execution() IS NOT NULL AS another;
SELECT owner OPERATOR(pg_catalog.=) current_user AS mine, count(*) FROM ft.orchestration_executions GROUP BY 1;
SELECT ft.set_execution_state(:'e', '{"changed": true}');
SELECT state FROM ft.orchestration_executions ORDER BY execution_id;
DELETE FROM ft.orchestration_executions;
RESET search_path;
DROP OPERATOR public.= (uuid, uuid);
DROP FUNCTION public.differs(uuid, uuid), public.pg_get_userbyid(oid);
