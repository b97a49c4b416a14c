# A subscription goes through its states: each is announced, the log has a line
# for each that matters, and pg_stat_activity shows the worker as it should.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $listener = $node->background_psql('postgres');
$listener->set_query_timer_restart;
my @events;

# Takes what was announced since the last time.
sub hear
{
	my $out = $listener->query("SELECT 'heard'");

	push @events, $1 while $out =~ /notification "stream_ingest" with payload "(.*?)" received/g;
	return;
}

# Waits until the subscription is in a state, and that has been announced.
sub becomes
{
	my ($state) = @_;

	ok(StreamIngest::poll_until($node, "SELECT state FROM stream_ingest.status WHERE name = 's'", $state), "it is $state");
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $last = '';
	do
	{
		hear();
		($last) = $events[-1] =~ /"state": "(\w+)"/ if @events;
		select(undef, undef, undef, 0.05) if $last ne $state;
	} while ($last ne $state && time() < $deadline);
	is($last, $state, "$state: the last announcement");
	return;
}

$listener->query('LISTEN stream_ingest');
sql(q{
	CREATE ROLE plain LOGIN;
	GRANT USAGE ON FOREIGN SERVER kafka TO plain;
	GRANT CREATE ON SCHEMA public TO plain;
	SET ROLE plain;
	CREATE TABLE t (id bigint);
	SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', options => '{"on_error": "stop"}')});
my $id = sql('SELECT id FROM stream_ingest.subscriptions');

becomes('stopped');
$kafka->create_topic('t', 1);
becomes('streaming');
sql(q{SELECT stream_ingest.disable('s')});
becomes('disabled');
sql(q{SELECT stream_ingest.enable('s')});
becomes('streaming');
$kafka->produce('t', ['{"id": "no number"}'], partition => 0);
becomes('stopped');
sql(q{SELECT stream_ingest.skip('s', 0, 0)});
becomes('streaming');
$kafka->kill9;
becomes('retrying');
$kafka->start;
becomes('streaming');
sql('REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
sql('SELECT pg_terminate_backend(pid) FROM stream_ingest.status');
becomes('stopped');
sql('GRANT CONNECT ON DATABASE postgres TO PUBLIC');
becomes('streaming');

# All of them, in this order.  catching_up may be over before it is told, and a broker that
# has just told of a topic may not lead its partition yet.
my $up = 'connecting( catching_up)? streaming';
my $states = join(' ', map { /"state": "(\w+)"/ } @events);
like($states,
	qr/^starting connecting stopped( starting)?( connecting)?( retrying)?( catching_up)? streaming disabled starting $up stopped starting $up retrying( $up| streaming) stopped $up$/,
	'every change of state was announced, in order');
is(join("\n", grep { !/^\{"subscription": $id, "state": "\w+"\}$/ } @events), '', 'and nothing was told but the state');

# ---- the log ----

# ours, without the time
sub lines
{
	return map { /LOG:  ((?:worker \d+ of )?subscription "s" .*)/ ? $1 : () } split /\n/, slurp_file($node->logfile);
}

my $begun = qr/worker 0 of subscription "s" has started\n/;
my $ended = qr/worker 0 of subscription "s" has stopped$/;

# How many more starts than ends the log has now.
sub running
{
	my @now = lines();

	return grep({ "$_\n" =~ $begun } @now) - grep({ /$ended/ } @now);
}

# the last one to end may not have told yet
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
select(undef, undef, undef, 0.05) until running() <= 1 || time() > $limit;
my @lines = lines();

# a worker tells of its end when it has released its slot, and its successor may be faster
my $log = join("\n", grep { !/$ended/ } @lines);
my $well = qr/subscription "s" is (?:catching_up|streaming)\n/;
my $bad = qr/subscription "s" is (?:stopped|retrying): /;
my $more = qr/(?:subscription "s" is retrying: [^\n]*\n)*/;    # another reason of the same
my @expected = (
	$begun, qr/${bad}topic "t": [^\n]*[uU]nknown topic[^\n]*\n/, $more, $well,    # disabled
	$begun, $well, qr/${bad}message at[^\n]*\n/,    # skipped
	$begun, $well, qr/$more$bad[^\n]*refused[^\n]*\n$more(?:$begun)?/, $well,    # killed
	qr/${bad}role "plain" may not connect to this database; GRANT CONNECT[^\n]*\n/,
	$begun, $well);
my $expected = join('', @expected);
like("$log\n", qr/^$expected$/,
	'the log has a line for each start and change of state, in order');

# one runs; one may have ended because it could not connect, before it told of its start
like(running(), qr/^[01]$/, 'and for each stop');
my $before = lines();

# messages that come one by one, each a batch of its own
$kafka->produce('t', [ map { "{\"id\": $_}" } 1 .. 200 ], partition => 0,
	properties => [ 'batch.num.messages=1', 'linger.ms=0' ]);
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM t', 200), '200 messages');
my $after = lines();
is($after, $before, 'and no line for messages');

# ---- pg_stat_activity ----

my $named = sql('SHOW server_version_num') >= 170000;
is( sql(q{
	SELECT backend_type, application_name, a.datname, usename FROM pg_stat_activity a
	  JOIN stream_ingest.status s USING (pid)}),
	'stream_ingest worker|stream_ingest s|postgres|plain',
	'the worker in pg_stat_activity');

# The worker waits for this.
sub waits
{
	my ($event) = @_;

	$event = 'Extension' if !$named;
	ok( StreamIngest::poll_until($node,
			"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND wait_event_type = 'Extension' AND wait_event = '$event'"),
		"it waits: $event");
	return;
}

waits('StreamIngestIdle');
$kafka->kill9;
becomes('retrying');
sql('SELECT pg_terminate_backend(pid) FROM stream_ingest.status');
waits('StreamIngestFetch');
waits('StreamIngestRetry');
$listener->quit;

done_testing();
