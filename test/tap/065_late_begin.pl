# The execution of a step that was to be quick, and is not, says late that it
# has begun.  The race: an executor takes long, and just when the scheduler has
# noticed, the step is not that executor's any more, and its execution has been
# rolled back.  That is not to begin again for it.
#
# A lock keeps the scheduler out of its tick until the execution is rolled back,
# and the step takes no notice of being cancelled for that, so that its executor
# is still seen to be at it.
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
fault_tolerance.max_executors = 1
fault_tolerance.executor_idle_timeout = '10min'
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
GRANT USAGE ON SCHEMA ft TO alice;
CREATE TABLE ledger (what text);
GRANT INSERT ON ledger TO alice;

-- Waits at the gate, whoever cancels it.
CREATE FUNCTION wait_at_gate() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1);
EXCEPTION WHEN query_canceled THEN
    PERFORM pg_advisory_xact_lock_shared(1);
END $$;
});

sub alice
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql, extra_params => [ '-U', 'alice' ]);
}

sub status_of
{
    my ($execution) = @_;
    return $node->safe_psql('postgres',
        "SELECT e.status, t.status, t.attempt FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)"
          . " WHERE execution_id = '$execution'");
}

# A short step: it is claimed by who is there, and without its execution saying
# so.  It waits at the gate, for longer than is quick.
sub start_overdue
{
    my ($what) = @_;
    my $execution = alice(
        "SELECT ft.submit('SELECT public.wait_at_gate(); INSERT INTO public.ledger VALUES (''$what'')', short => true)");

    ok( poll($node, q{SELECT count(*) = 1 FROM pg_stat_activity
                       WHERE backend_type = 'fault_tolerance executor' AND wait_event_type = 'Lock'
                         AND clock_timestamp() > xact_start + interval '100 ms'}),
        "$what: the step takes long");
    return $execution;
}

# An executor is there, and waits for work.
sub executor_waits
{
    my ($what) = @_;
    return ok(poll($node, q{SELECT count(*) = 1 FROM ft.worker_status() WHERE worker = 'executor' AND state = 'sleeping'}), $what);
}

sub scheduler_has_looked
{
    my ($what) = @_;
    return ok(wait_for_scheduler($node, 'postgres', 'sleeping'), $what);
}

my $gate = $node->background_psql('postgres');
my $operator = $node->background_psql('postgres');

alice("SELECT ft.submit('SELECT 1')");
executor_waits('an executor is there');

# What happens where nobody comes in between.
$gate->query_safe('SELECT pg_advisory_lock(1)');
my $execution = start_overdue('undisturbed');
ok(poll($node, "SELECT status = 'RUNNING' AND started_at IS NOT NULL FROM ft.orchestration_executions WHERE execution_id = '$execution'"),
    'its execution says that it has begun');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ok(poll($node, "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"), 'and ends');
executor_waits('the executor waits again');
scheduler_has_looked('and so does the scheduler');

# Where somebody has the execution locked just then, the next tick does it.
$gate->query_safe('SELECT pg_advisory_lock(1)');
$operator->query_safe('BEGIN');
$operator->query_safe('LOCK TABLE ft.orchestration_failures IN ACCESS EXCLUSIVE MODE');
$execution = start_overdue('locked');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN');
$locker->query_safe("SELECT FROM ft.orchestration_executions WHERE execution_id = '$execution' FOR UPDATE");
$operator->query_safe('COMMIT');
scheduler_has_looked('the scheduler has looked');
is(status_of($execution), 'PENDING|RUNNING|1', 'and finds the execution locked');
$locker->query_safe('COMMIT');
$locker->quit;
$node->safe_psql('postgres', 'SELECT ft.wake_worker()');
ok(poll($node, "SELECT status = 'RUNNING' FROM ft.orchestration_executions WHERE execution_id = '$execution'"),
    'its execution says later that it has begun');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
ok(poll($node, "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"), 'and ends');
executor_waits('the executor waits again');
scheduler_has_looked('and so does the scheduler');

# The race.  A tick reads the failures before it looks for who takes long.
$gate->query_safe('SELECT pg_advisory_lock(1)');
$operator->query_safe('BEGIN');
$operator->query_safe('LOCK TABLE ft.orchestration_failures IN ACCESS EXCLUSIVE MODE');
$execution = start_overdue('rolled back');
ok( poll($node, q{SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
                   WHERE relation = 'ft.orchestration_failures'::regclass AND NOT granted
                     AND backend_type = 'fault_tolerance scheduler'}),
    'the scheduler is kept out');
is(status_of($execution), 'PENDING|RUNNING|1', 'nobody has said that the execution has begun');
$operator->query_safe("SELECT ft.recover_from_failure('$execution', 'PERMANENT')");
$operator->query_safe('COMMIT');
scheduler_has_looked('the scheduler has looked for who takes long');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}),
    '1', 'which the executor still does');
is(status_of($execution), 'ROLLED_BACK|PENDING|1', 'the execution that was rolled back stays so');
$gate->query_safe('SELECT pg_advisory_unlock(1)');
executor_waits('the executor finds that it has lost the step');
is(status_of($execution), 'ROLLED_BACK|PENDING|1', 'which changes nothing');
is($node->safe_psql('postgres', 'SELECT string_agg(what, $$, $$) FROM ledger'), 'undisturbed, locked', 'and what it did is gone');
is($node->safe_psql('postgres', "SELECT count(*) FROM ft.validate_execution('$execution')"), '0', 'all of it is valid');

$gate->quit;
$operator->quit;
nothing_crashed($node);

done_testing();
