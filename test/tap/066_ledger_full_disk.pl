# The ledger while there is no room for WAL: the server goes down, by a PANIC,
# perhaps several times, until there is room again.
#
# Only root can make a small disk, so what is full here is not the disk: a limit
# to the size of files keeps WAL from being written, which ends in the same way.
# With a small file system of its own in FT_SMALL_DISK, as make soak ONLY=ledger
# makes one for root, that is filled instead.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $disk = $ENV{FT_SMALL_DISK};
my $node = new_ledger_node('main');
my $wal = $node->data_dir . '/pg_wal';

if (defined $disk)
{
    system_or_bail('mv', $wal, "$disk/pg_wal");
    symlink "$disk/pg_wal", $wal or die "symlink: $!";
}
# No files of WAL in reserve; those that there are have 16 MB.
$node->append_conf('postgresql.conf', "min_wal_size = '32MB'\nwal_recycle = off");
$node->start;
install_ledger($node);

sub processes
{
    my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

    return ($postmaster, split ' ', `ps -o pid= --ppid $postmaster`);
}

# Those that are started later inherit it.  One may have ended by itself.
sub limit_files
{
    my ($size) = @_;

    system "prlimit --pid $_ --fsize=$size: 2>/dev/null" foreach processes();
}

sub fill_disk
{
    my $free;

    return limit_files(12 * 1024 * 1024) if !defined $disk;
    $free = 1024 * (split ' ', (split /\n/, `df -Pk $disk`)[1])[3];
    system_or_bail('fallocate', '-l', $free - 1024 * 1024, "$disk/fill");
}

sub empty_disk
{
    return limit_files('unlimited') if !defined $disk;
    unlink "$disk/fill";
}

sub panics
{
    my $n = () = slurp_file($node->logfile) =~ /PANIC:  /g;

    return $n;
}

fill_ledger($node, 10);
send_signals($node, 0.5);
fill_disk();
usleep(rand 200_000);

# Steps go on until the file is full.  That may come in the middle of any of
# them; a session that writes much has it come sooner.
my $bound = time + $PostgreSQL::Test::Utils::timeout_default;
my $panics = 0;
while (time < $bound && panics() < 2 && -e $node->data_dir . '/postmaster.pid')
{
    $node->psql('postgres', q{SELECT pg_logical_emit_message(false, 'fill', repeat('x', 100000)) FROM generate_series(1, 20)},
        timeout => 60);
    usleep(100_000);
}
cmp_ok(panics(), '>', 0, 'without room for WAL the server goes down, ' . panics() . ' times');
like(slurp_file($node->logfile), qr/PANIC:  could not write to (log )?file .*(File too large|No space left on device)/,
    'for want of room');

# Room is made.  The server may have given up by then.
if (-e $node->data_dir . '/postmaster.pid' && $node->psql('postgres', 'SELECT 1') == 0)
{
    empty_disk();
}
else
{
    unlink "$disk/fill" if defined $disk;
    $node->stop('immediate', fail_ok => 1) if -e $node->data_dir . '/postmaster.pid';
    $node->_update_pid(0);
    start_after_kill9($node);
}

ledger_ends($node);
fill_ledger($node, 5);
ledger_ends($node);
check_ledger($node);
unlike(slurp_file($node->logfile), qr/TRAP|terminated by signal 11/, 'nothing else went wrong');

done_testing();
