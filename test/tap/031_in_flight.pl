# Executions in every state that the engine knows, carried somewhere else while
# the original is at work: by a dump in each of its formats, in whatever order
# the tables are loaded, by a clone, and by pg_upgrade.  The copy does nothing
# until ft.adopt(); then each step of it takes effect exactly once, and nobody
# there takes the workers of the original for his own.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $config = q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.max_executors = 10
fault_tolerance.recovery_interval = '1h'
fault_tolerance.recovery_backoff = 0
fault_tolerance.recovery_max_attempts = 2
max_worker_processes = 32
autovacuum = off
fsync = off
};

sub new_cluster
{
	my ($name, @roles) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', $config);
	$node->start;
	$node->safe_psql('postgres', join(' ', map { "CREATE ROLE $_ LOGIN;" } @roles));
	return $node;
}

sub as
{
	my ($node, $database, $role, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => [ '-U', $role ]);
}

my $node = new_cluster('flying', qw(alice bob carol));
$node->safe_psql('postgres', 'CREATE DATABASE origin');

# What test.hold is set for waits; only the original is.
$node->safe_psql('postgres', q{ALTER DATABASE origin SET test.hold = 'on'});
$node->safe_psql('origin', q{
	CREATE EXTENSION fault_tolerance;
	GRANT USAGE ON SCHEMA ft TO alice, bob, carol;
	CREATE TABLE ledger (what text);
	GRANT INSERT, SELECT ON ledger TO alice, bob, carol;
	CREATE FUNCTION hold(here boolean DEFAULT true) RETURNS SETOF integer LANGUAGE plpgsql AS $$
	BEGIN
		IF here AND current_setting('test.hold', true) = 'on' THEN
			PERFORM pg_sleep(10000);
		END IF;
		RETURN QUERY SELECT 1;
	END $$;
	CREATE FUNCTION stumble() RETURNS SETOF integer LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('test.hold', true) = 'on' THEN
			RAISE EXCEPTION USING ERRCODE = 'PY001', MESSAGE = 'not now';
		END IF;
		RETURN QUERY SELECT 1;
	END $$;
	SELECT ft.set_failure_rule('PY001', 'TRANSIENT', 'network', 'ours');
});

as($node, 'origin', 'alice', q{
	SELECT ft.define_orchestration('held', $$[
		{"name": "one", "command": "INSERT INTO ledger VALUES ('held one')", "critical": true},
		{"name": "two", "depends_on": ["one"], "command": "INSERT INTO ledger SELECT 'held two' FROM hold()", "max_attempts": 1},
		{"name": "three", "depends_on": ["two"], "command": "INSERT INTO ledger VALUES ('held three')"}]$$);
	SELECT ft.define_orchestration('versions', $$[
		{"name": "wait", "signal": "go"},
		{"name": "say", "depends_on": ["wait"], "command": "INSERT INTO ledger VALUES ('version 1 ' || (ft.result('wait') #>> '{}'))"}]$$);
	SELECT ft.define_orchestration('asleep', $$[
		{"name": "sleep", "sleep": "1 hour", "command": "INSERT INTO ledger VALUES ('woken')"}]$$);
	SELECT ft.define_orchestration('early', $$[
		{"name": "first", "signal": "first"},
		{"name": "second", "depends_on": ["first"], "signal": "second"},
		{"name": "say", "depends_on": ["second"], "command": "INSERT INTO ledger VALUES ('early ' || (ft.result('second') #>> '{}'))"}]$$);
	SELECT ft.define_orchestration('fan', $$[
		{"name": "fan", "for_each": "SELECT i FROM generate_series(0, 3) AS i",
		 "command": "INSERT INTO ledger SELECT 'fan ' || ($4 #>> '{}') FROM hold($4 #>> '{}' >= '2')"},
		{"name": "join", "depends_on": ["fan"], "command": "INSERT INTO ledger VALUES ('joined')"}]$$);
	SELECT ft.define_orchestration('child', $$[
		{"name": "wait", "signal": "grown"},
		{"name": "do", "depends_on": ["wait"], "command": "INSERT INTO ledger VALUES ('child')"}]$$);
	SELECT ft.define_orchestration('parent', $$[
		{"name": "call", "orchestration": "child"},
		{"name": "call again", "depends_on": ["call"], "orchestration": "child"},
		{"name": "after", "depends_on": ["call again"], "command": "INSERT INTO ledger VALUES ('parent')"}]$$);
	SELECT ft.define_orchestration('undo', $$[
		{"name": "a", "command": "INSERT INTO ledger VALUES ('a')", "compensation": "INSERT INTO ledger VALUES ('a undone')"},
		{"name": "b", "depends_on": ["a"], "command": "INSERT INTO ledger VALUES ('b')",
		 "compensation": "INSERT INTO ledger SELECT 'b undone' FROM hold()"},
		{"name": "c", "depends_on": ["b"], "command": "SELECT 1 / 0"}]$$);
	SELECT ft.define_orchestration('stuck', $$[
		{"name": "a", "command": "INSERT INTO ledger VALUES ('stuck a')", "compensation": "SELECT 1 / 0"},
		{"name": "b", "depends_on": ["a"], "command": "SELECT 1 / 0"}]$$);
	SELECT ft.define_orchestration('retrying', $$[
		{"name": "try", "command": "INSERT INTO ledger SELECT 'retried' FROM stumble()", "backoff": "1 hour"}]$$);

	CREATE TEMP TABLE started AS SELECT 'versions'::name AS name, ft.start('versions') AS id;
	SELECT ft.define_orchestration('versions', $$[{"name": "say", "command": "INSERT INTO ledger VALUES ('version 2')"}]$$);
	SELECT ft.start('held'), ft.start('asleep'), ft.start('fan'), ft.start('parent'),
	       ft.start('undo'), ft.start('stuck'), ft.start('retrying');
	SELECT ft.signal(ft.start('early'), 'second', '"kept"');
	SELECT ft.pause(ft.submit($$INSERT INTO ledger VALUES ('resumed')$$, '{"is": "paused"}'));
	SELECT ft.start('early', '{"is": "late"}', deadline => '1 hour');
	SELECT ft.submit('SELECT 1 / 0', '{"is": "dead"}');
	SELECT ft.submit('an errand', '{"is": "leased"}', queue => 'held', execution_mode => 'external', max_attempts => 1);
	SELECT ft.submit('an errand', '{"is": "overdue"}', queue => 'lost', execution_mode => 'external', max_attempts => 1);
	SELECT ft.submit('an errand', '{"is": "unclaimed"}', queue => 'free', execution_mode => 'external');
	SELECT * FROM ft.claim_task('held', 'courier', '1 day');
	SELECT * FROM ft.claim_task('lost', 'courier', '1 day');
	SELECT ft.submit($$INSERT INTO ledger SELECT 'alone' FROM hold()$$, '{"is": "alone"}', execution_mode => 'non_transactional');
	SELECT ft.submit($$INSERT INTO ledger SELECT 'of alice' FROM hold()$$, idempotency_key => 'the key');
});
as($node, 'origin', 'bob', q{
	SELECT ft.submit($$INSERT INTO ledger SELECT 'of bob' FROM hold()$$, idempotency_key => 'the key');
});
$node->safe_psql('origin', 'ALTER ROLE carol NOLOGIN');
$node->safe_psql('origin', q{
	SET SESSION AUTHORIZATION carol;
	SELECT ft.submit($$INSERT INTO ledger VALUES ('of carol')$$)});

# An execution that an orchestration, or an input, tells from others.
sub id_of
{
	my ($name) = @_;
	return "(SELECT execution_id FROM ft.orchestration_executions LEFT JOIN ft.orchestrations USING (orchestration_id)"
	  . " WHERE coalesce(input ->> 'is', orchestration_name) = '$name' ORDER BY execution_id LIMIT 1)";
}

my $states = q{
	SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
		SELECT format('%s%s %s: %s', coalesce(input ->> 'is', orchestration_name, e.owner::text),
		              CASE WHEN version > 1 THEN ' ' || version END, e.status,
		              string_agg(t.status, ' ' ORDER BY t.task_name)) AS line
		  FROM ft.orchestration_executions AS e LEFT JOIN ft.orchestrations USING (orchestration_id)
		  JOIN ft.orchestration_tasks AS t USING (execution_id)
		 GROUP BY e.execution_id, orchestration_name, version) AS s};
my $in_flight = <<'END';
alice RUNNING: RUNNING
alone RUNNING: RUNNING
asleep PENDING: PENDING
bob RUNNING: RUNNING
carol PENDING: PENDING
child PENDING: PENDING PENDING
dead ROLLED_BACK: PENDING
early PENDING: PENDING PENDING PENDING
fan RUNNING: PENDING COMPLETED COMPLETED RUNNING RUNNING PENDING
held RUNNING: COMPLETED PENDING RUNNING
late PENDING: PENDING PENDING PENDING
leased RUNNING: RUNNING
overdue RUNNING: RUNNING
parent RUNNING: PENDING PENDING PENDING
paused PENDING: PENDING
retrying RUNNING: PENDING
stuck COMPENSATION_FAILED: COMPENSATION_FAILED FAILED
unclaimed PENDING: PENDING
undo COMPENSATING: COMPENSATING COMPENSATING FAILED
versions PENDING: PENDING PENDING
END

# Wait until nothing moves any more in the original.
sub wait_until_held
{
	my $held = q{
		SELECT (SELECT count(*) = 6 FROM ft.orchestration_tasks WHERE status = 'RUNNING' AND worker_id IS NOT NULL)
		   AND (SELECT count(*) = 1 FROM ft.orchestration_tasks WHERE compensation_worker IS NOT NULL)
		   AND (SELECT count(*) = 7 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = 'origin')
		   AND (SELECT count(*) = 1 FROM ft.orchestration_executions WHERE parked_reason IS NOT NULL)
		   AND (SELECT count(*) = 2 FROM ft.orchestration_executions WHERE status IN ('ROLLED_BACK', 'COMPENSATION_FAILED'))
		   AND (SELECT count(*) = 1 FROM ft.orchestration_tasks WHERE next_attempt_at > now())};
	$node->poll_query_until('origin', $held) or BAIL_OUT($node->safe_psql('origin', $states));
}
wait_until_held();

# All that is carried, as one line for each table.
my $everything = join(' UNION ALL ', map { "SELECT '$_', count(*), md5(string_agg(r::text, ' ' ORDER BY r::text)) FROM ft.$_ AS r" }
	  qw(orchestrations orchestration_executions orchestration_tasks orchestration_checkpoints
	  orchestration_failures orchestration_signals changed_failure_rules));
my $ledger = q{SELECT string_agg(what, E'\n' ORDER BY what COLLATE "C") FROM ledger};

is($node->safe_psql('origin', $states) . "\n", $in_flight, 'executions are in every state');
my $before = $node->safe_psql('origin', $everything);
my $key_of_alice = as($node, 'origin', 'alice', q{SELECT execution_id FROM ft.orchestration_executions WHERE idempotency_key IS NOT NULL});
my $key_of_bob = as($node, 'origin', 'bob', q{SELECT execution_id FROM ft.orchestration_executions WHERE idempotency_key IS NOT NULL});

# Nothing is done in the copy, whoever asks.
sub check_paused
{
	my ($where, $database, $how) = @_;

	is($where->safe_psql($database, $everything), $before, "$how: everything is carried");
	like($where->safe_psql($database, 'SELECT ft.paused_reason()'), qr/made in another cluster or database: 20;/, "$how: it is paused");
	$where->safe_psql($database, 'SELECT ft.wake_worker()');
	$where->poll_query_until($database, "SELECT count(*) = 1 FROM ft.worker_status() WHERE datname = '$database' AND paused_reason ~ 'ft.adopt'")
	  or die "$how: the scheduler has not seen it";
	is($where->safe_psql($database, "SELECT count(*) FROM ft.worker_status() WHERE datname = '$database' AND worker = 'executor'"),
		0, "$how: no executor is started");
	my ($status, $out, $err) = $where->psql($database, q{SELECT * FROM ft.claim_task('free', 'courier')}, extra_params => [ '-U', 'alice' ]);
	like($err, qr/not worked here/, "$how: nothing is given to workers outside");
	is($where->safe_psql($database, $everything), $before, "$how: nothing has changed");
}

# What keys stand for; $settled: do they yet, where roles have other OIDs?
sub check_keys
{
	my ($where, $database, $how, $settled) = @_;
	my %of = (alice => $key_of_alice, bob => $key_of_bob);

	foreach my $role (sort keys %of)
	{
		my ($status, $out, $err) = $where->psql($database, q{SELECT ft.submit('SELECT 1', idempotency_key => 'the key')},
			extra_params => [ '-U', $role ]);
		if ($settled)
		{
			is($out, $of{$role}, "$how: the idempotency key of $role stands for what it did");
		}
		else
		{
			like($err, qr/whose owner is not settled/, "$how: the idempotency key of $role starts nothing");
		}
	}
}

# Go on with all of it, each in its own way.
sub go_on
{
	my ($where, $database) = @_;

	as($where, $database, 'alice', "
		SELECT ft.signal(" . id_of('versions') . q{, 'go', '"went"');
		SELECT ft.signal(} . id_of('early') . q{, 'first');
		SELECT ft.signal(} . id_of('child') . q{, 'grown');
		SELECT ft.resume(} . id_of('paused') . q{);
		SELECT ft.correct_task(task_id, command => $$INSERT INTO ledger VALUES ('redriven')$$)
		  FROM ft.dead_letters WHERE execution_id = } . id_of('dead') . q{;
		SELECT ft.redrive(} . id_of('dead') . q{);
		SELECT ft.correct_task(task_id, compensation => $$INSERT INTO ledger VALUES ('stuck a undone')$$)
		  FROM ft.dead_letters WHERE execution_id = } . id_of('stuck') . q{;
		SELECT ft.redrive(} . id_of('stuck') . q{);
		SELECT ft.complete_task(task_id, '"delivered"', 1) FROM ft.orchestration_tasks WHERE execution_id = } . id_of('leased') . q{;
		SELECT ft.complete_task(task_id, '"delivered"', attempt) FROM ft.claim_task('lost', 'another') WHERE attempt = 2;
		SELECT ft.complete_task(task_id, '"delivered"', attempt) FROM ft.claim_task('free', 'another') WHERE attempt = 1;});
	# the hour is over
	$where->safe_psql($database, q{
		UPDATE ft.orchestration_tasks SET due_at = now(), not_before = now() WHERE task_name = 'sleep';
		UPDATE ft.orchestration_tasks SET due_at = now(), next_attempt_at = now() WHERE task_name = 'try';
		UPDATE ft.orchestration_executions SET deadline = now() WHERE deadline IS NOT NULL;
		SELECT ft.wake_worker()});
	# the second child is not there before the first has ended
	my $second = q{SELECT execution_id FROM ft.orchestration_executions JOIN ft.orchestrations USING (orchestration_id)
		            WHERE orchestration_name = 'child' AND status = 'PENDING'};
	$where->poll_query_until($database, "SELECT count(*) = 2 FROM ft.orchestration_executions JOIN ft.orchestrations USING (orchestration_id) WHERE orchestration_name = 'child'")
	  or die $where->safe_psql($database, $states);
	as($where, $database, 'alice', "SELECT ft.signal(($second), 'grown')");
}

my $ended = <<'END';
alice COMPLETED: COMPLETED
alone COMPLETED: COMPLETED
asleep COMPLETED: COMPLETED
bob COMPLETED: COMPLETED
carol CAROL
child COMPLETED: COMPLETED COMPLETED
child COMPLETED: COMPLETED COMPLETED
dead COMPLETED: COMPLETED
early COMPLETED: COMPLETED COMPLETED COMPLETED
fan COMPLETED: COMPLETED COMPLETED COMPLETED COMPLETED COMPLETED COMPLETED
held COMPLETED: COMPLETED COMPLETED COMPLETED
late ROLLED_BACK: PENDING PENDING PENDING
leased COMPLETED: COMPLETED
overdue COMPLETED: COMPLETED
parent COMPLETED: COMPLETED COMPLETED COMPLETED
paused COMPLETED: COMPLETED
retrying COMPLETED: COMPLETED
stuck COMPENSATED: COMPENSATED FAILED
unclaimed COMPLETED: COMPLETED
undo COMPENSATED: COMPENSATED COMPENSATED FAILED
versions COMPLETED: COMPLETED COMPLETED
END
my $effects = join("\n", 'a', 'a undone', 'alone', 'b', 'b undone', 'child', 'child', 'early kept',
	'fan 0', 'fan 1', 'fan 2', 'fan 3', 'held one', 'held three', 'held two', 'joined', 'of alice', 'of bob');
my $more_effects = join("\n", 'parent', 'redriven', 'resumed', 'retried', 'stuck a', 'stuck a undone', 'version 1 went', 'woken');

# Adopt the copy: everything goes on, and each step takes effect once.
sub check_adopted
{
	my ($where, $database, $how, $carol) = @_;

	# of the errand, the time that its worker had has run out meanwhile
	$where->safe_psql($database, q{
		UPDATE ft.orchestration_tasks SET leased_until = now() - interval '1 s' WHERE queue = 'lost';
		SELECT ft.adopt()});
	is($where->safe_psql($database, 'SELECT ft.paused_reason() IS NULL'), 't', "$how: adopted");
	check_keys($where, $database, $how, 1);
	go_on($where, $database);

	my $states_then = $ended;
	my $done = $carol ? 'COMPLETED: COMPLETED' : 'PENDING: PENDING';
	$states_then =~ s/CAROL/$done/;
	chomp $states_then;
	$where->poll_query_until($database, $states, $states_then)
	  or diag $where->safe_psql($database, $states);
	is($where->safe_psql($database, $states), $states_then, "$how: all has ended as it should");
	is($where->safe_psql($database, $ledger), join("\n", $effects, $carol ? 'of carol' : (), $more_effects),
		"$how: each step has taken effect once");
	is($where->safe_psql($database, q{SELECT string_agg(what, ', ' ORDER BY ctid) FROM ledger WHERE what IN ('a undone', 'b undone')}),
		'b undone, a undone', "$how: compensated in order");
	is($where->safe_psql($database, q{
		SELECT string_agg(format('%s: %s', t.task_name, f.failure_message), ', ')
		  FROM ft.orchestration_failures AS f JOIN ft.orchestration_tasks AS t USING (task_id)
		 WHERE t.task_name IN ('two', 'b') AND f.failure_message !~ 'division by zero'
		    OR t.queue <> 'default'}), '', "$how: nothing is held against what was running elsewhere");
	is($where->safe_psql($database, q{
		SELECT sum(compensation_losses) FROM ft.orchestration_tasks}), 0, "$how: nor against compensations");
	is($where->safe_psql($database, q{
		SELECT count(*) FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id)}), 0,
		"$how: every execution is valid");
}

# Into the same cluster, where the workers of the original are alive, and in
# the start of the server that the copy tells of.
my $dump = $node->basedir . '/origin';
$node->command_ok([ 'pg_dump', '-Fp', '-f', "$dump.sql", $node->connstr('origin') ], 'pg_dump, plain');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.custom", $node->connstr('origin') ], 'pg_dump, custom');
$node->command_ok([ 'pg_dump', '-Fd', '-f', "$dump.folder", $node->connstr('origin') ], 'pg_dump, directory');

$node->safe_psql('postgres', 'CREATE DATABASE beside');
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql", $node->connstr('beside') ], 'restored beside the original');
is($node->safe_psql('beside', q{
	SELECT count(*) FROM ft.orchestration_tasks AS t
	 WHERE status = 'RUNNING'
	   AND worker_pid IN (SELECT pid FROM ft.worker_status() WHERE worker = 'executor' AND datname = 'origin')}), 6,
	'workers that the copy tells of are alive');
check_paused($node, 'beside', 'beside the original');
check_keys($node, 'beside', 'beside the original', 1);
check_adopted($node, 'beside', 'beside the original', 0);
is($node->safe_psql('origin', $everything), $before, 'the original has not noticed');

# Into another cluster, where OIDs stand for other roles.  It has been killed
# before, so that it looks for who was to blame.
my $other = new_cluster('elsewhere', qw(bob alice carol));
$other->stop('immediate');
$other->start;
isnt($other->safe_psql('postgres', q{SELECT 'alice'::regrole::oid}), $node->safe_psql('postgres', q{SELECT 'alice'::regrole::oid}),
	'OIDs stand for other roles');
$other->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(parallel pieces);
$other->command_ok([ 'pg_restore', '--exit-on-error', '-j2', '-d', $other->connstr('parallel'), "$dump.folder" ], 'pg_restore -j2');
check_paused($other, 'parallel', 'pg_restore -j2');
check_keys($other, 'parallel', 'pg_restore -j2', 0);
# one that was running alone, for having been there at a crash
$other->safe_psql('parallel', q{UPDATE ft.orchestration_tasks SET suspicion = 'server' WHERE task_name = 'two'});
check_adopted($other, 'parallel', 'pg_restore -j2', 1);

# Definitions first and rows later, table by table, with what says where they
# come from as the last; a scheduler is looking on.
$other->command_ok([ 'pg_restore', '--exit-on-error', '--schema-only', '-d', $other->connstr('pieces'), "$dump.custom" ], 'pg_restore --schema-only');
$other->safe_psql('pieces', 'GRANT USAGE ON SCHEMA ft TO alice, bob, carol');
foreach my $table (qw(orchestrations orchestration_executions orchestration_tasks orchestration_checkpoints
	orchestration_failures orchestration_signals changed_failure_rules installations))
{
	$other->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-t', $table, '-d', $other->connstr('pieces'), "$dump.custom" ],
		"pg_restore --data-only of $table");
	$other->safe_psql('pieces', 'SELECT ft.wake_worker()');
	next if $table eq 'orchestrations';
	is($other->safe_psql('pieces', 'SELECT ft.paused_reason() IS NOT NULL'), 't', "paused when $table is there");
}
$other->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-t', 'ledger', '-d', $other->connstr('pieces'), "$dump.custom" ], 'and the rest');
check_paused($other, 'pieces', 'table by table');
check_adopted($other, 'pieces', 'table by table', 1);

# The rows with the triggers of their tables switched off.
$other->safe_psql('postgres', 'CREATE DATABASE bare');
$other->command_ok([ 'pg_restore', '--exit-on-error', '--schema-only', '-d', $other->connstr('bare'), "$dump.custom" ], 'pg_restore --schema-only');
$other->safe_psql('bare', q{GRANT USAGE ON SCHEMA ft TO alice, bob, carol});
$other->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers', '-d', $other->connstr('bare'), "$dump.custom" ],
	'pg_restore --data-only --disable-triggers');
check_paused($other, 'bare', 'without triggers');
check_adopted($other, 'bare', 'without triggers', 1);
$other->stop;

# A clone: workers leave the original for the time that it takes, and begin
# again what they were at.
$node->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE origin');
check_paused($node, 'clone', 'clone');
check_adopted($node, 'clone', 'clone', 0);
wait_until_held();
is($node->safe_psql('origin', $states) . "\n", $in_flight, 'the original goes on as it was');
is($node->safe_psql('origin', q{SELECT count(*) FILTER (WHERE suspicion IS NOT NULL), sum(compensation_losses) FROM ft.orchestration_tasks}),
	'0|0', 'and suspects nobody for having left');

# pg_upgrade, of a server that was shut down with all of it in flight.
$before = $node->safe_psql('origin', $everything);
$node->safe_psql('postgres', "DROP DATABASE $_") foreach qw(clone beside);
$node->stop;
my $new = PostgreSQL::Test::Cluster->new('raised');
$new->init;
$new->append_conf('postgresql.conf', $config);
my $bindir = $node->config_data('--bindir');
chdir PostgreSQL::Test::Utils::tempdir() or die "chdir: $!";
command_ok([ 'pg_upgrade', '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host,
		'-p', $node->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
$new->safe_psql('postgres', 'ALTER DATABASE origin RESET test.hold');
check_paused($new, 'origin', 'pg_upgrade');
check_adopted($new, 'origin', 'pg_upgrade', 0);
$new->stop;

done_testing();
