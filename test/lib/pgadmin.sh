# pgAdmin 4 from PyPI (530 MB, into the cache), for pgadmin.sh and the demo.
#
# Sourced by scripts that run with "set -euo pipefail" and have sourced
# common.sh and background.sh; venv is where fetch_pgadmin put it.
# shellcheck shell=bash

pgadmin_version=9.18

# Not one that only the caller can run: servers have a user of their own.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3 || echo python3)

fetch_pgadmin()
{
	"$python" -m venv "$1" &&
		nice "$1/bin/python" -m pip install -q --no-compile --disable-pip-version-check "pgadmin4==$pgadmin_version"
}

# configure_pgadmin NAME DATABASE True|False: pgAdmin with a database of its own,
# in which the server is registered by this name, and reached by its socket;
# with users who log in, or without.  It finds the file that PYTHONPATH leads to.
# Without users it wants a key in its address, since any user of the machine
# reaches it, and with it our server's superuser.
configure_pgadmin()
{
	local user=() passfile=

	key=
	[ "$3" = False ] || user=(--user "$PGADMIN_SETUP_EMAIL")
	programs=$(echo "$venv"/lib/python3*/site-packages/pgadmin4)
	pgadmin=(env HOME="$scratch" PYTHONPATH="$scratch/pgadmin" PYTHONDONTWRITEBYTECODE=1
		"$venv/bin/python" -W ignore)
	mkdir "$scratch/pgadmin"
	if [ "$3" = False ]; then
		# any, since the server trusts: without one pgAdmin asks
		passfile=", \"passfile\": \"$scratch/pgadmin/pgpass\""
		(umask 077 && echo '*:*:*:*:any' >"$scratch/pgadmin/pgpass")
		key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	fi
	(umask 077 && : >"$scratch/pgadmin/config_local.py")
	cat >"$scratch/pgadmin/config_local.py" <<-EOF
		import os
		os.environ.update({'PGADMIN_INT_KEY': '$key'} if '$key' else {})
		DATA_DIR = '$scratch/pgadmin'
		LOG_FILE = DATA_DIR + '/pgadmin4.log'
		SQLITE_PATH = DATA_DIR + '/pgadmin4.db'
		SESSION_DB_PATH = DATA_DIR + '/sessions'
		STORAGE_DIR = DATA_DIR + '/storage'
		AZURE_CREDENTIAL_CACHE_DIR = DATA_DIR + '/azure'
		KERBEROS_CCACHE_DIR = DATA_DIR + '/kerberos'
		SERVER_MODE = $3
		MASTER_PASSWORD_REQUIRED = False
		USE_OS_SECRET_STORAGE = False
		# nothing of all this needs a network
		UPGRADE_CHECK_ENABLED = False
		SHOW_GRAVATAR_IMAGE = False
		DEFAULT_SERVER = '127.0.0.1'
		DEFAULT_SERVER_PORT = 0
	EOF
	cat >"$scratch/servers.json" <<-EOF
		{"Servers": {"1": {"Name": "$1", "Group": "Servers", "Host": "$PGHOST", "Port": $PGPORT,
		 "MaintenanceDB": "$2", "Username": "$PGUSER",
		 "ConnectionParameters": {"sslmode": "prefer", "connect_timeout": 10$passfile}}}}
	EOF
	chown -R "$server_user" "$scratch/pgadmin"
	as_server_user "${pgadmin[@]}" "$programs/setup.py" setup-db >"$scratch/log.setup" 2>&1 &&
		as_server_user "${pgadmin[@]}" "$programs/setup.py" load-servers "$scratch/servers.json" \
			"${user[@]}" >>"$scratch/log.setup" 2>&1
}

# Sets url, with the key if it wants one, or fails.
start_pgadmin()
{
	local port pid

	for _ in 1 2 3; do
		port=$(free_port)
		sed -i "s/^DEFAULT_SERVER_PORT = .*/DEFAULT_SERVER_PORT = $port/" "$scratch/pgadmin/config_local.py"
		url=http://127.0.0.1:$port
		background "$scratch/log.pgadmin" "${pgadmin[@]}" "$programs/pgAdmin4.py"
		pid=${children[-1]}
		poll 120 answers "$url/misc/ping${key:+?key=$key}" "$pid" || break
		! process_gone "$pid" || continue
		url=$url${key:+/?key=$key}
		return
	done
	return 1
}
