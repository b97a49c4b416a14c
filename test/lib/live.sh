# What pgadmin.sh and exporter.sh have in common: a server and a real broker
# with a subscription through which messages flow all the time.
#
# Sourced by scripts that run with "set -euo pipefail" and have sourced
# common.sh.  On exit everything is gone; with KEEP=1 the scratch directory
# stays when something failed.
# shellcheck shell=bash
. "$STREAM_INGEST_TOP/test/lib/background.sh"

passed=0
failed=0

# verdict COMMAND...: runs a program that prints TAP lines, and counts them.
verdict()
{
	local log=$scratch/log.verdict status=0 good bad

	"$@" 2>&1 | tee "$log" || status=$?
	good=$(grep -cE '^ok [0-9]' "$log" || true)
	bad=$(grep -cE '^not ok [0-9]' "$log" || true)
	[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	[ $((good + bad)) -gt 0 ] || bad=1
	passed=$((passed + good))
	failed=$((failed + bad))
}

finish_live()
{
	local status=$?

	trap - EXIT
	rm -f "${scratch:-/nowhere}/feed"
	end_children
	wait
	if [ "$status" -ne 0 ] && [ -n "${KEEP:-}" ]; then
		stop_all
		say "kept: $scratch"
	else
		remove_scratch
	fi
	exit "$status"
}

sql()
{
	psql -X -v ON_ERROR_STOP=1 "$@"
}

# A broker with a second door for users with a password (SASL without TLS).
# Sets bootstrap and sasl_bootstrap.
start_kafka()
{
	local properties=$scratch/kafka/server.properties port

	as_server_user "$tree/test/kafka.sh" start "$scratch/kafka"
	as_server_user "$tree/test/kafka.sh" stop "$scratch/kafka"
	port=$(free_port)
	sed -i "s|^listeners=.*|&,SASL_PLAINTEXT://127.0.0.1:$port|
		s|^listener.security.protocol.map=.*|&,SASL_PLAINTEXT:SASL_PLAINTEXT|" "$properties"
	cat >>"$properties" <<-EOF
		sasl.enabled.mechanisms=PLAIN
		listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_shop="s3cret";
	EOF
	as_server_user "$tree/test/kafka.sh" start "$scratch/kafka"
	bootstrap=$(cat "$scratch/kafka/bootstrap")
	sasl_bootstrap=127.0.0.1:$port
}

# Sends some orders several times a second, as long as the file "feed" is there.
feed()
{
	local i=0 j

	while [ -e "$scratch/feed" ]; do
		for j in {1..60}; do
			printf '{"id": %d, "customer": "customer %d", "amount": %d.%02d, "placed": "2026-01-05T09:30:00Z"}\n' \
				$((60 * i + j)) $((j * 7 % 23)) $((j % 50)) $((i % 100))
		done | "$tree/test/produce" -b "$bootstrap" -t shop-orders -r 3 >/dev/null
		i=$((i + 1))
		sleep 0.2
	done
}

# start_live [setting=value...]: builds, starts all, and returns when the first
# messages are rows.  Sets tree and scratch; the database is "shop".
start_live()
{
	make_scratch
	trap finish_live EXIT
	trap 'exit 130' INT TERM
	share_cache
	tree=$scratch/tree
	say "building ..."
	copy_tree "$tree"
	private_server "$scratch/server"
	build_extension "$tree"
	"$tree/test/kafka.sh" jars >/dev/null
	say "starting a server and a broker ..."
	start_server "$scratch/data" timezone=UTC "$@"
	start_kafka
	"$tree/test/kafka_admin" -b "$bootstrap" create shop-orders 3
	sql -q -c 'CREATE DATABASE shop'
	export PGDATABASE=shop
	sql -q -v bootstrap="$sasl_bootstrap" -o /dev/null <<-'EOF'
		CREATE EXTENSION stream_ingest;
		CREATE ROLE shop LOGIN;
		GRANT CREATE ON SCHEMA public TO shop;
		CREATE SERVER kafka FOREIGN DATA WRAPPER stream_ingest
		  OPTIONS (bootstrap_servers :'bootstrap', security_protocol 'SASL_PLAINTEXT', sasl_mechanism 'PLAIN');
		CREATE USER MAPPING FOR shop SERVER kafka OPTIONS (sasl_username 'shop', sasl_password 's3cret');
		GRANT USAGE ON FOREIGN SERVER kafka TO shop;
		SET ROLE shop;
		CREATE TABLE orders (id bigint, customer text, amount numeric, placed timestamptz);
		SELECT stream_ingest.create_subscription('orders', 'kafka', 'shop-orders', 'orders');
	EOF
	: >"$scratch/feed"
	feed &
	poll 60 rows_arrive || die "no messages become rows: $(sql -x -c 'TABLE stream_ingest.status')"
}

rows_arrive()
{
	[ "$(sql -At -c 'SELECT count(*) > 0 FROM orders')" = t ]
}

# Packages of all scripts of this kind.
need_live_packages()
{
	need_build_packages
	need_packages \
		'kcat: command -v kcat' \
		'default-jre-headless: command -v java' \
		'maven: command -v mvn' \
		'curl: command -v curl' \
		"$@"
}

finish_counting()
{
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}
