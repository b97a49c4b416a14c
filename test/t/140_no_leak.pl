# Nothing leaks.
#
# With everything logged that the server can log, of good and bad messages
# nothing may stand in the server's log, in status, or in the error messages of
# retry_dead_letters: neither keys, values nor headers; and no password of a
# user mapping anywhere.  Everything secret holds the word PAYLOADMARK.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $marker = 'PAYLOADMARK';
my $part = 'ADMAR';               # what we may name in a statement of ours
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $answers = '';

# What the server says to a client, with all there is to say.
sub sql
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', "SET client_min_messages = debug5;\n\\set VERBOSITY verbose\n$sql",
		stdout => \$out, stderr => \$err);
	$answers .= $err;
	return $out;
}

sub quietly { return $node->safe_psql('postgres', $_[0]); }

sub wait_offset
{
	my ($next) = @_;

	return StreamIngest::poll_until($node,
		'SELECT sum(next_offset) FROM stream_ingest.offsets', $next);
}

sub leaks
{
	my ($where, $text) = @_;
	my @lines = grep { /$marker/i } split /\n/, $text;

	splice(@lines, 5) if @lines > 5;
	is(join("\n", @lines), '', "nothing in $where");
	return;
}

# The server itself logs the statement that makes a user mapping, if it is told
# to log statements.
my $dead_port = 1;
quietly("
	SET log_statement = none;
	CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS (sasl_username '${marker}_user', sasl_password '${marker}_password');
	CREATE SERVER sasl FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:$dead_port',
		security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
	CREATE USER MAPPING FOR CURRENT_USER SERVER sasl OPTIONS (sasl_username '${marker}_user', sasl_password '${marker}_password');
	CREATE DOMAIN positive AS int CHECK (VALUE > 0);
	CREATE TABLE parents (id int PRIMARY KEY);
	CREATE TABLE t (id int, a text, k text, h jsonb, n int CHECK (n >= 0), short varchar(3), d positive, nn text NOT NULL DEFAULT '',
		u text UNIQUE, parent int REFERENCES parents, at timestamptz, m text, j jsonb, list int[], say text);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		IF NEW.say ~ 'data' THEN
			RAISE EXCEPTION 'no %', NEW USING DETAIL = NEW::text, HINT = NEW::text;
		ELSIF NEW.say ~ 'passing' THEN
			RAISE EXCEPTION 'no %', NEW USING DETAIL = NEW::text, HINT = NEW::text, ERRCODE = '40001';
		END IF;
		RETURN NEW;
	END \$\$;
	CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse();");
$node->append_conf(
	'postgresql.conf', q(
		log_statement = all
		log_min_messages = debug5
		log_min_error_statement = debug5
		log_min_duration_statement = 0
		log_parameter_max_length = -1
		log_parameter_max_length_on_error = -1
		log_error_verbosity = verbose
		log_executor_stats = off
		debug_print_plan = on
		debug_print_parse = on
		debug_print_rewritten = on
		log_lock_waits = on
		shared_preload_libraries = 'stream_ingest, auto_explain'
		auto_explain.log_min_duration = 0
		auto_explain.log_nested_statements = on
		auto_explain.log_verbose = on
		auto_explain.log_analyze = on
		auto_explain.log_triggers = on
		auto_explain.log_settings = on));
$node->append_conf('postgresql.conf', 'auto_explain.log_parameter_max_length = -1')
  if $node->pg_version >= 16;
$node->restart;

my @good = map { qq({"id": $_, "a": "$marker $_", "u": "$marker $_", "m": "$marker", "j": {"$marker": "$marker"}, "at": "2024-01-01"}) } 1 .. 50;
my @bad = (
	"$marker is not JSON", qq({"id": 1, "a": "$marker), qq(["$marker"]), qq("$marker"), qq({"$marker": 1}),
	map { "{$_}" } (
		qq("id": "$marker"),         qq("id": ["$marker"]),      qq("short": "$marker"),
		qq("n": -1, "a": "$marker"), qq("d": -1, "a": "$marker"), qq("d": "$marker"),
		qq("nn": null, "a": "$marker"), qq("u": "$marker 1"),    qq("parent": 77, "a": "$marker"),
		qq("at": "$marker"),         qq("a": "$marker\\u0000"),  qq("a": "$marker \xff"),
		qq("list": ["$marker"]),     qq("list": "$marker"),      qq("say": "data $marker"),
		qq("a": "$marker", "j": ) . '[' x 2000 . ']' x 2000));
my @headers = (headers => [ "head=$marker", "$marker=tail", "bytes=\xff$marker" ]);

$kafka->create_topic('t', 1);
$kafka->produce('t', [ map { "$marker#$_" } @good, @bad ], partition => 0, key_separator => '#', @headers);
sql(q(SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't', mapping => '{"k": "$key", "h": "$headers"}')));
ok(wait_offset(@good + @bad), 'all messages are done');
is(quietly('SELECT applied, dead_letters FROM stream_ingest.counts'), @good . '|' . @bad, 'the good and the bad');
is(quietly("SELECT count(*) FROM t WHERE k ~ '$part' AND h::text ~ '$part' AND a ~ '$part'"), scalar @good, 'the rows have what is secret');

# retrying and discarding, in a caller's session
is(sql('SELECT stream_ingest.retry_dead_letters($$t$$)'), 0, 'nothing can be applied');
sql('SELECT stream_ingest.seek($$t$$, 0, 0)');
ok(StreamIngest::poll_until($node, 'SELECT max(attempts) >= 3 FROM stream_ingest.dead_letters'),
	'all messages once more');

# temporary errors: the worker's and the caller's
quietly(q(CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'no %', NEW USING DETAIL = NEW::text, HINT = NEW::text, ERRCODE = '40001';
	END $$;
	ALTER TABLE t DROP CONSTRAINT t_n_check));
sql('SELECT stream_ingest.retry_dead_letters($$t$$)');
like($answers, qr/40001/, 'a temporary error of a retry is told');
sql("DO \$\$ BEGIN PERFORM stream_ingest.retry_dead_letters('t'); END \$\$");
$kafka->produce('t', [ map { "$marker#$_" } @good ], partition => 0, key_separator => '#', @headers);
ok(StreamIngest::poll_until($node, "SELECT state = 'retrying' AND last_error_sqlstate = '40001' FROM stream_ingest.status"),
	'a temporary error of a batch is told');
leaks('status', quietly('SELECT * FROM stream_ingest.status'));

# lasting: everything is refused alike, the statement itself; fewer than 100 rows would be dead letters, so
# they come as one batch
sql(q(SELECT stream_ingest.alter_subscription('t', options => '{"batch_interval": "3 s"}')));
quietly(q(ALTER TABLE t DISABLE TRIGGER refuse; ALTER TABLE t ADD refuses text, ADD CHECK (refuses IS NOT NULL) NOT VALID));
$kafka->produce('t', [ map { "$marker#$_" } @good, @good, @good ], partition => 0, key_separator => '#', @headers);
ok(StreamIngest::poll_until($node, "SELECT state = 'stopped' AND reason ~ 'alike' FROM stream_ingest.status"),
	'a lasting error is told');
leaks('status', quietly('SELECT * FROM stream_ingest.status'));
quietly(q(TRUNCATE t; ALTER TABLE t DROP refuses));
sql(q(SELECT stream_ingest.alter_subscription('t', options => '{"batch_interval": null}')));

# stopping at a message
sql(q(SELECT stream_ingest.alter_subscription('t', options => '{"on_error": "stop"}')));
$kafka->produce('t', [ map { "$marker#$_" } @bad ], partition => 0, key_separator => '#', @headers);
for my $n (1 .. 4)
{
	ok(StreamIngest::poll_until($node, "SELECT state = 'stopped' AND reason ~ 'message at' FROM stream_ingest.status"),
		'it stops at a message');
	leaks('status', quietly('SELECT * FROM stream_ingest.status'));
	my $next = quietly('SELECT sum(next_offset) + 1 FROM stream_ingest.offsets');
	sql("SELECT stream_ingest.seek('t', 0, $next)");
	ok(wait_offset($next), 'past it') if $n > 4;
	StreamIngest::poll_until($node, "SELECT sum(next_offset) >= $next FROM stream_ingest.offsets");
}

# passwords: brokers that cannot be reached, options that are wrong
sql("SELECT stream_ingest.create_subscription('s', 'sasl', 'x', 't')");
ok(StreamIngest::poll_until($node, "SELECT last_error IS NOT NULL FROM stream_ingest.status WHERE name = 's'"),
	'a broker that is not there');
leaks('status', quietly('SELECT * FROM stream_ingest.status'));
sql("SELECT * FROM stream_ingest.topics('sasl')");
sql("SELECT stream_ingest.drop_subscription('s'); SELECT stream_ingest.drop_subscription('t')");
leaks('what others may see',
	quietly("CREATE ROLE watcher IN ROLE pg_monitor; SET ROLE watcher; SELECT * FROM stream_ingest.dead_letters; SELECT srvoptions FROM pg_foreign_server; SELECT umoptions FROM pg_user_mappings"));

$node->stop;

my $log = slurp_file($node->logfile);

like($log, qr/auto_explain|Query Text/, 'everything is logged');
like($log, qr/INSERT INTO public\.t/, 'also the statement of a batch');
leaks('the server\'s log', $log);
leaks('what clients were told', $answers);

done_testing();
