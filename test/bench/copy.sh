#!/usr/bin/env bash
# One worker against COPY: messages per second from a real broker into a table
# of sixteen columns, and in the same run COPY FROM of the same rows from a
# text file at the server, the two in turn.
#
#   copy.sh [COUNT [ROUNDS]]      500,000 messages, 3 rounds
#
# Prints both rates and their ratio for a table without an index and one with a
# primary key.  The worker's time runs from enable() to the last commit, its
# start and the contact with the broker included.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"
. "$here/workload.sh"

count=${1:-500000}
rounds=${2:-3}

copy_in()
{
	sql -c "COPY streaming_layer.streaming_data FROM '$scratch/rows'"
}

# bench INDEX: alternates the two and prints a line per round
bench()
{
	local round worker copy

	for ((round = 1; round <= rounds; round++)); do
		sql -c "SELECT stream_ingest.drop_subscription('bench', true)" >/dev/null 2>&1
		sessions_table "$1"
		sql -c "SELECT stream_ingest.create_subscription('bench', 'kafka', 'bench', 'streaming_layer.streaming_data', enabled => false)" >/dev/null
		sql -c CHECKPOINT
		worker=$(milliseconds consume bench)
		[ "$(sql -c "SELECT count(*) FROM streaming_layer.streaming_data")" -eq "$count" ]
		sql -c "COPY streaming_layer.streaming_data TO '$scratch/rows'" \
			-c "TRUNCATE streaming_layer.streaming_data" -c CHECKPOINT
		copy=$(milliseconds copy_in)
		printf '%-12s worker %7d/s   COPY %7d/s   ratio %s\n' "$1" \
			$((count * 1000 / worker)) $((count * 1000 / copy)) \
			"$(ratio "$copy" "$worker")"
	done
}

bench_setup fsync=on autovacuum=off
sessions_topic bench 1 "$count"
bench none
bench key
