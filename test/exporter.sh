#!/usr/bin/env bash
# The extension as Prometheus sees it: the real postgres_exporter, as a role
# that is a member of pg_monitor and nothing else, with the queries of
# examples/monitoring/queries.yaml.  What it exports must be what the views
# show; promtool checks that and the alerts, whose tests are in alerts_test.yaml;
# and a Prometheus answers each query of the dashboard (dashboard.py).
#
#   exporter.sh
#
# A script of its own beside run.sh, because of what it fetches: Debian's
# packages of Prometheus and the exporter, which are unpacked in the cache and
# not installed.  Root or sudo is needed only for packages that are missing.
#
# The last line is "N passed, N failed".  KEEP=1 keeps the scratch directory
# when something failed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
. "$STREAM_INGEST_TOP/test/lib/live.sh"
. "$STREAM_INGEST_TOP/test/lib/same.sh"

monitoring=$STREAM_INGEST_TOP/examples/monitoring

fetch_prometheus()
{
	local package

	cd "$1"
	for package in prometheus prometheus-postgres-exporter; do
		apt-get download "$package" || { update_indexes && apt-get download "$package"; }
	done
	for package in ./*.deb; do
		dpkg-deb -x "$package" . && rm "$package"
	done
}

# The metrics as they are now, with the labels in the order of their names.
scrape()
{
	curl -sf --max-time 20 "$url/metrics" | grep '^stream_ingest_' | sort
}

# metrics QUERY: the same lines, made of what the views show.
metrics()
{
	sql -At -c "SET extra_float_digits = 1" -c "$1" | grep -v '^SET$' | sort
}

# check NAME COMMAND...
check()
{
	local name=$1 status=0

	shift
	"$@" >"$scratch/log.check" 2>&1 || status=$?
	same "$name" 0 "$status"
	[ "$status" -eq 0 ] || sed 's/^/# /' "$scratch/log.check"
}

has_begun()
{
	[ "$(sql -At -c "SELECT state FROM stream_ingest.status WHERE name = 'gone'")" = streaming ]
}

# Beside the one that streams: one that has dead letters and a gap, one that
# is stopped, one that is disabled, one whose broker is not there.
make_trouble()
{
	local admin=("$tree/test/kafka_admin" -b "$bootstrap")

	"${admin[@]}" create trouble 1
	sql -q -o /dev/null -v nowhere="127.0.0.1:$(free_port)" <<-'EOF'
		CREATE SERVER nowhere FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'nowhere');
		GRANT USAGE ON FOREIGN SERVER nowhere TO shop;
		SET ROLE shop;
		CREATE TABLE trouble (id bigint);
		SELECT stream_ingest.create_subscription('gone', 'kafka', 'trouble', 'trouble', options => '{"on_gap": "continue"}');
		SELECT stream_ingest.create_subscription('unheard', 'nowhere', 'trouble', 'trouble');
		SELECT stream_ingest.create_subscription('resting', 'kafka', 'trouble', 'trouble', enabled => false);
	EOF
	poll 60 has_begun || die 'the subscription "gone" does not begin'
	sql -q -o /dev/null -c "SELECT stream_ingest.disable('gone')"
	printf '{"id": %s}\n' 1 2 3 4 5 6 '"seven"' '"eight"' 9 |
		"$tree/test/produce" -b "$bootstrap" -t trouble -p 0 >/dev/null
	"${admin[@]}" delete-records trouble 0 3
	sql -q -o /dev/null -c "SELECT stream_ingest.enable('gone')" -c "SET ROLE shop" -c "
		SELECT stream_ingest.create_subscription('halted', 'kafka', 'trouble', 'trouble', options => '{\"on_error\": \"stop\"}')"
}

# Nothing moves any more, so that the views can be compared with a scrape.
all_is_quiet()
{
	[ "$(sql -At <<-'EOF'
		SELECT (SELECT state FROM stream_ingest.status WHERE name = 'halted') = 'stopped'
		   AND (SELECT state FROM stream_ingest.status WHERE name = 'gone') = 'streaming'
		   AND (SELECT dead_letters FROM stream_ingest.counts WHERE name = 'gone') = 2
		   AND (SELECT max(messages_per_second) FROM stream_ingest.status WHERE name IN ('orders', 'gone')) = 0
		   AND (SELECT bool_and(lag = 0) FROM stream_ingest.offsets WHERE name IN ('orders', 'gone'))
	EOF
	)" = t ]
}

start_exporter()
{
	local port pid

	for _ in 1 2 3; do
		port=$(free_port)
		url=http://127.0.0.1:$port
		background "$scratch/log.exporter" env \
			DATA_SOURCE_NAME="host=$PGHOST port=$PGPORT user=exporter dbname=shop sslmode=disable" \
			"$programs/usr/bin/prometheus-postgres-exporter" --web.listen-address="127.0.0.1:$port" \
			--extend.query-path="$tree/examples/monitoring/queries.yaml" \
			--disable-default-metrics --disable-settings-metrics
		pid=${children[-1]}
		poll 60 answers "$url/metrics" "$pid" || break
		! process_gone "$pid" || continue
		return
	done
	tail -n 20 "$scratch/log.exporter" >&2
	die "the exporter did not start"
}

# A Prometheus that reads the exporter every second; sets prometheus.
start_prometheus()
{
	local port pid

	as_server_user mkdir "$scratch/prometheus"
	printf '%s\n' 'scrape_configs:' ' - job_name: stream_ingest' '   scrape_interval: 1s' \
		"   static_configs: [{targets: ['${url#http://}']}]" >"$scratch/prometheus.yaml"
	for _ in 1 2 3; do
		port=$(free_port)
		prometheus=http://127.0.0.1:$port
		background "$scratch/log.prometheus" "$programs/usr/bin/prometheus" --config.file="$scratch/prometheus.yaml" \
			--storage.tsdb.path="$scratch/prometheus" --web.listen-address="127.0.0.1:$port"
		pid=${children[-1]}
		poll 60 answers "$prometheus/-/ready" "$pid" || break
		! process_gone "$pid" || continue
		return
	done
	tail -n 20 "$scratch/log.prometheus" >&2
	die "Prometheus did not start"
}

# How many messages of the subscription "orders" are exported.
messages()
{
	scrape | sed -n 's/^stream_ingest_counts_messages_total{.*name="orders".*} //p'
}

more_than()
{
	[ "$(messages)" -gt "$1" ] 2>/dev/null
}

# look METRIC QUERY: sets shown to what the query makes of the views, and exported to
# the metric's lines, name and value; fails unless they are the same.
look()
{
	shown=$(metrics "$2")
	exported=$(scrape | grep "^$1{" | sed 's/,server="[^"]*"//' || true)
	[ "$shown" = "$exported" ]
}

# compare NAME METRIC QUERY: they are, as soon as nothing changes between the two.
compare()
{
	poll 30 look "$2" "$3" || true
	same "$1" "$shown" "$exported"
}

need_live_packages 'python3: command -v python3'
share_cache
programs=$(cached prometheus fetch_prometheus)
promtool=$programs/usr/bin/promtool
start_live
make_trouble
sql -q -c 'CREATE ROLE exporter LOGIN' -c 'GRANT pg_monitor TO exporter'
start_exporter

poll 60 more_than 0 || die "no count of messages is exported"
first=$(messages)
poll 60 more_than "$first" || true
same 'the count of messages grows' t "$(more_than "$first" && echo t || echo f)"

start_prometheus
verdict python3 "$tree/test/dashboard.py" "$prometheus" "$tree/examples/monitoring/dashboard.json"

rm "$scratch/feed"
poll 90 all_is_quiet || die "it does not come to rest: $(sql -x -c 'TABLE stream_ingest.status')"
compare 'states' stream_ingest_status_workers "
	SELECT format('stream_ingest_status_workers{datname=\"shop\",name=\"%s\",state=\"%s\"} 1', name, state)
	  FROM stream_ingest.status"
compare 'counts: dead letters' stream_ingest_counts_dead_letters "
	SELECT format('stream_ingest_counts_dead_letters{datname=\"shop\",name=\"%s\"} %s', name, dead_letters)
	  FROM stream_ingest.counts"
for column in messages bytes applied ignored gap_messages; do
	compare "counts: $column" "stream_ingest_counts_${column}_total" "
		SELECT format('stream_ingest_counts_${column}_total{datname=\"shop\",name=\"%s\"} %s', name, $column::float)
		  FROM stream_ingest.counts"
done
for column in next_offset lag; do
	compare "offsets: $column" "stream_ingest_offsets_$column" "
		SELECT format('stream_ingest_offsets_$column{datname=\"shop\",name=\"%s\",partition=\"%s\",topic=\"%s\"} %s',
		         name, partition, topic, $column::float) FROM stream_ingest.offsets WHERE lag IS NOT NULL"
done
compare 'gaps' stream_ingest_subscription_gaps "
	SELECT format('stream_ingest_subscription_gaps{datname=\"shop\",name=\"%s\"} %s', name, (name = 'gone')::int)
	  FROM stream_ingest.subscriptions"
compare 'partitions whose lag is not known' stream_ingest_subscription_lag_unknown "
	SELECT format('stream_ingest_subscription_lag_unknown{datname=\"shop\",name=\"%s\"} %s', name,
	         (SELECT count(*) FROM stream_ingest.offsets o WHERE o.name = s.name AND s.enabled AND lag IS NULL))
	  FROM stream_ingest.subscriptions s"
same 'the exporter has no complaints' '' "$(grep -E 'level=(warn|error)|err=' "$scratch/log.exporter" | grep -v DEPRECATED || true)"
curl -sf "$url/metrics" | grep -A1000000 -m1 '^# HELP stream_ingest' | grep -E 'stream_ingest' >"$scratch/metrics" || true
check 'promtool: metrics' sh -c '"$0" check metrics <"$1"' "$promtool" "$scratch/metrics"
check 'promtool: alerts' "$promtool" check rules "$tree/examples/monitoring/alerts.yaml"
cp "$tree/test/alerts_test.yaml" "$tree/examples/monitoring/alerts.yaml" "$scratch/"
check 'promtool: each alert fires when it should' "$promtool" test rules "$scratch/alerts_test.yaml"
finish_counting
