# Workers outside: the program of the documentation, compiled as it stands
# there, works a queue, loses its lease when it is killed, and the scheduler
# gives the task to another.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use File::Spec::Functions qw(catfile);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub pg_config
{
    my ($option) = @_;
    my ($out, $err);

    IPC::Run::run([ 'pg_config', $option ], '>', \$out, '2>', \$err);
    chomp $out;
    return $out;
}

my $include = pg_config('--includedir');
plan skip_all => 'no header of libpq' if !-e "$include/libpq-fe.h";

my $page = slurp_file(catfile($FindBin::Bin, '..', '..', 'doc', 'orchestration', 'external_workers.md'));
my ($program) = $page =~ /^```c\n(.*?)^```$/ms;
ok(defined $program, 'the page has a program') or BAIL_OUT('no program');

my $lib = pg_config('--libdir');

my $dir = PostgreSQL::Test::Utils::tempdir();
my $source = catfile($dir, 'worker.c');
my $worker = catfile($dir, 'worker');
append_to_file($source, $program);
my ($out, $err);
ok( IPC::Run::run(
        [ 'cc', '-Wall', '-Wextra', '-Werror', "-I$include", '-o', $worker, $source, "-L$lib", "-Wl,-rpath,$lib", '-lpq' ],
        '>', \$out, '2>', \$err),
    'which compiles without a warning')
  or BAIL_OUT($err);

# It does what the task says: a test's handler trusts its tasks.
my $handler = catfile($dir, 'handler');
append_to_file($handler, qq{#!/bin/sh\neval "\$1"\n});
chmod 0755, $handler;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "fault_tolerance.recovery_backoff = '10ms'");
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE ledger (entry serial, what text);
SELECT ft.define_orchestration('mailing', '[
    {"name": "write", "command": "SELECT ft.input() ->> ''to''"},
    {"name": "send", "depends_on": ["write"], "execution_mode": "external", "queue": "mail",
     "command": "printf \"sent to %s\" \"$INPUT\""},
    {"name": "note", "depends_on": ["send"],
     "command": "INSERT INTO public.ledger (what) SELECT ft.result(''send'') ->> ''output''"}]')});

sub start_worker
{
    my ($queue, $name, $lease) = @_;
    my ($in, $out) = ('', '');

    return IPC::Run::start([ $worker, $node->connstr('postgres'), $queue, $name, $lease // 60, $handler ], '<', \$in, '>', \$out, '2>', \$out);
}

sub completed
{
    my ($name, $count) = @_;

    return ok(
        $node->poll_query_until(
            'postgres', "SELECT count(*) = $count FROM ft.orchestration_executions WHERE status = 'COMPLETED'"
        ),
        $name);
}

sub invalid
{
    return $node->safe_psql('postgres',
        'SELECT v FROM ft.orchestration_executions AS e, ft.validate_execution(e.execution_id) AS v');
}

#
# It works a queue; what comes before and after runs in the server.
#
$node->safe_psql('postgres',
    q{SELECT ft.start('mailing', '{"to": "Ada"}') FROM generate_series(1, 5)});
my @workers = map { start_worker('mail', "worker $_") } 1 .. 2;
completed('two workers and the server do five executions', 5);
is($node->safe_psql('postgres', 'SELECT count(*), min(what) FROM ledger'),
    '5|sent to {"to": "Ada"}', 'each once');
is(invalid(), '', 'and leave no contradiction');

# What fails there is a failure of the step.
$node->safe_psql('postgres',
    "SELECT ft.submit('echo no such luck >&2; exit 3', execution_mode => 'external', queue => 'mail', max_attempts => 2)");
ok( $node->poll_query_until(
        'postgres',
        "SELECT count(*) = 1 FROM ft.orchestration_failures WHERE failure_message = 'exit status 3'"),
    'a command that fails is reported');

# They stop when asked to, and give back what they have not begun.
$_->signal('TERM') foreach @workers;
foreach (@workers) { $_->finish; is(($_->full_results)[0], 0, 'a worker ends when it is asked to'); }

#
# Killed, it is not missed for longer than its lease.  The poll comes once an
# hour: it is the lease that wakes the scheduler.
#
$node->safe_psql('postgres',
    "SELECT ft.submit('if mkdir $dir/first; then echo \$\$ >$dir/orphan; exec sleep 600 >/dev/null 2>&1; fi', execution_mode => 'external', queue => 'slow')");
my $lost = start_worker('slow', 'lost', 1);
ok( $node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM ft.orchestration_tasks WHERE leased_by = 'lost' AND status = 'RUNNING' AND now() - started_at > interval '2 s'"),
    'a heartbeat keeps a lease of a second');
$lost->signal("KILL");
$lost->finish;
ok( $node->poll_query_until('postgres',
        "SELECT count(*) = 1 FROM ft.orchestration_tasks WHERE leased_by = 'lost' AND status = 'PENDING' AND losses = 1"),
    'the scheduler gives back what a killed worker had');
my $second = start_worker('slow', 'second');
completed('and another worker does it', 6);
kill 'KILL', slurp_file("$dir/orphan");
$second->signal('TERM');
$second->finish;

#
# A task that loses its worker each time fails in the end.
#
$node->safe_psql('postgres',
    "SELECT ft.submit('any', execution_mode => 'external', queue => 'deadly', max_attempts => 2)");
foreach my $attempt (1, 2)
{
    ok( $node->poll_query_until('postgres',
            "SELECT count(*) = 1 FROM ft.claim_task('deadly', 'dies', '100 ms')"),
        "attempt $attempt is claimed");
}
ok( $node->poll_query_until('postgres',
        "SELECT e.status = 'ROLLED_BACK' FROM ft.orchestration_executions AS e JOIN ft.orchestration_tasks AS t USING (execution_id) WHERE t.queue = 'deadly'"
    ),
    'one that loses every worker is given up after its attempts');
is( $node->safe_psql('postgres',
        "SELECT count(*) FROM ft.orchestration_failures AS f JOIN ft.orchestration_tasks AS t USING (task_id) WHERE t.queue = 'deadly'"
    ),
    '2', 'each counted as a failure');
is(invalid(), '', 'and nothing contradicts');

done_testing();
