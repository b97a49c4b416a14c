#!/usr/bin/env bash
# Five of the examples at once, to look at: starts a throw-away server and a real
# Kafka, lets made-up messages flow into their topics, and shows how the tables
# grow until Ctrl-C.  Then it removes everything.
#
#   demo.sh [SECONDS]
#
# It prints how to connect with psql, and the address of a pgAdmin that it starts
# (from PyPI, a large download at the first time), which asks for no password but
# wants the key in the address.  PGADMIN=no leaves it out.  With
# SECONDS it ends by itself, waits until the topics have been read to their ends,
# and fails unless every message was applied or is a dead letter.  Some messages
# are bad on purpose.
#
# BOOTSTRAP_SERVERS=host:port,... uses a Kafka of yours (new topics, which are
# deleted again).  Anybody may run it, from anywhere; Debian packages that are
# missing are installed as root or with sudo, and stay.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
. "$here/../test/lib/background.sh"
. "$here/../test/lib/pgadmin.sh"

examples=$here
seconds=${1:-}
[[ $seconds =~ ^[0-9]*$ ]] || { sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2; }

# set_up EXAMPLE TOPIC VARIABLE=VALUE...: its tables and subscriptions; the
# topic of its generator's messages is told to the feeder.
set_up()
{
	here=$examples/$1
	printf '%s %s\n' "$1" "$2" >>"$scratch/topics"
	run_sql schema.sql
	shift 2
	run_sql subscription.sql "${@/#/--set=}"
}

set_up_all()
{
	local received

	new_topic driven_data_stream 3
	set_up user_sessions "$topic" topic="$topic" workers=1
	new_topic reddit-posts 3
	set_up reddit_posts "$topic" topic="$topic"
	new_topic Pinterest_data 3
	set_up pinterest_pins "$topic" topic="$topic"
	new_topic rooms-v1 3
	set_up room_counts "$topic" topic="$topic"
	new_topic incoming_payment_received 3
	received=$topic
	new_topic incoming_payment_processed 3
	set_up payments "$received" received_topic="$received" processed_topic="$topic"
}

# Sends messages to the topics, round after round, as long as the file "feed" is
# there.  Each round has another seed, so that all of them differ.
feed()
{
	local round=0 example to

	# Ctrl-C ends the demo, which then ends this
	trap '' INT
	while [ -e "$scratch/feed" ]; do
		round=$((round + 1))
		while read -r example to; do
			{
				python3 "$examples/$example/generate.py" $((100 + RANDOM % 300)) $((seed * 100000 + round))
				[ "$example" != reddit_posts ] || echo '{"title": "a post without a subreddit", "url": "", "created_utc": 1700000000}'
			} | "$tree/test/produce" -b "$bootstrap" -t "$to" -r 3 >>"$scratch/sent"
		done <"$scratch/topics"
		sleep 0.2
	done
}

finish_demo()
{
	local status=$?

	trap - EXIT
	rm -f "$scratch/feed"
	end_children
	wait
	say
	say "removing the server, Kafka and all files ..."
	set +e
	(exit "$status")
	finish_example
}

get_pgadmin()
{
	need_packages 'curl: command -v curl' "python3-venv: $python -c 'import ensurepip'" >&2
	cached_venv "pgadmin4-$pgadmin_version" fetch_pgadmin
}

# Sets where_pgadmin: its address and what to open there, or how to connect with
# one's own.
try_pgadmin()
{
	where_pgadmin="host $PGHOST, port $PGPORT, database postgres, user $PGUSER, no password"
	[ "${PGADMIN:-yes}" != no ] || return 0
	say "getting and starting pgAdmin; PGADMIN=no leaves it out ..."
	if venv=$(get_pgadmin 2>"$scratch/log.get") && configure_pgadmin demo postgres False && start_pgadmin; then
		where_pgadmin="$url: server demo, database postgres, schema stream_ingest, views"
	else
		say "there is no pgAdmin: it could not be got from PyPI, or does not start; the demo runs without it"
	fi
}

# What the tables have, and what the workers do.
show()
{
	[ ! -t 1 ] || printf '\033[H\033[J'
	cat "$scratch/how"
	sql -P footer=off -P null=- -c "
		SELECT c.name AS subscription, s.state, c.messages, c.applied, c.dead_letters AS dead, o.lag,
		       s.messages_per_second AS per_second
		  FROM stream_ingest.counts c
		  JOIN (SELECT name, min(state) AS state, sum(messages_per_second)::int AS messages_per_second
		          FROM stream_ingest.status GROUP BY 1) s USING (name)
		  JOIN (SELECT name, sum(lag) AS lag FROM stream_ingest.offsets GROUP BY 1) o USING (name)
		 ORDER BY 1" -c "SELECT subreddit, posts FROM reddit.top_ten LIMIT 3" || [ -n "${ended:-}" ]
}

write_how()
{
	cat >"$scratch/how" <<-EOF_HOW
		Messages flow into ${#topics[@]} topics, and become rows.  Ctrl-C ends it and removes everything.

		  psql      $PSQL_PATH -h $PGHOST -p $PGPORT -U $PGUSER
		  pgAdmin   $where_pgadmin
		  Kafka     $bootstrap

		Try:        SELECT name, state, reason FROM stream_ingest.status;
		            SELECT error, convert_from(value, 'UTF8') FROM stream_ingest.dead_letters;
		            SELECT * FROM reddit.top_ten;

	EOF_HOW
}

# Every message was applied, or is a dead letter, once; each topic has one of
# the subscriptions whose messages are added up.
check_all()
{
	local counts

	await user_sessions subreddit_counts reddit_posts raw_pins experimental_streaming coldstorage reckoning \
		payments_received payments_processed
	show
	counts=$(sql -At -c "SELECT sum(messages) FROM stream_ingest.counts WHERE name IN
		('user_sessions', 'reddit_posts', 'raw_pins', 'coldstorage', 'payments_received')")
	[ "$counts" -eq "$(awk '{ n += $1 } END { print n }' "$scratch/sent")" ] || die "$counts messages were read, others were sent"
	[ "$(sql -At -c 'SELECT sum(messages - applied - ignored - dead_letters) FROM stream_ingest.counts')" -eq 0 ] ||
		die 'the counts do not add up'
	[ "$(sql -At -c "SELECT count(*) FROM stream_ingest.dead_letters
		WHERE convert_from(value, 'UTF8') !~ 'a post without a subreddit'")" -eq 0 ] ||
		die 'there are dead letters that are not bad on purpose'
	say "$counts messages were sent; every one was applied, or is a dead letter"
}

start_example
trap finish_demo EXIT
PSQL_PATH=$(command -v psql)
say "making the tables and subscriptions of five examples ..."
set_up_all
try_pgadmin
write_how
: >"$scratch/feed"
: >"$scratch/sent"
feed &
feeder=$!
trap 'ended=1' INT
until=$((SECONDS + 10#${seconds:-0}))
while [ -z "${ended:-}" ]; do
	show
	[ -z "$seconds" ] || [ "$SECONDS" -lt "$until" ] || break
	sleep 1 || true
done
if [ -z "${ended:-}" ]; then
	trap 'exit 130' INT
	rm "$scratch/feed"
	wait "$feeder"
	check_all
fi
