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
	my $path = $subject =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ger;
	my $response = $http->post("$apis/ccompat/v7/subjects/$path/versions",
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

# schemas that refer to others, two levels deep: one has a name that must be encoded
sub references { return references => [ map { { name => $_->[0], subject => $_->[1], version => 1 } } @_ ]; }

register('city', encode_json({ type => 'record', name => 'City', namespace => 'n.geo', fields => [ { name => 'name', type => 'string' } ] }));
register('person', encode_json({ type => 'record', name => 'Person', namespace => 'n', fields => [ { name => 'name', type => 'string' }, { name => 'city', type => 'n.geo.City' } ] }),
	references([ 'n.geo.City', 'city' ]));
my $referring = register('referring', encode_json({ type => 'record', name => 'Ord', namespace => 'n', fields => [ $id, { name => 'p', type => 'n.Person' }, { name => 'c', type => [ 'null', 'n.geo.City' ] } ] }),
	references([ 'n.Person', 'person' ], [ 'n.geo.City', 'city' ]));
register('common/base:1 %2F?.proto', 'syntax = "proto3"; package b; enum Kind { NONE = 0; GOLD = 1; } message Amount { int64 units = 1; Kind kind = 2; }', schemaType => 'PROTOBUF');
register('common/money.proto', 'syntax = "proto3"; package c; import "common/base.proto"; message Money { b.Amount amount = 1; string currency = 2; }', schemaType => 'PROTOBUF',
	references([ 'common/base.proto', 'common/base:1 %2F?.proto' ]));
my $importing = register('importing', 'syntax = "proto3"; package o; import "common/money.proto"; import "common/base.proto"; message Order { int32 id = 1; c.Money price = 2; b.Kind kind = 3; message In { c.Money tip = 1; } }',
	schemaType => 'PROTOBUF', references([ 'common/money.proto', 'common/money.proto' ], [ 'common/base.proto', 'common/base:1 %2F?.proto' ]));

# In a group of its own, by Apicurio's API; returns its id.
sub create_artifact
{
	my ($artifact, $content, @references) = @_;
	my $response = $http->post("$apis/registry/v2/groups/our%20group/artifacts",
		{ headers => { 'Content-Type' => 'application/create.extended+json', 'X-Registry-ArtifactId' => $artifact, 'X-Registry-ArtifactType' => 'PROTOBUF', 'X-Registry-Version' => 'v 1' },
			content => encode_json({ content => $content, references => [ map { { groupId => 'our group', artifactId => $_, version => 'v 1', name => $_ } } @references ] }) });

	die "could not create: $response->{status} $response->{content}" unless $response->{success};
	return decode_json($response->{content})->{globalId};
}

create_artifact('g.proto', 'syntax = "proto3"; package g; message G { int32 i = 1; }');
my $grouped = create_artifact('h.proto', 'syntax = "proto3"; package h; import "g.proto"; message H { g.G g = 1; }', 'g.proto');

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

# ---- schemas that refer to others ----

my $content_id = decode_json($http->get("$apis/registry/v2/groups/default/artifacts/importing/meta")->{content})->{contentId};
my $avro_content_id = decode_json($http->get("$apis/registry/v2/groups/default/artifacts/referring/meta")->{content})->{contentId};

# What decode() makes of a message, in hexadecimal.
sub decoded
{
	my ($server, $format, $hex, %options) = @_;
	my $headers = delete $options{headers} // '{}';
	my $options = encode_json(\%options);

	return sql("SELECT coalesce(fields::text, error) FROM stream_ingest.decode('$format', '\\x$hex', server => '$server', options => '$options', headers => '$headers')");
}

my ($avro_hex, $avro_row) = ('0208416e6e6506556c6d0208426f6e6e', '{"c": {"name": "Bonn"}, "p": {"city": {"name": "Ulm"}, "name": "Anne"}, "id": 1}');
my ($proto_hex, $proto_row) = ('0801120b0a040805100112034555521801', '{"id": 1, "kind": "GOLD", "price": {"amount": {"kind": "GOLD", "units": 5}, "currency": "EUR"}}');
is(decoded('confluent', 'avro', sprintf('00%08x', $referring) . $avro_hex), $avro_row, 'confluent: Avro that refers to others');
is(decoded('apicurio', 'avro', sprintf('00%016x', $referring) . $avro_hex, wire_format => 'apicurio'), $avro_row, 'apicurio: Avro that refers to others');
is(decoded('confluent', 'protobuf', sprintf('00%08x00', $importing) . $proto_hex), $proto_row, 'confluent: Protobuf that imports others');
is(decoded('confluent', 'protobuf', sprintf('00%08x0400000a0b0a04080510011203455552', $importing)),
	'{"tip": {"amount": {"kind": "GOLD", "units": 5}, "currency": "EUR"}}', 'confluent: and a message in a message');
is(decoded('apicurio', 'protobuf', sprintf('00%016x070a054f72646572', $importing) . $proto_hex, wire_format => 'apicurio'), $proto_row, 'apicurio: Protobuf that imports others');
is( decoded('apicurio', 'protobuf', $proto_hex, wire_format => 'apicurio-header',
		headers => sprintf('{"apicurio.value.contentId": "\\\\x%016x", "apicurio.protobuf.type": "Order"}', $content_id)),
	$proto_row, 'apicurio: by the id of the content');
is( decoded('apicurio', 'avro', $avro_hex, wire_format => 'apicurio-header', headers => sprintf('{"apicurio.value.contentId": "\\\\x%016x"}', $avro_content_id)),
	$avro_row, 'apicurio: Avro by the id of the content');
is(decoded('apicurio', 'protobuf', sprintf('00%016x030a01480a020807', $grouped), wire_format => 'apicurio'), '{"g": {"i": 7}}', 'apicurio: a group and a version with blanks');

# what is referred to is gone
$http->delete("$apis/registry/v2/groups/our%20group/artifacts/g.proto");
is(decoded('apicurio', 'protobuf', sprintf('00%016x030a01480a020807', $grouped), wire_format => 'apicurio'),
	"42704: schema $grouped refers to one that is not in the schema registry", 'apicurio: a reference that is gone');
is(sql(sprintf "SELECT fields FROM stream_ingest.decode('protobuf', '\\x00%08x0400000a02696e', server => 'confluent')", $descriptor),
	'{"s": "in"}', 'a descriptor in base64');
is(sql(sprintf "SELECT error FROM stream_ingest.decode('avro', '\\x00%08x02', server => 'confluent')", $other),
	"42P17: schema $other of the schema registry is of another type than the format", 'a schema of another type');

done_testing();
