# All places for executors are taken, and some who have one have nothing to do:
# they make place for who has, and do not keep it for their idle timeout.  How
# long that takes is said, and only that it does not take for ever is tested.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf(
    'postgresql.conf', q{
fault_tolerance.max_executors = 2
fault_tolerance.executor_idle_timeout = '1h'
max_worker_processes = 16
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE carol LOGIN;
GRANT USAGE ON SCHEMA ft TO alice, bob, carol;
});

sub submit
{
    my ($user, $command) = @_;
    return $node->safe_psql('postgres', "SELECT ft.submit('$command')", extra_params => [ '-U', $user ]);
}

sub executors
{
    return $node->safe_psql('postgres',
        q{SELECT string_agg(owner || ' ' || state, ', ' ORDER BY owner::text, state) FROM ft.worker_status() WHERE worker = 'executor'});
}

sub completes
{
    my ($execution, $what) = @_;

    ok(poll($node, "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"), $what)
      or diag('executors: ' . executors());
    note("$what: after "
          . $node->safe_psql('postgres',
            "SELECT round(1000 * extract(epoch FROM finished_at - created_at)) FROM ft.orchestration_executions WHERE execution_id = '$execution'")
          . ' ms');
}

sub waits
{
    my ($users, $what) = @_;

    ok(poll($node, qq{SELECT array_agg(owner::text || ' ' || state ORDER BY owner::text, state) = '{$users}'
                        FROM ft.worker_status() WHERE worker = 'executor'}), $what)
      or diag('executors: ' . executors());
}

my %gate = map { $_ => $node->background_psql('postgres') } 1 .. 2;
$gate{$_}->query_safe("SELECT pg_advisory_lock($_)") foreach keys %gate;

# One is at something long, and one waits for work that does not come.
my $first = submit('carol', 'SELECT pg_advisory_xact_lock_shared(1)');
waits('carol running', 'one executor is at something long');
completes(submit('alice', 'SELECT 1'), 'another owner has the other place');
waits('alice sleeping,carol running', 'and has nothing more to do');

# Who has none at all.
completes(submit('bob', 'SELECT 1'), 'an owner without an executor');
waits('bob sleeping,carol running', 'has the place of the one that had nothing to do');

# Who has one, which is busy.
completes(submit('carol', 'SELECT 2'), 'an owner whose executor is busy');
waits('carol running,carol sleeping', 'has a further one in its place');

# One that is busy does not make place for a further one.
my $second = submit('bob', 'SELECT pg_advisory_xact_lock_shared(2)');
waits('bob running,carol running', 'both places are at work');
my $third = submit('carol', 'SELECT 3');
my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp() FROM ft.wake_worker()');
ok( poll($node, qq{SELECT last_tick > '$now' AND state = 'sleeping' FROM ft.worker_status() WHERE worker = 'scheduler' AND datname = 'postgres'}),
    'the scheduler has looked');
is(executors(), 'bob running, carol running', 'and has nobody leave');

$gate{$_}->quit foreach keys %gate;
completes($_, 'at last') foreach $first, $second, $third;
is($node->safe_psql('postgres', 'SELECT sum(losses + failures) FROM ft.orchestration_tasks'), '0', 'nobody is charged');

# With one place: who has it becomes idle soon after it has got it, and somebody
# waits for it since before.
$node->append_conf(
    'postgresql.conf', q{
fault_tolerance.max_executors = 1
log_min_messages = debug1
});
$node->restart;
my $short = submit('alice', 'SELECT pg_sleep(0.5)');
waits('alice running', 'one has the only place');
my $waiting = submit('bob', 'SELECT 1');
completes($_, 'another waits for it') foreach $short, $waiting;
cmp_ok(
    $node->safe_psql('postgres',
        qq{SELECT extract(epoch FROM b.started_at - a.finished_at) FROM ft.orchestration_executions AS a, ft.orchestration_executions AS b
            WHERE a.execution_id = '$short' AND b.execution_id = '$waiting'}),
    '<', 3, 'and has it before the scheduler looks by itself');

# Owners whose steps come one by one share it, without a process for each step.
my $logged = -s $node->logfile;
my %client = map { $_ => $node->background_psql('postgres', extra_params => [ '-U', $_ ]) } 'alice', 'bob';
foreach (1 .. 30)
{
    $client{$_}->query_safe(q{SELECT ft.submit('SELECT 1'), pg_sleep(0.05)}) foreach sort keys %client;
}
$client{$_}->quit foreach keys %client;
ok(poll($node, q{SELECT count(*) = 0 FROM ft.orchestration_executions WHERE finished_at IS NULL}), 'steps of two owners are done');
my $starts = () = slurp_file($node->logfile, $logged) =~ /starting background worker process "fault_tolerance executor/g;
note("$starts executors were started for 60 steps");
cmp_ok($starts, '<', 20, 'and few processes were started for them');
nothing_crashed($node);

done_testing();
