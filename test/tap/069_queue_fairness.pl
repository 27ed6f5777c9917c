# Who has little to do does not wait for who has much: owners that share two
# executors, owners that share a queue with a limit, queues of one owner.
# What is looked at is how much of the one was done before the other was.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant {
    MANY => 3000,
    FEW => 10,
};

my $node = new_node('main');
$node->append_conf(
    'postgresql.conf', q{
fault_tolerance.max_executors = 2
max_worker_processes = 16
synchronous_commit = off
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA ft TO alice, bob;
});

sub as
{
    my ($user, $sql) = @_;
    return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $user ]);
}

sub submit
{
    my ($user, $queue, $count) = @_;
    as($user, "SELECT count(ft.submit('SELECT pg_sleep(0.01)', queue => '$queue')) FROM generate_series(1, $count)");
}

# Let one flood, and another come with little; how much of the first was
# completed from then on until the second was done.
sub overtaken
{
    my ($of_first, $of_second, $first, $second) = @_;

    $node->safe_psql('postgres', 'TRUNCATE ft.orchestration_executions CASCADE');
    submit(@$first, MANY);
    $node->poll_query_until('postgres', 'SELECT count(*) > 100 FROM ft.orchestration_tasks WHERE completed_at IS NOT NULL')
      or die 'the first did not begin';
    submit(@$second, FEW);
    ok($node->poll_query_until('postgres',
            "SELECT count(*) = @{[FEW]} FROM ft.orchestration_tasks WHERE $of_second AND status = 'COMPLETED'"),
        'the little is done');
    my $count = $node->safe_psql('postgres', qq{
        SELECT count(*) FROM ft.orchestration_tasks
         WHERE $of_first
           AND completed_at BETWEEN (SELECT min(created_at) FROM ft.orchestration_tasks WHERE $of_second)
                                AND (SELECT max(completed_at) FROM ft.orchestration_tasks WHERE $of_second)});
    note("overtaken by $count");
    return $count;
}

# Two executors, both at the first owner's work for longer than a place is kept.
# In the second that it may be kept two executors do no more than 200 of these.
cmp_ok(overtaken(q{owner_oid = 'alice'::regrole}, q{owner_oid = 'bob'::regrole}, [qw(alice default)], [qw(bob default)]),
    '<=', 600, 'an owner does not wait for all of another');

# The same in a queue in which one runs at a time.
$node->safe_psql('postgres', q{SELECT ft.set_queue('narrow', max_running => 1)});
cmp_ok(overtaken(q{owner_oid = 'alice'::regrole}, q{owner_oid = 'bob'::regrole}, [qw(alice narrow)], [qw(bob narrow)]),
    '<=', 600, 'nor in a queue that has a limit');

# Queues of one owner take turns with each claim.
cmp_ok(overtaken(q{queue = 'many'}, q{queue = 'few'}, [qw(alice many)], [qw(alice few)]),
    '<=', 100, 'a queue does not wait for all of another');

# Nobody was forgotten.
$node->safe_psql('postgres', 'SELECT ft.reset_queue($$narrow$$)');
ok($node->poll_query_until('postgres',
        q{SELECT NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE status <> 'COMPLETED')}),
    'all is done in the end');

$node->stop;
done_testing();
