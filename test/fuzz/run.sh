#!/bin/sh
#
# Fuzz the decoders with libFuzzer, AddressSanitizer and UBSan.
#
#	test/fuzz/run.sh [SECONDS [FORMAT]]
#
# Every test/fuzz/decode_FORMAT_fuzz.c is built with the decoders' own sources,
# which need no server, and run for so many seconds (60) from the corpus in
# test/fuzz/corpus/FORMAT.  What it finds is left in a directory that is named
# at the end.  CLANG names the compiler.  Copies of the corpus grow, the
# committed one does not.

set -eu

seconds=${1:-60}
only=${2:-}
cd "$(dirname "$0")/../.."
if [ -z "${CLANG:-}" ]; then
	CLANG=$(command -v clang || ls /usr/bin/clang-[0-9]* | head -n 1)
fi
out=$(mktemp -d)
failed=0

for harness in test/fuzz/decode_*_fuzz.c; do
	format=$(basename "$harness" _fuzz.c)
	format=${format#decode_}
	if [ -n "$only" ] && [ "$format" != "$only" ]; then
		continue
	fi
	mkdir -p "$out/$format/corpus"
	"$CLANG" -g -O1 -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-Isrc "$harness" src/format/binary_text.c src/format/connect_*.c src/format/decimal.c src/format/decode*.c src/format/avro_*.c src/format/json_*.c src/format/proto_*.c \
		src/format/envelope*.c src/format/match_names.c src/format/path_tree.c src/format/schema_*.c src/common/schema_name.c \
		src/format/text_rest.c src/format/unavailable.c src/format/value_text.c -ljansson -lm \
		-o "$out/$format/fuzzer"
	echo "fuzzing $format for $seconds s"
	set --
	if [ -f "test/fuzz/corpus/$format.dict" ]; then
		set -- "-dict=test/fuzz/corpus/$format.dict"
	fi
	# a second's work takes ten where others have the processors
	if ! nice -n 19 "$out/$format/fuzzer" "-max_total_time=$seconds" \
		-max_len=4096 -timeout=60 -print_final_stats=1 -verbosity=1 \
		"-artifact_prefix=$out/$format/" "$@" \
		"$out/$format/corpus" "test/fuzz/corpus/$format" \
		> "$out/$format/log" 2>&1; then
		failed=1
		grep -aE 'FOUND|ERROR|runtime error|SUMMARY' "$out/$format/log" || :
		# a script that calls this one may remove its files
		for finding in "$out/$format"/crash-* "$out/$format"/timeout-* "$out/$format"/oom-*; do
			[ ! -e "$finding" ] || echo "base64 -d | gunzip: $(gzip -c "$finding" | base64 -w 0)"
		done
	fi
	grep -aE '^stat::(number_of_executed_units|average_exec)' \
		"$out/$format/log" || :
done

if [ "$failed" -ne 0 ]; then
	echo "findings are in $out" >&2
	exit 1
fi
rm -rf "$out"
