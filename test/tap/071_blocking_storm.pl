# A thousand sessions queue for one row, and all check for deadlocks: for many
# seconds the lock table is locked nearly without a gap.  Whoever asks for it
# in turn, as pg_locks does, waits for the end of it.  ft.blocking_chains()
# answers within a second, and where it had to do without says so.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sessions = 1000;

my $node = PostgreSQL::Test::Cluster->new('storm');
$node->init;
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
max_connections = 1100
shared_buffers = '64MB'
deadlock_timeout = '1s'
autovacuum = off
log_min_messages = fatal
log_lock_waits = off
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100);
});

my $script = $node->basedir . '/update.sql';
append_to_file($script, "UPDATE account SET balance = balance + 1 WHERE id = 1;\n");

my $holder = $node->background_psql('postgres');
$holder->query_safe("SET application_name = 'holder'");
$holder->query_safe('BEGIN');
$holder->query_safe('UPDATE account SET balance = balance + 1 WHERE id = 1');

# One session asks all the time: a new one could not even connect, since that
# takes locks on shared catalogs.
my $asker = $node->background_psql('postgres');
$asker->query_safe(q{
SET client_min_messages = warning;
CREATE TEMP TABLE answers (rows int, roots int, hard int, named int, source text, took float8, storm bool);
CREATE FUNCTION pg_temp.ask(timeout text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    -- read from shared memory, without any lock
    storm bool := (SELECT count(*) > 100 FROM pg_stat_get_activity(NULL) WHERE wait_event = 'LockManager');
BEGIN
    PERFORM set_config('fault_tolerance.lock_partition_timeout', timeout, true);
    started := clock_timestamp();
    INSERT INTO answers
    SELECT count(*), count(*) FILTER (WHERE level = 0 AND waiting_pid IS NULL),
           count(*) FILTER (WHERE block_kind = 'hard'), count(usename), min(source),
           extract(epoch FROM clock_timestamp() - started), storm
      FROM ft.blocking_chains();
END $$});
$asker->query_safe(q{SELECT pg_temp.ask('200ms')});
$asker->query_safe('TRUNCATE answers');

my $pgbench = IPC::Run::start(
	[ 'env', 'PGAPPNAME=pgbench', 'pgbench', '-n', '-c', $sessions, '-t', 1, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);

# All of them are in the queue ...
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
my $queued = 0;
while (time() < $limit && $queued < $sessions + 1)
{
	$queued = $asker->query_safe('SELECT count(*) FROM ft.blocking_chains()');
}
is($queued, $sessions + 1, 'all are in the queue') or diag($err);
$asker->query_safe('TRUNCATE answers');

# ... and ask for the lock table by hundreds.  Ask with both bounds until the
# answers that are to be shown were seen.
my $seen = 0;
while (time() < $limit)
{
	$asker->query_safe(q{SELECT pg_temp.ask('200ms')});
	$asker->query_safe(q{SELECT pg_temp.ask('0')});
	$seen = $asker->query_safe(
		q{SELECT count(*) FROM answers WHERE storm AND source = 'wait events'});
	last if $seen >= 5;
	select(undef, undef, undef, 0.05);
}
cmp_ok($seen, '>=', 5, 'the lock table was not to be had in the storm') or diag($err);

is($asker->query_safe('SELECT count(*) FROM answers WHERE storm AND took > 1'),
	'0', 'every answer came within a second');
diag($asker->query_safe(q{
SELECT 'storm: ' || string_agg(format('%s answers from the %s, at most %s ms', n, source, worst), '; ')
  FROM (SELECT source, count(*) AS n, round(1000 * max(took)::numeric) AS worst
          FROM answers WHERE storm GROUP BY source) s}));
is( $asker->query_safe(q{
SELECT count(*) FROM answers WHERE storm AND rows <> 1001 AND source = 'lock manager'}),
	'0',
	'an answer from the lock table names all sessions');
is( $asker->query_safe(q{
SELECT bool_and(rows = 1001), bool_and(roots = 1), bool_and(hard >= 1)
  FROM answers WHERE storm AND source = 'wait events'}),
	't|t|t',
	'one from wait events names who waits, and the holder of the transaction');
is($asker->query_safe('SELECT bool_and(named = rows) FROM answers WHERE storm'),
	't', 'names known before are named, without a look into shared catalogs');

# What it lacked, it says.
my $said = '';
for (my $try = 0; $try < 100 && $said eq ''; $try++)
{
	$asker->{stderr} = '';
	$asker->query(q{SET client_min_messages = notice; SET fault_tolerance.lock_partition_timeout = 0; SELECT count(*) FROM ft.blocking_chains() WHERE source = 'wait events'});
	$said = $asker->{stderr} if $asker->{stderr} =~ /NOTICE/;
}
like(
	$said,
	qr/NOTICE:  the lock table was not to be had within 0 ms.*DETAIL:  Who holds a lock is known only of locks on transactions.*HINT:/s,
	'a notice says what the answer lacks');

$pgbench->kill_kill;
$asker->{run}->kill_kill;
$holder->{run}->kill_kill;
$node->stop('immediate');

done_testing();
