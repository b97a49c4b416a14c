# The README and the manual tell the truth: their examples run, and what they
# list is what there is.
#
# What a page can have that is run or compared is told in ManualPage.pm; the
# recipes of the cookbook are run by 101_cookbook.pl.
use strict;
use warnings;

use File::Basename qw(dirname);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use IPC::Run;
use JSON::PP qw(decode_json);
use ManualPage;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamIngest;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my %file = (README => "$top/README.md", index => "$top/doc/README.md");
foreach my $file (glob("$top/doc/*.md $top/doc/cookbook/*.md"))
{
	my ($name) = $file =~ m{/doc/(.+)\.md$};
	$file{$name} = $file if $name ne 'README';
}
my %page = map { $_ => slurp_file($file{$_}) } keys %file;
my $manual = join("\n", map { $page{$_} } sort keys %page);

# ---- what needs no server

# Headings as GitHub makes anchors of them, and what is an anchor by itself; how
# often each is there.
sub anchors
{
	my ($text) = @_;
	my %anchors;

	$text =~ s/^```.*?^```//gms;
	$anchors{$_}++ foreach $text =~ /<a id="([^"]+)"><\/a>/g;
	foreach my $heading ($text =~ /^#+ +(.*)$/mg)
	{
		$heading = lc $heading;
		$heading =~ s/[^\w\- ]//g;
		$heading =~ s/ /-/g;
		$anchors{$heading}++;
	}
	return \%anchors;
}

# every text of the tree, not only the pages of the manual
my %text = map { s{^\Q$top/}{}r => $_ } map { glob("$top/$_") }
  qw(*.md doc/*.md doc/*/*.md examples/*/*.md src/*.md src/*/*.md test/*/*.md);
foreach my $name (sort keys %text)
{
	my $text = slurp_file($text{$name});
	my @broken;

	foreach my $link ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($file, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		next if $file =~ /^https?:/;
		my $path = $file eq '' ? $text{$name} : dirname($text{$name}) . "/$file";

		push @broken, $link unless -e $path && (!defined $anchor || anchors(slurp_file($path))->{$anchor});
	}
	is("@broken", '', "$name: links lead somewhere");

	# tables, code, comments and addresses have lines of any length
	my @long = grep { length > 120 && !/^(?:\||!\[| {4}|<!--)|\]\(https?:/ }
	  split /\n/, $text =~ s/^```.*?^```|<!--.*?-->//gmsr;
	is(join("\n", @long), '', "$name: lines of prose are not long") if $name !~ m{^src/};
}

foreach my $name (sort keys %page)
{
	my $anchors = anchors($page{$name});
	is(join(' ', grep { $anchors->{$_} > 1 && $page{$name} =~ /<a id="\Q$_\E"/ } sort keys %$anchors),
		'', "$name: anchors are there once");
	unlike($page{$name}, qr/\t/, "$name: no tabs") if $name ne 'README';

	# an anchor of a name stands before that name, or at the end of the line above it
	my @astray = grep { $_->[1] ne $_->[2] } map { [ @$_[ 0 .. 1 ], $_->[2] // '' ] }
	  map { [/^<a id="((?:option|function|setting)-([^"]+))"><\/a>(?:\n?`(?:stream_ingest\.)?([\w.]+))?/] }
	  $page{$name} =~ /(<a id="(?:option|function|setting)-[^"]+"><\/a>(?:\n?`[\w.]+)?)/g;
	is(join(' ', map { $_->[0] } @astray), '', "$name: anchors stand before what they name");
}

# Messages of the source in the way the manual writes them: <what> for what
# varies.
sub shape
{
	my ($text) = @_;

	$text =~ s/\\"/"/g;
	$text =~ s/%%/%/g;
	$text =~ s/%[-.*0-9l]*[a-z]/<>/g;
	$text =~ s/<[^>]*>/<>/g;
	$text =~ s/(?:<>)+/<>/g;
	return $text;
}

my %documented = map { shape($_) => 1 } $page{errors} =~ /`([^`\n]+)`/g;
my @missing;
my @sources = glob("$top/src/*.c $top/src/*/*.c");
cmp_ok(scalar @sources, '>', 50, 'sources are found');
foreach my $file (@sources)
{
	my $source = slurp_file($file);

	while ($source =~ /\berrmsg(?:_plural)?\(\s*((?:"(?:[^"\\]|\\.)*"\s*(?:INT64_FORMAT\s*)?)+)/g)
	{
		my $text = $1;

		$text =~ s/INT64_FORMAT/"%d"/g;
		$text = shape(join('', $text =~ /"((?:[^"\\]|\\.)*)"/g));
		push @missing, $text unless $text eq '<>' || $documented{$text};
	}
}
is(join("\n", @missing), '', 'every error stands in errors.md');

# what status says, by the one table of it
my ($sentences) = slurp_file("$top/src/common/reason.c") =~ /sentences\[SI_NREASONS\] = \{(.*?)\n\};/s;
my %told = map { shape($_) => 1 } $page{monitoring} =~ /`([^`\n]+)`/g;
my @reasons = map { shape($_) } $sentences =~ /=\s*"((?:[^"\\]|\\.)*)"/g;
cmp_ok(scalar @reasons, '>', 20, 'reasons are found in the source');
is(join("\n", grep { !$told{$_} } @reasons), '', 'every reason stands in monitoring.md');

# What the reference has a line for: name => the link.
my %reference;
push @{ $reference{ $_->[0] } }, $_->[1]
  foreach map { [/^\| \[`([^`]+)`\]\(([^)]+)\)/] } grep { /^\| \[/ } split /\n/, $page{reference};

# Each of these has an anchor "prefix-name", to which the reference links.
sub referenced
{
	my ($prefix, $what, @names) = @_;
	my @lacking;

	foreach my $name (@names)
	{
		my $anchor = $prefix . $name =~ s/^stream_ingest\.//r;

		push @lacking, $name unless grep { /#\Q$anchor\E$/ } @{ $reference{$name} // [] };
	}
	cmp_ok(scalar @names, '>', 5, "$what are found");
	is("@lacking", '', "$what have anchors, and lines in reference.md");
	return;
}

# properties have their names with dots in options of a subscription only
my @properties;
foreach my $line (grep { /^\t\{"[\w.]+", NULL, SI_AT_/ } split /\n/, slurp_file("$top/src/options/property_table.c"))
{
	my ($name) = $line =~ /"([\w.]+)"/;

	push @properties, $line =~ /SI_AT_SUBSCRIPTION/ ? $name : $name =~ s/\./_/gr;
}
referenced('option-', 'properties', @properties);
referenced('option-', 'options', slurp_file("$top/src/options/options.c") =~ /^\t\{"(\w+)", &si_option_/mg);

# What an operator has to know, and no example shows.  Line breaks do not matter.
my %facts = (
	delivery => [
		[ 'positions are durable before they are used', qr/is durable before the worker reads from it, whatever `synchronous_commit`/ ],
		[ 'what a promoted asynchronous standby may lose', qr/Failover to an asynchronous standby.*neither in the table nor in `gaps`/ ],
		[ 'what a crash takes from an unlogged target', qr/Unlogged targets.*`unlogged target was emptied by a crash`/ ],
		[ 'which of several records with one key wins', qr/Superseded records.*the last wins in an upsert/ ],
	],
	install => [
		[ 'librdkafka that crashes on metadata', qr/librdkafka 2\.4 to 2\.8 crash.*issue 4907/ ],
		[ 'that the line is appended', qr/Append to that list; do not replace it/ ],
		[ 'that a restart ends all sessions', qr/restart the server, \*\*which terminates all its sessions/ ],
	],
	performance => [
		[ 'the memory of a worker', qr/a worker uses at most:/ ],
		[ 'that answers are unpacked before their size is known', qr/unpacks a whole batch.*before its size can be checked/ ],
	],
	security => [
		[ 'that a broker can crash the server', qr/anyone who controls a broker, or the network.*can crash the server/ ],
		[ 'what protects from that', qr/use TLS \(`security_protocol` `SSL` or `SASL_SSL`/ ],
		[ 'what to do about a batch that never ends', qr/never ends, terminate its worker by `pg_terminate_backend\(pid\)` while `disable` waits/ ],
	]);
foreach my $name (sort keys %facts)
{
	my $prose = $page{$name} =~ s/\s+/ /gr;

	like($prose, $_->[1], "$name.md tells $_->[0]") foreach @{ $facts{$name} };
}

# The versions that are tested are those that install.md names.
my @tested = slurp_file("$top/test/versions.sh") =~ /^#   versions\.sh \[WHICH\.\.\.\] +default: ((?:\d+ )+)/m
  or die 'no versions in versions.sh';
is(join(' ', grep { $page{install} !~ /^\| $_ \| [\d.]+ \|/m } split ' ', $tested[0]), '', 'install.md: the versions tested');

# ---- what is compared with the server

my $kafka = StreamIngest::start_kafka();
my $bootstrap = $kafka->bootstrap;
my $node = StreamIngest::new_node('main');

# Rows of a list, to be compared with one of ours.
sub rows
{
	my ($sql) = @_;
	my %rows = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', $sql);

	return \%rows;
}

# The first cells of a table that begins behind this text; all that is in
# backticks there.
sub listed
{
	my ($text, $after) = @_;
	my %listed;

	my ($table) = $text =~ /\Q$after\E.*?\n(\|.*?)\n(?:\n|\z)/s or die "no table behind: $after";
	foreach my $line (split /\n/, $table)
	{
		my ($cell) = $line =~ /^\| *((?:[^|`]|`[^`]*`)*?) *\|/;
		$listed{$_} = 1 foreach $cell =~ /`([^`]+)`/g;
	}
	return \%listed;
}

sub same_list
{
	my ($got, $expected, $name) = @_;

	is(join(' ', sort keys %$got), join(' ', sort keys %$expected), $name);
	return;
}

my $options = rows("SELECT jsonb_object_keys(stream_ingest.effective_options('{}'))");
same_list(listed($page{subscriptions}, '## Options'), $options, 'subscriptions.md lists every option');
foreach my $option (sort keys %$options)
{
	my $default = $node->safe_psql('postgres', "SELECT stream_ingest.effective_options('{}') ->> '$option'");
	my ($cell) = $page{subscriptions} =~ /^\|[^|]*`\Q$option\E`[^|]*\|.*\| *([^|]*?) *\|$/m;

	# where it depends, words say on what
	is($cell, "`$default`", "the default of $option") if $cell =~ /^`[^`]*`$/ || $default ne '' && $cell eq '';
}

# What the memory of a worker adds up to: the defaults of librdkafka's queue, and of our options.
my ($memory) = $page{performance} =~ /^## Memory\n(.*?)^## /ms;
my %default = slurp_file("$top/src/kafka/consumer.c") =~ /^\t\{"([\w.]+)", "(\w+)", /mg;
$default{'queued.max.messages.kbytes'} .= 'kB';
$default{$_} = $node->safe_psql('postgres', "SELECT stream_ingest.effective_options('{}') ->> '$_'")
  foreach qw(batch_bytes max_message_bytes);
my %summands = $memory =~ /`([\w.]+)` \(([\d,]+(?: MB)?)\)/g;
cmp_ok(scalar keys %summands, '>=', 5, 'performance.md names what a worker needs memory for');
foreach my $name (sort keys %summands)
{
	my ($told, $default) = map { $node->safe_psql('postgres', "SELECT pg_size_bytes('" . s/,//gr . "')") }
	  $summands{$name}, $default{$name};

	is($told, $default, "performance.md: the default of $name");
}

my $views = $node->safe_psql('postgres',
	"SELECT relname FROM pg_class WHERE relnamespace = 'stream_ingest'::regnamespace AND relkind = 'v' ORDER BY 1");
foreach my $view (split /\n/, $views)
{
	ok((grep { $_ eq "monitoring.md#$view" } @{ $reference{$view} // [] }), "reference.md links to $view");
	same_list(
		listed($page{monitoring}, "### $view\n"),
		rows("SELECT attname FROM pg_attribute WHERE attrelid = 'stream_ingest.$view'::regclass AND attnum > 0"),
		"monitoring.md lists the columns of $view");
}

my $public = rows("SELECT proname FROM pg_proc WHERE pronamespace = 'stream_ingest'::regnamespace"
	  . " AND obj_description(oid, 'pg_proc') NOT LIKE 'private:%' AND proname <> 'validator'");
is(join(' ', grep { $manual !~ /\b$_\(/ } sort keys %$public), '', 'every function is told of');
referenced('function-', 'functions', sort keys %$public);
my $functions = rows("SELECT proname FROM pg_proc WHERE pronamespace = 'stream_ingest'::regnamespace");
is(join(' ', grep { !$functions->{$_} } $manual =~ /stream_ingest\.(\w+)\(/g), '', 'and no other');

my $settings = rows("SELECT name FROM pg_settings WHERE name LIKE 'stream\\_ingest.%'");
same_list(listed($page{install}, '## Settings'), $settings, 'install.md lists every setting');
referenced('setting-', 'settings', sort keys %$settings);
$node->safe_psql('postgres', 'DROP EXTENSION stream_ingest');

# The README's way to load the library keeps what is loaded already.
my ($loading) = $page{README} =~ /psql <<'EOF'\n(.*?)^    EOF$/ms or die 'no way to load the library';
my $other = PostgreSQL::Test::Cluster->new('loading');
$other->init;
foreach my $before ('', 'auto_explain, "passwordcheck"', 'stream_ingest')
{
	$other->append_conf('postgresql.conf', "shared_preload_libraries = '$before'\nmax_worker_processes = 8");
	unlink($other->data_dir . '/postgresql.auto.conf');
	$other->start;
	my $expected = join(', ', grep { $_ ne '' } $before =~ s/"|stream_ingest//gr, 'stream_ingest');
	$other->safe_psql('postgres', $loading);
	$other->restart;
	is($other->safe_psql('postgres', q{SELECT current_setting('shared_preload_libraries'), current_setting('max_worker_processes')}),
		"$expected|24", "loading it beside '$before'");
	$other->stop;
}

# and nothing else is in the reference
my %known = map { s/^stream_ingest\.(?=\w+$)//r => 1 } @properties, keys %$options, keys %$public, keys %$settings,
  split /\n/, $views;
is(join(' ', grep { !$known{ s/^stream_ingest\.//r } } sort keys %reference), '', 'the reference has no other names');

my @queries = slurp_file("$top/examples/monitoring/queries.yaml") =~ /^  query: "(.*)"$/mg;
cmp_ok(scalar @queries, '>', 2, 'there are queries for Prometheus');

# ---- the examples

foreach my $name (grep { !m{/} } sort keys %page)
{
	my $page = ManualPage->new(node => $node, kafka => $kafka, database => lc "page_$name");
	my ($wrong, $nsteps, $nstatements) = $page->run($page{$name});

	is($wrong, '', "$name: $nsteps examples and what comes of them");
	cmp_ok($nstatements, '<', 10, 'README: rows in under ten statements') if $name eq 'README';
	if ($name eq 'monitoring')
	{
		is($page->run_sql($_), '', 'a query for Prometheus') foreach @queries;
	}
	$page->drop;
}

# ---- the comparison's sources: those that are named are listed, and no others

my ($claims, $sources) = split /^## Sources$/m, $page{comparison};
my %named = map { $_ => 1 } $claims =~ /\[(\d+)\]/g;
is(join(' ', sort { $a <=> $b } keys %named), join(' ', $sources =~ /^(\d+)\. /mg), 'comparison: every source is named');

# Each cell of its tables says where it is from, except those that name a row.
my @cells;
foreach my $row (map { split /\n/ } $claims =~ /^\|-[^\n]*\n((?:\|[^\n]*\n)+)/mg)
{
	my @row = split / *\| */, $row =~ s/^\| *//r;

	shift @row if @row > 2;
	push @cells, @row;
}
cmp_ok(scalar @cells, '>', 50, 'comparison: its tables have cells');
is(join("\n", grep { !/\[\d+\]|\]\(/ } @cells), '', 'comparison: each names its source');

# ---- what PGXN asks for (its Meta Spec 1.0.0), and that it is true

my $meta = decode_json(slurp_file("$top/META.json"));
my ($default_version) = slurp_file("$top/stream_ingest.control") =~ /^default_version = '(.*)'$/m;
is(join(' ', grep { !exists $meta->{$_} } qw(name version abstract maintainer license provides meta-spec)),
	'', 'META.json has what it must have');
is($meta->{version}, "$default_version.0", 'its version is that of the control file');
my $provides = $meta->{provides}{stream_ingest};
is($provides->{version}, $meta->{version}, 'of the extension, too');
ok(-e "$top/$provides->{file}" && -e "$top/$provides->{docfile}", 'its files are there');
like($meta->{release_status}, qr/^(stable|testing|unstable)$/, 'its status is one');
is($meta->{license}, 'postgresql', 'its license is one that PGXN knows');
is($meta->{'meta-spec'}{version}, '1.0.0', 'it follows that spec');
like($meta->{name}, qr{^[^\s/\\]{2,}$}, 'its name is a term');
is(join(' ', grep { !/^(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}$/ }
	$meta->{version}, $provides->{version}, values %{ $meta->{prereqs}{runtime}{requires} }),
	'', 'its versions are semantic ones');
is(join(' ', grep { !/^(?:x_\w+|name|version|abstract|description|maintainer|license|provides|meta-spec|prereqs|release_status|resources|tags|no_index|generated_by)$/i } sort keys %$meta),
	'', 'and it has no other keys');

# ---- the SQL that the examples' pages show is the examples', and the output
# what their generators say of 10,000 messages

my $nshown = 0;

foreach my $readme (glob("$top/examples/*/README.md"))
{
	my ($dir, $example) = $readme =~ m{^(.*/([^/]+))/README\.md$};
	my $sql = join("\n", map { slurp_file($_) } glob("$dir/*.sql"));
	my $page = slurp_file($readme);
	my @blocks = grep { !/^SELECT cron\./ } $page =~ /^```sql\n(.*?)^```$/gms;
	my ($output) = $page =~ /^```text\n.*?\n-.*?\n(.*?)^```$/ms;

	is(join("\n", grep { index($sql, $_) < 0 } @blocks), '', "$example: the SQL of its page is in its files");
	next unless defined $output;
	my $option = -e "$dir/checksum.sql" ? '--checksum' : '--expected';
	my $result = `python3 "$dir/generate.py" $option 10000 1`;
	foreach my $row (split /\n/, $output)
	{
		my $line = join('\|', map { quotemeta(s/^\s+|\s+$//gr) } split /\|/, $row);

		like($result, qr/^(?:top\|)?$line$/m, "$example: its page shows what the generator says");
	}
	$nshown++ if @blocks;
}
cmp_ok($nshown, '>=', 6, 'pages that show SQL and output');

# ---- pictures

is(`python3 "$top/doc/flow.py"`, slurp_file("$top/doc/flow.svg"), 'flow.svg is what flow.py draws');

done_testing();
