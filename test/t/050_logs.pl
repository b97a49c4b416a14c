# Logs as Kafka really has them: holes, transactions, huge messages; and logs
# that are gone, truncated, recreated, or grow while we read.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { max_prepared_transactions => 5 });

sub poll { return StreamIngest::poll_until($node, $_[0], $_[1], $limit); }

# A topic's rows go to a table of its own with the topic's name.
sub subscribe
{
	my ($topic, $options) = @_;

	$options //= '{}';
	sql(qq{CREATE TABLE IF NOT EXISTS "$topic" (id bigint, payload text, p int, o bigint)});
	sql(qq{SELECT stream_ingest.create_subscription('$topic', 'kafka', '$topic', '"$topic"',
		mapping => '{"p": "\$partition", "o": "\$offset"}', options => '$options')});
	return;
}

sub caught_up
{
	my ($name) = @_;

	return is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"), 't', "$name: caught up")
	  || diag(sql("SELECT * FROM stream_ingest.status WHERE name = '$name'"));
}

sub offsets
{
	my ($name, $columns) = @_;

	return sql("SELECT $columns FROM stream_ingest.offsets WHERE name = '$name' ORDER BY partition");
}

# The subscription stops with this reason (a regular expression of the server's).
sub stops
{
	my ($name, $pattern, $what) = @_;

	return ok(
		poll("SELECT count(*) FROM stream_ingest.status WHERE name = '$name' AND state = 'stopped' AND reason ~ '$pattern'", 1),
		"$name: $what: stopped, and the reason says why");
}

# ---- partitions that are added; looked at again below ----

$kafka->create_topic('growing', 1);
$kafka->produce('growing', count => 10, partition => 0);
subscribe('growing', '{"start": "latest"}');
caught_up('growing');
$kafka->add_partitions('growing', 3);
my $grown_at = time();
$kafka->produce('growing', count => 7, first => 100, partition => 1);
$kafka->produce('growing', count => 5, first => 200, partition => 2);

# ---- compaction ----

$kafka->create_topic(
	'compacted', 1, 'cleanup.policy=compact', 'segment.ms=100',
	'min.cleanable.dirty.ratio=0.001', 'max.compaction.lag.ms=100');
$kafka->produce('compacted', [ map { 'k' . $_ % 10 . qq(|{"id": $_}) } 1 .. 1000 ],
	partition => 0, key_separator => '|');
$kafka->produce('compacted', [ map { "n$_|{\"id\": $_}" } 2001 .. 2005 ], partition => 0, key_separator => '|')
  until kept('compacted') < $kafka->end_offset('compacted', 0) / 2;

# How many messages are left in the topic?
sub kept
{
	my ($topic) = @_;
	my $out = `kcat -C -q -b @{[ $kafka->bootstrap ]} -t $topic -p 0 -o beginning -e -f '%o\n' | wc -l`;

	return $out + 0;
}

subscribe('compacted');
caught_up('compacted');
is(offsets('compacted', 'next_offset, lag'), $kafka->end_offset('compacted', 0) . '|0',
	'compacted: next_offset is the end, lag is 0');
is(sql('SELECT count(*) = count(DISTINCT o) AND count(*) < max(o) / 2 AND count(*) FILTER (WHERE id BETWEEN 991 AND 1000) = 10 FROM compacted'),
	't', 'compacted: what compaction left is there, once');

# ---- transactions ----

$kafka->create_topic('transactions', 1);
subscribe('transactions');
$kafka->produce('transactions', count => 100, first => 0, partition => 0, transaction => 'commit');
$kafka->produce('transactions', count => 100, first => 1000, partition => 0, transaction => 'abort');
$kafka->produce('transactions', count => 50, first => 100, partition => 0);
$kafka->produce('transactions', count => 3, first => 150, partition => 0, transaction => 'commit');
caught_up('transactions');
is(sql('SELECT count(*), min(id), max(id), count(DISTINCT id) FROM transactions'),
	'153|0|152|153', 'transactions: what was committed is there, and nothing else');
is(offsets('transactions', 'next_offset, lag'), $kafka->end_offset('transactions', 0) . '|0',
	'transactions: next_offset has passed the commit marker at the end');

$kafka->produce('transactions', count => 100, first => 2000, partition => 0, transaction => 'abort');
caught_up('transactions');
is(offsets('transactions', 'next_offset, lag'), $kafka->end_offset('transactions', 0) . '|0',
	'transactions: and aborted messages at the end');

my $open_from = $kafka->end_offset('transactions', 0);
$kafka->produce(
	'transactions',
	count => 30,
	first => 3000,
	partition => 0,
	transaction => 'open',
	properties => [ 'transactional.id=open', 'transaction.timeout.ms=600000' ]);
$kafka->produce('transactions', count => 20, first => 153, partition => 0);
caught_up('transactions');
is(offsets('transactions', 'next_offset, lag'), "$open_from|0",
	'transactions: what stands behind an open transaction is not there yet, lag is 0');
is(sql('SELECT count(*), max(id) FROM transactions'), '153|152', 'transactions: nor are its rows');
# who has the same id makes the broker end what the former one has left
$kafka->produce('transactions', [], transaction => 'abort', properties => ['transactional.id=open']);
ok(poll('SELECT count(*), max(id), count(DISTINCT id) FROM transactions', '173|172|173'),
	'transactions: when the broker has aborted it, the rest comes');
caught_up('transactions');
is(offsets('transactions', 'next_offset, lag'), $kafka->end_offset('transactions', 0) . '|0',
	'transactions: next_offset is the end');
is(sql("SELECT messages, applied, ignored FROM stream_ingest.counts WHERE name = 'transactions'"),
	'173|173|0', 'transactions: only what was committed counts');

# ---- huge messages ----

$kafka->create_topic('huge', 1, 'max.message.bytes=8000000');
$kafka->produce('huge', count => 30, first => 0, size => 1_048_576, partition => 0,
	properties => ['message.max.bytes=8000000']);
$kafka->produce('huge', count => 2, first => 30, size => 5_000_000, partition => 0,
	properties => ['message.max.bytes=8000000']);
$kafka->produce('huge', count => 10, first => 32, partition => 0);
subscribe('huge');
caught_up('huge');
is(sql(q{SELECT count(*), count(DISTINCT id), sum(length(payload)) FILTER (WHERE id < 30) / 30 > 1000000,
	bool_and(length(payload) > 4900000) FILTER (WHERE id IN (30, 31)), bool_and(payload = repeat('x', length(payload))) FROM huge}),
	'42|42|t|t|t', 'huge: all rows are there and whole');
is(offsets('huge', 'next_offset, lag'), '42|0', 'huge: next_offset is the end, lag is 0');

# ---- deleted before we came ----

$kafka->create_topic('deleted', 1);
$kafka->produce('deleted', count => 100, partition => 0);
subscribe('deleted');
caught_up('deleted');
sql("SELECT stream_ingest.disable('deleted')");
$kafka->produce('deleted', count => 100, first => 100, partition => 0);
$kafka->delete_records('deleted', 0, 150);
sql("SELECT stream_ingest.enable('deleted')");
stops('deleted', 'messages 100 to 149 of topic "deleted", partition 0 were deleted', 'retention passed us');
is(sql("SELECT partition, from_offset, to_offset, reason FROM stream_ingest.gaps WHERE name = 'deleted'"),
	'0|100|150|deleted at the broker', 'deleted: the gap is recorded');
is(sql("SELECT gap_messages, messages FROM stream_ingest.counts WHERE name = 'deleted'"), '0|100',
	'deleted: nothing is passed over yet');
is(offsets('deleted', 'next_offset'), 100, 'deleted: next_offset stays');
sql("SELECT stream_ingest.enable('deleted')");
caught_up('deleted');
is(sql('SELECT count(*), count(DISTINCT id), max(id), min(id) FILTER (WHERE id >= 100) FROM deleted'), '150|150|199|150',
	'deleted: enable() continues at the first offset that there is');
is(sql("SELECT gap_messages, messages FROM stream_ingest.counts WHERE name = 'deleted'"), '50|150',
	'deleted: gap_messages counts what is missing');
is(sql("SELECT count(*) FROM stream_ingest.gaps WHERE name = 'deleted'"), 1, 'deleted: one gap');

# while it runs: the worker is held up, with little in its queue
$kafka->create_topic('overtaken', 1);
subscribe('overtaken',
	'{"on_gap": "continue", "batch_size": 10, "queued.min.messages": "1", "max.partition.fetch.bytes": "1000"}');
$kafka->produce('overtaken', count => 10, partition => 0);
caught_up('overtaken');
sql("BEGIN; LOCK TABLE overtaken; PREPARE TRANSACTION 'gate'");
$kafka->produce('overtaken', count => 2000, first => 10, partition => 0,
	properties => [ 'batch.num.messages=10', 'linger.ms=0' ]);
ok(poll("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'overtaken'::regclass"),
	'overtaken: the worker is held up');
$kafka->delete_records('overtaken', 0, 1900);
sql("ROLLBACK PREPARED 'gate'");
caught_up('overtaken');
my $lost = sql("SELECT to_offset - from_offset FROM stream_ingest.gaps "
	  . "WHERE name = 'overtaken' AND to_offset = 1900 AND reason = 'deleted at the broker'");
cmp_ok($lost, '>', 1000, 'overtaken: on_gap = continue records the gap and continues');
is(sql('SELECT count(*), count(DISTINCT id), max(id) FROM overtaken'), (2010 - $lost) . '|' . (2010 - $lost) . '|2009',
	'overtaken: all other messages are there, once');
is(sql("SELECT gap_messages, messages FROM stream_ingest.counts WHERE name = 'overtaken'"),
	"$lost|" . (2010 - $lost), 'overtaken: the counts are exact');

# ---- another log under the same name ----

$kafka->create_topic('again', 2);
$kafka->produce('again', count => 100, round_robin => 2);
subscribe('again', '{"on_gap": "continue"}');
caught_up('again');
$kafka->delete_topic('again');
ok( poll(
		"SELECT count(*) FROM stream_ingest.status WHERE name = 'again' AND state IN ('stopped', 'retrying') AND reason ~ 'topic'",
		1),
	'again: a topic that is gone shows in status, with the reason');
note(sql("SELECT state, reason FROM stream_ingest.status WHERE name = 'again'"));
$kafka->create_topic('again', 2);
$kafka->produce('again', count => 20, first => 1000, round_robin => 2);
stops('again', 'recreated.*topic "again".*enable', 'topic recreated');
is(sql("SELECT partition, from_offset, to_offset FROM stream_ingest.gaps WHERE name = 'again' ORDER BY partition"),
	"0|50|\n1|50|", 'again: gaps without an end are recorded');
is(sql('SELECT count(*) FROM again'), 100, 'again: nothing of the new log was read, whatever on_gap says');
sql("SELECT stream_ingest.enable('again')");
caught_up('again');
is(sql('SELECT count(*), count(*) FILTER (WHERE id >= 1000) FROM again'), '120|20',
	'again: enable() begins with the new log');
is(offsets('again', 'next_offset'), "10\n10", 'again: next_offset is that of the new log');

# ... with fewer partitions
$kafka->delete_topic('again');
$kafka->create_topic('again', 1);
$kafka->produce('again', count => 5, first => 2000, partition => 0);
# not for as long as there is no topic, when there is nothing to begin with
stops('again', 'topic "again".*enable', 'topic recreated with fewer partitions');
sql("SELECT stream_ingest.enable('again')");
ok(poll('SELECT count(*) FROM again WHERE id >= 2000', 5), 'again: enable() begins with the one partition');
caught_up('again');

# ---- a topic that is not there yet ----

subscribe('unborn');
ok( poll(
		"SELECT count(*) FROM stream_ingest.status WHERE name = 'unborn' AND state IN ('stopped', 'retrying') "
		  . "AND reason ~* 'unknown topic' AND reason ~ 'unborn'",
		1),
	'unborn: an unknown topic shows in status');
note(sql("SELECT state, reason FROM stream_ingest.status WHERE name = 'unborn'"));
is(sql("SELECT stream_ingest.wait_until_caught_up('unborn', '100 ms')"), 'f', 'unborn: not caught up');
$kafka->create_topic('unborn', 1);
$kafka->produce('unborn', count => 10, partition => 0);
ok(poll('SELECT count(*) FROM unborn', 10), 'unborn: heals when the topic is there');

# ---- seeks and starts that lead nowhere ----

$kafka->create_topic('sought', 1);
$kafka->produce('sought', count => 100, partition => 0);
$kafka->delete_records('sought', 0, 10);
subscribe('sought');
caught_up('sought');
foreach my $nowhere (5, 101)
{
	sql("SELECT stream_ingest.seek('sought', 0, $nowhere)");
	stops('sought', qq(offset $nowhere of topic "sought", partition 0 does not exist: the broker has 10 to 100),
		"seek to $nowhere");
	is(sql("SELECT stream_ingest.wait_until_caught_up('sought', '100 ms')"),
		'f', 'sought: not caught up while a seek is to be carried out');
}
is(offsets('sought', 'next_offset'), 100, 'sought: next_offset stays');
sql("SELECT stream_ingest.seek('sought', 0, 40)");
caught_up('sought');
is(sql('SELECT count(*), count(DISTINCT id) FROM sought'), '150|90', 'sought: a seek back reads again');
is(sql("SELECT count(*) FROM stream_ingest.gaps WHERE name = 'sought'"), 0, 'sought: and is no gap');

sql("SELECT stream_ingest.disable('sought')");
$kafka->produce('sought', count => 50, first => 100, partition => 0);
sql("SELECT stream_ingest.seek('sought', 0, 130)");
is(sql("SELECT state FROM stream_ingest.status WHERE name = 'sought'"), 'disabled', 'sought: a seek does not enable');
sql("SELECT stream_ingest.enable('sought')");
caught_up('sought');
is(sql('SELECT count(*) FROM sought WHERE id >= 100'), 20, 'sought: a seek forward leaves out what is between');
is(sql("SELECT partition, from_offset, to_offset, reason FROM stream_ingest.gaps WHERE name = 'sought'"),
	'0|100|130|seek', 'sought: and is recorded as a gap');
is(sql("SELECT gap_messages, messages FROM stream_ingest.counts WHERE name = 'sought'"), '0|170',
	'sought: but is not counted as one');
sql("SELECT stream_ingest.seek('sought', 'earliest')");
caught_up('sought');
is(sql('SELECT count(*) FROM sought'), 170 + 140, 'sought: earliest');
sql("SELECT stream_ingest.seek('sought', 'latest')");
caught_up('sought');
is(sql('SELECT count(*) FROM sought'), 170 + 140, 'sought: latest');
sql("SELECT stream_ingest.seek('sought', '2000-01-01 00:00:00+00')");
caught_up('sought');
is(sql('SELECT count(*) FROM sought'), 170 + 140 + 140, 'sought: a time before all messages');

sql("SELECT stream_ingest.drop_subscription('sought')");
sql('TRUNCATE sought');
subscribe('sought', '{"start": {"0": 7}}');
stops('sought', 'offset 7 .*the broker has 10 to 150', 'start at 7');
sql("SELECT stream_ingest.alter_subscription('sought', options => '{\"start\": {\"0\": 145}}'); SELECT stream_ingest.enable('sought')");
caught_up('sought');
is(sql('SELECT count(*) FROM sought'), 5, 'sought: start at an offset');

# ---- waiting ----

$kafka->create_topic('waited', 2);
subscribe('waited');
caught_up('waited');
sql("BEGIN; LOCK TABLE waited; PREPARE TRANSACTION 'gate'");
$kafka->produce('waited', count => 10, round_robin => 2);
is(sql("SELECT stream_ingest.wait_until_caught_up('waited', '300 ms')"), 'f', 'waited: not while the table is locked');
ok(poll("SELECT sum(lag) FROM stream_ingest.offsets WHERE name = 'waited'", 10), 'waited: lag is true meanwhile');
sql("ROLLBACK PREPARED 'gate'");
caught_up('waited');
is(sql('SELECT count(*) FROM waited'), 10, 'waited: the rows are there then');
sql("SELECT stream_ingest.disable('waited')");
$kafka->produce('waited', count => 1, partition => 0);
is(sql("SELECT stream_ingest.wait_until_caught_up('waited', '100 ms')"), 'f', 'waited: not while disabled');
sql("SELECT stream_ingest.enable('waited')");
caught_up('waited');

# ---- the partitions that were added ----

# before a worker starts again for another reason, which finds them, too
ok(poll('SELECT count(*) FILTER (WHERE p = 0), count(*) FILTER (WHERE p = 1), count(*) FILTER (WHERE p = 2) FROM growing', '0|7|5'),
	'growing: partitions that were added are read from their beginning');
caught_up('growing');
# after 30 s; what is later is a machine with much else to do
cmp_ok(sql('SELECT extract(epoch FROM max(found)) FROM (SELECT min(applied_at) AS found FROM stream_ingest.offsets '
			  . "WHERE name = 'growing' AND partition > 0 GROUP BY partition) o"),
	'<', $grown_at + 55, 'growing: before the brokers are asked a second time');

# ---- brokers away ----

$kafka->kill9;
ok( poll(
		"SELECT count(*) FROM stream_ingest.status WHERE name = 'waited' AND state = 'retrying' AND reason <> ''",
		1),
	'waited: retrying while the broker is away');
note(sql("SELECT state, reason, last_error FROM stream_ingest.status WHERE name = 'waited'"));
$node->restart;
ok( poll(
		"SELECT count(*) FROM stream_ingest.status WHERE name = 'waited' AND state = 'retrying' AND reason <> ''",
		1),
	'waited: also a worker that starts meanwhile');
$kafka->start;
$kafka->produce('waited', count => 5, first => 10, partition => 1);
my $back_at = time();
ok(poll('SELECT count(*) FROM waited', 16), 'waited: continues by itself when the broker is back');
note(sprintf('after %.1f s', time() - $back_at));
ok(poll("SELECT state, reason FROM stream_ingest.status WHERE name = 'waited'", 'streaming|'), 'waited: streaming again');

done_testing();
