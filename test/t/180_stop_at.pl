# Runs that end by themselves (stop_at), on a real broker.
#
# What a run must keep to, whatever happens meanwhile: it takes every message
# below its end and none at or above it, the end does not move, the
# subscription finishes once, no process is left, and the next run begins where
# this one ended.  Meanwhile: producers write on, workers and the server are
# killed, partitions are added, messages are deleted, options are changed; and
# the last thing in a partition is a transaction's marker, or what was rolled
# back, or still open.
#
# Rows say where they come from, so they are compared with the offsets.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $mapping = '{"part": "$partition", "pos": "$offset"}';

# A subscription with a table, both called as the topic.
sub subscribe
{
	my ($name, $options) = @_;

	sql("CREATE TABLE $name (id bigint, payload text, part int, pos bigint);
		SELECT stream_ingest.create_subscription('$name', 'kafka', '$name', '$name',
			mapping => '$mapping', options => '$options')");
	return;
}

sub has_finished
{
	my ($name, $what) = @_;

	ok( StreamIngest::poll_until(
			$node,
			"SELECT string_agg(state, ',') = 'finished' AND count(pid) = 0 AND min(reason) LIKE 'stop_at reached%'"
			  . " FROM stream_ingest.status WHERE name = '$name'"),
		"$what: finished, and no process is left");
	return;
}

# partition:next offset:end of the run, by partition
sub positions
{
	my ($name) = @_;

	return sql(
		"SELECT string_agg(concat_ws(':', p.partition, p.next_offset, p.stop_offset), ' ' ORDER BY p.partition)
		   FROM stream_ingest.progress p JOIN stream_ingest.subscription s ON s.id = p.subscription
		  WHERE s.name = '$name'");
}

# All offsets below next_offset are rows, once, and no others; and they count.
sub is_exact
{
	my ($name, $what) = @_;

	is( sql("SELECT o.partition, count(t.pos), count(DISTINCT t.pos), COALESCE(max(t.pos) + 1, 0), o.next_offset
			   FROM stream_ingest.offsets o LEFT JOIN $name t ON t.part = o.partition
			  WHERE o.name = '$name' GROUP BY o.partition, o.next_offset
			 HAVING NOT (count(t.pos) = o.next_offset AND count(DISTINCT t.pos) = o.next_offset
						 AND COALESCE(max(t.pos) + 1, 0) = o.next_offset)"),
		'', "$what: all rows are there once, up to the offset");
	is( sql("SELECT c.messages = n.n AND c.applied = n.n AND c.inserted = n.n AND c.dead_letters = 0
			   FROM stream_ingest.counts c, (SELECT count(*) AS n FROM $name) n WHERE c.name = '$name'"),
		't', "$what: and the counts are theirs");
	return;
}

sub at_stop
{
	my ($name, $what) = @_;

	is( sql("SELECT count(*) FROM stream_ingest.progress p JOIN stream_ingest.subscription s ON s.id = p.subscription
			  WHERE s.name = '$name' AND p.next_offset IS DISTINCT FROM p.stop_offset"),
		0, "$what: each partition is at its end of the run exactly");
	return;
}

# Under way, and far from its end: subscribed with a rate_limit for half a minute.
sub is_under_way
{
	my ($name, $what) = @_;

	ok(StreamIngest::poll_until($node, "SELECT count(*) > 0 FROM public.$name"), "$what: under way");
	return;
}

# Lets the rest come at once; the end of the run stays.
sub hurry
{
	my ($name) = @_;

	sql("SELECT stream_ingest.alter_subscription('$name', options => '{\"rate_limit\": null}')");
	return;
}

# How often the log says that it has finished.
sub finished_lines
{
	my ($name) = @_;

	return scalar(() = slurp_file($node->logfile) =~ /LOG:  subscription "$name" is finished: stop_at reached/g);
}

# ---- the end as it is, while producers write ----

my $listener = $node->background_psql('postgres');
$listener->set_query_timer_restart;
$listener->query_safe('LISTEN stream_ingest');

foreach my $workers (1, 3)
{
	my $name = "latest$workers";
	my $sent = 30_000;

	$kafka->create_topic($name, 3);
	$kafka->produce($name, count => $sent, round_robin => 3);
	my @producers = map {
		$kafka->produce_start($name, count => 60_000, first => $_ * 100_000, round_robin => 3)
	} 1 .. 2;
	subscribe($name, qq({"stop_at": "latest", "workers": $workers, "batch_size": 2000}));
	has_finished($name, "$workers workers, first run");
	at_stop($name, "$workers workers, first run");
	is_exact($name, "$workers workers, first run");
	cmp_ok(sql("SELECT count(*) FROM $name"), '>=', $sent, "$workers workers: what was there is there");

	foreach my $run (2 .. 3)
	{
		sql("SELECT stream_ingest.enable('$name')");
		has_finished($name, "$workers workers, run $run");
		at_stop($name, "$workers workers, run $run");
		is_exact($name, "$workers workers, run $run");
	}
	$sent += StreamIngest::produce_wait($_) foreach @producers;
	sql("SELECT stream_ingest.enable('$name')");
	has_finished($name, "$workers workers, last run");
	is_exact($name, "$workers workers, last run");
	is(sql("SELECT count(*) FROM $name"), $sent, "$workers workers: in the end all is there");
	is(finished_lines($name), 4, "$workers workers: each run ends once in the log");

	my $id = sql("SELECT id FROM stream_ingest.subscriptions WHERE name = '$name'");
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
	my ($events, $heard) = ('', 0);

	# a transaction is seen before its announcement is heard
	do
	{
		$events .= $listener->query_safe('SELECT pg_sleep(0.05)');
		$heard = () = $events =~ /\{"subscription": ?$id, "state": ?"finished"\}/g;
	} while ($heard < 4 && time() < $limit);
	is($heard, 4, "$workers workers: and once for who listens");
}
$listener->quit;

# What was published under the group is all, although no process is left to do it.  The
# end of a run waits for that for two seconds only, so a slow broker gets more runs.
my $ends = join("\n", map { "latest3 $_ " . $kafka->end_offset('latest3', $_) } 0 .. 2);
foreach my $try (1 .. 3)
{
	last if $kafka->group_offsets('stream_ingest.postgres.latest3') eq $ends;
	note('the last offsets were not published in time');
	sql(q{SELECT stream_ingest.enable('latest3')});
	has_finished('latest3', "one more run, $try");
}
is($kafka->group_offsets('stream_ingest.postgres.latest3'), $ends, 'the published offsets are those of the end');

# ---- a server that starts again ----

$kafka->create_topic('witness', 1);
subscribe('witness', '{}');
my $log_end = -s $node->logfile;
$node->restart;
ok( StreamIngest::poll_until(
		$node, "SELECT state FROM stream_ingest.status WHERE name = 'witness'", 'streaming'),
	'after a restart the others continue');
is( sql("SELECT state, pid IS NULL FROM stream_ingest.status WHERE name IN ('latest1', 'latest3')"),
	"finished|t\nfinished|t", 'after a restart it is still finished');
unlike(slurp_file($node->logfile, $log_end), qr/worker \d+ of subscription "latest/, 'and no worker was started');

# ---- the end stays where it was ----

foreach my $workers (1, 3)
{
	my $name = "kill$workers";

	$kafka->create_topic($name, 3);
	$kafka->produce($name, count => 9_000, round_robin => 3);
	subscribe($name, qq({"stop_at": "latest", "workers": $workers, "rate_limit": 300, "batch_size": 200}));
	is_under_way($name, "$workers workers");
	is(sql("SELECT string_agg(stop_offset::text, ' ') FROM stream_ingest.progress WHERE topic = '$name'"),
		'3000 3000 3000', "$workers workers: it is known where it ends");
	$kafka->produce($name, count => 3_000, first => 9_000, round_robin => 3);
	my $pid = StreamIngest::worker_pid($node, $name);
	kill('KILL', $pid);

	# its entry stays until the server has noticed, and begins again
	ok( StreamIngest::poll_until($node,
			"SELECT (SELECT count(*) FROM pg_stat_activity WHERE pid = $pid), count(*) > 0"
			  . " FROM stream_ingest.status WHERE name = '$name' AND state <> 'finished' AND pid IS NOT NULL", '0|t'),
		"$workers workers: it continues after kill -9");
	sql("SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE name = '$name' AND pid IS NOT NULL");
	hurry($name);
	has_finished($name, "$workers workers, killed");
	is(positions($name), '0:3000:3000 1:3000:3000 2:3000:3000', "$workers workers, killed: the end has not moved");
	is_exact($name, "$workers workers, killed");
	sql("SELECT stream_ingest.enable('$name')");
	has_finished($name, "$workers workers, after that");
	is(positions($name), '0:4000:4000 1:4000:4000 2:4000:4000', "$workers workers: the next run took the rest");
	is_exact($name, "$workers workers, after that");
}

# A crash of the whole server.
my $wal_writer = StreamIngest::suspend_wal_writer($node);
$kafka->create_topic('crash', 1);
$kafka->produce('crash', count => 6_000, partition => 0);
subscribe('crash', '{"stop_at": "latest", "rate_limit": 200, "batch_size": 200}');
is_under_way('crash', 'crash');
$kafka->produce('crash', count => 1_000, first => 6_000, partition => 0);
StreamIngest::crash($node, $wal_writer);
$node->start;
hurry('crash');
has_finished('crash', 'crash');
is(positions('crash'), '0:6000:6000', 'crash: the end has not moved');
is_exact('crash', 'crash');

# a partition that comes during the run is none of its business
$kafka->create_topic('grow', 1);
$kafka->produce('grow', count => 6_000, partition => 0);
subscribe('grow', '{"stop_at": "latest", "rate_limit": 200, "batch_size": 200}');
is_under_way('grow', 'grow');
$kafka->add_partitions('grow', 2);
$kafka->produce('grow', count => 50, partition => 1);
sql("SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE name = 'grow'");
ok( StreamIngest::poll_until($node, "SELECT count(*) FROM stream_ingest.progress WHERE topic = 'grow'", 2),
	'grow: the new partition is known');
hurry('grow');
has_finished('grow', 'grow');
is(positions('grow'), '0:6000:6000 1:0:0', 'grow: the new partition has no part in the run');
is_exact('grow', 'grow');
sql("SELECT stream_ingest.enable('grow')");
has_finished('grow', 'grow, next run');
is(positions('grow'), '0:6000:6000 1:50:50', 'grow: but in the next, from its beginning');
is_exact('grow', 'grow, next run');

# ---- transactions ----

# Waits for the end of partition 0: a broker writes the marker of a transaction some time
# after it has acknowledged its end.
sub ends_at
{
	my ($topic, $offset, $what) = @_;
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;

	select(undef, undef, undef, 0.05) until $kafka->end_offset($topic, 0) >= $offset || time() > $limit;
	is($kafka->end_offset($topic, 0), $offset, $what);
	return;
}

$kafka->create_topic('tx', 1);
$kafka->produce('tx', count => 10, partition => 0, transaction => 'commit');
$kafka->produce('tx', count => 5, first => 10, partition => 0, transaction => 'abort');
ends_at('tx', 17, 'markers take offsets');
subscribe('tx', '{"stop_at": "latest"}');
has_finished('tx', 'an aborted transaction at the end');
is(positions('tx'), '0:17:17', 'it is passed, with its marker');
is(sql('SELECT count(*), max(pos) FROM tx'), '10|9', 'and not applied');

# what is still open is not there yet, and what is behind it neither
$kafka->produce('tx', count => 4, first => 20, partition => 0);
$kafka->produce('tx', count => 5, first => 30, partition => 0, transaction => 'open');
$kafka->produce('tx', count => 6, first => 40, partition => 0);
sql("SELECT stream_ingest.enable('tx')");
has_finished('tx', 'an open transaction at the end');
is(positions('tx'), '0:21:21', 'the run ends before it');
is(sql('SELECT count(*), max(id) FROM tx'), '14|23', 'with what was there');

# an end among messages that no reader sees, with nothing behind
$kafka->create_topic('hole', 1);
$kafka->produce('hole', count => 10, partition => 0, transaction => 'commit');
$kafka->produce('hole', count => 5, first => 10, partition => 0, transaction => 'abort');
ends_at('hole', 17, 'both markers are there');
subscribe('hole', '{"stop_at": {"0": 13}}');
has_finished('hole', 'an end in a hole');
is(positions('hole'), '0:13:13', 'an end in a hole is reached exactly');
$kafka->produce('hole', count => 3, first => 15, partition => 0);
sql("SELECT stream_ingest.alter_subscription('hole', options => '{\"stop_at\": {\"0\": 16}}');
	SELECT stream_ingest.enable('hole')");
has_finished('hole', 'an end in a hole with messages behind it');
is(positions('hole'), '0:16:16', 'an end in a hole with messages behind it is reached exactly');
is(sql('SELECT count(*), max(pos) FROM hole'), '10|9', 'and nothing more is applied');
sql("SELECT stream_ingest.alter_subscription('hole', options => '{\"stop_at\": \"latest\"}');
	SELECT stream_ingest.enable('hole')");
has_finished('hole', 'the rest');
is(sql('SELECT count(*), min(pos), max(pos) FROM hole WHERE id >= 15'), '3|17|19', 'the rest is taken');

# ---- offsets, three workers, and an end that is still to come ----

$kafka->create_topic('named', 3);
$kafka->produce('named', count => 3_000, round_robin => 3);
subscribe('named', '{"stop_at": {"0": 700, "2": 1500}, "workers": 3, "batch_size": 64}');
ok( StreamIngest::poll_until(
		$node,
		"SELECT string_agg(next_offset::text, ' ' ORDER BY partition) FROM stream_ingest.offsets WHERE name = 'named'",
		'700 1000 1000'),
	'each goes to its end');
ok( StreamIngest::poll_until(
		$node,
		"SELECT string_agg(state || COALESCE(': ' || reason, ''), '; ' ORDER BY worker) FROM stream_ingest.status WHERE name = 'named'",
		join('; ',
			('streaming: the run has ended in the partitions of this worker, and continues in others') x 2,
			'streaming')),
	'and who is there waits for the others');
is(finished_lines('named'), 0, 'it has not finished yet');
$kafka->produce('named', count => 3_000, first => 3_000, round_robin => 3);
has_finished('named', 'offsets');
is(positions('named'), '0:700:700 1:1000:1000 2:1500:1500', 'offsets: nothing is applied behind them');
is_exact('named', 'offsets');
is(finished_lines('named'), 1, 'offsets: finished once');

# ---- changed under load ----

$kafka->create_topic('alter', 1);
$kafka->produce('alter', count => 6_000, partition => 0);
subscribe('alter', '{"stop_at": "latest", "rate_limit": 150, "batch_size": 100}');
is_under_way('alter', 'alter');
$kafka->produce('alter', count => 1_000, first => 6_000, partition => 0);
sql("SELECT stream_ingest.alter_subscription('alter', options => '{\"batch_size\": 150}')");
ok( StreamIngest::poll_until(
		$node, "SELECT s.state IN ('catching_up', 'streaming') AND p.stop_offset = 6000
				  FROM stream_ingest.status s JOIN stream_ingest.progress p ON p.subscription = s.id WHERE s.name = 'alter'"),
	'alter: other options leave the end where it is');
sql("SELECT stream_ingest.alter_subscription('alter', options => '{\"stop_at\": \"latest\"}')");
ok( StreamIngest::poll_until(
		$node, "SELECT p.stop_offset FROM stream_ingest.progress p WHERE p.topic = 'alter'", 7000),
	'alter: given again, it is the end as it is now');
sql("SELECT stream_ingest.alter_subscription('alter', options => '{\"stop_at\": {\"0\": 6500}, \"rate_limit\": null}')");
has_finished('alter', 'alter');
is(positions('alter'), '0:6500:6500', 'alter: given again, as an offset');
is_exact('alter', 'alter');
sql("SELECT stream_ingest.alter_subscription('alter', options => '{\"stop_at\": {\"0\": 100}}');
	SELECT stream_ingest.enable('alter')");
has_finished('alter', 'alter, to what is behind');
is(positions('alter'), '0:6500:100', 'alter: what is behind is reached already');
is_exact('alter', 'alter, to what is behind');

# ---- what the broker has deleted, or recreated ----

$kafka->create_topic('gap', 2);
$kafka->produce('gap', count => 20, round_robin => 2);
subscribe('gap', '{"stop_at": {"1": 100}}');
ok( StreamIngest::poll_until(
		$node, "SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = 'gap'", 20),
	'gap: partition 0 is at its end, partition 1 is not');
$kafka->produce('gap', count => 10, first => 20, partition => 0);
$kafka->delete_records('gap', 0, 15);
sql("SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE name = 'gap'");
$kafka->produce('gap', count => 90, first => 30, partition => 1);
has_finished('gap', 'gap: messages deleted behind the end of the run');
is(positions('gap'), '0:10:10 1:100:100', 'gap: it is no gap of this run');
sql("SELECT stream_ingest.enable('gap')");
ok( StreamIngest::poll_until(
		$node, "SELECT state = 'stopped' AND reason LIKE 'messages 10 to 14 %' FROM stream_ingest.status WHERE name = 'gap'"),
	'gap: but of the next');
sql("SELECT stream_ingest.enable('gap')");
has_finished('gap', 'gap accepted');
is(positions('gap'), '0:20:20 1:100:100', 'gap: accepted, and the run goes to its end');

$kafka->create_topic('again', 1);
$kafka->produce('again', count => 10, partition => 0);
subscribe('again', '{"stop_at": "latest"}');
has_finished('again', 'again');
$kafka->delete_topic('again');
$kafka->create_topic('again', 1);
$kafka->produce('again', count => 3, partition => 0);
sql("TRUNCATE again; SELECT stream_ingest.seek('again', 'earliest')");
has_finished('again', 'a seek in a topic that was recreated');
is(positions('again'), '0:3:3', 'goes to the end that it has now');
is(sql('SELECT count(*) FROM again'), 3, 'with its messages');

done_testing();
