# Random tables, records and batch sizes: whatever a batch does at once must
# give the rows that its messages give one by one.
#
# The messages are applied a second time by a function in PL/pgSQL, a record
# after the other, with jsonb_populate_record() for the conversion; then the
# tables must be equal.  In insert mode they must equal what
# jsonb_populate_record() alone makes of the messages.  Where an index beside the
# key's can refuse a row, as many messages must be refused as one by one.
#
# SEED repeats a run, ROUNDS makes it longer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $seed = $ENV{SEED} // int(rand(2**31));
my $rounds = $ENV{ROUNDS} // 15;
my $messages = $ENV{MESSAGES} // 300;

srand($seed);
note("SEED=$seed");

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

$node->safe_psql('postgres', <<'SQL');
CREATE DOMAIN small AS int CHECK (value < 900);
CREATE TABLE message (round int, ord int, key jsonb, value jsonb, PRIMARY KEY (round, ord));

-- Apply the messages of a round one by one; returns how many were refused.
-- same_row: the condition that row t has the key of record r.  base: a row of the
-- defaults.  nulls: a missing field sets NULL, also in a row that is there.
CREATE FUNCTION one_by_one(number int, target regclass, same_row text, base text, version name,
    nulls boolean, OUT refused int) LANGUAGE plpgsql AS $$
DECLARE
    m message;
    names text;
    sets text;
    hits int;
BEGIN
    refused := 0;
    FOR m IN SELECT * FROM message WHERE round = number ORDER BY ord LOOP
        BEGIN
            IF m.value IS NULL THEN
                EXECUTE format('DELETE FROM %1$s t USING jsonb_populate_record(NULL::%1$s, $1) r WHERE %2$s',
                    target, same_row) USING m.key;
                CONTINUE;
            END IF;
            SELECT string_agg(quote_ident(attname), ', '),
                   string_agg(format('%1$I = r.%1$I', attname), ', ')
              INTO names, sets
              FROM pg_attribute
             WHERE attrelid = target AND attnum > 0 AND (nulls OR m.value ? attname::text);
            EXECUTE format('SELECT count(*) FROM %1$s t, jsonb_populate_record(%3$s::%1$s, $1) r WHERE %2$s',
                target, same_row, base) INTO hits USING m.value;
            IF hits = 0 THEN
                EXECUTE format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(%3$s::%1$s, $1) r',
                    target, names, base) USING m.value;
            ELSE
                EXECUTE format('UPDATE %1$s t SET %2$s FROM jsonb_populate_record(%4$s::%1$s, $1) r WHERE %3$s AND %5$s',
                    target, sets, same_row, base,
                    CASE WHEN version IS NULL THEN 'true'
                         ELSE format('(t.%1$I IS NULL OR (%2$L AND r.%1$I >= t.%1$I))', version,
                            nulls OR m.value ? version::text) END)
                    USING m.value;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            refused := refused + 1;
        END;
    END LOOP;
END $$;
SQL

sub pick { return $_[ int(rand(@_)) ]; }
sub chance { return rand() < $_[0]; }

# What a column of a type may hold, as JSON; some values are refused.
my %values = (
	'int' => sub { pick(0 .. 9) },
	'integer' => sub { pick(0 .. 60) },
	'bigint' => sub { pick(1, 2, '9007199254740993', '-5') },
	'small' => sub { pick(1, 2, 3, chance(0.1) ? 999 : 4) },
	'numeric' => sub { pick('1.0', '1.00', '2.5', '-0.001', '3') },
	'text' => sub { '"' . pick('a', 'b', 'x y', '\u00e9', '', 'A') . '"' },
	'boolean' => sub { pick('true', 'false') },
	'jsonb' => sub { pick('{"a": 1}', '[1, null]', '"s"', '7') },
	'int[]' => sub { pick('[]', '[1,2]', '[null]') },
	'date' => sub { '"2024-01-0' . pick(1 .. 3) . '"' },
	'uuid' => sub { '"00000000-0000-0000-0000-00000000000' . pick(1 .. 4) . '"' });
my %default = (
	'int' => '7', 'bigint' => '70', 'small' => '5', 'numeric' => '0.50', 'text' => "'d'",
	'boolean' => 'true', 'jsonb' => "'{}'", 'date' => "'2000-01-01'");

# The shapes of keys: columns, with their values and the index.
my @shapes = (
	{ columns => ['k int'], index => 'PRIMARY KEY (k)', values => ['int'] },
	{ columns => ['k text'], index => 'PRIMARY KEY (k)', values => ['text'] },
	{ columns => ['k numeric'], index => 'PRIMARY KEY (k)', values => ['numeric'] },
	{ columns => ['k uuid'], index => 'PRIMARY KEY (k)', values => ['uuid'] },
	{ columns => ['k int DEFAULT 3'], index => 'PRIMARY KEY (k)', values => ['int'], lacks => 1 },
	{ columns => ['k text COLLATE anycase'], index => 'PRIMARY KEY (k)', values => ['text'] },
	{ columns => [ 'k int', 'l text' ], index => 'PRIMARY KEY (l, k)', values => [ 'int', 'text' ] },
	{ columns => [ 'k int', 'l text' ], index => 'UNIQUE (k, l)', values => [ 'int', 'text' ], nulls => 1 },
	{ columns => ['k int'], index => 'UNIQUE NULLS NOT DISTINCT (k)', values => ['int'], nulls => 1, lacks => 1,
		equal => 't.%1$s IS NOT DISTINCT FROM r.%1$s' },
	{ columns => ['k text'], after => 'CREATE UNIQUE INDEX ON %s (k COLLATE anycase)', values => ['text'],
		equal => 't.%1$s = r.%1$s COLLATE anycase' },
	{ columns => ['k int'], index => 'PRIMARY KEY (k)', values => ['int'], partitions => 3 },

	# where another index has a say, what the rows of other keys are decides
	{ columns => ['k int'], index => 'PRIMARY KEY (k), UNIQUE (c0)', values => ['int'], other => 1 },
	{ columns => ['k text'], index => 'PRIMARY KEY (k), EXCLUDE (c0 WITH =)', values => ['text'], other => 1 },
	{ columns => ['k int DEFAULT 3'], index => 'PRIMARY KEY (k)', after => 'CREATE UNIQUE INDEX ON %s ((c0::text)) WHERE c0 IS NOT NULL',
		values => ['int'], lacks => 1, other => 1 },
	{ columns => ['k int'], index => 'PRIMARY KEY (k)', after => 'CREATE UNIQUE INDEX ON %s_1 (c0)', values => ['int'],
		partitions => 2, other => 1 });

# Keys that are equal by a collation, where the server has ICU.
if (check_pg_config('#define USE_ICU 1'))
{
	$node->safe_psql('postgres',
		"CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
}
else
{
	note('no ICU: no keys with a collation');
	@shapes = grep { "@{ $_->{columns} } " . ($_->{after} // '') !~ /anycase/ } @shapes;
}

# Make a table of this shape; returns the columns' names and types.
sub make_table
{
	my ($name, $shape, $columns) = @_;
	my @definitions = (@{ $shape->{columns} }, map { $_->{definition} } @$columns);
	my $sql;

	push @definitions, $shape->{index} if $shape->{index};
	$sql = "CREATE TABLE $name (" . join(', ', @definitions) . ')';
	$sql .= ' PARTITION BY HASH (k)' if $shape->{partitions};
	$sql .= ';';
	for my $i (1 .. $shape->{partitions} // 0)
	{
		$sql .= "CREATE TABLE ${name}_$i PARTITION OF $name FOR VALUES WITH (MODULUS $shape->{partitions}, REMAINDER "
		  . ($i - 1) . ');';
	}
	$sql .= sprintf($shape->{after}, $name) if $shape->{after};
	$node->safe_psql('postgres', $sql);
	return;
}

sub random_columns
{
	my ($shape) = @_;
	my @types = (shuffle(sort keys %values))[ 0 .. 1 + int(rand(4)) ];
	my @columns;

	# the second unique column has many values, or hardly a row gets in
	@types = ('integer', grep { $_ ne 'integer' } @types) if $shape->{other};

	foreach my $type (@types)
	{
		my $name = 'c' . @columns;
		my $column = { name => $name, type => $type, default => 'NULL' };

		$column->{definition} = "$name $type";
		if (defined $default{$type} && chance(0.5))
		{
			$column->{default} = $default{$type};
			$column->{definition} .= " DEFAULT $default{$type}";
		}
		$column->{definition} .= ' NOT NULL' if chance(0.3);
		$column->{definition} .= " CHECK ($name < 9)" if $type eq 'int' && chance(0.5);
		push @columns, $column;
	}
	return \@columns;
}

# A JSON object of names and values.
sub object
{
	my (@members) = @_;
	return '{' . join(', ', map { qq("$_->[0]": $_->[1]) } @members) . '}';
}

# A message: its Kafka key, the key as an object, its value (undef: tombstone).
sub random_message
{
	my ($shape, $columns, $partial) = @_;
	my @names = map { /^(\w+)/ } @{ $shape->{columns} };
	my @key;
	my @record;
	my $kafka_key;

	foreach my $i (0 .. $#names)
	{
		my $value = $values{ $shape->{values}[$i] }->();

		$value = 'null' if $shape->{nulls} && chance(0.1);
		push @key, [ $names[$i], $value ];
	}
	$kafka_key = object(@key);
	$kafka_key = $key[0][1] if @key == 1 && $key[0][1] ne 'null' && chance(0.5);
	return ($kafka_key, object(@key), undef) if chance(0.15);

	@record = $shape->{lacks} && chance(0.1) ? () : @key;
	foreach my $column (@$columns)
	{
		next if chance($partial);
		push @record, [ $column->{name}, chance(0.1) ? 'null' : $values{ $column->{type} }->() ];
	}

	# what no column takes does no harm, and a message must have something
	push @record, [ $columns->[0]{name}, 'null' ] unless @record;
	return ($kafka_key, object(@key), object(shuffle(@record), [ 'other', '1' ]));
}

sub round
{
	my ($round) = @_;
	my $shape = $shapes[ $round % @shapes ];
	my $columns = random_columns($shape);
	my @names = map { /^(\w+)/ } @{ $shape->{columns} };
	my ($version) = map { $_->{name} } grep { $_->{type} =~ /^(int|bigint|numeric|date)$/ } @$columns;
	my $missing = pick('default', 'default', 'null');
	my $batch = $shape->{other} ? pick(7, 30, 100) : pick(1, 2, 7, 30, 100, 1000);
	my $partial = pick(0, 0.1, 0.5);
	my $equal = $shape->{equal} // 't.%1$s = r.%1$s';
	my $found = join(' AND ', map { sprintf($equal, $_) } @names);
	my $base = 'ROW(' . join(', ', (map { /DEFAULT (\S+)/ ? $1 : 'NULL' } @{ $shape->{columns} }),
		map { $_->{default} } @$columns) . ')';
	my @lines;
	my @rows;
	my $refused;
	my $options;

	undef $version if chance(0.4);
	$base = 'NULL' if $missing eq 'null';
	make_table("one$round", $shape, $columns);
	make_table("many$round", $shape, $columns);
	$node->safe_psql('postgres', "CREATE TABLE plain$round ("
		. join(', ', map { s/ DEFAULT.*//r } @{ $shape->{columns} }, map { "$_->{name} $_->{type}" } @$columns) . ')');

	for my $i (1 .. $messages)
	{
		my ($kafka_key, $key, $value) = random_message($shape, $columns, $partial);

		push @lines, $kafka_key . '|' . ($value // '');
		push @rows, "($round, $i, '$key', " . (defined $value ? "'$value'" : 'NULL') . ')';
	}
	$kafka->create_topic("t$round", 1);
	$kafka->produce("t$round", \@lines, key_separator => '|', tombstones => 1, partition => 0);
	$node->safe_psql('postgres', 'INSERT INTO message VALUES ' . join(', ', @rows));

	$options = qq({"batch_size": $batch, "missing_fields": "$missing", "batch_interval": "100 ms", "breaker": 0)
	  . (defined $version ? qq(, "version_column": "$version") : '') . '}';
	note("round $round: @{ $shape->{columns} }; "
		  . join(', ', map { $_->{definition} } @$columns) . "; options $options");
	$node->safe_psql('postgres', <<SQL);
SELECT stream_ingest.create_subscription('s$round', 'kafka', 't$round', 'many$round', insert_mode => 'upsert',
    key_columns => '{@{[ join(',', @names) ]}}', options => '$options');
SELECT stream_ingest.create_subscription('p$round', 'kafka', 't$round', 'plain$round',
    options => '{"batch_size": $batch, "breaker": 0}');
SQL
	$refused = $node->safe_psql('postgres', "SELECT one_by_one($round, 'one$round', '$found', '@{[ $base =~ s/'/''/gr ]}', "
		. (defined $version ? "'$version'" : 'NULL') . ', ' . ($missing eq 'null' ? 'true' : 'false') . ')');

	foreach my $subscription ("s$round", "p$round")
	{
		ok(StreamIngest::poll_until($node, "SELECT messages FROM stream_ingest.counts WHERE name = '$subscription'", $messages),
			"round $round: all messages of $subscription are dealt with");
	}
	compare($round, $refused, defined $version ? 'true' : 'false', $shape->{other} ? '=' : '<=');

	# workers' slots are few
	$node->safe_psql('postgres',
		"SET client_min_messages = warning; SELECT stream_ingest.drop_subscription('s$round'), stream_ingest.drop_subscription('p$round')");
	return;
}

sub compare
{
	my ($round, $refused, $versions, $as_many) = @_;

	# (ON CONFLICT checks a row's constraints before it sees that the row is
	# older than the one that is there)
	my $difference = <<'SQL';
SELECT '%1$s: ' || t FROM (SELECT a::text FROM %1$s a EXCEPT ALL %3$s) x(t)
UNION ALL
SELECT '%2$s: ' || t FROM (%3$s EXCEPT ALL SELECT a::text FROM %1$s a) x(t) ORDER BY 1
SQL

	is($node->safe_psql('postgres', sprintf($difference, "many$round", "one by one", "SELECT b::text FROM one$round b")),
		'', "round $round: batches give what the messages give one by one");
	is( $node->safe_psql('postgres', sprintf($difference, "plain$round", 'expected', <<SQL)), '', "round $round: inserts give what jsonb_populate_record() gives");
SELECT populated(round, ord) FROM message WHERE round = $round AND value IS NOT NULL AND populated(round, ord) IS NOT NULL
SQL
	is( $node->safe_psql('postgres', <<SQL), 't|t', "round $round: the counts add up");
SELECT bool_and(messages = applied + ignored + dead_letters AND applied = inserted + updated + deleted + superseded),
       bool_and(dead_letters $as_many $refused OR $versions) FILTER (WHERE name = 's$round')
FROM stream_ingest.counts WHERE name IN ('s$round', 'p$round')
SQL
	return;
}

# the text of the row that the server makes of a message, NULL if it refuses
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION populated(round int, ord int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT r::text FROM message m, jsonb_populate_record(NULL::plain%s, m.value) r WHERE m.round = %s AND m.ord = %s',
        round, round, ord) INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
SQL

round($_) foreach 0 .. $rounds - 1;

done_testing();
