# A session that leaks is named by the growth of its memory, among others that
# have as much, or are larger, but do not grow.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the kernel does not show the memory of processes' unless -r '/proc/self/status';

my $node = new_node('leak');
$node->append_conf(
	'postgresql.conf', q{
fault_tolerance.memory_sample_interval = 0
shared_buffers = '128MB'
max_parallel_workers_per_gather = 0
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
CREATE TABLE cached AS SELECT n, repeat('x', 100) AS t FROM generate_series(1, 150000) AS n;
});

sub session
{
	my $name = shift;
	my $session = $node->background_psql('postgres');

	$session->query_safe("SET application_name = '$name'");
	return $session;
}

# A large one that was so before it was seen first is no leak; it shows what
# the sampler knows of it.
my $large = session('large');
$large->query_safe(q{SELECT length(set_config('test.kept', repeat('x', 64 * 1024 * 1024), false))});
$node->append_conf('postgresql.conf', q{fault_tolerance.memory_sample_interval = '100ms'});
$node->reload;
$node->poll_query_until('postgres', q{
SELECT count(*) = 1 FROM ft.backend_memory() WHERE application_name = 'large' AND first_sampled_at IS NOT NULL})
  or die 'not sampled';

# One that reads all of a table has it in shared buffers: its resident size
# grows, its own memory does not.
my $reader = session('reader');
$reader->query_safe('SELECT 1');
my $leak = session('leak');
$leak->query_safe('SELECT 1');
$node->poll_query_until('postgres', q{
SELECT count(*) = 2 FROM ft.backend_memory() WHERE application_name IN ('reader', 'leak') AND first_sampled_at IS NOT NULL})
  or die 'not sampled';
$reader->query_safe('SELECT sum(length(t)) FROM cached');
foreach my $n (1 .. 8)
{
	$leak->query_safe("SELECT length(set_config('test.kept_$n', repeat('x', 8 * 1024 * 1024), false))");
}

my $query = q{
SELECT string_agg(application_name, ', ' ORDER BY growth_bytes DESC) FILTER (WHERE growth_bytes > 32 * 1024 * 1024)
  FROM ft.backend_memory()};
is($node->safe_psql('postgres', $query, extra_params => [ '-U', 'monitor' ]),
	'leak', 'the one that leaks is named, and nobody else');
is( $node->safe_psql('postgres', q{
SELECT growth_bytes BETWEEN 64 * 1024 * 1024 AND 192 * 1024 * 1024, growth_per_minute > 0, state, query ~ 'test.kept_8'
  FROM ft.backend_memory() WHERE application_name = 'leak'}),
	't|t|idle|t', 'by how much, and in what it was last');
is( $node->safe_psql('postgres', q{
SELECT resident_bytes - first_resident_bytes > 16 * 1024 * 1024, growth_bytes < 8 * 1024 * 1024
  FROM ft.backend_memory() WHERE application_name = 'reader'}),
	't|t', 'pages of shared buffers are resident memory, but not its own');
is( $node->safe_psql('postgres', q{
SELECT application_name FROM ft.backend_memory_summary WHERE growth IS NOT NULL LIMIT 1}),
	'leak', 'the view shows the largest first');

# The proportional size agrees with what is its own.
is( $node->safe_psql('postgres', q{
SELECT p.proportional_bytes > m.private_bytes * 0.9, p.resident_bytes > 64 * 1024 * 1024
  FROM ft.backend_memory() AS m, LATERAL ft.proportional_memory(m.pid) AS p WHERE m.application_name = 'leak'}),
	't|t', 'the kernel counts the same by its pages');

# Its contexts go to the log.
my $offset = -s $node->logfile;
is($node->safe_psql('postgres', q{
SELECT ft.log_memory_contexts(pid) FROM ft.backend_memory() WHERE application_name = 'leak'}),
	't', 'another session is asked for its contexts');
$leak->query_safe('SELECT 2');
ok($node->wait_for_log(qr/level: \d+; TopMemoryContext/, $offset), 'which it writes to the log');

# A pid that is used again is another session.
$leak->quit;
$node->poll_query_until('postgres', q{
SELECT count(*) = 0 FROM ft.backend_memory() WHERE application_name = 'leak'}) or die 'still there';
my $next = session('next');
$next->query_safe('SELECT 1');
$node->poll_query_until('postgres', q{
SELECT growth_bytes < 16 * 1024 * 1024 FROM ft.backend_memory() WHERE application_name = 'next'})
  or die 'not sampled';
pass('who takes its place begins at nothing');
$_->quit foreach ($large, $reader, $next);
$node->stop;
done_testing();
