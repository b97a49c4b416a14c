# Certificates, made by openssl in a directory of the test's.
#
#	my $certificates = Certificates->new($dir);
#	$certificates->make_ca('ca');
#	$certificates->make('good', 'DNS:localhost,IP:127.0.0.1', '-days', 30);
#	$certificates->make('old', 'DNS:localhost', $certificates->expired);
#
# NAME.pem is the certificate and NAME.key its key; of those that the CA "ca" has
# signed, NAME.both.pem has both.

package Certificates;

use strict;
use warnings;

use PostgreSQL::Test::Utils;

sub new { return bless { dir => $_[1] }, $_[0]; }

sub _openssl
{
	run_log([ 'openssl', @_ ]) or die "openssl @_ failed";
	return;
}

sub make_ca
{
	my ($self, $name) = @_;

	_openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 30, '-subj', "/CN=$name",
		'-keyout', "$self->{dir}/$name.key", '-out', "$self->{dir}/$name.pem");
	return;
}

# The arguments for a validity that is over: newer versions refuse a negative number
# of days, and older ones know no other way.
sub expired
{
	return join(' ', run_command([ 'openssl', 'x509', '-help' ])) =~ /-not_after/
	  ? ('-not_before', '20200101000000Z', '-not_after', '20200102000000Z') : ('-days', -1);
}

# A certificate of the CA for these names, with this validity.
sub make
{
	my ($self, $name, $names, @validity) = @_;
	my $base = "$self->{dir}/$name";
	my $ca = "$self->{dir}/ca";

	append_to_file("$base.ext", "subjectAltName=$names\n");
	_openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name", '-keyout', "$base.key", '-out', "$base.csr");
	_openssl('x509', '-req', '-in', "$base.csr", '-CA', "$ca.pem", '-CAkey', "$ca.key",
		'-CAcreateserial', @validity, '-extfile', "$base.ext", '-out', "$base.pem");
	append_to_file("$base.both.pem", slurp_file("$base.key") . slurp_file("$base.pem"));
	return;
}

1;
