# Headers that cannot be read: librdkafka takes no more than 100,000 of a message.
# Such a message is not taken for one without headers where they are needed; it is a
# dead letter that keeps the rest.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $refusal = q{22P03|the message's headers cannot be read|They are malformed, or more than 100,000.};

sub caught_up
{
	my ($name) = @_;

	return is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"), 't', "$name: caught up");
}

# Of each message: is it there, and its headers?
sub rows { return sql('SELECT id, left(headers::text, 11) FROM mapped ORDER BY id'); }

$kafka->create_topic('t', 1);
$kafka->produce('t', ['k1|{"id": 1}'], partition => 0, key_separator => '|', headers => ['b=1']);
$kafka->produce('t', ['k2|{"id": 2}'], partition => 0, key_separator => '|', empty_headers => 100_001);
$kafka->produce('t', ['k3|{"id": 3}'], partition => 0, key_separator => '|');
$kafka->produce('t', ['k4|{"id": 4}'], partition => 0, key_separator => '|', empty_headers => 100_000);
$kafka->produce('t', ['k5|{"id": "five"}'], partition => 0, key_separator => '|', empty_headers => 100_001);
sql(q{
	CREATE TABLE mapped (id int, headers jsonb);
	CREATE TABLE unmapped (id int);
	SELECT stream_ingest.create_subscription('mapped', 'kafka', 't', 'mapped', mapping => '{"headers": "$headers"}');
	SELECT stream_ingest.create_subscription('unmapped', 'kafka', 't', 'unmapped')});

# ---- where they are mapped ----

caught_up('mapped');
is(rows(), qq(1|{"b": "1"}\n3|{}\n4|{"a": null}), 'messages with readable headers are rows, also one with 100,000 of them');
is(sql("SELECT sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'mapped' ORDER BY message_offset"),
	"$refusal\n$refusal", 'those with more are dead letters, and their errors say why');
is(sql(q{SELECT convert_from(key, 'UTF8'), convert_from(value, 'UTF8'), headers FROM stream_ingest.dead_letters
		WHERE name = 'mapped' AND message_offset = 1}),
	'k2|{"id": 2}|{}', 'key and value are kept, and the headers are shown as {}');
is(sql("SELECT stream_ingest.retry_dead_letters('mapped')"), 0, 'no retry takes them for messages without headers');
is(sql("SELECT sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'mapped' AND message_offset = 1"),
	$refusal, 'they are refused as before');
sql(q{SELECT stream_ingest.alter_subscription('mapped', mapping => '{"headers": null}')});
is(sql("SELECT stream_ingest.retry_dead_letters('mapped')"), 1, 'when the mapping needs no headers, a retry applies the good one');
is(rows(), qq(1|{"b": "1"}\n2|\n3|{}\n4|{"a": null}), 'which is a row then');

# a delete takes none
$kafka->create_topic('keyed', 1);
$kafka->produce('keyed', ['7|{"id": 7}'], partition => 0, key_separator => '|');
$kafka->produce('keyed', ['7|'], partition => 0, key_separator => '|', tombstones => 1, empty_headers => 100_001);
sql(q{
	CREATE TABLE keyed (id int PRIMARY KEY, headers jsonb);
	SELECT stream_ingest.create_subscription('keyed', 'kafka', 'keyed', 'keyed', insert_mode => 'upsert', mapping => '{"id": "$key", "headers": "$headers"}')});
caught_up('keyed');
is(sql(q{SELECT messages, dead_letters, (SELECT count(*) FROM keyed) FROM stream_ingest.counts WHERE name = 'keyed'}), '2|0|0', 'a tombstone deletes its row');

# ---- where nothing needs them ----

caught_up('unmapped');
is(sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM unmapped"), '1,2,3,4', 'a subscription that maps no headers has all rows');
is(sql("SELECT message_offset, sqlstate, headers FROM stream_ingest.dead_letters WHERE name = 'unmapped'"),
	'4|22P02|{}', 'and a dead letter of another cause shows that it had headers');

# ---- looking ----

my ($out, $err);
$node->psql('postgres', "SELECT count(*), count(headers) FROM stream_ingest.peek('kafka', 't', 10, 'earliest')",
	stdout => \$out, stderr => \$err);
is($out, '5|3', 'peek shows NULL for headers that cannot be read');
like($err, qr/the headers of the message at partition 0, offset 1 cannot be read/, 'and says so');

# ---- where a header has the id of the message's schema ----

# without the header this message would be one of schema 1
$kafka->create_topic('framed', 1);
$kafka->produce('framed', ['000000000102'], partition => 0, hex => 1);
$kafka->produce('framed', ['000000000104'], partition => 0, hex => 1, empty_headers => 100_001);
sql(q{
	CREATE TABLE framed (id int);
	SELECT stream_ingest.create_subscription('framed', 'kafka', 'framed', 'framed', format => 'avro',
		options => '{"wire_format": "confluent-header",
			"schemas": {"1": {"type": "record", "name": "r", "fields": [{"name": "id", "type": "int"}]}}}')});
caught_up('framed');
is(sql('SELECT id FROM framed'), 1, 'a message without the header is read as its serializer wrote it');
is(sql("SELECT sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'framed'"),
	$refusal, 'one whose headers cannot be read is not');

done_testing();
