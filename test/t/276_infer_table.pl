# A table that infer_table proposes for a topic of Avro or Protobuf takes every message of
# it: random schemas with random messages (test/infer_cases.py), also of two versions of a
# schema; and of a schema registry.
#
# SCHEMAS says how many there are (30) of each format, SEED chooses them.  PROTOBUF_PYTHON
# is a Python with Google's library and protoc, as run.sh sets it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use HttpDouble;
use JSON::PP;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $schemas = $ENV{SCHEMAS} // 30;
my $seed = $ENV{SEED} // int(rand(1_000_000));
note("SEED=$seed SCHEMAS=$schemas");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $json = JSON::PP->new->utf8->canonical;

# Hexadecimal messages of a topic of its own.
sub produce
{
	my ($topic, @hex) = @_;
	my $input = join('', map { "$_\n" } @hex);

	$kafka->create_topic($topic, 1);
	IPC::Run::run([ "$FindBin::RealBin/../produce", '-b', $kafka->bootstrap, '-t', $topic, '-x', '-p', 0 ],
		'<', \$input, '>', \my $out)
	  or die 'produce failed';
	return;
}

# What the proposed table says to each message: how many became a row, and the errors.
sub try_table
{
	my ($topic, $format, $options) = @_;

	return sql(qq{
		SELECT stream_ingest.infer_table('kafka', '$topic', '$topic', '$format', options => \$o\$$options\$o\$) AS proposal \\gset
		:proposal
		SELECT stream_ingest.create_subscription('$topic', 'kafka', '$topic', '$topic', format => '$format', enabled => false,
			options => \$o\$$options\$o\$, mapping => CASE WHEN strpos(:'proposal', 'use it with mapping') > 0 THEN '{"value": "\$value"}'::jsonb END) \\g /dev/null
		SELECT count(row_data), string_agg(DISTINCT sqlstate || ' ' || error, E'\\n') FROM stream_ingest.preview('$topic', 1000);
		SELECT stream_ingest.drop_subscription('$topic') \\g /dev/null});
}

# ---- random ones

my %python = (avro => 'python3', protobuf => $ENV{PROTOBUF_PYTHON});
foreach my $format (sort keys %python)
{
	SKIP:
	{
		skip "PROTOBUF_PYTHON is not set", 1 unless defined $python{$format};
		my ($made, $errors) = run_command([ $python{$format}, "$FindBin::RealBin/../infer_cases.py", $format, $schemas, $seed ]);
		my @cases = map { $json->decode($_) } split /\n/, $made;

		is(scalar @cases, $schemas, "$format: schemas were made")
		  or diag($errors);
		foreach my $i (0 .. $#cases)
		{
			my $topic = "${format}_$i";
			my $options = $json->encode($cases[$i]{options});
			my $count = scalar @{ $cases[$i]{messages} };

			produce($topic, @{ $cases[$i]{messages} });
			is(try_table($topic, $format, $options), "$count|", "$format, schema $i: all $count messages become rows")
			  or diag($options);
		}
	}
}

# ---- of a registry

my $double = HttpDouble->start('fake_registry.py',
	files => { 'schemas.json' => '{"1":{"type":"record","name":"o","fields":[{"name":"id","type":"int"}]},'
		  . '"2":{"type":"record","name":"o","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}}' });
sql("ALTER SERVER kafka OPTIONS (ADD schema_registry_url '" . $double->url . "')");
produce('asked', '0000000001' . '02', '0000000002' . '04' . '0261', '0000000001' . '06', '0000000002' . '08' . '0262');
is(try_table('asked', 'avro', '{}'), '4|', 'a registry is asked for the schemas');
is(sql("SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull, ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'asked'::regclass AND attnum > 0"),
	'id bigint true, name text false', 'and the table has what the newest one says');

is(sql("SELECT string_agg(value, ' ' ORDER BY message_offset) FROM stream_ingest.peek('kafka', 'asked', 10, format => 'avro')"),
	'{"id":1} {"id":2,"name":"a"} {"id":3} {"id":4,"name":"b"}', 'peek asks it, too');

# a registry that is away
$double->behave('status 500');
my ($status, undef, $err) = $node->psql('postgres', "SET statement_timeout = '60s';
	SELECT * FROM stream_ingest.peek('kafka', 'asked', 10, format => 'avro')");
like($err, qr/could not get a schema from the schema registry of server "kafka"/, 'peek says that it is away');
($status, undef, $err) = $node->psql('postgres', "SET statement_timeout = '60s';
	SELECT stream_ingest.infer_table('kafka', 'asked', 't', 'avro')");
like($err, qr/could not get a schema from the schema registry of server "kafka"/, 'and so does infer_table');

done_testing();
