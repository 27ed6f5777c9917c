# Executions that are cancelled, paused and waited for while executors are at
# them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE ledger (entry serial, what text, pid int DEFAULT pg_backend_pid());
});

sub value { return $node->safe_psql('postgres', $_[0]); }

sub start
{
    my ($tasks) = @_;

    return value(
        "SELECT ft.define_orchestration('work', \$tasks\$$tasks\$tasks\$) AS definition \\gset\n"
          . "SELECT ft.start('work')");
}

sub wait_until_running
{
    my ($execution, $task) = @_;

    return $node->poll_query_until('postgres',
        "SELECT EXISTS (SELECT FROM ft.orchestration_tasks AS t JOIN pg_stat_activity AS a ON a.pid = t.worker_pid"
          . " WHERE execution_id = '$execution' AND task_name = '$task' AND t.status = 'RUNNING'"
          . " AND a.query = t.command AND a.wait_event IN ('PgSleep', 'Extension', 'advisory'))");
}

sub is_valid
{
    my ($execution, $what) = @_;

    return is(value("SELECT * FROM ft.validate_execution('$execution')"),
        '', "$what: nothing contradicts itself");
}

my $long = '"SELECT pg_sleep(600)"';

#
# The statement that runs is reached; what was done before is undone.
#
my $execution = start(
    qq{[{"name": "first", "command": "INSERT INTO ledger (what) VALUES ('first')",
         "compensation": "INSERT INTO ledger (what) VALUES ('undo first')"},
        {"name": "long", "depends_on": ["first"], "command": $long},
        {"name": "last", "depends_on": ["long"], "command": "INSERT INTO ledger (what) VALUES ('last')"}]}
);
ok(wait_until_running($execution, 'long'), 'a step runs');
my $pid = value("SELECT worker_pid FROM ft.orchestration_tasks WHERE task_name = 'long'");
is( value("SELECT waits_for, task_name, since < now(), until, detail FROM ft.why_waiting('$execution')"),
    "step|long|t||process $pid runs it, and waits for Timeout: PgSleep",
    'what it waits for is known');
is(value("SELECT ft.cancel('$execution')"), 'COMPENSATING', 'its execution is cancelled');
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPENSATED', 'and ends compensated');
is( value(
        "SELECT string_agg(task_name || ' ' || status || ' ' || failures || ' ' || losses, ', ' ORDER BY task_id)"
          . " FROM ft.orchestration_tasks WHERE execution_id = '$execution'"),
    'first COMPENSATED 0 0, long CANCELLED 0 0, last CANCELLED 0 0',
    'without a failure or a loss');
is(value('SELECT count(*) FROM ft.orchestration_failures'), '0', 'or one recorded');
is( value('SELECT string_agg(what, $$, $$ ORDER BY entry) FROM ledger'),
    'first, undo first', 'with what it had done undone');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND state = 'active')"
    ),
    'the statement was ended');
like(slurp_file($node->logfile), qr/\[$pid\].*canceling statement due to user request/,
    'by a cancel');
is_valid($execution, 'cancelled');

# Its executor is still there, and works.
$execution = value("SELECT ft.submit('INSERT INTO ledger (what) VALUES (''next'')')");
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPLETED', 'the next execution completes');
is(value("SELECT pid = $pid FROM ledger WHERE what = 'next'"),
    't', 'in the same executor');

# Without compensation; parallel steps, all of which are reached.
$execution = start(
    qq{[{"name": "first", "command": "SELECT 1", "compensation": "INSERT INTO ledger (what) VALUES ('never')"},
        {"name": "a", "depends_on": ["first"], "command": $long},
        {"name": "b", "depends_on": ["first"], "command": $long}]});
ok(wait_until_running($execution, 'a') && wait_until_running($execution, 'b'),
    'two steps run in parallel');
is(value("SELECT ft.cancel('$execution', compensate => false)"),
    'CANCELLED', 'their execution is cancelled without compensation');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' AND state = 'active')"
    ),
    'both are ended');
is(value("SELECT count(*) FROM ledger WHERE what = 'never'"), '0', 'nothing is compensated');
is_valid($execution, 'cancelled without compensation');

# A cancel that is rolled back, also in a part of a transaction, reaches nothing.
$execution = start(qq{[{"name": "waits", "command": "SELECT pg_advisory_xact_lock(1)"}]});
my $session = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(1)');
my $other = value("SELECT ft.submit('SELECT pg_advisory_xact_lock(1)')");
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
    'a step waits');
value("BEGIN; SELECT ft.cancel('$other'); ROLLBACK;");
value("BEGIN; SAVEPOINT a; SELECT ft.cancel('$other'); SAVEPOINT b; RELEASE b; ROLLBACK TO a; COMMIT;");
value("BEGIN; SAVEPOINT a; SAVEPOINT b; SELECT ft.cancel('$other'); RELEASE b; ROLLBACK TO a; COMMIT;");
$session->query_safe('SELECT pg_advisory_unlock(1)');
is(value("SELECT ft.wait('$other', '60 s')"), 'COMPLETED', 'it is left alone by a cancel that is rolled back');
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPLETED', 'and so is another');
is(value('SELECT count(*) FROM ft.orchestration_failures'), '0', 'neither has failed');

# One in a subtransaction that commits does reach it, and one that the step
# catches ends it all the same.
$execution = start(
    qq{[{"name": "stubborn", "command": "DO 'BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN INSERT INTO ledger (what) VALUES (''caught''); END'"}]}
);
ok( $node->poll_query_until('postgres',
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
    'a step that catches cancels runs');
value("BEGIN; SAVEPOINT a; SELECT ft.cancel('$execution', false); RELEASE a; COMMIT;");
ok( $node->poll_query_until('postgres',
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
    'and is ended');
$other = value("SELECT ft.submit('SELECT 1')");
is(value("SELECT ft.wait('$other', '60 s')"), 'COMPLETED', 'its executor goes on');
is(value("SELECT count(*) FROM ledger WHERE what = 'caught'"), '0', 'what it did then is rolled back');
is_valid($execution, 'cancelled while it caught cancels');

# Recovery by hand takes running steps away too.
$execution = start(qq{[{"name": "a", "command": $long}]});
ok(wait_until_running($execution, 'a'), 'a step runs');
value("SELECT ft.recover_from_failure('$execution', 'PERMANENT')");
ok( $node->poll_query_until('postgres',
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
    'a rollback by hand ends it');
is(value("SELECT ft.wait('$execution', '60 s')"), 'ROLLED_BACK', 'and the execution is rolled back');
value("SELECT ft.cancel('$execution')");

#
# Waiting: woken by the commit, whatever the isolation level, until its time is
# over.
#
$execution = start(qq{[{"name": "a", "command": "SELECT pg_advisory_xact_lock(1)"}]});
my $waiter = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(2)');
$execution = value("SELECT ft.submit('SELECT pg_advisory_xact_lock(2)')");
is(value("SELECT ft.wait('$execution', '200 ms') IN ('PENDING', 'RUNNING')"),
    't', 'a wait whose time is over returns the status as it is');
$waiter->query_safe('CREATE TABLE waited (status text, at timestamptz)');
$waiter->query_until(qr/begun/, qq{
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM ledger;
\\echo begun
INSERT INTO waited SELECT ft.wait('$execution'), clock_timestamp();
COMMIT;
});
ok( $node->poll_query_until('postgres',
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'INSERT INTO waited%' AND wait_event_type = 'Extension')"
    ),
    'a session waits');
value("SELECT pg_sleep(1.5)");    # so that it naps for its longest
$session->query_safe('SELECT pg_advisory_unlock(2)');
ok($node->poll_query_until('postgres', 'SELECT EXISTS (SELECT FROM waited)'),
    'and sees the end, in REPEATABLE READ too');
is(value('SELECT status FROM waited'), 'COMPLETED', 'which is returned');
my $late = value(
    "SELECT round(extract(epoch FROM at - finished_at) * 1000) FROM waited, ft.orchestration_executions WHERE execution_id = '$execution'"
);
note("woken after $late ms");
$waiter->quit;

# One that is terminated while it waits leaves its place.
$execution = start(qq{[{"name": "a", "command": $long}]});
$waiter = $node->background_psql('postgres', on_error_stop => 0);
my $waiter_pid = $waiter->query_safe('SELECT pg_backend_pid()');
$waiter->query_until(qr/begun/, "\\echo begun\nSELECT ft.wait('$execution');\n");
ok( $node->poll_query_until('postgres',
        "SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $waiter_pid"),
    'a session waits');
value("SELECT pg_terminate_backend($waiter_pid, 60000)");
eval { $waiter->quit };
is(value("SELECT ft.cancel('$execution')"), 'COMPENSATED', 'what it waited for ends without it');

#
# Paused in the middle: what runs ends, what follows does not begin.
#
$session->query_safe('SELECT pg_advisory_lock(3)');
$execution = start(
    qq{[{"name": "a", "command": "SELECT pg_advisory_xact_lock(3)"},
        {"name": "b", "depends_on": ["a"], "command": "SELECT 1"}]});
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
    'a step waits');
is(value("SELECT ft.pause('$execution')"), 't', 'its execution is paused');
$session->query_safe('SELECT pg_advisory_unlock(3)');
ok( $node->poll_query_until(
        'postgres',
        "SELECT status = 'COMPLETED' FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND task_name = 'a'"
    ),
    'the step completes');
$other = value("SELECT ft.submit('SELECT 1')");
value("SELECT ft.wait('$other', '60 s')");
is( value("SELECT status FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND task_name = 'b'"),
    'PENDING', 'and the next does not begin');
is_valid($execution, 'paused');
is(value("SELECT ft.resume('$execution')"), 't', 'resumed,');
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPLETED', 'it completes');
$session->quit;

#
# A deadline reaches the statement that runs, at its time.
#
value("SELECT ft.define_orchestration('late', \$tasks\$[
    {\"name\": \"first\", \"command\": \"SELECT 1\", \"compensation\": \"INSERT INTO ledger (what) VALUES ('late')\"},
    {\"name\": \"long\", \"depends_on\": [\"first\"], \"command\": $long}]\$tasks\$)");
$execution = value("SELECT ft.start('late', deadline => '2 s')");
ok(wait_until_running($execution, 'long'), 'a step runs that will not end in time');
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPENSATED', 'its execution misses its deadline and is compensated');
ok( $node->poll_query_until('postgres',
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')"),
    'the step is ended');
is( value(
        "SELECT failure_type, recovered, failure_message LIKE 'it has not ended by its deadline%' FROM ft.orchestration_failures WHERE execution_id = '$execution'"
    ),
    'PARTIAL|t|t',
    'the failure says why');
is( value(
        "SELECT string_agg(task_name || ' ' || status || ' ' || failures, ', ' ORDER BY task_id)"
          . " FROM ft.orchestration_tasks WHERE execution_id = '$execution'"),
    'first COMPENSATED 0, long CANCELLED 0',
    'the step has not failed');
note('late by '
      . value(
        "SELECT failure_timestamp - created_at - interval '2 s' FROM ft.orchestration_failures JOIN ft.orchestration_executions USING (execution_id) WHERE execution_id = '$execution'"
      ));
is_valid($execution, 'too late');

# One that is rolled back by it, corrected and driven again.
$execution = value("SELECT ft.submit('SELECT pg_sleep(600)', deadline => '1 s')");
is(value("SELECT ft.wait('$execution', '60 s')"), 'ROLLED_BACK', 'another is rolled back');
is(value("SELECT why, message LIKE '%deadline%' FROM ft.dead_letters"), 'rolled back|t', 'and listed');
value("SELECT ft.correct_task(task_id, 'SELECT 1') FROM ft.orchestration_tasks WHERE execution_id = '$execution'");
is(value("SELECT ft.redrive('$execution')"), 'RUNNING', 'driven again,');
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPLETED', 'it completes');

#
# A role that is renamed, in a function at that, while its executor is there and
# has more to do: nothing further is claimed under the new name, until a
# superuser says whose it is.
#
value('CREATE ROLE alice LOGIN; GRANT USAGE ON SCHEMA ft TO alice; GRANT ALL ON ledger, ledger_entry_seq TO alice');

sub as_alice
{
    return $node->safe_psql('postgres', $_[0], extra_params => [ '-U', $_[1] // 'alice' ]);
}

$session = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(4)');
value('TRUNCATE ledger');
my @steps = map { "{\"name\": \"s$_\", " . ($_ > 1 ? '"depends_on": ["s' . ($_ - 1) . '"], ' : '')
      . "\"command\": \"INSERT INTO ledger (what) VALUES ('s$_'); SELECT pg_advisory_xact_lock_shared(4) WHERE $_ = 2\"}" } 1 .. 4;
$execution = as_alice('SELECT ft.define_orchestration(\'alices\', $tasks$[' . join(', ', @steps) . "]\$tasks\$) AS d \\gset\nSELECT ft.start('alices')");
my @singles = map { as_alice("SELECT ft.submit('INSERT INTO ledger (what) VALUES (''single'')', run_at => clock_timestamp() + interval '1 day')") } 1 .. 3;
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
    'an executor is in the middle');
value("DO 'BEGIN ALTER ROLE alice RENAME TO alicia; END'");
$session->query_safe('SELECT pg_advisory_unlock(4)');
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 4 FROM ft.dead_letters WHERE message LIKE '%is now named \"alicia\"%'"),
    'the executions of a role that was renamed are parked');
is( $node->safe_psql('postgres', "SELECT string_agg(what, ',' ORDER BY entry) FROM ledger"),
    's1,s2', 'after the step that ran then');
is_valid($_, 'renamed') foreach $execution, $singles[0];
as_alice("SELECT ft.submit('INSERT INTO ledger (what) VALUES (''new'')')", 'alicia');
ok( $node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM ledger WHERE what = 'new')"),
    'what is started under the new name runs');
is(value('SELECT ft.adopt()'), '4', 'a superuser adopts them');
is(value("SELECT ft.wait('$execution', '60 s')"), 'COMPLETED', 'and they go on');
is( value("SELECT string_agg(what, ',' ORDER BY entry) FROM ledger"),
    's1,s2,new,s3,s4', 'each step once');
$session->quit;

#
# So is one whose renaming was prepared.
#
$session = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(4)');
my @running = map { as_alice("SELECT ft.submit('SELECT pg_advisory_xact_lock(4)')", 'alicia') } 1 .. 2;
as_alice("SELECT ft.submit('INSERT INTO ledger (what) VALUES (''late'')', priority => -1)", 'alicia');
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
    'all executors are in the middle');
value("BEGIN; ALTER ROLE alicia RENAME TO alice; PREPARE TRANSACTION 'rename'");
value("COMMIT PREPARED 'rename'");
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 6 FROM ft.dead_letters WHERE message LIKE '%is now named \"alice\"%'"),
    'a role whose renaming was prepared has its executions parked');
$session->query_safe('SELECT pg_advisory_unlock(4)');
is(value("SELECT ft.wait('$_', '60 s')"), 'COMPLETED', 'what ran then ends') foreach @running;
is(value("SELECT count(*) FROM ledger WHERE what = 'late'"), '0', 'and nothing else of it begins');
ok(value('SELECT ft.adopt()') > 0, 'a superuser adopts it');
ok( $node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM ledger WHERE what = 'late')"),
    'and it goes on');
$session->quit;

# An owner from another cluster who is not here has a name, and no OID.
$node->safe_psql('postgres', q{SELECT ft.pause_queue('default')});
my $foreign = as_alice(q{SELECT ft.submit('SELECT 1')}, 'alice');
$node->safe_psql(
    'postgres', qq{
BEGIN;
UPDATE ft.installations SET system_identifier = 42;
UPDATE ft.orchestration_executions SET owner = 'emil' WHERE execution_id = '$foreign';
SELECT ft.adopt();
COMMIT;
SELECT ft.resume_queue('default');
});
ok( $node->poll_query_until(
        'postgres', qq{SELECT parked_reason = 'its owner, role "emil", does not exist any more'
                         FROM ft.orchestration_executions WHERE execution_id = '$foreign'}),
    'an owner who is not here is named')
  or diag(value("SELECT parked_reason FROM ft.orchestration_executions WHERE execution_id = '$foreign'"));
$node->safe_psql('postgres', 'CREATE ROLE emil LOGIN');
is(value('SELECT ft.adopt()'), '1', 'a role of that name is made and gets it');
is(value("SELECT ft.wait('$foreign', '60 s')"), 'COMPLETED', 'and it goes on');

#
# Waiting for long keeps vacuum from nothing, and ends with the commit that
# ends the execution.
#
$session = $node->background_psql('postgres');
$session->query_safe('SELECT pg_advisory_lock(77)');
my $awaited = value("SELECT ft.submit('SELECT pg_advisory_xact_lock(77)')");
my $sleeper = $node->background_psql('postgres');
$sleeper->query_safe('SET default_transaction_isolation = serializable');
my $sleeper_pid = $sleeper->query_safe('SELECT pg_backend_pid()');
$sleeper->query_until(qr/begun/, "\\echo begun\nCALL ft.await('$awaited');\n\\echo ended\n");
ok( $node->poll_query_until(
        'postgres',
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $sleeper_pid AND state = 'active'"
          . " AND query LIKE 'CALL%' AND wait_event_type = 'Extension' AND backend_xmin IS NULL AND backend_xid IS NULL)"),
    'ft.await() sleeps without a snapshot');
$session->query_safe('SELECT pg_advisory_unlock(77)');
like($sleeper->query_until(qr/ended/, ''), qr/COMPLETED/, 'and returns when the execution has ended');
$sleeper->quit;
$session->quit;

#
# Why something does not go on, of what is with the executors.
#
$session = $node->background_psql('postgres');
$session->query_safe('BEGIN; LOCK TABLE ledger');
my @held = map { value("SELECT ft.submit('INSERT INTO ledger (what) VALUES (''held $_'')')") } 1 .. 3;
ok( $node->poll_query_until(
        'postgres', "SELECT count(*) = 2 FROM pg_locks WHERE relation = 'ledger'::regclass AND NOT granted"),
    'all executors wait for a lock');
like( value("SELECT waits_for, detail, what_to_do FROM ft.why_waiting('$held[0]')"),
    qr/^step\|process (\d+) runs it, and waits for Lock: relation\|.*pg_blocking_pids\(\1\);$/, 'which is told');
is( value(
        "SELECT waits_for, detail FROM unnest('{" . join(',', @held) . "}'::uuid[]) AS execution, ft.why_waiting(execution)"
          . " WHERE waits_for <> 'step'"),
    "executor|it is due in queue 'default'; executors that there are: 2 of 2",
    'and so is what waits for them');
$session->query_safe('COMMIT');
is(value("SELECT ft.wait('$_', '60 s')"), 'COMPLETED', 'it goes on') foreach @held;
value('ALTER SYSTEM SET fault_tolerance.auto_recovery = off; SELECT pg_reload_conf()');
ok( $node->poll_query_until(
        'postgres', "SELECT EXISTS (SELECT FROM ft.engine_obstacle() WHERE obstacle = 'fault_tolerance.auto_recovery is off')"),
    'the whole database is left alone');
my $left = value("SELECT ft.submit('SELECT 1')");
is( value("SELECT waits_for, detail FROM ft.why_waiting('$left')"),
    'workers|fault_tolerance.auto_recovery is off', 'that is told, and nothing else');
value('ALTER SYSTEM RESET fault_tolerance.auto_recovery; SELECT pg_reload_conf()');
is(value("SELECT ft.wait('$left', '60 s')"), 'COMPLETED', 'until it is not');
$session->quit;

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/, 'nothing crashed');

done_testing();
