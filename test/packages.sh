#!/usr/bin/env bash
# The Debian packages: built in a fresh root, installed by apt in another that
# has nothing else, used there, and removed.  Before, what PGXN gets.
#
#   packages.sh [SUITE...]        default: bookworm trixie
#
# In the second root a topic of a real broker, which runs outside, becomes rows
# with nothing but the .deb and SQL; after the purge no file of it is left.
# lintian must find no errors.  The archive of "make dist" must build in the first
# root, and its META.json be valid for PGXN's own validator, if pgxn_meta is on the
# path (cargo install pgxn_meta).
#
# Needs root, or sudo, what the tests' broker needs, and 3 GB in /var/tmp (or
# in TMPDIR).  The last line is "N passed, N failed"; the exit status is 0 when
# none failed and all ran.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/lib/root.sh"

passed=0
failed=0
kafka=$STREAM_INGEST_TOP/test/kafka.sh

check()
{
	local name=$1 log=$work/check.log

	shift
	if "$@" >"$log" 2>&1; then
		passed=$((passed + 1))
		printf 'ok      %s\n' "$name"
	else
		failed=$((failed + 1))
		printf 'FAILED  %s\n' "$name"
		tail -n 40 "$log" | sed 's/^/    /'
		return 1
	fi
}

finish()
{
	local status=$?

	trap - EXIT
	leave_root
	[ ! -e "$work/kafka/pid" ] || "$kafka" kill "$work/kafka" || true
	rm -rf --one-file-system "$work"
	exit "$status"
}

# ---- a broker with a topic

produce_orders()
{
	printf '{"id": %d, "customer": "Ada", "amount": 19.90}\n' {1..100} |
		kcat -q -P -b "$(cat "$work/kafka/bootstrap")" -t orders
}

start_broker()
{
	need_packages 'default-jre-headless: command -v java' 'maven: command -v mvn' 'kcat: command -v kcat'
	"$kafka" jars >/dev/null
	"$kafka" start "$work/kafka" auto.create.topics.enable=true
	# the broker makes the topic when it is first asked for it
	poll 30 produce_orders
}

# ---- what PGXN gets

# make_archive: in $work/dist, of what is committed.
make_archive()
{
	mkdir "$work/dist"
	# root may read another user's checkout
	(cd "$work/dist" && GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="$STREAM_INGEST_TOP" \
		make -s -f "$STREAM_INGEST_TOP/Makefile" dist &&
		python3 -m zipfile -e stream_ingest-*.zip . && test -e stream_ingest-*/META.json)
}

# try_archive: what it has is looked at here, and built in each suite.
try_archive()
{
	need_packages 'git: command -v git' 'python3: command -v python3'
	need_build_packages
	if [ ! -e "$STREAM_INGEST_TOP/.git" ]; then
		echo 'skipped make dist: this is no checkout'
		return
	fi
	check 'make dist' make_archive || return 0
	if command -v pgxn_meta >/dev/null; then
		check 'META.json is valid for PGXN' pgxn_meta "$work"/dist/stream_ingest-*/META.json || true
	else
		echo "skipped META.json by PGXN's own validator: there is no pgxn_meta"
	fi
}

# build_archive SUITE
build_archive()
{
	[ -d "$work/dist" ] || return 0
	cp -R "$work/dist" "$work/build/dist"
	check "$1: the archive of make dist is built" enter_root "$work/build" sh -c \
		'cd /dist/stream_ingest-*/ && make -s -j"$(nproc)"'
}

# ---- building

# The project has no address for mail yet.
lint_package()
{
	enter_root "$work/build" sh -c 'cd /build && lintian --fail-on error \
		--suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog *.changes'
}

# build_package SUITE: in $work/build
build_package()
{
	make_root "$1" "$work/build" build-essential,debhelper,lintian,pkg-config,postgresql-server-dev-all,librdkafka-dev,libjansson-dev,libcurl4-openssl-dev,libkrb5-dev
	server_user=root
	copy_tree "$work/build/build/stream-ingest"
	check "$1: the packages are built" enter_root "$work/build" sh -c \
		'cd /build/stream-ingest && pg_buildext updatecontrol && dpkg-buildpackage -us -uc' &&
		check "$1: lintian finds no errors" lint_package
}

# ---- using

# What a DBA does, as root of a machine that has only the .deb.
write_use()
{
	cat >"$1/use.sh" <<-'EOS'
		set -euo pipefail
		bootstrap=$1
		export DEBIAN_FRONTEND=noninteractive
		find / -xdev -name '*stream*ingest*' -not -path '/packages/*' | sort >/before
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends /packages/postgresql-*-stream-ingest_*.deb
		version=$(ls /etc/postgresql)
		sql() { runuser -u postgres -- psql -X -At -q -v ON_ERROR_STOP=1 "$@"; }
		echo "shared_preload_libraries = 'stream_ingest'" >/etc/postgresql/$version/main/conf.d/stream_ingest.conf
		pg_ctlcluster "$version" main restart
		sql -c "CREATE EXTENSION stream_ingest" \
			-c "CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap')" \
			-c "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount numeric)" \
			-c "SELECT stream_ingest.create_subscription('orders', 'kafka', 'orders', 'orders')" \
			-c "SELECT stream_ingest.wait_until_caught_up('orders', '1 min')"
		[ "$(sql -c 'SELECT count(*), sum(amount) FROM orders')" = '100|1990.00' ]
		sql -c "SELECT stream_ingest.drop_subscription('orders')" -c "DROP SERVER kafka" -c "DROP EXTENSION stream_ingest"
		rm /etc/postgresql/$version/main/conf.d/stream_ingest.conf
		pg_ctlcluster "$version" main restart
		apt-get purge -y -qq "postgresql-$version-stream-ingest"
		pg_ctlcluster "$version" main stop
		find / -xdev -name '*stream*ingest*' -not -path '/packages/*' -not -path '/proc/*' | sort | diff /before -
	EOS
}

# use_package SUITE: in $work/use
use_package()
{
	make_root "$1" "$work/use"
	mkdir "$work/use/packages"
	cp "$work"/build/build/postgresql-*-stream-ingest_*.deb "$work/use/packages"
	write_use "$work/use"
	check "$1: installed, used and purged" enter_root "$work/use" bash /use.sh "$(cat "$work/kafka/bootstrap")"
}

# ----

if [ "$(id -u)" -ne 0 ]; then
	as_root bash "${BASH_SOURCE[0]}" "$@"
	exit
fi
[ $# -gt 0 ] || set -- bookworm trixie
share_cache
make_work si-packages
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
start_broker
try_archive
for suite in "$@"; do
	if build_package "$suite"; then
		build_archive "$suite" || true
		use_package "$suite" || true
	fi
	rm -rf --one-file-system "$work/build" "$work/use"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
