# An HTTP server of the tests' own that misbehaves as told: test/fake_*.py, which
# says what it can do.
#
#	my $double = HttpDouble->start('fake_registry.py', tls => [ $certificate, $key ],
#		files => { 'schemas.json' => '{}' });
#	$double->url; $double->behave('status 500'); my @lines = $double->requests;
#
# It ends with the test, however that ends.

package HttpDouble;

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Time::HiRes ();

my @pids;

# Starts one with these files beside its mode, which is "ok" unless they say otherwise.
sub start
{
	my ($class, $program, %arguments) = @_;
	my @tls = @{ $arguments{tls} // [] };
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir() }, $class;
	my %files = (mode => 'ok', %{ $arguments{files} // {} });
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $log = $self->path('log');

	$self->put($_, $files{$_}) foreach sort keys %files;
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<', '/dev/null' or die;
		open STDOUT, '>', $log or die;
		open STDERR, '>&', \*STDOUT or die;
		# nothing is written beside what a program imports
		$ENV{PYTHONDONTWRITEBYTECODE} = 1;
		exec 'python3', "$FindBin::RealBin/../$program", $self->{dir}, @tls or die;
	}
	push @pids, $pid;
	until (-e $self->path('port'))
	{
		die "$program does not start: " . slurp_file($log) if time() > $limit;
		Time::HiRes::sleep(0.02);
	}
	$self->{url} = (@tls ? 'https' : 'http') . '://127.0.0.1:' . slurp_file($self->path('port'));
	return $self;
}

END
{
	my $status = $?;

	kill 'KILL', @pids;
	waitpid $_, 0 foreach @pids;
	$? = $status;
}

sub url { return $_[0]{url}; }
sub path { return "$_[0]{dir}/$_[1]"; }

# Writes one of its files, in one step.
sub put
{
	my ($self, $name, $text) = @_;

	StreamIngest::replace_file($self->path($name), $text);
	return;
}

sub behave { $_[0]->put('mode', $_[1]); return; }

# The requests that it was sent, each a line.
sub requests
{
	my ($self) = @_;
	my $path = $self->path('requests');
	my @lines = -e $path ? split(/\n/, slurp_file($path)) : ();

	return @lines;
}

1;
