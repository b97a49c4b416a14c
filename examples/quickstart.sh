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

# show SQL: prints the statement as one would type it, and what it gives.
show()
{
	printf '\n\033[1m%s\033[0m\n' "$1"
	psql -X -v ON_ERROR_STOP=1 -c "$1"
}

send()
{
	printf '\n\033[1m# %s messages to topic %s\033[0m\n' "$(wc -l <<<"$1")" "$topic"
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

show "CREATE EXTENSION stream_ingest"
show "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, amount numeric, placed timestamptz)"
show "CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest
  OPTIONS (bootstrap_servers '$STREAM_INGEST_BOOTSTRAP')"
show "SELECT stream_ingest.create_subscription('orders', 'kafka', '$topic', 'orders')"

send '{"id": 1, "customer": "Ada", "amount": 19.90, "placed": "2026-01-05T09:30:00Z"}
{"id": 2, "customer": "Grace", "amount": 5, "placed": "2026-01-05T09:31:12Z"}
{"id": 3, "customer": "Edsger", "amount": 12345678901234567890.01, "placed": "2026-01-05T09:32:40Z"}'
show "SELECT stream_ingest.wait_until_caught_up('orders')"
show "TABLE orders"

send '{"id": 4, "customer": "Barbara", "amount": 7.25, "placed": "2026-01-05T09:40:00Z"}
{"id": 5, "customer": "Donald", "amount": 2.56, "placed": "2026-01-05T09:41:00Z"}'
show "SELECT stream_ingest.wait_until_caught_up('orders')"
show "SELECT count(*), sum(amount) FROM orders"
show "SELECT name, partition, next_offset, lag, applied_at FROM stream_ingest.offsets ORDER BY partition"
show "SELECT name, messages, batches, applied, inserted FROM stream_ingest.counts"
show "SELECT name, worker, state, reason FROM stream_ingest.status"

[ "$(psql -X -At -c 'SELECT count(*) FROM orders')" = 5 ] || die "five rows were expected"
say
[ ${#installed[@]} -eq 0 ] || say "What stays are the packages that were installed: ${installed[*]}."
say "That was all of it.  Next: README.md."
