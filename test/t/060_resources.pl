# What a worker costs: next to no processor time while idle, and memory that
# does not grow with the messages.
#
# STREAM_INGEST_FULL=1 reads 5,000,000 messages instead of 1,500,000.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $full = $ENV{STREAM_INGEST_FULL};
my $count = $full ? 5_000_000 : 1_500_000;
my $idle_seconds = $full ? 60 : 15;
my $limit = $full ? 900 : $PostgreSQL::Test::Utils::timeout_default;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# Processor time of all threads of a process, in seconds.
sub cpu_seconds
{
	my ($pid) = @_;
	my $ns = 0;

	foreach my $file (glob("/proc/$pid/task/*/schedstat"))
	{
		$ns += (split ' ', slurp_file($file))[0];
	}
	return $ns / 1e9;
}

# Of each of librdkafka's threads in a process: how often it has waited for something.
sub library_threads
{
	my ($pid) = @_;
	my %threads;

	foreach my $task (glob("/proc/$pid/task/*"))
	{
		slurp_file("$task/comm") =~ /^rdk:/ or next;
		($threads{$task}) = slurp_file("$task/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
	}
	return %threads;
}

# Memory of its own in MB: shared buffers that it has touched do not count.
sub memory
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 / 1024 : 0;
}

$kafka->create_topic('t', 3);
sql('CREATE UNLOGGED TABLE t (id bigint, payload text)');
is($kafka->produce('t', count => $count, round_robin => 3), $count, "$count messages are in the topic");

# ---- memory ----

my @samples;

# Samples in a part of the run; in its first third buffers grow to what they need.
sub samples
{
	my ($from, $to) = @_;

	return map { $_->[1] } grep { $_->[0] > $count * $from && $_->[0] <= $count * $to } @samples;
}

sub most { return max(0, samples(@_)); }

# Reads all with a worker of its own; returns its process, and how long it took.
sub read_all
{
	sql(q{SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', options => '{"batch_size": 1000}')});
	my $pid = StreamIngest::worker_pid($node, 's');
	my $began = time();
	my $deadline = $began + $limit;

	@samples = ();
	while (1)
	{
		my $done = sql('SELECT coalesce(sum(next_offset), 0) FROM stream_ingest.offsets');

		push @samples, [ $done, memory($pid) ];
		last if $done >= $count || time() > $deadline;
	}
	return ($pid, time() - $began);
}

# a run from which this process was kept by others, so that it took hardly a sample, says nothing
my ($worker, $took) = read_all();
foreach (1 .. 4)
{
	last if $samples[-1][0] < $count || (samples(1 / 3, 2 / 3) >= 5 && samples(2 / 3, 1) >= 5);
	note('too few samples: again');
	sql(q{SELECT stream_ingest.drop_subscription('s'); TRUNCATE t});
	($worker, $took) = read_all();
}
is($samples[-1][0], $count, 'all are read');
is(sql('SELECT count(*) FROM t'), $count, 'and are in the table');
is(StreamIngest::worker_pid($node, 's'), $worker, 'by one and the same process');

my $before_last = most(1 / 3, 2 / 3);
my $last = most(2 / 3, 1);
my @shown = grep { defined } map {
	my $at = $_ * $count / 10;
	(grep { $_->[0] >= $at } @samples)[0]
} 1 .. 10;
note(sprintf('%d messages in %.1f s; MB of the worker\'s own memory at each tenth: %s',
		$count, $took, join(' ', map { sprintf('%.1f', $_->[1]) } @shown)));
cmp_ok($last, '<', $before_last * 1.1 + 4,
	sprintf('memory is flat: at most %.1f MB in the second third, %.1f MB in the last', $before_last, $last));

# ---- idle ----

ok( StreamIngest::poll_until(
		$node, "SELECT state, messages_per_second FROM stream_ingest.status", 'streaming|0'),
	'the worker is idle');
my @pids = ($worker,
	sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest launcher'"));
my @before = map { cpu_seconds($_) } @pids;
my %threads_before = library_threads($worker);
my $from = time();

# this is no waiting for something: the time itself is what is measured
select(undef, undef, undef, $idle_seconds);
my $elapsed = time() - $from;
my @percent = map { (cpu_seconds($pids[$_]) - $before[$_]) / $elapsed * 100 } 0 .. 1;
cmp_ok($percent[0] + $percent[1], '<', 0.5,
	sprintf('idle: the worker takes %.3f %% of a core, the launcher %.3f %%', @percent));

# the thread that fetches does so twice a second, and has a few timers; the others have these alone
my %threads = library_threads($worker);
my $most_waits = max(map { ($threads{$_} - $threads_before{$_}) / $elapsed } keys %threads);
is(join(' ', sort keys %threads), join(' ', sort keys %threads_before), 'it has the same threads');
cmp_ok($most_waits, '<', 7, sprintf('its fetches wait at the broker: a thread of the library wakes %.1f times a second', $most_waits));

done_testing();
