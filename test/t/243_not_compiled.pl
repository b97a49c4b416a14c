# A batch's statements are not compiled (jit) because the owner's role has turned off
# the plans that they are made for: that takes a thousand times as long as they do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use PostgreSQL::Test::Utils;
use StreamIngest qw(sql poll);
use Test::More;

my $kafka = StreamIngest::start_kafka();
my $node = StreamIngest::new_node('main', kafka => $kafka, conf => { jit => 'on' });
my $library = $node->config_data('--pkglibdir') . '/llvmjit.so';

plan skip_all => 'the server does not compile' unless -e $library && -e '/proc/self/maps';

sql(q{
	CREATE ROLE odd LOGIN;
	ALTER ROLE odd SET enable_nestloop = off;
	ALTER ROLE odd SET enable_indexscan = off;
	GRANT USAGE ON FOREIGN SERVER kafka TO odd;
	CREATE TABLE t (id int PRIMARY KEY, v int, w int DEFAULT 1);
	ALTER TABLE t OWNER TO odd});
$kafka->create_topic('t', 1);
$kafka->produce('t', [ map { $_ % 10 == 0 ? '{"id": "bad"}' : qq({"id": $_, "v": $_}) } (1 .. 30) ], partition => 0);
sql(q{SELECT stream_ingest.create_subscription('t', 'kafka', 't', 't', insert_mode => 'upsert', options => '{"batch_size": 10}')},
	extra_params => [ '-U', 'odd' ]);
ok(poll(q{SELECT messages FROM stream_ingest.counts}, 30), 'all messages are dealt with');
is(sql('SELECT count(*), (SELECT count(*) FROM stream_ingest.dead_letters) FROM t'), '27|3', 'as they should be');

my $maps = slurp_file('/proc/' . sql('SELECT pid FROM stream_ingest.status') . '/maps');

unlike($maps, qr/llvmjit/, 'without compiling anything');
done_testing();
