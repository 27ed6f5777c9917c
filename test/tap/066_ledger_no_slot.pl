# The ledger while others have taken all places for background workers, or all
# connections: that is said, nothing is charged, and all goes on when there is
# room.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Three places are the server's and the extension's from the start; three are left.
my $node = new_ledger_node('main');
my $parallel = $node->pg_version < 16 ? 'force_parallel_mode' : 'debug_parallel_query';
$node->append_conf(
    'postgresql.conf', q{
max_worker_processes = 6
max_parallel_workers = 6
max_connections = 20
superuser_reserved_connections = 3
fault_tolerance.worker_idle_timeout = 0
fault_tolerance.executor_idle_timeout = '100ms'
});
$node->start;
install_ledger($node);

sub becomes
{
    my ($query, $what) = @_;

    return ok(poll($node, $query), $what)
      || diag $node->safe_psql('postgres', 'SELECT * FROM ft.worker_status()');
}

# Sessions whose queries take one place each.
my @sessions;

sub take_places
{
    my ($n) = @_;

    push @sessions, open_session($node, "SET $parallel = on; SET application_name = 'taker'; SELECT pg_sleep(1000);")
      foreach 1 .. $n;
    becomes("SELECT count(*) = " . @sessions . " FROM pg_stat_activity WHERE backend_type = 'parallel worker'",
        @sessions . ' places are taken');
}

sub give_back_places
{
    my ($n) = @_;

    $node->safe_psql('postgres',
        "SELECT pg_terminate_backend(pid, 10000) FROM (SELECT pid FROM pg_stat_activity"
          . " WHERE application_name = 'taker' AND backend_type = 'client backend' LIMIT $n) AS taker");
    $_->{run}->kill_kill foreach splice @sessions, 0, $n;
}

sub lacks_place
{
    my ($worker, $of) = @_;

    becomes(
        "SELECT last_error_sqlstate = '53400' AND last_error LIKE 'no background worker slot was free%' AND last_error_at > now() - interval '1 min'"
          . " FROM ft.worker_status() WHERE worker = '$worker'",
        "without a place for $of the $worker says so");
}

my $resting = q{SELECT coalesce((SELECT pid IS NULL FROM ft.worker_status() WHERE worker = 'scheduler'), true)
                   AND NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')};
my $step_done = 'SELECT count(*) > 0 FROM ft.orchestration_tasks WHERE completed_at IS NOT NULL';

#
# Not even a scheduler has a place.
#
becomes($resting, 'without work no worker is there');
take_places(3);
fill_ledger($node, 10);
lacks_place('launcher', 'a scheduler');
is($node->safe_psql('postgres', $step_done), 'f', 'no step has run');

# A scheduler, and no executor.
give_back_places(1);
lacks_place('scheduler', 'an executor');
is($node->safe_psql('postgres', $step_done), 'f', 'still no step has run');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ft.orchestration_tasks WHERE attempt > 0 OR failures > 0 OR losses > 0'),
    '0', 'and nothing is charged');

# Room for one.
give_back_places(1);
becomes($step_done, 'with a place steps run');

#
# A crash while there is hardly any place.
#
# The leader of a parallel query that sees the server go down while it aborts
# fails an assertion of the server's own, so these are not to see it.
send_signals($node, 0.5);
my @takers = split /\n/,
  $node->safe_psql('postgres',
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'taker' AND backend_type = 'client backend'");
is(scalar @takers, scalar @sessions, 'the takers are known');
kill 'STOP', @takers;
$node->kill9;
kill 'KILL', @takers;
start_after_kill9($node);
splice @sessions;
take_places(1);

#
# All connections are taken: no worker needs one of those.
#
my @clients = map { open_session($node, "SET application_name = 'client';") } 1 .. 14;
becomes(q{SELECT count(*) >= 15 FROM pg_stat_activity WHERE backend_type = 'client backend'}, 'clients come');
my $n = 0;
while ($n++ < 20)
{
    # The statement is an argument: psql would be gone before it reads another.
    my (undef, $error) = run_command([ 'psql', '-X', '-U', 'alice', '-d', $node->connstr('postgres'), '-c', 'SELECT 1' ]);

    last if $error =~ /too many clients|remaining connection slots/;
    push @clients, open_session($node, "SET application_name = 'client';");
}
cmp_ok($n, '<=', 20, 'until no client finds a connection');
my $done = $node->safe_psql('postgres', 'SELECT count(*) FROM ledger');
becomes("SELECT count(*) > $done FROM ledger", 'steps run all the same');
close_session($_) foreach @clients;

give_back_places(1);
ledger_ends($node);
check_ledger($node);
nothing_crashed($node);

done_testing();
