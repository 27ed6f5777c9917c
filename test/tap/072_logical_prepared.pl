# A prepared transaction that made a step due, committed by a logical replication
# worker: no command is run for that, and the step is run all the same.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$publisher->start;
my $subscriber = new_node('subscriber');
$subscriber->append_conf('postgresql.conf', 'max_worker_processes = 16');
$subscriber->start;

$_->safe_psql('postgres', 'CREATE TABLE ordered (item text)') for $publisher, $subscriber;
$publisher->safe_psql('postgres', 'CREATE PUBLICATION ordered FOR TABLE ordered');
$subscriber->safe_psql('postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE FUNCTION submit() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM ft.submit(''SELECT 1'', jsonb_build_object(''item'', new.item)); RETURN NULL; END';
CREATE TRIGGER submit AFTER INSERT ON ordered FOR EACH ROW EXECUTE FUNCTION submit();
ALTER TABLE ordered ENABLE REPLICA TRIGGER submit;
});
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres',
    "CREATE SUBSCRIPTION ordered CONNECTION '$connection' PUBLICATION ordered WITH (two_phase = true)");
$subscriber->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_subscription WHERE subtwophasestate = 'e'")
  or die 'two-phase commit is not replicated';

sub completed
{
    my ($item) = @_;
    return ok(
        $subscriber->poll_query_until('postgres',
            "SELECT count(*) = 1 FROM ft.orchestration_executions WHERE input ->> 'item' = '$item' AND status = 'COMPLETED'"),
        "$item: its step is run");
}

$publisher->safe_psql('postgres', "INSERT INTO ordered VALUES ('plain')");
completed('plain');

$publisher->safe_psql('postgres', "BEGIN; INSERT INTO ordered VALUES ('prepared'); PREPARE TRANSACTION 'order'");
ok($subscriber->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_prepared_xacts'), 'a prepared order arrives');
wait_for_scheduler($subscriber, 'postgres', 'sleeping');
$publisher->safe_psql('postgres', "COMMIT PREPARED 'order'");
completed('prepared');

done_testing();
