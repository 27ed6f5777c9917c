# ALTER EXTENSION UPDATE with executions in flight and executors at them: from
# the version of this tree to one that is made up for this test, which makes
# all functions and views anew, changes a table of the engine and one of its
# indexes.  Workers leave for the time that it takes.  Nothing is run twice,
# lost, or held against anybody.
#
# The made-up version stands in an installation of its own: the programs of
# the server are copied, and find what belongs to them relative to where they are.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use File::Copy qw(copy);
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub config
{
	my ($what) = @_;
	my ($out, $err) = run_command([ 'pg_config', "--$what" ]);
	return $out;
}

my $root = PostgreSQL::Test::Utils::tempdir();
my ($bindir, $sharedir, $pkglibdir) = map { config($_) } qw(bindir sharedir pkglibdir);

make_path("$root$bindir", "$root$sharedir/extension", dirname("$root$pkglibdir"));
foreach my $program (grep { -f } glob("$bindir/*"))
{
	copy($program, "$root$program") or die "copy $program: $!";
	chmod 0755, "$root$program";
}
symlink($pkglibdir, "$root$pkglibdir") or die "symlink: $!";
foreach my $file (grep { basename($_) ne 'extension' } glob("$sharedir/*"))
{
	symlink($file, "$root$file") or die "symlink $file: $!";
}
foreach my $file (grep { basename($_) ne 'fault_tolerance.control' } glob("$sharedir/extension/*"))
{
	symlink($file, "$root$file") or die "symlink $file: $!";
}

my $control = slurp_file("$sharedir/extension/fault_tolerance.control");
my ($version) = $control =~ /^default_version = '(.*)'/m;
my $next = "$version.1";
append_to_file("$root$sharedir/extension/fault_tolerance.control", $control);

# Every function and view of the install script, to be made once more; a body in
# SQL has semicolons of its own.
my $script = slurp_file("$sharedir/extension/fault_tolerance--$version.sql");
my @anew = $script =~ /^(CREATE (?:FUNCTION|PROCEDURE|VIEW) (?:(?!;\n).)*?(?:\nBEGIN ATOMIC\n.*?\nEND;|;)\n)/gms;
my @all = $script =~ /^CREATE (?:FUNCTION|PROCEDURE|VIEW) /gm;
is(scalar(@anew), scalar(@all), 'all functions and views are made anew');
s/^CREATE /CREATE OR REPLACE / foreach @anew;
append_to_file("$root$sharedir/extension/fault_tolerance--$version--$next.sql", join("\n",
		@anew,
		# the opposite of the order in which executors have them
		'LOCK TABLE ft.orchestration_failures, ft.orchestration_tasks, ft.orchestration_executions;',
		q{ALTER TABLE ft.orchestration_tasks ADD COLUMN made_up text NOT NULL DEFAULT 'so';},
		'DROP INDEX ft.idx_tasks_due;',
		$script =~ /^(CREATE INDEX idx_tasks_due .*?;\n)/ms,
		q{CREATE FUNCTION ft.made_up() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC SELECT 'so'; END;}));

my $node = PostgreSQL::Test::Cluster->new('update', install_path => $root . dirname($bindir));
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.max_executors = 4
fault_tolerance.recovery_interval = '1s'
max_worker_processes = 16
fsync = off
});
$node->start;
like($node->safe_psql('postgres', 'SHOW data_directory'), qr/update/, 'the server of the copied programs runs');

# All there is to say about the functions and views.
my $definitions = q{
	SELECT md5(string_agg(concat_ws(' ', p.oid::regprocedure, pg_get_functiondef(p.oid), p.proacl, obj_description(p.oid, 'pg_proc')), ' ' ORDER BY p.oid::regprocedure::text))
	  FROM pg_proc AS p WHERE pronamespace = 'ft'::regnamespace AND proname <> 'made_up';
	SELECT md5(string_agg(concat_ws(' ', c.relname, pg_get_viewdef(c.oid), c.reloptions::text, c.relacl, obj_description(c.oid, 'pg_class')), ' ' ORDER BY c.relname))
	  FROM pg_class AS c WHERE relnamespace = 'ft'::regnamespace AND relkind = 'v'};

$node->safe_psql('postgres', "CREATE EXTENSION fault_tolerance VERSION '$version'");
my $before = $node->safe_psql('postgres', $definitions);
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON SCHEMA ft TO app;
	CREATE TABLE ledger (execution uuid, what text);
	GRANT INSERT ON ledger TO app});
$node->safe_psql('postgres', q{
	SELECT ft.define_orchestration('work', $$[
		{"name": "a", "command": "INSERT INTO ledger SELECT execution_id, 'a' FROM ft.current_step()", "critical": true,
		 "compensation": "INSERT INTO ledger SELECT execution_id, 'a undone' FROM ft.current_step()"},
		{"name": "b", "depends_on": ["a"], "command": "INSERT INTO ledger SELECT execution_id, 'b' FROM ft.current_step(), pg_sleep(0.01)"},
		{"name": "c", "depends_on": ["a"], "for_each": "SELECT generate_series(1, 2)",
		 "command": "INSERT INTO ledger SELECT execution_id, 'c' FROM ft.current_step()"},
		{"name": "d", "depends_on": ["b", "c"], "command": "INSERT INTO ledger SELECT execution_id, 'd' FROM ft.current_step() WHERE 1 / (($1 ->> 'good')::int) = 1"}]$$);
	SELECT count(ft.start('work', jsonb_build_object('good', (i % 5 > 0)::int))) FROM generate_series(1, 200) AS i;
	SELECT ft.define_orchestration('told', $$[
		{"name": "told", "signal": "go", "command": "INSERT INTO ledger SELECT execution_id, 'told' FROM ft.current_step()"}]$$);
	SELECT count(ft.start('told')) FROM generate_series(1, 20);
	SELECT ft.submit($$INSERT INTO ledger SELECT execution_id, 'long' FROM ft.current_step(), pg_sleep(5)$$);
	SELECT ft.start('work', '{"good": 1}', run_at => now() + interval '1 day')},
	extra_params => [ '-U', 'app' ]);

# In the middle of it.
$node->poll_query_until('postgres', q{
	SELECT count(*) FILTER (WHERE status = 'COMPLETED') > 20 AND count(*) FILTER (WHERE status = 'RUNNING') > 0
	  FROM ft.orchestration_executions}) or die 'nothing goes on';
$node->safe_psql('postgres', "ALTER EXTENSION fault_tolerance UPDATE TO '$next'");
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM ft.orchestration_executions WHERE finished_at IS NULL}), '>', 10,
	'executions were in flight');
$node->safe_psql('postgres', q{
	SELECT count(ft.signal(execution_id, 'go'))
	  FROM ft.orchestration_executions WHERE orchestration_id = (SELECT orchestration_id FROM ft.orchestrations WHERE orchestration_name = 'told')},
	extra_params => [ '-U', 'app' ]);
is($node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'fault_tolerance'}), $next, 'updated');

$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM ft.orchestration_executions WHERE finished_at IS NULL})
  or diag $node->safe_psql('postgres', 'SELECT status, count(*) FROM ft.orchestration_executions GROUP BY 1; TABLE ft.dead_letters');
is($node->safe_psql('postgres', 'SELECT status, count(*) FROM ft.orchestration_executions GROUP BY 1 ORDER BY 1'),
	"COMPENSATED|40\nCOMPLETED|181\nPENDING|1", 'everything has ended as it should');
is($node->safe_psql('postgres', q{SELECT what, count(*), count(DISTINCT execution) FROM ledger GROUP BY 1 ORDER BY 1}),
	"a|200|200\na undone|40|40\nb|200|200\nc|400|200\nd|160|160\nlong|1|1\ntold|20|20", 'each step has taken effect once');
is($node->safe_psql('postgres', q{SELECT count(*), min(sqlstate), max(sqlstate) FROM ft.orchestration_failures}), '40|22012|22012',
	'nothing has failed but what had to');
is($node->safe_psql('postgres', q{
	SELECT count(*) FILTER (WHERE suspicion IS NOT NULL), sum(compensation_losses) FROM ft.orchestration_tasks}), '0|0',
	'nobody is suspect for having left');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'nobody was in the way of the update');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM ft.orchestration_executions AS e, LATERAL ft.validate_execution(e.execution_id)}), '0', 'every execution is valid');
is($node->safe_psql('postgres', $definitions), $before, 'functions and views are as they were, with privileges and comments');

# The workers know, and what is new is used.
$node->poll_query_until('postgres', "SELECT bool_and(sql_version = '$next') FROM ft.worker_status() WHERE worker = 'scheduler'")
  or die 'the scheduler does not know of the update';
my $new = $node->safe_psql('postgres', q{SELECT ft.submit('SELECT ft.made_up()')}, extra_params => [ '-U', 'app' ]);
is($node->safe_psql('postgres', "SELECT ft.wait('$new', '1 min')", extra_params => [ '-U', 'app' ]), 'COMPLETED', 'a new execution');
is($node->safe_psql('postgres', "SELECT result, made_up FROM ft.orchestration_tasks WHERE execution_id = '$new'"), '"so"|so', 'is of the new version');
$node->stop;

done_testing();
