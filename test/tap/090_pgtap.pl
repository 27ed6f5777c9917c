# The contract with users, written as pgTAP scripts under test/pgtap: each of
# their assertions is reported here as one of this script's own.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @scripts = sort glob 'test/pgtap/*.sql';
die 'no pgTAP scripts found' unless @scripts;

my $node = PostgreSQL::Test::Cluster->new('pgtap');
$node->init;
$node->append_conf('postgresql.conf',
	PostgreSQL::Test::Utils::slurp_file('test/regress.conf'));
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION pgtap; CREATE EXTENSION fault_tolerance');

foreach my $script (@scripts)
{
	my ($status, $out, $err) =
	  $node->psql('postgres', PostgreSQL::Test::Utils::slurp_file($script));
	my ($planned) = $out =~ /^1\.\.(\d+)$/m;
	my $seen = 0;

	is($status, 0, "$script runs to its end") or diag $err;
	while ($out =~ /^(not )?ok \d+(?: - (.*))?$/mg)
	{
		my ($not, $name) = ($1, $2);
		ok(!$not, "$script: " . ($name // ''));
		$seen++;
	}
	is($seen, $planned, "$script keeps its plan") or diag $out;
}

$node->stop;
done_testing();
