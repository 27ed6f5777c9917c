# Steps that executors run: in parallel, joined, retried, limited in time, by
# priority, several in one commit; and executors that are lost at it.  What
# each has done is in a ledger, in which every step is to be exactly once.
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
fault_tolerance.max_executors = 4
max_worker_processes = 16
restart_after_crash = on
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
GRANT USAGE ON SCHEMA ft TO alice;
GRANT ALL ON SCHEMA public TO alice;
SET ROLE alice;
CREATE TABLE ledger (entry serial PRIMARY KEY, what text, pid int DEFAULT pg_backend_pid(),
                     xid xid8 DEFAULT pg_current_xact_id(),
                     began timestamptz DEFAULT clock_timestamp(), ended timestamptz);
CREATE TABLE gate (name text);
CREATE SEQUENCE tries;
-- Waits as long as the gate has the name, looking anew each time.
CREATE FUNCTION wait_at(gate_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM gate WHERE name = gate_name) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
});

sub alice
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql, extra_params => [ '-U', 'alice' ]);
}

sub start
{
    my ($name) = @_;
    return alice("SELECT ft.start('$name')");
}

sub define
{
    my ($name, $tasks) = @_;
    alice("SELECT ft.define_orchestration('$name', \$tasks\$$tasks\$tasks\$)");
}

# Wait for a status; a test.
sub becomes
{
    my ($execution, $status, $what) = @_;
    my $as_wanted = $node->poll_query_until('postgres',
        "SELECT status = '$status' FROM ft.orchestration_executions WHERE execution_id = '$execution'"
    );
    diag($node->safe_psql('postgres', 'SELECT * FROM ft.orchestration_tasks'))
      unless $as_wanted;
    is( $node->safe_psql('postgres', "SELECT * FROM ft.validate_execution('$execution')"),
        '', "$what: valid");
    return ok($as_wanted, $what);
}

sub await
{
    my ($condition, $what) = @_;
    return ok($node->poll_query_until('postgres', "SELECT $condition"), $what);
}

sub open_gate { alice("DELETE FROM gate WHERE name = '$_[0]'"); }
sub close_gate { alice("INSERT INTO gate VALUES ('$_[0]')"); }

# Made while the workers are off, so that executors find all of it.
sub together
{
    my ($code) = @_;

    $node->safe_psql('postgres',
        'ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off; SELECT ft.wake_worker()');
    wait_for_scheduler($node, 'postgres', 'paused');
    await("NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')",
        'no executor while it is off');
    my @result = $code->();
    $node->safe_psql('postgres',
        'ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
    return @result;
}

sub all_done
{
    my ($what) = @_;
    return await(
        "NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE status <> 'COMPLETED')", $what);
}

sub ledger_is
{
    my ($like, $count, $what) = @_;
    is( alice("SELECT count(*), count(DISTINCT what) FROM ledger WHERE what LIKE '$like'"),
        "$count|$count", $what);
}

sub forget
{
    $node->safe_psql('postgres',
        'TRUNCATE ft.orchestration_executions CASCADE; TRUNCATE ledger; ALTER SEQUENCE tries RESTART');
}

#
# Branches run in parallel, and are joined when the last has ended.
#
define('diamond', q{[
    {"name": "a", "command": "INSERT INTO ledger (what) VALUES ('a')"},
    {"name": "b1", "depends_on": ["a"], "command": "INSERT INTO ledger (what) VALUES ('b1'); SELECT wait_at('join'); UPDATE ledger SET ended = clock_timestamp() WHERE what = 'b1'"},
    {"name": "b2", "depends_on": ["a"], "command": "INSERT INTO ledger (what) VALUES ('b2'); SELECT wait_at('join'); UPDATE ledger SET ended = clock_timestamp() WHERE what = 'b2'"},
    {"name": "b3", "depends_on": ["a"], "command": "INSERT INTO ledger (what) VALUES ('b3'); SELECT wait_at('join'); UPDATE ledger SET ended = clock_timestamp() WHERE what = 'b3'"},
    {"name": "c", "depends_on": ["b1", "b2", "b3"], "command": "INSERT INTO ledger (what) VALUES ('c')"}]});
close_gate('join');
my $execution = start('diamond');
await("count(*) = 3 FROM ft.orchestration_tasks WHERE status = 'RUNNING'",
    'three branches run at the same time');
open_gate('join');
becomes($execution, 'COMPLETED', 'a join after three branches');
is( alice(q{SELECT count(DISTINCT pid), max(began) < min(ended) FROM ledger WHERE what LIKE 'b%'}),
    '3|t',
    'which three executors ran, each beginning before the first had ended');
is( alice(q{SELECT (SELECT began FROM ledger WHERE what = 'c') > max(ended) FROM ledger}),
    't', 'and the join after the last');

# Many joins whose branches end together: none is lost, none runs twice.
define('narrow', q{[
    {"name": "1", "command": "INSERT INTO ledger (what) VALUES ('x1' || (ft.current_step()).execution_id)"},
    {"name": "2", "command": "INSERT INTO ledger (what) VALUES ('x2' || (ft.current_step()).execution_id)"},
    {"name": "3", "command": "INSERT INTO ledger (what) VALUES ('x3' || (ft.current_step()).execution_id)"},
    {"name": "4", "depends_on": ["1", "2", "3"], "command": "INSERT INTO ledger (what) VALUES ('x4' || (ft.current_step()).execution_id)"}]});
forget();
alice("SELECT count(ft.start('narrow')) FROM generate_series(1, 100)");
all_done('100 joins of three branches');
ledger_is('x%', 400, 'each step of them once');
is( alice("SELECT count(*) FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id)"),
    '0', 'all valid');

#
# What waits for one step and nothing else is gone on with as that ends, unless
# it sleeps, waits for its signal, or its execution is paused meanwhile.
#
forget();
define('line', q{[
    {"name": "a", "command": "SELECT wait_at('line'); INSERT INTO ledger (what) VALUES ('line a')"},
    {"name": "b", "depends_on": ["a"], "command": "INSERT INTO ledger (what) VALUES ('line b')"},
    {"name": "c", "depends_on": ["b"], "command": "INSERT INTO ledger (what) VALUES ('line c')"},
    {"name": "later", "depends_on": ["c"], "sleep": "300 ms", "command": "INSERT INTO ledger (what) VALUES ('line later')"},
    {"name": "told", "depends_on": ["later"], "signal": "told", "command": "INSERT INTO ledger (what) VALUES ('line told')"},
    {"name": "last", "depends_on": ["told"], "command": "INSERT INTO ledger (what) VALUES ('line last')"}]});
close_gate('line');
$execution = start('line');
await("count(*) = 1 FROM ft.orchestration_tasks WHERE status = 'RUNNING'", 'the first of a line runs');
alice("SELECT ft.pause('$execution')");
open_gate('line');
await("status = 'COMPLETED' FROM ft.orchestration_tasks WHERE task_name = 'a'", 'and ends');
is( alice("SELECT status, unmet, due_at, attempt FROM ft.orchestration_tasks WHERE task_name = 'b'"),
    'PENDING|0||0', 'the next is not begun while the execution is paused');
alice("SELECT ft.resume('$execution')");
await("status = 'COMPLETED' FROM ft.orchestration_tasks WHERE task_name = 'later'", 'it goes on as far as the signal');
is( alice("SELECT status, unmet, due_at, attempt FROM ft.orchestration_tasks WHERE task_name = 'told'"),
    'PENDING|1||0', 'which it waits for');
is( alice("SELECT * FROM ft.validate_execution('$execution')"), '', 'valid');
alice("SELECT ft.signal('$execution', 'told')");
becomes($execution, 'COMPLETED', 'a line of steps');
is( alice(q{SELECT string_agg(what, ',' ORDER BY entry) FROM ledger}),
    'line a,line b,line c,line later,line told,line last',
    'each once, in order');
is( alice(q{SELECT count(DISTINCT pid), count(DISTINCT xid) FROM ledger WHERE what IN ('line b', 'line c')}),
    '1|2',
    'one executor went on, in a transaction for each');
is( alice(q{SELECT bool_and(attempt = 1), (SELECT began FROM ledger WHERE what = 'line later')
                   >= max(completed_at) FILTER (WHERE task_name = 'c') + interval '300 ms'
              FROM ft.orchestration_tasks}),
    't|t',
    'at the first attempt, and not before its sleep was over');

#
# Two branches end together: one is at its commit while the other has ended, and
# neither can see that of the other.  The same with a signal that is sent while
# the step before ends, by who comes first.
#
forget();
alice(q{
CREATE TABLE late (x int);
CREATE FUNCTION wait_late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM wait_at(''commit''); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait_late();
});
my $one_sleeps = "count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'";
my $one_waits = "count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
define('together', q{[
    {"name": "a", "command": "INSERT INTO late VALUES (1)"},
    {"name": "b", "queue": "other", "command": "SELECT wait_at('b')"},
    {"name": "c", "depends_on": ["a", "b"], "command": "INSERT INTO ledger (what) VALUES ('joined')"}]});
close_gate('commit');
close_gate('b');
$execution = start('together');
await("count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'",
    'one branch is at its commit, one at work');
open_gate('b');
await($one_waits, 'and that has ended too');
open_gate('commit');
becomes($execution, 'COMPLETED', 'branches that end together are joined');
ledger_is('joined', 1, 'once');

define('asks', q{[
    {"name": "ask", "command": "SELECT wait_at('ask'); INSERT INTO late VALUES (1)"},
    {"name": "go", "depends_on": ["ask"], "signal": "go", "command": "INSERT INTO ledger (what) VALUES ('gone')"}]});
close_gate('commit');
$execution = start('asks');
await($one_sleeps, 'a step is at its commit');
my $sender = $node->background_psql('postgres');
$sender->query_until(qr/sent/, "\\echo sent\nSELECT ft.signal('$execution', 'go');\n");
await($one_waits, 'while a signal is sent to the next one');
open_gate('commit');
becomes($execution, 'COMPLETED', 'which gets it');
ledger_is('gone', 1, 'once');
forget();
close_gate('ask');
$execution = start('asks');
await($one_sleeps, 'a step is at work');
$sender->query_safe('BEGIN');
$sender->query_safe("SELECT ft.signal('$execution', 'go')");
open_gate('ask');
await($one_waits, 'and ends while a signal is sent to the next one');
$sender->query_safe('COMMIT');
becomes($execution, 'COMPLETED', 'which gets it');
ledger_is('gone', 1, 'once');
$sender->quit;

#
# A transient error is tried again; a limit on time ends a step.
#
forget();
define('flaky', q{[
    {"name": "try", "command": "INSERT INTO ledger (what) VALUES ('try'); DO 'BEGIN IF nextval(''tries'') < 3 THEN RAISE SQLSTATE ''40001''; END IF; END'"}]});
$execution = start('flaky');
becomes($execution, 'COMPLETED', 'a step that fails twice with 40001');
ledger_is('try', 1, 'has left the effects of its last attempt');
is( alice("SELECT attempt, (SELECT count(*) FROM ft.orchestration_failures WHERE failure_type = 'TRANSIENT') FROM ft.orchestration_tasks"),
    '3|2', 'which was the third');

forget();
define('slow', q{[
    {"name": "slow", "timeout": "200 ms", "max_attempts": 1,
     "command": "INSERT INTO ledger (what) VALUES ('slow'); SELECT pg_sleep(600)"}]});
$execution = start('slow');
await("error_sqlstate = '57014' FROM ft.orchestration_tasks",
    'a step is ended by its own limit on time');
ledger_is('slow', 0, 'and leaves nothing');

#
# What is due is started by priority.
#
forget();
together(
    sub {
        alice(q{SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 'p' || i % 10), priority => i % 10))
                  FROM generate_series(1, 40) AS i});
    });
all_done('steps of ten priorities');
# what a few executors are at and have claimed may be overtaken
is( alice(q{SELECT avg(position) FILTER (WHERE what = 'p9') < avg(position) FILTER (WHERE what = 'p5')
               AND avg(position) FILTER (WHERE what = 'p5') < avg(position) FILTER (WHERE what = 'p0')
              FROM (SELECT what, row_number() OVER (ORDER BY entry) AS position FROM ledger) AS l}),
    't', 'the higher come first');

#
# Short steps share a commit; one that fails, takes long, or spoils the commit
# does so for itself.
#
forget();
$node->safe_psql('postgres', q{
SET ROLE alice;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
});
sub short_steps
{
    alice(q{SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 's' || i), short => true))
              FROM generate_series(1, 200) AS i});
}
together(\&short_steps);
all_done('short steps');
ledger_is('s%', 200, 'each of them once');
cmp_ok(alice('SELECT count(DISTINCT xid) FROM ledger'), '<', 100, 'in fewer commits');

forget();
together(
    sub {
        short_steps();
        # some of them, in the middle
        $node->safe_psql('postgres', q{
UPDATE ft.orchestration_tasks SET command = command || CASE (right(command, 4))
    WHEN '17'')' THEN '; SELECT 1 / 0'
    WHEN '37'')' THEN '; SELECT pg_sleep(0.2)'
    WHEN '57'')' THEN '; INSERT INTO child VALUES (1)'
    WHEN '77'')' THEN '; SET work_mem = ''77MB''; SELECT pg_advisory_lock(1); CREATE TEMP TABLE left_behind (); PREPARE left_prepared AS SELECT 1; SET ROLE alice'
    ELSE CASE WHEN command ~ '[0-9]8''' THEN '; SELECT concat_ws('','', CASE WHEN current_setting(''work_mem'') = ''77MB'' THEN ''work_mem'' END,'
        '(SELECT string_agg(locktype, '','') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = ''advisory''),'
        '(SELECT string_agg(name, '','') FROM pg_prepared_statements),'
        'to_regclass(''pg_temp.left_behind''))' ELSE '' END END});
    });
await("count(*) FILTER (WHERE status = 'COMPLETED') = 196 AND count(*) FILTER (WHERE error_sqlstate IS NOT NULL) = 4 FROM ft.orchestration_tasks",
    'of short steps those that fail have failed, the others not');
is( alice(q{SELECT string_agg(error_sqlstate, ',' ORDER BY error_sqlstate) FROM ft.orchestration_tasks WHERE error_sqlstate IS NOT NULL}),
    '22012,22012,23503,23503',
    'by an error of their own or by a constraint at commit');
ledger_is('s%', 196, 'the others are done once');
is( alice(q{SELECT count(*), count(*) FILTER (WHERE result #>> '{}' <> '') FROM ft.orchestration_tasks WHERE result IS NOT NULL AND command LIKE '%left_behind''%'}),
    '19|0',
    'and none finds in the session what another has left');
is( alice("SELECT count(*) FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id)"),
    '0', 'all valid');

# Several short steps of one execution in a group: counted, joined, in order.
forget();
define('fan', '[' . join(',',
        (map { qq({"name": "f$_", "short": true, "command": "INSERT INTO ledger (what) VALUES ('f$_'); SELECT ft.set_state(jsonb_build_object('f$_', $_))"}) } 1 .. 30),
        (map { qq({"name": "skip$_", "short": true, "condition": "SELECT false", "command": "SELECT 1 / 0"}) } 1 .. 5),
        '{"name": "last", "short": true, "depends_on": ["f1","f15","f30"], "command": "SELECT 1"}') . ']');
my ($fan) = together(sub { return start('fan') });
becomes($fan, 'COMPLETED', 'short steps of one execution');
ledger_is('f%', 30, 'are done once each');
is( alice("SELECT completions, (SELECT count(*) FROM jsonb_object_keys(state)), tasks_left FROM ft.orchestration_executions"),
    '31|30|0', 'with all that they set in the state');
is( alice("SELECT array_agg(completion_order ORDER BY completion_order) = array(SELECT generate_series(1::bigint, 31)) FROM ft.orchestration_tasks WHERE status = 'COMPLETED'"),
    't', 'in one order of completion');

#
# A task that is added while the one that it depends on runs.
#
forget();
close_gate('long');
$execution = alice(q{SELECT ft.submit($$SELECT wait_at('long')$$)});
await("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND query LIKE '%wait_at(%'",
    'a step runs');
alice("SELECT ft.add_task('$execution', 'added', 'SELECT 1', depends_on => '{command}')");
open_gate('long');
becomes($execution, 'COMPLETED', 'one that was added after it is run');

#
# What an executor has claimed with others, and cannot come to, others do.
#
forget();
close_gate('long');
together(
    sub {
        alice(q{SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 'q' || i))) FROM generate_series(1, 5) AS i;
                SELECT ft.submit($$SELECT wait_at('long')$$);
                SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 'q' || i))) FROM generate_series(6, 12) AS i});
    });
await("count(*) = 12 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'",
    'steps claimed together with one that takes long are done meanwhile');
is( alice("SELECT count(*) FROM ft.orchestration_tasks WHERE status = 'RUNNING' AND command LIKE '%long%'"),
    '1', 'which still runs');
await("count(*) = 1 FROM ft.orchestration_executions WHERE status = 'RUNNING'",
    'and whose execution says so');
ledger_is('q%', 12, 'once each');
open_gate('long');
all_done('and ends');
# The number of a claim is never used again: who has lost it would be taken for
# who has the next one, give that back, or fail it.
is( alice("SELECT max(losses), max(failures), (SELECT count(*) FROM ft.orchestration_failures) FROM ft.orchestration_tasks"),
    '0|0|0', 'nobody is charged for it');
is( alice("SELECT max(attempt) FILTER (WHERE command LIKE '%long%'), max(attempt) FROM ft.orchestration_tasks"),
    '1|2', 'each claim has a number of its own');

# The last of them has nobody wait for it, and is looked after all the same.
forget();
close_gate('long');
together(
    sub {
        alice(q{SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 'q' || i))) FROM generate_series(1, 50) AS i;
                SELECT ft.submit($$SELECT wait_at('long')$$)});
    });
await("count(*) = 50 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'",
    'all but the last step, which takes long, are done');
await("count(*) = 1 FROM ft.orchestration_executions WHERE status = 'RUNNING' AND started_at IS NOT NULL",
    'its execution says that it has begun');
open_gate('long');
all_done('the last ends');
is( alice("SELECT count(*) FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id) WHERE e.started_at = t.started_at AND e.finished_at >= t.started_at"),
    '51', 'executions have begun when their step was claimed');

#
# The same while somebody has the execution of such a step locked: it is given
# back when he is gone.
#
forget();
close_gate('long');
my $locker = $node->background_psql('postgres');
together(
    sub {
        $execution = alice(q{SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 'q' || i))) FROM generate_series(1, 5) AS i;
                SELECT ft.submit($$SELECT wait_at('long')$$);
                SELECT ft.submit($$INSERT INTO ledger (what) VALUES ('behind')$$)});
        $execution = (split(/\n/, $execution))[-1];
        $locker->query_safe('BEGIN');
        $locker->query_safe("SELECT 1 FROM ft.orchestration_executions WHERE execution_id = '$execution' FOR UPDATE");
    });
await(q{w.last_tick > t.started_at + interval '55 ms'
        FROM ft.worker_status() AS w, ft.orchestration_tasks AS t
       WHERE worker = 'scheduler' AND datname = 'postgres' AND command LIKE '%long%' AND t.status = 'RUNNING'},
    'the scheduler has looked for what waits behind a long step');
is( alice("SELECT status FROM ft.orchestration_tasks WHERE execution_id = '$execution'"),
    'RUNNING', 'which is locked');
$locker->query_safe('COMMIT');
$locker->quit;
becomes($execution, 'COMPLETED', 'and is done when it is not any more');
open_gate('long');
all_done('before the long step ends');

#
# What was given back, and is somebody else's by now, is not given back again by
# who had claimed it first.
#
forget();
close_gate('long');
close_gate('held');
together(
    sub {
        alice(q{SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L)', 'q' || i))) FROM generate_series(1, 5) AS i;
                SELECT ft.submit($$SELECT wait_at('long')$$);
                SELECT ft.submit($$SELECT wait_at('held') FROM nextval('tries')$$)});
    });
await(q{count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND query LIKE '%wait_at(%'},
    'a step that was claimed with one that takes long is run meanwhile');
open_gate('long');
await(q{EXISTS (SELECT FROM ft.orchestration_tasks WHERE status = 'COMPLETED' AND command LIKE '%long%')
        AND EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor' AND state = 'sleeping')},
    'the one that takes long has ended');
open_gate('held');
all_done('and the other one');
is( alice('SELECT last_value FROM tries'), '1', 'which has begun once');
is( alice("SELECT sum(failures + losses) FROM ft.orchestration_tasks"), '0', 'and nobody is charged');

#
# A step that becomes due right after the scheduler has looked, when who was
# woken for the one before is at that for long.
#
forget();
close_gate('long');
together(sub { alice(q{SELECT ft.submit('SELECT 1')}) });
all_done('one executor is there');
$node->safe_psql('postgres', q{
SELECT ft.wake_worker();
SELECT pg_sleep(0.01);
SET SESSION AUTHORIZATION alice;
SELECT ft.submit($$SELECT wait_at('long')$$);
SELECT pg_sleep(0.005);
SELECT ft.submit('SELECT 2')});
await(q{count(*) = 2 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'}, 'another one is started for it');
open_gate('long');
all_done('and both end');

#
# An operator has a step begun anew, just when its first attempt comes to its
# end: that waits for the operator's transaction, finds that it is not the
# current one, and takes back what it did.
#
forget();
close_gate('race');
$execution = alice(q{SELECT ft.submit($$INSERT INTO ledger (what) VALUES ('race'); SELECT wait_at('race')$$)});
await("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'",
    'a step runs');
my $operator = $node->background_psql('postgres');
$operator->query_safe('BEGIN');
$operator->query_safe("SELECT ft.recover_from_failure('$execution', 'TRANSIENT')");
open_gate('race');
await("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND wait_event_type = 'Lock'",
    'and ends while an operator has it begun anew');
$operator->query_safe('COMMIT');
$operator->quit;
becomes($execution, 'COMPLETED', 'it goes on');
is( alice("SELECT attempt FROM ft.orchestration_tasks"), '2', 'with its second attempt');
ledger_is('race', 1, 'and what it does is there once');

#
# The same when nobody tells the first attempt, since the operator's transaction
# is prepared: it ends while the second one is at work, and is not taken for it.
#
forget();
close_gate('race 1');
close_gate('race 2');
$execution = alice(q{SELECT ft.submit($$
    INSERT INTO ledger (what) SELECT 'race ' || attempt FROM ft.current_step();
    SELECT wait_at('race ' || attempt) FROM ft.current_step()$$)});
my $at_work = "count(*) FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor' AND query LIKE '%wait_at(%'";
await("(SELECT $at_work) = 1", 'a step runs');
$node->safe_psql('postgres', qq{
BEGIN; SELECT ft.recover_from_failure('$execution', 'TRANSIENT'); PREPARE TRANSACTION 'anew';
COMMIT PREPARED 'anew'});
await("(SELECT $at_work AND state = 'active') = 2", 'and is begun anew');
open_gate('race 1');
await("(SELECT $at_work AND state = 'active') = 1", 'the first attempt ends');
is( alice("SELECT status FROM ft.orchestration_tasks"), 'RUNNING', 'and has completed nothing');
open_gate('race 2');
becomes($execution, 'COMPLETED', 'the second one does');
is( alice("SELECT string_agg(what, ',') FROM ledger"), 'race 2', 'and only what that did is there');

#
# Executors that are lost: terminated, and killed with the whole server.
#
sub lose_executors
{
    my ($what, $lose) = @_;

    forget();
    define('chain', '[' . join(',',
            map { my $p = $_ - 1; qq({"name": "c$_", "command": "INSERT INTO ledger (what) VALUES ('c$_ ' || (ft.current_step()).execution_id)")
                . ($p ? qq(, "depends_on": ["c$p"]) : '') . '}' } 1 .. 5) . ']');
    alice(q{SELECT count(ft.start('chain')) FROM generate_series(1, 40);
            SELECT count(ft.submit(format('INSERT INTO ledger (what) VALUES (%L); SELECT pg_sleep(0.005)', 'd' || i), short => i % 2 = 0))
              FROM generate_series(1, 100) AS i});
    for my $round (1 .. 4)
    {
        $node->poll_query_until('postgres',
            "SELECT count(*) >= $round * 50 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'");
        $lose->();
    }
    all_done("$what: all is done");
    ledger_is('c%', 200, "$what: each step of chains once");
    ledger_is('d%', 100, "$what: each single step once");
    # one that loses a second executor, running alone, is charged for it
    is( alice("SELECT count(*) FROM ft.orchestration_failures AS f JOIN ft.orchestration_tasks AS t USING (task_id) WHERE t.losses < 2"),
        '0', "$what: nothing has failed that was lost once");
    is( alice("SELECT count(*) FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id)"),
        '0', "$what: all valid");
}

my $executors = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor'";
lose_executors('terminated',
    sub { $node->safe_psql('postgres', "SELECT count(pg_terminate_backend(pid)) FROM ($executors) AS e") });
lose_executors(
    'kill -9',
    sub {
        my ($pid) = split(/\n/, $node->safe_psql('postgres', $executors));
        return unless $pid;
        kill('KILL', $pid);
        # a crash of one process restarts the server
        $node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
          or die 'the server did not come back';
    });

#
# Idle executors leave, and so does the scheduler's interest.
#
$node->safe_psql('postgres', "ALTER SYSTEM SET fault_tolerance.executor_idle_timeout = '100ms'");
$node->reload;
$node->safe_psql('postgres', "SELECT pg_reload_conf()");
alice("SELECT ft.submit('SELECT 1')");
await("NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')",
    'idle executors leave');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|internal error/, 'nothing unforeseen in the log');

done_testing();
