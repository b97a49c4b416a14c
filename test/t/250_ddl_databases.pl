# Commands on a database go through with eight workers under load in it, or fail
# for the reason that plain SQL gives; those that fail stop no worker.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;
use Time::HiRes qw(time);

# what holds on a slow machine; the times that were measured are printed
my $most_seconds = 30;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka,
	conf => { max_prepared_transactions => 2,
		shared_preload_libraries => StreamIngest::installed('stream_ingest', 'pg_stat_statements') });
my $bootstrap = $kafka->bootstrap;

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

# Runs a command as a role; returns what was wrong, or "", and how long it took.
sub attempt
{
	my ($command, %opt) = @_;
	my $error = '';
	my $began = time();

	$node->psql($opt{database} // 'postgres', $command, stderr => \$error,
		extra_params => [ '-U', $opt{role} // $ENV{PGUSER} // getpwuid($<) ]);
	return ($error, time() - $began);
}

sub workers
{
	my ($database) = @_;

	return sql("SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity"
		  . " WHERE datname = '$database' AND backend_type = 'stream_ingest worker'");
}

# Waits until all workers of the database stream, with more to come.
sub under_load
{
	my ($database) = @_;

	sql(q{SELECT stream_ingest.seek('s', 'earliest')}, $database)
	  if sql(q{SELECT COALESCE(sum(lag), 1) < 300000 FROM stream_ingest.offsets}, $database) eq 't';
	$node->poll_query_until($database,
		q{SELECT count(*) = 8 FROM stream_ingest.status WHERE state IN ('catching_up', 'streaming') AND messages_per_second > 0})
	  or die 'no load';
	return;
}

# The server still knows the session that has just asked, for a moment.  An owner
# who is no superuser may not end it, nor one of autovacuum.
sub is_left_alone
{
	my ($database) = @_;

	$node->poll_query_until('postgres', qq{SELECT count(*) = 0 FROM pg_stat_activity
		WHERE datname = '$database' AND backend_type IN ('client backend', 'autovacuum worker')})
	  or die 'other sessions';
	return;
}

# The command goes through; alone: when no other session is in the database.
sub goes_through
{
	my ($command, $database, %opt) = @_;
	my ($error, $seconds);

	under_load($database);
	is_left_alone($database) if $opt{alone};
	($error, $seconds) = attempt($command, %opt);
	is($error, '', "goes through: $command");
	cmp_ok($seconds, '<', $most_seconds, sprintf('in %.2f s', $seconds));
	return;
}

# The command fails for this reason, and all workers are still there.
sub stops_nothing
{
	my ($command, $reason, %opt) = @_;
	my $before = workers('work');
	my ($error, $seconds) = attempt($command, %opt);

	like($error, $reason, "fails: $command");
	is(workers('work'), $before, sprintf('and stops no worker, in %.2f s', $seconds));
	return;
}

# ---- eight workers in a database of their own ----

$kafka->create_topic('load', 8);
$kafka->produce('load', count => 800_000, round_robin => 8);
sql(q{
	CREATE ROLE keeper LOGIN CREATEDB;
	CREATE ROLE mallory LOGIN CREATEDB;
	CREATE ROLE nobody LOGIN;
	CREATE ROLE streams LOGIN;
	CREATE DATABASE work OWNER keeper});
sql(qq{
	CREATE EXTENSION stream_ingest;
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	GRANT USAGE ON FOREIGN SERVER kafka TO streams;
	CREATE TABLE t (value text);
	GRANT INSERT ON t TO streams;
	SET ROLE streams;
	SELECT stream_ingest.create_subscription('s', 'kafka', 'load', 't', format => 'raw', mapping => '{"value": "\$value"}',
		options => '{"workers": 8, "rate_limit": 20000}')}, 'work');
under_load('work');

# ---- commands that must fail ----

foreach my $role (qw(nobody mallory))
{
	stops_nothing($_, qr/must be owner of database work/, role => $role)
	  foreach ('DROP DATABASE work', 'DROP DATABASE work WITH (FORCE)', 'ALTER DATABASE work RENAME TO mine',
		'ALTER DATABASE work SET TABLESPACE pg_default', 'ALTER DATABASE work ALLOW_CONNECTIONS false');
}
stops_nothing('CREATE DATABASE mine TEMPLATE work', qr/permission denied to create database/, role => 'nobody');
stops_nothing('CREATE DATABASE mine TEMPLATE work', qr/permission denied to copy database "work"/, role => 'mallory');
stops_nothing('CREATE DATABASE mine TEMPLATE work OWNER streams',
	qr/must be (?:able to SET ROLE|member of role) "streams"/, role => 'keeper');
stops_nothing('ALTER DATABASE work RENAME TO postgres', qr/database "postgres" already exists/);
stops_nothing('CREATE DATABASE postgres TEMPLATE work', qr/database "postgres" already exists/);
stops_nothing('ALTER DATABASE work SET TABLESPACE nowhere', qr/tablespace "nowhere" does not exist/);
stops_nothing('CREATE DATABASE mine TEMPLATE work TABLESPACE nowhere', qr/tablespace "nowhere" does not exist/);
stops_nothing("BEGIN; $_; COMMIT", qr/cannot run inside a transaction block/)
  foreach ('DROP DATABASE work', 'CREATE DATABASE mine TEMPLATE work', 'ALTER DATABASE work SET TABLESPACE pg_default');
stops_nothing('SET default_transaction_read_only = on; DROP DATABASE work', qr/read-only transaction/);
stops_nothing('DROP DATABASE work', qr/cannot drop the currently open database/, database => 'work');
stops_nothing('ALTER DATABASE work RENAME TO mine', qr/current database cannot be renamed/, database => 'work');
stops_nothing('ALTER DATABASE work SET TABLESPACE pg_global', qr/pg_global cannot be used/);

sql('ALTER DATABASE work IS_TEMPLATE true');
stops_nothing('DROP DATABASE work', qr/cannot drop a template database/);
sql('ALTER DATABASE work IS_TEMPLATE false');

my $session = $node->background_psql('work', on_error_stop => 1);
$session->query_safe('SELECT 1');
stops_nothing('DROP DATABASE work', qr/database "work" is being accessed by other users.*There is 1 other session using/s);
stops_nothing('CREATE DATABASE mine TEMPLATE work',
	qr/source database "work" is being accessed by other users.*There is 1 other session using/s);
stops_nothing('DROP DATABASE work WITH (FORCE)', qr/must be a superuser to terminate superuser process|permission denied to terminate process/,
	role => 'keeper');
$session->quit;

sql(q{BEGIN; CREATE TABLE p (); PREPARE TRANSACTION 'p'}, 'work');
stops_nothing('ALTER DATABASE work RENAME TO mine', qr/"work" is being accessed by other users.*There is 1 prepared transaction using/s);
stops_nothing('DROP DATABASE work WITH (FORCE)', qr/is being used by prepared transactions/);
sql(q{ROLLBACK PREPARED 'p'}, 'work');
is(sql("SELECT count(*) FROM pg_database WHERE datname IN ('mine', 'work')"), 1, 'nothing has changed');

# ---- commands that go through ----

my $tablespace = PostgreSQL::Test::Utils::tempdir();
sql("CREATE TABLESPACE elsewhere LOCATION '$tablespace'");

# what is copied is not what has come since the beginning
sql('TRUNCATE t', 'work');
goes_through('ALTER DATABASE work RENAME TO renamed', 'work', role => 'keeper');
goes_through('ALTER DATABASE renamed RENAME TO work', 'renamed');
goes_through('CREATE DATABASE copy TEMPLATE work', 'work', role => 'keeper');
goes_through('CREATE DATABASE copy2 TEMPLATE work STRATEGY file_copy', 'work');
goes_through('ALTER DATABASE work SET TABLESPACE elsewhere', 'work');
goes_through('ALTER DATABASE work ALLOW_CONNECTIONS false', 'work');
sql('ALTER DATABASE work ALLOW_CONNECTIONS true');

# a session that leaves in time is waited for
under_load('work');
$session = $node->background_psql('work', on_error_stop => 1);
$session->query_until(qr/begun/, "\\echo begun\nSELECT pg_sleep(1);\n\\q\n");
my ($error, $seconds) = attempt('ALTER DATABASE work RENAME TO renamed');
is($error, '', sprintf('waits for a session that leaves in time: %.2f s', $seconds));
sql('ALTER DATABASE renamed RENAME TO work');

# workers of a broker that does not answer
under_load('work');
$kafka->pause;
($error, $seconds) = attempt('ALTER DATABASE work RENAME TO renamed');
$kafka->resume;
is($error, '', 'goes through while the broker does not answer');
cmp_ok($seconds, '<', $most_seconds, sprintf('in %.2f s', $seconds));
sql('ALTER DATABASE renamed RENAME TO work');

# ---- nothing stays held ----

under_load('work');
($error) = attempt('BEGIN; ALTER DATABASE work RENAME TO renamed; ROLLBACK');
is($error, '', 'a command that is rolled back');
under_load('work');

$session = $node->background_psql('postgres', on_error_stop => 1);
$session->query_safe('BEGIN; SAVEPOINT a; SAVEPOINT b; ALTER DATABASE work RENAME TO renamed; RELEASE b');
is(workers('work') . workers('renamed'), '', 'no worker while the command is not committed');
$session->query_safe('ROLLBACK TO a');
under_load('work');
ok(1, 'workers are back after its subtransaction, while the transaction is open');
$session->query_safe('COMMIT');

$session->query_safe('BEGIN; ALTER DATABASE work RENAME TO renamed');
is(workers('work') . workers('renamed'), '', 'no worker');
sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'");
under_load('work');
ok(1, 'workers are back when the session was terminated');
eval { $session->quit };

like((attempt(q{CREATE DATABASE mine TEMPLATE work ENCODING 'LATIN1' LOCALE 'C'}))[0], qr/new encoding .* is incompatible/,
	'a command that fails after our checks');
under_load('work');

# ---- copies are noticed, and dropped with workers in them ----

foreach my $copy (qw(copy copy2))
{
	ok( $node->poll_query_until($copy, q{SELECT state = 'stopped' AND reason LIKE 'this database is a copy%' FROM stream_ingest.status}),
		"$copy is noticed by itself");
	is(workers($copy), '', 'and has no worker');
}

# one after the other: the server has no processes for the workers of all
sql("SELECT stream_ingest.enable('s')", 'copy');
goes_through('DROP DATABASE copy', 'copy', role => 'keeper');

# by an owner who may not end superusers' sessions; nor is there one
sql("SELECT stream_ingest.enable('s')", 'copy2');
sql('ALTER DATABASE copy2 OWNER TO keeper');
goes_through('DROP DATABASE copy2 WITH (FORCE)', 'copy2', role => 'keeper', alone => 1);
under_load('work');
$session = $node->background_psql('work');
$session->query('SELECT 1');
goes_through('DROP DATABASE work WITH (FORCE)', 'work');
eval { $session->quit };

# by that owner, while the server is slow to forget a worker that has ended
sql('CREATE DATABASE slow OWNER keeper');
sql(qq{
	CREATE EXTENSION stream_ingest;
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	CREATE FUNCTION end_late() RETURNS int LANGUAGE c AS '$FindBin::RealBin/../neighbour';
	CREATE TABLE t (value text, n int DEFAULT end_late());
	SELECT stream_ingest.create_subscription('slow', 'kafka', 'load', 't', format => 'raw', mapping => '{"value": "\$value"}')},
	'slow');
$node->poll_query_until('slow', 'SELECT count(*) > 0 FROM t') or die 'no rows';
is_left_alone('slow');
is((attempt('DROP DATABASE slow WITH (FORCE)', role => 'keeper'))[0], '', 'goes through: DROP DATABASE slow WITH (FORCE)');

# what is left works
is(workers('work'), '', 'all workers are gone');
$kafka->create_topic('after', 1);
$kafka->produce('after', ['{"id": 1}'], partition => 0);
sql(q{CREATE TABLE after (id int); SELECT stream_ingest.create_subscription('after', 'kafka', 'after', 'after')});
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM after', 1), 'other streams run');

done_testing();
