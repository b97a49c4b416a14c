# The scripts on a machine that lacks something: what they ask apt for, what they show of it, what they leave out and
# say so, and how they end.
#
# They run as they are, in a copy with sources that build nothing.  What would reach the network, another user or the
# machine's packages is a stub: a script in a directory that comes first on the path, which writes a line into "calls"
# and does what the environment tells it.  Everything else on the path is a link to the machine's, so that a tool can be
# missing.  They believe to be an ordinary user who may use sudo, whichever user runs this.  It needs no server and no
# broker.

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";

# short, or a script looks for another place for its files
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my ($bin, $others, $shelf, $tmp, $cache) = map { "$dir/$_" } qw(bin others shelf tmp cache);
make_path($bin, $others, $shelf, $tmp, $cache, "$dir/home");

# write_file(PATH, TEXT): a script is made executable.
sub write_file
{
	my ($path, $text) = @_;

	make_path(dirname($path));
	unlink $path;
	append_to_file($path, $text);
	chmod 0755, $path if $text =~ /^#!/;
	return;
}

# ---- the machine

# The packages that the scripts ask for bring these.  What runs them does no more than that.
my @tools = qw(gcc make pkg-config nm kcat openssl prove java mvn python3 clang valgrind bzip2 mmdebstrap);

my %stub = (
	(map { $_ => '' } @tools),
	make => 'exec "$OTHERS/real_make" "$@"',
	clang => 'echo 99.0',
	id => 'case "$1,${TEST_UID:-1000}" in -u,*) echo "${TEST_UID:-1000}" ;; *,0) echo root ;; *) echo tester ;; esac',
	sudo => 'TEST_UID=0 exec "$@"',
	chown => '',
	mount => '',
	dpkg => '',
	'apt-cache' => 'echo "Package: $2"',

	# it "installs" a tool by putting it on the path
	'apt-get' => q{
		case " $* " in
			*' indextargets '*'deb ['*) . /etc/os-release; echo "deb [x] http://mirror.invalid $VERSION_CODENAME main" ;;
			*' indextargets '*) echo http://mirror.invalid ;;
			*' source '*)
				[ -n "${SOURCE_IS_THERE:-}" ] || { echo 'E: Failed to fetch the source  404  Not Found' >&2; exit 100; }
				for name; do :; done
				echo BZh9 >"${name}_1.orig.tar.bz2" ;;
			*' install '*)
				echo 'words of apt'
				[ -z "${APT_FAILS:-}" ] || { echo 'E: the cause'; exit 100; }
				for package; do [ ! -e "$SHELF/$package" ] || cp "$SHELF/$package" "$BIN"; done ;;
		esac},

	# what makes a root, and what enters it
	setpriv => 'shift 2; exec "$@"',
	unshare => q{
		[ -z "${NO_NAMESPACES:-}" ] || { echo 'unshare: Operation not permitted' >&2; exit 1; }
		while [ "$1" != -- ]; do shift; done
		shift
		case "$*" in *'fresh.sh inside'*) exit 1 ;; esac
		exec "$@"},
	mmdebstrap => q{
		[ "$(grep -c '^mmdebstrap ' "$CALLS")" -ge "${GOOD_TRY:-1}" ] || { echo 'E: the mirror is down' >&2; exit 1; }
		while [ $# -gt 2 ]; do shift; done
		mkdir -p "$1/etc/apt/apt.conf.d" "$1/etc/sudoers.d"
		touch "$1/etc/apt/apt.conf.d/99mmdebstrap"
		echo 'user:x:1000:1000::/home/user:/bin/bash' >"$1/etc/passwd"},
	chroot => q{
		case "$*" in
			*'test/run.sh regress') echo 'skipped pg_regress this for a reason'; echo '2 passed, 0 failed' ;;
			*'test/run.sh tap '*) echo '3 passed, 0 failed' ;;
			*'pkg-config --modversion'*) echo '99.1, librdkafka 9.9' ;;
		esac});

foreach my $name (sort keys %stub)
{
	write_file((grep { $_ eq $name } @tools) ? "$shelf/$name" : "$bin/$name",
		qq{#!/bin/sh\necho "$name \$*" >>"\$CALLS"\n$stub{$name}\n});
}
foreach my $path (map { glob("$_/*") } qw(/usr/local/bin /usr/bin /bin /usr/sbin /sbin))
{
	my ($name) = $path =~ m{([^/]+)$};

	symlink($path, "$others/real_make") if $name eq 'make';
	symlink($path, "$others/$name") unless exists $stub{$name} || $name =~ /^(clang|[lp]bzip2)/;
}

# A server: its directories, and programs with which the quickstart is content.
my %server = (
	bindir => 'bin', pkglibdir => 'lib/ours', sharedir => 'share', includedir => 'include',
	'includedir-server' => 'include/server', libdir => 'lib');
make_path(map { "$dir/server/$_" } values %server);
write_file("$dir/server/bin/pg_config",
	"#!/bin/sh\ncase \$1 in\n" . join('', map { "--$_) echo $dir/server/$server{$_} ;;\n" } sort keys %server) . "esac\n");
write_file("$dir/server/bin/initdb", qq{#!/bin/sh\nmkdir "\$2"\n});
write_file("$dir/server/bin/pg_ctl", "#!/bin/sh\n");
write_file("$dir/server/bin/psql", "#!/bin/sh\necho 5\n");

# ---- copies of the tree

# Without what is built of it: its make does what run.sh looks at.
sub copy_of_tree
{
	my ($copy, %replaced) = @_;

	foreach my $path (map { glob("$top/$_") } qw(.ci/run test/*.sh test/lib/*.sh examples/*.sh))
	{
		my $name = substr($path, length("$top/"));

		make_path(dirname("$copy/$name"));
		copy($path, "$copy/$name") or die "$path: $!";
	}
	write_file("$copy/$_", "int nothing;\n") foreach qw(src/common/compat.h src/common/a.c src/b.c test/c.c);
	write_file("$copy/$_", "# nothing\n") foreach qw(stream_ingest.control sql/stream_ingest--1.sql test/regress.conf);
	write_file("$copy/test/$_.sh", "echo nothing\n") foreach qw(lint kafka registry);
	write_file("$copy/Makefile", <<'MAKEFILE');
top := $(dir $(firstword $(MAKEFILE_LIST)))
all: built
built: $(top)src/common/compat.h
	mkdir -p test
	printf '#!/bin/sh\n[ "$$1" = -c ] || echo 127.0.0.1:1 >"$$1"\n' >test/mock_broker
	printf '#!/bin/sh\ncat\n' >test/produce
	chmod +x test/mock_broker test/produce
	touch built
test-programs: all
install:
	mkdir -p $(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir) $(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension
	touch $(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)/stream_ingest.so
	cp $(top)stream_ingest.control $(top)sql/* $(DESTDIR)$(shell $(PG_CONFIG) --sharedir)/extension
installcheck:
	echo 'skipped this: for a reason'
	echo 'ok 1         - that                       10 ms'
.PHONY: all test-programs install installcheck
MAKEFILE
	write_file("$copy/$_", $replaced{$_}) foreach sort keys %replaced;
	return;
}

copy_of_tree("$dir/tree");
copy_of_tree("$dir/ci", 'test/run.sh' => qq{echo "run.sh in place \$*"\nexit "\${RUN_STATUS:-0}"\n});

# ---- running them

my @litter;

# script(COMMAND, missing => [ TOOL... ], NAME => VALUE...): runs it with the rest as its environment; returns its exit
# status, its output, what it writes to the standard error, and the calls of stubs.
sub script
{
	my ($command, %environment) = @_;
	my %missing = map { $_ => 1 } @{ delete $environment{missing} // [] };
	my ($out, $err) = ('', '');

	unlink "$dir/calls", map { "$bin/$_" } @tools;
	append_to_file("$dir/calls", '');
	foreach my $tool (grep { !$missing{$_} } @tools)
	{
		copy("$shelf/$tool", "$bin/$tool") or die "$tool: $!";
		chmod 0755, "$bin/$tool";
	}
	local %ENV = (
		PATH => "$bin:$others", HOME => "$dir/home", TMPDIR => $tmp, LC_ALL => 'C', STREAM_INGEST_CACHE => $cache,
		PG_CONFIG => "$dir/server/bin/pg_config", CALLS => "$dir/calls", BIN => $bin, SHELF => $shelf, OTHERS => $others,
		%environment);
	IPC::Run::run([ "$others/bash", split ' ', $command ],
		'<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	my $status = $? & 127 ? "signal $?" : $? >> 8;

	note("$command: $status\n$out$err");
	push @litter, map { "$command: $_" } glob("$tmp/* $cache/new.*");
	return ($status, $out, $err, slurp_file("$dir/calls"));
}

# The packages that apt was asked for, in the order of their names.
sub asked_for
{
	my ($calls) = @_;

	return join(' ', sort map { split ' ' } $calls =~ /^apt-get .*--no-install-recommends (.*)$/mg);
}

# How often a line begins so.
sub times_called
{
	my ($calls, $beginning) = @_;
	my @lines = $calls =~ /^\Q$beginning\E/mg;

	return scalar @lines;
}

my ($status, $out, $err, $calls);

# ---- no fresh root

($status, $out, $err, $calls) = script("$dir/tree/test/fresh.sh trixie", GOOD_TRY => 99);
is($status, 3, 'no root can be made: the exit status of fresh.sh says so');
is($out, "no root of trixie could be made: E: the mirror is down\n", 'and one line, with the reason');
is(times_called($calls, 'mmdebstrap '), 3, 'after three tries');

($status, $out, $err, $calls) = script("$dir/ci/.ci/run", GOOD_TRY => 99, RUN_STATUS => 7);
like($out, qr/\Ano root of \w+ could be made: [^\n]*\nrunning in place\nrun\.sh in place \n\z/,
	'CI then runs the tests in place');
is($status, 7, 'and ends as they do');
is(times_called($calls, 'mmdebstrap '), 3, 'after three tries of a fresh root');

($status, $out) = script("$dir/ci/.ci/run", missing => ['mmdebstrap'], APT_FAILS => 1);
like($out, qr/\Ano root of \w+ could be made: mmdebstrap could not be installed\nrunning in place\nrun\.sh in place \n\z/,
	'where what makes a root cannot be installed, CI runs the tests in place, too');

($status, $out) = script("$dir/ci/.ci/run", NO_NAMESPACES => 1);
like($out, qr/\Ano root of \w+ can be made: unshare: Operation not permitted\nrunning in place\nrun\.sh in place \n\z/,
	'where no root can be entered, CI runs the tests in place, too');

# the third one can be made, and what runs in it fails
($status, $out, $err, $calls) = script("$dir/ci/.ci/run", GOOD_TRY => 3);
is(times_called($calls, 'mmdebstrap '), 3, 'a root that is made by the third try is taken');
like($out, qr/^0 passed, 2 failed\n\z/m, 'and the tests run in it');
is($status, 1, 'CI fails as the tests in the fresh root do');
unlike($out, qr/in place/, 'and does not try them in place');

foreach my $case ([ 'exit 0', 0 ], [ 'exit 5', 5 ], [ 'kill -KILL $$', 137 ])
{
	write_file("$dir/ci/test/fresh.sh", "echo \"fresh.sh \$*\"\n$case->[0]\n");
	($status, $out) = script("$dir/ci/.ci/run");
	is("$status $out", "$case->[1] fresh.sh \n", "CI runs fresh.sh and ends as that does ($case->[0])");
}

# ---- packages that are missing: bzip2 unpacks the sources of pgindent

($status, $out, $err, $calls) = script("$dir/tree/test/run.sh lint", missing => ['bzip2']);
is(asked_for($calls), 'bzip2', 'run.sh asks for bzip2, and for nothing that is there');
unlike("$out$err", qr/words of apt/, 'what apt says of an installation that succeeds is not shown');

# the mirror has none of the sources: the same run
is(join('', $out =~ /^(.*\bformat\b.*\n)/mg),
	sprintf("skipped %-32s %s\n", 'format', 'no pgindent: E: Failed to fetch the source  404  Not Found'),
	'without pgindent one line says that the format is not checked, and why');
like($out, qr/^ok +VPATH build .*^ok +lint .*\n6 passed, 0 failed\n\z/ms, 'the run continues, and counts no failure');
is($status, 0, 'and succeeds');
is(times_called($calls, 'apt-get source '), 3, 'after it has looked in three suites');

foreach my $script ('examples/quickstart.sh', 'test/run.sh lint')
{
	($status, $out, $err, $calls) = script("$dir/tree/$script", missing => ['make'], APT_FAILS => 1);
	is("$status $err", "1 installing make ...\nwords of apt\nE: the cause\nerror: apt could not install make\n",
		"$script: an installation fails: the log of apt is shown, and nothing else");
	is($out, '', "$script: and that is the end");
}

($status, $out, $err, $calls) = script("$dir/tree/examples/quickstart.sh", missing => ['make']);
is($status, 0, 'the quickstart continues after an installation');
is(asked_for($calls), 'make', 'of what is missing');
unlike("$out$err", qr/words of apt/, 'without the words of apt');
like($err, qr/^What stays are the packages that were installed: make\.$/m, 'and says what stays');
($status, $out, $err, $calls) = script("$dir/tree/examples/quickstart.sh");
is("$status " . times_called($calls, 'apt-get '), '0 0', 'where all is there, apt is not called');
unlike($err, qr/What stays/, 'and nothing stays');

# ---- the format

($status, $out, $err, $calls) = script("$dir/tree/test/indent.sh --check", missing => ['bzip2'], SOURCE_IS_THERE => 1);
is($status, 3, 'sources that cannot be unpacked: pgindent cannot be had');
like($err, qr/bzip2: Cannot exec: No such file or directory/, 'the cause is shown');
unlike($err, qr/^(?!tar|==>|building|no pgindent).+$/m, 'and no errors that follow from it');
is(times_called($calls, 'gcc '), 0, 'because nothing is tried after it');
like($err, qr/\nno pgindent: tar[^\n]*\n\z/, 'the last line says what failed');

write_file("$cache/pgindent/typedefs.list", "int\n");
foreach my $case (
	[ 'as it should be', 0, qr/^ok +format .*\n7 passed, 0 failed\n\z/ms, 0 ],
	# as pgindent ends when it cannot read a file: that it could be had is certain
	[ 'not to be read', 3, qr/^FAILED +format .*\n6 passed, 1 failed\n\z/ms, 1 ],
	[ 'not as it should be', 2, qr/^FAILED +format .*^    shown as a difference\n.*\n6 passed, 1 failed\n\z/ms, 1 ])
{
	my ($which, $ends, $expected, $fails) = @$case;

	write_file("$cache/pgindent/pgindent", qq{print "shown as a difference\\n" if $ends;\nexit $ends;\n});
	($status, $out) = script("$dir/tree/test/run.sh lint");
	like($out, $expected, "the format is $which: the result of a test");
	is($status, $fails, "the format is $which: the exit status of run.sh");
}

# ---- extensions for the tests, of a server of Debian's that is not here: what comes after the packages fails

my $major = 99;
my %of_debian = (PG_CONFIG => "/usr/lib/postgresql/$major/bin/pg_config");

foreach my $part ('', ' tap')
{
	($status, $out, $err, $calls) = script("$dir/tree/test/run.sh$part", %of_debian);
	like(asked_for($calls), qr/\bpostgresql-$major-pgaudit\b/, "run.sh$part: installs extensions beside ours");
	unlike($calls, qr/postgis/i, "run.sh$part: PostGIS is not among them");
	($status, $out, $err, $calls) = script("$dir/tree/test/run.sh$part", %of_debian, STREAM_INGEST_FULL => 1);
	like(asked_for($calls), qr/\bpostgresql-$major-postgis-3\b/, "run.sh$part: except for the long tests");
}

# ---- tests that are left out

# The choice of the Makefile, by what the server was built with.
sub installcheck
{
	my ($icu, $postgres_fdw) = @_;
	my $fake = "$dir/fake$icu$postgres_fdw";
	my $real = $ENV{PG_CONFIG} // 'pg_config';

	write_file("$fake/pg_config.h", $icu ? "#define USE_ICU 1\n" : "/* #undef USE_ICU */\n");
	write_file("$fake/extension/postgres_fdw.control", '') if $postgres_fdw;
	write_file("$fake/pg_config",
		qq{#!/bin/sh\ncase \$1 in --includedir-server | --sharedir) echo $fake ;; *) exec $real "\$@" ;; esac\n});
	delete local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
	my ($said, $errors) = run_command([ 'make', '-n', '-C', $top, 'installcheck', 'TAP_TESTS=', "PG_CONFIG=$fake/pg_config" ]);
	my ($tests) = $said =~ /(with_mock_broker\.sh .* odd stored.*)/ or note("$said\n$errors");

	return join(' ', (grep { ($tests // '') =~ /\b$_\b/ } qw(options collations foreign_tables)),
		$said =~ /'(skipped [^']*)'/g);
}

my $without_icu = 'skipped collations: the server was built without ICU';
my $without_fdw = 'skipped foreign_tables: there is no postgres_fdw';
is(installcheck(1, 1), 'options collations foreign_tables', 'with ICU and postgres_fdw all tests run');
is(installcheck(0, 1), "options foreign_tables $without_icu", 'without ICU: its test is left out, and a line says so');
is(installcheck(1, 0), "options collations $without_fdw", 'without postgres_fdw, too');
is(installcheck(0, 0), "options $without_icu $without_fdw", 'and without both');

($status, $out) = script("$dir/tree/test/run.sh regress");
like($out, qr/^skipped pg_regress this +for a reason\n2 passed, 0 failed\n\z/m, 'run.sh shows such a line, and counts no failure');

# 17, because versions.sh knows its suite
($status, $out) = script("$dir/tree/test/versions.sh 17");
like($out, qr/\Askipped pg_regress this for a reason\nok +PostgreSQL 99\.1, librdkafka 9\.9 +5 passed +0 failed/,
	'versions.sh shows it with the version');
is($status, 0, 'and succeeds');

is(join("\n", @litter), '', 'no script has left files behind');
done_testing();
