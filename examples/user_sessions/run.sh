#!/usr/bin/env bash
# The whole pipeline: made-up user sessions -> Kafka -> one subscription ->
# streaming_layer.streaming_data, and the proof that every message has arrived
# exactly once.
#
#   run.sh [COUNT [WORKERS]]      100,000 messages and 3 workers
#
# Starts a throw-away server and a real Kafka broker, and removes both at the
# end; BOOTSTRAP_SERVERS=host:port,... uses a Kafka of yours (a new topic,
# which it deletes again).  Anybody may run it; packages that are missing are
# installed as root or with sudo.  SEED chooses other messages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../test/lib/common.sh"

count=${1:-100000}
workers=${2:-3}
seed=${SEED:-1}
partitions=3

get_packages()
{
	need_build_packages
	need_packages 'python3: command -v python3'
	[ -n "${BOOTSTRAP_SERVERS:-}" ] || need_packages \
		'kcat: command -v kcat' \
		'default-jre-headless: command -v java' \
		'maven: command -v mvn'
}

# Sets bootstrap.
start_kafka()
{
	if [ -n "${BOOTSTRAP_SERVERS:-}" ]; then
		bootstrap=$BOOTSTRAP_SERVERS
	else
		say "starting Kafka ..."
		"$tree/test/kafka.sh" jars >/dev/null
		as_server_user "$tree/test/kafka.sh" start "$scratch/kafka"
		bootstrap=$(cat "$scratch/kafka/bootstrap")
	fi
}

admin()
{
	"$tree/test/kafka_admin" -b "$bootstrap" "$@"
}

finish()
{
	local status=$?

	trap - EXIT
	[ -z "${BOOTSTRAP_SERVERS:-}" ] || [ -z "${topic:-}" ] || admin delete "$topic" || true
	remove_scratch
	exit "$status"
}

sql()
{
	psql -X -v ON_ERROR_STOP=1 "$@"
}

get_packages
make_scratch
trap finish EXIT
trap 'exit 130' INT TERM
share_cache
tree=$scratch/tree
say "building ..."
copy_tree "$tree"
private_server "$scratch/server"
build_extension "$tree"
start_server "$scratch/data"
start_kafka

admin create "driven_data_stream_$$" "$partitions"
topic=driven_data_stream_$$
sql -q -c 'CREATE EXTENSION stream_ingest' -f "$here/schema.sql"

say "sending $count messages ..."
sent=$(python3 "$here/generate.py" "$count" "$seed" |
	"$tree/test/produce" -b "$bootstrap" -t "$topic" -r "$partitions")
[ "$sent" -eq "$count" ] || die "only $sent messages were acknowledged"

say "consuming them with $workers worker(s) ..."
began=$(date +%s%3N)
sql -q -o /dev/null -v bootstrap="$bootstrap" -v topic="$topic" -v workers="$workers" -f "$here/subscription.sql"
sql -q -o /dev/null -c "SELECT stream_ingest.wait_until_caught_up('user_sessions', '1 hour')"
took=$(($(date +%s%3N) - began))

sql -c "SELECT * FROM stream_ingest.offsets" \
	-c "SELECT * FROM stream_ingest.counts" \
	-c "SELECT name, worker, state, reason FROM stream_ingest.status"
say "$count messages in $took ms, $((count * 1000 / (took + 1))) a second, the workers' start included"

expected=$(python3 "$here/generate.py" --checksum "$count" "$seed")
found=$(sql -At -f "$here/checksum.sql")
say "rows|checksum: $found in the table, $expected expected"
[ "$found" = "$expected" ] || die "the table does not hold what was sent"
say "every message is there, once"
