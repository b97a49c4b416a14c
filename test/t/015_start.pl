# Where a subscription starts and seeks to by time, which the embedded broker
# of the SQL tests does not know.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

sub caught_up
{
	my ($name) = @_;

	return $node->safe_psql('postgres', "SELECT stream_ingest.wait_until_caught_up('$name', '3 min')");
}

# Two lots of messages, and a time in between: that of the server's clock,
# which is the producer's, when it has gone on by two milliseconds.
$kafka->create_topic('t', 2);
$kafka->produce('t', count => 10, round_robin => 2);
my $between = $node->safe_psql(
	'postgres', q{
	DO $$ DECLARE began timestamptz := clock_timestamp();
	BEGIN WHILE clock_timestamp() < began + interval '2 ms' LOOP END LOOP; END $$;
	SELECT clock_timestamp();
	DO $$ DECLARE began timestamptz := clock_timestamp();
	BEGIN WHILE clock_timestamp() < began + interval '2 ms' LOOP END LOOP; END $$});
$kafka->produce('t', count => 10, first => 10, round_robin => 2);

$node->safe_psql(
	'postgres', qq{
	CREATE TABLE since (id bigint, payload text);
	CREATE TABLE each (LIKE since);
	CREATE TABLE future (LIKE since);
	SELECT stream_ingest.create_subscription('since', 'kafka', 't', 'since', options => '{"start": "$between"}');
	SELECT stream_ingest.create_subscription('each', 'kafka', 't', 'each',
		options => '{"start": {"0": "$between", "1": "earliest"}}');
	SELECT stream_ingest.create_subscription('future', 'kafka', 't', 'future', options => '{"start": "2100-01-01"}')});
is(caught_up($_), 't', "$_: caught up") foreach qw(since each future);
is($node->safe_psql('postgres', 'SELECT count(*), min(id), max(id) FROM since'),
	'10|10|19', 'start at a time');
is($node->safe_psql('postgres', 'SELECT count(*), count(*) FILTER (WHERE id % 2 = 0) FROM each'),
	'15|5', 'start at a time in one partition');
is($node->safe_psql('postgres', 'SELECT count(*) FROM future'), 0, 'a time beyond the end is the end');

$kafka->produce('t', count => 2, first => 20, round_robin => 2);
is(caught_up($_), 't', "$_: caught up again") foreach qw(since future);
is($node->safe_psql('postgres', 'SELECT count(*) FROM future'), 2, 'and what comes then is taken');

# back to the time in between, while it runs
$node->safe_psql('postgres', qq{SELECT stream_ingest.seek('future', '$between')});
is(caught_up('future'), 't', 'caught up after the seek');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id), min(id) FROM future'),
	'14|12|10', 'seek to a time');

# forward beyond the end: what was passed over is a gap, and no message
$node->safe_psql('postgres', q{SELECT stream_ingest.disable('since')});
$kafka->produce('t', count => 4, first => 22, round_robin => 2);
$node->safe_psql('postgres', q{SELECT stream_ingest.seek('since', '2100-01-01'); SELECT stream_ingest.enable('since')});
is(caught_up('since'), 't', 'caught up after the forward seek');
is( $node->safe_psql('postgres',
		q{SELECT count(*), sum(to_offset - from_offset), min(reason) FROM stream_ingest.gaps WHERE name = 'since'}),
	'2|4|seek', 'a forward seek leaves gaps');
is( $node->safe_psql('postgres',
		q{SELECT messages, applied, gap_messages FROM stream_ingest.counts WHERE name = 'since'}),
	'12|12|0', 'and counts nothing');

done_testing();
