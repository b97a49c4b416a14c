# produce(): messages leave with the commit, all of them or none.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use JSON::PP qw(decode_json);
use StreamIngest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $limit = $PostgreSQL::Test::Utils::timeout_default;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $bootstrap = $kafka->bootstrap;

# a server of the wrapper that gives up soon, or after the given timeout
sub create_server
{
	my ($name, $address, $options, $timeout) = @_;

	$timeout //= 3000;
	$node->safe_psql('postgres',
		"CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest"
		  . " OPTIONS (bootstrap_servers '$address', message_timeout_ms '$timeout'"
		  . ($options // '') . ')');
	return;
}

# All messages of a topic, by partition and offset.
sub messages
{
	my ($topic) = @_;
	my ($out, $err);

	IPC::Run::run([ 'kcat', '-b', $bootstrap, '-t', $topic, '-C', '-e', '-q', '-J', '-o', 'beginning' ],
		'<', \'', '>', \$out, '2>', \$err)
	  or die "kcat failed: $err";
	return sort { $a->{partition} <=> $b->{partition} || $a->{offset} <=> $b->{offset} }
	  map { decode_json($_) } split /\n/, $out;
}

# Their values, in that order.
sub values_of
{
	my ($topic) = @_;

	return join(' ', map { $_->{payload} // 'NULL' } messages($topic));
}

# Runs SQL in a session of its own; returns what it said on stderr, and how
# long it took.
sub errors_of
{
	my ($sql) = @_;
	my $began = time();
	my ($out, $err);

	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err, on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return ($err, time() - $began);
}

# A session that is fed line by line.
sub start_session
{
	my $session = { in => '', out => '', err => '' };

	$session->{harness} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-v', 'VERBOSITY=verbose', '-f', '-' ],
		'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

sub send_sql
{
	my ($session, $sql) = @_;

	$session->{in} .= "$sql\n";
	$session->{harness}->pump_nb;
	return;
}

# Waits until the session has answered all so far; returns output and errors
# since the last time.
sub answer_of
{
	my ($session) = @_;
	my $deadline = time() + $limit;

	send_sql($session, '\echo answered');
	until ($session->{out} =~ /^answered$/m)
	{
		die "the session does not answer: $session->{err}" if time() > $deadline;
		$session->{harness}->pump_nb;
		usleep(5000);
	}
	# psql writes errors before what follows; take up what is in the pipe
	$session->{harness}->pump_nb;
	my ($out, $err) = ($session->{out}, $session->{err});
	$out =~ s/^answered\n//m;
	$session->{out} = $session->{err} = '';
	return ($out, $err);
}

sub end_session
{
	my ($session) = @_;

	send_sql($session, '\q');
	$session->{harness}->finish;
	return;
}

sub backend_pid
{
	my ($session) = @_;

	send_sql($session, 'SELECT pg_backend_pid();');
	my ($out) = answer_of($session);
	chomp $out;
	return $out;
}

# The least time that it takes in some tries, as soon as that is little enough: any of
# them may be held up by a machine that does much else.
sub least
{
	my ($enough, $try) = @_;
	my $least;

	foreach (1 .. 5)
	{
		my $took = $try->();

		$least = $took if !defined $least || $took < $least;
		last if $least < $enough;
	}
	return $least;
}

# Waits until a backend waits for acknowledgements.
sub await_waiting
{
	my ($pid) = @_;

	return StreamIngest::poll_until($node,
		"SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid AND state = 'active'",
		'Extension');
}

$node->safe_psql('postgres', 'CREATE TABLE rows (id int)');

#
# what arrives
#
$kafka->create_topic('plain', 3);
$node->safe_psql(
	'postgres', q{
	SELECT stream_ingest.produce('kafka', 'plain', 'first', partition => 1);
	SELECT stream_ingest.produce('kafka', 'plain', 'second', 'key', partition => 1,
		headers => '{"text": "a b", "number": 1.50, "nothing": null, "flag": true, "list": [1, {"a": "b"}], "empty": ""}');
	SELECT stream_ingest.produce('kafka', 'plain', NULL, 'key', partition => 1);
	SELECT stream_ingest.produce('kafka', 'plain', '', '', partition => 1, headers => '{}');
	SELECT stream_ingest.produce('kafka', 'plain', E'gr\u00fc\u00df \U0001F600', E'\u20ac', partition => 1,
		headers => E'{"\u00e4": "\u00f6"}');
});
my @arrived = messages('plain');
is(scalar(@arrived), 5, 'all messages are there');
is(join(',', map { $_->{partition} } @arrived), '1,1,1,1,1', 'in the partition that was given');
is($arrived[0]{payload}, 'first', 'a value');
is($arrived[0]{key}, undef, 'no key');
is($arrived[0]{headers}, undef, 'no headers');
is($arrived[1]{key}, 'key', 'a key');
my %headers = @{ $arrived[1]{headers} };
is_deeply(
	\%headers,
	{
		text => 'a b',
		number => '1.50',
		nothing => undef,
		flag => 'true',
		list => '[1, {"a": "b"}]',
		empty => ''
	},
	'headers: texts and numbers as they are, the rest as JSON');
ok(exists $arrived[2]{payload} && !defined $arrived[2]{payload}, 'a null value is a tombstone');
is($arrived[2]{key}, 'key', 'with its key');
is($arrived[3]{payload}, '', 'an empty value is not null');
is($arrived[3]{key}, '', 'nor is an empty key');
is($arrived[4]{payload}, "gr\x{fc}\x{df} \x{1F600}", 'a value beyond ASCII');
is($arrived[4]{key}, "\x{20ac}", 'a key beyond ASCII');
is_deeply($arrived[4]{headers}, [ "\x{e4}", "\x{f6}" ], 'headers beyond ASCII');

# kcat's own partitioner with the name of Java's
$kafka->create_topic('keys', 7);
$kafka->create_topic('java', 7);
$node->safe_psql('postgres',
	"SELECT stream_ingest.produce('kafka', 'keys', k, k) FROM (SELECT 'key ' || i AS k FROM generate_series(1, 100) i) g");
$kafka->produce('java', [ map { "key $_=key $_" } 1 .. 100 ],
	key_separator => '=', properties => ['partitioner=murmur2']);
is(values_of('keys'), values_of('java'), 'keys go where Java\'s producers send them');

# the text of another encoding is sent as UTF-8
$node->safe_psql('postgres', "CREATE DATABASE latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
$kafka->create_topic('latin1', 1);
$node->safe_psql('latin1', "CREATE EXTENSION stream_ingest;
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	SELECT stream_ingest.produce('kafka', 'latin1', chr(252), chr(228),
		jsonb_build_object(chr(246), chr(223)))");
@arrived = messages('latin1');
is("$arrived[0]{key}$arrived[0]{payload}", "\x{e4}\x{fc}", 'text of a LATIN1 database arrives in UTF-8');
is_deeply($arrived[0]{headers}, [ "\x{f6}", "\x{df}" ], 'and so do its headers');

#
# transactions
#
$kafka->create_topic('rolled', 1);
$node->safe_psql(
	'postgres', q{
	BEGIN;
	SELECT stream_ingest.produce('kafka', 'rolled', 'a');
	ROLLBACK;
	BEGIN;
	SELECT stream_ingest.produce('kafka', 'rolled', 'b');
	SAVEPOINT s;
	SELECT stream_ingest.produce('kafka', 'rolled', 'c');
	ROLLBACK TO s;
	SELECT stream_ingest.produce('kafka', 'rolled', 'd');
	SAVEPOINT t;
	SELECT stream_ingest.produce('kafka', 'rolled', 'e');
	SAVEPOINT u;
	SELECT stream_ingest.produce('kafka', 'rolled', 'f');
	RELEASE u;
	SELECT stream_ingest.produce('kafka', 'rolled', 'g');
	ROLLBACK TO t;
	SAVEPOINT v;
	SAVEPOINT w;
	SELECT stream_ingest.produce('kafka', 'rolled', 'h');
	RELEASE w;
	RELEASE v;
	SAVEPOINT x;
	ROLLBACK TO x;
	COMMIT;
	BEGIN;
	SELECT stream_ingest.produce('kafka', 'rolled', 'i');
	SELECT 1 / (SELECT 0 WHERE false);
	COMMIT;
});
# the t of ROLLBACK TO t continues as a subtransaction, and commits with the rest
is(values_of('rolled'), 'b d h i', 'what was rolled back was not sent');
errors_of("BEGIN; SELECT stream_ingest.produce('kafka', 'rolled', 'k'); SELECT 1 / 0; COMMIT");
is(values_of('rolled'), 'b d h i', 'nor what an error ended');

$kafka->create_topic('half', 1);
$node->safe_psql(
	'postgres', q{
	DO $$
	BEGIN
		FOR i IN 1 .. 1000 LOOP
			BEGIN
				INSERT INTO rows VALUES (i);
				PERFORM stream_ingest.produce('kafka', 'half', i::text);
				BEGIN
					PERFORM stream_ingest.produce('kafka', 'half', 'inner');
					RAISE EXCEPTION 'away';
				EXCEPTION WHEN raise_exception THEN
				END;
				IF i % 2 = 0 THEN
					RAISE EXCEPTION 'away';
				END IF;
			EXCEPTION WHEN raise_exception THEN
			END;
		END LOOP;
	END $$;
});
is(values_of('half'),
	$node->safe_psql('postgres', "SELECT string_agg(id::text, ' ' ORDER BY id) FROM rows"),
	'with half of the subtransactions rolled back the others are there, in order');
is($node->safe_psql('postgres', 'SELECT count(*) FROM rows'), '500', 'as are the rows');

# procedures commit on their own
$kafka->create_topic('procedure', 1);
$node->safe_psql(
	'postgres', q{
	DO $$
	BEGIN
		FOR i IN 1 .. 4 LOOP
			PERFORM stream_ingest.produce('kafka', 'procedure', i::text);
			IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
		END LOOP;
	END $$;
});
is(values_of('procedure'), '2 4', 'COMMIT and ROLLBACK of a procedure count');

# from triggers, also one that fires at the commit
$kafka->create_topic('triggered', 1);
$node->safe_psql(
	'postgres', q{
	CREATE TABLE orders (id int);
	CREATE FUNCTION send() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stream_ingest.produce('kafka', 'triggered', tg_argv[0] || new.id);
		RETURN NULL;
	END $$;
	CREATE TRIGGER now AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION send('row');
	CREATE CONSTRAINT TRIGGER later AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION send('commit');
	BEGIN;
	INSERT INTO orders VALUES (1);
	INSERT INTO orders VALUES (2);
	COMMIT;
});
is(values_of('triggered'), 'row1 row2 commit1 commit2', 'triggers produce, deferred ones too');

my ($err, $seconds) = errors_of(
	"BEGIN; SELECT stream_ingest.produce('kafka', 'rolled', 'x'); PREPARE TRANSACTION 'p'");
like($err, qr/0A000: cannot PREPARE a transaction that has produced/, 'PREPARE TRANSACTION is refused');
($err) = errors_of("SET max_parallel_workers_per_gather = 0; BEGIN; SAVEPOINT s;
	SELECT stream_ingest.produce('kafka', 'rolled', 'x'); ROLLBACK TO s; PREPARE TRANSACTION 'p'");
unlike($err, qr/0A000/, 'but not when nothing is left of what was produced');
is(values_of('rolled'), 'b d h i', 'and nothing was sent');

# A serialization failure is found by the server after the callbacks of the
# commit, and must be found before anything is sent.
$kafka->create_topic('serializable', 1);
$node->safe_psql('postgres', 'CREATE TABLE skew (id int); INSERT INTO skew VALUES (1)');
my @rivals = (start_session(), start_session());
foreach my $i (0, 1)
{
	send_sql($rivals[$i], "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM skew;");
	answer_of($rivals[$i]);
}
foreach my $i (0, 1)
{
	send_sql($rivals[$i],
		"INSERT INTO skew VALUES (1); SELECT stream_ingest.produce('kafka', 'serializable', 'rival $i');");
	answer_of($rivals[$i]);
}
my $errors = '';
foreach my $i (0, 1)
{
	send_sql($rivals[$i], 'COMMIT;');
	$errors .= (answer_of($rivals[$i]))[1];
	end_session($rivals[$i]);
}
like($errors, qr/40001: could not serialize access/, 'of two rivals one does not commit');
is(values_of('serializable'), 'rival 0', 'and that one has sent nothing');

# A function that claims to be parallel safe would lose messages.
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION liar(v text) RETURNS text LANGUAGE sql PARALLEL SAFE
		AS $$SELECT stream_ingest.produce('kafka', 'rolled', v)::text$$;
	CREATE TABLE big AS SELECT generate_series(1, 10000) AS id;
});
($err) = errors_of('SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SELECT count(liar(id::text)) FROM big');
like($err, qr/25000: cannot execute stream_ingest.produce\(\) during a parallel operation/,
	'refused in a parallel operation');

#
# speed
#
$kafka->create_topic('many', 1);
my $began = time();
$kafka->produce('many', count => 10000);
my $acknowledged = time() - $began;
my $arrived = 10000;
my $errors_of_many = '';
$seconds = least($acknowledged + 1, sub {
	my ($errors, $took) = errors_of(q{
		DO $$
		BEGIN
			FOR i IN 1 .. 10000 LOOP
				PERFORM stream_ingest.produce('kafka', 'many', '{"id": ' || i || ', "payload": "' || repeat('x', 80) || '"}');
			END LOOP;
		END $$});

	$errors_of_many .= $errors;
	$arrived += 10000;
	return $took;
});
is($errors_of_many, '', '10,000 calls in one transaction');
is($kafka->end_offset('many', 0), $arrived, 'are 10,000 messages');
cmp_ok($seconds, '<', $acknowledged + 1, 'at most a second beyond their acknowledgement');
note(sprintf('10,000 messages: %.3f s, a program with the same: %.3f s', $seconds, $acknowledged));

# more than the library's queue takes
$kafka->create_topic('more', 2);
($err, $seconds) = errors_of(
	"SELECT count(stream_ingest.produce('kafka', 'more', repeat('x', 700) || i)) FROM generate_series(1, 250000) i");
is($err, '', '250,000 messages, more than the library holds at a time');
is($kafka->end_offset('more', 0) + $kafka->end_offset('more', 1), 250000, 'all arrive');
note(sprintf('250,000 messages of 700 bytes: %.3f s', $seconds));

#
# what brokers refuse
#
($err, $seconds) = errors_of("BEGIN; INSERT INTO rows VALUES (-1);
	SELECT stream_ingest.produce('kafka', 'no-such-topic', 'secret payload'); COMMIT");
like($err, qr/58000: could not send a message to topic "no-such-topic": .*[Uu]nknown topic/, 'unknown topic');
unlike($err, qr/DETAIL/, 'the words say it all');
cmp_ok($seconds, '<', 15, 'said soon');
($err) = errors_of("SELECT stream_ingest.produce('kafka', 'plain', 'secret payload', partition => 3)");
like($err, qr/22023: could not send a message to topic "plain": .*[Uu]nknown partition/, 'unknown partition');
$kafka->create_topic('small', 1, 'max.message.bytes=1000');
($err) = errors_of("BEGIN; INSERT INTO rows VALUES (-1); SELECT stream_ingest.produce('kafka', 'small', 'fits');
	SELECT stream_ingest.produce('kafka', 'small', repeat('secret payload', 100)); COMMIT");
like($err, qr/54000: could not send a message to topic "small": Broker: Message size too large/, 'too large for the topic');
$kafka->create_topic('compacted', 1, 'cleanup.policy=compact');
($err) = errors_of("SELECT stream_ingest.produce('kafka', 'compacted', 'secret payload')");
like($err, qr/22000: could not send a message to topic "compacted": Broker: /, 'no key for a compacted topic');
is($node->safe_psql('postgres', 'SELECT count(*) FROM rows WHERE id < 0'), '0', 'no row of these transactions');
my @log = grep { /secret payload/ && /(ERROR|DETAIL|HINT|CONTEXT|LOG|WARNING): / && !/LOG:  statement: / }
  split /\n/, slurp_file($node->logfile);
is(join("\n", @log), '', 'no payload in the log but in the user\'s own statement');

# A session continues after each of these.
my $session = start_session();
send_sql($session, "SELECT stream_ingest.produce('kafka', 'no-such-topic', 'x');");
send_sql($session, "SELECT stream_ingest.produce('kafka', 'procedure', '5');");
like((answer_of($session))[1], qr/58000/, 'a session that had an error');
is(values_of('procedure'), '2 4 5', 'produces again');

#
# rights and mappings
#
$node->safe_psql(
	'postgres', q{
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN;
	GRANT USAGE ON FOREIGN SERVER kafka TO bob;
	CREATE FUNCTION as_bob(v text) RETURNS void LANGUAGE sql SECURITY DEFINER
		AS $$SELECT stream_ingest.produce('kafka', 'procedure', v)$$;
	ALTER FUNCTION as_bob(text) OWNER TO bob;
});
($err) = errors_of("SET ROLE alice; SELECT stream_ingest.produce('kafka', 'procedure', 'no')");
like($err, qr/42501: permission denied for foreign server kafka/, 'no USAGE, no messages');
$node->safe_psql('postgres', "SET ROLE alice; SELECT as_bob('6')");
is(values_of('procedure'), '2 4 5 6', 'the current user decides');
($err) = errors_of("SELECT stream_ingest.produce('nowhere', 'procedure', 'no')");
like($err, qr/42704: server "nowhere" does not exist/, 'an unknown server');

#
# a worker's batch: the trigger of the target's owner
#
$kafka->create_topic('in', 2);
$kafka->create_topic('out', 1);
$node->safe_psql(
	'postgres', q{
	CREATE TABLE target (id int PRIMARY KEY);
	CREATE FUNCTION forward() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stream_ingest.produce('kafka', 'out', current_user || new.id);
		RETURN NULL;
	END $$;
	CREATE TRIGGER forward AFTER INSERT ON target FOR EACH ROW EXECUTE FUNCTION forward();
	ALTER TABLE target OWNER TO bob;
});
$kafka->produce('in', [ map { qq({"id": $_}) } 1 .. 1000 ], round_robin => 2);
$node->safe_psql('postgres', "SELECT stream_ingest.create_subscription('s', 'kafka', 'in', 'target')");
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM target', 1000), 'a worker applies messages');
is($kafka->end_offset('out', 0), 1000, 'its trigger has sent as many');
is(join(' ', sort map { $_->{payload} } messages('out')), join(' ', sort map { "bob$_" } 1 .. 1000),
	'as the owner of the target');
$node->safe_psql('postgres', "SELECT stream_ingest.drop_subscription('s')");

#
# brokers that are away
#
$kafka->create_topic('away', 1);
create_server('impatient', $bootstrap);
send_sql($session, "SELECT stream_ingest.produce('impatient', 'away', 'before');");
is((answer_of($session))[1], '', 'a session has a producer');
send_sql($session,
	"BEGIN; INSERT INTO rows VALUES (-2); SELECT stream_ingest.produce('impatient', 'away', 'lost');");
answer_of($session);
$kafka->kill9;
$began = time();
send_sql($session, 'COMMIT;');
(undef, $err) = answer_of($session);
$seconds = time() - $began;
like($err, qr/08006: could not send a message to topic "away": Local: Message timed out/,
	'a broker killed at commit is an error');
like($err, qr/DETAIL:  Last heard of the brokers: .*\Q$bootstrap\E/, 'with what was heard of it');
cmp_ok($seconds, '<', 10, 'within message_timeout_ms and little more');

# cancel and exit, with the broker dead; without the cancel it would wait for half a minute
my $at_once = 10;
my $pid;
sub cancel_and_end
{
	$pid = backend_pid($session);
	send_sql($session,
		"INSERT INTO rows SELECT -3 FROM stream_ingest.produce('kafka', 'away', 'cancelled');");
	ok(await_waiting($pid), 'the commit waits');
	$began = time();
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	(undef, $err) = answer_of($session);
	cmp_ok(time() - $began, '<', $at_once, 'a cancel takes effect at once');
	like($err, qr/57014: canceling statement due to user request/, 'and is an error of the commit');
	$began = time();
	end_session($session);
	my $took = time() - $began;
	$session = start_session();
	return $took;
}
# an end that had to wait would take two seconds each time
cmp_ok(least(1.5, \&cancel_and_end), '<', 1.5, 'a session ends quickly with the broker dead');

$pid = backend_pid($session);
send_sql($session,
	"INSERT INTO rows SELECT -4 FROM stream_ingest.produce('kafka', 'away', 'terminated');");
ok(await_waiting($pid), 'another commit waits');
$began = time();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(StreamIngest::poll_until($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0),
	'a terminated backend ends');
cmp_ok(time() - $began, '<', $at_once, 'soon');
$session->{in} = '';
eval { $session->{harness}->kill_kill; };

# a session that is still there when the broker comes back
$session = start_session();
$pid = backend_pid($session);
send_sql($session, "SELECT stream_ingest.produce('kafka', 'away', 'purged');");
ok(await_waiting($pid), 'and another one');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
answer_of($session);

$kafka->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM rows WHERE id < 0'), '0',
	'no row of a transaction without acknowledgement');
send_sql($session, "SELECT stream_ingest.produce('kafka', 'away', 'after');");
is((answer_of($session))[1], '', 'a session whose commit was cancelled produces again');
end_session($session);
is(values_of('away'), 'before after', 'and none of their messages came later');

# a broker that hangs, with a request on its way
$session = start_session();
$pid = backend_pid($session);
send_sql($session, "SELECT stream_ingest.produce('kafka', 'away', 'seen');");
answer_of($session);
$kafka->pause;
send_sql($session, "INSERT INTO rows SELECT -5 FROM stream_ingest.produce('kafka', 'away', 'hung');");
my $waits = await_waiting($pid);
$began = time();
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
(undef, $err) = answer_of($session);
my $cancelled = time() - $began;
$began = time();
end_session($session);
my $ended = time() - $began;
$kafka->resume;
ok($waits, 'a commit waits for a broker that hangs');
like($err, qr/57014/, 'it can be cancelled');
cmp_ok($cancelled, '<', $at_once, 'at once');
cmp_ok($ended, '<', $at_once, 'and the session ends');
note(sprintf('cancelled after %.3f s, ended after %.3f s', $cancelled, $ended));

#
# servers that change
#
my $other = StreamIngest::start_kafka(name => 'other');
$other->create_topic('moving', 1);
$kafka->create_topic('moving', 1);
create_server('moving', $bootstrap);
$session = start_session();
send_sql($session, "SELECT stream_ingest.produce('moving', 'moving', 'one');");
answer_of($session);
$node->safe_psql('postgres', 'ALTER SERVER moving OPTIONS (SET bootstrap_servers \'' . $other->bootstrap . "')");
send_sql($session, "BEGIN; SELECT stream_ingest.produce('moving', 'moving', 'two');");
send_sql($session, "SELECT stream_ingest.produce('kafka', 'moving', 'three'); COMMIT;");
is((answer_of($session))[1], '', 'a transaction with messages for two clusters');
is(values_of('moving'), 'one three', 'the first');
is($other->end_offset('moving', 0), 1, 'the second, where ALTER SERVER has said');
send_sql($session,
	"BEGIN; SELECT stream_ingest.produce('moving', 'moving', 'four'); DROP SERVER moving; COMMIT;");
is((answer_of($session))[1], '', 'a server dropped after the call');
is($other->end_offset('moving', 0), 2, 'has got its message');
send_sql($session, "CREATE SERVER moving FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');");
send_sql($session, "SELECT stream_ingest.produce('moving', 'moving', 'five');");
is((answer_of($session))[1], '', 'a new one with the old name');
is(values_of('moving'), 'one three five', 'is another one');
end_session($session);
$other->stop;

#
# the mapping decides who one is to Kafka
#
my $port = StreamIngest::free_port();
$kafka->stop;
my $properties = slurp_file("$kafka->{dir}/server.properties");
$properties =~ s/^(listeners=.*)$/$1,SASL_PLAINTEXT:\/\/127.0.0.1:$port/m;
$properties =~ s/^(listener\.security\.protocol\.map=.*)$/$1,SASL_PLAINTEXT:SASL_PLAINTEXT/m;
$properties .= <<'EOP';
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_public="p-secret" user_bob="b-secret";
EOP
open my $file, '>', "$kafka->{dir}/server.properties" or die $!;
print $file $properties;
close $file;
$kafka->start;
create_server('sasl', "127.0.0.1:$port", ", security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN'", 60000);
$node->safe_psql(
	'postgres', q{
	GRANT USAGE ON FOREIGN SERVER sasl TO bob, alice;
	CREATE USER MAPPING FOR PUBLIC SERVER sasl OPTIONS (sasl_username 'public', sasl_password 'p-secret');
	CREATE USER MAPPING FOR bob SERVER sasl OPTIONS (sasl_username 'bob', sasl_password 'wrong secret');
});
$kafka->create_topic('mapped', 1);
$session = start_session();
send_sql($session, "SET ROLE alice; SELECT stream_ingest.produce('sasl', 'mapped', 'public');");
is((answer_of($session))[1], '', 'without a mapping of one\'s own PUBLIC\'s is used');
$began = time();
send_sql($session, "SET ROLE bob; SELECT stream_ingest.produce('sasl', 'mapped', 'bob');");
(undef, $err) = answer_of($session);
like($err, qr/08004: could not send messages to Kafka: .*[Aa]uthentication/, 'a wrong password');
unlike($err, qr/secret/, 'which no message quotes');
cmp_ok(time() - $began, '<', 40, 'is reported before anything times out');
$node->safe_psql('postgres', "ALTER USER MAPPING FOR bob SERVER sasl OPTIONS (SET sasl_password 'b-secret')");
send_sql($session, "SELECT stream_ingest.produce('sasl', 'mapped', 'bob');");
is((answer_of($session))[1], '', 'the corrected mapping is used at once');
is(values_of('mapped'), 'public bob', 'and both have sent');
end_session($session);

#
# without shared_preload_libraries
#
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$kafka->create_topic('unloaded', 1);
$node->safe_psql('postgres', "SELECT stream_ingest.produce('kafka', 'unloaded', 'x')");
is(values_of('unloaded'), 'x', 'works without shared_preload_libraries');

$node->stop;
done_testing();
