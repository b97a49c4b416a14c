# A broker that says what it likes: control characters, bytes that are no text,
# tens of kilobytes.  It speaks as much of Kafka's protocol as it takes to be
# listened to, in the oldest versions.
#
#	my $broker = EvilBroker::start(words => "\xff\e[31m", sasl => 1);
#	... $broker->bootstrap ...
#
# With sasl it refuses every password with its words; else it has one topic
# of the given name, with one empty partition, in a cluster named with its
# words, and a second topic of that name.  With words_file its words are those of a
# file, and it drops its connections when these change.  It ends with the test.

package EvilBroker;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;

my @pids;

sub start
{
	my (%opt) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 20)
	  or die "could not listen: $!";
	my $self = bless { %opt, port => $listener->sockport, topic => $opt{topic} // 't' }, __PACKAGE__;
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		$SIG{CHLD} = 'IGNORE';
		while (1)
		{
			my $connection = $listener->accept or next;
			next if fork();
			$self->_serve($connection);
			require POSIX;
			POSIX::_exit(0);
		}
	}
	push @pids, $pid;
	return $self;
}

sub bootstrap { my ($self) = @_; return "127.0.0.1:$self->{port}"; }

sub _string { my ($text) = @_; return pack('s> a*', length $text, $text); }

sub _read
{
	my ($connection, $size) = @_;
	my $data = '';

	while (length $data < $size)
	{
		return unless sysread($connection, $data, $size - length $data, length $data);
	}
	return $data;
}

# Wait for a request; false once the words have changed.
sub _wait
{
	my ($self, $connection) = @_;

	return 1 unless $self->{words_file};
	$self->{words} //= slurp_file($self->{words_file});
	until (IO::Select->new($connection)->can_read(0.1))
	{
		return 0 if slurp_file($self->{words_file}) ne $self->{words};
	}
	return 1;
}

sub _serve
{
	my ($self, $connection) = @_;

	while ($self->_wait($connection) && defined(my $size = _read($connection, 4)))
	{
		my $request = _read($connection, unpack('N', $size)) // return;
		my ($api, $version, $id) = unpack('n n N', $request);
		my $client = unpack('s>', substr($request, 8, 2));
		my $arguments = substr($request, 10 + ($client > 0 ? $client : 0));
		my $body = $self->_answer($api, $version, $arguments) // next;

		syswrite($connection, pack('N N a*', 4 + length $body, $id, $body));
	}
	return;
}

sub _answer
{
	my ($self, $api, $version, $arguments) = @_;

	return $self->_api_versions($version) if $api == 18;
	return pack('n N', 0, 1) . _string('PLAIN') if $api == 17;
	return pack('n', 58) . _string($self->{words}) . pack('N', 0) if $api == 36;
	return $self->_metadata(unpack('l>', $arguments)) if $api == 3;
	return $self->_offsets if $api == 2;
	return;
}

sub _api_versions
{
	my ($self, $version) = @_;
	my %most = (1 => 4, 2 => 1, 3 => 2, 10 => 0, 17 => 1, 18 => 0, 36 => 0);

	return pack('n N n n n', 35, 1, 18, 0, 0) if $version > 0;
	return pack('n N', 0, scalar keys %most) . join('', map { pack('n n n', $_, $_ == 1 ? 4 : 0, $most{$_}) } sort keys %most);
}

# version 2; who asks for no topic by name gets both
sub _metadata
{
	my ($self, $asked) = @_;
	my $partition = pack('n N N N N N N', 0, 0, 1, 1, 1, 1, 1);
	my @names = ($self->{topic}, $asked > 0 ? () : substr($self->{words}, 0, 200));
	my @topics = map { pack('n', 0) . _string($_) . pack('C N', 0, 1) . $partition } @names;

	return
		pack('N N', 1, 1) . _string('127.0.0.1') . pack('N s>', $self->{port}, -1)
	  . _string(substr($self->{words}, 0, 200))
	  . pack('N N', 1, scalar @topics)
	  . join('', @topics);
}

# version 1: nothing was ever there
sub _offsets
{
	my ($self) = @_;

	return pack('N', 1) . _string($self->{topic}) . pack('N N n q> q>', 1, 0, 0, -1, 0);
}

END
{
	my $status = $?;

	kill('KILL', @pids);
	waitpid($_, 0) foreach @pids;
	$? = $status;
}

1;
