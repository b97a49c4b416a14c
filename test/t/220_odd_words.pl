# Words that cross the border: what a broker says, and what a database that is
# not in UTF8 tells Kafka and other databases.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use EvilBroker;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

sub sql { my ($sql, $database) = @_; return $node->safe_psql($database // 'postgres', $sql); }

# ---- what a broker says ----

my $evil = "no\e[31m \xff\xfe\x00 \x01caf\xc3\xa9\n\xc2\x9b31m " . ('x' x 30000);
my $visible = 'no\x1b[31m \xff\xfe';
my $sasl = EvilBroker::start(words => $evil =~ s/\0//r, sasl => 1);
my $plain = EvilBroker::start(words => $evil =~ s/\0//r);

sql(qq{
	CREATE SERVER evil_sasl FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '@{[ $sasl->bootstrap ]}',
		security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
	CREATE USER MAPPING FOR CURRENT_USER SERVER evil_sasl OPTIONS (sasl_username 'u', sasl_password 'p');
	CREATE SERVER evil_plain FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '@{[ $plain->bootstrap ]}');
	CREATE TABLE t (id int);
	SELECT stream_ingest.create_subscription('sasl', 'evil_sasl', 't', 't');
	SELECT stream_ingest.create_subscription('plain', 'evil_plain', 't', 't')});

# Is this text what a terminal and a driver can take?
my $clean = q{ !~ '[\x01-\x1f\x7f-\x9f]' AND octet_length(%1$s) < 600 AND convert_from(convert_to(%1$s, 'UTF8'), 'UTF8') = %1$s};

ok(poll("SELECT state FROM stream_ingest.status WHERE name = 'sasl'", 'retrying'), 'a broker refuses the password');
ok(poll("SELECT position(\$\$$visible\$\$ IN reason) > 0 FROM stream_ingest.status WHERE name = 'sasl'"),
	'status shows its words, with what is no text in hex');
foreach my $column (qw(reason last_error))
{
	is(sql("SELECT $column" . sprintf($clean, $column) . " FROM stream_ingest.status WHERE name = 'sasl'"),
		't', "$column is clean");
}
note(sql("SELECT reason FROM stream_ingest.status WHERE name = 'sasl'"));

my ($out, $err);
$node->psql('postgres', "SELECT * FROM stream_ingest.peek('evil_sasl', 't')", stderr => \$err);
like($err, qr/does not accept the connection: .*\Q$visible\E/, 'peek fails with them');
unlike($err, qr/[\x01-\x08\x0b-\x1f\x7f\xff\xfe]/, 'and the error is clean');
cmp_ok(length $err, '<', 2000, 'and short');
$node->psql('postgres', "SELECT stream_ingest.produce('evil_sasl', 't', 'v')", stderr => \$err);
like($err, qr/\Q$visible\E/, 'produce fails with them');
unlike($err, qr/[\x01-\x08\x0b-\x1f\x7f\xff\xfe]/, 'and its error is clean');

$out = sql("SELECT topic FROM stream_ingest.topics('evil_plain')");
like($out, qr/^t$/m, 'topics lists those of a strange broker');
like($out, qr/\Q$visible\E/, 'among them one with an impossible name');
unlike($out, qr/[\x01-\x08\x0b-\x1f\x7f\xff\xfe]/, 'in a clean form');
ok(poll("SELECT count(*) FROM stream_ingest.offsets WHERE name = 'plain'", 1), 'a topic of a cluster with such a name is read');
is(sql("SELECT cluster_id" . sprintf($clean, 'cluster_id') . ' FROM stream_ingest.progress'), 't', 'the stored cluster is a text');
unlike(slurp_file($node->logfile), qr/[\x01-\x08\x0b-\x1f\x7f\xff\xfe]/, "and so is all that the server's log has of them");
sql("SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions");

# ---- what a database in another encoding tells ----

# the name in UTF-8, and in LATIN1 with what cannot be shown elsewhere in hex
my $name = "caf\xc3\xa9";
my $ascii = 'caf\xe9';

$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
$kafka->create_topic('t', 1);
$kafka->produce('t', ['{"id": 1}']);
sql(qq{
	SET client_encoding = 'UTF8';
	CREATE EXTENSION stream_ingest;
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '@{[ $kafka->bootstrap ]}');
	CREATE TABLE t (id int);
	SELECT stream_ingest.create_subscription('$name', 'kafka', 't', 't');
	SELECT stream_ingest.create_subscription('own', 'kafka', 't', 't', options => '{"group_id": "stream_ingest.latin.own_$name"}')},
	'latin');
ok(poll("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stream_ingest %' AND backend_type = 'stream_ingest worker'", 2),
	'its workers run');
is(sql("SELECT application_name FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND application_name <> 'stream_ingest own'"),
	"stream_ingest $ascii", 'other databases see their names as ASCII');
my @pids = split /\n/, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'");
foreach my $pid (@pids)
{
	unlike(slurp_file("/proc/$pid/cmdline"), qr/[\x80-\xff]/, 'so does who lists processes');
}
is(sql(q{SELECT stream_ingest.wait_until_caught_up(name, '180 s') FROM stream_ingest.subscriptions}, 'latin'), "t\nt", 'they read');
foreach my $group ("stream_ingest.latin.$name", "stream_ingest.latin.own_$name")
{
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $offsets = '';

	while (($offsets = $kafka->group_offsets($group)) ne 't 0 1' && time() < $limit)
	{
		select(undef, undef, undef, 0.1);
	}
	is($offsets, 't 0 1', "Kafka knows the group by its name in UTF-8");
}

done_testing();
