# A page that is damaged on disk: the check of checksums fires, and nothing else
# is needed but that somebody read the page.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('node');
$node->init(extra => ['--data-checksums']);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE TABLE damaged AS SELECT generate_series(1, 1000) AS i;
	CHECKPOINT;
});

my $query = q{SELECT status, object, value, message LIKE '%failed their checksum%' FROM ft.health_check('{checksum_failures}')};
is($node->safe_psql('postgres', $query, extra_params => [ '-U', 'monitor' ]), 'OK||0|f', 'no page is damaged');

my $file = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('damaged')});
$node->stop;
open(my $page, '+<', $file) or die "$file: $!";
binmode $page;
seek($page, 4000, 0);
print $page 'not what was written';
close($page);
$node->start;

my ($rc, $out, $err) = $node->psql('postgres', 'SELECT sum(i) FROM damaged');
like($err, qr/invalid page in block 0/, 'the page cannot be read');
ok($node->poll_query_until('postgres', $query, 'CRITICAL|postgres|1|t'), 'the check fires');
is($node->safe_psql('postgres', q{SELECT ok, worst_check FROM ft.health('{checksum_failures,lock_table}')}), 'f|checksum_failures', 'and the verdict is bad');

$node->stop;
done_testing();
