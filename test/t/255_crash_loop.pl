# A message that crashes the server, by a C function of a user's, puts the cluster
# in no loop: after five crashes in a row its subscription is stopped with the
# reason, and no other one; in between sessions can log in.  skip() passes over the
# message, which the log names.
#
# 258_crash_count.pl shows which crashes count.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $neighbour = "$FindBin::RealBin/../neighbour";
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

sub status
{
	my ($name) = @_;

	return "SELECT state, reason, last_error_sqlstate FROM stream_ingest.status WHERE name = '$name'";
}

# How often the log says that a worker died by a signal.
sub crashes
{
	my @crashes = slurp_file($node->logfile) =~ /stream_ingest worker.* was terminated by signal/g;

	return scalar @crashes;
}

my $stopped = 'stopped|its worker has crashed the server 5 times in a row; see the server log, '
  . 'fix the cause and call enable(), or skip() the message|57P02';

sql(qq{
	CREATE FUNCTION crash_if(text, text) RETURNS text LANGUAGE c AS '$neighbour', 'crash_if';
	CREATE TABLE good (id bigint PRIMARY KEY, word text);
	CREATE TABLE bad (id bigint PRIMARY KEY, word text CHECK (crash_if(word, 'bad') IS NOT NULL))});
$kafka->create_topic($_, 1) foreach 'good', 'bad';
sql(qq{SELECT stream_ingest.create_subscription(t, 'kafka', t, t::regclass) FROM unnest('{good, bad}'::text[]) t});
$kafka->produce('bad', [ map { qq({"id": $_, "word": "fine"}) } 1 .. 50 ]);
$kafka->produce('good', count => 100);
ok(poll('SELECT (SELECT count(*) FROM bad), (SELECT count(*) FROM good)', '50|100'), 'both subscriptions apply messages');

# ---- the loop ends

my $began = time();
my $longest = 0;
my $logins = 0;
$kafka->produce('bad', [ '{"id": 51, "word": "fine"}', '{"id": 52, "word": "bad"}', '{"id": 53, "word": "fine"}' ]);
until ((eval { sql(status('bad')) } // '') eq $stopped)
{
	my $asked = time();

	# an administrator, in the middle of it
	poll('SELECT 1', 1) or BAIL_OUT('the server does not come back');
	$logins++;
	$longest = time() - $asked if time() - $asked > $longest;
	last if time() > $began + $PostgreSQL::Test::Utils::timeout_default;
	select(undef, undef, undef, 0.1);
}
is(sql(status('bad')), $stopped, sprintf('the subscription is stopped, after %.0f s', time() - $began));
is(crashes(), 5, 'after five crashes');
cmp_ok($longest, '<', 60, sprintf('a session could log in all the time (%d did, the slowest in %.1f s)', $logins, $longest));
like(slurp_file($node->logfile),
	qr/Failed process was running: applying a batch of \d+ messages, the first at partition 0, offset (?:50|51)$/m,
	'the log says where it was');
$kafka->produce('good', count => 100, first => 100);
ok(poll('SELECT count(*), count(DISTINCT id) FROM good', '200|200'), 'the other subscription continues, exactly once');
is(sql('SELECT stop_state, stop_sqlstate FROM stream_ingest.subscription WHERE name = $$bad$$'),
	'stopped|57P02', 'that is stored');
$node->restart;
ok(poll(status('bad'), $stopped), 'it stays so after a restart');

# ---- what resumes it

sql(q{SELECT stream_ingest.skip('bad', 0, 51)});
ok(poll(q{SELECT (SELECT count(*) FROM bad), state, reason FROM stream_ingest.status WHERE name = 'bad'}, '52|streaming|'),
	'skip() resumes it, with all but the message');
is(sql(q{SELECT message_offset FROM stream_ingest.dead_letters WHERE name = 'bad'}), 51, 'which is a dead letter');

done_testing();
