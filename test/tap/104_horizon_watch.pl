# Whether the horizon keeps dead rows, when there are more databases that
# somebody holds something in than the sampler has place for, and after that.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use FaultTolerance;

my $databases = 256;
my $first_oid = 100_000;

my $node = new_node('primary', allows_streaming => 1);
$node->append_conf(
	'postgresql.conf', q{
fault_tolerance.workers = off
max_prepared_transactions = 300
wal_receiver_status_interval = 1s
});
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE kept (id integer);
INSERT INTO kept SELECT generate_series(1, 2000);
SELECT pg_create_physical_replication_slot('standby');
});

# A standby leaves a slot that holds the horizon of all databases.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nprimary_slot_name = 'standby'");
$standby->start;
$node->poll_query_until('postgres', 'SELECT xmin IS NOT NULL FROM pg_replication_slots') or die;
$standby->stop('immediate');
$node->poll_query_until('postgres', 'SELECT NOT active FROM pg_replication_slots') or die;

# Many databases for next to nothing: the folder of each is that of template1,
# as nobody changes anything there.
$node->safe_psql(
	'postgres', qq{
SET allow_system_table_mods = on;
INSERT INTO pg_database
	SELECT (jsonb_populate_record(d, jsonb_build_object('oid', $first_oid + i, 'datname', 'many_' || i))).*
	  FROM pg_database AS d, generate_series(1, $databases) AS i WHERE d.datname = 'postgres';
CHECKPOINT;
});
symlink('1', $node->data_dir . '/base/' . ($first_oid + $_)) or die "symlink: $!" foreach 1 .. $databases;

my $hold = '';
$hold .= "\\c many_$_\nBEGIN;\nSELECT pg_current_xact_id() IS NULL;\nPREPARE TRANSACTION 'many_$_';\n"
  foreach 1 .. $databases;

# The rows were deleted after the slot's horizon came to where it is.
sub keeps
{
	return $node->safe_psql('postgres', q{SELECT horizon_keeps FROM ft.dead_tuples() WHERE relname = 'kept'});
}

$node->safe_psql('postgres',
	q{DELETE FROM kept; INSERT INTO kept VALUES (0); DELETE FROM kept; SELECT ft.sampler_tick('horizon'); SELECT ft.sampler_tick('horizon')});
$node->safe_psql('postgres', 'VACUUM kept');
is(keeps(), 'yes', 'the slot keeps what is dead');

$node->safe_psql('postgres', $hold);
is($node->safe_psql('postgres', 'SELECT count(DISTINCT database) FROM pg_prepared_xacts'),
	$databases, 'somebody holds something in many databases');
$node->safe_psql('postgres', q{SELECT ft.sampler_tick('horizon'); SELECT ft.sampler_tick('horizon')});
$node->safe_psql('postgres', 'VACUUM kept');
is(keeps(), 'unknown', 'with too many of them nothing is known of the rest');

$node->safe_psql('many_1', q{ROLLBACK PREPARED 'many_1'});
$node->safe_psql('many_2', q{ROLLBACK PREPARED 'many_2'});
$node->safe_psql('postgres', q{SELECT ft.sampler_tick('horizon')});
is(keeps(), 'unknown', 'when there is place for all, one has to look anew');
$node->safe_psql('postgres', q{SELECT ft.sampler_tick('horizon')});
is(keeps(), 'unknown', 'a vacuum of before tells nothing');
$node->safe_psql('postgres', 'VACUUM kept');
is(keeps(), 'yes', 'and one of after it does');

nothing_crashed($node);
$node->stop;
done_testing();
