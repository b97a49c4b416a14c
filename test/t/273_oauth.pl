# sasl_mechanism OAUTHBEARER: tokens come from a token endpoint of the test's own, and a
# real broker checks them, on one listener their claims alone and on another one their
# signatures, too.  They are refreshed while messages flow; each failure of the
# endpoint gives its reason, costs no message, and passes by itself; no secret and no
# token is shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use HttpDouble;
use MIME::Base64 qw(encode_base64);
use StreamIngest qw(sql poll answer rows_come);
use Test::More;
use Time::HiRes qw(time);

my $messages = 5;

# ---- the token endpoint ----

sub start_endpoint
{
	my (@tls) = @_;

	return HttpDouble->start('fake_token_endpoint.py', tls => \@tls, files => { mode => 'ok 3600' });
}

my $double = start_endpoint();
my $url = $double->url . '/token';
sub behave { $double->behave($_[0]); return; }
sub requests { return $double->requests; }

# ---- the keys that sign, of which brokers know one ----

foreach my $key (qw(key forged))
{
	run_log([ 'openssl', 'genrsa', '-out', $double->path("$key.pem"), 2048 ]) or die 'openssl failed';
}
my ($public) = run_command([ 'openssl', 'rsa', '-in', $double->path('key.pem'), '-noout', '-modulus' ]);
my ($modulus) = $public =~ /=([0-9A-F]+)/;
my $n = encode_base64(pack('H*', $modulus), '') =~ tr{+/=}{-_}dr;
$double->put('keys.json', qq({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "key", "n": "$n", "e": "AQAB"}]}));

# ---- the broker: it wants the scope, and ends a session with its token ----

my $kafka = StreamIngest::start_kafka();
my $address = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my $checking = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my ($listeners) = slurp_file("$kafka->{dir}/server.properties") =~ /^listeners=(.*)$/m;
my $oauth = 'org.apache.kafka.common.security.oauthbearer';
my $keys = $double->url . '/keys';

# the broker's JVM has to be told from where it may fetch keys
$ENV{JDK_JAVA_OPTIONS} = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=$keys";
$kafka->reconfigure(
	"listeners=$listeners,OAUTH://$address,CHECKING://$checking",
	'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OAUTH:SASL_PLAINTEXT,CHECKING:SASL_PLAINTEXT',
	"listener.name.checking.oauthbearer.sasl.jaas.config=$oauth.OAuthBearerLoginModule required;",
	"listener.name.checking.oauthbearer.sasl.server.callback.handler.class=$oauth.OAuthBearerValidatorCallbackHandler",
	# without its name Kafka 4.1 chose one that checks no signature
	"sasl.oauthbearer.jwt.validator.class=$oauth.BrokerJwtValidator",
	"sasl.oauthbearer.jwks.endpoint.url=$keys",
	'sasl.enabled.mechanisms=OAUTHBEARER',
	'listener.name.oauth.oauthbearer.connections.max.reauth.ms=3600000',
	"listener.name.oauth.oauthbearer.sasl.jaas.config=$oauth.OAuthBearerLoginModule required"
	  . ' unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="kafka";');
$kafka->create_topic($_, 1) foreach qw(t flow);
$kafka->produce('t', count => $messages);

my $node = StreamIngest::new_node('main');

# A server with these options beside the usual ones, and a mapping for all.
sub add_server
{
	my ($name, $secret, %more) = @_;
	my %options = (
		bootstrap_servers => $address,
		security_protocol => 'SASL_PLAINTEXT',
		sasl_mechanism => 'OAUTHBEARER',
		sasl_oauthbearer_method => 'oidc',
		sasl_oauthbearer_token_endpoint_url => $url,
		sasl_oauthbearer_client_id => 'app',
		sasl_oauthbearer_scope => 'kafka',
		%more);
	my $list = join(', ', map { "$_ '$options{$_}'" } sort keys %options);

	sql("CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest OPTIONS ($list);
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (sasl_oauthbearer_client_secret '$secret')");
	return;
}

sub subscribe
{
	my ($name, $server, $topic) = @_;

	sql("CREATE TABLE $name (id bigint, payload text);
		SELECT stream_ingest.create_subscription('$name', '$server', '$topic', '$name')");
	return;
}

sub says
{
	my ($name, $reason, $sqlstate, $what) = @_;

	ok(poll("SELECT state = 'retrying' AND reason ~ '$reason' AND last_error_sqlstate = '$sqlstate'
			FROM stream_ingest.status WHERE name = '$name'"), $what);
	return;
}

# ---- what is right ----

add_server('kafka', 'right', sasl_oauthbearer_extensions => 'logicalCluster=lkc-1,identityPoolId=pool-1');
subscribe('plain', 'kafka', 't');
rows_come('plain', $messages, 'a subscription reads');
is((requests())[0], 'grant_type=client_credentials&scope=kafka', 'the request for a token');
is(sql("SELECT count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't'"), 1, 'topics');
is(sql("SELECT count(*) FROM stream_ingest.peek('kafka', 't')"), $messages, 'peek');
like(sql("SELECT stream_ingest.infer_table('kafka', 't', 'public.x')"), qr/CREATE TABLE/, 'infer_table');
sql("SELECT stream_ingest.produce('kafka', 't', '{\"id\": 1000, \"payload\": \"produced\"}')");
rows_come('plain', $messages + 1, 'produce');

# a listener without SASL never sees a token
my $requested = requests();
add_server('kafka_no_sasl', 'right', bootstrap_servers => $kafka->bootstrap, security_protocol => 'PLAINTEXT');
is(sql("SELECT count(*) FROM stream_ingest.peek('kafka_no_sasl', 't')"), $messages + 1, 'without SASL: peek');
is(scalar(requests()), $requested, 'and no token is requested');

# ---- refreshed while messages flow ----

# the broker ends each session with its token's life, after two seconds
behave('ok 2 text');
subscribe('flow', 'kafka', 'flow');
my $before = requests();
my $sent = 0;
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
while (requests() < $before + 5 && time() < $limit)
{
	$kafka->produce('flow', count => 20, first => $sent);
	$sent += 20;
}
cmp_ok(scalar(requests()), '>=', $before + 5, 'the token is refreshed before it expires');
rows_come('flow', $sent, "all $sent messages, once");
is(sql("SELECT count(*) FROM stream_ingest.dead_letters"), 0, 'no dead letter');

# ---- the endpoint is away, and back ----

behave('status 503');
says('flow', 'the token endpoint answers with HTTP status 503; it is retried automatically', '08006',
	'without an endpoint, when the token has expired');
$kafka->produce('flow', count => 20, first => $sent);
behave('ok 3600 claim');
rows_come('flow', $sent + 20, 'the endpoint is back');
ok(poll("SELECT state = 'streaming' AND reason IS NULL FROM stream_ingest.status WHERE name = 'flow'"),
	'and no reason is left');

# ---- the broker refuses the token ----

behave('ok 3600 no-scope');
add_server('kafka_refused', 'right');
subscribe('refused', 'kafka_refused', 't');
says('refused', 'uthentication.*check the security options', '28000', 'a token that the broker refuses');
behave('ok 3600');
rows_come('refused', $messages + 1, 'another token is requested by itself');

# ---- signed tokens ----

behave('ok 3600 signed-by=key.pem');
add_server('kafka_signed', 'right', bootstrap_servers => $checking);
subscribe('signed', 'kafka_signed', 't');
rows_come('signed', $messages + 1, 'a token with a signature that the broker checks');
behave('ok 3600 signed-by=forged.pem');
add_server('kafka_forged', 'right', bootstrap_servers => $checking);
subscribe('forged', 'kafka_forged', 't');
says('forged', 'uthentication.*check the security options', '28000', 'a signature by another key');
behave('ok 3600');

# ---- a wrong secret, and an endpoint that misbehaves ----

add_server('kafka_wrong', 'wrong-secret');
subscribe('wrong', 'kafka_wrong', 't');
says('wrong', 'HTTP status 401 .invalid_client.; check the options sasl_oauthbearer.*client_secret', '28000',
	'a wrong secret');
sql("ALTER USER MAPPING FOR PUBLIC SERVER kafka_wrong OPTIONS (SET sasl_oauthbearer_client_secret 'right')");
rows_come('wrong', $messages + 1, 'the secret is corrected');

my %refused = (
	'error 400 invalid_scope' => qr/HTTP status 400 \(invalid_scope\)/,
	'status 404' => qr/HTTP status 404\n/,
	'redirect http://127.0.0.1:1/' => qr/redirects \(HTTP status 302\), which is not followed/,
	'garbage' => qr/has no token/,
	'page' => qr/has no token/,
	'expired' => qr/a token that has expired/,
	'large' => qr/is too large/);
foreach my $mode (sort keys %refused)
{
	behave($mode);
	like(answer("SELECT stream_ingest.topics('kafka')"), qr/08004.*does not accept the connection: .*$refused{$mode}/s, $mode);
}

behave('hang');
my $began = time();
like(answer("SET statement_timeout = '300ms'; SELECT stream_ingest.topics('kafka')"),
	qr/57014/, 'a statement that waits for the endpoint can be canceled');
cmp_ok(time() - $began, '<', 8, 'at once, and not after the ten seconds that topics waits');

# longer than the five seconds in which the endpoint has to answer
add_server('kafka_slow', 'right', message_timeout_ms => 13000);
my $said = answer("SELECT stream_ingest.produce('kafka_slow', 't', '{}')");
like($said, qr/timed out.*the token endpoint does not answer: Timeout was reached/s, 'produce gives the reason');
behave('error 400 unauthorized_client');
like(answer("SELECT stream_ingest.produce('kafka_slow', 't', '{}')"), qr/HTTP status 400 \(unauthorized_client\)/,
	'and fails at once if it is refused');
behave('ok 3600');

# ---- TLS to the endpoint ----

my $dir = PostgreSQL::Test::Utils::tempdir();
run_log([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 30, '-subj', '/CN=localhost',
		'-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/key.pem", '-out', "$dir/cert.pem" ])
  or die 'openssl failed';
my $tls_url = start_endpoint("$dir/cert.pem", "$dir/key.pem")->url . '/token';
my $ca = slurp_file("$dir/cert.pem");
add_server('kafka_tls', 'right', sasl_oauthbearer_token_endpoint_url => $tls_url);
like(answer("SELECT stream_ingest.topics('kafka_tls')"), qr/token endpoint's certificate is not accepted/, 'an unknown CA');
sql("ALTER SERVER kafka_tls OPTIONS (ADD https_ca_pem '$ca')");
is(sql("SELECT count(*) FROM stream_ingest.topics('kafka_tls') WHERE topic = 't'"), 1, 'https_ca_pem');
# a device may never end
add_server('kafka_device', 'right', sasl_oauthbearer_token_endpoint_url => $tls_url, https_ca_location => '/dev/null');
like(answer("SELECT stream_ingest.topics('kafka_device')"), qr/the file of CAs is no regular file/, 'a device is no file of CAs');

# ---- what is missing ----

sql('DROP USER MAPPING FOR PUBLIC SERVER kafka_tls');
like(answer("SELECT stream_ingest.topics('kafka_tls')"),
	qr/22023.*"sasl_oauthbearer_client_secret" of the user mapping is missing/s, 'no secret');

# ---- nothing is shown ----

my $shown = $said . sql('SELECT * FROM stream_ingest.status') . join("\n", grep { !/statement:|STATEMENT:/ } split /\n/, slurp_file($node->logfile));
unlike($shown, qr/eyJ|wrong-secret|secret-claim|secret words/, 'no secret, no token and no words of the endpoint are shown');

$node->stop;
done_testing();
