#!/usr/bin/env bash
# What bad messages cost: the throughput of a topic with one bad message in
# 1,000 and one in ten, beside the clean run's, on a real broker.
#
#   bad_messages.sh [MESSAGES]       default 1,000,000
#
# Bad by a CHECK constraint (the statement fails, and isolation must find the
# row), by a conversion error (the loop names the message) and by not being
# JSON at all.  Each kind runs beside a clean run of its own; a figure is the
# best of three.  Every run also checks that exactly the bad ones are dead
# letters.  Needs what test/run.sh tap needs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

messages=${1:-1000000}
rounds=${ROUNDS:-3}

finish()
{
	local status=$?

	trap - EXIT
	remove_scratch
	exit "$status"
}

# payload KIND EVERY: one bad message in EVERY (0: none)
payload()
{
	awk -v n="$messages" -v kind="$1" -v every="$2" 'BEGIN {
		for (i = 0; i < n; i++) {
			bad = every && i % every == int(every / 2)
			amount = bad && kind == "check" ? -1 : i % 1000
			quantity = bad && kind == "conversion" ? "\"none\"" : i % 7
			tail = bad && kind == "json" ? "" : "}"
			printf "{\"id\": %d, \"name\": \"customer %d\", \"amount\": %d.25, \"quantity\": %s, \"at\": \"2024-05-17T10:%02d:%02dZ\", \"note\": \"a line of text that is neither short nor long\"%s\n",
				i, i % 5000, amount, quantity, i / 60 % 60, i % 60, tail
		}
	}'
}

query()
{
	psql -qAtX -c "$1"
}

state_since()
{
	since=$(query "SELECT extract(epoch FROM since) FROM stream_ingest.status WHERE state = 'catching_up'")
	[ -n "$since" ]
}

all_done()
{
	[ "$(query "SELECT messages FROM stream_ingest.counts")" = "$messages" ]
}

# run TOPIC BAD: sets rate to the messages per second
run()
{
	local ended

	query "CREATE TABLE orders (id bigint PRIMARY KEY, name text, amount numeric CHECK (amount >= 0),
		quantity int, at timestamptz, note text);
		SELECT stream_ingest.create_subscription('bench', 'kafka', '$1', target => 'orders')" >/dev/null
	since=
	poll 30 state_since || die "the worker did not start"
	poll 600 all_done || die "not done: $(query "SELECT state, reason FROM stream_ingest.status")"
	ended=$(query "SELECT extract(epoch FROM max(applied_at)) FROM stream_ingest.progress")
	[ "$(query "SELECT count(*) FROM orders")" = $((messages - $2)) ] || die "wrong number of rows"
	[ "$(query "SELECT count(*) FROM stream_ingest.dead_letters")" = "$2" ] || die "wrong number of dead letters"
	query "SELECT stream_ingest.drop_subscription('bench'); DROP TABLE orders; CHECKPOINT" >/dev/null 2>&1
	rate=$(awk -v n="$messages" -v a="$since" -v b="$ended" 'BEGIN { printf "%d", n / (b - a) }')
}

# race KIND: clean and bad topics by turns; sets clean, few and many to the
# best of so many rounds
race()
{
	clean=0
	few=0
	many=0
	for _ in $(seq "$rounds"); do
		run clean 0
		[ "$rate" -le "$clean" ] || clean=$rate
		run "$1-1000" $((messages / 1000))
		[ "$rate" -le "$few" ] || few=$rate
		run "$1-10" $((messages / 10))
		[ "$rate" -le "$many" ] || many=$rate
	done
}

# topic NAME KIND EVERY
topic()
{
	"$tree/test/kafka_admin" -b "$bootstrap" create "$1" 1
	payload "$2" "$3" | "$tree/test/produce" -b "$bootstrap" -t "$1" -p 0 >/dev/null
}

make_scratch
trap finish EXIT
trap 'exit 130' INT TERM
find_pg_config
share_cache
tree=$scratch/tree
copy_tree "$tree"
private_server "$scratch/server"
build_extension "$tree" >"$scratch/log.build" 2>&1 || { tail "$scratch/log.build" >&2; exit 1; }
start_server "$scratch/data" "max_wal_size=8GB" "shared_buffers=512MB" "autovacuum=off"
as_server_user bash "$tree/test/kafka.sh" start "$scratch/kafka"
bootstrap=$(cat "$scratch/kafka/bootstrap")
query "CREATE EXTENSION stream_ingest;
	CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap')"

printf '%-12s %10s %12s %12s %6s %12s %6s\n' 'bad by' messages clean '1 in 1,000' '' '1 in 10' ''
topic clean check 0
for kind in ${KINDS:-check conversion json}; do
	for every in 1000 10; do
		topic "$kind-$every" "$kind" "$every"
	done
	race "$kind"
	awk -v k="$kind" -v n="$messages" -v c="$clean" -v f="$few" -v m="$many" \
		'BEGIN { printf "%-12s %10d %10d/s %10d/s %6.2f %10d/s %6.2f\n", k, n, c, f, f / c, m, m / c }'
done
