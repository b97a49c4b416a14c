# Schema changes while messages flow.
#
# Two subscriptions read the same topic, one into a plain table and one into a
# partitioned one, while everything that can be altered of them is.  At the end
# every message must have arrived exactly once, in the table that was the
# target then, and in no other one: also where a new table takes the target's
# name.
#
# MESSAGES is how many are sent per change (2,000; 10,000 with
# STREAM_INGEST_FULL=1), ROUNDS how often all changes are made (1; 10).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $full = $ENV{STREAM_INGEST_FULL};
my $per_change = $ENV{MESSAGES} // ($full ? 10_000 : 2_000);
my $rounds = $ENV{ROUNDS} // ($full ? 10 : 1);
my $partitions = 2;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $sent = 0;

$kafka->create_topic('t', $partitions);
sql('
	CREATE SCHEMA s;
	CREATE TABLE s.plain (id bigint, payload text);
	CREATE TABLE cleared (id bigint);
	CREATE TABLE s.parted (id bigint, payload text) PARTITION BY HASH (id);
	CREATE TABLE s.parted_0 PARTITION OF s.parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE s.parted_1 PARTITION OF s.parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
	CREATE TYPE mood AS ENUM (\'sad\');
	CREATE ROLE other_role');
# small batches, so that most changes meet one at work; a breaker would stop a
# subscription whose partition is away
sql("SELECT stream_ingest.create_subscription('$_', 'kafka', 't', 's.$_',
		options => '{\"batch_size\": 200, \"breaker\": 0}')") foreach qw(plain parted);

# What is done, in this order; each while messages come in.
my @changes = (
	'ALTER TABLE s.plain ADD added int',
	'ALTER TABLE s.plain ADD filled text NOT NULL DEFAULT $$x$$',
	'ALTER TABLE s.plain DROP added',
	'ALTER TABLE s.plain RENAME payload TO body',
	'ALTER TABLE s.plain RENAME body TO payload',
	'ALTER TABLE s.plain ALTER id TYPE numeric',
	'ALTER TABLE s.plain ALTER id TYPE bigint',
	'ALTER TABLE s.plain ALTER payload TYPE varchar(1000)',
	'ALTER TABLE s.plain ADD CONSTRAINT not_negative CHECK (id >= 0)',
	'ALTER TABLE s.plain DROP CONSTRAINT not_negative',
	'ALTER TABLE s.plain ADD PRIMARY KEY (id)',
	'ALTER TABLE s.plain DROP CONSTRAINT plain_pkey',
	'CREATE INDEX plain_id ON s.plain (id)',
	'REINDEX INDEX CONCURRENTLY s.plain_id',
	'DROP INDEX CONCURRENTLY s.plain_id',
	'CREATE TRIGGER pass BEFORE INSERT ON s.plain FOR EACH ROW EXECUTE FUNCTION pass()',
	'CREATE OR REPLACE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.payload := 1; RETURN NEW; END $$',
	'DROP TRIGGER pass ON s.plain',
	'ALTER TABLE s.plain ADD mood mood DEFAULT $$sad$$',
	'ALTER TYPE mood ADD VALUE $$happy$$',
	'ALTER TYPE mood RENAME TO temper',
	'ALTER TABLE s.plain DROP mood; ALTER TYPE temper RENAME TO mood; DROP TYPE mood; CREATE TYPE mood AS ENUM ($$sad$$)',
	'BEGIN; LOCK TABLE s.plain; INSERT INTO cleared SELECT id FROM s.plain; TRUNCATE s.plain; COMMIT',
	'VACUUM FULL s.plain',
	'ALTER TABLE s.plain SET UNLOGGED',
	'ALTER TABLE s.plain SET LOGGED',
	'ALTER TABLE s.plain OWNER TO other_role',
	'GRANT USAGE ON SCHEMA s TO other_role',
	'ALTER TABLE s.plain OWNER TO CURRENT_USER; REVOKE USAGE ON SCHEMA s FROM other_role',
	'ALTER TABLE s.plain RENAME TO renamed',
	'ALTER TABLE s.renamed RENAME TO plain',
	# another table takes its name
	'BEGIN; ALTER TABLE s.plain RENAME TO renamed; CREATE TABLE s.plain (LIKE s.renamed INCLUDING ALL); COMMIT',
	'BEGIN; ALTER TABLE s.plain RENAME TO impostor_1; ALTER TABLE s.renamed RENAME TO plain; COMMIT',
	'ALTER SCHEMA s RENAME TO moved',
	'ALTER SCHEMA moved RENAME TO s',
	# another schema with another table takes its name; without a lock on ours
	('BEGIN; ALTER SCHEMA s RENAME TO moved; CREATE SCHEMA s; CREATE TABLE s.plain (LIKE moved.plain INCLUDING ALL); CREATE TABLE s.parted (LIKE moved.parted); COMMIT',
		'BEGIN; ALTER SCHEMA s RENAME TO impostor; ALTER SCHEMA moved RENAME TO s; COMMIT',
		'BEGIN; ALTER SCHEMA s RENAME TO moved; ALTER SCHEMA impostor RENAME TO s; COMMIT',
		'BEGIN; ALTER SCHEMA s RENAME TO impostor; ALTER SCHEMA moved RENAME TO s; COMMIT'),
	'ALTER TABLE s.plain SET SCHEMA public',
	'ALTER TABLE public.plain SET SCHEMA s',
	'ALTER TABLE s.parted ADD added int DEFAULT 5',
	'ALTER TABLE s.parted DROP added',
	'ALTER TABLE s.parted DETACH PARTITION s.parted_1',
	'ALTER TABLE s.parted ATTACH PARTITION s.parted_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)',
	'CREATE INDEX parted_id ON s.parted (id)',
	'DROP INDEX s.parted_id',
	# a partition with another layout
	'BEGIN; ALTER TABLE s.parted DETACH PARTITION s.parted_0; ALTER TABLE s.parted_0 RENAME TO old_0;
		CREATE TABLE s.parted_0 (dropped int, payload text, id bigint); ALTER TABLE s.parted_0 DROP dropped;
		ALTER TABLE s.parted ATTACH PARTITION s.parted_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		INSERT INTO s.parted SELECT id, payload FROM s.old_0; DROP TABLE s.old_0; COMMIT');

my $failed = 0;

foreach my $round (1 .. $rounds)
{
	foreach my $change (@changes)
	{
		my $job = $kafka->produce_start(
			't',
			count => $per_change,
			first => $sent,
			round_robin => $partitions);

		# wait for the first of them: then the change meets the rest
		StreamIngest::poll_until($node,
			"SELECT sum(next_offset) > 2 * $sent FROM stream_ingest.offsets");
		my ($out, $err) = ('', '');

		if ($node->psql('postgres', $change, stdout => \$out, stderr => \$err, on_error_stop => 1) != 0)
		{
			diag("$change: $err");
			$failed++;
		}
		StreamIngest::produce_wait($job);
		$sent += $per_change;
	}
	# for the next round
	sql('DROP TABLE s.impostor_1') if sql('SELECT count(*) FROM s.impostor_1') eq '0' && $round < $rounds;
	sql('DROP SCHEMA impostor CASCADE') if sql('SELECT count(*) FROM impostor.plain') eq '0' && $round < $rounds;
	sql('ALTER TABLE s.plain DROP filled') if $round < $rounds;
}
is($failed, 0, 'the changes could be made');

my $expected = $sent;

foreach my $name (qw(plain parted))
{
	ok( StreamIngest::poll_until(
			$node, "SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = '$name'", $expected),
		"$name: the end is reached");
}
is(sql('SELECT count(*) FROM s.impostor_1'), 0, 'nothing is in the table that took the name');
is(sql('SELECT (SELECT count(*) FROM impostor.plain) + (SELECT count(*) FROM impostor.parted)'),
	0, 'nothing is in the tables of the schema that took the name');

is( sql("SELECT count(*), count(DISTINCT id), max(id) FROM (TABLE cleared UNION ALL SELECT id FROM s.plain) a"),
	"$expected|$expected|" . ($expected - 1), 'plain: nothing lost, nothing twice');
is(sql("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'plain'"), 0, 'plain: no dead letters');

# what came while its partition was away can be tried again
note(sql("SELECT count(*), sqlstate FROM stream_ingest.dead_letters WHERE name = 'parted' GROUP BY 2"));
is( sql("SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'parted' AND (sqlstate <> '23514' OR constraint_name IS NOT NULL)"),
	0, 'parted: nothing was refused but for lack of a partition');
sql("SELECT stream_ingest.retry_dead_letters('parted')");
is( sql('SELECT count(*), count(DISTINCT id), max(id) FROM s.parted'),
	"$expected|$expected|" . ($expected - 1), 'parted: nothing lost, nothing twice');
is(sql("SELECT messages = applied, dead_letters FROM stream_ingest.counts WHERE name = 'parted'"),
	't|0', 'parted: the counts are true');

# ---- a schema changes its meaning at the worst moment ----

# Renaming a schema locks no table in it.  The worker is held between taking
# its lock on the target and running its statement: by a type that waits, and
# then looks at another table, by which it hears of the change.
$kafka->create_topic('held', 1);
sql("
	CREATE FUNCTION held(int) RETURNS boolean LANGUAGE plpgsql AS \$\$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(42);
		PERFORM FROM public.cleared LIMIT 1;
		RETURN true;
	END \$\$;
	CREATE DOMAIN held AS int CHECK (held(VALUE));
	CREATE SCHEMA h;
	CREATE TABLE h.t (id held);
	SELECT stream_ingest.create_subscription('held', 'kafka', 'held', 'h.t')");
$kafka->produce('held', ['{"id": 0}'], partition => 0);
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM h.t', 1), 'held: the statement is prepared');

my $holder = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_advisory_lock(42), pg_sleep(600)' ],
	'<', \'', '>', \my $unused, '2>', \my $errors);
ok(StreamIngest::poll_until($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted", 1),
	'held: the lock is taken');
$kafka->produce('held', ['{"id": 1}'], partition => 0);
ok(StreamIngest::poll_until($node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 1),
	'held: the worker waits');
sql('
	BEGIN;
	ALTER SCHEMA h RENAME TO i;
	CREATE SCHEMA h;
	CREATE TABLE h.t (LIKE i.t);
	COMMIT');
sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted");
IPC::Run::finish($holder);
ok(StreamIngest::poll_until($node, "SELECT next_offset FROM stream_ingest.offsets WHERE name = 'held'", 2),
	'held: the message is applied');
is(sql('SELECT (SELECT count(*) FROM h.t), (SELECT count(*) FROM i.t)'), '0|2', 'held: into the same table as before');
is(sql("SELECT applied, dead_letters FROM stream_ingest.counts WHERE name = 'held'"), '2|0', 'held: the counts are true');

$node->stop;
done_testing();
