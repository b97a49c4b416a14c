# Types of other extensions go through their input functions: PostGIS's
# geometry and geography, hll.  A bad value is a dead letter that names its
# column, whatever SQLSTATE the type gave it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $hll = '\\\\x128b7f8895a3f5af28cafe';

foreach my $extension ('postgis', 'hll')
{
	is($node->psql('postgres', "CREATE EXTENSION $extension"), 0, "$extension is installed");
}

$node->safe_psql('postgres', q{
	CREATE DOMAIN near AS geometry CHECK (ST_X(value) < 10);
	CREATE TABLE t (n bigint, g geometry, p geometry(Point, 4326), s geography, gs geometry[], d near, h hll, hs hll[]);
	CREATE INDEX ON t USING gist (g);
	CREATE TABLE c (LIKE t)});
$kafka->create_topic('json', 1);
$kafka->create_topic('csv', 1);
$kafka->produce('json', [
	'{"g": "POINT(1 2)", "p": "SRID=4326;POINT(8.5 50.1)", "s": "POINT(8.5 50.1)", "d": "POINT(9 0)"}',
	'{"g": "0101000000000000000000F03F0000000000000040", "gs": ["POINT(1 1)", null, "LINESTRING(0 0,1 1)"]}',
	'{"g": {"type": "Point", "coordinates": [3, 4]}}',
	qq({"h": "$hll", "hs": ["$hll"]}),
	'{"g": null, "h": null}',
	'{"g": "POINT(1)"}',
	'{"p": "LINESTRING(0 0,1 1)"}',
	'{"p": "SRID=3857;POINT(1 2)"}',
	'{"s": "nowhere"}',
	'{"gs": ["POINT(1 1)", "x"]}',
	'{"d": "POINT(11 0)"}',
	'{"h": "\\\\xff"}',
	'{"h": 1}' ], partition => 0);
(my $plain = $hll) =~ s/^\\//;
$kafka->produce('csv', [
	"POINT(1 2),,\"SRID=4326;POINT(8.5 50.1)\",,,$plain,",
	',,,"{POINT(1 1):LINESTRING(0 0,1 1)}",,,',
	'POINT(1,,,,,,' ], partition => 0);
foreach my $format ('json', 'csv')
{
	my ($table, $messages) = $format eq 'json' ? ('t', 13) : ('c', 3);

	$node->safe_psql('postgres', "SELECT stream_ingest.create_subscription('$format', 'kafka', '$format', '$table',
		format => '$format', mapping => '{\"n\": \"\$offset\"}')");
	ok(StreamIngest::poll_until($node,
			"SELECT messages FROM stream_ingest.counts WHERE name = '$format'", $messages), "all of $format is done");
}

my $columns = q{n, st_astext(g), st_asewkt(p), st_astext(s), st_astext(gs[3]), st_astext(d), hll_cardinality(h), hll_cardinality(hs[1])};
is($node->safe_psql('postgres', "SELECT $columns FROM t ORDER BY n"), join("\n",
	'0|POINT(1 2)|SRID=4326;POINT(8.5 50.1)|POINT(8.5 50.1)||POINT(9 0)||',
	'1|POINT(1 2)|||LINESTRING(0 0,1 1)|||',
	'2|POINT(3 4)||||||',
	'3||||||1|1',
	'4|||||||'), 'good values from json');
is($node->safe_psql('postgres', "SELECT n, st_astext(g), st_astext(s), st_astext(gs[2]), hll_cardinality(h) FROM c ORDER BY n"),
	"0|POINT(1 2)|POINT(8.5 50.1)||1\n1|||LINESTRING(0 0,1 1)|", 'and from csv');
is($node->safe_psql('postgres', q{SELECT string_agg(message_offset || ' ' || column_name, ', ' ORDER BY message_offset)
		FROM stream_ingest.dead_letters WHERE name = 'json'}),
	'5 g, 6 p, 7 p, 8 s, 9 gs, 10 d, 11 h, 12 h', 'bad values from json');
is($node->safe_psql('postgres', q{SELECT message_offset, column_name FROM stream_ingest.dead_letters WHERE name = 'csv'}),
	'2|g', 'and from csv');

$node->stop;
done_testing();
