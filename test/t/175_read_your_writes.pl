# Read your writes: who has produced a message and waits for its offset sees its
# row, and soon after the commit that brought it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $rounds = 1000;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { track_commit_timestamp => 'on' });

$kafka->create_topic('t', 3);
$node->safe_psql(
	'postgres', q{
	CREATE TABLE t (id bigint, payload text);
	CREATE TABLE waited (id bigint, seen boolean, ms double precision);
	SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't');
	SELECT stream_ingest.wait_until_caught_up('s');

	-- waits for a message; notes whether its row is there then, and how long
	-- ago that was committed
	CREATE PROCEDURE wait_for(id bigint, "partition" int, "offset" bigint) LANGUAGE plpgsql AS $$
	DECLARE
		returned timestamptz;
	BEGIN
		IF NOT stream_ingest.wait_for_offset('s', "partition", "offset") THEN
			RAISE 'offset % of partition % did not come', "offset", "partition";
		END IF;
		returned := clock_timestamp();
		COMMIT;
		INSERT INTO waited
			SELECT wait_for.id, count(*) = 1, max(extract(epoch FROM returned - pg_xact_commit_timestamp(t.xmin)) * 1000)
			  FROM t WHERE t.id = wait_for.id;
	END $$});

# one producer and one session for all rounds
my ($lines, $acknowledged, $errors) = ('', '', '');
my $producer = IPC::Run::start(
	[ "$FindBin::RealBin/../produce", '-b', $kafka->bootstrap, '-t', 't', '-r', 3, '-A' ],
	'<', \$lines, '>', \$acknowledged, '2>', \$errors,
	my $limit = IPC::Run::timer(600));
my $session = $node->background_psql('postgres');
$session->set_query_timer_restart;

my $answered = 0;
foreach my $id (1 .. $rounds)
{
	$lines .= "{\"id\": $id, \"payload\": \"x\"}\n";
	IPC::Run::pump($producer) until $acknowledged =~ /^(\d+) (\d+)\n/;
	$acknowledged = '';
	$answered++ if $session->query("CALL wait_for($id, $1, $2)") eq '';
}
$session->quit;
IPC::Run::finish($producer);
is($errors, '', 'the producer has no complaint');
is($answered, $rounds, "$rounds rounds");
is($node->safe_psql('postgres', 'SELECT count(*), count(*) FILTER (WHERE seen) FROM waited'),
	"$rounds|$rounds", 'every round sees its row');

my ($median, $late, $high, $most) = split /\|/, $node->safe_psql(
	'postgres', q{
	SELECT round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 2),
		round((percentile_cont(0.9) WITHIN GROUP (ORDER BY ms))::numeric, 2),
		round((percentile_cont(0.99) WITHIN GROUP (ORDER BY ms))::numeric, 2), round(max(ms)::numeric, 2) FROM waited});
diag("from the commit to the return: median $median ms, 99 of 100 below $high ms, at most $most ms");
cmp_ok($median, '<', 20, 'the wait ends soon after the commit');
cmp_ok($late, '<', 50, 'in nine of ten rounds, too');

# who comes late does not wait, and what does not come is waited for no longer
# than was said
is($node->safe_psql('postgres', q{SELECT stream_ingest.wait_for_offset('s', 0, 0)}), 't', 'what is there is not waited for');
is($node->safe_psql('postgres', q{SELECT stream_ingest.wait_for_offset('s', 0, 100000, '50 ms')}), 'f', 'a wait can be in vain');

done_testing();
