# Messages that are small, and large when they are decoded, or that hold memory
# where nothing counts it: the worker's memory stays bounded, each message is a row
# or a dead letter with its own error, and none is tried again for want of memory.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { 'stream_ingest.decode_ahead' => 'on' });

# The most memory that a process ever had, in MB.
sub peak
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;

	return int($kb / 1024);
}

# Have a subscription read a topic to its end; returns its worker's peak.
sub read_all
{
	my ($name, $messages) = @_;

	ok(StreamIngest::poll_until($node,
			"SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = '$name'", $messages),
		"$name: all messages are dealt with");
	my $peak = peak(StreamIngest::worker_pid($node, $name));
	note("worker of $name: $peak MB");
	sql("SELECT stream_ingest.disable('$name')");
	return $peak;
}

# An Avro message of an id below 64, and of so many decimals that have 16,383 digits
# each, in hexadecimal.
sub decimals
{
	my ($id, $n) = @_;
	my $count = '';

	for (my $rest = 2 * $n; $rest > 0; $rest >>= 7)
	{
		$count .= sprintf('%02x', ($rest & 127) | ($rest > 127 ? 128 : 0));
	}
	return sprintf('%02x', 2 * $id) . $count . ('feff010201' x $n) . '00';
}

# 20 messages become 240 MB each, which is too much for a message; 12 become 50 MB
# each, which is not, but all of them would be too much for a batch
my $schema = '{"type": "record", "name": "r", "fields": [{"name": "id", "type": "int"}, {"name": "a", "type":'
  . ' {"type": "array", "items": {"type": "record", "name": "n", "connect.name": "io.debezium.data.VariableScaleDecimal",'
  . ' "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}]}}}]}';

$kafka->create_topic('decimals', 1);
$kafka->produce('decimals', [ map { $_ % 8 < 5 ? decimals($_, 15_000) : decimals($_, 1500) } 0 .. 31 ],
	partition => 0, hex => 1);
sql('CREATE TABLE decimals (id int, a jsonb)');
sql("SELECT stream_ingest.create_subscription('decimals', 'kafka', 'decimals', 'decimals', format => 'avro',
	options => jsonb_build_object('schema', \$\$$schema\$\$))");
cmp_ok(read_all('decimals', 32), '<', 700, 'decimals: the worker had less than 700 MB');
is( sql("SELECT count(*), string_agg(DISTINCT sqlstate || ' ' || error, ', '), sum(octet_length(value)), bool_and(message_offset % 8 < 5)
		FROM stream_ingest.dead_letters WHERE name = 'decimals'"),
	'20|54000 the message is too large when it is decoded|' . 20 * 75_005 . '|t',
	'decimals: those that are too large are dead letters, with their values');
is(sql("SELECT count(*), count(DISTINCT id), min(jsonb_array_length(a)), max(jsonb_array_length(a)), bool_and(id % 8 >= 5) FROM decimals"),
	'12|12|1500|1500|t', 'decimals: the others are rows');
is(sql("SELECT messages, applied, dead_letters, batches > 5 FROM stream_ingest.counts WHERE name = 'decimals'"),
	'32|12|20|t', 'decimals: in batches that are not too large');

# a preview of them takes several batches, too
sql(q{SELECT stream_ingest.seek('decimals', 'earliest')});
is(sql(q{SELECT count(row_data), count(error), count(*) FROM stream_ingest.preview('decimals', 32)}), '12|20|32', 'decimals: a preview shows each message');

# JSON that is broken at its end: the JSON library would take 60 times as much for it
my $mb = 16;
my $file = $node->basedir . '/message';

append_to_file($file, '[' . ('{},' x ($mb * 1024 * 1024 / 3)) . "x\n");
$kafka->create_topic('broken', 1);
foreach my $i (1 .. 3)
{
	$kafka->produce('broken', file => $file, partition => 0, codec => 'gzip',
		properties => [ 'message.max.bytes=1000000000', 'queue.buffering.max.kbytes=2097151' ]);
}
unlink $file;
$kafka->produce('broken', ['[{},{},x'], partition => 0);
sql('CREATE TABLE broken (a jsonb)');
sql("SELECT stream_ingest.create_subscription('broken', 'kafka', 'broken', 'broken', mapping => '{\"a\": \"\$value\"}')");
cmp_ok(read_all('broken', 4), '<', 400, 'broken: the worker had less than 400 MB');
is( sql("SELECT message_offset, sqlstate, error, detail IS NOT NULL FROM stream_ingest.dead_letters
		WHERE name = 'broken' ORDER BY 1"),
	join("\n", (map { $_ . '|22P02|invalid JSON at line 1, column ' . (2 + 3 * int($mb * 1024 * 1024 / 3)) . '|f' } 0 .. 2),
		'3|22P02|invalid JSON at line 1, column 8|t'),
	'broken: all are dead letters that tell the place, the small one also in the words of the JSON library');

# messages of one byte whose headers are large: a batch holds as many as batch_bytes allows
my $n = 2000;

$kafka->create_topic('headers', 1);
$kafka->produce('headers', [ (1) x $n ], partition => 0, headers => [ 'h=' . ('x' x 20_000) ]);
sql('CREATE TABLE headers (id int, h jsonb)');
sql("SELECT stream_ingest.create_subscription('headers', 'kafka', 'headers', 'headers', format => 'raw',
	mapping => '{\"id\": \"\$value\", \"h\": \"\$headers\"}', options => '{\"batch_bytes\": \"1MB\"}')");
cmp_ok(read_all('headers', $n), '<', 300, 'headers: the worker had less than 300 MB');
is(sql('SELECT count(*), min(length(h ->> $$h$$)), max(length(h ->> $$h$$)) FROM headers'),
	"$n|20000|20000", 'headers: all are rows');
is(sql("SELECT messages, applied, batches >= 39 FROM stream_ingest.counts WHERE name = 'headers'"),
	"$n|$n|t", 'headers: in batches of batch_bytes');

done_testing();
