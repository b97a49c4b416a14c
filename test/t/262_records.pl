# Several records in one message (option "records"): a message's records are all
# applied or none, in their order, whatever the mode, the write path and the size
# of batches, and whenever the server crashes.
#
# Random messages, of which some have a record at fault, are read by subscriptions
# of every mode; what they must give is computed here.  The good records are also
# sent one per message, and must give the same tables.
#
# MESSAGES says how many there are (1,500), SEED chooses them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(usleep);

my $messages = $ENV{MESSAGES} // 1500;
my $seed = $ENV{SEED} // int(rand(1_000_000));

srand($seed);
note("SEED=$seed MESSAGES=$messages");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_worker_processes => 40 });

# A record: its fields, whether they have their types, and whether the constraint
# that all targets but "upserted" have is fulfilled, too.  (An upsert does not write,
# and so not check, a record that a later one replaces.)
sub record
{
	my $id = 1 + int(rand($messages));
	my %record = (id => $id);
	my $n = rand() < 0.98 ? int(rand(1000)) : (-1, '"seven"')[ rand(2) ];

	$record{typed} = $n ne '"seven"';
	$record{good} = $record{typed} && $n >= 0;
	$record{n} = $n if rand() < 0.8 || !$record{good};
	$record{s} = 's' . int(rand(1000)) if rand() < 0.8;
	$record{text} = sprintf('{"id": %d%s%s}', $id, exists $record{n} ? qq(, "n": $n) : '',
		exists $record{s} ? qq(, "s": "$record{s}") : '');
	return \%record;
}

# A message: its records, how they are written, and whether that is right.
sub message
{
	my @records = map { record() } 1 .. rand() < 0.02 ? 1 + rand(400) : rand(8);
	my @texts = map { $_->{text} } @records;
	my $good = !grep { !$_->{good} } @records;
	my $typed = !grep { !$_->{typed} } @records;

	if (rand() < 0.03)
	{
		splice(@texts, rand(@texts + 1), 0, ('8', 'nonsense', '{"id": "x"}', '{}')[ rand(4) ]);
		$good = $typed = 0;
	}
	return { records => \@records, typed => $typed, text => '[' . join(rand() < 0.5 ? ',' : ' , ', @texts) . ']', good => $good };
}

my @all = map { message() } 1 .. $messages;
my @good = grep { $_->{good} } @all;
my @typed = grep { $_->{typed} } @all;
my %sent = (
	several => \@all,
	single => [ map { @{ $_->{records} } } @good ],
	single_upserted => [ map { @{ $_->{records} } } @typed ]);

# What the modes make of them: rows "id|n|s", by table.
my (%upserted, %first, %unique, @inserted, @unique);
foreach my $message (@good)
{
	my %own;
	my $taken = 0;

	foreach my $record (@{ $message->{records} })
	{
		my $row = join('|', $record->{id}, $record->{n} // '', $record->{s} // '');

		push @inserted, $row;
		$first{ $record->{id} } //= $row;
		$taken ||= $unique{ $record->{id} } || $own{ $record->{id} };
		$own{ $record->{id} } = $row;
	}
	next if $taken;
	%unique = (%unique, %own);
	push @unique, values %own;
}
foreach my $record (@{ $sent{single_upserted} })
{
	$upserted{ $record->{id} }{$_} = $record->{$_} foreach grep { exists $record->{$_} } qw(n s);
	$upserted{ $record->{id} } //= {};
}

my %expected = (
	inserted => [ sort @inserted ],
	stated => [ sort @inserted ],
	applied => [ sort @inserted ],
	partitioned => [ sort @inserted ],
	unique_ids => [ sort @unique ],
	upserted => [ sort map { join('|', $_, $upserted{$_}{n} // '', $upserted{$_}{s} // '') } keys %upserted ],
	ignored => [ sort values %first ]);

my $columns = 'id int NOT NULL, n int CHECK (n >= 0), s text';
my %tables = (
	inserted => "($columns, o bigint, r int, written bigserial)",
	stated => "($columns, o bigint, r int)",
	applied => "($columns, o bigint, r int)",
	partitioned => "($columns, o bigint, r int) PARTITION BY HASH (id)",
	unique_ids => "($columns, o bigint, r int, UNIQUE (id))",
	upserted => "(id int PRIMARY KEY, n int, s text, o bigint, r int)",
	ignored => "($columns, o bigint, r int, PRIMARY KEY (id))");

foreach my $topic (sort keys %sent)
{
	$kafka->create_topic($topic, 1);
	$kafka->produce($topic, [ map { $_->{text} } @{ $sent{$topic} } ], partition => 0);
}

sub topic_of
{
	my ($schema, $table) = @_;

	return $schema eq 'single' && $table eq 'upserted' ? 'single_upserted' : $schema;
}

sub create
{
	my ($schema, $topic, $table, $options, $more) = @_;
	my $target = $table eq 'applied' ? '' : "'$schema.$table',";

	sql("SELECT stream_ingest.create_subscription('${schema}_$table', 'kafka', '$topic', $target
		mapping => '{\"o\": \"\$offset\", \"r\": \"\$record\"}', options => '{$options, \"breaker\": 0}' $more)");
	return;
}

foreach my $schema ('several', 'single')
{
	my $records = $schema eq 'several' ? '"records": "$", ' : '';

	sql("CREATE SCHEMA $schema");
	sql("CREATE TABLE $schema.$_ $tables{$_}") foreach sort keys %tables;
	sql("CREATE TABLE $schema.part_$_ PARTITION OF $schema.partitioned FOR VALUES WITH (MODULUS 3, REMAINDER $_)") foreach 0 .. 2;
	foreach my $table (sort keys %tables)
	{
		next if $schema eq 'single' && $table eq 'unique_ids';
		my $size = $records . '"batch_size": ' . (10 + int(rand(600)));
		my $mode = $table eq 'upserted' ? ", insert_mode => 'upsert'" : $table eq 'ignored' ? ", insert_mode => 'ignore'" : '';

		# three seconds, in which the server crashes
		$size .= ', "rate_limit": ' . int(@{ $sent{ topic_of($schema, $table) } } / 3);
		$size .= ', "filter": "id > 0"' if $table eq 'stated';
		$size .= ', "run_as_owner": true' if $table eq 'applied';
		$mode = ", fields => 'id int, n int, s text, r int, o bigint', apply =>
			'INSERT INTO $schema.applied SELECT id, n, s, o, r FROM batch'" if $table eq 'applied';
		create($schema, topic_of($schema, $table), $table, $size, $mode);
	}
}

# Crashes while they read: of a worker, and of all.
foreach my $round (1 .. 3)
{
	usleep(int(rand(400_000)));
	if ($round == 2)
	{
		StreamIngest::crash($node);
		$node->start;
	}
	else
	{
		my $pid = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' ORDER BY random() LIMIT 1");

		kill 'KILL', $pid if $pid ne '';

		# until it has noticed, the process is still among its own
		ok(poll('SELECT count(*) FROM pg_stat_activity WHERE pid = ' . ($pid || 0), 0), 'the server is back');
	}
}

foreach my $schema ('several', 'single')
{
	foreach my $table (sort keys %tables)
	{
		my $name = "${schema}_$table";
		my $n = scalar(@{ $sent{ topic_of($schema, $table) } });

		next if $schema eq 'single' && $table eq 'unique_ids';
		ok(poll("SELECT messages FROM stream_ingest.counts WHERE name = '$name'", $n), "$name has read all");
		is(sql("SELECT concat_ws('|', id, coalesce(n::text, ''), coalesce(s, '')) AS row FROM $schema.$table ORDER BY 1"),
			join("\n", @{ $expected{$table} }), "$name has the rows of the good messages");
		is(sql("SELECT messages = applied + ignored + dead_letters FROM stream_ingest.counts WHERE name = '$name'"),
			't', "$name counts every message once");
	}
}

# each message as a whole, with its records numbered
foreach my $table (grep { $_ ne 'unique_ids' } sort keys %tables)
{
	my $dead = join(',', grep { !$all[$_]{ $table eq 'upserted' ? 'typed' : 'good' } } 0 .. $#all);

	is(sql("SELECT string_agg(message_offset::text, ',' ORDER BY message_offset) FROM stream_ingest.dead_letters WHERE name = 'several_$table'"),
		$dead, "several_$table refuses the bad messages");

	# at which row a statement of apply was is not known
	is( sql("SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'several_$table'
			AND detail !~ '^Record [0-9]+ of the message' AND NOT (name ~ 'applied' AND sqlstate = '23514')"),
		0, "several_$table names the record");
}
foreach my $table ('inserted', 'stated', 'applied', 'partitioned', 'unique_ids')
{
	is(sql("SELECT count(*) FROM (SELECT FROM several.$table GROUP BY o HAVING min(r) <> 1 OR max(r) <> count(*) OR count(DISTINCT r) <> count(*)) AS t"),
		0, "$table has whole messages");
}

# not by ctid: a row may take the place of one that a crash has rolled back
is(sql('SELECT count(*) FROM (SELECT (o, r) < lag((o, r)) OVER (ORDER BY written) AS back FROM several.inserted) AS t WHERE back'),
	0, 'rows are written in the order of the records');
ok(poll("SELECT write_path FROM stream_ingest.status WHERE name = 'several_inserted'", 'direct'), 'inserted goes by the direct path');
ok( poll("SELECT write_path FROM stream_ingest.status WHERE name = 'several_stated' AND state = 'streaming'", 'statement'),
	'stated does not');

done_testing();
