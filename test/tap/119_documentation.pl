# What can be named can be looked up: every function, table, view and setting
# of the extension is in doc/, with its parameters and columns on a page that
# tells of it; every SQLSTATE of a page is in the list of all; every link leads
# somewhere.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use File::Find;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = dirname(dirname($FindBin::RealBin));
my %page = map { $_ => slurp_file("$top/$_") } grep { -f "$top/$_" } 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md';
find(
	{   no_chdir => 1,
		wanted => sub { $page{substr($_, length($top) + 1)} = slurp_file($_) if /\.md$/; } },
	"$top/doc");
my @doc = @page{ grep { m{^doc/} } sort keys %page };
cmp_ok(scalar @doc, '>', 20, 'there are pages');

# Somewhere else than in the middle of a longer name.
sub tells_of
{
	my ($text, $name) = @_;
	return $text =~ /(?<![\w.%])(?:ft\.)?\Q$name\E(?![\w%])/;
}

my $node = PostgreSQL::Test::Cluster->new('documented');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'fault_tolerance'\nfault_tolerance.workers = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance');

sub rows
{
	my ($query) = @_;
	return map { [ split /\t/ ] } split /\n/, $node->safe_psql('postgres', $query, extra_params => [ '-F', "\t" ]);
}

# --- names
my @objects = map { $_->[0] } rows(q{
	SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'ft'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'ft'::regnamespace AND relkind IN ('r', 'v')
	ORDER BY 1});
my @settings = map { $_->[0] } rows(q{SELECT name FROM pg_settings WHERE name LIKE 'fault\_tolerance.%' ORDER BY 1});
cmp_ok(scalar @objects, '>', 100, 'there are functions, tables and views');
cmp_ok(scalar @settings, '>', 10, 'there are settings');
is(join(' ', grep { my $name = $_; !grep { /\bft\.\Q$name\E\b/ } @doc } @objects), '', 'each of them is on a page');
is(join(' ', grep { my $name = $_; $page{'doc/settings.md'} !~ /\b\Q$name\E\b/ } @settings), '', 'each setting is on its page');

# --- parameters and columns.  Of what only serves other functions the page
# says what it is for; where a page says "all columns of pg_stat_activity",
# these need no names.
my ($serving) = $page{'doc/diagnostics/README.md'} =~ /^## What the others are made of\n(.*)/ms;
my %of_activity = map { $_->[0] => 1 }
  rows(q{SELECT attname FROM pg_attribute WHERE attrelid = 'pg_stat_activity'::regclass AND attnum > 0});
my @unnamed;
foreach my $row (rows(q{
	SELECT DISTINCT p.proname, a.name FROM pg_proc AS p, unnest(p.proargnames) AS a (name)
	 WHERE p.pronamespace = 'ft'::regnamespace
	UNION SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	 WHERE c.relnamespace = 'ft'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
	ORDER BY 1, 2}))
{
	my ($object, $name) = @$row;
	my @telling = grep { /\bft\.\Q$object\E\b/ } @doc;
	next if $serving =~ /\bft\.\Q$object\E\(/;
	next if $of_activity{$name} && grep { /all columns of pg_stat_activity/ } @telling;
	push @unnamed, "$object.$name" unless grep { tells_of($_, $name) } @telling;
}
is(join(' ', @unnamed), '', 'each parameter and column is on a page that tells of what has it');

# --- SQLSTATEs, but for the page about errors of others
my %listed = map { $_ => 1 } $page{'doc/sqlstates.md'} =~ /^\| ([0-9A-Z]{5}) \|/mg;
my %unlisted;
foreach my $name (sort grep { m{^doc/} && $_ ne 'doc/diagnostics/errors.md' } keys %page)
{
	foreach my $sqlstate ($page{$name} =~ /^\| ([0-9A-Z][0-9A-Z]{4}) \|/mg, $page{$name} =~ /\((\d[0-9A-Z]{4})\)/g)
	{
		push @{ $unlisted{$sqlstate} }, $name unless $listed{$sqlstate} || $sqlstate !~ /\d/;
	}
}
is(join("\n", map { "$_: @{ $unlisted{$_} }" } sort keys %unlisted), '', 'each SQLSTATE of a page is in the list of all');

# --- links
my (@dead, $links);
foreach my $name (sort keys %page)
{
	(my $text = $page{$name}) =~ s/^```.*?^```//msg;
	while ($text =~ /\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)
	{
		my ($path, $anchor) = ($1, $2);
		my $target = $path eq '' ? $name : dirname($name) . "/$path";
		$links++;
		1 while $target =~ s{(^|/)(?!\.\./)[^/]+/\.\./}{$1};
		$target =~ s{^(\./)+}{};
		$target =~ s{/\./}{/}g;
		if (!-e "$top/$target") { push @dead, "$name: $path"; next; }
		next unless defined $anchor;
		$target .= '/README.md' if -d "$top/$target";
		# as the sites that show them make anchors of headings
		my %anchors = map { my $heading = lc $_; $heading =~ s/[^\w\- ]//g; $heading =~ s/ /-/g; $heading => 1 }
		  ($page{$target} // slurp_file("$top/$target")) =~ /^#+ +(.*?) *$/mg;
		push @dead, "$name: $path#$anchor" unless $anchors{$anchor};
	}
}
cmp_ok($links, '>', 50, 'there are links');
is(join("\n", @dead), '', 'each leads somewhere');

$node->stop;
done_testing();
