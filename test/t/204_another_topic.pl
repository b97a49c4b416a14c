# What is known of the topic that is read, by its id and its cluster's: another one of
# the same name is not read from the middle, and an id that is not known is no other.
#
# Old versions of librdkafka tell no ids of topics; there the ids of clusters stand for
# them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use EvilBroker;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $zero = 'A' x 22;

sub caught_up
{
	my ($what) = @_;

	return is(sql("SELECT stream_ingest.wait_until_caught_up('t', '$limit s')"), 't', $what)
	  || diag(sql("SELECT * FROM stream_ingest.status WHERE name = 't'"));
}

# ---- ids that are not known ----

sql('CREATE TABLE t (id int, payload text)');
$kafka->create_topic('t', 1);
$kafka->produce('t', count => 10, partition => 0);
sql(q{SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't')});
caught_up('a topic is read');

my $topic_id = sql('SELECT topic_id FROM stream_ingest.progress');
my $cluster_id = sql('SELECT cluster_id FROM stream_ingest.progress');

isnt($topic_id, $zero, 'an id of a topic is no zero');
isnt($cluster_id, '', 'the id of the cluster is known');

# as a former version stored a topic's id that the broker did not know
sql(q{SELECT stream_ingest.disable('t')});
poll('SELECT count(pid) FROM stream_ingest.status', 0);
sql("UPDATE stream_ingest.progress SET topic_id = '$zero', cluster_id = ''");
$kafka->produce('t', count => 10, first => 10, partition => 0);
sql(q{SELECT stream_ingest.enable('t')});
caught_up('a subscription that knows no ids continues');
is(sql('SELECT count(*), count(DISTINCT id) FROM t'), '20|20', 'where it was');
is(sql('SELECT cluster_id FROM stream_ingest.progress'), $cluster_id, 'and knows the cluster then');
SKIP:
{
	skip 'librdkafka tells no ids of topics', 4 if $topic_id eq '';
	is(sql('SELECT topic_id FROM stream_ingest.progress'), $topic_id, 'and the topic');

	# the worker stands still while the topic becomes another one, which has its offset
	my $pid = StreamIngest::worker_pid($node, 't');

	StreamIngest::suspend($pid);
	$kafka->delete_topic('t');
	$kafka->create_topic('t', 1);
	$kafka->produce('t', count => 100, first => 1000, partition => 0);
	kill('CONT', $pid);
	ok(poll("SELECT reason ~ '^topic recreated' FROM stream_ingest.status WHERE state = 'stopped'", 't'),
		'a topic that is recreated while it is read is noticed');
	is( sql('SELECT from_offset = (SELECT count(*) FROM t), to_offset FROM stream_ingest.gaps'),
		't|', 'with a gap behind what was read until then');
	sql(q{SELECT stream_ingest.enable('t')});
	caught_up('enable begins with the new one');
}

# ---- another cluster behind the same address ----

my $file = $node->basedir . '/cluster';

sub set_cluster { StreamIngest::replace_file($file, $_[0]); return; }

set_cluster('one');

my $broker = EvilBroker::start(words_file => $file);

sql(qq{
	CREATE SERVER moving FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '@{[ $broker->bootstrap ]}');
	SELECT stream_ingest.create_subscription('moving', 'moving', 't', 't')});
ok(poll("SELECT count(*) FROM stream_ingest.progress WHERE cluster_id = 'one'", 1), 'a cluster is known by its id');
StreamIngest::worker_pid($node, 'moving');
set_cluster('two');
ok(poll("SELECT reason ~ '^another cluster' FROM stream_ingest.status WHERE name = 'moving' AND state = 'stopped'", 't'),
	'another one behind its address is noticed while the topic is read');
sql(q{SELECT stream_ingest.enable('moving')});
ok(poll("SELECT count(*) FROM stream_ingest.progress WHERE cluster_id = 'two'", 1), 'and read from its beginning after enable');

done_testing();
