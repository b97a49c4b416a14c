#!/usr/bin/env bash
# Full load and random faults for 20 minutes, at the end of which every message must
# have been applied exactly once.
#
#   soak.sh [SECONDS]         default: 1200
#
# It is test/t/030_chaos.pl, whose short version is one of run.sh's tests: each fault
# once, which takes about a minute.  SEED repeats a run; the seed and each fault are
# printed.  Everything else is as with run.sh.
set -euo pipefail

seconds=${1:-1200}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
export SOAK=$seconds SEED=${SEED:-$RANDOM}
# what is behind when the faults end, and the comparison, take their time
export TEST_TIMEOUT=${TEST_TIMEOUT:-$((seconds * 2 + 1200))}
echo "SEED=$SEED SOAK=$SOAK"
exec bash "$(dirname "${BASH_SOURCE[0]}")/run.sh" tap 030_chaos.pl
