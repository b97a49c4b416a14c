#!/usr/bin/env bash
# One worker against the same work by hand: messages per second from a real
# broker in upsert mode, once with new keys only and once with keys that are
# all there, and for an "apply" that aggregates; and beside each, in turn, COPY
# of the same rows from a text file at the server into a staging table,
# followed by the same statement over that.
#
#   modes.sh [COUNT [ROUNDS]]     300,000 messages, 3 rounds
#
# Prints rates and ratios.  The worker's time runs from enable() to the last
# commit, its start and the contact with the broker included; that by hand is
# one COPY and one statement in one transaction, with the file in the page
# cache and, for the aggregate, with no more columns in it than are needed.
# Every round checks that both give the same rows.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"
. "$here/workload.sh"

count=${1:-300000}
rounds=${2:-3}

# make_tables PREFIX: what is written to
make_tables()
{
	orders_table "$1orders"
	sql -c "CREATE TABLE $1totals (customer text PRIMARY KEY, orders bigint, amount numeric)
				WITH (autovacuum_enabled = off)"
}

# aggregate TABLE SOURCE
aggregate()
{
	printf '%s' "INSERT INTO $1 AS t SELECT customer, count(*), sum(amount) FROM $2 GROUP BY 1
		ON CONFLICT (customer) DO UPDATE SET orders = t.orders + excluded.orders,
			amount = t.amount + excluded.amount"
}

aggregate_by_hand()
{
	sql -c "BEGIN; CREATE TABLE staging (customer text, amount numeric);
			COPY staging FROM '$scratch/amounts'; $(aggregate hand_totals staging);
			DROP TABLE staging; COMMIT"
}

# report WHAT TABLE WORKER HAND: times in ms, of the two in turn
report()
{
	[ "$(checksum "$2")" = "$(checksum "hand_$2")" ] || die "$1: the rows differ"
	printf '%-16s worker %7d/s   by hand %7d/s   ratio %s\n' "$1" \
		$((count * 1000 / $3)) $((count * 1000 / $4)) "$(ratio "$4" "$3")"
}

# one_round: all three, each beside its like by hand
one_round()
{
	local worker hand

	for name in new existing totals; do
		sql -c "SELECT stream_ingest.drop_subscription('$name', true)" >/dev/null 2>&1
	done
	sql -c "DROP TABLE IF EXISTS orders, totals, hand_orders, hand_totals" 2>/dev/null
	make_tables ""
	make_tables hand_

	for name in new existing; do
		subscribe_as "$name" "$name" "'orders', insert_mode => 'upsert'"
		worker=$(milliseconds consume "$name")
		sql -c CHECKPOINT
		hand=$(milliseconds orders_by_hand hand_orders "$scratch/$name")
		report "upsert $name" orders "$worker" "$hand"
	done
	subscribe_as totals new "fields => 'customer text, amount numeric', options => '{\"run_as_owner\": true}',
		apply => \$\$$(aggregate totals batch)\$\$"
	worker=$(milliseconds consume totals)
	sql -c CHECKPOINT
	hand=$(milliseconds aggregate_by_hand)
	report aggregate totals "$worker" "$hand"
}

# make_files: the topics' rows as COPY wants them, made by the extension itself
make_files()
{
	for name in new existing; do
		sql -c "CREATE TABLE rows_$name (id bigint, customer text, amount numeric, quantity int,
					at timestamptz, note text)"
		subscribe_as "rows_$name" "$name" "'rows_$name'"
		consume "rows_$name" >/dev/null
		sql -c "COPY rows_$name TO '$scratch/$name'"
	done
	sql -c "COPY rows_new (customer, amount) TO '$scratch/amounts'" -c "DROP TABLE rows_new, rows_existing"
}

bench_setup fsync=on autovacuum=off
orders_topic new "$count" 0
orders_topic existing "$count" 1000
make_files
for ((round = 1; round <= rounds; round++)); do
	one_round
done
