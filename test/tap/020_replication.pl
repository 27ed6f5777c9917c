# Replication as ft shows it, on a real primary, a standby with a slot, and a
# standby of that standby: healthy and idle, stuck, broken, and with a role
# that is not the expected one.  Then what else has to work on a standby.
use strict;
use warnings FATAL => 'all';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @common = (
	"shared_preload_libraries = 'fault_tolerance'",
	'fault_tolerance.workers = off',
	'autovacuum = off',
	'wal_receiver_status_interval = 1',
	'wal_retrieve_retry_interval = 100ms');

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', join("\n", @common,
	'max_prepared_transactions = 5'));
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE TABLE ledger (id integer);
	SELECT pg_create_physical_replication_slot('first_slot');
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE VIEW replication_alerts AS
	SELECT * FROM ft.check_fault_tolerance_alerts()
	 WHERE alert_name LIKE 'repl%' OR alert_name = 'unexpected_role';
	GRANT SELECT ON replication_alerts TO monitor;
});
$primary->backup('base');

my $first = PostgreSQL::Test::Cluster->new('first');
$first->init_from_backup($primary, 'base', has_streaming => 1);
$first->append_conf('postgresql.conf', "primary_slot_name = 'first_slot'");
$first->start;
$first->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('second_slot', true)});

my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($primary, 'base', has_streaming => 1);
$second->enable_streaming($first);
$second->append_conf('postgresql.conf', "primary_slot_name = 'second_slot'");
$second->start;

# All as pg_monitor, which is who is to see it.
sub ask
{
	my ($node, $query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
	die "query failed: $query: $err" if $rc != 0;
	return $out;
}

sub becomes
{
	my ($node, $query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name)
	  or diag($node->safe_psql('postgres', 'SELECT * FROM ft.replication_lag()'));
}

# The server writes a little WAL of its own now and then, so that what is
# shown may be in between for a moment.
sub settles
{
	my ($node, $query, $expected, $name) = @_;
	ok($node->poll_query_until('postgres', $query, $expected), $name);
}

sub commit { $primary->safe_psql('postgres', 'INSERT INTO ledger VALUES (1)') }

sub until_caught_up
{
	commit();
	$primary->wait_for_catchup('first', 'replay', $primary->lsn('insert'));
	$first->wait_for_catchup('second', 'replay', $primary->lsn('insert'));
}

sub lag_row
{
	my ($kind, $columns) = @_;
	return "SELECT $columns FROM ft.replication_lag() WHERE kind = '$kind'";
}

until_caught_up();

# --- healthy and idle
my $settled = q{SELECT bool_and(lag_bytes = 0 AND state = 'streaming') AND count(*) = %d FROM ft.replication_lag()};
becomes($primary, sprintf($settled, 1), 'an idle primary sees no lag in bytes');
becomes($first, sprintf($settled, 2), 'nor does a standby, of itself and of its own');
becomes($second, sprintf($settled, 1), 'nor the last one');
settles($primary, lag_row('physical', "name, state, sync_state, slot_name, sent_lag, write_lag, flush_lag, replay_lag, lag, note IS NULL"),
	'first|streaming|async|first_slot|00:00:00|00:00:00|00:00:00|00:00:00|00:00:00|t',
	'all lag times of an idle primary are zero');
settles($first, lag_row('node', 'name, state, replay_lag, replay_lag_bytes, flush_lag_bytes, now() - pg_last_xact_replay_timestamp() > replay_lag'),
	'first|streaming|00:00:00|0|0|t',
	'on a standby as well, where the usual query shows a lag that grows');
settles($first, "SELECT kind, name, state, lag, slot_name FROM ft.replication_lag()",
	"node|first|streaming|00:00:00|first_slot\nphysical|second|streaming|00:00:00|second_slot",
	'a cascading standby shows itself and what it feeds');
settles($first, "SELECT node_type, status, node_name, state, replication_lag, last_receive_lsn = last_replay_lsn, as_expected FROM ft.fault_tolerance_monitoring",
	"any|STANDBY|first|streaming|00:00:00|t|t\nstandby|STANDBY|second|streaming|00:00:00|t|t",
	'monitoring on a standby');
is(ask($primary, "SELECT node_type, status, node_name, state, replication_lag FROM ft.fault_tolerance_monitoring"),
	"any|PRIMARY|primary|running|\nstandby|STANDBY|first|streaming|00:00:00",
	'monitoring on a primary');
is(ask($_, 'SELECT count(*) FROM replication_alerts'), '0',
	'no alert on ' . $_->name)
  foreach $primary, $first, $second;

# --- stuck: the first standby receives, but does not replay
$first->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
becomes($first, q{SELECT pg_get_wal_replay_pause_state() = 'paused'}, 'replay is paused');
commit();
$primary->wait_for_catchup('first', 'flush', $primary->lsn('insert'));

my $stuck = q{SELECT flush_lag_bytes = 0 AND flush_lag = '0' AND replay_lag_bytes > 0 AND replay_lag > '0' AND lag = replay_lag
	FROM ft.replication_lag() WHERE name = 'first'};
becomes($primary, $stuck, 'the primary sees that WAL arrives and is not replayed');
is(ask($first, lag_row('node', "state, replay_lag_bytes > 0, replay_lag > '0', note")),
	'replay paused|t|t|replay is paused: SELECT pg_wal_replay_resume()',
	'so does the standby, with the reason');
my $before = ask($primary, lag_row('physical', 'extract(epoch FROM replay_lag)'));
my $after = ask($primary, lag_row('physical', 'extract(epoch FROM replay_lag)'));
cmp_ok($after, '>', $before, 'the lag of what is stuck grows by itself');

# The age is that of the first commit that is missing, not of the newest.
commit();
cmp_ok(ask($primary, lag_row('physical', 'extract(epoch FROM replay_lag)')), '>', $after,
	'a later commit makes no lag smaller');

my $late = q{SELECT count(*) = 1 FROM replication_alerts
	WHERE alert_level = 'WARNING' AND alert_name = 'replication_lag' AND object = 'first'
	  AND value > 10 AND threshold = 10 AND message LIKE '%s'};
becomes($primary, sprintf($late, 'replication lag of standby first is %'),
	'past 10 seconds the primary warns');
becomes($first, sprintf($late, 'replication lag of this standby is %'), 'and so does the standby');
is(ask($primary, "SELECT replication_lag > '10 s' FROM ft.fault_tolerance_monitoring WHERE node_name = 'first'"),
	't', 'monitoring shows the lag');

$first->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
until_caught_up();
becomes($_, 'SELECT count(*) = 0 FROM replication_alerts',
	'the alert ends on ' . $_->name)
  foreach $primary, $first;

# --- a bulk load without a commit, longer than is read for a commit
$first->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
becomes($first, q{SELECT pg_get_wal_replay_pause_state() = 'paused'}, 'replay is paused again');
my $load = $primary->safe_psql('postgres', q{
	BEGIN;
	SELECT pg_current_wal_insert_lsn();
	INSERT INTO ledger SELECT generate_series(1, 200000);
	SELECT ft.wal_age(replay_lsn) BETWEEN '0' AND '5 min' FROM pg_stat_replication;
	ROLLBACK;
});
like($load, qr/\nt$/, 'the age of a bulk load is known to be that of its file at least');
$first->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
until_caught_up();

# --- broken: the first standby is gone
$first->stop;
becomes($primary, q{SELECT state = 'disconnected' FROM ft.replication_lag()},
	'a standby that went away is still listed, by its slot');
is(ask($primary, lag_row('physical', "name, pid IS NULL, lag IS DISTINCT FROM '0', flush_lag_bytes IS DISTINCT FROM 0, replay_lag, note")),
	'first_slot|t|t|t||not connected: the lag is the least it can be',
	'and does not show zero');
commit();
is(ask($primary, lag_row('physical', "flush_lag_bytes > 0, retained_bytes > 0, flush_lag > '0', lag = flush_lag, lag_bytes = flush_lag_bytes")),
	't|t|t|t|t', 'what it misses counts, in bytes and time');
is(ask($primary, "SELECT alert_level, alert_name, object, value > 0 FROM replication_alerts"),
	'WARNING|replication_disconnected|first_slot|t', 'the primary warns');
is(ask($primary, "SELECT status, node_name, state, replication_lag > '0' FROM ft.fault_tolerance_monitoring WHERE node_name <> 'primary'"),
	'STANDBY|first_slot|disconnected|t', 'monitoring shows it');

becomes($second, q{SELECT state = 'disconnected' FROM ft.replication_lag()},
	'a standby whose sender went away says so');
is(ask($second, lag_row('node', "replay_lag_bytes, lag > '0', note")),
	'|t|receives no WAL: the lag is the age of the last transaction replayed',
	'and does not show zero either');
is(ask($second, "SELECT alert_level, alert_name FROM replication_alerts WHERE alert_name <> 'replication_lag'"),
	'WARNING|replication_disconnected', 'and warns');

$first->start;
until_caught_up();
becomes($primary, sprintf($settled, 1), 'it comes back');
becomes($second, sprintf($settled, 1), 'and what it feeds');

# --- what else has to work on a standby
is(ask($first, "SELECT ft.wal_age('FFFFFFFF/0'), ft.wal_age('0/28') IS NULL"), '00:00:00|t',
	'the age of WAL on a standby');
my ($rc, $out, $err) = $first->psql('postgres', 'SELECT count(*) FROM ft.dead_tuples()');
is("$rc $out", '0 0', 'dead tuples on a standby: none are counted there');
like($err, qr/NOTICE:  a standby does not count dead tuples/, 'and it says so');

# Held transactions: active, idle and prepared.
sub session
{
	my ($node, $sql) = @_;
	my %session = (in => "$sql\n", out => '', err => '');
	$session{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', '-' ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$session{run}->pump while length $session{in};
	return \%session;
}

$primary->safe_psql('postgres',
	q{BEGIN; INSERT INTO ledger VALUES (2); PREPARE TRANSACTION 'held'});
foreach my $node ($primary, $first)
{
	my $name = $node->name;
	my $idle = session($node, "SET application_name = 'idle one'; BEGIN; SELECT 'idle' FROM ledger LIMIT 0;");
	my $active = session($node, "SET application_name = 'active one'; SELECT pg_sleep(1000);");

	becomes($node, q{SELECT count(*) = 2 FROM pg_stat_activity
		WHERE application_name IN ('idle one', 'active one') AND xact_start < clock_timestamp() - interval '100 ms'
		  AND (state, wait_event) IN (('idle in transaction', 'ClientRead'), ('active', 'PgSleep'))},
		"transactions are held on $name");
	is(ask($node, q{SELECT application_name, state, usename = (SELECT rolname FROM pg_roles WHERE oid = 10), query,
			query_duration < transaction_duration OR state = 'active', transaction_duration >= '100 ms', state_duration <= transaction_duration
		FROM ft.long_transactions('100 ms') WHERE application_name LIKE '%one' ORDER BY 1}),
		"active one|active|t|SELECT pg_sleep(1000);|t|t|t\n"
		  . "idle one|idle in transaction|t|SELECT 'idle' FROM ledger LIMIT 0;|t|t|t",
		"active and idle transactions on $name");
	is(ask($node, q{SELECT count(*) FROM ft.long_transactions() WHERE application_name LIKE '%one'}),
		'0', "not older than a minute on $name");

	$node->safe_psql('postgres',
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('idle one', 'active one')});
	foreach my $held ($idle, $active) { eval { $held->{run}->finish }; }
}
is(ask($primary, q{SELECT state, prepared_gid, pid IS NULL, datname FROM ft.long_transactions('0 s') WHERE state = 'prepared'}),
	'prepared|held|t|postgres', 'a prepared transaction is one too');
$primary->safe_psql('postgres', q{ROLLBACK PREPARED 'held'});

# --- roles
sub expect_role
{
	my ($node, $role) = @_;
	$node->append_conf('postgresql.conf', "fault_tolerance.expected_role = $role");
	$node->reload;
	becomes($node, "SELECT node_type = '$role' FROM ft.node_state()", $node->name . " is expected to be $role");
}
my $role_alert = q{SELECT alert_level, message FROM replication_alerts WHERE alert_name = 'unexpected_role'};
expect_role($primary, 'primary');
expect_role($first, 'standby');
is(ask($primary, $role_alert), '', 'a primary that is one');
is(ask($first, $role_alert), '', 'a standby that is one');
expect_role($first, 'primary');
is(ask($first, $role_alert), 'CRITICAL|this node is expected to be a primary but is a standby',
	'a standby that should be primary');
is(ask($first, 'SELECT node_type, status, as_expected FROM ft.fault_tolerance_monitoring LIMIT 1'),
	'primary|STANDBY|f', 'monitoring tells them apart');
expect_role($primary, 'standby');
is(ask($primary, $role_alert),
	'CRITICAL|this node is expected to be a standby but is a primary: two nodes may be taking writes',
	'a primary that should be standby');

# --- the primary dies, the standby is promoted
until_caught_up();
$primary->stop('immediate');
becomes($first, q{SELECT state = 'disconnected' AND lag > '0' AND lag_bytes IS NULL FROM ft.replication_lag() WHERE kind = 'node'},
	'without a primary a standby is not up to date');
$first->promote;
is(ask($first, $role_alert), '', 'promoted, it is what it should be');
is(ask($first, q{SELECT node_type, status, state, timeline FROM ft.fault_tolerance_monitoring WHERE node_name = 'first'}),
	'primary|PRIMARY|running|2', 'on a new timeline');
$first->safe_psql('postgres', 'INSERT INTO ledger VALUES (3)');
$first->wait_for_catchup('second', 'replay', $first->lsn('insert'));
becomes($first, sprintf($settled, 1), 'and what it feeds has followed');
is($first->safe_psql('postgres', q{SELECT ft.wal_age(r.redo_lsn) > '0' FROM pg_control_checkpoint() AS r}),
	't', 'WAL from before the promotion has its age');

$second->stop;
$first->stop;
done_testing();
