# Deadlocks that the server reports in other languages: each report is taken
# apart by the templates of its own language.  Among them is one that names its
# arguments in another order (Chinese), one that puts the lock into quotes
# (Russian), and one whose template for statements has a blank before the colon
# (French).
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

if (!check_pg_config("#define ENABLE_NLS 1"))
{
	plan skip_all => 'the server speaks English only: it was built without NLS';
}

# How each says "deadlock detected", so that we see that it was spoken at all.
my %languages = (
	'de_DE' => 'Verklemmung',
	'fr_FR' => 'Bloqué par interblocage|interblocage',
	'ja_JP' => 'デッドロック',
	'ru_RU' => 'взаимоблокировка',
	'zh_CN' => '死锁');

# Locales are made here rather than installed: LOCPATH shows the server where.
my $locales = PostgreSQL::Test::Utils::tempdir;
foreach my $language (sort keys %languages)
{
	system_or_bail('localedef', '-i', $language, '-f', 'UTF-8', "$locales/$language.UTF-8");
}
$ENV{LOCPATH} = $locales;

my $node = new_node('languages', extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fault_tolerance.workers = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
-- the workers are off, so the comparison with the server begins here
SELECT count(*) FROM ft.deadlock_counts();
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account VALUES (1, 100), (2, 200);
CREATE TABLE other ();
CREATE FUNCTION rethrow() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM in_german();
EXCEPTION WHEN deadlock_detected THEN
    RAISE;
END $$;
CREATE FUNCTION in_german() RETURNS void LANGUAGE plpgsql SET lc_messages = 'de_DE.UTF-8' AS $$
BEGIN
    UPDATE account SET balance = 2 WHERE id = 1;
END $$;
});

my %rows = (
	first => [ 'UPDATE account SET balance = 1 WHERE id = 1', 'UPDATE account SET balance = 1 WHERE id = 2 /* für */' ],
	second => [ 'UPDATE account SET balance = 2 WHERE id = 2', 'UPDATE account SET balance = 2 WHERE id = 1 /* ça */' ]);
my %relations = (
	first => [ 'LOCK account IN SHARE MODE', 'LOCK other' ],
	second => [ 'LOCK other', 'LOCK account IN ROW EXCLUSIVE MODE' ]);
my %advisory = (
	first => [ 'SELECT pg_advisory_xact_lock(1)', 'SELECT pg_advisory_xact_lock(-2, 22)' ],
	second => [ 'SELECT pg_advisory_xact_lock(-2, 22)', 'SELECT pg_advisory_xact_lock(1)' ]);

# Two sessions take their first lock, then the first one waits for the other's,
# which finds the deadlock.  Returns what that one was told.
sub deadlock
{
	my ($locks, $language, $victim_statement) = @_;
	my $one = $node->background_psql('postgres', on_error_stop => 0);
	my $two = $node->background_psql('postgres', on_error_stop => 0);

	$one->query_safe("SET application_name = 'one'");
	$one->query_safe("SET deadlock_timeout = '10min'");
	$two->query_safe("SET application_name = 'two'");
	$two->query_safe("SET deadlock_timeout = '10ms'");
	$two->query_safe("SET lc_messages = '$language'");
	$one->query_safe("BEGIN; $locks->{first}[0]");
	$two->query_safe("BEGIN; $locks->{second}[0]");
	$one->query_until(qr/started/, "\\echo started\n$locks->{first}[1];\n");
	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'one' AND wait_event_type = 'Lock'")
	  or die 'the first session does not wait';
	$two->query($victim_statement // $locks->{second}[1]);
	$two->query('ROLLBACK');
	$one->query_safe('ROLLBACK');
	$one->quit;
	$two->quit;
	return $node->safe_psql('postgres', q{SELECT message FROM ft.recent_errors() WHERE sqlstate = '40P01' LIMIT 1});
}

# What is said of the newest one.
sub newest
{
	return $node->safe_psql(
		'postgres', q{
SELECT d.application_name, d.victim, b.application_name, d.waited_mode, d.locktype,
       regexp_replace(d.lock_object, 'transaction \d+', 'transaction'), rtrim(d.query, E';\n')
  FROM ft.deadlocks() AS d
  JOIN ft.deadlocks() AS b ON b.deadlock_id = d.deadlock_id AND b.pid = d.blocked_by
 WHERE d.deadlock_id = (SELECT max(deadlock_id) FROM ft.deadlocks())
 ORDER BY d.participant});
}

foreach my $language (sort keys %languages)
{
	like(deadlock(\%rows, "$language.UTF-8"), qr/$languages{$language}/i, "$language: spoken");
	is(newest(),
		"two|t|one|ShareLock|transactionid|transaction|$rows{second}[1]\n"
		  . "one|f|two|ShareLock|transactionid|transaction|$rows{first}[1]",
		"$language: a deadlock on rows");
	deadlock(\%relations, "$language.UTF-8");
	is(newest(),
		"two|t|one|RowExclusiveLock|relation|public.account|$relations{second}[1]\n"
		  . "one|f|two|AccessExclusiveLock|relation|public.other|$relations{first}[1]",
		"$language: a deadlock on relations");
	deadlock(\%advisory, "$language.UTF-8");
	is(newest(),
		"two|t|one|ExclusiveLock|advisory|advisory lock 1|$advisory{second}[1]\n"
		  . "one|f|two|ExclusiveLock|advisory|advisory lock (-2,22)|$advisory{first}[1]",
		"$language: a deadlock on advisory locks");
}

# The language of a function is that of the report as well.
like(deadlock(\%rows, 'C', 'SELECT in_german()'), qr/Verklemmung/, 'a function with its own language');
like(newest(), qr/^two\|t\|one\|ShareLock\|transactionid\|transaction\|SELECT in_german\(\)$/m,
	'its report is understood');

# When the report is raised again where another language is spoken, it is kept
# as it is.
like(deadlock(\%rows, 'fr_FR.UTF-8', 'SELECT rethrow()'), qr/Verklemmung/, 'a report that crosses languages');
is( $node->safe_psql(
		'postgres', q{
SELECT victim, participants, application_name, locktype, note, report ~ '^Prozess \d+ wartet .*\nProzess \d+ wartet .*SELECT rethrow'
  FROM ft.deadlocks() WHERE deadlock_id = (SELECT max(deadlock_id) FROM ft.deadlocks())}),
	't||two||the report was not understood|t',
	'the report itself is shown, with the victim');

# All of them were reported, and the server counts the same, as soon as the
# sessions have told it.
$node->poll_query_until('postgres',
	q{SELECT not_reported = 0 AND reported = 17 FROM ft.deadlock_counts() WHERE datname = 'postgres'})
  or diag($node->safe_psql('postgres', 'SELECT * FROM ft.deadlock_counts()'));
is($node->safe_psql('postgres', q{SELECT reported, counted FROM ft.deadlock_counts() WHERE datname = 'postgres'}),
	'17|17', 'as many as the server counts');

$node->stop;
done_testing();
