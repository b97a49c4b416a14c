# What the examples' run.sh have in common: a throw-away server and a real
# Kafka broker, or a Kafka of yours, and the proof at the end.
#
# Sourced by scripts that run with "set -euo pipefail" and have set here, the
# directory of the example.  BOOTSTRAP_SERVERS=host:port,... uses a Kafka of
# yours: new topics, which are deleted again at the end.  Anybody may run an
# example; packages that are missing are installed as root or with sudo.
# SEED chooses other messages.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/../test/lib/common.sh"

topics=()
seed=${SEED:-1}

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

finish_example()
{
	local status=$? topic

	trap - EXIT
	if [ -n "${BOOTSTRAP_SERVERS:-}" ]; then
		for topic in "${topics[@]}"; do
			admin delete "$topic" || true
		done
	fi
	remove_scratch
	exit "$status"
}

# A server with the extension, and Kafka.  Sets tree, scratch and bootstrap.
start_example()
{
	get_packages
	make_scratch
	trap finish_example EXIT
	trap 'exit 130' INT TERM
	share_cache
	tree=$scratch/tree
	say "building ..."
	copy_tree "$tree"
	private_server "$scratch/server"
	build_extension "$tree"
	start_server "$scratch/data" timezone=UTC
	start_kafka
	sql -q -c 'CREATE EXTENSION stream_ingest'
}

# Without a pager, which psql would start for a table wider than the terminal.
sql()
{
	psql -X -v ON_ERROR_STOP=1 -P pager=off "$@"
}

# run_sql FILE [psql option...]: a file of the example.
run_sql()
{
	local file=$1

	shift
	sql -q -o /dev/null -v bootstrap="$bootstrap" "$@" -f "$here/$file"
}

# new_topic NAME PARTITIONS: sets topic to the name that it gets.
new_topic()
{
	topic=$1_$$
	admin create "$topic" "$2"
	topics+=("$topic")
}

# send_messages COUNT TOPIC PARTITIONS
send_messages()
{
	local sent

	say "sending $1 messages ..."
	sent=$(python3 "$here/generate.py" "$1" "$seed" |
		"$tree/test/produce" -b "$bootstrap" -t "$2" -r "$3")
	[ "$sent" -eq "$1" ] || die "only $sent messages were acknowledged"
}

# await SUBSCRIPTION...: until what is in their topics has been applied, one
# after the other.
await()
{
	local name

	for name in "$@"; do
		[ "$(sql -At -v name="$name" <<<"SELECT stream_ingest.wait_until_caught_up(:'name', '1 hour')")" = t ] ||
			die "subscription \"$name\" has not caught up"
	done
}

show_counts()
{
	sql -c "SELECT * FROM stream_ingest.offsets" \
		-c "SELECT * FROM stream_ingest.counts" \
		-c "SELECT name, worker, state, reason FROM stream_ingest.status" >&2
}

# compare_result FILE GENERATOR_ARGUMENT...: what the SQL file finds in the
# tables must be what the generator says.
compare_result()
{
	local file=$1 found expected

	shift
	expected=$(python3 "$here/generate.py" "$@")
	found=$(sql -At -f "$here/$file")
	if [ "$found" != "$expected" ]; then
		diff <(printf '%s\n' "$expected") <(printf '%s\n' "$found") >&2 || true
		die "the tables do not hold what was sent (<: expected, >: found)"
	fi
	say "what the tables hold, and must hold:"
	head -n 12 <<<"$found" >&2
	say "every message is there, once"
}
