# The ledger: every step that executors run writes a line, without any
# constraint that would hide a second one.  While twenty executions of twenty
# steps are under way, processes are killed at random moments, and their owners
# lose their login for a while.  In the end every step has written exactly once
# what it should have, every compensation too and in reverse order, and nothing
# is stranded.
#
# FT_LEDGER_KILLS    how many (default 50)
# FT_LEDGER_SEED     of the random numbers (default: by the clock; printed)
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util qw(shuffle);
use Time::HiRes qw(usleep);

my $kills = $ENV{FT_LEDGER_KILLS} // 50;
my $seed = $ENV{FT_LEDGER_SEED} // time ^ $$;

srand($seed);
note "$kills kills, FT_LEDGER_SEED=$seed";

my $node = new_ledger_node('ledger');
$node->start;
install_ledger($node);

# What to kill, and how.  A process that ends by itself in between is none to
# kill.
sub kill9
{
    my ($worker) = @_;
    my @pids = split /\n/, $node->safe_psql('postgres',
        "SELECT pid FROM ft.worker_status() WHERE worker = '$worker' AND pid IS NOT NULL");

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

# A session by itself, which can only be without a word.
sub kill9_session
{
    $node->psql('postgres', "SELECT pg_backend_pid() AS pid \\gset\n\\setenv PID :pid\n\\! kill -9 \$PID\nSELECT 1");
    return 1;
}

# Something is done to an owner, and taken back.
sub for_a_while
{
    my ($do, $undo) = @_;

    $node->safe_psql('postgres', $do);
    usleep(rand 300_000);
    $node->safe_psql('postgres', $undo);
    return 1;
}

my %kinds = (
    'kill -9 of an executor' => sub { kill9('executor') },
    'kill -9 of the scheduler' => sub { kill9('scheduler') },
    'kill -9 of the launcher' => sub { kill9('launcher') },
    'kill -9 of a session' => \&kill9_session,
    'pg_terminate_backend of an executor' => sub { terminate('executor') },
    'pg_terminate_backend of the scheduler' => sub { terminate('scheduler') },
    'pg_terminate_backend of the launcher' => sub { terminate('launcher') },
    'kill -9 of the postmaster' => sub { $node->kill9; start_after_kill9($node); return 1; },
    'immediate shutdown' => sub { $node->stop('immediate'); $node->start; return 1; },
    'fast shutdown' => sub { $node->restart; return 1; },
    'an owner without login' => sub { for_a_while('ALTER ROLE bob NOLOGIN', 'ALTER ROLE bob LOGIN') },
    'an owner of another name' => sub { for_a_while('ALTER ROLE alice RENAME TO carol', 'ALTER ROLE carol RENAME TO alice') },
);

my @bag;
my %done;
my @gaps;
my $started = 0;
my $last_boots = () = ready_times($node);

foreach my $round (1 .. $kills)
{
    $started += fill_ledger($node, 10);
    send_signals($node, rand);
    usleep(rand 300_000);

    # each kind comes up before any comes again
    @bag = shuffle sort keys %kinds if !@bag;
    my $kind = shift @bag;
    my $hit = eval { $kinds{$kind}->() } ? 'hit' : 'came too late';

    # The server may still look alive for a moment after a process was killed.
    poll($node, 'SELECT count(*) >= 0 FROM ft.worker_status()')
      or BAIL_OUT('the server does not come up again');
    usleep(50_000);
    poll($node, 'SELECT NOT pg_is_in_recovery()') or BAIL_OUT('the server does not come up again');
    $done{"$kind: $hit"}++;

    # From being ready to the next step that is completed.
    my @boots = ready_times($node);
    if (@boots > $last_boots)
    {
        $last_boots = @boots;
        send_signals($node, 1);
        poll($node,
            "SELECT EXISTS (SELECT FROM ft.orchestration_tasks WHERE greatest(completed_at, compensated_at) > '$boots[-1]')"
              . " OR NOT EXISTS (SELECT FROM ft.orchestration_executions WHERE finished_at IS NULL)"
        ) or last;
        my $gap = $node->safe_psql('postgres',
            "SELECT round(extract(epoch FROM min(least(nullif(greatest(completed_at, '$boots[-1]'), '$boots[-1]'),"
              . " nullif(greatest(compensated_at, '$boots[-1]'), '$boots[-1]'))) - '$boots[-1]') * 1000)"
              . ' FROM ft.orchestration_tasks');
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
    cmp_ok($sorted[ $#sorted / 2 ], '<', 10_000, 'steps run soon after a start');
}

ledger_ends($node);
check_ledger_complete($node, $started);
check_ledger($node);
nothing_crashed($node);

done_testing();
