# The orchestration engine as a model, with the table of transitions of this
# build, checked by spin; and the same with what is wrong on purpose, which it
# has to notice.  See doc/model/README.md.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

foreach my $program (qw(spin gcc))
{
	plan skip_all => "there is no $program in PATH"
	  unless grep { -x "$_/$program" } split(/:/, $ENV{PATH});
}

my $model = File::Spec->rel2abs(dirname(__FILE__) . '/../model');
my $work = PostgreSQL::Test::Utils::tempdir();

my $node = PostgreSQL::Test::Cluster->new('model');
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'fault_tolerance'\nfault_tolerance.workers = off\nfsync = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance');

# The table as Promela has it, after a statement that changes it.
sub export_transitions
{
	my ($file, $mutation) = @_;
	my ($out, $err);
	my $code = run_log(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'mutation=' . ($mutation // 'SELECT WHERE false'),
			'-d', $node->connstr('postgres'), '-f', "$model/transitions.sql" ],
		'>', \$out, '2>', \$err);
	$code or die "transitions.sql: $err";
	open my $handle, '>', $file or die "$file: $!";
	print $handle $out;
	close $handle;
	return $out;
}

# Of children that have ended.
sub cpu_time { return (times)[2] + (times)[3]; }

# Check one variant, in a folder of its own: what spin said, and what it took.
sub check
{
	my ($name, %how) = @_;
	my $dir = "$work/" . ($name =~ s/\W+/_/gr);
	my @defines = map { "-D$_" } @{ $how{defines} // [] };
	my $out = '';
	my $began = cpu_time();

	mkdir $dir or die "$dir: $!";
	copy("$model/orchestration.pml", $dir) or die "orchestration.pml: $!";
	export_transitions("$dir/transitions.pml", $how{mutation});
	my $ran = IPC::Run::run([ 'spin', @defines, '-a', 'orchestration.pml' ],
		init => sub { chdir $dir }, '>', \$out, '2>&1')
	  && IPC::Run::run(
		[ 'gcc', $how{quick} ? '-O0' : '-O2', '-w', '-DNOREDUCE', '-DNOFAIR', '-DMEMLIM=1500',
			$how{cycles} ? '-DNP' : '-DSAFETY', '-o', 'pan', 'pan.c' ],
		init => sub { chdir $dir }, '>', \$out, '2>&1')
	  && IPC::Run::run([ "$dir/pan", '-m200000', '-w22', $how{cycles} ? '-l' : () ],
		init => sub { chdir $dir }, '>', \$out, '2>&1');
	die "$name: $out" unless $ran && $out =~ /errors: (\d+)/;
	my %result = (errors => $1, out => $out, seconds => cpu_time() - $began);
	# spin counts a state of the check for cycles once for each of two modes
	($result{states}) = $out =~ /(\d+) states, stored/;
	($result{memory}) = $out =~ /([\d.]+)\s+total actual memory usage/;
	($result{found}) = $out =~ /^(pan:\d+: .*?) \(at depth/m;
	unlink "$dir/pan", glob("$dir/pan.*") unless $result{errors};
	return \%result;
}

sub told
{
	my ($result) = @_;
	return sprintf('%d states, %.0f MB, %.1f s of CPU time', @$result{qw(states memory seconds)});
}

# What the model says of the table is what the table says.
my $transitions = export_transitions("$work/transitions.pml");
is(scalar(() = $transitions =~ /\(\(s\) == (?:TASK|EXECUTION)_\w+ -> (?:TASK|EXECUTION)_\w+/g),
	$node->safe_psql('postgres', 'SELECT count(*) FROM ft.transitions()'),
	'every transition is exported');
like($transitions, qr/^#define TASKS_OF\(s\) .*EXECUTION_COMPLETED -> \d+/m,
	'so are the statuses that go together');

# (1) valid, (2) can continue, (3) no double effect, (4) nothing stranded: all
# states that any number of faults and orders can lead to.
my $all = check('every state');
is($all->{errors}, 0, 'every state that can be reached is valid and can continue') or diag $all->{found} // $all->{out};
note told($all);
cmp_ok($all->{states}, '>', 100_000, 'there are many');
unlike($all->{out}, qr/max search depth too small|out of memory|Search not completed/, 'none was left out');
my @never = grep { !/-end-/ } $all->{out} =~ /^\torchestration\.pml:\d+, .*$/mg;
is("@never", '', 'there is no transaction that never happens');

# (2) once more: with two orders and releases, and steps, compensations,
# executors and servers that fail whenever they can, it ends.
my $ends = check('it ends', defines => ['BUDGET=2']);
is($ends->{errors}, 0, 'what happens by itself ends where it is done, or an operator is waited for')
  or diag $ends->{found} // $ends->{out};
note told($ends);
my $cycles = check('it does not go round', defines => ['BUDGET=2'], cycles => 1);
is($cycles->{errors}, 0, 'nothing goes on for ever') or diag $cycles->{found} // $cycles->{out};
note told($cycles);

# The test of the test.
my $rows = 'DELETE FROM transition WHERE object';
my @wrong = (
	[ 'a task that has completed may be started again',
		mutation => "INSERT INTO transition VALUES ('TASK', 'COMPLETED', 'START', 'RUNNING', 99)" ],
	[ 'a task whose executor was lost is never released',
		mutation => "$rows = 'TASK' AND event = 'RELEASE'" ],
	[ 'a rollback leaves an attempt going',
		mutation => "$rows = 'TASK' AND event = 'RESET' AND from_status = 'RUNNING'" ],
	[ 'a rollback goes on where it should stop',
		mutation => "UPDATE transition SET to_status = 'RUNNING' WHERE event = 'FINISH_ROLLBACK'" ],
	[ 'what was undone counts as done',
		mutation => "UPDATE transition SET to_status = 'COMPLETED' WHERE event = 'UNDO'" ],
	[ 'what is not undone any more is still to be',
		mutation => "UPDATE transition SET to_status = 'COMPENSATING' WHERE object = 'TASK' AND from_status = 'COMPENSATING' AND event = 'CANCEL'" ],
	[ 'a failed compensation is the end',
		mutation => "$rows = 'EXECUTION' AND from_status = 'COMPENSATION_FAILED'" ],
	[ 'what has failed cannot be retried',
		mutation => "$rows = 'EXECUTION' AND from_status = 'FAILED' AND event = 'RETRY'" ],
	[ 'a cancelled task may not be in a cancelled execution',
		mutation => "DELETE FROM pair WHERE execution = 'CANCELLED' AND task = 'CANCELLED'" ],
	[ 'the work and the record of it are two transactions', defines => ['TWO_TRANSACTIONS'] ],
	[ 'nobody looks whether the attempt is the current one', defines => ['NO_ATTEMPT_CHECK'] ],
	[ 'compensations run in the order of completion', defines => ['OUT_OF_ORDER'] ],
	[ 'a retry makes nothing due', defines => ['RETRY_ALONE'] ],
	[ 'a start by hand leaves the others as they are', defines => ['START_ALONE'] ],
	[ 'failures are not recovered', defines => [ 'BUDGET=1', 'NO_RECOVERY' ] ],
	[ 'losses are not counted', defines => [ 'BUDGET=1', 'LOSSES_FOR_NOTHING' ], cycles => 1 ]);
foreach my $wrong (@wrong)
{
	my ($name, %how) = @$wrong;
	my $result = check($name, %how, quick => 1);
	cmp_ok($result->{errors}, '>', 0, "noticed: $name");
	note(substr($result->{found} // '', 0, 100) . '; ' . told($result));
}

$node->stop;
done_testing();
