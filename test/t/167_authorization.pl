# A topic that the credentials may not read, on a broker with an authorizer:
# every way to it says so, nothing crashes, and a right that is granted or
# revoked while a subscription runs is noticed.
#
# Such a broker answers with an error of the topic and without partitions.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

# the first listener lets its users do everything, the second what they may
my $kafka = StreamIngest::start_kafka(
	config => [
		'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
		'super.users=User:ANONYMOUS' ]);
my $sasl = $kafka->add_sasl(reader => 'secret');
my $node = StreamIngest::new_node('main', conf => { log_min_messages => 'info' });

# A statement's error.
sub refusal
{
	my ($out, $err) = ('', '');

	$node->psql('postgres', $_[0], stdout => \$out, stderr => \$err);
	return $err;
}

my @acl = ('org.apache.kafka.tools.AclCommand', '--bootstrap-server', $kafka->bootstrap);
my @right = ('--allow-principal', 'User:reader', '--topic', 'secret', '--operation', 'Read', '--operation', 'Write');
my $refused = '[Tt]opic authorization failed';

$kafka->create_topic('secret', 3);
$kafka->produce('secret', count => 9, round_robin => 3);
sql(qq{
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest
		OPTIONS (bootstrap_servers '$sasl', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
	CREATE USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (sasl_username 'reader', sasl_password 'secret');
	CREATE TABLE t (id bigint, payload text)});

# ---- without the right ----

like(refusal("SELECT * FROM stream_ingest.peek('kafka', 'secret')"),
	qr/does not let topic "secret" be read: .*$refused/, 'peek says so');
is(sql("SELECT count(*) FROM stream_ingest.topics('kafka') WHERE topic = 'secret'"),
	0, 'topics does not have it');
like(refusal("SELECT stream_ingest.produce('kafka', 'secret', 'x')"), qr/$refused/, 'produce says so');
sql("SELECT stream_ingest.create_subscription('s', 'kafka', 'secret', 't')");
my $denied = "SELECT state = 'stopped' AND reason ~ '$refused' FROM stream_ingest.status";
ok(poll($denied), 'the subscription is stopped, with the reason');

# ---- granted, revoked, granted again ----

$kafka->tool(@acl, '--add', @right);
ok(poll('SELECT count(*) FROM t', 9), 'the right is granted: its rows come');
is(sql("SELECT count(*) FROM stream_ingest.peek('kafka', 'secret')"), 9, 'and peek shows them');

$kafka->tool(@acl, '--remove', '--force', @right);
$kafka->produce('secret', count => 3, first => 9, round_robin => 3);
ok(poll($denied), 'the right is revoked while it runs: stopped, with the reason');

$kafka->tool(@acl, '--add', @right);
ok(poll('SELECT count(*) || $$ $$ || count(DISTINCT id) FROM t', '12 12'), 'granted again: each row once');

# ----

is(scalar(grep { /terminated by signal/ } split /\n/, slurp_file($node->logfile)), 0, 'nothing crashed');

$node->stop;
done_testing();
