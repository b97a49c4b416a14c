# Every way of not moving: what "status" says of it, and that the subscription
# goes on when that is mended.
#
# A copied database, a standby and a crash loop have tests of their own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $sasl = $kafka->add_sasl('app', 'right');
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_prepared_transactions => 5 });

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub poll { return StreamIngest::poll_until($node, @_); }

# Runs statements as the role that is no superuser.
sub as_plain { return sql("SET ROLE plain; $_[0]"); }

# A broken subscription reads topic t into a table of its own name, as role
# plain or, if so said, as a superuser.
sub subscribe
{
	my ($name, %opt) = @_;
	my $server = $opt{server} // 'kafka';
	my $topic = $opt{topic} // 't';
	my $options = $opt{options} // '{}';
	my $role = $opt{role} // 'plain';

	sql(qq{
		CREATE TABLE $name (id bigint PRIMARY KEY, payload text);
		ALTER TABLE $name OWNER TO @{[ $opt{table_owner} // $role ]};
		SET ROLE $role;
		SELECT stream_ingest.create_subscription('$name', '$server', '$topic', '$name',
			insert_mode => '@{[ $opt{insert_mode} // 'insert' ]}', options => '$options')});
	return;
}

# Waits for the state and the reason, which is a regular expression of the
# server's: both what is wrong and what to do.
sub says
{
	my ($name, $state, $reason, $and) = @_;

	$and //= 'true';
	ok( poll(
			"SELECT bool_or(state = '$state' AND reason ~ \$re\$$reason\$re\$ AND ($and))"
			  . " FROM stream_ingest.status WHERE name = '$name'"),
		"$name: $state, and the reason");
	note(sql("SELECT state || ': ' || reason FROM stream_ingest.status WHERE name = '$name'"));
	return;
}

my $messages = 0;

# Lets topic t grow by one message.
sub one_more
{
	$kafka->produce('t', ["{\"id\": $messages}"], partition => 0);
	$messages++;
	return;
}

# Waits until all messages of topic t are in the subscription's table, and
# nothing is wrong any more.
sub goes_on
{
	my ($name, $table) = @_;

	$table //= $name;
	ok(poll("SELECT count(*) FROM $table", $messages), "$name: goes on when that is mended");
	ok( poll(
			"SELECT bool_and(state = 'streaming' AND reason IS NULL AND retry_at IS NULL)"
			  . " FROM stream_ingest.status WHERE name = '$name'"),
		"$name: and nothing is wrong any more");
	return;
}

# A transaction that stays open in a session of its own.
sub hold
{
	my ($statements) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 1);

	$session->query_safe("BEGIN; $statements");
	return $session;
}

$kafka->create_topic('t', 1);
one_more() foreach 1 .. 3;
sql(q{
	CREATE ROLE plain LOGIN;
	CREATE ROLE stranger LOGIN;
	GRANT CREATE ON SCHEMA public TO plain;
	GRANT USAGE ON FOREIGN SERVER kafka TO plain});

# ---- Kafka ----

# who listens, and never says a word
my $silent = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1')
  or die "could not listen: $!";
my %bootstrap = (
	nowhere => '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port(),
	silent => '127.0.0.1:' . $silent->sockport);
foreach my $name (sort keys %bootstrap)
{
	sql(qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap{$name}');
		GRANT USAGE ON FOREIGN SERVER $name TO plain});
	subscribe($name, server => $name);
}
sql(qq{
	CREATE SERVER sasl FOREIGN DATA WRAPPER stream_ingest
		OPTIONS (bootstrap_servers '$sasl', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
	CREATE USER MAPPING FOR plain SERVER sasl OPTIONS (sasl_username 'app', sasl_password 'wrong');
	GRANT USAGE ON FOREIGN SERVER sasl TO plain});
subscribe('sasl', server => 'sasl');
subscribe('topic', topic => 'unborn');

says('nowhere', 'retrying', 'Connection refused.*; see whether the brokers run',
	q{last_error_sqlstate = '08006' AND last_error ~ 'refused' AND retry_at > now() AND retries > 0});
says('silent', 'retrying', '; see whether the brokers run', q{retry_at > now() AND retries > 0});
says('sasl', 'retrying', 'uthentication failed.*; see what the server and the user mapping', q{last_error_sqlstate = '28000'});
says('topic', 'stopped', '[uU]nknown topic.*"unborn"|"unborn".*[uU]nknown topic', q{reason ~ '; create the topic'});

sql("ALTER SERVER $_ OPTIONS (SET bootstrap_servers '" . $kafka->bootstrap . "')") foreach sort keys %bootstrap;
sql(q{ALTER USER MAPPING FOR plain SERVER sasl OPTIONS (SET sasl_password 'right')});
$kafka->create_topic('unborn', 1);
$kafka->produce('unborn', [ map { "{\"id\": $_}" } 1 .. $messages ], partition => 0);
goes_on($_) foreach qw(nowhere silent sasl topic);
sql("SELECT stream_ingest.drop_subscription('$_')") foreach qw(nowhere silent sasl topic);

# ---- the owner, its rights, and the target ----

subscribe($_) foreach qw(own granted renamed gone);
subscribe('lent', table_owner => 'postgres');
sql('GRANT INSERT ON lent TO plain');
goes_on($_) foreach qw(granted renamed gone lent);

sql('REVOKE INSERT ON lent FROM plain');
sql('ALTER TABLE renamed RENAME TO had_another_name');
sql('DROP TABLE gone');
one_more();
says('lent', 'stopped', 'permission denied for table lent .*; grant what is missing',
	q{last_error_sqlstate = '42501' AND retry_at > now()});
says('gone', 'stopped', 'target "public.gone" .* does not exist .*; name another target by alter_subscription');
goes_on('renamed', 'had_another_name');
sql('GRANT INSERT ON lent TO plain');
goes_on('lent');
as_plain(q{CREATE TABLE found (id bigint, payload text); SELECT stream_ingest.alter_subscription('gone', target => 'found')});
ok(poll('SELECT count(*) FROM found', 1), 'gone: goes on with another target');

# a server that may not be used any more, and one that is gone
sql('REVOKE USAGE ON FOREIGN SERVER kafka FROM plain');
says('granted', 'stopped', 'permission denied for foreign server kafka|role "plain" has no USAGE on server "kafka"; GRANT');
sql('GRANT USAGE ON FOREIGN SERVER kafka TO plain');
one_more();
goes_on('granted');
my $drop_server = q{ALTER SERVER kafka RENAME TO renamed_server};
sql($drop_server);
says('granted', 'stopped', 'server "kafka" does not exist');
sql('ALTER SERVER renamed_server RENAME TO kafka');
one_more();
goes_on('granted');

# who may not log in or connect: the process that is in the way of is ended
foreach my $case (
	[ 'ALTER ROLE plain NOLOGIN', 'ALTER ROLE plain LOGIN', 'role "plain" is not permitted to log in; ALTER ROLE' ],
	[   'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC',
		'role "plain" may not connect to this database; GRANT CONNECT' ])
{
	my ($break, $mend, $reason) = @$case;

	sql($break);
	sql('SELECT count(pg_terminate_backend(pid)) FROM stream_ingest.status');
	says('granted', 'stopped', $reason, 'pid IS NULL AND retry_at > now()');
	sql($mend);
	one_more();
	goes_on('granted');
}

done_testing();
