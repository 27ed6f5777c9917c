-- What users may rely on of the engine's functions and views: names, parameters
-- with their defaults, what they return, how they may be planned, and who may
-- call them.  What a call does is tested in sql/.
BEGIN;
SELECT plan(159);

SELECT is(pg_get_function_arguments(to_regprocedure(signature)) || coalesce(' returns ' || pg_get_function_result(to_regprocedure(signature)), ''),
          expected, signature)
  FROM (VALUES
      ('ft.adopt()',
       ' returns bigint'),
      ('ft.auto_recover_failures()',
       'OUT recovered_count bigint returns SETOF bigint'),
      ('ft.cancel(uuid,boolean)',
       'execution_id uuid, compensate boolean DEFAULT true returns text'),
      ('ft.claim_task(text,text,interval)',
       'queue text, worker text, lease interval DEFAULT ''00:01:00''::interval, OUT task_id uuid, '
       'OUT execution_id uuid, OUT task_name text, OUT attempt integer, OUT command text, OUT input jsonb, '
       'OUT state jsonb, OUT results jsonb, OUT lease_until timestamp with time zone, '
       'OUT timeout interval returns SETOF record'),
      ('ft.compensate_child()',
       ' returns void'),
      ('ft.compensate_from_checkpoint(uuid,jsonb)',
       'checkpoint_id uuid, state_data jsonb DEFAULT NULL::jsonb returns void'),
      ('ft.correct_task(uuid,text,text)',
       'task_id uuid, command text DEFAULT NULL::text, compensation text DEFAULT NULL::text returns void'),
      ('ft.current_step()',
       'OUT execution_id uuid, OUT task_id uuid, OUT attempt integer returns record'),
      ('ft.define_orchestration(text,jsonb,text)',
       'name text, tasks jsonb, description text DEFAULT NULL::text returns uuid'),
      ('ft.drop_orchestration(text)',
       'name text returns bigint'),
      ('ft.failure_rules()',
       'OUT sqlstate_prefix text, OUT fault text, OUT failure_type text, OUT meaning text, '
       'OUT changed boolean returns SETOF record'),
      ('ft.heartbeat(uuid,integer,interval)',
       'task_id uuid, attempt integer, '
       'lease interval DEFAULT ''00:01:00''::interval returns timestamp with time zone'),
      ('ft.input()',
       ' returns jsonb'),
      ('ft.is_status(text,text)',
       'object text, status text returns boolean'),
      ('ft.item()',
       ' returns jsonb'),
      ('ft.iteration()',
       ' returns integer'),
      ('ft.orchestration_timeline(uuid)',
       'execution_id uuid, OUT event_time timestamp with time zone, OUT event text, OUT task_name text, '
       'OUT attempt integer, OUT duration interval, OUT sqlstate text, OUT detail text, '
       'OUT checkpoint_id uuid, OUT failure_id uuid, OUT task_id uuid returns SETOF record'),
      ('ft.pause(uuid)',
       'execution_id uuid returns boolean'),
      ('ft.paused_reason()',
       ' returns text'),
      ('ft.plan_recovery(uuid,character varying)',
       'execution_id uuid, failure_type character varying, OUT step integer, OUT action text, '
       'OUT object text, OUT name text, OUT from_status text, OUT to_status text, '
       'OUT command text returns SETOF record'),
      ('ft.redrive(uuid)',
       'execution_id uuid returns text'),
      ('ft.release_task(uuid,integer)',
       'task_id uuid, attempt integer returns void'),
      ('ft.reset_failure_rule(text)',
       'sqlstate_prefix text returns void'),
      ('ft.result(text)',
       'task_name text returns jsonb'),
      ('ft.resume(uuid)',
       'execution_id uuid returns boolean'),
      ('ft.retry(text,integer,interval,interval,double precision,integer)',
       'IN statement text, IN max_attempts integer DEFAULT 5, '
       'IN first_delay interval DEFAULT ''00:00:00.1''::interval, '
       'IN max_delay interval DEFAULT ''00:00:10''::interval, IN jitter double precision DEFAULT 0.5, '
       'INOUT attempts integer DEFAULT NULL::integer'),
      ('ft.retry_from_checkpoint(uuid,jsonb)',
       'checkpoint_id uuid, state_data jsonb DEFAULT NULL::jsonb returns void'),
      ('ft.rollback_to_checkpoint(uuid,jsonb)',
       'checkpoint_id uuid, state_data jsonb DEFAULT NULL::jsonb returns void'),
      ('ft.run_compensations(uuid)',
       'execution_id uuid DEFAULT NULL::uuid returns bigint'),
      ('ft.run_steps(uuid)',
       'execution_id uuid DEFAULT NULL::uuid returns bigint'),
      ('ft.scheduler_tick(timestamp with time zone)',
       'now timestamp with time zone DEFAULT clock_timestamp(), OUT paused_reason text, '
       'OUT candidates bigint, OUT recovered bigint, OUT failed bigint, OUT given_up bigint, '
       'OUT owners_due regrole[], OUT next_due timestamp with time zone returns record'),
      ('ft.set_execution_state(uuid,jsonb)',
       'execution_id uuid, state jsonb returns void'),
      ('ft.set_failure_rule(text,text,text,text)',
       'sqlstate_prefix text, failure_type text, fault text DEFAULT NULL::text, '
       'meaning text DEFAULT NULL::text returns void'),
      ('ft.set_state(jsonb)',
       'patch jsonb returns jsonb'),
      ('ft.signal(uuid,text,jsonb)',
       'execution_id uuid, name text, payload jsonb DEFAULT ''null''::jsonb returns boolean'),
      ('ft.start(text,jsonb,text,integer,timestamp with time zone,interval,integer)',
       'name text, input jsonb DEFAULT ''{}''::jsonb, idempotency_key text DEFAULT NULL::text, '
       'priority integer DEFAULT 0, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, '
       'deadline interval DEFAULT NULL::interval, version integer DEFAULT NULL::integer returns uuid'),
      ('ft.state()',
       ' returns jsonb'),
      ('ft.submit(text,jsonb,text,integer,timestamp with time zone,interval,text,text,text,boolean,integer,interval)',
       'command text, input jsonb DEFAULT ''{}''::jsonb, idempotency_key text DEFAULT NULL::text, '
       'priority integer DEFAULT 0, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, '
       'deadline interval DEFAULT NULL::interval, compensation text DEFAULT NULL::text, '
       'queue text DEFAULT ''default''::text, execution_mode text DEFAULT ''transactional''::text, '
       'short boolean DEFAULT false, max_attempts integer DEFAULT NULL::integer, '
       'timeout interval DEFAULT NULL::interval returns uuid'),
      ('ft.transitions()',
       'OUT object text, OUT from_status text, OUT event text, OUT to_status text, '
       'OUT meaning text returns SETOF record'),
      ('ft.unschedule_auto_recovery()',
       ' returns boolean'),
      ('ft.uuid_v7()',
       ' returns uuid'),
      ('ft.validate_execution(uuid)',
       'execution_id uuid, OUT object text, OUT name text, OUT problem text returns SETOF record'),
      ('ft.wait(uuid,interval)',
       'execution_id uuid, timeout interval DEFAULT NULL::interval returns text'),
      ('ft.wake_worker()',
       ' returns void')) AS f(signature, expected);

-- Nobody's rights are lent by SECURITY DEFINER: what functions may do for a user
-- they decide in C.
SELECT is(concat_ws(', ',
              CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END
                  || CASE WHEN p.proisstrict THEN ' strict' ELSE '' END,
              CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
              CASE WHEN EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
                                 WHERE a.grantee = 0) THEN 'public'
                   WHEN has_function_privilege('pg_monitor', p.oid, 'EXECUTE') THEN 'monitor'
                   ELSE 'nobody' END,
              CASE WHEN p.prosecdef THEN 'definer' END),
          concat_ws(', ', planned, parallel, callers), signature || ': planning and privileges')
  FROM (VALUES
      ('ft.add_task(uuid,text,text,text,boolean,text[])', 'volatile', 'unsafe', 'public'),
      ('ft.adopt()', 'volatile', 'unsafe', 'nobody'),
      ('ft.auto_recover_failures()', 'volatile', 'unsafe', 'public'),
      ('ft.cancel(uuid,boolean)', 'volatile', 'unsafe', 'public'),
      ('ft.claim_task(text,text,interval)', 'volatile', 'unsafe', 'public'),
      ('ft.compensate_child()', 'volatile', 'unsafe', 'public'),
      ('ft.compensate_from_checkpoint(uuid,jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.complete_task(uuid,jsonb,integer)', 'volatile', 'unsafe', 'public'),
      ('ft.correct_task(uuid,text,text)', 'volatile', 'unsafe', 'public'),
      ('ft.create_checkpoint(uuid,uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.create_execution(uuid,jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.current_step()', 'stable', 'restricted', 'public'),
      ('ft.define_orchestration(text,jsonb,text)', 'volatile', 'unsafe', 'public'),
      ('ft.drop_orchestration(text)', 'volatile', 'unsafe', 'public'),
      ('ft.fail_task(uuid,text,text,integer)', 'volatile', 'unsafe', 'public'),
      ('ft.failure_rules()', 'stable', 'safe', 'public'),
      ('ft.heartbeat(uuid,integer,interval)', 'volatile', 'unsafe', 'public'),
      ('ft.input()', 'stable', 'restricted', 'public'),
      ('ft.is_status(text,text)', 'immutable strict', 'safe', 'public'),
      ('ft.item()', 'stable', 'restricted', 'public'),
      ('ft.iteration()', 'stable', 'restricted', 'public'),
      ('ft.orchestration_timeline(uuid)', 'volatile', 'restricted', 'public'),
      ('ft.pause(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.paused_reason()', 'stable', 'safe', 'monitor'),
      ('ft.plan_recovery(uuid,character varying)', 'volatile', 'unsafe', 'public'),
      ('ft.record_failure(uuid,text,text,text)', 'volatile', 'unsafe', 'public'),
      ('ft.recover_from_checkpoint(uuid,uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.recover_from_failure(uuid,character varying)', 'volatile', 'unsafe', 'public'),
      ('ft.redrive(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.release_task(uuid,integer)', 'volatile', 'unsafe', 'public'),
      ('ft.reset_failure_rule(text)', 'volatile', 'unsafe', 'nobody'),
      ('ft.result(text)', 'stable', 'restricted', 'public'),
      ('ft.resume(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.retry(text,integer,interval,interval,double precision,integer)', 'volatile', 'unsafe', 'public'),
      ('ft.retry_from_checkpoint(uuid,jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.rollback_to_checkpoint(uuid,jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.run_compensations(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.run_steps(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.schedule_auto_recovery(text)', 'volatile', 'unsafe', 'public'),
      ('ft.scheduler_tick(timestamp with time zone)', 'volatile strict', 'unsafe', 'nobody'),
      ('ft.set_execution_state(uuid,jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.set_failure_rule(text,text,text,text)', 'volatile', 'unsafe', 'nobody'),
      ('ft.set_state(jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.signal(uuid,text,jsonb)', 'volatile', 'unsafe', 'public'),
      ('ft.start(text,jsonb,text,integer,timestamp with time zone,interval,integer)', 'volatile', 'unsafe', 'public'),
      ('ft.start_task(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.state()', 'volatile', 'restricted', 'public'),
      ('ft.submit(text,jsonb,text,integer,timestamp with time zone,interval,text,text,text,boolean,integer,interval)', 'volatile', 'unsafe', 'public'),
      ('ft.transitions()', 'immutable', 'safe', 'public'),
      ('ft.trigger_checkpoint()', 'volatile', 'unsafe', 'nobody'),
      ('ft.unschedule_auto_recovery()', 'volatile', 'unsafe', 'public'),
      ('ft.uuid_v7()', 'volatile', 'safe', 'public'),
      ('ft.validate_execution(uuid)', 'volatile', 'unsafe', 'public'),
      ('ft.wait(uuid,interval)', 'volatile', 'unsafe', 'public'),
      ('ft.wake_worker()', 'volatile strict', 'unsafe', 'nobody'),
      ('ft.worker_status()', 'volatile strict', 'restricted', 'monitor')) AS f(signature, planned, parallel, callers)
  LEFT JOIN pg_proc AS p ON p.oid = to_regprocedure(signature);

-- Of a domain clients are told the type that it is made of.
SELECT is((SELECT string_agg(attname || ' ' || format_type(coalesce(nullif(typbasetype, 0), atttypid), atttypmod), ', ' ORDER BY attnum)
             FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
            WHERE attrelid = to_regclass('ft.' || relation) AND attnum > 0),
          expected, relation || ': columns')
  FROM (VALUES
      ('dead_letters',
       'stopped_at timestamp with time zone, execution_id uuid, name text, status text, why text, '
       'task_name text, task_id uuid, sqlstate text, message text, recovery_error text, owner name'),
      ('orchestration_metrics',
       'queue text, execution_mode text, due bigint, oldest_due interval, later bigint, running bigint, '
       'longest_running interval'),
      ('orchestration_signals',
       'execution_id uuid, signal_name text, payload jsonb, sender name, sent_at timestamp with time zone'),
      ('orchestration_summary',
       'status text, executions bigint, paused bigint, parked bigint, oldest interval, last_change interval'),
      ('orchestrations',
       'orchestration_id uuid, orchestration_name text, version integer, tasks jsonb, description text, '
       'owner name, owner_oid oid, created_at timestamp with time zone'),
      ('unrecovered_failures',
       'failure_timestamp timestamp with time zone, execution_id uuid, failure_id uuid, failure_type text, '
       'sqlstate text, recovery text, recovery_attempts integer, next_attempt_at timestamp with time zone, '
       'given_up_at timestamp with time zone, failure_message text, recovery_error text')) AS v(relation, expected);

-- Views show each what he may see of the tables.
SELECT is(reloptions, '{security_invoker=true}', relname || ': runs as who asks')
  FROM pg_class WHERE oid = ANY ('{ft.dead_letters,ft.orchestration_metrics,ft.orchestration_summary,ft.unrecovered_failures}'::regclass[]);

-- Everybody may read what is his, and nobody writes past the functions.
CREATE ROLE tap_somebody LOGIN;
CREATE ROLE tap_else LOGIN;
GRANT USAGE ON SCHEMA ft TO tap_somebody, tap_else;
SELECT table_privs_are('ft', relation, 'tap_somebody', '{SELECT}', relation || ': may be read, and no more')
  FROM unnest('{orchestrations,orchestration_executions,orchestration_tasks,orchestration_checkpoints,orchestration_failures,orchestration_signals,dead_letters,orchestration_metrics,orchestration_summary,unrecovered_failures}'::name[]) AS relation;
SELECT table_privs_are('ft', relation, 'tap_somebody', '{}', relation || ': not for everybody')
  FROM unnest('{installations,changed_failure_rules,recovery_passes}'::name[]) AS relation;
SELECT is((SELECT relrowsecurity FROM pg_class WHERE oid = ('ft.' || relation)::regclass), true, relation || ': rows are hidden from others')
  FROM unnest('{orchestrations,orchestration_executions,orchestration_tasks,orchestration_checkpoints,orchestration_failures,orchestration_signals}'::name[]) AS relation;

-- What is somebody else's is refused by every function that takes it.
SET LOCAL ROLE tap_somebody;
SELECT ft.define_orchestration('of somebody', '[{"name": "a", "signal": "go"}]') AS definition \gset
SELECT ft.start('of somebody') AS execution \gset
SELECT task_id AS task FROM ft.orchestration_tasks WHERE execution_id = :'execution' \gset
SELECT checkpoint_id AS checkpoint FROM ft.orchestration_checkpoints WHERE execution_id = :'execution' \gset
RESET ROLE;
GRANT ALL ON SCHEMA tap TO tap_else;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO tap_else;
CREATE TEMP TABLE refused (call text);
GRANT SELECT ON refused TO tap_else;
INSERT INTO refused VALUES
    (format('SELECT ft.pause(%L)', :'execution')),
    (format('SELECT ft.resume(%L)', :'execution')),
    (format('SELECT ft.cancel(%L)', :'execution')),
    (format('SELECT ft.wait(%L, ''0'')', :'execution')),
    (format('SELECT ft.signal(%L, ''go'')', :'execution')),
    (format('SELECT ft.redrive(%L)', :'execution')),
    (format('SELECT ft.correct_task(%L, ''SELECT 1'')', :'task')),
    (format('SELECT ft.heartbeat(%L, 1)', :'task')),
    (format('SELECT ft.release_task(%L, 1)', :'task')),
    (format('SELECT ft.start_task(%L)', :'task')),
    (format('SELECT ft.complete_task(%L)', :'task')),
    (format('SELECT ft.fail_task(%L, ''x'')', :'task')),
    (format('SELECT ft.add_task(%L, ''x'')', :'execution')),
    (format('SELECT ft.set_execution_state(%L, ''{}'')', :'execution')),
    (format('SELECT ft.create_checkpoint(%L, NULL)', :'execution')),
    (format('SELECT ft.record_failure(%L, ''x'')', :'execution')),
    (format('SELECT ft.recover_from_failure(%L, ''TRANSIENT'')', :'execution')),
    (format('SELECT ft.retry_from_checkpoint(%L)', :'checkpoint')),
    (format('SELECT ft.rollback_to_checkpoint(%L)', :'checkpoint')),
    (format('SELECT ft.compensate_from_checkpoint(%L)', :'checkpoint')),
    (format('SELECT ft.recover_from_checkpoint(%L, %L)', :'execution', :'checkpoint')),
    (format('SELECT ft.plan_recovery(%L, ''TRANSIENT'')', :'execution')),
    (format('SELECT ft.validate_execution(%L)', :'execution')),
    ('SELECT ft.start(''of somebody'')'),
    ('SELECT ft.drop_orchestration(''of somebody'')'),
    ('SELECT ft.define_orchestration(''of somebody'', ''[{"name": "b"}]'')'),
    ('SELECT ft.adopt()'),
    ('SELECT ft.set_failure_rule(''40'', ''PERMANENT'')');
SET LOCAL ROLE tap_else;
SELECT throws_ok(call, '42501', NULL, 'refused: ' || regexp_replace(call, '[0-9a-f]{8}-[0-9a-f-]{27}', '...', 'g')) FROM refused;
SELECT is_empty(format('SELECT * FROM ft.orchestration_timeline(%L)', :'execution'), 'and there is no timeline to be seen');
RESET ROLE;
SELECT is((SELECT count(*) FROM ft.orchestration_failures), 0::bigint, 'nor has anything come of it');

SELECT * FROM finish();
ROLLBACK;
