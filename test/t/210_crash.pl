# What a crash of the server must not take back, and what it does take.
#
# Positions: what the brokers were asked (where "start" or a seek to "latest"
# is, where another log begins) is durable before a message is read from there.
# The WAL writer is made slow here, so that whatever is committed asynchronously
# is lost: rows and their offsets, which come again, and with them any position
# that would be asked for again and then be further on.
#
# Unlogged targets: a crash empties them.  Which messages that were is in gaps.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $limit = $ENV{LIMIT} // $PostgreSQL::Test::Utils::timeout_default;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { wal_writer_delay => '10s', autovacuum => 'off', checkpoint_timeout => '1h',
		wal_level => 'replica', max_wal_senders => 2 });

sub is_soon
{
	my ($query, $expected, $what) = @_;

	ok(StreamIngest::poll_until($node, $query, $expected, $limit), $what);
	return;
}

sub subscribe
{
	my ($name, $options, $enabled) = @_;

	$kafka->create_topic($name, 1);
	sql("CREATE TABLE $name (id bigint)");
	$kafka->produce_more($name, 20);
	sql("SELECT stream_ingest.create_subscription('$name', 'kafka', '$name', '$name', options => '$options', enabled => $enabled)");
	return;
}

sub next_offset
{
	my ($name) = @_;

	return "SELECT next_offset FROM stream_ingest.offsets WHERE name = '$name'";
}

# ---- positions ----

# "latest" of a new subscription
subscribe('begun', '{"start": "latest"}', 'false');

# "latest" of a seek over ten messages
subscribe('sought', '{}', 'true');
is_soon(next_offset('sought'), 20, 'the first messages are read');
sql("SELECT stream_ingest.disable('sought')");
$kafka->produce_more('sought', 10);
sql("SELECT stream_ingest.seek('sought', 'latest')");

# the beginning of another log
subscribe('adopted', '{}', 'true');
is_soon(next_offset('adopted'), 20, 'the messages of the first log are read');
sql("SELECT stream_ingest.disable('adopted')");
$kafka->delete_topic('adopted');
$kafka->create_topic('adopted', 1);
$kafka->produce('adopted', count => 5, first => 100, partition => 0);
sql("SELECT stream_ingest.enable('adopted')");
is_soon("SELECT state FROM stream_ingest.status WHERE name = 'adopted'",
	'stopped', 'another log stops the subscription');

# the last commit that makes what came before it durable, too
sql("SELECT stream_ingest.enable(name) FROM stream_ingest.subscriptions");

is_soon(next_offset('begun'), 20, 'the new subscription has its position');
is_soon(next_offset('sought'), 30, 'the seek is carried out');
is_soon(next_offset('adopted'), 5, 'the other log is adopted');
$kafka->produce_more('begun', 50);
$kafka->produce_more('sought', 50);
is_soon('SELECT count(*) FROM begun', 50, 'what came then is there, of the new subscription');
is_soon('SELECT count(*) FROM sought', 70, 'and of the other');
is_soon('SELECT count(*) FROM adopted', 25, 'and of the other log');
$kafka->delete_records('adopted', 0, 3);

StreamIngest::crash($node);
$node->start;

is_soon(q{SELECT count(*), count(DISTINCT id), min(id), max(id) FROM begun},
	'50|50|20|69', 'a crash loses no message behind the "latest" that a subscription began with');
is_soon(
	q{SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id BETWEEN 30 AND 79) FROM sought},
	'70|70|50', 'nor behind the one of a seek');

# Its rows come again if no later commit has made them durable, but for those that
# the broker no longer has: that stops the subscription until it is enabled.
is_soon(
	q{SELECT state = 'stopped' OR next_offset = 5 FROM stream_ingest.status JOIN stream_ingest.offsets USING (name)
	  WHERE name = 'adopted'},
	't', 'the adopted log is read again, or what is missing is told');
sql("SELECT stream_ingest.enable('adopted')");
is_soon(
	q{SELECT count(*) FILTER (WHERE id < 100) || ' ' || next_offset
	  FROM adopted, stream_ingest.offsets WHERE name = 'adopted' GROUP BY next_offset},
	'20 5', 'the adopted log is read to its end');
is( sql(q{SELECT count(*) FILTER (WHERE id >= 100) FROM adopted})
	  + sql(q{SELECT coalesce(sum(to_offset - from_offset), 0) FROM stream_ingest.gaps
		  WHERE name = 'adopted' AND reason = 'deleted at the broker'}),
	5, 'and each of its messages is there, or in gaps');

# Where there are synchronous standbys, they have it too.
$kafka->create_topic('awaited', 1);
sql('CREATE TABLE probes (n int)');
sql("ALTER SYSTEM SET synchronous_standby_names = 'one_that_is_away'");
sql('SELECT pg_reload_conf()');

# commits wait as soon as the checkpointer has heard of it, too
my $probe = $node->background_psql('postgres', on_error_stop => 0);
my $probe_pid = $probe->query('SELECT pg_backend_pid()');
$probe->query_until(qr/begun/, q{\echo begun
DO $$ BEGIN LOOP INSERT INTO probes VALUES (1); COMMIT; PERFORM pg_sleep(0.05); END LOOP; END $$;
});
is_soon("SELECT wait_event FROM pg_stat_activity WHERE pid = $probe_pid", 'SyncRep', 'commits wait for the synchronous standby');
sql("SELECT pg_terminate_backend($probe_pid)");
eval { $probe->quit };
$node->safe_psql('postgres', <<'SQL');
SET synchronous_commit = local;
CREATE TABLE awaited (id bigint);
SELECT stream_ingest.create_subscription('awaited', 'kafka', 'awaited', 'awaited', options => '{"start": "latest"}');
SQL
is_soon(
	q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stream_ingest awaited' AND wait_event = 'SyncRep'},
	1, 'a position waits for the synchronous standby');
$kafka->produce('awaited', count => 3, partition => 0);
is(sql('SELECT count(*) FROM awaited'), 0, 'and no message is read before');
$node->safe_psql('postgres', "SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names");
$node->safe_psql('postgres', "SELECT pg_reload_conf()");
is_soon(next_offset('awaited'), 3, 'then they are');
sql("SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions");

# ---- unlogged targets ----

$kafka->create_topic('fast', 2);
$kafka->produce('fast', [ map { qq({"id": $_}) } 0 .. 29 ], partition => 0);
$kafka->produce('fast', [ map { qq({"id": $_}) } 30 .. 34 ], partition => 1);
sql(<<'SQL');
CREATE UNLOGGED TABLE always (id bigint);
CREATE TABLE later (id bigint);
CREATE TABLE part (id bigint) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE UNLOGGED TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (1000);
CREATE TABLE logged (id bigint);
CREATE UNLOGGED TABLE below (id bigint);
CREATE VIEW above AS SELECT * FROM below;
CREATE UNLOGGED TABLE another (id bigint);
SELECT stream_ingest.create_subscription(t::name, 'kafka', 'fast', t::regclass,
	options => CASE WHEN t = 'above' THEN '{"start": {"0": 7, "1": 3}}' ELSE '{}' END::jsonb)
FROM unnest('{always, later, part, logged, above, another}'::text[]) t;
SQL
is_soon(
	q{SELECT sum(next_offset) FROM stream_ingest.offsets}, 210, 'all is read into unlogged and other targets');

# with another target only what comes then can be lost
sql(<<'SQL');
CREATE UNLOGGED TABLE another_2 (id bigint);
SELECT stream_ingest.alter_subscription('another', target => 'another_2');
ALTER TABLE later SET UNLOGGED;
SQL
$kafka->produce('fast', ['{"id": 35}'], partition => 0);
is_soon(q{SELECT sum(next_offset) FROM stream_ingest.offsets}, 216, 'one more is read');

my $gaps = q{SELECT string_agg(concat_ws(' ', name, partition, from_offset, to_offset,
	left(reason, strpos(reason, ' by a crash') - 1)), E'\n' ORDER BY name, partition, from_offset) FROM stream_ingest.gaps};

# a clean restart loses nothing
$node->restart;
$kafka->produce('fast', ['{"id": 36}'], partition => 0);
is_soon(q{SELECT sum(next_offset) FROM stream_ingest.offsets}, 222, 'after a clean restart it continues');
is(sql($gaps), '', 'and nothing is recorded as lost');
is(sql('SELECT count(*) FROM always'), 37, 'since nothing is');

# a commit that makes what came before it durable, or it would come again
sql('CREATE TABLE durable_1 ()');
StreamIngest::crash($node);
$node->start;
$kafka->produce('fast', ['{"id": 37}'], partition => 0);
is_soon(q{SELECT sum(next_offset) FROM stream_ingest.offsets}, 228, 'after a crash it continues');
is(sql($gaps), <<'END' =~ s/\n\z//r, 'and gaps has the messages whose rows an unlogged target has lost');
above 0 7 32 unlogged target was emptied
above 1 3 5 unlogged target was emptied
always 0 0 32 unlogged target was emptied
always 1 0 5 unlogged target was emptied
another 0 30 32 unlogged target was emptied
later 0 0 32 unlogged target was emptied
later 1 0 5 unlogged target was emptied
part 0 0 32 unlogged partitions of the target were emptied
part 1 0 5 unlogged partitions of the target were emptied
END
is( sql(q{SELECT (SELECT count(*) FROM always), (SELECT count(*) FROM later), (SELECT count(*) FROM part_1),
		(SELECT count(*) FROM part_2), (SELECT count(*) FROM logged), (SELECT count(*) FROM below), (SELECT count(*) FROM another_2)}),
	'1|1|10|1|38|1|1', 'just these are lost');

# once more: only what came since; and what is lost can be read again
sql('CREATE TABLE durable_2 ()');
StreamIngest::crash($node);
$node->start;
is_soon(
	q{SELECT from_offset, to_offset FROM stream_ingest.gaps WHERE name = 'always' AND partition = 0 AND from_offset > 0},
	'32|33', 'another crash loses what came since');
sql(q{SELECT stream_ingest.seek('always', 'earliest')});
is_soon('SELECT count(*), count(DISTINCT id) FROM always', '38|38', 'a seek brings it all back');

done_testing();
