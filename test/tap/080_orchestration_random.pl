# Several sessions call the orchestration functions at random on the same few
# executions, of which the server runs the steps of some, here in the sessions
# themselves.  Whatever the interleaving:
# - no call ends in a deadlock or an internal error;
# - every execution is valid afterwards;
# - each completion of a task is undone at most once, and what was undone is
#   what is recorded as undone;
# - of what is to be compensated, the last to complete comes first.
# FT_SEED repeats a run as far as the scheduling of processes allows, FT_SECONDS
# makes it longer.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FT_SEED} // int(rand(1_000_000_000));
my $seconds = $ENV{FT_SECONDS} // 8;
note "FT_SEED=$seed FT_SECONDS=$seconds";

my $node = new_node_by_hand('random');
$node->safe_psql('postgres', q{
CREATE TABLE slots (slot int PRIMARY KEY, execution uuid);
INSERT INTO slots SELECT generate_series(1, 3);
-- both are written under the lock of the execution, so their keys have its order
CREATE TABLE ledger (n bigint GENERATED ALWAYS AS IDENTITY, execution uuid, task text, kind text, in_order boolean);
CREATE TABLE surprises (sqlstate text, message text, action text);
CREATE TABLE calls (action text, result text);

CREATE FUNCTION undo(of uuid, task text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger (execution, task, kind, in_order)
    SELECT of, task, 'undo', NOT EXISTS (
               SELECT FROM ft.orchestration_tasks AS later
                WHERE later.execution_id = of AND later.status = 'COMPENSATING'
                  AND later.completion_order > t.completion_order)
      FROM ft.orchestration_tasks AS t
     WHERE t.execution_id = of AND t.task_name = undo.task AND t.status = 'COMPENSATING';
    IF random() < 0.2 THEN
        RAISE EXCEPTION 'not yet';
    END IF;
END $$;

CREATE FUNCTION work(task text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger (execution, task, kind) VALUES ((ft.current_step()).execution_id, task, 'do');
    IF random() < 0.2 THEN
        RAISE SQLSTATE '40001' USING MESSAGE = 'not this time';
    END IF;
END $$;

-- the command is for those that the server runs
CREATE FUNCTION add(execution uuid, name text) RETURNS void LANGUAGE sql AS $$
    SELECT ft.add_task(execution, name, format('SELECT work(%L)', name),
                       format('SELECT undo(%L, %L)', execution, name), random() < 0.3) $$;

SELECT ft.define_orchestration('steps', $$[
    {"name": "t1", "command": "SELECT work('t1')", "compensation": "SELECT undo((ft.current_step()).execution_id, 't1')"},
    {"name": "t2", "command": "SELECT work('t2')", "compensation": "SELECT undo((ft.current_step()).execution_id, 't2')",
     "depends_on": ["t1"], "critical": true},
    {"name": "t3", "command": "SELECT work('t3')", "compensation": "SELECT undo((ft.current_step()).execution_id, 't3')",
     "depends_on": ["t1"]},
    {"name": "t4", "command": "SELECT work('t4')", "compensation": "SELECT undo((ft.current_step()).execution_id, 't4')",
     "depends_on": ["t2", "t3"]}]$$);

CREATE FUNCTION act(action text, e uuid, t ft.orchestration_tasks) RETURNS void LANGUAGE plpgsql AS $$
DECLARE type text := (ARRAY['TRANSIENT', 'PERMANENT', 'PARTIAL'])[1 + floor(random() * 3)];
        state text := (ARRAY['40001', '23505', '08006'])[1 + floor(random() * 3)];
BEGIN
    CASE action
        WHEN 'start' THEN PERFORM ft.start_task(t.task_id);
        WHEN 'complete' THEN
            PERFORM ft.complete_task(t.task_id, '{}', t.attempt);
            INSERT INTO ledger (execution, task, kind) VALUES (e, t.task_name, 'do');
        WHEN 'late' THEN
            PERFORM ft.complete_task(t.task_id, '{}', t.attempt - 1);
            RAISE EXCEPTION 'a late report was believed';
        WHEN 'fail' THEN PERFORM ft.fail_task(t.task_id, 'm', state);
        WHEN 'record' THEN PERFORM ft.record_failure(e, 'm', state);
        WHEN 'recover' THEN PERFORM ft.recover_from_failure(e, type);
        WHEN 'return' THEN
            PERFORM ft.recover_from_checkpoint(e, checkpoint_id)
               FROM (SELECT checkpoint_id FROM ft.orchestration_checkpoints
                      WHERE execution_id = e ORDER BY random() LIMIT 1) AS c;
        WHEN 'checkpoint' THEN PERFORM ft.create_checkpoint(e, t.task_id);
        WHEN 'state' THEN PERFORM ft.set_execution_state(e, jsonb_build_object('r', random()));
        WHEN 'add' THEN PERFORM add(e, 't' || floor(random() * 8));
        WHEN 'run' THEN PERFORM ft.run_steps(e);
        WHEN 'auto' THEN PERFORM ft.auto_recover_failures();
        WHEN 'compensate' THEN PERFORM ft.run_compensations(e);
        WHEN 'compensate all' THEN PERFORM ft.run_compensations();
    END CASE;
END $$;

-- one call, or two in one transaction, in the order of the executions' keys
CREATE FUNCTION step(r bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_one text[] := string_to_array(repeat('start,', 12) || repeat('complete,', 20) ||
                                    'run,run,late,fail,fail,fail,record,record,recover,return,checkpoint,state,add', ',');
    of_all text[] := '{auto,compensate,compensate,compensate all}';
    place int; e uuid; t ft.orchestration_tasks; action text;
BEGIN
    PERFORM setseed((r % 1000000) / 1000000.0);
    -- a new execution in the place of one that has ended for good
    SELECT s.slot INTO place
      FROM slots AS s LEFT JOIN ft.orchestration_executions AS x ON x.execution_id = s.execution
     WHERE x.execution_id IS NULL OR x.status = 'COMPENSATED' OR (x.status = 'COMPLETED' AND random() < 0.1)
       FOR UPDATE OF s SKIP LOCKED LIMIT 1;
    IF FOUND THEN
        IF random() < 0.5 THEN
            UPDATE slots SET execution = ft.start('steps') WHERE slot = place;
            RETURN;
        END IF;
        UPDATE slots SET execution = ft.create_execution() WHERE slot = place RETURNING execution INTO e;
        PERFORM add(e, 't' || i) FROM generate_series(1, 4) AS i;
        RETURN;
    END IF;
    FOR e IN SELECT execution FROM (SELECT execution FROM slots WHERE execution IS NOT NULL ORDER BY random()
                                     LIMIT 1 + (random() < 0.2)::int) AS s ORDER BY 1 LOOP
        SELECT * INTO t FROM ft.orchestration_tasks WHERE execution_id = e ORDER BY random() LIMIT 1;
        action := of_one[1 + floor(random() * cardinality(of_one))];
        IF random() < 0.3 AND NOT EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'transactionid') THEN
            action := of_all[1 + floor(random() * cardinality(of_all))];
        END IF;
        BEGIN
            PERFORM act(action, e, t);
            INSERT INTO calls VALUES (action, 'done');
        EXCEPTION
            WHEN check_violation OR object_in_use OR duplicate_object THEN
                INSERT INTO calls VALUES (action, SQLSTATE);
            WHEN OTHERS THEN
                -- a transaction that keeps its snapshot is to be tried again, and
                -- the checkpoint picked may have made room for newer ones since
                IF (SQLSTATE = '40001' AND current_setting('transaction_isolation') <> 'read committed')
                   OR (SQLSTATE = '42704' AND action = 'return') THEN
                    INSERT INTO calls VALUES (action, SQLSTATE);
                ELSE
                    INSERT INTO surprises VALUES (SQLSTATE, SQLERRM, action);
                END IF;
        END;
        IF action = ANY (of_all) THEN
            RETURN;
        END IF;
    END LOOP;
END $$;
}, extra_params => [ '-U', 'app' ]);

# Clients of each isolation level, at the same time.
my $script = $node->basedir . '/step.sql';
append_to_file($script, "\\set r random(1, 1000000000)\nSELECT step(:r);\n");
my @runs;
foreach my $level ('read committed', 'repeatable read')
{
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . ($level =~ s/ /\\ /r);
	my ($out, $err) = ('', '');
	my $handle = IPC::Run::start(
		[ 'pgbench', '-n', '-U', 'app', '-h', $node->host, '-p', $node->port,
			'-c', $level eq 'read committed' ? 5 : 2, '-T', $seconds,
			"--random-seed=$seed", '-f', $script, 'postgres' ],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($seconds + 120));
	push @runs, [ $level, $handle, \$out, \$err ];
}
foreach my $run (@runs)
{
	my ($level, $handle, $out, $err) = @$run;
	$handle->finish;
	is($handle->result(0), 0, "$level: no client was thrown out") or diag $$err;
	note $$out =~ /(number of transactions actually processed: \d+)/ ? "$level: $1" : $$out;
}

is($node->safe_psql('postgres', 'SELECT sqlstate, action, min(message), count(*) FROM surprises GROUP BY 1, 2'),
	'', 'no call failed in a way that it should not');
is($node->safe_psql('postgres', q{
	SELECT v.* FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v}),
	'', 'every execution is valid');
is($node->safe_psql('postgres', q{
	SELECT execution, task, kind, previous
	  FROM (SELECT *, lag(kind) OVER (PARTITION BY execution, task ORDER BY n) AS previous FROM ledger) AS l
	 WHERE kind = coalesce(previous, 'undo')}),
	'', 'nothing was undone twice, or before it was done');
is($node->safe_psql('postgres', q{
	SELECT t.execution_id, t.task_name, t.status, l.kind
	  FROM ft.orchestration_tasks AS t
	  LEFT JOIN (SELECT DISTINCT ON (execution, task) * FROM ledger ORDER BY execution, task, n DESC) AS l
	    ON l.execution = t.execution_id AND l.task = t.task_name
	 WHERE (t.status IN ('COMPLETED', 'COMPENSATING', 'COMPENSATION_FAILED')) <> (coalesce(l.kind, 'undo') = 'do')}),
	'', 'what is recorded as done is done, and what is not is undone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ledger WHERE kind = 'undo' AND NOT in_order}),
	'0', 'compensations ran in reverse order of completion');

# It did happen.
my $calls = $node->safe_psql('postgres',
	q{SELECT string_agg(DISTINCT action, ',' ORDER BY action) FROM calls WHERE result = 'done'});
is($calls, 'add,auto,checkpoint,compensate,compensate all,complete,fail,record,recover,return,run,start,state',
	'every kind of call succeeded at times');
note $node->safe_psql('postgres', q{
	SELECT action, string_agg(format('%s %s', result, n), ', ' ORDER BY result)
	  FROM (SELECT action, result, count(*) AS n FROM calls GROUP BY 1, 2) AS c GROUP BY 1 ORDER BY 1});
note $node->safe_psql('postgres', q{
	SELECT status, count(*) FROM ft.orchestration_executions GROUP BY 1
	UNION ALL SELECT kind, count(*) FROM ledger GROUP BY 1});
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM ledger WHERE kind = 'undo'}), '>', 20,
	'compensations ran');

$node->stop;
unlike(slurp_file($node->logfile), qr/deadlock detected|PANIC|was terminated by signal/,
	'the log shows no deadlock and no crash');
done_testing();
