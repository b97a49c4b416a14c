# A Kerberos KDC of MIT's, of a test's own: its realm, database and port lie below the
# test's directory, and it ends with the test, however that ends.
#
#	my $kdc = Kdc->start;
#	$kdc->add('app', '-maxlife', '10 seconds'); $kdc->keytab('app');    # its file
#	$kdc->stop; $kdc->resume; $kdc->suspend; $kdc->issued('app', 'krbtgt');
#
# What uses it needs the environment KRB5_CONFIG, which start() sets.

package Kdc;

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use StreamIngest;
use Time::HiRes ();

my @pids;

# An ordinary user's path may lack it.
sub _program { return (grep { -x } map { "$_/$_[0]" } qw(/usr/sbin /usr/local/sbin /usr/bin /usr/local/bin))[0] // die "no $_[0]"; }

sub start
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { dir => $dir, realm => 'EXAMPLE.TEST', port => StreamIngest::free_port() }, $class;

	append_to_file("$dir/krb5.conf", <<"EOT");
[libdefaults]
	default_realm = $self->{realm}
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
[realms]
	$self->{realm} = {
		kdc = 127.0.0.1:$self->{port}
	}
[logging]
	kdc = FILE:$dir/kdc.log
	default = FILE:$dir/kdc.log
EOT
	append_to_file("$dir/kdc.conf", <<"EOT");
[kdcdefaults]
	kdc_listen = 127.0.0.1:$self->{port}
	kdc_tcp_listen = 127.0.0.1:$self->{port}
[realms]
	$self->{realm} = {
		database_name = $dir/principal
		acl_file = $dir/acl
		key_stash_file = $dir/stash
		max_life = 1h
	}
EOT
	$ENV{KRB5_CONFIG} = "$dir/krb5.conf";
	$ENV{KRB5_KDC_PROFILE} = "$dir/kdc.conf";
	run_log([ _program('kdb5_util'), 'create', '-s', '-r', $self->{realm}, '-P', 'master' ]) or die 'kdb5_util failed';
	$self->resume;
	return $self;
}

# Starts it, or lets a suspended one continue; returns when it answers.
sub resume
{
	my ($self) = @_;
	my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;

	if ($self->{suspended})
	{
		kill 'CONT', $self->{pid};
		$self->{suspended} = 0;
		return;
	}
	$self->{pid} = fork() // die "could not fork: $!";
	if ($self->{pid} == 0)
	{
		open STDIN, '<', '/dev/null' or die;
		open STDOUT, '>>', $self->path('output') or die;
		open STDERR, '>&', \*STDOUT or die;
		exec _program('krb5kdc'), '-n', '-r', $self->{realm}, '-P', $self->path('pid') or die;
	}
	push @pids, $self->{pid};
	until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}))
	{
		die 'the KDC does not start: ' . slurp_file($self->path('output')) if time() > $limit;
		Time::HiRes::sleep(0.02);
	}
	return;
}

sub stop
{
	my ($self) = @_;

	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# From now on it takes requests, and does not answer.
sub suspend
{
	my ($self) = @_;

	StreamIngest::suspend($self->{pid}) or die 'no KDC';
	$self->{suspended} = 1;
	return;
}

sub path { return "$_[0]{dir}/$_[1]"; }
sub principal { return "$_[1]\@$_[0]{realm}"; }

sub _kadmin
{
	my ($self, $query) = @_;
	my ($out, $err) = run_command([ _program('kadmin.local'), '-r', $self->{realm}, '-q', $query ]);

	die "$query: $out$err" if $err =~ /while|error/i;
	return $out;
}

# Adds a principal with a random key, and these options of addprinc.
sub add
{
	my ($self, $name, @options) = @_;

	$self->_kadmin("addprinc -randkey @{[ map { / / ? qq(\"$_\") : $_ } @options ]} $name");
	return;
}

# Writes a principal's keys to its keytab, which is returned; they remain as they are.
sub keytab
{
	my ($self, $name) = @_;
	my $file = $self->path(($name =~ s{/}{_}gr) . '.keytab');

	unlink $file;
	$self->_kadmin("ktadd -norandkey -k $file $name");
	return $file;
}

# Gives a principal another key: its keytab is of no use until it is written again.
sub change_key { my ($self, $name) = @_; $self->_kadmin("cpw -randkey $name"); return; }

# How many tickets a principal was given for a service, by the beginning of its name.
sub issued
{
	my ($self, $name, $service) = @_;
	my $log = slurp_file($self->path('kdc.log'));

	return scalar(() = $log =~ /: ISSUE: [^\n]* \Q$name\E\@\S+ for \Q$service\E/g);
}

END
{
	my $status = $?;

	kill 'KILL', @pids;
	waitpid $_, 0 foreach @pids;
	$? = $status;
}

1;
