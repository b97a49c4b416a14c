# Types of other extensions go through their input functions: those of
# PostgreSQL's contrib modules, and with STREAM_INGEST_FULL=1 PostGIS's geometry
# and geography, and hll.  A bad value is a dead letter that names its column,
# whatever SQLSTATE the type gave it.

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

sub create_extensions
{
	foreach my $extension (@_)
	{
		is($node->psql('postgres', "CREATE EXTENSION $extension"), 0, "$extension is installed");
	}
	return;
}

# read_topic('json', 't', 'json', \@messages): into the table, whose column n
# gets the offset.
sub read_topic
{
	my ($topic, $table, $format, $messages) = @_;

	$kafka->create_topic($topic, 1);
	$kafka->produce($topic, $messages, partition => 0);
	$node->safe_psql('postgres', "SELECT stream_ingest.create_subscription('$topic', 'kafka', '$topic', '$table',
		format => '$format', mapping => '{\"n\": \"\$offset\"}')");
	ok(StreamIngest::poll_until($node,
			"SELECT messages FROM stream_ingest.counts WHERE name = '$topic'", scalar @$messages), "all of $topic is done");
	return;
}

# What became of bad messages: their offsets, columns and SQLSTATEs.
sub dead_letters
{
	my ($topic) = @_;

	return $node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', message_offset, column_name), ', ' ORDER BY message_offset)
		FROM stream_ingest.dead_letters WHERE name = '$topic'");
}

# ---- contrib

create_extensions('hstore', 'citext', 'ltree', 'cube', 'isn');
$node->safe_psql('postgres', q{
	CREATE DOMAIN near AS cube CHECK (cube_ur_coord(VALUE, 1) < 10);
	CREATE TABLE t (n bigint, h hstore, c citext UNIQUE, l ltree, ls ltree[], d near, i isbn13);
	CREATE INDEX ON t USING gist (l);
	CREATE TABLE c (LIKE t)});
read_topic('json', 't', 'json', [
	'{"h": "a=>1, \"b c\"=>NULL", "c": "Ada", "l": "top.science", "d": "(9, 0)", "i": "978-0-393-04002-9"}',
	'{"ls": ["a.b", null, "c"], "d": "(1,2),(3,4)"}',
	'{"c": 12.50, "l": "x", "i": null}',
	'{"h": null}',
	'{"h": "a=>"}',
	'{"h": {"a": 1}}',
	'{"l": "a..b"}',
	'{"ls": ["a.b", "a b"]}',
	'{"d": "(1,"}',
	'{"d": "(11)"}',
	'{"i": "978-0-393-04002-8"}',
	'{"c": "ADA"}' ]);
read_topic('csv', 'c', 'csv', [
	'"a=>1",Ada,top.science,,"(9, 0)",978-0-393-04002-9',
	',,,"{a.b,c}",,',
	'a=>,,,,,' ]);
is($node->safe_psql('postgres', "SELECT n, h -> 'a', h ? 'b c', c = 'ada', subpath(l, 0, 1), ls[3], d, i, c FROM t ORDER BY n"), join("\n",
	'0|1|t|t|top||(9, 0)|978-0-393-04002-9|Ada',
	'1|||||c|(1, 2),(3, 4)||',
	'2|||f|x||||12.50',
	'3||||||||'), 'contrib: good values from json');
is($node->safe_psql('postgres', "SELECT n, h -> 'a', c, l, ls[2], d, i FROM c ORDER BY n"),
	"0|1|Ada|top.science||(9, 0)|978-0-393-04002-9\n1||||c||", 'and from csv');
is(dead_letters('json'), '4 h, 5 h, 6 l, 7 ls, 8 d, 9 d, 10 i, 11', 'bad values from json');
is(dead_letters('csv'), '2 h', 'and from csv');
cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT sqlstate) FROM stream_ingest.dead_letters'), '>', 3,
	'of several SQLSTATEs');

# ---- PostGIS and hll

sub postgis_and_hll
{
	my $hll = '\\\\x128b7f8895a3f5af28cafe';

	create_extensions('postgis', 'hll');
	$node->safe_psql('postgres', q{
		CREATE DOMAIN nearby AS geometry CHECK (ST_X(value) < 10);
		CREATE TABLE tp (n bigint, g geometry, p geometry(Point, 4326), s geography, gs geometry[], d nearby, h hll, hs hll[]);
		CREATE INDEX ON tp USING gist (g);
		CREATE TABLE cp (LIKE tp)});
	read_topic('postgis_json', 'tp', 'json', [
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
		'{"h": 1}' ]);
	(my $plain = $hll) =~ s/^\\//;
	read_topic('postgis_csv', 'cp', 'csv', [
		"POINT(1 2),,\"SRID=4326;POINT(8.5 50.1)\",,,$plain,",
		',,,"{POINT(1 1):LINESTRING(0 0,1 1)}",,,',
		'POINT(1,,,,,,' ]);
	is($node->safe_psql('postgres', q{SELECT n, st_astext(g), st_asewkt(p), st_astext(s), st_astext(gs[3]), st_astext(d),
			hll_cardinality(h), hll_cardinality(hs[1]) FROM tp ORDER BY n}), join("\n",
		'0|POINT(1 2)|SRID=4326;POINT(8.5 50.1)|POINT(8.5 50.1)||POINT(9 0)||',
		'1|POINT(1 2)|||LINESTRING(0 0,1 1)|||',
		'2|POINT(3 4)||||||',
		'3||||||1|1',
		'4|||||||'), 'PostGIS and hll: good values from json');
	is($node->safe_psql('postgres',
			'SELECT n, st_astext(g), st_astext(s), st_astext(gs[2]), hll_cardinality(h) FROM cp ORDER BY n'),
		"0|POINT(1 2)|POINT(8.5 50.1)||1\n1|||LINESTRING(0 0,1 1)|", 'and from csv');
	is(dead_letters('postgis_json'), '5 g, 6 p, 7 p, 8 s, 9 gs, 10 d, 11 h, 12 h', 'bad values from json');
	is(dead_letters('postgis_csv'), '2 g', 'and from csv');
	return;
}

postgis_and_hll() if $ENV{STREAM_INGEST_FULL};

$node->stop;
done_testing();
