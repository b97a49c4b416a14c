# Subscriptions that come with a dump are noticed by themselves, however their
# rows come, and stopped as a copy until enable().

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

$kafka->create_topic('t', 2);
$kafka->produce('t', count => 1000, round_robin => 2);
sql(q{CREATE ROLE streams LOGIN; GRANT USAGE ON FOREIGN SERVER kafka TO streams;
	CREATE TABLE t (value text); GRANT INSERT, SELECT ON t TO streams;
	SET ROLE streams;
	SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', format => 'raw', mapping => '{"value": "$value"}')});
ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM t', 1000), 'rows arrive');

# The restored subscription: noticed, stopped, adopted, exact.
sub is_a_copy
{
	my ($database, $how) = @_;

	ok( $node->poll_query_until($database,
			q{SELECT count(*) = 1 AND bool_and(state = 'stopped' AND reason LIKE 'this database is a copy%') FROM stream_ingest.status}),
		"$how: it is noticed and stopped as a copy");
	is(sql('SELECT count(*), count(DISTINCT value) FROM t', $database), '1000|1000', "$how: its rows came along");
	sql(q{SELECT stream_ingest.enable('s')}, $database);
	ok( $node->poll_query_until($database, q{SELECT state = 'streaming' FROM stream_ingest.status}),
		"$how: enable() resumes");
	ok(sql(q{SELECT stream_ingest.wait_until_caught_up('s')}, $database) eq 't', "$how: it catches up");
	is(sql('SELECT count(*), count(DISTINCT value) FROM t', $database), '1000|1000', "$how: no row is missing or double");
	return;
}

# ---- pg_dump and pg_restore ----

my %options = ('COPY' => [], 'INSERT' => ['--inserts'], 'COPY in one transaction' => []);
foreach my $how (sort keys %options)
{
	my $database = 'restored' . (() = keys %options) . length($how);
	my @once = $how =~ /one transaction/ ? ('--single-transaction') : ();

	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, @{ $options{$how} }, $node->connstr('postgres') ], "$how: dumped");
	sql("CREATE DATABASE $database");
	$node->command_ok([ 'pg_restore', @once, '-d', $node->connstr($database), $dump ], "$how: restored");
	is_a_copy($database, $how);
	sql("DROP DATABASE $database");
}

# ---- data alone, with triggers disabled ----

$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dumped again');
sql('CREATE DATABASE data_only');
$node->command_ok([ 'pg_restore', '--section=pre-data', '-d', $node->connstr('data_only'), $dump ], 'the definitions are restored');
$node->command_ok([ 'pg_restore', '--data-only', '--disable-triggers', '-d', $node->connstr('data_only'), $dump ], 'and the data');
is_a_copy('data_only', 'data alone');

# ---- CREATE DATABASE ... TEMPLATE ----

sql('CREATE DATABASE template_copy TEMPLATE postgres', 'template1');
is_a_copy('template_copy', 'TEMPLATE');
sql('ALTER DATABASE template_copy ALLOW_CONNECTIONS false');
sql('CREATE DATABASE copy_of_closed TEMPLATE template_copy');
is_a_copy('copy_of_closed', 'TEMPLATE that no role can connect to');

# ---- who can ask for a scan ----

sql(q{CREATE TABLE mine (owner oid, system_identifier bigint, owner_name name);
	CREATE TRIGGER r BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION stream_ingest.subscription_restored();});
is(sql(q{BEGIN; INSERT INTO mine VALUES (10, NULL, NULL); SAVEPOINT a; COMMIT; SELECT count(*) FROM mine}), 1,
	'the trigger on another table changes nothing');

# what was not noticed at first is so after a restart, too
$node->restart;
ok( $node->poll_query_until('data_only', q{SELECT state = 'streaming' FROM stream_ingest.status}), 'an adopted copy runs after a restart');

done_testing();
