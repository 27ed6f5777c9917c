# Who blocks whom, where it takes more than isolationtester: prepared
# transactions as only roots, advice that is followed, what an unprivileged
# caller sees, a standby, and sets of locks drawn at random.
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
max_prepared_transactions = 10
max_connections = 60
deadlock_timeout = '1h'
log_min_messages = fatal
log_statement = none
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account SELECT g, 100 FROM generate_series(1, 10) g;
CREATE DATABASE "other db";
CREATE ROLE "evil */ SELECT 1; /*" LOGIN;
CREATE ROLE app LOGIN;
GRANT ALL ON account TO "evil */ SELECT 1; /*", app;
});

# A session that runs one statement, with a name by which it is found.
my @sessions;

sub session
{
	my ($name, %options) = @_;
	my $session = $node->background_psql(
		$options{database} // 'postgres',
		on_error_stop => 0,
		extra_params => $options{user} ? [ '-U', $options{user} ] : []);
	$session->query_safe("SET application_name = '$name'");
	push @sessions, $session;
	return $session;
}

# Start a statement that will wait, and come back when it does.
sub wait_in
{
	my ($session, $name, $sql) = @_;
	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	$node->poll_query_until(
		'postgres', qq{
SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE application_name = '$name' AND NOT granted AND waitstart IS NOT NULL})
	  or die "$name does not wait";
}

sub end_sessions
{
	$_->quit foreach @sessions;
	@sessions = ();
}

my $name_of = q{(SELECT application_name FROM pg_stat_activity a WHERE a.pid = };

#
# Two prepared transactions, each the root of its own tree, both with pid 0.
#
$node->safe_psql('postgres',
	q{BEGIN; UPDATE account SET balance = 1 WHERE id = 1; PREPARE TRANSACTION 'it''s one'});
$node->safe_psql('postgres',
	q{BEGIN; UPDATE account SET balance = 1 WHERE id = 2; PREPARE TRANSACTION 'two'});
wait_in(session('behind one'), 'behind one', 'UPDATE account SET balance = 2 WHERE id = 1');
wait_in(session('behind two'), 'behind two', 'UPDATE account SET balance = 2 WHERE id = 2');

is( $node->safe_psql(
		'postgres', q{
SELECT level, root_pid, pid = 0, COALESCE(blocker_pid, -1), prepared_gid, recommended_action,
       blocker_user = current_user, path[1]
  FROM ft.blocking_chains() ORDER BY prepared_gid, level}),
	join("\n",
		q{0|0|t|-1|it's one|rollback prepared||0},
		q{1|0|f|0|it's one||t|0},
		q{0|0|t|-1|two|rollback prepared||0},
		q{1|0|f|0|two||t|0}),
	'prepared transactions as roots');
is( $node->safe_psql(
		'postgres', q{
SELECT count(*), bool_and(ARRAY(SELECT blocker_pid FROM ft.blocking_edges(pid)) = pg_blocking_pids(pid)),
       bool_and(pg_blocking_pids(pid) = '{0}')
  FROM pg_locks WHERE NOT granted}),
	'2|t|t',
	'edges to prepared transactions agree with pg_blocking_pids()');
is( $node->safe_psql(
		'postgres', q{
SELECT count(*) FROM pg_locks blocked JOIN pg_locks blocking
    ON blocking.locktype = blocked.locktype
   AND blocking.transactionid IS NOT DISTINCT FROM blocked.transactionid
   AND blocking.database IS NOT DISTINCT FROM blocked.database
   AND blocking.relation IS NOT DISTINCT FROM blocked.relation
   AND blocking.pid <> blocked.pid
 WHERE NOT blocked.granted}),
	'0',
	'the usual self-join sees no blocker at all');
is( $node->safe_psql(
		'postgres', q{
SELECT blocking_pid, blocking_statement FROM ft.blocked_statements ORDER BY 2}),
	qq{0|PREPARE TRANSACTION 'it''s one'\n0|PREPARE TRANSACTION 'two'},
	'blocked_statements names the prepared transaction');
like(
	$node->safe_psql('postgres', 'SELECT session FROM ft.lock_tree'),
	qr/^prepared '(it''s one|two)'\n  \d+\nprepared '(it''s one|two)'\n  \d+$/,
	'lock_tree names the prepared transactions');

# The advice runs as it stands, by \gexec.
my ($status, $stdout, $stderr) = $node->psql('postgres',
	q{SELECT recommended_sql FROM ft.blocking_chains() WHERE level = 0 \gexec});
is($status, 0, 'advice on prepared transactions runs');
is($stderr, '', 'and raises nothing');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'),
	'0', 'they are rolled back');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ft.blocking_chains()')
  or die 'sessions are still blocked';
end_sessions();

#
# Advice for an idle transaction, for a running statement, for a session lock,
# and for the session that asks; the names of roles are not trusted.
#
my $idle = session('idle', user => 'evil */ SELECT 1; /*');
$idle->query_safe('BEGIN');
$idle->query_safe('UPDATE account SET balance = 3 WHERE id = 3');
my $active = session('active', user => 'app');
$active->query_safe('BEGIN');
$active->query_safe('UPDATE account SET balance = 3 WHERE id = 4');
$active->query_until(qr/started/, "\\echo started\nSELECT pg_sleep(600);\n");
my $keeper = session('keeper');
$keeper->query_safe('SELECT pg_advisory_lock(1, -2)');
wait_in(session('w3'), 'w3', 'UPDATE account SET balance = 4 WHERE id = 3');
wait_in(session('w4'), 'w4', 'UPDATE account SET balance = 4 WHERE id = 4');
wait_in(session('w5'), 'w5', 'SELECT pg_advisory_lock(1, -2)');
$node->poll_query_until('postgres',
	q{SELECT state = 'active' FROM pg_stat_activity WHERE application_name = 'active'})
  or die;

is( $node->safe_psql(
		'postgres', q{
SELECT application_name, state, recommended_action FROM ft.blocking_chains()
 WHERE level = 0 ORDER BY application_name}),
	join("\n",
		'active|active|cancel', 'idle|idle in transaction|terminate', 'keeper|idle|terminate'),
	'advice goes by what the root does');
is( $node->safe_psql(
		'postgres', q{
SELECT application_name, lock_object FROM ft.blocking_chains()
 WHERE application_name = 'w5'}),
	'w5|advisory lock (1,-2)',
	'an advisory lock of two keys is named by them');
is( $node->safe_psql(
		'postgres', q{
BEGIN;
SELECT pg_advisory_lock(3);
SELECT count(*) FROM ft.blocking_chains() WHERE pid = pg_backend_pid();
ROLLBACK}),
	"\n0", 'a lock that nobody waits for is no root');

my $late = $node->safe_psql(
	'postgres', q{
SELECT recommended_sql FROM ft.blocking_chains() WHERE level = 0 ORDER BY application_name});
my @late = split(/\n/, $late);
like($late[0], qr/role app,/, 'the advice says whose privilege it needs');
unlike($late[1], qr/evil/, 'a name that would end the comment is not in it');

# Too late for one of them: it has a new transaction, and is left alone.
$idle->query_safe('COMMIT');
$idle->query_safe('BEGIN');
$idle->query_safe('UPDATE account SET balance = 3 WHERE id = 5');
foreach my $sql (@late)
{
	($status, $stdout, $stderr) = $node->psql('postgres', $sql);
	is($status, 0, 'advice runs') or diag($stderr);
	is($stdout, $sql eq $late[1] ? '' : 't',
		'advice does what it says, and nothing to a later transaction');
}
is( $node->safe_psql(
		'postgres', q{
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle'}),
	'1', 'the session with a new transaction lives');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ft.blocking_chains()')
  or die 'sessions are still blocked';
$idle->query_safe('ROLLBACK');
# its session was terminated, so there is nothing to quit
@sessions = grep { $_ != $keeper } @sessions;
eval { $keeper->quit };
end_sessions();

#
# The session that asks is the root.
#
{
	my $own = session('own');
	$own->query_safe('BEGIN');
	$own->query_safe('UPDATE account SET balance = 3 WHERE id = 3');
	wait_in(session('w3'), 'w3', 'UPDATE account SET balance = 4 WHERE id = 3');
	is( $own->query_safe(
			q{SELECT recommended_action, recommended_sql IS NULL FROM ft.blocking_chains() WHERE level = 0}),
		'end own transaction|t',
		'nobody is told to end himself');
	# asked again in the same transaction, the answer is a new one
	wait_in(session('w3b'), 'w3b', 'UPDATE account SET balance = 4 WHERE id = 3');
	is( $own->query_safe(
			q{SELECT count(*), count(application_name) FROM ft.blocking_chains()}),
		'3|3',
		'within a transaction sessions are not remembered');
	$own->query_safe('ROLLBACK');
	end_sessions();
}

#
# Another database, and a caller who may see its own sessions only.
#
{
	$node->safe_psql('other db', 'CREATE TABLE secret (id int)');
	my $holder = session('holder', database => 'other db');
	$holder->query_safe('BEGIN');
	$holder->query_safe('LOCK TABLE secret');
	wait_in(session('reader', database => 'other db'), 'reader', 'SELECT * FROM secret');
	like(
		$node->safe_psql('postgres',
			q{SELECT lock_object FROM ft.blocking_chains() WHERE level = 1}),
		qr/^relation \d+ in database "other db"$/,
		'a relation of another database');
	is( $node->safe_psql('other db', q{CREATE EXTENSION fault_tolerance;
			SELECT lock_object FROM ft.blocking_chains() WHERE level = 1}),
		'public.secret', 'the same seen from there');

	$node->safe_psql(
		'postgres', q{
GRANT USAGE ON SCHEMA ft TO app;
GRANT EXECUTE ON FUNCTION ft.blocking_chains() TO app});
	is( $node->safe_psql(
			'postgres', q{
SET ROLE app;
SELECT level, query, state, backend_start, recommended_action, recommended_sql, blocker_statement,
       usename = session_user, application_name
  FROM ft.blocking_chains()}),
		join("\n",
			'0|<insufficient privilege>||||unknown|||t|holder' =~ s/\|\|\|\|unknown/|||unknown/r,
			'1|<insufficient privilege>|||||<insufficient privilege>|t|reader'),
		'queries and states of others are hidden as in pg_stat_activity');
	$node->safe_psql('postgres', 'GRANT pg_read_all_stats TO app');
	is( $node->safe_psql(
			'postgres', q{
SET ROLE app;
SELECT level, state, btrim(blocker_statement, E';\n') FROM ft.blocking_chains()}),
		"0|idle in transaction|\n1|active|LOCK TABLE secret",
		'and shown to members of pg_read_all_stats');
	$holder->query_safe('ROLLBACK');
	end_sessions();
}

#
# What it says of a session is what pg_stat_activity says.
#
{
	my $holder = session('holder');
	$holder->query_safe('BEGIN');
	$holder->query_safe('LOCK TABLE account');
	wait_in(session('reader'), 'reader', 'SELECT * FROM account');
	is( $node->safe_psql(
			'postgres', q{
SELECT count(*) FROM (
    SELECT datid, datname, pid, leader_pid, usesysid, usename, application_name, client_addr,
           client_hostname, client_port, backend_start, xact_start, query_start, state_change,
           wait_event_type, wait_event, state, backend_xid, backend_xmin, query_id, query, backend_type
      FROM ft.blocking_chains()
    INTERSECT
    SELECT datid, datname, pid, leader_pid, usesysid, usename, application_name, client_addr,
           client_hostname, client_port, backend_start, xact_start, query_start, state_change,
           wait_event_type, wait_event, state, backend_xid, backend_xmin, query_id, query, backend_type
      FROM pg_stat_activity) s}),
		'2',
		'all columns of pg_stat_activity, with its values');
	$holder->query_safe('ROLLBACK');
	end_sessions();
}

#
# Catalogs that are locked are not waited for.
#
{
	my $holder = session('holder');
	$holder->query_safe('BEGIN');
	$holder->query_safe('LOCK TABLE account');
	wait_in(session('reader'), 'reader', 'SELECT * FROM account');

	# its caches have what it takes to ask, but not the names
	my $asker = session('asker');
	$asker->query_safe('SET statement_timeout = 5000');
	$asker->query_safe('SELECT count(*) FROM ft.blocking_chains() WHERE false');
	$holder->query_safe('LOCK TABLE pg_catalog.pg_namespace');
	like(
		$asker->query_safe('SELECT lock_object FROM ft.blocking_chains() WHERE level = 1'),
		qr/^(relation \d+|public.account)$/,
		'an answer while a catalog is locked');
	$holder->query_safe('ROLLBACK');
	end_sessions();
}

#
# Sets of locks drawn at random, with deadlocks standing, against the server's
# own answer for each session and against a search through all edges.
#
$node->safe_psql(
	'postgres', q{
CREATE TABLE t1 (); CREATE TABLE t2 (); CREATE TABLE t3 (); CREATE TABLE t4 ();
CREATE FUNCTION draw() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    modes text[] := ARRAY['ACCESS SHARE', 'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE',
                          'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'];
BEGIN
    IF random() < 0.6 THEN
        EXECUTE format('LOCK TABLE t%s IN %s MODE', 1 + floor(random() * 4), modes[1 + floor(random() * 8)]);
    ELSIF random() < 0.5 THEN
        PERFORM pg_advisory_xact_lock_shared(floor(random() * 5)::int);
    ELSE
        PERFORM pg_advisory_xact_lock(floor(random() * 5)::int);
    END IF;
END $$;

CREATE VIEW edges AS SELECT * FROM ft.blocking_edges();
CREATE VIEW chains AS SELECT * FROM ft.blocking_chains() WITH ORDINALITY;

-- everything that is said must follow from what else is said
CREATE FUNCTION contradictions() RETURNS TABLE (what text, pids int[]) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE e ON COMMIT DROP AS SELECT * FROM edges;
    CREATE TEMP TABLE c ON COMMIT DROP AS SELECT * FROM chains;
    CREATE TEMP TABLE server ON COMMIT DROP AS
        SELECT DISTINCT pid, pg_blocking_pids(pid) AS blockers FROM pg_locks WHERE NOT granted;
    CREATE TEMP TABLE reach ON COMMIT DROP AS
        WITH RECURSIVE r AS (SELECT pid, blocker_pid FROM e
                             UNION SELECT r.pid, e.blocker_pid FROM r JOIN e ON e.pid = r.blocker_pid)
        SELECT * FROM r;

    RETURN QUERY SELECT 'blockers are not those of pg_blocking_pids()', array_agg(s.pid) FROM server s
     WHERE ARRAY(SELECT DISTINCT unnest(s.blockers) ORDER BY 1) <>
           ARRAY(SELECT e.blocker_pid FROM e WHERE e.pid = s.pid ORDER BY 1);
    RETURN QUERY SELECT 'a waiting session is missing', array_agg(s.pid) FROM server s
     WHERE (SELECT count(*) FROM c WHERE c.pid = s.pid) <> 1;
    RETURN QUERY SELECT 'a blocker is missing', array_agg(e.blocker_pid) FROM e
     WHERE NOT EXISTS (SELECT FROM c WHERE c.pid = e.blocker_pid) AND e.block_kind = 'hard';
    RETURN QUERY SELECT 'a session that neither waits nor blocks', array_agg(c.pid) FROM c
     WHERE NOT EXISTS (SELECT FROM e WHERE c.pid IN (e.pid, e.blocker_pid));
    RETURN QUERY SELECT 'the blocker is none', array_agg(c.pid) FROM c
     WHERE c.blocker_pid IS NOT NULL
       AND NOT EXISTS (SELECT FROM e WHERE (e.pid, e.blocker_pid, e.block_kind) = (c.pid, c.blocker_pid, c.block_kind));
    RETURN QUERY SELECT 'soft where there is a holder', array_agg(c.pid) FROM c
     WHERE c.block_kind = 'soft' AND EXISTS (SELECT FROM e WHERE e.pid = c.pid AND e.block_kind = 'hard');
    RETURN QUERY SELECT 'a waiting root outside of a deadlock', array_agg(c.pid) FROM c
     WHERE c.level = 0 AND c.waiting_pid IS NOT NULL AND NOT c.in_cycle;
    RETURN QUERY SELECT 'in_cycle is wrong', array_agg(c.pid) FROM c
     WHERE c.in_cycle <> EXISTS (SELECT FROM reach r WHERE r.pid = c.pid AND r.blocker_pid = c.pid);
    RETURN QUERY SELECT 'the path is wrong', array_agg(c.pid) FROM c LEFT JOIN c p ON p.pid = c.blocker_pid AND c.level > 0
     WHERE c.path <> COALESCE(p.path, '{}') || c.pid OR c.level <> cardinality(c.path) - 1
        OR c.root_pid <> c.path[1];
    RETURN QUERY SELECT 'not in tree order', array_agg(c.pid) FROM c JOIN c n ON n.ordinality = c.ordinality + 1
     WHERE n.level > 0 AND NOT c.path @> ARRAY[n.blocker_pid];
    RETURN QUERY SELECT 'victims of one who waits', array_agg(c.pid) FROM c
     WHERE c.waiting_pid IS NOT NULL
       AND (c.victims_direct, c.victims_total) <>
           (SELECT count(*) FILTER (WHERE v.blocker_pid = c.pid AND v.level > 0), count(*)
              FROM c v WHERE v.pid <> c.pid AND c.pid = ANY (v.path));
    RETURN QUERY SELECT 'direct victims of one who does not wait', array_agg(c.pid) FROM c
     WHERE c.waiting_pid IS NULL
       AND c.victims_direct <> (SELECT count(DISTINCT e.pid) FROM e WHERE e.blocker_pid = c.pid AND e.block_kind = 'hard');
    RETURN QUERY SELECT 'all victims of one who does not wait', array_agg(c.pid) FROM c
     WHERE c.waiting_pid IS NULL
       AND c.victims_total <>
           (SELECT count(*) FROM c v
             WHERE EXISTS (SELECT FROM e WHERE e.blocker_pid = c.pid AND e.block_kind = 'hard' AND e.pid = ANY (v.path)));
    RETURN QUERY SELECT 'a source', array_agg(c.pid) FROM c WHERE c.source <> 'lock manager';
END $$;
});
$node->append_conf('postgresql.conf', 'max_parallel_workers_per_gather = 0');
$node->reload;

my $script = $node->basedir . '/draw.sql';
append_to_file($script, join("\n", 'BEGIN;', ('SELECT draw();') x 4, 'SELECT pg_sleep(600);') . "\n");

my ($cycles, $soft, $round) = (0, 0, 0);
foreach my $clients (6, 9, 12, 12, 15, 20, 40, 40)
{
	$round++;
	my $pgbench = IPC::Run::start(
		[ 'env', 'PGAPPNAME=pgbench', 'pgbench', '-n', '-c', $clients, '-t', 1, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $err);

	# held still when all wait for a lock or sleep; some have ended by a
	# deadlock, which the server finds at once where it is with one other
	$node->poll_query_until(
		'postgres', q{
SELECT count(*) > 1 AND
       bool_and(state = 'active' AND
                (wait_event = 'PgSleep' OR
                 EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT granted AND waitstart IS NOT NULL)))
  FROM pg_stat_activity a WHERE application_name = 'pgbench'})
	  or die "round $round does not come to rest: $err\n"
	  . $node->safe_psql('postgres', 'SELECT * FROM ft.lock_tree');
	is( $node->safe_psql('postgres', 'SELECT what, pids FROM contradictions() WHERE pids IS NOT NULL'),
		'', "round $round: nothing contradicts the server, or itself");
	$cycles += $node->safe_psql('postgres', 'SELECT count(*) FROM chains WHERE in_cycle');
	$soft += $node->safe_psql('postgres', q{SELECT count(*) FROM chains WHERE block_kind = 'soft'});
	$pgbench->kill_kill;
	$node->safe_psql('postgres',
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'});
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'})
	  or die;
}
cmp_ok($cycles, '>', 0, "deadlocks were among them ($cycles sessions in $round rounds)");
cmp_ok($soft, '>', 0, "and sessions behind others in a queue ($soft)");

#
# A standby: its startup process holds what the primary's transaction locked.
#
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = '1h'");
$standby->start;
my $locker = session('locker');
$locker->query_safe('BEGIN');
$locker->query_safe('LOCK TABLE account IN ACCESS EXCLUSIVE MODE');
$locker->query_safe('SELECT pg_current_wal_insert_lsn()');
$node->safe_psql('postgres', 'CREATE TABLE flush_wal (); CHECKPOINT');
$node->wait_for_catchup($standby, 'replay');

my $reader = $standby->background_psql('postgres', on_error_stop => 0);
$reader->query_until(qr/started/, "\\echo started\nSELECT count(*) FROM account;\n");
$standby->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted})
  or die;
is( $standby->safe_psql(
		'postgres', q{
SELECT level, backend_type, recommended_action, recommended_sql IS NULL, lock_object, held_mode
  FROM ft.blocking_chains()}),
	"0|startup|end it on the primary|t||\n1|client backend||t|public.account|AccessExclusiveLock",
	'on a standby the startup process is a root');
is( $standby->safe_psql(
		'postgres', q{
SELECT pg_blocking_pids(pid) = ARRAY(SELECT blocker_pid FROM ft.blocking_edges(pid))
  FROM pg_locks WHERE NOT granted}),
	't',
	'as pg_blocking_pids() says');
$locker->query_safe('COMMIT');
$reader->quit;
end_sessions();
$standby->stop;
$node->stop;

done_testing();
