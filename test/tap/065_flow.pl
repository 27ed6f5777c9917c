# Steps that sleep, wait for signals, fan out and are repeated, with executors
# at work: nobody has to be told twice, and what many children cost is printed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "fault_tolerance.max_result_size = '64MB'");
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE ledger (entry serial, what text, at timestamptz DEFAULT clock_timestamp());
});

# Start one; returns the execution.
sub start
{
    my ($name, $input) = @_;

    return $node->safe_psql('postgres',
        "SELECT ft.start('$name', '" . ($input // '{}') . "')");
}

sub wait_for_end
{
    my ($execution, $what) = @_;

    ok( $node->poll_query_until(
            'postgres',
            "SELECT status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$execution'"
        ),
        "$what: it completes");
    is( $node->safe_psql(
            'postgres', "SELECT * FROM ft.validate_execution('$execution')"),
        '',
        "$what: it is valid");
    return;
}

#
# A sleep that nobody but the clock ends.
#
$node->safe_psql(
    'postgres', q{
SELECT ft.define_orchestration('sleep', '[
    {"name": "a", "command": "INSERT INTO ledger (what) VALUES (''a'')"},
    {"name": "sleep", "depends_on": ["a"], "sleep": "700 ms"},
    {"name": "b", "depends_on": ["sleep"], "command": "INSERT INTO ledger (what) VALUES (''b'')"}]')});
wait_for_end(start('sleep'), 'sleep');
is( $node->safe_psql(
        'postgres',
        q{SELECT b.at - a.at >= interval '700 ms', b.at - a.at < interval '9 s'
           FROM ledger AS a, ledger AS b WHERE a.what = 'a' AND b.what = 'b'}),
    't|t',
    'it has slept as long as it should, and no poll had to find it');

#
# Signals: 50 executions, each gets its signal from another session while its
# steps are on their way.
#
$node->safe_psql(
    'postgres', q{
SELECT ft.define_orchestration('signal', '[
    {"name": "a", "command": "SELECT pg_sleep(0.002 * random())"},
    {"name": "wait", "depends_on": ["a"], "signal": "go",
     "command": "INSERT INTO ledger (what) VALUES (''signal '' || ft.item()::text)"}]')});
for my $n (1 .. 50)
{
    my $execution = start('signal');

    $node->safe_psql('postgres', "SELECT ft.signal('$execution', 'go', '$n')");
}
ok( $node->poll_query_until(
        'postgres',
        q{SELECT count(*) = 50 FROM ft.orchestration_executions AS e
            JOIN ft.orchestrations USING (orchestration_id)
           WHERE orchestration_name = 'signal' AND e.status = 'COMPLETED'}),
    'no signal is lost');
is( $node->safe_psql(
        'postgres',
        q{SELECT count(*), count(DISTINCT what) FROM ledger WHERE what LIKE 'signal%'}),
    '50|50',
    'and each counts once');

#
# A loop.
#
$node->safe_psql(
    'postgres', q{
SELECT ft.define_orchestration('loop', '[
    {"name": "count", "max_iterations": 100, "repeat_while": "SELECT ft.iteration() < 20",
     "command": "INSERT INTO ledger (what) VALUES (''round '' || ft.iteration())"}]')});
wait_for_end(start('loop'), 'loop');
is( $node->safe_psql(
        'postgres',
        q{SELECT count(*), count(DISTINCT what) FROM ledger WHERE what LIKE 'round%'}),
    '20|20',
    'each round is run once');

#
# Orchestrations within orchestrations: whoever ends one at the same time as
# others end theirs, each is told of.
#
$node->safe_psql(
    'postgres', q{
SELECT ft.define_orchestration('inner', '[
    {"name": "a", "command": "INSERT INTO ledger (what) VALUES (''inner '' || ($1 #>> ''{}''))"},
    {"name": "b", "depends_on": ["a"], "command": "SELECT ft.set_state(jsonb_build_object(''did'', $1))"}]');
SELECT ft.define_orchestration('outer', '[
    {"name": "each", "for_each": "SELECT generate_series(1, 100)", "orchestration": "inner",
     "input": "SELECT $4"},
    {"name": "sum", "depends_on": ["each"],
     "command": "SELECT sum((s ->> ''did'')::int) FROM jsonb_array_elements($3 -> ''each'') AS s"}]')});
my $outer = start('outer');
wait_for_end($outer, 'orchestrations within');
is( $node->safe_psql(
        'postgres',
        "SELECT result FROM ft.orchestration_tasks WHERE execution_id = '$outer' AND task_name = 'sum'"
    ),
    5050,
    'the state of each is its result');
is( $node->safe_psql(
        'postgres',
        q{SELECT count(*), count(DISTINCT what) FROM ledger WHERE what LIKE 'inner%'}),
    '100|100',
    'each is run once');

#
# Many children.
#
$node->safe_psql(
    'postgres', q{
SELECT ft.define_orchestration('fan', '[
    {"name": "each", "for_each": "SELECT generate_series(1, ($1 #>> ''{}'')::int)",
     "command": "SELECT $4"},
    {"name": "sum", "depends_on": ["each"],
     "command": "SELECT sum(n::int) FROM jsonb_array_elements($3 -> ''each'') AS n"}]')});
for my $children (100, 1000, 10000)
{
    my $execution = start('fan', $children);

    wait_for_end($execution, "$children children");
    is( $node->safe_psql(
            'postgres',
            "SELECT result FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND task_name = 'sum'"
        ),
        $children * ($children + 1) / 2,
        "$children children: none is left out");
    note("$children children: "
          . $node->safe_psql(
            'postgres',
            "SELECT round(extract(epoch FROM finished_at - created_at) * 1000000 / $children)
               FROM ft.orchestration_executions WHERE execution_id = '$execution'"
          )
          . ' microseconds for each');
}

$node->stop;
done_testing();
