#!/usr/bin/env bash
# What an idle worker costs: processor time and wake-ups, of all its threads and by
# thread; memory, threads and connections.  Then how long a message takes to its row
# when the worker has nothing else to do: one message a second, each of which finds
# the worker idle.
#
#   idle.sh [WORKERS [SECONDS [MS...]]]
#
# 33 workers, watched for 60 s; with these values of fetch.wait.max.ms in turn, or
# with its default.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib/common.sh"
. "$here/bench.sh"

workers=${1:-33}
seconds=${2:-60}
waits=("${@:3}")
[ ${#waits[@]} -gt 0 ] || waits=('')

# A line for each thread of all workers: itself, its name, ns of processor time, wake-ups.
threads()
{
	local pid task name ns rest switches

	for pid in $pids; do
		for task in "/proc/$pid/task/"*; do
			name=$(<"$task/comm")
			read -r ns rest <"$task/schedstat"
			switches=$(sed -n 's/^voluntary_ctxt_switches:[[:space:]]*//p' "$task/status")
			printf '%s %s %s %s\n' "$task" "${name// /_}" "$ns" "$switches"
		done
	done
}

# What they took between two looks, per worker.
compare()
{
	join <(sort "$1") <(sort "$2") | awk -v n="$workers" -v s="$seconds" '
		function add(name)
		{
			cpu[name] += $6 - $3
			wakes[name] += $7 - $4
		}
		{ add($2); add("all threads") }
		END {
			for (name in cpu)
				printf "  %-16s %7.4f %% of a core %7.2f wake-ups/s\n", name,
					cpu[name] / s / n / 1e7, wakes[name] / s / n
		}' | sort
}

# A line for each worker: kB of its own memory, threads, connections.
sizes()
{
	local pid

	for pid in $pids; do
		printf '%s %s %s\n' "$(sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status")" \
			"$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)" \
			"$(find "/proc/$pid/fd" -lname 'socket:*' | wc -l)"
	done | awk '{ kb += $1; threads += $2; sockets += $3 }
		END {
			printf "  %.1f MB of its own, %.1f threads, %.1f connections\n",
				kb / NR / 1024, threads / NR, sockets / NR
		}'
}

all_stream()
{
	[ "$(sql -c "SELECT count(*) FROM stream_ingest.status WHERE state = 'streaming'")" -eq "$workers" ]
}

# measure MS: with new subscriptions
measure()
{
	local i

	for i in $(seq "$workers"); do
		sql -c "TRUNCATE t$i" \
			-c "SELECT stream_ingest.create_subscription('s$i', 'kafka', 't$i', 't$i',
					options => jsonb_strip_nulls(jsonb_build_object('start', 'latest', 'fetch.wait.max.ms', nullif('$1', '')::int)))" >/dev/null
	done
	poll 120 all_stream || die "not all workers stream"
	pids=$(sql -c "SELECT pid FROM stream_ingest.status")

	# what follows a start is over
	sleep 10
	threads >"$scratch/before"
	sleep "$seconds"
	threads >"$scratch/after"
	printf '%s idle workers%s, %s s; each:\n' "$workers" "${1:+, fetch.wait.max.ms $1}" "$seconds"
	compare "$scratch/before" "$scratch/after"
	sizes
	printf '  a message to an idle worker, p50 and p99: %s ms\n' \
		"$("$scratch/latency" "$bootstrap" t1 "host=$PGHOST port=$PGPORT dbname=postgres user=postgres" t1 1 "$seconds")"
	sql -c "SELECT stream_ingest.drop_subscription('s' || i) FROM generate_series(1, $workers) i" >/dev/null
}

bench_setup "stream_ingest.max_workers=$workers" "max_worker_processes=$((workers + 8))"
cc -O2 -Wall -o "$scratch/latency" "$here/latency.c" $(pkg-config --cflags --libs rdkafka) \
	"-I$("$PG_CONFIG" --includedir)" "-L$("$PG_CONFIG" --libdir)" -lpq -lpthread
for i in $(seq "$workers"); do
	topic "t$i" 1
	sql -c "CREATE TABLE t$i (id bigint PRIMARY KEY)"
done
for wait in "${waits[@]}"; do
	measure "$wait"
done
