# Everything in schema ft, found by the catalog and called in every way that
# test/sql/calls.sql knows, as a plain pg_monitor role and as a superuser: on a
# primary, on a standby, and without the preload; in read-only and serializable
# transactions, in a parallel query, under a statement_timeout, with settings
# that change how values are written and read, and with a search_path that is
# empty or begins with a schema of attackers.  What takes the key of something
# is also given each that there is of the caller's own.  None gives an internal error, breaks the session
# or the server, hangs, gives an error whose SQLSTATE doc/sqlstates.md does not
# have, or executes what an attacker made.
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Far above what any call takes here, far below the test's own limit.
my $limit = 30;

sub contents
{
	my ($file) = @_;
	return slurp_file("$FindBin::RealBin/$file");
}

my %documented = map { $_ => 1 } contents('../../doc/sqlstates.md') =~ /^\| ([0-9A-Z]{5}) \|/mg;
cmp_ok(scalar keys %documented, '>=', 5, 'SQLSTATEs are documented');

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'fault_tolerance'
max_prepared_transactions = 5
wal_level = logical
log_error_verbosity = verbose
log_line_prefix = '%m [%p] %b %q%a '
});
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION fault_tolerance; CREATE ROLE monitor LOGIN IN ROLE pg_monitor');
$primary->safe_psql('postgres', contents('../sql/hostile.sql'));
cmp_ok($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace}),
	'>', 2000, 'the attacker has been busy');
# Something to report: a session whose name and statement are SQL, an error, a
# prepared transaction, a slot, a blocked session.
$primary->safe_psql('postgres', q{
	CREATE ROLE """; DROP TABLE soak.victim; --" LOGIN IN ROLE pg_write_all_data;
	SELECT pg_create_physical_replication_slot('unread', true);
	BEGIN; INSERT INTO soak.victim VALUES (1); PREPARE TRANSACTION $$'; DROP TABLE soak.victim; --$$;
});
$primary->psql('postgres', q{SELECT 1/0 /* '; DROP TABLE soak.victim; -- */});
my $holder = $primary->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', '"; DROP TABLE soak.victim; --' ]);
$holder->query_safe(q{SET application_name = $$'; DROP TABLE soak.victim; --$$; BEGIN; INSERT INTO soak.victim VALUES (2)});
my $waiter = $primary->background_psql('postgres', on_error_stop => 0);
$waiter->query_until(qr/waits/, "\\echo waits\nBEGIN; LOCK TABLE soak.victim; -- '; DROP TABLE soak.victim; --\n");
ok($primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted}), 'a session is blocked');
ok($primary->poll_query_until('postgres', q{
		SELECT count(*) > 0 FROM ft.session_history()
		 WHERE state = 'prepared' AND prepared_gid = $$'; DROP TABLE soak.victim; --$$ AND state_change IS NOT NULL}),
	'the sampler sees who blocks it, a prepared transaction too');

# What a role of its own kind has: executions in every status that there is, as
# calls with each of their keys where a key is asked for.  The keys that are in
# no table stay, for what is not there.
sub calls_of_own
{
	my (@called) = @_;

	$primary->safe_psql('postgres', q{
		SET SESSION AUTHORIZATION monitor;
		SELECT ft.define_orchestration('stops', '[{"name": "fails", "command": "SELECT 1 / 0"}]');
		SELECT ft.define_orchestration('is stuck', '[
			{"name": "done", "command": "SELECT 1", "compensation": "SELECT 1 / 0", "critical": true, "max_attempts": 1},
			{"name": "fails", "command": "SELECT 1 / 0", "depends_on": ["done"]}]');
		SELECT ft.define_orchestration('waits', '[
			{"name": "done", "command": "SELECT 1", "compensation": "SELECT 1", "critical": true},
			{"name": "all", "for_each": "VALUES (1), (2)", "command": "SELECT ft.item()", "depends_on": ["done"]},
			{"name": "waits", "signal": "go", "depends_on": ["all"]},
			{"name": "outside", "execution_mode": "external", "depends_on": ["waits"]}]');
		SELECT ft.define_orchestration('parent', '[{"name": "child", "orchestration": "waits"}]');
		SELECT ft.start(name) FROM unnest('{stops,is stuck,waits,parent}'::text[]) AS name;
		SELECT ft.submit('SELECT 1'), ft.submit('SELECT 1', run_at => '2100-01-01');
		SELECT ft.pause(ft.start('waits'));
		SELECT ft.submit('claimed', execution_mode => 'external', queue => 'blocked'), ft.submit('due', execution_mode => 'external', queue => 'due');
		SELECT ft.claim_task('blocked', 'sweep', '1 hour');
		SELECT ft.add_task(ft.create_execution(), 'by hand', 'SELECT 1')});
	ok($primary->poll_query_until('postgres', q{
			SELECT array_agg(DISTINCT status::text ORDER BY status::text) = '{COMPENSATION_FAILED,COMPLETED,PENDING,ROLLED_BACK,RUNNING}'
				   AND count(*) FILTER (WHERE parent_task_id IS NOT NULL) = 1
			  FROM ft.orchestration_executions WHERE status <> 'COMPENSATING'}),
		'there are executions in several statuses');

	my %keys = (
		execution => [ split /\n/, $primary->safe_psql('postgres', 'SELECT execution_id FROM ft.orchestration_executions') ],
		task => [ split /\n/, $primary->safe_psql('postgres', 'SELECT task_id FROM ft.orchestration_tasks') ],
		checkpoint => [ split /\n/, $primary->safe_psql('postgres',
				'SELECT DISTINCT ON (execution_id) checkpoint_id FROM ft.orchestration_checkpoints ORDER BY execution_id, checkpoint_number DESC') ]);
	my $nobodys = '01890a5d-ac96-774b-bcce-b302099a8057';
	my @own;
	foreach my $call (grep { $_->[3] =~ /\Q$nobodys\E/ } @called)
	{
		next unless $call->[3] =~ /(execution|workflow|task|checkpoint)_id => '$nobodys'/;
		foreach my $key (@{ $keys{ $1 eq 'workflow' ? 'execution' : $1 } })
		{
			(my $text = $call->[3]) =~ s/'$nobodys'/'$key'/;
			# most of them will not end by themselves
			$text = "ft.wait('$key', '10 ms')" if $text =~ /^ft\.wait\(/;
			push @own, [ 'own', $call->[1], 'typical', $text ];
		}
	}
	return @own;
}

# A superuser's are called on the primary only, where they can do something.
my @calls = map { [ split /\t/ ] } split /\n/,
  $primary->safe_psql('postgres', contents('../sql/calls.sql'), extra_params => [ '-F', "\t" ]);
push @calls, calls_of_own(@calls);
my %count;
$count{ $_->[0] }++ foreach @calls;
cmp_ok($count{diagnostic} // 0, '>=', 30, 'there are diagnostics to call');
cmp_ok($count{superuser} // 0, '>=', 2, 'and what a superuser calls');
note("$_: $count{$_} calls") foreach sort keys %count;

cmp_ok($count{own} // 0, '>=', 300, 'and what somebody calls for what is his');

# Ways to call: what comes before, within the transaction.
my %way = (
	'plainly' => 'BEGIN;',
	'read only' => 'BEGIN READ ONLY;',
	'serializable' => q{SET default_transaction_isolation = serializable; BEGIN;},
	'with little time' => q{BEGIN; SET LOCAL lock_timeout = '1 ms'; SET LOCAL statement_timeout = '1 ms';},
	'among hostile objects' => 'SET search_path = hostile, pg_catalog, public; BEGIN;',
	'after an own subtransaction' => 'BEGIN; SAVEPOINT a;',
	'with an empty search_path' => q{SET search_path = ''; BEGIN;},
	'in a parallel query' =>
	  q{BEGIN; SELECT set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');},
	'with settings of another kind' => q{BEGIN;
		SET LOCAL DateStyle = 'German, DMY'; SET LOCAL IntervalStyle = sql_standard; SET LOCAL TimeZone = 'Asia/Kathmandu';
		SET LOCAL standard_conforming_strings = off; SET LOCAL escape_string_warning = off; SET LOCAL bytea_output = escape;
		SET LOCAL extra_float_digits = -5; SET LOCAL quote_all_identifiers = on;},
);

my %sqlstates;

# One session makes all calls; each says its number and the SQLSTATE.  Returns
# what went wrong, as lines.
sub sweep
{
	my ($node, $role, $way, @called) = @_;
	my $script = "\\set VERBOSITY verbose\nSET statement_timeout = '${limit}s';\nSET client_min_messages = error;\n";
	my ($expected, @wrong) = (0);

	foreach my $call (@called)
	{
		# A short timeout may meet the first ROLLBACK, which then is an abort.
		$script .= "$way{$way}\nSELECT pg_catalog.count(t::pg_catalog.text) FROM $call->[3] AS t;\n"
		  . "\\echo call $expected :SQLSTATE :LAST_ERROR_MESSAGE\nROLLBACK;\nROLLBACK;\n";
		$expected++;
	}

	my $offset = -s $node->logfile;
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " user=$role", '-f', '-' ],
		'<', \$script, '>', \$out, '2>', \$err,
		my $timer = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default * 2));
	eval { $run->finish; 1 } or do { push @wrong, "hung: $@"; $run->kill_kill; };

	my $seen = 0;
	while ($out =~ /^call (\d+) (\S+) ?(.*)$/mg)
	{
		my ($number, $sqlstate, $message) = ($1, $2, $3);
		$seen++;
		$sqlstates{$sqlstate}++;
		next if $sqlstate eq '00000';
		next if $documented{$sqlstate} && !($sqlstate eq '57014' && $way ne 'with little time');
		push @wrong, "$called[$number][3]: $sqlstate $message";
	}
	push @wrong, "only $seen of $expected calls were made: " . substr($err, -300) if $seen < $expected;

	my $log = slurp_file($node->logfile, $offset);
	push @wrong, $1 while $log =~ /^(.*(?:XX\d\d\d:|PANIC|TRAP|terminated by signal|hostile object was used).*)$/mg;
	return @wrong;
}

sub sweep_all
{
	my ($node, $name, $role, $kinds, @ways) = @_;
	my @called = grep { $_->[0] =~ /^(?:$kinds)$/ } @calls;

	foreach my $way (@ways)
	{
		my @wrong = sweep($node, $role, $way, @called);
		is(join("\n", @wrong), '', scalar(@called) . " calls $way, $name, as $role");
	}
}

my $superuser = $primary->safe_psql('postgres', 'SELECT current_user');
my @all_ways = sort keys %way;
like(join("\n", sweep($primary, 'monitor', 'among hostile objects', [ '', '', '', "(SELECT 'a' || 'b') AS q, LATERAL (SELECT q)" ])),
	qr/: HACKD .*\n.*a hostile object was used/, 'a call that trusts its search_path is found');
sweep_all($primary, 'on a primary', 'monitor', 'diagnostic|public|superuser|own', @all_ways);
sweep_all($primary, 'on a primary', $superuser, 'diagnostic|public|superuser|own', 'plainly', 'read only', 'among hostile objects');

# --- on a standby, where there is no serializable transaction
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup('standby', 'replay', $primary->lsn('insert'));
sweep_all($standby, 'on a standby', 'monitor', 'diagnostic|public|superuser|own', grep { $_ ne 'serializable' } @all_ways);
sweep_all($standby, 'on a standby', $superuser, 'diagnostic|superuser', 'plainly');
$standby->stop;

# --- nothing came of it
is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE oid = 'soak.victim'::regclass}),
	'1', 'the victim is there');
$primary->safe_psql('postgres', q{ROLLBACK PREPARED $$'; DROP TABLE soak.victim; --$$});
# The time of these sessions runs since they began.
$_->set_query_timer_restart foreach $holder, $waiter;
$holder->query_safe('ROLLBACK');
$waiter->query('ROLLBACK');
$holder->quit;
$waiter->quit;

# --- without the preload
$primary->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$primary->restart;
sweep_all($primary, 'not preloaded', 'monitor', 'diagnostic|public|superuser', 'plainly', 'among hostile objects');
sweep_all($primary, 'not preloaded', $superuser, 'diagnostic|public|superuser', 'plainly');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE oid = 'soak.victim'::regclass}),
	'1', 'the victim is still there');

note("$_: $sqlstates{$_}") foreach sort keys %sqlstates;
$primary->stop;
done_testing();
