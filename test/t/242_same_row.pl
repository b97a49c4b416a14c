# The same message gives the same row, whichever process applies it: a worker, which is a
# session of the subscription's owner, or retry_dead_letters and preview in
# sessions with settings of their own.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { 'app.site' => 'of the cluster', xmlbinary => 'hex', lc_monetary => 'C' });

# settings that a row can depend on, and what of them the table notes
my @noted = (
	'app.tenant', 'app.zone', 'app.region', 'app.site', 'app.nobody', 'array_nulls', 'bytea_output', 'extra_float_digits',
	'default_text_search_config', 'xmlbinary', 'xmloption', 'lc_monetary', 'work_mem', 'plpgsql.variable_conflict',
	'TimeZone', 'DateStyle', 'IntervalStyle', 'search_path', 'row_security', 'session_replication_role');

sub sql
{
	my ($sql, %opt) = @_;

	return $node->safe_psql('postgres', $sql, %opt);
}

# 'app.nobody' is set nowhere: null, or empty where a session has known the name.
my $settings = join(', ', map { "'$_', nullif(current_setting('$_', true), '')" } @noted);

sql(qq{
	CREATE ROLE "the owner" LOGIN;
	CREATE ROLE member LOGIN IN ROLE "the owner";
	CREATE ROLE dba LOGIN SUPERUSER;
	GRANT USAGE ON FOREIGN SERVER kafka TO "the owner";
	ALTER ROLE "the owner" SET app.tenant = 'of the owner, "all" of it';
	ALTER ROLE "the owner" SET array_nulls = off;
	ALTER ROLE "the owner" SET bytea_output = escape;
	ALTER ROLE "the owner" SET extra_float_digits = -5;
	ALTER ROLE "the owner" SET plpgsql.variable_conflict = use_column;
	ALTER ROLE "the owner" SET work_mem = '5MB';
	ALTER ROLE "the owner" IN DATABASE postgres SET app.zone = 'of the owner here';
	ALTER ROLE "the owner" SET app.zone = 'of the owner anywhere';
	ALTER DATABASE postgres SET app.region = 'of the database';
	ALTER DATABASE postgres SET default_text_search_config = 'pg_catalog.simple';
	ALTER ROLE dba SET app.tenant = 'of the dba';
	ALTER ROLE dba SET app.site = 'of the dba';
	ALTER ROLE dba SET app.nobody = 'of the dba';
	ALTER ROLE dba SET array_nulls = on;
	ALTER ROLE dba SET xmlbinary = 'base64';
	ALTER ROLE dba SET default_text_search_config = 'pg_catalog.german';
	CREATE TABLE t (id bigint CONSTRAINT too_early CHECK (false), raw bytea, list text[], number float8, words tsvector,
		shown text, settings jsonb DEFAULT jsonb_build_object($settings));
	CREATE FUNCTION show() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		NEW.words := to_tsvector('the tests');
		NEW.shown := NEW.raw::text || ' ' || NEW.number || ' ' || xmlelement(name x, NEW.raw)::text;
		RETURN NEW;
	END \$\$;
	CREATE TRIGGER show BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION show();
	ALTER TABLE t OWNER TO "the owner";
	ALTER FUNCTION show() OWNER TO "the owner"});
$kafka->create_topic('t', 1);
$kafka->produce('t', [ map { qq({"id": $_, "raw": "caf\\u00e9 \\\\\\\\", "list": "{a,NULL}", "number": 0.1234567890123456}) } 1 .. 7 ]);
sql(q{SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't')},
	extra_params => [ '-U', 'the owner' ]);
ok(poll("SELECT dead_letters FROM stream_ingest.counts", 7), 'all are dead letters');
sql('ALTER TABLE t DROP CONSTRAINT too_early');

# what a worker makes of such a message
$kafka->produce('t', [ qq({"id": 0, "raw": "caf\\u00e9 \\\\\\\\", "list": "{a,NULL}", "number": 0.1234567890123456}) ]);
ok(poll('SELECT count(*) FROM t', 1), 'a worker has applied one');
is( sql(q{SELECT settings->>'app.tenant', settings->>'app.zone', settings->>'app.region', settings->>'app.site',
		settings->>'array_nulls', settings->>'default_text_search_config', list, words FROM t}),
	q{of the owner, "all" of it|of the owner here|of the database|of the cluster|off|pg_catalog.simple|{a,"NULL"}|'tests':2 'the':1},
	'by the settings of its owner, its database and the cluster');

# What of a row differs from the one that a worker made.
sub difference
{
	my ($id) = @_;

	return sql(qq{
		SELECT string_agg(format('%s: %s', k, v), ', ') FROM (
			SELECT key, value FROM t, jsonb_each_text(settings || to_jsonb(t) - 'settings' - 'id') WHERE id = $id
			EXCEPT SELECT key, value FROM t, jsonb_each_text(settings || to_jsonb(t) - 'settings' - 'id') WHERE id = 0) d(k, v)});
}

# Another session applies the next one, and keeps its own settings.
my $id = 0;

sub same
{
	my ($what, $set, %opt) = @_;
	my $own = 'SELECT ' . join(" || '|' || ", map { "coalesce(current_setting('$_', true), '')" } @noted);
	my $offset = $id++;

	# the language's settings are known when it was used
	my $out = sql("DO 'BEGIN END'; $set; $own; SELECT stream_ingest.retry_dead_letters('t', 0, $offset, $id); $own", %opt);
	my @line = split /\n/, $out;
	is($line[1], 1, "$what: retried");
	is($line[2], $line[0], "$what: the session's own settings are as before");
	is(difference($id), '', "$what: the same row");
	return;
}

same('the owner', 'SELECT WHERE false', extra_params => [ '-U', 'the owner' ]);
same('a superuser', 'SELECT WHERE false');
same('a superuser with settings of his role', 'SELECT WHERE false', extra_params => [ '-U', 'dba' ]);
my $set = q{
	SET app.tenant = 'of the session'; SET app.zone = 'of the session'; SET app.site = 'of the session';
	SET array_nulls = on; SET bytea_output = hex; SET extra_float_digits = 3;
	SET default_text_search_config = 'pg_catalog.english'; SET xmlbinary = 'base64'; SET xmloption = document;
	SET lc_monetary = 'POSIX'; SET work_mem = '9MB'; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German';
	SET IntervalStyle = 'iso_8601'; SET search_path = pg_catalog};
same('a superuser with SET', $set, extra_params => [ '-U', 'dba' ]);
same('a member with SET', $set, extra_params => [ '-U', 'member' ]);
same('a member with SET LOCAL', "BEGIN; SET LOCAL app.tenant = 'of the transaction'; SET LOCAL app.nobody = 'of the transaction'",
	extra_params => [ '-U', 'member' ]);
{
	local $ENV{PGOPTIONS} = "-c app.tenant=of-the-connection -c app.site=of-the-connection -c xmlbinary=base64 -c array_nulls=on";

	same('a connection with options', 'SELECT WHERE false', extra_params => [ '-U', 'dba' ]);
}

# a worker of another role, whose trigger retries
sql(q{
	CREATE ROLE caller LOGIN IN ROLE "the owner";
	ALTER ROLE caller SET app.tenant = 'of the caller';
	ALTER ROLE caller SET array_nulls = on;
	ALTER ROLE caller SET bytea_output = hex;
	GRANT USAGE ON FOREIGN SERVER kafka TO caller;
	CREATE TABLE calls (id int);
	CREATE FUNCTION retry() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM stream_ingest.retry_dead_letters('t');
		RETURN NEW;
	END $$;
	CREATE TRIGGER retry BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION retry();
	ALTER TABLE calls OWNER TO caller});
$kafka->create_topic('calls', 1);
$kafka->produce('calls', ['{"id": 1}']);
sql(q{SELECT stream_ingest.create_subscription('calls', 'kafka', 'calls', 'calls')}, extra_params => [ '-U', 'caller' ]);
ok(poll('SELECT count(*) FROM t WHERE id = 7', 1), 'a trigger in the worker of another role has retried');
is(difference(7), '', 'and made the same row');
sql(q{SELECT stream_ingest.drop_subscription('calls')});

# preview shows what a worker will write
sql(q{SELECT stream_ingest.seek('t', 0, 7)});
ok(poll('SELECT count(*) FROM t WHERE id = 0', 2), 'a worker has applied it again');
sql(q{SELECT stream_ingest.disable('t'); SELECT stream_ingest.seek('t', 0, 7)});
my @shown = map {
	sql("$_->[1]; SELECT row_data, error FROM stream_ingest.preview('t')", extra_params => [ '-U', $_->[0] ])
} ([ 'the owner', 'SELECT WHERE false' ], [ 'dba', $set ], [ 'member', $set ]);
like($shown[0], qr/"NULL"/, 'preview shows a row to its owner');
is($shown[1], $shown[0], 'and the same to a superuser with SET');
is($shown[2], $shown[0], 'and the same to a member with SET');
done_testing();
