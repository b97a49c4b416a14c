# What a schema registry's answers take is bounded for a schema with all that it refers
# to, not only their texts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use HttpDouble;
use JSON::PP;
use StreamIngest qw(sql);
use Test::More;

my $node = StreamIngest::new_node('main');
my $record = '{"type":"record","name":"o","fields":[{"name":"id","type":"int"}]}';

sub reference { my ($name, %rest) = @_; return { name => $name, subject => $name, version => 1, %rest }; }

# A schema that refers to 12 others, each of which has so many bytes beside its text.
sub family
{
	my ($id, $bytes) = @_;
	my %schemas = ($id => { schema => $record, references => [ map { reference("s$id.$_") } 1 .. 12 ] });

	foreach my $i (1 .. 12)
	{
		$schemas{"s$id.$i/1"} = { schema => qq({"type":"enum","name":"e$i","symbols":["A"]}),
			references => [ reference('end', beside => 'x' x $bytes) ] };
	}
	return %schemas;
}

my $double = HttpDouble->start('fake_registry.py', files => { 'schemas.json' => encode_json({
	family(1, 500_000), family(2, 800_000), 'end/1' => { schema => '{"type":"enum","name":"end","symbols":["A"]}' } }) });

sql(qq{CREATE SERVER registry FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:1', schema_registry_url '@{[ $double->url ]}')});

sub decoded { return sql("SELECT fields, error FROM stream_ingest.decode('avro', '$_[0]', server => 'registry')"); }

is(decoded('\\x000000000154'), '{"id": 42}|', 'a schema with answers of 6 MB is of use');
is(decoded('\\x000000000254'), '|54000: schema 2 of the schema registry is too large with those that it refers to',
	'one with answers of 10 MB is not, although its texts are small');

done_testing();
