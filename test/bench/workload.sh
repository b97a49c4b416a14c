# The workloads that benchmarks share.  Sourced after bench.sh; not run by
# itself.
# shellcheck shell=bash

# ---- user_sessions: 16 columns, messages of about 500 bytes ----

# sessions_table none|key: an empty table, with or without its primary key
sessions_table()
{
	sql -c "DROP SCHEMA IF EXISTS streaming_layer CASCADE" 2>/dev/null
	sql -f "$top/examples/user_sessions/schema.sql" >/dev/null
	sql -c "ALTER TABLE streaming_layer.streaming_data SET (autovacuum_enabled = off)"
	[ "$1" = key ] || sql -c "ALTER TABLE streaming_layer.streaming_data DROP CONSTRAINT streaming_data_pkey"
}

# sessions_topic NAME PARTITIONS COUNT
sessions_topic()
{
	topic "$1" "$2"
	python3 "$top/examples/user_sessions/generate.py" "$3" 1 |
		"$top/test/produce" -b "$bootstrap" -t "$1" -r "$2" >/dev/null
}

# ---- orders: 6 columns, messages of about 170 bytes ----

# orders COUNT FIRST_AMOUNT: keys come in no order, as they do in life
orders()
{
	awk -v n="$1" -v first="$2" 'BEGIN {
		for (i = 0; i < n; i++)
			printf "{\"id\": %d, \"customer\": \"customer %d\", \"amount\": %d.25, \"quantity\": %d, \"at\": \"2024-05-17T10:%02d:%02dZ\", \"note\": \"a line of text that is neither short nor long\"}\n",
				i * 7919 % n, i % 5000, first + i % 1000, i % 7, i / 60 % 60, i % 60
	}'
}

# orders_topic NAME COUNT FIRST_AMOUNT
orders_topic()
{
	topic "$1" 1
	orders "$2" "$3" | "$top/test/produce" -b "$bootstrap" -t "$1" -p 0 >/dev/null
}

# orders_table NAME
orders_table()
{
	sql -c "CREATE TABLE $1 (id bigint PRIMARY KEY, customer text, amount numeric,
				quantity int, at timestamptz, note text) WITH (autovacuum_enabled = off)"
}

# orders_by_hand TABLE FILE: what an upsert is without us, in one transaction
orders_by_hand()
{
	sql -c "BEGIN; CREATE TABLE staging (LIKE $1); COPY staging FROM '$2';
			INSERT INTO $1 AS o SELECT * FROM staging
				ON CONFLICT (id) DO UPDATE SET customer = excluded.customer,
					amount = excluded.amount, quantity = excluded.quantity, at = excluded.at,
					note = excluded.note;
			DROP TABLE staging; COMMIT"
}

# checksum TABLE
checksum()
{
	sql -c "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM $1 t"
}

# ---- figures ----

# ratio A B
ratio()
{
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# median: of the numbers in the input, one a line
median()
{
	sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
