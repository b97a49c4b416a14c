# Exactly once, whatever dies.
#
# While messages keep coming, rounds of misfortune chosen at random: processes of the
# server and the broker are killed, stopped, cancelled and terminated, the
# subscription is disabled, altered and sought, others lock, rewrite and change the
# tables.  At the end each message must be in the table exactly as often as the
# seeks say, and next_offset must be the topic's end.
#
# A message's id tells its place: offset * 3 + partition.  A seek jumps from
# the next offset n, which is read in the seek's own transaction, to y; so a
# partition is read in segments [0, n1), [y1, n2), ... [yk, end), and a
# message is in the table once for each segment that it lies in.
#
# SEED chooses the rounds (printed at the start), ROUNDS how many there are (each
# misfortune once; 60 with STREAM_INGEST_FULL=1).  SOAK is for how many seconds there
# are rounds instead: test/soak.sh.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $full = $ENV{STREAM_INGEST_FULL};
my $rounds = $ENV{ROUNDS} // ($full ? 60 : 0);
my $soak = $ENV{SOAK};
my $seed = $ENV{SEED} // int(rand(1_000_000));
my $per_round = 45_000;
my $partitions = 3;
my $limit = $PostgreSQL::Test::Utils::timeout_default * ($soak ? 10 : 3);

srand($seed);
note("SEED=$seed ROUNDS=$rounds" . ($soak ? " SOAK=$soak" : ''));

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_prepared_transactions => 1 });
my $job;
my $sent = 0;
my @jumps = map { [] } 1 .. $partitions;    # per partition: [from, to]

sub send_more
{
	StreamIngest::produce_wait($job) if $job;
	$job = $kafka->produce_start(
		't',
		count => $per_round,
		first => $sent,
		round_robin => $partitions);
	$sent += $per_round;
	return;
}

# Lets the workers read so many messages in all.  If five of them were killed within a
# minute each, the subscription is stopped, and is enabled as its reason advises.
sub read_until
{
	my ($target, $limit) = @_;

	while (1)
	{
		my $stopped = q{EXISTS (SELECT FROM stream_ingest.status WHERE state = 'stopped')};

		StreamIngest::poll_until($node, "SELECT $stopped OR sum(next_offset) >= $target FROM stream_ingest.offsets", 't', $limit)
		  or BAIL_OUT('no progress');
		last if sql("SELECT $stopped") eq 'f';
		my $reason = sql('SELECT DISTINCT reason FROM stream_ingest.status');
		$reason =~ /^its worker has crashed the server 5 times in a row/ or BAIL_OUT("stopped: $reason");
		note('enabled after five crashes');
		sql("SELECT stream_ingest.enable('s')");
	}
	return;
}

# Lets the workers read some of what they have not read.
sub some_progress
{
	my $where = sql('SELECT sum(next_offset) FROM stream_ingest.offsets');
	my $most = $sent - $where;

	read_until($where + int(rand($most < 20_000 ? $most : 20_000)));
	return;
}

sub accepts_connections
{
	StreamIngest::poll_until($node, 'SELECT 1', 1) or BAIL_OUT('the server does not come back');
	return;
}

# Moves a partition to where the function says, given the next offset.
sub seek_to
{
	my ($p, $to) = @_;

	# disable() first: what is read then is what the seek starts from
	my ($answer) = grep { /\|/ } split /\n/, sql("BEGIN;
		SELECT stream_ingest.disable('s');
		SELECT next_offset, seek_position FROM stream_ingest.progress WHERE partition = $p;
		SELECT stream_ingest.seek('s', $p, $to);
		SELECT stream_ingest.enable('s');
		COMMIT");
	my ($from, $pending) = split /\|/, $answer, -1;

	# a seek that was not carried out yet has never been
	pop @{ $jumps[$p] } if $pending ne '';
	push @{ $jumps[$p] }, [ $from, $to ];
	return "partition $p from $from to $to";
}

sub next_offset
{
	return sql("SELECT next_offset FROM stream_ingest.progress WHERE partition = $_[0]");
}

# Kills a process of the server, which then recovers from the crash.
sub kill_process
{
	my ($pid) = @_;

	kill('KILL', $pid);
	StreamIngest::poll_until($node,
		"SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0);
	accepts_connections();
	return "pid $pid";
}

# Signals all processes of a kind by a function of the server's.
sub signal_some
{
	my ($function) = @_;
	my $type = (qw(launcher scanner worker worker))[ rand(4) ];
	my $n = sql("SELECT count($function(pid)) FROM pg_stat_activity WHERE backend_type = 'stream_ingest $type'");

	return "$n of $type";
}

# Another transaction holds a lock for a while.
sub hold_lock
{
	my ($table) = @_;
	my $seconds = rand(1.5);

	sql("BEGIN; LOCK TABLE $table; PREPARE TRANSACTION 'holder'");
	select(undef, undef, undef, $seconds);
	sql("ROLLBACK PREPARED 'holder'");
	return sprintf('%s for %.1f s', $table, $seconds);
}

# A process or the broker does not run for a while.
sub freeze
{
	my ($stop, $continue) = @_;
	my $seconds = rand(1.5);

	$stop->();
	select(undef, undef, undef, $seconds);
	$continue->();
	return sprintf('for %.1f s', $seconds);
}

my %misfortune = (
	'kill a worker' => sub { return kill_process(StreamIngest::worker_pid($node, 's')); },
	'kill another process' => sub {
		my @type = ('checkpointer', 'walwriter', 'stream_ingest launcher');
		my $type = $type[ rand(@type) ];

		# one that was terminated just now may still be there at one look and gone at the next
		my $pid = '';
		until ($pid ne '')
		{
			StreamIngest::poll_until($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = '$type'", 1)
			  or BAIL_OUT("there is no $type");
			$pid = sql("SELECT max(pid) FROM pg_stat_activity WHERE backend_type = '$type'");
		}
		return "$type, " . kill_process($pid);
	},
	'terminate' => sub { return signal_some('pg_terminate_backend'); },
	'cancel' => sub { return signal_some('pg_cancel_backend'); },
	'stop a worker' => sub {
		my $pid = StreamIngest::worker_pid($node, 's');

		return freeze(sub { StreamIngest::suspend($pid) }, sub { kill('CONT', $pid) });
	},
	'stop the broker' => sub { return freeze(sub { $kafka->pause }, sub { $kafka->resume }); },
	'turn off' => sub {
		return freeze(
			sub { sql('ALTER SYSTEM SET stream_ingest.enabled = off'); sql('SELECT pg_reload_conf()') },
			sub { sql('ALTER SYSTEM RESET stream_ingest.enabled'); sql('SELECT pg_reload_conf()') });
	},
	'lock the target' => sub { return hold_lock('t'); },
	'lock our tables' => sub {
		my @table = map { "stream_ingest.$_" } qw(subscription progress dead_letter);

		return hold_lock($table[ rand(@table) ]);
	},
	'rewrite' => sub {
		my $what = ('t', 'stream_ingest.progress', 'stream_ingest.subscription')[ rand(3) ];

		sql("VACUUM FULL $what");
		return $what;
	},
	'change the target' => sub {
		my ($what, @sql) = @{ (
				[ 'a column', 'ALTER TABLE t ADD COLUMN more int DEFAULT 1', 'ALTER TABLE t DROP COLUMN more' ],
				[ 'an index', 'CREATE INDEX more ON t (id)', 'DROP INDEX more' ],
				[ 'a name', 'ALTER TABLE t RENAME TO other', 'ALTER TABLE other RENAME TO t' ],
				[ 'a trigger', 'CREATE TRIGGER more BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION same()', 'DROP TRIGGER more ON t' ]
			)[ rand(4) ] };

		sql($sql[0]);
		some_progress() if $what ne 'a name';
		sql($sql[1]);
		return $what;
	},
	'kill the postmaster' => sub {
		StreamIngest::crash($node);
		$node->start;
		return '';
	},
	'immediate shutdown' => sub {
		$node->stop('immediate');
		$node->start;
		return '';
	},
	'kill the broker' => sub {
		$kafka->kill9;
		$kafka->start;
		return '';
	},
	'restart the broker' => sub {
		$kafka->stop;
		$kafka->start;
		return '';
	},
	'disable and enable' => sub {
		my $state = 'SELECT (SELECT count(*) FROM t), sum(next_offset) FROM stream_ingest.progress';
		sql("SELECT stream_ingest.disable('s')");
		my $before = sql($state);
		StreamIngest::poll_until($node,
			"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'", 0);
		my $after = sql($state);
		sql("SELECT stream_ingest.enable('s')");
		is($after, $before, 'nothing arrived after disable() had returned');
		return $before;
	},
	'seek back' => sub {
		my $p = int(rand($partitions));
		my $to = next_offset($p) - 1 - int(rand(10_000));

		return seek_to($p, $to < 0 ? 0 : $to);
	},
	'seek forward' => sub {
		my $p = int(rand($partitions));

		# so that there is something ahead of it
		sql("SELECT stream_ingest.disable('s')");
		send_more();
		StreamIngest::produce_wait($job);
		$job = undef;
		my $next = next_offset($p);
		my $ahead = $kafka->end_offset('t', $p) - $next;

		return seek_to($p, $next + int(rand($ahead < 10_000 ? $ahead : 10_000)) + 1);
	},
	'alter' => sub {
		my $workers = 1 + int(rand(4));
		my $batch_size = 20 + int(rand(1000));
		sql("SELECT stream_ingest.alter_subscription('s', "
			  . "options => '{\"workers\": $workers, \"batch_size\": $batch_size}')");
		return "workers $workers, batch_size $batch_size";
	});

$kafka->create_topic('t', $partitions);

# no unique index: a message applied twice must show
sql('CREATE TABLE t (id bigint NOT NULL, p int NOT NULL, o bigint NOT NULL);'
	  . q{CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'});
sql(q{SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't',
	mapping => '{"id": "id", "p": "$partition", "o": "$offset"}',
	options => '{"batch_size": 200, "workers": 2}')});
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM stream_ingest.offsets', $partitions),
	'the topic was contacted');

# each misfortune once, in some order; then what comes
my @kinds = sort keys %misfortune;
my @plan = shuffle(@kinds);
push @plan, $kinds[ rand(@kinds) ] while @plan < $rounds;
splice(@plan, $rounds) if $rounds && @plan > $rounds;

my $began = time();
my $round = 0;
while ($soak ? time() < $began + $soak : $round < @plan)
{
	my $kind = $plan[$round] // $kinds[ rand(@kinds) ];

	$round++;

	send_more();
	some_progress();
	my $what = $misfortune{$kind}->();
	note(sprintf('%6.1f s, round %d: %s %s', time() - $began, $round, $kind, $what));
	some_progress() if rand() < 0.5;
}
StreamIngest::produce_wait($job) if $job;

read_until($sent, $limit);
is(sql("SELECT stream_ingest.wait_until_caught_up('s', '$limit s')"), 't', 'all is read')
  or diag(sql('SELECT * FROM stream_ingest.status; SELECT * FROM stream_ingest.offsets'));

my @segments;
foreach my $p (0 .. $partitions - 1)
{
	my $start = 0;

	foreach my $jump (@{ $jumps[$p] })
	{
		push @segments, "($p, $start, $jump->[0])";
		$start = $jump->[1];
	}
	push @segments, sprintf('(%d, %d, %d)', $p, $start, $sent / $partitions);
}
is( sql(
		'SELECT coalesce(e.p, t.p), coalesce(e.o, t.o), coalesce(e.n, 0), coalesce(t.n, 0) FROM '
		  . '(SELECT s.p, o, count(*) AS n FROM (VALUES '
		  . join(', ', @segments)
		  . ') s(p, low, high), generate_series(low, high - 1) o GROUP BY 1, 2) e '
		  . 'FULL JOIN (SELECT p, o, count(*) AS n FROM t GROUP BY 1, 2) t '
		  . 'ON t.p = e.p AND t.o = e.o WHERE t.n IS DISTINCT FROM e.n ORDER BY 1, 2 LIMIT 20'),
	'',
	'no row is missing and none is double (partition|offset|expected|found)');
is(sql("SELECT count(*) FROM t WHERE id <> o * $partitions + p"), 0,
	'each row has the values of its message');
is(sql('SELECT DISTINCT next_offset FROM stream_ingest.offsets'),
	$sent / $partitions, 'next_offset is the end of each partition');
is(sql('SELECT messages = n AND applied = n AND inserted = n AND ignored = 0 AND gap_messages = 0 '
		  . 'FROM stream_ingest.counts, (SELECT count(*) AS n FROM t) t'),
	't', 'the counts are exact')
  or diag(sql('SELECT count(*) FROM t; TABLE stream_ingest.counts'));

# of several forward seeks from one place the last is recorded
my %gaps;
foreach my $p (0 .. $partitions - 1)
{
	foreach my $jump (@{ $jumps[$p] })
	{
		$gaps{"$p|$jump->[0]"} = $jump->[1] if $jump->[1] > $jump->[0];
	}
}
is( sql("SELECT string_agg(partition || '|' || from_offset || '|' || to_offset, ' ' "
		  . "ORDER BY partition, from_offset) FROM stream_ingest.gaps WHERE reason = 'seek'"),
	join(
		' ',
		map { "$_|$gaps{$_}" }
		  sort { (split /\|/, $a)[0] <=> (split /\|/, $b)[0] || (split /\|/, $a)[1] <=> (split /\|/, $b)[1] }
		  keys %gaps),
	'each forward seek has left its gap, and nothing else');
is(sql("SELECT count(*) FROM stream_ingest.gaps WHERE reason <> 'seek'"), 0, 'there is no other gap');

note(sprintf('%d rounds, %d messages, %d rows, %.0f s',
		$round, $sent, sql('SELECT count(*) FROM t'), time() - $began));
done_testing();
