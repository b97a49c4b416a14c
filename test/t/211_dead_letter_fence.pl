# Dead letters that are tried again, or discarded, beside changes.
#
# fk_retries and retry_dead_letters are fenced as batches are: a change of the
# subscription waits for them, and once it is committed nothing arrives under
# the old settings.  What the stream is still to meet again, after a backward
# seek, is left to it, so that nothing comes twice; and the counts tell the
# truth, whatever is open beside the stream.
#
# The rest is about logs that a subscription has left: the dead letters of
# another topic, or of one that was recreated, are still there to be tried.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $limit = $ENV{LIMIT} // $PostgreSQL::Test::Utils::timeout_default;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { deadlock_timeout => '100ms' });

sub is_soon
{
	my ($query, $expected, $what) = @_;

	return ok(StreamIngest::poll_until($node, $query, $expected, $limit), $what);
}

# ---- sessions ----

# A session that stays open; its statements are sent one after the other.
sub open_session
{
	my ($name) = @_;
	my $session = { in => '', out => '', err => '' };

	$session->{harness} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') . " application_name=$name" ],
		'<', \$session->{in}, '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

sub begin_query
{
	my ($session, $sql) = @_;

	$session->{out} = '';
	$session->{in} .= "$sql;\n\\echo done\n";
	$session->{harness}->pump_nb;
	return;
}

# Has the query of a session ended within so many seconds?
sub ended
{
	my ($session, $seconds) = @_;
	my $deadline = time() + $seconds;

	until ($session->{out} =~ s/^done\n\z//m)
	{
		return 0 if time() > $deadline;
		$session->{harness}->pump_nb;
		select(undef, undef, undef, 0.01);
	}
	return 1;
}

sub query
{
	my ($session, $sql) = @_;

	begin_query($session, $sql);
	ended($session, $limit) or die "no answer to: $sql\n$session->{err}";
	chomp(my $out = $session->{out});
	return $out;
}

sub close_session
{
	my ($session) = @_;

	$session->{in} .= "\\q\n";
	$session->{harness}->finish;
	return;
}

# Waits until a session waits for a lock of this kind.
sub is_waiting
{
	my ($who, $event, $what) = @_;

	return is_soon("SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '$who' AND wait_event = '$event'",
		't', $what);
}

# ---- orphans ----

# Children whose insertion waits at a gate; and a table like it.
sql(<<'SQL');
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int, parent int REFERENCES parents);
CREATE TABLE others (id int, parent int REFERENCES parents);
CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NEW;
END $$;
CREATE TRIGGER gate BEFORE INSERT ON children FOR EACH ROW EXECUTE FUNCTION pass_gate();

-- the counts that are not 0, and whether they tell the truth
CREATE FUNCTION counts_of(subscription name) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ',
		CASE WHEN messages <> applied + ignored + dead_letters
			OR applied <> inserted + updated + deleted + superseded
			OR dead_letters <> (SELECT count(*) FROM stream_ingest.dead_letters d WHERE d.name = subscription)
			THEN 'COUNTS DO NOT ADD UP:' END,
		'messages=' || messages, 'applied=' || nullif(applied, 0), 'ignored=' || nullif(ignored, 0),
		'dead_letters=' || nullif(dead_letters, 0))
	FROM stream_ingest.counts WHERE name = subscription;
$$;
SQL

my $n = 0;

# A subscription with one orphan among its dead letters, that is tried again
# after a second.
sub make_orphan
{
	$n++;
	sql('TRUNCATE children, others, parents');
	$kafka->create_topic("orphans$n", 1);
	$kafka->produce("orphans$n", [ '{"id": 1, "parent": 7}', '{"id": 2}' ], partition => 0);
	sql("SELECT stream_ingest.create_subscription('o', 'kafka', 'orphans$n', 'children', options => '{\"fk_retries\": 5}')");
	is_soon(q{SELECT counts_of('o')}, 'messages=2 applied=1 dead_letters=1', "orphan $n is a dead letter");
	return;
}

my $gate = open_session('gate');

# Whatever changes the subscription waits for an orphan that is being tried.
my %change = (
	'disable' => q{SELECT stream_ingest.disable('o')},
	'alter_subscription' => q{SELECT stream_ingest.alter_subscription('o', target => 'others')},
	'seek' => q{SELECT stream_ingest.seek('o', 'latest')},
	'drop_subscription' => q{SET client_min_messages = error; SELECT stream_ingest.drop_subscription('o')});

foreach my $what (sort keys %change)
{
	my $changer = open_session('changer');

	make_orphan();
	query($gate, 'SELECT pg_advisory_lock(1)');
	sql('INSERT INTO parents VALUES (7)');
	is_waiting('stream_ingest o', 'advisory', "$what: the worker tries the orphan");
	begin_query($changer, "$change{$what}; SELECT 'rows ' || count(*) FROM children");
	ok(!ended($changer, 0.5), "$what waits for it");
	query($gate, 'SELECT pg_advisory_unlock(1)');
	ok(ended($changer, $limit), "$what returns then");

	# so what it saw is all that ever came
	my ($rows) = $changer->{out} =~ /rows (\d+)/;
	is_soon(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stream_ingest o' AND wait_event = 'advisory'},
		0, "$what: no worker is left at the gate");
	is(sql('SELECT count(*) FROM children'), $rows, "$what: when it has returned nothing arrives any more");
	is(sql('SELECT count(*) FROM children WHERE id = 1') + sql('SELECT count(*) FROM others WHERE id = 1'),
		1, "$what: the orphan is there once");
	close_session($changer);
	sql(q{SET client_min_messages = error; SELECT stream_ingest.drop_subscription('o', true)});
}

# Reading again, as the manual says: nothing is left twice.
make_orphan();
sql(<<'SQL');
BEGIN;
SELECT stream_ingest.disable('o');
INSERT INTO parents VALUES (7);
TRUNCATE children;
SELECT stream_ingest.seek('o', 'earliest');
SELECT stream_ingest.enable('o');
DO $$ BEGIN
	WHILE EXISTS (SELECT FROM stream_ingest.dead_letter WHERE retry_at > clock_timestamp()) LOOP
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
COMMIT;
SQL
is_soon(q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM children}, '1 2', 'a due orphan that is read again comes once');
is_soon(q{SELECT counts_of('o')}, 'messages=3 applied=3', 'and is counted once');

# By hand it is the same: what is ahead of the stream is the stream's.
sql('TRUNCATE children, parents CASCADE');
sql(q{SELECT stream_ingest.seek('o', 'earliest')});
is_soon(q{SELECT counts_of('o')}, 'messages=5 applied=4 dead_letters=1', 'the orphan is one again');
is( sql(q{
	BEGIN;
	SELECT stream_ingest.disable('o');
	INSERT INTO parents VALUES (7);
	TRUNCATE children;
	SELECT stream_ingest.seek('o', 'earliest');
	SELECT stream_ingest.retry_dead_letters('o');
	COMMIT}) =~ s/\s//gr, 0, 'retry_dead_letters leaves to the stream what it is still to meet');
sql(q{SELECT stream_ingest.enable('o')});
is_soon(q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM children}, '1 2', 'so that comes once, too');
is_soon(q{SELECT counts_of('o')}, 'messages=6 applied=6', 'and is counted once');
sql(q{SELECT stream_ingest.drop_subscription('o')});

# ---- retry_dead_letters and discard_dead_letters beside changes ----

my $user = open_session('user');
my $changer = open_session('changer');

make_orphan();
sql(q{SELECT stream_ingest.disable('o')});
sql('INSERT INTO parents VALUES (7)');
is(query($user, q{BEGIN; SELECT stream_ingest.retry_dead_letters('o')}), 1, 'a retry is open');
begin_query($changer, q{SELECT stream_ingest.alter_subscription('o', target => 'others')});
ok(!ended($changer, 0.5), 'a change waits for a retry that is open');
query($user, 'ROLLBACK');
ok(ended($changer, $limit), 'and continues when it has ended');
query($changer, q{BEGIN; SELECT stream_ingest.alter_subscription('o', target => 'children')});
begin_query($user, q{SELECT stream_ingest.retry_dead_letters('o')});
ok(!ended($user, 0.5), 'a retry waits for a change that is open');
query($changer, 'COMMIT');
ok(ended($user, $limit), 'and continues when that has ended');
is(sql('SELECT (SELECT count(*) FROM children WHERE id = 1), (SELECT count(*) FROM others)'),
	'1|0', 'by the settings of that time');
query($user, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
sql(q{SELECT stream_ingest.alter_subscription('o', target => 'others')});
is(query($user, q{SELECT stream_ingest.retry_dead_letters('o')}), '', 'a snapshot from before a change');
like($user->{err}, qr/could not serialize access due to concurrent update/, 'does not wait for what it will never see');
query($user, 'ROLLBACK');
sql(q{SET client_min_messages = error; SELECT stream_ingest.drop_subscription('o')});

# An orphan that is being discarded is passed over: the worker, which holds the subscription
# and the target then, must not wait for the session, which may want these next.
make_orphan();
query($user, q{BEGIN; SELECT stream_ingest.discard_dead_letters('o')});
is_soon(q{SELECT retry_at < clock_timestamp() FROM stream_ingest.dead_letter}, 't', 'an orphan is due while it is being discarded');
$kafka->produce("orphans$n", ['{"id": 3}'], partition => 0);
is_soon(q{SELECT count(*) FROM children WHERE id = 3}, 1, 'the stream continues');
$user->{err} = '';
query($user, q{SELECT stream_ingest.disable('o'); ROLLBACK});
is($user->{err}, '', 'and the session can change the subscription');
sql('INSERT INTO parents VALUES (7)');
is_soon(q{SELECT counts_of('o')}, 'messages=3 applied=3', 'the orphan is tried when it was not discarded');
sql(q{SELECT stream_ingest.drop_subscription('o')});

# ---- counts ----

# Bad messages, met again while a transaction that takes one away is open.  The
# stream waits at the table until that has begun.
$kafka->create_topic('bad', 1);
$kafka->produce('bad', [ '{"id": 0}', '{"id": "x"}', '{"id": 2}', '{"id": "y"}' ], partition => 0);
sql(q{CREATE TABLE t (id int)});
sql(q{SELECT stream_ingest.create_subscription('bad', 'kafka', 'bad', 't')});
is_soon(q{SELECT counts_of('bad')}, 'messages=4 applied=2 dead_letters=2', 'two are bad');

my $messages = 4;
foreach my $fixed (0, 1)
{
	sql($fixed ? 'ALTER TABLE t ALTER id TYPE text' : 'TRUNCATE t');
	query($gate, 'BEGIN; LOCK TABLE t');
	sql(q{SELECT stream_ingest.seek('bad', 'earliest')});
	is_soon(q{SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND NOT granted}, 1, 'the stream waits at the table');
	is(query($user, q{BEGIN; SELECT stream_ingest.discard_dead_letters('bad', 0, 1, 2)}), 1, 'meanwhile one is being discarded');
	query($gate, 'ROLLBACK');
	is_waiting('stream_ingest bad', 'transactionid', 'and is met again');
	query($user, 'COMMIT');

	# it was discarded, and came again as if it were new
	$messages += 2 + 1;
	is_soon(
		q{SELECT counts_of('bad')},
		$fixed ? "messages=$messages applied=8 ignored=2" : "messages=$messages applied=4 ignored=1 dead_letters=2",
		'what was really taken away decides' . ($fixed ? ', also of one that is good now' : ''));
}
sql(q{SELECT stream_ingest.drop_subscription('bad')});

# It waits holding nothing that the session may want next, which may be the subscription.
sql('TRUNCATE t; ALTER TABLE t ALTER id TYPE int USING NULL');
sql(q{SELECT stream_ingest.create_subscription('held', 'kafka', 'bad', 't')});
is_soon(q{SELECT counts_of('held')}, 'messages=4 applied=2 dead_letters=2', 'two are bad once more');
query($gate, 'BEGIN; LOCK TABLE t');
sql(q{SELECT stream_ingest.seek('held', 'earliest')});
is_soon(q{SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND NOT granted}, 1, 'the stream waits at the table again');
query($user, q{BEGIN; SELECT stream_ingest.discard_dead_letters('held', 0, 2)});
query($gate, 'ROLLBACK');
is_waiting('stream_ingest held', 'transactionid', 'then for one dead letter that is being discarded');
is( sql(q{SELECT string_agg(l.relation::regclass::text, ' ') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE a.application_name = 'stream_ingest held' AND l.relation IN ('t'::regclass, 'stream_ingest.progress'::regclass)}),
	'', 'and has locked neither the table nor progress');
is(sql(q{SELECT count(*) FROM (SELECT FROM stream_ingest.dead_letter d WHERE message_offset = 1 FOR UPDATE SKIP LOCKED) d}),
	1, 'nor another dead letter');
like(sql(q{SELECT reason FROM stream_ingest.status}), qr/a row of table stream_ingest\.dead_letter, held by process/,
	'status says for what');
$user->{err} = '';
query($user, q{SELECT stream_ingest.disable('held'); COMMIT});
is($user->{err}, '', 'the session can change the subscription');
is(sql(q{SELECT counts_of('held')}), 'messages=4 applied=2 ignored=1 dead_letters=1', 'the stream has applied nothing');
sql(q{SELECT stream_ingest.enable('held')});
is_soon(q{SELECT counts_of('held')}, 'messages=7 applied=4 ignored=1 dead_letters=2', 'and continues when it is enabled');
sql(q{SELECT stream_ingest.drop_subscription('held', true)});

# What a batch's own trigger discards, and is refused again, is a new dead letter; a retry
# that meets that fails.
$kafka->create_topic('own', 1);
$kafka->produce('own', [ '{"what": "bad"}', '{"what": "discards"}' ], partition => 0);
sql(<<'SQL');
CREATE TABLE own (what text);
CREATE FUNCTION discard_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.what = 'bad' THEN
		RAISE 'this is bad';
	END IF;
	PERFORM stream_ingest.discard_dead_letters('own', 0, 0, 1);
	RETURN NULL;
END $$;
CREATE TRIGGER discard_first AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION discard_first();
SELECT stream_ingest.create_subscription('own', 'kafka', 'own', 'own');
SQL
is_soon(q{SELECT counts_of('own')}, 'messages=2 applied=1 dead_letters=1', 'own trigger: one is bad');
sql(q{SELECT stream_ingest.seek('own', 'earliest')});
is_soon(q{SELECT counts_of('own')}, 'messages=4 applied=2 ignored=1 dead_letters=1', 'own trigger: it is discarded and refused again');
is(sql(q{SELECT attempts FROM stream_ingest.dead_letters WHERE name = 'own'}), 1, 'own trigger: as a new one');
sql(q{ALTER TABLE own ADD CONSTRAINT none CHECK (what <> 'discards') NOT VALID; SELECT stream_ingest.seek('own', 'earliest')});
is_soon(q{SELECT counts_of('own')}, 'messages=5 applied=2 ignored=1 dead_letters=2', 'own trigger: both are bad');
sql('ALTER TABLE own DROP CONSTRAINT none');
my (undef, undef, $removed) = $node->psql('postgres', q{SELECT stream_ingest.retry_dead_letters('own')});
like($removed, qr/dead letters of subscription "own" were removed while they were being retried/,
	'own trigger: a retry of which one is discarded and refused again fails');
is(sql(q{SELECT counts_of('own')}), 'messages=5 applied=2 ignored=1 dead_letters=2', 'own trigger: and counts nothing');
sql(q{SET client_min_messages = error; SELECT stream_ingest.drop_subscription('own', true)});

# A retry that is open holds a backward seek up, so that the stream meets what has been
# tried when it is known what became of it; or the seek is of the same transaction.  One of
# the two bad messages is good by then, and it was retried; the other one stays as it is.
# What has a row already is refused, so it is a dead letter, a new one.
sql('CREATE TABLE u (id int UNIQUE)');
foreach my $end ('ROLLBACK', 'COMMIT', 'seek in the same transaction')
{
	sql('TRUNCATE u; ALTER TABLE u DROP CONSTRAINT IF EXISTS not_y, ALTER id TYPE int USING NULL');
	sql(q{SELECT stream_ingest.create_subscription('again', 'kafka', 'bad', 'u')});
	is_soon(q{SELECT counts_of('again')}, 'messages=4 applied=2 dead_letters=2', "retry, $end: two are bad");
	sql(q{ALTER TABLE u ALTER id TYPE text, ADD CONSTRAINT not_y CHECK (id <> 'y')});
	is(query($user, q{BEGIN; SELECT stream_ingest.retry_dead_letters('again', 0, 1, 2)}), 1, "retry, $end: one is being retried");
	if ($end =~ /^seek/)
	{
		query($user, q{SELECT stream_ingest.seek('again', 'earliest'); COMMIT});
	}
	else
	{
		begin_query($changer, q{SELECT stream_ingest.seek('again', 'earliest')});
		ok(!ended($changer, 0.5), "retry, $end: a seek waits for it");
		is_soon(
			q{SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('changer', 'stream_ingest again') AND wait_event = 'transactionid'},
			1, "retry, $end: who comes to it waits");
		query($user, $end);
		ok(ended($changer, $limit), "retry, $end: and continues when it has ended");
	}

	# a dead letter that is met again is the same message, and one that was retried another
	is_soon(
		q{SELECT counts_of('again')},
		$end eq 'ROLLBACK' ? 'messages=6 applied=3 dead_letters=3' : 'messages=7 applied=3 dead_letters=4',
		"retry, $end: met again, the counts are what was done and what is there");
	is(sql(q{SELECT string_agg(id, ' ' ORDER BY id) FROM u}), '0 2 x', "retry, $end: and so are the rows");
	sql(q{SET client_min_messages = error; SELECT stream_ingest.drop_subscription('again')});
}

# ---- other topics and logs ----

$kafka->create_topic($_, 1) foreach 'old', 'new', 'cut';
$kafka->produce('old', [ '{"id": 0}', '{"id": 1, "parent": 7}', '{"id": "x"}' ], partition => 0);
$kafka->produce('new', [ '{"id": 10}', '{"id": 11}', '{"id": "y"}', '{"id": 13}' ], partition => 0);
sql(<<'SQL');
TRUNCATE children, parents CASCADE;
SELECT stream_ingest.create_subscription('moved', 'kafka', 'old', 'children', options => '{"fk_retries": 10}');
SQL
is_soon(q{SELECT counts_of('moved')}, 'messages=3 applied=1 dead_letters=2', 'two of the old topic are bad');
sql(<<'SQL');
SELECT stream_ingest.disable('moved');
SELECT stream_ingest.alter_subscription('moved', topic => 'new');
SQL
is(sql(q{SELECT counts_of('moved')}), 'messages=2 dead_letters=2', 'another topic: counts restart, except the dead letters');
sql(q{SELECT stream_ingest.enable('moved')});
is_soon(q{SELECT counts_of('moved')}, 'messages=6 applied=3 dead_letters=3', 'and those of the new topic come to them');
is( sql(q{SELECT string_agg(topic || ' ' || message_offset, ', ' ORDER BY topic DESC, message_offset) FROM stream_ingest.dead_letters}),
	'old 1, old 2, new 2', 'what is met at the same offset of the new topic takes none of them away');
sql('INSERT INTO parents VALUES (7)');
is_soon(q{SELECT counts_of('moved')}, 'messages=6 applied=4 dead_letters=2', 'an orphan of the old topic is tried again by itself');
is(sql(q{SELECT stream_ingest.retry_dead_letters('moved', 0)}), 0, 'a partition is one of the topic that is read');
is( sql(q{SELECT string_agg(topic || ' ' || attempts, ', ' ORDER BY topic) FROM stream_ingest.dead_letters WHERE message_offset = 2}),
	'new 2, old 1', 'so that alone was tried');
sql('ALTER TABLE children ALTER id TYPE text');
is(sql(q{SELECT stream_ingest.retry_dead_letters('moved')}), 2, 'all together are retried');
is(sql(q{SELECT counts_of('moved')}), 'messages=6 applied=6', 'and none is left');
is(sql(q{SELECT string_agg(id, ' ' ORDER BY id) FROM children}), '0 1 10 11 13 x y', 'all rows are there once');
sql(q{SELECT stream_ingest.drop_subscription('moved')});

# A recreated topic: what lies at the offset of a dead letter is another message.
sql('CREATE TABLE ids (id int)');
$kafka->produce('cut', [ map { qq({"id": "old $_"}) } 0 .. 9 ], partition => 0);
sql(q{SELECT stream_ingest.create_subscription('cut', 'kafka', 'cut', 'ids', options => '{"breaker": 0}')});
is_soon(q{SELECT counts_of('cut')}, 'messages=10 dead_letters=10', 'all of the first log is bad');
sql(q{SELECT stream_ingest.disable('cut')});
$kafka->delete_topic('cut');
$kafka->create_topic('cut', 1);
$kafka->produce('cut', [ '{"id": "new 0"}', '{"id": 1}' ], partition => 0);
sql(q{SELECT stream_ingest.enable('cut')});
is_soon(q{SELECT state FROM stream_ingest.status}, 'stopped', 'another log stops the subscription');
sql(q{SELECT stream_ingest.enable('cut')});
is_soon(q{SELECT counts_of('cut')}, 'messages=12 applied=1 dead_letters=11', 'one of the other log is bad');
is( sql(q{SELECT string_agg(convert_from(value, 'UTF8'), ' ' ORDER BY message_offset, id) FROM stream_ingest.dead_letters WHERE message_offset < 2}),
	'{"id": "old 0"} {"id": "new 0"} {"id": "old 1"}', 'and none of the first log has gone');
is(sql(q{SELECT stream_ingest.discard_dead_letters('cut')}), 11, 'all can be discarded');
is(sql(q{SELECT counts_of('cut')}), 'messages=12 applied=1 ignored=11', 'and the counts add up');

close_session($_) foreach $gate, $user, $changer;
done_testing();
