# What users were promised, as pgTAP scripts: every one under test/pgtap, each
# in a database of its own.  pgTAP is required: without it this fails.
use strict;
use warnings FATAL => 'all';
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('pgtap');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
max_prepared_transactions = 5
});
$node->start;

BAIL_OUT('pgTAP is required and not installed (Debian: postgresql-NN-pgtap)')
  if $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_available_extensions WHERE name = 'pgtap'") == 0;

my @scripts = sort glob(dirname(__FILE__) . '/../pgtap/*.sql');
cmp_ok(scalar @scripts, '>', 0, 'there are scripts');

my $prelude = PostgreSQL::Test::Utils::slurp_file(dirname(__FILE__) . '/../pgtap/prelude.inc');

foreach my $script (@scripts)
{
	my $name = basename($script, '.sql');

	subtest $name => sub {
		$node->safe_psql('postgres', qq{CREATE DATABASE "$name"});
		$node->safe_psql($name, 'CREATE EXTENSION pgtap; CREATE EXTENSION fault_tolerance; ' . $prelude);

		my ($rc, $out, $err) = $node->psql($name, PostgreSQL::Test::Utils::slurp_file($script),
			on_error_stop => 1);
		my @lines = split /\n/, $out;
		my ($plan) = map { /^1\.\.(\d+)$/ ? $1 : () } @lines;

		is($rc, 0, 'no error') or diag $err;
		ok(defined $plan, 'there is a plan');
		foreach my $line (@lines)
		{
			next unless $line =~ /^(not )?ok \d+(?: - (.*))?/;
			ok(!defined $1, $2 // 'unnamed');
		}
		is(scalar(grep { /^ok \d+/ } @lines), $plan, 'every assertion holds') or diag $out;
	};
}

$node->stop;
done_testing();
