# The clock of transaction ids as the sampler keeps it: ages in time, the time
# that is left, what is known after a restart, and what without the library.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;

my $node = new_node('primary');
$node->append_conf('postgresql.conf', "fault_tolerance.xid_clock_interval = '200ms'\nfsync = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance; CREATE TABLE t (id integer)');
ok($node->poll_query_until('postgres', q{SELECT covered > '1 s' FROM ft.xid_rate()}), 'the sampler keeps the clock');

# Transactions at moments that are known, with others between them.
sub use_up
{
	$node->safe_psql('postgres', join('', ('SELECT pg_current_xact_id();') x 50));
	return;
}

foreach my $gid (qw(one two three))
{
	use_up();
	$node->safe_psql('postgres', "BEGIN; CREATE TABLE $gid (); PREPARE TRANSACTION '$gid'");
	my $runs = $node->safe_psql('postgres', q{SELECT runs FROM ft.sampler_tasks() WHERE task = 'xid clock'});
	$node->poll_query_until('postgres', "SELECT runs >= $runs + 5 FROM ft.sampler_tasks() WHERE task = 'xid clock'") or die;
}
is( $node->safe_psql('postgres', q{
SELECT count(*), bool_and(h.age - (clock_timestamp() - p.prepared) BETWEEN '-1 s' AND '1 s'), bool_and(h.severity = 'OK')
  FROM ft.xmin_horizon() AS h JOIN pg_prepared_xacts AS p USING (gid) WHERE h.horizon = 'data'}),
	'3|t|t', 'ages in time are those that they have');
is( $node->safe_psql('postgres', q{SELECT string_agg(gid, ',') FROM ft.xmin_horizon() WHERE horizon = 'data'}),
	'one,two,three', 'oldest first');
is( $node->safe_psql('postgres', q{
SELECT bool_and(next_xid_age = next) FROM (
    SELECT next_xid_age, lead(xid_age) OVER () AS next, holds FROM ft.xmin_horizon() WHERE horizon = 'data') AS h WHERE holds}),
	't', 'without the oldest it is the next that holds');

# Rows that died since are known to be kept once a vacuum has run that began
# after the horizon came to where it is.
$node->safe_psql('postgres', q{
	INSERT INTO t SELECT generate_series(1, 2000);
	DELETE FROM t WHERE id > 1;
	SELECT pg_stat_force_next_flush()});
my $runs = $node->safe_psql('postgres', q{SELECT runs FROM ft.sampler_tasks() WHERE task = 'horizon'});
$node->poll_query_until('postgres', "SELECT runs >= $runs + 3 FROM ft.sampler_tasks() WHERE task = 'horizon'") or die;
$node->safe_psql('postgres', 'VACUUM t');
is($node->safe_psql('postgres', q{SELECT n_dead_tup, horizon_keeps FROM ft.dead_tuples() WHERE relname = 't'}), '1999|yes',
	'the horizon is known to keep what no vacuum removed');
like($node->safe_psql('postgres', q{SELECT autovacuum FROM ft.dead_tuples_summary WHERE "table" = 'public.t'}),
	qr/kept/, 'in the view as well');

# How long it lasts, at the rate of late.
ok($node->poll_query_until('postgres', q{SELECT bool_and(time_left IS NOT NULL) FROM ft.freeze_age()}), 'the rate comes to be known');
is( $node->safe_psql('postgres', q{
SELECT bool_and(extract(epoch FROM f.time_left) BETWEEN 0.9 * f.xids_left / r.xids_per_second AND 1.1 * f.xids_left / r.xids_per_second),
       bool_and(f.multixact_time_left IS NULL), bool_and(f.frozen_since IS NULL)
  FROM ft.freeze_age() AS f, ft.xid_rate() AS r}),
	't|t|t', 'the time left is what is left by the rate; without multixacts there is none');

# Switched off, nothing is noted any more; what is known stays.
$node->append_conf('postgresql.conf', 'fault_tolerance.xid_clock_interval = 0');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT every IS NULL FROM ft.sampler_tasks() WHERE task = 'xid clock'}), 'switched off');
is($node->safe_psql('postgres', q{SELECT count(age) FROM ft.xmin_horizon() WHERE horizon = 'data'}), '3', 'what is known stays');

# After a restart, all that is known of older ones is that they are older than
# the start, and of a prepared transaction, than when it was prepared.
$node->append_conf('postgresql.conf', "fault_tolerance.xid_clock_interval = '200ms'");
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT covered > '1 s' FROM ft.xid_rate()}), 'a new clock');
is($node->safe_psql('postgres', q{SELECT DISTINCT age IS NULL, severity, since IS NOT NULL FROM ft.xmin_horizon() WHERE horizon = 'data'}),
	't|UNKNOWN|t', 'older than the clock');
is($node->safe_psql('postgres', q{
	SELECT ft.set_threshold('xmin_horizon', 0.001, NULL);
	SELECT DISTINCT age IS NULL, severity FROM ft.xmin_horizon() WHERE horizon = 'data'}),
	"\nt|WARNING", 'but at least so old');

# Without the library in memory.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->safe_psql('postgres', q{SELECT gid, age IS NULL, severity, action FROM ft.xmin_horizon() WHERE horizon = 'data' AND holds}),
	'one|t|WARNING|rollback prepared', 'without the preload: who holds, and how old it is at least');
is($node->safe_psql('postgres', q{SELECT count(*) > 2, count(time_left), count(frozen_since) FROM ft.freeze_age()}), 't|0|0',
	'without the preload: ages, but no times');
$node->safe_psql('postgres', q{
	CREATE TABLE fresh (id integer);
	INSERT INTO fresh SELECT generate_series(1, 2000);
	DELETE FROM fresh;
	SELECT pg_stat_force_next_flush()});
is($node->safe_psql('postgres', q{SELECT horizon_keeps FROM ft.dead_tuples() WHERE relname = 'fresh'}), 'yes',
	'without the preload: a table that is newer than the horizon is known to be kept');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM ft.bloat_estimate(0)}), 't', 'without the preload: estimates');
is($node->safe_psql('postgres', q{SELECT kept_tuples FROM ft.table_bloat('fresh')}), '2000', 'without the preload: pages');

$node->stop;
done_testing();
