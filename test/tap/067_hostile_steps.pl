# Steps that try what they must not: to become somebody else, to write or read
# what is not theirs, to outlive their limits, to leave something for the next.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf(
    'postgresql.conf', q{
fault_tolerance.recovery_backoff = '10ms'
fault_tolerance.max_executors = 2
fault_tolerance.executor_idle_timeout = '1h'
});
$node->start;
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA ft TO alice, bob;
GRANT CREATE ON SCHEMA public TO alice;
CREATE TABLE ledger (what text, role name DEFAULT current_user, session_role name DEFAULT session_user);
GRANT ALL ON ledger TO alice, bob;
CREATE PROCEDURE ends_transaction() LANGUAGE plpgsql AS 'BEGIN INSERT INTO ledger VALUES (''committed''); COMMIT; END';
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO ledger VALUES (''at commit''); RETURN NULL; END';
CREATE TABLE deferring (x int);
GRANT ALL ON deferring TO alice;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON deferring DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION at_commit();
CREATE FUNCTION writes_engine() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN UPDATE ft.orchestration_tasks SET status = ''COMPLETED''; RETURN NULL; END';
CREATE TABLE deferring_worse (x int);
GRANT ALL ON deferring_worse TO alice;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON deferring_worse DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION writes_engine();
});
my $of_bob = $node->safe_psql('postgres',
    "SELECT ft.submit('SELECT 1', run_at => now() + interval '1 day')", extra_params => [ '-U', 'bob' ]);

wait_for_scheduler($node, 'postgres', 'sleeping');
my $scheduler = scheduler_pid($node, 'postgres');

# What is tried, and what comes of it: the result, or the SQLSTATE.
my @attempts = (
    [ 'to take its role off', 'RESET ROLE; RESET SESSION AUTHORIZATION; SELECT current_user || session_user', '"alicealice"' ],
    [ 'to take the session of a superuser', "SET SESSION AUTHORIZATION $superuser", '42501' ],
    [ 'to take the role of a superuser', "SET ROLE $superuser", '42501' ],
    [ 'the same in a function', "DO \$\$ BEGIN EXECUTE 'SET ROLE $superuser'; END \$\$", '42501' ],
    [ 'to be made a superuser', 'ALTER ROLE alice SUPERUSER', '42501' ],
    [ 'to write the tasks', "UPDATE ft.orchestration_tasks SET status = 'COMPLETED'", '42501' ],
    [ 'to remove executions', 'DELETE FROM ft.orchestration_executions', '42501' ],
    [ 'to add a failure', 'INSERT INTO ft.orchestration_failures SELECT * FROM ft.orchestration_failures', '42501' ],
    [ 'to see executions of others', "SELECT count(*) FROM ft.orchestration_executions WHERE owner <> 'alice'", '0' ],
    [ 'to see their tasks', "SELECT count(*) FROM ft.orchestration_tasks WHERE execution_id = '$of_bob'", '0' ],
    [ 'to have those of others fail', "SELECT ft.record_failure('$of_bob', 'no')", '42501' ],
    [ 'to run steps in a step', "SELECT ft.run_compensations()", '23514' ],
    [ 'to end the scheduler', "SELECT pg_terminate_backend($scheduler)", '42501' ],
    [ 'to listen', 'LISTEN channel', '0A000' ],
    [ 'to switch the limit off', 'SET fault_tolerance.step_timeout = 0', '42501' ],
    [ 'to allow larger results', 'SET fault_tolerance.max_result_size = 1000000', '42501' ],
    [ 'to commit', "INSERT INTO ledger VALUES ('committed'); COMMIT", 'refused 22023' ],
    [ 'to commit in a block', "DO \$\$ BEGIN INSERT INTO ledger VALUES ('committed'); COMMIT; END \$\$", '2D000' ],
    [ 'to commit in a procedure', 'CALL ends_transaction()', '2D000' ],
    [ 'to commit in dynamic SQL', "DO \$\$ BEGIN EXECUTE 'COMMIT'; END \$\$", '0A000' ],
    [ 'to roll back', "INSERT INTO ledger VALUES ('committed'); ROLLBACK", 'refused 22023' ],
    [ 'to prepare its transaction', "INSERT INTO ledger VALUES ('committed'); PREPARE TRANSACTION 'x'", 'refused 22023' ],
    [ 'to be many subtransactions', 'DO $$ BEGIN FOR i IN 1..5000 LOOP BEGIN INSERT INTO ledger VALUES (\'sub\'); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$; SELECT \'done\'', '"done"' ],
    [ 'to return much', "SELECT repeat('x', 20000000)", '54000' ],
    [ 'to return many rows', 'SELECT i FROM generate_series(1, 3000000) AS i', '1' ],
    [ 'to act at commit', 'INSERT INTO deferring VALUES (1)', '' ],
    [ 'to write the tasks at commit', "INSERT INTO ledger VALUES ('committed'); INSERT INTO deferring_worse VALUES (1)", '42501' ],
    [ 'to be in the way by names', q{
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT 1/0, NULL::timestamptz; SELECT NULL::timestamptz';
CREATE TEMP TABLE orchestration_tasks (x int);
SET search_path = pg_temp, public, ft, pg_catalog;
SELECT 1}, '1' ],
);
my %execution;
my %refused;    # already when it was submitted
foreach my $attempt (@attempts)
{
    my ($name, $command) = @$attempt;

    my ($status, $out, $err) = $node->psql(
        'postgres',
        "SELECT ft.submit(\$submit\$$command\$submit\$, max_attempts => 1)",
        on_error_stop => 1,
        extra_params => [ '-U', 'alice', '-v', 'VERBOSITY=sqlstate' ]);

    $execution{$name} = $out;
    $refused{$name} = $1 if $err =~ /ERROR:\s+(\w+)/;
}
ok( $node->poll_query_until('postgres', q{
SELECT count(*) = 0 FROM ft.orchestration_executions
 WHERE owner = 'alice' AND status NOT IN ('COMPLETED', 'ROLLED_BACK')}),
    'all come to an end');
foreach my $attempt (@attempts)
{
    my ($name, $command, $expected) = @$attempt;

    if (defined $refused{$name})
    {
        is("refused $refused{$name}", $expected, $name);
        next;
    }
    is( $node->safe_psql('postgres', qq{
SELECT coalesce((SELECT sqlstate FROM ft.orchestration_failures WHERE execution_id = '$execution{$name}'), result::text)
  FROM ft.orchestration_tasks WHERE execution_id = '$execution{$name}'}),
        $expected,
        $name);
}
is($node->safe_psql('postgres', "SELECT count(*) FROM ledger WHERE what = 'committed'"), '0',
    'what failed has left nothing');
is($node->safe_psql('postgres', "SELECT role, session_role FROM ledger WHERE what = 'at commit'"),
    'alice|alice', 'what was put off to the commit ran as the owner');
is($node->safe_psql('postgres', "SELECT status FROM ft.orchestration_executions WHERE execution_id = '$of_bob'"),
    'PENDING', 'what is of others is as it was');

#
# What one leaves, the next of the same owner, in the same session, must not find.
#
$node->safe_psql('postgres', q{
SELECT ft.define_orchestration('leave', jsonb_build_array(
    jsonb_build_object('name', 'first', 'command', $$
        SET work_mem = '77MB';
        SET search_path = nowhere, public;
        SET DateStyle = 'German';
        SELECT pg_advisory_lock(4711);
        SELECT pg_advisory_lock_shared(4712);
        CREATE TEMP TABLE left_behind (x int);
        DECLARE left_open CURSOR WITH HOLD FOR SELECT 1;
        PREPARE left_prepared AS SELECT 1;
        SELECT set_config('my.setting', 'left', false);
        SELECT pg_backend_pid() $$),
    jsonb_build_object('name', 'second', 'depends_on', '{first}'::text[], 'command', $$
        SELECT jsonb_build_object('pid', pg_backend_pid(), 'found', concat_ws(',',
            CASE WHEN current_setting('work_mem') = '77MB' THEN 'work_mem' END,
            CASE WHEN current_setting('search_path') LIKE 'nowhere%' THEN 'search_path' END,
            CASE WHEN current_setting('DateStyle') LIKE 'German%' THEN 'DateStyle' END,
            (SELECT string_agg(objid::text, ',') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
            (SELECT string_agg(name, ',') FROM pg_cursors WHERE name LIKE 'left%'),
            (SELECT string_agg(name, ',') FROM pg_prepared_statements),
            nullif(current_setting('my.setting', true), ''),
            to_regclass('pg_temp.left_behind'))) $$)));
}, extra_params => [ '-U', 'alice' ]);
my $leaving = $node->safe_psql('postgres', "SELECT ft.start('leave')", extra_params => [ '-U', 'alice' ]);
ok( $node->poll_query_until('postgres',
        "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$leaving'"),
    'a step that leaves much behind, and the next');
is( $node->safe_psql('postgres', qq{
SELECT second.result ->> 'found', second.result ->> 'pid' = first.result::text
  FROM ft.orchestration_tasks AS first, ft.orchestration_tasks AS second
 WHERE first.execution_id = '$leaving' AND first.task_name = 'first'
   AND second.execution_id = '$leaving' AND second.task_name = 'second'}),
    '|t',
    'which finds nothing of it in the same session');

#
# Nor does anybody else, while its executor waits for work.
#
$node->safe_psql('postgres', q{SELECT ft.submit('CREATE TEMP TABLE left_again (x int); SELECT pg_advisory_lock(4713)')},
    extra_params => [ '-U', 'alice' ]);
ok( $node->poll_query_until('postgres', q{
SELECT EXISTS (SELECT FROM ft.orchestration_tasks WHERE command LIKE '%left_again%' AND status = 'COMPLETED')
   AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')
   AND NOT EXISTS (SELECT FROM pg_class WHERE relname = 'left_again')}),
    'what the last one leaves is gone while its executor waits for the next');

#
# A time limit, and a step that catches what ends it.
#
my $catching = q{DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled OR OTHERS THEN NULL; END; END LOOP; END $$};
my $stubborn = $node->safe_psql('postgres',
    "SELECT ft.submit(\$submit\$$catching\$submit\$, timeout => '100ms', max_attempts => 1)", extra_params => [ '-U', 'alice' ]);
my $sleeping = $node->safe_psql('postgres',
    "SELECT ft.submit('SELECT pg_sleep(600)', timeout => '100ms', max_attempts => 1)", extra_params => [ '-U', 'bob' ]);
ok( $node->poll_query_until('postgres', "SELECT status = 'ROLLED_BACK' FROM ft.orchestration_executions WHERE execution_id = '$sleeping'"),
    'a step is ended at its time limit');
is($node->safe_psql('postgres', "SELECT sqlstate FROM ft.orchestration_failures WHERE execution_id = '$sleeping'"),
    '57014', 'by a cancel');
ok( $node->poll_query_until('postgres', "SELECT status = 'ROLLED_BACK' FROM ft.orchestration_executions WHERE execution_id = '$stubborn'"),
    'one that catches the cancel is ended too');
is($node->safe_psql('postgres', "SELECT sqlstate, count(*) FROM ft.orchestration_failures WHERE execution_id = '$stubborn' GROUP BY 1"),
    '57P01|1', 'with its executor');
is($node->safe_psql('postgres', "SELECT last_error FROM ft.worker_status() WHERE worker = 'scheduler' AND datname = 'postgres'"),
    'an executor was ended, because what it ran went on after its time limit', 'which is shown');
my $after = $node->safe_psql('postgres', "SELECT ft.submit('SELECT current_user')", extra_params => [ '-U', 'alice' ]);
ok( $node->poll_query_until('postgres', "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$after'"),
    'and the next step of its owner runs');

#
# The same in steps that share a commit, and one whose part of the commit does
# not end: the others get theirs.  The first is claimed by itself, and the rest
# in one go.
#
$node->safe_psql('postgres', q{
CREATE FUNCTION hangs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END';
CREATE TABLE hanging (x int);
GRANT ALL ON hanging TO alice;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON hanging DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hangs();
});
for my $case (
    [ 'one that catches the cancel', $catching, '57P01' ],
    [ 'one that does not end at the commit', 'INSERT INTO hanging VALUES (1)', '57014' ])
{
    my ($what, $command, $sqlstate) = @$case;
    my $first = $node->safe_psql('postgres', qq{
SELECT min(id::text) FROM (SELECT ft.submit(CASE WHEN i = 6 THEN \$submit\$$command\$submit\$ ELSE 'SELECT 1' END,
           short => true, timeout => '100ms', max_attempts => 1) AS id FROM generate_series(1, 10) AS i) AS x
}, extra_params => [ '-U', 'alice' ]);

    ok( $node->poll_query_until('postgres', qq{
SELECT count(*) FILTER (WHERE status = 'COMPLETED') = 9 AND count(*) FILTER (WHERE status = 'ROLLED_BACK') = 1
  FROM ft.orchestration_executions WHERE execution_id >= '$first'}),
        "of short steps, $what keeps no other from its end");
    is($node->safe_psql('postgres', "SELECT sqlstate, count(*) FROM ft.orchestration_failures WHERE execution_id >= '$first' GROUP BY 1"),
        "$sqlstate|1", '... and has failed, by itself');
}

is( $node->safe_psql('postgres',
        'SELECT count(*) FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id)'),
    '0',
    'every execution is valid');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing crashed');

done_testing();
