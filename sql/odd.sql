CREATE EXTENSION stream_ingest;

--
-- Odd messages, on librdkafka's embedded broker, from the top directory of the
-- sources: times that no timestamptz holds, byte order marks, bytes that are no
-- text, \u0000, and messages that are too large.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset null '~'
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
CREATE FUNCTION done(subscription name, next bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        IF (SELECT sum(next_offset) FROM stream_ingest.offsets WHERE name = subscription) >= next THEN
            RETURN 'yes';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN (SELECT 'no: ' || string_agg(state || ': ' || reason, '; ') FROM stream_ingest.status WHERE name = subscription);
END $$;

--
-- times: the producer's to choose
--
\! test/mock_broker -c create o_times 1
\! for t in 1 -62135596800000 -210866803200000 -210866803200001 10000000000000000 9223372036854775807 -9223372036854775807 9224318015999999 9224318016000000 9223371331200000 1790000000000; do echo "{\"a\": $t}" | test/produce -t o_times -p 0 -M $t >/dev/null; done
-- where nobody takes the time, nothing is wrong
CREATE TABLE o_rows (a bigint);
SELECT stream_ingest.create_subscription('o_rows', 'si_kafka', 'o_times', 'o_rows');
-- as a column's value it is a data error, and of the message alone
CREATE TABLE o_times (a bigint, at timestamptz, day date);
SELECT stream_ingest.create_subscription('o_times', 'si_kafka', 'o_times', 'o_times',
    mapping => '{"at": "$timestamp", "day": "$timestamp"}');
CREATE TABLE o_applied (a bigint, at timestamptz);
SELECT stream_ingest.create_subscription('o_applied', 'si_kafka', 'o_times', fields => 'a bigint',
    apply => 'INSERT INTO public.o_applied SELECT a, _timestamp FROM batch', options => '{"run_as_owner": true}');
-- whatever the reason of a dead letter is, it can be shown
CREATE TABLE o_letters (a bigint, CONSTRAINT never CHECK (false));
SELECT stream_ingest.create_subscription('o_letters', 'si_kafka', 'o_times', 'o_letters');
SELECT done('o_rows', 11), done('o_times', 11), done('o_applied', 11), done('o_letters', 11);
SELECT count(*) FROM o_rows;
SELECT * FROM o_times ORDER BY at;
SELECT * FROM o_applied ORDER BY at;
SELECT message_offset, message_timestamp, convert_from(value, 'UTF8'), sqlstate, error FROM stream_ingest.dead_letters
 WHERE name = 'o_times' ORDER BY message_offset;
SELECT message_offset, message_timestamp, sqlstate FROM stream_ingest.dead_letters
 WHERE name = 'o_letters' ORDER BY message_offset;
SELECT count(*) FROM stream_ingest.offsets o WHERE o::text IS NOT NULL;
SELECT message_offset, message_timestamp, value FROM stream_ingest.peek('si_kafka', 'o_times', 100, 'earliest') ORDER BY message_offset;
-- as pg_dump does it
COPY stream_ingest.dead_letter TO '/dev/null';
COPY (SELECT DISTINCT message_offset, message_timestamp FROM stream_ingest.dead_letter ORDER BY 1) TO STDOUT;
-- tried again, they are refused again
SELECT stream_ingest.retry_dead_letters('o_times');
ALTER TABLE o_letters DROP CONSTRAINT never;
SELECT stream_ingest.retry_dead_letters('o_letters');
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions;

--
-- byte order marks
--
\! test/mock_broker -c create o_marks 1
\! printf '\357\273\277{"a": 1}\n\357\273\277 {"a": 2}\n{"a": 3}\357\273\277\n\357\273\277\357\273\277{"a": 4}\n\357\273\n\357\273\277\n{"\357\273\277a": 5}\n' | test/produce -t o_marks -p 0 >/dev/null
CREATE TABLE o_marks (a int, value json);
SELECT stream_ingest.create_subscription('o_marks', 'si_kafka', 'o_marks', 'o_marks', mapping => '{"value": "$value"}');
CREATE TABLE o_bytes (value bytea);
SELECT stream_ingest.create_subscription('o_bytes', 'si_kafka', 'o_marks', 'o_bytes', mapping => '{"value": "$value"}', format => 'raw');
SELECT done('o_marks', 7), done('o_bytes', 7);
SELECT * FROM o_marks ORDER BY a;
SELECT message_offset, sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'o_marks' ORDER BY 1;
SELECT value FROM o_bytes ORDER BY ctid;
SELECT row_data FROM stream_ingest.preview('o_marks');
SELECT stream_ingest.infer_table('si_kafka', 'o_marks', 'inferred');
SELECT format, fields, error FROM unnest('{json,csv,text,raw}'::text[]) AS format,
    stream_ingest.decode(format, '\xefbbbf22612c6222');
SELECT fields, error FROM stream_ingest.decode('text', '\xefbbbf61', options => '{"header_columns": ["a"]}');
SELECT fields, error FROM stream_ingest.decode('json', NULL, '\xefbbbf7b226b223a317d');
-- in another encoding these bytes are three characters
SELECT fields, error FROM stream_ingest.decode('csv', '\xefbbbf61', options => '{"encoding": "LATIN1"}');
-- a key of a tombstone
\! test/mock_broker -c create o_keys 1
\! printf '\357\273\277{"id": 1}=\n\357\273\277"2"=\n' | test/produce -t o_keys -p 0 -K = -Z >/dev/null
CREATE TABLE o_keys (id int PRIMARY KEY);
INSERT INTO o_keys VALUES (1), (2), (3);
SELECT stream_ingest.create_subscription('o_keys', 'si_kafka', 'o_keys', 'o_keys', insert_mode => 'upsert');
SELECT done('o_keys', 2);
SELECT * FROM o_keys;

--
-- bytes that are no text, in errors
--
\! test/mock_broker -c create o_bytes 1
\! printf '\377\376{\n\303\251\n{"a": \033[31m}\n{"a": \001}\n{"b\303\251\033": 1}\n' | test/produce -t o_bytes -p 0 >/dev/null
CREATE TABLE o_texts (a int);
SELECT stream_ingest.create_subscription('o_texts', 'si_kafka', 'o_bytes', 'o_texts', options => '{"unknown_fields": "error"}');
SELECT done('o_texts', 5);
SELECT message_offset, sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'o_texts' ORDER BY 1;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions;

--
-- \u0000: json takes it, in a string as in an object; text and jsonb cannot
--
\! test/mock_broker -c create o_nul 1
\! printf '%s\n' '{"id": 1, "a": "x\u0000y", "d": ["\u0000"]}' '{"id": 2, "a": {"b": "\u0000"}}' '{"id": 3, "b": "\u0000"}' '{"id": 4, "c": "\u0000"}' '{"id": 5, "c": {"d": "\u0000"}}' '{"id": 6, "a": "\\u0000"}' '{"id": 7, "a": "\u0000", "a": "z"}' '{"id": 8, "a": "z", "a": "\u0000\u00e9"}' | test/produce -t o_nul -p 0 >/dev/null
CREATE DOMAIN o_json AS json;
CREATE TABLE o_nul (id int, a json, a_domain o_json, b text, c jsonb, d json);
SELECT stream_ingest.create_subscription('o_nul', 'si_kafka', 'o_nul', 'o_nul', mapping => '{"a_domain": "a"}');
CREATE TABLE o_nul_text (id int, a json, t text);
SELECT stream_ingest.create_subscription('o_nul_text', 'si_kafka', 'o_nul', 'o_nul_text', mapping => '{"t": "a"}');
SELECT stream_ingest.create_subscription('o_seen', 'si_kafka', 'o_nul', 'o_nul', mapping => '{"a_domain": "a"}', enabled => false);
SELECT message_offset, row_data, sqlstate FROM stream_ingest.preview('o_seen');
SELECT done('o_nul', 8), done('o_nul_text', 8);
SELECT * FROM o_nul ORDER BY id;
SELECT message_offset, sqlstate, error, detail, column_name FROM stream_ingest.dead_letters WHERE name = 'o_nul' ORDER BY 1;
SELECT * FROM o_nul_text ORDER BY id;
SELECT message_offset, sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'o_nul_text' ORDER BY 1;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions;

--
-- large messages
--
\! test/mock_broker -c create o_large 1
\! { echo 'k;{"id": 1}'; printf 'k;{"id": 2, "a": "%02000d"}\n' 0; printf '%02000d;{"id": 3}\n' 0; echo 'k;{"id": 4}'; printf '%02000d;\n' 0; } | test/produce -t o_large -p 0 -K ';' -Z -H h=1 >/dev/null
CREATE TABLE o_large (id int PRIMARY KEY, a text);
SELECT stream_ingest.create_subscription('o_large', 'si_kafka', 'o_large', 'o_large', insert_mode => 'upsert',
    options => '{"max_message_bytes": 1000}');
SELECT stream_ingest.create_subscription('o_large', 'si_kafka', 'o_large', 'o_large', insert_mode => 'upsert',
    options => '{"max_message_bytes": "1kB"}');
SELECT done('o_large', 5);
SELECT * FROM o_large ORDER BY id;
SELECT message_offset, length(key) AS key, value, headers, sqlstate, error, detail FROM stream_ingest.dead_letters WHERE name = 'o_large' ORDER BY 1;
SELECT messages, bytes, applied, dead_letters FROM stream_ingest.counts;
-- it is no tombstone when it is tried again, and stays
INSERT INTO o_large VALUES (3);
SELECT stream_ingest.retry_dead_letters('o_large');
SELECT stream_ingest.alter_subscription('o_large', options => '{"max_message_bytes": "1MB"}');
SELECT stream_ingest.retry_dead_letters('o_large');
SELECT message_offset, sqlstate, error, detail, attempts FROM stream_ingest.dead_letters ORDER BY 1;
SELECT message_offset, row_data, sqlstate FROM stream_ingest.preview('o_large');
-- a skipped one has lost its value, too
SELECT stream_ingest.disable('o_large');
SELECT stream_ingest.alter_subscription('o_large', options => '{"max_message_bytes": "1kB"}');
\! { printf '{"id": 6, "a": "%02000d"}\n' 0; printf '{"id": 7, "a": "%02000d"}\n' 0; } | test/produce -t o_large -p 0 >/dev/null
SELECT message_offset, row_data, sqlstate, error FROM stream_ingest.preview('o_large');
SELECT stream_ingest.skip('o_large', 0, 5);
SELECT stream_ingest.alter_subscription('o_large', options => '{"on_error": "stop"}');
SELECT stream_ingest.enable('o_large');
SELECT done('o_large', 6);
SELECT message_offset, length(value), sqlstate, error FROM stream_ingest.dead_letters WHERE message_offset >= 5 ORDER BY 1;
DO $$ BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT state FROM stream_ingest.status) = 'stopped';
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT state, split_part(reason, ';', 1) AS reason FROM stream_ingest.status;
-- read again with a higher limit, they are there
SELECT stream_ingest.alter_subscription('o_large', options => '{"max_message_bytes": "1MB", "on_error": null}');
SELECT stream_ingest.seek('o_large', 'earliest');
SELECT done('o_large', 7);
SELECT id, length(a) FROM o_large ORDER BY id;
SELECT messages, applied, ignored, dead_letters FROM stream_ingest.counts;
SELECT stream_ingest.drop_subscription('o_large');

DROP EXTENSION stream_ingest CASCADE;

--
-- times that version 1.0 has stored
--
CREATE EXTENSION stream_ingest VERSION '1.0';
CREATE CAST (bigint AS timestamptz) WITHOUT FUNCTION;
INSERT INTO stream_ingest.dead_letter (subscription, topic, partition, message_offset, message_timestamp, sqlstate)
 SELECT 1, 't', 0, n, t::timestamptz, '00000' FROM (VALUES (1, 9223371331200000000), (2, 9223372036854775806),
     (3, -211813488000000001), (4, 0), (5, 9223371331199999999), (6, -211813488000000000)) AS v (n, t);
INSERT INTO stream_ingest.progress (subscription, partition, epoch, next_offset, topic, last_message_at)
 VALUES (1, 0, 1, 0, 't', 9223371331200000000::timestamptz), (1, 1, 1, 0, 't', 0::bigint::timestamptz);
COPY stream_ingest.dead_letter TO '/dev/null';
ALTER EXTENSION stream_ingest UPDATE;
COPY stream_ingest.dead_letter TO '/dev/null';
SELECT message_offset, message_timestamp FROM stream_ingest.dead_letter ORDER BY 1;
SELECT partition, last_message_at FROM stream_ingest.progress ORDER BY 1;
DROP CAST (bigint AS timestamptz);
DROP EXTENSION stream_ingest CASCADE;
DROP TABLE o_rows, o_times, o_applied, o_letters, o_marks, o_bytes, o_keys, o_texts, o_nul, o_nul_text, o_large;
DROP DOMAIN o_json;
DROP FUNCTION done;
