# The examples reddit_posts, pinterest_pins, room_counts and payments on a real
# broker: what the tables hold is what the generator says, to the last value,
# after a quiet run and after one in which a worker was killed.
#
# A generator's first messages are the same however many are asked for, so the
# second half of a file continues the first.
#
# STREAM_INGEST_FULL=1 sends 200,000 messages for each example instead of
# 10,000; SEED chooses other messages.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql);
use Test::More;

my $full = $ENV{STREAM_INGEST_FULL};
my $half = $full ? 100_000 : 5_000;
my $seed = $ENV{SEED} // 1;
my $partitions = 3;
my $limit = $full ? 900 : $PostgreSQL::Test::Utils::timeout_default;

my $examples = "$FindBin::RealBin/../../examples";
my $tmp = $PostgreSQL::Test::Utils::tmp_check;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# run_file('reddit_posts/schema.sql', variable => value, ...): its output.
sub run_file
{
	my ($file, %variable) = @_;

	return $node->safe_psql('postgres', slurp_file("$examples/$file"),
		extra_params => [ map { ('-v', "$_=$variable{$_}") } sort keys %variable ]);
}

# The lines that a generator prints.
sub generate
{
	my ($example, @args) = @_;
	my ($out, $err);

	IPC::Run::run([ 'python3', "$examples/$example/generate.py", @args, $seed ],
		'<', \'', '>', \$out, '2>', \$err)
	  or die "generator of $example failed: $err";
	return split /\n/, $out;
}

sub await
{
	my ($when, @subscriptions) = @_;

	foreach my $name (@subscriptions)
	{
		is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"),
			't', "$when: $name has read all")
		  or diag(sql('TABLE stream_ingest.status'));
	}
	return;
}

# Makes writers to the table wait; returns a function that ends that.
sub lock_table
{
	my ($table) = @_;
	my ($in, $out, $err) = ("BEGIN; LOCK TABLE $table IN SHARE MODE;\n", '', '');
	my $session =
	  IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);

	$session->pump_nb;

	# when the server has gone down psql may have ended by itself, and its pipe
	# with it
	return sub { eval { $session->kill_kill; }; };
}

# Makes clients of the broker wait; returns a function that ends that.
sub freeze_broker
{
	$kafka->pause;
	return sub { $kafka->resume; };
}

# Kills a worker in the middle of a batch, when it has part of the messages.
# What hold() does must let it wait there.
sub kill_on_the_way
{
	my ($name, $count, $hold) = @_;
	my $messages = "SELECT messages FROM stream_ingest.counts WHERE name = '$name'";

	StreamIngest::poll_until($node, "SELECT ($messages) > " . ($half + $half / 50))
	  or BAIL_OUT("$name does not get on");
	my $pid = StreamIngest::worker_pid($node, $name);
	my $release = $hold->();
	ok(StreamIngest::poll_until($node,
			"SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND backend_xid IS NOT NULL "
			  . "AND xact_start < clock_timestamp() - interval '0.5 s'",
			1),
		"$name: is in the middle of a batch");
	my $before = sql($messages);
	kill('KILL', $pid);
	my $is_gone =
	  StreamIngest::poll_until($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0);
	$release->();
	$is_gone or BAIL_OUT('the worker cannot be killed');
	StreamIngest::poll_until($node, 'SELECT 1', 1) or BAIL_OUT('the server does not come back');
	cmp_ok($before, '<', $count, "$name: killed on the way, with $before messages");
	return;
}

# The counts of the subscriptions after so many messages.
sub counts_are
{
	my ($when, $count, @subscriptions) = @_;

	foreach my $name (@subscriptions)
	{
		is(sql("SELECT messages, applied, ignored, dead_letters, gap_messages "
				  . "FROM stream_ingest.counts WHERE name = '$name'"),
			"$count|$count|0|0|0", "$when: the counts of $name are exact");
	}
	return;
}

# run_example('reddit_posts', topic => ..., subscriptions => [...],
#   variables => {...}, hold => sub {...}, before_result => sub {...},
#   after_quiet => sub {...}, uncounted => {name => 1})
#
# The first half of the messages is there when the subscriptions are created;
# of the second one a worker of the first subscription is killed.
sub run_example
{
	my ($example, %opt) = @_;
	my $count = 2 * $half;
	my @subscriptions = @{ $opt{subscriptions} };
	my @counted = grep { !$opt{uncounted}{$_} } @subscriptions;
	my @messages = generate($example, $count);
	my $halves = [ [ @messages[ 0 .. $half - 1 ] ], [ @messages[ $half .. $count - 1 ] ] ];
	my $killed = $subscriptions[0];

	note("$example: $count messages, seed $seed");
	$kafka->create_topic($opt{topic}, $partitions);
	run_file("$example/schema.sql");
	is($kafka->produce($opt{topic}, $halves->[0], round_robin => $partitions),
		$half, "$example: the first half is in the topic");
	run_file("$example/subscription.sql", bootstrap => $kafka->bootstrap, %{ $opt{variables} });
	await($example, @subscriptions);
	$opt{before_result}->() if $opt{before_result};
	is(run_file("$example/result.sql"), join("\n", generate($example, '--expected', $half)),
		"$example: the tables hold what was sent");
	counts_are($example, $half, @subscriptions);
	$opt{after_quiet}->() if $opt{after_quiet};

	# small batches, slowly, so that there is something on the way for a while
	my $rate = $half / 50;
	sql("SELECT stream_ingest.alter_subscription('$killed', "
		  . "options => '{\"rate_limit\": $rate, \"batch_size\": 100}')");
	is($kafka->produce($opt{topic}, $halves->[1], round_robin => $partitions),
		$half, "$example: the second half is in the topic");
	kill_on_the_way($killed, $count, $opt{hold});
	sql("SELECT stream_ingest.alter_subscription('$killed', options => '{\"rate_limit\": null, \"batch_size\": null}')");
	await("$example, killed", @subscriptions);
	$opt{before_result}->() if $opt{before_result};
	is(run_file("$example/result.sql"), join("\n", generate($example, '--expected', $count)),
		"$example, killed: the tables hold what was sent");
	counts_are("$example, killed", $count, @counted);
	return @messages;
}

# The role that owns a subscription is no superuser.
sub owners_are_ordinary
{
	is(sql('SELECT string_agg(DISTINCT rolname, \' \' ORDER BY rolname), bool_or(rolsuper) '
			  . 'FROM stream_ingest.subscriptions JOIN pg_roles ON rolname = owner::name'),
		'payments pinterest reddit rooms|f', 'the owners are no superusers');
	return;
}

# ---- reddit_posts ----

run_example(
	'reddit_posts',
	topic => 'reddit-posts',
	variables => { topic => 'reddit-posts' },
	subscriptions => [ 'subreddit_counts', 'reddit_posts' ],
	hold => sub { return lock_table('reddit.subreddit_counts'); });

# ---- pinterest_pins ----

# The daily job; twice, since doing a day again must change nothing.
sub clean_all_days
{
	my $days = sql("SELECT DISTINCT (received_at AT TIME ZONE 'UTC')::date FROM pinterest.raw_pins");

	foreach my $day (split /\n/, $days)
	{
		run_file('pinterest_pins/clean_day.sql', day => $day) foreach 1 .. 2;
	}
	return;
}

run_example(
	'pinterest_pins',
	topic => 'Pinterest_data',
	variables => { topic => 'Pinterest_data' },
	subscriptions => [ 'experimental_streaming', 'raw_pins' ],
	hold => sub { return lock_table('pinterest.experimental_streaming'); },
	before_result => \&clean_all_days);
is(sql('SELECT count(*) FROM pinterest.raw_pins_default'), 0, 'pinterest_pins: every message is in its day');

# ---- room_counts ----

my @observations = run_example(
	'room_counts',
	topic => 'rooms-v1',
	variables => { topic => 'rooms-v1' },
	subscriptions => [ 'reckoning', 'coldstorage' ],
	hold => sub { return lock_table('rooms.room_counts'); });
is(sql('SELECT count(*) FROM rooms.coldstorage_default'), 0, 'room_counts: every message is in its day');

my @exported =
  map { split /\n/, run_file('room_counts/export.sql', day => sprintf('2024-02-%02d', $_)) } 5 .. 11;
foreach my $line (@exported)
{
	# a field of CSV
	$line =~ s/""/"/g if $line =~ s/^"(.*)"$/$1/;
}
is(join("\n", sort @exported), join("\n", sort @observations),
	'room_counts: the files have the messages as they were sent');

# ---- payments ----

# The ids in the second topic, as often as they are there.
sub processed_ids
{
	my ($out, $err);

	IPC::Run::run(
		[ 'kcat', '-b', $kafka->bootstrap, '-t', 'incoming_payment_processed',
			'-C', '-e', '-q', '-o', 'beginning', '-f', '%k\n' ],
		'<', \'', '>', \$out, '2>', \$err)
	  or die "kcat failed: $err";
	return split /\n/, $out;
}

$kafka->create_topic('incoming_payment_processed', $partitions);
run_example(
	'payments',
	topic => 'incoming_payment_received',
	variables => {
		received_topic => 'incoming_payment_received',
		processed_topic => 'incoming_payment_processed'
	},
	subscriptions => [ 'payments_received', 'payments_processed' ],
	# what the broker has not acknowledged when the worker dies it takes later
	hold => \&freeze_broker,
	# so after a crash there may be more of them
	uncounted => { payments_processed => 1 },
	after_quiet => sub {
		is(join(' ', sort(processed_ids())), join(' ', sort(generate('payments', '--ids', $half))),
			'payments: each was told once');
	});

my @ids = processed_ids();
my %told = map { $_ => 1 } @ids;
is(join(' ', sort keys %told), join(' ', sort(generate('payments', '--ids', 2 * $half))),
	'payments, killed: each was told');
note(@ids - 2 * $half, ' of them were told again after the crash');
counts_are('payments, killed', scalar(@ids), 'payments_processed');

owners_are_ordinary();
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'there are no dead letters');

done_testing();
