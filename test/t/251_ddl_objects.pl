# Commands on what subscriptions depend on go through with eight workers under
# load, or fail as plain SQL lets them fail: servers, user mappings, roles, the
# extension, the tables, the server itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

# what holds on a slow machine; the times that were measured are printed
my $most_seconds = 30;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { shared_preload_libraries => StreamIngest::installed('pg_stat_statements', 'stream_ingest') });
my $bootstrap = $kafka->bootstrap;

# Runs a command; returns what was wrong, or "", and how long it took.
sub attempt
{
	my ($command, $role) = @_;
	my $error = '';
	my $began = time();

	$node->psql('postgres', $command, stderr => \$error,
		extra_params => [ '-U', $role // $ENV{PGUSER} // getpwuid($<) ]);
	return ($error, time() - $began);
}

# Waits until all workers stream, with more to come.
sub under_load
{
	sql(q{SELECT stream_ingest.seek('s', 'earliest')})
	  if sql(q{SELECT COALESCE(sum(lag), 1) < 300000 FROM stream_ingest.offsets WHERE name = 's'}) eq 't';
	poll(q{SELECT count(*) FROM stream_ingest.status WHERE name = 's' AND state IN ('catching_up', 'streaming') AND messages_per_second > 0}, 8)
	  or die 'no load';
	return;
}

# Runs statements that change the server or the mappings of subscription s by one commit, and
# waits until all its workers have noticed and others run.
sub restarting
{
	my ($run) = @_;
	my $pids = sql(q{SELECT string_agg(pid::text, ',') FROM stream_ingest.status WHERE name = 's' HAVING count(pid) = 8});

	$run->();
	ok( poll(qq{SELECT count(*) FROM stream_ingest.status WHERE name = 's' AND pid IS NOT NULL AND NOT pid IN ($pids)}, 8),
		'the workers have started again');
	return;
}

# The command goes through, with this NOTICE if any, and restarts the workers if so said.
sub goes_through
{
	my ($command, $notice, $restarts) = @_;
	my ($error, $seconds);
	my $run = sub { ($error, $seconds) = attempt($command); };

	under_load();
	if ($restarts) { restarting($run); }
	else { $run->(); }
	if (defined $notice) { like($error, $notice, "goes through: $command"); }
	else { is($error, '', "goes through: $command"); }
	unlike($error, qr/ERROR|FATAL/, 'without an error');
	cmp_ok($seconds, '<', $most_seconds, sprintf('in %.2f s', $seconds));
	return;
}

# The command fails for this reason, and all workers are still there.
sub stops_nothing
{
	my ($command, $reason, $role) = @_;
	my $pids = q{SELECT string_agg(pid::text, ',' ORDER BY pid) FROM stream_ingest.status};
	my ($before, $error, $seconds);

	under_load();
	$before = sql($pids);
	($error, $seconds) = attempt($command, $role);

	like($error, $reason, "fails: $command");
	is(sql($pids), $before, sprintf('and stops no worker, in %.2f s', $seconds));
	return;
}

# The command goes through; do all workers start again because of it?
sub starts_again
{
	my ($command, $again) = @_;
	my $pids = q{SELECT string_agg(pid::text, ',' ORDER BY worker) FROM stream_ingest.status WHERE name = 's' HAVING count(pid) = 8};
	my ($before, $applied, $error);

	under_load();
	$before = sql($pids);
	($error) = attempt($command);
	is($error, '', $command);
	if ($again)
	{
		ok(poll(qq{SELECT count(*) FROM stream_ingest.status WHERE name = 's' AND pid IS NOT NULL AND NOT pid IN ($before)}, 8),
			'starts the workers again');
		return;
	}

	# workers notice changes between batches
	$applied = sql(q{SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = 's'});
	ok(poll(qq{SELECT sum(next_offset) <> $applied FROM stream_ingest.offsets WHERE name = 's'}, 't'), 'messages are applied');
	is(sql($pids), $before, 'and no worker has started again');
	return;
}

sub names { return sql(q{SELECT string_agg(name, ',' ORDER BY name) FROM stream_ingest.subscriptions}); }

$kafka->create_topic('load', 8);
$kafka->create_topic('quiet', 1);
$kafka->produce('load', count => 800_000, round_robin => 8);
sql('CREATE ROLE streams LOGIN; CREATE ROLE heir LOGIN; CREATE ROLE mallory LOGIN; CREATE ROLE boss LOGIN CREATEROLE');
sql('GRANT ALL ON FOREIGN DATA WRAPPER stream_ingest TO boss; GRANT CREATE, USAGE ON SCHEMA public TO streams, heir');

# A server, and the subscriptions that the test wants of it.
sub set_up
{
	my ($server) = @_;

	sql(qq{
		CREATE SERVER IF NOT EXISTS $server FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
		GRANT USAGE ON FOREIGN SERVER $server TO streams, heir;
		SET ROLE streams;
		CREATE TABLE IF NOT EXISTS t (value text);
		SELECT stream_ingest.create_subscription('s', '$server', 'load', 't', format => 'raw', mapping => '{"value": "\$value"}',
			options => '{"workers": 8, "rate_limit": 20000}');
		SELECT stream_ingest.create_subscription('off', '$server', 'quiet', 't', format => 'raw', mapping => '{"value": "\$value"}', enabled => false)});
	under_load();
	return;
}
set_up('k');

# ---- servers and user mappings ----

stops_nothing('DROP SERVER k', qr/must be owner of foreign server k/, 'mallory');
stops_nothing('DROP SERVER k CASCADE', qr/must be owner of foreign server k/, 'mallory');
stops_nothing('DROP SERVER k, missing CASCADE', qr/server "missing" does not exist/);
stops_nothing('\set VERBOSITY verbose
DROP SERVER k', qr/ERROR:  2BP01: cannot drop server k because other objects depend on it
.*DETAIL:  subscription s depends on server k
subscription off depends on server k
HINT:  Use DROP \.\.\. CASCADE to drop the dependent objects too/s);
stops_nothing('DROP SERVER k, kafka', qr/cannot drop desired object\(s\) because other objects depend on them/);
stops_nothing('DO $$BEGIN EXECUTE $e$DROP SERVER k$e$; END$$', qr/cannot drop server k because/);

goes_through($_, undef, 1)
  foreach (q{CREATE USER MAPPING FOR streams SERVER k OPTIONS (sasl_username 'a', sasl_password 'b')},
	'DROP USER MAPPING FOR streams SERVER k', q{ALTER SERVER k OPTIONS (ADD socket_timeout_ms '30000')});

# what belongs to others concerns no worker of ours
starts_again("CREATE SERVER other FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap')", 0);
starts_again(q{CREATE USER MAPPING FOR streams SERVER other OPTIONS (sasl_username 'a', sasl_password 'b')}, 0);
starts_again(q{CREATE USER MAPPING FOR heir SERVER k OPTIONS (sasl_username 'a', sasl_password 'b')}, 0);
starts_again(q{CREATE USER MAPPING FOR PUBLIC SERVER k OPTIONS (sasl_username 'a', sasl_password 'b')}, 1);
starts_again(q{CREATE USER MAPPING FOR streams SERVER k OPTIONS (sasl_username 'a', sasl_password 'b')}, 1);
starts_again('BEGIN; DROP USER MAPPING FOR streams SERVER k; DROP USER MAPPING FOR PUBLIC SERVER k; DROP USER MAPPING FOR heir SERVER k; COMMIT', 1);
sql('DROP SERVER other CASCADE');
goes_through('ALTER SERVER k RENAME TO k2');
under_load();
is(sql(q{SELECT string_agg(DISTINCT server, ',') FROM stream_ingest.subscriptions}), 'k2', 'a new name is followed');
is(sql(q{SELECT count(*) FROM stream_ingest.status WHERE name = 's' AND state IN ('catching_up', 'streaming')}), 8,
	'the workers run under it');

# options are followed, to where no broker listens and back
sql(q{ALTER SERVER k2 OPTIONS (SET bootstrap_servers '127.0.0.1:1')});
ok(poll(q{SELECT bool_and(state IN ('connecting', 'retrying')) FROM stream_ingest.status WHERE name = 's'}, 't'), 'a new address is followed');
sql(qq{ALTER SERVER k2 OPTIONS (SET bootstrap_servers '$bootstrap')});

goes_through('DROP SERVER k2 CASCADE', qr/NOTICE:  drop cascades to 2 other objects
DETAIL:  drop cascades to subscription s
drop cascades to subscription off/);
is(names(), '', 'CASCADE drops the subscriptions');
ok(poll(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'}, 0), 'and their workers end');

# rolled back, it has not happened
set_up('k');
($_) = attempt('BEGIN; DROP SERVER k CASCADE; ROLLBACK');
under_load();
is(names(), 'off,s', 'what is rolled back has not happened');

# another server of the same name is not the subscription's
sql(q{UPDATE stream_ingest.subscription SET server_oid = 1 WHERE name = 'off'});
stops_nothing('DROP SERVER k', qr/DETAIL:  subscription s depends on server k\nHINT/);
sql(q{SELECT stream_ingest.drop_subscription('off')});

# ---- roles ----

stops_nothing('\set VERBOSITY verbose
DROP ROLE streams', qr/ERROR:  2BP01: role "streams" cannot be dropped because some objects depend on it/);
under_load();
restarting(sub {
	sql('BEGIN; ALTER TABLE t OWNER TO CURRENT_USER; REVOKE ALL ON SCHEMA public FROM streams; REVOKE ALL ON FOREIGN SERVER k FROM streams;
		GRANT INSERT ON t TO PUBLIC; GRANT USAGE ON FOREIGN SERVER k TO PUBLIC; COMMIT');
});
stops_nothing('\set VERBOSITY verbose
DROP ROLE streams', qr/ERROR:  2BP01: role "streams" cannot be dropped because some objects depend on it
.*DETAIL:  owner of subscription s$/m);
stops_nothing('DROP ROLE streams', qr/permission denied to drop role/, 'mallory');
sql('CREATE DATABASE second');
my $error = '';
$node->psql('second', 'DROP ROLE streams', stderr => \$error);
like($error, qr/some objects depend on it\nDETAIL:  1 object in database postgres/, 'nor from another database');

stops_nothing('REASSIGN OWNED BY streams TO heir', qr/permission denied to reassign objects/, 'mallory');
stops_nothing('DROP OWNED BY streams', qr/permission denied to drop objects/, 'mallory');
sql(q{ALTER ROLE heir SET search_path = pg_temp, public; ALTER TABLE t OWNER TO streams});
goes_through('REASSIGN OWNED BY streams TO heir');
is(sql(q{SELECT owner FROM stream_ingest.subscriptions}), 'heir', 'the subscription has a new owner');
like(sql(q{SELECT settings->>'search_path' FROM stream_ingest.subscriptions}), qr/pg_temp/, 'and that one\'s search_path');
under_load();
ok(poll(q{SELECT count(DISTINCT usename), min(usename) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'}, '1|heir'),
	'the workers run as the new owner');
sql('DROP OWNED BY streams; DROP ROLE streams; CREATE ROLE streams LOGIN');

# the stored name, by which a dump is restored elsewhere, follows in each database
$node->safe_psql('second', qq{
	CREATE EXTENSION stream_ingest; CREATE TABLE t (value text); GRANT ALL ON t TO heir;
	CREATE SERVER k FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap'); GRANT USAGE ON FOREIGN SERVER k TO heir;
	SET ROLE heir;
	SELECT stream_ingest.create_subscription('o', 'k', 'quiet', 't', format => 'raw', mapping => '{"value": "\$value"}', enabled => false)});
sql('BEGIN; ALTER ROLE heir RENAME TO former; ROLLBACK');
goes_through('ALTER ROLE heir RENAME TO "new Heir"');
foreach my $database (qw(postgres second))
{
	ok($node->poll_query_until($database, q{SELECT DISTINCT owner_name FROM stream_ingest.subscription}, 'new Heir'),
		"a renamed owner is followed in database $database");
}
sql('ALTER ROLE "new Heir" RENAME TO heir');

# one that is disabled, in another database, is all that its owner has
sql(q{
	CREATE ROLE sleeper LOGIN;
	CREATE FUNCTION try_drop() RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		why text;
	BEGIN
		DROP ROLE sleeper;
		RAISE 'dropped';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
		RETURN coalesce(nullif(why, ''), SQLERRM);
	END $$});
is(sql('SELECT try_drop()'), 'dropped', 'a role without subscriptions can be dropped');
$node->safe_psql('second', q{
	GRANT INSERT ON t TO PUBLIC; GRANT USAGE ON FOREIGN SERVER k TO PUBLIC; SET ROLE sleeper;
	SELECT stream_ingest.create_subscription('asleep', 'k', 'quiet', 't', format => 'raw', mapping => '{"value": "$value"}', enabled => false)});
ok(poll('SELECT try_drop()', '1 object in database second'), 'the owner of a disabled one in another database cannot');
$node->safe_psql('second', q{SELECT stream_ingest.drop_subscription('asleep', true)});
ok(poll('SELECT try_drop()', 'dropped'), 'until it is gone');
sql('DROP ROLE sleeper; DROP FUNCTION try_drop');
sql('DROP DATABASE second');

# another's subscription on a server of the role
under_load();
restarting(sub { sql('ALTER SERVER k OWNER TO boss') });
stops_nothing('DROP OWNED BY boss', qr/cannot drop desired object\(s\) because other objects depend on them\nDETAIL:  subscription s depends on server k/);
goes_through('DROP OWNED BY heir');
is(names(), '', 'DROP OWNED drops subscriptions');
ok(poll(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'}, 0), 'and their workers end');
sql('DROP ROLE heir; CREATE ROLE heir LOGIN');

# ---- what rewrites or drops tables ----

sql('GRANT CREATE, USAGE ON SCHEMA public TO streams');
sql('DROP SERVER k');
set_up('k');
goes_through('REINDEX DATABASE postgres');
goes_through('VACUUM FULL');
goes_through('VACUUM FULL stream_ingest.subscription, stream_ingest.progress');
under_load();
stops_nothing('DROP EXTENSION stream_ingest', qr/cannot drop extension stream_ingest because other objects depend on it/);
goes_through('DROP EXTENSION stream_ingest CASCADE', qr/NOTICE:  drop cascades to/);
ok(poll(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'}, 0), 'the workers end');

# ---- shutdown ----

sql('CREATE EXTENSION stream_ingest');
foreach my $mode (qw(fast immediate))
{
	my $began;

	set_up('k') if $mode eq 'fast';
	under_load();
	$began = time();
	$node->stop($mode);
	$began = time() - $began;
	cmp_ok($began, '<', $most_seconds, sprintf('%s shutdown in %.2f s', $mode, $began));
	$node->start;
}
under_load();
is(sql(q{SELECT bool_and(messages = applied AND applied = inserted) FROM stream_ingest.counts WHERE name = 's'}), 't', 'the counts fit');

done_testing();
