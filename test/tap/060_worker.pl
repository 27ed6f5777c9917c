# The background worker of a database: it comes with the extension, recovers
# what fails at once, rests when it is idle, and goes with the extension.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->start;

#
# CREATE EXTENSION, in the first database and in a second.
#
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance');
ok(wait_for_scheduler($node, 'postgres', 'sleeping'),
    'a scheduler comes with the extension');
is( $node->safe_psql('postgres',
        "SELECT reason, candidates, duration > '0' FROM ft.recovery_passes"),
    'start|0|t',
    'its first recovery pass is recorded with its duration');
is( $node->safe_psql(
        'postgres',
        q{SELECT library_version = sql_version, recovery_pass_duration > '0',
                 recovery_pass_recovered
            FROM ft.worker_status() WHERE datname = 'postgres'}),
    't|t|0',
    'and shown in ft.worker_status() with both versions');

$node->safe_psql('postgres', 'CREATE DATABASE second');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE datname = 'second')"
    ),
    'a database without the extension has no scheduler');
$node->safe_psql('second', 'CREATE EXTENSION fault_tolerance');
ok(wait_for_scheduler($node, 'second', 'sleeping'),
    'a scheduler comes with the extension in a second database');

# A rolled back CREATE EXTENSION leaves nothing behind.
$node->safe_psql('postgres', 'CREATE DATABASE third');
$node->safe_psql('third', 'BEGIN; CREATE EXTENSION fault_tolerance; ROLLBACK;');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE datname = 'third')"
    ),
    'CREATE EXTENSION that was rolled back brings no scheduler');

#
# The latch: recovered within 100 ms although the poll comes once an hour.
# The machine may be busy, so the best of several counts.
#
foreach my $type ('TRANSIENT', 'PERMANENT', 'PARTIAL')
{
    my @took = map { failure_latency($node, 'second', $type) } 1 .. 5;

    note("$type, worker there: @took ms");
    cmp_ok(min(@took), '<', 100,
        "$type failure is recovered within 100 ms by the latch");
}
is( $node->safe_psql('second',
        "SELECT count(*) FROM ft.recovery_passes WHERE reason = 'poll'"),
    '0',
    'no poll had a part in it');

# A transaction that is rolled back wakes nobody, nor is there work.
my $execution = new_execution($node, 'second');
my $before = $node->safe_psql('second',
    "SELECT last_tick FROM ft.worker_status() WHERE datname = 'second'");
$node->safe_psql('second',
    "BEGIN; SELECT ft.record_failure('$execution', 'a test'); ROLLBACK;");
is( $node->safe_psql(
        'second',
        "SELECT last_tick FROM ft.worker_status() WHERE datname = 'second'"),
    $before,
    'a rolled back failure wakes nobody');

# COMMIT PREPARED runs no callback of the transaction that it commits.
$node->safe_psql('second',
    "BEGIN; SELECT ft.record_failure('$execution', 'a test', failure_type => 'TRANSIENT'); PREPARE TRANSACTION 'prepared'"
);
my $committed = $node->safe_psql('second',
    "SELECT clock_timestamp(); COMMIT PREPARED 'prepared'");
ok( $node->poll_query_until(
        'second',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'COMMIT PREPARED wakes the worker');
cmp_ok(
    $node->safe_psql(
        'second',
        "SELECT extract(epoch FROM recovered_at - '$committed') FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    '<', 60,
    'which did not wait for the poll');

# One that made no work due does not.
$before = $node->safe_psql('second',
    "SELECT last_tick FROM ft.worker_status() WHERE datname = 'second'");
$node->safe_psql('second',
    "BEGIN; CREATE TABLE harmless (); PREPARE TRANSACTION 'harmless'");
$node->safe_psql('second', "COMMIT PREPARED 'harmless'");
is( $node->safe_psql(
        'second',
        "SELECT last_tick FROM ft.worker_status() WHERE datname = 'second'"),
    $before,
    'COMMIT PREPARED of another transaction does not');

#
# Idle: no transaction in the database, and the launcher reads the list of
# databases once a minute.  Counters are flushed a second after the work.
#
my $count = q{SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database
 WHERE datname = 'second' OR datid = 0};
$node->poll_query_until('postgres',
    "SELECT bool_and(state <> 'running' AND worker <> 'executor') FROM ft.worker_status()");
$node->safe_psql('postgres', 'SELECT pg_sleep(2)');
$before = $node->safe_psql('postgres', $count);
$node->safe_psql('postgres', 'SELECT pg_sleep(5)');
cmp_ok($node->safe_psql('postgres', $count) - $before,
    '<=', 1, 'an idle scheduler and launcher run no transactions');
is( $node->safe_psql(
        'postgres',
        q{SELECT count(*) FROM pg_stat_activity
           WHERE backend_type LIKE 'fault_tolerance %'
             AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL)}),
    '0',
    'and hold no snapshot');

#
# The idle worker leaves, and comes back when it is needed.
#
$node->append_conf('postgresql.conf', "fault_tolerance.worker_idle_timeout = 0");
$node->reload;
ok(wait_for_scheduler($node, 'second', 'resting'),
    'the scheduler leaves after worker_idle_timeout without work');
is( $node->safe_psql(
        'postgres',
        q{SELECT count(*) FROM pg_stat_activity
           WHERE backend_type = 'fault_tolerance scheduler' AND datname = 'second'}
    ),
    '0',
    'its process is gone');
foreach my $type ('TRANSIENT', 'PARTIAL')
{
    my @took = map { failure_latency($node, 'second', $type) } 1 .. 5;

    note("$type, worker had left: @took ms");
    cmp_ok(min(@took), '<', 100,
        "$type failure is recovered within 100 ms by a worker that had left");
}
wait_for_scheduler($node, 'second', 'resting');
ok( $node->safe_psql(
        'second',
        q{SELECT next_due > clock_timestamp() AND next_due <= clock_timestamp() + interval '1 hour'
            FROM ft.worker_status() WHERE datname = 'second'}) eq 't',
    'it has left word when to start it again');

#
# The off switch, for all.
#
$node->append_conf('postgresql.conf', "fault_tolerance.auto_recovery = off");
$node->reload;
ok( $node->poll_query_until(
        'second',
        q{SELECT paused_reason = 'fault_tolerance.auto_recovery is off'
            FROM ft.worker_status() WHERE datname = 'second'},),
    'SIGHUP switches recovery off');
$execution = new_execution($node, 'second');
$before = $node->safe_psql('second',
    "SELECT last_tick FROM ft.worker_status() WHERE datname = 'second'");
$node->safe_psql('second', "SELECT ft.record_failure('$execution', 'a test', failure_type => 'TRANSIENT')");
$node->poll_query_until('second',
    "SELECT last_tick > '$before' FROM ft.worker_status() WHERE datname = 'second'"
);
wait_for_scheduler($node, 'second', 'resting');
is( $node->safe_psql(
        'second',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'f',
    'no failure is recovered while it is off');

# A single database can be on all the same.
$node->safe_psql('postgres',
    'ALTER DATABASE second SET fault_tolerance.auto_recovery = on');
ok( $node->poll_query_until(
        'second',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'ALTER DATABASE switches one database on at once');

# And off, while the others are on.
$node->append_conf('postgresql.conf', "fault_tolerance.auto_recovery = on");
$node->append_conf('postgresql.conf', "fault_tolerance.worker_idle_timeout = '1min'");
$node->reload;
ok( $node->poll_query_until(
        'postgres',
        q{SELECT paused_reason IS NULL FROM ft.worker_status() WHERE datname = 'postgres'}
    ),
    'SIGHUP switches recovery on again');
$node->safe_psql('postgres',
    'ALTER DATABASE second SET fault_tolerance.auto_recovery = off');
ok(wait_for_scheduler($node, 'second', 'paused'),
    'ALTER DATABASE switches one database off at once');
$execution = new_execution($node, 'second');
$node->safe_psql('second',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'TRANSIENT')");
$node->safe_psql('postgres',
    'ALTER DATABASE second RESET fault_tolerance.auto_recovery');
ok( $node->poll_query_until(
        'second',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'and RESET switches it on again');

#
# An error in a tick is kept and shown, and the worker goes on.
#
$node->safe_psql('second',
    'ALTER TABLE ft.orchestration_failures RENAME TO hidden; SELECT ft.wake_worker()'
);
ok( $node->poll_query_until(
        'second',
        "SELECT last_error_sqlstate = '42P01' FROM ft.worker_status() WHERE datname = 'second'"
    ),
    'an error of a tick is shown with its SQLSTATE');
my $pid = scheduler_pid($node, 'second');
$execution = new_execution($node, 'second');
$node->safe_psql('second',
    'ALTER TABLE ft.hidden RENAME TO orchestration_failures');
$node->safe_psql('second',
    "SELECT ft.record_failure('$execution', 'a test', failure_type => 'TRANSIENT')");
ok( $node->poll_query_until(
        'second',
        "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'the worker goes on when the cause is gone');
is(scheduler_pid($node, 'second'), $pid, 'it is the same process');

# Its message is cut between two characters, and read in another encoding.
$node->safe_psql('postgres',
    "CREATE DATABASE $_ ENCODING $_ LOCALE 'C' TEMPLATE template0")
  for qw(utf8 latin1);
$node->safe_psql($_, 'CREATE EXTENSION fault_tolerance') for qw(utf8 latin1);
$node->safe_psql(
    'utf8', q{
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '%', repeat(chr(233), 200); END $$;
CREATE TRIGGER fail BEFORE INSERT ON ft.recovery_passes EXECUTE FUNCTION fail();
SELECT ft.record_failure(ft.create_execution(), 'a test', failure_type => 'TRANSIENT');
});
ok( $node->poll_query_until(
        'utf8',
        "SELECT last_error_sqlstate = 'P0001' FROM ft.worker_status() WHERE datname = 'utf8'"
    ),
    'an error with a long message');
foreach my $reader (qw(utf8 latin1))
{
    is( $node->safe_psql($reader,
            "SELECT last_error = repeat(chr(233), 127) FROM ft.worker_status() WHERE datname = 'utf8'"
        ),
        't',
        "is read in a database in $reader");
}
$node->safe_psql('postgres', "DROP DATABASE $_") for qw(utf8 latin1);

#
# DROP EXTENSION is not blocked, and the worker goes.
#
$node->safe_psql('second', 'DROP EXTENSION fault_tolerance');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE datname = 'second')"
    ),
    'the scheduler leaves after DROP EXTENSION');
$node->safe_psql('second', 'CREATE EXTENSION fault_tolerance');
ok(wait_for_scheduler($node, 'second', 'sleeping'),
    'and comes back with it');

# Nor is anything kept of a database whose worker rests.
$node->append_conf('postgresql.conf',
    "fault_tolerance.worker_idle_timeout = '10ms'");
$node->reload;
ok(wait_for_scheduler($node, 'second', 'resting', 'postgres'),
    'the worker rests');
$node->safe_psql('second', 'DROP EXTENSION fault_tolerance');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE datname = 'second')"
    ),
    'its database is forgotten after DROP EXTENSION');
$node->append_conf('postgresql.conf',
    "fault_tolerance.worker_idle_timeout = '1min'");
$node->reload;
$node->safe_psql('second', 'CREATE EXTENSION fault_tolerance');
wait_for_scheduler($node, 'second', 'sleeping');

# In a transaction: workers stay out until it ends.
my $session = $node->background_psql('second');
$session->query_safe('BEGIN; DROP EXTENSION fault_tolerance;');
is(scheduler_state($node, 'second', 'postgres'),
    'kept out', 'workers stay out of a transaction that drops the extension');
$session->query_safe('ROLLBACK;');
$session->quit;
ok(wait_for_scheduler($node, 'second', 'sleeping'),
    'and are back when it is rolled back');

#
# Without preload, and with workers off.
#
$node->append_conf('postgresql.conf', "fault_tolerance.workers = off");
$node->restart;
is( $node->safe_psql('postgres', 'SELECT worker, state FROM ft.worker_status()'),
    "launcher|off\nsampler|off",
    'with fault_tolerance.workers = off there is neither launcher nor sampler');
is( $node->safe_psql(
        'postgres',
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'fault_tolerance%'"
    ),
    '0',
    'nor any other worker');

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my ($code, $stdout, $stderr) =
  $node->psql('postgres', 'SELECT * FROM ft.worker_status()',
    on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($stderr, qr/55000.*needs fault_tolerance to be preloaded/s,
    'ft.worker_status() says that it needs the preload');
like($stderr, qr/HINT: .*shared_preload_libraries/s, 'and how to have it');
$node->safe_psql('postgres', 'SELECT ft.wake_worker()');
ok(1, 'ft.wake_worker() does nothing without preload');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/,
    'nothing crashed');

done_testing();
