# Slow statements where it takes several sessions and servers: time that is
# spent before the executor starts and after it ends, in both protocols; how a
# statement ends that is not let finish; a standby; no preload.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
fault_tolerance.slow_statement_threshold = 300ms
autovacuum = off
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account SELECT g, 100 FROM generate_series(1, 10) g;
});
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);

# Start a statement in a session of its own, and come back when it has been
# waiting for half a second, on something of this kind.
my $count = 0;

sub wait_in
{
	my ($sql, $wait) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $name = 'waiter_' . $count++;

	$session->query_safe("SET application_name = '$name'");
	$session->query_until(qr/started/, "\\echo started\n$sql\n");
	$node->poll_query_until(
		'postgres', qq{
SELECT count(*) > 0 FROM pg_stat_activity
 WHERE application_name = '$name' AND wait_event ~ '$wait'
   AND clock_timestamp() - state_change > interval '0.5 s'}) or die "$name does not wait";
	return $session;
}

# What there is of statements like this.
sub kept
{
	my ($columns, $query) = @_;
	my $sql = "SELECT $columns FROM (SELECT * FROM ft.slow_statements() WHERE query LIKE '$query' ORDER BY number) AS s";

	return $node->safe_psql('postgres', $sql);
}

#
# A wait for a lock comes before the executor starts.
#
my $holder = $node->background_psql('postgres', on_error_stop => 0);
$holder->query_safe('BEGIN; LOCK TABLE account');
my $waiter = wait_in('SELECT 1 AS parsed FROM account WHERE id = 1;', 'relation');
$node->safe_psql('postgres', q{SELECT ft.sampler_tick('history')}) for 1 .. 2;
my $holder_pid = $holder->query_safe('SELECT pg_backend_pid()');
$holder->query_safe('COMMIT');
$waiter->quit;
is( $node->safe_psql(
		'postgres', q{
SELECT samples, waits, blocker_pids FROM ft.slow_statement_waits() WHERE query LIKE 'SELECT 1 AS parsed%'}),
	"2|Lock:relation 2|{$holder_pid}", 'what the sampler saw it wait for, and who blocked it');
is(kept(q{duration BETWEEN '0.5 s' AND '2 min', rows, failed}, 'SELECT 1 AS parsed%'),
	't|1|f', 'a wait for a lock while parsing counts');

# The same in the extended protocol, where that is a message of its own; what
# the client does in between is none of ours.
my $script = $node->basedir . '/extended.sql';
append_to_file($script, "SELECT 2 AS extended FROM account WHERE id = 1;\n\\sleep 600 ms\nSELECT 3 AS quick FROM account WHERE id = 1;\n");
foreach my $protocol ('extended', 'prepared')
{
	$holder->query_safe('BEGIN; LOCK TABLE account');
	my $pgbench = IPC::Run::start(
		[ 'pgbench', '-n', '-t', 1, '-M', $protocol, '-f', $script, $node->connstr('postgres') ],
		'<', \undef, '>', \my $out, '2>', \my $err);
	$node->poll_query_until(
		'postgres', q{
SELECT count(*) > 0 FROM pg_stat_activity
 WHERE query ~ 'AS extended' AND wait_event = 'relation'
   AND clock_timestamp() - state_change > interval '0.5 s'}) or die 'pgbench does not wait';
	$holder->query_safe('COMMIT');
	$pgbench->finish or die "pgbench failed: $err";
	is(kept(q{duration BETWEEN '0.5 s' AND '2 min', rows}, 'SELECT 2 AS extended%'),
		't|1', "so it does in the extended protocol ($protocol)");
	is(kept('1', 'SELECT 3 AS quick%'), '', 'and what the client waited by itself does not');
	$node->safe_psql('postgres', 'SELECT ft.reset_slow_statements()');
}

# A limit ends it while it is being parsed.
$holder->query_safe('BEGIN; LOCK TABLE account');
$node->psql('postgres', q{SET lock_timeout = '600ms'; SELECT 4 AS limited FROM account});
$holder->query_safe('COMMIT');
is(kept(q{duration BETWEEN '0.5 s' AND '2 min', failed, sqlstate}, 'SELECT 4 AS limited%'),
	't|t|55P03', 'a statement that is ended while it is parsed is kept with its error');

#
# The wait for a synchronous standby comes after the executor has ended.
#
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'standby'");
$node->reload;
$standby->stop;
my $commit_alone = wait_in('INSERT INTO account VALUES (11, 1);', 'SyncRep');
my $commit_block = wait_in("BEGIN;\nINSERT INTO account VALUES (12, 1);\nCOMMIT;", 'SyncRep');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->reload;
$_->quit foreach ($commit_alone, $commit_block);
is(kept(q{duration > '0.5 s', commit_duration > '0.5 s', rows, failed}, 'INSERT INTO account VALUES (11%'),
	't|t|1|f', 'a statement waits for its commit');
is(kept(q{duration > '0.5 s', commit_duration > '0.5 s'}, 'INSERT INTO account VALUES (12%'),
	'', 'in a transaction it does not');
is(kept(q{duration > '0.5 s', commit_duration > '0.5 s'}, 'COMMIT'), 't|t', 'COMMIT does');
$standby->start;
$node->wait_for_catchup($standby);

#
# A session that is ended: in a statement it was slow; idle it was not.
#
$waiter = wait_in('SELECT pg_sleep(600) AS ended;', 'PgSleep');
my $idle = $node->background_psql('postgres', on_error_stop => 0);
$idle->query_safe("SET application_name = 'idle'");
$idle->query_safe('BEGIN; SELECT 5 AS idle');
$node->poll_query_until(
	'postgres', q{
SELECT count(*) > 0 FROM pg_stat_activity
 WHERE application_name = 'idle' AND clock_timestamp() - state_change > interval '0.5 s'})
  or die 'not idle';
$node->safe_psql('postgres',
	q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name ~ '^(waiter_|idle)'});
is(kept('failed, sqlstate', 'SELECT pg_sleep(600)%'), 't|57P01', 'a statement whose session is ended is kept');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ft.slow_statements() WHERE application_name = 'idle'}),
	0, 'an idle session that is ended leaves none');
eval { $_->quit } foreach ($waiter, $idle);

# A crash empties the ring, and nothing else.
$node->stop('immediate');
$node->start;
is(kept('count(*)', '%'), 0, 'empty after a crash');
$node->safe_psql('postgres', 'SELECT pg_sleep(0.4)');
is(kept('count(*)', 'SELECT pg_sleep(0.4)'), 1, 'and filled again');

#
# On a standby.
#
$standby->safe_psql('postgres', 'SELECT pg_sleep(0.4) AS here');
is($standby->safe_psql('postgres', q{SELECT query, failed, datname FROM ft.slow_statements() WHERE query ~ 'here'}),
	'SELECT pg_sleep(0.4) AS here|f|postgres', 'a standby keeps its own');

#
# Many at once: none is lost, and each is whole.
#
$node->safe_psql('postgres', q{SELECT ft.reset_slow_statements()});
my $before = $node->safe_psql('postgres',
	q{SET fault_tolerance.slow_statement_threshold = 0; SELECT 1; SELECT max(number) FROM ft.slow_statements()});
$before = (split /\n/, $before)[-1];
{
	local $ENV{PGOPTIONS} = '-c fault_tolerance.slow_statement_threshold=0';
	$node->pgbench(
		'--no-vacuum --client=8 --jobs=2 --transactions=200', 0,
		[qr/number of transactions actually processed: 1600/], [qr/^$/], 'eight sessions',
		{ '095_many' => q{SELECT repeat(:client_id::text, 40) AS digits;} });
}
my $after = $node->safe_psql('postgres', q{SELECT max(number) FROM ft.slow_statements()});
# and the statement that asked for the number before
is($after - $before, 1600 + 1, 'each is counted');
is(kept('count(*), bool_and(rows = 1)', 'SELECT repeat(%'), '256|t', 'the newest are there, whole');

#
# Without the preload.
#
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
my ($result, $stdout, $stderr) = $node->psql('postgres', 'SELECT * FROM ft.slow_statements()');
like($stderr, qr/ft.slow_statements\(\) needs fault_tolerance to be preloaded/, 'says what it needs');
($result, $stdout, $stderr) = $node->psql('postgres', 'SELECT * FROM ft.lock_order_conflicts()');
like($stderr, qr/ft.lock_order_conflicts\(\) needs fault_tolerance to be preloaded/, 'so does the other');
is( $node->safe_psql(
		'postgres',
		q{BEGIN; SELECT ft.lock_in_order(ARRAY[2, 1]), ft.lock_in_order(ARRAY['account'], 'SHARE'),
		  ft.lock_in_order('account', 'id', ARRAY[2, 1], '1 s'); COMMIT}),
	'2|1|2', 'what needs no shared memory works');
is($node->safe_psql('postgres', 'SELECT count(*) >= 0 FROM ft.index_advice()'), 't', 'advice as well');

done_testing();
