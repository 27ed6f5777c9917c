# The background workers after they were killed, after a crash of the server,
# and on a standby that is promoted.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1);
$primary->append_conf('postgresql.conf', 'restart_after_crash = on');
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance');
wait_for_scheduler($primary, 'postgres', 'sleeping');

# Record a failure while the workers are in whatever state; is it recovered?
sub recovers
{
    my ($node, $what) = @_;
    my $failure;
    my $execution = new_execution($node, 'postgres');

    $failure = $node->safe_psql('postgres',
        "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
    ok( $node->poll_query_until(
            'postgres',
            "SELECT recovered FROM ft.orchestration_failures WHERE failure_id = '$failure'"
        ),
        $what);
}

# The schedulers, to see that there is never a second one.
my $count_schedulers =
  "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fault_tolerance scheduler'";

#
# The scheduler is terminated.
#
my $pid = scheduler_pid($primary, 'postgres');
$primary->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
ok( $primary->poll_query_until(
        'postgres',
        "SELECT pid <> $pid AND state = 'sleeping' FROM ft.worker_status() WHERE worker = 'scheduler'"
    ),
    'a scheduler that was terminated is started again');
is( $primary->safe_psql(
        'postgres',
        "SELECT last_error FROM ft.worker_status() WHERE worker = 'scheduler'"),
    'the scheduler was terminated',
    'and that it was is shown');
is($primary->safe_psql('postgres', $count_schedulers), '1', 'there is one');
recovers($primary, 'and it works');

# A cancel does not end it.
$pid = scheduler_pid($primary, 'postgres');
$primary->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
recovers($primary, 'a scheduler that was cancelled works on');
is(scheduler_pid($primary, 'postgres'), $pid, 'as the same process');

#
# The launcher is terminated: what is recorded meanwhile is not lost.
#
$pid = launcher_pid($primary, 'postgres');
my $scheduler = scheduler_pid($primary, 'postgres');
$primary->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
recovers($primary, 'the scheduler works without the launcher');
ok( $primary->poll_query_until(
        'postgres',
        "SELECT pid <> $pid AND state = 'sleeping' FROM ft.worker_status() WHERE worker = 'launcher'"
    ),
    'a launcher that was terminated is started again');
is(scheduler_pid($primary, 'postgres'),
    $scheduler, 'it finds the scheduler that was there');
is($primary->safe_psql('postgres', $count_schedulers), '1', 'and starts no other');

$primary->append_conf('postgresql.conf', 'fault_tolerance.worker_idle_timeout = 0');
$primary->reload;
wait_for_scheduler($primary, 'postgres', 'resting');
$pid = launcher_pid($primary, 'postgres');
$primary->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)");
recovers($primary, 'work recorded while neither is there is done later');
$primary->append_conf('postgresql.conf', "fault_tolerance.worker_idle_timeout = '1min'");
$primary->reload;

#
# kill -9 of a backend: the server restarts, and all workers are made anew.
# The failure was committed; nobody has seen to it yet.
#
my $execution = new_execution($primary, 'postgres');
my $boot = $primary->safe_psql('postgres',
    'SELECT boot_epoch FROM ft.recovery_passes ORDER BY pass_id DESC LIMIT 1');
my $session = $primary->background_psql('postgres', on_error_stop => 0);
my $backend = $session->query_safe('SELECT pg_backend_pid()');

# The failure's commit and the kill come at once, so that the worker may or
# may not have got to it.
$primary->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
kill 'KILL', $backend;
$primary->poll_query_until('postgres',
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $backend");
ok( $primary->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'a failure is recovered after kill -9 of a backend');
ok( $primary->poll_query_until(
        'postgres',
        "SELECT count(*) = 1 FROM ft.recovery_passes WHERE boot_epoch <> $boot AND reason = 'start'"
    ),
    'the pass after the restart is recorded');
is($primary->safe_psql('postgres', $count_schedulers), '1', 'there is one scheduler');
is( $primary->safe_psql(
        'postgres',
        "SELECT status FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND task_name = 'done'"
    ),
    'COMPENSATED',
    'the completed task was compensated');
eval { $session->quit };

#
# kill -9 of the scheduler itself is the same.
#
$pid = scheduler_pid($primary, 'postgres');
kill 'KILL', $pid;
ok( $primary->poll_query_until(
        'postgres',
        "SELECT pid <> $pid AND state = 'sleeping' FROM ft.worker_status() WHERE worker = 'scheduler'"
    ),
    'a scheduler is back after kill -9 of it');
recovers($primary, 'and it works');

#
# kill -9 of an executor in the middle of a compensation.
#
$primary->safe_psql('postgres',
    'CREATE TABLE ledger (entry text); CREATE TABLE gate (); INSERT INTO gate DEFAULT VALUES');
$execution = new_execution($primary, 'postgres',
    "INSERT INTO ledger VALUES ('undone'); SELECT pg_sleep(600) FROM gate");
$primary->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
$primary->poll_query_until('postgres',
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'"
);
$pid = $primary->safe_psql('postgres',
    "SELECT pid FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'");
$primary->safe_psql('postgres', 'DELETE FROM gate');
kill 'KILL', $pid;
$primary->poll_query_until('postgres',
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid");
ok( $primary->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'a compensation whose worker was killed is run again');
is($primary->safe_psql('postgres', 'SELECT count(*) FROM ledger'),
    '1', 'and took effect once');

# Terminated, it is the scheduler that starts another.
$primary->safe_psql('postgres', 'INSERT INTO gate DEFAULT VALUES');
$execution = new_execution($primary, 'postgres',
    "INSERT INTO ledger VALUES ('undone'); SELECT pg_sleep(600) FROM gate");
$primary->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
$primary->poll_query_until('postgres',
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'"
);
$pid = $primary->safe_psql('postgres',
    "SELECT pid FROM ft.worker_status() WHERE worker = 'executor'");
$primary->safe_psql('postgres',
    "DELETE FROM gate; SELECT pg_terminate_backend($pid, 10000)");
ok( $primary->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'a compensation whose worker was terminated is run again');
is($primary->safe_psql('postgres', 'SELECT count(*) FROM ledger'),
    '2', 'and took effect once');

#
# kill -9 of the postmaster.  The work was not done: recovery was off.
#
$primary->safe_psql('postgres',
    'ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off');
wait_for_scheduler($primary, 'postgres', 'paused');
$execution = new_execution($primary, 'postgres');
$primary->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
$primary->kill9;
start_after_kill9($primary);
wait_for_scheduler($primary, 'postgres', 'paused');
is( $primary->safe_psql(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'f',
    'the off switch of a database holds after kill -9 of the postmaster');
$primary->safe_psql('postgres',
    'ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
ok( $primary->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'what was left is recovered once it is on again');

# And with recovery on: work found at the start.
$primary->safe_psql('postgres',
    'ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off');
wait_for_scheduler($primary, 'postgres', 'paused');
$execution = new_execution($primary, 'postgres');
$primary->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
$primary->append_conf('postgresql.conf', 'fault_tolerance.workers = off');
$primary->restart;
$primary->safe_psql('postgres',
    'ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
$primary->kill9;
$primary->append_conf('postgresql.conf', 'fault_tolerance.workers = on');
start_after_kill9($primary);
ok( $primary->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'work is found unasked after kill -9 of the postmaster');
is( $primary->safe_psql(
        'postgres',
        q{SELECT reason, candidates, recovered FROM ft.recovery_passes ORDER BY pass_id DESC LIMIT 1}
    ),
    'start|1|1',
    'by the pass that each start makes');

#
# A transaction prepared before a crash is committed after it.
#
$execution = new_execution($primary, 'postgres');
$primary->safe_psql('postgres',
    "BEGIN; SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL'); PREPARE TRANSACTION 'before the crash'"
);
$primary->kill9;
start_after_kill9($primary);
wait_for_scheduler($primary, 'postgres', 'sleeping');
$primary->safe_psql('postgres', "COMMIT PREPARED 'before the crash'");
ok( $primary->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'COMMIT PREPARED of a transaction from before a crash wakes the worker');

#
# A standby has no worker until it is promoted.
#
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$execution = new_execution($primary, 'postgres');
$primary->safe_psql('postgres',
    'ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off');
wait_for_scheduler($primary, 'postgres', 'paused');
$primary->safe_psql('postgres',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
$primary->wait_for_catchup($standby);
is( $standby->safe_psql(
        'postgres', "SELECT worker, state FROM ft.worker_status() WHERE worker <> 'sampler'"),
    'launcher|waiting for promotion',
    'on a standby the launcher waits for promotion');
ok( $standby->poll_query_until(
        'postgres',
        "SELECT state IN ('running', 'sleeping') FROM ft.worker_status() WHERE worker = 'sampler'"
    ),
    'and the sampler is at work');
$primary->stop('immediate');
$standby->promote;
ok( $standby->poll_query_until(
        'postgres',
        "SELECT state = 'sleeping' FROM ft.worker_status() WHERE worker = 'launcher'"
    ),
    'promotion starts the launcher');
ok(wait_for_scheduler($standby, 'postgres', 'paused'),
    'and the scheduler, which keeps to the switch');
$standby->safe_psql('postgres',
    'ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
ok( $standby->poll_query_until(
        'postgres',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'what failed on the old primary is recovered on the new one');

foreach my $node ($primary, $standby)
{
    unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (6|11)/,
        'nothing crashed by itself on ' . $node->name);
}

done_testing();
