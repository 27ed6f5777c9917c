# Slots, the archiver, WAL and conflicts with replay as ft shows them and as
# the health check judges them: a healthy primary with a standby, a consumer
# that goes away, a slot that loses its WAL, an archiver that fails and catches
# up, queries of a standby that replay cancels.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical', has_archiving => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.rate_interval = 100ms
autovacuum = off
wal_keep_size = 0
min_wal_size = 32MB
max_wal_size = 32MB
wal_receiver_status_interval = 1
wal_retrieve_retry_interval = 100ms
});
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE TABLE ledger (id integer);
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	SELECT pg_create_physical_replication_slot('standby_slot');
	SELECT pg_create_logical_replication_slot('reader', 'test_decoding');
});
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', q{
primary_slot_name = 'standby_slot'
max_standby_streaming_delay = 50ms
});
$standby->start;

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
	  or diag($node->safe_psql('postgres', 'TABLE ft.health_check_summary; SELECT * FROM ft.replication_slots(); SELECT * FROM ft.archiver()'));
}

sub check_becomes
{
	my ($node, $check, $status, $name) = @_;
	becomes($node, "SELECT bool_or(status = '$status') FROM ft.health_check('{$check}')", $name);
}

sub write_wal
{
	my ($segments) = @_;
	$primary->safe_psql('postgres', 'INSERT INTO ledger VALUES (1); SELECT pg_switch_wal()')
	  foreach 1 .. $segments;
}

# --- healthy
$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));
becomes($primary, q{SELECT state = 'active' FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}, 'the standby reads its slot');
is(ask($primary, q{SELECT slot_type, active, active_pid IS NOT NULL, inactive_since, wal_status, severity FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}),
	'physical|t|t||reserved|OK', 'a slot that is read');
like(ask($primary, q{SELECT sql FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}),
	qr/pg_terminate_backend.*active_pid = \d+/, 'what ends it ends its consumer');
becomes($primary, q{SELECT inactive_since IS NOT NULL AND inactive_duration >= '0' FROM ft.replication_slots() WHERE slot_name = 'reader'},
	'a slot that nobody ever read is noticed by the sampler, or by the server');
is(ask($primary, q{SELECT slot_type, datname, state, catalog_xmin_age >= 0, plugin, severity FROM ft.replication_slots() WHERE slot_name = 'reader'}),
	'logical|postgres|inactive|t|test_decoding|OK', 'a logical slot');
becomes($primary, q{SELECT state = 'idle' AND archived_count > 0 AND NOT failing AND files_waiting = 0 AND severity = 'OK' FROM ft.archiver()},
	'an archiver that has archived all');
is(ask($primary, q{SELECT archive_mode, archives_by, failures_since_success FROM ft.archiver()}), 'on|command|0', 'and how it does it');
becomes($primary, q{SELECT wal_bytes_per_second >= 0 AND covered > '0' FROM ft.wal_rate()}, 'the rate of WAL is known after a while');
is(ask($primary, q{SELECT count(*) FROM ft.health_check('{slot_retained,slot_inactive,slot_lost,archive_waiting,archiver_failing,pg_wal_size}') WHERE status <> 'OK'}),
	'0', 'all checks of WAL are silent');
becomes($standby, q{SELECT count(*) = 0 FROM ft.health_check('{replication_lag,replication_disconnected,slot_lost,archiver_failing}') WHERE status <> 'OK'},
	'on the standby as well');
is(ask($standby, q{SELECT state FROM ft.archiver()}), 'left to the primary', 'a standby leaves archiving to the primary');
becomes($standby, q{SELECT wal_bytes_per_second IS NOT NULL FROM ft.wal_rate()}, 'the rate of WAL is known on a standby');

my $before = ask($primary, 'SELECT pg_current_wal_insert_lsn()');
$primary->safe_psql('postgres', 'INSERT INTO ledger SELECT generate_series(1, 50000)');
is(ask($primary, "SELECT wal_bytes >= pg_current_wal_insert_lsn() - '$before'::pg_lsn, wal_bytes <= pg_current_wal_insert_lsn() - '0/1000000'::pg_lsn FROM ft.wal_activity('1 h')"),
	't|t', 'what was written is counted');

# --- the archiver fails, and what it did not archive waits
my $command = ask($primary, 'SHOW archive_command');
$primary->safe_psql('postgres', q{ALTER SYSTEM SET archive_command = 'false'});
$primary->reload;
write_wal(3);
becomes($primary, q{SELECT failing AND state = 'failing' AND failures_since_success >= 1 AND files_waiting >= 3 AND severity = 'WARNING' FROM ft.archiver()},
	'an archiver that fails');
is(ask($primary, q{SELECT oldest_waiting = last_failed_wal, waiting_since IS NOT NULL, hint LIKE '%' || last_failed_wal || '%' FROM ft.archiver()}),
	't|t|t', 'what it fails with is what has waited longest');
is(ask($primary, q{SELECT files_waiting = (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') FROM ft.archiver()}),
	't', 'what waits is counted as the server lists it');
check_becomes($primary, 'archiver_failing', 'WARNING', 'the check of the archiver fires');
$primary->safe_psql('postgres', q{SELECT ft.set_threshold('archive_waiting', 2, 3)});
check_becomes($primary, 'archive_waiting', 'CRITICAL', 'so does the check of what waits');
like(ask($primary, q{SELECT string_agg(message, E'\n') FROM ft.check_fault_tolerance_alerts()}), qr/the archiver fails: [0-9A-F]{24} could not be archived/, 'there is an alert');
$primary->safe_psql('postgres', q{ALTER SYSTEM SET archive_command = ''});
$primary->reload;
becomes($primary, q{SELECT state = 'not configured' AND hint LIKE 'Set archive_command%' FROM ft.archiver()}, 'an archiver without a command');
$primary->safe_psql('postgres', q{ALTER SYSTEM RESET archive_command; SELECT ft.reset_threshold('archive_waiting')});
$primary->reload;
$primary->safe_psql('postgres', 'INSERT INTO ledger VALUES (1); SELECT pg_switch_wal()');
becomes($primary, q{SELECT NOT failing AND files_waiting = 0 AND severity = 'OK' FROM ft.archiver()}, 'it catches up');
becomes($primary, q{SELECT archived_per_minute > 0 FROM ft.archiver()}, 'and how fast is known');
check_becomes($primary, 'archiver_failing', 'OK', 'the check is silent again');

# --- a consumer goes away, and WAL piles up for it
$standby->stop;
becomes($primary, q{SELECT state = 'inactive' FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}, 'a standby that went away');
$primary->safe_psql('postgres', q{SELECT ft.set_threshold('slot_inactive', 0.1, 10000), ft.set_threshold('slot_retained', 3e7, 1e12), ft.set_threshold('pg_wal_size', 120, 1000)});
check_becomes($primary, 'slot_inactive', 'WARNING', 'its slot has had no consumer for too long');
write_wal(5);
check_becomes($primary, 'slot_retained', 'WARNING', 'it keeps too much WAL');
$primary->safe_psql('postgres', 'CHECKPOINT');
check_becomes($primary, 'pg_wal_size', 'WARNING', 'pg_wal is larger than it should be');
is(ask($primary, q{SELECT severity FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}), 'WARNING', 'the slot says so too');

# What may still be written, then lost.
$primary->safe_psql('postgres', q{SELECT pg_drop_replication_slot('reader')});
$primary->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'});
$primary->reload;
becomes($primary, q{SELECT safe_wal_size IS NOT NULL FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}, 'how much can still be written is shown');
write_wal(5);
$primary->safe_psql('postgres', 'CHECKPOINT');
becomes($primary, q{SELECT state = 'lost' AND invalidation_cause = 'wal_removed' AND severity = 'CRITICAL' FROM ft.replication_slots() WHERE slot_name = 'standby_slot'},
	'a slot that lost its WAL, and why');
check_becomes($primary, 'slot_lost', 'CRITICAL', 'the check says so');
is(ask($primary, q{SELECT worst_check FROM ft.health('{slot_lost,lock_table}') WHERE NOT ok}), 'slot_lost', 'and so does the verdict');
$primary->safe_psql('postgres', ask($primary, q{SELECT sql FROM ft.replication_slots() WHERE slot_name = 'standby_slot'}));
is(ask($primary, q{SELECT count(*) FROM ft.replication_slots()}), '0', 'its SQL drops it');
check_becomes($primary, 'slot_lost', 'OK', 'the check is silent again');
$primary->safe_psql('postgres', q{ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_create_physical_replication_slot('standby_slot'); SELECT ft.reset_threshold(check_name) FROM ft.thresholds WHERE changed});
$primary->reload;

# --- conflicts on a standby: a query that sees rows which the primary removes
$primary->backup('again');
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init_from_backup($primary, 'again', has_streaming => 1);
$second->append_conf('postgresql.conf', q{
primary_slot_name = 'standby_slot'
max_standby_streaming_delay = 50ms
});
$second->start;
$primary->wait_for_catchup('second', 'replay', $primary->lsn('insert'));
is(ask($second, q{SELECT count(*) > 4, sum(conflicts) FROM ft.standby_conflicts()}), 't|0', 'no conflict yet');
my $reader = $second->background_psql('postgres', on_error_stop => 0);
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ledger');
$primary->safe_psql('postgres', 'DELETE FROM ledger; VACUUM ledger');
becomes($second, q{SELECT conflicts = 1 AND hint LIKE '%hot_standby_feedback%' FROM ft.standby_conflicts() WHERE cause = 'snapshot' AND datname = 'postgres'},
	'a conflict over a snapshot is counted');
$reader->quit;
my $locker = $second->background_psql('postgres', on_error_stop => 0);
$locker->query_safe('BEGIN; SELECT count(*) FROM ledger');
$primary->safe_psql('postgres', 'BEGIN; LOCK TABLE ledger; COMMIT');
becomes($second, q{SELECT conflicts = 1 FROM ft.standby_conflicts() WHERE cause = 'lock' AND datname = 'postgres'}, 'so is one over a lock');
$locker->quit;
is(ask($second, 'SELECT cause FROM ft.standby_conflicts_summary ORDER BY 1'), "lock\nsnapshot", 'the summary shows what there was');
is(ask($primary, 'SELECT count(*) FROM ft.standby_conflicts()'), '0', 'the primary has none');

# --- a standby without a primary, and one that does not replay
$second->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
check_becomes($second, 'replay_paused', 'WARNING', 'replay that is paused');
$second->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
check_becomes($second, 'replay_paused', 'OK', 'and resumed');
$primary->stop;
check_becomes($second, 'replication_disconnected', 'WARNING', 'a standby that receives nothing');
$second->append_conf('postgresql.conf', 'fault_tolerance.expected_role = primary');
$second->reload;
check_becomes($second, 'unexpected_role', 'CRITICAL', 'a standby that should be a primary');
is(ask($second, q{SELECT count(*) > 20, count(*) FILTER (WHERE check_name IN ('dead_tuple_percent', 'orchestration_paused')) FROM ft.health_check()}),
	't|0', 'checks that make no sense on a standby are left out');
is(ask($second, q{SELECT check_name, message FROM ft.health_check() WHERE status = 'UNKNOWN'}), '', 'and none of the others is unknown');

$second->stop;
done_testing();
