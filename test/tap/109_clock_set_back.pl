# The clock of the machine is set back by an hour.  A library that is loaded
# first makes the server believe so.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $late = "$folder/late";
append_to_file("$folder/clock.c", qq{
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <unistd.h>

int
gettimeofday(struct timeval *now, void *zone)
{
	static int	(*real) (struct timeval *, void *) = 0;
	int			result;

	if (real == 0)
		real = dlsym(RTLD_NEXT, "gettimeofday");
	result = real(now, zone);
	if (access("$late", F_OK) == 0)
		now->tv_sec -= 3600;
	return result;
}
});
plan skip_all => 'no C compiler'
  if system("cc -shared -fPIC -o $folder/clock.so $folder/clock.c -ldl 2>$folder/cc.log") != 0;

my $node = new_node('clock');
$node->append_conf('postgresql.conf', q{
fault_tolerance.rate_interval = '1s'
fault_tolerance.sample_interval = '100ms'
fault_tolerance.memory_sample_interval = '100ms'
fault_tolerance.bloat_read_rate = '2MB'
});
{
	local $ENV{LD_PRELOAD} = "$folder/clock.so";
	$node->start;
	$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE t AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 16000);
CHECKPOINT});

	# nothing of the table is in memory any more
	$node->restart;
}

sub becomes
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name);
}

my $rates = q{
SELECT coalesce(w.covered BETWEEN '1 s' AND '1 min', false) AND coalesce(o.covered BETWEEN '1 s' AND '1 min', false)
  FROM ft.wal_activity('1 min') AS w, ft.recent_outcomes('1 min') AS o};
my $growth = q{SELECT count(*) > 0 FROM ft.backend_memory() WHERE backend_type = 'checkpointer' AND growth_per_minute IS NOT NULL};
becomes($rates, 'rates are known');
becomes($growth, 'so is how memory grows');

# Reading this takes more than the time for which it is waited here.
my $bloat = $node->background_psql('postgres');
$bloat->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM ft.table_bloat('t') WHERE complete \\g $folder/bloat\n");
becomes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%table_bloat%' AND wait_event = 'VacuumDelay'},
	'a table is being read');
append_to_file($late, '');

becomes($rates, 'rates are known again');
becomes($growth, 'so is how memory grows');
becomes(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%ft.table_bloat(%' AND state = 'active' AND pid <> pg_backend_pid()},
	'the table is read to its end');
$bloat->quit;

# Forward again.
unlink $late or die $!;
my $taken = $node->safe_psql('postgres', 'SELECT samples_taken FROM ft.history_status()');
becomes("SELECT samples_taken > $taken + 3 FROM ft.history_status()", 'samples are taken');
is($node->safe_psql('postgres', q{SELECT longest_duration BETWEEN '0 s' AND '1 min' FROM ft.history_status()}), 't', 'none took an hour');
is($node->safe_psql('postgres', q{SELECT count(*) FROM ft.sampler_tasks() WHERE longest_duration > '1 min' OR last_duration < '0 s'}), '0', 'no task did');

$node->stop;
done_testing();
