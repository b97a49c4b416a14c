# A schema registry that is away, slow, refuses, lies, or hangs: no dead letter for
# what passes, no message lost, and the subscription resumes by itself.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use HttpDouble;
use JSON::PP;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_worker_processes => 30 });
my $directory = PostgreSQL::Test::Utils::tempdir();
my $record = '{"type":"record","name":"o","fields":[{"name":"id","type":"int"}]}';

# What schemas refer to: name, subject and version of each.
sub references { return references => [ map { { name => $_->[0], subject => $_->[1], version => $_->[2] } } @_ ]; }

# A schema that refers to one of its own, as members of an object.
sub referring
{
	my ($id) = @_;
	my $schema = encode_json({ schema => $record, references([ 'r', "s$id", 1 ]) });

	return qq("$id":$schema,"s$id/1":{"type":"enum","name":"r","symbols":["A"]});
}

sub start_double
{
	my (@tls) = @_;

	return HttpDouble->start('fake_registry.py', tls => \@tls,
		files => { 'schemas.json' => '{' . join(',', (map { "\"$_\":$record" } 1 .. 20), map { referring($_) } 21 .. 28) . '}' });
}

my $double = start_double();
my $url = $double->url;
sub behave { $double->behave($_[0]); return; }
sub requests { return $double->requests; }

# Waits until so many more requests have come than there were.
sub await_requests
{
	my ($n) = @_;
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;

	Time::HiRes::sleep(0.02) while (() = requests()) < $n && time() < $limit;
	cmp_ok(scalar(my @all = requests()), '>=', $n, 'the registry is asked');
	return;
}

# A subscription of its own to a topic with a message, whose schema is asked for.
sub subscribe
{
	my ($name, $hex, %arguments) = @_;
	my ($format, $columns) = ($arguments{format} // 'avro', $arguments{columns} // 'id int');
	my $mapping = $arguments{mapping} // '{}';

	$kafka->create_topic("t_$name", 1);
	produce($name, $hex // '0000000001' . '02');
	sql(qq{
		CREATE TABLE $name ($columns);
		SELECT stream_ingest.create_subscription('$name', 'kafka', 't_$name', '$name', format => '$format', mapping => '$mapping')});
	return;
}

# The dead letters of a subscription, a line each.
sub dead_letters
{
	return sql("SELECT string_agg(sqlstate || ' ' || error, E'\\n' ORDER BY message_offset) FROM stream_ingest.dead_letters WHERE name = '$_[0]'");
}

sub produce
{
	my ($name, @hex) = @_;

	IPC::Run::run([ "$FindBin::RealBin/../produce", '-b', $kafka->bootstrap, '-t', "t_$name", '-p', 0, '-x' ],
		'<', \join('', map { "$_\n" } @hex), '>', \my $out)
	  or die 'could not produce';
	return;
}

sub resumes
{
	my ($name, $n) = @_;

	ok(poll("SELECT count(*) FROM $name", $n // 1), "$name: the message arrives");
	is(sql("SELECT count(*) FROM stream_ingest.dead_letters WHERE name = '$name'"), '0', "$name: no dead letters");
	sql("SELECT stream_ingest.drop_subscription('$name')");
	return;
}

sql("ALTER SERVER kafka OPTIONS (ADD schema_registry_url '$url/base/', ADD schema_registry_timeout '1 s')");

# ---- what passes, and what lasts ----

my %misbehaviour = (
	11 => [ 'failing', 'status 500', 'the schema registry does not answer: HTTP status 500; it is retried' ],
	12 => [ 'busy', 'status 429 1', 'HTTP status 429' ],
	13 => [ 'cut', 'cut', 'the schema registry does not answer: ' ],
	14 => [ 'hanging', 'hang', 'the schema registry does not answer: Timeout' ],
	15 => [ 'away', 'away', 'no schema registry answers at the URL of server "kafka": HTTP status 404' ],
	16 => [ 'redirected', "redirect $url/elsewhere", 'no schema registry answers at the URL of server "kafka": HTTP status 302' ],
	17 => [ 'garbage', 'garbage', 'no schema registry answers .*: the answer is no schema' ],
	18 => [ 'page', 'page', 'no schema registry answers .*: the answer is no schema' ],
	19 => [ 'refusing', 'status 401', 'the schema registry refuses access: HTTP status 401; check schema_registry_username' ],
	20 => [ 'lagging', 'unknown', 'schema 20 is not in the schema registry; it is asked for again' ]);

# The same where it is a schema that the message's refers to.
my %misbehaviour_of_references = (
	21 => [ 'r_failing', 'status 503', 'the schema registry does not answer: HTTP status 503; it is retried' ],
	22 => [ 'r_cut', 'cut', 'the schema registry does not answer: ' ],
	23 => [ 'r_hanging', 'hang', 'the schema registry does not answer: Timeout' ],
	24 => [ 'r_away', 'away', 'no schema registry answers at the URL of server "kafka": HTTP status 404' ],
	25 => [ 'r_redirected', "redirect $url/elsewhere", 'no schema registry answers at the URL of server "kafka": HTTP status 302' ],
	26 => [ 'r_garbage', 'garbage', 'no schema registry answers .*: the answer is no schema' ],
	27 => [ 'r_refusing', 'status 403', 'the schema registry refuses access: HTTP status 403; check schema_registry_username' ],
	28 => [ 'r_lagging', 'unknown', 'schema 28 refers to one that is not in the schema registry; it is asked for again' ]);

# Has each asked for while the registry misbehaves; ids beyond 20 by what they refer to.
sub misbehave
{
	my (%cases) = @_;
	my $mode = sub { return 'mode.' . ($_[0] > 20 ? "s$_[0]_1" : $_[0]); };

	foreach my $id (sort keys %cases)
	{
		$double->put($mode->($id), $cases{$id}[1]);
		subscribe($cases{$id}[0], sprintf('00%08x02', $id));
	}
	# the one that is given up after ten seconds first
	foreach my $id (reverse sort keys %cases)
	{
		my ($name, undef, $reason) = @{ $cases{$id} };

		ok( poll("SELECT bool_or(state = 'retrying' AND reason ~ \$re\$$reason\$re\$) FROM stream_ingest.status WHERE name = '$name'"),
			"$name: retrying, and the reason");
		unlink $double->path($mode->($id));
	}
	is(sql("SELECT count(*) FROM stream_ingest.status WHERE reason ~ 'secret' OR last_error ~ 'secret'"),
		'0', 'nothing of what the registry says is shown');
	resumes($cases{$_}[0]) foreach reverse sort keys %cases;
	return;
}

misbehave(%misbehaviour);
misbehave(%misbehaviour_of_references);
is(scalar(grep { /elsewhere/ } requests()), 0, 'a redirection is not followed');
is(scalar(grep { !m{^/base/(?:schemas/ids/\d+|subjects/s\d\d/versions/1\?deleted=true) -$} } requests()),
	0, 'a path of the URL is kept, without its last slash');

# ---- credentials; messages behind the schema are kept meanwhile; one request ----

# a request that takes longer would be a second one
sql(q{ALTER SERVER kafka OPTIONS (SET schema_registry_timeout '60 s')});
sql(q{CREATE USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (schema_registry_username 'jam:es', schema_registry_password 'es@x:p/w')});
my $before = () = requests();
subscribe('many');
produce('many', ('000000000104') x 999);
resumes('many', 1000);
my @asked = requests();
is(@asked - $before, 1, 'a thousand messages of one schema take one request');
like($asked[-1], qr{ Basic amFtOmVzOmVzQHg6cC93$}, 'user name and password are sent');
sql('DROP USER MAPPING FOR PUBLIC SERVER kafka');
sql(q{CREATE USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (schema_registry_token 'abc')});

# ---- schemas of no use are the messages' fault ----

$double->put("schemas.json",
	qq({"1": $record, "3": {"schema": "syntax", "schemaType": "PROTOBUF"}, "4": {"schema": "nix"}}));
subscribe('bad');
produce('bad', '000000000302', '000000000402', '000000000106');
ok(poll("SELECT count(*) FROM bad", 2), 'messages before and behind arrive');
is( dead_letters('bad'),
	"42P17 schema 3 of the schema registry is of another type than the format\n"
	  . "42P17 invalid Avro schema: a type is used that is not defined before",
	'schemas of no use');
like((requests())[-1], qr{ Bearer abc$}, 'a token is sent');
sql("SELECT stream_ingest.drop_subscription('bad')");

# ---- Protobuf: messages of several types, by text and by descriptor ----

# what protoc's Python code has serialized, and the descriptor that its clients register
my $proto = 'syntax = "proto3"; package o; message Other { int32 i = 1; map<string, int32> m = 2; message Deep { string s = 1; message Deeper { sint32 v = 1; } } } message Order { int32 id = 1; string name = 2; }';
my $descriptor =
  'CgtvcmRlci5wcm90bxIBbyKAAQoFT3RoZXISCQoBaRgBIAEoBRIaCgFtGAIgAygLMg8uby5PdGhlci5NRW50cnkaKAoGTUVudHJ5EgsKA2tleRgBIAEoCRINCgV2YWx1ZRgCIAEoBToCOAEaJgoERGVlcBIJCgFzGAEgASgJGhMKBkRlZXBlchIJCgF2GAEgASgRIiEKBU9yZGVyEgoKAmlkGAEgASgFEgwKBG5hbWUYAiABKAliBnByb3RvMw==';
sub protobuf { my ($schema, %more) = @_; return encode_json({ schema => $schema, schemaType => 'PROTOBUF', %more }); }

$double->put('schemas.json',
	qq({"1": $record, "30": @{[ protobuf($proto) ]}, "31": @{[ protobuf($descriptor) ]}, "32": @{[ protobuf('message {') ]}, "33": @{[ protobuf($proto) ]}}));
$double->put('mode.33', 'status 500');
subscribe('proto', '000000001e0202' . '08011201' . '61', format => 'protobuf', columns => 'o bigint, id int, name text, i int, s text, v int', mapping => '{"o": "$offset"}');
produce('proto',
	'000000001e000807', '000000001e0202' . '08021201' . '62', '000000001e040000' . '0a0178', '000000001e06000000' . '0805',
	'000000001f040002' . '0a0179', '000000001f06000200' . '0806', '000000001e0204' . '0801', '000000001e02',
	'000000000102', '000000002000' . '0807', '000000002100' . '0808');
ok( poll("SELECT bool_or(state = 'retrying' AND reason ~ 'does not answer: HTTP status 500') FROM stream_ingest.status WHERE name = 'proto'"),
	'a registry that fails is asked again');
unlink $double->path('mode.33');
ok(poll('SELECT max(i) FROM proto', 8), 'the message behind arrives');
is( sql(q{SELECT string_agg(p::text, ' ' ORDER BY o) FROM proto p}),
	'(0,1,a,,,) (1,,,7,,) (2,2,b,,,) (3,,,,x,) (4,,,,,-3) (5,,,,y,) (6,,,,,3) (11,,,8,,)',
	'messages by their indexes');
is( dead_letters('proto'),
	"42704 the schema has no message of the type that the message names\n"
	  . "22P03 the type of the message, behind the id of its schema, is cut or wrong\n"
	  . "42P17 schema 1 of the schema registry is of another type than the format\n"
	  . "42P17 invalid Protobuf schema at line 1: a name is missing",
	'Protobuf messages of no use');
sql("SELECT stream_ingest.drop_subscription('proto')");
is(sql("SELECT fields FROM stream_ingest.decode('protobuf', '\\x000000001e02020801120161', server => 'kafka')"), '{"id": 1, "name": "a"}', 'decode asks for Protobuf, too');
is(sql("SELECT error FROM stream_ingest.decode('avro', '\\x000000001e02', server => 'kafka')"),
	'42P17: schema 30 of the schema registry is of another type than the format', 'a Protobuf schema is none for Avro');

# ---- schemas that refer to others ----

sub named { my ($name, @fields) = @_; return encode_json({ type => 'record', name => $name, fields => [ map { { name => $_->[0], type => $_->[1] } } @fields ] }); }
sub avro { my ($schema, %more) = @_; return { schema => $schema, %more }; }
sub proto3 { my ($schema, %more) = @_; return { schema => "syntax = \"proto3\"; $schema", schemaType => 'PROTOBUF', %more }; }

# what would be other steps of a path, a query, a fragment, or not ASCII
my $odd = "p/../q?x=1&y#z %2F;\x{e9}\x{20ac}";
my $odd_path = '/subjects/p%2F..%2Fq%3Fx%3D1%26y%23z%20%252F%3B%C3%A9%E2%82%AC/versions/3?deleted=true';
my $city = named('n.geo.City', [ 'name', 'string' ]);
# one that the text of a descriptor holds: what money and order import
my $base = 'ChFjb21tb24vYmFzZS5wcm90bxIBYiIuCgZBbW91bnQSDQoFdW5pdHMYASABKAMSFQoEa2luZBgCIAEoDjIHLmIuS2luZCoaCgRLaW5kEggKBE5PTkUQABIICgRHT0xEEAFiBnByb3RvMw==';
my %schemas = (
	1 => avro($record),
	# two levels, and one by two ways, of which one has another version
	40 => avro(named('n.Ord', [ 'id', 'int' ], [ 'p', 'n.Person' ], [ 'c', [ 'null', 'n.geo.City' ] ]),
		references([ 'n.Person', $odd, 3 ], [ 'n.geo.City', 'city', 1 ])),
	41 => avro(named('n.Ord', [ 'id', 'int' ], [ 'p', 'n.Person' ], [ 'c', [ 'null', 'n.geo.City' ] ]),
		references([ 'n.Person', $odd, 3 ], [ 'n.geo.City', 'city', 2 ])),
	"$odd/3" => avro(named('n.Person', [ 'name', 'string' ], [ 'city', 'n.geo.City' ]), references([ 'n.geo.City', 'city', 1 ])),
	'city/1' => avro($city),
	'city/2' => avro('"int"'),
	# a circle, of three and of one
	42 => avro($record, references([ 'A', 'a', 1 ])),
	'a/1' => avro(named('a', [ 'b', 'B' ]), references([ 'B', 'b', 1 ])),
	'b/1' => avro(named('b', [ 'a', 'A' ]), references([ 'A', 'a', 1 ])),
	43 => avro($record, references([ 'E', 'e', 1 ])),
	'e/1' => avro(named('e', [ 'e', 'E' ]), references([ 'E', 'e', 1 ])),
	# too many, and as many as may be
	44 => avro($record, references(map { [ "m$_", "m$_", 1 ] } 1 .. 101)),
	45 => avro($record, references(map { [ "m$_", "m$_", 1 ] } 1 .. 100)),
	(map { ("m$_/1" => avro(named("m$_"))) } 1 .. 101),
	# too deep, and as deep as may be
	46 => avro($record, references([ 'd1', 'd1', 1 ])),
	47 => avro($record, references([ 'd2', 'd2', 1 ])),
	(map { ("d$_/1" => avro(named("d$_"), references([ 'd' . ($_ + 1), 'd' . ($_ + 1), 1 ]))) } 1 .. 10),
	'd11/1' => avro(named('d11')),
	# references that are none
	48 => avro($record, references([ 'r', '..', 1 ])),
	49 => avro($record, references([ 'r', 'city', '1' ])),
	50 => avro($record, references => ['city']),
	51 => avro($record, references => [ { name => 'r' } ]),
	52 => avro($record, references([ 'r', 'x' x 5000, 1 ])),
	# what is referred to is of no use
	53 => avro($record, references([ 'base.proto', 'base', 1 ])),
	54 => avro($record, references([ 'nix', 'nix', 1 ])),
	'nix/1' => avro('{"type": "record"}'),
	55 => avro($record, references([ "\x{1b}[31m none", 'none', 1 ])),
	# Protobuf, by text and by descriptor
	60 => proto3('package o; import "common/money.proto"; import "common/base.proto"; message Order { int32 id = 1; c.Money price = 2; b.Kind kind = 3; message In { c.Money tip = 1; } }',
		references([ 'common/money.proto', 'common/money.proto', 1 ], [ 'common/base.proto', 'base', 1 ])),
	'common/money.proto/1' => proto3('package c; import "common/base.proto"; message Money { b.Amount amount = 1; string currency = 2; }', references([ 'common/base.proto', 'base', 1 ])),
	'base/1' => { schema => $base, schemaType => 'PROTOBUF' });

$double->put('schemas.json', encode_json(\%schemas));
$before = () = requests();
subscribe('refs', '00000000280208416e6e6506556c6d0208426f6e6e', columns => 'o bigint, id int, person text, city text, other text',
	mapping => '{"o": "$offset", "person": "p.name", "city": "p.city.name", "other": "c.name"}');
ok(poll("SELECT max((id, person, city, other)::text) FROM refs", '(1,Anne,Ulm,Bonn)'), 'two levels of references');
@asked = requests();
is(join("\n", map { s{^/base(.*) .* .*$}{$1}r } @asked[ $before .. $#asked ]),
	"/schemas/ids/40\n$odd_path\n/subjects/city/versions/1?deleted=true", 'each once, and by an encoded name');
produce('refs', '00000000290208416e6e6506556c6d0208426f6e6e', map { sprintf '00%08x02', $_ } 42 .. 54);
produce('refs', sprintf '00%08x06', 1);
ok(poll('SELECT max(id) FROM refs', 3), 'the message behind arrives');
is(sql(q{SELECT string_agg((o, id, other)::text, ' ' ORDER BY o) FROM refs}), '(0,1,Bonn) (1,1,Bonn) (5,1,) (7,1,) (15,3,)', 'messages of those within the limits');
is( dead_letters('refs'),
	join("\n",
		'42P17 schema 42 of the schema registry refers to itself',
		'42P17 schema 43 of the schema registry refers to itself',
		'54000 schema 44 of the schema registry refers to too many others',
		'54000 schema 46 of the schema registry refers to others too deeply',
		(map { "42P17 schema $_ of the schema registry has a reference that names no schema" } 48 .. 51),
		'54000 schema 52 of the schema registry has a reference that is too long',
		'42P17 schema 53 of the schema registry refers to one that is of another type than the format',
		'42P17 invalid Avro schema: a record, enum or fixed has no name'),
	'references of no use');
sql("SELECT stream_ingest.drop_subscription('refs')");
is(sql("SELECT error FROM stream_ingest.decode('avro', '\\x000000003702', server => 'kafka')"),
	'42704: schema 55 refers to one that is not in the schema registry', 'a reference that the registry does not have');
subscribe('proto_refs', '000000003c00' . '0801120b0a040805100112034555521801', format => 'protobuf',
	columns => 'id int, units bigint, currency text, kind text, tip text', mapping => '{"units": "price.amount.units", "currency": "price.currency", "tip": "tip.amount.kind"}');
produce('proto_refs', '000000003c040000' . '0a0b0a04080510011203455552');
ok(poll(q{SELECT string_agg(p::text, ' ' ORDER BY id) FROM proto_refs p}, '(1,5,EUR,GOLD,) (,,,,GOLD)'), 'Protobuf with imports by reference');
sql("SELECT stream_ingest.drop_subscription('proto_refs')");

# a reference that appears while it is asked for
$double->put('schemas.json', encode_json({ %schemas, 55 => avro($record, references([ 'late', 'late', 7 ])) }));
subscribe('late', '000000003702');
ok( poll("SELECT bool_or(state = 'retrying' AND reason ~ 'schema 55 refers to one that is not in the schema registry; it is asked for again') FROM stream_ingest.status WHERE name = 'late'"),
	'a reference is asked for again');
$double->put('schemas.json', encode_json({ %schemas, 55 => avro($record, references([ 'late', 'late', 7 ])), 'late/7' => avro($city) }));
resumes('late');

# version 3 of Apicurio's API, which has lists of references, and texts elsewhere
sub listed { return references => [ map { { name => $_->[0], artifactId => $_->[1], version => $_->[2], groupId => $_->[3] } } @_ ]; }
$double->put('schemas.json', encode_json({
	40 => avro(named('n.Ord', [ 'id', 'int' ], [ 'p', 'n.Person' ], [ 'c', [ 'null', 'n.geo.City' ] ]), listed([ 'n.Person', $odd, '1.0', 'our group' ], [ 'n.geo.City', 'city', '2', undef ])),
	"our group/$odd/1.0" => avro(named('n.Person', [ 'name', 'string' ], [ 'city', 'n.geo.City' ]), listed([ 'n.geo.City', 'city', '2', undef ])),
	'default/city/2' => avro($city),
	41 => avro($record, listed([ 'A', 'a', '1', undef ])),
	'default/a/1' => avro(named('a', [ 'b', 'B' ]), listed([ 'B', 'b', '1', undef ])),
	'default/b/1' => avro(named('b', [ 'a', 'A' ]), listed([ 'A', 'a', '1', undef ])),
	42 => avro($record, listed([ 'none', 'none', '1', undef ])),
	43 => avro($record, listed([ 'r', 'city', '..', undef ])),
	44 => avro($record) }));
sql("CREATE SERVER v3 FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers 'b', schema_registry_url '$url/apis/registry/v3/', schema_registry_api 'apicurio')");
is( sql(qq{SELECT string_agg(coalesce(fields::text, error), E'\\n' ORDER BY n) FROM unnest(ARRAY['280208416e6e6506556c6d0208426f6e6e', '2902', '2a02', '2b02', '2c02']) WITH ORDINALITY AS v (hex, n),
		stream_ingest.decode('avro', decode('0000000000000000' || hex, 'hex'), server => 'v3', options => '{"wire_format": "apicurio"}')}),
	join("\n", '{"c": {"name": "Bonn"}, "p": {"city": {"name": "Ulm"}, "name": "Anne"}, "id": 1}',
		'42P17: schema 41 of the schema registry refers to itself',
		'42704: schema 42 refers to one that is not in the schema registry',
		'42P17: schema 43 of the schema registry has a reference that names no schema',
		'{"id": 1}'),
	'version 3 of Apicurio\'s API');
sql('DROP SERVER v3');

# texts that are too large together
my $large = avro(encode_json({ type => 'enum', name => 'x', symbols => ['A'], doc => 'x' x 3_000_000 }));
$double->put('schemas.json', encode_json({ 56 => avro($record, references([ 'x', 'x', 1 ], [ 'y', 'y', 1 ])), 'x/1' => $large, 'y/1' => $large }));
is(sql("SELECT error FROM stream_ingest.decode('avro', '\\x000000003802', server => 'kafka')"),
	'54000: schema 56 of the schema registry is too large with those that it refers to', 'texts that are too large together');

# an id that stays unknown
behave('ok');
$double->put('schemas.json', qq({"1": $record}));
subscribe('unknown', '000000006302');
produce('unknown', '000000000108');
ok(poll('SELECT count(*) FROM unknown', 1), 'the message behind one of an unknown schema arrives');
is(sql("SELECT sqlstate || ' ' || error FROM stream_ingest.dead_letters WHERE name = 'unknown'"),
	'42704 schema 99 is not in the schema registry', 'an unknown schema is the message\'s fault in the end');
sql("SELECT stream_ingest.drop_subscription('unknown')");

# ---- backends ----

is(sql("SELECT fields FROM stream_ingest.decode('avro', '\\x000000000154', server => 'kafka')"), '{"id": 42}', 'decode asks the registry');
is(sql("SELECT error FROM stream_ingest.decode('avro', '\\x000000006302', server => 'kafka')"),
	'42704: schema 99 is not in the schema registry', 'and shows an unknown schema');
behave('status 503');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT stream_ingest.decode('avro', '\\x000000000154', server => 'kafka')");
like($err, qr/could not get a schema from the schema registry of server "kafka".*HTTP status 503/s, 'a registry that is away is an error');
behave('large');
like(sql("SELECT error FROM stream_ingest.decode('avro', '\\x000000000154', server => 'kafka')"), qr/54000: .* is too large|08006/, 'an answer without end is none');
behave('hang');
my $began = time();
($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300 ms'; SELECT stream_ingest.decode('avro', '\\x000000000154', server => 'kafka')");
like($err, qr/canceling statement due to statement timeout/, 'waiting can be canceled');
cmp_ok(time() - $began, '<', 20, 'at once');
sql('CREATE ROLE plain');
($rc, $out, $err) = $node->psql('postgres', "SET ROLE plain; SELECT stream_ingest.decode('avro', '\\x000000000154', server => 'kafka')");
like($err, qr/permission denied/, 'not without USAGE on the server');

# ---- messages of another wire format, each of which seems to name a schema of its own ----

behave('ok');
$kafka->create_topic('t_noise', 1);
produce('noise', map { sprintf '00%08x', 1000 + $_ } 1 .. 1001);
($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '$PostgreSQL::Test::Utils::timeout_default s';
	SELECT count(*) FROM stream_ingest.peek('kafka', 't_noise', 2000, 'earliest', 'avro')");
like($err, qr/the messages name more than 1000 schemas/, 'peek does not ask for ever');

# ---- a certificate for another name, and one that is accepted ----

my @certificate = ("$directory/certificate.pem", "$directory/key.pem");
foreach my $name (qw(other.example 127.0.0.1))
{
	my $kind = $name =~ /^\d/ ? 'IP' : 'DNS';

	system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test', '-addext',
		"subjectAltName=$kind:$name", '-keyout', $certificate[1], '-out', $certificate[0]);
	my $tls = start_double(@certificate)->url;
	my $pem = slurp_file($certificate[0]);

	sql("ALTER SERVER kafka OPTIONS (SET schema_registry_url '$tls', " . ($kind eq 'DNS' ? 'ADD' : 'SET') . " schema_registry_ssl_ca_pem '$pem')");
	if ($kind eq 'DNS')
	{
		subscribe('tls');
		ok( poll("SELECT bool_or(state = 'retrying' AND reason ~ 'certificate, or ours, is not accepted') FROM stream_ingest.status WHERE name = 'tls'"),
			'a certificate for another name is refused');
	}
}
resumes('tls');

# ---- nothing hangs with the registry ----

behave('hang');
sql("ALTER SERVER kafka OPTIONS (SET schema_registry_url 'http://127.0.0.1:1, $url', DROP schema_registry_ssl_ca_pem)");
my $count = () = requests();
subscribe('stuck');
await_requests(1 + $count);
$node->safe_psql('postgres', "CREATE DATABASE other");
$node->safe_psql('other', 'CREATE EXTENSION stream_ingest');
$node->safe_psql('other', "CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '@{[ $kafka->bootstrap ]}', schema_registry_url '$url', schema_registry_timeout '60 s')");
$node->safe_psql('other', "CREATE TABLE stuck (id int); SELECT stream_ingest.create_subscription('stuck', 'kafka', 't_stuck', 'stuck', format => 'avro')");
await_requests(2 + $count);
$began = time();
is($node->psql('postgres', 'DROP DATABASE other WITH (FORCE)'), 0, 'DROP DATABASE goes through');
note(sprintf 'in %.1f s', time() - $began);
$began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', 30, 'a fast shutdown goes through');
note(sprintf 'in %.1f s', time() - $began);
behave('ok');
$node->start;
resumes('stuck');

# ---- a crash beside a registry that hangs ----

behave('hang');
$count = () = requests();
subscribe('crashed');
await_requests(1 + $count);
StreamIngest::crash($node);
behave('ok');
$node->start;
resumes('crashed');

done_testing();
