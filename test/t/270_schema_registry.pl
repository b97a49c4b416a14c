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

sub start_double
{
	my (@tls) = @_;

	return HttpDouble->start('fake_registry.py', tls => \@tls,
		files => { 'schemas.json' => '{' . join(',', map { "\"$_\":$record" } 1 .. 20) . '}' });
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

foreach my $id (sort keys %misbehaviour)
{
	$double->put("mode.$id", $misbehaviour{$id}[1]);
	subscribe($misbehaviour{$id}[0], sprintf('00%08x02', $id));
}
# the one that is given up after ten seconds first
foreach my $id (reverse sort keys %misbehaviour)
{
	my ($name, undef, $reason) = @{ $misbehaviour{$id} };

	ok( poll("SELECT bool_or(state = 'retrying' AND reason ~ \$re\$$reason\$re\$) FROM stream_ingest.status WHERE name = '$name'"),
		"$name: retrying, and the reason");
	unlink $double->path("mode.$id");
}
is(sql("SELECT count(*) FROM stream_ingest.status WHERE reason ~ 'secret' OR last_error ~ 'secret'"),
	'0', 'nothing of what the registry says is shown');
resumes($misbehaviour{$_}[0]) foreach reverse sort keys %misbehaviour;
is(scalar(grep { /elsewhere/ } requests()), 0, 'a redirection is not followed');
is(scalar(grep { !m{^/base/schemas/ids/\d+ -$} } requests()), 0, 'a path of the URL is kept, without its last slash');

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
	qq({"1": $record, "3": {"schema": "syntax", "schemaType": "PROTOBUF"}, "4": {"schema": "nix"}, "5": {"schema": "{}", "references": [{"name": "r"}]}}));
subscribe('bad');
produce('bad', '000000000302', '000000000402', '000000000502', '000000000106');
ok(poll("SELECT count(*) FROM bad", 2), 'messages before and behind arrive');
is( dead_letters('bad'),
	"42P17 schema 3 of the schema registry is of another type than the format\n"
	  . "42P17 invalid Avro schema: a type is used that is not defined before\n"
	  . "0A000 schema 5 of the schema registry refers to other schemas, which is not supported",
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
