# Advice with pg_stat_statements: in any schema, not loaded, and without it; on
# a standby.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'fault_tolerance, pg_stat_statements'
fault_tolerance.workers = off
autovacuum = off
max_parallel_workers_per_gather = 0
synchronize_seqscans = off
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE "Large table" (id int PRIMARY KEY, v int, filler text);
INSERT INTO "Large table" SELECT i, i, repeat('x', 500) FROM generate_series(1, 30000) AS i;
CREATE TABLE idle (id int);
CREATE INDEX idle_id ON idle (id);
ANALYZE;
});

# Without the extension: the table, and no statement.
$node->safe_psql('postgres', q{SELECT filler = '' FROM "Large table" WHERE v = 7}) for 1 .. 3;
is($node->safe_psql('postgres', q{SELECT kind, relname, query IS NULL FROM ft.scan_advice()}),
	'sequential scan|Large table|t', 'told without pg_stat_statements');

# With it, in a schema with an odd name.
$node->safe_psql(
	'postgres', q{
CREATE SCHEMA "Odd ""schema";
CREATE EXTENSION pg_stat_statements SCHEMA "Odd ""schema";
SELECT "Odd ""schema".pg_stat_statements_reset();
});
$node->safe_psql('postgres', q{SELECT filler = '' FROM "Large table" WHERE v = 7}) for 1 .. 3;
$node->safe_psql('postgres', q{SELECT count(*) FROM "Large table" WHERE id = 8});
$node->safe_psql('postgres', q{SELECT id FROM "Large table"});
$node->safe_psql('postgres', q{SELECT id FROM "Large table" LIMIT 20000});
$node->safe_psql('postgres', q{CREATE TEMPORARY TABLE copy AS SELECT id FROM "Large table"});
is( $node->safe_psql(
		'postgres', q{
SELECT kind, relname, query, calls, rows_per_call, blocks_per_call > 1000, mean_duration > '0', query_id IS NOT NULL
  FROM ft.scan_advice() WHERE kind = 'sequential scan'}),
	q{sequential scan|Large table|SELECT filler = $1 FROM "Large table" WHERE v = $2|3|1|t|t|t},
	'the statement behind it, and none that uses the index or wants all rows');
is( $node->safe_psql(
		'postgres', q{
SELECT kind, relname, query, calls, rows_per_call FROM ft.scan_advice() WHERE kind = 'unbounded rows'}),
	q{unbounded rows||SELECT id FROM "Large table"|1|30000}, 'the statement that returns all rows');

is($node->safe_psql('postgres', q{SELECT kind, "table", rows FROM ft.scan_advice_summary}),
	qq{sequential scan|public."Large table"|1\nunbounded rows||30000}, 'in the view');

# A member of pg_monitor sees as much.
$node->safe_psql('postgres', 'CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher');
is( $node->safe_psql('postgres', q{SELECT count(query) FROM ft.scan_advice()}, extra_params => [ '-U', 'watcher' ]),
	0, 'who may not use the schema of pg_stat_statements is told without');
$node->safe_psql('postgres', q{GRANT USAGE ON SCHEMA "Odd ""schema" TO pg_monitor});
is( $node->safe_psql('postgres', q{SELECT count(query) FROM ft.scan_advice()}, extra_params => [ '-U', 'watcher' ]),
	2, 'who may is told all');

# A standby has statistics of its own.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
like($node->safe_psql('postgres', q{SELECT caveat FROM ft.index_advice() WHERE indexrelname = 'idle_id'}),
	qr/standbys count their own scans/, 'the primary says that standbys count for themselves');
like($standby->safe_psql('postgres', q{SELECT caveat FROM ft.index_advice() WHERE indexrelname = 'idle_id'}),
	qr/this standby counts its own scans only/, 'the standby as well');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM ft.scan_advice() WHERE kind = 'sequential scan'}),
	0, 'nothing was scanned there');
$standby->safe_psql('postgres', q{SELECT filler = '' FROM "Large table" WHERE v = 7}) for 1 .. 3;
ok( $standby->poll_query_until(
		'postgres', q{SELECT count(*) > 0 FROM ft.scan_advice() WHERE kind = 'sequential scan' AND query ~ 'v = '}),
	'now it was');

# The extension is there, its library is not.
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'fault_tolerance'");
$node->restart;
my ($result, $stdout, $stderr) = $node->psql('postgres', 'SELECT kind, relname, query IS NULL FROM ft.scan_advice()');
is($stdout, 'sequential scan|Large table|t', 'told without statements');
like($stderr, qr/NOTICE:  pg_stat_statements does not answer/, 'and why');

done_testing();
