#!/usr/bin/env bash
# The SQL tests and some TAP tests with several versions of PostgreSQL, and of
# librdkafka beside them, and with servers that check themselves.
#
#   versions.sh [WHICH...]     default: 16 17 18 assertions sanitizers upgrade
#
# 16 is PyPI's package pgserver (a server without ICU and postgres_fdw), run in
# place by run.sh; its TAP tests take the Perl modules of the installed one.
# The others run in fresh roots of the Debian suites that have them (17: trixie,
# 18: forky, 19: forky with experimental), where run.sh installs what it needs
# and takes that server.  "assertions" and "sanitizers" (of addresses and undefined
# behaviour) are built here from the sources of the first Debian suite that has them,
# with assertions both; the extension is built alike.  A report of a sanitizer is a
# failure, wherever it comes from.  "upgrade" is pg_upgrade.sh, from 15
# to the newest one whose sources can be had, both built here.
#
# Needs root, or sudo, and 5 GB in /var/tmp (or in TMPDIR); installs mmdebstrap
# if it is not there.  Leaves nothing behind but packages and a cache; a root's
# processes and mounts end with this script, however it ends; roots of one that
# was killed are removed by the next.
#
# Prints a line for each version and, last, "N passed, N failed"; the exit
# status is 0 when none failed and all ran.  TAP_FILES names other TAP tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/lib/root.sh"

passed=0
failed=0

# quick ones that see workers, locks, errors of a broker and events
read -r -a tap_files <<<"${TAP_FILES:-015_start 040_fence 167_authorization 177_events}"

# add_counts LOG: adds its last line, "N passed, N failed", to good and bad; where a
# script has ended without one, counts a failure, shows why, and fails.
add_counts()
{
	if [[ $(tail -n 1 "$1") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		good=$((good + BASH_REMATCH[1]))
		bad=$((bad + BASH_REMATCH[2]))
		return
	fi
	bad=$((bad + 1))
	tail -n 40 "$1"
	return 1
}

# run_tests COMMAND...: run.sh by that command, twice; sets good and bad, and
# shows what it says of failures and of what is left out.
run_tests()
{
	local log=$work/log part

	good=0
	bad=0
	for part in regress "tap ${tap_files[*]}"; do
		# shellcheck disable=SC2086	# words
		"$@" $part >"$log" 2>&1 || true
		grep '^skipped' "$log" || true
		if add_counts "$log"; then
			sed -n '/^FAILED/,/^\(ok\|[0-9]\)/p' "$log"
		fi
	done
}

# verdict WHAT BEGAN: the line of a version.
verdict()
{
	local word=ok

	[ "$bad" -eq 0 ] || word=FAILED
	printf '%-7s PostgreSQL %-40s %5d passed %5d failed %5d s\n' "$word" "$1" "$good" "$bad" $((SECONDS - $2))
	passed=$((passed + good))
	failed=$((failed + bad))
}

# not_to_be_had MAJOR BEGAN
not_to_be_had()
{
	good=0
	bad=1
	verdict "$1: not to be had" "$2"
}

# ---- PyPI

get_pgserver()
{
	quietly /usr/bin/python3 -m venv "$work/python" &&
		quietly "$work/python/bin/pip" install -q pgserver==0.1.4
}

run_in_place()
{
	local began=$SECONDS site perl program

	need_build_packages
	need_packages 'python3-venv: /usr/bin/python3 -c "import ensurepip"'
	if ! get_pgserver; then
		not_to_be_had 16 "$began"
		return
	fi
	perl=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/perl
	site=$(echo "$work"/python/lib/python3*/site-packages)
	program=$site/pgserver/pginstall/bin/pg_config
	# its programs find the libraries in the place where they were installed
	run_tests env PG_CONFIG="$program" PERL5LIB="$perl" LD_LIBRARY_PATH="$site/pgserver.libs" \
		bash "$STREAM_INGEST_TOP/test/run.sh"
	verdict "$("$program" --version | sed 's/PostgreSQL //'), librdkafka $(pkg-config --modversion rdkafka)" "$began"
	rm -rf "$work/python"
}

# ---- Debian's suites

# add_experimental DIR MAJOR: what only experimental has.
add_experimental()
{
	root_sources sid >>"$1/etc/apt/sources.list"
	root_sources experimental >>"$1/etc/apt/sources.list"
	enter_root "$1" sh -c "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
		--no-install-recommends -t experimental postgresql-$2 postgresql-server-dev-$2" >"$work/log" 2>&1
}

run_in_root()
{
	local major=$1 suite=$2 root=$work/$1 began=$SECONDS

	: >"$work/log"
	if ! make_root "$suite" "$root" make ||
		{ [ -n "${3:-}" ] && ! add_experimental "$root" "$major"; }; then
		tail -n 20 "$work/log"
		not_to_be_had "$major" "$began"
		return
	fi
	server_user=root
	copy_tree "$root/root/stream_ingest"
	mkdir -p "$root/var/cache"
	cp -a "$cache" "$root/var/cache/stream_ingest"
	run_tests enter_root "$root" bash /root/stream_ingest/test/run.sh
	verdict "$(described "$root")" "$began"
	rm -rf --one-file-system "$root"
}

# described DIR: which versions are installed in the root.
described()
{
	chroot "$1" sh -c '
		echo "$(/usr/lib/postgresql/*/bin/postgres -V | sed "s/.*(PostgreSQL) \([^ ]*\).*/\1/"), librdkafka $(pkg-config --modversion rdkafka)"'
}

# ---- servers of our own

# get_source SUITE:MAJOR...: fills the directory source with PostgreSQL's, from
# the first of these that can be had.
get_source()
{
	local entry suite dir=$work/source options

	for entry in "$@"; do
		suite=${entry%%:*}
		rm -rf "$dir"
		mkdir -p "$dir/apt/lists/partial"
		root_sources "$suite" | grep " $suite main\$" | sed 's/^deb /deb-src /' >"$dir/apt/sources.list"
		options=(-o Dir::Etc::SourceList="$dir/apt/sources.list" -o Dir::Etc::SourceParts=-
			-o Dir::State::Lists="$dir/apt/lists" -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3
			-o APT::Sandbox::User=root -qq)
		if apt-get "${options[@]}" update &&
			(cd "$dir/apt" && apt-get "${options[@]}" source --download-only "postgresql-${entry##*:}") &&
			tar -C "$dir" --strip-components=1 -xjf "$dir"/apt/postgresql-*.orig.tar.bz2; then
			return
		fi
	done >>"$work/log" 2>&1
	return 1
}

# build_server DIR FLAG...: with assertions, and the compiler's flags.
build_server()
{
	local dir=$1

	shift
	need_packages 'bison: command -v bison' 'flex: command -v flex' 'perl: command -v perl' \
		'bzip2: command -v bzip2' 'zlib1g-dev: test -e /usr/include/zlib.h'
	need_build_packages
	(cd "$work/source" &&
		./configure -q --prefix="$dir" --enable-cassert --enable-debug --enable-tap-tests --without-icu \
			--without-readline CFLAGS="-O1 -g $*" LDFLAGS="$*" &&
		nice make -s -j"$(nproc)" install && nice make -s -C contrib/postgres_fdw install) >>"$work/log" 2>&1
}

# reports: what the sanitizers have found.
reports()
{
	find "$work/reports" -type f -exec cat {} +
}

# run_own KIND [FLAG...]: a build with these flags of the compiler.
run_own()
{
	local kind=$1 began=$SECONDS program=$work/own/bin/pg_config

	shift
	: >"$work/log"
	# programs that build and run leak what they allocate until they end
	export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=0:log_path=$work/reports/report
	export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1:log_path=$work/reports/report
	rm -rf "$work/reports" "$work/own"
	mkdir -m 1777 "$work/reports"
	if ! get_source bookworm:15 forky:18 trixie:17 || ! build_server "$work/own" "$@"; then
		tail -n 20 "$work/log"
		not_to_be_had "$kind" "$began"
		return
	fi
	# sanitizers make the compiler see overflows that are none
	run_tests env PG_CONFIG="$program" MAINTAINER= bash "$STREAM_INGEST_TOP/test/run.sh"
	[ -z "$(reports)" ] || { bad=$((bad + 1)); reports | head -n 100; }
	verdict "$("$program" --version | sed 's/PostgreSQL //'), $kind" "$began"
	unset ASAN_OPTIONS UBSAN_OPTIONS
	rm -rf "$work/own" "$work/source"
}

# run_upgrade: pg_upgrade from one server built here to another.  Not from the
# installed one: a suite's security update may come before the newer version's, without
# which pg_upgrade does not work.
run_upgrade()
{
	local began=$SECONDS

	: >"$work/log"
	rm -rf "$work/own" "$work/newer"
	if ! get_source bookworm:15 || ! build_server "$work/own" ||
		! get_source forky:18 trixie:17 || ! build_server "$work/newer"; then
		tail -n 20 "$work/log"
		not_to_be_had upgrade "$began"
		return
	fi
	good=0
	bad=0
	PG_CONFIG=$work/own/bin/pg_config bash "$STREAM_INGEST_TOP/test/pg_upgrade.sh" "$work/newer/bin/pg_config" \
		>"$work/log" 2>&1 || true
	if add_counts "$work/log"; then
		grep -A 20 '^not ok' "$work/log" || true
	fi
	verdict "$("$work/newer/bin/pg_config" --version | sed 's/PostgreSQL //'), from $("$work/own/bin/pg_config" --version |
		sed 's/PostgreSQL //')" "$began"
	rm -rf "$work/own" "$work/newer" "$work/source"
}

finish()
{
	local status=$?

	trap - EXIT
	leave_root
	rm -rf --one-file-system "$work"
	exit "$status"
}

if [ "$(id -u)" -ne 0 ]; then
	as_root env TAP_FILES="${tap_files[*]}" TMPDIR="${TMPDIR:-/var/tmp}" bash "${BASH_SOURCE[0]}" "$@"
	exit
fi
[ $# -gt 0 ] || set -- 16 17 18 assertions sanitizers upgrade
for major in "$@"; do
	case $major in
		16 | 17 | 18 | 19 | assertions | sanitizers | upgrade) ;;
		*) sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
	esac
done
need_packages \
	'default-jre-headless: command -v java' \
	'maven: command -v mvn'
make_work si-versions
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
share_cache
bash "$STREAM_INGEST_TOP/test/kafka.sh" jars >/dev/null
bash "$STREAM_INGEST_TOP/test/registry.sh" jars >/dev/null
cache=$(cache_dir)
for major in "$@"; do
	case $major in
		16) run_in_place ;;
		17) run_in_root 17 trixie ;;
		18) run_in_root 18 forky ;;
		19) run_in_root 19 forky experimental ;;
		assertions) run_own assertions ;;
		sanitizers)
			run_own sanitizers -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
			;;
		upgrade) run_upgrade ;;
	esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
