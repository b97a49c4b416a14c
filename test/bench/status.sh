#!/usr/bin/env bash
# What a look at the views costs with 32 workers running, each on a topic of
# four partitions: idle, with messages flowing, and with all of them waiting for
# a lock (which is looked into more closely).  Beside it, in the same run, a
# look at pg_stat_activity and at nothing.
#
#   status.sh [SECONDS]           of each measurement; 3
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"

seconds=${1:-3}
workers=32

# look WHAT QUERY: the average time of a query from one client, as a client
# that sends text sees it: parsing and planning included
look()
{
	printf '%s;\n' "$2" >"$scratch/query"
	printf '  %-20s %8.3f ms\n' "$1" \
		"$(pgbench -n -T "$seconds" -f "$scratch/query" 2>/dev/null | sed -n 's/^latency average = \([0-9.]*\) ms$/\1/p')"
}

look_at_all()
{
	printf '%s\n' "$1"
	look nothing "SELECT 1"
	look pg_stat_activity "SELECT * FROM pg_stat_activity"
	look status "SELECT * FROM stream_ingest.status"
	look offsets "SELECT * FROM stream_ingest.offsets"
	look counts "SELECT * FROM stream_ingest.counts"
}

# all_are CONDITION: of all workers
all_are()
{
	[ "$(sql -c "SELECT count(*) FROM stream_ingest.status WHERE $1")" -eq $workers ]
}

bench_setup stream_ingest.max_workers=$workers max_worker_processes=48
for i in $(seq $workers); do
	topic "t$i" 4
	sql -c "CREATE TABLE t$i (id bigint, payload text)" \
		-c "SELECT stream_ingest.create_subscription('s$i', 'kafka', 't$i', 't$i', options => '{\"rate_limit\": 20}')" >/dev/null
done
poll 120 all_are "state = 'streaming'" || die "not all workers run"
look_at_all "$workers workers, idle"

for i in $(seq $workers); do
	"$top/test/produce" -b "$bootstrap" -t "t$i" -r 4 -n 2000 -s 100 >/dev/null
done
poll 120 all_are "messages_per_second > 0" || die "not all workers have messages"
look_at_all "with messages flowing"

mkfifo "$scratch/hold"
psql -X -q -At <"$scratch/hold" >/dev/null &
exec 3>"$scratch/hold"
echo "BEGIN; SELECT format('LOCK TABLE t%s', i) FROM generate_series(1, $workers) i \\gexec" >&3
poll 60 all_are "reason ~ 'waiting for RowExclusiveLock'" || die "not all workers wait"
look_at_all "all waiting for a lock"
exec 3>&-
wait
