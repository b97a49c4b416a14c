#!/usr/bin/env bash
# The TAP tests and the fuzzers at full length: run.sh's seeded short versions
# run the same files with smaller counts.
#
#   long.sh [FILE...]         all, or these TAP tests alone
#
# STREAM_INGEST_FULL=1 tells a test to use its full counts, such as 1,000,000
# messages of user_sessions with one worker and with three, hours of random
# kills, or 5,000,000 messages through a worker whose memory must stay flat.
# The decoders are fuzzed for an hour, and all tests run on a fresh Debian 13
# too.  Takes hours; everything else is as with run.sh.
set -euo pipefail

export STREAM_INGEST_FULL=1
export TEST_TIMEOUT=${TEST_TIMEOUT:-14400}
export FUZZ_SECONDS=${FUZZ_SECONDS:-3600}
here=$(dirname "${BASH_SOURCE[0]}")
status=0
if [ $# -eq 0 ]; then
	# a fresh machine at run.sh's own length
	env -u STREAM_INGEST_FULL -u TEST_TIMEOUT -u FUZZ_SECONDS bash "$here/fresh.sh" trixie || status=1
	bash "$here/run.sh" fuzz || status=1
fi
bash "$here/run.sh" tap "$@" || status=1
exit "$status"
