# Short steps that depend on one another share a commit as well: what each of
# them has done is in a ledger, with the transaction that it was done in.
use strict;
use warnings FATAL => 'all';

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
max_worker_processes = 16
restart_after_crash = on
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE ledger (entry serial PRIMARY KEY, execution_id uuid, step text, xid xid8, pid int);
CREATE FUNCTION note(step text) RETURNS void LANGUAGE sql AS
    'INSERT INTO ledger (execution_id, step, xid, pid)
     SELECT execution_id, step, pg_current_xact_id(), pg_backend_pid() FROM ft.current_step()';
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE VIEW shared AS
    SELECT execution_id, array_agg(step ORDER BY entry) AS steps, count(DISTINCT xid) AS commits
      FROM ledger GROUP BY execution_id;
});

sub sql { return $node->safe_psql('postgres', $_[0]) }

# An orchestration of short steps; what each does beside its note.
sub define
{
    my ($name, @tasks) = @_;
    my @all;

    foreach my $task (@tasks)
    {
        my ($step, $depends_on, $command, $more) = @$task;
        my $needs = join(',', map { "\"$_\"" } @$depends_on);
        push @all, qq({"name": "$step", "short": true, "depends_on": [$needs],)
          . qq( "command": "SELECT note('$step'); $command" ) . ($more // '') . '}';
    }
    sql("SELECT ft.define_orchestration('$name', \$tasks\$[" . join(',', @all) . ']$tasks$)');
}

# A chain: what the steps do, by their place.
sub define_chain
{
    my ($name, $n, %commands) = @_;

    define($name,
        map { [ "s$_", $_ > 1 ? [ 's' . ($_ - 1) ] : [], $commands{$_} // 'SELECT 1', $commands{"more$_"} ] } 1 .. $n);
}

sub await
{
    my ($condition, $what) = @_;

    return ok(poll($node, "SELECT $condition"), $what)
      || diag(sql('SELECT task_name, status, attempt, error_message, suspicion FROM ft.orchestration_tasks LIMIT 50'));
}

sub forget { sql('TRUNCATE ft.orchestration_executions CASCADE; TRUNCATE ledger, child') }

sub all_valid
{
    is(sql('SELECT e.execution_id, v.* FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v'),
        '', 'all valid');
}

# Made while executors are off, so that they find all of it.
sub together
{
    my ($statement) = @_;

    sql('ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off; SELECT ft.wake_worker()');
    wait_for_scheduler($node, 'postgres', 'paused');
    await("NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')", 'no executor while it is off');
    my $result = sql($statement);
    sql('ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
    return $result;
}

my $all_done = "NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE status <> 'COMPLETED')";

#
# A chain: what a step gives is there for the next one.
#
define_chain('chain', 5,
    1 => q{SELECT ft.set_state('{\"s1\": 1}'); SELECT 10},
    map { $_ => "SELECT ft.set_state(ft.state() || '{\\\"s$_\\\": $_}'); SELECT ft.result('s" . ($_ - 1) . "')::int + 1" } 2 .. 5);
my $tries = 0;
my $once = 0;
# where the machine is busy a step may take longer than a short one may
while (!$once && $tries++ < 30)
{
    my $execution = sql("SELECT ft.start('chain')");
    await($all_done, "a chain, $tries");
    $once = sql("SELECT commits FROM shared WHERE execution_id = '$execution'") == 1;
}
ok($once, 'five steps in one commit');
is(sql(q{SELECT DISTINCT steps FROM shared}), '{s1,s2,s3,s4,s5}', 'one after the other');
is( sql(q{SELECT DISTINCT result FROM ft.orchestration_tasks WHERE task_name = 's5'}),
    '14', 'each with the result of the one before');
is( sql(q{SELECT DISTINCT state, completions, tasks_left FROM ft.orchestration_executions}),
    '{"s1": 1, "s2": 2, "s3": 3, "s4": 4, "s5": 5}|5|0', 'and with the state');
is( sql(q{SELECT DISTINCT array_agg(task_name || completion_order ORDER BY started_at, completed_at)::text FROM ft.orchestration_tasks GROUP BY execution_id}),
    '{s11,s22,s33,s44,s55}', 'and have completed in this order');
is( sql(q{SELECT count(*) FROM ft.orchestration_tasks AS t JOIN ft.orchestration_executions AS e USING (execution_id)
           WHERE t.started_at > t.completed_at OR t.started_at < e.started_at OR t.completed_at > e.finished_at
              OR t.attempt <> 1 OR t.failures + t.losses > 0}),
    '0', 'within their execution');
all_valid();

# Many of them.
forget();
together("SELECT count(ft.start('chain')) FROM generate_series(1, 60)");
await($all_done, '60 chains');
is(sql(q{SELECT DISTINCT steps FROM shared}), '{s1,s2,s3,s4,s5}', 'each step once, and in its order');
my $commits = sql('SELECT count(DISTINCT xid) FROM ledger');
cmp_ok($commits, '<', 60, "in $commits commits");
all_valid();

#
# Branches, and what joins them; more of them than are claimed at a time.
#
forget();
define('diamond', [ 'a', [], 'SELECT 1' ], [ 'b1', ['a'], 'SELECT 2' ], [ 'b2', ['a'], 'SELECT 3' ],
    [ 'c', [ 'b1', 'b2' ], q{SELECT ft.result('b1')::int * 10 + ft.result('b2')::int} ],
    [ 'd', [ 'c', 'a' ], 'SELECT $3' ]);
$tries = $once = 0;
while (!$once && $tries++ < 30)
{
    my $execution = sql("SELECT ft.start('diamond')");
    await($all_done, "two branches, $tries");
    $once = sql("SELECT commits FROM shared WHERE execution_id = '$execution'") == 1;
}
ok($once, 'a join of two branches in one commit');
is( sql(q{SELECT DISTINCT result FROM ft.orchestration_tasks WHERE task_name = 'd'}),
    '{"a": 1, "c": 23}', 'with the results of both');
is(sql('SELECT DISTINCT cardinality(steps) FROM shared'), '5', 'each of it once');
define('broad', [ 'a', [], 'SELECT 1' ], (map { [ "b$_", ['a'], "SELECT $_" ] } 1 .. 50),
    [ 'c', [ map { "b$_" } 1 .. 50 ], 'SELECT $3' ]);
forget();
sql("SELECT count(ft.start('broad')) FROM generate_series(1, 3)");
await($all_done, 'a join of 50 branches');
is( sql('SELECT count(*), count(DISTINCT (execution_id, step)), (SELECT DISTINCT count(*) FROM jsonb_object_keys((SELECT result FROM ft.orchestration_tasks WHERE task_name = \'c\' LIMIT 1))) FROM ledger'),
    '156|156|50', 'each of them once, and all before the join');
all_valid();

# What is not short, sleeps, or waits for a signal is not run with them.
define('mixed', [ 'a', [], 'SELECT 1' ], [ 'asleep', ['a'], 'SELECT 1', ', "sleep": "1 h"' ],
    [ 'waits', ['a'], 'SELECT ft.item()', ', "signal": "go"' ], [ 'skipped', ['a'], 'SELECT 1', ', "condition": "SELECT false"' ],
    [ 'b', ['skipped'], 'SELECT 1' ]);
forget();
my $mixed = sql("SELECT ft.start('mixed')");
await("count(*) = 2 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'", 'a step, and one behind one that is skipped');
is( sql(q{SELECT string_agg(task_name || ' ' || status, ',' ORDER BY task_name) FROM ft.orchestration_tasks WHERE task_name IN ('asleep', 'skipped', 'waits')}),
    'asleep PENDING,skipped SKIPPED,waits PENDING', 'others wait for their time, or their signal');
sql("SELECT ft.signal('$mixed', 'go', '7')");
await("count(*) = 3 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'", 'which one of them has got now');
is(sql(q{SELECT result FROM ft.orchestration_tasks WHERE task_name = 'waits'}), '7', 'with what was sent');
all_valid();

#
# A step that fails leaves those before it as they are.
#
define_chain('fails', 5, 3 => 'SELECT 1 / 0', more3 => ', "max_attempts": 1');
define_chain('spoils', 5, 4 => 'INSERT INTO child VALUES (1)', more4 => ', "max_attempts": 1');
define_chain('slow', 5, 3 => 'SELECT pg_sleep(0.1)');
forget();
together(q{SELECT count(ft.start(name)) FROM generate_series(1, 5), unnest('{chain,fails,chain,spoils,slow}'::text[]) AS name});
await("NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE finished_at IS NULL AND status IN ('PENDING', 'RUNNING'))
       AND count(*) FILTER (WHERE error_sqlstate IS NOT NULL) = 10 FROM ft.orchestration_tasks",
    'chains of which some fail');
is( sql(q{SELECT orchestration_name, e.status, count(DISTINCT execution_id), string_agg(DISTINCT task_name || ' ' || error_sqlstate, ',')
            FROM ft.orchestration_executions AS e JOIN ft.orchestrations USING (orchestration_id)
                 JOIN ft.orchestration_tasks USING (execution_id) GROUP BY 1, 2 ORDER BY 1}),
    "chain|COMPLETED|10|\nfails|ROLLED_BACK|5|s3 22012\nslow|COMPLETED|5|\nspoils|ROLLED_BACK|5|s4 23503",
    'by an error of their own, or by a constraint at commit');
is( sql(q{SELECT orchestration_name, array_agg(DISTINCT steps::text), sum(failures)
            FROM shared JOIN ft.orchestration_executions USING (execution_id) JOIN ft.orchestrations USING (orchestration_id)
                 JOIN (SELECT execution_id, sum(failures) AS failures FROM ft.orchestration_tasks GROUP BY 1) AS t USING (execution_id)
           GROUP BY 1 ORDER BY 1}),
    qq(chain|{"{s1,s2,s3,s4,s5}"}|0\nfails|{"{s1,s2}"}|0\nslow|{"{s1,s2,s3,s4,s5}"}|0\nspoils|{"{s1,s2,s3}"}|0),
    'and what had completed before is there once');
is( sql(q{SELECT count(*), count(DISTINCT execution_id), string_agg(DISTINCT sqlstate, ',' ORDER BY sqlstate) FROM ft.orchestration_failures}),
    '10|10|22012,23503', 'nobody else has failed');
all_valid();

#
# Somebody has one execution locked, for as long as he likes: that stands still,
# and nothing else that was to share a transaction with it.
#
sql('ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off; SELECT ft.wake_worker()');
wait_for_scheduler($node, 'postgres', 'paused');
await("NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')", 'no executor');
forget();
sql("SELECT count(ft.start('chain')) FROM generate_series(1, 60)");
my $locker = $node->background_psql('postgres', on_error_stop => 0);
$locker->query_safe('BEGIN; SELECT FROM ft.orchestration_executions WHERE execution_id = (SELECT execution_id FROM ft.orchestration_executions ORDER BY execution_id OFFSET 20 LIMIT 1) FOR UPDATE');
sql('ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
await("count(*) = 59 FROM ft.orchestration_executions WHERE status = 'COMPLETED'", 'all but one that is locked');
$locker->query_safe('COMMIT');
$locker->quit;
await($all_done, 'and that when it is not any more');
is(sql(q{SELECT DISTINCT steps FROM shared}), '{s1,s2,s3,s4,s5}', 'each step once');
all_valid();

#
# What a step has put off to the commit is under its time limit also where the
# one after it was tried, and is to run alone.
#
sql(q{
CREATE TABLE late (id int);
CREATE FUNCTION be_late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION be_late()});
define_chain('late', 2, 1 => 'INSERT INTO late VALUES (1)', more1 => ', "timeout": "300 ms", "max_attempts": 1',
    2 => 'SELECT 1 / 0', more2 => ', "max_attempts": 1');
forget();
sql("SELECT ft.start('late')");
await("finished_at IS NOT NULL OR status NOT IN ('PENDING', 'RUNNING') FROM ft.orchestration_executions", 'a chain that is late with its commit');
is(sql('SELECT task_name, sqlstate FROM ft.orchestration_failures JOIN ft.orchestration_tasks USING (task_id)'),
    's1|57014', 'has come to its limit');
all_valid();

#
# Who waits for the execution of a step of the group does not wait for more than
# what is under way.  The second step waits to be waited for.
#
sql(q{
CREATE FUNCTION be_waited_for() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 40 LOOP
        IF EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted
                      AND transactionid::text = (pg_current_xact_id()::text::numeric % 4294967296)::text) THEN
            RETURN true;
        END IF;
        PERFORM pg_sleep(0.0005);
    END LOOP;
    RETURN false;
END $$;
CREATE PROCEDURE wait_for(execution_id uuid) LANGUAGE plpgsql AS $$
BEGIN
    WHILE pg_try_advisory_lock_shared(5) LOOP
        PERFORM pg_advisory_unlock_shared(5);
        EXIT WHEN EXISTS (SELECT FROM ledger AS l WHERE l.execution_id = wait_for.execution_id AND step = 's5');
    END LOOP;
    PERFORM ft.pause(wait_for.execution_id);
    PERFORM ft.resume(wait_for.execution_id);
EXCEPTION WHEN check_violation OR object_not_in_prerequisite_state THEN
    RAISE NOTICE 'too late';
END $$;
});
define_chain('waited', 5, 1 => 'SELECT pg_advisory_xact_lock(5)', 2 => 'SELECT be_waited_for()');
my $waited = 0;
for ($tries = 1; !$waited && $tries <= 30; $tries++)
{
    my $execution;

    forget();
    sql(q{ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off; SELECT ft.wake_worker()});
    wait_for_scheduler($node, 'postgres', 'paused');
    $execution = sql("SELECT ft.start('waited')");
    my $waiter = $node->background_psql('postgres', on_error_stop => 0);
    $waiter->query_until(qr/waiting/, "\\echo waiting\nCALL wait_for('$execution');\n");
    sql('ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
    await($all_done, "a chain that is waited for, $tries");
    $waiter->quit;
    $waited = sql(q{SELECT count(*) FROM ft.orchestration_tasks WHERE task_name = 's2' AND result = 'true' AND attempt = 1}) &&
      sql(q{SELECT count(DISTINCT xid) = 1 FROM ledger WHERE step IN ('s1', 's2')}) eq 't';
}
ok($waited, 'somebody waits for a group that goes on');
is( sql(q{SELECT array_agg(step ORDER BY entry) FROM ledger WHERE xid = (SELECT xid FROM ledger WHERE step = 's1')}),
    '{s1,s2}', 'it ends with the step that is under way');

#
# The server goes down in the middle of chains, and each step has been once.
#
forget();
sql("SELECT count(ft.start('chain')) FROM generate_series(1, 300)");
foreach my $round (1 .. 3)
{
    poll($node, "SELECT count(*) >= $round * 60 FROM ft.orchestration_executions WHERE status = 'COMPLETED'");
    my ($pid) = split(/\n/, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor'"));
    kill('KILL', $pid) if $pid;
    poll($node, 'SELECT NOT pg_is_in_recovery()');
}
await($all_done, '300 chains, and three crashes');
is(sql(q{SELECT DISTINCT steps FROM shared}), '{s1,s2,s3,s4,s5}', 'each step once, and in its order');
is(sql(q{SELECT count(*) FROM ft.orchestration_failures AS f JOIN ft.orchestration_tasks AS t USING (task_id) WHERE t.losses < 2}),
    '0', 'nothing has failed that was lost once');
all_valid();

#
# A step in the middle takes the server down: it is found, as if it had run
# alone, and the others are not blamed.
#
forget();
my $restarts = sub { my $n = () = slurp_file($node->logfile) =~ /all server processes terminated; reinitializing/g; return $n };
my $before = $restarts->();
define_chain('kills', 5, 4 => q{COPY parent TO PROGRAM 'kill -9 $PPID'}, more4 => ', "max_attempts": 2');
together(q{SELECT count(ft.start('chain')) FROM generate_series(1, 5);
           SELECT ft.start('kills');
           SELECT count(ft.start('chain')) FROM generate_series(1, 5)});
await("status = 'ROLLED_BACK' FROM ft.orchestration_executions JOIN ft.orchestrations USING (orchestration_id) WHERE orchestration_name = 'kills'",
    'a short step that takes the server down is stopped');
await("count(*) = 10 FROM ft.orchestration_executions WHERE status = 'COMPLETED'", 'its neighbours are done');
is( sql(q{SELECT DISTINCT steps FROM shared JOIN ft.orchestration_executions USING (execution_id) ORDER BY 1}),
    "{s1,s2,s3}\n{s1,s2,s3,s4,s5}", 'each step once');
is( sql(q{SELECT task_name, sqlstate, count(*) FROM ft.orchestration_failures JOIN ft.orchestration_tasks USING (task_id) GROUP BY 1, 2}),
    's4|57P02|2', 'only it has failed, as often as it has attempts');
my $crashes = $restarts->() - $before;
cmp_ok($crashes, '<=', 4, "the server went down $crashes times");
all_valid();

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|internal error/, 'nothing unforeseen in the log');

done_testing();
