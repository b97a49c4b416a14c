# pg_cancel_backend and pg_terminate_backend of launcher, scanner and workers, in
# whatever state they are: it costs seconds at most, of one subscription, and no
# message is lost or comes twice.
#
# SEED (printed) chooses what the storm at the end does; STREAM_INGEST_FULL=1 has it
# last for ten minutes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{SEED} // int(rand(1_000_000));
my $storm = $ENV{STREAM_INGEST_FULL} ? 600 : 4;

srand($seed);
note("SEED=$seed");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_prepared_transactions => 1 });
my %sent;

sub send_more
{
	my ($topic, $n) = @_;

	$kafka->produce($topic, count => $n, first => $sent{$topic} // 0, partition => 0);
	$sent{$topic} += $n;
	return;
}

sub pid_of
{
	my ($type) = @_;

	return "SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest $type'";
}

# Waits until a worker's process meets the condition, which may pass again; returns its
# process id.
sub worker_that
{
	my ($name, $condition) = @_;
	my $query = "SELECT s.pid FROM stream_ingest.status s JOIN pg_stat_activity a USING (pid) WHERE name = '$name' AND $condition";
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $pid;

	while (($pid = sql($query)) !~ /^\d+$/)
	{
		BAIL_OUT("no worker of $name: $condition") if time() > $limit;
		select(undef, undef, undef, 0.05);
	}
	return $pid;
}

sub all_arrived
{
	my ($name, $what) = @_;

	send_more($name, 10);
	ok(poll("SELECT count(*), count(DISTINCT id) FROM $name", "$sent{$name}|$sent{$name}"), $what);
	return;
}

# A worker that is in some state is cancelled, then terminated; what held it there
# ends after that.
sub end_worker
{
	my ($where, $condition, $release) = @_;
	my $pid = worker_that('one', $condition);
	my $began;

	sql("SELECT pg_cancel_backend($pid)");
	is(worker_that('one', 'true'), $pid, "$where: a cancel does not end the worker");
	$began = time();
	sql("SELECT pg_terminate_backend($pid)");
	ok(poll("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0), "$where: it ends when it is terminated");

	# five, if the broker does not answer
	cmp_ok(time() - $began, '<', 30, "$where: within seconds");
	$release->() if $release;
	all_arrived('one', "$where: another one continues, exactly once");
	return;
}

foreach my $name ('one', 'two')
{
	$kafka->create_topic($name, 1);
	sql(qq{CREATE TABLE $name (id bigint);
		SELECT stream_ingest.create_subscription('$name', 'kafka', '$name', '$name', options => '{"batch_size": 50}')});
	all_arrived($name, "$name is read");
}

# ---- the launcher

# Does a signal wait for the process to take it?  (Not if there is none any more.)
sub is_pending
{
	my ($pid, $number) = @_;
	my $status = eval { slurp_file("/proc/$pid/status") } // '';

	return scalar grep { hex($_) & 1 << $number - 1 } $status =~ /^(?:Sig|Shd)Pnd:\s*[0-9a-f]*([0-9a-f]{8})$/mg;
}

# A cancel ends nothing, neither while it waits nor at work. Each of its turns takes what was sent before, so one that
# had not borne the cancel could not start what was created after that.
my $launcher = sql(pid_of('launcher'));
my $since = "SELECT backend_start FROM pg_stat_activity WHERE pid = $launcher";
my $started = sql($since);
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
is(sql("SELECT pg_cancel_backend($launcher)"), 't', 'the launcher is cancelled');
select(undef, undef, undef, 0.01) while is_pending($launcher, 2) && time() < $limit;
$kafka->create_topic('three', 1);
sql(q{CREATE TABLE three (id bigint);
	SELECT stream_ingest.create_subscription('three', 'kafka', 'three', 'three')});
sql("SELECT pg_cancel_backend($launcher)") foreach 1 .. 10;
all_arrived('three', 'a subscription that was created after that is read');
is(sql(pid_of('launcher')), $launcher, 'and it was the same launcher that started it');
is(sql($since), $started, 'from the beginning');
sql(q{SELECT stream_ingest.drop_subscription('three')});

sql("SELECT pg_terminate_backend($launcher)");
ok(poll('SELECT count(*) FROM (' . pid_of('launcher') . ") l WHERE pid <> $launcher", 1), 'a launcher that is terminated comes back');
all_arrived($_, "and $_ continues") foreach 'one', 'two';

# ---- the scanner, which has to come for every change

my $scans = 0;
my $until = time() + 3;
while (time() < $until)
{
	my $action = $scans % 2 ? 'enable' : 'disable';

	sql(qq{SELECT stream_ingest.$action('two');
		DO \$\$
		BEGIN
			FOR i IN 1 .. 50 LOOP
				PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'stream_ingest scanner';
				PERFORM pg_sleep(0.002), pg_stat_clear_snapshot();
			END LOOP;
		END \$\$});
	$scans++;
}
sql("SELECT stream_ingest.enable('two')");
all_arrived($_, "$scans changes, whose scanners are terminated: $_ continues") foreach 'one', 'two';

# ---- workers, by where they are

end_worker('idle', "s.state = 'streaming'");

sql(q{
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
	CREATE TRIGGER slow BEFORE INSERT ON one FOR EACH ROW EXECUTE FUNCTION slow()});
send_more('one', 1);
end_worker('in a batch', "a.wait_event = 'PgSleep'", sub { sql('DROP TRIGGER slow ON one') });

sql("BEGIN; LOCK TABLE one; PREPARE TRANSACTION 'gate'");
send_more('one', 1);
end_worker('at a lock', "a.wait_event_type = 'Lock'", sub { sql("ROLLBACK PREPARED 'gate'") });

sql(q{
	CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '55P03'; END $$;
	CREATE TRIGGER busy BEFORE INSERT ON one FOR EACH ROW EXECUTE FUNCTION busy()});
send_more('one', 1);
end_worker('retrying', "s.state = 'retrying' AND s.retry_at > now() + interval '0.5 s'", sub { sql('DROP TRIGGER busy ON one') });

# the broker does not answer, and its connections stay open
$kafka->pause;
sql(q{SELECT stream_ingest.disable('one'); SELECT stream_ingest.enable('one')});
end_worker('connecting', "s.state IN ('connecting', 'retrying')", sub { $kafka->resume });
is(sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"), 0, 'no lock is left');

# ---- all of it at once

my $load = $kafka->produce_start('two', count => 50_000 * ($storm < 60 ? 1 : 20), first => $sent{two}, partition => 0);
$sent{two} += 50_000 * ($storm < 60 ? 1 : 20);
my $struck = 0;
$until = time() + $storm;
while (time() < $until)
{
	my $function = rand() < 0.5 ? 'pg_cancel_backend' : 'pg_terminate_backend';
	my $type = (qw(launcher scanner worker worker worker))[ rand(5) ];

	$struck += sql("SELECT count($function(pid)) FROM (" . pid_of($type) . ') p');
	sql(q{SELECT stream_ingest.alter_subscription('one', options => '{"batch_size": 60}')}) if rand() < 0.1;
	select(undef, undef, undef, rand(0.2));
}
StreamIngest::produce_wait($load);
all_arrived($_, "a storm of $struck: $_ continues, exactly once") foreach 'one', 'two';
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'nothing was taken for a bad message');
ok(poll('SELECT count(*) FROM (' . pid_of('worker') . ') w', 2), 'there are as many workers as before');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP/, 'no process has crashed');

done_testing();
