# Orders of locks counted exactly by many sessions, and bounded where there are
# more than there is room for.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init;
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
fault_tolerance.lock_order_pairs = 40
autovacuum = off
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE a (id int PRIMARY KEY, v int);
CREATE TABLE b (id int PRIMARY KEY, v int);
INSERT INTO a SELECT g, 0 FROM generate_series(1, 1000) g;
INSERT INTO b SELECT g, 0 FROM generate_series(1, 1000) g;
});

# Different rows: no deadlock comes of it, but one could.
$node->pgbench(
	'--no-vacuum --client=5 --jobs=2 --transactions=300', 0,
	[qr/number of transactions actually processed: 1500/], [qr/^$/], 'two orders',
	{
		'096_ab@2' => q{BEGIN; UPDATE a SET v = v + 1 WHERE id = :client_id + 1; UPDATE b SET v = v + 1 WHERE id = :client_id + 1; COMMIT;},
		'096_ba@1' => q{BEGIN; UPDATE b SET v = v + 1 WHERE id = :client_id + 100; UPDATE a SET v = v + 1 WHERE id = :client_id + 100; COMMIT;},
		'096_one@1' => q{UPDATE a SET v = v + 1 WHERE id = :client_id + 200;},
	});
is( $node->safe_psql(
		'postgres', q{
SELECT kind, first_relation, second_relation,
       first_then_second = (SELECT sum(v) FROM b WHERE id < 100) AS all_of_one,
       second_then_first = (SELECT sum(v) FROM b WHERE id >= 100) AS all_of_the_other,
       first_then_second > 100 AS many
  FROM ft.lock_order_conflicts()}),
	'write|public.a|public.b|t|t|t', 'every transaction of every session is counted');

# More relations than there is room for: what is there stays and goes on
# counting, the rest is counted as such.
$node->safe_psql('postgres', join("\n", map { "CREATE TABLE t$_ (id int);" } 1 .. 20));
$node->safe_psql('postgres', 'BEGIN; ' . join(' ', map { "INSERT INTO t$_ VALUES (1);" } 1 .. 20) . ' COMMIT');
is($node->safe_psql('postgres', 'SELECT pairs, max_pairs, unrecorded FROM ft.lock_order_state()'),
	'40|40|' . (20 * 19 / 2 + 2 - 40), 'what found no place is counted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ft.lock_order_conflicts()'), 1, 'and nothing is lost that was there');

# More locks in one transaction than are kept of one.
$node->safe_psql('postgres', 'SELECT ft.reset_lock_order()');
$node->safe_psql('postgres', join("\n", map { "CREATE TABLE t$_ (id int);" } 21 .. 40));
$node->safe_psql('postgres', 'BEGIN; ' . join(' ', map { "INSERT INTO t$_ VALUES (1);" } 1 .. 40) . ' COMMIT');
is($node->safe_psql('postgres', 'SELECT truncated_transactions FROM ft.lock_order_state()'),
	1, 'a transaction with too many locks is counted');

# Reset while others are at it.
$node->pgbench(
	'--no-vacuum --client=6 --jobs=2 --time=2', 0,
	[qr/number of failed transactions: 0/], [qr/^$/], 'reset and asked while sessions add',
	{
		'096_busy@8' => q{BEGIN; UPDATE a SET v = v + 1 WHERE id = :client_id + 1; UPDATE b SET v = v + 1 WHERE id = :client_id + 1; COMMIT;},
		'096_reset@1' => q{SELECT ft.reset_lock_order();},
		'096_ask@1' => q{SELECT count(*) FROM ft.lock_order_conflicts();},
	});

# Another database has its own.
$node->safe_psql('postgres', 'SELECT ft.reset_lock_order(); CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION fault_tolerance');
foreach my $order ('a b', 'b a')
{
	my ($first, $second) = split / /, $order;
	$node->safe_psql('postgres', "BEGIN; UPDATE $first SET v = 0 WHERE id = 1; UPDATE $second SET v = 0 WHERE id = 1; COMMIT");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM ft.lock_order_conflicts()'), 1, 'here there is one');
is($node->safe_psql('other', 'SELECT count(*) FROM ft.lock_order_conflicts()'), 0, 'there is none');

done_testing();
