#!/usr/bin/env bash
# The whole pipeline: made-up user sessions -> Kafka -> one subscription ->
# streaming_layer.streaming_data, and the proof that every message has arrived
# exactly once.
#
#   run.sh [COUNT [WORKERS]]      100,000 messages and 3 workers
#
# What it needs, starts and removes: see ../lib.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

count=${1:-100000}
workers=${2:-3}

start_example
new_topic driven_data_stream 3
run_sql schema.sql
send_messages "$count" "$topic" 3

say "consuming them with $workers worker(s) ..."
began=$(date +%s%3N)
run_sql subscription.sql -v topic="$topic" -v workers="$workers"
await user_sessions
took=$(($(date +%s%3N) - began))

show_counts
say "$count messages in $took ms, $((count * 1000 / (took + 1))) a second, the workers' start included"
compare_result checksum.sql --checksum "$count" "$seed"
