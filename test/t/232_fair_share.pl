# No role keeps others' streams from starting: neither by locks, nor by taking
# the slots of subscriptions, nor by taking the places of workers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest qw(poll);
use Test::More;
use Time::HiRes qw(time);

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { 'stream_ingest.max_workers' => 4, 'stream_ingest.max_subscriptions' => 8,
		'stream_ingest.max_subscriptions_per_role' => 100 });
my $bootstrap = $kafka->bootstrap;

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

# A transaction that stays open in a session of its own.
sub hold
{
	my ($statements, $database) = @_;
	my $session = $node->background_psql($database // 'postgres', on_error_stop => 1);

	$session->query_safe("BEGIN; $statements");
	return $session;
}

$kafka->create_topic('t', 1);
$kafka->create_topic('parts', 4);
$kafka->produce('t', ['{"id": 1}'], partition => 0);
sql('CREATE DATABASE second');
sql('CREATE EXTENSION stream_ingest', 'second');
sql("CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap')", 'second');
sql('CREATE ROLE mallory LOGIN; CREATE ROLE victim LOGIN');
foreach my $database (qw(postgres second))
{
	sql('GRANT USAGE ON FOREIGN SERVER kafka TO mallory, victim; GRANT CREATE ON SCHEMA public TO mallory, victim', $database);
}

# A role subscribes a table of its own to topic t.
sub subscribe
{
	my ($role, $name, %opt) = @_;
	my $topic = $opt{topic} // 't';
	my $enabled = $opt{enabled} // 'true';
	my $options = $opt{options} // '{}';

	return sql(qq{
		SET ROLE $role;
		CREATE TABLE $name (id bigint);
		SELECT stream_ingest.create_subscription('$name', 'kafka', '$topic', '$name', enabled => $enabled, options => '$options')},
		$opt{database});
}

# How long, in seconds, until a table of another database has its row.
sub takes
{
	my ($database, $table) = @_;
	my $began = time();

	$node->poll_query_until($database, "SELECT count(*) FROM $table", '1') or return 1e9;
	return time() - $began;
}

# ---- locks ----

# any role can lock the extension
my $session = hold('SET ROLE mallory; CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1; ALTER FUNCTION pg_temp.f() DEPENDS ON EXTENSION stream_ingest');
is(sql('SELECT mode, granted FROM pg_locks WHERE classid = \'pg_extension\'::regclass AND pid = ' . $session->query_safe('SELECT pg_backend_pid()')),
	'AccessExclusiveLock|t', 'a role locks the extension');
subscribe('victim', 'locked_out');
ok(poll('SELECT count(*) FROM locked_out', 1), 'a new subscription starts all the same');
sql('SELECT stream_ingest.create_subscription(\'elsewhere\', \'kafka\', \'t\', apply => \'SELECT 1 FROM batch\', options => \'{"run_as_owner": true}\', enabled => false)', 'second');
subscribe('victim', 'elsewhere2', database => 'second');
ok(takes('second', 'elsewhere2') < 60, 'and one of another database');
sql(q{SELECT stream_ingest.disable('locked_out')});
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL}, 0), 'a change is noticed');
sql(q{SELECT stream_ingest.enable('locked_out')});
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming'}, 1), 'and another one');
$session->quit;

# what the owner of a database can lock: our tables, by VACUUM FULL behind a
# transaction of its own that reads a view
sql('CREATE DATABASE mallorys OWNER mallory');
sql('CREATE EXTENSION stream_ingest', 'mallorys');
$session = hold('SELECT count(*) FROM stream_ingest.status', 'mallorys');
my $vacuum = $node->background_psql('mallorys', on_error_stop => 0);
my $vacuum_pid = $vacuum->query_safe('SELECT pg_backend_pid()');
$vacuum->query_until(qr/now/, "\\echo now\nVACUUM FULL stream_ingest.subscription;\n");
ok(poll("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $vacuum_pid", 1), 'the table of a database is locked against all');
my $asker = $node->background_psql('mallorys', on_error_stop => 0);
$asker->query_until(qr/now/, "\\echo now\nSELECT stream_ingest.drop_subscription('none', true);\n");
sql(q{SELECT stream_ingest.disable('elsewhere2'); TRUNCATE elsewhere2; SELECT stream_ingest.seek('elsewhere2', 'earliest'); SELECT stream_ingest.enable('elsewhere2')}, 'second');
ok(takes('second', 'elsewhere2') < 60, 'another database does not wait for it');
$session->quit;
$vacuum->quit;
$asker->quit;

# the lock that a scanner could not get is reported; it retries
sql(q{SELECT stream_ingest.disable('locked_out')});
ok(poll('SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL', 0), 'the worker is gone');
my $reader = $node->background_psql('postgres', on_error_stop => 1);
$reader->query_safe('SELECT count(*) FROM stream_ingest.status');
$session = hold('LOCK TABLE pg_foreign_server');
$reader->query_safe(q{UPDATE stream_ingest.subscription SET enabled = true; SELECT stream_ingest.seek('locked_out', 'latest')});
my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;
my $reason = '';
until ($reason =~ /another session holds a lock/ || time() > $deadline)
{
	$reason = $reader->query_safe(q{SELECT pg_sleep(0.1); SELECT state || ': ' || reason FROM stream_ingest.status WHERE name = 'locked_out'});
}
like($reason, qr/starting: the launcher could not read the subscriptions of this database: another session holds a lock .*; it is retried automatically/, 'status says that the scanner could not have a lock');
$session->quit;
ok(poll(q{SELECT state FROM stream_ingest.status WHERE name = 'locked_out'}, 'streaming'), 'and it is tried again');
$reader->quit;

# a worker that starts waits for no lock for ever, and says so
$session = hold('LOCK TABLE locked_out');
sql(q{SELECT pg_terminate_backend(pid) FROM stream_ingest.status WHERE name = 'locked_out'});
ok(poll(q{SELECT last_error_sqlstate, last_error ~ 'another session holds a lock that the worker needs to start' FROM stream_ingest.status WHERE name = 'locked_out'}, '55P03|t'),
	'a worker that starts does not wait for ever for its target');
$session->quit;
ok(poll(q{SELECT state FROM stream_ingest.status WHERE name = 'locked_out'}, 'streaming'), 'it starts when the lock is free');

# a stranger who would change a subscription takes no lock on it
$session = hold(q{SELECT stream_ingest.seek('locked_out', 'latest')});
my $stranger = '';
$node->psql('postgres', q{SET ROLE mallory; SET statement_timeout = '20s'; SELECT stream_ingest.disable('locked_out')}, stderr => \$stranger);
like($stranger, qr/must be owner of subscription/, 'a stranger is refused without waiting for the row');
$session->quit;

sql(q{SELECT stream_ingest.drop_subscription('elsewhere2')}, 'second');

# ---- slots ----

foreach my $database (qw(postgres second))
{
	sql(q{
		SET ROLE mallory;
		CREATE TABLE sink (id bigint);
		SELECT stream_ingest.create_subscription('idle' || n, 'kafka', 't', 'sink', enabled => false) FROM generate_series(1, 20) n;
		}, $database);
}
$node->restart;
ok(poll(q{SELECT state FROM stream_ingest.status WHERE name = 'locked_out'}, 'streaming'), 'disabled subscriptions of another role take no slot');

# enabled ones do; but not those that others have, nor all that are free
sql(q{SET ROLE mallory; SELECT stream_ingest.enable('idle' || n) FROM generate_series(1, 20) n}, $_) foreach qw(second postgres);
ok(poll(q{SELECT count(*) > 0 FROM stream_ingest.status WHERE reason ~ 'more subscriptions than the 8 of stream_ingest.max_subscriptions;'}, 't'), 'a role takes all slots');
is(sql(q{SELECT state FROM stream_ingest.status WHERE name = 'locked_out'}), 'streaming', 'a stream that runs continues');
$node->restart;
ok(poll(q{SELECT state FROM stream_ingest.status WHERE name = 'locked_out'}, 'streaming'), 'and comes back after a restart');
subscribe('victim', 'newcomer');
ok(poll('SELECT count(*) FROM newcomer', 1), 'one of a role that has few starts beside them');

# the limit of a role
sql(q{ALTER SYSTEM SET stream_ingest.max_subscriptions_per_role = 2; SELECT pg_reload_conf()});
poll('SHOW stream_ingest.max_subscriptions_per_role', 2);
my $error = '';
$node->psql('postgres', q{SET ROLE mallory; SELECT stream_ingest.create_subscription('more', 'kafka', 't', 'sink')}, stderr => \$error);
like($error, qr/role "mallory" has 2 subscriptions in this database already.*max_subscriptions_per_role/s, 'a role is limited');
$node->psql('postgres', q{SELECT stream_ingest.set_owner('idle1', 'victim')}, stderr => \$error);
like($error, qr/role "victim" has 2 subscriptions in this database already/, 'also when it is given one');
$node->restart;
ok(poll(q{SELECT count(*) > 15 FROM stream_ingest.status WHERE reason ~ 'its owner has more subscriptions than the 2 of stream_ingest.max_subscriptions_per_role;'}, 't'), 'those beyond the limit say so');
sql(q{ALTER SYSTEM SET stream_ingest.max_subscriptions_per_role = 100; SELECT pg_reload_conf()});
poll('SHOW stream_ingest.max_subscriptions_per_role', 100);
sql(q{SELECT stream_ingest.drop_subscription('idle' || n) FROM generate_series(1, 20) n}, $_) foreach qw(second postgres);
sql(q{SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions WHERE name <> 'locked_out'}, $_) foreach qw(second postgres);

# a slot that is taken away in a scan of its own database comes back when another database frees one
my $lacks = q{SELECT count(*) FROM stream_ingest.status WHERE name LIKE 'full%' AND reason ~ 'more subscriptions than the 8 of stream_ingest.max_subscriptions;'};
subscribe('victim', 'guest', database => 'second');
subscribe('mallory', "full$_") foreach 1 .. 6;
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE name LIKE 'full%' AND state IS NOT NULL}, 6), 'eight subscriptions in two databases');
ok(poll($lacks, 0), 'have all slots');
my $log_end = -s $node->logfile;
subscribe('victim', 'late');
ok(poll($lacks, 1), 'a role with few takes one of a role with many');
my $limit = time() + $PostgreSQL::Test::Utils::timeout_default;
my $counted = qr/WARNING:  1 subscriptions of database \d+ are beyond stream_ingest.max_subscriptions/;
select(undef, undef, undef, 0.05) until slurp_file($node->logfile, $log_end) =~ $counted || time() > $limit;
like(slurp_file($node->logfile, $log_end), $counted, 'which the scan counts among those that wait for a slot');
sql(q{SELECT stream_ingest.drop_subscription('guest')}, 'second');
ok(poll($lacks, 0), 'and gets the next that another database frees');
sql(q{SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions WHERE name <> 'locked_out'});

# ---- places ----

# a role with three subscriptions of four workers, on four places
ok(poll('SELECT count(*) FROM stream_ingest.status WHERE pid IS NOT NULL', 1), 'three places are free');
subscribe('mallory', "greedy$_", topic => 'parts', options => '{"workers": 4}') foreach 1 .. 3;
my $workers = q{SELECT string_agg(name || ':' || n, ',' ORDER BY name) FROM (SELECT name, count(*) n FROM stream_ingest.status WHERE pid IS NOT NULL AND state = 'streaming' GROUP BY 1) s};
ok(poll($workers, 'greedy1:1,greedy2:1,greedy3:1,locked_out:1'), 'each has its first worker');
$kafka->produce('parts', [ map { "{\"id\": $_}" } 1 .. 8 ], round_robin => 4);
ok(poll("SELECT count(*) FROM $_", 8), "all partitions are read by the one worker of $_") foreach map { "greedy$_" } 1 .. 3;
subscribe('victim', 'second_one');
ok(poll('SELECT count(*) FROM second_one', 1), 'the role that has most gives up a place for a role that has less');
ok(poll($workers, 'greedy1:1,greedy2:1,locked_out:1,second_one:1'), 'the others run on');
ok(poll(q{SELECT count(*) FROM stream_ingest.status WHERE name = 'greedy3' AND reason ~ 'all 4 of stream_ingest.max_workers are in use'}, 1), 'the one that gave it up says what it waits for');

# one subscription with all the workers
sql(q{SELECT stream_ingest.disable(name) FROM stream_ingest.subscriptions WHERE name <> 'greedy1'});
ok(poll($workers, 'greedy1:4'), 'where no other wants them, a subscription has as many as it asks for');
$kafka->produce('parts', [ map { "{\"id\": $_}" } 9 .. 16 ], round_robin => 4);
ok(poll('SELECT count(*) FROM greedy1', 16), 'all partitions are read, once');
sql(q{SELECT stream_ingest.enable('second_one')});
ok(poll($workers, 'greedy1:3,second_one:1'), 'a second worker is given up for a subscription that has none');
$kafka->produce('parts', [ map { "{\"id\": $_}" } 17 .. 24 ], round_robin => 4);
ok(poll('SELECT count(*), count(DISTINCT id) FROM greedy1', '24|24'), 'the three take all partitions');
my $before = sql(q{SELECT string_agg(pid::text, ',' ORDER BY pid) FROM stream_ingest.status});
sql(q{SELECT stream_ingest.alter_subscription('second_one', options => '{"workers": 4}')});
ok(poll($workers, 'greedy1:3,second_one:1'), 'for one more worker of it, none is given up');
is(sql("SELECT count(*) FROM stream_ingest.status WHERE name = 'greedy1' AND pid::text = ANY (string_to_array('$before', ','))"), 3, 'and none starts again');
sql(q{SELECT stream_ingest.disable('second_one')});
ok(poll($workers, 'greedy1:4'), 'a place that is free goes to the one that has fewer than it asks for');

done_testing();
