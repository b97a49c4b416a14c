# Other extensions in shared_preload_libraries, before ours and behind it:
# nothing crashes, every message arrives, and no payload gets into the log.
#
# test/neighbour.c stands for all: it looks whether the server's hooks are called
# where extensions expect them.  Beside it those that are installed: pgaudit,
# pg_stat_statements, auto_explain, pg_cron, pg_stat_kcache, pg_qualstats,
# set_user, pg_repack.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $secret = 'payload-of-nobody-else';
my $pkglibdir = `pg_config --pkglibdir`;
chomp $pkglibdir;

# the library, and the settings with which it does the most
my %neighbour = (
	"$FindBin::RealBin/../neighbour.so" => {},
	pgaudit => { 'pgaudit.log' => 'all', 'pgaudit.log_relation' => 'on' },
	pg_stat_statements => { 'pg_stat_statements.track' => 'all' },
	auto_explain => {
		'auto_explain.log_min_duration' => 0,
		'auto_explain.log_analyze' => 'on',
		'auto_explain.log_verbose' => 'on',
		'auto_explain.log_triggers' => 'on',
		'auto_explain.log_nested_statements' => 'on',
	},
	pg_cron => {},
	pg_stat_kcache => {},
	pg_qualstats => { 'pg_qualstats.sample_rate' => 1 },
	set_user => {});

my @present = grep { -e "$pkglibdir/$_.so" || -e $_ } sort keys %neighbour;

# pg_stat_kcache works behind pg_stat_statements only
@present = grep { $_ ne 'pg_stat_kcache' } @present;
push @present, 'pg_stat_kcache' if -e "$pkglibdir/pg_stat_kcache.so";
foreach my $name (sort keys %neighbour)
{
	note("$name is not installed, and not tried") unless grep { $_ eq $name } @present;
}

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node(
	'main',
	kafka => $kafka,
	conf => { map { %{ $neighbour{$_} } } @present });

# Rows, upserts and deletes, dead letters and their retry, SQL of one's own:
# for a role without rights but on single columns.
sub subscribe
{
	my ($schema) = @_;

	sql(qq{
		CREATE SCHEMA $schema AUTHORIZATION plain;
		CREATE TABLE $schema.parent (id bigint PRIMARY KEY);
		INSERT INTO $schema.parent SELECT generate_series(1, 100);
		CREATE TABLE $schema.rows (id bigint PRIMARY KEY REFERENCES $schema.parent, word text CHECK (word <> 'bad'));
		CREATE TABLE $schema.total (n bigint);
		CREATE TABLE $schema.log (word text);
		INSERT INTO $schema.total VALUES (0);
		GRANT INSERT (id, word), SELECT (id, word), UPDATE (word), DELETE ON $schema.rows TO plain;
		GRANT UPDATE (n), SELECT (n) ON $schema.total TO plain;
		GRANT INSERT, SELECT ON $schema.log TO plain;
		GRANT SELECT ON $schema.parent TO plain;
		CREATE FUNCTION $schema.log() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO $schema.log VALUES (NEW.word); RETURN NEW; END';
		CREATE TRIGGER log AFTER INSERT ON $schema.rows FOR EACH ROW EXECUTE FUNCTION $schema.log();
		SET ROLE plain;
		SELECT stream_ingest.create_subscription('${schema}_rows', 'kafka', '$schema', '$schema.rows',
			insert_mode => 'upsert', mapping => '{"id": "\$key", "word": "word"}', options => '{"tombstones": "delete"}');
		SELECT stream_ingest.create_subscription('${schema}_total', 'kafka', '$schema',
			apply => 'UPDATE $schema.total SET n = n + (SELECT count(*) FROM batch WHERE word IS NOT NULL)',
			fields => 'word text')});
	return;
}

sub try
{
	my ($schema, @libraries) = @_;
	my $started;
	my $from;

	$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'" . join(',', @libraries) . "'");
	$node->restart;
	$from = -s $node->logfile;
	$started = sql('SELECT pg_postmaster_start_time()');
	$kafka->create_topic($schema, 2);
	subscribe($schema);

	my @messages = map { "$_|" . qq({"word": "$secret $_"}) } 1 .. 100;
	push @messages, qq(101|{"word": "$secret orphan"}), q(1|{"word": "bad"}), qq(2|{"word": "$secret new"}), '3|';
	$kafka->produce($schema, \@messages, key_separator => '|', tombstones => 1);

	# the rows are as many on the way, too
	ok( poll("SELECT (SELECT messages FROM stream_ingest.counts WHERE name = '${schema}_rows'),"
			  . " (SELECT count(*) FROM $schema.rows), (SELECT n FROM $schema.total)", '104|99|103'),
		"$schema: every message is there");
	is( sql("SELECT string_agg(sqlstate, ',' ORDER BY sqlstate) FROM stream_ingest.dead_letters WHERE name = '${schema}_rows'"),
		'23503,23514', "$schema: the bad ones are dead letters");

	sql("INSERT INTO $schema.parent VALUES (101); SELECT pg_stat_reset()");
	is(sql("SELECT stream_ingest.retry_dead_letters('${schema}_rows')"), 1, "$schema: a dead letter is retried");
	sql(qq{SET ROLE plain; SELECT count(*) FROM stream_ingest.preview('${schema}_rows');
		SELECT count(*) FROM stream_ingest.peek('kafka', '$schema');
		SELECT stream_ingest.seek('${schema}_rows', 'earliest');
		SELECT stream_ingest.alter_subscription('${schema}_total', apply => 'SELECT count(*) FROM batch');
		SELECT stream_ingest.disable('${schema}_total'); SELECT stream_ingest.enable('${schema}_total')});
	is(sql("SELECT stream_ingest.wait_until_caught_up('${schema}_rows', '180 s')"), 't', "$schema: once more from the beginning");
	is(sql("SELECT count(*) FROM $schema.rows"), 100, "$schema: the same rows");
	my ($code, $out, $err) = $node->psql('postgres',
		"SET ROLE plain; SELECT stream_ingest.create_subscription('x', 'kafka', '$schema', '$schema.parent')");
	like($err, qr/permission denied for table parent/, "$schema: a missing privilege is noticed");
	sql("SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions WHERE NOT name LIKE '%none'");

	is(sql('SELECT pg_postmaster_start_time()'), $started, "$schema: the server has not been restarted");
	my $log = substr(slurp_file($node->logfile), $from);
	unlike($log, qr/was terminated by signal|neighbour:|stack is not empty/, "$schema: every hook is called where it may be");
	is(join("\n", grep { /$secret/ } split /\n/, $log), '', "$schema: no payload is in the log");
	unlike($log, qr/worker process ended unexpectedly|PANIC|FATAL:  (?!terminating)/, "$schema: no process has failed");
	return $log;
}

# A target is rewritten by pg_repack, if it is installed, while rows arrive.
sub try_repack
{
	my $bindir = `pg_config --bindir`;
	my $load;

	chomp $bindir;
	unless (-x "$bindir/pg_repack")
	{
		note('pg_repack is not installed, and not tried');
		return;
	}
	sql(q{CREATE EXTENSION pg_repack; CREATE TABLE repacked (id bigint PRIMARY KEY, payload text)});
	$kafka->create_topic('repacked', 2);
	sql(q{SELECT stream_ingest.create_subscription('repacked', 'kafka', 'repacked', 'repacked', mapping => '{"id": "id"}',
		options => '{"batch_size": 50}')});
	$load = $kafka->produce_start('repacked', count => 30000, round_robin => 2);
	foreach my $round (1 .. 3)
	{
		command_ok([ "$bindir/pg_repack", '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', 'repacked', '-k' ],
			"pg_repack of a target, round $round");
	}
	StreamIngest::produce_wait($load);
	ok(poll('SELECT count(*) FROM repacked', 30000), 'every row is there after pg_repack');
	is(sql(q{SELECT dead_letters FROM stream_ingest.counts WHERE name = 'repacked'}), 0, 'and none was refused');
	sql(q{SELECT stream_ingest.drop_subscription('repacked')});
	return;
}

sql('CREATE ROLE plain LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO plain');
my $log = try('before', @present, 'stream_ingest');
like($log, qr/AUDIT: .*stream_ingest/, 'pgaudit has seen our statements') if grep { $_ eq 'pgaudit' } @present;
try('behind', 'stream_ingest', @present);
try_repack();
done_testing();
