# Lag is true or it is NULL with a reason: while nothing flows, while the
# worker waits for a lock, while the broker is stopped, killed or back; and
# rate, time_lag and catch_up_in say what the manual has of them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

# how old a number may be, from slots.h, and what a loaded machine adds
my ($period) = slurp_file("$FindBin::RealBin/../../src/shmem/slots.h") =~ /^#define SI_WATERMARK_MS\s+(\d+)/m;
my ($times) = slurp_file("$FindBin::RealBin/../../src/shmem/slots.h") =~ /^#define SI_WATERMARK_AGE_MS\s+\((\d+) \* SI_WATERMARK_MS\)/m;
my $age_limit = $times * $period / 1000;
my $slack = 10;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# Polls for the answer and notes how long it took.
sub comes
{
	my ($sql, $expected, $what, $limit) = @_;
	my $began = time();
	my $came = StreamIngest::poll_until($node, $sql, $expected, $limit);

	ok($came, $what . sprintf(' (%.1f s)', time() - $began));
	return;
}

my $lag = "SELECT string_agg(coalesce(lag::text, '-'), ' ' ORDER BY partition)"
  . " FROM stream_ingest.offsets WHERE name = 's'";
my $ends = "SELECT string_agg(concat(low_watermark, '..', high_watermark), ' ' ORDER BY partition)"
  . " FROM stream_ingest.offsets WHERE name = 's'";
my $unknown = "SELECT bool_and(lag IS NULL AND low_watermark IS NULL AND high_watermark IS NULL"
  . " AND time_lag IS NULL) FROM stream_ingest.offsets WHERE name = 's'";

# Is a lag that is not known explained, at each moment?  It may become unknown between
# the query's looks at the one view and at the other, but not also in those of a second query.
sub unexplained
{
	my $sql = "SELECT count(*) FROM stream_ingest.offsets o JOIN stream_ingest.status s USING (name)"
	  . " WHERE o.name = 's' AND o.lag IS NULL AND coalesce(s.reason, '') = ''";

	return sql($sql) && sql($sql);
}

# ---- nothing flows ----

$kafka->create_topic('t', 3);
sql('CREATE TABLE t (id bigint)');
$kafka->produce('t', [ map { qq({"id": $_}) } 1 .. 300 ], round_robin => 3);
sql("SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't')");
comes($lag, '0 0 0', 'caught up');
comes($ends, '0..100 0..100 0..100', 'first and next offset of each partition');
comes("SELECT state, reason, messages_per_second, catch_up_in FROM stream_ingest.status", 'streaming||0|',
	'nothing flows');
comes("SELECT DISTINCT time_lag FROM stream_ingest.offsets", '00:00:00', 'and nothing is late');
$kafka->delete_records('t', 0, 40);
comes($ends, '40..100 0..100 0..100', 'what the broker forgets raises the low watermark', $age_limit + $slack);

# ---- the worker waits for a lock ----

my $blocker = $node->background_psql('postgres');
$blocker->query_safe('BEGIN; LOCK TABLE t');
$kafka->produce('t', [ map { qq({"id": $_}) } 1 .. 30 ], round_robin => 3);
comes($lag, '10 10 10', 'lag while the worker waits for a lock', $age_limit + $slack);
$kafka->produce('t', [ map { qq({"id": $_}) } 1 .. 60 ], round_robin => 3);
comes($lag, '30 30 30', 'grows', $age_limit + $slack);
comes("SELECT bool_and(time_lag BETWEEN clock_timestamp() - last_message_at - interval '1 s'"
	  . " AND clock_timestamp() - last_message_at) FROM stream_ingest.offsets",
	't', 'time_lag is the age of the last message applied');
comes("SELECT messages_per_second, catch_up_in FROM stream_ingest.status", '0|',
	'no rate is shown for what stands still');

# ... and the broker is away: nothing in the worker could say so
$kafka->kill9;
comes($unknown, 't', 'lag of a waiting worker without a broker is not known', $age_limit + $slack);
like(sql("SELECT reason FROM stream_ingest.status"),
	qr/^waiting for .*; the lag of 3 of 3 partitions is not known: the brokers have not answered for \d+ seconds$/,
	'and the reason says so');
$kafka->start;
comes($lag, '30 30 30', 'it is known again', $age_limit + 3 * $slack);
$blocker->query_safe('COMMIT');
comes($lag, '0 0 0', 'and then 0');

# ---- the broker is stopped, killed, and comes back ----

foreach my $way (qw(pause kill9))
{
	my $began = time();
	my $bare = 0;
	my $gone;

	$kafka->$way;
	while (time() - $began < $age_limit + $slack)
	{
		$bare += unexplained();
		$gone = sql($unknown) eq 't';
		last if $gone;
		select(undef, undef, undef, 0.1);
	}
	ok($gone, sprintf('%s: lag is not known after %.1f s', $way, time() - $began));
	is($bare, 0, "$way: never without a reason");
	note($way . ': ' . sql('SELECT state, reason, last_error FROM stream_ingest.status'));
	is(unexplained(), 0, "$way: and there is one now");
	$way eq 'pause' ? $kafka->resume : $kafka->start;
	comes($lag, '0 0 0', "$way: lag is known again", $age_limit + 3 * $slack);
	$kafka->produce('t', [ map { qq({"id": $_}) } 1 .. 3 ], round_robin => 3);
	comes("SELECT sum(lag), sum(high_watermark) = " . ($way eq 'pause' ? 393 : 396)
		  . ", string_agg(DISTINCT state || coalesce(reason, ''), ' ')"
		  . " FROM stream_ingest.offsets JOIN stream_ingest.status USING (name)",
		'0|t|streaming', "$way: and true");
}

# ---- messages never cease to come ----

my $go = PostgreSQL::Test::Utils::tempdir() . '/go';

# So often that no fetch is empty, from which alone the library learns of an end.
sub streams_beside
{
	my ($topic, $what, @how) = @_;
	my $command = join(' ', map { "'$_'" } $kafka->_produce_command($topic, partition => 0, @how));

	$kafka->create_topic($topic, 2);
	sql("CREATE TABLE $topic (id bigint)");
	StreamIngest::replace_file($go, '');
	my $producer = IPC::Run::start(
		[ 'bash', '-c', qq(while [ -e '$go' ]; do echo '{"id": 1}'; sleep 0.05; done | $command) ], '>', '/dev/null');
	my $began = time();
	select(undef, undef, undef, 0.1) while $kafka->end_offset($topic, 0) < 5 && time() - $began < 60;
	sql("SELECT stream_ingest.create_subscription('$topic', 'kafka', '$topic', '$topic')");
	my $state = "SELECT state, since FROM stream_ingest.status WHERE name = '$topic'";

	comes("SELECT state FROM ($state) s", 'streaming', "$what: streaming", 60);
	# a worker that was held up until a whole batch was waiting may say so once
	my $still = 0;
	foreach (1 .. 5)
	{
		my $before = sql($state);
		my $applied = sql("SELECT count(*) FROM $topic");

		StreamIngest::poll_until($node, "SELECT count(*) > $applied + 5 FROM $topic") or last;
		$still = sql($state) eq $before && $before =~ /^streaming/;
		last if $still;
	}
	ok($still, "$what: and messages still come, while it is streaming");
	unlink $go;
	$producer->finish;
	sql("SELECT stream_ingest.drop_subscription('$topic')");
	return;
}

streams_beside('steady', 'steady messages', properties => ['linger.ms=0']);
streams_beside('steady_tx', 'steady transactions', transaction => 'each');

# ---- no worker asks ----

sql("SELECT stream_ingest.disable('s')");
comes($unknown, 't', 'a disabled subscription has no worker that asks');
like(sql("SELECT state, reason FROM stream_ingest.status"), qr/^disabled\|.*disabled/,
	'and says that it is disabled');
# so many that most of them are still to come whenever it is asked
$kafka->produce('t', [ map { qq({"id": $_}) } 1 .. 3000 ], round_robin => 3);
sql("SELECT stream_ingest.alter_subscription('s', options => '{\"rate_limit\": 1, \"batch_size\": 1}')");
sql("SELECT stream_ingest.enable('s')");
comes("SELECT sum(lag) BETWEEN 2500 AND 3000 AND sum(high_watermark) = 396 + 3000 FROM stream_ingest.offsets", 't',
	'enabled again, it knows what came meanwhile');

# ---- rate and time to catch up ----

# two workers, of which one has something to do
sql("SELECT stream_ingest.drop_subscription('s')");
$kafka->create_topic('r', 4);
$kafka->produce('r', count => 20000, partition => 0);
sql('CREATE TABLE r (id bigint)');
sql("SELECT stream_ingest.create_subscription('r', 'kafka', 'r', 'r',"
	  . " options => '{\"workers\": 2, \"rate_limit\": 40}')");
comes("SELECT worker, messages_per_second BETWEEN 15 AND 25,"
	  . " catch_up_in BETWEEN interval '200 s' AND interval '1400 s'"
	  . " FROM stream_ingest.status WHERE messages_per_second > 0 AND catch_up_in IS NOT NULL",
	'0|t|t', 'a worker says what it does and when it is done');
comes("SELECT abs(extract(epoch FROM s.catch_up_in) - o.lag / s.messages_per_second) < 100"
	  . " FROM stream_ingest.status s JOIN stream_ingest.offsets o USING (name)"
	  . " WHERE s.worker = 0 AND o.partition = 0",
	't', 'by its lag and its rate');
is(sql("SELECT messages_per_second, catch_up_in FROM stream_ingest.status WHERE worker = 1"), '0|',
	'the other one has nothing to do');
comes("SELECT time_lag > interval '3 s' AND time_lag <= clock_timestamp() - last_message_at"
	  . " FROM stream_ingest.offsets WHERE partition = 0",
	't', 'what waits grows old');
$blocker->query_safe('BEGIN; LOCK TABLE r');
comes("SELECT messages_per_second, catch_up_in FROM stream_ingest.status WHERE worker = 0", '0|',
	'who has to wait for a lock has no rate any more', 60);
comes('SELECT lag > 0 FROM stream_ingest.offsets WHERE partition = 0', 't', 'but a lag');
$blocker->query_safe('COMMIT');
sql("SELECT stream_ingest.alter_subscription('r', options => '{\"rate_limit\": null}')");
comes("SELECT string_agg(DISTINCT concat(lag, ' ', time_lag), ',') FROM stream_ingest.offsets",
	'0 00:00:00', 'until the end is reached');

done_testing();
