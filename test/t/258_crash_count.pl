# Which crashes stop a subscription: five of its own workers in a row.  A worker that
# is killed, as by the kernel when memory is short, counts; a crash of another
# process does not.  A server that another program starts again after a crash
# counts on.  enable() begins a new count.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $worker = "SELECT pid FROM stream_ingest.status WHERE name = 's' AND pid IS NOT NULL";
my $checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
my $sent = 0;

# Kills the process that the statement finds; returns its process id.
sub kill_process
{
	my ($query) = @_;

	poll("SELECT count(*) FROM ($query) q", 1) or BAIL_OUT("no process: $query");
	my $pid = sql($query);
	kill('KILL', $pid);
	return $pid;
}

# The same, and waits until the server has noticed, and is back: until then the process
# is still among its own, and sessions can be ended.
sub crash_by
{
	my ($query) = @_;
	my $pid = kill_process($query);

	poll("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0) or BAIL_OUT('the server does not come back');
	return;
}

sub comes_back
{
	poll("SELECT state FROM stream_ingest.status WHERE name = 's'", 'streaming') or BAIL_OUT('no worker');
	return;
}

# Starts the server again as the program does that watches over it.
sub start_again
{
	my $file = $node->data_dir . '/postmaster.pid';
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	until (!-e $file)
	{
		BAIL_OUT('the server does not end') if time() > $deadline;
		select(undef, undef, undef, 0.05);
	}
	$node->stop('fast', fail_ok => 1);
	$node->start;
	return;
}

sub all_arrived
{
	my ($what) = @_;

	$kafka->produce('t', count => 10, first => $sent);
	$sent += 10;
	ok(poll('SELECT count(*), count(DISTINCT id) FROM t', "$sent|$sent"), $what);
	return;
}

$kafka->create_topic('t', 1);
sql(q{CREATE TABLE t (id bigint); SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't')});
all_arrived('messages are applied');

crash_by($worker);
comes_back();
crash_by($checkpointer) foreach 1 .. 2;
comes_back();
all_arrived('after a crash of its worker and two of another process');
foreach my $round (2, 3)
{
	crash_by($worker);
	comes_back();
}
all_arrived('and three of its worker');

sql('ALTER SYSTEM SET restart_after_crash = off');
sql('SELECT pg_reload_conf()');
poll('SHOW restart_after_crash', 'off');
kill_process($worker);
start_again();
sql('ALTER SYSTEM RESET restart_after_crash');
sql('SELECT pg_reload_conf()');
poll('SHOW restart_after_crash', 'on');
comes_back();
all_arrived('after the fourth, when another program starts the server');
crash_by($worker);
ok( poll("SELECT state, split_part(reason, ';', 1) FROM stream_ingest.status WHERE name = 's'",
		'stopped|its worker has crashed the server 5 times in a row'),
	'the fifth stops it');

sql("SELECT stream_ingest.enable('s')");
all_arrived('enable() resumes it, and begins a new count');

# ---- a file of counts that is damaged

$node->stop;
my $file = $node->data_dir . '/pg_stat_tmp/stream_ingest.crashes';
ok(-s $file, 'the counts are in a file');
open(my $fh, '+<', $file) or die $!;
seek($fh, 20, 0);
print $fh 'damaged';
close $fh;
$node->start;
all_arrived('a damaged file of counts counts as none');
crash_by($worker);
comes_back();
all_arrived('and is written again');
done_testing();
