#!/usr/bin/env bash
# pg_upgrade from one version of the server to another, in the middle of a stream.
#
#   pg_upgrade.sh PG_CONFIG       of the newer server
#
# A cluster with a stream that has dead letters, one that upserts and a disabled
# one is shut down while messages flow, and upgraded, once with its files copied
# and once linked.  The extension's tables must arrive unchanged, nothing may run
# while pg_upgrade does, every subscription that ran must be stopped as a copy,
# and enable() must end with every message exactly once.
#
# The older server is Debian's newest that is installed, or what PG_CONFIG in the
# environment names.  Needs what the tests' broker needs; leaves nothing behind but
# packages and a cache.  The last line is "N passed, N failed".  versions.sh builds
# two servers and calls this.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$STREAM_INGEST_TOP/test/lib/same.sh"

passed=0
failed=0
messages=20000				# at first, and again while the server goes down

finish()
{
	local status=$?

	trap - EXIT
	remove_scratch
	exit "$status"
}

sql()
{
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# until_sql QUERY: true within a minute
answers_true()
{
	[ "$(sql -c "$1")" = t ]
}

until_sql()
{
	poll 60 answers_true "$1" 2>/dev/null || { sql -c "TABLE stream_ingest.status" >&2; die "not true within a minute: $1"; }
}

# ---- two servers

# install_servers PG_CONFIG: sets old and new, the directories of programs, both
# with the extension.
install_servers()
{
	copy_tree "$scratch/tree.new"
	copy_tree "$scratch/tree"
	PG_CONFIG=$1 private_server_of new
	private_server_of old
}

# private_server_of old|new: of PG_CONFIG; sets the variable of that name.
private_server_of()
{
	local tree=$scratch/tree

	[ "$1" = old ] || tree=$scratch/tree.new
	private_server "$scratch/$1.server"
	build_extension "$tree"
	printf -v "$1" %s "$("$PG_CONFIG" --bindir)"
}

# control ACTION BIN DIR [OPTION...]: of a server
control()
{
	local action=$1 bin=$2 dir=$3

	shift 3
	as_server_user "$bin/pg_ctl" -D "$dir" -l "$dir.log" -w -s "$@" "$action"
}

# ---- a stream

# produce FIRST COUNT: orders, each hundredth of them without a number
produce()
{
	awk -v first="$1" -v n="$2" 'BEGIN {
		for (i = first; i < first + n; i++)
			printf "{\"id\": %s, \"item\": \"item %d\"}\n", i % 100 == 0 ? "\"none\"" : i, i % 1000 }' |
		"$scratch/tree/test/produce" -b "$bootstrap" -t orders -r 2 >/dev/null
}

make_stream()
{
	"$scratch/tree/test/kafka_admin" -b "$bootstrap" create orders 2
	sql -v bootstrap="$bootstrap" <<-'EOF' >/dev/null
		CREATE EXTENSION stream_ingest;
		CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'bootstrap');
		CREATE TABLE orders (id bigint, item text);
		CREATE TABLE items (item text PRIMARY KEY, id text);
		SELECT stream_ingest.create_subscription('all', 'kafka', 'orders', 'orders');
		SELECT stream_ingest.create_subscription('last', 'kafka', 'orders', 'items', insert_mode => 'upsert');
		SELECT stream_ingest.create_subscription('off', 'kafka', 'orders', 'orders', enabled => false);
	EOF
	produce 1 "$messages"
	until_sql "SELECT count(*) = $messages - $messages / 100 FROM orders"
	sql -c "SELECT stream_ingest.discard_dead_letters('all', partition, message_offset, message_offset + 1)
			FROM stream_ingest.dead_letters WHERE name = 'all' LIMIT 1" >/dev/null
}

# what the extension's tables hold, and a digest of the targets
contents()
{
	local table

	for table in subscription progress gap dead_letter count_changes; do
		echo "== $table"
		sql -c "SELECT to_jsonb(t) FROM stream_ingest.$table t ORDER BY to_jsonb(t)::text"
	done
	sql -c "SELECT count(*), sum(id) FROM orders" -c "SELECT md5(string_agg(i::text, ',' ORDER BY item)) FROM items i"
}

# contents of a server in which nothing runs
contents_at_rest()
{
	control start "$1" "$2" -o "-c shared_preload_libraries=" >&2
	contents
	control stop "$1" "$2" >&2
}

# ---- the upgrade

# upgrade NAME [OPTION]: of a copy of the old cluster
upgrade()
{
	local name=$1 data=$scratch/$1.new from=$scratch/$1.old before after checksums

	shift
	cp -a "$scratch/data" "$from"
	# some versions make checksums by default, and both must agree
	checksums=$("$new/initdb" --help | grep -o -e --no-data-checksums || true)
	as_server_user "$new/initdb" -D "$data" -A trust -U postgres -E UTF8 --no-locale -N $checksums >/dev/null
	sed -n '/^port = /,$p' "$from/postgresql.conf" >>"$data/postgresql.conf"
	before=$(contents_at_rest "$old" "$from")
	(cd "$scratch" && as_server_user "$new/pg_upgrade" -U postgres -b "$old" -B "$new" -d "$from" -D "$data" \
		-s "$scratch" "$@") >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; find "$data" -name '*.log' -exec tail -n 5 {} + >&2; die "pg_upgrade failed"; }
	after=$(contents_at_rest "$new" "$data")
	same "$name: the extension's tables arrive" "$before" "$after"

	control start "$new" "$data"
	until_sql "SELECT count(*) = 3 FROM stream_ingest.status WHERE reason LIKE 'this database is a copy%' OR state = 'disabled'"
	same "$name: what ran is stopped as a copy" "all stopped|last stopped|off disabled" \
		"$(sql -c "SELECT string_agg(name || ' ' || state, '|' ORDER BY name) FROM stream_ingest.status")"
	is_exact "$name"
	control stop "$new" "$data"
}

# is_exact NAME: enable() resumes, and all that was ever sent is there once
is_exact()
{
	sql -c "SELECT stream_ingest.enable(name) FROM (VALUES ('all'), ('last')) s (name)" >/dev/null
	produce $((2 * messages + extra + 1)) 1000
	extra=$((extra + 1000))
	sql -c "SELECT stream_ingest.wait_until_caught_up(name, '1 min') FROM (VALUES ('all'), ('last')) s (name)" >/dev/null
	same "$1: every message is there once" "$((2 * messages + extra - (2 * messages + extra) / 100))|t" \
		"$(sql -c "SELECT count(*), count(*) = count(DISTINCT id) FROM orders")"
	same "$1: and every bad one among the dead letters, but the one discarded" "$(((2 * messages + extra) / 100 - 1))" \
		"$(sql -c "SELECT count(*) FROM stream_ingest.dead_letters WHERE name = 'all'")"
	sql -c "ALTER TABLE orders ALTER id TYPE text" >/dev/null
	until_sql "SELECT (SELECT state FROM stream_ingest.status WHERE name = 'all') = 'streaming'"
	sql -c "SELECT stream_ingest.retry_dead_letters('all')" >/dev/null
	same "$1: dead letters can be retried" "$(((2 * messages + extra) / 100 - 1))" \
		"$(sql -c "SELECT count(*) FROM orders WHERE id = 'none'")"
	sql -c "SELECT stream_ingest.drop_subscription(name, true) FROM stream_ingest.subscriptions" \
		-c "DROP EXTENSION stream_ingest CASCADE" >/dev/null 2>&1
	same "$1: and all can be dropped" 0 "$(sql -c "SELECT count(*) FROM pg_namespace WHERE nspname = 'stream_ingest'")"
}

[ $# -eq 1 ] || { sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
need_build_packages
need_packages 'default-jre-headless: command -v java' 'maven: command -v mvn' 'kcat: command -v kcat'
find_pg_config
make_scratch
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
share_cache
install_servers "$1"
"$scratch/tree/test/kafka.sh" jars >/dev/null
as_server_user "$scratch/tree/test/kafka.sh" start "$scratch/kafka"
bootstrap=$(cat "$scratch/kafka/bootstrap")
start_server "$scratch/data" timezone=UTC
extra=0
make_stream
produce $((messages + 1)) "$messages"
control stop "$old" "$scratch/data" -m fast
upgrade copied
upgrade linked --link
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
