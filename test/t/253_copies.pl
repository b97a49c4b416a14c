# Copies that are made while messages flow: pg_dump as a role of its own,
# pg_dumpall, a base backup and point-in-time recovery.  In each, rows, offsets,
# dead letters and gaps belong together, and reading on from there ends exact.
#
# Message i of the topic has id i; one in a hundred violates a constraint.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $messages = 30_000;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main',
	conf => { wal_level => 'replica', max_wal_senders => 4, hot_standby => 'on' });
my $bootstrap = $kafka->bootstrap;

# Rows and dead letters together: every message once.
my $all = q{SELECT count(*), count(DISTINCT id) FROM (
	SELECT id FROM t UNION ALL
	SELECT (convert_from(value, 'UTF8')::json ->> 'id')::bigint FROM stream_ingest.dead_letters WHERE name = 's') a};
my $gaps = q{SELECT array_agg((id, partition, from_offset, to_offset, reason, found_at) ORDER BY id) FROM stream_ingest.gap};

sub sql { return $node->safe_psql('work', $_[0]); }

# Lets the subscription apply the rest at full speed, and checks it.
sub ends_exact
{
	my ($server, $database, $what) = @_;

	$server->safe_psql($database, q{SELECT stream_ingest.alter_subscription('s', options => '{"rate_limit": null}')});
	is($server->safe_psql($database, q{SELECT stream_ingest.wait_until_caught_up('s', timeout => '180 s')}),
		't', "$what: it catches up");
	is($server->safe_psql($database, $all), "$messages|$messages", "$what: no message is missing or double");
	is($server->safe_psql($database, q{SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 's'}),
		$messages / 100, "$what: each bad message is a dead letter");
	return;
}

# A restored database: it is part of the way, stopped as a copy; enable() ends
# exact, and the sequences continue where those of the original were.
sub is_an_exact_copy
{
	my ($server, $database, $what, $gap) = @_;
	my $is_a_copy = q{SELECT bool_and(state = 'stopped' AND reason LIKE 'this database is a copy%'), count(*) FROM stream_ingest.status};

	ok(poll($server, $database, $is_a_copy, 't|2'), "$what: both are stopped as copies");
	my ($rows) = split /\|/, $server->safe_psql($database, $all);
	is( $server->safe_psql($database, q{SELECT sum(next_offset) FROM stream_ingest.progress WHERE topic = 't'}),
		$rows, "$what: offsets and rows belong together");
	cmp_ok($rows, '<', $messages, "$what: it was made on the way ($rows rows)");
	is($server->safe_psql($database, $gaps), $gap, "$what: the gap came along");

	$server->safe_psql($database,
		q{SELECT stream_ingest.enable('s'); SELECT stream_ingest.enable('gappy')});
	ends_exact($server, $database, $what);
	is( $server->safe_psql($database,
			q{SELECT (SELECT count(DISTINCT id) = count(*) AND max(id) < nextval('stream_ingest.dead_letter_id_seq') FROM stream_ingest.dead_letter)
				AND (SELECT max(id) < nextval('stream_ingest.gap_id_seq') FROM stream_ingest.gap)
				AND (SELECT max(id) < nextval('stream_ingest.subscription_id_seq') FROM stream_ingest.subscription)}),
		't', "$what: the sequences came along");
	is( $server->safe_psql($database,
			q{SELECT stream_ingest.create_subscription('third', 'kafka', 'gappy', 'g', enabled => false);
			  SELECT count(DISTINCT id) FROM stream_ingest.subscription}),
		"\n3", "$what: a new subscription has a number of its own");
	return;
}

sub poll
{
	my ($server, $database, $query, $expected) = @_;

	return $server->poll_query_until($database, $query, $expected);
}

# Begins again from the first message, and returns on the way.
sub begin_again
{
	sql(q{SELECT stream_ingest.disable('s')});
	sql(q{TRUNCATE t; SELECT stream_ingest.discard_dead_letters('s'); SELECT stream_ingest.seek('s', 'earliest');
		SELECT stream_ingest.alter_subscription('s', options => '{"rate_limit": 600}'); SELECT stream_ingest.enable('s')});
	poll($node, 'work', 'SELECT count(*) > 500 FROM t', 't') or die 'no rows arrive';
	return;
}

# ---- a subscription under way, and one with a gap ----

$node->enable_archiving;
$node->restart;
$kafka->create_topic('t', 2);
$kafka->create_topic('gappy', 1);
$kafka->produce('t', count => $messages, round_robin => 2);
$kafka->produce('gappy', count => 10);
$node->safe_psql('postgres', q{CREATE ROLE streams LOGIN; CREATE ROLE backup LOGIN; CREATE DATABASE work});
sql(qq{
	CREATE EXTENSION stream_ingest;
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap');
	GRANT USAGE ON FOREIGN SERVER kafka TO streams;
	CREATE TABLE t (id bigint CHECK (id % 100 <> 7), payload text);
	CREATE TABLE g (id bigint);
	GRANT INSERT, SELECT ON t, g TO streams;
	SET ROLE streams;
	SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', options => '{"rate_limit": 600, "batch_size": 500}');
	SELECT stream_ingest.create_subscription('gappy', 'kafka', 'gappy', 'g')});
sql(q{SELECT stream_ingest.wait_until_caught_up('gappy')});
sql(q{SELECT stream_ingest.disable('gappy')});
$kafka->produce('gappy', count => 10, first => 10);
sql(q{SELECT stream_ingest.seek('gappy', '2100-01-01'); SELECT stream_ingest.enable('gappy')});
sql(q{SELECT stream_ingest.wait_until_caught_up('gappy')});
my $gap = sql($gaps);
like($gap, qr/,0,10,20,seek,/, 'there is a gap');
poll($node, 'work', 'SELECT count(*) > 500 FROM t', 't') or die 'no rows arrive';

# ---- pg_dump as a role that is no superuser ----

my @dump_as_backup = ('pg_dump', '-Fc', '-f', "$dir/dump", '-U', 'backup', $node->connstr('work'));
$node->command_fails_like(\@dump_as_backup, qr/permission denied for/, 'a role without rights cannot dump');
sql(q{
	GRANT SELECT ON t, g TO backup;
	GRANT SELECT ON ALL TABLES IN SCHEMA stream_ingest TO backup;
	GRANT SELECT ON ALL SEQUENCES IN SCHEMA stream_ingest TO backup});
$node->command_ok(\@dump_as_backup, 'with the rights that the manual names it can');
$node->safe_psql('postgres', 'CREATE DATABASE dumped');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('dumped'), "$dir/dump" ], 'the dump is restored');
is_an_exact_copy($node, 'dumped', 'pg_dump', $gap);
$node->safe_psql('postgres', 'DROP DATABASE dumped');
ends_exact($node, 'work', 'the original');

# ---- pg_dumpall into another cluster ----

begin_again();
$node->command_ok([ 'pg_dumpall', '-f', "$dir/all", '-d', $node->connstr('postgres') ], 'pg_dumpall');
ends_exact($node, 'work', 'the original of pg_dumpall');
my $other = StreamIngest::new_node('other');
# so that roles and databases have other OIDs there
$other->safe_psql('postgres', 'CREATE ROLE before_all');
my ($out, $err) = ('', '');
$other->psql('postgres', undef, stdout => \$out, stderr => \$err, on_error_stop => 0,
	extra_params => [ '-f', "$dir/all" ]);
$err = join("\n", grep { !/role "[^"]*" already exists/ } split /\n/, $err);
is($err, '', 'it is restored without an error');
is($other->safe_psql('work', 'SELECT DISTINCT owner FROM stream_ingest.subscriptions'),
	'streams', 'the owner is the role of that name');
is_an_exact_copy($other, 'work', 'pg_dumpall', $gap);
$other->stop;

# ---- a base backup, and recovery to a point in time ----

begin_again();
$node->backup('base');
my $wal = sql(q{SELECT pg_walfile_name(pg_create_restore_point('on_the_way'))});
sql('SELECT pg_switch_wal()');
ends_exact($node, 'work', 'the original of the backup');

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->append_conf('postgresql.conf', "archive_mode = off\nstream_ingest.enabled = off");
$copy->start;
ok( poll($copy, 'work',
		q{SELECT bool_and(state = 'stopped' AND reason LIKE 'stream_ingest.enabled is off%'), count(*) FROM stream_ingest.status}, 't|2'),
	'base backup: nothing runs while stream_ingest.enabled is off');
is( $copy->safe_psql('work', q{SELECT sum(next_offset) FROM stream_ingest.progress WHERE topic = 't'}),
	(split /\|/, $copy->safe_psql('work', $all))[0], 'base backup: offsets and rows belong together');
$copy->append_conf('postgresql.conf', 'stream_ingest.enabled = on');
$copy->reload;
ends_exact($copy, 'work', 'base backup');
$copy->stop;

ok(poll($node, 'work', "SELECT last_archived_wal >= '$wal' FROM pg_stat_archiver", 't'), 'the WAL up to the point is archived');
my $recovered = PostgreSQL::Test::Cluster->new('recovered');
$recovered->init_from_backup($node, 'base', has_restoring => 1, standby => 0);
$recovered->append_conf('postgresql.conf', join("\n",
	'archive_mode = off', q{recovery_target_name = 'on_the_way'}, q{recovery_target_action = 'pause'}, ''));
$recovered->start;
ok( poll($recovered, 'work', q{SELECT pg_get_wal_replay_pause_state() = 'paused'}, 't'), 'recovery pauses at the point');
is( $recovered->safe_psql('work', q{SELECT DISTINCT state, reason FROM stream_ingest.status}),
	'stopped|the server is a standby; the subscription resumes after promotion', 'recovery: nothing runs before its end');
my $rows = (split /\|/, $recovered->safe_psql('work', $all))[0];
is( $recovered->safe_psql('work', q{SELECT sum(next_offset) FROM stream_ingest.progress WHERE topic = 't'}),
	$rows, 'recovery: offsets and rows belong together');
cmp_ok($rows, '<', $messages, "recovery: it ended on the way ($rows rows)");
$recovered->promote;
ends_exact($recovered, 'work', 'recovery');

done_testing();
