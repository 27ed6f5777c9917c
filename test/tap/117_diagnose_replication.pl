# ft.diagnose() where WAL goes elsewhere: a standby that does not replay, asked
# there and at its primary, and one that is connected but does not keep up.
# And that the pages that ft.help() names are there.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
autovacuum = off
wal_receiver_status_interval = '1s'
});
$primary->start;
$primary->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
CREATE TABLE entry (id int);
SELECT pg_create_physical_replication_slot('lyon', true);
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('lyon');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_slot_name = 'lyon'");
$standby->start;
$primary->wait_for_catchup('lyon', 'replay', $primary->lsn('insert'));

sub ask
{
	my ($node, $query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
	die "query failed: $query: $err" if $rc != 0;
	return $out;
}

# Wait until these, and no others, are the findings.
sub finds
{
	my ($node, $expected, $name) = @_;
	my $last = '';

	foreach my $try (1 .. 2 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$last = ask($node, q{
SELECT string_agg(format('%s>%s', finding, array_to_string(leads_to, ',')), ' ' ORDER BY finding COLLATE "C")
  FROM ft.diagnose()});
		last if $last eq $expected;
		select(undef, undef, undef, 0.1);
	}
	is($last, $expected, $name)
	  or diag(ask($node, 'SELECT severity, finding, symptom, cause, leads_to FROM ft.diagnose(true)'));
}

finds($primary, '', 'silence on a healthy primary');
finds($standby, '', 'silence on a healthy standby');
is(ask($standby, q{SELECT count(*) FROM ft.diagnose(true) WHERE finding = 'cannot_tell'}), '0', 'where every rule answers');

# --- replay is paused
$primary->safe_psql('postgres', q{SELECT ft.set_threshold('replication_lag', 1, 300)});
$primary->wait_for_catchup('lyon', 'replay', $primary->lsn('insert'));
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$primary->safe_psql('postgres', 'INSERT INTO entry VALUES (1)');
finds($standby, 'replication_lag>', 'a standby that does not replay');
like(ask($standby, 'SELECT cause FROM ft.diagnose()'), qr/^replay is paused$/, 'and why');
finds($primary, 'replication_lag>', 'which its primary finds too');
is(ask($primary, 'SELECT affected FROM ft.diagnose()'), '{"consumer lyon"}', 'and which it is');
$standby->safe_psql('postgres', ask($standby, 'SELECT fix_sql FROM ft.diagnose()'));
finds($standby, '', 'it replays again');
finds($primary, '', 'and its primary is content');

# --- a standby that is told to stay behind
$standby->append_conf('postgresql.conf', "recovery_min_apply_delay = '1h'");
$standby->reload;
$primary->safe_psql('postgres', 'INSERT INTO entry VALUES (2)');
ok($standby->poll_query_until('postgres', q{SELECT lag > '2 s' FROM ft.replication_lag() WHERE kind = 'node'}), 'it is behind');
finds($standby, '', 'as it is told to');
$standby->append_conf('postgresql.conf', "recovery_min_apply_delay = 0");
$standby->reload;
finds($primary, '', 'it replays again at once');

# --- its receiver hangs: the slot is in use, and keeps WAL
$primary->safe_psql('postgres', q{SELECT ft.set_threshold('slot_retained', 1e6, 1e12), ft.set_threshold('replication_lag', 1e6, 1e6), ft.set_threshold('replication_lag_bytes', 1e5, 1e12)});
$primary->wait_for_catchup('lyon', 'replay', $primary->lsn('insert'));
my $receiver = $standby->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
kill 'STOP', $receiver;
$primary->safe_psql('postgres', 'INSERT INTO entry SELECT generate_series(1, 50000)');
finds($primary, 'replication_lag>slow_consumer', 'a consumer that is connected and does not keep up');
kill 'CONT', $receiver;
finds($primary, '', 'it keeps up again');

# --- the receiver is gone
$primary->stop;
finds($standby, 'replication_lag>', 'a standby without its primary');
is(ask($standby, 'SELECT severity, cause FROM ft.diagnose()'), 'CRITICAL|it receives no WAL', 'and why');

# --- the index by question
foreach my $page (split /\n/, $standby->safe_psql('postgres', 'SELECT DISTINCT page FROM ft.help() ORDER BY 1'))
{
	ok(-s $page, "$page is there");
}

$standby->stop;
done_testing();
