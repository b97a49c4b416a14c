#!/usr/bin/env bash
# A real Kafka broker (one node, KRaft) for tests, benchmarks and examples.
#
#   kafka.sh jars                              fetch the jars (once), print their directory
#   kafka.sh start DIR [server.properties line...]
#   kafka.sh stop DIR                          SIGTERM, and wait
#   kafka.sh kill DIR                          SIGKILL, and wait
#   kafka.sh topic DIR create NAME PARTITIONS [config=value...]
#   kafka.sh topic DIR delete NAME
#   kafka.sh topic DIR partitions NAME COUNT
#   kafka.sh tool DIR CLASS [ARG...]           any class of the jars, e.g. kafka.tools.StorageTool
#
# DIR holds all that belongs to one broker: server.properties, data/, log, and
# while it runs pid; DIR/bootstrap is its address.  The first start formats the
# node and picks free ports; the lines given then are appended to
# server.properties.  A start after stop or kill keeps data and ports.
# "start" returns when the broker has answered a metadata request.
# KAFKA_VERSION chooses another version than that in pom.xml.
#
# Who may call it: anybody, also root.  It needs java, kcat and, for "jars",
# maven; "topic" needs test/kafka_admin (make test-programs).  The broker
# listens on 127.0.0.1 only and outlives the caller: who starts it, stops it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

here=$STREAM_INGEST_TOP/test

usage()
{
	sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

# fetch DIR: the jars into DIR/jars.
fetch()
{
	MAVEN_OPTS="${MAVEN_OPTS:-} -Djava.io.tmpdir=$1/tmp -XX:-UsePerfData" \
		mvn -q -B -f "$here/pom.xml" -Dmaven.repo.local="$1/repository" \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
		${KAFKA_VERSION:+"-Dkafka.version=$KAFKA_VERSION"} \
		-DincludeScope=runtime -DoutputDirectory="$1/jars" >"$1/log" 2>&1
}

# Fetches the jars unless they are there, and prints their directory.  Several
# may do so at once: the directory appears complete, by a rename.
jars()
{
	local dir new

	# another pom, another directory
	dir=$(cache_dir)/kafka-$(cksum <"$here/pom.xml" | cut -d' ' -f1)${KAFKA_VERSION:+-$KAFKA_VERSION}
	if [ ! -d "$dir" ]; then
		say "fetching Kafka from Maven Central ..."
		new=$(mktemp -d "$(cache_dir)/new.XXXXXX")
		mkdir "$new/tmp"
		# what came in a failed attempt is not fetched again
		fetch "$new" || fetch "$new" || fetch "$new" || {
			cat "$new/log" >&2
			rm -rf "$new"
			die "maven could not fetch Kafka"
		}
		chmod -R a+rX "$new/jars"
		mv -T "$new/jars" "$dir" 2>/dev/null || [ -d "$dir" ]
		rm -rf "$new"
		train "$dir"
	fi
	printf '%s\n' "$dir"
}

# Runs a broker once so that the JVM writes an archive of its loaded classes
# beside the jars: every later start then takes 1 s less.  It need not succeed.
train()
{
	local libs=$1 scratch

	scratch=$(mktemp -d "$(cache_dir)/new.XXXXXX")
	if (dir=$scratch archive=-XX:ArchiveClassesAtExit=$scratch/classes.jsa
		export archive
		start && finish TERM) >/dev/null 2>&1; then
		mv "$scratch/classes.jsa" "$libs/" 2>/dev/null || true
	fi
	rm -rf "$scratch"
}

# run_java LOGLEVEL CLASS ARG...: replaces the shell.  Leaves nothing in /tmp:
# the libraries that Kafka unpacks go to the broker's directory, and the JVM's
# statistics nowhere.
run_java()
{
	local level=$1

	shift
	mkdir -p "$dir/tmp"
	exec java "-Djava.io.tmpdir=$dir/tmp" -XX:-UsePerfData -Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		"${archive:--XX:SharedArchiveFile=$libs/classes.jsa}" -Xshare:auto -Xlog:disable \
		-Dorg.slf4j.simpleLogger.defaultLogLevel="$level" -cp "$libs/*" "$@"
}

# A broker that a test can start in two seconds and 160 MB.
write_properties()
{
	local port controller

	port=$(free_port)
	controller=$(free_port)
	cat >"$dir/server.properties" <<-EOF
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$controller
		listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
		controller.listener.names=CONTROLLER
		listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
		log.dirs=$dir/data
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		transaction.state.log.num.partitions=1
		group.initial.rebalance.delay.ms=0
		auto.create.topics.enable=false
		message.max.bytes=10485760
		# a killed broker comes back only when the session of its former life is over
		broker.session.timeout.ms=2000
		broker.heartbeat.interval.ms=500
		# without this the cleaner alone wants more memory than the JVM has
		log.cleaner.dedupe.buffer.size=4194304
		# deletion and compaction within a test's patience
		log.cleaner.backoff.ms=200
		log.initial.task.delay.ms=500
		log.retention.check.interval.ms=1000
		file.delete.delay.ms=100
	EOF
	printf '%s\n' "$@" >>"$dir/server.properties"
	printf '127.0.0.1:%s\n' "$port" >"$dir/bootstrap"
}

format()
{
	local id

	# a random UUID as Kafka writes it; "a" keeps it from looking like an option
	id=a$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)
	rm -rf "$dir/data"
	(run_java error kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties") >"$dir/log" 2>&1
}

answers_or_is_gone()
{
	process_gone "$1" && return
	! port_is_free "${bootstrap##*:}" &&
		kcat -b "$bootstrap" -L -m 2 >/dev/null 2>&1
}

# Starts the formatted broker; fails when it is not there after a minute.
launch()
{
	local bootstrap pid

	bootstrap=$(cat "$dir/bootstrap")
	# its own session: an interrupt at the caller's terminal is not for it
	setsid "${BASH_SOURCE[0]}" serve "$dir" </dev/null >>"$dir/log" 2>&1 &
	pid=$!
	echo "$pid" >"$dir/pid"
	if poll 60 answers_or_is_gone "$pid" && ! process_gone "$pid"; then
		return
	fi
	kill -9 "$pid" 2>/dev/null || true
	rm -f "$dir/pid"
	return 1
}

start()
{
	local fresh=

	[ ! -e "$dir/pid" ] || process_gone "$(cat "$dir/pid")" || die "a broker is running in $dir"
	[ -e "$dir/server.properties" ] || fresh=1
	for _ in 1 2 3 4 5; do
		if [ -n "$fresh" ]; then
			write_properties "$@"
			format || break
		fi
		launch && return
		# most likely another process took the port: try others, while no client knows ours
	done
	[ -z "$fresh" ] || rm -f "$dir/server.properties"
	tail -n 20 "$dir/log" >&2
	die "the broker in $dir did not start"
}

# finish SIGNAL
finish()
{
	[ -e "$dir/pid" ] || return 0
	if ! end_process "$1" 60 "$(cat "$dir/pid")"; then
		end_process KILL 10 "$(cat "$dir/pid")" || true
		say "the broker in $dir did not stop; killed"
	fi
	rm -f "$dir/pid"
}

[ $# -ge 1 ] || usage
command=$1
shift
if [ "$command" = jars ]; then
	jars
	exit
fi
[ $# -ge 1 ] || usage
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
case $command in
	start)
		libs=$(jars)
		start "$@"
		;;
	serve)
		libs=$(jars)
		run_java warn kafka.Kafka "$dir/server.properties"
		;;
	stop) finish TERM ;;
	kill) finish KILL ;;
	topic)
		[ $# -ge 2 ] || usage
		exec "$here/kafka_admin" -b "$(cat "$dir/bootstrap")" "$@"
		;;
	tool)
		[ $# -ge 1 ] || usage
		libs=$(jars)
		run_java error "$@"
		;;
	*) usage ;;
esac
