# The shipped configuration, used for real: Debian's prometheus-sql-exporter
# reads ft.metrics, a Prometheus scrapes that, and PromQL tells the faults that
# are made here.
use strict;
use warnings;

use HTTP::Tiny;
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @programs = qw(prometheus promtool prometheus-sql-exporter);
foreach my $program (@programs)
{
	plan skip_all => "there is no $program in PATH"
	  unless grep { -x "$_/$program" } split(/:/, $ENV{PATH});
}

# What is started here ends here, whatever happens.
my %started;

sub end_program
{
	my ($name) = @_;
	(delete $started{$name})->kill_kill(grace => 5);
}

END
{
	my $status = $?;
	end_program($_) foreach keys %started;
	$? = $status;
}

sub log_of { return "$PostgreSQL::Test::Utils::log_path/115_prometheus_$_[0].log"; }

sub start_program
{
	my ($name, @command) = @_;
	$started{$name} = IPC::Run::start(\@command, '<', \undef, '>>', log_of($name), '2>&1');
}

# --- the shipped files are valid
my $shipped = 'share/prometheus';
command_like([ 'promtool', 'check', 'rules', "$shipped/fault_tolerance_rules.yml" ],
	qr/SUCCESS: \d+ rules found/, 'the rules are valid');
command_like([ 'promtool', 'check', 'config', "$shipped/fault_tolerance_prometheus.yml" ],
	qr/SUCCESS: \S*fault_tolerance_prometheus\.yml is valid prometheus config file syntax/, 'so is the configuration');

# --- copies of them, with other addresses and a quicker pace, and no other change
my $node = PostgreSQL::Test::Cluster->new('primary');
my $exporter_port = PostgreSQL::Test::Cluster::get_free_port();
my $prometheus_port = PostgreSQL::Test::Cluster::get_free_port();
my $dir = PostgreSQL::Test::Utils::tempdir;
my $url =
  'postgres:///postgres?host=' . $node->host . '&port=' . $node->port . '&user=prometheus';

sub copy_changed
{
	my ($file, @changes) = @_;
	my $text = slurp_file("$shipped/$file");

	while (my ($from, $to) = splice(@changes, 0, 2))
	{
		my $changed = $text =~ s/\Q$from\E/$to/g;
		die "$file has no $from" unless $changed;
	}
	append_to_file("$dir/$file", $text);
}

copy_changed('fault_tolerance_sql_exporter.yml',
	'postgres:///postgres?host=/var/run/postgresql&user=prometheus' => $url,
	'interval: 15s' => 'interval: 200ms');
copy_changed('fault_tolerance_prometheus.yml',
	'127.0.0.1:9237' => "127.0.0.1:$exporter_port",
	'interval: 15s' => 'interval: 500ms');
copy_changed('fault_tolerance_rules.yml');

# --- a server
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
max_prepared_transactions = 5
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE ROLE prometheus LOGIN IN ROLE pg_monitor;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100);
SELECT pg_create_physical_replication_slot('archive', true);
});

start_program('exporter', 'prometheus-sql-exporter',
	'-config.file', "$dir/fault_tolerance_sql_exporter.yml",
	'-web.listen-address', "127.0.0.1:$exporter_port");
start_program('prometheus', 'prometheus',
	"--config.file=$dir/fault_tolerance_prometheus.yml",
	"--storage.tsdb.path=$dir/data",
	"--web.listen-address=127.0.0.1:$prometheus_port",
	'--log.level=warn');

# --- what Prometheus has to say
my $http = HTTP::Tiny->new(timeout => 10);

sub ask
{
	my ($what) = @_;
	my $answer = $http->get("http://127.0.0.1:$prometheus_port/api/v1/$what");

	return $answer->{success} ? decode_json($answer->{content})->{data} : undef;
}

# The samples of a PromQL expression.
sub promql
{
	my ($expression) = @_;
	my $data = ask('query?' . $http->www_form_urlencode({ query => $expression }));

	return defined $data ? @{ $data->{result} } : ();
}

# Wait for one sample of this value, or, without a value, for any.
sub wait_for
{
	my ($expression, $value, $name) = @_;
	my $last = 'nothing';

	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my @samples = promql($expression);
		$last = join(', ', map { $_->{value}[1] } @samples) if @samples;
		if (@samples && (!defined $value || @samples == 1 && $last == $value))
		{
			pass($name);
			return;
		}
		select(undef, undef, undef, 0.1);
	}
	fail($name);
	diag("$expression is $last");
}

wait_for('fault_tolerance_blocked_sessions', 0, 'nobody is blocked');

# Every series arrives, under its own name and with its own labels; but for those
# that come and go with what runs.
my $own = $node->safe_psql('postgres', q{
SELECT name || (SELECT string_agg(format(' %s=%s', key, value), '' ORDER BY key COLLATE "C")
                  FROM jsonb_each_text(labels) WHERE value <> '')
  FROM ft.metrics WHERE name !~ '_worker|_check_value' AND labels <> '{}'
 UNION ALL SELECT name FROM ft.metrics WHERE name !~ '_worker|_check_value' AND labels = '{}'});
my %arrived;
foreach my $sample (promql('{__name__=~"fault_tolerance_.+"}'))
{
	my %labels = %{ $sample->{metric} };
	my $name = delete $labels{__name__};
	is_deeply([ @labels{qw(database instance job)} ],
		[ 'postgres', "127.0.0.1:$exporter_port", 'fault_tolerance' ], 'where the figures are from')
	  unless %arrived;
	delete @labels{qw(database host instance job)};
	$arrived{ join(' ', $name, map { "$_=$labels{$_}" } sort keys %labels) } = 1;
}
is_deeply([ grep { !$arrived{$_} } split(/\n/, $own) ], [], 'all series arrive as they are');
cmp_ok(scalar(keys %arrived), '>', 20, 'which are quite a few');
ok($arrived{'fault_tolerance_replication_connected consumer=archive kind=physical'},
	'a slot with its labels');

# --- a fault, and its end
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; UPDATE account SET balance = 0');
my $waiter = $node->background_psql('postgres');
$waiter->query_until(qr/started/, "\\echo started\nUPDATE account SET balance = 1;\n");

wait_for('fault_tolerance_blocked_sessions', 1, 'one session is blocked');
wait_for('fault_tolerance_blocking_roots', 1, 'by one other');
wait_for('fault_tolerance_transactions{state="idle in transaction"}', 1, 'that is idle in a transaction');
wait_for('fault_tolerance_blocked_longest_seconds > 1', undef, 'and the wait is measured');

$holder->query_safe('COMMIT');
wait_for('fault_tolerance_blocked_sessions', 0, 'nobody is blocked any more');
$holder->quit;
$waiter->quit;

# --- an alert
$node->append_conf('postgresql.conf', 'fault_tolerance.expected_role = standby');
$node->reload;
wait_for('ALERTS{alertname="FaultToleranceUnexpectedRole", alertstate="firing"}', 1, 'an alert fires');
is_deeply([ map { $_->{labels}{alertname} } grep { $_->{state} eq 'firing' } @{ ask('alerts')->{alerts} } ],
	['FaultToleranceUnexpectedRole'], 'and no other');
$node->append_conf('postgresql.conf', 'fault_tolerance.expected_role = any');
$node->reload;
wait_for('absent(ALERTS{alertname="FaultToleranceUnexpectedRole"})', 1, 'until its cause is gone');

# --- a subject that cannot answer
$node->safe_psql('postgres', 'ALTER VIEW ft.unrecovered_failures RENAME TO out_of_order');
wait_for('fault_tolerance_subject_up == 0', 0, 'a subject is down');
is_deeply([ map { $_->{metric}{subject} } promql('fault_tolerance_subject_up == 0') ], ['failure'], 'that one');
wait_for('fault_tolerance_blocked_sessions', 0, 'the others go on');
$node->safe_psql('postgres', 'ALTER VIEW ft.out_of_order RENAME TO unrecovered_failures');
wait_for('sum(fault_tolerance_subject_up == bool 0)', 0, 'all are up again');

# --- the server is gone, and back
$node->stop('immediate');
wait_for('sql_exporter_last_scrape_failed{query="fault_tolerance"}', 1, 'the exporter says that it cannot ask');
wait_for('time() - fault_tolerance_timestamp_seconds > 2', undef, 'the figures it goes on to show are told by their age');
wait_for('ALERTS{alertname="FaultToleranceNotAnswering"}', 1, 'which is an alert');
$node->start;
wait_for('sql_exporter_last_scrape_failed{query="fault_tolerance"}', 0, 'it asks again');
wait_for('time() - fault_tolerance_timestamp_seconds < 10', undef, 'and shows what is now');

end_program('prometheus');
end_program('exporter');
$node->stop;
done_testing();
