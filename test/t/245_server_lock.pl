# A server cannot be dropped or renamed while another session's transaction
# makes a subscription that reads from it, nor the other way round.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll answer);
use Test::More;

my $node = StreamIngest::new_node('main', bootstrap => '127.0.0.1:1');
my $waits = q{SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'object' AND pid =};
my $create = q{SELECT stream_ingest.create_subscription('s', 'kafka', 't', 't', enabled => false)};

# Runs one command in a transaction that stays open, another in a session that
# waits for it; commits the first, and returns what the second one says.
sub crossing
{
	my ($first, $second) = @_;
	my $holder = $node->background_psql('postgres');
	my $waiter = $node->background_psql('postgres', on_error_stop => 0);

	my $pid = $waiter->query_safe('SELECT pg_backend_pid()');
	$holder->query_safe("BEGIN; $first");
	$waiter->query_until(qr/begun/, "\\echo begun\n$second;\n\\echo over\n");
	ok(poll("$waits $pid", 1), "waits: $second");
	$holder->query_safe('COMMIT');
	$holder->quit;
	$waiter->query_until(qr/over/, "\n");
	my $said = $waiter->{stderr};
	$waiter->{stderr} = '';
	$waiter->quit;
	return $said;
}

sql('CREATE TABLE t (id bigint)');

like(crossing($create, 'DROP SERVER kafka'), qr/cannot drop server kafka because other objects depend on it/,
	'DROP SERVER sees the new subscription');
sql(q{SELECT stream_ingest.drop_subscription('s')});

is(crossing($create, 'ALTER SERVER kafka RENAME TO other'), '', 'RENAME goes through');
is(sql('SELECT server FROM stream_ingest.subscriptions'), 'other', 'and the new subscription follows');
sql(q{SELECT stream_ingest.drop_subscription('s'); ALTER SERVER other RENAME TO kafka});

like(crossing($create, 'DROP SERVER kafka CASCADE'), qr/drop cascades to subscription s/, 'CASCADE drops the new subscription');
is(sql('SELECT count(*) FROM stream_ingest.subscriptions'), 0, 'it is gone');

sql(q{CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:1')});
like(crossing('DROP SERVER kafka', $create), qr/server "kafka" does not exist/, 'a server that is being dropped gets no subscription');

# another server takes the name meanwhile
sql(q{CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:1')});
is( crossing(q{ALTER SERVER kafka RENAME TO former;
		CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '127.0.0.1:2')}, $create),
	'', 'a name that passes to another server');
is(sql(q{SELECT server_oid = (SELECT oid FROM pg_foreign_server WHERE srvname = 'kafka') FROM stream_ingest.subscription}),
	't', 'is that server');

done_testing();
