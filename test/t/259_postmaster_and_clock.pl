# What is outside the server's hands: the postmaster is killed and no process stays;
# librdkafka hangs at the end of a worker, which is bounded; the machine's clock is set
# forward and back.
#
# test/disturb.c is preloaded for the last two.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $orders = "$PostgreSQL::Test::Utils::tmp_check/disturb";
append_to_file($orders, "\0" x 16);
my $kafka = StreamIngest::start_kafka();
my $node;
my $sent = 0;

sub disturbed
{
	my ($start) = @_;

	local $ENV{LD_PRELOAD} = "$FindBin::RealBin/../disturb.so";
	local $ENV{DISTURB_FILE} = $orders;
	return $start->();
}

# Writes an order; see disturb.c.
sub order
{
	my ($at, $value) = @_;

	open(my $file, '+<:raw', $orders) or die "$orders: $!";
	sysseek($file, $at * 8, 0);
	syswrite($file, pack('q', $value));
	close($file);
	return;
}

sub all_arrived
{
	my ($what) = @_;

	$kafka->produce('t', count => 20, first => $sent, partition => 0);
	$sent += 20;
	ok(poll('SELECT count(*), count(DISTINCT id) FROM t', "$sent|$sent"), $what);
	return;
}

sub our_processes
{
	return sql(q{SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type LIKE 'stream\_ingest%'});
}

sub ended
{
	my ($pids) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (grep { kill(0, $_) } split / /, $pids)
	{
		return 0 if time() > $deadline;
		select(undef, undef, undef, 0.05);
	}
	return 1;
}

$node = disturbed(sub { StreamIngest::new_node('main', kafka => $kafka) });
$kafka->create_topic('t', 1);
sql(q{CREATE TABLE t (id bigint); CREATE TABLE limited (id bigint);
	CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '55P03'; END $$;
	SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't', options => '{"batch_size": 100}');
	SELECT stream_ingest.create_subscription('limited', 'kafka', 't', 'limited', options => '{"rate_limit": 1000}')});
all_arrived('messages are applied');

# ---- the clock

# a worker that waits to retry, and one that the launcher starts again after a delay
foreach my $jump (86400 * 400, -86400 * 400)
{
	my $what = sprintf('the clock is set to %d days from now', $jump / 86400);

	sql('CREATE TRIGGER busy BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION busy()');
	$kafka->produce('t', count => 20, first => $sent, partition => 0);
	$sent += 20;
	poll("SELECT retry_at IS NOT NULL FROM stream_ingest.status WHERE name = 't' AND state = 'retrying'", 't')
	  or BAIL_OUT('the worker does not retry');
	order(0, $jump);
	sql('DROP TRIGGER busy ON t');
	all_arrived("$what: a worker that waits to retry continues");
	sql("SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE name = 't'");
	all_arrived("$what: the launcher starts a worker again");
	ok(poll('SELECT count(*) FROM limited', $sent), "$what: the rate limit lets messages through");
	ok(poll("SELECT lag FROM stream_ingest.offsets WHERE name = 't'", 0), "$what: the lag is known");
}

order(0, 0);

# ---- librdkafka hangs when it is destroyed

my $pid = StreamIngest::worker_pid($node, 't');
my $began = time();
order(1, 1);
sql(q{SELECT stream_ingest.disable('t')});
ok(ended($pid), 'a worker ends though librdkafka hangs');

# five, where the machine has time
cmp_ok(time() - $began, '<', 40, 'within seconds');
like(slurp_file($node->logfile), qr/the Kafka consumer of subscription "t" did not stop in time/, 'and the log says so');
sql(q{SELECT stream_ingest.enable('t')});
all_arrived('the next one works');
$began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', 40, 'a fast shutdown is bounded, too');
order(1, 0);

# ---- the postmaster is killed, under full load

disturbed(sub { $node->start });
my $load = $kafka->produce_start('t', count => 300_000, first => $sent, partition => 0);
$sent += 300_000;
poll("SELECT count(*) > $sent - 280000 FROM t", 't') or BAIL_OUT('no load');
my $processes = our_processes();
StreamIngest::crash($node);
ok(ended($processes), 'the postmaster is killed, and no process of ours stays');
$node->start;
StreamIngest::produce_wait($load);
all_arrived('all is there, exactly once');
done_testing();
