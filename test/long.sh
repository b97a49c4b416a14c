#!/usr/bin/env bash
# The TAP tests and the fuzzers at full length, the tests on fresh roots and
# with other versions of PostgreSQL, and the Debian packages.  run.sh's seeded short versions run
# the same files with smaller counts.
#
#   long.sh [PART...]         default: all parts
#   long.sh tap [FILE...]     the TAP tests, or these of them
#
# Parts: fresh (fresh.sh with Debian 13), versions (versions.sh), packages
# (packages.sh), demo (examples/demo.sh for a quarter of a minute), soak
# (soak.sh), fuzz, tap, paths (the SQL tests and the main TAP tests once by each
# path of a row: inserted directly or by a statement, decoded ahead in a thread
# or not).
#
# STREAM_INGEST_FULL=1 tells a test to use its full counts, such as 1,000,000
# messages of user_sessions with one worker and with three, hours of random
# kills, or 5,000,000 messages through a worker whose memory must stay flat; and
# the extension is the one that is installed, without assertions.
# The decoders are fuzzed for an hour; fresh and versions run the tests at
# run.sh's own length.  Takes hours; everything else is as with run.sh.
set -euo pipefail

export STREAM_INGEST_FULL=1
export TEST_TIMEOUT=${TEST_TIMEOUT:-14400}
export FUZZ_SECONDS=${FUZZ_SECONDS:-3600}
here=$(dirname "${BASH_SOURCE[0]}")
status=0

# at run.sh's own length
at_short_length()
{
	env -u STREAM_INGEST_FULL -u TEST_TIMEOUT -u FUZZ_SECONDS bash "$@"
}

# What a row's path could change: who decodes, and what writes.
path_tests=(030_chaos 040_fence 060_other_types 080_upsert_property 110_bad_messages
	120_passing 130_schema_changes 180_stop_at 200_failed_allocations 201_worker_errors
	225_large_messages 242_same_row 260_write_paths 261_decode_ahead)

run_paths()
{
	local direct ahead failed=0

	for direct in on off; do
		for ahead in on off; do
			export STREAM_INGEST_CONF="stream_ingest.direct_write=$direct stream_ingest.decode_ahead=$ahead"
			echo "$STREAM_INGEST_CONF"
			at_short_length "$here/run.sh" regress || failed=1
			at_short_length "$here/run.sh" tap "${path_tests[@]/%/.pl}" || failed=1
		done
	done
	unset STREAM_INGEST_CONF
	return "$failed"
}

run_part()
{
	case $1 in
		fresh) at_short_length "$here/fresh.sh" trixie ;;
		versions) at_short_length "$here/versions.sh" ;;
		packages) bash "$here/packages.sh" ;;
		demo) bash "$here/../examples/demo.sh" 15 ;;
		soak) at_short_length "$here/soak.sh" ;;
		fuzz) bash "$here/run.sh" fuzz ;;
		tap) ASSERTIONS="" bash "$here/run.sh" "$@" ;;
		paths) run_paths ;;
	esac
}

[ $# -gt 0 ] || set -- fresh versions packages demo soak fuzz tap paths
if [ "$1" = tap ]; then
	run_part "$@"
	exit
fi
for part in "$@"; do
	case $part in
		fresh | versions | packages | demo | soak | fuzz | tap | paths) ;;
		*) sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
	esac
done
for part in "$@"; do
	run_part "$part" || status=1
done
exit "$status"
