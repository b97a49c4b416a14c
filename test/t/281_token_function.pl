# The option sasl_oauthbearer_function: a user's function gives the tokens, and a real broker
# checks them.  It runs as the role that connects and as no other, whoever owns the server;
# its tokens are refreshed while messages flow; whatever it returns, throws or hangs in
# costs no message, and passes by itself; neither its tokens nor its words are shown.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use MIME::Base64 qw(decode_base64);
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll answer rows_come);
use Test::More;
use Time::HiRes qw(time);

my $messages = 5;

# ---- the broker: it wants the scope, and ends a session with its token ----

my $kafka = StreamIngest::start_kafka();
my $address = '127.0.0.1:' . StreamIngest::free_port();
my ($listeners) = slurp_file("$kafka->{dir}/server.properties") =~ /^listeners=(.*)$/m;
my $oauth = 'org.apache.kafka.common.security.oauthbearer';
$kafka->reconfigure(
	"listeners=$listeners,OAUTH://$address",
	'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OAUTH:SASL_PLAINTEXT',
	'sasl.enabled.mechanisms=OAUTHBEARER',
	'listener.name.oauth.oauthbearer.connections.max.reauth.ms=3600000',
	"listener.name.oauth.oauthbearer.sasl.jaas.config=$oauth.OAuthBearerLoginModule required"
	  . ' unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="kafka";');
$kafka->create_topic($_, 1) foreach qw(t flow idle);
$kafka->produce('t', count => $messages);

# what could show a token shows all that it can
my $node = StreamIngest::new_node('main', conf => {
		shared_preload_libraries => StreamIngest::installed('auto_explain') . ', stream_ingest',
		'auto_explain.log_min_duration' => 0,
		'auto_explain.log_nested_statements' => 'on',
		'auto_explain.log_verbose' => 'on' });

sub as { my ($role, $sql) = @_; return answer($sql, extra_params => [ '-U', $role ]); }

# What must succeed as that role.
sub done
{
	my ($role, $sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]);
}

# ---- the roles, and app's function, which does as it is told ----

# the superuser has another name where the tests do not run as postgres
sql('DO $$ BEGIN CREATE ROLE postgres SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$');
sql(q{
	CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE mallory LOGIN;
	GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO mallory;
	GRANT CREATE ON SCHEMA public TO app, other;
	CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO PUBLIC; GRANT CREATE ON SCHEMA auth TO app, mallory;
	CREATE SEQUENCE auth.calls; CREATE SEQUENCE auth.calls_of_others;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA auth TO PUBLIC;
	CREATE TABLE auth.mode (mode text, life int); INSERT INTO auth.mode VALUES ('ok', 3600);
	CREATE TABLE auth.written (a int);
	GRANT SELECT ON auth.mode TO PUBLIC; GRANT INSERT ON auth.written TO app;
	CREATE FUNCTION auth.encode(text) RETURNS text LANGUAGE sql AS
		$$ SELECT translate(encode(convert_to($1, 'UTF8'), 'base64'), E'+/=\n', '-_') $$;
	CREATE FUNCTION auth.jwt(life int, scope text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		now bigint := extract(epoch FROM clock_timestamp());
		secret text := 'secret' || '-claim';	-- whole only while it runs
		claims text := format('{"sub": "app", "iat": %s, "exp": %s, "scope": "%s", "secret": "%s"}', now - 1, now + life, scope, secret);
	BEGIN
		-- a plan with a secret among its constants
		EXECUTE format('SELECT count(*) FROM pg_class WHERE relname::text = %L', secret);
		RETURN auth.encode('{"alg": "none"}') || '.' || auth.encode(claims) || '.';
	END $$});

my $body = q{
	DECLARE
		m record;
		words text := 'secret' || ' words';
	BEGIN
		PERFORM nextval(CASE WHEN current_user = 'app' THEN 'auth.calls' ELSE 'auth.calls_of_others' END);
		SELECT * INTO m FROM auth.mode;
		token := auth.jwt(m.life, CASE m.mode WHEN 'no scope' THEN 'none' ELSE 'kafka' END);
		expires_at := clock_timestamp() + m.life * interval '1 s';
		CASE m.mode
			WHEN 'ok', 'no scope' THEN NULL;
			WHEN 'write' THEN INSERT INTO auth.written VALUES (1); CREATE TABLE public.left_behind (a int);
			WHEN 'fail' THEN
				RAISE EXCEPTION '% %', words, token USING DETAIL = words, HINT = words, COLUMN = words;
			WHEN 'conflict' THEN RAISE SQLSTATE '40001' USING MESSAGE = words;
			WHEN 'hang' THEN EXECUTE format('SELECT pg_sleep(600) /* %s */', words);
			WHEN 'null' THEN token := NULL;
			WHEN 'empty' THEN token := '';
			WHEN 'control' THEN token := token || chr(10);
			WHEN 'blank' THEN token := token || ' ';
			WHEN 'accent' THEN token := token || chr(233);
			WHEN 'long' THEN token := repeat('x', 16385);
			WHEN 'huge' THEN token := repeat(repeat('x', 1000), 100000);
			WHEN 'no time' THEN expires_at := NULL;
			WHEN 'past' THEN expires_at := now() - interval '1 s';
			WHEN 'infinity' THEN expires_at := 'infinity';
			WHEN '-infinity' THEN expires_at := '-infinity';
			WHEN 'far' THEN expires_at := now() + interval '367 days';
			WHEN 'farthest' THEN expires_at := '294276-12-31';
			WHEN 'oldest' THEN expires_at := '4714-12-31 BC';
			WHEN 'no row' THEN RETURN;
			WHEN 'two rows' THEN RETURN NEXT;
			WHEN 'escape' THEN PERFORM set_config('role', 'postgres', false);
			WHEN 'temporary' THEN CREATE TEMP TABLE x (a int);
			WHEN 'kafka' THEN PERFORM stream_ingest.topics('kafka');
			WHEN 'produce' THEN PERFORM stream_ingest.produce('kafka', 't', '{}');
		END CASE;
		RETURN NEXT;
	END };
my $create = "CREATE FUNCTION auth.token() RETURNS TABLE (token text, expires_at timestamptz) LANGUAGE plpgsql AS \$\$$body\$\$;";
my $owned = "$create REVOKE EXECUTE ON FUNCTION auth.token() FROM PUBLIC";
done('app', $owned);

sub behave { my ($mode, $life) = @_; sql("UPDATE auth.mode SET mode = '$mode', life = " . ($life // 3600)); return; }
sub calls { return sql('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM auth.calls'); }
sub never_by_others { is(sql('SELECT is_called FROM auth.calls_of_others'), 'f', "$_[0]: no other role has run it"); return; }

# A server of that role, for all.
sub add_server
{
	my ($role, $name, $function) = @_;

	done($role, qq{CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$address',
			security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'OAUTHBEARER', sasl_oauthbearer_function '$function');
		GRANT USAGE ON FOREIGN SERVER $name TO PUBLIC});
	return;
}

sub subscribe
{
	my ($role, $name, $server, $topic) = @_;

	return as($role, "CREATE TABLE IF NOT EXISTS $name (id bigint, payload text);
		SELECT stream_ingest.create_subscription('$name', '$server', '$topic', '$name')");
}

sub says
{
	my ($name, $reason, $what) = @_;

	ok(poll("SELECT state = 'retrying' AND reason ~ '$reason.*; correct the function .*, which is called again automatically'
			AND last_error_sqlstate = '28000' FROM stream_ingest.status WHERE name = '$name'"), $what);
	return;
}

# ---- what is right ----

add_server('postgres', 'kafka', 'auth.token');
subscribe('app', 'plain', 'kafka', 't');
rows_come('plain', $messages, 'a subscription reads');
is(done('app', "SELECT count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't'"), 1, 'topics');
is(done('app', "SELECT count(*) FROM stream_ingest.peek('kafka', 't')"), $messages, 'peek');
like(done('app', "SELECT stream_ingest.infer_table('kafka', 't', 'public.x')"), qr/CREATE TABLE/, 'infer_table');
my $before = calls();
is(sql("SELECT count(*) FROM stream_ingest.preview('plain')"), 0, 'preview by another role');
cmp_ok(calls(), '>', $before, 'for which the function runs as the owner');
done('app', "SELECT stream_ingest.produce('kafka', 't', '{\"id\": 1000, \"payload\": \"produced\"}')");
rows_come('plain', $messages + 1, 'produce');
never_by_others('what is right');

behave('write');
is(done('app', "SELECT count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't'"), 1, 'a function that writes');
is(sql("SELECT count(*) || ' ' || (to_regclass('public.left_behind') IS NULL) FROM auth.written"), '0 true',
	'and what it did is rolled back');
behave('ok');

# ---- whose function it is ----

like(as('other', "SELECT stream_ingest.topics('kafka')"),
	qr/42501: could not get a token for server "kafka": function auth\.token\(\) may not give tokens to role "other".*superuser/s,
	'another role\'s function is refused');
like(as('postgres', "SELECT stream_ingest.topics('kafka')"), qr/42501.*may not give tokens to role "postgres"/s, 'to a superuser, too');
like(subscribe('other', 'others', 'kafka', 't'), qr/42501.*may not give tokens to role "other"/s, 'and to a subscription');
like(as('postgres', q{
		BEGIN; SET LOCAL ROLE app; SELECT stream_ingest.produce('kafka', 't', '{"id": 1}');
		SET LOCAL ROLE other; SELECT stream_ingest.produce('kafka', 't', '{"id": 2}'); COMMIT}),
	qr/08004.*may not give tokens to role "other"/s, 'no role sends by the token of another one in its session');
never_by_others('other roles');

# a server's owner chooses the name, and the brokers that get the token
add_server('mallory', 'hers', 'auth.token');
like(as('app', "SELECT stream_ingest.topics('hers')"),
	qr/42501.*may not give tokens for a server of role "mallory".*lacks EXECUTE/s, 'a token is not sent to a server of a role without EXECUTE');
like(subscribe('app', 'astray', 'hers', 't'), qr/42501.*for a server of role "mallory"/s, 'nor by a subscription');
done('app', 'GRANT EXECUTE ON FUNCTION auth.token() TO mallory');
is(done('app', "SELECT count(*) FROM stream_ingest.topics('hers') WHERE topic = 't'"), 1, 'with EXECUTE it is');
done('app', 'REVOKE EXECUTE ON FUNCTION auth.token() FROM mallory');
done('mallory', $create =~ s/auth\.token/auth.trap/r);
add_server('mallory', 'trap', 'auth.trap');
like(as($_, "SELECT stream_ingest.topics('trap')"), qr/42501.*may not give tokens to role "$_"/s, "mallory's function does not run as $_")
  foreach qw(app other postgres);

# a superuser's function runs as the role that connects
sql($create =~ s/auth\.token/auth.common/r);
add_server('mallory', 'common', 'auth.common');
$before = calls();
is(done('app', "SELECT count(*) FROM stream_ingest.topics('common') WHERE topic = 't'"), 1, 'a superuser\'s function is for all');
cmp_ok(calls(), '>', $before, 'and runs as the role that connects');
never_by_others('a superuser\'s function');
sql('REVOKE EXECUTE ON FUNCTION auth.common() FROM PUBLIC; GRANT EXECUTE ON FUNCTION auth.common() TO mallory');
like(as('app', "SELECT stream_ingest.topics('common')"), qr/42501.*permission denied for function common/s, 'if that may execute it');
sql('REVOKE USAGE ON SCHEMA auth FROM PUBLIC');
like(as('app', "SELECT stream_ingest.topics('kafka')"), qr/42501.*permission denied for schema auth/s, 'and use its schema');
sql('GRANT USAGE ON SCHEMA auth TO PUBLIC');

# ---- what it returns ----

my %refused = (
	'null' => qr/22000.*the token is null/,
	'empty' => qr/22000.*the token is empty/,
	'control' => qr/22000.*other than printable ASCII/,
	'blank' => qr/22000.*other than printable ASCII/,
	'accent' => qr/22000.*other than printable ASCII/,
	'long' => qr/22000.*longer than 16384 bytes/,
	'huge' => qr/22000.*longer than 16384 bytes/,
	'no time' => qr/22000.*expires is null/,
	'past' => qr/22000.*has expired already/,
	'oldest' => qr/22000.*has expired already/,
	'infinity' => qr/22000.*is infinite/,
	'-infinity' => qr/22000.*is infinite/,
	'far' => qr/22000.*in more than 366 days/,
	'farthest' => qr/22000.*in more than 366 days/,
	'no row' => qr/22000.*returns no row/,
	'two rows' => qr/22000.*returns more than one row/,
	'escape' => qr/function auth\.token\(\) failed: 42501/,
	'temporary' => qr/function auth\.token\(\) failed: 42501/,
	'kafka' => qr/function auth\.token\(\) failed: 55000/,
	'produce' => qr/function auth\.token\(\) failed: 55000/,
	'conflict' => qr/40001.*function auth\.token\(\) failed: 40001 \(serialization_failure\)/,
	'fail' => qr/P0001.*function auth\.token\(\) failed: P0001 \(raise_exception\)\n.*call it as role "app"/s);
my $shown = '';
foreach my $mode (sort keys %refused)
{
	behave($mode);
	my $said = as('app', "SELECT stream_ingest.topics('kafka')");
	like($said, $refused{$mode}, "topics: $mode");
	like(as('app', "SELECT stream_ingest.produce('kafka', 't', '{}')"), qr/could not get a token for server "kafka": function/, "produce: $mode")
	  if $mode =~ /^(fail|no row|produce|kafka)$/;
	$shown .= $said;
}
behave('ok');
is(done('app', "SELECT current_user || count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't'"), 'app1', 'a session is as before');

my %wrong = (
	'RETURNS TABLE (token int, expires_at timestamptz) AS $$ SELECT 1, now() $$' => '42P13',
	'RETURNS TABLE (token text, expires_at timestamp) AS $$ SELECT $a$x$a$::text, localtimestamp $$' => '42P13',
	'RETURNS TABLE (token varchar, expires_at timestamptz) AS $$ SELECT $a$x$a$::varchar, now() $$' => '42P13',
	'RETURNS TABLE (token text, expires_at timestamptz, more int) AS $$ SELECT $a$x$a$, now(), 1 $$' => '42P13',
	'RETURNS text AS $$ SELECT $a$x$a$ $$' => '42P13',
	'RETURNS record AS $$ SELECT $a$x$a$, now() $$' => '42P13');
foreach my $rest (sort keys %wrong)
{
	done('app', "DROP FUNCTION auth.token(); CREATE FUNCTION auth.token() $rest LANGUAGE sql");
	like(as('app', "SELECT stream_ingest.topics('kafka')"), qr/$wrong{$rest}: .*does not return a token and when it expires/s, $rest);
}
done('app', 'DROP FUNCTION auth.token(); CREATE PROCEDURE auth.token() LANGUAGE sql AS $$ SELECT 1 $$');
like(as('app', "SELECT stream_ingest.topics('kafka')"), qr/42P13/, 'a procedure');
done('app', 'DROP PROCEDURE auth.token(); CREATE FUNCTION auth.token(a int DEFAULT 1) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$');
like(as('app', "SELECT stream_ingest.topics('kafka')"), qr/42883.*function auth\.token\(\) does not exist/s, 'a function with an argument');

# a type that changes between the check and the result: inside the function itself
done('app', q{DROP FUNCTION auth.token(int);
	CREATE TYPE auth.result AS (token text, expires_at timestamptz);
	CREATE FUNCTION auth.token() RETURNS auth.result LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE 'ALTER TYPE auth.result ALTER ATTRIBUTE token TYPE int USING 7';
		EXECUTE 'ALTER TYPE auth.result ALTER ATTRIBUTE token TYPE int';
		RETURN NULL;
	EXCEPTION WHEN syntax_error THEN
		EXECUTE 'ALTER TYPE auth.result ALTER ATTRIBUTE token TYPE int';
		RETURN ROW(1234567, now())::auth.result;
	END $$});
like(as('app', "SELECT stream_ingest.topics('kafka')"), qr/function auth\.token\(\) failed: /, 'a type that changes while the function runs');
done('app', "DROP FUNCTION auth.token(); DROP TYPE auth.result; $owned");
is(done('app', "SELECT count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't'"), 1, 'the function is back');

# ---- refreshed while messages flow ----

behave('ok', 2);
subscribe('app', 'flow', 'kafka', 'flow');
subscribe('app', 'idle', 'kafka', 'idle');
my $pid = StreamIngest::worker_pid($node, 'flow');
ok(poll("SELECT count(*) FROM stream_ingest.status WHERE name IN ('flow', 'idle') AND state = 'streaming'", 2), 'two streams with short tokens');
$before = calls();
my $sent = 0;
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
while (calls() < $before + 10 && time() < $limit)
{
	$kafka->produce('flow', count => 20, first => $sent);
	$sent += 20;
}
cmp_ok(calls(), '>=', $before + 10, 'the tokens are refreshed before they expire');
rows_come('flow', $sent, "all $sent messages, once");
is(StreamIngest::worker_pid($node, 'flow'), $pid, 'by the same worker');
is(sql('SELECT count(*) FROM stream_ingest.dead_letters'), 0, 'no dead letter');
ok(poll("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker' AND xact_start IS NULL", 3),
	'no transaction is open while workers wait');

# ---- it fails, and recovers ----

foreach my $case ([ 'fail', 'function auth\.token\(\) failed: P0001 \(raise_exception\)' ],
	[ 'conflict', 'function auth\.token\(\) failed: 40001 \(serialization_failure\)' ],
	[ 'two rows', 'function auth\.token\(\) gives no token that can be used: it returns more than one row' ])
{
	my ($mode, $reason) = @$case;

	behave($mode, 2);
	says('flow', $reason, "$mode: the reason, when the token has expired");
	$kafka->produce('flow', count => 20, first => $sent);
	$sent += 20;
	behave('ok', 2);
	rows_come('flow', $sent, 'and it resumes by itself');
}
ok(poll("SELECT state = 'streaming' AND reason IS NULL FROM stream_ingest.status WHERE name = 'flow'"), 'no reason is left');

# ---- brokers refuse its token ----

behave('no scope');
like(as('app', "SELECT stream_ingest.topics('kafka')"), qr/08004.*does not accept the connection/s, 'a token that brokers refuse: topics');
foreach my $pause ('', 'PERFORM pg_sleep(1);')
{
	like(as('app', "DO \$\$ BEGIN PERFORM stream_ingest.produce('kafka', 't', '{}'); $pause END \$\$"),
		qr/0800[46].*could not send messages to Kafka: .*uthentication/s, 'produce');
}
subscribe('app', 'renewed', 'kafka', 'idle');
ok(poll("SELECT state = 'retrying' AND reason ~ 'uthentication.*check the security options' FROM stream_ingest.status WHERE name = 'renewed'"),
	'a subscription');
behave('ok');
ok(poll("SELECT state = 'streaming' AND reason IS NULL FROM stream_ingest.status WHERE name = 'renewed'"), 'which gets another one by itself');
done('app', "SELECT stream_ingest.drop_subscription('renewed')");
behave('ok', 2);
sql("SELECT stream_ingest.disable(name), stream_ingest.enable(name) FROM stream_ingest.status WHERE name IN ('flow', 'idle')");

# ---- it is replaced by another role's ----

$before = calls();
done('app', 'ALTER FUNCTION auth.token() RENAME TO token2');
done('mallory', $create);
says('flow', 'function auth\.token\(\) may not give tokens to role "app"', 'another role\'s function has taken the name');
never_by_others('the place of a dropped function');
done('mallory', 'DROP FUNCTION auth.token()');
done('app', 'ALTER FUNCTION auth.token2() RENAME TO token');
$kafka->produce('flow', count => 20, first => $sent);
$sent += 20;
rows_come('flow', $sent, 'it is back');

# ---- a race of that kind, and of types ----

my @turns = (
	[ app => 'ALTER FUNCTION auth.token() RENAME TO token2' ],
	[ mallory => $create ],
	[ mallory => 'DROP FUNCTION auth.token()' ],
	[ app => 'CREATE FUNCTION auth.token() RETURNS TABLE (token int, expires_at timestamptz) LANGUAGE sql AS $$ SELECT 7, now() $$' ],
	[ app => 'DROP FUNCTION auth.token(); ALTER FUNCTION auth.token2() RENAME TO token' ],
	[ app => $create =~ s/CREATE/CREATE OR REPLACE/r ]);
my $script = join('', map { "SET SESSION AUTHORIZATION $_->[0]; $_->[1]; RESET SESSION AUTHORIZATION;\n" } (@turns) x 200);
my $said_by_calls = '';
my $turns = "$PostgreSQL::Test::Utils::tmp_check/turns";
append_to_file("$turns.sql", $script);
my $turning = fork() // die "fork: $!";
if ($turning == 0)
{
	open(STDOUT, '>', "$turns.out") && open(STDERR, '>&', \*STDOUT) or die "$turns.out: $!";
	exec('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', "$turns.sql") or die "psql: $!";
}
my $asked = 0;
while (waitpid($turning, WNOHANG) == 0)
{
	my ($out, $err);

	$node->psql('postgres', "SELECT 'got ' || count(*) FROM stream_ingest.topics('kafka') WHERE topic = 't';\n" x 20,
		stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'app' ]);
	$said_by_calls .= "$out\n$err\n";
	$asked += 20;
}
is($?, 0, "the function was replaced 1200 times, and called $asked times") or diag(slurp_file("$turns.out"));
my %answers;
$answers{$_}++ foreach map { /^got 1$/ ? 'got' : /ERROR: .*(does not exist|may not give tokens|does not return a token)/ ? $1 : /^(HINT|DETAIL):|^$/ ? () : $_ } split /\n/, $said_by_calls;
is(join(', ', grep { !/^(got|does not exist|may not give tokens|does not return a token)$/ } sort keys %answers), '',
	'each call has given a token, or one of the refusals') or diag(explain(\%answers));
never_by_others('a race');
sql('ALTER FUNCTION auth.token() OWNER TO app');
$kafka->produce('flow', count => 20, first => $sent);
$sent += 20;
rows_come('flow', $sent, 'the stream has survived it');

# ---- it hangs ----

$pid = StreamIngest::worker_pid($node, 'flow');
behave('hang', 2);
says('flow', 'function auth\.token\(\) did not end within 10 seconds', 'a call that takes too long is ended');
my $began = time();
like(as('app', "SET statement_timeout = '300ms'; SELECT stream_ingest.topics('kafka')"), qr/57014/, 'a statement that calls it can be canceled');
cmp_ok(time() - $began, '<', 5, 'at once');
ok(poll("SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = $pid AND wait_event = 'PgSleep'"), 'the worker is in it');
$began = time();
sql("SELECT stream_ingest.disable('flow')");
ok(poll("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", 0), 'disable ends a worker that hangs in it');
cmp_ok(time() - $began, '<', 8, 'at once');
behave('ok');
sql("SELECT stream_ingest.enable('flow')");
$kafka->produce('flow', count => 20, first => $sent);
$sent += 20;
rows_come('flow', $sent, 'and it continues');

# in a database of its own, for DROP DATABASE
sub hang_in
{
	my ($database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, qq{CREATE EXTENSION stream_ingest; CREATE SCHEMA auth; CREATE TABLE t (id bigint);
		CREATE FUNCTION auth.token() RETURNS TABLE (token text, expires_at timestamptz) LANGUAGE plpgsql AS
			\$\$ BEGIN PERFORM pg_sleep(600); END \$\$;
		CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$address',
			security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'OAUTHBEARER', sasl_oauthbearer_function 'auth.token');
		SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't')});
	ok(poll("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '$database' AND wait_event = 'PgSleep'"), 'a worker hangs');
	return;
}

hang_in('dropped');
$began = time();
is(answer('DROP DATABASE dropped'), '', 'DROP DATABASE goes through');
cmp_ok(time() - $began, '<', 8, 'at once');
hang_in('kept');
$began = time();
$node->stop('fast');
cmp_ok(time() - $began, '<', 8, 'a fast shutdown as well');
$node->start;
sql('DROP DATABASE kept');
ok(poll("SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming'", 3), 'all streams are back');

# ---- the manual's function for AWS MSK, of which the signature is recomputed ----

my ($page) = slurp_file("$FindBin::RealBin/../../doc/providers.md") =~ /```sql run\n(CREATE EXTENSION pgcrypto.*?)```/s;
$page =~ s/providers_ingest/app/g;
sql($page =~ s/CREATE SERVER.*//sr);
my ($token, $life) = split /\|/, done('app', q{SELECT token, expires_at - now() BETWEEN '14 min' AND '16 min' FROM msk.token()});
ok($life eq 't' && $token =~ /^[A-Za-z0-9_-]+$/, 'the example for MSK gives a token');
my ($host, $query, $signature) = decode_base64($token =~ tr{-_}{+/}r) =~ m{^https://([^/]+)/\?(.*)&X-Amz-Signature=([0-9a-f]{64})&User-Agent=\w+$};
my ($key_id, $day, $region) = $query =~ m{X-Amz-Credential=(\w+)%2F(\d{8})%2F([a-z0-9-]+)%2Fkafka-cluster%2Faws4_request};
my ($date) = $query =~ /X-Amz-Date=(\w+)/;
my $signed = join("\n", 'AWS4-HMAC-SHA256', $date, "$day/$region/kafka-cluster/aws4_request",
	sha256_hex(join("\n", 'GET', '/', $query, "host:$host", '', 'host', sha256_hex(''))));
my $key = 'AWS4' . 'SECRET KEY';
$key = hmac_sha256($_, $key) foreach $day, $region, 'kafka-cluster', 'aws4_request';
is($signature, hmac_sha256_hex($signed, $key), 'which AWS can check');
is($query, join('&', sort split /&/, $query), 'its parameters are in order');
like($query, qr/^Action=kafka-cluster%3AConnect&.*X-Amz-Expires=900&X-Amz-SignedHeaders=host$/, 'and complete');

# ---- nothing is shown ----

$shown .= sql('SELECT * FROM stream_ingest.status') . sql('SELECT query FROM pg_stat_activity')
  . join("\n", grep { !/statement:|STATEMENT:/ } split /\n/, slurp_file($node->logfile));
like($shown, qr/Query Text/, 'auto_explain logs plans');
my @secrets = $shown =~ /(.*(?:eyJ|secret-claim|secret words).*)/g;
is(join("\n", @secrets[0 .. ($#secrets > 3 ? 3 : $#secrets)]), '', 'no token, and none of the function\'s words, is shown');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP/, 'no process has crashed');

$node->stop;
done_testing();
