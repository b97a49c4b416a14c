#!/usr/bin/env bash
# One worker by the format of its messages, on a real broker: user_sessions as
# JSON, Avro and Protobuf into the same table of sixteen columns without an index,
# and upserts of orders as plain JSON and as Debezium's change events.
#
#   formats.sh [COUNT [ROUNDS]]     500,000 messages, 3 rounds
#
# Prints rates, their ratios to JSON's (to the plain upserts') in the same round,
# and the processor time of the main thread.  Each round checks that all formats
# give the same rows.  A worker's time runs from enable() to the last commit, its
# start and the contact with the broker included.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"
. "$here/workload.sh"

count=${1:-500000}
rounds=${2:-3}

# report WHAT BASE: a line of what "took" milliseconds
report()
{
	printf '%-16s %7d/s   %s   main thread %s s\n' "$1" $((count * 1000 / took)) "$(ratio "$2" "$took")" "$(worker_seconds)"
}

# the topics "avro" and "protobuf", each with what "json" has
binary_topic()
{
	topic "$1" 1
	python3 "$top/examples/user_sessions/generate.py" "$count" 1 |
		python3 "$here/encode_sessions.py" "$1" |
		"$top/test/produce" -b "$bootstrap" -t "$1" -p 0 -x >/dev/null
	python3 "$here/encode_sessions.py" schema "$1" >"$scratch/$1.schema"
}

# sessions FORMAT BASE: BASE is what JSON took, or nothing
sessions()
{
	local format=$1 schema= rows

	[ "$format" = json ] || schema=", options => jsonb_build_object('schema', \$schema\$$(cat "$scratch/$format.schema")\$schema\$::text)"
	sessions_table none
	subscribe "$format" "'streaming_layer.streaming_data', format => '$format'$schema"
	took=$(milliseconds consume bench)
	rows=$(sql -f "$top/examples/user_sessions/checksum.sql")
	[ "$rows" = "$expected" ] || die "$format: the rows differ"
	report "$format" "${2:-$took}"
}

# orders as the events of a table that was written in this order
change_events()
{
	orders "$count" 1000 | sed 's/^/{"before": null, "after": /; s/$/, "source": {"version": "2.7.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": 1715940000000, "snapshot": "false", "db": "shop", "schema": "public", "table": "orders", "txId": 571, "lsn": 24023128, "xmin": null}, "op": "u", "ts_ms": 1715940000123, "transaction": null}/'
}

# upserts TOPIC OPTIONS BASE
upserts()
{
	sql -c "DROP TABLE IF EXISTS orders" 2>/dev/null
	orders_table orders
	sql -c "INSERT INTO orders SELECT id FROM generate_series(0, $count - 1, 2) AS id"
	subscribe "$1" "'orders', insert_mode => 'upsert', options => '$2'"
	took=$(milliseconds consume bench)
	checksum orders >"$scratch/rows.$1"
	cmp -s "$scratch/rows.$1" "$scratch/rows.plain" || die "$1: the rows differ"
	report "upsert $1" "${3:-$took}"
}

bench_setup fsync=on autovacuum=off timezone=UTC
expected=$(python3 "$top/examples/user_sessions/generate.py" --checksum "$count" 1)
sessions_topic json 1 "$count"
binary_topic avro
binary_topic protobuf
orders_topic plain "$count" 1000
topic debezium 1
change_events | "$top/test/produce" -b "$bootstrap" -t debezium -p 0 >/dev/null
for ((round = 1; round <= rounds; round++)); do
	sessions json
	json=$took
	sessions avro "$json"
	sessions protobuf "$json"
	upserts plain '{}'
	upserts debezium '{"envelope": "debezium"}' "$took"
done
