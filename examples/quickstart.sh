#!/usr/bin/env bash
# The first five minutes: builds the extension, starts a throw-away server and
# librdkafka's embedded broker, and lets a topic become rows.
#
#   quickstart.sh
#
# BOOTSTRAP_SERVERS=host:port,... uses a Kafka of yours instead (a new topic,
# which it deletes again).  Anybody may run it, from anywhere; Debian packages
# that are missing are installed as root or with sudo, and stay.  Nothing is
# installed into your PostgreSQL, no cluster is made but the throw-away one, and
# at the end everything else is removed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../test/lib/common.sh"

topic=quickstart_$$

# tell TEXT: what comes next, and why.
tell()
{
	printf '\n-- %s\n' "$1"
}

# typed TEXT: in bold on a terminal.
typed()
{
	if [ -t 1 ]; then
		printf '\n\033[1m%s\033[0m\n' "$1"
	else
		printf '\n%s\n' "$1"
	fi
}

# show SQL: prints the statement as one would type it, and what it gives; without
# a pager, which psql would start for a table wider than the terminal.
show()
{
	typed "$1"
	psql -X -v ON_ERROR_STOP=1 -P pager=off -c "$1"
}

send()
{
	typed "# $(wc -l <<<"$1") messages to topic $topic"
	"$tree/test/produce" -t "$topic" -r 2 <<<"$1" >/dev/null
}

finish()
{
	local status=$?

	trap - EXIT
	[ -z "${created:-}" ] || "$tree/test/kafka_admin" delete "$topic" || true
	remove_scratch
	exit "$status"
}

need_build_packages
make_scratch
trap finish EXIT
trap 'exit 130' INT TERM
tree=$scratch/tree
say "building in $tree ..."
copy_tree "$tree"
private_server "$scratch/server"
build_extension "$tree"
start_server "$scratch/data" timezone=UTC

if [ -n "${BOOTSTRAP_SERVERS:-}" ]; then
	export STREAM_INGEST_BOOTSTRAP=$BOOTSTRAP_SERVERS
	"$tree/test/kafka_admin" create "$topic" 2
	created=1
else
	STREAM_INGEST_TOP=$tree
	start_mock_broker "$scratch"
	"$tree/test/mock_broker" -c create "$topic" 2
fi

tell "The extension, and where Kafka is."
show "CREATE EXTENSION stream_ingest"
show "CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest
  OPTIONS (bootstrap_servers '$STREAM_INGEST_BOOTSTRAP')"
tell "A table, and a subscription that writes the topic into it.  A worker starts when this commits."
show "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount numeric, placed timestamptz)"
show "SELECT stream_ingest.create_subscription('orders', 'kafka', '$topic', 'orders')"

tell "Three messages become three rows, with every digit of the numbers."
send '{"id": 1, "customer": "Ada", "amount": 19.90, "placed": "2026-01-05T09:30:00Z"}
{"id": 2, "customer": "Grace", "amount": 5, "placed": "2026-01-05T09:31:12Z"}
{"id": 3, "customer": "Edsger", "amount": 12345678901234567890.01, "placed": "2026-01-05T09:32:40Z"}'
show "SELECT stream_ingest.wait_until_caught_up('orders')"
show "TABLE orders"

tell "Of the next three, one has an amount that is no number.  It does not hold up the others."
send '{"id": 4, "customer": "Barbara", "amount": 7.25, "placed": "2026-01-05T09:40:00Z"}
{"id": 5, "customer": "Donald", "amount": 2.56, "placed": "2026-01-05T09:41:00Z"}
{"id": 6, "customer": "Alan", "amount": "a lot", "placed": "2026-01-05T09:42:00Z"}'
show "SELECT stream_ingest.wait_until_caught_up('orders')"
show "SELECT count(*), sum(amount) FROM orders"
tell "It is a dead letter: kept whole, with its error."
show "SELECT error, convert_from(value, 'UTF8') AS value FROM stream_ingest.dead_letters"

tell "How far each partition is: these offsets were committed together with the rows."
show "SELECT name, partition, next_offset, lag, applied_at FROM stream_ingest.offsets ORDER BY partition"
tell "Every message is accounted for: applied, ignored on purpose, or a dead letter."
show "SELECT name, messages, applied, ignored, dead_letters FROM stream_ingest.counts"
tell "What the worker does; where something is wrong, the reason tells what."
show "SELECT name, worker, state, reason FROM stream_ingest.status"

[ "$(psql -X -At -c 'SELECT count(*) FROM orders')" = 5 ] || die "five rows were expected"
say
[ ${#installed[@]} -eq 0 ] || say "What stays are the packages that were installed: ${installed[*]}."
say "That was all of it.  Next: README.md; to see tables grow: examples/demo.sh."
