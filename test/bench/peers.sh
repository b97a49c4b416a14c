# The programs that people use for this work today, each at the best that we
# could find for it (their files in peers/ tell the settings).  Sourced by
# run.sh after workload.sh; not run by itself.
#
# peer_NAME COUNT reads COUNT messages of the topic "peers" into
# streaming_layer.streaming_data, which is empty, and sets peer_seconds: from
# the first rows that it has committed to the last, so that no start of a JVM
# or an interpreter counts.  Each run has a place for its offsets of its own.
# shellcheck shell=bash

peers_here=$here/peers

# ---- what they need ----

fetch_python()
{
	"$python" -m venv "$1"
	nice "$1/bin/python" -m pip install -q --no-compile --disable-pip-version-check -r "$peers_here/requirements.txt"
}

# fetch_jars POM DIR
fetch_jars()
{
	mkdir "$2/tmp"
	MAVEN_OPTS="${MAVEN_OPTS:-} -Djava.io.tmpdir=$2/tmp -XX:-UsePerfData" \
		mvn -q -B -f "$1" -Dmaven.repo.local="$2/repository" \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$2/jars"
	rm -rf "$2/repository" "$2/tmp"
}

# version_of FILE: another content, another directory of the cache
version_of()
{
	cksum <"$1" | cut -d' ' -f1
}

# peers_fetch: sets peers_python, connect_jars and spark_jars
peers_fetch()
{
	python=/usr/bin/python3
	need_packages "python3-venv: $python -c 'import ensurepip'"
	peers_python=$(cached_venv "bench-python-$(version_of "$peers_here/requirements.txt")" fetch_python)/bin/python
	connect_jars=$(cached "bench-connect-$(version_of "$peers_here/connect/pom.xml")" \
		fetch_jars "$peers_here/connect/pom.xml")/jars
	spark_jars=$(cached "bench-spark-$(version_of "$peers_here/spark/pom.xml")" \
		fetch_jars "$peers_here/spark/pom.xml")/jars
}

# peers_listen: they come by TCP
peers_listen()
{
	local port

	port=$(free_port)
	as_server_user "$("$PG_CONFIG" --bindir)/pg_ctl" -D "$scratch/data" -w -s -m fast \
		-o "-p $port -c listen_addresses=127.0.0.1" -l "$scratch/data.log" restart
	export PGPORT=$port
	jdbc_url="jdbc:postgresql://127.0.0.1:$port/postgres?reWriteBatchedInserts=true&stringtype=unspecified"
}

# ---- programs of Python: they tell their time ----

# peer_python PROGRAM COUNT
peer_python()
{
	peer_seconds=$("$peers_python" "$peers_here/$1.py" "$bootstrap" peers \
		"host=127.0.0.1 port=$PGPORT user=postgres dbname=postgres" "$2")
}

peer_row_by_row() { peer_python row_by_row "$1"; }
peer_copy_loop() { peer_python copy_loop "$1"; }

# ---- programs that run until they are killed ----

table_size()
{
	sql -c "SELECT pg_relation_size('streaming_layer.streaming_data')"
}

# The table's size costs nothing to look at, unlike its count: it has grown,
# and then has not for three seconds.
has_rows() { [ "$(table_size)" -gt 0 ]; }

# watch_table COUNT PID: sets peer_seconds
watch_table()
{
	local first last size new

	poll 180 has_rows || die "the peer has written nothing: $(tail -n 5 "$scratch/peer.log")"
	first=$(date +%s%3N)
	size=0
	last=$first
	while [ $(($(date +%s%3N) - last)) -lt 3000 ]; do
		process_gone "$2" && die "the peer has ended: $(tail -n 5 "$scratch/peer.log")"
		new=$(table_size)
		if [ "$new" -ne "$size" ]; then
			size=$new
			last=$(date +%s%3N)
		fi
		sleep 0.1
		# a long pause, for a collection of garbage or a checkpoint, is not the end
		[ $(($(date +%s%3N) - last)) -lt 3000 ] ||
			[ "$(sql -c "SELECT count(*) FROM streaming_layer.streaming_data")" -ge "$1" ] ||
			[ $(($(date +%s%3N) - last)) -gt 60000 ] || last=$((last + 1000))
	done
	peer_seconds=$(awk "BEGIN { print ($last - $first) / 1000 }")
}

# peer_process COUNT COMMAND...
peer_process()
{
	local pid count=$1

	shift
	"$@" >"$scratch/peer.log" 2>&1 &
	pid=$!
	watch_table "$count" "$pid"
	end_process TERM 20 "$pid" || end_process KILL 20 "$pid"
	wait "$pid" 2>/dev/null || true
}

# The converter's schema: JSON as Connect writes it, in one line.
connect_schema()
{
	"$peers_python" - "$peers_here" <<-'EOP'
		import json, sys
		sys.path.insert(0, sys.argv[1])
		from sessions import COLUMNS
		types = {"personal_number": "int64", "session_duration": "int32", "download_speed": "int32",
		         "upload_speed": "int32", "consumed_traffic": "int32"}
		print(json.dumps({"type": "struct", "fields": [
		    {"field": name, "type": types.get(name, "string"), "optional": False} for name in COLUMNS]}))
	EOP
}

peer_connect()
{
	local dir port

	dir=$(mktemp -d "$scratch/connect.XXXXXX")
	port=$(free_port)
	cat >"$dir/worker.properties" <<-EOF
		bootstrap.servers=$bootstrap
		listeners=http://127.0.0.1:$port
		offset.storage.file.filename=$dir/offsets
		key.converter=org.apache.kafka.connect.storage.StringConverter
		value.converter=org.apache.kafka.connect.json.JsonConverter
		connector.client.config.override.policy=All
		offset.flush.interval.ms=10000
		plugin.discovery=hybrid_warn
	EOF
	{
		cat "$peers_here/connect/sink.properties"
		printf '%s\n' "name=${dir##*/}" "topics=peers" "connection.url=$jdbc_url" "value.converter.schema.content=$(connect_schema)"
	} >"$dir/sink.properties"
	peer_process "$1" java "-Djava.io.tmpdir=$dir" -Xmx1g -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
		-cp "$connect_jars/*" org.apache.kafka.connect.cli.ConnectStandalone \
		"$dir/worker.properties" "$dir/sink.properties"
}

peer_spark()
{
	local dir

	dir=$(mktemp -d "$scratch/spark.XXXXXX")
	mkdir "$dir/tmp"
	peer_process "$1" env "SPARK_LOCAL_DIRS=$dir/tmp" "JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=$dir/tmp" \
		SPARK_LOCAL_IP=127.0.0.1 "PYSPARK_PYTHON=$peers_python" "$peers_python" "$peers_here/spark.py" \
		"$bootstrap" peers "$jdbc_url&user=postgres" "$dir/checkpoints" \
		"$(printf '%s\n' "$spark_jars"/*.jar | paste -s -d,)"
}
