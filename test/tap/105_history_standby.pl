# The history is sampled where it happens: on a standby, over its promotion,
# and again after a crash, which it does not outlive.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', allows_streaming => 1);
$primary->append_conf(
	'postgresql.conf', q{
fault_tolerance.sample_interval = '50ms'
fault_tolerance.memory_sample_interval = '200ms'
fault_tolerance.disk_sample_interval = '200ms'
restart_after_crash = on
});
$primary->start;
$primary->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

sub ask
{
	my ($node, $query) = @_;
	return $node->safe_psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
}

sub becomes
{
	my ($node, $query, $name) = @_;
	ok($node->poll_query_until('postgres', $query), $name)
	  or diag($node->safe_psql('postgres', 'TABLE ft.wait_history_summary'));
}

# On the standby: a session in a transaction, and after it has gone.
my $reader = $standby->background_psql('postgres');
$reader->query_safe(q{SET application_name = 'reader'});
$reader->query_safe('BEGIN');
$reader->query_safe('SELECT 42');
becomes($standby, q{
SELECT count(*) >= 3 FROM ft.session_history()
 WHERE application_name = 'reader' AND state = 'idle in transaction' AND query LIKE 'SELECT 42%'},
	'a standby samples what its own sessions do');
$reader->quit;
cmp_ok(ask($standby, q{SELECT count(*) FROM ft.session_history() WHERE application_name = 'reader'}),
	'>=', 3, 'and tells of it when the session has gone');
is(ask($primary, q{SELECT count(*) FROM ft.session_history() WHERE application_name = 'reader'}),
	'0', 'the primary knows of its own sessions only');
becomes($standby, q{SELECT count(*) > 0 FROM ft.backend_memory() WHERE backend_type = 'startup' AND first_sampled_at IS NOT NULL},
	'the memory of its processes is sampled');
becomes($standby, q{SELECT count(*) = 2 FROM ft.disk_space() WHERE sample_age < '1 min' AND free_bytes > 0},
	'and the space of its disks');
my ($rc, $out, $err) = $standby->psql('postgres', 'SELECT ft.flush_history()');
isnt($rc, 0, 'a flush on a standby is refused');
like($err, qr/read-only transaction|during recovery/, 'and says why');

# Promotion: the same process goes on, nothing is lost.
my $sampler = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'fault_tolerance sampler'};
my $before = $standby->safe_psql('postgres', $sampler);
my $oldest = ask($standby, 'SELECT oldest FROM ft.history_status()');
my $taken = ask($standby, 'SELECT samples_taken FROM ft.history_status()');
$standby->promote;
becomes($standby, "SELECT samples_taken > $taken + 5 FROM ft.history_status()",
	'samples go on after the promotion');
is($standby->safe_psql('postgres', $sampler), $before, 'by the same process');
is(ask($standby, 'SELECT oldest FROM ft.history_status()'), $oldest, 'and the older ones are there');
cmp_ok(ask($standby, q{SELECT count(*) FROM ft.session_history() WHERE application_name = 'reader'}),
	'>=', 3, 'what was on the standby is told by the primary that it became');
cmp_ok($standby->safe_psql('postgres', 'SELECT ft.flush_history()'), '>=', 1, 'now it can be flushed');

# Off costs nothing: no sample is taken.
$standby->append_conf('postgresql.conf', 'fault_tolerance.sample_interval = 0');
$standby->reload;
becomes($standby, q{SELECT every IS NULL FROM ft.sampler_tasks() WHERE task = 'history'}, 'it is off');
becomes($standby, q{
SELECT state = 'sleeping' FROM ft.worker_status() WHERE worker = 'sampler'}, 'the sampler sleeps');
# a sample may have been under way when the setting came
$taken = ask($standby, q{SELECT samples_taken FROM ft.history_status(), pg_sleep(0.3)});
becomes($standby, q{SELECT runs > 0 FROM ft.sampler_tasks() WHERE task = 'memory'}, 'other tasks run');
is(ask($standby, 'SELECT samples_taken FROM ft.history_status()'), $taken, 'no samples are taken');
cmp_ok(ask($standby, 'SELECT samples FROM ft.history_status()'), '>', 0, 'those that were stay');

# A crash of a backend takes the history with it, and the sampler starts again.
$taken = ask($primary, 'SELECT samples_taken FROM ft.history_status()');
my $victim = $primary->background_psql('postgres', on_error_stop => 0);
my $pid = $victim->query_safe('SELECT pg_backend_pid()');
chomp $pid;
my $crashed_at = $primary->safe_psql('postgres', 'SELECT clock_timestamp()');
kill 'KILL', $pid;
$primary->poll_query_until('postgres', q{SELECT samples_taken > 0 FROM ft.history_status()})
  or die 'the sampler did not start again';
is($primary->safe_psql('postgres', "SELECT oldest > '$crashed_at' FROM ft.history_status()"),
	't', 'the history begins anew after a crash');
eval { $victim->quit };
$standby->stop;
$primary->stop;
done_testing();
