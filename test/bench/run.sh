#!/usr/bin/env bash
# All that is measured against something else, in one run and as one table:
# what test/bench/README.md shows.
#
#   run.sh [--quick] [--peers] [--only PART,...] [--pictures DIR]
#
#   --quick      a tenth of the messages and one round: a minute, and figures
#                that say little
#   --peers      also the programs that people use today (peers.sh), which are
#                fetched from PyPI and Maven Central
#   --only       of copy, key, upsert, apply, workers, snapshot, latency,
#                memory, pictures, peers
#   --pictures   where the pictures are written (performance.svg, and with
#                --peers peers.svg); default: the directory "doc"
#
# What is compared runs in turn, on one server and one broker; a figure is the
# median of its rounds.  A worker's time runs from enable() to its last stored
# offset.  Prints Markdown.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"
. "$here/workload.sh"
. "$here/peers.sh"

count=1000000
rounds=3
seconds=10
with_peers=
only=
pictures=$STREAM_INGEST_TOP/doc
while [ $# -gt 0 ]; do
	case $1 in
		--quick) count=100000 rounds=1 seconds=3 ;;
		--peers) with_peers=1 ;;
		--only) only=$2; shift ;;
		--pictures) pictures=$2; shift ;;
		*) sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
	esac
	shift
done

# ---- the table ----

# row WHAT AGAINST FIGURE LEAST AIM: in the order of the table
row()
{
	printf '| %s | %s | %s | %s | %s |\n' "$@" >>"$scratch/table"
	say "$1, against $2: $3"
}

# curve NAME X Y: a point of a picture
curve()
{
	printf '%s\t%s\t%s\n' "$@" >>"$scratch/curves"
}

wanted()
{
	[ -z "$only" ] || [[ ",$only," == *",$1,"* ]]
}

# ---- a worker's run ----

# rate MS: messages per second
rate()
{
	echo $((count * 1000 / $1))
}

# sessions_run TOPIC INDEX [OPTIONS]: sets took (ms) and used (s of the processor)
sessions_run()
{
	sessions_table "$2"
	subscribe "$1" "'streaming_layer.streaming_data', options => '${3:-{\}}'"
	took=$(milliseconds consume bench)
	used=$(worker_seconds)
	[ "$(sql -c "SELECT count(*) FROM streaming_layer.streaming_data")" -eq "$count" ] || die 'the rows are not all there'
}

# ---- parts ----

# part_copy INDEX WHAT LEAST AIM
part_copy()
{
	local round ratios=$scratch/ratios.$1 copy

	for ((round = 0; round < rounds; round++)); do
		sessions_run sessions "$1"
		rate "$took" >>"$scratch/rate.$1"
		awk "BEGIN { print $used * 1e6 / $count }" >>"$scratch/used.$1"
		sql -c "COPY streaming_layer.streaming_data TO '$scratch/rows'" \
			-c "TRUNCATE streaming_layer.streaming_data" -c CHECKPOINT
		copy=$(milliseconds sql -c "COPY streaming_layer.streaming_data FROM '$scratch/rows'")
		rate "$copy" >>"$scratch/copy.$1"
		ratio "$copy" "$took" >>"$ratios"
		echo >>"$ratios"
	done
	row "$2" "COPY, same table ($(median <"$scratch/copy.$1")/s)" \
		"$(median <"$ratios") ($(median <"$scratch/rate.$1")/s)" "$3" "$4"
}

part_processor()
{
	row "main thread's processor time per million messages" "" "$(median <"$scratch/used.none") s" '1.5 s' '1.0 s'
}

# Half of the keys are there before.
part_upsert()
{
	local round hand took n=$((count / 2))

	orders_topic orders "$n" 1000
	sql -c "CREATE TABLE orders_file (id bigint, customer text, amount numeric, quantity int, at timestamptz, note text)"
	subscribe orders "'orders_file'"
	consume bench >/dev/null
	sql -c "COPY orders_file TO '$scratch/orders'"
	orders_table orders
	for ((round = 0; round < rounds; round++)); do
		orders_half orders
		subscribe orders "'orders', insert_mode => 'upsert'"
		took=$(milliseconds consume bench)
		checksum orders >"$scratch/by_worker"
		orders_half orders
		hand=$(milliseconds orders_by_hand orders "$scratch/orders")
		checksum orders | cmp -s - "$scratch/by_worker" || die 'upsert: the rows differ'
		ratio "$hand" "$took" >>"$scratch/ratios.upsert"
		echo >>"$scratch/ratios.upsert"
	done
	row 'upsert, 50 % existing keys' 'COPY to a staging table + INSERT ON CONFLICT' \
		"$(median <"$scratch/ratios.upsert")" 1.5 1.8
}

orders_half()
{
	sql -c "TRUNCATE $1" -c "INSERT INTO $1 SELECT id, customer, amount - 1, quantity, at, note FROM orders_file WHERE id % 2 = 0" \
		-c CHECKPOINT
}

# The same topic, reduced to a few totals instead of stored.
part_apply()
{
	local round insert

	for ((round = 0; round < rounds; round++)); do
		sessions_run sessions none
		insert=$took
		sql -c "DROP TABLE IF EXISTS traffic; CREATE TABLE traffic (hours int PRIMARY KEY, n bigint, traffic bigint)" 2>/dev/null
		subscribe sessions "fields => 'session_duration int, consumed_traffic int', options => '{\"run_as_owner\": true}',
			apply => \$\$INSERT INTO traffic AS t SELECT session_duration / 3600, count(*), sum(consumed_traffic) FROM batch
			GROUP BY 1 ON CONFLICT (hours) DO UPDATE SET n = t.n + excluded.n, traffic = t.traffic + excluded.traffic\$\$"
		took=$(milliseconds consume bench)
		[ "$(sql -c "SELECT sum(n) FROM traffic")" -eq "$count" ] || die 'apply: the totals are wrong'
		rate "$took" >>"$scratch/rate.apply"
		ratio "$insert" "$took" >>"$scratch/ratios.apply"
		echo >>"$scratch/ratios.apply"
	done
	row '`apply` that aggregates into a few rows' 'insert mode' \
		"$(median <"$scratch/ratios.apply") ($(median <"$scratch/rate.apply")/s)" 3 ''
}

part_workers()
{
	local round one

	sessions_topic halves 2 "$count"
	for ((round = 0; round < rounds; round++)); do
		sessions_run halves none '{"workers": 1}'
		one=$took
		sessions_run halves none '{"workers": 2}'
		ratio "$one" "$took" >>"$scratch/ratios.workers"
		echo >>"$scratch/ratios.workers"
	done
	row 'two workers on two partitions' 'one worker' "$(median <"$scratch/ratios.workers")" 1.3 1.5
}

# Many commits: each leaves a version of its row of progress.
part_snapshot()
{
	local round without n=$((count / 10))

	"$top/test/kafka_admin" -b "$bootstrap" create small 1
	"$top/test/produce" -b "$bootstrap" -t small -p 0 -n "$n" -s 40 >/dev/null
	for ((round = 0; round < rounds; round++)); do
		snapshot_run
		without=$took
		hold_snapshot
		snapshot_run
		release_snapshot
		ratio "$without" "$took" >>"$scratch/ratios.snapshot"
		echo >>"$scratch/ratios.snapshot"
	done
	row "beside an old snapshot, $n messages in batches of 5" 'the same without' \
		"$(median <"$scratch/ratios.snapshot")" 0.95 ''
}

snapshot_run()
{
	sql -c "DROP TABLE IF EXISTS small; CREATE TABLE small (id bigint, payload text)" 2>/dev/null
	subscribe small "'small', options => '{\"batch_size\": 5}'"
	took=$(milliseconds consume bench)
}

hold_snapshot()
{
	mkfifo "$scratch/hold"
	psql -X -q -At -o "$scratch/held" <"$scratch/hold" &
	holder=$!
	exec 7>"$scratch/hold"
	echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;' >&7
	poll 10 test -s "$scratch/held"
}

release_snapshot()
{
	exec 7>&-
	wait "$holder"
	rm -f "$scratch/hold" "$scratch/held"
}

part_latency()
{
	local per_second figures=

	cc -O2 -Wall -o "$scratch/latency" "$here/latency.c" $(pkg-config --cflags --libs rdkafka) \
		"-I$("$PG_CONFIG" --includedir)" "-L$("$PG_CONFIG" --libdir)" -lpq -lpthread
	for per_second in 1000 10000 50000; do
		topic "latency_$per_second" 1
		sql -c "DROP TABLE IF EXISTS latency; CREATE TABLE latency (id bigint PRIMARY KEY)" 2>/dev/null
		subscribe "latency_$per_second" "'latency'"
		sql -c "SELECT stream_ingest.enable('bench')" >/dev/null
		poll 30 streaming || die 'the worker does not stream'
		row "produce to visible at $per_second messages/s, p50 and p99" '' \
			"$("$scratch/latency" "$bootstrap" "latency_$per_second" "host=$PGHOST port=$PGPORT dbname=postgres user=postgres" \
				latency "$per_second" "$seconds" | sed 's/ / ms, /; s/$/ ms/')" '< 2 ms, < 8 ms' 'p50 < 1.5 ms'
	done
}

streaming() { [ "$(sql -c "SELECT state FROM stream_ingest.status")" = streaming ]; }

# Anonymous memory of a worker at full load, the highest that was seen.
part_memory()
{
	local watcher

	sessions_table none
	subscribe sessions "'streaming_layer.streaming_data'"
	watch_memory >"$scratch/memory" &
	watcher=$!
	consume bench >/dev/null
	kill "$watcher" 2>/dev/null || true
	wait "$watcher" 2>/dev/null || true
	row 'memory of a worker at full load (anonymous)' '' \
		"$(sort -n "$scratch/memory" | tail -n 1 | awk '{ printf "%.0f MB", $1 / 1024 }')" '< 120 MB' ''
}

watch_memory()
{
	local pid

	while :; do
		pid=$(sql -c "SELECT pid FROM stream_ingest.status WHERE pid IS NOT NULL")
		[ -z "$pid" ] || sed -n 's/^Anonymous: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup" 2>/dev/null
		sleep 0.2
	done
}

# ---- pictures ----

# point CURVE X TOPIC TABLE OPTIONS MESSAGES
point()
{
	subscribe "$3" "'$4', options => '$5'"
	took=$(milliseconds consume bench)
	curve "$1" "$2" $(($6 * 1000 / took))
}

part_pictures()
{
	local n=$((count / 4)) size columns

	for size in 100 300 1000 3000 10000; do
		topic "size_$size" 1
		n=$((count / (size > 1000 ? 20 : 4)))
		"$top/test/produce" -b "$bootstrap" -t "size_$size" -p 0 -n "$n" -s "$size" >/dev/null
		sql -c "DROP TABLE IF EXISTS picture; CREATE TABLE picture (id bigint, payload text)" 2>/dev/null
		point 'bytes of a message' "$size" "size_$size" picture '{}' "$n"
	done
	for columns in 1 2 4 8 16; do
		sessions_table none
		drop_columns "$columns"
		point 'columns' "$columns" sessions streaming_layer.streaming_data '{}' "$count"
	done
	n=$count
	[ "$(sql -c "SELECT count(*) FROM stream_ingest.peek('kafka', 'halves', 1)" 2>/dev/null)" ] ||
		sessions_topic halves 2 "$count"
	for columns in 1 2; do
		sessions_table none
		point 'workers' "$columns" halves streaming_layer.streaming_data "{\"workers\": $columns}" "$count"
	done
	for size in 10 100 1000 10000 100000; do
		sessions_table none
		point 'batch_size' "$size" sessions streaming_layer.streaming_data "{\"batch_size\": $size}" "$count"
	done
	python3 "$here/svg.py" curves <"$scratch/curves" >"$pictures/performance.svg"
}

# drop_columns N: leave N of the sixteen
drop_columns()
{
	sql -c "SELECT format('ALTER TABLE streaming_layer.streaming_data DROP COLUMN %I;', attname) FROM pg_attribute
		WHERE attrelid = 'streaming_layer.streaming_data'::regclass AND attnum > $1" | sql
}

# ---- peers ----

# peer NAME WHAT COUNT LEAST AIM
peer()
{
	local round per_second

	for ((round = 0; round < (rounds > 1 && $3 > 100000 ? 2 : 1); round++)); do
		sessions_table none
		sql -c CHECKPOINT
		"peer_$1" "$3"
		[ "$(sql -c "SELECT count(*) FROM streaming_layer.streaming_data")" -ge "$3" ] || die "$2: rows are missing"
		awk "BEGIN { printf \"%.0f\\n\", $3 / $peer_seconds }" >>"$scratch/peer.$1"
	done
	per_second=$(median <"$scratch/peer.$1")
	printf '%s\t%s\n' "$2" "$per_second" >>"$scratch/peers"
	row "$2" 'one worker, no index' \
		"$(awk "BEGIN { printf \"%.1f\", $(median <"$scratch/rate.none") / $per_second }") times ($per_second/s)" "$4" "$5"
}

# Messages that all peers can read: user_sessions has numbers that are strings.
part_peers()
{
	topic peers 1
	python3 "$top/examples/user_sessions/generate.py" "$count" 1 |
		sed -E 's/"(personal_number|session_duration|download_speed|upload_speed|consumed_traffic)": "([0-9]+)"/"\1": \2/g' |
		"$top/test/produce" -b "$bootstrap" -t peers -p 0 >/dev/null
	printf '%s\t%s\n' 'stream_ingest, one worker' "$(median <"$scratch/rate.none")" >"$scratch/peers"
	printf '%s\t%s\n' 'COPY of a local file' "$(median <"$scratch/copy.none")" >>"$scratch/peers"
	peer copy_loop 'confluent-kafka + COPY FROM STDIN, a loop tuned by hand' "$count" 5 7
	peer spark 'Spark Structured Streaming' "$((count / 2))" 6 8
	peer connect 'Kafka Connect, Debezium JDBC sink' "$((count / 4))" 15 20
	peer row_by_row 'kafka-python + psycopg2, one commit per row' "$((count / 50))" 110 ''
	python3 "$here/svg.py" bars <"$scratch/peers" >"$pictures/peers.svg"
}

# ---- all ----

bench_setup fsync=on autovacuum=off
if [ -n "$with_peers" ]; then
	peers_fetch
	peers_listen
fi
sessions_topic sessions 1 "$count"
wanted copy && part_copy none 'one worker, no index' 1.4 1.8
wanted key && part_copy key 'one worker, random uuid primary key' 1.15 1.3
wanted upsert && part_upsert
wanted apply && part_apply
wanted copy && part_processor
wanted workers && part_workers
wanted snapshot && part_snapshot
[ -n "$with_peers" ] && wanted peers && part_peers
wanted latency && part_latency
wanted memory && part_memory
wanted pictures && part_pictures

printf '\n| what | against | measured | at least | aim |\n|---|---|---|---|---|\n'
cat "$scratch/table"
