# One allocation fails, any of them: no message is lost, none becomes a dead
# letter for it, and a dead letter has its headers.
#
# Each round gives two subscriptions a fresh worker and lets the n-th allocation
# fail that it makes while it fetches and applies some messages: first each of
# the extension's own, then the server's by chance.
#
# ROUNDS says how many of the latter (3; 100 with STREAM_INGEST_FULL=1), SEED
# repeats a run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $rounds = $ENV{ROUNDS} // ($ENV{STREAM_INGEST_FULL} ? 100 : 3);
my $seed = $ENV{SEED} // int(rand(1_000_000));
srand($seed);
note("SEED=$seed");

use constant { EXTENSION => 1, SERVER => 2 };

my $kafka = StreamIngest::start_kafka();
my ($node, $orders) = StreamIngest::new_failing_node('main', kafka => $kafka);

sub poll { my ($sql, $expected) = @_; return StreamIngest::poll_until($node, $sql, $expected, 120); }

# Writes or reads an order; see fail_malloc.c.
sub order
{
	my ($slot, $at, @values) = @_;

	open(my $file, '+<:raw', $orders) or die "$orders: $!";
	sysseek($file, $slot * 16 + $at * 4, 0);
	if (@values) { syswrite($file, pack('l*', @values)); return; }
	sysread($file, my $value, 4);
	return unpack('l', $value);
}

$kafka->create_topic('t', 1);
sql(q{
	CREATE TABLE a (id bigint PRIMARY KEY, h jsonb);
	CREATE TABLE b (k text PRIMARY KEY, id bigint);
	SELECT stream_ingest.create_subscription('a', 'kafka', 't', 'a', mapping => '{"h": "$headers"}', enabled => false,
		options => '{"tombstones": "ignore"}');
	SELECT stream_ingest.create_subscription('b', 'kafka', 't', 'b', enabled => false,
		insert_mode => 'upsert')});

my $good = 0;
my $bad = 0;

# Sends ten good messages, two bad ones, and tombstones for two of the good.
sub send_messages
{
	my @lines = map { "k$_|{\"id\": $_, \"k\": \"k$_\"}" } $good .. $good + 9;

	$kafka->produce('t', [ @lines[ 0 .. 4 ], 'bad|{"id": }', 'bad|{"id": "x"}', @lines[ 5 .. 9 ] ],
		key_separator => '|', headers => ['name=value'], partition => 0);
	$kafka->produce('t', [ "k$good|", '"k' . ($good + 1) . '"|' ], key_separator => '|', tombstones => 1, partition => 0);
	$good += 10;
	$bad += 2;
	return;
}

# One round; returns how many of the two allocations have failed.
sub fail_one
{
	my ($callers, @countdown) = @_;
	my $what = ($callers == EXTENSION ? 'extension' : 'server') . " @countdown";
	my $failed = 0;

	sql("SELECT stream_ingest.disable(name), stream_ingest.enable(name) FROM (VALUES ('a'), ('b')) v(name)");
	poll("SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming' AND reason IS NULL", 2);
	foreach my $slot (0, 1)
	{
		my $pid = StreamIngest::worker_pid($node, ('a', 'b')[$slot]);

		order($slot, 1, $callers, $countdown[$slot], 0);
		order($slot, 0, $pid);
	}
	send_messages();
	my $deleted = $good / 5;
	ok( poll(
			'SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b),'
			  . q{ (SELECT count(*) FROM a WHERE h ->> 'name' = 'value'),}
			  . ' (SELECT count(*) FROM stream_ingest.dead_letters)',
			join('|', $good, $good - $deleted, $good, 2 * $bad)),
		"$what: all rows and dead letters are there")
	  or die 'what is lost once stays lost';
	foreach my $slot (0, 1)
	{
		$failed += order($slot, 3);
		order($slot, 0, 0);
	}
	note("$what: $failed failed");
	return $failed;
}

my $n = 0;
while (fail_one(EXTENSION, $n, $n) > 0) { $n++; }
cmp_ok($n, '>', 2, 'allocations of the extension did fail');

foreach (1 .. $rounds)
{
	fail_one(SERVER, int(rand(60)), int(rand(60)));
}

is( sql(q{SELECT string_agg(DISTINCT sqlstate, ' '), count(*) FILTER (WHERE headers IS NULL) FROM stream_ingest.dead_letters}),
	'22P02|0', 'what is a dead letter is a bad message, with its headers');
is( sql('SELECT DISTINCT messages - applied - ignored - dead_letters FROM stream_ingest.counts'), '0', 'the counts agree');
is(sql('SELECT count(*) FROM stream_ingest.gaps'), '0', 'no gap');

# ---- decode() in a session ----

# An allocation that fails is an error, and no message's; and a caller that catches it
# finds the transaction as it was.
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query('SELECT pg_backend_pid()');
my $tries = 0;

sql('CREATE TABLE tries (n int, rows int)');
$session->query(q{
	CREATE FUNCTION try_decode(n int) RETURNS void LANGUAGE plpgsql AS $f$
	DECLARE
		r record;
	BEGIN
		BEGIN
			SELECT * INTO r FROM stream_ingest.decode('json',
				convert_to('{"a": [' || repeat('"1234567890",', 20000) || '1]}', 'UTF8'));
			INSERT INTO public.tries VALUES (n, CASE WHEN r.error IS NULL THEN 1 ELSE -1 END);
		EXCEPTION WHEN out_of_memory THEN
			INSERT INTO public.tries VALUES (n, 0);
		END;
	END $f$;
	SELECT try_decode(0)});
foreach my $callers (EXTENSION, SERVER)
{
	foreach my $countdown (0 .. 25)
	{
		order(0, 1, $callers, $countdown, 0);
		order(0, 0, $pid);
		$session->query('SELECT try_decode(1)');
		order(0, 0, 0);
		$tries++ if order(0, 3);
	}
}
# a failure elsewhere in the statement is the statement's
cmp_ok($tries, '>', 10, "decode: $tries allocations did fail");
is(sql('SELECT count(*) FILTER (WHERE rows < 0) FROM tries'), '0', 'decode: none is called an error of the message');
cmp_ok(sql('SELECT count(*) FILTER (WHERE rows = 0) FROM tries'), '>', 0, 'decode: they can be caught');
$session->query('INSERT INTO tries VALUES (2, 1)');
is(sql('SELECT count(*) FROM tries WHERE n = 2'), '1', 'decode: and leave no subtransaction open');
$session->quit;

$node->stop;
done_testing();
