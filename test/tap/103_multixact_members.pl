# The space of members of multixacts runs out: autovacuum has no patience with
# multixacts any more, however few, and ft.freeze_age() says so.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Members past which autovacuum freezes everything, at the begin of a page of
# theirs: so many, and one for each of 4 flags, are on one.
my $members_per_page = 1636;
my $members = int(3_500_000_000 / $members_per_page) * $members_per_page;

my $node = new_node('members');
$node->append_conf('postgresql.conf', 'fault_tolerance.workers = off');
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE t (id integer);
INSERT INTO t SELECT generate_series(1, 10);
BEGIN;
SELECT FROM t FOR KEY SHARE;
PREPARE TRANSACTION 'keeps the multixacts';
BEGIN;
SELECT FROM t FOR KEY SHARE;
COMMIT});
my $ages = q{SELECT severity, multixact_age > 0, multixact_freeze_max_age, multixact_freeze_percent > 125, multixact_freeze_percent < 'infinity' FROM ft.freeze_age() WHERE datname = 'postgres'};
is($node->safe_psql('postgres', $ages), 'OK|t|400000000|f|t', 'a few multixacts with few members');
is($node->safe_psql('postgres', q{SELECT severity FROM ft.table_freeze_age(0, 1000000) WHERE relname = 't'}), 'OK', 'of the table as well');

$node->stop;
$node->command_ok([ 'pg_resetwal', '-O', $members, $node->data_dir ], 'the same with many members');
$node->start;
is($node->safe_psql('postgres', $ages), 'CRITICAL|t|0|t|f', 'the database is past the limit');
is($node->safe_psql('postgres', q{SELECT severity FROM ft.table_freeze_age(0, 1000000) WHERE relname = 't'}), 'CRITICAL', 'so is the table');
is($node->safe_psql('postgres', q{SELECT DISTINCT status FROM ft.health_check('{freeze_age}')}), 'CRITICAL', 'the check fires');

$node->stop('immediate');
done_testing();
