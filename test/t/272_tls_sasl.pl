# TLS and SASL against a real broker: with the right certificates and passwords
# the rows come; each wrong one gives its reason in status, costs no message,
# and is taken back by ALTER alone.
#
# The certificates are made here, by openssl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Certificates;
use StreamIngest qw(sql poll answer);
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $messages = 5;

# ---- certificates ----

my $certificates = Certificates->new($dir);
$certificates->make_ca('ca');
$certificates->make_ca('stranger');
$certificates->make('good', 'DNS:localhost,IP:127.0.0.1', '-days', 30);
$certificates->make('client', 'DNS:client', '-days', 30);
$certificates->make('expired', 'DNS:localhost,IP:127.0.0.1', $certificates->expired);
$certificates->make('elsewhere', 'DNS:elsewhere.example', '-days', 30);

# ---- the broker: one listener for each certificate ----

my %listener = (
	password => [ 'SASL_SSL', 'good' ],
	mutual => [ 'SSL', 'good' ],
	expired => [ 'SSL', 'expired' ],
	elsewhere => [ 'SSL', 'elsewhere' ]);

# The broker's properties for the listeners, whose addresses it notes.
sub listener_properties
{
	my ($kafka, $address) = @_;
	my ($listeners) = slurp_file("$kafka->{dir}/server.properties") =~ /^listeners=(.*)$/m;
	my $map = 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT';
	my @lines;

	foreach my $name (sort keys %listener)
	{
		my ($protocol, $certificate) = @{ $listener{$name} };

		$address->{$name} = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
		$listeners .= ',' . uc($name) . "://$address->{$name}";
		$map .= ',' . uc($name) . ":$protocol";
		push @lines, "listener.name.$name.ssl.keystore.type=PEM",
		  "listener.name.$name.ssl.keystore.location=$dir/$certificate.both.pem",
		  "listener.name.$name.ssl.truststore.type=PEM",
		  "listener.name.$name.ssl.truststore.location=$dir/ca.pem";
	}
	return ("listeners=$listeners", "listener.security.protocol.map=$map", @lines);
}

my $jaas = 'org.apache.kafka.common.security';
my @scram = qw(SCRAM-SHA-256 SCRAM-SHA-512);

# A broker with a topic; returns the addresses of its listeners.
sub start_secure_kafka
{
	my (%opt) = @_;
	my $kafka = StreamIngest::start_kafka(%opt);
	my %address;

	$kafka->reconfigure(
		listener_properties($kafka, \%address),
		'listener.name.mutual.ssl.client.auth=required',
		'sasl.enabled.mechanisms=' . join(',', 'PLAIN', @scram),
		"listener.name.password.plain.sasl.jaas.config=$jaas.plain.PlainLoginModule required user_app=\"right\";",
		map { "listener.name.password.\L$_\E.sasl.jaas.config=$jaas.scram.ScramLoginModule required;" } @scram);
	$kafka->tool('kafka.admin.ConfigCommand', '--bootstrap-server', $kafka->bootstrap, '--alter',
		'--entity-type', 'users', '--entity-name', 'app', '--add-config', "$_=[password=right]") foreach @scram;
	$kafka->create_topic('t', 1);
	$kafka->produce('t', count => $messages);
	return %address;
}
my %address = start_secure_kafka();

# ---- subscriptions: each with a server and a table of its own ----

my $node = StreamIngest::new_node('main');

# subscribe('name', 'listener', { server option => value }, { mapping option => value })
sub subscribe
{
	my ($name, $listener, $server, $mapping) = @_;
	my %server = (
		bootstrap_servers => $address{$listener},
		security_protocol => $listener{$listener}[0],
		ssl_ca_pem => slurp_file("$dir/ca.pem"),
		%$server);
	my $list = sub { my %o = @_; return join(', ', map { "$_ '$o{$_}'" } sort keys %o); };

	my $options = $list->(%$mapping);

	$options &&= "OPTIONS ($options)";
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest OPTIONS (" . $list->(%server) . ");
		CREATE USER MAPPING FOR PUBLIC SERVER $name $options;
		CREATE TABLE $name (id bigint, payload text);
		SELECT stream_ingest.create_subscription('$name', '$name', 't', '$name')");
	return;
}

# Every message is a row, once.
sub rows_come
{
	my ($name, $what) = @_;

	StreamIngest::rows_come($name, $messages, $what);
	return;
}

# It is retried with this reason, and nothing is lost or dead.
sub says
{
	my ($name, $reason, $what) = @_;

	ok(poll("SELECT state = 'retrying' AND reason ~ '$reason' AND last_error_sqlstate = '28000'
			FROM stream_ingest.status WHERE name = '$name'"), $what);
	is(sql("SELECT (SELECT count(*) FROM $name) || ' ' || (SELECT count(*) FROM stream_ingest.dead_letters WHERE name = '$name')"),
		'0 0', "$what: no row, no dead letter");
	return;
}

my %plain = (sasl_mechanism => 'PLAIN');
my %right = (sasl_username => 'app', sasl_password => 'right');
my %client = (
	ssl_key_pem => slurp_file("$dir/client.key"),
	ssl_certificate_pem => slurp_file("$dir/client.pem"));

subscribe('plain', 'password', {%plain}, {%right});
subscribe('scram', 'password', { sasl_mechanism => 'SCRAM-SHA-256' }, {%right});
subscribe('mutual', 'mutual', {}, {%client});
subscribe('wrong_password', 'password', {%plain}, { %right, sasl_password => 'wrong' });
subscribe('unknown_ca', 'password', { %plain, ssl_ca_pem => slurp_file("$dir/stranger.pem") }, {%right});
subscribe('expired', 'expired', {}, {});
subscribe('elsewhere', 'elsewhere', {}, {});
subscribe('no_certificate', 'mutual', {}, {});

# ---- what is right ----

rows_come('plain', 'SASL/PLAIN over TLS');
rows_come('mutual', 'a client certificate');

# Kafka 4 does not take the nonce of libraries before 2.6.1
my ($version) = qx(kcat -V 2>&1) =~ /librdkafka (\d+\.\d+\.\d+)/;
my $old = sprintf('%d%03d%03d', split /\./, $version) < 2006001;
if ($old)
{
	my %older = start_secure_kafka(name => 'older', version => '3.9.1');

	says('scram', 'librdkafka older than 2.6.1 cannot use SCRAM with Kafka 4', "SASL/SCRAM with librdkafka $version");
	foreach my $mechanism (@scram)
	{
		my %server = (sasl_mechanism => $mechanism, bootstrap_servers => $older{password});
		my $name = lc $mechanism =~ s/-/_/gr;

		subscribe($name, 'password', {%server}, {%right});
		subscribe("${name}_wrong", 'password', {%server}, { %right, sasl_password => 'wrong' });
		rows_come($name, "$mechanism with librdkafka $version and Kafka 3.9");
		says("${name}_wrong", 'uthentication failed', "a wrong password by $mechanism");
	}
}
else
{
	rows_come('scram', "SASL/SCRAM with librdkafka $version");
}

# ---- what is wrong: the reason ----

my $check = 'check the security options of the server and of its owner.s user mapping';
says('wrong_password', "uthentication failed.*$check", 'a wrong password');
says('unknown_ca', "certificate is signed by a CA that is not trusted; $check", 'an unknown CA');
says('expired', "certificate has expired; $check", 'an expired certificate');
says('elsewhere', "certificate is for another (host name|IP address); $check", 'a wrong host name');
says('no_certificate', "SSL alert number (42|116|40).*$check", 'no client certificate');
like(answer("SELECT * FROM stream_ingest.topics('expired')"),
	qr/08004.*certificate has expired/s, 'topics gives the reason, too');

# ---- taken back by ALTER ----

my $ca = slurp_file("$dir/ca.pem");
sql(qq{
	ALTER USER MAPPING FOR PUBLIC SERVER wrong_password OPTIONS (SET sasl_password 'right');
	ALTER SERVER unknown_ca OPTIONS (SET ssl_ca_pem '$ca');
	ALTER SERVER expired OPTIONS (ADD enable_ssl_certificate_verification 'false');
	ALTER SERVER elsewhere OPTIONS (ADD ssl_endpoint_identification_algorithm 'none');
	ALTER USER MAPPING FOR PUBLIC SERVER no_certificate
		OPTIONS (ADD ssl_key_pem '$client{ssl_key_pem}', ADD ssl_certificate_pem '$client{ssl_certificate_pem}')});
rows_come($_, "$_: put right") foreach qw(wrong_password unknown_ca expired elsewhere no_certificate);
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'no dead letter');

$node->stop;
done_testing();
