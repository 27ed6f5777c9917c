# Clients that are gone: one that closed its TCP connection while its session
# runs a statement, one that reset it, one that ended its transaction by an
# error and does nothing since; the SQL that ends each; and sessions that are
# well beside them.
use strict;
use warnings FATAL => 'all';
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc/net/tcp' unless -r '/proc/net/tcp';

my $node = PostgreSQL::Test::Cluster->new('node');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fault_tolerance'
fault_tolerance.workers = off
listen_addresses = '127.0.0.1'
});
$node->append_conf('pg_hba.conf', 'host all all 127.0.0.1/32 trust');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance; CREATE ROLE monitor LOGIN IN ROLE pg_monitor; CREATE TABLE t (i int)');
my $port = $node->port;
my $user = $node->safe_psql('postgres', 'SELECT current_user');

sub ask
{
	my ($query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-U', 'monitor' ]);
	die "query failed: $query: $err" if $rc != 0;
	return $out;
}

# A client that speaks just enough of the protocol to start a statement and
# then to vanish in a way of its own.
sub client
{
	my ($application, %options) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', %options)
	  or die "could not connect: $!";
	my $startup = pack('N', 196608)
	  . join('', map { "$_\0" } 'user', $user, 'database', 'postgres', 'application_name', $application) . "\0";
	print $socket pack('N', length($startup) + 4) . $startup;
	$socket->flush;
	return $socket;
}

sub statement
{
	my ($socket, $sql) = @_;
	print $socket 'Q' . pack('N', length($sql) + 5) . "$sql\0";
	$socket->flush;
}

sub is_running
{
	my ($application, $state) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = '$application' AND state = '$state' AND query <> ''"),
		"$application is $state");
}

# --- sessions whose clients are there
my $well = client('well');
statement($well, 'SELECT pg_sleep(1000)');
is_running('well', 'active');
my $idle = client('idle');
statement($idle, 'BEGIN; SELECT count(*) FROM t');
is_running('idle', 'idle in transaction');
is(ask(q{SELECT socket_state, retransmits, probes FROM ft.client_connections() WHERE pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'well')}),
	'ESTABLISHED|0|0', 'the connection of a client that is there');
is(ask('SELECT count(*) FROM ft.client_connections()'), '2', 'sessions over TCP, and no others');
is(ask('SELECT count(*) FROM ft.vanished_clients()'), '0', 'nobody is gone');
is(ask(q{SELECT status, value FROM ft.health_check('{vanished_clients}')}), 'OK|0', 'the check is silent');

# --- a client that is connected to another server from the same port, and has
# closed that connection; the other way round the session would look well
{
	my $other = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp')
	  or die "could not listen: $!";
	my $twin = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $other->sockport, Proto => 'tcp',
		LocalAddr => '127.0.0.1', ReuseAddr => 1) or die "could not connect: $!";
	my $accepted = $other->accept or die "could not accept: $!";
	my $two_ways = client('two ways', LocalAddr => '127.0.0.1', LocalPort => $twin->sockport, ReuseAddr => 1);
	statement($two_ways, 'SELECT pg_sleep(1000)');
	is_running('two ways', 'active');
	close($twin);
	is(ask(q{SELECT socket_state FROM ft.client_connections() WHERE pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'two ways')}),
		'ESTABLISHED', 'the connection to this server, not that to another one');
	is(ask('SELECT count(*) FROM ft.vanished_clients()'), '0', 'its client is not gone');
	$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'two ways'});
}

# --- closed: the session does not notice while it runs its statement
my $closed = client('closed');
statement($closed, "SELECT pg_sleep(1000) /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/");
is_running('closed', 'active');

# What it has not read would make its end a reset.
$closed->blocking(0);
1 while sysread($closed, my $answer, 8192);
close($closed);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM ft.vanished_clients() WHERE application_name = 'closed'}), 'a client that closed its connection');
is(ask(q{SELECT kind, certain, evidence, state, socket_state, severity, client_addr, traceparent FROM ft.vanished_clients() WHERE application_name = 'closed'}),
	'client gone|t|the client closed the connection|active|CLOSE_WAIT|WARNING|127.0.0.1|00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
	'how that is known, and its trace');

# --- reset: the kernel has forgotten the connection
my $reset = client('reset');
statement($reset, 'SELECT pg_sleep(1000)');
is_running('reset', 'active');
setsockopt($reset, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) or die "setsockopt: $!";
close($reset);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM ft.vanished_clients() WHERE application_name = 'reset'}), 'a client that reset its connection');
is(ask(q{SELECT kind, certain, evidence, socket_state FROM ft.vanished_clients() WHERE application_name = 'reset'}),
	'client gone|t|the kernel has given up the connection|gone', 'how that is known');

# --- failed and left open
my $failed = client('failed');
statement($failed, 'BEGIN');
is_running('failed', 'idle in transaction');
statement($failed, 'SELECT 1 / 0');
is_running('failed', 'idle in transaction (aborted)');
is(ask(q{SELECT count(*) FROM ft.vanished_clients() WHERE application_name = 'failed'}), '0', 'a transaction that failed a moment ago');
$node->safe_psql('postgres', q{SELECT ft.set_threshold('idle_in_transaction', 0.01, 1000)});
is(ask(q{SELECT kind, certain, state, severity FROM ft.vanished_clients() WHERE application_name = 'failed'}),
	'failed and left open|f|idle in transaction (aborted)|WARNING', 'one that is left open for too long');

is(ask(q{SELECT application_name FROM ft.vanished_clients() ORDER BY 1}), "closed\nfailed\nreset", 'all of them, and nobody else');
is(ask(q{SELECT status, value FROM ft.health_check('{vanished_clients}')}), 'WARNING|3', 'the check fires');
is(ask(q{SELECT count(*) FROM ft.vanished_clients_summary}), '3', 'so does the summary');

# --- the SQL that ends them
$node->safe_psql('postgres', $_)
  foreach split /\n/, ask(q{SELECT sql FROM ft.vanished_clients()});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name IN ('closed', 'reset', 'failed')}), 'the SQL ended them');
is(ask(q{SELECT string_agg(application_name, ',' ORDER BY application_name) FROM pg_stat_activity WHERE application_name IN ('well', 'idle')}), 'idle,well', 'and nobody else');
ok($node->poll_query_until('postgres', q{SELECT status = 'OK' FROM ft.health_check('{vanished_clients}')}), 'the check is silent again');

# --- a session that looks after its client ends by itself
my $careful = client('careful');
statement($careful, "SET client_connection_check_interval = '50ms'; SELECT pg_sleep(1000)");
is_running('careful', 'active');
close($careful);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'careful'}), 'as client_connection_check_interval has it');

close($_) foreach $well, $idle;
$node->stop('immediate');
done_testing();
