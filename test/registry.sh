#!/usr/bin/env bash
# A real schema registry (Apicurio Registry, in memory) for tests.
#
#   registry.sh jars        fetch the distribution (once), print its directory
#   registry.sh start DIR   start it, and wait until it answers
#   registry.sh stop DIR    SIGKILL, and wait
#
# DIR holds all that belongs to it: log and, while it runs, pid; DIR/address is its
# address.  Every start is empty, and ids begin with 1.
#
# Who may call it: anybody, also root.  It needs java and, for "jars", maven.  It
# listens on 127.0.0.1 only and outlives the caller: who starts it, stops it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

version=2.6.13.Final
artifact=apicurio-registry-app

usage()
{
	sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

# fetch DIR: the distribution into DIR.
fetch()
{
	MAVEN_OPTS="${MAVEN_OPTS:-} -Djava.io.tmpdir=$1/tmp -XX:-UsePerfData" \
		mvn -q -B -Dmaven.repo.local="$1/repository" \
		org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
		-Dartifact="io.apicurio:$artifact:$version:tar.gz:all" -DoutputDirectory="$1" >"$1/log" 2>&1
}

# Several may do so at once: the directory appears complete, by a rename.
jars()
{
	local dir new

	dir=$(cache_dir)/registry-$version
	if [ ! -d "$dir" ]; then
		say "fetching Apicurio Registry from Maven Central ..."
		new=$(mktemp -d "$(cache_dir)/new.XXXXXX")
		mkdir "$new/tmp" "$new/jars"
		# what came in a failed attempt is not fetched again
		fetch "$new" || fetch "$new" || fetch "$new" || {
			cat "$new/log" >&2
			rm -rf "$new"
			die "maven could not fetch Apicurio Registry"
		}
		tar -C "$new/jars" -xzf "$new/$artifact-$version-all.tar.gz"
		chmod -R a+rX "$new/jars"
		mv -T "$new/jars" "$dir" 2>/dev/null || [ -d "$dir" ]
		rm -rf "$new"
	fi
	printf '%s\n' "$dir"
}

# answers PORT: a registry does, and not another program that was faster.
answers()
{
	local status

	(
		exec 3<>"/dev/tcp/127.0.0.1/$1"
		printf 'GET /apis/registry/v2/system/info HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
		read -r -t 10 status <&3
		[[ $status = *' 200'* ]]
	) 2>/dev/null
}

answers_or_is_gone()
{
	process_gone "$2" || answers "$1"
}

# launch PORT: fails when it is not there after two minutes.
launch()
{
	local pid

	java "-Djava.io.tmpdir=$dir/tmp" -XX:-UsePerfData -Xmx192m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		-Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$1" \
		-jar "$libs/$artifact-$version-runner.jar" >"$dir/log" 2>&1 </dev/null &
	pid=$!
	printf '%s\n' "$pid" >"$dir/pid"
	printf '127.0.0.1:%s\n' "$1" >"$dir/address"
	poll 120 answers_or_is_gone "$1" "$pid" && ! process_gone "$pid" && return
	stop
	return 1
}

start()
{
	local libs

	libs=$(jars)
	mkdir -p "$dir/tmp"
	for _ in 1 2 3; do
		# most likely, if it fails, another process took the port
		launch "$(free_port)" && return
	done
	tail -n 20 "$dir/log" >&2
	die "Apicurio Registry did not start"
}

stop()
{
	local pid

	pid=$(cat "$dir/pid" 2>/dev/null) || return 0
	kill -KILL "$pid" 2>/dev/null || true
	poll 60 process_gone "$pid"
	rm -f "$dir/pid"
}

[ $# -ge 1 ] || usage
dir=${2:-}
case $1 in
	jars) jars ;;
	start | stop) [ -n "$dir" ] || usage; "$1" ;;
	*) usage ;;
esac
