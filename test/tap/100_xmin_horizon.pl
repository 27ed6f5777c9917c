# ft.xmin_horizon() names who holds vacuum back, for every kind of holder and
# horizon, where VACUUM VERBOSE says that it stops; and its SQL ends them.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;

my $node = new_node('primary', allows_streaming => 'logical');
$node->append_conf(
	'postgresql.conf', q{
fault_tolerance.workers = off
max_replication_slots = 5
wal_receiver_status_interval = 1s
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE t (id integer);
INSERT INTO t SELECT generate_series(1, 100);
CREATE DATABASE elsewhere;
SELECT ft.sampler_tick('xid clock');
});

my %table_of = (data => 't', catalog => 'pg_class', shared => 'pg_database');

# Something happens: there are newer transactions than whoever holds.
sub go_on
{
	$node->safe_psql('postgres', 'SELECT pg_current_xact_id()') for 1 .. 3;
	return;
}

# Up to where VACUUM could remove.
sub removable_cutoff
{
	my ($horizon) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "VACUUM (VERBOSE) $table_of{$horizon}");

	$err =~ /removable cutoff: (\d+),/ or die "VACUUM does not say: $err";
	return $1;
}

# VACUUM stops where ft.xmin_horizon() says, and who is named has these columns.
# holders: horizon => expected row, or undef where nobody is to hold it.
sub check_holders
{
	my ($name, $columns, %expected) = @_;

	go_on();
	foreach my $horizon (qw(data catalog shared))
	{
		my $row = $node->safe_psql('postgres',
			"SELECT $columns FROM ft.xmin_horizon() WHERE horizon = '$horizon' AND holds AND inherited_from IS NULL");
		my $xmin = $node->safe_psql('postgres',
			"SELECT DISTINCT xmin FROM ft.xmin_horizon() WHERE horizon = '$horizon' AND holds");

		is($row, $expected{$horizon} // '', "$name: who holds $horizon");
		if (defined $expected{$horizon})
		{
			is($xmin, removable_cutoff($horizon), "$name: VACUUM stops there for $horizon");
		}
		else
		{
			my $next = $node->safe_psql('postgres', 'SELECT next_xid FROM ft.xid_rate()');
			cmp_ok($next - removable_cutoff($horizon), '<=', 1, "$name: VACUUM is not held for $horizon");
		}
	}
	return;
}

# The SQL that is proposed for the data horizon, or another one, ends it.
sub end_by_sql
{
	my ($name, $horizon) = @_;
	my $sql = $node->safe_psql('postgres',
		"SELECT sql FROM ft.xmin_horizon() WHERE horizon = '$horizon' AND holds AND inherited_from IS NULL");

	isnt($sql, '', "$name: there is SQL");
	$node->safe_psql('postgres', $sql);
	ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM ft.xmin_horizon()"),
		"$name: it ends it");
	is($node->safe_psql('postgres', $sql =~ /^SELECT/ ? "SELECT count(*) FROM ($sql) AS again" : 'SELECT 0'),
		'0', "$name: pasted again it does nothing");
	return $sql;
}

sub pid_of
{
	my ($session) = @_;
	return $session->query_safe('SELECT pg_backend_pid()');
}

# Of a session that lets others end it.
sub session
{
	my ($database) = @_;
	return $node->background_psql($database // 'postgres', on_error_stop => 0, on_error_die => 0);
}

check_holders('nobody', 'kind');

#
# A session that idles in its transaction, with an id.
#
{
	my $idle = session();
	my $pid = pid_of($idle);

	$idle->query_safe('BEGIN; SELECT pg_current_xact_id()');
	my $row = "backend|$pid|postgres|idle in transaction|terminate|transaction|t";
	check_holders('idle', 'kind, pid, datname, state, action, cause, next_xid_age = 0',
		data => $row, catalog => $row, shared => $row);
	is($node->safe_psql('postgres',
			q{SELECT count(*) FROM ft.xmin_horizon() WHERE age >= '0' AND severity = 'OK'}),
		'3', 'idle: its age in time is known');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM ft.xmin_horizon_summary}), '3', 'idle: in the view');
	like(end_by_sql('idle', 'data'), qr/pg_terminate_backend.*backend_start = /, 'idle: the SQL is guarded');
	$idle->{run}->finish;
}

#
# A snapshot without an id, of a session that idles; and one of a statement
# that runs, which a cancel ends.
#
{
	my $reader = session();
	my $pid = pid_of($reader);

	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t');
	my $row = "backend|$pid|terminate|snapshot";
	check_holders('snapshot', 'kind, pid, action, cause', data => $row, catalog => $row, shared => $row);
	end_by_sql('snapshot', 'catalog');
	$reader->{run}->finish;

	my $active = session();
	$pid = pid_of($active);
	$active->query_until(qr/started/, "\\echo started\nSELECT pg_sleep(600) FROM t LIMIT 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;\n");
	$node->poll_query_until('postgres', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $pid") or die;
	$row = "backend|$pid|active|cancel|snapshot|00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	check_holders('statement', 'kind, pid, state, action, cause, traceparent',
		data => $row, catalog => $row, shared => $row);
	end_by_sql('statement', 'shared');
	is(scalar $active->query('SELECT pg_backend_pid()'), $pid, 'statement: its session goes on');
	$active->quit;
}

#
# In another database: for shared catalogs only.
#
{
	my $far = session('elsewhere');
	my $pid = pid_of($far);

	$far->query_safe('BEGIN; SELECT pg_current_xact_id()');
	check_holders('other database', 'kind, pid, datname', shared => "backend|$pid|elsewhere");

	# a snapshot that is taken meanwhile is as old, in this database too
	my $reader = session();
	$reader->query_until(qr/started/, "\\echo started\nSELECT pg_sleep(600) FROM t LIMIT 1;\n");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'") or die;
	is($node->safe_psql('postgres',
			q{SELECT holds, cause, inherited_from FROM ft.xmin_horizon() WHERE horizon = 'data'}),
		"t|snapshot|$pid", 'other database: what a snapshot inherits is said');
	is($node->safe_psql('postgres', q{SELECT xmin FROM ft.xmin_horizon() WHERE horizon = 'data'}),
		removable_cutoff('data'), 'other database: VACUUM stops at what was inherited');
	is($node->safe_psql('postgres',
			q{SELECT next_xid_age FROM ft.xmin_horizon() WHERE horizon = 'shared' AND inherited_from IS NULL}),
		'0', 'other database: nothing else holds');
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	$reader->quit;
	end_by_sql('other database', 'shared');
	$far->{run}->finish;
}

#
# A prepared transaction; that of another database, where its SQL has to run.
#
{
	$node->safe_psql('postgres', q{BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'held'});
	my $row = "prepared transaction||held|postgres|rollback prepared";
	check_holders('prepared', 'kind, pid, gid, datname, action', data => $row, catalog => $row, shared => $row);
	like(end_by_sql('prepared', 'data'), qr/^ROLLBACK PREPARED 'held'/, 'prepared: the SQL');

	$node->safe_psql('elsewhere', q{BEGIN; CREATE TABLE held (); PREPARE TRANSACTION 'far'});
	check_holders('prepared elsewhere', 'kind, gid, datname', shared => "prepared transaction|far|elsewhere");
	like($node->safe_psql('postgres', q{SELECT sql FROM ft.xmin_horizon()}), qr/in database elsewhere/,
		'prepared elsewhere: the SQL says where');
	$node->safe_psql('elsewhere', q{ROLLBACK PREPARED 'far'});
}

#
# A running VACUUM is none, and is named beside its table.
#
{
	my $vacuum = session();
	my $pid = pid_of($vacuum);

	$node->safe_psql('postgres', q{
		CREATE TABLE large (id integer, t text);
		INSERT INTO large SELECT i, repeat('x', 500) FROM generate_series(1, 20000) AS i;
		DELETE FROM large WHERE id % 2 = 0});
	$vacuum->query_safe('SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1');
	$vacuum->query_until(qr/started/, "\\echo started\nVACUUM large;\n");
	ok($node->poll_query_until('postgres', "SELECT vacuum_pid = $pid FROM ft.dead_tuples() WHERE relname = 'large'"),
		'vacuum: named beside its table');
	go_on();
	is($node->safe_psql('postgres', 'SELECT count(*) FROM ft.xmin_horizon()'), '0', 'vacuum: holds nothing');
	is($node->safe_psql('postgres', "SELECT vacuum_pid = $pid FROM ft.table_freeze_age(0, 100000) WHERE relname = 'large'"),
		't', 'vacuum: beside the age of its table too');
	is($node->safe_psql('postgres', "SELECT count(*) FROM ft.dead_tuples(0) WHERE vacuum_pid = $pid"), '1', 'vacuum: of no other table');
	is($node->safe_psql('postgres', "SELECT live_tuples > 0, note FROM ft.table_bloat('large') WHERE kind = 'table'"), 't|', 'vacuum: bloat is told meanwhile');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$vacuum->{run}->finish;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM ft.dead_tuples(0) WHERE vacuum_pid IS NOT NULL'), '0', 'vacuum: gone');
}

#
# A logical slot that nobody reads: for catalogs only.
#
{
	$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('left_behind', 'pgoutput')});
	my $row = "replication slot||left_behind|postgres|drop the slot|catalog_xmin";
	check_holders('logical slot', 'kind, pid, slot_name, datname, action, cause', catalog => $row, shared => $row);
	like(end_by_sql('logical slot', 'catalog'), qr/pg_drop_replication_slot.*NOT active AND catalog_xmin = /,
		'logical slot: the SQL is guarded');
}

#
# A standby: its feedback without a slot, with one, and a slot it left.
#
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('standby')});
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('nice');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = -1");
$standby->start;
$node->wait_for_catchup($standby, 'replay');

sub read_on_standby
{
	my $reader = $standby->background_psql('postgres');

	$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t');
	return $reader;
}

# The standby has told of its query, and not of something newer.
sub wait_for_feedback
{
	my $xmin = $standby->safe_psql('postgres',
		q{SELECT xmin FROM ft.xmin_horizon() WHERE horizon = 'data' AND kind = 'backend' ORDER BY xid_age DESC LIMIT 1});

	go_on();
	return $node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM ft.xmin_horizon() WHERE horizon = 'data' AND xmin = '$xmin' AND holds");
}

{
	my $reader = read_on_standby();
	ok(wait_for_feedback(), 'feedback: it comes');
	my $row = "standby feedback|nice|walsender||end the query on the standby";
	check_holders('feedback', 'kind, standby, backend_type, sql, action', data => $row, catalog => $row, shared => $row);

	# there, it is that session
	is($standby->safe_psql('postgres', q{SELECT kind, pid, state, action FROM ft.xmin_horizon() WHERE horizon = 'data' AND holds}),
		'backend|' . pid_of($reader) . '|idle in transaction|terminate', 'feedback: the standby tells of whom');
	$reader->query_safe('COMMIT');
	$reader->quit;

	# one that ended leaves nothing behind
	$standby->stop;
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ft.xmin_horizon()'), 'feedback: gone with the standby');
}

{
	$standby->append_conf('postgresql.conf', "primary_slot_name = 'standby'");
	$standby->start;
	my $reader = read_on_standby();
	ok(wait_for_feedback(), 'physical slot: feedback comes');
	my $row = "replication slot|standby|nice|t||end the query on the standby|xmin";
	check_holders('physical slot in use', 'kind, slot_name, standby, pid IS NOT NULL, sql, action, cause',
		data => $row, catalog => $row, shared => $row);

	# what is meant for a slot that was left does nothing to it
	$reader->quit;
	$standby->stop('immediate');
	$node->poll_query_until('postgres', q{SELECT NOT active FROM pg_replication_slots}) or die;
	$row = "replication slot|standby||t|drop the slot";
	check_holders('physical slot left', 'kind, slot_name, standby, pid IS NULL, action',
		data => $row, catalog => $row, shared => $row);
	my $sql = $node->safe_psql('postgres', q{SELECT sql FROM ft.xmin_horizon() WHERE horizon = 'data' AND holds});
	$standby->start;
	$node->poll_query_until('postgres', q{SELECT active FROM pg_replication_slots}) or die;
	$node->safe_psql('postgres', $sql);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), '1', 'physical slot: back in use, it is not dropped');
}

#
# On a standby a transaction of the primary holds, known by its id.
#
{
	my $writer = session();
	my $xid = $writer->query_safe(q{BEGIN; INSERT INTO t VALUES (1); SELECT pg_current_xact_id()});
	$node->safe_psql('postgres', 'CREATE TABLE flush_wal (); CHECKPOINT');
	$node->wait_for_catchup($standby, 'replay');
	is($standby->safe_psql('postgres', q{SELECT kind, xmin, action FROM ft.xmin_horizon() WHERE horizon = 'data' AND holds AND kind <> 'backend'}),
		"transaction of the primary|$xid|end it on the primary", 'on a standby: what runs on the primary');
	is($standby->safe_psql('postgres', q{SELECT count(*) > 2 FROM ft.freeze_age()}), 't', 'on a standby: ages of databases');
	is($standby->safe_psql('postgres', q{SELECT count(*) > 50 FROM ft.table_freeze_age()}), 't', 'on a standby: ages of tables');
	is($standby->safe_psql('postgres', q{SELECT count(*) > 50 FROM ft.bloat_estimate(0)}), 't', 'on a standby: estimates');
	is($standby->safe_psql('postgres', q{SELECT live_tuples + kept_tuples + dead_tuples, note FROM ft.table_bloat('t')}), '101|',
		'on a standby: what is on the pages');
	$standby->safe_psql('postgres', q{SELECT ft.sampler_tick('xid clock')});
	is($standby->safe_psql('postgres', q{SELECT xids FROM ft.xid_rate()}), '0', 'on a standby: the clock');
	$writer->query_safe('COMMIT');
	$writer->quit;
}

$standby->stop;
$node->stop;
done_testing();
