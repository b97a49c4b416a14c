#!/usr/bin/env bash
# Formats the C files as PostgreSQL's own: with pgindent, core's list of type
# names and ours.
#
#   indent.sh [FILE...]            change the files (all of src/ and test/)
#   indent.sh --check [FILE...]    say what would change, and fail if anything would
#
# For those who change the code, and for CI.  pgindent and pg_bsd_indent come
# from the source package of a PostgreSQL in a newer Debian suite, fetched by
# apt with a state of its own (no root), built once and kept in the cache.  The
# exit status is 3 when they cannot be had, and the last line says why: mirrors
# remove the source packages that their indexes name.  Called by make indent,
# make check-indent and test/run.sh; needs gcc, perl, bzip2 and the server's
# development files.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

# Tried one after the other.  Their pgindents do the same to this code.
sources=(17:trixie 18:forky 18:sid)

# Core files that pgindent must leave as they are; else we have built it wrong.
samples=(src/backend/replication/logical/launcher.c src/backend/executor/spi.c src/include/nodes/pg_list.h)

# fetch_source MAJOR SUITE: the source package into the current directory,
# whose subdirectory apt/ takes apt's files.
fetch_source()
{
	local mirror

	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
		sed -n 's/^URIs: *//p; s/^deb \(\[.*\] \)\?\([^ ]*\) .*/\2/p' | head -n 1)
	[ -n "$mirror" ] || die "apt has no Debian mirror"

	mkdir -p apt/lists/partial apt/cache/archives/partial
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" >apt/sources.list
	cat >apt/apt.conf <<-EOF
		Dir::Etc::SourceList "$PWD/apt/sources.list";
		Dir::Etc::SourceParts "-";
		Dir::State::Lists "$PWD/apt/lists";
		Dir::Cache "$PWD/apt/cache";
		APT::Sandbox::User "$(id -un)";
		Acquire::Check-Valid-Until "false";
	EOF
	export APT_CONFIG=$PWD/apt/apt.conf
	apt-get update -qq
	apt-get source -qq --download-only "postgresql-$1"
}

# build_tools MAJOR SUITE: builds in the current directory what the cache is to
# keep.
build_tools()
{
	local bsd

	fetch_source "$1" "$2"
	tar -xf postgresql-"$1"_*.orig.tar.* --strip-components=1 --wildcards \
		'*/src/tools/pgindent' '*/src/tools/pg_bsd_indent' "${samples[@]/#/*/}"
	bsd=src/tools/pg_bsd_indent
	find_pg_config
	[ -n "$PG_CONFIG" ] || die "no pg_config found"
	# a word that the headers of older servers do not have
	gcc -O2 -w -Dpg_noreturn=_Noreturn -o pg_bsd_indent "$bsd"/{args,err,indent,io,lexi,parse,pr_comment}.c \
		-I"$bsd" -I"$("$PG_CONFIG" --includedir-server)" \
		-L"$("$PG_CONFIG" --pkglibdir)" -L"$("$PG_CONFIG" --libdir)" -lpgcommon -lpgport -lm
	cp src/tools/pgindent/{pgindent,typedefs.list} .
	perl pgindent --indent="$PWD/pg_bsd_indent" --typedefs=typedefs.list --check --diff "${samples[@]}" ||
		die "the pgindent built here changes PostgreSQL's own files"
}

# try_source MAJOR SUITE DIR: builds beside DIR, and moves the tools to DIR, which
# is not there afterwards if that failed.  Not to be called where its result is
# tested: what runs there, "set -e" does not end, not even in the background.
try_source()
{
	local new=$3.$2

	mkdir "$new"
	(set -e; cd "$new"; build_tools "$1" "$2") >"$new.log" 2>&1 &
	wait $! || return 0
	mkdir "$3"
	mv "$new"/{pgindent,pg_bsd_indent,typedefs.list} "$3"
}

# Prints the directory with the tools, made if it is not there.
tools()
{
	local dir work source

	dir=$(cache_dir)/pgindent
	if [ ! -d "$dir" ]; then
		say "building pgindent ..."
		work=$(mktemp -d "$(cache_dir)/new.XXXXXX")
		for source in "${sources[@]}"; do
			try_source "${source%%:*}" "${source#*:}" "$work/tools"
			[ ! -d "$work/tools" ] || break
		done
		if [ ! -d "$work/tools" ]; then
			tail -n 20 "$work"/*.log >&2
			say "no pgindent: $(cause "$work"/*.log)"
			rm -rf "$work"
			exit 3
		fi
		mv -T "$work/tools" "$dir" 2>/dev/null || [ -d "$dir" ]
		rm -rf "$work"
	fi
	printf '%s\n' "$dir"
}

# cause LOG...: what stopped each attempt, in one line.
cause()
{
	local log

	for log in "$@"; do
		grep -E '^E: |rror' "$log" | head -n 1 || tail -n 1 "$log"
	done | sort -u | paste -sd' '
}

# Our own type names, and whatever else ends as a type of a library does.
our_typedefs()
{
	cat src/*.[ch] src/*/*.[ch] "${files[@]}" | grep -oE \
		-e '^typedef (struct|enum|union) [A-Za-z_0-9]+' \
		-e '^}[[:space:]]*[A-Za-z_0-9]+;' \
		-e '^typedef [^;(]*[[:space:]*][A-Za-z_0-9]+;' \
		-e '^typedef [^;]*\(\*[[:space:]]*[A-Za-z_0-9]+\)' \
		-e '\b[a-z_0-9]+_t\b' |
		sed -E 's/[;)]$//; s/.*[^A-Za-z_0-9]//' | sort -u
}

cd "$STREAM_INGEST_TOP"
options=()
case ${1:-} in
	--check) options=(--check --diff); shift ;;
	-*) sed -n 's/^#  //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
files=("$@")
[ $# -gt 0 ] || for file in src/*.[ch] src/*/*.[ch] test/*.c test/*/*.c; do
	[ ! -f "$file" ] || files+=("$file")
done
dir=$(tools)
list=$(mktemp)
# pg_bsd_indent leaves its backup behind where it cannot read a file
trap 'rm -f "$list" pgsrc*.BAK' EXIT
sort -u "$dir/typedefs.list" <(our_typedefs) >"$list"
# 3, its own word for a file that it cannot read, has another meaning here
perl "$dir/pgindent" --indent="$dir/pg_bsd_indent" --typedefs="$list" "${options[@]}" "${files[@]}" || exit 1
