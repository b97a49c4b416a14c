# Subscriptions that are created, enabled, disabled and dropped again and again leave
# nothing behind: no slot (there are hardly more than the cycles need), no memory,
# no descriptor and no thread, in the launcher, the postmaster and the session.
#
# 60 cycles; 1,000 with STREAM_INGEST_FULL=1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $cycles = $ENV{CYCLES} // ($ENV{STREAM_INGEST_FULL} ? 1000 : 60);
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => {
		max_worker_processes => 8,
		'stream_ingest.max_subscriptions' => 2,
		'stream_ingest.max_workers' => 2,
		'stream_ingest.max_partitions' => 4
	});
my $session = $node->background_psql('postgres', on_error_stop => 1);
$session->set_query_timer_restart;
my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
my %process = (
	launcher => sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest launcher'}),
	postmaster => $postmaster,
	session => $session->query('SELECT pg_backend_pid()') =~ /(\d+)/);

# Descriptors, threads, and kB of memory of its own.
sub measure
{
	my ($pid) = @_;
	my @descriptors = glob("/proc/$pid/fd/*");
	my $status = slurp_file("/proc/$pid/status");
	my ($threads) = $status =~ /^Threads:\s+(\d+)$/m;
	my ($memory) = $status =~ /^RssAnon:\s+(\d+) kB$/m;

	return (scalar @descriptors, $threads, $memory);
}

# One cycle; what is dropped before it has begun is a cycle, too.
sub cycle
{
	my ($i) = @_;
	my @steps = (
		"create_subscription('s', 'kafka', 't', 't', options => '{\"workers\": 2}')",
		$i % 3 == 0 ? "wait_until_caught_up('s', '60 s')" : (),
		"disable('s')",
		"enable('s')",
		$i % 3 == 1 ? "wait_until_caught_up('s', '60 s')" : (),
		$i % 4 == 0 ? "alter_subscription('s', options => '{\"batch_size\": 1$i}')" : (),
		"drop_subscription('s')");

	$session->query("SELECT stream_ingest.$_") foreach @steps;
	return;
}

# What the session's memory contexts have taken.
sub contexts
{
	my ($bytes) = $session->query('SELECT sum(total_bytes) FROM pg_backend_memory_contexts') =~ /(\d+)/;

	return $bytes;
}

sub nothing_runs
{
	ok(poll(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('stream_ingest worker', 'stream_ingest scanner')}, 0),
		$_[0]);
	return;
}

$kafka->create_topic('t', 4);
$kafka->produce('t', count => 8, round_robin => 4);
sql('CREATE TABLE t (id bigint)');

# caches fill in the first ones
cycle($_) foreach 1 .. 12;
nothing_runs('no process runs after the first cycles');
my $contexts = contexts();
my %before = map { $_ => [ measure($process{$_}) ] } keys %process;
cycle($_) foreach 13 .. $cycles;
nothing_runs("no process runs after $cycles cycles");
foreach my $name (sort keys %process)
{
	my ($descriptors, $threads, $memory) = measure($process{$name});
	my @before = @{ $before{$name} };

	cmp_ok($descriptors, '<=', $before[0] + 3, "$name: $before[0] descriptors before, $descriptors after");
	is($threads, $before[1], "$name: as many threads");

	# malloc's own share grows for some hundred cycles
	cmp_ok($memory, '<', $before[2] + 16384, "$name: $before[2] kB of memory before, $memory after");
}
cmp_ok(contexts(), '<', $contexts + 256 * 1024, 'the memory contexts of the session do not grow');

# the launcher frees a slot after its process has ended
ok(poll('SELECT count(*) FROM stream_ingest.worker_slots()', 0), 'no slot of a worker is in use');
ok(poll('SELECT count(*) FROM stream_ingest.partition_slots()', 0), 'nor one of a partition');
is(sql('SELECT (SELECT count(*) FROM stream_ingest.subscription) + (SELECT count(*) FROM stream_ingest.progress)'),
	0, 'the tables are empty');

# all slots can be had
sql(q{TRUNCATE t; SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', options => '{"workers": 2}')});
ok(poll('SELECT count(*), count(DISTINCT id) FROM t', '8|8'), 'a subscription that takes all of them works');
ok(poll('SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL', 2), 'with two workers');
ok(poll('SELECT count(high_watermark) FROM stream_ingest.offsets', 4), 'and all watermarks');
# that the postmaster has not noticed yet that a process has ended is no leak
my @complaints = grep { /ERROR|are beyond/ } split /\n/, slurp_file($node->logfile);
is(join("\n", @complaints), '', 'the log has no complaint');
$session->quit;
done_testing();
