# Columns for the fields of new schemas (unknown_fields = add_columns): their names and
# types, before the first message of the schema, once by whatever number of workers; behind
# a lock, through a crash, without the right to alter the target, and up to the limits.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use HttpDouble;
use JSON::PP;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { max_worker_processes => 40 });
my $json = JSON::PP->new->canonical;
my $add = '"unknown_fields": "add_columns"';

# ---- messages and schemas ----

# An Avro schema of a record with these fields, behind the field "id".
sub avro
{
	my (@fields) = @_;

	return { type => 'record', name => 'r', fields =>
		  [ { name => 'id', type => 'long' }, map { { name => $_->[0], type => $_->[1] } } @fields ] };
}

# A number in Avro's notation, in hexadecimal.
sub number
{
	my ($n) = @_;
	my $hex = '';

	for ($n *= 2; $n >= 128; $n >>= 7)
	{
		$hex .= sprintf('%02x', $n & 127 | 128);
	}
	return $hex . sprintf('%02x', $n);
}

# A message of the schema with that id, whose record begins with its own id.
sub framed
{
	my ($schema, $id, $rest) = @_;

	return sprintf('00%08x', $schema) . number($id) . ($rest // '');
}

# JSON as Kafka Connect wraps it: a schema of these fields, and a payload.
sub wrapped
{
	my ($fields, $payload) = @_;
	my @described = map { { field => $_->[0], type => $_->[1], optional => JSON::PP::true, ($_->[2] ? (name => $_->[2]) : ()) } } @$fields;

	return '{"schema":' . $json->encode({ type => 'struct', fields => \@described }) . ',"payload":' . $json->encode($payload) . '}';
}

sub produce
{
	my ($topic, @messages) = @_;
	my %opt = ref $messages[-1] ? %{ pop @messages } : ();

	$kafka->produce($topic, \@messages, partition => 0, %opt);
	return;
}

sub produce_hex { my ($topic, @hex) = @_; produce($topic, @hex, { hex => 1 }); return; }

# ---- subscriptions ----

# A subscription to a topic of its own; what it is given beside the option goes by name.
sub subscribe
{
	my ($name, $format, $options, %opt) = @_;
	my $mapping = $opt{mapping} ? "'$opt{mapping}'" : 'NULL';
	my $columns = $opt{columns} // 'id bigint';
	my $enabled = $opt{enabled} // 'true';
	my $options_text = $json->encode({ unknown_fields => 'add_columns', %$options });

	$kafka->create_topic($name, $opt{partitions} // 1);
	sql("CREATE TABLE $name ($columns)") unless $opt{target_made};
	sql(qq{SELECT stream_ingest.create_subscription('$name', 'kafka', '$name', '$name', format => '$format',
			mapping => $mapping, options => \$o\$$options_text\$o\$, enabled => $enabled)});
	return;
}

# The columns of a table behind "id", as names and types.
sub columns
{
	my ($table) = @_;

	return sql("SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull OR atthasdef THEN '!' ELSE '' END,
			', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '$table'::regclass AND attnum > 1 AND NOT attisdropped");
}

sub rows { my ($table) = @_; return sql("SELECT string_agg(t::text, ' ' ORDER BY id) FROM $table t"); }

sub arrives
{
	my ($table, $count, $name) = @_;

	ok(poll("SELECT count(*) FROM $table", $count), $name // "$table: the messages arrive");
	return;
}

sub dead_letters
{
	my ($name) = @_;

	return sql("SELECT string_agg(message_offset || ' ' || sqlstate || ' ' || error || coalesce(' ' || detail, ''), E'\\n' ORDER BY message_offset)
		FROM stream_ingest.dead_letters WHERE name = '$name'");
}

# Waits for so many dead letters.
sub refuses
{
	my ($name, $count, $what) = @_;

	ok(poll("SELECT count(*) FROM stream_ingest.dead_letters WHERE name = '$name'", $count), $what);
	return;
}

sub added { my ($name) = @_; return sql("SELECT added_columns FROM stream_ingest.subscription WHERE name = '$name'"); }
sub drop { my ($name) = @_; sql("SELECT stream_ingest.drop_subscription('$name'); DROP TABLE $name"); return; }

# A session that keeps a lock on a table which readers take, and its process.
sub hold
{
	my ($table) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe("BEGIN; SELECT count(*) FROM $table;");
	return ($session, $session->query_safe('SELECT pg_backend_pid()'));
}

# ---- Avro ----

my $decimal = { type => 'bytes', logicalType => 'decimal', precision => 12, scale => 2 };
my %avro_schemas = (
	1 => avro(),
	2 => avro([ name => 'string' ], [ amount => [ 'null', $decimal ] ], [ tags => { type => 'array', items => 'string' } ]),
	3 => avro([ name => 'string' ], [ at => { type => 'long', logicalType => 'timestamp-millis' } ], [ part => { %{ avro() }, name => 'p' } ]));

subscribe('a_types', 'avro', { schemas => \%avro_schemas });
produce_hex('a_types', framed(1, 1), framed(2, 2, '0261' . '020404d2' . '02027800'), framed(1, 3), framed(2, 4, '0262' . '00' . '00'));
arrives('a_types', 4);
is(columns('a_types'), 'name text, amount numeric(12,2), tags text[]', 'Avro: columns of the types that the schema says, nullable');
is(rows('a_types'), '(1,,,) (2,a,12.34,{x}) (3,,,) (4,b,,{})', 'and no value of the first message is lost');
produce_hex('a_types', framed(3, 5, '0263' . '00' . '0e'), framed(2, 6, '0264' . '00' . '00'));
arrives('a_types', 6);
is(columns('a_types'), 'name text, amount numeric(12,2), tags text[], at timestamp with time zone, part jsonb', 'another schema adds what is new');
is(rows('a_types'), '(1,,,,,) (2,a,12.34,{x},,) (3,,,,,) (4,b,,{},,) (5,c,,,"1970-01-01 00:00:00+00","{""id"": 7}") (6,d,,{},,)', 'an older one none');
is(added('a_types'), '5', 'they are counted');
is(dead_letters('a_types'), '', 'no message was refused');
like(slurp_file($node->logfile), qr/LOG:  subscription "a_types" adds to table "a_types" what a new schema has: name text, amount numeric\(12,2\), tags text\[\]/, 'and logged');

# a column that is dropped comes back
sql('ALTER TABLE a_types DROP COLUMN tags');
produce_hex('a_types', framed(2, 7, '0265' . '00' . '02027900'));
arrives('a_types', 7);
is(sql('SELECT tags FROM a_types WHERE id = 7'), '{y}', 'a column that was dropped is added again');
drop('a_types');

# one schema for all messages, in upsert mode
$kafka->create_topic('a_one', 1);
sql(q{CREATE TABLE a_one (id bigint PRIMARY KEY)});
sql(qq{SELECT stream_ingest.create_subscription('a_one', 'kafka', 'a_one', 'a_one', format => 'avro', insert_mode => 'upsert',
	options => \$o\$} . $json->encode({ unknown_fields => 'add_columns', schema => avro([ name => 'string' ]) }) . '$o$)');
produce_hex('a_one', number(1) . '0261', number(2) . '0262', number(1) . '0263');
arrives('a_one', 2);
ok(poll('SELECT name FROM a_one WHERE id = 1', 'c'), 'a schema in the options, upsert');
drop('a_one');

# ---- Protobuf ----

my $message = 'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message M { int64 id = 1;';
subscribe('p_types', 'protobuf',
	{ schemas => { 1 => "$message }", 2 => "$message string note = 2; repeated int32 n = 3; google.protobuf.Timestamp at = 4; }" } });
produce_hex('p_types', '000000000100' . '0801', '000000000200' . '0802' . '120161' . '1a020102' . '22020803');
arrives('p_types', 2);
is(columns('p_types'), 'note text, n integer[], at timestamp with time zone', 'Protobuf: columns by the schema');
is(rows('p_types'), '(1,,,) (2,a,"{1,2}","1970-01-01 00:00:03+00")', 'and their values');
is(dead_letters('p_types'), '', 'no message was refused');
drop('p_types');

# ---- JSON that Kafka Connect wraps ----

subscribe('c_types', 'json', { envelope => 'connect', match_names => 'snake_case' }, enabled => 'false');
produce('c_types', wrapped([ [ id => 'int64' ] ], { id => 1 }),
	wrapped([ [ id => 'int64' ], [ createdAt => 'int64', 'org.apache.kafka.connect.data.Timestamp' ] ], { id => 2, createdAt => 3000 }));
is(sql("SELECT string_agg(coalesce(row_data::text, error), ' ' ORDER BY message_offset) FROM stream_ingest.preview('c_types', 10)"),
	'{"id": 1} {"id": 2}', 'preview leaves out what has no column yet');
is(columns('c_types'), '', 'and adds none');
sql("SELECT stream_ingest.enable('c_types')");
arrives('c_types', 2);
is(columns('c_types'), 'created_at timestamp with time zone', 'JSON in a schema: the name is what match_names makes of the field');
is(rows('c_types'), '(1,) (2,"1970-01-01 00:00:03+00")', 'and the value by its meaning');

# two fields that mean one column, and a message without a schema
produce('c_types', wrapped([ [ id => 'int64' ], [ someWord => 'int32' ], [ some_word => 'int64' ] ], { id => 3, some_word => 5 }),
	'{"payload": {"id": 4, "other": 1}}', wrapped([ [ id => 'int64' ] ], { id => 5 }));
arrives('c_types', 4);
is(columns('c_types'), 'created_at timestamp with time zone, some_word bigint', 'two fields that mean one column: it takes both');
is(dead_letters('c_types'),
	'3 2203E the message has a field that no column takes The field is "other", for which no column could be added.',
	'never from data: a message without a schema is refused');
drop('c_types');

subscribe('d_types', 'json', { envelope => 'debezium' });
sub event
{
	my ($fields, $row) = @_;
	my @columns = map { { field => $_->[0], type => $_->[1], optional => JSON::PP::true } } @$fields;

	return '{"schema":' . $json->encode({ type => 'struct', fields => [
		(map { { field => $_, type => 'struct', optional => JSON::PP::true, fields => \@columns } } qw(before after)), { field => 'op', type => 'string' } ] })
	  . ',"payload":' . $json->encode({ before => undef, after => $row, op => 'c' }) . '}';
}
produce('d_types', event([ [ id => 'int64' ] ], { id => 1 }), event([ [ id => 'int64' ], [ note => 'string' ] ], { id => 2, note => 'n' }));
arrives('d_types', 2);
is(columns('d_types'), 'note text', 'a change event: the fields of its row');
is(rows('d_types'), '(1,) (2,n)', 'and their values');
drop('d_types');

# ---- of a registry, and very many schemas ----

my $double = HttpDouble->start('fake_registry.py', files => { 'schemas.json' => $json->encode({ 1 => avro(), 2 => avro([ name => 'string' ]) }) });
sql("ALTER SERVER kafka OPTIONS (ADD schema_registry_url '" . $double->url . "')");
subscribe('registry', 'avro', {});
produce_hex('registry', framed(1, 1), framed(2, 2, '0261'), framed(1, 3));
arrives('registry', 3);
is(rows('registry'), '(1,) (2,a) (3,)', 'schemas of a registry');
drop('registry');
sql('ALTER SERVER kafka OPTIONS (DROP schema_registry_url)');

subscribe('c_many', 'json', { envelope => 'connect' });
produce('c_many', (map { '{"schema":{"type":"struct","version":' . $_ . ',"fields":[{"field":"id","type":"int64"}]},"payload":{"id":' . $_ . '}}' } 1 .. 250),
	wrapped([ [ id => 'int64' ], [ note => 'string' ] ], { id => 251, note => 'n' }));
arrives('c_many', 251);
is(sql('SELECT note FROM c_many WHERE id = 251'), 'n', 'more schemas than are remembered');
drop('c_many');

# of Protobuf: each is named by an id and by indexes, which may be written longer than need be
my @namings = ('0200', '00');
foreach my $count ('02', '8200', '828000', '82808000') { push @namings, map { "$count$_" } '8000', '808000', '80808000', '8080808000'; }
my $proto = 'syntax = "proto3"; message M { int64 id = 1; S sub = 2; message S { int64 x = 1; } }';
subscribe('p_many', 'protobuf', { schemas => { map { $_ => $proto } 1 .. 15 } }, columns => 'id bigint, sub jsonb', enabled => 'false');
produce_hex('p_many', map { my $id = $_; map { sprintf('00%08x', $id) . $_ . '0801' } @namings } 1 .. 15);
sql("SELECT stream_ingest.enable('p_many')");
arrives('p_many', 270);
cmp_ok(sql("SELECT batches FROM stream_ingest.counts WHERE name = 'p_many'"), '<', 50, 'what was described takes no room that the messages need');
drop('p_many');

# ---- names ----

my $long = 'n' x 63;
my $wide = 'ö' x 31 . 'x';
my @names = ('we"ird', 'Upper', 'sel"; DROP TABLE x_names; --', "new\nline", 'back\\slash', $long, $wide, 'select');
subscribe('x_names', 'json', { envelope => 'connect' });
produce('x_names', wrapped([ [ id => 'int64' ], map { [ $_ => 'string' ] } @names ], { id => 1, map { $_ => 'v' } @names }));
arrives('x_names', 1);
is(sql(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'x_names'::regclass AND attnum > 1}), scalar(@names), 'names with quotes and the like are names');
is(sql(qq{SELECT "we""ird" || "Upper" || "back\\slash" || "$long" || "select" || "sel""; DROP TABLE x_names; --" FROM x_names}), 'vvvvvv', 'as they are');
unlike(slurp_file($node->logfile), qr/^line /m, 'a name ends no line of the log');

my @refused = ('n' x 64, 'ö' x 32, 'ctid', 'xmin', 'tableoid', '');
foreach my $i (0 .. $#refused)
{
	produce('x_names', wrapped([ [ id => 'int64' ], [ good => 'string' ], [ $refused[$i] => 'string' ] ], { id => 2 + $i, $refused[$i] => 'v' }));
}
refuses('x_names', scalar(@refused), 'names that no column can have: too long, of the system, empty');
like(dead_letters('x_names'), qr/The field is "ctid", for which no column could be added\./, 'with the name');
is(sql(q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'x_names'::regclass AND attnum > 1 AND attname IN ('good', 'nnn')}), '1',
	'what can be a column is one all the same, and no name is cut');
produce('x_names', wrapped([ [ id => 'int64' ] ], { id => 100 }));
arrives('x_names', 2, 'the stream continues');
drop('x_names');

# ---- the mapping ----

subscribe('m_names', 'avro', { schemas => { 1 => avro([ name => 'string' ], [ other => 'string' ], [ hidden => 'string' ]) } },
	columns => 'id bigint, who text, hidden text', mapping => '{"who": "name", "hidden": null}');
produce_hex('m_names', framed(1, 1, '0261' . '0262' . '0263'));
refuses('m_names', 1, 'a field whose column the mapping gives nothing is refused');
is(columns('m_names'), 'who text, hidden text, other text', 'a field that the mapping gives another column asks for none');
drop('m_names');

subscribe('m_rest', 'avro', { schemas => { 1 => avro([ name => 'string' ], [ ctid => 'string' ]) } },
	columns => 'id bigint, rest jsonb', mapping => '{"rest": "$rest"}');
produce_hex('m_rest', framed(1, 1, '0261' . '0262'));
arrives('m_rest', 1);
is(rows('m_rest'), '(1,"{""ctid"": ""b""}",a)', '$rest takes what no column can be made for');
drop('m_rest');

# ---- a lock ----

my %two = (schemas => { 1 => avro(), 2 => avro([ name => 'string' ]), 3 => avro([ name => 'string' ], [ more => 'string' ]),
	4 => avro([ name => 'string' ], [ more => 'string' ], [ most => 'string' ]) });
subscribe('locked', 'avro', \%two);
produce_hex('locked', framed(1, 1));
arrives('locked', 1);
my ($holder, $pid) = hold('locked');
produce_hex('locked', framed(1, 2), framed(2, 3, '0261'), framed(1, 4));
arrives('locked', 2, 'what comes before the message is applied');
ok(poll("SELECT state || ' ' || reason FROM stream_ingest.status WHERE name = 'locked' AND state = 'retrying' AND reason NOT LIKE 'waiting%'",
		"retrying the target could not be locked to add the columns of a new schema: AccessExclusiveLock on table public.locked, held by process $pid; it is retried automatically"),
	'the reason names the lock and its holder');
ok(poll("SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass AND NOT granted", '0'), 'others can use the table between two tries');
ok(poll("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL)", '0'),
	'and no transaction is open');
$holder->quit;
arrives('locked', 4, 'it resumes by itself');
is(rows('locked'), '(1,) (2,) (3,a) (4,)', 'nothing is lost, nothing doubled');
is(dead_letters('locked'), '', 'nothing is refused');

# disabled while it waits, by who releases the lock
($holder, $pid) = hold('locked');
produce_hex('locked', framed(3, 5, '0261' . '0262'));
ok(poll("SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass AND NOT granted AND mode = 'AccessExclusiveLock'", '1'), 'a worker waits for the lock');
$holder->query_safe("SELECT stream_ingest.disable('locked'); COMMIT;");
$holder->quit;
ok(poll("SELECT count(*) FROM stream_ingest.status WHERE name = 'locked' AND pid IS NOT NULL", '0'), 'the subscription is disabled');
is(columns('locked'), 'name text', 'a disabled subscription adds no column');
sql("SELECT stream_ingest.enable('locked')");
arrives('locked', 5);

# a session is changing the subscription
my $changer = $node->background_psql('postgres');
$changer->query_safe("BEGIN; SELECT FROM stream_ingest.subscription WHERE name = 'locked' FOR UPDATE;");
produce_hex('locked', framed(4, 6, '0261' . '0262' . '0263'), framed(1, 7));
ok(poll("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND query = 'adding columns for a new schema' AND xact_start IS NULL", '1'),
	'a worker that cannot count its columns waits, without a transaction');
is(columns('locked'), 'name text, more text', 'and adds none');
$changer->quit;
arrives('locked', 7, 'until that session ends');

# killed at the lock
$kafka->create_topic('killed', 1);
sql('CREATE TABLE killed (id bigint)');
sql(qq{SELECT stream_ingest.create_subscription('killed', 'kafka', 'killed', 'killed', format => 'avro',
	options => \$o\$} . $json->encode({ unknown_fields => 'add_columns', synchronous_commit => 'on', %two }) . '$o$)');
produce_hex('killed', framed(1, 1));
arrives('killed', 1);
($holder, $pid) = hold('killed');
produce_hex('killed', framed(2, 2, '0261'), framed(2, 3, '0262'));
ok(poll("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = 'killed'::regclass
		AND NOT l.granted AND l.mode = 'AccessExclusiveLock' AND a.backend_type = 'stream_ingest worker'", '1'), 'the worker is at the lock');
my $worker = StreamIngest::worker_pid($node, 'killed');
kill('KILL', $worker);
eval { $holder->quit; };
ok(poll('SELECT count(*) FROM killed', '3'), 'killed there, the server restarts and the messages arrive');
is(rows('killed'), '(1,) (2,a) (3,b)', 'once');
is(added('killed'), '1', 'and the column was counted once');
drop('killed');
drop('locked');

# ---- several workers ----

subscribe('several', 'avro', { %two, workers => 4, batch_size => 20 }, partitions => 4);
foreach my $partition (0 .. 3)
{
	$kafka->produce('several', [ map { framed($_ < 30 ? 1 : $_ < 60 ? 2 : 3, $partition * 100 + $_, $_ < 30 ? '' : $_ < 60 ? '0261' : '02610262') } 0 .. 89 ],
		partition => $partition, hex => 1);
}
arrives('several', 360);
is(sql('SELECT count(DISTINCT id), count(name), count(more) FROM several'), '360|240|120', 'several workers: each message once, with all its values');
is(columns('several'), 'name text, more text', 'and each column once');
is(added('several'), '2', 'as they are counted');
is(dead_letters('several'), '', 'no message was refused');
drop('several');

# ---- partitioned targets ----

sql('CREATE TABLE parted (id bigint) PARTITION BY RANGE (id);
	CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
	CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (100)');
subscribe('parted', 'avro', \%two, target_made => 1);
produce_hex('parted', framed(1, 1), framed(2, 2, '0261'), framed(2, 20, '0262'));
arrives('parted', 3);
is(rows('parted'), '(1,) (2,a) (20,b)', 'a partitioned target');
($holder, $pid) = hold('parted_high');
produce_hex('parted', framed(3, 30, '0261' . '0262'));
ok(poll("SELECT reason LIKE '%AccessExclusiveLock on table public.parted\\_high, held by process $pid;%' FROM stream_ingest.status WHERE name = 'parted' AND state = 'retrying'"),
	'the reason names the partition that is locked');
$holder->quit;
arrives('parted', 4);
drop('parted');

# ---- rights, and event triggers that refuse ----

sql('CREATE ROLE add_owner; CREATE ROLE add_other; CREATE ROLE add_app LOGIN; GRANT add_owner TO add_app;
	GRANT USAGE ON FOREIGN SERVER kafka TO add_app; GRANT USAGE, CREATE ON SCHEMA public TO add_owner, add_app;
	CREATE TABLE rights (id bigint); ALTER TABLE rights OWNER TO add_owner');
$kafka->create_topic('rights', 1);
sql(qq{SET ROLE add_app;
	SELECT stream_ingest.create_subscription('rights', 'kafka', 'rights', 'rights', format => 'avro', options => \$o\$} . $json->encode({ unknown_fields => 'add_columns', %two }) . '$o$)');
produce_hex('rights', framed(1, 1));
arrives('rights', 1);
sql(q{CREATE TABLE ddl_seen (who name, lock_timeout text, restricted bool);
	GRANT INSERT ON ddl_seen TO PUBLIC;
	CREATE FUNCTION see_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
	DECLARE restricted bool := false;
	BEGIN
		BEGIN
			CREATE TEMP TABLE not_restricted ();
		EXCEPTION WHEN insufficient_privilege THEN
			restricted := SQLERRM LIKE '%security-restricted%';
		END;
		INSERT INTO public.ddl_seen VALUES (current_user, current_setting('lock_timeout'), restricted);
	END $$;
	CREATE EVENT TRIGGER see_ddl ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION see_ddl()});
produce_hex('rights', framed(2, 2, '0261'));
arrives('rights', 2, 'the owner of the target adds the column');
subscribe('own', 'avro', \%two);
produce_hex('own', framed(2, 1, '0261'));
arrives('own', 1);
is(sql('SELECT string_agg(concat_ws($$ $$, who, lock_timeout, restricted), $$,$$ ORDER BY who) FROM ddl_seen'), 'add_owner 2s t,' . sql('SELECT current_user') . ' 2s t',
	'event triggers see the owner at work, in a security-restricted context');
drop('own');
sql(q{DROP EVENT TRIGGER see_ddl;
	CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no DDL today'; END $$;
	CREATE EVENT TRIGGER no_ddl ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION no_ddl()});
produce_hex('rights', framed(3, 3, '0261' . '0262'));
ok(poll("SELECT state || ' ' || reason FROM stream_ingest.status WHERE name = 'rights' AND state <> 'streaming'",
		'stopped no DDL today (P0001); resumes automatically once this is fixed'), 'an event trigger that refuses is named');
sql('DROP EVENT TRIGGER no_ddl');
arrives('rights', 3, 'and without it the message arrives');
sql('GRANT INSERT ON rights TO add_app; ALTER TABLE rights OWNER TO add_other; GRANT INSERT ON rights TO add_app');
produce_hex('rights', framed(3, 4, '0261' . '0262'));
ok(poll("SELECT state || ' ' || reason FROM stream_ingest.status WHERE name = 'rights' AND state = 'stopped'",
		'stopped role "add_app" cannot add columns to target "rights", which it does not own (42501); grant the missing privilege, and it resumes automatically'),
	'a target that got another owner');
sql('ALTER TABLE rights OWNER TO add_owner');
arrives('rights', 4, 'it resumes with the owner');
is(dead_letters('rights'), '', 'no message was refused');
drop('rights');

# ---- limits ----

my @many = map { [ "f$_" => 'string' ] } 1 .. 51;
subscribe('limits', 'json', { envelope => 'connect', breaker => 0 });
produce('limits', wrapped([ [ id => 'int64' ], @many ], { id => 1, f51 => 'v' }));
refuses('limits', 1, 'a schema that asks for 51 columns gets none');
is(columns('limits'), '', 'none at all');
produce('limits', wrapped([ [ id => 'int64' ], @many[0 .. 47] ], { id => 2, f1 => 'v' }),
	wrapped([ [ id => 'int64' ], map { [ "g$_" => 'string' ] } 1 .. 3 ], { id => 3, g1 => 'v' }),
	wrapped([ [ id => 'int64' ], map { [ "h$_" => 'string' ] } 1 .. 2 ], { id => 4, h1 => 'v' }));
arrives('limits', 2, '50 in all are added, by several schemas');
refuses('limits', 2, 'what asks for more is refused');
is(added('limits'), '50', 'the columns are counted');
ok(poll("SELECT state FROM stream_ingest.status WHERE name = 'limits'", 'streaming'), 'and the stream continues');
like(slurp_file($node->logfile), qr/LOG:  subscription "limits" adds no columns for a schema that asks for more than there is room for\n.*DETAIL:  It may add 50 columns until it is enabled again/, 'the log says why');
sql("SELECT stream_ingest.disable('limits'); SELECT stream_ingest.enable('limits')");
produce('limits', wrapped([ [ id => 'int64' ], [ g1 => 'string' ] ], { id => 5, g1 => 'v' }));
arrives('limits', 3, 'enable() gives it as many again');
is(added('limits'), '1', 'counted from none on');
is(sql("SELECT stream_ingest.retry_dead_letters('limits')"), '1', 'a dead letter whose fields have columns now can be retried');
is(sql('SELECT string_agg(id::text, $$ $$ ORDER BY id) FROM limits'), '2 3 4 5', 'and adds none itself');
like(dead_letters('limits'), qr/^0 2203E .* for which no column could be added/, 'the other stays');
drop('limits');

# what is undone is not counted, in the worker's memory either
subscribe('undone', 'json', { envelope => 'connect' });
sql(q{CREATE EVENT TRIGGER no_ddl ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION no_ddl()});
produce('undone', wrapped([ [ id => 'int64' ], @many[0 .. 29] ], { id => 1, f30 => 'v' }));
ok(poll("SELECT state FROM stream_ingest.status WHERE name = 'undone' AND state <> 'streaming'", 'stopped'), 'a command that adds 30 columns fails');
sql('DROP EVENT TRIGGER no_ddl');
ok(poll("SELECT (SELECT count(*) FROM undone) + (SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'undone')", '1'), 'it is tried again');
is(dead_letters('undone'), '', 'and no message is refused, since there is room for 50');
is(added('undone'), '30', 'the columns are counted once');
drop('undone');

done_testing();
