# Errors that reach the log, counted: a storm from eight sessions against what
# the log file has; connections that find no place; a table that is full; the
# crash of a backend; a standby; databases of other encodings.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $count_kinds = q{
SELECT string_agg(format('%s %s %s', error_severity, sqlstate, error_count), E'\n' ORDER BY error_severity, sqlstate)
  FROM (SELECT error_severity, sqlstate, sum(error_count) AS error_count
          FROM ft.errors() WHERE error_severity <> 'WARNING' GROUP BY 1, 2) AS e};

# What the log has, in the same form.
sub log_counts
{
	my ($node) = @_;
	my %counts;

	foreach my $line (split /\n/, slurp_file($node->logfile))
	{
		$counts{"$2 $1"}++ if $line =~ /^\S+ \S+ \S+ \[\d+\] ([0-9A-Z]{5}) (ERROR|FATAL|PANIC): /;
	}
	return join("\n", map { "$_ $counts{$_}" } sort keys %counts);
}

# Ask a server that may not answer; returns the answer, and what went wrong.
sub ask
{
	my ($to, $database, $sql, @options) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-XqAtw', '-h', $to->host, '-p', $to->port, @options, '-c', $sql, $database ],
		'<', '/dev/null', '>', \$out, '2>', \$err);
	chomp $out;
	return ($out, $err);
}

# Try to connect; returns what the client was told.
sub attempt
{
	my ($to, $database, @options) = @_;

	return (ask($to, $database, 'SELECT 1', @options))[1];
}

#
# A storm of errors from eight sessions, each of them with its own number in
# the statement, in the message and in the name of the application.
#
my $node = new_node('storm', allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
fault_tolerance.workers = off
fault_tolerance.recent_errors = 4
max_connections = 20
superuser_reserved_connections = 3
log_line_prefix = '%m [%p] %e '
max_parallel_workers_per_gather = 2
restart_after_crash = on
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE closed');
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE many AS SELECT x FROM generate_series(1, 10000) AS x;
ANALYZE many;
CREATE ROLE app LOGIN;
REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
CREATE FUNCTION caught() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 / 0;
EXCEPTION WHEN division_by_zero THEN NULL;
END $$;
-- rows read in so many looks at the ring, and those of which the parts are not
-- of one error
CREATE FUNCTION look(looks int, OUT rows bigint, OUT torn bigint) LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    rows := 0;
    torn := 0;
    FOR i IN 1 .. looks LOOP
        SELECT e.message, e.query, e.application_name INTO one FROM ft.recent_errors() AS e LIMIT 1;
        CONTINUE WHEN one.message NOT LIKE '%-end%';
        rows := rows + 1;
        IF substring(one.query FROM 's\d+-\d+-end') <> substring(one.message FROM 's\d+-\d+-end')
           OR 'storm' || substring(one.query FROM 's(\d+)-') <> one.application_name THEN
            torn := torn + 1;
        END IF;
    END LOOP;
END $$;
});

my $rounds = 600;
my @storm;
foreach my $session (1 .. 8)
{
	my $file = $node->basedir . "/storm$session.sql";
	my $sql = '';

	foreach my $round (1 .. $rounds)
	{
		my $tag = "s$session-$round-end";

		$sql .= "SELECT '$tag'::int;\n";
		$sql .= "SELECT 1 / 0; SELECT caught();\n" if $round % 2 == 0;
		$sql .= "SELECT nothing;\n" if $round % 3 == 0;
		$sql .= "DO \$\$BEGIN RAISE EXCEPTION '$tag' USING ERRCODE = '40001'; END\$\$;\n" if $round % 5 == 0;
		# raised in a parallel worker, reported by that and by its leader
		$sql .= 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;'
		  . "SELECT count(*) FROM many WHERE 1 / (x - 5000) > 0;\n"
		  if $round % 50 == 0;
	}
	append_to_file($file, $sql);
	push @storm,
	  IPC::Run::start(
		[ 'env', "PGAPPNAME=storm$session", 'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-f', $file, 'postgres' ],
		'>', '/dev/null', '2>', '/dev/null');
}

# While it lasts, what is read of the ring is whole: message, statement and
# application are of one error.
my $reader = $node->background_psql('postgres');
my ($looks, $rows, $torn) = (0, 0, 0);
my $lasts = 1;
while ($lasts)
{
	$lasts = grep { $_->pumpable } @storm;
	my ($read, $broken) = split /\|/, $reader->query_safe('SELECT * FROM look(1000)');
	$looks++;
	$rows += $read;
	$torn += $broken;
}
$_->finish foreach @storm;
cmp_ok($looks, '>', 1, "the ring was read while errors were written to it ($looks times 1000 looks)");
cmp_ok($rows, '>', 100, "and had something in it ($rows rows)");
is($torn, 0, 'no record was torn');

is($node->safe_psql('postgres', q{SELECT count(*) FROM ft.errors() WHERE application_name LIKE 'storm_' AND sqlstate = '22P02' AND error_count = } . $rounds),
	'8', 'the errors of each application are counted apart');
is($node->safe_psql('postgres', q{SELECT error_count FROM ft.error_rate('1 hour')}),
	$node->safe_psql('postgres', q{SELECT sum(error_count) FROM ft.errors()}),
	'as many in the last hour as in all');
is($node->safe_psql('postgres', q{SELECT top_application_name LIKE 'storm_', top_sqlstate, severity = 'OK' FROM ft.error_rate()}),
	't|22P02|f', 'the rate says where most of them come from, and that there are many');
is($node->safe_psql('postgres', q{SELECT recent_kept, other_count FROM ft.error_counts()}),
	'4|0', 'the ring keeps as many as it is set to');

#
# No place for another connection: that is said before the process has one in
# shared memory, and before it knows its database and role.
#
my @sessions = map { $node->background_psql('postgres', extra_params => [ '-U', 'app' ]) } 1 .. 16;
my $refused = 0;
foreach my $try (1 .. 10)
{
	$refused++ if attempt($node, 'postgres', '-U', 'app') =~ /remaining connection slots are reserved/;
}
is($refused, 10, 'connections are refused while some are reserved');
push @sessions, map { $node->background_psql('postgres') } 1 .. 3;
$refused = 0;
foreach my $try (1 .. 10)
{
	local $ENV{PGAPPNAME} = 'late';
	$refused++ if attempt($node, 'postgres') =~ /too many clients/;
}
is($refused, 10, 'connections are refused where there is no place at all');
is($reader->query_safe(q{SELECT sum(error_count), bool_and(retryable) FROM ft.errors() WHERE sqlstate = '53300'}),
	'20|t', 'each of them was counted');
is( $reader->query_safe(
		q{SELECT error_severity, datname, usename = session_user, application_name, datid IS NULL FROM ft.errors() WHERE application_name = 'late'}),
	'FATAL|postgres|t|late|t', 'with what the client called itself');
$_->quit foreach @sessions;

# A name that nobody has, and one of a database; a session that is ended.
attempt($node, 'postgres', '-U', 'nobody here');
attempt($node, 'no such database', '-U', 'app');
{
	# logged in, and refused before the session's settings are there
	local $ENV{PGAPPNAME} = 'barred';
	attempt($node, 'closed', '-U', 'app');
}
is( $reader->query_safe(
		q{SELECT sqlstate, datname, usename, error_severity, datid IS NOT NULL FROM ft.errors() WHERE application_name = 'barred'}),
	'42501|closed|app|FATAL|t', 'who may not connect');
my $ended = $node->background_psql('postgres', on_error_stop => 0);
$ended->query_safe(q{SET application_name = 'ended'});
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'ended'});
eval { $ended->quit };
is( $reader->query_safe(
		q{
SELECT sqlstate, datname, usename, error_severity FROM ft.recent_errors()
 WHERE sqlstate IN ('28000', '3D000', '57P01') ORDER BY sqlstate}),
	"28000|postgres|nobody here|FATAL\n3D000|no such database|app|FATAL\n57P01|postgres|"
	  . $reader->query_safe('SELECT session_user')
	  . '|FATAL',
	'who could not connect, and who was disconnected');

is($reader->query_safe($count_kinds), log_counts($node), 'every error that the log has was counted, and no other');
cmp_ok(log_counts($node) =~ s/.*ERROR 22012 (\d+).*/$1/sr, '>', 8 * $rounds / 2, 'parallel workers among them');

#
# A backend that is killed: the server makes its memory anew, and counts again.
#
my $since = $reader->query_safe('SELECT counted_since FROM ft.error_counts()');
my $victim = $reader->query_safe('SELECT pg_backend_pid()');
kill 'KILL', $victim;
eval { $reader->quit };
my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
while ((ask($node, 'postgres', "SELECT counted_since > '$since' FROM ft.error_counts()"))[0] ne 't')
{
	die 'the server does not come back' if $tries-- == 0;
	usleep(100_000);
}
is($node->safe_psql('postgres', 'SELECT error_count < 100 FROM ft.error_counts()'), 't', 'after the crash counting began anew');
$node->psql('postgres', 'SELECT 1 / 0');
is($node->safe_psql('postgres', q{SELECT error_count FROM ft.errors() WHERE sqlstate = '22012'}),
	'1', 'and goes on');

#
# Long texts are cut between characters; texts of databases of other encodings
# can be read.
#
$node->safe_psql(
	'postgres', q{
CREATE DATABASE utf8 TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$node->safe_psql($_, 'CREATE EXTENSION fault_tolerance') foreach ('utf8', 'latin1');
{
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	$node->psql('utf8', q{DO $$BEGIN RAISE EXCEPTION '%', repeat(U&'\20AC', 1000); END$$});
	is( $node->safe_psql(
			'utf8', q{
SELECT length(message), message = repeat(U&'\20AC', length(message)), octet_length(message)
  FROM ft.recent_errors() LIMIT 1}),
		'170|t|510', 'a message is cut between two characters');
	is($node->safe_psql('latin1', 'SELECT message = repeat(\'?\', 170) FROM ft.recent_errors() LIMIT 1'),
		't', 'characters that this database does not have are shown as question marks');

	$node->psql('utf8', q{SELECT 'für 5 €'::int});
	is($node->safe_psql('latin1', q{SELECT message, query FROM ft.recent_errors() LIMIT 1}),
		q{invalid input syntax for type integer: "für 5 ?"|SELECT 'für 5 ?'::int},
		'others are converted');
	$node->psql('latin1', q{SELECT 'für'::int});
	is($node->safe_psql('utf8', q{SELECT message, query FROM ft.recent_errors() LIMIT 1}),
		q{invalid input syntax for type integer: "für"|SELECT 'für'::int},
		'and back');

	# before a session has a database nobody knows its encoding
	attempt($node, "caf\xc3\xa9", '-U', "jos\xe9");
	is($node->safe_psql('utf8', q{SELECT datname, usename FROM ft.recent_errors() LIMIT 1}),
		"caf\xc3\xa9|jos?", 'names of clients are shown as far as they are valid');
}

#
# A standby counts its own.
#
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
$standby->psql('postgres', 'CREATE TABLE t ()');
is( $standby->safe_psql(
		'postgres', q{SELECT sqlstate, condition_name, error_count, retryable FROM ft.errors() WHERE sqlstate = '25006'}),
	'25006|read_only_sql_transaction|1|t', 'a standby counts its errors');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM ft.errors() WHERE sqlstate = '22012'}),
	'0', 'and not those of its primary');
$standby->safe_psql('postgres', 'SELECT ft.reset_errors()');
is($standby->safe_psql('postgres', 'SELECT error_count FROM ft.error_counts()'), '0', 'they can be forgotten there');
$standby->stop;
$node->stop;

#
# More kinds than the table has places, with the logger as one more process
# that has the hook but no shared memory.
#
my $small = new_node('small');
$small->append_conf(
	'postgresql.conf', q{
fault_tolerance.workers = off
fault_tolerance.max_error_kinds = 16
fault_tolerance.recent_errors = 0
logging_collector = on
});
$small->start;
$small->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance; SELECT ft.reset_errors()');

# Who cannot log in takes a quarter of the table at most.
foreach my $user (1 .. 10)
{
	attempt($small, 'postgres', '-U', "stranger $user");
}
is( $small->safe_psql(
		'postgres', q{
SELECT count(*), sum(error_count), count(usename), sum(error_count) FILTER (WHERE usename IS NULL)
  FROM ft.errors()}),
	'5|10|4|6', 'strangers are counted, but not all by their names');

my $kinds = $small->basedir . '/kinds.sql';
append_to_file($kinds, join('', map { "SET application_name = 'kind $_'; SELECT 1 / 0; SELECT 2 / 0;\n" } 1 .. 40));
$small->command_ok([ 'psql', '-XqAt', '-f', $kinds, '-d', $small->connstr('postgres') ], 'forty applications fail');
is($small->safe_psql('postgres', 'SELECT error_count, other_count, kinds, max_kinds, recent_kept FROM ft.error_counts()'),
	'90|58|16|16|0', 'what finds no place is counted as other');
is( $small->safe_psql(
		'postgres', q{
SELECT sqlstate IS NULL, error_severity, error_count, retryable IS NULL, first_seen <= last_seen, last_message
  FROM ft.errors() WHERE condition_name = 'other'}),
	't|ERROR|58|t|t|division by zero', 'and shown');
is($small->safe_psql('postgres', 'SELECT error_count, top_sqlstate FROM ft.error_rate()'),
	'90|other', 'the rate counts all of them');
is($small->safe_psql('postgres', 'SELECT count(*) FROM ft.recent_errors()'), '0', 'a ring of no length keeps nothing');
$small->safe_psql('postgres', 'SELECT ft.reset_errors()');
$small->psql('postgres', 'SELECT 1 / 0');
is($small->safe_psql('postgres', 'SELECT error_count, other_count, kinds FROM ft.error_counts()'),
	'1|0|1', 'after a reset there is room again');
$small->stop;

done_testing();
