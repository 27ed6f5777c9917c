# How sessions and transactions end, by application: sessions that are killed,
# abandoned or end by a fatal error; agreement with the server's own counts; a
# table that is full; counts after a crash; and counting by database where the
# library is not preloaded.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('node');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
autovacuum = off
restart_after_crash = on
});
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION fault_tolerance; CREATE DATABASE counted});
$node->safe_psql('counted', 'CREATE EXTENSION fault_tolerance');

sub outcome
{
	my ($application, $columns) = @_;
	return "SELECT $columns FROM ft.session_outcomes() WHERE application_name = '$application'";
}

sub run_as
{
	my ($application, $sql, @more) = @_;
	return $node->psql('counted', $sql, extra_params => [ '-d', "application_name=$application dbname=counted" ], @more);
}

# --- by application, as the server counts by database
run_as('tidy', 'SELECT 1');
run_as('tidy', 'BEGIN; SELECT 1; ROLLBACK');
is($node->safe_psql('postgres', outcome('tidy', 'datname, sessions, rollbacks, broken_sessions, counted_by')),
	'counted|2|1|0|application', 'sessions that end as they should');

# --- sessions that break off
my %session;
foreach my $end ('killed', 'abandoned')
{
	$ENV{PGAPPNAME} = $end;
	$session{$end} = $node->background_psql('counted', on_error_stop => 0);
	$session{$end}->query_safe('SELECT 1');
}
$ENV{PGAPPNAME} = 'fatal';
$node->psql('counted', q{SET idle_in_transaction_session_timeout = '10ms'; BEGIN; \! sleep 0.2
SELECT 1}, on_error_stop => 0);
delete $ENV{PGAPPNAME};
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'killed'});
ok($node->poll_query_until('postgres', outcome('killed', 'killed = 1 AND broken_sessions = 1')), 'a session that was killed');
ok($node->poll_query_until('postgres', outcome('fatal', 'fatal = 1 AND broken_sessions = 1')), 'one that a fatal error ended');
$session{abandoned}->{run}->signal('KILL');
ok($node->poll_query_until('postgres', outcome('abandoned', 'abandoned = 1 AND broken_sessions = 1')), 'one whose client vanished');
eval { $session{$_}->{run}->finish } foreach keys %session;

# The server counts the same, for the database as a whole.
ok($node->poll_query_until('postgres', q{
	SELECT (sum(o.killed), sum(o.abandoned), sum(o.fatal), sum(o.rollbacks))
	       = (d.sessions_killed, d.sessions_abandoned, d.sessions_fatal, d.xact_rollback)
	  FROM ft.session_outcomes() AS o, pg_stat_database AS d
	 WHERE o.datname = 'counted' AND d.datname = 'counted'
	 GROUP BY d.sessions_killed, d.sessions_abandoned, d.sessions_fatal, d.xact_rollback}),
	'the sums agree with pg_stat_database');

# --- many at once: none is lost
$node->safe_psql('postgres', 'SELECT ft.reset_session_outcomes()');
my $script = $node->basedir . '/rollback.sql';
append_to_file($script, "BEGIN;\nROLLBACK;\nSELECT 1;\n");
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-j', '2', '-t', '500', '-f', $script, '-h', $node->host, '-p', $node->port, 'counted' ], 'eight sessions at a time');
is($node->safe_psql('postgres', outcome('pgbench', 'rollbacks, sessions >= 8, commits >= 4000')), '4000|t|t', 'every one of 4,000 rollbacks is counted');

# --- a full table
$node->append_conf('postgresql.conf', 'fault_tolerance.max_session_outcomes = 4');
$node->restart;
run_as("many_$_", 'BEGIN; ROLLBACK') foreach 1 .. 8;
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE counted_by = 'application') <= 3, sum(rollbacks), bool_or(counted_by = 'other' AND application_name = 'other') FROM ft.session_outcomes()}),
	't|8|t', 'what finds no place is counted as others, and nothing is lost');

# --- after a crash counting begins anew
my $victim = $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity WHERE backend_type = $$checkpointer$$');
kill 9, $victim;
ok($node->poll_query_until('postgres', q{SELECT sum(rollbacks) = 0 FROM ft.session_outcomes()}), 'after a crash it begins anew');

# --- not preloaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
$node->psql('counted', 'BEGIN; ROLLBACK');
ok($node->poll_query_until('postgres', q{SELECT counted_by = 'database' AND commits > 0 AND rollbacks > 0 AND application_name IS NULL FROM ft.session_outcomes() WHERE datname = 'counted'}),
	'without the preload the server counts by database');
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT ft.reset_session_outcomes()');
like($err, qr/needs fault_tolerance to be preloaded/, 'and there is nothing to reset');
is($node->safe_psql('postgres', q{SELECT status, message FROM ft.health_check('{rollbacks}')}),
	'UNKNOWN|cannot be told: fault_tolerance is not in shared_preload_libraries', 'the check says what is missing');

$node->stop;
done_testing();
