# A step that takes the server down, among others that have done nothing wrong:
# it is found, has its attempts and no more, and the others run exactly once.
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
max_worker_processes = 16
});
$node->start;

my $setup = q{
CREATE EXTENSION fault_tolerance;
GRANT USAGE ON SCHEMA ft TO alice, bob;
CREATE TABLE ledger (line bigserial, who text, owner name DEFAULT current_user);
GRANT ALL ON ledger, ledger_line_seq TO alice, bob;
};
$node->safe_psql('postgres', 'CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE DATABASE other');
$node->safe_psql($_, $setup) foreach 'postgres', 'other';

# The server is down now and then.
sub becomes
{
    my ($query, $what, $database) = @_;

    return ok(poll($node, $query, $database), $what);
}

sub restarts
{
    my $n = () = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g;

    return $n;
}

# A shell that the server starts kills the backend that started it.  Before
# that, neighbours may start: the gate opens when all of this is committed.
my $killer = q{COPY ledger (who) TO PROGRAM 'sleep 0.1; kill -9 $PPID'};
my $neighbours = q{
SELECT count(ft.submit('SELECT pg_sleep(0.05); INSERT INTO ledger (who) VALUES ((ft.input() ->> ''n''))',
                       jsonb_build_object('n', n), max_attempts => 2))
  FROM generate_series(1, %d) AS n};

sub neighbours
{
    my ($owner, $n, $database) = @_;

    $node->safe_psql($database // 'postgres', sprintf($neighbours, $n), extra_params => [ '-U', $owner ]);
}

neighbours('alice', 30);
neighbours('bob', 30);
neighbours('alice', 10, 'other');
my $bad = $node->safe_psql('postgres',
    "SELECT ft.submit(\$command\$$killer\$command\$, max_attempts => 2, priority => 5)");

becomes("SELECT status = 'ROLLED_BACK' FROM ft.orchestration_executions WHERE execution_id = '$bad'",
    'a step that takes the server down is stopped');
becomes(q{SELECT count(*) = 60 FROM ft.orchestration_executions WHERE status = 'COMPLETED'},
    'and its neighbours are done');
becomes(q{SELECT count(*) = 10 FROM ft.orchestration_executions WHERE status = 'COMPLETED'},
    'those in another database too', 'other');

is( $node->safe_psql('postgres',
        q{SELECT count(*), count(DISTINCT (who, owner)) FROM ledger}),
    '60|60',
    'each exactly once');
is($node->safe_psql('other', 'SELECT count(*), count(DISTINCT who) FROM ledger'),
    '10|10', 'in both');
is( $node->safe_psql('postgres',
        "SELECT execution_id = '$bad', sqlstate, failure_type, failure_message, count(*)"
          . ' FROM ft.orchestration_failures GROUP BY 1, 2, 3, 4'),
    't|57P02|TRANSIENT|the server went down while this step, and nothing else of its database, was running|2',
    'only the one that did it has failed, as often as it has attempts');
is( $node->safe_psql('other', 'SELECT count(*) FROM ft.orchestration_failures'),
    '0', 'none in the other database');
is( $node->safe_psql('postgres',
        "SELECT task.attempt >= 3, task.failures, task.suspicion FROM ft.orchestration_tasks AS task WHERE execution_id = '$bad'"
    ),
    't|0|server',
    'and was begun once more');
my $crashes = restarts();
cmp_ok($crashes, '<=', 4, "the server went down $crashes times");
cmp_ok($crashes, '>=', 3, 'which is once to become suspect and once for each attempt');
is( $node->safe_psql('postgres',
        q{SELECT count(*) FROM ft.orchestration_tasks WHERE suspicion IS NOT NULL AND status = 'COMPLETED'}),
    '0',
    'what has completed is no suspect');
is( $node->safe_psql('postgres',
        'SELECT count(*) FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id)'),
    '0',
    'every execution is valid');

# Suspects over, several executors work again.
neighbours('alice', 4);
becomes(q{SELECT count(*) = 64 FROM ft.orchestration_executions WHERE status = 'COMPLETED'},
    'what comes later runs as ever');

#
# One that ends only its own executor.
#
$node->safe_psql('postgres', 'CREATE TABLE gate AS SELECT 1 AS x');
my $suicide = $node->safe_psql('postgres',
    "SELECT ft.submit('SELECT pg_terminate_backend(pg_backend_pid())', max_attempts => 2)");
neighbours($node->safe_psql('postgres', 'SELECT current_user'), 20);
becomes("SELECT status = 'ROLLED_BACK' FROM ft.orchestration_executions WHERE execution_id = '$suicide'",
    'a step that ends its executor is stopped');
becomes(q{SELECT count(*) = 84 FROM ft.orchestration_executions WHERE status = 'COMPLETED'},
    'and its neighbours are done');
is( $node->safe_psql('postgres',
        q{SELECT task.execution_id = '} . $suicide . q{', failure.sqlstate, failure_message, count(*)
            FROM ft.orchestration_failures AS failure JOIN ft.orchestration_tasks AS task USING (task_id)
           WHERE failure.execution_id <> '} . $bad . q{' GROUP BY 1, 2, 3}),
    't|57P01|the executor that ran this step, and nothing else, was lost again|2',
    'without a failure of their own');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ledger'), '84', 'each exactly once');
is(restarts(), $crashes, 'and without a crash');

#
# A shutdown makes nobody suspect, however often.
#
my $slow = $node->safe_psql('postgres',
    "SELECT ft.submit('SELECT pg_sleep(600) FROM gate', max_attempts => 1)");
foreach my $try (1 .. 3)
{
    becomes("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'",
        "a step runs, $try");
    $node->restart;
}
becomes("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'",
    'a step runs after restarts');
is( $node->safe_psql('postgres',
        "SELECT task.losses, task.suspicion IS NULL, task.failures FROM ft.orchestration_tasks AS task WHERE execution_id = '$slow'"),
    '3|t|0',
    'and nobody suspects it');

# Both databases were looked at one after the other: not with the next poll of
# the launcher, which is a minute later.
is( $node->safe_psql('postgres', q{
SELECT string_agg(worker.datname, ',' ORDER BY worker.datname)
  FROM ft.worker_status() AS worker, ft.worker_status() AS launcher
 WHERE worker.worker = 'scheduler' AND launcher.worker = 'launcher'
   AND worker.started_at < launcher.started_at + interval '50 s'}),
    'other,postgres',
    'every database has had its scheduler soon after the start')
  if becomes(q{SELECT count(*) = 2 FROM ft.worker_status() WHERE worker = 'scheduler' AND started_at IS NOT NULL},
    'every database has a scheduler');

#
# What was running once is not looked at for ever, whether vacuum has come or
# not, as long as no old snapshot keeps it.
#
$node->safe_psql('postgres', "SELECT ft.cancel('$slow')");
becomes("SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 'the slow step is cancelled');
my @read = split /\n/, $node->safe_psql(
    'postgres', q{
SET client_min_messages = error;
SELECT ft.create_execution() AS execution \gset
SELECT ft.add_task(:'execution', 'one') AS task \gset
SELECT format($$DO 'BEGIN
    FOR i IN 1..2000 LOOP
        UPDATE ft.orchestration_tasks SET status = ''RUNNING'', attempt = i, worker_id = 1, worker_epoch = 1 WHERE task_id = ''%1$s'';
        UPDATE ft.orchestration_tasks SET status = ''PENDING'' WHERE task_id = ''%1$s'';
    END LOOP;
END'$$, :'task') AS command \gset
:command;
SELECT FROM ft.scheduler_tick();
SELECT FROM ft.scheduler_tick();
SELECT FROM pg_stat_force_next_flush();
SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'idx_tasks_running';
SELECT FROM ft.scheduler_tick();
SELECT FROM pg_stat_force_next_flush();
SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'idx_tasks_running';
});
@read = grep { $_ ne '' } @read;
is(scalar @read, 2, 'there are figures');
cmp_ok($read[1] - $read[0], '<', 100, 'who was lost is found without reading what was running before');

#
# An attempt that was given back and claimed by somebody else has its number
# again.  Who had it before and fails does not have the other pay.
#
my $holder = open_session($node, 'SELECT pg_advisory_lock(1);');
becomes(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted}, 'a lock is held');
my $other = $node->safe_psql('postgres',
    q{SELECT ft.submit('SELECT pg_advisory_xact_lock_shared(1); SELECT 1 / 0')});
becomes(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, 'a step waits for it');
$node->safe_psql('postgres', "UPDATE ft.orchestration_tasks SET worker_id = 99999999 WHERE execution_id = '$other'");
close_session($holder);
becomes(q{SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'}, 'and gets it');
$node->safe_psql('postgres', 'SELECT ft.wake_worker()');
becomes("SELECT status = 'ROLLED_BACK' FROM ft.orchestration_executions WHERE execution_id = '$other'",
    'what the other one was lost with is run again');
is( $node->safe_psql('postgres',
        "SELECT t.attempt, count(f), min(f.sqlstate) FROM ft.orchestration_tasks AS t JOIN ft.orchestration_failures AS f USING (task_id)"
          . " WHERE t.execution_id = '$other' GROUP BY t.attempt"),
    '2|1|22012', 'and has failed by itself only');

nothing_crashed($node);

done_testing();
