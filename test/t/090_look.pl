# Looking into a real broker: topics, peek and infer_table; times, transactions,
# wrong passwords, and that a look ends at once when it is told to.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(answer);
use Test::More;
use Time::HiRes qw(time);

my $kafka = StreamIngest::start_kafka();
my $sasl = $kafka->add_sasl('app', 'secret');
my $node = StreamIngest::new_node('main', kafka => $kafka);

# no broker listens there, nor will one of the test beside us
my $nowhere = '127.0.0.1:1';
$node->safe_psql('postgres', <<"EOS");
CREATE SERVER nowhere FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$nowhere');
CREATE SERVER plain FOREIGN DATA WRAPPER stream_ingest
  OPTIONS (bootstrap_servers '$sasl', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
CREATE SERVER scram FOREIGN DATA WRAPPER stream_ingest
  OPTIONS (bootstrap_servers '$sasl', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'SCRAM-SHA-256');
CREATE USER MAPPING FOR PUBLIC SERVER scram OPTIONS (sasl_username 'app', sasl_password 'secret');
CREATE ROLE reader LOGIN;
GRANT USAGE ON FOREIGN SERVER plain TO reader;
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (sasl_username 'app', sasl_password 'sesame');
CREATE USER MAPPING FOR reader SERVER plain OPTIONS (sasl_username 'app', sasl_password 'secret');
EOS

# ---- topics, times, transactions

$kafka->create_topic('a', 3);
$kafka->create_topic('b', 1);
is(answer("SELECT * FROM stream_ingest.topics('kafka') WHERE topic !~ '^__'"),
	"a|3\nb|1", 'topics with their partitions');

$kafka->produce('a', [ map { "early $_" } 1 .. 20 ], round_robin => 3);
my $before = answer("SELECT max(message_timestamp) FROM stream_ingest.peek('kafka', 'a', 100)");
ok(StreamIngest::poll_until($node,
		"SELECT clock_timestamp() > '$before'::timestamptz + interval '10 ms'"),
	'the clock continues');
$kafka->produce('a', [ map { "late $_" } 1 .. 20 ], round_robin => 3);

is( answer("SELECT string_agg(DISTINCT split_part(value, ' ', 1), ','), count(*)
              FROM stream_ingest.peek('kafka', 'a', 20, 'latest')"),
	'late|20',
	'the newest over all partitions');
is( answer("SELECT string_agg(DISTINCT split_part(value, ' ', 1), ','), count(*)
              FROM stream_ingest.peek('kafka', 'a', 20, 'earliest')"),
	'early|20',
	'the earliest over all partitions');
is( answer("SELECT string_agg(DISTINCT split_part(value, ' ', 1), ','), count(*)
              FROM stream_ingest.peek('kafka', 'a', 100, ('$before'::timestamptz + interval '1 ms')::text)"),
	'late|20',
	'from a time on');
is( answer("SELECT count(*) FROM stream_ingest.peek('kafka', 'a', 100, 'tomorrow')"),
	'0', 'from a time on that is yet to come');
is( answer("SELECT value FROM stream_ingest.peek('kafka', 'a', 1, ('$before'::timestamptz + interval '1 ms')::text)"),
	'late 1',
	'the first one from a time on');

# every message is followed by a marker of its transaction, which is no message
for my $i (1 .. 30)
{
	$kafka->produce('b', ["kept $i"], transaction => 'commit', partition => 0);
	$kafka->produce('b', ["lost $i"], transaction => 'abort', partition => 0) if $i % 10 == 0;
}
is( answer("SELECT string_agg(value, ',') FROM stream_ingest.peek('kafka', 'b', 20)"),
	join(',', map { "kept $_" } 11 .. 30),
	'transactions: the newest committed ones');
is( answer("SELECT string_agg(value, ',') FROM stream_ingest.peek('kafka', 'b', 20, 'earliest')"),
	join(',', map { "kept $_" } 1 .. 20),
	'transactions: the earliest committed ones');

# ---- infer_table, run as it comes

$kafka->create_topic('orders', 2);
$kafka->produce('orders',
	[ map { "{\"id\": $_, \"amount\": $_.50, \"placed\": \"2026-01-05T09:30:00Z\"}" } 1 .. 200 ],
	round_robin => 2);
is( answer(
		"SELECT stream_ingest.infer_table('kafka', 'orders', 'orders') \\gexec\n"
		  . "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull, ', ' ORDER BY attnum)
		       FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attnum > 0"),
	'id bigint true, amount numeric true, placed timestamp with time zone true',
	'a table by its messages');

# ---- what goes wrong

like(answer("SELECT * FROM stream_ingest.peek('kafka', 'nothing')"),
	qr/42704: Kafka server "kafka" has no topic "nothing": /, 'an unknown topic');

my $wrong = answer("SELECT * FROM stream_ingest.topics('plain')");
like($wrong, qr/08004: Kafka server "plain" does not accept the connection: .*[Aa]uthentication/,
	'a wrong password is reported at once');
unlike($wrong, qr/sesame/, 'and does not appear');
is(answer("SELECT count(*) FROM stream_ingest.topics('plain') WHERE topic = 'a'",
		extra_params => [ '-U', 'reader' ]),
	'1', 'the mapping is that of who asks');
like(answer("SELECT * FROM stream_ingest.topics('kafka')", extra_params => [ '-U', 'reader' ]),
	qr/42501: permission denied for foreign server kafka/, 'and so is the privilege');

# older libraries cannot use SCRAM with this broker, newer ones miss the user
my $scram = answer("SELECT * FROM stream_ingest.topics('scram')");
like($scram, qr/08004: Kafka server "scram" does not accept the connection/, 'SCRAM fails');
my ($library) = (slurp_file('/usr/include/librdkafka/rdkafka.h') =~ /define RD_KAFKA_VERSION\s+(0x\w+)/);
SKIP:
{
	skip 'librdkafka has the fix', 1 if hex($library) >= 0x020601ff;
	like($scram, qr/HINT: .*librdkafka older than 2\.6\.1/, 'with a hint at the library');
}

my $began = time();
like(answer("SELECT * FROM stream_ingest.peek('nowhere', 'a')"),
	qr/08006: Kafka server "nowhere" did not answer within 10 seconds\nDETAIL: .*Connect/,
	'no broker there: an error with librdkafka\'s words');
cmp_ok(time() - $began, '<', 60, 'within its limit');

# ---- it ends at once, and leaves nothing behind

sub threads
{
	my ($pid) = @_;
	my @tasks = glob("/proc/$pid/task/*");

	return scalar @tasks;
}

# Polls until a backend has no thread but its own.
sub alone
{
	my ($pid) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while (threads($pid) > 1)
	{
		return 0 if time() > $deadline;
		select(undef, undef, undef, 0.02);
	}
	return 1;
}

# Starts a look at no broker in a session of its own; returns it and its process
# once the look is under way.
sub start_looking
{
	my ($sql) = @_;
	my $session = { in => '', out => '', err => '' };

	$session->{harness} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
	$session->{in} = "SELECT pg_backend_pid();\n$sql;\nSELECT 'over';\n";
	$session->{harness}->pump until $session->{out} =~ /^(\d+)\n/;
	$session->{pid} = $1;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	while (threads($session->{pid}) == 1)
	{
		die 'the look does not begin' if time() > $deadline;
		select(undef, undef, undef, 0.02);
	}
	return $session;
}

my $session = start_looking("SELECT * FROM stream_ingest.peek('nowhere', 'a')");
$began = time();
$node->safe_psql('postgres', "SELECT pg_cancel_backend($session->{pid})");
$session->{harness}->pump until $session->{out} =~ /over/;
my $took = time() - $began;
like($session->{err}, qr/canceling statement due to user request/, 'a look can be cancelled');
# else it would end 10 s after its beginning
cmp_ok($took, '<', 7, sprintf('at once (%.2f s)', $took));
ok(alone($session->{pid}), 'no thread stays behind');
$session->{in} = "SELECT count(*) FROM stream_ingest.peek('kafka', 'a', 100);\n" x 20;
$session->{harness}->pump until $session->{out} =~ /over\n(40\n){20}/;
ok(alone($session->{pid}), 'nor after twenty looks');
$session->{harness}->finish;

$session = start_looking("SELECT stream_ingest.infer_table('nowhere', 'a', 't')");
$began = time();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($session->{pid})");
ok(StreamIngest::poll_until($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $session->{pid}", 0),
	'a session ends during a look');
IPC::Run::finish($session->{harness});
like($session->{err}, qr/terminating connection due to administrator command/, 'in order');
cmp_ok(time() - $began, '<', 10, 'within its limit');

# a fast shutdown does not wait for brokers either
$session = start_looking("SELECT * FROM stream_ingest.topics('nowhere')");
$began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', 15, sprintf('a fast shutdown goes through (%.1f s)', time() - $began));
IPC::Run::finish($session->{harness});
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing crashed');

done_testing();
