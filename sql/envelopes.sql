CREATE EXTENSION stream_ingest;

--
-- Change events: every case by decode, and by a subscription on librdkafka's
-- embedded broker.
--
\getenv b STREAM_INGEST_BOOTSTRAP
CREATE SERVER si_kafka FOREIGN DATA WRAPPER stream_ingest OPTIONS (bootstrap_servers :'b');
\pset format unaligned
\pset tuples_only on
\pset null '~'
SET client_min_messages = warning;
SET bytea_output = 'hex';
CREATE SCHEMA si_envelopes;
SET search_path = si_envelopes;
\! test/mock_broker -c create changes 64
CREATE TABLE cases (n serial PRIMARY KEY, what text, messages text[], options jsonb DEFAULT '{}', mapping jsonb, rows text, mode text DEFAULT 'upsert',
    columns text DEFAULT 'id int PRIMARY KEY, name text NOT NULL DEFAULT ''none'', bio text DEFAULT ''empty'', price numeric, day date, at timestamptz, seen timestamp, y bytea');
-- an event as Debezium writes it; a message is its key, a bar and its value
CREATE FUNCTION event(op text, key jsonb, before jsonb, after jsonb, lsn bigint DEFAULT 33227720) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(key::text, '') || '|' || jsonb_build_object('before', before, 'after', after, 'op', op, 'ts_ms', 1, 'source',
        jsonb_build_object('version', '2.7.0.Final', 'connector', 'postgresql', 'name', 's', 'ts_ms', 1559033904863, 'snapshot', 'false', 'db', 'd',
            'sequence', '[null,"33227720"]', 'schema', 'public', 'table', 'c', 'txId', 556, 'lsn', lsn, 'xmin', null))::text;
$$;
\set debezium '''{"envelope": "debezium"}'''
INSERT INTO cases (what, messages, options) VALUES
('snapshot, twice', ARRAY[event('r', '{"id": 1}', NULL, '{"id": 1, "name": "Anne", "bio": "x"}'), event('r', '{"id": 1}', NULL, '{"id": 1, "name": "Anne", "bio": "x"}')], :debezium),
('an unchanged large value', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anne", "bio": "x"}'),
    event('u', '{"id": 1}', NULL, '{"id": 1, "name": "Anna", "bio": "__debezium_unavailable_value"}'),
    event('u', '{"id": 2}', NULL, '{"id": 2, "name": "Bob", "bio": "__debezium_unavailable_value"}')], :debezium),
('a delete and its tombstone', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anne"}'), event('c', '{"id": 2}', NULL, '{"id": 2, "name": "Bob"}'),
    event('d', '{"id": 1}', '{"id": 1, "name": null, "bio": null}', NULL), '{"id": 1}|'], :debezium),
('a delete without the old row', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anne"}'), event('d', '{"id": 1}', NULL, NULL), event('d', NULL, NULL, NULL)], :debezium),
('a delete of what is not there', ARRAY[event('d', '{"id": 1}', '{"id": 1}', NULL)], :debezium),
('the key changes', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "Anna", "bio": "x"}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|',
    event('c', '{"id": 7}', NULL, '{"id": 7, "name": "Anna", "bio": "x"}')], :debezium),
('truncate', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('t', NULL, NULL, NULL)], :debezium),
('truncate, ignored', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('t', NULL, NULL, NULL)], '{"envelope": "debezium", "truncate": "ignore"}'),
('a logical message', ARRAY['|{"op": "m", "ts_ms": 1, "source": {}, "message": {"prefix": "p", "content": "eA=="}}'], :debezium),
('no change event', ARRAY['|{"ts_ms": 1715784700000}', '|{"op": "x"}', '|{"op": 1}', '|5', '|[]', '|{', '|{"schema": {}, "payload": {"ts_ms": 1}}', '|{"op": "c", "after": null}'], :debezium),
('with a schema around it', ARRAY['{"schema": {"type": "struct"}, "payload": {"id": 1}}|{"schema": {"type": "struct", "fields": []}, "payload": {"before": null, "after": {"id": 1, "name": "Anne"}, "op": "c"}}',
    '{"schema": {"type": "struct"}, "payload": {"id": 2}}|{"schema": {"type": "struct", "fields": []}, "payload": {"before": null, "after": {"id": 2, "name": "Bob"}, "op": "c"}}',
    event('c', '{"id": 3}', NULL, '{"id": 3, "name": "Carl"}'), event('c', '{"id": 4}', NULL, '{"id": 4, "name": "Dora"}'),
    '{"schema": {"type": "struct"}, "payload": {"id": 1}}|{"schema": {"type": "struct", "fields": []}, "payload": {"before": {"id": 1}, "after": null, "op": "d"}}',
    '{"schema": {"type": "struct"}, "payload": {"id": 1}}|', '{"schema": {"type": "struct"}, "payload": {"id": 2}}|',
    '{"schema": {"type": "int32"}, "payload": 3}|{"schema": null, "payload": {"before": null, "after": null, "op": "d"}}', '{"schema": {"type": "int32"}, "payload": 4}|'], :debezium),
('days and base64', ARRAY[event('c', '{"id": 4}', NULL, '{"id": 4, "day": 19761, "price": "BNI="}'), event('c', '{"id": 5}', NULL, '{"id": 5, "day": 19761, "y": "AQID/w=="}'),
    event('c', '{"id": 6}', NULL, '{"id": 6, "seen": 1707395411123456}'), event('c', '{"id": 7}', NULL, '{"id": 7, "y": "AQI"}'), event('c', '{"id": 8}', NULL, '{"id": 8, "y": "A-ID"}'),
    event('c', '{"id": 9}', NULL, '{"id": 9, "day": 99999999999}'), event('c', '{"id": 10}', NULL, '{"id": 10, "day": -1, "y": ""}'), event('c', '{"id": 11}', NULL, '{"id": 11, "y": "AQ==", "day": "2024-02-08"}'),
    event('c', '{"id": 12}', NULL, '{"id": 12, "y": "AR=="}')], :debezium),
('numbers of a known unit', ARRAY[event('c', '{"id": 6}', NULL, '{"id": 6, "day": 19761, "seen": 1707395411123456}')], '{"envelope": "debezium", "epoch_unit": "microseconds"}'),
('bytes in hex', ARRAY['|{"id": 1, "y": "00fF"}', '|{"id": 2, "y": "0"}', '|{"id": 3, "y": "\\x00"}'], '{"binary_text": "hex"}'),
('bytes in base64url', ARRAY['|{"id": 1, "y": "-_8"}', '|{"id": 2, "y": "-_8="}', '|{"id": 3, "y": "+_8"}', '|{"id": 4, "y": "-"}'], '{"binary_text": "base64url"}'),
('a field that says deleted', ARRAY['|{"id": 1, "name": "Anne", "__deleted": "false"}', '|{"id": 2, "name": "Bob", "__deleted": false}', '|{"id": 3, "name": "Carl"}', '|{"id": 4, "__deleted": "t"}',
    '|{"id": 1, "name": "Anne", "__deleted": "true"}', '|{"id": 2, "__deleted": true}', '{"id": 3}|{"__deleted": true}'], '{"deleted_field": "__deleted"}'),
('such a field further in', ARRAY['|{"id": 1, "meta": {"gone": false}}', '|{"id": 2, "meta": {}}', '|{"id": 2, "meta": {"gone": true}}'], '{"deleted_field": "meta.gone"}'),
('as Kafka Connect wraps it', ARRAY['|{"schema": {"type": "struct"}, "payload": {"id": 6, "name": "F"}}', '|{"schema": null, "payload": {"id": 7}}', '|{"payload": {"id": 8}}',
    '{"schema": {"type": "struct"}, "payload": {"id": 6}}|{"schema": null, "payload": null}', '{"schema": null, "payload": 7}|', '|{"id": 9}', '|{"schema": null, "payload": 5}'], '{"envelope": "connect"}');
INSERT INTO cases (what, messages, options, mapping, columns) VALUES
('parts of the event', ARRAY[event('u', '{"id": 1}', '{"id": 1, "name": "Anne"}', '{"id": 1, "name": "Anna"}'), event('c', '{"id": 2}', NULL, '{"id": 2, "name": "Bob"}'),
    event('d', '{"id": 2}', '{"id": 2, "name": "Bob"}', NULL, 33227721)], :debezium,
    '{"op": "$op", "lsn": "$source.lsn", "was": "$before.name", "old": "$before", "source": "$source.table", "rest": "$rest", "whole": "$value"}',
    'id int PRIMARY KEY, op text, lsn bigint, was text, old jsonb, source text, rest jsonb, whole json'),
('a version', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "name": "new"}', 20), event('u', '{"id": 1}', NULL, '{"id": 1, "name": "late"}', 10)],
    '{"envelope": "debezium", "version_column": "lsn"}', '{"lsn": "$source.lsn"}', 'id int PRIMARY KEY, name text, lsn bigint'),
('forms of the placeholder', ARRAY[event('c', '{"id": 1}', NULL, jsonb '{"id": 1, "j": {"a": 1}, "l": ["x"], "n": [1], "u": "c52dcc24-8f8b-4bf0-9d4b-0b8e1e5b2f39", "m": {"k": "v"}}'),
    event('u', '{"id": 1}', NULL, jsonb '{"id": 1, "j": "__debezium_unavailable_value", "l": ["__debezium_unavailable_value"], "m": {"__debezium_unavailable_value": "__debezium_unavailable_value"}}'
        || jsonb_build_object('n', (SELECT jsonb_agg(get_byte(b, i) ORDER BY i) FROM (SELECT bytea '__debezium_unavailable_value') AS v (b), generate_series(0, length(b) - 1) AS i),
            'u', (SELECT (left(h, 12) || '3' || substr(h, 14, 3) || to_hex(('x' || substr(h, 17, 1))::bit(4)::int & 3 | 8) || substr(h, 18))::uuid FROM md5('__debezium_unavailable_value') AS h)))],
    :debezium, NULL, 'id int PRIMARY KEY, j jsonb, l text[], n int[], u uuid, m jsonb'),
('bytes that are not there', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "y": "AQID"}'),
    event('u', '{"id": 1}', NULL, jsonb_build_object('id', 1, 'y', translate(encode('__debezium_unavailable_value', 'base64'), E'\n', '')))], :debezium, NULL, 'id int PRIMARY KEY, y bytea'),
('another placeholder', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1, "v": "a"}'), event('u', '{"id": 1}', NULL, '{"id": 1, "v": "?"}')],
    '{"envelope": "debezium", "unavailable_value": "?"}', NULL, 'id int PRIMARY KEY, v text'),
('a document', ARRAY[event('c', '{"id": 5}', NULL, '{"id": 5, "p": {"x": 1.0, "y": 2.0, "wkb": "AQEAAAAAAAAAAADwPwAAAAAAAABA", "srid": null}}')],
    :debezium, '{"wkb": "p.wkb"}', 'id int PRIMARY KEY, p jsonb, wkb bytea'),
('members given twice', ARRAY['|{"op": "c", "after": {"id": 1, "a": 1}, "after": {"id": 2, "b": 2}}'], :debezium, '{"rest": "$rest"}', 'id int PRIMARY KEY, a int, rest jsonb'),
('fields that no column takes', ARRAY[event('c', NULL, NULL, '{"id": 1, "z": 2}'), event('c', NULL, '{"z": 2}', '{"id": 2}')],
    '{"envelope": "debezium", "unknown_fields": "error"}', NULL, 'id int PRIMARY KEY');
INSERT INTO cases (what, messages, options, mode, columns) VALUES
('inserted, what deletes is ignored', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|'], :debezium, 'insert', 'id int PRIMARY KEY'),
('kept, what deletes deletes', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('c', '{"id": 2}', NULL, '{"id": 2}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|'],
    '{"envelope": "debezium", "tombstones": "delete"}', 'ignore', 'id int PRIMARY KEY'),
('tombstones are errors, deletes are none', ARRAY[event('c', '{"id": 1}', NULL, '{"id": 1}'), event('d', '{"id": 1}', '{"id": 1}', NULL), '{"id": 1}|'],
    '{"envelope": "debezium", "tombstones": "error"}', 'upsert', 'id int PRIMARY KEY');

--
-- by decode
--
SELECT n, m, operation, fields, error FROM cases,
    unnest(messages) WITH ORDINALITY AS t (message, m),
    stream_ingest.decode('json', convert_to(nullif(substr(message, strpos(message, '|') + 1), ''), 'UTF8'), convert_to(nullif(split_part(message, '|', 1), ''), 'UTF8'), options) ORDER BY n, m;

--
-- by subscriptions
--
\copy (SELECT n || ' ' || message FROM cases, unnest(messages) WITH ORDINALITY AS t (message, m) ORDER BY n, m) TO PROGRAM 'while read -r n v; do printf "%s\n" "$v" | test/produce -t changes -p "$n" -K "|" -Z >/dev/null; done' WITH (FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')
CREATE PROCEDURE run(number int) LANGUAGE plpgsql AS $$
DECLARE
    c cases := (SELECT c FROM cases c WHERE n = number);
    deadline timestamptz := clock_timestamp() + interval '30 s';
    r text;
BEGIN
    EXECUTE format('CREATE TABLE target (%s)', c.columns);
    PERFORM stream_ingest.create_subscription('changes', 'si_kafka', 'changes', 'target', mapping => c.mapping, insert_mode => c.mode,
        options => jsonb_build_object('partitions', c.n::text, 'breaker', 0, 'batch_size', 1) || c.options);
    COMMIT;
    WHILE (SELECT messages FROM stream_ingest.counts WHERE name = 'changes') < cardinality(c.messages) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE WARNING 'waited in vain: %', (SELECT row(state, reason, last_error) FROM stream_ingest.status WHERE name = 'changes');
            EXIT;
        END IF;
        PERFORM pg_sleep(0.005);
        COMMIT;
    END LOOP;
    RAISE WARNING '%: %', c.n, c.what;
    FOR r IN EXECUTE 'SELECT _row::text FROM target _row ORDER BY 1' LOOP
        RAISE WARNING '    %', r;
    END LOOP;
    FOR r IN SELECT format('messages %s applied %s ignored %s dead %s', messages, applied, ignored, dead_letters) FROM stream_ingest.counts WHERE name = 'changes' LOOP
        RAISE WARNING '    %', r;
    END LOOP;
    FOR r IN SELECT concat_ws(' ', message_offset, sqlstate, error, detail, column_name) FROM stream_ingest.dead_letters WHERE name = 'changes' ORDER BY message_offset LOOP
        RAISE WARNING '    dead: %', r;
    END LOOP;
    PERFORM stream_ingest.drop_subscription('changes');
    DROP TABLE target;
    COMMIT;
END $$;
\set VERBOSITY terse
SELECT format('CALL run(%s)', n) FROM cases ORDER BY n \gexec

--
-- Avro, apply, preview, and dead letters tried again
--
\set schema '{"type": "record", "name": "Envelope", "fields": [{"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "int"}, {"name": "name", "type": ["null", "string"]}, {"name": "extra", "type": "int"}]}]}, {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]}'
\! test/mock_broker -c create avro_changes 1
\! printf '%s\n' '{"id":1};00020202026100''0263' '{"id":1};0002020238''5f5f646562657a69756d5f756e617661696c61626c655f76616c7565''000275' '{"id":2};00020402026200''0263' '{"id":2};020400''0000''0264' '{"id":2};' '{"id":3};0263' | tr -d "'" | test/produce -t avro_changes -p 0 -x -Z -K ';' >/dev/null
SELECT * FROM stream_ingest.decode('avro', '\x000202020261000263', options => jsonb_build_object('envelope', 'debezium', 'schema', :'schema'::jsonb));
SELECT * FROM stream_ingest.decode('avro', '\x02040000000264', options => jsonb_build_object('envelope', 'debezium', 'schema', :'schema'::jsonb));
CREATE TABLE avro_target (id int PRIMARY KEY, name text, op text, rest jsonb);
CREATE TABLE applied (id int, name text, deleted bool, op text);
CREATE ROLE envelope_owner LOGIN;
GRANT USAGE ON FOREIGN SERVER si_kafka TO envelope_owner;
GRANT USAGE ON SCHEMA si_envelopes TO envelope_owner;
GRANT ALL ON applied TO envelope_owner;
SELECT stream_ingest.create_subscription('avro_changes', 'si_kafka', 'avro_changes', 'avro_target', format => 'avro', insert_mode => 'upsert', mapping => '{"op": "$op", "rest": "$rest"}',
    options => jsonb_build_object('envelope', 'debezium', 'batch_size', 1, 'schema', :'schema'::jsonb)) \g /dev/null
SET ROLE envelope_owner;
SELECT stream_ingest.create_subscription('applied', 'si_kafka', 'avro_changes', format => 'avro', fields => 'id int, name text, op text', mapping => '{"op": "$op"}',
    apply => 'INSERT INTO si_envelopes.applied SELECT id, name, _deleted, op FROM batch', options => jsonb_build_object('envelope', 'debezium', 'batch_size', 1, 'schema', :'schema'::jsonb)) \g /dev/null
RESET ROLE;
CREATE PROCEDURE wait_for(bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT bool_and(messages = $1) FROM stream_ingest.counts);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
CALL wait_for(6);
SELECT * FROM avro_target ORDER BY id;
SELECT * FROM applied ORDER BY id, deleted, op;
SELECT name, messages, applied, ignored, dead_letters FROM stream_ingest.counts ORDER BY name;
SELECT name, message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY name;
SELECT stream_ingest.drop_subscription(name) FROM stream_ingest.subscriptions \g /dev/null

\! test/mock_broker -c create changes_again 1
\! printf '%s\n' '{"id": 1}|{"op": "c", "after": {"id": 1, "v": "x"}}' '{"id": 1}|{"op": "d", "before": {"id": 1}, "after": null}' '{"id": 2}|{"op": "t"}' '{"id": 3}|{"op": "c", "after": {"id": 3, "v": "3"}}' | test/produce -t changes_again -p 0 -K '|' -Z >/dev/null
\! printf '%s\n' '{"op": "d", "before": null, "after": null}' | test/produce -t changes_again -p 0 >/dev/null
CREATE TABLE again (id int PRIMARY KEY, v text);
SELECT stream_ingest.create_subscription('again', 'si_kafka', 'changes_again', 'again', insert_mode => 'upsert', enabled => false, options => '{"envelope": "debezium"}') \g /dev/null
SELECT message_offset, row_data, sqlstate, error FROM stream_ingest.preview('again') ORDER BY message_offset;
SELECT stream_ingest.enable('again') \g /dev/null
CALL wait_for(5);
SELECT * FROM again;
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters ORDER BY message_offset;
SELECT stream_ingest.alter_subscription('again', options => '{"truncate": "ignore"}') \g /dev/null
SELECT * FROM stream_ingest.retry_dead_letters('again');
SELECT message_offset, sqlstate, error FROM stream_ingest.dead_letters;
SELECT stream_ingest.drop_subscription('again') \g /dev/null

--
-- what is refused
--
\set VERBOSITY default
CREATE TABLE t (id int PRIMARY KEY, op text);
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"envelope": "debeziun"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'csv', options => '{"envelope": "debezium"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'avro', options => '{"envelope": "connect", "schema": "\"int\""}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"envelope": "debezium", "missing_fields": "null"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', mapping => '{"op": "$op"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', mapping => '{"op": "$source."}', options => '{"envelope": "debezium"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', options => '{"deleted_field": "a..b"}');
SELECT stream_ingest.create_subscription('x', 'si_kafka', 'x', 't', format => 'text', options => '{"deleted_field": "a"}');

SET client_min_messages = error;
DROP OWNED BY envelope_owner;
DROP ROLE envelope_owner;
DROP EXTENSION stream_ingest CASCADE;
DROP SCHEMA si_envelopes CASCADE;
