#!/usr/bin/env bash
# How many instructions it takes to decode and convert one message of
# user_sessions: a number that does not depend on who else uses the machine.
#
#   instructions.sh      counts them by callgrind, and fails if they are more than
#                        a third above what they were
#
# Needs test/instructions (make test/instructions) and valgrind.  Compilers differ
# by a tenth.  A change that makes it faster lowers the figure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# per message, by gcc 12 on x86-64
usual=6300
most=$((usual * 4 / 3))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# count MESSAGES: instructions of the whole program
count()
{
	valgrind --tool=callgrind --vgdb=no --callgrind-out-file="$scratch/out" "$here/instructions" "$1" 2>"$scratch/log" ||
		{ cat "$scratch/log" >&2; exit 1; }
	sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p' "$scratch/log"
}

without=$(count 0)
with=$(count 20)
each=$(((with - without) / (20 * 100)))
echo "# $each instructions a message, $usual usually"
if [ "$each" -gt 0 ] && [ "$each" -le "$most" ]; then
	echo "ok 1 - at most $most instructions a message"
else
	echo "not ok 1 - at most $most instructions a message"
fi
echo "1..1"
[ "$each" -gt 0 ] && [ "$each" -le "$most" ]
