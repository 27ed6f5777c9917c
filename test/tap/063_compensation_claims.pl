# Each claim of a compensation has a number of its own: who has lost it, and
# thinks that he has not, is not taken for whoever has it now, nor for the one
# who had it last and has given it back.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "fault_tolerance.max_executors = 4\nmax_worker_processes = 16");
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA ft TO bob;
CREATE SEQUENCE runs;
CREATE TABLE ledger (run bigint);
GRANT ALL ON runs, ledger TO bob;

-- Each run of it waits at a gate of its own; the second one fails.
CREATE FUNCTION undo() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run bigint := nextval('public.runs');
BEGIN
    INSERT INTO public.ledger VALUES (run);
    PERFORM pg_advisory_xact_lock(run);
    IF run = 2 THEN
        RAISE 'the second run fails';
    END IF;
END $$;
});

my $task =
  q{SELECT status, compensation_attempt, compensation_failures, compensation_pid IS NOT NULL FROM ft.orchestration_tasks WHERE task_name = 'done'};

# Until so many executors wait at gates.
sub wait_at_gates
{
    my ($gates, $what) = @_;

    ok(poll($node,
            q{SELECT coalesce(array_agg(objid::int ORDER BY objid::int), '{}') = }
              . "'{$gates}'"
              . q{ FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}),
        $what);
}

my %gate = map { $_ => open_session($node, "SELECT pg_advisory_lock($_);") } 1 .. 3;
ok(poll($node, q{SELECT count(*) = 3 FROM pg_locks WHERE locktype = 'advisory' AND granted}), 'the gates are shut');

my $execution = new_execution($node, 'postgres', 'SELECT public.undo()', 'bob');
$node->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')",
    extra_params => [ '-U', 'bob' ]);
wait_at_gates('1', 'a compensation runs');

# As if its executor were not there any more.
$node->safe_psql(
    'postgres', q{
UPDATE ft.orchestration_tasks
   SET compensation_pid = NULL, compensation_epoch = NULL, compensation_worker = NULL WHERE task_name = 'done';
SELECT ft.wake_worker()});
wait_at_gates('1,2', 'another executor has claimed it');
is($node->safe_psql('postgres', $task), 'COMPENSATING|2|0|t', 'under the next number');

# It fails when its owner has gone, and is given back.
$node->safe_psql('postgres', 'ALTER ROLE bob NOLOGIN');
close_session($gate{2});
ok(poll($node, "SELECT compensation_pid IS NULL FROM ft.orchestration_tasks WHERE task_name = 'done'"),
    'it is given back');
is($node->safe_psql('postgres', $task), 'COMPENSATING|2|0|f', 'and its number is used up');

# The first executor comes late.
close_session($gate{1});
ok( poll($node, q{SELECT count(*) = 0 FROM ft.worker_status() WHERE worker = 'executor'}),
    'who comes late has ended');
is($node->safe_psql('postgres', $task), 'COMPENSATING|2|0|f', 'it is not taken for the one that came after it');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ledger'), '0', 'and what it did is rolled back');

# The third claim is told from both.
$node->safe_psql('postgres', 'ALTER ROLE bob LOGIN; SELECT ft.wake_worker()');
wait_at_gates('3', 'it is claimed again');
is($node->safe_psql('postgres', $task), 'COMPENSATING|3|0|t', 'under a number that nobody has had');
close_session($gate{3});
ok( poll($node, "SELECT status = 'COMPENSATED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"),
    'it is compensated');
is($node->safe_psql('postgres', 'SELECT run FROM ledger'), '3', 'once');
is( $node->safe_psql('postgres', "SELECT count(*) FROM ft.validate_execution('$execution')"),
    '0', 'and the execution is valid');
nothing_crashed($node);

done_testing();
