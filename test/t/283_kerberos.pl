# sasl_mechanism GSSAPI: tickets come from a real KDC by keytabs, and a real broker
# accepts them.  They are renewed while messages flow, also by a key that was replaced;
# a KDC that is away or does not answer, a key that is missing or wrong, and a server
# that belongs to no superuser give their reasons, cost no message, and pass by
# themselves.  No program is run, no client uses another one's ticket, and a KDC that
# hangs delays neither DROP DATABASE nor a shutdown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Kdc;
use StreamIngest qw(sql poll answer rows_come);
use Test::More;
use Time::HiRes qw(time);

my $messages = 5;
my $dir = PostgreSQL::Test::Utils::tempdir();

# ---- the KDC ----

my $kdc = Kdc->start;
$kdc->add($_) foreach qw(kafka/localhost app other late stranger changed);
$kdc->add('short', '-maxlife', '6 seconds');
my %keytab = map { $_ => $kdc->keytab($_) } qw(kafka/localhost app other late stranger short changed);

# ---- the broker: two listeners, one of which ends sessions after some seconds ----

$ENV{JDK_JAVA_OPTIONS} = "-Djava.security.krb5.conf=$ENV{KRB5_CONFIG}";
my $kafka = StreamIngest::start_kafka();
my %address = map { $_ => 'localhost:' . PostgreSQL::Test::Cluster::get_free_port() } qw(krb brief);
my ($listeners) = slurp_file("$kafka->{dir}/server.properties") =~ /^listeners=(.*)$/m;
my $jaas = 'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true isInitiator=false '
  . qq(keyTab="$keytab{'kafka/localhost'}" principal="@{[ $kdc->principal('kafka/localhost') ]}";);
$kafka->reconfigure(
	"listeners=$listeners,KRB://$address{krb},BRIEF://$address{brief}",
	'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,KRB:SASL_PLAINTEXT,BRIEF:SASL_PLAINTEXT',
	'sasl.enabled.mechanisms=GSSAPI',
	'sasl.kerberos.service.name=kafka',
	'listener.name.brief.gssapi.connections.max.reauth.ms=2000',
	map { "listener.name.$_.gssapi.sasl.jaas.config=$jaas" } qw(krb brief));
$kafka->create_topic($_, 1) foreach qw(t flow);
$kafka->produce('t', count => $messages);

# ---- the server: kinit would leave a mark, and other credentials lie about ----

mkdir "$dir/bin";
append_to_file("$dir/bin/kinit", "#!/bin/sh\ntouch $dir/kinit-was-run\n");
chmod 0755, "$dir/bin/kinit";
my $node;
{
	local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
	local $ENV{KRB5_CLIENT_KTNAME} = "FILE:$keytab{stranger}";
	local $ENV{KRB5CCNAME} = "FILE:$dir/ccache";
	$node = StreamIngest::new_node('main');
}

# The options of a server for a principal, with others in their place.
sub options
{
	my ($principal, %more) = @_;
	my %options = (
		bootstrap_servers => $address{krb},
		broker_address_family => 'v4',
		security_protocol => 'SASL_PLAINTEXT',
		sasl_mechanism => 'GSSAPI',
		sasl_kerberos_keytab => $keytab{$principal} // "$dir/$principal.keytab",
		sasl_kerberos_principal => $kdc->principal($principal),
		%more);

	return join(', ', map { "$_ '$options{$_}'" } sort keys %options);
}

sub add_server
{
	my ($name, @options) = @_;

	sql("CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest OPTIONS (" . options(@options) . ')');
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

# The number of messages that a query of two servers in one session sees, or its error.
sub peeks
{
	my (@servers) = @_;

	return answer(join(';', map { "SELECT count(*) FROM stream_ingest.peek('$_', 't')" } @servers));
}

# ---- what is right ----

add_server('kafka', 'app');
subscribe('plain', 'kafka', 't');
rows_come('plain', $messages, 'a subscription reads');
is(sql("SELECT count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't'"), 1, 'topics');
is(sql("SELECT count(*) FROM stream_ingest.peek('kafka', 't')"), $messages, 'peek');
like(sql("SELECT stream_ingest.infer_table('kafka', 't', 'public.x')"), qr/CREATE TABLE/, 'infer_table');
sql("SELECT stream_ingest.produce('kafka', 't', '{\"id\": 1000, \"payload\": \"produced\"}')");
$messages++;
rows_come('plain', $messages, 'produce');
cmp_ok($kdc->issued('app', 'kafka/localhost'), '>=', 1, 'as the principal of the server');

# a listener without SASL needs no ticket
my $issued = $kdc->issued('app', 'krbtgt');
add_server('kafka_no_sasl', 'app', bootstrap_servers => $kafka->bootstrap, security_protocol => 'PLAINTEXT');
is(peeks('kafka_no_sasl'), $messages, 'without SASL: peek');
is($kdc->issued('app', 'krbtgt'), $issued, 'and no ticket is asked for');

# ---- one session, several principals ----

add_server('kafka_other', 'other');
add_server('kafka_missing', 'late');
unlink $keytab{late};
is(peeks('kafka', 'kafka_other', 'kafka'), "$messages\n$messages\n$messages", 'several servers in a session');
cmp_ok($kdc->issued('other', 'kafka/localhost'), '==', 1, 'each by its own principal');
like(peeks('kafka', 'kafka_missing'), qr/08004.*no Kerberos ticket for "late\@EXAMPLE.TEST": .*not found/s,
	'no session uses the ticket of another server');

# ---- renewed while messages flow ----

add_server('kafka_short', 'short', bootstrap_servers => $address{brief});
subscribe('flow', 'kafka_short', 'flow');
my $sent = 0;
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
while ($kdc->issued('short', 'krbtgt') < 4 && time() < $limit)
{
	$kafka->produce('flow', count => 20, first => $sent);
	$sent += 20;
}
cmp_ok($kdc->issued('short', 'krbtgt'), '>=', 4, 'the ticket is renewed before it ends');
cmp_ok($kdc->issued('short', 'kafka/localhost'), '>=', 3, 'and used by new connections');
rows_come('flow', $sent, "all $sent messages, once");

# ---- another key, in a keytab that is replaced ----

add_server('kafka_changed', 'changed');
is(peeks('kafka_changed'), $messages, 'the first key');
$kdc->change_key('changed');
like(peeks('kafka_changed'), qr/08004.*no Kerberos ticket for "changed\@EXAMPLE.TEST": /s, 'a key that is no longer valid');
subscribe('changed', 'kafka_changed', 't');
says('changed', 'no Kerberos ticket .*; check sasl_kerberos_keytab and sasl_kerberos_principal of the server', '28000', 'its reason');
$kdc->keytab('changed');
rows_come('changed', $messages, 'a keytab that is replaced is used without a restart');

# ---- a keytab that is not there yet ----

subscribe('late', 'kafka_missing', 't');
says('late', 'late.keytab.* not found; check sasl_kerberos_keytab', '28000', 'a missing keytab');
$kdc->keytab('late');
ok(poll("SELECT count(*) FROM late", $messages, 65), 'is found within a minute of its coming');

# ---- what is wrong ----

add_server('kafka_nobody', 'nobody', sasl_kerberos_keytab => $keytab{app});
like(peeks('kafka_nobody'), qr/08004.*no Kerberos ticket for "nobody\@EXAMPLE.TEST"/s, 'a principal without a key');
add_server('kafka_service', 'app', sasl_kerberos_service_name => 'kafkaesque');
like(peeks('kafka_service'), qr/08004.*kafkaesque\/localhost\@EXAMPLE.TEST not found/s, 'another service');
add_server('kafka_device', 'app', sasl_kerberos_keytab => '/dev/zero');
like(peeks('kafka_device'), qr/08004.*sasl_kerberos_keytab names no regular file/s, 'a device');

# librdkafka makes no client with these
add_server('kafka_broken', 'app', security_protocol => 'SASL_SSL', ssl_ca_location => '/nonexistent');
like(answer("\\set ON_ERROR_STOP 0\nSELECT stream_ingest.topics('kafka_broken');" . "SELECT stream_ingest.produce('kafka_broken', 't', '{}');" x 2),
	qr/22023.*could not create Kafka consumer.*22023.*could not create Kafka producer.*22023/s, 'a client that cannot be made');
is(peeks('kafka'), $messages, 'harms no other');

# ---- the KDC is away, and back ----

$kdc->stop;
add_server('kafka_away', 'app');
subscribe('away', 'kafka_away', 't');
says('away', 'annot contact any KDC.*it is retried automatically', '08006', 'without a KDC');
says('flow', 'annot contact any KDC.*it is retried automatically', '08006', 'without a KDC, when the ticket has ended');
$kafka->produce('flow', count => 20, first => $sent);
$sent += 20;
$kdc->resume;
rows_come('away', $messages, 'the KDC is back');
rows_come('flow', $sent, 'and nothing is lost');
ok(poll("SELECT bool_and(state = 'streaming' AND reason IS NULL) FROM stream_ingest.status WHERE name IN ('flow', 'away')"),
	'and no reason is left');

# ---- not for others than superusers ----

sql('CREATE ROLE ann LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO ann; GRANT USAGE ON FOREIGN SERVER kafka TO ann');
my @ann = (extra_params => [ '-U', 'ann' ]);
like(answer('CREATE SERVER anns FOREIGN DATA WRAPPER stream_ingest OPTIONS (' . options('app') . ')', @ann),
	qr/42501.*permission denied to set option "sasl_kerberos_keytab"/s, 'CREATE SERVER');
is(answer("CREATE SERVER anns FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$address{krb}')", @ann), '', 'a plain one');
like(answer("ALTER SERVER anns OPTIONS (ADD sasl_kerberos_keytab '$keytab{app}')", @ann),
	qr/42501.*permission denied to set option "sasl_kerberos_keytab"/s, 'ALTER SERVER');
is(answer("SELECT count(*) FROM stream_ingest.peek('kafka', 't')", @ann), $messages, 'USAGE is enough for what a superuser has made');

sql('ALTER SERVER kafka OWNER TO ann');
like(answer("SELECT count(*) FROM stream_ingest.peek('kafka', 't')", @ann), qr/42501.*"kafka": its owner is not a superuser/s,
	'an owner who is no superuser: peek');
like(answer("SELECT stream_ingest.produce('kafka', 't', '{}')", @ann), qr/42501.*its owner is not a superuser/s, 'produce');
ok(poll("SELECT reason ~ 'its owner is not a superuser' FROM stream_ingest.status WHERE name = 'plain'"), 'and the subscription');
sql('ALTER SERVER kafka OWNER TO CURRENT_USER');
$kafka->produce('t', count => 1, first => 2000);
$messages++;
rows_come('plain', $messages, 'which resumes when a superuser owns the server again');

like(answer("ALTER SERVER kafka OPTIONS (ADD sasl_kerberos_kinit_cmd 'touch $dir/kinit-was-run')"),
	qr/"sasl_kerberos_kinit_cmd" is not allowed/, 'no command can be given');

# ---- the KDC hangs ----

sql('CREATE DATABASE hung');
my $hung = 'CREATE EXTENSION stream_ingest; CREATE TABLE t (id bigint, payload text);
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (' . options('other') . ');';
$node->safe_psql('hung', $hung);
$kdc->suspend;
add_server('kafka_hung', 'other');
my $began = time();
like(answer("SELECT stream_ingest.topics('kafka_hung')"), qr/08006.*no Kerberos ticket: the KDC has not answered/s,
	'a KDC that does not answer');
cmp_ok(time() - $began, '<', 20, 'is not waited for long');
$began = time();
like(answer("SET statement_timeout = '300ms'; SELECT stream_ingest.topics('kafka_hung')"), qr/57014/, 'a statement can be canceled');
cmp_ok(time() - $began, '<', 8, 'at once');
sql("CREATE TABLE hung (id bigint); SELECT stream_ingest.create_subscription('hung', 'kafka_hung', 't', 'hung')");
says('hung', 'the KDC has not answered; it is retried automatically', '08006', 'a subscription says so');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND xact_start IS NOT NULL"), 0,
	'and holds no transaction');
$node->safe_psql('hung', "SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't')");
ok(poll("SELECT count(*) FROM pg_stat_activity WHERE datname = 'hung' AND backend_type = 'stream_ingest worker'", 1), 'a worker waits');
$began = time();
sql('DROP DATABASE hung');
cmp_ok(time() - $began, '<', 20, 'DROP DATABASE goes through');
note(sprintf('in %.1f s', time() - $began));
$began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', 30, 'so does a fast shutdown');
note(sprintf('in %.1f s', time() - $began));
$kdc->resume;

# ---- without the mechanism's module ----

{
	local $ENV{SASL_PATH} = $dir;
	$node->start;
}
like(peeks('kafka'), qr/08004.*install libsasl2-modules-gssapi-mit/s, 'the package of the mechanism is named');
$node->restart;
$kafka->produce('t', count => 1, first => 3000);
$messages++;
rows_come('hung', $messages, 'all continues');
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'no dead letter');

# ---- what must never happen ----

ok(!-e "$dir/kinit-was-run", 'kinit was not run');
ok(!-e "$dir/ccache", 'no ticket was written to a file');
is($kdc->issued('stranger', 'krbtgt'), 0, "the environment's keytab was not used");
my $log = slurp_file($node->logfile);
unlike($log, qr/terminated by signal|PANIC|TRAP:/, 'no process has crashed');

$node->stop;
done_testing();
