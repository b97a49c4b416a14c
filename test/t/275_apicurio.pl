# A real schema registry, by both of its APIs: schemas of values and keys, a schema
# that changes while messages come, an id that it does not have, and a wrong path.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $script = "$FindBin::RealBin/../registry.sh";
my $directory = "$PostgreSQL::Test::Utils::tmp_check/registry";
my $http = HTTP::Tiny->new(timeout => $PostgreSQL::Test::Utils::timeout_default, proxy => undef, http_proxy => undef);

system_or_bail('bash', $script, 'start', $directory);

END
{
	my $status = $?;

	system('bash', $script, 'stop', $directory);
	$? = $status;
}

my $address = slurp_file("$directory/address");
chomp $address;
my $apis = "http://$address/apis";

# Registers a schema; returns its id.
sub register
{
	my ($subject, $schema, %more) = @_;
	my $response = $http->post("$apis/ccompat/v7/subjects/$subject/versions",
		{ headers => { 'Content-Type' => 'application/vnd.schemaregistry.v1+json' }, content => encode_json({ schema => $schema, %more }) });

	die "could not register: $response->{status} $response->{content}" unless $response->{success};
	return decode_json($response->{content})->{id};
}

sub record { my ($name, @fields) = @_; return encode_json({ type => 'record', name => $name, fields => \@fields }); }

my $id = { name => 'id', type => 'int' };
my $old = register('orders-value', record('o', $id, { name => 'name', type => 'string' }));
my $new = register('orders-value', record('o', $id, { name => 'mail', type => [ 'null', 'string' ], default => undef }, { name => 'name', type => 'string' }));
my $key = register('orders-key', record('k', $id));
my $other = register('other', 'syntax = "proto3"; package o; message M { int32 i = 1; message In { string s = 1; } } message N { sint32 v = 1; }', schemaType => 'PROTOBUF');
my $descriptor = register('descriptor', 'Cghkcy5wcm90bxIBbyIfCgFNEgkKAWkYASABKAUaDwoCSW4SCQoBcxgBIAEoCSIOCgFOEgkKAXYYASABKBFiBnByb3RvMw==', schemaType => 'PROTOBUF');

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# Messages as hexadecimal keys and values, with ids of that many bytes.
sub produce
{
	my ($topic, $size, @messages) = @_;
	my $input = '';

	foreach my $message (@messages)
	{
		my ($key_id, $key_hex, $value_id, $value_hex) = @$message;
		my $frame = sub { return sprintf('00%0*x', 2 * $size, $_[0]) . $_[1]; };
		$input .= $frame->($key_id, $key_hex) . ';' . (defined $value_id ? $frame->($value_id, $value_hex) : '') . "\n";
	}
	IPC::Run::run([ "$FindBin::RealBin/../produce", '-b', $kafka->bootstrap, '-t', $topic, '-p', 0, '-x', '-y', '-Z', '-K', ';' ],
		'<', \$input, '>', \my $out)
	  or die 'could not produce';
	return;
}

foreach my $api ([ 'confluent', '/ccompat/v7/', 'confluent', 4 ], [ 'apicurio', '/registry/v2', 'apicurio', 8 ])
{
	my ($name, $path, $wire, $size) = @$api;
	my $topic = "orders_$name";

	$kafka->create_topic($topic, 1);
	produce($topic, $size, [ $key, '02', $old, '020261' ], [ $key, '04', $old, '040262' ]);
	sql(qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest
			OPTIONS (bootstrap_servers '@{[ $kafka->bootstrap ]}', schema_registry_url '$apis$path', schema_registry_api '$name');
		CREATE TABLE $topic (id int PRIMARY KEY, name text, mail text DEFAULT 'none');
		SELECT stream_ingest.create_subscription('$name', '$name', '$topic', '$topic', format => 'avro',
			insert_mode => 'upsert', options => '{"wire_format": "$wire", "key_format": "avro"}')});
	ok(poll("SELECT string_agg(t::text, ' ' ORDER BY id) FROM $topic t", '(1,a,none) (2,b,none)'), "$name: messages arrive");
	produce($topic, $size, [ $key, '06', $new, '0602024d0263' ], [ $key, '02' ], [ $key, '08', 999, '08' ], [ $key, '0a', $old, '0a0265' ]);
	ok(poll("SELECT string_agg(t::text, ' ' ORDER BY id) FROM $topic t", '(2,b,none) (3,c,M) (5,e,none)'),
		"$name: so do those of a new schema, and a tombstone by its key");
	is(sql("SELECT string_agg(sqlstate || ' ' || error, ', ') FROM stream_ingest.dead_letters WHERE name = '$name'"),
		'42704 schema 999 is not in the schema registry', "$name: an id that the registry does not have");
	sql("SELECT stream_ingest.drop_subscription('$name')");
	my $hex = sprintf('00%0*x', 2 * $size, $old) . '540261';
	is(sql("SELECT fields FROM stream_ingest.decode('avro', '\\x$hex', server => '$name', options => '{\"wire_format\": \"$wire\"}')"),
		'{"id": 42, "name": "a"}', "$name: decode");
	sql("ALTER SERVER $name OPTIONS (SET schema_registry_url '$apis/nowhere')");
	my (undef, undef, $err) = $node->psql('postgres', "SELECT stream_ingest.decode('avro', '\\x$hex', server => '$name', options => '{\"wire_format\": \"$wire\"}')");
	like($err, qr/no schema registry answers at the URL of server "$name": HTTP status 404/, "$name: a wrong path");
}
sql("ALTER SERVER confluent OPTIONS (SET schema_registry_url '$apis/ccompat/v7')");

# ---- Protobuf, as Confluent's serializers write it, and as Apicurio's do ----

foreach my $api ([ 'confluent', 'confluent', 4, '00', '040000', '0202' ], [ 'apicurio', 'apicurio', 8, '030a014d', '040a02496e', '030a014e' ])
{
	my ($name, $wire, $size, $first, $nested, $second) = @$api;
	my $topic = "protobuf_$name";
	my @rows = ('(1,,)', '(,in,)', '(,,-2)');

	# Apicurio's name no nested message
	splice(@rows, 1, 1) if $name eq 'apicurio';
	$kafka->create_topic($topic, 1);
	produce($topic, $size, map { [ $key, '02', @$_ ] }
		  [ $other, $first . '0801' ], [ $other, $nested . '0a02696e' ], [ $other, $second . '0803' ]);
	sql(qq{
		ALTER SERVER $name OPTIONS (SET schema_registry_url '$apis@{[ $name eq 'apicurio' ? '/registry/v2' : '/ccompat/v7' ]}');
		CREATE TABLE $topic (i int, s text, v int, o bigint);
		SELECT stream_ingest.create_subscription('$topic', '$name', '$topic', '$topic', format => 'protobuf', mapping => '{"o": "\$offset"}',
			options => '{"wire_format": "$wire"}')});
	ok(poll("SELECT string_agg((i, s, v)::text, ' ' ORDER BY o) FROM $topic", "@rows"), "$name: Protobuf messages arrive");
	sql("SELECT stream_ingest.drop_subscription('$topic')");
}
is(sql(sprintf "SELECT fields FROM stream_ingest.decode('protobuf', '\\x00%08x0400000a02696e', server => 'confluent')", $descriptor),
	'{"s": "in"}', 'a descriptor in base64');
is(sql(sprintf "SELECT error FROM stream_ingest.decode('avro', '\\x00%08x02', server => 'confluent')", $other),
	"42P17: schema $other of the schema registry is of another type than the format", 'a schema of another type');

done_testing();
