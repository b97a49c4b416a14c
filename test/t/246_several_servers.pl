# Four database servers share a topic of twelve partitions by the option
# "partitions".  While messages flow, one of them is killed and comes back, and
# one partition moves to another server and back: together they have every message
# once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $partitions = 12;
my $messages = 48_000;
my $kafka = StreamIngest::start_kafka();
my @shares = ('0-2', '3-5', '6-8', '9-11');
my @nodes;

sub on
{
	my ($i, $query) = @_;

	return $nodes[$i]->safe_psql('postgres', $query);
}

sub rows_arrive
{
	my ($i, $count) = @_;

	ok(StreamIngest::poll_until($nodes[$i], "SELECT count(*) > $count FROM t"), "server $i is at work");
	return;
}

$kafka->create_topic('t', $partitions);
foreach my $i (0 .. 3)
{
	push @nodes, StreamIngest::new_node("server_$i", kafka => $kafka, conf => { max_worker_processes => 8 });
	on($i, qq{
		CREATE TABLE t (id bigint, payload text);
		SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't',
			options => '{"partitions": "$shares[$i]", "rate_limit": 300, "batch_size": 200}')});
}
my $producer = $kafka->produce_start('t', count => $messages, round_robin => $partitions);
rows_arrive($_, 300) foreach 0 .. 3;

# ---- one server is killed, and comes back ----

$nodes[1]->stop('immediate');
$nodes[1]->start;

# ---- partition 2 moves from server 0 to server 3, and back ----

# The giver stops at an offset, from which the taker continues.
sub stop_giving
{
	my ($i, $partition, $share) = @_;

	on($i, q{SELECT stream_ingest.disable('s')});
	my $offset = on($i, "SELECT next_offset FROM stream_ingest.offsets WHERE partition = $partition");
	on($i, qq{SELECT stream_ingest.alter_subscription('s', options => '{"partitions": "$share"}');
		SELECT stream_ingest.enable('s')});
	note("partition $partition left server $i at offset $offset");
	return $offset;
}

my $offset = stop_giving(0, 2, '0-1');
on(3, qq{SELECT stream_ingest.alter_subscription('s', options => '{"partitions": "2,9-11", "start": {"2": $offset}}')});
ok(StreamIngest::poll_until($nodes[3], 'SELECT count(*) > 100 FROM t WHERE id % 12 = 2'), 'the taker reads it');
my $back = stop_giving(3, 2, '9-11');

# which has read it before, and would continue where it was
on(0, qq{SELECT stream_ingest.disable('s'); SELECT stream_ingest.alter_subscription('s', options => '{"partitions": "0-2"}');
	SELECT stream_ingest.seek('s', 2, $back); SELECT stream_ingest.enable('s')});

# ---- the sum ----

StreamIngest::produce_wait($producer);
my ($sum, %seen) = (0);
foreach my $i (0 .. 3)
{
	on($i, q{SELECT stream_ingest.alter_subscription('s', options => '{"rate_limit": null}')});
	is(on($i, q{SELECT stream_ingest.wait_until_caught_up('s', timeout => '180 s')}), 't', "server $i catches up");
	my @rows = split /\n/, on($i, 'SELECT id FROM t');
	$sum += @rows;
	$seen{$_}++ foreach @rows;
	is(on($i, 'SELECT applied FROM stream_ingest.counts'), scalar @rows, "server $i: its counts say what it has");
}
is($sum, $messages, 'together they have as many rows as there are messages');
is(scalar keys %seen, $messages, 'every message once');
is( on(3, 'SELECT min(id), max(id), count(*) FROM t WHERE id % 12 = 2'),
	join('|', $offset * 12 + 2, ($back - 1) * 12 + 2, $back - $offset), 'the taker has just what it read of the moved partition');

done_testing();
