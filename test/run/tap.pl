# Run TAP scripts and count their assertions.
#
# Usage: tap.pl COUNTS-FILE [-I DIR]... SCRIPT...
#
# Stands in for prove, which prints no count of failed assertions that a
# caller could read.  A script that ended badly without a failed assertion
# (died, wrong plan, nothing ran) counts as one failure.  Writes "PASSED
# FAILED" to COUNTS-FILE, and shows the end of a failed script's logs.
use strict;
use warnings;

use Getopt::Long;
use TAP::Harness;

my $counts_file = shift @ARGV;
my @lib;
GetOptions('I=s' => \@lib) or die "usage: tap.pl COUNTS-FILE [-I DIR]... SCRIPT...\n";

my $harness = TAP::Harness->new(
	{
		lib => \@lib,
		timer => 1,
		failures => 1,
		verbosity => ($ENV{TAP_VERBOSE} || 0),

		# Two at a time: they wait for their servers more than they work.  What
		# makes a storm of a thousand sessions wants the machine for itself.
		jobs => 2,
		rules => { seq => [ { seq => '**storm*' }, { par => '**' } ] },
	});
my $aggregate = $harness->runtests(@ARGV);

my ($passed, $failed) = (0, 0);
foreach my $script ($aggregate->descriptions)
{
	my ($parser) = $aggregate->parsers($script);
	my $script_failed = () = $parser->failed;

	if ($parser->skip_all)
	{
		print "SKIPPED $script: ", $parser->skip_all, "\n";
		$script_failed = 1;
	}
	$script_failed ||= 1 if $parser->has_problems;
	$passed += () = $parser->passed;
	$failed += $script_failed;
	show_logs($script) if $script_failed;
}

open my $counts, '>', $counts_file or die "$counts_file: $!\n";
print $counts "$passed $failed\n";
close $counts or die "$counts_file: $!\n";
exit($failed ? 1 : 0);

# The script's own log, and what its servers said that is not routine.
sub show_logs
{
	my ($script) = @_;
	my ($name) = $script =~ m{([^/]+)\.pl$} or return;
	my $dir = ($ENV{TESTDIR} || '.') . '/tmp_check/log';

	show_tail("$dir/regress_log_$name", 40);
	show_tail($_, 25) foreach glob "$dir/${name}_*.log";
}

sub show_tail
{
	my ($file, $lines) = @_;

	open my $handle, '<', $file or return;
	my @all = <$handle>;
	close $handle;
	my $from = @all > $lines ? @all - $lines : 0;
	print "--- $file\n", @all[ $from .. $#all ];
}
