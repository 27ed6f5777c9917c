# Without shared_preload_libraries: every diagnostic that needs no shared
# memory of ours answers, orchestrations are recovered by hand, and what needs
# the preload says so.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('plain');
$node->init;
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance; CREATE ROLE monitor LOGIN IN ROLE pg_monitor; CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA ft TO app');
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'nothing is preloaded');

# Every function that can be called without an argument, and every view, as a
# plain pg_monitor role: each answers, or says what it lacks.
my @calls = split /\n/, $node->safe_psql('postgres', q{
	SELECT format('SELECT count(*) FROM %s()', p.oid::regproc)
	  FROM pg_proc AS p
	 WHERE pronamespace = 'ft'::regnamespace AND prokind = 'f'
	   AND pronargs - pronargdefaults <= 0 AND prorettype <> 'trigger'::regtype
	   AND has_function_privilege('monitor', oid, 'EXECUTE')
	   AND NOT has_function_privilege('public', oid, 'EXECUTE')
	UNION ALL
	SELECT format('SELECT count(*) FROM %s', oid::regclass)
	  FROM pg_class WHERE relnamespace = 'ft'::regnamespace AND relkind = 'v'
	 ORDER BY 1});
cmp_ok(scalar @calls, '>=', 8, 'there is something to call');
my %needs_preload = map { $_ => 1 } (
	'SELECT count(*) FROM ft.deadlock_counts()',
	'SELECT count(*) FROM ft.deadlocks()',
	'SELECT count(*) FROM ft.error_counts()',
	'SELECT count(*) FROM ft.error_rate()',
	'SELECT count(*) FROM ft.errors()',
	'SELECT count(*) FROM ft.recent_errors()',
	'SELECT count(*) FROM ft.deadlock_summary',
	'SELECT count(*) FROM ft.error_summary',
	'SELECT count(*) FROM ft.blocking_history()',
	'SELECT count(*) FROM ft.blocking_history_summary',
	'SELECT count(*) FROM ft.history_status()',
	'SELECT count(*) FROM ft.session_history()',
	'SELECT count(*) FROM ft.session_history_runs()',
	'SELECT count(*) FROM ft.wait_history_summary',
	'SELECT count(*) FROM ft.lock_order_conflicts()',
	'SELECT count(*) FROM ft.lock_order_state()',
	'SELECT count(*) FROM ft.lock_order_summary',
	'SELECT count(*) FROM ft.slow_statement_summary',
	'SELECT count(*) FROM ft.slow_statement_waits()',
	'SELECT count(*) FROM ft.slow_statements()',
	'SELECT count(*) FROM ft.sampler_tasks()',
	'SELECT count(*) FROM ft.worker_status()',
	'SELECT count(*) FROM ft.xid_rate()');
foreach my $call (@calls)
{
	my ($status, $out, $err) = $node->psql('postgres', "SET SESSION AUTHORIZATION monitor; $call",
		on_error_stop => 1, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	if ($needs_preload{$call})
	{
		like($err, qr/55000: .*needs fault_tolerance to be preloaded/, "$call says that it needs the preload");
		like($err, qr/HINT:.*shared_preload_libraries = 'fault_tolerance'/, "$call says which line to add");
	}
	else
	{
		is($status, 0, "$call answers") or diag $err;
	}
}

# A blocked session is seen.
my $holder = $node->background_psql('postgres');
$holder->query_safe('CREATE TABLE t (i int); BEGIN; LOCK TABLE t');
my $waiter = $node->background_psql('postgres', on_error_die => 0);
$waiter->query_until(qr/start/, "\\echo start\nSELECT * FROM t;\n");
ok($node->poll_query_until('postgres',
		q{SELECT array_agg(c.level ORDER BY c.level) = '{0,1}' FROM ft.blocking_chains() AS c}),
	'a blocking chain is shown');
is($node->safe_psql('postgres', 'SELECT count(*) FROM ft.lock_tree'), '2', 'as a tree too');
$holder->query_safe('COMMIT');
$holder->quit;
$waiter->quit;

# An orchestration fails, is recovered and compensated by calls alone.
is($node->safe_psql('postgres', q{
	CREATE TABLE undone (what text);
	GRANT INSERT, SELECT ON undone TO app}), '', 'a table to work on');
is($node->safe_psql('postgres', q{
	DO $$
	DECLARE execution uuid := ft.create_execution();
	        one uuid := ft.add_task(execution, 'one', compensation => 'INSERT INTO undone VALUES (current_user)');
	        two uuid := ft.add_task(execution, 'two', depends_on => '{one}');
	BEGIN
		PERFORM ft.start_task(one), ft.complete_task(one), ft.start_task(two);
		PERFORM ft.fail_task(two, 'no', '23503');
	END $$;
	SELECT * FROM ft.auto_recover_failures();
	SELECT status FROM ft.orchestration_executions;
	SELECT ft.run_compensations();
	SELECT status FROM ft.orchestration_executions;
	SELECT * FROM undone;
	SELECT count(*) FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id);
}, extra_params => [ '-U', 'app' ]), "1\nCOMPENSATING\n1\nCOMPENSATED\napp\n0", 'an orchestration is recovered by hand');

# A setting that can only take effect with the preload can still be shown, and
# a misspelt one is refused.
like($node->safe_psql('postgres', q{LOAD 'fault_tolerance'; SHOW fault_tolerance.max_databases}), qr/^64$/m,
	'settings are known');
my ($status, $out, $err) = $node->psql('postgres', q{LOAD 'fault_tolerance'; SET fault_tolerance.no_such_thing = 1});
like($err, qr/invalid configuration parameter name/, 'a misspelt setting is refused');

$node->stop;
done_testing();
