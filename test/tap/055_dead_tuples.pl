# ft.dead_tuples() where a size cannot be had, and while tables are rewritten,
# made and dropped beneath it.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE TABLE lost (id integer);
	INSERT INTO lost SELECT generate_series(1, 2000);
	DELETE FROM lost;
	CREATE TABLE busy (id integer PRIMARY KEY, t text);
	INSERT INTO busy SELECT i, repeat('x', 100) FROM generate_series(1, 5000) AS i;
	DELETE FROM busy WHERE id <= 2000;
});

# The file of a table is not there: the row is, with what is wrong.
my $path = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('lost')});
$node->safe_psql('postgres', 'CHECKPOINT');
rename $path, "$path.away" or die "could not rename $path: $!";
is($node->safe_psql('postgres',
		q{SELECT relname, n_dead_tup, total_size IS NULL, size_note FROM ft.dead_tuples() WHERE relname = 'lost'}),
	'lost|2000|t|could not look at a file: No such file or directory',
	'a size that cannot be had is marked');
like($node->safe_psql('postgres', q{SELECT size FROM ft.dead_tuples_summary WHERE "table" = 'public.lost'}),
	qr/^unknown: could not look/, 'in the view as well');
rename "$path.away", $path or die "could not rename $path back: $!";
is($node->safe_psql('postgres',
		q{SELECT total_size = pg_total_relation_size(relid), size_note IS NULL FROM ft.dead_tuples() WHERE relname = 'lost'}),
	't|t', 'and told again once it can be');

# Files are replaced, tables come and go: no error, and never the size of
# nothing for a table that has always had rows.
my $small = $node->safe_psql('postgres', q{VACUUM FULL busy; SELECT pg_total_relation_size('busy')});
$node->safe_psql('postgres', q{UPDATE busy SET t = t; SELECT pg_stat_force_next_flush()});
cmp_ok($small, '>', 100000, 'the table is no small one');
$node->pgbench(
	'--no-vacuum --client=4 --jobs=2 --time=3',
	0,
	[ qr/number of failed transactions: 0/ ],
	[ qr/^$/ ],
	'answers while tables are rewritten, made and dropped',
	{
		'055_ask@4' => qq{
			SELECT 1 / (count(*) FILTER (WHERE total_size < $small OR size_note <> 'files are being replaced') = 0)::integer
			  FROM ft.dead_tuples(0) WHERE relname = 'busy';
		},
		'055_rewrite@1' => 'VACUUM FULL busy;',
		'055_reindex@1' => 'REINDEX TABLE busy;',
		'055_come_and_go@2' => q{
			CREATE TABLE come_:client_id (id integer PRIMARY KEY);
			INSERT INTO come_:client_id VALUES (1);
			DROP TABLE come_:client_id;
			SELECT count(*) FROM ft.dead_tuples(0);
		},
	});

$node->stop;
done_testing();
