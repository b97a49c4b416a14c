# ALTER EXTENSION ... UPDATE of a database with the tables of version 1.0, as it
# is after a restart with the new library: while messages flow and another
# database's worker is busy.  Subscriptions resume by themselves, exact.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $half = 10_000;
my $messages = 30_000;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $bootstrap = $kafka->bootstrap;
my $exact = q{SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t UNION ALL
	SELECT (convert_from(value, 'UTF8')::json ->> 'id')::bigint FROM stream_ingest.dead_letters) a};

sub new { return $node->safe_psql('postgres', $_[0]); }
sub old { return $node->safe_psql('old', $_[0]); }

# The rows of a table of the new version, as the old one would have them.
sub hand_down
{
	my ($table) = @_;
	my $columns = old("SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute"
		  . " WHERE attrelid = '$table'::regclass AND attnum > 0 AND NOT attisdropped");

	new("COPY (SELECT $columns FROM $table) TO '$dir/rows'");
	old("COPY $table ($columns) FROM '$dir/rows'");
	return;
}

# ---- half of the topic, with a dead letter in each hundred ----

my $table = 'CREATE TABLE t (id bigint CHECK (id % 100 <> 7), payload text); GRANT INSERT, SELECT ON t TO streams';
$kafka->create_topic('t', 2);
$kafka->produce('t', count => $half, round_robin => 2);
new(qq{
	CREATE ROLE streams LOGIN;
	CREATE DATABASE old;
	GRANT USAGE ON FOREIGN SERVER kafka TO streams;
	$table;
	SET ROLE streams;
	SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', options => '{"rate_limit": 8000}')});
is(new(q{SELECT stream_ingest.wait_until_caught_up('s', '180 s')}), 't', 'half of the topic is there');
new(q{SELECT stream_ingest.disable('s')});

# ---- the same as version 1.0 had it, in another database ----

old(qq{
	CREATE EXTENSION stream_ingest VERSION '1.0';
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	GRANT USAGE ON FOREIGN SERVER kafka TO streams;
	$table});
hand_down($_) foreach qw(t stream_ingest.subscription stream_ingest.progress stream_ingest.dead_letter);
old(q{
	UPDATE stream_ingest.subscription SET enabled = true, target = 't'::regclass,
		database = (SELECT oid FROM pg_database WHERE datname = current_database()),
		extension = (SELECT oid FROM pg_extension WHERE extname = 'stream_ingest');
	SELECT setval('stream_ingest.subscription_id_seq', 1);
	SELECT setval('stream_ingest.dead_letter_id_seq', (SELECT max(id) FROM stream_ingest.dead_letter))});
$node->restart;

# the other database works, however often the old one cannot be read
my $producer = $kafka->produce_start('t', count => $messages - $half, first => $half, round_robin => 2);
new(q{SELECT stream_ingest.enable('s')});
ok($node->poll_query_until('postgres', "SELECT count(*) > $half FROM t"), 'a database of the new version works beside it');
is(old('SELECT count(*) FROM t'), $half * 99 / 100, 'nothing is read into tables of version 1.0');

# ---- the update ----

old(q{BEGIN; ALTER EXTENSION stream_ingest UPDATE; ROLLBACK});
is(old(q{SELECT extversion FROM pg_extension WHERE extname = 'stream_ingest'}), '1.0', 'an update that is rolled back has no effect');
old(q{ALTER EXTENSION stream_ingest UPDATE TO '1.1'});
ok($node->poll_query_until('old', q{SELECT state IN ('catching_up', 'streaming') FROM stream_ingest.status}),
	'the subscription resumes by itself');
StreamIngest::produce_wait($producer);
foreach my $database ('old', 'postgres')
{
	is($node->safe_psql($database, q{SELECT stream_ingest.wait_until_caught_up('s', '180 s')}), 't', "$database: it catches up");
	is($node->safe_psql($database, $exact), "$messages|$messages", "$database: no message is missing or double");
	is($node->safe_psql($database, 'SELECT count(*), min(attempts), max(attempts) FROM stream_ingest.dead_letters'),
		$messages / 100 . '|1|1', "$database: each bad message is a dead letter");
	is($node->safe_psql($database, 'SELECT messages, applied, dead_letters FROM stream_ingest.counts'),
		join('|', $messages, $messages * 99 / 100, $messages / 100), "$database: the counts are exact");
}

# once more, under load in the database itself: there is nothing to do
old(q{SELECT stream_ingest.disable('s')});
old(q{TRUNCATE t; SELECT stream_ingest.discard_dead_letters('s'); SELECT stream_ingest.seek('s', 'earliest');
	SELECT stream_ingest.enable('s')});
ok($node->poll_query_until('old', 'SELECT count(*) > 1000 FROM t'), 'messages flow');
old('ALTER EXTENSION stream_ingest UPDATE');
is(old(q{SELECT stream_ingest.wait_until_caught_up('s', '180 s')}), 't', 'and after an update to the same version');
is(old($exact), "$messages|$messages", 'no message is missing or double');

done_testing();
