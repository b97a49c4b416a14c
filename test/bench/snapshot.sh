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

caught_up()
{
	[ "$(sql -c "SELECT sum(next_offset) FROM stream_ingest.offsets")" = "$count" ]
}

# without wait_until_caught_up, which would be an old snapshot itself
consume_polling()
{
	sql -c "SELECT stream_ingest.enable('bench')"
	poll 1800 caught_up
}

# microseconds a commit, from the subscription's own times
measure()
{
	sql -c "SELECT stream_ingest.drop_subscription('bench', true)" \
		-c "DROP TABLE IF EXISTS t; CREATE TABLE t (id bigint, payload text)" >/dev/null 2>&1
	sql -c "SELECT stream_ingest.create_subscription('bench', 'kafka', 'bench', 't', options => '{\"batch_size\": 1}', enabled => false)" >/dev/null
	took=$(milliseconds consume_polling)
	[ "$(sql -c "SELECT count(*) FROM t")" -eq "$count" ]
	printf '%-20s %6.1f us a commit\n' "$1" "$(awk "BEGIN { print $took * 1000 / $count }")"
}

bench_setup fsync=on autovacuum=on
topic bench 1
"$top/test/produce" -b "$bootstrap" -t bench -p 0 -n "$count" -s 40 >/dev/null

measure "without" && without=$took

# holds the snapshot until its input ends
mkfifo "$scratch/hold"
psql -X -q -At -o "$scratch/held" <"$scratch/hold" &
exec 3>"$scratch/hold"
printf '%s\n' "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1; \\o" '\! touch '"$scratch/holding" >&3
poll 10 test -e "$scratch/holding"
measure "beside a snapshot" && beside=$took
exec 3>&-
wait
awk "BEGIN { printf \"ratio %.2f\n\", $beside / $without }"
