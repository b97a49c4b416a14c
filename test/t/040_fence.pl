# The fence: once a function that changes a subscription has returned, a worker
# that was started before applies nothing more, wherever it was held up.
#
# A worker is frozen (SIGSTOP) at a known place, the subscription is changed,
# and the worker set free.  The places:
#
#	idle			between transactions, with nothing to do
#	fetched			between transactions, with fetched messages
#	at the target	in its transaction, before its rows of progress are locked
#	in the batch	in its transaction, writing rows: what it has begun may
#					still commit, but then the function waits for it
#
# The launcher ends outdated workers after a second.  Half of the time it is
# frozen too, so that the worker set free has to find out for itself.  At the
# end some workers are frozen at any moment.
#
# Rows tell which process wrote them.  SEED chooses; STREAM_INGEST_FULL=1 goes
# through everything with and without the launcher, three times.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;
use Time::HiRes qw(time);

my $full = $ENV{STREAM_INGEST_FULL};
my $seed = $ENV{SEED} // int(rand(1_000_000));
my $partitions = 4;
my $limit = $PostgreSQL::Test::Utils::timeout_default;

srand($seed);
note("SEED=$seed");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { max_prepared_transactions => 5, deadlock_timeout => '100ms' });
my $sent = 0;
my @jumps = map { [] } 1 .. $partitions;    # per partition: [from, to]

sub send_some
{
	my ($n) = @_;

	$kafka->produce(
		't',
		count => $n * $partitions,
		first => $sent,
		round_robin => $partitions);
	$sent += $n * $partitions;
	return;
}

# ---- processes ----

sub process_state
{
	my ($pid) = @_;
	my $stat = eval { slurp_file("/proc/$pid/stat") } // return '';

	return $stat =~ /\) (\S)/ ? $1 : '';
}

sub wait_for
{
	my ($what, $condition) = @_;
	my $deadline = time() + $limit;

	until ($condition->())
	{
		BAIL_OUT("gave up waiting for: $what") if time() > $deadline;
		select(undef, undef, undef, 0.01);
	}
	return;
}

sub freeze
{
	my ($pid) = @_;

	StreamIngest::suspend($pid) or BAIL_OUT("no process $pid");
	return;
}

sub thaw
{
	my ($pid) = @_;

	kill('CONT', $pid) if process_state($pid) eq 'T';
	return;
}

# Freezes a process where it waits for an event of this type, as it does nearly all the
# time.  Anywhere else it might hold a lock of the server's memory, for which the others
# would wait until it is set free; then not even the question where it is has an answer.
sub freeze_waiting
{
	my ($pid, $type) = @_;
	my $deadline = time() + $limit;

	while (1)
	{
		freeze($pid);
		my $job = sql_start("SELECT 'waits' FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = '$type'");
		my $answered = returned($job, 5);

		return if $answered && $job->{out} =~ /waits/;
		thaw($pid);
		returned($job, $limit) or BAIL_OUT('the server does not answer') unless $answered;
		BAIL_OUT("process $pid never waits") if time() > $deadline;
		select(undef, undef, undef, 0.01);
	}
	return;
}

sub wait_for_end
{
	my ($pid) = @_;

	wait_for("process $pid to end", sub { process_state($pid) eq '' });
	return;
}

sub launcher_pid
{
	return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest launcher'");
}

# A session that runs some SQL while we do something else.
sub sql_start
{
	my ($sql) = @_;
	my $job = { out => '', err => '' };

	$job->{harness} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' application_name=change', '-c', $sql ],
		'<', \'', '>', \$job->{out}, '2>', \$job->{err});
	return $job;
}

# Has it returned within so many seconds?
sub returned
{
	my ($job, $seconds) = @_;
	my $deadline = time() + $seconds;

	while ($job->{harness}->pumpable)
	{
		return 0 if time() > $deadline;
		$job->{harness}->pump_nb;
		select(undef, undef, undef, 0.01);
	}
	IPC::Run::finish($job->{harness}) or die "psql failed: $job->{err}";
	return 1;
}

# ---- changes ----

# What has the process written so far?  Asked in the change's own transaction,
# so that nothing can slip in between.
sub written { return "SELECT 'written ' || count(*) FROM t WHERE pid = $_[0];"; }

my $turn = 0;
my %change = (
	disable => sub { return "SELECT stream_ingest.disable('s');"; },
	alter => sub {
		return sprintf(q{SELECT stream_ingest.alter_subscription('s', options => '{"batch_size": %d}');},
			100 + ++$turn);
	},
	seek => sub {
		my $p = int(rand($partitions));
		my $to = int(rand($sent / $partitions));

		return "SELECT stream_ingest.seek('s', $p, $to);"
		  . "SELECT 'jump $p ' || next_offset || ' $to' FROM stream_ingest.progress WHERE partition = $p;";
	},
	deal => sub {
		my $workers = 1 + (sql("SELECT settings->>'workers' FROM stream_ingest.subscriptions") % 3);

		return qq{SELECT stream_ingest.alter_subscription('s', options => '{"workers": $workers}');};
	});

sub transaction
{
	my ($change, $pid) = @_;

	return 'BEGIN; ' . $change->() . written($pid) . 'COMMIT';
}

# Remembers the jump of a seek; returns what the process had written.
sub outcome
{
	my ($job) = @_;

	push @{ $jumps[$1] }, [ $2, $3 ] if $job->{out} =~ /^jump (\d+) (\d+) (\d+)$/m;
	return $job->{out} =~ /^written (\d+)$/m ? $1 : die "no answer: $job->{out}";
}

# ---- places ----

# Locks of a transaction that needs no session.
sub close_gate
{
	my ($table) = @_;

	sql("BEGIN; LOCK TABLE $table; PREPARE TRANSACTION 'gate'");
	return;
}

sub wait_at_gate
{
	my ($table) = @_;

	StreamIngest::poll_until($node,
		"SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = '$table'::regclass")
	  or BAIL_OUT('no worker comes to the gate');
	return sql("SELECT pid FROM pg_locks WHERE NOT granted AND relation = '$table'::regclass LIMIT 1");
}

sub freeze_at_gate
{
	my ($table) = @_;

	close_gate($table);
	send_some(20);
	my $pid = wait_at_gate($table);
	freeze_waiting($pid, 'Lock');
	sql("ROLLBACK PREPARED 'gate'");
	return $pid;
}

sub random_worker
{
	return sql('SELECT pid FROM stream_ingest.status WHERE pid IS NOT NULL AND partitions > 0 '
		  . 'ORDER BY random() LIMIT 1');
}

my %place = (
	'idle' => sub {
		my $pid = random_worker();

		freeze_waiting($pid, 'Extension');
		return $pid;
	},
	'fetched' => sub {
		sql(q{SELECT stream_ingest.alter_subscription('s', options => '{"batch_interval": "5 s"}')});
		settle();
		my $pid = random_worker();
		my $sleeps = sleeps($pid);

		send_some(20);
		# it wakes up for nothing else
		wait_for('messages to be fetched', sub { sleeps($pid) > $sleeps });
		freeze_waiting($pid, 'Extension');
		return $pid;
	},
	'at the target' => sub { return freeze_at_gate('t'); },
	'in the batch' => sub { return freeze_at_gate('gate'); });

# How often a process's main thread has gone to sleep.
sub sleeps
{
	return slurp_file("/proc/$_[0]/task/$_[0]/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : 0;
}

# All is read, and every worker is there.
sub settle
{
	my $workers = "SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming' AND pid IS NOT NULL";

	StreamIngest::poll_until($node, "SELECT ($workers) = (settings->>'workers')::int FROM stream_ingest.subscriptions")
	  or BAIL_OUT('workers do not come back');
	is(sql("SELECT stream_ingest.wait_until_caught_up('s', '$limit s')"), 't', 'all is read')
	  or BAIL_OUT(sql('SELECT * FROM stream_ingest.status; SELECT * FROM stream_ingest.offsets'));
	return;
}

sub restore
{
	sql("SELECT stream_ingest.enable('s')");
	sql(q{SELECT stream_ingest.alter_subscription('s', options => '{"batch_interval": null}')});
	settle();
	return;
}

# ---- the test ----

sub try_fence
{
	my ($place, $change, $freeze_launcher) = @_;
	my $name = "$change, worker $place" . ($freeze_launcher ? ', no launcher' : '');
	my $pid = $place{$place}->();
	my $launcher = launcher_pid();
	my $job;

	freeze_waiting($launcher, 'Extension') if $freeze_launcher;
	$job = sql_start(transaction($change{$change}, $pid));
	if ($place eq 'in the batch')
	{
		ok( StreamIngest::poll_until(
				$node,
				"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'change' AND wait_event_type = 'Lock'",
				1),
			"$name: the change waits");
		thaw($pid);
	}
	ok(returned($job, $limit), "$name: the change returns");
	my $written = outcome($job);

	my $others = $freeze_launcher ? 0 : sql("SELECT count(*) FROM t WHERE pid <> $pid");

	send_some(20);
	if ($change eq 'deal' && !$freeze_launcher && process_state($pid) eq 'T'
		&& sql("SELECT settings->>'workers' FROM stream_ingest.subscriptions") > 1)
	{
		ok(StreamIngest::poll_until($node, "SELECT count(*) > $others FROM t WHERE pid <> $pid"),
			"$name: the others continue with what they were dealt");
	}
	thaw($pid);
	wait_for_end($pid);
	is(sql("SELECT count(*) FROM t WHERE pid = $pid"), $written, "$name: nothing was written after it");
	thaw($launcher);
	restore();
	return;
}

# The worker may hold any lock of the server: nothing is asked meanwhile.
sub try_any_moment
{
	my ($change) = @_;
	my $load = $kafka->produce_start(
		't',
		count => 5000 * $partitions,
		first => $sent,
		round_robin => $partitions);
	my $pid = random_worker();
	my $sql = transaction($change{$change}, $pid);

	$sent += 5000 * $partitions;
	select(undef, undef, undef, rand(0.3));
	StreamIngest::suspend($pid);
	my $job = sql_start($sql);
	my $waited = !returned($job, 1);
	thaw($pid);
	ok(returned($job, $limit),
		"$change at any moment: the change returns" . ($waited ? ' when the worker continues' : ''));
	my $written = outcome($job);

	StreamIngest::produce_wait($load);
	wait_for_end($pid);
	is(sql("SELECT count(*) FROM t WHERE pid = $pid"),
		$written, "$change at any moment: nothing was written after it");
	restore();
	return;
}

$kafka->create_topic('t', $partitions);
sql(q{
	CREATE TABLE gate ();
	CREATE TABLE t (p int NOT NULL, o bigint NOT NULL, id bigint NOT NULL, pid int DEFAULT pg_backend_pid());
	CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN LOCK TABLE gate IN ACCESS SHARE MODE; RETURN NULL; END';
	CREATE TRIGGER gate BEFORE INSERT ON t EXECUTE FUNCTION wait_at_gate();
	SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't',
		mapping => '{"id": "id", "p": "$partition", "o": "$offset"}',
		options => '{"batch_size": 100}')});
send_some(50);
settle();

my @cases;
foreach my $change (sort keys %change)
{
	foreach my $place (sort keys %place)
	{
		push @cases, $full
		  ? map { ([ $place, $change, 0 ], [ $place, $change, 1 ]) } 1 .. 3
		  : [ $place, $change, int(rand(2)) ];
	}
}
my $began = time();
foreach my $case (shuffle(@cases))
{
	try_fence(@$case);
}
note(sprintf('%.0f s for %d cases', time() - $began, scalar @cases));
foreach my $n (1 .. ($full ? 100 : 8))
{
	try_any_moment((sort keys %change)[ $n % keys %change ]);
}

# The change has been made and is not committed yet.
sub send_when_it_sleeps
{
	StreamIngest::poll_until($node,
		"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'change' AND wait_event = 'PgSleep'", 1);
	send_some(20);
	return;
}

# A change and then DDL in one transaction: the worker, which has come by in
# between, must not hold the table while it waits for the change.
my $job = sql_start(q{
	BEGIN;
	SELECT stream_ingest.disable('s');
	DO $$
	BEGIN
		-- by then it has looked for deadlocks, and will not do so again
		WHILE NOT EXISTS (SELECT FROM pg_locks WHERE clock_timestamp() - waitstart > '0.5 s') LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
	END $$;
	ALTER TABLE t ADD COLUMN more int;
	SELECT stream_ingest.enable('s');
	COMMIT});
send_when_it_sleeps();
ok(returned($job, $limit), 'a change and DDL in one transaction do not deadlock with a worker');
settle();

# The same, but the change is given up: the batch is applied after all.
my $pid = random_worker();
$job = sql_start(q{
	BEGIN;
	SELECT stream_ingest.disable('s');
	DO $$
	BEGIN
		WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted) LOOP
			PERFORM pg_sleep(0.02);
		END LOOP;
	END $$;
	ROLLBACK});
send_when_it_sleeps();
ok(returned($job, $limit), 'a change that is rolled back');
settle();
is(sql("SELECT count(*) FROM stream_ingest.status WHERE pid = $pid"), 1, 'leaves the worker at work');

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
note(sprintf('%.0f s, %d messages', time() - $began, $sent));
done_testing();
