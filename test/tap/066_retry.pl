# ft.retry() waits without holding back vacuum or anybody's lock, and can be
# cancelled meanwhile; a conflict of two sessions is resolved by it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use FaultTolerance;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
$node->start;
$node->safe_psql(
    'postgres', q{
CREATE EXTENSION fault_tolerance;
CREATE TABLE account (id int PRIMARY KEY, balance int);
INSERT INTO account SELECT generate_series(1, 2), 0;
CREATE FUNCTION busy() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE account SET balance = 99;
    RAISE SQLSTATE '55P03' USING MESSAGE = 'busy';
END $$});

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_until(qr/begun/, q{\echo begun
CALL ft.retry('SELECT busy()', first_delay => '1 h', max_delay => '1 h', jitter => 0);
});
ok( $node->poll_query_until('postgres', "SELECT state = 'active' AND wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $pid"),
    'it waits for the time of its next attempt');
is($node->safe_psql('postgres', "SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $pid"),
    't', 'without a snapshot');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE pid = $pid AND locktype <> 'virtualxid'"),
    '0', 'or a lock');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
ok($node->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid"),
    'and can be cancelled');
is($node->safe_psql('postgres', 'SELECT sum(balance) FROM account'), '0', 'with nothing left of it');
$session->quit;

# Serializable transactions that would each fail without it, four at a time.
my $script = PostgreSQL::Test::Utils::tempdir() . '/transfer.sql';
append_to_file($script, q{
CALL ft.retry('UPDATE account SET balance = balance + (SELECT count(*) FROM account)', max_attempts => 1000, first_delay => '1 ms', max_delay => '20 ms');
});
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET default_transaction_isolation = serializable');
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-t', '50', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
    'sessions in conflict all succeed');
is($node->safe_psql('postgres', 'SELECT string_agg(balance::text, \',\') FROM account'), '400,400', 'each once');

done_testing();
