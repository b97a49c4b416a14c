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

# The layers of src/.  A module may include headers of its own and of lower
# layers, without a circle.
layers='
stream_ingest 5
launcher 4
scanner 4
cleaner 4
worker 4
worker_internal 4
worker_status 4
worker_contact 4
worker_fetch 4
worker_apply 4
worker_limits 4
worker_run 4
functions 4
functions_produce 4
functions_decode 4
functions_look 4
functions_preview 4
functions_steer 4
functions_wait 4
subscription 4
arguments 4
views 4
ddl 4
functions_dead_letters 4
ingest 3
applier 3
plan 3
publisher 3
retry 3
preview 3
upcoming 3
isolate 3
catalog 2
former_group 2
progress 2
dead_letter 2
decoder 2
decode_json 2
json_scan 2
path_tree 2
decode_text 2
decode_raw 2
mapping 2
convert 2
datum 2
epoch 2
format 2
transcode 2
batch 2
statement 2
column_default 2
key 2
reduce 2
row_notes 2
tombstone 2
user_sql 2
writer 2
show 2
failure 2
event 2
position 3
session 2
settings 2
fixed_sql 2
look 2
visit 2
infer 2
consumer 1
helper 1
held 1
lookup 1
committer 1
trouble 1
consumer_values 1
producer 1
client 1
group 1
options 1
option_types 1
option_values 1
option_positions 1
document 1
server_options 1
slots 1
lock_wait 1
reason 0
bytes 1
guc 1
message 0
record 0
compat 0
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
	[ $# -lt 2 ] || grep -nE -- "$@" /dev/null || [ $? -eq 1 ]
}

sources=(src/*.[ch])
texts=(src/** test/** sql/** examples/** doc/** .ci/** Makefile *.control *.md .gitignore .editorconfig)
files=()
for file in "${texts[@]}"; do
	case $file in
		*.o | *.so | *.bc | src/exports.map | test/mock_broker | test/produce | test/kafka_admin | test/decoder_test | *.png | *.pyc) ;;
		*) [ ! -f "$file" ] || files+=("$file") ;;
	esac
done

# library and server versions, and rdkafka.h, in their places only
breach < <(for file in "${sources[@]}"; do
	[ "$file" = src/compat.h ] || matches '\b(PG_VERSION_NUM|RD_KAFKA_VERSION)\b' "$file"
	case $file in
		src/consumer.[ch] | src/helper.[ch] | src/held.[ch] | src/lookup.[ch] | src/committer.[ch] | src/trouble.[ch] | src/producer.[ch] | src/client.[ch] | src/group.[ch]) ;;
		*) matches '#[[:space:]]*include.*rdkafka' "$file" ;;
	esac
done | sed 's/$/   (not the place for this)/')

# nothing left for later; this file has to name what it looks for
breach < <(for file in "${files[@]}"; do
	[ "$file" = test/lint.sh ] || matches '\b(TODO|FIXME|XXX|HACK)\b' "$file"
done)

# white space at the end of a line (pg_regress's output cannot help it)
breach < <(matches '[[:space:]]$' "${files[@]}" | sed 's/$/   (white space at the end)/')

# no function longer than a screen
breach < <(awk 'FNR == 1 { start = 0 }
	/^\{/ { start = FNR }
	/^\}/ { if (start && FNR - start > 90) printf "%s:%d: function of %d lines\n", FILENAME, start, FNR - start; start = 0 }' \
	src/*.c /dev/null)

# the direction of includes
edges=$(for file in "${sources[@]}"; do
	module=$(basename "${file%.[ch]}")
	sed -n 's/^#[[:space:]]*include "\([a-z_]*\)\.h".*/'"$module"' \1/p' "$file"
done | sort -u)
breach < <(layers=$layers awk '
	BEGIN { n = split(ENVIRON["layers"], word); for (i = 1; i < n; i += 2) layer[word[i]] = word[i + 1] }
	NF { if (!($1 in layer)) { if (!seen[$1]++) print "src/" $1 ": no layer in test/lint.sh" }
	  else if ($2 in layer && layer[$2] > layer[$1]) print "src/" $1 ": includes " $2 ".h of a higher layer" }' <<<"$edges")
breach < <(awk 'NF && $1 != $2' <<<"$edges" | tsort 2>&1 >/dev/null | sed 's/^tsort: -: input contains a loop:/src: these modules include each other in a circle:/; s/^tsort: /    /')

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
