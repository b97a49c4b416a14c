# Errors that are no message's fault.
#
# Temporary ones, provoked for real: a deadlock, a lock that does not come, a
# cancelled batch, a full disk, brokers that are away.  Lasting ones: a table
# that refuses everything, a privilege or the server taken away.  Whatever it
# is: no message becomes a dead letter, the reason says what is wrong, and when
# it is right again all rows are there, without anybody doing more.
#
# OUTAGE says how long the broker is away (3 s; 60 with STREAM_INGEST_FULL=1).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $full = $ENV{STREAM_INGEST_FULL};
my $outage = $ENV{OUTAGE} // ($full ? 60 : 3);
my $per_step = 1000;

my $kafka = StreamIngest::start_kafka();
# so long has the other session of a deadlock to come to its second lock
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { deadlock_timeout => '5 s' });
my $sent = 0;

# A session of its own, while we continue.
sub start_session
{
	my ($sql) = @_;
	my $session = { out => '', err => '' };

	$session->{harness} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ],
		'<', \'', '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

sub finish_session { my ($session) = @_; IPC::Run::finish($session->{harness}); return; }

sub send_more
{
	$kafka->produce('t', count => $per_step, first => $sent, partition => 0);
	$sent += $per_step;
	return;
}

# While it is wrong: the state, and the sqlstate and words of the reason.  At each look
# some other query is run, too.
sub is_wrong
{
	my ($what, $state, $sqlstate, $reason, $query) = @_;

	ok( StreamIngest::poll_until(
			$node,
			"SELECT state = '$state' AND last_error_sqlstate = '$sqlstate' AND reason ~ \$re\$$reason\$re\$"
			  . ' FROM stream_ingest.status' . (defined $query ? ", ($query) AS other" : '')),
		"$what: $state, with the reason");
	return;
}

# It happened, although it may be over already.
sub has_happened
{
	my ($what, $sqlstate) = @_;

	ok( StreamIngest::poll_until(
			$node, 'SELECT last_error_sqlstate FROM stream_ingest.status', $sqlstate),
		"$what: it happened");
	return;
}

# When it is right again.
sub is_right
{
	my ($what) = @_;

	ok( StreamIngest::poll_until(
			$node,
			"SELECT count(*) = $sent AND count(DISTINCT id) = $sent AND max(id) = $sent - 1 FROM public.t"),
		"$what: all rows are there in the end");
	is( sql("SELECT messages, applied, dead_letters, ignored FROM stream_ingest.counts"),
		"$sent|$sent|0|0", "$what: and no dead letters");
	ok( StreamIngest::poll_until(
			$node, "SELECT state = 'streaming' AND reason IS NULL FROM stream_ingest.status"),
		"$what: and nothing more is logged");
	return;
}

$kafka->create_topic('t', 1);
sql("
	CREATE ROLE app LOGIN;
	GRANT USAGE ON FOREIGN SERVER kafka TO app;
	GRANT CREATE ON SCHEMA public TO app;
	CREATE TABLE t (id bigint PRIMARY KEY, payload text);
	GRANT INSERT ON t TO app;
	CREATE TABLE other (id int PRIMARY KEY, n int);
	INSERT INTO other VALUES (1, 0);
	GRANT ALL ON other TO app;
	SET ROLE app;
	SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't')");
send_more();
is_right('at first');

# ---- temporary ----

# The other session has the longer patience, so that the worker is the victim.
my $session = start_session("
	DO \$\$
	BEGIN
		SET LOCAL deadlock_timeout = '100 s';
		INSERT INTO t VALUES ($sent + 500);
		LOOP
			EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)));
			PERFORM pg_sleep(0.01);
		END LOOP;
		INSERT INTO t VALUES ($sent + 499);
		RAISE EXCEPTION 'that is undone';
	END \$\$");
ok( StreamIngest::poll_until(
		$node, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
	'the other session has its first lock');
send_more();
has_happened('deadlock', '40P01');
finish_session($session);
like($session->{err}, qr/that is undone/, 'deadlock: the other session got both its locks');
is_right('deadlock');

# A lock that does not come: the worker waits, and takes being cancelled for
# what it is.  The session holds the lock until it is terminated.
sub hold
{
	my ($lock) = @_;

	$session = start_session("SET application_name = 'holder'; BEGIN; $lock; SELECT pg_sleep(600)");
	ok( StreamIngest::poll_until(
			$node,
			"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'PgSleep'"),
		'a session has the lock');
	return;
}

sub release
{
	sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
	finish_session($session);
	return;
}

hold('LOCK TABLE t IN ACCESS EXCLUSIVE MODE');
send_more();
ok( StreamIngest::poll_until(
		$node,
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND wait_event_type = 'Lock'"),
	'the worker waits for the lock');
# until it tries again it tells of the cancel, then that it waits: so it is cancelled whenever it does,
# and each time tells of it for longer
is_wrong('lock, cancelled', 'retrying', '57014', 'canceling statement|query_canceled',
	"SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
	  . " WHERE backend_type = 'stream_ingest worker' AND wait_event_type = 'Lock'");
release();
is_right('lock, cancelled');

# A trigger that has less patience.
sql("
	CREATE FUNCTION impatient() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '50 ms' AS \$\$
	BEGIN
		UPDATE other SET n = n + 1 WHERE id = 1;
		RETURN NEW;
	END \$\$;
	CREATE TRIGGER impatient BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION impatient()");
hold('SELECT FROM other WHERE id = 1 FOR UPDATE');
send_more();
is_wrong('lock timeout', 'retrying', '55P03', 'lock_not_available');
release();
is_right('lock timeout');

# What only passes after some time, and a trigger that makes itself read-only.
sql("
	CREATE SEQUENCE tries;
	GRANT ALL ON tries TO app;
	CREATE OR REPLACE FUNCTION impatient() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		IF nextval('public.tries') <= 3 THEN
			RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure';
		ELSIF currval('public.tries') <= 5 THEN
			PERFORM set_config('transaction_read_only', 'on', true);
			UPDATE public.other SET n = n + 1 WHERE id = 1;
		ELSIF currval('public.tries') <= 6 THEN
			RAISE EXCEPTION 'none left' USING ERRCODE = 'out_of_memory';
		END IF;
		RETURN NEW;
	END \$\$");
send_more();
is_right('serialization failure, read-only transaction, out of memory');
ok(sql("SELECT retries >= 8 FROM stream_ingest.status"), 'it took so many tries');
is(sql("SELECT last_error_sqlstate FROM stream_ingest.status"), '53200', 'the last of them is told');
sql('DROP TRIGGER impatient ON t');

# A full disk.  Mounting a small file system takes root, which the server's
# user is not; so the table lies, for a while, on a device that is always full.
# While that is so, the subscription writes to a table of nothing but that file.
sub full_disk
{
	my $path = $node->data_dir . '/' . sql("SELECT pg_relation_filepath('t')");

	rename $path, "$path.away" or die "$path: $!";
	symlink '/dev/full', $path or die "$path: $!";
	return $path;
}

sql("SELECT stream_ingest.disable('t'); CREATE TABLE kept AS TABLE t; TRUNCATE t; CHECKPOINT");
my $path = full_disk();
send_more();
sql("SELECT stream_ingest.enable('t')");
is_wrong('full disk', 'retrying', '53100', 'disk_full');
unlink $path;
rename "$path.away", $path or die "$path: $!";
# a new file for the table: those who had the old one open forget it
sql('TRUNCATE t; INSERT INTO t TABLE kept');
is_right('full disk');

# Brokers away.
$kafka->kill9;
is_wrong('no broker', 'retrying', '08006', 'broker|refused|transport');
select(undef, undef, undef, $outage);
$kafka->start;
send_more();
is_right('no broker');

# ---- lasting ----

# A table that refuses everything.  Fewer than 100 rows that are refused alike are dead letters: all of a
# step must come as one batch, also where a busy machine's producer sends them a few at a time.
sql(q(SELECT stream_ingest.alter_subscription('t', options => '{"batch_interval": "3 s"}')));
sql('ALTER TABLE t ADD mandatory int; UPDATE t SET mandatory = 1; ALTER TABLE t ALTER mandatory SET NOT NULL');
send_more();
is_wrong('NOT NULL column', 'stopped', '23502',
	'all \d+ rows were refused alike, so the table or the mapping is wrong: 23502 \(not_null_violation\), column "mandatory"');
sql('ALTER TABLE t DROP mandatory');
is_right('NOT NULL column');

sql("
	CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		RAISE EXCEPTION 'never %', NEW.payload;
	END \$\$;
	CREATE TRIGGER never BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION never()");
send_more();
is_wrong('trigger', 'stopped', 'P0001', 'all \d+ rows were refused alike');
sql('DROP TRIGGER never ON t');
is_right('trigger');

sql('CREATE TRIGGER never AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION never()');
send_more();
is_wrong('trigger after', 'stopped', 'P0001', 'all \d+ rows were refused alike');
sql('DROP TRIGGER never ON t');
is_right('trigger after');
sql(q(SELECT stream_ingest.alter_subscription('t', options => '{"batch_interval": null}')));

# The plan itself.
sql('REVOKE INSERT ON t FROM app');
send_more();
is_wrong('privilege', 'stopped', '42501', 'permission denied for table t');
sql('GRANT INSERT ON t TO app');
is_right('privilege');

sql('ALTER TABLE t RENAME payload TO other_name; ALTER TABLE t ALTER other_name SET DEFAULT $$x$$;');
sql(q(SELECT stream_ingest.alter_subscription('t', mapping => '{"other_name": "payload"}')));
sql('ALTER TABLE t RENAME other_name TO payload');
send_more();
is_wrong('mapped column', 'stopped', '42703', 'other_name');
sql('ALTER TABLE t RENAME payload TO other_name');
is_right('mapped column');
sql(q(SELECT stream_ingest.alter_subscription('t', mapping => '{}'); ALTER TABLE t RENAME other_name TO payload));

sql('ALTER TABLE t RENAME TO t_before; CREATE TABLE t (LIKE t_before INCLUDING ALL); GRANT INSERT ON t TO app');
sql('CREATE TABLE kept_too AS TABLE t_before; DROP TABLE t_before');
send_more();
is_wrong('target dropped', 'stopped', '42P01', 'alter_subscription|does not exist');
sql("INSERT INTO t TABLE kept_too; SELECT stream_ingest.alter_subscription('t', target => 't')");
is_right('target dropped');

# The server.
sql("REVOKE USAGE ON FOREIGN SERVER kafka FROM app");
send_more();
ok( StreamIngest::poll_until(
		$node,
		"SELECT state IN ('stopped', 'retrying') AND reason ~ 'permission denied for foreign server kafka|has no USAGE on server' FROM stream_ingest.status"),
	'usage on the server: the reason');
sql('GRANT USAGE ON FOREIGN SERVER kafka TO app');
is_right('usage on the server');

my $bootstrap = $kafka->bootstrap;
sql("ALTER SERVER kafka OPTIONS (SET bootstrap_servers '127.0.0.1:1')");
send_more();
is_wrong('other address', 'retrying', '08006', '.');
sql("ALTER SERVER kafka OPTIONS (SET bootstrap_servers '$bootstrap')");
is_right('other address');

StreamIngest::lose_server($node, 'kafka');
send_more();
ok( StreamIngest::poll_until(
		$node,
		"SELECT state IN ('stopped', 'retrying') AND reason ~ 'server .kafka. does not exist' FROM stream_ingest.status"),
	'server lost: the reason');
sql("
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	GRANT USAGE ON FOREIGN SERVER kafka TO app");
ok( StreamIngest::poll_until(
		$node,
		"SELECT state = 'stopped' AND reason ~ 'server .kafka. is not the one' FROM stream_ingest.status"),
	'server lost: another one of the name is not taken');
sql('SELECT stream_ingest.enable(name) FROM stream_ingest.subscriptions');
is_right('server lost');

$node->stop;
done_testing();
