# The JSON decoder's verdict on the cases of test/json_cases.py, among them the
# public JSONTestSuite: y_ accepted, n_ refused, and for all of them the same
# as the server's own types say, but for the known differences below.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');

$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'stream_ingest'\nmax_stack_depth = '4MB'");
$node->start;

my $cases = $node->basedir . '/json_cases';
system_or_bail('python3', "$FindBin::RealBin/../json_cases.py", $cases);

$node->safe_psql('postgres', q{
	CREATE EXTENSION stream_ingest;
	CREATE FUNCTION server_says(type text, document bytea) RETURNS text LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('SELECT convert_from($1, ''UTF8'')::%s', type) USING document;
		RETURN 'accepted';
	EXCEPTION WHEN OTHERS THEN
		RETURN 'refused';
	END $$;});

my @rows = split /\n/, $node->safe_psql('postgres', qq{
	SELECT name, coalesce(left(error, 5), 'accepted'), server_says('json', document), server_says('jsonb', document)
	FROM pg_ls_dir('$cases') AS name, pg_read_binary_file('$cases/' || name) AS document,
		stream_ingest.decode('json', document)
	ORDER BY name COLLATE "C"});
cmp_ok(scalar @rows, '>=', 318 + 500, 'all cases came');

my %differences;
foreach my $row (@rows)
{
	my ($name, $ours, $json, $jsonb) = split /\|/, $row;
	my $verdict = $ours eq 'accepted' ? 'accepted' : 'refused';

	# no jsonb, which decode() gives, can hold a NUL escape; type json keeps it
	my $nul = $ours eq '22P05' && $jsonb eq 'refused';

	if ($name =~ /^y_/)
	{
		ok($verdict eq 'accepted' || $nul, "$name: $ours");
	}
	elsif ($name =~ /^n_/)
	{
		is($verdict, 'refused', "$name: $ours");
	}
	next if $verdict eq $json;

	my $reason = 'none';
	if ($nul)
	{
		$reason = 'NUL escape';
	}
	# jsonb holds numbers as numeric; type json keeps their text
	elsif ($ours eq '22003' && $jsonb eq 'refused' && $name =~ /^i_number/)
	{
		$reason = 'number beyond numeric';
	}
	# type json does not resolve escapes
	elsif ($ours eq '22P02' && $jsonb eq 'refused' && $name =~ /^i_.*surrogate/)
	{
		$reason = 'half of a surrogate pair';
	}
	# RFC 8259 lets a parser skip it; the server's does not
	elsif ($verdict eq 'accepted' && $name =~ /^i_(mark|structure_UTF-8_BOM|utf8)/)
	{
		$reason = 'byte order mark';
	}
	# at most 1,000 levels; the server's limit is its stack
	elsif ($ours eq '54001' && $name =~ /^i_depth/)
	{
		$reason = 'depth';
	}
	else
	{
		diag("$name: decode() $ours, json $json, jsonb $jsonb");
	}
	$differences{$reason}++;
}
is_deeply(\%differences,
	{ 'NUL escape' => 4, 'number beyond numeric' => 4, 'half of a surrogate pair' => 20, 'depth' => 2, 'byte order mark' => 4 },
	'the verdicts are the server\'s, but for the known differences');

done_testing();
