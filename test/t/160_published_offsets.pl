# Progress as Kafka's own tools show it: the same lag as the view offsets, never
# ahead of the table; left for Kafka to forget when the subscription is dropped
# or publishes elsewhere; and credentials that may not commit cost a line in the
# log.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $limit = $PostgreSQL::Test::Utils::timeout_default;

# clients of the first listener may do everything, those of the second what they are allowed
my $kafka = StreamIngest::start_kafka(
	config => [
		'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
		'super.users=User:ANONYMOUS' ]);
my $sasl = $kafka->add_sasl(reader => 'secret');
my $node = StreamIngest::new_node('main', kafka => $kafka);

# Calls until it gives what is wanted; for what is not asked by SQL.
sub comes
{
	my ($call, $expected, $what) = @_;
	my $deadline = time() + $limit;
	my $got;

	while (1)
	{
		$got = $call->();
		last if $got eq $expected || time() > $deadline;
		select(undef, undef, undef, 0.1);
	}
	is($got, $expected, $what);
	return;
}

# The offsets of a group, in one line: "t0=5 t1=7".  Asked until the broker tells.
sub published
{
	my ($group) = @_;
	my $deadline = time() + $limit;
	my $offsets;

	while (($offsets = $kafka->group_offsets($group)) eq 'unknown')
	{
		return $offsets if time() > $deadline;
		select(undef, undef, undef, 0.1);
	}
	return join(' ', map { "$_->[0]$_->[1]=$_->[2]" } map { [ split ' ' ] } split /\n/, $offsets);
}

sub log_lines
{
	my ($pattern) = @_;

	return scalar grep { /$pattern/ } split /\n/, slurp_file($node->logfile);
}

# The view's answer in the form of describe_group.
sub view
{
	return sql("SELECT string_agg(concat_ws(' ', partition, next_offset, lag), ',' ORDER BY partition)"
		  . " FROM stream_ingest.offsets WHERE name = 's'");
}

sub described { return join(',', $kafka->describe_group('stream_ingest.postgres.s', 't')); }

my $made = 0;

sub produce
{
	my ($topic, $partition, $count) = @_;

	$kafka->produce($topic, [ map { '{"id": ' . ++$made . '}' } 1 .. $count ], partition => $partition);
	return;
}

# ---- the same lag ----

$kafka->create_topic('t', 3);
sql('CREATE TABLE t (id bigint)');
produce('t', 0, 100);
produce('t', 1, 50);
sql("SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't')");
comes(\&published_s, 't0=100 t1=50 t2=0', 'offsets are published, also of a partition without messages');
sub published_s { return published('stream_ingest.postgres.s'); }
# (Kafka's tool gives up after five seconds)
comes(\&described, '0 100 0,1 50 0,2 0 0', 'kafka-consumer-groups shows no lag');
comes(\&view, '0 100 0,1 50 0,2 0 0', 'and so does the view');

my $blocker = $node->background_psql('postgres');
$blocker->query_safe('BEGIN; LOCK TABLE t');
produce('t', 1, 20);
produce('t', 2, 7);
comes(\&view, '0 100 0,1 50 20,2 0 7', 'behind');
comes(\&described, '0 100 0,1 50 20,2 0 7', 'kafka-consumer-groups shows the same lag');
$blocker->query_safe('COMMIT');
comes(\&published_s, 't0=100 t1=70 t2=7', 'caught up again');
comes(\&described, '0 100 0,1 70 0,2 7 0', 'Kafka\'s tool says so');
comes(\&view, '0 100 0,1 70 0,2 7 0', 'and so does the view');

# what is published is in the table
sql("SELECT stream_ingest.alter_subscription('s', options => '{\"rate_limit\": 100}')");
produce('t', 0, 1500);
my $ahead = 0;
my %seen;
comes(
	sub {
		my ($published) = published_s() =~ /t0=(\d+)/;
		my $applied = sql("SELECT count(*) FROM t");

		$seen{$published} = 1;
		$ahead++ if defined $published && $published + 77 > $applied;
		return $published;
	},
	1600,
	'a slow subscription gets to the end');
is($ahead, 0, 'what was published was in the table, each time');
cmp_ok(keys %seen, '>=', 3, 'published meanwhile: ' . join(' ', sort { $a <=> $b } keys %seen));
sql("SELECT stream_ingest.alter_subscription('s', options => '{\"rate_limit\": null}')");

# disabled half way: Kafka's tools see it fall behind
sql("SELECT stream_ingest.disable('s')");
produce('t', 2, 13);
comes(\&described, '0 1600 0,1 70 0,2 7 13', 'lag of a disabled subscription');
comes(\&view, '0 1600,1 70,2 7', 'which knows no end itself');
sql("SELECT stream_ingest.enable('s')");
comes(\&published_s, 't0=1600 t1=70 t2=20', 'enabled again');

# ---- what is left behind stays for Kafka to forget ----

sql("SELECT stream_ingest.alter_subscription('s', options => '{\"group_id\": \"stream_ingest.postgres.g\"}')");
comes(sub { published('stream_ingest.postgres.g') }, 't0=1600 t1=70 t2=20', 'another group, without any new message');
is(published_s(), 't0=1600 t1=70 t2=20', 'what was published under the former one stays');
sql("SELECT stream_ingest.alter_subscription('s', options => '{\"publish_offsets\": false}')");
produce('t', 2, 1);
ok(StreamIngest::poll_until($node, "SELECT next_offset FROM stream_ingest.offsets WHERE partition = 2", 21),
	'without publish_offsets rows arrive');
is(published('stream_ingest.postgres.g'), 't0=1600 t1=70 t2=20', 'and nothing is published');
$kafka->pause;
my $began = time();
sql("SELECT stream_ingest.drop_subscription('s')");
cmp_ok(time() - $began, '<', 10, sprintf('a drop does not wait for brokers (%.1f s)', time() - $began));
$kafka->resume;
is(published('stream_ingest.postgres.g'), 't0=1600 t1=70 t2=20', 'a drop leaves what was published');
$made = 0;

# ---- credentials that may not ----

sql("CREATE SERVER plain FOREIGN DATA WRAPPER stream_ingest OPTIONS"
	  . " (bootstrap_servers '$sasl', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');"
	  . " CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (sasl_username 'reader', sasl_password 'secret')");
$kafka->allow('reader', 'topic', 't', 'Read');
sql('TRUNCATE t');
sql("SELECT stream_ingest.create_subscription('r', 'plain', 't', 't', options => '{\"partitions\": \"2\"}')");
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM t', 21), 'rows come without rights on the group');
my $refusal = 'could not publish offsets to Kafka: .*[Gg]roup authorization failed';
comes(sub { log_lines($refusal) }, 1, 'that nothing is published is logged');
ok( StreamIngest::poll_until(
		$node,
		"SELECT state, reason, pid IS NOT NULL FROM stream_ingest.status"
		  . " WHERE last_error LIKE 'could not publish offsets to Kafka:%'",
		'streaming||t'),
	'and shown in status');
my $worker = StreamIngest::worker_pid($node, 'r');
foreach my $i (1 .. 4)
{
	$began = time();
	produce('t', 2, 1);
	StreamIngest::poll_until($node, 'SELECT count(*) FROM t', 21 + $i);
	cmp_ok(time() - $began, '<', 10, 'no message waits for it');
	# so that there is more than one publication
	my $until = time() + 3;
	comes(sub { time() > $until ? 1 : 0 }, 1, 'later');
}
is(log_lines($refusal), 1, 'it was said once');
is(StreamIngest::worker_pid($node, 'r'), $worker, 'by one and the same worker');
is(published('stream_ingest.postgres.r'), '', 'nothing was published');

$kafka->allow('reader', 'group', 'stream_ingest.', 'Read');
comes(sub { published('stream_ingest.postgres.r') }, 't2=25', 'the right is granted while it runs');
is(StreamIngest::worker_pid($node, 'r'), $worker, 'which needs no restart');

# ---- what is published survives a crash ----

# a lone commit stays in memory for seconds then
my $fragile = StreamIngest::new_node('fragile', kafka => $kafka, conf => { wal_writer_delay => '10s' });
my $durable = "SELECT next_offset FROM stream_ingest.offsets WHERE name = 'd'";

$kafka->create_topic('d', 1);
$fragile->safe_psql('postgres', 'CREATE TABLE d (id bigint)');
$fragile->safe_psql('postgres', "SELECT stream_ingest.create_subscription('d', 'kafka', 'd', 'd')");
foreach my $round (1 .. 2)
{
	$made = 0;
	ok(StreamIngest::poll_until($fragile, 'SELECT state FROM stream_ingest.status', 'streaming'), 'it streams');
	produce('d', 0, 1);
	ok(StreamIngest::poll_until($fragile, $durable, $round), "message $round is applied");
	comes(sub { published('stream_ingest.postgres.d') }, "d0=$round", 'published in the end');
	StreamIngest::crash($fragile);
	$fragile->append_conf('postgresql.conf', 'stream_ingest.enabled = off');
	$fragile->start;
	is($fragile->safe_psql('postgres', $durable), $round, 'and durable then');
	$fragile->append_conf('postgresql.conf', 'stream_ingest.enabled = on');
	$fragile->reload;
}

done_testing();
