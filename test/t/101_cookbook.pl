# The recipes of doc/cookbook: every statement runs, and prints what the page
# shows.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use ManualPage;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my @files = sort glob("$FindBin::RealBin/../../doc/cookbook/*.md");
cmp_ok(scalar @files, '>', 2, 'there are recipes');

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main');
$node->safe_psql('postgres', 'DROP EXTENSION stream_ingest');

foreach my $file (@files)
{
	my ($name) = $file =~ m{([^/]+)\.md$};
	my $page = ManualPage->new(node => $node, kafka => $kafka, database => lc "recipes_$name");
	my ($wrong, $nsteps) = $page->run(slurp_file($file));

	is($wrong, '', "$name: $nsteps steps");
	$page->drop;
}

done_testing();
