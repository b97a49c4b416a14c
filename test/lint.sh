#!/usr/bin/env bash
# Rules of the house that no compiler checks.  Prints each breach as
# "file: what" and fails if there is any.
#
#   lint.sh [DIRECTORY]     of the source tree; default: the one it lies in
#
# The tree must be built: the library's symbols are looked at too.  Called by
# make lint and test/run.sh; needs binutils.
set -euo pipefail

cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"
shopt -s nullglob globstar

# The floors of src/ (src/README.md): a folder may include headers of its own
# and of lower floors.
floors='
common 1
format 2
kafka 2
options 3
shmem 3
catalog 4
apply 5
process 6
functions 7
'

breaches=0

# Takes breaches from its input, a line each.
breach()
{
	local line

	while IFS= read -r line; do
		[ -n "$line" ] || continue
		printf '%s\n' "$line"
		breaches=$((breaches + 1))
	done
}

# matches PATTERN FILE...: like grep, and no match is no failure.
matches()
{
	[ $# -lt 2 ] || grep -nIE -- "$@" /dev/null || [ $? -eq 1 ]
}

sources=(src/**/*.[ch])
texts=(src/** test/** sql/** examples/** doc/** .ci/** Makefile *.control *.md .gitignore .editorconfig)
files=()
for file in "${texts[@]}"; do
	case $file in
		*.o | *.so | *.bc | *.d | src/exports.map | test/mock_broker | test/produce | test/kafka_admin | test/ahead_test | test/decoder_test | test/instructions | *.png | *.pyc) ;;
		*) [ ! -f "$file" ] || files+=("$file") ;;
	esac
done

# library and server versions, and rdkafka.h, in their places only
breach < <(for file in "${sources[@]}"; do
	[ "$file" = src/common/compat.h ] || matches '\b(PG_VERSION_NUM|RD_KAFKA_VERSION)\b' "$file"
	case $file in
		src/kafka/*) ;;
		*) matches '#[[:space:]]*include.*rdkafka' "$file" ;;
	esac
done | sed 's/$/   (not the place for this)/')

# 18 renamed the server's word for it
breach < <(matches '\bpg_(attribute_)?noreturn\b' "${sources[@]}" | sed 's/$/   (write __attribute__((noreturn)))/')

# a thread writes these without a lock: what reads them needs a barrier
breach < <(for file in "${sources[@]}"; do
	[ "$file" = src/shmem/slots.c ] || matches 'pg_atomic_read_u64\(&\w+->(asked_at|low|high)\b' "$file"
done | sed 's/$/   (use si_slots_watermarks)/')

# nothing left for later; this file has to name what it looks for
breach < <(for file in "${files[@]}"; do
	[ "$file" = test/lint.sh ] || matches '\b(TODO|FIXME|XXX|HACK)\b' "$file"
done)

# PostgreSQL is the machine's, not that of one Debian suite
breach < <(matches 'postgresql-[1-9][0-9]|server-dev-[1-9][0-9]|postgresql/[1-9][0-9]' \
	$(printf '%s\n' "${files[@]}" | grep -E '^(test|examples|\.ci)/' | grep -vE '^test/(versions|lint\.sh$)') |
	sed 's/$/   (names one version of PostgreSQL)/')

# white space at the end of a line (pg_regress's output cannot help it)
breach < <(matches '[[:space:]]$' "${files[@]}" | sed 's/$/   (white space at the end)/')

# no function longer than a screen
breach < <(awk 'FNR == 1 { start = 0 }
	/^\{/ { start = FNR }
	/^\}/ { if (start && FNR - start > 90) printf "%s:%d: function of %d lines\n", FILENAME, start, FNR - start; start = 0 }' \
	src/*.c src/*/*.c /dev/null)

# the direction of includes, which are by the path below src/
breach < <(matches '^#[[:space:]]*include "[^"]*\.\./' src/*/*.[ch] | sed 's/$/   (included by a relative path)/')
edges=$(for file in src/*/*.[ch]; do
	module=${file#src/}
	sed -n 's,^#[[:space:]]*include "\([a-z]*/[a-z_0-9]*\)\.h".*,'"${module%.[ch]}"' \1,p' "$file"
done | while read -r module header; do
	[ ! -e "src/$header.h" ] || printf '%s %s\n' "$module" "$header"
done | sort -u)
breach < <(floors=$floors awk '
	BEGIN { n = split(ENVIRON["floors"], word); for (i = 1; i < n; i += 2) floor[word[i]] = word[i + 1] }
	{ from = $1; to = $2; sub("/.*", "", from); sub("/.*", "", to) }
	!(from in floor) { if (!seen[from]++) print "src/" from ": no floor in test/lint.sh" }
	from != to && floor[to] >= floor[from] { print "src/" $1 ": includes " $2 ".h, which is not on a lower floor" }' <<<"$edges")
breach < <(awk 'NF && $1 != $2' <<<"$edges" | tsort 2>&1 >/dev/null |
	sed 's/^tsort: -: input contains a loop:/src: these modules include each other in a circle:/; s/^tsort: /    /')

# what the library exports, and what it must not take from the server
if [ -e stream_ingest.so ]; then
	breach < <(nm -D --defined-only stream_ingest.so | awk '{ print $NF }' |
		grep -vE '^(_PG_init|Pg_magic_func|si_[a-z0-9_]+|pg_finfo_si_[a-z0-9_]+)$' |
		sed 's/^/stream_ingest.so: exports /')
	# the server exports a function of this name, which would be called instead of jansson's
	breach < <(nm -uD stream_ingest.so | awk '{ print $NF }' | grep -E '^json_object(@|$)' |
		sed 's/.*/stream_ingest.so: calls json_object(), which is the server'\''s/')
else
	breach <<<'stream_ingest.so: not built'
fi

[ "$breaches" -eq 0 ] || { echo "$breaches breaches"; exit 1; }
echo 'no breaches'
