# A file system of the network whose server is gone: statvfs() does not come
# back.  Here a library that is loaded first does that for one tablespace.
# Nobody hangs with it, the others are told of, and it is told again when it
# answers.
#
# It also makes the postmaster the parent of processes whose own is gone, as it
# is in a container, where it is process 1: one that was ended by a signal it
# takes for a crash.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $mark = "$folder/hangs";
my $asked = "$folder/asked";
append_to_file("$folder/hang.c", qq{
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>

static void __attribute__((constructor))
adopt_orphans(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}
#endif

int
statvfs(const char *path, struct statvfs *space)
{
	int			(*real) (const char *, struct statvfs *) = dlsym(RTLD_NEXT, "statvfs");

	if (strstr(path, "regress_hung_space") != NULL)
		close(open("$asked", O_CREAT | O_WRONLY, 0600));
	while (strstr(path, "regress_hung_space") != NULL && access("$mark", F_OK) == 0)
		usleep(10000);
	return real(path, space);
}
});
plan skip_all => 'no C compiler'
  if system("cc -shared -fPIC -o $folder/hang.so $folder/hang.c -ldl 2>$folder/cc.log") != 0;

append_to_file($mark, '');

my $node = new_node('disk_hang');
$node->append_conf('postgresql.conf', q{
fault_tolerance.disk_sample_interval = '200ms'
fault_tolerance.sample_interval = '100ms'
});
{
	local $ENV{LD_PRELOAD} = "$folder/hang.so";
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance');
mkdir "$folder/regress_hung_space" or die $!;
mkdir "$folder/another_space" or die $!;
$node->safe_psql('postgres', "CREATE TABLESPACE hung LOCATION '$folder/regress_hung_space'");
$node->safe_psql('postgres', "CREATE TABLESPACE other LOCATION '$folder/another_space'");

sub becomes
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name)
	  or diag($node->safe_psql('postgres', 'SELECT name, severity, sample_age, note FROM ft.disk_space()'));
}

becomes(q{SELECT count(*) = 4 FROM ft.disk_space()}, 'all are looked at');
becomes(q{SELECT note = 'the file system does not answer' AND severity = 'UNKNOWN' AND free_bytes IS NULL
  FROM ft.disk_space() WHERE spcname = 'hung'}, 'the one that hangs is told of as such');
is($node->safe_psql('postgres', q{SELECT bool_and(free_bytes > 0 AND note IS NULL) FROM ft.disk_space() WHERE spcname IS DISTINCT FROM 'hung'}),
	't', 'the others are told of, also those behind it');

# The sampler goes on with all that it does: it waited for that one once.
my $runs = q{SELECT runs FROM ft.sampler_tasks() WHERE task = '%s'};
foreach my $task ('disk', 'history')
{
	my $before = $node->safe_psql('postgres', sprintf($runs, $task));
	becomes("SELECT runs >= $before + 3 FROM ft.sampler_tasks() WHERE task = '$task'", "the sampler goes on with task $task");
}
becomes(q{SELECT last_duration < '900 ms' FROM ft.sampler_tasks() WHERE task = 'disk'}, 'it waited for that one once only');
becomes(q{SELECT max(sample_age) < '10 s' FROM ft.disk_space()}, 'what it says is fresh');

# It answers again.
unlink $mark or die $!;
becomes(q{SELECT free_bytes > 0 AND note IS NULL AND severity <> 'UNKNOWN' FROM ft.disk_space() WHERE spcname = 'hung'},
	'when it answers that is told');

# The end of the sampler, and of the server, is none of a process that hangs.
append_to_file($mark, '');
becomes(q{SELECT note = 'the file system does not answer' FROM ft.disk_space() WHERE spcname = 'hung'}, 'it hangs again');
$node->append_conf('postgresql.conf', 'fault_tolerance.workers = off');

sub stops_well
{
	my ($name) = @_;

	$node->stop;
	my $log = slurp_file($node->logfile);
	ok($log !~ /terminating any other active server processes/, "$name: nothing is taken for a crash");
	is(scalar(() = $log =~ /database system is shut down/g), scalar(() = $log =~ /starting PostgreSQL/g), "$name: the server was shut down");
}

stops_well('the sampler');

# A session that asks itself, because the sampler does not, does not hang.
{
	local $ENV{LD_PRELOAD} = "$folder/hang.so";
	$node->start;
}
is($node->safe_psql('postgres', q{SELECT spcname, severity, note FROM ft.disk_space() WHERE spcname = 'hung'}),
	'hung|UNKNOWN|the file system does not answer', 'a session that asks itself does not hang');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ft.disk_space() WHERE free_bytes > 0}), '3', 'and has the others');

# It had who asked ended, and then ended itself.
my $session = $node->background_psql('postgres');
is($session->query(q{SELECT note FROM ft.disk_space() WHERE spcname = 'hung'}), 'the file system does not answer', 'one that stays');
is($session->query(q{SELECT note FROM ft.disk_space() WHERE spcname = 'hung'}), 'the file system does not answer', 'one that asks again');
$session->quit;

# One that runs a task of the sampler and does not come to its end: who wants
# to run another can give up, and so can the one that runs it.
unlink $asked or die $!;
my $stopped = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $stopped->query_safe('SELECT pg_backend_pid()');
$stopped->query_until(qr/begun/, "\\echo begun\nSELECT ft.sampler_tick('disk'), ft.sampler_tick('memory');\n");
for (my $tries = 100 * $PostgreSQL::Test::Utils::timeout_default; !-e $asked && $tries > 0; $tries--)
{
	select(undef, undef, undef, 0.01);
}
ok(-e $asked, 'a session runs a task');
kill 'STOP', $pid;
my $timed_out;
my (undef, undef, $error) = $node->psql('postgres', q{SET statement_timeout = '200ms'; SELECT ft.sampler_tick('wal')},
	timeout => $PostgreSQL::Test::Utils::timeout_default, timed_out => \$timed_out);
ok(!$timed_out, 'who waits for it gives up');
like($error, qr/canceling statement due to statement timeout/, 'when it is cancelled');
is($node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)"), 't', 'so does who runs it');
kill 'CONT', $pid;
$stopped->query('SELECT 1');
is($node->safe_psql('postgres', q{SELECT last_run IS NOT NULL, runs FROM ft.sampler_tasks() WHERE task = 'memory'}),
	't|0', 'in the midst of a task');
$stopped->quit;
$node->safe_psql('postgres', q{SELECT ft.sampler_tick('memory')});
is($node->safe_psql('postgres', q{SELECT runs FROM ft.sampler_tasks() WHERE task = 'memory'}), '1', 'and others go on');
stops_well('a session');

done_testing();
