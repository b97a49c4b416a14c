# Runs the examples of a page of the manual, in a database of its own, with the
# broker's address for localhost:9092.
#
# Blocks that begin with ```sql run are run; a block that begins with ```text
# output is what the last statement of the block before printed, as psql shows
# it.  Comments say what must be there before, and what must come of it:
#
#	<!-- test: topic NAME PARTITIONS -->	make a topic
#	<!-- test: produce TOPIC				send the lines that follow, as
#	...										messages in this order
#	-->
#	<!-- test: sql STATEMENTS -->			run them
#	<!-- test: role NAME -->				from here on statements run as this role
#	<!-- test: until SELECT ... -->			wait until it is true
#
# Used by 100_doc.pl and 101_cookbook.pl.

package ManualPage;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

# new(node => ..., kafka => ..., database => ...): the database is made.
sub new
{
	my ($class, %self) = @_;

	$self{node}->safe_psql('postgres', "CREATE DATABASE $self{database}");
	return bless { %self, printed => '' }, $class;
}

# Runs statements as psql would; returns what is wrong, or ''.
sub run_sql
{
	my ($self, $sql) = @_;
	my ($out, $err) = ('', '');
	my $bootstrap = $self->{kafka}->bootstrap;

	$sql =~ s/localhost:9092/$bootstrap/g;
	$sql = "SET ROLE $self->{role};\n$sql" if defined $self->{role};
	my $rc = $self->{node}->psql($self->{database}, $sql, stdout => \$out, stderr => \$err, on_error_stop => 1);
	$self->{printed} = $out;
	return $rc == 0 ? '' : "$sql\n$err";
}

# Waits until the query is true.
sub run_until
{
	my ($self, $sql) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
	my ($out, $err);

	while (time() < $deadline)
	{
		$out = $err = '';
		$self->{node}->psql($self->{database}, $sql, stdout => \$out, stderr => \$err);
		return '' if $out eq 't';
		select(undef, undef, undef, 0.05);
	}
	$self->{node}->psql($self->{database}, 'SELECT * FROM stream_ingest.status',
		stdout => \my $status, extra_params => ['-x']);
	return "gave up waiting for: $sql\nlast answer: $out\n$err\n$status";
}

# A table of the page, compared with what was printed last.
sub same_output
{
	my ($self, $table) = @_;
	my (undef, undef, @rows) = split /\n/, $table;
	my $expected = join("\n", map { join('|', map { s/^\s+|\s+$//gr } split /\|/, $_, -1) } grep { !/^\(\d+ rows?\)$/ } @rows);

	return $self->{printed} =~ /(?:\A|\n)\Q$expected\E\z/ ? '' : "the page shows\n$expected\nand it is\n$self->{printed}";
}

# One step of the page; returns what is wrong with it.
sub run_step
{
	my ($self, $verb, $text) = @_;

	return $self->run_sql($text) if $verb eq 'sql';
	return $self->run_until($text) if $verb eq 'until';
	return $self->same_output($text) if $verb eq 'output';
	if ($verb eq 'role')
	{
		$self->{role} = $text;
		return '';
	}
	if ($verb eq 'topic')
	{
		$self->{kafka}->create_topic(split ' ', $text);
		return '';
	}
	die "unknown step: $verb" unless $verb eq 'produce';
	my ($topic, @lines) = split /\n/, $text;
	$self->{kafka}->produce($topic, \@lines, partition => 0);
	return '';
}

# Runs all of a page; returns what is wrong, the number of steps, and how many
# statements the first block of SQL has.
sub run
{
	my ($self, $page) = @_;
	my ($nsteps, $nstatements) = (0, undef);

	while ($page =~ /^<!-- test: (\w+)\s(.*?)\s*-->$|^```(sql run|text output)\n(.*?)^```$/gms)
	{
		my ($verb, $text) = defined $3 ? ($3 eq 'sql run' ? 'sql' : 'output', $4) : ($1, $2);

		$nstatements //= () = $text =~ /;|\\gexec/g if defined $3;
		$nsteps++;
		my $wrong = $self->run_step($verb, $text);
		return ($wrong, $nsteps, $nstatements) if $wrong ne '';
	}
	return ('', $nsteps, $nstatements);
}

sub drop
{
	my ($self) = @_;

	$self->{node}->safe_psql('postgres', "DROP DATABASE $self->{database}");
	return;
}

1;
