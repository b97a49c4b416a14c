# The option sasl_oauthbearer_function, where no broker is needed: a token goes to no server
# whose owner could not call the function; the words of a function do not come into the log
# by the processes that run a parallel query of it; and it may register exit callbacks.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql answer);
use Test::More;

my $node = StreamIngest::new_node('main', conf => { wal_level => 'replica' });	# for pg_backup_start()

sub as { my ($role, $sql) = @_; return answer($sql, extra_params => [ '-U', $role ]); }

# What is logged meanwhile.
sub logged
{
	my ($role, $sql) = @_;
	my $before = length slurp_file($node->logfile);

	as($role, $sql);
	return substr slurp_file($node->logfile), $before;
}

sub add_server
{
	my ($role, $name, $function) = @_;

	return as($role, qq{CREATE SERVER $name FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:1',
			security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'OAUTHBEARER', sasl_oauthbearer_function '$function');
		GRANT USAGE ON FOREIGN SERVER $name TO PUBLIC});
}

sql('CREATE ROLE app LOGIN; CREATE ROLE mallory LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER stream_ingest TO app, mallory;
	CREATE SCHEMA private AUTHORIZATION app; CREATE SEQUENCE calls; GRANT ALL ON SEQUENCE calls TO app');

# ---- the schema protects the function, as in SQL ----

is(as('app', q{CREATE FUNCTION private.token() RETURNS TABLE (token text, expires_at timestamptz) LANGUAGE sql AS
	$$ SELECT 'x', now() + interval '1 h' FROM nextval('public.calls') $$}), '', 'a function in a schema of its own');
like(as('mallory', 'SELECT * FROM private.token()'), qr/42501.*permission denied for schema private/s, 'which others cannot call');
is(add_server('mallory', 'hers', 'private.token'), '', 'but may name');
like(as('app', "SELECT stream_ingest.topics('hers')"), qr/42501.*may not give tokens for a server of role "mallory"/s,
	'it gives no token for a server whose owner lacks USAGE on the schema');
is(sql('SELECT is_called FROM calls'), 'f', 'and is not called');

# ---- parallel queries ----

my $parallel = sql("SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')");
as('app', qq{CREATE FUNCTION private.failing() RETURNS TABLE (token text, expires_at timestamptz) LANGUAGE plpgsql
	SET $parallel = on AS \$\$
	DECLARE
		secret text := 'secret' || ' words';
	BEGIN
		EXECUTE format('SELECT max((relname || %L)::int) FROM pg_catalog.pg_class', secret);
		RETURN QUERY SELECT 'x', now() + interval '1 h';
	END \$\$});
is(add_server('app', 'own', 'private.failing'), '', 'a function that fails in a parallel query');
like(logged('app', 'SELECT private.failing()'), qr/parallel worker.*secret words|secret words.*parallel worker/s, 'is logged by SQL');
my $log = logged('app', "SELECT stream_ingest.topics('own')");
like($log, qr/function private\.failing\(\) failed: 22P02/, 'its failure has the SQLSTATE');
unlike($log, qr/secret words/, 'and its words and statements are not logged');

# the same of a batch, whose payload a trigger's query may quote
sql(qq{CREATE TABLE pay (id bigint, v text);
	CREATE FUNCTION pay() RETURNS trigger LANGUAGE plpgsql SET $parallel = on AS \$\$ BEGIN
		PERFORM max((relname || NEW.v)::int) FROM pg_catalog.pg_class; RETURN NEW; END \$\$;
	CREATE TRIGGER t BEFORE INSERT ON pay FOR EACH ROW EXECUTE FUNCTION pay();
	CREATE SERVER plain FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:1');
	SELECT stream_ingest.create_subscription('pay', 'plain', 't', 'pay');
	INSERT INTO stream_ingest.dead_letter (subscription, topic, partition, message_offset, value, sqlstate)
		SELECT id, 't', 0, 5, convert_to('{"id": 1, "v": "' || 'PAY' || 'LOAD"}', 'UTF8'), '22000' FROM stream_ingest.subscription});
my $superuser = sql('SELECT current_user');
unlike(logged($superuser, "SELECT stream_ingest.retry_dead_letters('pay')"), qr/PAYLOAD/, 'a batch logs no payload');
is(sql('SELECT sqlstate FROM stream_ingest.dead_letters'), '22P02', 'but its trigger has failed');

# ---- a function that registers a callback for the exit of its process ----

sql('GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO app');
as('app', q{CREATE FUNCTION private.registering() RETURNS TABLE (token text, expires_at timestamptz) LANGUAGE sql AS
	$$ SELECT 'x', now() + interval '1 h' FROM pg_backup_start('x', true) $$});
is(add_server('app', 'registering', 'private.registering'), '', 'a function that registers a callback');
like(as('app', "SET statement_timeout = '3s'; SELECT stream_ingest.topics('registering')"), qr/57014/, 'a query that is canceled');
is(sql('SELECT pg_sleep(1), 1'), '|1', 'the server lives');
unlike(slurp_file($node->logfile), qr/not the latest entry|terminated by signal|PANIC|TRAP:/, 'no callback is left');

$node->stop;
done_testing();
