# The first contact with a topic, by several workers.
#
# Which partitions were there at first contact decides where a partition without a
# position begins: at "start", or at its first message.  The first worker stores it,
# and the others go by that, also one that has read the subscription before.
#
# Workers are frozen (SIGSTOP), so that the topic grows between their contacts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# Freezes a worker where it waits, as it does nearly all the time: anywhere else it might
# hold a lock of the server's memory.
sub freeze
{
	my ($worker) = @_;
	my $pid = sql("SELECT pid FROM stream_ingest.status WHERE worker = $worker");
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (time() < $deadline)
	{
		StreamIngest::suspend($pid) or BAIL_OUT("no process $pid");
		my $waits = sql("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid") eq 'Extension';
		return $pid if $waits;
		kill('CONT', $pid);
		select(undef, undef, undef, 0.05);
	}
	BAIL_OUT("worker $worker does not wait");
}

# both know the subscription, and ask for the topic again and again
sql('CREATE TABLE two (id int)');
sql(q{SET client_min_messages = error;
	SELECT stream_ingest.create_subscription('two', 'kafka', 'two', 'two', options => '{"workers": 2, "start": "latest"}')});
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL AND state = 'stopped'}, 2),
	'two workers ask for a topic that is not there');
my $second = freeze(1);
$kafka->create_topic('two', 1);
ok(poll(q{SELECT next_offset FROM stream_ingest.offsets WHERE partition = 0}, 0), 'one of them finds the topic');
my $first = freeze(0);
$kafka->add_partitions('two', 2);
$kafka->produce('two', count => 3, first => 0, partition => 1);
kill('CONT', $second);
ok(poll(q{SELECT next_offset FROM stream_ingest.offsets WHERE partition = 1}, 3), 'the other one finds it grown');
is(sql('SELECT count(*) FROM two'), 3, 'and passes none of the messages over that are in the new partition');
kill('CONT', $first);
sql(q{SELECT stream_ingest.drop_subscription('two')});
done_testing();
