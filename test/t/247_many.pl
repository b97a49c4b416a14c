# Many subscriptions: more than there are workers, one of them on a topic of
# many partitions.  The others wait with a reason; all workers are back soon
# after a restart; and what an idle worker costs is printed.  run.sh shows lines
# that begin with "figure: ".
#
# RUNNING, DEFINED and PARTITIONS: 8, 40 and 100; with STREAM_INGEST_FULL=1
# they are 32, 200 and 1,000, and the restart takes less than ten seconds.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time sleep);

my $full = $ENV{STREAM_INGEST_FULL};
my $running = $ENV{RUNNING} // ($full ? 32 : 8);
my $defined = $ENV{DEFINED} // ($full ? 200 : 40);
my $partitions = $ENV{PARTITIONS} // ($full ? 1000 : 100);
my $most_seconds = $full ? 10 : 30;
my $watched_seconds = $full ? 30 : 5;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { max_worker_processes => $running + 4, 'stream_ingest.max_workers' => $running, max_connections => 20 });
my $streaming = q{SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming'};

# CPU in seconds and the number of wake-ups of all threads of a process.
sub usage
{
	my ($pid) = @_;
	my ($cpu, $wakes) = (0, 0);

	foreach my $task (glob "/proc/$pid/task/*")
	{
		my @stat = split ' ', (split /\) /, slurp_file("$task/stat"))[-1];
		$cpu += ($stat[11] + $stat[12]) / 100;
		$wakes += $1 if slurp_file("$task/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
	}
	return ($cpu, $wakes);
}

# Memory of its own in MB, threads and connections of a process.
sub size
{
	my ($pid) = @_;
	my ($anonymous) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
	my @threads = glob "/proc/$pid/task/*";
	my @sockets = grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$pid/fd/*";

	return ($anonymous / 1024, scalar @threads, scalar @sockets);
}

$kafka->create_topic('wide', $partitions);
$kafka->create_topic('t', 1);
$kafka->produce('wide', count => 10 * $partitions, round_robin => $partitions);
$kafka->produce('t', count => 10);
sql(q{CREATE TABLE wide (id bigint); CREATE TABLE t (id bigint);
	SELECT stream_ingest.create_subscription('wide', 'kafka', 'wide', 'wide')});
sql("SELECT stream_ingest.create_subscription(('s' || i)::name, 'kafka', 't', 't') FROM generate_series(1, $defined - 1) i");

# ---- as many run as may, the others say why not ----

ok(poll($streaming, $running), "$running of $defined subscriptions run");
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE state = 'starting' AND reason LIKE 'waiting for a worker: all %'}, $defined - $running),
	'the others wait with a reason')
  or diag(sql('SELECT state, reason, count(*) FROM stream_ingest.status GROUP BY 1, 2'));
ok(poll('SELECT count(*), count(DISTINCT id) FROM wide', 10 * $partitions . '|' . 10 * $partitions), "$partitions partitions in one worker: exact");

# one that ends makes room for one that waits
my $first = sql(q{SELECT name FROM stream_ingest.status WHERE pid IS NOT NULL AND name <> 'wide' ORDER BY 1 LIMIT 1});
sql("SELECT stream_ingest.disable('$first')");
ok(poll($streaming, $running), 'one that is disabled makes room for another');

# ---- all are back after a restart ----

$node->stop;
my $began = time();
$node->start;
ok(poll($streaming, $running), 'after a restart all run');
my $seconds = time() - $began;
cmp_ok($seconds, '<', $most_seconds, 'the restart takes no longer than it may');
note(sprintf('figure: %d workers stream %.1f s after the start began', $running, $seconds));
is(sql('SELECT count(*), count(DISTINCT id) FROM wide'), 10 * $partitions . '|' . 10 * $partitions, 'nothing was read twice');

# ---- what an idle one costs ----

foreach my $name ('wide', 'others')
{
	my $similar = $name eq 'wide' ? "name = 'wide'" : "name <> 'wide'";
	my @pids = split /\n/, sql("SELECT pid FROM stream_ingest.status WHERE pid IS NOT NULL AND $similar");
	my (%cpu, %wakes);
	my ($cpu, $wakes, $memory, $threads, $sockets) = (0) x 5;

	($cpu{$_}, $wakes{$_}) = usage($_) foreach @pids;
	sleep($watched_seconds);
	foreach my $pid (@pids)
	{
		my ($cpu_now, $wakes_now) = usage($pid);
		my @size = size($pid);

		$cpu += $cpu_now - $cpu{$pid};
		$wakes += $wakes_now - $wakes{$pid};
		$memory += $size[0];
		$threads += $size[1];
		$sockets += $size[2];
	}
	my $share = 100 * $cpu / $watched_seconds / @pids;
	my $size = $name eq 'wide' ? "$partitions partitions" : 'one partition';
	cmp_ok($share, '<', 5, "an idle worker of $size takes little time");
	note(sprintf('figure: idle, %s: %.2f %% of a core, %.0f wake-ups/s, %.1f MB, %.0f threads, %.0f sockets each',
			$size, $share, $wakes / $watched_seconds / @pids, $memory / @pids, $threads / @pids, $sockets / @pids));
}

done_testing();
