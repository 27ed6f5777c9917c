# The ledger across promotions.  A standby that commits wait for is promoted
# after its primary was killed: nothing that anybody has seen is lost.  Then one
# that nobody waits for, and that has not got everything: what is lost is lost
# as a whole.  Both go on by themselves.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

sub make_standby
{
    my ($primary, $name) = @_;
    my $standby = PostgreSQL::Test::Cluster->new($name);

    $primary->backup("for_$name");
    $standby->init_from_backup($primary, "for_$name", has_streaming => 1);
    $standby->start;
    return $standby;
}

sub set
{
    my ($node, $setting, $value) = @_;

    $node->safe_psql('postgres', "ALTER SYSTEM SET $setting = '$value'");
    $node->reload;
}

# What stands in the ledger, and what the tasks say of it, at any time: a step
# that runs has written nothing.
sub agrees_at_any_time
{
    my ($node, $when) = @_;

    none($node, q{
WITH RECURSIVE tree AS
 (SELECT run, execution_id FROM started
  UNION ALL
  SELECT tree.run, child.execution_id
    FROM tree, ft.orchestration_tasks AS starter, ft.orchestration_executions AS child
   WHERE starter.execution_id = tree.execution_id AND child.execution_id = starter.child_execution_id)
SELECT run, task_name, status, done.n, undone.n
  FROM tree JOIN ft.orchestration_tasks AS task USING (execution_id),
       LATERAL (SELECT count(*) AS n FROM ledger WHERE ledger.run = tree.run AND step = task_name AND kind = 'do') AS done,
       LATERAL (SELECT count(*) AS n FROM ledger WHERE ledger.run = tree.run AND step = task_name AND kind = 'undo') AS undone
 WHERE task.children IS NULL AND task.for_each IS NULL AND task.orchestration IS NULL AND task.repeat_while IS NULL
   AND (done.n <> (status IN ('COMPLETED', 'COMPENSATING', 'COMPENSATED', 'COMPENSATION_FAILED'))::int
        OR undone.n <> (status = 'COMPENSATED')::int)},
        "$when the ledger says what the tasks say");
    none($node,
        'SELECT e.execution_id, v.* FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id) AS v',
        "$when every execution is valid");
}

# Nobody has to tell it that this is the place now.
sub goes_on_by_itself
{
    my ($node) = @_;

    is($node->safe_psql('postgres', 'SELECT ft.paused_reason() IS NULL'), 't', 'a promotion is no clone');

    # One of its own: all that could go on may be done already.
    my $step = $node->safe_psql('postgres', q{SELECT ft.submit('SELECT 1')});
    ok( poll($node,
            "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$step'"),
        'and steps are run');
    $node->safe_psql('postgres',
        "DELETE FROM ft.orchestration_executions WHERE execution_id = '$step'");
}

#
# Synchronous.
#
my $primary = new_ledger_node('primary');
$primary->start;
install_ledger($primary);
my $first = make_standby($primary, 'first');
set($primary, 'synchronous_standby_names', '*');
ok(poll($primary, q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'}), 'commits wait for the standby');

my $started = fill_ledger($primary, 10);
send_signals($primary, 0.5);
usleep(200_000 + rand 300_000);

# What is seen here has been acknowledged.
my $seen = $primary->safe_psql('postgres', q{SELECT string_agg(line::text, ',') FROM ledger});
$primary->kill9;
$first->promote;
isnt($seen, '', 'something had been done');
none($first, "SELECT unnest('{$seen}'::bigint[]) EXCEPT SELECT line FROM ledger",
    'every step that had been seen to be done is on the standby');
check_ledger_complete($first, $started);
goes_on_by_itself($first);
$primary->stop('fast', fail_ok => 1);

#
# Asynchronous, with what has not been sent: the connection is lost first.
#
my $second = make_standby($first, 'second');

set($first, 'synchronous_commit', 'local');
$started += fill_ledger($first, 10);
send_signals($first, 0.5);
usleep(rand 300_000);
$first->wait_for_catchup($second, 'write');
$second->append_conf('postgresql.conf', "primary_conninfo = ''\nfault_tolerance.auto_recovery = off");
$second->reload;
ok(poll($second, 'SELECT count(*) = 0 FROM pg_stat_wal_receiver'), 'the connection is lost');
$started += fill_ledger($first, 15);
poll($first, "SELECT count(*) > 20 + (SELECT count(*) FROM unnest('{$seen}'::bigint[])) FROM ledger");
my $lines = $first->safe_psql('postgres', 'SELECT count(*) FROM ledger');
$first->stop('immediate');
$second->promote;
cmp_ok($second->safe_psql('postgres', 'SELECT count(*) FROM started'), '<', $started, 'starts are lost');
cmp_ok($second->safe_psql('postgres', 'SELECT count(*) FROM ledger'), '<', $lines, 'and steps');
agrees_at_any_time($second, 'after a promotion with losses');
$second->append_conf('postgresql.conf', 'fault_tolerance.auto_recovery = on');
$second->reload;
goes_on_by_itself($second);

# It is a server like any other: more work, and a crash.
fill_ledger($second, 5);
send_signals($second, 0.5);
usleep(rand 200_000);
$second->kill9;
start_after_kill9($second);
ledger_ends($second);
check_ledger($second);
nothing_crashed($_) foreach $primary, $first, $second;

done_testing();
