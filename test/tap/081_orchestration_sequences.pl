# Thousands of random lives of executions whose steps the server runs, each
# from its own seed: steps that fail for a while or for good, executions that
# are recovered by themselves and by hand, at any moment, compensations that
# fail.  After every call the execution is valid; left to itself it comes to an
# end, or to where an operator decides; and in a ledger every effect stands
# exactly once.  What test/tap/085_model.pl proves of the model, this looks for
# in the code.
# FT_SEED repeats a run, FT_SECONDS makes it longer, FT_SEQUENCE runs one life.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FT_SEED} // int(rand(1_000_000_000));
my $seconds = $ENV{FT_SECONDS} // 25;
note "FT_SEED=$seed FT_SECONDS=$seconds";

my $node = new_node_by_hand('sequences');
$node->safe_psql('postgres', q{
CREATE TABLE ledger (n bigint GENERATED ALWAYS AS IDENTITY, execution uuid, task text, kind text, in_order boolean);
CREATE INDEX ON ledger (execution, task, n);
CREATE TABLE surprises (sequence bigint, call int, action text, problem text);
CREATE TABLE calls (action text, result text);
CREATE TABLE ends (sequence bigint, status text);

CREATE FUNCTION work(task text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger (execution, task, kind) VALUES ((ft.current_step()).execution_id, task, 'do');
    CASE floor(random() * 14)
        WHEN 0, 1 THEN RAISE SQLSTATE '40001';
        WHEN 2 THEN RAISE SQLSTATE '23505';
        ELSE PERFORM ft.set_state(jsonb_build_object(task, random()));
    END CASE;
    RETURN 1;
END $$;

CREATE FUNCTION undo(undone text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE of uuid := (ft.current_step()).execution_id;
BEGIN
    INSERT INTO ledger (execution, task, kind, in_order)
    SELECT of, undone, 'undo', NOT EXISTS (
               SELECT FROM ft.orchestration_tasks AS later
                WHERE later.execution_id = of AND later.status IN ('COMPENSATING', 'COMPENSATION_FAILED')
                  AND later.completion_order > t.completion_order)
      FROM ft.orchestration_tasks AS t WHERE t.execution_id = of AND t.task_name = undone;
    IF random() < 0.4 THEN
        RAISE EXCEPTION 'not yet';
    END IF;
END $$;

-- a chain, two in parallel that are joined, and one that stands alone
SELECT ft.define_orchestration('life', jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
           'name', name, 'command', format('SELECT work(%L)', name),
           'compensation', CASE WHEN compensated THEN format('SELECT undo(%L)', name) END,
           'depends_on', to_jsonb(depends_on), 'critical', critical,
           'condition', CASE WHEN skips THEN 'SELECT random() < 0.5' END))))
  FROM (VALUES ('a', true, '{}'::text[], true, false), ('b', true, '{a}', false, false),
               ('c', false, '{a}', false, true), ('d', true, '{b,c}', true, false),
               ('e', true, '{d}', false, false), ('alone', true, '{}', false, false))
       AS t (name, compensated, depends_on, critical, skips);

CREATE FUNCTION act(action text, of uuid, t ft.orchestration_tasks) RETURNS void LANGUAGE plpgsql AS $$
DECLARE type text := (ARRAY['TRANSIENT', 'PERMANENT', 'PARTIAL'])[1 + floor(random() * 3)];
        state text := (ARRAY['40001', '23505', '08006'])[1 + floor(random() * 3)];
        point uuid := (SELECT checkpoint_id FROM ft.orchestration_checkpoints
                        WHERE execution_id = of ORDER BY random() LIMIT 1);
BEGIN
    CASE action
        WHEN 'run' THEN PERFORM ft.run_steps(of);
        WHEN 'auto' THEN PERFORM ft.auto_recover_failures();
        WHEN 'compensate' THEN PERFORM ft.run_compensations(of);
        WHEN 'start' THEN PERFORM ft.start_task(t.task_id);
        WHEN 'complete' THEN
            PERFORM ft.complete_task(t.task_id, '{}', t.attempt);
            INSERT INTO ledger (execution, task, kind) VALUES (of, t.task_name, 'do');
        WHEN 'late' THEN
            PERFORM ft.complete_task(t.task_id, '{}', t.attempt - 1);
            RAISE EXCEPTION 'a late report was believed';
        WHEN 'fail' THEN PERFORM ft.fail_task(t.task_id, 'm', state);
        WHEN 'record' THEN PERFORM ft.record_failure(of, 'm', state);
        WHEN 'recover' THEN PERFORM ft.recover_from_failure(of, type);
        WHEN 'retry' THEN PERFORM ft.retry_from_checkpoint(point);
        WHEN 'roll back' THEN PERFORM ft.rollback_to_checkpoint(point);
        WHEN 'undo' THEN PERFORM ft.compensate_from_checkpoint(point);
        WHEN 'return' THEN PERFORM ft.recover_from_checkpoint(of, point);
        WHEN 'checkpoint' THEN PERFORM ft.create_checkpoint(of, t.task_id);
        WHEN 'state' THEN PERFORM ft.set_execution_state(of, jsonb_build_object('r', random()));
        WHEN 'plan' THEN PERFORM ft.plan_recovery(of, type);
    END CASE;
END $$;

CREATE FUNCTION life(sequence bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    actions text[] := string_to_array(repeat('run,', 3) || repeat('auto,', 5) || repeat('compensate,', 3)
        || repeat('start,', 8) || repeat('complete,', 8)
        || 'late,fail,fail,record,recover,recover,retry,roll back,undo,return,checkpoint,state,plan', ',');
    of uuid; t ft.orchestration_tasks; action text; now_status text; before text; call int := 0;
BEGIN
    PERFORM setseed((sequence % 1000000) / 1000000.0);
    of := ft.start('life', jsonb_build_object('sequence', sequence));
    FOR call IN 1 .. 2 + floor(random() * 14) LOOP
        EXIT WHEN random() < 0.5 AND (SELECT finished_at FROM ft.orchestration_executions WHERE execution_id = of) IS NOT NULL;
        action := actions[1 + floor(random() * cardinality(actions))];
        SELECT * INTO t FROM ft.orchestration_tasks WHERE execution_id = of
         ORDER BY (random() < 0.9 AND status = CASE action WHEN 'start' THEN 'PENDING' ELSE 'RUNNING' END) DESC,
                  random() LIMIT 1;
        BEGIN
            PERFORM act(action, of, t);
            INSERT INTO calls VALUES (action, 'done');
        EXCEPTION
            WHEN check_violation OR object_in_use OR object_not_in_prerequisite_state THEN
                INSERT INTO calls VALUES (action, SQLSTATE);
            WHEN OTHERS THEN
                INSERT INTO surprises VALUES (sequence, call, action, SQLSTATE || ' ' || SQLERRM);
        END;
        INSERT INTO surprises
        SELECT sequence, call, action, concat_ws(' ', v.object, v.name, v.problem) FROM ft.validate_execution(of) AS v;
    END LOOP;

    -- what was started outside and forgotten only an operator can know
    IF EXISTS (SELECT FROM ft.orchestration_tasks WHERE execution_id = of AND status = 'RUNNING') THEN
        PERFORM ft.recover_from_failure(of, 'TRANSIENT');
    END IF;
    -- by itself it comes to an end, or to where an operator decides
    FOR turn IN 1 .. 100 LOOP
        PERFORM ft.run_steps(of), ft.auto_recover_failures(), ft.run_compensations(of);
        SELECT status INTO now_status FROM ft.orchestration_executions WHERE execution_id = of;
        EXIT WHEN now_status IN ('COMPLETED', 'COMPENSATED', 'CANCELLED', 'ROLLED_BACK', 'COMPENSATION_FAILED');
    END LOOP;
    INSERT INTO ends VALUES (sequence, now_status);
    INSERT INTO surprises
    SELECT sequence, -1, 'end', concat_ws(' ', v.object, v.name, v.problem) FROM ft.validate_execution(of) AS v;
END $$;
}, extra_params => [ '-U', 'app' ]);

my $script = $node->basedir . '/life.sql';
append_to_file($script, defined $ENV{FT_SEQUENCE} ? "SELECT life($ENV{FT_SEQUENCE});\n" :
	"\\set r random(1, 1000000)\nSELECT life(:r);\n");
my ($out, $err) = ('', '');
IPC::Run::run([ 'pgbench', '-n', '-U', 'app', '-h', $node->host, '-p', $node->port,
		defined $ENV{FT_SEQUENCE} ? ('-t', 1) : ('-c', 4, '-T', $seconds),
		"--random-seed=$seed", '-f', $script, 'postgres' ],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout($seconds + 120));
is($? >> 8, 0, 'no client was thrown out') or diag $err;
my $lives = $node->safe_psql('postgres', 'SELECT count(*) FROM ends');
note "$lives lives";

is($node->safe_psql('postgres', q{
	SELECT action, min(problem), count(*), 'FT_SEQUENCE=' || min(sequence) FROM surprises GROUP BY action, left(problem, 20)}),
	'', 'no call failed that should not, and every execution was valid after every call');
is($node->safe_psql('postgres', q{SELECT DISTINCT status FROM ends
	WHERE status NOT IN ('COMPLETED', 'COMPENSATED', 'ROLLED_BACK', 'COMPENSATION_FAILED')}),
	'', 'every execution came to an end, or to where an operator decides');
is($node->safe_psql('postgres', q{
	SELECT l.execution, task, kind, previous
	  FROM (SELECT *, lag(kind) OVER (PARTITION BY execution, task ORDER BY n) AS previous FROM ledger) AS l
	 WHERE kind = coalesce(previous, 'undo') AND task <> 'c'}),
	'', 'nothing was done twice unless undone between, or undone before it was done');
is($node->safe_psql('postgres', q{
	SELECT t.execution_id, t.task_name, t.status, l.kind
	  FROM ft.orchestration_tasks AS t
	  LEFT JOIN (SELECT DISTINCT ON (execution, task) * FROM ledger ORDER BY execution, task, n DESC) AS l
	    ON l.execution = t.execution_id AND l.task = t.task_name
	 WHERE t.task_name <> 'c'
	   AND (t.status IN ('COMPLETED', 'COMPENSATING', 'COMPENSATION_FAILED')) <> (coalesce(l.kind, 'undo') = 'do')}),
	'', 'what is recorded as done is done, and what is not is undone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ledger WHERE kind = 'undo' AND NOT in_order}),
	'0', 'compensations ran in reverse order of completion');

# It did happen.
if (!defined $ENV{FT_SEQUENCE})
{
	cmp_ok($lives, '>', 100, 'there were many');
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT action, ',' ORDER BY action) FROM calls WHERE result = 'done'}),
		'auto,checkpoint,compensate,complete,fail,plan,record,recover,retry,return,roll back,run,start,state,undo',
		'every kind of call succeeded at times');
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT status, ',' ORDER BY status) FROM ends}),
		'COMPENSATED,COMPENSATION_FAILED,COMPLETED,ROLLED_BACK', 'every kind of end was reached');
}
note $node->safe_psql('postgres', q{
	SELECT action, string_agg(format('%s %s', result, n), ', ' ORDER BY result)
	  FROM (SELECT action, result, count(*) AS n FROM calls GROUP BY 1, 2) AS c GROUP BY 1 ORDER BY 1});
note $node->safe_psql('postgres', q{
	SELECT status, count(*) FROM ends GROUP BY 1
	UNION ALL SELECT kind, count(*) FROM ledger GROUP BY 1});

$node->stop;
done_testing();
