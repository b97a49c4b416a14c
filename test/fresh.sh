#!/usr/bin/env bash
# The README's two commands on a fresh machine, as a new user would run them:
# in a minimal Debian root with nothing but apt, sudo, an ordinary user, and
# this machine's configuration of its package registries.
#
#   fresh.sh [SUITE] [--bare | --with-postgresql] [PART...]
#
# SUITE is Debian's name for it (bookworm).  There are two roots, unless an
# option names one: a bare one, in which the quickstart and test/run.sh run (or
# those PARTs of it); and one with Debian's package postgresql, whose cluster
# runs and must be as it was after a quickstart.  What the commands leave in a
# root is compared with what they may leave.
#
# Needs root, or sudo, and 4 GB in /var/tmp (or in TMPDIR); installs mmdebstrap
# if it is not there.  A root's processes and mounts live in namespaces of their
# own, so they end with this script, however it ends; roots of one that was
# killed are removed by the next.  KEEP=1 keeps the roots when something failed.
#
# The last line is "N passed, N failed".  The exit status is 0 when none failed
# and all ran, and 3 when no root could be made.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/lib/root.sh"

passed=0
failed=0

# check NAME COMMAND...: passes when the command succeeds without a word.
check()
{
	local name=$1 output status=0

	shift
	output=$("$@" 2>&1) || status=$?
	if [ "$status" -eq 0 ] && [ -z "$output" ]; then
		passed=$((passed + 1))
		printf 'ok      %s\n' "$name"
	else
		failed=$((failed + 1))
		printf 'FAILED  %s\n' "$name"
		head -n 60 <<<"$output" | sed 's/^/    /'
	fi
}

# ---- outside: making roots

# no_root WHY
no_root()
{
	echo "no root of $suite can be made: $1"
	exit 3
}

# configure_root DIR: a user who may use sudo; and the tree, as a checkout of
# the user's.
configure_root()
{
	local home

	chroot "$1" "${root_environment[@]}" useradd -m -s /bin/bash user
	home=$1$(home "$1")
	echo 'user ALL=(ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/user"
	[ ! -f ~/.m2/settings.xml ] || install -D -m 644 ~/.m2/settings.xml "$home/.m2/settings.xml"
	server_user=root
	copy_tree "$home/stream_ingest"
	chroot "$1" chown -R user:user "${home#"$1"}"
}

# home DIR: the user's, as seen in the root.
home()
{
	sed -n 's/^user:.*:\(.*\):.*/\1/p' "$1/etc/passwd"
}

# try_root KIND ARG...: in a root of its own, and counts what is found.
try_root()
{
	local kind=$1 log=$work/log.$1 status=0 good=0 bad=0 out shown

	shift
	echo "== $suite, $kind"
	cp -a "$work/base" "$work/$kind"
	# there is one such line, at the end of it all
	exec {out}> >(tee "$log" | sed -u '/^[0-9]* passed, [0-9]* failed$/d')
	shown=$!
	in_namespaces bash "${BASH_SOURCE[0]}" inside "$kind" "$work/$kind" "$@" >&"$out" 2>&1 || status=$?
	exec {out}>&-
	wait "$shown"
	read -r good bad < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log") || true
	[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	passed=$((passed + good))
	failed=$((failed + bad))
	[ -n "${KEEP:-}" ] && [ "$bad" -gt 0 ] || rm -rf --one-file-system "${work:?}/$kind"{,.control}
}

finish()
{
	local status=$?

	trap - EXIT
	leave_root
	if [ "$failed" -gt 0 ] && [ -n "${KEEP:-}" ]; then
		rm "$work/pid"
		say "kept: $work"
	else
		rm -rf --one-file-system "$work"
	fi
	exit "$status"
}

# ---- inside: in namespaces, with the root's directory in root

in_root()
{
	chroot "$root" "${root_environment[@]}" "$@"
}

as_user()
{
	# shellcheck disable=SC2016
	in_root sudo -H -u user env -i "${root_environment[@]:2}" HOME="$(home "$root")" USER=user LOGNAME=user \
		bash -c 'cd ~/stream_ingest && eval "$1"' bash "$*" </dev/null
}

# The commands of the README's first section.
commands()
{
	sed -n '/^## Trying it out/,/^## Getting/s/^    \(bash [^#]*[^# ]\) *#.*/\1/p' "$STREAM_INGEST_TOP/README.md"
}

# files DIR: what is in a root, except what differs with every installation.
files()
{
	find "$1" -xdev -regextype egrep \
		-regex "$1/(proc|dev|var/(log|lib/(dpkg|apt|ucf|postgresql/[0-9]+/main)|cache/(apt|debconf|ldconfig))/.*)" -prune \
		-o -printf '/%P\n' | LC_ALL=C sort
}

# All that can be seen of them, except when a directory was written to, and
# except what a running cluster writes (in /var/lib and /var/log).
files_closely()
{
	find "$root" -xdev \( -path "$root/proc" -o -path "$root/dev" -o -path "$root/var/l*/postgresql/*" \) -prune \
		-o -type d -printf '/%P %u %m\n' -o -printf '/%P %u %m %s %T@ %C@ %i %l\n' | LC_ALL=C sort
}

# left_behind LOG...: the files that the root has and that a copy of it as it
# was does not have after the same packages were installed with apt-get, and
# those that only the copy has; except Kafka's jars and the like in the cache.
left_behind()
{
	local control=$root.control packages conf=/etc/postgresql-common/createcluster.d

	packages=$(cat "$@" | sed -n 's/^installing \(.*\) \.\.\.$/\1/p')
	mount_all "$control"
	mkdir -p "$control$conf"
	echo 'create_main_cluster = false' >"$control$conf/control.conf"
	# shellcheck disable=SC2086	# a list of packages
	root=$control apt_install $packages
	rm -r "$control$conf"
	LC_ALL=C comm -3 <(files "$root") <(files "$control") | grep -vE "^$(home "$root")/\\.cache(/stream_ingest(/.*)?)?\$" || true
}

apt_install()
{
	quietly in_root apt-get -o Acquire::Retries=3 update -qq
	quietly in_root env DEBIAN_FRONTEND=noninteractive JAVA_TOOL_OPTIONS=-XX:-UsePerfData \
		apt-get -o Acquire::Retries=3 install -q -y --no-install-recommends "$@"
}

# Processes of the user's.
processes_left()
{
	find /proc -maxdepth 1 -name '[0-9]*' -user "$(stat -c %u "$root$(home "$root")")" -exec cat {}/cmdline \; | tr '\0' ' '
}

# The quickstart, twice: the first time it installs packages, the second time
# nothing changes.
run_quickstart()
{
	local command closely=$root.closely log=$root.quickstart

	command=$(commands | head -n 1)
	if as_user "$command" >"$log" 2>&1; then
		check "$command" true
	else
		tail -n 60 "$log"
		check "$command" false
	fi
	check 'fewer than 150 lines of output' [ "$(wc -l <"$log")" -lt 150 ]
	check 'it leaves no process' processes_left
	files_closely >"$closely"
	check "$command, again" eval 'as_user "$command" >"$log.again" 2>&1 || tail -n 20 "$log.again"'
	check 'it changes nothing at all' diff "$closely" <(files_closely)
}

# The tests: counts theirs too.
run_tests()
{
	local command log=$root.tests good=0 bad=0 status=0

	command=$(commands | sed -n 2p)
	as_user "$command $*" 2>&1 | tee "$log" || status=$?
	read -r good bad < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log") || true
	passed=$((passed + good))
	failed=$((failed + bad))
	check "$command${*:+ $*}" [ "$status" -eq 0 ]
	check 'it leaves no process' processes_left
}

run_bare()
{
	cp -a "$root" "$root.control"
	mount_all "$root"
	run_quickstart
	run_tests "$@"
	check 'nothing stays but packages and the cache' left_behind "$root.quickstart" "$root.tests"
}

# What must stay as it is of a cluster that runs: its processes, its
# configuration, what is in it, and that nothing connects to it.
cluster()
{
	local version

	in_root pg_lsclusters
	version=$(ls "$root/etc/postgresql")
	cat "$root/var/lib/postgresql/$version/main/postmaster.pid"
	(cd "$root/etc/postgresql" && find . -printf '%p %u %m\n' -type f -exec cksum {} +) | sort
	grep -c 'connection received' "$root/var/log/postgresql/postgresql-$version-main.log" || true
}

start_cluster()
{
	local version

	apt_install postgresql
	version=$(ls "$root/etc/postgresql")
	echo 'log_connections = on' >"$root/etc/postgresql/$version/main/conf.d/test.conf"
	in_root pg_ctlcluster "$version" main start
}

run_with-postgresql()
{
	local running=$root.cluster

	mount_all "$root"
	start_cluster
	cp -ax "$root" "$root.control"
	check 'a cluster is running' [ "$(cluster | grep -c ' online ')" -eq 1 ]
	cluster >"$running"
	run_quickstart
	check 'the cluster is as it was' diff "$running" <(cluster)
	check 'nothing stays but packages' left_behind "$root.quickstart"
	in_root pg_ctlcluster "$(ls "$root/etc/postgresql")" main stop
}

# ----

if [ "${1:-}" = inside ]; then
	kind=$2
	root=$3
	shift 3
	# the processes of users are looked for in this namespace
	mount -t proc proc /proc
	check 'the README has two commands' [ "$(commands | wc -l)" -eq 2 ]
	"run_$kind" "$@"
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
fi

if [ "$(id -u)" -ne 0 ]; then
	as_root bash "${BASH_SOURCE[0]}" "$@"
	exit
fi
suite=bookworm
case ${1:-} in
	'' | -*) ;;
	*) suite=$1; shift ;;
esac
kinds=(with-postgresql bare)
case ${1:-} in
	--bare | --with-postgresql) kinds=("${1#--}"); shift ;;
	-*) sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
make_work si-fresh
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
in_namespaces true 2>"$work/log" || no_root "$(tail -n 1 "$work/log")"
make_root "$suite" "$work/base" || exit 3
configure_root "$work/base"
for kind in "${kinds[@]}"; do
	case $kind in
		bare) try_root bare "$@" ;;
		*) try_root "$kind" ;;
	esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
