# A snapshot that is kept open has vacuum leave everything that has been claimed
# in the index of what is due.  A claim must not mean to read all of that; nor
# may what becomes due further to the front, or with a higher priority, wait for
# long because of that.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('snapshot');
$node->append_conf('postgresql.conf', q{
fault_tolerance.max_executors = 1
fsync = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE TABLE ledger (what text, at timestamptz DEFAULT clock_timestamp())});

my $keeper = $node->background_psql('postgres');
$keeper->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');

# Have so many steps done, and tell how many entries were read for each.
sub entries_for_each_of
{
	my ($steps) = @_;
	my $read = q{SELECT pg_stat_get_tuples_returned('ft.idx_tasks_due'::regclass)};
	my $left = q{SELECT count(*) = 0 FROM ft.worker_status() WHERE worker = 'executor'};
	my $before;

	# an executor that is gone has told all that it has read
	$node->poll_query_until('postgres', $left) or die 'the executor stays';
	$before = $node->safe_psql('postgres', $read);
	$node->safe_psql('postgres', "SELECT count(ft.submit('SELECT 1', short => true)) FROM generate_series(1, $steps)");
	$node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM ft.orchestration_tasks WHERE status <> 'COMPLETED')})
	  or die 'steps are not done';
	$node->poll_query_until('postgres', $left) or die 'the executor stays';
	return ($node->safe_psql('postgres', $read) - $before) / $steps;
}

$node->append_conf('postgresql.conf', q{fault_tolerance.executor_idle_timeout = '500ms'});
$node->reload;
entries_for_each_of(20000);
# a hundred claims, of which each would read twice 20,000 entries
cmp_ok(entries_for_each_of(2000), '<', 500, 'claims do not read what has died');
is($node->safe_psql('postgres', q{SELECT backend_xmin IS NOT NULL FROM pg_stat_activity WHERE state = 'idle in transaction'}), 't',
	'the snapshot was there');

# Under load: one of a higher priority, and one that has been due for long.
$node->safe_psql('postgres', q{
	SELECT count(ft.submit('SELECT pg_sleep(0.02)')) FROM generate_series(1, 500);
	INSERT INTO ledger VALUES ('asked')});
$node->poll_query_until('postgres', q{SELECT count(*) > 20 FROM ft.orchestration_tasks WHERE status = 'COMPLETED' AND command ~ 'sleep'})
  or die 'steps are not done';
$node->safe_psql('postgres', q{
	SELECT ft.submit($$INSERT INTO ledger VALUES ('urgent')$$, priority => 1);
	SELECT ft.submit($$INSERT INTO ledger VALUES ('early')$$, run_at => now() - interval '1 hour')});
$node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM ledger}) or die 'they are not done';
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM ft.orchestration_tasks WHERE status = 'PENDING'}), '>', 100,
	'what is urgent, and what has been due for long, is done before the others');

$keeper->quit;
$node->stop;
done_testing();
