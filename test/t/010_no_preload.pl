# The extension beside the life of its server: without preloading, databases
# that are dropped, shutdowns, standbys and restored dumps.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;
use Time::HiRes qw(time);

# much more than any of this takes, less than the timeouts of the server and Kafka
my $seconds = 25;

#
# Without shared_preload_libraries functions say what to set, and nothing runs.
#
my $bare = StreamIngest::new_node('bare', conf => { shared_preload_libraries => '' });
my $hint = qr/must be loaded when the server starts.*shared_preload_libraries/s;

$bare->safe_psql(
	'postgres', q{
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers 'localhost:1');
	CREATE TABLE t (id int)});
foreach my $call (
	q{create_subscription('s', 'kafka', 't', 't')},
	q{alter_subscription('s', topic => 'u')},
	q{drop_subscription('s')},
	q{drop_subscription('s', if_exists => true)},
	q{set_owner('s', current_user::regrole)},
	q{enable('s')},
	q{disable('s')},
	q{seek('s', 'earliest')},
	q{seek('s', 0, 0)},
	q{wait_until_caught_up('s')},
	q{retry_dead_letters('s')},
	q{discard_dead_letters('s')},
	q{reset_counts('s')})
{
	my ($rc, $out, $err) = $bare->psql('postgres', "SELECT stream_ingest.$call");

	like($err, $hint, "without preloading: $call");
}
foreach my $view (qw(subscriptions status offsets counts dead_letters gaps))
{
	is($bare->safe_psql('postgres', "SELECT count(*) FROM stream_ingest.$view"),
		0, "without preloading: view $view");
}
# a mistyped option is still found
my ($rc, $out, $err) = $bare->psql('postgres', "ALTER SERVER kafka OPTIONS (ADD bootstrap_server 'x')");
like($err, qr/Perhaps you meant "bootstrap_servers"/, 'without preloading: options are checked');
$bare->safe_psql('postgres', 'DROP EXTENSION stream_ingest CASCADE');
$bare->stop('fast');

#
# One subscription that streams, to be met again below.
#
my $kafka = StreamIngest::start_kafka();
my $node = PostgreSQL::Test::Cluster->new('main');

$node->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--no-locale' ]);
$node->append_conf('postgresql.conf', $_)
  foreach ("shared_preload_libraries = 'stream_ingest'", 'max_worker_processes = 24', "timezone = 'UTC'");
$node->start;

# Makes the extension, the server and a subscription to topic t in a database.
sub subscribe
{
	my ($database) = @_;
	my $bootstrap = $kafka->bootstrap;

	$node->safe_psql(
		$database, qq{
		CREATE EXTENSION stream_ingest;
		CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
		CREATE TABLE t (id bigint, payload text);
		SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't')});
	return;
}

sub caught_up
{
	my ($server, $database) = @_;

	return $server->safe_psql($database // 'postgres',
		"SELECT stream_ingest.wait_until_caught_up('s', '3 min')");
}

my $rows = 'SELECT count(*), count(DISTINCT id), sum(id) FROM t';
my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'";

$kafka->create_topic('t', 2);
$kafka->produce('t', count => 1000, round_robin => 2);
subscribe('postgres');
is(caught_up($node), 't', 'caught up');
is($node->safe_psql('postgres', $rows), '1000|1000|499500', 'all rows');

#
# DROP DATABASE, with workers in it
#
$node->safe_psql('postgres', 'CREATE DATABASE other');
subscribe('other');
is(caught_up($node, 'other'), 't', 'caught up in another database');
is($node->safe_psql('postgres', "$workers AND datname = 'other'"), 1, 'a worker runs there');

# who may not drop it cannot stop the stream
my $pid = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND datname = 'other'";
my $before = $node->safe_psql('postgres', $pid);
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
($rc, $out, $err) = $node->psql('postgres', 'SET ROLE nobody; DROP DATABASE other');
like($err, qr/must be owner of database other/, 'DROP DATABASE by a stranger');
is($node->safe_psql('postgres', $pid), $before, 'its worker was left alone');

my $began = time();
$node->safe_psql('postgres', 'DROP DATABASE other');
cmp_ok(time() - $began, '<', $seconds, 'DROP DATABASE with a worker running');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'other'"),
	0, 'it is gone');

#
# A restored dump is a copy: it reads nothing until enable is called.
#
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');

# another table of that name's OID, so that an OID kept by mistake would show
$node->safe_psql('restored', 'CREATE TABLE elsewhere (id bigint, payload text)');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ],
	'restore');
$kafka->produce('t', count => 500, first => 1000, round_robin => 2);
is(caught_up($node), 't', 'the original continues');

$began = time();
$node->restart;
cmp_ok(time() - $began, '<', $seconds, 'restart with workers running');
sub restored_status
{
	my ($expected, $name) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $is;

	do
	{
		$is = $node->safe_psql('restored', q{SELECT state, split_part(reason, ';', 1) FROM stream_ingest.status});
		select(undef, undef, undef, 0.05) if $is ne $expected;
	} while ($is ne $expected && time() < $deadline);
	return is($is, $expected, $name);
}
restored_status('stopped|this database is a copy', 'the restored subscription is stopped');
is($node->safe_psql('restored', $rows), '1000|1000|499500', 'it has the rows of the dump');
is($node->safe_psql('postgres', "$workers AND datname = 'restored'"), 0, 'and no worker');
is( $node->safe_psql('restored', 'SELECT sum(next_offset) FROM stream_ingest.offsets'),
	1000, 'and the offsets of the dump');
$node->safe_psql('restored', "SELECT stream_ingest.enable('s')");
is(caught_up($node, 'restored'), 't', 'enabled, it catches up');
is($node->safe_psql('restored', $rows), '1500|1500|1124250', 'nothing is missing, nothing double');
is( $node->safe_psql('restored', 'SELECT messages, inserted FROM stream_ingest.counts'),
	'1500|1500', 'counts continue from the dump');
is( $node->safe_psql('restored',
		q{SELECT target = 't'::regclass FROM stream_ingest.subscriptions}),
	't', 'the target was found by its name');
is(caught_up($node), 't', 'the original has restarted');
is($node->safe_psql('postgres', $rows), '1500|1500|1124250', 'nothing is missing or double there');
$node->safe_psql('postgres', 'DROP DATABASE restored');

#
# A standby reads nothing; promoted, it continues where the primary was.
#
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$kafka->produce('t', count => 500, first => 1500, round_robin => 2);
is(caught_up($node), 't', 'the primary continues');
# the worker's commits are asynchronous, so they need not be in the flushed WAL yet
ok(StreamIngest::poll_until($standby, $rows, '2000|2000|1999000'), 'the standby has its rows');
is( $standby->safe_psql('postgres', q{SELECT DISTINCT state, split_part(reason, ';', 1) FROM stream_ingest.status}),
	'stopped|the server is a standby',
	'status of the standby');
is( $standby->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'stream_ingest%'"),
	0, 'no process of ours on the standby');
($rc, $out, $err) = $standby->psql('postgres', "SELECT stream_ingest.disable('s')");
like($err, qr/cannot execute disable\(\) (in a read-only transaction|during recovery)/,
	'nothing can be changed on the standby');

#
# Fast shutdown, also with brokers that do not answer
#
my $silent = IO::Socket::INET->new(Listen => 10, LocalAddr => '127.0.0.1')
  or die "could not listen: $!";
my $port = $silent->sockport;
$node->safe_psql(
	'postgres', qq{
	CREATE SERVER silent FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:$port');
	CREATE SERVER refused FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:1');
	SELECT stream_ingest.create_subscription('silent', 'silent', 't', 't');
	SELECT stream_ingest.create_subscription('refused', 'refused', 't', 't')});
ok( StreamIngest::poll_until($node,
		q{SELECT count(*) FROM stream_ingest.status WHERE name IN ('silent', 'refused') AND pid IS NOT NULL}, 2),
	'workers of brokers that do not answer');
ok( StreamIngest::poll_until($node,
		q{SELECT state FROM stream_ingest.status WHERE name = 'refused'}, 'retrying'),
	'brokers away: it retries');
$began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', $seconds, 'fast shutdown');

$standby->promote;
$kafka->produce('t', count => 500, first => 2000, round_robin => 2);
ok(StreamIngest::poll_until($standby, $rows, '2500|2500|3123750'), 'the promoted standby continues, exactly');
is(caught_up($standby), 't', 'caught up there');
is( $standby->safe_psql('postgres', q{SELECT messages, inserted FROM stream_ingest.counts WHERE name = 's'}),
	'2500|2500', 'its counts');
$began = time();
$standby->stop('fast');
cmp_ok(time() - $began, '<', $seconds, 'fast shutdown of the promoted standby');

done_testing();
