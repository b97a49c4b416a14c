# Attacks by roles with as little as each of them needs: no role becomes a
# superuser by what was made before the extension or beside it, and another
# server of the same name is not read from.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $bootstrap = $kafka->bootstrap;

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

# Runs statements as a role; returns what was wrong, or "".
sub attempt
{
	my ($role, $statements, $database) = @_;
	my $error = '';

	$node->psql($database // 'postgres', "SET SESSION AUTHORIZATION $role; $statements", stderr => \$error);
	return $error;
}

# Waits for an answer in another database.
sub poll_in
{
	my ($database, $query, $expected) = @_;

	return $node->poll_query_until($database, $query, $expected);
}

sql('CREATE ROLE mallory LOGIN; CREATE ROLE victim LOGIN; CREATE ROLE bystander LOGIN');
$kafka->create_topic($_, 1) foreach qw(t keyed other);
$kafka->produce('t', [ '{"id": 1, "a": 1}', '{"id": 2}' ], partition => 0);

# What runs as a superuser when it is called as one.
my $trap = 'BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)'
  . ' THEN ALTER ROLE mallory SUPERUSER; END IF; RETURN';

sub still_nobody
{
	my ($how) = @_;

	is(sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'"), 'f', "no superuser by $how");
	return;
}

# ---- a schema that is there before the extension ----

sql('CREATE DATABASE early');
sql('GRANT CREATE ON DATABASE early TO mallory');
is(attempt('mallory', 'CREATE SCHEMA stream_ingest', 'early'), '', 'a role makes the schema first');
my $error = attempt('DEFAULT', 'CREATE EXTENSION stream_ingest', 'early');
like($error, qr/schema "stream_ingest" already exists/, 'the extension does not install into it');

# version 1.0 did; the library, and the update, have to make the best of it
sql(q{CREATE EXTENSION stream_ingest VERSION '1.0'}, 'early');
is( attempt('mallory', qq{
	CREATE FUNCTION stream_ingest.note_row(integer, integer) RETURNS boolean LANGUAGE plpgsql AS '$trap stream_ingest.note_row(\$1, \$2::bigint); END';
	CREATE FUNCTION stream_ingest.row_lacks(smallint) RETURNS boolean LANGUAGE plpgsql AS '$trap false; END';
	GRANT ALL ON SCHEMA stream_ingest TO PUBLIC}, 'early'),
	'', 'its owner makes overloads of what upserts call');
like(attempt('DEFAULT', 'ALTER EXTENSION stream_ingest UPDATE', 'early'),
	qr/has objects that do not belong to the extension: function stream_ingest\.note_row\(integer,integer\), function stream_ingest\.row_lacks\(smallint\)/,
	'the update names them and does nothing');
is(sql(q{SELECT extversion FROM pg_extension WHERE extname = 'stream_ingest'}, 'early'), '1.0', 'the version is as it was');
sql('ALTER FUNCTION stream_ingest.note_row(integer, integer) SET SCHEMA public; DROP FUNCTION stream_ingest.row_lacks(smallint)', 'early');
like(attempt('DEFAULT', 'ALTER EXTENSION stream_ingest UPDATE', 'early'),
	qr/WARNING:  schema "stream_ingest" belonged to role mallory, and belongs to role \S+ from now on/,
	'without them it takes the schema away from the role');

# the overloads again, as in an installation that was not updated
sql('ALTER FUNCTION public.note_row(integer, integer) SET SCHEMA stream_ingest', 'early');
sql(qq{
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	CREATE TABLE t (id bigint PRIMARY KEY, a int);
	SELECT stream_ingest.create_subscription('early', 'kafka', 't', 't', insert_mode => 'upsert')}, 'early');
ok(poll_in('early', 'SELECT count(*) FROM t', '2'), 'a superuser\'s upsert runs');
still_nobody('an overload of note_row');

like(attempt('mallory', 'CREATE FUNCTION stream_ingest.f() RETURNS int RETURN 1', 'early'),
	qr/permission denied for schema stream_ingest/, 'the former owner makes nothing there any more');
like(attempt('bystander', 'CREATE FUNCTION stream_ingest.f() RETURNS int RETURN 1', 'early'),
	qr/permission denied for schema stream_ingest/, 'nor does another role');
like(attempt('mallory', 'DROP SCHEMA stream_ingest CASCADE', 'early'), qr/must be owner of schema/, 'nor does it drop the schema');
like(attempt('DEFAULT', 'DROP EXTENSION stream_ingest', 'early'),
	qr/cannot drop extension stream_ingest because other objects depend on it/, 'with other objects in the schema the extension is not dropped by mistake');
sql('SELECT stream_ingest.drop_subscription(\'early\'); DROP EXTENSION stream_ingest CASCADE', 'early');
is(sql(q{SELECT count(*) FROM pg_namespace WHERE nspname = 'stream_ingest'}, 'early'), 0, 'the schema goes with the extension');

# ---- what ALTER DEFAULT PRIVILEGES grants ----

my $defaults = join(' ', map { "ALTER DEFAULT PRIVILEGES GRANT ALL ON $_ TO mallory;" } qw(TABLES SEQUENCES FUNCTIONS SCHEMAS));
my $gained = q{
	SELECT count(*) FROM (
		SELECT a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
		 WHERE relnamespace = 'stream_ingest'::regnamespace AND a.grantee = 'mallory'::regrole AND a.privilege_type <> 'SELECT'
		UNION ALL
		SELECT a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a
		 WHERE nspname = 'stream_ingest' AND a.grantee = 'mallory'::regrole AND a.privilege_type = 'CREATE') gained};
foreach my $how (q{CREATE EXTENSION stream_ingest},
	q{CREATE EXTENSION stream_ingest VERSION '1.0'; ALTER EXTENSION stream_ingest UPDATE})
{
	sql('CREATE DATABASE generous');
	sql("$defaults $how", 'generous');
	is(sql($gained, 'generous'), 0, 'default privileges open nothing of ours');
	like(attempt('mallory', "CREATE FUNCTION public_f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'", 'generous'),
		qr/permission denied for schema public/, 'as a cross-check: a role without rights');
	like(attempt('mallory', "UPDATE stream_ingest.subscription SET owner = 10", 'generous'),
		qr/permission denied for table subscription/, 'no superuser is entered as an owner');
	sql('DROP DATABASE generous');
}

# ---- names in a table's default, and operators of a domain ----

# The victim's search_path has a schema in which others may create.  Its table
# takes the default from a function elsewhere, and its key has an operator class
# of its own.
sql(qq{
	GRANT USAGE ON FOREIGN SERVER kafka TO victim;
	CREATE SCHEMA app;
	GRANT USAGE ON SCHEMA app TO victim;
	GRANT CREATE ON SCHEMA public TO mallory;
	ALTER ROLE victim SET search_path = public, app;
	CREATE FUNCTION app.stamp() RETURNS text LANGUAGE sql STABLE AS 'SELECT ''right''';
	CREATE OPERATOR public.==~ (leftarg = text, rightarg = text, function = texteq);
	CREATE OPERATOR CLASS public.own_text_ops FOR TYPE text USING btree AS
		OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 public.==~, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 bttextcmp(text, text);
	CREATE DOMAIN public.code AS text;
	CREATE TABLE keyed (code public.code NOT NULL, v text, stamp text DEFAULT app.stamp());
	CREATE UNIQUE INDEX ON keyed (code public.own_text_ops);
	ALTER TABLE keyed OWNER TO victim;
	CREATE TABLE caught (what text, who name DEFAULT current_user);
	GRANT ALL ON caught TO PUBLIC;
	SET ROLE victim;
	SELECT stream_ingest.create_subscription('keyed', 'kafka', 'keyed', 'public.keyed', insert_mode => 'upsert',
		key_columns => '{code}', mapping => '{"code": "\$key"}', options => '{"missing_fields": "default"}')});
$kafka->produce('keyed', [ 'k1 {"v": "1"}', 'k2 {"v": "2", "stamp": "x"}' ], key_separator => ' ', partition => 0);
ok(poll('SELECT string_agg(code || stamp, \',\' ORDER BY code) FROM keyed', 'k1right,k2x'), 'a default is taken');
is( attempt('mallory', q{
	CREATE FUNCTION public.stamp() RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.caught VALUES (''stamp''); RETURN ''wrong''; END';
	CREATE FUNCTION public.same(public.code, public.code) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.caught VALUES (''same''); RETURN $1::text = $2::text; END';
	CREATE OPERATOR public.==~ (leftarg = public.code, rightarg = public.code, function = public.same)}),
	'', 'another role makes a function and an operator that would fit better');
sql('ALTER FUNCTION app.stamp() COST 5');
$kafka->produce('keyed', ['k3 {"v": "3"}'], key_separator => ' ', partition => 0);
$kafka->produce('keyed', ['k2 '], key_separator => ' ', partition => 0, tombstones => 1);
ok(poll('SELECT string_agg(code || stamp, \',\' ORDER BY code) FROM keyed', 'k1right,k3right'), 'the default is the table\'s own');
sql(q{SELECT stream_ingest.disable('keyed'); SELECT stream_ingest.enable('keyed')});
$kafka->produce('keyed', ['k4 {"v": "4"}'], key_separator => ' ', partition => 0);
$kafka->produce('keyed', ['k1 '], key_separator => ' ', partition => 0, tombstones => 1);
ok(poll('SELECT string_agg(code || stamp, \',\' ORDER BY code) FROM keyed', 'k3right,k4right'), 'and in a new worker');
is(sql('SELECT count(*) FROM caught'), 0, 'no function of the other role ran');

# ---- another server of the same name ----

sql(qq{
	CREATE SERVER swapped FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	GRANT USAGE ON FOREIGN SERVER swapped TO victim;
	GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO mallory;
	CREATE TABLE swapped (id bigint, a int);
	ALTER TABLE swapped OWNER TO victim;
	SET ROLE victim;
	SELECT stream_ingest.create_subscription('swapped', 'swapped', 't', 'swapped')});
ok(poll('SELECT count(*) FROM swapped', 2), 'a stream runs');
sql('ALTER SERVER swapped OWNER TO mallory');
like(attempt('mallory', 'DROP SERVER swapped'), qr/cannot drop server swapped because other objects depend on it/,
	'a role does not drop its server by mistake');
StreamIngest::lose_server($node, 'swapped');
is( attempt('mallory', qq{
	BEGIN;
	CREATE SERVER swapped FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	GRANT USAGE ON FOREIGN SERVER swapped TO PUBLIC;
	COMMIT}), '', 'when the server is lost, a role makes another of the same name');
my $other = 'server "swapped" is not the one for which the subscription was created';
ok(poll("SELECT state, starts_with(reason, '$other') FROM stream_ingest.status WHERE name = 'swapped'", 'stopped|t'),
	'the stream stops, with the reason');
$kafka->produce('t', ['{"id": 3}'], partition => 0);
sql(q{SELECT stream_ingest.skip('swapped', 0, 100)});
$node->restart;
ok(poll("SELECT state, starts_with(reason, '$other') FROM stream_ingest.status WHERE name = 'swapped'", 'stopped|t'),
	'neither skip() nor a restart accepts it');
is(sql('SELECT count(*) FROM swapped'), 2, 'nothing was read through it');
sql(q{SET ROLE victim; SELECT stream_ingest.enable('swapped')});
ok(poll('SELECT count(*) FROM swapped', 3), 'enable() accepts it');

# ---- dump and restore ----

# the OID of every server is another one there
sql('CREATE DATABASE copy');
my $dump = "$PostgreSQL::Test::Utils::tmp_check/dump.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'a dump is made');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'copy' ], 'and restored');
ok(poll_in('copy', q{SELECT string_agg(DISTINCT state || ': ' || reason, ',') FROM stream_ingest.status},
		'stopped: this database is a copy; enable() adopts the subscription here'), 'its subscriptions are copies');
$kafka->produce('t', ['{"id": 4}'], partition => 0);
sql(q{SELECT stream_ingest.enable('swapped')}, 'copy');
ok(poll_in('copy', 'SELECT count(*) FROM swapped', '4'), 'enable() takes the server of that name there');
is(sql('SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = \'stream_ingest\'', 'copy'), 'pg_catalog', 'the extension is where it was');
sql('DROP DATABASE copy');

# in another cluster the OID of an owner is another role's: the name counts
my ($mallory, $identifier) = split /\|/, sql(q{SELECT 'mallory'::regrole::oid, system_identifier FROM pg_control_system()});
my $text = slurp_file($dump);
my ($row) = $text =~ /^(\d+\tkeyed\t.*)$/m;
my @field = split /\t/, $row;
$field[2] = $mallory;
$_ = $_ eq $identifier ? $identifier - 1 : $_ foreach @field;
my $changed = join("\t", @field);
$text =~ s/\Q$row\E/$changed/;
unlink $dump;
append_to_file($dump, $text);
sql('CREATE DATABASE elsewhere');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, 'elsewhere' ], 'a dump of another cluster is restored');
is(sql(q{SELECT owner FROM stream_ingest.subscriptions WHERE name = 'keyed'}, 'elsewhere'), 'victim', 'the owner is the role of the name');
is(sql(q{SET ROLE mallory; SELECT count(*) FROM stream_ingest.subscriptions}, 'elsewhere'), 0, 'the role that has the OID here sees nothing');
like(attempt('mallory', q{SELECT stream_ingest.enable('keyed')}, 'elsewhere'), qr/must be owner of subscription/, 'and enables nothing');
sql('DROP DATABASE elsewhere');
like( attempt('mallory', q{
	CREATE TABLE public.forged (owner oid, owner_name int8, system_identifier int8);
	CREATE TRIGGER forged BEFORE INSERT ON public.forged FOR EACH ROW EXECUTE FUNCTION stream_ingest.subscription_restored();
	INSERT INTO public.forged VALUES (1, 1, 1)}),
	qr/ERROR:  fired for a table that is not subscription/, 'a table of the same columns with other types is refused');

still_nobody('any of this');
done_testing();
