# Every way of not moving: what "status" says of it, and that the subscription
# resumes when that is fixed.
#
# A copied database, a standby and a crash loop have tests of their own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $sasl = $kafka->add_sasl('app', 'right');
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_prepared_transactions => 5, wal_level => 'replica', max_wal_senders => 2 });

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
		GRANT ALL ON $name TO $role;
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
			"SELECT bool_or(state ~ '^($state)\$' AND reason ~ \$re\$$reason\$re\$ AND ($and))"
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
	ok(poll("SELECT count(*) FROM $table", $messages), "$name: resumes when that is fixed");
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

says('nowhere', 'retrying', 'Connection refused.*; check that the brokers are running',
	q{last_error_sqlstate = '08006' AND last_error ~ 'refused' AND retry_at > now() AND retries > 0});
says('silent', 'retrying', '; check that the brokers are running', q{retry_at > now() AND retries > 0});
says('sasl', 'retrying', 'uthentication failed.*; check the security options of the server', q{last_error_sqlstate = '28000'});
says('topic', 'stopped', '[uU]nknown topic.*"unborn"|"unborn".*[uU]nknown topic', q{reason ~ '; create the topic'});

sql("ALTER SERVER $_ OPTIONS (SET bootstrap_servers '" . $kafka->bootstrap . "')") foreach sort keys %bootstrap;
sql(q{ALTER USER MAPPING FOR plain SERVER sasl OPTIONS (SET sasl_password 'right')});
$kafka->create_topic('unborn', 1);
$kafka->produce('unborn', [ map { "{\"id\": $_}" } 1 .. $messages ], partition => 0);
goes_on($_) foreach qw(nowhere silent sasl topic);
sql("SELECT stream_ingest.drop_subscription('$_')") foreach qw(nowhere silent sasl topic);

# ---- the owner, its rights, and the target ----

subscribe($_) foreach qw(granted renamed gone);
subscribe('lent', table_owner => sql('SELECT quote_ident(current_user)'));
goes_on($_) foreach qw(granted renamed gone lent);

sql('REVOKE ALL ON lent FROM plain');
sql('ALTER TABLE renamed RENAME TO had_another_name');
sql('DROP TABLE gone');
one_more();
says('lent', 'stopped', 'permission denied for table lent .*; grant the missing privilege',
	q{last_error_sqlstate = '42501' AND retry_at > now()});
says('gone', 'stopped', 'target "public.gone" .* does not exist .*; set another target with alter_subscription');
goes_on('renamed', 'had_another_name');
sql('GRANT INSERT ON lent TO plain');
goes_on('lent');
as_plain(q{CREATE TABLE found (id bigint, payload text); SELECT stream_ingest.alter_subscription('gone', target => 'found')});
ok(poll('SELECT count(*) FROM found', 1), 'gone: continues with another target');

# a server that may not be used any more, and one that is gone
sql('REVOKE USAGE ON FOREIGN SERVER kafka FROM plain');
says('granted', 'stopped', 'permission denied for foreign server kafka|role "plain" has no USAGE on server "kafka"; GRANT');
sql('GRANT USAGE ON FOREIGN SERVER kafka TO plain');
one_more();
goes_on('granted');
my $rename = q{SET allow_system_table_mods = on; UPDATE pg_foreign_server SET srvname =};
sql("$rename 'renamed_server' WHERE srvname = 'kafka'");
says('granted', 'stopped', 'server "kafka" does not exist');
sql("$rename 'kafka' WHERE srvname = 'renamed_server'");
one_more();
goes_on('granted');

# since 17 a worker needs no LOGIN
if (sql('SHOW server_version_num') >= 170000)
{
	sql('ALTER ROLE plain NOLOGIN');
	sql('SELECT count(pg_terminate_backend(pid)) FROM stream_ingest.status');
	one_more();
	goes_on('granted');
	sql('ALTER ROLE plain LOGIN');
}

# who may not log in or connect: the process that is in the way of is ended
foreach my $case (
	[ 'ALTER ROLE plain NOLOGIN', 'ALTER ROLE plain LOGIN', 'role "plain" is not permitted to log in; ALTER ROLE' ],
	[   'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC',
		'role "plain" may not connect to this database; GRANT CONNECT' ])
{
	my ($break, $fix, $reason) = @$case;

	next if $break =~ /NOLOGIN/ && sql('SHOW server_version_num') >= 170000;
	sql($break);
	sql('SELECT count(pg_terminate_backend(pid)) FROM stream_ingest.status');
	says('granted', 'stopped', $reason, 'pid IS NULL AND retry_at > now()');
	sql($fix);
	one_more();
	goes_on('granted');
}

# ---- steering ----

sql("SELECT stream_ingest.drop_subscription('$_')") foreach qw(lent gone renamed);
as_plain("SELECT stream_ingest.disable('granted')");
says('granted', 'disabled', 'is disabled; enable.. starts it', 'pid IS NULL');
as_plain("SELECT stream_ingest.enable('granted')");
one_more();
goes_on('granted');

sql('ALTER SYSTEM SET stream_ingest.enabled = off; SELECT pg_reload_conf()');
says('granted', 'stopped', 'stream_ingest.enabled is off; set it to on and reload', 'pid IS NULL');
sql('ALTER SYSTEM RESET stream_ingest.enabled; SELECT pg_reload_conf()');
one_more();
goes_on('granted');

# ---- locks ----

# who holds what the worker waits for
sub held
{
	my ($statements, $reason, $name) = @_;
	my $session = hold($statements);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');

	one_more();
	$reason =~ s/PID/$pid/;
	says($name // 'granted', 'streaming|catching_up', "^waiting for $reason; resumes when that transaction ends\$", 'pid IS NOT NULL');
	return $session;
}

my $table_lock = 'RowExclusiveLock on table public.granted, held by process PID';
my $session = held('LOCK TABLE granted', $table_lock);
is(as_plain(q{SELECT reason ~ 'on table public.granted, held by process' FROM stream_ingest.status WHERE name = 'granted'}),
	't', 'the owner, who is no monitor, sees it');
is(sql('SET ROLE stranger; SELECT count(*) FROM stream_ingest.status'), 0, 'and a stranger does not');
is(sql(q{SELECT state ~ 'streaming|catching_up' FROM stream_ingest.status WHERE name = 'granted'}), 't', 'the state is as before');
$session->quit;
goes_on('granted');

# in a queue: behind a session that waits for another session's weaker lock
my $reader = hold('LOCK TABLE granted IN ACCESS SHARE MODE');
my $waiter = $node->background_psql('postgres', on_error_stop => 0);
my $waiter_pid = $waiter->query_safe('SELECT pg_backend_pid()');
$waiter->query_until(qr/now/, "\\echo now\nBEGIN; LOCK TABLE granted;\n");
ok(poll("SELECT count(*) FROM pg_locks WHERE pid = $waiter_pid AND NOT granted", 1), 'a session waits for a reader');
one_more();
says('granted', 'streaming|catching_up', "on table public.granted, behind process $waiter_pid, which waits for it too");
$reader->quit;
says('granted', 'streaming|catching_up', "on table public.granted, held by process $waiter_pid");
$waiter->quit;
goes_on('granted');

# a prepared transaction
sql("BEGIN; LOCK TABLE granted; PREPARE TRANSACTION 'gate'");
one_more();
says('granted', 'streaming|catching_up', 'on table public.granted, held by a prepared transaction;');
sql("ROLLBACK PREPARED 'gate'");
goes_on('granted');

# a row, of the target and of our own
subscribe('rows', insert_mode => 'upsert');
goes_on('rows');
$session = hold('UPDATE rows SET payload = $$mine$$ WHERE id = 0');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$kafka->produce('t', ['{"id": 0, "payload": "theirs"}'], partition => 0);
says('rows', 'streaming|catching_up', "ShareLock on transaction .*, which has changed a row, held by process $pid;");
$session->query_safe('COMMIT');
$session->quit;
ok(poll('SELECT payload FROM rows WHERE id = 0', 'theirs'), 'rows: continues');

$session = held(q{SELECT stream_ingest.disable('rows')}, 'ShareLock on transaction [0-9]+, which has changed a row of table stream_ingest.(progress|subscription), held by process PID', 'rows');
$session->query_safe('ROLLBACK');
$session->quit;
goes_on('rows');
sql("SELECT stream_ingest.drop_subscription('$_')") foreach qw(granted rows);

# a standby that has to confirm the commit and is not there
subscribe('confirmed', options => '{"synchronous_commit": "on"}');
goes_on('confirmed');
sql(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()});

# commits wait when the checkpointer has heard of it, too
foreach (1 .. 20)
{
	one_more();
	last if poll(q{SELECT count(*) FROM stream_ingest.status WHERE reason ~ 'synchronous standby'}, 1, 1);
}
says('confirmed', 'streaming|catching_up', 'waiting for a synchronous standby.*; see synchronous_standby_names');
sql(q{ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()});
goes_on('confirmed');
sql("SELECT stream_ingest.drop_subscription('confirmed')");

# ---- messages ----

my %options = (
	breaker => '{"breaker": 3}',
	rejects => '{"reject_limit": 3}',
	stopper => '{"on_error": "stop"}',
	gap => '{}');
foreach my $name (sort keys %options)
{
	$kafka->create_topic($name, 1);
	subscribe($name, topic => $name, options => $options{$name});
	$kafka->produce($name, ['{"id": 1}'], partition => 0);
	ok(poll("SELECT count(*) FROM $name", 1), "$name: well so far");
}
sql("SELECT stream_ingest.disable('gap')");
$kafka->produce('gap', [ '{"id": 2}', '{"id": 3}' ], partition => 0);
$kafka->delete_records('gap', 0, 2);
sql("SELECT stream_ingest.enable('gap')");
$kafka->produce($_, [ map { "{\"id\": \"no number\", \"n\": $_}" } 1 .. 3 ], partition => 0) foreach qw(breaker rejects);
$kafka->produce('stopper', [ '{"id": "no number"}', '{"id": 2}' ], partition => 0);

says('breaker', 'stopped', 'breaker: 3 messages in a row were refused; message at topic "breaker", partition 0, offset 3 .*; fix the cause and call enable',
	q{last_error_sqlstate = '22P02'});
says('rejects', 'stopped', 'reject_limit reached: 3 dead letters .*; see the causes in dead_letters, then call enable');
says('stopper', 'stopped', 'message at topic "stopper", partition 0, offset 1 was refused: 22P02 .*; fix the cause and call enable.., or skip.. the message',
	q{last_error ~ 'offset 1 was refused' AND last_error_sqlstate = '22P02'});
says('gap', 'stopped', 'messages 1 to 1 of topic "gap", partition 0 were deleted at the broker .*; enable the subscription');

as_plain("SELECT stream_ingest.skip('stopper', 0, 1)");
as_plain("SELECT stream_ingest.enable('$_')") foreach qw(breaker rejects gap);
$kafka->produce($_, ['{"id": 4}'], partition => 0) foreach qw(breaker rejects);
ok(poll("SELECT string_agg(id::text, ',' ORDER BY id) FROM $_->[0]", $_->[1]), "$_->[0]: resumes when that is fixed")
  foreach [ 'stopper', '1,2' ], [ 'breaker', '1,4' ], [ 'rejects', '1,4' ], [ 'gap', '1,3' ];
sql("SELECT stream_ingest.drop_subscription('$_')") foreach sort keys %options;

# ---- processes ----

sub restart_with
{
	my ($setting, $value) = @_;

	sql("ALTER SYSTEM SET $setting = $value");
	$node->restart;
	return;
}

# more workers than places
restart_with('stream_ingest.max_workers', 1);
subscribe($_) foreach qw(first second third);
goes_on('first');
says($_, 'starting', 'all 1 of stream_ingest.max_workers are in use; raise it and restart the server, or disable another', 'pid IS NULL AND worker IS NULL')
  foreach qw(second third);
as_plain("SELECT stream_ingest.disable('first')");
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL}, 1), 'the place that is free goes to another');
as_plain("SELECT stream_ingest.enable('first')");
restart_with('stream_ingest.max_workers', 2);
$kafka->create_topic('parts', 2);
sql("SELECT stream_ingest.drop_subscription('$_')") foreach qw(second third);
subscribe('parts', topic => 'parts', options => '{"workers": 2}');
says('parts', 'starting', 'all 2 of stream_ingest.max_workers are in use', 'worker = 1 AND pid IS NULL');
restart_with('stream_ingest.max_workers', 8);
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL}, 3), 'with more places all of them run');

# the server's own processes: of 3, one is the logical replication launcher's
# and one our launcher's
my $no_slot = 'waiting for a background worker slot; raise max_worker_processes and restart the server';
restart_with('max_worker_processes', 3);
says('parts', 'starting', $no_slot, 'pid IS NULL AND retry_at IS NULL');

# the scanner had the place before
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL}, 1), 'one runs');
restart_with('max_worker_processes', 2);
says('first', 'starting', $no_slot, 'pid IS NULL');
restart_with('max_worker_processes', 1);
says('first', 'starting', 'the launcher is not running; it starts within seconds if max_worker_processes');
restart_with('max_worker_processes', 24);
one_more();
goes_on('first');

# more subscriptions than the launcher can know
restart_with('stream_ingest.max_subscriptions', 1);
says('parts', 'starting', 'more subscriptions than the 1 of stream_ingest.max_subscriptions; raise it');
restart_with('stream_ingest.max_subscriptions', 16);
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming'}, 3), 'all of them run');

# ---- the server of a subscription is lost ----

StreamIngest::lose_server($node, 'kafka');
says('first', 'stopped', 'server "kafka" does not exist');
sql('CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers \'' . $kafka->bootstrap . '\')');
sql('GRANT USAGE ON FOREIGN SERVER kafka TO plain');
says('first', 'stopped', 'server "kafka" is not the one for which the subscription was created, but another of the same name; check where it connects to, then call enable.. to accept it', 'pid IS NULL');
as_plain("SELECT stream_ingest.enable('$_')") foreach qw(first parts);
one_more();
goes_on('first');

# ---- the owner is dropped ----

sql('CREATE ROLE brief LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO brief; GRANT CREATE ON SCHEMA public TO brief');
subscribe('orphan', role => 'brief');
goes_on('orphan');
sql(q{UPDATE stream_ingest.subscription SET owner = 4294967000 WHERE name = 'orphan'});
sql(q{SELECT stream_ingest.disable('orphan'); SELECT stream_ingest.enable('orphan')});
says('orphan', 'stopped', 'owner does not exist; set_owner.. gives');
sql(q{SELECT stream_ingest.set_owner('orphan', 'brief')});
one_more();
goes_on('orphan');

done_testing();
