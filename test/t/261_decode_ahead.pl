# Messages that a thread has decoded ahead, while everything happens to the worker
# that has them: a subscription is changed, a message skipped, the table altered,
# the worker ended, the server crashed, a batch fails.  In the end each message is
# in the table once, with its own values, or a dead letter.
#
# Every column of a row is a function of its id, so that values of two messages in
# one row would be seen.  SEED chooses what happens.

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll answer);
use Test::More;
use Time::HiRes qw(usleep);

my $seed = $ENV{SEED} // int(rand(1_000_000));
my $messages = $ENV{MESSAGES} // 40_000;
my $events = $ENV{STREAM_INGEST_FULL} ? 200 : 20;

srand($seed);
note("SEED=$seed MESSAGES=$messages");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { 'stream_ingest.decode_ahead' => 'on', log_min_messages => 'log' });

# Of a worker's threads, how many decode?
sub decoders
{
	my ($pid) = @_;
	my $n = 0;

	foreach my $file (glob "/proc/$pid/task/*/comm")
	{
		open(my $comm, '<', $file) or next;
		$n++ if (<$comm> // '') =~ /^si:decode$/;
		close($comm);
	}
	return $n;
}

sub uuid { my $hex = md5_hex($_[0]); $hex =~ s/(.{8})(.{4})(.{4})(.{4})(.{12})/$1-$2-$3-$4-$5/; return $hex; }

# One in 50 is no JSON, one in 50 has a number that is none, one in 50 fails the
# table's constraint; a tombstone is ignored.
sub message
{
	my ($id) = @_;
	my $n = $id % 50 == 17 ? '"seven"' : $id % 50 == 33 ? -1 : $id % 1000;

	return sprintf('{"id": %d, "name": "name %d %s", "n": %s, "uid": "%s", "at": "%s", "doc": {"id": [%d]}',
		$id, $id, 'x' x ($id % 60), $n, uuid($id), sprintf('2024-01-01T%02d:%02d:%02dZ', $id / 3600 % 24, $id / 60 % 60, $id % 60),
		$id) . ($id % 50 == 5 ? '' : '}');
}

$kafka->create_topic('ahead', 2);
sql('CREATE TABLE t (id bigint, name text, n int CHECK (n >= 0), uid uuid, at timestamp, doc jsonb)');
$kafka->produce('ahead', [ map { message($_ * 2) } 0 .. $messages / 2 - 1 ], partition => 0);
$kafka->produce('ahead', [ map { message($_ * 2 + 1) } 0 .. $messages / 2 - 1 ], partition => 1);
sql("SELECT stream_ingest.create_subscription('ahead', 'kafka', 'ahead', 't',
	options => '{\"batch_size\": 300, \"rate_limit\": " . int($messages / 8) . ", \"breaker\": 0}')");

# The message that a worker is just coming to, or one of the next ones.
sub skip_one
{
	my $partition = int(rand(2));
	my $next = sql("SELECT coalesce(max(next_offset), 0) FROM stream_ingest.progress WHERE partition = $partition");

	return if $next >= $messages / 2 - 1000;
	my $offset = $next + int(rand(900));
	answer("SELECT stream_ingest.skip('ahead', $partition, $offset)");
	return;
}

my $columns = 0;
my %events = (
	skip => \&skip_one,
	disable => sub { sql("SELECT stream_ingest.disable('ahead')"); sql("SELECT stream_ingest.enable('ahead')"); },
	options => sub { sql("SELECT stream_ingest.alter_subscription('ahead', options => '{\"batch_size\": " . (1 + int(rand(700))) . "}')"); },
	column => sub { $columns++; sql("ALTER TABLE t ADD COLUMN more$columns int"); },
	type => sub { sql('ALTER TABLE t ALTER name TYPE ' . (rand() < 0.5 ? 'varchar(200)' : 'text')); },
	end => sub { sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'"); },
	cancel => sub { sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'"); },
	lock => sub { sql("BEGIN; LOCK TABLE t; SELECT pg_sleep(0.2); COMMIT"); },
	off => sub {
		$node->append_conf('postgresql.conf', 'stream_ingest.decode_ahead = ' . qw(off on auto)[ rand(3) ]);
		$node->reload;
	});
my @names = sort keys %events;

ok(decoders(StreamIngest::worker_pid($node, 'ahead')) <= 1, 'a worker has at most one thread that decodes');
ok(poll("SELECT count(*) > 300 FROM t", 't'), 'rows come');
is(decoders(StreamIngest::worker_pid($node, 'ahead')), 1, 'a thread decodes');
foreach my $i (1 .. $events)
{
	my $event = $i <= @names ? $names[$i - 1] : $names[ rand(@names) ];

	note("event $event");
	$events{$event}->();
	usleep(int(rand(200_000)));
}
sql("SELECT stream_ingest.alter_subscription('ahead', options => '{\"rate_limit\": null}')");
ok( poll("SELECT sum(next_offset) FROM stream_ingest.progress", $messages),
	'all messages are dealt with');
is(sql("SELECT count(*), count(DISTINCT id) FROM t"), join('|', (sql("SELECT count(*) FROM t")) x 2), 'no row twice');
is( sql("SELECT count(*) FROM t WHERE (name, n, uid, at, doc) IS DISTINCT FROM
		('name ' || id || ' ' || repeat('x', (id % 60)::int), (id % 1000)::int, md5(id::text)::uuid,
		timestamp '2024-01-01' + (id % 86400) * interval '1 s', jsonb_build_object('id', jsonb_build_array(id)))"),
	0, 'every row has its own values');
is( sql("SELECT count(*) FROM t WHERE id % 50 IN (5, 17, 33)"), 0, 'no bad message is a row');
is( sql("SELECT count(*) FROM generate_series(0, $messages - 1) AS i
	LEFT JOIN t ON t.id = i
	LEFT JOIN stream_ingest.dead_letters AS d ON d.partition = i % 2 AND d.message_offset = i / 2
	WHERE (t.id IS NULL) = (d.message_offset IS NULL)"),
	0, 'each message is a row or a dead letter');
is( sql("SELECT count(*) FROM stream_ingest.dead_letters
	WHERE sqlstate <> CASE (partition + 2 * message_offset) % 50 WHEN 17 THEN '22P02' WHEN 33 THEN '23514' WHEN 5 THEN sqlstate ELSE '57014' END
		AND error NOT LIKE '%skip%'"),
	0, 'dead letters have the error of their own message');
is(sql("SELECT count(*) FROM stream_ingest.counts WHERE messages <> applied + ignored + dead_letters"), 0, 'counts agree');

# off means off, at once
$node->append_conf('postgresql.conf', 'stream_ingest.decode_ahead = off');
$node->reload;
ok(poll('SHOW stream_ingest.decode_ahead', 'off'), 'decode_ahead is off');
sql("SELECT stream_ingest.disable('ahead')");
sql("SELECT stream_ingest.enable('ahead')");
$kafka->produce('ahead', [ map { message($messages + $_ * 2) } 0 .. 999 ], partition => 0);
ok(poll("SELECT sum(next_offset) FROM stream_ingest.progress", $messages + 1000), 'messages are read');
is(decoders(StreamIngest::worker_pid($node, 'ahead')), 0, 'no thread decodes');

done_testing();
