-- What users were promised of orchestrations (O1 to O9): tables with their
-- columns, functions with their parameters, and what one run of each gives.
BEGIN;
SELECT plan(51);

-- O1
SELECT has_table('ft', name, name)
  FROM unnest(ARRAY['orchestration_executions', 'orchestration_tasks',
                    'orchestration_checkpoints', 'orchestration_failures']) AS name;
SELECT is((SELECT count(*) FROM unnest(columns) AS c
            WHERE NOT EXISTS (SELECT FROM pg_attribute
                               WHERE attrelid = ('ft.' || relation)::regclass AND attname = c)),
          0::bigint, relation || ': has the columns promised')
  FROM (VALUES ('orchestration_executions', '{execution_id,orchestration_id,status,state}'::text[]),
               ('orchestration_tasks', '{task_id,execution_id,status}'),
               ('orchestration_checkpoints', '{checkpoint_id,orchestration_id,execution_id,checkpoint_time,state_data,task_progress,created_at}'),
               ('orchestration_failures', '{failure_id,execution_id,failure_type,failure_message,failure_timestamp,recovery_strategy,recovered,recovery_error,recovery_attempts,recovered_at}')) AS t(relation, columns);
SELECT col_is_pk('ft', 'orchestration_checkpoints', 'checkpoint_id', 'checkpoint_id: primary key');
SELECT col_type_is('ft', 'orchestration_checkpoints', 'checkpoint_id', 'uuid', 'checkpoint_id: uuid');
SELECT col_type_is('ft', 'orchestration_checkpoints', 'state_data', 'jsonb', 'state_data: jsonb');
SELECT col_not_null('ft', 'orchestration_checkpoints', 'state_data', 'state_data: not null');
SELECT col_type_is('ft', 'orchestration_checkpoints', 'task_progress', 'jsonb', 'task_progress: jsonb');
SELECT col_is_pk('ft', 'orchestration_failures', 'failure_id', 'failure_id: primary key');
SELECT col_type_is('ft', 'orchestration_failures', 'failure_id', 'uuid', 'failure_id: uuid');
SELECT col_type_is('ft', 'orchestration_failures', 'recovered', 'boolean', 'recovered: boolean');
SELECT has_index('ft', 'orchestration_checkpoints', 'idx_checkpoints_exec', 'index of checkpoints');
SELECT has_index('ft', 'orchestration_failures', 'idx_failures_exec', 'index of failures');

-- Signatures: names of parameters and defaults count.
SELECT is(format('%s returns %s', pg_get_function_arguments(to_regprocedure(signature)),
                 pg_get_function_result(to_regprocedure(signature))),
          expected, signature)
  FROM (VALUES
      ('ft.create_execution(uuid,jsonb)',
       'orchestration_id uuid DEFAULT NULL::uuid, state jsonb DEFAULT ''{}''::jsonb returns uuid'),
      ('ft.add_task(uuid,text,text,text,boolean,text[])',
       'execution_id uuid, task_name text, command text DEFAULT NULL::text, compensation text DEFAULT NULL::text, '
       'critical boolean DEFAULT false, depends_on text[] DEFAULT ''{}''::text[] returns uuid'),
      ('ft.start_task(uuid)', 'task_id uuid returns integer'),
      ('ft.complete_task(uuid,jsonb,integer)',
       'task_id uuid, result jsonb DEFAULT NULL::jsonb, attempt integer DEFAULT NULL::integer returns void'),
      ('ft.record_failure(uuid,text,text,text)',
       'execution_id uuid, message text, sqlstate text DEFAULT NULL::text, failure_type text DEFAULT NULL::text returns uuid'),
      ('ft.create_checkpoint(uuid,uuid)', 'execution_id uuid, task_id uuid returns uuid'),
      ('ft.recover_from_failure(uuid,varchar)', 'execution_id uuid, failure_type character varying returns uuid'),
      ('ft.recover_from_checkpoint(uuid,uuid)', 'workflow_id uuid, checkpoint_id uuid returns uuid')) AS f(signature, expected);
SELECT is(pg_get_function_arguments(to_regprocedure(name || '(uuid,jsonb)')) LIKE 'checkpoint_id uuid, state_data jsonb%',
          true, name)
  FROM unnest(ARRAY['ft.retry_from_checkpoint', 'ft.rollback_to_checkpoint', 'ft.compensate_from_checkpoint']) AS name;
SELECT is(pg_get_function_arguments(to_regprocedure('ft.fail_task(uuid,text,text,integer)')),
          'task_id uuid, message text, sqlstate text DEFAULT NULL::text, attempt integer DEFAULT NULL::integer', 'ft.fail_task');
SELECT is(pg_get_function_arguments(to_regprocedure('ft.plan_recovery(uuid,varchar)')) LIKE 'execution_id uuid, failure_type character varying%',
          true, 'ft.plan_recovery');
SELECT is(pg_get_function_result(to_regprocedure('ft.trigger_checkpoint()')), 'trigger', 'ft.trigger_checkpoint');
SELECT is(tap.first_columns('ft.auto_recover_failures()'::regprocedure, 1), 'recovered_count bigint', 'auto_recover_failures: column');
SELECT has_function('ft', 'transitions', ARRAY[]::name[]);
SELECT has_function('ft', 'validate_execution', ARRAY['uuid']);

SELECT is(pg_get_function_arguments(to_regprocedure('ft.schedule_auto_recovery(text)')),
          'schedule text DEFAULT ''*/5 * * * *''::text', 'ft.schedule_auto_recovery');
SELECT has_function('ft', 'unschedule_auto_recovery', ARRAY[]::name[]);
SELECT has_function('ft', 'worker_status', ARRAY[]::name[]);

-- O2, O3: a checkpoint at the start, one of a critical task, and what is in it.
SELECT ft.create_execution(state => '{"order": 7}') AS execution \gset
SELECT is((SELECT count(*) FROM ft.orchestration_checkpoints WHERE execution_id = :'execution'), 1::bigint,
          'every execution has a checkpoint from its start');
SELECT ft.add_task(:'execution', 'one', critical => true) AS one \gset
SELECT ft.add_task(:'execution', 'two') AS two \gset
SELECT ft.create_checkpoint(:'execution', :'one') AS early \gset
SELECT is(state_data, jsonb_build_object('execution_id', :'execution', 'task_id', :'one', 'state', 'CHECKPOINT',
                                         'execution_state', '{"order": 7}'::jsonb,
                                         'completed_tasks', '[]'::jsonb,
                                         'pending_tasks', state_data -> 'pending_tasks'),
          'state_data: as promised, empty arrays included')
  FROM ft.orchestration_checkpoints WHERE checkpoint_id = :'early';
SELECT is(jsonb_array_length(state_data -> 'pending_tasks'), 2, 'state_data: what is pending')
  FROM ft.orchestration_checkpoints WHERE checkpoint_id = :'early';
SELECT is(task_progress ->> 'task_id' = :'one' AND task_progress ->> 'status' = 'CHECKPOINT', true, 'task_progress: as promised')
  FROM ft.orchestration_checkpoints WHERE checkpoint_id = :'early';
SELECT ft.start_task(:'one') AS attempt \gset
SELECT ft.complete_task(:'one', NULL, :attempt);
SELECT is((SELECT count(*) FROM ft.orchestration_checkpoints WHERE execution_id = :'execution'), 3::bigint,
          'a critical task that completes makes a checkpoint');
SELECT throws_ok(format('SELECT ft.create_checkpoint(%L, NULL)', ft.uuid_v7()), '42704', NULL, 'an unknown execution is an error');

-- O4, O6, O7
SELECT ft.start_task(:'two') AS attempt \gset
SELECT ft.fail_task(:'two', 'it broke', '40001', :attempt) AS failure \gset
SELECT is((SELECT failure_type FROM ft.orchestration_failures WHERE failure_id = :'failure'), 'TRANSIENT',
          'a serialization failure is transient');
SELECT is((SELECT sum(recovered_count) FROM ft.auto_recover_failures()), 1::numeric, 'auto_recover_failures: recovers it');
SELECT is((SELECT recovery_strategy || ' ' || recovered FROM ft.orchestration_failures WHERE failure_id = :'failure'),
          'AUTO true', 'and says so');
SELECT isnt(ft.recover_from_failure(:'execution', 'TRANSIENT'), NULL, 'recover_from_failure: returns the checkpoint used');
SELECT throws_ok(format('SELECT ft.recover_from_failure(%L, %L)', :'execution', 'SOMETHING'), '22023', NULL,
                 'an unknown failure type is an error');
SELECT is(ft.recover_from_checkpoint(:'execution', :'early'), :'early'::uuid, 'recover_from_checkpoint: returns that checkpoint');
SELECT is_empty(format('SELECT * FROM ft.validate_execution(%L)', :'execution'), 'and the execution is valid');

SELECT * FROM finish();
ROLLBACK;
