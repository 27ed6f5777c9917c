# What the TAP tests share: a server with the library preloaded, and questions
# about its background workers.
package FaultTolerance;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(
  new_node
  new_node_by_hand
  scheduler_state
  scheduler_pid
  wait_for_scheduler
  launcher_pid
  new_execution
  failure_latency
  start_after_kill9
  poll
  open_session
  close_session
  nothing_crashed
  ready_times
);

# Where the server goes down, psql may end before it has read what it is to
# send, and IPC::Run dies of the broken pipe: that is one more try.
{
    no warnings 'redefine';
    my $poll_query_until = \&PostgreSQL::Test::Cluster::poll_query_until;

    *PostgreSQL::Test::Cluster::poll_query_until = sub {
        my @arguments = @_;

        for (my $tries = 100;; $tries--)
        {
            my $result = eval { $poll_query_until->(@arguments) };
            return $result if $@ eq '';
            die $@ if $@ !~ /Broken pipe/ || $tries == 0;
            usleep(20_000);
        }
    };
}

# A server that is set up but not started.  Whatever the workers do there, it
# is not because of the poll: that comes once an hour.
sub new_node
{
    my ($name, %params) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);

    $node->init(%params);
    $node->append_conf(
        'postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.recovery_interval = '1h'
max_prepared_transactions = 5
autovacuum = off
log_line_prefix = '%m [%p] %b %d '
});
    return $node;
}

# A server that is started, in which nothing is done unless it is called, and
# role app, which has all that an application needs.
sub new_node_by_hand
{
    my ($name) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);

    $node->init;
    $node->append_conf(
        'postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
fault_tolerance.recovery_backoff = 0
fault_tolerance.recovery_max_attempts = 3
fault_tolerance.checkpoint_retention = 5
fsync = off
});
    $node->start;
    $node->safe_psql(
        'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE app LOGIN;
GRANT USAGE ON SCHEMA ft TO app;
GRANT CREATE ON SCHEMA public TO app;
});
    return $node;
}

# One column of the scheduler's row in ft.worker_status(), as the given
# database shows it.
sub scheduler_column
{
    my ($node, $database, $column, $from) = @_;

    return $node->safe_psql($from // $database,
        "SELECT $column FROM ft.worker_status() WHERE worker = 'scheduler' AND datname = '$database'"
    );
}

sub scheduler_state { return scheduler_column(@_[ 0, 1 ], 'state', $_[2]); }
sub scheduler_pid { return scheduler_column(@_[ 0, 1 ], 'pid', $_[2]); }

# Wait until the scheduler of a database is in one of these states, with its
# wake-ups seen to.
sub wait_for_scheduler
{
    my ($node, $database, $states, $from) = @_;
    my $list = join(',', map { "'$_'" } split(/\|/, $states));

    return $node->poll_query_until($from // $database,
        "SELECT coalesce((SELECT state IN ($list) FROM ft.worker_status()"
          . " WHERE worker = 'scheduler' AND datname = '$database'), false)");
}

sub launcher_pid
{
    my ($node, $database) = @_;

    return $node->safe_psql($database,
        "SELECT pid FROM ft.worker_status() WHERE worker = 'launcher'");
}

# An execution with one task that was completed and can be compensated, and
# one that was not.  Returns its id.
sub new_execution
{
    my ($node, $database, $compensation, $user) = @_;
    my @user = defined $user ? (extra_params => [ '-U', $user ]) : ();

    $compensation //= 'SELECT 1';
    return $node->safe_psql(
        $database, qq{
SELECT ft.create_execution() AS id \\gset
SELECT ft.add_task(:'id', 'done', compensation => \$command\$$compensation\$command\$) AS done \\gset
SELECT ft.add_task(:'id', 'open') AS open \\gset
SELECT ft.start_task(:'done') AS attempt \\gset
SELECT ft.complete_task(:'done') IS NULL AS completed \\gset
SELECT :'id';
}, @user);
}

# Record a failure and wait until it is recovered.  Returns how long that took
# by the server's clock, in milliseconds.
sub failure_latency
{
    my ($node, $database, $type) = @_;
    my $execution = new_execution($node, $database);
    my $failure = $node->safe_psql($database,
        "SELECT ft.record_failure('$execution', 'a test', failure_type => '$type')"
    );

    $node->poll_query_until($database,
        "SELECT recovered FROM ft.orchestration_failures WHERE failure_id = '$failure'"
    ) or die "failure $failure was not recovered";
    return $node->safe_psql($database,
        "SELECT extract(epoch FROM recovered_at - failure_timestamp) * 1000"
          . " FROM ft.orchestration_failures WHERE failure_id = '$failure'");
}

# Start after kill -9 of the postmaster: its children need a moment to notice.
sub start_after_kill9
{
    my ($node) = @_;

    foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
    {
        return if $node->start(fail_ok => 1);
        select(undef, undef, undef, 0.1);
        $node->stop('fast', fail_ok => 1);
    }
    die 'the server did not start again';
}

# Poll without a word of what fails while the server is down.
sub poll
{
    my ($node, $query, $database) = @_;
    my $bound = time + $PostgreSQL::Test::Utils::timeout_default;

    for (;;)
    {
        my ($status, $out) =
          eval { $node->psql($database // 'postgres', $query, timeout => 60) };

        return 1 if defined $status && $status == 0 && $out eq 't';
        last if time > $bound;
        usleep(20_000);
    }
    diag "waited in vain: $query";
    return 0;
}

# A session that has been given something to do, and stays.
sub open_session
{
    my ($node, $sql) = @_;
    my %session = (in => "$sql\n", out => '', err => '');

    $session{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', '-' ],
        '<', \$session{in}, '>', \$session{out}, '2>', \$session{err});
    $session{run}->pump while length $session{in};
    return \%session;
}

# It ends when it has done what it was given.
sub close_session
{
    my ($session) = @_;

    $session->{in} = "\\q\n";
    $session->{run}->finish;
}

# No process of it ended by a fault of its own.
sub nothing_crashed
{
    my ($node) = @_;

    return unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (6|11)/,
        'nothing crashed by itself on ' . $node->name);
}

# When the server has come up, by its log.
sub ready_times
{
    my ($node) = @_;

    return slurp_file($node->logfile) =~
      /^(\S+ \S+ \S+) \[.*database system is ready to accept connections/mg;
}

1;
