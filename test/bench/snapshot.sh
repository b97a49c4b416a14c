#!/usr/bin/env bash
# What a commit costs beside an old snapshot: COUNT messages applied one per
# transaction (batch_size 1), without and with a REPEATABLE READ transaction
# that was there before and stays.  Every commit leaves a dead version of its
# row of progress that such a snapshot keeps from being pruned.
#
#   snapshot.sh [COUNT]           100,000
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"

count=${1:-100000}

# Not often: on two cores, looking takes time from what is looked at.  And not
# by wait_until_caught_up, which would be an old snapshot itself.
caught_up()
{
	sleep 0.5
	[ -n "${since:-}" ] ||
		since=$(sql -c "SELECT extract(epoch FROM since) FROM stream_ingest.status WHERE state = 'catching_up'")
	[ "$(sql -c "SELECT sum(next_offset) FROM stream_ingest.offsets")" = "$count" ]
}

# worker_ticks: what the worker's main thread has used of the processor
worker_ticks()
{
	local pid

	pid=$(sql -c "SELECT pid FROM stream_ingest.status")
	awk '{ print $14 + $15 }' "/proc/$pid/task/$pid/stat"
}

# measure WHAT: sets took (seconds a commit, by the subscription's own times)
# and used (of them the processor's)
measure()
{
	sql -c "SELECT stream_ingest.drop_subscription('bench', true)" \
		-c "DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint, payload text)" >/dev/null 2>&1
	sql -c "SELECT stream_ingest.create_subscription('bench', 'kafka', 'bench', 't', options => '{\"batch_size\": 1}')" >/dev/null
	since=
	poll 1800 caught_up || die "not done: $(sql -c "SELECT state, reason FROM stream_ingest.status")"
	used=$(awk "BEGIN { print $(worker_ticks) / $(getconf CLK_TCK) / $count }")
	took=$(sql -c "SELECT (extract(epoch FROM max(applied_at)) - $since) / $count FROM stream_ingest.progress")
	[ "$(sql -c "SELECT count(*) FROM t")" -eq "$count" ]
	awk -v w="$1" -v t="$took" -v u="$used" \
		'BEGIN { printf "%-20s %6.1f us a commit, of which processor %6.1f us\n", w, t * 1e6, u * 1e6 }'
}

bench_setup fsync=on autovacuum=on
topic bench 1
"$top/test/produce" -b "$bootstrap" -t bench -p 0 -n "$count" -s 40 >/dev/null

measure "without"
without=$took
without_used=$used

# holds the snapshot until its input ends
mkfifo "$scratch/hold"
psql -X -q -At -o "$scratch/held" <"$scratch/hold" &
exec 3>"$scratch/hold"
printf '%s\n' "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1; \\o" '\! touch '"$scratch/holding" >&3
poll 10 test -e "$scratch/holding"
measure "beside a snapshot"
exec 3>&-
wait
awk "BEGIN { printf \"ratio %.2f, of processor %.2f\\n\", $took / $without, $used / $without_used }"
