# Steps that run by themselves: what cannot be a part of a transaction, at
# least once.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', q{
fault_tolerance.recovery_backoff = '10ms'
restart_after_crash = on});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE ledger (entry serial, what text, xid xid8 DEFAULT pg_current_xact_id(), setting text DEFAULT current_setting('work_mem'));
CREATE TABLE gate ();
CREATE PROCEDURE twice(what jsonb) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.ledger (what) VALUES ('first ' || (what ->> 'name'));
    PERFORM ft.set_state('{"half": true}');
    COMMIT;
    PERFORM pg_sleep(600) WHERE EXISTS (SELECT FROM pg_class WHERE relname = 'gate');
    INSERT INTO public.ledger (what) VALUES ('second ' || (what ->> 'name'));
END $$;
CREATE VIEW progress AS
SELECT execution_id, e.status, t.status AS task, attempt, failures, losses, error_sqlstate
  FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)});

sub submit
{
    my ($command, $more) = @_;

    return $node->safe_psql('postgres',
        "SELECT ft.submit(\$command\$$command\$command\$, '{\"name\": \"Ada\"}', execution_mode => 'non_transactional'"
          . ($more // '') . ')');
}

sub ends
{
    my ($execution, $status, $name) = @_;

    return ok(
        $node->poll_query_until('postgres',
            "SELECT status = '$status' FROM progress WHERE execution_id = '$execution'"),
        $name);
}

sub ledger
{
    return $node->safe_psql('postgres', "SELECT string_agg(what, ',' ORDER BY entry) FROM ledger");
}

#
# What no transaction block allows.
#
$node->safe_psql('postgres', 'CREATE TABLE heap AS SELECT generate_series(1, 100) AS x; DELETE FROM heap');
ends(submit('VACUUM (ANALYZE) public.heap'), 'COMPLETED', 'VACUUM');
is($node->safe_psql('postgres', "SELECT relpages FROM pg_class WHERE relname = 'heap'"), '0', 'has been done');
ends(submit('CREATE INDEX CONCURRENTLY heap_x ON public.heap (x)'), 'COMPLETED', 'CREATE INDEX CONCURRENTLY');
is($node->safe_psql('postgres', "SELECT indisvalid FROM pg_index WHERE indexrelid = 'heap_x'::regclass"), 't', 'has been done');
ends(submit('REINDEX TABLE CONCURRENTLY public.heap'), 'COMPLETED', 'REINDEX CONCURRENTLY');
ends(submit('CREATE DATABASE another'), 'COMPLETED', 'CREATE DATABASE');
ends(submit("INSERT INTO public.ledger (what) VALUES (\$1 ->> 'name')"), 'COMPLETED', 'what could be a transaction');
is(ledger(), 'Ada', 'with its parameters');
ends(submit('SELECT * FROM public.ledger'), 'COMPLETED', 'a query');
$node->safe_psql('postgres', 'DROP TABLE gate; TRUNCATE ledger');
my $execution = submit('CALL public.twice($1)');
ends($execution, 'COMPLETED', 'a procedure that commits');
is(ledger(), 'first Ada,second Ada', 'does all it has to');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT xid) FROM ledger'), '2', 'in transactions of its own');
is($node->safe_psql('postgres', "SELECT state FROM ft.orchestration_executions WHERE execution_id = '$execution'"),
    '{"half": true}', 'and its state is kept');

#
# As a step between others, skipped or not.
#
$node->safe_psql('postgres', q{
TRUNCATE ledger;
SELECT ft.define_orchestration('mixed', '[
    {"name": "a", "command": "INSERT INTO public.ledger (what) VALUES (''a'') RETURNING what"},
    {"name": "b", "depends_on": ["a"], "execution_mode": "non_transactional",
     "command": "INSERT INTO public.ledger (what) VALUES (''b after '' || ($3 ->> ''a''))"},
    {"name": "c", "depends_on": ["a"], "execution_mode": "non_transactional", "condition": "SELECT false",
     "command": "INSERT INTO public.ledger (what) VALUES (''never'')"},
    {"name": "d", "depends_on": ["b", "c"], "command": "INSERT INTO public.ledger (what) VALUES (''d'')"}]')});
$execution = $node->safe_psql('postgres', "SELECT ft.start('mixed')");
ok($node->poll_query_until('postgres', "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"),
    'between transactional steps');
is(ledger(), 'a,b after a,d', 'in order, and skipped where its condition is false');

#
# What it sets in the session does not stay.
#
$node->safe_psql('postgres', 'TRUNCATE ledger; CREATE ROLE helper; GRANT helper TO CURRENT_USER');
ends(submit("SET work_mem = '77MB'"), 'COMPLETED', 'a setting');
ends(submit('SET default_transaction_read_only = on'), 'COMPLETED', 'one that the engine cannot work under');
ends(submit('SET ROLE helper'), 'COMPLETED', 'a role');
ends(submit("INSERT INTO public.ledger (what) VALUES (current_user)"), 'COMPLETED', 'the next step');
is($node->safe_psql('postgres', "SELECT what = current_user, setting FROM ledger"), 't|4MB', 'finds nothing of it');

#
# Failures.
#
ends(submit('VACUUM public.nowhere'), 'ROLLED_BACK', 'what fails has failed');
ends(submit('COMMIT'), 'ROLLED_BACK', 'transaction control is refused');
$node->safe_psql('postgres', 'CREATE TABLE gate (); TRUNCATE ledger');
$execution = submit('CALL public.twice($1)', ", timeout => '200 ms', max_attempts => 2");
ends($execution, 'ROLLED_BACK', 'a timeout holds across its transactions');
is($node->safe_psql('postgres', "SELECT string_agg(sqlstate || ' ' || attempt, ',' ORDER BY attempt) FROM ft.orchestration_failures WHERE execution_id = '$execution'"),
    '57014 1,57014 2', 'for each attempt');
is(ledger(), 'first Ada,first Ada', 'what was committed before stays');

# A loop over a cursor that has been held over a commit: the cursor is pinned.
$node->safe_psql('postgres', q{
CREATE PROCEDURE fails_in_loop() LANGUAGE plpgsql AS $$
DECLARE
    i integer;
BEGIN
    FOR i IN SELECT generate_series(1, 3) LOOP
        COMMIT;
        PERFORM 1 / (i - 2);
    END LOOP;
END $$});
$execution = submit('CALL public.fails_in_loop()', ', max_attempts => 1');
ends($execution, 'ROLLED_BACK', 'a procedure that fails after a commit in a loop');
is($node->safe_psql('postgres', "SELECT sqlstate, losses FROM ft.orchestration_failures AS f JOIN ft.orchestration_tasks USING (task_id) WHERE f.execution_id = '$execution'"),
    '22012|0', 'has failed by its own error, and its executor is there');

#
# What a step was given is not kept by its executor: each of these has 100 kB.
#
my $weigh = "SELECT used_bytes FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext'";
$node->safe_psql('postgres', qq{
SELECT ft.define_orchestration('heavy',
    jsonb_build_object('name', 'before', 'command', \$w\$$weigh\$w\$)
    || (SELECT jsonb_agg(jsonb_build_object('name', 's' || i, 'execution_mode', 'non_transactional',
                                            'depends_on', jsonb_build_array(CASE i WHEN 1 THEN 'before' ELSE 's' || i - 1 END),
                                            'command', 'SELECT length(\$1 ->> ''a'')') ORDER BY i)
          FROM generate_series(1, 50) AS i)
    || jsonb_build_object('name', 'after', 'command', \$w\$$weigh\$w\$, 'depends_on', '["s50"]'::jsonb))});
$execution = $node->safe_psql('postgres', q{SELECT ft.start('heavy', jsonb_build_object('a', repeat('x', 100000)))});
ok( $node->poll_query_until('postgres',
        "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"),
    'many steps with much input');
cmp_ok($node->safe_psql('postgres', qq{
SELECT max(result::int) - min(result::int) FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND result IS NOT NULL}),
    '<', 1000000, '... which their executor does not keep');

#
# A crash in the middle: it runs again.
#
sub until_half
{
    return ok(
        $node->poll_query_until('postgres',
            q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'}),
        'a procedure is in the middle');
}

$node->safe_psql('postgres', 'TRUNCATE ledger');
$execution = submit('CALL public.twice($1)');
until_half();
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor'});
ok($node->poll_query_until('postgres', "SELECT attempt = 2 FROM progress WHERE execution_id = '$execution' AND task = 'RUNNING'"),
    'terminated, it is begun again');
until_half();
$node->stop('immediate');
$node->start;
ok($node->poll_query_until('postgres', "SELECT attempt = 3 FROM progress WHERE execution_id = '$execution' AND task = 'RUNNING'"),
    'crashed, it is begun again');
until_half();
$node->safe_psql('postgres', 'DROP TABLE gate');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor'});
ends($execution, 'COMPLETED', 'and ends');
is(ledger(), 'first Ada,first Ada,first Ada,first Ada,second Ada', 'at least once');
is( $node->safe_psql('postgres',
        'SELECT v FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v'),
    '', 'nothing contradicts');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal|snapshot .* still active|WARNING/,
    'and nothing is odd in the log');

done_testing();
