# Shared by the benchmarks; wants common.sh.  Not run by itself.

sql()
{
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# milliseconds COMMAND...: what it took
milliseconds()
{
	local began

	began=$(date +%s%3N)
	"$@" >/dev/null
	echo $(($(date +%s%3N) - began))
}

finish()
{
	local status=$?

	trap - EXIT
	remove_scratch
	exit "$status"
}

# consume SUBSCRIPTION: from its start to its topic's end
consume()
{
	sql -c "SELECT stream_ingest.enable('$1')" \
		-c "SELECT stream_ingest.wait_until_caught_up('$1', '30 min')"
}

# subscribe_as NAME TOPIC ARGUMENTS: not yet enabled
subscribe_as()
{
	sql -c "SELECT stream_ingest.create_subscription('$1', 'kafka', '$2', $3, enabled => false)" \
		-c CHECKPOINT >/dev/null
}

# subscribe TOPIC ARGUMENTS: of the name "bench", instead of the one before
subscribe()
{
	sql -c "SELECT stream_ingest.drop_subscription('bench', true)" >/dev/null 2>&1 || true
	subscribe_as bench "$1" "$2"
}

# worker_seconds: of the processor, that the workers' main threads have used
worker_seconds()
{
	local pid

	for pid in $(sql -c "SELECT pid FROM stream_ingest.status WHERE pid IS NOT NULL"); do
		awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$pid/task/$pid/stat"
	done | awk '{ s += $1 } END { print s }'
}

# topic NAME PARTITIONS
topic()
{
	"$top/test/kafka_admin" -b "$bootstrap" create "$1" "$2"
}

# bench_setup [setting=value...]: a server and a real broker of their own, with
# the extension and a foreign server "kafka".  Sets top, scratch and bootstrap.
bench_setup()
{
	need_build_packages
	need_packages 'python3: command -v python3' 'kcat: command -v kcat' \
		'default-jre-headless: command -v java' 'maven: command -v mvn'
	find_pg_config
	make_scratch
	trap finish EXIT
	trap 'exit 130' INT TERM
	share_cache
	top=$scratch/tree
	copy_tree "$top"
	private_server "$scratch/server"
	build_extension "$top"
	start_server "$scratch/data" shared_buffers=2GB max_wal_size=16GB "$@"
	"$top/test/kafka.sh" jars >/dev/null
	as_server_user "$top/test/kafka.sh" start "$scratch/kafka"
	bootstrap=$(cat "$scratch/kafka/bootstrap")
	sql -c "CREATE EXTENSION stream_ingest" \
		-c "CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers '$bootstrap')"
}
