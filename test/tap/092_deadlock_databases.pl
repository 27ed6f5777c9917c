# Deadlocks are counted in so many databases; the place of one that was dropped
# is given to another.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;

my $places = 1000;
my $dropped = 20;
my $first_oid = 100_000;

my $node = new_node_by_hand('primary');
$node->append_conf('postgresql.conf', "autovacuum = off\ndeadlock_timeout = 10ms");
$node->restart;

# Many databases for next to nothing: the folder of each is that of template1,
# as nobody changes anything there.
$node->safe_psql(
	'postgres', qq{
SET allow_system_table_mods = on;
INSERT INTO pg_database
	SELECT (jsonb_populate_record(d, jsonb_build_object('oid', $first_oid + i, 'datname', 'many_' || i))).*
	  FROM pg_database AS d, generate_series(1, $places) AS i WHERE d.datname = 'postgres';
CHECKPOINT;
});
my $base = $node->data_dir . '/base';
symlink('1', "$base/" . ($first_oid + $_)) or die "symlink: $!" foreach 1 .. $places;

sub counted
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM ft.deadlock_counts()');
}

# What the server says of a database begins with a session there.
cmp_ok(counted(), '<', 10, 'databases that nobody has used have no place');
$node->safe_psql('postgres', join('', map { "\\c many_$_\nSELECT 1;\n" } 1 .. $places));
is(counted(), $places, 'all places are taken');
$node->safe_psql('postgres', 'CREATE DATABASE late');
$node->safe_psql('late', 'CREATE TABLE t (id integer); INSERT INTO t VALUES (1), (2)');
my $late = q{SELECT reported, counted, not_reported FROM ft.deadlock_counts() WHERE datname = 'late'};
is($node->safe_psql('postgres', $late), '', 'another one has none');

# Nothing of template1 is to be dropped with them.
foreach my $i (1 .. $dropped)
{
	unlink "$base/" . ($first_oid + $i) or die "unlink: $!";
	mkdir "$base/" . ($first_oid + $i) or die "mkdir: $!";
	$node->safe_psql('postgres', "DROP DATABASE many_$i");
}
is($node->safe_psql('postgres', $late), '0|0|0', 'it gets the place of one that was dropped');

my @sessions = map { $node->background_psql('late', on_error_stop => 0) } 1 .. 2;
$sessions[$_]->query_safe('BEGIN; UPDATE t SET id = id WHERE id = ' . ($_ + 1)) foreach 0, 1;
$sessions[0]->query_until(qr/waits/, "\\echo waits\nUPDATE t SET id = id WHERE id = 2;\n");
$sessions[1]->query('UPDATE t SET id = id WHERE id = 1');
$sessions[$_]->query('ROLLBACK') foreach 1, 0;
$sessions[$_]->quit foreach 0, 1;
ok($node->poll_query_until('postgres', $late, '1|1|0'), 'and is counted there');

# It has it to itself.
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT datid) FROM ft.deadlock_counts()'),
	0, 'none is counted twice');
cmp_ok(counted(), '>', $places - $dropped, 'the rest are counted as before');

nothing_crashed($node);
$node->stop;
done_testing();
