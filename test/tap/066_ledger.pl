# The ledger: every step that executors run writes a line, without any
# constraint that would hide a second one.  While they run, processes are
# killed at random moments: executors, the scheduler, the launcher, the
# postmaster.  In the end every step has written exactly once what it should
# have, every compensation too and in reverse order, and nothing is stranded.
#
# FT_LEDGER_KILLS    how many (default 10)
# FT_LEDGER_SEED     of the random numbers (default: by the clock; printed)
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util qw(shuffle);
use Time::HiRes qw(usleep);

my $kills = $ENV{FT_LEDGER_KILLS} // 10;
my $seed = $ENV{FT_LEDGER_SEED} // time ^ $$;

srand($seed);
note "$kills kills, FT_LEDGER_SEED=$seed";

my $node = new_node('ledger', allows_streaming => 1);
$node->append_conf(
    'postgresql.conf', q{
restart_after_crash = on
fault_tolerance.max_executors = 4
fault_tolerance.recovery_backoff = '10ms'
max_worker_processes = 16
});
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT USAGE ON SCHEMA ft TO alice, bob;
CREATE TABLE ledger (line bigserial, run int, step text, kind text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE started (run serial, execution_id uuid);
GRANT ALL ON ledger, ledger_line_seq, started, started_run_seq TO alice, bob;

-- What a step or a compensation writes.  It takes long enough to be hit now
-- and then: before its line is written, and after.
CREATE FUNCTION note(input jsonb, step text, kind text DEFAULT 'do') RETURNS void LANGUAGE sql AS $$
    SELECT pg_sleep(random() * 0.006);
    INSERT INTO ledger (run, step, kind) VALUES ((input ->> 'run')::int, step, kind);
    SELECT pg_sleep(random() * 0.004);
$$;

CREATE FUNCTION task(name text, depends_on text[] DEFAULT '{}', more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('name', name, 'depends_on', depends_on,
        'command', format('SELECT public.note($1, %L)', name),
        'compensation', format('SELECT public.note($1, %L, ''undo'')', name)) || more
$$;

CREATE FUNCTION define() RETURNS void LANGUAGE sql AS $$
    SELECT ft.define_orchestration(current_user || ' chain', (
        SELECT jsonb_agg(task('step ' || n, CASE WHEN n > 1 THEN ARRAY['step ' || n - 1] ELSE '{}' END))
          FROM generate_series(1, 6) AS n));
    SELECT ft.define_orchestration(current_user || ' branches', jsonb_build_array(
        task('fork'), task('left', '{fork}'), task('middle', '{fork}', '{"short": true}'),
        task('right', '{fork}'), task('join', '{left,middle,right}'),
        task('skipped', '{join}', '{"condition": "SELECT false"}'), task('end', '{skipped}')));
    -- ends in a permanent failure while another branch goes on
    SELECT ft.define_orchestration(current_user || ' saga', jsonb_build_array(
        task('first'), task('one', '{first}'), task('two', '{first}'),
        task('aside', '{first}', '{"compensation": null}'), task('aside later', '{aside}'),
        task('bad', '{one,two}', '{"command": "SELECT public.note($1, ''bad''), 1 / 0"}'),
        task('never', '{bad}')));
$$;

CREATE FUNCTION start_some(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    number int;
BEGIN
    FOR i IN 1..n LOOP
        number := nextval('started_run_seq');
        INSERT INTO started VALUES (number, ft.start(
            current_user || ' ' || (ARRAY['chain', 'branches', 'saga'])[1 + number % 3],
            jsonb_build_object('run', number)));
    END LOOP;
END $$;
});
$node->safe_psql('postgres', 'SELECT define()', extra_params => [ '-U', $_ ]) foreach 'alice', 'bob';

# What to kill, and how.
sub pids
{
    my ($worker) = @_;

    return split /\n/, $node->safe_psql('postgres',
        "SELECT pid FROM ft.worker_status() WHERE worker = '$worker' AND pid IS NOT NULL");
}

# A process that ends by itself in between is none to kill.
sub kill9
{
    my ($worker) = @_;
    my @pids = pids($worker);

    return @pids && kill 'KILL', $pids[ rand @pids ];
}

sub terminate
{
    my ($worker) = @_;

    return $node->safe_psql('postgres',
            "SELECT count(pg_terminate_backend(pid)) FROM"
          . " (SELECT pid FROM ft.worker_status() WHERE worker = '$worker' AND pid IS NOT NULL"
          . '   ORDER BY random() LIMIT 1) AS victim') eq '1';
}

my %kinds = (
    'kill -9 of an executor' => sub { kill9('executor') },
    'kill -9 of the scheduler' => sub { kill9('scheduler') },
    'kill -9 of the launcher' => sub { kill9('launcher') },
    'pg_terminate_backend of an executor' => sub { terminate('executor') },
    'pg_terminate_backend of the scheduler' => sub { terminate('scheduler') },
    'pg_terminate_backend of the launcher' => sub { terminate('launcher') },
    'kill -9 of the postmaster' => sub { $node->kill9; start_after_kill9($node); return 1; },
    'immediate shutdown' => sub { $node->stop('immediate'); $node->start; return 1; },
);

# How often the server has come up, by its log.
sub ready_times
{
    return slurp_file($node->logfile) =~
      /^(\S+ \S+ \S+) \[.*database system is ready to accept connections/mg;
}

# Poll without a word of what fails while the server is down.
sub poll
{
    my ($query, $what) = @_;
    my $bound = time + $PostgreSQL::Test::Utils::timeout_default;

    for (;;)
    {
        my ($status, $out) = $node->psql('postgres', $query, timeout => 60);

        return 1 if defined $status && $status == 0 && $out eq 't';
        last if time > $bound;
        usleep(20_000);
    }
    diag "waited in vain: $what";
    return 0;
}

my @bag;
my %done;
my @gaps;
my $last_boots = () = ready_times();

foreach my $round (1 .. $kills)
{
    foreach my $owner ('alice', 'bob')
    {
        $node->safe_psql('postgres', 'SELECT start_some(12)', extra_params => [ '-U', $owner ]);
    }
    usleep(rand 400_000);

    # each kind comes up before any comes again
    @bag = shuffle sort keys %kinds if !@bag;
    my $kind = shift @bag;
    my $hit = eval { $kinds{$kind}->() } ? 'hit' : 'came too late';

    # The server may still look alive for a moment after a process was killed.
    poll("SELECT count(*) >= 0 FROM ft.worker_status()", 'the server is up')
      or BAIL_OUT('the server does not come up again');
    usleep(50_000);
    poll("SELECT NOT pg_is_in_recovery()", 'the server is up')
      or BAIL_OUT('the server does not come up again');
    $done{"$kind: $hit"}++;

    # From being ready to the next step that is completed.
    my @boots = ready_times();
    if (@boots > $last_boots)
    {
        $last_boots = @boots;
        poll("SELECT EXISTS (SELECT FROM ft.orchestration_tasks WHERE completed_at > '$boots[-1]')"
              . " OR NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE finished_at IS NULL)",
            "a step is completed after $kind")
          or last;
        my $gap = $node->safe_psql('postgres',
            "SELECT round(extract(epoch FROM min(completed_at) - '$boots[-1]') * 1000)"
              . " FROM ft.orchestration_tasks WHERE completed_at > '$boots[-1]'");
        next if $gap eq '';    # all had been done before
        push @gaps, $gap;
        note "$kind ($hit): $gap ms from ready to the next step";
    }
}

note "$_ ($done{$_})" foreach sort keys %done;
if (@gaps)
{
    my @sorted = sort { $a <=> $b } @gaps;

    note sprintf 'ready to accept connections, to the next completed step: median %d ms, longest %d ms, %d times',
      $sorted[ $#sorted / 2 ], $sorted[-1], scalar @gaps;
}

#
# What must be so in the end.
#
ok( poll(
        q{SELECT count(*) = 0 FROM ft.orchestration_executions WHERE status NOT IN ('COMPLETED', 'COMPENSATED')},
        'all executions end'),
    'nothing is stranded')
  or diag $node->safe_psql('postgres',
    q{SELECT e.execution_id, e.status, t.task_name, t.status, t.due_at, t.worker_id, t.losses, t.error_message, e.parked_reason
        FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)
       WHERE e.status NOT IN ('COMPLETED', 'COMPENSATED') AND t.status NOT IN ('COMPLETED', 'SKIPPED')
       ORDER BY 1, 3 LIMIT 50});

# No rows where all is well.
sub none
{
    my ($query, $what) = @_;
    my $rows = $node->safe_psql('postgres', $query);

    is($rows, '', $what);
}

cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM started'),
    '>=', 24 * $kills, 'every start that was acknowledged is there');
none(
    'SELECT * FROM started FULL JOIN ft.orchestration_executions USING (execution_id)'
      . ' WHERE run IS NULL OR status IS NULL',
    'every start has its execution');
none(
    q{SELECT run, status FROM started JOIN ft.orchestration_executions USING (execution_id)
       WHERE status <> CASE WHEN run % 3 = 2 THEN 'COMPENSATED' ELSE 'COMPLETED' END},
    'each ends as it should');

# What each task must have written.
$node->safe_psql('postgres', q{
CREATE VIEW expected AS
SELECT started.run, task.task_name AS step, task.status, task.completion_order,
       CASE WHEN task.status IN ('COMPLETED', 'COMPENSATED') THEN 1 ELSE 0 END AS do,
       CASE WHEN task.status = 'COMPENSATED' THEN 1 ELSE 0 END AS undo
  FROM started JOIN ft.orchestration_tasks AS task USING (execution_id);
CREATE VIEW written AS
SELECT run, step, count(*) FILTER (WHERE kind = 'do') AS do, count(*) FILTER (WHERE kind = 'undo') AS undo
  FROM ledger GROUP BY run, step});
none(
    'SELECT expected.*, written.do, written.undo FROM expected LEFT JOIN written USING (run, step)'
      . ' WHERE expected.do <> coalesce(written.do, 0) OR expected.undo <> coalesce(written.undo, 0)',
    'every step and every compensation is in the ledger exactly once');
none('SELECT written.* FROM written LEFT JOIN expected USING (run, step) WHERE expected.run IS NULL',
    'and nothing else is');
none(
    q{SELECT run, step FROM expected JOIN started USING (run)
       WHERE run % 3 <> 2 AND status <> CASE WHEN step = 'skipped' THEN 'SKIPPED' ELSE 'COMPLETED' END
          OR run % 3 = 2 AND (step IN ('first', 'one', 'two') AND status <> 'COMPENSATED'
                              OR step = 'bad' AND status <> 'FAILED' OR step = 'never' AND status <> 'CANCELLED')},
    'every step ended as it should');
none(
    q{SELECT early.run, early.step, late.step
        FROM expected AS early JOIN ledger AS early_undo ON early_undo.run = early.run AND early_undo.step = early.step,
             expected AS late JOIN ledger AS late_undo ON late_undo.run = late.run AND late_undo.step = late.step
       WHERE early.run = late.run AND early_undo.kind = 'undo' AND late_undo.kind = 'undo'
         AND early.completion_order < late.completion_order AND early_undo.line < late_undo.line},
    'compensations ran in reverse order of completion');
none(
    q{SELECT task.task_name, needed.task_name
        FROM ft.orchestration_tasks AS task JOIN ft.orchestration_tasks AS needed
             ON needed.execution_id = task.execution_id AND needed.task_name = ANY (task.depends_on)
        JOIN started ON started.execution_id = task.execution_id
        JOIN ledger AS later ON later.run = started.run AND later.step = task.task_name AND later.kind = 'do'
        JOIN ledger AS earlier ON earlier.run = started.run AND earlier.step = needed.task_name AND earlier.kind = 'do'
       WHERE earlier.line > later.line},
    'no step ran before what it depends on');
none(
    'SELECT e.execution_id, v.* FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id) AS v',
    'every execution is valid');

# A step that was lost once has failed at nothing.  Killed again while it ran
# by itself, it cannot be told from one that brings the server down.
none(
    q{SELECT task.task_name, failure.sqlstate, failure.failure_message, task.losses
        FROM ft.orchestration_failures AS failure LEFT JOIN ft.orchestration_tasks AS task USING (task_id)
       WHERE task.task_name IS DISTINCT FROM 'bad' AND coalesce(task.losses, 0) < 2},
    'no failure is charged to a step that did nothing wrong');
none(
    q{SELECT execution_id, count(*) FROM ft.orchestration_failures AS failure
        JOIN ft.orchestration_tasks AS task USING (execution_id, task_id)
       WHERE task_name = 'bad' AND sqlstate = '22012'
       GROUP BY execution_id HAVING count(*) <> 1},
    'and to the bad one its own, once');
note 'steps lost: '
  . $node->safe_psql('postgres',
    q{SELECT coalesce(sum(losses), 0) || ', the most often lost ' || coalesce(max(losses), 0) || ' times' FROM ft.orchestration_tasks});
none('SELECT pid FROM pg_stat_activity WHERE backend_type = \'fault_tolerance scheduler\' OFFSET 1',
    'there is no second scheduler');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (6|11)/, 'nothing crashed by itself');

done_testing();
