#!/usr/bin/env bash
# All tests.  What CI calls and the README names.
#
#   run.sh                  everything
#   run.sh unit             the decoders, without a server; Avro and Protobuf beside others;
#                           the thread that decodes ahead, and its instructions
#   run.sh fuzz             the decoders under libFuzzer and sanitizers
#   run.sh regress [TEST...]
#                           the SQL tests, on the embedded broker, or these of them (sql/TEST.sql)
#   run.sh tap [FILE...]    the TAP tests of test/t, on real brokers
#   run.sh lint             compilers, format, rules of the house
#
# On a Debian machine with nothing but itself it installs the packages that
# are missing (as root, or with sudo; else it needs neither), fetches Kafka,
# copies the tree to a scratch directory, builds there, and installs into a
# copy of the server's programs.  So it may run from any directory, beside
# running servers and beside itself, and leaves nothing behind but packages and
# a cache.  Root runs the servers as user postgres.
#
# The last line is "N passed, N failed"; the exit status is 0 when none failed
# and all ran.  PG_CONFIG chooses the server.  KEEP=1 keeps the scratch
# directory when something failed.  TEST_TIMEOUT limits a TAP file, and
# FUZZ_SECONDS is how long each decoder is fuzzed (60), in seconds.  TAP_JOBS is
# how many TAP files run at a time (2).
# ASSERTIONS= (empty) builds the extension as it is installed, without the
# assertions of its own that it has here, also in a server that has none.
# AVRO_MESSAGES is how many random Avro messages are compared (20000), and
# PROTO_MESSAGES how many of Protobuf (10000).  With an empty MAINTAINER a
# warning of the compiler is no error.  STREAM_INGEST_CONF ("name=value ...") has
# settings for the servers of the SQL and TAP tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

passed=0
failed=0
fuzz_pids=()
declare -A tap_names=() tap_began=()
tap_jobs=${TAP_JOBS:-2}

# The server has what an extension needs that is built so (its c.h).
assertions=${ASSERTIONS-1}
test_timeout=${TEST_TIMEOUT:-900}
maintainer=${MAINTAINER-1}

# What reads Avro beside us.  With a Python that the server's user can run, too.
fastavro_version=1.13.1

# The same for Protobuf: Google's library, and its compiler of schemas.
protobuf_version=7.36.2
protoc_version=1.85.1
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3 || echo python3)

# count PASSED FAILED
count()
{
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# report LOG NAME PASSED FAILED SECONDS: counts, and shows what failed, or was measured.
report()
{
	count "$3" "$4"
	if [ "$4" -eq 0 ]; then
		printf 'ok      %-32s %5d passed %14d s\n' "$2" "$3" "$5"
		sed -n 's/^# figure: /    /p' "$1"
	else
		printf 'FAILED  %-32s %5d passed %5d failed %d s\n' "$2" "$3" "$4" "$5"
		# of a long test what failed is far from the end
		{ grep '^not ok' "$1" || true; tail -n "${SHOW_LINES:-40}" "$1"; } | sed 's/^/    /'
	fi
}

# step NAME COMMAND...: one test that passes when the command succeeds.
step()
{
	local name=$1 log=$scratch/log.step began=$SECONDS

	shift
	if "$@" >"$log" 2>&1; then
		report "$log" "$name" 1 0 $((SECONDS - began))
	else
		report "$log" "$name" 0 1 $((SECONDS - began))
		return 1
	fi
}

# lines PATTERN FILE: how many match.
lines()
{
	grep -cE "$1" "$2" || true
}

find_clang()
{
	command -v clang || compgen -c clang- | grep -E '^clang-[0-9]+$' | head -n 1
}

build_with_clang()
{
	as_server_user nice make -C "$scratch/clang" -s -j"$(nproc)" MAINTAINER=1 CC="$(find_clang)" all test-programs
}

# Not a failure where the tool cannot be had: see test/indent.sh.
run_format()
{
	local log=$scratch/log.format began=$SECONDS status=0

	bash "$tree/test/indent.sh" --check >"$log" 2>&1 || status=$?
	case $status in
		0) report "$log" format 1 0 $((SECONDS - began)) ;;
		3) printf 'skipped %-32s %s\n' format "$(tail -n 1 "$log")" ;;
		*) report "$log" format 0 1 $((SECONDS - began)) ;;
	esac
}

# What is written below one would be written into what it leads to.
no_directory_is_a_link()
{
	local links

	links=$(find "$1" -type l -xtype d)
	[ -z "$links" ] || { echo "links to directories:"; echo "$links"; return 1; }
}

# Without what needs libcurl and MIT's Kerberos, as one who lacks them builds it.
build_without_libraries()
{
	local dir=$scratch/without

	copy_tree "$dir"
	as_server_user nice make -C "$dir" -s -j"$(nproc)" COPT=-O0 MAINTAINER="$maintainer" \
		with_schema_registry=no with_kerberos=no all &&
		! readelf -d "$dir/stream_ingest.so" | grep -E "NEEDED.*(libgssapi_krb5|libkrb5|libcurl)"
}

# As PGXS offers it: the sources are elsewhere, and stay as they are.
build_in_another_directory()
{
	local source=$scratch/source dir=$scratch/vpath before

	copy_tree "$source"
	before=$(find "$source" | sort)
	as_server_user mkdir "$dir"
	(cd "$dir" && as_server_user nice make -f "$source/Makefile" -s -j"$(nproc)" COPT=-O0 all test-programs &&
		as_server_user make -f "$source/Makefile" -s install "DESTDIR=$dir/root") &&
		test -x "$dir/test/mock_broker" &&
		test -e "$dir/root$("$PG_CONFIG" --pkglibdir)/stream_ingest.so" &&
		diff <(cd "$source" && ls stream_ingest.control sql/stream_ingest--* | xargs -n 1 basename | sort) \
			<(ls "$dir/root$("$PG_CONFIG" --sharedir)/extension" | sort) &&
		diff <(echo "$before") <(find "$source" | sort) &&
		(cd "$dir" && as_server_user make -f "$source/Makefile" -q all) &&
		find "$source/src" -name compat.h -exec touch {} + &&
		! (cd "$dir" && as_server_user make -f "$source/Makefile" -q all)
}

run_lint()
{
	step 'build with clang' build_with_clang || true
	run_format
	step 'private server' no_directory_is_a_link "$scratch/server" || true
	step 'build without libraries' build_without_libraries || true
	step 'VPATH build' build_in_another_directory || true
	step 'lint' as_server_user bash "$tree/test/lint.sh" || true
}

# run_regress [TEST...]
run_regress()
{
	local log=$scratch/log.regress began=$SECONDS status=0 good bad

	printf '%s\n' ${STREAM_INGEST_CONF:-} >>"$tree/test/regress.conf"
	as_server_user make -C "$tree" -s installcheck TAP_TESTS= ${1:+"REGRESS=$*"} >"$log" 2>&1 || status=$?
	good=$(lines '\.\.\. +ok|^ok +[0-9]' "$log")
	bad=$(lines '\.\.\. +FAILED|^not ok ' "$log")
	[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	[ $((good + bad)) -gt 0 ] || bad=1
	if [ "$bad" -gt 0 ]; then
		tail -n 200 "$tree/regression.diffs" >>"$log" 2>/dev/null || true
		tail -n 20 "$tree"/tmp_check_regress/log/*.log "$tree"/log/*.log >>"$log" 2>/dev/null || true
	fi
	SHOW_LINES=300 report "$log" pg_regress "$good" "$bad" $((SECONDS - began))
	sed -n 's/^skipped \([^:]*\): \(.*\)/\1 \2/p' "$log" | while read -r test why; do
		printf 'skipped %-32s %s\n' "pg_regress $test" "$why"
	done
}

# report_tap LOG NAME STATUS BEGAN: counts the assertions of a TAP program.
report_tap()
{
	local good bad

	good=$(lines '^ok [0-9]' "$1")
	bad=$(lines '^not ok [0-9]' "$1")
	[ "$3" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	# one that skips itself has not run
	[ $((good + bad)) -gt 0 ] || bad=1
	[ "$3" -ne 124 ] || echo "stopped after $test_timeout s" >>"$1"
	SHOW_LINES=150 report "$1" "$2" "$good" "$bad" $((SECONDS - $4))
}

run_unit()
{
	local log=$scratch/log.unit began=$SECONDS status=0

	{
		as_server_user nice make -C "$tree" -s MAINTAINER=1 test/decoder_test &&
			as_server_user python3 "$tree/test/json_cases.py" "$scratch/json_cases" &&
			as_server_user timeout -k 10 "$test_timeout" "$tree/test/decoder_test" "$scratch/json_cases"
	} >"$log" 2>&1 || status=$?
	report_tap "$log" decoder_test "$status" "$began"
}

# What runs in a thread of a worker, under ThreadSanitizer, which does not start
# where the kernel spreads addresses more widely than it knows.
run_ahead()
{
	local log=$scratch/log.ahead began=$SECONDS status=0
	local test=(as_server_user timeout -k 10 "$test_timeout" "$tree/test/ahead_test")

	{
		as_server_user nice make -C "$tree" -s MAINTAINER=1 test/ahead_test
	} >"$log" 2>&1 || status=$?
	if [ "$status" -eq 0 ]; then
		"${test[@]}" >>"$log" 2>&1 || status=$?
		if grep -q 'unexpected memory mapping' "$log"; then
			status=0
			as_server_user setarch -R "${test[@]:1}" >>"$log" 2>&1 || status=$?
		fi
	fi
	report_tap "$log" ahead_test "$status" "$began"
}

run_instructions()
{
	local log=$scratch/log.instructions began=$SECONDS status=0

	{
		as_server_user nice make -C "$tree" -s MAINTAINER=1 test/instructions &&
			as_server_user timeout -k 10 "$test_timeout" bash "$tree/test/instructions.sh"
	} >"$log" 2>&1 || status=$?
	report_tap "$log" instructions "$status" "$began"
}

fetch_fastavro()
{
	"$python" -m venv "$1" &&
		nice "$1/bin/python" -m pip install -q --no-compile --disable-pip-version-check "fastavro==$fastavro_version"
}

# run_cases NAME VENV COUNT: random messages, read by the decoder and by another library
run_cases()
{
	local log=$scratch/log.$1 began=$SECONDS status=0

	{
		as_server_user nice make -C "$tree" -s MAINTAINER=1 test/decoder_dump &&
			as_server_user timeout -k 10 "$test_timeout" "$2/bin/python" "$tree/test/$1.py" "$tree/test/decoder_dump" "$3"
	} >"$log" 2>&1 || status=$?
	report_tap "$log" "$1" "$status" "$began"
}

run_avro_cases()
{
	local venv

	venv=$(cached_venv "fastavro-$fastavro_version" fetch_fastavro)
	run_cases avro_cases "$venv" "${AVRO_MESSAGES:-20000}"
}

fetch_protobuf()
{
	"$python" -m venv "$1" &&
		nice "$1/bin/python" -m pip install -q --no-compile --no-deps --disable-pip-version-check \
			"protobuf==$protobuf_version" "grpcio-tools==$protoc_version"
}

protobuf_venv()
{
	cached_venv "protobuf-$protobuf_version-$protoc_version" fetch_protobuf
}

run_proto_cases()
{
	local venv

	venv=$(protobuf_venv)
	run_cases proto_cases "$venv" "${PROTO_MESSAGES:-10000}"
}

# fuzz_formats: what test/fuzz has a harness for
fuzz_formats()
{
	local harness

	for harness in "$tree"/test/fuzz/decode_*_fuzz.c; do
		harness=${harness##*/decode_}
		echo "${harness%_fuzz.c}"
	done
}

# start_fuzz, finish_fuzz: in the background, while other tests run.
start_fuzz()
{
	local format

	for format in $(fuzz_formats); do
		(cd "$tree" && as_server_user env TMPDIR="$scratch/fuzz" CLANG="$(find_clang)" \
			sh test/fuzz/run.sh "${FUZZ_SECONDS:-60}" "$format") >"$scratch/log.fuzz_$format" 2>&1 &
		fuzz_pids+=($!)
	done
}

finish_fuzz()
{
	local format began=$SECONDS status

	for format in $(fuzz_formats); do
		status=0
		wait "${fuzz_pids[0]}" || status=1
		fuzz_pids=("${fuzz_pids[@]:1}")
		grep -q '^stat::number_of_executed_units' "$scratch/log.fuzz_$format" || status=1
		report "$scratch/log.fuzz_$format" "fuzz $format" $((1 - status)) "$status" $((SECONDS - began))
	done
}

# start_tap FILE: in the background, in a directory of its own, with the environment
# that PGXS would make, and ports that the others do not take.
start_tap()
{
	local name dir pgxs

	name=$(basename "$1" .pl)
	dir=$scratch/tap/$name
	pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/..
	as_server_user mkdir -p "$dir"
	(cd "$tree" && as_server_user env PATH="$("$PG_CONFIG" --bindir):$PATH" TESTDIR="$dir" \
		TESTDATADIR="$dir/tmp_check" TESTLOGDIR="$dir/tmp_check/log" \
		PG_REGRESS="$pgxs/test/regress/pg_regress" PGPORT=65432 PG_TEST_PORT_DIR="$scratch/tap/ports" \
		timeout -k 10 "$test_timeout" \
		prove -v -I "$pgxs/test/perl" "test/t/$name.pl") >"$scratch/log.$name" 2>&1 &
	tap_names[$!]=$name
	tap_began[$!]=$SECONDS
}

# Waits for one of them to end, and counts it.
finish_tap()
{
	local pid name status=0

	wait -n -p pid "${!tap_names[@]}" || status=$?
	name=${tap_names[$pid]}
	unset "tap_names[$pid]"
	if [ "$status" -ne 0 ]; then
		tail -n 20 "$scratch/tap/$name"/tmp_check/log/*.log "$scratch/tap/$name"/tmp_check/kafka_*/log \
			>>"$scratch/log.$name" 2>/dev/null || true
		stop_all "$scratch/tap/$name"
	fi
	report_tap "$scratch/log.$name" "$name" "$status" "${tap_began[$pid]}"
}

# Some at a time, since most of their time is waiting.
run_all_tap()
{
	local file

	for file in "$@"; do
		[ ${#tap_names[@]} -lt "$tap_jobs" ] || finish_tap
		start_tap "$file"
	done
	while [ ${#tap_names[@]} -gt 0 ]; do
		finish_tap
	done
}

# Ends those that run when the script is ended: timeout passes a signal on to all
# that they have started.
end_tap()
{
	local pid child

	for pid in "${!tap_names[@]}"; do
		child=()
		read -r -a child <"/proc/$pid/task/$pid/children" 2>/dev/null || true
		[ ${#child[@]} -eq 0 ] || kill "${child[@]}" 2>/dev/null || true
		wait "$pid" || true
	done
}

get_packages()
{
	need_build_packages
	need_packages \
		'binutils: command -v nm' \
		'kcat: command -v kcat' \
		'openssl: command -v openssl' \
		'perl: command -v prove' \
		'libipc-run-perl: perl -MIPC::Run -e 1' \
		'default-jre-headless: command -v java' \
		'maven: command -v mvn' \
		'bzip2: command -v bzip2' \
		'python3: command -v python3' \
		'clang: compgen -c clang | grep -qE "^clang(-[0-9]+)?$"'
	case $part in all | tap) get_kdc; get_neighbours; [ -z "${STREAM_INGEST_FULL:-}" ] || get_other_extensions ;; esac
	case $part in all | fuzz) get_fuzzer ;; esac
	case $part in all | unit | tap) need_packages "python3-venv: $python -c 'import ensurepip'" ;; esac
	case $part in all | unit) need_packages 'valgrind: command -v valgrind' ;; esac
}

# A Kerberos KDC for test/t/283_kerberos.pl, and what makes clients of it.  The
# packages of the KDC start it as a service when they are installed; here they do not.
get_kdc()
{
	local policy=/usr/sbin/policy-rc.d
	local wanted=('krb5-kdc: test -x /usr/sbin/krb5kdc' 'krb5-admin-server: test -x /usr/sbin/kadmin.local')

	need_packages 'libsasl2-modules-gssapi-mit: ls /usr/lib/*/sasl2/libgssapiv2.so*'
	[ ! -x /usr/sbin/krb5kdc ] || [ ! -x /usr/sbin/kadmin.local ] || return 0
	(
		trap '[ -z "${made:-}" ] || as_root rm -f "$policy"' EXIT
		[ -e "$policy" ] || {
			made=1
			printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
			as_root chmod 755 "$policy"
		}
		need_packages "${wanted[@]}"
	) || exit 1
}

# libFuzzer and the sanitizers of the compiler that there is.
get_fuzzer()
{
	local clang version

	clang=$(find_clang)
	version=$("$clang" -dumpversion)
	need_packages "libclang-rt-${version%%.*}-dev: echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
		$clang -x c - -fsanitize=fuzzer,address,undefined -o /dev/null"
}

# Those whose types test/t/060_other_types.pl takes in its long version, for a server of Debian's.
get_other_extensions()
{
	local library=/usr/lib/postgresql major=${PG_CONFIG#/usr/lib/postgresql/}

	[ "$major" != "$PG_CONFIG" ] || return 0
	major=${major%%/*}
	need_packages \
		"postgresql-$major-postgis-3: test -e $library/$major/lib/postgis-3.so" \
		"postgresql-$major-hll: test -e $library/$major/lib/hll.so"
}

# Extensions beside ours for test/t/240_neighbours.pl, of a server of Debian's; one that
# Debian does not have for this version is left out.
get_neighbours()
{
	local library=/usr/lib/postgresql major=${PG_CONFIG#/usr/lib/postgresql/} entry package
	local wanted=()

	[ "$major" != "$PG_CONFIG" ] || return 0
	major=${major%%/*}
	for entry in pgaudit:pgaudit cron:pg_cron pg-stat-kcache:pg_stat_kcache pg-qualstats:pg_qualstats \
		set-user:set_user repack:pg_repack; do
		[ ! -e "$library/$major/lib/${entry#*:}.so" ] || continue
		update_indexes
		package=postgresql-$major-${entry%%:*}
		if [ -n "$(apt-cache show "$package" 2>/dev/null)" ]; then
			wanted+=("$package")
		else
			say "$package is not available; not tried"
		fi
	done
	[ ${#wanted[@]} -eq 0 ] || install_packages "${wanted[@]}"
}

finish()
{
	local status=$?

	trap - EXIT
	end_tap
	if [ "$status" -ne 0 ] && [ -n "${KEEP:-}" ]; then
		stop_all
		say "kept: $scratch"
	else
		remove_scratch
	fi
	exit "$status"
}

part=${1:-all}
[ $# -eq 0 ] || shift
case $part in
	all | unit | fuzz | regress | tap | lint) ;;
	*) sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

get_packages
make_scratch
trap finish EXIT
trap 'exit 130' INT TERM
share_cache
as_server_user mkdir -p "$scratch/fuzz"
tree=$scratch/tree
copy_tree "$tree"
cp -a "$tree" "$scratch/clang"
private_server "$scratch/server"

if step 'build with gcc' build_extension "$tree" MAINTAINER="$maintainer" COPT="${assertions:+-DUSE_ASSERT_CHECKING}"; then
	case $part in all | lint) run_lint ;; esac
	case $part in all | unit) run_unit; run_ahead; run_instructions; run_avro_cases; run_proto_cases ;; esac
	case $part in all | fuzz) start_fuzz ;; esac
	case $part in all | regress) run_regress "$@" ;; esac
	case $part in all | fuzz) finish_fuzz ;; esac
	case $part in
		all | tap)
			jars=$("$tree/test/kafka.sh" jars)
			# 272_tls_sasl tests what old versions of librdkafka can use SCRAM with
			case "${*:-272_}" in *272_*) KAFKA_VERSION=3.9.1 "$tree/test/kafka.sh" jars >/dev/null ;; esac
			"$tree/test/registry.sh" jars >/dev/null
			case "${*:-276_}" in *276_*) PROTOBUF_PYTHON=$(protobuf_venv)/bin/python && export PROTOBUF_PYTHON ;; esac
			as_server_user test -r "$jars" || die "user $server_user cannot read $jars"
			[ $# -gt 0 ] || set -- "$tree"/test/t/*.pl
			run_all_tap "$@"
			;;
	esac
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
