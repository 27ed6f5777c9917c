# ft.table_bloat() on a table that is read from disk in portions: it keeps to
# the rate that a setting allows, lets in who wants to alter the table meanwhile,
# and says what came of it; a cancel ends it at once.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;

my $node = new_node('primary', allows_streaming => 1);
$node->append_conf('postgresql.conf', "fault_tolerance.workers = off\nshared_buffers = 16MB\nfsync = off");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE large (id integer, t text);
INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) AS i;
DELETE FROM large WHERE id % 2 = 0;
CREATE UNLOGGED TABLE unlogged AS SELECT generate_series(1, 1000) AS i;
VACUUM large;
CHECKPOINT;
});
my $pages = $node->safe_psql('postgres', q{SELECT pg_relation_size('large') / 8192});
cmp_ok($pages, '>', 3000, 'several portions, and more than is cached');

# Ask in a session of its own, slowly, until it sleeps between two portions.
sub ask_slowly
{
	my $asker = $node->background_psql('postgres', on_error_stop => 0, on_error_die => 0);

	$asker->query_safe("SET fault_tolerance.bloat_read_rate = '64 kB'; SET application_name = 'asker'");
	$asker->query_until(qr/started/,
		"\\echo started\nSELECT kind, severity, pages, pages_read BETWEEN 1024 AND pages - 1 AS part, live_tuples, note, complete"
		  . " FROM ft.table_bloat('large') WHERE kind = 'table';\n");
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'asker' AND wait_event = 'VacuumDelay'})
	  or die 'it does not sleep';
	return $asker;
}

# End it.
sub wake
{
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'asker'});
	return;
}

# Nothing is held while it sleeps.
{
	my $asker = ask_slowly();
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'large'::regclass}), '0',
		'between two portions no lock is held');
	my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '5 s'; ALTER TABLE large ADD COLUMN n integer");
	is($rc, 0, 'the table can be altered meanwhile');
	wake();
	is($node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'asker' AND state = 'active'}),
		1, 'a cancel ends it at once');
	$asker->quit;
}

# Who locks it, writes it anew or drops it, is said, with how far it came.
sub ask_during
{
	my ($change) = @_;
	my $holder = $node->background_psql('postgres');
	my $asker = $node->background_psql('postgres', on_error_stop => 0, on_error_die => 0);

	# some seconds for the first portion
	$asker->query_safe("SET fault_tolerance.bloat_read_rate = '2 MB'; SET application_name = 'asker'");
	$asker->query_until(qr/started/,
		"\\echo started\nSELECT kind, severity, pages_read BETWEEN 1024 AND pages - 1 AS part, live_tuples, note, complete"
		  . " FROM ft.table_bloat('large') WHERE kind = 'table';\n");
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'asker' AND wait_event = 'VacuumDelay'})
	  or die 'it does not sleep';
	$holder->query_safe($change);
	my $row = $asker->query('SELECT 1');
	$holder->quit;
	$asker->quit;
	$row =~ s/\n1$//;
	return $row;
}

sub empty_cache
{
	$node->restart;
	return;
}

empty_cache();
is(ask_during('BEGIN; LOCK TABLE large IN ACCESS EXCLUSIVE MODE'),
	'table|UNKNOWN|t||locked by somebody: TABLE ft.lock_tree may tell by whom|f', 'locked meanwhile');
empty_cache();
is(ask_during('VACUUM FULL large'),
	'table|UNKNOWN|t||written anew meanwhile: ask again|f', 'written anew meanwhile');
$node->safe_psql('postgres', q{INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) AS i});
empty_cache();
is(ask_during('DROP TABLE large'), 'table|UNKNOWN|t||dropped meanwhile|f', 'dropped meanwhile');

# What a vacuum cut off meanwhile had nothing on it.
$node->safe_psql('postgres', q{
	CREATE TABLE large (id integer, t text);
	INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) AS i;
	DELETE FROM large WHERE id > 12000});
empty_cache();
is(ask_during('VACUUM large'), 'table|OK|f|12000||t', 'truncated meanwhile');

# An index that could not be built, and what a standby does not have.
$node->safe_psql('postgres', q{INSERT INTO large VALUES (1, 'twice')});
$node->psql('postgres', 'CREATE UNIQUE INDEX CONCURRENTLY large_id ON large (id)');
is($node->safe_psql('postgres', q{SELECT severity, note FROM ft.table_bloat('large') WHERE relname = 'large_id'}),
	'UNKNOWN|an invalid index: drop it or build it anew', 'an invalid index');
is($node->safe_psql('postgres', q{SELECT severity, note FROM ft.bloat_estimate(0) WHERE relname = 'large_id'}),
	'UNKNOWN|an invalid index: drop it or build it anew', 'an invalid index in the estimate');

# A temporary table of another session.
my $other = $node->background_psql('postgres');
$other->query_safe('CREATE TEMPORARY TABLE theirs AS SELECT generate_series(1, 10) AS i');
is($node->safe_psql('postgres', q{SELECT note FROM ft.table_bloat((SELECT oid FROM pg_class WHERE relname = 'theirs'))}),
	'a temporary table of another session', 'a temporary table of another session');
$other->quit;

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{SELECT severity, relation_size, note FROM ft.table_bloat('unlogged')}),
	'UNKNOWN||unlogged: its pages are not on a standby', 'an unlogged table on a standby');
is($standby->safe_psql('postgres', q{SELECT live_tuples FROM ft.table_bloat('large') WHERE kind = 'table'}), '12001',
	'another one on a standby');
$standby->stop;

$node->stop;
done_testing();
