# One server reads a topic into a partitioned table whose partitions are foreign
# tables of postgres_fdw on two other servers, while each of the three is killed
# and comes back, and workers end in the middle of batches.  A batch is committed
# there before it is here, so rows that are inserted arrive at least once; those
# that are upserted by a key are exact.
#
# Message i has the id i; each comes twice, with version 1 and then 2.  SEED
# chooses when workers end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;
use Time::HiRes qw(usleep);

my $ids = 2_000;
my $seed = $ENV{SEED} // int(rand(1_000_000));
note("SEED=$seed");
srand($seed);

my $kafka = StreamIngest::start_kafka();
my $main = StreamIngest::new_node('main', kafka => $kafka);
my @shards;

foreach my $i (0 .. 1)
{
	$shards[$i] = PostgreSQL::Test::Cluster->new("shard_$i");
	$shards[$i]->init;
	$shards[$i]->start;
	$shards[$i]->safe_psql('postgres', q{
		CREATE TABLE log (id bigint, version int);
		CREATE TABLE latest (id bigint PRIMARY KEY, version int)});
}

sub sql { return $main->safe_psql('postgres', $_[0]); }

# The first partition is here, the others are elsewhere.
my $user = sql('SELECT current_user');
sql('CREATE EXTENSION postgres_fdw');
foreach my $table (qw(log latest))
{
	sql("CREATE TABLE $table (id bigint, version int) PARTITION BY HASH (id);
		CREATE TABLE ${table}_here PARTITION OF $table FOR VALUES WITH (MODULUS 3, REMAINDER 2)");
}
foreach my $i (0 .. 1)
{
	my ($host, $port) = ($shards[$i]->host, $shards[$i]->port);

	sql(qq{
		CREATE SERVER shard_$i FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres', batch_size '100');
		CREATE USER MAPPING FOR PUBLIC SERVER shard_$i OPTIONS (user '$user')});
	sql("CREATE FOREIGN TABLE ${_}_$i PARTITION OF $_ FOR VALUES WITH (MODULUS 3, REMAINDER $i) SERVER shard_$i OPTIONS (table_name '$_')")
	  foreach qw(log latest);
}

# by key, so that the versions of an id are in one partition, in order
$kafka->create_topic('t', 2);
$kafka->produce('t', [ map { my $v = $_; map { "$_ {\"id\": $_, \"version\": $v}" } 1 .. $ids } 1 .. 2 ], key_separator => ' ');
sql(q{
	SELECT stream_ingest.create_subscription('log', 'kafka', 't', 'log', options => '{"batch_size": 100, "rate_limit": 200}');
	SELECT stream_ingest.create_subscription('latest', 'kafka', 't', 'latest', insert_mode => 'upsert', key_columns => '{id}',
		options => '{"batch_size": 100, "rate_limit": 200}')});

# ---- each server is killed, and workers end ----

sub rows_arrive
{
	my ($query) = @_;
	my $before = sql($query);

	ok(StreamIngest::poll_until($main, "SELECT ($query) > $before"), "rows arrive ($before before)");
	return;
}

my $applied = 'SELECT sum(applied) FROM stream_ingest.counts';
rows_arrive($applied);
foreach my $node (@shards, $main)
{
	$node->stop('immediate');
	$node->start;
	rows_arrive($applied);
}
sql(qq{SELECT stream_ingest.alter_subscription('$_', options => '{"rate_limit": 800}')}) foreach qw(log latest);
for (1 .. 10)
{
	usleep(int(rand(200_000)));
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'});
}

# ---- the sum ----

foreach my $name (qw(log latest))
{
	sql(qq{SELECT stream_ingest.alter_subscription('$name', options => '{"rate_limit": null}')});
	is(sql(qq{SELECT stream_ingest.wait_until_caught_up('$name', timeout => '180 s')}), 't', "$name catches up");
}
is(sql('SELECT count(*), count(DISTINCT id), sum(version) FROM latest'), "$ids|$ids|" . 2 * $ids,
	'of each key there is one row, with its last version');
is(sql('SELECT count(*) FROM (SELECT DISTINCT id, version FROM log) a'), 2 * $ids, 'no message is missing where all are inserted');
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'a server that is away costs no message');
my $twice = sql('SELECT count(*) FROM log') - 2 * $ids;
note("$twice rows came twice to the other servers");
is(sql('SELECT count(*) - count(DISTINCT (id, version)) FROM log_here WHERE id IN (SELECT id FROM log_here)'), 0,
	'what is written here came once');
cmp_ok(sql('SELECT count(DISTINCT tableoid) FROM latest'), '==', 3, 'all three servers have rows');

done_testing();
