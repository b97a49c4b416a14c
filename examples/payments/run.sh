#!/usr/bin/env bash
# Made-up payments -> Kafka -> a table and, by produce(), a second topic -> the
# same table; and the proof that each went all the way.
#
#   run.sh [COUNT]      10,000 payments
#
# What it needs, starts and removes: see ../lib.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

count=${1:-10000}

start_example
new_topic incoming_payment_received 3
received=$topic
new_topic incoming_payment_processed 3
processed=$topic
run_sql schema.sql
run_sql subscription.sql -v received_topic="$received" -v processed_topic="$processed"
send_messages "$count" "$received" 3

# the second topic is complete when the first has been applied
await payments_received payments_processed

show_counts
compare_result result.sql --expected "$count" "$seed"
