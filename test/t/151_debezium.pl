# examples/debezium on a real broker: the copies are the source's tables row by
# row, after a quiet run, after one in which workers were killed, decoded ahead or
# not; and the same changes as Avro, whose schemas come from a registry.
#
# CHANGES is how many messages each table has (3,000), SEED chooses them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use HttpDouble;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $half = ($ENV{CHANGES} // 3000) / 2;
my $seed = $ENV{SEED} // int(rand(1_000_000));
my $partitions = 3;
my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $example = "$FindBin::RealBin/../../examples/debezium";

note("SEED=$seed CHANGES=" . 2 * $half);

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

sub run_file
{
	my ($file, %variable) = @_;

	return $node->safe_psql('postgres', slurp_file("$example/$file"),
		extra_params => [ map { ('-v', "$_=$variable{$_}") } sort keys %variable ]);
}

# The lines that the generator prints.
sub generate
{
	my @args = @_;
	my ($out, $err);

	IPC::Run::run([ 'python3', "$example/generate.py", @args, $seed ], '<', \'', '>', \$out, '2>', \$err)
	  or die "the generator failed: $err";
	return split /\n/, $out;
}

# The copies after so many messages of each table.
sub check_copies
{
	my ($when, $count) = @_;

	foreach my $name ('customers', 'orders')
	{
		is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"), 't', "$when: $name has read all")
		  or diag(sql('TABLE stream_ingest.status'));
		is(sql("SELECT messages, applied + ignored, dead_letters, gap_messages FROM stream_ingest.counts WHERE name = '$name'"),
			"$count|$count|0|0",
			"$when: the counts of $name are exact");
	}
	my %expected = map { $_ => 1 } generate('--expected', $count);
	my @found = split /\n/, run_file('result.sql');
	my @wrong = grep { !delete $expected{$_} } @found;

	is(join("\n", @wrong), '', "$when: the copies have no row that the tables have not");
	is(join("\n", sort keys %expected), '', "$when: the copies have every row of the tables");
	return;
}

# ---- JSON, without schemas and with them ----

my %changes;
foreach my $table ('customers', 'orders')
{
	my @messages = generate($table, 2 * $half);

	$changes{$table} = [ [ @messages[ 0 .. $half - 1 ] ], [ @messages[ $half .. 2 * $half - 1 ] ] ];
	$kafka->create_topic("shop.public.$table", $partitions);
	is($kafka->produce("shop.public.$table", $changes{$table}[0], key_separator => '|', tombstones => 1),
		$half, "the first half of $table is in its topic");
}

$node->append_conf('postgresql.conf', 'stream_ingest.decode_ahead = off');
$node->reload;
run_file('schema.sql');
run_file('subscription.sql', bootstrap => $kafka->bootstrap,
	customers => 'shop.public.customers', orders => 'shop.public.orders');
check_copies('a quiet run', $half);

$node->append_conf('postgresql.conf', 'stream_ingest.decode_ahead = on');
$node->reload;
foreach my $table ('customers', 'orders')
{
	sql("SELECT stream_ingest.alter_subscription('$table', options => '{\"rate_limit\": $half}')");
	is($kafka->produce("shop.public.$table", $changes{$table}[1], key_separator => '|', tombstones => 1),
		$half, "the second half of $table is in its topic");
}
StreamIngest::poll_until($node,
	"SELECT bool_and(messages > $half + $half / 10) FROM stream_ingest.counts") or BAIL_OUT('the copies stand still');
my $worker = StreamIngest::worker_pid($node, 'customers');
kill('KILL', $worker) or BAIL_OUT("cannot kill $worker");
StreamIngest::poll_until($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $worker", 0)
  or BAIL_OUT('the worker cannot be killed');
StreamIngest::poll_until($node, 'SELECT 1', 1) or BAIL_OUT('the server does not come back');
check_copies('decoded ahead, and killed', 2 * $half);
is(sql('SELECT bool_or(rolsuper) FROM stream_ingest.subscriptions JOIN pg_roles ON rolname = owner::name'),
	'f', 'the owners are no superusers');

# ---- every change as a row, by both write paths ----

foreach my $path ('off', 'on')
{
	$node->append_conf('postgresql.conf', "stream_ingest.decode_ahead = $path\nstream_ingest.direct_write = $path");
	$node->reload;
	ok(poll('SHOW stream_ingest.direct_write', $path), "direct_write is $path");
	sql("CREATE TABLE log_$path (op text, id uuid, total numeric, rate numeric, placed_at timestamp, lines jsonb, rest jsonb)");
	sql("SELECT stream_ingest.create_subscription('log_$path', 'kafka', 'shop.public.orders', 'log_$path', "
		  . "mapping => '{\"op\": \"\$op\", \"rest\": \"\$rest\"}', options => '{\"envelope\": \"debezium\", \"truncate\": \"ignore\"}')");
	is(sql("SELECT stream_ingest.wait_until_caught_up('log_$path', '$limit s')"), 't', "log_$path: all is read");
	is(sql("SELECT write_path FROM stream_ingest.status WHERE name = 'log_$path'"),
		$path eq 'on' ? 'direct' : 'statement', "log_$path: the path");
}
is(sql('SELECT count(*) FROM ((TABLE log_on EXCEPT ALL TABLE log_off) UNION ALL (TABLE log_off EXCEPT ALL TABLE log_on)) AS d'),
	0, 'both paths wrote the same rows');
is(sql("SELECT string_agg(DISTINCT op, '' ORDER BY op), count(*) > 1000, bool_and(rest ? 'waited') FROM log_on"),
	'cru|t|t', 'each change that has a row is one');

# ---- Avro, whose schemas come from a registry ----

my $value = '{"type":"record","name":"Value","fields":[{"name":"id","type":"int"},{"name":"name","type":["null","string"]},'
  . '{"name":"total","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]}]}';
my $envelope = '{"type":"record","name":"Envelope","fields":[{"name":"before","type":["null",' . $value
  . ']},{"name":"after","type":["null","Value"]},{"name":"op","type":"string"}]}';
my $key = '{"type":"record","name":"Key","fields":[{"name":"id","type":"int"}]}';

# 1 and 2 are created; the name of 1 is left unchanged and its total set to NULL;
# 2 is deleted, and its tombstone follows.  Each is key;value in hexadecimal.
my $placeholder = '38' . unpack('H*', '__debezium_unavailable_value');
my @events = (
	'000000000102;000000000200' . '02' . '02' . '020261' . '020404d2' . '0263',
	'000000000104;000000000200' . '02' . '04' . '020262' . '020404d2' . '0263',
	"000000000102;000000000200" . '02' . '02' . "02$placeholder" . '00' . '0275',
	'000000000104;000000000202' . '04' . '00' . '00' . '00' . '0264',
	'000000000104;');
my $url = HttpDouble->start('fake_registry.py', files => { 'schemas.json' => "{\"1\":$key,\"2\":$envelope}" })->url;

$kafka->create_topic('shop.avro', 1);
sql("CREATE SERVER avro FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '" . $kafka->bootstrap
	  . "', schema_registry_url '$url')");
sql('CREATE TABLE avro_copy (id int PRIMARY KEY, name text NOT NULL, total numeric)');
IPC::Run::run([ "$FindBin::RealBin/../produce", '-b', $kafka->bootstrap, '-t', 'shop.avro', '-p', 0, '-x', '-y', '-Z', '-K', ';' ],
	'<', \join('', map { "$_\n" } @events), '>', \my $sent);
is($sent + 0, 5, 'the changes are in the topic as Avro');
sql("SELECT stream_ingest.create_subscription('avro_copy', 'avro', 'shop.avro', 'avro_copy', format => 'avro', "
	  . "insert_mode => 'upsert', options => '{\"envelope\": \"debezium\"}')");
is(sql("SELECT stream_ingest.wait_until_caught_up('avro_copy', '$limit s')"), 't', 'Avro: all is read');
is(sql('TABLE avro_copy'), '1|a|', 'Avro: the copy is the table');
is(sql("SELECT messages, dead_letters FROM stream_ingest.counts WHERE name = 'avro_copy'"), '5|0', 'Avro: no dead letters')
  or diag(sql('SELECT sqlstate, error, detail FROM stream_ingest.dead_letters'));

done_testing();
