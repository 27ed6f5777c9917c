# Executions that are carried somewhere else, by pg_dump, by a clone, and by
# pg_upgrade: they arrive whole, and nobody works them there until ft.adopt().
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $config = q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
max_prepared_transactions = 5
};

my $node = PostgreSQL::Test::Cluster->new('origin');
$node->init;
$node->append_conf('postgresql.conf', $config);
$node->start;

$node->safe_psql('postgres', q{
	CREATE DATABASE origin;
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
});
$node->safe_psql('origin', q{
	CREATE EXTENSION fault_tolerance;
	GRANT USAGE ON SCHEMA ft TO alice, bob;
	CREATE TABLE undone (what text);
	GRANT INSERT ON undone TO alice, bob;
	SELECT ft.set_failure_rule('PY001', 'TRANSIENT', 'network', 'ours');
	SELECT ft.set_queue('ours', 3, 2, 1, '1 hour'), ft.pause_queue('ours');
});

# One execution in flight for each of two owners, and one that has finished.
foreach my $role ('alice', 'bob')
{
	$node->safe_psql('origin', qq{
		SET SESSION AUTHORIZATION $role;
		DO \$\$
		DECLARE execution uuid := ft.create_execution(state => '{"of": "$role"}');
		        one uuid := ft.add_task(execution, 'one', critical => true,
		                                compensation => 'INSERT INTO undone VALUES (''$role'')');
		        two uuid := ft.add_task(execution, 'two', depends_on => '{one}');
		BEGIN
			PERFORM ft.start_task(one), ft.complete_task(one, '{"done": true}');
			PERFORM ft.start_task(two);
			PERFORM ft.fail_task(two, 'no', '23503');
		END \$\$});
}
$node->safe_psql('origin', q{
	DO $$
	DECLARE execution uuid := ft.create_execution();
	        task uuid := ft.add_task(execution, 'only');
	BEGIN
		PERFORM ft.start_task(task), ft.complete_task(task);
	END $$});

# Everything there is to know of the executions, in one line each.
my $everything = q{
	SELECT to_jsonb(e) - 'owner_oid' FROM ft.orchestration_executions AS e
	UNION ALL SELECT to_jsonb(r) FROM ft.changed_failure_rules AS r
	UNION ALL SELECT to_jsonb(q) FROM ft.queue_limits AS q
	UNION ALL SELECT to_jsonb(t) FROM ft.orchestration_tasks AS t
	UNION ALL SELECT to_jsonb(c) FROM ft.orchestration_checkpoints AS c
	UNION ALL SELECT to_jsonb(f) FROM ft.orchestration_failures AS f
	ORDER BY 1};
my $before = $node->safe_psql('origin', $everything);
is(scalar(split /\n/, $before), 3 + 5 + 5 + 2 + 1 + 1, 'there is something to carry');

sub check_paused
{
	my ($where, $database, $how) = @_;

	is($where->safe_psql($database, $everything), $before, "$how carries everything");
	like($where->safe_psql($database, 'SELECT ft.paused_reason()'),
		qr/unfinished executions made in another cluster or database: 2;/,
		"after $how the executions are paused");
	my ($status, $out, $err) =
	  $where->psql($database, 'SELECT ft.auto_recover_failures()', on_error_stop => 1);
	isnt($status, 0, "after $how nothing is recovered by itself");
	like($err, qr/SELECT ft\.adopt\(\)/, "after $how the hint says what to do");
	($status, $out, $err) =
	  $where->psql($database, 'SELECT ft.run_compensations()', on_error_stop => 1);
	isnt($status, 0, "after $how nothing is compensated by hand");
	like($err, qr/SELECT ft\.adopt\(\)/, "after $how the hint says when it is");
	is($where->safe_psql($database, $everything), $before, "after $how nothing has changed");
}

sub check_adopted
{
	my ($where, $database, $how) = @_;

	$where->safe_psql($database, 'SELECT ft.adopt()');
	is($where->safe_psql($database, 'SELECT ft.paused_reason() IS NULL'), 't',
		"adopted after $how");
	is($where->safe_psql($database, q{
		SELECT count(*) FROM ft.orchestration_executions;
		SELECT recovered_count FROM ft.auto_recover_failures();
		SELECT ft.run_compensations()},
		extra_params => [ '-U', 'alice' ]), "1\n1\n1",
		"after $how and adoption an owner's execution goes on");
	is($where->safe_psql($database, q{SELECT string_agg(what, ',') FROM undone}), 'alice',
		"after $how it is compensated once");
	is($where->safe_psql($database, q{
		SELECT count(*) FROM ft.orchestration_executions AS e,
		       LATERAL ft.validate_execution(e.execution_id)}), '0',
		"after $how every execution is valid");
}

# A clone in the same cluster.
$node->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE origin');
check_paused($node, 'clone', 'CREATE DATABASE ... TEMPLATE');
check_adopted($node, 'clone', 'CREATE DATABASE ... TEMPLATE');
is($node->safe_psql('origin', 'SELECT ft.paused_reason() IS NULL'), 't',
	'the original is not paused');

# A dump into another database of the same cluster.
my $dump = $node->basedir . '/origin.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('origin') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ],
	'pg_restore');
check_paused($node, 'restored', 'pg_dump and pg_restore');
check_adopted($node, 'restored', 'pg_dump and pg_restore');

# A dump into another cluster, where one of the owners is not known, and the
# OID of the other is somebody else's.
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->append_conf('postgresql.conf', $config);
$other->start;
$other->safe_psql('postgres', q{CREATE ROLE mallory LOGIN; CREATE ROLE bob_s_place LOGIN;
	CREATE ROLE alice LOGIN; CREATE DATABASE restored});
my ($restore_out, $restore_err);
IPC::Run::run([ 'pg_restore', '-d', $other->connstr('restored'), $dump ],
	'>', \$restore_out, '2>', \$restore_err);
unlike($restore_err, qr/orchestration|COPY/i, 'the rows restore although an owner is missing')
  or diag $restore_err;
check_paused($other, 'restored', 'pg_restore in another cluster');
$other->safe_psql('restored', 'GRANT USAGE ON SCHEMA ft TO mallory, bob_s_place, alice; GRANT INSERT ON undone TO alice');
is($other->safe_psql('restored', q{
	UPDATE ft.orchestration_executions SET owner_oid = 'mallory'::regrole;
	SET SESSION AUTHORIZATION mallory;
	SELECT count(*) FROM ft.orchestration_executions}), '0',
	'a role that has the OID of an owner elsewhere sees nothing');
check_adopted($other, 'restored', 'pg_restore in another cluster');
is($other->safe_psql('restored', q{
	SELECT owner, pg_get_userbyid(owner_oid) = owner AS known
	  FROM ft.orchestration_executions WHERE owner = 'bob'}), 'bob|f',
	'an execution whose owner is not here stays with nobody');
$other->safe_psql('restored', 'CREATE ROLE bob LOGIN; GRANT USAGE ON SCHEMA ft TO bob; SELECT ft.adopt()');
is($other->safe_psql('restored', q{
	SET SESSION AUTHORIZATION bob; SELECT count(*) FROM ft.orchestration_executions}), '1',
	'until the role is made, and the database adopted again');
$other->stop;

# DROP EXTENSION takes all of it along, and a restore into the database the
# dump came from works.
$node->safe_psql('origin', 'DROP EXTENSION fault_tolerance; DROP TABLE undone; DROP SCHEMA IF EXISTS ft');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('origin'), $dump ],
	'pg_restore into the database that was dumped');
is($node->safe_psql('origin', $everything), $before, 'carries everything');
is($node->safe_psql('origin', 'SELECT ft.paused_reason() IS NULL'), 't',
	'and is not paused: it is where it was made');

# pg_upgrade, to the same version: it dumps and restores what makes up the
# extension object by object, and carries the files of the tables.
$node->safe_psql('postgres', 'DROP DATABASE clone; DROP DATABASE restored');
$node->stop;
my $new = PostgreSQL::Test::Cluster->new('upgraded');
$new->init;
$new->append_conf('postgresql.conf', $config);
my $bindir = $node->config_data('--bindir');
my $workdir = PostgreSQL::Test::Utils::tempdir();
chdir $workdir or die "chdir: $!";
command_ok([
	'pg_upgrade', '-d', $node->data_dir, '-D', $new->data_dir,
	'-b', $bindir, '-B', $bindir, '-s', $new->host,
	'-p', $node->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
check_paused($new, 'origin', 'pg_upgrade');
check_adopted($new, 'origin', 'pg_upgrade');
$new->stop;

done_testing();
