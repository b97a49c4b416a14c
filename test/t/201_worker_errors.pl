# What is no message's fault, in the corners: a batch that changes its own
# subscription, one that is too large for the server, a role's timeouts, a
# cancel, statistics, and the words for all that.
#
# One subscription is throttled by a quota from the beginning, while the others
# are tried: how it went is looked at in the end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

# a second door whose advertised address leads nowhere
my $lost_port = PostgreSQL::Test::Cluster::get_free_port();
my $kafka = StreamIngest::start_kafka();
my ($listeners) = slurp_file("$kafka->{dir}/server.properties") =~ /^listeners=(.*)$/m;
$kafka->reconfigure(
	"listeners=$listeners,LOST://127.0.0.1:$lost_port",
	'advertised.listeners=PLAINTEXT://' . $kafka->bootstrap . ',LOST://nowhere.invalid:9092',
	'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOST:PLAINTEXT');
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { max_locks_per_transaction => 10, max_connections => 20, log_min_messages => 'log' });

sub poll { my ($sql, $expected) = @_; return StreamIngest::poll_until($node, $sql, $expected); }

sub log_text { return slurp_file($node->logfile); }

# A subscription of its own topic into a table of its own, as role app.
sub subscribe
{
	my ($name, %opt) = @_;
	my $options = $opt{options} // '{}';
	my $server = $opt{server} // 'kafka';
	my $destination = $opt{apply} ? "apply => \$apply\$$opt{apply}\$apply\$, fields => 'id bigint'" : "target => '$name'";

	$kafka->create_topic($name, 1);
	sql(qq{
		SET ROLE app;
		CREATE TABLE $name (id bigint, payload text);
		SELECT stream_ingest.create_subscription('$name', '$server', '$name', $destination, options => '$options')});
	return;
}

sub send_messages
{
	my ($name, $count, $first) = @_;

	$kafka->produce($name, count => $count, first => $first // 0, partition => 0);
	return;
}

# Makes a table's trigger of a body in PL/pgSQL.
sub trigger
{
	my ($table, $body) = @_;

	sql(qq{
		SET ROLE app;
		CREATE OR REPLACE FUNCTION f_$table() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN $body; RETURN NEW; END \$f\$;
		CREATE OR REPLACE TRIGGER f BEFORE INSERT ON $table FOR EACH ROW EXECUTE FUNCTION f_$table()});
	return;
}

sub status_is
{
	my ($name, $column, $pattern, $what) = @_;

	ok(poll("SELECT $column ~ \$re\$$pattern\$re\$ FROM stream_ingest.status WHERE name = '$name'", 't'), $what);
	note(sql("SELECT state, reason, last_error FROM stream_ingest.status WHERE name = '$name'"));
	return;
}

sql(q{
	CREATE ROLE app LOGIN;
	GRANT USAGE ON FOREIGN SERVER kafka TO app;
	GRANT CREATE ON SCHEMA public TO app;
	GRANT CREATE ON DATABASE postgres TO app});
sql("CREATE SERVER lost FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:$lost_port');"
	  . 'GRANT USAGE ON FOREIGN SERVER lost TO app');

# ---- a quota, to be looked at later ----

$kafka->tool('kafka.admin.ConfigCommand', '--bootstrap-server', $kafka->bootstrap,
	'--alter', '--add-config', 'consumer_byte_rate=20000', '--entity-type', 'clients', '--entity-name', 'stream_ingest/postgres/slow');
subscribe('slow', options => '{"max.partition.fetch.bytes": 100000}');
$kafka->produce('slow', count => 200000, partition => 0, properties => ['batch.size=10000']);
my $slow_since = time();

# ---- an address that cannot be reached ----

subscribe('lost', server => 'lost');
status_is('lost', 'reason', 'nowhere\.invalid.*advertise', 'the address that failed is named');
status_is('lost', 'last_error', 'nowhere\.invalid', 'also as the last error');
sql(q{SELECT stream_ingest.drop_subscription('lost')});

# ---- a batch that changes its own subscription ----

# Some steps of the subscription's own at the message with id 7, by a trigger or by a statement of "apply".
my $insert = 'INSERT INTO own (id) SELECT id FROM batch';
foreach my $step (
	"disable('own')", "alter_subscription('own', options => '{\"batch_size\": 500}')",
	"seek('own', 'earliest')", "drop_subscription('own')")
{
	foreach my $by ('trigger', 'apply')
	{
		my $what = "$step by $by";

		subscribe('own', options => '{"on_error": "dead_letter"}',
			$by eq 'apply' ? (apply => "$insert; SELECT stream_ingest.$step FROM batch WHERE id = 7") : ());
		trigger('own', "IF NEW.id = 7 THEN PERFORM stream_ingest.$step; END IF") if $by eq 'trigger';
		send_messages('own', 20);
		status_is('own', 'reason', 'offset 7 was refused: .*own subscription', "$what in a batch: stopped, at the message");
		is(sql("SELECT state FROM stream_ingest.status WHERE name = 'own'"), 'stopped', "$what: and stopped for good");
		is(sql('SELECT count(*), max(id) FROM own'), '7|6', "$what: what is before it is there");
		trigger('own', 'NULL') if $by eq 'trigger';
		sql("SELECT stream_ingest.alter_subscription('own', apply => '$insert')") if $by eq 'apply';
		sql("SELECT stream_ingest.enable('own')");
		ok(poll('SELECT count(*), count(DISTINCT id) FROM own', '20|20'), "$what: when that is changed, all is there");
		is(sql("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'own'"), '0', "$what: and no dead letter");
		sql("SELECT stream_ingest.drop_subscription('own'); DROP TABLE own; DROP FUNCTION IF EXISTS f_own");
		$kafka->delete_topic('own');
	}
}

# ---- a batch that is too large for the server ----

subscribe('locks');
sql("SELECT stream_ingest.disable('locks')");
trigger('locks', 'PERFORM pg_advisory_xact_lock(NEW.id)');
send_messages('locks', 6000);
sql("SELECT stream_ingest.enable('locks')");
ok(poll('SELECT count(*), count(DISTINCT id) FROM locks', '6000|6000'), 'a batch that needs too many locks is halved until it fits');
status_is('locks', 'last_error', '53200.*max_locks_per_transaction', 'the hint of the server is shown');
is(sql("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'locks'"), '0', 'no dead letter');
trigger('locks', q{RAISE EXCEPTION 'quotes %', NEW.payload USING ERRCODE = 'out_of_memory', HINT = 'quotes ' || NEW.payload});
send_messages('locks', 1, 6000);
status_is('locks', 'state', 'retrying', 'a lack that stays: retrying');
unlike(sql("SELECT reason || last_error FROM stream_ingest.status WHERE name = 'locks'"), qr/quotes/, 'and no hint of a user is shown');
trigger('locks', 'NULL');
ok(poll('SELECT count(*) FROM locks', 6001), 'and then the message is there');

# ---- a role's own timeouts ----

my $set = sql(q{
	SELECT string_agg(format('ALTER ROLE app SET %I = 1', name), '; ') FROM pg_settings
	WHERE name LIKE '%\_timeout' AND context IN ('user', 'superuser') AND vartype = 'integer' AND min_val = '0'});
note($set);
sql($set);
subscribe('hurry');
sql(q{CREATE TABLE armed (name text, setting text); GRANT ALL ON armed TO app});
trigger('hurry', q{PERFORM pg_sleep(0.02);
	INSERT INTO public.armed SELECT name, setting FROM pg_settings
	WHERE name LIKE '%\_timeout' AND context IN ('user', 'superuser') AND min_val = '0' AND setting <> '0'});
send_messages('hurry', 3);
ok(poll('SELECT count(*) FROM hurry', 3), 'a role with a timeout of everything is served');
is(sql('SELECT count(*), string_agg(name, $$ $$) FROM armed'), '0|', 'no timeout is armed in its worker');
is(sql("SELECT retries FROM stream_ingest.status WHERE name = 'hurry'"), '0', 'nothing failed');

# ---- a role for which every error is to end its session ----

sql('ALTER ROLE app SET exit_on_error = on');
subscribe('ending', options => '{"on_error": "dead_letter"}');
trigger('ending', q{IF NEW.id = 3 THEN RAISE EXCEPTION 'quotes %', NEW.payload; END IF});
send_messages('ending', 5);
ok(poll('SELECT count(*) FROM ending', 4), 'exit_on_error: the other messages are rows');
is(sql("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'ending'"), '1', 'the refused one is a dead letter');
is(sql("SELECT retries FROM stream_ingest.status WHERE name = 'ending'"), '0', 'its worker goes through');
is(sql("SELECT stream_ingest.retry_dead_letters('ending')"), '0', 'nor does a retry end the session of a superuser');
unlike(log_text(), qr/FATAL:  quotes/, 'no word of it is in the log');
sql('ALTER ROLE app RESET exit_on_error');

# ---- statistics ----

subscribe('burst');
send_messages('burst', 1234);
ok(poll('SELECT count(*) FROM burst', 1234), 'a burst');
ok(poll(q{SELECT n_tup_ins FROM pg_stat_all_tables WHERE relid = 'burst'::regclass}, 1234), 'its rows are counted while the worker has nothing to do');

# ---- a cancel ----

my $launcher_is = q{SELECT pid, backend_start FROM pg_stat_activity WHERE backend_type = 'stream_ingest launcher'};
my $launcher = sql($launcher_is);
my $worker = StreamIngest::worker_pid($node, 'burst');
my $began = time();
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'stream\_ingest %'}) foreach 1 .. 5;
subscribe('after_cancel');
send_messages('after_cancel', 10);
ok(poll('SELECT count(*) FROM after_cancel', 10), 'a cancel of everything: a new subscription starts');
cmp_ok(time() - $began, '<', 30, 'within seconds');
is(sql($launcher_is), $launcher, 'and the launcher that was cancelled has started it');
is(StreamIngest::worker_pid($node, 'burst'), $worker, 'a cancel does nothing to an idle worker');

$began = time();
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stream_ingest launcher'});
subscribe('after_end');
send_messages('after_end', 10);
ok(poll('SELECT count(*) FROM after_end', 10), 'the launcher is ended: another one starts');
cmp_ok(time() - $began, '<', 30, 'within seconds');

# ---- words ----

subscribe('names', options => '{"breaker": 0}');
$kafka->produce('names', [ map { "{\"other\": $_}" } 1 .. 200 ], partition => 0);
status_is('names', 'reason', 'no column takes a field of this message.*hint:.*"mapping"', 'the reason of a data error has its hint');

# Where one message stops a subscription: code and names, and what to do. The detail of the server's quotes the message:
# it stands in the dead letter, for those who may see that.
my %stopping = (
	unmapped => [
		'{"other": "a secret"}', 'offset 1 was refused: no column takes a field of this message \(.....\), hint: .*"mapping" .*; fix the cause',
		'no column takes a field of this message', '"mapping"' ],
	same => [
		'{"id": 1, "payload": "a secret"}', 'offset 1 was refused: 23505 \(unique_violation\), constraint "same_key"; fix the cause',
		'duplicate key value violates unique constraint "same_key"', '^Key \(id\)=\(1\) already exists\.$' ],
	checked => [
		'{"id": 2, "payload": "a secret"}', 'offset 1 was refused: 23514 \(check_violation\), constraint "checked_words"; fix the cause',
		'violates check constraint "checked_words"', '^Failing row contains \(2, a secret\)\.$' ]);
foreach my $name (sort keys %stopping)
{
	my ($message, $reason, $error, $detail) = @{ $stopping{$name} };

	subscribe($name, options => '{"on_error": "stop"}');
	sql('ALTER TABLE same ADD CONSTRAINT same_key UNIQUE (id)') if $name eq 'same';
	sql("ALTER TABLE checked ADD CONSTRAINT checked_words CHECK (payload !~ 'secret')") if $name eq 'checked';
	$kafka->produce($name, [ '{"id": 1}', $message ], partition => 0);
	status_is($name, 'reason', $reason, "$name: the reason names the error");
	is( sql("SELECT state, last_error ~ 'offset 1 was refused', reason || last_error ~ 'secret|Key \\(|Failing' FROM stream_ingest.status WHERE name = '$name'"),
		'stopped|t|f', "$name: and has no word of the message");
	sql(qq{SELECT stream_ingest.alter_subscription('$name', options => '{"on_error": "dead_letter"}'); SELECT stream_ingest.enable('$name')});
	ok(poll("SELECT message_offset FROM stream_ingest.dead_letters WHERE name = '$name'", 1), "$name: it can become a dead letter");
	like(sql("SELECT error FROM stream_ingest.dead_letters WHERE name = '$name'"), qr/$error/, "$name: which has the error");
	like(sql("SELECT detail FROM stream_ingest.dead_letters WHERE name = '$name'"), qr/$detail/, "$name: and its detail");
}
unlike(log_text(), qr/a secret|Failing row contains|Key \(id\)/, 'nor has the log');

subscribe('context');
trigger('context', q{IF NEW.id = 3 THEN RAISE LOG 'here it is'; END IF});
send_messages('context', 5);
ok(poll('SELECT count(*) FROM context', 5), 'a trigger logs something');
like(log_text(), qr/LOG:  here it is\n.*CONTEXT: .*\n(?:\t.*\n)*\tapplying a batch of subscription "context": topic "context", partition 0, offset \d/m,
	'the log tells which batch that was in');

# An error of our own bookkeeping is no message's: it ends the worker.
my $table_check = q{ALTER TABLE stream_ingest.progress ADD CONSTRAINT mistaken CHECK (messages < 100000)};
sql($table_check);
send_messages('context', 100000, 5);
status_is('context', 'reason', '23514', 'an error of our own statement is shown');
is(sql("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'context'"), '0', 'and makes no dead letter');
unlike(log_text(), qr/Failing row contains/, 'without a detail in the log');
sql('ALTER TABLE stream_ingest.progress DROP CONSTRAINT mistaken');
ok(poll('SELECT count(*), count(DISTINCT id) FROM context', '100005|100005'), 'and then all is there');

# ---- dead letters of a topic that is no longer read ----

my $moved = q{SELECT c.messages, c.applied, c.ignored, c.dead_letters, string_agg(d.topic || ' ' || d.message_offset, ', ' ORDER BY d.topic, d.message_offset)
	FROM stream_ingest.counts c LEFT JOIN stream_ingest.dead_letters d USING (name) WHERE name = 'moved' GROUP BY 1, 2, 3, 4};
subscribe('moved');
$kafka->produce('moved', [ '{"id": 1}', '{"id": "x"}', '{"id": "y"}' ], partition => 0);
ok(poll($moved, '3|1|0|2|moved 1, moved 2'), 'two are bad');
$kafka->create_topic('moved_to', 1);
$kafka->produce('moved_to', [ '{"id": 2}', '{"id": "z"}' ], partition => 0);
sql(q{SELECT stream_ingest.disable('moved')});
sql(q{SELECT stream_ingest.alter_subscription('moved', topic => 'moved_to')});
is( sql("BEGIN; SELECT stream_ingest.discard_dead_letters('moved'); $moved; ROLLBACK"),
	"2\n2|0|2|0|", 'those of the former topic can be discarded before another one is read');
is(sql($moved), '2|0|0|2|moved 1, moved 2', 'or are kept, when that is undone');
sql(q{SELECT stream_ingest.enable('moved')});
ok(poll($moved, '4|1|0|3|moved 1, moved 2, moved_to 1'), 'one of the next topic comes to them');
is(sql(q{SELECT stream_ingest.discard_dead_letters('moved', 0, 1, 2)}), '1', 'by partition and offset');
is(sql($moved), '4|1|1|2|moved 1, moved 2', 'only one of the topic that is read is discarded');
is(sql(q{SELECT stream_ingest.discard_dead_letters('moved')}), '2', 'all together');
is(sql($moved), '4|1|3|0|', 'also those of the former topic, and the counts add up');

# ---- the quota ----

# the topic is looked at every 30 s
my $left = $slow_since + 40 - time();
poll("SELECT now() > to_timestamp($slow_since + 40)", 't') if $left > 0;
my $rows = sql('SELECT count(*) FROM slow');
cmp_ok($rows, '>', 0, "throttled: $rows rows have come");
cmp_ok($rows, '<', 200000, 'and not all');
unlike(log_text(), qr/subscription "slow" is (retrying|stopped)/, 'and nothing says that brokers were away');

# ---- a place for the scanner ----

# of 3 processes, one is the logical replication launcher's, one our launcher's
sql(q{SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions});
subscribe('busy', options => '{"batch_size": 1}');
trigger('busy', 'PERFORM pg_sleep(0.05)');
send_messages('busy', 3000);
sql('ALTER SYSTEM SET max_worker_processes = 3');
$node->restart;

# It is asked, and ended a second later; on a machine that stands still so long it has not
# heard the question, and is tried again.
my $said = '';
foreach my $try (1 .. 4)
{
	ok(poll('SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL', 1), 'there is one place for a worker');
	my $before = length(log_text());
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	subscribe("late$try");
	do
	{
		select(undef, undef, undef, 0.05);
		$said = substr(log_text(), $before);
	} until ($said =~ /worker \d of .* has stopped/ || time() > $deadline);
	like($said, qr/worker \d of .* has stopped/, 'a worker makes room for the scanner');
	last if $said !~ /FATAL:  terminating background worker/;
	note('it was not fast enough');
}
unlike($said, qr/FATAL:  terminating background worker/, 'and is asked before it is ended');

$node->stop;
done_testing();
