# Commands that need a database for themselves, and databases that come and
# go, while background workers are at work.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', 'fault_tolerance.max_databases = 6');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance');

# A database with a live scheduler, and an executor that is at work for long.
sub busy_database
{
    my ($name) = @_;

    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, 'CREATE EXTENSION fault_tolerance');
    my $execution = new_execution($node, $name, 'SELECT pg_sleep(600)');
    $node->safe_psql($name,
        "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')");
    $node->poll_query_until('postgres',
        "SELECT count(*) = 2 FROM ft.worker_status()"
          . " WHERE datname = '$name' AND pid IS NOT NULL AND state IN ('running', 'sleeping')")
      or die "no workers in $name";
    return $execution;
}

sub workers_of
{
    my ($name) = @_;

    return $node->safe_psql('postgres',
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '$name' AND backend_type LIKE 'fault_tolerance %'"
    );
}

#
# DROP DATABASE, of one with a scheduler and an executor.
#
busy_database('doomed');
$node->safe_psql('postgres', 'DROP DATABASE doomed');
is( $node->safe_psql('postgres',
        "SELECT count(*) FROM pg_database WHERE datname = 'doomed'"),
    '0',
    'DROP DATABASE succeeds with live workers');
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 1 FROM ft.worker_status() WHERE worker = 'scheduler'"),
    'its slot is free again');

#
# ALTER DATABASE RENAME: what was interrupted is run again afterwards.
#
my $execution = busy_database('old');
$node->safe_psql('postgres', 'ALTER DATABASE old RENAME TO new');
ok( $node->poll_query_until(
        'postgres',
        q{SELECT count(*) = 1 FROM ft.worker_status()
           WHERE datname = 'new' AND worker = 'executor' AND state = 'running'}),
    'ALTER DATABASE RENAME succeeds, and the workers are back');
is( $node->safe_psql('new',
        "SELECT compensation_attempt, compensation_losses FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND task_name = 'done'"
    ),
    '2|0',
    'the compensation that was interrupted runs again, and does not pay for it');

#
# CREATE DATABASE TEMPLATE.  The copy is a clone, whose work is not to be done
# twice.
#
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE new');
ok(wait_for_scheduler($node, 'copy', 'paused', 'postgres'),
    'the copy of a database is found, and paused');
ok( $node->poll_query_until(
        'postgres',
        q{SELECT count(*) = 1 FROM ft.worker_status()
           WHERE datname = 'new' AND worker = 'executor' AND state = 'running'}),
    'the workers of the original are back');
isnt(
    $node->safe_psql(
        'postgres',
        "SELECT paused_reason FROM ft.worker_status() WHERE datname = 'copy'"),
    '',
    'and says why');
is( $node->safe_psql(
        'postgres',
        "SELECT count(*) FROM ft.worker_status() WHERE datname = 'copy' AND worker = 'executor'"
    ),
    '0',
    'no executor runs there');
$node->safe_psql('copy', 'SELECT ft.adopt()');
ok( $node->poll_query_until(
        'copy',
        "SELECT paused_reason IS NULL FROM ft.worker_status() WHERE datname = 'copy' AND worker = 'scheduler'"
    ),
    'ft.adopt() makes it work');

#
# ALTER DATABASE SET TABLESPACE.
#
my $path = PostgreSQL::Test::Utils::tempdir();
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$path'");
$node->safe_psql('postgres', 'ALTER DATABASE new SET TABLESPACE elsewhere');
is( $node->safe_psql(
        'postgres',
        "SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = 'new'"
    ),
    'elsewhere',
    'ALTER DATABASE SET TABLESPACE succeeds with live workers');
ok(wait_for_scheduler($node, 'new', 'sleeping|running', 'postgres'),
    'the workers are back');

#
# A command that fails lets the workers in again; one that the user may not
# give does not stop them.
#
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
my $pid = scheduler_pid($node, 'new', 'postgres');
my ($code, $stdout, $stderr) = $node->psql('postgres', 'DROP DATABASE new',
    extra_params => [ '-U', 'stranger' ]);
like($stderr, qr/must be owner of database/, 'DROP DATABASE of a stranger fails');
is(scheduler_pid($node, 'new', 'postgres'),
    $pid, 'and does not stop the workers');

my $session = $node->background_psql('new');
($code, $stdout, $stderr) = $node->psql('postgres', 'DROP DATABASE new');
like($stderr, qr/is being accessed by other users/,
    'DROP DATABASE fails because of a session');
$session->quit;
ok(wait_for_scheduler($node, 'new', 'sleeping|running', 'postgres'),
    'workers are let in again after a command that failed');

# A session that ends in the middle of the command, by FATAL.
$session = $node->background_psql('new');
my $dropper = $node->background_psql('postgres', on_error_stop => 0);
my $dropper_pid = $dropper->query_safe('SELECT pg_backend_pid()');
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP DATABASE new;\n");
ok( $node->poll_query_until(
        'postgres',
        "SELECT state = 'kept out' FROM ft.worker_status() WHERE datname = 'new'"
    ),
    'workers are kept out during the command');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($dropper_pid)");
$session->quit;
ok(wait_for_scheduler($node, 'new', 'sleeping|running', 'postgres'),
    'workers are let in again after a session that was terminated');
eval { $dropper->quit };

#
# A template database has no worker, nor one that takes no connections.
#
$node->safe_psql('postgres', 'ALTER DATABASE copy IS_TEMPLATE true');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE datname = 'copy')"
    ),
    'a database that becomes a template loses its worker');
$node->safe_psql('postgres', 'ALTER DATABASE copy IS_TEMPLATE false');
ok(wait_for_scheduler($node, 'copy', 'sleeping|resting', 'postgres'),
    'and has one again when it is none');
$node->safe_psql('postgres', 'ALTER DATABASE copy ALLOW_CONNECTIONS false');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE datname = 'copy')"
    ),
    'a database that takes no connections loses its worker');
$node->safe_psql('postgres', 'ALTER DATABASE copy ALLOW_CONNECTIONS true');
ok(wait_for_scheduler($node, 'copy', 'sleeping|resting', 'postgres'),
    'and has one again when it does');

# The extension in template1, so that new databases have it: there is no
# worker, or CREATE DATABASE would fail.
$node->safe_psql('template1', 'CREATE EXTENSION fault_tolerance');
my $template_execution = new_execution($node, 'template1');
$node->safe_psql('template1',
    "SELECT ft.record_failure('$template_execution', 'a test')");
$node->safe_psql('postgres', 'CREATE DATABASE offspring');
ok(wait_for_scheduler($node, 'offspring', 'sleeping|resting|paused', 'postgres'),
    'a new database that has the extension from template1 has a scheduler');
is( $node->safe_psql(
        'postgres', q{
SELECT (SELECT count(*) FROM ft.worker_status() WHERE datname = 'template1'),
       (SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1')}
    ),
    '0|0',
    'and template1 has none');
$node->safe_psql('template1', 'DROP EXTENSION fault_tolerance');
$node->safe_psql('postgres', 'DROP DATABASE offspring');

#
# More databases than slots.
#
$node->safe_psql('postgres', "CREATE DATABASE many$_ TEMPLATE copy") for 1 .. 5;
ok( $node->poll_query_until(
        'postgres',
        q{SELECT note LIKE '% databases are not looked at; increase fault_tolerance.max_databases'
            FROM ft.worker_status() WHERE worker = 'launcher'}),
    'databases that find no slot are reported');
my @lines = slurp_file($node->logfile) =~ /has no room for all databases/g;
is(scalar @lines, 1, 'and logged once');
$node->safe_psql('postgres', "DROP DATABASE many$_") for 1 .. 5;
ok( $node->poll_query_until(
        'postgres',
        "SELECT note IS NULL FROM ft.worker_status() WHERE worker = 'launcher'"),
    'until there are slots again');

# One that was looked at while it lacked the extension, and is given it while
# all slots are taken by others.
$node->safe_psql('postgres', 'CREATE DATABASE late_come');
$node->safe_psql('postgres', "CREATE DATABASE taken$_ TEMPLATE copy")
  for 1 .. 3;
ok( $node->poll_query_until(
        'postgres',
        q{SELECT array_agg(datname::text ORDER BY datname) FILTER (WHERE worker = 'scheduler')
                 = '{copy,new,postgres,taken1,taken2,taken3}'
                 AND count(note) FILTER (WHERE worker = 'launcher') = 0
            FROM ft.worker_status()}),
    'all slots are taken');
$node->safe_psql('late_come', 'CREATE EXTENSION fault_tolerance');
ok( $node->poll_query_until(
        'postgres',
        q{SELECT note LIKE '% not looked at; increase fault_tolerance.max_databases'
            FROM ft.worker_status() WHERE worker = 'launcher'}),
    'a database that is given the extension while there is no slot is reported');
$node->safe_psql('postgres', 'DROP DATABASE taken3');
ok(wait_for_scheduler($node, 'late_come', 'sleeping|resting', 'postgres'),
    'and has a scheduler when there is one again');
$node->safe_psql('postgres', "DROP DATABASE $_")
  for qw(late_come taken1 taken2);

#
# More databases with work than places for workers: all get their turn.
#
$node->safe_psql('postgres', 'DROP DATABASE new');
$node->safe_psql('postgres', 'DROP DATABASE copy');
$node->append_conf(
    'postgresql.conf', q{
fault_tolerance.max_databases = 64
max_worker_processes = 6
});
$node->restart;
$node->safe_psql('postgres', 'CREATE DATABASE pattern');
$node->safe_psql('pattern', 'CREATE EXTENSION fault_tolerance');
foreach my $i (1 .. 8)
{
    $node->safe_psql('postgres', "CREATE DATABASE crowd$i TEMPLATE pattern");
    $node->safe_psql("crowd$i", 'SELECT ft.adopt()');
}
my %failure;
foreach my $i (1 .. 8)
{
    my $id = new_execution($node, "crowd$i");
    $failure{$i} = $node->safe_psql("crowd$i",
        "SELECT ft.record_failure('$id', 'a test', failure_type => 'PARTIAL')");
}
foreach my $i (1 .. 8)
{
    ok( $node->poll_query_until(
            "crowd$i",
            "SELECT recovered FROM ft.orchestration_failures WHERE failure_id = '$failure{$i}'"
        ),
        "database $i of 8 gets its turn with two places for workers");
}

# A worker gives its place to the next one when it leaves, which is a moment
# before its process ends.
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) <= 4 FROM pg_stat_activity WHERE backend_type LIKE 'fault_tolerance %'"
    ),
    'and worker processes are left for others');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/,
    'nothing crashed');

done_testing();
