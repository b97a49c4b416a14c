# Positions that were asked of the brokers, and what is left of them after a crash
# or a failover.
#
# 210_crash.pl has those of "latest" and of another log.  Here are the others: a gap
# that was accepted stays the one that it was, and what came in a partition that was
# added is there, whatever the subscription began with.  With a position that is lost,
# the brokers are asked again, and by then they say something else.
#
# The WAL writer is suspended, so that a crash loses for certain whatever no commit
# has waited for: rows and their offsets, which come again, and with them a position
# if nothing waited for that.
#
# An asynchronous standby may lack what the primary had, positions too.  What it has
# belongs together, and the rest is read from Kafka.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { wal_level => 'replica', max_wal_senders => 4, autovacuum => 'off', checkpoint_timeout => '1h',
		bgwriter_lru_maxpages => 0 });

sub subscribe
{
	my ($name, $options, $enabled) = @_;

	$kafka->create_topic($name, 1);
	sql("CREATE TABLE $name (id bigint)");
	$kafka->produce_more($name, 20);
	sql("SELECT stream_ingest.create_subscription('$name', 'kafka', '$name', '$name', options => '$options', enabled => $enabled)");
	return;
}

# The next offsets of its partitions.
sub offsets_of
{
	my ($name) = @_;

	return "SELECT string_agg(next_offset::text, ' ' ORDER BY partition) FROM stream_ingest.offsets WHERE name = '$name'";
}

sub gaps_of
{
	my ($name) = @_;

	return sql("SELECT string_agg(concat(from_offset, '-', to_offset), ' ' ORDER BY from_offset) FROM stream_ingest.gaps WHERE name = '$name'");
}

# ---- a gap that was accepted, and partitions that were added ----

my @gaps = ('agreed', 'continued');

subscribe('agreed', '{}', 'true');
subscribe('continued', '{"on_gap": "continue"}', 'true');
foreach my $name (@gaps)
{
	ok(poll(offsets_of($name), 20), "$name: the first messages are read");
	sql("SELECT stream_ingest.disable('$name')");
	$kafka->produce_more($name, 10);
	$kafka->delete_records($name, 0, 30);
}
sql("SELECT stream_ingest.enable('agreed')");
ok(poll("SELECT state FROM stream_ingest.status WHERE name = 'agreed'", 'stopped'), 'agreed: a gap stops it');
subscribe('grown', '{"start": "latest"}', 'false');
subscribe('unnoticed', '{"start": "latest"}', 'false');

# the last commit of ours
my $wal_writer = StreamIngest::suspend_wal_writer($node);
sql('SELECT stream_ingest.enable(name) FROM stream_ingest.subscriptions');
ok(poll(offsets_of($_), 30), "$_: it continues behind the gap") foreach @gaps;
ok(poll(offsets_of($_), 20), "$_: it has its position") foreach 'grown', 'unnoticed';

# a worker that starts finds a new partition at once
$kafka->add_partitions('grown', 2);
sql("SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE name = 'grown'");
ok(poll(offsets_of('grown'), '20 0'), 'grown: the new partition is known');

# All positions are there, so the rows of what comes now are lost.
foreach my $name (@gaps)
{
	$kafka->produce_more($name, 20);
	ok(poll("SELECT count(*) FROM $name", 40), "$name: what comes behind the gap is there");
}
$kafka->produce_more('grown', 5);
$kafka->produce_more('grown', 10, 1);
ok(poll('SELECT count(*) FROM grown', 15), 'grown: what comes in both partitions is there');

StreamIngest::crash($node, $wal_writer);

# what the brokers say when they are asked again
$kafka->delete_records($_, 0, 35) foreach @gaps;
$kafka->add_partitions('unnoticed', 2);
$kafka->produce_more('unnoticed', 10, 1);
$node->start;

# by on_gap the second gap is passed as the first one was
ok(poll(offsets_of('continued'), 50), 'continued: it is read to the end after a crash');
is(gaps_of('continued'), '20-30 30-35', 'continued: the gap that it had passed is as it was, and another one has come');
is(sql('SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id >= 35) FROM continued'),
	'35|35|15', 'continued: all else is there, once');

# who has agreed to the first one has not agreed to the second
ok( poll(
		"SELECT state = 'stopped' OR next_offset = 50 FROM stream_ingest.status JOIN stream_ingest.offsets USING (name)"
		  . " WHERE name = 'agreed'"),
	'agreed: it stops after a crash, or is read to the end');
is(sql("SELECT reason ~ '^messages 30 to 34 ' FROM stream_ingest.status WHERE name = 'agreed'"),
	't', 'agreed: it stops, for what was not agreed to');
is(gaps_of('agreed'), '20-30 30-35', 'agreed: the gap that was accepted is as it was');
sql("SELECT stream_ingest.enable('agreed')");
ok(poll(offsets_of('agreed'), 50), 'agreed: then it continues');
is(sql('SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id >= 35) FROM agreed'),
	'35|35|15', 'agreed: all else is there, once');
is(sql("SELECT string_agg(gap_messages::text, ' ') FROM stream_ingest.counts WHERE name IN ('agreed', 'continued')"),
	'15 15', 'and what is missing is counted');

ok(poll(offsets_of('grown'), '25 10'), 'grown: it is read to the end after a crash');
is(sql('SELECT count(*), count(DISTINCT id), min(id), max(id) FROM grown'),
	'15|15|20|34', 'grown: no message of the new partition is lost, nor one behind "latest"');
ok(poll(offsets_of('unnoticed'), '20 10'), 'unnoticed: it is read to the end, too');
is(sql('SELECT count(*), count(DISTINCT id), min(id), max(id) FROM unnoticed'),
	'10|10|20|29', 'unnoticed: a partition that came while the server was down is new to it');
sql('SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions');

# ---- the promotion of an asynchronous standby ----

# One whose position the standby has, and two that get theirs when it is cut off.
subscribe('had', '{"start": "latest"}', 'false');
subscribe('named', '{"start": {"0": 5}}', 'false');
subscribe('lacked', '{"start": "latest"}', 'false');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
ok(poll('SELECT count(*) FROM pg_stat_replication', 1), 'a standby follows');

$wal_writer = StreamIngest::suspend_wal_writer($node);
sql("SELECT stream_ingest.enable('had')");
ok(poll(offsets_of('had'), 20), 'had: it has its position');
my $written = sql('SELECT pg_current_wal_flush_lsn()');
ok(StreamIngest::poll_until($standby, "SELECT pg_last_wal_replay_lsn() >= '$written'"), 'the standby has what a commit has waited for');
$standby->append_conf('postgresql.conf', q{primary_conninfo = ''});
$standby->reload;
ok(poll('SELECT count(*) FROM pg_stat_replication', 0), 'then it is cut off');
sql("SELECT stream_ingest.enable(name) FROM stream_ingest.subscriptions WHERE name <> 'had'");
ok(poll(offsets_of('lacked'), 20), 'lacked: it has its position');
$kafka->produce_more($_, 30) foreach 'had', 'named', 'lacked';
ok(poll('SELECT (SELECT count(*) FROM had), (SELECT count(*) FROM named), (SELECT count(*) FROM lacked)', '30|45|30'),
	'the primary has what comes then');
StreamIngest::crash($node, $wal_writer);

# The next offset of each, and what there is of rows: all, different ones, first and last.
my $agreement = join(' UNION ALL ',
	map { "SELECT '$_', next_offset, (SELECT concat_ws(' ', count(*), count(DISTINCT id), min(id), max(id)) FROM $_)"
		  . " FROM stream_ingest.offsets WHERE name = '$_'" } 'had', 'named', 'lacked');

is($standby->safe_psql('postgres', $agreement), 'had|20|0 0', 'the standby has neither rows nor offsets of what came then');
$standby->promote;
$standby->safe_psql('postgres', "SELECT stream_ingest.enable(name) FROM stream_ingest.subscriptions WHERE name <> 'had'");
ok(StreamIngest::poll_until($standby, offsets_of('lacked'), 50), 'lacked: after the promotion "latest" is asked for again');
$kafka->produce_more($_, 10) foreach 'had', 'named', 'lacked';
ok( StreamIngest::poll_until(
		$standby, q{SELECT count(*) FILTER (WHERE next_offset = 60) FROM stream_ingest.offsets}, 3),
	'all are read to the end');
is($standby->safe_psql('postgres', $agreement), <<'END' =~ s/\n\z//r, 'the promoted server reads again what the standby lacked, from the position that it has or is given');
had|60|40 40 20 59
named|60|55 55 5 59
lacked|60|10 10 50 59
END
is($standby->safe_psql('postgres', "SELECT string_agg(name || ' ' || messages || ' ' || applied, ', ' ORDER BY name) FROM stream_ingest.counts"),
	'had 40 40, lacked 10 10, named 55 55', 'and counts it once');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM stream_ingest.gaps'),
	0, 'a "latest" that is lost leaves no gap, as the manual says');

done_testing();
