# Preview tells the truth and changes nothing: every kind of bad message shows
# its own error, and when the subscription is enabled it is just these that
# become dead letters; before that the database is what it was, and Kafka too.
# It runs no code with another's rights, disturbs no worker, is not
# misled by one, and ends at once when it is told to.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql answer);
use Test::More;
use Time::HiRes qw(time);

my $kafka = StreamIngest::start_kafka();
my $sasl = $kafka->add_sasl('app', 'secret');
my $node = StreamIngest::new_node('main', kafka => $kafka);

# no broker listens there
my $nowhere = '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();

# ---- a table that can refuse a row for all these reasons

# the fields of a bad message, its SQLSTATE, and some words of its error
my @ways = (
	[ 'not JSON',           undef,                                            '22P02', 'line 1, column' ],
	[ 'wrong type',         '"small": "seven"',                               '22P02', 'COLUMN NAME:  small' ],
	[ 'too long',           '"short": "much too long"',                       '22001', 'character varying(5)' ],
	[ 'null in NOT NULL',   '"filled": null',                                 '23502', 'column "filled"' ],
	[ 'CHECK',              '"amount": -1',                                   '23514', '"t_amount_check"' ],
	[ 'unique',             '"twin": 1',                                      '23505', 'Key (twin)=(1)' ],
	[ 'foreign key',        '"parent": 2',                                    '23503', 'Key (parent)=(2)' ],
	[ 'exclusion',          '"during": "[5,6]"',                              '23P01', '"t_during"' ],
	[ 'trigger',            '"say": "raise"',                                 'P0001', 'keeper, restricted' ],
	[ 'trigger, odd code',  '"say": "internal"',                              'XX000', 'this one neither' ],
	[ 'domain',             '"positive": -1',                                 '23514', 'COLUMN NAME:  positive' ],
	[ 'deferred',           '"late": 2',                                      '23503', 'Key (late)=(2)' ],
	[ 'NUL byte',           '"note": "a\\u0000b"',                            '22P05', '' ],
	[ 'bad UTF-8',          "\"note\": \"\xff\"",                             '22021', '' ],
	[ '10,000 levels deep', '"rest": ' . '[' x 10_000 . ']' x 10_000,         '54001', '' ],
	[ '1e999999',           '"ratio": 1e999999',                              '22003', '' ],
	[ 'numeric overflow',   '"amount": 12345678',                             '22003', '' ],
	[ 'shape of an array',  '"list": [[1, 2], [3]]',                          '22P02', '' ],
	[ 'too big to index',   '"indexed": "' . join('', map { chr(65 + rand(26)) } 1 .. 9_000) . '"', '54000', 'index' ],
	[ 'no partition',       '"region": "nowhere"',                            '23514', 'no partition of relation' ]);

sql("
	CREATE ROLE keeper LOGIN;
	CREATE SCHEMA s AUTHORIZATION keeper;
	GRANT USAGE ON FOREIGN SERVER kafka TO keeper;
	SET SESSION AUTHORIZATION keeper;
	SET search_path = s;
	CREATE DOMAIN positive AS int CHECK (VALUE > 0);
	CREATE TABLE parents (id int PRIMARY KEY);
	INSERT INTO parents VALUES (1);
	CREATE TABLE log (what text);
	CREATE TABLE t (id bigint, small smallint, note text, amount numeric(8,2) CHECK (amount >= 0),
		list int[], short varchar(5), filled text NOT NULL DEFAULT 'x', twin int,
		parent int REFERENCES parents, late int REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
		during int4range, say text, positive positive, rest jsonb, ratio float8, indexed text,
		region text DEFAULT 'here')
		PARTITION BY LIST (region);
	CREATE TABLE t_here PARTITION OF t FOR VALUES IN ('here');
	ALTER TABLE t_here ADD CONSTRAINT t_twin UNIQUE (twin),
		ADD CONSTRAINT t_during EXCLUDE USING gist (during WITH &&);
	CREATE INDEX t_indexed ON t_here (indexed);
	INSERT INTO t (id, twin, during) VALUES (-1, 1, '[0,10]');
	CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \$\$
	DECLARE
		context text = current_user;
	BEGIN
		PERFORM stream_ingest.produce('kafka', 'told', NEW.id::text);
		INSERT INTO s.log VALUES (NEW.id);
		NOTIFY told;
		IF NEW.say = 'raise' THEN
			BEGIN
				CREATE TEMP TABLE outside ();
			EXCEPTION WHEN insufficient_privilege THEN
				context = context || ', restricted';
			END;
			RAISE EXCEPTION 'this one not: %', context;
		ELSIF NEW.say = 'internal' THEN
			RAISE EXCEPTION 'this one neither' USING ERRCODE = 'XX000';
		END IF;
		RETURN NEW;
	END \$\$;
	CREATE TRIGGER tell BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell();");

$kafka->create_topic('bad', 2);
$kafka->create_topic('told', 1);

# in partition 0 one of each kind, each behind a good one; in 1 good ones alone
my @messages;
foreach my $way (@ways)
{
	push @messages, '{"id": ' . scalar(@messages) . ', "note": "good"}';
	push @messages,
	  defined $way->[1] ? '{"id": ' . scalar(@messages) . ", $way->[1]}" : 'message ' . scalar(@messages);
}
$kafka->produce('bad', \@messages, partition => 0);
$kafka->produce('bad', [ map { "{\"id\": $_, \"parent\": 1}" } 1000 .. 1009 ], partition => 1);

sql("
	SET SESSION AUTHORIZATION keeper;
	SELECT stream_ingest.create_subscription('bad', 'kafka', 'bad', 's.t', enabled => false)");

# ---- each its own error, and nothing changes

# All that could change: every row of every table, with the extension's.
sub state_of_all
{
	my ($dump) = run_command([ 'pg_dump', '--data-only', '--inserts', '-d', $node->connstr('postgres') ]);

	# newer versions make each dump unlike any other
	$dump =~ s/^\\(?:un)?restrict .*\n//mg;
	return join("\n", $dump, sql('SELECT * FROM stream_ingest.counts'),
		sql('SELECT name, partition, next_offset FROM stream_ingest.offsets'),
		$kafka->end_offset('told', 0));
}

my $before = state_of_all();
like($before, qr/INSERT INTO s\.t_here/, 'the state has the target');
like($before, qr/INSERT INTO stream_ingest\./, 'and the extension\'s tables');

my $listener = "LISTEN told;\n";
my $shown = answer("$listener
	SELECT partition, message_offset, row_data ->> 'id', sqlstate, replace(error, E'\\n', ' ')
	  FROM stream_ingest.preview('bad', 1000)");
my %shown = map { /^(\d+)\|(\d+)\|(.*)$/s ? ("$1.$2" => $3) : ($_ => 'what is this?') } split /\n/, $shown;
is(scalar(keys %shown), @messages + 10, 'every message is shown once, and no session is notified');
foreach my $i (0 .. $#ways)
{
	my ($what, undef, $sqlstate, $words) = @{ $ways[$i] };
	my $good = 2 * $i;
	my $bad = 2 * $i + 1;

	is($shown{"0.$good"}, "$good||", "before $what: a good one");
	like($shown{"0.$bad"}, qr/^(?:$bad)?\|$sqlstate\|.*\Q$words\E/, $what);
}
is(scalar(grep { $shown{"1.$_"} eq (1000 + $_) . '||' } 0 .. 9), 10, 'good ones in the other partition');
is(state_of_all(), $before, 'nothing has changed');

is( answer("SELECT string_agg(format('%s.%s', partition, message_offset), ' ') FROM stream_ingest.preview('bad', 5)"),
	'0.0 0.1 0.2 1.0 1.1', 'a few, over all partitions');
is( answer("SELECT row_data FROM stream_ingest.preview('bad', 2) LIMIT 1"),
	'{"id": 0, "say": null, "late": null, "list": null, "note": "good", "rest": null, "twin": null, '
	  . '"ratio": null, "short": null, "small": null, "amount": null, "during": null, "parent": null, '
	  . '"indexed": null, "positive": null}',
	'a row, without what takes a default');

# what it says is what comes, with the detail, which a dead letter has beside the error
my $errors = sql("SELECT message_offset, sqlstate, regexp_replace(error, '\\nCOLUMN NAME:.*', '')
	FROM stream_ingest.preview('bad', 1000) WHERE error IS NOT NULL ORDER BY 1");
like($errors, qr/\nDETAIL:  Failing row contains .*\n.*\nDETAIL:  Key /, 'some have a detail');
sql("SELECT stream_ingest.enable('bad')");
ok(StreamIngest::poll_until($node, "SELECT coalesce(sum(next_offset), 0) FROM stream_ingest.offsets WHERE name = 'bad'",
		@messages + 10), 'the subscription reads');
$errors =~ s/keeper, restricted/keeper/;	# its own session is the owner's
is( sql(q{SELECT message_offset, sqlstate, concat(error, E'\nDETAIL:  ' || detail) FROM stream_ingest.dead_letters ORDER BY 1}),
	$errors, 'just these become dead letters, with the same details');
is(sql("SELECT applied FROM stream_ingest.counts WHERE name = 'bad'"), @ways + 10, 'and all others rows');

# ---- while a worker reads

is(answer("SELECT count(*) FROM stream_ingest.preview('bad', 1000)"), '0', 'when all is read there is no next one');
$kafka->create_topic('busy', 2);
$kafka->produce('busy', count => 10_000, round_robin => 2);
sql("
	CREATE TABLE busy (id bigint PRIMARY KEY, payload text);
	SELECT stream_ingest.create_subscription('busy', 'kafka', 'busy', 'busy', options => '{\"rate_limit\": 1000}')");
my ($previews, $rows) = (0, 0);
while (sql("SELECT coalesce(sum(next_offset), 0) FROM stream_ingest.offsets WHERE name = 'busy'") < 10_000
	&& $previews < 1_000)
{
	my $answer = answer("SELECT count(*), count(error) FROM stream_ingest.preview('busy', 2000)");

	$previews++;
	$rows += $1 if $answer =~ /^(\d+)\|0$/;
	next if $answer =~ /^\d+\|0$/;
	is($answer, 'no error', "preview $previews takes no row of the worker's for a duplicate");
	last;
}
cmp_ok($rows, '>', 0, "$previews previews during a load saw $rows messages to come");
ok(StreamIngest::poll_until($node, 'SELECT count(*), min(id), max(id) FROM busy', '10000|0|9999'), 'which came');
is(sql("SELECT messages, applied, dead_letters FROM stream_ingest.counts WHERE name = 'busy'"), '10000|10000|0',
	'all of them once');

# ---- gaps and holes

sql("SELECT stream_ingest.disable('busy')");
$kafka->produce('busy', count => 10, first => 20_000, partition => 0);
$kafka->delete_records('busy', 0, 5_004);
like(answer("SELECT message_offset FROM stream_ingest.preview('busy', 1)"),
	qr/NOTICE:  00000: subscription "busy" would stop here: messages 5000 to 5003 of topic "busy", partition 0 were deleted/,
	'what the broker no longer has is told of');
is( $node->safe_psql('postgres',
		"SET client_min_messages = warning; SELECT string_agg(message_offset::text, ' ') FROM stream_ingest.preview('busy', 3)"),
	'5004 5005 5006',
	'and the messages behind it shown');
sql("SELECT stream_ingest.alter_subscription('busy', options => '{\"on_gap\": \"continue\"}')");
is(answer("SELECT count(*) FROM stream_ingest.preview('busy')"), '6', 'on_gap = continue: nothing to tell');
is(sql('SELECT count(*) FROM stream_ingest.gaps'), '0', 'no gap is recorded');

$kafka->create_topic('holes', 1);
foreach my $i (1 .. 10)
{
	$kafka->produce('holes', ["{\"id\": $i}"], transaction => 'commit', partition => 0);
	$kafka->produce('holes', ['{"id": -1}'], transaction => 'abort', partition => 0) if $i % 3 == 0;
}

# a broker writes a marker some time after it has acknowledged the transaction's end
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
select(undef, undef, undef, 0.05) until $kafka->end_offset('holes', 0) >= 26 || time() > $limit;
sql("
	CREATE TABLE holes (id bigint);
	SELECT stream_ingest.create_subscription('holes', 'kafka', 'holes', 'holes', enabled => false);
	SELECT stream_ingest.create_subscription('dirty', 'kafka', 'holes', 'holes', enabled => false,
		options => '{\"isolation.level\": \"read_uncommitted\"}')");
is( answer("SELECT string_agg(row_data ->> 'id', ' ') FROM stream_ingest.preview('holes', 5)"),
	'1 2 3 4 5', 'aborted messages are none');
is( answer("SELECT string_agg(row_data ->> 'id', ' ') FROM stream_ingest.preview('holes', 100)"),
	join(' ', 1 .. 10), 'to the end');
is( answer("SELECT string_agg(row_data ->> 'id', ' ') FROM stream_ingest.preview('dirty', 5)"),
	'1 2 3 -1 4', 'by the properties of the subscription');

# ---- rights

sql("
	CREATE ROLE stranger LOGIN;
	CREATE SERVER closed FOREIGN DATA WRAPPER stream_ingest
		OPTIONS (bootstrap_servers '$sasl', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
	CREATE USER MAPPING FOR keeper SERVER closed OPTIONS (sasl_username 'app', sasl_password 'secret');
	CREATE USER MAPPING FOR PUBLIC SERVER closed OPTIONS (sasl_username 'app', sasl_password 'sesame');
	GRANT USAGE ON FOREIGN SERVER closed TO keeper;
	SET SESSION AUTHORIZATION keeper;
	CREATE TABLE s.plain (id bigint);
	SELECT stream_ingest.create_subscription('closed', 'closed', 'holes', 's.plain', enabled => false);
	SELECT stream_ingest.create_subscription('applied', 'kafka', 'holes', fields => 'id int', enabled => false,
		apply => 'SELECT id / 0 FROM batch WHERE current_user <> \$\$keeper\$\$')");
like(answer("SELECT * FROM stream_ingest.topics('closed')"), qr/08004: /, 'who looks has no good password');
is(answer("SELECT count(*) FROM stream_ingest.preview('closed')"), '10', 'the owner\'s mapping is used');
is(answer("SELECT count(*), count(error) FROM stream_ingest.preview('applied')"), '10|0', 'apply runs as its owner');
like(answer("SELECT * FROM stream_ingest.preview('closed')", extra_params => [ '-U', 'stranger' ]),
	qr/42501: must be owner of subscription "closed"/, 'not for strangers');

# ---- locks, and what is left of them

my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE holes');
like(answer("SET lock_timeout = '100ms'; SELECT * FROM stream_ingest.preview('holes')"),
	qr/55P03: canceling statement due to lock timeout/, 'lock_timeout is heeded');
$holder->query_safe("ROLLBACK; BEGIN; SELECT count(*) FROM stream_ingest.preview('holes')");
is(answer("SET lock_timeout = '5s'; BEGIN; LOCK TABLE holes; ROLLBACK; SELECT 'free'"), 'free',
	'a transaction that has previewed holds no lock');
$holder->query_safe('COMMIT');
$holder->quit;

# ---- nothing piles up in a session

sql("SELECT stream_ingest.disable('bad'), stream_ingest.seek('bad', 'earliest')");
is(answer("SELECT count(*), count(error) FROM stream_ingest.preview('bad', 1000)"), '50|20',
	'a seek that is yet to be carried out is seen');
my $memory = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts;\n";
my $some = "SELECT count(*) FROM stream_ingest.preview('bad', 1000);\nSELECT count(*) FROM stream_ingest.preview('holes', 2);\n";
my @bytes = grep { $_ > 100_000 } split /\n/, sql($some x 2 . $memory . $some x 20 . $memory);
cmp_ok($bytes[1], '<', 1.05 * $bytes[0], "no memory is lost ($bytes[0] bytes, then $bytes[1])");

# ---- it ends at once

sql("
	CREATE SERVER nowhere FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$nowhere');
	SELECT stream_ingest.create_subscription('away', 'nowhere', 'holes', 'holes', enabled => false)");
like(answer("SELECT * FROM stream_ingest.preview('away')"),
	qr/08006: Kafka server "nowhere" did not answer within 10 seconds\nDETAIL: .*\nHINT: .*bootstrap_servers/,
	'no broker there: an error with a hint');

my ($in, $out, $err) = ('', '', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
$in = "SELECT pg_backend_pid();\nSELECT * FROM stream_ingest.preview('away');\nSELECT 'over';\n";
$session->pump until $out =~ /^(\d+)\n/;
my $pid = $1;
ok(StreamIngest::poll_until($node, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid AND query LIKE '%away%'",
		'Extension'), 'a preview waits');
my $began = time();
sql("SELECT pg_cancel_backend($pid)");
$session->pump until $out =~ /over/;
my $took = time() - $began;
like($err, qr/canceling statement due to user request/, 'a preview can be cancelled');
cmp_ok($took, '<', 5, sprintf('at once, and not after ten seconds (%.2f s)', $took));
$session->finish;

# a payload never reaches the log
$node->stop('fast');
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|terminated by signal/, 'nothing crashed');
unlike($log, qr/(?:ERROR|DETAIL|WARNING|NOTICE|CONTEXT): .*(?:Failing row|Key \(|this one n|much too long)/, 'the log has no word of a message');

done_testing();
