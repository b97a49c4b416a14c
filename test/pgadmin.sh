#!/usr/bin/env bash
# The extension as pgAdmin shows it: a real pgAdmin 4, driven in a headless
# Chromium, logs in, looks at all objects of the extension in its tree and
# opens its views, while messages flow (see pgadmin.js).
#
#   pgadmin.sh [PICTURE]    PICTURE: where to write the picture of the manual
#
# A script of its own beside run.sh, because of what it fetches: Debian's
# chromium, npm and pngquant, pgAdmin from PyPI (530 MB) and playwright-core
# from npm, the latter two into the cache.  Like run.sh it needs root or sudo only for
# packages that are missing, runs servers (and the browser) as user postgres
# when root calls it, and leaves nothing behind but packages and the cache.
#
# The last line is "N passed, N failed".  KEEP=1 keeps the scratch directory,
# with a picture of the page, when something failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$STREAM_INGEST_TOP/test/lib/live.sh"
. "$STREAM_INGEST_TOP/test/lib/pgadmin.sh"

playwright_version=1.65.1

fetch_playwright()
{
	npm install --silent --no-audit --no-fund --prefix "$1" "playwright-core@$playwright_version"
}

# What the server says of the objects that pgAdmin is to show.
write_expected()
{
	sql -At -v bootstrap="$sasl_bootstrap" >"$1" <<-'EOF'
		SELECT jsonb_build_object(
		  'bootstrap', :'bootstrap',
		  'schema', obj_description('stream_ingest'::regnamespace, 'pg_namespace'),
		  'extension', (SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'stream_ingest'),
		  'wrapper', (SELECT obj_description(oid, 'pg_foreign_data_wrapper') FROM pg_foreign_data_wrapper
		               WHERE fdwname = 'stream_ingest'),
		  'functions', (SELECT jsonb_agg(jsonb_build_object(
		                         'signature', format('%s(%s)', proname, pg_get_function_identity_arguments(oid)),
		                         'comment', obj_description(oid, 'pg_proc')) ORDER BY proname, pg_get_function_identity_arguments(oid) COLLATE "C")
		                  FROM pg_proc
		                 WHERE pronamespace = 'stream_ingest'::regnamespace AND prorettype <> 'trigger'::regtype),
		  'views', (SELECT jsonb_agg(jsonb_build_object(
		                     'name', relname, 'comment', obj_description(c.oid, 'pg_class'),
		                     'rows', CASE relname WHEN 'offsets' THEN 3 WHEN 'gaps' THEN 0 WHEN 'dead_letters' THEN 0 ELSE 1 END,
		                     'columns', (SELECT jsonb_agg(jsonb_build_object(
		                                          'name', attname, 'type', format_type(atttypid, atttypmod),
		                                          'comment', col_description(c.oid, attnum)) ORDER BY attnum)
		                                   FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)) ORDER BY relname)
		              FROM pg_class c WHERE relnamespace = 'stream_ingest'::regnamespace AND relkind = 'v'))
	EOF
}

need_live_packages \
	"python3-venv: $python -c 'import ensurepip'" \
	'chromium: command -v chromium' \
	'nodejs: command -v node' \
	'npm: command -v npm' \
	'pngquant: command -v pngquant'
share_cache
venv=$(cached_venv "pgadmin4-$pgadmin_version" fetch_pgadmin)
modules=$(cached "playwright-core-$playwright_version" fetch_playwright)
start_live

export PGADMIN_SETUP_EMAIL=dba@example.com PGADMIN_SETUP_PASSWORD=opensesame
say "starting pgAdmin ..."
mkdir "$scratch/pictures"
chown "$server_user" "$scratch/pictures"
configure_pgadmin production shop True || { cat "$scratch/log.setup" >&2; die "pgAdmin could not be set up"; }
start_pgadmin || { tail -n 20 "$scratch/log.pgadmin" >&2; die "pgAdmin did not start"; }
write_expected "$scratch/expected.json"
verdict as_server_user env HOME="$scratch" TMPDIR="$scratch/pictures" NODE_PATH="$modules/node_modules" \
	PGADMIN_URL="$url" PGADMIN_EMAIL="$PGADMIN_SETUP_EMAIL" PGADMIN_PASSWORD="$PGADMIN_SETUP_PASSWORD" \
	PGADMIN_DATABASE=shop PGADMIN_EXPECTED="$scratch/expected.json" PGADMIN_PICTURES="$scratch/pictures" \
	CHROMIUM="$(command -v chromium)" \
	timeout -k 10 "${TEST_TIMEOUT:-900}" node "$tree/test/pgadmin.js"
[ $# -eq 0 ] || pngquant --strip --force --output "$1" 128 "$scratch/pictures/pgadmin.png"
finish_counting
