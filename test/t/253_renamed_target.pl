# The name of a target, by which it is found again where the database is restored or
# copied, is the one that it had last; and a row of subscription that is changed by hand
# starts no workers without an end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main');
my $bootstrap = $kafka->bootstrap;
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

sub work { return $node->safe_psql('work', $_[0]); }

# Waits until the query has this answer in a database.
sub becomes
{
	my ($database, $query, $expected, $name) = @_;

	return ok($node->poll_query_until($database, $query, $expected), $name);
}

my $stored = q{SELECT target_name FROM stream_ingest.subscription WHERE name = 's'};

$kafka->create_topic('t', 1);
$kafka->produce('t', ['{"id": 1}'], partition => 0);
$node->safe_psql('postgres', 'CREATE DATABASE work');
work(qq{
	CREATE EXTENSION stream_ingest;
	CREATE SERVER k FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	CREATE SCHEMA current;
	CREATE TABLE current.t (id int);
	SELECT stream_ingest.create_subscription('s', 'k', 't', 'current.t')});
becomes('work', 'SELECT count(*) FROM current.t', 1, 'it streams');

# ---- names are followed ----

work('BEGIN; ALTER TABLE current.t RENAME TO rolled_back; ROLLBACK');
work('ALTER TABLE current.t RENAME TO "t old"');
becomes('work', $stored, 'current."t old"', 'a new name of the table is stored');
work('CREATE SCHEMA archive; ALTER TABLE current."t old" SET SCHEMA archive');
becomes('work', $stored, 'archive."t old"', 'and its new schema');
work('ALTER SCHEMA archive RENAME TO archive2');
becomes('work', $stored, 'archive2."t old"', 'and a new name of that');
work(q{SELECT stream_ingest.disable('s')});
work('ALTER SCHEMA archive2 RENAME TO archive');
becomes('work', $stored, 'archive."t old"', 'also while the subscription is disabled');
work('ALTER TABLE archive."t old" RENAME TO t');
becomes('work', $stored, 'archive.t', 'and another one');

# ---- a table that has the former name ----

# it takes no message: neither in a copy made by the server, nor in one that is restored
work('CREATE TABLE current.t (LIKE archive.t)');
becomes('work', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'work' AND pid <> pg_backend_pid()}, 0, 'nothing of ours is connected');
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE work');
$node->command_ok([ 'pg_dump', '-Fp', '-f', $dump, '-h', $node->host, '-p', $node->port, 'work' ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-h', $node->host, '-p', $node->port, 'restored' ], 'is restored');
$kafka->produce('t', ['{"id": 2}'], partition => 0);
foreach my $database (qw(copied restored))
{
	$node->safe_psql($database, q{SELECT stream_ingest.enable('s')});
	becomes($database, 'SELECT count(*) FROM archive.t', 2, "$database: the table that was the target continues as such");
	is($node->safe_psql($database, 'SELECT count(*) FROM current.t'), 0, "$database: and not the one that has its former name");
	$node->safe_psql($database, q{SELECT stream_ingest.disable('s')});
}

# ---- a row that something else has changed ----

work(q{SELECT stream_ingest.enable('s')});
becomes('work', 'SELECT count(*) FROM archive.t', 2, 'it streams again');
work(q{UPDATE stream_ingest.subscription SET enabled = false});
my $log_end = -s $node->logfile;
work(q{ALTER SERVER k OPTIONS (ADD client_id 'another')});
becomes('work', q{SELECT state FROM stream_ingest.status}, 'disabled', 'a row that was changed by hand is noticed when its worker starts again');
becomes('work', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'}, 0, 'and no worker is left');
my $starts = () = slurp_file($node->logfile, $log_end) =~ /worker 0 of subscription "s" has started/g;
cmp_ok($starts, '<', 10, "few were started for it ($starts)");

done_testing();
