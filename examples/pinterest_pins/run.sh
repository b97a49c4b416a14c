#!/usr/bin/env bash
# Made-up pins -> Kafka -> the raw messages by day, cleaned by a daily job, and
# another table that is clean as they arrive; and the proof for both.
#
#   run.sh [COUNT]      50,000 pins
#
# What it needs, starts and removes: see ../lib.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

count=${1:-50000}

start_example
new_topic Pinterest_data 3
run_sql schema.sql
send_messages "$count" "$topic" 3
run_sql subscription.sql -v topic="$topic"
await raw_pins experimental_streaming

say "the daily job ..."
sql -At -c "SELECT DISTINCT (received_at AT TIME ZONE 'UTC')::date FROM pinterest.raw_pins" |
	while read -r day; do
		PGOPTIONS='-c role=pinterest' run_sql clean_day.sql -v day="$day" </dev/null
	done

show_counts
compare_result result.sql --expected "$count" "$seed"
