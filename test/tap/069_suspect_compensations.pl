# A compensation that takes the server down, among others that have done
# nothing wrong: it is found, has its tries and no more, and the others run
# exactly once.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf(
    'postgresql.conf', q{
restart_after_crash = on
fault_tolerance.max_executors = 4
fault_tolerance.recovery_backoff = '10ms'
fault_tolerance.recovery_max_attempts = 2
max_worker_processes = 16
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA ft TO alice, bob;
CREATE TABLE ledger (line bigserial, who text);
CREATE TABLE gate AS SELECT 1 AS x;
CREATE SEQUENCE number;
GRANT ALL ON ledger, ledger_line_seq, number TO alice, bob;

-- Executions that fail after two steps that have compensations.
CREATE FUNCTION start_sagas(name text, compensation text, n int DEFAULT 1) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    execution uuid;
BEGIN
    PERFORM ft.define_orchestration(name, jsonb_build_array(
        jsonb_build_object('name', 'one', 'compensation', $q$INSERT INTO public.ledger (who) VALUES (concat($1 ->> 'n', ' one'))$q$),
        jsonb_build_object('name', 'two', 'depends_on', '{one}'::text[], 'compensation', compensation),
        jsonb_build_object('name', 'bad', 'depends_on', '{two}'::text[], 'command', 'SELECT 1 / 0')));
    FOR i IN 1..n LOOP
        execution := ft.start(name, jsonb_build_object('n', name || nextval('number')));
    END LOOP;
    RETURN execution;
END $$;

-- ... whose compensations take a little
CREATE FUNCTION start_neighbours(n int) RETURNS uuid LANGUAGE sql AS $$
    SELECT start_sagas(current_user::text,
        $q$SELECT pg_sleep(0.05); INSERT INTO public.ledger (who) VALUES (concat($1 ->> 'n', ' two'))$q$, n)
$$;
});

sub becomes
{
    my ($query, $what) = @_;

    return ok(poll($node, $query), $what);
}

sub restarts
{
    my $n = () = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g;

    return $n;
}

sub neighbours
{
    my ($n) = @_;

    $node->safe_psql('postgres', "SELECT start_neighbours($n)", extra_params => [ '-U', $_ ])
      foreach 'alice', 'bob';
}

# What holds whenever all is over but for what was given up.
sub nobody_else_is_charged
{
    my ($n, $others) = @_;

    becomes("SELECT count(*) = $n + $others FROM ft.orchestration_executions WHERE status = 'COMPENSATED'",
        'its neighbours are compensated');
    is( $node->safe_psql('postgres',
            q{SELECT count(*), count(DISTINCT who) FROM ledger WHERE who ~ '^(alice|bob)'}),
        2 * $n . '|' . 2 * $n,
        'each exactly once');
    is( $node->safe_psql('postgres',
            q{SELECT DISTINCT execution.owner, task_name, compensation_failures, suspicion
                FROM ft.orchestration_tasks AS task JOIN ft.orchestration_executions AS execution USING (execution_id)
               WHERE (compensation_failures > 0 OR suspicion IS NOT NULL) AND execution.owner IN ('alice', 'bob')}),
        '',
        'and none of them is charged or suspected any more');
    is( $node->safe_psql('postgres',
            'SELECT count(*) FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id)'),
        '0',
        'every execution is valid');
}

my $stopped = q{
SELECT e.status, t.status, compensation_failures, compensation_error_sqlstate, compensation_error_message, suspicion, d.why, d.task_name
  FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)
       LEFT JOIN ft.dead_letters AS d USING (execution_id)
 WHERE t.task_name = 'two' AND e.execution_id = };

# A shell that the server starts kills the backend that started it.  Before
# that, neighbours may begin.
neighbours(15);
my $bad = $node->safe_psql('postgres',
    q{SELECT start_sagas('bad', $$COPY ledger (who) TO PROGRAM 'sleep 0.1; kill -9 $PPID'$$)});
becomes("SELECT status = 'COMPENSATION_FAILED' FROM ft.orchestration_executions WHERE execution_id = '$bad'",
    'a compensation that takes the server down is stopped');
is( $node->safe_psql('postgres', "$stopped '$bad'"),
    'COMPENSATION_FAILED|COMPENSATION_FAILED|2|57P02|'
      . 'the server went down while this compensation, and nothing else of its database, was running'
      . '|server|a compensation failed|two',
    'and reported');
my $crashes = restarts();
cmp_ok($crashes, '<=', 4, "the server went down $crashes times");
cmp_ok($crashes, '>=', 3, 'which is once to become suspect and once for each try');
nobody_else_is_charged(30, 0);

# Steps are kept apart from it as well.
neighbours(4);
becomes(q{SELECT count(*) = 38 FROM ft.orchestration_executions WHERE status = 'COMPENSATED'},
    'what comes later runs as ever');

#
# Corrected, it goes on where it stopped.
#
$node->safe_psql('postgres',
    "SELECT ft.correct_task(task_id, compensation => 'INSERT INTO ledger (who) VALUES (''corrected'')')"
      . " FROM ft.orchestration_tasks WHERE execution_id = '$bad' AND task_name = 'two'");
$node->safe_psql('postgres', "SELECT ft.redrive('$bad')");
becomes("SELECT status = 'COMPENSATED' FROM ft.orchestration_executions WHERE execution_id = '$bad'",
    'corrected and redriven it ends');
is( $node->safe_psql('postgres', q{SELECT string_agg(who, ', ' ORDER BY line) FROM ledger WHERE who IN ('corrected', 'bad31 one')}),
    'corrected, bad31 one',
    'with what was to come after it');
is( $node->safe_psql('postgres',
        "SELECT suspicion IS NULL FROM ft.orchestration_tasks WHERE execution_id = '$bad' AND task_name = 'two'"),
    't',
    'and is no suspect any more');
is(restarts(), $crashes, 'without a crash');

#
# One that ends only its own executor.
#
my $suicide = $node->safe_psql('postgres',
    q{SELECT start_sagas('suicide', 'SELECT pg_terminate_backend(pg_backend_pid())')});
neighbours(5);
becomes("SELECT status = 'COMPENSATION_FAILED' FROM ft.orchestration_executions WHERE execution_id = '$suicide'",
    'a compensation that ends its executor is stopped');
is( $node->safe_psql('postgres', "$stopped '$suicide'"),
    'COMPENSATION_FAILED|COMPENSATION_FAILED|2|57P01|'
      . 'the executor that ran this compensation, and nothing else, was lost again|executor|a compensation failed|two',
    'and reported');
nobody_else_is_charged(48, 1);
is(restarts(), $crashes, 'and without a crash');

#
# A shutdown charges nobody, however often.
#
my $slow = $node->safe_psql('postgres',
    q{SELECT start_sagas('slow', $$INSERT INTO ledger (who) VALUES ('slow'); SELECT pg_sleep(600) FROM gate$$)});
my $runs =
  "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'";
foreach my $try (1 .. 4)
{
    becomes($runs, "a compensation runs, $try");
    $node->restart;
}
becomes($runs, 'a compensation runs after restarts');
is( $node->safe_psql('postgres',
        "SELECT compensation_losses, compensation_failures, suspicion IS NULL FROM ft.orchestration_tasks WHERE execution_id = '$slow' AND task_name = 'two'"
    ),
    '0|0|t',
    'and nobody charges it');
$node->safe_psql('postgres',
        'DELETE FROM gate; SELECT pg_terminate_backend(pid) FROM pg_stat_activity'
      . q{ WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'});
becomes("SELECT status = 'COMPENSATED' FROM ft.orchestration_executions WHERE execution_id = '$slow'", 'it ends');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ledger WHERE who = 'slow'}),
    '1', 'and took effect once');

nothing_crashed($node);

done_testing();
