#!/usr/bin/env bash
# Made-up observations of rooms -> Kafka -> an archive by day, and the sums of
# the rooms; the proof that all came once, and the archive as files.
#
#   run.sh [COUNT [DIRECTORY]]      100,000 observations; DIRECTORY gets the files
#
# What it needs, starts and removes: see ../lib.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

count=${1:-100000}

start_example
files=${2:-$scratch}
new_topic rooms-v1 3
run_sql schema.sql
send_messages "$count" "$topic" 3
run_sql subscription.sql -v topic="$topic"
await coldstorage reckoning

show_counts
compare_result result.sql --expected "$count" "$seed"

for day in 2024-02-{05..11}; do
	sql -q -v day="$day" -f "$here/export.sql" >"$files/$day.csv"
done
exported=$(cat "$files"/2024-02-*.csv | wc -l)
[ "$exported" -eq "$count" ] || die "$exported messages in the files"
say "$count in, $exported back"
