# The ledger while its owners may not log in any more, are renamed and dropped:
# what is theirs is parked, with no attempt charged, and goes on when that is
# settled.  The others are not disturbed.
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

my $node = new_ledger_node('main');
$node->start;
install_ledger($node);
$node->safe_psql('postgres', 'CREATE ROLE dave LOGIN IN ROLE workers');
define_ledger($node, 'dave');

sub becomes
{
    my ($query, $what) = @_;

    return ok(poll($node, $query), $what)
      || diag $node->safe_psql('postgres',
        q{SELECT e.owner, e.owner_oid, e.status, e.parked_reason, t.task_name, t.status, t.due_at, t.suspicion
            FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)
           WHERE e.finished_at IS NULL AND t.status NOT IN ('COMPLETED', 'SKIPPED') ORDER BY 1, 5 LIMIT 40})
      . $node->safe_psql('postgres', 'SELECT * FROM ft.worker_status()');
}

# Executions under way, somewhere in the middle.
sub begin
{
    my (@of) = @_;

    fill_ledger($node, 12, @of);
    send_signals($node, 0.5, @of);
    usleep(rand 150_000);
}

# Nothing of an owner's runs; what has something due, or to compensate, says why not.
sub is_parked
{
    my ($owner, $reason) = @_;

    becomes(
        "SELECT count(*) > 0 FROM ft.orchestration_executions WHERE owner = '$owner' AND parked_reason = '$reason'",
        "what belongs to $owner is parked, and says why");
    becomes(
        "SELECT count(*) = 0 FROM ft.worker_status() WHERE worker = 'executor' AND owner IN ('$owner')",
        'nothing of it runs');
    is( $node->safe_psql('postgres',
            "SELECT count(*) FROM ft.orchestration_tasks AS t JOIN ft.orchestration_executions AS e USING (execution_id)"
              . " WHERE e.owner = '$owner' AND t.due_at IS NOT NULL"),
        '0', 'nor will');
    cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM ft.dead_letters WHERE why = 'parked' AND owner = '$owner'"),
        '>', 0, 'operators see it');
    is( $node->safe_psql('postgres',
            'SELECT DISTINCT e.owner, task_name, f.sqlstate, failure_message'
              . ' FROM ft.orchestration_failures AS f JOIN ft.orchestration_tasks AS t USING (task_id)'
              . '      JOIN ft.orchestration_executions AS e ON e.execution_id = t.execution_id'
              . q{ WHERE (task_name, f.sqlstate) NOT IN (('bad', '22012'), ('flaky', '40001'))}),
        '', 'with no attempt charged');
}

sub undisturbed
{
    my (@others) = @_;

    foreach my $other (@others)
    {
        send_signals($node, 2, $other);
        becomes("SELECT count(*) = 0 FROM ft.orchestration_executions WHERE owner = '$other' AND finished_at IS NULL",
            "$other is not disturbed");
    }
}

sub all_over
{
    my ($what) = @_;

    becomes('SELECT count(*) = 0 FROM ft.orchestration_executions WHERE finished_at IS NULL OR parked_reason IS NOT NULL', $what);
}

#
# NOLOGIN, and back.
#
begin('alice', 'bob');
$node->safe_psql('postgres', 'ALTER ROLE bob NOLOGIN');
is_parked('bob', 'its owner, role "bob", is not permitted to log in');
undisturbed('alice');
$node->safe_psql('postgres', 'ALTER ROLE bob LOGIN');
send_signals($node, 2, 'bob');
all_over('with ALTER ROLE ... LOGIN all goes on');

#
# Renamed, and adopted.
#
begin('alice', 'bob');
$node->safe_psql('postgres', 'ALTER ROLE alice RENAME TO carol');
is_parked('alice', 'its owner, role "alice", is now named "carol"; a superuser calls ft.adopt() to settle whose it is');
undisturbed('bob');
cmp_ok($node->safe_psql('postgres', 'SELECT ft.adopt()'), '>', 0, 'ft.adopt() settles whose it is');
send_signals($node, 2, 'carol');
all_over('and all goes on under the new name');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ft.orchestration_executions WHERE owner = 'alice'}), '0', 'with none left behind');

# Definitions are the role's as before.
define_ledger($node, 'carol');
is( $node->safe_psql('postgres', q{SELECT ft.start('alice chain', '{"run": 0}') IS NOT NULL}, extra_params => [ '-U', 'carol' ]),
    't', 'who is called otherwise now can start what the role had defined');
$node->safe_psql('postgres', q{DELETE FROM ft.orchestration_executions WHERE input ->> 'run' = '0'});
$node->safe_psql('postgres', q{DELETE FROM ledger WHERE run = 0});

#
# Dropped, and made anew.  A step and a compensation of dave's are held at a lock.  What they write then,
# they have no privilege for any more.
#
$node->safe_psql(
    'postgres', q{
CREATE TABLE held (what text, owner name DEFAULT current_user);
GRANT ALL ON held TO workers});
$node->safe_psql(
    'postgres', q{
SELECT ft.define_orchestration('held', $$[
    {"name": "done", "compensation": "SELECT pg_advisory_xact_lock_shared(1); INSERT INTO held VALUES ('compensation')"},
    {"name": "bad", "depends_on": ["done"], "command": "SELECT 1 / 0"}]$$)}, extra_params => [ '-U', 'dave' ]);
my $holder = open_session($node, 'SELECT pg_advisory_lock(1);');
becomes(q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND granted}, 'the lock is held');
$node->safe_psql('postgres',
    q{SELECT ft.start('held'); SELECT ft.submit('SELECT pg_advisory_xact_lock_shared(1); INSERT INTO held VALUES (''step'')')},
    extra_params => [ '-U', 'dave' ]);
begin('bob', 'dave');
becomes(q{SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, 'a step and a compensation wait');
$node->safe_psql('postgres', 'DROP ROLE dave');
close_session($holder);
is_parked('dave', 'its owner, role "dave", does not exist any more');
undisturbed('bob');
is($node->safe_psql('postgres', 'SELECT ft.adopt()'), '0', 'as long as there is nobody, ft.adopt() changes nothing');
$node->safe_psql('postgres', 'CREATE ROLE dave LOGIN IN ROLE workers');
cmp_ok($node->safe_psql('postgres', 'SELECT ft.adopt()'), '>', 0, 'a new role of the name is taken for the owner');
send_signals($node, 2, 'dave');
all_over('and all goes on');
is($node->safe_psql('postgres', q{SELECT string_agg(what || ' ' || owner, ', ' ORDER BY what) FROM held}),
    'compensation dave, step dave', 'with what was held');

$node->safe_psql('postgres',
    q{DELETE FROM ft.orchestration_executions WHERE execution_id NOT IN (SELECT execution_id FROM started) AND parent_task_id IS NULL});
check_ledger($node);
nothing_crashed($node);

done_testing();
