# A streaming standby: nothing runs there; when the primary dies under load and
# the standby is promoted, everything resumes from the replicated offsets.  Both
# synchronous_commit = remote_apply and off end exact: what had not reached the
# standby is rows and offsets together, and is read again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $messages = 30_000;
my $kafka = StreamIngest::start_kafka();
my $standby_reason = 'the server is a standby; the subscription resumes after promotion';

# Messages and their sum of what was applied, and whether offsets say the same.
my $state = q{SELECT count(*), count(DISTINCT id), count(*) = (SELECT sum(next_offset) FROM stream_ingest.progress WHERE subscription = %d) FROM %s};

sub state_of
{
	my ($node, $id, $table) = @_;

	return $node->safe_psql('postgres', sprintf($state, $id, $table));
}

# The new primary applies the rest, at full speed.
sub catches_up
{
	my ($node, $name) = @_;

	$node->safe_psql('postgres', "SELECT stream_ingest.alter_subscription('$name', options => '{\"rate_limit\": null}')");
	return $node->safe_psql('postgres', "SELECT stream_ingest.wait_until_caught_up('$name', '180 s')");
}

sub has_workers
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'});
}

sub subscribe
{
	my ($node, $name, $mode) = @_;

	$node->safe_psql('postgres', qq{
		CREATE TABLE $name (id bigint, payload text);
		SELECT stream_ingest.create_subscription('$name', 'kafka', 't', '$name',
			options => '{"rate_limit": 600, "batch_size": 200, "synchronous_commit": "$mode"}')});
	return $node->safe_psql('postgres', "SELECT id FROM stream_ingest.subscription WHERE name = '$name'");
}

$kafka->create_topic('t', 3);
$kafka->produce('t', count => $messages, round_robin => 3);

my $primary = StreamIngest::new_node('primary', kafka => $kafka,
	conf => { wal_level => 'replica', max_wal_senders => 4, hot_standby => 'on', log_min_messages => 'warning' });
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# ---- remote_apply: what a session saw on the primary is on the standby ----

$primary->append_conf('postgresql.conf', q{synchronous_standby_names = '*'});
$primary->reload;
ok($primary->poll_query_until('postgres', q{SELECT sync_state = 'sync' FROM pg_stat_replication}), 'the standby is synchronous');

my $id = subscribe($primary, 'waits', 'remote_apply');
ok($primary->poll_query_until('postgres', 'SELECT count(*) > 1500 FROM waits'), 'rows arrive');
ok($standby->poll_query_until('postgres', 'SELECT count(*) > 1500 FROM waits'), 'and on the standby');
is(has_workers($standby), 0, 'no worker runs on the standby');
is($standby->safe_psql('postgres', 'SELECT state, reason FROM stream_ingest.status'), "stopped|$standby_reason", 'and the status says why');
foreach my $command (q{enable('waits')}, q{disable('waits')}, q{seek('waits', 'earliest')}, q{drop_subscription('waits')})
{
	my $err = '';
	$standby->psql('postgres', "SELECT stream_ingest.$command", stderr => \$err);
	like($err, qr/ERROR:  .*(?:read-only|recovery)/, "refused on the standby: $command");
}

# what is published in the primary's shared memory was waited for
my $seen = $primary->safe_psql('postgres', 'SELECT count(*) FROM waits');
$primary->stop('immediate');
my ($rows) = split /\|/, state_of($standby, $id, 'waits');
cmp_ok($rows, '>=', $seen, "remote_apply: all $seen rows that were seen are on the standby");
cmp_ok($rows, '<', $messages, "remote_apply: the primary died on the way ($rows rows)");
is(has_workers($standby), 0, 'remote_apply: nothing runs before the promotion');
$standby->promote;
is(catches_up($standby, 'waits'), 't', 'remote_apply: the new primary catches up');
is(state_of($standby, $id, 'waits'), "$messages|$messages|t", 'remote_apply: exact');

# ---- off: the standby lags behind, and loses rows and offsets together ----

# the next pair: the promoted server and a standby of its own
$standby->safe_psql('postgres', q{SELECT stream_ingest.drop_subscription('waits'); DROP TABLE waits});
$standby->append_conf('postgresql.conf', q{synchronous_standby_names = ''});
$standby->reload;
$standby->backup('second');
my $last = PostgreSQL::Test::Cluster->new('last');
$last->init_from_backup($standby, 'second', has_streaming => 1);
$last->start;

$id = subscribe($standby, 'lags', 'off');
ok($last->poll_query_until('postgres', q{SELECT count(*) > 1000 FROM lags}), 'off: rows arrive on the standby');

# it receives nothing any more, as if the network were gone
$last->append_conf('postgresql.conf', q{primary_conninfo = ''});
$last->reload;
ok($standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_replication'), 'off: the standby is cut off');
($rows) = split /\|/, state_of($last, $id, 'lags');
ok($standby->poll_query_until('postgres', "SELECT count(*) > $rows + 1000 FROM lags"), 'off: the primary is ahead');
$standby->stop('immediate');
$rows = state_of($last, $id, 'lags');
like($rows, qr/^(\d+)\|\1\|t$/, "off: rows and offsets of the standby belong together ($rows)");
is(has_workers($last), 0, 'off: nothing runs before the promotion');
$last->promote;
is(catches_up($last, 'lags'), 't', 'off: the new primary catches up');
is(state_of($last, $id, 'lags'), "$messages|$messages|t", 'off: exact, what was lost was read again');

done_testing();
