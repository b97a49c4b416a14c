# The extension's own tables bear what is done to all tables of a database:
# publications, row security, rewrites, triggers, event triggers.  What they
# cannot bear is told as such: no message is blamed, none is lost or doubled, and
# it continues when that is repaired.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;
use Time::HiRes qw(time);

my $partitions = 4;
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { wal_level => 'logical', max_replication_slots => 4, max_wal_senders => 4 });
my %sent;
my $timeout = $PostgreSQL::Test::Utils::timeout_default;

sub subscribe
{
	my ($name, $options) = @_;

	$kafka->create_topic($name, $partitions);
	sql(qq{
		CREATE TABLE $name (p int, o bigint, id bigint CHECK (id >= 0), who text DEFAULT current_user);
		GRANT INSERT ON $name TO plain;
		SET ROLE plain;
		SELECT stream_ingest.create_subscription('$name', 'kafka', '$name', '$name',
			mapping => '{"id": "id", "p": "\$partition", "o": "\$offset"}', options => '$options')});
	return;
}

# The same number to each partition.
sub produce
{
	my ($name, $n) = @_;

	$kafka->produce($name, count => $n * $partitions, first => ($sent{$name} //= 0), round_robin => $partitions);
	$sent{$name} += $n * $partitions;
	return;
}

sub arrived
{
	my ($name, $what) = @_;

	ok(poll("SELECT count(*), count(DISTINCT (p, o)) FROM $name", "$sent{$name}|$sent{$name}"),
		"$name: $what, once each");
	return;
}

# A new process reads again what the old one had not recorded.
sub restart
{
	my ($name) = @_;

	sql("SELECT stream_ingest.disable('$name'); SELECT stream_ingest.enable('$name')");
	return;
}

sub end_workers
{
	sql(q{SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE pid IS NOT NULL});
	return;
}

# Start statements in a session of their own; finished() returns its errors.
sub session
{
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @_ ],
		'<', \'', '>', \$out, '2>', \$err);

	return { run => $run, err => \$err };
}

sub finished
{
	my ($session) = @_;

	$session->{run}->finish;
	return ${ $session->{err} };
}

sub reason
{
	my ($name, $reason, $what) = @_;

	ok(poll("SELECT bool_or(state = 'stopped' AND reason ~ \$re\$$reason\$re\$) FROM stream_ingest.status WHERE name = '$name'"),
		"$name: $what");
	note(sql("SELECT state, reason, last_error FROM stream_ingest.status WHERE name = '$name'"));
	is( sql("SELECT count(*) FROM stream_ingest.dead_letters WHERE name = '$name'"), 0, "$name: no message is blamed");
	is( sql("SELECT count(*) FROM stream_ingest.subscription WHERE name = '$name' AND stop_state IS NOT NULL"),
		0, "$name: it need not be enabled");
	return;
}

sql('CREATE ROLE plain LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO plain');
my @tables = split /\n/, sql(
	"SELECT oid::regclass FROM pg_class WHERE relnamespace = 'stream_ingest'::regnamespace AND relkind = 'r' ORDER BY 1");

# ---- where a row was, another one is ----

# A row of progress is remembered by its place.  After this the place of one
# partition is another one's, which is at the same offset.
subscribe('moved', '{}');
produce('moved', 3);
arrived('moved', 'the first messages are there');
ok(poll('SELECT count(DISTINCT next_offset) FROM stream_ingest.progress', 1), 'all partitions are at the same offset');
sql('VACUUM FULL stream_ingest.progress');
my $pid = StreamIngest::worker_pid($node, 'moved');
sql("SELECT pg_terminate_backend($pid)");
ok(poll("SELECT bool_and(state = 'streaming' AND pid <> $pid) FROM stream_ingest.status"), 'a worker has read the rows of progress');
my $place = "SELECT partition FROM stream_ingest.progress ORDER BY ctid LIMIT 1";
my $first = sql($place);
sql("UPDATE stream_ingest.progress SET batches = batches WHERE partition = $first");
sql('VACUUM FULL stream_ingest.progress');
isnt(sql($place), $first, "its place is another partition's");
$kafka->produce('moved', ['{"id": 1000}'], partition => $first);
$sent{moved}++;
arrived('moved', 'a message after VACUUM FULL is there');
is(sql('SELECT string_agg(partition::text, $$,$$) FROM stream_ingest.progress WHERE next_offset = 4'),
	$first, 'moved: it has advanced its own partition');
restart('moved');
foreach my $p (grep { $_ != $first } 0 .. $partitions - 1)
{
	$kafka->produce('moved', ["{\"id\": $p}"], partition => $p);
	$sent{moved}++;
}
arrived('moved', 'so are those of another process');
sql("SELECT stream_ingest.drop_subscription('moved')");

# ---- rewrites under load ----

subscribe('rewritten', '{"batch_size": 10, "workers": 2}');

# REINDEX locks a table against writers, then its indexes against readers: it
# would deadlock with a process that reads by an index and writes afterwards.
# The workers are idle before the lock is taken: one that still starts would wait
# for it at once, and the session below would end before its lock is seen.
my $idle = q{SELECT count(pid) = 2 AND bool_and(state = 'streaming') OR count(pid) = 0 AND bool_and(state = 'disabled')
	FROM stream_ingest.status WHERE name = 'rewritten'};
foreach my $case (
	[ 'subscription', 'a worker that starts', \&end_workers ],
	[ 'progress', 'a worker that looks for its position', \&end_workers ],
	[ 'progress', 'a batch', sub { produce('rewritten', 10) } ],
	[ 'dead_letter', 'a dead letter', sub { $kafka->produce('rewritten', ['{"id": -1}'], partition => 0) } ],
	[ 'dead_letter', 'retry_dead_letters()' ],
	[ 'subscription', 'disable()' ],
	[ 'progress', 'enable()' ])
{
	my ($table, $what, $act) = @$case;
	my $call = $what =~ s/\(\)/('rewritten')/r;
	my $locks = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'stream_ingest.$table'::regclass";
	ok(poll($idle), "rewritten: no worker starts or stops before $what");
	my $reindex = session(
		"SET statement_timeout = '${timeout}s'; BEGIN; LOCK TABLE stream_ingest.$table IN SHARE MODE",
		"DO \$\$BEGIN WHILE NOT ($locks AND NOT granted) LOOP PERFORM pg_sleep(0.01); END LOOP; END\$\$",
		"REINDEX TABLE stream_ingest.$table; COMMIT");
	ok(poll("$locks AND mode = 'ShareLock' AND granted", 't'), "$table is locked against writers");
	my $session = $act ? undef : session("SELECT stream_ingest.$call");

	$act->() if $act;
	is(finished($reindex), '', "REINDEX does not deadlock with $what");
	is(finished($session), '', "nor does $what") if $session;
}
produce('rewritten', 10);
ok(poll("SELECT bool_and(state = 'streaming' AND last_error IS NULL) FROM stream_ingest.status WHERE name = 'rewritten'"), 'rewritten: no worker has met an error');
arrived('rewritten', 'the messages are there after REINDEX');
my $end = time() + 4;
my $rewrites = 0;
while (time() < $end)
{
	my $load = $kafka->produce_start('rewritten', count => 300 * $partitions, first => ($sent{rewritten} //= 0),
		round_robin => $partitions);

	$sent{rewritten} += 300 * $partitions;
	foreach my $table (@tables)
	{
		sql("VACUUM FULL $table");
		sql("REINDEX TABLE $table");
	}
	sql('CLUSTER stream_ingest.progress USING progress_key_idx; CLUSTER stream_ingest.dead_letter USING dead_letter_pkey');
	sql('REINDEX (CONCURRENTLY) TABLE stream_ingest.progress');
	sql('VACUUM (FULL, ANALYZE) stream_ingest.progress');
	StreamIngest::produce_wait($load);
	$rewrites++;
}
note("$rewrites rounds of rewrites, $sent{rewritten} messages");
arrived('rewritten', 'all messages are there after rewrites under load');
sql("SELECT stream_ingest.drop_subscription('rewritten')");

# ---- publications of all tables, and their decoding ----

subscribe('published', '{"batch_size": 50}');
produce('published', 50);
sql(q{CREATE PUBLICATION everything FOR ALL TABLES;
	CREATE PUBLICATION ours FOR TABLES IN SCHEMA stream_ingest});
sql("SELECT pg_create_logical_replication_slot('everything', 'pgoutput')");
produce('published', 100);
arrived('published', 'FOR ALL TABLES does not stop it');
$kafka->produce('published', [ '{"id": -1}', '{"id": 1}' ], partition => 0);
ok(poll("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'published'", 1), 'published: a bad message is a dead letter');
sql(q{ALTER TABLE published DROP CONSTRAINT published_id_check;
	SELECT stream_ingest.retry_dead_letters('published');
	SELECT stream_ingest.seek('published', 0, 10);
	SELECT stream_ingest.reset_counts('published');
	SELECT stream_ingest.disable('published');
	SELECT stream_ingest.alter_subscription('published', options => '{"batch_size": 60}');
	SELECT stream_ingest.enable('published')});
is(sql("SELECT stream_ingest.wait_until_caught_up('published')"), 't', 'published: it can be steered');
sql(q{SELECT stream_ingest.skip('published', 1, next_offset) FROM stream_ingest.offsets WHERE name = 'published' AND partition = 1});
$kafka->produce('published', ['{"id": 1}'], partition => 1);
ok(poll("SELECT string_agg(error, ',') FROM stream_ingest.dead_letters WHERE name = 'published'", 'skipped by stream_ingest.skip()'),
	'published: a message can be skipped');
sql("SELECT stream_ingest.drop_subscription('published')");
cmp_ok(
	sql(q{SELECT count(*) FROM pg_logical_slot_get_binary_changes('everything', NULL, NULL,
		'proto_version', '1', 'publication_names', 'everything,ours')}),
	'>', 300, 'all of it can be decoded');
sql(q{SELECT pg_drop_replication_slot('everything'); DROP PUBLICATION everything; DROP PUBLICATION ours});

# ---- row security, event triggers, owners ----

subscribe('secured', '{"batch_size": 10}');
sql(join(';', map { ("ALTER TABLE $_ ENABLE ROW LEVEL SECURITY", "ALTER TABLE $_ FORCE ROW LEVEL SECURITY") } @tables));
sql(q{CREATE TABLE ddl (tag text);
	CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ddl VALUES (tg_tag); END';
	CREATE FUNCTION refuse_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no DDL here'; END$$;
	CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION note_ddl();
	CREATE EVENT TRIGGER note_drop ON sql_drop EXECUTE FUNCTION note_ddl();
	CREATE EVENT TRIGGER refuse_ddl ON ddl_command_start EXECUTE FUNCTION refuse_ddl()});
produce('secured', 20);
arrived('secured', 'row security and event triggers do not stop it');
restart('secured');
produce('secured', 20);
arrived('secured', 'nor another process');
is(sql("SET ROLE plain; SELECT count(*), sum(next_offset) FROM stream_ingest.offsets WHERE name = 'secured'"),
	"$partitions|$sent{secured}", 'secured: the views show it to its owner');
sql(q{ALTER EVENT TRIGGER refuse_ddl DISABLE; DROP EVENT TRIGGER refuse_ddl; DROP EVENT TRIGGER note_drop; DROP EVENT TRIGGER note_ddl});
sql(join(';', map { ("ALTER TABLE $_ DISABLE ROW LEVEL SECURITY", "ALTER TABLE $_ NO FORCE ROW LEVEL SECURITY", "ALTER TABLE $_ OWNER TO plain") } @tables));
produce('secured', 20);
arrived('secured', 'nor another owner of the tables');
sql(join(';', map { "ALTER TABLE $_ OWNER TO CURRENT_USER" } @tables));
sql("SELECT stream_ingest.drop_subscription('secured')");

# ---- a trigger on all tables ----

# It asks us what happens, so that our statements nest.
subscribe('audited', '{"batch_size": 10}');
sql(q{CREATE TABLE public.audit (who text, n bigint);
	CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
	BEGIN
		INSERT INTO audit SELECT current_user, count(*) FROM stream_ingest.status;
		BEGIN
			PERFORM stream_ingest.seek('no such subscription', 'earliest');
		EXCEPTION WHEN undefined_object THEN NULL;
		END;
		RETURN NULL;
	END $$});
sql(join(';', map { "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON $_ FOR EACH STATEMENT EXECUTE FUNCTION public.audit()" } @tables));
produce('audited', 20);
arrived('audited', 'an audit of all tables does not stop it');
is(sql("SELECT count(*) > 0 FROM audit"), 't', 'audited: the trigger has fired');
is(sql("SELECT string_agg(DISTINCT who, ',') FROM audited"), 'plain', 'audited: rows are still written by the owner alone');
is( sql("SET ROLE plain; BEGIN; DO \$\$BEGIN PERFORM stream_ingest.disable('audited'); PERFORM stream_ingest.enable('audited'); END\$\$; SELECT current_user; COMMIT"),
	'plain', 'audited: and no session becomes another role by it');

# ... and then fails.
sql(q{CREATE OR REPLACE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO nowhere VALUES (1); RETURN NULL; END'});
produce('audited', 20);
reason('audited', 'tables of stream_ingest itself.*relation "nowhere" does not exist.*42P01.*resumes automatically',
	'an audit that fails is told as such');
sql(join(';', map { "DROP TRIGGER audit ON $_" } @tables));
arrived('audited', 'it continues when that is repaired');
sql("SELECT stream_ingest.drop_subscription('audited')");

# ---- what cannot be borne ----

subscribe('identity', '{}');
produce('identity', 10);
arrived('identity', 'the first messages are there');
sql('ALTER TABLE stream_ingest.progress REPLICA IDENTITY NOTHING; CREATE PUBLICATION everything FOR ALL TABLES');
produce('identity', 10);
reason('identity', 'tables of stream_ingest itself.*cannot update table "progress" because it does not have a replica identity',
	'a table that cannot be written is told as such');
sql('ALTER TABLE stream_ingest.progress REPLICA IDENTITY FULL');
arrived('identity', 'it continues when that is repaired');
sql('DROP PUBLICATION everything');

# a crash empties an unlogged table
sql('ALTER TABLE stream_ingest.progress SET UNLOGGED');
restart('identity');
produce('identity', 10);
reason('identity', 'progress is unlogged', 'an unlogged table of ours is told as such');
sql('ALTER TABLE stream_ingest.progress SET LOGGED');
arrived('identity', 'it continues when that is repaired');

# a rule that takes dead letters
sql('CREATE RULE taken AS ON INSERT TO stream_ingest.dead_letter DO INSTEAD NOTHING');
$kafka->produce('identity', ['{"id": -1}'], partition => 0);
reason('identity', 'tables of stream_ingest itself.*27000', 'a rule on the dead letters loses none');
sql('DROP RULE taken ON stream_ingest.dead_letter');
ok(poll("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'identity'", 1), 'identity: without it the message is a dead letter');

# and a trigger that does
sql(q{CREATE FUNCTION public.take() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER take BEFORE INSERT ON stream_ingest.dead_letter FOR EACH ROW EXECUTE FUNCTION public.take();
	SELECT stream_ingest.discard_dead_letters('identity')});
$kafka->produce('identity', ['{"id": -1}'], partition => 0);
reason('identity', 'tables of stream_ingest itself.*27000', 'a trigger that suppresses dead letters loses none');
sql('DROP TRIGGER take ON stream_ingest.dead_letter');
ok(poll("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'identity'", 1), 'identity: without it the message is a dead letter, too');
sql("SELECT stream_ingest.drop_subscription('identity')");

# ---- what suppresses a statement of ours ----

sql(q{CREATE FUNCTION public.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'});
my $suppresses = 'a trigger or rule on stream_ingest.dead_letter has suppressed rows';

subscribe('suppressed', '{}');
produce('suppressed', 10);
arrived('suppressed', 'the first messages are there');
$kafka->produce('suppressed', [ '{"id": -1}', '{"id": 1}' ], partition => 0);
ok(poll("SELECT dead_letters FROM stream_ingest.counts WHERE name = 'suppressed'", 1), 'suppressed: a bad message is a dead letter');

# A letter that stayed would be applied again by the next retry.
sql('ALTER TABLE suppressed DROP CONSTRAINT suppressed_id_check;
	CREATE RULE suppress AS ON DELETE TO stream_ingest.dead_letter DO INSTEAD NOTHING');
my (undef, undef, $refused) = $node->psql('postgres', "SELECT stream_ingest.retry_dead_letters('suppressed')");
like($refused, qr/$suppresses/, 'suppressed: a retry whose letters stay is an error');
is(sql('SELECT count(*) FROM suppressed WHERE id = -1'), 0, 'suppressed: it has applied nothing');
sql('DROP RULE suppress ON stream_ingest.dead_letter');
is(sql("SELECT stream_ingest.retry_dead_letters('suppressed')"), 1, 'suppressed: the next one applies it');
is(sql('SELECT count(*) FROM suppressed WHERE id = -1'), 1, 'suppressed: once');

# Without the fence, a batch of the former definition would be committed.
foreach my $case ([ 'UPDATE', 'disable' ], [ 'DELETE', 'drop_subscription' ])
{
	my ($event, $function) = @$case;

	sql("CREATE TRIGGER suppress BEFORE $event ON stream_ingest.progress FOR EACH ROW EXECUTE FUNCTION public.suppress()");
	(undef, undef, $refused) = $node->psql('postgres', "SELECT stream_ingest.$function('suppressed')");
	like($refused, qr/stream_ingest.progress has suppressed rows/, "suppressed: $function() that does not reach progress is an error");
	sql('DROP TRIGGER suppress ON stream_ingest.progress');
}

# A batch without messages, that moves the end behind what was rolled back, names none.
sql("CREATE TRIGGER suppress BEFORE UPDATE ON stream_ingest.progress FOR EACH ROW EXECUTE FUNCTION public.suppress()");
$kafka->produce('suppressed', ['{"id": 1}'], partition => 0, transaction => 'abort');
reason('suppressed', 'tables of stream_ingest itself.*progress has suppressed rows.*27000', 'without messages, progress is named');
sql('DROP TRIGGER suppress ON stream_ingest.progress');
ok(poll("SELECT bool_and(state = 'streaming') FROM stream_ingest.status WHERE name = 'suppressed'"),
	'suppressed: it continues when that is repaired');
sql("SELECT stream_ingest.drop_subscription('suppressed')");

# ---- one group, two transactions ----

my $create = q{SELECT stream_ingest.create_subscription('%s', 'kafka', 'suppressed', 'suppressed', enabled => false,
	options => '{"group_id": "stream_ingest.postgres.shared"}')};
my $other = session('BEGIN; ' . sprintf($create, 'one') . '; SELECT pg_sleep(3); COMMIT');
ok(poll(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}, 1), 'a transaction has taken a group');
(undef, undef, $refused) = $node->psql('postgres', sprintf($create, 'two'));
like($refused, qr/group "stream_ingest.postgres.shared" is another subscription's/, 'another transaction does not take it too');
is(finished($other), '', 'the first one has it');
sql("SELECT stream_ingest.drop_subscription('one')");

is(sql('SELECT count(*) FROM stream_ingest.progress'), 0, 'nothing is left behind');
unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'no process has crashed');
done_testing();
