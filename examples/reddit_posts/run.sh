#!/usr/bin/env bash
# Made-up Reddit posts -> Kafka -> two subscriptions -> a counter for each
# subreddit, and the posts; and the proof that every post was counted once.
#
#   run.sh [COUNT]      50,000 posts
#
# What it needs, starts and removes: see ../lib.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

count=${1:-50000}

start_example
new_topic reddit-posts 3
run_sql schema.sql
send_messages "$count" "$topic" 3
run_sql subscription.sql -v topic="$topic"
await subreddit_counts reddit_posts

show_counts
sql -c 'SELECT * FROM reddit.top_ten'
compare_result result.sql --expected "$count" "$seed"
