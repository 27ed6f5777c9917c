# ft.health_check() on a server with its workers: silent where all is well, and
# each check that takes other sessions, time or a restart fires when its fault
# is made.  A cancel and a timeout of the user's end it, a check that hangs does
# not.  What one session can make is in sql/health.sql.
use strict;
use warnings FATAL => 'all';
use Time::HiRes qw(time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('node');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.rate_interval = 100ms
fault_tolerance.slow_statement_threshold = -1
fault_tolerance.check_timeout = 10s
fault_tolerance.health_timeout = 0
fsync = on
max_connections = 20
max_prepared_transactions = 5
log_lock_waits = off
deadlock_timeout = 50ms
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION fault_tolerance;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE TABLE a (i int); CREATE TABLE b (i int);
});

sub ask
{
	my ($query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
	die "query failed: $query: $err" if $rc != 0;
	return $out;
}

sub becomes
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name)
	  or diag($node->safe_psql('postgres', 'TABLE ft.health_check_summary'));
}

sub check_becomes
{
	my ($check, $status, $name) = @_;
	becomes("SELECT bool_or(status = '$status') FROM ft.health_check('{$check}')", $name);
}

sub threshold
{
	my ($check, $warning, $critical) = @_;
	$node->safe_psql('postgres', "SELECT ft.set_threshold('$check', $warning, $critical)");
}

# What a machine that is busy with tests may say of itself is not ours.
my $machine = q{('disk', 'memory', 'load', 'requested_checkpoints')};

# --- all is well
becomes(qq{SELECT count(*) > 40 AND bool_and(status = 'OK') FROM ft.health_check() WHERE check_name NOT IN $machine}, 'all is well');
is(ask(qq{SELECT check_name, status, message FROM ft.health_check() WHERE check_name NOT IN $machine AND status <> 'OK'}), '', 'for a plain monitor too');
is(ask(qq{SELECT count(*) FROM ft.check_fault_tolerance_alerts() WHERE alert_name NOT IN $machine}), '0', 'no alert');
is(ask(q{SELECT status, ok, node, accepts_writes, critical, warning, "unknown", worst_check FROM ft.health('{connections,lock_table,worker,sampler}')}),
	'OK|t|primary|t|0|0|0|', 'the verdict');
is(ask(q{SELECT string_agg(check_name, ',') FROM ft.health_check('{disk,memory,load}') WHERE value IS NULL}), '', 'the figures of the machine are known');

# --- the machine: any value is too much
threshold($_, 0.000001, 1e9) foreach 'disk', 'memory', 'load';
is(ask(q{SELECT string_agg(DISTINCT check_name, ',' ORDER BY check_name) FROM ft.health_check('{disk,memory,load}') WHERE status = 'WARNING' AND hint IS NOT NULL}),
	'disk,load,memory', 'the checks of the machine fire');
$node->safe_psql('postgres', 'SELECT ft.reset_threshold(check_name) FROM ft.thresholds WHERE changed');

# --- sessions
my $idle = $node->background_psql('postgres');
$idle->query_safe('BEGIN; LOCK TABLE a');
my $blocked = $node->background_psql('postgres', on_error_stop => 0);
$blocked->query_until(qr/start/, "\\echo start\nINSERT INTO a VALUES (1);\n");
threshold('idle_in_transaction', 0.1, 10000);
threshold('transaction', 0.1, 10000);
threshold('active_query', 0.1, 10000);
threshold('lock_wait', 0.1, 10000);
check_becomes('idle_in_transaction', 'WARNING', 'a session idle in a transaction');
check_becomes('transaction', 'WARNING', 'an old transaction');
check_becomes('active_query', 'WARNING', 'a long statement');
check_becomes('lock_wait', 'WARNING', 'a long wait for a lock');
check_becomes('blocked_sessions', 'WARNING', 'a session that is blocked');
like(ask(q{SELECT message FROM ft.health_check('{lock_wait}')}), qr/^\d+ has been waiting for \d+ for /, 'who waits for whom');
is(ask(q{SELECT object = (SELECT pid::text FROM pg_stat_activity WHERE state = 'idle in transaction'), unit FROM ft.health_check('{idle_in_transaction}')}),
	't|s', 'whose transaction it is');
$idle->query_safe('COMMIT');
$blocked->quit;
becomes(q{SELECT bool_and(status = 'OK') FROM ft.health_check('{idle_in_transaction,active_query,lock_wait,blocked_sessions}')}, 'silent when they are over');
$node->safe_psql('postgres', 'SELECT ft.reset_threshold(check_name) FROM ft.thresholds WHERE changed');

# --- connections: 17 of 20 are for all, 3 for superusers
my @crowd = map { $node->background_psql('postgres', extra_params => [ '-U', 'monitor' ]) } 1 .. 13;
check_becomes('connections', 'WARNING', 'many connections');
is(ask(q{SELECT status FROM ft.health_check('{superuser_reserved}')}), 'OK', 'some are left');
push @crowd, map { $node->background_psql('postgres') } 1 .. 4;
is($node->safe_psql('postgres', q{SELECT string_agg(check_name || ' ' || status, ',' ORDER BY check_name) FROM ft.health_check('{connections,superuser_reserved}')}),
	'connections CRITICAL,superuser_reserved CRITICAL', 'only superusers can connect');
$_->quit foreach @crowd;
check_becomes('connections', 'OK', 'silent when they are gone');

# --- a deadlock, and an error
my @locker = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
$locker[0]->query_safe('BEGIN; LOCK TABLE a');
$locker[1]->query_safe('BEGIN; LOCK TABLE b');
$locker[0]->query_until(qr/start/, "\\echo start\nLOCK TABLE b;\nCOMMIT;\n");
$locker[1]->query_until(qr/start/, "\\echo start\nLOCK TABLE a;\nCOMMIT;\n");
check_becomes('deadlocks', 'WARNING', 'a deadlock');
$_->quit foreach @locker;
$node->psql('postgres', 'SELECT 1 / 0' ) foreach 1 .. 3;
threshold('error_rate', 0.02, 100);
check_becomes('error_rate', 'WARNING', 'errors');
like(ask(q{SELECT message FROM ft.health_check('{error_rate}')}), qr/errors in 00:\d\d:\d\d, most 22012 \(division_by_zero\)/, 'and which');

# --- checkpoints that are asked for
$node->safe_psql('postgres', 'CHECKPOINT') foreach 1 .. 5;
check_becomes('requested_checkpoints', 'WARNING', 'many checkpoints');

# --- what keeps vacuum back
$node->safe_psql('postgres', 'SELECT ft.reset_threshold(check_name) FROM ft.thresholds WHERE changed');
my $snapshot = $node->background_psql('postgres');
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
threshold('xmin_horizon', 0.01, 10000);
$node->safe_psql('postgres', 'INSERT INTO a VALUES (1)');
check_becomes('xmin_horizon', 'WARNING', 'a snapshot that keeps vacuum back');
like(ask(q{SELECT hint FROM ft.health_check('{xmin_horizon}')}), qr/pg_terminate_backend|pg_cancel_backend/, 'with the SQL that ends it');
$snapshot->quit;
$node->safe_psql('postgres', 'SELECT ft.reset_threshold(check_name) FROM ft.thresholds WHERE changed');
threshold($_, 0, 100) foreach 'xid_age', 'multixact_age', 'freeze_age';
is(ask(q{SELECT string_agg(DISTINCT check_name, ',' ORDER BY check_name) FROM ft.health_check('{xid_age,multixact_age,freeze_age}') WHERE status = 'WARNING'}),
	'freeze_age,multixact_age,xid_age', 'the ages of databases');
$node->safe_psql('postgres', 'SELECT ft.reset_threshold(check_name) FROM ft.thresholds WHERE changed');

# --- settings
$node->safe_psql('postgres', q{ALTER SYSTEM SET max_connections = 21; ALTER SYSTEM SET full_page_writes = off; ALTER SYSTEM SET autovacuum = off});
$node->reload;
check_becomes('pending_restart', 'WARNING', 'a setting that waits for a restart');
like(ask(q{SELECT message FROM ft.health_check('{pending_restart}')}), qr/: max_connections$/, 'which it is');
check_becomes('unsafe_settings', 'CRITICAL', 'full_page_writes is off');
check_becomes('autovacuum', 'CRITICAL', 'autovacuum is off');
is(ask(q{SELECT ok, critical FROM ft.health('{unsafe_settings,autovacuum,lock_table}')}), 'f|2', 'the verdict is bad');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET ALL});
$node->reload;
becomes(q{SELECT bool_and(status = 'OK') FROM ft.health_check('{unsafe_settings,autovacuum,pending_restart}')}, 'silent when they are back');

# --- workers
my $sampler = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'fault_tolerance sampler'});
kill 'STOP', $sampler;
check_becomes('sampler', 'WARNING', 'a sampler that does not run');
kill 'CONT', $sampler;
check_becomes('sampler', 'OK', 'silent when it does');

# --- a restored database
$node->safe_psql('postgres', q{SELECT ft.create_execution(); UPDATE ft.installations SET system_identifier = 1});
is($node->safe_psql('postgres', q{SELECT status, hint LIKE '%ft.adopt()%' FROM ft.health_check('{orchestration_paused}')}), 'WARNING|t', 'a database from elsewhere');
$node->safe_psql('postgres', 'SELECT ft.adopt()');
is($node->safe_psql('postgres', q{SELECT status FROM ft.health_check('{orchestration_paused}')}), 'OK', 'taken over');

# --- what hangs, and what the user ends: one of the checks sleeps
$node->safe_psql('postgres', q{
	CREATE FUNCTION ft.sleepy() RETURNS text LANGUAGE sql AS 'SELECT pg_sleep(1000)::text';
	CREATE OR REPLACE FUNCTION ft.paused_reason() RETURNS text LANGUAGE sql STABLE AS 'SELECT ft.sleepy()';
});
my $start = time;
is($node->safe_psql('postgres', q{SET fault_tolerance.check_timeout = '100ms'; SELECT check_name, status, message FROM ft.health_check('{orchestration_paused,lock_table}') WHERE status <> 'OK'}),
	'orchestration_paused|UNKNOWN|cannot be told: no answer within 100 ms', 'a check that hangs is unknown');
cmp_ok(time - $start, '<', 60, 'and costs its time alone');

my $asking = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $asking->query('SELECT pg_backend_pid()');
$asking->query_until(qr/start/, "SET fault_tolerance.check_timeout = '1h';\n\\echo start\nSELECT 'finished ' || count(*) FROM ft.health_check();\n");
becomes("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $pid", 'it is asking');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
becomes("SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid", 'a cancel ends the whole');
is($asking->query('SELECT 1'), '1', 'and the session goes on');
like($asking->{stderr}, qr/canceling statement due to user request/, 'by the cancel of the user');
unlike($asking->{stdout} // '', qr/finished/, 'without an answer');
$asking->quit;

# A cancel that comes while the time of a check is over as well, many times: it
# is the user's, or it came too late; the answer is never a whole one with the
# cancel forgotten and the session never in a state that nobody asked for.
my $racing = $node->background_psql('postgres', on_error_stop => 0);
$pid = $racing->query('SELECT pg_backend_pid()');
$racing->query_safe("SET fault_tolerance.check_timeout = '20ms'");
my $lost = 0;
foreach my $round (1 .. 20)
{
	$racing->{stderr} = '';
	$racing->query_until(qr/start/, "\\echo start\nSELECT count(*) FROM ft.health_check('{orchestration_paused}'), pg_sleep(1000);\n");
	$node->safe_psql('postgres', "SELECT pg_sleep(random() * 0.03), pg_cancel_backend($pid)");
	$node->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid") or $lost++;
}
is($lost, 0, 'no cancel is lost in a race with the time of a check');
is($racing->query('SELECT 2'), '2', 'and the session goes on');
$racing->quit;

my ($rc, $out, $err) = $node->psql('postgres', q{SET fault_tolerance.check_timeout = '1h'; SET statement_timeout = '100ms'; SELECT count(*) FROM ft.health_check('{orchestration_paused}')});
like($err, qr/canceling statement due to statement timeout/, 'a timeout of the user ends it');
($rc, $out, $err) = $node->psql('postgres', q{SET fault_tolerance.check_timeout = '100ms'; SET statement_timeout = '1h'; SELECT status FROM ft.health_check('{orchestration_paused}')});
is($out, 'UNKNOWN', 'a longer one does not');

# --- without workers
$node->append_conf('postgresql.conf', 'fault_tolerance.workers = off');
$node->restart;
is(ask(q{SELECT check_name, status FROM ft.health_check('{worker,sampler}')}), "worker|WARNING\nsampler|UNKNOWN", 'workers that are off');

$node->stop;
done_testing();
