# Messages that are large when they are unpacked: they become dead letters
# without their value, and cost no more memory than librdkafka takes for them.
#
# LARGE_MESSAGES and LARGE_MB say how many and how large (2 of 70 MB).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $n = $ENV{LARGE_MESSAGES} // 2;
my $mb = $ENV{LARGE_MB} // 70;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# The most memory that a process ever had, in MB.
sub peak
{
	my ($pid) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m;

	return int($kb / 1024);
}

$kafka->create_topic('t', 1);
my $file = $node->basedir . '/message';
append_to_file($file, '{"id": 1, "a": "' . ('x' x ($mb * 1024 * 1024)) . qq("}\n));
foreach my $i (1 .. $n)
{
	$kafka->produce('t', file => $file, partition => 0, codec => 'gzip',
		properties => [ 'message.max.bytes=1000000000', 'queue.buffering.max.kbytes=2097151' ]);
}
unlink $file;
$kafka->produce('t', ['{"id": 2, "a": "small"}'], partition => 0);

sql('CREATE TABLE t (id int, a text)');
sql("SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't')");
ok(StreamIngest::poll_until($node, "SELECT sum(next_offset) FROM stream_ingest.offsets", $n + 1), 'all are dealt with');
my $peak = peak(StreamIngest::worker_pid($node, 's'));
note("figure: peak of the worker's resident memory: $peak MB");
is(sql('SELECT * FROM t'), '2|small', 'the small one is a row');
is(sql("SELECT count(*), count(value), min(sqlstate) FROM stream_ingest.dead_letters"),
	"$n|0|54000", 'the large ones are dead letters without a value');
like(sql('SELECT error FROM stream_ingest.dead_letters LIMIT 1'),
	qr/^the message has @{[ $mb * 1024 * 1024 + 18 ]} bytes/, 'that tell the size');
cmp_ok($peak, '<', $n * $mb + 100, 'the worker never had more than the unpacked messages');

# a session, which looks at them
is( sql(qq{
		SELECT count(*), count(value) FROM stream_ingest.peek('kafka', 't', 10);
		SELECT stream_ingest.infer_table('kafka', 't', 'inferred') ~ 'too large to be looked at: $n';
		SELECT stream_ingest.retry_dead_letters('s')}),
	($n + 1) . "|1\nt\n0",
	'peek and infer_table leave their values out');

done_testing();
