# One bad message harms no other.
#
# A topic of which three in a hundred messages are broken, in twenty ways:
# exactly the good ones must be in the table, and exactly the broken ones dead
# letters with the right SQLSTATE; after the table is fixed a retry brings in
# those that can be fixed.  Then the same while workers and server are killed.
#
# Message i of the topic has id i, and lies in partition i % 3 at offset i / 3.
# It is broken if i % 33 = 5, in the way (i / 33) % 20.
#
# MESSAGES says how many there are (30,000; 200,000 with STREAM_INGEST_FULL=1),
# ROUNDS how often something is killed (3; 20), SEED chooses what.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $full = $ENV{STREAM_INGEST_FULL};
my $messages = $ENV{MESSAGES} // ($full ? 200_000 : 30_000);
my $rounds = $ENV{ROUNDS} // ($full ? 20 : 3);
my $seed = $ENV{SEED} // int(rand(1_000_000));
my $partitions = 3;

srand($seed);
note("SEED=$seed MESSAGES=$messages ROUNDS=$rounds");

# Ways to break a message: the fields, the SQLSTATE, can it be fixed?
my @ways = (
	[ 'not JSON',           undef,                                            '22P02', 0 ],
	[ 'wrong type',         '"small": "seven"',                               '22P02', 0 ],
	[ 'too long',           '"short": "much too long"',                       '22001', 1 ],
	[ 'null in NOT NULL',   '"filled": null',                                 '23502', 1 ],
	[ 'CHECK',              '"amount": -1',                                   '23514', 1 ],
	[ 'unique',             '"twin": 1',                                      '23505', 1 ],
	[ 'foreign key',        '"parent": 2',                                    '23503', 1 ],
	[ 'exclusion',          '"during": "[5,6]"',                              '23P01', 1 ],
	[ 'trigger',            '"say": "raise"',                                 'P0001', 1 ],
	[ 'trigger, odd code',  '"say": "internal"',                              'XX000', 1 ],
	[ 'domain',             '"positive": -1',                                 '23514', 1 ],
	[ 'deferred',           '"late": 2',                                      '23503', 1 ],
	[ 'NUL byte',           '"note": "a\\u0000b"',                            '22P05', 0 ],
	[ 'bad UTF-8',          "\"note\": \"\xff\"",                             '22021', 0 ],
	[ '10,000 levels deep', '"rest": ' . '[' x 10_000 . ']' x 10_000,         '54001', 0 ],
	[ '1e999999',           '"ratio": 1e999999',                              '22003', 0 ],
	[ 'numeric overflow',   '"amount": 12345678',                             '22003', 1 ],
	[ 'shape of an array',  '"list": [[1, 2], [3]]',                          '22P02', 0 ],
	[ 'too big to index',   undef,                                            '54000', 1 ],
	[ 'no partition',       '"region": "nowhere"',                            '23514', 1 ]);
my $way_of = '(i / 33) % 20';
my $is_broken = 'i % 33 = 5';

sub message
{
	my ($i) = @_;
	my $fields = sprintf '"small": %d, "note": "message %d of many", "amount": %d.25, "list": [%d, 2]',
	  $i % 1000, $i, $i % 5000, $i;

	if ($i % 33 == 5)
	{
		my $way = int($i / 33) % 20;

		return "message $i" if $way == 0;
		$fields = $ways[$way][1];

		# a few are as big as a message may be, the others just too big
		$fields = '"indexed": "' . ($i < 3_000 ? 'x' x 5_000_000 : join('', map { chr(65 + rand(26)) } 1 .. 9_000)) . '"'
		  if $way == 18;
	}
	return "{\"id\": $i, $fields}";
}

my $kafka = StreamIngest::start_kafka(
	config => [ 'message.max.bytes=8000000', 'replica.fetch.max.bytes=8000000' ]);
my $node = StreamIngest::new_node('main', kafka => $kafka);

# A table that can refuse a row for all those reasons, in a schema of its own.
sub make_table
{
	my ($schema) = @_;

	sql("
		CREATE SCHEMA $schema;
		SET search_path = $schema;
		CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		CREATE TABLE parents (id int PRIMARY KEY);
		INSERT INTO parents VALUES (1);
		CREATE TABLE t (id bigint, small smallint, note text, amount numeric(8,2) CHECK (amount >= 0),
			list int[], short varchar(5), filled text NOT NULL DEFAULT 'x', twin int,
			parent int REFERENCES parents, late int REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
			during int4range, say text, positive positive, rest jsonb, ratio float8, indexed text,
			region text DEFAULT 'here')
			PARTITION BY LIST (region);
		CREATE TABLE t_here PARTITION OF t FOR VALUES IN ('here');
		ALTER TABLE t_here ADD CONSTRAINT t_twin UNIQUE (twin),
			ADD CONSTRAINT t_during EXCLUDE USING gist (during WITH &&);
		CREATE INDEX t_indexed ON t_here (indexed);
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			IF NEW.say = 'raise' THEN
				RAISE EXCEPTION 'this one not';
			ELSIF NEW.say = 'internal' THEN
				RAISE EXCEPTION 'this one neither' USING ERRCODE = 'XX000';
			END IF;
			RETURN NEW;
		END \$\$;
		CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse();
		INSERT INTO t (id, twin, during) VALUES (-1, 1, '[0,10]');");
	return;
}

sub mend_table
{
	my ($schema) = @_;

	sql("
		SET search_path = $schema;
		DELETE FROM t WHERE id = -1;
		ALTER TABLE t_here DROP CONSTRAINT t_twin, DROP CONSTRAINT t_during;
		ALTER TABLE t ALTER short TYPE text, ALTER filled DROP NOT NULL, DROP CONSTRAINT t_amount_check,
			ALTER amount TYPE numeric;
		ALTER DOMAIN positive DROP CONSTRAINT positive_check;
		INSERT INTO parents VALUES (2);
		DROP TRIGGER refuse ON t;
		DROP INDEX t_indexed;
		CREATE TABLE t_nowhere PARTITION OF t FOR VALUES IN ('nowhere');");
	return;
}

sub subscribe
{
	my ($schema, %options) = @_;
	my $options = join ', ', map { "\"$_\": \"$options{$_}\"" } sort keys %options;

	sql("SELECT stream_ingest.create_subscription('$schema', 'kafka', 'bad', '$schema.t', options => '{$options}')");
	return;
}

sub is_done
{
	my ($schema, $what) = @_;

	ok( StreamIngest::poll_until(
			$node, "SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = '$schema'", $messages),
		"$what: the end is reached");
	return;
}

# Which rows and dead letters there are, against which there should be; of the
# broken ways these are fixed.
sub check
{
	my ($schema, $what, @fixed) = @_;
	my $fixed = join ', ', @fixed, -1;
	my $states = join ', ', map { "'$_->[2]'" } @ways;

	# of what differs, a few
	is( sql("
			WITH want AS (SELECT i FROM generate_series(0, $messages - 1) i
				WHERE NOT ($is_broken) OR $way_of IN ($fixed)),
			have AS (SELECT id FROM $schema.t WHERE id >= 0)
			SELECT coalesce(string_agg(d, ' '), 'none') FROM (
				(SELECT 'lacks ' || i FROM (TABLE want EXCEPT ALL TABLE have) a LIMIT 5) UNION ALL
				(SELECT 'too many of ' || id FROM (TABLE have EXCEPT ALL TABLE want) a LIMIT 5)) AS d (d)"),
		'none', "$what: exactly the good ones are in the table");
	is( sql("
			WITH want AS (SELECT i::bigint, (ARRAY[$states])[$way_of + 1] FROM generate_series(0, $messages - 1) i
				WHERE $is_broken AND $way_of NOT IN ($fixed)),
			have AS (SELECT message_offset * $partitions + partition, sqlstate FROM stream_ingest.dead_letters
				WHERE name = '$schema')
			SELECT coalesce(string_agg(d, ', '), 'none') FROM (
				(SELECT 'lacks ' || a FROM (TABLE want EXCEPT ALL TABLE have) a LIMIT 10) UNION ALL
				(SELECT 'too many: ' || a FROM (TABLE have EXCEPT ALL TABLE want) a LIMIT 10)) AS d (d)"),
		'none', "$what: exactly the broken ones are dead letters, with the right SQLSTATE");
	is( sql("
			SELECT messages = $messages, messages = applied + ignored + dead_letters, applied = inserted,
				inserted = (SELECT count(*) FROM $schema.t WHERE id >= 0),
				dead_letters = (SELECT count(*) FROM stream_ingest.dead_letters WHERE name = '$schema')
			FROM stream_ingest.counts WHERE name = '$schema'"),
		't|t|t|t|t', "$what: the counts are true");
	return;
}

# ---- the topic ----

my $file = "$PostgreSQL::Test::Utils::tmp_check/messages";
open my $out, '>', $file or die "$file: $!";
print $out message($_), "\n" foreach 0 .. $messages - 1;
close $out;
$kafka->create_topic('bad', $partitions, 'max.message.bytes=8000000');
is( $kafka->produce(
		'bad',
		file => $file,
		round_robin => $partitions,
		codec => 'lz4',
		properties => ['message.max.bytes=8000000']),
	$messages,
	'the topic is there');

# ---- in peace ----

my @fixable = grep { $ways[$_][3] } 0 .. $#ways;

make_table('calm');
subscribe('calm');
is_done('calm', 'in peace');
check('calm', 'in peace');
mend_table('calm');
sql("SELECT stream_ingest.retry_dead_letters('calm')");
check('calm', 'fixed', @fixable);

# a message stays whole, and comes back as it was sent
my ($five_mb) = grep { $_ % 33 == 5 && int($_ / 33) % 20 == 18 } 0 .. $messages - 1;
is(sql("SELECT length(indexed) FROM calm.t WHERE id = $five_mb"), 5_000_000, 'a value of 5 MB is back');
my ($deep) = grep { $_ % 33 == 5 && int($_ / 33) % 20 == 14 } 0 .. $messages - 1;
is( sql("SELECT length(value) FROM stream_ingest.dead_letters WHERE name = 'calm' AND message_offset = "
		  . int($deep / $partitions) . " AND partition = $deep % $partitions"),
	length(message($deep)),
	'a dead letter has all its bytes');
sql("SELECT stream_ingest.drop_subscription('calm')");

# ---- while everything dies ----

# Waits until so many messages have been applied.  Five crashes of its worker in a row
# stop a subscription, until a user enables it.
sub applies
{
	my ($target) = @_;
	my $applied = "SELECT coalesce(sum(next_offset), 0) >= $target FROM stream_ingest.offsets";
	my $stopped = "SELECT count(*) > 0 FROM stream_ingest.status WHERE state = 'stopped' AND reason ~ 'has crashed the server'";

	until (sql($applied) eq 't')
	{
		last unless StreamIngest::poll_until($node, "SELECT ($applied) OR ($stopped)");
		sql("SELECT stream_ingest.enable('wild')") if sql($stopped) eq 't';
	}
	return;
}

make_table('wild');
subscribe('wild', batch_size => $full ? 1000 : 400);
foreach my $round (1 .. $rounds)
{
	my $where = sql('SELECT coalesce(sum(next_offset), 0) FROM stream_ingest.offsets');
	my $victim = int(rand(2));

	# at any moment of a batch, some batches on
	applies($where < $messages ? $where + 1 : $messages);
	select(undef, undef, undef, rand(0.2));
	if ($victim == 0)
	{
		my $pid = sql("SELECT coalesce(max(pid), 0) FROM stream_ingest.status");

		kill 'KILL', $pid if $pid;

		# the server has noticed, and is back, when it knows the process no more
		StreamIngest::poll_until($node,
			"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
	}
	else
	{
		StreamIngest::crash($node);
		$node->start;
	}
	note("round $round: " . ('a worker', 'the server')[$victim] . " was killed at $where");
}
applies($messages);
is_done('wild', 'killed');
check('wild', 'killed');
mend_table('wild');
sql("SELECT stream_ingest.retry_dead_letters('wild')");
check('wild', 'killed and fixed', @fixable);

$node->stop;
done_testing();
