# ft.overview where the library is not preloaded, with its workers alive and
# off, and on a standby; and all diagnostics on a primary and on a standby.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
autovacuum = off
fault_tolerance.expected_role = primary
});
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
});

sub ask
{
	my ($node, $query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
	die "query failed: $query: $err" if $rc != 0;
	return $out;
}

sub worker { return ask($_[0], "SELECT severity, summary FROM ft.overview WHERE what = 'worker'") }

sub answers_all
{
	my ($node, $subjects, $unknown, $name) = @_;
	is(ask($node, "SELECT string_agg(DISTINCT what, ', ' ORDER BY what), string_agg(what, ', ') FILTER (WHERE severity = 'UNKNOWN') FROM ft.overview"),
		"$subjects|$unknown", $name);
}

# Each read by itself.  Without the preload that is test/tap/040_not_preloaded.pl.
my @diagnostics = (
	'ft.dead_tuples()', 'ft.dead_tuples_summary', 'ft.long_transactions()',
	'ft.long_transactions_summary', 'ft.replication_lag()', 'ft.node_state()',
	'ft.fault_tolerance_monitoring', 'ft.check_fault_tolerance_alerts()',
	'ft.blocking_edges()', 'ft.blocking_chains()', 'ft.lock_tree', 'ft.blocked_statements',
	'ft.unrecovered_failures', 'ft.worker_status()', 'ft.overview_rows()', 'ft.overview');

sub diagnostics_work
{
	my ($node, $name) = @_;
	like(ask($node, "SELECT count(*) >= 0 FROM $_"), qr/^t$/, "$_ $name") foreach @diagnostics;
}

# --- not preloaded
# Errors are counted only with the preload, so that check cannot tell.
answers_all($primary, 'blocking, dead tuples, failures, health, node, replication, transaction, worker', 'health',
	'all subjects answer without the preload');
is(ask($primary, "SELECT severity, summary, next FROM ft.overview WHERE what = 'worker'"),
	"WARNING|fault_tolerance is not preloaded: nothing is recovered unasked|shared_preload_libraries = 'fault_tolerance', and restart",
	'and the worker is said to be missing, with the line to add');
is(ask($primary, 'SELECT node_type, status, as_expected FROM ft.fault_tolerance_monitoring'),
	'primary|PRIMARY|t', 'the expected role is known without the preload');

# --- preloaded
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'fault_tolerance'");
$primary->restart;
ok($primary->poll_query_until('postgres', q{SELECT severity = 'OK' AND summary LIKE 'alive, last at work %' FROM ft.overview WHERE what = 'worker'}),
	'the worker is alive') or diag(worker($primary));
diagnostics_work($primary, 'works on a primary');

$primary->safe_psql('postgres', 'ALTER ROLE monitor SET fault_tolerance.auto_recovery = off');
like(worker($primary), qr/^OK/, 'what is set for a role does not concern the worker');
$primary->safe_psql('postgres', 'ALTER ROLE monitor RESET ALL; ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off');
like(worker($primary), qr/^WARNING\|.*fault_tolerance\.auto_recovery is off/, 'recovery switched off for the database');
$primary->safe_psql('postgres', 'ALTER DATABASE postgres RESET ALL');

$primary->safe_psql('postgres', q{SELECT ft.record_failure(ft.create_execution(), 'it broke', '40001')});
ok($primary->poll_query_until('postgres', q{SELECT severity = 'OK' FROM ft.overview WHERE what = 'failures'}),
	'a failure is gone once it is recovered');

# --- blocking, by the thresholds that users set
my $holder = $primary->background_psql('postgres');
$holder->query_safe('CREATE TABLE held (i int); BEGIN; LOCK TABLE held');
my $waiter = $primary->background_psql('postgres');
$waiter->query_until(qr/start/, "\\echo start\nSELECT * FROM held;\n");
my $blocking = q{SELECT severity FROM ft.overview WHERE what = 'blocking' AND summary LIKE '% blocks 1, %'};
ok($primary->poll_query_until('postgres', $blocking, 'WARNING'), 'a session that has been blocked for a second');
$primary->safe_psql('postgres', q{SELECT ft.set_threshold('blocked_sessions', 2, 5)});
is(ask($primary, $blocking), 'OK', 'is well where it is set to be');
$primary->safe_psql('postgres', q{SELECT ft.reset_threshold('blocked_sessions')});
$holder->query_safe('COMMIT');
$_->quit foreach $holder, $waiter;

# --- on a standby
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'fault_tolerance.expected_role = standby');
$standby->start;
$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));
answers_all($standby, 'blocking, failures, health, node, replication, transaction, worker', '', 'all subjects answer on a standby');
is(worker($standby), 'OK|waits for the promotion of this standby', 'the worker waits');
like(ask($standby, "SELECT severity, summary FROM ft.overview WHERE what = 'node'"), qr/^OK\|standby, timeline 1, up /, 'the node is what it should be');
diagnostics_work($standby, 'works on a standby');

# The worst comes first.
$primary->append_conf('postgresql.conf', 'fault_tolerance.expected_role = standby');
$primary->reload;
ok($primary->poll_query_until('postgres', q{SELECT node_type = 'standby' FROM ft.node_state()}), 'reloaded');
is(ask($primary, 'SELECT severity, what, summary, next FROM ft.overview LIMIT 1'),
	'CRITICAL|node|expected to be standby, but is primary|SELECT * FROM ft.check_fault_tolerance_alerts()',
	'a node that is not what it should be');

# --- workers off
$primary->append_conf('postgresql.conf', 'fault_tolerance.workers = off');
$primary->restart;
is(worker($primary), 'WARNING|fault_tolerance.workers is off', 'workers switched off');

$standby->stop;
$primary->stop;
done_testing();
