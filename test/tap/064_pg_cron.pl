# Automatic recovery by the real pg_cron: without our own workers, from the
# database of pg_cron and from another.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($libraries, undef) = run_command([ 'pg_config', '--pkglibdir' ]);
plan skip_all => 'pg_cron is not installed' unless -e "$libraries/pg_cron.so";

my $node = new_node('main');
$node->append_conf(
    'postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance, pg_cron'
fault_tolerance.workers = off
cron.use_background_workers = on
cron.database_name = 'postgres'
});
$node->start;
$node->safe_psql('postgres', "CREATE DATABASE $_")
  foreach (q{"Other 'db"}, 'third');
$node->safe_psql($_, 'CREATE EXTENSION fault_tolerance')
  foreach ('postgres', "Other 'db", 'third');

# The SQLSTATE, message, detail and hint of a statement that fails.
sub failure_of
{
    my ($database, $sql) = @_;
    my ($code, $stdout, $stderr) = $node->psql($database, $sql,
        extra_params => [ '-v', 'VERBOSITY=verbose' ]);

    isnt($code, 0, "in $database: $sql fails");
    return $stderr;
}

# pg_cron is loaded, but its extension is not created.
my $error = failure_of('postgres', 'SELECT ft.schedule_auto_recovery()');
like($error, qr/55000.*HINT:\s+CREATE EXTENSION pg_cron;/s,
    'says to create the extension');

$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
my $version = $node->safe_psql('postgres',
    "SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'");
note("pg_cron $version");

#
# In the database of pg_cron.
#
my $job = $node->safe_psql('postgres', 'SELECT ft.schedule_auto_recovery()');
is( $node->safe_psql(
        'postgres',
        'SELECT jobid, jobname, schedule, command, database, username, active FROM cron.job'
    ),
    "$job|auto-recover-failures|*/5 * * * *|SELECT recovered_count FROM ft.auto_recover_failures()|postgres|"
      . $node->safe_psql('postgres', 'SELECT current_user') . '|t',
    'the job is what was asked for');
is($node->safe_psql('postgres', 'SELECT ft.schedule_auto_recovery()'),
    $job, 'scheduled again it is the same job');
is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job'),
    '1', 'and there is no second');

# The names that users' own jobs have are theirs.
$node->safe_psql('postgres',
    "SELECT cron.schedule('nightly', '0 2 * * *', 'SELECT 1')");
is( $node->safe_psql('postgres', 'SELECT ft.unschedule_auto_recovery()'),
    't', 'it can be taken back');
is( $node->safe_psql('postgres', 'SELECT ft.unschedule_auto_recovery()'),
    'f', 'once');
is($node->safe_psql('postgres', 'SELECT jobname FROM cron.job'),
    'nightly', 'without touching others');

# What pg_cron refuses, it says.
$error = failure_of('postgres', "SELECT ft.schedule_auto_recovery('sometimes')");
like($error, qr/invalid schedule/, 'a bad schedule is an error');
is($node->safe_psql('postgres', "SELECT count(*) FROM cron.job WHERE jobname LIKE 'auto-recover%'"),
    '0', 'that changes nothing');

# A user without rights in pg_cron gets no job.
$node->safe_psql('postgres',
    'CREATE ROLE application LOGIN; GRANT USAGE ON SCHEMA ft TO application');
my ($code, $stdout, $stderr) = $node->psql('postgres',
    'SELECT ft.schedule_auto_recovery()', extra_params => [ '-U', 'application' ]);
like($stderr, qr/permission denied for schema cron/,
    'a user without rights in pg_cron gets none');

# One with rights gets a job of its own.
$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA cron TO application');
$node->safe_psql('postgres', 'SELECT ft.schedule_auto_recovery()',
    extra_params => [ '-U', 'application' ]);
is( $node->safe_psql('postgres',
        "SELECT username FROM cron.job WHERE jobname = 'auto-recover-failures'"),
    'application',
    'one with rights gets a job of its own');
is($node->safe_psql('postgres', 'SELECT ft.unschedule_auto_recovery()'),
    'f', 'which is not that of another');
$node->safe_psql('postgres', 'SELECT ft.unschedule_auto_recovery()',
    extra_params => [ '-U', 'application' ]);

#
# From other databases: the hint is ready to run.
#
# The shortest schedule there is.
my $schedule = $version >= 1.5 ? '1 seconds' : '* * * * *';
my %line;
foreach my $database ("Other 'db", 'third')
{
    $error = failure_of($database, "SELECT ft.schedule_auto_recovery('$schedule')");
    like($error, qr/55000.*pg_cron lives in database "postgres"/s,
        'says where pg_cron is');
    ($line{$database}) = $error =~
      /HINT:\s+Run in database "postgres": (SELECT cron\.schedule_in_database\(.*\);)/;
    ok(defined $line{$database}, 'and what to run there');
    $node->safe_psql('postgres', $line{$database});
}
is( $node->safe_psql(
        'postgres',
        q{SELECT string_agg(database, ', ' ORDER BY database) FROM cron.job
           WHERE command = 'SELECT recovered_count FROM ft.auto_recover_failures()'}
    ),
    "Other 'db, third",
    'each database has a job');
$node->safe_psql('postgres', $line{third});
is( $node->safe_psql('postgres',
        "SELECT count(*) FROM cron.job WHERE database = 'third'"),
    '1',
    'and only one');
$node->safe_psql('postgres', "SELECT ft.schedule_auto_recovery('$schedule')");

#
# All of them run, and recover what failed.
#
my %execution = map { $_ => new_execution($node, $_) } ('postgres', 'third', "Other 'db");
foreach my $database (sort keys %execution)
{
    $node->safe_psql($database,
        "SELECT ft.record_failure('$execution{$database}', 'a test', failure_type => 'TRANSIENT')"
    );
}
foreach my $database (sort keys %execution)
{
    ok( $node->poll_query_until(
            $database,
            "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution{$database}'"
        ),
        "pg_cron recovers a failure in database $database");
    is( $node->safe_psql(
            $database,
            "SELECT recovery_strategy FROM ft.orchestration_failures WHERE execution_id = '$execution{$database}'"
        ),
        'AUTO',
        'as automatic recovery does');
}
ok( $node->poll_query_until(
        'postgres',
        q{SELECT count(DISTINCT database) = 3 FROM cron.job_run_details
           WHERE status = 'succeeded'
             AND command = 'SELECT recovered_count FROM ft.auto_recover_failures()'}
    ),
    'pg_cron says that its jobs ran');

#
# Taken back, in the other databases too.
#
is($node->safe_psql('postgres', 'SELECT ft.unschedule_auto_recovery()'),
    't', 'taken back in the database of pg_cron');
foreach my $database ("Other 'db", 'third')
{
    $error = failure_of($database, 'SELECT ft.unschedule_auto_recovery()');
    my ($line) =
      $error =~ /HINT:\s+Run in database "postgres": (SELECT cron\.unschedule\(.*\);)/;
    ok(defined $line, 'the hint says how');
    $node->safe_psql('postgres', $line);
}
is($node->safe_psql('postgres', 'SELECT jobname FROM cron.job'),
    'nightly', 'only the job of the user is left');

# Without pg_cron at all.
$node->append_conf('postgresql.conf',
    "shared_preload_libraries = 'fault_tolerance'");
$node->restart;
$error = failure_of('third', 'SELECT ft.schedule_auto_recovery()');
like($error, qr/0A000.*needs pg_cron, which is not loaded.*HINT:\s+Install pg_cron/s,
    'without pg_cron there is a clear error');

done_testing();
