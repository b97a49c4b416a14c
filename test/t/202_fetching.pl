# What goes wrong while a worker makes its consumer, or fetches: it ends, since what it has
# interrupted is not known, and its successor loses no message.  And however many
# messages a worker fetches, it can be stopped between them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

# what fails: see fail_malloc.c
use constant { OUTSIDE => 3, TERMINATE => 4, WAIT_SET => 5 };
use constant ANY_PROCESS => -1;

# the most messages that are fetched without a look at what has come (SI_FETCH_CHUNK)
use constant CHUNK => 1000;

my $kafka = StreamIngest::start_kafka();
my ($node, $orders) = StreamIngest::new_failing_node('main', kafka => $kafka);

sub poll { my ($sql, $expected) = @_; return StreamIngest::poll_until($node, $sql, $expected, 120); }

# Gives the order, to a process.
sub order
{
	my ($pid, $what, $countdown) = @_;

	open(my $file, '+<:raw', $orders) or die "$orders: $!";
	sysseek($file, 4, 0);
	syswrite($file, pack('l*', $what, $countdown, 0));
	sysseek($file, 0, 0);
	syswrite($file, pack('l', $pid));
	return;
}

# Takes the order back; returns how often it was obeyed.
sub obeyed
{
	open(my $file, '+<:raw', $orders) or die "$orders: $!";
	sysseek($file, 12, 0);
	sysread($file, my $failed, 4);
	sysseek($file, 0, 0);
	syswrite($file, pack('l', 0));
	return unpack('l', $failed);
}

sub streams
{
	my ($name) = @_;

	return poll(
		"SELECT count(*) FROM stream_ingest.status WHERE name = '$name' AND state = 'streaming' AND reason IS NULL", 1);
}

# ---- the consumer ----

# Its wait set cannot be made.  A worker that kept the consumer would wait for ever, for nothing.
$kafka->create_topic('w', 1);
$kafka->produce('w', count => 10, partition => 0);
sql(q{
	CREATE TABLE w (id bigint, payload text);
	SELECT stream_ingest.create_subscription('w', 'kafka', 'w', 'w', enabled => false)});
order(ANY_PROCESS, WAIT_SET, 0);
sql(q{SELECT stream_ingest.enable('w')});
ok(poll('SELECT count(*) FROM w', 10), 'a worker whose wait set cannot be made has a successor that streams');
is(obeyed(), 1, '...: that was so');
like(slurp_file($node->logfile), qr/ERROR: .*epoll_create1 failed: Too many open files/, '...: and the log has it');
sql(q{SELECT stream_ingest.disable('w')});

# ---- an error while fetching ----

# The first of some messages cannot be read, so that the worker makes words for that, and
# one of its allocations outside a transaction fails: in each round the next one.
$kafka->create_topic('a', 2);
sql(q{
	CREATE TABLE a (id bigint, payload text);
	SELECT stream_ingest.create_subscription('a', 'kafka', 'a', 'a')});
my $sent = 0;
my $n = 0;
my $failed = 1;

while ($failed)
{
	# at once, where the launcher would wait longer each time
	sql(q{SELECT stream_ingest.disable('a'), stream_ingest.enable('a')});
	streams('a') or die 'it does not stream';
	order(StreamIngest::worker_pid($node, 'a'), OUTSIDE, $n);
	$kafka->produce('a', count => 20, first => $sent, round_robin => 2);
	$sent += 20;
	ok(poll('SELECT count(*), count(DISTINCT id) FROM a', "$sent|$sent"), "allocation $n while fetching: all rows are there")
	  or die 'what is lost once stays lost';
	$failed = obeyed();
	$n++ if $failed;
}
cmp_ok($n, '>=', 2, "$n allocations did fail, those for the words of the unreadable message among them");
is(sql('SELECT count(*) FROM stream_ingest.gaps'), '0', 'no gap');
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), '0', 'no dead letter');
sql(q{SELECT stream_ingest.disable('a')});

# ---- a long fetch ----

# The worker is told to end while many messages wait to be fetched for one batch.
$kafka->create_topic('long', 1);
sql(q{
	CREATE TABLE long (id bigint, payload text);
	SELECT stream_ingest.create_subscription('long', 'kafka', 'long', 'long',
		options => '{"batch_size": 1000000, "batch_bytes": "1GB"}')});
streams('long');
order(StreamIngest::worker_pid($node, 'long'), TERMINATE, 10 * CHUNK);
$kafka->produce('long', count => 20 * CHUNK, partition => 0);
ok(poll('SELECT count(*), count(DISTINCT id) FROM long', join('|', (20 * CHUNK) x 2)), 'a long fetch: all rows are there');
my $taken = obeyed();
cmp_ok($taken, '>', 0, '...: in which the worker was told to end');
cmp_ok($taken, '<=', CHUNK, "...: and it took $taken more, no further chunk");

unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'no process has crashed');
$node->stop;
done_testing();
