# examples/user_sessions on a real broker: every message becomes a row, once,
# with one worker and with three.
#
# The rows' checksum must be the generator's.  STREAM_INGEST_FULL=1 sends
# 1,000,000 messages instead of 60,000; SEED chooses other messages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $full = $ENV{STREAM_INGEST_FULL};
my $count = $full ? 1_000_000 : 60_000;
my $seed = $ENV{SEED} // 1;
my $partitions = 3;
my $limit = $full ? 900 : $PostgreSQL::Test::Utils::timeout_default;

my $example = "$FindBin::RealBin/../../examples/user_sessions";
my $messages = "$PostgreSQL::Test::Utils::tmp_check/user_sessions.json";
my $topic = 'driven_data_stream';

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

note("$count messages, seed $seed");
system_or_bail('sh', '-c', 'exec python3 "$0" "$1" "$2" > "$3"',
	"$example/generate.py", $count, $seed, $messages);
my $expected = `python3 $example/generate.py --checksum $count $seed`;
chomp $expected;

$kafka->create_topic($topic, $partitions);
is($kafka->produce($topic, file => $messages, round_robin => $partitions),
	$count, 'all messages are in the topic');
my $ends = join(',', map { $kafka->end_offset($topic, $_) } 0 .. $partitions - 1);

sql(slurp_file("$example/schema.sql"));
my $checksum = slurp_file("$example/checksum.sql");

foreach my $workers (1, 3)
{
	my $name = "with_$workers";
	my $began = time();

	sql('TRUNCATE streaming_layer.streaming_data');
	sql("SELECT stream_ingest.create_subscription('$name', 'kafka', '$topic', "
		  . "'streaming_layer.streaming_data', options => '{\"workers\": $workers}')");
	is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"),
		't', "$workers worker(s) have read all")
	  or diag(sql('TABLE stream_ingest.status'));
	my $took = time() - $began;

	note(sprintf('%d worker(s): %.1f s, %.0f messages/s, start included',
			$workers, $took, $count / $took));
	is(sql($checksum), $expected, 'number of rows and checksum are those of the generator');
	is(sql("SELECT string_agg(next_offset::text, ',' ORDER BY partition) "
			  . "FROM stream_ingest.offsets WHERE name = '$name'"),
		$ends, 'next offsets are the ends of the partitions');
	is(sql("SELECT messages, applied, inserted, ignored, gap_messages "
			  . "FROM stream_ingest.counts WHERE name = '$name'"),
		"$count|$count|$count|0|0", 'the counts are exact');
	ok(StreamIngest::poll_until(
			$node,
			"SELECT count(*), string_agg(DISTINCT state, ',') "
			  . "FROM stream_ingest.status WHERE name = '$name'",
			"$workers|streaming"),
		"$workers worker(s) are streaming");
	sql("SELECT stream_ingest.drop_subscription('$name')");
}

done_testing();
