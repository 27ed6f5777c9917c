# What executors write into a ledger: executions of twenty steps of every
# kind, and what must be so in the end, whatever happened to the server.
#
# The ledger has no constraint that would hide a second line.
package Ledger;

use strict;
use warnings;

use Exporter 'import';
use FaultTolerance;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  new_ledger_node
  install_ledger
  define_ledger
  fill_ledger
  send_signals
  ledger_ends
  check_ledger
  check_ledger_complete
  none
);

# Whose executions they are.
my @owners = ('alice', 'bob');

# A server for it, set up but not started.
sub new_ledger_node
{
    my ($name, %params) = @_;
    my $node = new_node($name, allows_streaming => 1, %params);

    $node->append_conf(
        'postgresql.conf', q{
restart_after_crash = on
fault_tolerance.max_executors = 4
fault_tolerance.recovery_backoff = '10ms'
fault_tolerance.recovery_backoff_limit = '100ms'
fault_tolerance.recovery_max_attempts = 20
max_worker_processes = 16
autovacuum = on
});
    return $node;
}

# Steps take long enough to be hit now and then: before their line is written,
# and after.  What fails by chance fails before it writes.
my $tables = q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE workers;
CREATE ROLE alice LOGIN IN ROLE workers;
CREATE ROLE bob LOGIN IN ROLE workers;
GRANT USAGE ON SCHEMA ft TO workers;
CREATE TABLE ledger (line bigserial, run int, step text, kind text);
CREATE TABLE started (run serial, execution_id uuid);
GRANT ALL ON ledger, ledger_line_seq, started, started_run_seq TO workers;

CREATE FUNCTION note(input jsonb, step text, kind text DEFAULT 'do') RETURNS void LANGUAGE sql AS $$
    SELECT pg_sleep(random() * 0.004);
    INSERT INTO ledger (run, step, kind) VALUES ((input ->> 'run')::int, step, kind);
    SELECT pg_sleep(random() * 0.002);
$$;

CREATE FUNCTION fail_now_and_then(share float) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF random() < share THEN
        RAISE 'by chance' USING ERRCODE = 'serialization_failure';
    END IF;
END $$;

CREATE FUNCTION task(name text, depends_on text[] DEFAULT '{}', more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('name', name, 'depends_on', depends_on,
        'command', format('SELECT public.note($1, %L)', name),
        'compensation', format('SELECT public.note($1, %L, ''undo'')', name)) || more
$$;

-- a task for each of some items
CREATE FUNCTION spread(name text, depends_on text[], items int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT task(name, depends_on, jsonb_build_object('for_each', format('SELECT generate_series(0, %s)', items - 1),
        'command', format('SELECT public.note($1, concat(%L, ft.item(), '']''))', name || '['),
        'compensation', format('SELECT public.note($1, concat(%L, ft.item(), '']''), ''undo'')', name || '[')))
$$;

-- an execution within the execution: it starts what it is named like
CREATE FUNCTION within(name text, depends_on text[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('name', name, 'depends_on', depends_on,
        'orchestration', current_user || ' sub', 'input', 'SELECT $1')
$$;

CREATE FUNCTION chain(prefix text, n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(task(prefix || i, CASE WHEN i > 1 THEN ARRAY[prefix || i - 1] ELSE '{}' END,
                          CASE WHEN i % 3 <> 1 THEN '{"short": true}' ELSE '{}'::jsonb END))
      FROM generate_series(1, n) AS i
$$;

CREATE FUNCTION define() RETURNS void LANGUAGE sql AS $$
    SELECT ft.define_orchestration(current_user || ' sub', chain('sub ', 4));
    SELECT ft.define_orchestration(current_user || ' chain', chain('step ', 18) || jsonb_build_array(
        task('flaky', '{step 18}', '{"max_attempts": 100, "critical": true,
             "command": "SELECT public.fail_now_and_then(0.3); SELECT public.note($1, ''flaky'')"}'),
        task('last', '{flaky}')));
    SELECT ft.define_orchestration(current_user || ' branches', jsonb_build_array(
        task('fork'), spread('spread', '{fork}', 6), task('left', '{fork}'), task('right', '{fork}', '{"short": true}'),
        task('go', '{left}', '{"signal": "go", "command": "SELECT public.note($1, ''go''); SELECT ft.item()"}'),
        task('join', '{spread,go,right}'), within('within', '{join}'),
        task('again', '{join}', '{"repeat_while": "SELECT true", "max_iterations": 3,
             "command": "SELECT public.note($1, ''again '' || ft.iteration())"}'),
        task('asleep', '{again}', '{"sleep": "10 ms"}'),
        task('skipped', '{within,asleep}', '{"condition": "SELECT false"}'), task('end', '{skipped}')));
    -- ends in a permanent failure, perhaps while another branch goes on
    SELECT ft.define_orchestration(current_user || ' saga', jsonb_build_array(
        task('first'), spread('spread', '{first}', 5), task('one', '{first}',
             '{"compensation": "SELECT public.fail_now_and_then(0.2); SELECT public.note($1, ''one'', ''undo'')"}'),
        task('two', '{one}', '{"short": true}'), within('within', '{two}'),
        task('aside', '{first}', '{"compensation": null}'), task('aside later', '{aside}'),
        task('go', '{first}', '{"signal": "go", "command": "SELECT public.note($1, ''go''); SELECT ft.item()"}'),
        task('three', '{spread}'), task('four', '{three,go}'), task('five', '{within}'),
        task('bad', '{four,five}', '{"command": "SELECT public.note($1, ''bad''), 1 / 0"}'),
        task('never', '{bad}')));
$$;

-- Start as many as bring what is under way of one's own to a number.
CREATE FUNCTION fill(wanted int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    number int;
    missing int := wanted - (SELECT count(*) FROM started JOIN ft.orchestration_executions AS e USING (execution_id)
                              WHERE e.owner = current_user AND e.finished_at IS NULL);
BEGIN
    FOR i IN 1..missing LOOP
        number := nextval('started_run_seq');
        INSERT INTO started VALUES (number, ft.start(
            current_user || ' ' || (ARRAY['chain', 'branches', 'saga'])[1 + number % 3],
            jsonb_build_object('run', number)));
    END LOOP;
    RETURN greatest(missing, 0);
END $$;

-- Every signal is sent twice: only the first counts.
CREATE FUNCTION send(share float) RETURNS void LANGUAGE sql AS $$
    SELECT ft.signal(s.execution_id, 'go', jsonb_build_object('number', number))
      FROM started AS s JOIN ft.orchestration_executions AS e USING (execution_id), generate_series(1, 2) AS number
     WHERE e.owner = current_user AND e.finished_at IS NULL AND s.run % 3 > 0 AND hashint4(s.run) % 100 < share * 100
       AND NOT EXISTS (SELECT FROM ft.orchestration_signals AS sent WHERE sent.execution_id = s.execution_id)
     ORDER BY s.run, number;
$$;
};

# What each task must have written, and what has been.
my $views = q{
CREATE INDEX ON ledger (run, step);
CREATE INDEX ON started (execution_id);
ANALYZE;
CREATE VIEW all_executions AS
WITH RECURSIVE tree AS
 (SELECT run, execution_id FROM started
  UNION ALL
  SELECT tree.run, child.execution_id
    FROM tree, ft.orchestration_tasks AS starter, ft.orchestration_executions AS child
   WHERE starter.execution_id = tree.execution_id AND child.execution_id = starter.child_execution_id)
SELECT * FROM tree;
CREATE TABLE expected AS
SELECT run, task.execution_id, task.task_id, task.task_name AS step, task.status, task.completion_order, task.depends_on,
       task.child_execution_id, task.repeat_while IS NOT NULL AS is_loop,
       task.children IS NULL AND task.orchestration IS NULL AS writes,
       (task.status IN ('COMPLETED', 'COMPENSATED'))::int AS do, (task.status = 'COMPENSATED')::int AS undo
  FROM all_executions JOIN ft.orchestration_tasks AS task USING (execution_id);
CREATE INDEX ON expected (run, step);
CREATE INDEX ON expected (execution_id);
ANALYZE expected;
CREATE VIEW written AS
SELECT run, step, count(*) FILTER (WHERE kind = 'do') AS do, count(*) FILTER (WHERE kind = 'undo') AS undo
  FROM ledger GROUP BY run, step;
-- a loop writes a line for each time
CREATE VIEW due AS
SELECT run, step, expected.do, undo FROM expected WHERE writes AND NOT is_loop
UNION ALL
SELECT run, step || ' ' || n, expected.do, 0 FROM expected, generate_series(1, 3) AS n WHERE is_loop
UNION ALL
SELECT run, step, 0, undo FROM expected WHERE is_loop;
-- a task that has started an execution is undone by what that one undoes
CREATE TABLE undone AS
SELECT task.execution_id, task.step, task.completion_order, min(line) AS first_line, max(line) AS last_line
  FROM (SELECT execution_id, step, completion_order, run, step AS writer FROM expected
        UNION ALL
        SELECT task.execution_id, task.step, task.completion_order, within.run, within.step
          FROM expected AS task JOIN expected AS within ON within.execution_id = task.child_execution_id) AS task
  JOIN ledger ON ledger.run = task.run AND ledger.step = task.writer AND kind = 'undo'
 GROUP BY 1, 2, 3;
CREATE INDEX ON undone (execution_id);
ANALYZE undone;
};

sub install_ledger
{
    my ($node) = @_;

    $node->safe_psql('postgres', $tables);
    define_ledger($node, @owners);
}

# Define the orchestrations of these owners.
sub define_ledger
{
    my ($node, @of) = @_;

    $node->safe_psql('postgres', 'SELECT define()', extra_params => [ '-U', $_ ]) foreach @of;
}

# Have so many executions under way for each owner, or for some.  Returns how
# many were started.
sub fill_ledger
{
    my ($node, $wanted, @of) = @_;
    my $n = 0;

    $n += $node->safe_psql('postgres', "SELECT fill($wanted)", extra_params => [ '-U', $_ ])
      foreach @of ? @of : @owners;
    return $n;
}

# Send what a share of the executions wait for, or will.
sub send_signals
{
    my ($node, $share, @of) = @_;

    $node->safe_psql('postgres', "SELECT send($share)", extra_params => [ '-U', $_ ])
      foreach @of ? @of : @owners;
}

# Wait until all is over.
sub ledger_ends
{
    my ($node, @of) = @_;

    send_signals($node, 2, @of);
    return ok(
        poll($node,
            q{SELECT count(*) = 0 FROM ft.orchestration_executions WHERE status NOT IN ('COMPLETED', 'COMPENSATED')}),
        'nothing is stranded')
      || diag $node->safe_psql('postgres',
        q{SELECT e.execution_id, e.status, t.task_name, t.status, t.due_at, t.worker_id, t.losses, t.suspicion,
                 t.error_message, t.compensation_error_message, e.parked_reason
            FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id)
           WHERE e.status NOT IN ('COMPLETED', 'COMPENSATED') AND t.status NOT IN ('COMPLETED', 'SKIPPED')
           ORDER BY 1, 3 LIMIT 50})
      . $node->safe_psql('postgres', 'SELECT * FROM ft.worker_status()');
}

# No rows where all is well.
sub none
{
    my ($node, $query, $what) = @_;

    return is($node->safe_psql('postgres', $query), '', $what);
}

# What was acknowledged is there.
sub check_ledger_complete
{
    my ($node, $started) = @_;

    cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM started'),
        '>=', $started, 'every start that was acknowledged is there');
}

# What must be so when all is over.
sub check_ledger
{
    my ($node) = @_;

    $node->safe_psql('postgres', $views);
    none($node,
        'SELECT * FROM started FULL JOIN (SELECT * FROM ft.orchestration_executions WHERE parent_task_id IS NULL) AS e'
          . ' USING (execution_id) WHERE run IS NULL OR status IS NULL',
        'every start has its execution');
    none($node,
        'SELECT execution_id FROM ft.orchestration_executions EXCEPT SELECT execution_id FROM all_executions',
        'and what was started within belongs to one');
    none($node,
        q{SELECT run, status FROM all_executions JOIN ft.orchestration_executions USING (execution_id)
           WHERE status <> CASE WHEN run % 3 = 2 THEN 'COMPENSATED' ELSE 'COMPLETED' END},
        'each ends as it should');
    none($node,
        'SELECT due.*, written.do, written.undo FROM due LEFT JOIN written USING (run, step)'
          . ' WHERE due.do <> coalesce(written.do, 0) OR due.undo <> coalesce(written.undo, 0)',
        'every step and every compensation is in the ledger exactly once');
    none($node, 'SELECT written.* FROM written LEFT JOIN due USING (run, step) WHERE due.run IS NULL',
        'and nothing else is');
    none($node,
        q{SELECT run, step, status FROM expected
           WHERE run % 3 <> 2 AND status <> CASE WHEN step = 'skipped' THEN 'SKIPPED' ELSE 'COMPLETED' END
              OR run % 3 = 2 AND (step ~ '^(first|one|two|three|four|five|go|within|sub .|spread..*)$' AND status <> 'COMPENSATED'
                                  OR step = 'bad' AND status <> 'FAILED' OR step = 'never' AND status <> 'CANCELLED')},
        'every step ended as it should');
    none($node,
        q{SELECT run, count(*) FROM expected WHERE writes GROUP BY run
          HAVING count(*) <> (ARRAY[20, 19, 20])[1 + run % 3]},
        'and none is missing');
    none($node,
        q{SELECT early.execution_id, early.step, late.step FROM undone AS early JOIN undone AS late USING (execution_id)
           WHERE early.completion_order < late.completion_order AND early.first_line < late.last_line},
        'compensations ran in reverse order of completion');
    none($node,
        q{SELECT task.run, task.step, needed.step
            FROM expected AS task JOIN expected AS needed
                 ON needed.execution_id = task.execution_id AND needed.step = ANY (task.depends_on)
            JOIN ledger AS later ON later.run = task.run AND later.step = task.step AND later.kind = 'do'
            JOIN ledger AS earlier ON earlier.run = task.run AND earlier.step = needed.step AND earlier.kind = 'do'
           WHERE earlier.line > later.line},
        'no step ran before what it depends on');
    none($node,
        q{SELECT run, result FROM all_executions JOIN ft.orchestration_tasks USING (execution_id)
           WHERE task_name = 'go' AND result IS DISTINCT FROM '{"number": 1}'},
        'of signals sent twice the first counts');
    none($node,
        'SELECT e.execution_id, v.* FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id) AS v',
        'every execution is valid');

    # A step that was lost once has failed at nothing.  Killed again while it
    # ran by itself, it cannot be told from one that brings the server down.
    # Where its execution is undone later, its losses are forgotten.
    none($node,
        q{SELECT task.task_name, failure.sqlstate, failure.failure_message, task.losses
            FROM ft.orchestration_failures AS failure LEFT JOIN ft.orchestration_tasks AS task USING (task_id)
           WHERE (coalesce(task.task_name, ''), failure.sqlstate) NOT IN (('bad', '22012'), ('flaky', '40001'))
             AND NOT (failure.sqlstate IN ('57P01', '57P02')
                      AND (coalesce(task.losses, 0) >= 2
                           OR EXISTS (SELECT FROM ft.orchestration_failures AS later
                                       WHERE later.execution_id = failure.execution_id AND later.recovery_action <> 'RETRY'
                                         AND later.failure_timestamp > failure.failure_timestamp)))},
        'no failure is charged to a step that did nothing wrong');
    none($node,
        q{SELECT task_name, compensation_failures, compensation_losses, compensation_error_message FROM ft.orchestration_tasks
           WHERE compensation_failures > 0 AND task_name <> 'one' AND compensation_losses < 2},
        'nor to a compensation');
    none($node,
        q{SELECT execution_id, count(*) FROM ft.orchestration_failures AS failure
            JOIN ft.orchestration_tasks AS task USING (execution_id, task_id)
           WHERE task_name = 'bad' AND sqlstate = '22012'
           GROUP BY execution_id HAVING count(*) <> 1},
        'and to the bad one its own, once');
    note 'executions, steps and compensations: ' . $node->safe_psql('postgres',
        q{SELECT (SELECT count(*) FROM all_executions), count(*) FILTER (WHERE kind = 'do'), count(*) FILTER (WHERE kind = 'undo')
            FROM ledger});
    note 'lost: ' . $node->safe_psql('postgres',
        q{SELECT format('%s steps, the most often lost %s times; %s compensations, the most often %s times',
                        coalesce(sum(losses), 0), max(losses), coalesce(sum(compensation_losses), 0), max(compensation_losses))
            FROM ft.orchestration_tasks});
    none($node,
        'SELECT pid FROM pg_stat_activity WHERE backend_type = \'fault_tolerance scheduler\' OFFSET 1',
        'there is no second scheduler');
}

1;
