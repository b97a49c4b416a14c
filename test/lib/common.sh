# Shell helpers shared by test/*.sh and examples/*.sh.  Sourced, never run.
#
# Contract: the sourcing script runs bash with "set -euo pipefail".  Nothing
# here acts on being sourced; messages go to stderr, values to stdout or to the
# variable that a comment names.
# shellcheck shell=bash

# the tree that this file belongs to
STREAM_INGEST_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

# poll SECONDS COMMAND...: runs the command every 50 ms until it succeeds;
# fails when it has not within the limit.
poll()
{
	local interval=0.05
	local deadline=$(($(date +%s%3N) + $1 * 1000))

	shift
	until "$@"; do
		[ "$(date +%s%3N)" -lt "$deadline" ] || return 1
		sleep "$interval"
	done
}

# Prints the directory for what is expensive to get again (Kafka's jars,
# pg_bsd_indent), made if it is not there.  One that STREAM_INGEST_CACHE names
# need not be writable when all is there.
cache_dir()
{
	local dir=${STREAM_INGEST_CACHE:-}

	if [ -n "$dir" ]; then
		mkdir -p "$dir"
	else
		dir=${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}/stream_ingest
		if ! mkdir -p "$dir" 2>/dev/null || [ ! -w "$dir" ]; then
			dir=/var/tmp/stream_ingest-cache-$(id -u)
			mkdir -p -m 700 "$dir"
			# a name that others can guess must not be a directory of theirs
			[ -O "$dir" ] || die "$dir belongs to another user; set STREAM_INGEST_CACHE"
		fi
	fi
	printf '%s\n' "$dir"
}

# cached NAME COMMAND...: prints a directory of the cache that the command has
# filled, whose last argument it is.  It appears complete, by a rename.
cached()
{
	local dir new status=0

	dir=$(cache_dir)/$1
	shift
	if [ ! -d "$dir" ]; then
		say "fetching $(basename "$dir") ..."
		new=$(mktemp -d "$(cache_dir)/new.XXXXXX")
		# in the background, where "set -e" holds although the result is tested
		(set -e; "$@" "$new") >"$new/log" 2>&1 &
		wait $! || status=$?
		if [ "$status" -ne 0 ]; then
			cat "$new/log" >&2
			rm -rf "$new"
			die "failed: $*"
		fi
		chmod -R a+rX "$new"
		mv -T "$new" "$dir" 2>/dev/null || [ -d "$dir" ]
		rm -rf "$new"
	fi
	printf '%s\n' "$dir"
}

# cached_venv NAME COMMAND...: the same for a virtual environment, which works with the
# version of $python alone that has made it: the cache outlives an upgrade, and others share it.
cached_venv()
{
	local name=$1

	shift
	cached "$name-$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')" "$@"
}

# process_gone PID: no such process, or only its exit status is left.
process_gone()
{
	local state

	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 0
	[ -z "$state" ] || [ "$state" = Z ]
}

# end_process SIGNAL SECONDS PID: signals and waits; fails if it still lives.
end_process()
{
	kill -s "$1" "$3" 2>/dev/null || return 0
	poll "$2" process_gone "$3"
}

port_is_free()
{
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Prints a port on which nothing listens, below the range from which the kernel
# takes ports for outgoing connections.  Another process may still take it first:
# callers try again with another one.
free_port()
{
	local port

	for _ in {1..100}; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		if port_is_free "$port"; then
			printf '%s\n' "$port"
			return
		fi
	done
	die "no free port found"
}

# Lets the server's user read what root has in its cache.
share_cache()
{
	[ "$(id -u)" -ne 0 ] || export STREAM_INGEST_CACHE=${STREAM_INGEST_CACHE:-/var/cache/stream_ingest}
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null || die "this needs root, and there is no sudo: $*"
		sudo "$@"
	fi
}

# quietly COMMAND...: its output is shown only if it fails.
quietly()
{
	local log status=0

	log=$(mktemp)
	"$@" </dev/null >"$log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || cat "$log" >&2
	rm -f "$log"
	return "$status"
}

# Reads the package indexes, when no other apt does any more: it has no option to
# wait for their lock, as it has for dpkg's.
read_indexes()
{
	local limit=$((SECONDS + 300)) output

	until output=$(as_root env LC_ALL=C apt-get -o Acquire::Retries=3 update -qq </dev/null 2>&1); do
		if [[ $output != *"Could not get lock"* ]] || [ $SECONDS -ge $limit ]; then
			printf '%s\n' "$output" >&2
			return 1
		fi
		sleep 1
	done
}

# Lets apt read its indexes, once in a script.
update_indexes()
{
	[ -z "${indexes_updated:-}" ] || return 0
	read_indexes || die "apt could not read its package indexes"
	indexes_updated=1
}

# what install_packages has installed
installed=()

# Java, which a package may start when it is installed, writes no statistics
# into the directory for temporary files.
install_packages()
{
	say "installing ${*} ..."
	update_indexes
	quietly as_root env DEBIAN_FRONTEND=noninteractive JAVA_TOOL_OPTIONS=-XX:-UsePerfData \
		apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
		install -q -y --no-install-recommends "$@" || die "apt could not install $*"
	installed+=("$@")
}

# Installs Debian packages unless what they are wanted for is there.  Each
# argument is "package: command that succeeds when it is not needed".
need_packages()
{
	local entry
	local missing=()

	for entry in "$@"; do
		bash -c "${entry#*:}" >/dev/null 2>&1 || missing+=("${entry%%:*}")
	done
	[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

# What it takes to build the extension and to run a server with it.
need_build_packages()
{
	need_packages \
		'gcc: command -v gcc' \
		'libc6-dev: test -e /usr/include/stdio.h' \
		'make: command -v make' \
		'pkg-config: command -v pkg-config' \
		'librdkafka-dev: pkg-config --exists rdkafka' \
		'libjansson-dev: pkg-config --exists jansson' \
		'libcurl4-openssl-dev: pkg-config --exists libcurl' \
		'libkrb5-dev: pkg-config --exists mit-krb5-gssapi'
	find_pg_config
	if [ -z "$PG_CONFIG" ]; then
		install_postgresql
		find_pg_config
	fi
	[ -n "$PG_CONFIG" ] || die "no pg_config of a server with its development files found; set PG_CONFIG"
}

# Prints the major versions of Debian's servers that are installed and new
# enough, the newest first.
installed_majors()
{
	local dir

	for dir in /usr/lib/postgresql/*; do
		[ ! -x "$dir/bin/postgres" ] || printf '%s\n' "${dir##*/}"
	done | awk '$1 >= 15' | sort -rn
}

# Installs PostgreSQL with its development files: of the newest version that
# is installed, else of the one that the machine's suite has.  The package of a
# server makes an empty cluster when it is installed, which would listen on
# port 5432; here it makes none.
install_postgresql()
{
	local major conf=/etc/postgresql-common/createcluster.d/stream_ingest.conf

	major=$(installed_majors | head -n 1)
	if [ -n "$major" ]; then
		install_packages "postgresql-server-dev-$major"
		return
	fi
	update_indexes
	major=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
	[ "${major:-0}" -ge 15 ] || die "apt knows no PostgreSQL 15 or newer; install one and set PG_CONFIG"
	(
		trap 'as_root rm -f "$conf"; [ -z "${made:-}" ] || as_root rmdir "${conf%/*}"' EXIT
		[ -d "${conf%/*}" ] || { as_root mkdir -p "${conf%/*}" && made=1; }
		as_root tee "$conf" <<<'create_main_cluster = false' >/dev/null
		install_packages "postgresql-$major" "postgresql-server-dev-$major"
	) || exit 1
	installed+=("postgresql-$major" "postgresql-server-dev-$major")
}

# Sets PG_CONFIG: as given, else Debian's newest, else that on the path, else
# empty.  One counts if the server and the files for building extensions are
# there: pgxs.mk alone comes with the client's package.
find_pg_config()
{
	local candidate

	if [ -z "${PG_CONFIG:-}" ]; then
		for candidate in $(installed_majors | sed 's|.*|/usr/lib/postgresql/&/bin/pg_config|') \
			"$(command -v pg_config || true)"; do
			[ -x "$candidate" ] || continue
			[ -e "$("$candidate" --pgxs)" ] && [ -e "$("$candidate" --includedir-server)/postgres.h" ] &&
				[ -x "$("$candidate" --bindir)/postgres" ] || continue
			PG_CONFIG=$candidate
			break
		done
	fi
	export PG_CONFIG=${PG_CONFIG:-}
}

# Who runs servers: they refuse root.
set_server_user()
{
	server_user=$(id -un)
	if [ "$(id -u)" -eq 0 ]; then
		server_user=postgres
		getent passwd postgres >/dev/null || die "servers do not run as root, and there is no user postgres"
	fi
}

# as_server_user COMMAND...: root's environment, but a home of its own.
as_server_user()
{
	if [ "$(id -un)" = "$server_user" ]; then
		"$@"
	else
		runuser -u "$server_user" -- env HOME="$scratch" "$@"
	fi
}

# Makes a directory that belongs to the server's user and sets scratch to it.
# Its path is short, because a socket's path ends at 107 bytes.
make_scratch()
{
	local parent

	set_server_user
	for parent in "${TMPDIR:-/tmp}" /tmp; do
		[ ${#parent} -le 40 ] || continue
		scratch=$(mktemp -d "$parent/si.XXXXXX")
		chown "$server_user" "$scratch"
		if as_server_user test -w "$scratch"; then
			export TMPDIR=$scratch
			return
		fi
		rmdir "$scratch"
	done
	die "no directory for temporary files"
}

# copy_tree DIR: the sources, without what was built; of a git checkout what
# is tracked or new, else everything.
copy_tree()
{
	local top=$STREAM_INGEST_TOP
	# root may read another user's checkout
	local git=(git -c safe.directory="$top" -C "$top")

	mkdir -p "$1"
	if [ "$("${git[@]}" rev-parse --show-toplevel 2>/dev/null)" -ef "$top" ]; then
		"${git[@]}" ls-files -z --cached --others --exclude-standard |
			tar -C "$top" --null --no-recursion --ignore-failed-read -T - -cf - 2>/dev/null
	else
		tar -C "$top" --exclude=.git --exclude='*.o' --exclude='*.so' \
			--exclude='./tmp_check*' --exclude='./results' -cf - .
	fi | tar -C "$1" --no-same-owner -xf -
	(cd "$1" && rm -f src/exports.map test/mock_broker test/produce test/kafka_admin test/ahead_test test/decoder_test test/instructions)
	chmod -R u+rwX "$1"
	chown -R "$server_user" "$1"
}

# private_server DIR: a copy of the server's installation, into which the
# extension can be installed without root and without touching a running
# server.  The server finds its files relative to its programs, so these are
# copied.  Of the rest directories are made and files are links: no directory
# is a link, or what is written below it would be written into the installed
# server.  Sets PG_CONFIG to the copy.
private_server()
{
	local what from

	for what in bindir pkglibdir sharedir includedir includedir-server libdir; do
		from=$("$PG_CONFIG" "--$what")
		mkdir -p "$1$from"
		case $what in
			bindir) cp -rL -T "$from" "$1$from" ;;
			# may be the system's: only the libraries in it, such as libpq
			libdir) find -L "$from" -maxdepth 1 -type f -exec cp -sf -t "$1$from" {} + ;;
			*) cp -rsLf -T "$from" "$1$from" ;;
		esac
	done
	find "$1" -name 'stream_ingest*' -delete
	PG_CONFIG=$1$PG_CONFIG
	chown -R -h "$server_user" "$1"
}

# build_extension DIR [make argument...]: builds there, and installs into the
# server that PG_CONFIG names.
build_extension()
{
	local dir=$1

	shift
	# not left to "set -e", which means nothing where the caller tests the result
	as_server_user nice make -C "$dir" -s -j"$(nproc)" "$@" all test-programs &&
		as_server_user make -C "$dir" -s install
}

# start_server DIR [setting=value...]: a server with the extension, reached by
# a socket alone, the same in every locale.  Exports PGHOST, PGPORT, PGDATABASE and PGUSER.
start_server()
{
	local dir=$1 bin setting

	shift
	bin=$("$PG_CONFIG" --bindir)
	as_server_user "$bin/initdb" -D "$dir" -A trust -U postgres -E UTF8 --no-locale -N >/dev/null
	{
		printf "%s\n" "port = 5432" "listen_addresses = ''" "unix_socket_directories = '$scratch'" \
			"shared_preload_libraries = 'stream_ingest'" "max_worker_processes = 24" "fsync = off"
		for setting in "$@"; do
			printf "%s = '%s'\n" "${setting%%=*}" "${setting#*=}"
		done
	} >>"$dir/postgresql.conf"
	as_server_user "$bin/pg_ctl" -D "$dir" -l "$dir.log" -w -s start || { tail -n 20 "$dir.log" >&2; return 1; }
	export PGHOST=$scratch PGPORT=5432 PGDATABASE=postgres PGUSER=postgres
	PATH=$bin:$PATH
}

# start_mock_broker DIR: librdkafka's embedded broker, built in the tree beside
# this file; it ends with this shell.  Exports how programs find it.
start_mock_broker()
{
	"$STREAM_INGEST_TOP/test/mock_broker" "$1/bootstrap" "$1/fifo" &
	poll 10 test -e "$1/bootstrap" || die "the embedded broker did not start"
	STREAM_INGEST_BOOTSTRAP=$(cat "$1/bootstrap")
	export STREAM_INGEST_BOOTSTRAP STREAM_INGEST_MOCK=$1/fifo
}

# stop_all [DIRECTORY]: ends every server and broker whose files lie below it, or
# below the scratch directory.
stop_all()
{
	local file top=${1:-$scratch}

	find "$top" -name postmaster.pid | while read -r file; do
		as_server_user "$("$PG_CONFIG" --bindir)/pg_ctl" -D "$(dirname "$file")" \
			-m immediate -s stop 2>/dev/null || true
	done
	find "$top" -name server.properties | while read -r file; do
		"$STREAM_INGEST_TOP/test/kafka.sh" kill "$(dirname "$file")" || true
	done
}

remove_scratch()
{
	[ -d "${scratch:-}" ] || return 0
	stop_all
	rm -rf "$scratch"
}
