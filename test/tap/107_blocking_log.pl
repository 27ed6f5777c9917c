# When blocking turns critical the server log names the root: once for each
# time that it does, whatever becomes of the sampler meanwhile, and without its
# statement.
use strict;
use warnings FATAL => 'all';
use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('blocking_log');
$node->append_conf(
	'postgresql.conf', q{
fault_tolerance.sample_interval = '50ms'
fault_tolerance.log_blocking_wait = '500ms'
fault_tolerance.log_blocking_sessions = 0
log_lock_waits = off
log_statement = none
log_min_error_statement = panic
deadlock_timeout = '10min'
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100), (2, 100);
CREATE ROLE "teller one" LOGIN SUPERUSER;
});

sub session
{
	my ($name, @params) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0, @params);

	$session->query_safe("SET application_name = '$name'");
	return $session;
}

# Lines of the log about blocking.
sub lines
{
	return grep { /blocking is critical/ } split /\n/, slurp_file($node->logfile);
}

# Let so many more samples be taken.
sub samples
{
	my $count = shift;
	my $taken = $node->safe_psql('postgres', 'SELECT samples_taken FROM ft.history_status()');

	$node->poll_query_until('postgres', "SELECT samples_taken >= $taken + $count FROM ft.history_status()")
	  or die 'no samples are taken';
}

sub wait_for_lines
{
	my ($count, $name) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if scalar(lines()) >= $count;
		select(undef, undef, undef, 0.1);
	}
	samples(10);
	is(scalar(lines()), $count, $name) or diag(join("\n", lines()));
}

my $holder = session('cash desk', extra_params => [ '-U', 'teller one' ]);
my $holder_pid = $holder->query_safe('SELECT pg_backend_pid()');
chomp $holder_pid;
$holder->query_safe('BEGIN');
$holder->query_safe('UPDATE account SET balance = 4711 WHERE id = 1');
samples(10);
is(scalar(lines()), 0, 'nobody waits: nothing is told');

my $waiter = session('waiter');
$waiter->query_until(qr/started/, "\\echo started\nUPDATE account SET balance = 2 WHERE id = 1;\n");
wait_for_lines(1, 'one line tells of it, not one in each sample');
my $log = slurp_file($node->logfile);
like($log, qr/LOG:  blocking is critical: process $holder_pid blocks 1 sessions, one of them for \d+ s\n/,
	'it names the root and how many wait');
like($log, qr/DETAIL:  It is user "teller one", database "postgres", application "cash desk", idle in transaction for \d+ s, transaction open for \d+ s\.\n/,
	'who it is, and what it does');
like($log, qr/HINT:  SELECT \* FROM ft\.lock_tree .*pg_ctl kill TERM $holder_pid/, 'what to do where nobody can connect');
unlike($log, qr/4711/, 'but not its statement');

# A sampler that starts anew knows what was told.
my $sampler = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'fault_tolerance sampler'};
my $pid = $node->safe_psql('postgres', $sampler);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($sampler AND pid <> $pid) AS s")
  or die 'the sampler did not start again';
samples(10);
is(scalar(lines()), 1, 'another sampler does not tell of it again');

# The end of it, and another time.
$holder->query_safe('COMMIT');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ft.blocking_edges()') or die 'still blocked';
samples(3);
$holder->query_safe('BEGIN');
$holder->query_safe('UPDATE account SET balance = 4711 WHERE id = 1');
$waiter->query_until(qr/again/, "\\echo again\nUPDATE account SET balance = 3 WHERE id = 1;\n");
wait_for_lines(2, 'another time is told of anew');

# A prepared transaction as root.
$holder->query_safe(q{PREPARE TRANSACTION 'transfer 9'});
wait_for_lines(3, 'a prepared transaction that takes its place is another root');
like(slurp_file($node->logfile),
	qr/blocking is critical: prepared transaction "transfer 9" blocks 1 sessions.*\n.*DETAIL:  It is of user "teller one", database "postgres", prepared for \d+ s/,
	'named by its gid');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'transfer 9'});
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ft.blocking_edges()') or die 'still blocked';

# By the number of sessions; those that wait for less than ten seconds do not
# count, and one is not enough.
$node->append_conf('postgresql.conf', q{
fault_tolerance.log_blocking_wait = 0
fault_tolerance.log_blocking_sessions = 2
});
$node->reload;
$holder->query_safe('BEGIN');
$holder->query_safe('UPDATE account SET balance = 4711 WHERE id = 2');
my $second = session('second');
my $third = session('third');
$waiter->query_until(qr/third/, "\\echo third\nUPDATE account SET balance = 3 WHERE id = 2;\n");
$second->query_until(qr/started/, "\\echo started\nUPDATE account SET balance = 3 WHERE id = 2;\n");
$third->query_until(qr/started/, "\\echo started\nUPDATE account SET balance = 3 WHERE id = 2;\n");
samples(10);
is(scalar(lines()), 3, 'sessions that wait for a moment are not counted');
wait_for_lines(4, 'two that have waited for long are told of');
like((lines())[3], qr/process $holder_pid blocks 3 sessions, one of them for 1\d s/, 'with all that wait');

# Off.
$holder->query_safe('COMMIT');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM ft.blocking_edges()') or die 'still blocked';
is(scalar(lines()), 4, 'the end of it adds nothing');
$_->quit foreach ($holder, $waiter, $second, $third);
$node->stop;
done_testing();
