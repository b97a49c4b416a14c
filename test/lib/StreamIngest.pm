# Helpers of the TAP tests: a real Kafka broker, a server with the extension,
# and waiting with a limit.
#
# Used with PostgreSQL::Test::Cluster and PostgreSQL::Test::Utils of the server:
#
#	use FindBin;
#	use lib "$FindBin::RealBin/../lib";
#	use StreamIngest;
#	use Test::More;
#
#	my $kafka = StreamIngest::start_kafka();
#	my $node = StreamIngest::new_node('main', kafka => $kafka);
#	$kafka->create_topic('t', 3);
#	$kafka->produce('t', [ '{"a": 1}', '{"a": 2}' ], partition => 0);
#	ok(StreamIngest::poll_until($node, 'SELECT count(*) FROM t', 2));
#
# With "use StreamIngest qw(sql poll answer)" a test has short names for what it
# asks of its server, the first one that new_node made.
#
# What fails here dies with the command's own words.  Brokers are killed when
# the test ends, however it ends; a failed test keeps its broker's directory.
# A broker needs test/kafka_admin and test/produce (make test-programs).

package StreamIngest;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Path qw(rmtree);
use File::Spec;
use IO::Socket::INET;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

my $test_dir = File::Spec->rel2abs(dirname(__FILE__) . '/..');
my $poll_interval = 0.05;
my %brokers;
my $first_node;

our @EXPORT_OK = qw(sql poll answer rows_come);

# pg_ctl is as patient as the tests
$ENV{PGCTLTIMEOUT} //= $PostgreSQL::Test::Utils::timeout_default;

# Runs a command with an empty standard input; returns its output.
sub _run
{
	my (@command) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(\@command, '<', \'', '>', \$out, '2>', \$err)
	  or die "command failed (status $?): @command\n$out$err";
	chomp $out;
	return $out;
}

# start_kafka(name => 'main', config => ['server.properties line', ...], version => '3.9.1')
#
# Starts an empty broker and returns its object.  What is not the version of test/pom.xml,
# run.sh must have fetched.
sub start_kafka
{
	my (%opt) = @_;
	my $name = basename($0, '.pl') . '_' . ($opt{name} // 'main');
	my $self = bless {
		dir => "$PostgreSQL::Test::Utils::tmp_check/kafka_$name",
		config => $opt{config} // [],
		version => $opt{version} // ''
	}, __PACKAGE__;

	rmtree($self->{dir});
	$brokers{ $self->{dir} } = $self;
	$self->start;
	return $self;
}

sub _kafka_sh
{
	my ($self, $command, @args) = @_;
	local $ENV{KAFKA_VERSION} = $self->{version};

	return _run('bash', "$test_dir/kafka.sh", $command, $self->{dir}, @args);
}

# The broker's address, the same for all its lives.
sub bootstrap
{
	my ($self) = @_;
	my $bootstrap = slurp_file("$self->{dir}/bootstrap");

	chomp $bootstrap;
	return $bootstrap;
}

# Starts the broker again with its data; returns when it answers.
sub start
{
	my ($self) = @_;
	local $ENV{KAFKA_VERSION} = $self->{version};

	# kafka.sh leaves the broker behind, which must not hold our pipes
	system_or_bail('bash', "$test_dir/kafka.sh", 'start', $self->{dir}, @{ $self->{config} });
	return;
}

sub stop { my ($self) = @_; $self->_kafka_sh('stop'); return; }
sub kill9 { my ($self) = @_; $self->_kafka_sh('kill'); return; }

# Suspends the broker, with all connections open, and resumes it.
sub pause { my ($self) = @_; suspend($self->_pid) or die "no broker in $self->{dir}"; return; }
sub resume { my ($self) = @_; kill('CONT', $self->_pid) == 1 or die "no broker in $self->{dir}"; return; }

sub _pid
{
	my ($self) = @_;
	my $pid = slurp_file("$self->{dir}/pid");

	chomp $pid;
	return $pid;
}

# Adds lines to the broker's properties and starts it again.
sub reconfigure
{
	my ($self, @lines) = @_;

	$self->stop;
	append_to_file("$self->{dir}/server.properties", join('', map { "$_\n" } @lines));
	$self->start;
	return;
}

# Opens a second door to the broker, for users with a password (SASL without
# TLS); returns its address.  add_sasl('app', 'secret', ...)
sub add_sasl
{
	my ($self, %password) = @_;
	my $users = join(' ', map { qq(user_$_="$password{$_}") } sort keys %password);
	my $port = free_port();
	my ($listeners) =
	  slurp_file("$self->{dir}/server.properties") =~ /^listeners=(.*)$/m;
	my $jaas = 'org.apache.kafka.common.security';

	$self->reconfigure(
		"listeners=$listeners,SASL_PLAINTEXT://127.0.0.1:$port",
		'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT',
		'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256',
		"listener.name.sasl_plaintext.plain.sasl.jaas.config=$jaas.plain.PlainLoginModule required $users;",
		"listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=$jaas.scram.ScramLoginModule required;");
	return "127.0.0.1:$port";
}

# A port on which nothing listens, below the range from which the kernel takes ports
# for outgoing connections: from there, those of other tests could take it until the
# broker listens, and each time that it is started again.
sub free_port
{
	foreach (1 .. 100)
	{
		my $port = 20_000 + int(rand(12_000));
		my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1);

		return $port if $socket;
	}
	die 'no free port found';
}

# Any class of Kafka's jars, as a command line tool; returns its output.
sub tool { my ($self, @args) = @_; return $self->_kafka_sh('tool', @args); }

# What kafka-consumer-groups says of a group's partitions of a topic: a list of
# "partition offset lag".
sub describe_group
{
	my ($self, $group, $topic) = @_;
	my $out = eval {
		$self->tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
			'--bootstrap-server', $self->bootstrap, '--describe', '--group', $group);
	} // '';
	my @lines = map { [ split ' ' ] } split /\n/, $out;

	return sort map { "$_->[2] $_->[3] $_->[5]" }
	  grep { @$_ >= 6 && $_->[0] eq $group && $_->[1] eq $topic } @lines;
}

# The offsets of a group, as text: lines of "topic partition offset"; "unknown"
# if the broker does not tell, as while it is just beginning to keep offsets.
sub group_offsets
{
	my ($self, $group) = @_;
	my $out = eval { $self->_admin('group', $group) } // return 'unknown';

	return join("\n", sort split /\n/, $out);
}

# Gives a user rights on a broker with an authorizer:
# allow('app', 'group', 'stream_ingest.', 'Read', ...), by prefix of the name
sub allow
{
	my ($self, $user, $kind, $prefix, @operations) = @_;
	my $out = $self->tool('org.apache.kafka.tools.AclCommand',
		'--bootstrap-server', $self->bootstrap, '--add',
		'--allow-principal', "User:$user", "--$kind", $prefix,
		'--resource-pattern-type', 'prefixed', map { ('--operation', $_) } @operations);

	die "AclCommand: $out" unless $out =~ /^Adding ACLs/m;
	return;
}

sub _admin
{
	my ($self, @args) = @_;

	return _run("$test_dir/kafka_admin", '-b', $self->bootstrap, @args);
}

# create_topic('t', 3, 'cleanup.policy=compact', ...)
sub create_topic { my ($self, @args) = @_; $self->_admin('create', @args); return; }
sub delete_topic { my ($self, $topic) = @_; $self->_admin('delete', $topic); return; }

# Lets the topic grow to so many partitions.
sub add_partitions
{
	my ($self, $topic, $count) = @_;

	$self->_admin('partitions', $topic, $count);
	return;
}

# Makes the broker forget what lies below the offset.
sub delete_records
{
	my ($self, $topic, $partition, $offset) = @_;

	$self->_admin('delete-records', $topic, $partition, $offset);
	return;
}

sub end_offset
{
	my ($self, $topic, $partition) = @_;

	return (split ' ', $self->_admin('offsets', $topic, $partition))[1];
}

# produce's options by their names here
my %produce_option = (
	partition => '-p',
	round_robin => '-r',
	file => '-f',
	key_separator => '-K',
	transaction => '-T',
	count => '-n',
	empty_headers => '-N',
	first => '-i',
	size => '-s',
	codec => '-c',
	timestamp => '-M');

sub _produce_command
{
	my ($self, $topic, %opt) = @_;
	my @command = ("$test_dir/produce", '-b', $self->bootstrap, '-t', $topic);

	push @command, '-Z' if delete $opt{tombstones};
	push @command, '-x' if delete $opt{hex};
	push @command, map { ('-H', $_) } @{ delete $opt{headers} // [] };
	push @command, map { ('-X', $_) } @{ delete $opt{properties} // [] };
	foreach my $name (sort keys %opt)
	{
		die "unknown option of produce: $name" unless $produce_option{$name};
		push @command, $produce_option{$name}, $opt{$name};
	}
	return @command;
}

# produce('t', \@lines, %opt) or produce('t', count => 1000, %opt)
#
# Sends and waits for all acknowledgements; returns how many there were.  What a
# transaction has committed or rolled back is visible then, if the partition is given.
# Options: partition, round_robin, key_separator, transaction, first, size,
# codec, file, timestamp (milliseconds since 1970); tombstones => 1, hex => 1, headers => ['a=1', ...],
# empty_headers => 1000, properties => ['linger.ms=0', ...].  See test/produce.c.
sub produce
{
	my ($self, $topic, @args) = @_;
	my $input = '';
	my $out = '';
	my $err = '';

	if (ref $args[0])
	{
		$input = join('', map { "$_\n" } @{ shift @args });
		utf8::encode($input) if utf8::is_utf8($input);
	}
	my %opt = @args;
	my $ends = ($opt{transaction} // 'open') ne 'open' && defined $opt{partition};
	my $before = $ends ? $self->end_offset($topic, $opt{partition}) : 0;
	my @command = $self->_produce_command($topic, @args);
	IPC::Run::run(\@command, '<', \$input, '>', \$out, '2>', \$err)
	  or die "command failed (status $?): @command\n$out$err";
	$self->_await_markers($topic, \%opt, $before, $out) if $ends;
	return $out + 0;
}

# Sends so many more made-up messages to a partition (0), whose ids continue those of
# the topic.
sub produce_more
{
	my ($self, $topic, $n, $partition) = @_;

	$self->produce($topic, count => $n, first => $self->{sent}{$topic} // 0, partition => $partition // 0);
	$self->{sent}{$topic} += $n;
	return;
}

# A transaction ends when the broker has written its marker behind the messages, which
# it does after it has answered the producer.
sub _await_markers
{
	my ($self, $topic, $opt, $before, $count) = @_;
	my $markers = $opt->{transaction} eq 'each' ? $count : $count > 0;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	while ($self->end_offset($topic, $opt->{partition}) < $before + $count + $markers)
	{
		die "the transaction in topic \"$topic\" does not end" if time() > $deadline;
		select(undef, undef, undef, $poll_interval);
	}
	return;
}

# The same without waiting, for made-up messages or a file; returns what
# produce_wait wants.
sub produce_start
{
	my ($self, $topic, %opt) = @_;
	my $job = { out => '', err => '' };

	$job->{command} = [ $self->_produce_command($topic, %opt) ];
	$job->{harness} =
	  IPC::Run::start($job->{command}, '<', \'', '>', \$job->{out}, '2>', \$job->{err});
	return $job;
}

# Waits for a producer; returns how many messages were acknowledged.
sub produce_wait
{
	my ($job) = @_;

	IPC::Run::finish($job->{harness})
	  or die "command failed (status $?): @{ $job->{command} }\n$job->{out}$job->{err}";
	return $job->{out} + 0;
}

# new_node('main', kafka => $kafka, conf => { name => value, ... })
#
# A running server with the extension and, if there is a broker (an object, or
# an address as bootstrap => '...'), the foreign server "kafka".  It restarts
# itself after a crash; fsync is off unless conf says otherwise.  The environment's
# STREAM_INGEST_CONF ("name=value ...") has settings for all tests.
sub new_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my %conf = (
		shared_preload_libraries => 'stream_ingest',
		restart_after_crash => 'on',
		max_worker_processes => 24,
		max_connections => 50,
		timezone => 'UTC',
		(map { split /=/, $_, 2 } split ' ', $ENV{STREAM_INGEST_CONF} // ''),
		%{ $opt{conf} // {} });
	my $bootstrap = $opt{kafka} ? $opt{kafka}->bootstrap : $opt{bootstrap};

	# whatever the locale of who runs the tests
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', "$_ = '$conf{$_}'") foreach sort keys %conf;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION stream_ingest');
	$node->safe_psql('postgres',
		"CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap')")
	  if defined $bootstrap;
	$first_node //= $node;
	return $node;
}

# The same for a server in whose processes fail_malloc.so obeys orders.  Returns also the
# file of orders: see test/fail_malloc.c.
sub new_failing_node
{
	my @args = @_;
	my $orders = "$PostgreSQL::Test::Utils::tmp_check/fail_malloc";

	append_to_file($orders, "\0" x 128);
	local $ENV{LD_PRELOAD} = "$test_dir/fail_malloc.so";
	local $ENV{FAIL_MALLOC_FILE} = $orders;
	return (new_node(@args), $orders);
}

# Runs statements in the test's server, and dies if one fails; returns the
# output.
sub sql { return $first_node->safe_psql('postgres', $_[0]); }

# poll($sql, $expected, $timeout): poll_until in the test's server.
sub poll { return poll_until($first_node, @_); }

# The answer of the test's server: rows, or an error with its SQLSTATE.  Options
# are psql's: answer($sql, extra_params => [ '-U', 'reader' ]).
sub answer
{
	my ($sql, %opt) = @_;
	my ($out, $err) = ('', '');

	$first_node->psql('postgres', "\\set VERBOSITY verbose\n$sql",
		stdout => \$out, stderr => \$err, %opt);
	return $err ne '' ? $err : $out;
}

# Suspends a process (SIGSTOP), and returns when all of its threads have stopped: on a
# busy machine some run on for a while after the signal was sent.  False if there is none.
sub suspend
{
	my ($pid) = @_;
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	kill('STOP', $pid) == 1 or return 0;
	while (grep { !/\) [TZX] / } map { eval { slurp_file($_) } // () } glob("/proc/$pid/task/*/stat"))
	{
		die "process $pid does not stop" if time() > $deadline;
		select(undef, undef, undef, 0.005);
	}
	return 1;
}

# From here on WAL is written only by commits that wait for it, so that a crash loses
# the others for certain.  Returns what crash() then needs.
sub suspend_wal_writer
{
	my ($node) = @_;
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");

	suspend($pid) or die 'no WAL writer';
	return $pid;
}

# Kills the postmaster and waits until its children have noticed and are gone:
# until then the shared memory is in use and the server would not start again.
# A suspended process does not notice it and is killed before; the postmaster must not
# notice that.
sub crash
{
	my ($node, $suspended) = @_;
	my @pidfile = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');
	my $postmaster = $pidfile[0];
	my $segment = (split ' ', $pidfile[6])[1];
	my $deadline = time() + $PostgreSQL::Test::Utils::timeout_default;

	if (defined $suspended)
	{
		suspend($postmaster);
		kill('KILL', $suspended);
	}
	$node->kill9;
	while (kill(0, $postmaster) || _segment_in_use($segment))
	{
		die 'processes of server "' . $node->name . '" do not end' if time() > $deadline;
		select(undef, undef, undef, $poll_interval);
	}
	return;
}

# Is a process attached to the System V shared memory segment?
sub _segment_in_use
{
	my ($segment) = @_;

	foreach my $line (split /\n/, slurp_file('/proc/sysvipc/shm'))
	{
		my @field = split ' ', $line;
		return $field[6] > 0 if $field[1] eq $segment;
	}
	return 0;
}

# Libraries in this order for shared_preload_libraries, without those that are
# not installed: others have the same hooks as we.
sub installed
{
	my $dir = _run('pg_config', '--pkglibdir');

	return join(', ', grep { -e "$dir/$_.so" } @_);
}

# Takes a foreign server away in a way that no command does, which would ask
# about its subscriptions: as one that was dropped while create_subscription ran.
sub lose_server
{
	my ($node, $name) = @_;

	$node->safe_psql('postgres', qq{
		SET allow_system_table_mods = on;
		CREATE TEMP TABLE lost AS SELECT oid, 'pg_foreign_server'::regclass AS class FROM pg_foreign_server WHERE srvname = '$name';
		INSERT INTO lost SELECT u.oid, 'pg_user_mapping'::regclass FROM pg_user_mapping u JOIN lost l ON l.oid = u.umserver;
		DELETE FROM pg_depend d USING lost l WHERE (d.classid, d.objid) = (l.class, l.oid) OR (d.refclassid, d.refobjid) = (l.class, l.oid);
		DELETE FROM pg_shdepend d USING lost l WHERE (d.classid, d.objid) = (l.class, l.oid)
			AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database());
		DELETE FROM pg_user_mapping WHERE oid IN (SELECT oid FROM lost);
		DELETE FROM pg_foreign_server WHERE oid IN (SELECT oid FROM lost)});
	return;
}

# Asks until the answer is the expected one; returns whether it came within
# the limit, and says what came instead.  Errors count as another answer: the
# server may be restarting.
sub poll_until
{
	my ($node, $sql, $expected, $timeout) = @_;
	my $deadline = time() + ($timeout // $PostgreSQL::Test::Utils::timeout_default);
	my ($out, $err);

	$expected //= 't';
	while (1)
	{
		$out = $err = '';

		# a server that is restarting can end psql before it reads its input
		eval { $node->psql('postgres', $sql, stdout => \$out, stderr => \$err); 1; } or $err = $@;
		return 1 if $out eq $expected && $err eq '';
		last if time() > $deadline;
		select(undef, undef, undef, $poll_interval);
	}
	_say_why($node, "gave up waiting for: $sql\nexpected: $expected\nlast answer: $out\n$err");
	return 0;
}

# Diagnostics for a test whose wait has timed out.
sub _say_why
{
	my ($node, $text) = @_;
	my $status = '';

	$node->psql('postgres', 'SELECT * FROM stream_ingest.status',
		stdout => \$status, extra_params => ['-x']);
	my @log = split /\n/, slurp_file($node->logfile);
	@log = grep { !/LOG:  statement: / } @log;
	splice(@log, 0, -20) if @log > 20;
	Test::More::diag(join("\n", $text, 'status:', $status, 'end of the log:', @log));
	return;
}

# Tests that so many messages are rows of a table with the column "id", each once.
sub rows_come
{
	my ($name, $count, $what) = @_;

	Test::More::ok(poll("SELECT count(*) || ' ' || count(DISTINCT id) FROM $name", "$count $count"), $what);
	return;
}

# The text becomes the file's, in one step: readers see the old one or the new one.
sub replace_file
{
	my ($path, $text) = @_;

	open my $file, '>', "$path.new" or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	chmod 0644, "$path.new";
	rename "$path.new", $path or die "$path: $!";
	return;
}

# The process of a subscription's worker (the first one), awaited.
sub worker_pid
{
	my ($node, $subscription, $timeout) = @_;
	my $sql = "SELECT pid FROM stream_ingest.status"
	  . " WHERE name = '$subscription' AND pid IS NOT NULL ORDER BY worker LIMIT 1";

	# one that is there at a look may have ended before the next
	while (poll_until($node, "SELECT count(*) FROM ($sql) p", 1, $timeout))
	{
		my $pid = $node->safe_psql('postgres', $sql);

		return $pid if $pid ne '';
	}
	die "subscription \"$subscription\" has no worker";
}

END
{
	# take care not to change the script's exit value
	my $exit_code = $?;

	foreach my $broker (values %brokers)
	{
		eval { $broker->kill9; };
		rmtree($broker->{dir})
		  if $exit_code == 0 && PostgreSQL::Test::Utils::all_tests_passing();
	}
	$? = $exit_code;
}

1;
