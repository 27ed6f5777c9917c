# A thousand sessions queue for one row, and all check for deadlocks: for many
# seconds the lock table is locked nearly without a gap.  Whoever asks for it
# in turn, as pg_locks does, waits for the end of it.  ft.blocking_chains()
# answers within a second, and where it had to do without says so.
use strict;
use warnings;

use List::Util qw(min);
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
max_prepared_transactions = 5
shared_buffers = '64MB'
deadlock_timeout = '10min'
autovacuum = off
log_min_messages = fatal
log_lock_waits = off
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100), (2, 100);
CREATE TABLE other (id int);
BEGIN;
UPDATE account SET balance = 1 WHERE id = 2;
PREPARE TRANSACTION 'payment';
});

# They connect before it, wait at a gate, and are told when to check: the storm
# would keep out whoever comes late.  What they run later they have planned.
my $gate = 4711;
$node->safe_psql('postgres', 'CREATE TABLE storm (at timestamptz)');
my $script = $node->basedir . '/update.sql';
append_to_file(
	$script, qq{
EXPLAIN SELECT set_config('deadlock_timeout', '1s', false) FROM storm WHERE at > now() \\;
EXPLAIN UPDATE account SET balance = balance + 1 WHERE id = 1;
SELECT pg_advisory_lock_shared($gate) \\; SELECT pg_advisory_unlock_shared($gate);
SELECT set_config('deadlock_timeout', greatest(1, 1000 * extract(epoch FROM at - clock_timestamp()))::int::text, false)
  FROM storm;
UPDATE account SET balance = balance + 1 WHERE id = 1;
});

my $holder = $node->background_psql('postgres');
$holder->query_safe("SET application_name = 'holder'");
$holder->query_safe('BEGIN');
$holder->query_safe('UPDATE account SET balance = balance + 1 WHERE id = 1');

# Beside the queue, one wait for each kind of holder: a prepared transaction, a
# virtual transaction, and an advisory lock, which does not say who holds it.
my $keeper = $node->background_psql('postgres');
$keeper->query_safe("SET application_name = 'keeper'");
$keeper->query_safe('SELECT pg_advisory_lock(9)');
$keeper->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
$keeper->query_safe('SELECT count(*) FROM other');
my @scenes;
foreach my $scene (
	[ 'scene snapshot', 'CREATE INDEX CONCURRENTLY ON other (id)' ],
	[ 'scene prepared', 'UPDATE account SET balance = 2 WHERE id = 2' ],
	[ 'scene advisory 1', 'SELECT pg_advisory_lock(9)' ],
	[ 'scene advisory 2', 'SELECT pg_advisory_lock(9)' ])
{
	my ($name, $sql) = @$scene;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_safe("SET application_name = '$name'");
	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	$node->poll_query_until(
		'postgres', qq{
SELECT count(*) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE application_name = '$name' AND NOT granted AND waitstart IS NOT NULL})
	  or die "$name does not wait";
	push @scenes, $session;
}

# One session asks all the time: a new one could not even connect, since that
# takes locks on shared catalogs.
my $asker = $node->background_psql('postgres');
$asker->query_safe(q{
SET client_min_messages = warning;
CREATE TEMP TABLE answers (rows int, roots int, hard int, named int, scenes text,
                           source text, took float8, storm bool);
CREATE FUNCTION pg_temp.ask(timeout text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    -- read from shared memory, without any lock
    storm bool := (SELECT count(*) > 100 FROM pg_stat_get_activity(NULL) WHERE wait_event = 'LockManager');
BEGIN
    PERFORM set_config('fault_tolerance.lock_partition_timeout', timeout, true);
    started := clock_timestamp();
    INSERT INTO answers
    WITH c AS MATERIALIZED (SELECT * FROM ft.blocking_chains())
    SELECT count(*) FILTER (WHERE application_name IN ('pgbench', 'holder')),
           count(*) FILTER (WHERE application_name = 'holder' AND level = 0 AND waiting_pid IS NULL),
           count(*) FILTER (WHERE application_name = 'pgbench' AND block_kind = 'hard'),
           count(*) FILTER (WHERE application_name IN ('pgbench', 'holder') AND usename IS NOT NULL),
           (SELECT string_agg(format('%s: %s', w.application_name,
                                     COALESCE(b.application_name, w.prepared_gid, 'not known') || COALESCE(' ' || w.block_kind, '')),
                              ', ' ORDER BY w.application_name)
              FROM c w LEFT JOIN c b ON b.pid = w.blocker_pid AND b.pid <> 0
             WHERE w.application_name LIKE 'scene %'),
           min(source), extract(epoch FROM clock_timestamp() - started), storm
      FROM c;
END $$});
$asker->query_safe(q{SELECT pg_temp.ask('200ms')});
$asker->query_safe('TRUNCATE answers');
$asker->query_safe("SELECT pg_advisory_lock($gate)");

my $pgbench = IPC::Run::start(
	[ 'env', 'PGAPPNAME=pgbench', 'pgbench', '-n', '-c', $sessions, '-t', 1, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $out, '2>', \my $err);

my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;

# Ask until all of them wait for this.
sub all_wait
{
	my ($blocked) = @_;
	my $waiting = 0;

	while (time() < $limit && $waiting < $sessions)
	{
		$waiting = $asker->query_safe(
			qq{SELECT count(*) FROM ft.blocking_chains() WHERE application_name = 'pgbench' AND $blocked});
		select(undef, undef, undef, 0.05);
	}
	return $waiting;
}

# All of them are in the queue ...
is(all_wait("locktype = 'advisory'"), $sessions, 'all are there') or diag($err);
$asker->query_safe(q{INSERT INTO storm VALUES (clock_timestamp() + '15 s')});
$asker->query_safe("SELECT pg_advisory_unlock($gate)");
is(all_wait("locktype <> 'advisory'"), $sessions, 'all are in the queue') or diag($err);
$asker->query_safe('TRUNCATE answers');

# ... and ask for the lock table by hundreds.  Ask with both bounds until the
# answers that are to be shown were seen, or the storm is over.  What is said
# with them may arrive with the next.
my $said = '';

sub hear
{
	my $answer = $asker->query($_[0]);

	$said .= $asker->{stderr};
	$asker->{stderr} = '';
	return $answer;
}

my $seen = 0;
hear('SET client_min_messages = notice');
while (time() < $limit)
{
	hear(q{SELECT pg_temp.ask('200ms')});
	hear(q{SELECT pg_temp.ask('0')});
	$seen = hear(q{SELECT count(*) FROM answers WHERE storm AND source = 'wait events'});
	last if $seen >= 3;
	# for a storm that comes late the whole time, for more of it a little
	$limit = min($limit, time() + 10) if $seen >= 1;
	select(undef, undef, undef, 0.005);
}
hear('SET client_min_messages = warning; SELECT 1');
cmp_ok($seen, '>=', 1, 'the lock table was not to be had in the storm') or diag($err);

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
is( $asker->query_safe(q{
SELECT DISTINCT scenes FROM answers WHERE storm AND source = 'lock manager'}),
	'scene advisory 1: keeper hard, scene advisory 2: keeper hard, scene prepared: payment hard, scene snapshot: keeper hard',
	'all kinds of holders are named from the lock table');
is( $asker->query_safe(q{
SELECT DISTINCT scenes FROM answers WHERE storm AND source = 'wait events'}),
	'scene advisory 1: not known, scene advisory 2: scene advisory 1 soft, scene prepared: payment hard, scene snapshot: keeper hard',
	'from wait events those of which the lock itself tells');
is($asker->query_safe('SELECT bool_and(named = rows) FROM answers WHERE storm'),
	't', 'names known before are named, without a look into shared catalogs');

# What it lacked, it says.
like(
	$said,
	qr/NOTICE:  the lock table was not to be had within 0 ms.*DETAIL:  Who holds a lock is known only of locks on transactions.*HINT:/s,
	'a notice says what the answer lacks');

$pgbench->kill_kill;
$_->{run}->kill_kill foreach $asker, $holder, $keeper, @scenes;
$node->stop('immediate');

done_testing();
