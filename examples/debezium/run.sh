#!/usr/bin/env bash
# Two made-up tables -> Debezium's change events of them -> Kafka -> two copies;
# and the proof that the copies are the tables, row by row.
#
#   run.sh [COUNT]      10,000 changes of each table
#
# What it needs, starts and removes: see ../lib.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

count=${1:-10000}

# send_changes TABLE TOPIC
send_changes()
{
	local sent

	say "sending $count changes of $1 ..."
	sent=$(python3 "$here/generate.py" "$1" "$count" "$seed" |
		"$tree/test/produce" -b "$bootstrap" -t "$2" -K '|' -Z)
	[ "$sent" -eq "$count" ] || die "only $sent messages were acknowledged"
}

start_example
new_topic shop.public.customers 3
customers=$topic
new_topic shop.public.orders 3
orders=$topic
send_changes customers "$customers"
send_changes orders "$orders"
run_sql schema.sql
run_sql subscription.sql -v customers="$customers" -v orders="$orders"
await customers orders

show_counts
compare_result result.sql --expected "$count" "$seed"
