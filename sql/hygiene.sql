-- The rules that every object of the extension keeps, read from the catalog.
-- Each query names the offenders: no row is the right answer.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;

CREATE TEMPORARY VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS object
  FROM pg_depend AS d
  JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 WHERE e.extname = 'fault_tolerance' AND d.deptype = 'e';
CREATE TEMPORARY VIEW member_function AS
SELECT p.*, p.oid::regprocedure::text AS signature
  FROM pg_proc AS p JOIN member AS m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid;
CREATE TEMPORARY VIEW member_relation AS
SELECT c.*, c.oid::regclass::text AS name
  FROM pg_class AS c JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid;

-- What applications call for orchestrations of their own; each looks by itself
-- at whose execution it is.
CREATE TEMPORARY TABLE for_everybody (signature text);
INSERT INTO for_everybody VALUES
    ('ft.add_task(uuid,text,text,text,boolean,text[])'),
    ('ft.auto_recover_failures()'),
    ('ft.claim_task(text,text,interval)'),
    ('ft.await(uuid,interval,text)'),
    ('ft.cancel(uuid,boolean)'),
    ('ft.correct_task(uuid,text,text)'),
    ('ft.pause(uuid)'),
    ('ft.redrive(uuid)'),
    ('ft.resume(uuid)'),
    ('ft.wait(uuid,interval)'),
    ('ft.compensate_from_checkpoint(uuid,jsonb)'),
    ('ft.compensate_child()'),
    ('ft.complete_task(uuid,jsonb,integer)'),
    ('ft.condition_name(text)'),
    ('ft.create_checkpoint(uuid,uuid)'),
    ('ft.create_execution(uuid,jsonb)'),
    ('ft.current_step()'),
    ('ft.define_orchestration(text,jsonb,text)'),
    ('ft.drop_orchestration(text)'),
    ('ft.fail_task(uuid,text,text,integer)'),
    ('ft.heartbeat(uuid,integer,interval)'),
    ('ft.input()'),
    ('ft.is_status(text,text)'),
    ('ft.failure_rules()'),
    ('ft.is_retryable(text)'),
    ('ft.item()'),
    ('ft.limited_queues()'),
    ('ft.iteration()'),
    ('ft.lock_in_order(bigint[],boolean,interval)'),
    ('ft.lock_in_order(regclass,name,anyarray,interval,text)'),
    ('ft.lock_in_order(regclass[],text,interval)'),
    ('ft.engine_obstacle()'),
    ('ft.orchestration_timeline(uuid)'),
    ('ft.why_waiting(uuid)'),
    ('ft.plan_recovery(uuid,character varying)'),
    ('ft.record_failure(uuid,text,text,text)'),
    ('ft.recover_from_checkpoint(uuid,uuid)'),
    ('ft.recover_from_failure(uuid,character varying)'),
    ('ft.release_task(uuid,integer)'),
    ('ft.result(text)'),
    ('ft.retry(text,integer,interval,interval,double precision,integer)'),
    ('ft.retry_from_checkpoint(uuid,jsonb)'),
    ('ft.rollback_to_checkpoint(uuid,jsonb)'),
    ('ft.run_compensations(uuid)'),
    ('ft.run_steps(uuid)'),
    ('ft.schedule_auto_recovery(text)'),
    ('ft.set_execution_state(uuid,jsonb)'),
    ('ft.set_state(jsonb)'),
    ('ft.signal(uuid,text,jsonb)'),
    ('ft.start(text,jsonb,text,integer,timestamp with time zone,interval,integer)'),
    ('ft.start_task(uuid)'),
    ('ft.state()'),
    ('ft.submit(text,jsonb,text,integer,timestamp with time zone,interval,text,text,text,boolean,integer,interval)'),
    ('ft.transitions()'),
    ('ft.unschedule_auto_recovery()'),
    ('ft.uuid_v7()'),
    ('ft.validate_execution(uuid)');

SELECT count(*) > 5 AS there_is_something_to_look_at FROM member_function;

-- Documented: whatever can be seen has a comment, and every parameter a name.
SELECT object AS without_comment
  FROM member AS m
 WHERE obj_description(objid, classid::regclass::name) IS NULL
   AND NOT (classid = 'pg_type'::regclass
            AND EXISTS (SELECT FROM pg_type AS t
                         WHERE t.oid = objid AND (t.typrelid <> 0 OR t.typelem <> 0)))
   AND classid NOT IN ('pg_rewrite'::regclass, 'pg_constraint'::regclass, 'pg_policy'::regclass,
                       'pg_trigger'::regclass)
 ORDER BY 1;
SELECT signature AS with_unnamed_parameter FROM member_function
 WHERE pronargs > 0 AND (proargnames IS NULL OR '' = ANY (proargnames))
 ORDER BY 1;
SELECT signature AS with_prefixed_parameter FROM member_function
 WHERE EXISTS (SELECT FROM unnest(proargnames) AS n WHERE n LIKE 'p\_%')
 ORDER BY 1;

-- All in schema ft.
SELECT object AS outside_of_schema FROM member AS m
 WHERE (classid = 'pg_proc'::regclass
        AND (SELECT pronamespace FROM pg_proc WHERE oid = objid) <> 'ft'::regnamespace)
    OR (classid = 'pg_class'::regclass
        AND (SELECT relnamespace FROM pg_class WHERE oid = objid) <> 'ft'::regnamespace)
 ORDER BY 1;

-- Privileges: PUBLIC executes what is meant for it and nothing else, reads no
-- table, writes none.
SELECT signature AS executable_by_public FROM member_function
 WHERE has_function_privilege('public', oid, 'EXECUTE')
   AND signature NOT IN (SELECT signature FROM for_everybody)
   AND prorettype <> 'trigger'::regtype
 ORDER BY 1;
SELECT signature AS not_executable_by_public FROM for_everybody
 WHERE to_regprocedure(signature) IS NULL
    OR NOT has_function_privilege('public', to_regprocedure(signature), 'EXECUTE')
 ORDER BY 1;
SELECT name AS writable_by_public FROM member_relation
 WHERE relkind IN ('r', 'p', 'v', 'm')
   AND has_table_privilege('public', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
 ORDER BY 1;
SELECT name AS writable_by_pg_monitor FROM member_relation
 WHERE relkind IN ('r', 'p', 'v', 'm')
   AND has_table_privilege('pg_monitor', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
 ORDER BY 1;
SELECT name AS table_for_public_without_row_security FROM member_relation
 WHERE relkind IN ('r', 'p') AND has_table_privilege('public', oid, 'SELECT')
   AND NOT relrowsecurity
 ORDER BY 1;
-- pg_monitor reads every view.
SELECT name AS not_for_pg_monitor FROM member_relation
 WHERE relkind = 'v' AND NOT has_table_privilege('pg_monitor', oid, 'SELECT')
 ORDER BY 1;

-- A view over a table with row security looks as who asks.
SELECT DISTINCT v.name AS not_security_invoker
  FROM member_relation AS v
  JOIN pg_rewrite AS r ON r.ev_class = v.oid
  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                     AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class AS t ON t.oid = d.refobjid AND t.relrowsecurity
 WHERE v.relkind = 'v'
   AND coalesce(NOT 'security_invoker=true' = ANY (v.reloptions)
                AND NOT 'security_invoker=on' = ANY (v.reloptions), true)
 ORDER BY 1;

-- No search_path of somebody else's: SQL functions are parsed once, and who
-- runs as owner pins it.  No PL/pgSQL.
SELECT signature AS unpinned FROM member_function AS p
  JOIN pg_language AS l ON l.oid = p.prolang
 WHERE (p.prosecdef OR (l.lanname = 'sql' AND p.prosqlbody IS NULL))
   AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%')
 ORDER BY 1;
SELECT signature AS in_another_language FROM member_function AS p
  JOIN pg_language AS l ON l.oid = p.prolang
 WHERE l.lanname NOT IN ('c', 'sql')
 ORDER BY 1;

-- C functions carry their SQL name.
SELECT signature AS symbol_is_not_its_name, prosrc FROM member_function AS p
  JOIN pg_language AS l ON l.oid = p.prolang
 WHERE l.lanname = 'c' AND prosrc NOT LIKE 'ft\_%'
 ORDER BY 1;

-- Labels: nothing promises what it cannot keep.  All that is volatile stays
-- out of parallel workers; what is not volatile says so with reason.
SELECT signature AS volatile_but_parallel_safe FROM member_function
 WHERE provolatile = 'v' AND proparallel = 's'
   AND signature <> 'ft.uuid_v7()'  -- as gen_random_uuid() is
 ORDER BY 1;
SELECT signature AS not_volatile, provolatile, proparallel FROM member_function
 WHERE provolatile <> 'v'
 ORDER BY 1;

-- What is not PARALLEL UNSAFE calls nothing that is, and can be called while the
-- server is in parallel mode, which has no subtransactions and no settings.
SELECT m.signature AS safer_than_what_it_calls, d.refobjid::regprocedure
  FROM member_function AS m
  JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = m.oid AND d.refclassid = 'pg_proc'::regclass
  JOIN pg_proc AS p ON p.oid = d.refobjid
 WHERE m.proparallel <> 'u' AND p.proparallel = 'u'
 ORDER BY 1;
CREATE TEMPORARY TABLE fails_in_parallel_mode (signature text, error text);
DO $$
DECLARE
    f record;
BEGIN
    PERFORM set_config(name, CASE name WHEN 'max_parallel_workers_per_gather' THEN '2' ELSE 'on' END, true)
       FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query', 'max_parallel_workers_per_gather');
    FOR f IN SELECT m.signature, m.oid::regproc AS name FROM member_function AS m JOIN pg_proc AS p ON p.oid = m.oid
              WHERE p.proretset AND p.proparallel <> 'u' AND p.pronargs = p.pronargdefaults ORDER BY 1
    LOOP
        BEGIN
            EXECUTE format('SELECT count(*) FROM %s()', f.name);
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO fails_in_parallel_mode VALUES (f.signature, SQLERRM);
        END;
    END LOOP;
END $$;
TABLE fails_in_parallel_mode;
DROP TABLE fails_in_parallel_mode;

-- Tables: dumped by their own rules, with a primary key.  What the recovery
-- passes did, what was sampled, and what a rate counts is of this server alone.
SELECT name AS not_in_extension_config FROM member_relation
 WHERE relkind IN ('r', 'p')
   AND oid <> ALL (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'fault_tolerance')
   AND name NOT IN ('ft.queue_starts', 'ft.recovery_passes', 'ft.session_history_log')
 ORDER BY 1;
SELECT name AS without_primary_key FROM member_relation
 WHERE relkind IN ('r', 'p')
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = member_relation.oid AND contype = 'p')
 ORDER BY 1;

-- pg_upgrade makes views and functions anew from their text: none may use a
-- statistics view that is not the same from 15 to 18.
SELECT DISTINCT m.object AS uses_a_changing_view, d.refobjid::regclass
  FROM pg_depend AS d
  LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
  JOIN member AS m
       ON (m.classid, m.objid) = CASE WHEN r.oid IS NOT NULL
                                      THEN ('pg_class'::regclass::oid, r.ev_class)
                                      ELSE (d.classid, d.objid)
                                 END
 WHERE d.refclassid = 'pg_class'::regclass
   AND (d.refobjid IN ('pg_stat_bgwriter'::regclass, 'pg_stat_wal'::regclass,
                       'pg_stat_database'::regclass, 'pg_stat_all_tables'::regclass,
                       'pg_stat_user_tables'::regclass, 'pg_stat_sys_tables'::regclass)
        OR d.refobjid::regclass::text LIKE 'pg_stat_progress%')
 ORDER BY 1;

-- The install script means the same whatever standard_conforming_strings is:
-- it is parsed as a whole before any of its statements could set that.
SELECT m.signature AS with_backslash FROM member_function AS m
  JOIN pg_language AS l ON l.oid = m.prolang
 WHERE l.lanname = 'sql' AND strpos(pg_get_functiondef(m.oid), chr(92)) > 0
UNION ALL
SELECT v.name FROM member_relation AS v
 WHERE v.relkind = 'v' AND strpos(pg_get_viewdef(v.oid), chr(92)) > 0
 ORDER BY 1;
-- The removal leaves nothing.
BEGIN;
DROP VIEW member_relation, member_function, member;
DROP EXTENSION fault_tolerance;
SELECT nspname FROM pg_namespace WHERE nspname = 'ft';
ROLLBACK;
