CREATE EXTENSION stream_ingest;

--
-- Messages become rows, on librdkafka's embedded broker, which the
-- environment names (test/with_mock_broker.sh).  Its programs are called from
-- the top directory of the sources.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
SET client_min_messages = warning;

-- waits until a query's answer is the expected one
CREATE FUNCTION wait_for(query text, expected text DEFAULT 'true') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + interval '30 s';
    answer text;
BEGIN
    LOOP
        EXECUTE 'SELECT (' || query || ')::text' INTO answer;
        IF answer IS NOT DISTINCT FROM expected THEN
            RETURN 'yes';
        END IF;
        IF clock_timestamp() > deadline THEN
            RETURN 'no: ' || coalesce(answer, 'null');
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
CREATE FUNCTION wait_state(subscription name, state text) RETURNS text LANGUAGE sql AS $$
    SELECT wait_for(format('SELECT string_agg(DISTINCT state, '','') FROM stream_ingest.status WHERE name = %L',
        subscription), state);
$$;
-- what is always true of the counts, and those that are not 0
CREATE FUNCTION counts(subscription name) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ',
        CASE WHEN messages <> applied + ignored + dead_letters
            OR applied <> inserted + updated + deleted + superseded THEN 'COUNTS DO NOT ADD UP:' END,
        'messages=' || messages, 'applied=' || applied, 'inserted=' || inserted,
        'ignored=' || nullif(ignored, 0), 'dead_letters=' || nullif(dead_letters, 0),
        'gap_messages=' || nullif(gap_messages, 0))
    FROM stream_ingest.counts WHERE name = subscription;
$$;
CREATE FUNCTION next_offsets(subscription name) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(partition || ':' || next_offset, ' ' ORDER BY partition)
    FROM stream_ingest.offsets WHERE name = subscription;
$$;

--
-- every source
--
\! test/mock_broker -c create sources 2
CREATE TABLE sources (
    value jsonb, value_text text, value_bytes bytea,
    key text, key_bytes bytea, key_id int, key_path text,
    topic text, partition int, "offset" bigint, "timestamp" timestamptz,
    headers jsonb, header text, header_int int, no_header text,
    path text, element int, deep text, dotted int, dollar text, rest jsonb, "Own name" text);
SELECT stream_ingest.create_subscription('sources', 'si_kafka', 'sources', 'sources', mapping => '{
    "value": "$value", "value_text": "$value", "value_bytes": "$value",
    "key": "$key", "key_bytes": "$key", "key_id": "$key.id", "key_path": "$key.a[1].b",
    "topic": "$topic", "partition": "$partition", "offset": "$offset", "timestamp": "$timestamp",
    "headers": "$headers", "header": "$headers.h", "header_int": "$headers.n.m", "no_header": "$headers.none",
    "path": "a.b.c", "element": "list[1]", "deep": "list[2].x", "dotted": ["http.status", "code", 0],
    "dollar": ["$id"], "rest": "$rest"}', options => '{"on_error": "stop"}');
\! printf '%s\n' '{"id": 7, "a": [0, {"b": "kb"}]};{"a": {"b": {"c": "abc"}, "z": 1}, "list": [10, 20, {"x": "deep"}], "http.status": {"code": [404]}, "$id": "dollar", "Own name": "mine", "own name": "rest", "more": [1, null]}' | test/produce -t sources -p 1 -K ';' -H h=one -H n.m=5 -H h=two >/dev/null
SELECT stream_ingest.wait_until_caught_up('sources', '30 s');
\x on
SELECT value - 'x' = value_text::jsonb AS value_is_text, convert_from(value_bytes, 'UTF8') = value_text AS value_is_bytes,
    value_text, key, convert_from(key_bytes, 'UTF8') = key AS key_is_bytes, key_id, key_path,
    topic, partition, "offset", "timestamp" BETWEEN now() - interval '5 min' AND now() + interval '5 min' AS recent,
    headers, header, header_int, no_header, path, element, deep, dotted, dollar, rest, "Own name"
FROM sources;
\x off
SELECT counts('sources');
SELECT partition, next_offset, low_watermark, high_watermark, lag, time_lag, last_message_at IS NULL AS no_message
FROM stream_ingest.offsets WHERE name = 'sources' ORDER BY 1;
-- no key, no headers, nothing of the fields but one
\! printf '%s\n' '{"Own name": null, "a": null}' | test/produce -t sources -p 0 >/dev/null
-- empty and missing ones
\! printf '%s\n' '{"a": []};{"Own name": "", "a": {"b": {}}, "list": [1]}' | test/produce -t sources -p 0 -K ';' -H h= >/dev/null
SELECT stream_ingest.wait_until_caught_up('sources', '30 s');
SELECT value, key, key_id, key_path, headers, header, path, element, dotted, rest, "Own name" FROM sources WHERE partition = 0 ORDER BY "offset";
-- a key that has no fields
\! printf '%s\n' 'no JSON;{"Own name": "x"}' | test/produce -t sources -p 0 -K ';' >/dev/null
SELECT wait_state('sources', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'sources';
SELECT stream_ingest.alter_subscription('sources', mapping => '{"key": "$key", "key_id": null}');
SELECT stream_ingest.enable('sources');
SELECT stream_ingest.wait_until_caught_up('sources', '30 s');
SELECT key, "Own name" FROM sources WHERE "offset" IS NULL;
SELECT counts('sources');
SELECT stream_ingest.drop_subscription('sources');

--
-- numbers keep every digit; JSON as it is; times, arrays, composites
--
\! test/mock_broker -c create kinds 1
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE kinds (n int GENERATED ALWAYS AS IDENTITY, i int, b bigint, num numeric, fixed numeric(10,2), f float8,
    t text, v varchar(3), c char(4), bool boolean, j json, jb jsonb, d date, ts timestamptz, ts0 timestamp, iv interval,
    u uuid, e mood, a int[], ta text[], p pair, by bytea, dom positive, ip inet);
SELECT stream_ingest.create_subscription('kinds', 'si_kafka', 'kinds', 'kinds');
\! printf '%s\n' '{"num": 12345678901234567890.10, "t": 12345678901234567890.10, "j": 12345678901234567890.10, "jb": 12345678901234567890.10}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"num": 1e400, "t": 1e400, "j": 1e400, "jb": 1e-400, "i": 1}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"num": "12.50", "i": "42", "b": "9223372036854775807", "f": "1e3", "bool": "yes", "fixed": 3.14159}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"i": 2147483647, "b": -9223372036854775808, "f": 1.7976931348623157e308, "bool": true, "c": "ab", "v": "abc"}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"t": {"b": 1,  "a": [1, 2.0]}, "j": {"b": 1,  "a": [1, 2.0]}, "jb": {"b": 1,  "a": [1, 2.0]}}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"t": "str", "j": "str", "jb": "str"}' '{"t": true, "j": true, "jb": true}' '{"t": [], "j": [], "jb": []}' '{"t": null, "j": null, "jb": null}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"t": "ä\u00e4\ud83d\ude00\n\"\\", "jb": "ä\u00e4\ud83d\ude00\n\"\\"}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"d": "2026-01-31", "ts": "2026-01-31T12:00:00.123456+02:00", "ts0": "2026-01-31 12:00", "iv": "1 day 2 hours"}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"u": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "e": "happy", "dom": 1, "ip": "::1", "by": "\\x0102"}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"a": [1, null, 3], "ta": ["x,y", "{z}", null, "null"], "p": {"a": 1, "b": "two"}}' | test/produce -t kinds -p 0 >/dev/null
\! printf '%s\n' '{"a": "{4,5}", "ta": [], "p": "(3,four)"}' | test/produce -t kinds -p 0 >/dev/null
-- of equal keys the last wins
\! printf '%s\n' '{"i": 1, "t": "first", "i": 2, "t": "last"}' | test/produce -t kinds -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('kinds', '30 s');
SELECT wait_state('kinds', 'streaming');
SELECT reason FROM stream_ingest.status WHERE name = 'kinds';
SELECT n, num, t, j, jb FROM kinds WHERE n IN (1, 5, 6, 7, 8, 9, 10) ORDER BY n;
SELECT num = '1e400'::numeric, t, j, jb = '1e-400'::jsonb, i FROM kinds WHERE n = 2;
SELECT n, i, b, num, fixed, f, bool, c, v FROM kinds WHERE n IN (3, 4) ORDER BY n;
SELECT d, ts, ts0, iv FROM kinds WHERE n = 11;
SELECT u, e, dom, ip, by FROM kinds WHERE n = 12;
SELECT a, ta, p FROM kinds WHERE n IN (13, 14) ORDER BY n;
SELECT i, t FROM kinds WHERE n = 15;
SELECT counts('kinds');
SELECT stream_ingest.drop_subscription('kinds');

--
-- what a message lacks
--
\! test/mock_broker -c create defaults 1
CREATE SEQUENCE defaults_seq START 100;
CREATE DOMAIN with_default AS text DEFAULT 'of the domain';
CREATE TABLE defaults (
    id int, constant int DEFAULT 5, serial int DEFAULT nextval('defaults_seq'), at timestamptz DEFAULT now(),
    who name DEFAULT current_user, dom with_default, dom_own with_default DEFAULT 'of the column', plain text,
    always int GENERATED ALWAYS AS IDENTITY, by_default int GENERATED BY DEFAULT AS IDENTITY (START 10),
    twice int GENERATED ALWAYS AS (id * 2) STORED, not_null text NOT NULL DEFAULT 'x', other int DEFAULT 7);
SELECT stream_ingest.create_subscription('defaults', 'si_kafka', 'defaults', 'defaults', mapping => '{"other": null}',
    options => '{"on_error": "stop"}');
\! printf '%s\n' '{"id": 1}' '{"id": 2, "constant": null, "serial": null, "at": null, "dom": null, "plain": null}' '{"id": 3, "constant": 1, "serial": 2, "dom": "d", "dom_own": "e", "plain": "f", "not_null": "g", "always": 99, "by_default": 99, "twice": 99, "other": 99, "unknown": 99}' '{"id": 4}' | test/produce -t defaults -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('defaults', '30 s');
SELECT id, constant, serial, at BETWEEN now() - interval '5 min' AND now() AS at, who = current_user AS who, dom, dom_own,
    plain, always, by_default, twice, not_null, other FROM defaults ORDER BY id;
-- missing_fields: null, and error
SELECT stream_ingest.alter_subscription('defaults', options => '{"missing_fields": "null"}', mapping => '{"other": null, "not_null": null}');
\! printf '%s\n' '{"id": 5}' | test/produce -t defaults -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('defaults', '30 s');
SELECT id, constant, serial, at, dom, plain, always, by_default, not_null, other FROM defaults WHERE id = 5;
SELECT stream_ingest.alter_subscription('defaults', options => '{"missing_fields": "error"}', mapping => '{
    "constant": null, "serial": null, "at": null, "who": null, "dom": null, "dom_own": null, "not_null": null, "other": null}');
\! printf '%s\n' '{"id": 6, "plain": null}' '{"id": 7}' '{"id": 8, "plain": "p"}' | test/produce -t defaults -p 0 >/dev/null
SELECT wait_state('defaults', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'defaults';
SELECT id, plain FROM defaults WHERE id > 5 ORDER BY id;
SELECT next_offsets('defaults'), counts('defaults');
-- unknown_fields
SELECT stream_ingest.alter_subscription('defaults', options => '{"missing_fields": null, "unknown_fields": "error"}');
SELECT stream_ingest.enable('defaults');
SELECT stream_ingest.wait_until_caught_up('defaults', '30 s');
\! printf '%s\n' '{"id": 9, "plain": null}' '{"id": 10, "new_field": 1}' '{"id": 11}' | test/produce -t defaults -p 0 >/dev/null
SELECT wait_state('defaults', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'defaults';
SELECT stream_ingest.alter_subscription('defaults', options => '{"unknown_fields": null}');
SELECT stream_ingest.enable('defaults');
SELECT stream_ingest.wait_until_caught_up('defaults', '30 s');
SELECT id, plain FROM defaults WHERE id > 5 ORDER BY id;
-- a message of which no column takes any field
\! printf '%s\n' '{"misspelt": 12}' | test/produce -t defaults -p 0 >/dev/null
SELECT wait_state('defaults', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'defaults';
-- unless nobody asks for one: all columns take their defaults
SELECT stream_ingest.alter_subscription('defaults', mapping => '{"id": "$offset", "constant": null, "serial": null,
    "at": null, "who": null, "dom": null, "dom_own": null, "plain": "$value", "not_null": null, "other": null}');
SELECT stream_ingest.enable('defaults');
SELECT stream_ingest.wait_until_caught_up('defaults', '30 s');
SELECT id, constant, dom, dom_own, plain, not_null, other FROM defaults WHERE plain LIKE '%misspelt%';
SELECT counts('defaults');
SELECT stream_ingest.drop_subscription('defaults');
\! test/mock_broker -c create columnless 1
CREATE TABLE columnless ();
SELECT stream_ingest.create_subscription('columnless', 'si_kafka', 'columnless', 'columnless');
\! printf '%s\n' '{"id": 1}' '2' 'null' | test/produce -t columnless -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('columnless', '30 s');
SELECT count(*) FROM columnless;
SELECT counts('columnless');
SELECT stream_ingest.drop_subscription('columnless');

--
-- tombstones mean nothing to an INSERT
--
\! test/mock_broker -c create tombstones 1
CREATE TABLE tombstones (id int);
\! printf '%s\n' 'k;{"id": 1}' 'k;' 'l;' 'k;{"id": 2}' 'k;' | test/produce -t tombstones -p 0 -K ';' -Z >/dev/null
SELECT stream_ingest.create_subscription('tombstones', 'si_kafka', 'tombstones', 'tombstones', options => '{"on_error": "stop"}');
SELECT stream_ingest.wait_until_caught_up('tombstones', '30 s');
SELECT * FROM tombstones ORDER BY id;
SELECT next_offsets('tombstones'), counts('tombstones');
-- an empty value is not a null value
\! printf '\n' | test/produce -t tombstones -p 0 >/dev/null
SELECT wait_state('tombstones', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'tombstones';
SELECT stream_ingest.drop_subscription('tombstones');

--
-- where it starts, and which partitions
--
\! test/mock_broker -c create places 3
CREATE TABLE places (partition int, "offset" int);
CREATE TABLE places_latest (LIKE places);
CREATE TABLE places_each (LIKE places);
CREATE TABLE places_some (LIKE places);
\! for p in 0 1 2; do test/produce -t places -p $p -n 10 >/dev/null; done
SELECT stream_ingest.create_subscription('places', 'si_kafka', 'places', 'places',
    mapping => '{"partition": "$partition", "offset": "$offset"}', options => '{"start": "earliest"}');
SELECT stream_ingest.create_subscription('latest', 'si_kafka', 'places', 'places_latest',
    mapping => '{"partition": "$partition", "offset": "$offset"}', options => '{"start": "latest"}');
SELECT stream_ingest.create_subscription('each', 'si_kafka', 'places', 'places_each',
    mapping => '{"partition": "$partition", "offset": "$offset"}', options => '{"start": {"0": 4, "1": "latest"}, "workers": 2}');
SELECT stream_ingest.create_subscription('some', 'si_kafka', 'places', 'places_some',
    mapping => '{"partition": "$partition", "offset": "$offset"}', options => '{"partitions": "0,2"}');
SELECT stream_ingest.wait_until_caught_up(name, '30 s') FROM stream_ingest.subscriptions;
\! for p in 0 1 2; do test/produce -t places -p $p -n 5 >/dev/null; done
SELECT stream_ingest.wait_until_caught_up(name, '30 s') FROM stream_ingest.subscriptions;
SELECT 'places' AS subscription, partition, count(*), min("offset"), max("offset") FROM places GROUP BY partition
UNION ALL SELECT 'latest', partition, count(*), min("offset"), max("offset") FROM places_latest GROUP BY partition
UNION ALL SELECT 'each', partition, count(*), min("offset"), max("offset") FROM places_each GROUP BY partition
UNION ALL SELECT 'some', partition, count(*), min("offset"), max("offset") FROM places_some GROUP BY partition
ORDER BY 1, 2;
SELECT name, next_offsets(name), counts(name) FROM stream_ingest.subscriptions ORDER BY name;
SELECT worker, partitions FROM stream_ingest.status WHERE name = 'each' ORDER BY worker;
SELECT wait_state(name, 'streaming') FROM stream_ingest.subscriptions;
-- a partition that is taken in later starts where it would have
SELECT stream_ingest.alter_subscription('some', options => '{"partitions": null}');
SELECT wait_for($$SELECT count(*) FROM stream_ingest.offsets WHERE name = 'some'$$, '3');
SELECT stream_ingest.wait_until_caught_up('some', '30 s');
SELECT partition, count(*) FROM places_some GROUP BY 1 ORDER BY 1;
-- seek: back, forward (a gap that counts nothing), and again to the end
SELECT stream_ingest.seek('some', 1, 12);
SELECT stream_ingest.wait_until_caught_up('some', '30 s');
SELECT "offset", count(*) FROM places_some WHERE partition = 1 GROUP BY 1 HAVING count(*) > 1 ORDER BY 1;
SELECT stream_ingest.disable('some');
SELECT stream_ingest.seek('some', 'earliest');
SELECT stream_ingest.seek('some', 0, 7);
SELECT state FROM stream_ingest.status WHERE name = 'some';
TRUNCATE places_some;
SELECT stream_ingest.enable('some');
SELECT stream_ingest.wait_until_caught_up('some', '30 s');
SELECT partition, count(*), min("offset") FROM places_some GROUP BY 1 ORDER BY 1;
\! test/produce -t places -p 2 -n 5 >/dev/null
SELECT stream_ingest.wait_until_caught_up('some', '30 s');
SELECT stream_ingest.disable('some');
\! test/produce -t places -p 2 -n 5 >/dev/null
SELECT stream_ingest.seek('some', 2, 22);
SELECT stream_ingest.enable('some');
SELECT stream_ingest.wait_until_caught_up('some', '30 s');
SELECT topic, partition, from_offset, to_offset, reason FROM stream_ingest.gaps WHERE name = 'some';
SELECT max("offset"), count(*) FROM places_some WHERE partition = 2 AND "offset" >= 20;
SELECT next_offsets('some'), counts('some');
-- an offset that the broker does not have
SELECT stream_ingest.seek('some', 1, 1000);
SELECT wait_state('some', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'some';
SELECT stream_ingest.seek('some', 'latest');
SELECT stream_ingest.wait_until_caught_up('some', '30 s');
SELECT wait_state('some', 'streaming');
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions;

--
-- batches
--
\! test/mock_broker -c create batches 1
CREATE TABLE batches (id int, payload text, xid xid8 DEFAULT pg_current_xact_id());
\! test/produce -t batches -p 0 -n 1000 >/dev/null
SELECT stream_ingest.create_subscription('batches', 'si_kafka', 'batches', 'batches', options => '{"batch_size": 7}');
SELECT stream_ingest.wait_until_caught_up('batches', '30 s');
SELECT count(*), count(DISTINCT id), max(c) <= 7 AS small FROM batches, (SELECT max(n) FROM (SELECT count(*) FROM batches GROUP BY xid) AS x (n)) AS m (c);
SELECT batches >= 143 FROM stream_ingest.counts;
SELECT stream_ingest.alter_subscription('batches', options => '{"batch_size": null, "batch_bytes": "1kB"}');
\! test/produce -t batches -p 0 -n 100 -i 1000 >/dev/null
SELECT stream_ingest.wait_until_caught_up('batches', '30 s');
SELECT max(bytes) <= 1024 FROM (SELECT sum(length(payload)) FROM batches WHERE id >= 1000 GROUP BY xid) AS x (bytes);
-- a batch that waits to fill is taken whole
SELECT stream_ingest.alter_subscription('batches', options => '{"batch_bytes": null, "batch_size": 50, "batch_interval": "1 min"}');
\! test/produce -t batches -p 0 -n 60 -i 2000 >/dev/null
SELECT wait_for('SELECT count(*) FROM batches WHERE id >= 2000', '50');
SELECT count(DISTINCT xid) FROM batches WHERE id >= 2000;
SELECT stream_ingest.alter_subscription('batches', options => '{"batch_interval": 0}');
SELECT stream_ingest.wait_until_caught_up('batches', '30 s');
SELECT counts('batches');
-- the rows stay
SELECT stream_ingest.drop_subscription('batches');
SELECT count(*), count(DISTINCT id) FROM batches;

--
-- A message that cannot be applied stops its subscription.  All before it are
-- in the table, and status tells what was refused without quoting it.
--
\! test/mock_broker -c create bad 1
CREATE TABLE bad_parent (id int PRIMARY KEY);
INSERT INTO bad_parent VALUES (1);
CREATE TABLE bad (id int PRIMARY KEY, n int NOT NULL DEFAULT 0 CHECK (n < 100), t varchar(20),
    u int UNIQUE DEFERRABLE INITIALLY DEFERRED,
    parent int REFERENCES bad_parent DEFERRABLE INITIALLY DEFERRED,
    at date, j jsonb, small smallint, dom positive);
CREATE FUNCTION bad_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.t = 'raise' THEN
        RAISE EXCEPTION 'secret % in a trigger', NEW.id;
    ELSIF NEW.t = 'custom' THEN
        RAISE EXCEPTION 'secret' USING ERRCODE = 'ZZ999';
    ELSIF NEW.t = 'skip' THEN
        RETURN NULL;
    ELSIF NEW.t = 'internal' THEN
        RAISE EXCEPTION 'secret' USING ERRCODE = 'XX000';
    ELSIF NEW.t = 'set' THEN
        SET search_path = nowhere;
        PERFORM set_config('TimeZone', 'Asia/Tokyo', false);
        SET session_replication_role = replica;
        SET statement_timeout = '12345';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bad BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION bad_trigger();
SELECT stream_ingest.create_subscription('bad', 'si_kafka', 'bad', 'bad', options => '{"on_error": "stop"}');
-- what stopped it; and the seek that passes over the bad message
CREATE FUNCTION stopped(OUT state text, OUT reason text, OUT sqlstate text, OUT ids text, OUT quoted boolean)
LANGUAGE plpgsql AS $$
BEGIN
    state := wait_state('bad', 'stopped');
    SELECT s.reason, s.last_error_sqlstate, s::text ~ 'secret' INTO reason, sqlstate, quoted
        FROM stream_ingest.status s WHERE name = 'bad';
    SELECT string_agg(id::text, ',' ORDER BY id) INTO ids FROM bad;
END $$;
CREATE PROCEDURE go_on() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stream_ingest.seek('bad', 0, next_offset + 1) FROM stream_ingest.offsets WHERE name = 'bad';
    COMMIT;
    IF NOT stream_ingest.wait_until_caught_up('bad', '30 s') THEN
        RAISE WARNING 'not caught up';
    END IF;
END $$;
-- bad JSON
\! printf '%s\n' '{"id": 1}' '{"id": 2' '{"id": 3}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 4}' '{"id": 5, "t": "secret" "secret"}' '{"id": 6}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
-- not an object
\! printf '%s\n' '{"id": 7}' '["secret"]' '{"id": 8}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '"secret"' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
-- wrong types
\! printf '%s\n' '{"id": 9}' '{"id": "secret"}' '{"id": 10}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 2147483648}' '{"id": 11}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 1.5}' '{"id": 12}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": {"secret": 1}}' '{"id": 13}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 14, "small": 32768}' '{"id": 14}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 15, "t": "a secret that is too long"}' '{"id": 15}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 16, "dom": -1}' '{"id": 16}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 17, "at": 1767225600}' '{"id": 17}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 18, "at": "2026-02-29"}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 18, "t": "nul \u0000"}' '{"id": 18}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '{"id": 19, "t": "\377"}\n{"id": 19}\n' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
-- constraints and triggers, with good ones around them in the same batch
\! printf '%s\n' '{"id": 20}' '{"id": 21, "n": null}' '{"id": 22}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 23}' '{"id": 24, "n": 100}' '{"id": 25}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 26}' '{"id": 26, "n": 1}' '{"id": 27}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 28, "u": 1}' '{"id": 29, "u": 1}' '{"id": 30, "u": 2}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 31, "parent": 1}' '{"id": 32, "parent": 2}' '{"id": 33}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 34}' '{"id": 35, "t": "raise"}' '{"id": 36}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 37}' '{"id": 38, "t": "custom"}' '{"id": 39}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
\! printf '%s\n' '{"id": 40}' '{"id": 41, "t": "internal"}' '{"id": 42}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
CALL go_on();
SELECT reason FROM stream_ingest.gaps WHERE name = 'bad' GROUP BY 1;
-- what a trigger passes over is ignored
\! printf '%s\n' '{"id": 43, "t": "skip"}' '{"id": 44, "t": "skip"}' '{"id": 45}' | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('bad', '30 s');
-- what a trigger sets does not last
\! printf '%s\n' '{"id": 46, "t": "set"}' | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('bad', '30 s');
CREATE TABLE settings_seen (id int, path text, zone text, role text, timeout text);
CREATE FUNCTION note_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.settings_seen VALUES (NEW.id, current_setting('search_path'), current_setting('TimeZone'),
        current_setting('session_replication_role'), current_setting('statement_timeout'));
    RETURN NEW;
END $$;
CREATE TRIGGER a_note BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION note_settings();
\! printf '%s\n' '{"id": 47, "t": "set"}' | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('bad', '30 s');
\! printf '%s\n' '{"id": 48, "n": 1000}' | test/produce -t bad -p 0 >/dev/null
SELECT * FROM stopped();
SELECT * FROM settings_seen ORDER BY id;
SELECT counts('bad');
-- the table is fixed: it continues with the message that was refused, once each
ALTER TABLE bad DROP CONSTRAINT bad_n_check;
DROP TRIGGER bad ON bad;
\! printf '%s\n' '{"id": 49, "t": "raise"}' | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.enable('bad');
SELECT stream_ingest.wait_until_caught_up('bad', '30 s');
SELECT id, n, t FROM bad WHERE id > 45 ORDER BY id;
SELECT state = 'streaming' OR state = 'catching_up' AS runs, reason, last_error, last_error_sqlstate FROM stream_ingest.status WHERE name = 'bad';
-- the last of a big batch
SELECT stream_ingest.disable('bad');
\! { for i in $(seq 1000 1998); do echo "{\"id\": $i}"; done; echo '{"id": 1000}'; echo '{"id": 1999}'; } | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.enable('bad');
SELECT state, sqlstate, quoted FROM stopped();
SELECT reason LIKE '%offset ' || next_offset || ' was refused: 23505%' FROM stream_ingest.status JOIN stream_ingest.offsets USING (name) WHERE name = 'bad';
SELECT count(*), min(id), max(id) FROM bad WHERE id >= 1000;
CALL go_on();
SELECT count(*), min(id), max(id) FROM bad WHERE id >= 1000;
SELECT counts('bad');
SELECT count(*) = (SELECT inserted FROM stream_ingest.counts WHERE name = 'bad') FROM bad;
-- the same among dead letters
SELECT stream_ingest.alter_subscription('bad', options => '{"on_error": null, "batch_size": 4}');
\! printf '%s\n' '{"id": 50}' '{"id": 51' '{"id": 52, "u": 2}' '{"id": 53, "n": null}' '{"id": 50}' '{"id": 54}' '{"id": 55, "parent": 9}' '{"id": 56}' | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('bad', '30 s');
SELECT string_agg(id::text, ',' ORDER BY id) FROM bad WHERE id BETWEEN 50 AND 99;
SELECT sqlstate, count(*) FROM stream_ingest.dead_letters GROUP BY 1 ORDER BY 1;
SELECT counts('bad');
SELECT stream_ingest.alter_subscription('bad', options => '{"on_error": "ignore"}');
\! printf '%s\n' '{"id": 57}' '{"id": 57}' '{"id": 58}' | test/produce -t bad -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('bad', '30 s');
SELECT counts('bad');
SELECT stream_ingest.drop_subscription('bad');

--
-- Who runs it: the owner of the subscription with its grants; or the owner of
-- the table, restricted, where the subscription's owner is more powerful
--
CREATE ROLE regress_si_table LOGIN;
CREATE ROLE regress_si_sub LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO regress_si_sub, regress_si_table;
GRANT ALL ON SCHEMA public TO regress_si_table;
\! test/mock_broker -c create rights 1
SET ROLE regress_si_table;
CREATE TABLE victims (id int, t text, seen_user name DEFAULT current_user, seen_session name DEFAULT session_user);
CREATE TABLE attempts (attempt text, outcome text);
CREATE FUNCTION malice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    attempt text;
BEGIN
    FOREACH attempt IN ARRAY '{ALTER ROLE regress_si_table SUPERUSER,SET ROLE regress_si_sub,
        SET SESSION AUTHORIZATION DEFAULT,RESET ROLE,CREATE TEMP TABLE si_temp (id int),
        SELECT 1 FROM stream_ingest.subscription,DECLARE c CURSOR WITH HOLD FOR SELECT 1,
        SELECT 1 FROM pg_catalog.pg_authid,COPY pg_catalog.pg_class TO PROGRAM ''true''}'::text[] LOOP
        BEGIN
            EXECUTE attempt;
            INSERT INTO public.attempts VALUES (attempt, 'succeeded as ' || current_user);
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO public.attempts VALUES (attempt, sqlstate);
        END;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER malice BEFORE INSERT ON victims FOR EACH ROW EXECUTE FUNCTION malice();
RESET ROLE;
SELECT stream_ingest.create_subscription('super', 'si_kafka', 'rights', 'victims', mapping => '{"seen_user": null, "seen_session": null}');
\! printf '%s\n' '{"id": 1}' | test/produce -t rights -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('super', '30 s');
SELECT id, seen_user FROM victims;
SELECT trim(attempt, E' \n') AS attempt, outcome FROM attempts ORDER BY attempt COLLATE "C";
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_si_table';
SELECT counts('super');
SELECT stream_ingest.drop_subscription('super');
DROP TRIGGER malice ON victims;
-- a deferred trigger runs as the same
SET ROLE regress_si_table;
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.attempts VALUES ('late', current_user);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON victims DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
RESET ROLE;
TRUNCATE attempts;
SELECT stream_ingest.create_subscription('super', 'si_kafka', 'rights', 'victims', mapping => '{"seen_user": null, "seen_session": null}');
SELECT stream_ingest.wait_until_caught_up('super', '30 s');
SELECT * FROM attempts;
SELECT stream_ingest.drop_subscription('super');
-- another role by its grants
GRANT INSERT (id, t) ON victims TO regress_si_sub;
GRANT INSERT ON attempts TO regress_si_sub;
TRUNCATE attempts, victims;
SET ROLE regress_si_sub;
SELECT stream_ingest.create_subscription('sub', 'si_kafka', 'rights', 'victims', mapping => '{"seen_user": null, "seen_session": null}');
RESET ROLE;
SELECT stream_ingest.wait_until_caught_up('sub', '30 s');
SELECT id, seen_user, seen_session FROM victims;
SELECT * FROM attempts;
SELECT usename FROM pg_stat_activity WHERE application_name = 'stream_ingest sub';
-- revoking a privilege stops it, and granting it again lets it resume
REVOKE INSERT (id, t) ON victims FROM regress_si_sub;
\! printf '%s\n' '{"id": 2}' | test/produce -t rights -p 0 >/dev/null
SELECT wait_state('sub', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'sub';
SELECT next_offsets('sub'), counts('sub');
GRANT INSERT (id, t) ON victims TO regress_si_sub;
SELECT stream_ingest.wait_until_caught_up('sub', '30 s');
SELECT id FROM victims ORDER BY id;
-- row-level security
ALTER TABLE victims ENABLE ROW LEVEL SECURITY;
CREATE POLICY odd ON victims FOR INSERT WITH CHECK (id % 2 = 1);
\! printf '%s\n' '{"id": 3}' '{"id": 4}' '{"id": 5}' | test/produce -t rights -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('sub', '30 s');
SELECT id FROM victims ORDER BY id;
SELECT sqlstate FROM stream_ingest.dead_letters WHERE name = 'sub';
SELECT counts('sub');
-- the server is closed to the owner
REVOKE USAGE ON FOREIGN SERVER si_kafka FROM regress_si_sub;
SELECT stream_ingest.alter_subscription('sub', options => '{"batch_size": 1}');
SELECT stream_ingest.enable('sub');
SELECT wait_state('sub', 'stopped');
SELECT reason FROM stream_ingest.status WHERE name = 'sub';
GRANT USAGE ON FOREIGN SERVER si_kafka TO regress_si_sub;
SELECT stream_ingest.enable('sub');
SELECT stream_ingest.wait_until_caught_up('sub', '30 s');
SELECT stream_ingest.drop_subscription('sub');
-- a domain's check is as much the table owner's code as a trigger is
SET ROLE regress_si_table;
CREATE FUNCTION watch(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.attempts VALUES ('convert ' || $1, current_user);
    RETURN true;
END $$;
CREATE DOMAIN watched AS int CHECK (watch(VALUE));
CREATE TABLE watching (id watched);
RESET ROLE;
TRUNCATE attempts;
SELECT stream_ingest.create_subscription('super', 'si_kafka', 'rights', 'watching', options => '{"start": {"0": 4}}');
SELECT stream_ingest.wait_until_caught_up('super', '30 s');
SELECT DISTINCT * FROM attempts;
SELECT * FROM watching;
SELECT stream_ingest.drop_subscription('super');

--
-- targets of other kinds
--
\! test/mock_broker -c create others 1
CREATE TABLE parts (id int, t text DEFAULT 'of the parent') PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20);
CREATE TABLE under (id int, t text, twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE VIEW simple AS SELECT id, t FROM under;
CREATE VIEW checked AS SELECT id, t FROM under WHERE id < 10 WITH CHECK OPTION;
ALTER VIEW checked ALTER COLUMN t SET DEFAULT 'of the view';
CREATE VIEW instead AS SELECT 0 AS id, ''::text AS t;
CREATE TABLE instead_of (id int, t text);
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.instead_of VALUES (NEW.id, coalesce(NEW.t, 'null'));
    RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION instead();
SELECT stream_ingest.create_subscription(t, 'si_kafka', 'others', t::regclass) FROM unnest('{parts,simple,checked,instead}'::text[]) t;
\! printf '%s\n' '{"id": 5}' '{"id": 15, "t": "x"}' '{"id": 25}' | test/produce -t others -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up(name, '30 s') FROM stream_ingest.subscriptions;
SELECT tableoid::regclass, * FROM parts ORDER BY id;
SELECT * FROM under ORDER BY id, t;
SELECT * FROM instead_of ORDER BY id;
SELECT name, counts(name) FROM stream_ingest.subscriptions ORDER BY name;
SELECT name, sqlstate FROM stream_ingest.dead_letters ORDER BY name, message_offset;
-- a partition is added, and the letter delivered
CREATE TABLE parts_default PARTITION OF parts DEFAULT;
SELECT stream_ingest.retry_dead_letters('parts');
SELECT tableoid::regclass, id FROM parts ORDER BY id;
SELECT counts('parts');
-- columns that come and go are noticed
ALTER TABLE under DROP COLUMN t CASCADE;
ALTER TABLE parts ADD COLUMN added int DEFAULT 3;
\! printf '%s\n' '{"id": 6, "added": 4}' '{"id": 7}' | test/produce -t others -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('parts', '30 s');
SELECT id, added FROM parts WHERE id IN (6, 7) ORDER BY id;
SELECT wait_state('simple', 'stopped');
SELECT reason, last_error_sqlstate FROM stream_ingest.status WHERE name = 'simple';
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions;

--
-- changes under load: nothing is lost, nothing doubled
--
\! test/mock_broker -c create load 2
CREATE TABLE load (id int, payload text, label text);
SELECT stream_ingest.create_subscription('load', 'si_kafka', 'load', 'load', options => '{"batch_size": 100}');
\! (for i in $(seq 0 19); do test/produce -t load -r 2 -n 1000 -i ${i}000 >/dev/null; done) &
SELECT stream_ingest.alter_subscription('load', options => '{"batch_size": 50, "workers": 2}');
SELECT wait_for('SELECT count(*) > 2000 FROM load');
SELECT stream_ingest.alter_subscription('load', mapping => '{"label": "$topic"}');
SELECT wait_for('SELECT count(*) > 4000 FROM load');
SELECT stream_ingest.disable('load');
SELECT count(*) AS before FROM load \gset
SELECT wait_for($$SELECT count(*) FROM stream_ingest.status WHERE name = 'load' AND pid IS NOT NULL$$, '0');
SELECT count(*) = :before AS nothing_arrives_after_disable FROM load;
SELECT stream_ingest.alter_subscription('load', options => '{"workers": 1}');
SELECT stream_ingest.enable('load');
ALTER TABLE load ADD COLUMN more int DEFAULT 1;
ALTER TABLE load RENAME TO load2;
SELECT wait_for('SELECT count(*) >= 20000 FROM load2');
SELECT stream_ingest.wait_until_caught_up('load', '30 s');
SELECT count(*), count(DISTINCT id), sum(id) FROM load2;
SELECT next_offsets('load'), counts('load');
SELECT target FROM stream_ingest.subscriptions;

--
-- the extension goes with workers running, and comes back
--
CREATE TABLE load3 (id int);
SELECT stream_ingest.create_subscription('second', 'si_kafka', 'load', 'load3');
SELECT stream_ingest.wait_until_caught_up('second', '30 s');
DROP EXTENSION stream_ingest CASCADE;
SELECT wait_for($$SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'stream_ingest worker'$$, '0');
SELECT count(*) FROM load3;
CREATE EXTENSION stream_ingest;
SELECT count(*) FROM stream_ingest.subscriptions;
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
SELECT stream_ingest.create_subscription('second', 'si_kafka', 'load', 'load3');
SELECT stream_ingest.wait_until_caught_up('second', '30 s');
SELECT count(*), count(DISTINCT id) FROM load3;
SELECT counts('second');
-- rolled back, nothing has happened
BEGIN;
DROP EXTENSION stream_ingest CASCADE;
ROLLBACK;
\! printf '%s\n' '{"id": -1}' | test/produce -t load -p 0 >/dev/null
SELECT stream_ingest.wait_until_caught_up('second', '30 s');
SELECT count(*) FROM load3;

-- a first contact does not wait for a controller, which this broker does not have (3 s with librdkafka 2.3 and later);
-- the fastest counts, since the machine may be busy
\! test/mock_broker -c create contact 1
CREATE TABLE contacts (took interval);
DO $$
DECLARE
    began timestamptz;
BEGIN
    FOR i IN 1 .. 4 LOOP
        began := clock_timestamp();
        PERFORM stream_ingest.create_subscription('contact', 'si_kafka', 'contact', 'load3');
        COMMIT;
        PERFORM stream_ingest.wait_until_caught_up('contact', '30 s');
        INSERT INTO contacts VALUES (clock_timestamp() - began);
        PERFORM stream_ingest.drop_subscription('contact');
        COMMIT;
    END LOOP;
END $$;
SELECT min(took) < '2 s' AS fast FROM contacts;

DROP EXTENSION stream_ingest CASCADE;
DROP TABLE sources, kinds, defaults, columnless, tombstones, places, places_latest, places_each, places_some, batches,
    bad, bad_parent, settings_seen, victims, attempts, watching, parts, instead_of, under, load2, load3, contacts CASCADE;
DROP FUNCTION wait_for, wait_state, counts, next_offsets, bad_trigger, note_settings, stopped, malice, late, watch, instead CASCADE;
DROP PROCEDURE go_on;
DROP VIEW instead;
DROP SEQUENCE defaults_seq;
DROP TYPE mood, pair, positive, with_default CASCADE;
DROP OWNED BY regress_si_table, regress_si_sub;
DROP ROLE regress_si_table, regress_si_sub;
