# Certificates, keys and CAs in files that are replaced are taken up without a restart
# and without a loss; while a new file is broken, the old connection stays, and status
# says why.
#
# The certificates are made here, by openssl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Certificates;
use POSIX ();
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(sleep time);

my $dir = PostgreSQL::Test::Utils::tempdir();
my $sent = 0;

# ---- certificates ----

my $certificates = Certificates->new($dir);
$certificates->make_ca('ca');
$certificates->make($_, 'DNS:localhost,IP:127.0.0.1', '-days', 30) foreach qw(broker first second);

# what the server uses
sub install
{
	my ($name) = @_;

	StreamIngest::replace_file("$dir/client.key", slurp_file("$dir/$name.key"));
	StreamIngest::replace_file("$dir/client.pem", slurp_file("$dir/$name.pem"));
	return;
}
install('first');
StreamIngest::replace_file("$dir/cas.pem", slurp_file("$dir/ca.pem"));

# ---- broker and subscription ----

my $kafka = StreamIngest::start_kafka();
my $address = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my ($listeners) = slurp_file("$kafka->{dir}/server.properties") =~ /^listeners=(.*)$/m;
$kafka->reconfigure(
	"listeners=$listeners,MUTUAL://$address",
	'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,MUTUAL:SSL',
	'listener.name.mutual.ssl.client.auth=required',
	'listener.name.mutual.ssl.keystore.type=PEM',
	"listener.name.mutual.ssl.keystore.location=$dir/broker.both.pem",
	'listener.name.mutual.ssl.truststore.type=PEM',
	"listener.name.mutual.ssl.truststore.location=$dir/ca.pem");
$kafka->create_topic('t', 1);

my $node = StreamIngest::new_node('main');
sql("CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$address',
		security_protocol 'SSL', ssl_ca_location '$dir/cas.pem');
	CREATE USER MAPPING FOR PUBLIC SERVER kafka
		OPTIONS (ssl_key_location '$dir/client.key', ssl_certificate_location '$dir/client.pem');
	CREATE TABLE t (id bigint, payload text);
	SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't')");

# Messages flow until the answer is true.  A worker knows that it is at the end only
# when a fetch brings nothing, which a broker answers after half a second.
sub flows_until
{
	my ($sql, $what) = @_;
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $answer = '';

	while ($answer ne 't' && time() < $limit)
	{
		$kafka->produce('t', count => 10, first => $sent);
		$sent += 10;
		my $pause = time() + 1;
		while (($answer = sql("SELECT coalesce(($sql), false)")) ne 't' && time() < $pause)
		{
			sleep(0.1);
		}
	}
	is($answer, 't', $what);
	return;
}

# Another process than this one streams, with no reason left.
sub replaced
{
	my ($pid, $what) = @_;

	flows_until("SELECT pid <> $pid AND state = 'streaming' AND reason IS NULL FROM stream_ingest.status", $what);
	return;
}

sub exact
{
	my ($what) = @_;

	ok(poll('SELECT count(*) || \' \' || count(DISTINCT id) FROM t', "$sent $sent"), $what);
	return;
}

flows_until("SELECT state = 'streaming' FROM stream_ingest.status", 'it streams');
exact('all messages, once');

# a session that produces, and keeps its connection
my $session = $node->background_psql('postgres');
$session->set_query_timer_restart;
my $produced = "SELECT stream_ingest.produce('kafka', 't', '{}'); SELECT 'committed'";
like($session->query_safe($produced =~ s/\{\}/{"id": -1}/r), qr/committed/, 'a session produces');
$sent++;

# ---- replaced ----

my $pid = StreamIngest::worker_pid($node, 't');
install('second');
replaced($pid, 'another certificate and key are taken up');
exact('nothing is lost and nothing doubled');
like(slurp_file($node->logfile), qr/subscription "t" reconnects, since a file of certificates or keys has changed/, 'the log says so');
like($session->query_safe($produced =~ s/\{\}/{"id": -2}/r), qr/committed/, 'the session still produces');
$sent++;

# ---- broken ----

$pid = StreamIngest::worker_pid($node, 't');
StreamIngest::replace_file("$dir/client.pem", "no certificate\n");
my $broken = "pid = $pid AND state IN ('streaming', 'catching_up') AND reason ~ 'cannot be used: ssl.certificate.location failed.*the old connection stays'";
flows_until("SELECT $broken FROM stream_ingest.status", 'a broken certificate is the reason');
exact('the old connection is used meanwhile');
like($session->query_safe($produced =~ s/\{\}/{"id": -3}/r), qr/committed/, 'by the session, too');
$sent++;
is(sql("SELECT $broken FROM stream_ingest.status"), 't', 'and the reason stays');

# nothing writes into the pipe, so what opens it waits for ever
unlink("$dir/client.pem");
POSIX::mkfifo("$dir/client.pem", 0600) or die "mkfifo: $!";
flows_until("SELECT $broken FROM stream_ingest.status" =~ s/ssl.certificate.location failed/ssl.certificate.location names no regular file/r,
	'a pipe is no certificate');
like($session->query_safe($produced =~ s/\{\}/{"id": -4}/r), qr/committed/, 'nor for the session');
$sent++;
unlink("$dir/client.pem");

install('first');
replaced($pid, 'the files are corrected');

$pid = StreamIngest::worker_pid($node, 't');
StreamIngest::replace_file("$dir/cas.pem", slurp_file("$dir/ca.pem") . slurp_file("$dir/first.pem"));
replaced($pid, 'other CAs are taken up');
exact('nothing is lost and nothing doubled');
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'no dead letter');

$session->quit;
$node->stop;
done_testing();
