# A thousand sessions queue for one row, and all check for deadlocks: the lock
# table is locked nearly without a gap for seconds.  The sampler goes on taking
# samples, without it where it must, and afterwards tells who it was.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sessions = 1000;
my $node = new_node('storm');
$node->append_conf(
	'postgresql.conf', q{
fault_tolerance.sample_interval = '100ms'
fault_tolerance.history_size = '256MB'
max_connections = 1100
shared_buffers = '64MB'
deadlock_timeout = '1s'
log_min_messages = fatal
log_lock_waits = off
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100);
});
my $script = $node->basedir . '/update.sql';
append_to_file($script, "UPDATE account SET balance = balance + 1 WHERE id = 1;\n");

my $holder = $node->background_psql('postgres');
$holder->query_safe(q{SET application_name = 'holder'});
$holder->query_safe('BEGIN');
$holder->query_safe('UPDATE account SET balance = balance + 1 WHERE id = 1');

# One session asks all the time: a new one could not even connect.
my $asker = $node->background_psql('postgres');
$asker->query_safe('SELECT count(*) FROM ft.session_history()');
my $pgbench = IPC::Run::start(
	[ 'env', 'PGAPPNAME=pgbench', 'pgbench', '-n', '-c', $sessions, '-t', 1, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);

# Until all are in the queue, and each has been there for longer than until it
# checks for a deadlock, and the storm has been and gone: the lock table is to
# be had again; or for as long as a session of psql may live.
my $limit = time() + 0.6 * $PostgreSQL::Test::Utils::timeout_default;
my ($queued, $storms, $calm, $oldest, $shortest) = (0, 0, 0, 0, 0);
while (time() < $limit && ($queued < $sessions || $shortest < 2 || $storms == 0 || $calm < 5))
{
	my $row = $asker->query_safe(
		'SELECT coalesce(last_waiting, 0), extract(epoch FROM clock_timestamp() - newest) FROM ft.history_status()');
	my $age;
	chomp $row;
	($queued, $age) = split /\|/, $row;
	$oldest = $age if $age > $oldest;
	my $activity = $asker->query_safe(
		q{SELECT count(*) FILTER (WHERE wait_event = 'LockManager'),
		         coalesce(min(extract(epoch FROM clock_timestamp() - query_start))
		                  FILTER (WHERE application_name = 'pgbench'), 0)
		    FROM pg_stat_get_activity(NULL)});
	chomp $activity;
	(my $waiting, $shortest) = split /\|/, $activity;
	$storms++ if $waiting > 100;
	$calm = $waiting > 0 ? 0 : $calm + 1;
	select(undef, undef, undef, 0.1);
}
is($queued, $sessions, 'all are in the queue') or diag($err);
cmp_ok($storms, '>', 0, 'there was a storm');

my $status = $asker->query_safe(q{
SELECT samples, without_lock_table, round(extract(epoch FROM longest_duration) * 1000) FROM ft.history_status()});
my ($samples, $without, $longest) = split /\|/, $status;
diag("storm: $samples samples, $without without the lock table, the longest took $longest ms");
cmp_ok($longest, '<', 2000, 'no sample queued for the lock table');
cmp_ok($oldest, '<', 5, 'and there was always a fresh one');

# What was: the holder, and all that waited for it.
$holder->query_safe('COMMIT');
$pgbench->finish;
$holder->quit;
is( $node->safe_psql('postgres', q{
SELECT application_name, severity, victims FROM ft.blocking_history(NULL) WHERE level = 0 AND application_name = 'holder'}),
	"holder|CRITICAL|$sessions", 'afterwards the holder is named, with all that waited for it');
is( $node->safe_psql('postgres', q{
SELECT count(DISTINCT pid) FROM ft.blocking_history(NULL) WHERE level > 0 AND application_name = 'pgbench'
   AND episode = (SELECT min(episode) FROM ft.blocking_history(NULL) WHERE application_name = 'holder')}),
	$sessions, 'each of them');
$asker->quit;
$node->stop;
done_testing();
