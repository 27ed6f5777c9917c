# ft.diagnose(): each fault made for real is found, as the root that it is and
# with what it leads to; the SQL that is proposed mends it; and a healthy server
# is silent.  Standbys and replication are in 117_diagnose_replication.pl.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# WAL files of 1 MB, so that pg_wal is soon too large; few connections, so that
# they are soon used up.  Samples are taken when this test wants them.
my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1, extra => ['--wal-segsize=1']);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance, pg_stat_statements'
max_prepared_transactions = 5
max_connections = 20
autovacuum = off
archive_mode = on
archive_command = 'true'
min_wal_size = '2MB'
max_wal_size = '24MB'
wal_keep_size = 0
deadlock_timeout = '10ms'
fault_tolerance.check_timeout = '10s'
fault_tolerance.health_timeout = 0
restart_after_crash = on
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE SCHEMA "Stat's";
CREATE EXTENSION pg_stat_statements SCHEMA "Stat's";
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA "Stat's" TO monitor;
CREATE TABLE account (id int PRIMARY KEY, balance int) WITH (autovacuum_enabled = off);
INSERT INTO account SELECT g, 100 FROM generate_series(1, 40000) AS g;
CREATE TABLE entry (id int);
VACUUM ANALYZE;
});

sub ask
{
	my ($query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
	die "query failed: $query: $err" if $rc != 0;
	return $out;
}

my $findings = q{
SELECT string_agg(format('%s>%s', finding, array_to_string(leads_to, ',')), ' ' ORDER BY finding COLLATE "C")
  FROM ft.diagnose()};

sub tick { $node->safe_psql('postgres', join('', map { "SELECT ft.sampler_tick('$_');" } @_)); }

# Wait until these, and no others, are the findings.
sub finds
{
	my ($expected, $name) = @_;
	my $last = '';

	foreach my $try (1 .. 2 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$last = ask($findings);
		last if $last eq $expected;
		select(undef, undef, undef, 0.1);
	}
	is($last, $expected, $name)
	  or diag(ask('SELECT severity, finding, symptom, cause, leads_to FROM ft.diagnose(true)'));
}

sub silent { finds('', "silence: $_[0]"); }

# Run what is proposed for a finding.
sub mend
{
	my ($finding) = @_;
	my $sql = ask("SELECT fix_sql FROM ft.diagnose() WHERE finding = '$finding'");
	$node->safe_psql('postgres', $sql);
	return $sql;
}

sub threshold { $node->safe_psql('postgres', "SELECT ft.set_threshold('$_[0]', $_[1], $_[2])"); }
sub reset_threshold { $node->safe_psql('postgres', "SELECT ft.reset_threshold('$_[0]')"); }

sub session
{
	my ($name) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe("SET application_name = '$name'");
	return $session;
}

# Start a statement that does not end soon.
sub start_in
{
	my ($session, $name, $sql) = @_;
	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '$name' AND state = 'active'")
	  or die "$name does not run";
}

# Have sessions end that may be gone already, or wait.
sub end_sessions
{
	$node->safe_psql('postgres', q{
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
	foreach my $session (@_)
	{
		eval { $session->quit };
	}
}

tick('wal', 'slots', 'memory', 'disk', 'xid clock');
silent('a server that was just started');

# --- a transaction that asks again sees sessions as they are by then
my $watcher = session('watcher');
my $newcomer = session('newcomer');
my $idle_now = q{SELECT message FROM ft.health_check('{idle_in_transaction}')};
is($watcher->query_safe("BEGIN; $idle_now"), 'no session is idle in a transaction', 'nobody is idle in a transaction');
$newcomer->query_safe('BEGIN; SELECT 1');
like($watcher->query_safe($idle_now), qr/ newcomer\) has been idle in a transaction/, 'asked again in one transaction, somebody is');
end_sessions($watcher, $newcomer);

# --- a session idle in its transaction
threshold('idle_in_transaction', 1, 900);
my $idle = session('checkout');
$idle->query_safe('BEGIN; INSERT INTO entry VALUES (1)');
finds('idle_in_transaction>', 'a session idle in its transaction');
is(ask(q{SELECT severity, evidence ->> 'application_name', evidence ->> 'has_written', affected[1] = 'session ' || (evidence ->> 'pid')
           FROM ft.diagnose()}), 'WARNING|checkout|true|t', 'and who it is');
my $late = mend('idle_in_transaction');
silent('the session was ended');
is($node->safe_psql('postgres', $late), '', 'what was proposed does nothing when it is pasted late');
reset_threshold('idle_in_transaction');
end_sessions($idle);

# --- a queued ALTER behind a statement that runs: readers wait, connections run out
my $report = session('report');
start_in($report, 'report', 'SELECT count(*), pg_sleep(3600) FROM account');
my $alter = session('migration');
start_in($alter, 'migration', 'ALTER TABLE account ADD COLUMN note text');
my @readers = map { session("reader $_") } 1 .. 13;
start_in($readers[$_], 'reader ' . ($_ + 1), 'SELECT count(*) FROM account') foreach 0 .. 12;
finds('queued_ddl>blocked_sessions,connection_saturation', 'a queued ALTER is the root');
is(ask(q{SELECT severity, evidence ->> 'query', jsonb_array_length(evidence -> 'symptoms'), cardinality(affected) >= 14 FROM ft.diagnose()}),
	'CRITICAL|ALTER TABLE account ADD COLUMN note text;|2|t', 'with its symptoms and whom it affects');
is(ask(q{SELECT string_agg(finding || ' of ' || array_to_string(caused_by, ','), '; ' ORDER BY finding) FROM ft.diagnose(true)}),
	'blocked_sessions of queued_ddl; connection_saturation of blocked_sessions; queued_ddl of ',
	'each of them by itself, with its cause');
mend('queued_ddl');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'});
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'report' AND state = 'active'}),
	'1', 'the readers go on, and so does the statement in front');
end_sessions($report, $alter, @readers);
silent('the queue is gone');

# --- the same behind a session that is idle: that one is the root
$idle = session('checkout');
$idle->query_safe('BEGIN; SELECT count(*) FROM account');
$alter = session('migration');
start_in($alter, 'migration', 'ALTER TABLE account ADD COLUMN note text');
my $reader = session('reader');
start_in($reader, 'reader', 'SELECT count(*) FROM account');
finds('idle_in_transaction>queued_ddl,blocked_sessions', 'an idle session that an ALTER waits for is the root, however young');
mend('idle_in_transaction');
end_sessions($idle, $alter, $reader);
$node->safe_psql('postgres', 'ALTER TABLE account DROP COLUMN IF EXISTS note');
silent('the idle session is gone');

# --- connections taken by an application that has no pool
my @hoard = map { session('hoarder') } 1 .. 14;
finds('connection_saturation>', 'connections that nobody uses');
like(ask('SELECT cause FROM ft.diagnose()'), qr/14, are idle sessions of application "hoarder"/, 'and whose they are');
end_sessions(@hoard);
silent('the connections are free');

# --- one that runs blocks another
my $holder = session('batch');
start_in($holder, 'batch', 'WITH u AS (UPDATE account SET balance = 1 WHERE id = 1 RETURNING 1) SELECT pg_sleep(3600) FROM u');
my $waiter = session('shop');
start_in($waiter, 'shop', 'UPDATE account SET balance = 2 WHERE id = 1');
finds('blocked_sessions>', 'a statement blocks another');
like(ask('SELECT cause FROM ft.diagnose()'), qr/^session \d+ \(\w+, batch\) holds .*account; it is active$/, 'and who holds what');
mend('blocked_sessions');
end_sessions($holder, $waiter);
silent('nobody is blocked');

# --- a statement that takes longer than ever, by pg_stat_statements
$node->safe_psql('postgres', 'SELECT pg_sleep(1)');
threshold('active_query', 2, 1800);
my $long = session('reporting');
start_in($long, 'reporting', 'SELECT pg_sleep(3600)');
finds('long_statement>', 'a long statement');
is(ask(q{SELECT evidence ->> 'query', (evidence -> 'pg_stat_statements' ->> 'calls')::int >= 1,
                (evidence -> 'pg_stat_statements' ->> 'mean_seconds')::float8 < (evidence ->> 'query_seconds')::float8 FROM ft.diagnose()}),
	'SELECT pg_sleep(3600);|t|t', 'with what it usually takes');
mend('long_statement');
silent('the statement was cancelled');
reset_threshold('active_query');
end_sessions($long);

# --- a transaction that goes on from statement to statement
threshold('transaction', 1, 3600);
my $batch = session('batch');
start_in($batch, 'batch', 'BEGIN;' . "\nSELECT pg_sleep(0.2);" x 3000 . "\nCOMMIT");
finds('long_statement>', 'a long transaction of short statements');
like(ask('SELECT cause FROM ft.diagnose()'), qr/many of them in one transaction/, 'is told from a long statement');
like(mend('long_statement'), qr/pg_terminate_backend.* AND xact_start = /, 'to cancel one of its statements would not end it');
silent('it was ended');
reset_threshold('transaction');
end_sessions($batch);

# --- many dead rows, but few for their table
$node->safe_psql('postgres', $_)
  foreach q{CREATE TABLE large WITH (autovacuum_enabled = off) AS SELECT g AS id FROM generate_series(1, 200000) AS g},
  'DELETE FROM large WHERE id <= 12000; SELECT pg_stat_force_next_flush()';
is(ask(q{SELECT n_dead_tup, severity FROM ft.dead_tuples() WHERE relname = 'large'}), '12000|WARNING', 'many dead rows');
silent('a large table has many dead rows');
$node->safe_psql('postgres', 'DROP TABLE large');

# --- dead rows that nobody keeps
$node->safe_psql('postgres', 'UPDATE account SET balance = 3 WHERE id > 1000; SELECT pg_stat_force_next_flush()');
finds('dead_tuples>', 'dead rows, as autovacuum is off');
is(ask('SELECT cause, affected FROM ft.diagnose()'), 'autovacuum is off for it|{"table public.account"}', 'and why');
mend('dead_tuples');
silent('the table was vacuumed');

# --- three faults at once are three findings; dead rows are laid to what keeps them
threshold('idle_in_transaction', 1, 900);
threshold('prepared_transaction', 1, 900);
threshold('slot_inactive', 1, 1800);
$idle = session('checkout');
$idle->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM entry');
tick('horizon') foreach 1, 2;
$node->safe_psql('postgres', $_)
  foreach 'UPDATE account SET balance = 4 WHERE id > 1000', 'VACUUM account', 'SELECT pg_stat_force_next_flush()';
$node->safe_psql('postgres', q{BEGIN; INSERT INTO entry VALUES (2); PREPARE TRANSACTION 'lost'});
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('gone', true)});
tick('slots');
finds('abandoned_slot> idle_in_transaction>xmin_horizon,dead_tuples prepared_transaction>',
	'three faults at once are three findings');
mend('idle_in_transaction');
$node->safe_psql('postgres', 'VACUUM account');
finds('abandoned_slot> prepared_transaction>', 'one is gone');
mend('prepared_transaction');
mend('abandoned_slot');
silent('all are gone');
reset_threshold($_) foreach qw(idle_in_transaction prepared_transaction slot_inactive);
end_sessions($idle);

# --- an archiver that fails: WAL piles up, and takes the disk
sub write_wal
{
	my ($files) = @_;
	$node->safe_psql('postgres', q{
SELECT pg_logical_emit_message(true, '', '');
SELECT pg_switch_wal();
} x $files);
}

$node->append_conf('postgresql.conf', q{archive_command = 'false'});
$node->reload;
write_wal(1);
$node->poll_query_until('postgres', 'SELECT failed_count > 0 FROM pg_stat_archiver');
finds('failing_archiver>', 'a failing archiver');
write_wal(70);
threshold('disk', 0.1, 100);
finds('failing_archiver>retained_wal,disk_full', 'that fills pg_wal, and with it the disk');
reset_threshold('disk');
$node->append_conf('postgresql.conf', q{archive_command = 'true'});
$node->reload;
write_wal(1);
$node->poll_query_until('postgres', 'SELECT files_waiting = 0 FROM ft.archiver()');
$node->safe_psql('postgres', 'CHECKPOINT; CHECKPOINT');
silent('all was archived');

# --- the same by a slot
threshold('slot_retained', 1e6, 1e9);
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('gone', true)});
write_wal(70);
threshold('disk', 0.1, 100);
finds('abandoned_slot>retained_wal,disk_full', 'an abandoned slot that keeps WAL, which fills the disk');
mend('abandoned_slot');
reset_threshold('disk');
reset_threshold('slot_retained');
$node->safe_psql('postgres', 'CHECKPOINT; CHECKPOINT');
silent('the slot was dropped');

# --- a session that grows
threshold('backend_growth', 50e6, 2e9);
threshold('memory', 0.1, 100);
my $leak = session('importer');
tick('memory');
$leak->query_safe(q{SELECT length(set_config('leak.of', repeat('x', 150000000), false))});
tick('memory');
finds('memory_leak>memory_short', 'a session that grows is why memory is short');
is(ask(q{SELECT evidence ->> 'application_name', (evidence ->> 'growth_bytes')::bigint > 1e8 FROM ft.diagnose()}), 'importer|t', 'and who it is');
mend('memory_leak');
finds('memory_short>', 'without it there is no cause known');
reset_threshold('memory');
silent('memory was set free');
reset_threshold('backend_growth');
end_sessions($leak);

# --- errors: a burst, with its application and its trace; those of the sessions
# that were ended above do not belong to it
$node->safe_psql('postgres', 'SELECT ft.reset_errors()');

sub errors
{
	my ($application, $sql, $number) = @_;
	$node->psql('postgres', "SET application_name = '$application';\n" . "$sql;\n" x $number, on_error_stop => 0);
}

my $trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
errors('checkout', "SELECT 1 / 0 /*traceparent='$trace'*/", 80);
finds('error_burst>', 'a burst of errors');
is(ask(q{SELECT severity, affected, evidence #>> '{most,0,sqlstate}', evidence #>> '{most,0,application_name}', evidence #>> '{last,0,traceparent}' FROM ft.diagnose()}),
	qq(WARNING|{"application checkout"}|22012|checkout|$trace), 'with its application and its trace');
$node->safe_psql('postgres', 'SELECT ft.reset_errors()');
silent('the errors are forgotten');

# --- errors that are retried at once
errors('transfer', q{DO $$BEGIN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; END$$}, 90);
errors('checkout', 'SELECT 1 / 0', 10);
finds('retry_storm>error_burst', 'an attack of retries');
is(ask(q{SELECT affected[1], evidence ->> 'sqlstate', (evidence ->> 'errors')::int, (evidence #>> '{statement,times}')::int > 50 FROM ft.diagnose()}),
	'application transfer|40001|90|t', 'and whose they are');
$node->safe_psql('postgres', 'SELECT ft.reset_errors()');
silent('the retries are forgotten');

# --- a failure that was given up
my $failure = $node->safe_psql('postgres', q{SELECT ft.record_failure(ft.create_execution(), 'the bank is closed', '22023')});
$node->safe_psql('postgres', "UPDATE ft.orchestration_failures SET given_up_at = now(), recovered = false WHERE failure_id = '$failure'");
finds('failed_executions>', 'a failure that was given up');
is(ask('SELECT cause FROM ft.diagnose()'), 'the bank is closed', 'and what failed');
$node->safe_psql('postgres', 'DELETE FROM ft.orchestration_executions');
silent('the execution is gone');

# --- on the way to wraparound; a snapshot of just now is not why
threshold('freeze_age', 0, 1000000);
$idle = session('report');
$idle->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM entry');
finds(join(' ', ('wraparound>') x $node->safe_psql('postgres', 'SELECT count(*) FROM pg_database')), 'databases on their way to wraparound');
like(ask(q{SELECT symptom FROM ft.diagnose() WHERE affected = '{"database postgres"}'}), qr/ is at \d+ % of autovacuum_(multixact_)?freeze_max_age$/, 'and by what');
end_sessions($idle);
reset_threshold('freeze_age');
silent('they are far from it');

# --- a node that is not what it should be
$node->append_conf('postgresql.conf', 'fault_tolerance.expected_role = standby');
$node->reload;
finds('unexpected_role>', 'a node that is not what it is expected to be');
$node->append_conf('postgresql.conf', 'fault_tolerance.expected_role = primary');
$node->reload;
silent('it is what it should be');

# --- a deadlock; it is told for a minute, so it comes last
my @pair = (session('left'), session('right'));
$pair[$_]->query_safe('BEGIN; UPDATE account SET balance = 5 WHERE id = ' . ($_ + 1)) foreach 0, 1;
$pair[0]->query_until(qr/started/, "\\echo started\nUPDATE account SET balance = 5 WHERE id = 2;\n");
$pair[1]->query_until(qr/started/, "\\echo started\nUPDATE account SET balance = 5 WHERE id = 1;\n");
$node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM ft.deadlocks()');
end_sessions(@pair);
finds('deadlocks>', 'a deadlock');
is(ask(q{SELECT affected, jsonb_array_length(evidence -> 'last'), evidence #>> '{last,0,query}' ~ 'UPDATE account' FROM ft.diagnose()}),
	'{"application left","application right"}|2|t', 'with who took part');

# --- not preloaded: what can be told is, and what cannot be is said
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->adjust_conf('postgresql.conf', 'fault_tolerance.expected_role', 'any');
$node->restart;
$node->safe_psql('postgres', q{BEGIN; INSERT INTO entry VALUES (3); PREPARE TRANSACTION 'lost'});
threshold('prepared_transaction', 0, 900);
finds('cannot_tell> prepared_transaction>', 'without the preload');
is(ask(q{SELECT severity, symptom, affected FROM ft.diagnose() WHERE finding = 'cannot_tell'}),
	'UNKNOWN|cannot tell: fault_tolerance is not preloaded|{memory_leak,deadlocks,disk_full,retry_storm,error_burst}',
	'it is said what cannot be told');
mend('prepared_transaction');
finds('cannot_tell>', 'nothing else is wrong');

$node->stop;
done_testing();
