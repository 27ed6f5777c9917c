# Queues with limits: how many steps run at a time, how many are started in a
# period, changed while they run; and that nobody waits for what he need not.
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
fault_tolerance.max_executors = 8
max_worker_processes = 20
restart_after_crash = on
# one that leaves has the scheduler look: nobody is to be woken by that
fault_tolerance.executor_idle_timeout = '1h'
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA ft TO alice, bob;
CREATE TABLE gate (name text);
-- How many are in it while this one is, itself included.  What it holds is
-- given back before its transaction ends.
CREATE FUNCTION peers(wait float) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
    PERFORM pg_advisory_lock_shared(7, pg_backend_pid());
    SELECT count(*) INTO n FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND granted;
    PERFORM pg_sleep(wait);
    SELECT greatest(n, count(*)) INTO n FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND granted;
    PERFORM pg_advisory_unlock_shared(7, pg_backend_pid());
    RETURN n;
END $$;
CREATE FUNCTION wait_at(gate_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM gate WHERE name = gate_name) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
GRANT SELECT ON gate TO PUBLIC;
});

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub as
{
    my ($user, $sql) = @_;
    return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $user ]);
}

sub await
{
    my ($condition, $what) = @_;
    my $result = $node->poll_query_until('postgres', "SELECT $condition");

    diag(sql(q{SELECT * FROM ft.unrecovered_failures; SELECT failure_message, sqlstate, recovery_error FROM ft.orchestration_failures WHERE sqlstate <> $$40001$$; SELECT * FROM ft.queues; SELECT status, queue, count(*) FROM ft.orchestration_tasks GROUP BY 1, 2;
               SELECT worker, state, owner, next_due, last_error FROM ft.worker_status()}))
      unless $result;
    return ok($result, $what);
}

sub all_done
{
    return await("NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE status <> 'COMPLETED')", $_[0]);
}

sub most_peers
{
    my ($queue) = @_;
    return sql("SELECT max(result::int) FROM ft.orchestration_tasks WHERE queue = '$queue'");
}

sub forget { sql('TRUNCATE ft.orchestration_executions CASCADE; TRUNCATE gate'); }

# Keep workers away while something is made.
sub together
{
    my ($code) = @_;

    sql('ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off; SELECT ft.wake_worker()');
    wait_for_scheduler($node, 'postgres', 'paused');
    await("NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')",
        'no executor while it is off');
    $code->();
    sql('ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
}

#
# No more at a time than the limit says, and as many; what is in other queues
# does not wait for it.
#
sql(q{SELECT ft.set_queue('narrow', max_running => 3)});
together(
    sub {
        as('alice', q{SELECT count(ft.submit('SELECT peers(0.01)', queue => 'narrow')) FROM generate_series(1, 200)});
        as('alice', q{SELECT count(ft.submit('SELECT 1', queue => 'wide')) FROM generate_series(1, 50)});
    });
await(q{NOT EXISTS (SELECT FROM ft.orchestration_tasks WHERE queue = 'wide' AND status <> 'COMPLETED')},
    'what has no limits is done');
cmp_ok(sql(q{SELECT count(*) FROM ft.orchestration_tasks AS t
              WHERE queue = 'narrow' AND started_at < (SELECT max(completed_at) FROM ft.orchestration_tasks WHERE queue = 'wide')}),
    '<', 200, 'before what has');
all_done('a queue of 3 among 8 executors');
is(most_peers('narrow'), 3, 'never runs more than 3 at a time, and 3');

#
# The limit changes while they run: up, down, none.
#
forget();
as('alice', q{SELECT count(ft.submit('SELECT peers(0.02)', queue => 'narrow')) FROM generate_series(1, 600)});
await(q{count(*) > 20 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'}, 'some have run');
sql(q{SELECT ft.set_queue('narrow', max_running => 6)});
await(q{count(*) > 0 FROM ft.orchestration_tasks WHERE result::int = 6}, 'a higher limit is used');
is(most_peers('narrow'), 6, 'and kept');
sql(q{SELECT ft.set_queue('narrow', max_running => 2)});
await(q{running <= 2 FROM ft.queues WHERE queue = 'narrow'}, 'a lower one is reached when some have ended');
my $at = sql('SELECT clock_timestamp()');
await(qq{count(*) > 20 FROM ft.orchestration_tasks WHERE status = 'COMPLETED' AND started_at > '$at'}, 'and goes on');
is(sql(qq{SELECT max(result::int) FROM ft.orchestration_tasks WHERE started_at > '$at'}), 2, 'with no more');
sql(q{SELECT ft.pause_queue('narrow')});
await(q{running = 0 FROM ft.queues WHERE queue = 'narrow'}, 'paused: what runs ends');
my $paused = sql(q{SELECT count(*) FROM ft.orchestration_tasks WHERE status = 'COMPLETED'});
as('alice', q{SELECT ft.submit('SELECT 1', queue => 'wide')});
await(q{status = 'COMPLETED' FROM ft.orchestration_tasks WHERE queue = 'wide'}, 'another queue goes on');
is( sql(q{SELECT count(*), (SELECT waits_for FROM ft.queues WHERE queue = 'narrow')
            FROM ft.orchestration_tasks WHERE status = 'COMPLETED' AND queue = 'narrow'}),
    "$paused|paused", 'and nothing of it is started');
sql(q{SELECT ft.resume_queue('narrow'), ft.reset_queue('narrow')});
all_done('resumed, without limits');

#
# What becomes due at once while executors wait for work is worked at once.
#
foreach my $round (1 .. 3)
{
    forget();
    sql(q{INSERT INTO gate VALUES ('one')});
    as('alice', q{SELECT count(ft.submit('SELECT wait_at(''one'')')) FROM generate_series(1, 8)});
    await(q{count(*) = 8 FROM ft.orchestration_tasks WHERE status = 'RUNNING'}, "$round: by as many executors");
    sql('DELETE FROM gate');
    all_done('and done');
}
# One after the other, each in a transaction of its own, is the same.
forget();
sql(q{INSERT INTO gate VALUES ('one')});
as('alice', q{SELECT ft.submit('SELECT wait_at(''one'')');} x 8);
await(q{count(*) = 8 FROM ft.orchestration_tasks WHERE status = 'RUNNING'}, 'one after the other, too');
sql('DELETE FROM gate');
all_done('and done');

#
# A full queue is not looked at again and again.
#
forget();
sql(q{SELECT ft.set_queue('narrow', max_running => 1); INSERT INTO gate VALUES ('one')});
as('alice', q{SELECT ft.submit(q, queue => 'narrow') FROM unnest('{SELECT wait_at(''one''), SELECT 1, SELECT 2}'::text[]) AS q});
await(q{count(*) = 1 FROM ft.orchestration_tasks WHERE status = 'RUNNING'}, 'a full queue');
await(q{waits_for = 'max_running' FROM ft.queues}, 'in which others wait');
my $ticks = q{SELECT last_tick FROM ft.worker_status() WHERE worker = 'scheduler'};
my ($tick, $same) = ('', 0);
foreach my $try (1 .. 100)
{
    my $next = sql($ticks);

    $same = $next eq $tick ? $same + 1 : 0;
    last if $same == 10;
    $tick = $next;
    select(undef, undef, undef, 0.1);
}
is($same, 10, 'the scheduler sleeps for a second');
sql('DELETE FROM gate');
all_done('and is woken when there is room');

# The same where the place is left by a failure, a cancel, an owner's other step.
foreach my $how ('fail', 'cancel', 'go on')
{
    forget();
    sql(q{INSERT INTO gate VALUES ('one'), ('two')});
    my $then = $how eq 'fail' ? '1 / 0' : '1';
    my $first = as(
        'alice', qq{SELECT ft.define_orchestration('first', \$\$[
        {"name": "one", "queue": "narrow", "max_attempts": 1, "command": "SELECT wait_at('one'); SELECT $then"},
        {"name": "two", "queue": "wide", "depends_on": ["one"], "command": "SELECT wait_at('two')"}]\$\$) IS NULL;
        SELECT ft.start('first')});
    $first =~ s/.*\n//s;
    await(q{count(*) = 1 FROM ft.orchestration_tasks WHERE status = 'RUNNING'}, "$how: a full queue");
    my $second = as('bob', q{SELECT ft.submit('SELECT 2', queue => 'narrow')});
    await(q{waits_for = 'max_running' FROM ft.queues WHERE queue = 'narrow'}, "$how: in which another owner waits");
    as('alice', "SELECT ft.cancel('$first')") if $how eq 'cancel';
    sql(q{DELETE FROM gate WHERE name = 'one'}) if $how ne 'cancel';
    await("status = 'COMPLETED' FROM ft.orchestration_executions WHERE execution_id = '$second'",
        "$how: he is woken");
    sql('DELETE FROM gate');
    await(q{count(*) = 0 FROM ft.orchestration_tasks WHERE status = 'RUNNING'}, "$how: over");
}

#
# Successors, children and short steps keep to it; a retry takes a place anew.
#
forget();
sql(q{SELECT ft.set_queue('narrow', max_running => 2)});
as('alice', q{SELECT ft.define_orchestration('chain', $$[
    {"name": "a", "queue": "narrow", "command": "SELECT peers(0.005)"},
    {"name": "b", "queue": "narrow", "depends_on": ["a"], "short": true, "command": "SELECT peers(0.001)"},
    {"name": "c", "queue": "narrow", "depends_on": ["b"], "for_each": "SELECT generate_series(1, 5)", "command": "SELECT peers(0.002)"},
    {"name": "d", "queue": "narrow", "depends_on": ["c"], "execution_mode": "non_transactional", "command": "SELECT peers(0.001)"},
    {"name": "e", "queue": "narrow", "depends_on": ["c"],
     "command": "DO 'BEGIN IF (ft.current_step()).attempt = 1 THEN RAISE SQLSTATE ''40001''; END IF; END'; SELECT peers(0.001)"}]$$);
    SELECT count(ft.start('chain')) FROM generate_series(1, 15)});
all_done('chains through a queue of 2');
is(sql(q{SELECT max(result::int) FROM ft.orchestration_tasks WHERE queue = 'narrow' AND task_name <> 'c'}),
    2, 'never more than 2');
is(sql('SELECT count(*) FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id)'), '0', 'all valid');

# Short steps, which are claimed several at a time where there is room.
forget();
together(
    sub {
        as('alice', q{SELECT count(ft.submit('SELECT peers(0.005)', queue => 'narrow', short => true)) FROM generate_series(1, 300)});
    });
all_done('short steps in a queue of 2');
is(most_peers('narrow'), 2, 'two at a time');
forget();
sql(q{SELECT ft.set_queue('narrow', max_running => 200)});
as('alice', q{SELECT count(ft.submit('SELECT 1', queue => 'narrow', short => true)) FROM generate_series(1, 1000)});
all_done('short steps in a queue of 200');

#
# An executor that is killed leaves its place.
#
forget();
sql(q{SELECT ft.set_queue('narrow', max_running => 1); INSERT INTO gate VALUES ('one')});
as('alice', q{SELECT ft.submit(q, queue => 'narrow') FROM unnest('{SELECT wait_at(''one''),SELECT peers(0)}'::text[]) AS q});
await(q{count(*) = 1 FROM ft.orchestration_tasks WHERE status = 'RUNNING'}, 'one runs');
sql('SELECT pg_terminate_backend(worker_pid) FROM ft.orchestration_tasks WHERE worker_pid IS NOT NULL AND status = $$RUNNING$$');
await(q{max(losses) = 1 FROM ft.orchestration_tasks}, 'and is lost with its executor');
sql('DELETE FROM gate');
all_done('the others go on');
forget();
sql(q{SELECT ft.set_queue('narrow', max_running => 3); INSERT INTO gate VALUES ('one')});
as('alice', q{SELECT count(ft.submit($$SELECT wait_at('one'); SELECT peers(0.02)$$, queue => 'narrow')) FROM generate_series(1, 60)});
await(q{running = 3 FROM ft.queues}, 'three run');
sql('DELETE FROM gate');
kill 'KILL', sql(q{SELECT pid FROM ft.worker_status() WHERE worker = 'executor' AND state = 'running' LIMIT 1});
$node->poll_query_until('postgres', 'SELECT true');
all_done('after kill -9 of an executor all are done');
is(most_peers('narrow'), 3, 'and no more than three at a time');

#
# A rate: no window of its length has more; what waits for it is started by
# itself; a restart does not forget.
#
forget();
sql(q{SELECT ft.set_queue('rate', rate_limit => 6, rate_period => '1 s')});
as('alice', q{SELECT count(ft.submit('SELECT 1', queue => 'rate')) FROM generate_series(1, 12)});
await(q{count(*) > 6 FROM ft.orchestration_tasks WHERE status = 'COMPLETED'}, 'a rate');
$node->restart;
as('alice', q{SELECT count(ft.submit('SELECT 1', queue => 'rate')) FROM generate_series(1, 12)});
all_done('goes on after a restart');
is( sql(q{SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY started_at RANGE BETWEEN '0' PRECEDING AND '999.999 ms' FOLLOWING) AS n
                                FROM ft.orchestration_tasks) AS w}),
    6, 'six in a second, never more');

# Short periods and many: as exact.
forget();
sql(q{SELECT ft.set_queue('rate', rate_limit => 20, rate_period => '100 ms')});
as('alice', q{SELECT count(ft.submit('SELECT 1', queue => 'rate')) FROM generate_series(1, 150)});
all_done('twenty in a tenth of a second');
cmp_ok(sql(q{SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY started_at RANGE BETWEEN '0' PRECEDING AND '99.999 ms' FOLLOWING) AS n
                                FROM ft.orchestration_tasks) AS w}),
    '<=', 20, 'never more');

# What becomes due while the period is used up is started as well.
forget();
sql(q{SELECT ft.set_queue('rate', rate_limit => 2, rate_period => '1500 ms')});
as('alice', q{SELECT ft.submit('SELECT 1', queue => 'rate') FROM generate_series(1, 2)});
all_done('a period is used up');
as('alice', q{SELECT ft.submit('SELECT 1', queue => 'rate') FROM generate_series(1, 2)});
await(q{waits_for = 'rate_limit' FROM ft.queues WHERE queue = 'rate'}, 'what comes then waits for the rate');
all_done('and no longer');
sql(q{SELECT ft.set_queue('rate', rate_limit => 1, rate_period => '1 day')});
as('alice', q{SELECT ft.submit('SELECT 1', queue => 'rate')});
await(q{waits_for = 'rate_limit' FROM ft.queues WHERE queue = 'rate'}, 'a day is long');
sql(q{SELECT ft.set_queue('rate', rate_limit => 100)});
all_done('and over when the limit is changed');

$node->stop;
done_testing();
