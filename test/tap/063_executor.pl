# Executors: compensations run as the owner of their execution, one session
# for many, and none of them touches the next.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "fault_tolerance.recovery_backoff = '10ms'");
# so that what is to be run in one session is
$node->append_conf('postgresql.conf', 'fault_tolerance.max_executors = 1');
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
CREATE ROLE carol LOGIN;
CREATE ROLE helper;
GRANT helper TO alice;
GRANT USAGE ON SCHEMA ft TO alice, bob, carol;
GRANT ALL ON SCHEMA public TO alice, bob, carol;
CREATE TABLE ledger (entry serial, what text, session_role name DEFAULT session_user,
                     role name DEFAULT current_user, pid int DEFAULT pg_backend_pid());
GRANT ALL ON ledger, ledger_entry_seq TO alice, bob, carol, helper;
});

# Have it compensated; returns the execution.
sub compensate
{
    my ($user, $command) = @_;
    my $execution = new_execution($node, 'postgres', $command, $user);

    $node->safe_psql('postgres',
        "SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')",
        extra_params => [ '-U', $user ]);
    return $execution;
}

sub wait_for_recovery
{
    my ($execution, $what) = @_;

    return ok(
        $node->poll_query_until(
            'postgres',
            "SELECT recovered FROM ft.orchestration_failures WHERE execution_id = '$execution'"
        ),
        $what);
}

# As one, so that one executor runs all of them in one session.
sub together
{
    my ($code) = @_;

    $node->safe_psql('postgres',
        'ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off');
    wait_for_scheduler($node, 'postgres', 'paused');
    my @executions = $code->();
    $node->safe_psql('postgres',
        'ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
    return @executions;
}

#
# Whose session it is.
#
my $execution =
  compensate('alice', "INSERT INTO ledger (what) VALUES ('plain')");
wait_for_recovery($execution, 'a compensation is run');
is( $node->safe_psql('postgres',
        "SELECT session_role, role FROM ledger WHERE what = 'plain'"),
    'alice|alice',
    'in a session of its owner');

$execution = compensate('alice',
    "RESET SESSION AUTHORIZATION; RESET ROLE; INSERT INTO ledger (what) VALUES ('reset')"
);
wait_for_recovery($execution, 'one that resets its role is run');
is( $node->safe_psql('postgres',
        "SELECT session_role, role FROM ledger WHERE what = 'reset'"),
    'alice|alice',
    'and is still its owner');

# What the owner may not do fails, is recorded, and changes nothing.
$node->safe_psql('postgres', 'CREATE TABLE secret (x int)');
$execution = compensate('alice',
    "INSERT INTO ledger (what) VALUES ('half'); INSERT INTO secret VALUES (1)");
ok( $node->poll_query_until(
        'postgres',
        "SELECT status = 'COMPENSATION_FAILED' AND compensation_error_sqlstate = '42501'"
          . " FROM ft.orchestration_tasks WHERE execution_id = '$execution' AND task_name = 'done'"
    ),
    'one that does what its owner may not is given up after its tries');
is( $node->safe_psql('postgres', "SELECT count(*) FROM ledger WHERE what = 'half'"),
    '0',
    'and leaves no trace');

# A deferred constraint fails the commit, and with it the record.
$node->safe_psql('postgres',
    q{CREATE TABLE parent (id int PRIMARY KEY);
      CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
      GRANT ALL ON parent, child TO alice}
);
$execution = compensate('alice', 'INSERT INTO child VALUES (1)');
ok( $node->poll_query_until(
        'postgres',
        "SELECT compensation_error_sqlstate = '23503' FROM ft.orchestration_tasks"
          . " WHERE execution_id = '$execution' AND task_name = 'done'"),
    'a constraint that fails at commit is recorded');

#
# The session is reset between two executions of one owner: the first time
# while it has no temporary relations, and needs no transaction for that.
#
foreach my $temporary ('', 'CREATE TEMP TABLE left_behind (x int);', 'CREATE TEMP TABLE left_behind (x int);')
{
    my ($first, $second) = together(
        sub {
            return (
                compensate('alice', qq{
SET work_mem = '77MB';
SET search_path = nowhere, public;
SET ft_test.left_behind = 'left';
SET ROLE helper;
SELECT pg_advisory_lock(4711);
$temporary
DECLARE left_open CURSOR WITH HOLD FOR SELECT generate_series(1, 100000);
PREPARE left_prepared AS SELECT 1;
SELECT nextval('public.ledger_entry_seq');
INSERT INTO public.ledger (what) VALUES ('first')}),
                compensate('alice', q{
DO $$
BEGIN
    PERFORM set_config('ft_test.lastval', lastval()::text, true);
EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL;
END $$;
INSERT INTO ledger (what) SELECT 'second ' || concat_ws(',',
    nullif(current_setting('ft_test.lastval', true), ''),
    CASE WHEN current_setting('work_mem') = '77MB' THEN 'work_mem' END,
    CASE WHEN current_setting('search_path') LIKE 'nowhere%' THEN 'search_path' END,
    nullif(current_setting('ft_test.left_behind', true), ''),
    (SELECT string_agg(locktype, ',') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    (SELECT string_agg(name, ',') FROM pg_cursors WHERE name <> ''),
    (SELECT string_agg(name, ',') FROM pg_prepared_statements),
    to_regclass('pg_temp.left_behind'))})
            );
        });
    wait_for_recovery($first, 'a compensation that leaves much behind');
    wait_for_recovery($second, 'and the next of its owner');
    is( $node->safe_psql('postgres',
            "SELECT what, session_role, role FROM ledger WHERE what LIKE 'second%'"),
        'second |alice|alice',
        'finds nothing of it');
    is( $node->safe_psql('postgres',
            "SELECT count(DISTINCT pid), string_agg(DISTINCT role, ',') FROM ledger WHERE what = 'first' OR what LIKE 'second%'"
        ),
        '1|alice,helper',
        'in the same session');
    $node->safe_psql('postgres', "DELETE FROM ledger WHERE what = 'first' OR what LIKE 'second%'");
}
$node->append_conf('postgresql.conf', 'fault_tolerance.max_executors = 2');
$node->restart;

#
# Settings of the role, the database and both that would stop the engine.
#
my $timeout = $node->safe_psql('postgres',
    "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'");
foreach my $setting (
    'statement_timeout = 1',
    'lock_timeout = 1',
    'idle_in_transaction_session_timeout = 1',
    'default_transaction_read_only = on',
    'default_transaction_isolation = serializable',
    'default_transaction_deferrable = on',
    'exit_on_error = on',
    'role = helper',
    'search_path = nowhere',
    ($timeout ? ('transaction_timeout = 1') : ()))
{
    $node->safe_psql('postgres', "ALTER ROLE carol SET $setting") if $setting !~ /^role/;
    $node->safe_psql('postgres', "ALTER ROLE bob IN DATABASE postgres SET $setting")
      if $setting !~ /^role/;
}
$node->safe_psql('postgres', 'ALTER ROLE alice SET role = helper');
$execution = new_execution(
    $node,
    'postgres',
    "SELECT pg_sleep(0.05); INSERT INTO public.ledger (what) VALUES ('hostile')");
$node->safe_psql(
    'postgres', qq{
UPDATE ft.orchestration_executions SET owner = 'carol', owner_oid = 'carol'::regrole
 WHERE execution_id = '$execution';
SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')});
wait_for_recovery($execution, 'settings of the owner do not stop the engine');
is( $node->safe_psql('postgres',
        "SELECT session_role, role FROM ledger WHERE what = 'hostile'"),
    'carol|carol',
    'nor make it another');
$execution = new_execution($node, 'postgres',
    "INSERT INTO public.ledger (what) VALUES ('set role')");
$node->safe_psql(
    'postgres', qq{
UPDATE ft.orchestration_executions SET owner = 'alice', owner_oid = 'alice'::regrole
 WHERE execution_id = '$execution';
SELECT ft.record_failure('$execution', 'a test', failure_type => 'PARTIAL')});
wait_for_recovery($execution, 'nor does a role setting');
is( $node->safe_psql('postgres',
        "SELECT session_role, role FROM ledger WHERE what = 'set role'"),
    'alice|alice',
    'which does not hold');
$node->safe_psql('postgres',
    'ALTER ROLE carol RESET ALL; ALTER ROLE alice RESET ALL; ALTER ROLE bob IN DATABASE postgres RESET ALL'
);

#
# A limit on the time of one compensation.
#
$node->safe_psql('postgres',
    "ALTER DATABASE postgres SET fault_tolerance.step_timeout = '100ms'");
$node->safe_psql('postgres', 'CREATE TABLE gate AS SELECT 1 AS x; GRANT ALL ON gate TO alice');
$execution = compensate('alice', 'SELECT pg_sleep(600) FROM gate');
ok( $node->poll_query_until(
        'postgres',
        "SELECT compensation_error_sqlstate = '57014' FROM ft.orchestration_tasks"
          . " WHERE execution_id = '$execution' AND task_name = 'done'"),
    'fault_tolerance.step_timeout ends a compensation');
$node->safe_psql('postgres',
    'DELETE FROM gate; ALTER DATABASE postgres RESET fault_tolerance.step_timeout');
$execution = compensate('alice',
    "SELECT pg_sleep(0.3); INSERT INTO ledger (what) VALUES ('slow')");
wait_for_recovery($execution, 'which another, without the limit, does not feel');

#
# What is due for an owner does not wait for a command that takes long.
#
$node->safe_psql('postgres', 'INSERT INTO gate VALUES (1)');
my $long = compensate('alice', 'SELECT pg_sleep(600) FROM gate');
$execution = compensate('alice', 'SELECT 1');
wait_for_recovery($execution, 'another compensation of an owner overtakes a long one');
is( $node->safe_psql('postgres',
        "SELECT count(*) FROM ft.worker_status() WHERE worker = 'executor' AND owner = 'alice'"
    ),
    '1',
    'by a further executor, which leaves when it is done')
  if $node->poll_query_until('postgres',
    "SELECT count(*) = 1 FROM ft.worker_status() WHERE worker = 'executor'");
$node->safe_psql('postgres',
    "DELETE FROM gate; SELECT pg_cancel_backend(pid) FROM ft.worker_status() WHERE worker = 'executor'"
);
wait_for_recovery($long, 'one that was cancelled is run again');

#
# An owner that cannot log in is parked, and no worker is started in vain.
#
($execution) = together(
    sub {
        my @executions = (compensate('bob', 'SELECT 1'));
        $node->safe_psql('postgres', 'ALTER ROLE bob NOLOGIN');
        return @executions;
    });
ok( $node->poll_query_until(
        'postgres',
        "SELECT parked_reason LIKE '%not permitted to log in%' FROM ft.orchestration_executions WHERE execution_id = '$execution'"
    ),
    'an execution whose owner cannot log in is parked');
unlike(slurp_file($node->logfile), qr/role "bob" is not permitted to log in/,
    'before a worker has tried');
$node->safe_psql('postgres', 'ALTER ROLE bob LOGIN; SELECT ft.wake_worker()');
wait_for_recovery($execution, 'and run when the owner can');

# An owner whose worker cannot connect does not make workers start without
# end, nor keep others from their work.
($execution) = together(
    sub {
        my @executions = (compensate('bob', 'SELECT 1'));
        $node->safe_psql('postgres', 'ALTER ROLE bob CONNECTION LIMIT 0');
        return @executions;
    });
$node->safe_psql('postgres', 'ALTER ROLE bob CONNECTION LIMIT -1; SELECT ft.wake_worker()');
wait_for_recovery($execution, 'an owner with a connection limit');

#
# Executors that were at work are no failed starts, however many are ended: the
# delay after those, which is more than a minute in all after six, is not theirs.
#
my $stopped = $node->safe_psql('postgres', q{SELECT ft.submit('SELECT pg_sleep(600)', max_attempts => 100)},
    extra_params => [ '-U', 'carol' ]);
my $began = time;
foreach my $ended (1 .. 6)
{
    ok( $node->poll_query_until('postgres', q{
SELECT count(pg_terminate_backend(pid, 60000)) = 1 FROM pg_stat_activity
 WHERE backend_type = 'fault_tolerance executor' AND wait_event = 'PgSleep'}),
        "executor $ended is ended at its work");
}
cmp_ok(time - $began, '<', 40, 'and none of them makes the next one wait');
$node->safe_psql('postgres', "SELECT ft.cancel('$stopped')", extra_params => [ '-U', 'carol' ]);

#
# Several owners share the executors.
#
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
my @executions = together(
    sub {
        return map { compensate($_, 'SELECT pg_sleep(0.1)') }
          ('alice', 'bob', 'carol', 'alice', 'bob', 'carol', $superuser);
    });
my $most = 0;
foreach my $execution (@executions)
{
    my $now = $node->safe_psql('postgres',
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fault_tolerance executor'"
    );
    $most = $now if $now > $most;
    wait_for_recovery($execution, 'one of several owners gets its turn');
}
cmp_ok($most, '<=', 2, 'within fault_tolerance.max_executors');

# Work for long, and others wait: the place is handed over.
$node->append_conf('postgresql.conf', 'fault_tolerance.max_executors = 1');
$node->restart;
@executions = together(
    sub {
        return ((map { compensate('alice', 'SELECT pg_sleep(0.3)') } 1 .. 8),
            compensate('bob', 'SELECT 1'));
    });
wait_for_recovery($_, 'with a single executor') foreach @executions;
is( $node->safe_psql(
        'postgres', qq{
SELECT bool_or(a.recovered_at > b.recovered_at)
  FROM ft.orchestration_failures AS a, ft.orchestration_failures AS b
 WHERE a.execution_id IN ('} . join("','", @executions[ 0 .. 7 ]) . qq{')
   AND b.execution_id = '$executions[8]'}),
    't',
    'an owner with much to do lets another in');

#
# A session that is at it itself, and does not end its transaction: no executor
# can do anything meanwhile, so few are started, however often one looks.
#
sub executors_started
{
    my $n = () = slurp_file($node->logfile) =~
      /starting background worker process "fault_tolerance executor/g;

    return $n;
}

$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->reload;
my $session = $node->background_psql('postgres', extra_params => [ '-U', 'alice' ]);
my $session_pid = $session->query_safe('SELECT pg_backend_pid()');
($execution) = together(
    sub {
        my $id = compensate('alice', "INSERT INTO ledger (what) VALUES ('by hand')");

        $node->safe_psql('postgres',
            "SELECT ft.recover_from_failure('$id', 'PARTIAL')");
        $session->query_safe("BEGIN; SELECT ft.run_compensations('$id')");
        return $id;
    });
wait_for_scheduler($node, 'postgres', 'sleeping');
my $started = executors_started();
foreach (1 .. 30)
{
    my $tick = $node->safe_psql('postgres',
        "SELECT last_tick FROM ft.worker_status() WHERE worker = 'scheduler'");

    $node->safe_psql('postgres', 'SELECT ft.wake_worker()');
    $node->poll_query_until('postgres',
        "SELECT last_tick > '$tick' FROM ft.worker_status() WHERE worker = 'scheduler'");
}
$started = executors_started() - $started;
cmp_ok($started, '<', 15,
    'executors are not started one after the other for work that is locked');
cmp_ok($started, '>', 0, 'but now and then');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($session_pid)");
wait_for_recovery($execution,
    'what a session was at that was terminated is done by an executor');
is( $node->safe_psql('postgres',
        "SELECT count(*), bool_or(pid = $session_pid) FROM ledger WHERE what = 'by hand'"),
    '1|f',
    'once');
eval { $session->quit };
$node->append_conf('postgresql.conf', 'log_min_messages = warning');
$node->reload;

#
# Switched off, an executor finishes what it is at, and no more.
#
@executions = together(
    sub {
        return map { compensate('alice', 'SELECT pg_sleep(0.3)') } 1 .. 10;
    });
my $recovered = q{SELECT count(*) FROM ft.orchestration_failures WHERE recovered AND execution_id IN ('}
  . join("','", @executions) . q{')};
$node->poll_query_until('postgres', "SELECT ($recovered) > 0");
$node->safe_psql('postgres',
    'ALTER DATABASE postgres SET fault_tolerance.auto_recovery = off');
wait_for_scheduler($node, 'postgres', 'paused');
ok( $node->poll_query_until(
        'postgres',
        "SELECT NOT EXISTS (SELECT FROM ft.worker_status() WHERE worker = 'executor')"),
    'the executor leaves when recovery is switched off');
cmp_ok($node->safe_psql('postgres', $recovered), '<', 10, 'before all is done');
$node->safe_psql('postgres',
    'ALTER DATABASE postgres RESET fault_tolerance.auto_recovery');
ok($node->poll_query_until('postgres', "SELECT ($recovered) = 10"),
    'which another does when it is on again');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|was terminated by signal/,
    'nothing crashed');

done_testing();
