# Attacks by the owner of a target: whatever hangs on the table (triggers,
# defaults, generated columns, checks, indexes, policies, a view's trigger)
# runs as its owner, without the powers of the superuser whose stream writes
# there, and leaves nothing behind in a session, a DBA's that previews and
# retries included.   A swapped name is not followed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll answer);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);

# Runs statements as a role; returns what was wrong, or "".
sub attempt
{
	my ($role, $statements) = @_;
	my $error = '';

	$node->psql('postgres', $statements, stderr => \$error, extra_params => [ '-U', $role ]);
	return $error;
}

# The same, where nothing may be wrong; returns the answer.
sub as
{
	my ($role, $statements) = @_;

	return $node->safe_psql('postgres', $statements, extra_params => [ '-U', $role ]);
}

# Where mallory's code ran, as whom; forgotten afterwards.
sub ran
{
	return sql(q{WITH gone AS (DELETE FROM mallory.caught RETURNING *)
		SELECT string_agg(DISTINCT place || ' ' || who, ', ') FROM gone});
}

sub still_nobody
{
	is(sql(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', "no superuser by $_[0]");
	return;
}

sql(q{
	CREATE ROLE admin SUPERUSER LOGIN;
	CREATE ROLE mallory LOGIN;
	GRANT USAGE ON FOREIGN SERVER kafka TO mallory;
	CREATE SCHEMA mallory AUTHORIZATION mallory;
	CREATE USER MAPPING FOR admin SERVER kafka OPTIONS (sasl_username 'admin', sasl_password 'PASSWORD-7')});
$kafka->create_topic('ids', 1);

# ---- what mallory does wherever its code runs ----

# Each attempt by itself: whether it is refused or has no effect, the next one follows.
my @attempts = (
	q{ALTER ROLE mallory SUPERUSER}, q{SET ROLE admin}, q{RESET ROLE}, q{SET SESSION AUTHORIZATION admin},
	q{RESET SESSION AUTHORIZATION; ALTER ROLE mallory SUPERUSER},
	q{CREATE TEMP TABLE pg_class (a int)}, q{CREATE TEMP VIEW caught_too AS SELECT 1},
	q{SELECT set_config('search_path', 'mallory, pg_catalog', false)},
	q{SELECT set_config('row_security', 'off', false)},
	q{SELECT set_config('DateStyle', 'German', false)},
	q{SELECT set_config('session_replication_role', 'replica', false)},
	q{LISTEN stream_ingest},
	q{SELECT stream_ingest.set_owner('hooked', 'mallory')},
	q{UPDATE stream_ingest.subscription SET owner = 'mallory'::regrole});
my $body = join("\n", map { my $s = s/'/''/gr; "BEGIN EXECUTE '$s'; EXCEPTION WHEN OTHERS THEN NULL; END;" } @attempts);

as('mallory', qq{
	CREATE TABLE mallory.caught (place text, who name DEFAULT current_user);
	CREATE FUNCTION mallory.act(place text) RETURNS boolean LANGUAGE plpgsql SET client_min_messages = error AS \$f\$
	BEGIN
		INSERT INTO mallory.caught VALUES (place);
		$body
		RETURN true;
	END \$f\$;
	CREATE FUNCTION mallory.hook() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM mallory.act(tg_argv[0]); RETURN new; END';
	CREATE FUNCTION mallory.number(place text, n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
		'BEGIN PERFORM mallory.act(place); RETURN n; END';
	CREATE DOMAIN mallory.checked AS bigint CHECK (mallory.number('domain', value) > 0);
	CREATE TABLE mallory.hooked (
		id mallory.checked,
		late bigint DEFAULT mallory.number('default', 1),
		made bigint GENERATED ALWAYS AS (mallory.number('generated', 2)) STORED,
		CHECK (mallory.number('check', id) > 0));
	CREATE INDEX ON mallory.hooked (mallory.number('index', id));
	CREATE INDEX ON mallory.hooked (id) WHERE mallory.number('predicate', id) > 0;
	ALTER TABLE mallory.hooked ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY all_of_them ON mallory.hooked WITH CHECK (mallory.number('policy', id) > 0);
	CREATE POLICY reading ON mallory.hooked FOR SELECT USING (true);
	CREATE TRIGGER a BEFORE INSERT ON mallory.hooked FOR EACH ROW EXECUTE FUNCTION mallory.hook('before');
	CREATE TRIGGER b AFTER INSERT ON mallory.hooked FOR EACH ROW EXECUTE FUNCTION mallory.hook('after');
	CREATE TRIGGER c AFTER INSERT ON mallory.hooked REFERENCING NEW TABLE AS rows EXECUTE FUNCTION mallory.hook('statement');
	CREATE CONSTRAINT TRIGGER d AFTER INSERT ON mallory.hooked DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION mallory.hook('deferred');
	CREATE VIEW mallory.seen AS SELECT 0::bigint AS id;
	CREATE TRIGGER e INSTEAD OF INSERT ON mallory.seen FOR EACH ROW EXECUTE FUNCTION mallory.hook('instead')});
still_nobody('making them');

# ---- a superuser's streams ----

my $places = join(', ', map { "$_ mallory" } qw(after before check default deferred domain generated index policy predicate statement));

as('admin', q{
	SELECT stream_ingest.create_subscription('hooked', 'kafka', 'ids', 'mallory.hooked');
	SELECT stream_ingest.create_subscription('seen', 'kafka', 'ids', 'mallory.seen')});
$kafka->produce('ids', count => 3, first => 1);
ok(poll('SELECT count(*) FROM mallory.hooked', 3), 'rows of a superuser arrive in another role\'s table');
ok(poll(q{SELECT count(*) FROM mallory.caught WHERE place = 'instead'}, 3), 'and in its view');
is(ran(), "$places, instead mallory" =~ s/(index mallory), (.*), instead mallory/$1, instead mallory, $2/r,
	'all that hangs on them runs, and as their owner alone');
still_nobody('the code of a target');
$kafka->produce('ids', count => 3, first => 4);
ok(poll('SELECT count(*) FROM mallory.hooked', 6), 'the next batch is written as the first was');
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming'}, 2), 'and the streams still run');
is(sql(q{SELECT string_agg(DISTINCT owner::text, '') FROM stream_ingest.subscriptions}), 'admin', 'for the same owner');

# a name that means another object from now on
as('mallory', q{
	BEGIN;
	ALTER TABLE mallory.hooked RENAME TO former;
	CREATE VIEW mallory.hooked AS SELECT oid::bigint AS id FROM pg_authid;
	COMMIT});
$kafka->produce('ids', count => 1, first => 7);
ok(poll('SELECT count(*) FROM mallory.former', 7), 'a stream follows its table, not the name');
still_nobody('a swapped target');
as('admin', q{SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscriptions});
ran();

# ---- a DBA looks at mallory's stream ----

as('mallory', q{
	DROP VIEW mallory.hooked;
	ALTER TABLE mallory.former RENAME TO hooked;
	TRUNCATE mallory.hooked;
	ALTER TABLE mallory.hooked ADD CONSTRAINT few CHECK (id < 3) NOT VALID;
	SELECT stream_ingest.create_subscription('own', 'kafka', 'ids', 'mallory.hooked')});
ok(poll(q{SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'own'}, 5), 'mallory\'s own stream has dead letters');
as('mallory', q{ALTER TABLE mallory.hooked DROP CONSTRAINT few});
ran();

my $session = q{current_setting('search_path') || ' ' || current_setting('row_security') || ' ' ||
	current_setting('DateStyle') || ' ' || current_setting('session_replication_role') || ' ' || current_user || ' ' || session_user};
my $before = as('admin', "SELECT $session");
foreach my $call (q{count(*) FROM stream_ingest.preview('own')}, q{stream_ingest.retry_dead_letters('own')})
{
	my @answer = split /\n/, as('admin', qq{
		SELECT $call;
		SELECT $session, pg_my_temp_schema(), (SELECT count(*) FROM pg_listening_channels());
		BEGIN; SELECT $call; COMMIT;
		SELECT $session});

	is($answer[1], "$before|0|0", "after $call the DBA's session is as before");
	is($answer[-1], $before, 'also after a transaction of the DBA\'s');
	still_nobody($call);
}
is(ran(), $places, 'and the code of the table ran as its owner');
is(sql('SELECT count(*) FROM mallory.hooked'), 7, 'what was retried are rows');

# ---- a stream of another role's, whose search_path has a schema where mallory may create ----

# The defaults use functions and operators of the server that take arguments of any
# type: an overload for just these types is the better match wherever their text is
# read.  A literal alone may be the better match for text.
sql(q{
	CREATE ROLE victim LOGIN;
	GRANT USAGE ON FOREIGN SERVER kafka TO victim;
	GRANT CREATE ON SCHEMA public TO mallory;
	CREATE SCHEMA AUTHORIZATION victim});
as('victim', q{
	CREATE TABLE lacking (id int, kind text DEFAULT ('k'::text || 1),
		doc jsonb DEFAULT jsonb_build_object('v'::text, 1), words varchar(4) DEFAULT concat('a'::text, 2, 3),
		n int GENERATED BY DEFAULT AS IDENTITY, PRIMARY KEY (id, kind));
	CREATE TABLE below (LIKE lacking INCLUDING ALL);
	CREATE VIEW above AS SELECT * FROM below;
	ALTER TABLE lacking ADD CONSTRAINT few CHECK (id < 3)});
my $caught = q{BEGIN RAISE WARNING 'mallory''s'; PERFORM mallory.act('overload'); RETURN };
as('mallory', qq{
	GRANT USAGE ON SCHEMA mallory TO victim;
	GRANT INSERT ON mallory.caught TO victim;
	CREATE FUNCTION public.jsonb_build_object(text, integer) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS
		\$f\$ $caught '{}'; END \$f\$;
	CREATE FUNCTION public.concat(text, integer, integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$f\$ $caught 'm'; END \$f\$;
	CREATE FUNCTION public.joined(text, integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS \$f\$ $caught 'm'; END \$f\$;
	CREATE OPERATOR public.|| (FUNCTION = public.joined, LEFTARG = text, RIGHTARG = integer);
	CREATE FUNCTION public.nextval(text) RETURNS bigint LANGUAGE plpgsql AS \$f\$ $caught 0; END \$f\$});
ran();
$kafka->create_topic('lacking', 1);
as('victim', q{
	SELECT stream_ingest.create_subscription('upsert', 'kafka', 'lacking', 'lacking', insert_mode => 'upsert', mapping => '{"n": "n"}');
	SELECT stream_ingest.create_subscription('view', 'kafka', 'lacking', 'above', mapping => '{"n": "n"}');
	SELECT stream_ingest.create_subscription('later', 'kafka', 'lacking', 'lacking', insert_mode => 'upsert', mapping => '{"n": "n"}',
		enabled => false)});
$kafka->produce('lacking', [ '{"id": 1}', '{"id": 2}', '{"id": 3}' ]);
ok(poll('SELECT count(*) FROM victim.below', 3), 'rows with defaults arrive by way of a view');
ok(poll('SELECT count(*) FROM victim.lacking', 2), 'and by upserts');
ok(poll(q{SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'upsert'}, 1), 'but for one');
as('victim', q{ALTER TABLE lacking DROP CONSTRAINT few});
foreach my $call (q{* FROM stream_ingest.preview('later')}, q{stream_ingest.retry_dead_letters('upsert')})
{
	is(attempt('victim', "SELECT $call"), '', "nothing of mallory's warns in $call");
}
foreach my $table (qw(lacking below))
{
	is(sql("SELECT DISTINCT kind, doc, words, n > 0 FROM victim.$table"), 'k1|{"v": 1}|a23|t', "the defaults are those of $table");
	is(sql("SELECT count(*) FROM victim.$table"), 3, 'once for each key');
}
unlike(ran(), qr{overload}, 'no overload of mallory\'s has run');

# ---- what mallory reads ----

like(attempt('mallory', q{SELECT * FROM pg_user_mapping}), qr/permission denied/, 'a role reads no user mapping');
is( as('mallory', q{SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL}), 0,
	'also by the view, with USAGE on the server');
still_nobody('any of this');

done_testing();
