# Programs that run beside a script and end with it.
#
# Sourced by scripts that run with "set -euo pipefail" and have sourced
# common.sh; these call end_children before they end.
# shellcheck shell=bash

children=()

# Starts a program as the server's user, whose end is this shell's business.
# background LOG COMMAND...; its process id is the last of children.
background()
{
	local log=$1 pid

	shift
	rm -f "$log.pid"
	as_server_user sh -c 'echo $$ >"$0"; exec "$@"' "$log.pid" "$@" </dev/null >"$log" 2>&1 &
	poll 10 test -s "$log.pid" || die "could not start $1"
	pid=$(cat "$log.pid")
	children+=("$pid")
}

# answers URL [PID]: it does, or the process has ended.
answers()
{
	curl -sf -o /dev/null --max-time 5 "$1" && return
	[ $# -gt 1 ] && process_gone "$2"
}

end_children()
{
	local pid

	for pid in "${children[@]}"; do
		end_process TERM 10 "$pid" || end_process KILL 10 "$pid" || true
	done
	children=()
}
