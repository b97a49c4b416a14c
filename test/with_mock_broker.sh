#!/usr/bin/env bash
# Runs a command beside librdkafka's embedded broker, which ends with it.
#
#   with_mock_broker.sh COMMAND [ARG...]
#
# The command finds in its environment
#   STREAM_INGEST_BOOTSTRAP   the broker's address
#   STREAM_INGEST_MOCK        where "test/mock_broker -c" sends its commands
#   STREAM_INGEST_TESTS       the directory of the tests' programs
# and gives the exit status.  Used by "make installcheck", test/run.sh and the
# quickstart; needs test/mock_broker (make test-programs).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

dir=$(mktemp -d "${TMPDIR:-/tmp}/mock_broker.XXXXXX")

finish()
{
	kill "$broker" 2>/dev/null || true
	wait "$broker" 2>/dev/null || true
	rm -rf "$dir"
}

export STREAM_INGEST_TESTS=$STREAM_INGEST_TOP/test
start_mock_broker "$dir"
broker=$!
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@"
