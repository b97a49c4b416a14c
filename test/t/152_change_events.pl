# Random histories as Maxwell and Oracle GoldenGate write them, with keys that
# change: whatever a batch does at once must give the rows that the events give
# one by one, which are computed here.
#
# MESSAGES is how many events each history has (3,000), SEED chooses them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $messages = $ENV{MESSAGES} // 3000;
my $seed = $ENV{SEED} // int(rand(1_000_000));
my $limit = $PostgreSQL::Test::Utils::timeout_default;

srand($seed);
note("SEED=$seed MESSAGES=$messages");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_worker_processes => 40 });

sub chance { return rand() < $_[0]; }

sub object
{
	my ($row) = @_;
	return '{' . join(', ', map { qq("$_": $row->{$_}) } sort keys %$row) . '}';
}

# Values as JSON: texts of digits are not equal to each other where numbers are.
sub random_key { return (a => int(rand(25)), b => '"' . ('x', 'y')[ rand(2) ] . '"'); }
sub random_row { return (n => chance(0.1) ? 'null' : int(rand(1000)), s => chance(0.1) ? 'null' : '"s' . int(rand(1000)) . '"'); }
sub key_of { my ($row) = @_; return "$row->{a}|$row->{b}"; }

# A random change: what it is, the old row, the new row, the columns that changed.
sub change
{
	my ($rows) = @_;
	my %key = random_key();
	my %new = (%key, random_row());
	my %old = (%{ $rows->{ key_of(\%key) } // { %key, random_row() } });
	my $kind = rand();

	return { kind => 'delete', old => \%old } if $kind < 0.15;
	return { kind => 'insert', new => \%new } if $kind < 0.3;
	if ($kind < 0.6)
	{
		my %other = random_key();

		# often only one of the key's columns changes
		$other{b} = $key{b} if chance(0.5);
		@new{ keys %other } = values %other;
	}
	$new{n} = $old{n} if chance(0.3);
	return { kind => 'update', old => \%old, new => \%new };
}

# How the sources write a change, and the columns that the event sets.
my %write = (
	maxwell => sub {
		my ($change) = @_;
		my ($old, $new) = @$change{qw(old new)};
		my %changed = map { $_ => $old->{$_} } grep { $new && $old && $old->{$_} ne $new->{$_} } keys %{ $old // {} };

		return sprintf('{"database": "d", "table": "t", "type": "%s", "ts": 1, "data": %s%s}',
			$change->{kind} eq 'insert' && chance(0.2) ? 'bootstrap-insert' : $change->{kind},
			object($new // $old), $change->{kind} eq 'update' ? ', "old": ' . object(\%changed) : '');
	},
	goldengate => sub {
		my ($change) = @_;
		my ($old, $new) = @$change{qw(old new)};
		my $op = { insert => 'I', update => 'U', delete => 'D' }->{ $change->{kind} };
		my %before = %{ $old // {} };
		my %after = %{ $new // {} };

		# an update may have only the columns that changed, but for one of the key
		if ($op eq 'U' && key_of($old) eq key_of($new) && chance(0.7))
		{
			my ($lacks, $style) = (('n', 's')[ rand(2) ], rand());

			delete $new->{$lacks};
			delete @after{ 'a', 'b' } if chance(0.2);
			delete $after{$lacks};
			@after{ $lacks, "${lacks}_isMissing" } = ('null', 'true') if $style < 0.5;
			delete $before{$lacks};
		}
		elsif ($op eq 'U' && chance(0.3))
		{
			# what has not changed is in the old row only; a copy may lack that row
			my @same = grep { $old->{$_} eq $new->{$_} } keys %after;

			delete @after{@same};
			delete @$new{ grep { $_ eq 'n' || $_ eq 's' } @same } if key_of($old) eq key_of($new);
		}
		delete @before{ 'n', 's' } if $op eq 'D' && chance(0.5);
		return '{' . join(', ', qq("table": "S.T", "op_type": "$op"), %before ? '"before": ' . object(\%before) : (),
			$new ? '"after": ' . object(\%after) : ()) . '}';
	});

# A history, and what a copy is after it.
sub history
{
	my ($source) = @_;
	my (%rows, @lines, $effects, $logged);

	$effects = $logged = 0;
	while (@lines < $messages)
	{
		my $change = change(\%rows);
		my $line = $write{$source}->($change);
		my ($old, $new) = @$change{qw(old new)};

		push @lines, $line;
		$logged++ if $new;
		$effects++ if $new || $rows{ key_of($old) };
		delete $rows{ key_of($old) } if $old && (!$new || key_of($old) ne key_of($new));
		next unless $new;
		my $row = $rows{ key_of($new) } //= { n => 7, s => '"none"' };
		@$row{ keys %$new } = values %$new;
	}
	return { lines => \@lines, effects => $effects, logged => $logged,
		rows => [ sort map { join('|', @$_{qw(a b n s)}) =~ s/null|"//gr } values %rows ] };
}

my %history = map { $_ => history($_) } sort keys %write;

foreach my $source (sort keys %history)
{
	$kafka->create_topic($source, 1);
	is($kafka->produce($source, $history{$source}{lines}, partition => 0), $messages, "$source: the history is in its topic");
}

# Each history into tables whose keys are alone, and have an index beside them.
foreach my $ahead ('off', 'on')
{
	$node->append_conf('postgresql.conf', "stream_ingest.decode_ahead = $ahead\nstream_ingest.direct_write = $ahead");
	$node->reload;
	ok(poll('SHOW stream_ingest.decode_ahead', $ahead), "decode_ahead is $ahead");
	my %copies;

	foreach my $source (sort keys %history)
	{
		foreach my $size ($ahead eq 'on' ? (1000, 100_000) : (1, 7, 100))
		{
			foreach my $alone (0, 1)
			{
				my $name = join('_', $source, $ahead, $size, $alone ? 'alone' : 'beside');

				$copies{$name} = [ $source, $size ];
				sql("CREATE TABLE $name (a int, b text, n int DEFAULT 7, s text DEFAULT 'none', o bigint, PRIMARY KEY (b, a))");
				sql("CREATE UNIQUE INDEX ON $name (o)") unless $alone;
				sql("SELECT stream_ingest.create_subscription('$name', 'kafka', '$source', '$name', insert_mode => 'upsert', "
					  . "mapping => '{\"o\": \"\$offset\"}', options => '{\"envelope\": \"$source\", \"batch_size\": $size}')");
			}
		}
		sql("CREATE TABLE log_${source}_$ahead (a int, b text, o bigint, op text)");
		sql("SELECT stream_ingest.create_subscription('log_${source}_$ahead', 'kafka', '$source', 'log_${source}_$ahead', "
			  . "mapping => '{\"o\": \"\$offset\", \"op\": \"\$op\"}', options => '{\"envelope\": \"$source\"}')");
	}
	foreach my $name (sort keys %copies)
	{
		my ($source, $size) = @{ $copies{$name} };

		is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"), 't', "$name: all is read")
		  or diag(sql("TABLE stream_ingest.status"));
		is(sql("SELECT messages, applied + ignored, dead_letters FROM stream_ingest.counts WHERE name = '$name'"),
			"$messages|$messages|0", "$name: the counts")
		  or diag(sql("SELECT sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = '$name' LIMIT 5"));
		is(sql("SELECT applied BETWEEN $history{$source}{logged} AND messages FROM stream_ingest.counts WHERE name = '$name'"),
			't', "$name: each write counts, and no message twice");
		is(sql("SELECT applied FROM stream_ingest.counts WHERE name = '$name'"), $history{$source}{effects},
			"$name: a message that changes a key counts once") if $size == 1;
		is(join("\n", sort split(/\n/, sql("SELECT a, b, n, s FROM $name"))), join("\n", @{ $history{$source}{rows} }),
			"$name: every row is the model's");
		sql("SELECT stream_ingest.drop_subscription('$name')");
	}
	foreach my $source (sort keys %history)
	{
		my $name = "log_${source}_$ahead";

		is(sql("SELECT stream_ingest.wait_until_caught_up('$name', '$limit s')"), 't', "$name: all is read");
		is(sql("SELECT count(*), count(DISTINCT o) FROM $name"), "$history{$source}{logged}|$history{$source}{logged}",
			"$name: each write is a row");
		sql("SELECT stream_ingest.drop_subscription('$name')");
	}
}
foreach my $source (sort keys %history)
{
	is(sql("SELECT count(*) FROM ((TABLE log_${source}_on EXCEPT ALL TABLE log_${source}_off) UNION ALL "
			  . "(TABLE log_${source}_off EXCEPT ALL TABLE log_${source}_on)) AS d"), 0, "$source: both paths wrote the same rows");
}

done_testing();
